"""The training loop: a skorch net around an objective that computes its own loss."""

import math
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, repeat
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer, PassthroughScoring
from torch import nn

from ..nn.multimodal import View
from .data import Batch, ModalityDataset, evaluation_loader, training_loader
from .optim import weight_decay_groups

_PRECISIONS = {"float32": None, "bf16": torch.bfloat16}

# streams of random numbers that an epoch draws from
_ORDER, _AUGMENTATION, _MODEL, _EVALUATION, _CRITIC = range(5)


# torch's global generator is one for all threads
_RANDOM_LOCK = threading.RLock()


@contextmanager
def private_random_numbers(device: torch.device | str = "cpu") -> Iterator[None]:
    """Give torch's global generators back as they were."""
    is_cuda = torch.device(device).type == "cuda"
    fork = torch.random.fork_rng(devices=[device] if is_cuda else [])
    with _RANDOM_LOCK:
        fork.__enter__()
    try:
        yield
    finally:
        with _RANDOM_LOCK:
            fork.__exit__(None, None, None)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generator for a while, with no other fit in between."""
    with _RANDOM_LOCK, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


class StopTraining(Exception):
    """Raised by a callback to end the training early."""


def _unaugmented(view: View, generator: torch.Generator) -> View:
    return view


class ContrastiveNet(NeuralNet):
    """skorch net that trains an objective on augmented views.

    Every epoch seeds its own random streams from `seed` and its number, so an interrupted
    training that goes on from an epoch's end continues as if nothing had happened.

    Parameters
    ----------
    module : Module
        Objective: called with a list of views, the un-augmented view or None, and the targets,
        it returns a dict of scalars whose entry "loss" is minimised. It has `term_names` (first
        "loss", then what it is the sum of, last "embedding_std"), `n_views`, the number of
        augmented views it wants, and `needs_original`. If it has `n_critic_steps`, each step is
        followed by so many that minimise its `critic_loss`, called like the objective, on batches
        of their own; parameters that get no gradient from a loss are not changed by its step.
    augment : callable, optional
        Called as ``augment(view, generator)``; returns an augmented view. Default: the view.
    seed : int
        Fixes shuffling, augmentation and dropout.
    precision : {"float32", "bf16"}
        "bf16" trains under autocast.
    weight_decay : float
        Weight decay of AdamW on tensors with at least two dimensions.
    **kwargs
        Parameters of :class:`skorch.NeuralNet`.

    Examples
    --------
    The estimators make one; this is what they do.

    >>> import numpy as np
    >>> from mmcontrast import Modalities
    >>> from mmcontrast.losses import CoMMObjective
    >>> from mmcontrast.nn import ProjectionHead, build_multimodal_encoder
    >>> from mmcontrast.training import ContrastiveNet, ModalityDataset
    >>> X = Modalities(eeg=np.random.default_rng(0).normal(size=(32, 4)))
    >>> encoder = build_multimodal_encoder(X.row_shapes, embed_dim=8)
    >>> objective = CoMMObjective(encoder, ProjectionHead(8, (16, 8)))
    >>> net = ContrastiveNet(objective, batch_size=16)
    >>> net = net.initialize().train(ModalityDataset(X), None, n_epochs=2)
    >>> len(net.history)
    2
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        augment: Callable[[View, torch.Generator], View] = _unaugmented,
        seed: int = 0,
        precision: str = "float32",
        weight_decay: float = 0.0,
        **kwargs: Any,
    ) -> None:
        self.augment = augment
        self.seed = seed
        self.precision = precision
        self.weight_decay = weight_decay
        kwargs = {"criterion": _NoCriterion, "train_split": None, "verbose": 0} | kwargs
        super().__init__(module, **kwargs)

    def get_default_callbacks(self) -> list:
        """Epoch means of everything that is recorded per batch."""
        objective = self.module if self.module is not None else self.module_
        terms = [name for name in objective.term_names if name != "loss"]
        if _n_critic_steps(objective):
            terms.append("critic_loss")
        return [
            ("epoch_timer", EpochTimer()),
            ("train_loss", PassthroughScoring(name="train_loss", on_train=True)),
            ("valid_loss", PassthroughScoring(name="valid_loss")),
            ("terms", MeanTerms(terms)),
        ]

    def initialize_module(self) -> "ContrastiveNet":
        """Take the objective as it is: the estimator has built and initialised it."""
        self.module_ = self.module
        return self

    def initialize_optimizer(self, triggered_directly: bool | None = None) -> "ContrastiveNet":
        """Make AdamW with the weight-decay groups."""
        groups = weight_decay_groups(self.module_, self.weight_decay)
        self.optimizer_ = torch.optim.AdamW(groups, lr=self.lr, fused=True)
        return self

    def torch_compile(self, module: nn.Module, name: str) -> nn.Module:
        """Compile the loss path in place, so that the names of the weights stay as they are."""
        if self.compile and name == "module":
            module.compile()
        return module

    def get_iterator(self, dataset: ModalityDataset, training: bool = False) -> Iterable[Batch]:
        """Batches of a data set; the training order is drawn anew in every epoch."""
        if training:
            return training_loader(dataset, self.batch_size, seed=0)
        return evaluation_loader(dataset, self.batch_size)

    def train(
        self, dataset: ModalityDataset, valid: ModalityDataset | None, n_epochs: int
    ) -> "ContrastiveNet":
        """Train for a number of epochs or until a callback stops it.

        Parameters
        ----------
        dataset : ModalityDataset
            Training rows.
        valid : ModalityDataset or None
            Rows for the held-out loss.
        n_epochs : int
            Epochs to add to those already done.

        Returns
        -------
        self
        """
        held_out = None if valid is None else self.get_iterator(valid)
        loaders = (
            (self.get_iterator(dataset, training=True), True, "train", self.train_step),
            (held_out, False, "valid", self.validation_step),
        )
        datasets = {"dataset_train": dataset, "dataset_valid": valid}
        with private_random_numbers(self.device):
            try:
                self.notify("on_train_begin", X=dataset, y=None)
                for _ in range(n_epochs):
                    generator = self._begin_epoch(loaders[0][0])
                    self.notify("on_epoch_begin", **datasets)
                    for loader, training, prefix, step in loaders:
                        self.run_single_epoch(loader, training, prefix, step, generator=generator)
                        generator = self._new_generator(0, _EVALUATION)
                    self.notify("on_epoch_end", **datasets)
            except StopTraining:
                pass
            self.notify("on_train_end", X=dataset, y=None)
        self.module_.eval()
        return self

    def notify(self, method_name: str, **kwargs: Any) -> None:
        """Call the callbacks; at an epoch's end, skorch's way to stop is a KeyboardInterrupt."""
        try:
            super().notify(method_name, **kwargs)
        except KeyboardInterrupt as error:
            if method_name != "on_epoch_end":
                raise
            raise StopTraining from error

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Callable, **fit_params: Any
    ) -> None:
        """Run one epoch of training or validation."""
        if iterator is None:
            return
        self._set_training(training)
        count = 0
        for batch in iterator:
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            self._record(step["terms"], prefix, n_rows=_n_rows(batch))
            self.notify("on_batch_end", batch=batch, training=training, **step)
            count += 1
        self.history.record(f"{prefix}_batch_count", count)

    def train_step(self, batch: Batch, **fit_params: Any) -> dict[str, Any]:
        """Step on the loss of one batch, then on that of the critics."""
        step = super().train_step(batch, **fit_params)
        losses = [
            self._critic_step(next(self._critic_batches), fit_params["generator"])
            for _ in range(_n_critic_steps(self.module_))
        ]
        if losses:
            step["terms"]["critic_loss"] = torch.stack(losses).mean()
        return step

    def _critic_step(self, batch: Batch, generator: torch.Generator) -> torch.Tensor:
        self._zero_grad_optimizer()
        loss = self._evaluate(self.module_.critic_loss, batch, generator)
        loss.backward()
        learnable = list(self.get_all_learnable_params())
        self.notify("on_grad_computed", named_parameters=learnable, batch=batch)
        self.optimizer_.step()
        return loss.detach()

    def train_step_single(self, batch: Batch, **fit_params: Any) -> dict[str, Any]:
        """Loss and gradients of one batch."""
        terms = self._evaluate(self.module_, batch, fit_params["generator"])
        terms["loss"].backward()
        return {"loss": terms["loss"], "y_pred": None, "terms": terms}

    def validation_step(self, batch: Batch, **fit_params: Any) -> dict[str, Any]:
        """Loss of one batch in evaluation mode."""
        with torch.no_grad():
            terms = self._evaluate(self.module_, batch, fit_params["generator"])
        return {"loss": terms["loss"], "y_pred": None, "terms": terms}

    def evaluate_loss(self, dataset: ModalityDataset) -> float:
        """Sum of the terms' means over a data set, in evaluation mode; the same each time."""
        self._set_training(False)
        generator = self._new_generator(0, _EVALUATION)
        names = self.module_.term_names[1:-1]
        losses, sizes = [], []
        for batch in self.get_iterator(dataset):
            terms = self.validation_step(batch, generator=generator)["terms"]
            losses.append([terms[name].item() for name in names])
            sizes.append(_n_rows(batch))
        # a term has no value in a batch without its modality: its mean is over the others
        means = np.ma.average(np.ma.masked_invalid(losses), axis=0, weights=sizes)
        return float(means.sum())

    def _evaluate(self, loss: Callable[..., Any], batch: Batch, generator: torch.Generator) -> Any:
        """Call a loss of the objective with what it wants of a batch."""
        view, y = batch
        dtype = _PRECISIONS[self.precision]
        with torch.autocast(torch.device(self.device).type, dtype=dtype, enabled=dtype is not None):
            views = [self.augment(view, generator) for _ in range(self.module_.n_views)]
            original = view if self.module_.needs_original else None
            return loss(views, original, y)

    def _record(self, terms: dict[str, torch.Tensor], prefix: str, n_rows: int) -> None:
        # one transfer for all terms: each would make a GPU wait
        values = torch.stack([term.detach() for term in terms.values()]).tolist()
        named = dict(zip(terms, values, strict=True))
        self.history.record_batch(f"{prefix}_loss", named.pop("loss"))
        self.history.record_batch(f"{prefix}_batch_size", n_rows)
        if prefix == "train":
            for name, value in named.items():
                self.history.record_batch(name, value)

    def _begin_epoch(self, loader: Any) -> torch.Generator:
        """Seed what an epoch draws from, and return the generator of its augmentation."""
        epoch = len(self.history)
        loader.generator.manual_seed(self._stream(epoch, _ORDER))
        with _RANDOM_LOCK:
            torch.manual_seed(self._stream(epoch, _MODEL))
        if _n_critic_steps(self.module_):
            own = training_loader(
                loader.dataset, self.batch_size, seed=self._stream(epoch, _CRITIC)
            )
            self._critic_batches = chain.from_iterable(repeat(own))
        if epoch:  # only epoch means are kept: a long training would hoard its batches
            self.history[-1]["batches"] = []
        return self._new_generator(epoch, _AUGMENTATION)

    def _stream(self, epoch: int, stream: int) -> int:
        return int(np.random.SeedSequence([self.seed, epoch, stream]).generate_state(1)[0])

    def _new_generator(self, epoch: int, stream: int) -> torch.Generator:
        generator = torch.Generator(device=self.device)
        return generator.manual_seed(self._stream(epoch, stream))

    def __getstate__(self) -> dict[str, Any]:
        # the module is there as module_
        return super().__getstate__() | {"module": None, "_critic_batches": None}


class MeanTerms(Callback):
    """Epoch means of the terms of a loss, over the batches in which a term has a value.

    Parameters
    ----------
    names : list of str
        The terms.
    """

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def on_epoch_end(self, net: "ContrastiveNet", **kwargs: Any) -> None:
        """Record the means."""
        batches = [row for row in net.history[-1, "batches"] if "train_loss" in row]
        for name in self.names:
            values = [row[name] for row in batches if not math.isnan(row[name])]
            net.history.record(name, float(np.mean(values)) if values else math.nan)


class _NoCriterion(nn.Module):
    """The objective computes its own loss."""


def _n_critic_steps(objective: nn.Module) -> int:
    return getattr(objective, "n_critic_steps", 0)


def _n_rows(batch: Batch) -> int:
    return len(next(iter(batch[0].values.values())))
