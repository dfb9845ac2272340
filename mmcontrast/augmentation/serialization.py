"""Augmentations as JSON and back, without executing anything that a file names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from ._base import callable_name
from .channels import ChannelDropout
from .colour import ColorJitter, RandomGrayscale
from .compose import Compose
from .image import GaussianBlur, HorizontalFlip, RandomResizedCrop, Translate
from .joint import MultiCrop, MultiDrop
from .multimodal import ModalityAugmentation
from .neuro import BandSNR, Drift, FourierSurrogate, HRFJitter, MotionSpikes, Recrop
from .noise import GaussianNoise
from .sequence import CropResample, DropTimeSteps, TimeShift
from .simclr import SimCLRAugmentation
from .tabular import FeatureMasking

# the only classes that a file can ask for
_REGISTRY: dict[str, type[BaseEstimator]] = {
    cls.__name__: cls
    for cls in (
        BandSNR,
        ChannelDropout,
        ColorJitter,
        Compose,
        CropResample,
        Drift,
        DropTimeSteps,
        FeatureMasking,
        FourierSurrogate,
        GaussianBlur,
        GaussianNoise,
        HRFJitter,
        HorizontalFlip,
        ModalityAugmentation,
        MotionSpikes,
        MultiCrop,
        MultiDrop,
        RandomGrayscale,
        RandomResizedCrop,
        Recrop,
        SimCLRAugmentation,
        TimeShift,
        Translate,
    )
}


def to_config(augmentation: BaseEstimator) -> dict[str, Any]:
    """Describe an augmentation by JSON values.

    Parameters
    ----------
    augmentation : Augmentation, MultiDrop, MultiCrop or ModalityAugmentation
        An object of a class of ``mmcontrast.augmentation``, with anything inside it.

    Returns
    -------
    dict
        ``{"class": name, "params": {...}}`` of str, numbers, bool, None, lists and such dicts.

    Raises
    ------
    TypeError
        If it is or holds an object of another class, or a plain function: code cannot be stored
        as JSON.

    See Also
    --------
    from_config : The way back.

    Examples
    --------
    >>> from mmcontrast.augmentation import GaussianNoise, to_config
    >>> to_config(GaussianNoise(sigma=0.2))
    {'class': 'GaussianNoise', 'params': {'p': 0.5, 'sigma': 0.2, 'strength': 1.0}}
    """
    # the exact class: a subclass would come back as something else
    if _REGISTRY.get(type(augmentation).__name__) is not type(augmentation):
        raise TypeError(_not_storable(augmentation))
    params = augmentation.get_params(deep=False)
    return {
        "class": type(augmentation).__name__,
        "params": {name: _encode(value) for name, value in params.items()},
    }


def from_config(config: Mapping[str, Any]) -> Any:
    """Build an augmentation from its description.

    Only classes of ``mmcontrast.augmentation`` are ever built; nothing is imported or executed.

    Parameters
    ----------
    config : mapping
        What :func:`to_config` returned, also after a trip through JSON.

    Returns
    -------
    Augmentation, MultiDrop, MultiCrop or ModalityAugmentation

    Raises
    ------
    ValueError
        If the description is malformed, or its class or a parameter is unknown.

    See Also
    --------
    to_config : The way there.

    Examples
    --------
    >>> from mmcontrast.augmentation import from_config
    >>> from_config({"class": "TimeShift", "params": {"max_shift": 0.2}})
    TimeShift(max_shift=0.2)
    """
    if not isinstance(config, Mapping) or set(config) != {"class", "params"}:
        raise ValueError(
            "An augmentation is described by a dict with the keys 'class' and 'params', found "
            f"{config!r}."
        )
    name, params = config["class"], config["params"]
    if not isinstance(name, str) or name not in _REGISTRY:
        raise ValueError(
            f"Unknown augmentation class {name!r}; known are {', '.join(sorted(_REGISTRY))}."
        )
    cls = _REGISTRY[name]
    if not isinstance(params, Mapping) or not set(params) <= set(cls._get_param_names()):
        raise ValueError(
            f"{name} has the parameters {', '.join(cls._get_param_names())}, found {params!r}."
        )
    decoded = {key: _decode(value) for key, value in params.items()}
    if cls is ModalityAugmentation:
        decoded["augmentations"] = _pairs(decoded.get("augmentations"))
    elif cls is Compose and not isinstance(decoded.get("augmentations"), list):
        raise ValueError(f"Compose needs a list of augmentations, found {params!r}.")
    return cls(**decoded)


def _encode(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_encode(item) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _encode(item) for key, item in value.items()}}
    return to_config(value)


def _decode(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_decode(item) for item in value]
    if isinstance(value, Mapping) and set(value) == {"dict"} and isinstance(value["dict"], Mapping):
        return {key: _decode(item) for key, item in value["dict"].items()}
    return from_config(value) if isinstance(value, Mapping) else value


def _pairs(entries: Any) -> list[tuple[str, Any]]:
    if not isinstance(entries, list) or not all(
        isinstance(entry, list) and len(entry) == 2 for entry in entries
    ):
        raise ValueError(
            "ModalityAugmentation needs a list of [modality, augmentation] pairs, found "
            f"{entries!r}."
        )
    return [(name, augmentation) for name, augmentation in entries]


def _not_storable(value: Any) -> str:
    if isinstance(value, BaseEstimator) or not callable(value):
        found = f"an object of class {type(value).__module__}.{type(value).__qualname__}"
    else:
        found = f"the function {callable_name(value)}"
    return (
        f"Only augmentations of mmcontrast.augmentation can be stored as JSON, found {found}. Use "
        "pickle or joblib to store user-defined augmentations."
    )
