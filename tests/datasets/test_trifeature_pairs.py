import pickle
import tracemalloc

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score
from sklearn.utils import Bunch

from mmcontrast import Modalities
from mmcontrast.datasets import make_trifeature, make_trifeature_pairs


@pytest.fixture(scope="module")
def data():
    return make_trifeature(16)


@pytest.fixture(scope="module")
def fewer():
    return make_trifeature(16, n_renders=1)


def map_of(targets):
    """The map, by texture; each texture has to have one colour."""
    pairs = np.unique(np.stack([targets["texture1"], targets["mapped_colour"]], axis=1), axis=0)
    np.testing.assert_array_equal(pairs[:, 0], np.arange(10))
    return pairs[:, 1]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("how", [{}, {"biased": 1.0}, {"biased": 0.3}, {"balanced": True}], ids=str)
def test_pairs(data, split, how):
    X, targets = make_trifeature_pairs(data, 1000, split=split, **how, random_state=0)
    assert isinstance(X, Modalities)
    assert X.row_shapes == {"image1": (3, 16, 16), "image2": (3, 16, 16)}
    assert set(X.dtypes.values()) == {np.dtype("uint8")}
    assert {len(values) for values in targets.values()} == {len(X)} == {1000}
    rows = targets["row1"], targets["row2"]
    for i, row in enumerate(rows, start=1):
        np.testing.assert_array_equal(X[f"image{i}"], data.images[row])
        assert set(data.split[row]) == {split}
        np.testing.assert_array_equal(data.shape[row], targets["shape"])
        np.testing.assert_array_equal(data.texture[row], targets[f"texture{i}"])
        np.testing.assert_array_equal(data.colour[row], targets[f"colour{i}"])
    assert (targets["texture1"] != targets["texture2"]).all()
    respects = map_of(targets)[data.texture[rows[0]]] == data.colour[rows[1]]
    np.testing.assert_array_equal(targets["synergy"], respects)


def test_the_map_is_a_permutation_of_its_own_seed(data):
    maps = [
        map_of(make_trifeature_pairs(data, 500, **how)[1])
        for how in (
            {"random_state": 0},
            {"random_state": 1, "biased": 1.0},
            {"random_state": 2, "split": "test"},
            {"random_state": 3, "split": "test", "balanced": True},
        )
    ]
    assert sorted(maps[0]) == list(range(10))
    for other in maps[1:]:
        np.testing.assert_array_equal(other, maps[0])
    other = map_of(make_trifeature_pairs(data, 500, map_state=1)[1])
    assert (other != maps[0]).sum() > 4
    # nor is it tied to the seed of the images
    redrawn = make_trifeature(16, n_renders=1, random_state=5)
    np.testing.assert_array_equal(map_of(make_trifeature_pairs(redrawn, 500)[1]), maps[0])


def test_reproducible(data):
    def rows(**how):
        targets = make_trifeature_pairs(data, 500, biased=0.5, **how)[1]
        return np.concatenate([targets["row1"], targets["row2"]])

    np.testing.assert_array_equal(rows(random_state=0), rows(random_state=0))
    rng = np.random.RandomState(0)
    np.testing.assert_array_equal(rows(random_state=0), rows(random_state=rng))
    assert (rows(random_state=0) != rows(random_state=1)).mean() > 0.9


@pytest.mark.parametrize("biased", [0.0, 0.4, 1.0])
def test_share_of_pairs_that_respect_the_map(data, biased):
    _, targets = make_trifeature_pairs(data, 10_000, biased=biased, random_state=0)
    assert targets["synergy"].mean() == pytest.approx(biased + (1 - biased) / 10, abs=0.01)


@pytest.mark.parametrize("biased", [0.0, 1.0])
def test_what_depends_on_what(data, biased):
    """Shape is shared; the bias plants texture1 in colour2, and nothing else anywhere."""
    _, targets = make_trifeature_pairs(data, 20_000, biased=biased, random_state=0)
    everything = np.log(10)
    information = {
        (a, b): mutual_info_score(targets[a], targets[b])
        for a in ("shape", "texture1", "colour1")
        for b in ("shape", "texture2", "colour2")
    }
    assert information.pop(("shape", "shape")) == pytest.approx(everything, abs=0.01)
    planted = information.pop(("texture1", "colour2"))
    assert planted == pytest.approx(everything, abs=0.01) if biased else planted < 0.01
    textures = information.pop(("texture1", "texture2"))
    assert textures == pytest.approx(np.log(10 / 9), abs=0.01)  # they differ, no more
    # (texture2 avoids texture1, which colour2 gives away)
    assert max(information.values()) < 0.01


def test_all_images_are_used(data):
    _, targets = make_trifeature_pairs(data, 50_000, random_state=0)
    for row in ("row1", "row2"):
        counts = np.bincount(targets[row], minlength=2600)[data.split == "train"]
        assert counts.min() > 0 and counts.std() < 2.5 * counts.mean() ** 0.5


def test_test_pairs_of_the_paper(data):
    _, targets = make_trifeature_pairs(data, 4096, split="test", random_state=0)
    assert targets["synergy"].mean() == pytest.approx(0.1, abs=0.015)
    distinct = len(set(zip(targets["row1"], targets["row2"], strict=True)))
    assert 2200 < distinct < 2700  # of 3600, with replacement


@pytest.mark.parametrize("split, n_pairs", [("test", 4096), ("train", 10_000)])
def test_balanced_pairs_tell_nothing_by_one_image(data, split, n_pairs):
    _, targets = make_trifeature_pairs(data, n_pairs, split=split, balanced=True, random_state=0)
    y = targets["synergy"].astype(bool)
    assert y.sum() == n_pairs // 2
    for name in ("row1", "row2", "shape", "texture1", "colour1", "texture2", "colour2"):
        counts = [np.bincount(targets[name][y == label], minlength=2600) for label in (0, 1)]
        np.testing.assert_array_equal(*counts)
    # nor by the order of the rows
    assert abs(y[: n_pairs // 2].mean() - 0.5) < 0.05
    # and where the map is not respected, any other colour is as good
    off = (targets["colour2"] - targets["mapped_colour"])[~y] % 10
    counts = np.bincount(off, minlength=10)[1:]
    assert counts.min() > 0.6 * counts.mean()


@given(
    n_pairs=st.integers(1, 400),
    biased=st.floats(0, 1),
    seed=st.integers(0, 2**31),
    split=st.sampled_from(["train", "test"]),
)
def test_any_number_of_pairs_at_any_bias(fewer, n_pairs, biased, seed, split):
    X, targets = make_trifeature_pairs(
        fewer, n_pairs, biased=biased, random_state=seed, map_state=seed, split=split
    )
    assert len(X) == n_pairs
    assert targets["synergy"].sum() >= round(biased * n_pairs)
    np.testing.assert_array_equal(fewer.shape[targets["row1"]], fewer.shape[targets["row2"]])
    assert (targets["texture1"] != targets["texture2"]).all()


@given(seed=st.integers(0, 2**31))
def test_500_pairs_can_be_balanced(fewer, seed):
    _, targets = make_trifeature_pairs(
        fewer, 500, split="test", balanced=True, random_state=seed, map_state=seed
    )
    assert targets["synergy"].sum() == 250


def test_images_are_not_copied(data):
    make_trifeature_pairs(data, 100)
    tracemalloc.start()
    try:
        X, _ = make_trifeature_pairs(data, 50_000, random_state=0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert X.nbytes > 70e6
    assert peak < 20e6
    assert len(pickle.dumps(X)) < 2 * data.images.nbytes


def test_pairs_are_modalities(data):
    X, targets = make_trifeature_pairs(data, 300, random_state=0)
    part = X[[7, 3]]
    np.testing.assert_array_equal(part["image2"], data.images[targets["row2"][[7, 3]]])
    assert X.is_complete
    again = pickle.loads(pickle.dumps(X))
    np.testing.assert_array_equal(again["image1"], X["image1"])
    assert joblib.hash(X) == joblib.hash(make_trifeature_pairs(data, 300, random_state=0)[0])


@pytest.mark.parametrize(
    "wrong, error, message",
    [
        ({"n_pairs": 0}, ValueError, "n_pairs == 0, must be >= 1"),
        ({"n_pairs": 10.0}, TypeError, "n_pairs must be an instance of int"),
        ({"biased": 1.1}, ValueError, r"biased is 1.1, expected a share in \[0, 1\]"),
        ({"biased": -0.1}, ValueError, "biased is -0.1"),
        ({"biased": np.nan}, ValueError, "biased is nan"),
        ({"biased": "all"}, TypeError, "biased must be an instance of float"),
        ({"map_state": None}, TypeError, "map_state must be an instance of int"),
        ({"map_state": -1}, ValueError, "map_state == -1"),
        ({"split": "tets"}, ValueError, "'tets', expected 'train' or 'test'. Did you mean 'test'"),
        ({"split": None}, ValueError, "split is None"),
        ({"balanced": True, "biased": 0.5}, ValueError, "biased is 0.5, but balanced=True"),
        ({"balanced": True, "n_pairs": 501}, ValueError, "501, expected an even number"),
        ({"balanced": True, "n_pairs": 2}, ValueError, "2 pairs are too few to balance.*Raise"),
    ],
)
def test_bad_input(data, wrong, error, message):
    with pytest.raises(error, match=message):
        make_trifeature_pairs(data, **{"random_state": 0} | wrong)


@pytest.mark.parametrize(("n_pairs", "seed"), [(500, 98), (500, 104), (100, 0), (100, 1)])
def test_pairs_that_cannot_be_exchanged_are_drawn_again(data, n_pairs, seed):
    _, y = make_trifeature_pairs(data, n_pairs, split="test", balanced=True, random_state=seed)
    assert y["synergy"].sum() == n_pairs // 2
    for row in ("row1", "row2"):
        of_each = [np.bincount(y[row][y["synergy"] == s], minlength=2600) for s in (0, 1)]
        np.testing.assert_array_equal(*of_each)


@pytest.mark.parametrize("biased", [0.0, 1.0])
def test_data_without_partners(data, biased):
    rows = data.texture == 3
    names = ("images", "shape", "texture", "colour", "split")
    part = Bunch(**{name: data[name][rows] for name in names})
    with pytest.raises(ValueError, match="data lacks images"):
        make_trifeature_pairs(part, 10, biased=biased)


def test_bad_data(data):
    with pytest.raises(TypeError, match="ndarray without images.*make_trifeature returns"):
        make_trifeature_pairs(data.images)
    with pytest.raises(TypeError, match="Bunch without split"):
        make_trifeature_pairs(Bunch(**{k: v for k, v in data.items() if k != "split"}))
    with pytest.raises(ValueError, match=r"unequal numbers of rows.*colour: 5"):
        make_trifeature_pairs(Bunch(**data | {"colour": data.colour[:5]}))
    with pytest.raises(ValueError, match="no image of split 'test'"):
        make_trifeature_pairs(Bunch(**data | {"split": np.full(2600, "train")}), split="test")
