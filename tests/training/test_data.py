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


BYTES = np.arange(6 * 2 * 4 * 11, dtype=np.uint64).reshape(6, 2, 4, 11).astype(np.uint8)


def test_images_of_bytes_are_scaled_and_other_integers_are_not():
    assert to_tensor(BYTES, "cpu").dtype == torch.float32
    np.testing.assert_array_equal(to_tensor(BYTES, "cpu"), BYTES.astype("f4") / np.float32(255))
    for numbers in (BYTES.astype(np.int16), BYTES[0], BYTES[0, 0], BYTES[None]):
        np.testing.assert_array_equal(to_tensor(numbers, "cpu"), numbers.astype("f4"))


@pytest.mark.parametrize("streaming", [True, False])
def test_images_stay_bytes_until_a_batch_is_read(streaming):
    presence = {"photo": np.arange(6) != 2}
    dataset = ModalityDataset(Modalities(photo=BYTES, presence=presence), streaming=streaming)
    if not streaming:
        assert dataset._resident.values["photo"].dtype == torch.uint8
    expected = np.where(presence["photo"][:, None, None, None], BYTES.astype("f4") / 255, 0)
    for view, rows in (
        (dataset.__getitems__([5, 2, 0])[0], [5, 2, 0]),
        (dataset.read(1, 4), [1, 2, 3]),
    ):
        np.testing.assert_allclose(view.values["photo"], expected[rows], rtol=1e-7)
        view.values["photo"].zero_()
    assert BYTES.any()
    np.testing.assert_allclose(dataset.read(0, 6).values["photo"], expected, rtol=1e-7)


def test_bytes_take_a_quarter_of_the_memory(monkeypatch):
    # room for half of four bytes a value
    monkeypatch.setattr("mmcontrast.training.data._free_memory", lambda device: 4 * BYTES.size)
    assert not ModalityDataset(Modalities(photo=BYTES)).streaming
    assert ModalityDataset(Modalities(map=BYTES.astype("f4"))).streaming


def test_images_in_a_file_are_read_batch_by_batch(tmp_path):
    np.save(tmp_path / "photo.npy", np.moveaxis(BYTES, 1, -1))
    X = Modalities(photo=np.moveaxis(np.load(tmp_path / "photo.npy", mmap_mode="r"), -1, 1))
    view, _ = ModalityDataset(X, streaming=True).__getitems__([4, 1])
    np.testing.assert_allclose(view.values["photo"], BYTES[[4, 1]] / 255, rtol=1e-6)
