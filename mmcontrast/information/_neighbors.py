"""Information from distances to nearest neighbours."""

import math
from collections.abc import Callable

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from scipy.special import digamma

from .._warnings import warn
from ._checks import check_rows
from ._estimate import Estimate

# a tree is faster than all pairs only in few dimensions
_TREE_DIMENSIONS = 5
_BLOCK = 2**22
# of the rows; the bias of fewer was not seen beside the standard error
_REPEATED_SHARE = 0.05
_DITHER = (
    "add uniform noise as wide as the resolution (rng.uniform(-r / 2, r / 2, shape) for values "
    "rounded to r), which costs no information"
)


def ksg(
    x: np.ndarray, y: np.ndarray, z: np.ndarray | None = None, n_neighbors: int = 3
) -> Estimate:
    """Kraskov's first estimator and, with a condition, that of Frenzel and Pompe.

    Parameters
    ----------
    x, y : ndarray of shape (n_rows, n_features)
    z : ndarray of shape (n_rows, n_features) or None
        The condition.
    n_neighbors : int

    Returns
    -------
    Estimate

    Warns
    -----
    UserWarning
        If many rows of one variable are equal to `n_neighbors` others or more.
    """
    n_rows = len(x)
    check_rows(n_rows, n_neighbors + 2, f"more than n_neighbors={n_neighbors} + 1")
    given = np.empty((n_rows, 0)) if z is None else z
    radius = _kth_distance(np.hstack([x, y, given]), n_neighbors)
    if not radius.all():
        raise ValueError(
            f"{(radius == 0).sum()} rows are equal to {n_neighbors} others; method 'ksg' is for "
            f"continuous values: drop the repetitions, or {_DITHER}."
        )
    _warn_of_repeated({"X": x, "Y": y, "Z": given}, n_neighbors)
    with_x, with_y = np.hstack([x, given]), np.hstack([y, given])
    of_rows = digamma(n_neighbors) - _log_count(with_x, radius) - _log_count(with_y, radius)
    of_rows += digamma(n_rows) if z is None else _log_count(z, radius)
    return Estimate(of_rows.mean(), of_rows.std(ddof=1) / math.sqrt(n_rows), method="ksg")


def _warn_of_repeated(variables: dict[str, np.ndarray], n_neighbors: int) -> None:
    """Warn of values of one variable that so many rows share that they hold whole neighbourhoods.

    All rows of a neighbourhood are then at distance 0 in that variable, on the border in the
    other alone, and the count of the first is not that of a continuous variable.
    """
    for name, rows in variables.items():
        if not rows.shape[1]:
            continue
        _, index, counts = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
        share = (counts[index.ravel()] > n_neighbors).mean()
        if share > _REPEATED_SHARE:
            warn(
                f"{share:.0%} of the rows of {name} are equal to {n_neighbors} others or "
                "more; method 'ksg' is for continuous values, and the "
                "result can be wrong by far more than its standard error. If the values are "
                f"rounded, {_DITHER}."
            )


def _log_count(points: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Digamma of one more than the number of other rows nearer than the radius."""
    if points.shape[1] > _TREE_DIMENSIONS:
        nearer = _by_blocks(points, lambda d, rows: (d < radius[rows, None]).sum(axis=1))
    else:
        below = np.nextafter(radius, 0)
        tree = cKDTree(points)
        nearer = tree.query_ball_point(points, below, p=np.inf, return_length=True)
    return digamma(nearer)  # the row itself is among them


def _kth_distance(points: np.ndarray, k: int) -> np.ndarray:
    if points.shape[1] > _TREE_DIMENSIONS:
        return _by_blocks(points, lambda d, rows: np.partition(d, k, axis=1)[:, k])
    return cKDTree(points).query(points, [k + 1], p=np.inf)[0][:, 0]


def _by_blocks(points: np.ndarray, read: Callable[[np.ndarray, slice], np.ndarray]) -> np.ndarray:
    size = max(1, _BLOCK // len(points))
    blocks = [slice(start, start + size) for start in range(0, len(points), size)]
    return np.concatenate([read(cdist(points[rows], points, "chebyshev"), rows) for rows in blocks])
