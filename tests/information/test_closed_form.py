"""Estimators without training: ksg and gaussian."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import digamma

from mmcontrast.information import conditional_mutual_information, mutual_information

seeds = st.integers(0, 2**16)
methods = pytest.mark.parametrize("method", ["ksg", "gaussian"])


def gaussian_pair(n_rows, dim, mi, seed):
    rng = np.random.default_rng(seed)
    rho = math.sqrt(-math.expm1(-2 * mi / dim))
    x = rng.normal(size=(n_rows, dim))
    return x, rho * x + math.sqrt(1 - rho**2) * rng.normal(size=(n_rows, dim))


def three(n_rows, seed):
    """Both x and y hold z; given z they share half a log of 2."""
    rng = np.random.default_rng(seed)
    z, x, noise = rng.normal(size=(3, n_rows, 1))
    return x + z, x + 2 * z + noise, z


def slow_ksg(x, y, z=None, k=3):
    """Kraskov et al. (2004), equation 8, and Frenzel and Pompe (2007), row by row."""

    def scaled(a):
        return (a - a.mean(0)) / a.std(0)

    def distances(a, i):
        return np.abs(a - a[i]).max(axis=1)

    x, y, n = scaled(x), scaled(y), len(x)
    z = np.zeros((n, 1)) if z is None else scaled(z)
    terms = []
    for i in range(n):
        dx, dy, dz = distances(x, i), distances(y, i), distances(z, i)
        others = np.arange(n) != i
        radius = np.sort(np.maximum(np.maximum(dx, dy), dz)[others])[k - 1]
        n_xz = (np.maximum(dx, dz)[others] < radius).sum()
        n_yz = (np.maximum(dy, dz)[others] < radius).sum()
        n_z = (dz[others] < radius).sum()
        terms.append(digamma(k) + digamma(n_z + 1) - digamma(n_xz + 1) - digamma(n_yz + 1))
    return np.mean(terms)


@pytest.mark.parametrize(("dim", "k"), [(1, 1), (1, 3), (2, 4), (4, 3)])  # a tree, all pairs
def test_ksg_equals_the_formula(dim, k):
    x, y = gaussian_pair(60, dim, 1.0, seed=dim)
    found = mutual_information(x, y, method="ksg", n_neighbors=k)
    assert found == pytest.approx(slow_ksg(x, y, k=k), abs=1e-12)


@pytest.mark.parametrize("n_more", [0, 4])
def test_conditional_ksg_equals_the_formula(n_more):
    x, y, z = three(60, 0)
    z = np.hstack([z, np.random.default_rng(1).normal(size=(60, n_more))])
    found = conditional_mutual_information(x, y, z, method="ksg")
    assert found == pytest.approx(slow_ksg(x, y, z), abs=1e-12)


@methods
@pytest.mark.parametrize(("dim", "mi"), [(1, 0.0), (1, 0.5), (1, 3.0), (2, 1.0)])
def test_finds_the_information_of_gaussians(method, dim, mi):
    found = mutual_information(*gaussian_pair(2000, dim, mi, 0), method=method)
    assert abs(found - mi) < 3 * found.stderr + (0.06 if method == "ksg" else 0)
    assert (found.kind, found.ceiling, found.unit) == ("estimate", None, "nats")


@methods
def test_finds_conditional_information(method):
    x, y, z = three(2000, 0)
    found = conditional_mutual_information(x, y, z, method=method)
    assert abs(found - 0.5 * math.log(2)) < 3 * found.stderr + (0.03 if method == "ksg" else 0)
    assert mutual_information(x, y, method=method) > found + 0.3


@methods
def test_nothing_is_left_once_the_common_cause_is_known(method):
    rng = np.random.default_rng(0)
    z, a, b = rng.normal(size=(3, 1500, 1))
    found = conditional_mutual_information(z + a, z + b, z, method=method)
    assert abs(found) < 3 * found.stderr + 0.02


@pytest.mark.parametrize(("dim", "n_rows"), [(1, 30), (5, 30), (20, 100)])
def test_gaussian_is_unbiased_on_few_rows(dim, n_rows):
    found = [
        mutual_information(*gaussian_pair(n_rows, dim, 1.0, seed), method="gaussian")
        for seed in range(400)
    ]
    assert abs(np.mean(found) - 1) < 4 * np.std(found) / 20


@methods
def test_standard_error_is_the_spread_over_samples(method):
    found = [mutual_information(*gaussian_pair(400, 1, 0.7, s), method=method) for s in range(100)]
    ratio = np.mean([mi.stderr for mi in found]) / np.std(found)
    assert 0.8 < ratio < (1.5 if method == "ksg" else 1.25)


@methods
@given(seed=seeds, dims=st.tuples(st.integers(1, 3), st.integers(1, 3)))
def test_laws(method, seed, dims):
    rng = np.random.default_rng(seed)
    x, y = (rng.normal(size=(40, d)) for d in dims)
    y[:, 0] += x[:, 0]
    found = mutual_information(x, y, method=method)
    order = rng.permutation(40)
    for same in (
        mutual_information(y, x, method=method),
        mutual_information(x[order], y[order], method=method),
        mutual_information(3e5 * x - 1e6, -1e-7 * y, method=method),
        mutual_information(x[:, ::-1], y, method=method),
        mutual_information(x, y, method=method, unit="bits").to("nats"),
    ):
        assert same == pytest.approx(found, abs=1e-4)
        assert same.stderr == pytest.approx(found.stderr, abs=1e-4)


@methods
@given(seed=seeds)
def test_conditional_laws(method, seed):
    x, y, z = three(40, seed)
    found = conditional_mutual_information(x, y, z, method=method)
    swapped = conditional_mutual_information(y, x, z, method=method)
    scaled = conditional_mutual_information(-2 * x, y + 5, 1e3 * z, method=method)
    assert swapped == pytest.approx(found, abs=1e-9) and scaled == pytest.approx(found, abs=1e-9)


@given(seed=seeds)
def test_gaussian_information_is_that_of_any_coordinates(seed):
    rng = np.random.default_rng(seed)
    x, y = gaussian_pair(60, 3, 2.0, seed)
    mixed = x @ rng.normal(size=(3, 3))
    average_referenced = np.hstack([x, x.mean(axis=1, keepdims=True)])
    found = mutual_information(x, y, method="gaussian")
    assert mutual_information(mixed, y, method="gaussian") == pytest.approx(found, abs=1e-6)
    assert mutual_information(average_referenced, y, method="gaussian") == pytest.approx(found)


def test_infinite_information_is_refused():
    x = np.random.default_rng(0).normal(size=(50, 2))
    with pytest.raises(ValueError, match="linear function of the others"):
        mutual_information(x, x[:, :1], method="gaussian")


def test_ksg_refuses_repeated_rows():
    x = np.random.default_rng(0).integers(0, 3, size=(50, 1))
    with pytest.raises(ValueError, match="equal to 3 others; .* continuous"):
        mutual_information(x, x, method="ksg")


def rounded(a):
    return np.round(a, 1)


@pytest.mark.parametrize("name", ["X", "Y", "Z"])
def test_ksg_warns_of_rounded_values(name):
    rows = dict(zip("XYZ", np.random.default_rng(0).normal(size=(3, 500)), strict=True))
    rows[name] = rounded(rows[name])
    estimate = conditional_mutual_information
    if name != "Z":
        estimate = mutual_information
        rows.pop("Z")
    with pytest.warns(UserWarning, match=rf"% of the rows of {name} are equal .*rng.uniform") as w:
        estimate(**rows, method="ksg")
    assert [item.filename for item in w] == [__file__]


def test_noise_as_the_warning_says_removes_the_bias():
    rng = np.random.default_rng(0)
    x, y = rounded(rng.normal(size=2000)), rng.normal(size=2000)
    with pytest.warns(UserWarning, match="can be wrong"):
        biased = mutual_information(x, y, method="ksg")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = mutual_information(x + rng.uniform(-0.05, 0.05, 2000), y, method="ksg")
    assert biased > 5 * biased.stderr and abs(found) < 2 * found.stderr


@pytest.mark.parametrize("n_zeros", [3, 20])  # fewer than neighbours, and few of the rows
def test_ksg_does_not_warn_of_few_repetitions(n_zeros):
    x, y = np.random.default_rng(0).normal(size=(2, 500))
    x[:n_zeros] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mutual_information(x, y, method="ksg")
