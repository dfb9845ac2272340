"""Baseline that contrasts rows of different classes: SupCon."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..losses import SupConObjective
from ._baseline import BaseBaseline, fill_baseline_doc


@fill_baseline_doc
class SupervisedContrastive(BaseBaseline):
    r"""Supervised contrastive learning: embeddings of a class are to be alike.

    Each modality has an encoder, and the embeddings of a row's modalities are its views. Each of
    them is to be closer to all embeddings of the same class than to the others, :math:`L_{out}`
    of [1]_:

    .. math:: L = \mathrm{SupCon}\left( Z_1, \ldots, Z_n; y, \ldots, y \right)

    with the projections :math:`Z_i` of an augmented view of modality :math:`i` and
    :func:`~mmcontrast.losses.supcon`. With one modality there are two augmented views of it. It
    keeps what tells the classes apart, whichever modality has it, and has no reason to keep
    anything else.

    `fit` needs the classes y; ``transform`` does not. The embeddings of the rows that were trained
    on are better than those of new ones: validate with rows that `fit` has not seen, as a pipeline
    in a cross-validation does. A row takes part with the modalities that it has. The columns of a
    lacking modality are NaN in ``transform``.

    Parameters
    ----------
    %(encoders)s
    %(heads)s
    %(views)s
    %(training)s

    Attributes
    ----------
    %(fitted)s

    See Also
    --------
    CrossModal : Without labels.

    Notes
    -----
    ``transform`` returns the encoders' embeddings side by side, not normalised, one part per
    modality; :meth:`split` takes them apart. `partial_fit` learns the classes in its first call.

    References
    ----------
    .. [1] P. Khosla et al. "Supervised contrastive learning." NeurIPS 2020, equation 2.

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast import Modalities, SupervisedContrastive
    >>> rng = np.random.default_rng(0)
    >>> X = Modalities(eeg=rng.normal(size=(40, 8, 32)), fnirs=rng.normal(size=(40, 12)))
    >>> y = np.tile(["rest", "task"], 20)
    >>> supcon = SupervisedContrastive(embed_dim=16, max_epochs=2, random_state=0).fit(X, y)
    >>> supcon.transform(X).shape
    (40, 32)
    """

    _history_terms = 'the term "supcon"'
    _target_type = "classification"

    def _check_rows(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        if y is not None:
            _refuse_continuous(np.asarray(y))
        return super()._check_rows(X, y, reset=reset)

    def _build_objective(self, row_shapes: Mapping[str, tuple[int, ...]]) -> SupConObjective:
        return SupConObjective(
            self._build_encoder(row_shapes),
            self._build_heads(row_shapes),
            temperature=self.temperature,
        )


def _refuse_continuous(y: np.ndarray) -> None:
    """Refuse the target of a regression; what else is wrong with y is for others to say."""
    if y.dtype.kind == "O":
        try:
            y = y.astype(np.float64)
        except (TypeError, ValueError):  # labels
            return
    if y.dtype.kind != "f":
        return
    fractions = y[np.isfinite(y) & (y != np.floor(y))]
    if len(fractions):
        raise ValueError(
            "SupervisedContrastive takes classes, but y is continuous: it holds "
            f"{fractions[0]:g}. Cut it into classes, for example with "
            "sklearn.preprocessing.KBinsDiscretizer, or use FactorCL(supervised=True), which "
            "takes the target of a regression."
        )
