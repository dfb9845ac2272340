"""What objectives with one embedding per modality share."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..nn.multimodal import PooledEncoder, View
from ._common import full_precision, zero_loss
from .comm import embedding_std


class PerModalityObjective(nn.Module, ABC):
    """Base of objectives whose representation is the embedding of each modality.

    Parameters
    ----------
    encoder : PooledEncoder
        Gives one vector per modality.
    heads : sequence of Module
        Projection head of each modality, in the order of the encoder's.
    temperature : float
        Temperature of the loss.
    n_views : int
        Number of augmented views that a call takes.
    """

    needs_original = False

    def __init__(
        self, encoder: PooledEncoder, heads: Sequence[nn.Module], temperature: float, n_views: int
    ) -> None:
        super().__init__()
        self.encoder: Any = encoder
        self.heads = heads_of(encoder, heads)
        self.names = encoder.names
        self.embed_dim = encoder.embed_dim
        self.temperature = temperature
        #: Number of augmented views that a call takes.
        self.n_views = n_views

    @property
    def parts(self) -> dict[str, tuple[str, int]]:
        """Modality and number of columns of each part of the representation."""
        return {name: (name, self.embed_dim) for name in self.names}

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
        return self.encoder(view)

    def _total(
        self,
        terms: Mapping[str, Tensor],
        embedded: Sequence[tuple[str, Tensor]],
        presence: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """Loss, detached terms and spread of the embeddings, under the names of `term_names`."""
        total = torch.stack(list(terms.values())).sum() if terms else zero_loss(self)
        nan = total.new_full((), torch.nan)
        spread = [
            embedding_std(z.detach().flatten(0, 1))
            for z in (present_rows(z, presence.get(name)) for name, z in embedded)
            if z.shape[1] > 1
        ]
        return {
            "loss": total,
            **{
                name: terms[name].detach() if name in terms else nan
                for name in self.term_names[1:-1]
            },
            "embedding_std": torch.stack(spread).mean() if spread else nan,
        }

    @property
    @abstractmethod
    def term_names(self) -> list[str]:
        """Names of the values that a call returns."""


def heads_of(encoder: PooledEncoder, heads: Sequence[nn.Module]) -> nn.ModuleList:
    """One head per modality, checked for their number."""
    if len(heads) != len(encoder.names):
        raise ValueError(
            f"There are {len(heads)} heads for {len(encoder.names)} modalities "
            f"({', '.join(map(repr, encoder.names))}); expected one each."
        )
    return nn.ModuleList(heads)


def embed(encoder: PooledEncoder, views: Sequence[View]) -> dict[str, Tensor]:
    """Embeddings (n_views, n_rows, embed_dim) of each modality of the views."""
    encoded = [encoder(view) for view in views]
    return {name: torch.stack([z[name] for z in encoded]) for name in encoded[0]}


def present_rows(z: Tensor, rows: Tensor | None) -> Tensor:
    """Those of the rows (n_views, n_rows, dim) that are there; None for all."""
    return z if rows is None else z[:, rows]


def project(
    embedded: Mapping[str, Tensor],
    names: Sequence[str],
    heads: nn.ModuleList,
    presence: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """Project the rows that have a modality, (n_views, n_present, dim), each view on its own.

    A modality with fewer than two rows is left out: there is nothing to contrast it with.
    """
    projected = {}
    for name, head in zip(names, heads, strict=True):
        if name not in embedded:
            continue
        z = present_rows(embedded[name], presence.get(name))
        if z.shape[1] > 1:
            projected[name] = full_precision(head(z))
    return projected
