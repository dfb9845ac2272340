"""Base of transformers whose embedding has named parts, each made from one modality."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from ..modalities import Modalities
from ..nn.multimodal import View
from ._base import BaseContrastive


class SplitMixin:
    """Takes embeddings apart by the names of their parts, which are in `_layout`."""

    @property
    @abstractmethod
    def _layout(self) -> dict[str, tuple[tuple[str, ...], slice]]:
        """Modalities and columns of each part of the embedding."""

    def split(self, Z: Any) -> dict[str, np.ndarray]:
        """Take an embedding apart.

        Parameters
        ----------
        Z : array of shape (n_samples, n_features_out)
            What :meth:`transform` returned.

        Returns
        -------
        dict of str to ndarray
            Columns of each part by its name, in the order in which they stand in `Z`.

        Raises
        ------
        ValueError
            If `Z` has another number of columns.
        """
        check_is_fitted(self)
        Z, layout = np.asarray(Z), self._layout
        n_columns = list(layout.values())[-1][1].stop
        if Z.ndim != 2 or Z.shape[1] != n_columns:
            raise ValueError(
                f"Z has shape {Z.shape}; expected what transform returns, of shape (n_samples, "
                f"{n_columns})."
            )
        return {part: Z[:, where] for part, (_, where) in layout.items()}


class BaseParts(SplitMixin, BaseContrastive):
    """Base of the transformers whose columns are parts with a name, made from some modalities.

    The objective has `parts`, a dict of part to its modality (or a tuple of several that it needs)
    and number of columns, and ``encode(view)``, which returns the parts of the modalities in a
    view. Columns of a part are NaN in rows in which one of its modalities is absent.
    """

    _parameter_constraints: dict[str, Any] = {
        **BaseContrastive._parameter_constraints,
        "encoders": [str, dict, callable],
        "converters": [str, dict, callable],
        "embed_dim": [Interval(Integral, 1, None, closed="left")],
    }

    encoders: Any
    converters: Any
    embed_dim: int

    def _chosen_parts(self, parts: Mapping[str, Any]) -> Sequence[str]:
        """Parts that ``transform`` returns, in order."""
        return list(parts)

    @property
    def _layout(self) -> dict[str, tuple[tuple[str, ...], slice]]:
        parts = self.net_.module_.parts
        layout, start = {}, 0
        for part in self._chosen_parts(parts):
            made_from, size = parts[part]
            names = (made_from,) if isinstance(made_from, str) else tuple(made_from)
            layout[part] = (names, slice(start, start + size))
            start += size
        return layout

    @property
    def _n_features_out(self) -> int:
        return list(self._layout.values())[-1][1].stop

    def _encode(self, module: Any, view: View) -> torch.Tensor:
        encoded = module.encode(view)
        like = next(iter(view.values.values()))
        return torch.cat(
            [
                encoded[part]
                if part in encoded
                else like.new_zeros(len(like), where.stop - where.start)
                for part, (_, where) in self._layout.items()
            ],
            dim=1,
        )

    def _mark_absent(self, embedded: np.ndarray, X: Modalities) -> None:
        for names, where in self._layout.values():
            for name in names:
                absent = ~X.presence(name) if name in X.names else slice(None)
                embedded[absent, where] = np.nan

    @property
    def _embedded_modalities(self) -> Sequence[str]:
        """Modalities that make a part on their own."""
        own = [names[0] for names, _ in self._layout.values() if len(names) == 1]
        return list(dict.fromkeys(own))

    def _embed_alone(self, X: Modalities, name: str) -> np.ndarray:
        embedded = self._embed(X.select(name))
        own = [where for names, where in self._layout.values() if names == (name,)]
        return np.hstack([embedded[:, where] for where in own])

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns of ``transform``: class, part and number.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Only validated against the names or number of columns of a plain array in fit.

        Returns
        -------
        ndarray of str
        """
        super().get_feature_names_out(input_features)
        prefix = type(self).__name__.lower()
        return np.array(
            [
                f"{prefix}_{part}_{i}"
                for part, (_, where) in self._layout.items()
                for i in range(where.stop - where.start)
            ],
            dtype=object,
        )

    def encode_modality(self, X: Any, name: str) -> np.ndarray:
        """Embed rows from one modality alone.

        Parameters
        ----------
        X : like in fit
            Rows that hold the modality `name`, or the array of that modality itself.
        name : str
            The modality.

        Returns
        -------
        ndarray of shape (n_samples, n_columns), float32
            The columns of :meth:`transform` that this modality makes.

        Raises
        ------
        ValueError
            If there is no such modality, it is absent in a row, or none of the chosen parts is
            made from it.
        """
        X = self._only(X, name)
        if name not in self._embedded_modalities:
            raise ValueError(f"No part of {list(self._layout)} is made from modality {name!r}.")
        return self._embed_alone(X, name)
