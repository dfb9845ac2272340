"""Power in frequency bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from ._checks import EpochsTransformer, batches
from ._spectra import SpectralPlan, morlet_plan, multitaper_plan, welch_plan

CANONICAL_BANDS: dict[str, tuple[float, float]] = {
    "delta": (1.0, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 12.0),
    "beta": (12.0, 30.0),
    "gamma": (30.0, 45.0),
}
# a picovolt squared, far below the noise of any amplifier
_FLOOR = 1e-24


class BandPower(EpochsTransformer):
    r"""Power of each channel in frequency bands.

    The one-sided power spectral density is integrated over each band, lower edge included and
    upper edge excluded, so that adjacent bands share nothing. Epochs are read in batches: memory
    stays at that of the input and the output.

    Parameters
    ----------
    sfreq : float, default=None
        Sampling rate in Hz. Needed for arrays; mne.Epochs bring it, and it is compared if given.
    bands : mapping of str to (float, float), default=None
        Edges of each band in Hz. None is delta 1-4, theta 4-8, alpha 8-12, beta 12-30 and gamma
        30-45 Hz, which ends below the mains.
    method : {"welch", "multitaper", "morlet"}, default="welch"
        "welch" averages over segments with a Hann window [1]_, "multitaper" over Slepian tapers of
        the whole epoch [2]_, "morlet" is the energy of Morlet wavelets over the epoch [3]_, with
        frequency resolution in proportion to the frequency.
    segment : float, default=2.0
        Length of Welch's segments in seconds (at most the epoch). They overlap by half.
    bandwidth : float, default=None
        Full bandwidth of the multitaper estimate in Hz; None is eight times the resolution of the
        epoch, with seven tapers.
    n_cycles : float, default=7.0
        Cycles of the wavelets: their standard deviation in frequency is ``f / n_cycles``.
    relative : bool, default=False
        Divide by the power between the lowest and the highest edge of all bands.
    log : bool, default=True
        Decimal logarithm of the power. A power below 1e-24 (a picovolt squared) counts as that, so
        that an epoch in which a channel is flat stays finite.
    ch_names : sequence of str, default=None
        Names of the channels of arrays, for the names of the features.

    Attributes
    ----------
    bands_ : dict of str to (float, float)
        The bands.
    freqs_ : ndarray of shape (n_freqs,)
        Frequencies of the spectrum in Hz, from the lowest to the highest that a band uses.
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
        If the sampling rate is missing or another than that of mne.Epochs; if a band is empty,
        lies beyond half the sampling rate or between two frequencies of the spectrum; if values
        are not finite, or a channel is flat in all epochs of `fit`.

    See Also
    --------
    mne.decoding.PSDEstimator : The whole multitaper spectrum.

    Notes
    -----
    Input is (n_epochs, n_channels, n_times), or mne.Epochs, of which the data channels are used;
    2-D input is read as one channel. Output is (n_epochs, n_channels * n_bands), channel by
    channel, in the squared unit of the input (V² for EEG in volts, M² for haemoglobin in molar)
    before the logarithm.

    References
    ----------
    .. [1] P. Welch. "The use of the fast Fourier transform for the estimation of power spectra."
       IEEE Trans. Audio Electroacoust. 15 (1967).
    .. [2] D. Thomson. "Spectrum estimation and harmonic analysis." Proc. IEEE 70 (1982).
    .. [3] C. Tallon-Baudry, O. Bertrand, C. Delpuech and J. Pernier. "Oscillatory gamma-band
       (30-70 Hz) activity induced by a visual search task in humans." J. Neurosci. 17 (1997).

    Examples
    --------
    A channel with a 10 Hz rhythm of 20 µV, that is a power of (20e-6)² / 2 V²:

    >>> import numpy as np
    >>> from mmcontrast.preprocessing import BandPower
    >>> t = np.arange(1000) / 200
    >>> X = 20e-6 * np.sin(2 * np.pi * 10 * t) * np.ones((3, 1, 1))
    >>> band_power = BandPower(sfreq=200, ch_names=["Oz"], log=False)
    >>> powers = band_power.fit_transform(X)
    >>> band_power.get_feature_names_out()
    array(['Oz_delta', 'Oz_theta', 'Oz_alpha', 'Oz_beta', 'Oz_gamma'], dtype=object)
    >>> print(f"{powers[0, 2]:.2e}")
    2.00e-10
    """

    _parameter_constraints: dict[str, Any] = {
        **EpochsTransformer._parameter_constraints,
        "bands": [Mapping, None],
        "method": [StrOptions({"welch", "multitaper", "morlet"})],
        "segment": [Interval(Real, 0, None, closed="neither")],
        "bandwidth": [Interval(Real, 0, None, closed="neither"), None],
        "n_cycles": [Interval(Real, 0, None, closed="neither")],
        "relative": ["boolean"],
        "log": ["boolean"],
    }

    def __init__(
        self,
        sfreq: float | None = None,
        *,
        bands: Mapping[str, tuple[float, float]] | None = None,
        method: str = "welch",
        segment: float = 2.0,
        bandwidth: float | None = None,
        n_cycles: float = 7.0,
        relative: bool = False,
        log: bool = True,
        ch_names: Sequence[str] | None = None,
    ) -> None:
        self.sfreq = sfreq
        self.bands = bands
        self.method = method
        self.segment = segment
        self.bandwidth = bandwidth
        self.n_cycles = n_cycles
        self.relative = relative
        self.log = log
        self.ch_names = ch_names

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> BandPower:
        """Learn the channels, the sampling rate and the length of the epochs.

        Parameters
        ----------
        X : array of shape (n_epochs, n_channels, n_times) or (n_epochs, n_times), or mne.Epochs
            The epochs.
        y : None
            Ignored.

        Returns
        -------
        self : BandPower
            The fitted transformer.
        """
        values = self._read(X, reset=True)
        self._refuse_flat(values)
        self.bands_ = _check_bands(
            CANONICAL_BANDS if self.bands is None else self.bands, self.sfreq_ / 2
        )
        self._relative = self.relative
        self._plan = self._make_plan()
        self.freqs_ = self._plan.freqs
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Compute the power in each band.

        Parameters
        ----------
        X : array of shape (n_epochs, n_channels, n_times) or (n_epochs, n_times), or mne.Epochs
            The epochs, as in `fit`.

        Returns
        -------
        powers : ndarray of float32, shape (n_epochs, n_channels * n_bands)
            Band powers, channel by channel.
        """
        check_is_fitted(self)
        values = self._read(X, reset=False)
        n_bands = len(self.bands_)
        powers = np.empty((len(values), values.shape[1], n_bands), dtype=np.float32)
        for rows in batches(values):
            found = self._plan.powers(values[rows])
            if self._relative:
                found, total = found[..., :n_bands], found[..., n_bands:]
                found = np.divide(found, total, out=np.zeros_like(found), where=total > 0)
            powers[rows] = np.log10(np.maximum(found, _FLOOR)) if self.log else found
        return powers.reshape(len(values), -1)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the features by channel and band, as in "Fz_alpha".

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the channels of a 3-D input without names.

        Returns
        -------
        names : ndarray of str, shape (n_channels * n_bands,)
            Names of the columns of `transform`.
        """
        channels = self._names_for(input_features)
        return np.array([f"{ch}_{band}" for ch in channels for band in self.bands_], dtype=object)

    def _make_plan(self) -> SpectralPlan:
        edges = list(self.bands_.values())
        if self.relative:
            edges.append((min(low for low, _ in edges), max(high for _, high in edges)))
        if self.method == "welch":
            plan = welch_plan(self.n_times_, self.sfreq_, edges, self.segment)
        elif self.method == "multitaper":
            plan = multitaper_plan(self.n_times_, self.sfreq_, edges, self.bandwidth)
        else:
            plan = morlet_plan(self.n_times_, self.sfreq_, edges, self.n_cycles)
        for (name, band), weights in zip(self.bands_.items(), plan.weights.T, strict=False):
            if not weights.any():
                raise ValueError(
                    f"Band {name!r} ({band[0]:g}-{band[1]:g} Hz) lies between two frequencies of "
                    f"the spectrum, which are {plan.step:g} Hz apart; take a wider band, longer "
                    "epochs" + (" or a longer segment." if self.method == "welch" else ".")
                )
        return plan


def _check_bands(bands: Mapping[str, Any], nyquist: float) -> dict[str, tuple[float, float]]:
    if not bands:
        raise ValueError("bands is empty; give at least one band, {'alpha': (8, 12)}.")
    checked = {}
    for name, edges in bands.items():
        try:
            low, high = map(float, edges)
        except (TypeError, ValueError):
            raise ValueError(f"Band {name!r} is a pair (low, high) in Hz, got {edges!r}.") from None
        if not 0 <= low < high:
            raise ValueError(f"Band {name!r} needs 0 <= low < high in Hz, got {edges!r}.")
        # an upper edge at the Nyquist frequency is meant to include it
        if high > nyquist * (1 + 1e-6) and low < high:
            raise ValueError(
                f"Band {name!r} ({low:g}-{high:g} Hz) reaches beyond {nyquist:g} Hz, half the "
                "sampling rate; give bands= that end below it."
            )
        checked[str(name)] = (low, high)
    return checked
