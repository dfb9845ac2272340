"""Checks of sampling rates and frequency bands."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval

POSITIVE = [Interval(Real, 0, np.inf, closed="neither")]

# those of preprocessing.BandPower
CANONICAL_BANDS: dict[str, tuple[float, float]] = {
    "delta": (1.0, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 12.0),
    "beta": (12.0, 30.0),
    "gamma": (30.0, 45.0),
}


def check_sfreq(sfreq: float | None, name: str) -> float:
    """Return the sampling rate as a float; ValueError if it is missing."""
    if sfreq is None:
        raise ValueError(
            f"{name} works in seconds and needs the sampling rate of the sequences: pass sfreq= "
            "in Hz."
        )
    return float(sfreq)


def check_bands(
    bands: Mapping[str, tuple[float, float]] | None, sfreq: float, n_times: int, name: str
) -> list[tuple[float, float]]:
    """Return the edges of bands in Hz, each of which holds a frequency of the spectrum.

    None is the canonical bands, without those that the sampling rate or the length leaves empty.
    """
    edges = CANONICAL_BANDS if bands is None else bands
    if not edges:
        raise ValueError(f"{name} needs at least one band, found {bands!r}.")
    found = []
    for label, band in edges.items():
        low, high = _edges(label, band, name)
        if _holds_a_frequency(low, high, sfreq, n_times):
            found.append((low, high))
        elif bands is not None:
            raise ValueError(
                f"{name}: the band {label!r} from {low:g} to {high:g} Hz holds none of the "
                f"frequencies of {n_times} time steps at {sfreq:g} Hz, which are "
                f"{sfreq / max(n_times, 1):g} Hz apart and end below {sfreq / 2:g} Hz."
            )
    if not found:
        raise ValueError(
            f"{name}: none of the canonical bands holds a frequency of {n_times} time steps at "
            f"{sfreq:g} Hz. Pass bands=, or another sfreq if this one is wrong."
        )
    return found


def _edges(label: str, band: Any, name: str) -> tuple[float, float]:
    try:
        low, high = (float(edge) for edge in band)
    except (TypeError, ValueError):
        low, high = 1.0, 0.0
    if not 0 <= low < high:
        raise ValueError(
            f"{name}: the band {label!r} has to be a pair (low, high) in Hz with 0 <= low < high, "
            f"found {band!r}."
        )
    return low, high


def _holds_a_frequency(low: float, high: float, sfreq: float, n_times: int) -> bool:
    freqs = np.fft.rfftfreq(n_times, 1 / sfreq) if n_times else np.empty(0)
    return bool(((freqs >= low) & (freqs < high)).any())


def sampling_rate(sfreq: Any, name: str, owner: str) -> float:
    """Sampling rate of one modality, from one number for all or one per modality.

    Parameters
    ----------
    sfreq : float, mapping of str to float, or None
        In Hz.
    name : str
        The modality.
    owner : str
        Who asks, for messages.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If there is none for this modality, or it is not a positive number.
    """
    rate = sfreq.get(name) if isinstance(sfreq, Mapping) else sfreq
    if rate is None:
        raise ValueError(
            f"{owner} works in seconds and needs the sampling rate of modality {name!r}: pass "
            f"sfreq={{{name!r}: ...}} in Hz, found sfreq={sfreq!r}."
        )
    if not isinstance(rate, Real) or isinstance(rate, bool) or not 0 < float(rate) < np.inf:
        raise ValueError(
            f"{owner} expects the sampling rate of modality {name!r} as a positive number of Hz, "
            f"found {rate!r}."
        )
    return float(rate)
