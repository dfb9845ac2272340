"""Tables of the Trifeature benchmarks, beside what the paper says and what was promised."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from _report import machine_line, paragraph, spread, summary, table
from _trifeature import LABELS, SHIFT

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
RESNETS = {"cpu": "resnet18 of an eighth of the width", "paper": "resnet50"}
# of Figure 4: least (most, for what one method is not to hold) scores, %, and processor seconds
PROMISED = {
    "cpu": {
        "CoMM, interaction": {"R": 96, "U": 82, "S": 73, "S_planted": 78},
        "Cross": {"R": 96, "U": -30},
        "seconds": 900,
    },
    "paper": {"CoMM": {"R": 99.9, "U": 87.8, "S_planted": 71.9}},
}
TITLES = {
    "figure4": "What the methods learn",
    "figure5": "Terms of the loss of CoMM",
    "table4": "Linear fusion",
    "table5": "Augmentations of the first / the second image",
    "table7": "ResNet as the encoder",
    "figure7": "Strength of the crop",
}


def as_markdown(result: Mapping[str, Any]) -> str:
    experiment, scale, common = (result[key] for key in ("experiment", "scale", "common"))
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
    text = f"""Images of {scale["image_size"]} px, encoder
        {encoder_of(experiment, scale)}, tokens of {common["embed_dim"]},
        {scale["n_train"]} pairs to train, {scale["n_test"]} to test, batches of
        {common["batch_size"]}, learning rate {rates_of(scale, result["rows"])}, augmented
        {augmentation_of(experiment, scale)},
        {common["precision"]}. {epochs_of(result["rows"])} Mean ± standard deviation over
        {seeds_of(result["rows"])} of pairs and networks (renders, split and map are the same),
        in %. Logistic regression of the standardised
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
        *(paragraph(text) for text in [promises(result)] if text),
        *(f for f in (paper_table(experiment), curves(result), sweep(result)) if f),
        machine_line(result["environment"]),
    ]
    return "\n\n".join(parts) + "\n"


def augmentation_of(experiment: str, scale: Mapping[str, Any]) -> str:
    if experiment == "table5":
        return f"as the rows say (crops from {scale['min_scale']:g} of the area)"
    parts = scale["with_crop" if experiment == "figure7" else "augmentation"]
    named = "all parts of SimCLR's" if parts == "all" else parts.replace("+", " and ")
    named = named.replace("shift", f"shift (by up to {SHIFT * scale['image_size']:g} px)")
    if parts != "all" and "crop" not in parts:
        return f"by {named}"
    crops = "as the rows say" if experiment == "figure7" else f"from {scale['min_scale']:g}"
    return f"by {named} (crops of the area {crops})"


def encoder_of(experiment: str, scale: Mapping[str, Any]) -> str:
    return RESNETS[scale["name"]] if experiment == "table7" else str(scale["encoder"])


def rates_of(scale: Mapping[str, Any], rows: Mapping[str, Any]) -> str:
    """The learning rate, and what single methods have instead of the common options."""
    changes = [
        f"{method}: {', '.join(f'{name} {value}' for name, value in options.items())}"
        for method, options in scale["training"].items()
        if any(row.endswith(method) for row in rows)
    ]
    rate = f"{scale['common']['learning_rate']:g}"
    return f"{rate} ({'; '.join(changes)})" if changes else rate


def promises(result: Mapping[str, Any]) -> str:
    """What was promised of Figure 4, and what was found in the embedding or in its best block."""
    promised = PROMISED.get(result["scale"]["name"], {})
    if result["experiment"] != "figure4":
        return ""
    said = []
    for method, wanted in promised.items():
        row = result["rows"].get(method)
        for name, least in wanted.items() if row and isinstance(wanted, dict) else ():
            columns = {"": row["scores"], **{f" of {k}": v for k, v in row["blocks"].items()}}
            sign = 1 if least > 0 else -1
            where, best = max(
                ((where, 100 * scores[name]["mean"]) for where, scores in columns.items()),
                key=lambda found, sign=sign: sign * found[1],
            )
            verdict = "kept" if sign * best >= least else "not kept"
            bound = f"{'at least' if sign > 0 else 'at most'} {abs(least):g}"
            said.append(f"{method} {name} {bound}: {best:.1f}{where}, {verdict}")
    if "seconds" in promised and said:
        slowest = max(row["seconds"]["mean"] for row in result["rows"].values())
        verdict = "kept" if slowest <= promised["seconds"] else "not kept"
        said.append(f"{promised['seconds']} s of one core: {slowest:.0f} s, {verdict}")
    return "Promised: " + "; ".join(said) + "." if said else ""


def cells_of(scores: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    return [spread(scores[c], 1, 100) if c in scores else "-" for c in columns]


def epochs_of(rows: Mapping[str, Any]) -> str:
    counts = {row["epochs"] for row in rows.values() if row["epochs"]}
    if len(counts) == 1:
        return f"{counts.pop()} epochs."
    named = (f"{name} {row['epochs']}" for name, row in rows.items() if row["epochs"])
    return f"Epochs: {', '.join(named)}."


def seeds_of(rows: Mapping[str, Any]) -> str:
    """How many seeds the rows are of."""
    counts = {name: len(row["seeds"]) for name, row in rows.items()}
    most = max(counts.values())
    fewer = ", ".join(f"{name}: {n}" for name, n in counts.items() if n < most)
    return f"{most} seed(s)" + (f" ({fewer})" if fewer else "")


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


def curves(result: Mapping[str, Any]) -> str:
    """Scores over the epochs, for Figure 5."""
    if result["experiment"] != "figure5":
        return ""
    body = []
    for name, row in result["rows"].items():
        for protocol, fits in row.get("curves", {}).items():
            for epoch in fits[0]:
                means = {c: summary([f[epoch][c] for f in fits])["mean"] for c in (*LABELS, "S")}
                body.append([name, protocol, epoch, *(f"{100 * v:.1f}" for v in means.values())])
    header = ["terms", "training pairs", "epoch", *LABELS, "S"]
    return "Over the epochs:\n\n" + table(header, body)


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
    ceiling = torch.log(torch.tensor(2.0 * result["common"]["batch_size"] - 1)).item()
    for row in result["rows"].values():
        if "held_out_joint" in row:
            row["information"] = ceiling - row["held_out_joint"]["mean"]
