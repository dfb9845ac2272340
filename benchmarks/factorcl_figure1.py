"""Accuracy against the share of the label that is unique: Figure 1 of the FactorCL paper.

The problem is nonlinear and noisy (planar flows, noise on features and labels), so that neither
the raw inputs nor untrained encoders solve it; both are in the table, and so is a logistic
regression on the latents themselves, which no representation can beat. Self-supervised methods are
fitted once per seed, supervised ones once per seed and ratio. Run it with::

    python benchmarks/factorcl_figure1.py --quick --plot docs/_static/benchmarks/factorcl.svg

which takes about five minutes per seed on one core. ``--full`` has the paper's number of rows and
sizes of networks. With ``--resume FILE`` an interrupted run goes on where it was.

Hyperparameters were chosen per method on a seed that is not in the table, in a few trials each.
FactorCL has separable critics here: in the same time they gave better parts than the paper's
concat critics did (which ``factorcl_synthetic.py`` uses).
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from _factorcl import BENT_CODE, SUPERVISED, Setting, at_size, described, evaluate, label_name
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

RATIOS = tuple(i / 10 for i in range(11))
METHODS = (
    "latents",
    "raw inputs",
    "untrained encoders",
    "CrossModal",
    "CrossSelf",
    "CoMM",
    "SupCon",
    "FactorCL-SSL",
    "FactorCL-SUP",
)
ROWS = (*METHODS[:7], "OurCL-SSL", "FactorCL-SSL", "OurCL-SUP", "FactorCL-SUP")
CALLED = {
    "latents": "latents (ceiling)",
    "CrossModal": "CrossModal (SimCLR)",
    "CrossSelf": "CrossSelf (Cross+self)",
}

QUICK = Setting(
    name="bent code",
    data=BENT_CODE,
    n_train=6_000,
    n_test=4_000,
    hidden_dims=(512, 512),
    embed_dim=64,
    head_dim=64,
    critic_dims=(128,),
    common={"batch_size": 128, "learning_rate": 1e-3, "max_epochs": 10},
    training={
        "CrossModal": {"augmentation": ("noise", 0.3), "max_epochs": 12},
        "CrossSelf": {"augmentation": ("noise", 0.3)},
        "CoMM": {"augmentation": ("noise", 0.3)},
        "SupCon": {"max_epochs": 5},
        "FactorCL-SSL": {"critic": "separable", "augmentation": ("noise", 0.3)},
        "FactorCL-SUP": {"critic": "separable", "max_epochs": 5},
        "FactorCL-SSL-disentangled": {"max_epochs": 30, "augmentation": ("noise", 0.3)},
        "FactorCL-SUP-disentangled": {"max_epochs": 30},
    },
)
FULL = at_size(QUICK, n_train=24_000, n_test=6_000, embed_dim=128, head_dim=128, critic_dims=(512,))


def run(
    setting: Setting, seeds: list[int], store: Store, methods: tuple[str, ...] = METHODS
) -> dict[str, Any]:
    """Accuracies by representation, ratio and seed."""
    accuracy: dict[str, dict[str, list[float]]] = {}
    for seed in seeds:
        for method in methods:
            groups = [[ratio] for ratio in RATIOS] if method in SUPERVISED else [list(RATIOS)]
            for ratios in groups:
                fit = evaluate(setting, method, seed, ratios, store)
                for name, probes in fit["probes"].items():
                    by_ratio = accuracy.setdefault(name, {})
                    for ratio, value in probes["accuracy"].items():
                        by_ratio.setdefault(ratio, []).append(value)
    return {
        "setting": described(setting),
        "seeds": seeds,
        "ratios": RATIOS,
        "accuracy": {
            name: {ratio: summary(values) for ratio, values in by_ratio.items()}
            for name, by_ratio in accuracy.items()
        },
    }


def mean_over_ratios(found: Mapping[str, Any]) -> dict[str, Any]:
    """Summary over seeds of the mean over ratios."""
    per_ratio = [found[label_name(ratio)]["values"] for ratio in RATIOS]
    return summary([sum(values) / len(values) for values in zip(*per_ratio, strict=True)])


def as_markdown(result: Mapping[str, Any]) -> str:
    setting, common = result["setting"], result["setting"]["common"]
    rows = []
    for name in (row for row in ROWS if row in result["accuracy"]):
        found = result["accuracy"][name]
        overall = mean_over_ratios(found)
        cells = [found[label_name(ratio)] for ratio in RATIOS]
        rows.append(
            [
                CALLED.get(name, name),
                *(spread(cell, 1, 100) for cell in cells),
                spread(overall, 1, 100),
            ]
        )
    header = ["unique share of the label", *map(label_name, RATIOS), "mean"]
    chosen = [
        f"- {method}: {_written(setting['training'][method])}"
        for method in METHODS
        if method in setting["training"]
    ]
    problem = f"""Test accuracy in percent, mean ± standard deviation over {len(result["seeds"])}
        seed(s), each with a problem of its own. Nonlinear mixing (planar flows) of 10 shared and
        6 + 6 unique latents into 100 + 100 features, feature noise
        {setting["data"]["feature_noise"]}, and {100 * setting["data"]["label_noise"]:.0f} % of the
        labels flipped. {setting["n_train"]} training and {setting["n_test"]} test rows; batches of
        {common["batch_size"]}, encoders
        100-{"-".join(map(str, setting["hidden_dims"]))}-{setting["embed_dim"]}, heads of
        {setting["head_dim"]}, critics {tuple(setting["critic_dims"])}. The paper's experiment has
        50 latents per block, 30 000 rows and critics of 512. Logistic regression
        (C = {setting["probe_C"]:g}) on the standardised frozen representation; "latents" is that of
        the true latents. OurCL is the encoders' output of the fit of FactorCL: its objective is
        the same."""
    training = f"""Training: {_written(common)}; per method, chosen on a seed that is not in the
        table in a few trials each:"""
    return f"""# FactorCL: accuracy against the share of the label that is unique

{paragraph(problem)}

{table(header, rows)}

{paragraph(training)}

{chr(10).join(chosen)}

{machine_line(result["environment"])}
"""


def _written(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in parameters.items())


def _value(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def plot(result: Mapping[str, Any], path: Path) -> None:
    """Draw the curves, supervised and self-supervised side by side."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "mmcontrast", "svg.fonttype": "none"})
    import matplotlib.pyplot as plt

    panels = {
        "Self-supervised": ("CrossModal", "CrossSelf", "CoMM", "OurCL-SSL", "FactorCL-SSL"),
        "Supervised": ("SupCon", "OurCL-SUP", "FactorCL-SUP"),
    }
    references = {"latents": "-", "raw inputs": "--", "untrained encoders": ":"}
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    for axis, (title, names) in zip(axes, panels.items(), strict=True):
        for name in (*references, *names):
            if name not in result["accuracy"]:
                continue
            found = [result["accuracy"][name][label_name(ratio)] for ratio in RATIOS]
            style = {"color": "0.55", "linestyle": references.get(name)}
            axis.errorbar(
                RATIOS,
                [100 * cell["mean"] for cell in found],
                [100 * cell["sd"] for cell in found],
                label=CALLED.get(name, name),
                capsize=2,
                **(style if name in references else {"marker": "o", "markersize": 4}),
            )
        axis.set(title=title, xlabel="unique share of the label")
        axis.legend(fontsize=8, ncols=2, loc="center", bbox_to_anchor=(0.5, 0.75))
    axes[0].set_ylabel("test accuracy (%)")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_const", const=QUICK, dest="setting")
    size.add_argument("--full", action="store_const", const=FULL, dest="setting")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds, from 0 on")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", type=Path, help="file with the results of single fits")
    parser.add_argument("--plot", type=Path, help="where to draw the curves (.svg or .png)")
    parser.add_argument("--out", type=Path, default=RESULTS / "factorcl_figure1.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    result = {
        "environment": environment(),
        **run(options.setting or QUICK, list(range(options.seeds)), Store(options.resume)),
    }
    write_json(options.out, result)
    report = as_markdown(result)
    options.out.with_suffix(".md").write_text(report, encoding="utf-8")
    print(report)
    if options.plot is not None:
        plot(result, options.plot)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
