"""Supervised contrast: rows of a class are to be alike."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nn.multimodal import PooledEncoder, View
from ._per_modality import PerModalityObjective, embed, project


def supcon(z: Tensor, labels: Tensor, temperature: float = 0.1) -> Tensor:
    r"""Supervised contrastive loss, with the mean over positives outside the logarithm.

    Each embedding has to find all those with its label among all others:

    .. math:: \frac{1}{|A|} \sum_{a \in A} \frac{-1}{|P(a)|} \sum_{p \in P(a)} \log
              \frac{\exp(s_{ap} / \tau)}{\sum_{b \neq a} \exp(s_{ab} / \tau)}

    with cosine similarity :math:`s`, the positives :math:`P(a)`, which are the others with the
    label of :math:`a`, and the anchors :math:`A`, which are the embeddings that have a positive.
    Several views of a row go in as several embeddings with the same label; two views of rows whose
    labels all differ make it :func:`nt_xent`. It does not depend on the order of the embeddings
    nor on the names of the labels. An anchor's loss lies above :math:`\log(|P| + |N| e^{-2/\tau})`
    with its :math:`|N|` negatives.

    Parameters
    ----------
    z : Tensor of shape (n_embeddings, dim)
        Projections; they are normalised here.
    labels : Tensor of shape (n_embeddings,)
        Their classes.
    temperature : float, default=0.1
        Divisor :math:`\tau` of the similarities.

    Returns
    -------
    Tensor
        The mean loss over the anchors, a scalar; zero if no two embeddings have the same label.

    Raises
    ------
    ValueError
        If there are not as many labels as embeddings, or fewer than two.

    References
    ----------
    Khosla et al. "Supervised contrastive learning", NeurIPS 2020, equation 2.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.losses import supcon
    >>> z = torch.eye(2).repeat_interleave(3, dim=0)
    >>> labels = torch.tensor([0, 0, 0, 1, 1, 1])
    >>> print(f"{supcon(z, labels):.4f}, log 2 = {torch.tensor(2).log():.4f}")
    0.6932, log 2 = 0.6931
    """
    if z.ndim != 2 or labels.shape != z.shape[:1]:
        raise ValueError(
            "z has to be of shape (n_embeddings, dim) and labels of (n_embeddings,); found "
            f"{tuple(z.shape)} and {tuple(labels.shape)}."
        )
    if len(z) < 2:
        raise ValueError(
            f"A contrastive loss needs at least two embeddings to compare, got {len(z)}."
        )
    z = F.normalize(z, dim=1)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    logits = (z / temperature) @ z.T
    partition = logits.masked_fill(itself, -torch.inf).logsumexp(1)
    positive = (labels[:, None] == labels) & ~itself
    n_positives = positive.sum(1)
    attraction = (logits * positive).sum(1) / n_positives.clamp(min=1)
    is_anchor = n_positives > 0
    return ((partition - attraction) * is_anchor).sum() / is_anchor.sum().clamp(min=1)


class SupConObjective(PerModalityObjective):
    r"""Encoders, heads and loss of supervised contrast, whose views are the modalities.

    .. math:: L = \mathrm{SupCon}\left( Z_1, \ldots, Z_n; y, \ldots, y \right)

    with the projections :math:`Z_i` of an augmented view of each modality and :func:`supcon`. With
    one modality there are two augmented views of it. A row has as many views as it has
    modalities.

    Parameters
    ----------
    encoder : PooledEncoder
        Gives one vector per modality.
    heads : sequence of Module
        Projection head of each modality, in the order of the encoder's.
    temperature : float, default=0.1
        Temperature of the loss.

    Raises
    ------
    ValueError
        If the heads are not one per modality.

    References
    ----------
    Khosla et al. "Supervised contrastive learning", NeurIPS 2020.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.losses import SupConObjective
    >>> from mmcontrast.nn import ProjectionHead, View, build_pooled_encoder
    >>> encoder = build_pooled_encoder({"eeg": (10,), "fnirs": (6,)}, embed_dim=16)
    >>> objective = SupConObjective(encoder, [ProjectionHead(16, (8,)) for _ in range(2)])
    >>> view = View({"eeg": torch.randn(6, 10), "fnirs": torch.randn(6, 6)})
    >>> list(objective([view], y=torch.tensor([0, 1, 0, 1, 0, 1])))
    ['loss', 'supcon', 'embedding_std']
    """

    def __init__(
        self, encoder: PooledEncoder, heads: Sequence[nn.Module], *, temperature: float = 0.1
    ) -> None:
        super().__init__(encoder, heads, temperature, n_views=1 if len(encoder.names) > 1 else 2)

    @property
    def term_names(self) -> list[str]:
        """Names of the values that a call returns."""
        return ["loss", "supcon", "embedding_std"]

    def forward(
        self, views: Sequence[View], original: View | None = None, y: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute the loss of a batch.

        Parameters
        ----------
        views : sequence of View
            One augmentation of the rows, or two if there is one modality.
        original : None
            Not used.
        y : Tensor of shape (n_rows,)
            Class codes.

        Returns
        -------
        dict of str to Tensor
            The total under "loss" and, detached, under "supcon", which is NaN if no modality has
            two rows in the batch.
        """
        if y is None:
            raise ValueError("SupConObjective needs the class codes y.")
        presence = views[0].presence
        embedded = embed(self.encoder, views)
        projected = project(embedded, self.names, self.heads, presence)
        with torch.autocast(y.device.type, enabled=False):
            terms = {}
            if projected:
                codes = {name: y[presence[name]] if name in presence else y for name in projected}
                labels = [codes[name].repeat(len(z)) for name, z in projected.items()]
                z = torch.cat([z.flatten(0, 1) for z in projected.values()])
                terms["supcon"] = supcon(z, torch.cat(labels), self.temperature)
            return self._total(terms, list(embedded.items()), presence)
