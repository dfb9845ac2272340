"""Two clocks, of EEG and of fNIRS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# far beyond any pair of crystals, so a sign of another unit or of other events
LARGEST_DRIFT = 0.01


class Clock(NamedTuple):
    """How the clock of the fNIRS recording reads against that of the EEG recording.

    ``fnirs_time = offset + (1 + drift) * eeg_time``, both in seconds since the first sample.

    Parameters
    ----------
    offset : float
        Reading of the fNIRS clock at the first sample of the EEG, in seconds.
    drift : float
        By how much the fNIRS clock is faster; 2e-5 is 20 parts per million.
    residual : float
        Largest deviation of an event from the line, in seconds.

    Examples
    --------
    >>> from mmcontrast.preprocessing import Clock
    >>> Clock(offset=2.5, drift=1e-4, residual=0.01).offset
    2.5
    """

    offset: float
    drift: float
    residual: float


def estimate_clock(
    eeg_times: Sequence[float], fnirs_times: Sequence[float], *, tolerance: float = 0.2
) -> Clock:
    """Estimate offset and drift of two clocks from events that both recorded.

    Parameters
    ----------
    eeg_times, fnirs_times : array-like of shape (n_events,)
        Times of the same events in seconds since the first sample of each recording, in order.
    tolerance : float, default=0.2
        Largest deviation from a straight line in seconds that is accepted; the sampling interval
        of the fNIRS is a good guide.

    Returns
    -------
    clock : Clock
        Offset, drift and largest residual. One event gives an offset alone.

    Raises
    ------
    ValueError
        If the numbers of events differ, a time is not finite, or the times do not lie on a
        line: an event is missing in one of the recordings, or they are not the same events.

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast.preprocessing import estimate_clock
    >>> eeg = np.array([10.0, 40.0, 70.0, 110.0])
    >>> clock = estimate_clock(eeg, 2.5 + 1.0001 * eeg)
    >>> print(f"{clock.offset:.3f} s, {clock.drift * 1e6:.0f} ppm")
    2.500 s, 100 ppm
    """
    eeg, fnirs = (np.asarray(times, dtype=float) for times in (eeg_times, fnirs_times))
    if eeg.ndim != 1 or eeg.shape != fnirs.shape or not len(eeg):
        raise ValueError(
            f"estimate_clock needs the same events in both recordings, found {eeg.shape} times of "
            f"the EEG and {fnirs.shape} of the fNIRS."
        )
    broken = np.flatnonzero(~np.isfinite(eeg + fnirs))
    if len(broken):
        raise ValueError(
            f"Times of {len(broken)} event(s) are NaN or infinite, first of event {broken[0]}. "
            "Leave these events out of both recordings."
        )
    centred = eeg - eeg.mean()
    spread = np.sum(centred**2)
    slope = np.sum(centred * fnirs) / spread if spread else 1.0
    offset = fnirs.mean() - slope * eeg.mean()
    residuals = np.abs(offset + slope * eeg - fnirs)
    worst = int(residuals.argmax())
    if residuals[worst] > tolerance or abs(slope - 1) > LARGEST_DRIFT:
        raise ValueError(
            "The times of the two recordings do not lie on a line of slope 1: the slope is "
            f"{slope:.4f} and event {worst} is {residuals[worst]:.3g} s off (tolerance "
            f"{tolerance:g} s). They may not be the same events, or one is missing."
        )
    return Clock(float(offset), float(slope - 1), float(residuals[worst]))
