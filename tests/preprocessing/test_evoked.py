"""Amplitudes and latencies against a slow reference and known components."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcontrast.preprocessing import EvokedFeatures

SFREQ, TMIN = 100, -0.2
TIMES = TMIN + np.arange(100) / SFREQ
WINDOWS = {"N1": (0.1, 0.2, "negative"), "P3": (0.25, 0.5)}


def bump(latency, amplitude=1.0, width=0.06):
    return amplitude * np.exp(-(((TIMES - latency) / width) ** 2))


def test_against_loops():
    X = np.random.default_rng(0).normal(size=(5, 3, 100))
    found = EvokedFeatures(SFREQ, tmin=TMIN, windows=WINDOWS, baseline=(None, 0)).fit(X)
    table = dict(zip(found.get_feature_names_out(), found.transform(X).T, strict=True))
    for name, start, stop, sign in (("N1", 0.1, 0.2, -1), ("P3", 0.25, 0.5, 1)):
        inside = [k for k in range(100) if start - 1e-9 <= TIMES[k] <= stop + 1e-9]
        for channel in range(3):
            for row in range(5):
                x = X[row, channel] - X[row, channel, TIMES < 1e-9].mean()
                peak = max(inside, key=lambda k: sign * x[k])
                value, time = x[peak], TIMES[peak]
                if sign * x[peak] >= max(sign * x[peak - 1], sign * x[peak + 1]):
                    a, b, _ = np.polyfit([-1, 0, 1], x[peak - 1 : peak + 2], 2)
                    value, time = x[peak] - b * b / (4 * a), time - b / (2 * a) / SFREQ
                assert table[f"ch{channel}_{name}_mean"][row] == pytest.approx(
                    x[inside].mean(), rel=1e-5, abs=1e-6
                )
                assert table[f"ch{channel}_{name}_peak"][row] == pytest.approx(value, rel=1e-5)
                assert table[f"ch{channel}_{name}_latency"][row] == pytest.approx(
                    np.clip(time, start, stop), abs=1e-6
                )


@given(latency=st.floats(0.27, 0.48), amplitude=st.floats(1e-7, 1e-4))
def test_peaks_between_samples(latency, amplitude):
    found = EvokedFeatures(SFREQ, tmin=TMIN, windows=WINDOWS, features=("peak", "latency"))
    row = found.fit_transform(bump(latency, amplitude)[None, None])[0]
    assert row[2] == pytest.approx(amplitude, rel=2e-3)
    assert row[3] == pytest.approx(latency, abs=3e-4)  # samples are .01 s apart


@given(shift=st.floats(-1, 1), gain=st.floats(0.1, 10))
def test_offset_and_gain(shift, gain):
    X = (bump(0.15, -2) + bump(0.4) + 0.01 * TIMES)[None, None]
    found = EvokedFeatures(SFREQ, tmin=TMIN, windows=WINDOWS, baseline=(-0.2, 0)).fit(X)
    plain, changed = found.transform(X)[0], found.transform(gain * X + shift)[0]
    np.testing.assert_allclose(changed[[0, 1, 3, 4]], gain * plain[[0, 1, 3, 4]], rtol=1e-4)
    np.testing.assert_allclose(changed[[2, 5]], plain[[2, 5]], atol=1e-6)


def test_a_slope_has_its_peak_at_the_edge():
    X = np.tile(TIMES, (1, 1, 1))
    found = EvokedFeatures(SFREQ, tmin=TMIN, windows={"a": (0.1, 0.3)}, features=("latency",))
    assert found.fit_transform(X)[0, 0] == pytest.approx(0.3)
    last = EvokedFeatures(SFREQ, tmin=TMIN, windows={"a": (0.1, None)}, features=("latency",))
    assert last.fit_transform(X)[0, 0] == pytest.approx(TIMES[-1])


def test_default_windows_and_order_of_features():
    X = (bump(0.17, -2) + bump(0.45))[None, None]
    found = EvokedFeatures(SFREQ, tmin=TMIN, ch_names=["Cz"]).fit(X)
    table = dict(zip(found.get_feature_names_out(), found.transform(X)[0], strict=True))
    assert list(table)[:4] == ["Cz_P1_mean", "Cz_P1_peak", "Cz_P1_latency", "Cz_N1_mean"]
    assert table["Cz_N1_latency"] == pytest.approx(0.17, abs=1e-3)
    assert table["Cz_P3_latency"] == pytest.approx(0.45, abs=1e-3)
    assert table["Cz_N1_peak"] == pytest.approx(-2, rel=1e-2)


@pytest.mark.parametrize("window", [1, (0.1,), (0.1, 0.2, "negative", 1), {0.1, 0.2}])
def test_windows_that_are_none(window):
    with pytest.raises(ValueError, match=r"Window 'a' is \(start, stop\) or .*in seconds, got"):
        EvokedFeatures(SFREQ, windows={"a": window}).fit(np.tile(TIMES, (1, 1, 1)))


def test_features_are_those_of_fit():
    X = np.random.default_rng(0).normal(size=(5, 3, 100))
    found = EvokedFeatures(SFREQ, tmin=TMIN, windows=WINDOWS, features=("mean", "peak")).fit(X)
    expected, names = found.transform(X), found.get_feature_names_out()
    found.set_params(features=("latency", "other"))
    np.testing.assert_array_equal(found.transform(X), expected)
    assert found.get_feature_names_out().tolist() == names.tolist()
