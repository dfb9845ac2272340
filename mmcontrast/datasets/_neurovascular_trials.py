"""What happens in the sensors during simulated trials."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ._neurovascular_factors import Factors
from ._neurovascular_noise import Grid, Streams, cosine, eeg_noise, fnirs_noise, narrowband
from ._neurovascular_physiology import (
    GAMMA_FREQS,
    HBO_AMPLITUDE,
    HBR_LAG,
    Variability,
    block_response,
    desynchronisation,
    evoked_potentials,
    gamma_envelope,
    haemodynamic_response,
    rhythm_amplitudes,
)
from ._neurovascular_sensors import Subjects

_BATCH = 128
ALPHA_SPREAD, BETA_SPREAD = 0.4, 1.5  # Hz


class Trials(NamedTuple):
    """Trials with what is random in them and the values of their subjects."""

    factors: Factors
    variability: Variability
    subjects: Subjects

    def of(self, rows: slice) -> Trials:
        """Some of the trials."""
        return Trials(
            Factors(*(values[rows] for values in self.factors)),
            Variability(*(values[rows] for values in self.variability)),
            Subjects(*(values[rows] for values in self.subjects)),
        )

    @property
    def n(self) -> int:
        """Number of trials."""
        return len(self.factors.state)


class Events(NamedTuple):
    """What an event does to the sources of EEG."""

    potentials: np.ndarray  # (n, 3, n_times), V
    calm: np.ndarray  # (n, n_times), factor of the amplitude of rhythms
    burst: np.ndarray  # (n, n_times), amplitude of gamma in V


def simulate_eeg(streams: Streams, grid: Grid, trials: Trials, noise: float) -> np.ndarray:
    """EEG (n_trials, n_channels, n_times) in V."""
    n_channels = trials.subjects.eeg_topography.shape[1]
    found = np.empty((trials.n, n_channels, len(grid.times)), dtype=np.float32)
    for rows in _batches(trials.n):
        some = trials.of(rows)
        found[rows] = np.matmul(eeg_topography(some), _sources(streams, grid, some))
        if noise:
            background = eeg_noise(streams, some.subjects.background, grid)
            found[rows] += np.float32(noise) * background
    return found


def simulate_fnirs(streams: Streams, grid: Grid, trials: Trials, noise: float) -> np.ndarray:
    """Haemoglobin (n_trials, 2 * n_channels, n_times) in M, HbO first."""
    n_channels = trials.subjects.fnirs_topography.shape[1]
    found = np.empty((trials.n, 2 * n_channels, len(grid.times)), dtype=np.float32)
    for rows in _batches(trials.n):
        some = trials.of(rows)
        found[rows] = haemoglobin(grid.times, some)
        if noise:
            background = fnirs_noise(streams, some.subjects.systemic, grid)
            found[rows] += np.float32(noise) * background
    return found


def eeg_topography(trials: Trials) -> np.ndarray:
    """What electrodes see of the sources (n, n_channels, n_sources)."""
    own = trials.subjects
    return (own.eeg_topography * own.eeg_gain[:, None, None]).astype(np.float32)


def eeg_events(t: np.ndarray, trials: Trials) -> Events:
    """What the events of trials do at times t (n_times,) after the nominal onset."""
    factors, variability, own = trials
    since = (t - factors.event_time[:, None]).astype(np.float32)
    activation = factors.activation * variability.neural
    return Events(
        evoked_potentials(since, own.erp_latency, activation),
        np.exp(-desynchronisation(since, activation)),
        gamma_envelope(since, np.exp(factors.gamma) * variability.gamma),
    )


def haemoglobin(t: np.ndarray, trials: Trials) -> np.ndarray:
    """HbO and HbR (n, 2 * n_channels, n_times) in M, at times t after the nominal onset."""
    factors, variability, own = trials
    start = factors.event_time + factors.delay + own.hrf_latency
    amplitudes = np.stack(
        [factors.activation * variability.vascular, factors.frontal_hbo * variability.frontal],
        axis=1,
    )
    amplitudes *= HBO_AMPLITUDE * own.fnirs_gain[:, None]
    ratio = factors.hbr_ratio * variability.ratio
    found = []
    for lag, sign in ((0.0, np.ones(trials.n)), (HBR_LAG, -ratio)):
        response = haemodynamic_response(t - (start + lag)[:, None], own.hrf_width[:, None])
        courses = np.stack([response, _block_courses(t - lag, own)], axis=1)
        courses *= (sign[:, None] * amplitudes)[:, :, None]
        found.append(np.matmul(own.fnirs_topography, courses).astype(np.float32))
    return np.concatenate(found, axis=1)


def _sources(streams: Streams, grid: Grid, trials: Trials) -> np.ndarray:
    """Courses of the sources of EEG (n, n_sources, n_times) in V."""
    factors, variability, own = trials
    n, rng, t = trials.n, streams.signal, grid.times
    events = eeg_events(t, trials)
    amplitudes = rhythm_amplitudes(factors.state, own.state_bias, variability)
    alpha = narrowband(rng, t, own.alpha_freq, ALPHA_SPREAD, n)
    beta = narrowband(rng, t, own.beta_freq, BETA_SPREAD, n)
    gamma = cosine(t, rng.uniform(*GAMMA_FREQS, n), rng.uniform(0.0, 2.0 * np.pi, n))
    rhythms = [
        amplitudes[0][:, None] * events.calm * alpha,
        amplitudes[1][:, None] * events.calm * beta,
        events.burst * gamma,
    ]
    sources = [events.potentials, np.stack(rhythms, axis=1)]
    return np.concatenate(sources, axis=1, dtype=np.float32)


def _block_courses(t: np.ndarray, own: Subjects) -> np.ndarray:
    """Response of each trial to the load, (n, n_times); it is the same in those of a subject."""
    shapes = np.stack([own.hrf_latency, own.hrf_width], axis=1)
    distinct, which = np.unique(shapes, axis=0, return_inverse=True)
    courses = [block_response(t - latency, width) for latency, width in distinct]
    return np.array(courses)[which.reshape(-1)]


def _batches(n_trials: int) -> Iterator[slice]:
    for start in range(0, n_trials, _BATCH):
        yield slice(start, start + _BATCH)
