"""Images of a shape with a texture and a colour."""

from __future__ import annotations

import os
from numbers import Integral, Real

import numpy as np
from sklearn.utils import Bunch, check_random_state, check_scalar

from ._image_cache import cached_images
from ._shapes import SHAPES, Shape
from ._textures import TEXTURES, Texture

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (228, 26, 28),
    "green": (40, 170, 50),
    "blue": (45, 60, 245),
    "yellow": (250, 230, 30),
    "pink": (255, 140, 195),
    "cyan": (40, 235, 235),
    "purple": (150, 50, 200),
    "ocean": (0, 119, 190),
    "orange": (255, 140, 0),
    "white": (255, 255, 255),
}
_N = 10  # values of each feature
_BACKGROUND = 128
_RADIUS = 64 / 224  # of the circle that a shape fits in, in units of the canvas
_PERIOD = 10 / 224
_FINEST_PERIOD = 5  # px; a plus sign or a dot needs as much
_SAMPLES_ACROSS = 192  # over the canvas, within the limits below: what smooths the edges
_MIN_SAMPLES, _MAX_SAMPLES = 3, 6  # across a pixel
_CHUNK_PIXELS = 2**17  # about what stays in a processor's cache
# raised by each change of what is drawn: images in a cache are of one version
_VERSION = 1


def make_trifeature(
    image_size: int = 224,
    n_renders: int = 3,
    *,
    n_test_renders: int = 1,
    texture_period: float | None = None,
    random_state: int | np.random.RandomState | None = 0,
    data_home: str | os.PathLike[str] | None = None,
) -> Bunch:
    """Draw images of ten shapes, in ten textures and ten colours: Trifeature.

    A shape is drawn within a circle of 128/224 of the canvas, rotated by an angle in [-45, 45]
    degrees and put at a random place of a grey canvas. The texture is rotated on its own and
    painted in the colour, with gaps in black. Of the 1 000 combinations 800 are for training.

    Parameters
    ----------
    image_size : int, default=224
        Height and width of the images in pixels, at least 16. The same seed draws the same scenes
        in every size.
    n_renders : int, default=3
        Number of images of each training combination, in different places and at other angles.
    n_test_renders : int, default=1
        Number of images of each test combination.
    texture_period : float, default=None
        Period of the textures in pixels, from 2 to `image_size`. None is 10 px at 224 px, scaled
        with the canvas, but not below 5 px: finer textures can hardly be told apart.
    random_state : int, RandomState or None, default=0
        Seed of the split, places, angles and textures.
    data_home : str or path-like, default=None
        Folder in which rendered images are kept, one file for each set of parameters, and looked
        for. None keeps nothing. The 2 600 images take 0.4 GB at 224 px, 8 MB at 32 px.

    Returns
    -------
    data : Bunch
        With the attributes

        images : ndarray of uint8, shape (n_images, 3, image_size, image_size)
            Red, green and blue; 2 600 images unless other numbers of renders are asked for.
        shape, texture, colour : ndarray of int, shape (n_images,)
            Codes in 0..9.
        split : ndarray of str, shape (n_images,)
            "train" or "test".
        shape_names, texture_names, colour_names : list of str
            What the codes mean.

    Raises
    ------
    ValueError
        If a number is out of its range, or images are to be kept whose seed is not an int.
    TypeError
        If an argument is not a number where one is needed.
    OSError
        If a kept file is damaged; the message names it.

    See Also
    --------
    make_trifeature_pairs : Pairs of these images, with known interactions.

    Notes
    -----
    The split is random but balanced, which the paper does not ask for: each pair of codes (a shape
    and a texture, a shape and a colour, a texture and a colour) has 8 training and 2 test
    combinations. So all values of a feature are equally frequent and any two features independent
    in both splits, and any shape meets any colour.

    References
    ----------
    Hermann and Lampinen. "What shapes feature representations? Exploring datasets, architectures,
    and training", NeurIPS 2020.

    Dufumier, Castillo-Navarro, Tuia and Thiran. "What to align in multimodal contrastive
    learning?", ICLR 2025, appendices B.5 and E.1.

    Examples
    --------
    >>> from mmcontrast.datasets import make_trifeature
    >>> data = make_trifeature(32, n_renders=1)
    >>> data.images.shape, data.images.dtype
    ((1000, 3, 32, 32), dtype('uint8'))
    >>> int((data.split == "train").sum())
    800
    >>> data.colour_names[data.colour[0]]
    'red'
    """
    check_scalar(image_size, "image_size", Integral, min_val=16)
    check_scalar(n_renders, "n_renders", Integral, min_val=1)
    check_scalar(n_test_renders, "n_test_renders", Integral, min_val=1)
    if texture_period is None:
        texture_period = max(_PERIOD * image_size, _FINEST_PERIOD)
    check_scalar(texture_period, "texture_period", Real)
    if not 2 <= texture_period <= image_size:  # so that NaN is refused as well
        raise ValueError(
            f"texture_period is {texture_period}, expected pixels between 2 and image_size="
            f"{image_size}."
        )

    rng = check_random_state(random_state)
    codes, split = _draw_codes(rng, n_renders, n_test_renders)
    scenes = _draw_scenes(rng, len(split))

    def render() -> np.ndarray:
        return _render(codes, scenes, int(image_size), float(texture_period))

    if data_home is None:
        images = render()
    else:
        name = (
            f"trifeature-v{_VERSION}-{image_size}px-{n_renders}x{n_test_renders}-"
            f"period{float(texture_period)!r}-seed{_seed_to_keep(random_state)}.npz"
        )
        shape = (len(split), 3, int(image_size), int(image_size))
        images = cached_images(data_home, name, shape, render)
    return Bunch(
        images=images,
        shape=codes[0],
        texture=codes[1],
        colour=codes[2],
        split=split,
        shape_names=list(SHAPES),
        texture_names=list(TEXTURES),
        colour_names=list(COLOURS),
    )


def _draw_codes(
    rng: np.random.RandomState, n_renders: int, n_test_renders: int
) -> tuple[np.ndarray, np.ndarray]:
    """Codes (3, n_images) of shape, texture and colour, and the split of each image."""
    combinations = np.indices((_N,) * 3).reshape(3, -1)
    # a Latin square in disguise: two of the features and the residue leave one choice of the third
    labels = [rng.permutation(_N)[codes] for codes in combinations]
    residue = np.sum(labels, axis=0) % _N
    is_test = (residue == 0) | (residue == rng.randint(1, _N))
    rows = np.concatenate(
        [
            np.repeat(np.flatnonzero(~is_test), n_renders),
            np.repeat(np.flatnonzero(is_test), n_test_renders),
        ]
    )
    return combinations[:, rows], np.where(is_test[rows], "test", "train")


def _draw_scenes(rng: np.random.RandomState, n: int) -> dict[str, np.ndarray]:
    """Where and at which angle to draw; lengths in units of the canvas, or of the period."""
    return {
        "centre": rng.uniform(_RADIUS, 1 - _RADIUS, (n, 2)),
        "angle": np.deg2rad(rng.uniform(-45, 45, n)),
        "texture_angle": np.deg2rad(rng.uniform(-45, 45, n)),
        "texture_phase": rng.uniform(0, 2, (n, 2)),
        "texture_seed": rng.randint(2**32, size=n, dtype=np.uint32),
    }


def _render(
    codes: np.ndarray, scenes: dict[str, np.ndarray], size: int, period: float
) -> np.ndarray:
    """Draw all images; those of one shape and texture together."""
    images = np.full((codes.shape[1], 3, size, size), _BACKGROUND, dtype=np.uint8)
    width = min(size, int(np.ceil(2 * _RADIUS * size)) + 1)
    n_chunk = max(1, _CHUNK_PIXELS // width**2)
    palette = np.array(list(COLOURS.values()), dtype=np.float32)
    for s, shape in enumerate(SHAPES.values()):
        for t, texture in enumerate(TEXTURES.values()):
            group = np.flatnonzero((codes[0] == s) & (codes[1] == t))
            for start in range(0, len(group), n_chunk):
                rows = group[start : start + n_chunk]
                scene = {name: values[rows] for name, values in scenes.items()}
                covered, painted = _coverage(shape, texture, scene, size, width, period)
                colours = palette[codes[2, rows]]
                _paint(images, rows, _corner(scene, size, width), covered, painted, colours)
    return images


def _corner(scene: dict[str, np.ndarray], size: int, width: int) -> np.ndarray:
    """First column and row (n, 2) of the window that a shape is in."""
    first = np.floor((scene["centre"] - _RADIUS) * size).astype(np.intp)
    return np.clip(first, 0, size - width)


def _coverage(
    shape: Shape,
    texture: Texture,
    scene: dict[str, np.ndarray],
    size: int,
    width: int,
    period: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Which share of each pixel of the windows (n, width, width) is shape, and which is paint."""
    n_samples = int(np.clip(-(-_SAMPLES_ACROSS // size), _MIN_SAMPLES, _MAX_SAMPLES))
    corner = _corner(scene, size, width)
    n = len(corner)
    pixels = corner[:, :, None] - scene["centre"][:, :, None] * size + np.arange(width)
    covered = np.zeros((n, width, width), dtype=np.uint16)
    painted = np.zeros_like(covered)
    seed = scene["texture_seed"][:, None, None]
    phase = scene["texture_phase"]
    for sample in range(n_samples**2):
        row, column = divmod(sample, n_samples)
        x = pixels[:, 0] + (column + 0.5) / n_samples
        y = pixels[:, 1] + (row + 0.5) / n_samples
        inside = shape(*_rotated(x, y, scene["angle"], 1 / (_RADIUS * size)))
        u, v = _rotated(x, y, scene["texture_angle"], 1 / period, phase)
        covered += inside
        painted += inside & texture(u, v, seed)
    share = np.float32(1 / n_samples**2)
    return covered * share, painted * share


def _rotated(
    x: np.ndarray,
    y: np.ndarray,
    angle: np.ndarray,
    scale: float,
    shift: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (n, width, width) in a rotated frame, of the columns x and rows y (n, width)."""
    cos, sin = (scale * np.cos(angle))[:, None], (scale * np.sin(angle))[:, None]
    shift = np.zeros((len(x), 2)) if shift is None else shift
    parts = [cos * x + shift[:, :1], sin * y, shift[:, 1:] - sin * x, cos * y]
    x1, y1, x2, y2 = (part.astype(np.float32) for part in parts)
    return x1[:, None, :] + y1[:, :, None], x2[:, None, :] + y2[:, :, None]


def _paint(
    images: np.ndarray,
    rows: np.ndarray,
    corner: np.ndarray,
    covered: np.ndarray,
    painted: np.ndarray,
    colours: np.ndarray,
) -> None:
    """Blend background, black gaps and colour in the windows of the images."""
    width = covered.shape[1]
    background = np.float32(_BACKGROUND) * (1 - covered) + np.float32(0.5)  # rounds half up
    window = colours[:, :, None, None] * painted[:, None] + background[:, None]
    window = window.astype(np.uint8)
    for row, (left, top), one in zip(rows, corner, window, strict=True):
        images[row, :, top : top + width, left : left + width] = one


def _seed_to_keep(random_state: object) -> int:
    if isinstance(random_state, Integral):
        return int(random_state)
    raise ValueError(
        f"random_state is {random_state!r}, but images are kept in data_home by their seed: pass "
        "an int, or data_home=None."
    )
