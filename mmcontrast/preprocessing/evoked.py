"""Amplitudes and latencies of event-related potentials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils.validation import check_is_fitted

from ._checks import EpochsTransformer, batches, check_features, check_window
from ._windows import mean_weights, peaks

_WINDOWS: dict[str, tuple[float, float, str]] = {
    "P1": (0.08, 0.13, "positive"),
    "N1": (0.13, 0.20, "negative"),
    "P2": (0.20, 0.28, "positive"),
    "P3": (0.30, 0.60, "positive"),
}
_FEATURES = ("mean", "peak", "latency")
_SIGNS = {"positive": 1.0, "negative": -1.0}


class EvokedFeatures(EpochsTransformer):
    """Windowed amplitudes and latencies of event-related potentials.

    Each window gives, per channel, the mean amplitude, the peak amplitude and the latency of the
    peak. The mean is the most robust of them in single trials; a peak is the largest value of
    signal and noise together, so low-pass the epochs first, as for any peak measure [1]_.

    Parameters
    ----------
    sfreq : float, default=None
        Sampling rate in Hz. Needed for arrays; mne.Epochs bring it, and it is compared if given.
    tmin : float, default=None
        Time of the first sample in seconds after the event. None is that of mne.Epochs, and 0
        for arrays.
    windows : mapping of str to (start, stop) or (start, stop, polarity), default=None
        Times in seconds, both included; None is the beginning or end of the epoch. The polarity is
        "positive" (the default) or "negative". None is P1 .08-.13, N1 .13-.20 (negative), P2
        .20-.28 and P3 .30-.60 s, a start for visual stimuli.
    features : sequence of {"mean", "peak", "latency"}, default=("mean", "peak", "latency")
        What to compute of each window.
    baseline : (float, float) or None, default=None
        Window in seconds whose mean is taken off each channel; None inside the pair is the
        beginning or end of the epoch, as in MNE.
    ch_names : sequence of str, default=None
        Names of the channels of arrays, for the names of the features.

    Attributes
    ----------
    windows_ : dict of str to (start, stop, polarity)
        The windows.
    sfreq_ : float
        Sampling rate in Hz.
    ch_names_ : list of str or None
        Names of the channels, if known.
    n_times_ : int
        Time steps per epoch.
    tmin_ : float
        Time of the first sample in seconds.
    n_features_in_ : int
        Number of channels of a 3-D input, or of columns of a 2-D one.
    feature_names_in_ : ndarray of str
        Column names, for a DataFrame.

    Raises
    ------
    ValueError
        If the sampling rate is missing or another than that of mne.Epochs, a window holds no sample
        or reaches beyond the epoch, values are not finite, or a channel is flat in all epochs of
        `fit`.

    See Also
    --------
    HaemodynamicFeatures : The same for the slow responses of fNIRS.

    Notes
    -----
    Input is (n_epochs, n_channels, n_times), or mne.Epochs, of which the data channels are used;
    2-D input is read as one channel. Amplitudes have the unit of the input (V), latencies are in
    seconds after the event. Peaks are located between the samples by a parabola through three.

    References
    ----------
    .. [1] S. Luck. "An introduction to the event-related potential technique", 2nd edition. MIT
       Press 2014, chapter 9.

    Examples
    --------
    A positive deflection of 5 µV, 300 ms after the event:

    >>> import numpy as np
    >>> from mmcontrast.preprocessing import EvokedFeatures
    >>> t = -0.2 + np.arange(201) / 200
    >>> X = 5e-6 * np.exp(-(((t - 0.3) / 0.1) ** 2)) * np.ones((4, 1, 1))
    >>> evoked = EvokedFeatures(
    ...     sfreq=200, tmin=-0.2, windows={"P3": (0.25, 0.5)}, features=("peak", "latency"),
    ...     baseline=(None, 0), ch_names=["Pz"])
    >>> peak, latency = evoked.fit_transform(X)[0]
    >>> print(f"{peak:.1e} V at {latency:.3f} s")
    5.0e-06 V at 0.300 s
    >>> evoked.get_feature_names_out()
    array(['Pz_P3_peak', 'Pz_P3_latency'], dtype=object)
    """

    _parameter_constraints: dict[str, Any] = {
        **EpochsTransformer._parameter_constraints,
        "tmin": [Real, None],
        "windows": [Mapping, None],
        "features": ["array-like"],
        "baseline": ["array-like", None],
    }

    def __init__(
        self,
        sfreq: float | None = None,
        *,
        tmin: float | None = None,
        windows: Mapping[str, Sequence[Any]] | None = None,
        features: Sequence[str] = _FEATURES,
        baseline: tuple[float | None, float | None] | None = None,
        ch_names: Sequence[str] | None = None,
    ) -> None:
        self.sfreq = sfreq
        self.tmin = tmin
        self.windows = windows
        self.features = features
        self.baseline = baseline
        self.ch_names = ch_names

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> EvokedFeatures:
        """Learn the channels and where the windows lie in the epochs.

        Parameters
        ----------
        X : array of shape (n_epochs, n_channels, n_times) or (n_epochs, n_times), or mne.Epochs
            The epochs.
        y : None
            Ignored.

        Returns
        -------
        self : EvokedFeatures
            The fitted transformer.
        """
        values = self._read(X, reset=True)
        self._refuse_flat(values)
        self._features = check_features(self.features, _FEATURES)
        self.windows_ = _check_windows(_WINDOWS if self.windows is None else self.windows)
        self._slices = {
            name: self._samples(window[:2], f"Window {name!r}")
            for name, window in self.windows_.items()
        }
        self._baseline = self._baseline_samples(self.baseline)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Compute the features of each window.

        Parameters
        ----------
        X : array of shape (n_epochs, n_channels, n_times) or (n_epochs, n_times), or mne.Epochs
            The epochs, as in `fit`.

        Returns
        -------
        features : ndarray of float32, shape (n_epochs, n_channels * n_windows * n_features)
            Features by channel, then window, then kind.
        """
        check_is_fitted(self)
        values = self._read(X, reset=False)
        shape = (*values.shape[:2], len(self.windows_), len(self._features))
        found = np.empty(shape, dtype=np.float32)
        for rows in batches(values):
            self._fill(found[rows], self._centred(values[rows], self._baseline))
        return found.reshape(len(values), -1)

    def _fill(self, found: np.ndarray, values: np.ndarray) -> None:
        for column, (name, window) in enumerate(self._slices.items()):
            signs = np.full(values.shape[1], _SIGNS[self.windows_[name][2]])
            amplitude, position = peaks(values, window, signs)
            computed = {
                "mean": values @ mean_weights(self.n_times_, window),
                "peak": amplitude,
                "latency": self.tmin_ + position / self.sfreq_,
            }
            for kind, feature in enumerate(self._features):
                found[:, :, column, kind] = computed[feature]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the features by channel, window and kind, as in "Pz_P3_latency".

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the channels of a 3-D input without names.

        Returns
        -------
        names : ndarray of str, shape (n_channels * n_windows * n_features,)
            Names of the columns of `transform`.
        """
        channels = self._names_for(input_features)
        names = [
            f"{channel}_{window}_{feature}"
            for channel in channels
            for window in self.windows_
            for feature in self._features
        ]
        return np.array(names, dtype=object)


def _check_windows(
    windows: Mapping[str, Any],
) -> dict[str, tuple[float | None, float | None, str]]:
    if not windows:
        raise ValueError("windows is empty; give at least one, {'P3': (0.3, 0.6)}.")
    checked = {}
    for name, window in windows.items():
        if not isinstance(window, Sequence | np.ndarray) or len(window) not in (2, 3):
            raise ValueError(
                f"Window {name!r} is (start, stop) or (start, stop, polarity) with times in "
                f"seconds, got {window!r}."
            )
        *times, polarity = window if len(window) == 3 else (*window, "positive")
        start, stop = check_window(times, f"Window {name!r}")
        if polarity not in _SIGNS:
            raise ValueError(
                f"The polarity of window {name!r} is 'positive' or 'negative', got {polarity!r}."
            )
        checked[str(name)] = (start, stop, polarity)
    return checked
