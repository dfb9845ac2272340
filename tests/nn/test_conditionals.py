import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from mmcontrast.nn import GaussianConditional

sizes = st.fixed_dictionaries(
    {"x_dim": st.integers(1, 4), "y_dim": st.integers(1, 4), "seed": st.integers(0, 999)}
)


def make(x_dim, y_dim, seed):
    torch.manual_seed(seed)
    q = GaussianConditional(x_dim, y_dim, (8,)).double()
    for parameter in q.network[-1].parameters():  # 0 before training
        torch.nn.init.normal_(parameter)
    return q, torch.randn(6, x_dim).double(), torch.randn(5, y_dim).double()


@given(case=sizes)
def test_scores_are_the_log_density_of_every_pair(case):
    q, x, y = make(**case)
    mean, log_variance = (a.detach().numpy() for a in q(x))
    density = norm.logpdf(y.numpy(), mean[:, None], np.exp(log_variance / 2)[:, None])
    np.testing.assert_allclose(q.scores(x, y).detach(), density.sum(axis=2), rtol=1e-9)
    np.testing.assert_allclose(q.log_prob(x[:5], y).detach(), density[:5].sum(2).diagonal())


def test_starts_linear_with_unit_variance():
    q = GaussianConditional(3, 2)
    x = torch.randn(10, 3)
    mean, log_variance = q(x)
    torch.testing.assert_close(mean, x @ q.linear.weight.T)
    assert not log_variance.any()


def test_learns_mean_and_spread():
    torch.manual_seed(0)
    x = torch.randn(4000, 1)
    y = torch.sin(2 * x) + torch.exp(0.5 * x) * torch.randn(4000, 1)
    q = GaussianConditional(1, 1, (64,))
    optimizer = torch.optim.Adam(q.parameters(), lr=1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        (-q.log_prob(x, y).mean()).backward()
        optimizer.step()
    at = torch.tensor([[-1.0], [0.0], [1.0]])
    mean, log_variance = q(at)
    torch.testing.assert_close(mean, torch.sin(2 * at), atol=0.25, rtol=0)
    torch.testing.assert_close(log_variance, at, atol=0.35, rtol=0)


def test_a_far_row_has_a_finite_likelihood_and_gradient():
    q, x, y = make(2, 2, 0)
    q.log_prob(1e3 * x[:5], 1e3 * y).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in q.parameters())


@pytest.mark.parametrize("bad", [{"x_dim": 0, "y_dim": 1}, {"x_dim": 1, "y_dim": -1}])
def test_sizes_are_positive(bad):
    with pytest.raises(ValueError, match="_dim"):
        GaussianConditional(**bad)
