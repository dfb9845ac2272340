"""Each mistake has a message that names the modality, what was found and what to do."""

import numpy as np
import pytest
import torch

from mmcontrast import Modalities
from mmcontrast.augmentation import GaussianNoise, make_augmentation


def refuses(error, match):
    return pytest.raises(error, match=match)


# ------------------------------------------------------------------ in fit
def test_lists_of_arrays(make_comm, X):
    with refuses(TypeError, "shuffle"):
        make_comm().fit([X["eeg"], X["age"]])


def test_dicts_of_arrays(make_comm, X):
    with refuses(TypeError, r"Modalities\(\*\*"):
        make_comm().fit({"eeg": X["eeg"]})


def test_unequal_lengths():
    with refuses(ValueError, r"(?s)eeg.*5.*age.*4"):
        Modalities(eeg=np.ones((5, 2)), age=np.ones((4, 2)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(make_comm, X, bad):
    eeg = X["eeg"].copy()
    eeg[7, 1, 3] = bad
    what = "NaN" if np.isnan(bad) else r"infinity \(inf\)"
    with refuses(ValueError, f"modality 'eeg' contains {what}, first in row 7"):
        make_comm().fit(X.assign(eeg=eeg))
    comm = make_comm().fit(X)
    for method in (comm.transform, comm.score, comm.partial_fit):
        with refuses(ValueError, f"modality 'eeg' contains {what}, first in row 7"):
            method(X.assign(eeg=eeg))
    with refuses(ValueError, f"modality 'eeg' contains {what}"):
        make_comm().fit(X, X_val=X.assign(eeg=eeg))


def test_rows_without_any_modality(make_comm, X):
    here = np.ones(40, dtype=bool)
    here[[4, 9]] = False
    bare = Modalities(dict(X.items()), presence=dict.fromkeys(X.names, here))
    with refuses(ValueError, "2 row.*no modality at all.*first in row 4"):
        make_comm().fit(bare)


@pytest.mark.parametrize("dtype", [object, str])
def test_arrays_without_numbers(dtype):
    with refuses(TypeError, "eeg"):
        Modalities(eeg=np.array([["a", "b"], ["c", "d"]], dtype=dtype))


def test_zero_variance(make_comm, X):
    constant = np.repeat(X["age"][:1], 40, axis=0)  # features differ, rows do not
    with refuses(ValueError, "modality 'age' has zero variance"):
        make_comm().fit(X.assign(age=constant))


def test_fewer_rows_than_a_batch(make_comm, X):
    with refuses(ValueError, "batch_size=64 is more than the n_samples=40.*batch_size='auto'"):
        make_comm(batch_size=64).fit(X)
    with refuses(ValueError, "batch_size=32 is more than the n_samples=30"):
        make_comm(batch_size=32, validation_fraction=0.25).fit(X)
    make_comm(batch_size="auto").fit(X)


@pytest.mark.parametrize("batch_size", [8, "auto"])
def test_one_sample(make_comm, X, batch_size):
    with refuses(ValueError, "at least 2 samples; found n_samples = 1"):
        make_comm(batch_size=batch_size).fit(X[:1])


def test_a_batch_too_small_for_contrast(make_comm, X):
    with refuses(ValueError, "batch_size=1 leaves nothing to contrast a row with"):
        make_comm(batch_size=1).fit(X)


def test_a_modality_present_in_one_row(make_comm, X):
    presence = {"eeg": np.arange(40) == 3}
    with refuses(ValueError, "modality 'eeg' is present in 1 row"):
        make_comm().fit(Modalities(dict(X.items()), presence=presence))


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"learning_rate": -1e-3}, "'learning_rate'.*-0.001"),
        ({"weight_decay": -1}, "'weight_decay'.*-1"),
        ({"max_epochs": 0}, "'max_epochs'.*0"),
        ({"temperature": 0.0}, "'temperature'.*0.0"),
        ({"augmentation_strength": -0.5}, "'augmentation_strength'.*-0.5"),
        ({"batch_size": -2}, "'batch_size'.*-2"),
        ({"dropout": 1.0}, "'dropout'.*1.0"),
        ({"validation_fraction": 1.5}, "'validation_fraction'.*1.5"),
        ({"masked_views": "both"}, "'masked_views'.*'both'"),
        ({"precision": "float16"}, "'precision'.*'float16'"),
        ({"fusion": "sum"}, "'fusion'.*'sum'"),
        ({"loss_terms": ()}, "loss_terms"),
        ({"loss_terms": ("joint", "cross")}, "loss_terms.*'joint' and 'modalities'"),
        ({"projection_dims": ()}, "projection_dims"),
        ({"projection_dims": (16, -8)}, "projection_dims"),
        ({"embed_dim": 10, "n_heads": 4}, "embed_dim=10 is not a multiple of n_heads=4"),
        ({"callbacks": [3]}, "callbacks"),
    ],
)
def test_parameters_out_of_range(make_comm, X, params, found):
    with refuses((ValueError, TypeError), found):
        make_comm(**params).fit(X)


def test_a_device_that_is_not_there(make_comm, X):
    with refuses(ValueError, "device='cuda:7' is not there. Found: cpu"):
        make_comm(device="cuda:7").fit(X)


def test_names_of_modalities_that_do_not_exist(make_comm, X):
    with refuses(ValueError, "'fnris'.*Did you mean 'fnirs'"):
        make_comm(encoders={"fnris": "mlp"}).fit(X)
    with refuses(ValueError, "'fnris'.*Did you mean 'fnirs'"):
        make_comm(converters={"fnris": "identity"}).fit(X)
    with refuses(ValueError, "'fnris'.*Did you mean 'fnirs'"):
        make_comm(augmentation=make_augmentation(fnris=GaussianNoise())).fit(X)


def test_an_encoder_that_does_not_fit(make_comm, X):
    with refuses(ValueError, r"modality 'eeg'.*Linear"):
        make_comm(encoders={"eeg": torch.nn.Linear(99, 8)}).fit(X)
    with refuses(ValueError, "(?s)modality 'age'.*'mpl'.*mlp"):
        make_comm(encoders={"age": "mpl"}).fit(X)
    with refuses(TypeError, "modality 'age'"):
        make_comm(encoders={"age": 3}).fit(X)


def test_an_encoder_whose_output_does_not_fit_the_converter(make_comm, X):
    with refuses(ValueError, r"modality 'age'.*patch_embedding|modality 'age'.*PatchEmbedding"):
        make_comm(converters={"age": "patch_embedding"}).fit(X)
    with refuses(ValueError, r"modality 'eeg'.*embed_dim.*token_projection"):
        make_comm(encoders={"eeg": torch.nn.Linear(16, 5)}, converters={"eeg": "identity"}).fit(X)


def test_groups_of_another_length(make_comm, X):
    with refuses(ValueError, "inconsistent numbers of samples"):
        make_comm(validation_fraction=0.3).fit(X, groups=np.arange(39))


# ------------------------------------------------------------------ after fit
def test_other_modalities_than_in_fit(make_comm, X):
    comm = make_comm().fit(X)
    with refuses(ValueError, "Unknown modality 'fnris'.*Did you mean 'fnirs'.*not there in fit"):
        comm.transform(Modalities(fnris=X["fnirs"]))
    with refuses(TypeError, "fitted on Modalities of 'eeg', 'fnirs', 'age', but got a ndarray"):
        comm.transform(X["age"].repeat(17, axis=1))


def test_other_shapes_than_in_fit(make_comm, X):
    comm = make_comm().fit(X)
    with refuses(ValueError, r"modality 'eeg' has rows of shape \(2, 16\).*\(3, 16\)"):
        comm.transform(X.assign(eeg=X["eeg"][:, :2]))
    with refuses(ValueError, r"modality 'eeg' has rows of shape \(3, 15\).*\(3, 16\)"):
        comm.transform(X.assign(eeg=X["eeg"][:, :, :15]))


def test_before_fit(make_comm, X):
    from sklearn.exceptions import NotFittedError

    for method in ("transform", "score", "save"):
        with pytest.raises(NotFittedError):
            getattr(make_comm(), method)(X)


def test_no_rows(make_comm, X):
    with refuses(ValueError, "0 sample"):
        make_comm().fit(X[:0])


def test_numbers_that_float32_cannot_hold(make_comm, X):
    age = X["age"].copy()
    age[5, 1] = 1e39
    comm = make_comm().fit(X)
    for method in (make_comm().fit, comm.transform, comm.score):
        with refuses(ValueError, r"modality 'age' holds 1e\+39, more than float32 can. Rescale"):
            method(X.assign(age=age))
    age[5] = 3e38  # overflows in the network
    with refuses(ValueError, "embedding of rows 0 to .* is not finite.*'age': '3e.38'"):
        comm.transform(X.assign(age=age))


def test_a_modality_in_other_units_than_the_rest(make_comm, X):
    volts = X.assign(eeg=1e-6 * X["eeg"])
    with pytest.warns(UserWarning, match="hardly depends on modality 'eeg'.*deviation of 1.*e-06"):
        make_comm().fit(volts)


def test_modalities_without_a_measured_one(make_comm, X):
    comm = make_comm().fit(X)
    with refuses(ValueError, "'fnirs' is not there"):
        comm.partial_fit(X.drop("fnirs"))
    with refuses(ValueError, "'fnirs' is not there"):
        make_comm().fit(X, X_val=X.drop("fnirs"))
    with refuses(ValueError, "Unknown modality 'egg'.*Did you mean 'eeg'"):
        comm.encode_modality(X["eeg"], "egg")
    absent = Modalities(dict(X.items()), presence={"eeg": np.arange(40) > 0})
    with refuses(ValueError, "modality 'eeg' is not there in every row"):
        comm.encode_modality(absent, "eeg")


def test_one_group(make_comm, X):
    with refuses(ValueError, "validation_fraction=0.3 cannot be held out of 1 groups"):
        make_comm(validation_fraction=0.3).fit(X, groups=np.zeros(40))


def test_padding_may_hold_nan(make_comm, X):
    lengths = np.full(40, 10)
    eeg = X["eeg"].copy()
    eeg[:, :, 10:] = np.nan
    padded = X.assign(eeg=eeg, lengths={"eeg": lengths})
    assert np.isfinite(make_comm().fit(padded).transform(padded)).all()


def test_a_checkpoint_that_cannot_be_used(make_comm, X, tmp_path):
    (tmp_path / "file").write_text("")
    with refuses(OSError, "file"):
        make_comm(checkpoint=tmp_path / "file").fit(X)
