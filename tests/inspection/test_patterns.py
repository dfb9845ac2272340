import mne
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mmcontrast.inspection import haufe_pattern, linear_readout, plot_part_topography
from mmcontrast.inspection._ridge import ALPHAS


@given(st.integers(0, 2**16), st.integers(1, 3))
def test_recovers_the_mixing_of_a_linear_model(seed, n_sources):
    """x = A s + noise: the weights that recover s are not A, the patterns are."""
    rng = np.random.default_rng(seed)
    mixing, noise_mixing = rng.normal(size=(2, 6, 6))
    sources = rng.normal(size=(4000, n_sources))
    X = sources @ mixing[:, :n_sources].T + 0.1 * rng.normal(size=(4000, 6)) @ noise_mixing.T
    covariance = 0.01 * noise_mixing @ noise_mixing.T
    gain = np.linalg.solve(covariance, mixing[:, :n_sources])
    weights = gain @ np.linalg.inv(mixing[:, :n_sources].T @ gain)  # unbiased, least variance
    np.testing.assert_allclose(haufe_pattern(X, X @ weights), mixing[:, :n_sources].T, atol=0.15)
    if n_sources > 1:  # one has no other source to be taken out
        assert np.abs(weights - mixing[:, :n_sources]).max() > 0.15


def test_equals_the_equation_with_weights():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4))
    weights = rng.normal(size=(4, 2))
    scores = X @ weights
    expected = np.cov(X.T) @ weights @ np.linalg.inv(np.cov(scores.T))
    np.testing.assert_allclose(haufe_pattern(X, scores), expected.T)
    np.testing.assert_allclose(
        haufe_pattern(X, scores[:, 0]), np.cov(X.T) @ weights[:, 0] / scores[:, 0].var(ddof=1)
    )
    epochs = np.stack([X, 2 * X], axis=2)
    np.testing.assert_allclose(haufe_pattern(epochs, scores)[..., 1], 2 * expected.T)


def test_readout_equals_cross_val_predict():
    rng = np.random.default_rng(0)
    Z, groups = rng.normal(size=(60, 3)), np.repeat(np.arange(6), 10)
    y = Z[:, 0] + rng.normal(size=60)
    y = (y - y.mean()) / y.std()
    model = make_pipeline(StandardScaler(), RidgeCV(ALPHAS))
    expected = cross_val_predict(model, Z, y, cv=GroupKFold(3), groups=groups)
    np.testing.assert_allclose(linear_readout(Z, y, groups=groups, cv=3), expected)


@pytest.mark.parametrize(
    ("X", "scores", "message"),
    [
        (np.ones((5, 2)), np.arange(4), r"scores \(4,\); expected"),
        (np.ones((5, 2)), np.ones(5), "rank 0"),
        (np.ones((1000, 2)), np.full(1000, 0.1), "rank 0"),  # their mean is not quite 0.1
        (np.ones((5, 2)), np.arange(5)[:, None] * [1, 2], "The 2 scores have rank 1"),
        (np.full((5, 2), np.nan), np.arange(5), "NaN"),
    ],
)
def test_bad_input_is_named(X, scores, message):
    with pytest.raises(ValueError, match=message):
        haufe_pattern(X, scores)


def test_readout_takes_one_column():
    with pytest.raises(ValueError, match="factor has 3 classes"):
        linear_readout(np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 3)


NAMES = ["Fz", "Cz", "Pz", "Oz", "C3", "C4", "P3", "P4"]


@pytest.fixture
def info():
    return mne.create_info(NAMES, 100.0, "eeg").set_montage("biosemi64")


def test_topography_shows_the_channel_that_drives_a_part(info):
    rng = np.random.default_rng(0)
    alpha, beta = 5 * rng.normal(size=(2, 200, 8))
    Z = np.stack([alpha[:, 3], rng.normal(size=200)], axis=1)
    from mmcontrast.inspection._patterns import topographies

    maps = topographies(Z, {"alpha": alpha, "beta": beta}, alpha[:, 3], None, 5, 0)
    assert maps["alpha"].argmax() == NAMES.index("Oz")
    assert 0.95 < maps["alpha"].max() < 1.05  # in standard deviations
    assert np.abs(maps["beta"]).max() < 0.3
    figure = plot_part_topography(Z, {"alpha": alpha, "beta": beta}, info, factor=alpha[:, 3])
    assert [ax.get_title() for ax in figure.axes[:2]] == ["alpha", "beta"]


def test_topography_draws_where_it_is_told(info):
    import matplotlib.pyplot as plt

    Z = np.random.default_rng(0).normal(size=(40, 8))
    figure, axes = plt.subplots(1, 2)
    assert plot_part_topography(Z, {"a": Z, "b": Z}, info, axes=axes) is figure
    with pytest.raises(ValueError, match="1 maps and 2 axes"):
        plot_part_topography(Z, Z, info, axes=axes)
    with pytest.raises(ValueError, match="signals have 7 channels, but info has 8"):
        plot_part_topography(Z, Z[:, :7], info)
    with pytest.raises(ValueError, match=r"Signal 'a' has shape \(39, 8\)"):
        plot_part_topography(Z, {"a": Z[:39]}, info)
    with pytest.raises(ValueError, match="different numbers of channels"):
        plot_part_topography(Z, {"a": Z, "b": Z[:, :7]}, info)
