import numpy as np
import pytest
import torch
from scipy.stats import kstest

from mmcontrast.augmentation import GaussianNoise


@pytest.mark.parametrize("scale", [0.02, 30.0, torch.tensor(5.0, dtype=torch.float64)])
@pytest.mark.parametrize(("sigma", "strength"), [(0.1, 1.0), (0.5, 0.3), (0.1, 4.0)])
def test_noise_is_normal_with_the_stated_deviation(sigma, strength, scale):
    x = torch.full((400, 5, 10), 3.0, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    noisy = GaussianNoise(sigma, p=1.0)(x, scale=scale, strength=strength, generator=generator)
    standard = (noisy - x).numpy().ravel() / (sigma * strength * float(scale))
    assert abs(standard.std() - 1) < 0.02
    assert kstest(standard, "norm").pvalue > 1e-3


def test_values_are_independent():
    generator = torch.Generator().manual_seed(0)
    noise = GaussianNoise(p=1.0)(torch.zeros(5000, 6), generator=generator).numpy()
    off_diagonal = np.corrcoef(noise.T) - np.eye(6)
    assert np.abs(off_diagonal).max() < 0.06


def test_scale_zero_adds_nothing():
    x = torch.randn(4, 3)
    assert torch.equal(GaussianNoise(p=1.0)(x, scale=0.0), x)
