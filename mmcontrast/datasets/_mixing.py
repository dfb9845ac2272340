"""From latents to features, without loss of information."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_N_REFERENCE = 4096
_SLOPE = 3.0
_PUSH = 2.0
_SCATTER = 4.0
_STRETCH = 8.0


@dataclass(frozen=True)
class LinearMixing:
    """Features are the latents times a matrix of entries uniform in [0, 1].

    Parameters
    ----------
    matrix : ndarray of shape (n_latents, n_features)
        The map, of full rank.
    latent_std : float
        Standard deviation of the latents.
    """

    matrix: np.ndarray
    latent_std: float

    @classmethod
    def draw(cls, rng: np.random.RandomState, shape: tuple[int, int], latent_std: float):
        """Draw a mixing of `shape` (n_latents, n_features)."""
        return cls(rng.uniform(0.0, 1.0, shape), latent_std)

    @property
    def feature_std(self) -> np.ndarray:
        """Standard deviation of each feature."""
        return self.latent_std * np.linalg.norm(self.matrix, axis=0)

    def __call__(self, latents: np.ndarray) -> np.ndarray:
        """Features of shape (n_samples, n_features)."""
        return latents @ self.matrix


@dataclass(frozen=True)
class PlanarMixing:
    """Planar flows, then a linear map to features of zero mean and unit variance.

    A planar flow adds ``push * tanh(reading @ z + bias)`` to z and is invertible where
    ``reading @ push > -1``. Here all readings lie in a subspace that is orthogonal to all pushes:
    the inner product is 0, a flow does not change what another reads, and the whole chain is one
    sum that can be undone exactly.

    Parameters
    ----------
    readings : ndarray of shape (n_latents, n_flows)
        Directions that the flows read.
    biases : ndarray of shape (n_flows,)
        Where along its reading each flow bends.
    pushes : ndarray of shape (n_flows, n_latents)
        Directions that the flows push to.
    matrix : ndarray of shape (n_latents, n_features)
        The linear map after the flows, of full rank.
    latent_std : float
        Standard deviation of the latents.
    mean, scale : ndarray of shape (n_features,)
        What the features are centred and divided by.
    """

    readings: np.ndarray
    biases: np.ndarray
    pushes: np.ndarray
    matrix: np.ndarray
    latent_std: float
    mean: np.ndarray | float = 0.0
    scale: np.ndarray | float = 1.0

    feature_std = 1.0

    @classmethod
    def draw(
        cls,
        rng: np.random.RandomState,
        blocks: tuple[int, int],
        n_features: int,
        latent_std: float,
        n_flows: int,
    ):
        """Draw a mixing of a shared and a unique block of latents."""
        n_latents = sum(blocks)
        basis = _basis(rng, blocks)
        n_read = min(2, n_latents // 2)
        pushed, read = basis[:, :-n_read], basis[:, -n_read:]
        readings = read @ _unit_columns(rng.standard_normal((n_read, n_flows)))
        signs = rng.choice([-1.0, 1.0], (2, n_flows))[: pushed.shape[1]]
        rest = rng.standard_normal((pushed.shape[1] - len(signs), n_flows))
        rest = _SCATTER * _unit_columns(rest) if len(rest) else rest
        pushes = pushed @ np.vstack([_PUSH * signs, rest])
        matrix = np.linalg.qr(rng.standard_normal((n_features, n_latents)))[0].T
        # what the flows read is made large in the features: bends along faint directions can be
        # learned by nobody
        matrix = (np.eye(n_latents) + (_STRETCH - 1.0) * read @ read.T) @ matrix
        biases = rng.standard_normal(n_flows)
        raw = cls(_SLOPE * readings, _SLOPE * biases, pushes.T, matrix, latent_std)
        reference = raw(latent_std * rng.standard_normal((_N_REFERENCE, n_latents)))
        return cls(
            raw.readings,
            raw.biases,
            raw.pushes,
            matrix,
            latent_std,
            reference.mean(axis=0),
            reference.std(axis=0),
        )

    def _flow(self, z: np.ndarray) -> np.ndarray:
        return np.tanh(z @ self.readings + self.biases) @ self.pushes

    def __call__(self, latents: np.ndarray) -> np.ndarray:
        """Features of shape (n_samples, n_features)."""
        z = latents / self.latent_std
        return ((z + self._flow(z)) @ self.matrix - self.mean) / self.scale

    def inverse(self, features: np.ndarray) -> np.ndarray:
        """Latents of shape (n_samples, n_latents); least squares where there is noise."""
        z = (features * self.scale + self.mean) @ np.linalg.pinv(self.matrix)
        return self.latent_std * (z - self._flow(z))


Mixing = LinearMixing | PlanarMixing


def _basis(rng: np.random.RandomState, blocks: tuple[int, int]) -> np.ndarray:
    """Orthonormal basis that starts with the mean directions of the blocks."""
    n_latents = sum(blocks)
    start = np.zeros((n_latents, 2))
    start[: blocks[0], 0] = start[blocks[0] :, 1] = 1.0
    return np.linalg.qr(np.hstack([start, rng.standard_normal((n_latents, n_latents - 2))]))[0]


def _unit_columns(matrix: np.ndarray) -> np.ndarray:
    return matrix / np.linalg.norm(matrix, axis=0)
