"""How events become potentials and haemodynamic responses."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# canonical double gamma: modes 5 and 15 s, dispersion 1 s, areas 6 to 1
_PEAK, _UNDERSHOOT = 5.0, 15.0
_UNDERSHOOT_HEIGHT = 0.0973
HBR_LAG = 0.8
BLOCK = 6.0  # s, of the load of the frontal cortex
HRF_LENGTH = 32.0  # s, after which nothing of it is left
_STEP = 0.02  # s, of integration

ERP_LATENCY = np.array([0.10, 0.17, 0.40])
_ERP_WIDTH = np.array([0.018, 0.025, 0.09])
_ERP_AMPLITUDE = np.array([9e-6, -13e-6, 17e-6])  # V
_ERD_LATENCY, _ERD_WIDTH, _ERD_DEPTH = 0.7, 0.3, 0.5
GAMMA_LATENCY, _GAMMA_WIDTH, _GAMMA_AMPLITUDE = 0.3, 0.12, 4.5e-6
GAMMA_FREQS = (34.0, 42.0)
_ALPHA_AMPLITUDE, _BETA_AMPLITUDE = 3.5e-6, 2.1e-6
_STATE_EFFECT = 0.3
HBO_AMPLITUDE = 1e-6  # M


class Variability(NamedTuple):
    """What differs from trial to trial beside the factors: standard normal, of shape (n,)."""

    neural: np.ndarray
    vascular: np.ndarray
    gamma: np.ndarray
    alpha: np.ndarray
    beta: np.ndarray
    frontal: np.ndarray
    ratio: np.ndarray


VARIABILITY = Variability(*map(np.array, (0.16, 0.1, 0.22, 0.2, 0.2, 0.12, 0.08)))


def draw_variability(rng: np.random.RandomState, n_trials: int, scale: float) -> Variability:
    """Factors of amplitude and power, 1 without noise."""
    return Variability(
        *(np.exp(scale * std * rng.standard_normal(n_trials)) for std in VARIABILITY)
    )


def haemodynamic_response(t: np.ndarray, width: np.ndarray | float = 1.0) -> np.ndarray:
    """Canonical response of height 1 to an impulse at 0; its peak stays where it is."""
    t = np.maximum(t, 1e-6)
    return _gamma_bump(t, _PEAK, width) - _UNDERSHOOT_HEIGHT * _gamma_bump(t, _UNDERSHOOT, width)


def block_response(t: np.ndarray, width: float = 1.0) -> np.ndarray:
    """Response of height 1 to a block that begins at 0."""
    grid = np.arange(0.0, HRF_LENGTH + BLOCK, _STEP)
    area = np.cumsum(haemodynamic_response(grid, width)) * _STEP
    response = area - np.interp(grid - BLOCK, grid, area, left=0.0)
    return np.interp(t, grid, response / response.max(), left=0.0, right=0.0)


def evoked_potentials(t: np.ndarray, latency: np.ndarray, amplitude: np.ndarray) -> np.ndarray:
    """P1, N1 and P3, (n, 3, n_times) in V, at times t (n, n_times) after events."""
    centre = (ERP_LATENCY + latency)[:, :, None]
    shape = np.exp(-0.5 * ((t[:, None] - centre) / _ERP_WIDTH[:, None]) ** 2)
    return amplitude[:, None, None] * _ERP_AMPLITUDE[:, None] * shape


def desynchronisation(t: np.ndarray, amplitude: np.ndarray) -> np.ndarray:
    """By how much the logarithm of the amplitude of rhythms falls, (n, n_times)."""
    bump = np.exp(-0.5 * ((t - _ERD_LATENCY) / _ERD_WIDTH) ** 2)
    return _ERD_DEPTH * amplitude[:, None] * bump


def gamma_envelope(t: np.ndarray, power: np.ndarray) -> np.ndarray:
    """Amplitude of the gamma burst, (n, n_times) in V."""
    shape = np.exp(-0.5 * ((t - GAMMA_LATENCY) / _GAMMA_WIDTH) ** 2)
    return _GAMMA_AMPLITUDE * np.sqrt(power)[:, None] * shape


def rhythm_amplitudes(
    state: np.ndarray, bias: np.ndarray | float, variability: Variability
) -> tuple[np.ndarray, np.ndarray]:
    """Amplitudes of alpha and beta at rest, in V."""
    effect = np.exp(_STATE_EFFECT * (2 * state - 1) + bias)
    alpha = _ALPHA_AMPLITUDE * effect * variability.alpha
    beta = _BETA_AMPLITUDE / effect * variability.beta
    return alpha, beta


def _gamma_bump(t: np.ndarray, peak: float, width: np.ndarray | float) -> np.ndarray:
    return np.exp(peak / width * (np.log(t / peak) + 1.0 - t / peak))
