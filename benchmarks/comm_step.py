"""A training step of CoMM against the formulation that its authors published, written plainly.

The plain formulation does the same arithmetic as the method is usually written down:

- the fusion is called once per view and set of modalities, on the tokens of these modalities,
- it evaluates its last block for every token, though only CLS is read,
- the projection head is called once per view and set,
- the contrastive term of both views is computed in both directions, which are the same number,
- images are encoded in the default memory format.

Each view is encoded once by both. Before anything is timed, both compute the loss and its gradient
from equal weights on the same batch, in float64 and in float32; if these are not the same, the
comparison is refused. They then take turns, and ratios are taken within a turn. Run it with::

    python benchmarks/comm_step.py

which takes about four minutes on one core, prints a table and writes ``results/comm_step.json`` and
``results/comm_step.md``. A GPU is used with ``--device cuda``.
"""

import argparse
import copy
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from _report import RESULTS, environment, machine_line, summary, table, write_json
from torch import Tensor, nn

from mmcontrast.losses import CoMMObjective
from mmcontrast.nn import ProjectionHead, TransformerFusion, View, build_multimodal_encoder

FUSION_LIMIT, FLOAT32_LIMIT, BF16_LIMIT = 15.0, 1.4, 2.3
# largest differences of losses, relative to the loss, that rounding explains
SAME = {"float64": 1e-12, "float32": 1e-6}
# and of gradients in float64, relative to the largest entry
SAME_GRADIENT = 1e-10
LEARNING_RATE = 3e-4
NAMES = ("image1", "image2")
SEED = 0


@dataclass(frozen=True)
class Setting:
    """Sizes of a problem."""

    image_size: int = 224
    batch_size: int = 64
    embed_dim: int = 512
    encoder: str = "alexnet"
    n_layers: int = 1


# the bimodal Trifeature experiment as the paper states it, with 36 tokens per image
PAPER = Setting()
SMALL = Setting(image_size=95, batch_size=6, embed_dim=64)


def make_objective(setting: Setting) -> CoMMObjective:
    torch.manual_seed(SEED)
    shapes = dict.fromkeys(NAMES, (3, setting.image_size, setting.image_size))
    encoder = build_multimodal_encoder(
        shapes, setting.embed_dim, encoders=setting.encoder, n_layers=setting.n_layers
    )
    return CoMMObjective(encoder, ProjectionHead(setting.embed_dim))


def make_views(setting: Setting) -> list[View]:
    generator = torch.Generator().manual_seed(SEED)
    shape = (setting.batch_size, 3, setting.image_size, setting.image_size)
    return [View({n: torch.rand(shape, generator=generator) for n in NAMES}) for _ in range(2)]


# ------------------------------------------------------------------ the plain formulation
class PlainBlock(nn.Module):
    """Pre-norm transformer block over all tokens, with the weights of a block of ours."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        block = copy.deepcopy(block)
        self.n_heads = block.n_heads
        self.norm_attention, self.query_key_value = block.norm_attention, block.query_key_value
        self.project, self.norm_mlp, self.mlp = block.project, block.norm_mlp, block.mlp

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
            for part in self.query_key_value(self.norm_attention(x)).chunk(3, dim=-1)
        )
        attended = F.scaled_dot_product_attention(q, k, v)
        x = x + self.project(attended.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm_mlp(x))


class PlainFusion(nn.Module):
    """Transformer over the tokens of some modalities, read at CLS."""

    def __init__(self, fusion: TransformerFusion) -> None:
        super().__init__()
        self.cls = nn.Parameter(fusion.cls.detach().clone())
        self.blocks = nn.ModuleList(PlainBlock(block) for block in fusion.blocks)
        self.norm = copy.deepcopy(fusion.norm)

    def forward(self, tokens: Sequence[Tensor]) -> Tensor:
        cls = self.cls.expand(len(tokens[0]), 1, -1).to(tokens[0].dtype)
        x = torch.cat([cls, *tokens], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 0]


class PlainHead(nn.Sequential):
    """Projection head with the weights of a head of ours."""

    def __init__(self, head: ProjectionHead) -> None:
        *hidden, last = copy.deepcopy(head.linears)
        layers: list[nn.Module] = []
        for linear, norm in zip(hidden, copy.deepcopy(head.norms), strict=True):
            layers += [linear, norm, nn.ReLU()]
        super().__init__(*layers, last)


class PlainCoMM(nn.Module):
    """The objective of CoMM, view by view and mask by mask, with the weights of one of ours."""

    def __init__(self, objective: CoMMObjective) -> None:
        super().__init__()
        encoders, converters = objective.encoder.encoders, objective.encoder.converters
        self.encoders = nn.ModuleList(as_usually_stored(encoder) for encoder in encoders)
        self.converters = nn.ModuleList(as_usually_stored(converter) for converter in converters)
        self.fusion = PlainFusion(objective.encoder.fusion)
        self.head = PlainHead(objective.head)
        self.temperature = objective.temperature

    def forward(self, views: Sequence[View]) -> Tensor:
        first, second = (self.project(view) for view in views)
        terms = [
            (self.contrast(a, second[-1]) + self.contrast(b, first[-1])) / 2
            for a, b in zip(first, second, strict=True)
        ]
        return torch.stack(terms).sum()

    def project(self, view: View) -> list[Tensor]:
        """Projections of a view of each modality alone, and of all of them."""
        tokens = [
            converter(encoder.layers(view.values[name]))
            for name, encoder, converter in zip(NAMES, self.encoders, self.converters, strict=True)
        ]
        sets = [*([part] for part in tokens), tokens]
        return [self.head(self.fusion(chosen)) for chosen in sets]

    def contrast(self, one: Tensor, other: Tensor) -> Tensor:
        """NT-Xent: every row against its partner and all other rows of both views."""
        one, other = (z if z.dtype == torch.float64 else z.float() for z in (one, other))
        z = F.normalize(torch.cat([one, other]), dim=1)
        n = len(one)
        itself = torch.eye(2 * n, dtype=torch.bool, device=z.device)
        scores = (z @ z.T / self.temperature).masked_fill(itself, -torch.inf)
        return F.cross_entropy(scores, torch.arange(2 * n, device=z.device).roll(n))


def as_usually_stored(module: nn.Module) -> nn.Module:
    module = copy.deepcopy(module)
    for parameter in module.parameters():
        parameter.data = parameter.data.contiguous()
    return module


# ------------------------------------------------------------------------------- checks
def differences(setting: Setting) -> dict[str, float]:
    """Relative difference in float64 of the loss, and of the gradient to its largest entry."""
    objective = make_objective(setting).double()
    plain = PlainCoMM(objective)
    views = [
        View({name: x.double() for name, x in view.values.items()}) for view in make_views(setting)
    ]
    ours, theirs = objective(views)["loss"], plain(views)
    ours.backward()
    theirs.backward()
    encoder = objective.encoder
    gradients = [
        (a.grad, b.grad)
        for mine, other in (
            (encoder.encoders, plain.encoders),
            (encoder.converters, plain.converters),
            (encoder.fusion, plain.fusion),
            (objective.head.linears, nn.ModuleList(list(plain.head)[::3])),
        )
        for a, b in zip(mine.parameters(), other.parameters(), strict=True)
    ]
    largest = max(float(b.abs().max()) for _, b in gradients)
    return {
        "loss": relative(ours.item(), theirs.item()),
        "gradient": max(float((a - b).abs().max()) for a, b in gradients) / largest,
    }


def relative(value: float, other: float) -> float:
    return abs(value - other) / abs(other)


# ------------------------------------------------------------------------------- timing
def fusion_steps(setting: Setting, n_tokens: int, device: str) -> dict[str, Callable[[], None]]:
    """Fusion of both views under all masks, forward and backward."""
    fusion = make_objective(setting).encoder.fusion.to(device)
    plain = PlainFusion(fusion).to(device)
    shape = (2, setting.batch_size, 2 * n_tokens, setting.embed_dim)
    tokens = torch.randn(shape, generator=torch.Generator().manual_seed(SEED)).to(device)
    tokens.requires_grad_()
    sizes = (n_tokens, n_tokens)
    first = torch.arange(2 * n_tokens, device=device) < n_tokens
    keep = torch.stack([first, ~first, first | ~first])[:, None]

    def ours() -> None:
        fusion(tokens.flatten(0, 1), keep, sizes).square().mean().backward()

    def theirs() -> None:
        for view in tokens:
            parts = list(view.split(sizes, dim=1))
            for chosen in (parts[:1], parts[1:], parts):
                plain(chosen).square().mean().backward()

    return {"plain": theirs, "mmcontrast": ours}


def whole_steps(setting: Setting, device: str) -> dict[str, Callable[[], float]]:
    """Whole steps from augmented images to changed weights; each returns its loss."""
    objective = make_objective(setting)
    models = {
        "plain": PlainCoMM(objective),
        "float32": objective,
        "bf16": copy.deepcopy(objective),
    }
    views = [View({n: x.to(device) for n, x in v.values.items()}) for v in make_views(setting)]

    def step(name: str) -> Callable[[], float]:
        model = models[name].to(device)
        optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=True)
        kind = torch.device(device).type

        def run() -> float:
            optimiser.zero_grad()
            with torch.autocast(kind, dtype=torch.bfloat16, enabled=name == "bf16"):
                terms = model(views)
            loss = terms if isinstance(terms, Tensor) else terms["loss"]
            loss.backward()
            optimiser.step()
            return loss.item()

        return run

    return {name: step(name) for name in models}


def take_turns(
    steps: Mapping[str, Callable[[], float | None]], repeats: int, device: str
) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    losses = {name: step() for name, step in steps.items()}  # warms up
    for _ in range(repeats):
        for name, step in steps.items():
            start = clock(device)
            step()
            seconds[name].append(clock(device) - start)
    ratios = {
        name: summary([p / m for p, m in zip(seconds["plain"], values, strict=True)])
        for name, values in seconds.items()
        if name != "plain"
    }
    measured = {name: summary(values) for name, values in seconds.items()}
    return {"first_loss": losses, "seconds": measured, "ratio": ratios}


def clock(device: str) -> float:
    """Processor time on a CPU, which others on the machine do not change; wall time on a GPU."""
    if torch.device(device).type != "cuda":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


# ------------------------------------------------------------------------------- report
def as_markdown(result: Mapping[str, Any]) -> str:
    rows = []
    for label, part, name, limit in (
        ("fusion alone, float32", "fusion", "mmcontrast", FUSION_LIMIT),
        ("whole step, float32", "step", "float32", FLOAT32_LIMIT),
        ("whole step, bf16", "step", "bf16", BF16_LIMIT),
    ):
        seconds, ratio = result[part]["seconds"], result[part]["ratio"][name]
        rows.append(
            [
                label,
                f"{seconds['plain']['median']:.3f} s",
                f"{seconds[name]['median']:.3f} s",
                f"{ratio['median']:.2f} [{ratio['quartiles'][0]:.2f}, {ratio['quartiles'][1]:.2f}]",
                f"{limit:g}",
            ]
        )
    sizes, same = result["setting"], result["difference"]
    clock = "processor" if sizes["device"] == "cpu" else "wall"
    n_tokens = result["n_tokens"]
    n_steps = result["step"]["ratio"]["float32"]["n"]
    n_fusions = result["fusion"]["ratio"]["mmcontrast"]["n"]
    header = ["", "plain, float32", "mmcontrast", "ratio [quartiles]", "promise"]
    return f"""# A step of CoMM against the plain formulation

Bimodal Trifeature: two images of {sizes["image_size"]} pixels, AlexNet, {n_tokens} tokens per
image, embeddings of {sizes["embed_dim"]}, batches of {sizes["batch_size"]}, two views, three
sets of modalities; from augmented images to changed weights, or forward and backward through the
fusion. Medians of
{clock} time over {n_steps} turns of whole steps and {n_fusions} of fusions.

{table(header, rows)}

The plain formulation fuses view by view and set by set, evaluates the fusion block for every token,
contrasts both views in both directions, and encodes in the default memory format; each view is
encoded once by both. From equal weights on the same batch, the loss of the step above differs by
{same["float32"]:.0e} in float32, relative to itself; on images of {SMALL.image_size} pixels in
float64 the loss differs by {same["float64"]:.0e} and the gradient by {same["gradient"]:.0e}.

{machine_line(result["environment"])}
"""


def refuse(found: Mapping[str, Any]) -> int:
    print(f"The plain formulation is not the same arithmetic: {found}", file=sys.stderr)
    return 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--fusion-repeats", type=int, default=7)
    parser.add_argument("--batch-size", type=int, default=PAPER.batch_size)
    parser.add_argument("--image-size", type=int, default=PAPER.image_size)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS / "comm_step.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    found = differences(SMALL)
    if found["loss"] > SAME["float64"] or found["gradient"] > SAME_GRADIENT:
        return refuse(found)
    setting = replace(PAPER, image_size=options.image_size, batch_size=options.batch_size)
    one = View({name: x[:1] for name, x in make_views(setting)[0].values.items()})
    n_tokens = make_objective(setting).encoder.tokens(one)[2][0]
    device = options.device
    fusion = take_turns(fusion_steps(setting, n_tokens, device), options.fusion_repeats, device)
    step = take_turns(whole_steps(setting, device), options.repeats, device)
    float32 = relative(step["first_loss"]["float32"], step["first_loss"]["plain"])
    if float32 > SAME["float32"]:
        return refuse(step["first_loss"])
    result: dict[str, Any] = {
        "environment": environment(),
        "seed": SEED,
        "setting": {**asdict(setting), "device": torch.device(device).type},
        "n_tokens": n_tokens,
        "difference": {"float32": float32, "float64": found["loss"], "gradient": found["gradient"]},
        "fusion": fusion,
        "step": step,
    }
    kept = {
        "fusion": result["fusion"]["ratio"]["mmcontrast"]["median"] >= FUSION_LIMIT,
        "float32": result["step"]["ratio"]["float32"]["median"] >= FLOAT32_LIMIT,
        "bf16": result["step"]["ratio"]["bf16"]["median"] >= BF16_LIMIT,
    }
    result["promise_kept"] = kept
    write_json(options.out, result)
    report = as_markdown(result)
    options.out.with_suffix(".md").write_text(report, encoding="utf-8")
    print(report)
    return 0 if all(kept.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
