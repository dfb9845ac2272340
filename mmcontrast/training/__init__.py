"""The training loop and what it stands on: data on the device, callbacks, schedules."""

from .callbacks import (
    CosineSchedule,
    EpochProgress,
    KeepGoodWeights,
    RecordLearningRate,
    ResumableCheckpoint,
)
from .data import ModalityDataset, evaluation_loader, to_tensor, training_loader
from .net import ContrastiveNet, StopTraining
from .optim import resolve_device, warmup_cosine, weight_decay_groups
from .views import Augmenter

__all__ = [
    "Augmenter",
    "ContrastiveNet",
    "CosineSchedule",
    "EpochProgress",
    "KeepGoodWeights",
    "ModalityDataset",
    "RecordLearningRate",
    "ResumableCheckpoint",
    "StopTraining",
    "evaluation_loader",
    "resolve_device",
    "to_tensor",
    "training_loader",
    "warmup_cosine",
    "weight_decay_groups",
]
