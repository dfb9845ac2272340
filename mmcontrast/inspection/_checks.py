"""Input of the probes: parts, groups, folds and their plain parameters."""

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.model_selection import GroupKFold, KFold
from sklearn.utils import check_random_state

from .._names import did_you_mean


def read_parts(
    parts: Any, X: Any = None, only: Mapping[str, str] | None = None
) -> dict[str, np.ndarray]:
    """Return the columns of each part, from a mapping or from a fitted estimator and rows.

    Parameters
    ----------
    parts : mapping of str to array, or estimator
        The parts themselves, or a fitted estimator with `transform` and `split`, also as the last
        step of a pipeline.
    X : like in transform
        Rows for an estimator.
    only : mapping of str to str, default=None
        Parts to read, each with the argument that asks for it; the others may be incomplete.
        None is all.

    Returns
    -------
    dict of str to ndarray of shape (n_rows, n_columns)
    """
    if isinstance(parts, Mapping):
        found = parts
    else:
        splitter = last_step(parts)
        if not hasattr(parts, "transform") or not hasattr(splitter, "split"):
            raise TypeError(
                f"parts is a {type(parts).__name__}; expected a dict of part to array, or a fitted "
                "estimator with transform and split, such as RUSDecomposer or FactorCL."
            )
        if X is None:
            raise ValueError(
                f"parts is a {type(parts).__name__}, which needs rows to transform: pass X=."
            )
        found = splitter.split(np.asarray(parts.transform(X)))
    found = {str(name): values for name, values in found.items()}
    if only is not None:
        found = {check_part(name, found, what): found[name] for name, what in only.items()}
    if not found:
        raise ValueError("parts is empty; expected at least one part, {'S': Z}.")
    arrays = {name: _read_part(name, values) for name, values in found.items()}
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"Parts have different numbers of rows: {lengths}; row i is trial i.")
    return arrays


def last_step(estimator: Any) -> Any:
    """Last step of a pipeline, or the estimator itself."""
    return estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator


def _read_part(name: str, values: Any) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"Part {name!r} cannot be read as an array of numbers: {error}.") from error
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or not array.size:
        raise ValueError(
            f"Part {name!r} has shape {array.shape}; expected (n_rows, n_columns), neither 0."
        )
    refuse_incomplete(name, array)
    return array


def refuse_incomplete(name: str, values: np.ndarray) -> None:
    """Refuse a part, or the norm of one, that some rows do not have."""
    bad = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
    if len(bad):
        raise ValueError(
            f"Part {name!r} is NaN or infinite in {len(bad)} of {len(values)} rows (the first is "
            f"row {bad[0]}), as it is where a modality is absent. Pass only the rows that have all "
            "modalities of the part, in parts or X and in everything that goes with them."
        )


def check_part(name: str, known: Iterable[str], what: str = "part", kind: str = "part") -> str:
    """Return the name of a part (or of another kind of thing), or say which there are."""
    known = list(known)
    if name not in known:
        raise ValueError(
            f"{what}={name!r} is no {kind}; the {kind}s are {', '.join(map(repr, known))}."
            + did_you_mean(name, known)
        )
    return name


def check_groups(groups: Any, n_rows: int) -> np.ndarray | None:
    """Return groups as codes 0, 1, ..., or None."""
    if groups is None:
        return None
    groups = np.asarray(groups)
    if groups.shape != (n_rows,):
        raise ValueError(f"groups has shape {groups.shape}; expected ({n_rows},), one per row.")
    names, codes = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise ValueError(
            f"All rows belong to the one group {names[0].item()!r}; at least two are needed to "
            "keep groups apart. Pass groups=None to treat trials as independent."
        )
    return codes.ravel()


def make_folds(
    cv: Any, n_rows: int, groups: np.ndarray | None, rng: np.random.RandomState
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (train, test) rows of each fold; every row is tested once."""
    if isinstance(cv, Integral):
        cv = check_count("cv", cv, 2)
        available = n_rows if groups is None else int(groups.max()) + 1
        if cv > available:
            what = "rows" if groups is None else "groups"
            raise ValueError(f"cv={cv} folds, but there are {available} {what}; take fewer folds.")
        cv = KFold(cv, shuffle=True, random_state=rng) if groups is None else GroupKFold(cv)
    if hasattr(cv, "split"):
        cv = cv.split(np.zeros((n_rows, 1)), None, groups)
    folds = [(np.asarray(train), np.asarray(test)) for train, test in cv]
    tested = np.concatenate([test for _, test in folds]) if folds else np.empty(0, int)
    if not np.array_equal(np.sort(tested), np.arange(n_rows)):
        raise ValueError(
            f"cv tests {len(np.unique(tested))} of {n_rows} rows in {len(tested)} tests; expected "
            "each row once, as KFold or GroupKFold do."
        )
    if groups is not None:
        _refuse_shared_groups(folds, groups)
    return folds


def _refuse_shared_groups(
    folds: Sequence[tuple[np.ndarray, np.ndarray]], groups: np.ndarray
) -> None:
    for number, (train, test) in enumerate(folds):
        shared = np.intersect1d(groups[train], groups[test])
        if len(shared):
            raise ValueError(
                f"Fold {number} of cv has rows of {len(shared)} groups in training and in test; "
                "take a splitter that keeps groups apart, such as GroupKFold."
            )


def check_count(name: str, value: Any, least: int) -> int:
    """Return an integer of at least `least`, or raise."""
    is_integer = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_integer or int(value) < least:
        raise ValueError(f"{name}={value!r} has to be an integer of at least {least}.")
    return int(value)


def check_share(name: str, value: Any) -> float:
    """Return a number between 0 and 1, both excluded, or raise."""
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 < float(value) < 1:
        raise ValueError(f"{name}={value!r} has to be a number between 0 and 1, such as 0.95.")
    return float(value)


def random_numbers(random_state: Any) -> np.random.RandomState:
    """Return random numbers that the caller's own generator is advanced by only once."""
    return np.random.RandomState(check_random_state(random_state).randint(2**31 - 1))
