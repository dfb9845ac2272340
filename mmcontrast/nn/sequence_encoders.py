"""Encoders of sequences: from rows of shape (n_channels, n_times) to tokens.

They take the number of valid time steps of each row. The rest of a row is padding: neither its
values nor its amount reaches the valid output tokens, and the output tokens beyond the valid ones
are zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmcontrast.nn.converters import (
    _Position1d,
    check_positive_int,
    check_shape,
    init_xavier_,
)
from mmcontrast.nn.encoders import check_dropout

__all__ = ["CausalConvEncoder", "GRUEncoder", "TransformerEncoder", "valid_steps"]

_N_HEADS = (8, 5, 4, 2, 1)


def valid_steps(lengths: Tensor, n_steps: int) -> Tensor:
    """Mask of the valid steps of padded sequences.

    Parameters
    ----------
    lengths : Tensor of shape (batch,)
        Number of valid steps of each row.
    n_steps : int
        Number of steps of the padded sequences.

    Returns
    -------
    Tensor of bool, shape (batch, n_steps)
        True where a step is valid.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import valid_steps
    >>> valid_steps(torch.tensor([1, 3]), 3)
    tensor([[ True, False, False],
            [ True,  True,  True]])
    """
    return torch.arange(n_steps, device=lengths.device) < lengths.unsqueeze(1)


class _SequenceEncoder(nn.Module):
    """Shapes, checks and padding of the encoders of sequences."""

    def __init__(self, input_shape: Sequence[int], embed_dim: int) -> None:
        super().__init__()
        self.input_shape = check_shape("input_shape", input_shape)
        self.embed_dim = check_positive_int("embed_dim", embed_dim)
        if len(self.input_shape) != 2:
            raise ValueError(
                f"{type(self).__name__} encodes rows of shape (n_channels, n_times), got "
                f"{self.input_shape}"
            )
        self.n_channels, self.n_times = self.input_shape

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Number of valid output tokens of padded sequences.

        Parameters
        ----------
        lengths : Tensor of shape (batch,)
            Numbers of valid time steps.

        Returns
        -------
        Tensor of shape (batch,)
            Numbers of valid tokens.
        """
        return lengths

    def _start(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Check a batch, move it to (batch, n_times, n_channels) and clear its padding."""
        if x.ndim != 3 or x.shape[1] != self.n_channels:
            raise ValueError(
                f"{type(self).__name__} expects a batch of shape (batch, {self.n_channels}, "
                f"n_times), got {tuple(x.shape)}"
            )
        x = x.transpose(1, 2)
        if lengths is None:
            return x, None
        if lengths.shape != x.shape[:1]:
            raise ValueError(
                f"{type(self).__name__} expects one length per row, got lengths of shape "
                f"{tuple(lengths.shape)} for {x.shape[0]} rows"
            )
        lengths = lengths.to(x.device)
        return _clear_padding(x, lengths), lengths


class GRUEncoder(_SequenceEncoder):
    """Gated recurrent units, read forwards; the tokens are all hidden states of the last layer.

    Input weights are Xavier uniform, recurrent weights orthogonal, gate by gate; biases are zero.

    Parameters
    ----------
    input_shape : tuple of int
        (n_channels, n_times) of one row; other numbers of time steps are accepted later.
    embed_dim : int, default=64
        Width of the hidden state.
    n_layers : int, default=1
        Number of stacked layers.
    dropout : float, default=0.0
        Dropout probability between the layers.

    Raises
    ------
    ValueError
        If a row is no sequence, or a parameter is out of range.

    References
    ----------
    .. [1] Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
       machine translation", EMNLP 2014.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import GRUEncoder
    >>> GRUEncoder((12, 24), embed_dim=16)(torch.zeros(3, 12, 24)).shape
    torch.Size([3, 24, 16])
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        embed_dim: int = 64,
        *,
        n_layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(input_shape, embed_dim)
        check_positive_int("n_layers", n_layers)
        check_dropout(dropout)
        self.gru = nn.GRU(
            self.n_channels,
            self.embed_dim,
            num_layers=n_layers,
            batch_first=True,
            # torch warns about dropout where there is no layer to drop between
            dropout=dropout if n_layers > 1 else 0.0,
        )
        for name, parameter in self.gru.named_parameters():
            _init_gru_parameter_(name, parameter)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Encode.

        Parameters
        ----------
        x : Tensor of shape (batch, n_channels, n_times)
            Sequences.
        lengths : Tensor of shape (batch,), optional
            Numbers of valid time steps; all of them by default.

        Returns
        -------
        Tensor of shape (batch, n_times, embed_dim)
            Tokens; zero beyond the valid ones.
        """
        steps, lengths = self._start(x, lengths)
        # forward-only: a state never sees the padding behind it, so nothing has to be packed
        tokens, _ = self.gru(steps)
        return tokens if lengths is None else _clear_padding(tokens, lengths)


class TransformerEncoder(_SequenceEncoder):
    """Transformer over time steps, with layer normalisation before each block and at the end.

    The linear maps inside the blocks are drawn from a normal distribution of standard deviation
    .02, truncated at two of them, with zero biases. The projection of the channels is Xavier
    uniform, as in masked autoencoders: at .02 the signal would be drowned in the position.

    Parameters
    ----------
    input_shape : tuple of int
        (n_channels, n_times) of one row; other numbers of time steps are accepted later.
    embed_dim : int, default=64
        Width of the tokens; even if `position`.
    n_heads : int, default=None
        Number of attention heads, a divisor of `embed_dim`; by default the largest divisor among 8,
        5, 4, 2 and 1.
    n_layers : int, default=5
        Number of layers.
    mlp_ratio : float, default=4.0
        Width of the hidden layer of the blocks over `embed_dim`.
    dropout : float, default=0.0
        Dropout probability inside the blocks.
    position : bool, default=True
        Whether to add `sincos_position_1d` to the projected time steps.

    Raises
    ------
    ValueError
        If a row is no sequence, or a parameter is out of range.

    References
    ----------
    .. [1] Vaswani et al., "Attention is all you need", NeurIPS 2017.
    .. [2] Xiong et al., "On layer normalization in the transformer architecture", ICML 2020.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import TransformerEncoder
    >>> encoder = TransformerEncoder((3, 7), embed_dim=40, n_layers=2)
    >>> encoder(torch.zeros(2, 3, 7), lengths=torch.tensor([7, 4])).shape
    torch.Size([2, 7, 40])
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        embed_dim: int = 64,
        *,
        n_heads: int | None = None,
        n_layers: int = 5,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        position: bool = True,
    ) -> None:
        super().__init__(input_shape, embed_dim)
        check_positive_int("n_layers", n_layers)
        check_dropout(dropout)
        if mlp_ratio <= 0:
            raise ValueError(f"mlp_ratio must be positive, got {mlp_ratio!r}")
        if n_heads is None:
            n_heads = next(n for n in _N_HEADS if self.embed_dim % n == 0)
        if self.embed_dim % check_positive_int("n_heads", n_heads):
            raise ValueError(
                f"n_heads must divide embed_dim, got n_heads={n_heads} and embed_dim={embed_dim}"
            )
        self.projection = init_xavier_(nn.Linear(self.n_channels, self.embed_dim))
        self.position = _Position1d(self.n_times, self.embed_dim) if position else nn.Identity()
        layer = nn.TransformerEncoderLayer(
            self.embed_dim,
            n_heads,
            dim_feedforward=max(1, round(mlp_ratio * self.embed_dim)),
            dropout=dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        norm = nn.LayerNorm(self.embed_dim)
        self.blocks = nn.TransformerEncoder(layer, n_layers, norm, enable_nested_tensor=False)
        for name, parameter in self.blocks.named_parameters():
            _init_block_parameter_(name, parameter)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Encode.

        Parameters
        ----------
        x : Tensor of shape (batch, n_channels, n_times)
            Sequences.
        lengths : Tensor of shape (batch,), optional
            Numbers of valid time steps; all of them by default.

        Returns
        -------
        Tensor of shape (batch, n_times, embed_dim)
            Tokens; zero beyond the valid ones.
        """
        steps, lengths = self._start(x, lengths)
        tokens = self.position(self.projection(steps))
        if lengths is None:
            return self.blocks(tokens)
        # a row without any key has no defined attention: an empty one keeps its first step
        padding = ~valid_steps(lengths.clamp(min=1), steps.shape[1])
        tokens = self.blocks(tokens, src_key_padding_mask=padding)
        return _clear_padding(tokens, lengths)


class CausalConvEncoder(_SequenceEncoder):
    """Strided causal convolutions over time.

    Each layer shortens the sequence by `stride`, rounded up. Token t stands for the `total_stride`
    time steps from ``t * total_stride`` on and depends on these and earlier ones alone: every step
    is read, the last ones too. Layer normalisation over the channels of each time step follows
    each convolution, and GELU all but the last. Weights are Kaiming normal (fan-out), biases
    zero.

    Parameters
    ----------
    input_shape : tuple of int
        (n_channels, n_times) of one row; other numbers of time steps are accepted later.
    embed_dim : int, default=64
        Width of the tokens.
    n_layers : int, default=None
        Number of layers; by default 1 to 5, so that about 8 tokens remain of n_times.
    kernel_size : int, default=3
        Time steps under each kernel; at least `stride`.
    stride : int, default=2
        Factor by which each layer shortens the sequence.
    channels : int, default=None
        Width of the layers but the last; `embed_dim` by default.

    Attributes
    ----------
    total_stride : int
        Time steps per token.

    Raises
    ------
    ValueError
        If a row is no sequence, or a parameter is out of range.

    References
    ----------
    .. [1] Lee et al., "Making sense of vision and touch: self-supervised learning of multimodal
       representations for contact-rich tasks", ICRA 2019 (the force encoder).

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import CausalConvEncoder
    >>> encoder = CausalConvEncoder((6, 32), embed_dim=16)
    >>> encoder(torch.zeros(3, 6, 32)).shape
    torch.Size([3, 8, 16])
    >>> encoder.output_lengths(torch.tensor([32, 9, 1]))
    tensor([8, 3, 1])
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        embed_dim: int = 64,
        *,
        n_layers: int | None = None,
        kernel_size: int = 3,
        stride: int = 2,
        channels: int | None = None,
    ) -> None:
        super().__init__(input_shape, embed_dim)
        self.stride = check_positive_int("stride", stride)
        self.kernel_size = check_positive_int("kernel_size", kernel_size, minimum=self.stride)
        if n_layers is None:
            n_layers = _default_n_layers(self.n_times, self.stride)
        self.n_layers = check_positive_int("n_layers", n_layers)
        hidden = check_positive_int("channels", self.embed_dim if channels is None else channels)
        widths = (self.n_channels, *[hidden] * (self.n_layers - 1), self.embed_dim)
        self.convs = nn.ModuleList(
            _kaiming_conv(nn.Conv1d(n_in, n_out, self.kernel_size, stride=self.stride))
            for n_in, n_out in pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(n_out) for n_out in widths[1:])

    @property
    def total_stride(self) -> int:
        """Time steps per token."""
        return self.stride**self.n_layers

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Number of valid output tokens of padded sequences.

        Parameters
        ----------
        lengths : Tensor of shape (batch,)
            Numbers of valid time steps.

        Returns
        -------
        Tensor of shape (batch,)
            Numbers of valid tokens: lengths / total_stride, rounded up.
        """
        return _ceil_div(lengths, self.total_stride)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Encode.

        Parameters
        ----------
        x : Tensor of shape (batch, n_channels, n_times)
            Sequences.
        lengths : Tensor of shape (batch,), optional
            Numbers of valid time steps; all of them by default.

        Returns
        -------
        Tensor of shape (batch, n_tokens, embed_dim)
            Tokens; zero beyond the valid ones. n_tokens is n_times / total_stride, rounded up.
        """
        steps, lengths = self._start(x, lengths)
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            # the kernel ends with the last step of its stride; the left padding hides the future,
            # the right padding completes the last stride
            padding = (self.kernel_size - self.stride, -steps.shape[1] % self.stride)
            steps = norm(conv(F.pad(steps.transpose(1, 2), padding)).transpose(1, 2))
            if i + 1 < self.n_layers:
                steps = F.gelu(steps)
            if lengths is not None:
                # biases filled the padding, which the last valid token of the next layer may see
                lengths = _ceil_div(lengths, self.stride)
                steps = _clear_padding(steps, lengths)
        return steps


def _clear_padding(steps: Tensor, lengths: Tensor) -> Tensor:
    """Zero the steps beyond the valid ones; steps is (batch, n_steps, width)."""
    # filled, not multiplied: padding may hold NaN
    return steps.masked_fill(~valid_steps(lengths, steps.shape[1]).unsqueeze(-1), 0.0)


def _ceil_div(lengths: Tensor, divisor: int) -> Tensor:
    return (lengths + divisor - 1).div(divisor, rounding_mode="floor")


def _default_n_layers(n_times: int, stride: int, n_tokens: int = 8, max_layers: int = 5) -> int:
    if stride == 1:
        return max_layers
    return min(max(round(math.log(n_times / n_tokens, stride)), 1), max_layers)


def _kaiming_conv(conv: nn.Conv1d) -> nn.Conv1d:
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def _init_gru_parameter_(name: str, parameter: nn.Parameter) -> None:
    if name.startswith("bias"):
        nn.init.zeros_(parameter)
        return
    init = nn.init.xavier_uniform_ if name.startswith("weight_ih") else nn.init.orthogonal_
    for gate in parameter.data.chunk(3):
        init(gate)


def _init_block_parameter_(name: str, parameter: nn.Parameter) -> None:
    if name.endswith("bias"):
        nn.init.zeros_(parameter)
    elif parameter.ndim > 1:
        nn.init.trunc_normal_(parameter, std=0.02, a=-0.04, b=0.04)
