"""Delayed windows are those cut by hand."""

import mne
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcontrast.preprocessing import LagAlign

SFREQ, TMIN, N_TIMES = 10, -2.0, 150
TIMES = TMIN + np.arange(N_TIMES) / SFREQ
X = np.random.default_rng(0).normal(size=(4, 2, N_TIMES)).cumsum(-1)


@given(
    lag=st.floats(-2, 6),
    start=st.integers(0, 20).map(lambda k: k / 10),
    length=st.integers(0, 45).map(lambda k: k / 10),
)
def test_linear_interpolation_at_delayed_times(lag, start, length):
    align = LagAlign(SFREQ, lag=lag, window=(start, start + length), tmin=TMIN)
    found = align.fit_transform(X)
    assert len(align.times_) == round(length * SFREQ) + 1
    for row in range(4):
        for channel in range(2):
            expected = np.interp(align.times_ + lag, TIMES, X[row, channel])
            np.testing.assert_allclose(found[row, channel], expected, atol=0.01)
            if abs(lag * SFREQ % 1 - 0.5) < 0.49:
                np.testing.assert_allclose(found[row, channel], expected, atol=1e-5)


def test_whole_samples_are_copied_not_interpolated():
    found = LagAlign(SFREQ, lag=3.0, window=(0, 5), tmin=TMIN).fit_transform(X)
    np.testing.assert_array_equal(found, X[..., 50:101].astype(np.float32))


@pytest.mark.parametrize("lag, kept", [(4.0, slice(40, None)), (-4.0, slice(0, 110))])
def test_without_a_window_all_that_there_is(lag, kept):
    align = LagAlign(SFREQ, lag=lag, tmin=TMIN).fit(X)
    np.testing.assert_array_equal(align.transform(X), X[..., kept].astype(np.float32))
    np.testing.assert_allclose(align.times_, TIMES[kept] - lag)


def test_recovers_a_planted_delay():
    stimulus = np.exp(-((TIMES - 2) ** 2))
    delayed = np.exp(-((TIMES - 2 - 4.3) ** 2))
    align = LagAlign(SFREQ, lag=4.3, window=(-2, 6), tmin=TMIN)
    found = align.fit_transform(delayed[None, None])[0, 0]
    np.testing.assert_allclose(found, np.interp(align.times_, TIMES, stimulus), atol=1e-6)


def test_epochs_bring_their_times():
    epochs = mne.EpochsArray(X, mne.create_info(2, SFREQ, "hbo"), tmin=TMIN, verbose="error")
    np.testing.assert_array_equal(
        LagAlign(lag=3.0, window=(0, 5)).fit_transform(epochs), X[..., 50:101].astype(np.float32)
    )


@pytest.mark.parametrize("lag, window", [(9.0, (0, 5)), (-4.0, (0, 5)), (20.0, (None, None))])
def test_no_margin(lag, window):
    with pytest.raises(ValueError, match="needs epochs from .* but they last from -2 to 12.9 s"):
        LagAlign(SFREQ, lag=lag, window=window, tmin=TMIN).fit(X)


@pytest.mark.parametrize("lag", [np.nan, np.inf])
def test_lag_is_finite(lag):
    with pytest.raises(ValueError, match="lag"):
        LagAlign(SFREQ, lag=lag).fit(X)
