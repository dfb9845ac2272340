"""Benchmarks of the decomposition and of the delay: their measures, and their tables."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def decomposition(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return import_module("decomposition")


@pytest.fixture
def delays(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return import_module("coupling_delay")


@pytest.fixture
def factors(decomposition):
    rng = np.random.default_rng(0)
    found = pd.DataFrame({name: rng.normal(size=600) for name in decomposition.HOME})
    for name in decomposition.CLASSES:
        found[name] = (found[name] > 0).astype(int)
    return found


def ideal_parts(decomposition, factors):
    """Each factor where it belongs, and noise beside it."""
    rng = np.random.default_rng(1)
    columns = {
        part: factors[names].to_numpy(float) for part, names in decomposition.TARGETS.items()
    }
    parts = {"R_eeg": columns["R"], "R_fnirs": columns.pop("R"), **columns}
    return {part: np.hstack([z, rng.normal(size=(600, 2))]) for part, z in parts.items()}


def test_parts_that_are_what_they_should_be_have_a_selectivity_of_one(decomposition, factors):
    rows, ones = np.arange(600), dict.fromkeys(decomposition.HOME, 1.0)
    parts = ideal_parts(decomposition, factors)
    shares = decomposition.matrix(parts, factors, rows[:400], rows[400:], ones)
    assert list(shares) == ["R_eeg", "R_fnirs", "U_eeg", "U_fnirs", "S", "R"]
    for factor, home in decomposition.HOME.items():
        assert shares[home][factor] > 0.95
    found = decomposition.selectivity(shares)
    assert found["right"] > 0.97
    assert found["leak"] < 0.03
    assert found["selectivity"] == pytest.approx(found["right"] - found["leak"])


def test_shares_are_relative_to_the_ceiling_and_count_up_to_one(decomposition, factors):
    rows, parts = np.arange(600), ideal_parts(decomposition, factors)
    half = dict.fromkeys(decomposition.HOME, 0.5)
    shares = decomposition.matrix(parts, factors, rows[:400], rows[400:], half)
    assert shares["U_eeg"]["gamma"] == pytest.approx(2, abs=0.05)
    assert decomposition.selectivity(shares)["right"] == 1


def test_each_other_part_that_tells_a_factor_leaks(decomposition):
    nothing = dict.fromkeys(decomposition.HOME, 0.0)
    shares = {part: dict(nothing) for part in ("R_eeg", "R_fnirs", "U_eeg", "U_fnirs", "S", "R")}
    shares["S"]["gamma"] = 0.8  # one of four parts that should not tell it, one of eight factors
    assert decomposition.selectivity(shares)["leak"] == pytest.approx(0.8 / 4 / 8)
    shares["R"]["gamma"] = 1.0  # no part of its own
    assert decomposition.selectivity(shares)["leak"] == pytest.approx(0.8 / 4 / 8)
    shares["R_eeg"]["activation"] = 0.5  # where it belongs, though only both together count
    assert decomposition.selectivity(shares) == pytest.approx(
        {"right": 0.0, "leak": 0.8 / 4 / 8, "selectivity": -0.8 / 4 / 8}
    )


def test_the_report_has_means_over_states_and_every_matrix(decomposition):
    shares = {
        part: dict.fromkeys(decomposition.HOME, 0.25)
        for part in ("R_eeg", "R_fnirs", "U_eeg", "U_fnirs", "S", "R")
    }
    found = {"shares": {"linear": shares}, "cpu_seconds": 3.0}
    records = {}
    for state, right in enumerate((0.5, 0.7)):
        linear = {"right": right, "leak": 0.1, "selectivity": right - 0.1}
        records[decomposition.key_of(60, state, "balanced", False)] = {**found, "linear": linear}
    text = decomposition.report(records)
    assert "0.600 ± 0.141" in text
    assert "## n=60, state 1: balanced, linear probe" in text


def test_the_report_says_which_promises_are_kept(decomposition):
    shares = {part: dict.fromkeys(decomposition.HOME, 0.0) for part in ("U_eeg", "S")}
    shares["S"]["xor"] = 0.9
    linear = {"right": 0.79, "leak": 0.01, "selectivity": 0.78}
    found = {"shares": {"linear": shares}, "linear": linear, "cpu_seconds": 190.0}
    others = {**found, "linear": {**linear, "selectivity": 0.6}}
    hybrid = {**found, "linear": {**linear, "selectivity": 0.41}}
    text = decomposition.promises(
        {
            "n=6000: balanced": [found],
            "n=6000, other subjects: balanced": [others],
            "n=6000: hybrid": [hybrid],
        }
    )
    said = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.split("\n")]
    for row in (
        ["n=6000: balanced", "selectivity", "at least 0.75", "0.780", "kept"],
        ["n=6000: balanced", "right", "at least 0.8", "0.790", "not kept"],
        ["n=6000: balanced", "leak", "at most 0.05", "0.010", "kept"],
        ["n=6000: balanced", "xor", "at least 0.9", f"{0.5 + 0.5 * 0.9 * 0.94:.3f}", "kept"],
        ["n=6000: balanced", "xor elsewhere", "from 0.45 to 0.55", "0.500", "kept"],
        ["n=6000: balanced", "delay", "at least 0.65", "0.000", "not kept"],
        ["n=6000: balanced", "cpu s", "at most 180", "190", "not kept"],
        ["n=6000: hybrid", "selectivity", "from 0.3 to 0.4", "0.410", "not kept"],
    ):
        assert row in said
    lost = ["selectivity lost", "at most 0.15", "0.180", "not kept"]
    assert ["n=6000, other subjects: balanced", *lost] in said


def test_errors_of_delays_are_about_their_mean(delays):
    rng = np.random.default_rng(0)
    true, uncertainty, other = rng.normal(size=(3, 4000))
    uncertainty = np.exp(uncertainty)
    noise = uncertainty * rng.normal(size=4000)
    factors = pd.DataFrame({"delay": true, "other": other, "none": rng.normal(size=4000)})
    found = delays.scores(7 + 0.9 * true + 0.3 * other, uncertainty, factors)
    assert found["error"] == pytest.approx(np.sqrt(0.1**2 + 0.3**2), abs=0.01)
    assert found["slope"] == pytest.approx(0.9, abs=0.03)
    assert found["r2"] == pytest.approx(0.9, abs=0.01)
    assert found["other"] == pytest.approx(0.1, abs=0.02)
    found = delays.scores(true + noise, uncertainty, factors)
    assert found["uncertain"] > 10 * found["certain"]


def test_delays_are_reported_by_size(delays):
    one = dict.fromkeys(delays.COLUMNS, 0.25)
    records = {"a": {**one, "n_train": 600}, "b": {**one, "n_train": 600, "error": 0.75}}
    assert "| 600    | 30     | 2      | 0.500 ± 0.354 |" in delays.report(records)
