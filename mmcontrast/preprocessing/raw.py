"""From continuous recordings of EEG and fNIRS to epochs of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from numbers import Integral
from typing import Any

import mne
import numpy as np

from .._names import did_you_mean
from .._warnings import warn
from ._checks import check_raw, check_window, find_not_finite
from .clock import LARGEST_DRIFT


def epochs_from_raws(
    raw_eeg: mne.io.BaseRaw,
    raw_fnirs: mne.io.BaseRaw,
    events: np.ndarray | None = None,
    *,
    event_id: Mapping[str, int] | Sequence[Any] | str | int | None = None,
    eeg_window: tuple[float, float] = (-0.2, 1.0),
    fnirs_window: tuple[float, float] = (-2.0, 15.0),
    margin: float | tuple[float, float] = 0.0,
    clock_offset: float | None = None,
    clock_drift: float = 0.0,
    reject_by_annotation: bool = True,
    reject: Mapping[str, float] | None = None,
    metadata: Any = None,
) -> tuple[mne.Epochs, mne.Epochs]:
    """Cut two recordings into epochs of the same trials.

    A trial is kept if both recordings have it in full and no annotation that begins with "BAD" lies
    in the window of either; otherwise it is dropped in both. Sampling rates may differ.

    Parameters
    ----------
    raw_eeg, raw_fnirs : mne.io.Raw
        The recordings. Their data channels are used, those marked as bad left out: interpolate
        them first where several recordings are to have the same channels.
    events : ndarray of int, shape (n_events, 3), or None, default=None
        Events of MNE in samples of the EEG recording (``raw_eeg.first_samp`` included, as
        from ``mne.find_events``). None takes the annotations of the EEG recording.
    event_id : mapping of str to int, int, list of int, str or list of str, default=None
        Names and codes of the events to use; None is all. Codes alone go with `events`, names
        alone with annotations, which are then numbered from 1. A warning names those that do not
        occur.
    eeg_window, fnirs_window : (float, float), default=(-0.2, 1.0) and (-2.0, 15.0)
        Beginning and end of the epochs in seconds after the event.
    margin : float or (float, float), default=0.0
        Seconds to add on both sides of the windows, of both or of each recording: what a random
        re-crop needs.
    clock_offset : float, default=None
        Reading of the fNIRS clock at the first sample of the EEG in seconds, 2.5 if the fNIRS
        was started 2.5 s before. None is 0, with a warning if the dates of the recordings say
        otherwise.
    clock_drift : float, default=0.0
        By how much the fNIRS clock is faster, as a ratio. `estimate_clock` gives both.
    reject_by_annotation : bool, default=True
        Whether annotations that begin with "BAD" drop trials.
    reject : mapping of str to float, default=None
        Largest peak-to-peak amplitude by type of data channel, in the unit of the data,
        ``{"eeg": 150e-6, "hbo": 50e-6}``.
    metadata : pandas.DataFrame of n_events rows, default=None
        What is known of the events; both epochs get it.

    Returns
    -------
    epochs_eeg, epochs_fnirs : mne.Epochs
        The same trials in the same order, in memory, without baseline correction. Ready for
        ``Modalities(eeg=epochs_eeg, fnirs=epochs_fnirs)``. Their ``drop_log`` says why a trial is
        gone, "EEG" or "FNIRS" if it is for the other recording.

    Raises
    ------
    TypeError
        If something is not a recording of MNE, or `event_id` holds names for events that have
        codes alone, or codes for annotations.
    ValueError
        If `raw_eeg` has no EEG or `raw_fnirs` no fNIRS channels, an offset or drift is not finite,
        there are no events, two events that are used fall on one sample of the fNIRS, `reject`
        names a type that neither recording has, all data channels of a recording are bad or flat,
        no trial is left, or one that is left has values that are not finite.

    Warns
    -----
    UserWarning
        If some of `event_id` do not occur, or `clock_offset` is not given and the recordings did
        not begin at the same time.

    Notes
    -----
    An epoch begins at the sample nearest to its time, so those of fNIRS sampled at 10 Hz are
    placed to 50 ms.

    Examples
    --------
    >>> import mne, numpy as np
    >>> from mmcontrast import Modalities
    >>> from mmcontrast.preprocessing import epochs_from_raws
    >>> rng = np.random.default_rng(0)
    >>> eeg = mne.io.RawArray(
    ...     1e-5 * rng.normal(size=(4, 20000)), mne.create_info(4, 200.0, "eeg"), verbose=False)
    >>> fnirs = mne.io.RawArray(
    ...     1e-6 * rng.normal(size=(2, 1100)), mne.create_info(2, 10.0, "hbo"), verbose=False)
    >>> events = np.c_[np.arange(1000, 16000, 2000), np.zeros(8, int), np.ones(8, int)]
    >>> pair = epochs_from_raws(eeg, fnirs, events, clock_offset=5.0)
    >>> Modalities(eeg=pair[0], fnirs=pair[1])
    Modalities of 8 rows
      eeg    (8, 4, 241)  float64
      fnirs  (8, 2, 171)  float64
    """
    check_raw(raw_eeg, "raw_eeg")
    check_raw(raw_fnirs, "raw_fnirs")
    _check_types(raw_eeg, raw_fnirs)
    clocks = {"clock_offset": clock_offset, "clock_drift": clock_drift}
    for name, value in clocks.items():
        if value is not None and not np.isfinite(value):
            raise ValueError(f"{name}={value} has to be finite; estimate_clock gives both numbers.")
    if abs(clock_drift) > LARGEST_DRIFT:
        raise ValueError(f"clock_drift={clock_drift:g} is a ratio; 20 parts per million are 2e-5.")
    margins = _check_margin(margin)
    _check_reject(reject, raw_eeg, raw_fnirs)
    clock_offset = _default_offset(raw_eeg, raw_fnirs) if clock_offset is None else clock_offset
    events, event_id = _events_of(raw_eeg, events, event_id)
    events_fnirs = _on_other_clock(events, raw_eeg, raw_fnirs, clock_offset, clock_drift)
    _refuse_one_sample(events, events_fnirs, event_id, raw_eeg, raw_fnirs)
    common = {
        "event_id": event_id,
        "reject_by_annotation": reject_by_annotation,
        "metadata": metadata,
    }
    epochs_eeg = _cut(raw_eeg, events, "eeg", eeg_window, margins[0], reject, common)
    epochs_fnirs = _cut(raw_fnirs, events_fnirs, "fnirs", fnirs_window, margins[1], reject, common)
    _drop_those_of_the_other(epochs_eeg, epochs_fnirs)
    _check_data(epochs_eeg, "eeg")
    _check_data(epochs_fnirs, "fnirs")
    return epochs_eeg, epochs_fnirs


def _check_types(raw_eeg: mne.io.BaseRaw, raw_fnirs: mne.io.BaseRaw) -> None:
    # whatever else is measured as fast goes as EEG
    fast = {"meg": True, "eeg": True, "seeg": True, "ecog": True, "dbs": True}
    for name, kind, raw, other, picked in (
        ("raw_eeg", "EEG", raw_eeg, raw_fnirs, fast),
        ("raw_fnirs", "fNIRS", raw_fnirs, raw_eeg, {"fnirs": True}),
    ):
        if not len(mne.pick_types(raw.info, exclude=(), **picked)):
            hint = (
                "The other recording has some: raw_eeg comes first, raw_fnirs second."
                if len(mne.pick_types(other.info, exclude=(), **picked))
                else "raw.set_channel_types may be needed."
            )
            raise ValueError(
                f"{name} has no {kind} channels, but channels of type "
                f"{sorted(set(raw.get_channel_types()))}. {hint}"
            )


def _check_margin(margin: Any) -> tuple[float, float]:
    try:
        values = np.asarray(margin, dtype=float)
    except (TypeError, ValueError):
        values = np.array(np.nan)
    if values.shape not in ((), (2,)) or not (np.isfinite(values) & (values >= 0)).all():
        raise ValueError(
            "The windows take a margin of at least 0 in seconds, or a pair of them for EEG and "
            f"fNIRS, got margin={margin!r}."
        )
    of_eeg, of_fnirs = np.broadcast_to(values, 2).tolist()
    return of_eeg, of_fnirs


def _data_channels(raw: mne.io.BaseRaw) -> np.ndarray:
    return mne.pick_types(
        raw.info, meg=True, eeg=True, fnirs=True, seeg=True, ecog=True, dbs=True, exclude=()
    )


def _check_reject(reject: Mapping[str, float] | None, *raws: mne.io.BaseRaw) -> None:
    types = [(raw.get_channel_types(), _data_channels(raw)) for raw in raws]
    known = sorted({kinds[channel] for kinds, channels in types for channel in channels})
    for kind in reject or {}:
        if kind not in known:
            raise ValueError(
                f"reject has a limit for channels of type {kind!r}, but the data channels of the "
                f"recordings are of types {', '.join(map(repr, known))}."
                f"{did_you_mean(str(kind).lower(), known)}"
            )


def _default_offset(raw_eeg: mne.io.BaseRaw, raw_fnirs: mne.io.BaseRaw) -> float:
    dates = [raw.info["meas_date"] for raw in (raw_eeg, raw_fnirs)]
    if None in dates:
        return 0.0
    # the date is that of sample 0, which a cropped recording does not begin with
    begin_eeg, begin_fnirs = (
        date + timedelta(seconds=raw.first_samp / raw.info["sfreq"])
        for date, raw in zip(dates, (raw_eeg, raw_fnirs), strict=True)
    )
    offset = (begin_eeg - begin_fnirs).total_seconds()
    if abs(offset) * raw_fnirs.info["sfreq"] > 0.5:
        warn(
            f"The EEG begins at {begin_eeg} and the fNIRS at {begin_fnirs}, but clock_offset is "
            "not given and taken to be 0, as if both had begun together. Pass "
            f"clock_offset={round(offset, 3):.12g} if these dates are exact, that of "
            "estimate_clock if both recorded the events, or clock_offset=0 to keep this."
        )
    return 0.0


def _events_of(
    raw: mne.io.BaseRaw, events: Any, event_id: Any
) -> tuple[np.ndarray, dict[str, int] | None]:
    annotated: list[str] = []
    event_id = _named_codes(event_id, has_names=events is None)
    if events is None:
        annotated = sorted(set(raw.annotations.description))
        events, event_id = _annotated_events(raw, annotated, event_id)
    events = np.asarray(events)
    if events.ndim != 2 or events.shape[1] != 3 or events.dtype.kind not in "iu":
        raise ValueError(
            f"events are integers of shape (n_events, 3), as from mne.find_events; got dtype "
            f"{events.dtype} and shape {events.shape}."
        )
    if not _is_selected(events, event_id).any():
        raise ValueError(
            f"There is no event to cut epochs at: {len(events)} events, of codes "
            f"{np.unique(events[:, 2]).tolist()}; event_id is {event_id}."
        )
    if event_id is None:
        return events, None
    absent = {name: code for name, code in event_id.items() if code not in events[:, 2]}
    if absent:
        there = f"names {annotated}" if annotated else f"codes {np.unique(events[:, 2]).tolist()}"
        warn(
            f"event_id has {absent}, of which no event occurs; there are events of {there}."
            f"{did_you_mean(next(iter(absent)), annotated)}"
        )
    return events, dict(event_id)


def _named_codes(event_id: Any, *, has_names: bool) -> dict[str, int] | None:
    """Names and codes, whether given both, codes alone for events or names for annotations."""
    if event_id is None:
        return None
    if isinstance(event_id, Mapping):
        found = dict(event_id)
    else:
        entries = np.array(event_id, dtype=object).ravel().tolist()
        numbered = enumerate(dict.fromkeys(entries), 1)
        found = {e: k for k, e in numbered} if has_names else {str(e): e for e in entries}
    if not all(isinstance(n, str) and isinstance(k, Integral) for n, k in found.items()):
        expected = (
            "the events are annotations, which have names: give one, a list of them"
            if has_names
            else "events have codes: give one, a list of them"
        )
        raise TypeError(
            f"event_id={event_id!r} does not choose events; {expected}, or names and codes "
            "{'name': 1}."
        )
    return {str(name): int(code) for name, code in found.items()}


def _annotated_events(
    raw: mne.io.BaseRaw, names: list[str], event_id: Mapping[str, int] | None
) -> tuple[np.ndarray, Mapping[str, int]]:
    if not names:
        raise ValueError("The EEG recording has no annotations to be events; give events=.")
    if event_id is not None and not set(event_id) & set(names):
        raise ValueError(
            f"There is no event to cut epochs at: event_id is {dict(event_id)}, but the "
            f"annotations are named {names}.{did_you_mean(next(iter(event_id), ''), names)}"
        )
    wanted = "auto" if event_id is None else dict(event_id)
    events, found = mne.events_from_annotations(raw, wanted, verbose="error")
    return events, found if event_id is None else event_id


def _is_selected(events: np.ndarray, event_id: Mapping[str, int] | None) -> np.ndarray:
    if event_id is None:
        return np.ones(len(events), dtype=bool)
    return np.isin(events[:, 2], list(event_id.values()))


def _on_other_clock(
    events: np.ndarray, raw: mne.io.BaseRaw, other: mne.io.BaseRaw, offset: float, drift: float
) -> np.ndarray:
    times = (events[:, 0] - raw.first_samp) / raw.info["sfreq"]
    samples = np.round((offset + (1 + drift) * times) * other.info["sfreq"]).astype(int)
    return np.c_[samples + other.first_samp, events[:, 1:]]


def _refuse_one_sample(
    events: np.ndarray,
    events_fnirs: np.ndarray,
    event_id: Mapping[str, int] | None,
    raw: mne.io.BaseRaw,
    other: mne.io.BaseRaw,
) -> None:
    used = np.flatnonzero(_is_selected(events, event_id))
    samples = events_fnirs[used, 0]
    order = np.argsort(samples, kind="stable")
    same = np.flatnonzero(np.diff(samples[order]) == 0)
    if len(same):
        one, another = used[order[same[0] : same[0] + 2]]
        times = (events[:, 0] - raw.first_samp) / raw.info["sfreq"]
        raise ValueError(
            f"Events {one} and {another} ({times[one]:.3f} and {times[another]:.3f} s) fall on one "
            f"sample of the fNIRS, at {other.info['sfreq']:g} Hz. Leave one of them out, or "
            "resample the fNIRS (raw_fnirs.resample)."
        )


def _cut(
    raw: mne.io.BaseRaw,
    events: np.ndarray,
    name: str,
    window: tuple[float, float],
    margin: float,
    reject: Mapping[str, float] | None,
    common: Mapping[str, Any],
) -> mne.Epochs:
    start, stop = check_window(window, f"{name}_window")
    if start is None or stop is None:
        raise ValueError(f"{name}_window needs a beginning and an end in seconds; got {window!r}.")
    types = raw.get_channel_types()
    picks = _data_channels(raw)
    good = [channel for channel in picks if raw.ch_names[channel] not in raw.info["bads"]]
    if not good:
        raise ValueError(
            f"The {name} recording has {len(picks)} data channels (types: {sorted(set(types))}), "
            "all of them marked as bad."
        )
    kinds = {types[channel] for channel in good}
    limits = {kind: limit for kind, limit in (reject or {}).items() if kind in kinds}
    return mne.Epochs(
        raw,
        events,
        tmin=start - margin,
        tmax=stop + margin,
        baseline=None,
        picks=good,
        preload=True,
        reject=limits or None,
        on_missing="ignore",
        verbose="error",
        **common,
    )


def _drop_those_of_the_other(eeg: mne.Epochs, fnirs: mne.Epochs) -> None:
    selections = eeg.selection.copy(), fnirs.selection.copy()
    for epochs, other, reason in ((eeg, selections[1], "FNIRS"), (fnirs, selections[0], "EEG")):
        gone = np.flatnonzero(~np.isin(epochs.selection, other))
        if len(gone) < len(epochs):
            epochs.drop(gone, reason=reason, verbose="error")
            continue
        logs = {
            name: sorted({why for entry in one.drop_log for why in entry} - {"IGNORED"})
            for name, one in (("EEG", eeg), ("fNIRS", fnirs))
        }
        raise ValueError(
            "No trial is left in both recordings. They were dropped for "
            + "; ".join(f"{name}: {why or 'nothing'}" for name, why in logs.items())
            + ". NO_DATA and TOO_SHORT are events outside a recording: check clock_offset and the "
            "windows with their margin."
        )


def _check_data(epochs: mne.Epochs, name: str) -> None:
    values = epochs.get_data(copy=False)
    if (values == values[:, :, :1]).all():
        raise ValueError(
            f"All {len(epochs.ch_names)} channels of the {name} recording are flat (constant in "
            f"each of the {len(values)} trials): nothing was recorded there."
        )
    found = find_not_finite(values)
    if found is not None:
        n_wrong, epoch, channel = found
        raise ValueError(
            f"The {name} recording has NaN or infinite values in {n_wrong} of {len(values)} "
            f"trials, first in that of event number {epochs.selection[epoch]}, channel "
            f"{epochs.ch_names[channel]!r}. Mark the segments as bad "
            "(mne.preprocessing.annotate_nan), so that these trials are dropped, or the channel "
            "(raw.info['bads'])."
        )
