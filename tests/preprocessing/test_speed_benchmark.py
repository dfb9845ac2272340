"""The benchmark of speed compares what it says it compares, and writes it down."""

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("threadpoolctl")
FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def speed(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return import_module("preprocessing_speed")


def run(speed, monkeypatch, out, full):
    monkeypatch.setattr(speed, "measure_full", lambda name, n_epochs: full)
    sizes = ["--n-compared", "20", "--repeats", "1", "--n-epochs", "20"]
    monkeypatch.setattr("sys.argv", ["preprocessing_speed", *sizes, "--out", str(out)])
    return speed.main()


def test_writes_what_it_measured(speed, monkeypatch, tmp_path):
    code = run(speed, monkeypatch, tmp_path / "s.json", {"seconds": 3.25, "peak_gb": 1.5})
    result = json.loads((tmp_path / "s.json").read_text())
    assert code == (0 if result["promises_kept"] else 1)
    for case in result["cases"].values():
        ours, theirs = (case["seconds"][k]["median"] for k in ("mmcontrast", case["other"]))
        assert case["times_faster"]["median"] == pytest.approx(theirs / ours)
    assert "3.2" in (tmp_path / "s.md").read_text()


@pytest.mark.parametrize("full", [{"seconds": 61, "peak_gb": 1}, {"seconds": 1, "peak_gb": 4.1}])
def test_a_broken_promise_is_told(speed, full):
    case = {"full": full, "times_faster": {"median": 2.0}}
    assert not speed.promises_kept({"one": case})
    case["full"] = {"seconds": 1, "peak_gb": 1}
    assert speed.promises_kept({"one": case})


def test_other_numbers_are_not_compared(speed, monkeypatch, tmp_path, capsys):
    make, other, reference = speed.CASES["BandPower, Welch"]
    wrong = (make, other, lambda X: 1.01 * reference(X))
    monkeypatch.setitem(speed.CASES, "BandPower, Welch", wrong)
    assert run(speed, monkeypatch, tmp_path / "s.json", {}) == 1
    assert "do not compute the same" in capsys.readouterr().err
    assert not (tmp_path / "s.json").exists()


def test_measures_a_process_of_its_own(speed):
    class Queue:
        def put(self, value):
            self.value = value

    queue = Queue()
    speed._measure_full("HaemodynamicFeatures", 4, queue)
    assert 0 < queue.value["seconds"] < 60
    assert np.isfinite(queue.value["peak_gb"])
