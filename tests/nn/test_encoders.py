import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mmcontrast.nn import (
    CausalConvEncoder,
    GRUEncoder,
    MLPEncoder,
    TransformerEncoder,
    sincos_position_1d,
    valid_steps,
)

small_transformer = partial(TransformerEncoder, n_layers=2)
SEQUENCE_ENCODERS = {
    "gru": partial(GRUEncoder, n_layers=2),
    "transformer": small_transformer,
    "causal_conv": CausalConvEncoder,
    "causal_conv_3": partial(CausalConvEncoder, n_layers=2, stride=3, kernel_size=5, channels=7),
    "causal_conv_1": partial(CausalConvEncoder, n_layers=2, stride=1, kernel_size=4),
}
ALL_ENCODERS = {
    **{name: (make, (3, 20)) for name, make in SEQUENCE_ENCODERS.items()},
    "mlp": (partial(MLPEncoder, batch_norm=True, dropout=0.1), (3, 20)),
}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


# ------------------------------------------------------------------------------------- all encoders


@pytest.mark.parametrize("name", ALL_ENCODERS)
def test_gradient_reaches_every_parameter(name):
    make, shape = ALL_ENCODERS[name]
    encoder = make(shape, 16)
    # a random direction: the sum of normalised tokens is constant
    features = encoder(torch.randn(6, *shape))
    (features * torch.randn_like(features)).sum().backward()
    silent = [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


@pytest.mark.parametrize("name", ALL_ENCODERS)
def test_seed_decides_the_weights(name):
    make, shape = ALL_ENCODERS[name]
    x, outputs = torch.randn(4, *shape), []
    for _ in range(2):
        torch.manual_seed(5)
        outputs.append(make(shape, 16)(x))
    assert torch.equal(*outputs)


@pytest.mark.parametrize("name", ALL_ENCODERS)
def test_state_holds_no_position(name):
    make, shape = ALL_ENCODERS[name]
    encoder = make(shape, 16)
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    learned = {n for n in encoder.state_dict() if not n.endswith(statistics)}
    assert learned == {n for n, _ in encoder.named_parameters()}


@pytest.mark.parametrize("name", ALL_ENCODERS)
def test_rows_are_encoded_on_their_own_in_evaluation(name):
    make, shape = ALL_ENCODERS[name]
    encoder, x = make(shape, 16).eval(), torch.randn(5, *shape)
    together = encoder(x)
    for row in range(5):
        torch.testing.assert_close(encoder(x[row : row + 1])[0], together[row])


@pytest.mark.parametrize("name", ALL_ENCODERS)
@pytest.mark.parametrize("shape", [(0, 3), (3, -1), (2.5, 3), 4])
def test_bad_input_shape(name, shape):
    with pytest.raises(ValueError, match="input_shape must be a tuple of positive integers"):
        ALL_ENCODERS[name][0](shape, 16)


@pytest.mark.parametrize("name", ALL_ENCODERS)
def test_bad_embed_dim(name):
    make, shape = ALL_ENCODERS[name]
    with pytest.raises(ValueError, match="embed_dim must be an integer of at least 1, got 0"):
        make(shape, 0)


# -------------------------------------------------------------------------------- sequence encoders


@pytest.mark.parametrize("name", SEQUENCE_ENCODERS)
@given(n_channels=st.integers(1, 5), n_times=st.integers(1, 70), other=st.integers(1, 70))
@settings(max_examples=10)
def test_sequence_shapes(name, n_channels, n_times, other):
    encoder = SEQUENCE_ENCODERS[name]((n_channels, n_times), 8)
    for n in (n_times, other):
        n_tokens = encoder.output_lengths(torch.tensor([n])).item()
        assert n_tokens >= 1
        assert encoder(torch.randn(2, n_channels, n)).shape == (2, n_tokens, 8)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", SEQUENCE_ENCODERS)
@given(data=st.data())
@settings(max_examples=12)
def test_padding_values_never_reach_the_output(name, training, data):
    n_times = data.draw(st.integers(1, 40))
    lengths = torch.tensor(data.draw(st.lists(st.integers(0, n_times), min_size=1, max_size=4)))
    junk = data.draw(st.sampled_from([float("nan"), float("inf"), 1e30, -3.0]))
    dropout = {} if name.startswith("causal") else {"dropout": 0.5}
    encoder = SEQUENCE_ENCODERS[name]((3, n_times), 8, **dropout).train(training)
    x = torch.randn(len(lengths), 3, n_times)
    padded = x.masked_fill(~valid_steps(lengths, n_times)[:, None], junk)
    outputs = []
    for batch in (x, padded):
        torch.manual_seed(1)
        # torch takes another path through attention without gradients
        with torch.set_grad_enabled(training):
            outputs.append(encoder(batch, lengths=lengths))
    assert torch.equal(*outputs)
    assert outputs[0].isfinite().all()
    behind = ~valid_steps(encoder.output_lengths(lengths), outputs[0].shape[1])
    assert not outputs[0][behind].any()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", SEQUENCE_ENCODERS)
@given(n_valid=st.integers(1, 30), n_more=st.integers(0, 30))
@settings(max_examples=12)
def test_amount_of_padding_does_not_matter(name, training, n_valid, n_more):
    encoder = SEQUENCE_ENCODERS[name]((3, 25), 8).double().train(training)
    x = torch.randn(2, 3, n_valid, dtype=torch.float64)
    padded = nn.functional.pad(x, (0, n_more), value=7.0)
    n_tokens = encoder.output_lengths(torch.tensor([n_valid]))
    with torch.set_grad_enabled(training):
        tokens = encoder(padded, lengths=torch.tensor([n_valid, n_valid]))
        torch.testing.assert_close(tokens[:, :n_tokens], encoder(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", SEQUENCE_ENCODERS)
def test_padding_gets_no_gradient(name):
    encoder = SEQUENCE_ENCODERS[name]((3, 20), 8)
    x, lengths = torch.randn(3, 3, 20, requires_grad=True), torch.tensor([20, 7, 0])
    tokens = encoder(x, lengths=lengths)
    (tokens * torch.randn_like(tokens)).sum().backward()
    inside = valid_steps(lengths, 20)[:, None].expand_as(x)
    assert not x.grad[~inside].any()
    assert x.grad[inside].all()
    assert all(p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.parametrize("name", SEQUENCE_ENCODERS)
def test_full_lengths_change_nothing(name):
    encoder = SEQUENCE_ENCODERS[name]((3, 20), 8)
    x = torch.randn(4, 3, 20)
    tokens = encoder(x, lengths=torch.full((4,), 20))
    torch.testing.assert_close(tokens, encoder(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SEQUENCE_ENCODERS)
def test_sequence_errors(name):
    make = SEQUENCE_ENCODERS[name]
    encoder = make((3, 20), 8)
    with pytest.raises(ValueError, match=r"\(n_channels, n_times\), got \(3, 4, 5\)"):
        make((3, 4, 5), 8)
    with pytest.raises(ValueError, match=r"shape \(batch, 3, n_times\), got \(2, 4, 20\)"):
        encoder(torch.zeros(2, 4, 20))
    with pytest.raises(ValueError, match=r"lengths of shape \(3,\) for 2 rows"):
        encoder(torch.zeros(2, 3, 20), lengths=torch.tensor([1, 2, 3]))
    with pytest.raises(ValueError, match="n_layers must be an integer of at least 1, got 0"):
        type(encoder)((3, 20), 8, n_layers=0)


@pytest.mark.parametrize("make", [GRUEncoder, TransformerEncoder, MLPEncoder])
@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_bad_dropout(make, dropout):
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\)"):
        make((3, 20), 8, dropout=dropout)


# ---------------------------------------------------------------------------------------------- MLP


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (2, 3, 4), (2, 2, 2, 2)])
@pytest.mark.parametrize("hidden_dims", [(), (9,), [8, 6]])
def test_mlp_flattens_and_multiplies(shape, hidden_dims):
    encoder = MLPEncoder(shape, 5, hidden_dims=hidden_dims)
    x = torch.randn(4, *shape)
    expected = x.numpy().reshape(4, -1)
    linears = [m for m in encoder.modules() if isinstance(m, nn.Linear)]
    assert [m.out_features for m in linears] == [*hidden_dims, 5]
    for i, linear in enumerate(linears):
        expected = expected @ linear.weight.detach().numpy().T + linear.bias.detach().numpy()
        if i < len(hidden_dims):
            expected = np.maximum(expected, 0)
    np.testing.assert_allclose(encoder(x).detach(), expected, rtol=1e-4, atol=1e-5)


def test_mlp_starts_kaiming_uniform():
    encoder = MLPEncoder((300,), 300, hidden_dims=(300,))
    hidden, output = (m for m in encoder.modules() if isinstance(m, nn.Linear))
    assert hidden.weight.std().item() == pytest.approx(math.sqrt(2 / 300), rel=0.02)
    assert hidden.weight.abs().max() <= math.sqrt(6 / 300)
    assert output.weight.std().item() == pytest.approx(math.sqrt(1 / 300), rel=0.02)
    assert not hidden.bias.any()
    assert not output.bias.any()


def test_mlp_options():
    plain, full = MLPEncoder((4,), 5), MLPEncoder((4,), 5, batch_norm=True, dropout=0.3)
    assert not any(isinstance(m, nn.BatchNorm1d | nn.Dropout) for m in plain.modules())
    assert [m.p for m in full.modules() if isinstance(m, nn.Dropout)] == [0.3]
    assert sum(isinstance(m, nn.BatchNorm1d) for m in full.modules()) == 1
    with pytest.raises(ValueError, match=r"activation must be one of .*'gelu'.*, got 'sine'"):
        MLPEncoder((4,), 5, activation="sine")
    with pytest.raises(ValueError, match="hidden_dims must be"):
        MLPEncoder((4,), 5, hidden_dims=(0,))


# ---------------------------------------------------------------------------------------------- GRU


def slow_gru(x, weight_ih, weight_hh, bias_ih, bias_hh):
    """Hidden states of one sequence (n_channels, n_times), step by step."""

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    n = weight_hh.shape[1]
    state, states = np.zeros(n), []
    for step in x.T:
        from_input, from_state = weight_ih @ step + bias_ih, weight_hh @ state + bias_hh
        reset = sigmoid(from_input[:n] + from_state[:n])
        update = sigmoid(from_input[n : 2 * n] + from_state[n : 2 * n])
        new = np.tanh(from_input[2 * n :] + reset * from_state[2 * n :])
        state = (1 - update) * new + update * state
        states.append(state)
    return np.array(states)


def test_gru_is_the_recurrence():
    encoder = GRUEncoder((3, 6), 4).double()
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if "bias" in name:
                parameter.normal_()
    weights = [p.detach().numpy() for p in encoder.parameters()]
    x = torch.randn(2, 3, 6, dtype=torch.float64)
    expected = [slow_gru(row.numpy(), *weights) for row in x]
    np.testing.assert_allclose(encoder(x).detach(), expected, atol=1e-12)


def test_gru_starts_xavier_orthogonal_zero():
    encoder = GRUEncoder((50, 6), 40, n_layers=2)
    for name, parameter in encoder.named_parameters():
        for gate in parameter.detach().chunk(3):
            if "bias" in name:
                assert not gate.any()
            elif "weight_hh" in name:
                torch.testing.assert_close(gate @ gate.T, torch.eye(40), atol=1e-5, rtol=0)
            else:
                expected = math.sqrt(2 / sum(gate.shape))
                assert gate.std().item() == pytest.approx(expected, rel=0.05)


# -------------------------------------------------------------------------------------- transformer


@pytest.mark.parametrize(
    ("embed_dim", "n_heads"), [(32, 8), (40, 8), (64, 8), (512, 8), (30, 5), (12, 4), (6, 2)]
)
def test_default_heads(embed_dim, n_heads):
    encoder = TransformerEncoder((3, 6), embed_dim, n_layers=1)
    assert encoder.blocks.layers[0].self_attn.num_heads == n_heads


def slow_transformer_block(x, layer, n_heads):
    """Pre-norm block of one sequence (n_times, width), in numpy."""

    def array(parameter):
        return parameter.detach().numpy()

    def norm(a, module):
        a = (a - a.mean(1, keepdims=True)) / np.sqrt(a.var(1, keepdims=True) + module.eps)
        return a * array(module.weight) + array(module.bias)

    def linear(a, weight, bias):
        return a @ array(weight).T + array(bias)

    attention = layer.self_attn
    projected = linear(norm(x, layer.norm1), attention.in_proj_weight, attention.in_proj_bias)
    heads = []
    for q, k, v in zip(*(np.split(p, n_heads, 1) for p in np.split(projected, 3, 1)), strict=True):
        weights = np.exp(q @ k.T / math.sqrt(q.shape[1]))
        heads.append(weights / weights.sum(1, keepdims=True) @ v)
    x = x + linear(np.hstack(heads), attention.out_proj.weight, attention.out_proj.bias)
    hidden = linear(norm(x, layer.norm2), layer.linear1.weight, layer.linear1.bias)
    gelu = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
    return x + linear(gelu, layer.linear2.weight, layer.linear2.bias)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("position", [True, False])
def test_transformer_is_the_formula(training, position):
    encoder = TransformerEncoder((3, 6), 8, n_heads=2, n_layers=1, position=position)
    encoder = encoder.double().train(training)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.normal_()
    x = torch.randn(1, 3, 6, dtype=torch.float64)
    weight, bias = (p.detach().numpy() for p in encoder.projection.parameters())
    tokens = x[0].numpy().T @ weight.T + bias
    if position:
        tokens = tokens + sincos_position_1d(6, 8).numpy()
    tokens = slow_transformer_block(tokens, encoder.blocks.layers[0], n_heads=2)
    norm = encoder.blocks.norm
    tokens = (tokens - tokens.mean(1, keepdims=True)) / np.sqrt(tokens.var(1, keepdims=True) + 1e-5)
    expected = tokens * norm.weight.detach().numpy() + norm.bias.detach().numpy()
    with torch.no_grad():
        np.testing.assert_allclose(encoder(x)[0], expected, atol=1e-10)


def test_transformer_starts_truncated_normal():
    encoder = TransformerEncoder((3, 6), 64, n_layers=2)
    for name, parameter in encoder.blocks.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
        elif "norm" in name:
            assert (parameter == 1).all()
        else:
            assert parameter.abs().max() <= 0.04
            # truncation at two standard deviations leaves .88 of one
            assert parameter.std().item() == pytest.approx(0.0176, rel=0.03)


def test_transformer_options():
    with pytest.raises(ValueError, match="n_heads=3 and embed_dim=64"):
        TransformerEncoder((3, 6), 64, n_heads=3)
    with pytest.raises(ValueError, match="even embed_dim, got 7"):
        TransformerEncoder((3, 6), 7)
    with pytest.raises(ValueError, match="mlp_ratio must be positive, got 0"):
        TransformerEncoder((3, 6), 8, mlp_ratio=0)
    encoder = TransformerEncoder((3, 6), 7, position=False, n_layers=1, mlp_ratio=2)
    assert encoder.blocks.layers[0].linear1.out_features == 14


# ---------------------------------------------------------------------------------------- causality


@given(
    n_times=st.integers(1, 40),
    n_layers=st.integers(1, 3),
    stride=st.integers(1, 3),
    extra=st.integers(0, 3),
    data=st.data(),
)
def test_causal_conv_sees_no_future(n_times, n_layers, stride, extra, data):
    encoder = CausalConvEncoder(
        (2, n_times), 4, n_layers=n_layers, stride=stride, kernel_size=stride + extra
    )
    assert encoder.total_stride == stride**n_layers
    x = torch.randn(1, 2, n_times)
    changed = x.clone()
    start = data.draw(st.integers(0, n_times - 1))
    changed[..., start:] = torch.randn(2, n_times - start)
    differs = (encoder(x) != encoder(changed)).any(dim=-1)[0]
    unaware = start // encoder.total_stride
    assert not differs[:unaware].any()


@given(n_times=st.integers(1, 40), stride=st.integers(1, 3), n_layers=st.integers(1, 3))
def test_causal_conv_reads_every_time_step(n_times, stride, n_layers):
    encoder = CausalConvEncoder((2, n_times), 4, n_layers=n_layers, stride=stride, kernel_size=3)
    x = torch.randn(1, 2, n_times, requires_grad=True)
    tokens = encoder(x)
    (tokens * torch.randn_like(tokens)).sum().backward()
    assert x.grad.abs().sum(dim=1).all()


def test_gru_sees_no_future():
    encoder, x = GRUEncoder((3, 20), 8), torch.randn(2, 3, 20)
    changed = x.clone()
    changed[..., 12:] = 0
    before, after = encoder(x), encoder(changed)
    assert torch.equal(before[:, :12], after[:, :12])
    assert (before[:, 12:] != after[:, 12:]).any(dim=-1).all()


def test_causal_conv_is_the_sum_over_the_kernel():
    encoder = CausalConvEncoder((2, 5), 3, n_layers=1, stride=2, kernel_size=3)
    weight = encoder.convs[0].weight.detach().numpy()
    x = torch.randn(1, 2, 5)
    # one step of the past, then the two steps of the token's own stride
    padded = np.concatenate([np.zeros((2, 1)), x[0].numpy(), np.zeros((2, 1))], axis=1)
    tokens = np.array(
        [[np.sum(weight[o] * padded[:, 2 * t : 2 * t + 3]) for o in range(3)] for t in range(3)]
    )
    expected = (tokens - tokens.mean(1, keepdims=True)) / np.sqrt(
        tokens.var(1, keepdims=True) + 1e-5
    )
    np.testing.assert_allclose(encoder(x)[0].detach(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("n_times", "n_layers", "n_tokens"),
    [(1, 1, 1), (8, 1, 4), (20, 1, 10), (32, 2, 8), (50, 3, 7), (256, 5, 8), (2000, 5, 63)],
)
def test_causal_conv_default_depth(n_times, n_layers, n_tokens):
    encoder = CausalConvEncoder((2, n_times), 4)
    assert encoder.n_layers == n_layers
    assert encoder(torch.zeros(1, 2, n_times)).shape == (1, n_tokens, 4)


def test_causal_conv_options():
    encoder = CausalConvEncoder((2, 9), 4, n_layers=3, channels=7)
    assert [c.out_channels for c in encoder.convs] == [7, 7, 4]
    with pytest.raises(ValueError, match="kernel_size must be an integer of at least 3, got 2"):
        CausalConvEncoder((2, 9), 4, kernel_size=2, stride=3)
    with pytest.raises(ValueError, match="channels must be an integer of at least 1"):
        CausalConvEncoder((2, 9), 4, channels=0)
