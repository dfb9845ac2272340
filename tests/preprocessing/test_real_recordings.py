"""From files of real recordings to features of both modalities."""

import mne
import numpy as np
import pytest

from mmcontrast import Modalities, make_modality_transformer
from mmcontrast.preprocessing import (
    BandPower,
    HaemodynamicFeatures,
    ShortChannelRegression,
    epochs_from_raws,
    haemoglobin_from_raw,
)

FILES = ["Simple_Probe.snirf", "neuro_run01.snirf", "pysnirf2_sub-A_task-test_run-1.snirf"]


def read(folder, name):
    return mne.io.read_raw_snirf(folder / "snirf_samples" / name, preload=True, verbose="error")


@pytest.mark.parametrize("name", FILES)
def test_responses_of_a_recording(data_home, name):
    raw = read(data_home, name)
    found = haemoglobin_from_raw(raw, min_coupling=None)
    assert set(found.get_channel_types()) == {"hbo", "hbr"}
    assert len(found.ch_names) == len(raw.ch_names)
    events, event_id = mne.events_from_annotations(found, verbose="error")
    epochs = mne.Epochs(
        found, events, event_id, tmin=-1, tmax=8, preload=True, verbose="error", baseline=None
    )
    features = HaemodynamicFeatures(window=(0, 8), baseline=(None, 0))
    responses = features.fit_transform(epochs)
    names = list(features.get_feature_names_out())
    assert np.isfinite(responses).all()
    assert len(features.pairs_) == len(found.ch_names) // 2
    # concentrations of the brain change by micromolars
    hbo = [k for k, name in enumerate(names) if name.endswith("hbo_peak")]
    assert 1e-9 < np.median(np.abs(responses[:, hbo])) < 1e-4


def test_eeg_and_fnirs_of_two_files(data_home):
    eeg = mne.io.read_raw_edf(
        data_home / "mne_testdata" / "test.edf", preload=True, verbose="error"
    )
    eeg.pick(eeg.ch_names[:8])
    fnirs = haemoglobin_from_raw(read(data_home, FILES[2]), min_coupling=None)
    onsets = np.arange(6) * 0.8 + 0.3
    samples = (onsets * eeg.info["sfreq"]).astype(int) + eeg.first_samp
    events = np.c_[samples, 0 * samples, [1, 2] * 3]
    # the recordings have nothing to do with each other: it is the path that is tested
    eeg_epochs, fnirs_epochs = epochs_from_raws(
        eeg, fnirs, events, eeg_window=(-0.2, 0.5), fnirs_window=(-1, 9), clock_offset=30.0
    )
    X = Modalities(eeg=eeg_epochs, fnirs=fnirs_epochs)
    assert len(X) == 6
    Z = make_modality_transformer(
        eeg=BandPower(eeg.info["sfreq"], bands={"alpha": (8, 12), "beta": (12, 30)}),
        fnirs=HaemodynamicFeatures(
            fnirs.info["sfreq"], tmin=-1, baseline=(None, 0), ch_names=fnirs_epochs.ch_names
        ),
    ).fit_transform(X)
    assert Z.row_shapes["eeg"] == (16,)
    assert all(np.isfinite(Z[name]).all() for name in Z.names)


def test_short_channels_of_a_recording(data_home):
    found = haemoglobin_from_raw(read(data_home, FILES[2]), min_coupling=None)
    epochs = mne.make_fixed_length_epochs(found, 20, preload=True, verbose="error")
    distances = mne.preprocessing.nirs.source_detector_distances(found.info)
    limit = np.sort(np.unique(distances.round(4)))[0] + 1e-4
    regression = ShortChannelRegression(max_distance=limit, regressors="nearest").fit(epochs)
    assert (distances[regression.short_] <= limit).all()
    assert regression.transform(epochs).shape[1] == (distances > limit).sum()
