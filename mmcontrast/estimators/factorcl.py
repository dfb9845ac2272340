"""FactorCL: shared and unique representations of two modalities."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch
from sklearn.utils._param_validation import Interval, StrOptions

from .._names import did_you_mean
from ..augmentation import ModalityAugmentation, default_augmentation, unique_augmentation
from ..losses import DisentangledObjective, FactorCLObjective
from ..nn import build_pooled_encoder
from ._docs import fill_doc
from ._parts import BaseParts

_PARTS = ("shared1", "shared2", "unique1", "unique2")


@fill_doc
class FactorCL(BaseParts):
    r"""Factorised contrastive learning: shared and unique information of two modalities.

    Ordinary contrastive learning keeps what two modalities share. FactorCL [1]_ learns, for each of
    them, what it shares with the other and what it alone tells, by contrastive lower bounds
    (InfoNCE) of the information to keep and upper bounds (NCE-CLUB) of that to remove. What is
    relevant is what survives augmentation or, supervised, what tells the label.

    Parameters
    ----------
    %(encoders)s
    embed_dim : int, default=128
        Size of the encoders' output.
    head_dim : int or None, default=None
        Size of a head's output; None is `embed_dim`. With the objective of the paper a shared part
        is made of two heads and a unique one of three, else of one each.
    objective : {"paper", "disentangled"}, default="paper"
        "paper" is the objective of [1]_. Its unique parts hold shared information as well and its
        shared parts hold unique information (see Notes). "disentangled", which is
        :class:`~mmcontrast.losses.DisentangledObjective`, is made to keep them apart: without
        labels, on linearly mixed data and with a small `head_dim`, a linear model reads little of
        the one in the other. With labels, or on nonlinearly mixed data, do not count on it.
    independence : float, default=30.0
        Weight, in the "disentangled" objective, of the correlation between each unique part and
        the other modality's shared part.
    temperature : float, default=0.1
        Temperature of the "disentangled" objective.
    critic : {"concat", "separable", "bilinear"} or callable, default="concat"
        Critics of the paper's bounds, see :func:`~mmcontrast.nn.build_critic`. The "disentangled"
        objective has none, nor steps on them.
    critic_dims : sequence of int, default=(512,)
        Hidden layers of the critics.
    supervised : bool, default=False
        Whether labels, instead of augmentations, say what is relevant. Augmentation is then not
        used.
    target_type : {"auto", "classification", "regression"}, default="auto"
        What y is, if supervised. Classes are one-hot; targets of a regression, one or several
        columns, are standardised and given to the critics as they are. "auto" takes strings,
        booleans and whole numbers in one column for classes, all else for a regression.
    factorized : bool, default=True
        False is the ablation OurCL: the paper's objective, but the encoders' outputs as embedding,
        in two parts with the modalities' names, both of which ``transform`` returns.
    parts : sequence of {"shared1", "shared2", "unique1", "unique2"}, default=all four
        Parts that ``transform`` returns, in this order; 1 and 2 are the modalities in the order of
        the input. They are all trained, so others may be chosen after the fit. A choice needs
        ``factorized=True``.
    n_critic_steps : int, default=1
        Steps, on batches of their own, that fit the critics of the upper bounds after each step.
    n_conditional_pairs : int, default=1
        Augmented pairs per row and step, over which the terms with augmentations are averaged. Not
        used if supervised.
    augmentation : str, ModalityAugmentation, callable or None, default="independent"
        "independent" augments each modality on its own, as
        :func:`~mmcontrast.augmentation.default_augmentation` does; "unique" spares the second
        modality what destroys information that it shares with the first, as
        :func:`~mmcontrast.augmentation.unique_augmentation` does. A callable is called as
        ``augmentation(values, generator)`` with a dict of both modalities' batches and a
        torch.Generator, and returns such a dict; it may let one modality's augmentation depend on
        the other. None is no augmentation.
    augmentation_strength : float, default=1.0
        Scales all augmentations; it has to be 1 with a callable.
    %(training)s

    Attributes
    ----------
    %(fitted)s

    See Also
    --------
    CoMM : One embedding of all modalities, which holds their synergy as well.

    Notes
    -----
    Columns of a modality that is absent in a row are NaN.

    In the objective of the paper, the heads of the upper bounds are only told what not to hold:
    some of what the encoder happens to tell remains in them. The conditional lower bound, with the
    condition concatenated on both sides and negatives from the marginal, is one of
    :math:`I(X_1, C; X_2, C)`, which is shared information again, and the bound
    :math:`I(X_1; X_1')` of a unique head covers all that survives augmentation. The "disentangled"
    objective keeps the terms that have something to keep, and makes the unique part of one
    modality uncorrelated with the shared part of the other. Nothing tells its shared parts to leave
    unique information out, but a small `head_dim` leaves less room for it. In the benchmark of the
    parts, on linearly mixed data, ``shared1`` tells its modality's own latents with an R² of .25
    without labels, and of .61 with them. The documentation shows what both objectives reach.

    References
    ----------
    .. [1] P. P. Liang, Z. Deng, M. Q. Ma, J. Zou, L.-P. Morency and R. Salakhutdinov. "Factorized
       contrastive learning: going beyond multi-view redundancy." NeurIPS 2023. Objective:
       equations 94-99; training: algorithm 3.

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast import FactorCL, Modalities
    >>> rng = np.random.default_rng(0)
    >>> X = Modalities(eeg=rng.normal(size=(40, 8, 32)), fnirs=rng.normal(size=(40, 12)))
    >>> factorcl = FactorCL(embed_dim=16, max_epochs=2, random_state=0).fit(X)
    >>> Z = factorcl.transform(X)
    >>> {part: z.shape for part, z in factorcl.split(Z).items()}
    {'shared1': (40, 32), 'shared2': (40, 32), 'unique1': (40, 48), 'unique2': (40, 48)}
    """

    _history_terms = (
        'the terms "nce_shared", "club_shared", "modality_<name>", "club_unique" and\n'
        '    "nce_unique" (those of NCE with their minus) and "critic_loss", or with the other\n'
        '    objective "shared", "modality_<name>" and "independence"'
    )
    _min_modalities = _max_modalities = 2

    _parameter_constraints: dict[str, Any] = {
        **BaseParts._parameter_constraints,
        "head_dim": [Interval(Integral, 1, None, closed="left"), None],
        "critic": [str, callable],
        "critic_dims": ["array-like"],
        "supervised": ["boolean"],
        "target_type": [StrOptions({"auto", "classification", "regression"})],
        "factorized": ["boolean"],
        "parts": ["array-like"],
        "n_critic_steps": [Interval(Integral, 0, None, closed="left")],
        "n_conditional_pairs": [Interval(Integral, 1, None, closed="left")],
        "objective": [StrOptions({"paper", "disentangled"})],
        "independence": [Interval(Real, 0, None, closed="left")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "augmentation": [
            StrOptions({"independent", "unique"}),
            ModalityAugmentation,
            callable,
            None,
        ],
    }

    def __init__(
        self,
        *,
        encoders: Any = "auto",
        converters: Any = "auto",
        embed_dim: int = 128,
        head_dim: int | None = None,
        objective: str = "paper",
        independence: float = 30.0,
        temperature: float = 0.1,
        critic: str | Callable[..., torch.nn.Module] = "concat",
        critic_dims: Sequence[int] = (512,),
        supervised: bool = False,
        target_type: str = "auto",
        factorized: bool = True,
        parts: Sequence[str] = _PARTS,
        n_critic_steps: int = 1,
        n_conditional_pairs: int = 1,
        augmentation: Any = "independent",
        augmentation_strength: float = 1.0,
        modalities: Mapping[str, Any] | None = None,
        max_epochs: int = 100,
        batch_size: int | str = "auto",
        learning_rate: float = 1e-4,
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
        self.encoders = encoders
        self.converters = converters
        self.embed_dim = embed_dim
        self.head_dim = head_dim
        self.objective = objective
        self.independence = independence
        self.temperature = temperature
        self.critic = critic
        self.critic_dims = critic_dims
        self.supervised = supervised
        self.target_type = target_type
        self.factorized = factorized
        self.parts = parts
        self.n_critic_steps = n_critic_steps
        self.n_conditional_pairs = n_conditional_pairs
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

    @property
    def _target_type(self) -> str | None:
        return self.target_type if self.supervised else None

    def _build_objective(self, row_shapes: Mapping[str, tuple[int, ...]]) -> torch.nn.Module:
        _check_parts(self.parts, self.factorized)
        encoder = build_pooled_encoder(
            row_shapes, self.embed_dim, encoders=self.encoders, converters=self.converters
        )
        coding = self._target_coding
        sizes = {
            "n_classes": None if coding is None or coding.classes is None else len(coding.classes),
            "n_targets": None if coding is None or coding.mean is None else len(coding.mean),
            "head_dim": self.head_dim,
        }
        if self.objective == "paper":
            return FactorCLObjective(
                encoder,
                **sizes,
                critic=self.critic,
                critic_dims=tuple(self.critic_dims),
                n_conditional_pairs=self.n_conditional_pairs,
                n_critic_steps=self.n_critic_steps,
                factorized=self.factorized,
            )
        if not self.factorized:
            raise ValueError(
                'factorized=False is an ablation of objective="paper"; the "disentangled" '
                "objective is made for its parts."
            )
        return DisentangledObjective(
            encoder,
            **sizes,
            n_views=self.n_conditional_pairs,
            independence=float(self.independence),
            temperature=self.temperature,
        )

    def _chosen_parts(self, parts: Mapping[str, Any]) -> Sequence[str]:
        factorized = set(parts) == set(_PARTS)
        _check_parts(self.parts, factorized)
        return tuple(self.parts if factorized else parts)

    def _named_augmentation(self, name: str) -> ModalityAugmentation:
        build = {"independent": default_augmentation, "unique": unique_augmentation}
        return build[name](self.modalities_)


def _check_parts(parts: Sequence[str], factorized: bool) -> None:
    if isinstance(parts, str) or not isinstance(parts, Iterable):
        raise TypeError(
            f"parts={parts!r} is a {type(parts).__name__}; expected a sequence of names of parts, "
            f"such as {_PARTS[2:]!r}."
        )
    for part in parts:
        if part not in _PARTS:
            raise ValueError(
                f"parts holds {part!r}; choose from {', '.join(map(repr, _PARTS))}."
                + did_you_mean(part, _PARTS)
            )
    if not len(parts) or len(set(parts)) < len(parts):
        raise ValueError(
            f"parts={tuple(parts)!r} has to hold one or more of {', '.join(map(repr, _PARTS))}, "
            "each once."
        )
    if not factorized and tuple(parts) != _PARTS:
        raise ValueError(
            f"parts={tuple(parts)!r} needs factorized=True: with factorized=False the parts are "
            "the encoders' outputs, which transform returns both. Leave parts at its default."
        )
