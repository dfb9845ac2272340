"""Windows in time given as fractions, so that one window fits modalities of any sampling rate."""

from __future__ import annotations

import torch
from torch import Tensor

from ._base import AugmentationContext, full_lengths


def draw_drop_window(context: AugmentationContext, n_samples: int, max_fraction: float) -> Tensor:
    """Draw where to drop: start and width, fractions of the valid time.

    Parameters
    ----------
    context : AugmentationContext
        Strength and randomness.
    n_samples : int
        Batch size.
    max_fraction : float
        Largest width at strength 1.

    Returns
    -------
    Tensor of shape (2, n_samples)
        Start in [0, 1 - width] and width in [0, min(1, strength * max_fraction)).
    """
    width = context.uniform(n_samples, high=min(1.0, context.strength * max_fraction))
    return torch.stack([context.uniform(n_samples) * (1 - width), width])


def draw_crop_window(context: AugmentationContext, n_samples: int, min_fraction: float) -> Tensor:
    """Draw what to keep: start and width, fractions of the valid time.

    Parameters
    ----------
    context : AugmentationContext
        Strength and randomness.
    n_samples : int
        Batch size.
    min_fraction : float
        Smallest width at strength 1.

    Returns
    -------
    Tensor of shape (2, n_samples)
        Start in [0, 1 - width] and width in [max(0, 1 - strength * (1 - min_fraction)), 1].
    """
    smallest = max(0.0, 1 - context.strength * (1 - min_fraction))
    width = context.uniform(n_samples, low=smallest)
    return torch.stack([context.uniform(n_samples) * (1 - width), width])


def drop_window(x: Tensor, lengths: Tensor | None, window: Tensor, fill: float) -> Tensor:
    """Set a window of time steps to `fill`; at least one valid step stays.

    Parameters
    ----------
    x : Tensor of shape (batch, channels, times)
        Sequences.
    lengths : Tensor of shape (batch,) or None
        Valid time steps.
    window : Tensor of shape (2, batch)
        Start and width as fractions of the valid time.
    fill : float
        Value of dropped steps.

    Returns
    -------
    Tensor of the shape of `x`
    """
    n_valid = full_lengths(x, lengths)
    start, width = window * n_valid
    # rounded down: never more than the fraction that was drawn; then centred where it was drawn
    n_dropped = width.floor().minimum((n_valid - 1).clamp(min=0))
    first = (start + (width - n_dropped) / 2).round()
    step = torch.arange(x.shape[-1], device=x.device)
    dropped = (step >= first[:, None]) & (step < (first + n_dropped)[:, None])
    return torch.where(dropped[:, None], fill, x)


def resample_window(x: Tensor, lengths: Tensor | None, window: Tensor) -> Tensor:
    """Stretch a window linearly over all valid time steps.

    Parameters
    ----------
    x : Tensor of shape (batch, channels, times)
        Sequences.
    lengths : Tensor of shape (batch,) or None
        Valid time steps.
    window : Tensor of shape (2, batch)
        Start and width as fractions of the valid time, from the first to the last valid step.

    Returns
    -------
    Tensor of the shape of `x`
        New step j is the input at position ``start * (n_valid - 1) + width * j``. What it holds
        in padded steps has no meaning.
    """
    last = (full_lengths(x, lengths) - 1).clamp(min=0)[:, None]
    start, width = window[:, :, None]
    step = torch.arange(x.shape[-1], device=x.device)
    position = (start * last + width * step).minimum(last)
    left = position.floor()
    weight = (position - left)[:, None]
    left = left.long()
    before = gather_steps(x, left)
    after = gather_steps(x, (left + 1).minimum(last))
    return before.lerp_(after, weight.to(x.dtype).expand_as(x))


def gather_steps(x: Tensor, index: Tensor) -> Tensor:
    """Take time steps ``index`` (batch, times) of every channel of ``x`` (batch, channels, times).

    Parameters
    ----------
    x : Tensor of shape (batch, channels, times)
        Sequences.
    index : Tensor of shape (batch, times), dtype int64
        Which step comes where.

    Returns
    -------
    Tensor of the shape of `x`
    """
    return x.gather(2, index[:, None].expand_as(x))
