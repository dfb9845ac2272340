"""Removal of what short fNIRS channels see as well: skin and skull."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from .._names import did_you_mean
from ._checks import EpochsTransformer, batches


class ShortChannelRegression(EpochsTransformer):
    r"""Regress the signals of short fNIRS channels out of the long ones.

    Light that is detected within about a centimetre of its source has hardly seen the brain. What
    a long channel shares with short ones is blood flow in the scalp, heartbeat, respiration and
    Mayer waves, and is removed by ordinary least squares [1]_. HbO is regressed on HbO, HbR on HbR
    and a wavelength on the same wavelength, if the names of the channels tell.

    Parameters
    ----------
    short : "auto", sequence of str or int, or boolean mask, default="auto"
        Names or indices of the short channels, or a mask of shape (n_channels,). "auto" is
        those of mne.Epochs whose source and detector are at most `max_distance` apart. With an
        empty sequence nothing is removed.
    max_distance : float, default=0.015
        Longest distance of a short channel in metres, for ``short="auto"``.
    regressors : {"all", "nearest", "mean"}, default="all"
        All short channels of the same kind [2]_, the nearest one (which needs the positions of
        mne.Epochs), or their mean.
    scope : {"fit", "epoch"}, default="fit"
        Estimate the coefficients once from all epochs of `fit`, or in every epoch from itself.
        The latter needs epochs much longer than the slowest wave, and also removes from
        training and test epochs what a response shares by chance with the scalp.
    ch_names : sequence of str, default=None
        Names of the channels of arrays.

    Attributes
    ----------
    coef_ : ndarray of shape (n_long, n_short)
        Regression coefficients; only with ``scope="fit"``.
    short_ : ndarray of int, shape (n_short,)
        The short channels.
    long_ : ndarray of int, shape (n_long,)
        The channels that `transform` returns.
    sfreq_ : float or None
        Sampling rate in Hz, if known.
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
        If the short channels are unknown or there are none, all channels are short, a kind of
        channel has no short one, values are not finite, or a channel is flat in all epochs of
        `fit`.

    See Also
    --------
    haemoglobin_from_raw : Haemoglobin from raw intensities.

    Notes
    -----
    Input is (n_epochs, n_channels, n_times), or mne.Epochs; output (n_epochs, n_long, n_times) in
    the same unit. The regression is on deviations from the mean of each epoch, so means stay.
    A response of the brain that short channels see a part of is weakened with the scalp's.

    The output is an array, also for mne.Epochs and after ``set_output``, and says neither when it
    begins nor what its channels are called. A next step takes the epochs to begin at 0 s: give it
    ``tmin=`` (this step's ``tmin_``), ``ch_names=`` (``get_feature_names_out()``) and ``sfreq=``.

    References
    ----------
    .. [1] R. Saager and A. Berger. "Direct characterization and removal of interfering absorption
       trends in two-layer turbid media." J. Opt. Soc. Am. A 22 (2005).
    .. [2] H. Santosa, X. Zhai, F. Fishburn, P. Sparto and T. Huppert. "Quantitative comparison of
       correction techniques for removing systemic physiological signal in functional near-infrared
       spectroscopy studies." Neurophotonics 7 (2020).

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast.preprocessing import ShortChannelRegression
    >>> rng = np.random.default_rng(0)
    >>> scalp, brain = rng.normal(size=(2, 20, 300))
    >>> X = np.stack([brain + 3 * scalp, scalp], axis=1)
    >>> regression = ShortChannelRegression(
    ...     short=["S1_D9 hbo"], ch_names=["S1_D1 hbo", "S1_D9 hbo"])
    >>> cleaned = regression.fit_transform(X)
    >>> cleaned.shape, regression.coef_.round(1)
    ((20, 1, 300), array([[3.]]))
    >>> print(f"{np.corrcoef(cleaned.ravel(), brain.ravel())[0, 1]:.2f}")
    0.99
    """

    _parameter_constraints: dict[str, Any] = {
        "ch_names": ["array-like", None],
        "short": ["array-like", StrOptions({"auto"})],
        "max_distance": [Interval(Real, 0, None, closed="neither")],
        "regressors": [StrOptions({"all", "nearest", "mean"})],
        "scope": [StrOptions({"fit", "epoch"})],
    }
    _needs_sfreq = False

    def __init__(
        self,
        short: str | Sequence[str | int | bool] = "auto",
        *,
        max_distance: float = 0.015,
        regressors: str = "all",
        scope: str = "fit",
        ch_names: Sequence[str] | None = None,
    ) -> None:
        self.short = short
        self.max_distance = max_distance
        self.regressors = regressors
        self.scope = scope
        self.ch_names = ch_names

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> ShortChannelRegression:
        """Find the short channels and estimate the coefficients.

        Parameters
        ----------
        X : array of shape (n_epochs, n_channels, n_times), or mne.Epochs
            The epochs.
        y : None
            Ignored.

        Returns
        -------
        self : ShortChannelRegression
            The fitted transformer.
        """
        values = self._read(X, reset=True)
        self._refuse_flat(values)
        n_channels = values.shape[1]
        self.short_ = self._find_short(n_channels)
        self.long_ = np.setdiff1d(np.arange(n_channels), self.short_)
        if not len(self.long_):
            raise ValueError(f"All {n_channels} channels are short; there is none to correct.")
        self._mixing = self._make_mixing()
        self._scope = self.scope
        if self.scope == "fit":
            n_short = len(self.short_)
            gram, cross = np.zeros((n_short, n_short)), np.zeros((len(self.long_), n_short))
            for rows in batches(values, copies=2):
                long, short = self._split(values[rows])
                gram += np.einsum("eit,ejt->ij", short, short, optimize=True)
                cross += np.einsum("eit,ejt->ij", long, short, optimize=True)
            self.coef_ = self._solve(gram[None], cross[None])[0]
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Remove the short channels, and from the others what they share with them.

        Parameters
        ----------
        X : array of shape (n_epochs, n_channels, n_times), or mne.Epochs
            The epochs, as in `fit`.

        Returns
        -------
        cleaned : ndarray of float32, shape (n_epochs, n_long, n_times)
            The long channels. A 2-D input, one channel, stays 2-D.
        """
        check_is_fitted(self)
        values = self._read(X, reset=False)
        cleaned = np.empty((len(values), len(self.long_), self.n_times_), dtype=np.float32)
        for rows in batches(values, copies=3):
            long, short = self._split(values[rows])
            if self._scope == "fit":
                coef = self.coef_
            else:
                transposed = short.swapaxes(1, 2)
                coef = self._solve(short @ transposed, long @ transposed)
            cleaned[rows] = values[rows][:, self.long_] - coef @ short
        return cleaned if self._is_sequence else cleaned[:, 0]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the channels that are left; of a 2-D input, the columns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the channels of a 3-D input without names, or of the columns.

        Returns
        -------
        names : ndarray of str, shape (n_long,)
            Names of the long channels.
        """
        names = self._names_for(input_features)
        if not self._is_sequence:
            return _check_feature_names_in(self, input_features)
        return np.array([names[channel] for channel in self.long_], dtype=object)

    def _find_short(self, n_channels: int) -> np.ndarray:
        if isinstance(self.short, str):
            return self._short_by_distance()
        given = list(self.short)
        if any(isinstance(channel, bool | np.bool_) for channel in given):
            return _indices_of_mask(given, n_channels)
        names = self._channel_names()
        found = []
        for channel in given:
            if not isinstance(channel, str | Integral):
                raise ValueError(
                    "short holds names or indices of channels, or is a boolean mask of them; got "
                    f"{channel!r}."
                )
            if isinstance(channel, str) and channel in names:
                found.append(names.index(channel))
            elif isinstance(channel, Integral) and 0 <= channel < n_channels:
                found.append(int(channel))
            else:
                hint = did_you_mean(channel, names)
                raise ValueError(f"short names channel {channel!r}, which does not exist.{hint}")
        return np.unique(np.array(found, dtype=int))

    def _short_by_distance(self) -> np.ndarray:
        distances = self._recording.distances
        if distances is None:
            raise ValueError(
                "short='auto' needs the distances of sources and detectors, which only mne.Epochs "
                "of fNIRS have; name the short channels, short=['S1_D9 hbo', ...], or give their "
                "indices."
            )
        short = np.flatnonzero(distances <= self.max_distance)
        if not len(short):
            raise ValueError(
                f"No channel is at most max_distance={self.max_distance:g} m long; the shortest "
                f"has {np.nanmin(distances):g} m. Give max_distance= or short=, or leave the "
                "regression out."
            )
        return short

    def _make_mixing(self) -> np.ndarray:
        """Which short channels each long one is regressed on, (n_long, n_short)."""
        kinds = np.array(self._kinds(), dtype=object)
        allowed = kinds[self.long_][:, None] == kinds[self.short_]
        alone = self.long_[~allowed.any(axis=1)]
        if len(self.short_) and len(alone):
            raise ValueError(
                f"Channels {[self._channel_names()[k] for k in alone]} have no short channel of "
                "their kind (HbO, HbR or wavelength) to be regressed on."
            )
        if self.regressors != "nearest" or not len(self.short_):
            return allowed
        positions = self._recording.positions
        if positions is None or not np.isfinite(positions).all():
            raise ValueError(
                "regressors='nearest' needs the positions of the channels, which only mne.Epochs "
                "with a montage have; take 'all' or 'mean'."
            )
        gaps = np.linalg.norm(positions[self.long_][:, None] - positions[self.short_], axis=-1)
        gaps[~allowed] = np.inf
        return np.arange(len(self.short_)) == gaps.argmin(axis=1)[:, None]

    def _split(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values = values.astype(np.float64, copy=False)
        values = values - values.mean(axis=-1, keepdims=True)
        return values[:, self.long_], values[:, self.short_]

    def _solve(self, gram: np.ndarray, cross: np.ndarray) -> np.ndarray:
        """Coefficients (n, n_long, n_short) from products of the signals."""
        coef = np.zeros_like(cross)
        for used in np.unique(self._mixing, axis=0):
            long = np.flatnonzero((self._mixing == used).all(axis=1))
            short = np.flatnonzero(used)
            if not len(short):
                continue
            combine = np.eye(len(short))
            if self.regressors == "mean":
                combine = np.full((len(short), 1), 1 / len(short))
            inner = combine.T @ gram[:, short[:, None], short] @ combine
            outer = cross[:, long[:, None], short] @ combine
            # rank is a matter of correlations, not of the scales of the channels
            scales = np.sqrt(np.diagonal(inner, axis1=-2, axis2=-1))
            scales = np.where(scales > 0, scales, 1.0)
            scales = scales[..., :, None] * scales[..., None, :]
            inverse = np.linalg.pinv(inner / scales, rcond=1e-10, hermitian=True) / scales
            coef[:, long[:, None], short] = outer @ inverse @ combine.T
        return coef


def _indices_of_mask(mask: Sequence[Any], n_channels: int) -> np.ndarray:
    if not all(isinstance(entry, bool | np.bool_) for entry in mask):
        raise ValueError(f"short mixes True or False with other values: {mask}.")
    if len(mask) != n_channels:
        raise ValueError(
            f"short is a boolean mask of {len(mask)} entries, but the epochs have {n_channels} "
            "channels."
        )
    return np.flatnonzero(mask)
