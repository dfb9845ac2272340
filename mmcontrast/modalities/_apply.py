"""Run the transformer of one modality on its measured rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.utils import _safe_indexing

from ._container import Modalities
from ._values import coerce, is_frame


def measured(X: Modalities, name: str) -> tuple[Any, np.ndarray | None]:
    """Give the values of the rows that were measured.

    Parameters
    ----------
    X : Modalities
        The container.
    name : str
        The modality.

    Returns
    -------
    values : ndarray or DataFrame
        Values of the measured rows. Where no row was measured, a single row of zeros, from which a
        transformer tells the shape of its output.
    rows : ndarray of int, or None
        The measured rows; None if these are all rows.
    """
    present = X.presence(name)
    if present.all():
        return X[name], None
    rows = np.flatnonzero(present)
    if len(rows):
        return X[rows][name], rows
    first = X[:1][name]
    return (first.fillna(0) if is_frame(first) else np.zeros_like(first)), rows


def fit_one(
    transformer: Any, name: str, values: Any, rows: np.ndarray | None, y: Any, transform: bool
) -> tuple[Any, Any]:
    """Fit a clone of a transformer, and transform what it was fitted on if asked.

    Parameters
    ----------
    transformer : estimator
        Left as it is; a clone is fitted.
    name : str
        The modality, for messages.
    values : ndarray or DataFrame
        The measured rows of the modality.
    rows : ndarray of int, or None
        The measured rows; None if these are all rows.
    y : array-like or None
        Targets of all rows.
    transform : bool
        Whether to transform as well.

    Returns
    -------
    fitted : estimator
        The fitted clone.
    output : array, DataFrame or None
        Its output for the measured rows.
    """
    if rows is not None and y is not None:
        y = _safe_indexing(y, rows)

    def fit(values: Any) -> tuple[Any, Any]:
        fitted = clone(transformer)
        if not transform:
            return fitted.fit(values, y), None
        if hasattr(fitted, "fit_transform"):
            return fitted, fitted.fit_transform(values, y)
        return fitted, fitted.fit(values, y).transform(values)

    with _naming(f"while fitting the transformer of modality {name!r}"):
        return _shielded(fit, values)


def transform_one(transformer: Any, name: str, values: Any) -> Any:
    """Transform the measured rows of a modality with a fitted transformer."""
    with _naming(f"while transforming modality {name!r}"):
        return _shielded(transformer.transform, values)


def scatter(name: str, output: Any, present: np.ndarray) -> Any:
    """Check what a transformer returned and put it back in the rows it belongs to.

    Parameters
    ----------
    name : str
        The modality.
    output : array or DataFrame
        What the transformer returned for the rows given by `measured`.
    present : ndarray of bool, shape (n_rows,)
        The measured rows.

    Returns
    -------
    values : ndarray or DataFrame of n_rows rows
        The output, and zeros in rows that were not measured.
    """
    if issparse(output):
        raise ValueError(
            f"The transformer of modality {name!r} returned a sparse matrix; set its "
            "sparse_output=False (or the like)."
        )
    with _naming(f"in the output of the transformer of modality {name!r}"):
        values = coerce(name, output)
    rows = np.flatnonzero(present)
    expected = len(rows) if present.all() else max(1, len(rows))
    if len(values) != expected:
        raise ValueError(
            f"The transformer of modality {name!r} returned {len(values)} rows for {expected}; a "
            "transformer must keep the rows, since all modalities share them."
        )
    if present.all():
        return values
    values = values[: len(rows)]
    if is_frame(values):
        return values.set_axis(rows, axis=0).reindex(range(len(present)), fill_value=0)
    filled = np.zeros((len(present), *values.shape[1:]), dtype=values.dtype)
    filled[rows] = values
    return filled


def _shielded(call: Callable[[Any], Any], values: Any) -> Any:
    """Call with values that cannot be written to, or with a copy if the callee insists.

    Some transformers, MNE's filters among them, work in place: the caller's array would silently
    be filtered once more at each call.
    """
    if not isinstance(values, np.ndarray):
        return call(values)
    view = values.view()
    view.flags.writeable = False
    try:
        return call(view)
    except ValueError as error:
        if "read-only" not in str(error):
            raise
    return call(np.array(values))


@contextmanager
def _naming(where: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(where)
        raise
