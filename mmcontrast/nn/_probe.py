"""What a module that a user gave returns, found by a batch of zeros."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from mmcontrast.nn._frozen import unwrap

__all__ = [
    "PROBE_BATCH",
    "accepts_lengths",
    "encoder_output_lengths",
    "output_for_zeros",
    "probe_features",
]

# two rows: one could not tell the batch from a dimension of size one
PROBE_BATCH = 2


def probe_features(
    encoder: nn.Module, input_shape: Sequence[int], *, modality: str
) -> tuple[int, ...]:
    """Shape of an encoder's output for one row, found by encoding two rows of zeros.

    The encoder runs in evaluation mode without gradients; its modes and buffers stay as they were.

    Parameters
    ----------
    encoder : nn.Module
        Encoder.
    input_shape : tuple of int
        Shape of one row.
    modality : str
        Name of the modality, for the messages.

    Returns
    -------
    tuple of int
        (n_features,), (n_tokens, width) or (n_channels, height, width).

    Raises
    ------
    ValueError
        If the encoder fails on this shape, or returns no batch of vectors, sequences or maps.
    TypeError
        If it returns something else than a floating-point tensor.

    Examples
    --------
    >>> from mmcontrast.nn import GRUEncoder, probe_features
    >>> probe_features(GRUEncoder((3, 50), 16), (3, 50), modality="eeg")
    (50, 16)
    """
    features = output_for_zeros("encoder", encoder, tuple(input_shape), modality)
    if features.ndim not in (2, 3, 4) or 0 in features.shape:
        raise ValueError(
            f"modality {modality!r}: the encoder {_class_name(encoder)} turned a batch of "
            f"{PROBE_BATCH} rows of shape {tuple(input_shape)} into an output of shape "
            f"{tuple(features.shape)}, expected (batch, n_features), (batch, n_tokens, width) or "
            "(batch, n_channels, height, width)"
        )
    return tuple(features.shape[1:])


def accepts_lengths(encoder: nn.Module) -> bool:
    """Whether an encoder's forward takes the lengths of padded sequences.

    Parameters
    ----------
    encoder : nn.Module
        Encoder.

    Returns
    -------
    bool
        True if it has a parameter called ``lengths``.

    Examples
    --------
    >>> from mmcontrast.nn import GRUEncoder, MLPEncoder, accepts_lengths
    >>> accepts_lengths(GRUEncoder((3, 50))), accepts_lengths(MLPEncoder((3, 50)))
    (True, False)
    """
    forward = unwrap(encoder).forward
    return _has_lengths(getattr(forward, "__func__", forward))


def encoder_output_lengths(
    encoder: nn.Module, lengths: Tensor, n_in: int, n_out: int, *, modality: str
) -> Tensor:
    """Numbers of valid tokens that an encoder returns for padded sequences.

    Parameters
    ----------
    encoder : nn.Module
        Encoder; its own ``output_lengths(lengths)`` is used if it has one.
    lengths : Tensor of shape (batch,)
        Numbers of valid time steps.
    n_in : int
        Number of time steps of the padded batch.
    n_out : int
        Number of tokens that the encoder returned for it.
    modality : str
        Name of the modality, for the messages.

    Returns
    -------
    Tensor of shape (batch,)
        Numbers of valid tokens.

    Raises
    ------
    ValueError
        If the encoder changes the number of steps and does not say how.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import CausalConvEncoder, encoder_output_lengths
    >>> encoder = CausalConvEncoder((3, 32))
    >>> encoder_output_lengths(encoder, torch.tensor([32, 5]), 32, 8, modality="eeg")
    tensor([8, 2])
    """
    inner = unwrap(encoder)
    output_lengths = getattr(inner, "output_lengths", None)
    if callable(output_lengths):
        return output_lengths(lengths)
    if n_out == n_in:
        return lengths
    raise ValueError(
        f"modality {modality!r}: the rows are padded sequences of {n_in} steps and the encoder "
        f"{type(inner).__name__} returns {n_out} tokens, so it is unknown which tokens are valid; "
        "give it a method output_lengths(lengths) that returns their numbers"
    )


def output_for_zeros(role: str, module: nn.Module, shape: tuple[int, ...], modality: str) -> Tensor:
    """Output of a module for a batch of zeros; errors name the modality."""
    name = _class_name(module)
    device = next((p.device for p in module.parameters()), None)
    batch = torch.zeros(PROBE_BATCH, *shape, device=device)
    try:
        with _undisturbed(module):
            output = module(batch)
    except Exception as exc:
        raise ValueError(
            f"modality {modality!r}: the {role} {name} failed on a {batch.dtype} batch of shape "
            f"{tuple(batch.shape)}, rows of shape {shape}: {exc}"
        ) from exc
    if not isinstance(output, Tensor) or not output.is_floating_point():
        found = output.dtype if isinstance(output, Tensor) else type(output).__name__
        raise TypeError(
            f"modality {modality!r}: the {role} {name} must return one floating-point tensor, got "
            f"{found}; wrap it in a module that returns the features alone"
        )
    if output.shape[:1] != (PROBE_BATCH,):
        raise ValueError(
            f"modality {modality!r}: the {role} {name} turned a batch of {PROBE_BATCH} rows of "
            f"shape {shape} into an output of shape {tuple(output.shape)}, expected the batch of "
            f"{PROBE_BATCH} first"
        )
    return output


@contextmanager
def _undisturbed(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; modes and buffers are restored afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    buffers = [(b, b.clone()) for b in module.buffers() if not is_lazy(b)]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, training in modes:
            part.training = training
        for buffer, saved in buffers:
            buffer.copy_(saved)


def _class_name(module: nn.Module) -> str:
    return type(unwrap(module)).__name__


@functools.lru_cache(maxsize=256)
def _has_lengths(forward: Callable[..., Any]) -> bool:
    try:
        return "lengths" in inspect.signature(forward).parameters
    except (TypeError, ValueError):
        return False
