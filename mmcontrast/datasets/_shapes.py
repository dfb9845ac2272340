"""Ten shapes: which points of the unit circle belong to each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Shape = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _regular_polygon(n_edges: int) -> tuple[np.ndarray, np.ndarray]:
    """Outward normals of the edges of a regular polygon with one corner at the top."""
    angles = 2 * np.pi * (np.arange(n_edges) + 0.5) / n_edges - np.pi / 2
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def _inside_polygon(x: np.ndarray, y: np.ndarray, n_edges: int) -> np.ndarray:
    inside = np.ones(x.shape, dtype=bool)
    for normal_x, normal_y in zip(*_regular_polygon(n_edges), strict=True):
        inside &= normal_x * x + normal_y * y <= np.float32(np.cos(np.pi / n_edges))
    return inside


def triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Equilateral triangle."""
    return _inside_polygon(x, y, 3)


def square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Square."""
    return np.maximum(np.abs(x), np.abs(y)) <= 0.7


def plus(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Two crossed bars."""
    across, along = np.abs(x), np.abs(y)
    return (np.minimum(across, along) <= 0.28) & (np.maximum(across, along) <= 0.95)


def circle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Disc."""
    return x * x + y * y <= 0.85**2


def tee(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bar on a stem."""
    across = np.abs(x)
    bar = (across <= 0.8) & (np.abs(y + 0.36) <= 0.23)
    return bar | ((across <= 0.24) & (np.abs(y - 0.37) <= 0.55))


def rhombus(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Rhombus, higher than wide."""
    return np.abs(x) * (1 / 0.58) + np.abs(y) <= 1


def pentagon(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Regular pentagon."""
    return _inside_polygon(x, y, 5)


def star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Five-pointed star: within four of the five lines that it is drawn with."""
    crossed = np.zeros(x.shape, dtype=np.uint8)
    for normal_x, normal_y in zip(*_regular_polygon(5), strict=True):
        crossed += normal_x * x - normal_y * y > np.float32(np.cos(2 * np.pi / 5))
    return crossed <= 1


def fivesquare(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Five squares as the pips of a die."""
    column, row = np.floor((x + 0.69) / 0.46), np.floor((y + 0.69) / 0.46)
    within = np.maximum(np.abs(x), np.abs(y)) < 0.69
    return within & ((column + row) % 2 == 0)


def trapezoid(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Trapezoid on its longer side."""
    return (np.abs(y) <= 0.5) & (np.abs(x) <= 0.61 + 0.48 * y)


SHAPES: dict[str, Shape] = {
    "triangle": triangle,
    "square": square,
    "plus": plus,
    "circle": circle,
    "tee": tee,
    "rhombus": rhombus,
    "pentagon": pentagon,
    "star": star,
    "fivesquare": fivesquare,
    "trapezoid": trapezoid,
}
