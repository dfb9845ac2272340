"""Scikit-learn transformers over epochs of EEG and fNIRS, and epochs of both from recordings."""

from .band_power import BandPower
from .clock import Clock, estimate_clock
from .evoked import EvokedFeatures
from .haemodynamic import HaemodynamicFeatures
from .haemoglobin import haemoglobin_from_raw
from .lag import LagAlign
from .raw import epochs_from_raws
from .short_channels import ShortChannelRegression
from .time_frequency import TimeFrequency

__all__ = [
    "BandPower",
    "Clock",
    "EvokedFeatures",
    "HaemodynamicFeatures",
    "LagAlign",
    "ShortChannelRegression",
    "TimeFrequency",
    "epochs_from_raws",
    "estimate_clock",
    "haemoglobin_from_raw",
]
