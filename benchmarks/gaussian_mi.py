"""Bounds on the mutual information of Gaussians during training: Figure 3 of FactorCL.

Variables of d dimensions share 2, 4, 6, 8 and then 10 nats. For each d two critics, one that
concatenates (the paper's) and a bilinear one, and a conditional distribution (CLUB) are trained on
fresh batches of 64, level after level without starting anew. After each level all are evaluated on
batches that none of them has seen; InfoNCE and NCE-CLUB are those of the critic with the higher
InfoNCE on held-out batches of their own. It counts as converged if InfoNCE on those, going on as in
the second half of the level, would gain less than 1 % if the level took as long again, even at the
upper end of what the noise of the training leaves open. Only then is NCE-CLUB called a bound.

A critic alone cannot tell: at d = 200 the concat critic of 128 hidden units all but stops rising
below the truth, which shows only beside one that gets further.

    python benchmarks/gaussian_mi.py --quick
    python benchmarks/gaussian_mi.py --full --plot figure3.png

The first takes about ten minutes on one core, the second, of the paper's size, some hours. Both
print a table and write ``results/gaussian_mi.json`` and ``results/gaussian_mi.md``.
"""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from _report import RESULTS, environment, machine_line, paragraph, summary, table, write_json
from scipy.stats import linregress
from torch import Tensor, nn

from mmcontrast.losses import info_nce, nce_club
from mmcontrast.nn import GaussianConditional, build_critic

BOUNDS = ("InfoNCE", "CLUB", "NCE-CLUB")
# batches of an evaluation, and evaluations in the second half of a level
N_EVALUATION, N_LOOKS = 50, 10
# share of InfoNCE by which a converged critic would improve if the level took as long again
NO_RISE = 0.01
PAPER = (
    "InfoNCE saturates at log 64 = 4.16; NCE-CLUB is a stable upper bound; CLUB falls to 0 at "
    "d = 200 (read from Figure 3, which has no numbers)"
)


Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Sizes:
    """Sizes of a run."""

    dims: tuple[int, ...] = (20, 50, 100, 200)
    levels: tuple[float, ...] = (2.0, 4.0, 6.0, 8.0, 10.0)
    n_steps: int = 4000
    batch_size: int = 64
    critics: tuple[str, ...] = ("concat", "bilinear")
    hidden: int = 512
    learning_rate: float = 5e-4
    n_seeds: int = 5


FULL = Sizes()
QUICK = Sizes(n_steps=2500, hidden=128, n_seeds=3)


class Gaussians:
    """Pairs of normal variables with a given information, split evenly over dimensions."""

    def __init__(self, dim: int, seed: int) -> None:
        self.dim = dim
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, information: float, n_rows: int) -> tuple[Tensor, Tensor]:
        rho = math.sqrt(-math.expm1(-2 * information / self.dim))
        x, noise = torch.randn(2, n_rows, self.dim, generator=self.generator)
        return x, rho * x + math.sqrt(1 - rho**2) * noise


class Contest:
    """Critics and a conditional distribution in training on the same batches."""

    def __init__(self, dim: int, sizes: Sizes, seed: int) -> None:
        torch.manual_seed(seed)
        self.sizes = sizes
        self.data = Gaussians(dim, seed)
        self.critics = nn.ModuleDict(
            {kind: build_critic(kind, dim, dim, (sizes.hidden,)) for kind in sizes.critics}
        )
        self.conditional = GaussianConditional(dim, dim, (sizes.hidden,))
        parameters = [*self.critics.parameters(), *self.conditional.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=sizes.learning_rate)

    def train(self, information: float, n_steps: int) -> None:
        for _ in range(n_steps):
            x, y = self.data.draw(information, self.sizes.batch_size)
            self.optimizer.zero_grad()
            # they share no weights: the sum is trained as each alone would be
            loss = -self.conditional.log_prob(x, y).mean()
            for critic in self.critics.values():
                loss = loss - info_nce(critic(x, y))
            loss.backward()
            self.optimizer.step()

    @torch.no_grad()
    def look(self, batches: list[Batch]) -> dict[str, float]:
        """Mean InfoNCE of every critic."""
        return {
            kind: torch.stack([info_nce(critic(x, y)) for x, y in batches]).mean().item()
            for kind, critic in self.critics.items()
        }

    @torch.no_grad()
    def evaluate(self, kind: str, batches: list[Batch]) -> dict[str, Tensor]:
        """Bounds of every batch by one of the critics."""
        found = [
            (info_nce(scores), nce_club(self.conditional.scores(x, y)), nce_club(scores))
            for x, y in batches
            for scores in [self.critics[kind](x, y)]
        ]
        return dict(zip(BOUNDS, torch.tensor(found).T, strict=True))

    def level(self, information: float) -> dict[str, Any]:
        """Train at one level; the bounds, and whether InfoNCE was still rising."""
        fresh = Gaussians(self.data.dim, 10_000 + int(information))
        watched, batches = (
            [fresh.draw(information, self.sizes.batch_size) for _ in range(N_EVALUATION)]
            for _ in range(2)
        )
        n_steps, n_looks = self.sizes.n_steps, min(N_LOOKS, self.sizes.n_steps // 2)
        between = n_steps // 2 // n_looks
        self.train(information, n_steps - n_looks * between)
        looks = []
        for _ in range(n_looks):
            self.train(information, between)
            looks.append(self.look(watched))
        best = max(looks[-1], key=looks[-1].__getitem__)
        found = self.evaluate(best, batches)
        return {
            "truth": information,
            "critic": best,
            "looks": looks,
            "converged": no_longer_rises([look[best] for look in looks], between, n_steps),
            "stderr": {k: v.std().item() / math.sqrt(N_EVALUATION) for k, v in found.items()},
            **{k: v.mean().item() for k, v in found.items()},
        }


def no_longer_rises(looks: Sequence[float], between: int, n_steps: int) -> bool:
    """Whether a bound that was looked at every so many steps has stopped rising.

    It has if as many steps again would add less than `NO_RISE` of it even at the upper end (two
    standard errors) of its trend.
    """
    trend = linregress(range(len(looks)), looks)
    steepest = (trend.slope + 2 * trend.stderr) / between
    return bool(steepest * n_steps <= NO_RISE * looks[-1])


def measure(sizes: Sizes) -> list[dict[str, Any]]:
    """Every seed, dimension and level."""
    rows = []
    for seed in range(sizes.n_seeds):
        for dim in sizes.dims:
            contest = Contest(dim, sizes, seed)
            rows += [{"seed": seed, "dim": dim, **contest.level(mi)} for mi in sizes.levels]
            print(f"seed {seed}, d = {dim} done", file=sys.stderr)
    return rows


def summarise(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Over seeds, for every dimension and level."""
    result = []
    for dim, truth in dict.fromkeys((row["dim"], row["truth"]) for row in rows):
        of_cell = [row for row in rows if (row["dim"], row["truth"]) == (dim, truth)]
        cell: dict[str, Any] = {k: summary([row[k] for row in of_cell]) for k in BOUNDS}
        cell |= {"dim": dim, "truth": truth, "converged": sum(r["converged"] for r in of_cell)}
        cell["critics"] = sorted({row["critic"] for row in of_cell})
        result.append(cell)
    return result


def kept(rows: list[dict[str, Any]], batch_size: int) -> dict[str, bool]:
    """What is promised of the bounds, checked on every single run."""
    return {
        "InfoNCE <= log(batch)": all(r["InfoNCE"] <= math.log(batch_size) for r in rows),
        "InfoNCE <= truth": all(
            r["InfoNCE"] <= r["truth"] + 3 * r["stderr"]["InfoNCE"] for r in rows
        ),
        "NCE-CLUB >= truth once converged": all(
            r["NCE-CLUB"] >= r["truth"] for r in rows if r["converged"]
        ),
    }


def as_markdown(result: Mapping[str, Any]) -> str:
    sizes, n_seeds = result["sizes"], result["sizes"]["n_seeds"]
    header = ["d", "truth", *BOUNDS, "NCE-CLUB / truth", "critic", "converged"]
    body = []
    for cell in result["cells"]:
        numbers = [f"{cell[name]['mean']:.2f} ± {cell[name]['sd']:.2f}" for name in BOUNDS]
        ratio = f"{cell['NCE-CLUB']['mean'] / cell['truth']:.2f}"
        converged = f"{cell['converged']} of {n_seeds}"
        body.append(
            [
                str(cell["dim"]),
                f"{cell['truth']:g}",
                *numbers,
                ratio,
                ", ".join(cell["critics"]),
                converged,
            ]
        )
    promises = "\n".join(f"- {k}: {'yes' if v else 'NO'}" for k, v in result["kept"].items())
    full = asdict(FULL)
    setting = f"""Batches of {sizes["batch_size"]}, {sizes["n_steps"]} steps per level (the paper:
        {full["n_steps"]}), {" and ".join(sizes["critics"])} critics, the former with
        {sizes["hidden"]} hidden units (--full: {full["hidden"]}), in nats, evaluated on batches not
        seen in training; mean and standard deviation over {n_seeds} seeds."""
    legend = f""""critic" is the one with the higher InfoNCE on held-out batches, which gives both
        bounds. "converged" is the number of seeds in which it no longer rose: by its trend over the
        second half of the level, and two standard errors more, less than 1 % in another
        {sizes["n_steps"]} steps. Before that, NCE-CLUB bounds nothing."""
    return f"""# Bounds on the mutual information of Gaussians

{paragraph(setting)}

{table(header, body)}

In every single run:

{promises}

{paragraph(legend)}

The paper: {PAPER}.

{machine_line(result["environment"])}
"""


def plot(cells: list[dict[str, Any]], path: Path) -> None:
    import matplotlib.pyplot as plt

    dims = list(dict.fromkeys(cell["dim"] for cell in cells))
    fig, axes = plt.subplots(
        1, len(dims), figsize=(3 * len(dims), 3), sharey=True, squeeze=False, layout="constrained"
    )
    for ax, dim in zip(axes[0], dims, strict=True):
        own = [cell for cell in cells if cell["dim"] == dim]
        truth = [cell["truth"] for cell in own]
        ax.plot(truth, truth, "k--", label="truth")
        for name in BOUNDS:
            means, sds = ([cell[name][k] for cell in own] for k in ("mean", "sd"))
            ax.errorbar(truth, means, sds, marker="o", capsize=3, label=name)
        ax.set(title=f"d = {dim}", xlabel="mutual information (nats)")
    axes[0, 0].set_ylabel("bound (nats)")
    axes[0, 0].legend()
    fig.savefig(path, dpi=150)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="smaller and shorter (the default)")
    size.add_argument("--full", action="store_true", help="the paper's size")
    parser.add_argument("--seeds", type=int, help="number of seeds")
    parser.add_argument("--steps", type=int, help="steps per level")
    parser.add_argument("--dims", type=int, nargs="+", help="dimensions of x and y")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plot", type=Path, help="where to draw the figure")
    parser.add_argument("--out", type=Path, default=RESULTS / "gaussian_mi.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    chosen = asdict(FULL if options.full else QUICK)
    given = {"n_seeds": options.seeds, "n_steps": options.steps, "dims": options.dims}
    sizes = Sizes(**chosen | {k: v for k, v in given.items() if v is not None})

    rows = measure(sizes)
    result: dict[str, Any] = {
        "environment": environment(),
        "sizes": asdict(sizes),
        "paper": PAPER,
        "kept": kept(rows, sizes.batch_size),
        "cells": summarise(rows),
        "runs": rows,
    }
    write_json(options.out, result)
    report = as_markdown(result)
    options.out.with_suffix(".md").write_text(report, encoding="utf-8")
    print(report)
    if options.plot:
        plot(result["cells"], options.plot)
    return 0 if all(result["kept"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
