"""Correlation of the size of a part with load."""

from typing import Any

import numpy as np

from ._checks import (
    check_count,
    check_groups,
    check_part,
    check_share,
    last_step,
    random_numbers,
    read_parts,
    refuse_incomplete,
)
from ._finding import Finding
from ._resampling import (
    bootstrap_weights,
    choose_permutation,
    interval,
    p_value,
    permuted_rows,
    warn_of_few_groups,
)
from ._targets import read_target


def load_correlation(
    parts: Any,
    load: Any,
    *,
    X: Any = None,
    part: str = "U_fnirs",
    groups: Any = None,
    rank_within_groups: bool = False,
    permutation: str = "auto",
    n_permutations: int = 1000,
    n_bootstraps: int = 1000,
    confidence: float = 0.95,
    random_state: int | np.random.RandomState | None = None,
) -> Finding:
    """Spearman correlation of the norm of a part with load.

    Parameters
    ----------
    parts : mapping of str to array, or estimator
        The parts, or a fitted estimator with `transform` and `split`, which needs `X`. If it has
        `norms`, norms are what that returns.
    load : array-like of shape (n_rows,)
        Load of each trial, in ascending order of effort if it has levels.
    X : Modalities or array, default=None
        Rows for an estimator.
    part : str, default="U_fnirs"
        The part whose norm is taken.
    groups : array-like of shape (n_rows,), default=None
        Subjects or sessions, for interval and permutations.
    rank_within_groups : bool, default=False
        Rank the trials of each group among themselves, so that groups that have larger signals
        altogether do not matter.
    permutation : {"auto", "trials", "within_groups", "groups"}, default="auto"
        What the null distribution exchanges, as in :func:`probe_parts`.
    n_permutations : int, default=1000
        Draws from the null distribution.
    n_bootstraps : int, default=1000
        Resamples of groups, or of rows without groups.
    confidence : float, default=0.95
        That of the interval.
    random_state : int, RandomState or None, default=None
        Fixes permutations and resamples.

    Returns
    -------
    Finding
        The correlation, its interval, and a two-sided p value against exchanging the load of
        trials. Nothing is fitted, so there are no folds.

    Raises
    ------
    TypeError, ValueError
        If parts or load cannot be read or do not match, load is constant, there is no such part,
        some rows do not have it, or its norm is the same in all rows.

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast.inspection import load_correlation
    >>> rng = np.random.default_rng(0)
    >>> load = rng.integers(0, 3, 300)
    >>> Z = rng.normal(size=(300, 8)) * (1 + load)[:, None]
    >>> found = load_correlation({"U_fnirs": Z}, load, random_state=0)
    >>> found.value > 0.8, round(found.p_value, 3)
    (True, 0.001)
    """
    norm = _norm(parts, X, part)
    if norm.std() <= 1e-6 * abs(norm.mean()):
        raise ValueError(
            f"The norm of part {part!r} is {norm.mean():.3g} in every row; unit-norm codes have no "
            "size to correlate."
        )
    load = read_target("load", load, len(norm), "continuous").values
    if load.shape[1] > 1:
        raise ValueError(f"load has {load.shape[1]} columns; expected one number per row.")
    codes = check_groups(groups, len(norm))
    if rank_within_groups and codes is None:
        raise ValueError("rank_within_groups=True needs groups, found groups=None.")
    kind = choose_permutation(permutation, "load", load, codes)
    if rank_within_groups and kind == "groups":
        raise ValueError(
            "load is constant in every group, so that its trials have no ranks within groups; take "
            "rank_within_groups=False."
        )
    check_count("n_permutations", n_permutations, 0)
    check_count("n_bootstraps", n_bootstraps, 1)
    warn_of_few_groups(codes)
    rng = random_numbers(random_state)
    units = np.arange(len(norm)) if codes is None else codes
    strata = codes if rank_within_groups and codes is not None else np.zeros(len(norm), int)
    pair = [_Ranks(values, strata) for values in (norm, load[:, 0])]
    ones = np.ones(len(norm))
    ranked = [ranks(ones) for ranks in pair]
    value = _correlation(ranked[0], ranked[1], ones)
    draws = [
        _correlation(pair[0](w), pair[1](w), w)
        for w in (unit[units] for unit in bootstrap_weights(units.max() + 1, n_bootstraps, rng))
    ]
    rows = permuted_rows(kind, len(norm), codes, n_permutations, rng)
    # ranks of exchanged values are the exchanged ranks
    null = np.array([_correlation(ranked[0], ranked[1][permuted], ones) for permuted in rows])
    low, high = interval(np.array(draws), check_share("confidence", confidence))
    p = p_value(abs(value), np.abs(null))
    return Finding(f"norm of {part} with load", value, float(low), float(high), float(p), null)


def _norm(parts: Any, X: Any, part: str) -> np.ndarray:
    step = last_step(parts)
    if hasattr(step, "norms") and X is not None:
        norms = step.norms(np.asarray(parts.transform(X)))
        norm = np.asarray(norms[check_part(part, list(norms))], dtype=np.float64)
        refuse_incomplete(part, norm)
        return norm
    return np.linalg.norm(read_parts(parts, X, {part: "part"})[part], axis=1)


class _Ranks:
    """Mean ranks within strata, centred there, of rows that count several times or not at all."""

    def __init__(self, values: np.ndarray, strata: np.ndarray) -> None:
        pairs = np.stack([strata, values])
        distinct, self.place = np.unique(pairs, axis=1, return_inverse=True)
        self.place = self.place.ravel()
        self.stratum = distinct[0].astype(int)

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        count = np.bincount(self.place, weights, minlength=len(self.stratum))
        below = np.cumsum(count) - count
        size = np.bincount(self.stratum, count)
        start = (np.cumsum(size) - size)[self.stratum]
        size = np.maximum(size[self.stratum], 1)
        # from -1/2 to 1/2, whatever the size of the stratum
        return ((below - start + count / 2) / size - 0.5)[self.place]


def _correlation(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    total = weights.sum()
    x, y = x - (weights @ x) / total, y - (weights @ y) / total
    return float((weights @ (x * y)) / np.sqrt((weights @ x**2) * (weights @ y**2)))
