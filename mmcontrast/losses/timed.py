"""A decomposition of windows, beside event times that tell the delay between modalities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..nn.multimodal import View
from ._common import rows_with
from ._rus import RUSObjective
from .timing import TimingObjective

_TIMED_ROWS = 64
_CALIBRATION_ROWS = 2000


class TimedObjective(nn.Module):
    r"""An objective of the R/U/S decomposition whose synergistic part also holds a delay.

    It takes rows with margins. Their middle windows are what the decomposition is trained on, and
    a :class:`TimingObjective`, which moves windows about, learns event times beside it. The two
    share no parameter. The delay between the two modalities' times, which no decomposition of
    middle windows finds, becomes the last column of the part "S", with the mean 0 and the variance
    1 of other columns over the training rows.

    Parameters
    ----------
    decomposition : BalancedObjective or HybridObjective
        Built for the windows: the shapes of rows without their margins.
    timing : TimingObjective
        Built for whole rows of the same modalities.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.losses import BalancedObjective, TimedObjective, TimingObjective
    >>> from mmcontrast.nn import View
    >>> shapes, sfreq = {"eeg": (4, 300), "fnirs": (6, 60)}, {"eeg": 50.0, "fnirs": 5.0}
    >>> timing = TimingObjective(shapes, sfreq, margin=1.0)
    >>> windows = {"eeg": (4, 200), "fnirs": (6, 50)}
    >>> objective = TimedObjective(BalancedObjective(windows, code_dim=4, synergy_dim=3), timing)
    >>> view = View({name: torch.randn(8, *shape) for name, shape in shapes.items()})
    >>> objective.prepare(view)
    >>> list(objective([], view))  # doctest: +NORMALIZE_WHITESPACE
    ['loss', 'redundancy', 'reconstruction_eeg', 'reconstruction_fnirs', 'independence', 'synergy',
     'agreement', 'equivariance', 'embedding_std']
    >>> objective.encode(view)["S"].shape  # nine products, a discrepancy, and the delay
    torch.Size([8, 11])
    """

    needs_original = True
    delay_mean: Tensor
    delay_scale: Tensor

    def __init__(self, decomposition: RUSObjective, timing: TimingObjective) -> None:
        super().__init__()
        if decomposition.names != timing.names:
            raise ValueError(
                f"The decomposition is of {decomposition.names}, but the times are of "
                f"{timing.names}."
            )
        self.decomposition, self.timing = decomposition, timing
        self.names = decomposition.names
        #: Seconds of delay that are 0 and 1 in its column.
        self.register_buffer("delay_mean", torch.zeros(()))
        self.register_buffer("delay_scale", torch.ones(()))

    @property
    def n_views(self) -> int:
        """Number of augmented views that a call takes."""
        return self.decomposition.n_views

    @property
    def encoder(self) -> Any:
        """Encoder of the decomposition."""
        return self.decomposition.encoder

    @property
    def term_names(self) -> list[str]:
        """Names of the values that a call returns."""
        *own, spread = self.decomposition.term_names
        return [*own, *self.timing.term_names[1:-1], spread]

    @property
    def parts(self) -> dict[str, tuple[tuple[str, ...], int]]:
        """Modalities and number of columns of each part of the representation."""
        parts = dict(self.decomposition.parts)
        names, size = parts["S"]
        return {**parts, "S": (names, size + 1)}

    # ------------------------------------------------------------------------- the loss
    def forward(
        self, views: Sequence[View], original: View | None = None, y: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute the loss of a batch.

        Parameters
        ----------
        views : sequence of View
            Augmentations of whole rows, as many as :attr:`n_views`.
        original : View
            The un-augmented rows, and if the objective :attr:`takes_features`, these under the
            names that :meth:`compute_features` gives them.
        y : Tensor of shape (n_rows, n_targets), optional
            Targets of a supervised decomposition.

        Returns
        -------
        dict of str to Tensor
            The total under "loss" and its detached terms under the names of :attr:`term_names`.
        """
        if original is None:
            raise ValueError("TimedObjective needs the un-augmented view.")
        windows = [self._crop(view) for view in views]
        found = self.decomposition(windows, self._windows(original), y)
        # as many rows as the timing needs: its cost is that of the longer part of a step
        rows = slice(_TIMED_ROWS) if self.training else slice(None)
        timed = self.timing([_some(original, self.names, rows)])
        found["loss"] = found["loss"] + timed["loss"]
        found.update({name: timed[name] for name in self.timing.term_names[1:-1]})
        return {name: found[name] for name in self.term_names}

    def _crop(self, view: View) -> View:
        """The windows in the middle of rows that all have the same length."""
        self.timing.check(view)
        return self.timing.crop(view)

    def _windows(self, view: View) -> View:
        """What the decomposition is given of a view: windows, or their features."""
        if not self.takes_features:
            return self._crop(view)
        values = {name: view.values[_feature_name(name)] for name in self.names}
        return View(values, {k: v for k, v in view.presence.items() if k in self.names})

    # ------------------------------------------------------------------- representation
    def encode(self, view: View) -> dict[str, Tensor]:
        """Parts of the representation that the modalities of a view make.

        Parameters
        ----------
        view : View
            One or both modalities, raw and with margins.

        Returns
        -------
        dict of str to Tensor of shape (n_rows, n_columns)
            Zero in rows in which the modality, or for "S" one of them, is absent.
        """
        found = self.decomposition.encode(self._crop(view))
        if "S" in found:
            delay = (self.timing.event_times(view).delay - self.delay_mean) / self.delay_scale
            rows = rows_with(view, self.names)
            delay = delay if rows is None else torch.where(rows, delay, 0.0)
            found["S"] = torch.cat([found["S"], delay[:, None]], dim=1)
        return found

    # ---------------------------------------------------------------------- preparation
    @property
    def prepared(self) -> bool:
        """Whether the statistics of the fixed features are known."""
        return self.decomposition.prepared

    def prepare(self, view: View) -> None:
        """Learn the statistics of the fixed features from raw training rows.

        Parameters
        ----------
        view : View
            Many rows of both modalities.
        """
        self.decomposition.prepare(self._crop(view))

    @property
    def takes_features(self) -> bool:
        """Whether calls are given fixed features beside raw rows."""
        return self.decomposition.takes_features

    @takes_features.setter
    def takes_features(self, value: bool) -> None:
        self.decomposition.takes_features = value

    def compute_features(self, view: View) -> View:
        """Fixed features of the windows of a raw view, to be given beside it.

        Parameters
        ----------
        view : View
            Raw rows with margins.

        Returns
        -------
        View
            Features under names of their own.
        """
        found = self.decomposition.compute_features(self._crop(view))
        return View({_feature_name(name): x for name, x in found.values.items()})

    @torch.no_grad()
    def settle(self, views: Iterable[View]) -> None:
        """Take statistics of normalisation, scales and zeros from clean rows.

        Parameters
        ----------
        views : iterable of View
            Batches of training rows, as calls are given them. It is gone through several times.
        """
        self.decomposition.settle(_Mapped(views, self._windows))
        was_training = self.training
        self.eval()
        rows = self._calibration_rows(views)
        if rows is not None:
            self.timing.calibrate(rows)
            times = self.timing.event_times(rows)
            self.timing.centre(torch.stack([times.first.mean(), times.second.mean()]))
            delay = self.timing.event_times(rows).delay
            self.delay_mean.copy_(delay.mean())
            self.delay_scale.copy_(delay.std(unbiased=False).clamp(min=1e-6))
        self.train(was_training)

    def _calibration_rows(self, views: Iterable[View]) -> View | None:
        """Some rows that have both modalities."""
        found: list[View] = []
        n_found = 0
        for view in views:
            both = rows_with(view, self.names)
            some = _some(view, self.names, slice(None) if both is None else both)
            n_found += len(some.values[self.names[0]])
            found.append(View(some.values))
            if n_found >= _CALIBRATION_ROWS:
                break
        if n_found < 2:
            return None
        return View({n: torch.cat([part.values[n] for part in found]) for n in self.names})


class _Mapped:
    """A function of each of some things, which can be gone through more than once."""

    def __init__(self, things: Iterable[Any], function: Any) -> None:
        self.things, self.function = things, function

    def __iter__(self) -> Any:
        return map(self.function, self.things)


def _feature_name(name: str) -> str:
    return f"features of {name}"


def _some(view: View, names: Sequence[str], rows: Any) -> View:
    """Some rows of some modalities."""
    return View(*({k: x[rows] for k, x in part.items() if k in names} for part in view))
