"""The disentangled objective against its formula, term by term."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from mmcontrast.losses import DisentangledObjective, clip_loss, cross_correlation
from mmcontrast.nn import View, build_pooled_encoder

SHAPES = {"a": (5,), "b": (3, 8)}


def build(seed=0, **options):
    torch.manual_seed(seed)
    return DisentangledObjective(build_pooled_encoder(SHAPES, 6), **options).double()


def draw(n=9, seed=0, presence=None):
    generator = torch.Generator().manual_seed(seed)
    values = {
        name: torch.randn(n, *shape, generator=generator, dtype=torch.float64)
        for name, shape in SHAPES.items()
    }
    return View(values, presence or {})


def check_equal(objective, view, views, y, conditions):
    """`conditions` holds what the unique parts are compared with, per view and modality."""
    parts = objective.encode(view)
    s1, s2, u1, u2 = (parts[name] for name in ("shared1", "shared2", "unique1", "unique2"))
    expected = {
        "shared": clip_loss(s1, s2, objective.temperature),
        "modality_a": sum(clip_loss(u1, c[0], objective.temperature) for c in conditions),
        "modality_b": sum(clip_loss(u2, c[1], objective.temperature) for c in conditions),
        "independence": len(conditions)
        * objective.independence
        * (cross_correlation(u1, s2.detach()) + cross_correlation(u2, s1.detach())),
    }
    for name in ("modality_a", "modality_b", "independence"):
        expected[name] = expected[name] / len(conditions)
    found = objective(views, view, y)
    assert list(found) == objective.term_names
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value.detach(), rtol=1e-10, atol=1e-12)
    total = sum(expected.values())
    torch.testing.assert_close(found["loss"], total, rtol=1e-10, atol=1e-12)
    parameters = list(objective.parameters())
    left, right = (
        torch.autograd.grad(loss, parameters, allow_unused=True) for loss in (found["loss"], total)
    )
    for f, e in zip(left, right, strict=True):
        torch.testing.assert_close(f, e, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("n_views", [1, 3])
def test_with_augmentations(n_views):
    objective = build(n_views=n_views, temperature=0.3, independence=2.0)
    views = [draw(seed=1 + i) for i in range(n_views)]
    encoded = [objective.encode(view) for view in views]
    conditions = [(z["unique1"], z["unique2"]) for z in encoded]
    check_equal(objective, draw(), views, None, conditions)


def test_with_classes():
    objective = build(n_classes=3, head_dim=4)
    assert objective.n_views == 0
    y = torch.tensor([0, 1, 2, 1, 1, 0, 2, 2, 0])
    labels = [embed(F.one_hot(y, 3).double()) for embed in objective.labels]
    check_equal(objective, draw(), [], y, [tuple(labels)])


def test_with_numbers():
    objective = build(n_targets=2)
    y = torch.randn(9, 2, dtype=torch.float64)
    check_equal(objective, draw(), [], y, [tuple(embed(y) for embed in objective.labels)])


def test_absent_rows_take_no_part():
    objective = build()
    here = torch.tensor([True, True, False, True, True, True, False, True, True])
    view, augmented = draw(presence={"b": here}), draw(seed=1, presence={"b": here})
    found = objective([augmented], view)
    views = [View({k: v[here] for k, v in part.values.items()}) for part in (augmented, view)]
    expected = objective(views[:1], views[1])
    for name in ("shared", "modality_b", "independence"):
        torch.testing.assert_close(found[name], expected[name])
    every = objective([View(augmented.values)], View(view.values))
    torch.testing.assert_close(found["modality_a"], every["modality_a"])
    torch.testing.assert_close(
        found["loss"], sum(found[name] for name in objective.term_names[1:-1])
    )


def test_a_batch_without_pairs_has_no_terms_of_pairs():
    objective = build()
    here = torch.zeros(9, dtype=torch.bool)
    found = objective([draw(seed=1, presence={"b": here})], draw(presence={"b": here}))
    assert found["shared"].isnan()
    assert found["modality_a"].isfinite()
    assert found["loss"].isfinite()


@given(
    seed=st.integers(0, 2**16),
    n=st.integers(3, 30),
    d1=st.integers(1, 5),
    d2=st.integers(1, 5),
    shift=st.floats(-3, 3),
    scale=st.floats(0.2, 5),
)
def test_cross_correlation(seed, n, d1, d2, shift, scale):
    rng = np.random.default_rng(seed)
    z1, z2 = rng.normal(size=(n, d1)), rng.normal(size=(n, d2))
    rho = np.array([[np.corrcoef(a, b)[0, 1] for b in z2.T] for a in z1.T])
    found = cross_correlation(torch.as_tensor(scale * z1 + shift), torch.as_tensor(z2))
    assert found.item() == pytest.approx((rho**2).sum() / d1, rel=1e-3, abs=1e-4)
    assert -1e-9 <= found <= d2 + 1e-9


def test_cross_correlation_of_independent_columns_is_the_documented_chance():
    rng = np.random.default_rng(0)
    found = [
        cross_correlation(*(torch.as_tensor(rng.normal(size=(50, d))) for d in (4, 6))).item()
        for _ in range(200)
    ]
    assert np.mean(found) == pytest.approx(6 / 49, rel=0.05)


def test_misuse_is_named():
    with pytest.raises(ValueError, match="two modalities, found 1: 'a'"):
        DisentangledObjective(build_pooled_encoder({"a": (5,)}, 6))
    with pytest.raises(ValueError, match="un-augmented view"):
        build()([draw()])
    with pytest.raises(ValueError, match="targets y"):
        build(n_classes=2)([], draw())
