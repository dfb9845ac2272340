"""Features of haemodynamic responses against closed forms and a slow reference."""

import mne
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcontrast.preprocessing import HaemodynamicFeatures

SFREQ, TMIN = 10, -2.0
TIMES = TMIN + np.arange(181) / SFREQ
NAMES = ["S1_D1 hbo", "S1_D1 hbr", "S2_D1 hbo", "S2_D1 hbr"]


def response(peak_at, amplitude):
    t = np.clip(TIMES, 0, None) / peak_at
    return amplitude * t**4 * np.exp(4 * (1 - t))


def table_of(X, **parameters):
    parameters = {"ch_names": NAMES[: X.shape[1]], "tmin": TMIN, **parameters}
    found = HaemodynamicFeatures(SFREQ, **parameters).fit(X)
    return dict(zip(found.get_feature_names_out(), found.transform(X).T, strict=True))


@given(peak_at=st.floats(3, 9), amplitude=st.floats(1e-7, 1e-5), offset=st.floats(-1e-5, 1e-5))
def test_known_response(peak_at, amplitude, offset):
    X = np.stack([response(peak_at, amplitude), -response(peak_at, amplitude / 4)])[None] + offset
    table = table_of(X, baseline=(None, 0))
    assert table["S1_D1 hbo_peak"][0] == pytest.approx(amplitude, rel=1e-3)
    assert table["S1_D1 hbr_peak"][0] == pytest.approx(-amplitude / 4, rel=1e-3)
    for chromophore in ("hbo", "hbr"):
        assert table[f"S1_D1 {chromophore}_time_to_peak"][0] == pytest.approx(peak_at, abs=5e-3)


def test_area_slope_and_difference_against_numpy():
    X = np.random.default_rng(0).normal(size=(6, 4, 181))
    table = table_of(X, window=(1.0, 7.5))
    inside = (TIMES > 1 - 1e-9) & (TIMES < 7.5 + 1e-9)
    times, x = TIMES[inside], X[..., inside]
    for channel, name in enumerate(NAMES):
        np.testing.assert_allclose(
            table[f"{name}_area"], np.trapezoid(x[:, channel], times, axis=-1), rtol=1e-4, atol=1e-6
        )
        slopes = [np.polyfit(times, one, 1)[0] for one in x[:, channel]]
        np.testing.assert_allclose(table[f"{name}_slope"], slopes, rtol=1e-4, atol=1e-6)
        extremum = np.max if name.endswith("hbo") else np.min
        assert (np.abs(table[f"{name}_peak"]) >= np.abs(extremum(x[:, channel], -1)) - 1e-6).all()
    for pair, hbo in (("S1_D1", 0), ("S2_D1", 2)):
        expected = x[:, hbo].mean(-1) - x[:, hbo + 1].mean(-1)
        np.testing.assert_allclose(table[f"{pair}_difference"], expected, rtol=1e-4, atol=1e-6)


def test_closed_forms_of_a_ramp():
    X = np.tile(3e-6 * TIMES, (1, 1, 1))
    table = table_of(X, window=(0, 10), ch_names=["a"])
    assert table["a_slope"][0] == pytest.approx(3e-6, rel=1e-6)
    assert table["a_area"][0] == pytest.approx(3e-6 * 50, rel=1e-6)
    assert (table["a_time_to_peak"][0], table["a_peak"][0]) == pytest.approx((10, 3e-5))


def test_pairs_are_found_by_name_not_by_place():
    X = np.random.default_rng(1).normal(size=(3, 4, 181))
    order = [3, 0, 2, 1]
    plain = table_of(X)
    shuffled = table_of(X[:, order], ch_names=[NAMES[k] for k in order])
    assert set(plain) == set(shuffled)
    for name in plain:
        np.testing.assert_allclose(shuffled[name], plain[name], rtol=1e-5)


def test_types_of_epochs_and_endings_of_names_agree():
    X = np.random.default_rng(2).normal(size=(3, 4, 181))
    info = mne.create_info(NAMES, SFREQ, ["hbo", "hbr", "hbo", "hbr"])
    epochs = mne.EpochsArray(X, info, tmin=TMIN, verbose="error")
    of_epochs = HaemodynamicFeatures().fit(epochs)
    assert of_epochs.pairs_ == {"S1_D1": (0, 1), "S2_D1": (2, 3)}
    of_array = HaemodynamicFeatures(SFREQ, ch_names=NAMES, tmin=TMIN).fit(X)
    assert list(of_array.get_feature_names_out()) == list(of_epochs.get_feature_names_out())
    np.testing.assert_array_equal(of_array.transform(X), of_epochs.transform(epochs))
    lower = HaemodynamicFeatures(SFREQ, ch_names=["a_HbO", "a_HbR", "b-hbo", "b-hbr"]).fit(X)
    assert list(lower.pairs_) == ["a", "b"]


def test_several_windows_have_names():
    X = np.random.default_rng(3).normal(size=(3, 2, 181))
    table = table_of(X, window={"early": (0, 5), "late": (5, None)})
    assert "S1_D1 hbo_early_peak" in table and "S1_D1_late_difference" in table
    alone = table_of(X, window=(5, None))
    np.testing.assert_array_equal(table["S1_D1 hbr_late_slope"], alone["S1_D1 hbr_slope"])


@pytest.mark.parametrize("names, who", [(NAMES[:3], "HbO"), ([*NAMES[:2], NAMES[3]], "HbR")])
def test_a_chromophore_without_partner(names, who):
    X = np.random.default_rng(0).normal(size=(3, 3, 181))
    with pytest.raises(ValueError, match=rf"{who} channels \['S2_D1'\] have no Hb.*features="):
        table_of(X, ch_names=names)
    table = table_of(X, ch_names=names, features=("peak", "area"))
    assert len(table) == 6


def test_channels_of_unknown_kind_have_no_difference():
    X = np.random.default_rng(0).normal(size=(3, 2, 181))
    assert not any("difference" in name for name in table_of(X, ch_names=["a", "b"]))
    with pytest.raises(ValueError, match="which channels are HbO and HbR"):
        table_of(X, ch_names=["a", "b"], features=["difference"])
