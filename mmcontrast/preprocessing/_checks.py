"""What the transformers of epochs share: reading, validation, times, batches, names."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval
from sklearn.utils._set_output import _wrap_data_with_container
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from .._names import did_you_mean
from ..modalities._columns import refuse_collections
from ..modalities._values import first_difference, is_epochs

_BATCH_BYTES = 2**23
_CHROMOPHORES = ("hbo", "hbr")
# of a sample: times given in seconds are rarely exact multiples of it
_ROUNDING = 1e-3
_WAVELENGTHS = range(600, 1001)  # nm, of fNIRS; other numbers only count channels


class Recording(NamedTuple):
    """What mne.Epochs say of themselves; an array says nothing."""

    sfreq: float | None = None
    ch_names: list[str] | None = None
    ch_types: list[str] | None = None
    tmin: float | None = None
    positions: np.ndarray | None = None  # (n_channels, 3), m
    distances: np.ndarray | None = None  # (n_channels,), m, from source to detector


def _contain_tables(method: Callable[..., Any]) -> Callable[..., Any]:
    """Let `set_output` act on 2-D output alone; data frames cannot hold epochs or maps."""

    @functools.wraps(method)
    def contained(self: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
        found = method(self, X, *args, **kwargs)
        if found.ndim != 2:
            return found
        return _wrap_data_with_container("transform", found, X, self)

    return contained


class ArrayTransformer(TransformerMixin, BaseEstimator):
    """Transformer of arrays of two axes or more, of which data frames can hold those of two."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in {"transform", "fit_transform"} & set(dir(cls)):
            setattr(cls, name, _contain_tables(inspect.unwrap(getattr(cls, name))))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []
        return tags


class EpochsTransformer(ArrayTransformer):
    """Base of the transformers of epochs (n_epochs, n_channels, n_times).

    A 2-D input is one channel, a row the time course of one epoch.
    """

    _parameter_constraints: dict[str, Any] = {
        "sfreq": [Interval(Real, 0, None, closed="neither"), None],
        "ch_names": ["array-like", None],
    }
    _needs_sfreq = True

    ch_names: Sequence[str] | None
    sfreq_: Any  # a float, or None where the sampling rate does not matter and is not known

    def _read(self, X: Any, *, reset: bool) -> np.ndarray:
        """Validate epochs and return them as (n_epochs, n_channels, n_times) of floats."""
        refuse_collections(X, type(self).__name__)
        recording = Recording()
        if is_epochs(X):
            X, recording = _read_epochs(X)
        values = validate_data(
            self,
            X,
            reset=reset,
            dtype=[np.float64, np.float32],
            allow_nd=True,
            ensure_all_finite=getattr(X, "ndim", 2) < 3,
        )
        if values.ndim > 3:
            raise ValueError(
                f"{type(self).__name__} takes epochs (n_epochs, n_channels, n_times), found an "
                f"array of shape {values.shape}."
            )
        is_sequence = values.ndim == 3
        values = values if is_sequence else values[:, None, :]
        if reset:
            self._learn(values, recording, is_sequence)
        else:
            self._compare(values, recording, is_sequence)
        if is_sequence:
            _refuse_not_finite(values, self._channel_names())
        return values

    def _learn(self, values: np.ndarray, recording: Recording, is_sequence: bool) -> None:
        n_channels, self.n_times_ = values.shape[1:]
        self._is_sequence = is_sequence
        if self.n_times_ < 2:
            what = "n_times = 1" if is_sequence else "n_features = 1"
            raise ValueError(
                f"{type(self).__name__} needs at least two time steps per epoch, found {what}; "
                "time is the last axis of the input."
            )
        self.sfreq_ = self._known_sfreq(recording.sfreq)
        self.ch_names_ = self._known_names(recording.ch_names, n_channels)
        tmin = getattr(self, "tmin", None)
        if tmin is None:
            tmin = 0.0 if recording.tmin is None else recording.tmin
        elif recording.tmin is not None and abs(tmin - recording.tmin) * self.sfreq_ > 0.5:
            raise ValueError(
                f"tmin={tmin:g} s was given, but the mne.Epochs begin at {recording.tmin:g} s; "
                "leave tmin=None for mne.Epochs."
            )
        self.tmin_ = float(tmin)
        self._recording = recording

    def _known_sfreq(self, found: float | None) -> float | None:
        given = getattr(self, "sfreq", None)
        if given is None and found is None and self._needs_sfreq:
            name = type(self).__name__
            raise ValueError(
                f"{name} needs the sampling rate in Hz of an array, {name}(sfreq=200.0); only "
                "mne.Epochs bring their own (inside a Modalities they are arrays)."
            )
        if given is not None and found is not None and not _same_rate(given, found):
            raise ValueError(
                f"sfreq={given:g} Hz was given, but the mne.Epochs are sampled at {found:g} "
                "Hz; leave sfreq=None for mne.Epochs, or resample them."
            )
        return given if found is None else found

    def _known_names(self, found: list[str] | None, n_channels: int) -> list[str] | None:
        if self.ch_names is None:
            return found
        names = [str(name) for name in self.ch_names]
        if len(names) != n_channels:
            raise ValueError(
                f"ch_names has {len(names)} names, but the epochs have {n_channels} channels."
            )
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"ch_names has {twice!r} more than once; channels need unique names.")
        if found is not None:
            _refuse_other_channels(found, names, "ch_names")
        return names

    def _compare(self, values: np.ndarray, recording: Recording, is_sequence: bool) -> None:
        if is_sequence != self._is_sequence:
            expected, found = (3, 2) if self._is_sequence else (2, 3)
            raise ValueError(
                f"{type(self).__name__} was fitted on {expected}-D input and is given {found}-D."
            )
        if values.shape[2] != self.n_times_:
            raise ValueError(
                f"The epochs have {values.shape[2]} time steps, those of fit had {self.n_times_}: "
                "cut equal windows at equal sampling rates."
            )
        if recording.ch_names is not None and self.ch_names_ is not None:
            _refuse_other_channels(recording.ch_names, self.ch_names_, "fit")
        if recording.sfreq is None or recording.tmin is None or self.sfreq_ is None:
            return
        if not _same_rate(recording.sfreq, self.sfreq_):
            raise ValueError(
                f"The mne.Epochs are sampled at {recording.sfreq:g} Hz, those of fit at "
                f"{self.sfreq_:g} Hz; resample them."
            )
        if abs(recording.tmin - self.tmin_) * self.sfreq_ > 0.5:
            raise ValueError(
                f"The mne.Epochs begin at {recording.tmin:g} s, those of fit at {self.tmin_:g} s."
            )

    def _channel_names(self) -> list[str]:
        if self.ch_names_ is not None:
            return list(self.ch_names_)
        n_channels = self.n_features_in_ if self._is_sequence else 1
        return [f"ch{channel}" for channel in range(n_channels)]

    def _kinds(self) -> list[str | None]:
        """What each channel measures: "hbo", "hbr", a wavelength in nm, or None if not known.

        Names end in it, as in "S1_D1 hbo", or mne.Epochs say it.
        """
        names = self._channel_names() if self.ch_names_ is not None else []
        types = self._recording.ch_types or [""] * len(names)
        kinds: list[str | None] = []
        for name, kind in zip(names, types, strict=True):
            ending = name.lower().rsplit(" ", 1)[-1]
            chromophore = kind if kind in _CHROMOPHORES else name.lower()[-3:]
            is_wavelength = (
                ending != name.lower() and ending.isdecimal() and int(ending) in _WAVELENGTHS
            )
            known = chromophore in _CHROMOPHORES
            kinds.append(chromophore if known else ending if is_wavelength else None)
        return kinds or [None] * (self.n_features_in_ if self._is_sequence else 1)

    def _names_for(self, input_features: Any) -> list[str]:
        """Check `input_features`, which names the channels of a 3-D input, and give all names."""
        check_is_fitted(self)
        given = _check_feature_names_in(self, input_features, generate_names=False)
        if given is None or not self._is_sequence or self.ch_names_ is not None:
            return self._channel_names()
        return [str(name) for name in given]

    def _refuse_flat(self, values: np.ndarray) -> None:
        """Refuse channels that are constant in every epoch: electrodes or optodes without data."""
        if not self._is_sequence:
            return
        candidates = np.flatnonzero((values[0] == values[0, :, :1]).all(axis=1))
        flat = [k for k in candidates if (values[:, k] == values[:, k, :1]).all()]
        if flat:
            names = [self._channel_names()[k] for k in flat]
            which = "All channels" if len(flat) == values.shape[1] else f"Channels {names}"
            raise ValueError(
                f"{which} are flat (constant in each of the {len(values)} epochs); drop or "
                "interpolate them first."
            )

    def _samples(self, window: Sequence[float | None], what: str) -> slice:
        """Give the samples of a window in seconds; None is the beginning or end of the epoch."""
        last = self.n_times_ - 1
        start, stop = (None if t is None else (t - self.tmin_) * self.sfreq_ for t in window)
        first = 0 if start is None else int(np.ceil(start - _ROUNDING))
        end = last if stop is None else int(np.floor(stop + _ROUNDING))
        if first < 0 or end > last:
            raise ValueError(
                f"{what} {_seconds(window)} reaches beyond the epoch, which lasts from "
                f"{self.tmin_:g} to {self.tmin_ + last / self.sfreq_:g} s (tmin={self.tmin_:g} is "
                "the time of its first sample)."
            )
        if end < first:
            raise ValueError(
                f"{what} {_seconds(window)} holds no sample; at {self.sfreq_:g} Hz they are "
                f"{1 / self.sfreq_:g} s apart."
            )
        return slice(first, end + 1)

    def _baseline_samples(self, baseline: Any) -> slice | None:
        if baseline is None:
            return None
        return self._samples(check_window(baseline, "baseline"), "baseline")

    def _centred(self, values: np.ndarray, baseline: slice | None) -> np.ndarray:
        """Return float64 epochs without the mean of their baseline."""
        values = values.astype(np.float64, copy=False)
        if baseline is None:
            return values
        return values - values[..., baseline].mean(axis=-1, keepdims=True)


def batches(values: np.ndarray, copies: int = 1) -> Iterator[slice]:
    """Slices of rows of which so many float64 copies at a time fit into a cache-sized block."""
    row_bytes = max(1, values[:1].size * 8 * copies)
    step = max(1, _BATCH_BYTES // row_bytes)
    for start in range(0, len(values), step):
        yield slice(start, start + step)


def _read_epochs(epochs: Any) -> tuple[np.ndarray, Recording]:
    import mne

    values = epochs.get_data(copy=False, verbose="error")  # reading may drop bad epochs
    picks = mne.pick_types(
        epochs.info, meg=True, eeg=True, fnirs=True, seeg=True, ecog=True, dbs=True, exclude=()
    )
    if 0 < len(picks) < values.shape[1]:
        values = values[:, picks]
    else:
        picks = np.arange(values.shape[1])
    names = [epochs.ch_names[k] for k in picks]
    bad = [name for name in names if name in epochs.info["bads"]]
    if bad:
        which = "all channels" if len(bad) == len(names) else f"channels {bad}"
        raise ValueError(
            f"The mne.Epochs mark {which} as bad. Interpolate them (epochs.interpolate_bads()) or "
            "drop them (epochs.drop_channels(epochs.info['bads'])) first."
        )
    types = epochs.get_channel_types(picks=picks)
    positions = np.array([epochs.info["chs"][k]["loc"][:3] for k in picks])
    distances = None
    if any(kind in ("hbo", "hbr", "fnirs_od", "fnirs_cw_amplitude") for kind in types):
        distances = mne.preprocessing.nirs.source_detector_distances(epochs.info, picks=picks)
    return values, Recording(
        epochs.info["sfreq"], names, types, float(epochs.tmin), positions, distances
    )


def _same_rate(one: float, other: float) -> bool:
    # SNIRF files store times, so nominal 5 Hz reads 5.0003
    return abs(one - other) <= 1e-3 * other


def _refuse_other_channels(found: Sequence[str], expected: Sequence[str], where: str) -> None:
    difference = first_difference(list(found), list(expected))
    if difference:
        at, mine, other = difference
        raise ValueError(
            f"The channels of the mne.Epochs differ from those of {where}: channel {at} is {mine} "
            f"instead of {other}. Use the same channels in the same order (epochs.pick, "
            "epochs.reorder_channels)."
        )


def _refuse_not_finite(values: np.ndarray, names: Sequence[str]) -> None:
    found = find_not_finite(values)
    if found is None:
        return
    n_wrong, epoch, channel = found
    kind = "NaN" if np.isnan(values[epoch, channel]).any() else "infinity"
    raise ValueError(
        f"Input X contains {kind} in {n_wrong} of {len(values)} epochs, first in epoch "
        f"{epoch}, channel {names[channel]!r}. Drop these epochs or repair the segments; epochs "
        "without any data are absent rows of a Modalities."
    )


def find_not_finite(values: np.ndarray) -> tuple[int, int, int] | None:
    """Number of epochs with values that are not finite, the first of them and its channel."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum()):  # no copy; the rest is for finding out where
            return None
    wrong = [row for row in range(len(values)) if not np.isfinite(values[row]).all()]
    if not wrong:
        return None
    channel = int(np.flatnonzero(~np.isfinite(values[wrong[0]]).all(axis=1))[0])
    return len(wrong), wrong[0], channel


def _seconds(window: Sequence[float | None]) -> str:
    start, stop = ("" if t is None else f"{t:g}" for t in window)
    return f"({start or 'begin'}, {stop or 'end'}) s"


def check_window(window: Any, what: str) -> tuple[float | None, float | None]:
    """Check that something is a pair of times in seconds, either of which may be None."""
    try:
        start, stop = window
    except (TypeError, ValueError):
        start, stop = "", ""
    if not all(t is None or (isinstance(t, Real) and np.isfinite(float(t))) for t in (start, stop)):
        raise ValueError(
            f"{what} is a pair (start, stop) in seconds, of which either may be None, got "
            f"{window!r}."
        )
    if start is not None and stop is not None and stop < start:
        raise ValueError(f"{what} ends before it begins: {window!r}.")
    return start, stop


def check_features(features: Any, known: Sequence[str]) -> list[str]:
    """Check that features are some of those there are, each once."""
    names = [str(name) for name in features]
    for name in names:
        if name not in known:
            raise ValueError(
                f"Unknown feature {name!r}; there are {', '.join(map(repr, known))}."
                f"{did_you_mean(name, known)}"
            )
    if not names or len(set(names)) < len(names):
        raise ValueError(f"features holds at least one name, each once, got {names}.")
    return names


def check_raw(raw: Any, name: str) -> None:
    """Check that something is a continuous recording of MNE."""
    import mne

    if not isinstance(raw, mne.io.BaseRaw):
        raise TypeError(f"{name} is a continuous recording (mne.io.Raw), got {type(raw).__name__}.")
