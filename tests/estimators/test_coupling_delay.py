"""CouplingDelay: delays without labels, and the contract around them."""

import pickle
import warnings

import numpy as np
import pytest
import torch

from mmcontrast import CouplingDelay, Modalities
from mmcontrast.augmentation import GaussianNoise, Recrop, make_augmentation

pytestmark = pytest.mark.filterwarnings("ignore:CouplingDelay is fitted on")

RATES = {"eeg": 10.0, "fnirs": 5.0}


def make_events(n=300, seed=0, noise=0.2, seconds=8.0):
    """Bumps in noise at random times, and where they are."""
    rng = np.random.default_rng(seed)
    event, delay = rng.uniform(-1, 1, n), rng.uniform(0, 1, n)
    arrays = {}
    for (name, rate), when in zip(RATES.items(), (event, event + delay), strict=True):
        t = np.arange(-seconds / 2, seconds / 2, 1 / rate)
        size = rng.uniform(0.7, 1.3, (n, 1))
        bump = size * np.exp(-(((t - when[:, None]) / 0.3) ** 2))
        arrays[name] = 1e-6 * (bump[:, None] + noise * rng.normal(size=(n, 3, len(t))))
    return Modalities(arrays), event, delay


SMALL = {"sfreq": RATES, "hidden_dim": 4, "max_epochs": 2, "random_state": 0}


@pytest.fixture(scope="module")
def fitted():
    X, _, _ = make_events()
    timing = CouplingDelay(
        RATES, hidden_dim=12, max_epochs=7, batch_size=50, resolution=0.1, random_state=0
    )
    return timing.fit(X)


@pytest.fixture(scope="module")
def small():
    X, _, _ = make_events(40)
    return CouplingDelay(**SMALL).fit(X)


# --------------------------------------------------------------------- what it learns
def test_the_delay_of_new_rows_is_found_without_labels(fitted):
    X, event, delay = make_events(400, seed=1)
    Z = fitted.transform(X)
    assert Z.shape == (400, 4)
    assert Z.dtype == np.float32
    error = Z[:, 2] - Z[:, 2].mean() - (delay - delay.mean())
    assert np.sqrt(np.mean(error**2)) < 0.15
    assert 0.9 < np.polyfit(delay, Z[:, 2], 1)[0] < 1.1
    assert np.corrcoef(Z[:, 2], event)[0, 1] ** 2 < 0.06
    assert 0.9 < np.polyfit(event, Z[:, 0], 1)[0] < 1.1
    assert np.corrcoef(Z[:, 1], event + delay)[0, 1] > 0.97
    assert np.corrcoef(Z[:, 2], Z[:, 1] - Z[:, 0])[0, 1] > 0.95


def test_times_shift_with_the_signal(fitted):
    X, _, _ = make_events(100, seed=2)
    moved = Modalities(
        eeg=np.roll(X.take("eeg", slice(None)), 2, axis=2), fnirs=X.take("fnirs", slice(None))
    )
    change = fitted.transform(moved) - fitted.transform(X)
    assert np.median(change[:, 0]) == pytest.approx(0.2, abs=0.03)
    assert np.median(change[:, 2]) == pytest.approx(-0.2, abs=0.03)
    np.testing.assert_allclose(change[:, 1], 0, atol=1e-5)


def test_the_zeros_are_the_means_of_the_training_rows(fitted):
    X, _, _ = make_events()
    np.testing.assert_allclose(fitted.transform(X)[:, :3].mean(0), 0, atol=1e-5)
    X = X[:40]
    later = CouplingDelay(**SMALL).fit(X)
    later.partial_fit(X)
    np.testing.assert_allclose(later.transform(X)[:, :3].mean(0), 0, atol=1e-5)


def test_rows_whose_event_is_buried_are_less_certain(fitted):
    clear, buried = (make_events(200, seed=3, noise=noise)[0] for noise in (0.2, 3.0))
    uncertain = [fitted.transform(X)[:, 3] for X in (clear, buried)]
    assert np.median(uncertain[1]) > 1.5 * np.median(uncertain[0])


def test_score_prefers_the_trained(fitted):
    X, _, _ = make_events(200, seed=4)
    untrained = CouplingDelay(**SMALL | {"learning_rate": 1e-9, "batch_size": 50}).fit(X)
    assert fitted.score(X) > untrained.score(X) + 0.3
    assert fitted.score(X) == fitted.score(X)


@pytest.mark.slow
def test_the_promise_on_simulated_recordings():
    from mmcontrast.datasets import make_neurovascular

    rates = {"eeg": 100.0, "fnirs": 5.0}
    X, _, _ = make_neurovascular(6000, margin=1.0, random_state=11)
    timing = CouplingDelay(rates, margin=1.0, max_epochs=5, random_state=0).fit(X)
    X, factors, _ = make_neurovascular(1500, margin=1.0, random_state=12)
    delay = timing.transform(X)[:, 2]
    error = delay - delay.mean() - (factors["delay"] - factors["delay"].mean())
    assert np.sqrt(np.mean(error**2)) <= 0.20
    assert 0.9 <= np.polyfit(factors["delay"], delay, 1)[0] <= 1.1
    others = [name for name in factors.columns if name != "delay"]
    assert max(np.corrcoef(factors[name], delay)[0, 1] ** 2 for name in others) <= 0.06


# ----------------------------------------------------------------- input and contract
def test_columns_have_names(small):
    names = [f"couplingdelay_{c}" for c in ("t_eeg", "t_fnirs", "delay", "uncertainty")]
    assert small.get_feature_names_out().tolist() == names
    assert {"train_loss", "agreement", "equivariance"} <= set(small.history_)


@pytest.mark.parametrize("sfreq", [[10.0, 5], np.array([10.0, 5.0])])
def test_sampling_rates_in_any_form(small, sfreq):
    X, _, _ = make_events(40)
    same = CouplingDelay(**SMALL | {"sfreq": sfreq}).fit(X)
    np.testing.assert_array_equal(same.transform(X), small.transform(X))


def test_what_is_absent_is_nan(small):
    X, _, _ = make_events(10)
    whole, first = small.transform(X), small.transform(X.select("eeg"))
    assert np.isfinite(whole).all()
    assert np.isfinite(first[:, 0]).all()
    assert np.isnan(first[:, 1:]).all()
    second = small.transform(X.select("fnirs"))
    np.testing.assert_allclose(second[:, 1], whole[:, 1], atol=1e-5)
    assert np.isnan(second[:, [0, 2, 3]]).all()
    some = Modalities(
        {name: X.take(name, slice(None)) for name in X.names},
        presence={"eeg": np.arange(10) != 3},
    )
    Z = small.transform(some)
    assert np.isnan(Z[3]).tolist() == [True, False, True, True]
    rest = np.arange(10) != 3
    np.testing.assert_allclose(Z[rest], whole[rest], atol=1e-5)


def test_it_trains_with_absent_rows_augmentation_and_validation():
    X, _, _ = make_events(60)
    some = Modalities(
        {name: X.take(name, slice(None)) for name in X.names},
        presence={"fnirs": np.arange(60) % 5 != 0},
    )
    timing = CouplingDelay(
        **SMALL,
        augmentation=make_augmentation(eeg=GaussianNoise()),
        validation_fraction=0.3,
        batch_size=16,
    ).fit(some)
    assert np.isfinite(timing.history_["valid_loss"]).all()
    assert np.isnan(timing.transform(some)[::5, 1:]).all()


def test_saved_and_pickled_estimators_are_the_same(small, tmp_path):
    X, _, _ = make_events(20, seed=5)
    Z = small.transform(X)
    small.save(tmp_path)
    np.testing.assert_array_equal(CouplingDelay.load(tmp_path).transform(X), Z)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(small)).transform(X), Z)


def test_an_interrupted_fit_ends_with_the_same_zeros(tmp_path):
    X, _, _ = make_events(40)
    first = CouplingDelay(**SMALL, checkpoint=tmp_path).fit(X)
    second = CouplingDelay(**SMALL).fit(X)
    np.testing.assert_array_equal(first.transform(X), second.transform(X))


def sequences(**shapes):
    rng = np.random.default_rng(0)
    return Modalities({name: rng.normal(size=(12, *shape)) for name, shape in shapes.items()})


@pytest.mark.parametrize(
    ("params", "X", "message"),
    [
        ({"sfreq": None}, sequences(a=(2, 50), b=(2, 50)), "sampling rate of modality 'a'"),
        ({"sfreq": {"a": 5}}, sequences(a=(2, 50), b=(2, 50)), "sampling rate of modality 'b'"),
        ({"sfreq": [5, 5, 5]}, sequences(a=(2, 50), b=(2, 50)), "holds 3 sampling rate"),
        ({"sfreq": [5, -5]}, sequences(a=(2, 50), b=(2, 50)), "modality 'b' as a positive"),
        ({"margin": 0}, sequences(a=(2, 50), b=(2, 50)), "modality 'a' has no margin"),
        ({"margin": 4}, sequences(a=(2, 50), b=(2, 30)), "modality 'b': a margin of 4 s"),
        ({"margin": 2.9}, sequences(a=(2, 50), b=(2, 30)), "modality 'b': .* have 1 step"),
        ({"resolution": 9.0}, sequences(a=(2, 50), b=(2, 50)), "modality 'a': .* a single time"),
        (
            {"augmentation": make_augmentation(joint=Recrop(5, margin=1))},
            sequences(a=(2, 50), b=(2, 50)),
            "leave Recrop out",
        ),
        ({"augmentation": Recrop(5, margin=1)}, sequences(a=(2, 50), b=(2, 50)), "leave Recrop"),
        ({}, sequences(a=(2, 50), b=(50,)), r"modality 'b' has rows of shape \(50,\)"),
        ({}, sequences(a=(2, 50)), "exactly 2 modalities, but found 1"),
        ({}, sequences(a=(2, 50), b=(2, 50), c=(2, 50)), "exactly 2 modalities, but found 3"),
        ({"resolution": 0}, sequences(a=(2, 50), b=(2, 50)), "'resolution' parameter"),
        ({"augmentation": "auto"}, sequences(a=(2, 50), b=(2, 50)), "'augmentation' parameter"),
    ],
)
def test_what_cannot_be_timed_is_refused(params, X, message):
    with pytest.raises(ValueError, match=message):
        CouplingDelay(**{"sfreq": 5.0, "max_epochs": 1} | params).fit(X)


def test_flat_sequences_are_refused():
    X, _, _ = make_events(60)
    flat = np.random.default_rng(0).normal(size=(60, 3, 1)).repeat(40, axis=2)
    with pytest.raises(ValueError, match="modality 'fnirs': every channel is flat"):
        CouplingDelay(**SMALL).fit(X.assign(fnirs=flat))
    some = X["fnirs"].copy()
    some[:, 1:] = 0
    CouplingDelay(**SMALL | {"max_epochs": 1}).fit(X.assign(fnirs=some))


def test_few_trials_are_warned_of():
    X, _, _ = make_events(50)
    message = "CouplingDelay is fitted on 49 rows. With fewer than 50 trials.* Collect more trials"
    with pytest.warns(UserWarning, match=message) as caught:
        CouplingDelay(**SMALL | {"max_epochs": 1}).fit(X[:49])
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="CouplingDelay is fitted on")
        CouplingDelay(**SMALL | {"max_epochs": 1}).fit(X)


def test_plain_columns_are_two_sequences():
    X, _, _ = make_events(60)
    plain = np.hstack([X.take("eeg", slice(None))[:, 0], X.take("fnirs", slice(None))[:, 0]])
    groups = {"eeg": slice(0, 80), "fnirs": slice(80, None)}
    timing = CouplingDelay(**SMALL, modalities=groups).fit(plain)
    assert timing.transform(plain).shape == (60, 4)
    assert timing.net_.module_.crops["eeg"].n_times == 60


def test_padded_rows_are_refused():
    from mmcontrast import pad_sequences

    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(2, n)) for n in (40, 50, 45, 50)]
    values, lengths = pad_sequences(rows)
    X = Modalities({"a": values, "b": rng.normal(size=(4, 2, 50))}, lengths={"a": lengths})
    with pytest.raises(ValueError, match="modality 'a' is padded"):
        CouplingDelay(5.0, max_epochs=1).fit(X)


def test_embedding_on_torch_input(small):
    X, _, _ = make_events(6)
    tensors = Modalities({n: torch.as_tensor(X.take(n, slice(None))) for n in X.names})
    np.testing.assert_allclose(small.transform(tensors), small.transform(X), atol=1e-5)
