"""Rows from recordings: trials of several mne.Epochs, and sequences of unequal length."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ._values import Block, first_difference, is_epochs

# of the usual interval between trials; triggers are late by less
_LARGEST_JITTER = 0.1


def pad_sequences(sequences: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Pad sequences of unequal length with zeros at the end.

    Parameters
    ----------
    sequences : list of arrays of shape (n_channels, n_times_i) or (n_times_i,)
        One sequence per row. A 1-D sequence has one channel.

    Returns
    -------
    values : ndarray of float32, shape (n_rows, n_channels, max n_times_i)
        The padded sequences.
    lengths : ndarray of int, shape (n_rows,)
        Number of time steps of each sequence.

    Raises
    ------
    ValueError
        If there is no sequence, one is empty, or the numbers of channels differ.
    TypeError
        If a sequence does not hold real numbers.

    Examples
    --------
    >>> from mmcontrast import Modalities, pad_sequences
    >>> values, lengths = pad_sequences([[1.0, 2.0, 3.0], [4.0]])
    >>> values
    array([[[1., 2., 3.]],
    <BLANKLINE>
           [[4., 0., 0.]]], dtype=float32)
    >>> X = Modalities(text=values, lengths={"text": lengths})
    """
    arrays = [_as_sequence(row, sequence) for row, sequence in enumerate(sequences)]
    if not arrays:
        raise ValueError("pad_sequences needs at least one sequence.")
    n_channels = arrays[0].shape[0]
    for row, array in enumerate(arrays):
        if array.shape[0] != n_channels:
            raise ValueError(
                f"Sequence {row} has {array.shape[0]} channels, sequence 0 has {n_channels}; "
                "expected arrays (n_channels, n_times) with the same channels."
            )
    lengths = np.array([array.shape[1] for array in arrays])
    values = np.zeros((len(arrays), n_channels, lengths.max()), dtype=np.float32)
    for row, array in enumerate(arrays):
        values[row, :, : array.shape[1]] = array
    return values, lengths


def _as_sequence(row: int, sequence: Any) -> np.ndarray:
    array = np.asarray(sequence)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"Sequence {row} has dtype {array.dtype}; expected real numbers.")
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(
            f"Sequence {row} has shape {array.shape}; expected (n_channels, n_times) or (n_times,) "
            "with at least one time step."
        )
    return np.atleast_2d(array)


class _Recording(NamedTuple):
    """What of one mne.Epochs decides which trials it shares with the others."""

    name: str
    values: np.ndarray
    trials: np.ndarray  # (n_epochs,) row of each epoch in the events list
    codes: np.ndarray  # (n_epochs,)
    onsets: np.ndarray  # (n_epochs,) in samples of some rate
    labels: dict[int, set[str]]  # event names of each code
    n_events: int
    metadata: Any

    def rows_of(self, trials: np.ndarray) -> np.ndarray:
        """Row of each trial, -1 where the recording lacks it."""
        if len(self.trials) == 0:
            return np.full(len(trials), -1)
        order = np.argsort(self.trials, kind="stable")
        place = np.searchsorted(self.trials, trials, sorter=order).clip(max=len(order) - 1)
        rows = order[place]
        return np.where(self.trials[rows] == trials, rows, -1)


def align_epochs(epochs: Mapping[str, Any], *, match: str, missing: str) -> dict[str, Any]:
    """Align mne.Epochs trial by trial; see `Modalities.from_epochs`.

    Parameters
    ----------
    epochs : mapping of str to mne.Epochs
        One per modality.
    match : {"selection", "order"}
        What makes two trials the same.
    missing : {"drop", "absent"}
        What happens to trials that a recording lacks.

    Returns
    -------
    parts : dict
        Blocks, presence masks, metadata and event codes of the container.
    """
    for value, what, options in (
        (match, "match", ("selection", "order")),
        (missing, "missing", ("drop", "absent")),
    ):
        if value not in options:
            raise ValueError(f"{what} is one of {options}, got {value!r}.")
    if not epochs:
        raise ValueError("from_epochs needs at least one mne.Epochs: from_epochs(eeg=epochs).")
    recordings = [_read(name, value, match) for name, value in epochs.items()]
    _check_same_events_list(recordings, match)
    trials = _common_trials(recordings, missing)
    if match == "selection":
        _check_intervals(recordings)
    rows = {recording.name: recording.rows_of(trials) for recording in recordings}
    parts = {one.name: _block_and_presence(one, rows[one.name]) for one in recordings}
    return {
        "blocks": {name: block for name, (block, _) in parts.items()},
        "presence": {name: mask for name, (_, mask) in parts.items() if mask is not None},
        "metadata": _merge_metadata(recordings, trials, rows),
        "event_codes": _merge_codes(recordings, trials, rows),
    }


def check_same_trials(blocks: Mapping[str, Block], given: Mapping[str, Any]) -> None:
    """Refuse mne.Epochs of which the k-th are not the same trial.

    Parameters
    ----------
    blocks : mapping of str to Block
        The modalities.
    given : mapping of str to array, DataFrame, tensor or mne.Epochs
        What they were made of; all but mne.Epochs are left alone.

    Raises
    ------
    ValueError
        If the epochs were cut from different events lists, also of the same length if their
        intervals differ, or from different rows of it, if their events disagree, or all channels
        of one are marked as bad.
    """
    recordings = [
        _recording(name, epochs, blocks[name].base, "selection")
        for name, epochs in given.items()
        if is_epochs(epochs)
    ]
    for other in recordings[1:]:
        difference = _difference(recordings[0], other)
        if difference:
            names = f"{recordings[0].name!r} and {other.name!r}"
            raise ValueError(
                f"The mne.Epochs of modalities {names} do not hold the same trials: {difference}. "
                f"Use Modalities.from_epochs({recordings[0].name}=..., {other.name}=...), which "
                "keeps the trials that they share; with match='order' it takes the k-th with the "
                "k-th, for recordings with events lists of their own."
            )


def _difference(one: _Recording, other: _Recording) -> str:
    if one.n_events != other.n_events:
        return f"their events lists (drop_log) have {one.n_events} and {other.n_events} events"
    unequal = first_difference(one.trials.tolist(), other.trials.tolist())
    if unequal:
        row, mine, others = unequal
        return f"row {row} is event number {mine} of the one and {others} of the other (selection)"
    for row, codes in enumerate(zip(one.codes.tolist(), other.codes.tolist(), strict=True)):
        if not _is_same_event(one, codes[0], other, codes[1]):
            mine, others = _event_name(one, codes[0]), _event_name(other, codes[1])
            return (
                f"row {row} is event {mine} in the one and {others} in the other (equal events "
                "have equal names in event_id, or equal codes)"
            )
    return _unequal_intervals(one, other, one.trials)


def _unequal_intervals(one: _Recording, other: _Recording, trials: np.ndarray) -> str:
    """What shows that trials are not the same: events at other intervals, at whatever rate."""
    if any(np.array_equal(r.onsets, r.trials) for r in (one, other)):  # made up by EpochsArray
        return ""
    mine, others = (np.diff(r.onsets[r.rows_of(trials)].astype(float)) for r in (one, other))
    if len(mine) < 2 or not mine.all() or not others.all():
        return ""
    rate = float(np.median(mine / others))
    far = np.abs(mine - rate * others) > _LARGEST_JITTER * np.median(np.abs(mine)) + 2 * (1 + rate)
    if far.mean() <= 0.5:  # where recordings are put together, intervals are anything
        return ""
    first = int(np.flatnonzero(far)[0])
    return (
        f"most intervals between events differ: number {trials[first]} and {trials[first + 1]} are "
        f"{mine[first]:g} samples apart in the one and {others[first]:g} in the other, where "
        f"{rate:.4g} samples of the one are usually one of the other"
    )


def _read(name: str, epochs: Any, match: str) -> _Recording:
    if not is_epochs(epochs):
        raise TypeError(
            f"from_epochs takes mne.Epochs, but modality {name!r} is of type "
            f"{type(epochs).__name__}. Arrays go to Modalities({name}=array)."
        )
    values = epochs.get_data(copy=False, verbose="error")  # first: reading may drop bad epochs
    recording = _recording(name, epochs, values, match)
    if len(np.unique(recording.trials)) < len(recording.trials):
        raise ValueError(
            f"Epochs of modality {name!r} repeat a row of their events list, so their trials "
            "cannot be matched by selection; use match='order'."
        )
    return recording


def _recording(name: str, epochs: Any, values: np.ndarray, match: str) -> _Recording:
    if set(epochs.ch_names) <= set(epochs.info["bads"]):
        raise ValueError(
            f"All {len(epochs.ch_names)} channels of modality {name!r} are marked as bad. "
            "Interpolate them (epochs.interpolate_bads()), or empty epochs.info['bads'] if they "
            "are not."
        )
    by_selection = match == "selection"
    trials = np.asarray(epochs.selection) if by_selection else np.arange(len(values))
    labels: dict[int, set[str]] = {}
    for label, code in (epochs.event_id or {}).items():
        if label != str(code):  # as MNE names what has no name
            labels.setdefault(int(code), set()).add(label)
    n_events = len(epochs.drop_log) if by_selection else len(values)
    onsets, _, codes = epochs.events.T
    return _Recording(name, values, trials, codes, onsets, labels, n_events, epochs.metadata)


def _check_same_events_list(recordings: list[_Recording], match: str) -> None:
    if len({recording.n_events for recording in recordings}) == 1:
        return
    counts = ", ".join(f"{recording.name}: {recording.n_events}" for recording in recordings)
    if match == "order":
        raise ValueError(f"match='order' needs equal numbers of trials, found {counts}.")
    raise ValueError(
        f"The epochs were not cut from the same events list; the lists have different lengths "
        f"({counts}). If the k-th trials belong together all the same, use match='order'."
    )


def _check_intervals(recordings: list[_Recording]) -> None:
    first = recordings[0]
    for other in recordings[1:]:
        shared = np.intersect1d(first.trials, other.trials)
        difference = _unequal_intervals(first, other, shared)
        if difference:
            raise ValueError(
                f"The epochs of {first.name!r} and {other.name!r} were not cut from the same "
                f"events list: {difference}. If the k-th trials belong together all the same, use "
                "match='order'."
            )


def _common_trials(recordings: list[_Recording], missing: str) -> np.ndarray:
    trials = recordings[0].trials
    join = np.intersect1d if missing == "drop" else np.union1d
    for recording in recordings:
        trials = join(trials, recording.trials)
    if len(trials) == 0:
        names = [recording.name for recording in recordings]
        raise ValueError(f"The epochs of {names} have no trial in common.")
    return trials


def _block_and_presence(recording: _Recording, rows: np.ndarray) -> tuple[Block, np.ndarray | None]:
    values = recording.values
    present = rows >= 0
    if not present.all():
        filled = np.zeros((len(rows), *values.shape[1:]), dtype=values.dtype)
        filled[present] = values[rows[present]]
        return Block(filled), present
    if np.array_equal(rows, np.arange(len(values))):
        return Block(values), None
    return Block(values, rows), None


def _merge_codes(
    recordings: list[_Recording], trials: np.ndarray, rows: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Event code of each trial in the numbering of the first recording that has it."""
    first = recordings[0]
    code_of = {label: code for code, labels in first.labels.items() for label in labels}
    merged = np.empty(len(trials), dtype=first.codes.dtype)
    for position, trial in enumerate(trials):
        having = [one for one in recordings if rows[one.name][position] >= 0]
        codes = [int(one.codes[rows[one.name][position]]) for one in having]
        for other, code in zip(having[1:], codes[1:], strict=True):
            _check_same_event(trial, having[0], codes[0], other, code)
        known = [code_of[label] for label in having[0].labels.get(codes[0], ()) if label in code_of]
        merged[position] = known[0] if known and having[0] is not first else codes[0]
    return merged


def _check_same_event(
    trial: int, one: _Recording, code: int, other: _Recording, other_code: int
) -> None:
    if _is_same_event(one, code, other, other_code):
        return
    raise ValueError(
        f"Trial {trial} of the events list is event {_event_name(one, code)} in {one.name!r} "
        f"but {_event_name(other, other_code)} in {other.name!r}: the recordings do not "
        "describe the same trials. Cut both from one events list, or give equal events equal names "
        "in event_id."
    )


def _is_same_event(one: _Recording, code: int, other: _Recording, other_code: int) -> bool:
    """Compare by name where both recordings know it, else by code."""
    labels, other_labels = one.labels.get(code), other.labels.get(other_code)
    return bool(labels & other_labels) if labels and other_labels else code == other_code


def _event_name(recording: _Recording, code: int) -> str:
    labels = recording.labels.get(code)
    return f"{code} ({', '.join(sorted(labels))})" if labels else str(code)


def _merge_metadata(
    recordings: list[_Recording], trials: np.ndarray, rows: Mapping[str, np.ndarray]
) -> Any:
    """Join the metadata; a column with conflicting values is kept once per recording."""
    frames = {}
    for one in recordings:
        if one.metadata is not None:
            present = rows[one.name] >= 0
            frame = one.metadata.iloc[rows[one.name][present]]
            frames[one.name] = frame.set_axis(trials[present], axis=0)
    if not frames:
        return None
    import pandas as pd

    columns: dict[str, Any] = {}
    for label in dict.fromkeys(label for frame in frames.values() for label in frame.columns):
        series = {name: frame[label] for name, frame in frames.items() if label in frame}
        if _all_agree(list(series.values())):
            columns[label] = _join(list(series.values())).reindex(trials)
        else:
            columns |= {f"{name}_{label}": one.reindex(trials) for name, one in series.items()}
    return pd.DataFrame(columns, index=trials)


def _all_agree(series: list[Any]) -> bool:
    """Whether all give the same value to each trial that two of them have."""
    joined = _join(series)
    return all(bool(_equal(one, joined.loc[one.index])) for one in series)


def _equal(one: Any, other: Any) -> bool:
    return bool(((one == other) | (one.isna() & other.isna())).all())


def _join(series: list[Any]) -> Any:
    import pandas as pd

    joined = series[0]
    for one in series[1:]:
        further = one[~one.index.isin(joined.index)]
        joined = pd.concat([joined, further]) if len(further) else joined
    return joined
