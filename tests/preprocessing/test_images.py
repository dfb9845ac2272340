"""Layout of images, and the messages about what cannot be laid out."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from mmcontrast import Modalities, make_modality_transformer
from mmcontrast.preprocessing import ImageLayout

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, size=(6, 3, 8, 10), dtype=np.uint8)


@parametrize_with_checks([ImageLayout(), ImageLayout("last"), ImageLayout(None)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("convert", [np.uint8, lambda x: x / 255, lambda x: (x / 255).astype("f4")])
def test_channels_come_first_and_values_stay(convert):
    images = convert(BYTES)
    expected = np.uint8 if images.dtype == np.uint8 else np.float32
    for channels, given in (("first", images), ("last", images.transpose(0, 2, 3, 1))):
        layout = ImageLayout(channels)
        found = layout.fit_transform(given)
        assert found.dtype == expected == layout.dtype_
        np.testing.assert_array_equal(found, images.astype(expected))
        assert layout.image_shape_ == (3, 8, 10)
        assert layout.n_features_in_ == 3
        assert list(layout.get_feature_names_out()) == ["x0", "x1", "x2"]
    grey = ImageLayout(None).fit_transform(images[:, 1])
    np.testing.assert_array_equal(grey, images[:, 1:2].astype(expected))


def test_lists_tensors_and_pillow_images():
    last = BYTES.transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(ImageLayout("last").fit_transform(list(last)), BYTES)
    np.testing.assert_array_equal(ImageLayout().fit_transform(torch.from_numpy(BYTES)), BYTES)
    objects = np.empty(6, dtype=object)
    objects[:] = list(BYTES[:, 0])
    np.testing.assert_array_equal(ImageLayout(None).fit_transform(objects), BYTES[:, :1])
    image = pytest.importorskip("PIL.Image")
    pictures = [image.fromarray(picture) for picture in last]
    np.testing.assert_array_equal(ImageLayout("last").fit_transform(pictures), BYTES)


def test_a_memmap_stays_in_its_file(tmp_path):
    np.save(tmp_path / "images.npy", BYTES.transpose(0, 2, 3, 1))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    found = ImageLayout("last").fit_transform(mapped)
    np.testing.assert_array_equal(found, BYTES)
    assert np.shares_memory(found, mapped)


def test_a_table_passes_as_it_is():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"age": [31.0, 45.0], "weight": [70.5, 82.0]})
    layout = ImageLayout().fit(table)
    np.testing.assert_array_equal(layout.transform(table), table.to_numpy().astype("f4"))
    assert list(layout.get_feature_names_out()) == ["age", "weight"]
    with pytest.raises(ValueError, match="fitted on a 2-D table and is given images"):
        layout.transform(BYTES)
    with pytest.raises(ValueError, match="fitted on images and is given a 2-D table"):
        ImageLayout().fit(BYTES).transform(table)


def test_images_of_unequal_size_are_named():
    images = [np.zeros((3, 8, 10)), np.zeros((3, 8, 10)), np.zeros((3, 9, 7))]
    with pytest.raises(ValueError, match=r"\(3, 8, 10\), \(3, 9, 7\)\. Resize"):
        ImageLayout().fit(images)
    fitted = ImageLayout().fit(BYTES)
    with pytest.raises(ValueError, match="have 7 x 10 pixels, those of fit had 8 x 10; resize"):
        fitted.transform(BYTES[:, :, :7])


@pytest.mark.parametrize("convert", [lambda x: x.astype(float), lambda x: x / 255 - 0.5])
def test_floats_outside_of_their_range_are_named(convert):
    images = convert(BYTES)
    message = f"found values from {images.min():g} to {images.max():g}"
    with pytest.raises(ValueError, match=message):
        ImageLayout().fit(images)
    with pytest.raises(ValueError, match=message):
        ImageLayout().fit(BYTES / 255).transform(images)


def test_the_range_is_checked_in_every_part(monkeypatch):
    monkeypatch.setattr("mmcontrast.preprocessing._checks._BATCH_BYTES", 1)
    images = BYTES / 255
    images[4, 0, 0, 0] = 1.5
    with pytest.raises(ValueError, match=r"to 1\.5"):
        ImageLayout().fit(images)
    images[4, 0, 0, 0] = 1 + 1e-7  # rounding
    ImageLayout().fit(images)
    for bad in (np.nan, np.inf):
        images[2, 0, 0, 0] = bad
        with pytest.raises(ValueError, match="NaN or infinity"):
            ImageLayout().fit(images)


def test_types_that_do_not_go_together():
    mixed = [BYTES[0], BYTES[1], BYTES[2] / 255]
    with pytest.raises(ValueError, match="image 0 is uint8, image 2 is float64"):
        ImageLayout().fit(mixed)
    with pytest.raises(ValueError, match="are float32, those of fit were uint8"):
        ImageLayout().fit(BYTES).transform(BYTES / 255)
    with pytest.raises(ValueError, match="are uint8, those of fit were float32"):
        ImageLayout().fit(BYTES / 255).transform(BYTES)
    with pytest.raises(ValueError, match="found int64; convert"):
        ImageLayout().fit(BYTES.astype(np.int64))


def test_channels_elsewhere_are_named():
    with pytest.raises(ValueError, match='pass channels="last"'):
        ImageLayout().fit(BYTES.transpose(0, 2, 3, 1))
    with pytest.raises(ValueError, match='pass channels="first"'):
        ImageLayout("last").fit(BYTES)
    with pytest.raises(ValueError, match="pass channels=None"):
        ImageLayout().fit(BYTES[:, 0])
    with pytest.raises(ValueError, match='pass channels="first" or channels="last"'):
        ImageLayout(None).fit(BYTES)
    with pytest.raises(ValueError, match="expected"):
        ImageLayout().fit(BYTES[None])
    # an axis that is not the shortest holds no channels: two maps of 8 x 3
    narrow = np.zeros((5, 2, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(ImageLayout().fit_transform(narrow), narrow)
    # both axes could hold channels: what was asked for is done
    square = BYTES[:, :, :4, :4]
    assert ImageLayout("last").fit_transform(square).shape == (6, 4, 3, 4)


def test_pillow_images_whose_numbers_are_no_brightness_are_refused():
    image = pytest.importorskip("PIL.Image")
    photos = [image.fromarray(x) for x in BYTES.transpose(0, 2, 3, 1)]
    for mode in ("P", "CMYK", "HSV", "LA"):
        with pytest.raises(ValueError, match=rf"mode '{mode}'.*image.convert"):
            ImageLayout("last").fit([photo.convert(mode) for photo in photos])
    with pytest.raises(ValueError, match="of mode 'RGB', 'P'"):
        ImageLayout("last").fit([photos[0], photos[1].convert("P")])
    assert ImageLayout("last").fit_transform([p.convert("RGBA") for p in photos]).shape[1] == 4
    grey = [photo.convert("L") for photo in photos]
    assert ImageLayout(None).fit_transform(grey).shape == (6, 1, 8, 10)
    with pytest.raises(ValueError, match=r"\(8, 10, 3\), \(8, 10\)\. Give all .* channels"):
        ImageLayout("last").fit([photos[0], grey[0]])


def test_bytes_of_labels_are_no_images():
    labels = BYTES % 5
    with pytest.warns(UserWarning, match=r"above 4, .* by 255\. If they are masks or labels"):
        layout = ImageLayout().fit(labels)
    assert layout.transform(labels).dtype == np.uint8
    with pytest.raises(ValueError, match=r"found bool; convert them with X.astype\('float32'\)"):
        ImageLayout().fit(labels > 0)


def test_one_modality_of_several_and_set_output():
    pytest.importorskip("pandas")
    X = Modalities(photo=BYTES.transpose(0, 2, 3, 1), age=np.arange(6.0)[:, None])
    layout = make_modality_transformer(photo=ImageLayout("last"))
    found = layout.fit_transform(X)
    assert found.dtypes["photo"] == np.uint8
    np.testing.assert_array_equal(found["photo"], BYTES)
    pipe = make_pipeline(ImageLayout()).set_output(transform="pandas")
    assert isinstance(pipe.fit_transform(BYTES), np.ndarray)
    again = pickle.loads(pickle.dumps(pipe))
    np.testing.assert_array_equal(again.transform(BYTES), BYTES)
