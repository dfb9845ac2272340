"""What the parts of FactorCL and its rivals hold of the latents: Tables 1 and 11 of the paper.

Every part is probed for the latents w1, w2 and ws by ridge regression, on the problem of
``factorcl_figure1.py`` with a label that is half unique, and on the authors' own problem. Besides
R2 there are bits: the sum over the latents of -log2(1 - R2) / 2, which the information between
part and latents is never below. ``FactorCL(objective="disentangled")`` is an option of ours that
the paper does not have.

Table 11 asks whether what both modalities share tells nothing about the label that the other
modality does not tell. Run it with::

    python benchmarks/factorcl_parts.py --quick

``--full`` has the sizes of ``--full`` of the other two scripts. With ``--resume FILE`` an
interrupted run goes on where it was, and takes over the fits of the other two.
"""

import argparse
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import factorcl_figure1
import factorcl_synthetic
import numpy as np
import torch
from _factorcl import LATENTS, Setting, at_size, described, evaluate, make_problem
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
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mmcontrast.information import CeilingWarning, mutual_information

# "bits" about w1, w2, ws in the paper's Table 1
PAPER = {
    ("CrossModal", "x1"): (4.45, 0.17, 12.61),
    ("CrossModal", "x2"): (0.16, 3.92, 12.06),
    ("CrossSelf", "x1"): (4.39, 0.13, 11.30),
    ("CrossSelf", "x2"): (0.14, 4.26, 11.47),
    ("SupCon", "x1"): (5.17, 0.23, 7.48),
    ("SupCon", "x2"): (0.19, 5.17, 7.17),
    ("FactorCL-SUP", "unique1"): (7.83, 0.06, 9.47),
    ("FactorCL-SUP", "unique2"): (0.03, 7.17, 9.89),
    ("FactorCL-SUP", "shared1"): (6.25, 0.05, 10.13),
    ("FactorCL-SUP", "shared2"): (0.04, 5.79, 9.40),
}
PAPER_TABLE_11 = {
    "I(X1, Y; X2)": 12.69,
    "I(X1; X2)": 12.29,
    "I(X1, Y; X2) - I(X1; X2)": 0.40,
    "I(X2, Y; X1)": 11.31,
    "I(X2; X1)": 10.92,
    "I(X2, Y; X1) - I(X2; X1)": 0.38,
}
# linear, with the noise of the bent code: the closed form for Gaussians holds, and the information
# is finite, which without noise it is not
LINEAR_NOISY = {"setting": "code", "feature_noise": 0.1, "label_noise": 0.05}
METHODS = (
    "raw inputs",
    "untrained encoders",
    "CrossModal",
    "CrossSelf",
    "SupCon",
    "FactorCL-SSL",
    "FactorCL-SUP",
    "FactorCL-SSL-disentangled",
    "FactorCL-SUP-disentangled",
)
UNIQUE_RATIO = 0.5


# ------------------------------------------------------------------------------ Table 1
def parts_of(
    setting: Setting,
    ratio: float | None,
    seeds: Sequence[int],
    store: Store,
    methods: Sequence[str] = METHODS,
) -> dict[str, Any]:
    """R2 and bits per representation, part and latent, and the accuracy of each representation.

    Self-supervised fits are those for all ratios, so that they are shared with Figure 1.
    """
    held: dict[str, Any] = {}
    accuracy: dict[str, list[float]] = {}
    for method in methods:
        for seed in seeds:
            ratios = _ratios(method, ratio)
            fit = evaluate(setting, method, seed, ratios, store)
            for name, probes in fit["probes"].items():
                label = "label" if ratio is None else f"{ratio:.1f}"
                accuracy.setdefault(name, []).append(probes["accuracy"][label])
                for part, r2 in probes["r2"].items():
                    by_latent = held.setdefault(name, {}).setdefault(part, {})
                    for latent in LATENTS:
                        both = by_latent.setdefault(latent, {"r2": [], "bits": []})
                        both["r2"].append(r2[latent])
                        both["bits"].append(probes["bits"][part][latent])
    return {
        "setting": described(setting),
        "unique_ratio": ratio,
        "accuracy": {name: summary(values) for name, values in accuracy.items()},
        "parts": _summarised(held),
    }


def _ratios(method: str, ratio: float | None) -> list[float | None]:
    if ratio is None or method in factorcl_figure1.SUPERVISED:
        return [ratio]
    return list(factorcl_figure1.RATIOS)


def _summarised(held: Any) -> Any:
    if isinstance(held, list):
        return summary(held)
    return {name: _summarised(inside) for name, inside in held.items()}


# ----------------------------------------------------------------------------- Table 11
def shared_information(
    setting: Setting, seed: int, n_rows: int, max_steps: int
) -> dict[str, dict[str, float]]:
    """The quantities of Table 11 in bits, as the paper has them and by the chain rule.

    What it calls I(Z1; Y | X2) is I(X1, Y; X2) - I(X1; X2), which by the chain rule is
    I(Y; X2 | X1). That is also estimated as a difference of cross-entropies of the label, which
    no large information drowns, and so is I(ws; Y | X2): ws is the Z1 that holds all that the
    modalities share and nothing else.
    """
    problem = make_problem(at_size(setting, n_train=n_rows, n_test=n_rows), seed, [UNIQUE_RATIO])
    (y,) = problem.labels.values()
    blocks = {"X1": problem.X["x1"], "X2": problem.X["x2"], "ws": problem.latents["ws"]}
    networks = {"max_steps": max_steps, "n_folds": 2, "random_state": seed}
    found: dict[str, dict[str, float]] = {}
    for method, options in {"gaussian": {}, "infonce": networks}.items():
        for one, other in (("X1", "X2"), ("X2", "X1")):
            joint = np.column_stack([blocks[one], y])
            both = _bits(joint, blocks[other], method, options)
            alone = _bits(blocks[one], blocks[other], method, options)
            found[f"I({one}, Y; {other})"] = {
                **found.get(f"I({one}, Y; {other})", {}),
                method: both,
            }
            found[f"I({one}; {other})"] = {**found.get(f"I({one}; {other})", {}), method: alone}
            name = f"I({one}, Y; {other}) - I({one}; {other})"
            found[name] = {**found.get(name, {}), method: both - alone}
    for given, more in (("X1", "X2"), ("X2", "X1"), ("X2", "ws"), ("X1", "ws")):
        found[f"I({more}; Y | {given})"] = {"classifiers": told(blocks, y, more, given, n_rows)}
    return found


def _bits(x: np.ndarray, y: np.ndarray, method: str, options: Mapping[str, Any]) -> float:
    with warnings.catch_warnings():
        # the ceiling is in the report
        warnings.simplefilter("ignore", CeilingWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mutual_information(x, y, method=method, unit="bits", **options).value


def told(
    blocks: Mapping[str, np.ndarray], y: np.ndarray, more: str, given: str, n_train: int
) -> float:
    """Bits that `more` adds to what `given` tells a logistic regression of the label."""
    alone = cross_entropy(blocks[given], y, n_train)
    return alone - cross_entropy(np.hstack([blocks[given], blocks[more]]), y, n_train)


def cross_entropy(x: np.ndarray, y: np.ndarray, n_train: int) -> float:
    """Bits per label of a logistic regression on the rows from `n_train` on."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    model.fit(x[:n_train], y[:n_train])
    return float(log_loss(y[n_train:], model.predict_proba(x[n_train:])) / math.log(2))


def table_11(
    setting: Setting, seeds: Sequence[int], n_rows: int, max_steps: int
) -> dict[str, dict[str, Any]]:
    """Summaries over seeds of each quantity and method."""
    per_seed = [shared_information(setting, seed, n_rows, max_steps) for seed in seeds]
    return {
        name: {method: summary([found[name][method] for found in per_seed]) for method in methods}
        for name, methods in per_seed[0].items()
    }


# ------------------------------------------------------------------------------- report
def parts_table(found: Mapping[str, Any]) -> str:
    header = ["representation", "part", *(f"R2 {w}" for w in LATENTS)]
    header += [*(f"bits {w}" for w in LATENTS), "paper: bits w1, w2, ws"]
    rows = []
    for name, parts in found["parts"].items():
        for part, held in parts.items():
            paper = PAPER.get((name, part))
            rows.append(
                [
                    name,
                    part,
                    *(spread(held[w]["r2"], 2) for w in LATENTS),
                    *(f"{held[w]['bits']['mean']:.2f}" for w in LATENTS),
                    ", ".join(f"{bits:.2f}" for bits in paper) if paper else "-",
                ]
            )
    return table(header, rows)


def accuracy_table(found: Mapping[str, Any]) -> str:
    rows = [[name, spread(accuracy, 3)] for name, accuracy in found["accuracy"].items()]
    return table(["representation", "accuracy"], rows)


def information_table(quantities: Mapping[str, Any]) -> str:
    methods = ("gaussian", "infonce", "classifiers")
    rows = []
    for name, by_method in quantities.items():
        cells = [spread(found, 2) if found else "-" for found in map(by_method.get, methods)]
        paper = PAPER_TABLE_11.get(name)
        rows.append([name, *cells, "-" if paper is None else f"{paper:.2f}"])
    return table(["bits", *methods, "paper"], rows)


def as_markdown(result: Mapping[str, Any]) -> str:
    sections = []
    for found in result["table_1"].values():
        setting, ratio = found["setting"], found["unique_ratio"]
        label = "of the setting" if ratio is None else f"with a unique share of {ratio}"
        sections.append(
            f"""## Table 1 on the {setting["name"]}

{setting["n_train"]} training and {setting["n_test"]} test rows, label {label}.

{parts_table(found)}

### Accuracy for the label

Logistic regression on all parts of a representation, on the test rows.

{accuracy_table(found)}"""
        )
    about = f"""Ridge regression of the latents on each part: test R2, averaged over the latents of
        a block, and bits, the sum over the latents of -log2(1 - R2) / 2, which is at most the
        information between part and latents (and is cut at 11.5 per latent). Means over
        {len(result["seeds"])} seed(s). "Bent code" is the problem of the figure, "code" the
        authors' linear and noise-free one. The paper's numbers are those of its own data (50
        latents per block, the mixing is not published) and of an estimator it does not name. The
        rows "disentangled" are FactorCL(objective="disentangled"), an option that the paper does
        not have, with heads of 64."""
    information = f"""Linear mixing with feature noise 0.1 and 5 % of the labels flipped, unique
        share {UNIQUE_RATIO}; {2 * result["table_11_size"]["n_rows"]} rows. "gaussian" is the closed
        form (it sees linear dependence alone, which here is all but that of Y), "infonce" a lower
        bound with a ceiling of 8 bits, "classifiers" a difference of held-out cross-entropies of
        logistic regressions."""
    reading = """The paper calls the differences I(Z1; Y | X2) and I(Z2; Y | X1). By the chain rule
        they are I(X2; Y | X1) and I(X1; Y | X2), which are not to vanish: they are the unique
        information. What the assumption asks for is that ws, the part of X1 that is shared, tells
        nothing of Y beyond X2."""
    return f"""# FactorCL: what the parts hold

{paragraph(about)}

{(chr(10) * 2).join(sections)}

## Table 11: is what both modalities share free of what only one of them tells of the label?

{paragraph(information)}

{information_table(result["table_11"])}

{paragraph(reading)}

{machine_line(result["environment"])}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_const", const="QUICK", dest="size")
    size.add_argument("--full", action="store_const", const="FULL", dest="size")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, from 0 on")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", type=Path, help="file with the results of single fits")
    parser.add_argument("--out", type=Path, default=RESULTS / "factorcl_parts.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    size = options.size or "QUICK"
    seeds, store = list(range(options.seeds)), Store(options.resume)
    bent, code = getattr(factorcl_figure1, size), getattr(factorcl_synthetic, size)
    rows = {"n_rows": bent.n_train, "max_steps": 1000 if size == "QUICK" else 5000}
    result = {
        "environment": environment(),
        "seeds": seeds,
        "table_1": {
            "bent code": parts_of(bent, UNIQUE_RATIO, seeds, store),
            "code": parts_of(code, None, seeds, store),
        },
        "table_11": table_11(at_size(bent, data=LINEAR_NOISY), seeds, **rows),
        "table_11_size": rows,
        "paper": {
            "table_1": {" ".join(where): bits for where, bits in PAPER.items()},
            "table_11": PAPER_TABLE_11,
        },
    }
    write_json(options.out, result)
    report = as_markdown(result)
    options.out.with_suffix(".md").write_text(report, encoding="utf-8")
    print(report)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
