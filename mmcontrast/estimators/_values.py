"""What is read of every value of the input, in chunks: is it finite, and how does it spread."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..modalities import Modalities
from ..training.data import is_byte_image

_CHUNK_BYTES = 2**24
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def check_finite(name: str, values: np.ndarray, rows: np.ndarray) -> None:
    """Refuse NaN and infinity in rows that are present.

    Parameters
    ----------
    name : str
        The modality.
    values : array of shape (n_rows, ...)
        Rows in which the modality is present.
    rows : int array of shape (n_rows,)
        Numbers of the rows, for the message.

    Raises
    ------
    ValueError
        If a value is not finite.
    """
    # the sum of absolutes is finite and small unless a value is not: then look closer
    if np.abs(values).sum(dtype=np.float64) < _FLOAT32_MAX:
        return
    bad = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if bad.any():
        first = int(np.argmax(bad))
        found = "contains NaN" if np.isnan(values[first]).any() else "contains infinity (inf)"
        raise ValueError(
            f"modality {name!r} {found}, first in row {rows[first]}. Impute these values, or "
            "mark the whole row as absent: presence={"
            + f"{name!r}"
            + ": mask}, or NaN in all its values."
        )
    if np.abs(values).max() > _FLOAT32_MAX:
        raise ValueError(
            f"modality {name!r} holds {np.abs(values).max():.3g}, more than float32 can. Rescale "
            "it, for example with make_modality_transformer."
        )


def check_values(X: Modalities, first_row: int = 0) -> None:
    """Refuse NaN and infinity in any present row, reading every value once."""
    for name in X.names:
        for rows, values, _ in _present_chunks(X, name):
            check_finite(name, values, first_row + rows)


def check_not_flat(X: Modalities) -> None:
    """Refuse sequences (n_channels, n_times) in which nothing ever changes over time.

    Reads no more than it takes to find a change.

    Parameters
    ----------
    X : Modalities

    Raises
    ------
    ValueError
        If every channel of a modality is constant over time in every present row.
    """
    for name, shape in X.row_shapes.items():
        if len(shape) == 2 and shape[1] > 1 and not _changes_over_time(X, name):
            raise ValueError(
                f"modality {name!r}: every channel is flat, constant over time in all rows. Check "
                "the recording and the step before; some flat channels would do no harm."
            )


def _changes_over_time(X: Modalities, name: str) -> bool:
    for _, values, valid in _present_chunks(X, name):
        change = values[..., 1:] != values[..., :-1]
        if (change if valid is None else change & valid[:, None, 1:]).any():
            return True
    return False


def training_scales(X: Modalities) -> dict[str, float]:
    """Check the values of training data and measure the spread of each modality.

    Reads every value once, in chunks.

    Parameters
    ----------
    X : Modalities

    Returns
    -------
    dict of str to float
        Standard deviation of each modality over all its values in present rows and valid steps;
        that of images of bytes is of their values scaled to [0, 1], as networks see them.

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
    for rows, values, valid in _present_chunks(X, name):
        check_finite(name, values, rows)
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
    std = float(np.sqrt(squares / count))
    return std / 255 if is_byte_image(X.dtypes[name], X.row_shapes[name]) else std


def _present_chunks(X: Modalities, name: str) -> Iterator[tuple[np.ndarray, np.ndarray, Any]]:
    """Chunks of present rows: their numbers, values and valid time steps."""
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
            values = np.where(valid[:, None], values, 0)  # padding may hold anything
        yield start + np.flatnonzero(here), values, valid
