"""Images of bytes and of floats, from fit to transform and back from a file."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.pipeline import make_pipeline

from mmcontrast import CoMM, Modalities
from mmcontrast.estimators._values import training_scales
from mmcontrast.preprocessing import ImageLayout

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, size=(24, 3, 8, 8), dtype=np.uint8)
FLOATS = (BYTES / 255).astype(np.float32)
AGE = RNG.normal(size=(24, 2)).astype(np.float32)


def make():
    return CoMM(embed_dim=8, n_heads=2, projection_dims=(8, 8), max_epochs=1, random_state=0)


@pytest.fixture(scope="module")
def fitted():
    return make().fit(Modalities(photo=BYTES, age=AGE))


def test_bytes_are_trained_and_embedded_as_floats_of_0_to_1(fitted):
    on_floats = make().fit(Modalities(photo=FLOATS, age=AGE))
    assert on_floats.history_["train_loss"] == pytest.approx(fitted.history_["train_loss"])
    np.testing.assert_allclose(
        fitted.transform(Modalities(photo=BYTES, age=AGE)),
        on_floats.transform(Modalities(photo=FLOATS, age=AGE)),
        rtol=1e-4,
        atol=1e-5,
    )
    for name, scale in on_floats.scales_.items():
        assert fitted.scales_[name] == pytest.approx(scale, rel=1e-5)


def test_scales_of_other_integers_are_their_own():
    X = Modalities(counts=BYTES.astype(np.int16), table=BYTES[:, 0, 0])
    scales = training_scales(X)
    assert scales["counts"] == pytest.approx(BYTES.std())
    assert scales["table"] == pytest.approx(BYTES[:, 0, 0].std())


def test_the_other_type_is_refused_by_name(fitted, tmp_path):
    fitted.save(tmp_path / "saved")
    again = (CoMM.load(tmp_path / "saved"), pickle.loads(pickle.dumps(fitted)), fitted)
    for estimator in again:
        with pytest.raises(ValueError, match=r"'photo' holds images of float32, .* on uint8"):
            estimator.transform(Modalities(photo=FLOATS, age=AGE))
        assert estimator.transform(Modalities(age=AGE)).shape == (24, 8)
    on_floats = make().fit(Modalities(photo=FLOATS))
    assert on_floats.transform(Modalities(photo=FLOATS.astype(float))).shape == (24, 8)
    for method in (on_floats.transform, on_floats.score):
        with pytest.raises(ValueError, match=r"'photo' holds images of uint8, .* on floats"):
            method(Modalities(photo=BYTES))


def test_plain_arrays_and_tensors_of_bytes():
    fitted = make().fit(torch.from_numpy(BYTES))
    np.testing.assert_array_equal(
        fitted.transform(BYTES), fitted.transform(torch.from_numpy(BYTES))
    )
    with pytest.raises(ValueError, match="'x' holds images of float32"):
        fitted.transform(torch.from_numpy(FLOATS))


def test_channels_on_the_last_axis_are_named():
    with pytest.raises(ValueError, match=r"'photo' .*\(8, 8, 3\).*channels=\"last\""):
        make().fit(Modalities(photo=np.moveaxis(BYTES, 1, -1)))
    with pytest.raises(ValueError, match=r"'photo' .*\(8, 8, 1\).*channels=\"last\""):
        make().fit(Modalities(photo=BYTES[:, 0, :, :, None]))


def test_floats_with_channels_on_the_last_axis_may_be_maps():
    with pytest.warns(UserWarning, match=r"'photo' .*\(8, 8, 3\).*maps of 8 channels.*\"last\""):
        fitted = make().fit(Modalities(photo=np.moveaxis(FLOATS, 1, -1)))
    assert fitted.modalities_ == {"photo": (8, 8, 3)}


def test_a_list_of_images_is_no_list_of_modalities():
    for images in (list(BYTES), list(np.moveaxis(BYTES, 1, -1))):
        with pytest.raises(TypeError, match="If the items are images, .*np.stack"):
            make().fit(images)
    with pytest.raises(TypeError, match=r"fnirs=second\)\.$"):
        make().fit([BYTES, FLOATS])


def test_other_units_than_those_of_fit_are_noticed(recwarn):
    fitted = make().fit(Modalities(photo=FLOATS, age=AGE))
    fitted.transform(Modalities(photo=np.clip(50 * FLOATS, 0, 60), age=AGE))
    fitted.transform(Modalities(photo=FLOATS[:1], age=AGE[:1]))
    assert not recwarn.list
    with pytest.warns(
        UserWarning, match=r"'photo' spread 255 times as much .* in the units of fit"
    ):
        fitted.transform(Modalities(photo=255 * FLOATS, age=AGE))
    with pytest.warns(UserWarning, match="'age' spread 1e.06 times"):
        fitted.transform(Modalities(photo=FLOATS, age=1e6 * AGE))


def test_warnings_point_to_the_line_of_the_user():
    X = Modalities(photo=np.moveaxis(FLOATS, 1, -1), age=AGE)
    calls = (
        lambda: make().fit(X),
        lambda: make().fit_transform(X),
        lambda: make_pipeline(make()).fit(X),
        lambda: ImageLayout().fit_transform(BYTES % 5),
    )
    for call in calls:
        with pytest.warns(UserWarning) as caught:
            call()
        assert [warning.filename for warning in caught] == [__file__]
    fitted = make().fit(Modalities(photo=FLOATS, age=AGE))
    far = Modalities(photo=1000 * FLOATS, age=AGE)
    for call in (fitted.transform, lambda X: fitted.encode_modality(X, "photo")):
        with pytest.warns(UserWarning) as caught:
            call(far)
        assert {warning.filename for warning in caught} == {__file__}
