"""The Trifeature benchmarks: their tables, and fits that go on where they were stopped."""

from importlib import import_module
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmcontrast import Modalities

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def shared(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return import_module("_trifeature")


@pytest.fixture
def benchmark(shared):
    return import_module("trifeature")


def test_synergy_is_looked_for_where_there_is_next_to_nothing(shared):
    """Not even a step of the solver would leave an AUC of exactly one half."""
    rng = np.random.default_rng(0)

    def draw(balanced=True):
        label = np.arange(2000) % 2
        Z = np.repeat(rng.normal(size=(1000, 2)), 2, axis=0) + 0.002 * label[:, None]
        return Z, {"synergy": label, **dict.fromkeys(shared.LABELS.values(), label)}

    pairs = SimpleNamespace(scale=shared.CPU, probe=draw, test=draw, synergy=draw)
    found = shared.probe_all(lambda Z: Z, pairs)
    assert found["S_auc"] != 0.5


@pytest.fixture
def toy(shared, monkeypatch):
    """A scale of noise, and probes that only depend on the embedding."""

    class Noise:
        def __init__(self, scale, seed, data_home):
            self.scale, self.seed = scale, seed

        def train(self, planted):
            images = np.random.default_rng(0).integers(0, 256, (2, 48, 3, 8, 8), dtype=np.uint8)
            return Modalities(image1=images[0], image2=images[1])

        def test(self):
            return self.train(False), {}

    def probe_all(embed, pairs):
        return dict.fromkeys(shared.SCORES, float(np.abs(embed(pairs.train(False))).mean()))

    monkeypatch.setattr(shared, "Pairs", Noise)
    monkeypatch.setattr(shared, "probe_all", probe_all)
    common = {"embed_dim": 16, "batch_size": 16, "max_epochs": 4, "precision": "float32"}
    return shared.Scale("toy", 8, "conv", {**common, "learning_rate": 1e-3}, 0.5, 1, 48, 48)


def test_a_stopped_fit_goes_on_to_the_same_end(shared, toy, monkeypatch, tmp_path):
    run = shared.Run("CoMM", probe_epochs=(1, 3, 4))
    whole = shared.evaluate(toy, run, 0, shared.Store())
    store = shared.Store(tmp_path / "fits.json")
    trained, on_epoch_end = [], shared._Record.on_epoch_end

    def noting(self, net, **kwargs):
        trained.append(len(net.history))
        on_epoch_end(self, net)

    monkeypatch.setattr(shared._Record, "on_epoch_end", noting)
    for deadline in (1, 1, np.inf):  # looks at the clock: before the fit, then before each epoch
        clock = SimpleNamespace(monotonic=count().__next__, process_time=count().__next__)
        clock.perf_counter = clock.process_time
        monkeypatch.setattr(shared, "time", clock)
        arguments = {"deadline": deadline, "checkpoint": tmp_path}
        if deadline < np.inf:
            with pytest.raises(shared.OutOfTime):
                shared.evaluate(toy, run, 0, store, **arguments)
            assert not store.records
        else:
            found = shared.evaluate(toy, run, 0, store, **arguments)
    assert trained == [1, 2, 3, 4]  # each epoch once
    assert found["epochs"] == whole["epochs"] == 4
    assert found["seconds"] == 4  # one tick for each epoch, whichever call it was in
    assert list(found["curve"]) == list(whole["curve"]) == ["1", "3", "4"]
    for key in ("scores", "held_out_joint"):
        assert found[key] == pytest.approx(whole[key])
    for name, losses in whole["history"].items():
        assert found["history"][name] == pytest.approx(losses)
    for epoch, scores in whole["curve"].items():
        assert found["curve"][epoch] == pytest.approx(scores)


def test_a_fit_is_done_again_only_to_look_at_it_on_the_way(shared, toy, monkeypatch):
    fitted, evaluate = [], shared._evaluate

    def noting(pairs, run, *arguments):
        fitted.append(run.probe_epochs)
        return evaluate(pairs, run, *arguments)

    monkeypatch.setattr(shared, "_evaluate", noting)
    store = shared.Store()
    for looks in ((), (1, 2), (), (2,), (4,)):
        found = shared.evaluate(toy, shared.Run("CoMM", probe_epochs=looks), 0, store)
        assert set(found["curve"]) >= {str(epoch) for epoch in looks}
    assert fitted == [(), (1, 2)]  # the last epoch is looked at anyway
    assert found["curve"]["4"] == found["scores"]


def test_a_fit_is_done_again_only_for_options_of_its_own_method(shared, toy, monkeypatch):
    fitted = []
    monkeypatch.setattr(shared, "_evaluate", lambda pairs, run, *_: fitted.append(run.method) or {})
    store = shared.Store()
    for method, n in (("FactorCL", 2), ("FactorCL", 3), ("CoMM", 2)):
        options = {"FactorCL": {"max_epochs": 3}} | {method: {"max_epochs": n}}
        scale = shared.replace(toy, training=options)
        for method in ("untrained CoMM", "FactorCL"):
            shared.evaluate(scale, shared.Run(method), 0, store)
    assert fitted == ["untrained CoMM", "FactorCL", "FactorCL", "untrained CoMM"]


def test_small_images_are_moved_unless_the_run_crops_them(shared):
    x = torch.rand(16, 3, 32, 32, generator=torch.manual_seed(0))
    known = torch.cat([x.flatten(), torch.tensor([128 / 255])])

    def augmented(**changes):
        both = shared.augmentation(shared.CPU, shared.Run("CoMM", **changes))
        return dict(both.augmentations)["image2"](x, generator=torch.manual_seed(1))

    moved = augmented()
    assert torch.isin(moved, known).all() and not torch.equal(moved, x)
    filled = (moved == 128 / 255).all(1)
    assert filled.all(1).sum(1).max() == 5 and filled.all(2).sum(1).max() == 5
    for cropped in (augmented(min_scale=0.5), augmented(augmentations=("none", "crop"))):
        assert not torch.isin(cropped, known).all()
    one = shared.augmentation(shared.CPU, shared.Run("CoMM", augmentations=("none", "all")))
    assert dict(one.augmentations)["image1"] is None


@pytest.mark.parametrize("scale", ["cpu", "paper"])
def test_every_table_shows_what_is_there_without_learning(benchmark, shared, scale):
    for experiment, rows_of in benchmark.EXPERIMENTS.items():
        rows = rows_of(shared.SCALES[scale])
        assert "raw pixels" in rows, experiment
        assert any(name.startswith("untrained") for name in rows), experiment
        for runs in rows.values():
            assert not runs[0].planted  # redundancy and uniqueness are those of unbiased pairs


@pytest.fixture
def without_fits(benchmark, monkeypatch):
    """Scores that took no time."""

    def evaluate(scale, run, seed, store, **fit):
        scores = dict.fromkeys(benchmark.SCORES, 0.5) | {"U1": 0.2, "U2": 0.4}
        found = {"scores": scores, "seconds": 2.0}
        if run.method == "CoMM":
            curve = {str(epoch): scores for epoch in run.probe_epochs}
            found |= {"epochs": 4, "curve": curve, "held_out_joint": 1.0}
        return found

    monkeypatch.setattr(benchmark, "evaluate", evaluate)


@pytest.mark.usefixtures("without_fits")
@pytest.mark.parametrize(
    "experiment", ["figure4", "figure5", "table4", "table5", "table7", "figure7"]
)
def test_reports_have_all_rows(benchmark, toy, tmp_path, experiment):
    scale = benchmark.replace(
        toy, name="cpu", training={"FactorCL": {"critic": "separable", "max_epochs": 3}}
    )
    out = tmp_path / "result.json"
    report = benchmark.run_experiment(experiment, scale, range(2), benchmark.Store(), out)
    assert out.with_suffix(".md").read_text() == report
    for name in benchmark.EXPERIMENTS[experiment](scale):
        assert f"| {name} " in report
    assert "30.0 ± 0.0" in report  # the mean of both textures
    assert ("| L + ΣL_i | planted " in report) == (experiment == "figure5")
    assert ("(FactorCL: critic separable, max_epochs 3)" in report) == (experiment == "figure4")
    assert ("resnet18 of an eighth" in report) == (experiment == "table7")
    assert ("as the rows say" in report) == (experiment in ("table5", "figure7"))
    if experiment == "figure7":
        batch = benchmark.SHORT["cpu"]["batch_size"]  # pairs of views
        assert f"{np.log(2 * batch - 1) - 1:.2f}" in report and f"batches of {batch}" in report


@pytest.mark.usefixtures("without_fits")
def test_rows_are_added_to_a_result_of_the_same_settings(benchmark, toy, tmp_path):
    store, out = benchmark.Store(), tmp_path / "result.json"
    benchmark.run_experiment("figure4", toy, range(3), store, out, ["FactorCL"])
    more = ("figure4", toy, range(1), store, out, ["Cross"])
    report = benchmark.run_experiment(*more, add=True)
    assert report.index("| Cross ") < report.index("| FactorCL ")
    assert "3 seed(s) (Cross: 1)" in report
    with pytest.raises(SystemExit, match="other settings"):
        benchmark.run_experiment(more[0], benchmark.replace(toy, n_test=50), *more[2:], add=True)
    of_another = benchmark.replace(toy, training={"CoMM": {"max_epochs": 3}})
    assert "| FactorCL " in benchmark.run_experiment(more[0], of_another, *more[2:], add=True)
    changed = benchmark.replace(toy, training={"FactorCL": {"max_epochs": 3}})
    with pytest.raises(SystemExit, match="other settings"):
        benchmark.run_experiment(more[0], changed, *more[2:], add=True)
    assert "| FactorCL " not in benchmark.run_experiment(*more)


def test_promises_are_read_from_the_best_block(shared, toy):
    report = import_module("_trifeature_report")

    def row(**scores):
        return {"scores": {k: {"mean": v} for k, v in scores.items()}, "blocks": {}}

    both = row(R=0.9, U=0.7, S=0.8, S_planted=0.7) | {"seconds": {"mean": 950.0}}
    both["blocks"]["CLS"] = row(R=0.97, U=0.81, S=0.6, S_planted=0.6)["scores"]
    rows = {"CoMM, interaction": both, "Cross": row(R=0.99, U=0.31) | {"seconds": {"mean": 9.0}}}
    result = {"experiment": "figure4", "scale": {"name": "cpu"}, "rows": rows}
    assert report.promises(result) == (
        "Promised: CoMM, interaction R at least 96: 97.0 of CLS, kept; CoMM, interaction U at "
        "least 82: 81.0 of CLS, not kept; CoMM, interaction S at least 73: 80.0, kept; CoMM, "
        "interaction S_planted at least 78: 70.0, not kept; Cross R at least 96: 99.0, kept; "
        "Cross U at most 30: 31.0, not kept; 900 s of one core: 950 s, not kept."
    )
    assert report.promises(result | {"experiment": "table4"}) == ""


def test_time_in_convolutions_goes_by_the_names_of_kernels(shared):
    gpu = import_module("gpu")
    names = {
        "sm90_xmma_fprop_implicit_gemm_bf16": 3,
        "cudnn::bn_fw_tr": 1,
        "void at::native::vectorized_elementwise_kernel": 10,
        "ampere_sgemm_128x64_nn": 20,
    }
    kernels = [SimpleNamespace(key=k, self_device_time_total=1e6 * t) for k, t in names.items()]
    assert gpu.convolution_seconds(kernels) == 3


def test_the_paper_scale_wants_a_gpu(shared, monkeypatch, tmp_path, capsys):
    gpu = import_module("gpu")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["gpu.py", "--work", str(tmp_path / "runs")])
    assert gpu.main() == 1
    assert "No GPU found" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_call_ends_when_its_slice_is_over(shared, monkeypatch, tmp_path, capsys):
    gpu = import_module("gpu")

    def run_experiment(*arguments, **kept):
        raise gpu.OutOfTime

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr(gpu, "profile", lambda *arguments: {"step_seconds": 1.0})
    monkeypatch.setattr(gpu, "environment", dict)
    monkeypatch.setattr(gpu, "write_json", lambda path, found: path.write_text(str(found)))
    monkeypatch.setattr(gpu, "run_experiment", run_experiment)
    out = ("--out", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["gpu.py", "--work", str(tmp_path / "runs"), *out])
    assert gpu.main() == gpu.LEFT == 75
    assert "run again" in capsys.readouterr().err
    assert (tmp_path / "gpu_profile.json").exists()
