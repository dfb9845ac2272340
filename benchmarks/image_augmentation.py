"""How fast images are augmented, next to kornia.

The chain of SimCLR (crop, colours, blur, flip), the chain without its crop, and each of its parts
run on the same images on one thread: 64 photographs of 224 pixels and 256 small images of 32.
Both libraries draw parameters of their own for each image, so what they give is random; before
anything is timed, what leaves nothing to chance (greys, a blur of fixed width, a mirrored image)
has to be the same in both, and windows of a linear ramp have to be linear in both. If not, the
comparison is refused.

They take turns, and ratios are taken within a turn, so that a busy machine slows both alike; time
is that of the processor. Memory is the most that a call adds to that of a process which holds the
images, its output included (on Linux). Run it with::

    python benchmarks/image_augmentation.py

which takes some minutes, prints a table and writes ``results/image_augmentation.json`` and
``results/image_augmentation.md``. Without kornia it only times mmcontrast.
"""

import argparse
import ctypes
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from _report import RESULTS, environment, machine_line, summary, table, write_json
from torch import Tensor

from mmcontrast.augmentation import (
    GaussianBlur,
    HorizontalFlip,
    RandomGrayscale,
    SimCLRAugmentation,
)

try:
    import kornia.augmentation as kornia_augmentation
except ImportError:
    kornia_augmentation = None

SIZES = {224: 64, 32: 256}  # pixels and images of a batch
PARTS = ("crop", "jitter", "grayscale", "blur", "flip")
CASES: dict[str, str | list[str]] = {
    "whole chain": "all",
    "without crop": "all_but_crop",
    **{part: [part] for part in PARTS},
}
SAME = 1e-5  # difference that float32 explains

Augment = Callable[[Tensor], Tensor]


def make_images(n_images: int, size: int) -> Tensor:
    return torch.rand(n_images, 3, size, size, generator=torch.Generator().manual_seed(0))


def kernel_size(size: int) -> int:
    """A tenth of the height, odd."""
    return size // 10 // 2 * 2 + 1


def ours(case: str, size: int) -> Augment:
    return SimCLRAugmentation(CASES[case])


def kornias(case: str, size: int) -> Augment:
    k = kornia_augmentation
    width = kernel_size(size)
    parts = {
        "crop": k.RandomResizedCrop((size, size), scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), p=1.0),
        "jitter": k.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
        "grayscale": k.RandomGrayscale(p=0.2),
        "blur": k.RandomGaussianBlur((width, width), (0.1, 2.0), p=0.5),
        "flip": k.RandomHorizontalFlip(p=0.5),
    }
    names = {"all": PARTS, "all_but_crop": PARTS[1:]}.get(str(CASES[case]), CASES[case])
    return torch.nn.Sequential(*(parts[name] for name in names))


def differences() -> dict[str, float]:
    """How far the two are apart in what is not random."""
    k, x = kornia_augmentation, make_images(4, 224)
    width = kernel_size(224)
    pairs = {
        "grayscale": (RandomGrayscale(p=1.0), k.RandomGrayscale(p=1.0)),
        "blur": (
            GaussianBlur((1.5, 1.5), p=1.0),
            k.RandomGaussianBlur((width, width), (1.5, 1.5), p=1.0),
        ),
        "flip": (HorizontalFlip(p=1.0), k.RandomHorizontalFlip(p=1.0)),
    }
    found = {name: float((a(x) - b(x)).abs().max()) for name, (a, b) in pairs.items()}
    ramp = torch.linspace(0, 1, 224).expand(16, 3, 224, 224)
    for name, make in (("ours", ours), ("kornia", kornias)):
        # at its edges a window is clamped
        inner = make("crop", 224)(ramp)[..., 8:-8]
        found[f"curvature of a cropped ramp, {name}"] = float(inner.diff(n=2).abs().max())
    return found


def seconds_of(augment: Augment, x: Tensor) -> float:
    # of the processor: other programs on the machine do not count
    start = time.process_time()
    augment(x)
    return time.process_time() - start


def compare(case: str, size: int, n_repeats: int) -> dict[str, Any]:
    x = make_images(SIZES[size], size)
    makers = {"mmcontrast": ours} | ({"kornia": kornias} if kornia_augmentation else {})
    augments = {name: make(case, size) for name, make in makers.items()}
    times: dict[str, list[float]] = {name: [] for name in augments}
    for augment in augments.values():
        augment(x)
    for _ in range(n_repeats):
        for name, augment in augments.items():
            times[name].append(seconds_of(augment, x))
    result: dict[str, Any] = {"seconds": {name: summary(times[name]) for name in times}}
    if kornia_augmentation:
        ratios = [a / b for a, b in zip(times["kornia"], times["mmcontrast"], strict=True)]
        result["times_faster"] = summary(ratios)
    return result


def megabytes(maker: Callable[[str, int], Augment], size: int) -> float | None:
    """The most that a call of the whole chain adds to the memory of the process."""
    augment, x = maker("whole chain", size), make_images(SIZES[size], size)
    augment(x)
    try:
        ctypes.CDLL(None).malloc_trim(0)  # give back what is free, or it would be used unseen
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        before = _memory("VmRSS")
        augment(x)
        return (_memory("VmHWM") - before) / 1e6
    except (OSError, AttributeError):  # not Linux
        return None


def _memory(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def as_markdown(result: Mapping[str, Any]) -> str:
    rows = []
    for size, cases in result["sizes"].items():
        for name, case in cases["cases"].items():
            medians = [1e3 * row["median"] for row in case["seconds"].values()]
            row = [f"{size} px", name, *(f"{value:.1f}" for value in medians)]
            if "times_faster" in case:
                low, high = case["times_faster"]["quartiles"]
                row.append(f"{case['times_faster']['median']:.1f} ({low:.1f}-{high:.1f})")
            rows.append(row)
        memory = ["" if value is None else f"{value:.0f}" for value in cases["megabytes"].values()]
        rows.append([f"{size} px", "memory of the chain, MB", *memory, *[""] * (len(memory) - 1)])
    header = ["images", "what", "mmcontrast, ms", "kornia, ms", "times faster (quartiles)"]
    batches = ", ".join(f"{n} images of {size} pixels" for size, n in SIZES.items())
    other = f" kornia {result['kornia']}." if result["kornia"] else " kornia is not installed."
    return f"""# Augmentation of images

{batches}; float32, one thread, time of the processor.
Medians of {result["n_repeats"]} turns; quartiles of the ratio within a turn. Memory is the most
that a call adds to a process that holds the images, its output included.{other}

{table(header[: len(rows[0])], rows)}

{machine_line(result["environment"])}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--sizes", type=int, nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--out", type=Path, default=RESULTS / "image_augmentation.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, float] = {}
    if kornia_augmentation:
        found = differences()
        if max(found.values()) > SAME:
            print(f"The two do not compute the same: {found}", file=sys.stderr)
            return 1
    else:
        print("kornia is not installed: mmcontrast is timed alone.", file=sys.stderr)
    return report_on(options, found)


def report_on(options: argparse.Namespace, found: Mapping[str, float]) -> int:
    makers = {"mmcontrast": ours} | ({"kornia": kornias} if kornia_augmentation else {})
    sizes = {
        size: {
            "cases": {case: compare(case, size, options.repeats) for case in CASES},
            "megabytes": {name: megabytes(maker, size) for name, maker in makers.items()},
        }
        for size in options.sizes
    }
    result: dict[str, Any] = {
        "environment": environment(),
        "kornia": version("kornia") if kornia_augmentation else None,
        "n_repeats": options.repeats,
        "difference": dict(found),
        "sizes": sizes,
    }
    write_json(options.out, result)
    report = as_markdown(result)
    options.out.with_suffix(".md").write_text(report, encoding="utf-8")
    print(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
