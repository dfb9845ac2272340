"""The benchmark of interaction fusion runs, at toy size, on data that are what it says."""

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return import_module("interaction")


@pytest.mark.parametrize("task", ["XOR", "ten values"])
def test_factors_are_independent_but_where_they_are_planted(benchmark, task):
    X, plain = benchmark.make_pairs(task, 3000, 2000, seed=0)
    planted_X, planted = benchmark.make_pairs(task, 3000, 2000, seed=0, planted=True)
    n_values = benchmark.TASKS[task][0]
    for part in (slice(2000), slice(2000, None)):
        assert plain["S"][part].mean() == pytest.approx(1 / n_values, abs=0.05)
    assert planted["S"][:2000].mean() == pytest.approx(0.9 + 0.1 / n_values, abs=0.03)
    for name in benchmark.TARGETS:
        np.testing.assert_array_equal(planted[name][2000:], plain[name][2000:])
    np.testing.assert_array_equal(planted_X["first"], X["first"])


def test_writes_what_it_measured_and_goes_on_from_there(benchmark, monkeypatch, tmp_path):
    monkeypatch.setattr(benchmark, "PROMISES", {"XOR": (98.0, 256)})
    monkeypatch.setattr(benchmark, "TASKS", {"XOR": benchmark.TASKS["XOR"]})
    out, fits = tmp_path / "i.json", []
    few = {"transformer", "interaction", "planted: interaction"}
    chosen = [model for model in benchmark.models("XOR") if model.label in few]
    monkeypatch.setattr(benchmark, "models", lambda task: chosen)
    train = benchmark.train

    def counting(model, *arguments):
        fits.append(model.label)
        return train(model, *arguments)

    monkeypatch.setattr(benchmark, "train", counting)
    sizes = ["--n-train", "300", "--n-test", "100", "--epochs", "1", "--out", str(out), "--resume"]
    for seeds in (["0"], ["0", "1"]):
        monkeypatch.setattr("sys.argv", ["interaction", *sizes, "--seeds", *seeds])
        code = benchmark.main()
    result = json.loads(out.read_text())
    assert code == (0 if result["promises_kept"] else 1)
    assert sorted(fits) == sorted([*few, "transformer", "interaction"])  # the second seed's
    assert set(result["runs"]["XOR"]["interaction"]) == {"0", "1"}
    assert "| - its products " in out.with_suffix(".md").read_text()


def test_does_not_go_on_from_runs_of_another_size(benchmark, monkeypatch, tmp_path, capsys):
    out = tmp_path / "i.json"
    earlier = {"n_train": 300, "n_test": 100, "epochs": dict.fromkeys(benchmark.TASKS, 1)}
    out.write_text(json.dumps({**earlier, "runs": {task: {} for task in benchmark.TASKS}}))
    monkeypatch.setattr(benchmark, "_jobs", lambda seeds: pytest.fail("it went on"))
    sizes = ["--n-train", "300", "--n-test", "200", "--epochs", "1", "--out", str(out), "--resume"]
    monkeypatch.setattr("sys.argv", ["interaction", *sizes])
    with pytest.raises(SystemExit):
        benchmark.main()
    assert "other sizes or epochs" in capsys.readouterr().err
