"""Encoder of rows of any shape; `sequence_encoders` and `image_encoders` have those of others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from mmcontrast.nn.converters import check_positive_int, check_shape

__all__ = ["MLPEncoder", "check_dropout"]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
}


class MLPEncoder(nn.Module):
    """Multilayer perceptron over the flattened row.

    Weights are Kaiming uniform (fan-in; with the gain of ReLU before a hidden activation, of a
    linear map at the output), biases zero; batch normalisation starts at weight 1 and bias 0.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of one row; any.
    embed_dim : int, default=64
        Width of the output.
    hidden_dims : sequence of int, default=(128,)
        Widths of the hidden layers; empty for one linear map.
    activation : {"relu", "gelu", "silu", "leaky_relu", "tanh"}, default="relu"
        Activation of the hidden layers.
    dropout : float, default=0.0
        Dropout probability after each hidden activation.
    batch_norm : bool, default=False
        Whether to normalise before each hidden activation.

    Raises
    ------
    ValueError
        If a shape, a width, the activation or the dropout is not one of the above.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import MLPEncoder
    >>> MLPEncoder((5, 4), embed_dim=16)(torch.zeros(3, 5, 4)).shape
    torch.Size([3, 16])
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        embed_dim: int = 64,
        *,
        hidden_dims: Sequence[int] = (128,),
        activation: str = "relu",
        dropout: float = 0.0,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.input_shape = check_shape("input_shape", input_shape)
        self.embed_dim = check_positive_int("embed_dim", embed_dim)
        if activation not in _ACTIVATIONS:
            raise ValueError(f"activation must be one of {list(_ACTIVATIONS)}, got {activation!r}")
        check_dropout(dropout)
        dims = (math.prod(self.input_shape), *check_shape("hidden_dims", hidden_dims))
        layers: list[nn.Module] = [nn.Flatten()]
        for n_in, n_out in pairwise(dims):
            layers.append(_kaiming_linear(n_in, n_out, "relu"))
            if batch_norm:
                layers.append(nn.BatchNorm1d(n_out))
            layers.append(_ACTIVATIONS[activation]())
            if dropout:
                layers.append(nn.Dropout(dropout))
        layers.append(_kaiming_linear(dims[-1], self.embed_dim, "linear"))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Encode.

        Parameters
        ----------
        x : Tensor of shape (batch, ...)
            Rows.

        Returns
        -------
        Tensor of shape (batch, embed_dim)
            Features.
        """
        return self.layers(x)


def check_dropout(dropout: float) -> None:
    """Raise a ValueError unless a dropout rate is in [0, 1)."""
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be in [0, 1), got {dropout!r}")


def _kaiming_linear(n_in: int, n_out: int, nonlinearity: str) -> nn.Linear:
    layer = nn.Linear(n_in, n_out)
    nn.init.kaiming_uniform_(layer.weight, nonlinearity=nonlinearity)  # type: ignore[arg-type]
    nn.init.zeros_(layer.bias)
    return layer
