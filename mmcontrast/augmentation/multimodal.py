"""Augmentation of all modalities of a batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from sklearn.utils.metaestimators import _BaseComposition
from torch import Tensor

from .._names import check_entries
from ._base import AugmentationContext, AugmentationLike, apply_augmentation
from ._validation import NON_NEGATIVE, check_lengths, check_scale, check_strength
from .compose import Compose
from .image import Translate
from .joint import JointAugmentation
from .noise import GaussianNoise
from .sequence import DropTimeSteps


class ModalityAugmentation(_BaseComposition):
    """One augmentation per modality, after one that all time-aligned modalities share.

    Parameters
    ----------
    augmentations : list of (str, augmentation) tuples
        Name of a modality and what is done to it: an Augmentation, a plain function called as
        ``f(x)`` (skipped at strength 0), or ``"identity"`` or None for nothing. Modalities
        without an entry are not augmented; entries of modalities that a batch does not hold are
        skipped.
    joint : MultiDrop, MultiCrop, Recrop or None, default=None
        Applied first, to all modalities together, so that its window is the same in all of them
        whatever follows.
    strength : float, default=1.0
        Multiplies the strength of everything inside. 0 is the identity, but for the margins that
        a Recrop cuts off.

    See Also
    --------
    make_augmentation : A shorter way to write the same.

    Examples
    --------
    >>> from mmcontrast.augmentation import GaussianNoise, ModalityAugmentation, MultiDrop
    >>> augmentation = ModalityAugmentation(
    ...     [("eeg", GaussianNoise()), ("fnirs", GaussianNoise(0.2))], joint=MultiDrop()
    ... )
    >>> augmentation = augmentation.set_params(eeg__strength=0.5, joint__max_fraction=0.3)
    >>> augmentation.get_params()["eeg__strength"]
    0.5
    """

    _parameter_constraints: dict[str, Any] = {
        "augmentations": [list, tuple],
        "joint": [JointAugmentation, None],
        "strength": NON_NEGATIVE,
    }

    def __init__(
        self,
        augmentations: list[tuple[str, AugmentationLike]],
        joint: JointAugmentation | None = None,
        strength: float = 1.0,
    ):
        self.augmentations = augmentations
        self.joint = joint
        self.strength = strength

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters of this object and of everything inside.

        Parameters
        ----------
        deep : bool, default=True
            Whether to add ``<modality>`` and ``<modality>__<parameter>``.

        Returns
        -------
        dict of str to object
        """
        return self._get_params("augmentations", deep=deep)

    def set_params(self, **params: Any) -> ModalityAugmentation:
        """Set parameters of this object or of anything inside.

        Parameters
        ----------
        **params : dict
            ``strength``, ``joint``, ``augmentations``, ``<modality>`` to replace an augmentation,
            ``<modality>__<parameter>`` or ``joint__<parameter>``.

        Returns
        -------
        ModalityAugmentation
            The object itself.
        """
        self._set_params("augmentations", **params)
        return self

    def check_names(self, names: Iterable[str]) -> None:
        """Check that every modality spoken of exists.

        Parameters
        ----------
        names : iterable of str
            The modalities of the data.

        Raises
        ------
        TypeError
            If `augmentations` is not a list of (name, augmentation) tuples.
        ValueError
            If a name is unknown (with the closest one that exists), double, or contains ``__``.
        """
        names = list(names)
        check_entries([name for name, _ in self._entries()], names, "augmentation")
        check_entries(getattr(self.joint, "modalities", None) or [], names, "joint augmentation")

    def _entries(self) -> list[tuple[str, AugmentationLike]]:
        for entry in self.augmentations:
            if not (
                isinstance(entry, (tuple, list)) and len(entry) == 2 and isinstance(entry[0], str)
            ):
                raise TypeError(
                    "ModalityAugmentation expects a list of (modality, augmentation) tuples, "
                    f"found the entry {entry!r}. make_augmentation(eeg=..., fnirs=...) builds one."
                )
        names = [name for name, _ in self.augmentations]
        if len(set(names)) < len(names) or any("__" in name for name in names):
            raise ValueError(f"Names of modalities have to be unique and without '__': {names}.")
        return [(name, augmentation) for name, augmentation in self.augmentations]

    def __call__(
        self,
        values: Mapping[str, Tensor],
        *,
        lengths: Mapping[str, Tensor | None] | None = None,
        scales: Mapping[str, float | Tensor] | None = None,
        strength: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Augment a batch of several modalities.

        Parameters
        ----------
        values : mapping of str to Tensor of shape (batch, ...)
            Row-aligned modalities; never modified.
        lengths : mapping of str to Tensor of shape (batch,), optional
            Valid time steps of padded modalities.
        scales : mapping of str to float or Tensor of shape (), optional
            Training standard deviation of each modality, 1 where it is not given. Noise is
            relative to it.
        strength : float, default=1.0
            Multiplies the strength of the object.
        generator : torch.Generator, optional
            Source of randomness; equal states give equal outputs. Default: torch's global one.

        Returns
        -------
        dict of str to Tensor
            Same names in the same order, same dtypes, devices and, but for the sequences that a
            :class:`Recrop` cuts, shapes.

        Raises
        ------
        TypeError
            If a value is not a floating point tensor, or an entry is not an augmentation.
        ValueError
            If a parameter is out of range or an augmentation does not fit its modality.
        """
        self._validate_params()
        effective = self.strength * check_strength(strength, type(self).__name__)
        entries = self._entries()
        output = dict(values)
        # also at strength 0: windows are as long as they are at any other
        if self.joint is not None:
            output = self.joint(output, lengths=lengths, strength=effective, generator=generator)
        if effective == 0:
            return output
        for name, augmentation in entries:
            if name not in output:
                continue
            try:
                n_valid = check_lengths((lengths or {}).get(name), output[name], "augmentation")
                scale = (scales or {}).get(name, 1.0)
                check_scale(scale, "augmentation")
                context = AugmentationContext(
                    effective, output[name].device, n_valid, scale, generator
                )
                output[name] = apply_augmentation(augmentation, output[name], context)
            except (TypeError, ValueError) as error:
                kind = ValueError if isinstance(error, ValueError) else TypeError
                raise kind(f"Cannot augment modality {name!r}: {error}") from error
        return output


def make_augmentation(
    *, joint: JointAugmentation | None = None, strength: float = 1.0, **modalities: AugmentationLike
) -> ModalityAugmentation:
    """Build a ModalityAugmentation from keywords.

    Parameters
    ----------
    joint : MultiDrop, MultiCrop, Recrop or None, default=None
        Applied first, to all modalities together.
    strength : float, default=1.0
        Multiplies the strength of everything inside.
    **modalities : Augmentation, callable, "identity" or None
        What is done to each modality.

    Returns
    -------
    ModalityAugmentation

    Examples
    --------
    >>> from mmcontrast.augmentation import GaussianNoise, TimeShift, make_augmentation
    >>> make_augmentation(eeg=GaussianNoise(), fnirs=TimeShift())
    ModalityAugmentation(augmentations=[('eeg', GaussianNoise()),
                                        ('fnirs', TimeShift())])
    """
    return ModalityAugmentation(list(modalities.items()), joint=joint, strength=strength)


def default_augmentation(row_shapes: Mapping[str, tuple[int, ...]]) -> ModalityAugmentation:
    """Build an augmentation that suits the shape of each modality.

    Parameters
    ----------
    row_shapes : mapping of str to tuple of int
        Shape of one row of each modality.

    Returns
    -------
    ModalityAugmentation
        Sequences (channels, times) get Gaussian noise and a random drop of 0-80 % of the time
        steps, each with probability 0.5, as in the paper; maps (channels, height, width) get
        shifts by up to one pixel and noise; everything else gets noise.

    References
    ----------
    Dufumier et al., "What to align in multimodal contrastive learning?", ICLR 2025, appendix B.2.

    Examples
    --------
    >>> from mmcontrast.augmentation import default_augmentation
    >>> default_augmentation({"age": (5,), "ecg": (12, 500)})
    ModalityAugmentation(augmentations=[('age', GaussianNoise()),
                                        ('ecg',
                                         Compose(augmentations=[GaussianNoise(),
                                                                DropTimeSteps()]))])
    """
    return ModalityAugmentation(
        [(name, _default_for(tuple(shape))) for name, shape in row_shapes.items()]
    )


def unique_augmentation(row_shapes: Mapping[str, tuple[int, ...]]) -> ModalityAugmentation:
    """Build an augmentation that spares what the later modalities share with the first.

    An augmentation that destroys shared information, such as a crop of the part of an image that
    its caption speaks of, tells a contrastive method that it does not matter.

    Parameters
    ----------
    row_shapes : mapping of str to tuple of int
        Shape of one row of each modality.

    Returns
    -------
    ModalityAugmentation
        The first modality is augmented as by :func:`default_augmentation`, the others with
        Gaussian noise only: nothing is dropped, cropped or shifted.

    References
    ----------
    Liang et al., "Factorized contrastive learning", NeurIPS 2023, equation 18.

    Examples
    --------
    >>> from mmcontrast.augmentation import unique_augmentation
    >>> unique_augmentation({"caption": (5, 20), "image": (3, 8, 8)})
    ModalityAugmentation(augmentations=[('caption',
                                         Compose(augmentations=[GaussianNoise(),
                                                                DropTimeSteps()])),
                                        ('image', GaussianNoise())])
    """
    first, *others = row_shapes
    gentle: list[tuple[str, AugmentationLike]] = [(name, GaussianNoise()) for name in others]
    return ModalityAugmentation([(first, _default_for(tuple(row_shapes[first]))), *gentle])


def _default_for(row_shape: tuple[int, ...]) -> AugmentationLike:
    if len(row_shape) == 2:
        return Compose([GaussianNoise(), DropTimeSteps()])
    if len(row_shape) == 3:
        return Compose([Translate(max_shift=1), GaussianNoise()])
    return GaussianNoise()
