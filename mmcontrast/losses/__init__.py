"""Contrastive losses over tensors."""

from .comm import CoMMObjective
from .contrastive import nt_xent
from .cross_modal import CrossModalObjective, clip_loss
from .factorcl import FactorCLObjective
from .mutual_information import conditional_info_nce, conditional_nce_club, info_nce, nce_club
from .supervised_contrastive import SupConObjective, supcon

__all__ = [
    "CoMMObjective",
    "CrossModalObjective",
    "FactorCLObjective",
    "SupConObjective",
    "clip_loss",
    "conditional_info_nce",
    "conditional_nce_club",
    "info_nce",
    "nce_club",
    "nt_xent",
    "supcon",
]
