"""One call of an estimator with networks: its folds, its options, and the data of each fold."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

from .._warnings import warn
from ..training import resolve_device
from ..training.net import private_random_numbers
from ._checks import check_number, check_positive, check_rows
from ._conditional import neighbors, residuals
from ._crossfit import Outcome, cross_fit, fold_seed, make_folds, tensor
from ._networks import Network, critic_network
from ._training import Data, TrainingOptions
from ._verdict import NOISE

_LEAST_ROWS = 50


@dataclass(frozen=True)
class CrossFit:
    """Folds, training options and device of one call of an estimator.

    Parameters
    ----------
    folds : ndarray of shape (n_rows,)
        Number of the fold of each row.
    options : TrainingOptions
        As asked for; the batch size may turn out smaller.
    seed : int
        Of everything that is drawn after the folds.
    device : torch.device
        Where networks are trained.
    n_folds : int
        Number of folds.
    """

    folds: np.ndarray
    options: TrainingOptions
    seed: int
    device: torch.device
    n_folds: int

    @classmethod
    def checked(
        cls,
        n_rows: int,
        batch_size: int,
        max_steps: int,
        learning_rate: float,
        n_folds: int,
        device: Any,
        random_state: Any,
    ) -> "CrossFit":
        """Check the parameters of a call and draw its folds."""
        check_number("batch_size", batch_size, 2)
        check_number("max_steps", max_steps, 1)
        check_positive("learning_rate", learning_rate)
        check_number("n_folds", n_folds, 2)
        least = max(_LEAST_ROWS, 4 * n_folds)
        check_rows(n_rows, least, f"networks are held out on n_folds={n_folds} folds")
        rng = check_random_state(random_state)
        return cls(
            make_folds(n_rows, n_folds, rng),
            TrainingOptions(batch_size, max_steps, learning_rate),
            int(rng.randint(2**31)),
            torch.device(resolve_device(device)),
            n_folds,
        )

    def run(
        self, network: Network, x: np.ndarray, y: np.ndarray, n_read: int | None = None
    ) -> Outcome:
        """Rows of a batch are each other's negatives."""
        data = tensor(x, self.device), tensor(y, self.device)
        return self._run(network, lambda fold: data, self.options, n_read)

    def run_residuals(
        self, network: Network, x: np.ndarray, y: list[np.ndarray], z: np.ndarray
    ) -> Outcome:
        """Like `run`, of what z does not tell of x and of y."""
        of_x = self.residuals(x, z, stream=2)
        data = [
            (tensor(beside(a, z), self.device), tensor(b, self.device))
            for a, b in zip(of_x, y, strict=True)
        ]
        return self._run(network, data.__getitem__, self.options)

    def run_neighbors(
        self, network: Network, x: np.ndarray, y: np.ndarray, z: np.ndarray, k: int
    ) -> Outcome:
        """Negatives of a row are the y of its neighbours in z."""
        # a critic that cannot be used is found before anything is trained
        with private_random_numbers(self.device):
            network.build(x.shape[1] + z.shape[1], y.shape[1])
        of_x = self.residuals(x, z, stream=2)

        def with_negatives(fold: int) -> Data:
            negatives = y[neighbors(z, self.folds, fold, k)]
            arrays = beside(of_x[fold], z), y, negatives
            return tuple(tensor(a, self.device) for a in arrays)

        # a row brings its own negatives, so that fewer rows are as much work
        smaller = replace(self.options, batch_size=max(2, self.options.batch_size // 4))
        return self._run(network, with_negatives, smaller)

    def _run(
        self,
        network: Network,
        data_of: Callable[[int], Data],
        options: TrainingOptions,
        n_read: int | None = None,
    ) -> Outcome:
        return cross_fit(data_of, network, self.folds, options, self.seed, self.device, n_read)

    def residuals(self, y: np.ndarray, z: np.ndarray, stream: int) -> list[np.ndarray]:
        """What z does not tell of y, by a regression without each fold in turn."""
        return [
            residuals(
                y,
                z,
                self.folds != fold,
                self.options,
                fold_seed(self.seed + stream, fold),
                self.device,
            )
            for fold in range(self.n_folds)
        ]

    def depends(self, residual: np.ndarray, z: np.ndarray) -> bool:
        """Whether residuals tell of z, on one fold; warns if they do."""
        network = critic_network("separable", (256,))
        left = self.run(network, z, residual, n_read=1).bounds["infonce"]
        if left.value < max(NOISE, 3 * left.stderr):
            return False
        # neighbours in more columns are too far apart
        choice = "Use negatives='neighbors', or transform" if z.shape[1] == 1 else "Transform"
        warn(
            f"What is left of Y after regression on Z still shares about {left.value:.2f} nats "
            f"with Z; the result is too large by about as much, and no lower bound. {choice} Y so "
            "that its spread and shape depend less on Z."
        )
        return True


def beside(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Join columns so that the whole of z weighs as much as a column of x.

    A critic that sees 100 columns of z at full size is overfitted before it has seen x.
    """
    return np.hstack([x, z / np.sqrt(z.shape[1])])
