"""Input of the estimators: arrays of rows, by name."""

import math
from numbers import Integral, Real
from typing import Any

import numpy as np

from ..modalities import Modalities
from ..nn.converters import check_shape


def check_variables(**variables: Any) -> list[np.ndarray]:
    """Turn variables into float64 arrays of shape (n_rows, n_features) with spread 1.

    Information does not depend on the scale or the origin of a column; distances and networks do.

    Parameters
    ----------
    **variables : array-like of shape (n_rows,) or (n_rows, n_features)
        The variables by the name that messages use.

    Returns
    -------
    list of ndarray of shape (n_rows, n_features)
    """
    arrays = {name: _as_columns(name, value) for name, value in variables.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} has {n}" for name, n in lengths.items())
        raise ValueError(f"{found} rows; row i of each has to belong to the same observation.")
    return [_standardised(name, array) for name, array in arrays.items()]


def _as_columns(name: str, value: Any) -> np.ndarray:
    if isinstance(value, Modalities):
        raise TypeError(
            f"{name} is a Modalities container; pass one of its modalities as an array, for "
            f"example {name}[{value.names[0]!r}]."
        )
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name} cannot be read as an array of real numbers ({error}); encode categories as "
            "numbers and take complex values apart."
        ) from error
    if array.ndim not in (1, 2) or not array.size:
        raise ValueError(
            f"{name} has shape {array.shape}; expected (n_rows,) or (n_rows, n_features), neither "
            "of them 0. Reshape longer rows, such as those of epochs, or reduce them to features."
        )
    columns = array.reshape(len(array), -1)
    bad = np.flatnonzero(~np.isfinite(columns).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{name} has NaN or infinite values in {len(bad)} of {len(array)} rows (the first is "
            f"row {bad[0]}); drop these rows from all variables or impute them."
        )
    return columns


def _standardised(name: str, array: np.ndarray) -> np.ndarray:
    largest = np.abs(array).max(axis=0)
    # no overflow of squares, and a spread as small as rounding is none
    array = array / np.where(largest > 0, largest, 1)
    spread = array.std(axis=0)
    constant = np.flatnonzero(spread <= 1e-12)
    if len(constant):
        raise ValueError(
            f"{name} is constant in column {constant[0]} ({len(constant)} such column(s) of "
            f"{array.shape[1]}); a constant has no information: drop it."
        )
    return (array - array.mean(axis=0)) / spread


def check_rows(n_rows: int, least: int, why: str) -> None:
    """Raise if there are too few rows."""
    if n_rows < least:
        raise ValueError(f"Found {n_rows} rows, need at least {least}: {why}.")


def check_choice(name: str, value: Any, choices: Any) -> None:
    """Raise if a value is none of the choices."""
    if not isinstance(value, str) or value not in choices:
        known = ", ".join(map(repr, choices))
        raise ValueError(f"{name}={value!r} is unknown; choose one of {known}.")


def check_number(name: str, value: Any, least: int) -> None:
    """Raise if a value is not an integer of at least `least`."""
    is_integer = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_integer or int(value) < least:
        raise ValueError(f"{name}={value!r} has to be an integer of at least {least}.")


def check_positive(name: str, value: Any) -> None:
    """Raise if a value is not a finite number above 0."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value <= 0:
        raise ValueError(f"{name}={value!r} has to be a number above 0.")


def check_layers(name: str, value: Any) -> tuple[int, ...]:
    """Return the sizes of layers as a tuple, or raise if they are none."""
    try:
        return check_shape(name, value)
    except ValueError:
        raise ValueError(
            f"{name}={value!r} has to be a sequence of integers above 0, one for each layer: "
            "(64,) is one layer of 64 units."
        ) from None
