"""CoMM's objective against an obvious implementation of the paper's description."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmcontrast.losses import CoMMObjective, nt_xent
from mmcontrast.losses.comm import embedding_std
from mmcontrast.nn import ProjectionHead, View, build_multimodal_encoder
from mmcontrast.training import weight_decay_groups

SHAPES = {"a": (5,), "b": (3, 8), "c": (1, 6, 6)}


def build(names, seed=0, **options):
    torch.manual_seed(seed)
    shapes = {name: SHAPES[name] for name in names}
    encoder = build_multimodal_encoder(shapes, 16, n_heads=4)
    return CoMMObjective(encoder, ProjectionHead(16, (12, 12, 6)), **options).double()


def draw(names, batch, generator):
    def values():
        return {
            name: torch.randn(batch, *SHAPES[name], generator=generator, dtype=torch.float64)
            for name in names
        }

    return [View(values()), View(values())], View(values())


class PlainAttentionBlock(nn.Module):
    """Pre-norm block over every token, on torch's own multi-head attention."""

    def __init__(self, block):
        super().__init__()
        dim = block.project.in_features
        self.attention = nn.MultiheadAttention(dim, block.n_heads, batch_first=True).double()
        self.attention.in_proj_weight = block.query_key_value.weight
        self.attention.in_proj_bias = block.query_key_value.bias
        self.attention.out_proj.weight = block.project.weight
        self.attention.out_proj.bias = block.project.bias
        self.norm_attention, self.norm_mlp, self.mlp = (
            block.norm_attention,
            block.norm_mlp,
            block.mlp,
        )

    def forward(self, x):
        h = self.norm_attention(x)
        x = x + self.attention(h, h, h, need_weights=False)[0]
        h = self.norm_mlp(x)
        first, _, last = self.mlp
        h = first(h)
        return x + last(h * torch.sigmoid(1.702 * h))


class PlainCoMM(nn.Module):
    """The same weights, every term spelled out: no stacking, no sharing, no folding."""

    def __init__(
        self, objective, temperature=0.1, masked_views="augmented", terms=("joint", "modalities")
    ):
        super().__init__()
        encoder, head = objective.encoder, objective.head
        self.names = encoder.names
        self.encoders, self.converters = encoder.encoders, encoder.converters
        self.cls, self.norm = encoder.fusion.cls, encoder.fusion.norm
        self.blocks = nn.ModuleList(PlainAttentionBlock(block) for block in encoder.fusion.blocks)
        layers = []
        for linear, norm in zip(head.linears[:-1], head.norms, strict=True):
            layers += [linear, norm, nn.ReLU()]
        self.head = nn.Sequential(*layers, head.linears[-1])
        self.temperature, self.masked_views, self.terms = temperature, masked_views, terms

    def embed(self, tokens, names):
        batch = len(next(iter(tokens.values())))
        x = torch.cat([self.cls.expand(batch, 1, -1), *(tokens[name] for name in names)], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 0]

    def nce(self, z1, z2):
        z1, z2 = F.normalize(z1), F.normalize(z2)
        n = len(z1)
        big = torch.eye(n, dtype=torch.bool)
        s12, s11, s22 = z1 @ z2.T, z1 @ z1.T, z2 @ z2.T
        rows1 = torch.cat([s12, s11.masked_fill(big, -torch.inf)], 1) / self.temperature
        rows2 = torch.cat([s12.T, s22.masked_fill(big, -torch.inf)], 1) / self.temperature
        target = torch.arange(n)
        return 0.5 * (F.cross_entropy(rows1, target) + F.cross_entropy(rows2, target))

    def forward(self, views, original=None):
        def tokens_of(view):
            return {
                name: converter(encoder(view.values[name]))
                for name, encoder, converter in zip(
                    self.names, self.encoders, self.converters, strict=True
                )
            }

        first, second = (tokens_of(view) for view in views)
        joint1 = self.head(self.embed(first, self.names))
        joint2 = self.head(self.embed(second, self.names))
        loss = joint1.new_zeros(())
        if "joint" in self.terms or len(self.names) == 1:
            loss = loss + self.nce(joint1, joint2)
        if "modalities" not in self.terms or len(self.names) == 1:
            return loss
        if self.masked_views == "original":
            plain = tokens_of(original)
            for name in self.names:
                z = self.head(self.embed(plain, [name]))
                loss = loss + 0.5 * (self.nce(z, joint1) + self.nce(z, joint2))
            return loss
        for name in self.names:
            z1 = self.head(self.embed(first, [name]))
            z2 = self.head(self.embed(second, [name]))
            loss = loss + 0.5 * (self.nce(z1, joint2) + self.nce(z2, joint1))
        return loss


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"masked_views": "original"},
        {"loss_terms": ("joint",)},
        {"loss_terms": ("modalities",), "temperature": 0.5},
    ],
)
@pytest.mark.parametrize("names", ["a", "ab", "abc"])
def test_a_training_trajectory_equals_the_plain_implementation(names, options):
    objective = build(names, **options)
    renamed = {"terms" if k == "loss_terms" else k: v for k, v in options.items()}
    plain = PlainCoMM(copy.deepcopy(objective), **renamed)
    generator = torch.Generator().manual_seed(1)
    optimizers = [
        torch.optim.AdamW(weight_decay_groups(module, 0.01), lr=1e-3)
        for module in (objective, plain)
    ]
    for _ in range(15):
        views, original = draw(names, 8, generator)
        original = original if objective.needs_original else None
        losses = [objective(views, original)["loss"], plain(views, original)]
        torch.testing.assert_close(losses[0], losses[1], rtol=1e-10, atol=1e-10)
        for optimizer, loss in zip(optimizers, losses, strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def test_the_total_is_the_sum_of_its_terms():
    objective = build("abc")
    views, _ = draw("abc", 8, torch.Generator().manual_seed(0))
    terms = objective(views)
    assert list(terms) == objective.term_names
    parts = [terms[key] for key in ("joint", "modality_a", "modality_b", "modality_c")]
    torch.testing.assert_close(terms["loss"], torch.stack(parts).sum())


def test_an_absent_row_takes_no_part_in_the_term_of_its_modality():
    """The term is that of the batch without the row."""
    objective = build("ab")
    objective.head = ProjectionHead(16, (6,)).double()  # no batch statistics
    generator = torch.Generator().manual_seed(2)
    views, _ = draw("ab", 6, generator)
    present = torch.tensor([True, True, False, True, True, True])
    partial = [View(view.values, {"b": present}) for view in views]
    term = objective(partial)["modality_b"]
    only = [View({k: v[present] for k, v in view.values.items()}) for view in views]
    torch.testing.assert_close(term, objective(only)["modality_b"])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("masked_views", ["augmented", "original"])
def test_absent_values_do_not_reach_loss_or_gradient(training, masked_views):
    objective = build("abc", masked_views=masked_views).train(training)
    views, original = draw("abc", 6, torch.Generator().manual_seed(3))
    presence = {"b": torch.tensor([True, True, False, True, False, True])}

    def grads(filler):
        def fill(view):
            values = dict(view.values)
            values["b"] = values["b"].clone()
            values["b"][~presence["b"]] = filler
            return View(values, presence)

        module = copy.deepcopy(objective)
        loss = module([fill(view) for view in views], fill(original))["loss"]
        loss.backward()
        return [loss, *(p.grad for p in module.parameters() if p.grad is not None)]

    for a, b in zip(grads(0.0), grads(torch.nan), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_modality_with_one_row_in_the_batch_adds_nothing():
    objective = build("ab")
    views, _ = draw("ab", 4, torch.Generator().manual_seed(4))
    presence = {"b": torch.tensor([False, True, False, False])}
    terms = objective([View(view.values, presence) for view in views])
    assert terms["modality_b"].isnan()
    torch.testing.assert_close(terms["loss"], terms["joint"] + terms["modality_a"])


def test_embedding_std_is_one_on_the_sphere_and_zero_when_collapsed():
    torch.manual_seed(0)
    assert embedding_std(torch.randn(4000, 32)).item() == pytest.approx(1, abs=0.01)
    assert embedding_std(torch.ones(10, 4)).item() == pytest.approx(0, abs=1e-6)


def test_products_have_a_term_between_the_views_and_no_part_in_the_others():
    plain = build("abc")
    torch.manual_seed(0)
    shapes = {name: SHAPES[name] for name in "abc"}
    encoder = build_multimodal_encoder(
        shapes, 16, fusion="interaction", n_heads=4, interaction_dim=12
    ).double()
    head = ProjectionHead(12, (8, 5)).double()
    objective = CoMMObjective(encoder, plain.head, interaction_head=head)
    views, _ = draw("abc", 8, torch.Generator().manual_seed(5))
    presence = {
        "b": torch.tensor([True, True, False, True, False, True, True, False]),
        "c": torch.tensor([True, False, True, True, False, True, True, True]),
    }
    views = [View(view.values, presence) for view in views]
    terms = objective(views)
    assert list(terms) == objective.term_names and terms["interaction"] > 0

    # row 4 has "a" alone
    pairs = torch.tensor([0, 1, 2, 3, 5, 6, 7])
    tokens, keep, sizes = zip(*(encoder.tokens(view) for view in views), strict=True)
    fused = encoder.fuse(torch.cat(tokens), torch.cat(keep), sizes[0], ["abc"])
    products = fused[0, :, 16:].unflatten(0, (2, 8))[:, pairs]
    own = nt_xent(head(products[:1])[0], head(products[1:])[0])
    torch.testing.assert_close(terms["interaction"], own.detach())

    plain.encoder.encoders, plain.encoder.converters = encoder.encoders, encoder.converters
    plain.encoder.fusion = encoder.fusion.transformer
    others = plain(views)
    for name in ("joint", "modality_a", "modality_b", "modality_c", "embedding_std"):
        torch.testing.assert_close(terms[name], others[name])
    torch.testing.assert_close(terms["loss"], others["loss"] + own)


def test_a_batch_without_pairs_has_no_term_for_products():
    encoder = build_multimodal_encoder(
        {name: SHAPES[name] for name in "ab"}, 16, fusion="interaction", n_heads=4
    )
    objective = CoMMObjective(
        encoder, ProjectionHead(16, (6,)), interaction_head=ProjectionHead(192, (6,))
    )
    presence = {"b": torch.tensor([False, True, False, False])}
    values = {"a": torch.randn(4, 5), "b": torch.randn(4, 3, 8)}
    terms = objective([View(values, presence), View(values, presence)])
    assert terms["interaction"].isnan() and terms["loss"].isfinite()
    terms["loss"].backward()
    assert all(p.grad.isfinite().all() for p in objective.parameters() if p.grad is not None)
