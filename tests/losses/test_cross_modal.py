"""Contrast between modalities: the loss against its formula, the objective against plain code."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmcontrast.losses import CrossModalObjective, clip_loss, nt_xent
from mmcontrast.nn import ProjectionHead, View, build_pooled_encoder

pairs = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**16),
        "n_rows": st.integers(2, 9),
        "dim": st.integers(1, 6),
        "temperature": st.floats(0.05, 2.0),
    }
)


def draw(seed, n_rows, dim, **_):
    return torch.as_tensor(np.random.default_rng(seed).normal(size=(2, n_rows, dim)))


def slow_clip_loss(z1, z2, temperature):
    """Row by row, in both directions."""
    z1, z2 = ([v / math.sqrt(sum(x * x for x in v)) for v in z] for z in (z1, z2))
    losses = []
    for own, other in ((z1, z2), (z2, z1)):
        for i in range(len(own)):
            scores = [math.exp(own[i] @ other[j] / temperature) for j in range(len(own))]
            losses.append(-math.log(scores[i] / sum(scores)))
    return sum(losses) / len(losses)


# ------------------------------------------------------------------ the loss
@given(case=pairs)
def test_equals_the_formula(case):
    z1, z2 = draw(**case)
    expected = slow_clip_loss(z1.numpy(), z2.numpy(), case["temperature"])
    assert clip_loss(z1, z2, case["temperature"]).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_equals_pytorch_metric_learning(temperature):
    reference = pytest.importorskip("pytorch_metric_learning.losses").NTXentLoss(temperature)
    z1, z2 = draw(seed=0, n_rows=12, dim=5)
    labels, same = torch.arange(12), torch.arange(12)  # one object would mean one set of rows
    expected = 0.5 * (
        reference(z1, labels, ref_emb=z2, ref_labels=same)
        + reference(z2, labels, ref_emb=z1, ref_labels=same)
    )
    torch.testing.assert_close(clip_loss(z1, z2, temperature), expected)


@given(case=pairs, order=st.randoms(use_true_random=False), scale=st.floats(0.1, 10))
def test_symmetric_and_invariant(case, order, scale):
    z1, z2 = draw(**case)
    loss = clip_loss(z1, z2, case["temperature"])
    rows = list(range(case["n_rows"]))
    order.shuffle(rows)
    torch.testing.assert_close(clip_loss(z2, z1, case["temperature"]), loss)
    torch.testing.assert_close(clip_loss(z1[rows], z2[rows], case["temperature"]), loss)
    sizes = scale ** torch.arange(case["n_rows"], dtype=z1.dtype)[:, None]
    torch.testing.assert_close(clip_loss(z1 * sizes, z2, case["temperature"]), loss)


@given(case=pairs)
def test_turning_both_modalities_alike_changes_nothing(case):
    z1, z2 = draw(**case)
    rotation = torch.linalg.qr(draw(case["seed"] + 1, case["dim"], case["dim"])[0])[0]
    turned = clip_loss(z1 @ rotation, z2 @ rotation, case["temperature"])
    torch.testing.assert_close(turned, clip_loss(z1, z2, case["temperature"]))


@given(case=pairs)
def test_lies_within_its_bounds(case):
    z1, z2 = draw(**case)
    swing = 2 / case["temperature"]
    lowest = math.log1p((case["n_rows"] - 1) * math.exp(-swing))
    loss = clip_loss(z1, z2, case["temperature"])
    assert lowest - 1e-12 <= loss <= math.log(case["n_rows"]) + swing


def test_collapsed_embedding_has_the_loss_of_guessing():
    z = torch.ones(8, 3, dtype=torch.float64)
    assert clip_loss(z, z).item() == pytest.approx(math.log(8))


def test_rows_of_one_modality_are_not_told_from_each_other():
    """A modality that says less than the other one pays for it only against the other one."""
    apart = torch.eye(4, dtype=torch.float64)
    alike = torch.tensor([[1.0, 0, 0, 0]], dtype=torch.float64).expand(4, -1)
    assert clip_loss(apart, alike).item() == pytest.approx(
        0.5 * math.log(4) + 0.5 * (math.log(3 + math.exp(10)) - 2.5)
    )


def test_gradient_pulls_partners_together():
    z1, z2 = (z.requires_grad_() for z in draw(seed=1, n_rows=6, dim=4))
    loss = clip_loss(z1, z2)
    loss.backward()
    assert clip_loss(z1 - 0.01 * z1.grad, z2 - 0.01 * z2.grad) < loss
    assert torch.autograd.gradcheck(clip_loss, (z1, z2))


def test_needs_modalities_that_fit_and_a_negative():
    with pytest.raises(ValueError, match=r"differ in shape: \(3, 2\), \(4, 2\)"):
        clip_loss(torch.zeros(3, 2), torch.zeros(4, 2))
    with pytest.raises(ValueError, match="at least two rows to have a negative, got 1"):
        clip_loss(torch.zeros(1, 2), torch.zeros(1, 2))


# ------------------------------------------------------------------ the objective
SHAPES = {"a": (5,), "b": (3, 8), "c": (4,)}


def build(names="ab", *, own=False, factorized=False, dims=(12, 6), **options):
    torch.manual_seed(0)
    shapes = {name: SHAPES[name] for name in names}
    parts = [build_pooled_encoder(shapes, 16), [ProjectionHead(16, dims) for _ in names]]
    if own:
        options["self_heads"] = [ProjectionHead(16, dims) for _ in names]
    if factorized:
        options["self_encoder"] = build_pooled_encoder(shapes, 16)
    return CrossModalObjective(*parts, **options).double()


def draw_views(names="ab", batch=8, n_views=2, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def values():
        return {
            name: torch.randn(batch, *SHAPES[name], generator=generator, dtype=torch.float64)
            for name in names
        }

    return [View(values()) for _ in range(n_views)]


def with_presence(views, **presence):
    presence = {name: torch.tensor(mask) for name, mask in presence.items()}
    return [View(view.values, presence) for view in views]


def only_rows(views, mask):
    return [View({k: v[torch.tensor(mask)] for k, v in view.values.items()}) for view in views]


def test_cross_terms_of_three_modalities_spelled_out():
    objective = build("abc", temperature=0.3)
    (view,) = draw_views("abc", n_views=1)
    z = {
        name: head(objective.encoder(view)[name][None])[0]
        for name, head in zip("abc", objective.heads, strict=True)
    }
    terms = objective([view])
    assert list(terms) == objective.term_names
    assert objective.n_views == 1
    for pair in ("ab", "ac", "bc"):
        torch.testing.assert_close(
            terms[f"cross_{pair[0]}_{pair[1]}"], clip_loss(z[pair[0]], z[pair[1]], 0.3)
        )
    parts = [terms[name] for name in objective.term_names[1:-1]]
    torch.testing.assert_close(terms["loss"], torch.stack(parts).sum())


@pytest.mark.parametrize("factorized", [False, True])
def test_self_terms_spelled_out(factorized):
    objective = build(own=True, factorized=factorized, self_weight=0.25, temperature=0.3)
    views = draw_views()
    shared = unique = objective.encoder
    if factorized:
        shared, unique = objective.encoder["shared"], objective.encoder["unique"]
    cross = [
        clip_loss(
            *(
                head(shared(view)[name][None])[0]
                for name, head in zip("ab", objective.heads, strict=True)
            ),
            0.3,
        )
        for view in views
    ]
    terms = objective(views)
    assert list(terms) == objective.term_names
    assert objective.n_views == 2
    torch.testing.assert_close(terms["cross_a_b"], sum(cross) / 2)
    for name, head in zip("ab", objective.self_heads, strict=True):
        z1, z2 = (head(unique(view)[name][None])[0] for view in views)
        torch.testing.assert_close(terms[f"self_{name}"], 0.25 * nt_xent(z1, z2, 0.3))
    parts = [terms[name] for name in objective.term_names[1:-1]]
    torch.testing.assert_close(terms["loss"], torch.stack(parts).sum())


def test_parts_and_what_trains_them():
    objective = build(own=True, factorized=True)
    (view,) = draw_views(n_views=1)
    encoded = objective.encode(view)
    assert list(encoded) == list(objective.parts) == ["shared1", "shared2", "unique1", "unique2"]
    torch.testing.assert_close(encoded["shared2"], objective.encoder["shared"](view)["b"])
    torch.testing.assert_close(encoded["unique1"], objective.encoder["unique"](view)["a"])
    alone = objective.encode(View({"b": view.values["b"]}))
    assert list(alone) == ["shared2", "unique2"]

    for own, cross in ((True, False), (False, True)):  # which encoder a term does not reach
        objective.zero_grad()
        objective.self_weight = float(own)
        terms = objective(draw_views())
        loss = terms["loss"] if cross else terms["loss"] - objective_cross(objective)
        loss.backward()
        gradient = objective.encoder["shared" if own else "unique"].parameters()
        assert all(p.grad is None or p.grad.abs().max() < 1e-12 for p in gradient)


def objective_cross(objective):
    """The cross term alone, with its gradient."""
    weight, objective.self_weight = objective.self_weight, 0.0
    try:
        return objective(draw_views())["loss"]
    finally:
        objective.self_weight = weight


def test_rows_take_part_in_the_terms_of_the_modalities_they_have():
    objective = build("abc", own=True, dims=(6,))  # no batch statistics
    views = draw_views("abc", batch=6)
    a = [True, True, True, False, True, True]
    b = [True, False, True, True, True, True]
    terms = objective(with_presence(views, a=a, b=b))
    both = [first and second for first, second in zip(a, b, strict=True)]
    for name, rows in {
        "cross_a_b": both,
        "cross_a_c": a,
        "cross_b_c": b,
        "self_a": a,
        "self_b": b,
        "self_c": [True] * 6,
    }.items():
        torch.testing.assert_close(terms[name], objective(only_rows(views, rows))[name])


@pytest.mark.parametrize("training", [True, False])
def test_absent_values_do_not_reach_loss_or_gradient(training):
    objective = build("abc", own=True).train(training)
    here = [True, True, False, True, False, True]

    def grads(filler):
        views = draw_views("abc", batch=6)
        for view in views:
            view.values["b"][~torch.tensor(here)] = filler
        module = copy.deepcopy(objective)
        terms = module(with_presence(views, b=here))
        terms["loss"].backward()
        return [*terms.values(), *(p.grad for p in module.parameters() if p.grad is not None)]

    for a, b in zip(grads(0.0), grads(torch.nan), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_terms_with_fewer_than_two_rows_are_left_out():
    objective = build("abc", own=True)
    views = draw_views("abc", batch=4)
    terms = objective(with_presence(views, b=[False, True, False, False]))
    assert [name for name, term in terms.items() if term.isnan()] == [
        "cross_a_b",
        "cross_b_c",
        "self_b",
    ]
    rest = terms["cross_a_c"] + terms["self_a"] + terms["self_c"]
    torch.testing.assert_close(terms["loss"], rest)
    # two rows each, but one in common
    terms = objective(
        with_presence(views, a=[True, True, False, False], b=[False, True, True, False])
    )
    assert terms["cross_a_b"].isnan() and not terms["self_a"].isnan()


def test_a_batch_without_any_term_has_no_gradient():
    objective = build()
    (view,) = draw_views(n_views=1)
    absent = with_presence([view], a=[False] * 8)
    terms = objective(absent)
    terms["loss"].backward()
    assert terms["loss"] == 0 and terms["cross_a_b"].isnan()
    assert all(p.grad is None or (p.grad == 0).all() for p in objective.parameters())


def test_embedding_std_is_that_of_the_embeddings():
    objective = build()
    (view,) = draw_views(n_views=1)
    assert 0.05 < objective([view])["embedding_std"] < 1.1
    here = [True, True, False, True, True, True, False, True]
    kept = objective(only_rows([view], here))["embedding_std"]
    both = with_presence([view], a=here, b=here)
    torch.testing.assert_close(objective(both)["embedding_std"], kept)
    for parameter in objective.encoder.parameters():
        torch.nn.init.zeros_(parameter)
    assert objective([view])["embedding_std"] == 0


def test_terms_of_names_with_underscores_stay_apart():
    torch.manual_seed(0)
    shapes = dict.fromkeys(["a", "b_c", "a_b", "c"], (3,))
    heads = [ProjectionHead(8, (4,)) for _ in shapes]
    objective = CrossModalObjective(build_pooled_encoder(shapes, 8), heads)
    terms = objective([View({name: torch.randn(5, 3) for name in shapes})])
    assert len(terms) == 2 + 6 == len(set(objective.term_names))
    parts = [terms[name] for name in objective.term_names[1:-1]]
    torch.testing.assert_close(terms["loss"], torch.stack(parts).sum())


class AsTheyAre(torch.nn.Module):
    """An encoder that returns what it is given."""

    names, embed_dim = ("a", "b"), 5

    def forward(self, view):
        return view.values


def test_loss_is_computed_in_full_precision():
    heads = [torch.nn.Identity() for _ in "ab"]
    objective = CrossModalObjective(AsTheyAre(), heads, self_heads=heads)
    torch.manual_seed(0)
    views = [View({name: torch.randn(16, 5) for name in "ab"}) for _ in range(2)]
    exact = objective(views)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(objective(views), exact, rtol=0, atol=0)
    half = [View({k: v.bfloat16() for k, v in view.values.items()}) for view in views]
    assert objective(half)["loss"].dtype == torch.float32


def test_needs_two_modalities_and_a_head_each():
    with pytest.raises(ValueError, match="at least two, found one: 'a'. CoMM with one"):
        build("a")
    with pytest.raises(ValueError, match="two modalities, found 3: 'a', 'b', 'c'"):
        build("abc", own=True, factorized=True)
    with pytest.raises(ValueError, match=r"1 heads for 2 modalities \('a', 'b'\)"):
        CrossModalObjective(build_pooled_encoder({"a": (5,), "b": (4,)}, 16), [ProjectionHead(16)])
