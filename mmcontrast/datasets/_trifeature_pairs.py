"""Pairs of Trifeature images with known interactions."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.utils import Bunch, check_random_state, check_scalar

from .._names import did_you_mean
from ..modalities import Modalities
from ..modalities._values import Block

_N = 10
_MAX_ROUNDS = 1000
_MAX_REDRAWS = 100
_LARGEST_MATCHING = 500  # pairs; its time grows with the cube, its memory with the square
_FORBIDDEN = 1e6
_NEEDED = ("images", "shape", "texture", "colour", "split")


def make_trifeature_pairs(
    data: Bunch,
    n_pairs: int = 10_000,
    *,
    split: str = "train",
    biased: float = 0.0,
    balanced: bool = False,
    map_state: int = 0,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[Modalities, dict[str, np.ndarray]]:
    r"""Pair Trifeature images so that redundancy, uniqueness and synergy can be probed.

    The images of a pair have the same shape and different textures. So the shape is redundant,
    each texture is unique to its image, and whether the colour of the second image is the one that
    a fixed map gives to the texture of the first is a question that neither answers alone.

    Parameters
    ----------
    data : Bunch
        Images of :func:`make_trifeature`. They are not copied: the modalities hold their rows.
    n_pairs : int, default=10_000
        Number of pairs, drawn with replacement. The paper has 10 000 of "train" and 4 096 of
        "test".
    split : {"train", "test"}, default="train"
        Which images to pair. The same combination is never in both.
    biased : float in [0, 1], default=0
        Share of the pairs that are chosen to respect the map; the others do not look at it, and
        one in ten of them respects it by chance. 0 is the paper's first experiment, 1 the training
        set of its second, which plants a dependence of the modalities.
    balanced : bool, default=False
        Whether exactly half of the pairs are to respect the map, and every image to occur as often
        in pairs that do as in pairs that do not: on its own, no image tells anything. For tests of
        synergy by plain accuracy.
    map_state : int, default=0
        Seed of the map from texture to colour, a permutation, and of nothing else. Training and
        test pairs have the same map unless they are given different ones.
    random_state : int, RandomState or None, default=None
        Seed of the pairs.

    Returns
    -------
    X : Modalities
        `image1` and `image2`, each of shape (n_pairs, 3, height, width), uint8.
    targets : dict of str to ndarray of int, shape (n_pairs,)
        "shape" (redundant), "texture1" and "texture2" (unique), "synergy" (1 if the pair respects
        the map), "colour1", "colour2", "mapped_colour" (what the map gives to "texture1"), and the
        rows "row1" and "row2" of the images in `data`.

    Raises
    ------
    ValueError
        If an argument is out of its range, `biased` and `balanced` are both asked for, there are
        too few pairs to balance (of fewer than 100, it depends on the draw), or `data` has no image
        that a pair could be made with.
    TypeError
        If `data` is not what :func:`make_trifeature` returns, or an argument is of a wrong type.

    See Also
    --------
    make_trifeature : The images.

    Notes
    -----
    Test pairs without balance are those of the paper: about 10 % respect the map, so synergy is to
    be measured by balanced accuracy. The 200 test images make 3 600 ordered pairs of one shape and
    two textures, so some of 4 096 occur more than once; ``n_test_renders`` of
    :func:`make_trifeature` gives more.

    In pairs that respect the map, the texture of the first image and the colour of the second
    determine each other: what the paper measures as synergy is *redundant* in a training set with
    ``biased=1``, and genuine synergy is learned from one with ``biased=0`` or not at all. Measure
    uniqueness on models that were trained without bias.

    Balance is exact: the pairs that do not respect the map are those that do, with their second
    images exchanged within a shape.

    References
    ----------
    Dufumier, Castillo-Navarro, Tuia and Thiran. "What to align in multimodal contrastive
    learning?", ICLR 2025, section 4.1 and appendix B.5.

    Examples
    --------
    >>> from mmcontrast.datasets import make_trifeature, make_trifeature_pairs
    >>> data = make_trifeature(32, n_renders=1)
    >>> X, targets = make_trifeature_pairs(data, 1000, biased=1.0, random_state=0)
    >>> X
    Modalities of 1000 rows
      image1  (1000, 3, 32, 32)  uint8
      image2  (1000, 3, 32, 32)  uint8
    >>> targets["synergy"].mean()
    np.float64(1.0)
    >>> _, test = make_trifeature_pairs(data, 1000, split="test", balanced=True, random_state=0)
    >>> test["synergy"].mean()
    np.float64(0.5)
    """
    _check_data(data)
    check_scalar(n_pairs, "n_pairs", Integral, min_val=1)
    check_scalar(biased, "biased", Real)
    if not 0 <= biased <= 1:  # so that NaN is refused as well
        raise ValueError(f"biased is {biased}, expected a share in [0, 1].")
    check_scalar(map_state, "map_state", Integral, min_val=0)
    rows = _rows_of(data, split)
    colour_of = np.random.RandomState(map_state).permutation(_N)
    rng = check_random_state(random_state)
    shape, texture, colour = (np.asarray(data[name])[rows] for name in _NEEDED[1:4])
    pool = _Pool(rng, shape, texture, colour, colour_of[texture])
    if balanced:
        _check_balance(n_pairs, biased)
        pairs = pool.draw_balanced(n_pairs)
    else:
        pairs = pool.draw(n_pairs, round(biased * n_pairs))
    first, second = (rows[which] for which in pairs)
    blocks = {"image1": Block(data.images, first), "image2": Block(data.images, second)}
    return Modalities._build(blocks), _targets(data, first, second, colour_of)


class _Pool:
    """Images of one split, from which pairs are drawn; images are numbers from 0 on."""

    def __init__(
        self,
        rng: np.random.RandomState,
        shape: np.ndarray,
        texture: np.ndarray,
        colour: np.ndarray,
        wanted_colour: np.ndarray,
    ) -> None:
        self.rng = rng
        self.shape, self.texture, self.colour = shape, texture, colour
        self.wanted_colour = wanted_colour

    def draw(self, n_pairs: int, n_respecting: int) -> np.ndarray:
        """Draw pairs (2, n_pairs), of which some have to respect the map."""
        first = self.rng.randint(len(self.shape), size=n_pairs)
        respecting, any_colour = np.split(first, [n_respecting])
        base = _N * self.shape
        second = np.concatenate(
            [
                self._partners(respecting, base + self.colour, base + self.wanted_colour),
                self._partners(any_colour, base, base),
            ]
        )
        return np.stack([first, second])[:, self.rng.permutation(n_pairs)]

    def draw_balanced(self, n_pairs: int) -> np.ndarray:
        """Draw pairs (2, n_pairs) that respect the map, and exchange second images of half."""
        for _ in range(_MAX_REDRAWS):
            half = self.draw(n_pairs // 2, n_pairs // 2)
            exchanged = self._exchanged_within_shapes(half)
            if exchanged is not None:
                pairs = np.concatenate([half, exchanged], axis=1)
                return pairs[:, self.rng.permutation(n_pairs)]
        raise ValueError(
            f"{n_pairs} pairs are too few to balance: however they were drawn, some that respect "
            "the map found no second image to exchange theirs with. Raise n_pairs, or pass "
            "balanced=False."
        )

    def _exchanged_within_shapes(self, half: np.ndarray) -> np.ndarray | None:
        """The pairs with their second images exchanged, or None if that is impossible."""
        blocks = []
        for shape in np.unique(self.shape[half[0]]):
            group = half[:, self.shape[half[0]] == shape]
            n_blocks = -(-group.shape[1] // _LARGEST_MATCHING)
            for block in np.array_split(group, n_blocks, axis=1):
                exchanged = self._exchanged(block)
                if exchanged is None:
                    return None
                blocks.append(exchanged)
        return np.concatenate(blocks, axis=1)

    def _partners(self, first: np.ndarray, group: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """For each image one of the group that it wants, of a different texture."""
        order = np.argsort(group, kind="stable")
        size = np.bincount(group, minlength=_N * _N)
        start = np.cumsum(size) - size
        partner = np.zeros_like(first)
        left = np.arange(len(first))
        for _ in range(_MAX_ROUNDS):
            group_of = wanted[first[left]]
            drawn = start[group_of] + self.rng.uniform(size=len(left)) * size[group_of]
            partner[left] = order[np.minimum(drawn.astype(np.intp), len(order) - 1)]
            same = self.texture[partner[left]] == self.texture[first[left]]
            left = left[same | (size[group_of] == 0)]
            if not len(left):
                return partner
        raise ValueError(
            "data lacks images: for some image there is none of the same shape, of another texture "
            "and, where the map is to be respected, of the colour that it asks for. Pass all "
            "images that make_trifeature returned."
        )

    def _exchanged(self, pairs: np.ndarray) -> np.ndarray | None:
        """Re-pair the images so that textures differ and no pair respects the map, at random.

        None if there is no such way.
        """
        first, second = pairs
        forbidden = self.texture[first][:, None] == self.texture[second]
        forbidden |= self.wanted_colour[first][:, None] == self.colour[second]
        cost = self.rng.uniform(size=forbidden.shape)
        cost[forbidden] = _FORBIDDEN
        _, matched = linear_sum_assignment(cost)
        if forbidden[np.arange(len(first)), matched].any():
            return None
        return np.stack([first, second[matched]])


def _targets(
    data: Bunch, first: np.ndarray, second: np.ndarray, colour_of: np.ndarray
) -> dict[str, np.ndarray]:
    mapped = colour_of[data.texture[first]]
    return {
        "shape": data.shape[first],
        "texture1": data.texture[first],
        "texture2": data.texture[second],
        "synergy": (data.colour[second] == mapped).astype(np.int64),
        "colour1": data.colour[first],
        "colour2": data.colour[second],
        "mapped_colour": mapped,
        "row1": first,
        "row2": second,
    }


def _check_data(data: Any) -> None:
    missing = [name for name in _NEEDED if name not in data] if isinstance(data, Bunch) else _NEEDED
    if missing:
        raise TypeError(
            f"data is of type {type(data).__name__} without {', '.join(missing)}; expected the "
            "Bunch that make_trifeature returns."
        )
    n_rows = {name: len(data[name]) for name in _NEEDED}
    if len(set(n_rows.values())) > 1:
        listed = ", ".join(f"{name}: {n}" for name, n in n_rows.items())
        raise ValueError(f"data has unequal numbers of rows ({listed}); expected one per image.")


def _rows_of(data: Bunch, split: Any) -> np.ndarray:
    splits = ("train", "test")
    if not isinstance(split, str) or split not in splits:
        raise ValueError(
            f"split is {split!r}, expected 'train' or 'test'.{did_you_mean(split, splits)}"
        )
    rows = np.flatnonzero(np.asarray(data.split) == split)
    if not len(rows):
        raise ValueError(f"data has no image of split {split!r}.")
    return rows


def _check_balance(n_pairs: int, biased: float) -> None:
    if biased:
        raise ValueError(
            f"biased is {biased}, but balanced=True already sets the share of pairs that respect "
            "the map to one half. Leave out one of them."
        )
    if n_pairs % 2:
        raise ValueError(f"n_pairs is {n_pairs}, expected an even number with balanced=True.")
