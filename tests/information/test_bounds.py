"""Bounds from trained networks."""

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from mmcontrast.information import CeilingWarning, mutual_information
from mmcontrast.information._crossfit import Bound, Outcome
from mmcontrast.information._networks import (
    read_club,
    read_conditional,
    read_negatives,
    read_scores,
)
from mmcontrast.information._verdict import judge
from mmcontrast.nn import BilinearCritic

# runs that are cut short on purpose say so
pytestmark = pytest.mark.filterwarnings("ignore:Networks were still improving")

NEURAL = ["infonce", "club", "nce_club"]


def gaussian_pair(n_rows, dim, mi, seed=0):
    rng = np.random.default_rng(seed)
    rho = math.sqrt(-math.expm1(-2 * mi / dim))
    x = rng.normal(size=(n_rows, dim))
    return x, rho * x + math.sqrt(1 - rho**2) * rng.normal(size=(n_rows, dim))


def estimate(x, y, **kwargs):
    defaults = {"n_folds": 2, "random_state": 0, "hidden_dims": (64,), "batch_size": 100}
    return mutual_information(x, y, **(defaults | kwargs))


@pytest.mark.parametrize(("dim", "mi"), [(1, 1.0), (3, 2.0)])
def test_infonce_is_below_the_truth_and_near(dim, mi):
    found = estimate(*gaussian_pair(1500, dim, mi))
    assert mi - 0.35 < found < mi + 3 * found.stderr
    assert (found.kind, found.method, found.converged) == ("lower bound", "infonce", True)
    assert found.ceiling == pytest.approx(math.log(100))


@pytest.mark.parametrize("method", ["club", "nce_club"])
@pytest.mark.parametrize(("dim", "mi"), [(1, 1.0), (5, 2.0)])
def test_club_is_above_the_truth(method, dim, mi):
    found = estimate(*gaussian_pair(1500, dim, mi), method=method)
    assert found.kind == "upper bound"
    assert found.ceiling is None
    assert mi < found < 8 * mi


def test_finds_dependence_that_is_not_linear():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=1500)
    y = x**2 + 0.05 * rng.normal(size=1500)
    truth = mutual_information(x, y, method="ksg")
    found = estimate(x, y)
    assert abs(mutual_information(x, y, method="gaussian")) < 0.05
    assert 0.7 * truth < found < truth + 3 * found.stderr


@pytest.mark.parametrize("settings", [{}, {"hidden_dims": (256,), "batch_size": 256}])
@pytest.mark.parametrize("method", ["club", "nce_club"])
def test_what_a_network_missed_has_no_upper_bound(method, settings):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=1500)
    y = np.sin(40 * x) + 0.05 * rng.normal(size=1500)
    found = estimate(x, y, method=method, **settings)
    assert found < mutual_information(x, y, method="ksg") - 0.3
    assert (found.kind, found.converged) == ("estimate", True)


@pytest.mark.parametrize("method", ["club", "nce_club"])
@pytest.mark.parametrize(
    ("infonce", "kind"),
    [((0.2, 0.09), "upper bound"), ((0.2, 0.11), "estimate"), ((0.04, 0.01), "estimate")],
)
def test_an_upper_bound_is_one_of_a_network_that_found_something(method, infonce, kind):
    value, stderr = infonce
    bounds = {"infonce": Bound(value, stderr, value), method: Bound(0.4, 0.1, 0.4)}
    assert judge(method, Outcome(bounds, batch_size=100, stopped=True)).kind == kind


def test_log_probabilities_are_read_against_other_x():
    # of y given x but for a term of y: the best there is for InfoNCE over x, not over y
    scores = torch.randn(7, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    of_y = torch.linspace(-5, 5, 7, dtype=torch.float64)
    plain, shifted = (read_conditional(s)["infonce"][0] for s in (scores, scores + of_y))
    torch.testing.assert_close(plain, shifted)
    torch.testing.assert_close(plain, torch.diagonal(scores.log_softmax(0)) + math.log(7))


@pytest.mark.parametrize("method", NEURAL)
def test_independent_variables_share_nothing(method):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 800, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = estimate(x, y, method=method)
    assert abs(found) < 3 * found.stderr + 0.03
    assert found.kind == ("lower bound" if method == "infonce" else "estimate")


@pytest.mark.parametrize("critic", ["bilinear", "concat", BilinearCritic])
def test_critics(critic):
    x, y = gaussian_pair(600, 4, 2.0)
    found = estimate(x, y, critic=critic, batch_size=32, hidden_dims=(32,), learning_rate=1e-2)
    assert 0.4 < found < 2 + 3 * found.stderr


def test_nce_club_of_an_overfitted_critic_is_no_bound():
    x, y = gaussian_pair(400, 100, 2.0)
    with pytest.warns(ConvergenceWarning, match="overfitted .* more rows or fewer columns"):
        found = estimate(x, y, method="nce_club")
    assert found < 2  # it would have been wrong
    assert (found.kind, found.converged) == ("estimate", False)


def test_nce_club_of_an_untrained_critic_is_no_bound():
    x, y = gaussian_pair(600, 1, 2.0)
    with pytest.warns(ConvergenceWarning, match="not an upper bound yet. Raise max_steps"):
        found = estimate(x, y, method="nce_club", max_steps=5)
    assert (found.kind, found.converged) == ("estimate", False)
    with pytest.warns(ConvergenceWarning, match="can still rise"):
        assert estimate(x, y, max_steps=5).kind == "lower bound"


def test_ceiling():
    x, y = gaussian_pair(400, 5, 20.0)
    with pytest.warns(CeilingWarning, match="16 candidates; .* Raise batch_size .*'ksg'"):
        found = estimate(x, y, batch_size=16, unit="bits")
    assert found.ceiling == pytest.approx(4)
    assert 3.6 < found <= 4


def test_no_warning_far_from_the_ceiling():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimate(*gaussian_pair(400, 1, 1.0))


def test_batches_fit_into_folds():
    found = estimate(*gaussian_pair(60, 1, 1.0), n_folds=3, learning_rate=1e-2)
    assert found.ceiling == pytest.approx(math.log(6))  # validation rows: .15 of two folds


def test_same_random_state_same_estimate_and_torch_is_left_alone():
    x, y = gaussian_pair(200, 1, 1.0)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, second = (estimate(x, y, max_steps=60) for _ in range(2))
    assert first == second and vars(first) == vars(second)
    assert estimate(x, y, random_state=1, max_steps=60) != first
    torch.testing.assert_close(torch.get_rng_state(), before)


def test_scale_and_layout_do_not_matter():
    x, y = gaussian_pair(200, 1, 1.0)
    found = estimate(x, y, max_steps=200)
    assert estimate(1e6 * x[:, 0] + 3, 1e-5 * y[:, 0], max_steps=200) == pytest.approx(
        found, abs=1e-3
    )


def test_a_memory_map_that_cannot_be_written(tmp_path):
    x, y = gaussian_pair(100, 1, 1.0)
    np.save(tmp_path / "x.npy", x)
    read_only = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert estimate(read_only, y, max_steps=40) == estimate(x, y, max_steps=40)


# ------------------------------------------------------------------- the standard error
@pytest.mark.parametrize(("name", "within"), [("infonce", 0.06), ("nce_club", 0.15)])
def test_influence_of_rows_gives_the_spread_of_bounds_over_samples(name, within):
    rho, n_rows = 0.8, 64

    def bound(seed):
        generator = torch.Generator().manual_seed(seed)
        x, noise = torch.randn(2, n_rows, generator=generator, dtype=torch.float64)
        y = rho * x + math.sqrt(1 - rho**2) * noise
        value, influence = read_scores(2 * torch.outer(x, y) - y**2)[name]
        return value.mean().item(), influence.std().item() / math.sqrt(n_rows)

    values, errors = np.transpose([bound(seed) for seed in range(500)])
    assert abs(errors.mean() / values.std() - 1) < within


def test_readings_are_the_bounds_of_the_losses():
    from mmcontrast import losses

    scores = torch.randn(7, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    read = read_scores(scores)
    torch.testing.assert_close(read["infonce"][0].mean(), losses.info_nce(scores))
    torch.testing.assert_close(read["nce_club"][0].mean(), losses.nce_club(scores))
    torch.testing.assert_close(read_club(scores)[0].mean(), losses.nce_club(scores))
    positive, negative = scores[:, 0], scores[:, 1:]
    read = read_negatives(scores)
    for name, bound in (
        ("infonce", losses.conditional_info_nce),
        ("nce_club", losses.conditional_nce_club),
    ):
        torch.testing.assert_close(read[name][0].mean(), bound(positive, negative))
