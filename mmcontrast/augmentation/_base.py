"""Base class of all augmentations, and the per-batch context that they draw from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from ._validation import (
    NON_NEGATIVE,
    PROBABILITY,
    check_batch,
    check_lengths,
    check_output,
    check_scale,
    check_strength,
)


@dataclass(frozen=True)
class AugmentationContext:
    """What an augmentation may know of the batch, and its source of randomness.

    Parameters
    ----------
    strength : float
        Effective strength s > 0; 1 is the strength that the literature uses.
    device : torch.device
        Where the draws are wanted.
    lengths : Tensor of shape (batch,), dtype int64, or None
        Valid time steps of padded sequences, None when every step is valid.
    scale : float or Tensor of shape ()
        Training standard deviation of the modality.
    generator : torch.Generator or None
        Source of the draws; None is torch's global generator of ``device``.

    Notes
    -----
    Draws are float32 whatever the dtype of the data, so that the same seed gives the same
    augmentation in every precision. They are made on the generator's device, so that a CPU
    generator gives the same augmentation on every device.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.augmentation import AugmentationContext
    >>> context = AugmentationContext(strength=1.0, device=torch.device("cpu"))
    >>> context.uniform(3, low=-1.0).shape
    torch.Size([3])
    """

    strength: float
    device: torch.device
    lengths: Tensor | None = None
    scale: float | Tensor = 1.0
    generator: torch.Generator | None = None

    @property
    def _draw_on(self) -> torch.device:
        return self.device if self.generator is None else self.generator.device

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Draw float32 numbers uniformly from [low, high).

        Parameters
        ----------
        *shape : int
            Shape of the draw; its first number is usually the batch size.
        low, high : float
            Ends of the interval.

        Returns
        -------
        Tensor of the given shape
        """
        draw = torch.rand(shape, generator=self.generator, device=self._draw_on)
        return draw.mul_(high - low).add_(low).to(self.device)

    def normal(self, *shape: int) -> Tensor:
        """Draw float32 numbers from the standard normal distribution.

        Parameters
        ----------
        *shape : int
            Shape of the draw.

        Returns
        -------
        Tensor of the given shape
        """
        draw = torch.randn(shape, generator=self.generator, device=self._draw_on)
        return draw.to(self.device)

    def bernoulli(self, rate: float, *shape: int) -> Tensor:
        """Draw booleans that are true with probability `rate`.

        Parameters
        ----------
        rate : float
            Probability of True, in [0, 1].
        *shape : int
            Shape of the draw.

        Returns
        -------
        Tensor of the given shape, dtype bool
        """
        # integers cost a fifth of float draws on a CPU, and float32 has 24 random bits as well
        bits = torch.randint(
            2**24, shape, generator=self.generator, device=self._draw_on, dtype=torch.int32
        )
        return (bits < round(rate * 2**24)).to(self.device)


class Augmentation(BaseEstimator):
    """Base class of augmentations of one modality: whole batches, random parameters per sample.

    An augmentation is a scikit-learn object without ``fit``: parameters are stored as given,
    read and changed by ``get_params`` and ``set_params``, and validated when it is called.

    To write one's own, derive from this class, keep `p` and `strength` in ``__init__`` and
    implement :meth:`augment`. The base class decides which samples are augmented, returns the
    input itself at strength 0, and keeps padded steps as they are.

    Parameters
    ----------
    p : float, default=0.5
        Probability that a sample is augmented at all, drawn for each sample.
    strength : float, default=1.0
        Multiplies the strength of the call. 0 is the identity, 1 the strength of the
        literature; larger values are allowed, fractions stop at their legal range.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.augmentation import Augmentation
    >>> class FlipSign(Augmentation):
    ...     def augment(self, x, context):
    ...         return -x
    >>> x = torch.ones(4, 2)
    >>> FlipSign(p=1.0)(x).mean()
    tensor(-1.)
    >>> FlipSign(p=1.0)(x, strength=0.0) is x
    True
    """

    _parameter_constraints: dict[str, Any] = {"p": PROBABILITY, "strength": NON_NEGATIVE}
    # dimensions of a batch that the augmentation is made for; None: any
    _batch_ndim: int | None = None
    _batch_layout: str = "(batch, ...)"

    def __init__(self, p: float = 0.5, strength: float = 1.0):
        self.p = p
        self.strength = strength

    def augment(self, x: Tensor, context: AugmentationContext) -> Tensor:
        """Augment every sample; the base class then keeps those that were chosen.

        Parameters
        ----------
        x : Tensor of shape (batch, ...)
            Floating point input, not to be modified.
        context : AugmentationContext
            Strength, valid lengths, scale and the source of random draws.

        Returns
        -------
        Tensor of the shape, dtype and device of `x`
        """
        raise NotImplementedError(f"{type(self).__name__} must implement augment(x, context).")

    def __call__(
        self,
        x: Tensor,
        *,
        lengths: Tensor | None = None,
        scale: float | Tensor = 1.0,
        strength: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Augment a batch.

        Parameters
        ----------
        x : Tensor of shape (batch, ...)
            Floating point input on any device; never modified.
        lengths : Tensor of shape (batch,), dtype int, optional
            Valid time steps of padded sequences (batch, channels, times). Padded steps stay as
            they are and never move into the valid part.
        scale : float or Tensor of shape (), default=1.0
            Standard deviation of the modality in the training data; noise is relative to it.
        strength : float, default=1.0
            Multiplies the strength of the object.
        generator : torch.Generator, optional
            Source of randomness; equal states give equal outputs. Default: torch's global one.

        Returns
        -------
        Tensor of the shape, dtype and device of `x`
            `x` itself when the strength or `p` is 0.

        Raises
        ------
        TypeError
            If `x` is not a floating point tensor.
        ValueError
            If a parameter is out of range, or `x`, `lengths`, `scale` have the wrong shape.
        """
        self._validate_params()
        name = type(self).__name__
        effective = self.strength * check_strength(strength, name)
        check_batch(x, name)
        if self._batch_ndim is not None and x.ndim != self._batch_ndim:
            raise ValueError(
                f"{name} expects a batch of shape {self._batch_layout} with {self._batch_ndim} "
                f"dimensions, found {x.ndim} dimensions in shape {tuple(x.shape)}. Choose another "
                f"augmentation for this kind of data."
            )
        lengths = check_lengths(lengths, x, name)
        check_scale(scale, name)
        if effective == 0 or self.p == 0 or len(x) == 0:
            return x
        context = AugmentationContext(effective, x.device, lengths, scale, generator)
        chosen = context.uniform(len(x)) < self.p
        return self._augment_chosen(x, context, chosen if self.p < 1 else None)

    def _augment_chosen(
        self, x: Tensor, context: AugmentationContext, chosen: Tensor | None
    ) -> Tensor:
        """Augment the chosen samples, all of them for None, and keep the others as they are."""
        augmented = self.augment(x, context)
        check_output(augmented, x, type(self).__name__)
        return keep_unchosen(x, augmented, chosen, context.lengths)


# what can be given where one augmentation is expected: also a plain function, and nothing at all
AugmentationLike = Augmentation | Callable[[Tensor], Tensor] | str | None


def apply_augmentation(
    augmentation: AugmentationLike, x: Tensor, context: AugmentationContext
) -> Tensor:
    """Apply an augmentation object, a plain function, or nothing.

    Parameters
    ----------
    augmentation : Augmentation, callable, "identity" or None
        A plain function is called as ``f(x)`` and skipped at strength 0.
    x : Tensor of shape (batch, ...)
        Input.
    context : AugmentationContext
        Passed on to an Augmentation.

    Returns
    -------
    Tensor of the shape, dtype and device of `x`

    Raises
    ------
    TypeError
        If `augmentation` is none of these.
    ValueError
        If a plain function changed shape, dtype or device.
    """
    if augmentation is None or (isinstance(augmentation, str) and augmentation == "identity"):
        return x
    if isinstance(augmentation, Augmentation):
        return augmentation(
            x,
            lengths=context.lengths,
            scale=context.scale,
            strength=context.strength,
            generator=context.generator,
        )
    if not callable(augmentation) or isinstance(augmentation, type):
        raise TypeError(
            "An augmentation must be an Augmentation object, a function of one tensor, "
            f"'identity' or None, found {augmentation!r}."
        )
    check_batch(x, callable_name(augmentation))
    if context.strength == 0:
        return x
    output = augmentation(x.clone())  # it may work in place
    check_output(output, x, callable_name(augmentation))
    return keep_unchosen(x, output, None, context.lengths)


def callable_name(function: Callable[..., Any]) -> str:
    """Name of a function for messages."""
    return getattr(function, "__name__", type(function).__name__)


def keep_unchosen(
    x: Tensor, augmented: Tensor, chosen: Tensor | None, lengths: Tensor | None
) -> Tensor:
    """Take the augmented values of chosen samples in their valid steps, the input elsewhere."""
    keep = None if chosen is None else chosen.view(-1, *[1] * (x.ndim - 1))
    if lengths is not None:
        valid = valid_steps(lengths, x.shape[-1])[:, None]
        keep = valid if keep is None else keep & valid
    return augmented if keep is None else torch.where(keep, augmented, x)


def valid_steps(lengths: Tensor, n_times: int) -> Tensor:
    """Boolean (batch, times): which steps are not padding."""
    return torch.arange(n_times, device=lengths.device) < lengths[:, None]


def full_lengths(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Valid steps (batch,) of a batch of sequences, all of them when no lengths are given."""
    if lengths is not None:
        return lengths
    return torch.full((len(x),), x.shape[-1], device=x.device)
