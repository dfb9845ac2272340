"""Augmentations one after the other."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import _name_estimators
from sklearn.utils.metaestimators import _BaseComposition
from torch import Tensor

from ._base import Augmentation, AugmentationContext, AugmentationLike, apply_augmentation


class Compose(_BaseComposition, Augmentation):
    """Apply several augmentations to the same modality, in the given order.

    Each member decides by its own `p` which samples it augments.

    Parameters
    ----------
    augmentations : list of Augmentation or callable
        Members; a plain function is called as ``f(x)``, and skipped at strength 0. Members are
        named after their class as in :func:`sklearn.pipeline.make_pipeline`, so that
        ``set_params(gaussiannoise__sigma=0.2)`` works; equal classes are numbered
        (``gaussiannoise-1``, ``gaussiannoise-2``).
    p : float, default=1.0
        Probability that a sample goes through the chain at all.
    strength : float, default=1.0
        Multiplies the strength of all members.

    Examples
    --------
    >>> from mmcontrast.augmentation import Compose, DropTimeSteps, GaussianNoise
    >>> augmentation = Compose([GaussianNoise(), DropTimeSteps()])
    >>> augmentation.set_params(gaussiannoise__sigma=0.2, droptimesteps__p=1.0)
    Compose(augmentations=[GaussianNoise(sigma=0.2), DropTimeSteps(p=1.0)])
    """

    _parameter_constraints: dict[str, Any] = {
        **Augmentation._parameter_constraints,
        "augmentations": [list, tuple],
    }

    def __init__(
        self, augmentations: list[AugmentationLike], p: float = 1.0, strength: float = 1.0
    ):
        Augmentation.__init__(self, p=p, strength=strength)
        self.augmentations = augmentations

    @property
    def _members(self) -> list[tuple[str, AugmentationLike]]:
        return _name_estimators(self.augmentations)

    @_members.setter
    def _members(self, members: list[tuple[str, AugmentationLike]]) -> None:
        self.augmentations = [member for _, member in members]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters of the chain and of its members.

        Parameters
        ----------
        deep : bool, default=True
            Whether to add the members and their parameters under their names.

        Returns
        -------
        dict of str to object
        """
        return self._get_params("_members", deep=deep)

    def set_params(self, **params: Any) -> Compose:
        """Set parameters of the chain or of its members.

        Parameters
        ----------
        **params : dict
            ``p``, ``strength``, ``augmentations``, a member's name to replace it, or
            ``<name>__<parameter>``.

        Returns
        -------
        Compose
            The object itself.
        """
        # first the list, so that the other names refer to its new members
        if "augmentations" in params:
            self.augmentations = params.pop("augmentations")
        self._set_params("_members", **params)
        return self

    def augment(self, x: Tensor, context: AugmentationContext) -> Tensor:
        """Apply the members in order.

        Parameters
        ----------
        x : Tensor of shape (batch, ...)
            Input.
        context : AugmentationContext
            Passed on to every member.

        Returns
        -------
        Tensor of the shape of `x`
        """
        for member in self.augmentations:
            x = apply_augmentation(member, x, context)
        return x
