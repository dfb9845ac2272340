import copy

import pytest
import torch
from torch import nn

from mmcontrast.nn import ProjectionHead


def plain_head(head):
    """The same layers as one nn.Sequential, to be called once per group."""
    layers = []
    for linear, norm in zip(head.linears[:-1], head.norms, strict=True):
        layers += [linear, norm, nn.ReLU()]
    return nn.Sequential(*layers, head.linears[-1])


@pytest.mark.parametrize("dims", [(4,), (6, 4), (8, 8, 4)])
@pytest.mark.parametrize("n_groups", [1, 3])
def test_batch_statistics_are_those_of_each_group(dims, n_groups):
    torch.manual_seed(0)
    head = ProjectionHead(5, dims).double()
    plain = plain_head(copy.deepcopy(head))
    scale = torch.arange(1, n_groups + 1)[:, None, None]
    z = scale * torch.randn(n_groups, 7, 5, dtype=torch.float64) + scale
    expected = torch.stack([plain(group) for group in z])
    torch.testing.assert_close(head(z), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(head.eval()(z), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dims", [(), (3, 0), (2.5,)])
def test_refuses_layers_without_a_size(dims):
    with pytest.raises(ValueError, match="projection_dims"):
        ProjectionHead(5, dims)
