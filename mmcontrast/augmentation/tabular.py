"""Augmentations of tabular data."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._base import Augmentation, AugmentationContext
from ._validation import FINITE, PROBABILITY


class FeatureMasking(Augmentation):
    """Set random features to a constant.

    Every value of a row, whatever the number of axes, is masked independently.

    Parameters
    ----------
    fraction : float, default=0.15
        Probability of each feature to be masked.
    fill : float, default=0.0
        Value of masked features.
    p : float, default=1.0
        Probability that a sample is augmented.
    strength : float, default=1.0
        Multiplies fraction.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.augmentation import FeatureMasking
    >>> masked = FeatureMasking()(torch.ones(1000, 30), generator=torch.manual_seed(0)) == 0
    >>> round(masked.float().mean().item(), 2)
    0.15
    """

    _parameter_constraints: dict[str, Any] = {
        **Augmentation._parameter_constraints,
        "fraction": PROBABILITY,
        "fill": FINITE,
    }

    def __init__(
        self, fraction: float = 0.15, fill: float = 0.0, p: float = 1.0, strength: float = 1.0
    ):
        super().__init__(p=p, strength=strength)
        self.fraction = fraction
        self.fill = fill

    def augment(self, x: Tensor, context: AugmentationContext) -> Tensor:
        """Mask features of every sample.

        Parameters
        ----------
        x : Tensor of shape (batch, ...)
            Input.
        context : AugmentationContext
            Strength and randomness.

        Returns
        -------
        Tensor of the shape of `x`
        """
        rate = min(1.0, context.strength * self.fraction)
        return torch.where(context.bernoulli(rate, *x.shape), self.fill, x)
