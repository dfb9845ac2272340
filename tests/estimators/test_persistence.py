import json
import os
import pickle
import shutil
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch

from mmcontrast import CoMM, Modalities
from mmcontrast.augmentation import Compose, GaussianNoise, MultiDrop, TimeShift, make_augmentation
from mmcontrast.estimators import _persistence
from mmcontrast.estimators._persistence import ObjectNotSavedError, from_json, to_json


class Shared(torch.nn.Module):
    """Tied weights, weights that are views of one array, and a buffer that is a part."""

    def __init__(self):
        super().__init__()
        self.there, self.back = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
        self.back.weight = self.there.weight
        flat = torch.randn(8)
        self.first, self.second = torch.nn.Parameter(flat[:4]), torch.nn.Parameter(flat[4:])
        self.register_buffer("ones", torch.ones(6)[:4])

    def forward(self, x):
        return self.back(torch.tanh(self.there(x) * self.first)) * self.second + self.ones


def rich(make_comm):
    augmentation = make_augmentation(
        joint=MultiDrop(max_fraction=0.5),
        eeg=Compose([GaussianNoise(0.2), TimeShift()]),
        strength=0.7,
    )
    return make_comm(
        augmentation=augmentation,
        encoders={"eeg": "gru"},
        loss_terms=["joint"],
        validation_fraction=0.3,
    )


def run_elsewhere(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "dump", [joblib.dump, lambda obj, path: path.write_bytes(pickle.dumps(obj))]
)
def test_pickle_in_another_process(make_comm, X, tmp_path, dump):
    comm = rich(make_comm).fit(X)
    dump(comm, tmp_path / "comm.pkl"), joblib.dump(X, tmp_path / "X.pkl")
    run_elsewhere(
        "import joblib, numpy as np, torch; torch.set_num_threads(1)\n"
        f"comm, X = (joblib.load(rf'{tmp_path}/{{name}}.pkl') for name in ('comm', 'X'))\n"
        f"np.save(r'{tmp_path}/Z.npy', comm.transform(X))"
    )
    np.testing.assert_array_equal(np.load(tmp_path / "Z.npy"), comm.transform(X))


def test_a_pickle_holds_the_weights_once(make_comm, X):
    comm = make_comm(projection_dims=(256, 256)).fit(X)
    weights = sum(p.numel() * 4 for p in comm.net_.module_.parameters())
    assert len(pickle.dumps(comm)) < 3.3 * weights + 100_000  # weights and two moments of AdamW


def test_a_pickled_estimator_trains_on(make_comm, X):
    comm = make_comm(warm_start=True).fit(X)
    copy = pickle.loads(pickle.dumps(comm))
    np.testing.assert_array_equal(copy.fit(X).transform(X), comm.fit(X).transform(X))


def test_saved_in_another_process(make_comm, X, tmp_path):
    comm = rich(make_comm).fit(X)
    comm.save(tmp_path / "model")
    joblib.dump(X, tmp_path / "X.pkl")
    run_elsewhere(
        "import joblib, numpy as np, torch; torch.set_num_threads(1)\n"
        "from mmcontrast import CoMM\n"
        f"X, comm = joblib.load(r'{tmp_path}/X.pkl'), CoMM.load(r'{tmp_path}/model')\n"
        f"np.savez(r'{tmp_path}/out.npz', Z=comm.transform(X), score=comm.score(X))"
    )
    out = np.load(tmp_path / "out.npz")
    np.testing.assert_array_equal(out["Z"], comm.transform(X))
    assert out["score"] == comm.score(X)


def test_everything_comes_back(make_comm, X, tmp_path):
    comm = rich(make_comm).fit(X)
    comm.save(tmp_path)
    loaded = CoMM.load(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"weights.safetensors", "estimator.json"}
    assert repr(loaded) == repr(comm)
    for name in ("modalities_", "n_features_in_", "n_iter_", "history_", "scales_"):
        assert getattr(loaded, name) == getattr(comm, name)
    assert loaded.set_params(warm_start=True, max_epochs=1).fit(X).n_iter_ == comm.n_iter_ + 1


def test_column_groups_and_names_come_back(make_comm, tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 4)), columns=list("abcd"))
    comm = make_comm(modalities={"first": ["a", "c"], "second": slice(1, 3)}).fit(frame)
    comm.save(tmp_path)
    loaded = CoMM.load(tmp_path)
    np.testing.assert_array_equal(loaded.transform(frame), comm.transform(frame))
    assert loaded.modalities == comm.modalities


def test_objects_of_the_user_are_given_again(make_comm, X, tmp_path):
    comm = make_comm(encoders={"age": torch.nn.Linear(4, 8)}).fit(X)
    comm.save(tmp_path)
    with pytest.raises(
        ValueError, match=r"encoders .*torch.nn.modules.linear.Linear.*load\(path, encoders="
    ):
        CoMM.load(tmp_path)
    loaded = CoMM.load(tmp_path, encoders={"age": torch.nn.Linear(4, 8)})
    np.testing.assert_array_equal(loaded.transform(X), comm.transform(X))


def test_weights_that_share_memory(make_comm, X, tmp_path):
    comm = make_comm(encoders={"age": Shared()}).fit(X)
    comm.save(tmp_path)
    loaded = CoMM.load(tmp_path, encoders={"age": Shared()})
    np.testing.assert_array_equal(loaded.transform(X), comm.transform(X))
    encoder = next(m for m in loaded.net_.module_.modules() if isinstance(m, Shared))
    assert encoder.back.weight is encoder.there.weight


@pytest.mark.parametrize(
    "value",
    [
        np.array([True, False, True]),
        np.array([3, 1], dtype=np.uint8),
        np.array([[0.5, np.nan]], dtype=np.float32),
        np.array(["a", "bc"]),
        np.array(["a", 1, None], dtype=object),
        np.zeros((0, 2)),
    ],
)
def test_arrays_are_described(value):
    back = from_json(json.loads(json.dumps(to_json({"eeg": (value, slice(0, np.int64(2)))}))))
    np.testing.assert_array_equal(back["eeg"][0], value)
    assert back["eeg"][0].dtype == value.dtype and back["eeg"][1] == slice(0, 2)


def test_what_json_describes():
    assert from_json(to_json([torch.bfloat16, torch.device("cuda:1")])) == [
        torch.bfloat16,
        "cuda:1",
    ]
    with pytest.raises(ObjectNotSavedError, match="builtins.object"):
        from_json(to_json(np.array([object()])))


def test_column_masks_and_devices_come_back(make_comm, tmp_path):
    X = np.random.default_rng(0).normal(size=(30, 4))
    mask = np.array([True, False, True, False])
    comm = make_comm(modalities={"a": mask, "b": ~mask}, device=torch.device("cpu")).fit(X)
    comm.save(tmp_path)
    np.testing.assert_array_equal(CoMM.load(tmp_path).transform(X), comm.transform(X))


def test_a_checkpoint_folder_stays_on_its_machine(make_comm, X, tmp_path):
    make_comm(checkpoint=tmp_path / "epochs").fit(X).save(tmp_path)
    assert CoMM.load(tmp_path).checkpoint is None
    assert str(tmp_path) not in (tmp_path / "estimator.json").read_text()


def test_columns_and_padding_are_compared_after_loading(make_comm, X, tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X["age"], columns=[1, "b", ("c", 2), pd.Timestamp("2020-01-01")])
    for table in (frame, frame.iloc[:, :3]):
        padded = Modalities(eeg=X["eeg"], t=table, lengths={"eeg": np.full(40, 8)})
        comm = make_comm().fit(padded)
        comm.save(tmp_path)
        loaded = CoMM.load(tmp_path)
        shorter = padded[:5].assign(eeg=padded["eeg"][:5, :, :9], lengths={"eeg": np.full(5, 8)})
        np.testing.assert_array_equal(loaded.transform(shorter), comm.transform(shorter))
    with pytest.raises(ValueError, match="has columns"):
        loaded.transform(padded.assign(t=table.iloc[:, ::-1]))


def test_parameters_set_after_the_fit(make_comm, X, tmp_path):
    with pytest.raises(ValueError, match=r"saved, embed_dim has to be what it was in fit: 8"):
        make_comm().fit(X).set_params(embed_dim=16).save(tmp_path)
    assert not list(tmp_path.iterdir())


def without(key):
    return lambda d: d.pop(key)


def setting(*keys, to):
    def change(description):
        for key in keys[:-1]:
            description = description[key]
        description[keys[-1]] = to

    return change


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A saved estimator of one modality."""
    folder = tmp_path_factory.mktemp("saved")
    X = np.random.default_rng(0).normal(size=(20, 4))
    CoMM(embed_dim=8, n_heads=2, projection_dims=(8,), max_epochs=1).fit(X).save(folder)
    return folder


@pytest.fixture
def copied(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


@pytest.mark.parametrize(
    "change",
    [
        without("fitted"),
        without("params"),
        without("save_id"),
        setting("extra", to=1),
        setting("params", to=[]),
        setting("params", "colour", to="red"),
        setting("params", "temperature", to="warm"),
        setting("params", "temperature", to={"tuple": 3}),
        setting("params", "temperature", to={"a": 1, "b": 2}),
        setting("params", "temperature", to={"dtype": "load"}),
        setting("params", "temperature", to={"array": ["i8", [1], [2**70]]}),
        setting("params", "projection_dims", to=["wide"]),
        setting("params", "embed_dim", to=16),
        setting("params", "embed_dim", to=2**61),
        setting("params", "n_heads", to=3),
        setting("params", "augmentation", to={"augmentation": []}),
        lambda d: d["params"].pop("temperature"),
        lambda d: d["fitted"].pop("scales_"),
        setting("fitted", "transform", to=1),
        setting("fitted", "__class__", to="x"),
        setting("fitted", "modalities_", to={}),
        setting("fitted", "modalities_", to={"x": [-4]}),
        setting("fitted", "modalities_", to={"x": [5]}),
        setting("fitted", "modalities_", to={"y": [4]}),
        setting("fitted", "history_", to={"epoch": [1, 2]}),
        setting("fitted", "n_iter_", to="many"),
        setting("fitted", "_columns", to={"x": {"nonsense": 1}}),
        setting("seed", to="0"),
        setting("seed", to=2**70),
        setting("batch_size", to=None),
    ],
)
def test_damaged_descriptions(copied, change):
    description = json.loads((copied / "estimator.json").read_text())
    change(description)
    (copied / "estimator.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match=r"copy is damaged or was not written by save\(\): .+"):
        CoMM.load(copied)


def test_a_damaged_parameter_beside_a_passed_one(copied):
    description = json.loads((copied / "estimator.json").read_text())
    description["params"]["temperature"] = "warm"
    (copied / "estimator.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match=r"damaged .* The 'temperature' parameter"):
        CoMM.load(copied, device="cpu")


@pytest.mark.parametrize("name", ["estimator.json", "weights.safetensors"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda old: b"",
        lambda old: b"[]",
        lambda old: b"\xff" * 200,
        lambda old: b"[" * 100_000,
        lambda old: old[: len(old) // 2],
        lambda old: old[:-5],
    ],
)
def test_damaged_files(copied, name, damage):
    (copied / name).write_bytes(damage((copied / name).read_bytes()))
    for params in ({}, {"device": "cpu"}):
        with pytest.raises(ValueError, match=r"copy is damaged or was not written by save\(\): ."):
            CoMM.load(copied, **params)


def test_what_was_passed_is_not_damage(copied):
    with pytest.raises(ValueError, match=r"^The 'temperature' parameter"):
        CoMM.load(copied, temperature="warm")
    with pytest.raises(ValueError, match=r"size mismatch"):
        CoMM.load(copied, embed_dim=16, device="cpu")
    (copied / "weights.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"weights.safetensors is missing"):
        CoMM.load(copied)


@pytest.mark.parametrize("stop_at", [1, 2])
def test_an_interrupted_save(make_comm, X, tmp_path, monkeypatch, stop_at):
    """The old save is whole, or the mixture is refused."""
    old = make_comm().fit(X)
    old.save(tmp_path)
    new = make_comm(random_state=1).fit(X)
    calls, replace = [], os.replace

    def stop(source, target):
        calls.append(target)
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(_persistence.os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        new.save(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"weights.safetensors", "estimator.json"}
    if stop_at == 1:
        np.testing.assert_array_equal(CoMM.load(tmp_path).transform(X), old.transform(X))
    else:
        with pytest.raises(ValueError, match=r"damaged .* come from different saves"):
            CoMM.load(tmp_path)
    new.save(tmp_path)
    np.testing.assert_array_equal(CoMM.load(tmp_path).transform(X), new.transform(X))


def test_who_may_read_the_description_may_read_the_weights(saved):
    assert len({(saved / name).stat().st_mode for name in os.listdir(saved)}) == 1


def test_loading_never_runs_code(make_comm, X, tmp_path):
    """A description that names a class or function gets nothing imported or called."""
    make_comm().fit(X).save(tmp_path)
    file = tmp_path / "estimator.json"
    description = json.loads(file.read_text())
    marker = tmp_path / "ran"
    description["params"]["augmentation"] = {
        "augmentation": {"class": "os.system", "params": {"command": f"touch {marker}"}}
    }
    file.write_text(json.dumps(description))
    with pytest.raises((ValueError, TypeError)):
        CoMM.load(tmp_path)
    assert not marker.exists()


def test_what_is_not_there(make_comm, X, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"estimator.json is missing"):
        CoMM.load(tmp_path)
    make_comm().fit(X).save(tmp_path)
    description = json.loads((tmp_path / "estimator.json").read_text())
    (tmp_path / "estimator.json").write_text(json.dumps(description | {"estimator": "FactorCL"}))
    with pytest.raises(ValueError, match="holds a FactorCL, not a CoMM"):
        CoMM.load(tmp_path)
