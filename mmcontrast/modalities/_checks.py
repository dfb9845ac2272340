"""Validation of what a container knows of its rows: names, masks, lengths, metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ._values import (
    Block,
    absent_rows,
    check_name,
    is_frame,
    is_list_of_arrays,
    list_of_arrays_message,
    unknown_name,
)


def merge_named(data: Any, named: Mapping[str, Any]) -> dict[str, Any]:
    """Join the positional mapping with the keywords, and check the names."""
    if data is None:
        data = {}
    if is_list_of_arrays(data):
        raise TypeError(list_of_arrays_message("Modalities", data))
    if not isinstance(data, Mapping):
        raise TypeError(
            f"Modalities takes named arrays, got {type(data).__name__}; write "
            "Modalities(eeg=array), or X.assign(eeg=array) to extend a container X."
        )
    twice = sorted(set(data) & set(named), key=str)
    if twice:
        raise ValueError(f"Modality {twice[0]!r} is given twice, in the mapping and by keyword.")
    merged = {**data, **named}
    for name in merged:
        check_name(name)
    return merged


def check_presence(
    presence: Mapping[str, Any] | None, blocks: Mapping[str, Block], n_rows: int
) -> dict[str, np.ndarray]:
    """Check the masks of measured rows, and copy them."""
    checked = {}
    for name, mask in _items_of("presence", presence, blocks):
        mask = np.array(mask)
        if mask.dtype != bool:
            raise TypeError(
                f"presence of modality {name!r} has dtype {mask.dtype}; expected booleans, True "
                "where the row was measured."
            )
        _check_one_per_row("presence", name, mask, n_rows)
        checked[name] = mask
    return checked


def check_lengths(
    lengths: Mapping[str, Any] | None,
    blocks: Mapping[str, Block],
    presence: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Check the numbers of valid time steps, and copy them."""
    checked = {}
    for name, steps in _items_of("lengths", lengths, blocks):
        block = blocks[name]
        shape = block.base.shape
        if len(shape) != 3:
            raise ValueError(
                f"lengths are of sequences (n_rows, n_channels, n_times), but modality {name!r} "
                f"has shape {shape}."
            )
        steps = np.array(steps)
        if steps.dtype.kind not in "iu":
            raise TypeError(f"lengths of modality {name!r} have dtype {steps.dtype}; expected int.")
        _check_one_per_row("lengths", name, steps, len(block))
        _check_range(name, steps, block, presence.get(name))
        checked[name] = steps.astype(np.int64)
    return checked


def _check_range(name: str, steps: np.ndarray, block: Block, present: np.ndarray | None) -> None:
    n_times = block.base.shape[2]
    wrong = (steps < 1) | (steps > n_times)
    absent = np.flatnonzero(steps == 0)
    if present is not None:
        wrong[absent] = present[absent]
        absent = absent[present[absent]]
    wrong[absent] = ~absent_rows(block, absent)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"Row {row} of modality {name!r} has length {steps[row]}; expected 1 to {n_times}, its "
            "number of time steps (0 for absent rows alone)."
        )


def carry_lengths(
    lengths: Mapping[str, np.ndarray], old: Mapping[str, Block], new: Mapping[str, Block]
) -> dict[str, np.ndarray]:
    """Keep the lengths of modalities whose values were replaced, where they still mean something.

    Parameters
    ----------
    lengths : mapping of str to ndarray
        Lengths of the old modalities.
    old, new : mapping of str to Block
        The modalities before and after.

    Returns
    -------
    lengths : dict of str to ndarray
        Lengths of the new modalities that are sequences of as many time steps.

    Raises
    ------
    ValueError
        If a padded modality became a sequence of another number of time steps.
    """
    kept = {}
    for name, steps in lengths.items():
        before: tuple[int, ...] = old[name].base.shape
        after: tuple[int, ...] = new[name].base.shape if name in new else ()
        if len(after) != 3:
            continue
        if after[2] != before[2]:
            raise ValueError(
                f"Modality {name!r} is padded and had {before[2]} time steps, now {after[2]}: its "
                "lengths no longer fit. Keep the number of time steps, reduce the time axis "
                "altogether, or give new lengths with X.assign(..., lengths=...)."
            )
        kept[name] = steps
    return kept


def check_metadata(metadata: Any, n_rows: int) -> Any:
    """Check that metadata is a DataFrame of one row per row."""
    if metadata is None:
        return None
    if not is_frame(metadata):
        raise TypeError(f"metadata is a pandas.DataFrame or None, got {type(metadata).__name__}.")
    if len(metadata) != n_rows:
        raise ValueError(f"metadata has {len(metadata)} rows, the modalities have {n_rows}.")
    return metadata


def _items_of(what: str, masks: Any, blocks: Mapping[str, Block]) -> list[tuple[str, Any]]:
    if masks is None:
        return []
    if not isinstance(masks, Mapping):
        raise TypeError(
            f"{what} is a mapping, {what}={{'name': array}}, got {type(masks).__name__}."
        )
    for name in masks:
        if name not in blocks:
            raise ValueError(f"{what}: {unknown_name(name, blocks)}")
    return list(masks.items())


def _check_one_per_row(what: str, name: str, values: np.ndarray, n_rows: int) -> None:
    if values.shape != (n_rows,):
        raise ValueError(
            f"{what} of modality {name!r} has shape {values.shape}; expected ({n_rows},), one "
            "value per row."
        )
