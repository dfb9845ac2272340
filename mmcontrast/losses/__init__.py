"""Contrastive losses over tensors."""

from .comm import CoMMObjective
from .contrastive import nt_xent

__all__ = ["CoMMObjective", "nt_xent"]
