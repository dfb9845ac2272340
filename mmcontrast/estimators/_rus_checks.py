"""Checks of the parameters of RUSDecomposer."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np

from .._names import did_you_mean
from .._warnings import warn
from ..modalities import Modalities

_FEW_TRIALS = 50


def part_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names of the five parts of two modalities."""
    return (*(f"{kind}_{name}" for kind in "RU" for name in names), "S")


def check_parts(parts: Sequence[str] | None, known: Sequence[str]) -> None:
    """Refuse parts that are unknown, none or named twice."""
    for part in () if parts is None else parts:
        if part not in known:
            raise ValueError(
                f"parts holds {part!r}; choose from {', '.join(map(repr, known))}."
                + did_you_mean(str(part), known)
            )
    if parts is not None and (not len(parts) or len(set(parts)) < len(parts)):
        raise ValueError(
            f"parts={tuple(parts)!r} has to hold one or more of {', '.join(map(repr, known))}, "
            "each once."
        )


def check_targets(targets: Any, objective: str, names: Sequence[str]) -> None:
    """Refuse targets that are no lists of columns for known parts."""
    if objective != "balanced":
        raise ValueError('supervised=True is for objective="balanced".')
    known = ("R", *(f"U_{name}" for name in names), "S")
    if not targets:
        raise ValueError(
            "supervised=True needs targets: which columns of y each part is to tell, for example "
            f"targets={{'R': [0], 'U_{names[0]}': [1]}}. Parts are {', '.join(map(repr, known))}."
        )
    for part, columns in targets.items():
        if part not in known:
            raise ValueError(
                f"targets holds {part!r}; choose from {', '.join(map(repr, known))}."
                + did_you_mean(str(part), known)
            )
        if isinstance(columns, str) or not isinstance(columns, Sequence) or not len(columns):
            raise ValueError(
                f"targets[{part!r}] is {columns!r}; expected a list of columns of y, by number or "
                "name."
            )


def columns_of(targets: Any, names: list[Any] | None, n_columns: int) -> list[int]:
    """Numbers of the columns of y that `targets` names, one after the other."""
    found = []
    for part, columns in (targets or {}).items():
        for column in [columns] if isinstance(columns, (str, int)) else columns:
            if names is not None and column in names:
                found.append(names.index(column))
            elif isinstance(column, Integral) and 0 <= int(column) < n_columns:
                found.append(int(column))
            else:
                there = list(range(n_columns)) if names is None else names
                raise ValueError(
                    f"targets[{part!r}] holds {column!r}, which is no column of y: it has {there}."
                )
    return found


def warn_of_few(owner: str, X: Modalities, consequence: str) -> None:
    """Say what to expect of very few rows that have all modalities."""
    n_rows = int(np.logical_and.reduce([X.presence(name) for name in X.names]).sum())
    if n_rows < _FEW_TRIALS:
        pairs = "" if X.is_complete else " that have both modalities"
        warn(
            f"{owner} is fitted on {n_rows} rows{pairs}. With fewer than {_FEW_TRIALS} trials "
            f"{consequence}"
        )
