"""Projection heads between an embedding and a contrastive loss."""

from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral

import torch
from torch import Tensor, nn


class ProjectionHead(nn.Module):
    """MLP with batch normalisation, applied to every group of rows on its own.

    Each layer but the last is Linear, BatchNorm, ReLU [1]_. A group is one view under one mask;
    BatchNorm takes its statistics per group, as if the head were called once per group, while the
    linear layers run on all groups at once. It does so in evaluation too: views under different
    masks differ in their mean, so statistics averaged over all of them would fit none, and a loss
    on held-out rows would not compare with that of training.

    Parameters
    ----------
    in_features : int
        Size of the embedding.
    dims : sequence of int, default=(512, 512, 256)
        Sizes of the layers; the last one is the output.

    Raises
    ------
    ValueError
        If there is no layer or a size is not a positive integer.

    References
    ----------
    .. [1] Chen, Kornblith, Norouzi and Hinton. "A simple framework for contrastive learning of
       visual representations", ICML 2020; sizes from appendix B.4 of Dufumier et al., ICLR 2025.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import ProjectionHead
    >>> head = ProjectionHead(16, dims=(32, 32, 8))
    >>> head(torch.randn(3, 10, 16)).shape
    torch.Size([3, 10, 8])
    """

    def __init__(self, in_features: int, dims: Sequence[int] = (512, 512, 256)) -> None:
        super().__init__()
        if not len(dims) or not all(isinstance(d, Integral) and d > 0 for d in dims):
            raise ValueError(f"projection_dims={dims!r} has to hold one or more positive integers.")
        sizes = [in_features, *dims]
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.norms = nn.ModuleList(
            nn.BatchNorm1d(size, track_running_stats=False) for size in dims[:-1]
        )
        self.activation = nn.ReLU()

    def forward(self, z: Tensor) -> Tensor:
        """Project embeddings.

        Parameters
        ----------
        z : Tensor of shape (n_groups, n_rows, in_features)

        Returns
        -------
        Tensor of shape (n_groups, n_rows, dims[-1])
        """
        for linear, norm in zip(self.linears[:-1], self.norms, strict=True):
            h = linear(z)
            z = self.activation(torch.stack([norm(group) for group in h]))
        return self.linears[-1](z)


class ParallelHeads(nn.Module):
    """Several MLPs with one hidden layer of the same input, evaluated together.

    Parameters
    ----------
    in_features : int
        Size of the embedding.
    n_heads : int
        Number of MLPs.
    hidden_dim, out_dim : int
        Sizes of the hidden layer, with ReLU, and of the output of each of them.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import ParallelHeads
    >>> ParallelHeads(16, n_heads=5, hidden_dim=16, out_dim=8)(torch.randn(10, 16)).shape
    torch.Size([5, 10, 8])
    """

    def __init__(self, in_features: int, n_heads: int, *, hidden_dim: int, out_dim: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        hidden = [nn.Linear(in_features, hidden_dim) for _ in range(n_heads)]
        output = [nn.Linear(hidden_dim, out_dim) for _ in range(n_heads)]
        self.hidden_weight, self.hidden_bias = _stacked(hidden)
        self.output_weight, self.output_bias = _stacked(output)

    def forward(self, z: Tensor) -> Tensor:
        """Apply all heads.

        Parameters
        ----------
        z : Tensor of shape (n_rows, in_features)

        Returns
        -------
        Tensor of shape (n_heads, n_rows, out_dim)
        """
        rows = z.expand(self.n_heads, *z.shape)
        hidden_bias = self.hidden_bias.view(self.n_heads, 1, -1)
        hidden = torch.relu(torch.baddbmm(hidden_bias, rows, self.hidden_weight))
        output_bias = self.output_bias.view(self.n_heads, 1, -1)
        return torch.baddbmm(output_bias, hidden, self.output_weight)


def _stacked(layers: list[nn.Linear]) -> tuple[nn.Parameter, nn.Parameter]:
    """Weights (n, in, out) and, flat as biases are, biases (n * out,) of equal linear layers."""
    weights = torch.stack([layer.weight.detach().T for layer in layers])
    return nn.Parameter(weights), nn.Parameter(torch.cat([layer.bias.detach() for layer in layers]))
