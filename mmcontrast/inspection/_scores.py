"""Scores of parts on factors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ._checks import check_count, check_part, check_share, random_numbers
from ._finding import Finding
from ._optional import pandas
from ._resampling import interval, p_value
from ._targets import Target


@dataclass(frozen=True, eq=False, repr=False)
class PartScores:
    """How well each factor is read from each part, with intervals and a permutation null.

    :func:`probe_parts` and :func:`physiology_report` return it. A score is 0 at chance and 1 at
    best, and below 0 where a probe does worse than chance: the :math:`R^2` of a continuous factor,
    and the balanced accuracy of classes, rescaled.

    Parameters
    ----------
    parts : tuple of str
        Rows of the matrix.
    factors : tuple of str
        Its columns.
    values : ndarray of shape (n_parts, n_factors)
        Scores on held-out rows.
    low, high : ndarray of shape (n_parts, n_factors)
        Ends of their intervals.
    p_values : ndarray of shape (n_parts, n_factors)
        Share of permutations that score as high; NaN without permutations.
    null : ndarray of shape (n_permutations, n_parts, n_factors)
        Scores where rows of the factors are exchanged.
    bootstrap : ndarray of shape (n_bootstraps, n_parts, n_factors)
        Scores of resamples of groups (or rows), the same ones everywhere, so that differences of
        them are paired.
    sums : mapping of (str, str) to ndarray of shape (n_groups, n_terms)
        Terms of the score of a part on a factor by group (or row).
    targets : mapping of str to object
        The factors as they were read.
    confidence : float, default=0.95
        That of the intervals.

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast.inspection import probe_parts
    >>> rng = np.random.default_rng(0)
    >>> load, gamma = rng.normal(size=(2, 200))
    >>> parts = {"U_eeg": gamma + rng.normal(size=200), "U_fnirs": load}
    >>> scores = probe_parts(parts, {"gamma": gamma, "load": load}, random_state=0)
    >>> scores
    PartScores of 2 parts and 2 factors (0 is chance, 1 is best; * p <= 0.05)
                  gamma     load
      U_eeg       0.53*   -0.01
      U_fnirs     0.00     1.00*
    >>> scores["U_eeg", "gamma"].p_value <= 0.05
    True
    """

    parts: tuple[str, ...]
    factors: tuple[str, ...]
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p_values: np.ndarray
    null: np.ndarray
    bootstrap: np.ndarray
    sums: Mapping[tuple[str, str], np.ndarray] = field(repr=False)
    targets: Mapping[str, Target] = field(repr=False)
    confidence: float = 0.95

    @property
    def metrics(self) -> dict[str, str]:
        """Metric of each factor: "R2" or "balanced accuracy"."""
        return {name: self.targets[name].metric for name in self.factors}

    @property
    def raw(self) -> np.ndarray:
        """Scores before they are rescaled, (n_parts, n_factors)."""
        return np.array(
            [
                [
                    float(self.targets[f].raw_score(self.sums[p, f].sum(axis=0)))
                    for f in self.factors
                ]
                for p in self.parts
            ]
        )

    @property
    def p_corrected(self) -> np.ndarray:
        """P values corrected for the number of parts and factors, (n_parts, n_factors).

        A score is compared with the largest of the whole matrix in each permutation (Westfall and
        Young, 1993).
        """
        return p_value(self.values, self.null.max(axis=(1, 2))[:, None, None])

    def __getitem__(self, key: tuple[str, str]) -> Finding:
        part, factor = key
        row, column = self._cell(part, factor)
        return Finding(
            f"{factor} from {part}",
            float(self.values[row, column]),
            float(self.low[row, column]),
            float(self.high[row, column]),
            float(self.p_values[row, column]),
            self.null[:, row, column],
            {"metric": self.targets[factor].metric, "raw": float(self.raw[row, column])},
        )

    def difference(
        self,
        first: str,
        second: str,
        factor: str,
        *,
        alternative: str = "two-sided",
        n_permutations: int = 1000,
        confidence: float | None = None,
        random_state: Any = None,
    ) -> Finding:
        """Compare two parts on the same held-out rows.

        Parameters
        ----------
        first, second : str
            The parts.
        factor : str
            The factor that both read.
        alternative : {"two-sided", "greater"}, default="two-sided"
            What the p value is for: another score, or a higher one of `first`.
        n_permutations : int, default=1000
            Random exchanges of the two parts' predictions, group by group (or row by row), that
            make the null distribution.
        confidence : float, default=None
            That of the interval; None is that of these scores.
        random_state : int, RandomState or None, default=None
            Fixes the exchanges.

        Returns
        -------
        Finding
            Score of `first` minus score of `second`. The interval is that of resampled groups.

        Notes
        -----
        Predictions are exchanged as they are, without another training. That is right where at
        least one part tells something of the factor. Where both are at chance, the folds' probes
        depend on each other and p values of .05 come up in about .10 of cases: see first whether a
        part is above chance.
        """
        if alternative not in ("two-sided", "greater"):
            raise ValueError(f"alternative={alternative!r}; choose 'two-sided' or 'greater'.")
        check_count("n_permutations", n_permutations, 0)
        (one, column), (two, _) = self._cell(first, factor), self._cell(second, factor)
        target = self.targets[factor]
        gains = target.contributions(self.sums[first, factor])
        gains = gains - target.contributions(self.sums[second, factor])
        signs = random_numbers(random_state).choice([-1.0, 1.0], size=(n_permutations, len(gains)))
        null, value = signs @ gains, float(gains.sum())
        sided = (abs(value), np.abs(null)) if alternative == "two-sided" else (value, null)
        draws = self.bootstrap[:, one, column] - self.bootstrap[:, two, column]
        confidence = (
            self.confidence if confidence is None else check_share("confidence", confidence)
        )
        low, high = interval(draws, confidence)
        return Finding(
            f"{factor} from {first} minus from {second}",
            value,
            float(low),
            float(high),
            float(p_value(*sided)),
            null,
            {first: self[first, factor], second: self[second, factor]},
        )

    def to_frame(self) -> Any:
        """Return a DataFrame with one row per part and factor; it needs pandas.

        Returns
        -------
        DataFrame
            Columns part, factor, metric, score, low, high, p_value, p_corrected, raw and chance.
        """
        shape = self.values.shape
        columns = {
            "part": np.repeat(self.parts, shape[1]),
            "factor": np.tile(self.factors, shape[0]),
            "metric": np.tile(list(self.metrics.values()), shape[0]),
            "score": self.values.ravel(),
            "low": self.low.ravel(),
            "high": self.high.ravel(),
            "p_value": self.p_values.ravel(),
            "p_corrected": self.p_corrected.ravel(),
            "raw": self.raw.ravel(),
            "chance": np.tile([self.targets[f].chance for f in self.factors], shape[0]),
        }
        return pandas("PartScores.to_frame").DataFrame(columns)

    def _cell(self, part: str, factor: str) -> tuple[int, int]:
        check_part(part, self.parts)
        check_part(factor, self.factors, "factor", "factor")
        return self.parts.index(part), self.factors.index(factor)

    def __repr__(self) -> str:
        width = max(map(len, self.parts)) + 2
        widths = [max(len(name), 6) + 2 for name in self.factors]
        stars = ["", "*"]
        lines = [
            f"PartScores of {len(self.parts)} parts and {len(self.factors)} factors (0 is chance, "
            "1 is best; * p <= 0.05)",
            " " * (width + 2)
            + "".join(f"{n:>{w}} " for n, w in zip(self.factors, widths, strict=True)),
        ]
        for part, values, p_values in zip(self.parts, self.values, self.p_values, strict=True):
            cells = [
                f"{round(value, 2) + 0.0:>{w}.2f}{stars[int(p <= 0.05)] or ' '}"
                for value, p, w in zip(values, p_values, widths, strict=True)
            ]
            lines.append(f"  {part:<{width}}" + "".join(cells))
        return "\n".join(line.rstrip() for line in lines)
