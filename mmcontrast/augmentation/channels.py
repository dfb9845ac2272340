"""Augmentations of the channel axis."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._base import Augmentation, AugmentationContext
from ._validation import FINITE, PROBABILITY


class ChannelDropout(Augmentation):
    """Set random channels (axis 1 of sequences or images) to a constant; at least one stays.

    Parameters
    ----------
    prob : float, default=0.2
        Probability of each channel to be dropped.
    fill : float, default=0.0
        Value of dropped channels.
    p : float, default=0.5
        Probability that a sample is augmented.
    strength : float, default=1.0
        Multiplies prob.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.augmentation import ChannelDropout
    >>> x = torch.ones(1000, 8, 10)
    >>> dropped = ChannelDropout(p=1.0)(x, generator=torch.manual_seed(0)) == 0
    >>> round(dropped.float().mean().item(), 1)
    0.2
    """

    _parameter_constraints: dict[str, Any] = {
        **Augmentation._parameter_constraints,
        "prob": PROBABILITY,
        "fill": FINITE,
    }

    def __init__(self, prob: float = 0.2, fill: float = 0.0, p: float = 0.5, strength: float = 1.0):
        super().__init__(p=p, strength=strength)
        self.prob = prob
        self.fill = fill

    def augment(self, x: Tensor, context: AugmentationContext) -> Tensor:
        """Drop channels of every sample.

        Parameters
        ----------
        x : Tensor of shape (batch, channels, times) or (batch, channels, height, width)
            Sequences or images.
        context : AugmentationContext
            Strength and randomness.

        Returns
        -------
        Tensor of the shape of `x`

        Raises
        ------
        ValueError
            If `x` has no channel axis.
        """
        if x.ndim not in (3, 4):
            raise ValueError(
                "ChannelDropout expects a batch of 3 dimensions (batch, channels, times) or 4 "
                f"(batch, channels, height, width), found {x.ndim} in shape {tuple(x.shape)}. For "
                "tabular data use FeatureMasking."
            )
        keys = context.uniform(*x.shape[:2])
        # the channel with the largest key stays even when all fall below
        stays = keys.argmax(dim=1, keepdim=True)
        rate = min(1.0, context.strength * self.prob)
        dropped = (keys < rate).scatter(1, stays, False)
        return torch.where(dropped.view(*dropped.shape, *[1] * (x.ndim - 2)), self.fill, x)
