"""What the benchmarks share: environment, summaries, tables and JSON files."""

import json
import platform
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("mmcontrast", "torch", "skorch", "scikit-learn", "numpy", "mne")


def environment() -> dict[str, Any]:
    """Describe versions and hardware, without the name of the machine or any path of it."""
    return {
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_name(),
        "cores": torch.multiprocessing.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation, quartiles and the values themselves."""
    lower, median, upper = (
        statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else 3 * values[:1]
    )
    return {
        "mean": statistics.fmean(values),
        "sd": statistics.stdev(values) if len(values) > 1 else 0.0,
        "median": median,
        "quartiles": [lower, upper],
        "n": len(values),
        "values": list(values),
    }


def write_json(path: str | Path, result: Mapping[str, Any]) -> None:
    """Write a result together with the environment that it was measured in."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"environment": environment(), **result}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a Markdown table with aligned columns."""
    cells = [list(header), *map(list, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in cells
    )


def paragraph(text: str) -> str:
    """Fill lines, wherever the numbers have broken them."""
    return textwrap.fill(" ".join(text.split()), 100, break_on_hyphens=False)


def spread(found: Mapping[str, Any], digits: int, scale: float = 1.0) -> str:
    """Mean and, of several values, their standard deviation."""
    mean = f"{scale * found['mean']:.{digits}f}"
    return mean if found["n"] < 2 else f"{mean} ± {scale * found['sd']:.{digits}f}"


def machine_line(env: Mapping[str, Any]) -> str:
    """Say in one line where and with what something was measured."""
    gpu = f", {env['gpu']}" if env["gpu"] else ""
    return (
        f"{env['cpu']}, {env['cores']} cores{gpu}, {env['threads']} torch thread(s); "
        f"Python {env['python']}, torch {env['versions']['torch']}, "
        f"mmcontrast {env['versions']['mmcontrast']}; {env['date']}"
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
