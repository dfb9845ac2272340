"""Rows of a Modalities container as batches of tensors."""

import math
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ..modalities import Modalities
from ..nn.multimodal import View

# the largest share of free memory that training data may take before it is streamed
_RESIDENT_SHARE = 0.5

Batch = tuple[View, Tensor | None]


class ModalityDataset(Dataset):
    """Batches of :class:`~mmcontrast.Modalities` as float32 tensors on a device.

    Images of bytes (a 4-D modality of uint8) are scaled from 0 to 255 to [0, 1], batch by batch:
    on the device they stay bytes.

    Parameters
    ----------
    X : Modalities
        Rows; never written to.
    y : array of shape (n,) or None
        Targets of supervised methods.
    device : torch.device or str
        Where the batches are to be.
    streaming : bool or "auto", default="auto"
        False moves all rows to the device once; True reads the rows of each batch when it is
        asked for, as data larger than memory needs; "auto" streams what would take more than half
        of the memory that is free.

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast import Modalities
    >>> from mmcontrast.training import ModalityDataset
    >>> dataset = ModalityDataset(Modalities(a=np.eye(4), b=np.ones((4, 2, 5))), device="cpu")
    >>> view, y = dataset.__getitems__([0, 2])
    >>> {name: tuple(x.shape) for name, x in view.values.items()}
    {'a': (2, 4), 'b': (2, 2, 5)}
    """

    def __init__(
        self,
        X: Modalities,
        y: np.ndarray | None = None,
        *,
        device: torch.device | str = "cpu",
        streaming: bool | str = "auto",
    ) -> None:
        self.X = X
        self.device = torch.device(device)
        self.y = None if y is None else torch.as_tensor(np.asarray(y), device=self.device)
        self.streaming = _does_not_fit(X, self.device) if streaming == "auto" else streaming
        presence = {name: X.presence(name) for name in X.names}
        self._presence = {name: here for name, here in presence.items() if not here.all()}
        lengths = {name: X.lengths(name) for name in X.names}
        self._lengths = {name: steps for name, steps in lengths.items() if steps is not None}
        self._resident = None if self.streaming else self._read(slice(None))

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int] | Tensor) -> Batch:
        """Return the batch of these rows: a view and the targets."""
        rows = torch.as_tensor(indices, device=self.device)
        y = None if self.y is None else self.y[rows]
        if self._resident is None:
            return _floats(self._read(np.asarray(indices)), copy=True), y
        view = View(*({name: x[rows] for name, x in part.items()} for part in self._resident))
        return _floats(view, copy=False), y

    def read(self, start: int, stop: int) -> View:
        """Return the rows from `start` to `stop`, in order."""
        rows = slice(start, stop)
        if self._resident is None:
            return _floats(self._read(rows), copy=True)
        part = View(*({name: x[rows] for name, x in part.items()} for part in self._resident))
        return _floats(part, copy=True)

    def _read(self, rows: slice | np.ndarray) -> View:
        """Rows as tensors, which may share the memory of the input; zero where nothing is valid.

        Images of bytes are still bytes.
        """
        device = self.device
        values = {name: _unscaled(self.X.take(name, rows), device) for name in self.X.names}
        presence = {k: torch.as_tensor(v[rows], device=device) for k, v in self._presence.items()}
        lengths = {k: torch.as_tensor(v[rows], device=device) for k, v in self._lengths.items()}
        for name, here in presence.items():
            x = values[name]
            values[name] = x.masked_fill(~here.view(-1, *[1] * (x.ndim - 1)), 0)
        for name, valid in lengths.items():
            steps = torch.arange(values[name].shape[-1], device=device)
            padded = steps >= valid[:, None, None]
            values[name] = values[name].masked_fill(padded, 0.0)
        return View(values, presence, lengths)


class ShuffledBatches(Sampler[Tensor]):
    """Batches of exactly `batch_size` rows in random order; the rest sits out the epoch.

    Rows stay a tensor: as numbers drawn one at a time they would cost more than reading them.

    Parameters
    ----------
    n_rows, batch_size : int
        Number of rows and of those in a batch.
    generator : torch.Generator
        Draws the order.
    """

    def __init__(self, n_rows: int, batch_size: int, generator: torch.Generator) -> None:
        self.n_rows = n_rows
        self.batch_size = batch_size
        self.generator = generator

    def __iter__(self) -> Iterator[Tensor]:
        order = torch.randperm(self.n_rows, generator=self.generator)
        yield from order[: len(self) * self.batch_size].view(len(self), self.batch_size)

    def __len__(self) -> int:
        return self.n_rows // self.batch_size


class EvenBatches(Sampler[list[int]]):
    """All rows in a fixed random order, in batches of nearly equal size.

    No batch is smaller than `batch_size` unless there are fewer rows, so that every row meets as
    many negatives in an evaluation as in training.

    Parameters
    ----------
    n_rows, batch_size : int
        Number of rows and the smallest batch.
    """

    def __init__(self, n_rows: int, batch_size: int) -> None:
        order = np.random.default_rng(0).permutation(n_rows)
        self.batches = np.array_split(order, max(1, n_rows // batch_size))

    def __iter__(self) -> Iterator[list[int]]:
        return (batch.tolist() for batch in self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def training_loader(dataset: ModalityDataset, batch_size: int, seed: int) -> DataLoader:
    """Shuffled batches of exactly `batch_size` rows; the rest sits out the epoch.

    Parameters
    ----------
    dataset : ModalityDataset
    batch_size : int
    seed : int
        Fixes the order of the rows; a loader made with the same seed repeats it.

    Returns
    -------
    DataLoader

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast import Modalities
    >>> from mmcontrast.training import ModalityDataset, training_loader
    >>> dataset = ModalityDataset(Modalities(eeg=np.zeros((10, 4))))
    >>> [len(view.values["eeg"]) for view, _ in training_loader(dataset, batch_size=4, seed=0)]
    [4, 4]
    """
    generator = torch.Generator().manual_seed(seed)
    sampler = ShuffledBatches(len(dataset), batch_size, generator)
    # the loader's own draws come from the same generator, not from torch's global one
    return DataLoader(
        dataset,
        batch_sampler=sampler,  # type: ignore[arg-type]
        generator=generator,
        collate_fn=_as_is,
    )


def evaluation_loader(dataset: ModalityDataset, batch_size: int) -> DataLoader:
    """All rows in batches of at least `batch_size`, the same ones each time.

    Parameters
    ----------
    dataset : ModalityDataset
    batch_size : int

    Returns
    -------
    DataLoader

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast import Modalities
    >>> from mmcontrast.training import ModalityDataset, evaluation_loader
    >>> dataset = ModalityDataset(Modalities(eeg=np.zeros((10, 4))))
    >>> [len(view.values["eeg"]) for view, _ in evaluation_loader(dataset, batch_size=4)]
    [5, 5]
    """
    return DataLoader(
        dataset,
        batch_sampler=EvenBatches(len(dataset), batch_size),
        generator=torch.Generator(),  # a loader without one draws from torch's global generator
        collate_fn=_as_is,
    )


def is_byte_image(dtype: np.dtype, row_shape: Sequence[int]) -> bool:
    """Whether rows are images whose values are bytes, so that 255 means 1.

    Parameters
    ----------
    dtype : numpy.dtype
        Type of the values.
    row_shape : sequence of int
        Shape of one row.

    Returns
    -------
    bool
        True for uint8 of shape (n_channels, height, width); other integers are numbers.
    """
    return dtype == np.uint8 and len(row_shape) == 3


def to_tensor(array: np.ndarray, device: torch.device | str) -> Tensor:
    """Float32 tensor of an array on a device, sharing its memory where that is possible.

    Parameters
    ----------
    array : ndarray
        It may be read-only: the tensor is never written to. Images of bytes, that is uint8 of
        shape (n_rows, n_channels, height, width), are scaled from 0 to 255 to [0, 1].
    device : torch.device or str

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast.training import to_tensor
    >>> to_tensor(np.arange(3), "cpu")
    tensor([0., 1., 2.])
    >>> to_tensor(np.array([0, 51, 255], dtype=np.uint8).reshape(1, 1, 1, 3), "cpu")
    tensor([[[[0.0000, 0.2000, 1.0000]]]])
    """
    return _scaled(_unscaled(array, device))


def _unscaled(array: np.ndarray, device: torch.device | str) -> Tensor:
    """Float32 tensor of an array, or a tensor of bytes for images of bytes."""
    dtype = np.uint8 if is_byte_image(array.dtype, array.shape[1:]) else np.float32
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
        array = np.ascontiguousarray(array, dtype=dtype)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array).to(device)


def _scaled(x: Tensor) -> Tensor:
    return x.float().div_(255) if x.dtype == torch.uint8 else x


def _floats(view: View, *, copy: bool) -> View:
    """Scale images of bytes; copy what shares the user's memory, as networks work in place."""
    values = {}
    for name, x in view.values.items():
        scaled = _scaled(x)
        values[name] = scaled.clone() if copy and scaled is x else scaled
    return view._replace(values=values)


def _as_is(batch: Any) -> Any:
    """Leave a batch as it is: it was not read row by row, so there is nothing to collate."""
    return batch


def _does_not_fit(X: Modalities, device: torch.device) -> bool:
    needed = 0
    for name, shape in X.row_shapes.items():
        value_bytes = 1 if is_byte_image(X.dtypes[name], shape) else 4
        needed += value_bytes * len(X) * int(np.prod(shape))
    return needed > _RESIDENT_SHARE * _free_memory(device)


def _free_memory(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not every system tells
        return math.inf
