"""Contrastive losses over tensors."""

from .comm import CoMMObjective
from .contrastive import nt_xent
from .cross_modal import CrossModalObjective, clip_loss
from .disentangled import DisentangledObjective, cross_correlation
from .factorcl import FactorCLObjective
from .mutual_information import conditional_info_nce, conditional_nce_club, info_nce, nce_club
from .supervised_contrastive import SupConObjective, supcon

__all__ = [
    "CoMMObjective",
    "CrossModalObjective",
    "DisentangledObjective",
    "FactorCLObjective",
    "SupConObjective",
    "clip_loss",
    "conditional_info_nce",
    "conditional_nce_club",
    "cross_correlation",
    "info_nce",
    "nce_club",
    "nt_xent",
    "supcon",
]
