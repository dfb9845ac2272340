"""What the FactorCL benchmarks share: problems, methods, probes, and fits that can be resumed."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from _store import Store
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mmcontrast import CoMM, CrossModal, CrossSelf, FactorCL, Modalities, SupervisedContrastive
from mmcontrast.augmentation import FeatureMasking, GaussianNoise, ModalityAugmentation
from mmcontrast.datasets import make_factorized
from mmcontrast.nn import MLPEncoder, View, build_pooled_encoder

LATENTS = ("w1", "w2", "ws")
BENT_CODE = {
    "setting": "code",
    "mixing": "planar_flow",
    "feature_noise": 0.1,
    "label_noise": 0.05,
}

_MANY_COLUMNS = 1000

Parts = dict[str, np.ndarray]


@dataclass(frozen=True)
class Setting:
    """A problem and the sizes and schedules of the networks that learn it.

    `training` has, per method, what differs from `common`, the parameters of all estimators.
    """

    name: str
    data: Mapping[str, Any]
    n_train: int
    n_test: int
    hidden_dims: tuple[int, ...] = (512, 512, 512)
    embed_dim: int = 128
    head_dim: int = 128
    critic_dims: tuple[int, ...] = (512,)
    common: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    probe_C: float = 1.0


@dataclass(frozen=True)
class Problem:
    """Training and test rows of one seed; only the labels depend on the ratio."""

    X: Modalities
    latents: Mapping[str, np.ndarray]
    labels: Mapping[str, np.ndarray]
    n_train: int

    @property
    def X_train(self) -> Modalities:
        return self.X[: self.n_train]


# --------------------------------------------------------------------------------- data
def make_problem(setting: Setting, seed: int, ratios: Sequence[float | None]) -> Problem:
    """Draw the problem of a seed, with one label per ratio; None is that of the setting."""
    labels = {}
    for ratio in ratios:
        data = dict(setting.data) if ratio is None else {**setting.data, "unique_ratio": ratio}
        X, labels[label_name(ratio)], latents = make_factorized(
            setting.n_train + setting.n_test, random_state=seed, **data
        )
    return Problem(X, latents, labels, setting.n_train)


def label_name(ratio: float | None) -> str:
    return "label" if ratio is None else f"{ratio:.1f}"


# ------------------------------------------------------------------------------ methods
def make_encoder(
    input_shape: tuple[int, ...], embed_dim: int, hidden_dims: tuple[int, ...]
) -> MLPEncoder:
    return MLPEncoder(input_shape, embed_dim, hidden_dims=hidden_dims)


def augmentation(kind: str, amount: float) -> ModalityAugmentation:
    """The same augmentation for both modalities; never the identity."""
    one = {
        "mask": lambda: FeatureMasking(amount, p=1.0),
        "noise": lambda: GaussianNoise(amount, p=1.0),
    }[kind]
    return ModalityAugmentation([("x1", one()), ("x2", one())])


def build(setting: Setting, method: str, seed: int) -> Any:
    """The unfitted estimator of a method."""
    chosen = {**setting.common, **setting.training.get(method, {})}
    if "augmentation" in chosen:
        chosen["augmentation"] = augmentation(*chosen["augmentation"])
    chosen |= {
        "encoders": partial(make_encoder, hidden_dims=setting.hidden_dims),
        "embed_dim": setting.embed_dim,
        "device": "cpu",
        "random_state": seed,
    }
    if method.startswith("FactorCL"):
        chosen = {"head_dim": setting.head_dim, "critic_dims": setting.critic_dims} | chosen
        chosen["supervised"] = "SUP" in method
        chosen["objective"] = "disentangled" if method.endswith("disentangled") else "paper"
        return FactorCL(**chosen)
    return _BASELINES[method](**chosen)


_BASELINES: dict[str, Callable[..., Any]] = {
    "CrossModal": CrossModal,
    "CrossSelf": CrossSelf,
    "SupCon": SupervisedContrastive,
    "CoMM": CoMM,
}
# how far labels get the same encoders: those of both modalities in one loss, or of each in its own
LABELLED = {"labels, both at once": True, "labels, each apart": False}
SUPERVISED = ("FactorCL-SUP", "FactorCL-SUP-disentangled", "SupCon")


def representations(setting: Setting, method: str, estimator: Any, X: Modalities) -> Any:
    """Parts of every representation that a fit gives; OurCL comes with FactorCL.

    OurCL has the objective of FactorCL and the encoders' outputs as its representation, so the
    same fit gives both.
    """
    if method == "CoMM":
        return {method: {"joint": estimator.transform(X)}}
    found = {method: estimator.split(estimator.transform(X))}
    if method.startswith("FactorCL") and not method.endswith("disentangled"):
        name = method.replace("FactorCL", "OurCL")
        found[name] = encode(estimator.net_.module_.encoder, X)
    return found


def encode(encoder: torch.nn.Module, X: Modalities) -> Parts:
    """Outputs of the encoders alone."""
    view = View({name: torch.from_numpy(np.ascontiguousarray(X[name])) for name in X.names})
    encoder.eval()
    with torch.no_grad():
        return {name: z.numpy() for name, z in encoder(view).items()}


def untrained(setting: Setting, seed: int, X: Modalities) -> Parts:
    """Outputs of encoders with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return encode(_random_encoders(setting, X), X)


def labelled(setting: Setting, seed: int, problem: Problem, y: np.ndarray, both: bool) -> Parts:
    """Outputs of encoders under a linear classifier of both, or under one each.

    They are trained for the epochs of FactorCL-SUP.
    """
    names, n_classes = problem.X.names, len(np.unique(y))
    groups = [names] if both else [(name,) for name in names]
    options = {**setting.common, **setting.training.get("FactorCL-SUP", {})}
    X = {name: torch.from_numpy(np.ascontiguousarray(problem.X_train[name])) for name in names}
    target = torch.from_numpy(y).long()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = _random_encoders(setting, problem.X)
        readouts = torch.nn.ModuleList(
            torch.nn.Linear(len(group) * setting.embed_dim, n_classes) for group in groups
        )
        weights = [*encoder.parameters(), *readouts.parameters()]
        optimizer = torch.optim.Adam(weights, options["learning_rate"])
        for _ in range(options["max_epochs"]):
            for rows in torch.randperm(len(target)).split(options["batch_size"]):
                z = encoder(View({name: x[rows] for name, x in X.items()}))
                logits = [
                    readout(torch.cat([z[name] for name in group], dim=1))
                    for group, readout in zip(groups, readouts, strict=True)
                ]
                losses = [torch.nn.functional.cross_entropy(part, target[rows]) for part in logits]
                optimizer.zero_grad()
                torch.stack(losses).sum().backward()
                optimizer.step()
    return encode(encoder, problem.X)


def _random_encoders(setting: Setting, X: Modalities) -> torch.nn.Module:
    return build_pooled_encoder(
        X.row_shapes,
        setting.embed_dim,
        encoders=partial(make_encoder, hidden_dims=setting.hidden_dims),
    )


# ------------------------------------------------------------------------------- probes
def probe_labels(Z: np.ndarray, y: np.ndarray, n_train: int, C: float = 1.0) -> float:
    """Test accuracy of a logistic regression."""
    # columns of a representation are so correlated that lbfgs takes thousands of steps and that the
    # Hessian is singular in float32; for many columns a Hessian takes longer still
    Z = Z.astype(np.float64)
    solver = "newton-cholesky" if Z.shape[1] <= _MANY_COLUMNS else "lbfgs"
    classifier = LogisticRegression(C=C, solver=solver, max_iter=2000)
    probe = make_pipeline(StandardScaler(), classifier).fit(Z[:n_train], y[:n_train])
    return float(probe.score(Z[n_train:], y[n_train:]))


def probe_latents(Z: np.ndarray, w: np.ndarray, n_train: int) -> np.ndarray:
    """Test R2 of a ridge regression of each latent."""
    Z = Z.astype(np.float64)
    probe = make_pipeline(StandardScaler(), Ridge(1.0)).fit(Z[:n_train], w[:n_train])
    residual = ((w[n_train:] - probe.predict(Z[n_train:])) ** 2).mean(axis=0)
    return 1.0 - residual / w[n_train:].var(axis=0)


def gaussian_bits(r2: np.ndarray) -> float:
    """Information, at least, about independent Gaussian latents that are predicted so well."""
    unexplained = np.clip(1.0 - np.asarray(r2), np.finfo(np.float32).eps, 1.0)
    return float(-0.5 * np.log2(unexplained).sum())


def probe_all(parts: Parts, problem: Problem, C: float, with_latents: bool) -> dict[str, Any]:
    """Accuracy of all parts side by side for every label; R2 and bits per part and latent."""
    Z, n_train = np.hstack(list(parts.values())), problem.n_train
    found: dict[str, Any] = {
        "accuracy": {name: probe_labels(Z, y, n_train, C) for name, y in problem.labels.items()},
    }
    if with_latents:
        r2 = {
            part: {name: probe_latents(z, problem.latents[name], n_train) for name in LATENTS}
            for part, z in parts.items()
        }
        found["r2"] = {p: {w: float(v.mean()) for w, v in by.items()} for p, by in r2.items()}
        found["bits"] = {p: {w: gaussian_bits(v) for w, v in by.items()} for p, by in r2.items()}
    return found


# --------------------------------------------------------------------------------- fits
def evaluate(
    setting: Setting,
    method: str,
    seed: int,
    ratios: Sequence[float | None],
    store: Store,
) -> dict[str, Any]:
    """Fit a method on a seed and probe what it gives, or find that in the store.

    A supervised method is given the label of the first ratio. Returns the probes of each
    representation, and the seconds of processor time that the fit took.
    """
    key = fit_key(setting, method, seed, ratios)
    return store.get(key, lambda: _evaluate(setting, method, seed, ratios))


def fit_key(setting: Setting, method: str, seed: int, ratios: Sequence[float | None]) -> str:
    """Name a fit by all that it depends on."""
    about = asdict(setting) | {"training": setting.training.get(method, {})}
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]
    labels = ",".join(map(label_name, ratios))
    return " | ".join((setting.name, method, f"seed {seed}", labels, digest))


def _evaluate(
    setting: Setting, method: str, seed: int, ratios: Sequence[float | None]
) -> dict[str, Any]:
    problem = make_problem(setting, seed, ratios)
    y = problem.labels[label_name(ratios[0])][: problem.n_train]
    start, n_epochs = time.process_time(), 0
    if method == "raw inputs":
        found = {method: {name: problem.X[name] for name in problem.X.names}}
    elif method == "untrained encoders":
        found = {method: untrained(setting, seed, problem.X)}
    elif method == "latents":
        found = {method: dict(problem.latents)}
    elif method in LABELLED:
        found = {method: labelled(setting, seed, problem, y, both=LABELLED[method])}
    else:
        estimator = build(setting, method, seed)
        estimator.fit(problem.X_train, y if method in SUPERVISED else None)
        n_epochs = estimator.n_iter_
        found = representations(setting, method, estimator, problem.X)
    seconds = time.process_time() - start
    probes = {
        name: probe_all(parts, problem, setting.probe_C, method != "latents")
        for name, parts in found.items()
    }
    return {"probes": probes, "seconds": seconds, "epochs": n_epochs}


def at_size(setting: Setting, **changes: Any) -> Setting:
    """The setting with other sizes."""
    return replace(setting, **changes)


def described(setting: Setting) -> dict[str, Any]:
    """The setting as JSON."""
    return asdict(setting)
