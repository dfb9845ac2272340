"""How well CouplingDelay tells the delay between simulated EEG and fNIRS, without labels.

Fitted on trials of simulated subjects (:func:`mmcontrast.datasets.make_neurovascular`), tested on
trials of other ones. The zero of a delay is the mean over the rows of the fit, which for other
subjects is not known, so errors are about the mean of the test trials. Run it with::

    python benchmarks/coupling_delay.py --sizes 600 2000 6000 --states 0 1 2 3 4

With ``--resume FILE`` fits that were done are kept, and all of them are in the report.
"""

import argparse
import time
from collections.abc import Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _report import (
    RESULTS,
    environment,
    machine_line,
    paragraph,
    spread,
    summary,
    table,
    write_json,
)
from _store import Store

from mmcontrast import CouplingDelay
from mmcontrast.datasets import make_neurovascular

MARGIN = 1.0
SFREQ = {"eeg": 100.0, "fnirs": 5.0}
EPOCHS = {600: 30, 2000: 10, 6000: 5}
N_TEST = 2000
# random states of the simulator for other subjects than those of the fit
_OTHERS = 100
PROMISES = {"error": 0.20, "slope": (0.9, 1.1), "other": 0.06}
COLUMNS = {
    "error": ("error (s)", 3),
    "slope": ("slope", 2),
    "r2": ("R2", 2),
    "other": ("R2, other factor", 3),
    "certain": ("error of the surest tenth (s)", 3),
    "uncertain": ("of the least sure (s)", 3),
    "cpu_seconds": ("fit (cpu s)", 0),
}


def measure(n: int, state: int) -> dict[str, float]:
    """Fit on `n` trials, and tell the delays of other subjects' trials."""
    X, _, _ = make_neurovascular(n, margin=MARGIN, random_state=state)
    start = time.process_time()
    timing = CouplingDelay(SFREQ, margin=MARGIN, max_epochs=EPOCHS[n], random_state=state).fit(X)
    seconds = time.process_time() - start
    X, factors, _ = make_neurovascular(N_TEST, margin=MARGIN, random_state=state + _OTHERS)
    *_, delay, uncertainty = timing.transform(X).astype(float).T
    return scores(delay, uncertainty, factors) | {"cpu_seconds": seconds, "n_train": n}


def scores(delay: np.ndarray, uncertainty: np.ndarray, factors: Any) -> dict[str, float]:
    """Errors about the mean, slope, and how much another factor explains at most."""
    true = factors["delay"].to_numpy()
    error = delay - delay.mean() - (true - true.mean())
    order = np.argsort(uncertainty)
    tenth = len(order) // 10
    others = [name for name in factors.columns if name != "delay"]
    return {
        "error": _rms(error),
        "slope": float(np.polyfit(true, delay, 1)[0]),
        "r2": 1 - float(np.mean(error**2) / true.var()),
        "other": max(float(np.corrcoef(factors[name], delay)[0, 1] ** 2) for name in others),
        "certain": _rms(error[order[:tenth]]),
        "uncertain": _rms(error[order[-tenth:]]),
    }


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(x**2)))


def report(records: Mapping[str, Mapping[str, float]]) -> str:
    """Table in Markdown."""
    groups: dict[int, list[Any]] = {}
    for found in records.values():
        groups.setdefault(int(found["n_train"]), []).append(found)
    rows = []
    for n, group in sorted(groups.items(), reverse=True):
        cells = [str(n), str(EPOCHS[n]), str(len(group))]
        for name, (_, digits) in COLUMNS.items():
            cells.append(spread(summary([found[name] for found in group]), digits))
        rows.append(cells)
    header = ["trials", "epochs", "states", *(title for title, _ in COLUMNS.values())]
    text = ["# Label-free delay of simulated fNIRS against EEG", machine_line(environment())]
    return "\n\n".join([*text, paragraph(_EXPLANATION), table(header, rows)]) + "\n"


_EXPLANATION = f"""
Tested on {N_TEST} trials of subjects that were not in the fit. Error: root mean squared error about
the mean. Slope: of the estimate over the true delay. R2: of the estimate as it is, nothing fitted.
Other factor: squared correlation with the factor that explains most of the estimate but for the
delay. The tenths are those of least and most uncertainty, as the estimator tells it. Mean ±
standard deviation over random states, of which each draws subjects, trials and networks.
"""


def main() -> None:
    """Measure, and write JSON and Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", choices=EPOCHS, default=[600])
    parser.add_argument("--states", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--resume", type=Path, help="file of fits that were done")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULTS / "coupling_delay.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    store = Store(options.resume)
    for n, state in product(options.sizes, options.states):
        key = f"n={n}, state {state}"
        print(key, store.get(key, partial(measure, n, state)), flush=True)
    write_json(options.output, {"promises": PROMISES, "fits": store.records})
    options.output.with_suffix(".md").write_text(report(store.records), encoding="utf-8")


if __name__ == "__main__":
    main()
