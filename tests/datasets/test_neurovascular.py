"""Simulated EEG and fNIRS: closed forms, units, seeds, and the way from light to features."""

import mne
import numpy as np
import pytest
from scipy import signal
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import PolynomialFeatures

from mmcontrast import Modalities
from mmcontrast.datasets import _neurovascular_noise as noise_module
from mmcontrast.datasets import make_neurovascular, make_neurovascular_raw
from mmcontrast.datasets._neurovascular_noise import Grid, Streams, pink_noise
from mmcontrast.datasets._neurovascular_physiology import block_response, haemodynamic_response
from mmcontrast.preprocessing import (
    BandPower,
    HaemodynamicFeatures,
    epochs_from_raws,
    haemoglobin_from_raw,
)

FINE = {"fnirs_sfreq": 20.0}


@pytest.fixture(scope="module")
def clean():
    """Trials of one subject without noise."""
    X, factors, _ = make_neurovascular(200, 1, snr=np.inf, random_state=0, **FINE)
    return X, factors


@pytest.fixture(scope="module")
def many():
    return make_neurovascular(600, 5, random_state=1)


def times_of(X, factors, name):
    n_times = X[name].shape[2]
    return factors.attrs[f"{name}_tmin"] + np.arange(n_times) / factors.attrs[f"{name}_sfreq"]


def channel(factors, name, modality="eeg"):
    return factors.attrs[f"{modality}_ch_names"].index(name)


# sites of channels S1_D1 (O1) and S2_D2 (F3)
OCCIPITAL, FRONTAL = "S1_D1", "S2_D2"


def courses(X, factors, stem):
    """HbO and HbR of one pair, (n_trials, n_times) each, in M."""
    fnirs = np.asarray(X["fnirs"], dtype=float)
    return [fnirs[:, channel(factors, f"{stem} {kind}", "fnirs")] for kind in ("hbo", "hbr")]


def test_shapes_names_and_units(many):
    X, factors, subjects = many
    assert X.row_shapes == {"eeg": (16, 801), "fnirs": (24, 91)}
    assert X["eeg"].dtype == X["fnirs"].dtype == np.float32
    assert len(factors) == len(subjects) == len(X) == 600
    t_eeg, t_fnirs = times_of(X, factors, "eeg"), times_of(X, factors, "fnirs")
    np.testing.assert_allclose([t_eeg[0], t_eeg[-1], t_fnirs[0], t_fnirs[-1]], [-3.5, 4.5, -4, 14])
    assert 3e-6 < np.std(X["eeg"]) < 3e-5  # V
    assert 1e-7 < np.std(X["fnirs"]) < 2e-6  # M
    names = factors.attrs["eeg_ch_names"]
    montage = mne.channels.make_standard_montage("colin27_1020")
    assert len(set(names)) == 16 and set(names) <= set(montage.ch_names)
    fnirs_names = factors.attrs["fnirs_ch_names"]
    assert [name[-3:] for name in fnirs_names] == ["hbo"] * 12 + ["hbr"] * 12
    features = HaemodynamicFeatures(sfreq=5, tmin=-4, ch_names=fnirs_names).fit(X["fnirs"][:5])
    assert features.pairs_["S3_D3"] == (2, 14)


@pytest.mark.parametrize(("n_eeg", "n_fnirs"), [(2, 2), (32, 22), (86, 86)])
def test_any_number_of_channels(n_eeg, n_fnirs):
    X, factors, _ = make_neurovascular(
        3, 1, n_eeg_channels=n_eeg, n_fnirs_channels=n_fnirs, random_state=0
    )
    assert X.row_shapes == {"eeg": (n_eeg, 801), "fnirs": (2 * n_fnirs, 91)}
    assert len(set(factors.attrs["eeg_ch_names"])) == n_eeg
    assert np.isfinite(X["eeg"]).all() and np.isfinite(X["fnirs"]).all()


def test_every_factor_has_a_part(many):
    _, factors, _ = many
    assert list(factors.columns) == list(factors.attrs["parts"])
    assert set(factors.attrs["parts"].values()) == {
        "redundant",
        "unique_eeg",
        "unique_fnirs",
        "synergistic",
        "additive",
    }


def test_factors_are_independent_of_each_other_and_of_subjects():
    n = 2000
    _, factors, subjects = make_neurovascular(
        n, 4, n_eeg_channels=2, n_fnirs_channels=2, random_state=3
    )
    free = factors.drop(columns="efficiency")
    correlation = np.corrcoef(free.to_numpy(float).T) - np.eye(free.shape[1])
    assert np.abs(correlation).max() < 4.5 / n**0.5
    of_subjects = free.groupby(subjects).mean()
    assert (of_subjects.std() / free.std()).max() < 3 / (n / 4) ** 0.5
    assert np.ptp(np.bincount(subjects)) == 0


def test_functions_of_factors(many):
    _, factors, _ = many
    high = factors.gamma > 0, factors.frontal_hbo > 1
    np.testing.assert_array_equal(factors.xor, high[0] ^ high[1])
    np.testing.assert_allclose(factors.efficiency, factors.gamma - np.log(factors.frontal_hbo))


def test_xor_needs_both_and_efficiency_is_additive(many):
    _, factors, _ = many
    pair = factors[["gamma", "frontal_hbo"]].to_numpy()
    alone = [
        cross_val_score(LogisticRegression(), PolynomialFeatures(5).fit_transform(one), factors.xor)
        for one in (pair[:, :1], pair[:, 1:])
    ]
    assert np.mean(alone, axis=1).max() < 0.56
    product = (pair[:, :1] - 0) * (pair[:, 1:] - 1)
    assert cross_val_score(LogisticRegression(C=100), product, factors.xor).mean() > 0.99
    logs = np.c_[pair[:, 0], np.log(pair[:, 1])]
    assert LinearRegression().fit(logs, factors.efficiency).score(logs, factors.efficiency) > 0.999


@pytest.mark.parametrize("width", [0.9, 1.0, 1.15])
def test_canonical_response(width):
    from scipy.stats import gamma

    t = np.arange(0, 32, 0.01)
    found = haemodynamic_response(t, width)
    assert abs(t[found.argmax()] - 5) <= 0.02
    assert found.max() == pytest.approx(1, abs=1e-3)
    assert 13 < t[found.argmin()] < 17
    if width == 1:
        spm = gamma.pdf(t, 6) - gamma.pdf(t, 16) / 6
        np.testing.assert_allclose(found, spm / spm.max(), atol=2e-3)


def test_response_to_a_block_is_the_sum_of_responses():
    t = np.arange(0, 30, 0.1)
    expected = sum(haemodynamic_response(t - start) for start in np.arange(0.05, 6, 0.1))
    np.testing.assert_allclose(block_response(t), expected / expected.max(), atol=5e-3)


def test_time_of_the_response_is_event_plus_delay(clean):
    X, factors = clean
    hbo, hbr = courses(X, factors, OCCIPITAL)
    t = times_of(X, factors, "fnirs")
    peak = t[hbo.argmax(axis=1)] - (factors.event_time + factors.delay)
    np.testing.assert_allclose(peak, 5, atol=0.25)  # of this subject
    assert np.std(peak) < 0.03
    lag = t[hbr.argmin(axis=1)] - t[hbo.argmax(axis=1)]
    assert np.mean(lag) == pytest.approx(0.8, abs=0.05)
    assert np.std(lag) < 0.05


def test_delays_are_the_difference_of_two_times(clean):
    X, factors = clean
    t_eeg, t_fnirs = times_of(X, factors, "eeg"), times_of(X, factors, "fnirs")
    pz = np.asarray(X["eeg"], dtype=float)[:, channel(factors, "Pz")]
    low = signal.sosfiltfilt(signal.butter(4, 5 / 50, output="sos"), pz)
    event = t_eeg[low.argmax(axis=1)] - 0.4
    arrival = t_fnirs[courses(X, factors, OCCIPITAL)[0].argmax(axis=1)] - 5
    assert np.median(np.abs(event - factors.event_time)) < 0.03
    error = arrival - event - factors.delay
    assert np.median(np.abs(error - np.median(error))) < 0.03


def test_amplitudes_of_haemoglobin(clean):
    X, factors = clean
    for stem, planted in ((OCCIPITAL, factors.activation), (FRONTAL, factors.frontal_hbo)):
        hbo, hbr = courses(X, factors, stem)
        per_unit = hbo.max(axis=1) / planted / 1e-6
        assert np.std(per_unit) / np.mean(per_unit) < 0.02
        assert 0.6 < np.mean(per_unit) < 1.1
        ratio = -hbr.min(axis=1) / hbo.max(axis=1)
        np.testing.assert_allclose(ratio, factors.hbr_ratio, rtol=0.02)


def test_power_of_the_gamma_burst(clean):
    X, factors = clean
    sos = signal.butter(6, [32 / 50, 44 / 50], "band", output="sos")
    poz = channel(factors, "Oz")
    burst = signal.sosfiltfilt(sos, np.asarray(X["eeg"], dtype=float)[:, poz])
    energy = np.log((burst**2).sum(axis=1))
    fit = LinearRegression().fit(factors[["gamma"]], energy)
    assert fit.coef_[0] == pytest.approx(1, abs=0.03)
    assert fit.score(factors[["gamma"]], energy) > 0.99


def test_state_is_the_ratio_of_alpha_and_beta(clean):
    X, factors = clean
    t = times_of(X, factors, "eeg")
    calm = BandPower(sfreq=100, bands={"alpha": (8, 12), "beta": (15, 25)}, log=True)
    eeg = np.asarray(X["eeg"], dtype=float)
    # the rhythms outside of the potentials and the desynchronisation
    events = np.abs(t - factors.event_time.to_numpy()[:, None] - 0.8) < 1.2
    eeg = np.where(events[:, None], 0.0, eeg)
    alpha, beta = (
        calm.fit_transform(eeg)[:, channel(factors, name) * 2 + k]
        for k, name in enumerate(("Oz", "C3"))
    )
    ratio = 10 * (alpha - beta)
    state = factors.state == 1
    difference = ratio[state].mean() - ratio[~state].mean()
    # amplitudes times and by exp(0.3): a power ratio of exp(8 * 0.3) between the states
    assert difference == pytest.approx(10 * 8 * 0.3 / np.log(10), abs=0.8)


def test_desynchronisation_follows_the_event():
    X, factors, _ = make_neurovascular(400, 1, snr=np.inf, random_state=5)
    t = times_of(X, factors, "eeg")
    sos = signal.butter(3, [17 / 50, 23 / 50], "band", output="sos")
    c3 = np.asarray(X["eeg"], dtype=float)[:, channel(factors, "C3")]
    power = signal.sosfiltfilt(sos, c3) ** 2

    def around(since):
        at = np.abs(t - factors.event_time.to_numpy()[:, None] - since) < 0.1
        return power[at].mean()

    # half of the activation's mean 1: exp(-0.5) in amplitude
    assert around(0.8) / around(-0.8) == pytest.approx(np.exp(-1), abs=0.15)


def test_background_falls_as_one_over_f():
    grid = Grid(0.0, 4000, 0, 100.0)
    noise = pink_noise(Streams(0), (100,), grid)
    assert noise.std() == pytest.approx(1, abs=0.1)
    freqs, power = signal.welch(noise, 100.0, nperseg=1000)
    used = (freqs > 1) & (freqs < 20)
    slope = np.polyfit(np.log(freqs[used]), np.log(power.mean(axis=0)[used]), 1)[0]
    assert slope == pytest.approx(-1, abs=0.1)


@pytest.mark.parametrize("sfreq", [1.0, 2.0, 5.0])
def test_rhythms_of_the_body_are_not_aliased(sfreq):
    def spectrum(sfreq):
        X, _, _ = make_neurovascular(150, 1, fnirs_sfreq=sfreq, random_state=0)
        last = np.asarray(X["fnirs"], dtype=float)[:, 9]  # C4 hardly sees a response
        freqs, power = signal.periodogram(last, sfreq, detrend="linear")
        return freqs, power.mean(axis=0)

    freqs, power = spectrum(sfreq)
    heart = power[(freqs > 0.95) & (freqs < 1.25)]
    rest = power[(freqs > 0.4) & (freqs < 0.8)]
    if sfreq > 2.5:
        assert heart.max() > 10 * rest.mean()
    elif sfreq > 1:  # a heartbeat of 1.1 Hz would be seen at 0.9 Hz
        assert power[(freqs > 0.8)].max() < 3 * rest.mean()
    else:  # and at 0.1 Hz, where the Mayer waves are
        slow = power[(freqs > 0.05) & (freqs < 0.18)].sum()
        freqs, power = spectrum(5.0)
        assert slow == pytest.approx(power[(freqs > 0.05) & (freqs < 0.18)].sum(), rel=0.5, abs=0)


def test_noise_is_divided_by_snr():
    def rough(snr):
        X, _, _ = make_neurovascular(60, 2, snr=snr, random_state=0)
        # differences of second order leave hardly anything of the responses
        return np.std(np.diff(np.asarray(X["fnirs"][:, 9], dtype=float), n=2))

    assert rough(1.0) / rough(4.0) == pytest.approx(4, rel=0.05)
    assert rough(np.inf) < 0.05 * rough(1.0)


def test_seeds():
    kwargs = dict(n_trials=40, n_subjects=3)
    X, factors, subjects = make_neurovascular(**kwargs, random_state=7)
    again = make_neurovascular(**kwargs, random_state=7)
    for name in ("eeg", "fnirs"):
        np.testing.assert_array_equal(X[name], again[0][name])
    assert factors.equals(again[1])
    np.testing.assert_array_equal(subjects, again[2])
    other = make_neurovascular(**kwargs, random_state=8)
    assert not np.allclose(other[1].delay, factors.delay)
    # other subjects, the same trials
    people = make_neurovascular(**kwargs, subject_state=1, random_state=7)
    assert people[1].equals(factors)
    assert not np.allclose(people[0]["eeg"], X["eeg"], rtol=0.1, atol=1e-7)


def test_trials_of_the_same_subjects_have_their_topographies():
    def maps(**seeds):
        X, factors, subjects = make_neurovascular(90, 3, snr=np.inf, **seeds)
        hbo = np.asarray(X["fnirs"], dtype=float)[:, :12]
        area = hbo.sum(axis=2) / factors.activation.to_numpy()[:, None]
        return np.array([area[subjects == k].mean(axis=0)[[0, 2, 10]] for k in range(3)])

    same = [maps(subject_state=0, random_state=seed) for seed in (1, 2)]
    np.testing.assert_allclose(*same, rtol=0.03)
    assert np.abs(maps(subject_state=1, random_state=1) / same[0] - 1).max() > 0.05


@pytest.mark.parametrize("snr", [1.0, np.inf])
def test_margin_leaves_the_middle_as_it_is(snr):
    kwargs = dict(n_trials=150, n_subjects=2, snr=snr, random_state=2)  # more than one batch
    X, factors, _ = make_neurovascular(**kwargs)
    wide, wide_factors, _ = make_neurovascular(**kwargs, margin=1.5)
    assert factors.equals(wide_factors)
    for name, n, unit in (("eeg", 150, 1e-6), ("fnirs", 7 + 1, 1e-6)):
        assert wide[name].shape[2] == X[name].shape[2] + 2 * n
        np.testing.assert_allclose(wide[name][..., n:-n], X[name], atol=1e-4 * unit, rtol=1e-4)
    np.testing.assert_allclose(wide_factors.attrs["eeg_tmin"], -5)
    np.testing.assert_allclose(wide_factors.attrs["fnirs_tmin"], -5.6)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_trials": 0}, "n_trials == 0"),
        ({"n_subjects": 0}, "n_subjects == 0"),
        ({"n_trials": 5}, "n_trials is 5, expected at least one for each of n_subjects=10"),
        ({"n_eeg_channels": 1}, "n_eeg_channels == 1"),
        ({"n_fnirs_channels": 87}, "n_fnirs_channels == 87"),
        ({"eeg_sfreq": 50.0}, "eeg_sfreq == 50"),
        ({"fnirs_sfreq": 0.5}, "fnirs_sfreq == 0.5"),
        ({"margin": -1.0}, "margin == -1"),
        ({"margin": np.nan}, "margin is nan"),
        ({"snr": 0.0}, "snr == 0"),
        ({"snr": np.nan}, "snr is nan"),
    ],
)
def test_bad_input(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make_neurovascular(**kwargs)


def test_bad_types():
    with pytest.raises(TypeError, match="n_trials"):
        make_neurovascular(10.5)


@pytest.fixture(scope="module")
def light():
    return make_neurovascular_raw(24, fnirs="intensity", snr=np.inf, random_state=0)


def test_planted_amplitudes_are_recovered_from_light(light):
    raw_eeg, raw_fnirs, factors = light
    blood = haemoglobin_from_raw(raw_fnirs, min_coupling=None)
    eeg, fnirs = epochs_from_raws(
        raw_eeg, blood, eeg_window=(-3.5, 4.5), fnirs_window=(-4, 14), metadata=factors
    )
    assert len(Modalities(eeg=eeg, fnirs=fnirs)) == len(factors)
    features = HaemodynamicFeatures(features=("peak",)).set_output(transform="pandas")
    found = features.fit_transform(fnirs.pick([f"{OCCIPITAL} hbo", f"{FRONTAL} hbo"]))
    for stem, name in ((OCCIPITAL, "activation"), (FRONTAL, "frontal_hbo")):
        peak = found[[f"{stem} hbo_peak"]]
        assert LinearRegression().fit(peak, factors[name]).score(peak, factors[name]) > 0.95


@pytest.mark.parametrize("ppf", [6.0, 0.1])
def test_light_is_the_exact_inverse_of_the_law(ppf):
    kwargs = dict(n_trials=3, fnirs_sfreq=10.0, random_state=4)
    _, intensity, _ = make_neurovascular_raw(fnirs="intensity", ppf=ppf, **kwargs)
    _, blood, _ = make_neurovascular_raw(**kwargs)
    density = mne.preprocessing.nirs.optical_density(intensity, verbose="error")
    found = mne.preprocessing.nirs.beer_lambert_law(density, ppf=ppf)
    assert found.ch_names == blood.ch_names
    assert found.get_channel_types() == blood.get_channel_types()
    expected, values = blood.get_data(), found.get_data()
    # densities are relative to the mean intensity: equal but for a constant
    for data in (expected, values):
        data -= data.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(values, expected, atol=1e-9 * np.abs(expected).max())


def test_recordings_are_what_mne_expects(light):
    raw_eeg, raw_fnirs, factors = light
    nirs = mne.preprocessing.nirs
    distances = nirs.source_detector_distances(raw_fnirs.info)
    np.testing.assert_allclose(distances, np.tile([0.03] * 12 + [0.008] * 2, 2), atol=1e-6)
    assert nirs.short_channels(raw_fnirs.info).sum() == 4
    assert set(raw_fnirs.get_channel_types()) == {"fnirs_cw_amplitude"}
    assert (raw_fnirs.get_data() > 0).all()
    assert raw_eeg.get_channel_types() == ["eeg"] * 16
    assert all(np.isfinite(ch["loc"][:3]).all() for ch in raw_eeg.info["chs"])
    # a channel of fNIRS lies below the electrode of its site
    middle = raw_fnirs.info["chs"][0]["loc"][:3]
    o1 = raw_eeg.info["chs"][raw_eeg.ch_names.index("O1")]["loc"][:3]
    np.testing.assert_allclose(middle, o1, atol=1e-6)
    for raw in (raw_eeg, raw_fnirs):
        np.testing.assert_allclose(raw.annotations.onset, factors.attrs["onsets"])
        assert set(raw.annotations.description) == {"trial"}


def test_recordings_hold_the_physiology_of_trials():
    raw_eeg, raw_fnirs, factors = make_neurovascular_raw(20, snr=np.inf, random_state=6)
    eeg, fnirs = epochs_from_raws(raw_eeg, raw_fnirs, eeg_window=(-3.5, 4.5), fnirs_window=(-4, 14))
    hbo = fnirs.get_data(picks=f"{OCCIPITAL} hbo")[:, 0]
    arrival = fnirs.times[hbo.argmax(axis=1)] - 5
    planted = factors.event_time + factors.delay
    np.testing.assert_allclose(arrival - planted, 0, atol=0.35)
    pz = signal.sosfiltfilt(signal.butter(4, 5 / 50, output="sos"), eeg.get_data(picks="Pz")[:, 0])
    event = eeg.times[pz.argmax(axis=1)] - 0.4
    assert np.median(np.abs(event - factors.event_time)) < 0.03
    burst = signal.sosfiltfilt(
        signal.butter(6, [32 / 50, 44 / 50], "band", output="sos"), eeg.get_data(picks="Oz")[:, 0]
    )
    energy = np.log((burst**2).sum(axis=1))
    assert np.corrcoef(energy, factors.gamma)[0, 1] > 0.99


def test_recordings_have_motion_artefacts_per_trial(monkeypatch):
    """With an artefact in every trial, there are as many jumps as trials, at any time."""
    monkeypatch.setattr(noise_module, "_SPIKE_RATE", 1.0)
    monkeypatch.setattr(noise_module, "_SPIKE", 1e-3)
    _, raw, _ = make_neurovascular_raw(12, fnirs_sfreq=10, random_state=0)
    hbo = raw.get_data(picks="hbo")
    decayed = np.exp(-0.1 / noise_module._SPIKE_DECAY) * hbo[:, :-1]
    times = raw.times[1:][np.abs(hbo[:, 1:] - decayed).max(axis=0) > 1e-5]
    assert 10 <= len(times) <= 12  # some may be tiny or coincide
    assert times.min() < raw.times[-1] / 3 and times.max() > raw.times[-1] * 2 / 3


def test_noisy_recordings_have_a_heartbeat_in_both_wavelengths():
    _, raw, _ = make_neurovascular_raw(4, fnirs="intensity", random_state=0)
    density = mne.preprocessing.nirs.optical_density(raw, verbose="error")
    assert mne.preprocessing.nirs.scalp_coupling_index(density, verbose="error").min() > 0.5


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"fnirs": "haemoglobn"}, "Did you mean 'haemoglobin'"),
        ({"interval": (5, 10)}, "interval is"),
        ({"interval": 20}, "interval is"),
        ({"interval": (30, 20)}, "interval is"),
        ({"n_short_channels": 13}, "n_short_channels == 13"),
        ({"ppf": 0.0}, "ppf == 0"),
        ({"snr": -1.0}, "snr == -1"),
    ],
)
def test_bad_recordings(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make_neurovascular_raw(4, **kwargs)
