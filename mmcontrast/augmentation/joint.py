"""Augmentations of several time-aligned modalities at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from ._base import AugmentationContext, keep_unchosen
from ._validation import (
    FINITE,
    NON_NEGATIVE,
    PROBABILITY,
    check_batch,
    check_lengths,
    check_strength,
)
from ._windows import draw_crop_window, draw_drop_window, drop_window, resample_window


class JointAugmentation(BaseEstimator, ABC):
    """Base class: one random window of time for several modalities.

    The window is a fraction of each modality's own valid time, so sampling rates may differ.
    Whether a sample is augmented is decided once for all of its modalities.

    Parameters
    ----------
    modalities : list of str or None, default=None
        Names of the time-aligned modalities; None is every modality of shape
        (batch, channels, times). Names that a batch does not hold are skipped.
    p : float, default=0.5
        Probability that a sample is augmented.
    strength : float, default=1.0
        Multiplies the strength of the call.

    See Also
    --------
    MultiDrop : Drop the window.
    MultiCrop : Keep the window.

    Examples
    --------
    >>> from mmcontrast.augmentation import JointAugmentation, MultiDrop
    >>> isinstance(MultiDrop(), JointAugmentation)
    True
    """

    _parameter_constraints: dict[str, Any] = {
        "modalities": [list, tuple, None],
        "p": PROBABILITY,
        "strength": NON_NEGATIVE,
    }

    def __init__(
        self, modalities: Sequence[str] | None = None, p: float = 0.5, strength: float = 1.0
    ):
        self.modalities = modalities
        self.p = p
        self.strength = strength

    @abstractmethod
    def _draw_window(self, context: AugmentationContext, n_samples: int) -> Tensor:
        """Draw one window per sample, as fractions of the valid time."""

    @abstractmethod
    def _apply_window(self, x: Tensor, lengths: Tensor | None, window: Tensor) -> Tensor:
        """Apply the windows to one modality."""

    def __call__(
        self,
        values: Mapping[str, Tensor],
        *,
        lengths: Mapping[str, Tensor | None] | None = None,
        scales: Mapping[str, float | Tensor] | None = None,
        strength: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Augment a batch of several modalities.

        Parameters
        ----------
        values : mapping of str to Tensor of shape (batch, ...)
            Row-aligned modalities; never modified.
        lengths : mapping of str to Tensor of shape (batch,), optional
            Valid time steps of padded modalities.
        scales : mapping of str to float, optional
            Not used; accepted so that all augmentations are called alike.
        strength : float, default=1.0
            Multiplies the strength of the object.
        generator : torch.Generator, optional
            Source of randomness. Default: torch's global one.

        Returns
        -------
        dict of str to Tensor
            Same names, shapes, dtypes and devices.

        Raises
        ------
        TypeError
            If a value is not a floating point tensor.
        ValueError
            If a parameter is out of range, a named modality is not a sequence, or the modalities
            differ in their number of samples.
        """
        self._validate_params()
        effective = self.strength * check_strength(strength, type(self).__name__)
        names = self._sequence_names(values)
        output = dict(values)
        if effective == 0 or self.p == 0 or not names:
            return output
        first = values[names[0]]
        context = AugmentationContext(effective, first.device, generator=generator)
        chosen = context.uniform(len(first)) < self.p
        window = self._draw_window(context, len(first))
        for name in names:
            x = values[name]
            n_valid = check_lengths((lengths or {}).get(name), x, f"modality {name!r}")
            augmented = self._apply_window(x, n_valid, window.to(x.device))
            output[name] = keep_unchosen(x, augmented, chosen.to(x.device), n_valid)
        return output

    def _sequence_names(self, values: Mapping[str, Tensor]) -> list[str]:
        for name, x in values.items():
            check_batch(x, f"modality {name!r}: {type(self).__name__}")
        if self.modalities is None:
            names = [name for name, x in values.items() if x.ndim == 3]
        else:
            names = [name for name in self.modalities if name in values]
        for name in names:
            self._check_sequence(name, values[name], len(values[names[0]]))
        return names

    def _check_sequence(self, name: str, x: Tensor, n_samples: int) -> None:
        if x.ndim != 3:
            raise ValueError(
                f"{type(self).__name__} expects modality {name!r} with 3 dimensions (batch, "
                f"channels, times), found shape {tuple(x.shape)}. Leave it out of `modalities`."
            )
        if len(x) != n_samples:
            raise ValueError(
                f"{type(self).__name__} expects equally many samples in all modalities, found "
                f"{len(x)} in modality {name!r} and {n_samples} in the first."
            )


class MultiDrop(JointAugmentation):
    """Drop the same window of time from several modalities.

    The width of the window is drawn for each sample from U(0, strength * max_fraction), its place
    uniformly. At least one valid step of every modality stays.

    Parameters
    ----------
    max_fraction : float, default=0.8
        Largest fraction of the valid time that is dropped.
    modalities : list of str or None, default=None
        Names of the time-aligned modalities; None is every modality of shape
        (batch, channels, times).
    fill : float, default=0.0
        Value of dropped steps.
    p : float, default=0.5
        Probability that a sample is augmented.
    strength : float, default=1.0
        Multiplies max_fraction.

    References
    ----------
    Dufumier et al., "What to align in multimodal contrastive learning?", ICLR 2025, appendix C.1.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.augmentation import MultiDrop
    >>> values = {"eeg": torch.ones(2, 1, 8), "fnirs": torch.ones(2, 1, 4)}
    >>> dropped = MultiDrop(p=1.0)(values, generator=torch.manual_seed(1))
    >>> dropped["eeg"][:, 0]
    tensor([[0., 0., 1., 1., 1., 1., 1., 1.],
            [1., 1., 1., 0., 0., 0., 0., 1.]])
    >>> dropped["fnirs"][:, 0]
    tensor([[0., 1., 1., 1.],
            [1., 0., 0., 1.]])
    """

    _parameter_constraints: dict[str, Any] = {
        **JointAugmentation._parameter_constraints,
        "max_fraction": PROBABILITY,
        "fill": FINITE,
    }

    def __init__(
        self,
        max_fraction: float = 0.8,
        modalities: Sequence[str] | None = None,
        fill: float = 0.0,
        p: float = 0.5,
        strength: float = 1.0,
    ):
        super().__init__(modalities=modalities, p=p, strength=strength)
        self.max_fraction = max_fraction
        self.fill = fill

    def _draw_window(self, context: AugmentationContext, n_samples: int) -> Tensor:
        return draw_drop_window(context, n_samples, self.max_fraction)

    def _apply_window(self, x: Tensor, lengths: Tensor | None, window: Tensor) -> Tensor:
        return drop_window(x, lengths, window, self.fill)


class MultiCrop(JointAugmentation):
    """Keep the same window of time of several modalities, each stretched to its own length.

    The kept fraction is drawn for each sample from U(1 - strength * (1 - min_fraction), 1), its
    place uniformly.

    Parameters
    ----------
    min_fraction : float, default=0.08
        Smallest fraction of the valid time that is kept.
    modalities : list of str or None, default=None
        Names of the time-aligned modalities; None is every modality of shape
        (batch, channels, times).
    p : float, default=0.5
        Probability that a sample is augmented.
    strength : float, default=1.0
        Multiplies the part that may be cut away.

    References
    ----------
    Dufumier et al., "What to align in multimodal contrastive learning?", ICLR 2025, appendix C.1.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.augmentation import MultiCrop
    >>> time = {"eeg": torch.linspace(0, 1, 200), "fnirs": torch.linspace(0, 1, 10)}
    >>> values = {name: t.view(1, 1, -1) for name, t in time.items()}
    >>> cropped = MultiCrop(p=1.0)(values, generator=torch.manual_seed(0))
    >>> bool((cropped["eeg"][..., 0] - cropped["fnirs"][..., 0]).abs() < 1e-6)
    True
    """

    _parameter_constraints: dict[str, Any] = {
        **JointAugmentation._parameter_constraints,
        "min_fraction": PROBABILITY,
    }

    def __init__(
        self,
        min_fraction: float = 0.08,
        modalities: Sequence[str] | None = None,
        p: float = 0.5,
        strength: float = 1.0,
    ):
        super().__init__(modalities=modalities, p=p, strength=strength)
        self.min_fraction = min_fraction

    def _draw_window(self, context: AugmentationContext, n_samples: int) -> Tensor:
        return draw_crop_window(context, n_samples, self.min_fraction)

    def _apply_window(self, x: Tensor, lengths: Tensor | None, window: Tensor) -> Tensor:
        return resample_window(x, lengths, window)
