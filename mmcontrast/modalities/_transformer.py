"""A transformer of its own for each modality."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.base import TransformerMixin, _fit_context, clone
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import Bunch, check_array, get_tags
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import _BaseComposition, available_if
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from ._apply import fit_one, measured, scatter, transform_one
from ._checks import carry_lengths
from ._columns import as_modalities, refuse_collections
from ._container import Modalities
from ._values import Block, first_difference, from_tensor, is_epochs, is_tensor, unknown_name

_SPECIAL = ("passthrough", "drop")


def _is_special(transformer: Any, *which: str) -> bool:
    return isinstance(transformer, str) and transformer in (which or _SPECIAL)


def _array_like(X: Any) -> Any:
    """Leave arrays as they are, since each transformer validates its own; make lists arrays."""
    refuse_collections(X, "ModalityTransformer")
    if is_tensor(X):
        X = from_tensor("x", X)
    if is_epochs(X) or len(getattr(X, "shape", ())) > 1:
        return X
    return check_array(X, dtype=None, ensure_all_finite=False)


def _can_name_features(self: ModalityTransformer) -> bool:
    if not getattr(self, "_is_plain", False):
        return True
    return hasattr(self.transformers_[0][1], "get_feature_names_out")


class ModalityTransformer(  # type: ignore[call-arg]  # the keyword is scikit-learn's
    TransformerMixin, _BaseComposition, auto_wrap_output_keys=None
):
    """Apply a transformer of its own to each modality.

    What scikit-learn's ColumnTransformer is for columns, this is for `Modalities`. Each
    transformer is cloned and fitted on the rows on which its modality was measured; rows that lack
    it stay absent, filled with zeros. Rows, metadata and event codes are kept.

    Parameters
    ----------
    transformers : list of (str, transformer) tuples
        Name of a modality and its transformer: an estimator with ``fit`` and ``transform`` (a
        scikit-learn transformer or pipeline, one of MNE's array transformers, ...),
        ``"passthrough"`` to keep the modality as it is, or ``"drop"``.
    remainder : {"passthrough", "drop"}, default="passthrough"
        What happens to modalities without a transformer.
    modalities : dict of str to columns, default=None
        Column groups of a plain 2-D input, as in ColumnTransformer: slice, indices, names of a
        DataFrame's columns, mask, or a callable. Not needed, and not used, for `Modalities`.
    n_jobs : int, default=None
        Number of transformers to run in parallel; None means 1.

    Attributes
    ----------
    transformers_ : list of (str, transformer) tuples
        The fitted transformer, ``"passthrough"`` or ``"drop"`` of each modality seen in `fit`.
    named_transformers_ : Bunch
        The same, by name.
    row_shapes_ : dict of str to tuple of int
        Shape of one row of each modality seen in `fit`. Not defined for a plain array.
    n_features_in_ : int
        Number of features seen in `fit`. Defined for plain input alone.
    feature_names_in_ : ndarray of str
        Names of features seen in `fit`. Defined if X is a DataFrame whose columns have string
        names.

    See Also
    --------
    make_modality_transformer : The same with keywords.
    sklearn.compose.ColumnTransformer : Transformers of columns.

    Notes
    -----
    *Plain arrays.* With ``modalities``, a 2-D array or DataFrame is split into column groups and
    `Modalities` come out. Without, and with exactly one transformer, a plain array goes through
    that transformer and a plain array comes out.

    *Padding.* The lengths of a padded modality are kept if the transformer returns as many time
    steps, and given up if it reduces the time axis away. Padded steps count as values to the
    transformer, so a scaler belongs before the padding.

    *set_output* concerns the features at the end of a pipeline. It has no effect on `Modalities`,
    and is handed to the transformer of a plain array.

    Transformers are handed read-only arrays; one that insists on working in place is given a copy.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.preprocessing import StandardScaler
    >>> from mmcontrast import Modalities, ModalityTransformer
    >>> X = Modalities(a=np.arange(8.0).reshape(4, 2), b=np.ones((4, 3)))
    >>> transformer = ModalityTransformer([("a", StandardScaler())])
    >>> transformer.fit_transform(X)["a"].round(2)
    array([[-1.34, -1.34],
           [-0.45, -0.45],
           [ 0.45,  0.45],
           [ 1.34,  1.34]])
    >>> transformer.set_params(a__with_std=False).fit_transform(X)["a"][0]
    array([-3., -3.])
    """

    _required_parameters = ["transformers"]
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "transformers": [list, tuple],
        "remainder": [StrOptions(set(_SPECIAL))],
        "modalities": [dict, None],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        transformers: list[tuple[str, Any]],
        *,
        remainder: str = "passthrough",
        modalities: dict[str, Any] | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.transformers = transformers
        self.remainder = remainder
        self.modalities = modalities
        self.n_jobs = n_jobs

    # ---------------------------------------------------------- parameters
    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get parameters, of the transformers too: ``eeg__with_mean``.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the transformers and their parameters.

        Returns
        -------
        params : dict
            Parameter names and values.
        """
        return self._get_params("transformers", deep=deep)

    def set_params(self, **params: Any) -> ModalityTransformer:
        """Set parameters, of the transformers too: ``eeg__with_mean``, or ``eeg`` as a whole.

        Parameters
        ----------
        **params : dict
            Parameter names and values.

        Returns
        -------
        self : ModalityTransformer
            This transformer.
        """
        self._set_params("transformers", **params)
        return self

    def set_output(self, *, transform: str | None = None) -> ModalityTransformer:
        """Set the container of plain output; without effect on `Modalities`.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, default=None
            Container of the output for a plain array; None changes nothing.

        Returns
        -------
        self : ModalityTransformer
            This transformer.
        """
        if transform is None:
            return self
        if not hasattr(self, "_sklearn_output_config"):
            self._sklearn_output_config: dict[str, str] = {}
        self._sklearn_output_config["transform"] = transform
        if getattr(self, "_is_plain", False):
            self._configure_output(self.transformers_[0][1])
        return self

    def _configure_output(self, transformer: Any) -> Any:
        config = getattr(self, "_sklearn_output_config", {})
        if config and hasattr(transformer, "set_output"):
            transformer.set_output(**config)
        return transformer

    def _check_transformers(self) -> None:
        if not self.transformers:
            raise ValueError("transformers is empty; give one (name, transformer) per modality.")
        names, transformers = zip(*self.transformers, strict=True)
        for name in names:
            if name in self.get_params(deep=False):
                raise ValueError(
                    f"A modality with a transformer cannot be called {name!r}: "
                    f"{type(self).__name__} has a parameter of that name, and set_params could not "
                    "tell the two apart. Rename the modality."
                )
        self._validate_names(names)
        self._check_estimators_are_instances(transformers)
        for name, transformer in self.transformers:
            if _is_special(transformer):
                continue
            can_fit = hasattr(transformer, "fit") or hasattr(transformer, "fit_transform")
            if not (can_fit and hasattr(transformer, "transform")):
                raise TypeError(
                    f"The transformer of modality {name!r} needs fit and transform, or is "
                    f"'passthrough' or 'drop'; got {transformer!r}."
                )

    # ------------------------------------------------------------- fitting
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None) -> ModalityTransformer:
        """Fit the transformers.

        Parameters
        ----------
        X : Modalities, or array or DataFrame of shape (n_rows, n_features)
            The modalities.
        y : array-like of shape (n_rows,), default=None
            Targets for supervised transformers.

        Returns
        -------
        self : ModalityTransformer
            This transformer.

        Raises
        ------
        ValueError
            If a transformer's modality is not in X or was not measured on any row.
        """
        self._fit(X, y, transform=False)
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Fit the transformers and transform the modalities, each in one call.

        Parameters
        ----------
        X : Modalities, or array or DataFrame of shape (n_rows, n_features)
            The modalities.
        y : array-like of shape (n_rows,), default=None
            Targets for supervised transformers.

        Returns
        -------
        X_new : Modalities, or the transformer's output for a plain array
            The transformed modalities.

        Raises
        ------
        ValueError
            If a transformer's modality is not in X or was not measured on any row, or if an output
            does not fit.
        """
        return self._fit(X, y, transform=True)

    def _fit(self, X: Any, y: Any, *, transform: bool) -> Any:
        self._check_transformers()
        for stale in ("n_features_in_", "feature_names_in_", "row_shapes_"):
            self.__dict__.pop(stale, None)
        self._is_plain = not isinstance(X, Modalities) and self.modalities is None
        if self._is_plain:
            return self._fit_plain(X, y, transform=transform)
        X = self._grouped(X, reset=True)
        if y is not None:
            check_consistent_length(X, y)
        chosen = self._choose(X)
        todo = [name for name, how in chosen.items() if not _is_special(how)]
        for name in todo:
            if len(X) and not X.presence(name).any():
                raise ValueError(f"Modality {name!r} was not measured on any row of X.")
        # a generator: one modality's rows are read when its turn comes
        fitted = Parallel(n_jobs=self.n_jobs)(
            delayed(fit_one)(chosen[name], name, *measured(X, name), y, transform) for name in todo
        )
        chosen.update({name: one for name, (one, _) in zip(todo, fitted, strict=True)})
        self.transformers_ = list(chosen.items())
        self.row_shapes_ = X.row_shapes
        self._columns = X.columns
        self._padded = [name for name in X if X.lengths(name) is not None]
        if not transform:
            return None
        return self._assemble(X, {name: out for name, (_, out) in zip(todo, fitted, strict=True)})

    def _choose(self, X: Modalities) -> dict[str, Any]:
        chosen = dict.fromkeys(X.names, self.remainder)
        for name, transformer in self.transformers:
            if name not in X:
                raise ValueError(f"transformers: {unknown_name(name, X)}")
            chosen[name] = transformer
        return chosen

    def _grouped(self, X: Any, *, reset: bool) -> Modalities:
        if isinstance(X, Modalities):
            return X
        X = _array_like(X)
        if reset or hasattr(self, "n_features_in_"):
            validate_data(self, X=X, reset=reset, skip_check_array=True)
        return as_modalities(X, self.modalities, estimator_name=type(self).__name__)

    # -------------------------------------------------------- transforming
    def transform(self, X: Any) -> Any:
        """Transform the modalities.

        Parameters
        ----------
        X : Modalities, or array or DataFrame of shape (n_rows, n_features)
            The modalities seen in `fit`, or some of them.

        Returns
        -------
        X_new : Modalities, or the transformer's output for a plain array
            The transformed modalities.

        Raises
        ------
        ValueError
            If X has a modality that was not there in `fit`, whose rows had another shape, or that
            was a DataFrame then as now but with other columns or in another order.
        """
        check_is_fitted(self, "transformers_")
        if self._is_plain:
            return self._transform_plain(X)
        if not isinstance(X, Modalities) and self.modalities is None:
            raise ValueError(
                f"{type(self).__name__} was fitted on Modalities {list(self.row_shapes_)}, got a "
                f"{type(X).__name__}."
            )
        X = self._grouped(X, reset=False)
        self._check_as_fitted(X)
        fitted = self.named_transformers_
        todo = [name for name in X if not _is_special(fitted[name])]
        outputs = Parallel(n_jobs=self.n_jobs)(
            delayed(transform_one)(fitted[name], name, measured(X, name)[0]) for name in todo
        )
        return self._assemble(X, dict(zip(todo, outputs, strict=True)))

    def _check_as_fitted(self, X: Modalities) -> None:
        for name, shape in X.row_shapes.items():
            if name not in self.row_shapes_:
                raise ValueError(
                    f"{unknown_name(name, self.row_shapes_)} These are the modalities that "
                    f"{type(self).__name__} was fitted on."
                )
            self._check_columns(name, X.columns)
            before = self.row_shapes_[name]
            if name in self._padded and X.lengths(name) is not None:
                # another set of sequences is padded to another length
                shape, before = shape[:-1], before[:-1]
            if shape != before:
                raise ValueError(
                    f"Rows of modality {name!r} have shape {X.row_shapes[name]}; "
                    f"{type(self).__name__} was fitted on rows of shape {self.row_shapes_[name]}."
                )

    def _check_columns(self, name: str, columns: dict[str, tuple]) -> None:
        if name not in columns or name not in self._columns:
            return  # an array has no labels to compare
        difference = first_difference(columns[name], self._columns[name])
        if difference:
            at, found, expected = difference
            raise ValueError(
                f"Columns of modality {name!r} differ from those that {type(self).__name__} was "
                f"fitted on: column {at} is {found}, was {expected}. Give the columns of fit in "
                "the same order."
            )

    def _assemble(self, X: Modalities, outputs: dict[str, Any]) -> Modalities:
        fitted = self.named_transformers_
        blocks = {}
        for name in X:
            if name in outputs:
                blocks[name] = Block(scatter(name, outputs[name], X.presence(name)))
            elif _is_special(fitted[name], "passthrough"):
                blocks[name] = X._blocks[name]
        if not blocks:
            raise ValueError(f"All modalities are dropped ({list(X)}); keep at least one.")
        partial = {name: X.presence(name) for name in outputs if not X.presence(name).all()}
        return X._with_blocks(
            blocks,
            presence={**X._given_presence, **partial},
            lengths=carry_lengths(X._lengths, X._blocks, blocks),
        )

    # -------------------------------------------------------- plain arrays
    def _fit_plain(self, X: Any, y: Any, *, transform: bool) -> Any:
        if len(self.transformers) > 1:
            names = [name for name, _ in self.transformers]
            raise ValueError(
                f"{type(self).__name__} has transformers of {len(names)} modalities ({names}) but "
                f"got a plain {type(X).__name__}. Pass Modalities, or name the columns of each "
                "modality with modalities={name: columns}."
            )
        X = _array_like(X)
        validate_data(self, X=X, skip_check_array=True)
        [(name, transformer)] = self.transformers
        if _is_special(transformer, "drop"):
            raise ValueError(f"All modalities are dropped ({[name]}); keep at least one.")
        if _is_special(transformer, "passthrough"):
            is_table = not is_epochs(X) and X.ndim == 2
            transformer = FunctionTransformer(validate=is_table, feature_names_out="one-to-one")
        unfitted = self._configure_output(clone(transformer))
        fitted, output = fit_one(unfitted, name, X, None, y, transform)
        self.transformers_ = [(name, fitted)]
        return output

    def _transform_plain(self, X: Any) -> Any:
        if isinstance(X, Modalities):
            raise ValueError(
                f"{type(self).__name__} was fitted on one plain array, got Modalities {list(X)}."
            )
        X = _array_like(X)
        validate_data(self, X=X, reset=False, skip_check_array=True)
        return transform_one(self.transformers_[0][1], self.transformers_[0][0], X)

    # ----------------------------------------------------------- protocol
    @property
    def named_transformers_(self) -> Bunch:
        """The fitted transformers by the names of their modalities."""
        named = Bunch()
        named.update(self.transformers_)  # not by keyword: a modality may be called "self"
        return named

    @available_if(_can_name_features)
    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Get names of the output.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the features of a plain array.

        Returns
        -------
        names : ndarray of str
            For a plain array, the feature names of its transformer. For `Modalities`, which are
            several arrays, the names of the modalities that come out; an estimator behind them
            names its own features.
        """
        check_is_fitted(self, "transformers_")
        if not self._is_plain:
            dropped = {name for name, how in self.transformers_ if _is_special(how, "drop")}
            names = [name for name, _ in self.transformers_ if name not in dropped]
            return np.array(names, dtype=object)
        return self.transformers_[0][1].get_feature_names_out(input_features)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        try:
            inner = [get_tags(how) for _, how in self.transformers if not _is_special(how)]
        except (TypeError, ValueError, AttributeError):
            return tags  # transformers are checked in fit
        if not inner:
            return tags
        for what in ("sparse", "allow_nan", "string", "categorical"):
            setattr(tags.input_tags, what, all(getattr(one.input_tags, what) for one in inner))
        tags.input_tags.positive_only = any(one.input_tags.positive_only for one in inner)
        tags.target_tags.required = any(one.target_tags.required for one in inner)
        tags.non_deterministic = any(one.non_deterministic for one in inner)
        kinds = [one.transformer_tags for one in inner]
        preserved = [set(kind.preserves_dtype) if kind else set() for kind in kinds]
        tags.transformer_tags.preserves_dtype = sorted(set.intersection(*preserved))
        return tags

    def _sk_visual_block_(self) -> Any:
        from sklearn.utils._repr_html.estimator import _VisualBlock

        names, transformers = zip(*self.transformers, strict=True)
        return _VisualBlock("parallel", transformers, names=names)


def make_modality_transformer(
    *,
    remainder: str = "passthrough",
    modalities: dict[str, Any] | None = None,
    n_jobs: int | None = None,
    **transformers: Any,
) -> ModalityTransformer:
    """Build a `ModalityTransformer` from keywords.

    Parameters
    ----------
    remainder : {"passthrough", "drop"}, default="passthrough"
        What happens to modalities without a transformer.
    modalities : dict of str to columns, default=None
        Column groups of a plain 2-D input.
    n_jobs : int, default=None
        Number of transformers to run in parallel.
    **transformers : estimator, "passthrough" or "drop"
        The transformer of each modality.

    Returns
    -------
    transformer : ModalityTransformer
        The transformer; ``modalitytransformer`` in a pipeline of `make_pipeline`.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from mmcontrast import make_modality_transformer
    >>> pipe = make_pipeline(make_modality_transformer(eeg=StandardScaler(), fnirs="passthrough"))
    >>> pipe.set_params(modalitytransformer__eeg__with_mean=False)["modalitytransformer"]
    ModalityTransformer(transformers=[('eeg', StandardScaler(with_mean=False)),
                                      ('fnirs', 'passthrough')])
    """
    return ModalityTransformer(
        list(transformers.items()), remainder=remainder, modalities=modalities, n_jobs=n_jobs
    )
