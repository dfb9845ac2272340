"""The container of several modalities measured on the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import numpy as np

from . import _values
from ._alignment import align_epochs, check_same_trials
from ._checks import carry_lengths, check_lengths, check_metadata, check_presence, merge_named
from ._values import Block


class Modalities:
    """Immutable, row-aligned mapping from modality names to arrays.

    A string key gives one modality; any other key selects rows of all of them, which is what
    scikit-learn's splitters, searches and pipelines do. Nothing is copied at construction, and a
    row selection is a view or a lazy index: memory-mapped modalities stay in their files until
    values are asked for.

    Parameters
    ----------
    data : mapping of str to array, default=None
        Modalities whose names are not identifiers, or are those of the keywords below.
    presence : mapping of str to ndarray of bool, shape (n_rows,), default=None
        Which rows of a modality were measured. A row that holds nothing but NaN is read as absent
        whether or not it is named here.
    lengths : mapping of str to ndarray of int, shape (n_rows,), default=None
        Number of valid time steps of each row of a padded modality of shape
        (n_rows, n_channels, n_times); absent rows may have 0.
    metadata : pandas.DataFrame of n_rows rows, default=None
        Whatever is known of the rows; selected together with them.
    **modalities : array, DataFrame, tensor or mne.Epochs
        The modalities, rows on axis 0: (n_rows, n_features) for tables,
        (n_rows, n_channels, n_times) for sequences, (n_rows, n_channels, height, width) for
        images. NumPy arrays and memmaps are kept as they are; so are DataFrames, so that a
        transformer of the modality sees the column names. A tensor of bfloat16 becomes float32.
        Several mne.Epochs must hold the same trials; `from_epochs` aligns those that do not.

    Attributes
    ----------
    names : tuple of str
        Names of the modalities.
    n_modalities : int
        Number of modalities.
    shape : tuple of int
        ``(n_rows,)``.
    row_shapes : dict of str to tuple of int
        Shape of one row of each modality.
    dtypes : dict of str to numpy.dtype
        Type of the values of each modality.
    columns : dict of str to tuple
        Column labels of the modalities that are DataFrames.
    nbytes : int
        Bytes that the selected rows take as arrays.
    is_complete : bool
        Whether every modality was measured on every row.
    metadata : pandas.DataFrame or None
        Metadata of the rows.
    event_codes : ndarray of int, shape (n_rows,), or None
        Event code of each trial; set by `from_epochs`.

    Raises
    ------
    ValueError
        If there is no modality, the numbers of rows differ, several mne.Epochs do not hold the
        same trials, or a name, presence mask, length or metadata does not fit.
    TypeError
        If a modality is not an array of real numbers.

    See Also
    --------
    make_modality_transformer : Give each modality its own transformer.
    pad_sequences : Sequences of unequal length as one padded array.

    Notes
    -----
    A container is iterated over its names and has the length of its rows, as a DataFrame.

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast import Modalities
    >>> X = Modalities(eeg=np.zeros((6, 4, 100)), fnirs=np.zeros((6, 8, 10)))
    >>> X
    Modalities of 6 rows
      eeg    (6, 4, 100)  float64
      fnirs  (6, 8, 10)   float64
    >>> X["fnirs"].shape
    (6, 8, 10)
    >>> X[[4, 0]].row_shapes
    {'eeg': (4, 100), 'fnirs': (8, 10)}
    >>> len(X[X["eeg"].mean(axis=(1, 2)) > 0])
    0
    """

    __slots__ = (
        "__weakref__",
        "_blocks",
        "_event_codes",
        "_given_presence",
        "_known_presence",
        "_lengths",
        "_metadata",
        "_n_rows",
    )

    _blocks: dict[str, Block]
    _n_rows: int
    _given_presence: dict[str, np.ndarray]
    _known_presence: dict[str, np.ndarray]
    _lengths: dict[str, np.ndarray]
    _metadata: Any
    _event_codes: np.ndarray | None

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        /,
        *,
        presence: Mapping[str, Any] | None = None,
        lengths: Mapping[str, Any] | None = None,
        metadata: Any = None,
        **modalities: Any,
    ) -> None:
        named = merge_named(data, modalities)
        if not named:
            raise ValueError("Modalities needs at least one modality: Modalities(eeg=array).")
        blocks = _new_blocks(named)
        self._fill(blocks, {}, {}, check_metadata(metadata, _common_rows(blocks)), None)
        self._set_masks(presence, lengths)

    def _fill(
        self,
        blocks: dict[str, Block],
        presence: dict[str, np.ndarray],
        lengths: dict[str, np.ndarray],
        metadata: Any,
        event_codes: np.ndarray | None,
    ) -> None:
        put = object.__setattr__
        put(self, "_blocks", blocks)
        put(self, "_n_rows", _common_rows(blocks))
        put(self, "_given_presence", presence)
        put(self, "_known_presence", {})
        put(self, "_lengths", lengths)
        put(self, "_metadata", metadata)
        put(self, "_event_codes", event_codes)

    def _set_masks(
        self, presence: Mapping[str, Any] | None, lengths: Mapping[str, Any] | None
    ) -> None:
        given = check_presence(presence, self._blocks, self._n_rows)
        self._given_presence.update(given)
        for name in given:
            self._known_presence.pop(name, None)
        self._lengths.update(check_lengths(lengths, self._blocks, self._given_presence))

    @classmethod
    def _build(cls, blocks: dict[str, Block], **kept: Any) -> Modalities:
        """Build a container from parts that were checked before."""
        self = cls.__new__(cls)
        known = kept.pop("known_presence", {})
        self._fill(
            blocks,
            kept.get("presence", {}),
            kept.get("lengths", {}),
            kept.get("metadata"),
            kept.get("event_codes"),
        )
        self._known_presence.update(known)
        return self

    @classmethod
    def from_epochs(
        cls,
        data: Mapping[str, Any] | None = None,
        /,
        *,
        match: str = "selection",
        missing: str = "drop",
        **epochs: Any,
    ) -> Modalities:
        """Align mne.Epochs of several recordings trial by trial.

        Sampling rates, channels and time windows may differ. Two trials are the same if they were
        cut from the same row of the events list, so trials dropped as bad in one recording alone
        are handled; their events must agree, by name where both recordings know it (``event_id``),
        else by code.

        Parameters
        ----------
        data : mapping of str to mne.Epochs, default=None
            Recordings whose names are not identifiers, or ``match`` or ``missing``.
        match : {"selection", "order"}, default="selection"
            ``"selection"`` matches trials by their row in the common events list
            (``epochs.selection``); ``"order"`` matches the k-th with the k-th, for recordings with
            events lists of their own, and needs equal numbers of trials.
        missing : {"drop", "absent"}, default="drop"
            Keep the trials that all recordings have, or all trials, marking those that a recording
            lacks as absent (filled with zeros).
        **epochs : mne.Epochs
            One per modality.

        Returns
        -------
        X : Modalities
            Modalities of shape (n_trials, n_channels, n_times), in MNE's units (V, M, ...), in the
            order of the events list, with `event_codes` of the first recording and the
            recordings' merged metadata: a column that several have with equal values is kept once,
            one with conflicting values gets the modality's name as a prefix.

        Raises
        ------
        TypeError
            If something is not mne.Epochs.
        ValueError
            If the recordings were not cut from the same events list (it has another length, or
            most intervals between events are others, at whatever rate), their events disagree, or
            they have no trial in common.

        Examples
        --------
        >>> import mne, numpy as np
        >>> events = np.c_[np.arange(4) * 100, np.zeros(4, int), [1, 2, 1, 2]]
        >>> eeg = mne.EpochsArray(np.zeros((4, 2, 50)), mne.create_info(2, 100.0), events,
        ...                       verbose=False)
        >>> fnirs = mne.EpochsArray(np.zeros((4, 3, 5)), mne.create_info(3, 10.0), events,
        ...                         verbose=False)
        >>> X = Modalities.from_epochs(eeg=eeg.drop([1], verbose=False), fnirs=fnirs)
        >>> X.row_shapes, X.event_codes
        ({'eeg': (2, 50), 'fnirs': (3, 5)}, array([1, 1, 2]))
        """
        return cls._build(**align_epochs(merge_named(data, epochs), match=match, missing=missing))

    # ---------------------------------------------------------------- rows
    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return self._block(key).values()
        rows = _values.row_key(key, self._n_rows)

        def select(array: np.ndarray) -> np.ndarray:
            return array[rows]

        composed: dict[int, np.ndarray] = {}  # modalities share one index, and go on sharing it
        blocks = {}
        for name, block in self._blocks.items():
            if block.index is not None:
                if id(block.index) not in composed:
                    composed[id(block.index)] = select(block.index)
                blocks[name] = Block(block.base, composed[id(block.index)])
            elif isinstance(rows, slice):
                blocks[name] = Block(block.take(rows))
            else:
                blocks[name] = Block(block.base, rows)
        return self._build(
            blocks,
            presence={name: select(mask) for name, mask in self._given_presence.items()},
            known_presence={name: select(mask) for name, mask in self._known_presence.items()},
            lengths={name: select(steps) for name, steps in self._lengths.items()},
            metadata=None if self._metadata is None else self._metadata.iloc[rows],
            event_codes=None if self._event_codes is None else select(self._event_codes),
        )

    def take(self, name: str, rows: Any) -> np.ndarray:
        """Read some rows of one modality, and nothing else of it.

        Parameters
        ----------
        name : str
            The modality.
        rows : ndarray of int or slice
            Rows to read.

        Returns
        -------
        values : ndarray of shape (n_rows, ...)
            Values of these rows; a copy for an array of rows. DataFrames come as one array.

        Raises
        ------
        TypeError
            If the modality is a DataFrame with columns that are not numbers.

        Examples
        --------
        >>> X = Modalities(a=np.arange(6).reshape(3, 2))
        >>> X.take("a", np.array([2, 0]))
        array([[4, 5],
               [0, 1]])
        """
        return _values.to_numeric(name, self._block(name).take(rows))

    def _block(self, name: str) -> Block:
        try:
            return self._blocks[name]
        except (KeyError, TypeError):
            raise KeyError(_values.unknown_name(name, self._blocks)) from None

    def __len__(self) -> int:
        return self._n_rows

    @property
    def shape(self) -> tuple[int]:
        """Number of rows, as a tuple: scikit-learn sees an array-like of rows."""
        return (self._n_rows,)

    @property
    def metadata(self) -> Any:
        """Metadata of the rows (pandas.DataFrame), or None."""
        return self._metadata

    @property
    def event_codes(self) -> np.ndarray | None:
        """Event code of each trial, or None."""
        return None if self._event_codes is None else self._event_codes.copy()

    # ---------------------------------------------------------- modalities
    @property
    def names(self) -> tuple[str, ...]:
        """Names of the modalities."""
        return tuple(self._blocks)

    @property
    def n_modalities(self) -> int:
        """Number of modalities."""
        return len(self._blocks)

    @property
    def row_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of one row of each modality."""
        return {name: tuple(block.base.shape[1:]) for name, block in self._blocks.items()}

    @property
    def dtypes(self) -> dict[str, np.dtype]:
        """Type of the values of each modality."""
        return {name: _values.dtype_of(block.base) for name, block in self._blocks.items()}

    @property
    def columns(self) -> dict[str, tuple]:
        """Column labels of the modalities that are DataFrames; no row is read.

        Examples
        --------
        >>> import pandas as pd
        >>> age = pd.DataFrame({"age": [31, 45], "weight": [70.5, 82.0]})
        >>> Modalities(eeg=np.zeros((2, 4, 100)), table=age).columns
        {'table': ('age', 'weight')}
        """
        frames = {name: block.base for name, block in self._blocks.items()}
        return {name: tuple(one.columns) for name, one in frames.items() if _values.is_frame(one)}

    @property
    def nbytes(self) -> int:
        """Bytes that the selected rows of all modalities take as arrays."""
        cells = {name: int(np.prod(shape)) for name, shape in self.row_shapes.items()}
        return sum(self._n_rows * cells[name] * self.dtypes[name].itemsize for name in cells)

    def __iter__(self) -> Iterator[str]:
        return iter(self._blocks)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._blocks

    def keys(self) -> tuple[str, ...]:
        """Names of the modalities."""
        return self.names

    def values(self) -> Iterator[Any]:
        """Arrays of the modalities, one at a time: a lazy row selection is read when reached."""
        return (self[name] for name in self._blocks)

    def items(self) -> Iterator[tuple[str, Any]]:
        """Names and arrays of the modalities, one at a time."""
        return ((name, self[name]) for name in self._blocks)

    def get(self, name: str, default: Any = None) -> Any:
        """Array of a modality, or a default if there is no such modality."""
        return self[name] if name in self._blocks else default

    def select(self, *names: str) -> Modalities:
        """Keep some modalities, in the order given.

        Parameters
        ----------
        *names : str
            Modalities to keep.

        Returns
        -------
        X : Modalities
            The same rows of these modalities.

        Raises
        ------
        KeyError
            If there is no modality of that name.
        """
        if not names:
            raise ValueError(f"select needs the name of at least one of {list(self._blocks)}.")
        return self._with_blocks({name: self._block(name) for name in names})

    def drop(self, *names: str) -> Modalities:
        """Leave out some modalities.

        Parameters
        ----------
        *names : str
            Modalities to leave out; at least one must remain.

        Returns
        -------
        X : Modalities
            The same rows of the other modalities.

        Raises
        ------
        KeyError
            If there is no modality of that name.
        """
        for name in names:
            self._block(name)
        kept = {name: block for name, block in self._blocks.items() if name not in names}
        if not kept:
            raise ValueError(f"drop would leave no modality of {list(self._blocks)}.")
        return self._with_blocks(kept)

    def assign(
        self,
        data: Mapping[str, Any] | None = None,
        /,
        *,
        presence: Mapping[str, Any] | None = None,
        lengths: Mapping[str, Any] | None = None,
        **modalities: Any,
    ) -> Modalities:
        """Replace or add modalities in a new container.

        Parameters
        ----------
        data : mapping of str to array, default=None
            Modalities whose names are not identifiers, or those of the keywords.
        presence : mapping of str to ndarray of bool, default=None
            New presence masks. A replaced modality keeps its own otherwise.
        lengths : mapping of str to ndarray of int, default=None
            New lengths. A replaced modality keeps its own otherwise, as long as it is a sequence
            of as many time steps; what is no sequence has no lengths.
        **modalities : array, DataFrame, tensor or mne.Epochs
            The modalities to replace or add.

        Returns
        -------
        X : Modalities
            The new container; everything not named is shared with this one.

        Raises
        ------
        ValueError
            If a new modality has another number of rows, its time steps no longer fit the
            lengths that it would keep, or several new mne.Epochs do not hold the same trials.

        Examples
        --------
        >>> X = Modalities(eeg=np.ones((3, 2, 5)))
        >>> X.assign(power=(X["eeg"] ** 2).mean(axis=2)).row_shapes
        {'eeg': (2, 5), 'power': (2,)}
        """
        named = merge_named(data, modalities)
        new = _new_blocks(named)
        blocks = {**self._blocks, **new}
        replaced = [name for name in new if name in self._blocks]
        kept = {name: steps for name, steps in self._lengths.items() if name not in (lengths or {})}
        result = self._with_blocks(
            blocks,
            presence={**self._given_presence, **{name: self.presence(name) for name in replaced}},
            lengths=carry_lengths(kept, self._blocks, blocks),
        )
        result._set_masks(presence, lengths)
        return result

    def _with_blocks(
        self,
        blocks: dict[str, Block],
        *,
        presence: dict[str, np.ndarray] | None = None,
        lengths: dict[str, np.ndarray] | None = None,
    ) -> Modalities:
        """Keep the rows, and what is known of them, for other modalities."""
        unchanged = {name for name in blocks if blocks[name] is self._blocks.get(name)}

        def only(masks: dict[str, np.ndarray], names: Any) -> dict[str, np.ndarray]:
            return {name: mask for name, mask in masks.items() if name in names}

        return self._build(
            blocks,
            presence=only(self._given_presence if presence is None else presence, blocks),
            known_presence=only(self._known_presence, unchanged),
            lengths=only(self._lengths if lengths is None else lengths, blocks),
            metadata=self._metadata,
            event_codes=self._event_codes,
        )

    # ------------------------------------------------- missing and padding
    def presence(self, name: str) -> np.ndarray:
        """Which rows of a modality were measured.

        Parameters
        ----------
        name : str
            The modality.

        Returns
        -------
        present : ndarray of bool, shape (n_rows,)
            False where the presence mask says so or all values of the row are NaN; a copy.

        Notes
        -----
        The values are looked at when first asked for: one per row, then the rest of the rows in
        question. Rows that are NaN in part are present; estimators refuse them.
        """
        block = self._block(name)
        if name not in self._known_presence:
            present = ~_values.absent_rows(block)
            if name in self._given_presence:
                present &= self._given_presence[name]
            self._known_presence[name] = present
        return self._known_presence[name].copy()

    @property
    def is_complete(self) -> bool:
        """Whether every modality was measured on every row."""
        return all(bool(self.presence(name).all()) for name in self._blocks)

    def lengths(self, name: str) -> np.ndarray | None:
        """Valid time steps of a padded sequence modality.

        Parameters
        ----------
        name : str
            The modality.

        Returns
        -------
        lengths : ndarray of int, shape (n_rows,), or None
            Number of valid time steps of each row, a copy; None if the modality is not padded.
        """
        self._block(name)
        steps = self._lengths.get(name)
        return None if steps is None else steps.copy()

    # ------------------------------------------------------------ protocol
    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        raise TypeError(
            f"Modalities hold {self.n_modalities} arrays ({', '.join(self._blocks)}) and are not "
            "one array. Take one of them, X['name'], or put an estimator that turns modalities "
            "into features, such as CoMM, in front of the one that needs an array."
        )

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        raise TypeError("Modalities are immutable; X.assign(name=array) gives a new container.")

    def __delitem__(self, key: Any) -> NoReturn:
        raise TypeError("Modalities are immutable; X.drop('name') gives a new container.")

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(
            f"Modalities are immutable, {name!r} cannot be set; X.assign(name=array) gives a new "
            "container."
        )

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"Modalities are immutable, {name!r} cannot be deleted.")

    def __copy__(self) -> Modalities:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # the presence found in the values is left out: equal content has equal pickles and hashes
        compact = ((name, block.compact()) for name, block in self._blocks.items())
        blocks = tuple((name, block.base, block.index) for name, block in compact)
        masks = (self._given_presence, self._lengths)
        return _rebuild, (type(self), blocks, *masks, self._metadata, self._event_codes)

    def __repr__(self) -> str:
        shapes = {name: str((self._n_rows, *shape)) for name, shape in self.row_shapes.items()}
        name_width, shape_width = max(map(len, shapes)), max(map(len, shapes.values()))
        lines = [
            f"  {name:<{name_width}}  {shapes[name]:<{shape_width}}  {dtype}{self._remark(name)}"
            for name, dtype in self.dtypes.items()
        ]
        rows = "row" if self._n_rows == 1 else "rows"
        return "\n".join([f"Modalities of {self._n_rows} {rows}", *lines])

    def _remark(self, name: str) -> str:
        known = self._known_presence.get(name, self._given_presence.get(name))
        absent = 0 if known is None else int((~known).sum())
        padded = ", padded" if name in self._lengths else ""
        return padded + (f", {absent} absent" if absent else "")


def _new_blocks(named: Mapping[str, Any]) -> dict[str, Block]:
    blocks = {name: Block(_values.coerce(name, value)) for name, value in named.items()}
    check_same_trials(blocks, named)
    return blocks


def _common_rows(blocks: Mapping[str, Block]) -> int:
    n_rows = {name: len(block) for name, block in blocks.items()}
    if len(set(n_rows.values())) > 1:
        listed = ", ".join(f"{name}: {n}" for name, n in n_rows.items())
        raise ValueError(
            f"All modalities need the same number of rows, found {listed}. Rows are on axis 0; "
            "for rows that a modality lacks, fill with NaN or use presence=."
        )
    return next(iter(n_rows.values()))


def _rebuild(
    cls: type[Modalities],
    blocks: tuple[tuple[str, Any, np.ndarray | None], ...],
    presence: dict[str, np.ndarray],
    lengths: dict[str, np.ndarray],
    metadata: Any,
    event_codes: np.ndarray | None,
) -> Modalities:
    return cls._build(
        {name: Block(base, index) for name, base, index in blocks},
        presence=presence,
        lengths=lengths,
        metadata=metadata,
        event_codes=event_codes,
    )
