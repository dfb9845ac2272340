import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmcontrast.nn import ConcatLinearFusion, FusionBlock, TransformerFusion

cases = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**16),
        "batch": st.integers(1, 5),
        "n_tokens": st.integers(1, 7),
        "n_masks": st.integers(1, 4),
        "n_heads": st.sampled_from([1, 2, 4]),
        "rowwise": st.booleans(),
    }
)


def draw_tokens(seed, batch, n_tokens, n_masks, rowwise, dim=8, **_):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(batch, n_tokens, dim, generator=generator, dtype=torch.float64)
    shape = (n_masks, batch if rowwise else 1, n_tokens)
    return tokens, torch.rand(shape, generator=generator) < 0.7


def slow_fusion(fusion, tokens, keep):
    """CLS of a pre-norm transformer over exactly the kept tokens, row by row and mask by mask."""
    out = []
    for mask in keep.expand(-1, len(tokens), -1):
        rows = []
        for row, kept in zip(tokens, mask, strict=True):
            x = torch.cat([fusion.cls[None], row[kept]])
            for block in fusion.blocks:
                h = block.norm_attention(x)
                dim = h.shape[1]
                weight, bias = block.query_key_value.weight, block.query_key_value.bias
                q, k, v = (
                    (h @ weight[i * dim : (i + 1) * dim].T + bias[i * dim : (i + 1) * dim])
                    for i in range(3)
                )
                width = dim // block.n_heads
                heads = []
                for i in range(block.n_heads):
                    part = slice(i * width, (i + 1) * width)
                    scores = q[:, part] @ k[:, part].T / width**0.5
                    heads.append(scores.softmax(1) @ v[:, part])
                x = x + block.project(torch.cat(heads, 1))
                x = x + block.mlp(block.norm_mlp(x))
            rows.append(fusion.norm(x[0]))
        out.append(torch.stack(rows))
    return torch.stack(out)


@pytest.mark.parametrize("n_layers", [1, 2, 3])
@given(case=cases)
def test_transformer_fusion_equals_attention_over_the_kept_tokens(case, n_layers):
    torch.manual_seed(case["seed"])
    fusion = TransformerFusion(8, 2, n_heads=case["n_heads"], n_layers=n_layers).double()
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    tokens, keep = draw_tokens(**case)
    torch.testing.assert_close(
        fusion(tokens, keep, (case["n_tokens"],)),
        slow_fusion(fusion, tokens, keep),
        rtol=1e-10,
        atol=1e-10,
    )


@given(case=cases)
def test_first_token_alone_has_the_value_and_gradient_of_the_whole_block(case):
    torch.manual_seed(case["seed"])
    block = FusionBlock(8, case["n_heads"]).double()
    x, keep = draw_tokens(**case)
    keep[..., 0] = True
    x.requires_grad_()
    fast = block.first_token(x, keep)
    plain = torch.stack([block(x, mask)[:, 0] for mask in keep])
    torch.testing.assert_close(fast, plain, rtol=1e-12, atol=1e-12)
    inputs = (x, *block.parameters())
    pull = torch.randn_like(fast)
    for a, b in zip(
        torch.autograd.grad(fast, inputs, pull),
        torch.autograd.grad(plain, inputs, pull),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@given(case=cases)
def test_a_dropped_token_has_no_influence(case):
    torch.manual_seed(case["seed"])
    tokens, keep = draw_tokens(**case)
    everywhere_dropped = ~keep.expand(-1, len(tokens), -1).any(0)
    changed = torch.where(everywhere_dropped[..., None], 1e6, tokens)
    sizes = (case["n_tokens"],)
    for fusion in (TransformerFusion(8, 1, n_heads=2, n_layers=2), ConcatLinearFusion(8, 1)):
        fusion = fusion.double()
        torch.testing.assert_close(
            fusion(tokens, keep, sizes), fusion(changed, keep, sizes), rtol=0, atol=1e-12
        )


def test_attention_dropout_has_the_expectation_of_no_dropout():
    torch.manual_seed(0)
    block = FusionBlock(8, 2, dropout=0.3)
    block.mlp = torch.nn.Identity()  # leaves the attention branch, which is linear in the weights
    block.norm_mlp = torch.nn.Identity()
    x, keep = torch.randn(1, 4, 8), torch.ones(1, 1, 4, dtype=torch.bool)
    with torch.no_grad():
        dropped = block.train().first_token(x.expand(20_000, -1, -1), keep).mean(1)
        plain = torch.stack([block(x.expand(20_000, -1, -1), keep[0])[:, 0].mean(0)])
    torch.testing.assert_close(dropped, plain, rtol=0, atol=0.03)


@given(case=cases)
def test_concat_linear_is_a_linear_map_of_the_mean_kept_tokens(case):
    torch.manual_seed(case["seed"])
    n = case["n_tokens"]
    tokens, keep = draw_tokens(**{**case, "n_tokens": 2 * n + 1})
    sizes = (n, 0, n + 1)
    fusion = ConcatLinearFusion(8, 3).double()
    for m, mask in enumerate(keep.expand(-1, len(tokens), -1)):
        for row, kept, z in zip(tokens, mask, fusion(tokens, keep, sizes)[m], strict=True):
            means = [torch.zeros(8, dtype=torch.float64) for _ in sizes]
            for i, part in ((0, slice(0, n)), (2, slice(n, None))):
                if kept[part].any():
                    means[i] = row[part][kept[part]].mean(0)
            torch.testing.assert_close(z, fusion.linear(torch.cat(means)))


def test_refuses_sizes_that_do_not_go_together():
    with pytest.raises(ValueError, match="embed_dim=10 is not a multiple of n_heads=4"):
        TransformerFusion(10, 2, n_heads=4)
    with pytest.raises(ValueError, match="n_layers=0"):
        TransformerFusion(8, 2, n_layers=0)


def test_weights_are_truncated_normal_and_biases_zero():
    fusion = TransformerFusion(64, 2)
    weight = fusion.blocks[0].query_key_value.weight
    assert abs(weight.std().item() - 0.02) < 0.002
    assert (fusion.blocks[0].mlp[0].bias == 0).all()
