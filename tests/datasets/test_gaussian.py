"""The stated information is that of the distribution the rows come from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.feature_selection import mutual_info_regression

from mmcontrast.datasets import make_correlated_gaussian


def log_det(*blocks):
    return np.linalg.slogdet(np.atleast_2d(np.cov(np.hstack(blocks).T)))[1]


def information(A, B):
    """Of jointly normal rows, by the determinants of their covariances."""
    return 0.5 * (log_det(A) + log_det(B) - log_det(A, B))


def truths(data):
    return (
        data.mutual_information,
        data.conditional_mutual_information,
        data.joint_mutual_information,
    )


@pytest.mark.parametrize("n_dims", [1, 20, 200])
@pytest.mark.parametrize("value", [2.0, 10.0])
def test_information_sets_the_correlation(n_dims, value):
    data = make_correlated_gaussian(20_000, n_dims, information=value, random_state=0)
    expected = np.sqrt(1 - np.exp(-2 * value / n_dims))
    products = np.mean(data.X * data.Y, axis=0)
    np.testing.assert_allclose(products.mean(), expected, atol=0.02)
    np.testing.assert_allclose(data.Y.var(axis=0).mean(), 1.0, atol=0.02)
    assert truths(data) == pytest.approx((value, value, value))
    assert data.Z is None


@pytest.mark.parametrize("n_dims, n_conditions", [(1, 1), (1, 4), (3, 2), (2, 5)])
def test_all_three_agree_with_the_covariances(n_dims, n_conditions):
    data = make_correlated_gaussian(
        200_000,
        n_dims,
        correlation=-0.8,
        n_conditions=n_conditions,
        condition_std=1.5,
        random_state=1,
    )
    X, Y, Z = data.X, data.Y, data.Z
    joint = information(np.hstack([X, Z]), Y)
    measured = information(X, Y), joint - information(Z, Y), joint
    np.testing.assert_allclose(truths(data), measured, atol=0.02)


@pytest.mark.parametrize("condition", ["normal", "uniform"])
def test_information_agrees_with_nearest_neighbours(condition):
    data = make_correlated_gaussian(
        4000,
        correlation=0.9,
        n_conditions=1,
        condition_std=2.0,
        condition=condition,
        random_state=0,
    )
    measured = mutual_info_regression(data.X, data.Y[:, 0], random_state=0)[0]
    assert data.mutual_information == pytest.approx(measured, abs=0.03)


@pytest.mark.parametrize("condition_std", [12**-0.5, 3.0])
def test_uniform_condition_agrees_with_sampling(condition_std):
    data = make_correlated_gaussian(
        300_000,
        noise_std=0.1,
        n_conditions=1,
        condition_std=condition_std,
        condition="uniform",
        random_state=0,
    )
    rho, half = 1.01**-0.5, 3**0.5 * condition_std
    x, y, z = data.X[:, 0], data.Y[:, 0], data.Z[:, 0]

    def log_uniform_plus(value, std):
        low, high = (norm.cdf((value + side * rho * half) / std) for side in (-1, 1))
        return np.log((high - low) / (2 * rho * half))

    log_y = log_uniform_plus(y, 1.0)
    log_y_x = log_uniform_plus(y - rho * x, 0.1 * rho)
    log_y_xz = norm.logpdf(y, rho * (x + z), 0.1 * rho)
    measured = np.mean(log_y_x - log_y), np.mean(log_y_xz - log_y)
    np.testing.assert_allclose(truths(data)[::2], measured, atol=0.01)


def test_common_test_beds():
    weak = make_correlated_gaussian(
        10, noise_std=0.1, n_conditions=20, condition="uniform", condition_std=12**-0.5
    )
    strong = make_correlated_gaussian(10, noise_std=0.1, n_conditions=1, condition_std=3.0)
    assert truths(weak)[1:] == pytest.approx((2.308, 2.347), abs=1e-3)
    assert truths(strong)[1:] == pytest.approx((2.308, 3.454), abs=1e-3)
    assert truths(strong)[1] == pytest.approx(0.5 * np.log(1 + 1 / 0.01))


@given(
    n_dims=st.integers(1, 5),
    n_conditions=st.integers(0, 6),
    correlation=st.floats(-0.99, 0.99),
    condition_std=st.floats(0, 10),
    condition=st.sampled_from(["normal", "uniform"]),
)
def test_laws(n_dims, n_conditions, correlation, condition_std, condition):
    arguments = dict(
        n_dims=n_dims,
        n_conditions=n_conditions,
        correlation=correlation,
        condition_std=condition_std,
        condition=condition,
    )
    data = make_correlated_gaussian(7, random_state=3, **arguments)
    again = make_correlated_gaussian(7, random_state=3, **arguments)
    assert data.X.shape == data.Y.shape == (7, n_dims)
    np.testing.assert_array_equal(data.Y, again.Y)
    if n_conditions:
        assert data.Z.shape == (7, n_conditions)
    marginal, conditional, joint = truths(data)
    # X and Z are independent, so that knowing Z can only help
    assert -1e-6 <= marginal <= conditional + 1e-6 <= joint + 2e-6


def test_information_is_that_given_the_condition():
    data = make_correlated_gaussian(10, 2, information=2.0, n_conditions=2, random_state=0)
    assert data.conditional_mutual_information == pytest.approx(2.0)
    assert data.mutual_information == pytest.approx(np.log(2 - np.exp(-2)))


def test_three_ways_to_say_the_same():
    by_information = make_correlated_gaussian(5, information=0.5 * np.log(101), random_state=0)
    by_noise = make_correlated_gaussian(5, noise_std=0.1, random_state=0)
    by_correlation = make_correlated_gaussian(5, correlation=1.01**-0.5, random_state=0)
    np.testing.assert_allclose(by_information.Y, by_noise.Y)
    np.testing.assert_allclose(by_correlation.Y, by_noise.Y)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({}, "exactly one of information, correlation and noise_std, got none"),
        ({"correlation": 0.1, "noise_std": 1.0}, "got correlation and noise_std"),
        ({"correlation": 1.0}, "correlation == 1.0, must be < 1"),
        ({"information": -1.0}, "information == -1.0, must be >= 0"),
        ({"noise_std": 0.0}, "noise_std == 0.0, must be > 0"),
        ({"n_samples": 0, "noise_std": 1.0}, "n_samples == 0, must be >= 1"),
        ({"n_conditions": -1, "noise_std": 1.0}, "n_conditions == -1"),
        ({"condition_std": -1.0, "noise_std": 1.0}, "condition_std == -1.0"),
        ({"condition": "unifrom", "noise_std": 1.0}, "Did you mean 'uniform'"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_correlated_gaussian(**arguments)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["information", "correlation", "noise_std", "condition_std"])
def test_numbers_are_finite(name, value):
    others = {"noise_std": 1.0} if name == "condition_std" else {}
    with pytest.raises(ValueError, match=name):
        make_correlated_gaussian(10, n_conditions=1, **others, **{name: value})


def test_wrong_types_are_named():
    with pytest.raises(TypeError, match="n_dims must be an instance of int"):
        make_correlated_gaussian(10, 1.5, noise_std=1.0)
