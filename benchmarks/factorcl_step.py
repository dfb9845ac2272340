"""A training step of FactorCL against the formulation that its authors published.

The plain formulation does the same arithmetic as the method is usually written down:

- every term has heads of its own, called one after the other,
- a critic is given all pairs of a batch, concatenated,
- rows are augmented one by one, in a Python loop,
- the steps that fit the critics of the upper bounds go back through the encoders as well,
- thirteen optimisers hold the parameters.

Before anything is timed, both start from equal weights and take steps in float64 on the same
batches and augmented rows, and have to have the same losses; if they do not, the comparison is
refused. They then take turns, and ratios are taken within a turn. Run it with::

    python benchmarks/factorcl_step.py

which takes about half an hour on one core (``--settings paper``: four minutes), prints a table and
writes ``results/factorcl_step.json`` and ``results/factorcl_step.md``.
"""

import argparse
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _report import RESULTS, environment, machine_line, summary, table, write_json
from torch import Tensor, nn

from mmcontrast import Modalities
from mmcontrast.augmentation import FeatureMasking, make_augmentation
from mmcontrast.losses import FactorCLObjective
from mmcontrast.nn import MLPEncoder, View, build_pooled_encoder
from mmcontrast.training import Augmenter, ContrastiveNet, ModalityDataset

LIMIT = 3.0
# largest difference of losses in float64 that rounding explains
SAME = 1e-9
LEARNING_RATE = 1e-4
MASKED = 0.2
NAMES = ("x1", "x2")
SEED = 0


@dataclass(frozen=True)
class Setting:
    """Sizes of a problem."""

    encoder_dims: tuple[int, ...]
    critic_dims: tuple[int, ...]
    n_features: int = 100
    embed_dim: int = 128
    batch_size: int = 256


SETTINGS = {
    # as the paper states them; this is what the promise is about
    "paper": Setting(encoder_dims=(512,), critic_dims=(512,)),
    # as in the published code, whose critics have a second hidden layer
    "code": Setting(encoder_dims=(512, 512, 512), critic_dims=(512, 512)),
}


def make_objective(setting: Setting) -> FactorCLObjective:
    torch.manual_seed(SEED)
    encoders = {
        name: MLPEncoder((setting.n_features,), setting.embed_dim, hidden_dims=setting.encoder_dims)
        for name in NAMES
    }
    shapes = dict.fromkeys(NAMES, (setting.n_features,))
    encoder = build_pooled_encoder(shapes, setting.embed_dim, encoders=encoders)
    return FactorCLObjective(encoder, critic_dims=setting.critic_dims)


def make_rows(setting: Setting, n_rows: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(SEED)
    return [torch.randn(n_rows, setting.n_features, generator=generator) for _ in NAMES]


# ------------------------------------------------------------------ the plain formulation
class PlainCritic(nn.Module):
    """MLP of every concatenated pair of a batch."""

    def __init__(self, split: nn.Module) -> None:
        super().__init__()
        weight = torch.cat([split.weight_x, split.weight_y], dim=1).detach()
        first = nn.Linear(weight.shape[1], weight.shape[0])
        first.weight, first.bias = nn.Parameter(weight), nn.Parameter(split.bias.detach().clone())
        layers: list[nn.Module] = [first]
        for layer in split.rest:
            layers += [nn.ReLU(), copy_of(layer)] if isinstance(layer, nn.Linear) else []
        self.mlp = nn.Sequential(*layers)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        n = len(x)
        pairs = torch.cat([x.repeat_interleave(n, dim=0), y.repeat(n, 1)], dim=1)
        return self.mlp(pairs).view(n, n)


def copy_of(layer: nn.Linear) -> nn.Linear:
    copied = nn.Linear(layer.in_features, layer.out_features, dtype=layer.weight.dtype)
    copied.load_state_dict(layer.state_dict())
    return copied


def copy_of_head(heads: nn.Module, number: int) -> nn.Sequential:
    first, last = (
        (weight[number].detach().T.clone(), bias.detach().view(heads.n_heads, -1)[number].clone())
        for weight, bias in (
            (heads.hidden_weight, heads.hidden_bias),
            (heads.output_weight, heads.output_bias),
        )
    )
    layers = []
    for weight, bias in (first, last):
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
        layers.append(layer)
    return nn.Sequential(layers[0], nn.ReLU(), layers[1])


class PlainFactorCL(nn.Module):
    """The objective of FactorCL, term by term, with the weights of an objective of ours."""

    def __init__(self, objective: FactorCLObjective) -> None:
        super().__init__()
        self.encoders = nn.ModuleList()
        for encoder in objective.encoder.encoders:
            layers = [copy_of(x) if isinstance(x, nn.Linear) else x for x in encoder.layers]
            self.encoders.append(nn.Sequential(*layers))

        def pair(number: int) -> nn.ModuleList:
            return nn.ModuleList(copy_of_head(heads, number) for heads in objective.heads)

        own = pair(2)
        self.heads = nn.ModuleDict(
            {
                "nce_shared": pair(0),
                "club_shared": pair(1),
                "first": own[0],
                "second": own[1],
                "club_unique": pair(3),
                "nce_unique": pair(4),
            }
        )
        self.critics = nn.ModuleDict({k: PlainCritic(c) for k, c in objective.critics.items()})

    def optimisers(self) -> tuple[list[torch.optim.Optimizer], torch.optim.Optimizer]:
        """Twelve for all but the critics of the upper bounds, and one for these."""
        critics = dict(self.critics.items())
        clubs = [critics.pop("club_shared"), critics.pop("club_unique")]
        modules = [*self.encoders, *self.heads.values(), *critics.values()]
        main = [torch.optim.Adam(m.parameters(), lr=LEARNING_RATE) for m in modules]
        parameters = [p for critic in clubs for p in critic.parameters()]
        return main, torch.optim.Adam(parameters, lr=LEARNING_RATE)

    def loss(self, x: Sequence[Tensor], augmented: Sequence[Tensor]) -> Tensor:
        z1, z2 = (encoder(part) for encoder, part in zip(self.encoders, x, strict=True))
        a1, a2 = (encoder(part) for encoder, part in zip(self.encoders, augmented, strict=True))
        first, second = self.heads["first"], self.heads["second"]
        return (
            -nce(self.score("nce_shared", z1, z2))
            + club(self.score_given("club_shared", z1, z2, a1, a2))
            - nce(self.critics["first"](first(z1), first(a1)))
            - nce(self.critics["second"](second(z2), second(a2)))
            + club(self.score("club_unique", z1, z2))
            - nce(self.score_given("nce_unique", z1, z2, a1, a2))
        )

    def critic_loss(self, x: Sequence[Tensor], augmented: Sequence[Tensor]) -> Tensor:
        z1, z2 = (encoder(part) for encoder, part in zip(self.encoders, x, strict=True))
        a1, a2 = (encoder(part) for encoder, part in zip(self.encoders, augmented, strict=True))
        given = self.score_given("club_shared", z1, z2, a1, a2)
        return -nce(given) - nce(self.score("club_unique", z1, z2))

    def score(self, term: str, z1: Tensor, z2: Tensor) -> Tensor:
        head1, head2 = self.heads[term]
        return self.critics[term](head1(z1), head2(z2))

    def score_given(self, term: str, z1: Tensor, z2: Tensor, a1: Tensor, a2: Tensor) -> Tensor:
        head1, head2 = self.heads[term]
        x = torch.cat([head1(z1), head1(a1)], dim=1)
        y = torch.cat([head2(z2), head2(a2)], dim=1)
        return self.critics[term](x, y)


def nce(scores: Tensor) -> Tensor:
    return (scores.diag() - (scores.logsumexp(dim=1) - math.log(len(scores)))).mean()


def club(scores: Tensor) -> Tensor:
    return scores.diag().mean() - scores.mean()


def augment_row_by_row(x: Tensor) -> Tensor:
    rows = []
    for row in x:
        masked = row.clone()
        masked[torch.rand(len(row)) < MASKED] = 0.0
        rows.append(masked)
    return torch.stack(rows)


def plain_step(
    model: PlainFactorCL,
    main: Sequence[torch.optim.Optimizer],
    critics: torch.optim.Optimizer,
    batches: Sequence[tuple[Sequence[Tensor], Sequence[Tensor]]],
) -> list[float]:
    """One step on everything but the critics of the upper bounds, then one on these."""
    loss = model.loss(*batches[0])
    for optimiser in main:
        optimiser.zero_grad()
    loss.backward()
    for optimiser in main:
        optimiser.step()
    critic_loss = model.critic_loss(*batches[1])
    critics.zero_grad()
    critic_loss.backward()
    critics.step()
    return [loss.item(), critic_loss.item()]


# ------------------------------------------------------------------------------- checks
def largest_difference(setting: Setting, n_steps: int = 2) -> float:
    """Largest difference of the losses along a training in float64 on the same rows."""
    objective = make_objective(setting).double()
    plain = PlainFactorCL(objective)
    optimiser = torch.optim.AdamW(objective.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    main, critics = plain.optimisers()
    generator = torch.Generator().manual_seed(SEED)

    def batch() -> list[Tensor]:
        shape = (setting.batch_size, setting.n_features)
        return [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in NAMES]

    difference = 0.0
    for _ in range(n_steps):
        batches = [(batch(), batch()) for _ in range(2)]
        found = []
        for kind, (x, augmented) in zip(("loss", "critic"), batches, strict=True):
            views = [View(dict(zip(NAMES, part, strict=True))) for part in (augmented, x)]
            optimiser.zero_grad()
            if kind == "loss":
                loss = objective([views[0]], views[1])["loss"]
            else:
                loss = objective.critic_loss([views[0]], views[1])
            loss.backward()
            optimiser.step()
            found.append(loss.item())
        expected = plain_step(plain, main, critics, batches)
        difference = max(difference, *np.abs(np.subtract(found, expected)))
    return float(difference)


# ------------------------------------------------------------------------------- timing
class OurTraining:
    """Steps as ``FactorCL.fit`` makes them, data access and history included."""

    def __init__(self, setting: Setting, n_steps: int) -> None:
        x = make_rows(setting, n_steps * setting.batch_size)
        X = Modalities(dict(zip(NAMES, (part.numpy() for part in x), strict=True)))
        masking = make_augmentation(**{name: FeatureMasking(MASKED, p=1.0) for name in NAMES})
        self.dataset = ModalityDataset(X)
        self.net = ContrastiveNet(
            make_objective(setting),
            augment=Augmenter(masking, 1.0, dict.fromkeys(NAMES, 1.0)),
            lr=LEARNING_RATE,
            batch_size=setting.batch_size,
        ).initialize()

    def run(self) -> None:
        self.net.train(self.dataset, None, 1)


class PlainTraining:
    """The same steps in a hand-written loop over the plain formulation."""

    def __init__(self, setting: Setting, n_steps: int) -> None:
        self.rows = make_rows(setting, n_steps * setting.batch_size)
        self.batch_size = setting.batch_size
        self.model = PlainFactorCL(make_objective(setting))
        self.main, self.critics = self.model.optimisers()

    def run(self) -> None:
        order = torch.randperm(len(self.rows[0])).view(-1, self.batch_size)
        for rows in order:
            fresh = torch.randint(len(self.rows[0]), (self.batch_size,))
            batches = []
            for chosen in (rows, fresh):
                x = [part[chosen] for part in self.rows]
                batches.append((x, [augment_row_by_row(part) for part in x]))
            plain_step(self.model, self.main, self.critics, batches)


def time_steps(setting: Setting, n_steps: int, n_repeats: int) -> dict[str, Any]:
    trainings = {
        "plain": PlainTraining(setting, n_steps),
        "mmcontrast": OurTraining(setting, n_steps),
    }
    seconds: dict[str, list[float]] = {name: [] for name in trainings}
    for repeat in range(n_repeats + 1):
        for name, training in trainings.items():
            start = time.process_time()
            training.run()
            if repeat:  # the first turn warms up
                seconds[name].append((time.process_time() - start) / n_steps)
    ratios = [p / m for p, m in zip(seconds["plain"], seconds["mmcontrast"], strict=True)]
    return {
        "steps_per_repeat": n_steps,
        "seconds": {name: summary(values) for name, values in seconds.items()},
        "ratio": summary(ratios),
    }


# ------------------------------------------------------------------------------- report
def as_markdown(result: Mapping[str, Any]) -> str:
    rows = []
    for name, measured in result["step"].items():
        sizes, ratio, seconds = result["settings"][name], measured["ratio"], measured["seconds"]
        lower, upper = ratio["quartiles"]
        rows.append(
            [
                name,
                f"{tuple(sizes['encoder_dims'])}",
                f"{tuple(sizes['critic_dims'])}",
                f"{seconds['plain']['median']:.2f} s",
                f"{seconds['mmcontrast']['median']:.2f} s",
                f"{ratio['median']:.1f} [{lower:.1f}, {upper:.1f}]",
                f"{LIMIT:.0f}" if name == "paper" else "-",
                f"{result['difference'][name]:.0e}",
            ]
        )
    header = ["sizes", "encoders", "critics", "plain", "mmcontrast", "ratio [quartiles]"]
    first = next(iter(result["step"].values()))
    return f"""# A step of FactorCL against the plain formulation

Self-supervised, two modalities of 100 features, batches of 256, embeddings of 128, one step on the
objective and one on the critics of the upper bounds, augmentation and data access included.
{first["steps_per_repeat"]} step(s) a turn, {first["ratio"]["n"]} turns each; medians of processor
time per step. "Difference" is the largest one of the losses along two steps in float64 from equal
weights on the same rows.

{table([*header, "promise", "difference"], rows)}

The plain formulation concatenates all pairs for its critics, augments row by row, goes back
through the encoders when it fits critics, and has thirteen optimisers. "paper" has the sizes that
the paper states. With two hidden layers in the critics (--settings code, as in the published code)
most of the time is spent in the second one, which neither can avoid.

{machine_line(result["environment"])}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--n-steps", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--out", type=Path, default=RESULTS / "factorcl_step.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    settings = {name: SETTINGS[name] for name in options.settings}
    difference = {name: largest_difference(setting) for name, setting in settings.items()}
    if max(difference.values()) > SAME:
        print(f"The plain formulation is not the same arithmetic: {difference}", file=sys.stderr)
        return 1
    result: dict[str, Any] = {
        "environment": environment(),
        "seed": SEED,
        "settings": {name: asdict(setting) for name, setting in settings.items()},
        "difference": difference,
        "step": {
            name: time_steps(setting, options.n_steps, options.repeats)
            for name, setting in settings.items()
        },
    }
    promised = [result["step"][name] for name in ("paper",) if name in settings]
    kept = result["promise_kept"] = all(m["ratio"]["median"] >= LIMIT for m in promised)
    write_json(options.out, result)
    report = as_markdown(result)
    options.out.with_suffix(".md").write_text(report, encoding="utf-8")
    print(report)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
