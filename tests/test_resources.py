"""Memory, time, reproducibility and survival: what is measured in processes of their own."""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from joblib import parallel_config
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from mmcontrast import CoMM, Modalities


def run_python(code: str, *arguments: object, **kwargs) -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment, **kwargs
    )


@pytest.fixture
def X():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(96, 4)).astype(np.float32)
    return Modalities(
        eeg=shared[:, :, None] + rng.normal(size=(96, 4, 12)).astype(np.float32),
        fnirs=shared + rng.normal(size=(96, 4)).astype(np.float32),
    )


SMALL = {
    "embed_dim": 16,
    "n_heads": 2,
    "projection_dims": [32, 16],
    "max_epochs": 3,
    "batch_size": 16,
    "random_state": 0,
    "device": "cpu",
}


def small_comm(**params) -> CoMM:
    return CoMM(**{**SMALL, **params})


def weights(comm: CoMM) -> dict[str, torch.Tensor]:
    return comm.net_.module_.state_dict()


def assert_same_weights(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different


# ---------------------------------------------------------------------------------- memory
_TRANSFORM_A_MEMMAP = """
import re, sys, threading, time
import numpy as np
import torch
from mmcontrast import CoMM, Modalities

torch.set_num_threads(1)

def anonymous():
    text = open("/proc/self/status").read()
    return int(re.search(r"RssAnon:\\s+(\\d+) kB", text)[1]) / 1024

table = np.load(sys.argv[1], mmap_mode="r")
rng = np.random.default_rng(0)
warm_up = Modalities(
    table=rng.normal(size=(32, table.shape[1])).astype("f4"), age=rng.normal(size=(32, 2))
)
comm = CoMM(embed_dim=8, n_heads=1, max_epochs=1, projection_dims=(8, 8), device="cpu",
            random_state=0).fit(warm_up)
comm.transform(warm_up)
X = Modalities(table=table, age=np.zeros((len(table), 2), dtype="f4"))
before, peak, done = anonymous(), 0.0, False

def watch():
    global peak
    while not done:
        peak = max(peak, anonymous())
        time.sleep(0.002)

watcher = threading.Thread(target=watch)
watcher.start()
Z = comm.transform(X)
Z_backwards = comm.transform(X[np.arange(len(table))[::-1]])
done = True
watcher.join()
assert Z.shape == (len(table), 8)
np.testing.assert_allclose(Z_backwards, Z[::-1], atol=1e-4)
print(peak - before)
"""

on_linux = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads the memory of a process from /proc"
)


def sparse_memmap(path: Path, shape: tuple[int, int]) -> Path:
    """Make a file of zeros that takes next to nothing on the disk, with some rows written."""
    table = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    table[:: shape[0] // 8] = 1.0
    table.flush()
    return path


@on_linux
def test_transform_of_a_memmap_leaves_it_in_its_file(tmp_path):
    """Holding the 200 MB, or a copy of its selected rows, would be seen."""
    path = sparse_memmap(tmp_path / "table.npy", (25_600, 2048))
    added = float(run_python(_TRANSFORM_A_MEMMAP, path).stdout)
    assert added < 100


@on_linux
@pytest.mark.slow
def test_transform_of_a_memmap_of_2_gb_adds_less_than_300_mb(tmp_path):
    path = sparse_memmap(tmp_path / "table.npy", (262_144, 2048))
    added = float(run_python(_TRANSFORM_A_MEMMAP, path).stdout)
    assert added < 300


# ---------------------------------------------------------------------------------- import
def test_import_is_fast():
    def seconds(code: str) -> float:
        start = time.perf_counter()
        run_python(code)
        return time.perf_counter() - start

    seconds("import mmcontrast")
    extra = [seconds("import mmcontrast") - seconds("pass") for _ in range(5)]
    assert statistics.median(extra) < 0.3


def test_import_loads_no_heavy_package():
    code = "import sys, mmcontrast; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = set(run_python(code).stdout.split())
    assert "mmcontrast" in loaded
    assert not loaded & {"torch", "mne", "sklearn", "skorch", "scipy", "numpy", "pandas"}


# ------------------------------------------------------------------------- reproducibility
def test_two_fits_are_equal_bit_for_bit(X):
    params = {"dropout": 0.2, "validation_fraction": 0.25}
    first = small_comm(**params).fit(X)
    torch.manual_seed(7)  # the state of the global generator is no part of a fit
    np.random.seed(7)
    second = small_comm(**params).fit(X)
    other = small_comm(**params | {"random_state": 1}).fit(X)
    assert_same_weights(weights(first), weights(second))
    assert not torch.equal(*(weights(comm)["encoder.fusion.cls"] for comm in (first, other)))
    np.testing.assert_array_equal(first.transform(X), second.transform(X))
    assert first.history_["valid_loss"] == second.history_["valid_loss"]


def test_streamed_and_resident_fits_are_equal_bit_for_bit(X, tmp_path):
    eeg = np.lib.format.open_memmap(tmp_path / "eeg.npy", "w+", X["eeg"].dtype, X["eeg"].shape)
    eeg[:] = X["eeg"]
    on_disk = Modalities(eeg=np.load(tmp_path / "eeg.npy", mmap_mode="r"), fnirs=X["fnirs"])
    resident = small_comm(streaming=False).fit(X)
    assert_same_weights(weights(resident), weights(small_comm(streaming=True).fit(X)))
    assert_same_weights(weights(resident), weights(small_comm(streaming=True).fit(on_disk)))


def test_one_job_and_two_jobs_agree(X):
    y = (X["fnirs"][:, 0] > 0).astype(int)
    pipe = make_pipeline(small_comm(max_epochs=2), LogisticRegression())
    grid = {"comm__augmentation_strength": [0.0, 1.0]}

    def run(n_jobs):
        predicted = cross_val_predict(pipe, X, y, cv=3, n_jobs=n_jobs, method="predict_proba")
        search = GridSearchCV(pipe, grid, cv=2, n_jobs=n_jobs).fit(X, y)
        scores = np.stack([search.cv_results_[f"split{k}_test_score"] for k in range(2)])
        return predicted, scores, search.predict_proba(X)

    # the order of a sum, and so its last bits, depends on the number of threads
    with threadpool_limits(1), parallel_config("loky", inner_max_num_threads=1):
        for one, two in zip(run(1), run(2), strict=True):
            np.testing.assert_array_equal(one, two)


# -------------------------------------------------------------------------------- survival
# arguments: folder of the data, parameters, and the epoch in the middle of which to stand still
_FIT = """
import json, sys, time
from pathlib import Path
import numpy as np
import torch
from skorch.callbacks import Callback
from mmcontrast import CoMM, Modalities

torch.set_num_threads(1)
folder, params, last = Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])

class StandStill(Callback):
    def on_batch_end(self, net, training=False, **kwargs):
        if training and len(net.history) == last and len(net.history[-1, "batches"]) == 2:
            (folder / "standing").touch()
            time.sleep(300)

CoMM(callbacks=[StandStill()], **params).fit(Modalities(**np.load(folder / "X.npz")))
"""

needs_sigkill = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")


def kill_in_epoch(epoch: int, X: Modalities, params: dict, folder: Path) -> None:
    """Fit in another process and kill it in the middle of an epoch."""
    np.savez(folder / "X.npz", **{name: X[name] for name in X.names})
    command = [sys.executable, "-c", _FIT, str(folder), json.dumps(params), str(epoch)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 120
        while not (folder / "standing").exists():
            assert process.poll() is None, f"the fit ended: {process.stderr.read()}"
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    (folder / "standing").unlink()


def checkpoints(folder: Path) -> list[Path]:
    return list(folder.glob("*/*.pt"))


def assert_resumes_to(undisturbed: CoMM, params: dict, kills: list[int], X, tmp_path, caplog):
    params = {**params, "checkpoint": str(tmp_path / "checkpoint")}
    for epoch in kills:
        kill_in_epoch(epoch, X, params, tmp_path)
        assert len(checkpoints(tmp_path)) == 1
    with caplog.at_level("INFO", logger="mmcontrast"):
        resumed = CoMM(**params).fit(X)
    assert f"resuming after epoch {kills[-1] - 1} " in caplog.text
    assert_same_weights(weights(undisturbed), weights(resumed))
    assert resumed.history_.keys() == undisturbed.history_.keys()
    for key in undisturbed.history_.keys() - {"dur"}:
        assert resumed.history_[key] == undisturbed.history_[key]
    assert not checkpoints(tmp_path)


@needs_sigkill
def test_a_killed_fit_resumes_to_the_same_weights(X, tmp_path, caplog):
    params = {**SMALL, "max_epochs": 6}
    assert_resumes_to(CoMM(**params).fit(X), params, [4], X, tmp_path, caplog)


@needs_sigkill
def test_a_fit_killed_twice_resumes_its_early_stopping_and_its_dropout(X, tmp_path, caplog):
    params = {
        **SMALL,
        "max_epochs": 60,
        "dropout": 0.3,
        "validation_fraction": 0.25,
        "early_stopping": True,
        "patience": 2,
    }
    undisturbed = CoMM(**params).fit(X)
    assert 3 < undisturbed.n_iter_ < 60
    # in the last epoch, the best weights and the epochs since then are from before the kill
    kills = [3, undisturbed.n_iter_]
    assert_resumes_to(undisturbed, params, kills, X, tmp_path, caplog)


@needs_sigkill
def test_a_killed_fit_without_a_seed_resumes_with_the_seed_that_it_drew(X, tmp_path):
    params = {**SMALL, "max_epochs": 4, "random_state": None, "checkpoint": str(tmp_path / "c")}
    kill_in_epoch(3, X, params, tmp_path)
    (file,) = checkpoints(tmp_path)
    state = torch.load(file, weights_only=True)
    resumed = CoMM(**params).fit(X)
    assert resumed.net_.seed == state["seed"]
    assert resumed.n_iter_ == 4
    assert resumed.history_["train_loss"][:2] == [row["train_loss"] for row in state["history"]]
    assert not checkpoints(tmp_path)
