"""Estimators: what users fit."""

from .comm import CoMM
from .cross_modal import CMC, CrossModal
from .cross_self import CrossSelf, CrossSelfFactorized
from .factorcl import FactorCL
from .supervised_contrastive import SupervisedContrastive

__all__ = [
    "CMC",
    "CoMM",
    "CrossModal",
    "CrossSelf",
    "CrossSelfFactorized",
    "FactorCL",
    "SupervisedContrastive",
]
