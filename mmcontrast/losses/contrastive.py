"""Contrastive losses between two views of the same rows."""

import torch
import torch.nn.functional as F
from torch import Tensor


def nt_xent(z1: Tensor, z2: Tensor, temperature: float = 0.1) -> Tensor:
    r"""Normalised temperature-scaled cross entropy between two views.

    Each of the 2N embeddings has to find its partner among the 2N - 1 others:

    .. math:: -\frac{1}{2N} \sum_{a} \log
              \frac{\exp(s_{a, p(a)} / \tau)}{\sum_{b \neq a} \exp(s_{ab} / \tau)}

    with cosine similarity :math:`s` and the partner :math:`p(a)` of row :math:`a` in the other
    view. It is symmetric in the views, does not depend on the order of the rows, and lies above
    :math:`\log(1 + (2N - 2) e^{-2/\tau})`; a collapsed embedding has :math:`\log(2N - 1)`.

    Parameters
    ----------
    z1, z2 : Tensor of shape (n_rows, dim)
        Projections of the two views, row by row; they are normalised here.
    temperature : float, default=0.1
        Divisor :math:`\tau` of the similarities.

    Returns
    -------
    Tensor
        The mean loss, a scalar.

    Raises
    ------
    ValueError
        If the views differ in shape or have fewer than two rows, so that there is no negative.

    References
    ----------
    Chen, Kornblith, Norouzi and Hinton. "A simple framework for contrastive learning of visual
    representations", ICML 2020, equation 1.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.losses import nt_xent
    >>> z = torch.eye(4)
    >>> print(f"{nt_xent(z, z, temperature=0.1):.4f}")
    0.0003
    """
    if z1.shape != z2.shape:
        raise ValueError(f"The two views differ in shape: {tuple(z1.shape)}, {tuple(z2.shape)}.")
    n_rows = len(z1)
    if n_rows < 2:
        raise ValueError(
            f"A contrastive loss needs at least two rows to have a negative, got {n_rows}."
        )
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    # a row is not its own negative; in place, for a copy of (2N)^2 numbers costs as much as they do
    logits = ((z / temperature) @ z.T).fill_diagonal_(-torch.inf)
    partner = torch.arange(2 * n_rows, device=z.device).roll(n_rows)
    return F.cross_entropy(logits, partner)
