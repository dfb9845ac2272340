"""What the transformers of epochs read, and what they refuse."""

import mne
import numpy as np
import pytest

from mmcontrast import Modalities
from mmcontrast.preprocessing import (
    BandPower,
    EvokedFeatures,
    HaemodynamicFeatures,
    LagAlign,
    ShortChannelRegression,
    TimeFrequency,
)

rng = np.random.default_rng(0)
VALUES = 1e-5 * rng.normal(size=(12, 3, 200))


def make_epochs(values=VALUES, sfreq=100.0, names=("Fz", "Cz", "Pz"), types="eeg", tmin=-0.5):
    info = mne.create_info(list(names), sfreq, types)
    return mne.EpochsArray(values, info, tmin=tmin, verbose="error")


NEED_SFREQ = [
    BandPower(),
    EvokedFeatures(),
    HaemodynamicFeatures(),
    LagAlign(),
    TimeFrequency(),
]


@pytest.mark.parametrize("transformer", NEED_SFREQ, ids=lambda t: type(t).__name__)
def test_sampling_rate_is_missing(transformer):
    name = type(transformer).__name__
    with pytest.raises(ValueError, match=rf"{name} needs the sampling rate.*{name}\(sfreq=200"):
        transformer.fit(VALUES)


def test_epochs_bring_rate_names_and_times():
    found = BandPower().fit(make_epochs())
    assert (found.sfreq_, found.ch_names_, found.tmin_) == (100.0, ["Fz", "Cz", "Pz"], -0.5)
    assert found.get_feature_names_out()[2] == "Fz_alpha"
    np.testing.assert_array_equal(
        found.transform(make_epochs()), BandPower(100).fit_transform(VALUES)
    )
    np.testing.assert_array_equal(found.transform(VALUES), found.transform(make_epochs()))


def test_channels_without_data_are_left_out():
    epochs = make_epochs(types=["eeg", "stim", "eeg"])
    found = BandPower().fit(epochs)
    assert found.ch_names_ == ["Fz", "Pz"]
    np.testing.assert_array_equal(
        found.transform(epochs), BandPower(100).fit_transform(VALUES[:, [0, 2]])
    )
    assert BandPower().fit(make_epochs(types="misc")).ch_names_ == ["Fz", "Cz", "Pz"]


def test_given_and_found_are_compared():
    with pytest.raises(ValueError, match="sfreq=250 Hz was given.* sampled at 100 Hz"):
        BandPower(250).fit(make_epochs())
    with pytest.raises(ValueError, match="tmin=0 s was given.* begin at -0.5 s"):
        EvokedFeatures(tmin=0).fit(make_epochs())
    with pytest.raises(ValueError, match="ch_names.*channel 1 is 'Cz' instead of 'Oz'"):
        BandPower(ch_names=["Fz", "Oz", "Pz"]).fit(make_epochs())
    with pytest.raises(ValueError, match="ch_names has 2 names.* 3 channels"):
        BandPower(100, ch_names=["Fz", "Oz"]).fit(VALUES)
    with pytest.raises(ValueError, match="'Fz' more than once"):
        BandPower(100, ch_names=["Fz", "Oz", "Fz"]).fit(VALUES)


def test_other_epochs_than_in_fit():
    found = BandPower().fit(make_epochs())
    with pytest.raises(ValueError, match="sampled at 200 Hz, those of fit at 100 Hz"):
        found.transform(make_epochs(sfreq=200.0))
    with pytest.raises(ValueError, match="differ from those of fit: channel 0 is 'Cz'"):
        found.transform(make_epochs(names=("Cz", "Fz", "Pz")))
    with pytest.raises(ValueError, match="150 time steps, those of fit had 200"):
        found.transform(VALUES[..., :150])
    with pytest.raises(ValueError, match="begin at 0 s, those of fit at -0.5 s"):
        found.transform(make_epochs(tmin=0.0))
    with pytest.raises(ValueError, match="fitted on 3-D input and is given 2-D"):
        found.transform(VALUES[:, 0, :3])


@pytest.mark.parametrize("value, kind", [(np.nan, "NaN"), (np.inf, "infinity")])
def test_segments_that_are_not_finite(value, kind):
    broken = VALUES.copy()
    broken[[4, 7], 1, 20:60] = value
    with pytest.raises(ValueError, match=f"{kind} in 2 of 12 epochs, first in epoch 4.*'Cz'"):
        BandPower(ch_names=["Fz", "Cz", "Pz"], sfreq=100).fit(broken)
    found = BandPower(100).fit(VALUES)
    with pytest.raises(ValueError, match=kind):
        found.transform(broken)


def test_large_values_are_finite():
    values = np.full((2, 1, 50), 3e38, dtype=np.float32)
    values[..., ::2] *= -1
    assert np.isfinite(LagAlign(100, lag=0.0).fit_transform(values)).all()


FLAT = VALUES.copy()
FLAT[:, 1] = np.arange(12)[:, None]


@pytest.mark.parametrize(
    "transformer",
    [
        BandPower(),
        EvokedFeatures(windows={"a": (0, 1)}),
        HaemodynamicFeatures(),
        TimeFrequency(),
    ],
    ids=lambda t: type(t).__name__,
)
def test_flat_channels(transformer):
    with pytest.raises(ValueError, match=r"Channels \['Cz'\] are flat"):
        transformer.fit(make_epochs(FLAT))
    with pytest.raises(ValueError, match="All channels are flat"):
        transformer.fit(make_epochs(0 * FLAT))
    some = VALUES.copy()
    some[3, 1] = 1.0
    assert np.isfinite(transformer.fit(make_epochs(some)).transform(make_epochs(some))).all()


def test_bad_channels_are_not_used_silently():
    epochs = make_epochs()
    epochs.info["bads"] = ["Cz"]
    with pytest.raises(ValueError, match=r"mark channels \['Cz'\] as bad.*interpolate_bads"):
        BandPower().fit(epochs)
    epochs.info["bads"] = list(epochs.ch_names)
    with pytest.raises(ValueError, match="mark all channels as bad"):
        BandPower().fit(epochs)


def test_shapes_that_are_not_epochs():
    with pytest.raises(ValueError, match="array of shape"):
        BandPower(100).fit(VALUES[..., None])
    with pytest.raises(ValueError, match="n_times = 1"):
        BandPower(100).fit(VALUES[..., :1])
    with pytest.raises((TypeError, ValueError), match="Modalities"):
        BandPower(100).fit(Modalities(eeg=VALUES))
    with pytest.raises((TypeError, ValueError), match="Modalities"):
        BandPower(100).fit([VALUES, VALUES])


@pytest.mark.parametrize("window", [(0, 2.5), (-0.8, 1.0)])
def test_windows_beyond_the_epoch(window):
    for transformer in (
        EvokedFeatures(windows={"P3": window}),
        HaemodynamicFeatures(window=window),
        HaemodynamicFeatures(baseline=window),
    ):
        with pytest.raises(ValueError, match="beyond the epoch, which lasts from -0.5 to 1.49 s"):
            transformer.fit(make_epochs())


@pytest.mark.parametrize("window", [(1.0, 0.0), (0.0,), "ab", (np.nan, 1), None, (1, 2, 3, 4)])
def test_windows_that_are_none(window):
    with pytest.raises((ValueError, TypeError), match="window"):
        HaemodynamicFeatures(window=window).fit(make_epochs())


def test_empty_windows():
    with pytest.raises(ValueError, match="'P3'.*holds no sample"):
        EvokedFeatures(windows={"P3": (0.111, 0.119)}).fit(make_epochs())
    with pytest.raises(ValueError, match="holds one sample"):
        HaemodynamicFeatures(window=(0.1, 0.1)).fit(make_epochs())
    for transformer in (EvokedFeatures(windows={}), HaemodynamicFeatures(window={})):
        with pytest.raises(ValueError, match="empty"):
            transformer.fit(make_epochs())
    with pytest.raises(ValueError, match="polarity of window 'N1'.*'down'"):
        EvokedFeatures(windows={"N1": (0, 1, "down")}).fit(make_epochs())


def test_unknown_features():
    with pytest.raises(ValueError, match="Unknown feature 'laten'.*Did you mean 'latency'"):
        EvokedFeatures(features=["laten"]).fit(make_epochs())
    with pytest.raises(ValueError, match="'auto' or a sequence"):
        HaemodynamicFeatures(features="peak").fit(make_epochs())
    for features in ([], ["peak", "peak"]):
        with pytest.raises(ValueError, match="each once"):
            HaemodynamicFeatures(features=features).fit(make_epochs())


def test_short_channels_that_are_unknown():
    with pytest.raises(ValueError, match="distances.*only mne.Epochs of fNIRS"):
        ShortChannelRegression().fit(VALUES)
    with pytest.raises(ValueError, match="'S1_D8 hbo', which does not exist.*'S1_D9 hbo'"):
        names = ["S1_D9 hbo", "b", "c"]
        ShortChannelRegression(["S1_D8 hbo"], ch_names=names).fit(VALUES)
    with pytest.raises(ValueError, match="channel 3, which does not exist"):
        ShortChannelRegression([3]).fit(VALUES)
    with pytest.raises(ValueError, match="All 3 channels are short"):
        ShortChannelRegression([0, 1, 2]).fit(VALUES)
    with pytest.raises(ValueError, match=r"\['a hbr'\] have no short channel of their kind"):
        names = ["a hbo", "a hbr", "b hbo"]
        ShortChannelRegression([2], ch_names=names).fit(VALUES)
    with pytest.raises(ValueError, match="'nearest' needs the positions"):
        ShortChannelRegression([2], regressors="nearest").fit(VALUES)
