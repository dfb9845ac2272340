"""How fast and with how much memory features of many epochs are computed.

Two promises are measured on one thread:

- BandPower and HaemodynamicFeatures take less than 60 s and 4 GB for 10 000 epochs of 32 channels
  and 1 000 samples, each in a process of its own that also holds the float32 input of 1.3 GB,
- they are at least as fast as the same numbers by MNE's PSDEstimator, by a loop over epochs with
  SciPy, or by a loop over epochs with NumPy; both take turns on the same smaller number of epochs.

Before anything is timed, both have to give the same features; if they do not, the comparison is
refused. Run it with::

    python benchmarks/preprocessing_speed.py

which takes some minutes, prints a table and writes ``results/preprocessing_speed.json`` and
``results/preprocessing_speed.md``.
"""

import argparse
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mne
import numpy as np
import torch
from _report import RESULTS, environment, machine_line, summary, table, write_json
from scipy import signal
from threadpoolctl import threadpool_limits

from mmcontrast.preprocessing import BandPower, HaemodynamicFeatures

SECONDS_LIMIT, MEMORY_LIMIT = 60.0, 4.0  # s, GB
N_CHANNELS, N_TIMES = 32, 1000
EEG_SFREQ, FNIRS_SFREQ = 200.0, 10.0
BANDS = {"delta": (1, 4), "theta": (4, 8), "alpha": (8, 12), "beta": (12, 30), "gamma": (30, 45)}
NAMES = [f"S{k // 2}_D1 {('hbo', 'hbr')[k % 2]}" for k in range(N_CHANNELS)]
SAME = 1e-3  # relative difference that float32 explains


def make_epochs(n_epochs: int) -> np.ndarray:
    """White noise, in place: the input alone is 1.3 GB."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((n_epochs, N_CHANNELS, N_TIMES), dtype=np.float32)


def integrate(freqs: np.ndarray, density: np.ndarray) -> np.ndarray:
    step = freqs[1] - freqs[0]
    parts = [
        density[..., (freqs > low - 1e-9) & (freqs < high - 1e-9)].sum(-1) * step
        for low, high in BANDS.values()
    ]
    return np.stack(parts, axis=-1).reshape(*density.shape[:-2], -1)


def scipy_loop(X: np.ndarray) -> np.ndarray:
    return np.stack([integrate(*signal.welch(epoch, EEG_SFREQ, nperseg=400)) for epoch in X])


def mne_estimator(X: np.ndarray) -> np.ndarray:
    estimator = mne.decoding.PSDEstimator(
        EEG_SFREQ, fmin=0, fmax=60, low_bias=True, normalization="full"
    )
    with mne.use_log_level("error"):
        density = estimator.fit_transform(X.astype(float))
    freqs = np.fft.rfftfreq(N_TIMES, 1 / EEG_SFREQ)
    return integrate(freqs[: density.shape[-1]], density)


def haemodynamic_loop(X: np.ndarray) -> np.ndarray:
    """Slope, area and difference; a loop over epochs, all channels at once."""
    times = np.arange(N_TIMES) / FNIRS_SFREQ
    rows = []
    for epoch in X.astype(float):
        slope = np.polyfit(times, epoch.T, 1)[0]
        area = np.trapezoid(epoch, times, axis=-1)
        peak = np.where(np.arange(N_CHANNELS) % 2, epoch.min(axis=-1), epoch.max(axis=-1))
        means = epoch.mean(axis=-1)
        rows.append(np.r_[np.c_[peak, area, slope].ravel(), means[::2] - means[1::2]])
    return np.stack(rows)


def make_haemodynamic() -> HaemodynamicFeatures:
    return HaemodynamicFeatures(FNIRS_SFREQ, ch_names=NAMES)


Cases = dict[str, tuple[Callable[[], Any], str, Callable[[np.ndarray], np.ndarray]]]
CASES: Cases = {
    "BandPower, Welch": (lambda: BandPower(EEG_SFREQ, log=False), "scipy.signal loop", scipy_loop),
    "BandPower, multitaper": (
        lambda: BandPower(EEG_SFREQ, method="multitaper", log=False),
        "mne PSDEstimator",
        mne_estimator,
    ),
    "HaemodynamicFeatures": (make_haemodynamic, "NumPy loop", haemodynamic_loop),
}


def largest_difference(name: str, X: np.ndarray) -> float:
    """Relative difference of the two, where both compute the same."""
    make, _, reference = CASES[name]
    transformer = make()
    found, expected = transformer.fit_transform(X), reference(X)
    if name == "HaemodynamicFeatures":
        # the loop has no time to peak, and its peaks are samples
        names = transformer.get_feature_names_out()
        found = found[:, [not str(n).endswith("time_to_peak") for n in names]]
        is_peak = np.zeros(found.shape[1], dtype=bool)
        is_peak[: 3 * N_CHANNELS : 3] = True
        found, expected = found[:, ~is_peak], expected[:, ~is_peak]
    return float(np.max(np.abs(found - expected).max(axis=0) / np.abs(expected).max(axis=0)))


def seconds_of(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(name: str, X: np.ndarray, n_repeats: int) -> dict[str, Any]:
    make, other, reference = CASES[name]
    times: dict[str, list[float]] = {"mmcontrast": [], other: []}
    for _ in range(n_repeats):
        times["mmcontrast"].append(seconds_of(lambda: make().fit_transform(X)))
        times[other].append(seconds_of(lambda: reference(X)))
    ratios = [a / b for a, b in zip(times[other], times["mmcontrast"], strict=True)]
    return {
        "other": other,
        "seconds": {key: summary(values) for key, values in times.items()},
        "times_faster": summary(ratios),
    }


def _measure_full(name: str, n_epochs: int, queue: Any) -> None:
    X = make_epochs(n_epochs)
    transformer = CASES[name][0]()
    with threadpool_limits(1):
        seconds = seconds_of(lambda: transformer.fit(X).transform(X))
    # kilobytes on Linux
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    queue.put({"seconds": seconds, "peak_gb": peak})


def measure_full(name: str, n_epochs: int) -> dict[str, float]:
    """Time and peak memory in a process of its own."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_measure_full, args=(name, n_epochs, queue))
    process.start()
    result = queue.get()
    process.join()
    return result


def as_markdown(result: Mapping[str, Any]) -> str:
    header = ["features", "all: s", "peak GB", "part: s", "the same by", "s", "times faster"]
    rows = []
    for name, case in result["cases"].items():
        ours, theirs = (case["seconds"][key]["median"] for key in ("mmcontrast", case["other"]))
        rows.append(
            [
                name,
                f"{case['full']['seconds']:.1f}",
                f"{case['full']['peak_gb']:.2f}",
                f"{ours:.2f}",
                case["other"],
                f"{theirs:.2f}",
                f"{case['times_faster']['median']:.1f}",
            ]
        )
    gigabytes = result["n_epochs"] * N_CHANNELS * N_TIMES * 4 / 1e9
    return f"""# Features of many epochs

{N_CHANNELS} channels x {N_TIMES} samples, float32, one thread. All: {result["n_epochs"]} epochs
({gigabytes:.2f} GB of input), once, in a process of its own. Part: {result["n_compared"]} epochs,
median of {result["n_repeats"]} turns with the other way to compute the same; the features agree to
a relative {max(result["difference"].values()):.0e}. The NumPy loop has no time to peak and takes
peaks at samples, so it does less.

{table(header, rows)}

Promised: less than {SECONDS_LIMIT:g} s and {MEMORY_LIMIT:g} GB, and not slower:
{"kept" if result["promises_kept"] else "NOT kept"}.

{machine_line(result["environment"])}
"""


def promises_kept(cases: Mapping[str, Any]) -> bool:
    return all(
        case["full"]["seconds"] < SECONDS_LIMIT
        and case["full"]["peak_gb"] < MEMORY_LIMIT
        and case["times_faster"]["median"] >= 1
        for case in cases.values()
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--n-epochs", type=int, default=10_000)
    parser.add_argument("--n-compared", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "preprocessing_speed.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    X = make_epochs(options.n_compared)
    with threadpool_limits(1):
        return report_on(options, X)


def report_on(options: argparse.Namespace, X: np.ndarray) -> int:
    difference = {name: largest_difference(name, X[:50]) for name in CASES}
    if max(difference.values()) > SAME:
        print(f"The two do not compute the same: {difference}", file=sys.stderr)
        return 1
    cases = {
        name: compare(name, X, options.repeats) | {"full": measure_full(name, options.n_epochs)}
        for name in CASES
    }
    result: dict[str, Any] = {
        "environment": environment(),
        "n_epochs": options.n_epochs,
        "n_compared": options.n_compared,
        "n_repeats": options.repeats,
        "difference": difference,
        "cases": cases,
        "promises_kept": promises_kept(cases),
    }
    write_json(options.out, result)
    report = as_markdown(result)
    options.out.with_suffix(".md").write_text(report, encoding="utf-8")
    print(report)
    return 0 if result["promises_kept"] else 1


if __name__ == "__main__":
    sys.exit(main())
