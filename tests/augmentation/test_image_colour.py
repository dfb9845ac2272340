"""Colour operations against colorsys and closed forms, pixel by pixel."""

import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from mmcontrast.augmentation import AugmentationContext, ColorJitter, RandomGrayscale

WEIGHTS = np.array([0.299, 0.587, 0.114])


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def pixels(n_images, n_pixels, seed=0, grey=False):
    x = torch.rand(n_images, 3, n_pixels, 1, generator=seeded(seed), dtype=torch.float64)
    return x[:, :1].expand(-1, 3, -1, -1).contiguous() if grey else x


def only(**ranges):
    return ColorJitter(**({"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0} | ranges))


def slow_operation(image, name, value):
    """Apply one operation to an image of shape (n_pixels, 3)."""
    grey = (image * WEIGHTS).sum(axis=1, keepdims=True)
    if name == "brightness":
        return np.clip(value * image, 0, 1)
    if name == "contrast":
        return np.clip(value * image + (1 - value) * grey.mean(), 0, 1)
    if name == "saturation":
        return np.clip(value * image + (1 - value) * grey, 0, 1)
    turned = []
    for pixel in image:
        h, s, v = colorsys.rgb_to_hsv(*pixel)
        turned.append(colorsys.hsv_to_rgb((h + value) % 1, s, v))
    return np.array(turned)


OPERATIONS = ("brightness", "contrast", "saturation", "hue")


@given(st.integers(0, 9999), st.floats(0.1, 2.0))
def test_jitter_is_its_four_operations_in_the_order_drawn(seed, strength):
    jitter = ColorJitter(p=1.0)
    x = pixels(4, 6, seed)
    x[:, :, 0] = x[:, :1, 0]  # a grey
    x[:, :, 1] = x[:, :, 1].round()  # a corner of the cube
    context = AugmentationContext(strength, x.device, generator=seeded(seed))
    *values, order = jitter.draw(4, (6, 1), context)
    output = jitter.change(x, *values, order).numpy()
    assert sorted(order) == [0, 1, 2, 3]
    for i, image in enumerate(x.numpy()):
        expected = image[:, :, 0].T
        for k in order:
            expected = slow_operation(expected, OPERATIONS[k], values[k][i].item())
        np.testing.assert_allclose(output[i, :, :, 0].T, expected, atol=1e-7)


def test_every_order_occurs_and_each_has_its_own_result():
    x = pixels(1, 5)
    context = AugmentationContext(1.0, x.device, generator=seeded(0))
    orders = {tuple(ColorJitter().draw(1, (5, 1), context)[-1]) for _ in range(300)}
    assert len(orders) == 24


@pytest.mark.parametrize("strength", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_factors_are_uniform_around_one_and_one_per_image(name, strength):
    x = 0.35 + 0.1 * pixels(2000, 4)  # far enough from 0 and 1 not to be cut off
    jitter = only(**{name: 0.4}, p=1.0)
    output = jitter(x, strength=strength, generator=seeded(0))
    grey = (x * torch.tensor(WEIGHTS)[:, None, None]).sum(1, keepdim=True)
    anchor = {
        "brightness": torch.zeros_like(grey),
        "contrast": grey.mean((2, 3), keepdim=True),
        "saturation": grey,
    }[name]
    factors = ((output - anchor) / (x - anchor)).flatten(1)
    assert_close(factors, factors[:, :1].expand_as(factors), atol=1e-3, rtol=1e-3)
    levels = torch.tensor([0.02, 0.25, 0.5, 0.75, 0.98], dtype=torch.float64)
    low, high = max(0, 1 - strength * 0.4), 1 + strength * 0.4
    expected = low + (high - low) * levels
    assert_close(factors[:, 0].quantile(levels), expected, atol=0.03 * max(1, strength), rtol=0)


@pytest.mark.parametrize(
    ("hue", "strength", "reach"), [(0.1, 1, 0.1), (0.3, 0.5, 0.15), (0.5, 9, 0.5)]
)
def test_hue_turns_by_one_angle_per_image(hue, strength, reach):
    x = 0.1 + 0.8 * pixels(600, 4)
    output = only(hue=hue, p=1.0)(x, strength=strength, generator=seeded(0))
    before, after = (
        np.array([[colorsys.rgb_to_hsv(*p) for p in image[:, :, 0].T] for image in images.numpy()])
        for images in (x, output)
    )
    np.testing.assert_allclose(after[..., 1:], before[..., 1:], atol=1e-6)
    turns = (after[..., 0] - before[..., 0] + 0.5) % 1 - 0.5
    np.testing.assert_allclose((turns - turns[:, :1] + 0.5) % 1 - 0.5, 0, atol=1e-5)
    levels = np.array([0.05, 0.5, 0.95])
    np.testing.assert_allclose(
        np.quantile(turns[:, 0], levels), reach * (2 * levels - 1), atol=0.1 * reach
    )


def test_greys_have_no_hue_and_primaries_walk_round_the_circle():
    grey = pixels(20, 5, grey=True)
    assert_close(only(hue=0.5, saturation=0.4, p=1.0)(grey), grey)
    primaries = torch.eye(3, dtype=torch.float64)[:, :, None, None]
    third = torch.full((3,), 1 / 3)
    assert_close(
        only(hue=0.5).change(primaries, *[torch.ones(3)] * 3, third, [3]),
        primaries[[1, 2, 0]],
        atol=1e-6,
        rtol=0,
    )


@pytest.mark.parametrize("strength", [0.5, 1.0, 3.0])
def test_grayscale_is_the_luma_in_all_channels(strength):
    x = pixels(1000, 3)
    output = RandomGrayscale()(x, strength=strength, generator=seeded(0))
    luma = (x * torch.tensor(WEIGHTS)[:, None, None]).sum(1, keepdim=True).expand_as(x)
    changed = (output != x).flatten(1).any(1)
    assert abs(changed.float().mean() - 0.2) < 0.04
    expected = x + min(strength, 1) * (luma - x)
    assert_close(output[changed], expected[changed])
    assert torch.equal(output[~changed], x[~changed])


@pytest.mark.parametrize("augmentation", [ColorJitter(), RandomGrayscale()])
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.rand(2, 1, 4, 4), r"found 1 channel\(s\) in shape \(2, 1, 4, 4\). Leave out"),
        (torch.rand(2, 4, 4, 3), r"found 4 channel\(s\).*looks like .*channels=\"last\""),
        (torch.full((2, 3, 4, 4), 255.0), r"values from 255 to 255. .*by 255"),
        (torch.full((2, 3, 4, 4), -1.5), r"values from -1.5 to -1.5. .*standardised"),
        (torch.tensor([-0.2, 1.5]).repeat(24).view(1, 3, 4, 4), "from -0.2 to 1.5. .*rescale"),
    ],
)
def test_what_has_no_colours_is_refused(augmentation, x, message):
    name = type(augmentation).__name__
    with pytest.raises(ValueError, match=f"{name} works on.*{message}"):
        augmentation(x)


def test_rounding_beyond_the_range_is_not_refused():
    x = torch.full((2, 3, 4, 4), 1.0 + 1e-6)
    assert ColorJitter(p=1.0)(x).max() <= 1
    assert RandomGrayscale(p=1.0)(x).isfinite().all()


@pytest.mark.parametrize(
    ("augmentation", "message"),
    [
        (ColorJitter(brightness=-0.1), "'brightness' parameter of ColorJitter"),
        (ColorJitter(hue=0.6), "'hue' parameter of ColorJitter"),
        (RandomGrayscale(p=1.1), "'p' parameter of RandomGrayscale"),
    ],
)
def test_parameters_out_of_range_are_refused(augmentation, message):
    with pytest.raises(ValueError, match=message):
        augmentation(torch.rand(2, 3, 8, 8))
