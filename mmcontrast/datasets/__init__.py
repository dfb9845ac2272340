"""Synthetic data with known truth."""

from ._factorized import make_factorized
from ._gaussian import make_correlated_gaussian
from ._trifeature import make_trifeature
from ._trifeature_pairs import make_trifeature_pairs

__all__ = [
    "make_correlated_gaussian",
    "make_factorized",
    "make_trifeature",
    "make_trifeature_pairs",
]
