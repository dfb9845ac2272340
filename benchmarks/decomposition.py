"""What the parts of RUSDecomposer and of its rivals hold of the factors of a simulation.

Of simulated EEG and fNIRS (:func:`mmcontrast.datasets.make_neurovascular`) every factor belongs
into one part. Every part is probed for every factor, by a linear model and by an MLP fitted on the
training rows; a score (R2, or for two classes twice the balanced accuracy less 1) is divided by
the ceiling, the best that a supervised network reads from both modalities, and never below 0.

Selectivity = mean over factors of (share in the right part - mean share in the others). The right
part of a redundant factor is R_eeg and R_fnirs together; each of them alone, as every other part,
counts among the others for the other factors. Run it with::

    python benchmarks/decomposition.py --quick

which takes some minutes, ``--full`` an hour on two cores.
"""

import argparse
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _report import RESULTS, environment, machine_line, summary, table, write_json
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mmcontrast import CoMM, FactorCL, RUSDecomposer
from mmcontrast.datasets import make_neurovascular

HOME = {
    "activation": "R",
    "event_time": "R",
    "state": "U_eeg",
    "gamma": "U_eeg",
    "hbr_ratio": "U_fnirs",
    "frontal_hbo": "U_fnirs",
    "delay": "S",
    "xor": "S",
}
TARGETS = {
    part: [factor for factor, home in HOME.items() if home == part]
    for part in ("R", "U_eeg", "U_fnirs", "S")
}
METHODS = ("balanced", "hybrid", "supervised", "FactorCL", "CoMM")
N_TEST = 2000


def embed(method: str, X: Any, factors: Any, train: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Parts of all rows, by a method fitted on the training rows."""
    if method == "CoMM":
        scaled = _scaled(X, train)
        comm = CoMM(embed_dim=64, max_epochs=20, random_state=seed).fit(scaled[train])
        return {"all": comm.transform(scaled)}
    if method == "FactorCL":
        scaled = _scaled(X, train)
        factorcl = FactorCL(
            embed_dim=64,
            head_dim=16,
            objective="disentangled",
            max_epochs=20,
            learning_rate=1e-3,
            random_state=seed,
        ).fit(scaled[train])
        parts = factorcl.split(factorcl.transform(scaled))
        names = {"shared1": "R_eeg", "shared2": "R_fnirs", "unique1": "U_eeg", "unique2": "U_fnirs"}
        return {names[part]: z for part, z in parts.items()}
    options: dict[str, Any] = {"objective": "hybrid"} if method == "hybrid" else {}
    if method == "supervised":
        options = {"supervised": True, "targets": TARGETS}
    rus = RUSDecomposer(random_state=seed, **options)
    y = factors.iloc[train][list(HOME)].astype(float)
    return rus.fit(X[train], y).split(rus.transform(X))


def _scaled(X: Any, train: np.ndarray) -> Any:
    return type(X)({name: x / x[train].std() for name, x in X.items()})


def probe(
    z: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray, *, linear: bool
) -> float:
    """R2, or twice the balanced accuracy less 1; not below 0."""
    classes = len(np.unique(y)) == 2
    if linear:
        model: Any = LogisticRegression(max_iter=500) if classes else RidgeCV(np.logspace(0, 4, 9))
    else:
        kind = MLPClassifier if classes else MLPRegressor
        model = kind(
            hidden_layer_sizes=(64,), alpha=0.1, early_stopping=True, max_iter=60, random_state=0
        )
    scaler = None if classes else StandardScaler().fit(y[train, None])
    wanted = y if scaler is None else scaler.transform(y[:, None])[:, 0]
    told = make_pipeline(StandardScaler(), model).fit(z[train], wanted[train]).predict(z[test])
    if classes:
        hit = told == y[test]
        return max(0.0, float(sum(hit[y[test] == c].mean() for c in np.unique(y)) - 1))
    return max(0.0, float(1 - np.mean((told - wanted[test]) ** 2) / np.var(wanted[test])))


def matrix(
    parts: Mapping[str, np.ndarray],
    factors: Any,
    train: np.ndarray,
    test: np.ndarray,
    ceilings: Mapping[str, float],
    *,
    linear: bool = True,
) -> dict[str, dict[str, float]]:
    """Share of the ceiling of each factor in each part."""
    probed = dict(parts)
    if "R_eeg" in parts:
        probed["R"] = np.hstack([parts["R_eeg"], parts["R_fnirs"]])
    return {
        part: {
            factor: probe(z, factors[factor].to_numpy(float), train, test, linear=linear)
            / ceilings[factor]
            for factor in HOME
        }
        for part, z in probed.items()
    }


def selectivity(shares: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Mean share in the right part, mean leak and their difference."""
    right, leak = [], []
    for factor, home in HOME.items():
        right.append(shares[home][factor] if home in shares else 0.0)
        inside = {"R", "R_eeg", "R_fnirs"} if home == "R" else {home, "R"}
        leak.append(np.mean([row[factor] for part, row in shares.items() if part not in inside]))
    result = {"right": float(np.mean(right)), "leak": float(np.mean(leak))}
    return result | {"selectivity": result["right"] - result["leak"]}


def measure(
    n: int,
    data_state: int,
    seed: int,
    methods: Sequence[str],
    ceilings: Mapping[str, float],
    *,
    nonlinear: bool,
    across_subjects: bool = False,
) -> dict[str, Any]:
    """Matrices and selectivity of some methods on one simulation."""
    X, factors, subjects = make_neurovascular(n + N_TEST, random_state=data_state)
    rows = np.arange(n + N_TEST)
    train, test = rows[:n], rows[n:]
    if across_subjects:
        held_out = np.isin(subjects, np.unique(subjects)[-3:])
        train, test = rows[~held_out], rows[held_out]
    found = {}
    for method in methods:
        start = time.perf_counter()
        parts = embed(method, X, factors, train, seed)
        seconds = time.perf_counter() - start
        shares = {"linear": matrix(parts, factors, train, test, ceilings)}
        if method != "CoMM":
            print(
                n, data_state, method, f"{seconds:.0f} s", selectivity(shares["linear"]), flush=True
            )
        if nonlinear:
            shares["mlp"] = matrix(parts, factors, train, test, ceilings, linear=False)
        result: dict[str, Any] = {"seconds": seconds, "shares": shares}
        if method != "CoMM":
            result |= {kind: selectivity(values) for kind, values in shares.items()}
        found[method] = result
    return found


# The best that supervised models read from both modalities of 6 000 trials, from the notes of
# make_neurovascular; R2, or twice the accuracy less 1 for state and xor.
CEILINGS = {
    "activation": 0.89,
    "event_time": 0.998,
    "state": 0.92,
    "gamma": 0.90,
    "hbr_ratio": 0.90,
    "frontal_hbo": 0.98,
    "delay": 0.78,
    "xor": 0.94,
}


def report(result: Mapping[str, Any]) -> str:
    """Tables in Markdown."""
    text = ["# Decomposition of simulated EEG and fNIRS", "", machine_line(environment()), ""]
    rows = []
    for run in result["runs"]:
        for method, found in run["methods"].items():
            if "linear" in found:
                linear = [f"{found['linear'][k]:.3f}" for k in ("right", "leak", "selectivity")]
                mlp = f"{found['mlp']['leak']:.3f}" if "mlp" in found else ""
                rows.append([run["label"], method, *linear, mlp, f"{found['seconds']:.0f}"])
    header = ["data", "method", "right", "leak", "selectivity", "leak (MLP)", "fit, s"]
    text += [table(header, rows), ""]
    for run in result["runs"]:
        for method, found in run["methods"].items():
            for kind, shares in found["shares"].items():
                text += [f"## {method}, {run['label']}, {kind} probe", ""]
                body = [[part, *(f"{v:.2f}" for v in row.values())] for part, row in shares.items()]
                text += [table(["part", *HOME], body), ""]
    return "\n".join(text)


def main() -> None:
    """Measure, and write JSON and Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="5 seeds, all sizes and methods")
    parser.add_argument("--quick", action="store_true", help="one seed of 600 and 2 000 trials")
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--states", type=int, nargs="+")
    parser.add_argument("--methods", nargs="+", choices=METHODS)
    parser.add_argument("--across", action="store_true", help="test on subjects held out")
    parser.add_argument("--linear", action="store_true", help="no MLP probes")
    parser.add_argument("--output", type=Path, default=RESULTS / "decomposition.json")
    options = parser.parse_args()
    sizes = options.sizes or ([300, 600, 2000, 6000, 10000] if options.full else [600, 2000])
    states = options.states or (list(range(5)) if options.full else [0])
    warnings.filterwarnings("ignore")
    torch.set_num_threads(max(1, min(2, torch.get_num_threads())))
    runs = []
    for n in sizes:
        for state in states:
            methods = measure(
                n,
                state,
                state,
                options.methods or METHODS,
                CEILINGS,
                nonlinear=not options.linear,
                across_subjects=options.across,
            )
            where = ", other subjects" if options.across else ""
            runs.append({"label": f"n={n}, state {state}{where}", "n": n, "methods": methods})
            result = {"runs": runs, "summary": _summarised(runs)}
            write_json(options.output, result)
            options.output.with_suffix(".md").write_text(report(result) + "\n", encoding="utf-8")


def _summarised(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    values: dict[str, list[float]] = {}
    for run in runs:
        for method, found in run["methods"].items():
            if "linear" in found:
                key = f"{method}, n={run['n']}"
                values.setdefault(key, []).append(found["linear"]["selectivity"])
    return {key: summary(found) for key, found in values.items()}


if __name__ == "__main__":
    main()
