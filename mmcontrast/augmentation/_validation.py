"""Checks of parameters and batches, with messages that name who found the fault."""

from __future__ import annotations

from numbers import Real

import numpy as np
import torch
from sklearn.utils._param_validation import Interval
from torch import Tensor

PROBABILITY = [Interval(Real, 0, 1, closed="both")]
NON_NEGATIVE = [Interval(Real, 0, np.inf, closed="left")]
FINITE = [Interval(Real, -np.inf, np.inf, closed="neither")]


def check_strength(strength: float, name: str) -> float:
    """Return the strength of a call as a float; ValueError unless it is finite and >= 0."""
    if not isinstance(strength, Real) or not 0 <= strength < np.inf:
        raise ValueError(
            f"The strength that {name} is called with must be a finite number of at least 0 "
            f"(0 is no augmentation, 1 the usual one), found {strength!r}."
        )
    return float(strength)


def check_scale(scale: float | Tensor, name: str) -> None:
    """ValueError unless `scale` is one number, not negative (a tensor's value is not read)."""
    if isinstance(scale, Tensor):
        # reading a tensor's value would make a GPU wait
        valid = scale.ndim == 0
    else:
        valid = isinstance(scale, Real) and 0 <= scale < np.inf
    if not valid:
        raise ValueError(
            f"The scale that {name} is called with must be one finite number of at least 0 or a "
            f"tensor of no dimensions (the modality's standard deviation), found {scale!r}."
        )


def check_batch(x: Tensor, name: str) -> None:
    """TypeError unless `x` is a floating point tensor; ValueError if it has no dimension."""
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{name} augments torch tensors, found {type(x).__name__}. Convert the batch with "
            "torch.as_tensor."
        )
    if not x.is_floating_point():
        raise TypeError(
            f"{name} augments floating point tensors, found {x.dtype}. Convert the batch with "
            ".float()."
        )
    if x.ndim == 0:
        raise ValueError(f"{name} expects a batch of shape (batch, ...), found a single number.")


def check_lengths(lengths: Tensor | None, x: Tensor, name: str) -> Tensor | None:
    """Return lengths as int64 on the device of `x`, cut to its number of time steps."""
    if lengths is None:
        return None
    lengths = torch.as_tensor(lengths)
    if x.ndim != 3:
        raise ValueError(
            f"{name} was given lengths, which belong to sequences of shape (batch, channels, "
            f"times), with a batch of shape {tuple(x.shape)}. Leave them out."
        )
    if lengths.shape != x.shape[:1] or lengths.is_floating_point():
        raise ValueError(
            f"{name} expects lengths as integers of shape ({len(x)},), one per sample, found "
            f"{lengths.dtype} of shape {tuple(lengths.shape)}."
        )
    # values are clamped, not checked: reading them would make a GPU wait
    return lengths.to(x.device, torch.int64).clamp(0, x.shape[-1])


def check_output(output: Tensor, x: Tensor, name: str) -> None:
    """ValueError unless an augmentation kept shape, dtype and device."""
    if not isinstance(output, Tensor):
        raise ValueError(f"{name} must return a tensor, found {type(output).__name__}.")
    if (output.shape, output.dtype, output.device) != (x.shape, x.dtype, x.device):
        raise ValueError(
            f"{name} must keep shape, dtype and device: expected {tuple(x.shape)}, {x.dtype}, "
            f"{x.device}, found {tuple(output.shape)}, {output.dtype}, {output.device}."
        )
