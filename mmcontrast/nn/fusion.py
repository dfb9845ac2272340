"""Fusion of the tokens of several modalities into one embedding per set of modalities."""

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class QuickGELU(nn.Module):
    """Sigmoid approximation of GELU, ``x * sigmoid(1.702 x)``, as in CLIP."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation element by element."""
        return x * torch.sigmoid(1.702 * x)


class FusionBlock(nn.Module):
    """Pre-norm transformer block that can also be evaluated for its first token alone.

    Parameters
    ----------
    embed_dim : int
        Size of a token, a multiple of `n_heads`.
    n_heads : int
        Number of attention heads.
    mlp_ratio : float, default=4.0
        Hidden size of the MLP relative to `embed_dim`.
    dropout : float, default=0.0
        Dropout of the attention weights and of both residual branches.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import FusionBlock
    >>> block, x = FusionBlock(16, n_heads=4), torch.randn(5, 3, 16)
    >>> every_token = torch.ones(1, 3, dtype=torch.bool)
    >>> first = block.first_token(x, every_token[None])[0]
    >>> torch.allclose(first, block(x, every_token)[:, 0], atol=1e-6)
    True
    """

    def __init__(
        self, embed_dim: int, n_heads: int, mlp_ratio: float = 4.0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm_attention = nn.LayerNorm(embed_dim)
        self.query_key_value = nn.Linear(embed_dim, 3 * embed_dim)
        self.project = nn.Linear(embed_dim, embed_dim)
        self.norm_mlp = nn.LayerNorm(embed_dim)
        hidden = int(mlp_ratio * embed_dim)
        self.mlp = nn.Sequential(
            nn.Linear(embed_dim, hidden), QuickGELU(), nn.Linear(hidden, embed_dim)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """Evaluate the block for every token.

        Parameters
        ----------
        x : Tensor of shape (batch, n_tokens, embed_dim)
        keep : bool Tensor of shape (batch or 1, n_tokens)
            Tokens that can be attended to.

        Returns
        -------
        Tensor of shape (batch, n_tokens, embed_dim)
        """
        batch, n_tokens, dim = x.shape
        qkv = self.query_key_value(self.norm_attention(x))
        q, k, v = qkv.view(batch, n_tokens, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=keep[:, None, None, :],
            dropout_p=self.dropout.p if self.training else 0.0,
        )
        return self._residual(x, attended.transpose(1, 2).reshape(batch, n_tokens, dim))

    def first_token(self, x: Tensor, keep: Tensor, *, shared_query: bool = False) -> Tensor:
        """Evaluate the block for the first token only, under several masks at once.

        Equal to ``forward(x, keep[m])[:, 0]`` for every mask ``m``, at a fraction of the cost.
        The query is folded into the key projection (a key's bias shifts all scores of a query
        alike, which the softmax ignores), and the value projection is applied after the weighted
        mean of the tokens, so that neither keys nor values are ever made and the masks share all
        work but the softmax.

        Parameters
        ----------
        x : Tensor of shape (batch, n_tokens, embed_dim)
        keep : bool Tensor of shape (n_masks, batch or 1, n_tokens)
            Tokens that can be attended to under each mask.
        shared_query : bool, default=False
            Whether the first token is the same in all rows of the batch.

        Returns
        -------
        Tensor of shape (n_masks, batch, embed_dim)
        """
        batch, _, dim = x.shape
        n_masks, head_dim = len(keep), dim // self.n_heads
        w_query, w_key, w_value = self.query_key_value.weight.view(3, dim, dim)
        b_query, _, b_value = self.query_key_value.bias.view(3, dim)

        h = self.norm_attention(x)
        first = h[:1, 0] if shared_query else h[:, 0]
        query = F.linear(first, w_query, b_query).view(-1, self.n_heads, head_dim)
        folded = torch.einsum("bhe,hed->bhd", query, w_key.view(self.n_heads, head_dim, dim))
        scores = folded.expand(batch, -1, -1) @ h.transpose(1, 2) / math.sqrt(head_dim)
        scores = scores[None].masked_fill(~keep[:, :, None, :], -torch.inf)
        weights = self.dropout(scores.softmax(-1))  # (n_masks, batch, n_heads, n_tokens)

        stacked = weights.transpose(0, 1).reshape(batch, n_masks * self.n_heads, -1)
        pooled = (stacked @ h).view(batch, n_masks, self.n_heads, dim)
        value = torch.einsum(
            "bmhd,hed->mbhe", pooled, w_value.view(self.n_heads, head_dim, dim)
        ) + weights.sum(-1, keepdim=True) * b_value.view(self.n_heads, head_dim)
        return self._residual(x[:, 0], value.reshape(n_masks, batch, dim))

    def _residual(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + self.dropout(self.project(attended))
        return x + self.dropout(self.mlp(self.norm_mlp(x)))


class TransformerFusion(nn.Module):
    """Transformer over the tokens of all modalities, read out at a learnable CLS token.

    A modality that a mask leaves out has its tokens dropped from the sequence. Only CLS is read,
    so the last layer is evaluated for CLS alone [1]_.

    Parameters
    ----------
    embed_dim : int
        Size of a token, a multiple of `n_heads`.
    n_modalities : int
        Not used; present so that all fusions are made alike.
    n_heads : int, default=8
        Number of attention heads.
    n_layers : int, default=1
        Number of transformer blocks.
    mlp_ratio : float, default=4.0
        Hidden size of the MLPs relative to `embed_dim`.
    dropout : float, default=0.0
        Dropout of attention weights and residual branches.

    Raises
    ------
    ValueError
        If `embed_dim` is not a multiple of `n_heads` or `n_layers` is below one.

    References
    ----------
    .. [1] Dufumier, Castillo Navarro, Tuia and Thiran. "What to align in multimodal contrastive
       learning?" ICLR 2025, section 3.2 and appendix B.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import TransformerFusion
    >>> fusion = TransformerFusion(embed_dim=16, n_modalities=2, n_heads=4)
    >>> tokens = torch.randn(5, 3, 16)  # one token of the first modality, two of the second
    >>> both_and_first = torch.tensor([[True, True, True], [True, False, False]])
    >>> fusion(tokens, both_and_first[:, None], sizes=(1, 2)).shape
    torch.Size([2, 5, 16])
    """

    def __init__(
        self,
        embed_dim: int,
        n_modalities: int,
        *,
        n_heads: int = 8,
        n_layers: int = 1,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if embed_dim % n_heads:
            raise ValueError(
                f"embed_dim={embed_dim} is not a multiple of n_heads={n_heads}. Choose an "
                f"embed_dim like {n_heads * max(1, embed_dim // n_heads)}, or other n_heads."
            )
        if n_layers < 1:
            raise ValueError(f"n_layers={n_layers} must be at least 1.")
        self.cls = nn.Parameter(torch.empty(embed_dim))
        self.blocks = nn.ModuleList(
            FusionBlock(embed_dim, n_heads, mlp_ratio, dropout) for _ in range(n_layers)
        )
        self.norm = nn.LayerNorm(embed_dim)
        self._initialise()

    def _initialise(self) -> None:
        nn.init.trunc_normal_(self.cls, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor, keep: Tensor, sizes: Sequence[int]) -> Tensor:
        """Fuse the tokens under every mask.

        Parameters
        ----------
        tokens : Tensor of shape (batch, n_tokens, embed_dim)
            Tokens of all modalities, one modality after the other.
        keep : bool Tensor of shape (n_masks, batch or 1, n_tokens)
            Tokens that each mask keeps.
        sizes : sequence of int
            Number of tokens per modality (not needed here).

        Returns
        -------
        Tensor of shape (n_masks, batch, embed_dim)
            The embedding of each row under each mask.
        """
        batch, n_masks = len(tokens), len(keep)
        x = torch.cat([self.cls.expand(batch, 1, -1).to(tokens.dtype), tokens], dim=1)
        keep = F.pad(keep, (1, 0), value=True)
        *blocks, last = cast("list[FusionBlock]", list(self.blocks))
        if not blocks:
            return self.norm(last.first_token(x, keep, shared_query=True))
        x = x.repeat(n_masks, 1, 1)
        keep = keep.expand(-1, batch, -1).reshape(n_masks * batch, -1)
        for block in blocks:
            x = block(x, keep)
        z = last.first_token(x, keep[None])
        return self.norm(z).view(n_masks, batch, -1)


class ConcatLinearFusion(nn.Module):
    """One linear layer over the concatenated mean tokens of the modalities.

    The ablation of [1]_ (Table 4): it has no non-linearity, so it cannot represent synergy.
    A modality that a mask leaves out enters as zeros.

    Parameters
    ----------
    embed_dim : int
        Size of a token and of the embedding.
    n_modalities : int
        Number of modalities.

    References
    ----------
    .. [1] Dufumier, Castillo Navarro, Tuia and Thiran. "What to align in multimodal contrastive
       learning?" ICLR 2025, Table 4.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import ConcatLinearFusion
    >>> fusion = ConcatLinearFusion(embed_dim=16, n_modalities=2)
    >>> fusion(torch.randn(5, 3, 16), torch.ones(1, 1, 3, dtype=bool), sizes=(1, 2)).shape
    torch.Size([1, 5, 16])
    """

    def __init__(self, embed_dim: int, n_modalities: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_modalities * embed_dim, embed_dim)

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
        Tensor of shape (n_masks, batch, embed_dim)
            The embedding of each row under each mask.
        """
        weights = keep.expand(-1, len(tokens), -1).to(tokens.dtype)
        means = [
            torch.einsum("mbt,btd->mbd", weight, token) / weight.sum(-1, keepdim=True).clamp(min=1)
            for weight, token in zip(
                weights.split(list(sizes), dim=-1), tokens.split(list(sizes), dim=1), strict=True
            )
        ]
        return self.linear(torch.cat(means, dim=-1))
