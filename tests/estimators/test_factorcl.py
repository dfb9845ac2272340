"""What users rely on in FactorCL."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mmcontrast import FactorCL, Modalities
from mmcontrast.augmentation import (
    Compose,
    DropTimeSteps,
    FeatureMasking,
    GaussianNoise,
    make_augmentation,
)

SHAPES = {"eeg": (3, 16), "fnirs": (8,)}


def make(**params):
    small = {
        "embed_dim": 8,
        "critic_dims": (16,),
        "max_epochs": 3,
        "batch_size": 8,
        "random_state": 0,
    }
    return FactorCL(**small | params)


def make_data(n=40, seed=0):
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=n)
    return Modalities(
        eeg=rng.normal(size=(n, 3, 16)) + latent[:, None, None],
        fnirs=rng.normal(size=(n, 8)) + latent[:, None],
    )


@pytest.fixture
def X():
    return make_data()


@pytest.fixture
def y():
    return np.random.default_rng(1).choice(["left", "rest", "right"], size=40)


def make_latents(n=2000, seed=0):
    """Two modalities of one shared and one unique latent each, mixed by a nonlinear map."""
    rng = np.random.default_rng(seed)
    latents = {name: rng.normal(size=(n, 2)) for name in ("ws", "w1", "w2")}

    def mix(own):
        z = np.hstack([latents["ws"], latents[own]])
        h = np.tanh(z @ rng.normal(size=(4, 40)) + rng.normal(size=40))
        return StandardScaler().fit_transform(h @ rng.normal(size=(40, 20)) / 6)

    return Modalities(x1=mix("w1"), x2=mix("w2")), latents


def r2(Z, w, n_train=1500):
    Z = StandardScaler().fit(Z[:n_train]).transform(Z)
    return Ridge(10).fit(Z[:n_train], w[:n_train]).score(Z[n_train:], w[n_train:])


# ------------------------------------------------------------------ the representation
def test_parts_of_the_embedding(X):
    factorcl = make(head_dim=5).fit(X)
    Z = factorcl.transform(X)
    assert Z.shape == (40, 2 * 10 + 2 * 15)
    assert Z.dtype == np.float32
    parts = factorcl.split(Z)
    assert list(parts) == ["shared1", "shared2", "unique1", "unique2"]
    np.testing.assert_array_equal(np.hstack(list(parts.values())), Z)
    names = factorcl.get_feature_names_out()
    assert len(names) == 50
    assert names[0] == "factorcl_shared1_0"
    assert names[-1] == "factorcl_unique2_14"


def test_other_parts_may_be_chosen_after_the_fit(X, tmp_path):
    factorcl = make().fit(X)
    Z = factorcl.split(factorcl.transform(X))
    factorcl.set_params(parts=("unique2",))
    np.testing.assert_array_equal(factorcl.transform(X), Z["unique2"])
    factorcl.save(tmp_path)
    np.testing.assert_array_equal(FactorCL.load(tmp_path).transform(X), Z["unique2"])
    with pytest.raises(ValueError, match="No part of .'unique2'. is made from modality 'eeg'"):
        factorcl.encode_modality(X, "eeg")


def test_some_parts(X):
    every = make().fit(X)
    some = make(parts=("unique2", "shared1")).fit(X)
    all_parts = every.split(every.transform(X))
    Z = some.transform(X)
    np.testing.assert_array_equal(Z, np.hstack([all_parts["unique2"], all_parts["shared1"]]))
    assert list(some.split(Z)) == ["unique2", "shared1"]
    assert some.get_feature_names_out()[0] == "factorcl_unique2_0"


def test_without_factorisation_it_is_the_encoders_output(X):
    ourcl = make(factorized=False).fit(X)
    parts = ourcl.split(ourcl.transform(X))
    assert {name: z.shape for name, z in parts.items()} == {"eeg": (40, 8), "fnirs": (40, 8)}
    assert ourcl.get_feature_names_out()[-1] == "factorcl_fnirs_7"


def test_each_part_depends_on_its_modality_alone(X):
    factorcl = make().fit(X)
    shuffled = X.assign(fnirs=X["fnirs"][::-1].copy())
    before, after = (factorcl.split(factorcl.transform(rows)) for rows in (X, shuffled))
    for part in ("shared1", "unique1"):
        np.testing.assert_array_equal(before[part], after[part])
    for part in ("shared2", "unique2"):
        np.testing.assert_array_equal(before[part], after[part][::-1])


def test_columns_of_an_absent_modality_are_nan(X):
    factorcl = make().fit(X)
    Z = factorcl.split(factorcl.transform(X))
    alone = factorcl.split(factorcl.transform(X.select("fnirs")))
    assert np.isnan(alone["unique1"]).all()
    np.testing.assert_array_equal(alone["unique2"], Z["unique2"])
    here = np.arange(40) % 3 > 0
    some = Modalities({"eeg": X["eeg"], "fnirs": X["fnirs"]}, presence={"eeg": here})
    parts = factorcl.split(factorcl.transform(some))
    np.testing.assert_array_equal(np.isnan(parts["shared1"]).all(axis=1), ~here)
    np.testing.assert_allclose(parts["shared1"][here], Z["shared1"][here], rtol=1e-5, atol=1e-6)
    assert factorcl.encode_modality(X, "eeg").shape == (40, 2 * 8 + 3 * 8)
    assert np.isfinite(make().fit(some).history_["train_loss"]).all()


def test_parts_of_the_disentangled_objective(X, y, tmp_path):
    for supervised in (False, True):
        factorcl = make(objective="disentangled", head_dim=5, supervised=supervised).fit(X, y)
        Z = factorcl.transform(X)
        assert Z.shape == (40, 20)
        assert list(factorcl.split(Z)) == ["shared1", "shared2", "unique1", "unique2"]
        names = ["shared", "modality_eeg", "modality_fnirs", "independence"]
        history = factorcl.history_
        total = sum(np.array(history[name]) for name in names)
        np.testing.assert_allclose(history["train_loss"], total, rtol=1e-4)
        factorcl.save(tmp_path)
        np.testing.assert_array_equal(FactorCL.load(tmp_path).transform(X), Z)
    with pytest.raises(ValueError, match='factorized=False is an ablation of objective="paper"'):
        make(objective="disentangled", factorized=False).fit(X)


# ------------------------------------------------------------------ training
def test_history_has_the_terms(X):
    history = make().fit(X).history_
    names = ["nce_shared", "club_shared", "modality_eeg", "modality_fnirs", "club_unique"]
    terms = [np.array(history[name]) for name in [*names, "nce_unique"]]
    np.testing.assert_allclose(history["train_loss"], sum(terms), atol=1e-4)
    assert len(history["critic_loss"]) == 3
    assert "critic_loss" not in make(n_critic_steps=0).fit(X).history_


def test_critic_steps_train_the_critics(X):
    def weights(n_critic_steps):
        critics = make(n_critic_steps=n_critic_steps).fit(X).net_.module_.critics
        return {k: p.detach().clone() for k, p in critics.named_parameters()}

    without, one, three = weights(0), weights(1), weights(3)
    fixed = [k for k in without if k.startswith("club")]
    assert not any(torch.equal(without[k], one[k]) for k in fixed if "bias" not in k)
    assert not any(torch.equal(three[k], one[k]) for k in fixed if "bias" not in k)


def test_more_pairs_are_another_loss(X):
    one, two = make().fit(X), make(n_conditional_pairs=2).fit(X)
    assert one.history_["train_loss"] != two.history_["train_loss"]


def test_same_random_state_same_result(X, y):
    for params in ({}, {"supervised": True}):
        first, second = (make(**params).fit(X, y).transform(X) for _ in range(2))
        np.testing.assert_array_equal(first, second)


def test_labels_are_ignored_unless_supervised(X, y):
    with_labels, without = make().fit(X, y), make().fit(X)
    np.testing.assert_array_equal(with_labels.transform(X), without.transform(X))


def test_interrupted_fit_goes_on(X, tmp_path):
    from skorch.callbacks import Callback

    class Interrupt(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 3:
                raise RuntimeError("power cut")

    whole = make().fit(X).transform(X)
    with pytest.raises(RuntimeError, match="power cut"):
        make(checkpoint=tmp_path, callbacks=[Interrupt()]).fit(X)
    assert list(tmp_path.iterdir())
    np.testing.assert_array_equal(make(checkpoint=tmp_path).fit(X).transform(X), whole)


def test_checkpoints_of_other_labels_are_not_resumed(X, y, tmp_path):
    from skorch.callbacks import Callback

    class Interrupt(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 3:
                raise RuntimeError("power cut")

    params = {"supervised": True, "checkpoint": tmp_path}
    with pytest.raises(RuntimeError, match="power cut"):
        make(**params, callbacks=[Interrupt()]).fit(X, y)
    resumed = make(**params).fit(X, y[::-1])
    np.testing.assert_array_equal(
        resumed.transform(X), make(supervised=True).fit(X, y[::-1]).transform(X)
    )


# ------------------------------------------------------------------ targets
@pytest.mark.parametrize(
    ("target", "n_classes", "n_inputs"),
    [
        (np.arange(40) % 3, 3, 8 + 3),
        (np.array(["a", "b"] * 20), 2, 8 + 2),
        (np.arange(40) % 2 == 0, 2, 8 + 2),
        (np.linspace(0, 1, 40), None, 8 + 1),
        (np.random.default_rng(0).normal(size=(40, 2)), None, 8 + 2),
    ],
)
def test_targets_of_any_kind(X, target, n_classes, n_inputs):
    factorcl = make(supervised=True).fit(X, target)
    assert factorcl.net_.module_.n_classes == n_classes
    assert factorcl.net_.module_.critics["nce_unique"].weight_x.shape[1] == n_inputs
    assert np.isfinite(factorcl.score(X, target))


def test_whole_numbers_may_be_a_regression(X):
    factorcl = make(supervised=True, target_type="regression").fit(X, np.arange(40))
    assert factorcl.net_.module_.n_classes is None
    rescaled = make(supervised=True, target_type="regression").fit(X, 10 * np.arange(40) + 3)
    np.testing.assert_allclose(factorcl.transform(X), rescaled.transform(X), atol=1e-5)


def test_names_of_classes_do_not_matter(X):
    codes = np.arange(40) % 3
    names = np.array(["x", "y", "z"])[codes]
    first, second = (make(supervised=True).fit(X, y).transform(X) for y in (codes, names))
    np.testing.assert_array_equal(first, second)


def test_held_out_rows_keep_their_labels(X, y):
    params = {"supervised": True, "validation_fraction": 0.3}
    assert len(make(**params).fit(X, y).history_["valid_loss"]) == 3
    held_out = make(supervised=True).fit(X[:30], y[:30], X_val=X[30:], y_val=y[30:])
    assert len(held_out.history_["valid_loss"]) == 3
    with pytest.raises(ValueError, match="X_val needs its targets. Pass y_val"):
        make(supervised=True).fit(X[:30], y[:30], X_val=X[30:])
    with pytest.raises(ValueError, match="y_val was passed without X_val"):
        make(supervised=True).fit(X, y, y_val=y[:3])


# ------------------------------------------------------------------ augmentation
def test_unique_augmentation_spares_the_second_modality():
    rng = np.random.default_rng(0)
    X = Modalities(a=rng.normal(size=(30, 2, 10)), b=rng.normal(size=(30, 2, 10)))
    default = make().fit(X).net_.augment.augmentation
    spared = make(augmentation="unique").fit(X).net_.augment.augmentation
    kinds = [{name: type(entry) for name, entry in a.augmentations} for a in (default, spared)]
    assert kinds == [{"a": Compose, "b": Compose}, {"a": Compose, "b": GaussianNoise}]
    assert any(isinstance(a, DropTimeSteps) for a in dict(spared.augmentations)["a"].augmentations)


def test_an_augmentation_may_see_both_modalities(X):
    seen = []

    def augmentation(values, generator):
        seen.append({name: tuple(x.shape) for name, x in values.items()})
        noise = torch.randn(len(values["fnirs"]), 1, generator=generator)
        return {"eeg": values["eeg"] + noise[..., None], "fnirs": values["fnirs"] - noise}

    factorcl = make(augmentation=augmentation).fit(X)
    assert {"eeg": (8, 3, 16), "fnirs": (8, 8)} in seen
    np.testing.assert_array_equal(
        factorcl.transform(X), make(augmentation=augmentation).fit(X).transform(X)
    )
    with pytest.raises(ValueError, match=r"augmentation_strength=0\.5 cannot scale"):
        make(augmentation=augmentation, augmentation_strength=0.5).fit(X)


def test_augmentations_that_break_a_modality_are_named(X):
    with pytest.raises(
        ValueError, match=r"made \(8, 7\).* of modality 'fnirs'; expected .*\(8, 8\)"
    ):
        make(augmentation=lambda v, g: {**v, "fnirs": v["fnirs"][:, 1:]}).fit(X)
    with pytest.raises(ValueError, match=r"float64, of modality 'fnirs'; .* torch.float32"):
        make(augmentation=lambda v, g: {**v, "fnirs": v["fnirs"].double()}).fit(X)
    with pytest.raises(ValueError, match="a dict of the modalities"):
        make(augmentation=lambda v, g: {"eeg": v["eeg"]}).fit(X)


# ------------------------------------------------------------------ the scikit-learn side
def test_in_a_pipeline_under_a_search(X, y):
    pipe = make_pipeline(make(supervised=True), StandardScaler(), LogisticRegression())
    search = GridSearchCV(pipe, {"factorcl__parts": [("unique1",), ("shared1", "shared2")]}, cv=2)
    assert search.fit(X, y).predict(X).shape == (40,)
    assert len(cross_val_score(pipe, X, y, cv=2)) == 2


def test_plain_arrays_are_halved():
    data = np.random.default_rng(0).normal(size=(30, 7))
    factorcl = make().fit(data)
    assert factorcl.modalities_ == {"x1": (4,), "x2": (3,)}
    grouped = make(modalities={"x1": slice(0, 4), "x2": slice(4, 7)}).fit(data)
    np.testing.assert_array_equal(factorcl.transform(data), grouped.transform(data))


def test_copies_pickles_and_saves(X, y, tmp_path):
    for params in ({}, {"supervised": True, "parts": ("unique1",)}):
        factorcl = make(**params).fit(X, y)
        Z = factorcl.transform(X)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(factorcl)).transform(X), Z)
        factorcl.save(tmp_path / "saved")
        loaded = FactorCL.load(tmp_path / "saved")
        np.testing.assert_array_equal(loaded.transform(X), Z)
        assert loaded.score(X, y) == pytest.approx(factorcl.score(X, y))
        np.testing.assert_array_equal(clone(factorcl).fit(X, y).transform(X), Z)


def test_saved_regressions_know_their_scale(X, tmp_path):
    target = np.linspace(3, 9, 40)
    factorcl = make(supervised=True).fit(X, target)
    factorcl.save(tmp_path)
    assert FactorCL.load(tmp_path).score(X, target) == pytest.approx(factorcl.score(X, target))


def test_partial_fit_goes_on(X, y):
    factorcl = make(supervised=True).partial_fit(X, y).partial_fit(X[:20], y[:20])
    assert factorcl.n_iter_ == 2


# ------------------------------------------------------------------ bad input
def test_labels_are_needed(X):
    with pytest.raises(ValueError, match=r"FactorCL requires y to be passed.*supervised"):
        make(supervised=True).fit(X)


def test_one_class_is_refused(X):
    with pytest.raises(ValueError, match="at least two classes, but y holds one class: all 40"):
        make(supervised=True).fit(X, np.ones(40, dtype=int))
    with pytest.raises(ValueError, match="target 1 of y is constant: all 40 values are 2"):
        make(supervised=True).fit(X, np.c_[np.linspace(0, 1, 40), np.full(40, 2.0)])


def test_constant_numbers_are_refused_whatever_their_rounding(X):
    for value in (0.1, 0.1 * 3, 1e9 + 0.1):
        with pytest.raises(ValueError, match="target 0 of y is constant"):
            make(supervised=True).fit(X, np.full(40, value))


@pytest.mark.parametrize(
    ("target", "what"),
    [
        (np.array([1, "a"] * 20, dtype=object), "number and str values"),
        (np.array(["a", None] * 20, dtype=object), "NoneType and str values"),
        (np.array(["2020-01-01", "2020-01-02"] * 20, dtype="datetime64[D]"), "datetime64"),
        (3, "y is a int"),
        ({1, 2}, "y is a set"),
    ],
)
def test_targets_of_other_types_are_refused(X, target, what):
    with pytest.raises(ValueError, match=what):
        make(supervised=True).fit(X, target)


def test_objects_are_what_they_hold(X):
    for target in (np.arange(40) % 3, np.arange(40) % 2 == 0, np.linspace(0, 1, 40)):
        plain = make(supervised=True).fit(X, target).transform(X)
        boxed = make(supervised=True).fit(X, target.astype(object)).transform(X)
        np.testing.assert_array_equal(plain, boxed)


def test_numbers_taken_for_classes(X):
    with pytest.warns(UserWarning, match=r"40 classes of 40 rows.*target_type='regression'"):
        factorcl = make(supervised=True).fit(X, np.arange(40))
    with pytest.raises(ValueError, match=r"not fitted on: 40, 41.*target_type='regression'"):
        factorcl.score(X, np.arange(2, 42))
    with pytest.raises(ValueError, match="takes classes, but y is continuous"):
        make(supervised=True, target_type="classification").fit(X, np.linspace(0, 1, 40))


def test_rows_without_pairs_are_refused(X):
    here = np.arange(40) < 20
    apart = Modalities(
        {"eeg": X["eeg"], "fnirs": X["fnirs"]}, presence={"eeg": here, "fnirs": ~here}
    )
    with pytest.raises(ValueError, match="two modalities in 0 of 40"):
        make().fit(apart)
    with pytest.raises(ValueError, match="The validation rows of FactorCL have two modalities"):
        make().fit(X, X_val=apart)
    with pytest.raises(ValueError, match="The rows to score of FactorCL have two modalities"):
        make().fit(X).score(apart)


def test_what_was_fitted_counts(X, y):
    ourcl = make(factorized=False).fit(X)
    Z = ourcl.transform(X)
    np.testing.assert_array_equal(ourcl.set_params(factorized=True).transform(X), Z)
    supervised = make(supervised=True).fit(X, y)
    score = supervised.score(X, y)
    assert supervised.set_params(supervised=False).score(X, y) == score
    plain = make().fit(X)
    score = plain.score(X)
    assert plain.set_params(supervised=True).score(X) == score


def test_unknown_classes_are_named(X, y):
    factorcl = make(supervised=True).fit(X, y)
    new = np.where(np.arange(40) < 3, "tongue", y)
    with pytest.raises(ValueError, match=r"not fitted on: 'tongue'\. It knows 'left', 'rest'"):
        factorcl.score(X, new)
    with pytest.raises(ValueError, match="'tongue'"):
        factorcl.partial_fit(X, new)


def test_labels_have_to_fit_the_rows(X, y):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        make(supervised=True).fit(X, y[:-1])
    with pytest.raises(ValueError, match="NaN"):
        make(supervised=True).fit(X, np.r_[np.nan, np.linspace(0, 1, 39)])
    with pytest.raises(ValueError, match="not numeric"):
        make(supervised=True, target_type="regression").fit(X, y)
    regression = make(supervised=True).fit(X, np.linspace(0, 1, 40))
    with pytest.raises(ValueError, match=r"shape \(40, 2\).*1 target"):
        regression.score(X, np.zeros((40, 2)))


@pytest.mark.parametrize("names", [("eeg",), ("eeg", "fnirs", "age")])
def test_other_numbers_of_modalities_are_refused(names):
    X = Modalities({name: np.random.default_rng(0).normal(size=(20, 4)) for name in names})
    match = f"FactorCL takes exactly 2 modalities, but found {len(names)}: 'eeg'"
    with pytest.raises(ValueError, match=match):
        make().fit(X)


def test_batches_larger_than_the_data_are_refused(X):
    with pytest.raises(ValueError, match="batch_size=64 is more than the n_samples=40"):
        make(batch_size=64).fit(X)


def test_misspelt_parts_are_refused(X):
    with pytest.raises(ValueError, match=r"parts holds 'unqiue1'.*Did you mean 'unique1'\?"):
        make(parts=("unqiue1",)).fit(X)
    for parts in ((), ("shared1", "shared1")):
        with pytest.raises(ValueError, match="one or more of 'shared1'.*each once"):
            make(parts=parts).fit(X)
    with pytest.raises(ValueError, match="'parts' parameter of FactorCL must be an array-like"):
        make(parts="shared1").fit(X)


@pytest.mark.parametrize(("parts", "found"), [("unique1", "str"), (None, "NoneType"), (1, "int")])
def test_parts_that_are_no_sequence_are_refused_after_the_fit(X, parts, found):
    factorcl = make(max_epochs=1).fit(X).set_params(parts=parts)
    with pytest.raises(TypeError, match=f"parts={parts!r} is a {found}; expected a sequence of"):
        factorcl.transform(X)


def test_without_factorisation_there_are_no_parts_to_choose(X):
    with pytest.raises(ValueError, match=r"parts=\('shared1',\) needs factorized=True"):
        make(factorized=False, parts=("shared1",)).fit(X)
    every = ["shared1", "shared2", "unique1", "unique2"]
    ourcl = make(factorized=False, parts=every, max_epochs=1).fit(X)
    with pytest.raises(ValueError, match=r"parts=\('shared1',\) needs factorized=True"):
        ourcl.set_params(parts=("shared1",)).transform(X)


def test_what_split_was_not_given_by_transform(X):
    with pytest.raises(ValueError, match=r"Z has shape \(40, 3\)"):
        make().fit(X).split(np.zeros((40, 3)))


# ------------------------------------------------------------------ what it is for
def fit_on_latents(supervised, **params):
    """R² of each part (row) for each latent."""
    X, latents = make_latents()
    y = np.hstack(list(latents.values())) > 0
    labels = y @ (1 << np.arange(y.shape[1])) % 8  # a bit of each
    masks = {name: FeatureMasking(0.2) for name in X.names}
    factorcl = FactorCL(
        supervised=supervised,
        learning_rate=1e-3,
        augmentation=make_augmentation(**masks),
        random_state=0,
        **params,
    ).fit(X[:1500], labels[:1500])
    losses = factorcl.history_["train_loss"]
    assert losses[-1] < losses[0] - 1
    parts = factorcl.split(factorcl.transform(X))
    return {part: {w: r2(z, latents[w]) for w in latents} for part, z in parts.items()}


@pytest.mark.parametrize("supervised", [False, True])
def test_what_the_parts_of_the_paper_hold(supervised):
    small = {"embed_dim": 16, "critic_dims": (32,), "batch_size": 64, "max_epochs": 10}
    found = fit_on_latents(supervised, **small)
    assert found["unique1"]["w2"] < 0.1
    assert found["unique2"]["w1"] < 0.1
    assert found["shared1"]["ws"] > 0.8
    assert found["unique1"]["w1"] > 0.6


@pytest.mark.parametrize("supervised", [False, True])
def test_disentangled_parts_hold_little_of_each_other(supervised):
    sizes = {"embed_dim": 32, "head_dim": 8, "batch_size": 128, "max_epochs": 40}
    found = fit_on_latents(supervised, objective="disentangled", **sizes)
    for part, own in {"shared1": "ws", "shared2": "ws", "unique1": "w1", "unique2": "w2"}.items():
        assert found[part][own] > 0.7, part
        others = [value for latent, value in found[part].items() if latent != own]
        assert max(others) < found[part][own] - 0.4, part
    assert found["unique1"]["ws"] < 0.15
    assert found["unique2"]["ws"] < 0.15
