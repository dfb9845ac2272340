"""What counts as the same fit in another process."""

import functools
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType

import joblib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmcontrast import Modalities
from mmcontrast.augmentation import GaussianNoise, default_augmentation, make_augmentation
from mmcontrast.estimators._identity import data_fingerprint, fingerprint
from mmcontrast.nn import GRUEncoder

PARAMS = """
import functools, re, torch, numpy as np
from mmcontrast.augmentation import default_augmentation
from mmcontrast.estimators._identity import fingerprint
torch.manual_seed(0)
class Holder: pass
holder = Holder()
holder.layer = torch.nn.Linear(3, 2)
values = [
    {"eeg": torch.nn.GRU(4, 3), "a": torch.nn.Linear(2, 2).bfloat16()}, functools.partial(max, 1),
    default_augmentation({"eeg": (3, 16)}), {"eeg", "fnirs", "age"}, re.compile("a"), torch.float32,
    np.random.RandomState(0), np.array(["a", None], dtype=object), slice(1, 3), holder, torch.relu,
]
print(fingerprint(*values))
"""


class Activated(torch.nn.Module):
    def __init__(self, function=torch.relu, scale=1.0):
        super().__init__()
        self.function, self.scale = function, scale


class Buffered(torch.nn.Module):
    def __init__(self, value):
        super().__init__()
        self.register_buffer("steps", torch.full((2,), value), persistent=False)


def double(x):
    return 2 * x


def linear(seed=0, dtype=None):
    torch.manual_seed(seed)
    return torch.nn.Linear(3, 2, dtype=dtype)


def frozen(module):
    return module.requires_grad_(False)


def test_the_same_in_every_process():
    runs = [
        subprocess.run(
            [sys.executable, "-c", PARAMS],
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed},
        )
        for seed in "12"
    ]
    assert runs[0].returncode == 0, runs[0].stderr
    assert runs[0].stdout == runs[1].stdout


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((32, 16), [32, 16]),
        ({"a": 1, "b": 2}, MappingProxyType({"b": 2, "a": 1})),
        ({"a": 1, 2: "b"}, {2: "b", "a": 1}),
        (np.float64(0.5), 0.5),
        (Path("a/b"), "a/b"),
        (linear(), linear().eval()),
        (torch.eye(3), torch.eye(3).T),
        (np.ones((2, 3)), np.ones((3, 2)).T),
        (functools.partial(double, 1), functools.partial(double, 1)),
        (make_augmentation(a=GaussianNoise(0.2)), make_augmentation(a=GaussianNoise(0.2))),
        ([slice(1, 2)] * 2, [slice(1, 2), slice(1, 2)]),
        ([np.ones(2)] * 2, [np.ones(2), np.ones(2)]),
    ],
)
def test_equal(one, other):
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        (1, True),
        ([1, 2], [2, 1]),
        ([1, [2]], [[1], 2]),
        ({"a": 1}, {"b": 1}),
        ({2: 1}, {"2": 1}),
        (linear(0), linear(1)),
        (linear(), frozen(linear())),
        (linear(dtype=torch.bfloat16), linear()),
        (torch.nn.Dropout(0.1), torch.nn.Dropout(0.2)),
        (Activated(), Activated(torch.sigmoid)),
        (Activated(scale=1.0), Activated(scale=2.0)),
        (Buffered(1.0), Buffered(2.0)),
        (torch.zeros(2), torch.zeros(2, 1)),
        (np.array(["a"]), np.array(["b"])),
        (np.array(["a", 1], dtype=object), np.array(["a", 2], dtype=object)),
        (functools.partial(double, 1), functools.partial(double, 2)),
        (functools.partial(max, 1), functools.partial(min, 1)),
        (make_augmentation(a=GaussianNoise(0.2)), make_augmentation(a=GaussianNoise(0.3))),
        (make_augmentation(a=GaussianNoise(0.2)), make_augmentation(b=GaussianNoise(0.2))),
        (slice(0, 3), slice(0, 4)),
        (GRUEncoder, torch.nn.Linear),
        (linear(0).forward, linear(1).forward),
        (torch.float32, torch.float64),
        (torch.relu, torch.sigmoid),
    ],
)
def test_different(one, other):
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint({"eeg": [one]}) != fingerprint({"eeg": [other]})


class Holder:
    def __init__(self, held):
        self.held = held


def local_class():
    class Inside:
        pass

    return Inside


@pytest.mark.parametrize(
    "value",
    [
        lambda shape, dim: None,
        {"eeg": functools.partial(lambda: None)},
        local_class(),
        local_class()(),
        Holder(lambda: None),
        Activated(lambda x: x),
        (row for row in []),
    ],
)
def test_what_another_process_could_not_recognise(value):
    with pytest.raises(ValueError, match=r"cannot tell whether .* is the same .* top level"):
        fingerprint(value)
    assert fingerprint(Holder, double, Holder(double))


def make(n=9, **changes):
    rng = np.random.default_rng(0)
    data = {"eeg": rng.normal(size=(n, 2, 5)), "age": rng.normal(size=(n, 3))}
    masks = {"presence": {"age": np.arange(n) > 1}, "lengths": {"eeg": np.arange(n) % 5 + 1}}
    return Modalities(data, **masks | changes)


@given(name=st.sampled_from(["eeg", "age"]), cell=st.integers(0, 26), chunk=st.integers(1, 200))
def test_every_value_counts(name, cell, chunk):
    X = make()
    changed = X[name].copy()
    changed.flat[cell] += 1e-9
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmcontrast.estimators._identity._CHUNK_BYTES", chunk)
        assert data_fingerprint(X.assign({name: changed})) != data_fingerprint(X)
        assert data_fingerprint(X.assign({name: X[name].copy()})) == data_fingerprint(X)


def test_everything_about_the_rows_counts():
    X = make()
    others = [
        X[:8],
        X[::-1],
        X.select("age", "eeg"),
        make(presence={}),
        make(presence={"age": np.arange(9) > 2}),
        make(lengths={}),
        make(lengths={"eeg": np.full(9, 5)}),
        X.assign(age=X["age"].astype("f4")),
        X.drop("eeg").assign(eeg=X["eeg"].reshape(9, 5, 2)),
    ]
    assert data_fingerprint(Modalities(a=X["age"])) != data_fingerprint(Modalities(b=X["age"]))
    assert len({data_fingerprint(other) for other in [X, *others]}) == len(others) + 1


@given(x=arrays("f4", (12, 3)), start=st.integers(0, 8), chunk=st.integers(1, 60))
def test_how_rows_were_selected_does_not_count(x, start, chunk):
    X = Modalities(a=x)
    backwards = Modalities(a=x[::-1])[np.arange(12)[::-1]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmcontrast.estimators._identity._CHUNK_BYTES", chunk)
        assert data_fingerprint(backwards) == data_fingerprint(X)
        rows = slice(start, start + 3)
        wanted = data_fingerprint(Modalities(a=x[rows].copy()))
        assert data_fingerprint(X[rows]) == data_fingerprint(backwards[rows]) == wanted


def test_memmaps_and_frames(tmp_path):
    pd = pytest.importorskip("pandas")
    X = make().drop("eeg")
    joblib.dump(X["age"], tmp_path / "age")
    mapped = X.assign(age=joblib.load(tmp_path / "age", mmap_mode="r"))
    frame = X.assign(age=pd.DataFrame(X["age"], columns=list("abc")))
    assert data_fingerprint(X) == data_fingerprint(mapped) == data_fingerprint(frame)
    mixed = pd.DataFrame({"a": [1, 2, None], "b": [0.5, 1.5, 2.5]}).convert_dtypes()
    changed = mixed.assign(a=mixed["a"] * 2)
    assert data_fingerprint(Modalities(t=mixed)) == data_fingerprint(Modalities(t=mixed.copy()))
    assert data_fingerprint(Modalities(t=mixed)) != data_fingerprint(Modalities(t=changed))


def test_default_augmentation_is_recognised():
    shapes = {"eeg": (3, 16), "age": (4,)}
    assert fingerprint(default_augmentation(shapes)) == fingerprint(default_augmentation(shapes))
