"""Additive noise."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ._base import Augmentation, AugmentationContext
from ._validation import NON_NEGATIVE


class GaussianNoise(Augmentation):
    """Add white Gaussian noise to data of any shape.

    The output is ``x + strength * sigma * scale * N(0, 1)``: sigma is relative to `scale`, the
    standard deviation of the modality in the training data, so that one sigma suits volts and
    micromolars alike.

    Parameters
    ----------
    sigma : float, default=0.1
        Standard deviation of the noise in units of the modality's training standard deviation.
    p : float, default=0.5
        Probability that a sample is augmented.
    strength : float, default=1.0
        Multiplies sigma.

    References
    ----------
    Dufumier et al., "What to align in multimodal contrastive learning?", ICLR 2025, appendix B.2.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.augmentation import GaussianNoise
    >>> x = torch.zeros(1000, 50)
    >>> noisy = GaussianNoise(sigma=0.1, p=1.0)(x, scale=20.0, generator=torch.manual_seed(0))
    >>> round(noisy.std().item(), 1)
    2.0
    """

    _parameter_constraints: dict[str, Any] = {
        **Augmentation._parameter_constraints,
        "sigma": NON_NEGATIVE,
    }

    def __init__(self, sigma: float = 0.1, p: float = 0.5, strength: float = 1.0):
        super().__init__(p=p, strength=strength)
        self.sigma = sigma

    def augment(self, x: Tensor, context: AugmentationContext) -> Tensor:
        """Add noise to every sample.

        Parameters
        ----------
        x : Tensor of shape (batch, ...)
            Input.
        context : AugmentationContext
            Strength, scale and randomness.

        Returns
        -------
        Tensor of the shape of `x`
        """
        noise = context.normal(*x.shape).mul_(context.strength * self.sigma * context.scale)
        return (noise + x).to(x.dtype)
