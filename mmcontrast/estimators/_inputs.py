"""What estimators check of their input, with messages that name the modality."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import validate_data

from .._warnings import warn
from ..modalities import Modalities, as_modalities
from ..modalities._columns import refuse_collections
from ..modalities._values import is_epochs, is_frame, unknown_name
from ..training.data import is_byte_image
from ._values import check_values

# modalities and targets
_Rows = tuple[Modalities, np.ndarray | None]

_AUTO_BATCH_SIZE = 64


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
    if reset:
        for stale in ("n_features_in_", "feature_names_in_"):
            estimator.__dict__.pop(stale, None)
        estimator._column_groups = estimator.modalities
    modalities = X if isinstance(X, Modalities) else _from_plain(estimator, X, reset)
    if reset:
        estimator._fitted_on_plain = not isinstance(X, Modalities)
        estimator.modalities_ = dict(modalities.row_shapes)
        estimator._columns = modalities.columns
        estimator._padded = {n for n in modalities.names if modalities.lengths(n) is not None}
        estimator._byte_images = _byte_images(modalities)
        if not hasattr(estimator, "n_features_in_"):
            shapes = modalities.row_shapes.values()
            estimator.n_features_in_ = sum(int(np.prod(shape)) for shape in shapes)
        _check_number(estimator, modalities)
        _warn_of_channels_last(modalities)
    else:
        _compare_with_fit(estimator, modalities)
    _check_rows(modalities)
    _check_images(modalities)
    return modalities


def _check_number(estimator: BaseEstimator, X: Modalities) -> None:
    """Refuse more or fewer modalities than the method takes."""
    least, most = estimator._min_modalities, estimator._max_modalities
    if least <= len(X.names) <= (most or len(X.names)):
        return
    expected = f"exactly {least}" if least == most else f"at least {least}"
    raise ValueError(
        f"{type(estimator).__name__} takes {expected} modalities, but found {len(X.names)}: "
        f"{', '.join(map(repr, X.names))}. Pass Modalities of so many (X.select(...) takes some of "
        "them), or column groups of a plain 2-D array through modalities=."
    )


def _from_plain(estimator: BaseEstimator, X: Any, reset: bool) -> Modalities:
    groups, name = estimator._column_groups, type(estimator).__name__
    refuse_collections(X, name)
    if not reset and not estimator._fitted_on_plain and len(estimator.modalities_) > 1:
        raise TypeError(
            f"{name} was fitted on Modalities of {', '.join(map(repr, estimator.modalities_))}, "
            f"but got a {type(X).__name__}. Pass Modalities with one or more of these names."
        )
    if is_epochs(X):
        return as_modalities(X, groups, estimator_name=name)
    if is_frame(X) and groups is not None:  # column groups may go by name
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        return as_modalities(X, groups, estimator_name=name)
    if hasattr(X, "detach"):  # a tensor, on any device
        X = X.detach().cpu()
        X = (X if str(X.dtype) == "torch.uint8" else X.float()).numpy()
    X = validate_data(
        estimator, X, reset=reset, dtype="numeric", allow_nd=True, ensure_all_finite=False
    )
    if groups is None and estimator._min_modalities > 1 and X.ndim == 2:
        groups = _halves(X.shape[1], name)
    return as_modalities(X, groups, estimator_name=name)


def _halves(n_columns: int, name: str) -> dict[str, slice]:
    """Two modalities of a plain array: its first and its second half."""
    if n_columns < 2:
        raise ValueError(
            f"{name} takes two modalities, the halves of a plain array's columns, but found array "
            f"with {n_columns} feature(s) while a minimum of 2 is required."
        )
    middle = (n_columns + 1) // 2
    return {"x1": slice(0, middle), "x2": slice(middle, None)}


def _compare_with_fit(estimator: BaseEstimator, X: Modalities) -> None:
    known = estimator.modalities_
    for name, shape in X.row_shapes.items():
        if name not in known:
            raise ValueError(
                f"{type(estimator).__name__}: {unknown_name(name, known)} It was not there in fit."
            )
        padded = X.lengths(name) is not None and name in estimator._padded
        comparable = slice(None, -1) if padded else slice(None)
        if shape[comparable] != tuple(known[name])[comparable] or len(shape) != len(known[name]):
            raise ValueError(
                f"modality {name!r} has rows of shape {shape}, but {type(estimator).__name__} was "
                f"fitted on rows of shape {tuple(known[name])}."
            )

    _compare_image_types(estimator, X)
    for name, columns in X.columns.items():
        fitted = estimator._columns.get(name, columns)
        if columns != fitted:
            raise ValueError(
                f"modality {name!r} has columns {list(columns)}, but "
                f"{type(estimator).__name__} was fitted on {list(fitted)}, in this order."
            )


def _byte_images(X: Modalities) -> set[str]:
    """Names of the modalities that are images of bytes."""
    shapes, dtypes = X.row_shapes, X.dtypes
    return {name for name in X.names if is_byte_image(dtypes[name], shapes[name])}


def _compare_image_types(estimator: BaseEstimator, X: Modalities) -> None:
    """Refuse bytes after a fit on floats, or the reverse: 255 means 1 in one and 255 in another."""
    found, fitted = _byte_images(X), estimator._byte_images
    for name, dtype in X.dtypes.items():
        if (name in found) == (name in fitted) or len(estimator.modalities_[name]) != 3:
            continue
        fitted_on = "uint8" if name in fitted else "floats"
        raise ValueError(
            f"modality {name!r} holds images of {dtype}, but {type(estimator).__name__} was fitted "
            f"on {fitted_on}. uint8 images are scaled from 0 to 255 to [0, 1], others are taken as "
            "they are: pass one type to fit and to all other methods, for example "
            "(x / 255).astype('float32') or (x * 255).round().astype('uint8')."
        )


def _check_images(X: Modalities) -> None:
    """Refuse images of bytes whose channels are obviously on the last axis."""
    for name in _byte_images(X):
        shape = X.row_shapes[name]
        if shape[2] in (1, 3, 4) and shape[0] > 4:
            raise ValueError(
                f"modality {name!r} holds uint8 images of shape {shape}, which looks like (height, "
                "width, n_channels); expected (n_channels, height, width). Lay them out with "
                'mmcontrast.preprocessing.ImageLayout(channels="last"), or with '
                "np.moveaxis(x, -1, 1)."
            )


def _warn_of_channels_last(X: Modalities) -> None:
    """Say so if maps look like photos whose channels are on the last axis; they may be maps."""
    for name, shape in X.row_shapes.items():
        if name in _byte_images(X):
            continue
        if len(shape) == 3 and shape[2] in (3, 4) and shape[0] == shape[1] > 4:
            warn(
                f"modality {name!r} has rows of shape {shape}, which are taken for maps of "
                f"{shape[0]} channels. If these are images, (height, width, n_channels), lay them "
                'out with mmcontrast.preprocessing.ImageLayout(channels="last").'
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


def check_all_there(estimator: BaseEstimator, X: Modalities, what: str) -> None:
    """Refuse a subset of the fitted modalities where a loss is to be computed."""
    lacking = [name for name in estimator.modalities_ if name not in X.names]
    if lacking:
        raise ValueError(
            f"{what} needs every modality of fit; {', '.join(map(repr, lacking))} is not there. "
            "Rows without it can be marked absent: presence={name: mask}."
        )


def check_pairs(estimator: BaseEstimator, X: Modalities, what: str) -> None:
    """Refuse rows that never have two modalities, for a method that contrasts modalities."""
    if estimator._min_modalities < 2:
        return
    present = np.sum([X.presence(name) for name in X.names], axis=0)
    n_pairs = int(np.count_nonzero(present > 1))
    if n_pairs < 2:
        raise ValueError(
            f"{what} of {type(estimator).__name__} have two modalities in {n_pairs} of {len(X)} "
            f"row(s), of {', '.join(map(repr, X.names))}; to contrast modalities with each other, "
            "at least 2 are needed. Check which rows are marked absent or hold NaN."
        )


def check_batch_size(estimator: BaseEstimator, n_samples: int) -> int:
    """Number of rows per batch for this many training rows.

    Parameters
    ----------
    estimator : estimator
        With the parameter `batch_size`.
    n_samples : int
        Rows to train on.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If there is nothing to contrast a row with, or no full batch.
    """
    name, batch_size = type(estimator).__name__, estimator.batch_size
    if n_samples < 2:
        raise ValueError(
            f"{name} contrasts rows with each other and needs at least 2 samples; found "
            f"n_samples = {n_samples}."
        )
    auto = getattr(estimator, "_auto_batch_size", _AUTO_BATCH_SIZE)
    if batch_size == "auto":
        return min(auto, n_samples)
    if batch_size < 2:
        raise ValueError(
            f"batch_size={batch_size} leaves nothing to contrast a row with; {name} needs batches "
            "of at least 2 rows, and learns from large ones."
        )
    if batch_size > n_samples:
        raise ValueError(
            f"batch_size={batch_size} is more than the n_samples={n_samples} rows to train on. "
            f"Lower it, or pass batch_size='auto' for min({auto}, n_samples)."
        )
    return int(batch_size)


def hold_out(
    estimator: BaseEstimator, rows: _Rows, groups: Any, held_out: _Rows, seed: int
) -> tuple[_Rows, _Rows | None]:
    """Training and validation rows, each with their targets.

    Parameters
    ----------
    estimator : estimator
        With the parameter `validation_fraction`.
    rows : tuple of Modalities and array or None
        Rows passed to fit and their targets.
    groups : array-like of shape (n_samples,) or None
        Whole groups are held out.
    held_out : tuple of Modalities or None and array or None
        Validation rows that the user chose, and their targets.
    seed : int
        Fixes the split.

    Returns
    -------
    train : tuple of Modalities and array or None
    valid : tuple of Modalities and array or None, or None

    Raises
    ------
    ValueError
        If the validation set is given twice, too small, or cannot be used.
    """
    fraction = estimator.validation_fraction
    X, y = rows
    if groups is not None:
        check_consistent_length(X, groups)
    if held_out[0] is not None:
        if fraction is not None:
            raise ValueError("Pass either X_val or validation_fraction, not both.")
        train, valid = rows, held_out
        check_all_there(estimator, valid[0], "X_val")
    elif fraction is not None:
        splitter = ShuffleSplit if groups is None else GroupShuffleSplit
        split = splitter(1, test_size=fraction, random_state=seed)
        try:
            train_rows, valid_rows = next(split.split(np.empty(len(X)), groups=groups))
        except ValueError as error:
            what = f"{len(X)} rows" if groups is None else f"{len(np.unique(groups))} groups"
            raise ValueError(
                f"validation_fraction={fraction} cannot be held out of {what}: {error}"
            ) from error
        train, valid = (
            (X[chosen], None if y is None else y[chosen]) for chosen in (train_rows, valid_rows)
        )
    else:
        return rows, None
    if len(valid[0]) < 2:
        raise ValueError(
            f"The validation set has {len(valid[0])} row; a contrastive loss needs at least 2. "
            "Raise validation_fraction."
        )
    check_values(valid[0])
    return train, valid
