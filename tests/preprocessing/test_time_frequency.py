"""Wavelet powers against MNE's and closed forms."""

import mne
import numpy as np
import pytest

from mmcontrast.preprocessing import TimeFrequency

SFREQ, FREQS = 100, [4.0, 9.0, 20.0]
rng = np.random.default_rng(0)
X = 1e-5 * rng.normal(size=(5, 2, 300)).cumsum(axis=-1)


def powers_of_mne(values, n_cycles=5.0):
    centred = values - values.mean(-1, keepdims=True)
    power = mne.time_frequency.tfr_array_morlet(
        centred, SFREQ, FREQS, n_cycles=n_cycles, output="power", zero_mean=False, verbose="error"
    )
    return power / SFREQ


@pytest.mark.parametrize("n_cycles", [5.0, 7.0])
def test_powers_are_those_of_mne(n_cycles):
    found = TimeFrequency(SFREQ, freqs=FREQS, n_cycles=n_cycles, step=0.25, log=False)
    maps = found.set_params(output="maps").fit_transform(X)
    expected = powers_of_mne(X, n_cycles).reshape(5, 2, 3, 12, 25).mean(-1)
    np.testing.assert_allclose(maps, expected, rtol=2e-3, atol=1e-4 * expected.max())
    features = found.set_params(output="features").fit_transform(X)
    np.testing.assert_array_equal(features, maps.reshape(5, -1))


def test_windows_bins_and_baseline():
    found = TimeFrequency(
        SFREQ, freqs=FREQS, step=0.4, window=(0, 1.5), baseline=(-0.5, 0), tmin=-1, output="maps"
    ).fit(X)
    np.testing.assert_allclose(found.times_, [0.2, 0.6, 1.0])
    power = powers_of_mne(X)
    bins = np.stack([power[..., 100 + 40 * k : 140 + 40 * k].mean(-1) for k in range(3)], axis=-1)
    expected = np.log10(bins / power[..., 50:101].mean(-1, keepdims=True))
    np.testing.assert_allclose(found.transform(X), expected, atol=5e-3)
    names = found.get_feature_names_out(["Fz", "Cz"])
    assert list(names[[0, 1, 3, -1]]) == ["Fz_4Hz_0.2s", "Fz_4Hz_0.6s", "Fz_9Hz_0.2s", "Cz_20Hz_1s"]


def test_white_noise_has_equal_density():
    noise = rng.normal(size=(300, 1, 400))
    found = TimeFrequency(SFREQ, freqs=FREQS, window=(1, 3), step=2.0, log=False)
    np.testing.assert_allclose(found.fit_transform(noise).mean(0), 2 / SFREQ, rtol=0.06)


def test_a_burst_is_where_and_when_it_is():
    t = np.arange(300) / SFREQ
    burst = np.exp(-(((t - 2.0) / 0.2) ** 2)) * np.sin(2 * np.pi * 9 * t)
    found = TimeFrequency(SFREQ, freqs=FREQS, step=0.2, output="maps", log=False)
    power = found.fit_transform(np.tile(burst, (1, 1, 1)))[0, 0]
    freq, time = np.unravel_index(power.argmax(), power.shape)
    assert FREQS[freq] == 9.0
    assert abs(found.times_[time] - 2.0) <= 0.11


def test_what_cannot_be():
    for parameters, message in (
        ({"freqs": [50.0]}, "between 0 and 50 Hz"),
        ({"freqs": []}, "at least one"),
        ({"freqs": [0.2]}, "wavelet of 0.2 Hz.*too long for epochs of 3 s"),
        ({"step": 5.0}, "shorter than one bin"),
        ({"window": (0, 4)}, "beyond the epoch"),
    ):
        with pytest.raises(ValueError, match=message):
            TimeFrequency(SFREQ, **parameters).fit(X)
