"""What all contrastive estimators share: input, training, embedding, saving."""

import copy
from abc import ABCMeta, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    _fit_context,
    clone,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback, EarlyStopping, GradientNormClipping
from torch import nn

from .._warnings import warn
from ..augmentation import ModalityAugmentation, default_augmentation
from ..losses.comm import embedding_std
from ..modalities import Modalities
from ..training import (
    Augmenter,
    ContrastiveNet,
    CosineSchedule,
    EpochProgress,
    KeepGoodWeights,
    ModalityDataset,
    RecordLearningRate,
    ResumableCheckpoint,
    resolve_device,
)
from ..training.net import seeded
from ._embedding import EmbeddingMixin
from ._identity import data_fingerprint, fingerprint
from ._inputs import (
    check_all_there,
    check_batch_size,
    check_input,
    check_pairs,
    hold_out,
)
from ._persistence import SavableMixin, load_weights
from ._targets import TargetCoding, check_target
from ._values import check_values, training_scales

_PROBED_ROWS = 128
# a modality whose own embedding spreads less than this, relative to the widest, is not seen
_SILENT_SHARE = 1e-2
_COUNTS = {"train_batch_count", "valid_batch_count"}
_FAILURES = {
    "diverged": (
        "The loss of {name} is not finite in epoch {epoch}.",
        "Lower learning_rate, set gradient_clip, or scale the input.",
    ),
    "collapsed": (
        "The embedding of {name} collapsed in epoch {epoch}: it is the same for all rows.",
        "Lower learning_rate or augmentation_strength, or enlarge the batch.",
    ),
    "flat": (
        "The embedding of {name} hardly differs between rows.",
        "Standardise the input, for example with mmcontrast.preprocessing.ChannelScaler.",
    ),
}
# modalities and targets, as they were passed or as they are trained on
_Rows = tuple[Any, Any]

# parameters that do not change what a fit computes
_NEUTRAL = {
    "callbacks",
    "checkpoint",
    "device",
    "parts",
    "progress_bar",
    "streaming",
    "warm_start",
}


# parameters that may change from one fit to a warm start
_FREE = {
    *(_NEUTRAL - {"device"}),
    "augmentation",
    "augmentation_strength",
    "batch_size",
    "early_stopping",
    "gradient_clip",
    "learning_rate",
    "max_epochs",
    "patience",
    "random_state",
    "schedule",
    "validation_fraction",
    "warmup_epochs",
}


class BaseContrastive(
    EmbeddingMixin,
    SavableMixin,
    BaseEstimator,
    metaclass=ABCMeta,
):
    """Base of the transformers that learn an embedding of modalities.

    A subclass has the parameters below in its ``__init__`` and builds its objective.
    """

    # how many modalities the method takes
    _min_modalities: int = 1
    _max_modalities: int | None = None

    _parameter_constraints: dict[str, Any] = {
        "augmentation": [StrOptions({"auto"}), ModalityAugmentation, None],
        "augmentation_strength": [Interval(Real, 0, None, closed="left")],
        "modalities": [Mapping, None],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "schedule": [StrOptions({"cosine", "constant"})],
        "warmup_epochs": [Interval(Real, 0, None, closed="left")],
        "gradient_clip": [Interval(Real, 0, None, closed="neither"), None],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither"), None],
        "early_stopping": ["boolean"],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "device": [str, torch.device],
        "precision": [StrOptions({"float32", "bf16"})],
        "compile": ["boolean"],
        "streaming": ["boolean", StrOptions({"auto"})],
        "checkpoint": [str, Path, None],
        "callbacks": ["array-like", None],
        "warm_start": ["boolean"],
        "progress_bar": ["boolean"],
        "random_state": ["random_state"],
    }

    # what a subclass's __init__ stores
    augmentation: Any
    augmentation_strength: float
    modalities: Mapping | None
    max_epochs: int
    batch_size: int | str
    learning_rate: float
    weight_decay: float
    schedule: str
    warmup_epochs: float
    gradient_clip: float | None
    validation_fraction: float | None
    early_stopping: bool
    patience: int
    device: str | torch.device
    precision: str
    compile: bool
    streaming: bool | str
    checkpoint: str | Path | None
    callbacks: Sequence | None
    warm_start: bool
    progress_bar: bool
    random_state: Any

    @abstractmethod
    def _build_objective(self, row_shapes: Mapping[str, tuple[int, ...]]) -> nn.Module:
        """Build encoder, head and loss for modalities of these shapes."""

    @property
    def _target_type(self) -> str | None:
        """What a supervised method takes y for, None for one that ignores it."""
        return None

    # ------------------------------------------------------------------ fit
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any = None, *, groups: Any = None, X_val: Any = None, y_val: Any = None
    ) -> Any:
        """Learn the embedding.

        Parameters
        ----------
        X : Modalities, array of shape (n_samples, ...), DataFrame or mne.Epochs
            Training rows.
        y : array-like of shape (n_samples,) or None, default=None
            Targets of a supervised method; ignored by all others.
        groups : array-like of shape (n_samples,), default=None
            Subjects, sessions ...: with `validation_fraction`, whole groups are held out.
        X_val : like X, default=None
            Rows for the held-out loss, instead of `validation_fraction`.
        y_val : like y, default=None
            Targets of `X_val`.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError, TypeError
            If the input or a parameter cannot be used; the message names the modality.
        FloatingPointError
            If the loss is not finite before the first epoch is over.
        """
        fresh = not (self.warm_start and hasattr(self, "net_"))
        with self._unfitted_on_failure(fresh):
            self._fit((X, y), groups, (X_val, y_val), self.max_epochs, fresh=fresh, resumable=True)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None) -> Any:
        """Train for one more epoch on these rows, at a constant learning rate.

        Parameters
        ----------
        X : like in fit
            Rows.
        y : like in fit
            Their targets.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        fresh = not hasattr(self, "net_")
        with self._unfitted_on_failure(fresh):
            self._fit((X, y), None, (None, None), 1, fresh=fresh, resumable=False)
        return self

    @contextmanager
    def _unfitted_on_failure(self, fresh: bool) -> Iterator[None]:
        try:
            yield
        except BaseException:
            if fresh:  # what there is of a network was not trained to the end
                self.__dict__.pop("net_", None)
            raise

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net_")

    def _fit(
        self,
        rows: _Rows,
        groups: Any,
        held_out: _Rows,
        n_epochs: int,
        *,
        fresh: bool,
        resumable: bool,
    ) -> None:
        if (
            self.early_stopping
            and resumable
            and held_out[0] is None
            and not self.validation_fraction
        ):
            raise ValueError(
                "early_stopping=True watches the held-out loss: set validation_fraction, or pass "
                "X_val to fit."
            )
        for callback in self.callbacks or []:
            if not isinstance(callback, Callback):
                raise TypeError(
                    f"callbacks holds a {type(callback).__name__}; expected instances of "
                    "skorch.callbacks.Callback."
                )
        if not fresh:
            self._check_unchanged("To go on with the fitted network")
        rows = self._check_rows(*rows, reset=fresh)
        held_out = self._check_held_out(*held_out)
        n_done = 0 if fresh else len(self.net_.history)
        checkpoint = None
        if resumable and self.checkpoint is not None:
            checkpoint = self._open_checkpoint(rows, groups, held_out, n_done)
        seed = self._draw_seed(checkpoint, fresh)
        train, valid = hold_out(self, rows, groups, held_out, seed) if resumable else (rows, None)
        batch_size = check_batch_size(self, len(train[0]))
        check_pairs(self, train[0], "The training rows")
        if valid is not None:
            check_pairs(self, valid[0], "The validation rows")
        if fresh:
            self.scales_ = training_scales(train[0])
            self._built_with = copy.copy(self.get_params(deep=False))
            device = resolve_device(self.device)
            self.net_ = self._make_net(self._initialised_objective(seed), device)
        else:
            check_all_there(self, train[0], "Further training")
            check_values(train[0])
        net = self.net_
        net.set_params(seed=seed, batch_size=batch_size, lr=float(self.learning_rate))
        net.augment = self._make_augment()
        if checkpoint is not None:
            checkpoint.restore(net)
        n_left = n_epochs - (len(net.history) - n_done)
        keeper = self._set_callbacks(n_epochs, n_done, checkpoint, valid, cosine=resumable)
        net.train(self._dataset(*train), None if valid is None else self._dataset(*valid), n_left)
        self._report(keeper)
        if keeper.failure_ is None:
            self._warn_of_silent_modalities(train[0])

    def _check_rows(self, X: Any, y: Any, *, reset: bool) -> _Rows:
        """Modalities and, for a supervised method, targets as numbers."""
        X = check_input(self, X, reset=reset)
        if reset:
            self._target_coding: TargetCoding | None = None
        expected = self._target_type if reset else self._fitted_target_type
        if expected is None:
            return X, None
        owner, coding = type(self).__name__, self._target_coding
        y, found = check_target(y, len(X), expected, owner)
        if coding is None:
            self._target_coding = coding = TargetCoding.of(y, found, owner)
        return X, coding.encode(y, owner)

    def _check_held_out(self, X_val: Any, y_val: Any) -> _Rows:
        if X_val is None:
            if y_val is not None:
                raise ValueError("y_val was passed without X_val, the rows that it belongs to.")
            return None, None
        if y_val is None and self._target_coding is not None:
            raise ValueError(
                f"{type(self).__name__} is supervised: X_val needs its targets. Pass y_val."
            )
        return self._check_rows(X_val, y_val, reset=False)

    @property
    def _fitted_target_type(self) -> str | None:
        if self._target_coding is None:
            return None
        return "regression" if self._target_coding.classes is None else "classification"

    def _dataset(self, X: Modalities, y: np.ndarray | None) -> ModalityDataset:
        return ModalityDataset(X, y, device=self.net_.device, streaming=self.streaming)

    def _initialised_objective(self, seed: int) -> nn.Module:
        with seeded(seed):
            return self._build_objective(self.modalities_)

    def _make_net(self, objective: nn.Module, device: torch.device) -> ContrastiveNet:
        net = ContrastiveNet(
            objective,
            lr=float(self.learning_rate),
            weight_decay=self.weight_decay,
            precision=self.precision,
            compile=self.compile,
            device=str(device),
        )
        return net.initialize()

    def _make_augment(self) -> Augmenter:
        augmentation, strength = self.augmentation, float(self.augmentation_strength)
        if isinstance(augmentation, str):
            augmentation = self._named_augmentation(augmentation)
        if isinstance(augmentation, ModalityAugmentation):
            # a later set_params is for a later fit
            augmentation = clone(augmentation, safe=False)
            augmentation.check_names(self.modalities_)
        elif augmentation is not None and strength != 1:
            raise ValueError(
                f"augmentation_strength={strength:g} cannot scale the callable {augmentation!r}: "
                "leave it at 1, or pass make_augmentation(...), which has a strength."
            )
        return Augmenter(augmentation, strength, self.scales_)

    def _named_augmentation(self, name: str) -> ModalityAugmentation:
        return default_augmentation(self.modalities_)

    def _draw_seed(self, checkpoint: ResumableCheckpoint | None, fresh: bool) -> int:
        if checkpoint is not None and checkpoint.seed is not None:
            return checkpoint.seed
        if not fresh:  # the same rows are held out
            return self.net_.seed
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _open_checkpoint(
        self, rows: _Rows, groups: Any, held_out: _Rows, n_done: int
    ) -> ResumableCheckpoint:
        """Find the file of this very fit: same parameters, same data."""
        params = {k: v for k, v in self.get_params(deep=False).items() if k not in _NEUTRAL}
        data = [(None if X is None else data_fingerprint(X), y) for X, y in (rows, held_out)]
        groups = None if groups is None else np.asarray(groups)
        name = fingerprint(type(self).__name__, params, data, groups, n_done)
        folder = Path(self.checkpoint).expanduser()  # type: ignore[arg-type]
        return ResumableCheckpoint(folder / f"{name}.pt")

    def _check_unchanged(self, what: str) -> None:
        """Refuse parameters that the network was not built with."""
        for name, built in self._built_with.items():
            now = getattr(self, name)
            if name in _FREE or now is built or not _differ(now, built):
                continue
            raise ValueError(
                f"{what}, {name} has to be what it was in fit: {built!r}, not {now!r}. Set it "
                "back, or fit anew with warm_start=False."
            )

    def _set_callbacks(
        self,
        n_epochs: int,
        n_done: int,
        checkpoint: ResumableCheckpoint | None,
        valid: _Rows | None,
        *,
        cosine: bool,
    ) -> KeepGoodWeights:
        keeper = KeepGoodWeights()
        callbacks: list[Any] = [RecordLearningRate(), keeper, *(self.callbacks or [])]
        if self.gradient_clip is not None:
            callbacks.append(GradientNormClipping(self.gradient_clip))
        if cosine and self.schedule == "cosine":
            callbacks.append(CosineSchedule(n_epochs, float(self.warmup_epochs), n_done))
        if self.early_stopping and valid is not None:
            callbacks.append(EarlyStopping(patience=self.patience, load_best=True))
        if self.progress_bar:
            callbacks.append(EpochProgress(n_done + n_epochs))
        if checkpoint is not None:
            callbacks.append(checkpoint)
        self.net_.callbacks = callbacks
        self.net_.initialize_callbacks()
        return keeper

    def _report(self, keeper: KeepGoodWeights) -> None:
        complete = [row for row in self.net_.history if "train_loss" in row]
        numbers = {k: None for row in complete for k, value in row.items() if _is_number(value)}
        kept = [key for key in numbers if key not in _COUNTS]
        self.history_ = {key: [_plain(row.get(key, np.nan)) for row in complete] for key in kept}
        self.n_iter_ = len(complete)
        if keeper.failure_ is None:
            return
        what, advice = _FAILURES[keeper.failure_]
        message = f"{what.format(name=type(self).__name__, epoch=len(self.net_.history))} {advice}"
        if keeper.failure_ == "diverged" and keeper.good_epoch_ == 0:
            raise FloatingPointError(message)
        if keeper.failure_ != "flat":
            message += f" The weights from the end of epoch {keeper.good_epoch_} are kept."
        warn(message, ConvergenceWarning)

    def _warn_of_silent_modalities(self, X: Modalities) -> None:
        """Say so if a modality, on its own, gives every row nearly the same embedding."""
        spread = {}
        names = self._embedded_modalities
        for name in names if len(names) > 1 else ():
            rows = np.flatnonzero(X.presence(name))[:_PROBED_ROWS]
            embedded = self._embed_alone(X[rows], name)
            spread[name] = float(embedding_std(torch.from_numpy(embedded)))
        for name, std in spread.items():
            if std < _SILENT_SHARE * max(spread.values()):
                warn(
                    f"The embedding of {type(self).__name__} hardly depends on modality {name!r}, "
                    f"whose values have a standard deviation of {self.scales_[name]:.2g}. "
                    "Standardise it, for example with mmcontrast.preprocessing.ChannelScaler in a "
                    "make_modality_transformer.",
                    ConvergenceWarning,
                )

    def score(self, X: Any, y: Any = None) -> float:
        """Negative loss of held-out rows, so that a search works without labels.

        Augmented views are drawn from a fixed seed, so the score is the same each time. It
        compares networks and their training (encoders, learning rates, ...) at the same task.
        `augmentation`, `augmentation_strength`, `temperature`, `batch_size`, `loss_terms` and
        absent modalities change the task, and with it the scale of the score: choose these by a
        downstream task.

        Parameters
        ----------
        X : like in fit
            Rows, of all modalities.
        y : like in fit
            Targets of a supervised method; ignored by all others.

        Returns
        -------
        float
            The negative mean loss over batches of the training's size.
        """
        check_is_fitted(self)
        X, y = self._check_rows(X, y, reset=False)
        if len(X) < 2:
            raise ValueError(
                f"A contrastive loss needs at least 2 rows; found n_samples = {len(X)}."
            )
        check_all_there(self, X, "score")
        check_pairs(self, X, "The rows to score")
        check_values(X)
        return -self.net_.evaluate_loss(self._dataset(X, y))

    def _restore(self, path: str | Path, description: dict[str, Any]) -> Any:
        self._validate_params()
        fitted = dict(description["fitted"])
        names = fitted.pop("feature_names_in_")
        if names:
            self.feature_names_in_ = np.asarray(names, dtype=object)
        shapes = fitted.pop("modalities_")
        self.modalities_ = {name: tuple(shape) for name, shape in shapes.items()}
        self._target_coding = TargetCoding.from_json(fitted.pop("target_coding"))
        for key, value in fitted.items():
            setattr(self, key, value)
        seed, device = description["seed"], resolve_device(self.device)
        objective = self._initialised_objective(seed)
        load_weights(path, objective)
        self.net_ = self._make_net(objective, device)
        self.net_.set_params(seed=seed, batch_size=description["batch_size"])
        self.net_.augment = self._make_augment()
        epochs = zip(*self.history_.values(), strict=True)
        self.net_.history.extend(
            {"batches": [], **dict(zip(self.history_, epoch, strict=True))} for epoch in epochs
        )
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = self._min_modalities == 1  # else it is one modality
        tags.target_tags.required = self._target_type is not None
        tags.transformer_tags.preserves_dtype = []
        return tags


def _differ(first: Any, second: Any) -> bool:
    try:
        return fingerprint(first) != fingerprint(second)
    except ValueError:  # no telling: objects of the user's own
        return True


def _is_number(value: Any) -> bool:
    return isinstance(value, (Integral, Real)) and not isinstance(value, bool)


def _plain(value: Any) -> int | float:
    return int(value) if isinstance(value, Integral) else float(value)
