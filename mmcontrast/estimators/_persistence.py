"""Saving estimators as weights and plain text, so that loading never runs code."""

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
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
from ..training import resolve_device

_WEIGHTS, _DESCRIPTION = "weights.safetensors", "estimator.json"
_AUGMENTATIONS = (Augmentation, JointAugmentation, ModalityAugmentation)
# what reading a damaged file may raise; a missing file is an OSError
_SYMPTOMS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
)


class ObjectNotSavedError(Exception):
    """A parameter was or held an object that JSON cannot describe; says the type's name."""


class DamagedError(ValueError):
    """A folder does not hold what ``save`` writes."""


def to_json(value: Any) -> Any:
    """Describe a parameter in JSON; what cannot be described becomes ``{"object": its type}``.

    Parameters
    ----------
    value : object
        Numbers, strings, None, lists, tuples, dicts, slices, arrays of numbers or strings, types
        of tensors and this package's augmentations are described in full; paths and devices
        become strings.

    Returns
    -------
    object
        Something that ``json.dumps`` takes.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (Path, torch.device)):
        return str(value)
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if type(value) is np.ndarray and value.dtype.kind in "biufUO":
        content = [value.dtype.str, list(value.shape), to_json(value.ravel().tolist())]
        return {"array": content}
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [to_json(item) for item in value]}
    if isinstance(value, slice):
        return {"slice": to_json([value.start, value.stop, value.step])}
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
    ObjectNotSavedError
        If it holds an object that was not described; its argument is the type's name.
    ValueError, TypeError
        If it is not what :func:`to_json` makes.
    """
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "object":
        raise ObjectNotSavedError(content)
    if kind == "tuple":
        return tuple(from_json(content))
    if kind == "slice":
        return slice(*from_json(content))
    if kind == "dict":
        return {key: from_json(item) for key, item in content.items()}
    if kind == "array":
        dtype, shape, values = content
        return np.fromiter(from_json(values), dtype, len(values)).reshape(shape)
    if kind == "dtype" and isinstance(getattr(torch, content), torch.dtype):
        return getattr(torch, content)
    if kind == "augmentation":
        return from_config(content)
    raise ValueError(f"{value!r} describes no parameter")


@contextmanager
def _reading(path: str | Path) -> Iterator[None]:
    """Turn whatever goes wrong with damaged files into one error."""
    try:
        yield
    except DamagedError:
        raise
    except _SYMPTOMS as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise DamagedError(
            f"{path} is damaged or was not written by save(): {why.rstrip('.')}."
        ) from error


def _write(path: str | Path, module: nn.Module, description: dict[str, Any]) -> None:
    """Write weights and a description into a folder, which is made if need be."""
    folder, save_id = Path(path), uuid.uuid4().hex
    folder.mkdir(parents=True, exist_ok=True)
    # copies, since safetensors refuses tied weights and views of one array
    weights = {
        key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, value in module.state_dict().items()
    }
    with TemporaryDirectory(prefix=".saving-", dir=folder) as partial:
        new = Path(partial)
        save_file(weights, new / _WEIGHTS, metadata={"save_id": save_id})
        text = json.dumps({**description, "save_id": save_id}, indent=1)
        (new / _DESCRIPTION).write_text(text + "\n", encoding="utf-8")
        shutil.copymode(new / _DESCRIPTION, new / _WEIGHTS)  # safetensors lets the owner alone read
        for file in (_WEIGHTS, _DESCRIPTION):
            os.replace(new / file, folder / file)


def _read_description(path: str | Path, cls: Any) -> dict[str, Any]:
    """Read and check the description in a folder that :meth:`save` made."""
    for name in (_DESCRIPTION, _WEIGHTS):
        if not (Path(path) / name).exists():
            raise FileNotFoundError(
                f"{path} holds no saved estimator: {name} is missing. Pass the folder that was "
                "given to save()."
            )
    with _reading(path):
        description = json.loads((Path(path) / _DESCRIPTION).read_text(encoding="utf-8"))
        _check_content("description", description, _DESCRIBED)
    if description["estimator"] != cls.__name__:
        raise ValueError(
            f"{path} holds a {description['estimator']}, not a {cls.__name__}. "
            f"Use {description['estimator']}.load."
        )
    with _reading(path):
        _check_keys("params", description["params"], cls._get_param_names())
        _check_fitted(description["fitted"])
        with safe_open(Path(path) / _WEIGHTS, framework="pt") as file:
            found = (file.metadata() or {}).get("save_id")
        if found != description["save_id"]:
            raise ValueError(
                f"{_WEIGHTS} and {_DESCRIPTION} come from different saves; one was interrupted"
            )
    return description


def load_weights(path: str | Path, module: nn.Module) -> None:
    """Load the weights from a folder that :meth:`save` made into a module.

    Parameters
    ----------
    path : str or Path
    module : Module

    Raises
    ------
    ValueError
        If they are damaged or those of another module.
    """
    with _reading(path):
        module.load_state_dict(load_file(Path(path) / _WEIGHTS))


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_list(value: Any, of: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(map(of, value))


def _is_dict(value: Any, of: Callable[[Any], bool]) -> bool:
    return isinstance(value, dict) and all(map(of, value.values()))


def _is_anything(value: Any) -> bool:
    return True


def _is_shape(value: Any) -> bool:
    return _is_list(value, _is_count) and len(value) > 0 and 0 not in value


_DESCRIBED: dict[str, Callable[[Any], bool]] = {
    "estimator": _is_text,
    "params": lambda value: _is_dict(value, _is_anything),
    "fitted": lambda value: _is_dict(value, _is_anything),
    "seed": _is_count,
    "batch_size": _is_count,
    "save_id": _is_text,
}
_FITTED: dict[str, Callable[[Any], bool]] = {
    "modalities_": lambda value: _is_dict(value, _is_shape) and len(value) > 0,
    "n_features_in_": _is_count,
    "feature_names_in_": lambda value: _is_list(value, _is_text),
    "scales_": lambda value: _is_dict(value, _is_number),
    "history_": lambda value: _is_dict(value, lambda column: _is_list(column, _is_number)),
    "n_iter_": _is_count,
    "_columns": lambda value: _is_dict(value, _is_anything),
    "_padded": lambda value: _is_list(value, _is_text),
    "_byte_images": lambda value: _is_list(value, _is_text),
    "_fitted_on_plain": lambda value: type(value) is bool,
    "target_coding": lambda value: value is None or _is_dict(value, _is_anything),
}


def _check_keys(what: str, found: Any, expected: Any) -> None:
    odd = sorted(set(found) ^ set(expected))
    if odd:
        raise ValueError(f"{what} lacks or should not have {', '.join(map(repr, odd))}")


def _check_content(what: str, found: Any, checks: dict[str, Callable[[Any], bool]]) -> None:
    if not isinstance(found, dict):
        raise ValueError(f"{what} is a {type(found).__name__}, not a dict")
    _check_keys(what, found, checks)
    for key, is_right in checks.items():
        if not is_right(found[key]):
            raise ValueError(f"{what} has an impossible {key}")


def _check_fitted(fitted: Any) -> None:
    _check_content("fitted", fitted, _FITTED)
    if set(fitted["scales_"]) != set(fitted["modalities_"]):
        raise ValueError("fitted has scales_ and modalities_ of different names")
    if any(len(column) != fitted["n_iter_"] for column in fitted["history_"].values()):
        raise ValueError("fitted has a history_ of other than n_iter_ epochs")


def _known_columns(columns: dict[str, Any]) -> dict[str, Any]:
    """Column labels of the modalities for which JSON could describe them."""
    known = {}
    for name, labels in columns.items():
        try:
            known[name] = from_json(labels)
        except ObjectNotSavedError:
            continue
    return known


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
        them to :meth:`load` again. The state of the optimiser is not written either, and neither
        is `checkpoint`, which is a folder of this machine. Weights that a module shares between
        layers are written for each of them, and shared again when they are loaded.

        An older save in the folder is replaced once the new one is complete.

        Raises
        ------
        ValueError
            If a parameter was set since the fit that the network was built with.
        """
        check_is_fitted(self)
        self._check_unchanged("To be saved")
        fitted = {
            "modalities_": {name: list(shape) for name, shape in self.modalities_.items()},
            "n_features_in_": self.n_features_in_,
            "feature_names_in_": [str(n) for n in getattr(self, "feature_names_in_", [])],
            "scales_": self.scales_,
            "history_": self.history_,
            "n_iter_": self.n_iter_,
            "_columns": {name: to_json(labels) for name, labels in self._columns.items()},
            "_padded": sorted(self._padded),
            "_byte_images": sorted(self._byte_images),
            "_fitted_on_plain": self._fitted_on_plain,
            "target_coding": self._target_coding and self._target_coding.to_json(),
        }
        params = {**self.get_params(deep=False), "checkpoint": None}
        description = {
            "estimator": type(self).__name__,
            "params": {key: to_json(value) for key, value in params.items()},
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
            If it is another estimator, a parameter has to be given again, or the folder is damaged.
        """
        description, saved = _read_description(path, cls), {}
        for key, value in description["params"].items():
            if key in params:
                continue
            try:
                with _reading(path):
                    saved[key] = from_json(value)
            except ObjectNotSavedError as error:
                raise ValueError(
                    f"{key} was or held an object of type {error}, which is not saved. "
                    f"Pass it again: {cls.__name__}.load(path, {key}=...)."
                ) from error
        with _reading(path):
            cls(**saved)._validate_params()
            columns = _known_columns(description["fitted"]["_columns"])
        estimator = cls(**saved, **params)
        resolve_device(estimator.device)  # a device that is not there is no fault of the files
        description["fitted"] |= {
            "_columns": columns,
            "_padded": set(description["fitted"]["_padded"]),
            "_byte_images": set(description["fitted"]["_byte_images"]),
            "_column_groups": estimator.modalities,
            "_built_with": estimator.get_params(deep=False),
        }
        # what does not fit parameters that were passed need not be the fault of the files
        with nullcontext() if params else _reading(path):
            return estimator._restore(path, description)
