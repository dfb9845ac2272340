"""Redundant, unique and synergistic codes that hold little of each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..nn._features import even_product
from ..nn.multimodal import View
from ._rus import CentredHead, Codes, Head, Projection, RUSObjective
from .contrastive import nt_xent
from .correlation import (
    canonical_variates,
    cross_correlation,
    quadratic_correlation,
    soft_correlation,
)

_FUSIONS = ("product", "mlp", "both")
# of the noise of the unit-norm code of d columns, per column
_QUADRATIC_SHARE = 0.5
_SYNERGY_NOISE = 0.5


class BalancedObjective(RUSObjective):
    r"""Encoders, heads and loss of a decomposition whose parts are what their names say.

    .. math:: L = \lambda_R H(R_1, R_2) + \lambda_U \sum_i \lVert t_i - d_i(\tilde U_i, \bar R_i)
                  \rVert^2 + \lambda_{orth} \sum \rho^2 + \lambda_S \mathrm{NCE}(S', S'')

    - :math:`H` is minus the soft maximal correlation of the two modalities' redundant codes
      (:func:`soft_correlation`), which unlike InfoNCE gives no place to what is not shared.
    - A decoder tells the principal components :math:`t_i` of a modality's own features from its
      unique code with noise and from its redundant code; no gradient goes through the latter, so
      the unique code is left to tell what the redundant one does not. Of sequences the components
      are those of the means, maxima and spreads over time, of the course, and of the maxima of
      mixtures of channels in which bursts stand out, each apart, so that bursts count.
    - :math:`\rho^2` is :func:`cross_correlation` over the batch, of codes and of their squares
      and products, between each unique and each redundant code, between both unique codes, and
      between S and all of them; the redundant code is an anchor that only gives way where it
      repeats a unique one.
    - :math:`S` is made of all products of :math:`q` whitened projections of each unique code. A
      product of codes of mean 0 is, as far as these are independent, uncorrelated with anything
      that one modality tells. NCE, between two draws of noise, keeps rows apart.

    What both modalities tell, each tells in its own way: later, for instance, in the blood than in
    the brain. The difference of the two redundant codes, in their first canonical variates of
    variance 1 and correlation :math:`\rho`, has a correlation of only
    :math:`\sqrt{(1 - \rho) / 2}` with either, and is told by both together alone. It is the
    second piece of S, and costs no training.

    Parameters
    ----------
    row_shapes : mapping of str to tuple of int
        Shape of one row of both modalities.
    encoders, converters : str, Module, class or dict of str to these, default="auto"
        See :func:`~mmcontrast.nn.build_pooled_encoder`. "auto" is
        :class:`~mmcontrast.nn.PooledConvEncoder` for sequences, on
        :class:`~mmcontrast.nn.SpectralFeatures` and mixtures of channels in which bursts stand out.
    embed_dim : int, default=96
        Size of the encoders' output.
    code_dim : int, default=16
        Size of each redundant and unique code.
    synergy_dim : int, default=16
        Number :math:`q` of projections, `code_dim` at most; S has :math:`q^2` columns.
    fusion : {"product", "mlp", "both"}, default="product"
        What S is made of: products; `code_dim` outputs of an MLP of both embeddings; or both.
    discrepancy_dim : int, default=1
        Further columns of S: differences of the first canonical variates of the redundant codes,
        which :meth:`settle` computes.
    n_targets : mapping of str to int or None, default=None
        Supervised: for "R", "U_<name>" and "S", how many columns of the targets it is to tell by a
        linear map. The targets replace redundancy, reconstruction and NCE.
    lambda_r, lambda_u, lambda_s, lambda_orth : float, default=10, 10, 1, 2.5
        Weights.
    noise : float, default=0.05
        Spread, in each column, of the noise on the unique codes in training, if their norm was 1.
    temperature : float, default=0.1
        Temperature of NCE.
    augmented : bool, default=False
        Whether calls are given an augmented view. If not, the features that an encoder reads are
        corrupted in training.
    feature_noise : float, default=0.3
        Spread of the noise on standardised features.
    feature_dropout : float, default=0.1
        Probability of a feature channel to be dropped.

    References
    ----------
    Wang, Wu, Huang, Zheng and Xu. "An efficient approach to informative feature extraction from
    multimodal data", AAAI 2019, equation 8 (soft HGR maximal correlation).

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.losses import BalancedObjective
    >>> from mmcontrast.nn import View
    >>> objective = BalancedObjective({"eeg": (4, 100), "fnirs": (6,)}, code_dim=4, synergy_dim=3)
    >>> view = View({"eeg": torch.randn(8, 4, 100), "fnirs": torch.randn(8, 6)})
    >>> objective.prepare(view)
    >>> list(objective([], view))  # doctest: +NORMALIZE_WHITESPACE
    ['loss', 'redundancy', 'reconstruction_eeg', 'reconstruction_fnirs', 'independence', 'synergy',
     'embedding_std']
    >>> {part: z.shape[1] for part, z in objective.encode(view).items()}
    {'R_eeg': 4, 'R_fnirs': 4, 'U_eeg': 4, 'U_fnirs': 4, 'S': 10}
    """

    target_columns: Tensor
    readouts: Any
    decoders: Any
    projections: Any

    def __init__(
        self,
        row_shapes: Mapping[str, tuple[int, ...]],
        *,
        encoders: Any = "auto",
        converters: Any = "auto",
        embed_dim: int = 96,
        code_dim: int = 16,
        synergy_dim: int = 16,
        fusion: str = "product",
        discrepancy_dim: int = 1,
        n_targets: Mapping[str, int] | None = None,
        lambda_r: float = 10.0,
        lambda_u: float = 10.0,
        lambda_s: float = 1.0,
        lambda_orth: float = 2.5,
        noise: float = 0.05,
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
            synergy_dim=min(synergy_dim, code_dim),
            augmented=augmented,
            n_views=1,
            feature_noise=feature_noise,
            feature_dropout=feature_dropout,
        )
        if fusion not in _FUSIONS:
            raise ValueError(f"fusion={fusion!r} is unknown; choose one of {_FUSIONS}.")
        self.fusion = fusion
        self.discrepancy_dim = min(discrepancy_dim, code_dim)
        for index in range(2 if self.discrepancy_dim else 0):
            self.register_buffer(f"origin_{index}", torch.zeros(code_dim))
            self.register_buffer(f"variates_{index}", torch.zeros(code_dim, self.discrepancy_dim))
        self.weights = {"r": lambda_r, "u": lambda_u, "s": lambda_s, "orth": lambda_orth}
        self.noise = noise * code_dim**0.5
        self.temperature = temperature
        self.redundant = nn.ModuleList(CentredHead(size, code_dim) for size in self.head_dims)
        self.decoders = nn.ModuleList(
            Head(2 * code_dim, part.n_summary, normalise=False) for part in self.features
        )
        if fusion != "mlp":
            self.projections = nn.ModuleList(
                Projection(code_dim, self.synergy_dim) for _ in self.names
            )
        if fusion != "product":
            self.fused = Head(sum(self.head_dims), code_dim)
        self.n_targets = dict(n_targets) if n_targets else None
        if self.n_targets:
            sizes = {part: size for part, (_, size) in self.parts.items()}
            sizes["R"] = code_dim
            self.readouts = nn.ModuleList(
                nn.ModuleList(nn.Linear(sizes[part], n) for _ in range(2 if part == "R" else 1))
                for part, n in self.n_targets.items()
            )
            columns = torch.zeros(sum(self.n_targets.values()), dtype=torch.long)
            self.register_buffer("target_columns", columns)

    @property
    def n_synergy(self) -> int:
        """Number of columns of the synergistic part."""
        products = 0 if self.fusion == "mlp" else self.synergy_dim**2
        fused = 0 if self.fusion == "product" else self.code_dim
        return products + fused + self.discrepancy_dim

    @property
    def term_names(self) -> list[str]:
        """Names of the values that a call returns."""
        if self.n_targets:
            own = [f"targets_{part}" for part in self.n_targets]
            return ["loss", *own, "independence", "embedding_std"]
        own = [f"reconstruction_{name}" for name in self.names]
        return ["loss", "redundancy", *own, "independence", "synergy", "embedding_std"]

    def forward(
        self, views: Sequence[View], original: View | None = None, y: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute the loss of a batch.

        Parameters
        ----------
        views : sequence of View
            One augmentation of the rows, or none.
        original : View
            The un-augmented rows.
        y : Tensor of shape (n_rows, n_targets), optional
            Standardised targets, if supervised.

        Returns
        -------
        dict of str to Tensor
            The total under "loss" and its detached terms under the names of :attr:`term_names`;
            NaN for a term with fewer than two rows in the batch.
        """
        clean, view = self._views(views, original, 1)
        codes = self._codes(view)
        with torch.autocast(next(self.parameters()).device.type, enabled=False):
            noisy = {name: self._noisy(code.unique, self.noise) for name, code in codes.items()}
            pairs = _paired(codes)
            terms = self._supervision(codes, y) if self.n_targets else {}
            if not self.n_targets:
                if pairs:
                    terms["redundancy"] = -self.weights["r"] * soft_correlation(pairs[0], pairs[1])
                    terms["synergy"] = self.weights["s"] * self._synergy(codes)
                terms |= self._reconstruction(clean, codes, noisy)
            if pairs:
                anchors = self._anchors(clean) if self.training else pairs
                dependence = self._dependence(codes, pairs, anchors)
                terms["independence"] = self.weights["orth"] * dependence
            return self._result(terms, codes)

    # ---------------------------------------------------------------------------- terms
    def _noisy(self, z: Tensor, noise: float) -> Tensor:
        return z + noise * torch.randn_like(z) if self.training else z

    def _reconstruction(
        self, clean: View, codes: Mapping[str, Codes], noisy: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        terms = {}
        targets = self._targets(clean, codes)
        for name, features, decode in zip(self.names, self.features, self.decoders, strict=True):
            if name not in codes:
                continue
            given = torch.cat([noisy[name], _standardised(codes[name].redundant.detach())], dim=1)
            errors = (decode(given) - targets[name]).square() * features.weights
            terms[f"reconstruction_{name}"] = self.weights["u"] * errors.sum(1).mean()
        return terms

    @torch.no_grad()
    def _anchors(self, clean: View) -> list[Tensor]:
        """Codes of the clean features.

        A code of corrupted ones shares their noise with the code that it is to be independent of,
        and that may then tell the signal by the difference of the two.
        """
        return _paired(self._codes(clean))

    def _dependence(
        self, codes: Mapping[str, Codes], pairs: Sequence[Tensor], anchors: Sequence[Tensor]
    ) -> Tensor:
        r, u = pairs[:2], pairs[2:]
        fixed = [z.detach() for z in anchors]
        total = cross_correlation(u[0], u[1])
        for one in range(2):
            for other in range(2):
                anchor = fixed[other]
                total = total + cross_correlation(u[one], anchor)
                total = total + cross_correlation(r[other], fixed[2 + one])
                total = total + _QUADRATIC_SHARE * quadratic_correlation(u[one], anchor)
        s = self._fused(list(codes.values()))
        return total + 0.5 * sum(cross_correlation(s, z) for z in fixed)

    def _synergy(self, codes: Mapping[str, Codes]) -> Tensor:
        first, second = (self._fused(list(codes.values())) for _ in range(2))
        return nt_xent(first, second, self.temperature)

    def _supervision(self, codes: Mapping[str, Codes], y: Tensor | None) -> dict[str, Tensor]:
        if y is None:
            raise ValueError("A supervised BalancedObjective needs the targets y.")
        terms, start = {}, 0
        for (part, n), readouts in zip((self.n_targets or {}).items(), self.readouts, strict=True):
            wanted = y[:, self.target_columns[start : start + n]]
            start += n
            errors = [
                (readout(z) - (wanted if rows is None else wanted[rows])).square().mean()
                for readout, (z, rows) in zip(readouts, self._told(part, codes), strict=False)
            ]
            if errors:
                terms[f"targets_{part}"] = self.weights["u"] * torch.stack(errors).sum()
        return terms

    def _told(self, part: str, codes: Mapping[str, Codes]) -> list[tuple[Tensor, Tensor | None]]:
        """Codes that are to tell a part's targets, and the rows that they are of."""
        if part == "S":
            if len(codes) < 2:
                return []
            code = next(iter(codes.values()))
            rows = code.rows if code.paired is None else _both_rows(codes)
            return [(self.fuse(list(codes.values())), rows)]
        if part == "R":
            return [(_standardised(code.redundant), code.rows) for code in codes.values()]
        name = part.removeprefix("U_")
        return [(c.unique, c.rows) for n, c in codes.items() if n == name]

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
        fused = self._fused(codes)
        return torch.cat([fused, self._discrepancy(codes)], 1) if self.discrepancy_dim else fused

    def _fused(self, codes: Sequence[Codes]) -> Tensor:
        """What is learned of the synergistic code."""
        found = []
        if self.fusion != "mlp":
            first, second = (
                self._noisy(project(code.pairs(code.unique)), _SYNERGY_NOISE)
                for project, code in zip(self.projections, codes, strict=True)
            )
            found.append((first[:, :, None] * second[:, None, :]).flatten(1))
        if self.fusion != "product":
            both = torch.cat([code.pairs(code.embedding) for code in codes], dim=1)
            found.append(self._noisy(self.fused(both), _SYNERGY_NOISE))
        return torch.cat(found, dim=1)

    @torch.no_grad()
    def settle(self, views: Iterable[View]) -> None:
        """Take statistics from clean rows, and the canonical variates of the redundant codes.

        Parameters
        ----------
        views : iterable of View
            Batches of training rows, as calls are given them. It is gone through twice.
        """
        super().settle(views)
        if not self.discrepancy_dim:
            return
        was_training = self.training
        self.eval()
        found: list[list[Tensor]] = [[], []]
        for view in views:
            codes = self._codes(self._featured(view, raw=not self.takes_features))
            for part, code in zip(found, codes.values(), strict=False):
                if len(codes) == 2:
                    part.append(code.pairs(code.redundant))
        self.train(was_training)
        if not found[0]:
            return
        first, second = (torch.cat(part) for part in found)
        maps = canonical_variates(first, second, self.discrepancy_dim)
        for index, (z, variates) in enumerate(zip((first, second), maps, strict=True)):
            getattr(self, f"origin_{index}").copy_(z.mean(0))
            getattr(self, f"variates_{index}").copy_(variates)

    def _discrepancy(self, codes: Sequence[Codes]) -> Tensor:
        first, second = (
            even_product(
                code.pairs(code.redundant) - getattr(self, f"origin_{index}"),
                getattr(self, f"variates_{index}"),
            )
            for index, code in enumerate(codes)
        )
        return second - first


def _standardised(z: Tensor) -> Tensor:
    return (z - z.mean(0)) / (z.var(0, unbiased=False) + 1e-6).sqrt()


def _paired(codes: Mapping[str, Codes]) -> list[Tensor]:
    """Redundant codes, then unique ones, of the rows with both modalities, if these are two."""
    if len(codes) < 2:
        return []
    found = [code.pairs(code.redundant) for code in codes.values()]
    found += [code.pairs(code.unique) for code in codes.values()]
    return found if len(found[0]) > 1 else []


def _both_rows(codes: Mapping[str, Codes]) -> Tensor | None:
    masks = [code.rows for code in codes.values() if code.rows is not None]
    return torch.stack(masks).all(0) if masks else None
