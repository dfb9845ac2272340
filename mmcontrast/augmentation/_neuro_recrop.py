"""Windows cut out of recordings with a margin, at offsets that are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor

from ._base import AugmentationContext
from ._neuro_checks import POSITIVE, sampling_rate
from ._validation import NON_NEGATIVE, check_strength
from .joint import JointAugmentation


class Recrop(JointAugmentation):
    r"""Cut windows out of sequences with a margin, at random offsets.

    Sequences come with so many seconds more than the window on both sides. The window moves by an
    offset :math:`o \in [-\mathrm{margin}, \mathrm{margin}]`: what happens at the time t of the
    window in the middle happens at t - o in the one that was cut. Offsets are whole numbers of
    steps, since values interpolated between steps would betray the offset by their smoothness.

    Unlike all other augmentations it makes sequences shorter, by twice the margin. An estimator
    augments in training only, so that ``transform`` embeds rows with their margins: it needs
    encoders that take sequences of any length, as the default one does and "mlp" does not.

    Parameters
    ----------
    sfreq : float or mapping of str to float, default=None
        Sampling rate in Hz, for all modalities or for each; it has to be given.
    margin : float, default=1.0
        Seconds on each side of the window.
    offset : {"same", "different"}, default="same"
        Whether the modalities of a row are cut at the same offset, each at the step next to it,
        or at offsets of their own.
    modalities : list of str or None, default=None
        Names of the modalities with a margin; None is every modality of shape
        (batch, channels, times).
    p : float, default=1.0
        Probability that the window of a row moves away from the middle.
    strength : float, default=1.0
        Multiplies the range of the offsets, which ends at the margin.

    Raises
    ------
    ValueError
        If a sampling rate is missing, there is no margin, or it is longer than the sequence.

    See Also
    --------
    MultiCrop : Stretches a random window to the length of the sequence.
    CouplingDelay : Learns the times of events from such windows.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.augmentation import Recrop
    >>> values = {"eeg": torch.arange(8.0).view(1, 1, 8), "fnirs": torch.arange(4.0).view(1, 1, 4)}
    >>> recrop = Recrop(sfreq={"eeg": 2, "fnirs": 1}, margin=1)
    >>> windows, offsets = recrop.crop(values, offsets={"eeg": 0.5, "fnirs": -1})
    >>> {name: x.tolist() for name, x in windows.items()}
    {'eeg': [[[3.0, 4.0, 5.0, 6.0]]], 'fnirs': [[[0.0, 1.0]]]}
    """

    _parameter_constraints: dict[str, Any] = {
        **JointAugmentation._parameter_constraints,
        "sfreq": [*POSITIVE, Mapping, None],
        "margin": [Interval(Real, 0, None, closed="left")],
        "offset": [StrOptions({"same", "different"})],
        "strength": NON_NEGATIVE,
    }

    def __init__(
        self,
        sfreq: float | Mapping[str, float] | None = None,
        margin: float = 1.0,
        offset: str = "same",
        modalities: Sequence[str] | None = None,
        p: float = 1.0,
        strength: float = 1.0,
    ):
        super().__init__(modalities=modalities, p=p, strength=strength)
        self.sfreq = sfreq
        self.margin = margin
        self.offset = offset

    def __call__(
        self,
        values: Mapping[str, Tensor],
        *,
        lengths: Mapping[str, Tensor | None] | None = None,
        scales: Mapping[str, float | Tensor] | None = None,
        strength: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Cut a window out of each row.

        Parameters
        ----------
        values : mapping of str to Tensor of shape (batch, channels, times)
            Row-aligned modalities with their margins; never modified.
        lengths : mapping of str to Tensor of shape (batch,), optional
            Padded modalities are refused: the end of their margin is not known.
        scales : mapping of str to float, optional
            Not used; accepted so that all augmentations are called alike.
        strength : float, default=1.0
            Multiplies the strength of the object; 0 is the window in the middle.
        generator : torch.Generator, optional
            Source of randomness. Default: torch's global one.

        Returns
        -------
        dict of str to Tensor
            The windows, of ``times - 2 * round(margin * sfreq)`` steps.

        Raises
        ------
        TypeError
            If a value is not a floating point tensor.
        ValueError
            If a parameter is out of range or missing, or the sequences are too short.
        """
        return self.crop(values, lengths=lengths, strength=strength, generator=generator)[0]

    def crop(
        self,
        values: Mapping[str, Tensor],
        *,
        offsets: Mapping[str, float | Tensor] | None = None,
        lengths: Mapping[str, Tensor | None] | None = None,
        strength: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Cut a window out of each row, and tell or choose where.

        Parameters
        ----------
        values : mapping of str to Tensor of shape (batch, channels, times)
            Row-aligned modalities with their margins.
        offsets : mapping of str to float or Tensor of shape (batch,), optional
            Seconds by which to move the window of each modality, rounded to whole steps. Default:
            random ones.
        lengths : mapping of str to Tensor of shape (batch,), optional
            As in a call.
        strength : float, default=1.0
            Multiplies the strength of the object.
        generator : torch.Generator, optional
            Source of randomness.

        Returns
        -------
        windows : dict of str to Tensor
            The modalities, those with a margin cut.
        offsets : dict of str to Tensor of shape (batch,)
            Offset of each window in seconds, exactly as it was cut.

        Raises
        ------
        TypeError, ValueError
            As in a call; or if an offset is larger than the margin, or not a number.
        """
        self._validate_params()
        effective = self.strength * check_strength(strength, type(self).__name__)
        names = self._sequence_names(values)
        plan = {name: self._plan(name, values[name], lengths) for name in names}
        chosen = self._draw(values, names, effective, generator) if offsets is None else offsets
        windows, exact = dict(values), {}
        for name in names:
            sfreq, n_margin = plan[name]
            steps = self._steps(name, chosen, values[name], sfreq, n_margin)
            windows[name] = cut_windows(
                values[name], steps + n_margin, values[name].shape[-1] - 2 * n_margin
            )
            exact[name] = steps / sfreq
        return windows, exact

    def _plan(
        self, name: str, x: Tensor, lengths: Mapping[str, Tensor | None] | None
    ) -> tuple[float, int]:
        """Sampling rate of a modality and the steps of its margin."""
        owner = type(self).__name__
        sfreq = sampling_rate(self.sfreq, name, owner)
        n_margin = round(self.margin * sfreq)
        if (lengths or {}).get(name) is not None:
            raise ValueError(
                f"{owner} cannot cut modality {name!r}: it is padded, so its margins end at "
                "different steps. Cut its rows to one length."
            )
        if n_margin < 1:
            raise ValueError(
                f"{owner} needs a margin of at least one step to move the window of modality "
                f"{name!r}; margin={self.margin:g} s at {sfreq:g} Hz is none. Pass margin= in "
                "seconds, and rows that reach so much farther on both sides."
            )
        if 2 * n_margin >= x.shape[-1]:
            raise ValueError(
                f"{owner}: a margin of {self.margin:g} s on both sides leaves nothing of modality "
                f"{name!r}, whose rows have {x.shape[-1]} steps, {x.shape[-1] / sfreq:g} s. Cut "
                "longer epochs or lower margin."
            )
        return sfreq, n_margin

    def _draw(
        self,
        values: Mapping[str, Tensor],
        names: Sequence[str],
        effective: float,
        generator: torch.Generator | None,
    ) -> dict[str, Tensor]:
        if not names:
            return {}
        first = values[names[0]]
        context = AugmentationContext(effective, first.device, generator=generator)
        moves = context.uniform(len(first)) < self.p
        largest = min(1.0, effective) * self.margin
        n_own = 1 if self.offset == "same" else len(names)
        drawn = context.uniform(n_own, len(first), low=-largest, high=largest) * moves
        return dict(zip(names, drawn.expand(len(names), -1), strict=True))

    def _steps(
        self, name: str, offsets: Mapping[str, Any], x: Tensor, sfreq: float, n_margin: int
    ) -> Tensor:
        if name not in offsets:
            raise ValueError(f"offsets has no entry for modality {name!r}.")
        seconds = torch.as_tensor(offsets[name], dtype=torch.float32, device=x.device)
        if seconds.shape not in ((), (len(x),)):
            raise ValueError(
                f"Offsets of modality {name!r} have to be one number or of shape ({len(x)},), "
                f"found {tuple(seconds.shape)}."
            )
        if not seconds.isfinite().all():
            raise ValueError(
                f"Offsets of modality {name!r} hold NaN or infinity; expected seconds within the "
                f"margin of {self.margin:g} s."
            )
        steps = (seconds * sfreq).round().long().expand(len(x))
        if (steps.abs() > n_margin).any():
            raise ValueError(
                f"Offsets of modality {name!r} go up to {float(seconds.abs().max()):g} s, beyond "
                f"the margin of {self.margin:g} s."
            )
        return steps

    def _draw_window(self, context: AugmentationContext, n_samples: int) -> Tensor:
        raise NotImplementedError("Recrop moves windows by seconds, not by fractions.")

    def _apply_window(self, x: Tensor, lengths: Tensor | None, window: Tensor) -> Tensor:
        raise NotImplementedError("Recrop moves windows by seconds, not by fractions.")


def cut_windows(x: Tensor, start: Tensor, n_times: int) -> Tensor:
    """Cut a window of time out of each row.

    Parameters
    ----------
    x : Tensor of shape (batch, channels, times)
        Sequences.
    start : Tensor of shape (batch,), dtype int64
        First step of each window.
    n_times : int
        Steps of the windows.

    Returns
    -------
    Tensor of shape (batch, channels, n_times)
    """
    rows = torch.arange(len(x), device=x.device)
    # advanced indices around a slice come first: (batch, channels, n_times) as wanted
    return x.unfold(2, n_times, 1)[rows, :, start]
