"""Regression on short channels against least squares, and what it is for."""

import mne
import numpy as np
import pytest

from mmcontrast.preprocessing import ShortChannelRegression

rng = np.random.default_rng(0)
NAMES = ["a hbo", "a hbr", "s hbo", "s hbr", "t hbo", "t hbr"]
X = rng.normal(size=(8, 6, 200)) + 5
X[:, 0] += 2 * X[:, 2] - X[:, 4]
X[:, 1] += 3 * X[:, 3]
SHORT = ["s hbo", "s hbr", "t hbo", "t hbr"]


def residual(target, regressors):
    """Least squares of one epoch or of several in a row, all centred epoch by epoch."""
    centred = [part - part.mean(-1, keepdims=True) for part in (target, regressors)]
    y, Z = centred[0].reshape(-1), np.moveaxis(centred[1], -2, -1).reshape(-1, regressors.shape[-2])
    coef = np.linalg.lstsq(Z, y, rcond=None)[0]
    return target - (Z @ coef).reshape(target.shape)


@pytest.mark.parametrize("channel, own", [(0, [2, 4]), (1, [3, 5])])
@pytest.mark.parametrize("regressors", ["all", "mean"])
def test_least_squares_on_channels_of_the_same_kind(channel, own, regressors):
    Z = X[:, own] if regressors == "all" else X[:, own].mean(1, keepdims=True)
    parameters = {"short": SHORT, "regressors": regressors, "ch_names": NAMES}
    found = ShortChannelRegression(**parameters).fit_transform(X)
    assert found.shape == (8, 2, 200)
    np.testing.assert_allclose(found[:, channel], residual(X[:, channel], Z), rtol=1e-4, atol=1e-4)
    of_epochs = ShortChannelRegression(**parameters, scope="epoch").fit_transform(X)
    for row in range(8):
        expected = residual(X[row, channel], Z[row])
        np.testing.assert_allclose(of_epochs[row, channel], expected, rtol=1e-4, atol=1e-4)


def test_kinds_by_wavelength_and_unknown_kinds():
    names = [n.replace("hbo", "760").replace("hbr", "850") for n in NAMES]
    by_wavelength = ShortChannelRegression(short=[2, 3, 4, 5], ch_names=names).fit_transform(X)
    by_chromophore = ShortChannelRegression(short=SHORT, ch_names=NAMES).fit_transform(X)
    np.testing.assert_array_equal(by_wavelength, by_chromophore)
    unknown = ShortChannelRegression(short=[2, 3, 4, 5]).fit(X)
    assert (unknown.coef_ != 0).all()


def test_coefficients_are_those_of_the_training_epochs():
    found = ShortChannelRegression(short=SHORT, ch_names=NAMES).fit(X[:4])
    np.testing.assert_allclose(found.coef_[0, [0, 2]], [2, -1], atol=0.2)
    assert (found.coef_[0, [1, 3]] == 0).all()
    other = X[4:].copy()
    other[:, 2:] = 7.0  # constant: nothing to remove
    np.testing.assert_allclose(found.transform(other), other[:, :2], rtol=1e-5)


def test_removes_the_scalp_and_keeps_the_brain():
    t = np.arange(200) / 10
    brain = np.exp(-(((t - 6) / 2) ** 2)) * rng.uniform(0.5, 1.5, size=(40, 1))
    mayer = np.sin(2 * np.pi * 0.1 * t + rng.uniform(0, 6, size=(40, 1)))
    values = np.stack([brain + 4 * mayer, mayer + 0.02 * rng.normal(size=(40, 200))], axis=1)
    cleaned = ShortChannelRegression(short=[1]).fit_transform(values)[:, 0]
    assert np.corrcoef(values[:, 0].ravel(), brain.ravel())[0, 1] < 0.4
    assert np.corrcoef(cleaned.ravel(), brain.ravel())[0, 1] > 0.9


@pytest.fixture
def epochs():
    """Two long channels and a short one next to each."""
    names = [f"S{s}_D{d} {kind}" for s, d in ((1, 1), (1, 8), (2, 2), (2, 9)) for kind in ("hbo",)]
    info = mne.create_info(names, 10.0, "hbo")
    for channel, (start, length) in zip(
        info["chs"], [(0.0, 0.03), (0.0, 0.008), (0.2, 0.03), (0.2, 0.008)], strict=True
    ):
        channel["loc"][3:9] = start, 0, 0, start + length, 0, 0
        channel["loc"][:3] = start + length / 2, 0, 0
    return mne.EpochsArray(rng.normal(size=(10, 4, 50)), info, verbose="error")


def test_short_channels_by_distance_and_nearest(epochs):
    found = ShortChannelRegression(regressors="nearest").fit(epochs)
    assert found.short_.tolist() == [1, 3]
    assert list(found.get_feature_names_out()) == ["S1_D1 hbo", "S2_D2 hbo"]
    assert (found.coef_ != 0).tolist() == [[True, False], [False, True]]
    with pytest.raises(ValueError, match=r"at most max_distance=0.005 m.*shortest has 0.008 m"):
        ShortChannelRegression(max_distance=0.005).fit(epochs)


def test_nearest_of_the_same_kind():
    names = ["S1_D1 hbo", "S1_D1 hbr", "S1_D8 hbr", "S1_D8 hbo", "S1_D9 hbo", "S1_D9 hbr"]
    info = mne.create_info(names, 10.0, [name[-3:] for name in names])
    # the nearest short channel of all is a third along; HbO of D8 is nearer than that of D9
    for channel, (middle, length) in zip(
        info["chs"],
        [(0.0, 0.03), (0.0, 0.03), (0.01, 0.008), (0.02, 0.008), (0.03, 0.008), (0.04, 0.008)],
        strict=True,
    ):
        channel["loc"][:9] = middle, 0, 0, middle - length / 2, 0, 0, middle + length / 2, 0, 0
    epochs = mne.EpochsArray(rng.normal(size=(10, 6, 50)), info, verbose="error")
    found = ShortChannelRegression(regressors="nearest").fit(epochs)
    assert found.short_.tolist() == [2, 3, 4, 5]
    assert (found.coef_ != 0).tolist() == [[False, True, False, False], [True, False, False, False]]


def test_nothing_to_remove():
    np.testing.assert_allclose(ShortChannelRegression(short=()).fit_transform(X), X, rtol=1e-6)


def test_masks_of_short_channels():
    expected = ShortChannelRegression(short=[3, 5]).fit(X)
    mask = np.isin(np.arange(6), [3, 5])
    for short in (mask, mask.tolist()):
        found = ShortChannelRegression(short=short).fit(X)
        assert found.short_.tolist() == [3, 5]
        np.testing.assert_array_equal(found.coef_, expected.coef_)


@pytest.mark.parametrize(
    "short, message",
    [
        ([True, False], "mask of 2 entries, but the epochs have 6 channels"),
        ([True, 0, 1, 0, 0, 0], "mixes True or False"),
        ([0.5], "names or indices of channels.*got 0.5"),
        (np.array([2.0]), "names or indices"),
        ([6], "channel 6, which does not exist"),
    ],
)
def test_short_that_is_neither_names_nor_indices_nor_a_mask(short, message):
    with pytest.raises(ValueError, match=message):
        ShortChannelRegression(short=short).fit(X)


@pytest.mark.parametrize("scope", ["fit", "epoch"])
@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_the_scale_of_a_short_channel_does_not_matter(scope, scale):
    scaled = X.copy()
    scaled[:, 2] *= scale
    parameters = {"short": SHORT, "scope": scope, "ch_names": NAMES}
    expected = ShortChannelRegression(**parameters).fit_transform(X)
    found = ShortChannelRegression(**parameters).fit_transform(scaled)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("level", [0.1, 7.0])  # the mean of the first is not exactly it
def test_a_short_channel_that_is_flat_in_an_epoch_removes_nothing(level):
    flat = X.copy()
    flat[3, 2] = level
    found = ShortChannelRegression(short=[2], scope="epoch").fit(flat)
    np.testing.assert_allclose(found.transform(flat)[3], flat[3, found.long_], rtol=1e-6)


def test_numbers_that_count_channels_are_no_wavelengths():
    names = [f"ch {k}" for k in range(1, 7)]
    numbered = ShortChannelRegression(short=[4, 5], ch_names=names).fit(X)
    np.testing.assert_array_equal(numbered.coef_, ShortChannelRegression([4, 5]).fit(X).coef_)


def test_the_scope_is_that_of_fit():
    found = ShortChannelRegression(short=[4, 5], scope="epoch").fit(X)
    expected = found.transform(X)
    np.testing.assert_array_equal(found.set_params(scope="fit").transform(X), expected)
