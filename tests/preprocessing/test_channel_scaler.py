"""Standardised channels, against StandardScaler of all positions as rows."""

import numpy as np
import pytest
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from mmcontrast import CoMM, Modalities, make_modality_transformer
from mmcontrast.preprocessing import ChannelScaler, ImageLayout

SHAPES = [(30, 3), (30, 2, 7), (30, 3, 4, 5), (30, 1, 2, 3, 4)]


@parametrize_with_checks([ChannelScaler()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def positions(x):
    """Every position of every row as a row of the channels."""
    return np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("batch_bytes", [1, 2**20])
def test_positions_are_standardised_like_rows_of_a_table(shape, batch_bytes, monkeypatch):
    monkeypatch.setattr("mmcontrast.preprocessing._checks._BATCH_BYTES", batch_bytes)
    rng = np.random.default_rng(0)
    centre = 1e3 * rng.normal(size=shape[1]).reshape(-1, *(1,) * (len(shape) - 2))
    x, other = (centre + rng.normal(size=shape) for _ in range(2))
    scaler, plain = ChannelScaler().fit(x), StandardScaler().fit(positions(x))
    np.testing.assert_allclose(scaler.mean_, plain.mean_)
    np.testing.assert_allclose(scaler.scale_, plain.scale_)
    found = scaler.transform(other)
    assert found.dtype == np.float32 and found.shape == shape
    np.testing.assert_allclose(positions(found), plain.transform(positions(other)), atol=1e-5)


def test_bytes_tensors_and_recordings_are_read():
    import mne

    x = np.random.default_rng(0).integers(0, 256, (20, 3, 4, 4), dtype=np.uint8)
    expected = ChannelScaler().fit_transform(x.astype(float))
    np.testing.assert_array_equal(ChannelScaler().fit_transform(x), expected)
    np.testing.assert_array_equal(ChannelScaler().fit_transform(torch.from_numpy(x)), expected)
    volts = 1e-6 * np.random.default_rng(0).normal(size=(10, 2, 50))
    epochs = mne.EpochsArray(volts, mne.create_info(2, 100, "eeg"), verbose="error")
    found = ChannelScaler().fit_transform(epochs)
    np.testing.assert_allclose(found.std(axis=(0, 2)), 1, rtol=1e-5)


def test_a_constant_channel_is_only_centred():
    x = np.random.default_rng(0).normal(size=(10, 2, 5, 5))
    x[:, 1] = 0.1
    found = ChannelScaler().fit_transform(x)
    np.testing.assert_allclose(found[:, 1], 0, atol=1e-7)
    np.testing.assert_allclose(found[:, 0].std(), 1, rtol=1e-5)


def test_other_channels_and_missing_values_are_refused():
    x = np.zeros((4, 3, 5, 5))
    with pytest.raises(ValueError, match="2 features, but ChannelScaler is expecting 3"):
        ChannelScaler().fit(x).transform(x[:, :2])
    assert ChannelScaler().fit(x).transform(x[..., :2]).shape == (4, 3, 5, 2)
    x[2, 1, 0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        ChannelScaler().fit(x)


def test_it_is_what_the_warning_of_a_silent_modality_asks_for(recwarn):
    rng = np.random.default_rng(0)
    photo = 0.5 + 0.003 * rng.normal(size=(80, 3, 16, 16))
    X = Modalities(photo=photo.astype(np.float32), table=rng.normal(size=(80, 8)))
    comm = CoMM(max_epochs=2, embed_dim=16, n_heads=4, random_state=0)
    with pytest.warns(UserWarning, match="'photo'.*mmcontrast.preprocessing.ChannelScaler"):
        comm.fit(X)
    recwarn.clear()
    scaled = make_modality_transformer(
        photo=make_pipeline(ImageLayout(), ChannelScaler()), table="passthrough"
    )
    comm.fit(scaled.fit_transform(X))
    assert not recwarn.list
