"""Callbacks of the training loop, on top of skorch's own."""

import logging
import math
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch
from skorch.callbacks import Callback, EarlyStopping
from tqdm.auto import tqdm

from .net import ContrastiveNet, StopTraining
from .optim import warmup_cosine

logger = logging.getLogger(__name__)

# spread of an embedding on the unit sphere, which is 1 if it fills the sphere
_COLLAPSED_STD = 1e-3
# a collapse is a fall: input with a large offset begins with a small spread
_COLLAPSED_SHARE = 0.1


class CosineSchedule(Callback):
    """Linear warm-up and half a cosine, set before every step.

    The learning rate is a function of the number of steps done, so nothing has to be saved to
    resume.

    Parameters
    ----------
    n_epochs : int
        Epochs of the whole training.
    warmup_epochs : float
        Epochs of warm-up.
    first_epoch : int, default=0
        Epochs in the history that belong to an earlier training.
    final_lr : float, default=1e-6
        Learning rate at the end.

    Examples
    --------
    >>> from mmcontrast.training import CosineSchedule
    >>> schedule = CosineSchedule(n_epochs=100, warmup_epochs=10)  # for a net's callbacks
    """

    def __init__(
        self, n_epochs: int, warmup_epochs: float, first_epoch: int = 0, final_lr: float = 1e-6
    ) -> None:
        self.n_epochs = n_epochs
        self.warmup_epochs = warmup_epochs
        self.first_epoch = first_epoch
        self.final_lr = final_lr

    def on_epoch_begin(self, net: ContrastiveNet, dataset_train: Any = None, **kwargs: Any) -> None:
        """Note the place in the training."""
        self.steps_per_epoch_ = max(1, len(dataset_train) // net.batch_size)
        self.step_ = (len(net.history) - 1 - self.first_epoch) * self.steps_per_epoch_

    def on_batch_begin(self, net: ContrastiveNet, training: bool = False, **kwargs: Any) -> None:
        """Set the learning rate of the step."""
        if not training:
            return
        self.step_ += 1
        factor = warmup_cosine(
            self.step_ / (self.n_epochs * self.steps_per_epoch_),
            min(1.0, self.warmup_epochs / self.n_epochs),
            min(1.0, self.final_lr / net.lr),
        )
        for group in net.optimizer_.param_groups:
            group["lr"] = net.lr * factor


class RecordLearningRate(Callback):
    """Write the learning rate at the end of each epoch to the history as "lr".

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast import CoMM
    >>> X = np.random.default_rng(0).normal(size=(20, 4))
    >>> CoMM(max_epochs=2, schedule="constant").fit(X).history_["lr"]
    [0.001, 0.001]
    """

    def on_epoch_end(self, net: ContrastiveNet, **kwargs: Any) -> None:
        """Record it."""
        net.history.record("lr", net.optimizer_.param_groups[0]["lr"])


class KeepGoodWeights(Callback):
    """Stop a training that diverges or collapses, and go back to the last good weights.

    Attributes
    ----------
    failure_ : {"diverged", "collapsed", "flat"} or None
        What went wrong. "flat" is an embedding that never differed between rows.
    good_epoch_ : int
        Last epoch in the history that the weights are good after, 0 for none.

    Examples
    --------
    >>> from mmcontrast.training import KeepGoodWeights
    >>> keeper = KeepGoodWeights()  # for a net's callbacks; afterwards, look at keeper.failure_
    """

    def on_train_begin(self, net: ContrastiveNet, **kwargs: Any) -> None:
        """Keep the weights that the training begins with."""
        self.failure_: str | None = None
        self.widest_std_ = 0.0
        self._keep(net)

    def on_batch_end(self, net: ContrastiveNet, training: bool, **kwargs: Any) -> None:
        """Stop at a loss that is not finite."""
        if training and not math.isfinite(net.history[-1, "batches", -1, "train_loss"]):
            self._restore(net, "diverged")

    def on_epoch_end(self, net: ContrastiveNet, **kwargs: Any) -> None:
        """Stop if the embedding collapsed or weights are not finite; keep the weights if not."""
        std = net.history[-1, "embedding_std"]
        if std < min(_COLLAPSED_STD, _COLLAPSED_SHARE * self.widest_std_):
            self._restore(net, "collapsed")
        self.widest_std_ = max(self.widest_std_, std)
        if not all(bool(p.isfinite().all()) for p in net.module_.parameters()):
            self._restore(net, "diverged")
        self._keep(net)

    def on_train_end(self, net: ContrastiveNet, **kwargs: Any) -> None:
        """Note an embedding without spread."""
        if self.failure_ is None and self.widest_std_ < _COLLAPSED_STD:
            self.failure_ = "flat"
        self.weights_.clear()

    def _keep(self, net: ContrastiveNet) -> None:
        self.good_epoch_ = len(net.history)
        self.weights_ = {k: v.detach().clone() for k, v in net.module_.state_dict().items()}

    def _restore(self, net: ContrastiveNet, failure: str) -> None:
        net.module_.load_state_dict(self.weights_)
        self.failure_ = failure
        raise StopTraining


class ResumableCheckpoint(Callback):
    """Save the whole state of a training after every epoch, in one file that is never half written.

    Parameters
    ----------
    path : Path
        The file; its name has to identify the training. Its folder is made if need be; the file
        goes away when the training has ended.

    Raises
    ------
    ValueError
        If the file is there but damaged.
    OSError
        If the folder cannot be written to.

    Attributes
    ----------
    seed : int or None
        Seed of the interrupted training, None if there is none to resume.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from mmcontrast.training import ResumableCheckpoint
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ResumableCheckpoint(Path(folder) / "training.pt").seed is None
    True
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(f"The checkpoint folder {path.parent} cannot be written to.")
        self._state = self._load()
        self.seed: int | None = self._state["seed"] if self._state else None

    def _load(self) -> dict[str, Any] | None:
        try:
            return torch.load(self.path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            return None
        except Exception as error:
            raise ValueError(
                f"The checkpoint {self.path} is damaged ({type(error).__name__}). Delete it to "
                "start the fit anew."
            ) from error

    def restore(self, net: ContrastiveNet) -> None:
        """Take an initialised net to where the interrupted training stopped, if there was one."""
        if self._state is None:
            return
        net.module_.load_state_dict(self._state["module"])
        net.optimizer_.load_state_dict(self._state["optimizer"])
        net.history.clear()
        net.history.extend(self._state["history"])
        logger.info("resuming after epoch %d from %s", len(net.history), self.path)

    def on_train_begin(self, net: ContrastiveNet, **kwargs: Any) -> None:
        """Give early stopping back its memory, which it clears when a training begins."""
        stopper = _early_stopping(net)
        if stopper is not None and self._state is not None:
            vars(stopper).update(self._state["early_stopping"])
        self._state = None

    def on_epoch_end(self, net: ContrastiveNet, **kwargs: Any) -> None:
        """Save everything that the next epoch depends on."""
        stopper = _early_stopping(net)
        memory = {} if stopper is None else {k: v for k, v in vars(stopper).items() if k[-1] == "_"}
        history = [{**row, "batches": []} for row in net.history]
        state = {
            "seed": net.seed,
            "module": net.module_.state_dict(),
            "optimizer": net.optimizer_.state_dict(),
            "history": [_without_numpy(row) for row in history],
            "early_stopping": _without_numpy(memory),
        }
        partial = self.path.with_suffix(f".{uuid4().hex}.partial")
        torch.save(state, partial)
        os.replace(partial, self.path)

    def on_train_end(self, net: ContrastiveNet, **kwargs: Any) -> None:
        """Remove the file: there is nothing left to resume."""
        self.path.unlink(missing_ok=True)


class EpochProgress(Callback):
    """One progress bar over the epochs of a training, with the losses beside it.

    Parameters
    ----------
    n_epochs : int
        Epochs of the whole training.

    Examples
    --------
    >>> from mmcontrast.training import EpochProgress
    >>> bar = EpochProgress(n_epochs=100)  # for a net's callbacks
    """

    def __init__(self, n_epochs: int) -> None:
        self.n_epochs = n_epochs

    def on_train_begin(self, net: ContrastiveNet, **kwargs: Any) -> None:
        """Open the bar where the training stands."""
        self._bar = tqdm(total=self.n_epochs, initial=len(net.history), unit="epoch")

    def on_epoch_end(self, net: ContrastiveNet, **kwargs: Any) -> None:
        """Advance the bar."""
        row = net.history[-1]
        losses = {key: row[key] for key in ("train_loss", "valid_loss") if key in row}
        self._bar.set_postfix({key: f"{loss:.3f}" for key, loss in losses.items()}, refresh=False)
        self._bar.update()

    def on_train_end(self, net: ContrastiveNet, **kwargs: Any) -> None:
        """Close the bar."""
        self._bar.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"n_epochs": self.n_epochs}


def _without_numpy(record: dict[str, Any]) -> dict[str, Any]:
    """A record that can be loaded without running code."""
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in record.items()}


def _early_stopping(net: ContrastiveNet) -> EarlyStopping | None:
    stoppers = (callback for _, callback in net.callbacks_ if isinstance(callback, EarlyStopping))
    return next(stoppers, None)
