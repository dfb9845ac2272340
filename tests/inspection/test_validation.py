"""The validations, on parts that are and are not what their names say."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import r2_score

from mmcontrast.inspection import (
    decoding_score,
    load_correlation,
    probe_parts,
    redundancy_difference,
    synergy_gain,
    uniqueness_gain,
)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    n = 400
    event, state, load, gamma, hbo = rng.normal(size=(5, n))

    def noisy(*columns):
        return np.stack(columns, 1) + 0.4 * rng.normal(size=(n, len(columns)))

    parts = {
        "R_eeg": noisy(event, event),
        "R_fnirs": noisy(event, event),
        "U_eeg": noisy(state, gamma),
        "U_fnirs": noisy(load, hbo),
        "S": noisy(gamma * hbo),
    }
    factors = {"event": event, "state": state > 0, "load": load, "xor": (gamma > 0) != (hbo > 0)}
    return parts, factors, np.repeat(np.arange(20), 20)


def test_decoding(data):
    parts, factors, groups = data
    found = decoding_score(parts, factors["load"], "U_fnirs", groups=groups, random_state=0)
    assert found.value == pytest.approx(1 / 1.16, abs=0.04)  # of variance 1 with noise .16
    assert found.low < 1 / 1.16 < found.high
    assert found.p_value == pytest.approx(1 / 101)
    assert decoding_score(parts, factors["load"], "U_eeg", random_state=0).p_value > 0.05


def test_redundant_parts_are_equivalent_within_the_margin_only(data):
    parts, factors, groups = data
    options = {"groups": groups, "random_state": 0}
    same = redundancy_difference(parts, factors["event"], margin=0.05, **options)
    assert same.details["equivalent"]
    assert same.p_value > 0.05
    assert same.low < same.value < same.high
    assert same.value == pytest.approx(
        same.details["R_eeg"].value - same.details["R_fnirs"].value, abs=1e-12
    )
    strict = redundancy_difference(parts, factors["event"], margin=0.001, **options)
    assert not strict.details["equivalent"]  # no difference was shown, but no equality either
    worse = parts | {"R_fnirs": parts["R_fnirs"] + np.random.default_rng(1).normal(size=(400, 2))}
    found = redundancy_difference(worse, factors["event"], margin=0.05, **options)
    assert not found.details["equivalent"]
    assert found.low > 0
    assert found.p_value < 0.01


def test_two_parts_without_the_factor_are_not_equivalent(data):
    parts, factors, groups = data
    pair = ("U_eeg", "U_fnirs")
    found = redundancy_difference(
        parts, factors["event"], pair, margin=0.2, groups=groups, random_state=0
    )
    assert abs(found.value) < 0.05
    assert not found.details["equivalent"]


def test_unique_parts(data):
    parts, factors, groups = data
    for part, factor in (("U_eeg", "state"), ("U_fnirs", "load")):
        found = uniqueness_gain(parts, factors[factor], part, groups=groups, random_state=0)
        assert found.low > 0.4
        assert found.p_value < 0.01
        best = found.details[found.details["best_rival"]]
        assert found.value == pytest.approx(found.details[part].value - best.value, abs=1e-12)
    shared = uniqueness_gain(parts, factors["event"], "R_eeg", groups=groups, random_state=0)
    assert shared.p_value > 0.05  # R_fnirs has it as well
    assert shared.details["best_rival"] == "R_fnirs"
    assert shared.low < shared.value < shared.high < 0.1
    reverse = uniqueness_gain(
        parts, factors["event"], "R_eeg", rivals=["S", "R_fnirs"], groups=groups, random_state=0
    )
    assert reverse.low < reverse.value < reverse.high < 0.1
    against_one = uniqueness_gain(
        parts, factors["event"], "R_eeg", rivals=["U_eeg"], groups=groups, random_state=0
    )
    assert against_one.p_value < 0.01


def test_synergy_beats_a_linear_combination(data):
    parts, factors, groups = data
    found = synergy_gain(parts, factors["xor"], groups=groups, random_state=0)
    assert found.low > 0.4
    assert found.p_value < 0.01
    others = np.hstack([parts[p] for p in parts if p != "S"])
    alone = probe_parts({"others": others}, {"xor": factors["xor"]}, groups=groups, random_state=0)
    assert found.details["others"].value == pytest.approx(alone.values[0, 0])
    additive = synergy_gain(parts, factors["event"], groups=groups, random_state=0)
    assert additive.value < 0
    assert additive.p_value > 0.9


def test_a_gain_over_nothing_needs_more_than_chance():
    rng = np.random.default_rng(0)
    found = [
        synergy_gain(
            {"U": rng.normal(size=(60, 6)), "S": rng.normal(size=(60, 2))},
            rng.normal(size=60),
            n_bootstraps=2,
            n_permutations=39,
            random_state=seed,
        )
        for seed in range(20)
    ]
    assert all(one.p_value >= one.details["S"].p_value for one in found)
    assert np.mean([one.p_value <= 0.05 for one in found]) <= 0.1


def test_swapped_predictions_are_the_null_of_a_difference():
    rng = np.random.default_rng(0)
    y, *noise = rng.normal(size=(3, 30))
    scores = probe_parts({"A": y + noise[0], "B": y + noise[1]}, {"y": y}, random_state=0)
    found = scores.difference("A", "B", "y", n_permutations=4000, random_state=0)
    # row by row: the squared errors of each
    errors = [scores.sums[p, "y"][:, 3] for p in "AB"]
    z = (y - y.mean()) / y.std()
    swapped = rng.random((4000, 30)) < 0.5
    null = [np.where(s, errors[1] - errors[0], errors[0] - errors[1]).sum() / 30 for s in swapped]
    assert found.null.std() == pytest.approx(np.std(null), rel=0.1)
    assert found.value == pytest.approx((errors[1] - errors[0]).sum() / (z @ z))
    assert scores["A", "y"].value == pytest.approx(1 - errors[0].sum() / (z @ z))
    predicted = z - np.sqrt(errors[0])
    assert r2_score(z, predicted) == pytest.approx(scores["A", "y"].value)


def test_class_differences_are_those_of_the_scores():
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1, 2], [10, 20, 30])
    parts = {"A": label + rng.normal(size=60), "B": label + 2 * rng.normal(size=60)}
    scores = probe_parts(parts, {"c": label}, groups=np.arange(60) % 12, random_state=0)
    found = scores.difference("A", "B", "c")
    assert found.value == pytest.approx(scores["A", "c"].value - scores["B", "c"].value)


class Decomposer:
    """What an estimator with norms of its own looks like."""

    def transform(self, X):
        return np.asarray(X, dtype=float)

    def split(self, Z):
        return {"U_fnirs": Z / np.linalg.norm(Z, axis=1, keepdims=True)}

    def norms(self, Z):
        return {"U_fnirs": np.linalg.norm(Z, axis=1)}


def test_load_correlation():
    rng = np.random.default_rng(0)
    load = rng.integers(0, 4, 300)
    Z = rng.normal(size=(300, 6)) * (1 + 0.3 * load)[:, None]
    found = load_correlation({"U_fnirs": Z}, load, random_state=0)
    truth = spearmanr(np.linalg.norm(Z, axis=1), load)
    assert found.value == pytest.approx(truth.statistic)
    assert found.low < found.value < found.high
    assert found.high - found.low < 0.3
    assert found.p_value == pytest.approx(1 / 1001)
    assert found.null.std() == pytest.approx(1 / np.sqrt(299), rel=0.15)
    assert load_correlation(Decomposer(), load, X=Z, random_state=0).value == found.value


def test_load_correlation_resamples_with_ranks_of_the_resample():
    from mmcontrast.inspection._load import _correlation, _Ranks

    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 5, (2, 40)).astype(float)
    y += x
    drawn = rng.integers(0, 40, 40)
    w = np.bincount(drawn, minlength=40).astype(float)
    ranks = [_Ranks(v, np.zeros(40, int))(w) for v in (x, y)]
    assert _correlation(*ranks, w) == pytest.approx(spearmanr(x[drawn], y[drawn]).statistic)


def test_groups_with_larger_signals_do_not_matter_within_groups():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(10), 30)
    load = rng.normal(size=300)
    Z = np.exp(2 * groups + 0.5 * load + 0.2 * rng.normal(size=300))[:, None]
    options = {"groups": groups, "random_state": 0}
    assert load_correlation({"U_fnirs": Z}, load, **options).value < 0.3
    within = load_correlation({"U_fnirs": Z}, load, rank_within_groups=True, **options)
    alone = np.mean([spearmanr(Z[groups == g, 0], load[groups == g]).statistic for g in range(10)])
    assert within.value == pytest.approx(alone, abs=1e-9)
    assert within.p_value < 0.01


@pytest.fixture(scope="module")
def incomplete(data):
    """fNIRS is absent in rows 5, 6 and 7."""
    parts = {name: values.copy() for name, values in data[0].items()}
    for name in ("R_fnirs", "U_fnirs", "S"):
        parts[name][5:8] = np.nan
    return parts


def test_load_correlation_refuses_rows_without_the_part(incomplete, data):
    message = "'U_fnirs' is NaN.* in 3 of 400 rows .*row 5.*Pass only the rows that have all"
    load = data[1]["load"]
    with pytest.raises(ValueError, match=message):
        load_correlation(incomplete, load)
    with pytest.raises(ValueError, match=message):
        load_correlation(Decomposer(), load, X=incomplete["U_fnirs"])
    rest = np.r_[:5, 8:400]
    found = load_correlation(Decomposer(), load[rest], X=incomplete["U_fnirs"][rest])
    assert np.isfinite(found.value)
    assert load_correlation(incomplete, load, part="U_eeg").p_value > 0.01


def test_parts_that_are_not_asked_for_may_be_incomplete(incomplete, data):
    parts, factors, groups = data
    options = {"groups": groups, "random_state": 0}
    for call in (
        lambda p: decoding_score(p, factors["state"], "U_eeg", **options),
        lambda p: redundancy_difference(p, factors["event"], ("R_eeg", "U_eeg"), **options),
        lambda p: uniqueness_gain(p, factors["state"], "U_eeg", rivals=["R_eeg"], **options),
    ):
        assert call(incomplete).value == call(parts).value
    with pytest.raises(ValueError, match="'U_fnirs' is NaN"):
        decoding_score(incomplete, factors["load"], "U_fnirs")
    with pytest.raises(ValueError, match="is NaN"):
        uniqueness_gain(incomplete, factors["state"], "U_eeg")
    with pytest.raises(ValueError, match=r"rivals='R_egg' is no part.*Did you mean 'R_eeg'"):
        uniqueness_gain(parts, factors["state"], "U_eeg", rivals=["R_egg"])


parts = {"U_eeg": np.random.default_rng(0).normal(size=(20, 2)), "S": np.ones((20, 1))}
y = parts["U_eeg"][:, 0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: decoding_score(parts, y, "U_egg"), "Did you mean 'U_eeg'"),
        (lambda: redundancy_difference(parts, y), "pair='R_eeg' is no part"),
        (lambda: redundancy_difference(parts, y, ("S", "S")), "two different parts"),
        (lambda: redundancy_difference(parts, y, ("S", "U_eeg"), margin=0), "margin=0 has"),
        (lambda: uniqueness_gain(parts, y, "S", rivals=["S"]), "parts other than 'S'"),
        (lambda: uniqueness_gain({"S": y}, y, "S"), "parts other than 'S'"),
        (lambda: synergy_gain({"S": y}, y), "no part but 'S'"),
        (lambda: synergy_gain(parts, y, probe="mlp"), "takes no probe"),
        (lambda: synergy_gain(parts, np.ones(20)), "constant"),
        (lambda: load_correlation(parts, y), "part='U_fnirs' is no part"),
        (lambda: load_correlation(parts, y, part="S"), "is 1 in every row"),
        (lambda: load_correlation(parts, y[:9], part="U_eeg"), r"shape \(9,\).*20 rows"),
        (lambda: load_correlation(parts, y, part="U_eeg", rank_within_groups=True), "needs groups"),
        (
            lambda: load_correlation(
                parts, np.arange(20) // 2, part="U_eeg", groups=np.arange(20) // 2,
                rank_within_groups=True,
            ),
            "constant in every group",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
