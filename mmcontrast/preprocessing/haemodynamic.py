"""Features of haemodynamic responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils.validation import check_is_fitted

from ._checks import EpochsTransformer, batches, check_features, check_window
from ._windows import area_weights, mean_weights, peaks, slope_weights

_OF_CHANNEL = ("peak", "time_to_peak", "area", "slope")
_FEATURES = (*_OF_CHANNEL, "difference")


class HaemodynamicFeatures(EpochsTransformer):
    """Peak, time to peak, area, slope and HbO-HbR difference of haemodynamic responses.

    Parameters
    ----------
    sfreq : float, default=None
        Sampling rate in Hz. Needed for arrays; mne.Epochs bring it, and it is compared if given.
    tmin : float, default=None
        Time of the first sample in seconds after the event. None is that of mne.Epochs, and 0
        for arrays.
    window : (float, float) or mapping of str to (float, float), default=(0, None)
        Where to look, in seconds, both ends included; None is the beginning or end of the epoch.
        Several windows have names, which become part of the names of the features.
    features : "auto" or sequence of str, default="auto"
        Of "peak", "time_to_peak", "area", "slope" and "difference". "auto" is all of them, and
        the difference only if channels are named HbO or HbR.
    baseline : (float, float) or None, default=None
        Window in seconds whose mean is taken off each channel, ``(None, 0)`` for all before the
        event. Without one, do it beforehand: peak and area mean little otherwise.
    ch_names : sequence of str, default=None
        Names of the channels of arrays. Names that end in "hbo" or "hbr", as MNE gives
        them ("S1_D1 hbo"), say what a channel measures and which two belong together.

    Attributes
    ----------
    pairs_ : dict of str to (int, int)
        HbO and HbR channel of each pair; empty without the difference.
    chromophores_ : list of str or None
        "hbo", "hbr" or None for each channel.
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
        If the sampling rate is missing or another than that of mne.Epochs, a window holds fewer
        than two samples or reaches beyond the epoch, the difference is asked for and an HbO channel
        has no HbR partner or the other way round, values are not finite, or a channel is flat in
        all epochs of `fit`.

    See Also
    --------
    EvokedFeatures : The same for the fast responses of EEG.
    LagAlign : A window that is delayed against the other modality's.

    Notes
    -----
    Input is (n_epochs, n_channels, n_times), or mne.Epochs, of which the data channels are used;
    2-D input is read as one channel. In units of the input, M for haemoglobin in MNE:

    - peak: the maximum in M, for HbR the minimum, since HbR falls where HbO rises,
    - time to peak: its time in seconds after the event, between the samples by a parabola
      through three,
    - area: the integral over the window in M·s,
    - slope: of the least-squares line through the window in M/s,
    - difference: the mean of HbO - HbR over the window in M, a measure of oxygenation [1]_.

    Such features of single trials are common in fNIRS classification [2]_.

    References
    ----------
    .. [1] Y. Hoshi. "Towards the next generation of near-infrared spectroscopy." Phil. Trans. R.
       Soc. A 369 (2011).
    .. [2] N. Naseer and K.-S. Hong. "fNIRS-based brain-computer interfaces: a review." Frontiers
       in Human Neuroscience 9 (2015).

    Examples
    --------
    HbO rises by 1 µM and is highest after 6 s, HbR falls by a third of that:

    >>> import numpy as np
    >>> from mmcontrast.preprocessing import HaemodynamicFeatures
    >>> t = np.arange(160) / 10
    >>> response = 1e-6 * (t / 6) ** 6 * np.exp(6 - t)
    >>> X = np.stack([response, -response / 3])[None]
    >>> haemo = HaemodynamicFeatures(
    ...     sfreq=10, features=("peak", "time_to_peak", "difference"),
    ...     ch_names=["S1_D1 hbo", "S1_D1 hbr"])
    >>> for name, value in haemo.set_output(transform="pandas").fit_transform(X).iloc[0].items():
    ...     print(f"{name:24} {value: .2g}")
    S1_D1 hbo_peak            1e-06
    S1_D1 hbo_time_to_peak    6
    S1_D1 hbr_peak           -3.3e-07
    S1_D1 hbr_time_to_peak    6
    S1_D1_difference          5.2e-07
    """

    _parameter_constraints: dict[str, Any] = {
        **EpochsTransformer._parameter_constraints,
        "tmin": [Real, None],
        "window": ["array-like", Mapping],
        "features": ["array-like", str],
        "baseline": ["array-like", None],
    }

    def __init__(
        self,
        sfreq: float | None = None,
        *,
        tmin: float | None = None,
        window: Any = (0, None),
        features: str | Sequence[str] = "auto",
        baseline: tuple[float | None, float | None] | None = None,
        ch_names: Sequence[str] | None = None,
    ) -> None:
        self.sfreq = sfreq
        self.tmin = tmin
        self.window = window
        self.features = features
        self.baseline = baseline
        self.ch_names = ch_names

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> HaemodynamicFeatures:
        """Learn the channels, their pairs, and where the windows lie in the epochs.

        Parameters
        ----------
        X : array of shape (n_epochs, n_channels, n_times) or (n_epochs, n_times), or mne.Epochs
            The epochs.
        y : None
            Ignored.

        Returns
        -------
        self : HaemodynamicFeatures
            The fitted transformer.
        """
        values = self._read(X, reset=True)
        self._refuse_flat(values)
        self.chromophores_ = [kind if kind in ("hbo", "hbr") else None for kind in self._kinds()]
        features = self._resolve_features()
        self._of_channel = [name for name in features if name != "difference"]
        self.pairs_ = self._find_pairs() if "difference" in features else {}
        windows = self.window if isinstance(self.window, Mapping) else {"": self.window}
        if not windows:
            raise ValueError("window is an empty mapping; give at least one, (0, None).")
        self._slices = {str(k): self._window_samples(str(k), w) for k, w in windows.items()}
        self._baseline = self._baseline_samples(self.baseline)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Compute the features of each response.

        Parameters
        ----------
        X : array of shape (n_epochs, n_channels, n_times) or (n_epochs, n_times), or mne.Epochs
            The epochs, as in `fit`.

        Returns
        -------
        features : ndarray of float32, shape (n_epochs, n_features_out)
            For each window the features of channel after channel, then the differences.
        """
        check_is_fitted(self)
        values = self._read(X, reset=False)
        width = values.shape[1] * len(self._of_channel) + len(self.pairs_)
        found = np.empty((len(values), len(self._slices), width), dtype=np.float32)
        for rows in batches(values):
            centred = self._centred(values[rows], self._baseline)
            for column, window in enumerate(self._slices.values()):
                found[rows, column] = self._features_in(centred, window)
        return found.reshape(len(values), -1)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the features by channel, window and kind, as in "S1_D1 hbo_time_to_peak".

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the channels of a 3-D input without names.

        Returns
        -------
        names : ndarray of str, shape (n_features_out,)
            Names of the columns of `transform`.
        """
        channels = self._names_for(input_features)
        names = []
        for window in self._slices:
            suffix = f"_{window}" if window else ""
            names += [f"{ch}{suffix}_{feature}" for ch in channels for feature in self._of_channel]
            names += [f"{pair}{suffix}_difference" for pair in self.pairs_]
        return np.array(names, dtype=object)

    def _features_in(self, values: np.ndarray, window: slice) -> np.ndarray:
        """Features (n_epochs, n_features_out) of one window."""
        of_channel = np.empty((*values.shape[:2], len(self._of_channel)))
        if {"peak", "time_to_peak"} & set(self._of_channel):
            signs = np.array([-1.0 if kind == "hbr" else 1.0 for kind in self.chromophores_])
            amplitude, position = peaks(values, window, signs)
        for column, feature in enumerate(self._of_channel):
            if feature == "peak":
                of_channel[..., column] = amplitude
            elif feature == "time_to_peak":
                of_channel[..., column] = self.tmin_ + position / self.sfreq_
            else:
                weights = area_weights if feature == "area" else slope_weights
                of_channel[..., column] = values @ weights(self.n_times_, window, self.sfreq_)
        flat = of_channel.reshape(len(values), -1)
        if not self.pairs_:
            return flat
        means = values @ mean_weights(self.n_times_, window)
        hbo, hbr = np.array(list(self.pairs_.values())).T
        return np.hstack([flat, means[:, hbo] - means[:, hbr]])

    def _window_samples(self, name: str, window: Any) -> slice:
        what = f"Window {name!r}" if name else "window"
        found = self._samples(check_window(window, what), what)
        if found.stop - found.start < 2:
            raise ValueError(f"{what} {window!r} holds one sample; a slope needs at least two.")
        return found

    def _resolve_features(self) -> list[str]:
        known = any(self.chromophores_)
        if isinstance(self.features, str):
            if self.features != "auto":
                raise ValueError(f"features is 'auto' or a sequence of names, got {self.features}.")
            return list(_FEATURES if known else _OF_CHANNEL)
        features = check_features(self.features, _FEATURES)
        if "difference" in features and not known:
            raise ValueError(
                "The feature 'difference' needs to know which channels are HbO and HbR: give "
                "ch_names that end in 'hbo' and 'hbr', or mne.Epochs of such channels."
            )
        return features

    def _find_pairs(self) -> dict[str, tuple[int, int]]:
        """Channels of the same name up to the chromophore, in the order of the HbO channels."""
        places: dict[str, dict[str, int]] = {"hbo": {}, "hbr": {}}
        for channel, kind in enumerate(self.chromophores_):
            if kind is not None:
                name = self._channel_names()[channel]
                stem = name[:-3] if name.lower().endswith(kind) else name
                places[kind][stem.rstrip(" _-")] = channel
        hbo, hbr = places["hbo"], places["hbr"]
        for one, other, kinds in ((hbo, hbr, ("HbO", "HbR")), (hbr, hbo, ("HbR", "HbO"))):
            alone = sorted(set(one) - set(other))
            if alone:
                raise ValueError(
                    f"{kinds[0]} channels {alone} have no {kinds[1]} channel of the same name; "
                    f"add it ('{alone[0]} {kinds[1].lower()}'), drop them, or choose features= "
                    "without 'difference'."
                )
        return {name: (channel, hbr[name]) for name, channel in hbo.items()}
