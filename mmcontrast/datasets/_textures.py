"""Ten textures: which points of the plane are painted, in units of the period."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Texture = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _fraction(u: np.ndarray) -> np.ndarray:
    return u - np.floor(u)


def _from_centre(u: np.ndarray) -> np.ndarray:
    """Distance from the centre of the unit cell, in [0, 0.5]."""
    return np.abs(_fraction(u) - 0.5)


def _random_bits(column: np.ndarray, row: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """A random 32-bit number for each cell of a lattice, without drawing them in order."""
    cells = [part.astype(np.int32).view(np.uint32) for part in (column, row)]
    bits = cells[0] * np.uint32(0x9E3779B1) + cells[1] * np.uint32(0x85EBCA77) + seed
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        bits ^= bits >> np.uint32(shift)
        bits *= np.uint32(factor)
    return bits ^ (bits >> np.uint32(16))


def solid(u: np.ndarray, v: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """Everything."""
    return np.ones(u.shape, dtype=bool)


def stripes(u: np.ndarray, v: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """Bars as wide as the gaps."""
    return _fraction(u) < 0.5


def grid(u: np.ndarray, v: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """Crossed lines."""
    return np.maximum(_from_centre(u), _from_centre(v)) > 0.36


def hexgrid(u: np.ndarray, v: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """Outlines of a honeycomb, with cells of 1.4 periods."""
    high = np.float32(3**0.5)
    u, v = u * np.float32(1 / 1.4), v * np.float32(1 / (1.4 * 3**0.5))
    # the centres of the cells are two rectangular lattices, one in the middle of the other
    across, along = _to_cell_edge(_from_centre(u), high * _from_centre(v))
    shifted = _to_cell_edge(0.5 - _from_centre(u), high * (0.5 - _from_centre(v)))
    return np.where(across < shifted[0], along, shifted[1]) > 0.36


def _to_cell_edge(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared distance from a centre, and how far it is to the edge of its hexagon (0.5)."""
    return x * x + y * y, np.maximum(x, 0.5 * x + np.float32(0.75**0.5) * y)


def dots(u: np.ndarray, v: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """Discs on a square lattice."""
    u, v = _from_centre(u), _from_centre(v)
    return u * u + v * v < 0.33**2


def noise(u: np.ndarray, v: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """Small squares, each painted or not at random."""
    bits = _random_bits(np.floor(u * 2.5), np.floor(v * 2.5), seed)
    return bits < np.uint32(2**31)


def triangles(u: np.ndarray, v: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """Rows of triangles, with cells of 1.3 periods."""
    u, v = u * np.float32(1 / 1.3), v * np.float32(1 / 1.3)
    height = _fraction(v)
    return (_from_centre(u) < 0.5 * height) & (height < 0.9)


def zigzags(u: np.ndarray, v: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """Bars that turn by a right angle every period."""
    return _fraction(v + 2 * _from_centre(u * np.float32(0.5))) < 0.5


def rain(u: np.ndarray, v: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """Dashes in columns, each column with an offset of its own."""
    column = np.floor(u * 2)
    offset = _random_bits(column, np.zeros_like(column), seed) * np.float32(2.0**-32)
    drop = _fraction(v * np.float32(1 / 1.8) + offset) < 0.6
    return drop & (_fraction(u * 2) < 0.55)


def pluses(u: np.ndarray, v: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """Small plus signs on a square lattice, with cells of 1.3 periods."""
    u, v = _from_centre(u * np.float32(1 / 1.3)), _from_centre(v * np.float32(1 / 1.3))
    return (np.minimum(u, v) < 0.11) & (np.maximum(u, v) < 0.38)


TEXTURES: dict[str, Texture] = {
    "solid": solid,
    "stripes": stripes,
    "grid": grid,
    "hexgrid": hexgrid,
    "dots": dots,
    "noise": noise,
    "triangles": triangles,
    "zigzags": zigzags,
    "rain": rain,
    "pluses": pluses,
}
