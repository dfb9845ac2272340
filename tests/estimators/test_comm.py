"""What CoMM promises about its embedding."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmcontrast import CoMM, Modalities
from mmcontrast.augmentation import GaussianNoise, make_augmentation

SHAPES = {"eeg": (3, 16), "fnirs": (2, 8), "age": (4,)}


@pytest.fixture(scope="module")
def fitted():
    from .conftest import make_data

    X = make_data(60)
    return X, CoMM(
        embed_dim=8, n_heads=2, projection_dims=(16, 8), max_epochs=2, random_state=0
    ).fit(X)


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(12)))
def test_embedding_follows_its_row(fitted, order):
    X, comm = fitted
    close(comm.transform(X[order]), comm.transform(X)[order])


@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4))
def test_embedding_does_not_depend_on_the_batch(fitted, sizes):
    X, comm = fitted
    cuts = np.cumsum(sizes)[np.cumsum(sizes) < len(X)]
    parts = [comm.transform(X[rows]) for rows in np.split(np.arange(len(X)), cuts)]
    close(np.concatenate(parts), comm.transform(X))


def test_chunks_of_transform_do_not_show(fitted, monkeypatch):
    X, comm = fitted
    whole = comm.transform(X)
    monkeypatch.setattr("mmcontrast.estimators._embedding._EMBED_BYTES", {"cpu": 1})
    close(comm.transform(X), whole)


@given(
    absent=st.lists(st.sampled_from(["none", "eeg", "fnirs", "both"]), min_size=12, max_size=12),
    filler=st.sampled_from([0.0, 1e6, np.nan]),
)
def test_absent_values_never_matter(fitted, absent, filler):
    X, comm = fitted
    X = X[:12]
    gone = {
        name: np.array([what in (name, "both") for what in absent]) for name in ("eeg", "fnirs")
    }
    arrays = {name: X[name].copy() for name in X.names}
    for name, rows in gone.items():
        arrays[name][rows] = filler
    Z = comm.transform(Modalities(arrays, presence={name: ~rows for name, rows in gone.items()}))
    for row in range(12):
        names = [n for n in X.names if n == "age" or not gone[n][row]]
        close(Z[row], comm.transform(X[[row]].select(*names))[0])


def test_rows_of_nan_are_absent(fitted):
    X, comm = fitted
    eeg = X["eeg"].copy()
    eeg[3] = np.nan
    Z = comm.transform(X.assign(eeg=eeg))
    close(Z[3], comm.transform(X.drop("eeg"))[3])
    close(Z[4], comm.transform(X)[4])


def test_one_modality_alone(fitted):
    X, comm = fitted
    Z = comm.encode_modality(X, "fnirs")
    assert Z.shape == (60, 8) and Z.dtype == np.float32
    close(Z, comm.transform(X.select("fnirs")))
    close(Z, comm.encode_modality(X["fnirs"], "fnirs"))
    assert np.abs(Z - comm.transform(X)).max() > 1e-3
    with pytest.raises((KeyError, ValueError), match=r"fnris.*Did you mean 'fnirs'"):
        comm.encode_modality(X, "fnris")


def test_attributes(fitted):
    X, comm = fitted
    assert comm.modalities_ == SHAPES
    assert comm.n_features_in_ == 3 * 16 + 2 * 8 + 4
    assert comm.n_iter_ == 2
    assert list(comm.get_feature_names_out()) == [f"comm{i}" for i in range(8)]
    Z = comm.transform(X)
    assert Z.shape == (60, 8) and Z.dtype == np.float32


def test_score_is_the_negative_loss_and_repeats(fitted):
    X, comm = fitted
    assert comm.score(X) == comm.score(X) < 0
    noise = Modalities(
        {name: np.random.default_rng(1).normal(size=(60, *s)) for name, s in SHAPES.items()}
    )
    assert comm.score(noise) != comm.score(X)
    with pytest.raises(ValueError, match="'fnirs' is not there"):
        comm.score(X.drop("fnirs"))
    with pytest.raises(ValueError, match="n_samples = 1"):
        comm.score(X[:1])


def test_training_raises_the_score(make_comm):
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(500, 4))
    maps = rng.normal(size=(2, 4, 10))
    X = Modalities({n: np.tanh(latent @ m) for n, m in zip("ab", maps, strict=True)})
    train, test = X[:400], X[400:]
    comms = [make_comm(max_epochs=n, batch_size=50).fit(train) for n in (1, 15)]
    assert comms[1].score(test) > comms[0].score(test) + 1
    # the held-out loss is on the scale of the training loss
    assert -comms[1].score(train) == pytest.approx(comms[1].history_["train_loss"][-1], rel=0.15)


@pytest.mark.parametrize("names", [("age",), ("eeg",), ("eeg", "age"), tuple(SHAPES)])
def test_any_number_of_modalities(make_comm, X, names):
    comm = make_comm().fit(X.select(*names))
    assert comm.transform(X.select(*names)).shape == (40, 8)
    terms = [key for key in comm.history_ if key.startswith("modality_")]
    assert terms == ([] if len(names) == 1 else [f"modality_{name}" for name in names])


def test_plain_arrays(make_comm):
    rng = np.random.default_rng(0)
    table, epochs = rng.normal(size=(30, 7)), rng.normal(size=(30, 3, 20))
    assert make_comm().fit(table).modalities_ == {"x": (7,)}
    assert make_comm().fit_transform(epochs).shape == (30, 8)
    groups = {"first": slice(0, 3), "second": [3, 4, 5, 6]}
    comm = make_comm(modalities=groups).fit(table)
    assert comm.modalities_ == {"first": (3,), "second": (4,)}
    by_hand = make_comm().fit(Modalities(first=table[:, :3], second=table[:, 3:]))
    np.testing.assert_array_equal(
        comm.transform(table),
        by_hand.transform(Modalities(first=table[:, :3], second=table[:, 3:])),
    )


def test_data_frames(make_comm):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 4)), columns=list("abcd"))
    comm = make_comm(modalities={"first": ["a", "c"], "second": ["b", "d"]}).fit(frame)
    assert list(comm.feature_names_in_) == list("abcd")
    assert comm.n_features_in_ == 4
    by_hand = make_comm().fit(
        Modalities(first=frame[["a", "c"]].to_numpy(), second=frame[["b", "d"]].to_numpy())
    )
    torch.testing.assert_close(
        dict(comm.net_.module_.state_dict()),
        dict(by_hand.net_.module_.state_dict()),
        rtol=0,
        atol=0,
    )
    with pytest.raises(ValueError, match="feature names should match"):
        comm.transform(frame.rename(columns={"a": "z"}))


def test_padded_sequences(make_comm):
    rng = np.random.default_rng(0)
    text, lengths = rng.normal(size=(30, 3, 12)), rng.integers(1, 13, size=30)
    garbage = np.where(np.arange(12) < lengths[:, None, None], text, 1e3)
    other = rng.normal(size=(30, 4))
    augmentation = make_augmentation(text=GaussianNoise(p=1.0))
    for encoder in ("gru", "transformer", "causal_conv"):
        comm = make_comm(encoders={"text": encoder}, augmentation=augmentation)
        Z, same = (
            comm.fit(Modalities(text=array, other=other, lengths={"text": lengths})).transform(
                Modalities(text=array, other=other, lengths={"text": lengths})
            )
            for array in (text, garbage)
        )
        close(Z, same)
        shorter = Modalities(
            text=text[:5, :, : lengths[:5].max()], other=other[:5], lengths={"text": lengths[:5]}
        )
        close(comm.transform(shorter), Z[:5])


def test_training_with_absent_rows(make_comm, X):
    present = np.arange(40) % 3 > 0
    garbage = X["eeg"].copy()
    garbage[~present] = 1e5
    partial = Modalities(dict(X.items()), presence={"eeg": present})
    other = Modalities(dict(X.items()) | {"eeg": garbage}, presence={"eeg": present})
    a, b = make_comm().fit(partial), make_comm().fit(other)
    np.testing.assert_array_equal(a.transform(partial), b.transform(other))
    assert a.scales_ == b.scales_


@pytest.mark.parametrize(
    "encoders",
    [
        "mlp",
        {"age": "mlp", "eeg": "gru"},
        {"fnirs": torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 5))},
        {"eeg": lambda shape, dim: torch.nn.Conv1d(shape[0], 6, 3)},
    ],
)
def test_encoders_by_name_instance_and_factory(make_comm, X, encoders):
    assert make_comm(encoders=encoders).fit_transform(X).shape == (40, 8)


def test_augmentation_strength_per_modality(make_comm, X):
    augmentation = make_augmentation(age=GaussianNoise(p=1.0), eeg=GaussianNoise(p=1.0))
    comm = make_comm(augmentation=augmentation).set_params(
        augmentation__age__strength=0, augmentation__eeg__strength=0
    )
    plain = make_comm(augmentation=None)
    np.testing.assert_array_equal(comm.fit_transform(X), plain.fit_transform(X))
    assert augmentation.get_params()["age__strength"] == 0


# ------------------------------------------------------------------ networks of the user's own
@pytest.mark.parametrize("method", ["transform", "score", "fit"])
def test_networks_that_work_in_place_do_not_reach_the_input(make_comm, method):
    table = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    table.flags.writeable = False
    encoder = torch.nn.Sequential(torch.nn.ReLU(inplace=True), torch.nn.Linear(6, 8))
    for augmentation in ("auto", None, make_augmentation(x=lambda x: x.add_(1))):
        comm = make_comm(encoders=encoder, augmentation=augmentation).fit(table)
        before = table.copy()
        first, second = (getattr(comm, method)(table) for _ in range(2))
        np.testing.assert_array_equal(table, before)
        if method != "fit":
            np.testing.assert_array_equal(first, second)


def test_batch_norm_with_a_single_present_row_in_a_batch(make_comm, X):
    from functools import partial

    from mmcontrast.nn import MLPEncoder

    few = Modalities(dict(X.items()), presence={"age": np.arange(40) % 10 == 0})
    comm = make_comm(encoders={"age": partial(MLPEncoder, batch_norm=True)}, max_epochs=5)
    assert np.isfinite(comm.fit(few).transform(few)).all()


def test_a_fusion_without_weights(make_comm, X):
    class Mean(torch.nn.Module):
        def __init__(self, embed_dim, n_modalities):
            super().__init__()

        def forward(self, tokens, keep, sizes):
            weights = keep.expand(-1, len(tokens), -1).float()
            return torch.einsum("mbt,btd->mbd", weights, tokens) / weights.sum(-1, keepdim=True)

    comm = make_comm(fusion=Mean).fit(X)
    assert comm.transform(X.select("eeg")).shape == (40, 8)


# ------------------------------------------------------------------ state
def test_parameters_set_after_fit_do_not_change_the_fitted_state(make_comm, X):
    comm = make_comm(augmentation=make_augmentation(age=GaussianNoise(p=1.0))).fit(X)
    Z, score = comm.transform(X), comm.score(X)
    comm.set_params(embed_dim=16, augmentation__age__sigma=5.0, modalities={"a": [0]})
    np.testing.assert_array_equal(comm.transform(X), Z)
    assert comm.score(X) == score
    assert comm.get_feature_names_out().shape == (8,)


@pytest.mark.parametrize("change", [{"embed_dim": 16}, {"temperature": 0.5}, {"encoders": "mlp"}])
def test_a_warm_start_refuses_another_network(make_comm, X, change):
    comm = make_comm(warm_start=True).fit(X)
    with pytest.raises(ValueError, match=f"{next(iter(change))} has to be what it was in fit"):
        comm.set_params(**change).fit(X)
    comm.set_params(warm_start=False).fit(X)


def test_an_estimator_whose_fit_failed_is_not_fitted(make_comm, X):
    from sklearn.exceptions import NotFittedError
    from skorch.callbacks import Callback

    class Fail(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise RuntimeError("out of luck")

    comm = make_comm().fit(X)
    with pytest.raises(RuntimeError, match="out of luck"):
        comm.set_params(callbacks=[Fail()]).fit(X)
    with pytest.raises(NotFittedError):
        comm.transform(X)


def test_feature_names_behind_a_modality_transformer(make_comm, X):
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from mmcontrast import make_modality_transformer

    pipe = make_pipeline(make_modality_transformer(age=StandardScaler()), make_comm()).fit(X)
    assert list(pipe.get_feature_names_out()) == [f"comm{i}" for i in range(8)]


def test_epochs_of_mne(make_comm):
    import mne

    data = np.random.default_rng(0).normal(size=(20, 3, 30))
    epochs = mne.EpochsArray(data, mne.create_info(3, 100.0, "eeg"), verbose=False)
    comm = make_comm().fit(epochs)
    assert comm.n_features_in_ == 90
    close(comm.transform(epochs), comm.transform(Modalities(x=data)))


def test_columns_of_a_data_frame_keep_their_order(make_comm, X):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X["age"], columns=list("abcd"))
    comm = make_comm().fit(X.assign(age=frame))
    with pytest.raises(ValueError, match=r"modality 'age' has columns \['d', 'c', 'b', 'a'\]"):
        comm.transform(X.assign(age=frame[list("dcba")]))
    close(comm.transform(X.assign(age=frame)), comm.transform(X))


def test_names_that_mean_something_elsewhere(make_comm, X):
    names = ("strength", "joint", "values", "a.b", "self")
    odd = Modalities({name: X["age"] + i for i, name in enumerate(names)})
    comm = make_comm().fit(odd)
    assert comm.transform(odd).shape == (40, 8)
    assert {f"modality_{name}" for name in names} <= set(comm.history_)


def test_terms_of_rarely_measured_modalities_have_their_own_mean(make_comm, X):
    few = Modalities(dict(X.items()), presence={"fnirs": np.arange(40) < 4})
    history = make_comm().fit(few).history_
    assert np.nanmin(history["modality_fnirs"]) > 0.1
    comm = make_comm().fit(X)
    without = Modalities(dict(X.items()), presence={"fnirs": np.zeros(40, dtype=bool)})
    assert np.isfinite(comm.score(without))
