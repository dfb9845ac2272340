"""Backgrounds and artefacts of simulated recordings."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import fft

_TWO_PI = 2.0 * np.pi
_MEMORY = 2.5  # s, of the 1/f background
BACKGROUND, SENSOR = 3.5e-6, 0.7e-6  # V
_EEG_DRIFT = 4e-6

# centre and spread in Hz, amplitude of HbO in M, and of HbR relative to it
SYSTEMIC = {
    "mayer": (0.1, 0.015, 0.08e-6, -0.2),
    "respiration": (0.25, 0.03, 0.06e-6, 0.3),
    "heartbeat": (1.1, 0.08, 0.20e-6, 0.15),
}
_FNIRS_DRIFT, _FNIRS_SENSOR = 0.2e-6, 0.05e-6
_SPIKE_RATE, _SPIKE, _SPIKE_DECAY = 0.06, 0.5e-6, 0.6
_PASSED = 0.45  # of the sampling rate: what an anti-aliasing filter lets through


class Grid(NamedTuple):
    """Samples of a window: those that are always there, and the margin around them."""

    start: float
    n_core: int
    n_margin: int
    sfreq: float

    @property
    def times(self) -> np.ndarray:
        """Times in seconds after the nominal onset, (n_times,)."""
        samples = np.arange(-self.n_margin, self.n_core + self.n_margin)
        return self.start + samples / self.sfreq


class Streams:
    """Random numbers of which those of the core do not depend on the margin."""

    def __init__(self, seed: int) -> None:
        seeds = np.random.SeedSequence(seed).spawn(5)
        # signals and noise do not share one, so that the snr leaves the signals as they are
        self.signal, self.noise, *rest = map(np.random.default_rng, seeds)
        self._core, self._left, self._right = rest

    def white(self, shape: tuple[int, ...], grid: Grid, n_before: int = 0) -> np.ndarray:
        """Standard normal (*shape, n_before + n_times), independent over time."""
        parts = [
            rng.standard_normal((*shape, n), dtype=np.float32)
            for rng, n in (
                (self._left, grid.n_margin),
                (self._core, n_before + grid.n_core),
                (self._right, grid.n_margin),
            )
        ]
        return np.concatenate(parts, axis=-1) if grid.n_margin else parts[1]


def pink_noise(streams: Streams, shape: tuple[int, ...], grid: Grid) -> np.ndarray:
    """Noise of unit variance whose power falls as 1/f, (*shape, n_times)."""
    taps = _pink_taps(int(_MEMORY * grid.sfreq))
    white = streams.white(shape, grid, len(taps) - 1)
    n_fft = fft.next_fast_len(white.shape[-1], real=True)
    spectrum = fft.rfft(white, n_fft) * fft.rfft(taps, n_fft)
    # circular: the first samples are wrong, and exactly those are left out
    return fft.irfft(spectrum, n_fft)[..., len(taps) - 1 : white.shape[-1]]


def narrowband(
    rng: np.random.Generator,
    t: np.ndarray,
    centre: np.ndarray | float,
    spread: float,
    n: int,
    n_waves: int = 6,
) -> np.ndarray:
    """Rhythm of unit variance (n, n_times), a sum of waves of about the same frequency."""
    freqs = np.reshape(centre, (-1, 1)) + spread * rng.standard_normal((n, n_waves))
    phases = rng.uniform(0.0, _TWO_PI, (n, n_waves))
    weights = np.abs(rng.standard_normal((n, n_waves))) + 0.1
    weights *= np.sqrt(2.0) / np.linalg.norm(weights, axis=1, keepdims=True)
    found = np.zeros((n, len(t)), dtype=np.float32)
    for wave in range(n_waves):
        found += weights[:, wave : wave + 1].astype(np.float32) * cosine(
            t, freqs[:, wave], phases[:, wave]
        )
    return found


def cosine(t: np.ndarray, freqs: np.ndarray, phases: np.ndarray) -> np.ndarray:
    """Waves (n, n_times) of amplitude 1."""
    angle = _TWO_PI * freqs[:, None] * t + phases[:, None]
    return np.cos(angle.astype(np.float32))


def eeg_noise(streams: Streams, mixing: np.ndarray, grid: Grid) -> np.ndarray:
    """Background, drift and sensors (n, n_channels, n_times) in V; mixing is of each trial."""
    n, n_channels = mixing.shape[:2]
    noise = np.float32(BACKGROUND) * pink_noise(streams, (n, n_channels), grid)
    noise = np.matmul(mixing.astype(np.float32), noise)
    noise += np.float32(SENSOR) * streams.white((n, n_channels), grid)
    drift = drifts(streams.noise, grid.times, n * n_channels, (0.05, 0.2))
    noise += np.float32(_EEG_DRIFT) * drift.reshape(noise.shape)
    return noise


def systemic_noise(
    rng: np.random.Generator, grid: Grid, n: int, n_waves: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """What the blood of the whole body does, in HbO and HbR, each (n, n_times) in M."""
    hbo = np.zeros((n, len(grid.times)), dtype=np.float32)
    hbr = np.zeros_like(hbo)
    for centre, spread, amplitude, ratio in SYSTEMIC.values():
        wave = narrowband(rng, grid.times, centre, spread, n, n_waves)
        if centre > _PASSED * grid.sfreq:
            continue
        hbo += np.float32(amplitude) * wave
        hbr += np.float32(amplitude * ratio) * wave
    return hbo, hbr


def fnirs_noise(
    streams: Streams, systemic: np.ndarray, grid: Grid, n_waves: int = 3, n_trials: int = 1
) -> np.ndarray:
    """Systemic waves, drift, sensors and spikes (n, 2 * n_channels, n_times) in M, HbO first.

    Each of the `n_trials` that a row lasts for may have a motion artefact.
    """
    n, n_channels = systemic.shape
    weight = systemic[:, :, None].astype(np.float32)
    spikes = motion_spikes(streams.noise, grid, (n, n_channels))
    for _ in range(n_trials - 1):
        spikes += motion_spikes(streams.noise, grid, (n, n_channels))
    found = []
    bodies = systemic_noise(streams.noise, grid, n, n_waves)
    for body, ratio, of_spikes in zip(bodies, (1.0, 0.4), (1.0, 0.5), strict=True):
        drift = drifts(streams.noise, grid.times, n * n_channels, (0.005, 0.02))
        noise = weight * body[:, None]
        noise += np.float32(ratio * _FNIRS_DRIFT) * drift.reshape(noise.shape)
        noise += np.float32(ratio * _FNIRS_SENSOR) * streams.white((n, n_channels), grid)
        noise += np.float32(of_spikes) * spikes
        found.append(noise)
    return np.concatenate(found, axis=1)


def drifts(
    rng: np.random.Generator, t: np.ndarray, n: int, freqs: tuple[float, float]
) -> np.ndarray:
    """Slow waves (n, n_times) of random height."""
    waves = cosine(t, rng.uniform(*freqs, n), rng.uniform(0.0, _TWO_PI, n))
    return waves * rng.standard_normal((n, 1)).astype(np.float32)


def motion_spikes(rng: np.random.Generator, grid: Grid, shape: tuple[int, int]) -> np.ndarray:
    """Movements in some of the trials (n, n_channels, n_times) in M: jumps that decay."""
    n, n_channels = shape
    onset = grid.start + grid.n_core / grid.sfreq * rng.uniform(size=n)
    height = _SPIKE * rng.exponential(size=n)
    share = height[:, None] * rng.standard_normal((n, n_channels))
    moved = np.flatnonzero(rng.uniform(size=n) < _SPIKE_RATE)
    since = grid.times - onset[moved, None]
    course = np.where(since >= 0, np.exp(-np.maximum(since, 0.0) / _SPIKE_DECAY), 0.0)
    found = np.zeros((n, n_channels, len(grid.times)), dtype=np.float32)
    found[moved] = share[moved, :, None] * course[:, None]
    return found


def _pink_taps(n_taps: int) -> np.ndarray:
    """Impulse response of half an integration, of unit energy."""
    k = np.arange(1, n_taps)
    taps = np.cumprod(np.concatenate([[1.0], (k - 0.5) / k]))
    return (taps / np.linalg.norm(taps)).astype(np.float32)
