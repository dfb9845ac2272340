import itertools
import time

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier

from mmcontrast.datasets import _trifeature, make_trifeature

FEATURES = ("shape", "texture", "colour")
RADIUS = 64 / 224  # of the circle around a shape, in units of the canvas

# in units of the square of the circle's radius, by school geometry
AREAS = {
    "triangle": 3 * 3**0.5 / 4,
    "square": 1.4**2,
    "plus": 2 * 0.56 * 1.9 - 0.56**2,
    "circle": np.pi * 0.85**2,
    "tee": 1.6 * 0.46 + 0.48 * (0.92 + 0.13),
    "rhombus": 2 * 0.58,
    "pentagon": 2.5 * np.sin(2 * np.pi / 5),
    "star": 10 * np.sin(np.pi / 5) * np.cos(2 * np.pi / 5) / np.cos(np.pi / 5) / 2,
    "fivesquare": 5 * 0.46**2,
    "trapezoid": 2 * 0.61,
}
PAINTED = {
    "solid": 1,
    "stripes": 0.5,
    "grid": 1 - 0.72**2,
    "hexgrid": 1 - 0.72**2,
    "dots": np.pi * 0.33**2,
    "noise": 0.5,
    "triangles": 0.9**2 / 2,
    "zigzags": 0.5,
    "rain": 0.6 * 0.55,
    "pluses": 2 * 0.22 * 0.76 - 0.22**2,
}


@pytest.fixture(scope="module")
def small():
    return make_trifeature(32)


@pytest.fixture(scope="module")
def medium():
    return make_trifeature(64, n_renders=1)


@pytest.fixture(scope="module")
def large():
    return make_trifeature(224, n_renders=1, texture_period=42)


def codes_of(data, split):
    rows = data.split == split
    return np.stack([data[name][rows] for name in FEATURES], axis=1)


def coverage(images, colour):
    """Shares of each pixel that are shape and paint: least squares in the three channels."""
    palette = np.array(list(_trifeature.COLOURS.values()), dtype=float)[colour]
    mixed = np.stack([np.full_like(palette, 128), palette], axis=2)
    shares = np.einsum("nkc,nchw->nkhw", np.linalg.pinv(mixed), images.astype(float))
    return 1 - shares[:, 0], shares[:, 1]


def not_white(data):
    """White cannot be told from grey and black."""
    return data.colour != data.colour_names.index("white")


# ------------------------------------------------------------------ images
def test_counts(small):
    assert small.images.shape == (2600, 3, 32, 32)
    assert small.images.dtype == np.uint8
    assert [len(small[f"{name}_names"]) for name in FEATURES] == [10, 10, 10]
    train, counts = np.unique(codes_of(small, "train"), axis=0, return_counts=True)
    test, test_counts = np.unique(codes_of(small, "test"), axis=0, return_counts=True)
    assert len(train) == 800 and set(counts) == {3}
    assert len(test) == 200 and set(test_counts) == {1}
    assert not set(map(tuple, train)) & set(map(tuple, test))


def test_numbers_of_renders():
    data = make_trifeature(16, n_renders=2, n_test_renders=4)
    assert [int((data.split == s).sum()) for s in ("train", "test")] == [1600, 800]


@pytest.mark.parametrize("split, n", [("train", 8), ("test", 2)])
@pytest.mark.parametrize("seed", [0, 1])
def test_features_are_independent_in_both_splits(split, n, seed):
    data = make_trifeature(16, n_renders=1, random_state=seed)
    codes = codes_of(data, split)
    for a, b in itertools.combinations(range(3), 2):
        np.testing.assert_array_equal(np.bincount(10 * codes[:, a] + codes[:, b]), [n] * 100)


def test_reproducible(small):
    again = make_trifeature(32, random_state=np.random.RandomState(0))
    for name in ("images", "split", *FEATURES):
        np.testing.assert_array_equal(again[name], small[name])
    other = make_trifeature(16, n_renders=1, random_state=1)
    assert set(map(tuple, codes_of(other, "test"))) != set(map(tuple, codes_of(small, "test")))


def test_renders_of_a_combination_differ(small):
    train = small.images[small.split == "train"].reshape(800, 3, -1)
    for a, b in itertools.combinations(range(3), 2):
        assert (train[:, a] != train[:, b]).any(axis=1).all()


def test_the_same_scene_in_every_size(large):
    tiny = make_trifeature(32, n_renders=1, texture_period=6)
    pooled = large.images[::5].reshape(-1, 3, 32, 7, 32, 7).mean(axis=(3, 5), dtype=np.float32)
    tiny = tiny.images[::5].astype(np.float32)
    difference = np.abs(pooled - tiny).mean(axis=(1, 2, 3))
    assert difference.max() < 2
    elsewhere = np.abs(np.roll(pooled, 1, axis=3) - tiny).mean(axis=(1, 2, 3))
    assert (elsewhere > 3 * difference).all()


def test_shapes_are_where_they_are_whatever_the_texture(small):
    other = make_trifeature(32, texture_period=9)
    assert (other.images != small.images).mean() > 0.05
    rows = not_white(small)
    covered = [coverage(d.images[rows], d.colour[rows])[0] for d in (small, other)]
    np.testing.assert_allclose(*covered, atol=0.03)  # rounded to uint8


def test_areas_of_shapes_and_textures(medium):
    rows = not_white(medium)
    covered, painted = coverage(medium.images[rows], medium.colour[rows])
    covered, painted = covered.sum(axis=(1, 2)), painted.sum(axis=(1, 2))
    shape, texture = medium.shape[rows], medium.texture[rows]
    radius = RADIUS * 64
    for code, name in enumerate(medium.shape_names):
        np.testing.assert_allclose(covered[shape == code] / radius**2, AREAS[name], rtol=0.02)
    for code, name in enumerate(medium.texture_names):
        share = painted[texture == code].sum() / covered[texture == code].sum()
        assert share == pytest.approx(PAINTED[name], abs=0.02), name


def centroids_and_angles(weights):
    """Centre of mass in units of the canvas, and angle of the longest axis from the vertical."""
    size = weights.shape[-1]
    at = (np.arange(size) + 0.5) / size
    total = weights.sum(axis=(1, 2))
    x, y = (weights.sum(axis=axis) @ at / total for axis in (1, 2))
    dx, dy = at - x[:, None], at - y[:, None]
    xx = np.einsum("nhw,nw,nw->n", weights, dx, dx)
    yy = np.einsum("nhw,nh,nh->n", weights, dy, dy)
    xy = np.einsum("nhw,nh,nw->n", weights, dy, dx)
    return np.stack([x, y]), np.rad2deg(0.5 * np.arctan2(-2 * xy, yy - xx))


def test_places_and_angles(medium):
    centred = ["square", "plus", "circle", "rhombus", "fivesquare"]  # where their circle is
    rows = not_white(medium) & np.isin(np.array(medium.shape_names)[medium.shape], centred)
    centre, angle = centroids_and_angles(coverage(medium.images[rows], medium.colour[rows])[0])
    for c in centre:
        assert RADIUS - 0.01 < c.min() < RADIUS + 0.01
        assert 1 - RADIUS - 0.01 < c.max() < 1 - RADIUS + 0.01
        quartiles = RADIUS + (1 - 2 * RADIUS) * np.array([0.25, 0.5, 0.75])
        np.testing.assert_allclose(np.quantile(c, [0.25, 0.5, 0.75]), quartiles, atol=0.03)
    angle = angle[medium.shape[rows] == medium.shape_names.index("rhombus")]
    assert -46 < angle.min() < -40 and 40 < angle.max() < 46
    assert abs(np.median(angle)) < 8


def test_texture_has_an_angle_of_its_own(large):
    """The direction across stripes, against the axis of the rhombus that they are on."""
    names = np.array(large.shape_names)[large.shape], np.array(large.texture_names)[large.texture]
    rows = not_white(large) & (names[0] == "rhombus") & (names[1] == "stripes")
    covered, painted = coverage(large.images[rows], large.colour[rows])
    dy, dx = np.gradient(painted, axis=(1, 2))
    inside = covered > 0.99  # the outline has a gradient, too
    xx, yy, xy = ((a * b * inside).sum(axis=(1, 2)) for a, b in ((dx, dx), (dy, dy), (dx, dy)))
    across = np.rad2deg(0.5 * np.arctan2(2 * xy, xx - yy))
    _, axis = centroids_and_angles(covered)
    assert np.abs(across).max() < 47 and np.ptp(across) > 40
    assert np.ptp(across - axis) > 40 and np.ptp(across + axis) > 40


def test_every_shape_and_texture_can_be_told(small):
    """Trees on features without place, learned on other combinations."""
    figure = np.abs(small.images.astype(int) - 128).max(axis=1) > 2
    ink = small.images.max(axis=1) * figure / small.images.max(axis=(1, 2, 3))[:, None, None]
    features = {
        "shape": np.stack([centred(one) for one in figure]),
        "texture": np.abs(np.fft.rfft2(ink)),
    }
    train, test = small.split == "train", small.split == "test"
    for name, X in features.items():
        X = X.reshape(len(X), -1)
        trees = ExtraTreesClassifier(50, random_state=0).fit(X[train], small[name][train])
        right = trees.predict(X[test]) == small[name][test]
        assert right.mean() > {"shape": 0.95, "texture": 0.75}[name]
        assert np.bincount(small[name][test], right).min() >= 10  # of 20


def centred(mask):
    y, x = np.nonzero(mask)
    return np.roll(mask, (16 - round(y.mean()), 16 - round(x.mean())), axis=(0, 1))


# ------------------------------------------------------------------- files
@pytest.fixture
def no_rendering(monkeypatch):
    def render(*args):
        raise AssertionError("rendered")

    monkeypatch.setattr(_trifeature, "_render", render)


TINY = dict(image_size=16, n_renders=1)


def test_images_are_kept_and_found(tmp_path, monkeypatch):
    folder = tmp_path / "new" / "folder"
    first = make_trifeature(**TINY, data_home=folder)
    assert len(list(folder.iterdir())) == 1
    monkeypatch.setattr(_trifeature, "_render", None)
    again = make_trifeature(**TINY, data_home=str(folder))
    for name in ("images", "split", *FEATURES):
        np.testing.assert_array_equal(again[name], first[name])
    monkeypatch.undo()
    np.testing.assert_array_equal(make_trifeature(**TINY).images, first.images)


@pytest.mark.parametrize(
    "other",
    [
        {"image_size": 17},
        {"n_renders": 2},
        {"n_test_renders": 2},
        {"texture_period": 6},
        {"random_state": 1},
    ],
    ids=str,
)
def test_other_parameters_are_another_file(tmp_path, other):
    make_trifeature(**TINY, data_home=tmp_path)
    n_images = len(make_trifeature(**TINY | other, data_home=tmp_path).images)
    assert len(list(tmp_path.iterdir())) == 2
    assert n_images == 800 * other.get("n_renders", 1) + 200 * other.get("n_test_renders", 1)


def test_nothing_is_kept_unless_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    make_trifeature(**TINY)
    assert not list(tmp_path.iterdir())


def flipped_bit(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:-10],
        lambda content: b"x" + content[1:],
        flipped_bit,
    ],
    ids=["empty", "half", "end", "start", "bit"],
)
def test_a_damaged_file_is_named(tmp_path, damage):
    make_trifeature(**TINY, data_home=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(OSError, match="damaged.*delete this file") as error:
        make_trifeature(**TINY, data_home=tmp_path)
    assert str(file) in str(error.value)
    file.unlink()
    make_trifeature(**TINY, data_home=tmp_path)


@pytest.mark.parametrize(
    "content",
    [{"images": np.zeros((3, 2), np.uint8)}, {"other": np.zeros(3)}],
    ids=["shape", "key"],
)
def test_a_file_with_something_else_is_damaged(tmp_path, content):
    make_trifeature(**TINY, data_home=tmp_path)
    (file,) = tmp_path.iterdir()
    np.savez(file, **content)
    with pytest.raises(OSError, match="damaged"):
        make_trifeature(**TINY, data_home=tmp_path)


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(file, **arrays):
        file.write(b"some")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_trifeature(**TINY, data_home=tmp_path)
    assert not list(tmp_path.iterdir())


# --------------------------------------------------------- speed, bad input
def test_speed(small):
    start = time.process_time()
    make_trifeature(32)
    assert time.process_time() - start < 5


@pytest.mark.slow
def test_speed_at_the_size_of_the_paper():
    start = time.process_time()
    make_trifeature()
    assert time.process_time() - start < 60


@pytest.mark.parametrize(
    "wrong, error, message",
    [
        ({"image_size": 15}, ValueError, "image_size == 15, must be >= 16"),
        ({"image_size": 32.0}, TypeError, "image_size must be an instance of int"),
        ({"n_renders": 0}, ValueError, "n_renders == 0, must be >= 1"),
        ({"n_test_renders": 0}, ValueError, "n_test_renders == 0"),
        ({"texture_period": 1}, ValueError, "texture_period is 1, expected pixels between 2 and"),
        ({"texture_period": 225}, ValueError, "expected pixels between 2 and image_size=224"),
        ({"texture_period": np.nan}, ValueError, "texture_period is nan"),
        ({"texture_period": "fine"}, TypeError, "texture_period must be an instance of float"),
        ({"random_state": "a"}, ValueError, "cannot be used to seed"),
        ({"random_state": None, "data_home": "x"}, ValueError, "random_state is None.*pass an int"),
    ],
)
def test_bad_input(wrong, error, message, no_rendering, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        make_trifeature(**wrong)
    assert not list(tmp_path.iterdir())
