"""Simulated recordings of simultaneous EEG and fNIRS."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state, check_scalar

from .._names import did_you_mean
from ._neurovascular import SEED_LIMIT, check_arguments, draw_streams, factor_table
from ._neurovascular_factors import draw_factors, need_pandas
from ._neurovascular_light import intensities_of
from ._neurovascular_noise import Grid, Streams, eeg_noise, fnirs_noise, narrowband
from ._neurovascular_physiology import (
    GAMMA_FREQS,
    HRF_LENGTH,
    draw_variability,
    rhythm_amplitudes,
)
from ._neurovascular_sensors import (
    Montage,
    Subjects,
    all_sites,
    draw_subject_values,
    eeg_montage,
    fnirs_montage,
    haemoglobin_names,
    head_positions,
    montage_name,
)
from ._neurovascular_trials import (
    ALPHA_SPREAD,
    BETA_SPREAD,
    Trials,
    eeg_events,
    eeg_topography,
    haemoglobin,
)
from ._scalars import check_real

_LEAD_IN, _SHORTEST = 15.0, 15.0  # s
_EEG_REACH, _FNIRS_REACH = (-3.0, 5.0), (-3.0, 5.0 + HRF_LENGTH)  # s, of what an event does
_FADE = 1.0  # s, from the state of a trial to that of the next
_N_WAVES = 200  # of a rhythm that lasts for minutes
LONG, SHORT = 0.03, 0.008  # m, from source to detector


def make_neurovascular_raw(
    n_trials: int = 40,
    *,
    fnirs: str = "haemoglobin",
    n_eeg_channels: int = 16,
    n_fnirs_channels: int = 12,
    n_short_channels: int = 2,
    eeg_sfreq: float = 100.0,
    fnirs_sfreq: float = 5.0,
    interval: tuple[float, float] = (22.0, 28.0),
    ppf: float = 6.0,
    snr: float = 1.0,
    subject_state: int | np.random.RandomState | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[Any, Any, Any]:
    """Simulate the continuous recordings of one subject, with the physiology of trials.

    What :func:`make_neurovascular` returns as arrays, as a pair of recordings: for running the path
    from raw data to features, and for comparing with what was planted.

    Parameters
    ----------
    n_trials : int, default=40
        Number of trials.
    fnirs : {"haemoglobin", "intensity"}, default="haemoglobin"
        What the fNIRS recording holds: concentrations of HbO and HbR, or the intensities of light
        of 760 and 850 nm, from which the same concentrations follow by the modified Beer-Lambert
        law.
    n_eeg_channels, n_fnirs_channels : int, default=16 and 12
        Number of electrodes, and of pairs of source and detector 30 mm apart.
    n_short_channels : int, default=2
        Number of further pairs, 8 mm apart, which see the blood of the body but not the brain.
    eeg_sfreq, fnirs_sfreq : float, default=100.0 and 5.0
        Sampling rates in Hz, at least 90 and 1.
    interval : (float, float), default=(22.0, 28.0)
        Shortest and longest time from one nominal onset to the next in seconds, at least 15.
    ppf : float, default=6.0
        Partial pathlength factor of both wavelengths, for intensities.
    snr : float, default=1.0
        As in :func:`make_neurovascular`.
    subject_state : int, RandomState or None, default=None
        Seed of the subject alone. None takes it from `random_state`.
    random_state : int, RandomState or None, default=None
        Seed of everything else.

    Returns
    -------
    raw_eeg : mne.io.RawArray
        EEG in V, with an annotation "trial" at the nominal onset of each trial and the positions
        of electrodes in the 10-10 system.
    raw_fnirs : mne.io.RawArray
        HbO and HbR in M ("S1_D1 hbo"), or intensities in V ("S1_D1 760"), first all of one kind
        and then all of the other, with positions of sources and detectors and the same
        annotations. Both recordings begin at the same time.
    factors : pandas.DataFrame
        As from :func:`make_neurovascular`, one row per trial; ``factors.attrs["onsets"]`` has
        the nominal onsets in seconds.

    Raises
    ------
    ValueError
        If an argument is out of its range.
    TypeError
        If an argument is not a number where one is needed.
    ImportError
        If pandas is not installed.

    See Also
    --------
    make_neurovascular : Trials of several subjects as arrays.
    mmcontrast.preprocessing.haemoglobin_from_raw : From intensities to haemoglobin.
    mmcontrast.preprocessing.epochs_from_raws : From the recordings to epochs of both.

    Notes
    -----
    The event itself comes ``event_time`` after the annotation, the haemodynamic response `delay`
    later. Onsets fall on samples of the fNIRS. State is that of the nearest trial. There are about
    as many motion artefacts per trial as in those of :func:`make_neurovascular`, at any time.

    The light is the inverse of the law that MNE applies: concentrations of
    ``mne.preprocessing.nirs.beer_lambert_law`` equal those of ``fnirs="haemoglobin"`` of the same
    seeds up to a constant of each channel, because optical densities are relative to the mean
    intensity [1]_. Give the same `ppf` to both.

    Without noise there is no heartbeat, by which ``haemoglobin_from_raw`` tells good optodes: pass
    ``min_coupling=None`` with ``snr=np.inf``.

    References
    ----------
    .. [1] D. Delpy et al. "Estimation of optical pathlength through tissue from direct time of
       flight measurement." Phys. Med. Biol. 33 (1988).

    Examples
    --------
    >>> from mmcontrast import Modalities
    >>> from mmcontrast.datasets import make_neurovascular_raw
    >>> from mmcontrast.preprocessing import epochs_from_raws, haemoglobin_from_raw
    >>> raw_eeg, raw_fnirs, factors = make_neurovascular_raw(
    ...     6, fnirs="intensity", random_state=0)
    >>> raw_fnirs.ch_names[0], raw_fnirs.ch_names[-1]
    ('S1_D1 760', 'S2_D14 850')
    >>> epochs = epochs_from_raws(
    ...     raw_eeg, haemoglobin_from_raw(raw_fnirs),
    ...     eeg_window=(-3.5, 4.5), fnirs_window=(-4, 14))
    >>> Modalities(eeg=epochs[0], fnirs=epochs[1])
    Modalities of 6 rows
      eeg    (6, 16, 801)  float64
      fnirs  (6, 28, 91)   float64
    """
    check_arguments(locals() | {"n_subjects": 1, "margin": 0.0})
    _check_recording(fnirs, n_short_channels, n_fnirs_channels, interval, fnirs_sfreq, ppf)
    need_pandas("make_neurovascular_raw")
    rng = check_random_state(random_state)
    sites = all_sites()
    montages = eeg_montage(sites, n_eeg_channels), fnirs_montage(sites, n_fnirs_channels)
    subject_seed = rng.randint(SEED_LIMIT)
    subject_rng = check_random_state(subject_seed if subject_state is None else subject_state)
    subject = draw_subject_values(subject_rng, 1, sites, *montages)
    subject = _with_short_channels(subject, n_short_channels)
    factors = draw_factors(rng, n_trials)
    noise = 1.0 / snr
    variability = draw_variability(rng, n_trials, noise)
    of_trials = Subjects(*(np.repeat(value, n_trials, axis=0) for value in subject))
    trials = Trials(factors, variability, of_trials)
    onsets = _draw_onsets(rng, n_trials, interval, fnirs_sfreq)
    streams = draw_streams(rng)
    seconds = onsets[-1] + _FNIRS_REACH[1]
    grids = [Grid(0.0, int(seconds * sfreq), 0, sfreq) for sfreq in (eeg_sfreq, fnirs_sfreq)]

    eeg = _eeg(streams[0], grids[0], onsets, trials, noise)
    blood = _placed(grids[1], onsets, _FNIRS_REACH, lambda t: haemoglobin(t, trials))
    if noise:
        body = fnirs_noise(streams[1], subject.systemic, grids[1], _N_WAVES, n_trials)[0]
        blood += noise * body
    names = haemoglobin_names(n_fnirs_channels, n_short_channels)
    table = factor_table(factors, montages[0].names, names, *grids)
    for name in ("eeg_tmin", "fnirs_tmin"):
        del table.attrs[name]
    table.attrs["onsets"] = onsets.tolist()
    raw_eeg = _raw_eeg(eeg, montages[0].names, eeg_sfreq)
    raw_fnirs = _raw_fnirs(blood, names, _optodes(montages[1], n_short_channels), fnirs_sfreq)
    if fnirs == "intensity":
        raw_fnirs = intensities_of(raw_fnirs, ppf, subject_rng)
    for raw in (raw_eeg, raw_fnirs):
        _annotate(raw, onsets)
    return raw_eeg, raw_fnirs, table


def _check_recording(
    fnirs: Any, n_short: Any, n_long: int, interval: Any, fnirs_sfreq: float, ppf: Any
) -> None:
    kinds = ("haemoglobin", "intensity")
    if fnirs not in kinds:
        raise ValueError(
            f"fnirs is {fnirs!r}, expected 'haemoglobin' or 'intensity'."
            f"{did_you_mean(fnirs, kinds)}"
        )
    check_scalar(n_short, "n_short_channels", Integral, min_val=0, max_val=n_long)
    check_real(ppf, "ppf", min_val=0, include_boundaries="neither")
    try:
        shortest, longest = (float(value) for value in interval)
    except (TypeError, ValueError):
        shortest = longest = np.nan
    if not _SHORTEST <= shortest <= longest < np.inf:
        raise ValueError(
            f"interval is {interval!r}, expected the shortest and the longest time between trials "
            f"in seconds, at least {_SHORTEST:g}: trials may not fall into one another."
        )


def _with_short_channels(subject: Subjects, n_short: int) -> Subjects:
    """Short channels see nothing of the brain, and the same of the body as their neighbours."""
    topography = np.pad(subject.fnirs_topography, ((0, 0), (0, n_short), (0, 0)))
    systemic = np.concatenate([subject.systemic, subject.systemic[:, :n_short]], axis=1)
    return subject._replace(fnirs_topography=topography, systemic=systemic)


def _draw_onsets(
    rng: np.random.RandomState, n_trials: int, interval: tuple[float, float], sfreq: float
) -> np.ndarray:
    gaps = rng.uniform(*interval, n_trials - 1)
    onsets = _LEAD_IN + np.concatenate([[0.0], np.cumsum(gaps)])
    return np.round(onsets * sfreq) / sfreq


def _placed(grid: Grid, onsets: np.ndarray, reach: tuple[float, float], course: Any) -> np.ndarray:
    """Sum of what happens around each onset, (n_channels, n_times) over the whole recording.

    `course` gives it (n_trials, n_channels, n_times) for times (n_times,) after the onsets.
    """
    samples = np.arange(int(reach[0] * grid.sfreq), int(reach[1] * grid.sfreq))
    courses = course(samples / grid.sfreq)
    found = np.zeros((courses.shape[1], grid.n_core), dtype=courses.dtype)
    for onset, one in zip(onsets, courses, strict=True):
        where = round(onset * grid.sfreq) + samples
        inside = (where >= 0) & (where < grid.n_core)
        found[:, where[inside]] += one[:, inside]
    return found


def _eeg(
    streams: Streams, grid: Grid, onsets: np.ndarray, trials: Trials, noise: float
) -> np.ndarray:
    """EEG (n_channels, n_times) in V."""

    def course(t: np.ndarray) -> np.ndarray:
        events = eeg_events(t, trials)
        others = np.stack([np.log(events.calm), events.burst], axis=1)
        return np.concatenate([events.potentials, others], axis=1)

    placed = _placed(grid, onsets, _EEG_REACH, course)
    own, rng, t = trials.subjects, streams.signal, grid.times
    calm = np.exp(placed[3])
    nearest = np.searchsorted(0.5 * (onsets[1:] + onsets[:-1]), t)
    amplitudes = rhythm_amplitudes(trials.factors.state, own.state_bias, trials.variability)
    alpha, beta = (_faded(amplitude[nearest], grid.sfreq) for amplitude in amplitudes)
    rhythms = [
        alpha * calm * narrowband(rng, t, own.alpha_freq[:1], ALPHA_SPREAD, 1, _N_WAVES)[0],
        beta * calm * narrowband(rng, t, own.beta_freq[:1], BETA_SPREAD, 1, _N_WAVES)[0],
        placed[4] * _carrier(rng, t, nearest, len(onsets)),
    ]
    found = eeg_topography(trials.of(slice(1)))[0] @ np.concatenate([placed[:3], rhythms])
    if noise:
        found += noise * eeg_noise(streams, own.background[:1], grid)[0]
    return found


def _carrier(
    rng: np.random.Generator, t: np.ndarray, nearest: np.ndarray, n_trials: int
) -> np.ndarray:
    """Wave whose frequency and phase are those of the nearest trial."""
    freqs, phases = rng.uniform(*GAMMA_FREQS, n_trials), rng.uniform(0.0, 2 * np.pi, n_trials)
    return np.cos(2.0 * np.pi * freqs[nearest] * t + phases[nearest])


def _faded(values: np.ndarray, sfreq: float) -> np.ndarray:
    width = int(_FADE * sfreq)
    padded = np.pad(values, (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.full(width, 1.0 / width), mode="valid")


def _raw_eeg(values: np.ndarray, names: list[str], sfreq: float) -> Any:
    import mne

    raw = mne.io.RawArray(values, mne.create_info(names, sfreq, "eeg"), verbose="error")
    return raw.set_montage(mne.channels.make_standard_montage(montage_name()))


def _optodes(montage: Montage, n_short: int) -> np.ndarray:
    """Sources and detectors (n_channels, 2, 3) in m; short channels share sources of long ones."""
    middle = head_positions(montage.names)
    out = montage.directions
    along = np.cross(out, [0.0, 0.0, 1.0])
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    sources = middle - 0.5 * LONG * along
    detectors = middle + 0.5 * LONG * along
    near = sources[:n_short] + SHORT * along[:n_short]
    sources = np.concatenate([sources, sources[:n_short]])
    return np.stack([sources, np.concatenate([detectors, near])], axis=1)


def _raw_fnirs(values: np.ndarray, names: list[str], optodes: np.ndarray, sfreq: float) -> Any:
    import mne

    kinds = [name.rsplit(" ", 1)[1] for name in names]
    info = mne.create_info(names, sfreq, kinds)
    for channel, pair in zip(info["chs"], np.tile(optodes, (2, 1, 1)), strict=True):
        channel["loc"][:3] = pair.mean(axis=0)
        channel["loc"][3:9] = pair.ravel()
    return mne.io.RawArray(values.astype(np.float64), info, verbose="error")


def _annotate(raw: Any, onsets: np.ndarray) -> None:
    import mne

    raw.set_annotations(mne.Annotations(onsets, 0.0, "trial"), verbose="error")
