"""FactorCL's objective against an obvious implementation of the paper's description."""

import math

import pytest
import torch
import torch.nn.functional as F

from mmcontrast.losses import FactorCLObjective
from mmcontrast.nn import View, build_pooled_encoder

SHAPES = {"a": (5,), "b": (3, 8)}


def build(seed=0, **options):
    torch.manual_seed(seed)
    encoder = build_pooled_encoder(SHAPES, 6)
    return FactorCLObjective(encoder, critic_dims=(7,), **options).double()


def draw(n=9, seed=0, presence=None):
    generator = torch.Generator().manual_seed(seed)
    values = {
        name: torch.randn(n, *shape, generator=generator, dtype=torch.float64)
        for name, shape in SHAPES.items()
    }
    return View(values, presence or {})


def head(objective, modality, number, z):
    """One of the parallel heads, as two layers of its own."""
    heads = objective.heads[modality]
    hidden, out = heads.hidden_weight.shape[2], heads.output_weight.shape[2]
    first = z @ heads.hidden_weight[number] + heads.hidden_bias[number * hidden :][:hidden]
    return first.relu() @ heads.output_weight[number] + heads.output_bias[number * out :][:out]


def score(critic, x, y):
    return torch.stack([critic.pairs(row[None].expand(len(y), -1), y[:, None])[:, 0] for row in x])


def nce(scores):
    return (scores.diag() - torch.logsumexp(scores, 1) + math.log(len(scores))).mean()


def club(scores):
    return scores.diag().mean() - scores.mean()


def plain_terms(objective, x, conditions, label=None):
    """Equations 94-99 of the paper, every head and every critic on its own."""
    z = objective.encoder(x)
    z1, z2 = z["a"], z["b"]
    if label is not None:
        conditions = [(label, label)]
    else:
        conditions = [tuple(objective.encoder(view).values()) for view in conditions]
    critics = objective.critics

    def h(modality, number, value):
        return head(objective, modality, number, value)

    def given(modality, number, value, c):
        condition = c if label is not None else h(modality, number, c)
        return torch.cat([h(modality, number, value), condition], dim=1)

    def own(modality, c):
        return c if label is not None else h(modality, 2, c)

    terms = {"nce_shared": -nce(score(critics["nce_shared"], h(0, 0, z1), h(1, 0, z2)))}

    def mean(function):
        return sum(function(*condition) for condition in conditions) / len(conditions)

    terms["club_shared"] = mean(
        lambda c1, c2: club(score(critics["club_shared"], given(0, 1, z1, c1), given(1, 1, z2, c2)))
    )
    terms["modality_a"] = mean(
        lambda c1, c2: -nce(score(critics["first"], h(0, 2, z1), own(0, c1)))
    )
    terms["modality_b"] = mean(
        lambda c1, c2: -nce(score(critics["second"], h(1, 2, z2), own(1, c2)))
    )
    terms["club_unique"] = club(score(critics["club_unique"], h(0, 3, z1), h(1, 3, z2)))
    terms["nce_unique"] = mean(
        lambda c1, c2: -nce(score(critics["nce_unique"], given(0, 4, z1, c1), given(1, 4, z2, c2)))
    )
    critic_loss = -nce(score(critics["club_unique"], h(0, 3, z1), h(1, 3, z2))) + mean(
        lambda c1, c2: -nce(score(critics["club_shared"], given(0, 1, z1, c1), given(1, 1, z2, c2)))
    )
    return terms, critic_loss


def check_equal(objective, view, views, y=None, label=None):
    found = objective(views, view, y)
    expected, critic_loss = plain_terms(objective, view, views, label)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value.detach(), rtol=1e-10, atol=1e-12)
    total = sum(expected.values())
    torch.testing.assert_close(found["loss"], total, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(objective.critic_loss(views, view, y), critic_loss)

    clubs = [
        p for name in ("club_shared", "club_unique") for p in objective.critics[name].parameters()
    ]
    clubs = {id(p) for p in clubs}
    others = [p for p in objective.parameters() if id(p) not in clubs]
    f = torch.autograd.grad(found["loss"], others, allow_unused=True)
    e = torch.autograd.grad(total, others, allow_unused=True)
    for left, right in zip(f, e, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("n_pairs", [1, 3])
def test_equals_the_formula_with_augmentations(n_pairs):
    objective = build(n_conditional_pairs=n_pairs)
    assert objective.n_views == n_pairs
    check_equal(objective, draw(), [draw(seed=1 + i) for i in range(n_pairs)])


def test_equals_the_formula_with_classes():
    objective = build(n_classes=3)
    y = torch.tensor([0, 1, 2, 1, 1, 0, 2, 2, 0])
    check_equal(objective, draw(), [], y, F.one_hot(y, 3).double())


def test_equals_the_formula_with_numbers():
    objective = build(n_targets=2)
    y = torch.randn(9, 2, dtype=torch.float64)
    check_equal(objective, draw(), [], y, y)


def test_each_step_changes_what_it_should():
    objective = build()
    views, view = [draw(seed=1)], draw()
    clubs = {n for n, _ in objective.named_parameters() if "critics.club" in n}
    objective(views, view)["loss"].backward()
    changed = {n for n, p in objective.named_parameters() if p.grad is not None}
    assert changed == {n for n, _ in objective.named_parameters()} - clubs
    objective.zero_grad()
    objective.critic_loss(views, view).backward()
    assert {n for n, p in objective.named_parameters() if p.grad is not None} == clubs


def test_absent_rows_take_no_part():
    objective = build()
    here = torch.tensor([True, True, False, True, True, True, False, True, True])
    view, augmented = draw(presence={"b": here}), draw(seed=1, presence={"b": here})
    found = objective([augmented], view)
    expected, _ = plain_terms(
        objective,
        View({k: v[here] for k, v in view.values.items()}),
        [View({k: v[here] for k, v in augmented.values.items()})],
    )
    for name in ("nce_shared", "club_shared", "modality_b", "club_unique", "nce_unique"):
        torch.testing.assert_close(found[name], expected[name].detach())
    every, _ = plain_terms(objective, View(view.values), [View(augmented.values)])
    torch.testing.assert_close(found["modality_a"], every["modality_a"].detach())


def test_a_batch_without_pairs_has_no_terms_of_pairs():
    objective = build()
    here = torch.zeros(9, dtype=torch.bool)
    views = [draw(seed=1, presence={"b": here})]
    found = objective(views, draw(presence={"b": here}))
    assert found["nce_shared"].isnan()
    assert found["modality_a"].isfinite()
    assert found["loss"].isfinite()
    loss = objective.critic_loss(views, draw(presence={"b": here}))
    loss.backward()
    assert loss == 0
    changed = {n for n, p in objective.named_parameters() if p.grad is not None}
    assert changed == {n for n, _ in objective.named_parameters() if "critics.club" in n}


def test_parts_are_the_outputs_of_their_heads():
    objective = build()
    view = draw()
    z = objective.encoder(view)
    encoded = objective.encode(view)
    assert list(encoded) == list(objective.parts) == ["shared1", "shared2", "unique1", "unique2"]
    expected = torch.cat([head(objective, 1, number, z["b"]) for number in (2, 3, 4)], dim=1)
    torch.testing.assert_close(encoded["unique2"], expected)
    expected = torch.cat([head(objective, 0, number, z["a"]) for number in (0, 1)], dim=1)
    torch.testing.assert_close(encoded["shared1"], expected)
    whole = build(factorized=False)
    torch.testing.assert_close(whole.encode(view)["a"], z["a"])


def test_misuse_is_named():
    with pytest.raises(ValueError, match="exactly two modalities, found 1: 'a'"):
        FactorCLObjective(build_pooled_encoder({"a": (5,)}, 6))
    with pytest.raises(ValueError, match="un-augmented view"):
        build()([draw()])
    with pytest.raises(ValueError, match="targets y"):
        build(n_classes=2)([], draw())
