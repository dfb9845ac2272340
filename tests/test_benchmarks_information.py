"""The benchmarks of the estimators of information run, at toy size."""

import json
import math
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    threads = torch.get_num_threads()
    yield import_module
    torch.set_num_threads(threads)


def run(module, monkeypatch, *arguments) -> int:
    monkeypatch.setattr("sys.argv", [module.__name__, *map(str, arguments)])
    return module.main()


def test_gaussians_have_the_information_that_they_should(benchmark):
    x, y = benchmark("gaussian_mi").Gaussians(dim=4, seed=0).draw(2.0, 20_000)
    rho = (x * y).mean() / (x.std() * y.std())
    assert -4 / 2 * math.log(1 - rho**2) == pytest.approx(2, abs=0.05)


def test_gaussian_mi(benchmark, monkeypatch, tmp_path):
    module = benchmark("gaussian_mi")
    monkeypatch.setattr(module, "N_EVALUATION", 3)
    out, figure = tmp_path / "g.json", tmp_path / "g.png"
    sizes = ("--seeds", 2, "--steps", 4, "--dims", 3, 5)
    code = run(module, monkeypatch, *sizes, "--out", out, "--plot", figure)
    result = json.loads(out.read_text())
    assert code == (0 if all(result["kept"].values()) else 1)
    assert len(result["runs"]) == 2 * 2 * 5
    assert len(result["cells"]) == 2 * 5
    cell = result["cells"][0]
    own = [r["InfoNCE"] for r in result["runs"] if (r["dim"], r["truth"]) == (3, 2.0)]
    assert cell["InfoNCE"]["values"] == own
    assert all(run["InfoNCE"] <= math.log(64) for run in result["runs"])
    assert figure.stat().st_size > 1000
    assert f"{cell['CLUB']['mean']:.2f}" in out.with_suffix(".md").read_text()


def test_broken_promises_are_told(benchmark):
    module = benchmark("gaussian_mi")
    error = {"InfoNCE": 0.01}
    good = {"truth": 2.0, "InfoNCE": 1.9, "NCE-CLUB": 4.0, "converged": True, "stderr": error}
    assert all(module.kept([good], 64).values())
    assert not all(module.kept([good | {"InfoNCE": 2.1}], 64).values())
    assert not all(module.kept([good | {"InfoNCE": 4.2, "truth": 8.0}], 64).values())
    assert not all(module.kept([good | {"NCE-CLUB": 1.8}], 64).values())
    assert all(module.kept([good | {"NCE-CLUB": 1.8, "converged": False}], 64).values())


def test_conditional_mi(benchmark, monkeypatch, tmp_path):
    module = benchmark("conditional_mi")
    rows = (module.Row(60, 2), module.Row(60, 1, strong=True))
    monkeypatch.setattr(module, "QUICK", rows)
    short = partial(module.conditional_mutual_information, max_steps=5)
    monkeypatch.setattr(module, "conditional_mutual_information", short)
    out = tmp_path / "c.json"
    code = run(module, monkeypatch, "--seeds", 1, "--out", out)
    result = json.loads(out.read_text())
    assert code == (0 if all(result["kept"].values()) else 1)
    weak, strong = result["cells"]
    assert weak["truth"] == strong["truth"] == pytest.approx(0.5 * math.log(101))
    assert weak["joint_truth"] == pytest.approx(0.5 * math.log(1 + (1 + 1 / 12) * 100), abs=0.01)
    assert strong["joint_truth"] == pytest.approx(0.5 * math.log(1001))
    assert {run["method"] for run in result["runs"]} == set(module.METHODS)
    assert f"{strong['gaussian']['mean']:.2f}" in out.with_suffix(".md").read_text()


def test_the_full_table_has_the_rows_of_the_paper(benchmark):
    module = benchmark("conditional_mi")
    sizes = {(row.n_rows, row.n_conditions) for row in module.FULL if not row.strong}
    assert sizes == set(module.PAPER)
