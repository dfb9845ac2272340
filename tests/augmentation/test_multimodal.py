import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid

from mmcontrast.augmentation import (
    Compose,
    DropTimeSteps,
    GaussianNoise,
    ModalityAugmentation,
    MultiCrop,
    MultiDrop,
    TimeShift,
    default_augmentation,
    make_augmentation,
)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def trials(n=20):
    return {"eeg": torch.randn(n, 4, 40), "fnirs": torch.randn(n, 2, 10), "age": torch.randn(n, 3)}


def test_each_modality_gets_its_own():
    values = trials()
    augmentation = make_augmentation(eeg=GaussianNoise(p=1.0), fnirs=None, age="identity")
    output = augmentation(values, generator=seeded(0))
    assert list(output) == list(values)
    assert output["fnirs"] is values["fnirs"]
    assert output["age"] is values["age"]
    expected = GaussianNoise(p=1.0)(values["eeg"], generator=seeded(0))
    assert torch.equal(output["eeg"], expected)


def test_modalities_without_entry_and_entries_without_modality_are_passed_over():
    values = trials()
    augmentation = make_augmentation(eeg=GaussianNoise(p=1.0), video=GaussianNoise(p=1.0))
    output = augmentation(values, generator=seeded(0))
    assert set(output) == set(values)
    assert output["fnirs"] is values["fnirs"]


def test_scale_lengths_and_strength_arrive():
    values = {"eeg": torch.zeros(300, 2, 10), "fnirs": torch.zeros(300, 2, 10)}
    noise = GaussianNoise(0.5, p=1.0)
    augmentation = make_augmentation(eeg=noise, fnirs=clone(noise), strength=0.5)
    output = augmentation(
        values,
        lengths={"eeg": torch.full((300,), 6), "fnirs": None},
        scales={"eeg": 8.0},
        strength=2.0,
        generator=seeded(0),
    )
    assert (output["eeg"][..., 6:] == 0).all()
    np.testing.assert_allclose(output["eeg"][..., :6].std(), 4.0, rtol=0.05)
    np.testing.assert_allclose(output["fnirs"].std(), 0.5, rtol=0.05)


@pytest.mark.parametrize("n_fnirs", [200, 50])
def test_shared_window_survives_noise_of_each_modality(n_fnirs):
    # a signal far above the noise shows where the window is
    values = {"eeg": torch.full((60, 1, 200), 1e3), "fnirs": torch.full((60, 1, n_fnirs), 1e3)}
    augmentation = make_augmentation(
        eeg=GaussianNoise(p=1.0), fnirs=GaussianNoise(p=1.0), joint=MultiDrop(p=0.7)
    )
    output = augmentation(values, generator=seeded(0))
    dropped = {name: (x[:, 0] < 500) for name, x in output.items()}
    assert all((x[:, 0] != 1e3).any() and (x[:, 0] != 0).all() for x in output.values())
    coarse = dropped["eeg"].view(60, n_fnirs, -1).float().mean(2)
    # only the steps at the two edges may differ between sampling rates
    assert ((coarse > 0.5) != dropped["fnirs"]).sum(1).max() <= (0 if n_fnirs == 200 else 2)
    assert 0.4 < dropped["eeg"].any(1).float().mean() < 0.9


def test_joint_comes_first_and_is_scaled():
    values = {"eeg": torch.ones(50, 1, 100)}
    fills = make_augmentation(eeg=lambda x: x + 1, joint=MultiDrop(p=1.0), strength=0.5)
    output = fills(values, strength=0.5, generator=seeded(0))["eeg"]
    assert set(output.unique().tolist()) == {1.0, 2.0}
    assert (output == 1).float().mean((1, 2)).max() <= 0.2


def test_joint_windows_lie_in_the_valid_time():
    x = torch.ones(500, 1, 100)
    lengths = torch.full((500,), 20)
    augmentation = make_augmentation(joint=MultiDrop(p=1.0))
    output = augmentation({"a": x}, lengths={"a": lengths}, generator=seeded(0))["a"]
    assert (output[..., 20:] == 1).all()
    # windows of the whole 100 steps would mostly fall behind the 20 valid ones
    assert 0.3 < (output[..., :20] == 0).float().mean() < 0.45


@pytest.mark.parametrize("strength", [0, 0.0, np.float32(0)])
def test_strength_zero_returns_the_same_tensors(strength):
    values = trials()
    augmentation = make_augmentation(
        eeg=Compose([GaussianNoise(p=1.0)]), age=lambda x: x + 1, joint=MultiCrop(p=1.0)
    )
    for output in (
        augmentation(values, strength=strength),
        clone(augmentation).set_params(strength=strength)(values),
    ):
        assert all(output[name] is values[name] for name in values)


def test_plain_functions_keep_padding_and_are_skipped_at_own_strength_zero():
    x = torch.ones(3, 1, 4)
    lengths = {"a": torch.tensor([4, 2, 1])}
    output = make_augmentation(a=lambda x: x + 1)({"a": x}, lengths=lengths)["a"]
    assert torch.equal(output.sum((1, 2)), torch.tensor([8.0, 6.0, 5.0]))
    assert torch.equal(x, torch.ones(3, 1, 4))


def test_equal_seeds_give_equal_batches():
    values = trials()
    augmentation = default_augmentation({name: tuple(x.shape[1:]) for name, x in values.items()})
    one, two, other = (augmentation(values, generator=seeded(s)) for s in (1, 1, 2))
    for name in values:
        assert torch.equal(one[name], two[name])
        assert not torch.equal(one[name], other[name])


def test_nested_parameters():
    augmentation = make_augmentation(
        eeg=Compose([GaussianNoise(), DropTimeSteps()]), fnirs=TimeShift(), joint=MultiDrop()
    )
    names = augmentation.get_params()
    for name in (
        "strength", "joint", "joint__max_fraction", "eeg", "eeg__strength", "eeg__p",
        "eeg__gaussiannoise__sigma", "fnirs__strength", "fnirs__max_shift",
    ):  # fmt: skip
        assert name in names
    augmentation.set_params(
        eeg__strength=0.5, eeg__gaussiannoise__sigma=0.7, joint__max_fraction=0.1, strength=2.0
    )
    eeg = dict(augmentation.augmentations)["eeg"]
    assert (eeg.strength, eeg.augmentations[0].sigma) == (0.5, 0.7)
    assert augmentation.joint.max_fraction == 0.1
    augmentation.set_params(fnirs=GaussianNoise(0.9))
    assert dict(augmentation.augmentations)["fnirs"].sigma == 0.9
    augmentation.set_params(fnirs=None, joint=None)
    assert dict(augmentation.augmentations)["fnirs"] is None
    for params in ParameterGrid({"eeg__strength": [0.1, 1], "strength": [1, 2]}):
        assert clone(augmentation).set_params(**params).get_params()["eeg__strength"] in (0.1, 1)
    with pytest.raises(ValueError, match="Invalid parameter 'ege'"):
        augmentation.set_params(ege__strength=1)


def test_clone_and_pickle_draw_the_same():
    values = trials()
    augmentation = make_augmentation(
        eeg=Compose([GaussianNoise(0.4)]), fnirs=DropTimeSteps(), joint=MultiDrop()
    )
    expected = augmentation(values, generator=seeded(0))
    for copy in (clone(augmentation), pickle.loads(pickle.dumps(augmentation))):
        output = copy(values, generator=seeded(0))
        assert all(torch.equal(output[name], expected[name]) for name in values)
        copy.set_params(eeg__gaussiannoise__sigma=5.0)
    assert dict(augmentation.augmentations)["eeg"].augmentations[0].sigma == 0.4


def test_unknown_names_are_found_before_training():
    names = ["eeg", "fnirs"]
    make_augmentation(eeg=None, joint=MultiDrop(modalities=["fnirs"])).check_names(names)
    ModalityAugmentation([]).check_names(names)
    with pytest.raises(ValueError, match=r"modality 'fnris'.*'eeg', 'fnirs'.*mean 'fnirs'"):
        make_augmentation(fnris=None).check_names(names)
    with pytest.raises(
        ValueError, match=r"joint augmentation has an entry for modality 'egg'.*mean 'eeg'"
    ):
        make_augmentation(joint=MultiDrop(modalities=["egg"])).check_names(names)
    with pytest.raises(ValueError, match="'zzz'") as caught:
        make_augmentation(zzz=None).check_names(names)
    assert "mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("entries", "error", "message"),
    [
        ([("a", None), ("a", None)], ValueError, "unique"),
        ([("a__b", None)], ValueError, "without '__'"),
        ([GaussianNoise()], TypeError, r"\(modality, augmentation\) tuples"),
        ([(3, None)], TypeError, r"\(modality, augmentation\) tuples"),
    ],
)
def test_malformed_entries_are_refused(entries, error, message):
    augmentation = ModalityAugmentation(entries)
    with pytest.raises(error, match=message):
        augmentation({"a": torch.ones(2, 3)})
    with pytest.raises(error, match=message):
        augmentation.check_names(["a", "joint", "a__b"])


@pytest.mark.parametrize(
    ("entry", "error", "message"),
    [
        (DropTimeSteps(), ValueError, "modality 'age': DropTimeSteps expects"),
        (GaussianNoise(-1), ValueError, "modality 'age': The 'sigma' parameter of GaussianNoise"),
        (Compose([GaussianNoise(p=3)]), ValueError, "modality 'age': The 'p' parameter"),
        ("noise", TypeError, "modality 'age': An augmentation must be"),
        (3, TypeError, "modality 'age': An augmentation must be"),
        (GaussianNoise, TypeError, "modality 'age': An augmentation must be"),
        (lambda x: x[:1], ValueError, "modality 'age': <lambda> must keep shape"),
        (lambda x: None, ValueError, "modality 'age': <lambda> must return a tensor"),
    ],
)
def test_errors_name_the_modality(entry, error, message):
    with pytest.raises(error, match=message):
        make_augmentation(age=entry)(trials())


def test_parameters_are_checked():
    values = trials()
    with pytest.raises(ValueError, match="'strength' parameter of ModalityAugmentation"):
        make_augmentation(strength=-1)(values)
    with pytest.raises(ValueError, match="'joint' parameter of ModalityAugmentation"):
        make_augmentation(joint=GaussianNoise())(values)
    with pytest.raises(ValueError, match="strength that ModalityAugmentation"):
        make_augmentation()(values, strength=-1)
    with pytest.raises(ValueError, match=r"modality 'eeg'.*scale"):
        make_augmentation(eeg=None)(values, scales={"eeg": -1.0})


@pytest.mark.parametrize("shape", [(5,), (3, 40), (1, 4, 8), (2, 3, 4, 5)])
def test_default_fits_every_shape_and_is_tunable(shape):
    augmentation = default_augmentation({"a": shape})
    x = torch.randn(64, *shape)
    output = augmentation({"a": x}, generator=seeded(0))["a"]
    assert output.shape == x.shape
    assert not torch.equal(output, x)
    assert augmentation.set_params(a__strength=0.0)({"a": x})["a"] is x


def test_default_of_sequences_is_noise_and_drop_each_for_half_of_the_samples():
    x = torch.ones(3000, 2, 50)
    output = default_augmentation({"a": (2, 50)})({"a": x}, generator=seeded(0))["a"]
    dropped = (output == 0).all(1)
    noisy = ((output != 1) & (output != 0)).any((1, 2))
    assert abs(noisy.float().mean() - 0.5) < 0.05
    assert abs(dropped.any(1).float().mean() - 0.5) < 0.05
    noise = (output - 1)[~dropped[:, None].expand_as(output)]
    np.testing.assert_allclose(noise[noise != 0].std(), 0.1, rtol=0.05)
