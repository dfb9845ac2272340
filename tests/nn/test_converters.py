import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mmcontrast.nn import (
    FeatureTokenizer,
    IdentityConverter,
    PatchEmbedding,
    SingleToken,
    TokenProjection,
    sincos_position_1d,
    sincos_position_2d,
)

FITTING = [
    (IdentityConverter, (7, 8)),
    (TokenProjection, (7, 5)),
    (PatchEmbedding, (3, 2, 5)),
    (FeatureTokenizer, (6,)),
    (SingleToken, (6,)),
]
N_TOKENS = {
    IdentityConverter: 7,
    TokenProjection: 7,
    PatchEmbedding: 10,
    FeatureTokenizer: 6,
    SingleToken: 1,
}


def slow_1d(position, dim):
    angles = [position / 10000 ** (2 * i / dim) for i in range(dim // 2)]
    return [math.sin(a) for a in angles] + [math.cos(a) for a in angles]


@given(n=st.integers(1, 40), half=st.integers(1, 12))
def test_1d_position_is_the_formula(n, half):
    expected = [slow_1d(p, 2 * half) for p in range(n)]
    np.testing.assert_allclose(sincos_position_1d(n, 2 * half), expected, atol=1e-6)


@given(height=st.integers(1, 6), width=st.integers(1, 6), quarter=st.integers(1, 5))
def test_2d_position_is_row_then_column(height, width, quarter):
    table = sincos_position_2d(height, width, 4 * quarter)
    expected = [
        slow_1d(row, 2 * quarter) + slow_1d(column, 2 * quarter)
        for row in range(height)
        for column in range(width)
    ]
    np.testing.assert_allclose(table, expected, atol=1e-6)


def test_longer_table_starts_with_the_shorter():
    assert torch.equal(sincos_position_1d(100, 16)[:30], sincos_position_1d(30, 16))


@pytest.mark.parametrize("dim", [1, 7])
def test_1d_position_refuses_odd_widths(dim):
    with pytest.raises(ValueError, match=rf"even embed_dim, got {dim}; .*position=False"):
        sincos_position_1d(4, dim)


@pytest.mark.parametrize("dim", [2, 6, 7])
def test_2d_position_refuses_other_than_multiples_of_4(dim):
    with pytest.raises(ValueError, match=rf"multiple of 4, got {dim}; .*position=False"):
        sincos_position_2d(2, 2, dim)


@pytest.mark.parametrize(("converter", "shape"), FITTING)
def test_token_shape_gradients_and_state(converter, shape):
    module = converter(shape, 8)
    features = torch.randn(4, *shape, requires_grad=True)
    tokens = module(features)
    assert tokens.shape == (4, N_TOKENS[converter], 8)
    tokens.pow(2).sum().backward()
    assert features.grad.abs().min() > 0
    assert all(p.grad.abs().sum() > 0 for p in module.parameters())
    assert set(module.state_dict()) == {name for name, _ in module.named_parameters()}


@pytest.mark.parametrize(("converter", "shape"), FITTING)
def test_seed_decides_the_weights(converter, shape):
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(list(converter(shape, 8).parameters()))
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))


@pytest.mark.parametrize("n_tokens", [3, 7, 12])
def test_identity_adds_the_position_for_any_number_of_tokens(n_tokens):
    tokens = torch.randn(2, n_tokens, 8)
    converted = IdentityConverter((7, 8), 8)(tokens)
    assert torch.equal(converted, tokens + sincos_position_1d(n_tokens, 8))
    assert torch.equal(IdentityConverter((7, 8), 8, position=False)(tokens), tokens)


def test_longer_input_leaves_the_module_as_it_was():
    module = IdentityConverter((7, 8), 8)
    before = [b.clone() for b in module.buffers()]
    module(torch.zeros(1, 20, 8))
    assert all(torch.equal(a, b) for a, b in zip(before, module.buffers(), strict=True))


@pytest.mark.parametrize("position", [True, False])
def test_token_projection_is_linear_per_token(position):
    module = TokenProjection((7, 5), 6, position=position)
    features = torch.randn(2, 9, 5)
    weight, bias = module.projection.weight.detach(), module.projection.bias.detach()
    expected = features.numpy() @ weight.numpy().T + bias.numpy()
    if position:
        expected = expected + sincos_position_1d(9, 6).numpy()
    np.testing.assert_allclose(module(features).detach(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(2, 5), (5, 2), (4, 4)])
@pytest.mark.parametrize("position", [True, False])
def test_patch_embedding_projects_each_position(size, position):
    module = PatchEmbedding((3, 2, 5), 8, position=position)
    features = torch.randn(2, 3, *size)
    weight = module.projection.weight.detach().numpy()[:, :, 0, 0]
    expected = np.stack(
        [features[:, :, h, w].numpy() @ weight.T for h in range(size[0]) for w in range(size[1])],
        axis=1,
    )
    if position:
        expected = expected + sincos_position_2d(*size, 8).numpy()
    np.testing.assert_allclose(module(features).detach(), expected, rtol=1e-5, atol=1e-6)


def test_positions_of_other_map_sizes_are_made_once_and_are_no_part_of_the_module(monkeypatch):
    made = []

    def counted(*size):
        made.append(size)
        return sincos_position_2d(*size)

    monkeypatch.setattr("mmcontrast.nn.converters.sincos_position_2d", counted)
    module = PatchEmbedding((3, 2, 5), 12)
    before = pickle.dumps(module)
    other = torch.randn(2, 3, 17, 3)
    with torch.inference_mode():  # what is made here serves in training as well
        inferred = module(other)
    tokens = module(other)
    tokens.sum().backward()
    assert torch.equal(inferred, tokens)
    module.zero_grad()
    assert made == [(2, 5, 12), (17, 3, 12)]
    assert pickle.dumps(module) == before
    assert [name for name, _ in module.named_buffers()] == ["position"]
    assert set(module.state_dict()) == {"projection.weight", "projection.bias"}
    assert module.double()(other.double()).dtype == torch.float64
    on_meta = module.float().to("meta")(other.to("meta"))
    assert on_meta.device.type == "meta"


def test_feature_tokenizer_scales_one_vector_per_feature():
    module = FeatureTokenizer((6,), 8)
    features = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    weight, bias = module.weight.detach().numpy(), module.bias.detach().numpy()
    expected = np.empty((3, 6, 8))
    for row in range(3):
        for j in range(6):
            expected[row, j] = features[row, j] * weight[j] + bias[j]
    tokens = module(torch.from_numpy(features)).detach()
    np.testing.assert_allclose(tokens, expected, rtol=1e-6, atol=1e-7)


def test_feature_tokenizer_starts_uniform():
    module = FeatureTokenizer((200,), 64)
    for parameter in module.parameters():
        assert parameter.abs().max() <= 1 / 8
        assert parameter.abs().max() > 0.99 / 8
        assert parameter.std().item() == pytest.approx(1 / 8 / math.sqrt(3), rel=0.03)


def test_single_token_of_the_right_width_has_no_parameters():
    module = SingleToken((8,), 8)
    features = torch.randn(3, 8)
    assert not list(module.parameters())
    assert torch.equal(module(features), features[:, None])


@pytest.mark.parametrize("module", [TokenProjection((7, 50), 100), PatchEmbedding((50, 2, 2), 100)])
def test_projections_start_xavier_uniform(module):
    weight = module.projection.weight
    assert weight.abs().max() <= math.sqrt(6 / 150)
    assert weight.std().item() == pytest.approx(math.sqrt(2 / 150), rel=0.03)
    assert not module.projection.bias.any()


@pytest.mark.parametrize(("converter", "shape"), FITTING)
@pytest.mark.parametrize("wrong", [(), (4,), (4, 8), (3, 4, 5), (2, 3, 4, 5)])
def test_misfit_names_the_converters_that_fit(converter, shape, wrong):
    if len(wrong) == len(shape):
        return
    fitting = {1: '"single_token"', 2: '"token_projection"', 3: '"patch_embedding"'}
    with pytest.raises(ValueError, match=f"{converter.__name__} expects features") as error:
        converter(wrong, 8)
    assert str(wrong) in str(error.value)
    assert fitting.get(len(wrong), "") in str(error.value)


def test_identity_of_another_width_says_what_to_do():
    with pytest.raises(ValueError, match=r'width 5, expected embed_dim=8; .*"token_projection"'):
        IdentityConverter((7, 5), 8)


@pytest.mark.parametrize(
    ("converter", "shape", "dim"),
    [(IdentityConverter, (7, 5), 5), (TokenProjection, (7, 5), 9), (PatchEmbedding, (3, 2, 2), 6)],
)
def test_width_without_position(converter, shape, dim):
    with pytest.raises(ValueError, match="position=False"):
        converter(shape, dim)
    assert converter(shape, dim, position=False)(torch.zeros(2, *shape)).shape[-1] == dim


@pytest.mark.parametrize("shape", [(0,), (3, -1), (2.5,), 7, (True,)])
def test_bad_feature_shape(shape):
    with pytest.raises(ValueError, match="feature_shape must be a tuple of positive integers"):
        SingleToken(shape, 8)


@pytest.mark.parametrize("dim", [0, -4, 8.0, None])
def test_bad_embed_dim(dim):
    with pytest.raises(ValueError, match="embed_dim must be an integer of at least 1"):
        SingleToken((4,), dim)


def test_double_precision():
    module = nn.Sequential(TokenProjection((7, 5), 6)).double()
    for n_tokens in (7, 12):
        tokens = module(torch.zeros(1, n_tokens, 5, dtype=torch.float64))
        assert tokens.dtype == torch.float64
        np.testing.assert_array_equal(tokens[0].detach(), sincos_position_1d(n_tokens, 6).double())
