import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmcontrast.augmentation import ChannelDropout


@pytest.mark.parametrize("tail", [(5,), (3, 4)])
@given(st.integers(1, 6), st.floats(0, 1), st.floats(0.1, 5), st.integers(0, 10_000))
def test_whole_channels_are_dropped_and_one_stays(tail, n_channels, prob, strength, seed):
    x = torch.ones(20, n_channels, *tail)
    generator = torch.Generator().manual_seed(seed)
    output = ChannelDropout(prob, fill=-2.0, p=1.0)(x, strength=strength, generator=generator)
    dropped = (output == -2).flatten(2)
    assert torch.equal(dropped.any(2), dropped.all(2))
    assert (output[~dropped.view_as(x)] == 1).all()
    assert (~dropped.all(2)).any(1).all()


@pytest.mark.parametrize(("prob", "strength"), [(0.2, 1.0), (0.2, 2.0), (0.05, 1.0)])
def test_channels_are_dropped_independently_at_the_rate(prob, strength):
    generator = torch.Generator().manual_seed(0)
    output = ChannelDropout(prob, p=1.0)(
        torch.ones(4000, 16, 1), strength=strength, generator=generator
    )
    dropped = (output[..., 0] == 0).double().numpy()
    np.testing.assert_allclose(dropped.mean(0), prob * strength, atol=0.03)
    assert np.abs(np.corrcoef(dropped.T) - np.eye(16)).max() < 0.08


def test_each_channel_can_be_the_one_that_stays():
    output = ChannelDropout(1.0, p=1.0)(
        torch.ones(3000, 3, 2), generator=torch.Generator().manual_seed(0)
    )
    kept = output[..., 0]
    assert (kept.sum(1) == 1).all()
    np.testing.assert_allclose(kept.mean(0), 1 / 3, atol=0.04)
