"""Rendered images in a file that is written whole or not at all."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4
from zipfile import BadZipFile

import numpy as np


def cached_images(
    folder: str | os.PathLike[str],
    name: str,
    shape: tuple[int, ...],
    render: Callable[[], np.ndarray],
) -> np.ndarray:
    """Read images from a file of the folder, or render them and write it.

    Parameters
    ----------
    folder : str or path-like
        Made if it is not there.
    name : str
        Name of the file, which tells all that the images depend on.
    shape : tuple of int
        Shape of the images.
    render : callable
        Makes the images, of uint8.

    Returns
    -------
    images : ndarray of uint8

    Raises
    ------
    OSError
        If the file is damaged, or the folder cannot be written to.
    """
    path = Path(folder).expanduser() / name
    if path.exists():
        return _read(path, shape)
    path.parent.mkdir(parents=True, exist_ok=True)  # before the work of rendering
    images = render()
    _write(path, images)
    return images


def _read(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    try:
        # a zip file has a checksum of its content, which is compared
        with np.load(path, allow_pickle=False) as file:
            images = file["images"]
    except (ValueError, KeyError, EOFError, TypeError, AttributeError, BadZipFile, zlib.error) as e:
        raise OSError(_damaged(path, f"{type(e).__name__}: {e}")) from e
    if images.shape != shape or images.dtype != np.uint8:
        raise OSError(_damaged(path, f"it holds {images.dtype} of shape {images.shape}"))
    return images


def _damaged(path: Path, found: str) -> str:
    return f"The kept images in {path} are damaged ({found}): delete this file to draw them anew."


def _write(path: Path, images: np.ndarray) -> None:
    """Write to another name first: who reads meanwhile, or is interrupted, finds no half a file."""
    unfinished = path.with_name(f"{path.name}.{uuid4().hex}.tmp")
    try:
        with unfinished.open("xb") as file:
            np.savez(file, images=images)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
