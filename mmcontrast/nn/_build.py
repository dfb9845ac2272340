"""From what a user writes (a name, a class, an instance) to checked encoders and converters."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from mmcontrast._names import did_you_mean
from mmcontrast.nn.converters import (
    FeatureTokenizer,
    IdentityConverter,
    PatchEmbedding,
    SingleToken,
    TokenProjection,
)
from mmcontrast.nn.encoders import (
    CausalConvEncoder,
    GRUEncoder,
    MLPEncoder,
    TransformerEncoder,
)
from mmcontrast.nn.image_encoders import (
    AlexNetEncoder,
    CNNEncoder,
    ResNet18Encoder,
    ResNet50Encoder,
)
from mmcontrast.nn.spectral import SpectralEncoder

__all__ = [
    "CONVERTERS",
    "ENCODERS",
    "Frozen",
    "accepts_lengths",
    "build_converter",
    "build_encoder",
    "encoder_output_lengths",
    "freeze",
    "is_frozen",
    "probe_features",
]

ModuleSpec = str | nn.Module | Callable[..., nn.Module]

ENCODERS: dict[str, type[nn.Module]] = {
    "mlp": MLPEncoder,
    "gru": GRUEncoder,
    "transformer": TransformerEncoder,
    "causal_conv": CausalConvEncoder,
    "cnn": CNNEncoder,
    "spectral": SpectralEncoder,
    "alexnet": AlexNetEncoder,
    "resnet18": ResNet18Encoder,
    "resnet50": ResNet50Encoder,
}
"""Encoders by name."""

CONVERTERS: dict[str, type[nn.Module]] = {
    "identity": IdentityConverter,
    "token_projection": TokenProjection,
    "patch_embedding": PatchEmbedding,
    "feature_tokenizer": FeatureTokenizer,
    "single_token": SingleToken,
}
"""Latent converters by name."""

_AUTO_ENCODERS = {1: "mlp", 2: "causal_conv", 3: "cnn"}
_WITH_POSITION = (IdentityConverter, TokenProjection, PatchEmbedding)
# two rows: one could not tell the batch from a dimension of size one
_PROBE_BATCH = 2


class Frozen(nn.Module):
    """A pretrained module that is used and never trained.

    Its parameters need no gradient, it stays in evaluation mode (running statistics included) and
    no graph is recorded through it.

    Parameters
    ----------
    module : nn.Module
        Module to freeze; it is frozen in place.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import Frozen
    >>> frozen = Frozen(torch.nn.Linear(3, 2)).train()
    >>> frozen.training, frozen(torch.zeros(1, 3)).requires_grad
    (False, False)
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = freeze(module)
        super().train(False)

    def train(self, mode: bool = True) -> Frozen:
        """Stay in evaluation mode.

        Parameters
        ----------
        mode : bool, default=True
            Ignored.

        Returns
        -------
        Frozen
            This module.
        """
        return super().train(False)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module without recording a graph.

        Parameters
        ----------
        *args, **kwargs : object
            Arguments of the module.

        Returns
        -------
        object
            What the module returns.
        """
        with torch.no_grad():
            return self.module(*args, **kwargs)


def freeze(module: nn.Module) -> nn.Module:
    """Freeze a module in place.

    Parameters
    ----------
    module : nn.Module
        Module whose parameters shall need no gradient; it is put in evaluation mode.

    Returns
    -------
    nn.Module
        The same module.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import freeze, is_frozen
    >>> is_frozen(freeze(torch.nn.Linear(3, 2)))
    True
    """
    return module.requires_grad_(False).eval()


def is_frozen(module: nn.Module) -> bool:
    """Whether a module has parameters and none of them needs a gradient.

    Parameters
    ----------
    module : nn.Module
        Any module.

    Returns
    -------
    bool
        False for a module without parameters: there is nothing to freeze.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import is_frozen
    >>> is_frozen(torch.nn.Linear(3, 2)), is_frozen(torch.nn.Flatten())
    (False, False)
    """
    flags = [parameter.requires_grad for parameter in module.parameters()]
    return bool(flags) and not any(flags)


def build_encoder(
    spec: ModuleSpec, input_shape: Sequence[int], embed_dim: int, *, modality: str
) -> nn.Module:
    """Make the encoder of one modality.

    Parameters
    ----------
    spec : str, callable or nn.Module
        * "auto": by the shape of a row, "mlp" for vectors, "causal_conv" for sequences, "cnn" for
          images and maps;
        * a name of `ENCODERS`;
        * a class or another callable, called with `input_shape` and `embed_dim`
          (``functools.partial`` sets options);
        * a module, which is copied: the user's own is never trained. One that is frozen
          (`is_frozen`) stays as it is, wrapped in `Frozen`.
    input_shape : tuple of int
        Shape of one row.
    embed_dim : int
        Width of the tokens.
    modality : str
        Name of the modality, for the messages.

    Returns
    -------
    nn.Module
        Encoder.

    Raises
    ------
    ValueError
        If the name is unknown or the encoder cannot be made for this shape.
    TypeError
        If `spec` is none of the above, or a callable that returns no module.

    Examples
    --------
    >>> from mmcontrast.nn import build_encoder
    >>> type(build_encoder("auto", (16, 200), 64, modality="eeg")).__name__
    'CausalConvEncoder'
    """
    if isinstance(spec, str) and spec == "auto":
        spec = _auto_encoder(tuple(input_shape), modality)
    encoder = _build("encoder", spec, ENCODERS, (tuple(input_shape), embed_dim), {}, modality)
    if is_frozen(encoder) and not isinstance(encoder, Frozen):
        return Frozen(encoder)
    return encoder


def build_converter(
    spec: ModuleSpec,
    feature_shape: Sequence[int],
    embed_dim: int,
    *,
    modality: str,
    position: bool = True,
) -> nn.Module:
    """Make the latent converter of one modality, and check that it returns tokens.

    Parameters
    ----------
    spec : str, callable or nn.Module
        * "auto": by the shape of the features, "single_token" for vectors, "identity" for tokens of
          width `embed_dim`, "token_projection" for other tokens, "patch_embedding" for maps;
        * a name of `CONVERTERS`;
        * a class or another callable, called with `feature_shape` and `embed_dim`;
        * a module, which is copied.
    feature_shape : tuple of int
        Shape of the encoder's output for one row.
    embed_dim : int
        Width of the tokens.
    modality : str
        Name of the modality, for the messages.
    position : bool, default=True
        Whether the package's converters of sequences and maps add a position.

    Returns
    -------
    nn.Module
        Converter.

    Raises
    ------
    ValueError
        If the name is unknown, the converter does not fit the features, or what it returns has not
        the shape (batch, n_tokens, embed_dim).
    TypeError
        If `spec` is none of the above, or a callable that returns no module.

    Examples
    --------
    >>> from mmcontrast.nn import build_converter
    >>> build_converter("auto", (48, 2, 2), 64, modality="image")
    PatchEmbedding(
      feature_shape=(48, 2, 2), embed_dim=64
      (projection): Conv2d(48, 64, kernel_size=(1, 1), stride=(1, 1))
    )
    """
    feature_shape = tuple(feature_shape)
    if isinstance(spec, str) and spec == "auto":
        spec = _auto_converter(feature_shape, embed_dim, modality)
    factory = CONVERTERS.get(spec) if isinstance(spec, str) else spec
    takes_position = inspect.isclass(factory) and issubclass(factory, _WITH_POSITION)
    options = {"position": position} if takes_position else {}
    converter = _build("converter", spec, CONVERTERS, (feature_shape, embed_dim), options, modality)
    tokens = _probe("converter", converter, feature_shape, modality)
    if tokens.ndim != 3 or tokens.shape[1] == 0 or tokens.shape[2] != embed_dim:
        raise ValueError(
            f"modality {modality!r}: the converter {type(converter).__name__} turned a batch of "
            f"{_PROBE_BATCH} rows of shape {feature_shape} into an output of shape "
            f"{tuple(tokens.shape)}, expected (batch, n_tokens, embed_dim) with "
            f"embed_dim={embed_dim}"
        )
    return converter


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
    features = _probe("encoder", encoder, tuple(input_shape), modality)
    if features.ndim not in (2, 3, 4) or 0 in features.shape:
        raise ValueError(
            f"modality {modality!r}: the encoder {_class_name(encoder)} turned a batch of "
            f"{_PROBE_BATCH} rows of shape {tuple(input_shape)} into an output of shape "
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
    forward = _unwrap(encoder).forward
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
    inner = _unwrap(encoder)
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


def _auto_encoder(input_shape: tuple[int, ...], modality: str) -> str:
    if len(input_shape) in _AUTO_ENCODERS:
        return _AUTO_ENCODERS[len(input_shape)]
    raise ValueError(
        f'modality {modality!r}: encoder="auto" reads rows of shape (n_features,), (n_channels, '
        f"n_times) or (n_channels, height, width), found {input_shape}; give an encoder for this "
        "shape"
    )


def _auto_converter(feature_shape: tuple[int, ...], embed_dim: int, modality: str) -> str:
    if len(feature_shape) == 2:
        return "identity" if feature_shape[1] == embed_dim else "token_projection"
    names = {1: "single_token", 3: "patch_embedding"}
    if len(feature_shape) in names:
        return names[len(feature_shape)]
    raise ValueError(
        f'modality {modality!r}: converter="auto" reads features of shape (n_features,), '
        "(n_tokens, width) or (n_channels, height, width) per row, found "
        f"{feature_shape}; give a converter for this shape"
    )


def _build(
    role: str,
    spec: ModuleSpec,
    registry: dict[str, type[nn.Module]],
    args: tuple[tuple[int, ...], int],
    options: dict[str, Any],
    modality: str,
) -> nn.Module:
    """Make the encoder or converter that `spec` means; errors name the modality."""
    if isinstance(spec, nn.Module):
        return _copy(role, spec, modality)
    if isinstance(spec, str):
        if spec not in registry:
            raise ValueError(_unknown_message(role, spec, registry, modality))
        spec = registry[spec]
    if not callable(spec):
        raise TypeError(
            f"modality {modality!r}: {role} must be a name, an nn.Module, its class or a callable "
            f"that returns one, got {spec!r} of type {type(spec).__name__}"
        )
    module = _call(role, spec, args, options, modality)
    # a function may hand out one object of the user again and again
    return module if inspect.isclass(spec) else _copy(role, module, modality)


def _call(
    role: str,
    factory: Callable[..., nn.Module],
    args: tuple[tuple[int, ...], int],
    options: dict[str, Any],
    modality: str,
) -> nn.Module:
    name = getattr(factory, "__name__", repr(factory))
    try:
        module = factory(*args, **options)
    except Exception as exc:
        kind = TypeError if isinstance(exc, TypeError) else ValueError
        raise kind(
            f"modality {modality!r}: the {role} {name} could not be made for rows of shape "
            f"{args[0]} and embed_dim={args[1]}: {exc}"
        ) from exc
    if isinstance(module, nn.Module):
        return module
    raise TypeError(
        f"modality {modality!r}: the {role} {name} must return an nn.Module, got {module!r} of "
        f"type {type(module).__name__}"
    )


def _copy(role: str, module: nn.Module, modality: str) -> nn.Module:
    try:
        return copy.deepcopy(module)
    except Exception as exc:
        raise ValueError(
            f"modality {modality!r}: the {role} {type(module).__name__} cannot be copied ({exc}); "
            "give its class or a function that makes it"
        ) from exc


def _unknown_message(
    role: str, name: str, registry: dict[str, type[nn.Module]], modality: str
) -> str:
    names = ["auto", *registry]
    return (
        f"modality {modality!r}: unknown {role} {name!r}; choose one of "
        f"{', '.join(map(repr, names))}, or give an nn.Module or its class."
        f"{did_you_mean(name.lower().replace('-', '_'), names)}"
    )


def _probe(role: str, module: nn.Module, shape: tuple[int, ...], modality: str) -> Tensor:
    """Output of a module for a batch of zeros; errors name the modality."""
    name = _class_name(module)
    device = next((p.device for p in module.parameters()), None)
    batch = torch.zeros(_PROBE_BATCH, *shape, device=device)
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
    if output.shape[:1] != (_PROBE_BATCH,):
        raise ValueError(
            f"modality {modality!r}: the {role} {name} turned a batch of {_PROBE_BATCH} rows of "
            f"shape {shape} into an output of shape {tuple(output.shape)}, expected the batch of "
            f"{_PROBE_BATCH} first"
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


def _unwrap(module: nn.Module) -> nn.Module:
    """Return the module inside `Frozen` and torch.compile."""
    while True:
        if isinstance(module, Frozen):
            module = module.module
        elif isinstance(getattr(module, "_orig_mod", None), nn.Module):
            module = module._orig_mod  # type: ignore[assignment]
        else:
            return module


def _class_name(module: nn.Module) -> str:
    return type(_unwrap(module)).__name__


@functools.lru_cache(maxsize=256)
def _has_lengths(forward: Callable[..., Any]) -> bool:
    try:
        return "lengths" in inspect.signature(forward).parameters
    except (TypeError, ValueError):
        return False
