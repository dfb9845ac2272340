"""What the baselines share: parameters, encoders and heads."""

import inspect
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, TypeVar

import torch
from sklearn.utils._param_validation import Interval

from ..nn import PooledEncoder, ProjectionHead, build_pooled_encoder
from ._docs import fill_doc
from ._parts import BaseParts

T = TypeVar("T", bound=type)

_HEADS = """embed_dim : int, default=64
    Size of the tokens and of each modality's embedding, which is the mean of its tokens.
projection_dims : sequence of int, default=(512, 512, 256)
    Layers of the projection heads, which are used in training only.
temperature : float, default=0.1
    Temperature of the loss, whose features are normalised."""

_SELF_WEIGHT = """self_weight : float, default=1.0
    Weight of the terms within a modality; the terms in ``history_`` include it."""

_VIEWS = """augmentation : "auto", ModalityAugmentation or None, default="auto"
    See :func:`~mmcontrast.augmentation.make_augmentation`. "auto" is
    :func:`~mmcontrast.augmentation.default_augmentation`, None is no augmentation. Noise is
    relative to the spread of a whole modality: standardise the modalities before.
augmentation_strength : float, default=1.0
    Scales all augmentations: 0 is the identity."""


def fill_baseline_doc(cls: T) -> T:
    """Fill ``%(heads)s``, ``%(self_weight)s`` and ``%(views)s``, and what ``fill_doc`` fills."""
    doc = inspect.cleandoc(cls.__doc__ or "")
    for name, text in {"heads": _HEADS, "self_weight": _SELF_WEIGHT, "views": _VIEWS}.items():
        doc = doc.replace(f"%({name})s", text)
    cls.__doc__ = doc
    return fill_doc(cls)


class BaseBaseline(BaseParts):
    """Base of the baselines: one encoder per modality and a contrast of their embeddings."""

    _parameter_constraints: dict[str, Any] = {
        **BaseParts._parameter_constraints,
        "projection_dims": ["array-like"],
        "temperature": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        *,
        encoders: Any = "auto",
        converters: Any = "auto",
        embed_dim: int = 64,
        projection_dims: Sequence[int] = (512, 512, 256),
        temperature: float = 0.1,
        augmentation: Any = "auto",
        augmentation_strength: float = 1.0,
        modalities: Mapping[str, Any] | None = None,
        max_epochs: int = 100,
        batch_size: int | str = "auto",
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        schedule: str = "cosine",
        warmup_epochs: float = 1,
        gradient_clip: float | None = None,
        validation_fraction: float | None = None,
        early_stopping: bool = False,
        patience: int = 10,
        device: str | torch.device = "auto",
        precision: str = "float32",
        compile: bool = False,
        streaming: bool | str = "auto",
        checkpoint: str | Path | None = None,
        callbacks: Sequence[Any] | None = None,
        warm_start: bool = False,
        progress_bar: bool = False,
        random_state: Any = None,
    ) -> None:
        self.encoders = encoders
        self.converters = converters
        self.embed_dim = embed_dim
        self.projection_dims = projection_dims
        self.temperature = temperature
        self.augmentation = augmentation
        self.augmentation_strength = augmentation_strength
        self.modalities = modalities
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.warmup_epochs = warmup_epochs
        self.gradient_clip = gradient_clip
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.patience = patience
        self.device = device
        self.precision = precision
        self.compile = compile
        self.streaming = streaming
        self.checkpoint = checkpoint
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.progress_bar = progress_bar
        self.random_state = random_state

    def _build_encoder(self, row_shapes: Mapping[str, tuple[int, ...]]) -> PooledEncoder:
        return build_pooled_encoder(
            row_shapes, self.embed_dim, encoders=self.encoders, converters=self.converters
        )

    def _build_heads(self, row_shapes: Mapping[str, tuple[int, ...]]) -> list[ProjectionHead]:
        return [ProjectionHead(self.embed_dim, tuple(self.projection_dims)) for _ in row_shapes]
