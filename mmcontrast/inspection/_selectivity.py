"""One number for how well factors are kept apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._names import did_you_mean
from ._checks import check_part
from ._resampling import interval
from ._scores import PartScores


@dataclass(frozen=True, eq=False)
class Selectivity:
    """Share of the ceiling in the right parts minus the leak elsewhere.

    Parameters
    ----------
    value : float
        `right` minus `leak`.
    right : float
        Mean over factors of the share of the ceiling that the right parts reach.
    leak : float
        Mean over factors of the mean share that the other parts reach.
    low, high : float
        Ends of the interval of `value`; NaN if the scores came without resamples.
    shares : mapping of str to mapping of str to float
        Share of the ceiling by factor and part.

    Examples
    --------
    >>> from mmcontrast.inspection import selectivity
    >>> matrix = {"U_eeg": {"gamma": 0.8, "load": 0.0}, "U_fnirs": {"gamma": 0.1, "load": 0.6}}
    >>> found = selectivity(matrix, {"gamma": "U_eeg", "load": "U_fnirs"})
    >>> print(f"{found.right:.2f} - {found.leak:.2f} = {float(found):.2f}")
    0.70 - 0.05 = 0.65
    """

    value: float
    right: float
    leak: float
    low: float
    high: float
    shares: Mapping[str, Mapping[str, float]]

    def __float__(self) -> float:
        return self.value

    def __repr__(self) -> str:
        about = f"{self.value:.3f} = right {self.right:.3f} - leak {self.leak:.3f}"
        if np.isfinite(self.low):
            about += f", [{self.low:.3f}, {self.high:.3f}]"
        return f"Selectivity({about})"


def selectivity(
    matrix: Any,
    parts_of_factor: Mapping[str, str | Sequence[str]],
    ceilings: Mapping[str, Any] | None = None,
) -> Selectivity:
    r"""Mean share of the ceiling in the right part minus mean leak elsewhere.

    Parameters
    ----------
    matrix : PartScores, DataFrame or mapping of str to mapping of str to float
        Score of each part (rows of a DataFrame, outer keys of a mapping) on each factor, 0 at
        chance.
    parts_of_factor : mapping of str to str or sequence of str
        The part, or parts, that ought to hold each factor, such as ``{"gamma": "U_eeg",
        "activation": ["R_eeg", "R_fnirs"]}``. Factors that are not named here are left out.
    ceilings : mapping of str to float or mapping of str to float, default=None
        The most that can be read of each factor, on the scale of the scores, from a supervised
        model for example; per part where modalities differ, ``{"activation": {"R_eeg": .66,
        "R_fnirs": .88}}``, and parts that are not named then have the largest of these. None is 1.

    Returns
    -------
    Selectivity
        Usable as a float. With PartScores it has an interval from their resamples.

    Raises
    ------
    TypeError, ValueError
        If a factor or part is unknown, a factor has no wrong part, or a ceiling is missing or not
        above 0.

    Notes
    -----
    With the share :math:`s_{pf} = \max(0, \text{score}_{pf}) / \text{ceiling}_{f}`, the right parts
    :math:`R_f` and the others :math:`W_f`, it is the mean over factors of
    :math:`\operatorname{mean}_{p \in R_f} s_{pf} - \operatorname{mean}_{p \in W_f} s_{pf}`: 1 if
    each factor is in its parts and nowhere else, 0 if all parts are alike, -1 if everything is
    elsewhere. A score below chance counts as nothing found. Both terms depend on the probe: what a
    linear one does not find may still be there.

    Examples
    --------
    >>> from mmcontrast.inspection import selectivity
    >>> parts_of_factor = {"gamma": "U_eeg", "load": "U_fnirs"}
    >>> alike = {part: {"gamma": 0.5, "load": 0.5} for part in ("U_eeg", "U_fnirs")}
    >>> float(selectivity(alike, parts_of_factor))
    0.0
    """
    parts, factors, scores, draws = _read_matrix(matrix)
    if not parts_of_factor:
        raise ValueError("parts_of_factor is empty; expected {'gamma': 'U_eeg', ...}.")
    right = np.zeros((len(parts), len(parts_of_factor)), dtype=bool)
    ceiling = np.ones(right.shape)
    columns = []
    for j, (factor, chosen) in enumerate(parts_of_factor.items()):
        columns.append(factors.index(check_part(factor, factors, "factor", "factor")))
        chosen = [chosen] if isinstance(chosen, str) else list(chosen)
        for part in chosen:
            right[parts.index(check_part(part, parts)), j] = True
        if not right[:, j].any() or right[:, j].all():
            raise ValueError(
                f"Factor {factor!r} has {right[:, j].sum()} right parts of {len(parts)}; at least "
                "one has to be right and one wrong."
            )
        if ceilings is not None:
            ceiling[:, j] = _ceiling(ceilings, factor, parts)
    value, good, leak, shares = _measure(scores[:, columns], right, ceiling)
    ends: tuple[Any, Any] = (np.nan, np.nan)
    if draws is not None:
        found = [_measure(draw, right, ceiling)[0] for draw in draws[:, :, columns]]
        ends = interval(np.array(found), matrix.confidence)
    return Selectivity(
        value,
        good,
        leak,
        float(ends[0]),
        float(ends[1]),
        {
            factor: dict(zip(parts, shares[:, j].tolist(), strict=True))
            for j, factor in enumerate(parts_of_factor)
        },
    )


def _measure(
    scores: np.ndarray, right: np.ndarray, ceiling: np.ndarray
) -> tuple[float, float, float, np.ndarray]:
    shares = np.maximum(scores, 0) / ceiling
    good = float((np.where(right, shares, 0).sum(axis=0) / right.sum(axis=0)).mean())
    leak = float((np.where(right, 0, shares).sum(axis=0) / (~right).sum(axis=0)).mean())
    return good - leak, good, leak, shares


def _read_matrix(matrix: Any) -> tuple[list[str], list[str], np.ndarray, np.ndarray | None]:
    if isinstance(matrix, PartScores):
        return list(matrix.parts), list(matrix.factors), matrix.values, matrix.bootstrap
    if hasattr(matrix, "to_dict"):
        matrix = matrix.to_dict("index")
    if not isinstance(matrix, Mapping) or not matrix:
        raise TypeError(
            f"matrix is a {type(matrix).__name__}; expected PartScores, a DataFrame of parts by "
            "factors, or a dict of part to a dict of factor to score."
        )
    parts, factors = list(matrix), list(next(iter(matrix.values())))
    for part, row in matrix.items():
        if set(row) != set(factors):
            raise ValueError(f"Part {part!r} has scores of {list(row)}; expected {factors}.")
    scores = np.array([[float(row[f]) for f in factors] for row in matrix.values()])
    return parts, factors, scores, None


def _ceiling(ceilings: Mapping[str, Any], factor: str, parts: Sequence[str]) -> np.ndarray:
    if factor not in ceilings:
        raise ValueError(
            f"ceilings has no entry for factor {factor!r}; it has {list(ceilings)}."
            + did_you_mean(factor, ceilings)
        )
    given = ceilings[factor]
    if isinstance(given, Mapping):
        for part in given:
            check_part(part, parts, f"ceilings[{factor!r}]")
        most = max(given.values(), default=0)
        found = np.array([float(given.get(part, most)) for part in parts])
    else:
        found = np.full(len(parts), float(given))
    if not (found > 0).all():
        raise ValueError(
            f"The ceiling of factor {factor!r} is {given!r}; it has to be above 0 (a factor that "
            "nothing can read has no share: leave it out)."
        )
    return found
