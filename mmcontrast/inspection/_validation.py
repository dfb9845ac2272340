"""Whether parts are what their names say."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ._checks import check_part, read_parts
from ._finding import Finding
from ._probe import probe_parts
from ._resampling import interval
from ._scores import PartScores


def decoding_score(
    parts: Any, factor: Any, part: str, *, X: Any = None, kind: str | None = None, **options: Any
) -> Finding:
    """How well a factor is read from one part, such as gamma power from U_eeg or a lag from S.

    Parameters
    ----------
    parts : mapping of str to array, or estimator
        As in :func:`probe_parts`.
    factor : array-like of shape (n_rows,)
        What to read.
    part : str
        The part.
    X : Modalities or array, default=None
        Rows for an estimator.
    kind : {"continuous", "classes"}, default=None
        What the factor is, where it is not what it looks like.
    **options : object
        `groups`, `probe`, `cv`, `permutation`, `n_permutations`, `n_bootstraps`, `confidence` and
        `random_state` as in :func:`probe_parts`.

    Returns
    -------
    Finding
        Score on held-out rows (0 is chance, 1 is best), its interval, and scores of refits to
        exchanged rows.

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast.inspection import decoding_score
    >>> rng = np.random.default_rng(0)
    >>> gamma, noise = rng.normal(size=(2, 300))
    >>> parts = {"U_eeg": gamma + noise, "U_fnirs": rng.normal(size=300)}
    >>> decoding_score(parts, gamma, "U_eeg", random_state=0)
    Finding(factor from U_eeg: 0.527 [0.443, 0.602], p = 0.010)
    """
    arrays = read_parts(parts, X, {part: "part"})
    return _probe(arrays, factor, kind, options)[part, "factor"]


def redundancy_difference(
    parts: Any,
    factor: Any,
    pair: tuple[str, str] = ("R_eeg", "R_fnirs"),
    *,
    margin: float = 0.1,
    X: Any = None,
    kind: str | None = None,
    **options: Any,
) -> Finding:
    """Whether both redundant parts read a factor, such as events, equally well.

    No significant difference does not show that two things are equal. So there is a margin within
    which a difference does not matter, and the parts are equivalent if the whole interval of the
    difference lies inside (two one-sided tests [1]_).

    Parameters
    ----------
    parts : mapping of str to array, or estimator
        As in :func:`probe_parts`.
    factor : array-like of shape (n_rows,)
        What both ought to read.
    pair : (str, str), default=("R_eeg", "R_fnirs")
        The two parts.
    margin : float, default=0.1
        Largest difference of scores that does not matter; decide before you look.
    X : Modalities or array, default=None
        Rows for an estimator.
    kind : {"continuous", "classes"}, default=None
        What the factor is, where it is not what it looks like.
    **options : object
        Other arguments of :func:`probe_parts`.

    Returns
    -------
    Finding
        Score of the first part minus that of the second on the same held-out rows, its interval,
        and a two-sided p value against exchanging their predictions group by group. `details` has
        the Finding of each part by its name, and "equivalent": whether the interval for two tests
        at one minus `confidence` (of 90 % where `confidence` is .95) is within the margin and both
        parts are above chance.

    References
    ----------
    .. [1] D. Schuirmann. "A comparison of the two one-sided tests procedure and the power approach
       for assessing the equivalence of average bioavailability." J. Pharmacokinet. Biopharm. 15
       (1987).

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast.inspection import redundancy_difference
    >>> rng = np.random.default_rng(0)
    >>> event, *noise = rng.normal(size=(3, 400))
    >>> parts = {"R_eeg": event + 0.3 * noise[0], "R_fnirs": event + 0.3 * noise[1]}
    >>> found = redundancy_difference(parts, event, margin=0.1, random_state=0)
    >>> found.details["equivalent"], found.low < 0 < found.high
    (True, True)
    """
    if not margin > 0:
        raise ValueError(f"margin={margin!r} has to be above 0: a difference that does not matter.")
    if len(pair) != 2 or pair[0] == pair[1]:
        raise ValueError(f"pair={pair!r} has to be two different parts.")
    arrays = read_parts(parts, X, dict.fromkeys(pair, "pair"))
    scores = _probe(arrays, factor, kind, options)
    found = _difference(scores, *pair, "two-sided", options)
    confidence = scores.confidence
    draws = scores.bootstrap[:, 0, 0] - scores.bootstrap[:, 1, 0]
    low, high = interval(draws, 2 * confidence - 1) if confidence > 0.5 else (-np.inf, np.inf)
    above_chance = all(
        found.details[p].low > 0 and not found.details[p].p_value > 1 - confidence for p in pair
    )
    equivalent = bool(above_chance and -margin < low and high < margin)
    details = {**found.details, "equivalent": equivalent, "margin": margin}
    return replace(found, details=details)


def uniqueness_gain(
    parts: Any,
    factor: Any,
    part: str,
    *,
    rivals: Sequence[str] | None = None,
    X: Any = None,
    kind: str | None = None,
    **options: Any,
) -> Finding:
    """Whether a part reads a factor better than every other part does.

    With ``part="U_eeg"`` and a cognitive state, or ``part="U_fnirs"`` and load, it asks whether
    what is said to be unique to a modality is where it ought to be.

    Parameters
    ----------
    parts : mapping of str to array, or estimator
        As in :func:`probe_parts`.
    factor : array-like of shape (n_rows,)
        What the part ought to read best.
    part : str
        The part.
    rivals : sequence of str, default=None
        Parts to compare with; None is all others.
    X : Modalities or array, default=None
        Rows for an estimator.
    kind : {"continuous", "classes"}, default=None
        What the factor is, where it is not what it looks like.
    **options : object
        Other arguments of :func:`probe_parts`.

    Returns
    -------
    Finding
        Score of the part minus that of the best rival on the same held-out rows, the interval of
        the same difference (with the best rival of each resample), and the largest of the one-sided
        p values against each rival and against chance, as the part has to beat all of them. The
        null distribution is that against the best rival. `details` has the Finding of each part by
        its name, and "best_rival".

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast.inspection import uniqueness_gain
    >>> rng = np.random.default_rng(0)
    >>> state = rng.integers(0, 2, 300)
    >>> parts = {"R_eeg": rng.normal(size=300), "U_eeg": state + 0.4 * rng.normal(size=300)}
    >>> found = uniqueness_gain(parts, state, "U_eeg", random_state=0)
    >>> found.value > 0.5, found.p_value < 0.01, found.details["best_rival"]
    (True, True, 'R_eeg')
    """
    only = None if rivals is None else {**dict.fromkeys(rivals, "rivals"), part: "part"}
    arrays = read_parts(parts, X, only)
    check_part(part, arrays)
    rivals = [name for name in arrays if name != part] if rivals is None else list(rivals)
    if not rivals or part in rivals:
        raise ValueError(f"rivals={rivals!r} has to hold one or more parts other than {part!r}.")
    chosen = [part, *rivals]
    scores = _probe({name: arrays[name] for name in chosen}, factor, kind, options)
    each = {name: _difference(scores, part, name, "greater", options) for name in rivals}
    best = min(each, key=lambda name: each[name].value)
    draws = scores.bootstrap[:, 0, 0] - scores.bootstrap[:, 1:, 0].max(axis=1)
    low, high = interval(draws, scores.confidence)
    details = {name: scores[name, "factor"] for name in chosen}
    return Finding(
        f"factor from {part} minus from the best other part",
        each[best].value,
        float(low),
        float(high),
        _largest(scores[part, "factor"].p_value, *(found.p_value for found in each.values())),
        each[best].null,
        {**details, "best_rival": best},
    )


def synergy_gain(
    parts: Any,
    factor: Any,
    part: str = "S",
    *,
    X: Any = None,
    kind: str | None = None,
    **options: Any,
) -> Finding:
    """Whether the synergy part tells what no linear combination of the other parts does.

    Parameters
    ----------
    parts : mapping of str to array, or estimator
        As in :func:`probe_parts`.
    factor : array-like of shape (n_rows,)
        A factor that takes both modalities to tell.
    part : str, default="S"
        The synergy part.
    X : Modalities or array, default=None
        Rows for an estimator.
    kind : {"continuous", "classes"}, default=None
        What the factor is, where it is not what it looks like.
    **options : object
        Other arguments of :func:`probe_parts`, but `probe`: both are linear.

    Returns
    -------
    Finding
        Score of the ridge on the part minus that of the ridge on all other parts together, on the
        same held-out rows, its interval, and the larger of two one-sided p values: against
        exchanging their predictions group by group, and of the part against chance. `details` has
        the Finding of the part by its name and that of "others".

    Notes
    -----
    A nonlinear combination of the others may tell it as well: that is what makes a synergy part
    convenient and not indispensable.

    Examples
    --------
    The exclusive or of two signs, and a part that holds their product:

    >>> import numpy as np
    >>> from mmcontrast.inspection import synergy_gain
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.normal(size=(2, 300))
    >>> parts = {"U_eeg": a, "U_fnirs": b, "S": a * b}
    >>> found = synergy_gain(parts, (a > 0) != (b > 0), random_state=0)
    >>> found.value > 0.5, found.p_value < 0.01
    (True, True)
    """
    arrays = read_parts(parts, X)
    check_part(part, arrays)
    if "probe" in options:
        raise ValueError("synergy_gain compares linear probes; it takes no probe=.")
    others = [values for name, values in arrays.items() if name != part]
    if not others:
        raise ValueError(f"There is no part but {part!r}; expected others to compare it with.")
    both = {part: arrays[part], "others": np.hstack(others)}
    scores = _probe(both, factor, kind, options)
    found = _difference(scores, part, "others", "greater", options)
    return replace(found, p_value=_largest(found.p_value, scores[part, "factor"].p_value))


def _probe(
    arrays: Mapping[str, np.ndarray], factor: Any, kind: str | None, options: Mapping[str, Any]
) -> PartScores:
    kinds = None if kind is None else {"factor": kind}
    return probe_parts(arrays, {"factor": factor}, kinds=kinds, **options)


def _largest(*p_values: float) -> float:
    """P value of the claim that holds only if all do; one without permutations is left out."""
    return float(np.nanmax(p_values))


def _difference(
    scores: PartScores, first: str, second: str, alternative: str, options: Mapping[str, Any]
) -> Finding:
    return scores.difference(
        first,
        second,
        "factor",
        alternative=alternative,
        n_permutations=max(1000, options.get("n_permutations") or 0),
        random_state=options.get("random_state"),
    )
