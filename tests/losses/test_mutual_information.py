import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmcontrast.losses import conditional_info_nce, conditional_nce_club, info_nce, nce_club

squares = st.builds(
    lambda seed, n, scale: scale * np.random.default_rng(seed).normal(size=(n, n)),
    seed=st.integers(0, 2**16),
    n=st.integers(2, 9),
    scale=st.floats(0.1, 50),
)


def slow_info_nce(scores):
    n = len(scores)
    terms = []
    for i in range(n):
        top = scores[i].max()
        mean = sum(math.exp(scores[i, j] - top) for j in range(n)) / n
        terms.append(scores[i, i] - top - math.log(mean))
    return sum(terms) / n


@given(scores=squares)
def test_info_nce_equals_the_formula_and_its_ceiling(scores):
    found = info_nce(torch.as_tensor(scores)).item()
    assert found == pytest.approx(slow_info_nce(scores), abs=1e-10)
    assert found <= math.log(len(scores)) + 1e-12


@given(scores=squares)
def test_nce_club_equals_the_formula(scores):
    n = len(scores)
    positive = sum(scores[i, i] for i in range(n)) / n
    every = sum(scores[i, j] for i in range(n) for j in range(n)) / n**2
    assert nce_club(torch.as_tensor(scores)).item() == pytest.approx(positive - every, abs=1e-10)


@given(scores=squares, seed=st.integers(0, 99))
def test_invariances(scores, seed):
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(scores))
    scores, shift = torch.as_tensor(scores), torch.as_tensor(rng.normal(size=(len(scores), 1)))
    for bound in (info_nce, nce_club):
        torch.testing.assert_close(bound(scores[order][:, order]), bound(scores))
        # a critic is only known up to a function of x
        torch.testing.assert_close(bound(scores + shift), bound(scores))


@given(scores=squares)
def test_conditional_bounds_with_the_others_as_negatives(scores):
    n = len(scores)
    scores = torch.as_tensor(scores)
    positive = scores.diagonal()
    negative = scores[~torch.eye(n, dtype=torch.bool)].view(n, n - 1)
    torch.testing.assert_close(conditional_info_nce(positive, negative), info_nce(scores))
    # here the positive is not among the negatives
    torch.testing.assert_close(
        conditional_nce_club(positive, negative) * (n - 1) / n, nce_club(scores)
    )


@pytest.mark.parametrize("correlation", [0.3, 0.6, 0.9])
def test_bounds_of_a_gaussian_with_the_optimal_critic(correlation):
    rng, n, n_batches = np.random.default_rng(0), 256, 40
    variance = 1 - correlation**2
    truth = -0.5 * math.log(variance)
    reverse = 0.5 * (2 / variance - 2 + math.log(variance))  # KL of the marginals from the joint
    lower, upper = [], []
    for _ in range(n_batches):
        x = rng.normal(size=(n, 1))
        y = correlation * x + math.sqrt(variance) * rng.normal(size=(n, 1))
        log_ratio = -((y.T - correlation * x) ** 2) / (2 * variance) + y.T**2 / 2
        scores = torch.as_tensor(log_ratio)
        lower.append(info_nce(scores).item())
        upper.append(nce_club(scores).item())
    error = np.std(upper) / math.sqrt(n_batches)
    assert np.mean(lower) == pytest.approx(truth, abs=0.02)
    assert np.mean(upper) == pytest.approx(truth + reverse, abs=4 * error + 0.01)


@pytest.mark.parametrize("bound", [info_nce, nce_club])
@pytest.mark.parametrize("shape", [(3, 4), (1, 1), (3,)])
def test_scores_of_another_shape_are_refused(bound, shape):
    with pytest.raises(ValueError, match=r"scores have to be .* found shape"):
        bound(torch.zeros(shape))


@pytest.mark.parametrize("bound", [conditional_info_nce, conditional_nce_club])
@pytest.mark.parametrize("negative", [(3, 0), (4, 2), (3,)])
def test_negatives_of_another_shape_are_refused(bound, negative):
    with pytest.raises(ValueError, match=r"negative of \(n_rows, n_negatives\)"):
        bound(torch.zeros(3), torch.zeros(negative))
