import copy
import math
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from mmcontrast.nn import (
    ENCODERS,
    AlexNetEncoder,
    CNNEncoder,
    ResNet18Encoder,
    ResNet50Encoder,
    build_multimodal_encoder,
)

SMALL_ENCODERS = {
    "cnn": (CNNEncoder, (2, 9, 5)),
    "alexnet": (AlexNetEncoder, (1, 63, 64)),
    "alexnet_normalised": (partial(AlexNetEncoder, batch_norm=True), (1, 63, 64)),
    "resnet18": (ResNet18Encoder, (2, 9, 5)),
    "resnet50": (ResNet50Encoder, (2, 9, 5)),
}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


# ------------------------------------------------------------------------------------- all encoders


@pytest.mark.parametrize("name", SMALL_ENCODERS)
def test_gradient_reaches_every_parameter(name):
    make, shape = SMALL_ENCODERS[name]
    encoder = make(shape, 16)
    features = encoder(torch.randn(6, *shape))
    (features * torch.randn_like(features)).sum().backward()
    silent = [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


@pytest.mark.parametrize("name", ["alexnet", "cnn"])
def test_seed_decides_the_weights(name):
    make, shape = SMALL_ENCODERS[name]
    same, other = [], []
    for seed, found in ((3, same), (3, same), (4, other)):
        torch.manual_seed(seed)
        found.append(torch.cat([p.detach().flatten() for p in make(shape, 16).parameters()]))
    assert torch.equal(*same)
    assert not torch.equal(same[0], other[0])


@pytest.mark.parametrize("name", ["alexnet", "cnn", "resnet18"])
def test_the_memory_format_changes_nothing_but_time(name):
    make, shape = SMALL_ENCODERS[name]
    encoder = make(shape, 16).eval()
    plain = copy.deepcopy(encoder)
    for parameter in plain.parameters():
        parameter.data = parameter.data.contiguous()
    x = torch.randn(3, *shape)
    found, expected = encoder(x), plain.layers(x)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    pull = torch.randn_like(found)
    (found * pull).sum().backward()
    (expected * pull).sum().backward()
    for a, b in zip(encoder.parameters(), plain.parameters(), strict=True):
        assert a.grad is not None
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-2, atol=1e-3 * b.grad.abs().max())
    other = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(encoder(other), found)


@pytest.mark.parametrize("name", ["alexnet", "cnn", "resnet18"])
def test_copies_and_pickles_are_equal(name):
    make, shape = SMALL_ENCODERS[name]
    encoder, x = make(shape, 16).eval(), torch.randn(2, *shape)
    for again in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert torch.equal(again(x), encoder(x))


@pytest.mark.parametrize("name", ["alexnet", "cnn"])
def test_a_batch_of_other_channels_is_refused(name):
    encoder = ENCODERS[name]((3, 64, 64), 16)
    for shape in ((2, 1, 64, 64), (2, 64, 64, 3), (3, 64, 64)):
        with pytest.raises(ValueError, match=r"\(batch, 3, height, width\), got"):
            encoder(torch.zeros(shape))


@pytest.mark.parametrize("cls", [AlexNetEncoder, CNNEncoder, ResNet18Encoder, ResNet50Encoder])
@pytest.mark.parametrize("shape", [(4,), (4, 8), (1, 2, 3, 4)])
def test_rows_of_other_shapes_are_refused(cls, shape):
    with pytest.raises(ValueError, match=r"\(n_channels, height, width\), got"):
        cls(shape, 16)


@pytest.mark.parametrize("name", ["alexnet", "resnet18"])
def test_names_make_tokens_for_the_fusion(name):
    encoder = build_multimodal_encoder({"photo": (3, 70, 66)}, 16, encoders=name, n_heads=2)
    tokens, _, _ = encoder.tokens(_view(photo=torch.zeros(2, 3, 70, 66)))
    assert tokens.shape[2] == 16


def _view(**values):
    from mmcontrast.nn import View

    return View(values)


# ----------------------------------------------------------------------- AlexNet, residual networks


@pytest.mark.parametrize(
    ("cls", "n_expected", "feature_shape"),
    [
        (AlexNetEncoder, 2_469_696, (256, 6, 6)),
        (ResNet18Encoder, 11_176_512, (512, 7, 7)),
        (ResNet50Encoder, 23_508_032, (2048, 7, 7)),
    ],
)
def test_sizes_are_those_published(cls, n_expected, feature_shape):
    encoder = cls((3, 224, 224)).eval()
    assert n_parameters(encoder) == n_expected
    with torch.no_grad():
        assert encoder(torch.zeros(1, 3, 224, 224)).shape[1:] == feature_shape


def test_alexnet_is_the_published_chain():
    encoder, x = AlexNetEncoder((2, 80, 80)), torch.randn(2, 2, 80, 80)
    convs = [m for m in encoder.modules() if isinstance(m, nn.Conv2d)]
    expected = x
    geometry = [(4, 2, True), (1, 2, True), (1, 1, False), (1, 1, False), (1, 1, True)]
    for conv, (stride, padding, pool) in zip(convs, geometry, strict=True):
        expected = F.relu(F.conv2d(expected, conv.weight, conv.bias, stride, padding))
        expected = F.max_pool2d(expected, 3, 2) if pool else expected
    torch.testing.assert_close(encoder(x), expected, rtol=1e-4, atol=1e-5)
    assert [tuple(conv.weight.shape[2:]) for conv in convs] == [(11, 11), (5, 5), *[(3, 3)] * 3]


def test_alexnet_keeps_the_size_of_its_signal():
    encoder, x = AlexNetEncoder((3, 128, 128)), torch.randn(8, 3, 128, 128)
    for layer in encoder.layers:
        if isinstance(layer, nn.Conv2d):
            # of a convolution after the first, the mean square of what it reads sets the variance
            expected, x = 2 * x.square().mean().item(), layer(x)
            inside = x[:, :, 1:-1, 1:-1] if x.shape[-1] > 3 else x
            assert inside.var().item() == pytest.approx(expected, rel=0.5)
            assert not layer.bias.any()
        else:
            x = layer(x)


def test_alexnet_with_batch_norm_has_no_biases_and_normalises():
    encoder = AlexNetEncoder((3, 64, 64), batch_norm=True)
    assert all(m.bias is None for m in encoder.modules() if isinstance(m, nn.Conv2d))
    assert sum(isinstance(m, nn.BatchNorm2d) for m in encoder.modules()) == 5
    large, small = (encoder(s * torch.randn(4, 3, 64, 64).abs()) for s in (100.0, 0.1))
    assert 0.2 < large.std() / small.std() < 5


@pytest.mark.parametrize("size", [(62, 100), (224, 62), (8, 8)])
def test_alexnet_refuses_small_images(size):
    with pytest.raises(ValueError, match=f"63 pixels on each side, got {size[0]} x {size[1]}"):
        AlexNetEncoder((3, *size))
    encoder = AlexNetEncoder((3, 63, 63))
    assert encoder(torch.zeros(1, 3, 63, 63)).shape == (1, 256, 1, 1)
    with pytest.raises(ValueError, match=f"63 pixels on each side, got {size[0]} x {size[1]}"):
        encoder(torch.zeros(1, 3, *size))


def slow_block(block, x, width, stride, kernels):
    """A residual block in evaluation, before its batch normalisation has seen anything."""
    convs = [m for m in block.body if isinstance(m, nn.Conv2d)]
    norm = math.sqrt(1 + 1e-5)
    y = x
    for i, (conv, (kernel, step)) in enumerate(zip(convs, kernels, strict=True)):
        assert conv.weight.shape[2:] == (kernel, kernel)
        y = F.conv2d(y, conv.weight, None, step, kernel // 2) / norm
        y = F.relu(y) if i + 1 < len(convs) else y
    if stride > 1 or x.shape[1] != y.shape[1]:
        x = F.conv2d(x, block.shortcut[0].weight, None, stride) / norm
    return F.relu(x + y)


@pytest.mark.parametrize(
    ("cls", "n_blocks", "stem", "width"),
    [
        (ResNet18Encoder, (2, 2, 2, 2), "small", 64),
        (ResNet18Encoder, (2, 2, 2, 2), "small", 6),
        (ResNet18Encoder, (2, 2, 2, 2), "imagenet", 64),
        (ResNet50Encoder, (3, 4, 6, 3), "imagenet", 64),
        (ResNet50Encoder, (3, 4, 6, 3), "imagenet", 5),
    ],
)
def test_residual_networks_are_the_published_chain(cls, n_blocks, stem, width):
    encoder, x = cls((1, 20, 18), stem=stem, width=width).eval(), torch.randn(1, 1, 20, 18)
    found = encoder(x)
    conv, _, _, *rest = encoder.layers
    assert conv.weight.shape == (width, 1, *((7, 7) if stem == "imagenet" else (3, 3)))
    stride, padding = (2, 3) if stem == "imagenet" else (1, 1)
    x = F.relu(F.conv2d(x, conv.weight, None, stride, padding) / math.sqrt(1 + 1e-5))
    if stem == "imagenet":
        x, rest = F.max_pool2d(x, 3, 2, 1), rest[1:]
    assert len(rest) == sum(n_blocks)
    for stage, n in enumerate(n_blocks):
        for i in range(n):
            stride = 2 if stage and i == 0 else 1
            kernels = [(3, stride), (3, 1)] if cls is ResNet18Encoder else None
            kernels = kernels or [(1, 1), (3, stride), (1, 1)]
            x = slow_block(rest.pop(0), x, width * 2**stage, stride, kernels)
    torch.testing.assert_close(found, x, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("size", "map_size"), [((32, 32), (4, 4)), ((16, 63), (2, 8)), ((64, 64), (2, 2))]
)
def test_small_images_keep_their_positions(size, map_size):
    encoder = ResNet18Encoder((1, *size)).eval()
    with torch.no_grad():
        assert encoder(torch.zeros(1, 1, *size)).shape[2:] == map_size


def test_an_unknown_stem_is_refused():
    with pytest.raises(ValueError, match=r"stem must be one of \['auto', 'imagenet', 'small'\]"):
        ResNet18Encoder((3, 32, 32), stem="cifar")


def test_a_width_that_is_no_number_of_channels_is_refused():
    with pytest.raises(ValueError, match="width must be an integer of at least 1, got 0.5"):
        ResNet18Encoder((3, 32, 32), width=0.5)


@pytest.mark.parametrize("cls", [ResNet18Encoder, partial(AlexNetEncoder, batch_norm=True)])
def test_normalised_networks_start_kaiming_normal_by_fan_out(cls):
    encoder = cls((3, 64, 64))
    for conv in (m for m in encoder.modules() if isinstance(m, nn.Conv2d)):
        fan_out = conv.out_channels * math.prod(conv.kernel_size)
        assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.05)
    for norm in (m for m in encoder.modules() if isinstance(m, nn.BatchNorm2d)):
        assert (norm.weight == 1).all()
        assert not norm.bias.any()


# ---------------------------------------------------------------------------------------------- CNN


@pytest.mark.parametrize(
    ("shape", "feature_shape"),
    [
        ((1, 1, 1), (48, 1, 1)),
        ((1, 4, 8), (48, 2, 2)),
        ((1, 8, 8), (48, 2, 2)),
        ((3, 5, 3), (48, 2, 2)),
        ((1, 2, 30), (96, 2, 4)),
        ((3, 32, 32), (96, 4, 4)),
        ((3, 33, 100), (192, 3, 7)),
        ((3, 224, 224), (192, 7, 7)),
        ((1, 2, 2000), (192, 2, 32)),
    ],
)
def test_cnn_map_sizes(shape, feature_shape):
    assert CNNEncoder(shape, 16).eval()(torch.zeros(1, *shape)).shape[1:] == feature_shape


@given(height=st.integers(1, 40), width=st.integers(1, 40), n_blocks=st.integers(1, 4))
@settings(max_examples=15)
def test_cnn_never_halves_below_two(height, width, n_blocks):
    encoder = CNNEncoder((1, height, width), channels=(4,) * n_blocks).eval()
    shape = encoder(torch.zeros(1, 1, height, width)).shape
    for side, out in zip((height, width), shape[2:], strict=True):
        for _ in range(n_blocks):
            side = math.ceil(side / 2) if side > 2 else side
        assert out == side >= min(2, side)


def test_cnn_block_is_convolution_norm_relu_maximum():
    encoder = CNNEncoder((1, 4, 4), channels=(2,)).eval()
    x = torch.randn(1, 1, 4, 4)
    weight = encoder.layers[0].weight.detach().numpy()
    padded = np.pad(x[0, 0].numpy(), 1)
    maps = np.array(
        [
            [[np.sum(w[0] * padded[i : i + 3, j : j + 3]) for j in range(4)] for i in range(4)]
            for w in weight
        ]
    )
    maps = np.maximum(maps / math.sqrt(1 + 1e-5), 0)
    expected = maps.reshape(2, 2, 2, 2, 2).max(axis=(2, 4))
    np.testing.assert_allclose(encoder(x)[0].detach(), expected, atol=1e-5)


def test_cnn_starts_kaiming_normal():
    encoder = CNNEncoder((30, 8, 8), channels=(40, 50))
    convs = [m for m in encoder.modules() if isinstance(m, nn.Conv2d)]
    for conv in convs:
        expected = math.sqrt(2 / (9 * conv.out_channels))
        assert conv.weight.std().item() == pytest.approx(expected, rel=0.04)
    for norm in (m for m in encoder.modules() if isinstance(m, nn.BatchNorm2d)):
        assert (norm.weight == 1).all()
        assert not norm.bias.any()


@pytest.mark.parametrize("channels", [(), (0,), (4, -1)])
def test_cnn_refuses_bad_channels(channels):
    with pytest.raises(ValueError, match="channels must"):
        CNNEncoder((1, 8, 8), 16, channels=channels)
