"""Physiology of signals that are made of known amplitudes and times."""

import numpy as np
import pytest

from mmcontrast import Modalities
from mmcontrast.inspection import physiological_targets, physiology_report

N = 60
SFREQ = {"eeg": 200.0, "fnirs": 10.0}
TMIN = {"eeg": -0.5, "fnirs": -2.0}
NAMES = ["S1_D1 hbo", "S1_D1 hbr", "S2_D1 hbo", "S2_D1 hbr"]


@pytest.fixture(scope="module")
def trials():
    rng = np.random.default_rng(0)
    truth = {
        "erp": rng.uniform(4e-6, 8e-6, N),
        "erp_time": rng.uniform(0.25, 0.35, N),
        "gamma": rng.uniform(1e-6, 4e-6, N),
        "hbo": rng.uniform(0.5e-6, 1.5e-6, N),
        "hbr": rng.uniform(0.1e-6, 0.4e-6, N),
        "hbo_time": rng.uniform(5, 7, N),
    }
    column = {name: values[:, None] for name, values in truth.items()}
    t = TMIN["eeg"] + np.arange(400) / 200
    erp = column["erp"] * np.exp(-(((t - column["erp_time"]) / 0.06) ** 2))
    gamma = column["gamma"] * np.sin(2 * np.pi * 36 * t)
    # a potential has two poles, and gamma is the same everywhere
    eeg = np.stack([erp, -erp, 0 * erp], axis=1) + np.where(t < -0.05, 1, 0) * gamma[:, None]
    eeg += 5e-8 * rng.normal(size=eeg.shape)
    t = TMIN["fnirs"] + np.arange(160) / 10
    shape = np.where(t > 0, np.exp(-(((t - column["hbo_time"]) / 2) ** 2)), 0)
    hbo, hbr = column["hbo"] * shape, -column["hbr"] * shape
    fnirs = np.stack([hbo, hbr, 0.5 * hbo, 0.5 * hbr], axis=1) + 3e-6  # a level of its own
    fnirs += 1e-10 * rng.normal(size=fnirs.shape)
    return Modalities(eeg=eeg, fnirs=fnirs), truth


def measure(X, **change):
    return physiological_targets(
        X, **{"sfreq": SFREQ, "tmin": TMIN, "fnirs_ch_names": NAMES} | change
    )


def correlation(a, b):
    return np.corrcoef(a, b)[0, 1]


def test_amplitudes_times_and_powers_are_recovered(trials):
    X, truth = trials
    found = measure(X)
    assert correlation(found["erp_amplitude"], truth["erp"]) > 0.999
    # channels are weighted by their share of the average response
    assert found["hbo_amplitude"] == pytest.approx(truth["hbo"] * (1 + 0.25) / 1.5, rel=0.02)
    assert found["hbr_amplitude"] == pytest.approx(-truth["hbr"] * (1 + 0.25) / 1.5, rel=0.02)
    lag = truth["hbo_time"] - truth["erp_time"]
    assert found["peak_lag"] == pytest.approx(lag, abs=0.05)
    assert correlation(found["gamma_power"], np.log10(truth["gamma"])) > 0.99
    z = [(v - v.mean()) / v.std() for v in (found["gamma_power"], found["hbo_amplitude"])]
    assert found["gamma_per_hbo"] == pytest.approx(z[0] - z[1])


def test_sign_of_a_concentration_stays_and_that_of_a_potential_does_not_matter(trials):
    X, truth = trials
    down = measure(Modalities(eeg=-X["eeg"], fnirs=-X["fnirs"]))
    assert down["erp_amplitude"] == pytest.approx(measure(X)["erp_amplitude"])
    assert (down["hbo_amplitude"] < 0.2 * truth["hbo"]).all()  # HbO fell: no peak


def test_scattered_events_are_aligned(trials):
    X, _ = trials
    onset = np.random.default_rng(1).uniform(0.4, 0.8, N)
    values = {}
    for name in ("eeg", "fnirs"):
        shift = np.round(onset * SFREQ[name]).astype(int)
        values[name] = np.stack([np.roll(x, s, -1) for x, s in zip(X[name], shift, strict=True)])
    found = measure(Modalities(**values), onset=onset)
    plain = measure(X)
    assert found["hbo_amplitude"] == pytest.approx(plain["hbo_amplitude"], rel=0.02)
    assert found["erp_amplitude"] == pytest.approx(plain["erp_amplitude"], rel=0.02)
    # events at times between samples: the signals were shifted by whole ones
    rounding = [np.round(onset * rate) / rate - onset for rate in SFREQ.values()]
    expected = plain["peak_lag"] + rounding[1] - rounding[0]
    assert found["peak_lag"] == pytest.approx(expected, abs=0.02)
    with pytest.raises(ValueError, match=r"onset has shape \(59,\).*each of the 60"):
        measure(X, onset=onset[1:])
    with pytest.raises(ValueError, match="farther apart than trials of modality 'eeg'"):
        measure(X, onset=10 * onset)


def test_other_names_and_bands(trials):
    X, _ = trials
    other = Modalities(brain=X["eeg"], blood=X["fnirs"])
    found = physiological_targets(
        other,
        sfreq={"brain": 200, "blood": 10},
        tmin={"brain": -0.5, "blood": -2},
        fnirs_ch_names=NAMES,
        eeg="brain",
        fnirs="blood",
        bands={"slow": (2, 10)},
    )
    assert list(found) == [
        "slow_power",
        "erp_amplitude",
        "hbo_amplitude",
        "hbr_amplitude",
        "peak_lag",
    ]
    assert found["peak_lag"] == pytest.approx(measure(X)["peak_lag"])


def test_report(trials):
    X, truth = trials
    rng = np.random.default_rng(0)
    lag = truth["hbo_time"] - truth["erp_time"]
    parts = {
        "U_eeg": np.stack([np.log(truth["gamma"]), rng.normal(size=N)], 1),
        "S": lag + 0.01 * rng.normal(size=N),
    }
    report = physiology_report(
        parts,
        X,
        sfreq=SFREQ,
        tmin=TMIN,
        fnirs_ch_names=NAMES,
        factors={"fast": lag < 5.7},
        groups=np.arange(N) % 10,
        random_state=0,
    )
    assert report["U_eeg", "gamma_power"].low > 0.9
    assert report["S", "peak_lag"].low > 0.9
    assert report["S", "fast"].value > 0.6
    assert report["S", "gamma_power"].p_value > 0.05
    assert report["U_eeg", "peak_lag"].p_value > 0.05
    assert report.metrics["fast"] == "balanced accuracy"
    assert set(report.metrics.values()) == {"balanced accuracy", "R2"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eeg": "egg"}, "no modality 'egg'.*Did you mean 'eeg'"),
        ({"sfreq": {"eeg": 200}}, "sfreq=.* no entry for modality 'fnirs'"),
        ({"tmin": 0}, "tmin=0 has no entry for modality 'eeg'"),
        ({"fnirs_ch_names": NAMES[:3]}, "3 names, but modality 'fnirs' has 4 channels"),
        ({"fnirs_ch_names": ["a hbo", "b hbo", "c hbo", "d hbo"]}, "ends in 'hbr'"),
        ({"hrf_window": (20, 30)}, r"\(20, 30\) s holds no sample of epochs from -2 to 13.9"),
    ],
)
def test_bad_input_is_named(trials, change, message):
    with pytest.raises(ValueError, match=message):
        measure(trials[0], **change)


def test_features_are_no_signals(trials):
    X, _ = trials
    flat = Modalities(eeg=X["eeg"][:, 0], fnirs=X["fnirs"])
    with pytest.raises(ValueError, match=r"'eeg' has shape \(60, 400\); expected signals"):
        measure(flat)


def test_factor_of_the_same_name(trials):
    with pytest.raises(ValueError, match="'peak_lag' has the name of a physiological"):
        physiology_report(
            {"S": np.ones((N, 1))}, trials[0], sfreq=SFREQ, tmin=TMIN, fnirs_ch_names=NAMES,
            factors={"peak_lag": np.arange(N)},
        )  # fmt: skip


def test_factors_without_names_are_refused(trials):
    with pytest.raises(TypeError, match="factors is a ndarray; expected a dict"):
        physiology_report(
            {"S": np.ones((N, 1))}, trials[0], sfreq=SFREQ, tmin=TMIN, fnirs_ch_names=NAMES,
            factors=np.arange(N),
        )  # fmt: skip
