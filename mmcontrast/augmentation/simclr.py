"""The chain of augmentations that SimCLR and its followers use for images."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

from sklearn.utils._param_validation import Interval
from torch import Tensor

from .._names import did_you_mean
from ._base import Augmentation, AugmentationContext
from ._image_base import ImageAugmentation, check_colour, run_steps
from .colour import ColorJitter, RandomGrayscale
from .image import GaussianBlur, HorizontalFlip, RandomResizedCrop

_PARTS = ("crop", "jitter", "grayscale", "blur", "flip")
_GROUPS = {"all": _PARTS, "all_but_crop": _PARTS[1:]}
_COLOURLESS = ("crop", "blur", "flip")


class SimCLRAugmentation(Augmentation):
    """The augmentations of SimCLR for images: crop, colours, blur and flip.

    The same as a :class:`Compose` of :class:`RandomResizedCrop`, :class:`ColorJitter`,
    :class:`RandomGrayscale`, :class:`GaussianBlur` and :class:`HorizontalFlip` as they come, with
    the same draws; but it takes a few images at a time through the whole chain, which is faster.

    Parameters
    ----------
    parts : "all", "all_but_crop" or list of str, default="all"
        What the chain consists of: any of ``"crop"``, ``"jitter"``, ``"grayscale"``, ``"blur"``
        and ``"flip"``, applied in this order. Without the crop, an image keeps what is at its
        edges, such as a label or one of two objects.
    min_scale : float, default=0.08
        Smallest share of the area that the crop keeps at strength 1.
    p : float, default=1.0
        Probability that an image goes through the chain at all.
    strength : float, default=1.0
        Multiplies the strength of all parts; their probabilities stay.

    See Also
    --------
    Compose : For a chain with other parameters or other members.

    Notes
    -----
    ``"jitter"`` and ``"grayscale"`` need red, green and blue in [0, 1]; the other parts work with
    any number of channels and any values.

    References
    ----------
    Chen et al., "A simple framework for contrastive learning of visual representations", ICML
    2020, appendix A.
    Dufumier et al., "What to align in multimodal contrastive learning?", ICLR 2025, appendix C.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.augmentation import SimCLRAugmentation, make_augmentation
    >>> augmentation = make_augmentation(
    ...     image=SimCLRAugmentation(min_scale=0.5), sketch=SimCLRAugmentation(["crop", "flip"])
    ... )
    >>> values = {"image": torch.rand(4, 3, 32, 32), "sketch": torch.rand(4, 1, 32, 32)}
    >>> {name: tuple(x.shape) for name, x in augmentation(values).items()}
    {'image': (4, 3, 32, 32), 'sketch': (4, 1, 32, 32)}
    """

    _batch_ndim = 4
    _batch_layout = "(batch, channels, height, width)"
    _parameter_constraints: dict[str, Any] = {
        **Augmentation._parameter_constraints,
        "parts": [str, list, tuple],
        "min_scale": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(
        self,
        parts: str | Sequence[str] = "all",
        min_scale: float = 0.08,
        p: float = 1.0,
        strength: float = 1.0,
    ):
        super().__init__(p=p, strength=strength)
        self.parts = parts
        self.min_scale = min_scale

    def _validate_params(self) -> None:
        super()._validate_params()
        _part_names(self.parts)

    def augment(self, x: Tensor, context: AugmentationContext) -> Tensor:
        """Take every image through the chain.

        Parameters
        ----------
        x : Tensor of shape (batch, channels, height, width)
            Images.
        context : AugmentationContext
            Strength and randomness.

        Returns
        -------
        Tensor of the shape, dtype and memory layout of `x`
        """
        return self._augment_chosen(x, context, None)

    def _augment_chosen(
        self, x: Tensor, context: AugmentationContext, chosen: Tensor | None
    ) -> Tensor:
        names = _part_names(self.parts)
        coloured = [name for name in names if name not in _COLOURLESS]
        if coloured:
            left = [name for name in names if name in _COLOURLESS]
            check_colour(
                x, type(self).__name__, f"{' and '.join(map(repr, coloured))} (parts={left})"
            )
        steps = []
        for name in names:
            part = self._make_part(name)
            mask = context.uniform(len(x)) < part.p
            if chosen is not None:
                mask = mask & chosen
            every = part.p == 1 and chosen is None
            steps.append(part._step(x, context, None if every else mask))
        return run_steps(x, steps)

    def _make_part(self, name: str) -> ImageAugmentation:
        if name == "crop":
            return RandomResizedCrop(scale=(self.min_scale, 1.0))
        if name == "jitter":
            return ColorJitter()
        if name == "grayscale":
            return RandomGrayscale()
        return GaussianBlur() if name == "blur" else HorizontalFlip()


def _part_names(parts: str | Sequence[str]) -> list[str]:
    """Names in the order of the chain; ValueError for what is unknown."""
    if isinstance(parts, str):
        if parts not in _GROUPS:
            raise ValueError(
                f"The 'parts' of SimCLRAugmentation must be {' or '.join(map(repr, _GROUPS))}, or "
                f"a list of {', '.join(map(repr, _PARTS))}; found {parts!r}."
                f"{did_you_mean(parts, _GROUPS)}"
            )
        return list(_GROUPS[parts])
    for name in parts:
        if name not in _PARTS:
            raise ValueError(
                f"SimCLRAugmentation has no part {name!r}; its parts are "
                f"{', '.join(map(repr, _PARTS))}.{did_you_mean(name, _PARTS)}"
            )
    return [name for name in _PARTS if name in parts]
