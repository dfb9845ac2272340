"""Estimators: what users fit."""

from .comm import CoMM
from .coupling_delay import CouplingDelay
from .cross_modal import CMC, CrossModal
from .cross_self import CrossSelf, CrossSelfFactorized
from .factorcl import FactorCL
from .rus import RUSDecomposer
from .supervised_contrastive import SupervisedContrastive

__all__ = [
    "CMC",
    "CoMM",
    "CouplingDelay",
    "CrossModal",
    "CrossSelf",
    "CrossSelfFactorized",
    "FactorCL",
    "RUSDecomposer",
    "SupervisedContrastive",
]
