"""Contrastive bounds on mutual information, from the scores of a critic."""

import math

import torch
from torch import Tensor


def info_nce(scores: Tensor) -> Tensor:
    r"""InfoNCE lower bound on mutual information, in nats.

    .. math:: \frac{1}{N} \sum_i f(x_i, y_i) - \frac{1}{N} \sum_i \log \frac{1}{N} \sum_j
              e^{f(x_i, y_j)} \; \leq \; \min(I(X; Y), \log N)

    The bound on the information holds in expectation over batches; that by :math:`\log N` always.

    Parameters
    ----------
    scores : Tensor of shape (n_rows, n_rows)
        Score :math:`f(x_i, y_j)` of every x with every y; pairs that belong together are on the
        diagonal.

    Returns
    -------
    Tensor
        The bound, a scalar; to be maximised.

    Raises
    ------
    ValueError
        If the scores are not square or have fewer than two rows, so that there is no negative.

    References
    ----------
    van den Oord, Li and Vinyals. "Representation learning with contrastive predictive coding",
    2018; equation 10 of Liang et al., "Factorized contrastive learning", NeurIPS 2023.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.losses import info_nce
    >>> print(f"{info_nce(100 * torch.eye(8)):.3f} nats, log 8 = {torch.tensor(8).log():.3f}")
    2.079 nats, log 8 = 2.079
    """
    n_rows = _check_square(scores)
    return (scores.diagonal() - scores.logsumexp(dim=1)).mean() + math.log(n_rows)


def nce_club(scores: Tensor) -> Tensor:
    r"""NCE-CLUB bound on mutual information, in nats: an upper bound if the critic is optimal.

    .. math:: \frac{1}{N} \sum_i f^*(x_i, y_i) - \frac{1}{N^2} \sum_{i, j} f^*(x_i, y_j)
              \; \geq \; I(X; Y)

    where :math:`f^*` maximises InfoNCE. With the optimal critic it is the sum of
    :math:`I(X; Y)` and a Kullback-Leibler divergence that is at least as large for Gaussian data,
    so it is not tight; with a critic that is not trained to the end it may lie anywhere.

    Parameters
    ----------
    scores : Tensor of shape (n_rows, n_rows)
        Score of every x with every y; pairs that belong together are on the diagonal.

    Returns
    -------
    Tensor
        The bound, a scalar.

    Raises
    ------
    ValueError
        If the scores are not square or have fewer than two rows.

    References
    ----------
    Liang et al. "Factorized contrastive learning", NeurIPS 2023, equation 11.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.losses import nce_club
    >>> nce_club(torch.tensor([[2.0, 0.0], [0.0, 2.0]]))
    tensor(1.)
    """
    _check_square(scores)
    return scores.diagonal().mean() - scores.mean()


def conditional_info_nce(positive: Tensor, negative: Tensor) -> Tensor:
    r"""InfoNCE with negatives of each row's own, in nats.

    .. math:: \frac{1}{N} \sum_i \log \frac{e^{f(x_i, y_i)}}{\frac{1}{K + 1} \left(
              e^{f(x_i, y_i)} + \sum_k e^{f(x_i, y_{ik})} \right)}

    With negatives :math:`y_{ik}` drawn from :math:`p(y | z_i)` it is a lower bound on
    :math:`I(X; Y | Z)`; with negatives from :math:`p(y)`, and a critic that sees :math:`z`, it is
    one on :math:`I(X, Z; Y)`, which is larger by :math:`I(Z; Y)`.

    Parameters
    ----------
    positive : Tensor of shape (n_rows,)
        Scores of the pairs that belong together.
    negative : Tensor of shape (n_rows, n_negatives)
        Scores of each row's negatives.

    Returns
    -------
    Tensor
        The bound, a scalar; at most log(n_negatives + 1).

    Raises
    ------
    ValueError
        If the shapes do not fit or there is no negative.

    References
    ----------
    Liang et al. "Factorized contrastive learning", NeurIPS 2023, equation 13.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.losses import conditional_info_nce
    >>> conditional_info_nce(torch.full((5,), 100.0), torch.zeros(5, 7)).exp()
    tensor(8.)
    """
    n_negatives = _check_negatives(positive, negative)
    scores = torch.cat([positive[:, None], negative], dim=1)
    return (positive - scores.logsumexp(dim=1)).mean() + math.log(n_negatives + 1)


def conditional_nce_club(positive: Tensor, negative: Tensor) -> Tensor:
    r"""NCE-CLUB with negatives of each row's own, in nats.

    .. math:: \frac{1}{N} \sum_i f^*(x_i, y_i) - \frac{1}{NK} \sum_{i, k} f^*(x_i, y_{ik})

    An upper bound on :math:`I(X; Y | Z)` if the negatives are drawn from :math:`p(y | z_i)` and
    the critic maximises :func:`conditional_info_nce`.

    Parameters
    ----------
    positive : Tensor of shape (n_rows,)
        Scores of the pairs that belong together.
    negative : Tensor of shape (n_rows, n_negatives)
        Scores of each row's negatives; the positive is not among them.

    Returns
    -------
    Tensor
        The bound, a scalar.

    Raises
    ------
    ValueError
        If the shapes do not fit or there is no negative.

    References
    ----------
    Liang et al. "Factorized contrastive learning", NeurIPS 2023, equation 14.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.losses import conditional_nce_club
    >>> conditional_nce_club(torch.full((5,), 2.0), torch.zeros(5, 3))
    tensor(2.)
    """
    _check_negatives(positive, negative)
    return positive.mean() - negative.mean()


def _check_square(scores: Tensor) -> int:
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1] or len(scores) < 2:
        raise ValueError(
            "scores have to be those of every x with every y, of shape (n_rows, n_rows) with at "
            f"least two rows; found shape {tuple(scores.shape)}."
        )
    return len(scores)


def _check_negatives(positive: Tensor, negative: Tensor) -> int:
    fits = positive.ndim == 1 and negative.ndim == 2 and len(positive) == len(negative)
    if not fits or not negative.numel():
        raise ValueError(
            "positive has to be of shape (n_rows,) and negative of (n_rows, n_negatives), with at "
            f"least one of each; found {tuple(positive.shape)} and {tuple(negative.shape)}."
        )
    return negative.shape[1]
