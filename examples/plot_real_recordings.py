"""
Reading real recordings
=======================

The first steps with files as they come from the laboratory: fNIRS in SNIRF, EEG in EDF. Light
becomes haemoglobin, both are cut into epochs, and epochs become features. The files are samples
that come with the SNIRF format and with MNE-Python. They do not belong together, and 6 trials and 6
seconds are far too little to learn anything from: nothing is trained here. The whole path, from two
recordings of the same trials to their redundant, unique and synergistic parts, is shown in
:ref:`sphx_glr_auto_examples_plot_eeg_fnirs.py`.

The environment variable ``MMCONTRAST_DATA`` names the folder of the files, ``snirf_samples`` of
https://github.com/fNIRS/snirf-samples and ``mne_testdata`` of MNE-Python's tests.
"""

# %%
# Light
# -----
#
# What a pair of source and detector sees of the scalp shows in the heartbeat, which both
# wavelengths have in common if the optodes touch the skin. Below a scalp coupling index of .5
# :func:`~mmcontrast.preprocessing.haemoglobin_from_raw` marks a pair as bad.

import os
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np

mne.set_log_level("error")
folder = Path(os.environ["MMCONTRAST_DATA"])
light = mne.io.read_raw_snirf(folder / "snirf_samples" / "neuro_run01.snirf", preload=True)
print(light)
for onset, name in zip(light.annotations.onset, light.annotations.description, strict=True):
    print(f"stimulus {name} after {onset:.0f} s")

density = mne.preprocessing.nirs.optical_density(light)
coupling = mne.preprocessing.nirs.scalp_coupling_index(density)
pairs = [name.removesuffix(" 690").removesuffix(" 830") for name in density.ch_names]
n_pairs = len(pairs) // 2

coupling_figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.bar(pairs[:n_pairs], coupling[:n_pairs], color=np.where(coupling[:n_pairs] < 0.5, "C3", "C0"))
ax.axhline(0.5, color="k", linewidth=0.8)
ax.set(ylabel="scalp coupling index", ylim=(0, 1), title="Two pairs do not see the heartbeat")
ax.tick_params(axis="x", rotation=45)

# %%
# Blood
# -----
#
# Optical density, artefacts by motion, the modified Beer-Lambert law and a band-pass in one call.
# The channels of bad pairs are kept and marked: drop or interpolate them.

from mmcontrast.preprocessing import haemoglobin_from_raw

blood = haemoglobin_from_raw(light)
events, event_id = mne.events_from_annotations(blood)
epochs = mne.Epochs(blood, events, event_id, tmin=-5, tmax=20, baseline=(-5, 0), preload=True)
epochs.drop_channels(epochs.info["bads"])
print(epochs)

blood_figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True, layout="constrained")
for ax, kind, colour in zip(axes, ("hbo", "hbr"), ("C3", "C0"), strict=True):
    values = 1e6 * epochs.get_data(kind).mean(1)  # over the channels
    ax.plot(epochs.times, values.T, color=colour, linewidth=0.8, alpha=0.5)
    ax.plot(epochs.times, values.mean(0), color=colour, linewidth=2)
    ax.axvline(0, color="k", linewidth=0.8)
    ax.set(xlabel="seconds after the stimulus", title=f"{kind}, {len(values)} trials")
axes[0].set_ylabel("change (µM)")

# %%
# Features of each trial, in the units of the data and in seconds, with the channels in their names.

from mmcontrast.preprocessing import HaemodynamicFeatures

features = HaemodynamicFeatures(features=("peak", "time_to_peak"), window=(0, 15))
table = features.set_output(transform="pandas").fit_transform(epochs)
print(table.iloc[:, :4].to_string(float_format="{:.2g}".format))

# %%
# Potentials
# ----------
#
# All channels of an EDF file are EEG unless their names say otherwise, and whether values are
# volts or microvolts is worth a look: 2e-5 V is right.

eeg = mne.io.read_raw_edf(folder / "mne_testdata" / "test.edf", preload=True)
eeg.set_channel_types({"Ergo-Left": "misc", "Ergo-Right": "misc"})
print(eeg, f"spread: {np.median(eeg.get_data('eeg').std(axis=1)):.0e} V")
eeg.filter(1, 45)
windows = mne.make_fixed_length_epochs(eeg, duration=1.0, preload=True).pick("eeg")

from mmcontrast.preprocessing import BandPower

power = BandPower(log=True).set_output(transform="pandas").fit_transform(windows)
print(power.shape, list(power.columns[:3]))

bands = list(dict.fromkeys(name.rsplit("_", 1)[-1] for name in power.columns))
by_band = np.stack([power.filter(regex=f"_{band}$").mean() for band in bands])
eeg_figure, ax = plt.subplots(figsize=(8, 2.6), layout="constrained")
image = ax.imshow(by_band - by_band.mean(1, keepdims=True), aspect="auto", cmap="RdBu_r")
ax.set_yticks(range(len(bands)), bands)
ax.set(xlabel="channel", title="Log power less the mean of the band: loud channels stand out")
eeg_figure.colorbar(image)

# %%
# Two recordings of the same trials are cut together by
# :func:`~mmcontrast.preprocessing.epochs_from_raws`, whatever their clocks, rates and bad segments,
# and the pair of epochs goes as it is into ``Modalities(eeg=..., fnirs=...)``: see
# :doc:`/guide/own_recordings`.

# sphinx_gallery_start_ignore
import sys

if "sphinx_gallery" not in sys.modules:
    for name, figure in {
        "coupling": coupling_figure,
        "blood": blood_figure,
        "eeg": eeg_figure,
    }.items():
        figure.savefig(f"real_{name}.png", dpi=150)
    print("The figures are in real_*.png")
# sphinx_gallery_end_ignore
