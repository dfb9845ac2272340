"""Baselines that contrast between modalities and within each of them, as SLIP does it."""

from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from sklearn.utils._param_validation import Interval

from ..losses import CrossModalObjective
from ._baseline import BaseBaseline, fill_baseline_doc


class _BaseCrossSelf(BaseBaseline):
    _min_modalities = 2
    _max_modalities = 2
    _history_terms = 'the terms "cross_<name>_<name>" and "self_<name>"'
    _factorized = False

    _parameter_constraints: dict[str, Any] = {
        **BaseBaseline._parameter_constraints,
        "self_weight": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        encoders: Any = "auto",
        converters: Any = "auto",
        embed_dim: int = 64,
        projection_dims: Sequence[int] = (512, 512, 256),
        temperature: float = 0.1,
        self_weight: float = 1.0,
        augmentation: Any = "auto",
        augmentation_strength: float = 1.0,
        modalities: Mapping[str, Any] | None = None,
        max_epochs: int = 100,
        batch_size: int | str = "auto",
        learning_rate: float = 1e-3,
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
        super().__init__(
            encoders=encoders,
            converters=converters,
            embed_dim=embed_dim,
            projection_dims=projection_dims,
            temperature=temperature,
            augmentation=augmentation,
            augmentation_strength=augmentation_strength,
            modalities=modalities,
            max_epochs=max_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            schedule=schedule,
            warmup_epochs=warmup_epochs,
            gradient_clip=gradient_clip,
            validation_fraction=validation_fraction,
            early_stopping=early_stopping,
            patience=patience,
            device=device,
            precision=precision,
            compile=compile,
            streaming=streaming,
            checkpoint=checkpoint,
            callbacks=callbacks,
            warm_start=warm_start,
            progress_bar=progress_bar,
            random_state=random_state,
        )
        self.self_weight = self_weight

    def _build_objective(self, row_shapes: Mapping[str, tuple[int, ...]]) -> CrossModalObjective:
        return CrossModalObjective(
            self._build_encoder(row_shapes),
            self._build_heads(row_shapes),
            self_heads=self._build_heads(row_shapes),
            self_encoder=self._build_encoder(row_shapes) if self._factorized else None,
            self_weight=float(self.self_weight),
            temperature=self.temperature,
        )


@fill_baseline_doc
class CrossSelf(_BaseCrossSelf):
    r"""Contrast between two modalities and within each of them, as SLIP does it.

    Each modality has an encoder. Its embedding is to be told from those of other rows by the
    embedding of the other modality, and by that of another augmented view of itself [1]_:

    .. math:: L = \tfrac{1}{2} \left( \mathrm{CLIP}(Z_1', Z_2') + \mathrm{CLIP}(Z_1'', Z_2'')
              \right) + w \sum_{i=1}^{2} \mathrm{NCE}(\tilde Z_i', \tilde Z_i'')

    with the projections of two augmented views, :math:`Z_i` and :math:`\tilde Z_i` by a head for
    each purpose, :func:`~mmcontrast.losses.clip_loss` and :func:`~mmcontrast.losses.nt_xent`. The
    second term keeps what survives the augmentation of a modality, whether the other one has it
    or not. [1]_ has a term within images only.

    A row takes part in the terms of the modalities that it has. The columns of a lacking modality
    are NaN in ``transform``.

    Parameters
    ----------
    %(encoders)s
    %(heads)s
    %(self_weight)s
    %(views)s
    %(training)s

    Attributes
    ----------
    %(fitted)s

    See Also
    --------
    CrossModal : Without the terms within each modality.
    CrossSelfFactorized : With separate encoders for both kinds of terms.
    CoMM : Fuses the modalities before it compares them; with one modality it is SimCLR.

    Notes
    -----
    ``transform`` returns the encoders' embeddings side by side, not normalised, one part per
    modality; :meth:`split` takes them apart.

    References
    ----------
    .. [1] N. Mu, A. Kirillov, D. Wagner and S. Xie. "SLIP: self-supervision meets language-image
       pre-training." ECCV 2022, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast import CrossSelf, Modalities
    >>> rng = np.random.default_rng(0)
    >>> X = Modalities(eeg=rng.normal(size=(40, 8, 32)), fnirs=rng.normal(size=(40, 12)))
    >>> slip = CrossSelf(embed_dim=16, self_weight=0.5, max_epochs=2, random_state=0).fit(X)
    >>> slip.transform(X).shape
    (40, 32)
    >>> [term for term in slip.history_ if term.startswith(("cross", "self"))]
    ['cross_eeg_fnirs', 'self_eeg', 'self_fnirs']
    """


@fill_baseline_doc
class CrossSelfFactorized(_BaseCrossSelf):
    r"""Contrast between two modalities and within each of them, with encoders for each purpose.

    The loss is that of :class:`CrossSelf`, but each modality has two encoders: one is trained by
    the contrast with the other modality, the other one by the contrast between two augmented
    views,

    .. math:: L = \tfrac{1}{2} \left( \mathrm{CLIP}(S_1', S_2') + \mathrm{CLIP}(S_1'', S_2'')
              \right) + w \sum_{i=1}^{2} \mathrm{NCE}(U_i', U_i'')

    It is an ablation of factorised contrastive learning [1]_: the parts are separate, but nothing
    removes shared information from the "unique" ones. Their difference from those of
    :class:`~mmcontrast.FactorCL` is what its upper bounds do.

    A row takes part in the terms of the modalities that it has. The columns of a lacking modality
    are NaN in ``transform``.

    Parameters
    ----------
    %(encoders)s
    %(heads)s
    %(self_weight)s
    %(views)s
    %(training)s

    Attributes
    ----------
    %(fitted)s

    See Also
    --------
    CrossSelf : With one encoder for both purposes.

    Notes
    -----
    ``transform`` returns the parts "shared1", "shared2", "unique1" and "unique2" side by side, not
    normalised, where 1 and 2 are the modalities; :meth:`split` takes them apart.
    ``net_.module_.encoder`` has the entries "shared" and "unique".

    References
    ----------
    .. [1] P. P. Liang et al. "Factorized contrastive learning: going beyond multi-view
       redundancy." NeurIPS 2023, section 4.

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast import CrossSelfFactorized, Modalities
    >>> rng = np.random.default_rng(0)
    >>> X = Modalities(eeg=rng.normal(size=(40, 8, 32)), fnirs=rng.normal(size=(40, 12)))
    >>> method = CrossSelfFactorized(embed_dim=16, max_epochs=2, random_state=0).fit(X)
    >>> list(method.split(method.transform(X)))
    ['shared1', 'shared2', 'unique1', 'unique2']
    """

    _factorized = True
