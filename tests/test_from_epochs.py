"""Trials of several recordings: aligned by event, whatever was dropped from each."""

import mne
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcontrast.modalities import Modalities

N_TRIALS = 8
CODES = np.array([1, 2, 1, 2, 3, 1, 3, 2])
EVENT_ID = {"rest": 1, "task": 2, "catch": 3}


def recording(sfreq=100.0, n_channels=2, codes=CODES, event_id=None, metadata=None, offset=0.0):
    """Epochs whose values tell their trial."""
    n_trials, n_times = len(codes), int(sfreq // 10)
    events = np.c_[np.arange(n_trials) * int(sfreq), np.zeros(n_trials, int), codes]
    data = np.zeros((n_trials, n_channels, n_times)) + np.arange(n_trials)[:, None, None] + offset
    info = mne.create_info(n_channels, sfreq, "eeg")
    return mne.EpochsArray(
        data, info, events, event_id=event_id, metadata=metadata, verbose="error"
    )


def trials_of(X, name, offset=0.0):
    values = X[name] - offset
    assert (values == values[:, :1, :1]).all()
    return values[:, 0, 0]


def drop(epochs, trials):
    return epochs.drop(list(trials), verbose="error") if len(trials) else epochs


@given(
    dropped=st.lists(
        st.sets(st.integers(0, N_TRIALS - 1), max_size=N_TRIALS - 1), min_size=2, max_size=3
    )
)
def test_trials_meet_whatever_was_dropped(dropped):
    epochs = {
        f"m{k}": drop(recording(sfreq=50.0 * (k + 1), n_channels=k + 1, offset=100.0 * k), gone)
        for k, gone in enumerate(dropped)
    }
    kept = [set(range(N_TRIALS)) - gone for gone in dropped]
    both, any_of_them = sorted(set.intersection(*kept)), sorted(set.union(*kept))
    if both:
        X = Modalities.from_epochs(**epochs)
        assert X.is_complete
        assert X.event_codes.tolist() == CODES[both].tolist()
        for k, name in enumerate(X):
            assert trials_of(X, name, 100.0 * k).tolist() == both
    else:
        with pytest.raises(ValueError, match=r"epochs of \['m0', 'm1'.*no trial in common"):
            Modalities.from_epochs(**epochs)
    X = Modalities.from_epochs(**epochs, missing="absent")
    assert X.event_codes.tolist() == CODES[any_of_them].tolist()
    for k, name in enumerate(X):
        present = X.presence(name)
        assert np.array(any_of_them)[present].tolist() == sorted(kept[k])
        assert (trials_of(X[present], name, 100.0 * k) == sorted(kept[k])).all()
        assert not X[~present][name].any()


def test_different_sampling_rates_keep_their_shapes_and_memory():
    eeg, fnirs = recording(200.0, 4), recording(10.0, 6)
    X = Modalities.from_epochs(eeg=eeg, fnirs=fnirs)
    assert X.row_shapes == {"eeg": (4, 20), "fnirs": (6, 1)}
    assert np.shares_memory(X["eeg"], eeg.get_data(copy=False))
    fewer = Modalities.from_epochs(eeg=eeg, fnirs=drop(fnirs, [2]))
    assert np.shares_memory(fewer[:2]._blocks["eeg"].base, eeg.get_data(copy=False))
    assert X.metadata is None
    assert Modalities(eeg=eeg)["eeg"].shape == (8, 4, 20)


def test_epochs_selected_by_condition_match_too():
    eeg, fnirs = recording(event_id=EVENT_ID), recording(10.0, event_id=EVENT_ID)
    X = Modalities.from_epochs(eeg=eeg["task"], fnirs=fnirs)
    assert trials_of(X, "eeg").tolist() == [1, 3, 7] == trials_of(X, "fnirs").tolist()


def test_reordered_epochs_come_out_in_the_order_of_the_events():
    eeg, fnirs = recording()[[5, 2, 7, 0]], recording(10.0)[[7, 6, 5, 0]]
    X = Modalities.from_epochs(eeg=eeg, fnirs=fnirs)
    assert trials_of(X, "eeg").tolist() == [0, 5, 7] == trials_of(X, "fnirs").tolist()


def raw_with_artifact(sfreq, bad_trial):
    n_times = int(sfreq * 10)
    data = np.random.default_rng(0).normal(scale=1e-6, size=(2, n_times))
    data[:, int(sfreq * (bad_trial + 0.5))] = 1.0
    raw = mne.io.RawArray(data, mne.create_info(2, sfreq, "eeg"), verbose="error")
    samples = (np.arange(N_TRIALS) * sfreq).astype(int)
    events = np.c_[samples, np.zeros(N_TRIALS, int), CODES]
    return raw, events


@pytest.mark.parametrize("preload", [True, False])
def test_epochs_rejected_while_they_are_read(preload):
    recordings = {}
    for name, sfreq, bad in (("eeg", 100.0, 2), ("fnirs", 20.0, 5)):
        raw, events = raw_with_artifact(sfreq, bad)
        recordings[name] = mne.Epochs(
            raw, events, tmin=0, tmax=0.8, reject={"eeg": 1e-3}, baseline=None, preload=preload,
            verbose="error",
        )  # fmt: skip
    X = Modalities.from_epochs(**recordings)
    expected = CODES[[0, 1, 3, 4, 6, 7]]
    assert X.event_codes.tolist() == expected.tolist()
    assert X.row_shapes["eeg"][1] > X.row_shapes["fnirs"][1]
    assert np.abs(X["eeg"]).max() < 1e-3
    union = Modalities.from_epochs(**recordings, missing="absent")
    assert union.presence("eeg").tolist() == [True, True, False, True, True, True, True, True]
    assert union.presence("fnirs").tolist() == [True, True, True, True, True, False, True, True]


# ----------------------------------------------------------------------- events
def test_events_agree_by_name_or_by_code():
    shifted = {name: code + 10 for name, code in EVENT_ID.items()}
    eeg, fnirs = recording(event_id=EVENT_ID), recording(codes=CODES + 10, event_id=shifted)
    assert Modalities.from_epochs(eeg=eeg, fnirs=fnirs).event_codes.tolist() == CODES.tolist()
    # a trial that the first recording lacks has the code that this recording would give it
    X = Modalities.from_epochs(eeg=drop(eeg, [1]), fnirs=fnirs, missing="absent")
    assert X.event_codes.tolist() == CODES.tolist()


def test_disagreeing_events_name_the_trial():
    wrong = CODES.copy()
    wrong[[3, 5]] = 1, 2
    with pytest.raises(ValueError, match=r"Trial 3 .* is event 2 in 'eeg' but 1 in 'f"):
        Modalities.from_epochs(eeg=recording(), fnirs=recording(codes=wrong))
    swapped = {"rest": 2, "task": 1, "catch": 3}
    message = r"Trial 1 .* is event 2 \(task\) in 'eeg' but 2 \(rest\) in 'fnirs'"
    with pytest.raises(ValueError, match=message):
        Modalities.from_epochs(
            eeg=drop(recording(event_id=EVENT_ID), [0]), fnirs=recording(event_id=swapped)
        )
    with pytest.raises(ValueError, match="Trial 3 "):
        Modalities.from_epochs(eeg=recording(), fnirs=recording(codes=wrong), match="order")


def test_different_events_lists():
    short = recording(codes=CODES[:6])
    with pytest.raises(ValueError, match=r"lengths \(eeg: 8, fnirs: 6\).*match='order'"):
        Modalities.from_epochs(eeg=recording(), fnirs=short)
    with pytest.raises(ValueError, match="equal numbers of trials, found eeg: 8, fnirs: 6"):
        Modalities.from_epochs(eeg=recording(), fnirs=short, match="order")
    X = Modalities.from_epochs(
        eeg=drop(recording(), [6, 7]), fnirs=short, match="order", missing="absent"
    )
    assert len(X) == 6 and X.is_complete


def test_order_takes_the_kth_with_the_kth():
    one, other = drop(recording(), [0]), drop(recording(10.0), [2])  # both: 7 trials
    with pytest.raises(ValueError, match="Trial 0 "):
        Modalities.from_epochs(one=one, other=other, match="order")
    same = drop(recording(10.0), [0])
    X = Modalities.from_epochs(one=one, other=same, match="order")
    assert trials_of(X, "one").tolist() == list(range(1, 8)) == trials_of(X, "other").tolist()


def test_repeated_trials_cannot_be_matched():
    twice = recording()[[0, 0, 1]]
    with pytest.raises(ValueError, match=r"'eeg' repeat a row.*match='order'"):
        Modalities.from_epochs(eeg=twice, fnirs=recording())


def test_wrong_arguments():
    with pytest.raises(TypeError, match="'eeg' is of type ndarray"):
        Modalities.from_epochs(eeg=np.zeros((8, 2, 3)), fnirs=recording())
    with pytest.raises(ValueError, match="at least one"):
        Modalities.from_epochs()
    with pytest.raises(ValueError, match="match is one of"):
        Modalities.from_epochs(eeg=recording(), match="time")
    with pytest.raises(ValueError, match="missing is one of"):
        Modalities.from_epochs(eeg=recording(), missing="keep")
    X = Modalities.from_epochs({"left eye": recording(), "match": recording(10.0)})
    assert X.names == ("left eye", "match")


# ------------------------------------------------------------ epochs as they are
def by_constructor(**epochs):
    return Modalities(**epochs)


def by_assign(**epochs):
    return Modalities(table=np.zeros((len(next(iter(epochs.values()))), 1))).assign(**epochs)


other_codes = CODES.copy()
other_codes[3] = 1


@pytest.mark.parametrize("build", [by_constructor, by_assign])
@pytest.mark.parametrize(
    ("eeg", "fnirs", "difference"),
    [
        (recording().drop([0]), recording(10.0).drop([1]), "row 0 is event number 1 of .* and 0 "),
        (recording(), recording(10.0).drop([7]), "row 7 is event number 7 of .* and nothing of"),
        (recording()[[1, 0]], recording(10.0)[[0, 1]], "row 0 is event number 1 .* and 0 "),
        (recording().drop([6, 7]), recording(codes=CODES[:6]), r"\(drop_log\) have 8 and 6 events"),
        (recording(), recording(codes=other_codes), "row 3 is event 2 in .* and 1 in"),
    ],
)
def test_epochs_of_other_trials_are_refused(build, eeg, fnirs, difference):
    message = rf"'eeg' and 'fnirs' do not .*: .*{difference}.*from_epochs\(eeg=\.\.\., fnirs="
    with pytest.raises(ValueError, match=message):
        build(eeg=eeg, fnirs=fnirs)
    arrays = {"eeg": eeg.get_data(copy=False), "table": np.zeros((len(eeg), 1))}
    assert build(**arrays).names  # arrays have no trials to compare


@pytest.mark.parametrize("build", [by_constructor, by_assign])
def test_epochs_of_the_same_trials_are_taken(build):
    shifted = {name: code + 10 for name, code in EVENT_ID.items()}
    eeg = recording(event_id=EVENT_ID)
    fnirs = recording(10.0, codes=CODES + 10, event_id=shifted)
    for rows in (slice(None), [5, 2], [0, 0, 3], "task"):  # drawn with replacement is fine too
        X = build(eeg=eeg[rows], fnirs=fnirs[rows])
        assert trials_of(X, "eeg").tolist() == trials_of(X, "fnirs").tolist()


@pytest.mark.parametrize("build", [by_constructor, by_assign, Modalities.from_epochs])
def test_epochs_of_bad_channels_alone_are_refused(build):
    eeg, fnirs = recording(), recording()
    fnirs.info["bads"] = ["1"]
    build(eeg=eeg, fnirs=fnirs)
    fnirs.info["bads"] = ["0", "1"]
    with pytest.raises(ValueError, match="All 2 channels of modality 'fnirs' are marked as bad"):
        build(eeg=eeg, fnirs=fnirs)


def test_epochs_are_compared_after_they_are_read():
    raws = {"eeg": raw_with_artifact(100.0, 2), "fnirs": raw_with_artifact(20.0, 5)}
    epochs = {
        name: mne.Epochs(
            raw, events, tmin=0, tmax=0.8, reject={"eeg": 1e-3}, baseline=None, verbose="error"
        )
        for name, (raw, events) in raws.items()
    }
    with pytest.raises(ValueError, match="row 2 is event number 3 of the one and 2 of the other"):
        Modalities(**epochs)


# --------------------------------------------------------------------- metadata
def table(**columns):
    return pd.DataFrame({"trial": np.arange(N_TRIALS), **columns})


def test_metadata_of_the_kept_trials_is_merged():
    eeg = recording(metadata=table(rt=np.arange(8) / 10, quality=np.arange(8)))
    fnirs = recording(10.0, metadata=table(quality=-np.arange(8), cap=list("aabbccdd")))
    X = Modalities.from_epochs(eeg=drop(eeg, [1]), fnirs=drop(fnirs, [4]))
    assert X.metadata.columns.tolist() == ["trial", "rt", "eeg_quality", "fnirs_quality", "cap"]
    kept = [0, 2, 3, 5, 6, 7]
    assert X.metadata["trial"].tolist() == kept == X.metadata.index.tolist()
    assert X.metadata["trial"].dtype == np.int64
    assert X.metadata["eeg_quality"].tolist() == kept
    assert X.metadata["fnirs_quality"].tolist() == [-k for k in kept]
    assert "".join(X.metadata["cap"]) == "abbcdd"
    assert X[[4, 0]].metadata["trial"].tolist() == [6, 0]


def test_metadata_of_absent_trials_comes_from_who_has_them():
    eeg = recording(metadata=table(rt=np.arange(8) / 10))
    fnirs = recording(10.0, metadata=table(cap=list("aabbccdd")))
    X = Modalities.from_epochs(eeg=drop(eeg, [1]), fnirs=drop(fnirs, [4]), missing="absent")
    assert X.metadata["trial"].tolist() == list(range(8))
    assert X.metadata["rt"].isna().tolist() == [k == 1 for k in range(8)]
    assert X.metadata["cap"].isna().tolist() == [k == 4 for k in range(8)]


def test_missing_values_in_metadata_agree():
    rt = np.array([0.1, np.nan, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    epochs = {"eeg": recording(metadata=table(rt=rt)), "fnirs": recording(metadata=table(rt=rt))}
    assert Modalities.from_epochs(**epochs).metadata.columns.tolist() == ["trial", "rt"]


def test_metadata_of_one_recording_is_enough():
    X = Modalities.from_epochs(eeg=recording(), fnirs=recording(metadata=table()))
    assert X.metadata["trial"].tolist() == list(range(8))


def at_onsets(seconds, sfreq=100.0, event_id=None, n_times=4):
    seconds = np.asarray(seconds)
    events = np.c_[np.round(seconds * sfreq).astype(int), np.zeros((len(seconds), 2), int)]
    events[:, 2] = 1
    info = mne.create_info(1, sfreq, "eeg")
    data = np.ones((len(events), 1, n_times))
    return mne.EpochsArray(data, info, events, event_id=event_id, verbose="error")


ONSETS = np.cumsum([3.0, 2.1, 4.4, 3.2, 2.6, 5.0])


def test_events_at_other_times_are_not_the_same_trials():
    one = at_onsets(ONSETS)
    other = at_onsets(np.cumsum([3.0, 4.4, 3.2, 2.1, 5.0, 2.6]), 10.0)
    with pytest.raises(ValueError, match="number 0 and 1 are 210 samples.*44 in the other"):
        Modalities(eeg=one, fnirs=other)
    with pytest.raises(ValueError, match=r"'eeg' and 'fnirs' were not cut.*210 samples.*order'"):
        Modalities.from_epochs(eeg=one, fnirs=other)
    assert len(Modalities.from_epochs(eeg=one, fnirs=other, match="order")) == 6


def test_recordings_that_were_put_together_are_taken():
    """MNE places the second after the end of the first, which depends on the epochs' length."""
    both = (
        mne.concatenate_epochs([at_onsets(ONSETS, rate, n_times=100)] * 2, verbose="error")
        for rate in (100.0, 10.0)
    )
    assert len(Modalities(**dict(zip(("eeg", "fnirs"), both, strict=True)))) == 12


@pytest.mark.parametrize(
    "clock", [lambda t: t + 5, lambda t: 1.0001 * t, lambda t: t + 0.05 * (t > 9)]
)
@pytest.mark.parametrize("sfreq", [10.0, 7.8125, 1000.0])
def test_clocks_rates_and_late_triggers_do_not_matter(clock, sfreq):
    one, other = at_onsets(ONSETS), at_onsets(clock(ONSETS), sfreq)
    assert len(Modalities(eeg=one, fnirs=other)) == 6
    assert len(Modalities.from_epochs(eeg=one, fnirs=drop(other, [1]))) == 5


def test_epochs_of_arrays_without_events_are_taken():
    made_up = mne.EpochsArray(np.ones((6, 1, 4)), mne.create_info(1, 10.0, "eeg"), verbose="error")
    assert len(Modalities(eeg=at_onsets(ONSETS), fnirs=made_up)) == 6


def test_names_that_mne_makes_of_codes_are_none():
    named, unnamed = (at_onsets(ONSETS, event_id=names) for names in ({"trial": 1}, None))
    assert len(Modalities(eeg=named, fnirs=unnamed)) == 6
