"""Factors as targets of a probe: their kind, and scores as sums over groups of rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._names import did_you_mean

# whole numbers with more values than this are amounts, not classes
_MOST_CLASSES = 20
KINDS = ("continuous", "classes")


@dataclass(frozen=True)
class Target:
    """A factor to be read, one or several columns of numbers or one of classes.

    Its score is computed from sums over rows, so that the score of any resample of groups is a
    product of weights and the sums of each group.
    """

    name: str
    values: np.ndarray  # standardised (n_rows, n_columns), or codes (n_rows, 1)
    n_classes: int = 0  # 0 is continuous

    @property
    def is_classes(self) -> bool:
        return self.n_classes > 0

    @property
    def kind(self) -> str:
        return "classes" if self.is_classes else "continuous"

    @property
    def metric(self) -> str:
        return "balanced accuracy" if self.is_classes else "R2"

    @property
    def columns(self) -> np.ndarray:
        """What a linear regression is trained on, (n_rows, n_columns).

        Two classes are one column, as the second would be one minus it.
        """
        if not self.is_classes:
            return self.values
        one_hot = (self.values == np.arange(self.n_classes)).astype(float)
        return one_hot[:, 1:] if self.n_classes == 2 else one_hot

    def decide(self, predicted: np.ndarray, prior: np.ndarray) -> np.ndarray:
        """Turn regressed columns (..., n_columns) into values or codes (..., n_columns or 1).

        The class is that whose regressed indicator is largest relative to the class's share of
        the training rows: the rule for a balanced accuracy.
        """
        if not self.is_classes:
            return predicted
        if self.n_classes == 2:
            return (predicted > prior).astype(float)
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.where(prior > 0, predicted / prior, -np.inf)
        return relative.argmax(axis=-1)[..., None].astype(float)

    def row_sums(self, true: np.ndarray, found: np.ndarray) -> np.ndarray:
        """Terms of the score of each row, (n_rows, n_terms)."""
        if self.is_classes:
            counts = (true == np.arange(self.n_classes)).astype(float)
            return np.hstack([counts, counts * (true == found)])
        return np.hstack([np.ones((len(true), 1)), true, true**2, (true - found) ** 2])

    def raw_score(self, sums: np.ndarray) -> np.ndarray:
        """R2 or balanced accuracy from sums (..., n_terms)."""
        if self.is_classes:
            counts, correct = np.split(sums, 2, axis=-1)
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.nanmean(correct / np.where(counts > 0, counts, np.nan), axis=-1)
        n, first, second, error = self._continuous_terms(sums)
        total = second - first**2 / n
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(total > 1e-12, 1 - error / total, np.nan).mean(axis=-1)

    def scaled(self, raw: Any) -> Any:
        """Rescale so that chance is 0 and perfect is 1; R2 is so already."""
        chance = self.chance
        return (raw - chance) / (1 - chance)

    @property
    def chance(self) -> float:
        """Raw score of a probe that knows nothing."""
        return 1 / self.n_classes if self.is_classes else 0.0

    def score(self, sums: np.ndarray) -> np.ndarray:
        return self.scaled(self.raw_score(sums))

    def contributions(self, sums: np.ndarray) -> np.ndarray:
        """What each group (n_groups, n_terms) adds to the score, up to a constant, (n_groups,)."""
        totals = sums.sum(axis=0)
        if self.is_classes:
            counts = totals[: self.n_classes]
            share = sums[:, self.n_classes :] / np.where(counts > 0, counts, np.inf)
            return share.sum(axis=1) / (counts > 0).sum() / (1 - self.chance)
        n, first, second, _ = self._continuous_terms(totals)
        error = self._continuous_terms(sums)[-1]
        return -(error / (second - first**2 / n)).mean(axis=1)

    def many_scores(self, true: np.ndarray, found: np.ndarray) -> np.ndarray:
        """Score of each of many targets (n_rows, n_targets, n_columns), (n_targets,)."""
        if self.is_classes:
            rows = [true == code for code in range(self.n_classes)]
            hit = true == found
            sums = [r.sum(axis=(0, 2)) for r in rows] + [(hit & r).sum(axis=(0, 2)) for r in rows]
            return self.score(np.stack(sums, axis=-1))
        error = np.einsum("npc,npc->pc", true - found, true - found)
        centred = true - true.mean(axis=0)
        total = np.einsum("npc,npc->pc", centred, centred)
        return (1 - error / total).mean(axis=-1)

    def _continuous_terms(self, sums: np.ndarray) -> tuple[np.ndarray, ...]:
        width = self.values.shape[1]
        return (
            sums[..., :1],
            sums[..., 1 : 1 + width],
            sums[..., 1 + width : 1 + 2 * width],
            sums[..., 1 + 2 * width :],
        )


def read_targets(
    factors: Any, n_rows: int, kinds: Mapping[str, str] | None = None
) -> dict[str, Target]:
    """Read factors, a mapping or a DataFrame, as targets."""
    names = factor_names(factors)
    if not names:
        raise ValueError("factors is empty; expected at least one, {'load': load}.")
    kinds = dict(kinds or {})
    for name, kind in kinds.items():
        if name not in names:
            raise ValueError(
                f"kinds has an entry for {name!r}, but the factors are "
                f"{', '.join(map(repr, names))}.{did_you_mean(name, map(str, names))}"
            )
        if kind not in KINDS:
            raise ValueError(f"kinds[{name!r}]={kind!r}; choose 'continuous' or 'classes'.")
    return {str(n): read_target(str(n), factors[n], n_rows, kinds.get(n)) for n in names}


def factor_names(factors: Any) -> list[Any]:
    """Names of factors in a mapping or a DataFrame."""
    if not isinstance(factors, Mapping) and not hasattr(factors, "columns"):
        raise TypeError(
            f"factors is a {type(factors).__name__}; expected a dict of name to array, or a "
            "DataFrame with one column per factor."
        )
    return list(factors.columns) if hasattr(factors, "columns") else list(factors)


def read_target(name: str, values: Any, n_rows: int, kind: str | None = None) -> Target:
    """Read one factor."""
    array = np.asarray(values)
    if array.ndim not in (1, 2) or len(array) != n_rows:
        raise ValueError(
            f"Factor {name!r} has shape {array.shape}, but the parts have {n_rows} rows; expected "
            f"({n_rows},) or ({n_rows}, n_columns)."
        )
    missing = np.flatnonzero(_missing(array))
    if len(missing):
        raise ValueError(
            f"Factor {name!r} is missing in {len(missing)} of {n_rows} rows (the first is row "
            f"{missing[0]}); leave these rows out of parts, factors and groups."
        )
    if kind is None:
        kind = "classes" if looks_like_classes(array) else "continuous"
    if kind == "classes":
        return _classes(name, array)
    return _continuous(name, array)


def _missing(array: np.ndarray) -> np.ndarray:
    columns = array.reshape(len(array), -1)
    if columns.dtype.kind in "fc":
        return ~np.isfinite(columns).all(axis=1)
    if columns.dtype.kind == "O":
        # only NaN and None differ from themselves or are None
        return np.array([any(v is None or v != v for v in row) for row in columns])
    return np.zeros(len(columns), dtype=bool)


def looks_like_classes(array: np.ndarray) -> bool:
    """Whether values are classes, if nobody says what they are."""
    if array.ndim == 2:
        return False
    if array.dtype.kind not in "iuf":
        return True
    whole = array.dtype.kind in "iu" or np.array_equal(array, np.round(array))
    return whole and len(np.unique(array)) <= _MOST_CLASSES


def _classes(name: str, array: np.ndarray) -> Target:
    if array.ndim == 2:
        raise ValueError(
            f"Factor {name!r} is to be classes and has shape {array.shape}; expected one column."
        )
    if array.dtype.kind == "O":  # values of different types cannot be sorted
        array = array.astype(str)
    classes, codes = np.unique(array, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"Factor {name!r} is constant ({classes[0].item()!r} in every row); there is nothing "
            "to decode: leave it out."
        )
    counts = np.bincount(codes)
    if counts.min() < 2:
        rare = classes[counts.argmin()].item()
        raise ValueError(
            f"Class {rare!r} of factor {name!r} has one row, expected at least two of each of its "
            f"{len(classes)} classes; merge rare classes, or say kinds={{{name!r}: 'continuous'}} "
            "if they are amounts."
        )
    return Target(name, codes.reshape(-1, 1).astype(float), len(classes))


def _continuous(name: str, array: np.ndarray) -> Target:
    try:
        values = array.astype(np.float64).reshape(len(array), -1)
    except (TypeError, ValueError) as error:
        raise TypeError(f"Factor {name!r} cannot be read as numbers: {error}.") from error
    values = values - values.mean(axis=0)
    spread = values.std(axis=0)
    constant = np.flatnonzero(spread <= 1e-12 * np.maximum(np.abs(array).max(axis=0), 1e-300))
    if len(constant):
        where = f" in column {constant[0]}" if values.shape[1] > 1 else ""
        raise ValueError(
            f"Factor {name!r} is constant{where}; there is nothing to decode: leave it out."
        )
    return Target(name, values / spread)
