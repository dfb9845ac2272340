"""Synthetic data with known truth."""

from ._factorized import make_factorized
from ._gaussian import make_correlated_gaussian
from ._neurovascular import make_neurovascular
from ._neurovascular_raw import make_neurovascular_raw
from ._trifeature import make_trifeature
from ._trifeature_pairs import make_trifeature_pairs

__all__ = [
    "make_correlated_gaussian",
    "make_factorized",
    "make_neurovascular",
    "make_neurovascular_raw",
    "make_trifeature",
    "make_trifeature_pairs",
]
