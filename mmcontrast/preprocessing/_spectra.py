"""Band powers as weighted sums over windowed periodograms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft
from scipy.signal.windows import dpss, hann

Bands = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class SpectralPlan:
    """Where to cut, what to multiply with, and how to sum the periodograms.

    Parameters
    ----------
    starts : tuple of int
        First sample of each segment.
    windows : ndarray of float32, shape (n_windows, n_segment)
        Tapers, scaled so that the sum of all periodograms is the density.
    n_fft : int
        Length of the transform; segments are padded with zeros.
    first : int
        First bin of the spectrum that is used.
    freqs : ndarray of shape (n_freqs,)
        Frequencies of the bins that are used, in Hz.
    weights : ndarray of float32, shape (n_freqs, n_bands)
        What each bin contributes to each band, in Hz.
    step : float
        Distance of the bins in Hz.
    """

    starts: tuple[int, ...]
    windows: np.ndarray
    n_fft: int
    first: int
    freqs: np.ndarray
    weights: np.ndarray
    step: float

    def powers(self, values: np.ndarray) -> np.ndarray:
        """Powers (n_epochs, n_channels, n_bands) of epochs (n_epochs, n_channels, n_times)."""
        return self.densities(values) @ self.weights

    def densities(self, values: np.ndarray) -> np.ndarray:
        """Two-sided densities (n_epochs, n_channels, n_freqs), each segment centred."""
        bins = slice(self.first, self.first + len(self.freqs))
        n_segment = self.windows.shape[1]
        total = np.zeros((*values.shape[:2], len(self.freqs)), dtype=np.float32)
        for start in self.starts:
            segment = values[..., start : start + n_segment]
            # centred in the precision of the input: what is left fits float32
            centred = (segment - segment.mean(axis=-1, keepdims=True)).astype(
                np.float32, copy=False
            )
            for window in self.windows:
                spectrum = fft.rfft(centred * window, self.n_fft)[..., bins]
                total += spectrum.real**2 + spectrum.imag**2
        return total


def welch_plan(n_times: int, sfreq: float, bands: Bands, segment: float) -> SpectralPlan:
    """Hann windows that overlap by half."""
    n_segment = min(n_times, max(2, round(segment * sfreq)))
    starts = tuple(range(0, n_times - n_segment + 1, n_segment - n_segment // 2))
    window = hann(n_segment, sym=False)[None]
    window /= np.sqrt(sfreq * np.sum(window**2) * len(starts))
    return _plan(starts, window, n_segment, sfreq, bands)


def multitaper_plan(
    n_times: int, sfreq: float, bands: Bands, bandwidth: float | None
) -> SpectralPlan:
    """Slepian tapers, weighted by their concentration; those below .9 are left out."""
    half = 4.0 if bandwidth is None else bandwidth * n_times / (2 * sfreq)
    half = min(half, (n_times - 1) / 2)
    if half < 0.5:
        raise ValueError(
            f"bandwidth={bandwidth:g} Hz is below the resolution of the epoch, "
            f"{sfreq / n_times:g} Hz; take at least that, or longer epochs."
        )
    n_tapers = min(n_times, max(1, int(2 * half)))
    tapers, ratios = dpss(n_times, half, n_tapers, sym=False, norm=2, return_ratios=True)
    good = ratios > 0.9
    if not good.any():
        good = ratios == ratios.max()
    ratios = ratios[good]
    tapers = tapers[good] * np.sqrt(ratios / (ratios.sum() * sfreq))[:, None]
    return _plan((0,), tapers, n_times, sfreq, bands)


def morlet_plan(n_times: int, sfreq: float, bands: Bands, n_cycles: float) -> SpectralPlan:
    """Energy of Morlet wavelets over the epoch and the silence around it.

    By Parseval's theorem the energy of a convolution is a weighted sum over the spectrum, so no
    wavelet has to be convolved: a Gaussian around each centre frequency weights the periodogram.
    """
    n_fft = fft.next_fast_len(2 * n_times, real=True)
    window = np.full((1, n_times), 1 / np.sqrt(sfreq * n_times))
    freqs = fft.rfftfreq(n_fft, 1 / sfreq)
    step = sfreq / n_fft
    columns = []
    for low, high in bands:
        n_centres = max(64, int(np.ceil(4 * (high - low) / step)))
        width = (high - low) / n_centres
        centres = low + width * (np.arange(n_centres) + 0.5)
        spread = np.maximum(centres / n_cycles, step)  # no narrower than the epoch resolves
        gauss = np.exp(-(((freqs[:, None] - centres) / spread) ** 2))
        columns.append((gauss / gauss.sum(axis=0)).sum(axis=1) * width)
    weights = np.array(columns).T
    weights[weights < 1e-6 * weights.max()] = 0
    return _plan((0,), window, n_fft, sfreq, bands, weights)


def _plan(
    starts: tuple[int, ...],
    windows: np.ndarray,
    n_fft: int,
    sfreq: float,
    bands: Bands,
    weights: np.ndarray | None = None,
) -> SpectralPlan:
    freqs, step = fft.rfftfreq(n_fft, 1 / sfreq), sfreq / n_fft
    if weights is None:
        # edges are often exact multiples of the step, up to rounding
        tolerance = 1e-6 * step
        highest = freqs[-1]
        weights = np.array(
            [
                (freqs >= low - tolerance)
                & ((freqs < high - tolerance) | (freqs == highest) & (high >= highest - tolerance))
                for low, high in bands
            ]
        ).T * float(step)
    one_sided = np.full(len(freqs), 2.0)
    one_sided[0] = 1.0
    if n_fft % 2 == 0:
        one_sided[-1] = 1.0
    weights = weights * one_sided[:, None]
    used = np.flatnonzero(weights.any(axis=1))
    first, last = (used[0], used[-1]) if len(used) else (0, 0)
    return SpectralPlan(
        starts,
        windows.astype(np.float32),
        n_fft,
        int(first),
        freqs[first : last + 1],
        weights[first : last + 1].astype(np.float32),
        float(step),
    )
