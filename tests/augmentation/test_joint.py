"""One window of time for several modalities."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from mmcontrast.augmentation import MultiCrop, MultiDrop

SEEDS = st.integers(0, 10_000)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def window_edges(x):
    """Start and end of the zeros of (batch, 1, times) as fractions; NaN without zeros."""
    dropped = (x[:, 0] == 0).numpy()
    n_times = dropped.shape[1]
    start = np.where(dropped.any(1), dropped.argmax(1), np.nan)
    assert (np.diff(dropped.astype(int), axis=1, prepend=0).clip(min=0).sum(1) <= 1).all()
    return start / n_times, (start + dropped.sum(1)) / n_times


@given(st.integers(2, 300), st.integers(2, 300), st.floats(0.1, 1), SEEDS)
def test_drop_windows_are_equal_at_all_sampling_rates(n_eeg, n_fnirs, max_fraction, seed):
    values = {"eeg": torch.ones(30, 1, n_eeg), "fnirs": torch.ones(30, 1, n_fnirs)}
    output = MultiDrop(max_fraction, p=1.0)(values, generator=seeded(seed))
    tolerance = 1 / n_eeg + 1 / n_fnirs  # each lies within a step of the shared window
    for eeg, fnirs in zip(window_edges(output["eeg"]), window_edges(output["fnirs"]), strict=True):
        both = ~np.isnan(eeg) & ~np.isnan(fnirs)
        assert (np.abs(eeg - fnirs)[both] <= tolerance + 1e-6).all()
    for x in output.values():
        assert ((x == 0).float().mean((1, 2)) <= max_fraction + 1e-6).all()
        assert (x == 1).any(2).all()


@given(st.integers(2, 50), st.integers(2, 50), st.floats(0, 1), SEEDS)
def test_crop_windows_are_equal_at_all_sampling_rates(n_eeg, n_fnirs, min_fraction, seed):
    clock = {"eeg": torch.linspace(0, 1, n_eeg), "fnirs": torch.linspace(0, 1, n_fnirs)}
    values = {name: t.double().expand(9, 2, -1) for name, t in clock.items()}
    output = MultiCrop(min_fraction, p=1.0)(values, generator=seeded(seed))
    for edge in (0, -1):
        np.testing.assert_allclose(output["eeg"][..., edge], output["fnirs"][..., edge], atol=1e-5)
    width = output["eeg"][..., -1] - output["eeg"][..., 0]
    assert (width >= min_fraction - 1e-5).all()


@pytest.mark.parametrize("joint", [MultiDrop(p=0.5), MultiCrop(p=0.5)])
def test_modalities_share_the_decision_and_rows_differ(joint):
    x = torch.arange(1.0, 101).expand(500, 1, 100)
    output = joint({"a": x, "b": x.clone()}, generator=seeded(0))
    assert torch.equal(output["a"], output["b"])
    changed = (output["a"] != x).flatten(1).any(1)
    assert abs(changed.float().mean() - 0.5) < 0.08
    assert len(output["a"].flatten(1).unique(dim=0)) > 150


@pytest.mark.parametrize("joint", [MultiDrop(p=1.0), MultiCrop(p=1.0)])
def test_windows_lie_in_the_valid_time_and_padding_stays(joint):
    x = torch.full((50, 1, 20), 5.0)
    lengths = torch.arange(50) % 21
    padded = torch.arange(20) >= lengths[:, None]
    x[:, 0][padded] = 1e6
    output = joint({"a": x}, lengths={"a": lengths}, generator=seeded(0))["a"][:, 0]
    assert (output[padded] == 1e6).all()
    assert (output[~padded] <= 5).all()
    nowhere = joint({"a": x}, lengths={"b": lengths}, generator=seeded(0))["a"]
    assert nowhere.shape == x.shape


def test_only_named_modalities_are_touched():
    values = {name: torch.ones(40, 2, 30) for name in "abc"} | {"age": torch.ones(40, 3)}
    output = MultiDrop(p=1.0, modalities=["a", "c", "absent"])(values, generator=seeded(0))
    assert output["b"] is values["b"]
    assert output["age"] is values["age"]
    assert list(output) == list(values)
    assert (output["a"] == 0).any()
    assert torch.equal(output["a"], output["c"])
    everything = MultiDrop(p=1.0)(values, generator=seeded(0))
    assert (everything["b"] == 0).any()
    assert everything["age"] is values["age"]


@pytest.mark.parametrize("joint", [MultiDrop, MultiCrop])
def test_strength_zero_and_p_zero_are_the_identity(joint):
    values = {"a": torch.randn(4, 2, 9), "b": torch.randn(4, 2, 5)}
    for output in (
        joint(p=1.0)(values, strength=0.0),
        joint(p=1.0, strength=0.0)(values),
        joint(p=0.0)(values),
    ):
        assert all(output[name] is values[name] for name in values)


@pytest.mark.parametrize("joint", [MultiDrop(p=1.0), MultiCrop(p=1.0)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dtype_is_kept_and_the_input_not_modified(joint, dtype):
    x = torch.randn(6, 2, 9).to(dtype)
    before = x.clone()
    output = joint({"a": x}, generator=seeded(0))["a"]
    assert (output.shape, output.dtype) == (x.shape, dtype)
    assert torch.equal(x, before)


def test_weaker_means_smaller_windows():
    values = {"a": torch.ones(300, 1, 100)}
    weak = MultiDrop(p=1.0)(values, strength=0.25, generator=seeded(0))["a"]
    assert (weak == 0).float().mean((1, 2)).max() <= 0.2
    clock = {"a": torch.linspace(0, 1, 100).expand(300, 1, -1)}
    cropped = MultiCrop(0.2, p=1.0)(clock, strength=0.25, generator=seeded(0))["a"]
    assert (cropped[..., -1] - cropped[..., 0]).min() >= 0.8 - 1e-5


def test_refusals_name_the_modality():
    x = torch.ones(4, 2, 5)
    with pytest.raises(ValueError, match="MultiDrop expects modality 'age' with 3 dimensions"):
        MultiDrop(modalities=["age"])({"age": torch.ones(4, 2)})
    with pytest.raises(ValueError, match="found 3 in modality 'b' and 4"):
        MultiCrop()({"a": x, "b": x[:3]})
    with pytest.raises(TypeError, match="modality 'a'"):
        MultiCrop()({"a": x.int()})
    with pytest.raises(ValueError, match="modality 'a' expects lengths"):
        MultiDrop()({"a": x}, lengths={"a": torch.ones(3, dtype=torch.int64)})
    with pytest.raises(ValueError, match="'max_fraction' parameter of MultiDrop"):
        MultiDrop(max_fraction=2)({"a": x})
    with pytest.raises(ValueError, match="'min_fraction' parameter of MultiCrop"):
        MultiCrop(min_fraction=-1)({"a": x})
    with pytest.raises(ValueError, match="'modalities' parameter of MultiDrop"):
        MultiDrop(modalities="a")({"a": x})
    with pytest.raises(ValueError, match="strength that MultiDrop"):
        MultiDrop()({"a": x}, strength=-1)


def test_clone_keeps_parameters():
    joint = MultiDrop(0.3, modalities=["a"], p=0.2, strength=2.0)
    assert repr(clone(joint)) == repr(joint)
