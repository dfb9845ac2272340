"""Heat map of parts by factors."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ._checks import check_part
from ._optional import pyplot
from ._probe import probe_parts
from ._scores import PartScores


class PartFactorDisplay:
    """Heat map of how well each factor is read from each part.

    Make it with :meth:`from_estimator` or :meth:`from_scores`.

    Parameters
    ----------
    values : ndarray of shape (n_parts, n_factors)
        Scores, 0 at chance and 1 at best.
    parts : sequence of str
        Names of the rows.
    factors : sequence of str
        Names of the columns.
    p_values : ndarray of shape (n_parts, n_factors), default=None
        Cells above .05 are printed in grey.

    Attributes
    ----------
    ax_ : matplotlib axes
        Where it is drawn.
    figure_ : matplotlib figure
        The figure of `ax_`.
    im_ : matplotlib image
        The coloured matrix.
    text_ : ndarray of shape (n_parts, n_factors)
        The numbers in it.

    See Also
    --------
    probe_parts : The scores.

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast.inspection import PartFactorDisplay
    >>> display = PartFactorDisplay(
    ...     np.array([[0.8, 0.0], [0.1, 0.6]]), ["U_eeg", "U_fnirs"], ["gamma", "load"])
    >>> display.plot().ax_.get_xlabel()
    'Factor'
    """

    def __init__(
        self,
        values: np.ndarray,
        parts: Sequence[str],
        factors: Sequence[str],
        p_values: np.ndarray | None = None,
    ) -> None:
        self.values = values
        self.parts = parts
        self.factors = factors
        self.p_values = p_values

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        factors: Any,
        *,
        ax: Any = None,
        cmap: str = "Blues",
        colorbar: bool = True,
        parts_of_factor: Mapping[str, str | Sequence[str]] | None = None,
        **probe: Any,
    ) -> "PartFactorDisplay":
        """Probe the parts of a fitted estimator and draw the scores.

        Parameters
        ----------
        estimator : estimator
            Fitted, with `transform` and `split`.
        X : Modalities or array
            Rows that it was not fitted to.
        factors : mapping of str to array, or DataFrame
            What to read.
        ax : matplotlib axes, default=None
            Where to draw; None makes a figure.
        cmap : str, default="Blues"
            Colour map.
        colorbar : bool, default=True
            Whether to draw one.
        parts_of_factor : mapping of str to str or sequence of str, default=None
            Parts that ought to hold each factor; they get a frame.
        **probe : object
            Arguments of :func:`probe_parts`.

        Returns
        -------
        PartFactorDisplay
        """
        scores = probe_parts(estimator, factors, X=X, **probe)
        return cls.from_scores(
            scores, ax=ax, cmap=cmap, colorbar=colorbar, parts_of_factor=parts_of_factor
        )

    @classmethod
    def from_scores(
        cls,
        scores: PartScores,
        *,
        ax: Any = None,
        cmap: str = "Blues",
        colorbar: bool = True,
        parts_of_factor: Mapping[str, str | Sequence[str]] | None = None,
    ) -> "PartFactorDisplay":
        """Draw scores that are there already.

        Parameters
        ----------
        scores : PartScores
            From :func:`probe_parts` or :func:`physiology_report`.
        ax : matplotlib axes, default=None
            Where to draw; None makes a figure.
        cmap : str, default="Blues"
            Colour map.
        colorbar : bool, default=True
            Whether to draw one.
        parts_of_factor : mapping of str to str or sequence of str, default=None
            Parts that ought to hold each factor; they get a frame.

        Returns
        -------
        PartFactorDisplay
        """
        if not isinstance(scores, PartScores):
            raise TypeError(
                f"scores is a {type(scores).__name__}; expected the PartScores of probe_parts."
            )
        p_values = scores.p_values if len(scores.null) else None
        display = cls(scores.values, scores.parts, scores.factors, p_values)
        return display.plot(ax=ax, cmap=cmap, colorbar=colorbar, parts_of_factor=parts_of_factor)

    def plot(
        self,
        *,
        ax: Any = None,
        cmap: str = "Blues",
        colorbar: bool = True,
        parts_of_factor: Mapping[str, str | Sequence[str]] | None = None,
    ) -> "PartFactorDisplay":
        """Draw the heat map.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Where to draw; None makes a figure.
        cmap : str, default="Blues"
            Colour map.
        colorbar : bool, default=True
            Whether to draw one.
        parts_of_factor : mapping of str to str or sequence of str, default=None
            Parts that ought to hold each factor; they get a frame.

        Returns
        -------
        PartFactorDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        """
        plt = pyplot("PartFactorDisplay.plot")
        values = np.asarray(self.values, dtype=float)
        frames = self._frames(parts_of_factor or {})
        if ax is None:
            size = (2 + 0.75 * values.shape[1], 1.6 + 0.45 * values.shape[0])
            ax = plt.subplots(figsize=size, layout="constrained")[1]
        self.ax_, self.figure_ = ax, ax.figure
        self.im_ = ax.imshow(values, cmap=cmap, vmin=0, vmax=1, aspect="auto")
        self.text_ = np.empty(values.shape, dtype=object)
        for (row, column), value in np.ndenumerate(values):
            self.text_[row, column] = ax.text(
                column, row, f"{round(value, 2) + 0.0:.2f}", ha="center", va="center",
                color=self._ink(row, column),
            )  # fmt: skip
        for row, column in frames:
            frame = {"fill": False, "edgecolor": "black", "linewidth": 1.5}
            ax.add_patch(plt.Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, **frame))
        ax.set_xticks(range(values.shape[1]), self.factors, rotation=40, ha="right")
        ax.set_yticks(range(values.shape[0]), self.parts)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set(xlabel="Factor", ylabel="Part")
        if colorbar:
            bar = self.figure_.colorbar(self.im_, ax=ax)
            bar.set_label("Score (chance 0, best 1)")
        return self

    def _ink(self, row: int, column: int) -> str:
        if self.p_values is not None and self.p_values[row, column] > 0.05:
            return "0.55"
        red, green, blue, _ = self.im_.cmap(self.im_.norm(self.values[row, column]))
        # relative luminance, ITU-R BT.709
        return "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.5 else "white"

    def _frames(self, parts_of_factor: Mapping[str, str | Sequence[str]]) -> list[tuple[int, int]]:
        frames = []
        for factor, chosen in parts_of_factor.items():
            if factor not in self.factors:  # the same mapping serves every choice of factors
                continue
            for part in [chosen] if isinstance(chosen, str) else chosen:
                row = list(self.parts).index(check_part(part, self.parts))
                frames.append((row, list(self.factors).index(factor)))
        return frames
