"""Redundancy, uniqueness and synergy on Trifeature: the controlled experiments of CoMM.

    python benchmarks/trifeature.py --experiment figure4 --scale cpu --resume fits.json

Experiments are figure4 (the methods), figure5 (terms of the loss, over the epochs), table4 (linear
fusion), table5 (augmentations), table7 (ResNet) and figure7 (strength of the crop). ``--scale cpu``
has images of 32 px and a small convolutional network, and takes up to a quarter of an hour of one
core per fit; ``--scale paper`` has 224 px and AlexNet or ResNet-50, and wants a GPU. With
``--resume FILE`` an interrupted run goes on with the fits that are left; ``--rows`` and ``--add``
make a table row by row.

Uniqueness and redundancy are those of a model that was trained on unbiased pairs. Synergy is
measured twice: of the model that was trained on pairs that all respect the map from the first
texture to the second colour ("planted", as in the paper, where that map makes the two redundant),
and of the model that was trained without bias ("unplanted": nothing but the factors themselves).
Every table has the raw pixels and the untrained networks beside the methods.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from _report import RESULTS, environment, summary, write_json
from _store import Store
from _trifeature import SCALES, SCORES, Run, Scale, evaluate, options_of
from _trifeature_report import PAPER, RESNETS, add_information, as_markdown

METHODS = ("Cross", "Cross+Self", "FactorCL", "CoMM", "CoMM, interaction")
NOTHING_LEARNED = ("raw pixels", "untrained CoMM", "untrained CoMM, interaction")
TERMS: dict[str, dict[str, Any]] = {
    "L + ΣL_i": {},
    "L": {"loss_terms": ("joint",)},
    "ΣL_i": {"loss_terms": ("modalities",)},
}
CROPS = (0.08, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
# the ablations compare fits with one another: on a CPU shorter ones do, in more and smaller steps
SHORT: dict[str, dict[str, Any]] = {"cpu": {"max_epochs": 6, "batch_size": 128}, "paper": {}}


# -------------------------------------------------------------------------- experiments
def figure4(scale: Scale) -> dict[str, list[Run]]:
    """Rows by name, each with the fits that it takes: without and with bias."""
    return nothing_learned() | {method: protocols(Run(method)) for method in METHODS}


def figure5(scale: Scale) -> dict[str, list[Run]]:
    n_epochs = common_of("figure5", scale)["max_epochs"]
    looks = tuple(sorted({max(1, round(n_epochs * share)) for share in (0.1, 0.25, 0.5)}))
    rows = {
        name: protocols(short(scale, Run("CoMM", changes=terms, probe_epochs=looks)))
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
    encoder = RESNETS[scale.name]
    methods = (*NOTHING_LEARNED[1:], "Cross", "Cross+Self", "CoMM", "CoMM, interaction")
    runs = {name: short(scale, Run(name, encoder=encoder)) for name in methods}
    return {
        "raw pixels": [Run("raw pixels")],
        **{name: [run] if "untrained" in name else protocols(run) for name, run in runs.items()},
    }


def figure7(scale: Scale) -> dict[str, list[Run]]:
    # redundancy and uniqueness are asked: no biased pairs
    rows = {f"crop from {crop:g}": [short(scale, Run("CoMM", min_scale=crop))] for crop in CROPS}
    return nothing_learned() | rows


EXPERIMENTS: dict[str, Callable[[Scale], dict[str, list[Run]]]] = {
    function.__name__: function for function in (figure4, figure5, table4, table5, table7, figure7)
}


def nothing_learned() -> dict[str, list[Run]]:
    return {name: [Run(name)] for name in NOTHING_LEARNED}


def protocols(run: Run) -> list[Run]:
    return [run, replace(run, planted=True)]


def short(scale: Scale, run: Run) -> Run:
    return replace(run, changes=run.changes | SHORT[scale.name])


def common_of(experiment: str, scale: Scale) -> dict[str, Any]:
    """Options of the fits of an experiment that its rows share."""
    return {**scale.common, **({} if experiment == "figure4" else SHORT[scale.name])}


# ------------------------------------------------------------------------------ running
def measure(
    scale: Scale, rows: Mapping[str, Sequence[Run]], seeds: Sequence[int], store: Store, **fit: Any
) -> dict[str, Any]:
    """Scores of each row over the seeds; synergy of the biased model is "S_planted"."""
    found: dict[str, Any] = {}
    for name, runs in rows.items():
        fits = [{r.planted: evaluate(scale, r, seed, store, **fit) for r in runs} for seed in seeds]
        found[name] = summarised(fits) | {"seeds": list(seeds)}
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


# ------------------------------------------------------------------------------- script
def chosen_rows(
    experiment: str, scale: Scale, names: Sequence[str] | None = None
) -> dict[str, list[Run]]:
    """Rows of an experiment: all, or those of the given names."""
    rows = EXPERIMENTS[experiment](scale)
    unknown = set(names or ()) - set(rows)
    if unknown:
        raise SystemExit(f"{experiment} has no row {sorted(unknown)}; it has {list(rows)}.")
    return {name: runs for name, runs in rows.items() if names is None or name in names}


def earlier_rows(
    path: Path, settings: Mapping[str, Any], rows: Mapping[str, Sequence[Run]]
) -> dict[str, Any]:
    """Rows of a result, of which `rows` are to stay and have to be of the same settings."""
    earlier = json.loads(path.read_text(encoding="utf-8"))
    now = json.loads(json.dumps(settings))
    training, before = (found["scale"].pop("training") for found in (now, earlier))
    methods = {run.method for name in earlier["rows"] for run in rows.get(name, ())}
    if any(earlier.get(k) != v for k, v in now.items()) or any(
        options_of(training, method) != options_of(before, method) for method in methods
    ):
        raise SystemExit(f"{path} was measured with other settings; its rows do not fit these.")
    return dict(earlier["rows"])


def run_experiment(
    experiment: str,
    scale: Scale,
    seeds: Sequence[int],
    store: Store,
    out: Path,
    names: Sequence[str] | None = None,
    *,
    add: bool = False,
    **fit: Any,
) -> str:
    settings = {"scale": asdict(scale), "common": common_of(experiment, scale)}
    chosen, all_rows = chosen_rows(experiment, scale, names), EXPERIMENTS[experiment](scale)
    others = {name: runs for name, runs in all_rows.items() if name not in chosen}
    kept = earlier_rows(out, settings, others) if add and out.exists() else {}
    rows = kept | measure(scale, chosen, seeds, store, **fit)
    rows = {name: rows[name] for name in all_rows if name in rows}
    result: dict[str, Any] = {
        "environment": environment(),
        "experiment": experiment,
        **settings,
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
    parser.add_argument("--add", action="store_true", help="keep the other rows of the result file")
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
            add=options.add,
            data_home=options.data_home,
        )
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
