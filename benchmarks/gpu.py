"""Everything of Trifeature at the paper's scale on a GPU, in slices that go on where they were.

    python benchmarks/gpu.py --work runs/

Run it again until it says that it is done: each call stops after ``--slice`` seconds (ten minutes
less a margin for the probes of a fit that has just ended), keeps every finished fit in
``runs/fits.json`` and the state of the last one, epoch by epoch, in ``runs/checkpoints``. It exits
with 75 as long as something is left. The first call also profiles a training step (share of the
time in convolutions, time of as many steps as a fit has).
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from _report import RESULTS, environment, write_json
from _store import Store
from _trifeature import PAPER, OutOfTime, Pairs, Run, Scale, build
from trifeature import EXPERIMENTS, run_experiment

LEFT = 75  # exit status of a call after which something is left
ORDER = ("figure4", "table4", "table5", "figure5", "figure7", "table7")
_WARM_UP, _PROFILED = 20, 40  # steps
# what is promised of one H100
MOST_SECONDS, LEAST_CONVOLUTION = 360.0, 0.6


def profile(scale: Scale, device: str, data_home: Path) -> dict[str, Any]:
    """Time of a step and of as many as a fit has, and the share of convolutions in a step."""
    pairs = Pairs(scale, 0, data_home)
    n_rows = scale.common["batch_size"] * (_WARM_UP + _PROFILED)
    n_profiled = _PROFILED // 2
    estimator = build(scale, Run("CoMM"), 0, max_epochs=1, device=device)
    X = pairs.train(planted=False)
    estimator.fit(X[: 2 * scale.common["batch_size"]])
    net, dataset = estimator.net_, estimator._dataset(X[:n_rows], None)
    net._set_training(True)
    steps = iter(net.get_iterator(dataset, training=True))
    generator = torch.Generator(device=net.device).manual_seed(0)
    for _ in range(_WARM_UP):
        net.train_step(next(steps), generator=generator)
    torch.cuda.synchronize()
    start = time.perf_counter()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiled:
        for _ in range(n_profiled):
            net.train_step(next(steps), generator=generator)
        torch.cuda.synchronize()
    timed = time.perf_counter()
    for _ in range(_PROFILED - n_profiled):
        net.train_step(next(steps), generator=generator)
    torch.cuda.synchronize()
    step = (time.perf_counter() - timed) / (_PROFILED - n_profiled)
    n_steps = scale.common["max_epochs"] * (scale.n_train // scale.common["batch_size"])
    share = convolution_seconds(profiled.key_averages()) / (n_profiled * step)
    return {
        "step_seconds": step,
        "profiled_step_seconds": (timed - start) / n_profiled,
        "fit_seconds": step * n_steps,
        "convolution_share": share,
        "promises_kept": {
            "a fit in under 6 minutes": step * n_steps < MOST_SECONDS,
            "60 % of the step in convolutions": share >= LEAST_CONVOLUTION,
        },
    }


def convolution_seconds(kernels: Any) -> float:
    """Time in kernels of convolutions, by their names."""
    times = {kernel.key.lower(): kernel.self_device_time_total for kernel in kernels}
    marks = ("conv", "cudnn", "xmma_fprop", "dgrad", "wgrad", "implicit_gemm")
    others = ("bn_", "batchnorm", "batch_norm", "pool", "softmax")  # of cuDNN, too
    return 1e-6 * sum(
        t
        for k, t in times.items()
        if any(m in k for m in marks) and not any(o in k for o in others)
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of what is kept")
    parser.add_argument("--slice", type=float, default=500.0, help="seconds of one call")
    parser.add_argument("--experiments", nargs="+", choices=EXPERIMENTS, default=list(ORDER))
    parser.add_argument("--seeds", type=int, default=PAPER.n_seeds)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("No GPU found; nothing was run.", file=sys.stderr)
        return 1
    deadline = time.monotonic() + options.slice
    options.work.mkdir(parents=True, exist_ok=True)
    profiled = options.work / "profile.json"
    if not profiled.exists():
        found = {"environment": environment(), **profile(PAPER, "cuda", options.work)}
        profiled.write_text(json.dumps(found), encoding="utf-8")
        write_json(options.out / "gpu_profile.json", found)
    store = Store(options.work / "fits.json")
    kept = {"data_home": options.work, "checkpoint": options.work / "checkpoints"}
    for experiment in options.experiments:
        out = options.out / f"trifeature_{experiment}_paper.json"
        try:
            print(
                run_experiment(
                    experiment,
                    PAPER,
                    range(options.seeds),
                    store,
                    out,
                    deadline=deadline,
                    **kept,
                )
            )
        except OutOfTime:
            print(f"{len(store.records)} fits are done; run again to go on.", file=sys.stderr)
            return LEFT
    print("All is done.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
