"""Augmentations of slow signals and artefacts of movement, made for fNIRS."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor

from ._base import Augmentation, AugmentationContext, full_lengths
from ._neuro_checks import POSITIVE, check_sfreq
from ._validation import NON_NEGATIVE, PROBABILITY
from ._windows import gather_steps
from .sequence import SequenceAugmentation

_COUNT = [Interval(Integral, 1, None, closed="left")]


class HRFJitter(SequenceAugmentation):
    """Change latency and amplitude of the haemodynamic response a little.

    For each sample a shift is drawn from U(-strength * max_shift, strength * max_shift) seconds,
    positive being later, and the logarithm of a gain from U(-a, a) with a = strength *
    log(1 + max_gain). Both are the same in all channels. Between two steps the signal is
    interpolated linearly; steps that come from outside hold the first or last valid value.

    Parameters
    ----------
    sfreq : float, default=None
        Sampling rate in Hz; it has to be given.
    max_shift : float, default=0.5
        Largest shift in seconds.
    max_gain : float, default=0.2
        Largest relative change of amplitude: 0.2 is from 1 / 1.2 to 1.2 times.
    p : float, default=0.5
        Probability that a sample is augmented.
    strength : float, default=1.0
        Multiplies both.

    Raises
    ------
    ValueError
        If the sampling rate is missing.

    Notes
    -----
    The gain multiplies the values as they are: subtract the baseline before. A method that is to
    learn the latency or the amplitude itself must not use it.

    References
    ----------
    D. Handwerker, J. Ollinger and M. D'Esposito. "Variation of BOLD hemodynamic responses across
    subjects and brain regions and their effects on statistical analyses." NeuroImage 21 (2004).

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.augmentation import HRFJitter
    >>> ramp = torch.arange(5.0).expand(1, 1, 5)
    >>> jitter = HRFJitter(sfreq=2, max_shift=0.5, max_gain=0, p=1.0)
    >>> print(jitter(ramp, generator=torch.manual_seed(0)).numpy().round(1))
    [[[0.  0.5 1.5 2.5 3.5]]]
    """

    _parameter_constraints: dict[str, Any] = {
        **Augmentation._parameter_constraints,
        "sfreq": [*POSITIVE, None],
        "max_shift": NON_NEGATIVE,
        "max_gain": NON_NEGATIVE,
    }

    def __init__(
        self,
        sfreq: float | None = None,
        max_shift: float = 0.5,
        max_gain: float = 0.2,
        p: float = 0.5,
        strength: float = 1.0,
    ):
        super().__init__(p=p, strength=strength)
        self.sfreq = sfreq
        self.max_shift = max_shift
        self.max_gain = max_gain

    def augment(self, x: Tensor, context: AugmentationContext) -> Tensor:
        """Shift and scale every sample.

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
        sfreq = check_sfreq(self.sfreq, type(self).__name__)
        latest = context.strength * self.max_shift * sfreq
        largest = context.strength * math.log1p(self.max_gain)
        shift = context.uniform(len(x), 1, low=-latest, high=latest)
        gain = context.uniform(len(x), 1, 1, low=-largest, high=largest).exp()
        last = (full_lengths(x, context.lengths) - 1).clamp(min=0)[:, None]
        position = torch.arange(x.shape[-1], device=x.device) - shift
        position = position.clamp(min=0).minimum(last)
        left = position.floor()
        weight = (position - left)[:, None].to(x.dtype)
        left = left.long()
        before, after = gather_steps(x, left), gather_steps(x, (left + 1).minimum(last))
        return before.lerp_(after, weight.expand_as(x)) * gain.to(x.dtype)


class Drift(SequenceAugmentation):
    """Add a slow drift: a random polynomial or a sinusoid.

    The root mean square of each channel's drift is abs(N(0, 1)) * strength * sigma * scale, scale
    being the modality's standard deviation in the training data.

    Parameters
    ----------
    kind : {"polynomial", "sinusoid"}, default="polynomial"
        "polynomial" is a random combination of the Legendre polynomials from degree 1 to `order`
        over the valid time. "sinusoid" has a random phase in each channel and one frequency for
        each sample.
    sigma : float, default=0.5
        Size of the drift in units of the modality's training standard deviation.
    order : int, default=3
        Highest degree of the polynomial.
    sfreq : float or None, default=None
        Sampling rate in Hz; it has to be given for a sinusoid.
    periods : (float, float), default=(20.0, 100.0)
        Shortest and longest period of the sinusoid in seconds. Its logarithm is drawn uniformly.
    p : float, default=0.5
        Probability that a sample is augmented.
    strength : float, default=1.0
        Multiplies sigma.

    Raises
    ------
    ValueError
        If the sampling rate is missing for a sinusoid, or `periods` is not an increasing pair.

    Notes
    -----
    The root mean square of a sinusoid is that of whole periods: an epoch that is shorter than one
    sees more or less of it.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.augmentation import Drift
    >>> x = torch.zeros(2000, 4, 50)
    >>> drifting = Drift(sigma=0.5, p=1.0)(x, scale=2.0, generator=torch.manual_seed(0))
    >>> print(f"{drifting.square().mean().sqrt():.1f}")
    1.0
    """

    _parameter_constraints: dict[str, Any] = {
        **Augmentation._parameter_constraints,
        "kind": [StrOptions({"polynomial", "sinusoid"})],
        "sigma": NON_NEGATIVE,
        "order": _COUNT,
        "sfreq": [*POSITIVE, None],
        "periods": [tuple, list],
    }

    def __init__(
        self,
        kind: str = "polynomial",
        sigma: float = 0.5,
        order: int = 3,
        sfreq: float | None = None,
        periods: tuple[float, float] = (20.0, 100.0),
        p: float = 0.5,
        strength: float = 1.0,
    ):
        super().__init__(p=p, strength=strength)
        self.kind = kind
        self.sigma = sigma
        self.order = order
        self.sfreq = sfreq
        self.periods = periods

    def augment(self, x: Tensor, context: AugmentationContext) -> Tensor:
        """Add a drift to every sample.

        Parameters
        ----------
        x : Tensor of shape (batch, channels, times)
            Sequences.
        context : AugmentationContext
            Strength, valid lengths, scale and randomness.

        Returns
        -------
        Tensor of the shape of `x`
        """
        draw = self._polynomials if self.kind == "polynomial" else self._sinusoids
        size = context.normal(*x.shape[:2], 1) * (context.strength * self.sigma * context.scale)
        return (x + size * draw(x, context)).to(x.dtype)

    def _polynomials(self, x: Tensor, context: AugmentationContext) -> Tensor:
        """Polynomials (batch, channels, times) whose mean square over the valid time is 1."""
        n_valid = full_lengths(x, context.lengths)[:, None]
        step = torch.arange(x.shape[-1], device=x.device)
        time = (2 * (step + 0.5) / n_valid.clamp(min=1) - 1).clamp(-1, 1)
        basis = [torch.ones_like(time), time]
        for k in range(1, self.order):
            basis.append(((2 * k + 1) * time * basis[k] - k * basis[k - 1]) / (k + 1))
        weights = context.normal(*x.shape[:2], self.order)
        weights = weights / weights.norm(dim=2, keepdim=True).clamp(min=1e-6)
        # a Legendre polynomial of degree k has the mean square 1 / (2k + 1)
        norms = torch.tensor([math.sqrt(2 * k + 1) for k in range(1, self.order + 1)])
        return torch.einsum("bck,kbt->bct", weights * norms.to(x.device), torch.stack(basis[1:]))

    def _sinusoids(self, x: Tensor, context: AugmentationContext) -> Tensor:
        """Sinusoids (batch, channels, times) whose mean square over a period is 1."""
        sfreq = check_sfreq(self.sfreq, "Drift(kind='sinusoid')")
        shortest, longest = _check_periods(self.periods)
        ends = {"low": math.log(shortest), "high": math.log(longest)}
        period = context.uniform(len(x), 1, 1, **ends).exp()
        phase = context.uniform(*x.shape[:2], 1, high=2 * math.pi)
        time = torch.arange(x.shape[-1], device=x.device) / sfreq
        return math.sqrt(2) * torch.sin(2 * math.pi * time / period + phase)


class MotionSpikes(SequenceAugmentation):
    """Add artefacts of movement: spikes that decay, and steps that stay.

    Each sample gets from 1 to `max_events` artefacts at random times, each of them a step with
    probability `step_prob` and otherwise a spike, which jumps and decays exponentially. All
    channels have an artefact at the same time and with the same sign; its height in each of them
    is drawn from U(0, strength * amplitude * scale).

    Parameters
    ----------
    sfreq : float, default=None
        Sampling rate in Hz; it has to be given.
    max_events : int, default=2
        Largest number of artefacts in a sample.
    amplitude : float, default=3.0
        Largest height in units of the modality's training standard deviation.
    duration : float, default=0.5
        Time constant of the decay of spikes in seconds.
    step_prob : float, default=0.3
        Probability that an artefact is a step.
    p : float, default=0.5
        Probability that a sample is augmented.
    strength : float, default=1.0
        Multiplies amplitude.

    Raises
    ------
    ValueError
        If the sampling rate is missing.

    References
    ----------
    F. Scholkmann, S. Spichtig, T. Muehlemann and M. Wolf. "How to detect and reduce movement
    artifacts in near-infrared imaging using moving standard deviation and spline interpolation."
    Physiol. Meas. 31 (2010), on spikes and shifts of the baseline.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.augmentation import MotionSpikes
    >>> steps = MotionSpikes(sfreq=10, max_events=1, step_prob=1.0, p=1.0)
    >>> x = steps(torch.zeros(1, 1, 8), generator=torch.manual_seed(1))
    >>> print((x / x.abs().max()).numpy())
    [[[0. 0. 1. 1. 1. 1. 1. 1.]]]
    """

    _parameter_constraints: dict[str, Any] = {
        **Augmentation._parameter_constraints,
        "sfreq": [*POSITIVE, None],
        "max_events": _COUNT,
        "amplitude": NON_NEGATIVE,
        "duration": POSITIVE,
        "step_prob": PROBABILITY,
    }

    def __init__(
        self,
        sfreq: float | None = None,
        max_events: int = 2,
        amplitude: float = 3.0,
        duration: float = 0.5,
        step_prob: float = 0.3,
        p: float = 0.5,
        strength: float = 1.0,
    ):
        super().__init__(p=p, strength=strength)
        self.sfreq = sfreq
        self.max_events = max_events
        self.amplitude = amplitude
        self.duration = duration
        self.step_prob = step_prob

    def augment(self, x: Tensor, context: AugmentationContext) -> Tensor:
        """Add artefacts to every sample.

        Parameters
        ----------
        x : Tensor of shape (batch, channels, times)
            Sequences.
        context : AugmentationContext
            Strength, valid lengths, scale and randomness.

        Returns
        -------
        Tensor of the shape of `x`
        """
        sfreq = check_sfreq(self.sfreq, type(self).__name__)
        n_events, shape = self.max_events, (len(x), self.max_events, 1)
        n_valid = full_lengths(x, context.lengths)[:, None, None]
        onset = (context.uniform(*shape) * n_valid).floor()
        since = torch.arange(x.shape[-1], device=x.device) - onset
        is_step = context.bernoulli(self.step_prob, *shape)
        decay = torch.exp(-since.clamp(min=0) / (self.duration * sfreq))
        course = torch.where(is_step, 1.0, decay) * (since >= 0)
        # the first one always happens, so many of the others as the drawn number asks for
        wanted = (context.uniform(len(x), 1, 1) * n_events).floor()
        happens = torch.arange(n_events, device=x.device)[:, None] <= wanted
        sign = torch.where(context.bernoulli(0.5, *shape), 1.0, -1.0)
        heights = context.uniform(len(x), n_events, x.shape[1])
        heights = heights * sign * happens * (context.strength * self.amplitude * context.scale)
        return (x + torch.einsum("bec,bet->bct", heights, course)).to(x.dtype)


def _check_periods(periods: Any) -> tuple[float, float]:
    try:
        shortest, longest = (float(period) for period in periods)
    except (TypeError, ValueError):
        shortest, longest = 0.0, 0.0
    if not 0 < shortest <= longest < np.inf:
        raise ValueError(
            "Drift expects periods as a pair (shortest, longest) of positive seconds, found "
            f"{periods!r}."
        )
    return shortest, longest
