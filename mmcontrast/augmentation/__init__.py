"""Batched augmentation on the device, with random parameters for each sample."""

from ._base import Augmentation, AugmentationContext
from .channels import ChannelDropout
from .compose import Compose
from .image import Translate
from .joint import JointAugmentation, MultiCrop, MultiDrop
from .multimodal import (
    ModalityAugmentation,
    default_augmentation,
    make_augmentation,
    unique_augmentation,
)
from .noise import GaussianNoise
from .sequence import CropResample, DropTimeSteps, SequenceAugmentation, TimeShift
from .serialization import from_config, to_config
from .tabular import FeatureMasking

__all__ = [
    "Augmentation",
    "AugmentationContext",
    "ChannelDropout",
    "Compose",
    "CropResample",
    "DropTimeSteps",
    "FeatureMasking",
    "GaussianNoise",
    "JointAugmentation",
    "ModalityAugmentation",
    "MultiCrop",
    "MultiDrop",
    "SequenceAugmentation",
    "TimeShift",
    "Translate",
    "default_augmentation",
    "from_config",
    "make_augmentation",
    "to_config",
    "unique_augmentation",
]
