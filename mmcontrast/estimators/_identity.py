"""Fingerprints of parameters and data that are the same in every process."""

import copyreg
import functools
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import joblib
import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import nn

from ..modalities import Modalities

_CHUNK_BYTES = 2**24
_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_NAMED = (type, FunctionType)
_SETTINGS = (*_PLAIN, *_NAMED, BuiltinFunctionType, functools.partial, list, tuple)


def identity(value: Any) -> Any:
    """Turn a parameter into something that hashes by its content, whatever holds it.

    Parameters
    ----------
    value : object
        Lists and tuples of equal items are the same; so are numbers of NumPy and of Python, and
        equal paths and strings. Functions and classes go by name, modules by their layers,
        settings and weights, and other objects by what pickle would write.

    Returns
    -------
    object
        Numbers, strings, arrays, and lists, tuples and dicts of them.

    Raises
    ------
    ValueError
        If it is or holds something that another process could not recognise: a lambda, a function
        or class inside a function, or an object that cannot be pickled.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if type(value) in _PLAIN:
        return value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, _NAMED):
        return ("name", _qualified_name(value))
    if isinstance(value, (list, tuple)):
        return [identity(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return ("set", sorted(fingerprint(item) for item in value))
    if isinstance(value, Mapping):
        return {_key(key): identity(item) for key, item in value.items()}
    if isinstance(value, nn.Module):
        return _of_module(value)
    if isinstance(value, torch.Tensor):
        flat = value.detach().cpu().contiguous().reshape(-1)
        # as bytes: NumPy has no bfloat16
        return ("tensor", str(value.dtype), list(value.shape), _of_array(flat.view(torch.uint8)))
    if isinstance(value, np.ndarray):
        return _of_array(value)
    if isinstance(value, functools.partial):
        return ("partial", *map(identity, (value.func, value.args, value.keywords)))
    if isinstance(value, MethodType):
        return ("method", value.__func__.__qualname__, identity(value.__self__))
    if isinstance(value, BaseEstimator):
        params = value.get_params(deep=False)
        return ("estimator", _qualified_name(type(value)), identity(params))
    return _of_object(value)


def fingerprint(*values: Any) -> str:
    """Hash parameters: equal in every process if and only if their identities are.

    Parameters
    ----------
    *values : object
        Parameters, as :func:`identity` takes them.

    Returns
    -------
    str
        Hexadecimal digits.

    Raises
    ------
    ValueError
        If :func:`identity` refuses one of them.
    """
    return joblib.hash([identity(value) for value in values])


def data_fingerprint(X: Modalities) -> str:
    """Hash every value of every modality, reading a few rows at a time.

    Parameters
    ----------
    X : Modalities
        The hash depends on names, types, shapes, values, presence and lengths, and not on whether
        rows are a view, a lazy selection or a copy.

    Returns
    -------
    str
        Hexadecimal digits.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name in X.names:
        presence, lengths = X.presence(name), X.lengths(name)
        shape, dtype = X.row_shapes[name], X.dtypes[name]
        header = (name, dtype.str, (len(X), *map(int, shape)), lengths is not None)
        digest.update(repr(header).encode())
        digest.update(presence.data)
        if lengths is not None:
            digest.update(np.ascontiguousarray(lengths, dtype="<i8").data)
        step = max(1, _CHUNK_BYTES // max(1, int(np.prod(shape)) * dtype.itemsize))
        for start in range(0, len(X), step):
            chunk = np.ascontiguousarray(X.take(name, slice(start, start + step)))
            digest.update(chunk.data)
    return digest.hexdigest()


def _key(key: Any) -> str:
    return str(key) if isinstance(key, str) else fingerprint(key)


def _qualified_name(value: Any) -> str:
    name = f"{value.__module__}.{value.__qualname__}"
    if "<locals>" in name or "<lambda>" in name:
        raise ValueError(_unrecognisable(name))
    return name


def _of_array(array: Any) -> Any:
    array = np.ascontiguousarray(array)
    if array.dtype.hasobject:
        return ("array", list(array.shape), identity(array.ravel().tolist()))
    return ("array", array)


def _of_module(module: nn.Module) -> Any:
    """Layers, weights, which of them are frozen, and settings that the layers do not print."""
    settings = {
        f"{name}.{key}": item
        for name, part in module.named_modules()
        for key, item in vars(part).items()
        if isinstance(item, _SETTINGS) and key != "training" and not key.startswith("_")
    }
    trainable = {name: weight.requires_grad for name, weight in module.named_parameters()}
    values = {**module.state_dict(), **dict(module.named_buffers())}  # those not saved as well
    return ("module", repr(module), identity(settings), trainable, identity(values))


def _of_object(value: Any) -> Any:
    """What pickle would write, with every part in its reliable form."""
    try:
        reduce = copyreg.dispatch_table.get(type(value))
        parts = value.__reduce_ex__(4) if reduce is None else reduce(value)
        if isinstance(parts, str):
            return ("name", getattr(value, "__module__", None), type(value).__qualname__, parts)
        parts = [list(part) if isinstance(part, Iterator) else part for part in parts]
        return ("object", identity(parts))
    except ValueError:
        raise
    except Exception as error:  # whatever the __reduce__ of the object raises
        raise ValueError(_unrecognisable(f"a {type(value).__qualname__}")) from error


def _unrecognisable(what: str) -> str:
    return (
        f"checkpoint cannot tell whether {what} is the same in another process; define it at the "
        "top level of a module."
    )
