"""Supervised contrast: the loss against its formula, the objective against plain code."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmcontrast.losses import SupConObjective, nt_xent, supcon
from mmcontrast.nn import ProjectionHead, View, build_pooled_encoder

labelled = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**16),
        "labels": st.lists(st.integers(0, 3), min_size=2, max_size=10),
        "dim": st.integers(1, 6),
        "temperature": st.floats(0.05, 2.0),
    }
)


def draw(seed, labels, dim, **_):
    z = np.random.default_rng(seed).normal(size=(len(labels), dim))
    return torch.as_tensor(z), torch.tensor(labels)


def slow_supcon(z, labels, temperature):
    """Khosla et al. (2020), equation 2, anchor by anchor, over those that have a positive."""
    z = [v / math.sqrt(sum(x * x for x in v)) for v in z]
    losses = []
    for i in range(len(z)):
        others = [k for k in range(len(z)) if k != i]
        positives = [k for k in others if labels[k] == labels[i]]
        total = sum(math.exp(z[i] @ z[k] / temperature) for k in others)
        logs = [math.log(math.exp(z[i] @ z[p] / temperature) / total) for p in positives]
        if positives:
            losses.append(-sum(logs) / len(positives))
    return sum(losses) / len(losses) if losses else 0.0


# ------------------------------------------------------------------ the loss
@given(case=labelled)
def test_equals_the_formula(case):
    z, labels = draw(**case)
    expected = slow_supcon(z.numpy(), case["labels"], case["temperature"])
    loss = supcon(z, labels, case["temperature"]).item()
    assert loss == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_equals_pytorch_metric_learning(temperature):
    reference = pytest.importorskip("pytorch_metric_learning.losses").SupConLoss(temperature)
    z, labels = draw(seed=0, labels=[0, 1, 2, 0, 1, 1, 2, 0, 3, 0], dim=4)
    torch.testing.assert_close(supcon(z, labels, temperature), reference(z, labels))


@given(case=labelled)
def test_two_views_of_rows_without_a_class_in_common_are_nt_xent(case):
    z1, _ = draw(**case)
    z2, _ = draw(**case | {"seed": case["seed"] + 1})
    labels = torch.arange(len(z1)).repeat(2)
    torch.testing.assert_close(
        supcon(torch.cat([z1, z2]), labels, case["temperature"]),
        nt_xent(z1, z2, case["temperature"]),
    )


@given(case=labelled, order=st.randoms(use_true_random=False), scale=st.floats(0.1, 10))
def test_invariant(case, order, scale):
    z, labels = draw(**case)
    loss = supcon(z, labels, case["temperature"])
    rows = list(range(len(z)))
    order.shuffle(rows)
    torch.testing.assert_close(supcon(z[rows], labels[rows], case["temperature"]), loss)
    torch.testing.assert_close(supcon(scale * z, labels, case["temperature"]), loss)
    torch.testing.assert_close(supcon(z, 7 - 3 * labels, case["temperature"]), loss)


@given(case=labelled)
def test_lies_above_its_bound(case):
    z, labels = draw(**case)
    far = math.exp(-2 / case["temperature"])
    counts = [case["labels"].count(label) - 1 for label in case["labels"]]
    bounds = [math.log(p + (len(z) - 1 - p) * far) for p in counts if p]
    bound = sum(bounds) / len(bounds) if bounds else 0.0
    assert supcon(z, labels, case["temperature"]) >= bound - 1e-12


def test_classes_at_single_points_reach_the_bound():
    z = torch.tensor([1.0, 1, 1, -1, -1, -1], dtype=torch.float64)[:, None]
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    expected = math.log(2 + 3 * math.exp(-20))
    assert supcon(z, labels, 0.1).item() == pytest.approx(expected)


def test_collapsed_embedding_has_the_loss_of_guessing():
    z = torch.ones(8, 3, dtype=torch.float64)
    assert supcon(z, torch.arange(8) % 2).item() == pytest.approx(math.log(7))


def test_without_positives_there_is_nothing_to_learn():
    z = torch.randn(4, 3, requires_grad=True)
    loss = supcon(z, torch.arange(4))
    loss.backward()
    assert loss == 0 and (z.grad == 0).all()


def test_gradient_is_right_and_finite():
    z, labels = draw(seed=3, labels=[0, 1, 0, 1, 2], dim=3)
    assert torch.autograd.gradcheck(lambda z: supcon(z, labels, 0.5), (z.requires_grad_(),))
    near = torch.ones(6, 3, requires_grad=True)  # all similarities equal
    supcon(near, torch.arange(6) % 2, 0.01).backward()
    assert near.grad.isfinite().all()


def test_needs_a_label_each():
    with pytest.raises(ValueError, match=r"found \(3, 2\) and \(4,\)"):
        supcon(torch.zeros(3, 2), torch.zeros(4))
    with pytest.raises(ValueError, match=r"found \(3, 2\) and \(3, 1\)"):
        supcon(torch.zeros(3, 2), torch.zeros(3, 1))
    with pytest.raises(ValueError, match="at least two embeddings to compare, got 1"):
        supcon(torch.zeros(1, 2), torch.zeros(1))


# ------------------------------------------------------------------ the objective
SHAPES = {"a": (5,), "b": (3, 8)}
Y = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])


def build(names="ab", dims=(12, 6)):
    torch.manual_seed(0)
    encoder = build_pooled_encoder({name: SHAPES[name] for name in names}, 16)
    heads = [ProjectionHead(16, dims) for _ in names]
    return SupConObjective(encoder, heads, temperature=0.3).double()


def draw_views(names, n_views):
    generator = torch.Generator().manual_seed(0)
    return [
        View({name: torch.randn(8, *SHAPES[name], generator=generator).double() for name in names})
        for _ in range(n_views)
    ]


@pytest.mark.parametrize(("names", "n_views"), [("a", 2), ("ab", 1)])
def test_modalities_or_augmentations_are_the_views_of_a_row(names, n_views):
    objective = build(names)
    assert objective.n_views == n_views
    views = draw_views(names, n_views)
    z = [
        head(objective.encoder(view)[name][None])[0]
        for view in views
        for name, head in zip(names, objective.heads, strict=True)
    ]
    terms = objective(views, y=Y)
    assert list(terms) == objective.term_names
    expected = slow_supcon(torch.cat(z).detach().numpy(), Y.tolist() * 2, 0.3)
    assert terms["loss"].item() == terms["supcon"].item() == pytest.approx(expected)


def test_a_row_has_as_many_views_as_modalities():
    objective = build(dims=(6,))
    (view,) = draw_views("ab", 1)
    here = torch.tensor([True, True, False, True, True, False, True, True])
    z = objective.encode(view)
    projected = [head(z[name][None])[0] for name, head in zip("ab", objective.heads, strict=True)]
    expected = supcon(torch.cat([projected[0], projected[1][here]]), torch.cat([Y, Y[here]]), 0.3)
    terms = objective([View(view.values, {"b": here})], y=Y)
    torch.testing.assert_close(terms["supcon"], expected.detach())


def test_absent_values_do_not_reach_loss_or_gradient():
    objective = build()
    here = torch.tensor([True, True, False, True, True, False, True, True])

    def grads(filler):
        (view,) = draw_views("ab", 1)
        view.values["b"][~here] = filler
        module = copy.deepcopy(objective)
        terms = module([View(view.values, {"b": here})], y=Y)
        terms["loss"].backward()
        return [*terms.values(), *(p.grad for p in module.parameters() if p.grad is not None)]

    for a, b in zip(grads(0.0), grads(torch.nan), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_batch_without_rows_to_compare():
    objective = build("a")
    views = draw_views("a", 2)
    alone = torch.arange(8) == 3
    terms = objective([View(view.values, {"a": alone}) for view in views], y=Y)
    terms["loss"].backward()
    assert terms["loss"] == 0 and terms["supcon"].isnan() and terms["embedding_std"].isnan()


class AsTheyAre(torch.nn.Module):
    """An encoder that returns what it is given."""

    names, embed_dim = ("a", "b"), 5

    def forward(self, view):
        return view.values


def test_loss_is_computed_in_full_precision():
    objective = SupConObjective(AsTheyAre(), [torch.nn.Identity() for _ in "ab"])
    torch.manual_seed(0)
    view = View({name: torch.randn(8, 5) for name in "ab"})
    exact = objective([view], y=Y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(objective([view], y=Y), exact, rtol=0, atol=0)


def test_needs_labels():
    with pytest.raises(ValueError, match="class codes y"):
        build()(draw_views("ab", 1))
