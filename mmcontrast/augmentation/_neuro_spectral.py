"""Augmentations of the spectrum of sequences, made for EEG."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ._base import Augmentation, AugmentationContext, valid_steps
from ._neuro_checks import POSITIVE, check_bands, check_sfreq
from ._validation import NON_NEGATIVE
from .sequence import SequenceAugmentation


class BandSNR(SequenceAugmentation):
    """Change the power of one frequency band relative to the rest of the spectrum.

    For each sample one band is drawn, and a change of its power from U(-strength * max_change,
    strength * max_change) decibels, the same in all channels. Everything outside the band stays.

    Parameters
    ----------
    sfreq : float, default=None
        Sampling rate in Hz; it has to be given.
    bands : mapping of str to (float, float), default=None
        Edges of the bands in Hz, the lower one included. None is delta 1-4, theta 4-8, alpha 8-12,
        beta 12-30 and gamma 30-45 Hz, as in :class:`~mmcontrast.preprocessing.BandPower`, without
        those that the sampling rate or the length leaves empty.
    max_change : float, default=6.0
        Largest change of power in decibels: 6 is from a quarter to four times.
    p : float, default=0.5
        Probability that a sample is augmented.
    strength : float, default=1.0
        Multiplies max_change.

    Raises
    ------
    ValueError
        If the sampling rate is missing, or a band holds no frequency of the sequences.

    Notes
    -----
    Padded steps count as zeros.

    References
    ----------
    M. Mohsenvand, M. Izadi and P. Maes. "Contrastive representation learning for
    electroencephalogram classification." ML4H, PMLR 136 (2020), on changes of amplitude and of
    band content as augmentations.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.augmentation import BandSNR
    >>> x = torch.sin(2 * torch.pi * 10 * torch.arange(200) / 100).expand(1, 2, 200)
    >>> louder = BandSNR(100, bands={"alpha": (8, 12)}, p=1.0)(x, generator=torch.manual_seed(0))
    >>> print(f"{10 * (louder.square().mean() / x.square().mean()).log10():.1f} dB")
    -4.9 dB
    """

    _parameter_constraints: dict[str, Any] = {
        **Augmentation._parameter_constraints,
        "sfreq": [*POSITIVE, None],
        "bands": [Mapping, None],
        "max_change": NON_NEGATIVE,
    }

    def __init__(
        self,
        sfreq: float | None = None,
        bands: Mapping[str, tuple[float, float]] | None = None,
        max_change: float = 6.0,
        p: float = 0.5,
        strength: float = 1.0,
    ):
        super().__init__(p=p, strength=strength)
        self.sfreq = sfreq
        self.bands = bands
        self.max_change = max_change

    def augment(self, x: Tensor, context: AugmentationContext) -> Tensor:
        """Change one band of every sample.

        Parameters
        ----------
        x : Tensor of shape (batch, channels, times)
            Sequences.
        context : AugmentationContext
            Strength, valid lengths and randomness.

        Returns
        -------
        Tensor of the shape of `x`
        """
        n_times = x.shape[-1]
        sfreq = check_sfreq(self.sfreq, type(self).__name__)
        edges = check_bands(self.bands, sfreq, n_times, type(self).__name__)
        bands = torch.tensor(edges, device=x.device)
        band = (context.uniform(len(x)) * len(bands)).long().clamp(max=len(bands) - 1)
        largest = context.strength * self.max_change
        decibels = context.uniform(len(x), 1, low=-largest, high=largest)
        freqs = torch.fft.rfftfreq(n_times, 1 / sfreq, device=x.device)
        low, high = bands[band, :, None].unbind(1)
        inside = (freqs >= low) & (freqs < high)
        gain = torch.where(inside, 10 ** (decibels / 20), 1.0)[:, None]
        values = _computable(x)
        if context.lengths is not None:
            valid = valid_steps(context.lengths, n_times)[:, None]
            values = torch.where(valid, values, 0.0)
        spectrum = torch.fft.rfft(values) * gain.to(values.dtype)
        return torch.fft.irfft(spectrum, n=n_times).to(x.dtype)


class FourierSurrogate(SequenceAugmentation):
    """Perturb the phases of the spectrum and keep its amplitudes.

    Every frequency is turned by an angle from U(-a, a) with a = strength * max_phase, at most pi.
    The mean, and the highest frequency of an even number of steps, have no phase and stay. At
    a = pi nothing is left but the power spectrum and, with common phases, the cross-spectra of
    the channels [1]_ [2]_.

    Parameters
    ----------
    max_phase : float, default=pi/2
        Largest angle in radians.
    independent_channels : bool, default=False
        Whether each channel gets phases of its own, which destroys what channels have to do with
        each other; otherwise phases differ between samples alone and all cross-spectra are kept.
    p : float, default=0.5
        Probability that a sample is augmented.
    strength : float, default=1.0
        Multiplies max_phase.

    Raises
    ------
    ValueError
        If the sequences are padded: what is padded has no spectrum of its own.

    References
    ----------
    .. [1] D. Prichard and J. Theiler. "Generating surrogate data for time series with several
       simultaneously measured variables." Phys. Rev. Lett. 73 (1994).
    .. [2] J. Schwabedal, J. Snyder, A. Cakmak, S. Nemati and G. Clifford. "Addressing class
       imbalance in classification problems of noisy signals by using Fourier transform
       surrogates." arXiv 1806.08675 (2018).

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.augmentation import FourierSurrogate
    >>> x = torch.randn(3, 2, 50)
    >>> turned = FourierSurrogate(p=1.0)(x, generator=torch.manual_seed(0))
    >>> amplitudes = [torch.fft.rfft(values).abs() for values in (x, turned)]
    >>> torch.allclose(*amplitudes, atol=1e-4), torch.allclose(x, turned, atol=1e-4)
    (True, False)
    """

    _parameter_constraints: dict[str, Any] = {
        **Augmentation._parameter_constraints,
        "max_phase": NON_NEGATIVE,
        "independent_channels": ["boolean"],
    }

    def __init__(
        self,
        max_phase: float = math.pi / 2,
        independent_channels: bool = False,
        p: float = 0.5,
        strength: float = 1.0,
    ):
        super().__init__(p=p, strength=strength)
        self.max_phase = max_phase
        self.independent_channels = independent_channels

    def augment(self, x: Tensor, context: AugmentationContext) -> Tensor:
        """Turn the phases of every sample.

        Parameters
        ----------
        x : Tensor of shape (batch, channels, times)
            Sequences.
        context : AugmentationContext
            Strength and randomness.

        Returns
        -------
        Tensor of the shape of `x`
        """
        if context.lengths is not None:
            raise ValueError(
                "FourierSurrogate keeps the amplitude spectrum of whole sequences, but these are "
                "padded. Cut them to one length, or use TimeShift."
            )
        n_times = x.shape[-1]
        n_channels = x.shape[1] if self.independent_channels else 1
        n_free = (n_times - 1) // 2  # neither the mean nor the highest frequency of an even number
        largest = min(math.pi, context.strength * self.max_phase)
        angles = context.uniform(len(x), n_channels, n_free, low=-largest, high=largest)
        spectrum = torch.fft.rfft(_computable(x))
        turns = torch.polar(torch.ones_like(angles), angles).to(spectrum.dtype)
        spectrum[..., 1 : n_free + 1] *= turns
        return torch.fft.irfft(spectrum, n=n_times).to(x.dtype)


def _computable(x: Tensor) -> Tensor:
    """Values in a precision that Fourier transforms take on every device."""
    return x if x.dtype == torch.float64 else x.float()
