"""Synthetic data with known truth."""

from ._factorized import make_factorized
from ._gaussian import make_correlated_gaussian

__all__ = ["make_correlated_gaussian", "make_factorized"]
