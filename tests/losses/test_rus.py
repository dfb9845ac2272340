from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmcontrast.losses import BalancedObjective, HybridObjective, nt_xent, soft_correlation
from mmcontrast.losses._rus import CentredHead
from mmcontrast.losses.correlation import (
    canonical_variates,
    cross_correlation,
    quadratic_correlation,
)
from mmcontrast.losses.hybrid import _orthogonality, _Reversed
from mmcontrast.nn import View

SHAPES = {"a": (5,), "b": (3, 24)}
KINDS = [
    (BalancedObjective, {"synergy_dim": 3}),
    (BalancedObjective, {"synergy_dim": 3, "fusion": "mlp"}),
    (BalancedObjective, {"synergy_dim": 3, "fusion": "both"}),
    (HybridObjective, {}),
    (HybridObjective, {"unique_removal": "similarity"}),
    (HybridObjective, {"unique_removal": "reconstruction"}),
]


def make_view(n=20, seed=0, **presence):
    rng = torch.Generator().manual_seed(seed)
    values = {name: torch.randn(n, *shape, generator=rng) for name, shape in SHAPES.items()}
    return View(values, {name: torch.tensor(mask) for name, mask in presence.items()})


def make(kind=BalancedObjective, **options):
    torch.manual_seed(0)
    objective = kind(SHAPES, **{"code_dim": 4, "embed_dim": 8} | options)
    objective.prepare(make_view(60, seed=1))
    return objective


# --------------------------------------------------------------------- soft correlation
@given(st.integers(0, 1000))
def test_soft_correlation_by_covariances(seed):
    rng = np.random.default_rng(seed)
    z1, z2 = rng.normal(size=(2, 30, 3))
    both = np.cov(z1.T, z2.T, bias=True)
    expected = 2 * np.trace(both[:3, 3:]) - np.trace(both[:3, :3] @ both[3:, 3:])
    found = soft_correlation(torch.tensor(z1), torch.tensor(z2))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_maximum_of_soft_correlation_is_the_sum_of_squared_canonical_correlations():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(400, 2))
    x, y = (shared @ rng.normal(size=(2, 4)) + rng.normal(size=(400, 4)) for _ in range(2))
    roots = [np.linalg.cholesky(np.linalg.inv(np.cov(z.T, bias=True))) for z in (x, y)]
    white = [(z - z.mean(0)) @ root for z, root in zip((x, y), roots, strict=True)]
    correlations = np.linalg.svd(white[0].T @ white[1] / 400)[1]
    x, y = torch.tensor(x), torch.tensor(y)
    maps = [torch.nn.Parameter(0.1 * torch.randn(4, 2, dtype=torch.double)) for _ in range(2)]
    optimiser = torch.optim.LBFGS(maps, max_iter=300, line_search_fn="strong_wolfe")

    def step():
        optimiser.zero_grad()
        loss = -soft_correlation(x @ maps[0], y @ maps[1])
        loss.backward()
        return loss

    for _ in range(3):
        optimiser.step(step)
    best = soft_correlation(x @ maps[0], y @ maps[1]).item()
    np.testing.assert_allclose(best, (correlations[:2] ** 2).sum(), rtol=1e-4)


def test_quadratic_correlation_sees_what_a_linear_one_does_not():
    x = torch.linspace(-1, 1, 101)[:, None].repeat(1, 3)
    signs = torch.randn(101, 3, generator=torch.Generator().manual_seed(0))
    assert quadratic_correlation(x, x.square()) > 0.9
    assert quadratic_correlation(x, signs) < 0.5


# --------------------------------------------------------------------------- objectives
@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_the_loss_is_the_sum_of_its_terms(kind, options):
    objective = make(kind, **options).eval()
    found = objective([], make_view())
    assert list(found) == objective.term_names
    total = sum(found[name] for name in objective.term_names[1:-1])
    torch.testing.assert_close(found["loss"], total)


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_parts_are_what_the_modalities_of_a_view_make(kind, options):
    objective = make(kind, **options).eval()
    view = make_view()
    both, alone = objective.encode(view), objective.encode(View({"b": view.values["b"]}))
    assert {part: z.shape[1] for part, z in both.items()} == {
        part: size for part, (_, size) in objective.parts.items()
    }
    assert list(alone) == ["R_b", "U_b"]
    torch.testing.assert_close(alone["U_b"], both["U_b"])


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_absent_rows_change_nothing_for_the_others(kind, options):
    objective = make(kind, **options).eval()
    view = make_view()
    presence = {"a": np.arange(20) > 2, "b": np.arange(20) < 15}
    garbled = make_view(**presence)
    for name, here in presence.items():
        garbled.values[name][~torch.tensor(here)] = 1e3
    expected, found = objective.encode(view), objective.encode(garbled)
    for part, (names, _) in objective.parts.items():
        rows = np.logical_and.reduce([presence[name] for name in names])
        torch.testing.assert_close(found[part][rows], expected[part][rows], atol=1e-5, rtol=1e-4)
    loss = objective([], garbled)["loss"]
    assert torch.isfinite(loss)
    torch.testing.assert_close(loss, objective([], make_view(**presence))["loss"])


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_a_batch_without_pairs_trains_on_what_there_is(kind, options):
    objective = make(kind, **options)
    found = objective([], make_view(a=np.arange(20) < 10, b=np.arange(20) >= 10))
    assert torch.isnan(found["redundancy"])
    assert torch.isfinite(found["loss"])
    found["loss"].backward()


def test_no_gradient_of_the_reconstruction_goes_into_the_redundant_code():
    objective = make(lambda_r=0, lambda_orth=0, lambda_s=0)
    objective([], make_view())["loss"].backward()
    for parameter in objective.redundant.parameters():
        assert parameter.grad is None or not parameter.grad.any()
    assert any(p.grad.any() for p in objective.unique.parameters())


def test_independence_and_synergy_are_those_of_the_codes():
    """In evaluation nothing is drawn, so both terms follow from the parts."""
    objective = make(synergy_dim=3, lambda_orth=2.0, lambda_s=3.0, temperature=0.2).eval()
    view = make_view(60)
    found, z = objective([], view), objective.encode(view)
    codes = [z[part] for part in ("R_a", "R_b", "U_a", "U_b")]
    products = z["S"][:, :9]
    expected = cross_correlation(z["U_a"], z["U_b"])
    for unique, redundant in product(codes[2:], codes[:2]):
        expected = expected + 2 * cross_correlation(unique, redundant)  # each way
        expected = expected + 0.5 * quadratic_correlation(unique, redundant)
    expected = expected + 0.5 * sum(cross_correlation(products, code) for code in codes)
    torch.testing.assert_close(found["independence"], 2 * expected)
    torch.testing.assert_close(found["synergy"], 3 * nt_xent(products, products, 0.2))


def test_codes_are_made_independent_of_codes_of_clean_rows():
    """Codes of the same noisy rows share the noise, those of clean rows do not."""
    objective = make(feature_noise=100.0, lambda_orth=1.0)
    assert objective([], make_view(800))["independence"] < 0.5


def test_redundant_codes_have_mean_0_and_no_fixed_variance():
    head = CentredHead(5, 3)
    x = 3 + torch.randn(200, 5)
    for scale in (1.0, 10.0):
        head.output.weight.data.mul_(scale)
        head.linear.weight.data.mul_(scale)
        z = head(x)
        torch.testing.assert_close(z.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
        assert not torch.isclose(z.std(0), torch.ones(3), rtol=1e-3).any()


def test_synergy_is_made_of_products():
    objective = make(synergy_dim=3).eval()
    view = make_view()
    codes = objective._codes(objective.compute_features(view))
    first, second = (
        project(codes[name].unique).detach().numpy()
        for name, project in zip("ab", objective.projections, strict=True)
    )
    expected = np.einsum("ni,nj->nij", first, second).reshape(20, 9)
    np.testing.assert_allclose(objective.encode(view)["S"].detach()[:, :9], expected, rtol=1e-5)


def test_discrepancy_is_the_delay_of_one_modality_against_the_other():
    rng = np.random.default_rng(0)
    time, delay, other = rng.normal(size=(3, 2000)) * [[1.0], [0.2], [1.0]]
    z1 = np.column_stack([time + other, other - time]) @ rng.normal(size=(2, 2))
    z2 = np.column_stack([time + delay, rng.normal(size=2000)]) @ rng.normal(size=(2, 2))
    maps = canonical_variates(torch.tensor(z1), torch.tensor(z2), 1)
    first, second = (
        ((z - z.mean(0)) @ m.numpy())[:, 0] for z, m in zip((z1, z2), maps, strict=True)
    )
    np.testing.assert_allclose([first.std(), second.std()], 1, atol=1e-2)
    difference = second - first
    assert abs(np.corrcoef(difference, delay)[0, 1]) > 0.95
    for told in (first, second):
        assert abs(np.corrcoef(difference, told)[0, 1]) < 0.15
    objective = make(synergy_dim=3, discrepancy_dim=2).eval()
    objective.settle([make_view(50)])
    assert objective.encode(make_view())["S"].shape == (20, 11)


def test_settling_makes_codes_of_clean_rows_standardised():
    objective = make()
    view = make_view(200)
    for _ in range(5):
        objective([], view)
    objective.settle([view])
    objective.eval()
    encoded = objective.encode(view)
    for part in ("U_a", "U_b"):
        torch.testing.assert_close(encoded[part].mean(0), torch.zeros(4), atol=0.02, rtol=0)
        torch.testing.assert_close(encoded[part].std(0), torch.ones(4), atol=0.02, rtol=0)
    torch.testing.assert_close(encoded["R_a"].mean(0), torch.zeros(4), atol=0.02, rtol=0)


def test_features_instead_of_rows_give_the_same_loss():
    objective = make().eval()
    view = make_view()
    expected = objective([], view)["loss"]
    objective.takes_features = True
    torch.testing.assert_close(objective([], objective.compute_features(view))["loss"], expected)


def test_features_are_corrupted_in_training_alone():
    objective = make(feature_noise=1.0)
    features = objective.compute_features(make_view())
    assert not torch.equal(objective._corrupted(features).values["a"], features.values["a"])
    objective.eval()
    assert objective._corrupted(features) is features


def test_targets_are_told_by_their_part():
    objective = make(n_targets={"R": 1, "U_b": 2}, lambda_orth=0)
    objective.target_columns.copy_(torch.tensor([2, 0, 1]))
    y = torch.randn(20, 3, generator=torch.Generator().manual_seed(3))
    found = objective.eval()([], make_view(), y)
    code = objective._codes(objective.compute_features(make_view()))["b"].unique
    expected = 10 * (objective.readouts[1][0](code) - y[:, [0, 1]]).square().mean()
    torch.testing.assert_close(found["targets_U_b"], expected.detach())
    assert list(found) == ["loss", "targets_R", "targets_U_b", "independence", "embedding_std"]
    with pytest.raises(ValueError, match="needs the targets y"):
        objective([], make_view())


def test_reversed_gradient():
    x = torch.randn(4, requires_grad=True)
    (3 * _Reversed.apply(x)).sum().backward()
    torch.testing.assert_close(x.grad, -3 * torch.ones(4))


def test_adversary_learns_what_the_code_unlearns():
    objective = make(HybridObjective)
    codes = list(objective._codes(objective.compute_features(make_view())).values())
    unique = codes[0].unique.detach().requires_grad_()
    loss = objective._removal(0, unique, codes[1].embedding.detach())
    weights = list(objective.removers[0].parameters())
    *by_weights, by_code = torch.autograd.grad(loss, [*weights, unique])
    with torch.no_grad():
        for weight, slope in zip(weights, by_weights, strict=True):
            weight -= 0.01 * slope
        better = objective._removal(0, unique, codes[1].embedding)
        worse = objective._removal(0, unique - 0.1 * by_code, codes[1].embedding)
    assert better < loss
    assert worse > better


def test_orthogonality_by_hand():
    x, y = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[1.0, 1.0], [3.0, 0.0]])
    expected = (0.5**0.5 + 0.0) / 2
    assert float(_orthogonality([x, y])) == pytest.approx(expected)


@pytest.mark.parametrize("kind", [BalancedObjective, HybridObjective])
def test_two_modalities(kind):
    with pytest.raises(ValueError, match="two modalities, found 3: 'a', 'b', 'c'"):
        kind(SHAPES | {"c": (2,)})
    with pytest.raises(ValueError, match="needs the un-augmented view"):
        make(kind)([], None)


def test_options_that_are_unknown():
    with pytest.raises(ValueError, match="fusion='sum' is unknown"):
        make(fusion="sum")
    with pytest.raises(ValueError, match="unique_removal='none' is unknown"):
        make(HybridObjective, unique_removal="none")
