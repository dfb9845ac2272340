"""Redundancy, uniqueness and synergy on Trifeature: the controlled experiments of CoMM.

    python benchmarks/trifeature.py --experiment figure4 --scale cpu --resume fits.json

Experiments are figure4 (the methods), figure5 (terms of the loss, over the epochs), table4 (linear
fusion), table5 (augmentations), table7 (ResNet) and figure7 (strength of the crop). ``--scale cpu``
has images of 32 px and a small convolutional network, and takes up to a quarter of an hour of one
core per fit; ``--scale paper`` has 224 px and AlexNet or ResNet-50, and wants a GPU. With
``--resume FILE`` an interrupted run goes on with the fits that are left.

Uniqueness and redundancy are those of a model that was trained on unbiased pairs. Synergy is
measured twice: of the model that was trained on pairs that all respect the map from the first
texture to the second colour ("planted", as in the paper, where that map makes the two redundant),
and of the model that was trained without bias ("unplanted": nothing but the factors themselves).
Every table has the raw pixels and the untrained networks beside the methods.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

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
from _trifeature import LABELS, SCALES, SCORES, Run, Scale, evaluate

METHODS = ("Cross", "Cross+Self", "FactorCL", "CoMM", "CoMM, interaction")
NOTHING_LEARNED = ("raw pixels", "untrained CoMM", "untrained CoMM, interaction")
# linear probe of AlexNet features, % (the paper: Figure 4 and Tables 4, 5 and 7)
PAPER = {
    "figure4": {
        "Cross": {"R": "100.0 ± 0.0", "U": "11.6 ± 0.9", "S": "50.0 ± 0.0"},
        "Cross+Self": {"R": "99.7 ± 0.2", "U": "86.9 ± 0.8", "S": "50.0 ± 0.0"},
        "CoMM": {"R": "99.9 ± 0.0", "U": "87.8 ± 1.6", "S": "71.9 ± 2.0"},
    },
    "table4": {
        "CoMM, linear fusion": {"R": "99.7 ± 0.1", "U": "81.5 ± 2.9", "S": "50.0 ± 0.0"},
        "CoMM": {"R": "99.9 ± 0.0", "U": "87.8 ± 1.6", "S": "71.9 ± 2.0"},
    },
    "table5": {
        "all / none": {"R": "99.7", "U1": "79.9", "U2": "46.4", "S": "50.0"},
        "none / all": {"R": "99.6", "U1": "53.9", "U2": "86.0", "S": "50.0"},
        "all_but_crop / all": {"R": "88.8", "U1": "25.7", "U2": "84.0", "S": "50.0"},
        "all / all_but_crop": {"R": "90.5", "U1": "83.2", "U2": "21.7", "S": "50.0"},
        "all / all": {"R": "99.9", "U1": "84.4", "U2": "91.2", "S": "71.9"},
    },
    "table7": {
        "Cross": {"R": "100.0 ± 0.0", "U": "6.5 ± 0.7", "S": "50.0 ± 0.0"},
        "Cross+Self": {"R": "99.9 ± 0.0", "U": "96.2 ± 0.8", "S": "50.0 ± 0.0"},
        "CoMM": {"R": "99.9 ± 0.0", "U": "96.3 ± 1.3", "S": "75.0 ± 1.7"},
    },
}
TERMS = {"L + ΣL_i": ("joint", "modalities"), "L": ("joint",), "ΣL_i": ("modalities",)}
CROPS = (0.08, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
# the ablations compare fits with one another: a part of the epochs does, on a CPU
SHORT = {"cpu": 12, "paper": None}


# -------------------------------------------------------------------------- experiments
def figure4(scale: Scale) -> dict[str, list[Run]]:
    """Rows by name, each with the fits that it takes: without and with bias."""
    return nothing_learned() | {method: protocols(Run(method)) for method in METHODS}


def figure5(scale: Scale) -> dict[str, list[Run]]:
    n_epochs = SHORT[scale.name] or scale.common["max_epochs"]
    looks = tuple(sorted({max(1, round(n_epochs * share)) for share in (0.1, 0.25, 0.5, 1.0)}))
    rows = {
        name: protocols(
            replace(short(scale, Run("CoMM", changes={"loss_terms": terms})), probe_epochs=looks)
        )
        for name, terms in TERMS.items()
    }
    return nothing_learned() | rows


def table4(scale: Scale) -> dict[str, list[Run]]:
    methods = ("CoMM, linear fusion", "CoMM", "CoMM, interaction")
    return nothing_learned() | {name: protocols(short(scale, Run(name))) for name in methods}


def table5(scale: Scale) -> dict[str, list[Run]]:
    kinds = [name.split(" / ") for name in PAPER["table5"]]
    rows = {
        f"{first} / {second}": protocols(short(scale, Run("CoMM", augmentations=(first, second))))
        for first, second in kinds
    }
    return nothing_learned() | rows


def table7(scale: Scale) -> dict[str, list[Run]]:
    encoder = {"cpu": "resnet18", "paper": "resnet50"}[scale.name]
    methods = ("untrained CoMM", "Cross", "Cross+Self", "CoMM", "CoMM, interaction")
    runs = {name: short(scale, Run(name, encoder=encoder)) for name in methods}
    return {
        "raw pixels": [Run("raw pixels")],
        **{name: [run] if "untrained" in name else protocols(run) for name, run in runs.items()},
    }


def figure7(scale: Scale) -> dict[str, list[Run]]:
    rows = {f"crop from {crop:g}": [short(scale, Run("CoMM", min_scale=crop))] for crop in CROPS}
    return nothing_learned() | rows


EXPERIMENTS: dict[str, Callable[[Scale], dict[str, list[Run]]]] = {
    function.__name__: function for function in (figure4, figure5, table4, table5, table7, figure7)
}
TITLES = {
    "figure4": "What the methods learn",
    "figure5": "Terms of the loss of CoMM",
    "table4": "Linear fusion",
    "table5": "Augmentations of the first / the second image",
    "table7": "ResNet as the encoder",
    "figure7": "Strength of the crop",
}


def nothing_learned() -> dict[str, list[Run]]:
    return {name: [Run(name)] for name in NOTHING_LEARNED}


def protocols(run: Run) -> list[Run]:
    return [run, replace(run, planted=True)]


def short(scale: Scale, run: Run) -> Run:
    n_epochs = SHORT[scale.name]
    return run if n_epochs is None else replace(run, changes=run.changes | {"max_epochs": n_epochs})


# ------------------------------------------------------------------------------ running
def measure(
    scale: Scale, rows: Mapping[str, Sequence[Run]], seeds: Sequence[int], store: Store, **fit: Any
) -> dict[str, Any]:
    """Scores of each row over the seeds; synergy of the biased model is "S_planted"."""
    found: dict[str, Any] = {}
    for name, runs in rows.items():
        fits = [{r.planted: evaluate(scale, r, seed, store, **fit) for r in runs} for seed in seeds]
        found[name] = summarised(fits)
    return found


def scores_of(
    fits: Sequence[Mapping[bool, Any]], chosen: Callable[[Any], Mapping[str, float]]
) -> dict[str, Any]:
    """Mean and spread over seeds; those of the biased model are "<name>_planted"."""
    unbiased = [chosen(fit[False]) for fit in fits]
    scores = {name: summary([s[name] for s in unbiased]) for name in SCORES}
    scores["U"] = summary([(s["U1"] + s["U2"]) / 2 for s in unbiased])
    if all(True in fit for fit in fits):
        planted = [chosen(fit[True]) for fit in fits]
        scores |= {
            f"{name}_planted": summary([s[name] for s in planted])
            for name in ("S", "S_auc", "S_balanced", "R")
        }
    return scores


def summarised(fits: Sequence[Mapping[bool, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {"scores": scores_of(fits, lambda fit: fit["scores"])}
    row["blocks"] = {
        block: scores_of(fits, lambda fit, block=block: fit["blocks"][block])  # type: ignore[misc]
        for block in fits[0][False].get("blocks", ())
    }
    row["seconds"] = summary([f["seconds"] for fit in fits for f in fit.values()])
    row["epochs"] = fits[0][False].get("epochs", 0)
    if fits[0][False].get("curve"):
        row["curves"] = {
            "planted" if planted else "unbiased": [fit[planted]["curve"] for fit in fits]
            for planted in fits[0]
        }
    if fits[0][False].get("held_out_joint") is not None:
        row["held_out_joint"] = summary([fit[False]["held_out_joint"] for fit in fits])
    return row


# ------------------------------------------------------------------------------- report
def as_markdown(result: Mapping[str, Any]) -> str:
    experiment, scale = result["experiment"], result["scale"]
    columns = ["R", "U", "U1", "U2", "S", "S_auc", "S_balanced", "S_planted", "S_auc_planted"]
    synergy = ["S", "AUC", "S, balanced", "S planted", "AUC planted"]
    header = ["", "R", "U", "U1", "U2", *synergy, "time"]
    body = []
    for name, row in result["rows"].items():
        took = row["seconds"]["mean"]
        time = f"{took:.0f} s" if took > 1 else "-"
        body.append([name, *cells_of(row["scores"], columns), time])
        for block, scores in row["blocks"].items():
            body.append([f"- its {block}", *cells_of(scores, columns), ""])
    text = f"""Images of {scale["image_size"]} px, encoder {scale["encoder"]}, tokens of
        {scale["common"]["embed_dim"]}, {scale["n_train"]} pairs to train,
        {scale["n_test"]} to test, batches of {scale["common"]["batch_size"]}, learning rate
        {scale["common"]["learning_rate"]:g}, augmented by {augmentation_of(scale)},
        {scale["common"]["precision"]}. {epochs_of(result["rows"])} Mean ± standard deviation over
        {len(result["seeds"])} seed(s), in %. Logistic regression of the standardised
        frozen embedding, its C chosen on held-out training pairs."""
    legend = """R: accuracy for the shape; U1, U2: for the textures, U: their mean (chance 10). S:
        balanced accuracy and AUC for whether the pair respects the map (chance 50), of a model
        trained on unbiased pairs; "balanced": accuracy on test pairs half of which do. "Planted":
        of a model trained on pairs that all respect it, as the paper does. CLS and products:
        probes of these columns alone. Time: that of the epochs of a fit, of the processor or, on a
        GPU, of the clock."""
    parts = [
        f"# Trifeature: {TITLES[experiment]} (scale: {scale['name']})",
        paragraph(text),
        table(header, body),
        paragraph(legend),
        *(f for f in (paper_table(experiment), curves(result["rows"]), sweep(result)) if f),
        machine_line(result["environment"]),
    ]
    return "\n\n".join(parts) + "\n"


def augmentation_of(scale: Mapping[str, Any]) -> str:
    parts = scale["augmentation"]
    named = "all parts of SimCLR's" if parts == "all" else " and ".join(parts)
    return f"{named} (crops from {scale['min_scale']:g} of the area)"


def cells_of(scores: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    return [spread(scores[c], 1, 100) if c in scores else "-" for c in columns]


def epochs_of(rows: Mapping[str, Any]) -> str:
    counts = {row["epochs"] for row in rows.values() if row["epochs"]}
    if len(counts) == 1:
        return f"{counts.pop()} epochs."
    named = (f"{name} {row['epochs']}" for name, row in rows.items() if row["epochs"])
    return f"Epochs: {', '.join(named)}."


def paper_table(experiment: str) -> str:
    rows = PAPER.get(experiment)
    if rows is None:
        return ""
    columns = list(next(iter(rows.values())))
    body = [[name, *row.values()] for name, row in rows.items()]
    network = "ResNet-50" if experiment == "table7" else "AlexNet"
    return f"The paper ({network}, 224 px, 100 epochs; S is planted):\n\n" + table(
        ["", *columns], body
    )


def curves(rows: Mapping[str, Any]) -> str:
    """Scores over the epochs, of rows that were probed on the way."""
    body = []
    for name, row in rows.items():
        for protocol, fits in row.get("curves", {}).items():
            for epoch in fits[0]:
                means = {c: summary([f[epoch][c] for f in fits])["mean"] for c in (*LABELS, "S")}
                body.append([name, protocol, epoch, *(f"{100 * v:.1f}" for v in means.values())])
    header = ["terms", "training pairs", "epoch", *LABELS, "S"]
    return "Over the epochs:\n\n" + table(header, body) if body else ""


def sweep(result: Mapping[str, Any]) -> str:
    """InfoNCE between two augmentations beside the scores, for Figure 7."""
    if result["experiment"] != "figure7":
        return ""
    body = [
        [name, f"{row['information']:.2f}", *(spread(row["scores"][c], 1, 100) for c in "RU")]
        for name, row in result["rows"].items()
        if "information" in row
    ]
    return "Information between two augmentations of held-out pairs:\n\n" + table(
        ["", "I_NCE(X, X') (nats)", "R", "U"], body
    )


def add_information(result: dict[str, Any]) -> None:
    """log(2N - 1), the largest that N pairs of views can show, minus the loss."""
    ceiling = torch.log(torch.tensor(2.0 * result["scale"]["common"]["batch_size"] - 1)).item()
    for row in result["rows"].values():
        if "held_out_joint" in row:
            row["information"] = ceiling - row["held_out_joint"]["mean"]


def chosen_rows(
    experiment: str, scale: Scale, names: Sequence[str] | None = None
) -> dict[str, list[Run]]:
    """Rows of an experiment: all, or those of the given names."""
    rows = EXPERIMENTS[experiment](scale)
    unknown = set(names or ()) - set(rows)
    if unknown:
        raise SystemExit(f"{experiment} has no row {sorted(unknown)}; it has {list(rows)}.")
    return {name: runs for name, runs in rows.items() if names is None or name in names}


def run_experiment(
    experiment: str,
    scale: Scale,
    seeds: Sequence[int],
    store: Store,
    out: Path,
    names: Sequence[str] | None = None,
    **fit: Any,
) -> str:
    rows = measure(scale, chosen_rows(experiment, scale, names), seeds, store, **fit)
    result: dict[str, Any] = {
        "environment": environment(),
        "experiment": experiment,
        "scale": asdict(scale),
        "seeds": list(seeds),
        "rows": rows,
        "paper": PAPER.get(experiment),
    }
    add_information(result)
    write_json(out, result)
    report = as_markdown(result)
    out.with_suffix(".md").write_text(report, encoding="utf-8")
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--experiment", choices=EXPERIMENTS, default="figure4")
    parser.add_argument("--scale", choices=SCALES, default="cpu")
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="some of the rows, by their names")
    parser.add_argument("--seeds", type=int, help="number of seeds, from 0 on")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", type=Path, help="file with the results of single fits")
    parser.add_argument("--data-home", type=Path, help="folder that keeps the rendered images")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    scale = SCALES[options.scale]
    name = f"trifeature_{options.experiment}_{scale.name}.json"
    print(
        run_experiment(
            options.experiment,
            scale,
            range(options.seeds or scale.n_seeds),
            Store(options.resume),
            options.out or RESULTS / name,
            options.rows,
            data_home=options.data_home,
        )
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
