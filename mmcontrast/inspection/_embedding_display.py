"""Parts in two dimensions, coloured by condition."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.manifold import TSNE
from sklearn.preprocessing import StandardScaler

from ._checks import check_count, random_numbers, read_parts
from ._optional import pyplot
from ._targets import looks_like_classes, read_target


class PartEmbeddingDisplay:
    """Each part by t-SNE in two dimensions, trials coloured by condition.

    Make it with :meth:`from_estimator` or :meth:`from_parts`. Look at it for groups of similar
    trials, not for distances or sizes of groups, which t-SNE does not keep; :func:`probe_parts`
    measures what is in a part.

    Parameters
    ----------
    embeddings : mapping of str to ndarray of shape (n_rows, 2)
        Coordinates of each part.
    condition : ndarray of shape (n_rows,)
        Colour of each row: classes or numbers.
    condition_name : str, default="condition"
        Title of the legend or colour bar.

    Attributes
    ----------
    ax_ : ndarray of matplotlib axes, shape (n_parts,)
        Where they are drawn.
    figure_ : matplotlib figure
        Their figure.

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast.inspection import PartEmbeddingDisplay
    >>> rng = np.random.default_rng(0)
    >>> state = np.repeat(["rest", "task"], 30)
    >>> parts = {"U_eeg": rng.normal(size=(60, 4)) + 3 * (state == "task")[:, None],
    ...          "U_fnirs": rng.normal(size=(60, 4))}
    >>> display = PartEmbeddingDisplay.from_parts(parts, state, random_state=0)
    >>> [ax.get_title() for ax in display.ax_]
    ['U_eeg', 'U_fnirs']
    """

    def __init__(
        self,
        embeddings: Mapping[str, np.ndarray],
        condition: np.ndarray,
        condition_name: str = "condition",
    ) -> None:
        self.embeddings = embeddings
        self.condition = condition
        self.condition_name = condition_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        condition: Any,
        *,
        parts: Sequence[str] | None = None,
        condition_name: str = "condition",
        max_rows: int = 1000,
        perplexity: float = 30.0,
        random_state: int | np.random.RandomState | None = None,
        ax: Any = None,
        **scatter: Any,
    ) -> "PartEmbeddingDisplay":
        """Embed the parts of a fitted estimator and draw them.

        Parameters
        ----------
        estimator : estimator
            Fitted, with `transform` and `split`.
        X : Modalities or array
            Rows.
        condition : array-like of shape (n_rows,)
            Colour of each row.
        parts : sequence of str, default=None
            Which to draw; None is all.
        condition_name : str, default="condition"
            Title of the legend or colour bar.
        max_rows : int, default=1000
            Rows that are drawn at random if there are more.
        perplexity : float, default=30.0
            See :class:`sklearn.manifold.TSNE`; a third of the rows at most.
        random_state : int, RandomState or None, default=None
            Fixes the rows and the embedding.
        ax : sequence of matplotlib axes, default=None
            Where to draw, one per part; None makes a figure.
        **scatter : object
            Arguments of :meth:`matplotlib.axes.Axes.scatter`.

        Returns
        -------
        PartEmbeddingDisplay
        """
        return cls.from_parts(
            read_parts(estimator, X, _only(parts)),
            condition,
            parts=parts,
            condition_name=condition_name,
            max_rows=max_rows,
            perplexity=perplexity,
            random_state=random_state,
            ax=ax,
            **scatter,
        )

    @classmethod
    def from_parts(
        cls,
        Z_parts: Mapping[str, Any],
        condition: Any,
        *,
        parts: Sequence[str] | None = None,
        condition_name: str = "condition",
        max_rows: int = 1000,
        perplexity: float = 30.0,
        random_state: int | np.random.RandomState | None = None,
        ax: Any = None,
        **scatter: Any,
    ) -> "PartEmbeddingDisplay":
        """Embed parts that are there already and draw them.

        Parameters
        ----------
        Z_parts : mapping of str to array of shape (n_rows, n_columns)
            The parts.
        condition : array-like of shape (n_rows,)
            Colour of each row.
        parts : sequence of str, default=None
            Which to draw; None is all.
        condition_name : str, default="condition"
            Title of the legend or colour bar.
        max_rows : int, default=1000
            Rows that are drawn at random if there are more.
        perplexity : float, default=30.0
            See :class:`sklearn.manifold.TSNE`; a third of the rows at most.
        random_state : int, RandomState or None, default=None
            Fixes the rows and the embedding.
        ax : sequence of matplotlib axes, default=None
            Where to draw, one per part; None makes a figure.
        **scatter : object
            Arguments of :meth:`matplotlib.axes.Axes.scatter`.

        Returns
        -------
        PartEmbeddingDisplay
        """
        arrays = read_parts(Z_parts, only=_only(parts))
        n_rows = len(next(iter(arrays.values())))
        read_target(condition_name, condition, n_rows)
        rng = random_numbers(random_state)
        check_count("max_rows", max_rows, 4)
        rows = np.sort(rng.permutation(n_rows)[:max_rows])
        tsne = TSNE(
            perplexity=min(perplexity, max(1.0, len(rows) / 3)),
            init="pca",
            random_state=rng.randint(2**31 - 1),
        )
        embeddings = {name: tsne.fit_transform(_planar(Z[rows])) for name, Z in arrays.items()}
        display = cls(embeddings, np.asarray(condition)[rows], condition_name)
        return display.plot(ax=ax, **scatter)

    def plot(self, *, ax: Any = None, **scatter: Any) -> "PartEmbeddingDisplay":
        """Draw the parts side by side.

        Parameters
        ----------
        ax : sequence of matplotlib axes, default=None
            Where to draw, one per part; None makes a figure.
        **scatter : object
            Arguments of :meth:`matplotlib.axes.Axes.scatter`.

        Returns
        -------
        PartEmbeddingDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        ValueError
            If there is not one axes per part.
        """
        plt = pyplot("PartEmbeddingDisplay.plot")
        n_parts = len(self.embeddings)
        if ax is None:
            ax = plt.subplots(1, n_parts, figsize=(2.4 * n_parts + 1, 2.7), layout="constrained")[1]
        axes = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
        if len(axes) != n_parts:
            raise ValueError(f"There are {n_parts} parts and {len(axes)} axes; expected one each.")
        self.ax_, self.figure_ = axes, axes[0].figure
        options = {"s": 8, "linewidths": 0, "alpha": 0.8, **scatter}
        # classes may be rare among the rows that are drawn: only probes need two of each
        is_classes = looks_like_classes(np.asarray(self.condition))
        draw = self._draw_classes if is_classes else self._draw_numbers
        draw(plt, options)
        for name, ax in zip(self.embeddings, axes, strict=True):
            ax.set_title(name)
            ax.set_xticks([])
            ax.set_yticks([])
        return self

    def _draw_classes(self, plt: Any, options: Mapping[str, Any]) -> None:
        classes = np.unique(self.condition)
        colors = plt.get_cmap("tab10" if len(classes) <= 10 else "tab20").colors
        for points, ax in zip(self.embeddings.values(), self.ax_, strict=True):
            for code, label in enumerate(classes):
                rows = self.condition == label
                color = colors[code % len(colors)]
                ax.scatter(*points[rows].T, color=color, label=str(label), **options)
        self.ax_[-1].legend(
            title=self.condition_name, bbox_to_anchor=(1.02, 1), loc="upper left", frameon=False
        )

    def _draw_numbers(self, plt: Any, options: Mapping[str, Any]) -> None:
        for points, ax in zip(self.embeddings.values(), self.ax_, strict=True):
            drawn = ax.scatter(*points.T, c=self.condition, **{"cmap": "viridis", **options})
        self.figure_.colorbar(drawn, ax=list(self.ax_)).set_label(self.condition_name)


def _only(parts: Sequence[str] | None) -> dict[str, str] | None:
    return None if parts is None else dict.fromkeys(parts, "parts")


def _planar(Z: np.ndarray) -> np.ndarray:
    """Standardised columns, at least the two that the initialisation of t-SNE needs."""
    Z = StandardScaler().fit_transform(Z)
    return Z if Z.shape[1] > 1 else np.hstack([Z, np.zeros_like(Z)])
