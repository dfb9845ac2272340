"""Contrast between modalities, and with augmented views of each modality besides."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nn.multimodal import PooledEncoder, View
from ._per_modality import PerModalityObjective, embed, heads_of, project
from .contrastive import nt_xent


def clip_loss(z1: Tensor, z2: Tensor, temperature: float = 0.1) -> Tensor:
    r"""Symmetric InfoNCE between two modalities, whose negatives are of the other modality only.

    Each row has to find its partner among the N rows of the other modality, both ways:

    .. math:: -\frac{1}{2N} \sum_i \left( \log \frac{\exp(s_{ii} / \tau)}{\sum_j \exp(s_{ij} /
              \tau)} + \log \frac{\exp(s_{ii} / \tau)}{\sum_j \exp(s_{ji} / \tau)} \right)

    with the cosine similarity :math:`s_{ij}` of row :math:`i` of the first and row :math:`j` of
    the second modality. Unlike in :func:`nt_xent`, rows of one modality are not told from each
    other, so modalities may lie anywhere on the sphere. It is symmetric in the modalities, does
    not depend on the order of the rows, and lies above :math:`\log(1 + (N - 1) e^{-2/\tau})`; a
    collapsed embedding has :math:`\log N`.

    Parameters
    ----------
    z1, z2 : Tensor of shape (n_rows, dim)
        Projections of the two modalities, row by row; they are normalised here.
    temperature : float, default=0.1
        Divisor :math:`\tau` of the similarities.

    Returns
    -------
    Tensor
        The mean loss, a scalar.

    Raises
    ------
    ValueError
        If the modalities differ in shape or have fewer than two rows, so that there is no
        negative.

    References
    ----------
    Radford et al. "Learning transferable visual models from natural language supervision",
    ICML 2021, figure 3.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.losses import clip_loss
    >>> z = torch.eye(4)
    >>> print(f"{clip_loss(z, z, temperature=0.1):.4f}")
    0.0001
    """
    if z1.shape != z2.shape:
        raise ValueError(
            f"The two modalities differ in shape: {tuple(z1.shape)}, {tuple(z2.shape)}."
        )
    if len(z1) < 2:
        raise ValueError(
            f"A contrastive loss needs at least two rows to have a negative, got {len(z1)}."
        )
    logits = (F.normalize(z1, dim=1) / temperature) @ F.normalize(z2, dim=1).T
    partition = logits.logsumexp(0) + logits.logsumexp(1)
    return (0.5 * partition - logits.diagonal()).mean()


class CrossModalObjective(PerModalityObjective):
    r"""Encoders, heads and loss of contrast between modalities, with or without self terms.

    With the projections :math:`Z_i', Z_i''` of two augmented views of modality :math:`i`,

    .. math:: L = \sum_{i < j} \tfrac{1}{2} \left( \mathrm{CLIP}(Z_i', Z_j') +
              \mathrm{CLIP}(Z_i'', Z_j'') \right) + w \sum_i \mathrm{NCE}(\tilde Z_i', \tilde Z_i'')

    where CLIP is :func:`clip_loss`, NCE is :func:`nt_xent` and :math:`\tilde Z_i` comes from a
    head, or from an encoder and a head, of its own. Two modalities without self terms are CLIP
    [1]_, with self terms SLIP [2]_; more modalities are CMC over all pairs [3]_. Without self
    terms there is one augmented view.

    A row takes part in the terms of the modalities that it has.

    Parameters
    ----------
    encoder : PooledEncoder
        Gives one vector per modality.
    heads : sequence of Module
        Projection head of each modality for the cross terms, in the order of the encoder's.
    self_heads : sequence of Module or None, default=None
        Projection heads for the self terms; None leaves these terms out.
    self_encoder : PooledEncoder or None, default=None
        Encoder for the self terms; None is `encoder`. With one, and two modalities, the
        representation has the parts "shared1", "shared2", "unique1" and "unique2".
    self_weight : float, default=1.0
        Weight :math:`w` of the self terms.
    temperature : float, default=0.1
        Temperature of both losses.

    Raises
    ------
    ValueError
        If there is one modality, the heads are not one per modality, or there are separate
        encoders for other than two modalities.

    References
    ----------
    .. [1] Radford et al. "Learning transferable visual models from natural language supervision",
       ICML 2021.
    .. [2] Mu, Kirillov, Wagner and Xie. "SLIP: self-supervision meets language-image
       pre-training", ECCV 2022.
    .. [3] Tian, Krishnan and Isola. "Contrastive multiview coding", ECCV 2020.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.losses import CrossModalObjective
    >>> from mmcontrast.nn import ProjectionHead, View, build_pooled_encoder
    >>> encoder = build_pooled_encoder({"eeg": (10,), "fnirs": (6,)}, embed_dim=16)
    >>> heads, self_heads = ([ProjectionHead(16, (8,)) for _ in range(2)] for _ in range(2))
    >>> objective = CrossModalObjective(encoder, heads, self_heads=self_heads)
    >>> views = [
    ...     View({"eeg": torch.randn(6, 10), "fnirs": torch.randn(6, 6)}) for _ in range(2)
    ... ]
    >>> list(objective(views))
    ['loss', 'cross_eeg_fnirs', 'self_eeg', 'self_fnirs', 'embedding_std']
    """

    def __init__(
        self,
        encoder: PooledEncoder,
        heads: Sequence[nn.Module],
        *,
        self_heads: Sequence[nn.Module] | None = None,
        self_encoder: PooledEncoder | None = None,
        self_weight: float = 1.0,
        temperature: float = 0.1,
    ) -> None:
        super().__init__(encoder, heads, temperature, n_views=1 if self_heads is None else 2)
        if len(self.names) < 2:
            raise ValueError(
                "Contrast between modalities needs at least two, found one: "
                f"{self.names[0]!r}. CoMM with one modality is SimCLR."
            )
        self.self_heads = None if self_heads is None else heads_of(encoder, self_heads)
        self.self_weight = self_weight
        self.factorized = self_encoder is not None
        if self_encoder is not None:
            if len(self.names) != 2:
                raise ValueError(
                    "Separate encoders for cross and self terms are for two modalities, found "
                    f"{len(self.names)}: {', '.join(map(repr, self.names))}."
                )
            self.encoder = nn.ModuleDict({"shared": encoder, "unique": self_encoder})

    @property
    def parts(self) -> dict[str, tuple[str, int]]:
        """Modality and number of columns of each part of the representation."""
        if not self.factorized:
            return super().parts
        return {
            f"{kind}{number}": (name, self.embed_dim)
            for kind in ("shared", "unique")
            for number, name in enumerate(self.names, 1)
        }

    @property
    def term_names(self) -> list[str]:
        """Names of the values that a call returns."""
        own = [] if self.self_heads is None else [f"self_{name}" for name in self.names]
        return ["loss", *self._pairs(), *own, "embedding_std"]

    def encode(self, view: View) -> dict[str, Tensor]:
        """Parts of the representation that the modalities of a view make.

        Parameters
        ----------
        view : View
            One or more of the modalities.

        Returns
        -------
        dict of str to Tensor of shape (n_rows, embed_dim)
            Not normalised; zero in rows in which the modality is absent.
        """
        if not self.factorized:
            return super().encode(view)
        encoded = {kind: encoder(view) for kind, encoder in self.encoder.items()}
        return {
            part: encoded[part[:-1]][name]
            for part, (name, _) in self.parts.items()
            if name in view.values
        }

    def forward(
        self, views: Sequence[View], original: View | None = None, y: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute the loss of a batch.

        Parameters
        ----------
        views : sequence of View
            One augmentation of the rows, or two if there are self terms.
        original, y : None
            Not used.

        Returns
        -------
        dict of str to Tensor
            The total under "loss", detached terms (with their weight) under the names of
            :attr:`term_names`; NaN for one with fewer than two rows in the batch, which is left
            out of the total.
        """
        presence = views[0].presence
        encoders = list(self.encoder.values()) if self.factorized else [self.encoder]
        embedded = [embed(encoder, views) for encoder in encoders]
        projected = project(embedded[0], self.names, self.heads, presence)
        own = {}
        if self.self_heads is not None:
            own = project(embedded[-1], self.names, self.self_heads, presence)
        with torch.autocast(views[0].values[self.names[0]].device.type, enabled=False):
            terms = self._cross_terms(projected, presence)
            for name, z in own.items():
                terms[f"self_{name}"] = self.self_weight * nt_xent(z[0], z[1], self.temperature)
            return self._total(terms, [item for z in embedded for item in z.items()], presence)

    def _cross_terms(
        self, projected: Mapping[str, Tensor], presence: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        terms = {}
        for term, (first, second) in self._pairs().items():
            if first not in projected or second not in projected:
                continue
            here, there = presence.get(first), presence.get(second)
            z1 = _rows_with_both(projected[first], here, there)
            z2 = _rows_with_both(projected[second], there, here)
            if z1.shape[1] < 2:
                continue
            views = zip(z1, z2, strict=True)
            terms[term] = torch.stack([clip_loss(*view, self.temperature) for view in views]).mean()
        return terms

    def _pairs(self) -> dict[str, tuple[str, str]]:
        pairs = list(combinations(self.names, 2))
        named = {f"cross_{first}_{second}": (first, second) for first, second in pairs}
        if len(named) == len(pairs):
            return named
        # "a_b" and "c" look like "a" and "b_c": quotes tell them apart
        return {f"cross_{first!r}_{second!r}": (first, second) for first, second in pairs}


def _rows_with_both(z: Tensor, own: Tensor | None, other: Tensor | None) -> Tensor:
    """Rows of one modality, z holding those that have it, that have the other one as well."""
    if other is None:
        return z
    return z[:, other if own is None else other[own]]
