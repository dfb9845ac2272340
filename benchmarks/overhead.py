"""What mmcontrast costs on top of a bare PyTorch loop that does the same arithmetic.

Three promises are measured:

- a CoMM training step (two modalities, batches of 256, MLP encoders) takes at most 1.15 times as
  long as that of a hand-written loop,
- a whole ``fit`` (checks of the input, building, training, history) takes at most 1.25 times as
  long as the whole run of that loop,
- ``import mmcontrast`` takes under 0.3 s beyond importing nothing.

The bare loop uses the modules that hold the weights (encoders, fusion, projection head) and is
hand-written otherwise: row order, augmentation, views, loss, schedule, optimiser. Before anything
is timed, both train in float64 on the same batches and random draws and have to have the same
losses; if they do not, the comparison is refused.

Library and loop take turns, and ratios are taken within a turn, so a busy machine slows both
alike. Run it with::

    python benchmarks/overhead.py

which takes about ten minutes on one core, prints a table and writes ``results/overhead.json`` and
``results/overhead.md``.
"""

import argparse
import math
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from _report import RESULTS, environment, machine_line, summary, table, write_json
from torch import Tensor

from mmcontrast import CoMM, Modalities
from mmcontrast.nn import ProjectionHead, build_multimodal_encoder
from mmcontrast.training import ModalityDataset

STEP_LIMIT, FIT_LIMIT, IMPORT_LIMIT = 1.15, 1.25, 0.3
# largest difference of losses in float64 that rounding explains
SAME = 1e-9
BATCH_SIZE = 256
SEED = 0


@dataclass(frozen=True)
class Setting:
    """Sizes of a problem; the names of the fields are those of CoMM where it has them."""

    n_features: int
    embed_dim: int
    projection_dims: tuple[int, ...]


SETTINGS = {
    # CoMM as it comes; this is what the promises are about
    "default": Setting(n_features=64, embed_dim=64, projection_dims=(512, 512, 256)),
    # next to no arithmetic in a step, to show what a step costs besides
    "narrow": Setting(n_features=16, embed_dim=16, projection_dims=(32, 16)),
}


def make_data(setting: Setting, n_rows: int) -> dict[str, np.ndarray]:
    """Two modalities with something in common, as a user has them: float64 arrays."""
    rng = np.random.default_rng(SEED)
    shared = rng.normal(size=(n_rows, 8))
    return {
        name: shared @ rng.normal(size=(8, setting.n_features))
        + rng.normal(size=(n_rows, setting.n_features))
        for name in ("a", "b")
    }


def make_comm(setting: Setting, n_epochs: int) -> CoMM:
    return CoMM(
        encoders="mlp",
        embed_dim=setting.embed_dim,
        projection_dims=setting.projection_dims,
        batch_size=BATCH_SIZE,
        max_epochs=n_epochs,
        device="cpu",
        random_state=SEED,
    )


class BareLoop:
    """CoMM for two complete modalities, written down by hand."""

    sigma, p, temperature = 0.1, 0.5, 0.1
    lr, final_lr, weight_decay = 1e-3, 1e-6, 1e-2

    def __init__(self, setting: Setting, data: Mapping[str, np.ndarray], seed: int) -> None:
        self.data = {name: torch.from_numpy(x.astype(np.float32)) for name, x in data.items()}
        self.sigmas = {name: self.sigma * float(x.std()) for name, x in data.items()}
        self.n_rows = len(data["a"])
        torch.manual_seed(seed)
        shapes = {name: x.shape[1:] for name, x in data.items()}
        encoder = build_multimodal_encoder(shapes, setting.embed_dim, encoders="mlp")
        self.encoders, self.converters = encoder.encoders, encoder.converters
        self.fusion = encoder.fusion
        self.head = ProjectionHead(setting.embed_dim, setting.projection_dims)
        self.module = torch.nn.ModuleList([encoder, self.head])
        parameters = list(self.module.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=self.lr, fused=True)
        self.generator = torch.Generator().manual_seed(seed)
        # which token (of a, of b) the fusion sees for the joint embedding and for a and b alone
        self.masks = torch.tensor([[True, True], [True, False], [False, True]])[:, None]
        n = 2 * BATCH_SIZE
        self.partner = torch.arange(n).roll(BATCH_SIZE)

    def run(self, n_epochs: int) -> list[float]:
        """Train and return the mean loss of each epoch."""
        steps_per_epoch = self.n_rows // BATCH_SIZE
        n_steps, n_warmup = n_epochs * steps_per_epoch, steps_per_epoch
        history, step = [], 0
        for _ in range(n_epochs):
            order, total = torch.randperm(self.n_rows, generator=self.generator), torch.zeros(())
            for rows in order[: steps_per_epoch * BATCH_SIZE].split(BATCH_SIZE):
                step += 1
                total += self.step(rows, self.learning_rate(step, n_warmup, n_steps))
            history.append(total.item() / steps_per_epoch)
        return history

    def learning_rate(self, step: int, n_warmup: int, n_steps: int) -> float:
        if step < n_warmup:
            return self.lr * step / n_warmup
        through = (step - n_warmup) / max(1, n_steps - n_warmup)
        return self.final_lr + (self.lr - self.final_lr) * 0.5 * (1 + math.cos(math.pi * through))

    def step(self, rows: Tensor, lr: float) -> Tensor:
        """Take one training step and return its loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad()
        loss = self.loss({name: x[rows] for name, x in self.data.items()})
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        views = [{name: self.augment(name, x) for name, x in batch.items()} for _ in range(2)]
        tokens = torch.cat([self.tokens(view) for view in views])
        z = self.fusion(tokens, self.masks, (1, 1)).view(6, BATCH_SIZE, -1)
        joint1, joint2, a1, a2, b1, b2 = F.normalize(self.head(z), dim=-1)
        loss = self.nce(joint1, joint2)
        for first, second in ((a1, a2), (b1, b2)):
            loss = loss + 0.5 * (self.nce(first, joint2) + self.nce(second, joint1))
        return loss

    def augment(self, name: str, x: Tensor) -> Tensor:
        chosen = torch.rand(len(x), generator=self.generator) < self.p
        noise = torch.randn(x.shape, generator=self.generator).mul_(self.sigmas[name])
        return torch.where(chosen[:, None], x + noise, x)

    def tokens(self, view: dict[str, Tensor]) -> Tensor:
        parts = zip(self.converters, self.encoders, view.values(), strict=True)
        return torch.cat([converter(encoder(x)) for converter, encoder, x in parts], dim=1)

    def nce(self, z1: Tensor, z2: Tensor) -> Tensor:
        z = torch.cat([z1, z2])
        similarity = ((z / self.temperature) @ z.T).fill_diagonal_(-torch.inf)
        return F.cross_entropy(similarity, self.partner)


# ------------------------------------------------------------------ the same arithmetic
class _RecordedDataset(ModalityDataset):
    """Gives float64 batches and remembers which rows were asked for."""

    def __getitems__(self, indices: list[int]) -> Any:
        self.__dict__.setdefault("batches", []).append(torch.as_tensor(indices))
        view, y = super().__getitems__(indices)
        return view._replace(values={name: x.double() for name, x in view.values.items()}), y


def largest_difference(setting: Setting, n_rows: int = 2048, n_epochs: int = 2) -> dict[str, float]:
    """Train both in float64 on the same batches and draws; compare losses and weights."""
    data = make_data(setting, n_rows)
    comm = make_comm(setting, n_epochs).fit(Modalities(data))
    net = comm.net_
    bare = BareLoop(setting, data, SEED)
    bare.module.double()
    bare.data = {name: x.double() for name, x in bare.data.items()}
    net.module_.double()
    net.module_.encoder.load_state_dict(bare.module[0].state_dict())
    net.module_.head.load_state_dict(bare.head.state_dict())
    net.initialize_optimizer()
    net.history.clear()

    dataset = _RecordedDataset(Modalities(data), streaming=False)
    augment, train_step = net.augment, net.train_step
    states, losses = [], []

    def recording_augment(view: Any, generator: torch.Generator) -> Any:
        states.append(generator.get_state())
        return augment(view, generator)

    def recording_step(batch: Any, **kwargs: Any) -> Any:
        result = train_step(batch, **kwargs)
        losses.append(result["loss"].item())
        return result

    net.train_step, net.augment = recording_step, recording_augment
    net.train(dataset, None, n_epochs)

    n_steps, n_warmup, differences = len(losses), len(losses) // n_epochs, []
    for step, (rows, loss) in enumerate(zip(dataset.batches, losses, strict=True)):
        bare.generator.set_state(states[2 * step])
        lr = bare.learning_rate(step + 1, n_warmup, n_steps)
        differences.append(abs(bare.step(rows, lr).item() - loss))
    ours = [*net.module_.encoder.parameters(), *net.module_.head.parameters()]
    weights = [
        (p - q).abs().max().item() for p, q in zip(ours, bare.module.parameters(), strict=True)
    ]
    return {"steps": n_steps, "loss": max(differences), "weights": max(weights)}


# ------------------------------------------------------------------------------- timing
def in_turns(
    bare: Callable[[], object], library: Callable[[], object], n_repeats: int
) -> dict[str, Any]:
    """Time both in turns, once they are warm, and summarise their ratio.

    Ratios of the processor time of this process are kept beside those of the clock: they hardly
    depend on what else the machine does.
    """
    clock: dict[str, list] = {"bare": [], "mmcontrast": []}
    processor: dict[str, list] = {"bare": [], "mmcontrast": []}
    for repeat in range(n_repeats):
        turn = [("bare", bare), ("mmcontrast", library)]
        for name, run in turn if repeat % 2 else reversed(turn):
            start = time.perf_counter(), time.process_time()
            run()
            clock[name].append(time.perf_counter() - start[0])
            processor[name].append(time.process_time() - start[1])
    return {
        "seconds": {name: summary(values) for name, values in clock.items()},
        "ratio": summary(_ratios(clock)),
        "processor_ratio": summary(_ratios(processor)),
    }


def _ratios(times: dict[str, list]) -> list[float]:
    return [b / a for a, b in zip(times["bare"], times["mmcontrast"], strict=True)]


def time_steps(setting: Setting, n_rows: int, n_repeats: int) -> dict[str, Any]:
    """Time epochs of training with everything that the library does around a step."""
    data = make_data(setting, n_rows)
    comm = make_comm(setting, 1).fit(Modalities(data))
    dataset = ModalityDataset(Modalities(data), streaming=False)
    bare = BareLoop(setting, data, SEED)
    bare.run(1)
    result = in_turns(
        lambda: bare.run(1), lambda: comm.net_.train(dataset, None, n_epochs=1), n_repeats
    )
    steps = n_rows // BATCH_SIZE
    seconds = result["seconds"]
    extra = [
        1e3 * (b - a) / steps
        for a, b in zip(seconds["bare"]["values"], seconds["mmcontrast"]["values"], strict=True)
    ]
    return {"steps_per_repeat": steps, **result, "extra_ms_per_step": summary(extra)}


def time_fit(setting: Setting, n_rows: int, n_epochs: int, n_repeats: int) -> dict[str, Any]:
    """Time whole trainings, from NumPy arrays to a history."""
    data = make_data(setting, n_rows)

    def bare(n_epochs: int = n_epochs) -> None:
        BareLoop(setting, data, SEED).run(n_epochs)

    def library(n_epochs: int = n_epochs) -> None:
        make_comm(setting, n_epochs).fit(Modalities(data))

    bare(1)
    library(1)
    result = in_turns(bare, library, n_repeats)
    return {"n_rows": n_rows, "n_epochs": n_epochs, **result}


def time_import(n_repeats: int) -> dict[str, Any]:
    """Time ``import mmcontrast`` in fresh processes, less that of starting Python."""

    def seconds(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - start

    seconds("import mmcontrast")
    extra = [seconds("import mmcontrast") - seconds("pass") for _ in range(n_repeats)]
    return {"extra_seconds": summary(extra)}


# ------------------------------------------------------------------------------- report
def rows_of(result: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for kind, limit in (("step", STEP_LIMIT), ("fit", FIT_LIMIT)):
        for name, measured in result[kind].items():
            ratio, seconds = measured["ratio"], measured["seconds"]
            lower, upper = ratio["quartiles"]
            steps = measured.get("steps_per_repeat", 1)
            scale, unit = (1e3 / steps, "ms") if kind == "step" else (1.0, "s")
            rows.append(
                [
                    f"{kind}, {name} sizes",
                    f"{scale * seconds['bare']['median']:.2f} {unit}",
                    f"{scale * seconds['mmcontrast']['median']:.2f} {unit}",
                    f"{ratio['median']:.3f} [{lower:.3f}, {upper:.3f}]",
                    f"{measured['processor_ratio']['median']:.3f}",
                    f"{limit}" if name == "default" else "-",
                ]
            )
    extra = result["import"]["extra_seconds"]
    rows.append(["import", "-", f"{1e3 * extra['median']:.1f} ms", "-", "-", f"{IMPORT_LIMIT} s"])
    return rows


def promises_kept(result: Mapping[str, Any]) -> bool:
    return (
        result["step"]["default"]["ratio"]["median"] <= STEP_LIMIT
        and result["fit"]["default"]["ratio"]["median"] <= FIT_LIMIT
        and result["import"]["extra_seconds"]["median"] < IMPORT_LIMIT
    )


def as_markdown(result: Mapping[str, Any]) -> str:
    header = ["what", "bare loop", "mmcontrast", "ratio [quartiles]", "processor", "promise"]
    fit, step = result["fit"]["default"], result["step"]["default"]
    same, sizes = result["same_arithmetic"]["default"], result["settings"]["default"]
    extra = {name: r["extra_ms_per_step"]["median"] for name, r in result["step"].items()}
    return f"""# Cost over a bare PyTorch loop

CoMM on two modalities of {sizes["n_features"]} features, batches of {result["batch_size"]}, MLP
encoders, embed_dim {sizes["embed_dim"]}, projection head {tuple(sizes["projection_dims"])}
("narrow": 16 features, embed_dim 16, head (32, 16)).
A step: epochs of {step["steps_per_repeat"]} steps, {step["ratio"]["n"]} repeats in turns.
A fit: {fit["n_rows"]} rows, {fit["n_epochs"]} epochs, {fit["ratio"]["n"]} repeats in turns.
Over {same["steps"]} steps in float64 on the same batches and draws, the losses of the two differ
by at most {same["loss"]:.0e}.

{table(header, rows_of(result))}

Times and ratios are medians; "processor" is the ratio of processor times. A step costs
{extra["default"]:.2f} ms more than in the bare loop ("narrow": {extra["narrow"]:.2f} ms).

{machine_line(result["environment"])}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--n-rows", type=int, default=5120)
    parser.add_argument("--n-epochs", type=int, default=10)
    parser.add_argument("--step-repeats", type=int, default=20)
    parser.add_argument("--fit-repeats", type=int, default=6)
    parser.add_argument("--import-repeats", type=int, default=15)
    parser.add_argument("--out", type=Path, default=RESULTS / "overhead.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    same = {name: largest_difference(setting) for name, setting in SETTINGS.items()}
    if max(difference["loss"] for difference in same.values()) > SAME:
        print(f"The bare loop does not do the same arithmetic: {same}", file=sys.stderr)
        return 1
    result: dict[str, Any] = {
        "environment": environment(),
        "seed": SEED,
        "batch_size": BATCH_SIZE,
        "settings": {name: vars(setting) for name, setting in SETTINGS.items()},
        "same_arithmetic": same,
        "step": {
            name: time_steps(setting, options.n_rows, options.step_repeats)
            for name, setting in SETTINGS.items()
        },
        "fit": {
            name: time_fit(setting, options.n_rows, options.n_epochs, options.fit_repeats)
            for name, setting in SETTINGS.items()
        },
        "import": time_import(options.import_repeats),
    }
    result["promises_kept"] = promises_kept(result)
    write_json(options.out, result)
    report = as_markdown(result)
    options.out.with_suffix(".md").write_text(report, encoding="utf-8")
    print(report)
    return 0 if result["promises_kept"] else 1


if __name__ == "__main__":
    sys.exit(main())
