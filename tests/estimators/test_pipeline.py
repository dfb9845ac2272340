"""CoMM where users put it: between preprocessing and a classifier, and in searches."""

import mne
import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    StratifiedGroupKFold,
    cross_val_predict,
    cross_val_score,
    learning_curve,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mmcontrast import Modalities, make_modality_transformer
from mmcontrast.augmentation import GaussianNoise, make_augmentation

N = 60


@pytest.fixture
def labelled():
    """Two modalities with a class in both, and subjects."""
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], N // 2)
    eeg = 1e-6 * (rng.normal(size=(N, 4, 32)) + 2 * y[:, None, None])
    fnirs = rng.normal(size=(N, 6)) + 2 * y[:, None]
    return Modalities(eeg=eeg, fnirs=fnirs), y, np.repeat(np.arange(10), 6)


@pytest.fixture
def pipe(make_comm):
    augmentation = make_augmentation(eeg=GaussianNoise(p=1.0), fnirs=GaussianNoise(p=1.0))
    return make_pipeline(
        make_modality_transformer(
            eeg=make_pipeline(mne.decoding.Scaler(scalings="mean")),
            fnirs=make_pipeline(StandardScaler()),
        ),
        make_comm(augmentation=augmentation, max_epochs=4),
        LogisticRegression(),
    )


def test_fit_predict_and_score(pipe, labelled):
    X, y, _ = labelled
    assert pipe.fit(X[:40], y[:40]).score(X[40:], y[40:]) > 0.9
    assert pipe.predict(X).shape == (N,)


def test_grid_search_over_augmentation_with_groups_and_two_processes(pipe, labelled):
    X, y, subject = labelled
    grid = {
        "comm__augmentation_strength": [0.25, 1.0],
        "comm__augmentation__eeg__strength": [0.0, 1.0],
        "modalitytransformer__fnirs__standardscaler__with_mean": [True],
    }
    searches = [
        GridSearchCV(pipe, grid, cv=StratifiedGroupKFold(2), n_jobs=n_jobs).fit(
            X, y, groups=subject
        )
        for n_jobs in (1, 2)
    ]
    results = [search.cv_results_ for search in searches]
    for key in ("split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(results[0][key], results[1][key])
    Z = [search.best_estimator_[:-1].transform(X) for search in searches]
    np.testing.assert_array_equal(*Z)
    assert searches[0].best_score_ > 0.8


def test_a_search_without_labels(make_comm, labelled):
    X, *_ = labelled
    X = X.assign(eeg=X["eeg"] * 1e6)
    search = GridSearchCV(make_comm(), {"learning_rate": [1e-8, 1e-2]}, cv=KFold(2)).fit(X)
    assert search.best_params_ == {"learning_rate": 1e-2}


def test_cross_validation_tools(pipe, labelled):
    X, y, subject = labelled
    cv = StratifiedGroupKFold(2)
    predicted = cross_val_predict(pipe, X, y, groups=subject, cv=cv)
    assert (predicted == y).mean() > 0.8
    sizes, _, test_scores = learning_curve(
        pipe, X, y, groups=subject, cv=cv, train_sizes=[0.5, 1.0], n_jobs=2
    )
    assert test_scores.shape == (len(sizes), 2)
    inner = GridSearchCV(pipe, {"logisticregression__C": [0.1, 1.0]}, cv=2)
    assert cross_val_score(inner, X, y, cv=2).mean() > 0.8


def test_pandas_output_of_the_final_features(pipe, labelled):
    pd = pytest.importorskip("pandas")
    X, y, _ = labelled
    features = pipe[:-1].set_output(transform="pandas").fit_transform(X, y)
    assert isinstance(features, pd.DataFrame)
    assert list(features.columns) == [f"comm{i}" for i in range(8)]
    assert pipe.fit(X, y).predict(X).shape == (N,)


class CountFits(TransformerMixin, BaseEstimator):
    n_fits = 0

    def fit(self, X, y=None):
        type(self).n_fits += 1
        return self

    def transform(self, X):
        return X


def test_pipeline_memory(make_comm, labelled, tmp_path):
    X, y, _ = labelled
    X = X.assign(eeg=X["eeg"] * 1e6)
    pipe = make_pipeline(CountFits(), make_comm(), LogisticRegression(), memory=str(tmp_path))
    first = pipe.fit(X, y).predict_proba(X)
    n_fits = CountFits.n_fits
    second = clone(pipe).fit(X, y).predict_proba(X)
    assert CountFits.n_fits == n_fits
    np.testing.assert_array_equal(first, second)


def test_steps_around_it(make_comm, labelled):
    X, y, _ = labelled
    pipe = make_pipeline(
        FunctionTransformer(lambda X: X.assign(eeg=X["eeg"] * 1e6)),
        make_modality_transformer(fnirs=make_pipeline(StandardScaler(), PCA(3))),
        make_comm(),
        StandardScaler(),
        LogisticRegression(),
    )
    assert pipe.fit(X, y).score(X, y) > 0.9
    assert pipe[-3].modalities_ == {"eeg": (4, 32), "fnirs": (3,)}


def test_groups_reach_the_validation_split(pipe, labelled):
    X, y, subject = labelled
    pipe.set_params(comm__validation_fraction=0.2)
    pipe.fit(X, y, comm__groups=subject)
    assert len(pipe[-2].history_["valid_loss"]) == 4


def test_representation_and_clone(make_comm):
    comm = make_comm(augmentation=make_augmentation(eeg=GaussianNoise()))
    assert "augmentation=ModalityAugmentation" in repr(comm).replace("\n", "").replace(" ", "")
    assert repr(clone(comm)) == repr(comm)
    assert "CoMM" in comm._repr_html_()
