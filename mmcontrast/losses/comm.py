"""The CoMM objective: align fused embeddings of augmented and of masked views."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nn.multimodal import MultimodalEncoder, View
from ._common import full_precision
from .contrastive import nt_xent


class CoMMObjective(nn.Module):
    r"""Encoder, projection head and loss of CoMM.

    With the fused embeddings :math:`Z', Z''` of two augmented views and :math:`Z_i` of the views
    in which only modality :math:`i` is kept,

    .. math:: L_\mathrm{CoMM} = \mathrm{NCE}(Z', Z'') + \sum_i
              \tfrac{1}{2} \left(\mathrm{NCE}(Z_i', Z'') + \mathrm{NCE}(Z_i'', Z')\right)

    where NCE is :func:`nt_xent` of the projections. With ``masked_views="original"`` the masked
    view is made from the un-augmented row, and both of :math:`Z_i', Z_i''` are :math:`Z_i`, as in
    equation 7 of [1]_. With a single modality there is nothing to mask, and the objective is that
    of SimCLR.

    A row in which modality :math:`i` is absent takes no part in term :math:`i`.

    The products of an :class:`~mmcontrast.nn.InteractionFusion` have a term and a head of their
    own, :math:`\mathrm{NCE}` between those of the two augmented views, from the rows with at least
    two modalities; all other terms see CLS alone.

    Parameters
    ----------
    encoder : MultimodalEncoder
        Gives one embedding per row and set of modalities.
    head : Module
        Projects ``(n_groups, n_rows, embed_dim)``, a group being one view under one mask.
    temperature : float, default=0.1
        Temperature of the loss.
    masked_views : {"augmented", "original"}, default="augmented"
        What the masked views are made from.
    loss_terms : sequence of {"joint", "modalities"}, default=("joint", "modalities")
        Terms of the sum (Fig. 5 and Table 6 of [1]_).
    interaction_head : Module or None, default=None
        Projects the products, ``(2, n_rows, interaction_dim)``. None: they have no term.

    References
    ----------
    .. [1] Dufumier, Castillo Navarro, Tuia and Thiran. "What to align in multimodal contrastive
       learning?" ICLR 2025, section 3.3.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.losses import CoMMObjective
    >>> from mmcontrast.nn import MLPEncoder, MultimodalEncoder, ProjectionHead, SingleToken
    >>> from mmcontrast.nn import TransformerFusion, View
    >>> names = ("eeg", "fnirs")
    >>> encoder = MultimodalEncoder(
    ...     {name: MLPEncoder((10,), 16) for name in names},
    ...     {name: SingleToken((16,), 16) for name in names},
    ...     TransformerFusion(16, n_modalities=2),
    ...     embed_dim=16,
    ... )
    >>> objective = CoMMObjective(encoder, ProjectionHead(16, dims=(16, 16, 8)))
    >>> views = [View({name: torch.randn(6, 10) for name in names}) for _ in range(2)]
    >>> sorted(objective(views))
    ['embedding_std', 'joint', 'loss', 'modality_eeg', 'modality_fnirs']
    """

    def __init__(
        self,
        encoder: MultimodalEncoder,
        head: nn.Module,
        *,
        temperature: float = 0.1,
        masked_views: str = "augmented",
        loss_terms: Sequence[str] = ("joint", "modalities"),
        interaction_head: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.interaction_head = interaction_head
        self.temperature = temperature
        #: Number of augmented views that a call takes.
        self.n_views = 2
        several = len(encoder.names) > 1
        self.with_joint = "joint" in loss_terms or not several
        self.with_modalities = "modalities" in loss_terms and several
        #: Whether the objective wants the un-augmented view besides the two augmented ones.
        self.needs_original = self.with_modalities and masked_views == "original"

    @property
    def term_names(self) -> list[str]:
        """Names of the values that a call returns."""
        joint = ["joint"] if self.with_joint else []
        single = self.encoder.names if self.with_modalities else ()
        products = ["interaction"] if self.interaction_head is not None else []
        terms = [*joint, *(f"modality_{name}" for name in single), *products]
        return ["loss", *terms, "embedding_std"]

    def forward(
        self, views: Sequence[View], original: View | None = None, y: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute the loss of a batch.

        Parameters
        ----------
        views : sequence of two View
            Two augmentations of the same rows.
        original : View or None
            The un-augmented rows; needed with ``masked_views="original"``.
        y : None
            Not used.

        Returns
        -------
        dict of str to Tensor
            The total under "loss", detached terms under the names of :attr:`term_names`; NaN for
            a term with fewer than two rows in the batch, which is left out of the total.
        """
        z_joint, z_single = self._embed(views, original)
        present = [views[0].presence.get(name) for name in self.encoder.names]
        z_joint, products = self._apart(z_joint)
        z_single = [self._apart(z)[0] for z in z_single]
        projected = self._project(z_joint, z_single, present)
        projected_products = self._project_products(products, present)
        with torch.autocast(z_joint.device.type, enabled=False):
            terms = self._terms(*projected, present)
            if projected_products is not None:
                first, second = projected_products
                terms["interaction"] = nt_xent(first, second, self.temperature)
            loss = torch.stack(list(terms.values())).sum() if terms else z_joint.sum() * 0
        nan = loss.new_full((), torch.nan)
        return {
            "loss": loss,
            **{
                name: terms[name].detach() if name in terms else nan
                for name in self.term_names[1:-1]
            },
            "embedding_std": embedding_std(z_joint.detach().flatten(0, 1)),
        }

    def _embed(self, views: Sequence[View], original: View | None) -> tuple[Tensor, list[Tensor]]:
        """Fused embeddings (2, n_rows, dim) and one (2 or 1, n_rows, dim) per modality."""
        names = self.encoder.names
        singles = [(name,) for name in names] if self.with_modalities else []
        parts = [self.encoder.tokens(view) for view in views]  # each view is encoded once
        sizes = parts[0][2]
        n_rows = len(parts[0][0])
        tokens = torch.cat([tokens for tokens, _, _ in parts])
        keep = _cat_rows([keep for _, keep, _ in parts], n_rows)
        masks = [names, *([] if self.needs_original else singles)]
        z = self.encoder.fuse(tokens, keep, sizes, masks).unflatten(1, (2, n_rows))
        if not self.needs_original:
            return z[0], list(z[1:])
        return z[0], list(self.encoder(original, singles)[:, None])

    def _project(
        self, z_joint: Tensor, z_single: list[Tensor], present: list[Tensor | None]
    ) -> tuple[list[Tensor], list[list[Tensor]]]:
        single = [
            z if rows is None else z[:, rows] for z, rows in zip(z_single, present, strict=False)
        ]
        groups = [*z_joint, *(group for z in single for group in z)]
        if len({len(group) for group in groups}) == 1:
            projected = list(self.head(torch.stack(groups)))
        else:
            projected = [self.head(group[None])[0] if len(group) > 1 else group for group in groups]
        projected = [full_precision(p) for p in projected]
        rest = iter(projected[2:])
        return projected[:2], [[next(rest) for _ in z] for z in single]

    def _terms(
        self, joint: list[Tensor], single: list[list[Tensor]], present: list[Tensor | None]
    ) -> dict[str, Tensor]:
        first, second = joint
        terms = {}
        if self.with_joint:
            terms["joint"] = nt_xent(first, second, self.temperature)
        for name, masked, rows in zip(self.encoder.names, single, present, strict=False):
            f, s = (first, second) if rows is None else (first[rows], second[rows])
            if len(f) < 2:  # too few rows of this batch have the modality
                continue
            # a masked view of the un-augmented row is contrasted with both augmentations
            terms[f"modality_{name}"] = 0.5 * (
                nt_xent(masked[0], s, self.temperature) + nt_xent(masked[-1], f, self.temperature)
            )
        return terms

    def _apart(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """CLS and, from an :class:`~mmcontrast.nn.InteractionFusion`, products."""
        dim = self.encoder.embed_dim
        return z[..., :dim], z[..., dim:]

    def _project_products(self, products: Tensor, present: list[Tensor | None]) -> Tensor | None:
        """Projected products (2, n_rows, dim) of both views, in the rows that have a pair."""
        if self.interaction_head is None:
            return None
        masks = [rows for rows in present if rows is not None]
        if masks:
            n_present = torch.stack(masks).sum(0) + len(present) - len(masks)
            products = products[:, n_present > 1]
        if products.shape[1] < 2:  # too few rows of this batch have two modalities
            return None
        return full_precision(self.interaction_head(products))


def embedding_std(z: Tensor) -> Tensor:
    """Spread of embeddings on the unit sphere: about 1 if they fill it, 0 if they collapsed.

    Parameters
    ----------
    z : Tensor of shape (n_rows, dim)

    Returns
    -------
    Tensor
        Root mean squared distance of the normalised rows from their mean, a scalar.
    """
    unit = F.normalize(z.float(), dim=1)
    return (unit - unit.mean(0)).pow(2).sum(1).mean().sqrt()


def _cat_rows(keeps: list[Tensor], n_rows: int) -> Tensor:
    """Join token masks of views along the rows, keeping one row where all rows are alike."""
    if all(len(keep) == 1 for keep in keeps):
        return keeps[0]
    return torch.cat([keep.expand(n_rows, -1) for keep in keeps])
