"""Targets of supervised methods, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import assert_all_finite, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import type_of_target

from .._warnings import warn

_CLASSES = {"binary", "multiclass"}
_SHOWN = 5
_REGRESSION_HINT = (
    " If y is a number to predict and not a class, pass target_type='regression' to FactorCL."
)
# relative to the largest value
_ROUNDING = 1e-12


@dataclass(frozen=True)
class TargetCoding:
    """How targets become numbers: class codes, or standardised columns.

    Parameters
    ----------
    classes : ndarray or None
        Sorted labels of a classification; None for a regression.
    mean, scale : ndarray of shape (n_targets,) or None
        Of a regression's targets in training.
    """

    classes: np.ndarray | None = None
    mean: np.ndarray | None = None
    scale: np.ndarray | None = None

    @classmethod
    def of(cls, y: np.ndarray, target_type: str, owner: str) -> TargetCoding:
        """Learn the coding of training targets, as :func:`check_target` returns them."""
        if target_type == "classification":
            classes = np.unique(y)
            if len(classes) < 2:
                raise ValueError(
                    f"{owner} is supervised and needs at least two classes, but y holds one class: "
                    f"all {len(y)} labels are {classes.tolist()[0]!r}. Check y, or use it without "
                    "supervision."
                )
            return cls(classes=classes)
        scale = y.std(axis=0)
        constant = np.ptp(y, axis=0) <= _ROUNDING * np.abs(y).max(axis=0)
        if constant.any():
            raise ValueError(
                f"{owner} is supervised, but target {int(np.argmax(constant))} of y is constant: "
                f"all {len(y)} values are {y[0, np.argmax(constant)]:g}. Check y, or use "
                "it without supervision."
            )
        return cls(mean=y.mean(axis=0), scale=scale)

    def encode(self, y: np.ndarray, owner: str) -> np.ndarray:
        """Class codes of shape (n,), int64, or standardised targets (n, n_targets), float32."""
        if self.classes is None:
            n_targets = len(self.mean)  # type: ignore[arg-type]
            if y.ndim != 2 or y.shape[1] != n_targets:
                raise ValueError(
                    f"y has shape {y.shape}, but {owner} was fitted on {n_targets} target(s)."
                )
            return ((y - self.mean) / self.scale).astype(np.float32)
        unknown = np.setdiff1d(y, self.classes)
        if len(unknown):
            raise ValueError(
                f"y holds classes that {owner} was not fitted on: {_listed(unknown)}. It knows "
                f"{_listed(self.classes)}. Leave these rows out, or fit anew."
                + _REGRESSION_HINT
                * (self.classes.dtype.kind in "iuf")
            )
        return np.searchsorted(self.classes, y).astype(np.int64)

    def to_json(self) -> dict[str, Any]:
        """Describe the coding in plain lists."""
        arrays = {"classes": self.classes, "mean": self.mean, "scale": self.scale}
        return {
            name: None if array is None else {"dtype": array.dtype.str, "values": array.tolist()}
            for name, array in arrays.items()
        }

    @classmethod
    def from_json(cls, description: dict[str, Any] | None) -> TargetCoding | None:
        """Make a coding from its description."""
        if description is None:
            return None
        return cls(
            **{
                name: None if part is None else np.array(part["values"], dtype=_dtype(part))
                for name, part in description.items()
            }
        )


def check_target(y: Any, n_rows: int, target_type: str, owner: str) -> tuple[np.ndarray, str]:
    """Targets as an array and the kind of task they belong to.

    Parameters
    ----------
    y : array-like or None
        Targets as passed to fit.
    n_rows : int
        Rows of X.
    target_type : {"auto", "classification", "regression"}
        "auto" takes strings, booleans and whole numbers for classes, all else for a regression.
    owner : str
        Name of the estimator, for messages.

    Returns
    -------
    y : ndarray
        Labels of shape (n_rows,) or targets of shape (n_rows, n_targets).
    target_type : {"classification", "regression"}

    Raises
    ------
    ValueError
        If there is no y, it does not fit X or the task, or holds NaN.
    """
    if y is None:
        raise ValueError(
            f"{owner} requires y to be passed, but the target y is None: it is supervised. Pass "
            "the labels, or use it without supervision."
        )
    y = _as_array(y, owner)
    if len(y) != n_rows:
        check_consistent_length(np.empty(n_rows), y)
    if y.dtype.kind == "f":
        assert_all_finite(y, input_name="y", estimator_name=owner)
    found = type_of_target(y, input_name="y")
    if target_type == "auto":
        target_type = "classification" if found in _CLASSES else "regression"
        _warn_of_many_classes(y, target_type)
    if target_type == "classification":
        if found.startswith("continuous"):
            raise ValueError(
                f"{owner} takes classes, but y is continuous. Cut it into classes, for example "
                "with sklearn.preprocessing.KBinsDiscretizer." + _REGRESSION_HINT
            )
        return column_or_1d(y), target_type
    try:
        return y.reshape(n_rows, -1).astype(np.float64), target_type
    except ValueError as error:
        raise ValueError(
            f"{owner}: y is to be a regression's target but is not numeric ({error})."
        ) from error


def _as_array(y: Any, owner: str) -> np.ndarray:
    """Labels or numbers of one type; objects are looked into."""
    found, y = type(y).__name__, np.asarray(y)
    if not y.ndim:
        raise ValueError(f"{owner}: y is a {found}; expected an array of targets.")
    if y.dtype.kind == "O" and y.size:
        kinds = sorted({_KINDS.get(type(v), type(v).__name__) for v in y.ravel()})
        if len(kinds) > 1 or kinds[0] not in ("bool", "number", "str"):
            raise ValueError(
                f"{owner}: y holds {' and '.join(kinds)} values; expected labels of one type, "
                "without missing ones."
            )
        y = np.array(y.tolist())
    if y.dtype.kind not in "biufU":
        raise ValueError(
            f"{owner}: y is of type {y.dtype}; expected numbers, booleans or strings. Convert it, "
            "for example with y.astype(str)."
        )
    return y


def _warn_of_many_classes(y: np.ndarray, target_type: str) -> None:
    n_classes = len(np.unique(y))
    if target_type == "classification" and y.dtype.kind in "iuf" and n_classes > len(y) / 2 > 5:
        warn(
            f"y is taken for {n_classes} classes of {len(y)} rows, since it holds whole numbers."
            + _REGRESSION_HINT
        )


_KINDS: dict[type, str] = {
    **dict.fromkeys((bool, np.bool_), "bool"),
    **dict.fromkeys((int, float, np.int64, np.int32, np.float64, np.float32), "number"),
    **dict.fromkeys((str, np.str_), "str"),
}


def _dtype(part: dict[str, Any]) -> np.dtype:
    dtype = np.dtype(part["dtype"])
    if dtype.kind not in "biufU":
        raise ValueError(f"targets cannot be of type {dtype}")
    return dtype


def _listed(labels: np.ndarray) -> str:
    shown = ", ".join(repr(label) for label in labels[:_SHOWN].tolist())
    return shown + (f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else "")
