"""How much two embeddings tell of each other, by correlations over a batch."""

import torch
from torch import Tensor

# of a direction of a code, relative to its widest one
_LEAST_VARIANCE = 1e-4


def cross_correlation(z1: Tensor, z2: Tensor, eps: float = 1e-6) -> Tensor:
    r"""How much of the columns of one embedding those of another one tell, each on its own.

    .. math:: \frac{1}{d_1} \sum_{i=1}^{d_1} \sum_{j=1}^{d_2} \rho_{ij}^2

    with the correlation :math:`\rho_{ij}` of column i of the first and column j of the second
    embedding over the batch. Of independent columns it is :math:`d_2 / (n - 1)` on average, n
    being the number of rows.

    Parameters
    ----------
    z1 : Tensor of shape (n_rows, d1)
    z2 : Tensor of shape (n_rows, d2)
    eps : float, default=1e-6
        Added to the variances.

    Returns
    -------
    Tensor
        A scalar between 0 and d2.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.losses import cross_correlation
    >>> z = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    >>> print(f"{cross_correlation(z, z):.3f}")
    1.000
    """
    first, second = ((z - z.mean(0)) / (z.var(0, unbiased=False) + eps).sqrt() for z in (z1, z2))
    return (first.T @ second / len(z1)).square().sum() / z1.shape[1]


def soft_correlation(z1: Tensor, z2: Tensor) -> Tensor:
    r"""Soft maximal correlation of two codes: twice their covariance less what they take for it.

    .. math:: 2\, \mathrm{tr}\, \mathrm{Cov}(Z_1, Z_2) - \mathrm{tr}\left(\mathrm{Cov}(Z_1)\,
              \mathrm{Cov}(Z_2)\right)

    Over all functions of two modalities with d outputs its maximum is the sum of the d largest
    squared maximal correlations; the codes are then the maximally correlated functions, each with
    a variance that is its correlation. What is not shared has variance 0.

    Parameters
    ----------
    z1, z2 : Tensor of shape (n_rows, dim)
        Codes, row by row; their mean over the batch is taken off here.

    Returns
    -------
    Tensor
        A scalar; to be maximised.

    References
    ----------
    Wang, Wu, Huang, Zheng and Xu. "An efficient approach to informative feature extraction from
    multimodal data", AAAI 2019, equation 8.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.losses import soft_correlation
    >>> z = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    >>> print(f"{soft_correlation(z, z):.2f}")  # two columns of variance 1/2: 2 (1 - 1/4)
    1.50
    """
    z1, z2 = z1 - z1.mean(0), z2 - z2.mean(0)
    shared = 2 * (z1 * z2).sum(1).mean()
    return shared - ((z1.T @ z1) * (z2.T @ z2)).sum() / len(z1) ** 2


def canonical_variates(z1: Tensor, z2: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Maps (dim, n) of two codes, less their means, to the variates that correlate most.

    Each variate has the variance 1 and at most that: directions with next to none are left out.
    """
    roots = []
    for z in (z1, z2):
        z = (z - z.mean(0)).double()
        values, vectors = torch.linalg.eigh(z.T @ z / len(z))
        # directions that are hardly shared are noise; a floor keeps them from being blown up
        floor = _LEAST_VARIANCE * values[-1:].clamp(min=1e-12)
        roots.append(vectors * (values.clamp(min=0) + floor).rsqrt())
    first, second = (
        (z - z.mean(0)).double() @ root for z, root in zip((z1, z2), roots, strict=True)
    )
    left, _, right = torch.linalg.svd(first.T @ second / len(z1))
    maps = roots[0] @ left[:, :n], roots[1] @ right[:n].T
    # the sign of a pair of variates is anybody's
    signs = maps[0].gather(0, maps[0].abs().argmax(0)[None]).sign()
    return (maps[0] * signs).to(z1.dtype), (maps[1] * signs).to(z2.dtype)


def quadratic_correlation(z1: Tensor, z2: Tensor) -> Tensor:
    """:func:`cross_correlation` of each code with squares and some products of the other."""
    return cross_correlation(_quadratic(z1), z2) + cross_correlation(z1, _quadratic(z2))


def _quadratic(z: Tensor) -> Tensor:
    z = z - z.mean(0)
    return torch.cat([z * z.roll(shift, 1) for shift in range(3)], dim=1)
