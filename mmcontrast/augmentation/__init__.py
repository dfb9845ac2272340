"""Batched augmentation on the device, with random parameters for each sample."""

from ._base import Augmentation, AugmentationContext
from .channels import ChannelDropout
from .colour import ColorJitter, RandomGrayscale
from .compose import Compose
from .image import GaussianBlur, HorizontalFlip, RandomResizedCrop, Translate
from .joint import JointAugmentation, MultiCrop, MultiDrop
from .multimodal import (
    ModalityAugmentation,
    default_augmentation,
    make_augmentation,
    unique_augmentation,
)
from .neuro import BandSNR, Drift, FourierSurrogate, HRFJitter, MotionSpikes, Recrop
from .noise import GaussianNoise
from .sequence import CropResample, DropTimeSteps, SequenceAugmentation, TimeShift
from .serialization import from_config, to_config
from .simclr import SimCLRAugmentation
from .tabular import FeatureMasking

__all__ = [
    "Augmentation",
    "AugmentationContext",
    "BandSNR",
    "ChannelDropout",
    "ColorJitter",
    "Compose",
    "CropResample",
    "Drift",
    "DropTimeSteps",
    "FeatureMasking",
    "FourierSurrogate",
    "GaussianBlur",
    "GaussianNoise",
    "HRFJitter",
    "HorizontalFlip",
    "JointAugmentation",
    "ModalityAugmentation",
    "MotionSpikes",
    "MultiCrop",
    "MultiDrop",
    "RandomGrayscale",
    "RandomResizedCrop",
    "Recrop",
    "SequenceAugmentation",
    "SimCLRAugmentation",
    "TimeShift",
    "Translate",
    "default_augmentation",
    "from_config",
    "make_augmentation",
    "to_config",
    "unique_augmentation",
]
