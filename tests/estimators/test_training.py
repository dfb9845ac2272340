"""Training as a user of the estimator sees it."""

import copy
import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback

from mmcontrast import Modalities
from mmcontrast.augmentation import GaussianNoise, make_augmentation


def weights(comm):
    return comm.net_.module_.state_dict()


def assert_same_weights(a, b):
    torch.testing.assert_close(dict(weights(a)), dict(weights(b)), rtol=0, atol=0)


def differ(a, b):
    return any(
        not torch.equal(x, y) for x, y in zip(weights(a).values(), weights(b).values(), strict=True)
    )


# ------------------------------------------------------------------ determinism
@pytest.mark.parametrize("options", [{}, {"dropout": 0.3, "validation_fraction": 0.25}])
def test_one_random_state_gives_one_result(X, make_comm, options):
    first, second = (make_comm(**options).fit(X) for _ in range(2))
    assert_same_weights(first, second)
    other = make_comm(**options, random_state=1).fit(X)
    assert differ(first, other)


def test_the_callers_random_numbers_are_left_alone(X, make_comm):
    torch.manual_seed(5), np.random.seed(5)
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(5), np.random.seed(5)
    make_comm(dropout=0.5).fit(X).score(X)
    assert (torch.rand(1), np.random.rand()) == expected


def test_a_random_state_instance_gives_a_new_fit_each_time(X, make_comm):
    comm = make_comm(random_state=np.random.RandomState(0))
    first = copy.deepcopy(weights(comm.fit(X)))
    second = weights(comm.fit(X))
    assert any(not torch.equal(a, b) for a, b in zip(first.values(), second.values(), strict=True))


def test_streamed_and_resident_training_are_equal(X, make_comm):
    assert_same_weights(make_comm(streaming=True).fit(X), make_comm(streaming=False).fit(X))


def test_the_input_is_not_written_to(X, make_comm):
    before = {name: X[name].copy() for name in X.names}
    make_comm().fit(X).transform(X)
    for name in X.names:
        np.testing.assert_array_equal(X[name], before[name])


# ------------------------------------------------------------------ learning
def test_the_loss_falls_and_the_shared_latent_becomes_readable(make_comm):
    from sklearn.linear_model import LinearRegression

    rng = np.random.default_rng(0)
    latent = rng.normal(size=(400, 2))
    maps = rng.normal(size=(2, 2, 12))
    X = Modalities(
        {
            name: np.tanh(latent @ m) + 0.3 * rng.normal(size=(400, 12))
            for name, m in zip("ab", maps, strict=True)
        }
    )
    comm = make_comm(max_epochs=30, batch_size=50, embed_dim=16).fit(X[:300])
    losses = comm.history_["train_loss"]
    assert losses[-1] < 0.7 * losses[0]
    Z = comm.transform(X)
    r2 = LinearRegression().fit(Z[:300], latent[:300]).score(Z[300:], latent[300:])
    assert r2 > 0.8


def test_history_has_an_entry_per_epoch(X, make_comm):
    comm = make_comm(validation_fraction=0.3, max_epochs=4).fit(X)
    history = comm.history_
    assert {
        "train_loss",
        "valid_loss",
        "joint",
        "modality_eeg",
        "embedding_std",
        "lr",
        "dur",
    } <= set(history)
    assert all(len(values) == 4 for values in history.values())
    assert comm.n_iter_ == 4
    total = sum(
        np.array(history[key])
        for key in ("joint", "modality_eeg", "modality_fnirs", "modality_age")
    )
    np.testing.assert_allclose(history["train_loss"], total, rtol=1e-5)
    assert history["lr"][-1] == pytest.approx(1e-6)


def test_a_constant_schedule_keeps_the_learning_rate(X, make_comm):
    assert make_comm(schedule="constant").fit(X).history_["lr"] == [1e-3] * 3


def test_gradient_clipping_bounds_the_norm(X, make_comm):
    class Norms(Callback):
        def on_grad_computed(self, net, named_parameters, **kwargs):
            self.seen = [
                *getattr(self, "seen", []),
                torch.nn.utils.get_total_norm([p.grad for _, p in named_parameters]),
            ]

    class LateNorms(Norms):
        def on_batch_end(self, net, training, **kwargs):
            norm = torch.nn.utils.get_total_norm(
                [p.grad for p in net.module_.parameters() if p.grad is not None]
            )
            self.late = [*getattr(self, "late", []), float(norm)]

    watch = LateNorms()
    make_comm(gradient_clip=0.01, callbacks=[watch], max_epochs=1).fit(X)
    assert max(map(float, watch.seen)) > 0.1
    assert max(watch.late) <= 0.01 * (1 + 1e-4)


def test_user_callbacks_are_called(X, make_comm):
    class Count(Callback):
        epochs = 0

        def on_epoch_end(self, net, **kwargs):
            self.epochs += 1

    count = Count()
    make_comm(callbacks=[count]).fit(X)
    assert count.epochs == 3


def test_progress_bar(X, make_comm, capsys):
    make_comm(progress_bar=True).fit(X)
    assert "3/3" in capsys.readouterr().err
    make_comm().fit(X)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_ctrl_c_is_not_swallowed(X, make_comm):
    class Interrupt(Callback):
        def on_train_begin(self, net, **kwargs):
            net._evaluate = self.interrupt

        def interrupt(self, *args):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_comm(callbacks=[Interrupt()]).fit(X)


def test_ctrl_c_within_an_epoch_keeps_the_checkpoint(X, make_comm, tmp_path):
    class Interrupt(Callback):
        def on_batch_end(self, net, **kwargs):
            if len(net.history) == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_comm(callbacks=[Interrupt()], checkpoint=tmp_path).fit(X)
    assert len(list(tmp_path.iterdir())) == 1


def test_fits_in_threads_are_those_in_turn(X, make_comm):
    from concurrent.futures import ThreadPoolExecutor

    def fit(seed):
        return make_comm(random_state=seed).fit(X)

    with ThreadPoolExecutor(4) as pool:
        for seed, comm in enumerate(pool.map(fit, range(6))):
            assert_same_weights(comm, fit(seed))


def test_scoring_callbacks_of_skorch(X, make_comm):
    from skorch.callbacks import EpochScoring

    scoring = EpochScoring(lambda net, *args: len(net.history), name="my_score")
    comm = make_comm(callbacks=[scoring], validation_fraction=0.3).fit(X)
    assert comm.history_["my_score"] == [1, 2, 3]


# ------------------------------------------------------------------ validation
def test_whole_groups_are_held_out(X, make_comm):
    seen = {}

    class Spy(Callback):
        def on_epoch_begin(self, net, dataset_train, dataset_valid, **kwargs):
            seen["train"], seen["valid"] = dataset_train.X["age"], dataset_valid.X["age"]

    groups = np.repeat(np.arange(8), 5)
    make_comm(validation_fraction=0.25, callbacks=[Spy()]).fit(X, groups=groups)
    row_of = {tuple(row): group for row, group in zip(X["age"], groups, strict=True)}
    train, valid = ({row_of[tuple(row)] for row in seen[part]} for part in ("train", "valid"))
    assert len(valid) == 2 and len(train) == 6 and not train & valid


def test_a_fixed_validation_set(X, make_comm):
    comm = make_comm().fit(X[:30], X_val=X[30:])
    assert comm.history_["valid_loss"][-1] == pytest.approx(-comm.score(X[30:]), rel=1e-6)
    with pytest.raises(ValueError, match="either X_val or validation_fraction"):
        make_comm(validation_fraction=0.2).fit(X, X_val=X)


def test_early_stopping_goes_back_to_the_best_epoch(X, make_comm):
    comm = make_comm(
        max_epochs=60, learning_rate=0.02, early_stopping=True, patience=3, validation_fraction=0.4
    ).fit(X)
    losses = comm.history_["valid_loss"]
    best = int(np.argmin(losses))
    assert comm.n_iter_ == len(losses) < 60
    assert len(losses) == best + 1 + 3
    again = make_comm(
        max_epochs=60, learning_rate=0.02, validation_fraction=0.4, callbacks=[StopAfter(best + 1)]
    ).fit(X)
    assert_same_weights(comm, again)


class StopAfter(Callback):
    def __init__(self, n_epochs):
        self.n_epochs = n_epochs

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.n_epochs:
            raise KeyboardInterrupt


def test_early_stopping_needs_something_to_watch(X, make_comm):
    with pytest.raises(ValueError, match="set validation_fraction, or pass X_val"):
        make_comm(early_stopping=True).fit(X)


# ------------------------------------------------------------------ failures
class Explode(Callback):
    """Makes the loss infinite from a given epoch on."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == self.epoch:
            with torch.no_grad():
                next(net.module_.parameters()).fill_(torch.nan)


def test_divergence_keeps_the_last_good_weights(X, make_comm):
    with pytest.warns(ConvergenceWarning, match="not finite in epoch 3.*end of epoch 2 are kept"):
        comm = make_comm(callbacks=[Explode(3)], max_epochs=5).fit(X)
    assert comm.n_iter_ == 2
    assert_same_weights(comm, make_comm(callbacks=[StopAfter(2)], max_epochs=5).fit(X))
    assert np.isfinite(comm.transform(X)).all()


def test_divergence_in_the_first_epoch_is_an_error(X, make_comm):
    with pytest.raises(FloatingPointError, match="not finite in epoch 1.*Lower learning_rate"):
        make_comm(callbacks=[Explode(1)]).fit(X)


def test_weights_that_are_not_finite_are_noticed_after_the_last_step(X, make_comm):
    class Late(Callback):
        def on_batch_end(self, net, training, **kwargs):
            last = len(net.history[-1, "batches"]) == 5
            if training and last and len(net.history) == 3:
                with torch.no_grad():
                    next(net.module_.parameters()).fill_(torch.nan)

    with pytest.warns(ConvergenceWarning, match="end of epoch 2 are kept"):
        comm = make_comm(callbacks=[Late()]).fit(X)
    assert np.isfinite(comm.transform(X)).all()


def test_collapse_keeps_the_last_good_weights(X, make_comm):
    class Collapse(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 2:
                with torch.no_grad():
                    net.module_.encoder.fusion.norm.weight.fill_(0)
                    net.module_.encoder.fusion.norm.bias.fill_(1)
                for group in net.optimizer_.param_groups:
                    group["lr"] = 0.0

    with pytest.warns(ConvergenceWarning, match="collapsed in epoch 2.*end of epoch 1 are kept"):
        comm = make_comm(callbacks=[Collapse()], schedule="constant").fit(X)
    assert comm.transform(X).std(axis=0).max() > 1e-4


def test_input_with_a_large_offset_is_called_flat(make_comm):
    X = np.random.default_rng(0).normal(size=(40, 4)) + 1e4
    with pytest.warns(ConvergenceWarning, match="hardly differs between rows. Standardise"):
        make_comm(learning_rate=1e-9).fit(X)


# ------------------------------------------------------------------ going on
def test_warm_start_goes_on(X, make_comm):
    comm = make_comm(warm_start=True, max_epochs=2).fit(X)
    before = copy.deepcopy(comm)
    comm.fit(X)
    assert comm.n_iter_ == 4 and len(comm.history_["train_loss"]) == 4
    assert differ(comm, before)
    assert comm.history_["train_loss"][:2] == before.history_["train_loss"]
    cold = make_comm(max_epochs=2).fit(X)
    cold.fit(X)
    assert cold.n_iter_ == 2
    assert_same_weights(cold, before)


def test_partial_fit_trains_one_epoch_a_call(X, make_comm):
    comm = make_comm()
    for n in range(1, 4):
        comm.partial_fit(X[:20] if n % 2 else X[20:])
        assert comm.n_iter_ == n
    assert comm.history_["lr"] == [1e-3] * 3
    with pytest.raises(ValueError, match="modality 'age' has rows of shape"):
        comm.partial_fit(X.assign(age=X["age"][:, :2]))


def test_the_same_rows_stay_held_out(X, make_comm):
    seen = []

    class Spy(Callback):
        def on_train_end(self, net, X, **kwargs):
            seen.append(X.X["age"])

    comm = make_comm(random_state=None, warm_start=True, validation_fraction=0.3, callbacks=[Spy()])
    comm.fit(X).fit(X)
    np.testing.assert_array_equal(*seen)
    history = comm.partial_fit(X).history_
    assert np.isfinite(history["valid_loss"][:-1]).all() and np.isnan(history["valid_loss"][-1])


def test_a_damaged_checkpoint(X, make_comm, tmp_path):
    class Crash(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 2:
                raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        make_comm(checkpoint=tmp_path, callbacks=[Crash()]).fit(X)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match="is damaged.*Delete it"):
        make_comm(checkpoint=tmp_path).fit(X)


@pytest.mark.parametrize("what", ["value", "presence", "X_val", "encoder"])
def test_a_checkpoint_is_not_resumed_by_another_fit(X, make_comm, tmp_path, what):
    class Crash(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 2:
                raise RuntimeError("power cut")

    torch.manual_seed(0)
    one, other = (torch.nn.Linear(4, 8) for _ in range(2))
    with pytest.raises(RuntimeError):
        make_comm(encoders={"age": one}, checkpoint=tmp_path, callbacks=[Crash()]).fit(X)
    comm, fixed = make_comm(encoders={"age": one}, checkpoint=tmp_path), {}
    if what == "value":
        age = X["age"].copy()
        age[17, 2] += 1
        X = X.assign(age=age)
    elif what == "presence":
        X = Modalities(dict(X.items()), presence={"eeg": np.arange(40) != 5})
    elif what == "X_val":
        fixed["X_val"] = X[:10]
    else:
        comm.set_params(encoders={"age": other})
    fresh = comm.fit(X, **fixed)
    assert len(list(tmp_path.iterdir())) == 1  # that of the fit that was interrupted
    assert_same_weights(fresh, comm.set_params(checkpoint=None).fit(X, **fixed))


def test_an_interrupted_fit_resumes_to_the_same_weights(X, make_comm, tmp_path):
    options = {
        "dropout": 0.2,
        "max_epochs": 6,
        "validation_fraction": 0.3,
        "early_stopping": True,
        "patience": 3,
    }
    undisturbed = make_comm(**options).fit(X)

    class Crash(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 4:
                raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        make_comm(**options, checkpoint=tmp_path, callbacks=[Crash()]).fit(X)
    assert len(list(tmp_path.iterdir())) == 1
    resumed = make_comm(**options, checkpoint=tmp_path).fit(X)
    assert_same_weights(resumed, undisturbed)
    assert resumed.history_["train_loss"] == undisturbed.history_["train_loss"]
    assert list(tmp_path.iterdir()) == []


def test_fits_of_other_data_or_parameters_have_other_checkpoints(X, make_comm, tmp_path):
    class Crash(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 2:
                raise RuntimeError("power cut")

    for params, rows in [
        ({}, X),
        ({}, X[::-1]),
        ({"learning_rate": 0.01}, X),
        ({"random_state": 1}, X),
    ]:
        with pytest.raises(RuntimeError):
            make_comm(**params, checkpoint=tmp_path, callbacks=[Crash()]).fit(rows)
    assert len(list(tmp_path.iterdir())) == 4


# ------------------------------------------------------------------ options
def test_bf16_trains_close_to_float32(X, make_comm):
    exact = make_comm(max_epochs=2).fit(X)
    rough = make_comm(max_epochs=2, precision="bf16").fit(X)
    assert differ(exact, rough)
    np.testing.assert_allclose(
        rough.history_["train_loss"], exact.history_["train_loss"], rtol=0.05
    )


@pytest.mark.slow
def test_compiled_training_equals_eager_training(X, make_comm):
    X = X.select("fnirs", "age")
    eager, compiled = make_comm().fit(X), make_comm(compile=True).fit(X)
    losses = [comm.history_["train_loss"] for comm in (eager, compiled)]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    assert list(weights(eager)) == list(weights(compiled))
    np.testing.assert_allclose(compiled.transform(X), eager.transform(X), atol=1e-2)


def test_strength_zero_and_no_augmentation_are_the_same(X, make_comm):
    assert_same_weights(
        make_comm(augmentation_strength=0).fit(X), make_comm(augmentation=None).fit(X)
    )
    assert differ(make_comm(augmentation=None).fit(X), make_comm().fit(X))


def test_noise_is_relative_to_the_training_spread(X, make_comm):
    """Scaling the data and its noise alike leaves an encoder that ignores scale where it was."""
    augmentation = make_augmentation(age=GaussianNoise(sigma=0.5, p=1.0))
    comm = make_comm(augmentation=augmentation).fit(X)
    assert comm.scales_["age"] == pytest.approx(X["age"].std(), rel=1e-6)
    view = comm.net_.augment
    from mmcontrast.nn import View

    values = {"age": torch.zeros(2000, 4)}
    noise = view(View(values), torch.Generator().manual_seed(0)).values["age"]
    assert float(noise.std()) == pytest.approx(0.5 * X["age"].std(), rel=0.05)


def test_original_masked_views_and_single_terms_train(X, make_comm):
    for options in (
        {"masked_views": "original"},
        {"loss_terms": ("joint",)},
        {"loss_terms": ["modalities"]},
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert np.isfinite(make_comm(**options).fit(X).history_["train_loss"]).all()


def test_a_frozen_encoder_is_not_trained(X, make_comm):
    from mmcontrast.nn import freeze

    pretrained = freeze(torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.BatchNorm1d(6)))
    before = copy.deepcopy(pretrained.state_dict())
    comm = make_comm(encoders={"age": pretrained}).fit(X)
    trained = comm.net_.module_.encoder.encoders[2].state_dict()
    for value, expected in zip(trained.values(), before.values(), strict=True):
        assert torch.equal(value, expected)
    for value, expected in zip(pretrained.state_dict().values(), before.values(), strict=True):
        assert torch.equal(value, expected)
