"""What an estimator of information returns, and what it warns of."""

import math
from typing import Any

# how many nats are in one unit
UNITS = {"nats": 1.0, "bits": math.log(2)}


class CeilingWarning(UserWarning):
    """An estimate is so close to the largest value that its method can give that it says little."""


class Estimate(float):
    """An amount of information that knows its uncertainty and what it is.

    It is a float: arithmetic, comparisons, and text by ``str`` or a format give what they give for
    its value; ``repr`` tells the rest.

    Parameters
    ----------
    value : float
        The estimate.
    stderr : float
        Standard error, in the same unit.
    kind : {"lower bound", "upper bound", "estimate"}, default="estimate"
        How it relates to the truth, but for its standard error.
    unit : {"nats", "bits"}, default="nats"
        Unit of value, stderr and ceiling.
    ceiling : float or None, default=None
        Largest value that the method could have given.
    method : str, default=""
        The estimator.
    converged : bool, default=True
        Whether the networks were trained to the end; always true where there is none.

    Examples
    --------
    >>> from mmcontrast.information import Estimate
    >>> mi = Estimate(2.0, 0.05, kind="lower bound", ceiling=5.5)
    >>> mi
    Estimate(2.000 ± 0.050 nats, lower bound, ceiling 5.500)
    >>> mi.to("bits")
    Estimate(2.885 ± 0.072 bits, lower bound, ceiling 7.935)
    >>> print(mi, f"{mi:.1f}")
    2.0 2.0
    """

    stderr: float
    kind: str
    unit: str
    ceiling: float | None
    method: str
    converged: bool

    def __new__(
        cls,
        value: float,
        stderr: float,
        kind: str = "estimate",
        unit: str = "nats",
        ceiling: float | None = None,
        method: str = "",
        converged: bool = True,
    ) -> "Estimate":
        check_unit(unit)
        self = super().__new__(cls, value)
        self.stderr, self.kind, self.unit = float(stderr), kind, unit
        self.ceiling = None if ceiling is None else float(ceiling)
        self.method, self.converged = method, bool(converged)
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (self.value, *vars(self).values())

    @property
    def value(self) -> float:
        """The estimate as a plain float."""
        return float(self)

    def to(self, unit: str) -> "Estimate":
        """Return the same in another unit.

        Parameters
        ----------
        unit : {"nats", "bits"}

        Returns
        -------
        Estimate

        Raises
        ------
        ValueError
            If there is no such unit.
        """
        factor = UNITS[self.unit] / UNITS[check_unit(unit)]
        ceiling = None if self.ceiling is None else factor * self.ceiling
        changed = {"stderr": factor * self.stderr, "unit": unit, "ceiling": ceiling}
        return Estimate(factor * self.value, **(vars(self) | changed))

    def __repr__(self) -> str:
        about = [f"{self.value:.3f} ± {self.stderr:.3f} {self.unit}", self.kind]
        if self.ceiling is not None:
            about.append(f"ceiling {self.ceiling:.3f}")
        return f"Estimate({', '.join(about)})"

    def __str__(self) -> str:
        # float.__format__ asks for this, too, where no format is given
        return repr(self.value)


def check_unit(unit: str) -> str:
    """Return the unit, or say which there are."""
    if not isinstance(unit, str) or unit not in UNITS:
        raise ValueError(f"unit={unit!r} is unknown; choose 'nats' or 'bits'.")
    return unit
