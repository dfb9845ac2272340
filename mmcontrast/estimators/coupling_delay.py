"""CouplingDelay: when events happen in two modalities, and how long one follows the other."""

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.utils._param_validation import Interval

from ..augmentation import ModalityAugmentation, Recrop
from ..augmentation._neuro_checks import sampling_rate
from ..losses.timing import TimingObjective
from ..modalities import Modalities
from ..nn import View
from ..training import Augmenter
from ._base import BaseContrastive, _Rows
from ._docs import fill_doc
from ._inputs import check_input
from ._rus_checks import warn_of_few
from ._values import check_not_flat

_CALIBRATION_ROWS = 2000
_OF_FEW = "the uncertainty of every delay is large. Collect more trials, or pool subjects."


@fill_doc
class CouplingDelay(BaseContrastive):
    r"""Times of events in two modalities and the delay between them, learned without labels.

    Neural activity and the haemodynamic response that follows it happen at times that differ from
    trial to trial, and so does the delay between them: neurovascular coupling. No modality alone
    tells the delay, and neither does a contrast of whole trials. A network per modality learns to
    tell a time instead: from trials with a margin, windows are cut at random known offsets, a
    different one for each modality, and the time has to move with the window and to agree with
    the time that the other modality's network tells, more than with that of other trials. The
    delay is the difference of the two times. The time of the first modality is refined by that of
    the second: of several candidates, the one that the response belongs to counts.

    Parameters
    ----------
    sfreq : float, pair of float or mapping of str to float, default=None
        Sampling rates in Hz: one for both modalities, one for each in their order, or by name. It
        has to be given.
    margin : float, default=1.0
        Seconds at the beginning and at the end of each row that windows can move by, in both
        modalities. Rows have to reach so much farther than the window that holds the event.
    hidden_dim : int, default=24
        Filters of each layer of the networks.
    resolution : float, default=0.05
        Steps between the times that a network weighs, in seconds, as far as the sampling rate
        allows.
    n_crops : int, default=3
        Windows per row over which `transform` averages.
    equivariance : float, default=1.0
        Weight of the term by which times move with the window.
    augmentation : ModalityAugmentation, callable or None, default=None
        Applied to whole rows before windows are cut. It must not change when something happens.
    augmentation_strength : float, default=1.0
        Scales all augmentations.
    %(training)s

    Attributes
    ----------
    %(fitted)s

    Raises
    ------
    ValueError
        In `fit`, if there are other than two sequences (n_channels, n_times), a sampling rate is
        missing, there is no margin or it leaves nothing of the rows, or every channel of one is
        flat; the message names the modality. Or if the augmentation has a
        :class:`~mmcontrast.augmentation.Recrop`.

    Warns
    -----
    UserWarning
        In `fit`, if there are fewer than 50 rows.

    See Also
    --------
    mmcontrast.losses.TimingObjective : The networks and their loss.
    mmcontrast.augmentation.Recrop : Windows at random offsets for other purposes.

    Notes
    -----
    ``transform`` returns four columns, in seconds: the time in the first modality, the time in the
    second, the delay and its uncertainty, the standard deviation that the networks give it, which
    ranks trials rather than being calibrated. A column that needs an absent modality is NaN. The
    delay is the second time minus the first one, but for their scales, which `fit` sets for each
    of the three: when windows move by known seconds, each changes by as many on average.

    *The zero of each time is the mean over the rows of fit.* Shifts of windows say how times
    differ, but a constant shift of all times of a modality, like that of its clock or the five
    seconds to the peak of a haemodynamic response, changes nothing that could be seen: the delay
    is known up to its mean. Add a known mean delay to get absolute ones.

    Both modalities' windows, without margins, have to hold what follows an event. The clearer of
    two modalities best comes second, as it says where to look in the first: fNIRS after EEG.

    On :func:`~mmcontrast.datasets.make_neurovascular` with a margin of 1 s, tested on 2 000 trials
    of other subjects (``benchmarks/coupling_delay.py``, three random states), the root mean squared
    error of the delay about its mean is 0.12 s after 5 epochs with 6 000 trials (R² .82, slope
    .97), 0.14 s after 10 with 2 000 (R² .75, slope .98) and 0.24 s after 30 with 600 (R² .34, slope
    .92). No other factor explains more than 2 % of it, and the error of the most certain tenth of
    the trials is about half of that of the least certain one.

    Plain 2-D input is two sequences of one channel, by default the halves of the columns.

    References
    ----------
    .. [1] A. van den Oord, Y. Li and O. Vinyals. "Representation learning with contrastive
       predictive coding." arXiv 1807.03748 (2018), equation 4, on InfoNCE.

    Examples
    --------
    Bumps in noise, of which the second modality's comes up to a second after the first one's:

    >>> import numpy as np
    >>> from mmcontrast import CouplingDelay, Modalities
    >>> rng = np.random.default_rng(0)
    >>> event, delay = rng.uniform(-1, 1, 300), rng.uniform(0, 1, 300)
    >>> t = np.arange(-4, 4, 0.1)
    >>> bumps = [np.exp(-(((t - when[:, None]) / 0.3) ** 2)) for when in (event, event + delay)]
    >>> X = Modalities(
    ...     eeg=bumps[0][:, None] + 0.1 * rng.normal(size=(300, 2, 80)),
    ...     fnirs=bumps[1][:, None] + 0.1 * rng.normal(size=(300, 2, 80)),
    ... )
    >>> timing = CouplingDelay(sfreq=10, margin=1, max_epochs=8, random_state=0).fit(X)
    >>> timing.get_feature_names_out().tolist()
    ['couplingdelay_t_eeg', 'couplingdelay_t_fnirs', 'couplingdelay_delay',
     'couplingdelay_uncertainty']
    >>> Z = timing.transform(X)
    >>> bool(np.corrcoef(Z[:, 2], delay)[0, 1] > 0.9)
    True
    """

    _min_modalities = 2
    _max_modalities = 2
    _history_terms = 'the terms "agreement" and "equivariance"'

    _parameter_constraints: dict[str, Any] = {
        **BaseContrastive._parameter_constraints,
        "sfreq": [Interval(Real, 0, None, closed="neither"), Mapping, "array-like", None],
        "margin": [Interval(Real, 0, None, closed="left")],
        "hidden_dim": [Interval(Integral, 1, None, closed="left")],
        "resolution": [Interval(Real, 0, None, closed="neither")],
        "n_crops": [Interval(Integral, 1, None, closed="left")],
        "equivariance": [Interval(Real, 0, None, closed="left")],
        "augmentation": [ModalityAugmentation, callable, None],
    }

    def __init__(
        self,
        sfreq: Any = None,
        *,
        margin: float = 1.0,
        hidden_dim: int = 24,
        resolution: float = 0.05,
        n_crops: int = 3,
        equivariance: float = 1.0,
        augmentation: Any = None,
        augmentation_strength: float = 1.0,
        modalities: Mapping[str, Any] | None = None,
        max_epochs: int = 20,
        batch_size: int | str = "auto",
        learning_rate: float = 4e-3,
        weight_decay: float = 1e-2,
        schedule: str = "cosine",
        warmup_epochs: float = 1,
        gradient_clip: float | None = 5.0,
        validation_fraction: float | None = None,
        early_stopping: bool = False,
        patience: int = 10,
        device: str | torch.device = "auto",
        precision: str = "float32",
        compile: bool = False,
        streaming: bool | str = "auto",
        checkpoint: str | Path | None = None,
        callbacks: Sequence[Any] | None = None,
        warm_start: bool = False,
        progress_bar: bool = False,
        random_state: Any = None,
    ) -> None:
        self.sfreq = sfreq
        self.margin = margin
        self.hidden_dim = hidden_dim
        self.resolution = resolution
        self.n_crops = n_crops
        self.equivariance = equivariance
        self.augmentation = augmentation
        self.augmentation_strength = augmentation_strength
        self.modalities = modalities
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.warmup_epochs = warmup_epochs
        self.gradient_clip = gradient_clip
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.patience = patience
        self.device = device
        self.precision = precision
        self.compile = compile
        self.streaming = streaming
        self.checkpoint = checkpoint
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.progress_bar = progress_bar
        self.random_state = random_state

    def _check_rows(self, X: Any, y: Any, *, reset: bool) -> _Rows:
        X, y = super()._check_rows(X, y, reset=reset)
        if reset:
            check_not_flat(X)
            warn_of_few(type(self).__name__, X, _OF_FEW)
        return X, y

    def _build_objective(self, row_shapes: Mapping[str, tuple[int, ...]]) -> TimingObjective:
        shapes = dict(row_shapes)
        if self._fitted_on_plain:  # a row of a plain array is a sequence of one channel
            shapes = {k: (1, *shape) if len(shape) == 1 else shape for k, shape in shapes.items()}
        for name, shape in shapes.items():
            if shape[-1] < 2:
                raise ValueError(
                    f"modality {name!r}: a sequence has time steps as columns, but found array "
                    f"with {shape[-1]} feature(s) while a minimum of 2 is required: a window and "
                    "its margin."
                )
        objective = TimingObjective(
            shapes,
            sampling_rates(self.sfreq, list(shapes), type(self).__name__),
            self.margin,
            hidden_dim=self.hidden_dim,
            resolution=self.resolution,
            n_crops=self.n_crops,
            equivariance=float(self.equivariance),
        )
        if not self._fitted_on_plain:
            self._check_times(objective)
        return objective

    def _check_times(self, objective: TimingObjective) -> None:
        """Refuse windows in which there is nothing to tell: one time is all there is."""
        for name, network in zip(objective.names, objective.networks, strict=True):
            if len(network.get_buffer("times")) < 2:
                crops = objective.crops[name]
                raise ValueError(
                    f"modality {name!r}: without a margin of {self.margin:g} s on both sides its "
                    f"rows have {crops.n_times} step(s), {crops.n_times / crops.sfreq:g} s; with "
                    f"resolution={self.resolution:g} s there is a single time to tell. Cut longer "
                    "epochs, or lower margin or resolution."
                )

    def _make_augment(self) -> Augmenter:
        if has_recrop(self.augmentation):
            raise ValueError(
                f"{type(self).__name__} cuts windows at random offsets itself, out of rows with "
                "their margins: leave Recrop out of the augmentation and set margin=."
            )
        return super()._make_augment()

    def _fit(
        self,
        rows: _Rows,
        groups: Any,
        held_out: _Rows,
        n_epochs: int,
        *,
        fresh: bool,
        resumable: bool,
    ) -> None:
        super()._fit(rows, groups, held_out, n_epochs, fresh=fresh, resumable=resumable)
        X = check_input(self, rows[0], reset=False)
        some = np.unique(np.linspace(0, len(X) - 1, _CALIBRATION_ROWS).astype(int))
        module = self.net_.module_
        module.calibrate(self._dataset(X[some], None).read(0, len(some)))
        module.centre(torch.from_numpy(np.nanmean(self._embed(X)[:, :2], axis=0)))

    def _warn_of_silent_modalities(self, X: Modalities) -> None:
        """Each modality has a column of its own, and no weight against the other."""

    @property
    def _n_features_out(self) -> int:
        return 4

    def _encode(self, module: TimingObjective, view: View) -> torch.Tensor:
        return module.encode(view)

    def _mark_absent(self, embedded: np.ndarray, X: Modalities) -> None:
        for column, name in enumerate(self.modalities_):
            absent = ~X.presence(name) if name in X.names else np.ones(len(X), dtype=bool)
            embedded[absent, column] = np.nan
            embedded[absent, 2:] = np.nan

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns of ``transform``: the times of both modalities, delay, uncertainty.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Only validated against the names or number of columns of a plain array in fit.

        Returns
        -------
        ndarray of str
        """
        super().get_feature_names_out(input_features)
        columns = [*(f"t_{name}" for name in self.modalities_), "delay", "uncertainty"]
        return np.array([f"couplingdelay_{column}" for column in columns], dtype=object)


def has_recrop(augmentation: Any) -> bool:
    """Whether an augmentation cuts windows at random offsets, on its own or as the joint one."""
    return isinstance(getattr(augmentation, "joint", augmentation), Recrop)


def sampling_rates(sfreq: Any, names: Sequence[str], owner: str) -> dict[str, float]:
    """Sampling rate of each modality from one for all, one for each in order, or by name.

    Parameters
    ----------
    sfreq : float, sequence of float, mapping of str to float, or None
        In Hz.
    names : sequence of str
        The modalities.
    owner : str
        Who asks, for messages.

    Returns
    -------
    dict of str to float
    """
    if not isinstance(sfreq, (Mapping, Real, type(None))):
        values = np.asarray(sfreq, dtype=object).ravel().tolist()
        if len(values) != len(names):
            raise ValueError(
                f"sfreq={sfreq!r} holds {len(values)} sampling rate(s); the modalities are "
                f"{', '.join(map(repr, names))}."
            )
        sfreq = dict(zip(names, values, strict=True))
    return {name: sampling_rate(sfreq, name, owner) for name in names}
