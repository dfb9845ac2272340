"""Contrastive losses over tensors."""

from .balanced import BalancedObjective
from .comm import CoMMObjective
from .contrastive import nt_xent
from .correlation import cross_correlation, soft_correlation
from .cross_modal import CrossModalObjective, clip_loss
from .disentangled import DisentangledObjective
from .factorcl import FactorCLObjective
from .hybrid import HybridObjective
from .mutual_information import conditional_info_nce, conditional_nce_club, info_nce, nce_club
from .supervised_contrastive import SupConObjective, supcon
from .timed import TimedObjective
from .timing import EventTimes, TimingObjective

__all__ = [
    "BalancedObjective",
    "CoMMObjective",
    "CrossModalObjective",
    "DisentangledObjective",
    "EventTimes",
    "FactorCLObjective",
    "HybridObjective",
    "SupConObjective",
    "TimedObjective",
    "TimingObjective",
    "clip_loss",
    "conditional_info_nce",
    "conditional_nce_club",
    "cross_correlation",
    "info_nce",
    "nce_club",
    "nt_xent",
    "soft_correlation",
    "supcon",
]
