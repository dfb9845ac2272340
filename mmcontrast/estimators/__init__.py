"""Estimators: what users fit."""

from .comm import CoMM

__all__ = ["CoMM"]
