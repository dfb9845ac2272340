"""Normal variables whose information is known."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from scipy.integrate import quad
from scipy.special import ndtr
from sklearn.utils import Bunch, check_random_state, check_scalar

from .._names import did_you_mean
from ._scalars import check_real

_CONDITIONS = ("normal", "uniform")


def make_correlated_gaussian(
    n_samples: int = 1000,
    n_dims: int = 1,
    *,
    information: float | None = None,
    correlation: float | None = None,
    noise_std: float | None = None,
    n_conditions: int = 0,
    condition_std: float = 1.0,
    condition: str = "normal",
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    r"""Draw variables X and Y, and a condition Z, whose information is known.

    Each dimension is :math:`y_k = \rho\,(x_k + z_k) + \sqrt{1 - \rho^2}\,\varepsilon_k` with
    standard normal :math:`x_k` and :math:`\varepsilon_k`. Without conditions :math:`z_k = 0` and
    :math:`\rho` is the correlation of :math:`x_k` and :math:`y_k`. Information is in nats.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of rows.
    n_dims : int, default=1
        Number of dimensions of X and of Y.
    information : float, default=None
        Over all dimensions, in nats: I(X; Y) without conditions, and I(X; Y | Z) with conditions,
        where I(X; Y) is smaller. Exactly one of this and the next two is to be given.
    correlation : float in (-1, 1), default=None
        The correlation :math:`\rho` of each pair of dimensions, given Z.
    noise_std : float, default=None
        Standard deviation of the noise in units of x: :math:`y \propto x + z + \sigma\varepsilon`.
    n_conditions : int, default=0
        Number of dimensions of Z. The first `n_dims` of them act on Y, one on each dimension; the
        others do nothing.
    condition_std : float, default=1
        Standard deviation of each dimension of Z.
    condition : {"normal", "uniform"}, default="normal"
        Distribution of Z.
    random_state : int, RandomState or None, default=None
        Seed of the draw.

    Returns
    -------
    data : Bunch
        With the attributes

        X, Y : ndarray of shape (n_samples, n_dims)
            The variables.
        Z : ndarray of shape (n_samples, n_conditions) or None
            The condition, None where there is none.
        mutual_information : float
            I(X; Y).
        conditional_mutual_information : float
            I(X; Y | Z).
        joint_mutual_information : float
            I(X, Z; Y). It is what an estimate of the conditional information converges to whose
            negatives are drawn from p(y) and not from p(y | z).

        Without conditions all three are the same.

    Raises
    ------
    ValueError
        If an argument is out of its range, or not exactly one of `information`, `correlation`
        and `noise_std` is given.
    TypeError
        If an argument is not a number where one is needed.

    Notes
    -----
    With :math:`s` the standard deviation of Z, every dimension that Z acts on has

    .. math:: I(X; Y | Z) = -\tfrac12 \log(1 - \rho^2) = \tfrac12 \log(1 + 1 / \sigma^2)

    .. math:: I(X, Z; Y) = \tfrac12 \log \frac{1 + \rho^2 s^2}{1 - \rho^2}

    .. math:: I(X; Y) = \tfrac12 \log \frac{1 + \rho^2 s^2}{1 - \rho^2 + \rho^2 s^2}

    when Z is normal; when it is uniform, the last two are found by integration.

    The common test beds are ``information=2, n_dims=20`` (to 10 nats in 20 to 200 dimensions) for
    the mutual information, and for the conditional one
    ``noise_std=0.1, n_conditions=20, condition="uniform", condition_std=12**-0.5``, whose truth is
    2.308 nats. There I(X, Z; Y) = 2.347, so that it cannot tell which of the two an estimate is;
    ``condition="normal", condition_std=3`` can: it has the same truth and I(X, Z; Y) = 3.454.

    References
    ----------
    Liang et al. "Factorized contrastive learning: going beyond multi-view redundancy", NeurIPS
    2023, appendix D, Figure 3 and Tables 9 and 10.

    Mukherjee, Asnani and Kannan. "CCMI: classifier based conditional mutual information
    estimation", UAI 2019.

    Examples
    --------
    >>> from mmcontrast.datasets import make_correlated_gaussian
    >>> data = make_correlated_gaussian(500, 20, information=4.0, random_state=0)
    >>> data.X.shape, data.Y.shape, round(data.mutual_information, 3)
    ((500, 20), (500, 20), 4.0)

    A strong condition:

    >>> data = make_correlated_gaussian(
    ...     500, noise_std=0.1, n_conditions=1, condition_std=3.0, random_state=0
    ... )
    >>> round(data.conditional_mutual_information, 3), round(data.joint_mutual_information, 3)
    (2.308, 3.454)
    """
    check_scalar(n_samples, "n_samples", Integral, min_val=1)
    check_scalar(n_dims, "n_dims", Integral, min_val=1)
    check_scalar(n_conditions, "n_conditions", Integral, min_val=0)
    check_real(condition_std, "condition_std", min_val=0)
    if condition not in _CONDITIONS:
        raise ValueError(
            f"condition is {condition!r}, expected 'normal' or 'uniform'."
            f"{did_you_mean(condition, _CONDITIONS)}"
        )
    slope, noise_var = _link(n_dims, information, correlation, noise_std)

    rng = check_random_state(random_state)
    X = rng.standard_normal((n_samples, n_dims))
    noise = rng.standard_normal((n_samples, n_dims))
    Z = condition_std * _standard(rng, condition, (n_samples, n_conditions))
    n_acting = min(n_dims, n_conditions)
    Y = slope * X + noise_var**0.5 * noise
    Y[:, :n_acting] += slope * Z[:, :n_acting]

    conditional = -0.5 * np.log(noise_var)
    marginal, joint = conditional, conditional
    if n_acting and condition_std > 0 and slope != 0:
        marginal, joint = _acted_on(abs(slope) * condition_std, noise_var, condition)
    n_free = n_dims - n_acting
    return Bunch(
        X=X,
        Y=Y,
        Z=Z if n_conditions else None,
        mutual_information=float(n_acting * marginal + n_free * conditional),
        conditional_mutual_information=float(n_dims * conditional),
        joint_mutual_information=float(n_acting * joint + n_free * conditional),
    )


def _link(
    n_dims: int,
    information: float | None,
    correlation: float | None,
    noise_std: float | None,
) -> tuple[float, float]:
    """Correlation, and one minus its square, which is exact where the correlation rounds to 1."""
    options = {
        "information": information,
        "correlation": correlation,
        "noise_std": noise_std,
    }
    given = [name for name, value in options.items() if value is not None]
    if len(given) != 1:
        raise ValueError(
            "Expected exactly one of information, correlation and noise_std, got "
            f"{' and '.join(given) or 'none of them'}."
        )
    if information is not None:
        # beyond 300 nats per dimension the noise is no longer a number above 0
        check_real(information, given[0], min_val=0, max_val=300 * n_dims)
        exponent = -2.0 * information / n_dims
        return float(np.sqrt(-np.expm1(exponent))), float(np.exp(exponent))
    if correlation is not None:
        check_real(correlation, given[0], min_val=-1, max_val=1, include_boundaries="neither")
        return float(correlation), float((1.0 - correlation) * (1.0 + correlation))
    check_real(noise_std, given[0], min_val=0, include_boundaries="neither")
    ratio = float(noise_std) ** 2  # type: ignore[arg-type]
    return (1.0 + ratio) ** -0.5, ratio / (1.0 + ratio)


def _standard(rng: np.random.RandomState, name: str, shape: tuple[int, int]) -> np.ndarray:
    if name == "normal":
        return rng.standard_normal(shape)
    return rng.uniform(-(3.0**0.5), 3.0**0.5, shape)


def _acted_on(spread: float, noise_var: float, condition: str) -> tuple[float, float]:
    """I(X; Y) and I(X, Z; Y) of a dimension, by h(Y) - h(Y | X) and h(Y) - h(Y | X, Z)."""
    noise_std = noise_var**0.5
    if condition == "normal":
        total, given_x = (_normal_entropy(v + spread**2) for v in (1.0, noise_var))
    else:
        total, given_x = (_smoothed_uniform_entropy(s, spread) for s in (1.0, noise_std))
    return total - given_x, total - _normal_entropy(noise_var)


def _normal_entropy(variance: float) -> float:
    return 0.5 * float(np.log(2.0 * np.pi * np.e * variance))


def _smoothed_uniform_entropy(normal_std: float, uniform_std: float) -> float:
    """Entropy of the sum of a normal and a uniform variable, in nats."""
    if uniform_std < 0.01 * normal_std:  # as normal as numbers can tell, and the tails would cancel
        return _normal_entropy(normal_std**2 + uniform_std**2)
    half = 3.0**0.5 * uniform_std

    def integrand(y: float) -> float:
        # by the upper tails, which keep their digits where both are near 0
        upper = ndtr((half - y) / normal_std) - ndtr(-(y + half) / normal_std)
        density = upper / (2.0 * half)
        return -density * np.log(density) if density > 0 else 0.0

    edges = [max(0.0, half - 8 * normal_std), half, half + 8 * normal_std, half + 40 * normal_std]
    pieces = zip([0.0, *edges], edges, strict=False)
    return 2.0 * sum(quad(integrand, low, high, limit=200)[0] for low, high in pieces)
