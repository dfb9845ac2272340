"""What a bound that was read is worth."""

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .._warnings import warn
from ._crossfit import Outcome
from ._estimate import CeilingWarning, Estimate

# in nats: less is nothing
NOISE = 0.05
# of the ceiling, where the estimate says little more than that the truth is not below it
_NEAR_CEILING = 0.9
# a bound on held-out rows this much lower than on training rows is that of an overfitted network
_LEAST_KEPT = 0.75


def judge(method: str, outcome: Outcome, n_candidates: int | None = None) -> Estimate:
    """Say what a bound is worth, and warn if it is not worth much."""
    bound = outcome.bounds[method]
    if method == "infonce":
        ceiling = float(np.log(n_candidates or outcome.batch_size))
        if not outcome.stopped:
            _warn_of_steps("the lower bound can still rise")
        if bound.value > _NEAR_CEILING * ceiling:
            warn(
                f"The estimate of {bound.value:.2f} nats is close to its ceiling of "
                f"{ceiling:.2f} nats, the log of the {np.exp(ceiling):.0f} candidates; the truth "
                "may be far above. Raise batch_size (and the number of rows, as a fold has to "
                "hold a batch) or n_neighbors, or use method='ksg' in few dimensions.",
                CeilingWarning,
            )
        return Estimate(
            bound.value,
            bound.stderr,
            "lower bound",
            ceiling=ceiling,
            method=method,
            converged=outcome.stopped,
        )
    told = outcome.bounds["infonce"]
    # of NCE-CLUB the bound that its critic maximises
    trained = bound if method == "club" else told
    lost = trained.train - trained.value
    overfitted = lost > (1 - _LEAST_KEPT) * trained.train and lost > NOISE
    if not outcome.stopped:
        _warn_of_steps("the result is not an upper bound yet")
    elif overfitted:
        warn(
            f"The network is overfitted (it finds {trained.train:.2f} nats in training rows, "
            f"{trained.value:.2f} in others), so that {method!r} has not converged and bounds "
            "nothing. Use more rows or fewer columns, or method='infonce', which overfitting only "
            "makes smaller.",
            ConvergenceWarning,
        )
    converged = outcome.stopped and not overfitted
    # a network that found nothing also ends, and cannot say whether there was anything to find
    found_something = told.value > max(NOISE, 2 * told.stderr)
    kind = "upper bound" if converged and found_something else "estimate"
    return Estimate(bound.value, bound.stderr, kind, method=method, converged=converged)


def _warn_of_steps(consequence: str) -> None:
    warn(
        f"Networks were still improving when training ended: {consequence}. Raise max_steps.",
        ConvergenceWarning,
    )


def changed(estimate: Estimate, kind: str, method: str) -> Estimate:
    """Return the same of another kind and method."""
    return Estimate(float(estimate), **(vars(estimate) | {"kind": kind, "method": method}))
