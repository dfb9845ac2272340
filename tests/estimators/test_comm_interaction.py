"""CoMM with products of the modalities' codes in its embedding."""

import pickle
from itertools import combinations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mmcontrast import CoMM, Modalities
from mmcontrast.augmentation import GaussianNoise, make_augmentation

from .conftest import make_data


@pytest.fixture(scope="module")
def partial():
    here = np.arange(60) % np.array([[3], [5]]) > 0
    return make_data(60).assign(presence={"eeg": here[0], "fnirs": here[1]})


@pytest.fixture(scope="module")
def fitted(partial):
    return CoMM(
        fusion="interaction",
        interaction_dim=12,
        embed_dim=8,
        n_heads=2,
        projection_dims=(16, 8),
        batch_size=20,
        max_epochs=2,
        random_state=0,
    ).fit(partial)


def test_products_are_named_and_zero_without_one_of_their_modalities(fitted, partial):
    names, Z = fitted.get_feature_names_out(), fitted.transform(partial)
    assert Z.shape == (60, 20) and Z.dtype == np.float32
    assert list(names[:8]) == [f"comm{i}" for i in range(8)]
    for pair in combinations(("eeg", "fnirs", "age"), 2):
        columns = [list(names).index(f"comm_{'*'.join(pair)}_{i}") for i in range(4)]
        there = partial.presence(pair[0]) & partial.presence(pair[1])
        assert (Z[np.ix_(~there, columns)] == 0).all()
        assert (Z[np.ix_(there, columns)] != 0).any(1).all()


def test_products_are_taken_apart_by_name(fitted, partial):
    Z = fitted.transform(partial)
    parts = fitted.split(Z)
    assert list(parts) == ["fused", "eeg*fnirs", "eeg*age", "fnirs*age"]
    np.testing.assert_array_equal(np.hstack(list(parts.values())), Z)
    np.testing.assert_array_equal(parts["eeg*age"], Z[:, 12:16])
    with pytest.raises(ValueError, match=r"shape \(60, 8\); expected .* 20"):
        fitted.split(parts["fused"])


def test_the_embedding_of_a_row_is_its_own(fitted, partial):
    Z = fitted.transform(partial)
    np.testing.assert_array_equal(fitted.transform(partial[17:]), Z[17:])
    np.testing.assert_array_equal(fitted.transform(partial[4:5]), Z[4:5])


def test_fewer_modalities_have_fewer_products(fitted, partial):
    Z = fitted.transform(partial.select("eeg", "age")[partial.presence("eeg")])
    assert (Z[:, 8:12] == 0).all() and (Z[:, 12:16] != 0).any() and (Z[:, 16:] == 0).all()
    alone = fitted.encode_modality(partial, "age")
    assert alone.shape == (60, 20) and (alone[:, 8:] == 0).all()


def test_is_saved_with_its_statistics(fitted, partial, tmp_path):
    fitted.save(tmp_path)
    for again in (CoMM.load(tmp_path), pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(again.transform(partial), fitted.transform(partial))
        assert again.score(partial) == fitted.score(partial)


def test_the_term_of_the_products_is_recorded_and_can_be_left_out(make_comm, X):
    terms = {
        loss_terms: make_comm(fusion=fusion, loss_terms=loss_terms, max_epochs=1).fit(X).history_
        for fusion, loss_terms in (
            ("interaction", ("joint", "interaction")),
            ("interaction", ("joint",)),
            ("transformer", ("joint", "modalities", "interaction")),
        )
    }
    assert ["interaction" in history for history in terms.values()] == [True, False, False]
    both = terms["joint", "interaction"]
    assert both["train_loss"][0] == pytest.approx(both["joint"][0] + both["interaction"][0])
    with pytest.raises(ValueError, match="has to hold one or both of 'joint' and 'modalities'"):
        make_comm(fusion="interaction", loss_terms=("interaction",)).fit(X)


def test_more_pairs_than_products_are_refused(make_comm, X):
    with pytest.raises(ValueError, match="interaction_dim=2 .* 3 pairs"):
        make_comm(fusion="interaction", interaction_dim=2).fit(X)


def test_batches_without_a_pair_and_bf16(make_comm):
    X = make_data(40, names=("eeg", "age"))
    here = np.arange(40) < 3
    few = X.assign(presence={"eeg": here})
    for params in ({"batch_size": 4}, {"precision": "bf16"}, {"masked_views": "original"}):
        comm = make_comm(fusion="interaction", max_epochs=1, **params).fit(few)
        assert np.isfinite(comm.transform(few)).all()


def test_products_alone_make_an_exclusive_or_linear():
    """Two bits in two tables, independent of each other, and no labels."""
    rng = np.random.default_rng(0)
    bits, X, train, test = rng.integers(2, size=(2, 2500)), {}, slice(1500), slice(1500, None)
    for name, bit in zip("ab", bits, strict=True):
        latent = np.column_stack([2 * bit - 1, rng.normal(size=(len(bit), 3))])
        X[name] = np.tanh(latent @ rng.normal(size=(4, 16))) + 0.2 * rng.normal(size=(2500, 16))
    noise = GaussianNoise(sigma=0.5, p=1.0)
    comm = CoMM(
        fusion="interaction",
        interaction_dim=36,
        embed_dim=16,
        projection_dims=(32, 16),
        augmentation=make_augmentation(a=noise, b=noise),
        batch_size=100,
        max_epochs=5,
        learning_rate=1e-2,
        random_state=0,
    )
    Z = comm.fit(Modalities(X)[train]).transform(Modalities(X))

    def accuracy(Z, y):
        probe = LogisticRegression(max_iter=500).fit(Z[train], y[train])
        return probe.score(Z[test], y[test])

    cls, products = Z[:, :16], Z[:, 16:]
    assert min(accuracy(cls, bit) for bit in bits) > 0.95
    assert accuracy(products, bits[0] ^ bits[1]) > 0.93
    assert accuracy(cls, bits[0] ^ bits[1]) < 0.7  # all that fusion="transformer" has


def test_names_that_would_spell_two_products_alike_are_refused():
    x = np.random.default_rng(0).normal(size=(20, 4))
    X = Modalities({"a": x, "b*c": x, "a*b": x, "c": x})
    comm = CoMM(embed_dim=8, n_heads=2, max_epochs=1, fusion="interaction", interaction_dim=6)
    with pytest.raises(ValueError, match=r"'b\*c' has a \*"):
        comm.fit(X)
    assert comm.set_params(fusion="transformer").fit(X).transform(X).shape == (20, 8)
