"""The container: every selection equals selecting every array; refusals; laziness; persistence."""

import copy
import os
import pickle
import subprocess
import sys
import tracemalloc

import joblib
import mne
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    StratifiedGroupKFold,
    cross_val_predict,
    cross_val_score,
    learning_curve,
    train_test_split,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mmcontrast.modalities import (
    Modalities,
    as_modalities,
    make_modality_transformer,
    pad_sequences,
)


class Concatenate(TransformerMixin, BaseEstimator):
    """The smallest estimator that turns Modalities into features."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def fit(self, X, y=None):
        self.n_fits_ = getattr(self, "n_fits_", 0) + 1
        self.width_ = sum(int(np.prod(shape)) for shape in X.row_shapes.values())
        return self

    def transform(self, X):
        flat = [np.asarray(values).reshape(len(X), -1) for values in X.values()]
        return self.scale * np.hstack(flat)

    def get_feature_names_out(self, input_features=None):
        return np.array([f"f{i}" for i in range(self.width_)], dtype=object)


def arrays(n_rows=12, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "eeg": rng.normal(size=(n_rows, 3, 8)),
        "table": rng.normal(size=(n_rows, 4)).astype(np.float32),
        "image": rng.integers(0, 255, size=(n_rows, 1, 2, 2), dtype=np.uint8),
        "frame": pd.DataFrame({"a": rng.normal(size=n_rows), "b": np.arange(n_rows)}),
    }


def select(values, rows):
    """The independent reference: one array, one NumPy selection."""
    return values.to_numpy()[rows] if isinstance(values, pd.DataFrame) else np.asarray(values)[rows]


def container(n_rows=12, seed=0):
    values = arrays(n_rows, seed)
    rng = np.random.default_rng(seed + 1)
    extra = {
        "presence": {"table": rng.random(n_rows) > 0.3},
        "lengths": {"eeg": rng.integers(1, 9, size=n_rows)},
        "metadata": pd.DataFrame({"subject": np.arange(n_rows) // 2}),
    }
    return Modalities(**values, **extra), values, extra


# ------------------------------------------------------------------ selection law
@st.composite
def row_keys(draw, n_rows):
    """A key, and the index array that selects the same rows."""
    kind = draw(st.sampled_from(["slice", "int", "mask", "array", "list", "tuple", "ellipsis"]))
    everything = np.arange(n_rows)
    if kind == "ellipsis":
        return ..., everything
    if kind == "slice":
        key = draw(st.slices(n_rows))
        return key, everything[key]
    if kind == "mask":
        key = np.array(draw(st.lists(st.booleans(), min_size=n_rows, max_size=n_rows)), dtype=bool)
        return (key.tolist() if n_rows and draw(st.booleans()) else key), everything[key]
    if n_rows == 0:
        return [], everything
    indices = st.integers(-n_rows, n_rows - 1)
    if kind == "int":
        key = draw(indices)
        return key, everything[[key]]
    listed = draw(st.lists(indices, max_size=2 * n_rows))
    reference = everything[np.array(listed, dtype=int)]
    if kind == "list":
        return listed, reference
    key = np.array(listed, dtype=draw(st.sampled_from([np.int64, np.int32, np.int16])))
    if kind == "tuple":
        return draw(st.sampled_from([(key, ...), (key, slice(None)), (key,)])), reference
    return key, reference


def assert_same_rows(X, values, extra, rows):
    assert X.shape == (len(rows),) and len(X) == len(rows)
    for name, array in values.items():
        got = X[name]
        assert isinstance(got, pd.DataFrame) == isinstance(array, pd.DataFrame)
        np.testing.assert_array_equal(np.asarray(got), select(array, rows))
        np.testing.assert_array_equal(X.take(name, slice(None)), select(array, rows))
    np.testing.assert_array_equal(X.presence("table"), extra["presence"]["table"][rows])
    np.testing.assert_array_equal(X.presence("eeg"), np.ones(len(rows), bool))
    np.testing.assert_array_equal(X.lengths("eeg"), extra["lengths"]["eeg"][rows])
    np.testing.assert_array_equal(X.metadata["subject"], extra["metadata"]["subject"][rows])


@given(data=st.data(), n_rows=st.integers(0, 7), look=st.booleans())
def test_selecting_rows_of_the_container_selects_rows_of_every_array(data, n_rows, look):
    X, values, extra = container(n_rows)
    if look:
        assert X.presence("table").shape == (n_rows,)
    rows = np.arange(n_rows)
    for _ in range(data.draw(st.integers(1, 3), label="selections composed")):
        key, selected = data.draw(row_keys(len(rows)))
        X, rows = X[key], rows[selected]
        assert_same_rows(X, values, extra, rows)


@given(data=st.data())
def test_take_reads_the_rows_of_a_selection(data):
    X, values, _ = container(7)
    first, selected = data.draw(row_keys(7))
    X, rows = X[first], np.arange(7)[selected]
    if len(rows) == 0:
        return
    batch = np.array(data.draw(st.lists(st.integers(-len(rows), len(rows) - 1), max_size=9)), int)
    for name, array in values.items():
        taken = X.take(name, batch)
        assert isinstance(taken, np.ndarray)
        np.testing.assert_array_equal(taken, select(array, rows[batch]))


@given(data=st.data())
def test_selection_law_holds_for_memmaps(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("memmap") / "x.npy"
    array = np.arange(60.0).reshape(10, 2, 3)
    np.save(path, array)
    X, rows = Modalities(x=np.load(path, mmap_mode="r")), np.arange(10)
    for _ in range(2):
        key, selected = data.draw(row_keys(len(rows)))
        X, rows = X[key], rows[selected]
        np.testing.assert_array_equal(X["x"], array[rows])


def test_pandas_and_torch_row_keys():
    X, values, _ = container()
    mask = np.arange(12) % 3 == 0
    for key in (pd.Series(mask, index=np.arange(12)[::-1]), torch.as_tensor(mask)):
        np.testing.assert_array_equal(X[key]["eeg"], values["eeg"][mask])
    np.testing.assert_array_equal(X[pd.Index([3, 1])]["eeg"], values["eeg"][[3, 1]])


@pytest.mark.parametrize("key", [12, -13, [0, 12], np.array([-13])])
def test_rows_out_of_range(key):
    with pytest.raises(IndexError, match="out of bounds for 12 rows"):
        container()[0][key]


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (np.ones(11, bool), IndexError, r"mask has shape \(11,\); expected \(12,\)"),
        (True, IndexError, r"mask has shape \(\)"),
        ([0.5], IndexError, "integers or booleans, got dtype float64"),
        (np.zeros((2, 2), int), IndexError, "1-D array"),
        (["eeg", "table"], TypeError, r"X\.select\('eeg', 'fnirs'\)"),
        (np.array(["eeg"]), TypeError, r"X\.select"),
        (None, TypeError, "integers, slices or masks"),
        ((0, 1), IndexError, r"X\['eeg'\]\[:, channels\]"),
        ((slice(None), [0]), IndexError, "Only rows"),
        (("eeg", 0), IndexError, "Only rows"),
        ((), IndexError, "Only rows"),
        (slice("a", "b"), TypeError, "slice indices must be integers"),
    ],
)
def test_keys_that_do_not_select_rows(key, error, message):
    with pytest.raises(error, match=message):
        container()[0][key]


def test_unknown_name_suggests_the_closest():
    X, _, _ = container()
    for call in (X.__getitem__, X.presence, X.lengths, X.select, X.drop):
        with pytest.raises(KeyError, match=r"Unknown modality 'egg'.*Did you mean 'eeg'"):
            call("egg")
    with pytest.raises(KeyError, match="Unknown modality 'egg'"):
        X.take("egg", slice(2))


# ------------------------------------------------------------- no copies, laziness
def test_construction_and_slices_share_memory():
    values = arrays()
    X = Modalities(values)
    assert X["eeg"] is values["eeg"]
    assert X["frame"] is values["frame"]
    assert np.shares_memory(X[2:7]["eeg"], values["eeg"])
    assert np.shares_memory(X[2:7][::2]["eeg"], values["eeg"])
    assert np.shares_memory(X[[3, 4, 5]]["eeg"], values["eeg"])  # consecutive rows are a view too
    assert not np.shares_memory(X[[5, 1]]["eeg"], values["eeg"])


def test_tensors_share_memory_and_lose_their_graph():
    tensor = torch.ones(4, 3, requires_grad=True)
    X = Modalities(x=tensor)
    assert isinstance(X["x"], np.ndarray)
    assert np.shares_memory(X["x"], tensor.detach().numpy())


@pytest.mark.parametrize("call", [as_modalities, lambda tensor: Modalities(x=tensor)])
def test_bfloat16_becomes_float32(call):
    values = call(torch.tensor([[1.5, -2.0]], dtype=torch.bfloat16, requires_grad=True))["x"]
    assert values.dtype == np.float32
    assert values.tolist() == [[1.5, -2.0]]


def peak_of(call):
    tracemalloc.start()
    try:
        result = call()
        return tracemalloc.get_traced_memory()[1], result
    finally:
        tracemalloc.stop()


def test_selecting_and_taking_copy_only_the_rows_asked_for(tmp_path):
    path = tmp_path / "big.dat"
    big = np.memmap(path, dtype=np.float32, mode="w+", shape=(2000, 1000))  # 8 MB
    big[:, 0] = 1
    loaded = np.ones((2000, 1000), dtype=np.float32)
    rows = np.random.default_rng(0).permutation(2000)[:1500]
    X = Modalities(mapped=big, loaded=loaded)
    peak, chosen = peak_of(lambda: X[rows][::2][np.arange(750) % 2 == 0])
    assert peak < 200_000
    peak, batch = peak_of(lambda: [chosen.take(name, np.arange(0, 300, 3)) for name in chosen])
    assert peak < 2 * 100 * 4000 + 50_000
    np.testing.assert_array_equal(batch[0], big[rows[::2][::2][0:300:3]])
    peak, _ = peak_of(lambda: X.is_complete)
    assert peak < 500_000


def test_a_memmap_stays_a_memmap(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((10, 4)))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    X = Modalities(x=mapped)
    assert X["x"] is mapped
    assert isinstance(X[2:5]["x"], np.memmap)
    assert isinstance(X[[2, 3]]["x"], np.memmap)
    assert type(X[[3, 2]]["x"]) is np.ndarray
    assert type(X.take("x", np.array([3, 2]))) is np.ndarray


# -------------------------------------------------------------------- mapping
def test_mapping_protocol_and_description():
    X, values, _ = container()
    assert list(X) == list(values) == list(X.keys()) == list(X.names)
    assert X.n_modalities == 4 and len(X) == 12 and X.shape == (12,)
    assert "eeg" in X and "egg" not in X and 3 not in X
    assert X.get("eeg") is values["eeg"] and X.get("egg") is None and X.get("egg", 1) == 1
    assert all(one is values[name] for name, one in X.items())
    assert dict(X)["table"] is values["table"] and len(list(X.values())) == 4
    assert X.row_shapes == {"eeg": (3, 8), "table": (4,), "image": (1, 2, 2), "frame": (2,)}
    assert {name: str(dtype) for name, dtype in X.dtypes.items()} == {
        "eeg": "float64", "table": "float32", "image": "uint8", "frame": "float64",
    }  # fmt: skip
    assert X.nbytes == 12 * (24 * 8 + 4 * 4 + 4 + 2 * 8)
    assert X[:3].nbytes * 4 == X.nbytes
    other = container()[0]
    assert other != X and len({X, X, other}) == 2


def test_column_labels_of_data_frames(tmp_path):
    frame = pd.DataFrame(np.zeros((4, 3)), columns=["b", "a", 7])
    X = Modalities(table=frame, eeg=np.zeros((4, 2)))
    for chosen in (X, X[1:3], X[[3, 0]], X[:0], pickle.loads(pickle.dumps(X))):
        assert chosen.columns == {"table": ("b", "a", 7)}
    assert X.drop("table").columns == {}
    wide = Modalities(table=pd.DataFrame(np.zeros((2000, 500))))[np.arange(0, 2000, 2)]
    peak, columns = peak_of(lambda: wide.columns)
    assert columns == {"table": tuple(range(500))} and peak < 100_000


def test_repr_tells_shapes_types_and_what_is_known_to_be_absent():
    x = np.zeros((3, 2))
    x[1] = np.nan
    X = Modalities(a=x, long_name=np.zeros((3, 1, 5), "f4"), lengths={"long_name": [1, 2, 5]})
    assert repr(X) == (
        "Modalities of 3 rows\n"
        "  a          (3, 2)     float64\n"
        "  long_name  (3, 1, 5)  float32, padded"
    )
    assert not X.is_complete
    assert "float64, 1 absent\n" in repr(X)
    assert repr(X[0]).startswith("Modalities of 1 row\n")


def test_select_drop_assign():
    X, values, extra = container()
    assert X.select("image", "eeg").names == ("image", "eeg")
    assert X.drop("image", "frame").names == ("eeg", "table")
    kept = X.drop("image")
    np.testing.assert_array_equal(kept.presence("table"), extra["presence"]["table"])
    np.testing.assert_array_equal(kept.lengths("eeg"), extra["lengths"]["eeg"])
    assert kept.metadata is X.metadata
    more = X.assign(table=values["table"] * 2, new=np.ones((12, 1)))
    assert more.names == (*X.names, "new")
    assert more["eeg"] is X["eeg"] and X.names == tuple(values)
    np.testing.assert_array_equal(more["table"], values["table"] * 2)
    np.testing.assert_array_equal(more.presence("table"), extra["presence"]["table"])
    again = X.assign({"table": values["table"]}, presence={"table": np.ones(12, bool)})
    assert again.is_complete
    with pytest.raises(ValueError, match="at least one of"):
        X.select()
    with pytest.raises(ValueError, match="leave no modality"):
        X.drop(*X.names)
    with pytest.raises(ValueError, match="eeg: 12, table: 12, image: 12, frame: 12, new: 11"):
        X.assign(new=np.ones((11, 1)))


def test_assign_keeps_what_nan_rows_meant():
    x = np.ones((3, 2))
    x[1] = np.nan
    X = Modalities(x=x).assign(x=np.zeros((3, 2)))
    assert X.presence("x").tolist() == [True, False, True]


def test_assign_replaces_presence_that_was_looked_at():
    x = np.ones((3, 2))
    x[1] = np.nan
    X = Modalities(x=x)
    assert X.presence("x").tolist() == [True, False, True]
    assert X.assign(presence={"x": [False, True, True]}).presence("x").tolist() == [
        False,
        False,
        True,
    ]
    assert X.presence("x").tolist() == [True, False, True]


def test_assign_keeps_lengths_as_long_as_they_fit():
    X = Modalities(text=np.ones((2, 3, 5)), lengths={"text": [2, 5]})
    assert X.assign(text=np.ones((2, 1, 5))).lengths("text").tolist() == [2, 5]
    assert X.assign(text=np.ones((2, 7))).lengths("text") is None
    with pytest.raises(ValueError, match="'text' is padded and had 5 time steps, now 4"):
        X.assign(text=np.ones((2, 3, 4)))
    assert X.assign(text=np.ones((2, 3, 4)), lengths={"text": [1, 4]}).lengths("text")[1] == 4


def test_immutable():
    X, _, _ = container()
    with pytest.raises(TypeError, match=r"immutable; X\.assign"):
        X["eeg"] = np.zeros(12)
    with pytest.raises(TypeError, match=r"immutable; X\.drop"):
        del X["eeg"]
    with pytest.raises(AttributeError, match=r"X\.assign"):
        X.eeg = 1
    with pytest.raises(AttributeError, match="immutable"):
        X._n_rows = 1
    with pytest.raises(AttributeError, match="immutable"):
        del X._n_rows
    X.presence("table")[:] = False
    X.lengths("eeg")[:] = 99
    assert X.presence("table").any() and X.lengths("eeg").max() < 99


def test_masks_are_copied_from_the_caller():
    present, steps = np.ones(2, bool), np.array([1, 2])
    X = Modalities(x=np.ones((2, 1, 3)), presence={"x": present}, lengths={"x": steps})
    present[:], steps[:] = False, 3
    assert X.is_complete and X.lengths("x").tolist() == [1, 2]


def test_refuses_to_be_an_array():
    X, _, _ = container()
    with pytest.raises(TypeError, match=r"hold 4 arrays \(eeg, table, image, frame\)"):
        np.asarray(X)
    with pytest.raises(TypeError, match="turns modalities into features"):
        LogisticRegression().fit(X, np.arange(12) % 2)


# -------------------------------------------------------------------- refusals
ROWS = np.zeros((3, 2))


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (
            [[1.0, 2.0]],
            TypeError,
            "'eeg' is a list; .* after pad_sequences.* resizing images",
        ),
        ((1.0, 2.0), TypeError, "'eeg' is a tuple"),
        (np.zeros(3), ValueError, r"'eeg' has shape \(3,\); .*value.reshape\(-1, 1\)"),
        (np.float64(3), TypeError, "'eeg' is of type float64"),
        (np.array([["a"]]), TypeError, "'eeg' has dtype <U1"),
        (np.array([["a", None]], dtype=object), TypeError, "'eeg' has dtype object"),
        (np.ones((3, 2), complex), TypeError, "'eeg' has dtype complex128"),
        (np.zeros((3, 2), "datetime64[s]"), TypeError, "'eeg' has dtype datetime64"),
        (scipy.sparse.eye(3), TypeError, r"'eeg' is a scipy sparse matrix.*toarray\(\)"),
        (np.ma.masked_invalid(ROWS), TypeError, r"masked array.*filled\(np.nan\)"),
        (pd.Series([1.0, 2.0]), TypeError, r"Series; use series.to_frame\(\)"),
        (pd.DataFrame(index=range(3)), ValueError, "without columns"),
        (torch.zeros(3, 2, dtype=torch.float8_e4m3fn), TypeError, r"float8.*tensor.float\(\)"),
        (torch.eye(3).to_sparse(), TypeError, r"tensor.to_dense\(\)"),
        (torch.zeros(3, 2, dtype=torch.complex64), TypeError, "dtype complex64"),
        (None, TypeError, "of type NoneType; expected a NumPy array"),
        ({"a": 1}, TypeError, "of type dict"),
        (3.0, TypeError, "of type float"),
    ],
)
def test_what_is_no_modality(value, error, message):
    with pytest.raises(error, match=message):
        Modalities(eeg=value)


@pytest.mark.parametrize("name", ["", "a__b", 3, None])
def test_names_that_scikit_learn_could_not_address(name):
    with pytest.raises(ValueError, match="non-empty string without '__'"):
        Modalities({name: ROWS})


def test_unequal_numbers_of_rows_are_listed():
    with pytest.raises(ValueError, match="same number of rows, found eeg: 3, fnirs: 4"):
        Modalities(eeg=ROWS, fnirs=np.zeros((4, 2)))


@pytest.mark.parametrize("value", [[ROWS, ROWS], (ROWS, pd.DataFrame(ROWS)), [torch.eye(3)]])
def test_lists_of_arrays_would_shuffle_the_modalities(value):
    for call in (Modalities, as_modalities, make_modality_transformer(x="passthrough").fit):
        with pytest.raises(TypeError, match=r"shuffle the modalities.*Modalities\(eeg=first"):
            call(value)


def test_epochs_split_by_cross_validation_are_told_from_other_lists():
    events = np.c_[np.arange(4), np.zeros((4, 2), int)]
    epochs = mne.EpochsArray(np.zeros((4, 2, 5)), mne.create_info(2, 10.0), events, verbose="error")
    transformer = make_modality_transformer(x="passthrough")
    advice = r"wrap mne\.Epochs in Modalities\(eeg=epochs\) for cross-validation"
    for trials in ([epochs[0], epochs[1]], list(epochs)):
        for call in (as_modalities, transformer.fit):
            with pytest.raises(TypeError, match=advice):
                call(trials)
    with pytest.raises(TypeError, match=advice):
        cross_val_score(transformer, epochs, cv=2, scoring=lambda *_: 0.0, error_score="raise")
    with pytest.raises(TypeError) as caught:
        as_modalities([np.zeros((4, 2, 5)), ROWS])
    assert "mne" not in str(caught.value)


def test_other_positional_arguments():
    with pytest.raises(TypeError, match=r"got ndarray; write Modalities\(eeg=array\)"):
        Modalities(ROWS)
    with pytest.raises(TypeError, match=r"X\.assign"):
        Modalities(Modalities(a=ROWS))
    with pytest.raises(ValueError, match="at least one modality"):
        Modalities()
    with pytest.raises(ValueError, match="'a' is given twice"):
        Modalities({"a": ROWS}, a=ROWS)
    X = Modalities({"my signal": ROWS, "presence": ROWS}, data=ROWS)
    assert X.names == ("my signal", "presence", "data")


def test_masks_and_metadata_that_do_not_fit():
    three = np.ones((3, 2, 5))
    with pytest.raises(ValueError, match=r"presence: Unknown modality 'egg'.*'eeg'"):
        Modalities(eeg=ROWS, presence={"egg": [True] * 3})
    with pytest.raises(ValueError, match=r"presence of modality 'eeg' has shape \(2,\)"):
        Modalities(eeg=ROWS, presence={"eeg": [True] * 2})
    with pytest.raises(TypeError, match="presence of modality 'eeg' has dtype int64"):
        Modalities(eeg=ROWS, presence={"eeg": [0, 1, 1]})
    with pytest.raises(TypeError, match="presence is a mapping"):
        Modalities(eeg=ROWS, presence=[True] * 3)
    with pytest.raises(ValueError, match="lengths are of sequences"):
        Modalities(eeg=ROWS, lengths={"eeg": [1, 1, 1]})
    with pytest.raises(TypeError, match="lengths of modality 'eeg' have dtype float64"):
        Modalities(eeg=three, lengths={"eeg": [1.0, 1.0, 1.0]})
    with pytest.raises(ValueError, match=r"lengths of modality 'eeg' has shape \(2,\)"):
        Modalities(eeg=three, lengths={"eeg": [1, 1]})
    for wrong in (6, 0, -1):
        with pytest.raises(
            ValueError, match=rf"Row 1 of modality 'eeg' has length {wrong}; .*1 to"
        ):
            Modalities(eeg=three, lengths={"eeg": [1, wrong, 5]})
    with pytest.raises(TypeError, match=r"metadata is a pandas.DataFrame"):
        Modalities(eeg=ROWS, metadata={"a": [1, 2, 3]})
    with pytest.raises(ValueError, match="metadata has 2 rows, the modalities have 3"):
        Modalities(eeg=ROWS, metadata=pd.DataFrame({"a": [1, 2]}))


def test_absent_rows_may_have_length_zero():
    x = np.ones((3, 2, 5))
    x[1] = np.nan
    X = Modalities(x=x, lengths={"x": [0, 0, 5]}, presence={"x": [False, True, True]})
    assert X.lengths("x").tolist() == [0, 0, 5]


# -------------------------------------------------------------------- presence
@given(
    cells=st.lists(
        st.lists(st.sampled_from([0.0, 1.0, np.nan]), min_size=4, max_size=4), min_size=1
    ),
    data=st.data(),
)
def test_rows_of_nothing_but_nan_are_absent(cells, data):
    values = np.array(cells)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(cells), max_size=len(cells))))
    expected = ~np.isnan(values).all(axis=1)
    cube = values.reshape(-1, 2, 2)
    X = Modalities(table=values, cube=cube, frame=pd.DataFrame(values), presence={"cube": mask})
    rows = np.random.default_rng(0).permutation(len(cells))
    for Y, order in ((X, slice(None)), (X[rows], rows)):
        np.testing.assert_array_equal(Y.presence("table"), expected[order])
        np.testing.assert_array_equal(Y.presence("frame"), expected[order])
        np.testing.assert_array_equal(Y.presence("cube"), (expected & mask)[order])
        assert Y.is_complete == bool((expected & mask).all())


def test_presence_looks_at_the_candidates_in_chunks(monkeypatch):
    from mmcontrast.modalities import _values

    monkeypatch.setattr(_values, "_PRESENCE_CHUNK_BYTES", 100)
    values = np.ones((20, 3, 4))
    values[::3] = np.nan
    values[6, 2, 3] = 0.0
    expected = np.arange(20) % 3 != 0
    expected[6] = True
    np.testing.assert_array_equal(Modalities(x=values).presence("x"), expected)


def test_presence_of_integers_and_of_rows_without_values():
    X = Modalities(ints=np.zeros((2, 3), int), empty=np.zeros((2, 0)))
    assert X.is_complete


# ---------------------------------------------------------------- DataFrames
def test_a_frame_may_hold_categories_but_its_numbers_are_asked_for_by_name():
    frame = pd.DataFrame({"age": [1, 2, 3], "group": ["a", "b", "a"]})
    X = Modalities(person=frame)[[2, 0]]
    assert X["person"]["group"].tolist() == ["a", "a"]
    with pytest.raises(TypeError, match=r"'person' has columns that are not numbers: \['group'\]"):
        X.take("person", slice(None))


def test_nullable_columns_are_read_as_nan():
    frame = pd.DataFrame({"a": pd.array([1.5, None], dtype="Float64"), "b": [True, False]})
    taken = Modalities(x=frame).take("x", slice(None))
    assert taken.dtype == np.float64
    np.testing.assert_array_equal(taken, [[1.5, 1.0], [np.nan, 0.0]])


# --------------------------------------------------------------- persistence
def assert_equal_containers(X, Y):
    assert X.names == Y.names and X.row_shapes == Y.row_shapes and X.dtypes == Y.dtypes
    for name in X:
        np.testing.assert_array_equal(np.asarray(X[name]), np.asarray(Y[name]))
        np.testing.assert_array_equal(X.presence(name), Y.presence(name))
        np.testing.assert_array_equal(X.lengths(name), Y.lengths(name))
    pd.testing.assert_frame_equal(X.metadata, Y.metadata)


@pytest.mark.parametrize("rows", [slice(None), slice(2, 9), [5, 1], [0, 2, 4, 6, 8, 10, 11, 1]])
def test_round_trips(rows, tmp_path):
    X = container()[0][rows]
    joblib.dump(X, tmp_path / "x.joblib")
    copies = [
        pickle.loads(pickle.dumps(X)),
        joblib.load(tmp_path / "x.joblib"),
        copy.deepcopy(X),
        copy.copy(X),
        clone(X, safe=False),
    ]
    for Y in copies:
        assert_equal_containers(X, Y)
        assert_equal_containers(X[[1, 0]], Y[[1, 0]])
    assert copies[0]["frame"].columns.tolist() == ["a", "b"]


def test_pickles_hold_few_rows_compactly_and_many_by_index():
    X = Modalities(x=np.zeros((1000, 100)))
    scattered = np.arange(0, 1000, 3)
    assert len(pickle.dumps(X[scattered])) < 334 * 100 * 8 + 10_000
    state = X[np.r_[500:1000, 0:200]].__reduce__()[1][1]
    assert state[0][1] is X["x"]  # joblib then maps the one base for all folds


def mapped_array(path, n_rows=1000, n_features=1000):
    np.save(path, np.random.default_rng(0).normal(size=(n_rows, n_features)))
    return np.load(path, mmap_mode="r")


def test_few_rows_of_a_memmap_leave_the_file_behind(tmp_path):
    mapped = mapped_array(tmp_path / "x.npy")  # 8 MB
    for array in (mapped, np.asarray(mapped), mapped[10:]):
        X = Modalities(x=array)[[5, 1, 900]]
        peak, pickled = peak_of(lambda X=X: pickle.dumps(X))
        assert max(peak, len(pickled)) < 200_000
        np.testing.assert_array_equal(pickle.loads(pickled)["x"], array[[5, 1, 900]])
        joblib.dump(X, tmp_path / "x.joblib")
        assert (tmp_path / "x.joblib").stat().st_size < 30_000
        for call in (lambda X=X: copy.deepcopy(X), lambda X=X: joblib.hash(X)):
            assert peak_of(call)[0] < 200_000


def file_behind(X):
    base = X._blocks["x"].base
    return os.path.basename(base.filename) if isinstance(base, np.memmap) else None


def test_many_rows_of_a_memmap_go_to_workers_by_reference(tmp_path):
    X = Modalities(x=mapped_array(tmp_path / "x.npy"))
    many, few = X[np.arange(0, 1000, 2)], X[np.arange(0, 1000, 3)]
    names = joblib.Parallel(n_jobs=2)(joblib.delayed(file_behind)(part) for part in (X, many, few))
    assert names[:2] == ["x.npy", "x.npy"]
    assert names[2] != "x.npy"


def test_hash_depends_on_content_alone():
    def build():
        return Modalities(
            b=np.arange(12.0).reshape(6, 2),
            a=np.arange(24.0).reshape(6, 2, 2),
            presence={"b": np.arange(6) > 1},
            lengths={"a": [1, 2, 1, 2, 1, 2]},
        )

    X, Y = build(), build()
    assert Y.is_complete is False  # looking at the values changes nothing
    for rows in (slice(None), slice(1, 5), [3, 1], [3, 1, 0, 5]):
        digest = joblib.hash(X[rows])
        assert digest == joblib.hash(Y[rows])
        assert digest == joblib.hash(pickle.loads(pickle.dumps(X[rows])))
    assert joblib.hash(X) != joblib.hash(X.assign(a=X["a"] + 1))
    assert joblib.hash(X) != joblib.hash(X.assign(presence={"b": np.arange(6) > 2}))
    assert joblib.hash(X[[3, 1]]) != joblib.hash(X[[1, 3]])


def small_container():
    return Modalities(
        a=np.arange(8.0).reshape(4, 2), b=np.ones((4, 3)), presence={"a": np.arange(4) > 0}
    )


def test_another_process_hashes_alike_and_imports_no_torch_and_no_mne():
    code = (
        "import sys, numpy as np\n"
        "from mmcontrast.modalities import Modalities\n"
        "print([name for name in ('torch', 'mne') if name in sys.modules])\n"
        "import joblib\n"
        "X = Modalities(a=np.arange(8.0).reshape(4, 2), b=np.ones((4, 3)),"
        " presence={'a': np.arange(4) > 0})\n"
        "print(joblib.hash(X))\n"
        "print(joblib.hash(X[[3, 1, 0]]))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    X = small_container()
    assert run.stdout.split("\n")[:3] == ["[]", joblib.hash(X), joblib.hash(X[[3, 1, 0]])]


# -------------------------------------------------------------- scikit-learn
def problem(n_rows=60, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, size=n_rows)
    groups = np.arange(n_rows) // 4
    X = Modalities(
        eeg=rng.normal(size=(n_rows, 2, 3)) + y[:, None, None],
        table=rng.normal(size=(n_rows, 3)) - y[:, None],
    )
    return X, y, groups


def pipeline(memory=None):
    return Pipeline(
        [
            ("scale", make_modality_transformer(table=StandardScaler())),
            ("join", Concatenate()),
            ("classify", LogisticRegression()),
        ],
        memory=memory,
    )


def flat(X):
    return np.hstack([X["eeg"].reshape(len(X), -1), X["table"]])


def test_train_test_split_keeps_rows_together():
    X, y, groups = problem()
    X_train, X_test, y_train, y_test, g_train, _ = train_test_split(
        X, y, groups, stratify=y, random_state=0
    )
    plain = train_test_split(X["eeg"], X["table"], y, stratify=y, random_state=0)
    np.testing.assert_array_equal(X_train["eeg"], plain[0])
    np.testing.assert_array_equal(X_test["table"], plain[3])
    np.testing.assert_array_equal(y_test, plain[5])
    assert len(X_train) == len(y_train) == len(g_train)


@pytest.mark.parametrize("cv", [KFold(3), KFold(3, shuffle=True, random_state=0)])
def test_cross_validation_equals_that_of_the_joined_array(cv):
    X, y, _ = problem()
    plain = make_pipeline(StandardScaler(), LogisticRegression())
    ours = make_pipeline(
        make_modality_transformer(
            eeg=make_pipeline(
                FunctionTransformer(lambda x: x.reshape(len(x), -1)), StandardScaler()
            ),
            table=StandardScaler(),
        ),
        Concatenate(),
        LogisticRegression(),
    )
    expected = cross_val_predict(plain, flat(X), y, cv=cv, method="predict_proba")
    got = cross_val_predict(ours, X, y, cv=cv, method="predict_proba")
    np.testing.assert_allclose(got, expected, atol=1e-10)


def test_grid_search_in_two_processes_over_groups():
    X, y, groups = problem()
    grid = {"join__scale": [0.1, 1.0], "scale__table__with_mean": [True, False]}
    results = []
    for n_jobs in (1, 2):
        search = GridSearchCV(pipeline(), grid, cv=StratifiedGroupKFold(3), n_jobs=n_jobs)
        search.fit(X, y, groups=groups)
        results.append(search.cv_results_["mean_test_score"])
        assert search.predict(X[:5]).shape == (5,)
    np.testing.assert_array_equal(*results)
    assert results[0].max() > 0.7


def kind_of_base(X):
    return (
        type(X._blocks["eeg"].base).__name__,
        X["eeg"].sum(),
        X.take("eeg", [0, 1]).flags.writeable,
    )


@pytest.mark.parametrize("rows", [slice(None), [5, 0, 3, 2, 1]])
def test_workers_map_the_arrays_instead_of_copying_them(rows):
    X = Modalities(eeg=np.arange(300_000.0).reshape(6, 50, 1000))[rows]  # joblib maps above 1 MB
    parallel = joblib.Parallel(n_jobs=2)
    for kind, total, writeable in parallel(joblib.delayed(kind_of_base)(X) for _ in range(2)):
        assert (kind, writeable) == ("memmap", True)
        assert total == X["eeg"].sum()


def test_learning_curve_and_parallel_cross_val_predict():
    X, y, _ = problem()
    sizes, _, scores = learning_curve(
        pipeline(), X, y, train_sizes=[0.3, 1.0], cv=3, n_jobs=2, shuffle=True, random_state=0
    )
    assert sizes.tolist() == [12, 40] and np.isfinite(scores).all()
    np.testing.assert_array_equal(
        cross_val_predict(pipeline(), X, y, cv=3, n_jobs=2),
        cross_val_predict(pipeline(), X, y, cv=3),
    )


def test_function_transformer_in_a_pipeline():
    X, y, _ = problem()
    pipe = make_pipeline(
        FunctionTransformer(lambda X: X.assign(eeg=X["eeg"].mean(axis=2))), Concatenate()
    )
    assert pipe.fit_transform(X, y).shape == (60, 5)
    assert pipe[:-1].transform(X).row_shapes == {"eeg": (2,), "table": (3,)}
    assert FunctionTransformer().fit_transform(X) is X


class Counting(Concatenate):
    """Leaves a mark each time it is fitted."""

    def __init__(self, path=None):
        super().__init__()
        self.path = path

    def fit(self, X, y=None):
        with open(self.path, "a") as file:
            file.write("fit\n")
        return super().fit(X, y)


def test_pipeline_memory_is_hit_by_equal_content(tmp_path):
    X, y, _ = problem()
    marks = tmp_path / "marks"
    for turn in range(3):
        X_now, y, _ = problem()
        if turn == 1:
            X_now = pickle.loads(pickle.dumps(X_now))
        pipe = Pipeline(
            [("join", Counting(str(marks))), ("classify", LogisticRegression())],
            memory=str(tmp_path / "cache"),
        )
        pipe.fit(X_now, y)
    assert marks.read_text() == "fit\n"
    pipe.fit(X.assign(table=X["table"] + 1), y)
    assert marks.read_text() == "fit\nfit\n"


def test_set_output_reaches_the_final_features():
    X, y, _ = problem()
    features = pipeline()[:-1].set_output(transform="pandas").fit_transform(X, y)
    assert isinstance(features, pd.DataFrame)
    assert features.columns.tolist() == [f"f{i}" for i in range(9)]
    assert pipeline()[:-1].fit(X).get_feature_names_out().tolist() == features.columns.tolist()


# ----------------------------------------------------------------- plain input
def test_plain_input_is_one_modality():
    X, _, _ = container()
    assert as_modalities(X) is X
    for value in (np.ones((3, 2)), np.ones((3, 2, 4)), np.ones((3, 1, 2, 2)), torch.ones(3, 2)):
        assert as_modalities(value).row_shapes == {"x": tuple(value.shape[1:])}


@pytest.mark.parametrize(
    ("key", "columns"),
    [
        (slice(1, 3), [1, 2]),
        (slice(None, None, 2), [0, 2, 4]),
        (slice(-2, None), [3, 4]),
        ([3, 0], [3, 0]),
        (2, [2]),
        (-1, [4]),
        (np.array([True, False, True, False, False]), [0, 2]),
        (lambda X: [X.shape[1] - 1], [4]),
    ],
)
def test_column_groups_of_an_array(key, columns):
    array = np.arange(20.0).reshape(4, 5)
    X = as_modalities(array, {"group": key, "rest": slice(0, 5)})
    np.testing.assert_array_equal(X["group"], array[:, columns])
    np.testing.assert_array_equal(X["rest"], array)
    frame = pd.DataFrame(array, columns=list("abcde"))
    named = as_modalities(frame, {"group": key})["group"]
    assert named.columns.tolist() == [frame.columns[i] for i in columns]


def test_contiguous_column_groups_are_views():
    array = np.arange(20.0).reshape(4, 5)
    assert np.shares_memory(as_modalities(array, {"a": slice(1, 4)})["a"], array)


def test_column_groups_by_name():
    frame = pd.DataFrame(np.arange(8.0).reshape(2, 4), columns=["w", "x", "y", "z"])
    X = as_modalities(frame, {"a": ["z", "w"], "b": slice("x", "y"), "c": "y"})
    assert [X[name].columns.tolist() for name in X] == [["z", "w"], ["x", "y"], ["y"]]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"a": [0, 7]}, "'a'.*does not fit X, which has 3 columns"),
        ({"a": []}, "'a' selects no column"),
        ({"a": slice(3, 9)}, "'a' selects no column"),
        ({"a": ["x"]}, "'a'.*without names"),
        ({"a": "x"}, "'a'.*without names"),
        ({"a": [0.5]}, "'a'"),
        ({"a__b": [0]}, "without '__'"),
        ({}, "non-empty mapping"),
        ([0, 1], "non-empty mapping"),
    ],
)
def test_column_groups_that_do_not_fit(groups, message):
    with pytest.raises(ValueError, match=message):
        as_modalities(np.zeros((2, 3)), groups)


def test_misspelt_column_and_other_input():
    frame = pd.DataFrame({"alpha": [1.0], "beta": [2.0]})
    with pytest.raises(ValueError, match=r"Column group 'a': Unknown column 'alpa'.*'alpha'"):
        as_modalities(frame, {"a": ["alpa"]})
    with pytest.raises(ValueError, match=r"columns of a 2-D X, but X has shape \(2, 3, 4\)"):
        as_modalities(np.zeros((2, 3, 4)), {"a": [0]})
    with pytest.raises(TypeError, match=r"CoMM got a dict; pass Modalities\(\*\*X\)"):
        as_modalities({"a": np.zeros((2, 3))}, estimator_name="CoMM")


# --------------------------------------------------------------- pad_sequences
@given(
    steps=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    n_channels=st.integers(1, 3),
)
def test_padded_sequences_hold_the_sequences_and_zeros(steps, n_channels):
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(n_channels, n)).astype(np.float32) for n in steps]
    values, lengths = pad_sequences(sequences)
    assert values.shape == (len(steps), n_channels, max(steps)) and values.dtype == np.float32
    assert lengths.tolist() == steps
    for row, sequence in enumerate(sequences):
        np.testing.assert_array_equal(values[row, :, : steps[row]], sequence)
        assert not values[row, :, steps[row] :].any()
    X = Modalities(text=values, lengths={"text": lengths})
    assert X.lengths("text").tolist() == steps


def test_sequences_that_cannot_be_padded():
    assert pad_sequences([np.ones(3), torch.ones(2)])[0].shape == (2, 1, 3)
    with pytest.raises(ValueError, match="at least one sequence"):
        pad_sequences([])
    with pytest.raises(ValueError, match="Sequence 1 has 3 channels, sequence 0 has 2"):
        pad_sequences([np.ones((2, 4)), np.ones((3, 4))])
    with pytest.raises(ValueError, match=r"Sequence 0 has shape \(2, 0\)"):
        pad_sequences([np.ones((2, 0))])
    with pytest.raises(ValueError, match=r"Sequence 1 has shape \(1, 2, 3\)"):
        pad_sequences([np.ones((1, 2)), np.ones((1, 2, 3))])
    with pytest.raises(TypeError, match="Sequence 0 has dtype <U1"):
        pad_sequences([["a"]])
