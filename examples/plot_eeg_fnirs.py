"""
EEG and fNIRS: from recordings to parts to physiology
=====================================================

Two devices record the same brain: electrodes see potentials within milliseconds, light sees the
blood that follows some seconds later. The first half of this example leads from two continuous
recordings to trials and features of both. The second half decomposes trials of several subjects
with :class:`~mmcontrast.RUSDecomposer` into what both modalities tell (*redundant*), what only one
tells (*unique*) and what only both together tell (*synergistic*), and reads these parts back into
physiology.

Everything is simulated, so that what is found can be compared with what was planted.
:doc:`/guide/own_recordings` is about files of your own.

The script takes one to two minutes on two CPU cores.
"""

# %%
# Two recordings of one subject
# -----------------------------
#
# The simulated subject does 40 trials in 17 minutes. The EEG is in volts, the fNIRS as a device
# stores it: the intensity of light of two wavelengths between sources and detectors on the scalp.
# Two things are made worse than the simulator makes them, as they often are: one detector has
# lost the scalp and sees noise, and the EEG was started 6.2 s after the fNIRS.

import mne
import numpy as np
from threadpoolctl import threadpool_limits

from mmcontrast.datasets import make_neurovascular_raw

threadpool_limits(1)  # networks as small as these only lose by more threads
mne.set_log_level("warning")
SEED = 0
rng = np.random.default_rng(SEED)

recording = dict(n_trials=40, fnirs_sfreq=10, random_state=SEED)
raw_eeg, light, planted = make_neurovascular_raw(fnirs="intensity", **recording)
light.apply_function(rng.permutation, picks=["S5_D5 850"])
raw_eeg.crop(6.2)
print(raw_eeg, light, sep="\n")

# %%
# From light to blood
# -------------------
#
# :func:`~mmcontrast.preprocessing.haemoglobin_from_raw` does what is usual: intensities to optical
# densities, a look at the scalp coupling index, motion correction if asked for, the modified
# Beer-Lambert law, and a band-pass from 0.01 to 0.1 Hz. An optode that sits well sees the
# heartbeat in both wavelengths; the index is the correlation of the two. Here the steps are
# repeated one by one, to see them.

from mmcontrast.preprocessing import haemoglobin_from_raw

density = mne.preprocessing.nirs.optical_density(light)
coupling = mne.preprocessing.nirs.scalp_coupling_index(density)
blood = haemoglobin_from_raw(light)
print("bad:", blood.info["bads"])

# %%
# Motion correction is a choice. Temporal derivative distribution repair (TDDR) takes rare, fast
# changes for artefacts. The same seed gives the haemoglobin that the light was made from, so here
# it can be seen what TDDR does: in this simulation, where tissue is nearly at rest between trials,
# it takes a part of the responses for artefacts. Real tissue is never at rest, and real motion is
# worse than the simulated: look at both versions of your own recording before you decide.

repaired = haemoglobin_from_raw(light, motion_correction=True)
true_blood = haemoglobin_from_raw(make_neurovascular_raw(**recording)[1])
for name, found in (("from light", blood), ("with TDDR", repaired)):
    pair = [raw.get_data(["S1_D1 hbo"])[0] for raw in (found, true_blood)]
    size = pair[0].std() / pair[1].std()
    print(f"{name}: r = {np.corrcoef(pair)[0, 1]:.3f} with what was planted, size {size:.2f}")

# %%
# On the left, the heartbeat as an optode sees it that sits well, and the same band of the one that
# does not.

import matplotlib.pyplot as plt

light_figure, axes = plt.subplots(
    1, 4, figsize=(12, 3), width_ratios=[1, 1, 1, 1.6], layout="constrained"
)
heartbeat = density.copy().filter(0.7, 1.5)
for ax, stem, title in zip(axes, ("S1_D1", "S5_D5"), ("good", "lost"), strict=False):
    for wavelength, style in (("760", "-"), ("850", "--")):
        course = heartbeat.get_data([f"{stem} {wavelength}"], tmin=100, tmax=108)[0]
        times = 100 + np.arange(len(course)) / 10
        ax.plot(times, course / course.std(), style, label=f"{wavelength} nm")
    ax.set(title=f"{stem}: {title}", xlabel="s", ylim=(-3, 4))
axes[0].set_ylabel("0.7 to 1.5 Hz (SD)")
axes[0].legend(frameon=False, fontsize=8, ncols=2, loc="upper center")
stems = [name.split()[0] for name in light.ch_names]
axes[2].barh(stems, coupling, color=["C3" if index < 0.5 else "C0" for index in coupling])
axes[2].axvline(0.5, color="k", linewidth=1, linestyle=":")
axes[2].set(title="Scalp coupling index", xlim=(-0.1, 1))
axes[2].tick_params(axis="y", labelsize=7)
axes[2].invert_yaxis()
for name, found, style in (
    ("planted", true_blood, "k-"),
    ("from light", blood, "C3--"),
    ("with TDDR", repaired, "C0-"),
):
    course = found.get_data(["S1_D1 hbo"], tmin=200, tmax=320)[0]
    axes[3].plot(200 + np.arange(len(course)) / 10, 1e6 * course, style, linewidth=1.2, label=name)
axes[3].set(title="S1_D1, over the visual cortex", xlabel="s", ylabel="HbO (µM)")
axes[3].legend(frameon=False, fontsize=8, ncols=3, loc="upper center")
axes[3].margins(y=0.2)

# %%
# From recordings to trials
# -------------------------
#
# Both devices recorded the triggers. They say how one clock reads against the other, and
# :func:`~mmcontrast.preprocessing.epochs_from_raws` cuts both recordings into the same trials. A
# bad pair of source and detector is left out, and a trial that one recording lacks is dropped in
# the other, too.

from mmcontrast import Modalities
from mmcontrast.preprocessing import epochs_from_raws, estimate_clock


def trigger_times(raw):
    events, _ = mne.events_from_annotations(raw)
    return (events[:, 0] - raw.first_samp) / raw.info["sfreq"]


clock = estimate_clock(trigger_times(raw_eeg), trigger_times(light))
print(f"The fNIRS started {clock.offset:.2f} s before the EEG")

cut = dict(
    eeg_window=(-3.5, 4.5),
    fnirs_window=(-4, 14),
    clock_offset=clock.offset,
    clock_drift=clock.drift,
    metadata=planted,
)
epochs_eeg, epochs_fnirs = epochs_from_raws(raw_eeg, blood, **cut)
print(Modalities(eeg=epochs_eeg, fnirs=epochs_fnirs))

# %%
# In a trial something is shown within 2.4 s of the trigger. The visual cortex answers with a
# potential and, some seconds later, with more HbO and less HbR. The frontal cortex works on a load
# from the trigger on. Since times are known here, the visual responses are averaged around the
# event itself. Bands are 95 % intervals over trials.


def averages(epochs, name, since):
    """Mean and half-width of the interval around times `since` the trigger."""
    courses = epochs.get_data(picks=[name])[:, 0]
    after = np.arange(-1, 2 if epochs is epochs_eeg else 11, 1 / epochs.info["sfreq"])
    aligned = [
        np.interp(when + after, epochs.times, course)
        for when, course in zip(since, courses, strict=True)
    ]
    aligned -= np.mean(aligned, axis=1, keepdims=True, where=after < 0)
    return after, aligned.mean(0), 1.96 * aligned.std(0, ddof=1) / np.sqrt(len(courses))


event = epochs_eeg.metadata["event_time"]
trial_figure, axes = plt.subplots(1, 3, figsize=(11, 3), layout="constrained")
for ax, title, epochs, names, since in (
    (axes[0], "EEG around the event", epochs_eeg, ("Oz", "Pz"), event),
    (axes[1], "Visual cortex around the event", epochs_fnirs, ("S1_D1 hbo", "S1_D1 hbr"), event),
    (axes[2], "Frontal cortex", epochs_fnirs, ("S2_D2 hbo", "S2_D2 hbr"), 0 * event),
):
    for name, color in zip(names, ("C3", "C0"), strict=True):
        times, mean, half = averages(epochs, name, since)
        ax.plot(times, 1e6 * mean, color, label=name)
        ax.fill_between(times, 1e6 * (mean - half), 1e6 * (mean + half), color=color, alpha=0.2)
    ax.axhline(0, color="k", linewidth=0.5)
    ax.set(title=title, xlabel="s", ylabel="µV" if epochs is epochs_eeg else "µM")
    ax.legend(frameon=False, fontsize=8)

# %%
# From trials to features
# -----------------------
#
# :mod:`mmcontrast.preprocessing` has transformers for both. The HbO peak of a trial over the visual
# cortex goes with the planted activation, that over the frontal cortex with the planted load, and
# neither with the other. After TDDR the visual responses hardly tell their size any more.
# Intervals are those of Fisher's z.

from mmcontrast.preprocessing import HaemodynamicFeatures


def show_peaks(epochs):
    peaks = HaemodynamicFeatures(features=("peak",), baseline=(None, -3)).fit(epochs)
    table = dict(zip(peaks.get_feature_names_out(), peaks.transform(epochs).T, strict=True))
    for site, channel in (("visual", "S1_D1"), ("frontal", "S2_D2")):
        for factor in ("activation", "frontal_hbo"):
            r = np.corrcoef(table[f"{channel} hbo_peak"], epochs.metadata[factor])[0, 1]
            low, high = np.tanh(np.arctanh(r) + np.array([-1.96, 1.96]) / np.sqrt(len(epochs) - 3))
            print(f"  {site:8} HbO with {factor:12} r = {r:5.2f} [{low:5.2f}, {high:5.2f}]")


print("from light")
show_peaks(epochs_fnirs)
print("with TDDR")
show_peaks(epochs_from_raws(raw_eeg, repaired, **cut)[1])

# %%
# Trials of twelve subjects
# -------------------------
#
# One subject has too few trials for a network. :func:`~mmcontrast.datasets.make_neurovascular`
# gives trials of the same kind of many. Subjects differ in topography, haemodynamic response and
# gain. In each trial these factors are drawn independently:
#
# ================================ ============= ==============================================
# Factor                           Who sees it   What it is
# ================================ ============= ==============================================
# `activation`, `event_time`       both          size and time of the visual response
# `state`, `gamma`                 EEG           alpha against beta; power of the gamma burst
# `hbr_ratio`, `frontal_hbo`       fNIRS         fall of HbR per rise of HbO; response to load
# `delay`, `xor`                   both at once  from event to blood; gamma high or HbO high,
#                                                but not both
# ================================ ============= ==============================================
#
# The decomposer is fitted to 1800 trials without any of these. All that follows is measured on 600
# other trials of the same subjects, and on 600 trials of six subjects it has never seen.

from mmcontrast import RUSDecomposer
from mmcontrast.datasets import make_neurovascular

X, factors, subject = make_neurovascular(2400, 12, random_state=SEED)
train, test = slice(1800), slice(1800, None)
X_others, factors_others, subject_others = make_neurovascular(600, 6, random_state=SEED + 1)
about = factors.attrs
factors, factors_others = (f.drop(columns="efficiency") for f in (factors, factors_others))

decomposer = RUSDecomposer(random_state=SEED).fit(X[train])
parts = decomposer.split(decomposer.transform(X[test]))
print({name: part.shape for name, part in parts.items()})

# %%
# What is in which part
# ---------------------
#
# A ridge regression reads each factor from each part, for subjects that it was not trained on. A
# score is :math:`R^2`, or for the two classes of `state` and `xor` the accuracy rescaled so that
# chance is 0, too. Frames mark the part that ought to hold a factor; grey numbers are not above
# what 100 permutations of the trials of a subject give by chance.

from mmcontrast.inspection import PartFactorDisplay, probe_parts, selectivity

home = {
    "activation": ["R_eeg", "R_fnirs"],
    "event_time": ["R_eeg", "R_fnirs"],
    "state": "U_eeg",
    "gamma": "U_eeg",
    "hbr_ratio": "U_fnirs",
    "frontal_hbo": "U_fnirs",
    "delay": "S",
    "xor": "S",
}
ask = dict(groups=subject[test], random_state=SEED)
linear = probe_parts(parts, factors[test], **ask)
matrix_figure, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
PartFactorDisplay.from_scores(linear, ax=ax, parts_of_factor=home)
ax.set_title("How well a linear probe reads each factor from each part")

# %%
# What both see is in both redundant parts, what one sees in its unique part. S is the hardest: for
# `xor` two factors have to be found that are each hard to see in a single trial. From 1800 trials S
# reads it more than half way from chance to certainty, and nothing else reads it at all. Of the
# delay it tells next to nothing: for that, ``RUSDecomposer(timing=True)`` and
# :class:`~mmcontrast.CouplingDelay` learn event times from epochs with a margin.
#
# One number for the matrix is the selectivity: the mean score in the right parts less the mean
# score elsewhere. The same network without training says how much of it is due to the
# architecture.

untrained = RUSDecomposer(max_epochs=1, learning_rate=1e-12, random_state=SEED).fit(X[train])
others = dict(X=X_others, groups=subject_others, random_state=SEED)
chance = probe_parts(untrained, factors[test], X=X[test], **ask)
of_others = probe_parts(decomposer, factors_others, **others)
for name, scores in (
    ("same subjects", linear),
    ("other subjects", of_others),
    ("not trained", chance),
):
    print(f"{name:15}", selectivity(scores, home))

# %%
# Is each part what its name says?
# --------------------------------
#
# Each question has a function of its own, with an interval over subjects and a null distribution.
# That both redundant parts tell the time of the event *equally well* is not shown by a difference
# that is not significant: the whole interval has to lie within a margin, here of .1, that was
# chosen before.
#
# The size of U_fnirs is its distance from rest, here from the training trials of low load, in units
# of their spread. Units matter: where blood hardly changes, the ratio of HbR to HbO is mostly
# noise, so that trials of low load are scattered more widely, and may be as far from their own mean
# as those of high load.

from mmcontrast.inspection import (
    load_correlation,
    redundancy_difference,
    synergy_gain,
    uniqueness_gain,
)

truth = factors[test]
low_load = np.flatnonzero(factors["frontal_hbo"][train] < 1)
rest = decomposer.transform(X[low_load])
from_rest = decomposer.norms(decomposer.transform(X[test]), reference=rest, whiten=True)
same = redundancy_difference(parts, truth["event_time"], margin=0.1, **ask)
findings = {
    "redundant: event time, R_eeg less R_fnirs": same,
    "unique: state, U_eeg less the best other": uniqueness_gain(
        parts, truth["state"], "U_eeg", **ask
    ),
    "unique: load, U_fnirs less the best other": uniqueness_gain(
        parts, truth["frontal_hbo"], "U_fnirs", **ask
    ),
    "synergy: xor, S less all others together": synergy_gain(parts, truth["xor"], **ask),
    "unique: size of U_fnirs with load (rank corr.)": load_correlation(
        {"U_fnirs": from_rest["U_fnirs"][:, None]}, truth["frontal_hbo"], **ask
    ),
}
for name, found in findings.items():
    interval = f"[{found.low:5.2f}, {found.high:5.2f}]"
    print(f"{name:47} {found.value:5.2f} {interval}  p = {found.p_value:.3f}")
print("equivalent:", same.details["equivalent"])

# %%
# What is still mixed
# -------------------
#
# A linear probe may miss what a nonlinear one finds: support vector machines are asked as well.
# Their scores below 0 are those of probes that learned the noise of 480 trials.

from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

nonlinear = probe_parts(
    parts,
    factors[test],
    probe={
        "continuous": make_pipeline(
            StandardScaler(), TransformedTargetRegressor(SVR(), transformer=StandardScaler())
        ),
        "classes": make_pipeline(StandardScaler(), SVC()),
    },
    **ask,
)
print(nonlinear)
print(selectivity(nonlinear, home))

# %%
# By this measure, too, the unique parts and S hold hardly anything of the other factors. The
# redundant parts do: some of the state is in R_eeg, and in R_fnirs some of the ratio of HbR to HbO
# and some of the load, which a linear probe hardly sees. So "redundant" means that a part tells
# what is shared, not that it tells nothing else. And S holds the products of all that is unique,
# whether or not anybody planted them: without a task, nothing says which of them matter.
#
# ``SEED`` draws subjects, trials and networks. Over three of its values, the selectivity was .63 to
# .65 in the same and .60 to .62 in other subjects (.17 without training), and S told `xor` better
# than all other parts together by .58 to .66.

# %%
# How long the blood follows the brain
# ------------------------------------
#
# For the delay, epochs with a margin are needed, here of one second on both sides.
# :class:`~mmcontrast.CouplingDelay` moves windows by known seconds and learns what moves with them:
# the time of the event in each modality. Nobody tells it when the event was. The difference of the
# two times is the delay, up to its mean, with an uncertainty for each trial.

from mmcontrast import CouplingDelay

X_long, planted_long, _ = make_neurovascular(2400, 12, margin=1.0, random_state=SEED)
rates = {"eeg": about["eeg_sfreq"], "fnirs": about["fnirs_sfreq"]}
timing = CouplingDelay(rates, margin=1.0, max_epochs=8, random_state=SEED).fit(X_long[train])
*_, delay, uncertainty = timing.transform(X_long[test]).T
true_delay = planted_long["delay"][test] - planted_long["delay"][train].mean()
error = delay - true_delay
r2 = 1 - np.mean(error**2) / np.var(true_delay)
print(f"error {np.sqrt(np.mean(error**2)):.2f} s, R2 {r2:.2f}")

delay_figure, ax = plt.subplots(figsize=(4.6, 3.8), layout="constrained")
dots = ax.scatter(true_delay, delay, c=uncertainty, s=8, vmax=np.quantile(uncertainty, 0.95))
ax.axline((0, 0), slope=1, color="k", linewidth=0.8)
ax.set(xlabel="planted delay less its mean (s)", ylabel="delay from unlabelled trials (s)")
delay_figure.colorbar(dots, label="uncertainty (s)")

# %%
# A look at the trials
# --------------------
#
# Each part by t-SNE, trials coloured by state and load. It is a picture, not a measurement: S, made
# of products of all that is unique to one modality with all that is unique to the other, shows
# nothing in a plane.

from mmcontrast.inspection import PartEmbeddingDisplay

state = np.where(truth["state"] == 1, "alpha", "beta")
load = np.where(truth["frontal_hbo"] > 1, "high", "low")
embedding = PartEmbeddingDisplay.from_parts(
    parts,
    np.char.add(np.char.add(state, ", "), load),
    condition_name="state, load",
    random_state=SEED,
)

# %%
# Physiology
# ----------
#
# Planted factors are a luxury of simulations. :func:`~mmcontrast.inspection.physiology_report`
# measures in each trial's signals what a physiologist would, and reads that from the parts.
# ``onset`` says when the event was in each trial; where the event is the trigger, leave it out.
#
# Amplitudes of evoked potential and blood flow are in the redundant parts, each in the other
# modality's as well; powers of alpha, beta and gamma in U_eeg; what HbO and HbR do beyond the
# event in U_fnirs. That the lag of the two peaks is not in S says more of the lag than of S: in a
# single trial its measurement is nearly all noise. "Neural efficiency", gamma power less HbO, is a
# sum of one term per modality and no synergy: each unique part holds its own term.

from mmcontrast.inspection import physiology_report

report = physiology_report(
    parts,
    X[test],
    sfreq={"eeg": about["eeg_sfreq"], "fnirs": about["fnirs_sfreq"]},
    tmin={"eeg": about["eeg_tmin"], "fnirs": about["fnirs_tmin"]},
    fnirs_ch_names=about["fnirs_ch_names"],
    onset=truth["event_time"],
    **ask,
)
physiology_figure, ax = plt.subplots(figsize=(8.5, 3.8), layout="constrained")
PartFactorDisplay.from_scores(report, ax=ax)
ax.set_title("How well a linear probe reads what was measured")

# %%
# What drives a part
# ------------------
#
# Where on the head do signals go with what is read from a part? The maps are Haufe patterns, not
# weights. They can be compared with what was planted: alpha in the occipital and beta in the
# central cortex, gamma near POz, the load in the frontal cortex, activation in the visual one.
# Units are standard deviations, so alpha is high wherever it is the clearest rhythm, and that is
# also where electrodes see the occipital source from afar.

from mmcontrast.inspection import plot_part_topography
from mmcontrast.preprocessing import BandPower

power = BandPower(about["eeg_sfreq"]).fit(X["eeg"][test])
bands = list(power.bands_)
powers = power.transform(X["eeg"][test]).reshape(600, -1, len(bands))
powers = {band: powers[..., k] for k, band in enumerate(bands)}
hbo = X["fnirs"][test][:, :12]
late = about["fnirs_tmin"] + np.arange(hbo.shape[-1]) / about["fnirs_sfreq"] > 2
hbo = {"HbO": hbo[..., late].mean(axis=-1) - hbo[..., ~late][..., :10].mean(axis=-1)}
of_hbo = mne.pick_info(blood.info, mne.pick_channels(blood.ch_names, about["fnirs_ch_names"][:12]))

topography_figure, axes = plt.subplots(1, 5, figsize=(12, 2.5), layout="constrained")
for place, part, factor, signals, info in (
    (slice(0, 2), "U_eeg", "state", {b: powers[b] for b in ("alpha", "beta")}, raw_eeg.info),
    (slice(2, 3), "U_eeg", "gamma", {"gamma": powers["gamma"]}, raw_eeg.info),
    (slice(3, 4), "U_fnirs", "frontal_hbo", hbo, of_hbo),
    (slice(4, 5), "R_fnirs", "activation", hbo, of_hbo),
):
    plot_part_topography(parts[part], signals, info, factor=truth[factor], axes=axes[place], **ask)
    for ax in axes[place]:
        ax.set_title(f"{factor} from {part}:\n{ax.get_title()}", fontsize=9)
for bar in topography_figure.axes[len(axes) :]:
    bar.set_ylabel(bar.get_ylabel() if bar is topography_figure.axes[-1] else "", fontsize=8)
    bar.tick_params(labelsize=7)

# sphinx_gallery_start_ignore
import sys

if "sphinx_gallery" not in sys.modules:
    for name, figure in {
        "light": light_figure,
        "trials": trial_figure,
        "matrix": matrix_figure,
        "delay": delay_figure,
        "embedding": embedding.figure_,
        "physiology": physiology_figure,
        "topography": topography_figure,
    }.items():
        figure.savefig(f"eeg_fnirs_{name}.png", dpi=150)
    print("The figures are in eeg_fnirs_*.png")
# sphinx_gallery_end_ignore
