"""From what a user writes (a name, a class, an instance) to checked encoders and converters."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from mmcontrast._names import did_you_mean
from mmcontrast.nn._frozen import Frozen, is_frozen
from mmcontrast.nn._probe import PROBE_BATCH, output_for_zeros
from mmcontrast.nn.converters import (
    FeatureTokenizer,
    IdentityConverter,
    PatchEmbedding,
    SingleToken,
    TokenProjection,
)
from mmcontrast.nn.encoders import MLPEncoder
from mmcontrast.nn.image_encoders import (
    AlexNetEncoder,
    CNNEncoder,
    ResNet18Encoder,
    ResNet50Encoder,
)
from mmcontrast.nn.sequence_encoders import CausalConvEncoder, GRUEncoder, TransformerEncoder
from mmcontrast.nn.spectral import SpectralEncoder

__all__ = [
    "CONVERTERS",
    "ENCODERS",
    "build_converter",
    "build_encoder",
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
    tokens = output_for_zeros("converter", converter, feature_shape, modality)
    if tokens.ndim != 3 or tokens.shape[1] == 0 or tokens.shape[2] != embed_dim:
        raise ValueError(
            f"modality {modality!r}: the converter {type(converter).__name__} turned a batch of "
            f"{PROBE_BATCH} rows of shape {feature_shape} into an output of shape "
            f"{tuple(tokens.shape)}, expected (batch, n_tokens, embed_dim) with "
            f"embed_dim={embed_dim}"
        )
    return converter


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
