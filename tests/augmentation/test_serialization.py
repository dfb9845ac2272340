import json

import numpy as np
import pytest
import torch

import mmcontrast.augmentation as augmentation_module
from mmcontrast.augmentation import (
    Augmentation,
    BandSNR,
    ChannelDropout,
    ColorJitter,
    Compose,
    CropResample,
    Drift,
    DropTimeSteps,
    FeatureMasking,
    FourierSurrogate,
    GaussianBlur,
    GaussianNoise,
    HorizontalFlip,
    HRFJitter,
    ModalityAugmentation,
    MotionSpikes,
    MultiCrop,
    MultiDrop,
    RandomGrayscale,
    RandomResizedCrop,
    Recrop,
    SimCLRAugmentation,
    TimeShift,
    Translate,
    from_config,
    make_augmentation,
    to_config,
)

EXAMPLES = [
    BandSNR(200, bands={"alpha": [8, 12]}),
    ChannelDropout(0.3, fill=1.0),
    ColorJitter(hue=0.2),
    Compose([GaussianNoise(), Compose([DropTimeSteps(contiguous=True)], p=0.3)], strength=2.0),
    CropResample(0.5),
    Drift("sinusoid", sfreq=5.0, periods=(10.0, 20.0)),
    DropTimeSteps(np.float64(0.25), contiguous=np.bool_(True)),
    FeatureMasking(),
    FourierSurrogate(independent_channels=True),
    GaussianBlur([0.5, 1.0]),
    GaussianNoise(np.float32(0.5), p=1, strength=0),
    HorizontalFlip(),
    HRFJitter(5),
    MotionSpikes(5.0, max_events=3),
    MultiCrop(modalities=["a", "b"]),
    MultiDrop(modalities=("a", "b"), fill=2.0),
    RandomGrayscale(),
    RandomResizedCrop((0.3, 1.0)),
    Recrop({"a": 10, "b": 5.0}, offset="different"),
    SimCLRAugmentation(("crop", "flip"), min_scale=0.3),
    TimeShift(circular=False),
    Translate(2, fill=-1.0),
    make_augmentation(
        a=Compose([GaussianNoise(), Translate()]), b=None, c="identity", joint=MultiDrop(0.1)
    ),
]


@pytest.mark.parametrize("augmentation", EXAMPLES, ids=lambda a: type(a).__name__)
def test_round_trip_through_json(augmentation):
    config = to_config(augmentation)
    back = from_config(json.loads(json.dumps(config)))
    assert type(back) is type(augmentation)
    assert to_config(back) == config
    # tuples of names come back as lists, numpy numbers as Python's
    assert repr(back).replace("(", "[") == repr(from_config(config)).replace("(", "[")


def test_what_comes_back_draws_the_same():
    augmentation = make_augmentation(
        a=Compose([TimeShift(0.4), GaussianNoise(0.7, p=1.0)]), b=DropTimeSteps(), joint=MultiCrop()
    )
    values = {"a": torch.randn(9, 2, 20), "b": torch.randn(9, 2, 10)}
    back = from_config(json.loads(json.dumps(to_config(augmentation))))
    one = augmentation(values, generator=torch.Generator().manual_seed(0))
    two = back(values, generator=torch.Generator().manual_seed(0))
    assert all(torch.equal(one[name], two[name]) for name in values)


def test_every_augmentation_of_the_package_can_be_stored():
    bases = {"Augmentation", "AugmentationContext", "JointAugmentation", "SequenceAugmentation"}
    classes = {
        name
        for name in augmentation_module.__all__
        if isinstance(getattr(augmentation_module, name), type)
    }
    assert {type(example).__name__ for example in EXAMPLES} == classes - bases


class Own(Augmentation):
    pass


class Disguised(GaussianNoise):
    pass


Disguised.__name__ = "GaussianNoise"


@pytest.mark.parametrize(
    ("augmentation", "name"),
    [
        (Own(), "Own"),
        (Disguised(), "Disguised"),
        (Compose([GaussianNoise(), Own()]), "Own"),
        (make_augmentation(a=Own()), "Own"),
        (make_augmentation(a=torch.relu), "the function relu"),
        (make_augmentation(a=lambda x: x), "the function <lambda>"),
        (GaussianNoise(sigma=object()), "builtins.object"),
    ],
)
def test_what_is_not_of_the_package_is_refused_by_name(augmentation, name):
    with pytest.raises(TypeError, match=name):
        to_config(augmentation)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"class": "os.system", "params": {}}, "Unknown augmentation class 'os.system'"),
        ({"class": "Augmentation", "params": {}}, "Unknown augmentation class"),
        ({"class": "to_config", "params": {}}, "Unknown augmentation class"),
        ({"class": ["GaussianNoise"], "params": {}}, "Unknown augmentation class"),
        ({"class": "GaussianNoise"}, "keys 'class' and 'params'"),
        ({"class": "GaussianNoise", "params": {}, "module": "os"}, "keys 'class' and 'params'"),
        (["GaussianNoise"], "keys 'class' and 'params'"),
        ({"class": "GaussianNoise", "params": {"sgima": 1}}, "GaussianNoise has the parameters"),
        ({"class": "GaussianNoise", "params": [1]}, "GaussianNoise has the parameters"),
        ({"class": "Compose", "params": {}}, "Compose needs a list"),
        ({"class": "ModalityAugmentation", "params": {}}, "needs a list of .* pairs"),
        (
            {"class": "ModalityAugmentation", "params": {"augmentations": [["a"]]}},
            "needs a list of .* pairs",
        ),
        (
            {"class": "Compose", "params": {"augmentations": [{"class": "eval", "params": {}}]}},
            "Unknown augmentation class 'eval'",
        ),
    ],
)
def test_malformed_descriptions_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        from_config(config)


def test_pairs_come_back_as_tuples():
    back = from_config(json.loads(json.dumps(to_config(ModalityAugmentation([("a", None)])))))
    assert back.augmentations == [("a", None)]
