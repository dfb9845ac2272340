"""Check that a GPU computes what a CPU computes, and time a training step on both.

CoMM is fitted on both from equal weights, on the same batches and the same augmentation noise
(drawn on the CPU: generators of different devices give different numbers). The embeddings have to
agree with those of the float32 fit on the CPU: within 1e-3 after a float32 fit, TF32 being off, and
within 2e-2 after a bf16 fit; with the very same weights they have to agree within 1e-4. Without a
GPU there is nothing to check, and the script ends well. Run it with::

    python benchmarks/gpu_check.py

which prints a table and writes ``results/gpu_check.json``.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _report import RESULTS, environment, machine_line, summary, table, write_json
from torch import Tensor

from mmcontrast import CoMM, Modalities
from mmcontrast.augmentation import make_augmentation
from mmcontrast.training import ModalityDataset

LIMITS = {"float32": 1e-3, "bf16": 2e-2}
SAME_WEIGHTS_LIMIT = 1e-4
# Adam moves a weight by the learning rate even where its gradient is nothing but rounding, and the
# normalisation in the projection head leaves no other gradient to a shift of all embeddings. So
# any two roundings drift apart by a few learning rates per step; this keeps that below the limits.
LR = 3e-5
SEED = 0


def make_data(n_rows: int) -> Modalities:
    """A sequence and a table with something in common."""
    rng = np.random.default_rng(SEED)
    shared = rng.normal(size=(n_rows, 8)).astype(np.float32)
    eeg = np.einsum("ni,ict->nct", shared, rng.normal(size=(8, 8, 64))) / np.sqrt(8)
    age = shared @ rng.normal(size=(8, 32)) / np.sqrt(8)
    return Modalities(
        eeg=(eeg + rng.normal(size=eeg.shape)).astype(np.float32),
        table=(age + rng.normal(size=age.shape)).astype(np.float32),
    )


def noise_from_the_cpu(seed: int) -> Callable[[Tensor], Tensor]:
    """Make an augmentation that is the same on every device."""
    generator = torch.Generator().manual_seed(seed)

    def add_noise(x: Tensor) -> Tensor:
        return x + 0.3 * torch.randn(x.shape, generator=generator).to(x.device, x.dtype)

    return add_noise


def fit(X: Modalities, device: str, precision: str, n_epochs: int, lr: float = LR) -> CoMM:
    """Fit from weights and on draws that depend on the seed alone."""
    augmentation = make_augmentation(eeg=noise_from_the_cpu(1), table=noise_from_the_cpu(2))
    return CoMM(
        augmentation=augmentation,
        max_epochs=n_epochs,
        batch_size=64,
        learning_rate=lr,
        device=device,
        precision=precision,
        random_state=SEED,
    ).fit(X)


def compare(X: Modalities, device: str, precision: str, n_epochs: int) -> dict[str, Any]:
    """Largest difference to the embeddings of the float32 fit on the CPU."""
    reference = fit(X, "cpu", "float32", n_epochs)
    checked = fit(X, device, precision, n_epochs)
    z, z_checked = reference.transform(X), checked.transform(X)
    untrained = fit(X, "cpu", "float32", 1, lr=1e-30).transform(X)
    losses = {"cpu, float32": reference.history_["train_loss"]}
    losses[f"{device}, {precision}"] = list(checked.history_["train_loss"])
    checked.net_.module_.load_state_dict(reference.net_.module_.state_dict())
    after_fit = float(np.abs(z_checked - z).max())
    same_weights = float(np.abs(checked.transform(X) - z).max())
    return {
        "after_fit": after_fit,
        "limit": LIMITS[precision],
        "same_weights": same_weights,
        "same_weights_limit": SAME_WEIGHTS_LIMIT,
        "agrees": after_fit <= LIMITS[precision] and same_weights <= SAME_WEIGHTS_LIMIT,
        "moved_by_the_fit": float(np.abs(z - untrained).max()),
        "loss": losses,
    }


def time_step(X: Modalities, device: str, precision: str, n_repeats: int) -> dict[str, Any]:
    """Milliseconds per training step, from epochs over resident data."""
    comm = CoMM(
        max_epochs=1,
        batch_size=256,
        device=device,
        precision=precision,
        random_state=SEED,
    ).fit(X)
    dataset = ModalityDataset(X, device=device, streaming=False)
    times = []
    for repeat in range(n_repeats + 1):
        synchronise(device)
        start = time.perf_counter()
        comm.net_.train(dataset, None, n_epochs=1)
        synchronise(device)
        if repeat:  # the first epoch warms up
            times.append(1e3 * (time.perf_counter() - start) / (len(X) // 256))
    return summary(times)


def synchronise(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def no_tf32() -> None:
    """Let a GPU multiply float32 matrices and convolve in float32."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def as_table(result: Mapping[str, Any]) -> str:
    device = result["device"]
    rows = [
        [
            precision,
            f"{found['after_fit']:.1e} (at most {found['limit']:.0e})",
            f"{found['same_weights']:.1e} (at most {found['same_weights_limit']:.0e})",
            "yes" if found["agrees"] else "NO",
            *(f"{result['step_ms'][precision][name]['median']:.2f} ms" for name in ("cpu", device)),
        ]
        for precision, found in result["agreement"].items()
    ]
    header = ["precision", "after the fit", "same weights", "agrees", "cpu", device]
    return (
        "Largest difference of the embeddings; time of a training step.\n\n"
        + table(header, rows)
        + "\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--device", default="cuda", help=argparse.SUPPRESS)
    parser.add_argument("--n-rows", type=int, default=2048, help="rows to time on")
    parser.add_argument("--n-epochs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu_check.json")
    options = parser.parse_args()
    if torch.device(options.device).type == "cuda" and not torch.cuda.is_available():
        print("There is no GPU here: nothing to check.")
        return 0
    no_tf32()
    X = make_data(options.n_rows)
    result: dict[str, Any] = {
        "environment": environment(),
        "device": options.device,
        "seed": SEED,
        "n_epochs": options.n_epochs,
        "learning_rate": LR,
        "agreement": {
            precision: compare(X[:256], options.device, precision, options.n_epochs)
            for precision in LIMITS
        },
        "step_ms": {
            precision: {
                device: time_step(X, device, precision, options.repeats)
                for device in dict.fromkeys(["cpu", options.device])
            }
            for precision in LIMITS
        },
    }
    write_json(options.out, result)
    print(as_table(result))
    print(machine_line(result["environment"]))
    return 0 if all(found["agrees"] for found in result["agreement"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
