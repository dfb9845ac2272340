"""From fNIRS intensities to haemoglobin."""

from __future__ import annotations

from typing import Any

import mne
import numpy as np

from ._checks import check_raw

# Hz, upper end of the band of the heartbeat in MNE's scalp coupling index, with its transition
_HEARTBEAT_END = 1.8


def haemoglobin_from_raw(
    raw: mne.io.BaseRaw,
    *,
    ppf: float | tuple[float, ...] = 6.0,
    motion_correction: bool = False,
    min_coupling: float | None = 0.5,
    l_freq: float | None = 0.01,
    h_freq: float | None = 0.1,
) -> mne.io.BaseRaw:
    """Turn fNIRS intensities into band-passed concentrations of haemoglobin.

    Intensity to optical density, scalp coupling index [1]_, if asked for temporal derivative
    distribution repair of motion artefacts [2]_, modified Beer-Lambert law [3]_ and zero-phase
    Butterworth filter of third order, with the functions of ``mne.preprocessing.nirs``.

    Parameters
    ----------
    raw : mne.io.Raw
        Continuous-wave intensities, optical densities, or haemoglobin, which is only filtered.
        It is left as it is.
    ppf : float or tuple of float, default=6.0
        Partial pathlength factor, for all wavelengths or for each.
    motion_correction : bool, default=False
        Whether to repair motion artefacts. The method takes the rare, fast changes of a channel
        for artefacts: in recordings of real tissue, which is never at rest, these are jumps and
        spikes, but in simulated ones with little background they are the responses.
    min_coupling : float or None, default=0.5
        Channels whose scalp coupling index, the correlation of the heartbeat in both
        wavelengths, is lower are marked as bad. None does not look.
    l_freq, h_freq : float or None, default=0.01 and 0.1
        Edges of the pass band in Hz; None leaves a side open. A high edge of 0.1 takes respiration
        and heartbeat out, Mayer waves in part only.

    Returns
    -------
    haemoglobin : mne.io.Raw
        HbO and HbR in M, with the annotations and bad channels of the input.

    Raises
    ------
    TypeError
        If raw is not a recording of MNE.
    ValueError
        If it has no fNIRS channels, their wavelengths or one of a pair are missing, a channel
        that is not marked as bad has samples that are not finite, or `min_coupling` asks for
        heartbeats at a sampling rate below 3.6 Hz.

    References
    ----------
    .. [1] L. Pollonini et al. "Auditory cortex activation to natural speech and simulated cochlear
       implant speech measured with functional near-infrared spectroscopy." Hearing Research 309
       (2014).
    .. [2] F. Fishburn, R. Ludlum, C. Vaidya and A. Medvedev. "Temporal derivative distribution
       repair (TDDR): a motion correction method for fNIRS." NeuroImage 184 (2019).
    .. [3] D. Delpy et al. "Estimation of optical pathlength through tissue from direct time of
       flight measurement." Phys. Med. Biol. 33 (1988).

    Examples
    --------
    >>> import mne, numpy as np
    >>> from mmcontrast.preprocessing import haemoglobin_from_raw
    >>> info = mne.create_info(["S1_D1 760", "S1_D1 850"], 10.0, "fnirs_cw_amplitude")
    >>> for channel, wavelength in zip(info["chs"], (760, 850)):
    ...     channel["loc"][3:9] = 0, 0, 0, 0.03, 0, 0  # source and detector, m
    ...     channel["loc"][9] = wavelength
    >>> rng = np.random.default_rng(0)
    >>> intensity = 1 + 0.01 * rng.normal(size=(1, 2000)) * np.ones((2, 1))
    >>> raw = mne.io.RawArray(intensity, info, verbose=False)
    >>> haemoglobin_from_raw(raw).ch_names
    ['S1_D1 hbo', 'S1_D1 hbr']
    """
    check_raw(raw, "raw")
    types = set(raw.get_channel_types())
    fnirs = types & {"fnirs_cw_amplitude", "fnirs_od", "hbo", "hbr"}
    if not fnirs:
        raise ValueError(
            f"The recording has no fNIRS channels, but channels of type {sorted(types)}. "
            "raw.set_channel_types may be needed."
        )
    found = raw.copy().load_data(verbose="error").pick(sorted(fnirs), exclude=())
    _refuse_not_finite(found)
    if fnirs & {"fnirs_cw_amplitude", "fnirs_od"}:
        found = _to_haemoglobin(found, ppf, motion_correction, min_coupling)
    if l_freq is None and h_freq is None:
        return found
    iir = {"order": 3, "ftype": "butter", "output": "sos"}
    return found.filter(l_freq, h_freq, picks="all", method="iir", iir_params=iir, verbose="error")


def _refuse_not_finite(raw: mne.io.BaseRaw) -> None:
    counts = (~np.isfinite(raw.get_data(verbose="error"))).sum(axis=1).tolist()
    broken = {
        name: n
        for name, n in zip(raw.ch_names, counts, strict=True)
        if n and name not in raw.info["bads"]
    }
    if broken:
        raise ValueError(
            f"Samples are NaN or infinite, so many of {raw.n_times} by channel: {broken}. Filters "
            "would spread them over the whole recording: crop it (raw.crop), interpolate these "
            "samples, or mark the channels as bad (raw.info['bads'])."
        )


def _refuse_half_pairs(names: list[str]) -> None:
    """Refuse optical channels that lack a wavelength, as others or Beer-Lambert's law have it."""
    pairs: dict[str, list[str]] = {}
    for name in names:
        pair, _, wavelength = name.rpartition(" ")
        pairs.setdefault(pair, []).append(wavelength)
    most = max(2, *map(len, pairs.values()))
    for pair, found in pairs.items():
        if len(found) < most:
            raise ValueError(
                f"The pair {pair!r} has {len(found)} of {most} wavelengths: {', '.join(found)} nm. "
                "Haemoglobin needs all of them: keep the missing channel, or drop the others of "
                "the pair as well (raw.drop_channels)."
            )


def _to_haemoglobin(
    raw: mne.io.BaseRaw, ppf: Any, motion_correction: bool, min_coupling: float | None
) -> mne.io.BaseRaw:
    nirs = mne.preprocessing.nirs
    types = raw.get_channel_types()
    is_optical = [kind.startswith("fnirs") for kind in types]
    wavelengths = np.array([channel["loc"][9] for channel in raw.info["chs"]])
    missing = [
        name
        for name, optical, wavelength in zip(raw.ch_names, is_optical, wavelengths, strict=True)
        if optical and not wavelength > 0
    ]
    if missing:
        raise ValueError(
            f"The wavelengths of channels {missing} are missing; they are needed for haemoglobin "
            "and stand in info['chs'][k]['loc'][9], in nm."
        )
    _refuse_half_pairs([n for n, optical in zip(raw.ch_names, is_optical, strict=True) if optical])
    if min_coupling is not None and raw.info["sfreq"] < 2 * _HEARTBEAT_END:
        raise ValueError(
            f"The scalp coupling index looks for heartbeats up to {_HEARTBEAT_END} Hz, which takes "
            f"a sampling rate of {2 * _HEARTBEAT_END} Hz; found sfreq={raw.info['sfreq']:g}. Pass "
            "min_coupling=None and look for bad channels yourself."
        )
    bads = list(raw.info["bads"])
    raw.info["bads"] = []  # MNE refuses pairs of which one is bad
    if "fnirs_cw_amplitude" in types:
        raw = nirs.optical_density(raw, verbose="error")
    if min_coupling is not None:
        coupling = nirs.scalp_coupling_index(raw, verbose="error")
        weak = np.flatnonzero(~(coupling >= min_coupling))
        bads += [raw.ch_names[channel] for channel in weak]
    if motion_correction:
        raw = nirs.temporal_derivative_distribution_repair(raw, verbose="error")
    found = nirs.beer_lambert_law(raw, ppf=ppf)
    optodes = {name.rsplit(" ", 1)[0] for name in bads}
    found.info["bads"] = [name for name in found.ch_names if name.rsplit(" ", 1)[0] in optodes]
    return found
