"""Two modalities with known shared and unique latents."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Literal

import numpy as np
from sklearn.utils import check_random_state, check_scalar

from .._names import did_you_mean
from ..modalities import Modalities
from ._mixing import LinearMixing, Mixing, PlanarMixing
from ._scalars import check_real

_SETTINGS: dict[str, dict[str, Any]] = {
    "code": {
        "n_samples": 30_000,
        "n_shared": 10,
        "n_unique": 6,
        "latent_std": 0.5**0.5,
        "n_features": 100,
        "mixing": "linear",
        "n_flows": 32,
        "feature_noise": 0.0,
        "unique_ratio": "dims",
        "label_function": "linear",
        "label_noise": 0.0,
    },
    "paper": {
        "n_samples": 30_000,
        "n_shared": 50,
        "n_unique": 50,
        "latent_std": 1.0,
        "n_features": 100,
        "mixing": "planar_flow",
        "n_flows": 32,
        "feature_noise": 0.1,
        "unique_ratio": 0.5,
        "label_function": "tanh",
        "label_noise": 0.05,
    },
}
_BLOCKS = ("ws", "w1", "w2")
_SEED_LIMIT = 2**31 - 1


def make_factorized(
    n_samples: int | None = None,
    *,
    setting: Literal["paper", "code"] = "paper",
    n_shared: int | None = None,
    n_unique: int | Sequence[int] | None = None,
    latent_std: float | None = None,
    n_features: int | Sequence[int] | None = None,
    mixing: Literal["linear", "planar_flow"] | None = None,
    n_flows: int | None = None,
    feature_noise: float | None = None,
    label_dims: Sequence[int] | None = None,
    unique_ratio: float | Literal["dims"] | None = None,
    label_function: Literal["linear", "tanh"] | None = None,
    label_noise: float | None = None,
    mixing_state: int | np.random.RandomState | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[Modalities, np.ndarray, dict[str, np.ndarray]]:
    r"""Two modalities that share some latents and keep others to themselves.

    Latents :math:`w_s, w_1, w_2` are independent normal; modality :math:`x_i` is a fixed mixing of
    :math:`[w_s, w_i]` plus noise, and a binary label reads as much of the shared and of the unique
    latents as is asked for. A representation can be probed for each of them.

    Parameters
    ----------
    n_samples : int, default=None
        Number of rows. None, here and below, is the value of the `setting` (see Notes).
    setting : {"paper", "code"}, default="paper"
        The values of all arguments that are None: those that the FactorCL paper states, filled up
        where it is silent, or those of the experiment its authors published, a linear and
        noise-free one that a linear probe of the raw features solves.
    n_shared : int, default=None
        Number of shared latents `ws`, at least 1.
    n_unique : int or pair of int, default=None
        Number of unique latents `w1` and `w2`, at least 1.
    latent_std : float, default=None
        Standard deviation of every latent.
    n_features : int or pair of int, default=None
        Number of features of `x1` and `x2`, at least as many as the latents that are mixed.
    mixing : {"linear", "planar_flow"}, default=None
        "linear": times a matrix with entries uniform in [0, 1], not rescaled. "planar_flow":
        `n_flows` invertible planar flows followed by a linear map of full rank, each feature then
        of zero mean and unit variance. Neither loses information.
    n_flows : int, default=None
        Number of planar flows.
    feature_noise : float, default=None
        Standard deviation of the normal noise on a feature, in units of that of the feature.
    label_dims : triple of int, default=None
        Numbers of latents of `ws`, `w1` and `w2` whose mean the label reads, the first of each;
        None reads all.
    unique_ratio : float in [0, 1] or "dims", default=None
        Share of the variance of the label's score that is unique: at 0 it is that of `ws` alone,
        at 1 that of `w1` and `w2` in equal parts. "dims" is the mean over all latents of
        `label_dims`, as in the authors' code, where a block weighs as much as it has dimensions.
    label_function : {"linear", "tanh"}, default=None
        What is done to the standardised mean of each block before they are added up: nothing, or
        their tanh.
    label_noise : float in [0, 0.5], default=None
        Probability that a label is flipped; no classifier has an accuracy above 1 minus this.
    mixing_state : int or RandomState, default=None
        Seed of the mixing alone. Two calls with the same int and different `random_state` draw
        other rows of the same problem: a training and a test set. None takes it from
        `random_state`.
    random_state : int, RandomState or None, default=None
        Seed of everything else.

    Returns
    -------
    X : Modalities
        `x1` and `x2`, each of shape (n_samples, n_features), float32.
    y : ndarray of int, shape (n_samples,)
        Labels 0 and 1, balanced in expectation.
    latents : dict of str to ndarray, shape (n_samples, n_latents)
        "w1", "w2" and "ws".

    Raises
    ------
    ValueError
        If an argument is out of its range, there are fewer features than latents, or the label
        is to read a block without latents.
    TypeError
        If an argument is not a number where one is needed.

    Notes
    -----
    ==================  =============  ==============
    argument            "paper"        "code"
    ==================  =============  ==============
    n_samples           30 000         30 000
    n_shared            50             10
    n_unique            50             6
    latent_std          1              :math:`\sqrt{.5}`
    n_features          100            100
    mixing              "planar_flow"  "linear"
    n_flows             32             (32)
    feature_noise       0.1            0
    label_dims          all            all
    unique_ratio        0.5            "dims"
    label_function      "tanh"         "linear"
    label_noise         0.05           0
    ==================  =============  ==============

    A planar flow is :math:`z + u \tanh(w^\top z + b)`. All :math:`w` lie in a plane and all
    :math:`u` orthogonal to it, so that the condition for invertibility :math:`w^\top u \geq -1`
    holds with 0. The :math:`u` push along the means of both blocks, which the label reads, and
    along random directions; the plane is stretched, so that the bends can be learned.

    What a linear and a nonlinear learner find (24 000 training rows, 6 000 test rows, seed 0; "bent
    code" is ``setting="code", mixing="planar_flow", feature_noise=0.1, label_noise=0.05``):

    =========================================================  =======  =========  ======
    test accuracy, or R2                                       "paper"  bent code  "code"
    =========================================================  =======  =========  ======
    logistic regression on `x1` and `x2`                       .75      .66        .998
    two-layer perceptron on `x1` and `x2`                      .78      .80        .996
    logistic regression on the features with the flows undone  .86      .86        --
    logistic regression on the latents                         .90      .94        .998
    ridge regression of `ws` on `x1`, R2                       .84      .35        1.0
    ridge regression of `w1` on `x1`, R2                       .83      .48        1.0
    =========================================================  =======  =========  ======

    In "paper" a linear probe finds most of the 100 latents of a modality, and the perceptron gains
    little on it and overfits when it is trained for longer: the bent code is the sharper test of a
    nonlinear encoder.

    References
    ----------
    Liang, Deng, Ma, Zou, Morency and Salakhutdinov. "Factorized contrastive learning: going beyond
    multi-view redundancy", NeurIPS 2023, section 4.1.

    Rezende and Mohamed. "Variational inference with normalizing flows", ICML 2015, equation 10
    and appendix A.1.

    Examples
    --------
    >>> from mmcontrast.datasets import make_factorized
    >>> X, y, latents = make_factorized(1000, setting="code", random_state=0)
    >>> X
    Modalities of 1000 rows
      x1  (1000, 100)  float32
      x2  (1000, 100)  float32
    >>> {name: w.shape for name, w in latents.items()}
    {'w1': (1000, 6), 'w2': (1000, 6), 'ws': (1000, 10)}

    A test set of the same problem, whose label is unique to the modalities:

    >>> problem = dict(unique_ratio=1.0, mixing_state=0)
    >>> X_train, y_train, _ = make_factorized(800, **problem, random_state=1)
    >>> X_test, y_test, _ = make_factorized(200, **problem, random_state=2)
    """
    given = {
        "n_samples": n_samples,
        "n_shared": n_shared,
        "n_unique": n_unique,
        "latent_std": latent_std,
        "n_features": n_features,
        "mixing": mixing,
        "n_flows": n_flows,
        "feature_noise": feature_noise,
        "unique_ratio": unique_ratio,
        "label_function": label_function,
        "label_noise": label_noise,
    }
    _check_option(setting, "setting", _SETTINGS)
    params = _SETTINGS[setting] | {name: v for name, v in given.items() if v is not None}
    _check_params(params)
    dims = _block_dims(params)
    reads = _label_dims(label_dims, dims)
    weights = _label_weights(params["unique_ratio"], reads)
    features = _check_features(params["n_features"], dims)

    rng = check_random_state(random_state)
    mixing_seed = rng.randint(_SEED_LIMIT)  # drawn in any case: the rows must not depend on it
    mixing_rng = check_random_state(mixing_seed if mixing_state is None else mixing_state)
    mixings = [_draw_mixing(mixing_rng, params, dims, i, features[i]) for i in range(2)]

    std = params["latent_std"]
    shape = params["n_samples"]
    ws, w1, w2 = (std * rng.standard_normal((shape, dim)) for dim in dims)
    score = _score((ws, w1, w2), reads, weights, std, params["label_function"])
    y = (score >= 0).astype(np.int64) ^ (rng.uniform(size=shape) < params["label_noise"])
    X = Modalities(
        x1=_observe(rng, mixings[0], ws, w1, params["feature_noise"]),
        x2=_observe(rng, mixings[1], ws, w2, params["feature_noise"]),
    )
    return X, y, {"w1": w1, "w2": w2, "ws": ws}


def _draw_mixing(
    rng: np.random.RandomState,
    params: dict[str, Any],
    dims: tuple[int, int, int],
    index: int,
    n_features: int,
) -> Mixing:
    blocks, std = (dims[0], dims[1 + index]), params["latent_std"]
    if params["mixing"] == "linear":
        return LinearMixing.draw(rng, (sum(blocks), n_features), std)
    return PlanarMixing.draw(rng, blocks, n_features, std, params["n_flows"])


def _observe(
    rng: np.random.RandomState, mixing: Mixing, shared: np.ndarray, unique: np.ndarray, noise: float
) -> np.ndarray:
    features = mixing(np.hstack([shared, unique]))
    features += noise * mixing.feature_std * rng.standard_normal(features.shape)
    return features.astype(np.float32)


def _score(
    blocks: Sequence[np.ndarray],
    reads: Sequence[int],
    weights: np.ndarray,
    latent_std: float,
    function: str,
) -> np.ndarray:
    """Weighted sum over the blocks; all terms have the same variance before the weights."""
    total = np.zeros(len(blocks[0]))
    for block, n_read, weight in zip(blocks, reads, weights, strict=True):
        if weight > 0:
            standard = block[:, :n_read].sum(axis=1) / (latent_std * n_read**0.5)
            total += weight * (standard if function == "linear" else np.tanh(standard))
    return total


def _label_weights(unique_ratio: float | str, reads: Sequence[int]) -> np.ndarray:
    if isinstance(unique_ratio, str):
        if not any(reads):
            raise ValueError(
                "label_dims is (0, 0, 0), but the label has to read some latents: expected at "
                "least one number above 0."
            )
        return np.sqrt(reads)
    weights = np.sqrt([1.0 - unique_ratio, unique_ratio / 2.0, unique_ratio / 2.0])
    for name, n_read, weight in zip(_BLOCKS, reads, weights, strict=True):
        if weight > 0 and n_read == 0:
            raise ValueError(
                f"label_dims lets the label read 0 latents of {name!r}, but unique_ratio="
                f"{unique_ratio} needs some of them. Give {name!r} at least 1, or pass "
                "unique_ratio='dims'."
            )
    return weights


def _check_params(params: dict[str, Any]) -> None:
    check_scalar(params["n_samples"], "n_samples", Integral, min_val=1)
    check_scalar(params["n_shared"], "n_shared", Integral, min_val=1)
    check_scalar(params["n_flows"], "n_flows", Integral, min_val=1)
    check_real(params["latent_std"], "latent_std", min_val=0, include_boundaries="neither")
    check_real(params["feature_noise"], "feature_noise", min_val=0)
    check_real(params["label_noise"], "label_noise", min_val=0, max_val=0.5)
    _check_option(params["mixing"], "mixing", ("linear", "planar_flow"))
    _check_option(params["label_function"], "label_function", ("linear", "tanh"))
    if isinstance(params["unique_ratio"], str):
        _check_option(params["unique_ratio"], "unique_ratio", ("dims",), " or a number in [0, 1]")
    else:
        check_real(params["unique_ratio"], "unique_ratio", min_val=0, max_val=1)


def _check_option(value: Any, name: str, options: Any, more: str = "") -> None:
    if value not in options:
        expected = " or ".join(map(repr, options)) + more
        raise ValueError(f"{name} is {value!r}, expected {expected}.{did_you_mean(value, options)}")


def _block_dims(params: dict[str, Any]) -> tuple[int, int, int]:
    unique = _pair(params["n_unique"], "n_unique")
    return (params["n_shared"], *unique)


def _check_features(n_features: Any, dims: tuple[int, int, int]) -> tuple[int, int]:
    features = _pair(n_features, "n_features")
    for name, n, unique in zip(("x1", "x2"), features, dims[1:], strict=True):
        if n < dims[0] + unique:
            raise ValueError(
                f"n_features of {name!r} is {n}, expected at least {dims[0] + unique}: one for "
                f"each of its {dims[0]} shared and {unique} unique latents, or the mixing would "
                "lose information."
            )
    return features


def _label_dims(label_dims: Any, dims: tuple[int, int, int]) -> tuple[int, ...]:
    if label_dims is None:
        return dims
    if not isinstance(label_dims, Sequence | np.ndarray) or len(label_dims) != 3:
        raise ValueError(
            f"label_dims is {label_dims!r}, expected three numbers of latents: (ws, w1, w2)."
        )
    for name, n_read, dim in zip(_BLOCKS, label_dims, dims, strict=True):
        check_scalar(n_read, f"label_dims of {name!r}", Integral, min_val=0, max_val=dim)
    return tuple(label_dims)


def _pair(value: Any, name: str) -> tuple[int, int]:
    first, second = _both(value, name)
    check_scalar(first, name, Integral, min_val=1)
    check_scalar(second, name, Integral, min_val=1)
    return first, second


def _both(value: Any, name: str) -> tuple[Any, Any]:
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str):
        return value, value
    if len(value) != 2:
        raise ValueError(f"{name} is {value!r}, expected one number or two, for each modality.")
    return value[0], value[1]
