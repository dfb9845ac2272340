import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mmcontrast.nn import BilinearCritic, ConcatCritic, SeparableCritic, build_critic, critics

sizes = st.fixed_dictionaries(
    {
        "n": st.integers(1, 9),
        "m": st.integers(1, 9),
        "x_dim": st.integers(1, 5),
        "y_dim": st.integers(1, 5),
        "hidden_dims": st.lists(st.integers(1, 7), min_size=1, max_size=3),
        "seed": st.integers(0, 2**16),
    }
)


def draw(n, m, x_dim, y_dim, seed, dtype=torch.float64, **_):
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    x = torch.randn(n, x_dim, generator=generator, dtype=dtype, requires_grad=True)
    y = torch.randn(m, y_dim, generator=generator, dtype=dtype, requires_grad=True)
    return x, y


def plain_scores(critic, x, y):
    """The MLP of every concatenated pair, one pair at a time."""
    weight = torch.cat([critic.weight_x, critic.weight_y], dim=1)
    rows = []
    for x_row in x:
        pairs = torch.stack([torch.cat([x_row, y_row]) for y_row in y])
        hidden = torch.relu(pairs @ weight.T + critic.bias)
        rows.append(critic.rest(hidden)[:, 0])
    return torch.stack(rows)


@given(case=sizes, block=st.sampled_from([1, 20, 2**20]))
def test_split_concat_critic_equals_the_plain_one(case, block):
    x, y = draw(**case)
    critic = ConcatCritic(case["x_dim"], case["y_dim"], case["hidden_dims"]).double()
    weights = [x, y, *critic.parameters()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(critics._BLOCK, "cpu", block)
        found = critic(x, y)
        direction = torch.randn(found.shape, dtype=found.dtype)
        found_grads = torch.autograd.grad((found * direction).sum(), weights)
    expected = plain_scores(critic, x, y)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    expected_grads = torch.autograd.grad((expected * direction).sum(), weights)
    for f, e in zip(found_grads, expected_grads, strict=True):
        torch.testing.assert_close(f, e, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("hidden_dims", [(512,), (128, 128)])
def test_split_concat_critic_in_single_precision(hidden_dims):
    x, y = draw(64, 48, 64, 32, seed=0, dtype=torch.float32)
    critic = ConcatCritic(64, 32, hidden_dims)
    assert (critic(x, y) - plain_scores(critic, x, y)).abs().max() < 1e-6


def test_concat_critic_starts_as_a_whole_layer():
    torch.manual_seed(0)
    critic = ConcatCritic(3, 2, (5,))
    torch.manual_seed(0)
    whole = nn.Sequential(nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 1))
    x, y = draw(4, 4, 3, 2, seed=1, dtype=torch.float32)
    paired = whole(torch.cat([x, y], dim=1))[:, 0]
    torch.testing.assert_close(critic(x, y).diagonal(), paired)


def test_nothing_of_the_size_of_all_pairs_is_kept():
    n, hidden = 50, 40
    x, y = draw(n, n, 8, 8, seed=0)
    critic = ConcatCritic(8, 8, (hidden,)).double()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.append(t.numel()) or t, lambda t: t
    ):
        critic(x, y)
    assert kept
    assert max(kept) <= n * hidden


def make(kind, x_dim, y_dim):
    return build_critic(kind, x_dim, y_dim, hidden_dims=(6,)).double()


@given(case=sizes, kind=st.sampled_from(["separable", "bilinear", "concat"]))
def test_pairs_are_rows_of_all_scores(case, kind):
    x, y = draw(**case)
    critic = make(kind, case["x_dim"], case["y_dim"])
    candidates = y.expand(case["n"], *y.shape)
    torch.testing.assert_close(critic.pairs(x, candidates), critic(x, y))


@given(case=sizes, kind=st.sampled_from(["separable", "bilinear", "concat"]))
def test_scores_follow_their_rows(case, kind):
    x, y = draw(**case)
    critic = make(kind, case["x_dim"], case["y_dim"])
    rows, columns = torch.randperm(case["n"]), torch.randperm(case["m"])
    torch.testing.assert_close(critic(x[rows], y[columns]), critic(x, y)[rows][:, columns])


def test_bilinear_is_the_form():
    x, y = draw(5, 4, 3, 2, seed=0)
    critic = BilinearCritic(3, 2).double()
    weight = critic.linear.weight.detach().numpy().T
    expected = [[a @ weight @ b for b in y.detach().numpy()] for a in x.detach().numpy()]
    np.testing.assert_allclose(critic(x, y).detach().numpy(), expected)


def test_separable_is_the_product_of_two_networks():
    x, y = draw(5, 4, 3, 2, seed=0)
    critic = SeparableCritic(3, 2, (7,), embed_dim=6).double()
    g, h = critic.x_network(x).detach().numpy(), critic.y_network(y).detach().numpy()
    np.testing.assert_allclose(critic(x, y).detach().numpy(), [[a @ b for b in h] for a in g])


@pytest.mark.parametrize("kind", ["separable", "bilinear", "concat"])
def test_works_under_autocast(kind):
    x, y = draw(6, 6, 4, 4, seed=0, dtype=torch.float32)
    critic = build_critic(kind, 4, 4, hidden_dims=(16,))
    with torch.autocast("cpu", torch.bfloat16):
        scores = critic(x, y)
    scores.float().sum().backward()
    torch.testing.assert_close(scores.float(), critic(x, y), atol=0.05, rtol=0.05)


def test_critic_of_ones_own():
    assert isinstance(build_critic(BilinearCritic, 3, 2), BilinearCritic)


def test_unknown_critics_are_refused():
    with pytest.raises(ValueError, match="critic='dot' is unknown; choose one of 'separable'"):
        build_critic("dot", 3, 2)
    with pytest.raises(TypeError, match="critic made a int"):
        build_critic(lambda x_dim, y_dim: 3, 3, 2)
    with pytest.raises(ValueError, match="hidden_dims"):
        ConcatCritic(3, 2, ())
