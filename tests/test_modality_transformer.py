"""ModalityTransformer: each modality through its own transformer, rows kept, clear refusals."""

import pickle

import mne
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from mne.decoding import CSP, FilterEstimator, PSDEstimator, Scaler, TemporalFilter, Vectorizer
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    StandardScaler,
    TargetEncoder,
)
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from mmcontrast.modalities import Modalities, ModalityTransformer, make_modality_transformer


@parametrize_with_checks(
    [
        ModalityTransformer([("x", StandardScaler())]),
        ModalityTransformer([("x", "passthrough")]),
        ModalityTransformer([("x", SimpleImputer())]),
        make_modality_transformer(x=make_pipeline(StandardScaler(), PCA(1, svd_solver="full"))),
    ]
)
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def container(n_rows=20, seed=0):
    rng = np.random.default_rng(seed)
    return Modalities(
        eeg=rng.normal(size=(n_rows, 3, 16)),
        table=rng.normal(2.0, 3.0, size=(n_rows, 4)),
        image=rng.integers(0, 255, size=(n_rows, 1, 4, 4), dtype=np.uint8),
        metadata=pd.DataFrame({"subject": np.arange(n_rows)}),
    )


LABELS = np.arange(20) % 2


class Recorder(TransformerMixin, BaseEstimator):
    """Subtracts the mean of the rows, and counts what is called with how many rows."""

    def fit(self, X, y=None):
        self.mean_ = X.mean(axis=0)
        self.calls_ = [*getattr(self, "calls_", []), ("fit", len(X), None if y is None else len(y))]
        self.y_ = y
        return self

    def transform(self, X):
        self.calls_.append(("transform", len(X)))
        return X - self.mean_

    def fit_transform(self, X, y=None):
        self.fit(X, y)
        self.calls_ = [("fit_transform", len(X), None if y is None else len(y))]
        return X - self.mean_


class FitAndTransformOnly:
    """The least a transformer can be; not even a scikit-learn estimator."""

    def fit(self, X, y=None):
        self.mean = X.mean()
        return self

    def transform(self, X):
        return X - self.mean

    def get_params(self, deep=True):
        return {}


class Returning(TransformerMixin, BaseEstimator):
    def __init__(self, function=None):
        self.function = function

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return self.function(X)


# ----------------------------------------------------------------- what comes out
@pytest.mark.parametrize(
    "name", ["self", "values", "keys", "update", "strength", "joint", "X", "y", "name", "my signal"]
)
def test_any_name_that_is_no_parameter(name):
    X = Modalities({name: np.arange(8.0).reshape(4, 2), "other": np.ones((4, 1))})
    ours = ModalityTransformer([(name, StandardScaler())])
    expected = StandardScaler().fit_transform(X[name])
    np.testing.assert_array_equal(ours.fit_transform(X)[name], expected)
    np.testing.assert_array_equal(ours.transform(X)[name], expected)
    assert isinstance(ours.named_transformers_[name], StandardScaler)
    ours.set_params(**{f"{name}__with_mean": False})
    assert ours.get_params()[f"{name}__with_mean"] is False
    assert clone(ours).fit(X).transform(X)[name].min() == 0


def test_a_parameter_may_name_a_modality_without_a_transformer():
    X = Modalities({"n_jobs": np.ones((4, 1)), "other": np.ones((4, 1))})
    assert make_modality_transformer(other=StandardScaler()).fit_transform(X).names == X.names


def test_tensors_come_as_arrays():
    tensor = torch.arange(8.0).reshape(4, 2).requires_grad_()
    expected = StandardScaler().fit_transform(tensor.detach().numpy())
    for x in (tensor, tensor.to(torch.bfloat16)):
        ours = ModalityTransformer([("x", StandardScaler())])
        np.testing.assert_array_equal(ours.fit_transform(x), expected)
        np.testing.assert_array_equal(ours.transform(x), expected)
        split = ModalityTransformer([("a", StandardScaler())], modalities={"a": [0], "b": [1]})
        np.testing.assert_array_equal(split.fit_transform(x)["a"], expected[:, :1])


def test_each_modality_goes_through_its_own_transformer():
    X, new = container(), container(7, seed=1)
    scaler, pca = StandardScaler().fit(X["table"]), PCA(2).fit(X["image"].reshape(20, -1))
    ours = make_modality_transformer(
        table=StandardScaler(),
        image=make_pipeline(FunctionTransformer(lambda x: x.reshape(len(x), -1)), PCA(2)),
    )
    for out, x in ((ours.fit_transform(X), X), (ours.transform(new), new)):
        assert out.names == ("eeg", "table", "image")
        assert out["eeg"] is x["eeg"]
        np.testing.assert_allclose(out["table"], scaler.transform(x["table"]))
        np.testing.assert_allclose(out["image"], pca.transform(x["image"].reshape(len(x), -1)))
        assert out.metadata is x.metadata


def test_fit_then_transform_equals_fit_transform():
    X = container()[::-2]
    ours = make_modality_transformer(table=PCA(2), eeg=Vectorizer())
    together, apart = ours.fit_transform(X), clone(ours).fit(X).transform(X)
    for name in X:
        np.testing.assert_allclose(together[name], apart[name])


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_parallel_transformers_give_the_same(n_jobs):
    X = container()
    ours = make_modality_transformer(n_jobs=n_jobs, table=StandardScaler(), eeg=Vectorizer())
    np.testing.assert_array_equal(
        ours.fit_transform(X)["table"], StandardScaler().fit_transform(X["table"])
    )
    np.testing.assert_array_equal(ours.transform(X)["eeg"], X["eeg"].reshape(20, -1))


def test_passthrough_drop_and_remainder():
    X = container()
    assert make_modality_transformer(table="drop").fit_transform(X).names == ("eeg", "image")
    kept = make_modality_transformer(remainder="drop", table="passthrough").fit(X)
    assert kept.transform(X).names == ("table",)
    assert kept.transform(X)["table"] is X["table"]
    for all_gone in (
        make_modality_transformer(remainder="drop", table="drop"),
        make_modality_transformer(eeg="drop", table="drop", image="drop"),
    ):
        with pytest.raises(ValueError, match="All modalities are dropped"):
            all_gone.fit_transform(X)


def test_transformers_are_cloned_and_called_once():
    X = container()
    recorder = Recorder()
    ours = make_modality_transformer(table=recorder)
    ours.fit_transform(X, LABELS)
    assert not hasattr(recorder, "calls_")
    assert ours.named_transformers_["table"].calls_ == [("fit_transform", 20, 20)]
    ours.fit(X, LABELS)
    assert ours.named_transformers_["table"].calls_ == [("fit", 20, 20)]
    assert [name for name, _ in ours.transformers_] == ["eeg", "table", "image"]
    assert dict(ours.transformers_)["eeg"] == "passthrough"
    out = make_modality_transformer(table=FitAndTransformOnly()).fit_transform(X)
    assert abs(out["table"].mean()) < 1e-12


def test_supervised_transformers_see_the_targets():
    X = container()
    out = make_modality_transformer(table=SelectKBest(k=2)).fit_transform(X, LABELS)
    np.testing.assert_array_equal(out["table"], SelectKBest(k=2).fit_transform(X["table"], LABELS))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        make_modality_transformer(table=SelectKBest(k=2)).fit(X, LABELS[:-1])


# ------------------------------------------------------------------ missing rows
@pytest.mark.parametrize("how", ["mask", "nan"])
def test_absent_rows_do_not_take_part_and_stay_absent(how):
    X = container()
    present = np.arange(20) % 3 > 0
    if how == "mask":
        X = X.assign(presence={"table": present})
    else:
        X = X.assign(table=np.where(present[:, None], X["table"], np.nan))
    ours = make_modality_transformer(table=Recorder())
    for out in (ours.fit_transform(X, LABELS), ours.transform(X)):
        np.testing.assert_array_equal(out.presence("table"), present)
        assert not out["table"][~present].any()
        expected = X["table"][present] - X["table"][present].mean(axis=0)
        np.testing.assert_allclose(out["table"][present], expected)
    fitted = ours.named_transformers_["table"]
    np.testing.assert_array_equal(fitted.y_, LABELS[present])
    assert fitted.calls_ == [("fit_transform", 13, 13), ("transform", 13)]


def test_absent_values_never_matter():
    X = container()
    present = np.arange(20) % 3 > 0
    noisy = X["table"].copy()
    noisy[~present] = 1e6
    ours = make_modality_transformer(table=make_pipeline(StandardScaler(), PCA(2)))
    one, other = (
        clone(ours).fit_transform(Y.assign(presence={"table": present}))["table"]
        for Y in (X, X.assign(table=noisy))
    )
    np.testing.assert_array_equal(one, other)


def test_a_modality_absent_from_all_rows_can_be_transformed_but_not_fitted():
    X = container()
    gone = X.assign(presence={"table": np.zeros(20, bool)})
    with pytest.raises(ValueError, match="'table' was not measured on any row"):
        make_modality_transformer(table=PCA(2)).fit(gone)
    out = make_modality_transformer(table=PCA(2), remainder="drop").fit(X).transform(gone)
    assert out.row_shapes == {"table": (2,)} and not out["table"].any()
    assert not out.presence("table").any()


def test_absent_rows_of_data_frames():
    frame = pd.DataFrame({"a": [1.0, np.nan, 3.0, 5.0], "b": [1.0, np.nan, 2.0, 3.0]})
    X = Modalities(x=frame)
    ours = make_modality_transformer(x=StandardScaler().set_output(transform="pandas"))
    for out in (ours.fit_transform(X), ours.transform(X)):
        assert out["x"].columns.tolist() == ["a", "b"]
        np.testing.assert_allclose(out["x"].to_numpy()[1], 0)
        assert out.presence("x").tolist() == [True, False, True, True]
        np.testing.assert_allclose(
            out["x"].to_numpy()[[0, 2, 3]], StandardScaler().fit_transform(frame.dropna())
        )
    assert not ours.transform(X[[1]]).presence("x").any()


# ------------------------------------------------------------------------ lengths
def test_lengths_are_kept_where_they_mean_something():
    X = Modalities(text=np.ones((3, 2, 5)), lengths={"text": [1, 3, 5]})
    same = make_modality_transformer(text=FunctionTransformer(lambda x: x[:, :1])).fit_transform(X)
    assert same.lengths("text").tolist() == [1, 3, 5]
    pooled = make_modality_transformer(text=Vectorizer()).fit_transform(X)
    assert pooled.lengths("text") is None
    with pytest.raises(ValueError, match="'text' is padded and had 5 time steps, now 4"):
        make_modality_transformer(text=FunctionTransformer(lambda x: x[..., 1:])).fit_transform(X)
    passed = make_modality_transformer(text="passthrough").fit_transform(X)
    assert passed.lengths("text").tolist() == [1, 3, 5]


def test_another_set_of_sequences_may_be_padded_to_another_length():
    ours = make_modality_transformer(text=FunctionTransformer(lambda x: x.mean(axis=2)))
    ours.fit(Modalities(text=np.ones((3, 2, 5)), lengths={"text": [1, 3, 5]}))
    longer = Modalities(text=np.ones((2, 2, 9)), lengths={"text": [9, 3]})
    assert ours.transform(longer).row_shapes == {"text": (2,)}
    with pytest.raises(ValueError, match=r"'text' have shape \(2, 9\).*fitted on rows.*\(2, 5\)"):
        ours.transform(Modalities(text=np.ones((2, 2, 9))))


# ------------------------------------------------------------------- refusals
def test_unknown_modalities():
    X = container()
    with pytest.raises(ValueError, match=r"Unknown modality 'tabel'.*Did you mean 'table'"):
        make_modality_transformer(tabel=StandardScaler()).fit(X)
    ours = make_modality_transformer(table=StandardScaler()).fit(X)
    with pytest.raises(
        ValueError, match=r"Unknown modality 'imagery'.*Did you mean 'image'.*was fit"
    ):
        ours.transform(Modalities(imagery=X["image"]))


def test_some_of_the_modalities_can_be_transformed():
    X = container()
    ours = make_modality_transformer(table=StandardScaler(), eeg=Vectorizer()).fit(X)
    out = ours.transform(X.select("table"))
    assert out.names == ("table",)
    np.testing.assert_array_equal(out["table"], ours.transform(X)["table"])


def test_changed_row_shapes():
    X = container()
    ours = make_modality_transformer(table=StandardScaler()).fit(X)
    for name, value, shapes in (
        ("table", np.ones((20, 5)), r"'table' have shape \(5,\).*\(4,\)"),
        ("eeg", np.ones((20, 3, 9)), r"'eeg' have shape \(3, 9\).*\(3, 16\)"),
    ):
        with pytest.raises(ValueError, match=shapes):
            ours.transform(X.assign({name: value}))


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: x[1:], ValueError, "'table' returned 19 rows for 20"),
        (lambda x: x[:, 0], ValueError, r"'table' has shape \(20,\)"),
        (lambda x: x.astype(str), TypeError, "'table' has dtype <U"),
        (lambda x: x.tolist(), TypeError, "'table' is a list"),
    ],
)
def test_outputs_that_do_not_fit(function, error, message):
    with pytest.raises(error, match=message):
        make_modality_transformer(table=Returning(function)).fit_transform(container())
    fitted = make_modality_transformer(table=Returning(function)).fit(container())
    with pytest.raises(error, match=message):
        fitted.transform(container())


def test_sparse_output_names_the_option():
    X = Modalities(x=np.arange(6.0).reshape(3, 2))
    with pytest.raises(ValueError, match=r"'x' returned a sparse matrix.*sparse_output=False"):
        make_modality_transformer(x=OneHotEncoder()).fit_transform(X)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_errors_tell_which_modality(n_jobs):
    X = container().assign(table=np.where(np.arange(80).reshape(20, 4) == 5, np.nan, 1.0))
    ours = make_modality_transformer(n_jobs=n_jobs, table=PCA(2), eeg=Vectorizer())
    with pytest.raises(ValueError, match="contains NaN") as caught:
        ours.fit(X)
    assert "while fitting the transformer of modality 'table'" in caught.value.__notes__
    ours.fit(container())
    with pytest.raises(ValueError, match="contains NaN") as caught:
        ours.transform(X)
    assert "while transforming modality 'table'" in caught.value.__notes__


@pytest.mark.parametrize(
    ("transformers", "error", "message"),
    [
        ([], ValueError, "transformers is empty"),
        ([("a", StandardScaler()), ("a", PCA())], ValueError, "not unique"),
        ([("a", PCA()), ("remainder", PCA())], ValueError, "called 'remainder'.*Rename"),
        ([("n_jobs", PCA())], ValueError, "called 'n_jobs': .* has a parameter of that name"),
        ([("transformers", PCA())], ValueError, "called 'transformers'"),
        ([("modalities", PCA())], ValueError, "called 'modalities'"),
        ([("a__b", PCA())], ValueError, "must not contain __"),
        ([("a", PCA)], TypeError, "estimator instance"),
        ([("a", LogisticRegression())], TypeError, "'a' needs fit and transform"),
        ([("a", "drops")], TypeError, "'a' needs fit and transform.*got 'drops'"),
        ({"a": PCA()}, ValueError, "'transformers' parameter"),
    ],
)
def test_transformers_that_are_none(transformers, error, message):
    with pytest.raises(error, match=message):
        ModalityTransformer(transformers).fit(container())


def test_bad_remainder_and_unfitted():
    with pytest.raises(ValueError, match="'remainder' parameter"):
        make_modality_transformer(remainder="keep", table=PCA()).fit(container())
    with pytest.raises(NotFittedError):
        make_modality_transformer(table=PCA()).transform(container())


# ----------------------------------------------------------------- plain input
def test_a_plain_array_goes_through_the_only_transformer():
    x = np.random.default_rng(0).normal(size=(10, 4))
    out = make_modality_transformer(anything=StandardScaler()).fit_transform(x)
    assert isinstance(out, np.ndarray)
    np.testing.assert_array_equal(out, StandardScaler().fit_transform(x))
    cube = make_modality_transformer(x=Vectorizer()).fit_transform(x.reshape(10, 2, 2))
    np.testing.assert_array_equal(cube, x)
    with pytest.raises(ValueError, match=r"2 modalities \(\['a', 'b'\]\).*plain ndarray"):
        make_modality_transformer(a=StandardScaler(), b=PCA()).fit(x)
    with pytest.raises(ValueError, match="All modalities are dropped"):
        make_modality_transformer(a="drop").fit(x)
    with pytest.raises(TypeError, match=r"Modalities\(\*\*X\)"):
        make_modality_transformer(a=PCA()).fit({"a": x})


def test_plain_and_named_input_do_not_mix():
    x = np.ones((4, 2))
    plain = make_modality_transformer(x=StandardScaler()).fit(x)
    with pytest.raises(ValueError, match="fitted on one plain array, got Modalities"):
        plain.transform(Modalities(x=x))
    named = make_modality_transformer(x=StandardScaler()).fit(Modalities(x=x))
    with pytest.raises(ValueError, match=r"fitted on Modalities \['x'\], got a ndarray"):
        named.transform(x)
    refitted = plain.fit(Modalities(x=x))
    assert not hasattr(refitted, "n_features_in_") and refitted.row_shapes_ == {"x": (2,)}


def test_column_groups():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(10, 4)), columns=list("abcd"))
    ours = make_modality_transformer(
        modalities={"left": ["a", "b"], "right": slice(1, 4)}, left=StandardScaler()
    )
    out = ours.fit_transform(frame)
    np.testing.assert_array_equal(out["left"], StandardScaler().fit_transform(frame[["a", "b"]]))
    assert out["right"].columns.tolist() == ["b", "c", "d"]
    assert ours.n_features_in_ == 4 and ours.feature_names_in_.tolist() == list("abcd")
    np.testing.assert_array_equal(ours.transform(frame)["left"], out["left"])
    with pytest.raises(ValueError, match="feature names should match"):
        ours.transform(frame.rename(columns={"a": "e"}))
    lists = make_modality_transformer(modalities={"left": [0]}, left=StandardScaler())
    assert lists.fit_transform([[1.0, 2.0], [3.0, 4.0]])["left"].ravel().tolist() == [-1.0, 1.0]
    with pytest.raises(ValueError, match="expecting 2 features"):
        lists.transform([[1.0]])


# ------------------------------------------------------- parameters, pipelines
def test_nested_parameters():
    pipe = make_pipeline(
        make_modality_transformer(
            eeg=make_pipeline(Vectorizer(), StandardScaler()), table=StandardScaler()
        )
    )
    pipe.set_params(
        modalitytransformer__eeg__standardscaler__with_mean=False,
        modalitytransformer__table__with_std=False,
    )
    params = pipe.get_params()
    assert params["modalitytransformer__eeg__standardscaler__with_mean"] is False
    ours = pipe[0]
    assert dict(ours.transformers)["eeg"][-1].with_mean is False
    X = container()
    out = pipe.fit_transform(X)
    np.testing.assert_allclose(out["table"], X["table"] - X["table"].mean(axis=0))
    assert abs(out["eeg"].mean()) > 1e-4
    pipe.set_params(
        modalitytransformer__table=MinMaxScaler(), modalitytransformer__remainder="drop"
    )
    assert pipe.fit_transform(X)["table"].max() == pytest.approx(1)
    assert "image" not in pipe.fit_transform(X)
    twin = clone(ours)
    assert twin is not ours and repr(twin) == repr(ours)
    assert dict(twin.transformers)["eeg"] is not dict(ours.transformers)["eeg"]
    with pytest.raises(ValueError, match="Invalid parameter 'egg'"):
        ours.set_params(egg__with_mean=True)


def test_pickled_and_shown_as_html():
    X = container()
    ours = make_modality_transformer(table=StandardScaler(), eeg="drop")
    assert "StandardScaler" in ours._repr_html_()
    out = pickle.loads(pickle.dumps(ours.fit(X))).transform(X)
    np.testing.assert_array_equal(out["table"], ours.transform(X)["table"])
    assert "table" in make_pipeline(ours, Vectorizer())._repr_html_()


def test_columns_of_a_frame_have_transformers_of_their_own():
    frame = pd.DataFrame({"age": [20.0, 30.0, 40.0], "group": ["a", "b", "a"]})
    X = Modalities(person=frame, eeg=np.ones((3, 2, 4)))
    encode = make_column_transformer(
        (StandardScaler(), ["age"]), (OneHotEncoder(sparse_output=False), ["group"])
    )
    out = make_modality_transformer(person=encode).fit_transform(X)
    assert out["person"][:, 1:].tolist() == [[1, 0], [0, 1], [1, 0]]
    assert out.take("person", [1, 0]).dtype == np.float64


@pytest.mark.parametrize("how", [StandardScaler(), "passthrough"])
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["b", "a", "c"], "'table' differ.*column 0 is 'b', was 'a'.*same order"),
        (["a", "b", "d"], "column 2 is 'd', was 'c'"),
        (["a", "b"], "column 2 is nothing, was 'c'"),
        (["a", "b", "c", 4], "column 3 is 4, was nothing"),
    ],
)
def test_columns_of_a_frame_are_those_of_fit(how, columns, message):
    frame = pd.DataFrame(np.arange(12.0).reshape(4, 3), columns=["a", "b", "c"])
    ours = make_modality_transformer(table=how).fit(Modalities(table=frame, eeg=np.ones((4, 2))))
    assert ours.transform(Modalities(table=frame[::-1])).names == ("table",)
    other = pd.DataFrame(np.zeros((4, len(columns))), columns=columns)
    with pytest.raises(ValueError, match=message):
        ours.transform(Modalities(table=other))


def test_an_array_may_stand_in_for_a_frame():
    frame = pd.DataFrame(np.arange(12.0).reshape(4, 3), columns=[3, 4, 5])
    forms = Modalities(table=frame), Modalities(table=frame.to_numpy())
    for fitted_on, X in (forms, forms[::-1]):
        ours = make_modality_transformer(table=StandardScaler()).fit(fitted_on)
        expected = StandardScaler().fit_transform(frame)
        np.testing.assert_array_equal(ours.transform(X)["table"], expected)


def test_set_output_concerns_plain_arrays_only():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(10, 3)), columns=list("abc"))
    plain = make_modality_transformer(x=StandardScaler()).set_output(transform="pandas")
    assert plain.fit_transform(frame).columns.tolist() == list("abc")
    assert clone(plain).fit(frame).transform(frame).columns.tolist() == list("abc")
    assert isinstance(plain.set_output(transform="default").transform(frame), np.ndarray)
    assert isinstance(plain.set_output(transform=None).transform(frame), np.ndarray)
    X = container()
    named = make_modality_transformer(table=StandardScaler()).set_output(transform="pandas")
    assert isinstance(named.fit_transform(X)["table"], np.ndarray)
    with sklearn.config_context(transform_output="pandas"):
        out = make_modality_transformer(table=StandardScaler()).fit_transform(X)
    np.testing.assert_array_equal(out.take("table", slice(None)), named.transform(X)["table"])


def test_names_of_the_output():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(10, 3)), columns=list("abc"))
    assert make_modality_transformer(x=PCA(2)).fit(frame).get_feature_names_out().tolist() == [
        "pca0",
        "pca1",
    ]
    kept = make_modality_transformer(x="passthrough").fit(frame)
    assert kept.get_feature_names_out().tolist() == list("abc")
    named = make_modality_transformer(table=PCA(2), eeg="drop").fit(container())
    assert named.get_feature_names_out().tolist() == ["table", "image"]
    assert not hasattr(
        make_modality_transformer(x=Returning(abs)).fit(np.ones((3, 2))), "get_feature_names_out"
    )


def test_tags_are_those_of_the_transformers():
    def tags(**transformers):
        return get_tags(make_modality_transformer(**transformers))

    assert tags(a=SimpleImputer()).input_tags.allow_nan
    assert not tags(a=SimpleImputer(), b=PCA()).input_tags.allow_nan
    assert tags(a="drop", b=TargetEncoder()).target_tags.required
    assert get_tags(ModalityTransformer("nonsense")).input_tags.two_d_array


# ----------------------------------------------------------------- memory
def test_the_input_is_never_written_to():
    info_free = TemporalFilter(l_freq=None, h_freq=10.0, sfreq=100.0, filter_length=151)
    x = np.random.default_rng(0).normal(size=(4, 2, 200))
    before = x.copy()
    X = Modalities(eeg=x)
    ours = make_modality_transformer(eeg=info_free)
    once, twice = ours.fit_transform(X), ours.transform(X)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(once["eeg"], twice["eeg"])
    assert np.abs(once["eeg"] - x).max() > 0.01
    make_modality_transformer(a=StandardScaler(copy=False)).fit_transform(Modalities(a=x[:, 0]))
    np.testing.assert_array_equal(x, before)


def test_an_error_about_something_else_is_not_retried():
    calls = []

    def fail(x):
        calls.append(1)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        make_modality_transformer(table=Returning(fail)).fit_transform(container())
    assert len(calls) == 1


def test_memmaps_are_transformed_and_passed_on(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(10, 3, 4)))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    X = Modalities(a=mapped, b=mapped)
    out = make_modality_transformer(a=Vectorizer()).fit_transform(X)
    assert out["b"] is mapped
    np.testing.assert_array_equal(out["a"], np.asarray(mapped).reshape(10, -1))


# ------------------------------------------------------------------------ MNE
SFREQ = 100.0
INFO = mne.create_info(3, SFREQ, "eeg")


def signals():
    rng = np.random.default_rng(0)
    return rng.normal(size=(20, 3, 128)) * np.where(LABELS, 1.0, 2.0)[:, None, None]


@pytest.mark.parametrize(
    "transformer",
    [
        Scaler(scalings="mean"),
        Scaler(INFO),
        Vectorizer(),
        PSDEstimator(sfreq=SFREQ, fmin=1, fmax=30),
        TemporalFilter(l_freq=None, h_freq=20, sfreq=SFREQ, filter_length=127),
        FilterEstimator(INFO, None, 20.0, filter_length=127),
        CSP(n_components=2),
        make_pipeline(Scaler(scalings="mean"), PSDEstimator(sfreq=SFREQ), Vectorizer()),
    ],
    ids=lambda transformer: type(transformer).__name__,
)
def test_transformers_of_mne_run_unchanged(transformer):
    with mne.use_log_level("ERROR"):
        expected = clone(transformer).fit(signals(), LABELS).transform(signals())
        X = Modalities(eeg=signals(), other=np.ones((20, 2)))
        ours = make_modality_transformer(eeg=transformer).fit(X, LABELS)
        np.testing.assert_allclose(ours.transform(X)["eeg"], expected)
        np.testing.assert_allclose(clone(ours).fit_transform(X, LABELS)["eeg"], expected)
