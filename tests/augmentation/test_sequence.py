"""Sequence augmentations against closed forms and slow references, sample by sample."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import kstest
from torch.testing import assert_close

from mmcontrast.augmentation import CropResample, DropTimeSteps, TimeShift

SEEDS = st.integers(0, 10_000)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def n_windows(dropped):
    """Number of runs of True in each row."""
    return np.diff(dropped.astype(int), axis=1, prepend=0).clip(min=0).sum(1)


@pytest.mark.parametrize("contiguous", [True, False])
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=6), st.floats(0, 1), st.floats(0.1, 3), SEEDS
)
def test_dropped_fraction_stays_below_its_maximum(contiguous, lengths, fraction, strength, seed):
    lengths = torch.tensor(lengths)
    augmentation = DropTimeSteps(fraction, contiguous=contiguous, fill=-7.0, p=1.0)
    output = augmentation(
        torch.ones(len(lengths), 3, 40), lengths=lengths, strength=strength, generator=seeded(seed)
    )
    dropped = (output == -7).numpy()
    assert (dropped | (output == 1).numpy()).all()
    assert (dropped == dropped[:, :1]).all(), "all channels lose the same steps"
    n_dropped = dropped[:, 0].sum(1)
    assert (n_dropped <= min(1, fraction * strength) * lengths.numpy() + 1e-4).all()
    assert (n_dropped <= lengths.numpy() - 1).all()
    if contiguous:
        assert (n_windows(dropped[:, 0]) <= 1).all()


@pytest.mark.parametrize("contiguous", [True, False])
@pytest.mark.parametrize("n_valid", [1000, 400])
@pytest.mark.parametrize(("max_fraction", "strength"), [(0.8, 1.0), (0.8, 0.5), (0.6, 3.0)])
def test_dropped_fraction_of_the_valid_steps_is_uniform(
    contiguous, n_valid, max_fraction, strength
):
    x = torch.ones(1500, 1, 1000)
    output = DropTimeSteps(max_fraction, contiguous=contiguous, p=1.0)(
        x, lengths=torch.full((1500,), n_valid), strength=strength, generator=seeded(0)
    )
    fraction = (output[..., :n_valid] == 0).double().mean((1, 2)).numpy()
    largest = min(1, max_fraction * strength)
    assert kstest(fraction / largest, "uniform").pvalue > 1e-3


def test_dropped_steps_are_spread_evenly_over_time():
    output = DropTimeSteps(p=1.0)(torch.ones(4000, 1, 20), generator=seeded(0))
    rate = (output == 0).double().mean((0, 1))
    assert (rate - rate.mean()).abs().max() < 0.04
    assert (n_windows((output == 0).numpy()[:, 0]) > 2).mean() > 0.5


def test_every_step_can_be_in_a_dropped_window():
    output = DropTimeSteps(p=1.0, contiguous=True)(torch.ones(6000, 1, 10), generator=seeded(0))
    rate = (output == 0).double().mean((0, 1)).numpy()
    assert (rate > 0.04).all()
    np.testing.assert_allclose(rate, rate[::-1], atol=0.03)


def crop_positions(n_samples, n_times, lengths=None, seed=0, **params):
    """Crop a ramp along with random channels: the ramp then tells where each step came from."""
    x = torch.randn(n_samples, 3, n_times, generator=seeded(seed + 1), dtype=torch.float64)
    x[:, 0] = torch.arange(n_times)
    output = CropResample(p=1.0, **params)(x, lengths=lengths, generator=seeded(seed))
    return x.numpy(), output.numpy()


@given(st.lists(st.integers(1, 25), min_size=1, max_size=6), st.floats(0, 1), SEEDS)
def test_crop_equals_linear_interpolation(lengths, min_fraction, seed):
    x, output = crop_positions(
        len(lengths), 25, torch.tensor(lengths), seed, min_fraction=min_fraction
    )
    for sample, cropped, length in zip(x, output, lengths, strict=True):
        position = cropped[0, :length]
        assert position.min() >= 0
        assert position.max() <= length - 1
        # a ramp stays a ramp, less steep: the window keeps at least min_fraction
        slopes = np.diff(position)
        np.testing.assert_allclose(slopes, slopes.mean() if len(slopes) else 0, atol=1e-4)
        assert (slopes >= min_fraction - 1e-4).all()
        assert (slopes <= 1 + 1e-4).all()
        for channel in (1, 2):
            expected = np.interp(position, np.arange(length), sample[channel, :length])
            np.testing.assert_allclose(cropped[channel, :length], expected, atol=1e-4)
        np.testing.assert_array_equal(cropped[:, length:], sample[:, length:])


def test_crop_window_is_uniform_in_width_and_place():
    _, output = crop_positions(1500, 101, min_fraction=0.08)
    width = (output[:, 0, -1] - output[:, 0, 0]) / 100
    assert kstest((width - 0.08) / 0.92, "uniform").pvalue > 1e-3
    place = output[:, 0, 0] / 100 / (1 - width)
    assert kstest(place, "uniform").pvalue > 1e-3


def test_crop_at_half_strength_keeps_half_of_the_rest():
    _, output = crop_positions(1500, 101, min_fraction=0.2, strength=0.5)
    width = (output[:, 0, -1] - output[:, 0, 0]) / 100
    assert kstest((width - 0.6) / 0.4, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("n_times", [1, 2, 500])
def test_crop_that_keeps_everything_is_the_identity(n_times):
    x = torch.randn(5, 2, n_times)
    assert_close(CropResample(1.0, p=1.0)(x), x, atol=1e-4, rtol=0)


@pytest.mark.parametrize("circular", [True, False])
@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=6),
    st.floats(0, 1),
    st.floats(0.1, 2),
    SEEDS,
)
def test_shift_equals_roll_of_the_valid_part(circular, lengths, max_shift, strength, seed):
    assume(max_shift * strength < 1)
    x = torch.arange(1.0, 21).expand(len(lengths), 2, 20) * torch.tensor([[1.0], [-1.0]])
    output = TimeShift(max_shift, circular=circular, fill=99.0, p=1.0)(
        x, lengths=torch.tensor(lengths), strength=strength, generator=seeded(seed)
    ).numpy()
    for shifted, length in zip(output, lengths, strict=True):
        valid = x[0, :, :length].numpy()
        largest = int(np.rint(max_shift * strength * length + 1e-4))
        candidates = []
        for shift in range(-largest, largest + 1):
            rolled = np.roll(valid, shift, axis=1)
            vacated = slice(0, shift) if shift >= 0 else slice(length + shift, length)
            if not circular:
                rolled[:, vacated] = 99.0
            candidates.append(rolled)
        assert any(np.array_equal(shifted[:, :length], c) for c in candidates)
        np.testing.assert_array_equal(shifted[:, length:], x[0, :, length:].numpy())


def test_shift_is_uniform():
    x = torch.arange(1000.0).expand(1500, 1, 1000)
    output = TimeShift(0.2, p=1.0)(x, strength=0.5, generator=seeded(0))
    shift = (500 - output[:, 0, 500].double()) / 1000
    assert kstest((shift.numpy() + 0.1) / 0.2, "uniform").pvalue > 1e-3
