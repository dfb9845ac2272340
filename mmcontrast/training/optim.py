"""Optimiser groups, learning-rate schedule and devices."""

import math
from typing import Any

import torch
from torch import nn


def weight_decay_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups that decay matrices but neither norms nor biases.

    Parameters
    ----------
    module : Module
        Its parameters that require a gradient are grouped.
    weight_decay : float
        Weight decay of the tensors with at least two dimensions.

    Returns
    -------
    list of dict
        Two groups for an optimiser; the second has no weight decay.

    Examples
    --------
    >>> from torch import nn
    >>> from mmcontrast.training import weight_decay_groups
    >>> groups = weight_decay_groups(nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2)), 0.01)
    >>> [(len(group["params"]), group["weight_decay"]) for group in groups]
    [(1, 0.01), (3, 0.0)]
    """
    trained = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]


def warmup_cosine(progress: float, warmup: float, final: float) -> float:
    """Learning-rate factor of a linear warm-up followed by half a cosine.

    Parameters
    ----------
    progress : float
        Share of the training that is over, from 0 to 1.
    warmup : float
        Share of the training that warms up, from 0 to 1.
    final : float
        Factor at the end.

    Returns
    -------
    float
        Factor for the base learning rate.

    Examples
    --------
    >>> from mmcontrast.training import warmup_cosine
    >>> [round(warmup_cosine(p, 0.1, 0.0), 2) for p in (0.05, 0.1, 0.55, 1.0)]
    [0.5, 1.0, 0.5, 0.0]
    """
    if progress < warmup:
        return progress / warmup
    through = min((progress - warmup) / (1 - warmup), 1.0) if warmup < 1 else 0.0
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * through))


def resolve_device(device: str | torch.device) -> torch.device:
    """The device to use: CUDA if it is there for "auto", else what was asked for.

    Parameters
    ----------
    device : str or torch.device
        "auto", "cpu", "cuda", "cuda:1", "mps", ...

    Returns
    -------
    torch.device

    Raises
    ------
    ValueError
        If there is no such device.

    Examples
    --------
    >>> from mmcontrast.training import resolve_device
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.empty(1, device=resolved)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        there = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        raise ValueError(
            f"device={device!r} is not there. Found: {', '.join(['cpu', *there])}. "
            "Pass one of these or device='auto'."
        ) from error
    return resolved
