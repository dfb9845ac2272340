"""The FactorCL benchmarks run, at toy size, and measure what they say they measure."""

import json
import math
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from mmcontrast import Modalities

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    threads = torch.get_num_threads()
    yield import_module
    torch.set_num_threads(threads)


def toy(setting, **changes):
    """The setting, so small that it says nothing."""
    common = {**setting.common, "batch_size": 32, "max_epochs": 1}
    training = {
        method: {**chosen, "max_epochs": 1, "batch_size": 32}
        for method, chosen in setting.training.items()
    }
    sizes = {"n_train": 200, "n_test": 100, "hidden_dims": (8,), "embed_dim": 8, "head_dim": 4}
    return {**sizes, "critic_dims": (8,), "common": common, "training": training, **changes}


@pytest.fixture
def shared(benchmark):
    return benchmark("_factorcl")


def run(module, monkeypatch, *arguments) -> int:
    monkeypatch.setattr("sys.argv", [module.__name__, *map(str, arguments)])
    return module.main()


# ------------------------------------------------------------------------------- probes
def test_a_probe_explains_what_the_noise_leaves(shared):
    rng = np.random.default_rng(0)
    w = rng.normal(size=(4000, 2))
    Z = w @ rng.normal(size=(2, 5)) + 1e-3 * rng.normal(size=(4000, 5))
    noisy = np.column_stack([w[:, 0], w[:, 1] + rng.normal(size=4000)])
    r2 = shared.probe_latents(Z, noisy, 2000)
    assert r2 == pytest.approx([1.0, 0.5], abs=0.05)
    assert abs(shared.probe_latents(rng.normal(size=(4000, 5)), w, 2000)).max() < 0.05


def test_bits_of_gaussian_latents(shared):
    # 1 - R2 = 1/4 is one bit; what is predicted worse than by the mean is none
    assert shared.gaussian_bits(np.array([0.75, 0.75, -0.2])) == pytest.approx(2.0)
    assert math.isfinite(shared.gaussian_bits(np.ones(3)))


def test_a_probe_is_scored_on_rows_it_has_not_seen(shared):
    rng = np.random.default_rng(0)
    Z, y = rng.normal(size=(200, 150)), rng.integers(2, size=200)
    assert shared.probe_labels(Z, y, 100, C=100.0) < 0.7


# ------------------------------------------------------------------------------ methods
def test_ratios_change_the_labels_alone(shared, benchmark):
    setting = benchmark("factorcl_figure1").QUICK
    small = shared.at_size(setting, n_train=300, n_test=100)
    problem = shared.make_problem(small, 0, [0.0, 1.0])
    alone = shared.make_problem(small, 0, [1.0])
    assert np.array_equal(problem.X["x1"], alone.X["x1"])
    assert np.array_equal(problem.labels["1.0"], alone.labels["1.0"])
    assert (problem.labels["0.0"] != problem.labels["1.0"]).mean() > 0.2
    assert len(problem.X_train) == 300


def test_labels_reach_an_encoder_through_its_own_modality_alone_if_apart(shared, benchmark):
    setting = shared.at_size(
        benchmark("factorcl_synthetic").QUICK,
        n_train=300,
        n_test=100,
        hidden_dims=(8,),
        embed_dim=4,
    )
    problem = shared.make_problem(setting, 0, [None])
    y = problem.labels["label"][:300]
    noise = np.random.default_rng(0).normal(size=problem.X["x2"].shape).astype(np.float32)
    other = replace(problem, X=Modalities(x1=problem.X["x1"], x2=noise))
    for both in (True, False):
        first, second = (
            shared.labelled(setting, 0, given, y, both=both)["x1"] for given in (problem, other)
        )
        assert np.array_equal(first, second) != both


def test_our_cl_is_the_encoders_output_of_the_same_objective(shared, benchmark):
    setting = benchmark("factorcl_figure1").QUICK
    small = shared.at_size(setting, **toy(setting))
    problem = shared.make_problem(small, 0, [0.5])
    y = problem.labels["0.5"][: small.n_train]
    fitted = shared.build(small, "FactorCL-SUP", 0).fit(problem.X_train, y)
    ablation = shared.build(small, "FactorCL-SUP", 0).set_params(factorized=False)
    ablation.fit(problem.X_train, y)
    found = shared.representations(small, "FactorCL-SUP", fitted, problem.X)
    assert list(found) == ["FactorCL-SUP", "OurCL-SUP"]
    expected = ablation.split(ablation.transform(problem.X))
    for name, z in found["OurCL-SUP"].items():
        np.testing.assert_allclose(z, expected[name], rtol=1e-4, atol=1e-5)


def test_objective_and_labels_go_by_the_name(shared, benchmark):
    setting = benchmark("factorcl_figure1").QUICK
    literal = shared.build(setting, "FactorCL-SSL", 0)
    assert (literal.objective, literal.supervised) == ("paper", False)
    assert literal.head_dim == setting.head_dim
    ours = shared.build(setting, "FactorCL-SUP-disentangled", 0)
    assert (ours.objective, ours.supervised) == ("disentangled", True)
    assert ours.max_epochs == setting.training["FactorCL-SUP-disentangled"]["max_epochs"]


def test_a_fit_goes_by_all_that_it_depends_on(shared, benchmark):
    setting = benchmark("factorcl_figure1").QUICK
    other = shared.at_size(setting, training={"CoMM": {"max_epochs": 99}})
    alike = shared.fit_key(setting, "raw inputs", 0, [0.5])
    assert shared.fit_key(other, "raw inputs", 0, [0.5]) == alike
    changes = (
        shared.fit_key(setting, "raw inputs", 1, [0.5]),
        shared.fit_key(setting, "raw inputs", 0, [0.6]),
        shared.fit_key(shared.at_size(setting, embed_dim=3), "raw inputs", 0, [0.5]),
        shared.fit_key(shared.at_size(setting, probe_C=3.0), "raw inputs", 0, [0.5]),
    )
    assert alike not in changes
    assert shared.fit_key(setting, "CoMM", 0, [0.5]) != shared.fit_key(other, "CoMM", 0, [0.5])
    methods = ("FactorCL-SSL", "FactorCL-SSL-disentangled")
    assert len({shared.fit_key(setting, method, 0, [0.5]) for method in methods}) == 2


def test_a_store_computes_once_and_resumes(shared, tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"a": 1.5}

    path = tmp_path / "fits.json"
    for _ in range(2):
        assert shared.Store(path).get("key", compute) == {"a": 1.5}
    assert len(calls) == 1
    shared.Store(None).get("key", compute)
    assert len(calls) == 2


# ------------------------------------------------------------------------------ scripts
def test_synthetic_reports_every_representation(shared, benchmark, monkeypatch, tmp_path):
    module = benchmark("factorcl_synthetic")
    monkeypatch.setattr(module, "QUICK", shared.at_size(module.QUICK, **toy(module.QUICK)))
    assert run(module, monkeypatch, "--quick", "--seeds", 2, "--out", tmp_path / "s.json") == 0
    result = json.loads((tmp_path / "s.json").read_text())
    assert set(result["accuracy"]) == set(module.ROWS)
    assert all(found["n"] == 2 for found in result["accuracy"].values())
    # the task is linear and noise-free
    assert result["accuracy"]["raw inputs"]["mean"] > 0.85
    report = (tmp_path / "s.md").read_text()
    assert f"{result['accuracy']['FactorCL-SUP']['mean']:.4f}" in report


def test_figure_1_has_every_ratio(shared, benchmark, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    module = benchmark("factorcl_figure1")
    monkeypatch.setattr(module, "RATIOS", (0.0, 1.0))
    monkeypatch.setattr(module, "QUICK", shared.at_size(module.QUICK, **toy(module.QUICK)))
    out = ("--plot", tmp_path / "f.svg", "--out", tmp_path / "f.json")
    assert run(module, monkeypatch, "--seeds", 1, *out) == 0
    result = json.loads((tmp_path / "f.json").read_text())
    assert set(result["accuracy"]) == set(module.ROWS)
    for found in result["accuracy"].values():
        assert {ratio: cell["n"] for ratio, cell in found.items()} == {"0.0": 1, "1.0": 1}
    ceiling = result["accuracy"]["latents"]["0.0"]["mean"]
    assert 0.8 < ceiling <= 1
    mean = module.mean_over_ratios(result["accuracy"]["SupCon"])["mean"]
    values = [cell["mean"] for cell in result["accuracy"]["SupCon"].values()]
    assert mean == pytest.approx(np.mean(values))
    assert f"{100 * ceiling:.1f}" in (tmp_path / "f.md").read_text()
    assert "FactorCL-SSL" in (tmp_path / "f.svg").read_text()


def test_parts_takes_over_the_fits_of_the_others(shared, benchmark, monkeypatch, tmp_path):
    module, figure = benchmark("factorcl_parts"), benchmark("factorcl_figure1")
    code = benchmark("factorcl_synthetic")
    monkeypatch.setattr(figure, "RATIOS", (0.5,))
    for script in (figure, code):
        monkeypatch.setattr(script, "QUICK", shared.at_size(script.QUICK, **toy(script.QUICK)))
    fits = ("--resume", tmp_path / "fits.json")
    run(figure, monkeypatch, "--seeds", 1, *fits, "--out", tmp_path / "f.json")
    fitted = set(json.loads((tmp_path / "fits.json").read_text()))
    monkeypatch.setattr(module, "mutual_information", lambda x, y, **options: _Bits(x.shape[1]))
    assert run(module, monkeypatch, "--seeds", 1, *fits, "--out", tmp_path / "p.json") == 0
    added = set(json.loads((tmp_path / "fits.json").read_text())) - fitted
    assert not any(key.startswith("bent code") and "FactorCL-SSL |" in key for key in added)
    result = json.loads((tmp_path / "p.json").read_text())
    parts = result["table_1"]["bent code"]["parts"]
    assert list(parts["FactorCL-SUP"]) == ["shared1", "shared2", "unique1", "unique2"]
    # the untrained encoder of x2 has not seen w1
    assert parts["untrained encoders"]["x2"]["w1"]["r2"]["mean"] < 0.1
    # 101 columns with the label, 100 without
    difference = result["table_11"]["I(X1, Y; X2) - I(X1; X2)"]["gaussian"]["mean"]
    assert difference == 1
    report = (tmp_path / "p.md").read_text()
    assert "12.69" in report
    for found in result["table_1"].values():
        assert module.accuracy_table(found) in report


def test_accuracies_have_a_spread_over_seeds(benchmark):
    module, report = benchmark("factorcl_parts"), benchmark("_report")
    accuracy = {"SupCon": report.summary([0.8, 0.9]), "raw inputs": report.summary([0.75])}
    rows = [
        row.split("|")[1:-1] for row in module.accuracy_table({"accuracy": accuracy}).split("\n")
    ]
    cells = [[cell.strip() for cell in row] for row in rows]
    assert cells[0] == ["representation", "accuracy"]
    assert cells[2:] == [["SupCon", "0.850 ± 0.071"], ["raw inputs", "0.750"]]


class _Bits(float):
    @property
    def value(self) -> float:
        return float(self)


def test_what_a_block_tells_beyond_another(benchmark):
    module = benchmark("factorcl_parts")
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=4000)
    told = np.where(rng.uniform(size=4000) < 0.11, 1 - y, y)[:, None].astype(float)
    blocks = {"told": told, "noise": rng.normal(size=(4000, 1)), "copy": 2 * told}
    # a bit less the entropy of being wrong in 11 % of the cases is half a bit
    assert module.told(blocks, y, "told", "noise", 2000) == pytest.approx(0.5, abs=0.05)
    assert module.told(blocks, y, "copy", "told", 2000) == pytest.approx(0, abs=0.01)
