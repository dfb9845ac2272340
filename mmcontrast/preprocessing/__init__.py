"""Scikit-learn transformers of epochs of EEG and fNIRS and of images; epochs from recordings."""

from .band_power import BandPower
from .channel_scaler import ChannelScaler
from .clock import Clock, estimate_clock
from .evoked import EvokedFeatures
from .haemodynamic import HaemodynamicFeatures
from .haemoglobin import haemoglobin_from_raw
from .images import ImageLayout
from .lag import LagAlign
from .raw import epochs_from_raws
from .short_channels import ShortChannelRegression
from .time_frequency import TimeFrequency

__all__ = [
    "BandPower",
    "ChannelScaler",
    "Clock",
    "EvokedFeatures",
    "HaemodynamicFeatures",
    "ImageLayout",
    "LagAlign",
    "ShortChannelRegression",
    "TimeFrequency",
    "epochs_from_raws",
    "estimate_clock",
    "haemoglobin_from_raw",
]
