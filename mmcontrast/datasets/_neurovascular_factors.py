"""What happens in a simulated trial: its factors, and which part of the information they are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

PARTS = {
    "activation": "redundant",
    "event_time": "redundant",
    "state": "unique_eeg",
    "gamma": "unique_eeg",
    "hbr_ratio": "unique_fnirs",
    "frontal_hbo": "unique_fnirs",
    "delay": "synergistic",
    "xor": "synergistic",
    "efficiency": "additive",
}

ACTIVATION = (0.5, 1.5)
EVENT_TIME = (-2.4, 2.4)
DELAY = (0.5, 1.5)
HBR_RATIO = (0.2, 0.6)
# a level is low or high, -1 or 1, give or take this
_SPREAD = 0.25
_FRONTAL_MEAN, _FRONTAL_HALF = 1.0, 0.5


class Factors(NamedTuple):
    """Factors of n trials, each of shape (n,)."""

    activation: np.ndarray
    event_time: np.ndarray
    state: np.ndarray
    gamma: np.ndarray
    hbr_ratio: np.ndarray
    frontal_hbo: np.ndarray
    delay: np.ndarray
    xor: np.ndarray
    efficiency: np.ndarray


def draw_factors(rng: np.random.RandomState, n_trials: int) -> Factors:
    """Draw the factors; all are independent but the last two, which are functions of others."""
    gamma = _low_or_high(rng, n_trials)
    load = _low_or_high(rng, n_trials)
    frontal_hbo = _FRONTAL_MEAN + _FRONTAL_HALF * load
    return Factors(
        activation=rng.uniform(*ACTIVATION, n_trials),
        event_time=rng.uniform(*EVENT_TIME, n_trials),
        state=rng.randint(2, size=n_trials),
        gamma=gamma,
        hbr_ratio=rng.uniform(*HBR_RATIO, n_trials),
        frontal_hbo=frontal_hbo,
        delay=rng.uniform(*DELAY, n_trials),
        xor=((gamma > 0) ^ (load > 0)).astype(np.int64),
        efficiency=gamma - np.log(frontal_hbo),
    )


def draw_subjects(rng: np.random.RandomState, n_trials: int, n_subjects: int) -> np.ndarray:
    """Give each subject as many trials as the others, in random order."""
    return rng.permutation(np.arange(n_trials) % n_subjects)


def _low_or_high(rng: np.random.RandomState, n_trials: int) -> np.ndarray:
    return rng.choice([-1.0, 1.0], n_trials) + rng.uniform(-_SPREAD, _SPREAD, n_trials)


def need_pandas(caller: str) -> None:
    """Say what to install where the factors have no table to be in."""
    try:
        import pandas  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{caller} returns its factors as a pandas.DataFrame: pip install pandas."
        ) from error
