"""Physiological augmentation of EEG and fNIRS."""

from ._neuro_recrop import Recrop
from ._neuro_slow import Drift, HRFJitter, MotionSpikes
from ._neuro_spectral import BandSNR, FourierSurrogate

__all__ = ["BandSNR", "Drift", "FourierSurrogate", "HRFJitter", "MotionSpikes", "Recrop"]
