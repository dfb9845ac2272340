import copy
import pickle
from functools import partial

import pytest
import torch
from torch import nn

from mmcontrast.nn import (
    CONVERTERS,
    ENCODERS,
    CausalConvEncoder,
    CNNEncoder,
    Frozen,
    GRUEncoder,
    MLPEncoder,
    SingleToken,
    TokenProjection,
    TransformerEncoder,
    accepts_lengths,
    build_converter,
    build_encoder,
    encoder_output_lengths,
    freeze,
    is_frozen,
    probe_features,
)

SHAPES = {
    "mlp": (6,),
    "gru": (3, 9),
    "transformer": (3, 9),
    "causal_conv": (3, 9),
    "spectral": (3, 40),
    "cnn": (1, 4, 8),
    "alexnet": (1, 63, 63),
    "resnet18": (1, 4, 4),
    "resnet50": (1, 4, 4),
}


class Returns(nn.Module):
    """An encoder that returns whatever a function makes of the batch."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class BatchNormNet(nn.Module):
    def __init__(self, input_shape=(6,), embed_dim=8):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(*input_shape, embed_dim), nn.BatchNorm1d(embed_dim))

    def forward(self, x):
        return self.layers(x)


class Uncopyable(nn.Linear):
    def __deepcopy__(self, memo):
        raise RuntimeError("holds a file")


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def train_once(module, x):
    module.train()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    out = module(x)
    # decay moves parameters that get no gradient from a loss as well
    loss = out.pow(2).sum() + sum(p.pow(2).sum() for p in module.parameters() if p.requires_grad)
    if loss.requires_grad:
        loss.backward()
    optimizer.step()


# ----------------------------------------------------------------------------------- build_encoder


@pytest.mark.parametrize(
    ("shape", "cls"), [((6,), MLPEncoder), ((3, 9), CausalConvEncoder), ((1, 4, 8), CNNEncoder)]
)
def test_auto_encoder_goes_by_shape(shape, cls):
    assert type(build_encoder("auto", shape, 16, modality="eeg")) is cls


@pytest.mark.parametrize("shape", [(), (2, 3, 4, 5)])
def test_auto_encoder_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match=r"modality 'eeg': encoder=\"auto\".*give an encoder"):
        build_encoder("auto", shape, 16, modality="eeg")


@pytest.mark.parametrize("embed_dim", [32, 40, 64, 512])
@pytest.mark.parametrize("name", ENCODERS)
def test_every_name_with_its_default_converter(name, embed_dim):
    shape = SHAPES[name]
    encoder = build_encoder(name, shape, embed_dim, modality="a")
    assert type(encoder) is ENCODERS[name]
    features = probe_features(encoder, shape, modality="a")
    converter = build_converter("auto", features, embed_dim, modality="a")
    tokens = converter(encoder(torch.randn(3, *shape)))
    assert tokens.ndim == 3
    assert tokens.shape[::2] == (3, embed_dim)


@pytest.mark.parametrize(
    "spec", [GRUEncoder, partial(GRUEncoder, n_layers=2), lambda s, d: GRUEncoder(s, d)]
)
def test_encoder_from_a_callable(spec):
    encoder = build_encoder(spec, (3, 9), 16, modality="eeg")
    assert isinstance(encoder, GRUEncoder)
    assert probe_features(encoder, (3, 9), modality="eeg") == (9, 16)


@pytest.mark.parametrize("as_factory", [False, True])
def test_the_users_module_is_never_trained(as_factory):
    own = BatchNormNet()
    before = state(own)
    built = build_encoder((lambda s, d: own) if as_factory else own, (6,), 8, modality="eeg")
    assert same(before, state(built))
    train_once(built, torch.randn(5, 6))
    assert not same(before, state(built))
    assert same(before, state(own))
    assert own.training


@pytest.mark.parametrize(
    ("name", "hint"),
    [("MLP", "'mlp'"), ("transfomer", "'transformer'"), ("causal-conv", "'causal_conv'")],
)
def test_misspelt_encoder_gets_a_hint(name, hint):
    with pytest.raises(
        ValueError, match=rf"modality 'eeg': unknown encoder '{name}'.*Did you mean {hint}"
    ) as error:
        build_encoder(name, (3, 9), 16, modality="eeg")
    assert all(repr(known) in str(error.value) for known in ["auto", *ENCODERS])


def test_unknown_encoder_without_a_close_name():
    with pytest.raises(ValueError, match="unknown encoder 'xyz'; choose one of 'auto', 'mlp'"):
        build_encoder("xyz", (3, 9), 16, modality="eeg")


@pytest.mark.parametrize("build", [build_encoder, build_converter])
@pytest.mark.parametrize("spec", [None, 3, ("mlp",)])
def test_spec_of_another_type(build, spec):
    with pytest.raises(
        TypeError, match=r"modality 'eeg': .* must be a name, an nn\.Module, its class"
    ):
        build(spec, (6,), 16, modality="eeg")


@pytest.mark.parametrize("build", [build_encoder, build_converter])
def test_callable_that_returns_no_module(build):
    with pytest.raises(TypeError, match=r"modality 'eeg': .*must return an nn\.Module, got 3"):
        build(lambda shape, dim: 3, (6,), 16, modality="eeg")


@pytest.mark.parametrize(
    ("spec", "shape", "kind", "message"),
    [
        (
            "gru",
            (6,),
            ValueError,
            r"modality 'eeg': .*GRUEncoder.*\(n_channels, n_times\), got \(6,\)",
        ),
        (lambda shape: nn.Identity(), (6,), TypeError, "modality 'eeg': .*positional argument"),
        (lambda s, d: 1 / 0, (6,), ValueError, "modality 'eeg': .*could not be made.*division"),
    ],
)
def test_encoder_that_cannot_be_made(spec, shape, kind, message):
    with pytest.raises(kind, match=message) as error:
        build_encoder(spec, shape, 16, modality="eeg")
    assert error.value.__cause__ is not None


def test_module_that_cannot_be_copied():
    with pytest.raises(
        ValueError, match=r"modality 'eeg': .*Uncopyable cannot be copied.*its class"
    ):
        build_encoder(Uncopyable(6, 8), (6,), 8, modality="eeg")


# ------------------------------------------------------------------------------------------ frozen


def test_is_frozen():
    net = BatchNormNet()
    assert not is_frozen(net)
    next(net.parameters()).requires_grad_(False)
    assert not is_frozen(net)
    assert freeze(net) is net
    assert is_frozen(net)
    assert not net.training
    assert not is_frozen(nn.Flatten())


@pytest.mark.parametrize("as_factory", [False, True])
def test_frozen_module_stays_bit_identical(as_factory):
    own = freeze(BatchNormNet())
    before = state(own)
    encoder = build_encoder((lambda s, d: own) if as_factory else own, (6,), 8, modality="eeg")
    assert isinstance(encoder, Frozen)
    model = nn.Sequential(encoder, nn.BatchNorm1d(8), nn.Linear(8, 2))
    head = state(model[2])
    for _ in range(3):
        train_once(model, 5 + torch.randn(10, 6))
    assert same(before, state(encoder.module))
    assert same(before, state(own))
    assert not same(head, state(model[2]))
    assert model.training
    assert not any(part.training for part in encoder.modules())


def test_frozen_output_is_that_of_evaluation_mode_without_a_graph():
    encoder = Frozen(nn.Sequential(BatchNormNet(), nn.Dropout(0.5))).train()
    x = torch.randn(5, 6, requires_grad=True)
    out = encoder(x)
    assert not out.requires_grad
    assert torch.equal(out, encoder.module.eval()(x))


def test_frozen_module_with_lengths():
    own = freeze(CausalConvEncoder((3, 9), 8))
    encoder = build_encoder(own, (3, 9), 8, modality="eeg")
    x, lengths = torch.randn(2, 3, 9), torch.tensor([9, 4])
    assert accepts_lengths(encoder)
    assert torch.equal(encoder(x, lengths=lengths), own(x, lengths=lengths))
    assert encoder_output_lengths(encoder, lengths, 9, 5, modality="eeg").tolist() == [5, 2]


def test_frozen_is_not_wrapped_twice_and_survives_copies():
    encoder = build_encoder(Frozen(BatchNormNet()), (6,), 8, modality="eeg")
    assert isinstance(encoder.module, BatchNormNet)
    x = torch.randn(3, 6)
    for twin in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert not twin.train().training
        assert torch.equal(twin(x), encoder(x))


def test_module_without_parameters_is_just_used():
    encoder = build_encoder(nn.Flatten(), (3, 4), 8, modality="eeg")
    assert type(encoder) is nn.Flatten
    assert probe_features(encoder, (3, 4), modality="eeg") == (12,)


# ----------------------------------------------------------------------------------- probe_features


@pytest.mark.parametrize("training", [True, False])
def test_probe_leaves_no_trace(training):
    encoder = nn.Sequential(BatchNormNet(), nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(8)))
    encoder.train(training)
    encoder[1][1].eval()
    before, modes = state(encoder), [m.training for m in encoder.modules()]
    assert probe_features(encoder, (6,), modality="eeg") == (8,)
    assert same(before, state(encoder))
    assert modes == [m.training for m in encoder.modules()]
    assert all(p.grad is None for p in encoder.parameters())


def test_probe_restores_buffers_that_evaluation_changes():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            return x

    encoder = Counter()
    probe_features(encoder, (6,), modality="eeg")
    assert encoder.calls == 0


def test_probe_runs_in_evaluation_mode_without_gradients():
    seen = []

    class Watch(nn.Linear):
        def forward(self, x):
            seen.append((self.training, torch.is_grad_enabled()))
            return super().forward(x)

    probe_features(Watch(6, 3), (6,), modality="eeg")
    assert seen == [(False, False)]
    assert torch.is_grad_enabled()


def test_probe_restores_modes_after_a_failure():
    encoder = nn.Sequential(nn.Dropout(), nn.Linear(7, 3))
    with pytest.raises(ValueError, match="modality 'eeg'"):
        probe_features(encoder, (6,), modality="eeg")
    assert all(m.training for m in encoder.modules())


def test_probe_runs_lazy_modules():
    encoder = build_encoder(nn.LazyLinear(5), (6,), 5, modality="eeg")
    assert probe_features(encoder, (6,), modality="eeg") == (5,)


@pytest.mark.parametrize(
    ("function", "kind", "message"),
    [
        (lambda x: (x, x), TypeError, "one floating-point tensor, got tuple"),
        (lambda x: x.long(), TypeError, "one floating-point tensor, got torch.int64"),
        (lambda x: x.sum(), ValueError, r"output of shape \(\), expected the batch of 2 first"),
        (lambda x: x[:1], ValueError, r"output of shape \(1, 6\), expected the batch of 2 first"),
        (lambda x: x[:, 0], ValueError, r"output of shape \(2,\), expected \(batch, n_features\)"),
        (lambda x: x[:, None, None, None], ValueError, r"output of shape \(2, 1, 1, 1, 6\), exp"),
        (lambda x: x[:, :0], ValueError, r"output of shape \(2, 0\), expected"),
    ],
)
def test_probe_refuses_other_outputs(function, kind, message):
    with pytest.raises(kind, match=rf"modality 'eeg': the encoder Returns .*{message}"):
        probe_features(Returns(function), (6,), modality="eeg")


def test_probe_names_the_shape_when_the_encoder_fails():
    with pytest.raises(
        ValueError, match=r"modality 'eeg': the encoder Linear failed.*\(6,\): mat1"
    ) as error:
        probe_features(nn.Linear(7, 3), (6,), modality="eeg")
    assert isinstance(error.value.__cause__, RuntimeError)
    with pytest.raises(ValueError, match=r"failed on a torch\.float32 batch"):
        probe_features(nn.Linear(6, 3).double(), (6,), modality="eeg")


# ---------------------------------------------------------------------------------- build_converter


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ((6,), "single_token"),
        ((7, 16), "identity"),
        ((7, 9), "token_projection"),
        ((3, 2, 4), "patch_embedding"),
    ],
)
def test_auto_converter_goes_by_shape(shape, name):
    assert type(build_converter("auto", shape, 16, modality="a")) is CONVERTERS[name]


def test_auto_converter_refuses_other_shapes():
    with pytest.raises(
        ValueError, match=r"modality 'eeg': converter=\"auto\".*found \(2, 3, 4, 5\)"
    ):
        build_converter("auto", (2, 3, 4, 5), 16, modality="eeg")


@pytest.mark.parametrize("spec", ["auto", "token_projection", TokenProjection])
def test_position_is_an_option(spec):
    features = torch.zeros(1, 7, 9)
    for position in (True, False):
        converter = build_converter(spec, (7, 9), 16, modality="a", position=position)
        assert converter(features).any() == position


def test_converter_from_a_callable_or_instance():
    own = TokenProjection((7, 9), 16, position=False)
    for spec in (own, lambda s, d: own):
        built = build_converter(spec, (7, 9), 16, modality="a")
        assert built is not own
        assert same(state(own), state(built))
    built = build_converter(partial(TokenProjection, position=False), (7, 9), 16, modality="a")
    assert not built(torch.zeros(1, 7, 9)).any()


def test_frozen_converter_lets_gradients_pass():
    built = build_converter(freeze(SingleToken((6,), 8)), (6,), 8, modality="a")
    features = torch.randn(2, 6, requires_grad=True)
    built(features).sum().backward()
    assert features.grad.any()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("patch_embedding", r"'eeg'.*PatchEmbedding expects features.*got \(6,\).*single_token"),
        ("single_tokn", r"'eeg': unknown converter 'single_tokn'.*Did you mean 'single_token'"),
        (
            nn.Linear(6, 8),
            r"'eeg'.*Linear turned .*\(2, 8\), expected \(batch, n_tokens, embed_dim\)",
        ),
        (SingleToken((6,), 9), r"'eeg'.*\(2, 1, 9\), expected .*embed_dim=8"),
        (nn.Linear(5, 8), r"'eeg': the converter Linear failed .*\(6,\)"),
        (Returns(lambda x: x.new_zeros(2, 0, 8)), r"'eeg'.*\(2, 0, 8\), expected"),
    ],
)
def test_converter_that_does_not_fit(spec, message):
    with pytest.raises(ValueError, match=message):
        build_converter(spec, (6,), 8, modality="eeg")


def test_identity_of_another_width_names_the_modality():
    with pytest.raises(
        ValueError, match=r"'eeg'.*width 9, expected embed_dim=16.*token_projection"
    ):
        build_converter("identity", (7, 9), 16, modality="eeg")


# ------------------------------------------------------------------------------------------ lengths


@pytest.mark.parametrize(
    ("encoder", "expected"),
    [
        (GRUEncoder((3, 9)), True),
        (TransformerEncoder((3, 9)), True),
        (CausalConvEncoder((3, 9)), True),
        (MLPEncoder((3, 9)), False),
        (CNNEncoder((1, 4, 8)), False),
        (nn.Linear(3, 4), False),
        (Frozen(GRUEncoder((3, 9))), True),
        (Frozen(nn.Linear(3, 4)), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_accepts_lengths(encoder, expected):
    assert accepts_lengths(encoder) is expected


def test_accepts_lengths_of_a_compiled_encoder():
    encoder = GRUEncoder((3, 9))
    assert accepts_lengths(torch.compile(encoder))
    lengths = torch.tensor([9, 2])
    assert encoder_output_lengths(torch.compile(encoder), lengths, 9, 9, modality="a") is lengths


def test_output_lengths():
    lengths = torch.tensor([20, 5, 0])
    conv = CausalConvEncoder((3, 20), n_layers=2)
    assert encoder_output_lengths(conv, lengths, 20, 5, modality="a").tolist() == [5, 2, 0]
    assert encoder_output_lengths(nn.Identity(), lengths, 20, 20, modality="a") is lengths
    with pytest.raises(
        ValueError, match=r"'eeg'.*20 steps and the encoder AvgPool1d returns 10 tokens"
    ):
        encoder_output_lengths(nn.AvgPool1d(2), lengths, 20, 10, modality="eeg")
