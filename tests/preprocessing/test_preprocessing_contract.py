"""scikit-learn's own checks, and use in pipelines, searches and per modality."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from mmcontrast import Modalities, make_modality_transformer
from mmcontrast.preprocessing import (
    BandPower,
    EvokedFeatures,
    HaemodynamicFeatures,
    LagAlign,
    ShortChannelRegression,
    TimeFrequency,
)

# the checks feed a handful of columns, read as one channel of so many time steps
WIDE = {"low": (0, 20), "all": (0, 50)}
NAMES = ["S1_D1 hbo", "S1_D1 hbr", "S1_D9 hbo", "S1_D9 hbr"]


@parametrize_with_checks(
    [
        BandPower(100, bands=WIDE),
        BandPower(100, bands=WIDE, method="multitaper", relative=True),
        BandPower(100, bands=WIDE, method="morlet", log=False),
        EvokedFeatures(100, windows={"all": (None, None), "end": (0.01, None, "negative")}),
        HaemodynamicFeatures(100),
        HaemodynamicFeatures(100, baseline=(None, 0)),
        ShortChannelRegression(short=()),
        LagAlign(100, lag=0.0),
        TimeFrequency(100, freqs=[30, 40], n_cycles=1, step=0.01),
        TimeFrequency(100, freqs=[40], n_cycles=1, step=0.02, baseline=(None, 0), log=False),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def of_each_kind():
    return [
        pytest.param(transformer, id=type(transformer).__name__)
        for transformer in (
            BandPower(20, bands={"slow": (0.5, 4), "fast": (4, 10)}, ch_names=NAMES),
            EvokedFeatures(20, windows={"early": (0, 1), "late": (1, 2)}, ch_names=NAMES),
            HaemodynamicFeatures(20, ch_names=NAMES),
            ShortChannelRegression(short=[2, 3], ch_names=NAMES),
            LagAlign(20, lag=1.03, ch_names=NAMES),
            TimeFrequency(20, freqs=[2, 4, 8], step=0.5, baseline=(0, 1), ch_names=NAMES),
        )
    ]


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(size=(30, 4, 80))


@pytest.mark.parametrize("transformer", of_each_kind())
def test_rows_do_not_depend_on_each_other(transformer, X, monkeypatch):
    import mmcontrast.preprocessing._checks as checks

    expected = transformer.fit(X).transform(X)
    assert expected.dtype == np.float32
    np.testing.assert_array_equal(transformer.transform(X[7:8]), expected[7:8])
    monkeypatch.setattr(checks, "_BATCH_BYTES", 1)  # a batch per row
    np.testing.assert_allclose(transformer.transform(X), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("transformer", of_each_kind())
def test_float32_memmap_read_only_and_not_contiguous(transformer, X, tmp_path):
    expected = transformer.fit(X).transform(X)
    np.save(tmp_path / "x.npy", X.astype(np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for same in (mapped, np.asfortranarray(X), np.repeat(X, 2, axis=0)[::2]):
        np.testing.assert_allclose(transformer.transform(same), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("transformer", of_each_kind())
def test_leaves_its_input_alone(transformer, X):
    before = X.copy()
    found = transformer.fit(X).transform(X)
    found[:] = 0
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("transformer", of_each_kind())
def test_names_features_clones_and_pickles(transformer, X):
    found = transformer.fit(X).transform(X)
    names = transformer.get_feature_names_out()
    assert len(names) == len(set(names)) == found.shape[1]
    assert all(name.startswith("S1_D") for name in names)
    again = pickle.loads(pickle.dumps(transformer))
    np.testing.assert_array_equal(again.transform(X), found)
    np.testing.assert_array_equal(clone(transformer).fit_transform(X), found)


def test_channels_can_be_named_late(X):
    found = BandPower(20, bands={"slow": (0.5, 4)}).fit(X)
    assert list(found.get_feature_names_out()) == ["ch0_slow", "ch1_slow", "ch2_slow", "ch3_slow"]
    assert found.get_feature_names_out(NAMES)[0] == "S1_D1 hbo_slow"
    with pytest.raises(ValueError, match="input_features"):
        found.get_feature_names_out(NAMES[:2])


@pytest.mark.parametrize("transformer", of_each_kind())
def test_one_modality_of_several(transformer, X):
    both = Modalities(eeg=X, fnirs=X[:, :, ::2])
    found = make_modality_transformer(eeg=transformer).fit_transform(both)
    np.testing.assert_array_equal(found["eeg"], clone(transformer).fit_transform(X))
    assert found.row_shapes["fnirs"] == (4, 40)


def test_absent_rows_and_a_search_over_bands(X):
    y = np.tile([0, 1], 15)
    X[y == 1, 0] += np.sin(2 * np.pi * 6 * np.arange(80) / 20)
    presence = {"fnirs": np.arange(30) % 5 > 0}
    both = Modalities(eeg=X, fnirs=X[:, :, ::2], presence=presence)
    pipe = make_pipeline(
        make_modality_transformer(
            eeg=make_pipeline(BandPower(20, bands={"x": (5, 7)}), StandardScaler()),
            fnirs=HaemodynamicFeatures(10, ch_names=NAMES),
        ),
        _OnlyEEG(),
        LogisticRegression(),
    )
    bands = "modalitytransformer__eeg__bandpower__bands"
    search = GridSearchCV(pipe, {bands: [{"x": (1, 3)}, {"x": (5, 7)}]}, cv=3).fit(both, y)
    assert search.best_params_ == {bands: {"x": (5, 7)}}
    assert search.best_score_ > 0.9


class _OnlyEEG(StandardScaler):
    def fit(self, X, y=None):
        return super().fit(X["eeg"])

    def transform(self, X):
        return super().transform(X["eeg"])


@pytest.mark.parametrize(
    "transformer",
    [
        ShortChannelRegression(short=[2, 3], ch_names=NAMES),
        LagAlign(20, lag=1.0, ch_names=NAMES),
        TimeFrequency(20, freqs=[2, 4], step=0.5, output="maps"),
    ],
)
def test_epochs_and_maps_stay_arrays_where_tables_are_asked_for(transformer, X):
    pytest.importorskip("pandas")
    expected = clone(transformer).fit_transform(X)
    ours = clone(transformer).set_output(transform="pandas")
    for found in (ours.fit_transform(X), ours.transform(X), clone(ours).fit_transform(X)):
        assert isinstance(found, np.ndarray)
        np.testing.assert_array_equal(found, expected)


def test_tables_at_the_end_of_a_pipeline_with_epochs(X):
    pytest.importorskip("pandas")
    pipe = make_pipeline(
        LagAlign(20, lag=1.0), BandPower(20, bands={"slow": (0.5, 4)}, ch_names=NAMES)
    )
    found = pipe.set_output(transform="pandas").fit_transform(X)
    assert list(found.columns) == [f"{name}_slow" for name in NAMES]
    assert list(pipe.transform(X).columns) == list(found.columns)
