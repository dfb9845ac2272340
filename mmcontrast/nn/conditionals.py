"""Conditional densities: how likely one variable is given another."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from .converters import check_positive_int, check_shape

# a log-variance is held within this distance of 0: one row cannot make the likelihood infinite
_LOG_VARIANCE_LIMIT = 10.0


class GaussianConditional(nn.Module):
    r"""Normal distribution of y whose mean and diagonal variance depend on x.

    .. math:: q(y \mid x) = \mathcal{N}\left(y;\; A x + m(x),\; \mathrm{diag}\, e^{s(x)}\right)

    with one MLP for m and s. Before training m and s are 0, so that training starts from what is
    linear and of equal variance.

    Parameters
    ----------
    x_dim, y_dim : int
        Sizes of x and y.
    hidden_dims : sequence of int, default=(128,)
        Hidden layers of the MLP; ReLU after each.

    References
    ----------
    Cheng, Hao, Dai, Liu, Gan and Carin. "CLUB: a contrastive log-ratio upper bound of mutual
    information", ICML 2020, section 3.2.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import GaussianConditional
    >>> q = GaussianConditional(5, 3)
    >>> x, y = torch.randn(10, 5), torch.randn(8, 3)
    >>> q.scores(x, y).shape
    torch.Size([10, 8])
    >>> q.log_prob(x[:8], y).shape
    torch.Size([8])
    """

    def __init__(self, x_dim: int, y_dim: int, hidden_dims: Sequence[int] = (128,)) -> None:
        super().__init__()
        x_dim, y_dim = check_positive_int("x_dim", x_dim), check_positive_int("y_dim", y_dim)
        sizes = (x_dim, *check_shape("hidden_dims", hidden_dims))
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(sizes):
            layers += [nn.Linear(n_in, n_out), nn.ReLU()]
        last = nn.Linear(sizes[-1], 2 * y_dim)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.network = nn.Sequential(*layers, last)
        self.linear = nn.Linear(x_dim, y_dim, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of y.

        Parameters
        ----------
        x : Tensor of shape (n, x_dim)

        Returns
        -------
        mean : Tensor of shape (n, y_dim)
        log_variance : Tensor of shape (n, y_dim)
        """
        shift, raw = self.network(x).chunk(2, dim=-1)
        limit = _LOG_VARIANCE_LIMIT
        return self.linear(x) + shift, limit * torch.tanh(raw / limit)

    def log_prob(self, x: Tensor, y: Tensor) -> Tensor:
        """Log-density of every row of y given the same row of x, in nats.

        Parameters
        ----------
        x : Tensor of shape (n, x_dim)
        y : Tensor of shape (n, y_dim)

        Returns
        -------
        Tensor of shape (n,)
        """
        mean, log_variance = self(x)
        squares = (y - mean).square() * torch.exp(-log_variance)
        return -0.5 * (squares + log_variance + math.log(2 * math.pi)).sum(dim=-1)

    def scores(self, x: Tensor, y: Tensor) -> Tensor:
        """Log-density of every y given every x, in nats, without a tensor of all pairs.

        Parameters
        ----------
        x : Tensor of shape (n, x_dim)
        y : Tensor of shape (m, y_dim)

        Returns
        -------
        Tensor of shape (n, m)
            The entry i, j is that of y_j given x_i; the diagonal is :meth:`log_prob`.
        """
        mean, log_variance = self(x)
        centre = y.mean(dim=0)  # squares of small numbers lose fewer digits
        y, mean, precision = y - centre, mean - centre, torch.exp(-log_variance)
        of_x = (mean.square() * precision + log_variance + math.log(2 * math.pi)).sum(dim=-1)
        squares = precision @ y.square().T - 2 * (mean * precision) @ y.T
        return -0.5 * (squares + of_x[:, None])
