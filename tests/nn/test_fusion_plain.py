"""The fusion against plain attention: gradients, dropout, padding and absent modalities."""

import pytest
import torch
import torch.nn.functional as F

from mmcontrast.nn import (
    FusionBlock,
    GRUEncoder,
    IdentityConverter,
    MLPEncoder,
    MultimodalEncoder,
    SingleToken,
    TransformerFusion,
    View,
)


def plain_fusion(fusion, tokens, keep):
    """Every block for every token, one mask at a time."""
    found = []
    for mask in keep.expand(-1, len(tokens), -1):
        x = torch.cat([fusion.cls.expand(len(tokens), 1, -1), tokens], dim=1)
        mask = F.pad(mask, (1, 0), value=True)
        for block in fusion.blocks:
            x = block(x, mask)
        found.append(fusion.norm(x)[:, 0])
    return torch.stack(found)


@pytest.mark.parametrize("n_layers", [1, 2, 3])
@pytest.mark.parametrize("rowwise", [True, False])
def test_gradients_are_those_of_plain_attention(n_layers, rowwise):
    torch.manual_seed(n_layers)
    fusion = TransformerFusion(16, 2, n_heads=4, n_layers=n_layers).double()
    tokens = torch.randn(5, 7, 16, dtype=torch.float64, requires_grad=True)
    keep = torch.rand(4, 5 if rowwise else 1, 7) < 0.6
    keep[0] = False  # a set of modalities that a row has nothing of
    pull = torch.randn(4, 5, 16, dtype=torch.float64)
    inputs = [tokens, *fusion.parameters()]
    found = torch.autograd.grad(fusion(tokens, keep, (3, 4)), inputs, pull)
    expected = torch.autograd.grad(plain_fusion(fusion, tokens, keep), inputs, pull)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("n_layers", [1, 2])
def test_with_dropout_the_embedding_has_the_distribution_of_plain_attention(n_layers):
    torch.manual_seed(0)
    fusion = TransformerFusion(8, 2, n_heads=2, n_layers=n_layers, dropout=0.4)
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    fusion.norm = torch.nn.Identity()
    n_draws = 10_000
    tokens = torch.randn(1, 4, 8).expand(n_draws, -1, -1)
    keep = torch.tensor([[True] * 4, [True, False, True, False]])[:, None]
    with torch.no_grad():
        found, expected = fusion(tokens, keep, (2, 2)), plain_fusion(fusion, tokens, keep)
    mean, scale = expected.mean(1, keepdim=True), expected.std(1, keepdim=True)
    for moment, tolerance in ((1, 0.05), (2, 0.1), (3, 0.5)):
        a, b = ((((z - mean) / scale) ** moment).mean(1) for z in (found, expected))
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance)
    # views under different masks draw their own
    first, second = ((z - z.mean(0)) / z.std(0) for z in found)
    assert (first.T @ second / n_draws).abs().max() < 0.05


def test_dropout_draws_anew_for_every_token_head_and_mask():
    torch.manual_seed(0)
    block = FusionBlock(8, 2, dropout=0.5).train()
    block.project = torch.nn.Linear(8, 8, bias=False)
    x = torch.randn(1, 5, 8).expand(64, -1, -1)
    keep = torch.ones(2, 1, 5, dtype=torch.bool)
    with torch.no_grad():
        z = block.first_token(x, keep)
    assert len(torch.unique(z.flatten(0, 1), dim=0)) > 100


def test_a_row_sees_what_it_has_and_nothing_else():
    torch.manual_seed(0)
    names = ("eeg", "age")
    encoder = MultimodalEncoder(
        {"eeg": GRUEncoder((3, 6), 8), "age": MLPEncoder((2,), 8)},
        {"eeg": IdentityConverter((6, 8), 8), "age": SingleToken((8,), 8)},
        TransformerFusion(8, 2, n_heads=2, n_layers=2),
        embed_dim=8,
    ).double()
    eeg, age = (torch.randn(4, *shape, dtype=torch.float64) for shape in ((3, 6), (2,)))
    lengths = torch.tensor([6, 2, 4, 3])
    presence = {
        "eeg": torch.tensor([True, True, False, True]),
        "age": torch.tensor([True, False, True, True]),
    }
    masks = [names, ("eeg",), ("age",)]
    together = encoder(View({"eeg": eeg, "age": age}, presence, {"eeg": lengths}), masks)
    nothing = plain_fusion(encoder.fusion, eeg.new_zeros(1, 0, 8), torch.ones(1, 1, 0).bool())
    for row, steps in enumerate(lengths.tolist()):
        for m, mask in enumerate(masks):
            seen = [name for name in mask if presence[name][row]]
            values = {"eeg": eeg[row : row + 1, :, :steps], "age": age[row : row + 1]}
            if not seen:
                torch.testing.assert_close(together[m, row], nothing[0, 0])
                continue
            alone = encoder(View({name: values[name] for name in seen}))
            torch.testing.assert_close(together[m, row], alone[0, 0])
