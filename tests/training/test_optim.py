import math

import pytest
import torch
from torch import nn

from mmcontrast.training import resolve_device, warmup_cosine, weight_decay_groups


def test_only_matrices_decay():
    module = nn.Sequential(nn.Conv1d(2, 3, 3), nn.LayerNorm(3), nn.Linear(3, 1))
    module[2].bias.requires_grad_(False)
    decaying, rest = weight_decay_groups(module, 0.1)
    assert [p.ndim for p in decaying["params"]] == [3, 2] and decaying["weight_decay"] == 0.1
    assert [p.ndim for p in rest["params"]] == [1, 1, 1] and rest["weight_decay"] == 0
    assert all(p.requires_grad for p in rest["params"])


def test_schedule_warms_up_linearly_and_falls_by_half_a_cosine():
    factors = [warmup_cosine(step / 100, 0.1, 0.01) for step in range(101)]
    assert factors[:11] == pytest.approx([step / 10 for step in range(11)])
    for step in range(10, 101):
        expected = 0.01 + 0.99 * (1 + math.cos(math.pi * (step - 10) / 90)) / 2
        assert factors[step] == pytest.approx(expected)
    assert warmup_cosine(0.5, 1.0, 0.0) == 0.5
    assert warmup_cosine(1.0, 1.0, 0.0) == 1.0


def test_auto_device_is_cuda_if_it_is_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto").type == "cpu"


@pytest.mark.parametrize("device", ["cuda:99", "nonsense", "xla"])
def test_a_device_that_is_not_there(device):
    with pytest.raises(ValueError, match=rf"device='{device}' is not there. Found: cpu"):
        resolve_device(device)
