"""Critics: scores of pairs, from which bounds on mutual information are made."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .converters import check_positive_int, check_shape

# numbers of the N x M x hidden block that are held at a time: a CPU's cache, a part of a GPU
_BLOCK = {"cpu": 2**17, "cuda": 2**26}


class SeparableCritic(nn.Module):
    r"""Inner product of two embeddings, :math:`f(x, y) = g(x)^\top h(y)`.

    Its cost grows with the number of rows, not of pairs, but for the product itself.

    Parameters
    ----------
    x_dim, y_dim : int
        Sizes of x and y.
    hidden_dims : sequence of int, default=(512,)
        Hidden layers of the two networks g and h; ReLU after each.
    embed_dim : int, default=64
        Size of the embeddings.

    References
    ----------
    Poole, Ozair, van den Oord, Alemi and Tucker. "On variational bounds of mutual information",
    ICML 2019, section 3.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import SeparableCritic
    >>> SeparableCritic(5, 3)(torch.randn(10, 5), torch.randn(8, 3)).shape
    torch.Size([10, 8])
    """

    def __init__(
        self, x_dim: int, y_dim: int, hidden_dims: Sequence[int] = (512,), embed_dim: int = 64
    ) -> None:
        super().__init__()
        self.x_network = _mlp((x_dim, *hidden_dims, embed_dim))
        self.y_network = _mlp((y_dim, *hidden_dims, embed_dim))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Score every x with every y.

        Parameters
        ----------
        x : Tensor of shape (n, x_dim)
        y : Tensor of shape (m, y_dim)

        Returns
        -------
        Tensor of shape (n, m)
        """
        return self.x_network(x) @ self.y_network(y).T

    def pairs(self, x: Tensor, y: Tensor) -> Tensor:
        """Score every x with candidates of its own.

        Parameters
        ----------
        x : Tensor of shape (n, x_dim)
        y : Tensor of shape (n, k, y_dim)

        Returns
        -------
        Tensor of shape (n, k)
        """
        return torch.einsum("nd,nkd->nk", self.x_network(x), self.y_network(y))


class BilinearCritic(nn.Module):
    r"""Bilinear form, :math:`f(x, y) = x^\top W y`.

    Parameters
    ----------
    x_dim, y_dim : int
        Sizes of x and y.

    References
    ----------
    van den Oord, Li and Vinyals. "Representation learning with contrastive predictive coding",
    2018, equation 3.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import BilinearCritic
    >>> BilinearCritic(5, 3)(torch.randn(10, 5), torch.randn(8, 3)).shape
    torch.Size([10, 8])
    """

    def __init__(self, x_dim: int, y_dim: int) -> None:
        super().__init__()
        x_dim, y_dim = check_positive_int("x_dim", x_dim), check_positive_int("y_dim", y_dim)
        self.linear = nn.Linear(x_dim, y_dim, bias=False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Score every x with every y.

        Parameters
        ----------
        x : Tensor of shape (n, x_dim)
        y : Tensor of shape (m, y_dim)

        Returns
        -------
        Tensor of shape (n, m)
        """
        return self.linear(x) @ y.T

    def pairs(self, x: Tensor, y: Tensor) -> Tensor:
        """Score every x with candidates of its own.

        Parameters
        ----------
        x : Tensor of shape (n, x_dim)
        y : Tensor of shape (n, k, y_dim)

        Returns
        -------
        Tensor of shape (n, k)
        """
        return torch.einsum("nd,nkd->nk", self.linear(x), y)


class ConcatCritic(nn.Module):
    r"""MLP of the concatenated pair, :math:`f(x, y) = \mathrm{MLP}([x, y])`.

    The first layer is linear before its ReLU, so it is split, :math:`W [x, y] = W_x x + W_y y`,
    and each half is computed once per row: the pairs are never concatenated. With one hidden
    layer the scores are then made block by block, and the :math:`N \times M \times` `hidden`
    activations are not kept for the gradient but made again.

    Parameters
    ----------
    x_dim, y_dim : int
        Sizes of x and y.
    hidden_dims : sequence of int, default=(512,)
        Hidden layers, one or more; ReLU after each.

    References
    ----------
    Liang, Deng, Ma, Zou, Morency and Salakhutdinov. "Factorized contrastive learning: going
    beyond multi-view redundancy", NeurIPS 2023, appendix D.1.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import ConcatCritic
    >>> ConcatCritic(5, 3)(torch.randn(10, 5), torch.randn(8, 3)).shape
    torch.Size([10, 8])
    """

    def __init__(self, x_dim: int, y_dim: int, hidden_dims: Sequence[int] = (512,)) -> None:
        super().__init__()
        x_dim, y_dim = check_positive_int("x_dim", x_dim), check_positive_int("y_dim", y_dim)
        if not len(hidden_dims):
            raise ValueError("hidden_dims=() of a concat critic has to hold one or more layers.")
        first, *rest = check_shape("hidden_dims", hidden_dims)
        concatenated = nn.Linear(x_dim + y_dim, first)  # initialised as the whole layer
        self.weight_x = nn.Parameter(concatenated.weight[:, :x_dim].detach().clone())
        self.weight_y = nn.Parameter(concatenated.weight[:, x_dim:].detach().clone())
        self.bias = nn.Parameter(concatenated.bias.detach().clone())
        self.rest = _mlp((first, *rest, 1))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Score every x with every y.

        Parameters
        ----------
        x : Tensor of shape (n, x_dim)
        y : Tensor of shape (m, y_dim)

        Returns
        -------
        Tensor of shape (n, m)
        """
        x_half, y_half = F.linear(x, self.weight_x, self.bias), F.linear(y, self.weight_y)
        if len(self.rest) > 1:
            return self.rest(torch.relu(x_half[:, None] + y_half))[..., 0]
        last: Any = self.rest[0]
        x_half, y_half = (half.to(last.weight.dtype) for half in (x_half, y_half))
        with torch.autocast(x.device.type, enabled=False):
            return _PairwiseReLU.apply(x_half, y_half, last.weight[0]) + last.bias

    def pairs(self, x: Tensor, y: Tensor) -> Tensor:
        """Score every x with candidates of its own.

        Parameters
        ----------
        x : Tensor of shape (n, x_dim)
        y : Tensor of shape (n, k, y_dim)

        Returns
        -------
        Tensor of shape (n, k)
        """
        x_half, y_half = F.linear(x, self.weight_x, self.bias), F.linear(y, self.weight_y)
        return self.rest(torch.relu(x_half[:, None] + y_half))[..., 0]


class _PairwiseReLU(torch.autograd.Function):
    """``relu(a[:, None] + b) @ w`` without a tensor of all pairs, forwards or backwards."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(a, b, w)
        scores = a.new_empty(len(a), len(b))
        for rows, hidden in _blocks(a, b):
            torch.add(a[rows, None], b, out=hidden).relu_()
            torch.matmul(hidden, w, out=scores[rows])
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, b, w = ctx.saved_tensors
        # sums over one side of the gradient where the unit is active
        over_b, over_a = torch.empty_like(a), torch.zeros_like(b)
        for rows, active in _blocks(a, b):
            torch.gt(b, -a[rows, None], out=active)
            torch.bmm(grad[rows, None], active, out=over_b[rows, None])
            if len(active) == 1:
                over_a.addcmul_(active[0], grad[rows].T)
            else:
                over_a += torch.einsum("nm,nmh->mh", grad[rows], active)
        # a relu is its input times its activity
        grad_w = (over_b * a).sum(0) + (over_a * b).sum(0)
        return over_b * w, over_a * w, grad_w


def _blocks(a: Tensor, b: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Blocks of rows of a, and room for their pairs with b."""
    size = max(1, _BLOCK.get(a.device.type, _BLOCK["cuda"]) // max(1, b.numel()))
    room = a.new_empty(min(size, len(a)), *b.shape)
    for start in range(0, len(a), size):
        rows = slice(start, min(start + size, len(a)))
        yield rows, room[: rows.stop - start]


CRITICS: dict[str, Callable[..., nn.Module]] = {
    "separable": SeparableCritic,
    "bilinear": BilinearCritic,
    "concat": ConcatCritic,
}


def build_critic(
    spec: str | Callable[..., nn.Module],
    x_dim: int,
    y_dim: int,
    hidden_dims: Sequence[int] = (512,),
) -> nn.Module:
    """Build a critic from its name.

    Parameters
    ----------
    spec : {"separable", "bilinear", "concat"} or callable
        A callable is given `x_dim` and `y_dim` and returns a Module like :class:`ConcatCritic`,
        with a method ``pairs`` if candidates are to differ from row to row.
    x_dim, y_dim : int
        Sizes of x and y.
    hidden_dims : sequence of int, default=(512,)
        Hidden layers; not used by a bilinear critic or a callable.

    Returns
    -------
    Module
        Called with x (n, x_dim) and y (m, y_dim), it returns scores (n, m).

    Raises
    ------
    ValueError
        If there is no such critic.
    TypeError
        If the callable does not make a Module.

    Examples
    --------
    >>> from mmcontrast.nn import build_critic
    >>> type(build_critic("concat", 8, 4)).__name__
    'ConcatCritic'
    """
    if not isinstance(spec, str):
        critic = spec(x_dim, y_dim)
        if not isinstance(critic, nn.Module):
            raise TypeError(f"critic made a {type(critic).__name__}, expected a torch Module.")
        return critic
    if spec not in CRITICS:
        raise ValueError(
            f"critic={spec!r} is unknown; choose one of {', '.join(map(repr, CRITICS))} or pass a "
            "callable."
        )
    return CRITICS[spec](
        x_dim, y_dim, **({} if spec == "bilinear" else {"hidden_dims": hidden_dims})
    )


def _mlp(dims: Sequence[int]) -> nn.Sequential:
    sizes = check_shape("hidden_dims", dims)
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
