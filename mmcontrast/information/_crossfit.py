"""Cross-fitting: networks are read on rows that they have not seen."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from ..training.net import private_random_numbers
from ._networks import Network
from ._training import Data, TrainingOptions, covering_batches, train

# times that held-out rows are put into batches anew, so that each meets other negatives
_N_ROUNDS = 4
_VALIDATION_SHARE = 0.15


@dataclass(frozen=True)
class Bound:
    """A bound on held-out rows.

    Parameters
    ----------
    value : float
        Its mean over rows.
    stderr : float
        Its standard error, from the spread of the influence of rows.
    train : float
        Its mean over the rows that the networks were trained on.
    """

    value: float
    stderr: float
    train: float


@dataclass(frozen=True)
class Outcome:
    """Bounds by their name, the size of the batches, and whether training had come to an end."""

    bounds: dict[str, Bound]
    batch_size: int
    stopped: bool


def make_folds(n_rows: int, n_folds: int, rng: np.random.RandomState) -> np.ndarray:
    """Draw the number of the fold of every row; folds are as equal as can be."""
    return rng.permutation(np.arange(n_rows) % n_folds)


def cross_fit(
    data_of: Callable[[int], Data],
    network: Network,
    folds: np.ndarray,
    options: TrainingOptions,
    seed: int,
    device: torch.device,
    n_read: int | None = None,
) -> Outcome:
    """Train a network without each fold in turn and read it on that fold.

    Parameters
    ----------
    data_of : callable
        Returns the tensors x, y, ... of all rows as a fold is to see them.
    network : Network
        What is trained.
    folds : ndarray of shape (n_rows,)
        Number of the fold of each row.
    options : TrainingOptions
        The batch size may turn out smaller, so that a fold and the validation rows hold one.
    seed : int
        Fixes weights and order.
    device : torch.device
        Where the tensors are.
    n_read : int or None
        Number of folds to read; None for all.

    Returns
    -------
    Outcome
    """
    sizes = np.bincount(folds)
    n_valid = max(2, math.ceil(_VALIDATION_SHARE * (len(folds) - sizes.max())))
    batch_size = int(min(options.batch_size, sizes.min(), n_valid))
    options = replace(options, batch_size=batch_size)
    held_out, seen, stopped = [], [], True
    for fold in range(n_read or len(sizes)):
        data = data_of(fold)
        with private_random_numbers(device):
            torch.manual_seed(fold_seed(seed, fold))
            module = network.build(data[0].shape[-1], data[1].shape[-1]).to(device)
            generator = torch.Generator().manual_seed(fold_seed(seed, fold))
            fitted, valid = split(folds != fold, n_valid, generator)
            parts = [tuple(a[rows] for a in data) for rows in (fitted, valid)]
            stopped &= train(module, network.loss, parts[0], parts[1], options, generator)
            test = tuple(a[torch.as_tensor(np.flatnonzero(folds == fold))] for a in data)
            held_out.append(_read(module, network, test, _N_ROUNDS, batch_size, generator))
            seen.append(_read(module, network, parts[0], 1, batch_size, generator))
    bounds = {}
    for name in held_out[0]:
        value, influence = np.hstack([found[name] for found in held_out])
        stderr = influence.std(ddof=1) / math.sqrt(len(influence))
        train_value = np.hstack([found[name] for found in seen])[0].mean()
        bounds[name] = Bound(float(value.mean()), float(stderr), float(train_value))
    return Outcome(bounds, batch_size, stopped)


def split(
    rows: np.ndarray, n_valid: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Split the rows of a mask at random into training and validation rows."""
    chosen = torch.as_tensor(np.flatnonzero(rows))
    chosen = chosen[torch.randperm(len(chosen), generator=generator)]
    return chosen[n_valid:], chosen[:n_valid]


def fold_seed(seed: int, fold: int) -> int:
    """Seed of a fold's own random numbers."""
    return int(np.random.SeedSequence([seed, fold]).generate_state(1)[0])


def tensor(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """Float32 on the device."""
    return torch.as_tensor(array, dtype=torch.float32, device=device)


@torch.no_grad()
def _read(
    module: nn.Module,
    network: Network,
    data: Data,
    n_rounds: int,
    batch_size: int,
    generator: torch.Generator,
) -> dict[str, np.ndarray]:
    """Means over rounds of value and influence of every row, by the name of the bound."""
    n_rows = len(data[0])
    sums: dict[str, torch.Tensor] = {}
    counts = torch.zeros(n_rows, dtype=torch.float64)
    for _ in range(n_rounds):
        for rows in covering_batches(n_rows, batch_size, generator):
            counts[rows] += 1
            for name, reading in network.read(module, *(a[rows] for a in data)).items():
                total = sums.setdefault(name, torch.zeros(2, n_rows, dtype=torch.float64))
                total[:, rows] += torch.stack(reading).cpu()
    return {name: (total / counts).numpy() for name, total in sums.items()}
