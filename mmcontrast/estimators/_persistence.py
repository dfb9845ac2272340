"""Saving estimators as weights and plain text, so that loading never runs code."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file
from sklearn.utils.validation import check_is_fitted
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


def _write(path: str | Path, module: nn.Module, description: dict[str, Any]) -> None:
    """Write weights and a description into a folder, which is made if need be."""
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {key: value.contiguous().cpu() for key, value in module.state_dict().items()}
    save_file(weights, folder / _WEIGHTS)
    (folder / _DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n")


def _read_description(path: str | Path) -> dict[str, Any]:
    """Read the description from a folder that :meth:`save` made."""
    file = Path(path) / _DESCRIPTION
    if not file.exists():
        raise FileNotFoundError(
            f"{path} holds no saved estimator: {_DESCRIPTION} is missing. Pass the folder that "
            "was given to save()."
        )
    return json.loads(file.read_text())


def load_weights(path: str | Path, module: nn.Module) -> None:
    """Load the weights from a folder that :meth:`save` made into a module."""
    module.load_state_dict(load_file(Path(path) / _WEIGHTS))


class SavableMixin:
    """Gives an estimator `save` and `load`."""

    def save(self: Any, path: str | Path) -> None:
        """Write the fitted estimator into a folder: safetensors and JSON, never code.

        Parameters
        ----------
        path : str or Path
            Folder; it is made if need be.

        Notes
        -----
        Parameters that are objects of your own (an encoder, a callback) are not written; give
        them to :meth:`load` again. The state of the optimiser is not written either.
        """
        check_is_fitted(self)
        fitted = {
            "modalities_": {name: list(shape) for name, shape in self.modalities_.items()},
            "n_features_in_": self.n_features_in_,
            "feature_names_in_": [str(n) for n in getattr(self, "feature_names_in_", [])],
            "scales_": self.scales_,
            "history_": self.history_,
            "n_iter_": self.n_iter_,
        }
        description = {
            "estimator": type(self).__name__,
            "params": {k: to_json(v) for k, v in self.get_params(deep=False).items()},
            "fitted": fitted,
            "seed": int(self.net_.seed),
            "batch_size": int(self.net_.batch_size),
        }
        _write(path, self.net_.module_, description)

    @classmethod
    def load(cls: Any, path: str | Path, **params: Any) -> Any:
        """Read an estimator that :meth:`save` wrote.

        Parameters
        ----------
        path : str or Path
            The folder.
        **params
            Parameters to set in place of the saved ones: objects that could not be saved, or for
            example ``device="cpu"``.

        Returns
        -------
        object
            The fitted estimator.

        Raises
        ------
        FileNotFoundError
            If there is no saved estimator.
        ValueError
            If it is another estimator, or a parameter has to be given again.
        """
        description = _read_description(path)
        if description["estimator"] != cls.__name__:
            raise ValueError(
                f"{path} holds a {description['estimator']}, not a {cls.__name__}. "
                f"Use {description['estimator']}.load."
            )
        for key, value in description["params"].items():
            if key in params:
                continue
            try:
                params[key] = from_json(value)
            except LookupError as error:
                raise ValueError(
                    f"{key} was or held an object of type {error.args[0]}, which is not saved. "
                    f"Pass it again: {cls.__name__}.load(path, {key}=...)."
                ) from error
        return cls(**params)._restore(path, description)
