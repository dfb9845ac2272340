"""Band powers against SciPy, MNE and closed forms."""

import mne
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from mmcontrast.preprocessing import BandPower

BANDS = {"delta": (1, 4), "theta": (4, 8), "alpha": (8, 12), "beta": (12, 30), "gamma": (30, 45)}
rng = np.random.default_rng(0)
X = 1e-5 * rng.normal(size=(6, 3, 1000)).cumsum(axis=-1) + 1e-3


def integrate(freqs, density, bands=BANDS):
    step = freqs[1] - freqs[0]
    parts = [
        density[..., (freqs > low - 1e-9) & (freqs < high - 1e-9)].sum(-1) * step
        for low, high in bands.values()
    ]
    return np.stack(parts, axis=-1).reshape(len(density), -1)


@pytest.mark.parametrize("n_times, segment", [(1000, 2.0), (1000, 1.005), (999, 0.5), (300, 2.0)])
def test_welch_is_that_of_scipy(n_times, segment):
    length = min(n_times, round(segment * 200))
    freqs, density = signal.welch(X[..., :n_times], 200, nperseg=length)
    found = BandPower(200, segment=segment, log=False).fit_transform(X[..., :n_times])
    np.testing.assert_allclose(found, integrate(freqs, density), rtol=2e-5)


@pytest.mark.parametrize("n_times, bandwidth", [(1000, None), (999, 4.0), (500, 2.0)])
def test_multitaper_is_that_of_mne(n_times, bandwidth):
    density, freqs = mne.time_frequency.psd_array_multitaper(
        X[..., :n_times], 200, bandwidth=bandwidth, normalization="full", verbose="error"
    )
    found = BandPower(200, method="multitaper", bandwidth=bandwidth, log=False)
    expected = integrate(freqs, density)
    np.testing.assert_allclose(found.fit_transform(X[..., :n_times]), expected, rtol=2e-4)


def test_morlet_is_the_energy_of_the_convolutions():
    """Wavelets in the time domain, one after the other, normalised to unit energy."""
    sfreq, n_cycles, values = 100, 5.0, rng.normal(size=400)
    low, high = 8.0, 12.0
    t = np.arange(-300, 301) / sfreq
    width = (high - low) / 200
    expected = 0.0
    for centre in low + width * (np.arange(200) + 0.5):
        # the square of this Gaussian spectrum is exp(-((f - centre) / spread)^2)
        spread = centre / n_cycles
        wavelet = np.exp(-0.5 * (2 * np.pi * spread * t) ** 2 + 2j * np.pi * centre * t)
        wavelet /= np.linalg.norm(wavelet)
        energy = np.sum(np.abs(np.convolve(values - values.mean(), wavelet)) ** 2)
        expected += 2 * energy / (sfreq * len(values)) * width
    found = BandPower(sfreq, method="morlet", n_cycles=n_cycles, bands={"a": (low, high)})
    power = found.set_params(log=False).fit_transform(values[None, None])
    np.testing.assert_allclose(power, expected, rtol=1e-3)


@pytest.mark.parametrize("method", ["welch", "multitaper", "morlet"])
def test_white_noise_has_equal_density(method):
    noise = rng.normal(size=(400, 1, 600))
    found = BandPower(100, bands={"a": (5, 10), "b": (20, 40)}, method=method, log=False)
    # density 2 sigma^2 / sfreq
    np.testing.assert_allclose(found.fit_transform(noise).mean(0), [0.1, 0.4], rtol=0.04)


@pytest.mark.parametrize("method", ["welch", "multitaper", "morlet"])
def test_a_rhythm_has_half_its_squared_amplitude(method):
    t = np.arange(2000) / 200
    values = 3e-5 * np.sin(2 * np.pi * 20 * t + rng.uniform(size=(4, 2, 1))) + 1.0
    found = BandPower(200, method=method, log=False).fit(values)
    powers = dict(zip(found.get_feature_names_out(), found.transform(values)[0], strict=True))
    assert powers["ch0_beta"] == pytest.approx(4.5e-10, rel=0.05)
    assert powers["ch1_theta"] < 1e-3 * powers["ch0_beta"]


@given(scale=st.floats(1e-8, 1e6), offset=st.floats(-10, 10))
def test_scale_and_offset(scale, offset):
    found = BandPower(200, log=False).fit(X)
    np.testing.assert_allclose(
        found.transform(scale * (X + offset)), scale**2 * found.transform(X), rtol=1e-3
    )


def test_parts_of_a_band_sum_to_it():
    whole = {"all": (0, 100)}
    parts = {"a": (0, 7.5), "b": (7.5, 33.3), "c": (33.3, 100)}
    for method in ("welch", "multitaper", "morlet"):
        sums = BandPower(200, bands=parts, method=method, log=False).fit_transform(X[:, :1])
        total = BandPower(200, bands=whole, method=method, log=False).fit_transform(X[:, :1])
        np.testing.assert_allclose(sums.sum(axis=1, keepdims=True), total, rtol=1e-3)
        relative = BandPower(200, bands=parts, method=method, relative=True, log=False)
        np.testing.assert_allclose(relative.fit_transform(X[:, :1]).sum(axis=1), 1, rtol=1e-3)


def test_log_and_its_floor():
    powers = BandPower(200, log=False).fit_transform(X)
    np.testing.assert_allclose(BandPower(200).fit_transform(X), np.log10(powers), rtol=1e-5)
    some = X.copy()
    some[2, 1] = 5.0
    np.testing.assert_allclose(BandPower(200).fit(X).transform(some)[2, 5:10], -24)


def test_bands_that_cannot_be():
    for bands, message in (
        ({}, "empty"),
        ({"a": (8, 12), "b": (12, 120)}, "'b' .* beyond 100 Hz"),
        ({"a": (12, 8)}, "'a' needs 0 <= low < high"),
        ({"a": (8, None)}, "'a' is a pair"),
        ({"a": 8}, "'a' is a pair"),
        ({"narrow": (9.6, 9.9)}, "'narrow' .* between two frequencies.* 0.5 Hz apart"),
    ):
        with pytest.raises(ValueError, match=message):
            BandPower(200, bands=bands).fit(X)
    with pytest.raises(ValueError, match="below the resolution"):
        BandPower(200, method="multitaper", bandwidth=0.05).fit(X)


@pytest.mark.parametrize("n_times", [400, 401])
def test_first_and_last_bin_of_the_spectrum(n_times):
    freqs, density = signal.welch(X[..., :n_times], 200, nperseg=n_times, noverlap=0)
    # an upper edge at half the sampling rate includes it
    edges = {"low": (0, 1), "high": (98, 100)}
    found = BandPower(200, bands=edges, segment=n_times / 200, log=False)
    expected = np.stack([density[..., freqs < 1].sum(-1), density[..., freqs >= 98].sum(-1)], -1)
    np.testing.assert_allclose(
        found.fit_transform(X[..., :n_times]), expected.reshape(6, -1) * freqs[1], rtol=1e-3
    )


@pytest.mark.parametrize("relative", [True, False])
def test_what_is_divided_by_is_that_of_fit(relative):
    X = np.random.default_rng(0).normal(size=(4, 2, 200))
    found = BandPower(100, bands={"low": (2, 10)}, relative=relative).fit(X)
    expected = found.transform(X)
    np.testing.assert_array_equal(found.set_params(relative=not relative).transform(X), expected)
