"""The benchmark of a CoMM step runs, at toy size, and compares the same arithmetic."""

import json
from importlib import import_module
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def comm_step(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    threads = torch.get_num_threads()
    module = import_module("comm_step")
    for name in ("SMALL", "PAPER"):
        small = module.Setting(image_size=16, batch_size=3, embed_dim=16, encoder="cnn")
        monkeypatch.setattr(module, name, small)
    yield module
    torch.set_num_threads(threads)


@pytest.mark.parametrize("n_layers", [1, 2])
def test_the_plain_formulation_does_the_arithmetic_of_the_library(comm_step, n_layers):
    setting = comm_step.Setting(
        image_size=20, batch_size=4, embed_dim=16, encoder="cnn", n_layers=n_layers
    )
    found = comm_step.differences(setting)
    assert found["loss"] < comm_step.SAME["float64"]
    assert found["gradient"] < comm_step.SAME_GRADIENT


def test_another_loss_is_refused(comm_step, monkeypatch, capsys):
    monkeypatch.setattr(comm_step.PlainCoMM, "contrast", lambda self, a, b: (a * b).sum().square())
    monkeypatch.setattr("sys.argv", ["comm_step"])
    assert comm_step.main() == 1
    assert "not the same arithmetic" in capsys.readouterr().err


def test_the_report(comm_step, monkeypatch, tmp_path, capsys):
    out = tmp_path / "step.json"
    arguments = "--repeats 1 --fusion-repeats 2 --batch-size 4 --image-size 32 --out"
    monkeypatch.setattr("sys.argv", ["comm_step", *arguments.split(), str(out)])
    monkeypatch.setattr(comm_step, "SAME", {"float64": 1e-12, "float32": 1e-3})  # tiny batches
    code = comm_step.main()
    result = json.loads(out.read_text(encoding="utf-8"))
    assert code == (0 if all(result["promise_kept"].values()) else 1)
    assert result["n_tokens"] == 16
    assert result["fusion"]["ratio"]["mmcontrast"]["n"] == 2
    for name in ("float32", "bf16"):
        plain, ours = (result["step"]["seconds"][k]["median"] for k in ("plain", name))
        assert result["step"]["ratio"][name]["median"] == pytest.approx(plain / ours)
    report = out.with_suffix(".md").read_text(encoding="utf-8")
    assert report.strip() in capsys.readouterr().out
    assert "whole step, bf16" in report
