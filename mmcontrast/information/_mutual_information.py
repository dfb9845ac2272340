"""Mutual information and conditional mutual information of arrays."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ._checks import check_choice, check_layers, check_number, check_rows, check_variables
from ._estimate import Estimate, check_unit
from ._fit import CrossFit, beside
from ._gaussian import gaussian
from ._neighbors import ksg
from ._networks import conditional_network, critic_network, negatives_network
from ._verdict import changed, judge

METHODS = ("infonce", "club", "nce_club", "ksg", "gaussian")
CONDITIONAL_METHODS = (
    "infonce",
    "nce_club",
    "ksg",
    "gaussian",
    "infonce_joint",
    "nce_club_joint",
)
NEGATIVES = ("residuals", "neighbors")


def mutual_information(
    X: Any,
    Y: Any,
    *,
    method: str = "infonce",
    unit: str = "nats",
    critic: str | Callable[[int, int], nn.Module] = "separable",
    hidden_dims: Sequence[int] = (256,),
    batch_size: int = 256,
    max_steps: int = 5000,
    learning_rate: float = 1e-3,
    n_folds: int = 5,
    n_neighbors: int = 3,
    device: str | torch.device = "auto",
    random_state: int | np.random.RandomState | None = None,
) -> Estimate:
    r"""Estimate the mutual information :math:`I(X; Y)` from paired rows.

    Parameters
    ----------
    X, Y : array-like of shape (n_rows,) or (n_rows, n_features)
        Row i of both belongs to the same observation. Columns are standardised.
    method : {"infonce", "club", "nce_club", "ksg", "gaussian"}, default="infonce"
        "infonce" [1]_
            Lower bound from a critic that tells pairs that belong together from others. Never
            above the log of the batch size.
        "nce_club" [2]_
            Upper bound from the same critic, once it has converged and found something; else an
            estimate. Not tight: 1.6 to 2.7 times the truth, and far more for few dimensions with
            little noise.
        "club" [3]_
            From a normal distribution q(y|x), whose mean and diagonal variance are a network of
            x; an upper bound once it has converged and found something, if q is closer to the
            joint distribution than the independent one is.
        "ksg" [4]_
            From distances to nearest neighbours. The best choice for few columns (up to about
            five in all) of continuous values; too small for many.
        "gaussian"
            Closed form for jointly normal variables, without bias for any number of rows. Sees
            nothing but linear dependence.
    unit : {"nats", "bits"}, default="nats"
        Unit of the result.
    critic : {"separable", "bilinear", "concat"} or callable, default="separable"
        See :func:`mmcontrast.nn.build_critic`. "concat" is many times slower.
    hidden_dims : sequence of int, default=(256,)
        Hidden layers of the critic, or of the network of "club".
    batch_size : int, default=256
        Pairs that are compared with each other, in training and in evaluation; fewer where a fold
        has fewer rows.
    max_steps : int, default=5000
        Largest number of training steps per fold. Training ends before when the bound on
        validation rows, a part of the training rows, no longer rises.
    learning_rate : float, default=1e-3
        First learning rate of AdamW; in the end it is a tenth.
    n_folds : int, default=5
        Networks are trained without each fold in turn and evaluated on it.
    n_neighbors : int, default=3
        Neighbours of "ksg".
    device : str or torch.device, default="auto"
        Where networks are trained; "auto" is CUDA if it is there, else the CPU.
    random_state : int, RandomState or None, default=None
        Fixes folds, weights and order.

    Returns
    -------
    Estimate
        The information, usable as a float. "club" and "nce_club" are of the kind "upper bound"
        only if their network has converged and its InfoNCE on held-out rows is above 0 by more
        than two standard errors, and above .05 nats; a network that found less cannot say whether
        there is nothing or it missed it. The standard error is that of a mean over all rows:
        of held-out rows for networks, from the influence of every row, both by its own value and
        as a negative of others; it does not include how networks differ between trainings. With
        critics far from optimal (few rows, many columns, much information) it was found too
        small: .53 to .68 of the spread of estimates over draws of the data. For "gaussian" it
        comes from the influence of rows on the covariance, for "ksg" from the spread of the rows'
        values.

    Warns
    -----
    CeilingWarning
        If "infonce" comes near the log of the batch size.
    ConvergenceWarning
        If networks were still improving after `max_steps`; for "club" and "nce_club" also if they
        are overfitted, so that the result bounds nothing.
    UserWarning
        If for "ksg" more than a twentieth of the rows of a variable are equal to `n_neighbors`
        others or more, as those of rounded values are: the result is then biased.

    Raises
    ------
    TypeError, ValueError
        If a variable cannot be read, has missing values, a constant column or another number of
        rows, if there are too few rows, or a parameter is unknown.

    See Also
    --------
    conditional_mutual_information : Given a third variable.

    References
    ----------
    .. [1] van den Oord, Li and Vinyals. "Representation learning with contrastive predictive
       coding", 2018.
    .. [2] Liang, Deng, Ma, Zou, Morency and Salakhutdinov. "Factorized contrastive learning: going
       beyond multi-view redundancy", NeurIPS 2023, equations 10 and 11.
    .. [3] Cheng, Hao, Dai, Liu, Gan and Carin. "CLUB: a contrastive log-ratio upper bound of
       mutual information", ICML 2020.
    .. [4] Kraskov, Stögbauer and Grassberger. "Estimating mutual information", Physical Review E
       69, 2004, equation 8.

    Examples
    --------
    Two normal variables of correlation .9 share 0.830 nats.

    >>> import numpy as np
    >>> from mmcontrast.information import mutual_information
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=1000)
    >>> y = 0.9 * x + np.sqrt(1 - 0.9**2) * rng.normal(size=1000)
    >>> mutual_information(x, y, method="gaussian")
    Estimate(0.818 ± 0.030 nats, estimate)
    >>> mutual_information(x, y, method="ksg", unit="bits").unit
    'bits'
    >>> mi = mutual_information(x[:400], y[:400], n_folds=2, random_state=0)
    >>> mi.kind, bool(mi < 0.83 + 3 * mi.stderr)
    ('lower bound', True)
    """
    check_choice("method", method, METHODS)
    check_unit(unit)
    x, y = check_variables(X=X, Y=Y)
    if method == "gaussian":
        return gaussian(x, y).to(unit)
    if method == "ksg":
        check_number("n_neighbors", n_neighbors, 1)
        return ksg(x, y, n_neighbors=n_neighbors).to(unit)
    hidden_dims = check_layers("hidden_dims", hidden_dims)
    fit = CrossFit.checked(
        len(x), batch_size, max_steps, learning_rate, n_folds, device, random_state
    )
    if method == "club":
        network = conditional_network(hidden_dims)
    else:
        network = critic_network(critic, hidden_dims)
    return judge(method, fit.run(network, x, y)).to(unit)


def conditional_mutual_information(
    X: Any,
    Y: Any,
    Z: Any,
    *,
    method: str = "infonce",
    negatives: str = "residuals",
    unit: str = "nats",
    critic: str | Callable[[int, int], nn.Module] = "separable",
    hidden_dims: Sequence[int] = (256,),
    batch_size: int = 256,
    max_steps: int = 5000,
    learning_rate: float = 1e-3,
    n_folds: int = 5,
    n_neighbors: int | None = None,
    device: str | torch.device = "auto",
    random_state: int | np.random.RandomState | None = None,
) -> Estimate:
    r"""Estimate the conditional mutual information :math:`I(X; Y | Z)` from rows of all three.

    A contrastive bound on it compares a pair with others *of the same z*: its negatives are drawn
    from p(y|z). They can be had in two ways, see `negatives`. Methods whose name ends in "_joint"
    instead take negatives from p(y) and let the critic see z, as the paper's implementation [1]_
    does: this bounds :math:`I(X, Z; Y) = I(X; Y | Z) + I(Z; Y)`, which is too much by what the
    condition itself tells of y.

    Parameters
    ----------
    X, Y, Z : array-like of shape (n_rows,) or (n_rows, n_features)
        Row i of all belongs to the same observation. Columns are standardised.
    method : str, default="infonce"
        "infonce" [1]_
            Lower bound, never above the log of the number of candidates.
        "nce_club" [1]_
            Upper bound from the same critic, once it has converged and found something, as in
            :func:`mutual_information`. Not tight.
        "ksg" [2]_
            From distances to nearest neighbours.
        "gaussian"
            Closed form for jointly normal variables.
        "infonce_joint", "nce_club_joint"
            With negatives from p(y): bounds on :math:`I(X, Z; Y)`.
    negatives : {"residuals", "neighbors"}, default="residuals"
        "residuals"
            Fit mean and spread of y given z (ridge regression and a network, cross-fitted), and
            give a row the residuals of other rows. Needs residuals that do not depend on z, which
            is checked: what they still tell of z is estimated on one fold, and if it is not 0
            a warning says so, and InfoNCE is no lower bound but an estimate.
        "neighbors"
            Take y of rows with a similar z. Assumes nothing about the distribution, but a similar
            z is not the same: what y tells of the difference is counted as well, so that the
            result is never called a bound. The excess is small in one column of z and large from
            two on, where a truth of 0 gave 1 nat.
    unit : {"nats", "bits"}, default="nats"
        Unit of the result.
    critic : {"separable", "bilinear", "concat"} or callable, default="separable"
        Critic of x with z, and y. With "neighbors", the Module that a callable makes needs a
        method ``pairs(x, y)`` beside ``forward``, which scores every row of x (n, x_dim) with
        candidates of its own, y (n, k, y_dim), and returns (n, k).
    hidden_dims : sequence of int, default=(256,)
        Hidden layers of the critic.
    batch_size : int, default=256
        Pairs that are compared with each other, in training and in evaluation. With "neighbors",
        four times the rows of a training step.
    max_steps : int, default=5000
        Largest number of training steps per fold.
    learning_rate : float, default=1e-3
        First learning rate of AdamW; in the end it is a tenth.
    n_folds : int, default=5
        Networks are trained without each fold in turn and evaluated on it.
    n_neighbors : int or None, default=None
        Neighbours of "ksg" (default 3), or those that are negatives (default 15).
    device : str or torch.device, default="auto"
        Where networks are trained; "auto" is CUDA if it is there, else the CPU.
    random_state : int, RandomState or None, default=None
        Fixes folds, weights and order.

    Returns
    -------
    Estimate
        As of :func:`mutual_information`. The kind of "infonce_joint" is "estimate", for it is no
        bound on the conditional information, and so is that of anything with "neighbors".

    Warns
    -----
    CeilingWarning, ConvergenceWarning
        As :func:`mutual_information`.
    UserWarning
        If residuals depend on z, or values repeat for "ksg", as :func:`mutual_information`.

    Raises
    ------
    TypeError, ValueError
        As :func:`mutual_information`, and if a critic for "neighbors" has no method ``pairs``.

    References
    ----------
    .. [1] Liang, Deng, Ma, Zou, Morency and Salakhutdinov. "Factorized contrastive learning: going
       beyond multi-view redundancy", NeurIPS 2023, equations 13 and 14, appendix D.
    .. [2] Frenzel and Pompe. "Partial mutual information for coupling analysis of multivariate
       time series", Physical Review Letters 99, 2007.

    Examples
    --------
    What x and y share is all in z, so that nothing is left once z is known.

    >>> import numpy as np
    >>> from mmcontrast.information import conditional_mutual_information, mutual_information
    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=(500, 1))
    >>> x, y = z + rng.normal(size=(500, 1)), z + rng.normal(size=(500, 1))
    >>> print(f"{mutual_information(x, y, method='gaussian'):.1f}")
    0.2
    >>> print(f"{abs(conditional_mutual_information(x, y, z, method='gaussian')):.1f}")
    0.0
    """
    check_choice("method", method, CONDITIONAL_METHODS)
    check_choice("negatives", negatives, NEGATIVES)
    check_unit(unit)
    if n_neighbors is None:
        n_neighbors = 3 if method == "ksg" else 15
    check_number("n_neighbors", n_neighbors, 1)
    x, y, z = check_variables(X=X, Y=Y, Z=Z)
    if method == "gaussian":
        return gaussian(x, y, z).to(unit)
    if method == "ksg":
        return ksg(x, y, z, n_neighbors).to(unit)
    hidden_dims = check_layers("hidden_dims", hidden_dims)
    fit = CrossFit.checked(
        len(x), batch_size, max_steps, learning_rate, n_folds, device, random_state
    )
    network = critic_network(critic, hidden_dims)
    bound = method.removesuffix("_joint")
    if method != bound:
        found = judge(bound, fit.run(network, beside(x, z), y))
        kind = found.kind if bound == "nce_club" else "estimate"
        return changed(found, kind, method).to(unit)
    if negatives == "neighbors":
        check_rows(len(x), fit.n_folds * (n_neighbors + 1), "each fold holds its own neighbours")
        outcome = fit.run_neighbors(negatives_network(critic, hidden_dims), x, y, z, n_neighbors)
        # these are not quite draws from p(y | z)
        return changed(judge(bound, outcome, n_neighbors + 1), "estimate", bound).to(unit)
    left = fit.residuals(y, z, stream=1)
    found = judge(bound, fit.run_residuals(network, x, left, z))
    if fit.depends(left[0], z) and bound == "infonce":
        found = changed(found, "estimate", bound)
    return found.to(unit)
