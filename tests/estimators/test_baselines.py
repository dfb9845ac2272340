"""What the baselines promise: they train, each keeps what its loss asks for, and all else holds."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mmcontrast import (
    CMC,
    CrossModal,
    CrossSelf,
    CrossSelfFactorized,
    Modalities,
    SupervisedContrastive,
)
from mmcontrast.augmentation import GaussianNoise, make_augmentation

from .conftest import make_data

ALL = (CrossModal, CrossSelf, CrossSelfFactorized, SupervisedContrastive, CMC)
SMALL = {
    "embed_dim": 8,
    "projection_dims": (16, 8),
    "max_epochs": 2,
    "batch_size": 8,
    "random_state": 0,
}
PAIR = ("eeg", "fnirs")

every_baseline = pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)


@pytest.fixture
def X():
    return make_data(names=PAIR)


@pytest.fixture
def y():
    return np.tile(["task", "rest"], 20)


# ------------------------------------------------------------------ they train
def make_latents(n_rows, seed, names="ab", n_shared=2, n_unique=4, n_features=20):
    """Modalities that mix shared and unique latents nonlinearly, and the latents."""
    rng = np.random.default_rng(0)
    mixing = {k: rng.normal(size=(n_shared + n_unique, n_features)) for k in "abc"}
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n_rows, n_shared))
    unique = {k: rng.normal(size=(n_rows, n_unique)) for k in names}
    arrays = {}
    for k in names:
        clean = np.tanh(0.6 * np.hstack([shared, unique[k]]) @ mixing[k])
        arrays[k] = 1.4 * clean + 0.07 * rng.normal(size=clean.shape)
    return Modalities(arrays), shared, unique


class Trained:
    """A fitted baseline, an untrained one of the same weights, and probes of both."""

    def __init__(self, cls, names="ab", label=lambda shared, unique: unique["a"][:, 0] > 0):
        self.train, self.test = make_latents(800, 1, names), make_latents(800, 2, names)
        X, shared, unique = self.train
        params = {
            "embed_dim": 6,
            "projection_dims": (32, 16),
            "batch_size": 100,
            "learning_rate": 5e-3,
            "random_state": 0,
        }
        y = label(shared, unique) if cls is SupervisedContrastive else None
        self.untrained = cls(**params | {"learning_rate": 1e-12, "max_epochs": 1}).fit(X, y)
        self.fitted = cls(**params, max_epochs=20).fit(X, y)

    def probe(self, target, *, estimator=None, part=None, probe=None):
        """Held-out R² or accuracy of a linear model on the embedding, or on one part of it."""
        estimator = estimator or self.fitted
        (train, *known), (test, *asked) = self.train, self.test
        Z = [estimator.transform(X) for X in (train, test)]
        if part is not None:
            Z = [estimator.split(z)[part] for z in Z]
        model = make_pipeline(StandardScaler(), probe or Ridge())
        return model.fit(Z[0], target(*known)).score(Z[1], target(*asked))


_TRAINED = {}


def trained(cls):
    if cls not in _TRAINED:
        _TRAINED[cls] = Trained(cls, names="abc" if cls is CMC else "ab")
    return _TRAINED[cls]


def shared_latent(shared, unique):
    return shared


def unique_latent(shared, unique):
    return unique["a"]


def shared_label(shared, unique):
    return shared[:, 0] > 0


def unique_label(shared, unique):
    return unique["a"][:, 0] > 0


@every_baseline
def test_the_loss_falls_and_the_probe_rises(cls):
    case = trained(cls)
    losses = case.fitted.history_["train_loss"]
    assert np.all(np.isfinite(losses))
    assert losses[-1] < 0.75 * losses[0]
    label = unique_label if cls is SupervisedContrastive else shared_label
    part = next(iter(case.fitted.net_.module_.parts))  # one of the first modality's
    before, after = (
        case.probe(label, estimator=estimator, part=part, probe=LogisticRegression())
        for estimator in (case.untrained, case.fitted)
    )
    assert after > max(before + 0.1, 0.9)  # chance is .5


@every_baseline
def test_the_held_out_loss_falls_as_well(cls):
    case = trained(cls)
    X, *latents = case.test
    y = unique_label(*latents)
    assert case.fitted.score(X, y) > case.untrained.score(X, y) + 1


@pytest.mark.parametrize("cls", [CrossModal, CrossSelf, CMC])
def test_contrast_between_modalities_keeps_what_they_share(cls):
    case = trained(cls)
    before, after = (
        case.probe(shared_latent, estimator=estimator, part="a")
        for estimator in (case.untrained, case.fitted)
    )
    assert before < 0.65 and after > 0.8


def test_contrast_between_modalities_alone_drops_what_is_unique():
    case = trained(CrossModal)
    assert case.probe(unique_latent) < case.probe(unique_latent, estimator=case.untrained)
    assert case.probe(unique_latent) < 0.5


def test_self_terms_keep_more_of_what_is_unique():
    assert trained(CrossSelf).probe(unique_latent) > trained(CrossModal).probe(unique_latent) + 0.1


def test_separate_encoders_keep_what_each_is_trained_for():
    case = trained(CrossSelfFactorized)
    assert case.probe(shared_latent, part="shared1") > 0.8
    assert case.probe(unique_latent, part="shared1") < 0.5
    assert (
        case.probe(unique_latent, part="unique1") > case.probe(unique_latent, part="shared1") + 0.15
    )
    # what the other modality alone has cannot be in a part
    assert case.probe(unique_latent, part="unique2") < 0.05


def test_labels_decide_what_supervised_contrast_keeps():
    case = trained(SupervisedContrastive)
    asked = case.probe(unique_label, probe=LogisticRegression())
    # better than anything trained without the label, at what the label is about
    for cls in (CrossModal, CrossSelf):
        assert asked > trained(cls).probe(unique_label, probe=LogisticRegression()) + 0.05
    # and worse at what it is not about
    assert case.probe(shared_latent) < trained(CrossModal).probe(shared_latent) - 0.1


def test_supervised_contrast_of_one_modality():
    case = Trained(SupervisedContrastive, names="a")
    before, after = (
        case.probe(unique_label, estimator=estimator, probe=LogisticRegression())
        for estimator in (case.untrained, case.fitted)
    )
    assert after > max(before + 0.06, 0.88)
    assert list(case.fitted.split(case.fitted.transform(case.test[0]))) == ["a"]


# ------------------------------------------------------------------ the embedding
PARTS = {
    CrossSelfFactorized: {
        "shared1": "eeg",
        "shared2": "fnirs",
        "unique1": "eeg",
        "unique2": "fnirs",
    }
}


@every_baseline
def test_parts_by_name(cls, X, y):
    estimator = cls(**SMALL).fit(X, y)
    Z = estimator.transform(X)
    parts = PARTS.get(cls, {name: name for name in PAIR})
    assert Z.dtype == np.float32 and Z.shape == (40, 8 * len(parts))
    assert list(estimator.get_feature_names_out()) == [
        f"{cls.__name__.lower()}_{part}_{i}" for part in parts for i in range(8)
    ]
    split = estimator.split(Z)
    assert list(split) == list(parts)
    np.testing.assert_array_equal(np.hstack(list(split.values())), Z)
    for name in PAIR:
        own = np.hstack([split[part] for part, modality in parts.items() if modality == name])
        np.testing.assert_allclose(estimator.encode_modality(X, name), own, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(estimator.encode_modality(X[name], name), own, atol=1e-6)


@every_baseline
def test_columns_of_absent_modalities_are_nan(cls, X, y):
    estimator = cls(**SMALL).fit(X, y)
    Z = estimator.transform(X)
    here = np.arange(40) % 3 > 0
    some = estimator.transform(Modalities(dict(X.items()), presence={"fnirs": here}))
    alone = estimator.transform(X.select("eeg"))
    for part, modality in PARTS.get(cls, {name: name for name in PAIR}).items():
        whole, partial, only = (estimator.split(z)[part] for z in (Z, some, alone))
        gone = ~here if modality == "fnirs" else np.zeros(40, dtype=bool)
        assert np.isnan(partial[gone]).all()
        np.testing.assert_allclose(partial[~gone], whole[~gone], rtol=1e-5, atol=1e-6)
        assert np.isnan(only).all() if modality == "fnirs" else np.allclose(only, whole, atol=1e-6)


@every_baseline
def test_absent_values_do_not_matter_in_training(cls, X, y):
    here = np.arange(40) % 3 > 0
    garbage = X["eeg"].copy()
    garbage[~here] = 1e5
    first, second = (
        cls(**SMALL).fit(Modalities({**dict(X.items()), "eeg": eeg}, presence={"eeg": here}), y)
        for eeg in (X["eeg"], garbage)
    )
    np.testing.assert_array_equal(first.transform(X), second.transform(X))
    assert np.isfinite(first.transform(X)).all()


@every_baseline
def test_a_modality_that_is_nearly_always_absent(cls, X, y):
    """Whole batches lack it, and others have it once."""
    few = Modalities(dict(X.items()), presence={"fnirs": np.isin(np.arange(40), [1, 30])})
    estimator = cls(**SMALL | {"max_epochs": 4}).fit(few, y)
    assert np.isfinite(estimator.transform(X)).all()
    assert np.isfinite(estimator.history_["train_loss"]).all()


def test_cmc_of_two_modalities_is_cross_modal(X):
    cmc, cross = (cls(**SMALL).fit(X) for cls in (CMC, CrossModal))
    np.testing.assert_array_equal(cmc.transform(X), cross.transform(X))
    assert cmc.history_["train_loss"] == cross.history_["train_loss"]


def test_without_their_weight_self_terms_add_nothing(X):
    estimator = CrossSelf(**SMALL, self_weight=0).fit(X)
    assert estimator.history_["self_eeg"] == estimator.history_["self_fnirs"] == [0, 0]
    assert estimator.history_["cross_eeg_fnirs"] == pytest.approx(estimator.history_["train_loss"])


@pytest.mark.parametrize("cls", [CMC, SupervisedContrastive])
def test_three_modalities(cls, y):
    X = make_data()
    estimator = cls(**SMALL).fit(X, y)
    assert list(estimator.split(estimator.transform(X))) == ["eeg", "fnirs", "age"]
    if cls is CMC:
        pairs = ["cross_eeg_fnirs", "cross_eeg_age", "cross_fnirs_age"]
        assert [key for key in estimator.history_ if key.startswith("cross")] == pairs


@every_baseline
def test_a_plain_array_is_halved(cls, y):
    table = np.random.default_rng(0).normal(size=(40, 7))
    columns = {"x1": slice(0, 4), "x2": slice(4, 7)}
    by_hand = cls(**SMALL).fit(Modalities(x1=table[:, :4], x2=table[:, 4:]), y)
    if cls is SupervisedContrastive:  # one modality is enough for it
        assert cls(**SMALL).fit(table, y).modalities_ == {"x": (7,)}
        plain = cls(**SMALL, modalities=columns).fit(table, y)
    else:
        plain = cls(**SMALL).fit(table, y)
    assert plain.modalities_ == {"x1": (4,), "x2": (3,)}
    np.testing.assert_array_equal(
        plain.transform(table),
        by_hand.transform(Modalities(x1=table[:, :4], x2=table[:, 4:])),
    )


@every_baseline
def test_encoders_and_augmentation_of_the_users_own(cls, X, y):
    frozen = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 8)).requires_grad_(False)
    weight = frozen[1].weight.clone()
    augmentation = make_augmentation(eeg=GaussianNoise(sigma=0.3, p=1.0))
    estimator = cls(
        **SMALL, encoders={"eeg": "gru", "fnirs": frozen}, augmentation=augmentation
    ).fit(X, y)
    assert np.isfinite(estimator.transform(X)).all()
    torch.testing.assert_close(frozen[1].weight, weight)
    kept = [p for p in estimator.net_.module_.parameters() if p.shape == weight.shape]
    assert any(torch.equal(p, weight) for p in kept)


# ------------------------------------------------------------------ as scikit-learn has it
@every_baseline
def test_the_same_seed_gives_the_same_embedding(cls, X, y):
    first, second = (cls(**SMALL).fit(X, y).transform(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    other = cls(**SMALL | {"random_state": 1}).fit(X, y).transform(X)
    assert np.abs(first - other).max() > 1e-3


@every_baseline
def test_labels_matter_only_to_a_supervised_method(cls, X, y):
    other = cls(**SMALL).fit(X, y[np.random.default_rng(0).permutation(40)]).transform(X)
    same = np.array_equal(cls(**SMALL).fit(X, y).transform(X), other)
    assert same == (cls is not SupervisedContrastive)


@every_baseline
def test_clone_pickle_and_save(cls, X, y, tmp_path):
    own = {"self_weight": 0.5} if issubclass(cls, (CrossSelf, CrossSelfFactorized)) else {}
    estimator = cls(**SMALL, **own, temperature=0.2).fit(X, y)
    Z, score = estimator.transform(X), estimator.score(X, y)
    estimator.save(tmp_path)
    for copy in (pickle.loads(pickle.dumps(estimator)), cls.load(tmp_path)):
        assert copy.get_params() == estimator.get_params()
        np.testing.assert_array_equal(copy.transform(X), Z)
        assert copy.score(X, y) == score
    assert clone(estimator).get_params() == estimator.get_params()
    np.testing.assert_array_equal(clone(estimator).fit(X, y).transform(X), Z)


@every_baseline
def test_partial_fit_and_warm_start_go_on(cls, X, y):
    estimator = cls(**SMALL)
    for _ in range(3):
        estimator.partial_fit(X, y)
    assert estimator.n_iter_ == 3
    warm = cls(**SMALL, warm_start=True).fit(X, y)
    before = warm.transform(X)
    assert warm.fit(X, y).n_iter_ == 4
    assert np.abs(warm.transform(X) - before).max() > 1e-5


@every_baseline
def test_early_stopping(cls, X, y):
    params = SMALL | {"max_epochs": 50, "learning_rate": 0.05, "patience": 2}
    estimator = cls(**params, validation_fraction=0.3, early_stopping=True).fit(X, y)
    assert estimator.n_iter_ < 50
    assert len(estimator.history_["valid_loss"]) == estimator.n_iter_
    held_out = cls(**SMALL).fit(X[:30], y[:30], X_val=X[30:], y_val=y[30:])
    assert np.isfinite(held_out.history_["valid_loss"]).all()


@every_baseline
def test_set_output(cls, X, y):
    pytest.importorskip("pandas")
    estimator = cls(**SMALL).set_output(transform="pandas")
    frame = estimator.fit(X, y).transform(X)
    assert list(frame.columns) == list(estimator.get_feature_names_out())


@every_baseline
def test_grid_search_in_a_pipeline(cls, X, y):
    small = SMALL | {"max_epochs": 1}
    pipe = make_pipeline(cls(**small), LogisticRegression())
    name = cls.__name__.lower()
    grid = {f"{name}__temperature": [0.1, 0.5], f"{name}__augmentation_strength": [0.5]}
    search = GridSearchCV(pipe, grid, cv=2, error_score="raise").fit(X, y)
    assert search.predict(X).shape == (40,)
    alone = GridSearchCV(cls(**small), {"embed_dim": [4, 8]}, cv=2, error_score="raise").fit(X, y)
    assert np.isfinite(alone.best_score_)  # the negative held-out loss


# ------------------------------------------------------------------ bad input
def refuses(match, error=ValueError):
    return pytest.raises(error, match=match)


@pytest.mark.parametrize("cls", [CrossModal, CrossSelf, CrossSelfFactorized])
def test_exactly_two_modalities(cls, y):
    X = make_data()
    with refuses(f"{cls.__name__} takes exactly 2 modalities, but found 1: 'eeg'"):
        cls(**SMALL).fit(X.select("eeg"))
    with refuses(f"{cls.__name__} takes exactly 2 modalities, but found 3: 'eeg', 'fnirs', 'age'"):
        cls(**SMALL).fit(X)


def test_at_least_two_modalities():
    with refuses("CMC takes at least 2 modalities, but found 1: 'eeg'"):
        CMC(**SMALL).fit(make_data().select("eeg"))


@every_baseline
def test_parameters_out_of_range(cls, X, y):
    for name, value in {"temperature": 0.0, "embed_dim": 0, "projection_dims": ()}.items():
        with refuses(name):
            cls(**SMALL | {name: value}).fit(X, y)
    if "self_weight" in cls().get_params():
        with refuses("'self_weight'.*-1"):
            cls(**SMALL, self_weight=-1).fit(X, y)
    with refuses("'fnris'.*Did you mean 'fnirs'"):
        cls(**SMALL, encoders={"fnris": "mlp"}).fit(X, y)


@every_baseline
def test_a_modality_that_is_lacking(cls, X, y):
    estimator = cls(**SMALL).fit(X, y)
    with refuses("score needs every modality of fit; 'fnirs' is not there"):
        estimator.score(X.select("eeg"), y)
    with refuses("modality 'eeg' has zero variance"):
        cls(**SMALL).fit(X.assign(eeg=np.ones((40, 3, 16))), y)


def test_classes_that_cannot_be_used(X, y):
    supcon = SupervisedContrastive(**SMALL)
    with refuses("SupervisedContrastive requires y to be passed, but the target y is None"):
        supcon.fit(X)
    with refuses("one class: all 40 labels are .*'task'"):
        supcon.fit(X, np.full(40, "task"))
    with refuses("inconsistent numbers of samples"):
        supcon.fit(X, y[:30])
    with refuses("1d array"):
        supcon.fit(X, np.eye(40))
    with refuses("y contains NaN"):
        supcon.fit(X, np.where(np.arange(40) < 3, np.nan, 1.0))


@pytest.mark.parametrize("dtype", [float, object])
def test_continuous_targets(X, dtype):
    target = np.linspace(0, 1, 40).astype(dtype)
    with refuses("takes classes, but y is continuous: it holds 0.025641.*KBinsDiscretizer"):
        SupervisedContrastive(**SMALL).fit(X, target)
    whole = np.round(4 * target.astype(float)).astype(dtype)  # numbers, but a few whole ones
    assert SupervisedContrastive(**SMALL).fit(X, whole).n_iter_ == 2


def test_classes_after_fit(X, y):
    supcon = SupervisedContrastive(**SMALL).fit(X, y)
    with refuses("requires y to be passed"):
        supcon.score(X)
    odd = np.where(np.arange(40) == 7, "sleep", y)
    for method in (supcon.score, supcon.partial_fit):
        with refuses("classes that SupervisedContrastive was not fitted on: 'sleep'"):
            method(X, odd)
    with refuses("y is continuous"):
        supcon.score(X, np.linspace(0, 1, 40))
    assert np.isfinite(supcon.transform(X)).all()  # needs no labels


@pytest.mark.parametrize("kind", [str, object, int, bool, float])
def test_kinds_of_labels(X, kind):
    labels = np.tile([0, 1], 20).astype(kind)
    ints = SupervisedContrastive(**SMALL).fit(X, np.tile([0, 1], 20))
    np.testing.assert_array_equal(
        SupervisedContrastive(**SMALL).fit(X, labels).transform(X), ints.transform(X)
    )
