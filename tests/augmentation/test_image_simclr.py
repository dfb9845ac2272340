"""The chain of SimCLR, and the laws that every augmentation of images keeps."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from torch.testing import assert_close

from mmcontrast.augmentation import (
    ColorJitter,
    Compose,
    GaussianBlur,
    HorizontalFlip,
    RandomGrayscale,
    RandomResizedCrop,
    SimCLRAugmentation,
    _image_base,
    make_augmentation,
)

MAKERS = {
    "crop": RandomResizedCrop,
    "jitter": ColorJitter,
    "grayscale": RandomGrayscale,
    "blur": GaussianBlur,
    "flip": HorizontalFlip,
    "chain": SimCLRAugmentation,
    "chain without crop": lambda **kw: SimCLRAugmentation("all_but_crop", **kw),
}
CASES = [pytest.param(make, id=name) for name, make in MAKERS.items()]
DTYPES = st.sampled_from([torch.float32, torch.float64, torch.bfloat16])
SEEDS = st.integers(0, 9999)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def images(n_images, height=24, width=20, seed=0):
    return torch.rand(n_images, 3, height, width, generator=seeded(seed + 1))


@pytest.mark.parametrize("make", CASES)
@given(st.integers(0, 4), st.integers(1, 40), st.integers(1, 40), SEEDS, DTYPES, st.floats(0.01, 4))
def test_images_stay_images(make, n, height, width, seed, dtype, strength):
    x = images(n, height, width, seed).to(dtype)
    before = x.clone()
    output = make(p=0.7)(x, strength=strength, generator=seeded(seed))
    assert (output.shape, output.dtype) == (x.shape, dtype)
    assert torch.equal(x, before)
    assert ((output >= -1e-6) & (output <= 1 + 1e-6)).all()


@pytest.mark.parametrize("make", CASES)
def test_strength_zero_and_p_zero_are_the_identity(make):
    x = images(4)
    assert make(p=1.0)(x, strength=0.0) is x
    assert make(strength=0.0)(x) is x
    assert make(p=0.0)(x) is x


@pytest.mark.parametrize("make", CASES)
@pytest.mark.parametrize("p", [0.5, 1.0])
@given(SEEDS)
def test_what_happens_to_an_image_does_not_depend_on_the_others(make, p, seed):
    x = images(6, seed=seed)
    output = make(p=p)(x, generator=seeded(seed))
    others = torch.cat([images(3, seed=seed + 1), x[3:]])
    assert_close(make(p=p)(others, generator=seeded(seed))[3:], output[3:])


@pytest.mark.parametrize("make", CASES)
def test_images_get_parameters_of_their_own(make):
    x = images(1, 60, 60).expand(64, -1, -1, -1)
    output = make()(x, generator=seeded(0))
    n_kinds = 2 if make in (RandomGrayscale, HorizontalFlip) else 20
    assert len(output.flatten(1).unique(dim=0)) >= n_kinds
    again = clone(make())(x, generator=seeded(0))
    assert torch.equal(output, again)
    assert not torch.equal(output, make()(x, generator=seeded(1)))


@pytest.mark.parametrize("make", CASES)
@pytest.mark.parametrize("p", [0.5, 1.0])
def test_blocks_dtypes_and_layouts_do_not_matter(make, p, monkeypatch):
    x = images(9, 40, 30).bfloat16().float()
    expected = make(p=p)(x, generator=seeded(0))
    last = make(p=p)(x.to(memory_format=torch.channels_last), generator=seeded(0))
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(last, expected)
    assert_close(make(p=p)(x.double(), generator=seeded(0)).float(), expected, atol=1e-4, rtol=0)
    half = make(p=p)(x.bfloat16(), generator=seeded(0))
    assert_close(half.float(), expected, atol=1e-2, rtol=0)
    for block in (1, 2 * x[0].numel(), 2**30):
        monkeypatch.setitem(_image_base._BLOCK, "cpu", block)
        assert_close(make(p=p)(x, generator=seeded(0)), expected)


@pytest.mark.parametrize(
    "make",
    [
        RandomResizedCrop,
        ColorJitter,
        RandomGrayscale,
        GaussianBlur,
        lambda p: SimCLRAugmentation(["crop", "jitter", "grayscale", "blur"], p=p),
    ],
)
def test_distance_from_the_input_grows_with_the_strength(make):
    # smooth images: in noise every crop is as far as any other
    line = torch.linspace(0, 1, 40)
    x = torch.stack([line[:, None] * line, line.expand(40, 40), line[:, None].expand(40, 40)])
    x = x.expand(300, -1, -1, -1)
    distances = [
        (make(p=1.0)(x, strength=s, generator=seeded(3)) - x).square().mean().item()
        for s in (1e-3, 0.3, 0.6, 1.0)
    ]
    assert all(far > near for near, far in itertools.pairwise(distances))
    assert distances[0] < 0.01 * distances[-1]


@given(
    SEEDS,
    st.floats(0.1, 1.5),
    st.sampled_from([0.4, 1.0]),
    st.sampled_from(["all", "all_but_crop", ("flip", "crop"), ["jitter"], []]),
)
def test_the_chain_is_its_parts_one_after_the_other(seed, strength, p, parts):
    x = images(8, 40, 30, seed)
    names = {"all": list(MAKERS)[:5], "all_but_crop": list(MAKERS)[1:5]}.get(str(parts), parts)
    members = [
        RandomResizedCrop((0.3, 1.0)) if name == "crop" else make()
        for name, make in MAKERS.items()
        if name in names
    ]
    chain = SimCLRAugmentation(parts, min_scale=0.3, p=p)
    expected = Compose(members, p=p)(x, strength=strength, generator=seeded(seed))
    assert_close(chain(x, strength=strength, generator=seeded(seed)), expected)


@pytest.mark.parametrize(
    ("part", "p"),
    [("crop", 1.0), ("jitter", 0.8), ("grayscale", 0.2), ("blur", 0.5), ("flip", 0.5)],
)
def test_the_parts_have_the_probabilities_of_the_paper(part, p):
    x = images(1, 20, 20).expand(1500, -1, -1, -1)
    output = SimCLRAugmentation([part])(x, generator=seeded(0))
    changed = (output - x).abs().flatten(1).amax(1) > 1e-6
    assert abs(changed.float().mean() - p) < 0.03


def test_a_chain_of_geometry_takes_any_channels_and_values():
    x = 100 * torch.randn(4, 7, 30, 30)
    assert SimCLRAugmentation(["crop", "blur", "flip"])(x, generator=seeded(0)).shape == x.shape
    with pytest.raises(ValueError, match=r"7 channel.*Leave out 'jitter' and 'grayscale' \(parts="):
        SimCLRAugmentation()(x)
    with pytest.raises(ValueError, match=r"Leave out 'jitter' \(parts=\['flip'\]\)"):
        SimCLRAugmentation(("jitter", "flip"))(x)
    with pytest.raises(ValueError, match="modality 'image'.*found values from"):
        make_augmentation(image=SimCLRAugmentation())({"image": x[:, :3]})


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ("all_but_crops", "Did you mean 'all_but_crop'"),
        ("crop", "must be 'all' or 'all_but_crop', or a list of 'crop'"),
        (["crop", "jiter"], "no part 'jiter'.*Did you mean 'jitter'"),
        (None, "'parts' parameter of SimCLRAugmentation"),
    ],
)
def test_unknown_parts_are_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        SimCLRAugmentation(parts)(images(2))


def test_absent_images_do_not_hide_or_harm_the_others():
    x = images(4)
    x[1] = torch.nan
    output = SimCLRAugmentation()(x, generator=seeded(0))
    assert output[[0, 2, 3]].isfinite().all()
    x[2] *= 255
    with pytest.raises(ValueError, match="values from .* to 2[0-9]"):
        ColorJitter()(x)


def test_gradients_flow_to_the_images():
    x = images(6).requires_grad_()
    SimCLRAugmentation()(x, generator=seeded(0)).sum().backward()
    assert x.grad.isfinite().all()
    assert x.grad.flatten(1).any(1).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("make", CASES)
def test_a_generator_of_the_cpu_gives_the_same_on_a_gpu(make):
    x = images(16, 64, 64)
    expected = make()(x, generator=seeded(0))
    assert_close(make()(x.cuda(), generator=seeded(0)).cpu(), expected, atol=1e-4, rtol=0)
    own = torch.Generator("cuda").manual_seed(0)
    assert make()(x.cuda(), generator=own).is_cuda
