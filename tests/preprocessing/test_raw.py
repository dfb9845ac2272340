"""From recordings to epochs: clocks, rates, rejection, haemoglobin."""

from datetime import UTC, datetime, timedelta

import mne
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from mmcontrast import Modalities, make_modality_transformer
from mmcontrast.preprocessing import (
    BandPower,
    HaemodynamicFeatures,
    epochs_from_raws,
    estimate_clock,
    haemoglobin_from_raw,
)

EEG_SFREQ, FNIRS_SFREQ, SECONDS = 200.0, 10.0, 300
ONSETS = np.arange(10, 270, 20.0)


def raw_of(values, sfreq, types, first_samp=0):
    info = mne.create_info(len(values), sfreq, types)
    return mne.io.RawArray(values, info, first_samp=first_samp, verbose="error")


@pytest.fixture
def recordings():
    """Each signal is its own time in seconds since the first sample, in µV and µM."""
    eeg = np.tile(1e-6 * np.arange(SECONDS * 200) / EEG_SFREQ, (3, 1))
    fnirs = np.tile(1e-6 * np.arange(SECONDS * 10) / FNIRS_SFREQ, (2, 1))
    return raw_of(eeg, EEG_SFREQ, "eeg", 400), raw_of(fnirs, FNIRS_SFREQ, ["hbo", "hbr"], 30)


@pytest.fixture
def events():
    samples = (ONSETS * EEG_SFREQ).astype(int) + 400
    return np.c_[samples, 0 * samples, np.arange(len(samples)) % 2 + 1]


def test_epochs_hold_what_happened_at_the_same_time(recordings, events):
    offset, drift = 3.2, 2e-3
    eeg, fnirs = epochs_from_raws(
        *recordings,
        events,
        eeg_window=(-0.5, 1),
        fnirs_window=(-1, 12),
        clock_offset=offset,
        clock_drift=drift,
    )
    np.testing.assert_allclose(eeg.get_data()[:, 0, 100], 1e-6 * ONSETS)
    at_event = fnirs.get_data()[:, 0, 10]
    np.testing.assert_allclose(at_event, 1e-6 * (offset + (1 + drift) * ONSETS), atol=0.051e-6)
    assert (eeg.tmin, eeg.tmax, fnirs.tmin, fnirs.tmax) == (-0.5, 1, -1, 12)
    X = Modalities(eeg=eeg, fnirs=fnirs)
    assert X.row_shapes == {"eeg": (3, 301), "fnirs": (2, 131)}
    np.testing.assert_array_equal(
        Modalities.from_epochs(eeg=eeg, fnirs=fnirs).event_codes, events[:, 2]
    )


def test_margins(recordings, events):
    eeg, fnirs = epochs_from_raws(*recordings, events, margin=(0.5, 3.0))
    assert (eeg.tmin, eeg.tmax, fnirs.tmin, fnirs.tmax) == (-0.7, 1.5, -5, 18)
    both = epochs_from_raws(*recordings, events, margin=1.0)
    assert (both[0].tmin, both[1].tmax) == (-1.2, 16)


def test_annotations_of_either_reject_in_both(recordings, events):
    eeg, fnirs = recordings
    eeg.set_annotations(mne.Annotations(ONSETS[2] + 0.3, 0.1, "BAD_muscle"))
    fnirs.set_annotations(mne.Annotations(ONSETS[5] + 12, 1, "bad motion"))
    pair = epochs_from_raws(eeg, fnirs, events)
    expected = np.delete(np.arange(len(events)), [2, 5])
    for epochs in pair:
        np.testing.assert_array_equal(epochs.selection, expected)
        np.testing.assert_array_equal(epochs.events[:, 2], events[expected, 2])
    assert (pair[0].drop_log[2], pair[0].drop_log[5]) == (("BAD_muscle",), ("FNIRS",))
    assert (pair[1].drop_log[2], pair[1].drop_log[5]) == (("EEG",), ("bad motion",))
    assert len(epochs_from_raws(eeg, fnirs, events, reject_by_annotation=False)[0]) == len(events)
    # the annotation is in the wider window of the fNIRS, at a time that this EEG does not use
    short = epochs_from_raws(eeg, fnirs, events, eeg_window=(-0.2, 0.2))
    assert 2 in short[1].selection


def test_amplitudes_of_either_reject_in_both(recordings, events):
    eeg, fnirs = (raw.load_data() for raw in recordings)
    eeg._data[1, int(ONSETS[1] * 200)] += 1e-3
    fnirs._data[0, int(ONSETS[4] * 10)] += 1e-3
    pair = epochs_from_raws(eeg, fnirs, events, reject={"eeg": 2e-4, "hbo": 2e-4, "hbr": 2e-4})
    assert sorted(set(range(len(events))) - set(pair[1].selection)) == [1, 4]
    np.testing.assert_array_equal(pair[0].selection, pair[1].selection)


def test_events_outside_a_recording_are_dropped_in_both(recordings, events):
    pair = epochs_from_raws(*recordings, events, clock_offset=-20)
    assert pair[0].selection[0] == 1  # the one at 10 s comes before the fNIRS
    np.testing.assert_array_equal(pair[0].selection, pair[1].selection)
    with pytest.raises(ValueError, match="No trial is left.*NO_DATA.*check clock_offset"):
        epochs_from_raws(*recordings, events, clock_offset=1000)


def test_events_of_annotations_and_their_names(recordings):
    eeg, fnirs = recordings
    names = np.where(np.arange(len(ONSETS)) % 2, "rest", "task")
    eeg.set_annotations(mne.Annotations(ONSETS, 0, names))
    pair = epochs_from_raws(eeg, fnirs)
    assert set(pair[1].event_id) == {"rest", "task"}
    task = epochs_from_raws(eeg, fnirs, event_id={"task": 7})
    assert len(task[0]) == 7 and (task[1].events[:, 2] == 7).all()
    np.testing.assert_allclose(task[0].get_data()[:, 0, 40], 1e-6 * ONSETS[::2])


def test_metadata_follow_the_trials(recordings, events):
    pd = pytest.importorskip("pandas")
    fnirs = recordings[1]
    fnirs.set_annotations(mne.Annotations(ONSETS[3], 1, "BAD"))
    frame = pd.DataFrame({"load": np.arange(len(events))})
    pair = epochs_from_raws(*recordings, events, event_id={"a": 1, "b": 2}, metadata=frame)
    for epochs in pair:
        assert epochs.metadata["load"].tolist() == [k for k in range(len(events)) if k != 3]


def test_bad_channels_and_those_without_data(recordings, events):
    eeg, fnirs = recordings
    eeg.set_channel_types({"2": "stim"}, verbose="error")
    eeg.info["bads"] = ["0"]
    assert epochs_from_raws(eeg, fnirs, events)[0].ch_names == ["1"]
    eeg.info["bads"] = ["0", "1"]
    with pytest.raises(ValueError, match="eeg recording has 2 data channels.*all of them marked"):
        epochs_from_raws(eeg, fnirs, events)
    fnirs.set_channel_types({"0": "misc", "1": "misc"}, verbose="error")
    eeg.info["bads"] = []
    with pytest.raises(ValueError, match=r"raw_fnirs has no fNIRS channels.*\['misc'\]"):
        epochs_from_raws(eeg, fnirs, events)


def test_input_that_cannot_be_cut(recordings, events):
    eeg, fnirs = recordings
    with pytest.raises(TypeError, match="raw_fnirs is a continuous recording.*ndarray"):
        epochs_from_raws(eeg, np.zeros((2, 5)), events)
    with pytest.raises(ValueError, match="no annotations to be events"):
        epochs_from_raws(eeg, fnirs)
    with pytest.raises(ValueError, match=r"shape \(n_events, 3\)"):
        epochs_from_raws(eeg, fnirs, ONSETS)
    with pytest.raises(ValueError, match="no event to cut.*event_id is {'c': 9}"):
        epochs_from_raws(eeg, fnirs, events, event_id={"c": 9})
    with pytest.raises(ValueError, match="20 parts per million are 2e-5"):
        epochs_from_raws(eeg, fnirs, events, clock_drift=20)
    with pytest.raises(ValueError, match="eeg_window needs a beginning and an end"):
        epochs_from_raws(eeg, fnirs, events, eeg_window=(None, 1))
    with pytest.raises(ValueError, match="margin of at least 0"):
        epochs_from_raws(eeg, fnirs, events, margin=-1)
    close = np.array([[2400, 0, 1], [2404, 0, 1]])
    with pytest.raises(ValueError, match=r"Events 0 and 1 \(10.000 and 10.020 s\) fall on one"):
        epochs_from_raws(eeg, fnirs, close)


@given(offset=st.floats(-100, 100), drift=st.floats(-5e-3, 5e-3), seed=st.integers(0, 99))
def test_clock_of_jittered_events(offset, drift, seed):
    jitter = np.random.default_rng(seed).uniform(-0.05, 0.05, size=len(ONSETS))
    clock = estimate_clock(ONSETS, offset + (1 + drift) * ONSETS + jitter)
    assert clock.drift == pytest.approx(drift, abs=5e-4)
    assert clock.offset + 150 * clock.drift == pytest.approx(offset + 150 * drift, abs=0.05)
    assert clock.residual <= 0.15


def test_clock_that_does_not_fit():
    assert estimate_clock([5.0], [7.5])[:2] == (2.5, 0.0)
    with pytest.raises(ValueError, match=r"\(13,\) times of the EEG and \(12,\)"):
        estimate_clock(ONSETS, ONSETS[1:])
    with pytest.raises(ValueError, match="do not lie on a line"):
        estimate_clock(ONSETS[:-1], np.delete(ONSETS, 6))
    with pytest.raises(ValueError, match="slope is 2.0"):
        estimate_clock(ONSETS, 2 * ONSETS)
    with pytest.raises(ValueError, match="same events"):
        estimate_clock([], [])
    with pytest.raises(ValueError, match=r"1 event\(s\) are NaN or infinite, first of event 2"):
        estimate_clock(ONSETS, np.where(np.arange(13) == 2, np.nan, ONSETS))


# molar extinction at 760 and 850 nm in 1/(M cm), S. Prahl's tabulation, decadic
EXTINCTION = np.array([[586.0, 1548.52], [1058.0, 691.32]])
DISTANCE, PPF = 3.0, 6.0  # cm


def intensities(hbo, hbr):
    """Light at both wavelengths by the modified Beer-Lambert law."""
    density = np.log(10) * DISTANCE * PPF * EXTINCTION @ np.stack([hbo, hbr])
    info = mne.create_info(["S1_D1 760", "S1_D1 850"], FNIRS_SFREQ, "fnirs_cw_amplitude")
    for channel, wavelength in zip(info["chs"], (760, 850), strict=True):
        channel["loc"][:9] = 0.015, 0, 0, 0, 0, 0, 0.03, 0, 0
        channel["loc"][9] = wavelength
    return mne.io.RawArray(0.5 * np.exp(-density), info, verbose="error")


@pytest.fixture
def planted():
    rng = np.random.default_rng(0)
    amplitudes = rng.uniform(0.2e-6, 1.5e-6, size=40)
    onsets = 20 + 30 * np.arange(40)
    t = np.arange(13000) / FNIRS_SFREQ
    hbo = np.zeros_like(t)
    for onset, amplitude in zip(onsets, amplitudes, strict=True):
        s = np.clip(t - onset, 0, None) / 6
        hbo += amplitude * s**6 * np.exp(6 * (1 - s))
    return amplitudes, onsets, intensities(hbo, -0.3 * hbo)


@pytest.mark.parametrize("band", [(None, None), (0.01, 0.1)])
def test_planted_amplitudes_survive_the_whole_path(planted, band):
    amplitudes, onsets, light = planted
    eeg = raw_of(1e-6 * np.random.default_rng(1).normal(size=(2, 130000)), 100.0, "eeg")
    haemoglobin = haemoglobin_from_raw(
        light, ppf=PPF, l_freq=band[0], h_freq=band[1], min_coupling=None
    )
    assert haemoglobin.get_channel_types() == ["hbo", "hbr"]
    events = np.c_[onsets * 100, 0 * onsets, 0 * onsets + 1]
    eeg_epochs, fnirs_epochs = epochs_from_raws(eeg, haemoglobin, events)
    X = Modalities(eeg=eeg_epochs, fnirs=fnirs_epochs)
    features = HaemodynamicFeatures(
        FNIRS_SFREQ, tmin=-2, baseline=(None, 0), ch_names=fnirs_epochs.ch_names
    )
    Z = make_modality_transformer(eeg=BandPower(100, segment=1.0), fnirs=features).fit_transform(X)
    names = list(features.fit(X["fnirs"]).get_feature_names_out())
    peak = Z["fnirs"][:, [names.index("S1_D1 hbo_peak")]]
    assert LinearRegression().fit(peak, amplitudes).score(peak, amplitudes) > 0.9
    if band == (None, None):
        # MNE's table of extinctions is another digitisation
        np.testing.assert_allclose(peak[:, 0], amplitudes, rtol=0.02)
        lag = Z["fnirs"][:, names.index("S1_D1 hbo_time_to_peak")]
        np.testing.assert_allclose(lag, 6, atol=0.02)


def test_motion_correction_repairs_jumps():
    rng = np.random.default_rng(0)
    t = np.arange(6000) / FNIRS_SFREQ
    phase = np.cumsum(rng.normal(0.1, 0.02, size=len(t))) / FNIRS_SFREQ
    waves = 1e-6 * np.sin(2 * np.pi * phase)
    jumps = np.zeros_like(t)
    jumps[1000:] += 2e-5
    jumps[4000:] -= 3e-5
    light = intensities(waves + jumps, 0 * t)
    repaired, plain = (
        haemoglobin_from_raw(light, ppf=PPF, motion_correction=correct, min_coupling=None)
        for correct in (True, False)
    )
    errors = [np.std(raw.get_data()[0] - waves) for raw in (repaired, plain)]
    assert errors[0] < 0.5 * errors[1]


def test_filter_takes_the_heartbeat_out_and_leaves_the_input_alone():
    t = np.arange(6000) / FNIRS_SFREQ
    slow, fast = np.sin(2 * np.pi * 0.03 * t), np.sin(2 * np.pi * 1.1 * t)
    light = intensities(1e-6 * (slow + fast), 0 * t)
    before = light.get_data()
    found = haemoglobin_from_raw(light, ppf=PPF).get_data()[0]
    middle = slice(1000, 5000)
    np.testing.assert_allclose(found[middle], 1e-6 * slow[middle], atol=0.08e-6)
    np.testing.assert_array_equal(light.get_data(), before)


def test_channels_without_heartbeat_become_bad():
    rng = np.random.default_rng(0)
    t = np.arange(3000) / FNIRS_SFREQ
    good = intensities(1e-6 * np.sin(2 * np.pi * 1.1 * t), 0 * t)
    noise = good.copy()
    noise._data *= 1 + 0.1 * rng.normal(size=noise._data.shape)
    noise.rename_channels({"S1_D1 760": "S2_D1 760", "S1_D1 850": "S2_D1 850"})
    both = good.copy().add_channels([noise])
    assert haemoglobin_from_raw(both).info["bads"] == ["S2_D1 hbo", "S2_D1 hbr"]
    assert haemoglobin_from_raw(both, min_coupling=None).info["bads"] == []
    both.info["bads"] = ["S1_D1 850"]
    assert haemoglobin_from_raw(both, min_coupling=None).info["bads"] == ["S1_D1 hbo", "S1_D1 hbr"]


def two_pairs(sfreq=FNIRS_SFREQ):
    rng = np.random.default_rng(0)
    names = [f"S{k}_D1 {wavelength}" for k in (1, 2) for wavelength in (760, 850)]
    info = mne.create_info(names, sfreq, "fnirs_cw_amplitude")
    for channel in info["chs"]:
        channel["loc"][3:9] = 0, 0, 0, 0.03, 0, 0
        channel["loc"][9] = float(channel["ch_name"][-3:])
    light = 1 + 0.01 * rng.normal(size=(2, 600)).repeat(2, axis=0)
    return mne.io.RawArray(light, info, verbose="error")


def test_samples_that_are_not_finite():
    light = two_pairs()
    light._data[1, 5:8] = np.nan
    message = r"so many of 600 by channel: {'S1_D1 850': 3}.*raw.crop.*interpolate.*mark"
    with pytest.raises(ValueError, match=message):
        haemoglobin_from_raw(light, min_coupling=None)
    light.info["bads"] = ["S1_D1 850"]
    found = haemoglobin_from_raw(light)
    assert found.info["bads"] == ["S1_D1 hbo", "S1_D1 hbr"]
    assert np.isfinite(found.get_data()[2:]).all()


@pytest.mark.parametrize("dropped", [["S1_D1 850"], ["S1_D1 850", "S2_D1 760"]])
def test_pairs_that_lack_a_wavelength(dropped):
    light = two_pairs().drop_channels(dropped)
    with pytest.raises(ValueError, match=r"pair 'S1_D1' has 1 of 2 wavelengths: 760 nm"):
        haemoglobin_from_raw(light)


def test_sampling_rates_too_low_for_a_heartbeat():
    for sfreq in (2.0, 3.2):
        with pytest.raises(ValueError, match=f"found sfreq={sfreq:g}. Pass min_coupling=None"):
            haemoglobin_from_raw(two_pairs(sfreq))
    assert haemoglobin_from_raw(two_pairs(2.0), min_coupling=None).info["bads"] == []
    assert haemoglobin_from_raw(two_pairs(3.6)).info["bads"] == []


def test_recordings_that_hold_no_haemoglobin():
    with pytest.raises(ValueError, match=r"no fNIRS channels, but channels of type \['eeg'\]"):
        haemoglobin_from_raw(raw_of(np.zeros((2, 100)), 10.0, "eeg"))
    light = intensities(np.zeros(500), np.zeros(500))
    light.info["chs"][1]["loc"][9] = np.nan
    with pytest.raises(ValueError, match=r"wavelengths of channels \['S1_D1 850'\] are missing"):
        haemoglobin_from_raw(light)
    with pytest.raises(TypeError, match="continuous recording"):
        haemoglobin_from_raw(np.zeros((2, 5)))


def test_limits_for_types_that_are_not_there(recordings, events):
    recordings[0].set_channel_types({"2": "eog"}, verbose="error")
    with pytest.raises(ValueError, match="type 'EEG'.*'eeg', 'hbo', 'hbr'. Did you mean 'eeg'"):
        epochs_from_raws(*recordings, events, reject={"EEG": 1e-4})
    for kind in ("hb0", "grad", "eog"):
        with pytest.raises(ValueError, match=f"reject has a limit.*'{kind}'"):
            epochs_from_raws(*recordings, events, reject={"eeg": 1, kind: 1e-4})


def test_event_ids_that_do_not_occur(recordings, events):
    with pytest.warns(UserWarning, match=r"event_id has {'c': 9}.*codes \[1, 2\]"):
        pair = epochs_from_raws(*recordings, events, event_id={"a": 1, "c": 9})
    assert len(pair[0]) == 7
    names = np.where(np.arange(len(ONSETS)) % 2, "rest", "task")
    recordings[0].set_annotations(mne.Annotations(ONSETS, 0, names))
    with pytest.warns(UserWarning, match=r"{'rset': 2}.*Did you mean 'rest'"):
        epochs_from_raws(*recordings, event_id={"task": 1, "rset": 2})
    with pytest.raises(ValueError, match="no event to cut.*'tsk'.*Did you mean 'task'"):
        epochs_from_raws(*recordings, event_id={"tsk": 1})


@pytest.mark.parametrize("event_id", [2, [2], np.int64(2), np.array([2]), (2,), {"b": 2}])
def test_codes_of_events_in_any_form(recordings, events, event_id):
    pair = epochs_from_raws(*recordings, events, event_id=event_id)
    assert pair[1].selection.tolist() == [1, 3, 5, 7, 9, 11]
    assert list(pair[0].event_id.values()) == [2]
    assert list(pair[0].event_id) == (["b"] if isinstance(event_id, dict) else ["2"])
    assert len(epochs_from_raws(*recordings, events, event_id=[2, 1])[0]) == len(events)


@pytest.mark.parametrize("event_id", ["task", ["task"], np.array(["task"])])
def test_names_of_annotations_in_any_form(recordings, event_id):
    names = np.where(np.arange(len(ONSETS)) % 2, "rest", "task")
    recordings[0].set_annotations(mne.Annotations(ONSETS, 0, names))
    pair = epochs_from_raws(*recordings, event_id=event_id)
    np.testing.assert_allclose(pair[0].get_data()[:, 0, 40], 1e-6 * ONSETS[::2])
    assert pair[0].event_id == pair[1].event_id == {"task": 1}
    both = epochs_from_raws(*recordings, event_id=["task", "rest"])
    assert both[0].event_id == {"task": 1, "rest": 2}
    np.testing.assert_array_equal(both[0].events[:, 2], np.arange(len(ONSETS)) % 2 + 1)


def test_event_ids_of_the_wrong_kind(recordings, events):
    for event_id in ("task", ["task", 1], {"task": "1"}, {1: 1}, 1.5):
        with pytest.raises(TypeError, match=r"does not choose events; events have codes"):
            epochs_from_raws(*recordings, events, event_id=event_id)
    recordings[0].set_annotations(mne.Annotations(ONSETS, 0, "task"))
    for event_id in (1, [1], ["task", 1]):
        with pytest.raises(TypeError, match="annotations, which have names"):
            epochs_from_raws(*recordings, event_id=event_id)
    with pytest.raises(ValueError, match="no event to cut.*'tsk'.*Did you mean 'task'"):
        epochs_from_raws(*recordings, event_id="tsk")


@pytest.mark.parametrize("name", ["clock_offset", "clock_drift"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_clocks_that_are_not_finite(recordings, events, name, value):
    with pytest.raises(ValueError, match=f"{name}={value} has to be finite"):
        epochs_from_raws(*recordings, events, **{name: value})


def test_recordings_in_the_wrong_order(recordings, events):
    eeg, fnirs = recordings
    with pytest.raises(ValueError, match=r"raw_eeg has no EEG.*\['hbo', 'hbr'\].*comes first"):
        epochs_from_raws(fnirs, eeg, events)
    with pytest.raises(ValueError, match=r"raw_fnirs has no fNIRS.*\['eeg'\].*set_channel_types"):
        epochs_from_raws(eeg, eeg, events)


def test_events_that_are_not_used_may_fall_on_one_sample(recordings, events):
    response = events[3] + [4, 0, 0]
    response[2] = 8
    both = np.insert(events, 4, response, axis=0)
    pair = epochs_from_raws(*recordings, both, event_id={"a": 1, "b": 2})
    assert len(pair[0]) == len(events)
    assert pair[1].selection.tolist() == [k for k in range(len(both)) if k != 4]
    with pytest.raises(ValueError, match=r"Events 3 and 4 \(70.000 and 70.020 s\)"):
        epochs_from_raws(*recordings, both, event_id={"b": 2, "c": 8})


def test_dates_that_differ_ask_for_an_offset(recordings, events, recwarn):
    eeg, fnirs = recordings
    date = datetime(2024, 5, 1, 9, 30, tzinfo=UTC)
    # the first samples are number 400 at 200 Hz and number 30 at 10 Hz
    eeg.set_meas_date(date + timedelta(seconds=5))
    epochs_from_raws(eeg, fnirs, events)
    fnirs.set_meas_date(date)
    epochs_from_raws(eeg, fnirs, events, clock_offset=0)
    assert not recwarn.list
    with pytest.warns(UserWarning, match="09:30:07.*09:30:03.*Pass clock_offset=4 if") as caught:
        pair = epochs_from_raws(eeg, fnirs, events)
    assert caught[0].filename == __file__
    np.testing.assert_allclose(pair[1].get_data()[:, 0, 20], 1e-6 * ONSETS)
    eeg.set_meas_date(date + timedelta(seconds=1))
    recwarn.clear()
    epochs_from_raws(eeg, fnirs, events)
    assert not recwarn.list


@pytest.mark.parametrize("margin", [np.int64(1), np.float32(1), (1, 1), np.array([1, 1])])
def test_margins_of_any_number(recordings, events, margin):
    pair = epochs_from_raws(*recordings, events, margin=margin)
    assert (pair[0].tmin, pair[1].tmax) == (-1.2, 16)


@pytest.mark.parametrize("margin", [(0, 1, 2), (1,), "a", None, np.nan, (0, -1)])
def test_margins_that_are_none(recordings, events, margin):
    with pytest.raises(ValueError, match="margin of at least 0 in seconds, or a pair"):
        epochs_from_raws(*recordings, events, margin=margin)


@pytest.mark.parametrize("which", ["eeg", "fnirs"])
def test_recordings_without_data_are_refused(recordings, events, which):
    raw = recordings[which == "fnirs"]
    raw._data[:, :] = 3e-6
    with pytest.raises(ValueError, match=f"channels of the {which} recording are flat"):
        epochs_from_raws(*recordings, events, clock_offset=0.0)


def test_segments_without_values_are_refused_until_they_are_annotated(recordings, events):
    start = int(ONSETS[2] * EEG_SFREQ)
    recordings[0]._data[1, start : start + 20] = np.nan
    message = "eeg recording has NaN.* in 1 of 13 trials.*event number 2, channel '1'.*annotate_nan"
    with pytest.raises(ValueError, match=message):
        epochs_from_raws(*recordings, events, clock_offset=0.0)
    recordings[0].set_annotations(mne.preprocessing.annotate_nan(recordings[0], verbose="error"))
    eeg, _ = epochs_from_raws(*recordings, events, clock_offset=0.0)
    assert 2 not in eeg.selection and len(eeg) == 12
