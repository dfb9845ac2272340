"""From concentrations of haemoglobin back to the light that a device measures."""

from __future__ import annotations

from typing import Any

import numpy as np

_WAVELENGTHS = (760, 850)  # nm
_LEVELS = (0.3, 1.5)  # V


def intensities_of(raw: Any, ppf: float, rng: np.random.RandomState) -> Any:
    """Intensities of a recording of HbO and HbR, first all HbO, of different mean levels."""
    import mne

    n_pairs = len(raw.ch_names) // 2
    blood = raw.get_data().reshape(2, n_pairs, -1)
    light = _info_like(raw, "fnirs_cw_amplitude")
    densities = np.einsum("pwc,cpt->wpt", _densities_of_blood(raw, ppf), blood)
    levels = rng.uniform(*_LEVELS, (2, n_pairs, 1))
    values = (levels * np.exp(-densities)).reshape(2 * n_pairs, -1)
    return mne.io.RawArray(values, light, verbose="error")


def _info_like(raw: Any, kind: str) -> Any:
    """Info of channels of both wavelengths at the same optodes."""
    import mne

    stems = [name.rsplit(" ", 1)[0] for name in raw.ch_names[: len(raw.ch_names) // 2]]
    names = [f"{stem} {wavelength}" for wavelength in _WAVELENGTHS for stem in stems]
    info = mne.create_info(names, raw.info["sfreq"], kind)
    for channel, like in zip(info["chs"], raw.info["chs"], strict=True):
        channel["loc"][:9] = like["loc"][:9]
        channel["loc"][9] = float(channel["ch_name"].rsplit(" ", 1)[1])
    return info


def _densities_of_blood(raw: Any, ppf: float) -> np.ndarray:
    """Optical density per HbO and HbR in M, (n_pairs, 2 wavelengths, 2).

    It is the inverse of what MNE does to the optical densities 1, 0 and 0, 1, so that its
    absorption coefficients and units are these as well.
    """
    import mne

    n_pairs = len(raw.ch_names) // 2
    units = np.repeat(np.eye(2), n_pairs, axis=0)
    densities = mne.io.RawArray(units, _info_like(raw, "fnirs_od"), verbose="error")
    blood = mne.preprocessing.nirs.beer_lambert_law(densities, ppf=ppf).get_data()
    return np.linalg.inv(blood.reshape(2, n_pairs, 2).transpose(1, 0, 2))
