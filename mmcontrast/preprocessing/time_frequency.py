"""Power over time and frequency."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from scipy import fft
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from ._checks import EpochsTransformer, batches, check_window

_FLOOR = 1e-24  # V²/Hz; see BandPower


class TimeFrequency(EpochsTransformer):
    r"""Power of each channel over time and frequency, by Morlet wavelets.

    Parameters
    ----------
    sfreq : float, default=None
        Sampling rate in Hz. Needed for arrays; mne.Epochs bring it, and it is compared if given.
    freqs : sequence of float, default=None
        Centre frequencies in Hz. None is eight from 4 to 40 Hz, evenly spaced in the logarithm.
    n_cycles : float, default=5.0
        Cycles of the wavelets: their standard deviation is ``n_cycles / (2 pi f)`` in time and
        ``f / n_cycles`` in frequency.
    step : float, default=0.1
        Length in seconds of the bins over which the power is averaged.
    window : (float, float), default=(None, None)
        The part of the epoch to use, in seconds; None is its beginning or end. Epochs go on as
        zeros beyond their edges, so power fades within about a wavelet of them: cut epochs with a
        margin and leave it out here.
    baseline : (float, float) or None, default=None
        Window in seconds by whose mean power each frequency is divided.
    tmin : float, default=None
        Time of the first sample in seconds after the event. None is that of mne.Epochs, and 0
        for arrays.
    log : bool, default=True
        Decimal logarithm of the power. Densities below 1e-24 count as that.
    output : {"features", "maps"}, default="features"
        A row of features for each epoch, or maps of shape (n_channels, n_freqs, n_bins), which
        encoders of images take.
    ch_names : sequence of str, default=None
        Names of the channels of arrays, for the names of the features.

    Attributes
    ----------
    freqs_ : ndarray of shape (n_freqs,)
        Centre frequencies in Hz.
    times_ : ndarray of shape (n_bins,)
        Centres of the bins in seconds after the event.
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
        If the sampling rate is missing or another than that of mne.Epochs, a frequency is not
        between zero and half the sampling rate, a wavelet is longer than the epoch, a window
        reaches beyond it or is shorter than a bin, values are not finite, or a channel is flat in
        all epochs of `fit`.

    See Also
    --------
    BandPower : Power over the whole epoch, much faster.
    mne.time_frequency.tfr_array_morlet : The same without averaging over bins.

    Notes
    -----
    Input is (n_epochs, n_channels, n_times), or mne.Epochs, of which the data channels are used;
    2-D input is read as one channel. The mean of the epoch is taken off first. Power is the
    one-sided density in the squared unit of the input per Hz, V²/Hz for EEG, for white noise equal
    at all frequencies. Negative frequencies, of which wavelets of less than about four cycles have
    a part, are left out.

    References
    ----------
    .. [1] C. Tallon-Baudry, O. Bertrand, C. Delpuech and J. Pernier. "Oscillatory gamma-band
       (30-70 Hz) activity induced by a visual search task in humans." J. Neurosci. 17 (1997).

    Examples
    --------
    A rhythm of 10 Hz that begins after one second:

    >>> import numpy as np
    >>> from mmcontrast.preprocessing import TimeFrequency
    >>> t = np.arange(400) / 200
    >>> X = np.where(t < 1, 0.1, 1.0) * np.sin(2 * np.pi * 10 * t) * np.ones((2, 1, 1))
    >>> tfr = TimeFrequency(sfreq=200, freqs=[10, 20], step=0.5, ch_names=["Oz"])
    >>> Z = tfr.fit_transform(X)
    >>> tfr.get_feature_names_out()[:4]
    array(['Oz_10Hz_0.25s', 'Oz_10Hz_0.75s', 'Oz_10Hz_1.25s', 'Oz_10Hz_1.75s'], dtype=object)
    >>> Z[0, 2] - Z[0, 0] > 1.9  # nearly two powers of ten
    np.True_
    """

    _parameter_constraints: dict[str, Any] = {
        **EpochsTransformer._parameter_constraints,
        "freqs": ["array-like", None],
        "n_cycles": [Interval(Real, 0, None, closed="neither")],
        "step": [Interval(Real, 0, None, closed="neither")],
        "window": ["array-like"],
        "baseline": ["array-like", None],
        "tmin": [Real, None],
        "log": ["boolean"],
        "output": [StrOptions({"features", "maps"})],
    }

    def __init__(
        self,
        sfreq: float | None = None,
        *,
        freqs: Sequence[float] | None = None,
        n_cycles: float = 5.0,
        step: float = 0.1,
        window: tuple[float | None, float | None] = (None, None),
        baseline: tuple[float | None, float | None] | None = None,
        tmin: float | None = None,
        log: bool = True,
        output: str = "features",
        ch_names: Sequence[str] | None = None,
    ) -> None:
        self.sfreq = sfreq
        self.freqs = freqs
        self.n_cycles = n_cycles
        self.step = step
        self.window = window
        self.baseline = baseline
        self.tmin = tmin
        self.log = log
        self.output = output
        self.ch_names = ch_names

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> TimeFrequency:
        """Learn the channels and where the bins lie in the epochs.

        Parameters
        ----------
        X : array of shape (n_epochs, n_channels, n_times) or (n_epochs, n_times), or mne.Epochs
            The epochs.
        y : None
            Ignored.

        Returns
        -------
        self : TimeFrequency
            The fitted transformer.
        """
        values = self._read(X, reset=True)
        self._refuse_flat(values)
        self.freqs_ = self._check_freqs()
        used = self._samples(check_window(self.window, "window"), "window")
        n_per_bin = max(1, round(self.step * self.sfreq_))
        n_bins = (used.stop - used.start) // n_per_bin
        if n_bins < 1:
            raise ValueError(
                f"The window of {(used.stop - used.start) / self.sfreq_:g} s is shorter than one "
                f"bin, step={self.step:g} s."
            )
        self._bins = (used.start, n_bins, n_per_bin)
        centres = used.start + n_per_bin * (np.arange(n_bins) + 0.5)
        self.times_ = self.tmin_ + centres / self.sfreq_
        self._baseline = self._baseline_samples(self.baseline)
        self._make_wavelets()
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Compute the power in each bin.

        Parameters
        ----------
        X : array of shape (n_epochs, n_channels, n_times) or (n_epochs, n_times), or mne.Epochs
            The epochs, as in `fit`.

        Returns
        -------
        powers : ndarray of float32, shape (n_epochs, n_channels * n_freqs * n_bins)
            Powers by channel, then frequency, then time; (n_epochs, n_channels, n_freqs, n_bins)
            with ``output="maps"``.
        """
        check_is_fitted(self)
        values = self._read(X, reset=False)
        shape = (*values.shape[:2], len(self.freqs_), len(self.times_))
        powers = np.empty(shape, dtype=np.float32)
        for rows in batches(values, copies=4):
            self._fill(powers[rows], values[rows])
        return powers if self.output == "maps" else powers.reshape(len(values), -1)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the features by channel, frequency and time, as in "Oz_10Hz_0.25s".

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the channels of a 3-D input without names.

        Returns
        -------
        names : ndarray of str, shape (n_channels * n_freqs * n_bins,)
            Names of the columns of `transform`.
        """
        channels = self._names_for(input_features)
        names = [
            f"{channel}_{freq:.6g}Hz_{time:.6g}s"
            for channel in channels
            for freq in self.freqs_
            for time in self.times_
        ]
        return np.array(names, dtype=object)

    def _fill(self, powers: np.ndarray, values: np.ndarray) -> None:
        start, n_bins, n_per_bin = self._bins
        used = slice(start, start + n_bins * n_per_bin)
        centred = (values - values.mean(axis=-1, keepdims=True)).astype(np.float32, copy=False)
        spectrum = fft.rfft(centred, self._n_fft)
        for column, wavelet in enumerate(self._wavelets):
            analytic = fft.ifft(spectrum * wavelet, self._n_fft)[..., : self.n_times_]
            power = analytic.real**2 + analytic.imag**2
            binned = power[..., used].reshape(*power.shape[:2], n_bins, n_per_bin).mean(axis=-1)
            binned = np.maximum(binned, _FLOOR) if self.log else binned
            if self._baseline is not None:
                level = power[..., self._baseline].mean(axis=-1, keepdims=True)
                binned = binned / np.maximum(level, _FLOOR)
            powers[:, :, column] = np.log10(binned) if self.log else binned

    def _make_wavelets(self) -> None:
        """Spectra of the wavelets at positive frequencies, so that squares are densities."""
        longest = self.n_cycles / (2 * np.pi * self.freqs_.min()) * self.sfreq_
        # four standard deviations of silence keep the end from reaching the beginning
        self._n_fft = fft.next_fast_len(self.n_times_ + int(np.ceil(4 * longest)) + 1)
        grid = fft.rfftfreq(self._n_fft, 1 / self.sfreq_)
        spread = self.freqs_[:, None] / self.n_cycles
        wavelets = np.exp(-0.5 * ((grid - self.freqs_[:, None]) / spread) ** 2)
        energy = np.sum(wavelets**2, axis=1, keepdims=True) / self._n_fft
        self._wavelets = (wavelets * np.sqrt(2 / (energy * self.sfreq_))).astype(np.float32)

    def _check_freqs(self) -> np.ndarray:
        freqs = np.geomspace(4, 40, 8) if self.freqs is None else np.array(self.freqs, dtype=float)
        nyquist = self.sfreq_ / 2
        if freqs.ndim != 1 or not len(freqs) or not ((freqs > 0) & (freqs < nyquist)).all():
            raise ValueError(
                f"freqs are at least one frequency between 0 and {nyquist:g} Hz, half the "
                f"sampling rate, got {freqs.tolist()}."
            )
        deviation = self.n_cycles / (2 * np.pi * freqs.min())
        if 2 * deviation > self.n_times_ / self.sfreq_:
            raise ValueError(
                f"The wavelet of {freqs.min():g} Hz with n_cycles={self.n_cycles:g} has a standard "
                f"deviation of {deviation:g} s, too long for epochs of "
                f"{self.n_times_ / self.sfreq_:g} s; take fewer cycles, higher frequencies or "
                "longer epochs."
            )
        return freqs
