"""Probes against plain scikit-learn and closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.metrics import balanced_accuracy_score, r2_score
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mmcontrast import FactorCL
from mmcontrast.datasets import make_factorized
from mmcontrast.inspection import probe_parts
from mmcontrast.inspection._resampling import permuted_rows
from mmcontrast.inspection._ridge import ALPHAS, RidgeFolds

FAST = {"n_permutations": 0, "n_bootstraps": 10, "random_state": 0}


def plain_ridge(Z, y, folds):
    model = make_pipeline(StandardScaler(), RidgeCV(ALPHAS, alpha_per_target=True))
    return cross_val_predict(model, Z, y, cv=folds)


@pytest.mark.parametrize("shape", [(60, 5), (40, 70)])  # more rows, more columns
def test_ridge_equals_cross_val_predict(shape):
    rng = np.random.default_rng(0)
    Z = 5 + rng.normal(size=shape) * np.exp(rng.normal(size=shape[1]))
    Y = Z[:, :4] @ rng.normal(size=(4, 6)) + rng.normal(size=(shape[0], 6)) * np.logspace(-2, 2, 6)
    folds = list(KFold(4).split(Z))
    found = RidgeFolds(Z, folds).predict(Y[:, :, None], lambda p, _: p, False, 1)[..., 0]
    np.testing.assert_allclose(found, plain_ridge(Z, Y, folds), rtol=1e-7, atol=1e-8)


def test_blocks_of_targets_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    Z, Y = rng.normal(size=(50, 3)), rng.normal(size=(50, 7, 2))
    ridge = RidgeFolds(Z, list(KFold(3).split(Z)))
    whole = ridge.predict(Y, lambda p, _: p, True, 2)
    monkeypatch.setattr("mmcontrast.inspection._ridge._BLOCK", 250)
    np.testing.assert_allclose(ridge.predict(Y, lambda p, _: p, True, 2), whole, atol=1e-12)


def test_scores_equal_scikit_learn():
    rng = np.random.default_rng(1)
    Z, groups = rng.normal(size=(120, 4)), np.repeat(np.arange(12), 10)
    y = Z[:, 0] + rng.normal(size=120)
    label = np.where(Z[:, 1] + rng.normal(size=120) > 0.8, "go", "stop")  # few "go"
    kind = np.digitize(Z[:, 2] + 0.5 * rng.normal(size=120), [-1, 0.5])
    factors = {"y": y, "label": label, "kind": kind}
    scores = probe_parts({"Z": Z}, factors, groups=groups, cv=4, **FAST)
    folds = list(GroupKFold(4).split(Z, groups=groups))
    assert scores["Z", "y"].value == pytest.approx(r2_score(y, plain_ridge(Z, y, folds)))

    assert scores.metrics == {"y": "R2", "label": "balanced accuracy", "kind": "balanced accuracy"}
    for name, classes in (("label", np.array(["go", "stop"])), ("kind", np.arange(3))):
        one_hot = (factors[name][:, None] == classes).astype(float)
        found = np.empty(120, classes.dtype)
        for train, test in folds:
            # one penalty for all indicators, so that they keep adding up to one
            Ztr = StandardScaler().fit(Z[train])
            model = RidgeCV(ALPHAS).fit(Ztr.transform(Z[train]), one_hot[train])
            relative = model.predict(Ztr.transform(Z[test])) / one_hot[train].mean(axis=0)
            found[test] = classes[relative.argmax(axis=1)]
        raw = balanced_accuracy_score(factors[name], found)
        assert scores["Z", name].details["raw"] == pytest.approx(raw)
        chance = 1 / len(classes)
        assert scores["Z", name].value == pytest.approx((raw - chance) / (1 - chance))


@settings(max_examples=10)
@given(st.floats(0.2, 0.95), st.integers(0, 2**16))
def test_a_part_that_is_the_factor_and_noise_has_its_known_r2(r2, seed):
    rng = np.random.default_rng(seed)
    factor, noise = rng.normal(size=(2, 2000))
    Z = np.sqrt(r2) * factor + np.sqrt(1 - r2) * noise
    assert probe_parts({"Z": Z}, {"f": factor}, **FAST).values[0, 0] == pytest.approx(r2, abs=0.06)


def test_columns_of_a_factor_are_averaged():
    rng = np.random.default_rng(0)
    Z, other = rng.normal(size=(2, 500))
    both = probe_parts({"Z": Z}, {"f": np.stack([Z, other], 1)}, **FAST).values[0, 0]
    alone = probe_parts({"Z": Z}, {"a": Z, "b": other}, **FAST).values[0]
    assert both == pytest.approx(alone.mean())


@pytest.mark.parametrize("grouped", [False, True])
def test_p_values_are_uniform_where_there_is_nothing(grouped):
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(6), 10) if grouped else None
    # groups differ in level, in the part and in the factors, which tells nothing of a trial
    level = np.repeat(rng.normal(size=(6, 41)), 10, axis=0) if grouped else np.zeros((60, 41))
    noise = rng.normal(size=(60, 41)) + level
    factors = {f"f{i}": noise[:, i] for i in range(40)}
    factors |= {f"c{i}": rng.integers(0, 2, 60) for i in range(20)}
    Z = rng.normal(size=(60, 3)) + level[:, 40:]
    scores = probe_parts(
        {"Z": Z}, factors, groups=groups, cv=3, n_permutations=39, n_bootstraps=2, random_state=0
    )
    p = np.sort(scores.p_values.ravel())
    assert np.abs(p - np.linspace(0, 1, 60)).max() < 0.25  # Kolmogorov-Smirnov at .001
    assert (p <= 0.05).mean() < 0.17


def test_any_probe_is_refitted_to_permuted_rows():
    rng = np.random.default_rng(0)
    y = rng.normal(size=40)
    factors, given = {"y": y, "c": y > 0}, {"continuous": Ridge(), "classes": GaussianNB()}
    options = {"probe": given, "n_bootstraps": 2, "random_state": 0}
    scores = probe_parts({"Z": y}, factors, n_permutations=19, **options)
    assert np.allclose(scores.p_values, 0.05)
    exchanged = {"y": rng.permutation(y), "c": rng.permutation(y > 0)}
    refit = probe_parts({"Z": y}, exchanged, **options)
    assert np.all(refit.values <= scores.null.max(axis=0) + 0.1)
    assert np.all(refit.values >= scores.null.min(axis=0) - 0.1)


def test_null_is_that_of_refits_to_permuted_rows():
    rng = np.random.default_rng(0)
    Z, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    label = np.repeat([0, 1], 20)
    scores = probe_parts(
        {"Z": Z}, {"y": y, "label": label}, n_permutations=300, n_bootstraps=2, random_state=0
    )
    refits = [
        probe_parts(
            {"Z": Z}, {"y": rng.permutation(y), "label": rng.permutation(label)},
            n_permutations=0, n_bootstraps=1, random_state=0,
        ).values[0]
        for _ in range(60)
    ]  # fmt: skip
    np.testing.assert_allclose(scores.null[:, 0].mean(axis=0), np.mean(refits, axis=0), atol=0.08)
    assert scores.null[:, 0, 0].std() == pytest.approx(np.std(refits, axis=0)[0], rel=0.5)


def test_permutations_within_groups_do_not_call_groups_an_effect():
    """The part tells the subject, and subjects differ in the factor: nothing about trials."""
    rng = np.random.default_rng(0)
    groups = np.tile(np.arange(8), 20)
    level = np.linspace(-3, 3, 8)[groups]
    Z, factor = level + 0.1 * rng.normal(size=160), level + rng.normal(size=160)
    options = {"groups": groups, "n_permutations": 99, "random_state": 0}
    within = probe_parts({"Z": Z}, {"f": factor}, **options)["Z", "f"]
    assert within.value > 0.5
    assert within.p_value > 0.05
    free = probe_parts({"Z": Z}, {"f": factor}, permutation="trials", **options)["Z", "f"]
    assert free.p_value == 0.01


def test_factors_of_groups_exchange_whole_groups():
    rng = np.random.default_rng(0)
    codes = np.array([0, 1, 2, 1, 0, 2, 2])
    for rows in permuted_rows("groups", 7, codes, 20, np.random.RandomState(0)):
        assert all(len(set(codes[rows][codes == g])) == 1 for g in range(3))
        assert len(set(codes[rows])) == 3
    groups = np.repeat(np.arange(10), 8)
    of_group = rng.normal(size=10)[groups]
    scores = probe_parts({"Z": of_group}, {"f": of_group}, groups=groups, random_state=0)
    assert scores["Z", "f"].p_value == pytest.approx(1 / 101)
    # a new signature per trial is no replication: under exchanged groups it is not significant
    Z = rng.normal(size=(10, 40))[groups]
    found = probe_parts({"Z": Z}, {"f": of_group}, groups=groups, random_state=0)
    assert found["Z", "f"].p_value > 0.05


def test_interval_covers_the_truth_and_is_wider_over_groups():
    rng = np.random.default_rng(0)
    factor, noise = rng.normal(size=(2, 1000))
    groups = np.repeat(np.arange(20), 50)
    spread = np.linspace(0.1, 3, 20)[groups]  # parts of some subjects are bad
    found = probe_parts({"Z": factor + noise}, {"f": factor}, random_state=0)["Z", "f"]
    assert found.low < 0.5 < found.high
    assert found.high - found.low == pytest.approx(0.09, abs=0.03)  # 4 (1 - R2) R / sqrt(n)
    options = {"n_permutations": 0, "random_state": 0}
    Z = {"Z": factor + spread * noise}
    trials = probe_parts(Z, {"f": factor}, **options)["Z", "f"]
    over_groups = probe_parts(Z, {"f": factor}, groups=groups, **options)["Z", "f"]
    assert over_groups.high - over_groups.low > 1.5 * (trials.high - trials.low)


def test_scaling_and_probe_are_learned_without_the_held_out_rows():
    """A random label is not read from many columns, as it would be in training rows."""
    rng = np.random.default_rng(0)
    Z, label = rng.normal(size=(60, 200)), rng.integers(0, 2, 60)
    for probe in ("ridge", {"classes": GaussianNB()}):
        scores = probe_parts({"Z": Z}, {"label": label}, probe=probe, **FAST)
        assert abs(scores.values[0, 0]) < 0.4


def test_networks_find_what_is_not_linear():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(1200, 2))
    factors = {"square": Z[:, 0] ** 2, "xor": (Z[:, 0] > 0) != (Z[:, 1] > 0)}
    linear = probe_parts({"Z": Z}, factors, **FAST)
    network = probe_parts({"Z": Z}, factors, probe="mlp", cv=2, n_bootstraps=10, random_state=0)
    assert np.abs(linear.values).max() < 0.15
    assert network.values.min() > 0.6
    assert np.isnan(network.p_values).all()  # refits of networks are only made if asked for


def test_a_classifier_of_yours_is_asked_for_its_predictions():
    """One that balances the classes itself is not balanced twice."""
    rng = np.random.default_rng(0)
    label = rng.random(400) < 0.1
    Z = label + rng.normal(size=400)
    model = LogisticRegression(class_weight="balanced")
    scores = probe_parts({"Z": Z}, {"label": label}, probe={"classes": model}, cv=KFold(4), **FAST)
    found = cross_val_predict(model, Z[:, None], label, cv=KFold(4))
    expected = 2 * balanced_accuracy_score(label, found) - 1
    np.testing.assert_allclose(scores.values[0, 0], expected)


def test_estimators_are_transformed_and_split():
    X, _, latents = make_factorized(300, setting="code", random_state=0)
    model = FactorCL(embed_dim=8, objective="disentangled", max_epochs=1, random_state=0).fit(X)
    scores = probe_parts(model, latents, X=X, **FAST)
    parts = model.split(model.transform(X))
    assert scores.parts == tuple(parts)
    np.testing.assert_allclose(scores.values, probe_parts(parts, latents, **FAST).values)
    assert scores["unique1", "w1"].low > 0.05 > scores["unique2", "w1"].value


def test_results_depend_on_the_seed_alone():
    rng = np.random.default_rng(0)
    parts, factors = {"Z": rng.normal(size=(50, 3))}, {"f": rng.normal(size=50)}
    one, two, other = (probe_parts(parts, factors, random_state=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.null, two.null)
    np.testing.assert_array_equal(one.bootstrap, two.bootstrap)
    assert not np.array_equal(one.null, other.null)


def test_table():
    pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 80))
    scores = probe_parts({"A": a, "B": b}, {"a": a, "c": b > 0}, random_state=0)
    frame = scores.to_frame()
    assert list(frame.columns[:4]) == ["part", "factor", "metric", "score"]
    cell = frame.set_index(["part", "factor"]).loc[("B", "c")]
    assert cell["score"] == scores["B", "c"].value > 0.7
    assert cell["chance"] == 0.5
    assert cell["raw"] == pytest.approx(0.5 + cell["score"] / 2)
    assert (frame["p_corrected"] >= frame["p_value"]).all()


def test_correction_for_many_cells():
    rng = np.random.default_rng(3)
    factors = {f"f{i}": rng.normal(size=50) for i in range(60)}
    scores = probe_parts({"Z": rng.normal(size=(50, 2))}, factors, random_state=0)
    assert scores.p_values.min() <= 0.05
    assert scores.p_corrected.min() > 0.05


good = np.random.default_rng(0).normal(size=(20, 3))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"groups": np.zeros(20)}, ValueError, r"one group 0\.0; at least two"),
        ({"groups": np.arange(19)}, ValueError, r"groups has shape \(19,\); expected \(20,\)"),
        ({"groups": np.arange(20) % 4}, ValueError, "cv=5 folds, but there are 4 groups"),
        ({"factors": {"load": np.ones(20)}}, ValueError, "Factor 'load' is constant"),
        ({"factors": {"load": np.full(20, 0.3)}}, ValueError, "Factor 'load' is constant"),
        ({"factors": {"load": good[:19, 0]}}, ValueError, r"'load' has shape \(19,\).*20 rows"),
        ({"factors": {"load": np.r_[np.nan, good[1:, 0]]}}, ValueError, "missing in 1 of 20 rows"),
        ({"factors": {"s": ["a", None] * 10}}, ValueError, "'s' is missing in 10 of 20"),
        ({"factors": {"s": ["a"] * 19 + ["b"]}}, ValueError, "Class 'b' of factor 's' has one"),
        ({"factors": {}}, ValueError, "factors is empty"),
        ({"factors": good}, TypeError, "factors is a ndarray; expected a dict"),
        ({"kinds": {"laod": "classes"}}, ValueError, "Did you mean 'load'"),
        ({"kinds": {"load": "number"}}, ValueError, "choose 'continuous' or 'classes'"),
        ({"parts": {"U": np.r_[good[:5], good[:5] * np.nan]}}, ValueError, "'U' is NaN"),
        ({"parts": {"U": good, "S": good[:9]}}, ValueError, "different numbers of rows"),
        ({"parts": {"U": good[:, :, None]}}, ValueError, "'U' has shape"),
        ({"parts": {}}, ValueError, "parts is empty"),
        ({"parts": good}, TypeError, "expected a dict of part to array, or a fitted"),
        ({"probe": "svm"}, ValueError, "probe='svm' is unknown"),
        ({"probe": {"classes": None}}, ValueError, "of kind 'continuous', for which probe has no"),
        ({"cv": ShuffleSplit(3, random_state=0)}, ValueError, "each row once"),
        ({"cv": 1}, ValueError, "cv=1 has to be an integer of at least 2"),
        ({"cv": KFold(5), "groups": np.arange(20) % 7}, ValueError, "keeps groups apart"),
        ({"permutation": "within_groups"}, ValueError, "needs groups"),
        ({"permutation": "subjects"}, ValueError, "choose one of 'auto'"),
        ({"n_permutations": -1}, ValueError, "n_permutations=-1"),
        ({"confidence": 95}, ValueError, "between 0 and 1"),
    ],
)
def test_bad_input_is_named(change, error, message):
    arguments = {"parts": {"U": good}, "factors": {"load": good[:, 0] + 1}} | change
    with pytest.raises(error, match=message):
        probe_parts(arguments.pop("parts"), arguments.pop("factors"), **arguments)


def test_an_estimator_needs_rows():
    with pytest.raises(ValueError, match="FactorCL, which needs rows"):
        probe_parts(FactorCL(), {"f": good[:, 0]})


def test_unknown_names_of_the_result():
    scores = probe_parts({"U_eeg": good}, {"load": good[:, 0]}, **FAST)
    with pytest.raises(ValueError, match="Did you mean 'U_eeg'"):
        scores["U_egg", "load"]
    with pytest.raises(ValueError, match="factor='laod' is no factor.*Did you mean 'load'"):
        scores["U_eeg", "laod"]


def test_few_groups_are_warned_of():
    with pytest.warns(UserWarning, match="Intervals over 3 groups are too narrow"):
        probe_parts({"U": good}, {"f": good[:, 0]}, groups=np.arange(20) % 3, cv=3, **FAST)
