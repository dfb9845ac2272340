import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmcontrast.losses import nt_xent

views = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**16),
        "n_rows": st.integers(2, 9),
        "dim": st.integers(1, 6),
        "temperature": st.floats(0.05, 2.0),
    }
)


def draw(seed, n_rows, dim, **_):
    rng = np.random.default_rng(seed)
    return torch.as_tensor(rng.normal(size=(2, n_rows, dim)))


def slow_nt_xent(z1, z2, temperature):
    """Chen et al. (2020), equation 1, anchor by anchor."""
    z = [v / math.sqrt(sum(x * x for x in v)) for v in np.concatenate([z1, z2])]
    n, losses = len(z1), []
    for i in range(2 * n):
        partner = (i + n) % (2 * n)
        others = [math.exp(z[i] @ z[k] / temperature) for k in range(2 * n) if k != i]
        losses.append(-math.log(math.exp(z[i] @ z[partner] / temperature) / sum(others)))
    return sum(losses) / (2 * n)


@given(case=views)
def test_equals_the_formula(case):
    z1, z2 = draw(**case)
    expected = slow_nt_xent(z1.numpy(), z2.numpy(), case["temperature"])
    assert nt_xent(z1, z2, case["temperature"]).item() == pytest.approx(expected, rel=1e-10)


@given(case=views, order=st.randoms(use_true_random=False), scale=st.floats(0.1, 10))
def test_symmetric_and_invariant(case, order, scale):
    z1, z2 = draw(**case)
    loss = nt_xent(z1, z2, case["temperature"])
    rows = list(range(case["n_rows"]))
    order.shuffle(rows)
    torch.testing.assert_close(nt_xent(z2, z1, case["temperature"]), loss)
    torch.testing.assert_close(nt_xent(z1[rows], z2[rows], case["temperature"]), loss)
    torch.testing.assert_close(nt_xent(scale * z1, z2, case["temperature"]), loss)


@given(case=views)
def test_lies_above_its_bound(case):
    z1, z2 = draw(**case)
    negatives = 2 * case["n_rows"] - 2
    bound = math.log1p(negatives * math.exp(-2 / case["temperature"]))
    assert nt_xent(z1, z2, case["temperature"]) >= bound - 1e-12


def test_collapsed_embedding_has_the_loss_of_guessing():
    z = torch.ones(8, 3, dtype=torch.float64)
    assert nt_xent(z, z).item() == pytest.approx(math.log(15))


def test_needs_views_that_fit_and_a_negative():
    with pytest.raises(ValueError, match="differ in shape"):
        nt_xent(torch.zeros(3, 2), torch.zeros(4, 2))
    with pytest.raises(ValueError, match="at least two rows"):
        nt_xent(torch.zeros(1, 2), torch.zeros(1, 2))
