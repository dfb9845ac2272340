"""Resampled groups for intervals, and permuted rows for null distributions."""

import numpy as np

from .._warnings import warn

PERMUTATIONS = ("auto", "trials", "within_groups", "groups")
_FEW_GROUPS = 5


def bootstrap_weights(n_units: int, n_bootstraps: int, rng: np.random.RandomState) -> np.ndarray:
    """How often each unit is drawn in each resample, (n_bootstraps, n_units)."""
    weights = np.empty((n_bootstraps, n_units))
    for row in weights:
        row[:] = np.bincount(rng.randint(n_units, size=n_units), minlength=n_units)
    return weights


def warn_of_few_groups(groups: np.ndarray | None) -> None:
    """Warn if an interval over groups can only be rough."""
    if groups is not None and groups.max() + 1 < _FEW_GROUPS:
        warn(
            f"Intervals over {groups.max() + 1} groups are too narrow as a rule: a bootstrap needs "
            "more. Take the spread over groups as it is, or measure more groups."
        )


def interval(draws: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval over the first axis."""
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail], axis=0)
    return low, high


def p_value(value: np.ndarray | float, null: np.ndarray) -> np.ndarray:
    """Share of the null at or above the value, which counts as one of the null itself."""
    if not len(null):
        return np.full(np.shape(value), np.nan)
    # equal up to rounding is equal: permutations often reproduce the value itself
    reached = null >= np.asarray(value) - 1e-12
    return (1 + reached.sum(axis=0)) / (1 + len(null))


def choose_permutation(
    permutation: str, name: str, values: np.ndarray, groups: np.ndarray | None
) -> str:
    """Resolve what of a factor may be exchanged."""
    if not isinstance(permutation, str) or permutation not in PERMUTATIONS:
        raise ValueError(
            f"permutation={permutation!r} is unknown; choose one of "
            f"{', '.join(map(repr, PERMUTATIONS))}."
        )
    if groups is None:
        if permutation in ("within_groups", "groups"):
            raise ValueError(f"permutation={permutation!r} needs groups, found groups=None.")
        return "trials"
    constant = _is_constant_in_groups(values, groups)
    if permutation == "auto":
        return "groups" if constant else "within_groups"
    if permutation == "within_groups" and constant:
        raise ValueError(
            f"Factor {name!r} is constant in every group, so that exchanging its values within "
            "groups changes nothing; take permutation='groups' or 'auto'."
        )
    if permutation == "groups" and not constant:
        raise ValueError(
            f"Factor {name!r} varies within groups; permutation='groups' is for factors that are "
            "the same in all rows of a group. Take 'within_groups' or 'auto'."
        )
    return permutation


def _is_constant_in_groups(values: np.ndarray, groups: np.ndarray) -> bool:
    _, first = np.unique(groups, return_index=True)
    return bool(np.array_equal(values, values[first][groups]))


def permuted_rows(
    kind: str,
    n_rows: int,
    groups: np.ndarray | None,
    n_permutations: int,
    rng: np.random.RandomState,
) -> np.ndarray:
    """Row that each row takes its value from, (n_permutations, n_rows)."""
    if kind == "groups" and groups is not None:
        _, first = np.unique(groups, return_index=True)
        return np.array([first[rng.permutation(len(first))][groups] for _ in range(n_permutations)])
    strata = groups if kind == "within_groups" and groups is not None else np.zeros(n_rows, int)
    rows = np.empty((n_permutations, len(strata)), dtype=int)
    ordered = np.argsort(strata, kind="stable")
    for drawn in rows:
        drawn[ordered] = np.lexsort((rng.random_sample(len(strata)), strata))
    return rows
