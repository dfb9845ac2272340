"""The quickstart, as a newcomer runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, EXAMPLES / name],
        cwd=folder,
        env={**os.environ, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_quickstart(tmp_path):
    pytest.importorskip("matplotlib")
    table = run("plot_quickstart.py", tmp_path)
    accuracy = {
        name.strip(): float(value)
        for name, value in re.findall(r"^(.+?)  +(0\.\d+) ± 0\.\d+ ", table, flags=re.MULTILINE)
    }
    assert accuracy["CoMM"] >= 0.90
    assert accuracy["CoMM"] > max(v for name, v in accuracy.items() if name != "CoMM") + 0.03
    assert (tmp_path / "quickstart.png").stat().st_size > 10_000


def test_trifeature(tmp_path):
    pytest.importorskip("matplotlib")
    text = run("plot_trifeature.py", tmp_path)
    assert "biased=1: 100% of the pairs respect the map" in text
    assert len(list(tmp_path.glob("*.png"))) == 2


@pytest.mark.usefixtures("data_home")
def test_real_recordings(tmp_path):
    pytest.importorskip("matplotlib")
    text = run("plot_real_recordings.py", tmp_path)
    assert "6 events (all good)" in text
    assert "S1_D2 hbo_peak" in text and "S1_D1" not in text  # a bad pair
    assert len(list(tmp_path.glob("*.png"))) == 3


@pytest.mark.slow
def test_grid_search(tmp_path):
    pytest.importorskip("matplotlib")
    run("plot_grid_search_augmentation.py", tmp_path)
    assert list(tmp_path.glob("*.png"))


@pytest.mark.slow
def test_factorcl_parts(tmp_path):
    pytest.importorskip("matplotlib")
    r2 = tables(run("plot_factorcl_parts.py", tmp_path))
    for number, own, other in (("1", "w1", "w2"), ("2", "w2", "w1")):
        unique, shared = (r2["disentangled"][part + number] for part in ("unique", "shared"))
        assert unique[own] >= 0.75
        assert max(unique[other], unique["ws"]) <= 0.15
        assert shared["ws"] >= 0.85
        assert shared[own] <= 0.4
        assert r2["paper"]["unique" + number]["ws"] >= 0.5  # as the text of the example says
    assert len(list(tmp_path.glob("*.png"))) == 2


@pytest.mark.slow
def test_eeg_fnirs(tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("pandas")
    text = run("plot_eeg_fnirs.py", tmp_path)
    assert "bad: ['S5_D5 hbo', 'S5_D5 hbr']" in text
    assert "started 6.20 s before" in text
    found = dict(re.findall(r"^(.+?)  +Selectivity\((-?0\.\d+)", text, flags=re.MULTILINE))
    assert float(found["same subjects"]) >= 0.45
    assert float(found["other subjects"]) >= float(found["same subjects"]) - 0.15
    assert float(found["not trained"]) <= 0.25
    # what the text of the example says of each validation
    assert "equivalent: True" in text
    found = re.findall(r"^(unique|synergy): .+?  +(-?\d\.\d\d) \[", text, re.MULTILINE)
    assert min(float(value) for name, value in found if name == "unique") >= 0.4
    assert float(dict(found)["synergy"]) >= 0.05
    assert len(list(tmp_path.glob("eeg_fnirs_*.png"))) == 7


def tables(text: str) -> dict[str, dict[str, dict[str, float]]]:
    """Numbers of printed tables by name, row and column."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for line in text.splitlines():
        if heading := re.fullmatch(r"(\S.*?)((?:  +\w+)+)", line):
            rows, columns = found.setdefault(heading[1], {}), heading[2].split()
        elif row := re.fullmatch(r"  (\w+)((?: +-?\d\.\d\d)+)", line):
            rows[row[1]] = dict(zip(columns, map(float, row[2].split()), strict=True))
    return found
