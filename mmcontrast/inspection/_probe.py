"""Cross-validated probes of parts for factors."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ._checks import (
    check_count,
    check_groups,
    check_share,
    make_folds,
    random_numbers,
    read_parts,
)
from ._resampling import (
    bootstrap_weights,
    choose_permutation,
    interval,
    p_value,
    permuted_rows,
    warn_of_few_groups,
)
from ._ridge import ALPHAS, RidgeFolds
from ._scores import PartScores
from ._targets import KINDS, Target, read_targets

# numbers of a block of permuted targets: 64 MB
_BLOCK = 2**23
Folds = Sequence[tuple[np.ndarray, np.ndarray]]


def probe_parts(
    parts: Any,
    factors: Any,
    *,
    X: Any = None,
    groups: Any = None,
    probe: str | Mapping[str, Any] = "ridge",
    cv: Any = 5,
    kinds: Mapping[str, str] | None = None,
    permutation: str = "auto",
    n_permutations: int | None = None,
    n_bootstraps: int = 1000,
    confidence: float = 0.95,
    random_state: int | np.random.RandomState | None = None,
) -> PartScores:
    """Read each factor from each part, on rows that the probe has not seen.

    Parameters
    ----------
    parts : mapping of str to array of shape (n_rows, n_columns), or estimator
        The parts, or a fitted estimator with `transform` and `split` (also as the last step of a
        pipeline), which then needs `X`.
    factors : mapping of str to array, or DataFrame
        What to read, (n_rows,) each. A continuous factor may have several columns, whose scores
        are averaged. Strings, booleans, and whole numbers of at most 20 values are classes.
    X : Modalities or array, default=None
        Rows for an estimator. Take rows that it was not fitted to, above all if it is supervised.
    groups : array-like of shape (n_rows,), default=None
        Subjects or sessions. A group is never in training and test at once, intervals are over
        groups, and permutations respect them.
    probe : {"ridge", "mlp"} or mapping, default="ridge"
        "ridge" is linear, "mlp" a network with one hidden layer of 128. Both standardise the
        columns of a part in the training rows. A mapping has a regressor under "continuous", a
        classifier under "classes", or both; they are cloned.
    cv : int or splitter, default=5
        Folds: an int is KFold (shuffled), or GroupKFold with groups. A splitter has to test each
        row once.
    kinds : mapping of str to {"continuous", "classes"}, default=None
        What a factor is, where it is not what it looks like.
    permutation : {"auto", "trials", "within_groups", "groups"}, default="auto"
        What the null distribution exchanges: trials at will, trials of the same group, or whole
        groups. "auto" exchanges trials within groups, or whole groups if the factor is constant in
        each of them; at will without groups.
    n_permutations : int, default=None
        Draws from the null distribution, each one a complete refit. The smallest p value is
        1 / (n_permutations + 1). None is 100 for the ridge, which needs little more time for them,
        and 0 for other probes, for which each takes as long as the scores themselves.
    n_bootstraps : int, default=1000
        Resamples of groups, or of rows without groups, for the intervals.
    confidence : float, default=0.95
        That of the intervals.
    random_state : int, RandomState or None, default=None
        Fixes folds, permutations, resamples and networks.

    Returns
    -------
    PartScores
        Scores, intervals, p values; ``to_frame()`` for a table.

    Raises
    ------
    TypeError, ValueError
        If parts or factors cannot be read, have missing values or another number of rows, a factor
        is constant, there is one group only, or `cv` separates the rows of a group.

    Warns
    -----
    UserWarning
        If there are fewer than five groups.

    See Also
    --------
    selectivity : One number for the whole matrix.
    PartFactorDisplay : A heat map.

    Notes
    -----
    All scores come from the predictions of the held-out rows of all folds together.

    - Continuous: :math:`R^2`, relative to the mean of all rows. Chance is 0 or a little below.
    - Classes: balanced accuracy :math:`b` rescaled to :math:`(b - 1/K) / (1 - 1/K)` with
      :math:`K` classes, so that chance is 0. The ridge regresses the indicators of the classes, and
      it and the network take the class that is largest relative to its share of the training rows.
      Of a classifier of yours, it is `predict` that counts: where classes are of unequal size, it
      needs ``class_weight="balanced"`` or the like.

    The ridge chooses its penalty for each factor by leave-one-out error in the training rows. The
    singular value decomposition of a fold serves all factors and permutations.

    Intervals are of the score of these probes in other rows or groups of the same kind. They do not
    include that probes, or parts, would differ in another training: near chance, where that is most
    of the variation, they are too narrow, and p values are to be trusted instead.

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast import FactorCL
    >>> from mmcontrast.datasets import make_factorized
    >>> from mmcontrast.inspection import probe_parts
    >>> X, y, latents = make_factorized(600, setting="code", random_state=0)
    >>> factorcl = FactorCL(embed_dim=16, objective="disentangled", max_epochs=2, random_state=0)
    >>> scores = probe_parts(factorcl.fit(X), latents, X=X, n_permutations=20, random_state=0)
    >>> scores.parts, scores.factors
    (('shared1', 'shared2', 'unique1', 'unique2'), ('w1', 'w2', 'ws'))
    >>> finding = scores["unique1", "w1"]
    >>> finding.value > scores["unique2", "w1"].value, finding.p_value <= 0.05
    (True, True)
    """
    arrays = read_parts(parts, X)
    n_rows = len(next(iter(arrays.values())))
    targets = read_targets(factors, n_rows, kinds)
    codes = check_groups(groups, n_rows)
    estimators = _check_probe(probe, targets)
    if n_permutations is None:
        n_permutations = 100 if estimators is None else 0
    check_count("n_permutations", n_permutations, 0)
    check_count("n_bootstraps", n_bootstraps, 1)
    check_share("confidence", confidence)
    warn_of_few_groups(codes)
    rng = random_numbers(random_state)
    folds = make_folds(cv, n_rows, codes, rng)
    units = np.arange(n_rows) if codes is None else codes
    weights = bootstrap_weights(units.max() + 1, n_bootstraps, rng)
    kinds_of = {
        name: choose_permutation(permutation, name, target.values, codes)
        for name, target in targets.items()
    }
    seed = rng.randint(2**31 - 1)  # the same permutations of all factors
    shape = (len(arrays), len(targets))
    values, null = np.empty(shape), np.empty((n_permutations, *shape))
    draws, sums = np.empty((n_bootstraps, *shape)), {}
    for i, (part, Z) in enumerate(arrays.items()):
        ridge = RidgeFolds(Z, folds, ALPHAS) if estimators is None else None
        for j, (name, target) in enumerate(targets.items()):
            rng = np.random.RandomState(seed)
            rows = permuted_rows(kinds_of[name], n_rows, codes, n_permutations, rng)
            if ridge is not None:
                found, null[:, i, j] = _ridge_scores(ridge, target, rows)
            else:
                estimator = estimators[target.kind] if estimators else None
                found, null[:, i, j] = _refitted_scores(estimator, Z, target, folds, rows, seed)
            terms = target.row_sums(target.values, found)
            by_unit = np.zeros((weights.shape[1], terms.shape[1]))
            np.add.at(by_unit, units, terms)
            sums[part, name] = by_unit
            values[i, j] = target.score(by_unit.sum(axis=0))
            draws[:, i, j] = target.score(weights @ by_unit)
    low, high = interval(draws, confidence)
    return PartScores(
        tuple(arrays), tuple(targets), values, low, high, p_value(values, null), null, draws, sums,
        targets, confidence,
    )  # fmt: skip


def _ridge_scores(
    ridge: RidgeFolds, target: Target, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Held-out predictions, and scores of refits to permuted rows."""
    columns, width = target.columns, target.values.shape[1]

    def predict(Y: np.ndarray) -> np.ndarray:
        return ridge.predict(Y, target.decide, target.is_classes, width)

    found = predict(columns[:, None])[:, 0]
    null = np.empty(len(rows))
    step = max(1, _BLOCK // columns.size)
    for start in range(0, len(rows), step):
        block = slice(start, start + step)
        permuted = rows[block].T
        predicted = predict(columns[permuted])
        null[block] = target.many_scores(target.values[permuted], predicted)
    return found, null


def _refitted_scores(
    estimator: Any, Z: np.ndarray, target: Target, folds: Folds, rows: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same with any estimator, one fit after the other."""
    null = np.empty(len(rows))
    for i, permuted in enumerate(rows):
        exchanged = replace(target, values=target.values[permuted])
        found = _predict(estimator, Z, exchanged, folds, seed)
        null[i] = exchanged.many_scores(exchanged.values[:, None], found[:, None])[0]
    return _predict(estimator, Z, target, folds, seed), null


def _predict(estimator: Any, Z: np.ndarray, target: Target, folds: Folds, seed: int) -> np.ndarray:
    """Held-out values or codes of any estimator, (n_rows, n_columns)."""
    found = np.empty_like(target.values)
    is_own = estimator is None
    estimator = _mlp(target, seed) if is_own else estimator
    y = target.values if target.values.shape[1] > 1 else target.values[:, 0]
    y = y.astype(int) if target.is_classes else y
    for train, test in folds:
        model = clone(estimator).fit(Z[train], y[train])
        if target.is_classes and is_own:
            shares = np.array([(y[train] == code).mean() for code in model.classes_])
            best = (model.predict_proba(Z[test]) / shares).argmax(axis=1)
            found[test, 0] = model.classes_[best]
        else:
            found[test] = np.reshape(model.predict(Z[test]), found[test].shape)
    return found


def _mlp(target: Target, seed: int) -> Any:
    options: dict[str, Any] = {
        "hidden_layer_sizes": 128,
        "alpha": 0.01,
        "learning_rate_init": 3e-3,
        "early_stopping": True,
        "random_state": seed,
    }
    if target.is_classes:
        return make_pipeline(StandardScaler(), MLPClassifier(**options))
    regressor = TransformedTargetRegressor(MLPRegressor(**options), transformer=StandardScaler())
    return make_pipeline(StandardScaler(), regressor)


def _check_probe(probe: Any, targets: Mapping[str, Target]) -> Mapping[str, Any] | None:
    """Return None for the ridge, an empty mapping for networks, or estimators by kind."""
    if isinstance(probe, Mapping):
        unknown = [name for name in probe if name not in KINDS]
        if unknown:
            raise ValueError(f"probe has the entry {unknown[0]!r}; expected {KINDS}.")
        for target in targets.values():
            if target.kind not in probe:
                raise ValueError(
                    f"Factor {target.name!r} is of kind {target.kind!r}, for which probe has no "
                    f"entry; it has {list(probe)}."
                )
        return probe
    if probe not in ("ridge", "mlp"):
        raise ValueError(
            f"probe={probe!r} is unknown; choose 'ridge', 'mlp' or a mapping "
            "{'continuous': a regressor, 'classes': a classifier}."
        )
    return None if probe == "ridge" else {}
