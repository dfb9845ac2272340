"""Simulated trials of simultaneous EEG and fNIRS."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import check_random_state, check_scalar

from ..modalities import Modalities
from ._neurovascular_factors import PARTS, Factors, draw_factors, draw_subjects, need_pandas
from ._neurovascular_noise import Grid, Streams
from ._neurovascular_physiology import draw_variability
from ._neurovascular_sensors import (
    N_SITES,
    Subjects,
    all_sites,
    draw_subject_values,
    eeg_montage,
    fnirs_montage,
    haemoglobin_names,
)
from ._neurovascular_trials import Trials, simulate_eeg, simulate_fnirs
from ._scalars import check_real

EEG_WINDOW, FNIRS_WINDOW = (-3.5, 4.5), (-4.0, 14.0)
SEED_LIMIT = 2**31 - 1


def make_neurovascular(
    n_trials: int = 1000,
    n_subjects: int = 10,
    *,
    n_eeg_channels: int = 16,
    n_fnirs_channels: int = 12,
    eeg_sfreq: float = 100.0,
    fnirs_sfreq: float = 5.0,
    margin: float = 0.0,
    snr: float = 1.0,
    subject_state: int | np.random.RandomState | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[Modalities, Any, np.ndarray]:
    r"""Simulate simultaneous EEG and fNIRS of trials whose factors are known.

    In each trial a visual event evokes potentials, a burst of gamma and a fall of alpha and beta,
    and some seconds later a haemodynamic response, while the frontal cortex carries a load. What
    varies from trial to trial is known, and which modality tells of it.

    Parameters
    ----------
    n_trials : int, default=1000
        Number of trials.
    n_subjects : int, default=10
        Number of subjects, each with about as many trials as the others, in random order.
    n_eeg_channels, n_fnirs_channels : int, default=16 and 12
        Number of electrodes, and of pairs of source and detector, 2 to 86. The names of the
        channels are in ``factors.attrs``.
    eeg_sfreq, fnirs_sfreq : float, default=100.0 and 5.0
        Sampling rates in Hz, at least 90 (for gamma) and 1. Rhythms of the body that
        `fnirs_sfreq` is too low for are left out, as by an anti-aliasing filter.
    margin : float, default=0.0
        Seconds to add on both sides of the windows of both, which a re-crop needs. The samples
        that are there without a margin stay the same.
    snr : float, default=1.0
        Divides all noise: backgrounds, artefacts, and what varies from trial to trial beside the
        factors. ``np.inf`` is none; the rhythms of the resting brain stay, they carry the state.
    subject_state : int, RandomState or None, default=None
        Seed of what the subjects are like, and of nothing else: new trials of the same subjects
        have the same, and another `random_state`. None takes it from `random_state`.
    random_state : int, RandomState or None, default=None
        Seed of everything else.

    Returns
    -------
    X : Modalities
        `eeg` of shape (n_trials, n_eeg_channels, n_times) in V and `fnirs` of shape (n_trials,
        2 * n_fnirs_channels, n_times) in M, first all HbO and then all HbR, float32. Standardise
        them before a network sees them. Times are in the Notes.
    factors : pandas.DataFrame of n_trials rows
        The factors, see Notes. ``factors.attrs`` has "parts" (what each factor is: "redundant",
        "unique_eeg", "unique_fnirs", "synergistic" or "additive"), "eeg_ch_names",
        "fnirs_ch_names", "eeg_tmin", "fnirs_tmin" (s), "eeg_sfreq" and "fnirs_sfreq" (Hz).
    subjects : ndarray of int, shape (n_trials,)
        Whose trial it is, from 0.

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
    make_neurovascular_raw : The same as continuous recordings of one subject.

    Notes
    -----
    *Times.* Windows are [-3.5, 4.5] s (EEG) and [-4, 14] s (fNIRS) around the nominal onset of the
    trial, both ends included: sample k is at ``tmin + k / sfreq`` with ``tmin`` of
    ``factors.attrs``, which is the beginning of the window less
    ``round(margin * sfreq) / sfreq``.

    *Factors.* All are independent of one another and of the subject, but the last two, which are
    functions of others.

    ===========  ===========  =====================================================================
    factor       part         what it is
    ===========  ===========  =====================================================================
    activation   redundant    factor of the potentials, of the desynchronisation and of the
                              haemodynamic response in the occipital cortex, uniform in [0.5, 1.5]
    event_time   redundant    s from the nominal onset to the event, uniform in [-2.4, 2.4]; both
                              modalities follow it
    state        unique EEG   resting rhythm, 1 with more alpha and less beta, 0 the other way round
    gamma        unique EEG   natural logarithm of the power of the burst, relative to the middle:
                              -1 or 1, give or take 0.25
    hbr_ratio    unique       fall of HbR per rise of HbO, uniform in [0.2, 0.6]
                 fNIRS
    frontal_hbo  unique       amplitude of HbO that the load evokes in the frontal cortex in µM:
                 fNIRS        0.5 or 1.5, give or take 0.125; it begins at the nominal onset
    delay        synergistic  s from the event to the beginning of the haemodynamic response,
                              uniform in [0.5, 1.5]
    xor          synergistic  1 if either gamma or frontal HbO is high, but not both
    efficiency   additive     gamma less the logarithm of frontal HbO. A sum of one term per
                              modality: both are needed, but nothing of it is synergy
    ===========  ===========  =====================================================================

    The delay is the difference of two times, of which EEG has the first and fNIRS the second. The
    second alone says a little of it, since the earliest responses have short delays: at most
    R2 .04 linearly and .11 by any function.

    *EEG.* P1, N1 and P3 [1]_; desynchronisation of alpha and beta around 0.7 s after the event
    [2]_; a burst of 34-42 Hz at 0.3 s [3]_. Behind them rhythms of 10 and 20 Hz, a background of
    power 1/f that neighbouring electrodes share [4]_, drift and white noise of the sensors.

    *fNIRS.* The canonical double gamma, highest after 5 s with an undershoot at 15 s [5]_; the
    response to the load is that to a block of 6 s. HbR is HbO times ``-hbr_ratio``, 0.8 s later
    [6]_. Behind them Mayer waves (0.1 Hz), respiration (0.25 Hz) and heartbeat (1.1 Hz) [7]_,
    which all channels share, drift, white noise and, in 6 % of the trials, a motion artefact.

    *Subjects* have their own topographies (bumps around 10-10 sites, which move and stretch),
    gains, latencies, frequencies, width of the haemodynamic response (5 %) and its latency (0.05
    s).

    *Difficulty.* What supervised models find with 6 000 training and 2 000 test trials of the same
    subjects (seed 7; R2, accuracy for state and XOR):

    ===========================================  =====  =====  =====
    ..                                           EEG    fNIRS  both
    ===========================================  =====  =====  =====
    activation, ridge on features                .57    .81    .85
    activation, networks                         .57    .87    --
    activation, matched filter for EEG           .71    --     .89
    event_time, networks                         .95    .95    --
    event_time, matched filter                   .998   --     --
    state, logistic regression on features       .96    .51    .96
    state, networks                              .95    .50    --
    gamma, networks                              .90    .00    --
    hbr_ratio, networks                          -.02   .90    --
    frontal_hbo, networks                        -.02   .98    --
    delay, ridge on features                     .00    .04    .04
    delay, networks' times and their difference  -.01   .07    .58
    delay, with event times of a matched filter  -.01   .07    .78
    xor, logistic regression on features         .51    .50    .50
    xor, networks for gamma and frontal HbO      .50    .51    .97
    efficiency, ridge on features                .45    .19    .66
    efficiency, networks                         .69    .21    .91
    ===========================================  =====  =====  =====

    Features are those of :class:`~mmcontrast.preprocessing.BandPower` and
    :class:`~mmcontrast.preprocessing.HaemodynamicFeatures`, networks small convolutional ones, and
    the matched filter is the mean response to events at known times, whitened. Without
    trial-to-trial noise the activation would be known exactly: its ceilings come from a gain of
    the response that differs from trial to trial and between modalities.

    References
    ----------
    .. [1] S. Luck. "An introduction to the event-related potential technique", 2nd edition. MIT
       Press 2014.
    .. [2] G. Pfurtscheller and F. Lopes da Silva. "Event-related EEG/MEG synchronization and
       desynchronization: basic principles." Clin. Neurophysiol. 110 (1999).
    .. [3] C. Tallon-Baudry and O. Bertrand. "Oscillatory gamma activity in humans and its role in
       object representation." Trends Cogn. Sci. 3 (1999).
    .. [4] B. He. "Scale-free brain activity: past, present, and future." Trends Cogn. Sci. 18
       (2014).
    .. [5] K. Friston et al. "Event-related fMRI: characterizing differential responses."
       NeuroImage 7 (1998); G. Glover. "Deconvolution of impulse response in event-related BOLD
       fMRI." NeuroImage 9 (1999).
    .. [6] J. Steinbrink et al. "Illuminating the BOLD signal: combined fMRI-fNIRS studies." Magn.
       Reson. Imaging 24 (2006).
    .. [7] I. Tachtsidis and F. Scholkmann. "False positives and false negatives in functional
       near-infrared spectroscopy: issues, challenges, and the way forward." Neurophotonics 3
       (2016).

    Examples
    --------
    >>> from mmcontrast.datasets import make_neurovascular
    >>> X, factors, subjects = make_neurovascular(200, 4, random_state=0)
    >>> X
    Modalities of 200 rows
      eeg    (200, 16, 801)  float32
      fnirs  (200, 24, 91)   float32
    >>> factors.attrs["parts"]["delay"], factors.attrs["fnirs_tmin"]
    ('synergistic', -4.0)
    >>> factors.attrs["eeg_ch_names"][:4], factors.attrs["fnirs_ch_names"][0]
    (['Fz', 'Oz', 'Cz', 'Pz'], 'S1_D1 hbo')

    Other trials of the same subjects, with half a second to re-crop:

    >>> people = dict(n_subjects=4, subject_state=0)
    >>> X, _, _ = make_neurovascular(100, **people, margin=0.5, random_state=1)
    >>> X.row_shapes
    {'eeg': (16, 901), 'fnirs': (24, 95)}
    """
    check_arguments(locals())
    need_pandas("make_neurovascular")
    rng = check_random_state(random_state)
    sites = all_sites()
    eeg, fnirs = eeg_montage(sites, n_eeg_channels), fnirs_montage(sites, n_fnirs_channels)
    subject_seed = rng.randint(SEED_LIMIT)  # drawn in any case: trials must not depend on it
    subject_rng = check_random_state(subject_seed if subject_state is None else subject_state)
    values = draw_subject_values(subject_rng, n_subjects, sites, eeg, fnirs)
    subjects = draw_subjects(rng, n_trials, n_subjects)
    factors = draw_factors(rng, n_trials)
    noise = 1.0 / snr
    own = Subjects(*(value[subjects] for value in values))
    trials = Trials(factors, draw_variability(rng, n_trials, noise), own)
    streams = draw_streams(rng)
    grids = grid_of(EEG_WINDOW, eeg_sfreq, margin), grid_of(FNIRS_WINDOW, fnirs_sfreq, margin)
    X = Modalities(
        eeg=simulate_eeg(streams[0], grids[0], trials, noise),
        fnirs=simulate_fnirs(streams[1], grids[1], trials, noise),
    )
    table = factor_table(factors, eeg.names, haemoglobin_names(n_fnirs_channels), *grids)
    return X, table, subjects


def check_arguments(given: dict[str, Any]) -> None:
    """Refuse what cannot be simulated."""
    for name in ("n_trials", "n_subjects"):
        check_scalar(given[name], name, Integral, min_val=1)
    for name in ("n_eeg_channels", "n_fnirs_channels"):
        check_scalar(given[name], name, Integral, min_val=2, max_val=N_SITES)
    check_real(given["eeg_sfreq"], "eeg_sfreq", min_val=90)
    check_real(given["fnirs_sfreq"], "fnirs_sfreq", min_val=1)
    check_real(given["margin"], "margin", min_val=0)
    check_scalar(given["snr"], "snr", Real, min_val=0, include_boundaries="neither")
    if not given["snr"] > 0:  # NaN is beyond no limit
        raise ValueError(f"snr is {given['snr']}, expected a number above 0; np.inf is no noise.")
    if given["n_trials"] < given["n_subjects"]:
        raise ValueError(
            f"n_trials is {given['n_trials']}, expected at least one for each of "
            f"n_subjects={given['n_subjects']}."
        )


def draw_streams(rng: np.random.RandomState) -> tuple[Streams, Streams]:
    """Random numbers of EEG and of fNIRS."""
    return Streams(rng.randint(SEED_LIMIT)), Streams(rng.randint(SEED_LIMIT))


def grid_of(window: tuple[float, float], sfreq: float, margin: float) -> Grid:
    """Samples of a window, of which both ends belong to it."""
    n_core = int((window[1] - window[0]) * sfreq + 1e-6) + 1
    return Grid(window[0], n_core, round(margin * sfreq), sfreq)


def factor_table(
    factors: Factors, eeg_names: list[str], fnirs_names: list[str], eeg: Grid, fnirs: Grid
) -> Any:
    """Data frame of the factors with what is known of the arrays beside."""
    import pandas as pd

    table = pd.DataFrame(factors._asdict())
    # plain lists and numbers: pandas compares them when it concatenates
    table.attrs = {
        "parts": dict(PARTS),
        "eeg_ch_names": list(eeg_names),
        "fnirs_ch_names": list(fnirs_names),
        "eeg_tmin": float(eeg.times[0]),
        "fnirs_tmin": float(fnirs.times[0]),
        "eeg_sfreq": float(eeg.sfreq),
        "fnirs_sfreq": float(fnirs.sfreq),
    }
    return table
