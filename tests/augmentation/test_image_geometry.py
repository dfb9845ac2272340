"""Crop, flip and blur against slow references, one image at a time."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.stats import ks_2samp
from torch.testing import assert_close

from mmcontrast.augmentation import (
    AugmentationContext,
    GaussianBlur,
    HorizontalFlip,
    RandomResizedCrop,
)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def coordinates(n_images, height, width):
    """Images whose first channel is the number of the row, and the second that of the column."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([rows, columns]).double().expand(n_images, 2, height, width)


def windows_of(cropped):
    """Top, left, height and width of the windows that images of coordinates were cropped to."""
    low = cropped.amin((2, 3)).numpy()
    high = cropped.amax((2, 3)).numpy()
    whole = np.stack([low[:, 0], low[:, 1], *(high - low + 1).T], axis=1)
    np.testing.assert_allclose(whole, whole.round(), atol=1e-9)
    return whole.round().astype(int)


def slow_resize(window, height, width):
    """Bilinear, axis after axis; centres of pixels at half a pixel from the edges."""
    for axis, n_pixels in ((1, height), (2, width)):
        n_old = window.shape[axis]
        position = (np.arange(n_pixels) + 0.5) * n_old / n_pixels - 0.5
        window = np.apply_along_axis(
            lambda line, at=position, n=n_old: np.interp(at, np.arange(n), line), axis, window
        )
    return window


def slow_window(rng, height, width, scale, ratio):
    """One window, drawn until it fits."""
    for _ in range(10):
        area = rng.uniform(*scale) * height * width
        aspect = np.exp(rng.uniform(*np.log(ratio)))
        h, w = round(np.sqrt(area / aspect)), round(np.sqrt(area * aspect))
        if 1 <= h <= height and 1 <= w <= width:
            return rng.integers(0, height - h + 1), rng.integers(0, width - w + 1), h, w
    raise AssertionError("no window fits")


@given(
    st.integers(1, 20), st.integers(1, 20), st.floats(0, 1), st.floats(0.1, 3), st.integers(0, 9999)
)
def test_a_crop_is_a_window_enlarged(height, width, min_scale, strength, seed):
    image = torch.rand(1, 1, height, width, generator=seeded(seed), dtype=torch.float64)
    x = torch.cat([coordinates(5, height, width), image.expand(5, -1, -1, -1)], 1)
    output = RandomResizedCrop((min_scale, 1.0))(x, strength=strength, generator=seeded(seed))
    for (top, left, h, w), cropped in zip(windows_of(output[:, :2]), output.numpy(), strict=True):
        assert top >= 0 and left >= 0 and top + h <= height and left + w <= width
        window = x[0, :, top : top + h, left : left + w].numpy()
        np.testing.assert_allclose(cropped, slow_resize(window, height, width), atol=1e-9)


def test_a_ramp_stays_a_ramp_with_the_slope_of_its_window():
    output = RandomResizedCrop((0.2, 0.6))(coordinates(50, 40, 60), generator=seeded(0))
    windows = windows_of(output)
    slopes = output[:, 0, 1:-1].diff(dim=1)[:, 5:-5], output[:, 1, :, 1:-1].diff(dim=2)[..., 5:-5]
    for k, (slope, size) in enumerate(zip(slopes, (40, 60), strict=True)):
        expected = torch.tensor(windows[:, 2 + k] / size)[:, None, None].expand_as(slope)
        assert_close(slope, expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    ("scale", "ratio", "size"),
    [((0.08, 1.0), (3 / 4, 4 / 3), (96, 96)), ((0.2, 0.5), (0.5, 1.5), (60, 120))],
)
def test_windows_are_distributed_as_one_draws_them_by_hand(scale, ratio, size):
    context = AugmentationContext(1.0, torch.device("cpu"), generator=seeded(0))
    found = RandomResizedCrop(scale, ratio).draw(4000, size, context)[0].double().numpy()
    rng = np.random.default_rng(0)
    expected = np.array([slow_window(rng, *size, scale, ratio) for _ in range(4000)])
    for statistic in (
        lambda w: w[:, 0],
        lambda w: w[:, 1],
        lambda w: (w[:, 0] + 1) / (size[0] - w[:, 2] + 1),
        lambda w: (w[:, 1] + 1) / (size[1] - w[:, 3] + 1),
        lambda w: w[:, 2] * w[:, 3],
        lambda w: w[:, 3] / w[:, 2],
    ):
        assert ks_2samp(statistic(found), statistic(expected)).pvalue > 0.01


@pytest.mark.parametrize("strength", [0.25, 0.5, 1.0])
def test_strength_of_a_crop_is_what_it_may_cut_away(strength):
    output = RandomResizedCrop((0.2, 1.0))(
        coordinates(1000, 64, 64), strength=strength, generator=seeded(0)
    )
    windows = windows_of(output)
    share = windows[:, 2] * windows[:, 3] / 64**2
    assert abs(share.min() - (1 - strength * 0.8)) < 0.02
    aspect = np.log(windows[:, 3] / windows[:, 2])
    assert np.abs(aspect).max() < strength * np.log(4 / 3) + 0.05


@pytest.mark.parametrize(("scale", "strength"), [((0.08, 0.5), 2.0), ((0.0, 0.0), 1.0)])
def test_a_share_of_nothing_is_one_pixel(scale, strength):
    output = RandomResizedCrop(scale)(coordinates(20, 16, 24), strength=strength)
    assert (windows_of(output)[:, 2:] == 1).all()


def test_a_crop_that_never_fits_is_the_largest_of_its_ratio():
    tall, wide = coordinates(3, 100, 10), coordinates(3, 10, 100)
    crop = RandomResizedCrop((1.0, 1.0))
    assert windows_of(crop(tall)).tolist() == [[43, 0, 13, 10]] * 3
    assert windows_of(crop(wide)).tolist() == [[0, 43, 10, 13]] * 3
    square = coordinates(3, 8, 8)
    assert_close(RandomResizedCrop((1.0, 1.0), ratio=(2.0, 3.0))(square)[0, 0, 0, 0].item(), 2.0)
    assert_close(crop(square), square)


def test_flip_mirrors_its_share_of_the_images_and_undoes_itself():
    x = torch.rand(2000, 2, 3, 5)
    output = HorizontalFlip(0.3)(x, generator=seeded(0))
    flipped = (output == x[..., [4, 3, 2, 1, 0]]).flatten(1).all(1)
    assert torch.equal(output[~flipped], x[~flipped])
    assert abs(flipped.float().mean() - 0.3) < 0.04
    always = HorizontalFlip(1.0, strength=0.1)
    assert torch.equal(always(always(x)), x)
    assert not torch.equal(always(x), x)


@pytest.mark.parametrize("size", [(32, 32), (64, 20), (100, 100), (100, 3), (231, 5), (20, 1)])
@pytest.mark.parametrize("sigma", [0.1, 0.7, 2.0])
def test_blur_equals_scipy(size, sigma):
    x = torch.rand(3, 2, *size, dtype=torch.float64)
    output = GaussianBlur((sigma, sigma), p=1.0)(x)
    radius = size[0] // 10 // 2
    for image, blurred in zip(x.numpy(), output.numpy(), strict=True):
        for axis, n_pixels in ((1, size[0]), (2, size[1])):
            image = gaussian_filter(
                image, sigma, mode="mirror", radius=min(radius, n_pixels - 1), axes=(axis,)
            )
        np.testing.assert_allclose(blurred, image, atol=1e-12)


def test_blur_of_a_point_shows_its_sigma():
    x = torch.zeros(1500, 1, 200, 41, dtype=torch.float64)
    x[:, :, 100, 20] = 1
    blurred = GaussianBlur((2.0, 4.0), p=0.4)(x, strength=0.5, generator=seeded(0))
    spread = (blurred.sum(3)[:, 0] * (torch.arange(200) - 100) ** 2).sum(1).sqrt()
    chosen = spread > 0
    assert abs(chosen.float().mean() - 0.4) < 0.03
    levels = torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64)
    expected = 1 + levels
    assert_close(spread[chosen].quantile(levels), expected, atol=0.05, rtol=0)


def test_images_below_20_pixels_are_not_blurred():
    x = torch.rand(4, 3, 19, 50)
    assert torch.equal(GaussianBlur(p=1.0)(x), x)


@pytest.mark.parametrize(
    ("augmentation", "message"),
    [
        (RandomResizedCrop((0.5, 0.2)), "'scale' parameter of RandomResizedCrop.*the smaller one"),
        (RandomResizedCrop((0.5, 1.2)), "'scale' parameter of RandomResizedCrop.*at most 1"),
        (RandomResizedCrop(0.5), "'scale' parameter of RandomResizedCrop"),
        (RandomResizedCrop(("a", 1)), "'scale' parameter of RandomResizedCrop"),
        (RandomResizedCrop(ratio=(0, 1)), "'ratio' parameter of RandomResizedCrop"),
        (GaussianBlur((-1, 1)), "'sigma' parameter of GaussianBlur"),
        (GaussianBlur((0, 1, 2)), "'sigma' parameter of GaussianBlur must be a pair"),
        (GaussianBlur((0, float("nan"))), "'sigma' parameter of GaussianBlur must be a pair"),
        (HorizontalFlip(2.0), "'p' parameter of HorizontalFlip"),
    ],
)
def test_parameters_out_of_range_are_refused(augmentation, message):
    with pytest.raises(ValueError, match=message):
        augmentation(torch.rand(2, 3, 8, 8))


def test_sequences_are_no_images():
    with pytest.raises(ValueError, match="RandomResizedCrop expects a batch of shape"):
        RandomResizedCrop()(torch.rand(2, 3, 8))
