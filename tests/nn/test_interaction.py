from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcontrast.nn import InteractionFusion, TransformerFusion, Whitening, build_multimodal_encoder


def perturbed(fusion):
    """Weights and running statistics that are not those of initialisation."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        for module in fusion.modules():
            if isinstance(module, Whitening):
                module.train()(torch.randn(50, len(module.mean), dtype=torch.float64) * 2 + 1)
    return fusion.eval()


def slow_products(fusion, tokens, keep, sizes):
    """Products row by row and mask by mask, from the running statistics."""
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    out = []
    for mask in keep.expand(-1, len(tokens), -1):
        rows = []
        for row, kept in zip(tokens, mask, strict=True):
            codes = []
            for i, (start, size) in enumerate(zip(starts, sizes, strict=True)):
                part = slice(start, start + size)
                linear, whitening = fusion.codes[i]
                root = torch.linalg.cholesky(
                    0.99 * whitening.covariance
                    + 0.01 * torch.diag(torch.diagonal(whitening.covariance))
                    + 1e-5 * torch.eye(len(whitening.mean), dtype=torch.float64)
                )
                if kept[part].any():
                    centred = linear(row[part][kept[part]].mean(0)) - whitening.mean
                    codes.append(torch.linalg.solve(root, centred))
                else:
                    codes.append(None)
            products = []
            for pair, n in fusion.n_products.items():
                a, b = (codes[i] for i in pair)
                there = a is not None and b is not None
                products += [x * y for x in a for y in b][:n] if there else [torch.zeros(())] * n
            rows.append(torch.stack([torch.as_tensor(p, dtype=torch.float64) for p in products]))
        out.append(torch.stack(rows))
    return torch.stack(out)


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**16),
    batch=st.integers(1, 4),
    sizes=st.lists(st.integers(0, 3), min_size=2, max_size=3),
    interaction_dim=st.integers(3, 20),
    rowwise=st.booleans(),
)
def test_equals_products_of_codes_row_by_row(seed, batch, sizes, interaction_dim, rowwise):
    fusion = InteractionFusion(8, len(sizes), interaction_dim=interaction_dim, n_heads=2).double()
    perturbed(fusion)
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(batch, sum(sizes), 8, generator=generator, dtype=torch.float64)
    # padding is the same under all masks, which drop whole modalities
    padding = torch.rand(batch if rowwise else 1, sum(sizes), generator=generator) < 0.7
    chosen = torch.rand(3, len(sizes), generator=generator) < 0.7
    keep = chosen.repeat_interleave(torch.tensor(sizes), dim=1)[:, None] & padding
    z = fusion(tokens, keep, sizes)
    assert z.shape == (3, batch, 8 + interaction_dim) and fusion.out_dim == 8 + interaction_dim
    torch.testing.assert_close(z[..., :8], fusion.transformer(tokens, keep, sizes), rtol=0, atol=0)
    torch.testing.assert_close(z[..., 8:], slow_products(fusion, tokens, keep, sizes))


@given(n_modalities=st.integers(2, 5), interaction_dim=st.integers(10, 60))
def test_products_are_shared_evenly(n_modalities, interaction_dim):
    fusion = InteractionFusion(8, n_modalities, interaction_dim=interaction_dim)
    shares = list(fusion.n_products.values())
    assert list(fusion.n_products) == list(combinations(range(n_modalities), 2))
    assert sum(shares) == interaction_dim and max(shares) - min(shares) <= 1
    dim = len(fusion.codes[0][1].mean)
    assert (dim - 1) ** 2 < max(shares) <= dim**2


def test_rows_without_a_pair_take_no_part_in_the_statistics():
    fusion = InteractionFusion(8, 2, interaction_dim=9, n_heads=2)
    tokens = torch.randn(20, 2, 8)
    keep = torch.ones(1, 20, 2, dtype=torch.bool)
    keep[0, 12:16, 0] = keep[0, 16:, 1] = False
    z = fusion(tokens, keep, (1, 1))[0]
    assert (z[12:, 8:] == 0).all()
    alone = InteractionFusion(8, 2, interaction_dim=9, n_heads=2)
    alone.load_state_dict({k: v for k, v in fusion.state_dict().items()})
    for code in alone.codes:
        code[1].__init__(3)
    torch.testing.assert_close(alone(tokens[:12], keep[:, :12], (1, 1))[0], z[:12])
    for ours, theirs in zip(fusion.buffers(), alone.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs)
    before = [b.clone() for b in fusion.buffers()]
    fusion(tokens, torch.tensor([[[True, False]], [[False, True]]]), (1, 1))
    assert all(torch.equal(a, b) for a, b in zip(before, fusion.buffers(), strict=True))


@pytest.mark.parametrize("batch", [1, 2, 30])
def test_gradients_are_finite_and_reach_the_tokens_of_both(batch):
    fusion = InteractionFusion(8, 2, interaction_dim=16, n_heads=2)
    tokens = torch.randn(batch, 3, 8, requires_grad=True)
    z = fusion(tokens, torch.ones(1, 1, 3, dtype=torch.bool), (1, 2))
    z[..., 8:].mul(torch.randn(16)).sum().backward()
    assert tokens.grad.isfinite().all()
    if batch > 2:  # two rows are whitened to two points whatever they are
        assert (tokens.grad.abs().sum(-1) > 0).all()


def test_constant_tokens_have_a_code_of_zero():
    fusion = InteractionFusion(8, 2, interaction_dim=16, n_heads=2)
    z = fusion(torch.ones(10, 2, 8), torch.ones(1, 1, 2, dtype=torch.bool), (1, 1))
    torch.testing.assert_close(z[..., 8:], torch.zeros(1, 10, 16), rtol=0, atol=1e-4)


def test_one_modality_is_the_plain_transformer():
    torch.manual_seed(0)
    fusion = InteractionFusion(8, 1, n_heads=2, n_layers=2)
    plain = TransformerFusion(8, 1, n_heads=2, n_layers=2)
    plain.load_state_dict(fusion.transformer.state_dict())
    tokens, keep = torch.randn(4, 3, 8), torch.ones(1, 1, 3, dtype=torch.bool)
    assert torch.equal(fusion(tokens, keep, (3,)), plain(tokens, keep, (3,)))
    assert fusion.out_dim == 8


def test_too_few_products_are_refused():
    with pytest.raises(ValueError, match="interaction_dim=2 .* 3 pairs of 3 modalities"):
        InteractionFusion(8, 3, interaction_dim=2)


def test_is_built_by_name_with_its_options():
    shapes = {"a": (4,), "b": (5,)}
    options = {"n_heads": 2, "n_layers": 2, "interaction_dim": 12}
    encoder = build_multimodal_encoder(shapes, 8, fusion="interaction", **options)
    assert encoder.out_dim == 20 and len(encoder.fusion.transformer.blocks) == 2
    for name in ("transformer", "concat_linear"):
        assert build_multimodal_encoder(shapes, 8, fusion=name, **options).out_dim == 8


# ---------------------------------------------------------------------------- whitening
@pytest.mark.parametrize("n_rows", [2, 5, 15])
def test_batches_of_few_rows_do_not_blow_others_up(n_rows):
    """Their covariance is singular; all of them together are as good as large ones."""
    rng, whitening = torch.Generator().manual_seed(0), Whitening(8)
    for _ in range(400):
        rows = 3 * torch.randn(n_rows, 8, generator=rng)
        assert whitening(rows).isfinite().all()
    found = whitening.eval()(3 * torch.randn(5000, 8, generator=rng))
    assert 0.7 < found.std() < 1.7


def test_views_of_a_single_row_have_no_covariance():
    torch.manual_seed(0)
    whitening = Whitening(8)
    for _ in range(50):
        whitening(torch.randn(1, 8).repeat(2, 1) + 0.01 * torch.randn(2, 8))
    assert whitening.eval()(torch.randn(500, 8)).abs().max() < 30


@given(seed=st.integers(0, 2**16), dim=st.integers(1, 6))
def test_whitened_batches_have_no_correlation(seed, dim):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dim, dim, generator=generator, dtype=torch.float64)
    mixing += 2 * torch.eye(dim, dtype=torch.float64)
    x = torch.randn(200, dim, generator=generator, dtype=torch.float64) @ mixing + 3
    white = Whitening(dim, shrinkage=0.0).double()(10 * x)
    torch.testing.assert_close(
        white.T.cov(correction=0).reshape(dim, dim), torch.eye(dim).double(), rtol=0, atol=1e-3
    )
    torch.testing.assert_close(white.mean(0), torch.zeros(dim).double(), rtol=0, atol=1e-6)


def test_shrunk_all_the_way_it_is_batch_normalisation():
    x = torch.randn(50, 4) @ torch.randn(4, 4) + 1
    plain = torch.nn.BatchNorm1d(4, affine=False)(x)
    torch.testing.assert_close(Whitening(4, shrinkage=1.0)(x), plain, rtol=1e-4, atol=1e-5)


def test_running_statistics_are_means_at_first_and_moving_later():
    whitening, batches = Whitening(2, momentum=0.25), torch.randn(6, 30, 2, dtype=torch.float64)
    whitening = whitening.double()
    means = []
    for batch in batches:
        whitening(batch)
        means.append(whitening.mean.clone())
    torch.testing.assert_close(means[2], batches[:3].mean((0, 1)))
    torch.testing.assert_close(means[5], 0.75 * means[4] + 0.25 * batches[5].mean(0))
    state = whitening.eval().state_dict()
    again = Whitening(2).double().eval()
    again.load_state_dict(state)
    assert torch.equal(again(batches[0]), whitening(batches[0]))
    assert torch.equal(whitening(batches[0][:1]), whitening(batches[0])[:1])


def test_a_single_row_is_whitened_with_running_statistics():
    whitening = Whitening(2)
    whitening(torch.randn(30, 2))
    row = torch.randn(1, 2)
    torch.testing.assert_close(whitening(row), whitening.eval()(row), rtol=0, atol=0)


def test_values_that_diverged_do_not_raise():
    assert not Whitening(2)(torch.full((4, 2), torch.nan)).isfinite().any()
