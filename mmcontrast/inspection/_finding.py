"""What a validation returns: a value, its interval and its null distribution."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Finding:
    """A value with its interval and its null distribution.

    Parameters
    ----------
    name : str
        What was measured.
    value : float
        The measurement.
    low, high : float
        Ends of its interval.
    p_value : float
        Share of the null distribution that reaches the value, which itself counts as one of it.
        NaN without permutations.
    null : ndarray of shape (n_permutations,)
        The value in data without the effect.
    details : mapping of str to object, default={}
        What else was found.

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast.inspection import Finding
    >>> Finding("score of S", 0.42, 0.31, 0.5, 0.01, np.zeros(99))
    Finding(score of S: 0.420 [0.310, 0.500], p = 0.010)
    """

    name: str
    value: float
    low: float
    high: float
    p_value: float
    null: np.ndarray
    details: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        about = f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}], p = {self.p_value:.3f}"
        return f"Finding({self.name}: {about})"
