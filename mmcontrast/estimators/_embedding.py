"""Embedding rows with a trained network."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._warnings import warn
from ..modalities import Modalities
from ..modalities._values import unknown_name
from ..nn.multimodal import View
from ..training import ContrastiveNet, ModalityDataset
from ._inputs import check_input
from ._values import check_values

# of input at a time: on a CPU, what its maps fit into a cache with
_EMBED_BYTES = {"cpu": 2**22, "other": 2**24}
# a spread that is so many times that of the training data is no other sample of the same
_OTHER_UNITS = 100
# products of fewer rows are summed in another order: a row's embedding would depend on its company
_FEWEST_ROWS = 16


class EmbeddingMixin(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """``transform``, and the names of its columns, of an estimator with a trained network."""

    net_: ContrastiveNet
    modalities_: dict[str, tuple[int, ...]]
    scales_: dict[str, float]
    _fitted_on_plain: bool

    @property
    @abstractmethod
    def _n_features_out(self) -> int:
        """Number of columns of ``transform``."""

    @abstractmethod
    def _encode(self, module: Any, view: View) -> torch.Tensor:
        """Embed a batch with the trained objective, as ``transform`` returns it."""

    def transform(self, X: Any) -> np.ndarray:
        """Embed rows.

        Parameters
        ----------
        X : like in fit
            All of the modalities, a subset of them (``X.select("eeg")``), or rows in which some
            are absent: the embedding is made from what is there.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out), float32
            One embedding per row; the same rows give the same embedding each time.
        """
        check_is_fitted(self)
        return self._embed(check_input(self, X, reset=False))

    @property
    def _embedded_modalities(self) -> Sequence[str]:
        """Modalities that the embedding is made of."""
        return list(self.modalities_)

    def _embed_alone(self, X: Modalities, name: str) -> np.ndarray:
        """Embed rows from one modality."""
        return self._embed(X.select(name))

    def _embed(self, X: Modalities) -> np.ndarray:
        module = self.net_.module_
        module.eval()
        dataset = ModalityDataset(X, device=self.net_.device, streaming=True)
        row_values = sum(int(np.prod(shape)) for shape in X.row_shapes.values())
        n_bytes = _EMBED_BYTES["cpu" if torch.device(self.net_.device).type == "cpu" else "other"]
        n_rows = int(np.clip(n_bytes // (4 * row_values), _FEWEST_ROWS, 1024))
        embedded = np.empty((len(X), self._n_features_out), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(X), n_rows):
                view = dataset.read(start, start + n_rows)
                if not start:
                    self._warn_of_other_units(view)
                for name, values in view.values.items():
                    if not values.sum().isfinite():
                        check_values(X[start : start + n_rows].select(name), start)
                n_read = len(embedded[start : start + n_rows])
                z = self._encode(module, _repeated(view, n_read))[:n_read]
                embedded[start : start + n_rows] = z.cpu().numpy()
                if not np.isfinite(embedded[start : start + n_rows]).all():
                    largest = {n: f"{float(x.abs().max()):.1g}" for n, x in view.values.items()}
                    raise ValueError(
                        f"The embedding of rows {start} to {start + n_rows} is not finite. Their "
                        f"largest values are {largest}; the training data had standard deviations "
                        f"{ {n: f'{s:.1g}' for n, s in self.scales_.items()} }. Rescale the input."
                    )
        self._mark_absent(embedded, X)
        return embedded

    def _warn_of_other_units(self, view: View) -> None:
        """Say so if values spread far more than those of fit, as after a change of units."""
        for name, values in view.values.items():
            ratio = float(values.std(correction=0)) / self.scales_[name]
            if ratio > _OTHER_UNITS:
                warn(
                    f"The values of modality {name!r} spread {ratio:.3g} times as much as those "
                    f"that {type(self).__name__} was fitted on. Pass them in the units of fit, "
                    "after the same steps: images in [0, 1] or of bytes, recordings in volts or in "
                    "microvolts."
                )

    def _mark_absent(self, embedded: np.ndarray, X: Modalities) -> None:
        """Show in the embedding where a modality was absent."""

    def _only(self, X: Any, name: str) -> Modalities:
        """Rows of one modality, which has to be there in all of them."""
        check_is_fitted(self)
        if name not in self.modalities_:
            raise ValueError(unknown_name(name, self.modalities_))
        if not isinstance(X, Modalities) and not self._fitted_on_plain:
            X = Modalities({name: X})
        X = check_input(self, X, reset=False)
        if name not in X.names or not X.presence(name).all():
            raise ValueError(f"modality {name!r} is not there in every row of X.")
        return X.select(name)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns of ``transform``: the class name in lower case with a number.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Only validated against the names or number of columns of a plain array in fit.

        Returns
        -------
        ndarray of str
        """
        return super().get_feature_names_out(input_features if self._fitted_on_plain else None)


def _repeated(view: View, n_rows: int) -> View:
    """A view of at least _FEWEST_ROWS rows, which repeats its own if it has fewer."""
    if n_rows >= _FEWEST_ROWS:
        return view
    rows = torch.arange(_FEWEST_ROWS) % n_rows
    return View(*({name: x[rows.to(x.device)] for name, x in part.items()} for part in view))
