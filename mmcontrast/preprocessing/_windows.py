"""Amplitudes and times in windows of epochs (n_epochs, n_channels, n_times)."""

from __future__ import annotations

import numpy as np


def peaks(values: np.ndarray, window: slice, signs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the largest value in a window, between the samples.

    Parameters
    ----------
    values : ndarray of shape (n_epochs, n_channels, n_times)
        The epochs.
    window : slice
        Where to look.
    signs : ndarray of shape (n_channels,)
        1 for a maximum, -1 for a minimum.

    Returns
    -------
    amplitude : ndarray of shape (n_epochs, n_channels)
        Value at the peak, with its sign.
    position : ndarray of shape (n_epochs, n_channels)
        Its place in samples from the beginning of the epoch, not an integer where the sample is
        higher than both its neighbours: there a parabola is laid through the three.
    """
    signs = signs[:, None]
    at = window.start + np.argmax(values[..., window] * signs, axis=-1)
    last = values.shape[-1] - 1
    around = np.clip(at[..., None] + np.array([-1, 0, 1]), 0, last)
    before, here, after = np.moveaxis(np.take_along_axis(values, around, axis=-1) * signs, -1, 0)
    curvature = before - 2 * here + after
    is_peak = (at > 0) & (at < last) & (here >= before) & (here >= after) & (curvature < 0)
    shift = np.where(is_peak, 0.5 * (before - after) / np.where(is_peak, curvature, 1.0), 0.0)
    amplitude = here - 0.25 * (before - after) * shift
    # a peak at the edge may lie between the last sample inside and the first one outside
    position = np.clip(at + shift, window.start, window.stop - 1)
    return amplitude * signs[:, 0], position


def mean_weights(n_times: int, window: slice) -> np.ndarray:
    """Weights (n_times,) of the mean over a window."""
    weights = np.zeros(n_times)
    weights[window] = 1 / (window.stop - window.start)
    return weights


def area_weights(n_times: int, window: slice, sfreq: float) -> np.ndarray:
    """Weights (n_times,) of the integral over a window by the trapezoidal rule, in seconds."""
    weights = np.zeros(n_times)
    weights[window] = 1 / sfreq
    weights[window.start] -= 0.5 / sfreq
    weights[window.stop - 1] -= 0.5 / sfreq
    return weights


def slope_weights(n_times: int, window: slice, sfreq: float) -> np.ndarray:
    """Weights (n_times,) of the slope of the least-squares line in a window, per second."""
    weights = np.zeros(n_times)
    times = np.arange(window.stop - window.start) / sfreq
    centred = times - times.mean()
    weights[window] = centred / max(np.sum(centred**2), np.finfo(float).tiny)
    return weights
