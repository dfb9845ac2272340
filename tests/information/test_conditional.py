"""Conditional bounds from trained networks."""

import math
import warnings

import numpy as np
import pytest
import torch

from mmcontrast.information import conditional_mutual_information, mutual_information
from mmcontrast.information._conditional import neighbors

# runs that are cut short on purpose say so
pytestmark = pytest.mark.filterwarnings("ignore:Networks were still improving")

TRUTH, JOINT = 0.5 * math.log(101), 0.5 * math.log(1001)


def strong_condition(n_rows, seed, n_more=0):
    """y is the sum of x, z of variance 9 and noise of variance .01."""
    rng = np.random.default_rng(seed)
    x, z, noise = rng.normal(size=(3, n_rows, 1))
    y = x + 3 * z + 0.1 * noise
    return x, y, np.hstack([3 * z, rng.normal(size=(n_rows, n_more))])


def estimate(x, y, z, **kwargs):
    defaults = {"n_folds": 2, "random_state": 0, "hidden_dims": (64,)}
    return conditional_mutual_information(x, y, z, **(defaults | kwargs))


@pytest.mark.parametrize("seed", range(3))
def test_strong_condition(seed):
    found = estimate(*strong_condition(1200, seed))
    assert TRUTH - 0.25 < found < TRUTH + 2 * found.stderr
    assert found.kind == "lower bound"


def test_negatives_without_regard_to_the_condition_find_too_much():
    x, y, z = strong_condition(800, 0)
    joint = estimate(x, y, z, method="infonce_joint", learning_rate=5e-3)
    assert TRUTH + 0.3 < joint < JOINT + 3 * joint.stderr
    assert (joint.kind, joint.method) == ("estimate", "infonce_joint")
    whole = mutual_information(np.hstack([x, z]), y, method="gaussian")
    assert abs(whole - JOINT) < 3 * whole.stderr


def test_columns_of_the_condition_that_do_nothing_cost_little():
    x, y, z = strong_condition(1200, 0, n_more=20)
    assert TRUTH - 0.4 < estimate(x, y, z) < TRUTH


def test_nce_club_is_above_the_truth():
    rng = np.random.default_rng(0)
    z, x, noise = rng.normal(size=(3, 600, 1))
    y = x + z + noise
    found = estimate(x, y, z, method="nce_club")
    joint = estimate(x, y, z, method="nce_club_joint")
    assert found.kind == joint.kind == "upper bound"
    assert 0.5 * math.log(2) < found < 2
    assert 0.5 * math.log(3) < joint < 4


@pytest.mark.parametrize("negatives", ["residuals", "neighbors"])
def test_nothing_is_left_once_the_common_cause_is_known(negatives):
    rng = np.random.default_rng(0)
    z, a, b = rng.normal(size=(3, 400, 1))
    found = estimate(z + a, np.sin(z) + np.exp(z / 2) * b, z, negatives=negatives)
    assert abs(found) < 3 * found.stderr + 0.05


@pytest.mark.parametrize("negatives", ["residuals", "neighbors"])
def test_the_condition_may_decide_how_x_and_y_depend(negatives):
    rng = np.random.default_rng(0)
    z, x, noise = rng.normal(size=(3, 800, 1))
    y = np.sign(z) * x + 0.5 * noise
    truth = 0.5 * math.log(5)
    found = estimate(x, y, z, negatives=negatives)
    assert abs(mutual_information(x, y, method="gaussian")) < 0.03
    assert 0.6 * truth < found < truth + 3 * found.stderr


def test_neighbors_have_a_ceiling_of_their_own():
    x, y, z = strong_condition(500, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = estimate(x, y, z, negatives="neighbors", n_neighbors=4, max_steps=100)
    assert found.ceiling == pytest.approx(math.log(5))


def test_residuals_that_depend_on_the_condition_are_found():
    rng = np.random.default_rng(0)
    z, x, noise = rng.normal(size=(3, 600, 1))
    # of one sign or of two, and no regression on z can tell
    y = np.where(z > 0, 3.0, np.sign(rng.normal(size=z.shape)) * 3) + 0.1 * noise
    with pytest.warns(UserWarning, match="still shares about .* nats with Z.*'neighbors'"):
        found = estimate(x, y, z, max_steps=300)
    assert found.kind == "estimate"


def test_neighbors_are_not_advised_for_more_than_one_column():
    rng = np.random.default_rng(0)
    z, x = rng.normal(size=(600, 2)), rng.normal(size=(600, 1))
    y = np.where(z[:, :1] > 0, 3.0, np.sign(rng.normal(size=(600, 1))) * 3)
    with pytest.warns(UserWarning, match="still shares .* Transform Y so that") as caught:
        estimate(x, y + 0.1 * rng.normal(size=y.shape), z, max_steps=300)
    assert not any("neighbors" in str(warning.message) for warning in caught)


def test_neighbors_in_two_columns_find_too_much_and_give_no_lower_bound():
    rng = np.random.default_rng(0)
    z, x = rng.normal(size=(1000, 2)), rng.normal(size=(1000, 1))
    y = z.sum(axis=1, keepdims=True) + 0.1 * rng.normal(size=(1000, 1))
    found = estimate(x, y, z, negatives="neighbors", learning_rate=3e-3)
    assert found > 5 * found.stderr  # of a truth of 0
    assert (found.kind, found.method) == ("estimate", "infonce")


def test_neighbors_give_no_upper_bound():
    rng = np.random.default_rng(0)
    z, x, noise = rng.normal(size=(3, 600, 1))
    options = {"method": "nce_club", "negatives": "neighbors", "learning_rate": 3e-3}
    found = estimate(x, x + z + noise, z, **options)
    assert found.converged and (found.kind, found.method) == ("estimate", "nce_club")


class ForwardOnly(torch.nn.Bilinear):
    def __init__(self, x_dim, y_dim):
        super().__init__(x_dim, y_dim, 1)

    def forward(self, x, y):
        return x @ self.weight[0] @ y.T


def test_critics_of_neighbors_score_candidates(monkeypatch):
    x, y, z = strong_condition(200, 0)
    assert estimate(x, y, z, critic=ForwardOnly, max_steps=20).kind == "lower bound"
    # nothing is regressed before
    monkeypatch.setattr("mmcontrast.information._fit.residuals", None)
    state = torch.get_rng_state()
    with pytest.raises(TypeError, match=r"ForwardOnly that has no method pairs; .*pairs\(x, y\)"):
        estimate(x, y, z, critic=ForwardOnly, negatives="neighbors")
    torch.testing.assert_close(torch.get_rng_state(), state)


def test_neighbors_stay_on_their_side_of_the_fold():
    rng = np.random.default_rng(0)
    z, folds = rng.normal(size=(40, 2)), np.arange(40) % 4
    found = neighbors(z, folds, fold=1, k=3)
    for i in range(40):
        same = [j for j in range(40) if (folds[j] == 1) == (folds[i] == 1) and j != i]
        nearest = sorted(same, key=lambda j: np.linalg.norm(z[i] - z[j]))[:3]
        assert set(found[i]) == set(nearest)


def test_same_random_state_same_estimate():
    data = strong_condition(200, 0)
    first, second = (estimate(*data, max_steps=60) for _ in range(2))
    assert first == second and vars(first) == vars(second)
