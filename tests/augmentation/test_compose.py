import pytest
import torch
from sklearn.base import clone

from mmcontrast.augmentation import (
    Compose,
    CropResample,
    DropTimeSteps,
    GaussianNoise,
    TimeShift,
)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_members_are_applied_in_order_with_strength_scale_and_lengths():
    x = torch.randn(8, 2, 10)
    lengths = torch.arange(3, 11)
    members = [TimeShift(0.5), GaussianNoise(), DropTimeSteps()]
    composed = Compose(members, strength=0.5)(
        x, lengths=lengths, scale=3.0, strength=0.8, generator=seeded(1)
    )
    generator = seeded(1)
    torch.rand(len(x), generator=generator)  # the chain's own decision
    expected = x
    for member in members:
        expected = member(expected, lengths=lengths, scale=3.0, strength=0.4, generator=generator)
    assert torch.equal(composed, expected)


def test_p_of_the_chain_decides_for_all_members():
    x = torch.randn(2000, 4)
    chain = Compose([GaussianNoise(p=1.0), lambda x: x + 100], p=0.3)
    output = chain(x, generator=seeded(0))
    moved = (output - x > 50).all(1)
    assert abs(moved.float().mean() - 0.3) < 0.05
    assert torch.equal(output[~moved], x[~moved])


def test_no_members_change_nothing():
    x = torch.randn(3, 4)
    assert torch.equal(Compose([])(x), x)


def test_nested_parameters_have_the_names_of_make_pipeline():
    chain = Compose([GaussianNoise(0.1), DropTimeSteps(), Compose([CropResample()])])
    params = chain.get_params()
    assert params["gaussiannoise__sigma"] == 0.1
    assert params["compose__cropresample__min_fraction"] == 0.08
    chain.set_params(
        gaussiannoise__sigma=0.7, compose__cropresample__min_fraction=0.5, compose__strength=2.0
    )
    assert chain.augmentations[0].sigma == 0.7
    assert chain.augmentations[2].strength == 2.0
    assert chain.augmentations[2].augmentations[0].min_fraction == 0.5
    with pytest.raises(ValueError, match="Invalid parameter 'sigmoid'"):
        chain.set_params(gaussiannoise__sigmoid=1)
    with pytest.raises(ValueError, match="Invalid parameter 'timeshift'"):
        chain.set_params(timeshift__p=1)


def test_equal_classes_are_numbered():
    chain = Compose([GaussianNoise(0.1), GaussianNoise(0.2)])
    chain.set_params(**{"gaussiannoise-2__sigma": 0.9})
    assert [member.sigma for member in chain.augmentations] == [0.1, 0.9]


def test_members_are_replaced_one_by_one_or_all_at_once():
    chain = Compose([GaussianNoise(), DropTimeSteps()])
    chain.set_params(gaussiannoise=TimeShift(0.3), droptimesteps__p=0.9)
    assert chain.augmentations[0].max_shift == 0.3
    assert chain.augmentations[1].p == 0.9
    chain.set_params(augmentations=[CropResample()], cropresample__min_fraction=0.4, p=0.2)
    assert chain.augmentations[0].min_fraction == 0.4
    assert chain.p == 0.2


def test_clone_is_independent_and_equal():
    chain = Compose([GaussianNoise(0.3), DropTimeSteps(0.2)], p=0.5)
    copy = clone(chain)
    assert repr(copy) == repr(chain)
    copy.set_params(gaussiannoise__sigma=1.0)
    assert chain.augmentations[0].sigma == 0.3


@pytest.mark.parametrize("member", [3, "noise", GaussianNoise])
def test_members_that_are_no_augmentation_are_refused(member):
    with pytest.raises(TypeError, match="An augmentation must be"):
        Compose([member])(torch.ones(2, 3))
