"""Information between variables that are jointly Gaussian, from their covariance."""

import math

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import digamma

from ._checks import check_rows
from ._estimate import Estimate


def gaussian(x: np.ndarray, y: np.ndarray, z: np.ndarray | None = None) -> Estimate:
    """Closed form with exact correction of the small-sample bias.

    Parameters
    ----------
    x, y : ndarray of shape (n_rows, n_features)
    z : ndarray of shape (n_rows, n_features) or None
        The condition.

    Returns
    -------
    Estimate
    """
    x, y = _full_rank(x), _full_rank(y)
    given = np.empty((len(x), 0)) if z is None else _full_rank(z)
    n_rows, n_columns = len(x), x.shape[1] + y.shape[1] + given.shape[1]
    check_rows(n_rows, n_columns + 3, "more than there are columns in all variables together")
    # I(X; Y | Z) = h(X, Z) + h(Y, Z) - h(X, Y, Z) - h(Z)
    signs = (1, 1, -1, -1)
    sets = [(x, given), (y, given), (x, y, given), (given,)]
    entropies = [_entropy(np.hstack(parts)) for parts in sets]
    value = sum(sign * h for sign, (h, _) in zip(signs, entropies, strict=True))
    influence = sum(sign * i for sign, (_, i) in zip(signs, entropies, strict=True))
    stderr = np.std(influence, ddof=1) / math.sqrt(n_rows)
    return Estimate(value, float(stderr), method="gaussian")


def _full_rank(x: np.ndarray) -> np.ndarray:
    """Whitened coordinates in the subspace that the rows span: they have the same information."""
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(x.T)))
    kept = values > 1e-10 * values[-1]
    return (x - x.mean(axis=0)) @ vectors[:, kept] / np.sqrt(values[kept])


def _entropy(x: np.ndarray) -> tuple[float, np.ndarray]:
    """Differential entropy less its constant, unbiased, and what each row adds to it."""
    n_rows, dim = x.shape
    if not dim:
        return 0.0, np.zeros(n_rows)
    centred = x - x.mean(axis=0)
    covariance = centred.T @ centred / (n_rows - 1)
    try:
        factor = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        factor = np.zeros((dim, dim))
    diagonal = factor.diagonal()
    if diagonal.min() < 1e-6:
        raise ValueError(
            "A column of one variable is a linear function of the others, so that the information "
            "is infinite or not defined: drop it, or add the noise of its measurement."
        )
    # the log-determinant of a Wishart matrix is too small by this, on average
    freedom = n_rows - np.arange(1, dim + 1)
    bias = digamma(freedom / 2).sum() + dim * math.log(2 / (n_rows - 1))
    squares = solve_triangular(factor, centred.T, lower=True) ** 2
    return np.log(diagonal).sum() - bias / 2, squares.sum(axis=0) / 2
