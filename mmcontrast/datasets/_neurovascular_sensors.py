"""Where simulated sensors are, and what subjects are like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# the first of them make a sensible montage of any size
# fmt: off
_EEG_FIRST = [
    "Fz", "Oz", "Cz", "Pz", "C3", "C4", "P3", "P4", "O1", "O2", "F3", "F4", "T7", "T8", "Fp1",
    "Fp2", "F7", "F8", "P7", "P8", "FC1", "FC2", "CP1", "CP2", "FC5", "FC6", "CP5", "CP6",
    "POz", "FCz", "AF3", "AF4",
]
_FNIRS_FIRST = [
    "O1", "F3", "O2", "F4", "P3", "AF3", "P4", "AF4", "C3", "C4", "Oz", "Fz", "POz", "PO7",
    "PO8", "F1", "F2", "CP3", "CP4", "FC3", "FC4", "T7",
]
# fmt: on
N_SITES = 86
# other names of T7, T8, P7 and P8, and the ears
_NOT_USED = ("T3", "T4", "T5", "T6", "A1", "A2", "M1", "M2")

EEG_SOURCES = ("P1", "N1", "P3", "alpha", "beta", "gamma")
# centres, width in radians
_EEG_REGIONS: dict[str, tuple[tuple[str, ...], float]] = {
    "P1": (("O1", "O2"), 0.5),
    "N1": (("P7", "P8"), 0.6),
    "P3": (("Pz",), 0.8),
    "alpha": (("Oz",), 0.7),
    "beta": (("C3", "C4"), 0.5),
    "gamma": (("POz",), 0.5),
}
_FNIRS_REGIONS: dict[str, tuple[tuple[str, ...], float]] = {
    "activation": (("O1", "O2"), 0.45),
    "frontal": (("F3", "F4"), 0.4),
}
# what electrodes far from a source see of it, with the opposite sign
_FAR_FIELD = 0.2
_BACKGROUND_WIDTH = 0.8
_MOVE, _STRETCH = 0.1, 0.1


class Montage(NamedTuple):
    """Names of sites in the 10-10 system, and where they are."""

    names: list[str]
    directions: np.ndarray  # (n_sites, 3), of length 1, from the middle of the head


class Subjects(NamedTuple):
    """What differs between subjects; the first axis of everything."""

    eeg_topography: np.ndarray  # (n, n_channels, n_sources)
    background: np.ndarray  # (n, n_channels, n_channels), mixing of the background
    fnirs_topography: np.ndarray  # (n, n_channels, 2)
    systemic: np.ndarray  # (n, n_channels)
    eeg_gain: np.ndarray
    fnirs_gain: np.ndarray
    erp_latency: np.ndarray  # (n, 3), s
    alpha_freq: np.ndarray
    beta_freq: np.ndarray
    state_bias: np.ndarray
    hrf_latency: np.ndarray
    hrf_width: np.ndarray


def montage_name() -> str:
    """The 10-10 system on the Colin27 head, which newer versions of MNE call by its head."""
    import mne

    names = mne.channels.get_builtin_montages()
    return "colin27_1020" if "colin27_1020" in names else "standard_1020"


def all_sites() -> Montage:
    """All sites there are, in the order in which they are used."""
    import mne

    montage = mne.channels.make_standard_montage(montage_name())
    found = {k: v for k, v in montage.get_positions()["ch_pos"].items() if k not in _NOT_USED}
    positions = np.array(list(found.values()))
    middle = 0.5 * (found["T7"] + found["T8"])
    middle[1] = 0.5 * (found["Fpz"] + found["Oz"])[1]
    directions = positions - middle
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return Montage(list(found), directions)


def eeg_montage(sites: Montage, n_channels: int) -> Montage:
    """The electrodes."""
    return _pick(sites, _EEG_FIRST, n_channels)


def fnirs_montage(sites: Montage, n_channels: int) -> Montage:
    """The sites below which light is measured, in the middle of source and detector."""
    return _pick(sites, _FNIRS_FIRST, n_channels)


def fnirs_stems(n_channels: int, n_short: int = 0) -> list[str]:
    """Names of pairs of source and detector; short channels have a detector near a source."""
    long = [f"S{k}_D{k}" for k in range(1, n_channels + 1)]
    return long + [f"S{k}_D{n_channels + k}" for k in range(1, n_short + 1)]


def haemoglobin_names(n_channels: int, n_short: int = 0) -> list[str]:
    """Names of the channels: first all HbO, then all HbR."""
    return [
        f"{stem} {kind}" for kind in ("hbo", "hbr") for stem in fnirs_stems(n_channels, n_short)
    ]


def head_positions(names: Sequence[str]) -> np.ndarray:
    """Where sites are in head coordinates of MNE, (n_sites, 3) in m."""
    import mne

    info = mne.create_info(list(names), 1.0, "eeg")
    info.set_montage(mne.channels.make_standard_montage(montage_name()))
    return np.array([channel["loc"][:3] for channel in info["chs"]])


def draw_subject_values(
    rng: np.random.RandomState, n_subjects: int, sites: Montage, eeg: Montage, fnirs: Montage
) -> Subjects:
    """Draw the topographies, gains, frequencies and haemodynamic responses of subjects."""
    eeg_maps = [
        [_map(rng, sites, eeg, *_EEG_REGIONS[source]) - _FAR_FIELD for source in EEG_SOURCES]
        for _ in range(n_subjects)
    ]
    fnirs_maps = [
        [_map(rng, sites, fnirs, *region) for region in _FNIRS_REGIONS.values()]
        for _ in range(n_subjects)
    ]
    background = [_smooth_mixing(rng, eeg) for _ in range(n_subjects)]

    def normal(scale: float, *shape: int) -> np.ndarray:
        return scale * rng.standard_normal((n_subjects, *shape))

    return Subjects(
        eeg_topography=np.array(eeg_maps).transpose(0, 2, 1),
        background=np.array(background),
        fnirs_topography=np.array(fnirs_maps).transpose(0, 2, 1),
        systemic=np.exp(normal(0.2, len(fnirs.names))),
        eeg_gain=np.exp(normal(0.05)),
        fnirs_gain=np.exp(normal(0.05)),
        erp_latency=normal(1.0, 3) * [0.004, 0.006, 0.015],
        alpha_freq=10.0 + normal(0.5),
        beta_freq=20.0 + normal(1.0),
        state_bias=normal(0.1),
        hrf_latency=normal(0.05),
        hrf_width=np.exp(normal(0.05)),
    )


def _pick(sites: Montage, first: Sequence[str], n_channels: int) -> Montage:
    names = [*first, *(name for name in sites.names if name not in first)][:n_channels]
    rows = [sites.names.index(name) for name in names]
    return Montage(names, sites.directions[rows])


def _map(
    rng: np.random.RandomState,
    sites: Montage,
    montage: Montage,
    centres: Sequence[str],
    width: float,
) -> np.ndarray:
    """Smooth bumps around the centres, which every subject has elsewhere and of another width."""
    found = np.zeros(len(montage.names))
    for name in centres:
        centre = sites.directions[sites.names.index(name)] + _MOVE * rng.standard_normal(3)
        centre /= np.linalg.norm(centre)
        own_width = width * np.exp(_STRETCH * rng.standard_normal())
        found = np.maximum(found, _bump(montage.directions @ centre, own_width))
    return found


def _smooth_mixing(rng: np.random.RandomState, montage: Montage) -> np.ndarray:
    """Square root of a covariance that falls with distance, of unit variances."""
    width = _BACKGROUND_WIDTH * np.exp(_STRETCH * rng.standard_normal())
    values, vectors = np.linalg.eigh(_bump(montage.directions @ montage.directions.T, width))
    root = vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
    return root / np.linalg.norm(root, axis=1, keepdims=True)


def _bump(cosine: np.ndarray, width: float) -> np.ndarray:
    return np.exp(-0.5 * (np.arccos(np.clip(cosine, -1.0, 1.0)) / width) ** 2)
