"""Plain input as modalities: one array, or groups of its columns."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils._indexing import _get_column_indices

from ._container import Modalities
from ._values import check_name, is_frame, is_list_of_arrays, list_of_arrays_message, unknown_name


def refuse_collections(X: Any, owner: str) -> None:
    """Refuse lists and dicts of arrays: scikit-learn would take the modalities for rows."""
    if is_list_of_arrays(X):
        raise TypeError(list_of_arrays_message(owner, X))
    if isinstance(X, Mapping) and not issparse(X):  # a sparse dok_array is a dict
        raise TypeError(f"{owner} got a {type(X).__name__}; pass Modalities(**X) instead.")


def as_modalities(
    X: Any, modalities: Mapping[str, Any] | None = None, *, estimator_name: str = ""
) -> Modalities:
    """Turn what a user passes to an estimator into Modalities.

    Parameters
    ----------
    X : Modalities, array, DataFrame, tensor or mne.Epochs
        Modalities are returned as they are. Anything else is one modality called ``"x"``, or,
        if it has two dimensions, as many as there are column groups.
    modalities : mapping of str to columns, default=None
        Column groups of a plain 2-D X, as in scikit-learn's ColumnTransformer: slice, index,
        list of indices or names, boolean mask, name, or a callable of X that returns one of
        these. Groups may overlap.
    estimator_name : str, default=""
        Who asks, for messages.

    Returns
    -------
    X : Modalities
        The modalities.

    Raises
    ------
    TypeError
        If X is a dict, a list of arrays or otherwise not an array.
    ValueError
        If a group is empty or selects columns that are not there.

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast.modalities import as_modalities
    >>> as_modalities(np.zeros((4, 5)), {"left": slice(0, 3), "right": [3, 4]})
    Modalities of 4 rows
      left   (4, 3)  float64
      right  (4, 2)  float64
    """
    owner = estimator_name or "The estimator"
    if isinstance(X, Modalities):
        return X
    refuse_collections(X, owner)
    whole = Modalities(x=X)
    if modalities is None:
        return whole
    array = whole["x"]
    if array.ndim != 2:
        raise ValueError(
            f"modalities= names columns of a 2-D X, but X has shape {array.shape}. Pass Modalities "
            "with one array per modality instead."
        )
    if not isinstance(modalities, Mapping) or not modalities:
        raise ValueError(
            f"modalities= is a non-empty mapping of names to columns, got {modalities!r}."
        )
    return Modalities({name: _group(array, name, key) for name, key in modalities.items()})


def _group(array: Any, name: str, key: Any) -> Any:
    check_name(name)
    if callable(key):
        key = key(array)
    indices = _indices(array, name, key)
    if not indices:
        raise ValueError(f"Column group {name!r} selects no column (got {key!r}).")
    if is_frame(array):
        return array.iloc[:, indices]
    is_view = isinstance(key, slice) and key.step in (None, 1)
    return array[:, indices[0] : indices[-1] + 1] if is_view else array[:, indices]


def _indices(array: Any, name: str, key: Any) -> list[int]:
    if isinstance(key, slice) and all(_is_position(bound) for bound in (key.start, key.stop)):
        return list(range(array.shape[1])[key])
    keys = [key] if np.isscalar(key) else key
    if is_frame(array) and isinstance(keys, list):
        columns = list(array.columns)
        for column in keys:
            if isinstance(column, str) and column not in columns:
                message = unknown_name(column, map(str, columns), "column")
                raise ValueError(f"Column group {name!r}: {message}")
    try:
        return list(_get_column_indices(array, key))
    except (ValueError, TypeError, NotImplementedError) as error:
        raise ValueError(
            f"Column group {name!r} ({key!r}) does not fit X, which has {array.shape[1]} columns"
            f"{'' if is_frame(array) else ' without names'}: {error}"
        ) from error


def _is_position(bound: Any) -> bool:
    return bound is None or isinstance(bound, Integral)
