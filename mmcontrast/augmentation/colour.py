"""Augmentations of the colours of images of shape (batch, 3, height, width) in [0, 1]."""

from __future__ import annotations

from numbers import Real
from typing import Any

from sklearn.utils._param_validation import Interval
from torch import Tensor

from ._base import Augmentation, AugmentationContext
from ._image_base import ImageAugmentation, column
from ._image_ops import grey, turn_hue
from ._validation import NON_NEGATIVE


class ColorJitter(ImageAugmentation):
    """Change brightness, contrast, saturation and hue of each image at random.

    Brightness multiplies an image, contrast moves it away from its mean grey, saturation moves
    each pixel away from its own grey, each by a factor drawn from
    U(1 - strength * range, 1 + strength * range); what leaves [0, 1] is cut off. Hue is turned by
    U(-strength * hue, strength * hue) of a whole turn.

    Parameters
    ----------
    brightness, contrast, saturation : float, default=0.4
        Ranges of the factors around 1; factors are never negative.
    hue : float, default=0.1
        Largest turn of the hue, in [0, 0.5].
    p : float, default=0.8
        Probability that an image is changed.
    strength : float, default=1.0
        Multiplies the four ranges.

    Notes
    -----
    The order of the four is random, and the same for all images of a batch; everything else is
    drawn for each image. Images are red, green and blue in [0, 1].

    SimCLR has ranges of 0.8, 0.8, 0.8 and 0.2 on ImageNet and half of them, which are the default,
    on small images; CoMM has the default.

    References
    ----------
    Chen et al., "A simple framework for contrastive learning of visual representations", ICML
    2020, appendices A and B.9.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.augmentation import ColorJitter
    >>> x = torch.full((2, 3, 1, 1), 0.5)
    >>> output = ColorJitter(brightness=0.4, p=1.0)(x, generator=torch.manual_seed(0))
    >>> bool((output >= 0.3).all() and (output <= 0.7).all())
    True
    """

    _needs_colour = True
    _parameter_constraints: dict[str, Any] = {
        **Augmentation._parameter_constraints,
        "brightness": NON_NEGATIVE,
        "contrast": NON_NEGATIVE,
        "saturation": NON_NEGATIVE,
        "hue": [Interval(Real, 0, 0.5, closed="both")],
    }

    def __init__(
        self,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
        hue: float = 0.1,
        p: float = 0.8,
        strength: float = 1.0,
    ):
        super().__init__(p=p, strength=strength)
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.hue = hue

    def draw(
        self, n_images: int, size: tuple[int, int], context: AugmentationContext
    ) -> tuple[Any, ...]:
        """Draw three factors, a turn and an order: see the base class."""
        reaches = [context.strength * value for value in (self.brightness, self.contrast)]
        reaches.append(context.strength * self.saturation)
        factors = [
            context.uniform(n_images, low=max(0.0, 1 - reach), high=1 + reach) for reach in reaches
        ]
        reach = min(0.5, context.strength * self.hue)
        turns = context.uniform(n_images, low=-reach, high=reach)
        ranges = [*reaches, reach]
        order = context.uniform(4).argsort().tolist()
        # what has no range would only cost time
        return (*factors, turns, [k for k in order if ranges[k] > 0])

    def change(self, x: Tensor, *params: Any) -> Tensor:
        """Change the colours: see the base class."""
        *values, order = params
        for k in order:
            x = _OPERATIONS[k](x, column(values[k], x))
        return x


class RandomGrayscale(ImageAugmentation):
    """Take the colour from some images: three equal channels of their luma (ITU-R BT.601).

    Parameters
    ----------
    p : float, default=0.2
        Probability that an image loses its colour.
    strength : float, default=1.0
        How much of its colour it loses; all of it from 1 on.

    Notes
    -----
    Images are red, green and blue in [0, 1].

    References
    ----------
    Chen et al., "A simple framework for contrastive learning of visual representations", ICML
    2020, appendix A.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.augmentation import RandomGrayscale
    >>> red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    >>> RandomGrayscale(p=1.0)(red).flatten()
    tensor([0.2990, 0.2990, 0.2990])
    """

    _needs_colour = True

    def __init__(self, p: float = 0.2, strength: float = 1.0):
        super().__init__(p=p, strength=strength)

    def draw(
        self, n_images: int, size: tuple[int, int], context: AugmentationContext
    ) -> tuple[float]:
        """Draw nothing, but take the strength along: see the base class."""
        return (min(1.0, context.strength),)

    def change(self, x: Tensor, *params: Any) -> Tensor:
        """Take the colour: see the base class."""
        (share,) = params
        return x.lerp(grey(x), share)


def _brighten(x: Tensor, factor: Tensor) -> Tensor:
    return x.mul(factor).clamp_(0, 1)


def _add_contrast(x: Tensor, factor: Tensor) -> Tensor:
    # the grey of a mean is the mean of the greys
    mean = grey(x.mean((2, 3), keepdim=True))
    return x.mul(factor).add_(mean * (1 - factor)).clamp_(0, 1)


def _saturate(x: Tensor, factor: Tensor) -> Tensor:
    return x.mul(factor).add_(grey(x) * (1 - factor)).clamp_(0, 1)


# in the order in which ColorJitter draws their parameters
_OPERATIONS = (_brighten, _add_contrast, _saturate, turn_hue)
