"""Numbers that a simulation is asked for."""

import math
from numbers import Real
from typing import Any

from sklearn.utils import check_scalar


def check_real(value: Any, name: str, **limits: Any) -> None:
    """Raise if a value is not a finite number within the limits of scikit-learn's check_scalar.

    That one compares with the limits, and NaN is beyond none of them.
    """
    check_scalar(value, name, Real, **limits)
    if not math.isfinite(value):
        raise ValueError(f"{name} is {value!r}, expected a finite number.")
