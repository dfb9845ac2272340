"""Baselines that contrast one modality with another: CLIP, and CMC for more than two."""

from collections.abc import Mapping

from ..losses import CrossModalObjective
from ._baseline import BaseBaseline, fill_baseline_doc


class _BaseCrossModal(BaseBaseline):
    def _build_objective(self, row_shapes: Mapping[str, tuple[int, ...]]) -> CrossModalObjective:
        return CrossModalObjective(
            self._build_encoder(row_shapes),
            self._build_heads(row_shapes),
            temperature=self.temperature,
        )


@fill_baseline_doc
class CrossModal(_BaseCrossModal):
    r"""Contrast between two modalities, as CLIP does it.

    Each modality has an encoder, and its embedding is to be told from those of other rows by the
    embedding of the other modality [1]_:

    .. math:: L = \mathrm{CLIP}(Z_1, Z_2)

    with the projections :math:`Z_i` of an augmented view of modality :math:`i` and
    :func:`~mmcontrast.losses.clip_loss`. It keeps what the modalities share and has no reason to
    keep what is unique to one of them. Papers on multimodal learning call it Cross; [2]_ calls it
    SimCLR.

    A row that lacks a modality takes no part in training. The columns of a lacking modality are
    NaN in ``transform``.

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
    CMC : The same for any number of modalities.
    CrossSelf : With terms within each modality as well.
    CoMM : Fuses the modalities before it compares them; with one modality it is SimCLR.

    Notes
    -----
    ``transform`` returns the encoders' embeddings side by side, not normalised, one part per
    modality; :meth:`split` takes them apart.

    References
    ----------
    .. [1] A. Radford et al. "Learning transferable visual models from natural language
       supervision." ICML 2021, figure 3.
    .. [2] P. P. Liang et al. "Factorized contrastive learning: going beyond multi-view
       redundancy." NeurIPS 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast import CrossModal, Modalities
    >>> rng = np.random.default_rng(0)
    >>> X = Modalities(eeg=rng.normal(size=(40, 8, 32)), fnirs=rng.normal(size=(40, 12)))
    >>> cross = CrossModal(embed_dim=16, max_epochs=2, random_state=0).fit(X)
    >>> cross.transform(X).shape
    (40, 32)
    >>> cross.get_feature_names_out()[[0, 16]]
    array(['crossmodal_eeg_0', 'crossmodal_fnirs_0'], dtype=object)
    >>> cross.encode_modality(X, "eeg").shape
    (40, 16)
    """

    _min_modalities = 2
    _max_modalities = 2
    _history_terms = 'the term "cross_<name>_<name>"'


@fill_baseline_doc
class CMC(_BaseCrossModal):
    r"""Contrastive multiview coding: contrast between all pairs of modalities.

    Each modality has an encoder, and its embedding is to be told from those of other rows by the
    embedding of each other modality, over the full graph of [1]_:

    .. math:: L = \sum_{i < j} \mathrm{CLIP}(Z_i, Z_j)

    with the projections :math:`Z_i` of an augmented view of modality :math:`i` and
    :func:`~mmcontrast.losses.clip_loss`. It keeps what at least two modalities share. It is meant
    for three or more modalities; with two it is :class:`CrossModal`.

    A row takes part in the pairs of the modalities that it has. The columns of a lacking modality
    are NaN in ``transform``.

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
    CrossModal : For two modalities.
    CoMM : Fuses any number of modalities before it compares them.

    Notes
    -----
    ``transform`` returns the encoders' embeddings side by side, not normalised, one part per
    modality; :meth:`split` takes them apart. Negatives are those of the batch, where [1]_ draws
    them from a memory bank.

    References
    ----------
    .. [1] Y. Tian, D. Krishnan and P. Isola. "Contrastive multiview coding." ECCV 2020, equation 8.

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast import CMC, Modalities
    >>> rng = np.random.default_rng(0)
    >>> X = Modalities({name: rng.normal(size=(40, 6)) for name in ("eeg", "fnirs", "pupil")})
    >>> cmc = CMC(embed_dim=16, max_epochs=2, random_state=0).fit(X)
    >>> {name: Z.shape for name, Z in cmc.split(cmc.transform(X)).items()}
    {'eeg': (40, 16), 'fnirs': (40, 16), 'pupil': (40, 16)}
    >>> [term for term in cmc.history_ if term.startswith("cross")]
    ['cross_eeg_fnirs', 'cross_eeg_pupil', 'cross_fnirs_pupil']
    """

    _min_modalities = 2
    _history_terms = 'a term "cross_<name>_<name>" per pair'
