"""What a modality may hold, and how rows of it are read."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from scipy.sparse import issparse

from .._names import did_you_mean

_PRESENCE_CHUNK_BYTES = 2**25


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One modality: its base array and the rows of it that are selected (None: all)."""

    base: Any
    index: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.base if self.index is None else self.index)

    def values(self) -> Any:
        """Read all rows; the base array itself if nothing is selected."""
        return self.base if self.index is None else self.take(slice(None))

    def take(self, rows: Any) -> Any:
        """Read rows; an index array is a copy of these rows alone, a slice a view if it can be."""
        if self.index is not None:
            rows = self.index[rows]
        if is_frame(self.base):
            return self.base.iloc[rows]
        if isinstance(rows, np.ndarray) and rows.dtype.kind == "i":
            # a third faster than base[rows], and the array has no trace of a memmap
            return np.asarray(self.base).take(rows, axis=0)
        return self.base[rows]

    def compact(self) -> Block:
        """Leave out the rows that are not selected, where that saves more than half."""
        if self.index is None or 2 * len(self.index) >= len(self.base):
            return self  # many rows by index: joblib hands a memmap over by reference
        return Block(self.values())


def _loaded(module: str, attribute: str) -> tuple[type, ...]:
    """A class of an optional package, if that package is in use: an import here would be slow."""
    found = getattr(sys.modules.get(module), attribute, None)
    return () if found is None else (found,)


def is_frame(value: Any) -> bool:
    """Whether value is a pandas DataFrame."""
    return isinstance(value, _loaded("pandas", "DataFrame"))


def is_epochs(value: Any) -> bool:
    """Whether value is mne.Epochs of any kind."""
    return isinstance(value, _loaded("mne.epochs", "BaseEpochs"))


def is_tensor(value: Any) -> bool:
    """Whether value is a torch.Tensor."""
    return isinstance(value, _loaded("torch", "Tensor"))


def is_list_of_arrays(value: Any) -> bool:
    """Whether value is a list or tuple of arrays that each could be a modality."""
    if not isinstance(value, (list, tuple)) or not value:
        return False
    return all(is_epochs(item) or getattr(item, "ndim", 0) >= 2 for item in value)


def list_of_arrays_message(owner: str, arrays: Iterable[Any]) -> str:
    """Explain why a list of arrays is refused."""
    return (
        f"{owner} got a list of arrays. scikit-learn takes the items of a list for rows, so "
        "cross-validation would shuffle the modalities instead of the trials. Name the modalities "
        f"instead: Modalities(eeg=first, fnirs=second).{_hint_of_rows(list(arrays))}"
    )


def _hint_of_rows(items: list[Any]) -> str:
    """What to do if the items are rows rather than modalities."""
    # scikit-learn's cross-validation turns mne.Epochs into a list of their trials
    if all(is_epochs(item) or item.ndim == 2 for item in items):
        return (
            " If the items are trials, wrap mne.Epochs in Modalities(eeg=epochs) for "
            "cross-validation."
        )
    if all(not is_epochs(item) and item.ndim == 3 and min(item.shape[::2]) <= 4 for item in items):
        return (
            " If the items are images, make one array of them: np.stack(images), or "
            'mmcontrast.preprocessing.ImageLayout(channels="last").fit_transform(images).'
        )
    return ""


def coerce(name: str, value: Any) -> Any:
    """Turn what a user gives for one modality into an ndarray, memmap or DataFrame; no copy."""
    if is_epochs(value):
        value = value.get_data(copy=False)
    elif is_tensor(value):
        value = from_tensor(name, value)
    if is_frame(value):
        if value.shape[1] == 0:
            raise ValueError(f"Modality {name!r} is a DataFrame without columns.")
        return value
    _refuse_type(name, value)
    if value.dtype.kind not in "biuf":
        raise TypeError(
            f"Modality {name!r} has dtype {value.dtype}; expected booleans, integers or real "
            "floats. Encode text and categories as numbers first (or pass a DataFrame and encode "
            "its columns with a ModalityTransformer); split complex values into two channels."
        )
    if value.ndim < 2:
        hint = ": one value per row is value.reshape(-1, 1)" if value.ndim == 1 else ""
        raise ValueError(
            f"Modality {name!r} has shape {value.shape}; expected at least 2 dimensions, with the "
            f"rows on axis 0{hint}."
        )
    return np.asarray(value) if isinstance(value, np.matrix) else value


def _refuse_type(name: str, value: Any) -> None:
    if issparse(value):
        raise TypeError(
            f"Modality {name!r} is a scipy sparse matrix; expected a dense array: use "
            "value.toarray(), or a transformer with sparse_output=False."
        )
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"Modality {name!r} is a masked array; fill it with value.filled(np.nan) and mark "
            "absent rows with presence=."
        )
    if isinstance(value, np.ndarray):
        return
    if isinstance(value, (list, tuple)):
        raise TypeError(
            f"Modality {name!r} is a {type(value).__name__}; expected an array: use np.asarray, "
            "after pad_sequences for sequences of unequal length, or after resizing images of "
            "unequal size."
        )
    if isinstance(value, _loaded("pandas", "Series")):
        raise TypeError(f"Modality {name!r} is a Series; use series.to_frame().")
    raise TypeError(
        f"Modality {name!r} is of type {type(value).__name__}; expected a NumPy array or memmap, "
        "a torch tensor, a pandas DataFrame or mne.Epochs. np.asarray(value) may turn it into one."
    )


def from_tensor(name: str, tensor: Any) -> np.ndarray:
    """Give the values of a tensor without its graph; bfloat16, unknown to NumPy, as float32."""
    tensor = tensor.detach().cpu()
    try:
        return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    except (TypeError, RuntimeError) as error:
        raise TypeError(
            f"Modality {name!r} is a tensor of {tensor.dtype} ({tensor.layout}) that NumPy cannot "
            "hold; use tensor.float() for low-precision and tensor.to_dense() for sparse ones."
        ) from error


def to_numeric(name: str, value: Any) -> np.ndarray:
    """Give the values of a modality as a numeric array."""
    if not is_frame(value):
        return value
    array = value.to_numpy()
    if array.dtype.kind in "biuf":
        return array
    from pandas.api.types import is_numeric_dtype

    others = [column for column, dtype in value.dtypes.items() if not is_numeric_dtype(dtype)]
    if others:
        raise TypeError(
            f"Modality {name!r} has columns that are not numbers: {others}. Encode them first, "
            "for example with a ColumnTransformer inside a ModalityTransformer."
        )
    return value.to_numpy(dtype=np.float64, na_value=np.nan)


def first_difference(one: Sequence[Any], other: Sequence[Any]) -> tuple[int, str, str] | None:
    """Where two sequences first differ, and what each has there; None if they are equal."""
    pairs = enumerate(zip(one, other, strict=False))
    shorter, longer = sorted((len(one), len(other)))
    at = next((k for k, (a, b) in pairs if a is not b and a != b), shorter)
    if at == longer:
        return None
    found, expected = (repr(part[at]) if at < len(part) else "nothing" for part in (one, other))
    return at, found, expected


def dtype_of(value: Any) -> np.dtype:
    """Give the dtype that the values have as one array."""
    return value.iloc[:0].to_numpy().dtype if is_frame(value) else value.dtype


def absent_rows(block: Block, rows: np.ndarray | None = None) -> np.ndarray:
    """Which rows hold nothing but NaN, reading one value per row and then only the candidates.

    Parameters
    ----------
    block : Block
        The modality.
    rows : ndarray of int, shape (n_rows,), default=None
        Look at these rows only.

    Returns
    -------
    absent : ndarray of bool, shape (n_rows,)
        True where all values of the row are NaN.
    """
    if rows is not None:
        block = Block(block.base, rows if block.index is None else block.index[rows])
    if is_frame(block.base):
        return block.values().isna().all(axis=1).to_numpy()
    base = block.base
    if base.dtype.kind != "f" or prod(base.shape[1:]) == 0:
        return np.zeros(len(block), dtype=bool)
    corner = (slice(None), *(0,) * (base.ndim - 1))
    absent = np.isnan(Block(base[corner], block.index).values())
    candidates = np.flatnonzero(absent)
    step = max(1, _PRESENCE_CHUNK_BYTES // max(1, prod(base.shape[1:]) * base.itemsize))
    for start in range(0, len(candidates), step):
        some = candidates[start : start + step]
        absent[some] = np.isnan(block.take(some).reshape(len(some), -1)).all(axis=1)
    return np.asarray(absent)


def row_key(key: Any, n_rows: int) -> slice | np.ndarray:
    """Turn a NumPy-like row key into a slice or an array of indices in [0, n_rows).

    Parameters
    ----------
    key : int, slice, Ellipsis, mask, index array or tuple
        A tuple may only add ``...`` or ``:`` for the other axes.
    n_rows : int
        Number of rows there are.

    Returns
    -------
    rows : slice or ndarray of intp
        A slice wherever the key selects consecutive rows: slices are views.
    """
    if isinstance(key, tuple):
        key = _first_of_tuple(key)
    if key is Ellipsis:
        return slice(None)
    if isinstance(key, slice):
        key.indices(n_rows)  # a slice of strings is a TypeError here, not at the first read
        return key
    if isinstance(key, list) and not key:
        return slice(0, 0)
    rows = np.asarray(key)
    if rows.dtype.kind in "USO":
        raise TypeError(
            f"Rows are selected by integers, slices or masks, got {key!r}. "
            "To select modalities use X.select('eeg', 'fnirs')."
        )
    if rows.dtype == bool:
        return _consecutive(_rows_of_mask(rows, n_rows))
    if rows.dtype.kind not in "iu" or rows.ndim > 1:
        raise IndexError(
            f"Rows are selected by a 1-D array of integers or booleans, got dtype {rows.dtype} "
            f"and shape {rows.shape}."
        )
    flat = rows.reshape(-1).astype(np.intp)
    beyond = (flat < -n_rows) | (flat >= n_rows)
    if beyond.any():
        raise IndexError(f"Row {flat[beyond][0]} is out of bounds for {n_rows} rows.")
    return _consecutive(np.where(flat < 0, flat + n_rows, flat))


def _first_of_tuple(key: tuple) -> Any:
    others = [part for part in key[1:] if part is not Ellipsis and part != slice(None)]
    if not key or others:
        raise IndexError(
            "Only rows can be selected over all modalities (X[rows], X[rows, ...]); select "
            "channels, times or columns of one modality: X['eeg'][:, channels]."
        )
    return key[0]


def _rows_of_mask(mask: np.ndarray, n_rows: int) -> np.ndarray:
    if mask.shape != (n_rows,):
        raise IndexError(
            f"The boolean row mask has shape {mask.shape}; expected ({n_rows},), one per row."
        )
    return np.flatnonzero(mask)


def _consecutive(rows: np.ndarray) -> slice | np.ndarray:
    if len(rows) == 0:
        return slice(0, 0)
    first, last = int(rows[0]), int(rows[-1])
    if last - first + 1 == len(rows) and (np.diff(rows) == 1).all():
        return slice(first, last + 1)
    return rows


def check_name(name: Any) -> None:
    """Refuse what cannot be the name of a modality."""
    if not isinstance(name, str) or not name or "__" in name:
        raise ValueError(
            f"A modality's name is a non-empty string without '__' (scikit-learn separates nested "
            f"parameters with it), got {name!r}."
        )


def unknown_name(name: Any, names: Iterable[str], what: str = "modality") -> str:
    """Say that a name is not among names, with the closest one."""
    names = list(names)
    return f"Unknown {what} {name!r}; there are {names}.{did_you_mean(name, names)}"
