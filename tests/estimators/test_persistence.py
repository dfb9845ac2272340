import json
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch

from mmcontrast import CoMM
from mmcontrast.augmentation import Compose, GaussianNoise, MultiDrop, TimeShift, make_augmentation


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
