"""The benchmarks run, at toy size, and compare what they say they compare."""

import json
import math
import platform
from importlib import import_module
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name):
        return import_module(name)

    threads = torch.get_num_threads()
    yield load
    torch.set_num_threads(threads)


def run(module, monkeypatch, *arguments) -> int:
    monkeypatch.setattr("sys.argv", [module.__name__, *map(str, arguments)])
    return module.main()


def test_the_bare_loop_does_the_arithmetic_of_the_library(benchmark):
    overhead = benchmark("overhead")
    found = overhead.largest_difference(overhead.SETTINGS["narrow"], n_rows=1024)
    assert found["steps"] == 8
    assert found["loss"] < overhead.SAME
    assert found["weights"] < 1e-6


def test_another_loss_is_not_the_same_arithmetic(benchmark, monkeypatch):
    overhead = benchmark("overhead")
    monkeypatch.setattr(overhead.BareLoop, "temperature", 0.11)
    found = overhead.largest_difference(overhead.SETTINGS["narrow"], n_rows=512)
    assert found["loss"] > overhead.SAME


def test_overhead_writes_what_it_measured(benchmark, monkeypatch, tmp_path):
    overhead = benchmark("overhead")
    monkeypatch.setattr(
        overhead, "SETTINGS", dict.fromkeys(overhead.SETTINGS, overhead.SETTINGS["narrow"])
    )
    sizes = ("--n-rows", 512, "--n-epochs", 1)
    repeats = ("--step-repeats", 2, "--fit-repeats", 2, "--import-repeats", 1)
    code = run(overhead, monkeypatch, *sizes, *repeats, "--out", tmp_path / "o.json")
    result = json.loads((tmp_path / "o.json").read_text())
    assert code == (0 if result["promises_kept"] else 1)
    assert result["environment"]["threads"] == 1
    step, fit = result["step"]["default"], result["fit"]["default"]
    for measured in (step, fit):
        seconds = measured["seconds"]
        for repeat, ratio in enumerate(measured["ratio"]["values"]):
            bare, library = (seconds[name]["values"][repeat] for name in ("bare", "mmcontrast"))
            assert ratio == pytest.approx(library / bare)
    assert 0 < step["ratio"]["median"] < 10
    assert result["import"]["extra_seconds"]["median"] < 0.3
    report = (tmp_path / "o.md").read_text()
    assert f"{fit['ratio']['median']:.3f}" in report


def test_gpu_check_compares_a_device_with_the_cpu(benchmark, monkeypatch, tmp_path):
    gpu_check = benchmark("gpu_check")
    arguments = ("--device", "cpu", "--n-rows", 256, "--repeats", 1, "--n-epochs", 1)
    assert run(gpu_check, monkeypatch, *arguments, "--out", tmp_path / "g.json") == 0
    agreement = json.loads((tmp_path / "g.json").read_text())["agreement"]
    assert agreement["float32"]["after_fit"] == 0
    assert 0 < agreement["bf16"]["after_fit"] <= 2e-2
    assert agreement["bf16"]["same_weights"] == 0
    # the fit is not so short that there would be nothing to compare
    assert agreement["float32"]["moved_by_the_fit"] > 10 * gpu_check.LIMITS["float32"]


def test_gpu_check_fails_where_devices_differ(benchmark, monkeypatch, tmp_path):
    gpu_check = benchmark("gpu_check")
    monkeypatch.setattr(gpu_check, "LIMITS", {"bf16": 1e-7})
    arguments = ("--device", "cpu", "--n-rows", 256, "--repeats", 1, "--n-epochs", 1)
    assert run(gpu_check, monkeypatch, *arguments, "--out", tmp_path / "g.json") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_gpu_check_has_nothing_to_do_without_a_gpu(benchmark, monkeypatch, capsys, tmp_path):
    assert run(benchmark("gpu_check"), monkeypatch, "--out", tmp_path / "g.json") == 0
    assert "no GPU" in capsys.readouterr().out
    assert not (tmp_path / "g.json").exists()


def test_a_summary_holds_the_usual_statistics(benchmark):
    found = benchmark("_report").summary([1.0, 2.0, 3.0, 4.0, 10.0])
    assert (found["mean"], found["median"], found["n"]) == (4.0, 3.0, 5)
    assert found["quartiles"] == [2.0, 4.0]
    assert found["sd"] == pytest.approx(math.sqrt((9 + 4 + 1 + 0 + 36) / 4))
    alone = benchmark("_report").summary([2.5])
    assert (alone["mean"], alone["median"], alone["sd"]) == (2.5, 2.5, 0.0)


def test_the_environment_names_neither_machine_nor_paths(benchmark):
    text = json.dumps(benchmark("_report").environment())
    assert f'"{platform.node()}"' not in text
    assert "/home" not in text
    assert str(Path.cwd()) not in text
    assert json.loads(text)["versions"]["torch"] == torch.__version__


def small_factorcl_setting(factorcl_step, critic_dims):
    return factorcl_step.Setting((20,), critic_dims, n_features=7, embed_dim=8, batch_size=12)


@pytest.mark.parametrize("critic_dims", [(16,), (16, 9)])
def test_plain_factorcl_does_the_arithmetic_of_the_library(benchmark, critic_dims):
    factorcl_step = benchmark("factorcl_step")
    setting = small_factorcl_setting(factorcl_step, critic_dims)
    assert factorcl_step.largest_difference(setting) < factorcl_step.SAME


def test_plain_factorcl_has_thirteen_optimisers_over_all_parameters(benchmark):
    factorcl_step = benchmark("factorcl_step")
    setting = small_factorcl_setting(factorcl_step, (16,))
    plain = factorcl_step.PlainFactorCL(factorcl_step.make_objective(setting))
    main, critics = plain.optimisers()
    held = [p for o in [*main, critics] for group in o.param_groups for p in group["params"]]
    assert len(main) + 1 == 13
    assert {id(p) for p in held} == {id(p) for p in plain.parameters()}
    assert len(held) == len(list(plain.parameters()))


def test_factorcl_step_writes_what_it_measured(benchmark, monkeypatch, tmp_path):
    factorcl_step = benchmark("factorcl_step")
    setting = small_factorcl_setting(factorcl_step, (16,))
    monkeypatch.setattr(factorcl_step, "SETTINGS", {"paper": setting, "code": setting})
    options = ("--n-steps", 1, "--repeats", 2, "--out", tmp_path / "s.json")
    code = run(factorcl_step, monkeypatch, *options)
    result = json.loads((tmp_path / "s.json").read_text())
    assert code == (0 if result["promise_kept"] else 1)
    measured = result["step"]["paper"]
    seconds = measured["seconds"]
    pairs = zip(seconds["plain"]["values"], seconds["mmcontrast"]["values"], strict=True)
    assert measured["ratio"]["values"] == pytest.approx([p / m for p, m in pairs])
    assert "| paper" in (tmp_path / "s.md").read_text()
