"""Augmented views of a batch."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ..augmentation import ModalityAugmentation
from ..nn.multimodal import View


class Augmenter:
    """Augments views at a strength, on the scales of the training data.

    Parameters
    ----------
    augmentation : ModalityAugmentation, callable or None
        None leaves views as they are. A callable is called with a dict of the modalities' batches
        and a generator, and returns such a dict.
    strength : float
        Scales a ModalityAugmentation.
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
        augmentation: ModalityAugmentation | Callable[..., Mapping[str, Tensor]] | None,
        strength: float,
        scales: Mapping[str, float],
    ) -> None:
        self.augmentation = augmentation
        self.strength = strength
        self.scales = scales

    def __call__(self, view: View, generator: torch.Generator) -> View:
        """Augment a view, drawing from the generator."""
        values = view.values
        if isinstance(self.augmentation, ModalityAugmentation):
            values = self.augmentation(
                values,
                lengths=view.lengths,
                scales=self.scales,
                strength=self.strength,
                generator=generator,
            )
        elif self.augmentation is not None:
            values = self.augmentation({k: x.clone() for k, x in values.items()}, generator)
            _check_augmented(values, view.values)
        # what was left alone is copied, for networks that work in place
        return view._replace(
            values={k: x.clone() if x is view.values[k] else x for k, x in values.items()}
        )


def _check_augmented(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    if not isinstance(found, Mapping) or set(found) != set(expected):
        what = list(found) if isinstance(found, Mapping) else f"a {type(found).__name__}"
        raise ValueError(
            f"The augmentation has to return a dict of the modalities {list(expected)}, not {what}."
        )
    for name, x in found.items():
        given = expected[name]
        made = f"{tuple(x.shape)}, {x.dtype}," if isinstance(x, Tensor) else type(x).__name__
        if made != f"{tuple(given.shape)}, {given.dtype},":
            raise ValueError(
                f"The augmentation made {made} of modality {name!r}; expected a tensor of shape "
                f"{tuple(given.shape)} and {given.dtype}, as it was given."
            )
