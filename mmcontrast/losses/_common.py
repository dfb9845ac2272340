"""Small things that objectives share."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..nn.multimodal import View


def rows_with(view: View, names: Sequence[str]) -> Tensor | None:
    """Rows that have all of these modalities; None for all rows."""
    masks = [view.presence[name] for name in names if name in view.presence]
    return torch.stack(masks).all(0) if masks else None


def full_precision(x: Tensor) -> Tensor:
    """What autocast may have shortened, in float32."""
    return x if x.dtype == torch.float64 else x.float()


def zero_loss(module: nn.Module) -> Tensor:
    """A loss of zero that backward can be called on, where no row has what a term needs."""
    return 0 * torch.stack([p.sum() for p in module.parameters() if p.requires_grad]).sum()
