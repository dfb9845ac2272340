"""What estimators check of their input, with messages that name the modality."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from ..modalities import Modalities, as_modalities
from ..modalities._columns import refuse_collections
from ..modalities._values import is_epochs, is_frame, unknown_name

_CHUNK_BYTES = 2**24


def check_input(estimator: BaseEstimator, X: Any, *, reset: bool) -> Modalities:
    """Turn what was passed to an estimator into modalities that it can read.

    Parameters
    ----------
    estimator : estimator
        With the parameter `modalities`; its `modalities_` are compared with `X` unless `reset`.
    X : Modalities, array, DataFrame or mne.Epochs
        A plain array is one modality, or several by the column groups of `modalities`.
    reset : bool
        True in ``fit``: set `modalities_`, `n_features_in_` and `feature_names_in_`.

    Returns
    -------
    Modalities

    Raises
    ------
    TypeError, ValueError
        If it is something else, or does not fit what the estimator was fitted on.
    """
    if isinstance(X, Modalities):
        modalities = X
    else:
        modalities = _from_plain(estimator, X, reset)
    if reset:
        estimator.modalities_ = dict(modalities.row_shapes)
        if isinstance(X, Modalities):
            shapes = modalities.row_shapes.values()
            estimator.n_features_in_ = sum(int(np.prod(shape)) for shape in shapes)
            if hasattr(estimator, "feature_names_in_"):
                del estimator.feature_names_in_
    else:
        _compare_with_fit(estimator, modalities)
    _check_rows(modalities)
    return modalities


def _from_plain(estimator: BaseEstimator, X: Any, reset: bool) -> Modalities:
    groups, name = estimator.modalities, type(estimator).__name__
    refuse_collections(X, name)
    if is_epochs(X):
        return as_modalities(X, groups, estimator_name=name)
    if is_frame(X) and groups is not None:  # column groups may go by name
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        return as_modalities(X, groups, estimator_name=name)
    X = validate_data(
        estimator, X, reset=reset, dtype="numeric", allow_nd=True, ensure_all_finite=False
    )
    return as_modalities(X, groups, estimator_name=name)


def _compare_with_fit(estimator: BaseEstimator, X: Modalities) -> None:
    known = estimator.modalities_
    for name, shape in X.row_shapes.items():
        if name not in known:
            raise ValueError(
                f"{type(estimator).__name__}: {unknown_name(name, known)} It was not there in fit."
            )
        padded = X.lengths(name) is not None and len(shape) == 2
        comparable = slice(None, -1) if padded else slice(None)
        if shape[comparable] != tuple(known[name])[comparable] or len(shape) != len(known[name]):
            raise ValueError(
                f"modality {name!r} has rows of shape {shape}, but {type(estimator).__name__} was "
                f"fitted on rows of shape {tuple(known[name])}."
            )


def _check_rows(X: Modalities) -> None:
    if not len(X):
        raise ValueError("Found array with 0 sample(s), while a minimum of 1 is required.")
    for name, shape in X.row_shapes.items():
        if 0 in shape:
            raise ValueError(
                f"modality {name!r}: found array with 0 feature(s) (shape={(len(X), *shape)}) "
                "while a minimum of 1 is required."
            )
    absent = np.logical_and.reduce([~X.presence(name) for name in X.names])
    if absent.any():
        rows = np.flatnonzero(absent)
        raise ValueError(
            f"{len(rows)} row(s) have no modality at all: every modality is marked absent or "
            f"consists of NaN, first in row {rows[0]}. Drop them with X[keep]."
        )


def check_finite(name: str, values: np.ndarray, first_row: int = 0) -> None:
    """Refuse NaN and infinity in rows that are present.

    Parameters
    ----------
    name : str
        The modality.
    values : array of shape (n_rows, ...)
        Rows in which the modality is present.
    first_row : int, default=0
        Number of the first row, for the message.

    Raises
    ------
    ValueError
        If a value is not finite.
    """
    # the sum is finite unless a value is not, or the sum overflows: then look closer
    if np.isfinite(values.sum(dtype=np.float64)):
        return
    bad = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if bad.any():
        raise ValueError(
            f"modality {name!r} contains NaN or infinity (inf), first in row "
            f"{first_row + int(np.argmax(bad))}. Impute these values, or mark the whole row as "
            "absent: presence={" + f"{name!r}" + ": mask}, or NaN in all its values."
        )


def training_scales(X: Modalities) -> dict[str, float]:
    """Check the values of training data and measure the spread of each modality.

    Reads every value once, in chunks.

    Parameters
    ----------
    X : Modalities

    Returns
    -------
    dict of str to float
        Standard deviation of each modality over all its values in present rows and valid steps.

    Raises
    ------
    ValueError
        If a modality holds NaN or infinity in a present row, does not vary over the rows, or is
        present in fewer than two rows.
    """
    return {name: _scale(X, name) for name in X.names}


def _scale(X: Modalities, name: str) -> float:
    lowest, highest, n_rows = np.array(np.inf), np.array(-np.inf), 0
    count, mean, squares = 0, 0.0, 0.0
    for first, values, valid in _present_chunks(X, name):
        check_finite(name, values, first)
        lowest = np.minimum(lowest, values.min(axis=0))
        highest = np.maximum(highest, values.max(axis=0))
        n_rows += len(values)
        inside = values if valid is None else values.swapaxes(1, 2)[valid]
        # chunks are merged as in Chan, Golub and LeVeque (1983), which stays exact far from zero
        n, chunk_mean = inside.size, float(inside.mean(dtype=np.float64))
        squares += float(np.square(inside - chunk_mean, dtype=np.float64).sum())
        squares += (chunk_mean - mean) ** 2 * count * n / (count + n)
        mean += (chunk_mean - mean) * n / (count + n)
        count += n
    if n_rows < 2:
        raise ValueError(
            f"modality {name!r} is present in {n_rows} row(s); training needs at least 2."
        )
    if np.array_equal(lowest, highest):
        raise ValueError(
            f"modality {name!r} has zero variance: its {n_rows} rows are all the same, so no row "
            "can be told from another. Drop it or check the step before."
        )
    return float(np.sqrt(squares / count))


def _present_chunks(X: Modalities, name: str) -> Iterator[tuple[int, np.ndarray, Any]]:
    """Chunks of present rows with the number of their first row and the valid time steps."""
    row_bytes = int(np.prod(X.row_shapes[name])) * X.dtypes[name].itemsize
    step = max(1, _CHUNK_BYTES // max(1, row_bytes))
    presence, lengths = X.presence(name), X.lengths(name)
    for start in range(0, len(X), step):
        here = presence[start : start + step]
        values = X.take(name, slice(start, start + step))
        if not here.all():
            values = values[here]
        if not len(values):
            continue
        valid = None
        if lengths is not None:
            steps = lengths[start : start + step][here]
            valid = np.arange(values.shape[-1]) < steps[:, None]
        yield start, values, valid
