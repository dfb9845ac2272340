import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, RidgeCV

from mmcontrast import Modalities, RUSDecomposer
from mmcontrast.augmentation import GaussianNoise, Recrop, make_augmentation
from mmcontrast.losses import HybridObjective

PARTS = ("R_eeg", "R_fnirs", "U_eeg", "U_fnirs", "S")


def make(**params):
    small = {
        "embed_dim": 8,
        "code_dim": 4,
        "synergy_dim": 2,
        "max_epochs": 2,
        "batch_size": 20,
        "random_state": 0,
    }
    return RUSDecomposer(**small | params)


@pytest.fixture
def X():
    rng = np.random.default_rng(0)
    latent = rng.normal(size=60)
    return Modalities(
        eeg=1e-6 * (rng.normal(size=(60, 3, 40)) + latent[:, None, None]),
        fnirs=rng.normal(size=(60, 6)) + latent[:, None],
    )


# ---------------------------------------------------------------- what it is there for
def make_latents(n, seed):
    """Two modalities of vectors that share r, have u1 and u2 for themselves, and an XOR."""
    rng = np.random.default_rng(seed)
    r, u1, u2 = rng.normal(size=(3, n))
    u1, u2 = (np.sign(u) + 0.2 * rng.normal(size=n) for u in (u1, u2))
    mix = np.random.default_rng(1)
    x1, x2 = (
        np.tanh(np.column_stack([r, u]) @ mix.normal(size=(2, 12))) + 0.2 * rng.normal(size=(n, 12))
        for u in (u1, u2)
    )
    factors = pd.DataFrame({"r": r, "u1": u1, "u2": u2, "xor": (u1 > 0) ^ (u2 > 0)})
    return Modalities(eeg=x1, fnirs=x2), factors


@pytest.fixture(scope="module")
def decomposed():
    X, factors = make_latents(1400, 0)
    rus = RUSDecomposer(
        code_dim=4, synergy_dim=4, embed_dim=16, max_epochs=15, batch_size=100, random_state=0
    ).fit(X[:1000])
    return factors, rus.split(rus.transform(X))


def r2(part, target):
    return (
        RidgeCV(np.logspace(-1, 3, 5))
        .fit(part[:1000], target[:1000])
        .score(part[1000:], target[1000:])
    )


def test_each_factor_is_in_its_part_and_hardly_elsewhere(decomposed):
    factors, parts = decomposed
    homes = {"r": ("R_eeg", "R_fnirs"), "u1": ("U_eeg",), "u2": ("U_fnirs",)}
    for factor, home in homes.items():
        for part, z in parts.items():
            score = r2(z, factors[factor].to_numpy())
            assert score > 0.6 if part in home else score < 0.15, (factor, part, score)


def test_only_the_synergistic_part_tells_an_xor(decomposed):
    factors, parts = decomposed
    xor = factors["xor"].to_numpy()
    for part, z in parts.items():
        probe = LogisticRegression().fit(z[:1000], xor[:1000])
        score = probe.score(z[1000:], xor[1000:])
        assert score > 0.85 if part == "S" else score < 0.6, (part, score)


# ----------------------------------------------------------------------------- interface
def test_parts_in_order_and_by_name(X):
    rus = make().fit(X)
    Z = rus.transform(X)
    parts = rus.split(Z)
    assert tuple(parts) == PARTS
    np.testing.assert_array_equal(np.hstack(list(parts.values())), Z)
    names = rus.get_feature_names_out()
    assert names[0] == "rusdecomposer_R_eeg_0"
    assert names[-1] == "rusdecomposer_S_4"
    assert len(names) == Z.shape[1] == 4 * 4 + 2 * 2 + 1
    chosen = rus.set_params(parts=("S", "U_eeg"))
    np.testing.assert_array_equal(chosen.transform(X), np.hstack([parts["S"], parts["U_eeg"]]))
    assert chosen.get_feature_names_out()[5] == "rusdecomposer_U_eeg_0"


def test_synergy_needs_both_modalities(X):
    rus = make().fit(X)
    whole, alone = rus.split(rus.transform(X)), rus.split(rus.transform(X.select("eeg")))
    for part in PARTS:
        if part in ("R_eeg", "U_eeg"):
            np.testing.assert_allclose(alone[part], whole[part], atol=1e-5)
        else:
            assert np.isnan(alone[part]).all()
    mask = np.arange(60) < 30
    some = Modalities(dict(X.items()), presence={"fnirs": mask})
    parts = rus.split(rus.transform(some))
    for part, absent in (("U_fnirs", ~mask), ("S", ~mask), ("U_eeg", np.zeros(60, bool))):
        np.testing.assert_array_equal(np.isnan(parts[part]).all(1), absent)
    np.testing.assert_allclose(parts["S"][mask], whole["S"][mask], atol=1e-5)
    assert np.isnan(rus.set_params(parts=["S"]).transform(X.select("eeg"))).all()


def test_one_modality_alone(X):
    rus = make().fit(X)
    parts = rus.split(rus.transform(X))
    expected = np.hstack([parts["R_fnirs"], parts["U_fnirs"]])
    np.testing.assert_allclose(rus.encode_modality(X, "fnirs"), expected, atol=1e-5)
    with pytest.raises(ValueError, match="No part of .* is made from modality 'eeg'"):
        rus.set_params(parts=["U_fnirs", "S"]).encode_modality(X, "eeg")


def test_norms_are_distances_from_the_average_or_from_rest(X):
    rus = make().fit(X)
    Z = rus.transform(X)
    norms, parts = rus.norms(Z), rus.split(Z)
    assert tuple(norms) == PARTS
    for part, z in parts.items():
        np.testing.assert_allclose(norms[part], np.sqrt((z**2).sum(1)), rtol=1e-5)
    rest = rus.norms(Z, reference=Z[:10])
    expected = np.sqrt(((parts["U_eeg"] - parts["U_eeg"][:10].mean(0)) ** 2).sum(1))
    np.testing.assert_allclose(rest["U_eeg"], expected, rtol=1e-5)


def test_whitened_norms_are_in_units_of_the_spread_at_rest():
    rng = np.random.default_rng(0)
    rus = make().fit(Modalities(eeg=rng.normal(size=(60, 3, 40)), fnirs=rng.normal(size=(60, 4))))
    spread = rng.uniform(0.1, 10, rus._n_features_out)
    rest, Z = spread * rng.normal(size=(40000, len(spread))), spread * np.eye(len(spread))
    for part, z in rus.split(Z / spread).items():
        own = z.any(axis=1)
        found = rus.norms(Z, rest, whiten=True)[part]
        np.testing.assert_allclose(found[own], 1, atol=0.05)
        np.testing.assert_allclose(found[~own], 0, atol=0.1)


def test_norms_skip_absent_rows_and_need_a_reference_to_whiten(X):
    rus = make().fit(X)
    Z = rus.transform(X)
    Z[0], Z[1] = np.nan, np.nan
    found = rus.norms(Z, reference=Z[1:20], whiten=True)
    assert all(np.isnan(d[0]) and np.isfinite(d[2:]).all() for d in found.values())
    with pytest.raises(ValueError, match="pass their embedding as reference"):
        rus.norms(Z, whiten=True)
    with pytest.raises(ValueError, match="1 reference rows have a part 'R_eeg'; expected 2 or"):
        rus.norms(Z, reference=Z[:3], whiten=True)


def test_unique_parts_are_standardised_whatever_the_units(X):
    rus = make(max_epochs=5).fit(X)
    for part in ("U_eeg", "U_fnirs"):
        z = rus.split(rus.transform(X))[part]
        np.testing.assert_allclose(z.std(0), 1, atol=0.15)
    rescaled = make(max_epochs=5).fit(Modalities(eeg=1e6 * X["eeg"], fnirs=X["fnirs"]))
    np.testing.assert_allclose(
        rescaled.transform(Modalities(eeg=1e6 * X["eeg"], fnirs=X["fnirs"])),
        rus.transform(X),
        atol=0.05,
    )


def test_same_seed_same_embedding_and_pickle_and_save(X, tmp_path):
    first, second = (make().fit(X) for _ in range(2))
    Z = first.transform(X)
    np.testing.assert_array_equal(Z, second.transform(X))
    np.testing.assert_array_equal(Z, pickle.loads(pickle.dumps(first)).transform(X))
    first.save(tmp_path / "rus")
    loaded = RUSDecomposer.load(tmp_path / "rus")
    np.testing.assert_array_equal(Z, loaded.transform(X))
    assert loaded.score(X) == first.score(X)


@pytest.mark.parametrize(("widths", "code_dim", "synergy_dim"), [((5, 5), 4, 3), ((1, 2), 5, 5)])
def test_the_embedding_of_a_row_does_not_depend_on_its_place(widths, code_dim, synergy_dim):
    rng = np.random.default_rng(0)
    X = Modalities(eeg=rng.normal(size=(50, widths[0])), fnirs=rng.normal(size=(50, widths[1])))
    rus = make(code_dim=code_dim, synergy_dim=synergy_dim).fit(X)
    Z, order = rus.transform(X), rng.permutation(50)
    np.testing.assert_array_equal(rus.transform(X[order]), Z[order])
    np.testing.assert_array_equal(rus.transform(X[47:]), Z[47:])


def test_features_that_are_kept_give_the_same_training_as_those_that_are_streamed(X):
    kept, streamed = (make(streaming=streaming).fit(X) for streaming in (False, True))
    assert kept.net_.module_.takes_features
    assert not streamed.net_.module_.takes_features
    np.testing.assert_allclose(kept.transform(X), streamed.transform(X), atol=1e-3)


def test_augmentation_of_raw_rows(X):
    augmentation = make_augmentation(eeg=GaussianNoise(), fnirs=GaussianNoise())
    rus = make(augmentation=augmentation).fit(X)
    assert rus.net_.module_.n_views == 1
    assert make(augmentation=augmentation, objective="hybrid").fit(X).net_.module_.n_views == 2
    assert np.isfinite(rus.transform(X)).all()


def test_history_and_held_out_loss(X):
    rus = make(validation_fraction=0.15, batch_size=10).fit(X)
    assert {"redundancy", "reconstruction_eeg", "independence", "synergy"} < set(rus.history_)
    assert np.isfinite(rus.history_["valid_loss"]).all()


def test_epochs_by_the_number_of_rows():
    rng = np.random.default_rng(0)
    X = Modalities(eeg=rng.normal(size=(640, 3)), fnirs=rng.normal(size=(640, 3)))
    rus = make(max_epochs="auto", batch_size="auto")
    assert rus._auto_epochs(X) == 63  # 4 steps of 160 rows each: 250 steps
    assert rus.set_params(validation_fraction=0.5)._auto_epochs(X) == 125


@pytest.mark.parametrize("removal", ["adversarial", "similarity", "reconstruction"])
def test_hybrid_objective(X, removal):
    rus = make(objective="hybrid", unique_removal=removal, lambda_orth=0.5).fit(X)
    removed = {f"removal_{name}" for name in X.names}
    assert removed & set(rus.history_) == (set() if removal == "reconstruction" else removed)
    assert isinstance(rus.net_.module_, HybridObjective)
    assert rus.net_.module_.weights == {"r": 1.0, "u": 1.0, "s": 1.0, "orth": 0.5}
    assert rus.split(rus.transform(X))["S"].shape == (60, 4)


def test_supervised_by_names_or_numbers(X):
    y = pd.DataFrame({"load": np.arange(60.0), "state": np.arange(60) % 2})
    named = make(supervised=True, targets={"U_fnirs": ["load"], "S": ["state", "load"]}).fit(X, y)
    numbered = make(supervised=True, targets={"U_fnirs": [0], "S": [1, 0]}).fit(X, y.to_numpy())
    np.testing.assert_array_equal(named.transform(X), numbered.transform(X))
    swapped = make(supervised=True, targets={"U_fnirs": [1], "S": [0, 1]}).fit(X, y.to_numpy())
    assert not np.allclose(named.transform(X), swapped.transform(X))
    assert {"targets_U_fnirs", "targets_S"} < set(named.history_)


def test_supervision_puts_a_factor_where_it_is_told():
    X, factors = make_latents(700, 2)
    rus = RUSDecomposer(
        code_dim=4,
        synergy_dim=3,
        embed_dim=16,
        max_epochs=20,
        batch_size=100,
        supervised=True,
        targets={"R": ["r"], "U_eeg": ["u1"]},
        random_state=0,
    ).fit(X, factors.astype(float))
    parts = rus.split(rus.transform(X))
    score = {
        part: RidgeCV().fit(z[:350], factors["u1"][:350]).score(z[350:], factors["u1"][350:])
        for part, z in parts.items()
    }
    assert score["U_eeg"] > 0.7
    assert max(score[part] for part in ("R_fnirs", "U_fnirs")) < 0.1


# --------------------------------------------------------------------------- bad input
def test_two_modalities_are_needed(X):
    for data in (X.select("eeg"), Modalities(dict(X.items()) | {"age": np.ones((60, 2))})):
        with pytest.raises(ValueError, match="takes exactly 2 modalities, but found"):
            make().fit(data)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"parts": ["U_ege"]}, "parts holds 'U_ege'.*'U_eeg'"),
        ({"parts": []}, "one or more"),
        ({"parts": ["S", "S"]}, "each once"),
        ({"lambda_r": -1}, "'lambda_r' parameter"),
        ({"lambda_orth": "big"}, "'lambda_orth' parameter"),
        ({"code_dim": 1}, "'code_dim' parameter"),
        ({"objective": "hybrid", "fusion": "product"}, "fusion='product' is for objective"),
        ({"objective": "hybrid", "discrepancy_dim": 1}, "discrepancy_dim=1 is for objective"),
        ({"supervised": True}, "supervised=True needs targets"),
        ({"supervised": True, "targets": {"U_egg": [0]}}, "targets holds 'U_egg'.*'U_eeg'"),
        ({"supervised": True, "targets": {"R": [3]}}, r"targets\['R'\] holds 3.*no column of y"),
        ({"supervised": True, "targets": {"R": "load"}}, "expected a list of columns"),
        (
            {"supervised": True, "objective": "hybrid", "targets": {"R": [0]}},
            'is for objective="balanced"',
        ),
    ],
)
def test_parameters_that_do_not_fit(X, params, message):
    with pytest.raises(ValueError, match=message):
        make(**params).fit(X, np.arange(60.0))


def test_few_trials_are_warned_of(X):
    message = "fitted on 40 rows. With fewer than 50 trials.*600 trials the right part held less t"
    with pytest.warns(UserWarning, match=message) as caught:
        make().fit(X[:40])
    assert caught[0].filename == __file__


def test_few_pairs_are_warned_of():
    rng = np.random.default_rng(0)
    presence = {"fnirs": np.arange(90) < 20}
    X = Modalities(eeg=rng.normal(size=(90, 3)), fnirs=rng.normal(size=(90, 3)), presence=presence)
    with pytest.warns(UserWarning, match="fitted on 20 rows that have both modalities"):
        make().fit(X)


def test_statistics_are_of_rows_from_the_first_to_the_last(monkeypatch):
    """Also if there are more rows than are read, of which only the last have both modalities."""
    monkeypatch.setattr("mmcontrast.estimators.rus._PREPARED_ROWS", 64)
    rng = np.random.default_rng(0)
    eeg, fnirs = rng.normal(size=(2, 120, 3))
    eeg[64:] += 100
    X = Modalities(eeg=eeg, fnirs=fnirs, presence={"fnirs": np.arange(120) >= 66})
    scalers = [f.scaler for f in make(max_epochs=1).fit(X).net_.module_.features]
    assert (scalers[0].mean > 30).all()  # 0 of the first rows, 47 of all
    assert scalers[0].n_seen == 60 + 27  # every second row, and those with the other modality
    np.testing.assert_allclose(scalers[1].mean, fnirs[66:].mean(0), atol=1e-5)


@pytest.mark.parametrize("augmentation", [Recrop(10, 0.5), make_augmentation(joint=Recrop(10))])
def test_augmentation_must_not_shorten_rows(X, augmentation):
    X = X.assign(fnirs=np.random.default_rng(0).normal(size=(60, 2, 40)))
    with pytest.raises(ValueError, match=r"leave Recrop.* set timing=True with margin="):
        make(augmentation=augmentation).fit(X)


def test_sequences_that_never_change_are_refused(X):
    flat = np.random.default_rng(0).normal(size=(60, 3, 1)).repeat(40, axis=2)
    with pytest.raises(ValueError, match="modality 'eeg': every channel is flat"):
        make().fit(X.assign(eeg=flat))
    some = X["eeg"].copy()
    some[:, 1:] = 0
    make(max_epochs=1).fit(X.assign(eeg=some))


def test_padding_and_absent_rows_are_no_change():
    rng = np.random.default_rng(0)
    lengths, there = 20 - np.arange(60) % 3, np.arange(60) % 4 > 0
    values = np.where(np.arange(20) < lengths[:, None, None], rng.normal(size=(60, 2, 1)), 0)
    values[~there] = rng.normal(size=(15, 2, 20))
    X = Modalities(
        {"eeg": values, "fnirs": rng.normal(size=(60, 6))},
        lengths={"eeg": lengths},
        presence={"eeg": there},
    )
    with pytest.raises(ValueError, match="modality 'eeg': every channel is flat"):
        make().fit(X)


@pytest.mark.filterwarnings("error:RUSDecomposer is fitted on")
def test_enough_trials_are_not(X):
    make().fit(X)


def test_bursts_are_read_whatever_the_batch_and_after_loading(tmp_path):
    """Of recordings long enough for bands, some of whose rows are absent."""
    rng = np.random.default_rng(0)
    X = Modalities(
        eeg=1e-6 * rng.normal(size=(70, 3, 200)),
        fnirs=rng.normal(size=(70, 6)),
        presence={"eeg": np.arange(70) % 7 > 0},
    )
    rus = make(parts=["U_eeg"]).fit(X)
    assert rus.net_.module_.features[0].bursts.filters.abs().amax() > 0
    Z = rus.transform(X)
    assert np.isnan(Z[::7]).all() and np.isfinite(np.delete(Z, np.s_[::7], axis=0)).all()
    order = rng.permutation(70)
    np.testing.assert_array_equal(rus.transform(X[order]), Z[order])
    rus.save(tmp_path / "rus")
    np.testing.assert_array_equal(RUSDecomposer.load(tmp_path / "rus").transform(X), Z)
