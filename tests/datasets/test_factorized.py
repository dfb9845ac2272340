"""What each modality holds, what the label reads, and that seeds and settings are kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge

from mmcontrast import Modalities
from mmcontrast.datasets import make_factorized
from mmcontrast.datasets._mixing import PlanarMixing


def r2(features, targets):
    half = len(features) // 2
    probe = Ridge(1e-3, solver="svd").fit(features[:half], targets[:half])
    return probe.score(features[half:], targets[half:])


def accuracy(features, y):
    half = len(features) // 2
    probe = LogisticRegression(C=0.1, max_iter=1000).fit(features[:half], y[:half])
    return probe.score(features[half:], y[half:])


def standard_mean(block):
    return block.mean(axis=1) / block.mean(axis=1).std()


SMALL = dict(n_shared=4, n_unique=3, n_features=12)


@pytest.mark.parametrize("setting, dims", [("code", (10, 6)), ("paper", (50, 50))])
def test_settings(setting, dims):
    X, y, latents = make_factorized(setting=setting, random_state=0)
    assert isinstance(X, Modalities)
    assert X.row_shapes == {"x1": (100,), "x2": (100,)}
    assert set(X.dtypes.values()) == {np.dtype("float32")}
    assert len(X) == len(y) == 30_000
    assert latents["ws"].shape == (30_000, dims[0])
    assert latents["w1"].shape == latents["w2"].shape == (30_000, dims[1])
    variance = {"code": 0.5, "paper": 1.0}[setting]
    assert latents["w2"].var() == pytest.approx(variance, rel=0.02)
    assert y.mean() == pytest.approx(0.5, abs=0.015)


def test_the_code_setting_is_linear_noise_free_and_labelled_by_the_mean():
    X, y, latents = make_factorized(3000, setting="code", random_state=0)
    everything = np.hstack([latents["ws"], latents["w1"], latents["w2"]])
    np.testing.assert_array_equal(y, everything.mean(axis=1) >= 0)
    mixed = np.hstack([latents["ws"], latents["w1"]])
    matrix, *_ = np.linalg.lstsq(mixed, X["x1"], rcond=None)
    np.testing.assert_allclose(mixed @ matrix, X["x1"], atol=1e-5)
    assert matrix.min() > -1e-5 and matrix.max() < 1 + 1e-5
    assert matrix.mean() == pytest.approx(0.5, abs=0.03)
    assert accuracy(np.hstack([X["x1"], X["x2"]]), y) > 0.97


@pytest.mark.parametrize("mixing", ["linear", "planar_flow"])
def test_shared_latents_drive_both_and_unique_latents_one(mixing):
    X, _, latents = make_factorized(4000, mixing=mixing, setting="code", random_state=0)
    least = {"linear": 0.99, "planar_flow": 0.2}[mixing]
    for own, other, unique in (("x1", "x2", "w1"), ("x2", "x1", "w2")):
        assert r2(X[own], latents["ws"]) > least
        assert r2(X[own], latents[unique]) > least
        assert abs(r2(X[other], latents[unique])) < 0.06


@pytest.mark.parametrize("blocks", [(1, 1), (2, 1), (1, 2), (4, 3)])
def test_planar_mixing_can_be_undone(blocks):
    rng = np.random.RandomState(0)
    mixing = PlanarMixing.draw(rng, blocks, 12, 0.7, 8)
    latents = 0.7 * rng.standard_normal((50, sum(blocks)))
    np.testing.assert_allclose(mixing.inverse(mixing(latents)), latents, atol=1e-8)


def test_a_chain_of_planar_flows_equals_the_sum_and_keeps_to_the_condition():
    rng = np.random.RandomState(0)
    mixing = PlanarMixing.draw(rng, (4, 3), 12, 1.0, 8)
    latents = rng.standard_normal((50, 7))
    z = latents.copy()
    for w, b, u in zip(mixing.readings.T, mixing.biases, mixing.pushes, strict=True):
        assert w @ u > -1
        z += np.tanh(z @ w + b)[:, None] * u
    features = (z @ mixing.matrix - mixing.mean) / mixing.scale
    np.testing.assert_allclose(mixing(latents), features, atol=1e-10)
    assert np.linalg.matrix_rank(mixing.matrix) == 7


def test_planar_flow_hides_from_a_linear_probe_what_is_there():
    X, y, latents = make_factorized(
        6000, setting="code", mixing="planar_flow", feature_noise=0.1, random_state=0
    )
    raw = accuracy(np.hstack([X["x1"], X["x2"]]), y)
    assert raw < 0.75
    assert accuracy(np.hstack(list(latents.values())), y) > 0.97
    assert r2(X["x1"], latents["ws"]) < 0.6


@pytest.mark.parametrize("mixing", ["linear", "planar_flow"])
def test_feature_noise_is_relative_to_the_feature(mixing):
    arguments = dict(SMALL, mixing=mixing, mixing_state=0, random_state=0)
    clean, *_ = make_factorized(4000, feature_noise=0.0, **arguments)
    noisy, *_ = make_factorized(4000, feature_noise=0.5, **arguments)
    ratio = (noisy["x1"] - clean["x1"]).std(axis=0) / clean["x1"].std(axis=0)
    np.testing.assert_allclose(ratio, 0.5, atol=0.04)
    if mixing == "planar_flow":
        np.testing.assert_allclose(clean["x1"].std(axis=0), 1.0, atol=0.06)


@pytest.mark.parametrize("label_function", ["linear", "tanh"])
@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_unique_ratio_is_the_share_of_the_variance(ratio, label_function):
    _, y, latents = make_factorized(
        40_000,
        **SMALL,
        unique_ratio=ratio,
        label_function=label_function,
        label_noise=0.0,
        random_state=0,
    )
    means = [standard_mean(latents[name]) for name in ("ws", "w1", "w2")]
    if label_function == "tanh":
        means = [np.tanh(m) / np.tanh(m).std() for m in means]
    score = np.sqrt(1 - ratio) * means[0] + np.sqrt(ratio / 2) * (means[1] + means[2])
    assert np.mean(y == (score >= 0)) > 0.99
    assert y.mean() == pytest.approx(0.5, abs=0.01)


def test_label_dims_choose_the_first_latents():
    arguments = dict(setting="code", unique_ratio="dims", random_state=0)
    _, y, latents = make_factorized(2000, label_dims=(0, 2, 0), **arguments)
    np.testing.assert_array_equal(y, latents["w1"][:, :2].mean(axis=1) >= 0)


def test_label_noise_flips_that_share():
    arguments = dict(SMALL, setting="code", random_state=0)
    _, clean, _ = make_factorized(20_000, label_noise=0.0, **arguments)
    _, noisy, _ = make_factorized(20_000, label_noise=0.2, **arguments)
    assert np.mean(clean != noisy) == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("mixing", ["linear", "planar_flow"])
def test_one_mixing_for_several_draws(mixing):
    arguments = dict(SMALL, mixing=mixing, feature_noise=0.0)
    one = make_factorized(500, mixing_state=0, random_state=1, **arguments)
    same = make_factorized(500, mixing_state=5, random_state=1, **arguments)
    other = make_factorized(500, mixing_state=0, random_state=2, **arguments)
    np.testing.assert_array_equal(one[2]["ws"], same[2]["ws"])
    assert np.abs(one[0]["x1"] - same[0]["x1"]).max() > 0.1
    assert np.abs(one[2]["ws"] - other[2]["ws"]).max() > 0.1
    if mixing == "linear":  # the map learned on one draw holds on the other
        mixed = [np.hstack([draw[2]["ws"], draw[2]["w1"]]) for draw in (one, other)]
        matrix, *_ = np.linalg.lstsq(mixed[0], one[0]["x1"], rcond=None)
        np.testing.assert_allclose(mixed[1] @ matrix, other[0]["x1"], atol=1e-5)


@given(
    n_samples=st.integers(1, 20),
    n_shared=st.integers(1, 5),
    n_unique=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    extra=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    mixing=st.sampled_from(["linear", "planar_flow"]),
    seed=st.integers(0, 1000),
)
def test_shapes_and_seeds(n_samples, n_shared, n_unique, extra, mixing, seed):
    n_features = tuple(n_shared + u + e for u, e in zip(n_unique, extra, strict=True))
    arguments = dict(
        n_shared=n_shared, n_unique=n_unique, n_features=n_features, mixing=mixing, n_flows=3
    )
    X, y, latents = make_factorized(n_samples, random_state=seed, **arguments)
    again = make_factorized(n_samples, random_state=seed, **arguments)
    assert X.row_shapes == {"x1": (n_features[0],), "x2": (n_features[1],)}
    assert set(np.unique(y)) <= {0, 1}
    assert np.isfinite(X["x1"]).all() and np.isfinite(X["x2"]).all()
    assert latents["w2"].shape == (n_samples, n_unique[1])
    np.testing.assert_array_equal(X["x2"], again[0]["x2"])
    np.testing.assert_array_equal(y, again[1])
    np.testing.assert_array_equal(latents["ws"], again[2]["ws"])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"setting": "papre"}, "setting is 'papre', expected .* Did you mean 'paper'"),
        ({"mixing": "affine"}, "mixing is 'affine', expected 'linear' or 'planar_flow'"),
        ({"label_function": "relu"}, "label_function is 'relu', expected 'linear' or 'tanh'"),
        ({"n_samples": 0}, "n_samples == 0, must be >= 1"),
        ({"n_shared": 0}, "n_shared == 0, must be >= 1"),
        ({"n_unique": (1, 2, 3)}, "n_unique is .* expected one number or two"),
        ({"n_features": (100, 99)}, "n_features of 'x2' is 99, expected at least 100"),
        ({"latent_std": 0.0}, "latent_std == 0.0, must be > 0"),
        ({"feature_noise": -1.0}, "feature_noise == -1.0, must be >= 0"),
        ({"label_noise": 0.6}, "label_noise == 0.6, must be <= 0.5"),
        ({"unique_ratio": 1.5}, "unique_ratio == 1.5, must be <= 1"),
        ({"unique_ratio": "dim"}, "unique_ratio is 'dim', expected 'dims' or a number"),
        ({"label_dims": (1, 2)}, "label_dims is .* expected three numbers"),
        ({"label_dims": (51, 1, 1)}, "label_dims of 'ws' == 51, must be <= 50"),
        ({"label_dims": (1, 0, 1)}, "label read 0 latents of 'w1', but unique_ratio=0.5"),
        ({"label_dims": (0, 0, 0), "unique_ratio": "dims"}, "has to read some latents"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_factorized(**arguments)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["latent_std", "feature_noise", "unique_ratio", "label_noise"])
def test_numbers_are_finite(name, value):
    with pytest.raises(ValueError, match=name):
        make_factorized(10, **{name: value})


def test_wrong_types_are_named():
    with pytest.raises(TypeError, match="n_flows must be an instance of int"):
        make_factorized(10, n_flows=1.5)
