"""Fusion whose embedding also holds products of the modalities' codes."""

from collections.abc import Sequence
from itertools import combinations
from math import isqrt
from typing import Any, cast

import torch
from torch import Tensor, nn

from .fusion import TransformerFusion

# a batch of fewer rows than that many times the dimensions has no covariance to rely on
_ROWS_PER_DIM = 2


class Whitening(nn.Module):
    r"""Maps vectors to mean 0, variance 1 at most and (nearly) no correlation between dimensions.

    Like batch normalisation, it takes the statistics of the batch in training and running ones in
    evaluation; unlike it, a code cannot have the same property in all of its dimensions [1]_. The
    vectors are multiplied by the inverse Cholesky factor of their covariance, whose off-diagonal
    is first shrunk towards zero, so that dimensions without content of their own are not blown up:
    they keep a variance below 1. A batch with fewer than two rows per dimension is whitened by the
    running statistics, and counts for less in them, beside the mean of 0 and the identity that
    they start from.

    Parameters
    ----------
    dim : int
        Size of the vectors.
    shrinkage : float, default=0.01
        Between 0 (whitening) and 1 (batch normalisation without scale and shift).
    momentum : float, default=0.1
        Weight of a batch in the running statistics, which are plain means before there have been
        ``1 / momentum`` batches of two rows per dimension or more.

    References
    ----------
    .. [1] A. Ermolov, A. Siarohin, E. Sangineto and N. Sebe. "Whitening for self-supervised
       representation learning." ICML 2021.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import Whitening
    >>> x = torch.randn(500, 3)
    >>> x[:, 2] += x[:, 1] + 7
    >>> white = Whitening(3)(x)
    >>> torch.allclose(torch.cov(white.T), torch.eye(3), atol=0.2)
    True
    """

    mean: Tensor
    covariance: Tensor
    n_batches: Tensor

    def __init__(self, dim: int, shrinkage: float = 0.01, momentum: float = 0.1) -> None:
        super().__init__()
        self.shrinkage = shrinkage
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("covariance", torch.eye(dim))
        self.register_buffer("n_batches", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Whiten vectors.

        Parameters
        ----------
        x : Tensor of shape (n_rows, dim)
            A single row has no statistics of its own: it is whitened as in evaluation.

        Returns
        -------
        Tensor of shape (n_rows, dim)
        """
        # a covariance does not bear the precision of autocast
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(self.mean.dtype)
            mean, covariance = self.mean, self.covariance
            if self.training and len(x) > 1:
                mean = x.mean(0)
                covariance = (x - mean).T @ (x - mean) / len(x)
                share = min(1.0, len(x) / (_ROWS_PER_DIM * len(mean)))
                self._track(mean.detach(), covariance.detach(), share)
                if share < 1:
                    # clones: the next batch changes them before the gradient is computed
                    mean, covariance = self.mean.clone(), self.covariance.clone()
            return (x - mean) @ self._inverse_root(covariance).T

    def _inverse_root(self, covariance: Tensor) -> Tensor:
        shrunk = torch.lerp(covariance, covariance.diag().diag(), self.shrinkage)
        identity = torch.eye(len(shrunk), dtype=shrunk.dtype, device=shrunk.device)
        # not the plain cholesky: weights that diverged are for the training loop to report
        root, _ = torch.linalg.cholesky_ex(shrunk + 1e-5 * identity)
        return torch.linalg.solve_triangular(root, identity, upper=False)

    @torch.no_grad()
    def _track(self, mean: Tensor, covariance: Tensor, share: float) -> None:
        self.n_batches += share
        weight = share * (1 / self.n_batches.clamp(min=1)).clamp(min=self.momentum)
        self.mean.lerp_(mean, weight)
        self.covariance.lerp_(covariance, weight)


class InteractionFusion(nn.Module):
    r"""Transformer fusion with products of the modalities' codes beside CLS.

    What two modalities determine only together, such as whether a property of the one goes with a
    property of the other, is hardly ever linear in a CLS token that is trained without labels:
    nothing asks for it. Products of what each of them holds have it. The mean of the tokens of
    modality :math:`i` is mapped to a *code* :math:`c_i` of a few whitened dimensions
    (:class:`Whitening`), and the products :math:`c_{ia} c_{jb}` of every pair of modalities
    :math:`i < j` follow the numbers of CLS in the embedding. What is linear in one code times what
    is linear in another is linear in the products, if all of them are kept.

    The products of a pair are zero, their mean if the codes are uncorrelated, in rows and under
    masks without one of the two modalities. Such rows take no part in the statistics either.
    Masks keep all (valid) tokens of a modality or none.

    Interactions of more than two modalities would need products of as many codes, and these
    :math:`k^n` numbers for codes of :math:`k` dimensions.

    Parameters
    ----------
    embed_dim : int
        Size of a token and of CLS, a multiple of `n_heads`.
    n_modalities : int
        Number of modalities.
    interaction_dim : int, default=192
        Number of products, shared evenly among the pairs of modalities. Codes have as many
        dimensions as the largest share needs: :math:`\lceil\sqrt{192}\rceil = 14` for two
        modalities. With one modality there is nothing to multiply.
    **transformer_options
        Further arguments of :class:`TransformerFusion`.

    Attributes
    ----------
    out_dim : int
        Size of the embedding, ``embed_dim + interaction_dim``.
    n_products : dict of (int, int) to int
        Number of products of each pair of modalities, in the order of their columns.

    Raises
    ------
    ValueError
        If there are fewer products than pairs of modalities; as :class:`TransformerFusion`.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import InteractionFusion
    >>> fusion = InteractionFusion(16, n_modalities=2, interaction_dim=36, n_heads=4)
    >>> tokens = torch.randn(5, 3, 16)  # one token of the first modality, two of the second
    >>> both_and_first = torch.tensor([[True, True, True], [True, False, False]])
    >>> both, first = fusion(tokens, both_and_first[:, None], sizes=(1, 2))
    >>> both.shape, first[:, 16:].abs().max().item()
    (torch.Size([5, 52]), 0.0)
    """

    def __init__(
        self,
        embed_dim: int,
        n_modalities: int,
        *,
        interaction_dim: int = 192,
        **transformer_options: Any,
    ) -> None:
        super().__init__()
        self.transformer = TransformerFusion(embed_dim, n_modalities, **transformer_options)
        pairs = list(combinations(range(n_modalities), 2))
        if pairs and interaction_dim < len(pairs):
            raise ValueError(
                f"interaction_dim={interaction_dim} gives no product to some of the {len(pairs)} "
                f"pairs of {n_modalities} modalities. Choose a larger one; k * k per pair lets "
                "the codes have k dimensions."
            )
        shares = [(interaction_dim + i) // len(pairs) for i in reversed(range(len(pairs)))]
        self.n_products = dict(zip(pairs, shares, strict=True))
        self.out_dim = embed_dim + sum(shares)
        code_dim = isqrt(max(shares, default=1) - 1) + 1  # the root, rounded up
        self.codes = nn.ModuleList(
            nn.Sequential(nn.Linear(embed_dim, code_dim), Whitening(code_dim))
            for _ in range(n_modalities if pairs else 0)
        )

    def forward(self, tokens: Tensor, keep: Tensor, sizes: Sequence[int]) -> Tensor:
        """Fuse the tokens under every mask.

        Parameters
        ----------
        tokens : Tensor of shape (batch, n_tokens, embed_dim)
            Tokens of all modalities, one modality after the other.
        keep : bool Tensor of shape (n_masks, batch or 1, n_tokens)
            Tokens that each mask keeps.
        sizes : sequence of int, length n_modalities
            Number of tokens per modality, 0 for one that was not given.

        Returns
        -------
        Tensor of shape (n_masks, batch, out_dim)
            CLS and products of each row under each mask.
        """
        z = self.transformer(tokens, keep, sizes)
        if not self.n_products:
            return z
        kept = torch.stack([part.any(-1) for part in keep.split(list(sizes), dim=-1)])
        in_pairs = (kept & (kept.sum(0) > 1)).any(1)  # (n_modalities, batch or 1)
        parts = zip(
            tokens.split(list(sizes), dim=1), keep.any(0).split(list(sizes), dim=1), strict=True
        )
        codes = [self._code(i, *part, in_pairs[i]) for i, part in enumerate(parts)]
        block = [
            (codes[i][:, :, None] * codes[j][:, None, :]).flatten(1)[:, :n]
            * (kept[i] & kept[j])[..., None]
            for (i, j), n in self.n_products.items()
        ]
        return torch.cat([z, torch.cat(block, dim=-1).to(z.dtype)], dim=-1)

    def _code(self, index: int, tokens: Tensor, keep: Tensor, rows: Tensor) -> Tensor:
        """Code (batch, code_dim) of a modality; zero but in the given rows."""
        weights = keep.to(tokens.dtype)[..., None]
        mean = (tokens * weights).sum(1) / weights.sum(1).clamp(min=1)
        code = cast(nn.Sequential, self.codes[index])
        if rows.all():
            return code(mean)
        rows = rows.expand(len(mean))
        whitening = cast(Whitening, code[-1])
        some = code(mean[rows]) if rows.any() else mean.new_zeros(0, len(whitening.mean))
        return some.new_zeros(len(mean), some.shape[1]).masked_scatter(rows[:, None], some)
