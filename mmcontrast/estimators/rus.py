"""R/U/S decomposition: redundant, unique and synergistic parts of two modalities."""

import math
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.covariance import LedoitWolf
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback

from ..augmentation import ModalityAugmentation
from ..losses import BalancedObjective, HybridObjective, TimedObjective, TimingObjective
from ..modalities import Modalities
from ..nn.multimodal import View
from ..training import Augmenter, ModalityDataset
from ._docs import fill_doc
from ._parts import BaseParts
from ._rus_checks import check_parts, check_targets, columns_of, part_names, warn_of_few
from ._values import check_not_flat
from .coupling_delay import has_recrop, sampling_rates

_AUTO_STEPS = 750
_FEW_STEPS = 250
# rows below which the steps of "auto" are fewer: more of them fit noise
_MANY_ROWS = 2000
_PREPARED_ROWS = 8192
_CHUNK = 256
_OF_FEW = (
    "the parts are hardly told apart: in simulations with 600 trials the right part held less than "
    'two thirds of what can be read, with 300 half; see the user guide, "Redundant, unique and '
    'synergistic parts". Collect more trials, pool subjects, or use a smaller code_dim.'
)
_DEFAULTS = {
    "hybrid": {"r": 1.0, "u": 1.0, "s": 1.0, "orth": 1.0},
    "balanced": {"r": 10.0, "u": 10.0, "s": 1.0, "orth": 2.5},
}


@fill_doc
class RUSDecomposer(BaseParts):
    r"""Redundant, unique and synergistic parts of two modalities, such as EEG and fNIRS.

    With modalities "eeg" and "fnirs" the parts are "R_eeg" and "R_fnirs", what both tell as each
    of them tells it; "U_eeg" and "U_fnirs", what only one tells; and "S", what only both together
    tell.

    Parameters
    ----------
    objective : {"balanced", "hybrid"}, default="balanced"
        "balanced" is :class:`~mmcontrast.losses.BalancedObjective`, whose parts hold little of
        each other; "hybrid" is :class:`~mmcontrast.losses.HybridObjective`, the obvious losses
        taken literally, for comparison.
    %(encoders)s
        Here "auto" reads fixed features: for sequences
        :class:`~mmcontrast.nn.SpectralFeatures`, the evoked time course and log power, and the
        log power of mixtures of channels in which bursts stand out [4]_, through
        :class:`~mmcontrast.nn.PooledConvEncoder`; vectors are standardised and read by an MLP.
        Input in volts needs no scaling then.
    embed_dim : int, default=96
        Size of the encoders' output.
    code_dim : int, default=16
        Columns of each redundant and unique part.
    synergy_dim : int, default=16
        Whitened projections of each unique part, `code_dim` at most, whose products make S:
        ``synergy_dim ** 2`` columns.
    fusion : {"auto", "product", "mlp", "both"}, default="auto"
        What S is made of: products of unique codes, an MLP of both embeddings with `code_dim`
        columns, or both. "auto" is "product", if supervised "both"; the hybrid objective has
        "mlp" alone.
    discrepancy_dim : int or None, default=None
        Further columns of S: by how much the two modalities differ in what they share, in so many
        of its canonical variates (first what is shared best, such as the time of an event). None:
        1, and 0 with `timing`, which tells a delay better. Not with the hybrid objective.
    timing : bool, default=False
        Whether to learn event times as :class:`CouplingDelay` does, beside all else, and add the
        delay of the second modality against the first as the last column of S. It needs sequences
        (n_channels, n_times) with a margin, and `sfreq` and `margin`.
    sfreq : float, pair of float or mapping of str to float, default=None
        Sampling rates in Hz: one for both modalities, one for each in their order, or by name.
        Only used with `timing`.
    margin : float or None, default=None
        Seconds at the beginning and at the end of each row by which the windows that are
        decomposed are shorter. Only used with `timing`, which moves windows by as much.
    lambda_r, lambda_u, lambda_s, lambda_orth : float or None, default=None
        Weights of redundancy, of what makes the unique parts, of synergy and of orthogonality or
        independence. None: 10, 10, 1, 2.5 for "balanced", 1 for "hybrid".
    unique_removal : {"adversarial", "similarity", "reconstruction"}, default="adversarial"
        How the hybrid objective takes the other modality out of the unique parts; with
        "reconstruction" it does not.
    noise : float, default=0.05
        Spread in each column of the noise on unique codes in training, relative to their norm.
    temperature : float, default=0.1
        Temperature of the contrastive terms.
    parts : sequence of str or None, default=None
        Parts that ``transform`` returns, in this order. None: all, as they are named above. They
        are all trained, so others may be chosen after the fit.
    supervised : bool, default=False
        Whether labels say what belongs into which part: what the same networks reach with labels.
        Only with "balanced".
    targets : dict of str to list or None, default=None
        If supervised, for "R", "U_<name>" and "S" the columns of y, by number or name, that the
        part is to tell by a linear map; y is an array or a DataFrame of numbers (0 and 1 for two
        classes), whose columns are standardised and told by least squares.
    augmentation : "auto", ModalityAugmentation, callable or None, default="auto"
        "auto" adds noise to the fixed features and drops some of their channels; they are then
        computed only once. With anything else, raw rows are augmented and features are computed
        in every step. It must not shorten rows, as :class:`~mmcontrast.augmentation.Recrop` does.
    augmentation_strength : float, default=1.0
        Scales all augmentations: 0 is the identity.
    %(training)s

    Attributes
    ----------
    %(fitted)s
    delay_scale_ : float
        With `timing`, seconds of delay that are 1 in the last column of S.

    See Also
    --------
    CouplingDelay : Event times and the delay in seconds, with its uncertainty.
    FactorCL : Shared and unique parts, without synergy.
    CoMM : One embedding that holds all of them.

    Notes
    -----
    Columns of a part are NaN in rows in which one of its modalities is absent; S needs both.

    The codes are not normalised. A redundant column has the mean 0 and a variance that tells how
    strongly it is shared, a unique one the variance 1. The norm of a part of a row, which
    :meth:`norms` returns, is the distance from the average training row, or from the mean of given
    reference rows, such as rest.

    S is not identifiable without a task: it holds the products of all that is unique to one
    modality with all that is unique to the other, whether or not a product matters to anybody. The
    `discrepancy_dim` columns after them are the differences between the modalities in what they
    share: if that is the time of an event, the delay of one against the other.

    With `timing`, the last column of S is a delay that is learned from moving windows. It is
    standardised over the training rows; times `delay_scale_` it is in seconds after their mean
    delay. R_a and R_b hold the two event times themselves, and so tell the delay together, though
    neither does alone. Everything else is made from the windows in the middle, which are `margin`
    shorter on both sides.

    The user guide, :doc:`/guide/rus`, says how much of what is known about simulated trials is
    found in which part, by number of trials, and what is still mixed.

    References
    ----------
    .. [1] P. P. Liang et al. "Factorized contrastive learning: going beyond multi-view
       redundancy." NeurIPS 2023.
    .. [2] B. Dufumier et al. "What to align in multimodal contrastive learning?" ICLR 2025.
    .. [3] L. Wang et al. "An efficient approach to informative feature extraction from multimodal
       data." AAAI 2019.
    .. [4] A. de Cheveigné and L. C. Parra. "Joint decorrelation, a versatile tool for multichannel
       data analysis." NeuroImage 98, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast import Modalities, RUSDecomposer
    >>> rng = np.random.default_rng(0)
    >>> X = Modalities(eeg=rng.normal(size=(60, 4, 64)), fnirs=rng.normal(size=(60, 6)))
    >>> rus = RUSDecomposer(code_dim=4, synergy_dim=3, max_epochs=2, random_state=0).fit(X)
    >>> {part: z.shape for part, z in rus.split(rus.transform(X)).items()}
    {'R_eeg': (60, 4), 'R_fnirs': (60, 4), 'U_eeg': (60, 4), 'U_fnirs': (60, 4), 'S': (60, 10)}
    """

    _history_terms = (
        'the terms "redundancy", "reconstruction_<name>", "independence" and "synergy", with the\n'
        '    hybrid objective "removal_<name>" and "orthogonality" instead of "independence", if\n'
        '    supervised "targets_<part>" and "independence"; with `timing` "agreement" and\n'
        '    "equivariance" as well'
    )
    _min_modalities = _max_modalities = 2
    _auto_batch_size = 160
    _auto_epochs_doc = (
        f'"auto" is as many as make {_AUTO_STEPS} steps, or {_FEW_STEPS} with fewer than '
        f"{_MANY_ROWS} rows."
    )

    _parameter_constraints: dict[str, Any] = {
        **BaseParts._parameter_constraints,
        "objective": [StrOptions({"balanced", "hybrid"})],
        "code_dim": [Interval(Integral, 2, None, closed="left")],
        "synergy_dim": [Interval(Integral, 1, None, closed="left")],
        "discrepancy_dim": [Interval(Integral, 0, None, closed="left"), None],
        "timing": ["boolean"],
        "sfreq": [Interval(Real, 0, None, closed="neither"), Mapping, "array-like", None],
        "margin": [Interval(Real, 0, None, closed="left"), None],
        "fusion": [StrOptions({"auto", "product", "mlp", "both"})],
        **{
            f"lambda_{name}": [Interval(Real, 0, None, closed="left"), None]
            for name in ("r", "u", "s", "orth")
        },
        "unique_removal": [StrOptions({"adversarial", "similarity", "reconstruction"})],
        "noise": [Interval(Real, 0, None, closed="left")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "parts": ["array-like", None],
        "supervised": ["boolean"],
        "targets": [Mapping, None],
        "augmentation": [StrOptions({"auto"}), ModalityAugmentation, callable, None],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    }

    def __init__(
        self,
        *,
        objective: str = "balanced",
        encoders: Any = "auto",
        converters: Any = "auto",
        embed_dim: int = 96,
        code_dim: int = 16,
        synergy_dim: int = 16,
        fusion: str = "auto",
        discrepancy_dim: int | None = None,
        timing: bool = False,
        sfreq: Any = None,
        margin: float | None = None,
        lambda_r: float | None = None,
        lambda_u: float | None = None,
        lambda_s: float | None = None,
        lambda_orth: float | None = None,
        unique_removal: str = "adversarial",
        noise: float = 0.05,
        temperature: float = 0.1,
        parts: Sequence[str] | None = None,
        supervised: bool = False,
        targets: Mapping[str, Sequence[Any]] | None = None,
        augmentation: Any = "auto",
        augmentation_strength: float = 1.0,
        modalities: Mapping[str, Any] | None = None,
        max_epochs: int | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-2,
        schedule: str = "cosine",
        warmup_epochs: float = 1,
        gradient_clip: float | None = None,
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
        self.objective = objective
        self.encoders = encoders
        self.converters = converters
        self.embed_dim = embed_dim
        self.code_dim = code_dim
        self.synergy_dim = synergy_dim
        self.fusion = fusion
        self.discrepancy_dim = discrepancy_dim
        self.timing = timing
        self.sfreq = sfreq
        self.margin = margin
        self.lambda_r = lambda_r
        self.lambda_u = lambda_u
        self.lambda_s = lambda_s
        self.lambda_orth = lambda_orth
        self.unique_removal = unique_removal
        self.noise = noise
        self.temperature = temperature
        self.parts = parts
        self.supervised = supervised
        self.targets = targets
        self.augmentation = augmentation
        self.augmentation_strength = augmentation_strength
        self.modalities = modalities
        self.max_epochs = max_epochs  # type: ignore[assignment]
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

    # ------------------------------------------------------------------------------ fit
    @property
    def _target_type(self) -> str | None:
        return "regression" if self.supervised else None

    @property
    def _corrupts_features(self) -> bool:
        return isinstance(self.augmentation, str)

    def _check_rows(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        if reset and self.supervised and y is not None and np.asarray(y).shape[:1] == (1,):
            raise ValueError(
                "RUSDecomposer contrasts rows with each other and needs at least 2 samples; found "
                "n_samples = 1."
            )
        names = getattr(y, "columns", None)
        X, coded = super()._check_rows(X, y, reset=reset)
        if reset:
            check_not_flat(X)
        if reset and self.supervised:
            check_targets(self.targets, self.objective, list(self.modalities_))
            known = None if names is None else list(names)
            self._target_columns = columns_of(self.targets, known, coded.shape[1])
        return X, coded

    def _build_objective(self, row_shapes: Mapping[str, tuple[int, ...]]) -> torch.nn.Module:
        check_parts(self.parts, part_names(list(row_shapes)))
        if not self.timing:
            return self._build_decomposition(row_shapes)
        timing = self._build_timing(row_shapes)
        windows = {
            name: (shape[0], timing.crops[name].n_times) for name, shape in row_shapes.items()
        }
        return TimedObjective(self._build_decomposition(windows), timing)

    def _build_timing(self, row_shapes: Mapping[str, tuple[int, ...]]) -> TimingObjective:
        if self.margin is None:
            raise ValueError(
                "timing=True moves windows about and needs to know by how much: pass margin= in "
                "seconds, which the rows of both modalities have to reach farther on both sides "
                "than the windows that are to be decomposed."
            )
        sfreq = sampling_rates(self.sfreq, list(row_shapes), type(self).__name__)
        return TimingObjective(row_shapes, sfreq, float(self.margin))

    def _build_decomposition(
        self, row_shapes: Mapping[str, tuple[int, ...]]
    ) -> BalancedObjective | HybridObjective:
        weights = {
            f"lambda_{key}": default if (own := getattr(self, f"lambda_{key}")) is None else own
            for key, default in _DEFAULTS[self.objective].items()
        }
        strength = float(self.augmentation_strength) if self._corrupts_features else 0.0
        options = {
            "encoders": self.encoders,
            "converters": self.converters,
            "embed_dim": self.embed_dim,
            "code_dim": self.code_dim,
            "temperature": self.temperature,
            "augmented": not self._corrupts_features,
            "feature_noise": 0.3 * strength,
            "feature_dropout": min(0.1 * strength, 0.9),
            **weights,
        }
        if self.objective == "hybrid":
            if self.fusion not in ("auto", "mlp"):
                raise ValueError(
                    f'fusion={self.fusion!r} is for objective="balanced"; the hybrid objective has '
                    '"mlp".'
                )
            if self.discrepancy_dim:
                raise ValueError(
                    f'discrepancy_dim={self.discrepancy_dim} is for objective="balanced"; leave it '
                    "None with the hybrid objective."
                )
            return HybridObjective(row_shapes, unique_removal=self.unique_removal, **options)
        fusion = self.fusion
        if fusion == "auto":
            fusion = "both" if self.supervised else "product"
        sizes = {part: len(columns) for part, columns in (self.targets or {}).items()}
        objective = BalancedObjective(
            row_shapes,
            synergy_dim=self.synergy_dim,
            fusion=fusion,
            discrepancy_dim=self._discrepancy_dim,
            noise=float(self.noise),
            n_targets=sizes if self.supervised else None,
            **options,
        )
        if self.supervised and hasattr(self, "_target_columns"):
            objective.target_columns.copy_(torch.tensor(self._target_columns))
        return objective

    def _make_augment(self) -> Augmenter:
        if has_recrop(self.augmentation):
            raise ValueError(
                f"{type(self).__name__} learns from rows of the length that transform gets: leave "
                "Recrop, which shortens them in training alone, out of the augmentation. To learn "
                "from windows at random offsets, set timing=True with margin= and sfreq=."
            )
        return super()._make_augment()

    @property
    def _discrepancy_dim(self) -> int:
        if self.discrepancy_dim is None:  # a delay in seconds is told better by the timing
            return 0 if self.timing else 1
        return self.discrepancy_dim

    def _fit(
        self, rows: Any, groups: Any, held_out: Any, n_epochs: Any, *, fresh: bool, resumable: bool
    ) -> None:
        if n_epochs == "auto":
            n_epochs = self._auto_epochs(rows[0])
        super()._fit(rows, groups, held_out, n_epochs, fresh=fresh, resumable=resumable)

    def _auto_epochs(self, X: Any) -> int:
        n_rows = len(X) if hasattr(X, "__len__") else 0
        if self.validation_fraction:
            n_rows = int(n_rows * (1 - self.validation_fraction))
        size = self._auto_batch_size if isinstance(self.batch_size, str) else self.batch_size
        steps = _AUTO_STEPS if n_rows >= _MANY_ROWS else _FEW_STEPS
        return math.ceil(steps / max(1, n_rows // max(1, min(size, n_rows or 1))))

    def _dataset(self, X: Modalities, y: np.ndarray | None) -> ModalityDataset:
        """Rows as the objective is given them: their features, if these stay the same."""
        objective: Any = self.net_.module_
        dataset = super()._dataset(X, y)
        if not objective.prepared:
            warn_of_few(type(self).__name__, X, _OF_FEW)
            sample = super()._dataset(X[_rows_of_each(X, _PREPARED_ROWS)], None)
            objective.prepare(sample.read(0, len(sample)))
        objective.takes_features = self._corrupts_features and not dataset.streaming
        if not objective.takes_features:
            return dataset
        features: dict[str, list[np.ndarray]] = {}
        with torch.inference_mode():
            for start in range(0, len(X), _CHUNK):
                view = objective.compute_features(dataset.read(start, start + _CHUNK))
                for name, x in view.values.items():
                    features.setdefault(name, []).append(x.cpu().numpy())
        values: dict[str, Any] = {name: np.concatenate(x) for name, x in features.items()}
        if self.timing:  # which moves windows about, beside features of those in the middle
            values |= dict(X.items())
        presence = {name: X.presence(name) for name in X.names}
        return super()._dataset(Modalities(values, presence=presence), y)

    def _set_callbacks(self, *args: Any, **kwargs: Any) -> Any:
        keeper = super()._set_callbacks(*args, **kwargs)
        # after those that go back to earlier weights
        self.net_.callbacks.append(_Settle())
        self.net_.initialize_callbacks()
        return keeper

    @property
    def delay_scale_(self) -> float:
        """Seconds of delay that are 1 in the last column of S."""
        if not (hasattr(self, "net_") and isinstance(self.net_.module_, TimedObjective)):
            raise AttributeError("delay_scale_ is that of a fit with timing=True.")
        return float(self.net_.module_.delay_scale)

    # ------------------------------------------------------------------------ embedding
    def _chosen_parts(self, parts: Mapping[str, Any]) -> Sequence[str]:
        check_parts(self.parts, tuple(parts))
        return tuple(parts) if self.parts is None else tuple(self.parts)

    def norms(
        self, Z: Any, reference: Any = None, *, whiten: bool = False
    ) -> dict[str, np.ndarray]:
        """Norm of each part of an embedding: how far a row is from the average, or from rest.

        Parameters
        ----------
        Z : array of shape (n_samples, n_features_out)
            What :meth:`transform` returned.
        reference : array of shape (n_reference, n_features_out) or None, default=None
            Embedding of reference rows, for example trials without a task; distances are from
            their mean. None: from the mean of the training rows, which is near 0.
        whiten : bool, default=False
            Whether distances are in units of the spread of the reference rows, in each direction:
            Mahalanobis distances, with :class:`sklearn.covariance.LedoitWolf`. A part that varies
            widely at rest then has to move far to count.

        Returns
        -------
        dict of str to ndarray of shape (n_samples,)
            In the order of the parts; NaN where a modality is absent.

        Raises
        ------
        ValueError
            If `whiten` has no reference rows, or fewer than two with all modalities of a part.
        """
        check_is_fitted(self)
        parts = self.split(Z)
        if reference is None:
            if whiten:
                raise ValueError(
                    "whiten=True measures distances in units of the spread of reference rows; pass "
                    "their embedding as reference."
                )
            return {part: np.linalg.norm(z, axis=1) for part, z in parts.items()}
        return {
            part: _distances(parts[part], rest, part, whiten)
            for part, rest in self.split(reference).items()
        }


def _distances(z: np.ndarray, reference: np.ndarray, part: str, whiten: bool) -> np.ndarray:
    """Distance of rows from the mean of reference rows; NaN for rows that are NaN."""
    reference = reference[~np.isnan(reference).any(axis=1)]
    if len(reference) < 1 + whiten:
        raise ValueError(
            f"{len(reference)} reference rows have a part {part!r}; expected {1 + whiten} or more."
        )
    if not whiten:
        return np.linalg.norm(z - reference.mean(axis=0), axis=1)
    there = ~np.isnan(z).any(axis=1)
    found = np.full(len(z), np.nan)
    found[there] = np.sqrt(LedoitWolf().fit(reference).mahalanobis(z[there]))
    return found


def _rows_of_each(X: Modalities, most: int) -> np.ndarray:
    """Rows from the first to the last that have a modality, `most` of each modality at most."""
    there = [np.flatnonzero(X.presence(name)) for name in X.names]
    chosen = [rows[:: math.ceil(len(rows) / most)] for rows in there if len(rows)]
    return np.unique(np.concatenate(chosen))


class _Settle(Callback):
    """Ends a training with statistics of normalisation that are of clean rows."""

    def on_train_end(self, net: Any, X: Any = None, **kwargs: Any) -> None:
        """Go through the training rows once more."""
        net.module_.settle(_Views(net, X))


class _Views:
    """Batches of a data set without targets, which can be gone through more than once."""

    def __init__(self, net: Any, dataset: ModalityDataset) -> None:
        self.net, self.dataset = net, dataset

    def __iter__(self) -> Iterator[View]:
        return (view for view, _ in self.net.get_iterator(self.dataset))
