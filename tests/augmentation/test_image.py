import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmcontrast.augmentation import Translate


def slow_translate(image, down, right, fill):
    """Move (channels, height, width) pixel by pixel."""
    moved = np.full_like(image, fill)
    _, height, width = image.shape
    for i in range(height):
        for j in range(width):
            if 0 <= i + down < height and 0 <= j + right < width:
                moved[:, i + down, j + right] = image[:, i, j]
    return moved


@given(
    st.integers(1, 5), st.integers(1, 6), st.floats(0, 4), st.floats(0.1, 2), st.integers(0, 10_000)
)
def test_translation_equals_a_slow_reference(height, width, max_shift, strength, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(3, 2, height, width, generator=generator)
    output = Translate(max_shift, fill=9.0)(x, strength=strength, generator=generator).numpy()
    reach = range(-int(np.ceil(max_shift * strength)), int(np.ceil(max_shift * strength)) + 1)
    for image, moved in zip(x.numpy(), output, strict=True):
        assert any(
            np.array_equal(moved, slow_translate(image, down, right, 9.0))
            for down in reach
            for right in reach
        )


def draw_shifts(max_shift, strength=1.0):
    x = torch.zeros(6000, 1, 11, 11)
    x[:, :, 5, 5] = 1
    generator = torch.Generator().manual_seed(0)
    output = Translate(max_shift)(x, strength=strength, generator=generator)
    flat = output.flatten(1).argmax(1)
    return (flat // 11 - 5).numpy(), (flat % 11 - 5).numpy()


@pytest.mark.parametrize("max_shift", [1, 3])
def test_all_shifts_are_equally_likely_and_axes_independent(max_shift):
    shifts = draw_shifts(max_shift)
    n = 2 * max_shift + 1
    table = np.zeros((n, n))
    np.add.at(table, tuple(s + max_shift for s in shifts), 1)
    np.testing.assert_allclose(table / len(shifts[0]), 1 / n**2, atol=0.015)


def test_half_a_pixel_moves_half_of_the_maps():
    for shift in draw_shifts(1, strength=0.5):
        share = [(shift == k).mean() for k in (-1, 0, 1)]
        np.testing.assert_allclose(share, [0.25, 0.5, 0.25], atol=0.02)


def test_a_shift_beyond_the_map_leaves_only_fill():
    generator = torch.Generator().manual_seed(0)
    output = Translate(1e9)(torch.ones(400, 1, 3, 2), generator=generator)
    assert set(output.unique().tolist()) == {0.0, 1.0}
    assert (output == 0).flatten(1).all(1).any()
