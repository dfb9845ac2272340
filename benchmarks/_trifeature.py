"""What the Trifeature benchmarks share: pairs, methods, probes and fits that can be resumed."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _store import Store
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback

from mmcontrast import CoMM, CrossModal, CrossSelf, FactorCL, Modalities
from mmcontrast.augmentation import (
    Augmentation,
    Compose,
    ModalityAugmentation,
    SimCLRAugmentation,
    Translate,
)
from mmcontrast.datasets import make_trifeature, make_trifeature_pairs
from mmcontrast.nn import CNNEncoder, ResNet18Encoder

NAMES = ("image1", "image2")
# what is decoded by its accuracy; synergy is decoded on pairs of its own
LABELS = {"R": "shape", "U1": "texture1", "U2": "texture2"}
SCORES = (*LABELS, "S", "S_auc", "S_balanced")
# seeds of the pairs; a fit and its probes never share one
_TRAIN, _PROBE, _SYNERGY, _TEST, _BALANCED = range(5)
# enough for the running statistics of batch normalisation
_UNTRAINED_ROWS = 2560
PROBE_C = (0.001, 0.01, 0.1, 1.0)
_PCA_COMPONENTS = 128
# columns of an embedding with products that are probed on their own, too
_BLOCKS = {"CLS": "fused", "products": "*".join(NAMES)}
# of the canvas; as far as a shift moves an image at most
SHIFT = 5 / 32
_BACKGROUND = 128 / 255


@dataclass(frozen=True)
class Scale:
    """Sizes of the images, the networks and their training.

    `augmentation` is that of both images, as :func:`augmentation_of` reads it; `with_crop` takes
    its place where the strength of the crop is what is asked.
    """

    name: str
    image_size: int
    encoder: str
    common: Mapping[str, Any]
    min_scale: float
    n_seeds: int
    n_train: int = 10_000
    n_test: int = 4_096
    augmentation: str = "all"
    with_crop: str = "all"
    training: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One fit and how it differs from the others; everything in it can be written as JSON."""

    method: str
    planted: bool = False
    augmentations: tuple[str, str] | None = None
    min_scale: float | None = None
    encoder: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    probe_epochs: tuple[int, ...] = ()


CPU = Scale(
    name="cpu",
    image_size=32,
    encoder="conv",
    common={
        "embed_dim": 256,
        "batch_size": 256,
        "learning_rate": 3e-3,
        "weight_decay": 1e-4,
        "max_epochs": 24,
        "precision": "bf16",
    },
    min_scale=0.7,
    n_seeds=3,
    # colours are one of the factors, and a crop that is scaled to 32 px blurs the textures: neither
    # keeps what is asked
    augmentation="shift+flip",
    with_crop="crop+flip",
    training={
        # its steps take longer: as many epochs as the others have do not fit into the time
        "FactorCL": {
            "critic": "separable",
            "learning_rate": 1e-3,
            "batch_size": 128,
            "max_epochs": 8,
        },
        "CoMM, interaction": {"interaction_dim": 1024},
    },
)
PAPER = Scale(
    name="paper",
    image_size=224,
    encoder="alexnet",
    common={
        "embed_dim": 512,
        "batch_size": 64,
        "learning_rate": 3e-4,
        "weight_decay": 1e-4,
        "max_epochs": 100,
        "precision": "bf16",
    },
    min_scale=0.08,
    n_seeds=5,
    training={"CoMM, interaction": {"interaction_dim": 1024}},
)
SCALES = {scale.name: scale for scale in (CPU, PAPER)}


class OutOfTime(Exception):
    """A fit was stopped before its last epoch; its checkpoint is there to go on from."""


# --------------------------------------------------------------------------------- data
class Pairs:
    """Images of a scale, and the pairs of a seed."""

    def __init__(self, scale: Scale, seed: int, data_home: Path | None = None) -> None:
        self.scale, self.seed = scale, seed
        self.data = make_trifeature(scale.image_size, random_state=0, data_home=data_home)

    def train(self, planted: bool) -> Modalities:
        return self._draw(_TRAIN, self.scale.n_train, biased=float(planted))[0]

    def probe(self) -> tuple[Modalities, dict[str, np.ndarray]]:
        return self._draw(_PROBE, self.scale.n_train)

    def synergy(self) -> tuple[Modalities, dict[str, np.ndarray]]:
        return self._draw(_SYNERGY, self.scale.n_train, balanced=True)

    def test(self, balanced: bool = False) -> tuple[Modalities, dict[str, np.ndarray]]:
        stream = _BALANCED if balanced else _TEST
        return self._draw(stream, self.scale.n_test, split="test", balanced=balanced)

    def _draw(self, stream: int, n_pairs: int, **options: Any) -> Any:
        state = int(np.random.SeedSequence([self.seed, stream]).generate_state(1)[0])
        return make_trifeature_pairs(self.data, n_pairs, random_state=state, **options)


# ------------------------------------------------------------------------------ methods
_METHODS: dict[str, tuple[type, dict[str, Any]]] = {
    "Cross": (CrossModal, {}),
    "Cross+Self": (CrossSelf, {}),
    "FactorCL": (FactorCL, {}),
    "CoMM": (CoMM, {}),
    "CoMM, linear fusion": (CoMM, {"fusion": "concat_linear"}),
    "CoMM, interaction": (CoMM, {"fusion": "interaction"}),
}
_ENCODERS: dict[str, Any] = {
    "conv": partial(CNNEncoder, channels=(24, 64, 128)),
    "alexnet": "alexnet",
    "resnet18 of an eighth of the width": partial(ResNet18Encoder, width=8),
    "resnet50": "resnet50",
}


def build(scale: Scale, run: Run, seed: int, **given: Any) -> Any:
    """The unfitted estimator of a run."""
    estimator, options = _METHODS[run.method]
    return estimator(
        **{
            **scale.common,
            "encoders": _ENCODERS[run.encoder or scale.encoder],
            "augmentation": augmentation(scale, run),
            **options,
            **options_of(scale.training, run.method),
            **run.changes,
            "random_state": seed,
            **given,
        }
    )


def options_of(training: Mapping[str, Mapping[str, Any]], method: str) -> Mapping[str, Any]:
    """Options of a method, trained or not, that others do not have."""
    return training.get(method.removeprefix("untrained "), {})


def augmentation(scale: Scale, run: Run) -> ModalityAugmentation:
    """Augmentation of both images that the run says, or else the scale."""
    usual = scale.augmentation if run.min_scale is None else scale.with_crop
    min_scale = scale.min_scale if run.min_scale is None else run.min_scale
    chosen = zip(NAMES, run.augmentations or (usual, usual), strict=True)
    return ModalityAugmentation(
        [(name, augmentation_of(parts, min_scale, scale.image_size)) for name, parts in chosen]
    )


def augmentation_of(parts: str, min_scale: float, image_size: int) -> Augmentation | None:
    """Nothing ("none"), "all" or "all_but_crop" of SimCLR's, or parts like "shift+flip"."""
    if parts == "none":
        return None
    if parts.startswith("all"):
        return SimCLRAugmentation(parts, min_scale=min_scale)
    names = parts.split("+")
    shift = [Translate(SHIFT * image_size, fill=_BACKGROUND)] if "shift" in names else []
    rest = [name for name in names if name != "shift"]
    return Compose([*shift, SimCLRAugmentation(rest, min_scale=min_scale)])


# ------------------------------------------------------------------------------- probes
def probe_all(embed: Callable[[Modalities], np.ndarray], pairs: Pairs) -> dict[str, float]:
    """Scores of logistic regressions of a frozen embedding.

    Shape and textures are learned from pairs without bias and scored by accuracy. Synergy is
    learned from balanced training pairs, where no image tells anything on its own, and scored on
    the paper's test pairs by balanced accuracy and AUC, and on balanced ones by accuracy.
    """
    (X, known), (X_test, asked) = pairs.probe(), pairs.test()
    Z, Z_test = embed(X), embed(X_test)
    found = {
        name: float(fit_probe(Z, known[label]).score(Z_test, asked[label]))
        for name, label in LABELS.items()
    }
    X, known = pairs.synergy()
    X_balanced, balanced = pairs.test(balanced=True)
    # products of features tell so little of it one by one that a coarse solver would not even start
    probe = fit_probe(embed(X), known["synergy"], tol=1e-6)
    found["S"] = float(balanced_accuracy_score(asked["synergy"], probe.predict(Z_test)))
    found["S_auc"] = float(roc_auc_score(asked["synergy"], probe.decision_function(Z_test)))
    found["S_balanced"] = float(probe.score(embed(X_balanced), balanced["synergy"]))
    return found


def fit_probe(Z: np.ndarray, y: np.ndarray, tol: float = 1e-3) -> Any:
    """Logistic regression whose C did best on training pairs that were held out."""
    n_fit, n_known = len(Z) * 3 // 10, len(Z) // 2
    held_out = slice(n_fit, n_known)
    C = max(
        PROBE_C,
        key=lambda C: _classifier(C, tol).fit(Z[:n_fit], y[:n_fit]).score(Z[held_out], y[held_out]),
    )
    return _classifier(C, tol).fit(Z, y)


def _classifier(C: float, tol: float) -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(C=C, tol=tol, max_iter=300))


def embedder(estimator: Any, part: str | None = None) -> Callable[[Modalities], np.ndarray]:
    """The embedding of a fitted estimator, or a part of it."""

    def embed(X: Modalities) -> np.ndarray:
        Z = estimator.transform(X)
        return (Z if part is None else estimator.split(Z)[part]).astype(np.float32)

    return embed


def probe_embedding(estimator: Any, pairs: Pairs, run: Run) -> dict[str, Any]:
    """Scores of the embedding, and of its blocks if it has products."""
    blocks = _BLOCKS if run.method.endswith("interaction") else {}
    return {
        "scores": probe_all(embedder(estimator), pairs),
        "blocks": {
            name: probe_all(embedder(estimator, part), pairs) for name, part in blocks.items()
        },
    }


def raw_pixels(pairs: Pairs) -> Callable[[Modalities], np.ndarray]:
    """Principal components of the pixels of both images."""
    images = pairs.data.images[pairs.data.split == "train"]
    pca = PCA(_PCA_COMPONENTS, svd_solver="randomized", random_state=0)
    pca.fit(_flat(images))
    return lambda X: np.hstack([pca.transform(_flat(X[name])) for name in NAMES])


def _flat(images: np.ndarray) -> np.ndarray:
    return np.asarray(images, dtype=np.float32).reshape(len(images), -1) / 255


# --------------------------------------------------------------------------------- fits
class _Record(Callback):
    """Note the time of each epoch, and probe the estimator at the end of some.

    Both are kept in the history, which is a part of checkpoints.
    """

    def __init__(self, epochs: tuple[int, ...], pairs: Pairs) -> None:
        self.epochs, self.pairs = epochs, pairs
        self.owner: Any = None

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        self.start = _clock()

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        net.history.record("fit_seconds", _clock() - self.start)
        if len(net.history) in self.epochs:
            net.history.record("probed", probe_all(embedder(self.owner), self.pairs))


class _StopAt(Callback):
    """Leave the training before the first epoch after the time is up.

    Ending it would be the end of its checkpoint, too, which is written after an epoch's callbacks.
    """

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        if time.monotonic() > self.deadline:
            raise OutOfTime


def _clock() -> float:
    """Seconds of this process, on a GPU of the clock: a process that waits for it counts, too."""
    return time.perf_counter() if torch.cuda.is_available() else time.process_time()


def evaluate(
    scale: Scale,
    run: Run,
    seed: int,
    store: Store,
    *,
    data_home: Path | None = None,
    checkpoint: Path | None = None,
    deadline: float = np.inf,
) -> dict[str, Any]:
    """Fit and probe a run, or find it in the store.

    Raises
    ------
    OutOfTime
        If the deadline passed before the last epoch; with a checkpoint the next call goes on.
    """
    # a fit is the same one whatever options other methods have, and looked at on the way or not
    fit = asdict(replace(run, probe_epochs=()))
    sizes = asdict(replace(scale, training=options_of(scale.training, run.method)))
    key = json.dumps({"scale": sizes, "run": fit, "seed": seed}, sort_keys=True)

    def compute() -> dict[str, Any]:
        if time.monotonic() > deadline:
            raise OutOfTime
        return _evaluate(Pairs(scale, seed, data_home), run, checkpoint, deadline)

    def looked_at(found: Mapping[str, Any]) -> bool:
        return {str(epoch) for epoch in run.probe_epochs} <= set(found.get("curve", ()))

    return store.get(key, compute, looked_at)


def _evaluate(pairs: Pairs, run: Run, checkpoint: Path | None, deadline: float) -> dict[str, Any]:
    if run.method == "raw pixels":
        return {"scores": probe_all(raw_pixels(pairs), pairs), "seconds": 0.0, "epochs": 0}
    if run.method.startswith("untrained"):
        return {**probe_embedding(untrained(pairs, run), pairs, run), "seconds": 0.0}
    record = _Record(run.probe_epochs, pairs)
    given = {"callbacks": [record, _StopAt(deadline)], "checkpoint": checkpoint}
    estimator = record.owner = build(pairs.scale, run, pairs.seed, **given)
    estimator.fit(pairs.train(run.planted))
    rows = enumerate(estimator.net_.history, start=1)
    found = probe_embedding(estimator, pairs, run)
    curve = {str(epoch): row["probed"] for epoch, row in rows if "probed" in row}
    return {
        **found,
        "curve": curve and {**curve, str(estimator.n_iter_): found["scores"]},
        "history": {k: v for k, v in estimator.history_.items() if k in ("train_loss", "joint")},
        "held_out_joint": held_out_joint(estimator, pairs),
        "seconds": sum(estimator.history_["fit_seconds"]),
        "epochs": estimator.n_iter_,
    }


def untrained(pairs: Pairs, run: Run) -> Any:
    """The estimator of "untrained <method>" with the weights that training would start from."""
    method = run.method.removeprefix("untrained ")
    changes = {**run.changes, "max_epochs": 1, "learning_rate": 1e-12, "schedule": "constant"}
    estimator = build(pairs.scale, replace(run, method=method, changes=changes), pairs.seed)
    return estimator.fit(pairs.train(planted=False)[:_UNTRAINED_ROWS])


def held_out_joint(estimator: Any, pairs: Pairs) -> float | None:
    """Mean InfoNCE loss between two augmentations of test pairs, of a method that has it."""
    if not isinstance(estimator, CoMM) or "joint" not in estimator.loss_terms:
        return None
    net = estimator.net_
    dataset = estimator._dataset(pairs.test()[0], None)
    generator = torch.Generator(device=net.device).manual_seed(0)
    net._set_training(False)
    batches = [b for b in net.get_iterator(dataset) if len(b[0].values[NAMES[0]]) >= net.batch_size]
    losses = [net.validation_step(b, generator=generator)["terms"]["joint"].item() for b in batches]
    return float(np.mean(losses))
