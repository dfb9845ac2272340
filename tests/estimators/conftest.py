import numpy as np
import pytest

from mmcontrast import CoMM, Modalities

SHAPES = {"eeg": (3, 16), "fnirs": (2, 8), "age": (4,)}


@pytest.fixture
def make_comm():
    """Makes small CoMM estimators that train in a fraction of a second."""

    def make(**params):
        small = {
            "embed_dim": 8,
            "n_heads": 2,
            "projection_dims": (16, 8),
            "max_epochs": 3,
            "batch_size": 8,
            "random_state": 0,
        }
        return CoMM(**small | params)

    return make


def make_data(n=40, seed=0, names=tuple(SHAPES)):
    """Modalities that share a latent of each row."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=n)
    return Modalities(
        {
            name: rng.normal(size=(n, *SHAPES[name])) + latent.reshape(-1, *[1] * len(SHAPES[name]))
            for name in names
        }
    )


@pytest.fixture
def X():
    return make_data()
