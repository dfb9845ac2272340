"""What it costs to draw the images of Trifeature, and to read them again.

All 2 600 images of the paper are drawn at each size, on one core. The promises are 60 s at 224 px
and 5 s at 32 px. Processor time is what is compared with them: it does not depend on what else the
machine does; wall time is in the result, too. Run it with::

    python benchmarks/trifeature_render.py

which takes about a minute, prints a table and writes ``results/trifeature_render.json``.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _report import RESULTS, environment, machine_line, summary, table, write_json

from mmcontrast.datasets import make_trifeature

PROMISES = {32: 5.0, 224: 60.0}


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Processor and wall seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def measure(image_size: int, repeats: int) -> dict[str, Any]:
    """Draw, keep and read."""
    drawn = [timed(lambda: make_trifeature(image_size)) for _ in range(repeats)]
    with tempfile.TemporaryDirectory() as folder:
        make_trifeature(image_size, data_home=folder)
        read = [timed(lambda: make_trifeature(image_size, data_home=folder)) for _ in drawn]
        megabytes = sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6
    cpu, wall = zip(*drawn, strict=True)
    return {
        "image_size": image_size,
        "draw_cpu_s": summary(cpu),
        "draw_wall_s": summary(wall),
        "read_wall_s": summary([seconds for _, seconds in read]),
        "file_mb": megabytes,
        "promise_s": PROMISES.get(image_size),
        "kept": image_size not in PROMISES or max(cpu) < PROMISES[image_size],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 112, 224])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS / "trifeature_render.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = [measure(size, args.repeats) for size in args.sizes]
    header = ["image size", "draw, CPU s", "draw, wall s", "read, wall s", "file, MB"]
    keys = ("draw_cpu_s", "draw_wall_s", "read_wall_s")
    rows = [
        [f"{f['image_size']} px", *(f"{f[k]['median']:.2f}" for k in keys), f"{f['file_mb']:.0f}"]
        for f in found
    ]
    print(table(header, rows))
    print(machine_line(environment()))
    kept = all(f["kept"] for f in found)
    write_json(args.out, {"promises_kept": kept, "images": 2600, "sizes": found})
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
