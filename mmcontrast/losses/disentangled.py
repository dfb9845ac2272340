"""An objective that is made to keep shared and unique parts apart."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nn.heads import ParallelHeads
from ..nn.multimodal import PooledEncoder, View
from ._common import full_precision, rows_with, zero_loss
from .comm import embedding_std
from .correlation import cross_correlation
from .cross_modal import clip_loss

_SHARED, _UNIQUE = range(2)


class DisentangledObjective(nn.Module):
    r"""Encoders, heads and loss made to keep shared and unique information of two modalities apart.

    .. math:: L = \mathrm{CLIP}(S_1, S_2) + \sum_{i} \mathrm{CLIP}(U_i, C_i)
                  + \lambda \sum_{i \neq j} \rho^2(U_i, S_j)

    Each modality has a head for what it shares, :math:`S_i`, and one for what is unique to it,
    :math:`U_i`. :math:`C_i` is that head of an augmentation or, supervised, an embedding of the
    label. CLIP is :func:`clip_loss` and :math:`\rho^2` is :func:`cross_correlation` with the
    other modality's shared head, through which no gradient goes.

    It is what remains of :class:`FactorCLObjective` without the terms whose heads have nothing to
    keep, with scores that leave no room for a scrambled code, and with a penalty that acts on the
    very heads that the parts are made of.

    Parameters
    ----------
    encoder : PooledEncoder
        Of two modalities.
    n_classes, n_targets : int or None, default=None
        As in :class:`FactorCLObjective`.
    head_dim : int or None, default=None
        Size of a head's output; None is that of the embedding.
    n_views : int, default=1
        Augmented views per row, over which the terms with an augmentation are averaged.
    independence : float, default=30.0
        Weight :math:`\lambda`.
    temperature : float, default=0.1
        Temperature of the losses.

    Notes
    -----
    How far it succeeds depends on the data. In the benchmark of the parts a linear model reads
    little of one kind in parts of the other where modalities are linear mixtures, heads are small
    and there are no labels (R² of .25 and .28 for unique latents in shared parts, .08 and .15 for
    shared ones in unique parts). With labels, the shared parts tell unique latents with an R² of
    .61 and .53, and of nonlinear mixtures a shared part tells .33 of unique and .52 of shared
    latents, and a unique part not much of either.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.losses import DisentangledObjective
    >>> from mmcontrast.nn import View, build_pooled_encoder
    >>> encoder = build_pooled_encoder({"eeg": (10,), "fnirs": (6,)}, embed_dim=16)
    >>> objective = DisentangledObjective(encoder)
    >>> view, augmented = (
    ...     View({"eeg": torch.randn(8, 10), "fnirs": torch.randn(8, 6)}) for _ in range(2)
    ... )
    >>> list(objective([augmented], view))
    ['loss', 'shared', 'modality_eeg', 'modality_fnirs', 'independence', 'embedding_std']
    """

    needs_original = True

    def __init__(
        self,
        encoder: PooledEncoder,
        *,
        n_classes: int | None = None,
        n_targets: int | None = None,
        head_dim: int | None = None,
        n_views: int = 1,
        independence: float = 30.0,
        temperature: float = 0.1,
    ) -> None:
        super().__init__()
        if len(encoder.names) != 2:
            raise ValueError(
                f"Shared and unique parts are those of two modalities, found {len(encoder.names)}: "
                f"{', '.join(map(repr, encoder.names))}."
            )
        self.encoder = encoder
        self.head_dim = head_dim or encoder.embed_dim
        self.heads = nn.ModuleList(
            ParallelHeads(encoder.embed_dim, 2, hidden_dim=encoder.embed_dim, out_dim=self.head_dim)
            for _ in encoder.names
        )
        self.n_classes = n_classes
        n_columns = n_classes or n_targets
        #: Number of augmented views that a call takes.
        self.n_views = 0 if n_columns else n_views
        self.labels = (
            nn.ModuleList(nn.Linear(n_columns, self.head_dim) for _ in encoder.names)
            if n_columns
            else None
        )
        self.independence = independence
        self.temperature = temperature

    @property
    def parts(self) -> dict[str, tuple[str, int]]:
        """Modality and number of columns of each part of the representation."""
        return {
            f"{kind}{number}": (name, self.head_dim)
            for kind in ("shared", "unique")
            for number, name in enumerate(self.encoder.names, 1)
        }

    @property
    def term_names(self) -> list[str]:
        """Names of the values that a call returns."""
        own = (f"modality_{name}" for name in self.encoder.names)
        return ["loss", "shared", *own, "independence", "embedding_std"]

    def encode(self, view: View) -> dict[str, Tensor]:
        """Parts of the representation that the modalities of a view make.

        Parameters
        ----------
        view : View
            One or both modalities.

        Returns
        -------
        dict of str to Tensor of shape (n_rows, head_dim)
        """
        outputs = self._outputs(view)[1]
        return {
            part: outputs[name][_SHARED if part.startswith("shared") else _UNIQUE]
            for part, (name, _) in self.parts.items()
            if name in outputs
        }

    def forward(
        self, views: Sequence[View], original: View | None = None, y: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute the loss of a batch.

        Parameters
        ----------
        views : sequence of View
            Augmentations of the same rows; none if supervised.
        original : View
            The un-augmented rows.
        y : Tensor of shape (n_rows,) or (n_rows, n_targets), optional
            Class codes, or standardised targets.

        Returns
        -------
        dict of str to Tensor
            The total under "loss" and its detached terms under the names of :attr:`term_names`;
            NaN for a term with fewer than two rows in the batch.
        """
        if original is None:
            raise ValueError("DisentangledObjective needs the un-augmented view.")
        embedded, outputs = self._outputs(original)
        conditions = self._conditions(views, y)
        with torch.autocast(embedded[0].device.type, enabled=False):
            terms = self._terms(outputs, conditions, original)
            total = torch.stack(list(terms.values())).sum() if terms else zero_loss(self)
        nan = total.new_full((), torch.nan)
        return {
            "loss": total,
            **{
                name: terms[name].detach() if name in terms else nan
                for name in self.term_names[1:-1]
            },
            "embedding_std": torch.stack([embedding_std(z.detach()) for z in embedded]).mean(),
        }

    def _outputs(self, view: View) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Embeddings, and the heads' outputs (2, n_rows, head_dim), of the modalities there."""
        embedded = self.encoder(view)
        heads = dict(zip(self.encoder.names, self.heads, strict=True))
        return list(embedded.values()), {
            name: full_precision(heads[name](z)) for name, z in embedded.items()
        }

    def _conditions(self, views: Sequence[View], y: Tensor | None) -> list[dict[str, Tensor]]:
        """What the unique heads have to tell: those of augmentations, or embeddings of labels."""
        if self.labels is None:
            outputs = [self._outputs(view)[1] for view in views]
            return [{name: z[_UNIQUE] for name, z in part.items()} for part in outputs]
        if y is None:
            raise ValueError("A supervised DisentangledObjective needs the targets y.")
        columns = y if self.n_classes is None else F.one_hot(y, self.n_classes)
        columns = columns.to(next(self.labels.parameters()).dtype)
        labels = zip(self.encoder.names, self.labels, strict=True)
        return [{name: full_precision(embed(columns)) for name, embed in labels}]

    def _terms(
        self, outputs: dict[str, Tensor], conditions: list[dict[str, Tensor]], view: View
    ) -> dict[str, Tensor]:
        names = self.encoder.names
        terms = {}
        both = rows_with(view, names)
        if both is None or both.sum() > 1:
            first, second = (_taken(outputs[name], both) for name in names)
            terms["shared"] = clip_loss(first[_SHARED], second[_SHARED], self.temperature)
            dependence = cross_correlation(
                first[_UNIQUE], second[_SHARED].detach()
            ) + cross_correlation(second[_UNIQUE], first[_SHARED].detach())
            terms["independence"] = self.independence * dependence
        for name in names:
            rows = rows_with(view, (name,))
            if rows is not None and rows.sum() < 2:
                continue
            unique = _taken(outputs[name], rows)[_UNIQUE]
            own = [
                clip_loss(unique, _taken(condition[name][None], rows)[0], self.temperature)
                for condition in conditions
            ]
            terms[f"modality_{name}"] = torch.stack(own).mean()
        return terms


def _taken(outputs: Tensor, rows: Tensor | None) -> Tensor:
    """Those of the rows (n_heads, n_rows, dim) that are chosen; None for all."""
    return outputs if rows is None else outputs[:, rows]
