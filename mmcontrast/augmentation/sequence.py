"""Augmentations of sequences of shape (batch, channels, times)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ._base import Augmentation, AugmentationContext, full_lengths, valid_steps
from ._validation import FINITE, PROBABILITY
from ._windows import (
    draw_crop_window,
    draw_drop_window,
    drop_window,
    gather_steps,
    resample_window,
)


class SequenceAugmentation(Augmentation):
    """Base class of augmentations along the time axis.

    Parameters
    ----------
    p : float, default=0.5
        Probability that a sample is augmented.
    strength : float, default=1.0
        Multiplies the strength of the call.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.augmentation import SequenceAugmentation
    >>> class Reverse(SequenceAugmentation):
    ...     def augment(self, x, context):
    ...         return x.flip(2)
    >>> Reverse(p=1.0)(torch.arange(3.0).view(1, 1, 3))
    tensor([[[2., 1., 0.]]])
    """

    _batch_ndim = 3
    _batch_layout = "(batch, channels, times)"


class DropTimeSteps(SequenceAugmentation):
    """Drop a random fraction of the time steps, in all channels alike.

    The fraction is drawn for each sample from U(0, strength * max_fraction). At least one valid
    step stays.

    Parameters
    ----------
    max_fraction : float, default=0.8
        Largest fraction of the valid steps that is dropped.
    contiguous : bool, default=False
        Whether to drop one window of consecutive steps instead of scattered steps.
    fill : float, default=0.0
        Value of dropped steps.
    p : float, default=0.5
        Probability that a sample is augmented.
    strength : float, default=1.0
        Multiplies max_fraction.

    See Also
    --------
    MultiDrop : The same window for several modalities.

    References
    ----------
    Dufumier et al., "What to align in multimodal contrastive learning?", ICLR 2025, appendix B.2.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.augmentation import DropTimeSteps
    >>> x = torch.ones(500, 3, 100)
    >>> dropped = DropTimeSteps(p=1.0)(x, generator=torch.manual_seed(0)) == 0
    >>> round(dropped.float().mean().item(), 1)
    0.4
    """

    _parameter_constraints: dict[str, Any] = {
        **Augmentation._parameter_constraints,
        "max_fraction": PROBABILITY,
        "contiguous": ["boolean"],
        "fill": FINITE,
    }

    def __init__(
        self,
        max_fraction: float = 0.8,
        contiguous: bool = False,
        fill: float = 0.0,
        p: float = 0.5,
        strength: float = 1.0,
    ):
        super().__init__(p=p, strength=strength)
        self.max_fraction = max_fraction
        self.contiguous = contiguous
        self.fill = fill

    def augment(self, x: Tensor, context: AugmentationContext) -> Tensor:
        """Drop steps of every sample.

        Parameters
        ----------
        x : Tensor of shape (batch, channels, times)
            Sequences.
        context : AugmentationContext
            Strength, valid lengths and randomness.

        Returns
        -------
        Tensor of the shape of `x`
        """
        window = draw_drop_window(context, len(x), self.max_fraction)
        if self.contiguous:
            return drop_window(x, context.lengths, window, self.fill)
        n_valid = full_lengths(x, context.lengths)
        n_dropped = (window[1] * n_valid).floor().minimum((n_valid - 1).clamp(min=0)).long()
        # the steps with the smallest of random keys are dropped; padding is never among them
        keys = context.uniform(len(x), x.shape[-1])
        keys = keys.masked_fill(~valid_steps(n_valid, x.shape[-1]), math.inf)
        first_kept = keys.sort(dim=1).values.gather(1, n_dropped[:, None])
        return torch.where((keys < first_kept)[:, None], self.fill, x)


class CropResample(SequenceAugmentation):
    """Keep a random window of time and stretch it linearly to the original number of steps.

    The kept fraction is drawn for each sample from U(1 - strength * (1 - min_fraction), 1), its
    place uniformly.

    Parameters
    ----------
    min_fraction : float, default=0.08
        Smallest fraction of the valid time that is kept.
    p : float, default=0.5
        Probability that a sample is augmented.
    strength : float, default=1.0
        Multiplies the part that may be cut away.

    See Also
    --------
    MultiCrop : The same window for several modalities.

    References
    ----------
    Dufumier et al., "What to align in multimodal contrastive learning?", ICLR 2025, appendix C.1.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.augmentation import CropResample
    >>> ramp = torch.arange(5.0).expand(1, 1, 5)
    >>> CropResample(p=1.0)(ramp, generator=torch.manual_seed(0)).shape
    torch.Size([1, 1, 5])
    """

    _parameter_constraints: dict[str, Any] = {
        **Augmentation._parameter_constraints,
        "min_fraction": PROBABILITY,
    }

    def __init__(self, min_fraction: float = 0.08, p: float = 0.5, strength: float = 1.0):
        super().__init__(p=p, strength=strength)
        self.min_fraction = min_fraction

    def augment(self, x: Tensor, context: AugmentationContext) -> Tensor:
        """Crop and stretch every sample.

        Parameters
        ----------
        x : Tensor of shape (batch, channels, times)
            Sequences.
        context : AugmentationContext
            Strength, valid lengths and randomness.

        Returns
        -------
        Tensor of the shape of `x`
        """
        window = draw_crop_window(context, len(x), self.min_fraction)
        return resample_window(x, context.lengths, window)


class TimeShift(SequenceAugmentation):
    """Shift sequences in time by a random number of steps.

    The shift is drawn for each sample from U(-strength * max_shift, strength * max_shift) times
    its valid length, rounded to whole steps; positive is later.

    Parameters
    ----------
    max_shift : float, default=0.1
        Largest shift as a fraction of the valid length.
    circular : bool, default=True
        Whether steps that leave at one end enter at the other; otherwise vacated steps get
        `fill`.
    fill : float, default=0.0
        Value of vacated steps, used when `circular` is False.
    p : float, default=0.5
        Probability that a sample is augmented.
    strength : float, default=1.0
        Multiplies max_shift.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.augmentation import TimeShift
    >>> x = torch.arange(6.0).expand(1, 1, 6)
    >>> TimeShift(max_shift=0.5, p=1.0)(x, generator=torch.manual_seed(0))
    tensor([[[4., 5., 0., 1., 2., 3.]]])
    """

    _parameter_constraints: dict[str, Any] = {
        **Augmentation._parameter_constraints,
        "max_shift": PROBABILITY,
        "circular": ["boolean"],
        "fill": FINITE,
    }

    def __init__(
        self,
        max_shift: float = 0.1,
        circular: bool = True,
        fill: float = 0.0,
        p: float = 0.5,
        strength: float = 1.0,
    ):
        super().__init__(p=p, strength=strength)
        self.max_shift = max_shift
        self.circular = circular
        self.fill = fill

    def augment(self, x: Tensor, context: AugmentationContext) -> Tensor:
        """Shift every sample.

        Parameters
        ----------
        x : Tensor of shape (batch, channels, times)
            Sequences.
        context : AugmentationContext
            Strength, valid lengths and randomness.

        Returns
        -------
        Tensor of the shape of `x`
        """
        n_valid = full_lengths(x, context.lengths)[:, None]
        largest = min(1.0, context.strength * self.max_shift)
        fraction = context.uniform(len(x), 1, low=-largest, high=largest)
        shift = (fraction * n_valid).round().long()
        source = torch.arange(x.shape[-1], device=x.device) - shift
        if self.circular:
            return gather_steps(x, source.remainder(n_valid.clamp(min=1)))
        inside = (source >= 0) & (source < n_valid)
        shifted = gather_steps(x, source.clamp(0, x.shape[-1] - 1))
        return torch.where(inside[:, None], shifted, self.fill)
