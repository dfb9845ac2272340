"""Saving estimators as weights and plain text, so that loading never runs code."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file
from torch import nn

from ..augmentation import (
    Augmentation,
    JointAugmentation,
    ModalityAugmentation,
    from_config,
    to_config,
)

_WEIGHTS, _DESCRIPTION = "weights.safetensors", "estimator.json"
_AUGMENTATIONS = (Augmentation, JointAugmentation, ModalityAugmentation)


def to_json(value: Any) -> Any:
    """Describe a parameter in JSON; what cannot be described becomes ``{"object": its type}``.

    Parameters
    ----------
    value : object
        Numbers, strings, None, lists, tuples, dicts, slices, paths and this package's
        augmentations are described in full.

    Returns
    -------
    object
        Something that ``json.dumps`` takes.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [to_json(item) for item in value]}
    if isinstance(value, slice):
        return {"slice": [value.start, value.stop, value.step]}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"dict": {key: to_json(item) for key, item in value.items()}}
    if isinstance(value, _AUGMENTATIONS):
        try:
            return {"augmentation": to_config(value)}
        except TypeError:  # it holds something of the user's own
            pass
    kind = value if isinstance(value, type) else type(value)
    return {"object": f"{kind.__module__}.{kind.__qualname__}"}


def from_json(value: Any) -> Any:
    """Rebuild a parameter that :func:`to_json` described.

    Parameters
    ----------
    value : object

    Returns
    -------
    object

    Raises
    ------
    LookupError
        If it holds an object that was not described; its argument is the type's name.
    """
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tuple":
        return tuple(from_json(item) for item in content)
    if kind == "slice":
        return slice(*content)
    if kind == "dict":
        return {key: from_json(item) for key, item in content.items()}
    if kind == "augmentation":
        return from_config(content)
    raise LookupError(content)


def write(path: str | Path, module: nn.Module, description: dict[str, Any]) -> None:
    """Write weights and a description into a folder, which is made if need be."""
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {key: value.contiguous().cpu() for key, value in module.state_dict().items()}
    save_file(weights, folder / _WEIGHTS)
    (folder / _DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n")


def read_description(path: str | Path) -> dict[str, Any]:
    """Read the description from a folder that :func:`write` made."""
    file = Path(path) / _DESCRIPTION
    if not file.exists():
        raise FileNotFoundError(
            f"{path} holds no saved estimator: {_DESCRIPTION} is missing. Pass the folder that "
            "was given to save()."
        )
    return json.loads(file.read_text())


def load_weights(path: str | Path, module: nn.Module) -> None:
    """Load the weights from a folder that :func:`write` made into a module."""
    module.load_state_dict(load_file(Path(path) / _WEIGHTS))
