"""What is trained for a bound, and how the bound is read from it row by row."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..losses import conditional_info_nce, info_nce
from ..nn import GaussianConditional, build_critic
from ._training import Loss

# value of every row, whose mean is the bound, and influence: how far the row moves the bound,
# times the number of rows, both by its own value and as a negative of the others
Reading = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Network:
    """How a network is made, trained, and read.

    Parameters
    ----------
    build : callable
        Called with the sizes of x and y.
    loss : callable
        Called with the module and the tensors of a batch.
    read : callable
        Called like `loss`; returns value and influence of every row, by the name of the bound.
    """

    build: Callable[[int, int], nn.Module]
    loss: Loss
    read: Callable[..., dict[str, Reading]]


def critic_network(critic: Any, hidden_dims: Sequence[int]) -> Network:
    """A critic that maximises InfoNCE among the rows of a batch."""
    return Network(
        build=lambda x_dim, y_dim: build_critic(critic, x_dim, y_dim, hidden_dims),
        loss=lambda module, x, y: -info_nce(module(x, y)),
        read=lambda module, x, y: read_scores(module(x, y).double()),
    )


def negatives_network(critic: Any, hidden_dims: Sequence[int]) -> Network:
    """A critic that maximises InfoNCE among the negatives that each row brings along."""

    def scores(module: Any, x: Tensor, y: Tensor, negatives: Tensor) -> Tensor:
        return module.pairs(x, torch.cat([y[:, None], negatives], dim=1))

    def loss(module: nn.Module, *batch: Tensor) -> Tensor:
        found = scores(module, *batch)
        return -conditional_info_nce(found[:, 0], found[:, 1:])

    return Network(
        build=lambda x_dim, y_dim: _with_pairs(build_critic(critic, x_dim, y_dim, hidden_dims)),
        loss=loss,
        read=lambda module, *batch: read_negatives(scores(module, *batch).double()),
    )


def _with_pairs(critic: nn.Module) -> nn.Module:
    if not callable(getattr(critic, "pairs", None)):
        raise TypeError(
            f"critic made a {type(critic).__name__} that has no method pairs; "
            "negatives='neighbors' needs pairs(x, y), which scores every row of x (n, x_dim) with "
            "candidates of its own y (n, k, y_dim) and returns (n, k), as that of SeparableCritic "
            "does. Add it, or use negatives='residuals'."
        )
    return critic


def conditional_network(hidden_dims: Sequence[int]) -> Network:
    """A normal distribution of y given x that maximises the likelihood."""
    return Network(
        build=lambda x_dim, y_dim: GaussianConditional(x_dim, y_dim, hidden_dims),
        loss=lambda module, x, y: -module.log_prob(x, y).mean(),
        read=lambda module, x, y: read_conditional(module.scores(x, y).double()),
    )


def read_scores(scores: Tensor) -> dict[str, Reading]:
    """Read InfoNCE and NCE-CLUB from scores of every x with every y of a batch."""
    value = scores.diagonal() - scores.logsumexp(dim=1) + math.log(len(scores))
    influence = value - scores.softmax(dim=1).sum(dim=0)
    return {"infonce": (value, influence), "nce_club": read_club(scores)}


def read_conditional(scores: Tensor) -> dict[str, Reading]:
    """Read CLUB, and InfoNCE, from log-probabilities of every y (column) given every x (row).

    They lack the p(y) of an optimal critic, which the candidates of one column share.
    """
    return {"club": read_club(scores), "infonce": read_scores(scores.T)["infonce"]}


def read_club(scores: Tensor) -> Reading:
    """Read CLUB, or NCE-CLUB, from scores of every x with every y of a batch."""
    value = scores.diagonal() - scores.mean(dim=1)
    return value, value - scores.mean(dim=0)


def read_negatives(scores: Tensor) -> dict[str, Reading]:
    """Read both bounds from the scores of every positive, in column 0, and its negatives."""
    positive, n_candidates = scores[:, 0], scores.shape[1]
    value = positive - scores.logsumexp(dim=1) + math.log(n_candidates)
    club = positive - scores[:, 1:].mean(dim=1)
    return {"infonce": (value, value), "nce_club": (club, club)}
