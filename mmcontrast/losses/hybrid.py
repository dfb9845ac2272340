"""The losses of a redundant, unique and synergistic decomposition, taken literally."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nn.multimodal import View
from ._rus import Codes, Head, RUSObjective
from .contrastive import nt_xent
from .cross_modal import clip_loss

_REMOVALS = ("adversarial", "similarity", "reconstruction")
# where the similarity is 1, its penalty is this logarithm instead of infinity
_LEAST = 1e-3


class HybridObjective(RUSObjective):
    r"""FactorCL's explicit heads and CoMM's fusion, with the losses that come to mind first.

    .. math:: L = \lambda_R \mathrm{NCE}(R_1, R_2) + \lambda_U \sum_i (\lVert t_i - d_i(U_i)
                  \rVert^2 + A_i) + \lambda_S \mathrm{NCE}(S', S'') + \lambda_{orth}
                  \sum_{a < b} \lvert \cos(Z_a, Z_b) \rvert

    :math:`t_i` are principal components of a modality's own features. :math:`A_i` takes the other
    modality's information out of the unique code: an adversary that tells the other modality's
    embedding :math:`H_j` from :math:`U_i`, through a reversed gradient, or
    :math:`-\log(1 - \mathrm{sim}(U_i, H_j))`, with a linear map of :math:`H_j` to the size of the
    code. :math:`S` is an MLP of both embeddings. The last sum is over all pairs of parts, of the
    mean over rows.

    It does not decompose well: a cosine per row is near 0 for most pairs of vectors, dependent or
    not, and nothing keeps S from holding everything. :class:`BalancedObjective` is what to use.

    Parameters
    ----------
    row_shapes : mapping of str to tuple of int
        Shape of one row of both modalities.
    encoders, converters, embed_dim, code_dim : object
        As in :class:`BalancedObjective`. S has `code_dim` columns.
    unique_removal : {"adversarial", "similarity", "reconstruction"}, default="adversarial"
        What :math:`A_i` is; "reconstruction" is none, so that reconstruction alone makes the unique
        codes.
    lambda_r, lambda_u, lambda_s, lambda_orth : float, default=1
        Weights.
    temperature : float, default=0.1
        Temperature of both NCE.
    augmented : bool, default=False
        Whether calls are given two augmented views. If not, the features that an encoder reads are
        corrupted in training.
    feature_noise, feature_dropout : float, default=0.3, 0.1
        As in :class:`BalancedObjective`.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.losses import HybridObjective
    >>> from mmcontrast.nn import View
    >>> objective = HybridObjective({"eeg": (4, 100), "fnirs": (6,)}, code_dim=4)
    >>> view = View({"eeg": torch.randn(8, 4, 100), "fnirs": torch.randn(8, 6)})
    >>> objective.prepare(view)
    >>> list(objective([], view))  # doctest: +NORMALIZE_WHITESPACE
    ['loss', 'redundancy', 'reconstruction_eeg', 'reconstruction_fnirs', 'removal_eeg',
     'removal_fnirs', 'synergy', 'orthogonality', 'embedding_std']
    """

    def __init__(
        self,
        row_shapes: Mapping[str, tuple[int, ...]],
        *,
        encoders: Any = "auto",
        converters: Any = "auto",
        embed_dim: int = 96,
        code_dim: int = 16,
        unique_removal: str = "adversarial",
        lambda_r: float = 1.0,
        lambda_u: float = 1.0,
        lambda_s: float = 1.0,
        lambda_orth: float = 1.0,
        temperature: float = 0.1,
        augmented: bool = False,
        feature_noise: float = 0.3,
        feature_dropout: float = 0.1,
    ) -> None:
        super().__init__(
            row_shapes,
            encoders=encoders,
            converters=converters,
            embed_dim=embed_dim,
            code_dim=code_dim,
            synergy_dim=code_dim,
            augmented=augmented,
            n_views=2,
            feature_noise=feature_noise,
            feature_dropout=feature_dropout,
        )
        if unique_removal not in _REMOVALS:
            raise ValueError(
                f"unique_removal={unique_removal!r} is unknown; choose one of {_REMOVALS}."
            )
        self.unique_removal = unique_removal
        self.weights = {"r": lambda_r, "u": lambda_u, "s": lambda_s, "orth": lambda_orth}
        self.temperature = temperature
        self.decoders = nn.ModuleList(
            Head(code_dim, part.n_summary, normalise=False) for part in self.features
        )
        self.fused = Head(sum(self.head_dims), code_dim)
        self.removers = nn.ModuleList()
        for size in reversed(self.head_dims):
            if unique_removal == "adversarial":
                self.removers.append(Head(code_dim, size, normalise=False))
            elif unique_removal == "similarity":
                self.removers.append(nn.Linear(size, code_dim))

    @property
    def n_synergy(self) -> int:
        """Number of columns of the synergistic part."""
        return self.code_dim

    @property
    def term_names(self) -> list[str]:
        """Names of the values that a call returns."""
        kinds = ("reconstruction", "removal") if self.removers else ("reconstruction",)
        own = [f"{what}_{name}" for what in kinds for name in self.names]
        return ["loss", "redundancy", *own, "synergy", "orthogonality", "embedding_std"]

    def forward(
        self, views: Sequence[View], original: View | None = None, y: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute the loss of a batch.

        Parameters
        ----------
        views : sequence of View
            Two augmentations of the rows, or none.
        original : View
            The un-augmented rows.
        y : None
            Not used.

        Returns
        -------
        dict of str to Tensor
            The total under "loss" and its detached terms under the names of :attr:`term_names`;
            NaN for a term with fewer than two rows in the batch.
        """
        clean, view, other = self._views(views, original, 2)
        codes, again = self._codes(view), self._codes(other)
        with torch.autocast(next(self.parameters()).device.type, enabled=False):
            terms = self._reconstruction(clean, codes)
            both = list(codes.values())
            if len(both) == 2 and len(both[0].pairs(both[0].unique)) > 1:
                terms |= self._terms_of_pairs(both, list(again.values()))
            return self._result(terms, codes)

    def _reconstruction(self, clean: View, codes: Mapping[str, Codes]) -> dict[str, Tensor]:
        terms = {}
        targets = self._targets(clean, codes)
        for name, features, decode in zip(self.names, self.features, self.decoders, strict=True):
            if name in codes:
                errors = (decode(codes[name].unique) - targets[name]).square() * features.weights
                terms[f"reconstruction_{name}"] = self.weights["u"] * errors.sum(1).mean()
        return terms

    def _terms_of_pairs(self, codes: list[Codes], again: list[Codes]) -> dict[str, Tensor]:
        r = [code.pairs(code.redundant) for code in codes]
        u = [code.pairs(code.unique) for code in codes]
        s = self.fuse(codes)
        terms = {"redundancy": self.weights["r"] * clip_loss(r[0], r[1], self.temperature)}
        terms["synergy"] = self.weights["s"] * nt_xent(s, self.fuse(again), self.temperature)
        for index, name in enumerate(self.names if self.removers else ()):
            other = codes[1 - index]
            embedding = other.pairs(other.embedding)
            removal = self._removal(index, u[index], embedding)
            terms[f"removal_{name}"] = self.weights["u"] * removal
        terms["orthogonality"] = self.weights["orth"] * _orthogonality([*r, *u, s])
        return terms

    def _removal(self, index: int, unique: Tensor, other: Tensor) -> Tensor:
        """Penalty of what a unique code tells of the other modality's embedding."""
        if self.unique_removal == "adversarial":
            told = self.removers[index](_Reversed.apply(unique))
            wanted = other.detach()
            wanted = (wanted - wanted.mean(0)) / (wanted.std(0) + 1e-3)
            return (told - wanted).square().mean()
        mapped = self.removers[index](other)
        similarity = F.cosine_similarity(unique, mapped, dim=1)
        return -torch.log((1 - similarity).clamp(min=_LEAST)).mean()

    def fuse(self, codes: Sequence[Codes]) -> Tensor:
        """Synergistic code of the rows that have both modalities.

        Parameters
        ----------
        codes : sequence of Codes
            Of both modalities.

        Returns
        -------
        Tensor of shape (n_pairs, n_synergy)
        """
        return self.fused(torch.cat([code.pairs(code.embedding) for code in codes], dim=1))


class _Reversed(torch.autograd.Function):
    """The identity, whose gradient has the other sign."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return -gradient


def _orthogonality(parts: Sequence[Tensor]) -> Tensor:
    """Sum over pairs of parts of the mean absolute cosine of their rows."""
    total = parts[0].new_zeros(())
    for index, first in enumerate(parts):
        for second in parts[index + 1 :]:
            if first.shape[1] == second.shape[1]:
                total = total + F.cosine_similarity(first, second, dim=1).abs().mean()
    return total
