"""The main job on recordings and features from the real world."""

import mne
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mmcontrast import CoMM, Modalities, make_modality_transformer
from mmcontrast.augmentation import FeatureMasking, make_augmentation

SMALL = {"embed_dim": 16, "n_heads": 4, "projection_dims": (32, 16), "random_state": 0}


def epochs_of(raw, onsets, duration):
    events = np.c_[
        (onsets * raw.info["sfreq"]).astype(int),
        0 * onsets.astype(int),
        [1, 2] * (len(onsets) // 2),
    ]
    return mne.Epochs(
        raw, events, tmin=0, tmax=duration, baseline=None, preload=True, verbose="error"
    )


def test_eeg_and_fnirs_recordings(data_home):
    eeg = mne.io.read_raw_edf(
        data_home / "mne_testdata" / "test.edf", preload=True, verbose="error"
    )
    fnirs = mne.io.read_raw_snirf(
        data_home / "snirf_samples" / "pysnirf2_sub-A_task-test_run-1.snirf",
        preload=True,
        verbose="error",
    )
    eeg.pick(eeg.ch_names[:16])
    # fNIRS is slower: the EEG epochs are cut every .2 s, the fNIRS ones from the same trials
    onsets = np.arange(24) * 0.2 + 0.2
    X = Modalities.from_epochs(
        eeg=epochs_of(eeg, onsets, 0.5), fnirs=epochs_of(fnirs, onsets * 20, 5.0)
    )
    assert len(X) == 24 and X.row_shapes["eeg"][0] == 16
    assert X.row_shapes["eeg"][1] != X.row_shapes["fnirs"][1]
    pipe = make_pipeline(
        make_modality_transformer(
            eeg=mne.decoding.Scaler(scalings="mean"), fnirs=mne.decoding.Scaler(scalings="mean")
        ),
        CoMM(**SMALL, max_epochs=3),
        LogisticRegression(),
    )
    assert np.isfinite(pipe.fit(X, X.event_codes).predict_proba(X)).all()


def test_sentiment_of_utterances(data_home):
    folder = data_home / "cmu_mosi_bclstm"
    parts = {}
    for part in ("train", "test"):
        tables = {
            name: np.loadtxt(folder / f"{name}_{part}0.csv", delimiter=",", quotechar='"')
            for name in ("text", "audio", "video")
        }
        y = tables["text"][:, -1].astype(int)
        parts[part] = Modalities({k: t[:, :-1] for k, t in tables.items()}), y
    augmentation = make_augmentation(
        **{name: FeatureMasking(fraction=0.5, p=1.0) for name in ("text", "audio", "video")}
    )
    pipe = make_pipeline(
        make_modality_transformer(
            text=StandardScaler(), audio=StandardScaler(), video=StandardScaler()
        ),
        CoMM(augmentation=augmentation, max_epochs=12, random_state=0),
        LogisticRegression(C=0.1, max_iter=1000),
    )
    majority = max(np.bincount(parts["test"][1])) / len(parts["test"][1])
    accuracy = pipe.fit(*parts["train"]).score(*parts["test"])
    assert accuracy > majority + 0.08
    assert pipe[:-1].transform(parts["test"][0].select("text")).shape == (752, 64)


def test_absent_data_home_skips(monkeypatch, request):
    monkeypatch.delenv("MMCONTRAST_DATA", raising=False)
    with pytest.raises(pytest.skip.Exception, match="MMCONTRAST_DATA"):
        request.getfixturevalue("data_home")
