import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmcontrast import Modalities
from mmcontrast.training import ModalityDataset, evaluation_loader, to_tensor, training_loader


def make(n=11):
    rng = np.random.default_rng(0)
    eeg, age = rng.normal(size=(n, 2, 5)), rng.normal(size=(n, 3)).astype(np.float32)
    age[4] = np.nan
    lengths = rng.integers(1, 6, n)
    return Modalities(eeg=eeg, age=age, lengths={"eeg": lengths}), eeg, age, lengths


@pytest.mark.parametrize("streaming", [True, False])
@given(rows=st.lists(st.integers(0, 10), min_size=1, max_size=8))
def test_a_batch_holds_the_rows_asked_for(streaming, rows):
    X, eeg, age, lengths = make()
    y = np.arange(11) * 10
    view, targets = ModalityDataset(X, y, streaming=streaming).__getitems__(rows)
    valid = np.arange(5) < lengths[rows][:, None, None]
    np.testing.assert_array_equal(view.values["eeg"], np.where(valid, eeg[rows], 0).astype("f4"))
    np.testing.assert_array_equal(view.values["age"], np.nan_to_num(age[rows]))
    np.testing.assert_array_equal(view.presence["age"], np.asarray(rows) != 4)
    np.testing.assert_array_equal(view.lengths["eeg"], lengths[rows])
    np.testing.assert_array_equal(targets, y[rows])
    assert "eeg" not in view.presence


def test_streamed_and_resident_batches_are_equal():
    X, *_ = make()
    streamed, resident = (ModalityDataset(X, streaming=flag) for flag in (True, False))
    for a, b in zip(streamed.read(3, 9), resident.read(3, 9), strict=True):
        assert a.keys() == b.keys()
        for name in a:
            torch.testing.assert_close(a[name], b[name], rtol=0, atol=0)


@pytest.mark.parametrize("streaming", [True, False])
def test_batches_do_not_share_the_memory_of_the_input(streaming):
    array = np.ones((6, 3), dtype=np.float32)
    dataset = ModalityDataset(Modalities(eeg=array), streaming=streaming)
    for view in (dataset.read(0, 4), dataset.__getitems__([1, 2, 3])[0]):
        view.values["eeg"].zero_()
    assert (array == 1).all()


def test_memory_that_a_system_does_not_tell(monkeypatch):
    def fail(name):
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr("os.sysconf", fail)
    assert not ModalityDataset(Modalities(eeg=np.ones((4, 2)))).streaming


def test_read_only_data_is_shared_and_never_written_to():
    array = np.ones((4, 3), dtype=np.float32)
    array.flags.writeable = False
    tensor = to_tensor(array, "cpu")
    assert tensor.data_ptr() == array.ctypes.data


def test_training_batches_are_full_and_shuffled_by_the_seed():
    dataset = ModalityDataset(Modalities(row=np.arange(50.0)[:, None]))

    def epoch(seed):
        return [view.values["row"][:, 0].tolist() for view, _ in training_loader(dataset, 8, seed)]

    batches = epoch(1)
    assert [len(batch) for batch in batches] == [8] * 6
    assert len(set(sum(batches, []))) == 48
    assert epoch(1) == batches != epoch(2)


@given(n_rows=st.integers(2, 60), batch_size=st.integers(2, 20))
def test_evaluation_batches_hold_every_row_once_and_are_never_small(n_rows, batch_size):
    dataset = ModalityDataset(Modalities(row=np.arange(float(n_rows))[:, None]))
    loader = evaluation_loader(dataset, batch_size)
    batches = [view.values["row"][:, 0].tolist() for view, _ in loader]
    assert sorted(sum(batches, [])) == list(range(n_rows))
    assert min(map(len, batches)) >= min(batch_size, n_rows)
    assert batches == [view.values["row"][:, 0].tolist() for view, _ in loader]
