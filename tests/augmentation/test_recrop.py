"""Windows cut from recordings with a margin."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmcontrast.augmentation import Recrop, make_augmentation

RATES = {"eeg": 50.0, "fnirs": 5.0}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def clocks(n=200, seconds=12.0):
    """Sequences whose values are their own times in seconds."""
    return {
        name: (torch.arange(int(seconds * rate)) / rate).expand(n, 2, -1)
        for name, rate in RATES.items()
    }


@given(st.integers(-4, 4), st.integers(0, 3), st.integers(1, 5))
def test_a_crop_by_k_steps_is_a_slice(k, seed, n_window):
    x = torch.randn(6, 3, 8 + n_window, generator=seeded(seed))
    windows, offsets = Recrop(sfreq=10, margin=0.4).crop({"a": x}, offsets={"a": k / 10})
    assert torch.equal(windows["a"], x[..., 4 + k : 4 + k + n_window])
    torch.testing.assert_close(offsets["a"], torch.full((6,), k / 10))


@pytest.mark.parametrize("offset", ["same", "different"])
def test_offsets_are_those_of_the_windows_and_fill_the_margin(offset):
    windows, offsets = Recrop(RATES, margin=2.0, offset=offset).crop(clocks(), generator=seeded())
    for name, rate in RATES.items():
        assert windows[name].shape == (200, 2, int(8 * rate))
        torch.testing.assert_close(windows[name][:, 0, 0], 2.0 + offsets[name])
        assert 1.8 < offsets[name].max() <= 2
        assert -2 <= offsets[name].min() < -1.8
        assert abs(offsets[name].mean()) < 0.3
    difference = (offsets["eeg"] - offsets["fnirs"]).abs()
    if offset == "same":
        assert difference.max() <= 0.1 + 1e-5  # half a step of the slower one
    else:
        assert difference.mean() > 0.8


def test_known_offsets_of_each_row():
    wanted = torch.linspace(-1, 1, 5)
    windows, offsets = Recrop(RATES, margin=1.0).crop(
        clocks(5), offsets={"eeg": wanted, "fnirs": 0.0}
    )
    torch.testing.assert_close(offsets["eeg"], wanted)
    torch.testing.assert_close(windows["eeg"][:, 0, 0], 1.0 + wanted)
    assert (offsets["fnirs"] == 0).all()


def test_strength_and_p_decide_how_far_and_whether_windows_move():
    values = clocks()
    for recrop, strength in ((Recrop(RATES), 0.0), (Recrop(RATES, p=0.0), 1.0)):
        windows = recrop(values, strength=strength)
        assert all(
            torch.equal(windows[k], x[..., round(RATES[k]) : -round(RATES[k])])
            for k, x in values.items()
        )
    weak = Recrop(RATES, strength=0.5).crop(values, generator=seeded())[1]["eeg"]
    assert 0.4 < weak.abs().max() <= 0.5
    strong = Recrop(RATES, strength=9.0).crop(values, generator=seeded())[1]["eeg"]
    assert strong.abs().max() <= 1.0
    some = Recrop(RATES, p=0.5).crop(values, generator=seeded())[1]["eeg"]
    assert abs((some == 0).float().mean() - 0.5) < 0.1


def test_only_sequences_with_a_margin_are_cut_and_it_goes_before_the_others():
    values = clocks() | {"age": torch.ones(200, 3)}
    windows = Recrop(RATES, modalities=["fnirs"])(values, generator=seeded())
    assert windows["eeg"] is values["eeg"]
    assert windows["age"] is values["age"]
    assert windows["fnirs"].shape[-1] == 50
    whole = make_augmentation(joint=Recrop(RATES))(values, generator=seeded())
    assert [x.shape[-1] for x in whole.values()] == [500, 50, 3]


def test_the_seed_decides_and_the_input_stays():
    values = {k: x.clone() for k, x in clocks().items()}
    one, two = (Recrop(RATES)(values, generator=seeded(1)) for _ in range(2))
    assert all(torch.equal(one[k], two[k]) for k in values)
    one["eeg"].zero_()
    assert values["eeg"].max() > 0


@pytest.mark.parametrize(
    ("recrop", "message"),
    [
        (Recrop(), "sampling rate of modality 'eeg'"),
        (Recrop({"eeg": 50}), "sampling rate of modality 'fnirs'"),
        (Recrop({"eeg": 50, "fnirs": "5"}), "modality 'fnirs' as a positive number"),
        (Recrop(RATES, margin=0), "needs a margin .* modality 'eeg'"),
        (Recrop(RATES, margin=0.05), "needs a margin .* modality 'fnirs'"),
        (Recrop(RATES, margin=6), "6 s on both sides leaves nothing of modality 'eeg'"),
        (Recrop(RATES, margin=-1), "'margin' parameter of Recrop"),
        (Recrop(RATES, offset="both"), "'offset' parameter of Recrop"),
        (Recrop(0.0), "'sfreq' parameter of Recrop"),
    ],
)
def test_what_cannot_be_cut_is_refused_by_name(recrop, message):
    with pytest.raises(ValueError, match=message):
        recrop(clocks(3))


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ({"eeg": 0.0}, "no entry for modality 'fnirs'"),
        ({"eeg": 1.5, "fnirs": 0.0}, "modality 'eeg' go up to 1.5 s"),
        ({"eeg": np.zeros(2), "fnirs": 0.0}, r"modality 'eeg' have to be .* \(3,\), found \(2,\)"),
    ],
)
def test_impossible_offsets_are_refused(offsets, message):
    with pytest.raises(ValueError, match=message):
        Recrop(RATES).crop(clocks(3), offsets=offsets)


def test_padded_modalities_are_refused():
    with pytest.raises(ValueError, match="modality 'fnirs': it is padded"):
        Recrop(RATES)(clocks(3), lengths={"fnirs": torch.tensor([60, 50, 60])})


def test_a_joint_recrop_cuts_the_margins_off_at_every_strength():
    values = clocks(3)
    augmentation = make_augmentation(joint=Recrop(RATES, margin=2.0), fnirs=lambda x: x + 100)
    for strength in (0.0, 0.5, 1.0):
        windows = augmentation(values, strength=strength, generator=seeded())
        assert {name: x.shape[-1] for name, x in windows.items()} == {"eeg": 400, "fnirs": 40}
    middle = augmentation(values, strength=0.0)
    assert torch.equal(middle["eeg"], values["eeg"][..., 100:-100])
    assert torch.equal(middle["fnirs"], values["fnirs"][..., 10:-10])


@pytest.mark.parametrize("offset", [float("nan"), float("inf"), [0.0, float("nan")]])
def test_offsets_that_are_no_numbers_are_refused(offset):
    offsets = {"eeg": torch.tensor(offset), "fnirs": 0.0}
    with pytest.raises(ValueError, match="modality 'eeg' hold NaN or infinity"):
        Recrop(RATES).crop(clocks(2), offsets=offsets)
