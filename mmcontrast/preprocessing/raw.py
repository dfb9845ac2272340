"""From continuous recordings of EEG and fNIRS to epochs of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mne
import numpy as np

from ._checks import check_raw, check_window
from .clock import LARGEST_DRIFT


def epochs_from_raws(
    raw_eeg: mne.io.BaseRaw,
    raw_fnirs: mne.io.BaseRaw,
    events: np.ndarray | None = None,
    *,
    event_id: Mapping[str, int] | None = None,
    eeg_window: tuple[float, float] = (-0.2, 1.0),
    fnirs_window: tuple[float, float] = (-2.0, 15.0),
    margin: float | tuple[float, float] = 0.0,
    clock_offset: float = 0.0,
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
    event_id : mapping of str to int, default=None
        Names and codes of the events to use; None is all.
    eeg_window, fnirs_window : (float, float), default=(-0.2, 1.0) and (-2.0, 15.0)
        Beginning and end of the epochs in seconds after the event.
    margin : float or (float, float), default=0.0
        Seconds to add on both sides of the windows, of both or of each recording: what a random
        re-crop needs.
    clock_offset : float, default=0.0
        Reading of the fNIRS clock at the first sample of the EEG in seconds, 2.5 if the fNIRS
        was started 2.5 s before.
    clock_drift : float, default=0.0
        By how much the fNIRS clock is faster, as a ratio. `estimate_clock` gives both.
    reject_by_annotation : bool, default=True
        Whether annotations that begin with "BAD" drop trials.
    reject : mapping of str to float, default=None
        Largest peak-to-peak amplitude by channel type, ``{"eeg": 150e-6, "hbo": 50e-6}``.
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
        If something is not a recording of MNE.
    ValueError
        If there are no events, two events fall on one sample of the fNIRS, all data channels of a
        recording are bad, or no trial is left.

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
    if abs(clock_drift) > LARGEST_DRIFT:
        raise ValueError(f"clock_drift={clock_drift:g} is a ratio; 20 parts per million are 2e-5.")
    margins = (margin, margin) if isinstance(margin, (int, float)) else tuple(margin)
    events, event_id = _events_of(raw_eeg, events, event_id)
    events_fnirs = _on_other_clock(events, raw_eeg, raw_fnirs, clock_offset, clock_drift)
    common = {
        "event_id": event_id,
        "reject_by_annotation": reject_by_annotation,
        "metadata": metadata,
    }
    epochs_eeg = _cut(raw_eeg, events, "eeg", eeg_window, margins[0], reject, common)
    epochs_fnirs = _cut(raw_fnirs, events_fnirs, "fnirs", fnirs_window, margins[1], reject, common)
    _drop_those_of_the_other(epochs_eeg, epochs_fnirs)
    return epochs_eeg, epochs_fnirs


def _events_of(
    raw: mne.io.BaseRaw, events: Any, event_id: Mapping[str, int] | None
) -> tuple[np.ndarray, dict[str, int] | None]:
    if events is None:
        wanted = "auto" if event_id is None else dict(event_id)
        if not len(raw.annotations):
            raise ValueError("The EEG recording has no annotations to be events; give events=.")
        events, event_id = mne.events_from_annotations(raw, wanted, verbose="error")
    events = np.asarray(events)
    if events.ndim != 2 or events.shape[1] != 3 or events.dtype.kind not in "iu":
        raise ValueError(
            f"events are integers of shape (n_events, 3), as from mne.find_events; got dtype "
            f"{events.dtype} and shape {events.shape}."
        )
    codes = None if event_id is None else set(event_id.values())
    if not len(events) or (codes is not None and not np.isin(events[:, 2], list(codes)).any()):
        raise ValueError(
            f"There is no event to cut epochs at: {len(events)} events, of codes "
            f"{np.unique(events[:, 2]).tolist()}; event_id is {event_id}."
        )
    return events, None if event_id is None else dict(event_id)


def _on_other_clock(
    events: np.ndarray, raw: mne.io.BaseRaw, other: mne.io.BaseRaw, offset: float, drift: float
) -> np.ndarray:
    times = (events[:, 0] - raw.first_samp) / raw.info["sfreq"]
    samples = np.round((offset + (1 + drift) * times) * other.info["sfreq"]).astype(int)
    order = np.argsort(samples, kind="stable")
    same = np.flatnonzero(np.diff(samples[order]) == 0)
    if len(same):
        one, another = order[same[0]], order[same[0] + 1]
        raise ValueError(
            f"Events {one} and {another} ({times[one]:.3f} and {times[another]:.3f} s) fall on one "
            f"sample of the fNIRS, at {other.info['sfreq']:g} Hz. Leave one of them out, or "
            "resample the fNIRS (raw_fnirs.resample)."
        )
    return np.c_[samples + other.first_samp, events[:, 1:]]


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
    if start is None or stop is None or margin < 0:
        raise ValueError(
            f"{name}_window needs a beginning and an end in seconds, and a margin of at least 0; "
            f"got {window!r} and margin={margin:g}."
        )
    types = raw.get_channel_types()
    picks = mne.pick_types(
        raw.info, meg=True, eeg=True, fnirs=True, seeg=True, ecog=True, dbs=True, exclude=()
    )
    good = [channel for channel in picks if raw.ch_names[channel] not in raw.info["bads"]]
    if not good:
        raise ValueError(
            f"The {name} recording has {len(picks)} data channels (types: {sorted(set(types))}), "
            "all of them marked as bad."
            if len(picks)
            else f"The {name} recording has no data channels, only types {sorted(set(types))}; "
            "raw.set_channel_types may be needed."
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
