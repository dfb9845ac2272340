"""Augmented views of a batch."""

from collections.abc import Mapping

import torch

from ..augmentation import ModalityAugmentation
from ..nn.multimodal import View


class Augmenter:
    """Augments views at a strength, on the scales of the training data.

    Parameters
    ----------
    augmentation : ModalityAugmentation or None
        None leaves views as they are.
    strength : float
        Scales the augmentation.
    scales : mapping of str to float
        Training standard deviation of each modality.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.augmentation import GaussianNoise, make_augmentation
    >>> from mmcontrast.nn import View
    >>> from mmcontrast.training import Augmenter
    >>> augmenter = Augmenter(make_augmentation(eeg=GaussianNoise(p=1.0)), 1.0, {"eeg": 2.0})
    >>> view = augmenter(View({"eeg": torch.zeros(1000, 4)}), torch.Generator().manual_seed(0))
    >>> print(f"{view.values['eeg'].std():.1f}")  # sigma 0.1 of a standard deviation of 2
    0.2
    """

    def __init__(
        self,
        augmentation: ModalityAugmentation | None,
        strength: float,
        scales: Mapping[str, float],
    ) -> None:
        self.augmentation = augmentation
        self.strength = strength
        self.scales = scales

    def __call__(self, view: View, generator: torch.Generator) -> View:
        """Augment a view, drawing from the generator."""
        values = view.values
        if self.augmentation is not None:
            values = self.augmentation(
                values,
                lengths=view.lengths,
                scales=self.scales,
                strength=self.strength,
                generator=generator,
            )
        # what was left alone is copied, for networks that work in place
        return view._replace(
            values={k: x.clone() if x is view.values[k] else x for k, x in values.items()}
        )
