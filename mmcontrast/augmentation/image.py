"""Augmentations of images and maps of shape (batch, channels, height, width)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ._base import Augmentation, AugmentationContext
from ._validation import FINITE, NON_NEGATIVE


class Translate(Augmentation):
    """Move maps by a random number of whole pixels; nothing wraps around.

    The shift along each axis is ``round(u)`` with u drawn for each sample from
    U(-m - 1/2, m + 1/2) and m = strength * max_shift. For an integer m all shifts from -m to m
    are equally likely; a fractional m gives its outermost shift less often, so that the effect
    grows smoothly with the strength.

    Parameters
    ----------
    max_shift : float, default=1
        Largest shift along each axis, in pixels.
    fill : float, default=0.0
        Value of vacated pixels.
    p : float, default=1.0
        Probability that a sample is augmented; a shift of 0 is among the draws anyway.
    strength : float, default=1.0
        Multiplies max_shift.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.augmentation import Translate
    >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None, None]
    >>> Translate()(x, generator=torch.manual_seed(0))
    tensor([[[[0., 0.],
              [2., 0.]]]])
    """

    _parameter_constraints: dict[str, Any] = {
        **Augmentation._parameter_constraints,
        "max_shift": NON_NEGATIVE,
        "fill": FINITE,
    }
    _batch_ndim = 4
    _batch_layout = "(batch, channels, height, width)"

    def __init__(
        self, max_shift: float = 1, fill: float = 0.0, p: float = 1.0, strength: float = 1.0
    ):
        super().__init__(p=p, strength=strength)
        self.max_shift = max_shift
        self.fill = fill

    def augment(self, x: Tensor, context: AugmentationContext) -> Tensor:
        """Move every sample.

        Parameters
        ----------
        x : Tensor of shape (batch, channels, height, width)
            Maps.
        context : AugmentationContext
            Strength and randomness.

        Returns
        -------
        Tensor of the shape of `x`
        """
        height, width = x.shape[2:]
        # a shift beyond the map leaves nothing, however large
        largest = min(context.strength * self.max_shift, max(height, width))
        shift = context.uniform(2, len(x), low=-largest - 0.5, high=largest + 0.5).round()
        shift = shift.clamp(-math.ceil(largest), math.ceil(largest)).long()[:, :, None]
        row = torch.arange(height, device=x.device) - shift[0]
        column = torch.arange(width, device=x.device) - shift[1]
        inside = ((row >= 0) & (row < height))[:, :, None] & ((column >= 0) & (column < width))[
            :, None
        ]
        source = row.clamp(0, height - 1)[:, :, None] * width + column.clamp(0, width - 1)[:, None]
        index = source.flatten(1)[:, None].expand(-1, x.shape[1], -1)
        moved = x.flatten(2).gather(2, index).view_as(x)
        return torch.where(inside[:, None], moved, self.fill)
