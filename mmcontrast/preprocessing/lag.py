"""Windows that are delayed against those of another modality."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from ._checks import EpochsTransformer, check_window


class LagAlign(EpochsTransformer):
    """Cut a window that is delayed against that of the other modality.

    Haemoglobin follows neural activity by some seconds [1]_. Of fNIRS epochs that are cut with a
    margin, this keeps what lies `lag` seconds after the window in which the EEG is looked at, so
    that rows hold cause and effect side by side.

    Parameters
    ----------
    sfreq : float, default=None
        Sampling rate in Hz. Needed for arrays; mne.Epochs bring it, and it is compared if given.
    lag : float, default=5.0
        Delay in seconds; negative for a signal that comes earlier. Between two samples the signal
        is interpolated linearly.
    window : (float, float), default=(None, None)
        The window of the other modality in seconds after the event. None is the earliest or latest
        time at which the delayed window is still inside the epoch.
    tmin : float, default=None
        Time of the first sample in seconds after the event. None is that of mne.Epochs, and 0
        for arrays.
    ch_names : sequence of str, default=None
        Names of the channels of arrays.

    Attributes
    ----------
    times_ : ndarray of shape (n_times_out,)
        Time of each sample of the output in seconds after the event, the lag taken off: times of
        the other modality.
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
        If the sampling rate is missing or another than that of mne.Epochs, the epochs do not reach
        far enough, or values are not finite.

    See Also
    --------
    epochs_from_raws : Cuts such windows from recordings, with the lag as a part of the window.

    Notes
    -----
    Input is (n_epochs, n_channels, n_times), or mne.Epochs, of which the data channels are used;
    2-D input is read as one channel and stays 2-D.

    The output is an array, also for mne.Epochs and after ``set_output``, and says neither when it
    begins nor what its channels are called. A next step takes the epochs to begin at 0 s: give it
    ``tmin=`` (this step's ``times_[0]``, plus `lag` for times of this modality), ``ch_names=``
    (``get_feature_names_out()``) and ``sfreq=``.

    References
    ----------
    .. [1] R. Buxton, K. Uludağ, D. Dubowitz and T. Liu. "Modeling the hemodynamic response to
       brain activation." NeuroImage 23 (2004).

    Examples
    --------
    Epochs of 20 s from 5 s before the event on; the EEG is looked at from 0 to 8 s:

    >>> import numpy as np
    >>> from mmcontrast.preprocessing import LagAlign
    >>> X = np.tile(-5 + np.arange(200) / 10, (4, 2, 1))
    >>> align = LagAlign(sfreq=10, lag=5.5, window=(0, 8), tmin=-5)
    >>> Z = align.fit_transform(X)
    >>> Z.shape, Z[0, 0, [0, -1]]
    ((4, 2, 81), array([ 5.5, 13.5], dtype=float32))
    """

    _parameter_constraints: dict[str, Any] = {
        **EpochsTransformer._parameter_constraints,
        "lag": [Interval(Real, None, None, closed="neither")],
        "window": ["array-like"],
        "tmin": [Real, None],
    }

    def __init__(
        self,
        sfreq: float | None = None,
        *,
        lag: float = 5.0,
        window: tuple[float | None, float | None] = (None, None),
        tmin: float | None = None,
        ch_names: Sequence[str] | None = None,
    ) -> None:
        self.sfreq = sfreq
        self.lag = lag
        self.window = window
        self.tmin = tmin
        self.ch_names = ch_names

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> LagAlign:
        """Learn where the delayed window lies in the epochs.

        Parameters
        ----------
        X : array of shape (n_epochs, n_channels, n_times) or (n_epochs, n_times), or mne.Epochs
            The epochs.
        y : None
            Ignored.

        Returns
        -------
        self : LagAlign
            The fitted transformer.
        """
        self._read(X, reset=True)
        start, stop = check_window(self.window, "window")
        last = self.n_times_ - 1
        tmax = self.tmin_ + last / self.sfreq_
        start = self.tmin_ - min(self.lag, 0.0) if start is None else float(start)
        stop = tmax - max(self.lag, 0.0) if stop is None else float(stop)
        rounding = 1e-3
        n_times = int(np.floor((stop - start) * self.sfreq_ + rounding)) + 1
        first = (start + self.lag - self.tmin_) * self.sfreq_
        if abs(first - round(first)) < rounding:
            first = float(round(first))
        if n_times < 1 or first < 0 or first + n_times - 1 > last + rounding:
            raise ValueError(
                f"The window from {start:g} to {stop:g} s, delayed by lag={self.lag:g} s, needs "
                f"epochs from {start + self.lag:g} to {stop + self.lag:g} s, but they last from "
                f"{self.tmin_:g} to {tmax:g} s. Cut them with a margin, or take a shorter lag or "
                "window."
            )
        self._first, self._fraction = int(first), first - int(first)
        self.times_ = start + np.arange(n_times) / self.sfreq_
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Cut the delayed window.

        Parameters
        ----------
        X : array of shape (n_epochs, n_channels, n_times) or (n_epochs, n_times), or mne.Epochs
            The epochs, as in `fit`.

        Returns
        -------
        window : ndarray of float32, shape (n_epochs, n_channels, n_times_out)
            The window. A 2-D input, one channel, stays 2-D.
        """
        check_is_fitted(self)
        values = self._read(X, reset=False)
        stop = self._first + len(self.times_)
        cut = values[..., self._first : stop].astype(np.float32)  # a copy
        if self._fraction:
            cut += self._fraction * (values[..., self._first + 1 : stop + 1] - cut)
        return cut if self._is_sequence else cut[:, 0]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the channels; of a 2-D input, the columns that the output starts from.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the channels of a 3-D input without names, or of the columns.

        Returns
        -------
        names : ndarray of str, shape (n_channels,)
            Names of the channels.
        """
        names = self._names_for(input_features)
        if not self._is_sequence:
            columns = _check_feature_names_in(self, input_features)
            return columns[self._first : self._first + len(self.times_)]
        return np.array(names, dtype=object)
