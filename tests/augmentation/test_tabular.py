import numpy as np
import pytest
import torch

from mmcontrast.augmentation import FeatureMasking


@pytest.mark.parametrize(
    ("fraction", "strength"), [(0.15, 1.0), (0.15, 3.0), (0.7, 2.0), (0.0, 1.0)]
)
def test_features_are_masked_independently_at_the_rate(fraction, strength):
    x = torch.randn(6000, 10)
    generator = torch.Generator().manual_seed(0)
    output = FeatureMasking(fraction, fill=5.0)(x, strength=strength, generator=generator)
    masked = output == 5
    assert torch.equal(output[~masked], x[~masked])
    rate = min(1.0, fraction * strength)
    np.testing.assert_allclose(masked.double().mean(0), rate, atol=0.03)
    if 0 < rate < 1:
        correlation = np.corrcoef(masked.double().numpy().T)
        assert np.abs(correlation - np.eye(10)).max() < 0.07


def test_all_axes_but_the_rows_are_features():
    generator = torch.Generator().manual_seed(0)
    output = FeatureMasking(0.5)(torch.ones(2000, 2, 3), generator=generator).flatten(1)
    assert len(output.unique(dim=0)) == 2**6
