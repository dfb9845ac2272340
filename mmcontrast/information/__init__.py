"""Estimators of information, with their uncertainty and what kind of bound they are."""

from ._estimate import CeilingWarning, Estimate
from ._mutual_information import conditional_mutual_information, mutual_information

__all__ = [
    "CeilingWarning",
    "Estimate",
    "conditional_mutual_information",
    "mutual_information",
]
