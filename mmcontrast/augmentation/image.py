"""Augmentations of images and maps of shape (batch, channels, height, width)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ._base import Augmentation, AugmentationContext
from ._image_base import ImageAugmentation, check_range
from ._image_ops import (
    blur_radius,
    blur_rows,
    draw_windows,
    gaussian_kernels,
    resample_windows,
)
from ._validation import FINITE, NON_NEGATIVE


class Translate(Augmentation):
    """Move maps by a random number of whole pixels; nothing wraps around.

    The shift along each axis is ``round(u)`` with u drawn for each sample from
    U(-m - 1/2, m + 1/2) and m = strength * max_shift. For an integer m all shifts from -m to m
    are equally likely; a fractional m gives its outermost shift less often, so that the effect
    grows smoothly with the strength.

    Parameters
    ----------
    max_shift : float, default=1
        Largest shift along each axis, in pixels.
    fill : float, default=0.0
        Value of vacated pixels.
    p : float, default=1.0
        Probability that a sample is augmented; a shift of 0 is among the draws anyway.
    strength : float, default=1.0
        Multiplies max_shift.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.augmentation import Translate
    >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None, None]
    >>> Translate()(x, generator=torch.manual_seed(0))
    tensor([[[[0., 0.],
              [2., 0.]]]])
    """

    _parameter_constraints: dict[str, Any] = {
        **Augmentation._parameter_constraints,
        "max_shift": NON_NEGATIVE,
        "fill": FINITE,
    }
    _batch_ndim = 4
    _batch_layout = "(batch, channels, height, width)"

    def __init__(
        self, max_shift: float = 1, fill: float = 0.0, p: float = 1.0, strength: float = 1.0
    ):
        super().__init__(p=p, strength=strength)
        self.max_shift = max_shift
        self.fill = fill

    def augment(self, x: Tensor, context: AugmentationContext) -> Tensor:
        """Move every sample.

        Parameters
        ----------
        x : Tensor of shape (batch, channels, height, width)
            Maps.
        context : AugmentationContext
            Strength and randomness.

        Returns
        -------
        Tensor of the shape of `x`
        """
        height, width = x.shape[2:]
        # a shift beyond the map leaves nothing, however large
        largest = min(context.strength * self.max_shift, max(height, width))
        shift = context.uniform(2, len(x), low=-largest - 0.5, high=largest + 0.5).round()
        shift = shift.clamp(-math.ceil(largest), math.ceil(largest)).long()[:, :, None]
        row = torch.arange(height, device=x.device) - shift[0]
        column = torch.arange(width, device=x.device) - shift[1]
        inside = ((row >= 0) & (row < height))[:, :, None] & ((column >= 0) & (column < width))[
            :, None
        ]
        source = row.clamp(0, height - 1)[:, :, None] * width + column.clamp(0, width - 1)[:, None]
        index = source.flatten(1)[:, None].expand(-1, x.shape[1], -1)
        moved = x.flatten(2).gather(2, index).view_as(x)
        return torch.where(inside[:, None], moved, self.fill)


class RandomResizedCrop(ImageAugmentation):
    """Cut out a random window of each image and enlarge it to the size of the image.

    A window is drawn by its share of the area and its aspect ratio, both anew if it does not fit
    into the image, and enlarged by bilinear interpolation.

    Parameters
    ----------
    scale : tuple of float, default=(0.08, 1.0)
        Smallest and largest share of the area that is kept.
    ratio : tuple of float, default=(3/4, 4/3)
        Smallest and largest width / height in pixels; its logarithm is uniform.
    p : float, default=1.0
        Probability that an image is cropped.
    strength : float, default=1.0
        What is cut away: the smallest share becomes ``1 - strength * (1 - scale[0])``, the largest
        alike, and up to 1 it is the exponent of the ratios. The larger it is, the smaller the
        windows.

    Notes
    -----
    Windows consist of whole pixels, and nothing from beyond a window enters its enlargement. As
    images keep their size, windows are never made smaller, so there is nothing to antialias.

    References
    ----------
    Szegedy et al., "Going deeper with convolutions", CVPR 2015, section 6.
    Chen et al., "A simple framework for contrastive learning of visual representations", ICML
    2020, appendix A.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.augmentation import RandomResizedCrop
    >>> x = torch.rand(4, 3, 32, 32)
    >>> RandomResizedCrop(scale=(0.5, 1.0))(x).shape
    torch.Size([4, 3, 32, 32])
    """

    _parameter_constraints: dict[str, Any] = {
        **Augmentation._parameter_constraints,
        "scale": [tuple, list],
        "ratio": [tuple, list],
    }

    def __init__(
        self,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        p: float = 1.0,
        strength: float = 1.0,
    ):
        super().__init__(p=p, strength=strength)
        self.scale = scale
        self.ratio = ratio

    def _validate_params(self) -> None:
        super()._validate_params()
        check_range(self.scale, type(self).__name__, "scale", 0, 1)
        check_range(self.ratio, type(self).__name__, "ratio", 1e-3)

    def draw(
        self, n_images: int, size: tuple[int, int], context: AugmentationContext
    ) -> tuple[Tensor]:
        """Draw windows: see the base class."""
        low, high = (max(0.0, 1 - context.strength * (1 - share)) for share in self.scale)
        exponent = min(1.0, context.strength)
        narrow, wide = (aspect**exponent for aspect in self.ratio)
        return (draw_windows(context, n_images, size, (low, high), (narrow, wide)),)

    def change(self, x: Tensor, *params: Any) -> Tensor:
        """Crop: see the base class."""
        return resample_windows(x, *params)


class HorizontalFlip(ImageAugmentation):
    """Mirror images left to right.

    Parameters
    ----------
    p : float, default=0.5
        Probability that an image is mirrored.
    strength : float, default=1.0
        An image cannot be mirrored by halves: 0 is the identity, anything larger the same.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.augmentation import HorizontalFlip
    >>> HorizontalFlip(p=1.0)(torch.tensor([[[[1.0, 2.0, 3.0]]]]))
    tensor([[[[3., 2., 1.]]]])
    """

    def draw(
        self, n_images: int, size: tuple[int, int], context: AugmentationContext
    ) -> tuple[Any, ...]:
        """Draw nothing: see the base class."""
        return ()

    def change(self, x: Tensor, *params: Any) -> Tensor:
        """Mirror: see the base class."""
        return x.flip(3)


class GaussianBlur(ImageAugmentation):
    """Blur each image by a Gaussian of a width of its own.

    The kernel is cut to a tenth of the height, and odd: 23 pixels at 224. Images are reflected at
    their edges.

    Parameters
    ----------
    sigma : tuple of float, default=(0.1, 2.0)
        Smallest and largest standard deviation in pixels.
    p : float, default=0.5
        Probability that an image is blurred.
    strength : float, default=1.0
        Multiplies sigma.

    Notes
    -----
    Small images are hardly blurred: at 32 pixels the kernel has three, below 20 pixels one, which
    changes nothing.

    References
    ----------
    Chen et al., "A simple framework for contrastive learning of visual representations", ICML
    2020, appendix A.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.augmentation import GaussianBlur
    >>> x = torch.rand(4, 3, 32, 32)
    >>> bool(GaussianBlur(p=1.0)(x).std() < x.std())
    True
    """

    _parameter_constraints: dict[str, Any] = {
        **Augmentation._parameter_constraints,
        "sigma": [tuple, list],
    }

    def __init__(
        self, sigma: tuple[float, float] = (0.1, 2.0), p: float = 0.5, strength: float = 1.0
    ):
        super().__init__(p=p, strength=strength)
        self.sigma = sigma

    def _validate_params(self) -> None:
        super()._validate_params()
        check_range(self.sigma, type(self).__name__, "sigma", 0)

    def draw(
        self, n_images: int, size: tuple[int, int], context: AugmentationContext
    ) -> tuple[Tensor]:
        """Draw standard deviations: see the base class."""
        low, high = (context.strength * value for value in self.sigma)
        return (context.uniform(n_images, low=low, high=high),)

    def change(self, x: Tensor, *params: Any) -> Tensor:
        """Blur: see the base class."""
        (sigma,) = params
        radius = blur_radius(x.shape[2])
        if radius == 0:
            return x
        for _ in range(2):
            # an image narrower than the kernel could not be reflected
            kernels = gaussian_kernels(sigma.to(x.dtype), min(radius, x.shape[2] - 1))
            x = blur_rows(x, kernels).transpose(2, 3)
        return x
