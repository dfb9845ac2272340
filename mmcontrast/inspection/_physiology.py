"""Physiology of EEG and fNIRS trials, and how well parts tell it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._names import did_you_mean
from ..preprocessing import BandPower, EvokedFeatures, HaemodynamicFeatures
from ._probe import probe_parts
from ._scores import PartScores
from ._targets import factor_names

Window = tuple[float | None, float | None]


def physiological_targets(
    X: Any,
    *,
    sfreq: Mapping[str, float],
    fnirs_ch_names: Sequence[str],
    tmin: Mapping[str, float] | None = None,
    onset: Any = None,
    eeg: str = "eeg",
    fnirs: str = "fnirs",
    bands: Mapping[str, tuple[float, float]] | None = None,
    erp_window: Window = (0.05, 0.6),
    hrf_window: Window = (0.0, None),
) -> dict[str, np.ndarray]:
    """Compute what physiologists measure of each trial of EEG and fNIRS.

    Parameters
    ----------
    X : Modalities
        EEG (n_trials, n_channels, n_times) and fNIRS haemoglobin, not yet standardised.
    sfreq : mapping of str to float
        Sampling rate of both modalities in Hz, ``{"eeg": 200, "fnirs": 10}``.
    fnirs_ch_names : sequence of str
        Names of the fNIRS channels, which end in "hbo" or "hbr".
    tmin : mapping of str to float, default=None
        Time of the first sample of both modalities in seconds after the event; None is 0. What
        is before the event is the baseline.
    onset : array-like of shape (n_trials,), default=None
        Time of each trial's event in seconds on this scale, where it is not 0: trials are shifted
        so that it is, and cut to the times that all of them have. Without it, responses to events
        of unknown or scattered times vanish in the average.
    eeg, fnirs : str, default="eeg", "fnirs"
        Names of the modalities.
    bands : mapping of str to (float, float), default=None
        Frequency bands in Hz; None is those of :class:`~mmcontrast.preprocessing.BandPower`.
    erp_window : (float, float), default=(0.05, 0.6)
        Where to look for the peak of the evoked potential, in seconds.
    hrf_window : (float, float), default=(0.0, None)
        Where to look for that of the haemodynamic response, in seconds.

    Returns
    -------
    dict of str to ndarray of shape (n_trials,)
        - "gamma_power" and so on for each band: mean over channels of its decimal logarithm,
        - "erp_amplitude": peak of the evoked potential in units of the input,
        - "hbo_amplitude", "hbr_amplitude": peak of the haemodynamic responses (HbR: trough),
        - "peak_lag": time of the HbO peak minus time of the EEG peak in seconds,
        - "gamma_per_hbo" (with a band of the name "gamma"): neural efficiency, gamma power minus
          HbO amplitude, both standardised. A ratio would be ruled by the trials in which the
          measured HbO amplitude is near zero. Being additive, it is no synergy.

    Raises
    ------
    ValueError
        If a modality, its sampling rate, or HbO or HbR channels are missing, or what the
        transformers of :mod:`mmcontrast.preprocessing` refuse.

    Notes
    -----
    Evoked potential and haemodynamic responses are each measured in one virtual channel: channels
    weighted by the topography of the average response of all trials at the moment of its largest
    spread over channels (its global field power), which a single trial's noise disturbs less than
    any one channel does.

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast import Modalities
    >>> from mmcontrast.inspection import physiological_targets
    >>> rng = np.random.default_rng(0)
    >>> X = Modalities(eeg=1e-5 * rng.normal(size=(20, 4, 400)),
    ...                fnirs=1e-6 * rng.normal(size=(20, 2, 120)))
    >>> targets = physiological_targets(
    ...     X, sfreq={"eeg": 200, "fnirs": 10}, fnirs_ch_names=["S1_D1 hbo", "S1_D1 hbr"])
    >>> list(targets)
    ['delta_power', 'theta_power', 'alpha_power', 'beta_power', 'gamma_power', 'erp_amplitude',
     'hbo_amplitude', 'hbr_amplitude', 'peak_lag', 'gamma_per_hbo']
    """
    signals = {name: _read(X, name) for name in (eeg, fnirs)}
    rates = {name: _entry(sfreq, name, "sfreq") for name in signals}
    starts = {name: 0.0 if tmin is None else _entry(tmin, name, "tmin") for name in signals}
    power = BandPower(rates[eeg], bands=bands)
    powers = power.fit_transform(signals[eeg]).astype(np.float64)
    powers = powers.reshape(len(powers), signals[eeg].shape[1], -1).mean(axis=1)
    targets = dict(zip((f"{band}_power" for band in power.bands_), powers.T, strict=True))
    rounding = dict.fromkeys(signals, 0.0)
    if onset is not None:
        for name in signals:
            signals[name], starts[name], rounding[name] = _aligned(
                signals[name], rates[name], starts[name], onset, name
            )
    baselines: dict[str, Window | None] = {
        name: (None, 0.0) if start < 0 else None for name, start in starts.items()
    }
    evoked = EvokedFeatures(
        rates[eeg],
        tmin=starts[eeg],
        windows={"ERP": erp_window},
        features=("peak", "latency"),
        baseline=baselines[eeg],
    )
    erp = _virtual(signals[eeg], rates[eeg], starts[eeg], erp_window, upright=False)
    targets["erp_amplitude"], latency = evoked.fit_transform(erp).T.astype(np.float64)
    columns = _chromophores(fnirs_ch_names, signals[fnirs].shape[1], fnirs)
    haemoglobin = [
        _virtual(signals[fnirs][:, rows], rates[fnirs], starts[fnirs], hrf_window, upright=True)
        for rows in columns
    ]
    haemodynamic = HaemodynamicFeatures(
        rates[fnirs],
        tmin=starts[fnirs],
        window=hrf_window,
        features=("peak", "time_to_peak"),
        baseline=baselines[fnirs],
        ch_names=["virtual hbo", "virtual hbr"],
    )
    found = haemodynamic.fit_transform(np.concatenate(haemoglobin, axis=1)).astype(np.float64)
    targets["hbo_amplitude"], hbo_time, targets["hbr_amplitude"], _ = found.T
    targets["peak_lag"] = (hbo_time + rounding[fnirs]) - (latency + rounding[eeg])
    if "gamma_power" in targets:
        gamma, hbo = (_standard(targets[name]) for name in ("gamma_power", "hbo_amplitude"))
        targets["gamma_per_hbo"] = gamma - hbo
    return targets


def physiology_report(
    parts: Any,
    X: Any,
    *,
    sfreq: Mapping[str, float],
    fnirs_ch_names: Sequence[str],
    tmin: Mapping[str, float] | None = None,
    onset: Any = None,
    eeg: str = "eeg",
    fnirs: str = "fnirs",
    bands: Mapping[str, tuple[float, float]] | None = None,
    erp_window: Window = (0.05, 0.6),
    hrf_window: Window = (0.0, None),
    factors: Any = None,
    **options: Any,
) -> PartScores:
    """Read physiology from each part: band powers, amplitudes, lag and efficiency.

    Parameters
    ----------
    parts : estimator, or mapping of str to array
        A fitted decomposer with `transform` and `split`, also as the last step of a pipeline that
        prepares `X` for it, or the parts of the trials of `X`.
    X : Modalities
        EEG (n_trials, n_channels, n_times) and fNIRS haemoglobin, not yet standardised, of trials
        that the decomposer was not fitted to.
    sfreq : mapping of str to float
        Sampling rate of both modalities in Hz, ``{"eeg": 200, "fnirs": 10}``.
    fnirs_ch_names : sequence of str
        Names of the fNIRS channels, which end in "hbo" or "hbr".
    tmin : mapping of str to float, default=None
        Time of the first sample of both modalities in seconds after the event; None is 0.
    onset : array-like of shape (n_trials,), default=None
        Time of each trial's event in seconds, where it is not 0.
    eeg, fnirs : str, default="eeg", "fnirs"
        Names of the modalities.
    bands : mapping of str to (float, float), default=None
        Frequency bands in Hz.
    erp_window, hrf_window : (float, float), default=(0.05, 0.6), (0.0, None)
        Where to look for peaks, in seconds.
    factors : mapping of str to array, or DataFrame, default=None
        Further columns of the report, such as conditions and behaviour.
    **options : object
        `groups`, `probe`, `cv`, `kinds`, `permutation`, `n_permutations`, `n_bootstraps`,
        `confidence` and `random_state` as in :func:`probe_parts`.

    Returns
    -------
    PartScores
        Scores of each part on each quantity of :func:`physiological_targets` and on `factors`,
        with intervals and p values.

    Raises
    ------
    ValueError
        As in :func:`physiological_targets` and :func:`probe_parts`, and if a factor has the name
        of a physiological quantity.

    Notes
    -----
    The quantities are measured in the same trials that the parts were made from, noise included:
    a part may read the noise of a measured quantity as well as its signal.

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast import Modalities
    >>> from mmcontrast.inspection import physiology_report
    >>> rng = np.random.default_rng(0)
    >>> size = np.exp(rng.normal(size=(60, 1, 1)))
    >>> X = Modalities(eeg=1e-5 * size * rng.normal(size=(60, 4, 400)),
    ...                fnirs=1e-6 * rng.normal(size=(60, 2, 120)))
    >>> parts = {"U_eeg": np.log(size[:, 0]), "U_fnirs": rng.normal(size=(60, 3))}
    >>> report = physiology_report(
    ...     parts, X, sfreq={"eeg": 200, "fnirs": 10}, fnirs_ch_names=["S1_D1 hbo", "S1_D1 hbr"],
    ...     random_state=0)
    >>> report["U_eeg", "gamma_power"].low > 0.9, report["U_fnirs", "gamma_power"].low < 0
    (True, True)
    """
    targets: dict[str, Any] = physiological_targets(
        X,
        sfreq=sfreq,
        fnirs_ch_names=fnirs_ch_names,
        tmin=tmin,
        onset=onset,
        eeg=eeg,
        fnirs=fnirs,
        bands=bands,
        erp_window=erp_window,
        hrf_window=hrf_window,
    )
    for name in () if factors is None else factor_names(factors):
        if name in targets:
            raise ValueError(
                f"Factor {name!r} has the name of a physiological quantity; rename it."
            )
        targets[name] = factors[name]
    kinds = {name: "continuous" for name in targets if factors is None or name not in factors}
    kinds.update(options.pop("kinds", None) or {})
    X = None if isinstance(parts, Mapping) else X
    return probe_parts(parts, targets, X=X, kinds=kinds, **options)


def _read(X: Any, name: str) -> np.ndarray:
    names = list(getattr(X, "names", X if isinstance(X, Mapping) else ()))
    if name not in names:
        raise ValueError(
            f"X has no modality {name!r}, found {names}; say which modality is which by "
            f"eeg= and fnirs=.{did_you_mean(name, names)}"
        )
    values = np.asarray(X[name])
    if values.ndim != 3:
        raise ValueError(
            f"Modality {name!r} has shape {values.shape}; expected signals (n_trials, n_channels, "
            "n_times), from which physiology can be computed."
        )
    return values


def _entry(given: Mapping[str, float], name: str, what: str) -> float:
    if not isinstance(given, Mapping) or name not in given:
        raise ValueError(
            f"{what}={given!r} has no entry for modality {name!r}; expected a number for both "
            "modalities."
        )
    return float(given[name])


def _chromophores(names: Sequence[str], n_channels: int, fnirs: str) -> list[list[int]]:
    """Channels of HbO and those of HbR."""
    if len(names) != n_channels:
        raise ValueError(
            f"fnirs_ch_names has {len(names)} names, but modality {fnirs!r} has {n_channels} "
            "channels."
        )
    endings = [str(name).lower()[-3:] for name in names]
    found = [[i for i, end in enumerate(endings) if end == kind] for kind in ("hbo", "hbr")]
    for channels, kind in zip(found, ("hbo", "hbr"), strict=True):
        if not channels:
            raise ValueError(
                f"No name in fnirs_ch_names ends in {kind!r} (the first is {names[0]!r}); both "
                "HbO and HbR are needed."
            )
    return found


def _aligned(
    values: np.ndarray, sfreq: float, tmin: float, onset: Any, name: str
) -> tuple[np.ndarray, float, Any]:
    """Signals around each trial's onset, time of their first sample, and what rounding took."""
    onset = np.asarray(onset, dtype=np.float64)
    if onset.shape != (len(values),) or not np.isfinite(onset).all():
        raise ValueError(
            f"onset has shape {onset.shape}; expected a finite time in seconds for each of the "
            f"{len(values)} trials."
        )
    shift = np.round(onset * sfreq).astype(int)
    first = shift - shift.min()
    n_times = values.shape[-1] - first.max()
    if n_times < 2:
        raise ValueError(
            f"Events lie between {onset.min():g} and {onset.max():g} s, farther apart than trials "
            f"of modality {name!r} are long ({values.shape[-1] / sfreq:g} s); no time is common."
        )
    columns = first[:, None, None] + np.arange(n_times)
    start = float(tmin - shift.min() / sfreq)
    return np.take_along_axis(values, columns, axis=-1), start, shift / sfreq - onset


def _virtual(
    values: np.ndarray, sfreq: float, tmin: float, window: Window, *, upright: bool
) -> np.ndarray:
    """One channel (n_trials, 1, n_times), by the topography of the average response.

    Its sign is that of most channels if it has to stay `upright`, as that of a concentration, else
    the average is positive at the peak, as that of a potential depends on the reference.
    """
    average = values.mean(axis=0, dtype=np.float64)
    times = tmin + np.arange(average.shape[1]) / sfreq
    before = times < 0
    if before.any():
        average = average - average[:, before].mean(axis=1, keepdims=True)
    start = times[0] if window[0] is None else window[0]
    stop = times[-1] if window[1] is None else window[1]
    inside = np.flatnonzero((times >= start - 1e-9) & (times <= stop + 1e-9))
    if not len(inside):
        raise ValueError(
            f"The window {window} s holds no sample of epochs from {times[0]:g} to {times[-1]:g} s."
        )
    peak = inside[np.linalg.norm(average[:, inside], axis=0).argmax()]
    weights = average[:, peak]
    size = np.abs(weights).sum()
    if not np.isfinite(size):
        raise ValueError("Signals have NaN or infinite values; leave these trials out.")
    weights = np.full(len(weights), 1 / len(weights)) if size == 0 else weights / size
    if upright and weights.sum() < 0:
        weights = -weights
    return np.einsum("c,nct->nt", weights, values)[:, None]


def _standard(values: np.ndarray) -> np.ndarray:
    spread = values.std()
    return (values - values.mean()) / (spread if spread > 0 else 1.0)
