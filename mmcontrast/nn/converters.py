"""Latent converters: they turn what an encoder returns into tokens of one common width.

The fusion reads sequences of tokens of shape ``(batch, n_tokens, embed_dim)``. A converter maps the
features of one modality, a vector, a sequence or a map, to such tokens.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from numbers import Integral

import torch
from torch import Tensor, nn

__all__ = [
    "FeatureTokenizer",
    "IdentityConverter",
    "PatchEmbedding",
    "SingleToken",
    "TokenProjection",
    "sincos_position_1d",
    "sincos_position_2d",
]

# what fits features of 1, 2 and 3 dimensions (without the batch), for the messages
_FITTING = {
    1: ("(n_features,)", '"single_token" or "feature_tokenizer"'),
    2: ("(n_tokens, width)", '"identity" or "token_projection"'),
    3: ("(n_channels, height, width)", '"patch_embedding"'),
}
_MAX_WAVELENGTH = 10_000.0


def sincos_position_1d(n_positions: int, embed_dim: int) -> Tensor:
    """Fixed sine-cosine position embedding of a sequence.

    Entry ``[p, i]`` is ``sin(p / 10000 ** (2 * i / embed_dim))`` in the first half of the columns;
    the second half holds the cosine of the same angles.

    Parameters
    ----------
    n_positions : int
        Number of positions, counted from 0.
    embed_dim : int
        Width of the embedding; even.

    Returns
    -------
    Tensor of shape (n_positions, embed_dim)
        float32; computed in float64, so that a longer table starts with the shorter one.

    Raises
    ------
    ValueError
        If `embed_dim` is odd.

    References
    ----------
    .. [1] Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.5.

    Examples
    --------
    >>> from mmcontrast.nn import sincos_position_1d
    >>> sincos_position_1d(2, 4)
    tensor([[0.0000, 0.0000, 1.0000, 1.0000],
            [0.8415, 0.0100, 0.5403, 0.9999]])
    """
    if embed_dim % 2:
        raise ValueError(
            f"a 1-D sine-cosine position needs an even embed_dim, got {embed_dim}; "
            "choose an even one or position=False"
        )
    exponents = torch.arange(0, embed_dim, 2, dtype=torch.float64) / embed_dim
    positions = torch.arange(n_positions, dtype=torch.float64)
    angles = positions[:, None] * _MAX_WAVELENGTH**-exponents
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()


def sincos_position_2d(height: int, width: int, embed_dim: int) -> Tensor:
    """Fixed sine-cosine position embedding of a map.

    The first half of the columns encodes the row of a position, the second half its column, each as
    `sincos_position_1d` does.

    Parameters
    ----------
    height, width : int
        Size of the map; its positions are read row by row.
    embed_dim : int
        Width of the embedding; a multiple of 4.

    Returns
    -------
    Tensor of shape (height * width, embed_dim)
        float32.

    Raises
    ------
    ValueError
        If `embed_dim` is not a multiple of 4.

    References
    ----------
    .. [1] He et al., "Masked autoencoders are scalable vision learners", CVPR 2022, appendix A.1.

    Examples
    --------
    >>> from mmcontrast.nn import sincos_position_2d
    >>> sincos_position_2d(4, 6, 64).shape
    torch.Size([24, 64])
    """
    if embed_dim % 4:
        raise ValueError(
            f"a 2-D sine-cosine position needs an embed_dim that is a multiple of 4, got "
            f"{embed_dim}; choose a multiple of 4 or position=False"
        )
    rows = sincos_position_1d(height, embed_dim // 2).repeat_interleave(width, dim=0)
    columns = sincos_position_1d(width, embed_dim // 2).repeat(height, 1)
    return torch.cat([rows, columns], dim=1)


@functools.lru_cache(maxsize=16)
def _cached_position_2d(
    height: int, width: int, embed_dim: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Table for maps of another size than the module was made for; never to be written to.

    It is kept outside of the modules: replicas that see maps of different sizes keep equal
    buffers, and copies, pickles and state dicts of a module do not depend on what it has seen.
    """
    # made within inference_mode, it could not be used in training
    with torch.inference_mode(False):
        return sincos_position_2d(height, width, embed_dim).to(device, dtype)


class _Position1d(nn.Module):
    """Adds the sine-cosine position to tokens of any number.

    The table is kept for `n_positions` and recomputed, never stored, for longer sequences: replicas
    that see batches of different lengths thus keep equal buffers.
    """

    table: Tensor

    def __init__(self, n_positions: int, embed_dim: int) -> None:
        super().__init__()
        self.register_buffer("table", sincos_position_1d(n_positions, embed_dim), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        n_tokens = tokens.shape[1]
        if n_tokens <= len(self.table):
            return tokens + self.table[:n_tokens]
        return tokens + sincos_position_1d(n_tokens, self.table.shape[1]).to(self.table)


class _Converter(nn.Module):
    """Keeps the shapes and refuses features that do not fit."""

    _n_dims: int
    """Number of dimensions of the features of one row."""

    def __init__(self, feature_shape: Sequence[int], embed_dim: int) -> None:
        super().__init__()
        self.feature_shape = check_shape("feature_shape", feature_shape)
        self.embed_dim = check_positive_int("embed_dim", embed_dim)
        if len(self.feature_shape) != self._n_dims:
            raise ValueError(self._misfit_message())

    def extra_repr(self) -> str:
        return f"feature_shape={self.feature_shape}, embed_dim={self.embed_dim}"

    def _misfit_message(self) -> str:
        message = (
            f"{type(self).__name__} expects features of shape {_FITTING[self._n_dims][0]} per row, "
            f"got {self.feature_shape}"
        )
        if len(self.feature_shape) in _FITTING:
            message += f"; converters that fit this shape: {_FITTING[len(self.feature_shape)][1]}"
        return message


class IdentityConverter(_Converter):
    """Tokens of a sequence encoder as they are, with a fixed position.

    Parameters
    ----------
    feature_shape : tuple of int
        (n_tokens, width) of one row; width must equal `embed_dim`. Sequences of another number of
        tokens are accepted later.
    embed_dim : int
        Width of the tokens; even if `position`.
    position : bool, default=True
        Whether to add `sincos_position_1d` to the tokens.

    Raises
    ------
    ValueError
        If the features are no sequence of tokens of width `embed_dim`.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import IdentityConverter
    >>> IdentityConverter((8, 32), 32)(torch.zeros(5, 8, 32)).shape
    torch.Size([5, 8, 32])
    """

    _n_dims = 2

    def __init__(self, feature_shape: Sequence[int], embed_dim: int, position: bool = True) -> None:
        super().__init__(feature_shape, embed_dim)
        n_tokens, width = self.feature_shape
        if width != embed_dim:
            raise ValueError(
                f"IdentityConverter passes tokens on as they are: found tokens of width {width}, "
                f'expected embed_dim={embed_dim}; use the converter "token_projection" or an '
                f"encoder that returns tokens of width {embed_dim}"
            )
        self.position = _Position1d(n_tokens, embed_dim) if position else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Add the position.

        Parameters
        ----------
        features : Tensor of shape (batch, n_tokens, embed_dim)
            Tokens of the encoder.

        Returns
        -------
        Tensor of shape (batch, n_tokens, embed_dim)
            Tokens.
        """
        return self.position(features)


class TokenProjection(_Converter):
    """One linear map for all tokens of a sequence, with a fixed position.

    Weights are Xavier uniform and biases zero: a projection of unit variance is not drowned in the
    position.

    Parameters
    ----------
    feature_shape : tuple of int
        (n_tokens, width) of one row. Sequences of another number of tokens are accepted later.
    embed_dim : int
        Width of the tokens; even if `position`.
    position : bool, default=True
        Whether to add `sincos_position_1d` to the projected tokens.

    Raises
    ------
    ValueError
        If the features are no sequence of tokens.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import TokenProjection
    >>> TokenProjection((8, 20), 32)(torch.zeros(5, 8, 20)).shape
    torch.Size([5, 8, 32])
    """

    _n_dims = 2

    def __init__(self, feature_shape: Sequence[int], embed_dim: int, position: bool = True) -> None:
        super().__init__(feature_shape, embed_dim)
        n_tokens, width = self.feature_shape
        self.projection = init_xavier_(nn.Linear(width, embed_dim))
        self.position = _Position1d(n_tokens, embed_dim) if position else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Project each token and add the position.

        Parameters
        ----------
        features : Tensor of shape (batch, n_tokens, width)
            Tokens of the encoder.

        Returns
        -------
        Tensor of shape (batch, n_tokens, embed_dim)
            Tokens.
        """
        return self.position(self.projection(features))


class PatchEmbedding(_Converter):
    """Each position of a feature map as one token, with a fixed 2-D position.

    A 1×1 convolution maps the channels to `embed_dim`; its weights are Xavier uniform, its biases
    zero.

    Parameters
    ----------
    feature_shape : tuple of int
        (n_channels, height, width) of one row. Maps of another size are accepted later.
    embed_dim : int
        Width of the tokens; a multiple of 4 if `position`.
    position : bool, default=True
        Whether to add `sincos_position_2d` to the tokens.

    Raises
    ------
    ValueError
        If the features are no map, or `embed_dim` does not allow a position.

    References
    ----------
    .. [1] Dosovitskiy et al., "An image is worth 16×16 words", ICLR 2021, section 3.1 (hybrid
       architecture).

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import PatchEmbedding
    >>> PatchEmbedding((48, 3, 4), 32)(torch.zeros(5, 48, 3, 4)).shape
    torch.Size([5, 12, 32])
    """

    _n_dims = 3
    position: Tensor | None

    def __init__(self, feature_shape: Sequence[int], embed_dim: int, position: bool = True) -> None:
        super().__init__(feature_shape, embed_dim)
        n_channels, height, width = self.feature_shape
        table = sincos_position_2d(height, width, embed_dim) if position else None
        self.projection = init_xavier_(nn.Conv2d(n_channels, embed_dim, kernel_size=1))
        self.register_buffer("position", table, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Turn a map into tokens.

        Parameters
        ----------
        features : Tensor of shape (batch, n_channels, height, width)
            Feature map of the encoder.

        Returns
        -------
        Tensor of shape (batch, height * width, embed_dim)
            Tokens, row by row of the map.
        """
        height, width = features.shape[2:]
        tokens = self.projection(features).flatten(2).transpose(1, 2)
        if self.position is None:
            return tokens
        if (height, width) == self.feature_shape[1:]:
            return tokens + self.position
        table = self.position
        return tokens + _cached_position_2d(
            height, width, self.embed_dim, table.device, table.dtype
        )


class FeatureTokenizer(_Converter):
    """Each feature of a vector as one token.

    Token j is ``x[j] * weight[j] + bias[j]``, with a weight and a bias vector per feature, drawn
    uniformly from ±1/sqrt(embed_dim).

    Parameters
    ----------
    feature_shape : tuple of int
        (n_features,) of one row.
    embed_dim : int
        Width of the tokens.

    Raises
    ------
    ValueError
        If the features are no vector.

    References
    ----------
    .. [1] Gorishniy et al., "Revisiting deep learning models for tabular data", NeurIPS 2021,
       section 3.3.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import FeatureTokenizer
    >>> FeatureTokenizer((10,), 32)(torch.zeros(5, 10)).shape
    torch.Size([5, 10, 32])
    """

    _n_dims = 1

    def __init__(self, feature_shape: Sequence[int], embed_dim: int) -> None:
        super().__init__(feature_shape, embed_dim)
        (n_features,) = self.feature_shape
        bound = 1 / math.sqrt(embed_dim)
        self.weight = nn.Parameter(torch.empty(n_features, embed_dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_features, embed_dim).uniform_(-bound, bound))

    def forward(self, features: Tensor) -> Tensor:
        """Turn a vector into tokens.

        Parameters
        ----------
        features : Tensor of shape (batch, n_features)
            Features of the encoder.

        Returns
        -------
        Tensor of shape (batch, n_features, embed_dim)
            Tokens.
        """
        return features.unsqueeze(-1) * self.weight + self.bias


class SingleToken(_Converter):
    """A vector as one token.

    A linear map (Xavier uniform, zero bias) to `embed_dim`; nothing at all when the vector already
    has this width.

    Parameters
    ----------
    feature_shape : tuple of int
        (n_features,) of one row.
    embed_dim : int
        Width of the token.

    Raises
    ------
    ValueError
        If the features are no vector.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import SingleToken
    >>> SingleToken((10,), 32)(torch.zeros(5, 10)).shape
    torch.Size([5, 1, 32])
    """

    _n_dims = 1

    def __init__(self, feature_shape: Sequence[int], embed_dim: int) -> None:
        super().__init__(feature_shape, embed_dim)
        (n_features,) = self.feature_shape
        self.projection: nn.Module = nn.Identity()
        if n_features != embed_dim:
            self.projection = init_xavier_(nn.Linear(n_features, embed_dim))

    def forward(self, features: Tensor) -> Tensor:
        """Turn a vector into one token.

        Parameters
        ----------
        features : Tensor of shape (batch, n_features)
            Features of the encoder.

        Returns
        -------
        Tensor of shape (batch, 1, embed_dim)
            Tokens.
        """
        return self.projection(features).unsqueeze(1)


def init_xavier_(layer: nn.Linear | nn.Conv2d) -> nn.Linear | nn.Conv2d:
    """Xavier uniform weight, zero bias; a convolution counts as the linear map of its patch."""
    nn.init.xavier_uniform_(layer.weight.data.flatten(1))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def check_positive_int(name: str, value: object, minimum: int = 1) -> int:
    """Return `value` as an int; ValueError unless it is an integer of at least `minimum`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {value!r}")
    return int(value)


def check_shape(name: str, shape: Sequence[int]) -> tuple[int, ...]:
    """Return `shape` as a tuple of ints; ValueError unless all of them are positive."""
    try:
        return tuple(check_positive_int(name, size) for size in shape)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a tuple of positive integers, got {shape!r}") from None
