"""Values of y as they could be under the same condition: negatives from p(y | z)."""

from dataclasses import replace

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from sklearn.neighbors import NearestNeighbors

from ..nn import GaussianConditional
from ..training.net import private_random_numbers
from ._crossfit import split, tensor
from ._networks import conditional_network
from ._training import TrainingOptions, train

_HIDDEN_DIMS = (64,)
_NETWORK = conditional_network(_HIDDEN_DIMS)
_PENALTIES = np.logspace(-2, 4, 13)
_VALIDATION_SHARE = 0.15


def residuals(
    y: np.ndarray,
    z: np.ndarray,
    fitted: np.ndarray,
    options: TrainingOptions,
    seed: int,
    device: torch.device,
) -> np.ndarray:
    r"""What z does not tell of y: :math:`(y - m(z)) / s(z)`, with m and s from some of the rows.

    If it is independent of z, its values at other rows, put back at z, are draws from p(y | z);
    and since it is y in other coordinates once z is known, :math:`I(X; Y | Z) = I(X, Z; R)`, whose
    negatives are any other rows.

    m is a ridge regression plus a network; the network, which also gives s, starts from 0 and
    keeps only what improves the likelihood of validation rows. One m serves all rows: a critic
    learns what m gets wrong, and would be wrong itself on rows of another m.

    Parameters
    ----------
    y, z : ndarray of shape (n_rows, n_features)
    fitted : ndarray of bool, shape (n_rows,)
        Rows that m and s are fitted to.
    options : TrainingOptions
    seed : int
    device : torch.device

    Returns
    -------
    ndarray of shape (n_rows, n_features)
        Of all rows.
    """
    ridge = RidgeCV(_PENALTIES).fit(z[fitted], y[fitted])
    left = y - ridge.predict(z).reshape(y.shape)
    left /= np.maximum(left[fitted].std(axis=0), 1e-9)
    mean, log_variance = _moments(left, z, fitted, options, seed, device)
    return (left - mean) * np.exp(-log_variance / 2)


def _moments(
    y: np.ndarray,
    z: np.ndarray,
    rows: np.ndarray,
    options: TrainingOptions,
    seed: int,
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and log-variance at every row, from a network trained on some rows."""
    n_valid = max(2, round(_VALIDATION_SHARE * rows.sum()))
    options = replace(options, batch_size=min(options.batch_size, n_valid))
    data = tensor(z, device), tensor(y, device)
    with private_random_numbers(device):
        torch.manual_seed(seed)
        module = GaussianConditional(z.shape[1], y.shape[1], _HIDDEN_DIMS).to(device)
        torch.nn.init.zeros_(module.linear.weight)
        generator = torch.Generator().manual_seed(seed)
        parts = [tuple(a[part] for a in data) for part in split(rows, n_valid, generator)]
        train(module, _NETWORK.loss, parts[0], parts[1], options, generator)
    with torch.no_grad():
        mean, log_variance = module(data[0])
    return mean.double().cpu().numpy(), log_variance.double().cpu().numpy()


def neighbors(z: np.ndarray, folds: np.ndarray, fold: int, k: int) -> np.ndarray:
    """Rows that are nearest in z, for every row, without itself.

    Those of a row of the fold are in the fold, those of another row are not.

    Returns
    -------
    ndarray of int, shape (n_rows, k)
    """
    found = np.empty((len(z), k), dtype=np.int64)
    for part in (np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)):
        nearest = NearestNeighbors(n_neighbors=k).fit(z[part])
        found[part] = part[nearest.kneighbors(return_distance=False)]
    return found
