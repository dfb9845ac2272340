"""Haufe patterns: what in the signals a linear read-out of a part goes with."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ._checks import check_groups, make_folds, random_numbers, read_parts
from ._optional import pyplot
from ._ridge import RidgeFolds
from ._targets import read_target


def haufe_pattern(X: Any, scores: Any) -> np.ndarray:
    r"""Patterns of a linear read-out: how signals go with what is read from them.

    The weights of a decoder say how to combine channels, not where a signal is: a channel of pure
    noise gets weight if that noise is in other channels too. The pattern of Haufe et al. [1]_ is
    that of the forward model, :math:`A = \Sigma_X W \Sigma_s^{-1}`. For scores
    :math:`s = W^\top x` it is :math:`\operatorname{Cov}(x, s) \operatorname{Cov}(s)^{-1}`, which
    needs no weights, so that a read-out behind a nonlinear encoder has one as well.

    Parameters
    ----------
    X : array-like of shape (n_rows, ...)
        Signals or features, such as (n_rows, n_channels) or (n_rows, n_channels, n_times).
    scores : array-like of shape (n_rows,) or (n_rows, n_scores)
        What was read from them, as by :func:`linear_readout`.

    Returns
    -------
    ndarray of shape (...) or (n_scores, ...)
        Change of the signals with a unit of each score, in units of `X` per unit of the score.

    Raises
    ------
    ValueError
        If rows do not match, values are not finite, or scores are constant or depend linearly on
        each other, which leaves no unique pattern.

    References
    ----------
    .. [1] S. Haufe, F. Meinecke, K. Görgen, S. Dähne, J.-D. Haynes, B. Blankertz and F. Bießmann.
       "On the interpretation of weight vectors of linear models in multivariate neuroimaging."
       NeuroImage 87 (2014), equations 6 and 7.

    Examples
    --------
    A source in the first of two channels, and noise in both:

    >>> import numpy as np
    >>> from mmcontrast.inspection import haufe_pattern
    >>> rng = np.random.default_rng(0)
    >>> source, noise = rng.normal(size=(2, 10000))
    >>> X = np.stack([source + noise, noise], axis=1)
    >>> weights = np.array([1.0, -1.0])
    >>> print(np.abs(haufe_pattern(X, X @ weights)).round(1))
    [1. 0.]
    """
    X, scores = np.asarray(X, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if X.ndim < 2 or scores.ndim not in (1, 2) or len(X) != len(scores):
        raise ValueError(
            f"X has shape {X.shape} and scores {scores.shape}; expected (n_rows, ...) and "
            "(n_rows,) or (n_rows, n_scores) with the same rows."
        )
    if not (np.isfinite(X).all() and np.isfinite(scores).all()):
        raise ValueError("X or scores have NaN or infinite values; leave these rows out of both.")
    columns = scores.reshape(len(scores), -1)
    largest = np.abs(columns).max(axis=0)
    columns = columns - columns.mean(axis=0)
    # what rounding leaves of a constant is no variation
    columns[:, columns.std(axis=0) <= 1e-12 * largest] = 0.0
    rank = np.linalg.matrix_rank(columns)
    if rank < columns.shape[1]:
        raise ValueError(
            f"The {columns.shape[1]} scores have rank {rank}: some are constant or combinations of "
            "others, so that their patterns are not unique. Leave these out."
        )
    flat = X.reshape(len(X), -1)
    pattern = np.linalg.lstsq(columns, flat - flat.mean(axis=0), rcond=None)[0]
    return pattern.reshape(*scores.shape[1:], *X.shape[1:])


def linear_readout(
    Z: Any,
    factor: Any,
    *,
    groups: Any = None,
    cv: Any = 5,
    random_state: int | np.random.RandomState | None = None,
) -> np.ndarray:
    """Ridge regression of a factor on a part, each row read by a probe that has not seen it.

    Parameters
    ----------
    Z : array-like of shape (n_rows, n_columns)
        A part.
    factor : array-like of shape (n_rows,)
        What to read: numbers, or two classes, of which the second in sorted order counts as 1.
    groups : array-like of shape (n_rows,), default=None
        Subjects or sessions, which are kept apart.
    cv : int or splitter, default=5
        Folds, as in :func:`probe_parts`.
    random_state : int, RandomState or None, default=None
        Fixes the folds.

    Returns
    -------
    ndarray of shape (n_rows,)
        Predictions, in units of the factor's standard deviation around 0; of two classes, the
        regressed indicator.

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast.inspection import linear_readout
    >>> rng = np.random.default_rng(0)
    >>> Z = rng.normal(size=(200, 4))
    >>> read = linear_readout(Z, Z[:, 0] + 0.1 * rng.normal(size=200), random_state=0)
    >>> bool(np.corrcoef(read, Z[:, 0])[0, 1] > 0.99)
    True
    """
    Z = read_parts({"Z": Z})["Z"]
    target = read_target("factor", factor, len(Z))
    columns = target.columns
    if columns.shape[1] > 1:
        raise ValueError(
            f"factor has {target.n_classes or columns.shape[1]} classes or columns; expected one "
            "column of numbers, or two classes."
        )
    codes = check_groups(groups, len(Z))
    folds = make_folds(cv, len(Z), codes, random_numbers(random_state))
    return RidgeFolds(Z, folds).predict(columns[:, None], lambda found, _: found, False, 1)[:, 0, 0]


def plot_part_topography(
    Z: Any,
    signals: Any,
    info: Any,
    *,
    factor: Any = None,
    groups: Any = None,
    cv: Any = 5,
    axes: Any = None,
    random_state: int | np.random.RandomState | None = None,
    **topomap: Any,
) -> Any:
    """Draw where on the head the signals go with what is read from a part.

    The maps are Haufe patterns, in standard deviations of each signal per standard deviation of
    the read-out.

    Parameters
    ----------
    Z : array-like of shape (n_rows, n_columns)
        A part.
    signals : mapping of str to array of shape (n_rows, n_channels), or such an array
        One map each: band powers by band, mean amplitudes, HbO peaks.
    info : mne.Info
        Channels of the signals, in their order, with positions.
    factor : array-like of shape (n_rows,), default=None
        The read-out is its out-of-fold ridge prediction. None reads the part's first principal
        component, whose sign means nothing.
    groups : array-like of shape (n_rows,), default=None
        Subjects or sessions, kept apart in the prediction.
    cv : int or splitter, default=5
        Folds of the prediction.
    axes : matplotlib axes or sequence of them, default=None
        Where to draw, one per map; None makes a figure.
    random_state : int, RandomState or None, default=None
        Fixes the folds.
    **topomap : object
        Further arguments of :func:`mne.viz.plot_topomap`.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ImportError
        If matplotlib is missing.
    ValueError
        If rows or channels do not match, or there is not one axes per map.

    Examples
    --------
    >>> import mne
    >>> import numpy as np
    >>> from mmcontrast.inspection import plot_part_topography
    >>> rng = np.random.default_rng(0)
    >>> names = ["Fz", "Cz", "Pz", "Oz", "C3", "C4", "P3", "P4"]
    >>> info = mne.create_info(names, 100.0, "eeg").set_montage("biosemi64")
    >>> alpha = rng.normal(size=(60, 8))
    >>> figure = plot_part_topography(alpha[:, [3]], {"alpha": alpha}, info, contours=0)
    >>> figure.axes[0].get_title()
    'alpha'
    """
    maps = topographies(Z, signals, factor, groups, cv, random_state)
    n_channels = next(iter(maps.values())).shape[0]
    if n_channels != len(info["ch_names"]):
        raise ValueError(
            f"signals have {n_channels} channels, but info has {len(info['ch_names'])}; pick the "
            "same channels in the same order (mne.pick_info), for fNIRS those of HbO or of HbR."
        )
    plt = pyplot("plot_part_topography")
    import mne

    if axes is None:
        _, axes = plt.subplots(1, len(maps), figsize=(2.2 * len(maps), 2.6), layout="constrained")
    axes = np.atleast_1d(np.asarray(axes, dtype=object)).ravel()
    if len(axes) != len(maps):
        raise ValueError(f"There are {len(maps)} maps and {len(axes)} axes; expected one per map.")
    largest = max(float(np.abs(found).max()) for found in maps.values())
    options = {"vlim": (-largest, largest), "cmap": "RdBu_r", **topomap}
    for ax, (name, found) in zip(axes, maps.items(), strict=True):
        image, _ = mne.viz.plot_topomap(found, info, axes=ax, show=False, **options)
        ax.set_title(name)
    figure = axes[0].figure
    bar = figure.colorbar(image, ax=list(axes), shrink=0.7)
    bar.set_label("SD per SD of the read-out")
    return figure


def topographies(
    Z: Any, signals: Any, factor: Any, groups: Any, cv: Any, random_state: Any
) -> dict[str, np.ndarray]:
    """Standardised Haufe pattern (n_channels,) of each signal."""
    Z = read_parts({"Z": Z})["Z"]
    named: Mapping[str, Any] = signals if isinstance(signals, Mapping) else {"": signals}
    if factor is None:
        centred = Z - Z.mean(axis=0)
        read = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
    else:
        read = linear_readout(Z, factor, groups=groups, cv=cv, random_state=random_state)
    _refuse_constant(read)
    read = (read - read.mean()) / read.std()
    maps = {}
    for name, values in named.items():
        values = np.asarray(values, dtype=np.float64)
        if values.ndim != 2 or len(values) != len(read):
            raise ValueError(
                f"Signal {name!r} has shape {values.shape}; expected ({len(read)}, n_channels)."
            )
        spread = values.std(axis=0)
        maps[str(name)] = haufe_pattern(values, read) / np.where(spread > 0, spread, 1)
    _refuse_unequal({name: len(found) for name, found in maps.items()})
    return maps


def _refuse_constant(read: np.ndarray) -> None:
    if read.std() <= 1e-12:
        raise ValueError("The read-out of the part is constant: the part tells nothing.")


def _refuse_unequal(sizes: Mapping[str, int]) -> None:
    kinds: Sequence[int] = sorted(set(sizes.values()))
    if len(kinds) > 1:
        raise ValueError(f"Signals have different numbers of channels: {dict(sizes)}.")
