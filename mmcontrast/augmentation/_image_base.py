"""How augmentations of images run: a block of images at a time, and only those that were chosen.

A batch of photographs is larger than the caches of a processor, and each operation of a chain
would bring it from memory and back. So on a CPU a block that fits goes through the whole chain
before the next one does; an accelerator gets the batch in one piece.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ._base import Augmentation, AugmentationContext

# numbers in a block: what a core's cache holds of an image of 224 pixels; a GPU's limit is memory
_BLOCK = {"cpu": 2**18}
_LARGEST_BLOCK = 2**26
# rounding may leave an image by a little, also in bfloat16; a wrong unit leaves it by far more
_TOLERANCE = 0.01


@dataclass(frozen=True)
class Step:
    """One augmentation of a chain with what it has drawn for a batch.

    Parameters
    ----------
    part : ImageAugmentation
        Changes the images.
    params : tuple
        What its ``draw`` returned.
    chosen : Tensor of shape (batch,), dtype bool, or None
        Which images it changes, None for all.
    """

    part: ImageAugmentation
    params: tuple[Any, ...]
    chosen: Tensor | None


class ImageAugmentation(Augmentation, ABC):
    """Base class of augmentations of images that draw first and change the images later."""

    _batch_ndim = 4
    _batch_layout = "(batch, channels, height, width)"
    # works on red, green and blue in [0, 1]
    _needs_colour = False

    @abstractmethod
    def draw(
        self, n_images: int, size: tuple[int, int], context: AugmentationContext
    ) -> tuple[Any, ...]:
        """Draw the parameters of a batch.

        Parameters
        ----------
        n_images : int
            Images in the batch.
        size : tuple of int
            Height and width.
        context : AugmentationContext
            Strength and randomness.

        Returns
        -------
        tuple
            Tensors of shape (n_images, ...), and anything else that all images share.
        """

    @abstractmethod
    def change(self, x: Tensor, *params: Any) -> Tensor:
        """Change images by parameters that were drawn for them.

        Parameters
        ----------
        x : Tensor of shape (images, channels, height, width)
            Contiguous images in at least float32, not to be modified.
        *params
            Their rows of what :meth:`draw` returned.

        Returns
        -------
        Tensor of the shape of `x`
        """

    def augment(self, x: Tensor, context: AugmentationContext) -> Tensor:
        """Augment every image.

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
        if self._needs_colour:
            check_colour(x, type(self).__name__, "this augmentation")
        return run_steps(x, [self._step(x, context, chosen)])

    def _step(self, x: Tensor, context: AugmentationContext, chosen: Tensor | None) -> Step:
        return Step(self, self.draw(len(x), (x.shape[2], x.shape[3]), context), chosen)


def run_steps(x: Tensor, steps: Sequence[Step]) -> Tensor:
    """Take a batch through a chain, block by block.

    Parameters
    ----------
    x : Tensor of shape (batch, channels, height, width)
        Images of any floating dtype and memory layout, never modified.
    steps : sequence of Step
        What is done to them, in order.

    Returns
    -------
    Tensor of the shape, dtype and memory layout of `x`
    """
    output = torch.empty_like(x)
    if x.numel() == 0:
        return output
    limit = _BLOCK.get(x.device.type, _LARGEST_BLOCK)
    n_images = max(1, limit // x[0].numel())
    dtype = torch.promote_types(x.dtype, torch.float32)
    # read once, before the images are worked on: an accelerator would have to finish them first
    chosen = [None if step.chosen is None else step.chosen.cpu() for step in steps]
    for start in range(0, len(x), n_images):
        here = slice(start, min(start + n_images, len(x)))
        block = x[here].to(dtype).contiguous()
        for step, mask in zip(steps, chosen, strict=True):
            block = _change_chosen(block, step, None if mask is None else mask[here], here)
        output[here] = block
    return output


def _change_chosen(block: Tensor, step: Step, mask: Tensor | None, here: slice) -> Tensor:
    params = _rows(step.params, here)
    if mask is None or mask.all():
        return step.part.change(block, *params)
    if not mask.any():
        return block
    index = mask.nonzero()[:, 0].to(block.device)
    changed = step.part.change(block[index], *_rows(params, index))
    return block.index_copy(0, index, changed)


def _rows(params: tuple[Any, ...], rows: slice | Tensor) -> tuple[Any, ...]:
    return tuple(value[rows] if isinstance(value, Tensor) else value for value in params)


def column(parameter: Tensor, x: Tensor) -> Tensor:
    """Shape one number per image (images,) so that it multiplies images, in their dtype."""
    return parameter.to(x.dtype).view(-1, 1, 1, 1)


def check_colour(x: Tensor, name: str, leave_out: str) -> None:
    """Check that images are red, green and blue in [0, 1].

    Parameters
    ----------
    x : Tensor of shape (batch, channels, height, width)
        Images.
    name : str
        Who needs them, for the message.
    leave_out : str
        What to do without when images have no colours, for the message.

    Raises
    ------
    ValueError
        If there are not three channels, or values are outside [0, 1].
    """
    if x.shape[1] != 3:
        found = (
            f"{name} works on red, green and blue, in a batch of shape (batch, 3, height, width); "
            f"found {x.shape[1]} channel(s) in shape {tuple(x.shape)}."
        )
        if x.shape[3] == 3:
            raise ValueError(
                f"{found} It looks like (batch, height, width, 3): move the channels to the second "
                'axis, by mmcontrast.preprocessing.ImageLayout(channels="last") before the fit.'
            )
        raise ValueError(
            f"{found} Leave out {leave_out}; crop, blur and flip work with any number of channels."
        )
    if x.numel() == 0:
        return
    low, high = _extremes(x.detach())
    if low < -_TOLERANCE or high > 1 + _TOLERANCE:
        raise ValueError(
            f"{name} works on images with values in [0, 1], found values from {low:.4g} to "
            f"{high:.4g}. {_remedy(low, high)}"
        )


def _extremes(x: Tensor) -> tuple[float, float]:
    low, high = torch.stack(torch.aminmax(x)).tolist()
    # NaN, of an image that is not there, would hide all others
    return (low, high) if low == low else _extremes(x.nan_to_num(nan=0.5))


def _remedy(low: float, high: float) -> str:
    if low >= 0 and high <= 255:
        return "Divide images of 8 bits by 255, or give them as uint8."
    return "Augment images before they are standardised or have noise, or rescale them to [0, 1]."


def check_range(
    value: Any, name: str, parameter: str, low: float, high: float = float("inf")
) -> None:
    """ValueError unless `value` is a pair of numbers with low <= first <= second <= high."""
    try:
        first, second = (float(number) for number in value)
        valid = low <= first <= second <= high and second < float("inf")
    except (TypeError, ValueError):
        valid = False
    if not valid:
        upper = "" if high == float("inf") else f", at most {high:g}"
        raise ValueError(
            f"The {parameter!r} parameter of {name} must be a pair of numbers (smallest, largest) "
            f"of at least {low:g}{upper}, the smaller one first; found {value!r}."
        )
