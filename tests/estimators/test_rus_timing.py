"""RUSDecomposer(timing=True): the delay as a column of S, and all else as without it."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone

from mmcontrast import Modalities, RUSDecomposer
from mmcontrast.augmentation import GaussianNoise, make_augmentation

RATES = {"eeg": 10.0, "fnirs": 5.0}
OPTIONS = {"timing": True, "sfreq": RATES, "margin": 1.0}
SMALL = {
    "embed_dim": 8,
    "code_dim": 4,
    "synergy_dim": 2,
    "max_epochs": 1,
    "batch_size": 20,
    "random_state": 0,
}


def make_events(n=300, seed=0):
    """Bumps in noise at random times in both modalities, and the delay between them."""
    rng = np.random.default_rng(seed)
    event, delay = rng.uniform(-1, 1, n), rng.uniform(0, 1, n)
    arrays = {}
    for (name, rate), when in zip(RATES.items(), (event, event + delay), strict=True):
        t = np.arange(-4, 4, 1 / rate)
        bump = np.exp(-(((t - when[:, None]) / 0.3) ** 2))
        arrays[name] = 1e-6 * (bump[:, None] + 0.2 * rng.normal(size=(n, 3, len(t))))
    return Modalities(arrays), delay


def make(**params):
    return RUSDecomposer(**SMALL | OPTIONS | params)


@pytest.fixture(scope="module")
def X():
    return make_events(60)[0]


@pytest.fixture(scope="module")
def rus(X):
    return make().fit(X)


def test_the_last_column_of_s_is_the_delay():
    X, delay = make_events(500)
    rus = make(max_epochs=9, batch_size=50, learning_rate=1e-2).fit(X[:300])
    parts = rus.split(rus.transform(X))
    told = parts["S"][:, -1]
    np.testing.assert_allclose([told[:300].mean(), told[:300].std()], [0, 1], atol=0.01)
    assert np.corrcoef(told[300:], delay[300:])[0, 1] > 0.9
    seconds = told[300:] * rus.delay_scale_
    assert np.polyfit(delay[300:], seconds, 1)[0] == pytest.approx(1, abs=0.15)


def test_parts_names_and_norms(rus, X):
    Z = rus.transform(X)
    parts = rus.split(Z)
    # four products and the delay, instead of a discrepancy
    assert {part: z.shape[1] for part, z in parts.items()} == {
        "R_eeg": 4,
        "R_fnirs": 4,
        "U_eeg": 4,
        "U_fnirs": 4,
        "S": 5,
    }
    assert rus.get_feature_names_out()[-1] == "rusdecomposer_S_4"
    np.testing.assert_allclose(rus.norms(Z)["S"], np.sqrt((parts["S"] ** 2).sum(1)), rtol=1e-5)
    assert {"agreement", "equivariance", "redundancy"} < set(rus.history_)
    assert make(discrepancy_dim=1).fit(X).transform(X).shape[1] == Z.shape[1] + 1


def test_the_rest_sees_the_windows_in_the_middle(rus, X):
    padded = {
        name: np.pad(x[..., cut:-cut], ((0, 0), (0, 0), (cut, cut)))
        for (name, x), cut in zip(X.items(), (10, 5), strict=True)
    }
    expected, found = (rus.split(rus.transform(rows)) for rows in (X, Modalities(padded)))
    for part in ("R_eeg", "R_fnirs", "U_eeg", "U_fnirs"):
        np.testing.assert_array_equal(found[part], expected[part])
    np.testing.assert_array_equal(found["S"][:, :4], expected["S"][:, :4])
    assert not np.allclose(found["S"][:, 4], expected["S"][:, 4])


def test_absent_modalities(rus, X):
    whole = rus.split(rus.transform(X))
    alone = rus.split(rus.transform(X.select("eeg")))
    np.testing.assert_allclose(alone["U_eeg"], whole["U_eeg"], atol=1e-5)
    assert np.isnan(alone["S"]).all()
    mask = np.arange(60) < 50
    some = Modalities(dict(X.items()), presence={"fnirs": mask})
    parts = rus.split(rus.transform(some))
    np.testing.assert_array_equal(np.isnan(parts["S"]).all(1), ~mask)
    np.testing.assert_allclose(parts["S"][mask], whole["S"][mask], atol=1e-5)
    assert np.isfinite(make().fit(some).transform(X)).all()
    expected = np.hstack([whole["R_fnirs"], whole["U_fnirs"]])
    np.testing.assert_allclose(rus.encode_modality(X, "fnirs"), expected, atol=1e-5)


def test_clone_pickle_and_save(rus, X, tmp_path):
    Z = rus.transform(X)
    np.testing.assert_array_equal(clone(rus).fit(X).transform(X), Z)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(rus)).transform(X), Z)
    rus.save(tmp_path / "rus")
    loaded = RUSDecomposer.load(tmp_path / "rus")
    np.testing.assert_array_equal(loaded.transform(X), Z)
    assert loaded.delay_scale_ == rus.delay_scale_
    assert loaded.score(X) == rus.score(X)


def test_kept_features_give_the_same_training_as_streamed_rows(rus, X):
    streamed = make(streaming=True).fit(X)
    assert rus.net_.module_.takes_features
    assert not streamed.net_.module_.takes_features
    np.testing.assert_allclose(rus.transform(X), streamed.transform(X), atol=2e-3)


def test_with_other_objectives_and_augmentation(X):
    y = np.arange(60.0)
    assert make(objective="hybrid").fit(X).transform(X).shape == (60, 21)
    supervised = make(supervised=True, targets={"U_fnirs": [0]}).fit(X, y)
    assert "targets_U_fnirs" in supervised.history_
    noise = make_augmentation(eeg=GaussianNoise(), fnirs=GaussianNoise())
    augmented = make(augmentation=noise).fit(X)
    assert augmented.net_.module_.n_views == 1
    assert np.isfinite(augmented.transform(X)).all()
    held_out = make(validation_fraction=0.15).fit(X)
    assert np.isfinite(held_out.history_["valid_loss"]).all()


def test_without_timing_there_is_no_delay(X):
    plain = make(timing=False).fit(X)
    with pytest.raises(AttributeError, match="timing=True"):
        _ = plain.delay_scale_
    without = RUSDecomposer(**SMALL).fit(X)
    np.testing.assert_array_equal(plain.transform(X), without.transform(X))
    assert not any("timing" in name for name, _ in plain.net_.module_.named_parameters())


def test_timing_and_the_rest_share_no_parameter(rus, X):
    module = rus.net_.module_
    view = rus._dataset(X, None).read(0, 60)
    parameters = dict(module.named_parameters())
    loss = module([], view)["loss"] - module.decomposition([], module._windows(view))["loss"]
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    moved = {name.split(".")[0] for name, g in zip(parameters, found, strict=True) if _large(g)}
    assert moved == {"timing"}


def _large(gradient):
    return gradient is not None and bool((gradient.abs() > 1e-4).any())


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"sfreq": None}, "needs the sampling rate of modality 'eeg'"),
        ({"sfreq": {"eeg": 10.0}}, "needs the sampling rate of modality 'fnirs'"),
        ({"sfreq": [10.0]}, "holds 1 sampling rate"),
        ({"margin": None}, "pass margin= in seconds"),
        ({"margin": 0.0}, "modality 'eeg' has no margin"),
        ({"margin": 5.0}, "modality 'eeg'.*leaves nothing"),
    ],
)
def test_what_the_timing_needs(X, params, message):
    with pytest.raises(ValueError, match=message):
        make(**params).fit(X)


def test_rows_of_different_lengths_have_no_common_margin(X):
    padded = Modalities(dict(X.items()), lengths={"eeg": 80 - np.arange(60) % 3})
    with pytest.raises(ValueError, match="modality 'eeg' is padded"):
        make().fit(padded)


def test_further_training_standardises_anew(rus, X):
    more = pickle.loads(pickle.dumps(rus)).partial_fit(X)
    delay = more.split(more.transform(X))["S"][:, -1]
    assert not np.allclose(delay, rus.split(rus.transform(X))["S"][:, -1])
    np.testing.assert_allclose([delay.mean(), delay.std()], [0, 1], atol=1e-3)


def test_flat_sequences_have_no_times(X):
    flat = np.broadcast_to(X["fnirs"][:, :, :1], X["fnirs"].shape).copy()
    with pytest.raises(ValueError, match="modality 'fnirs': every channel is flat"):
        make().fit(X.assign(fnirs=flat))


def test_vectors_have_no_times(X):
    flat = Modalities(eeg=X["eeg"], fnirs=X["fnirs"][:, :, 0])
    with pytest.raises(ValueError, match="modality 'fnirs' has rows of shape"):
        make().fit(flat)
