import builtins

import matplotlib.pyplot as plt
import numpy as np
import pytest

from mmcontrast.inspection import PartEmbeddingDisplay, PartFactorDisplay, probe_parts


class Halves:
    def transform(self, X):
        return np.asarray(X)

    def split(self, Z):
        return {"A": Z[:, :2], "B": Z[:, 2:]}


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(size=(80, 4))


def test_heat_map_shows_the_scores(X):
    factors = {"a": X[:, 0], "b": X[:, 2] > 0}
    display = PartFactorDisplay.from_estimator(
        Halves(), X, factors, parts_of_factor={"a": "A", "b": ["B"], "c": "A"}, random_state=0
    )
    scores = probe_parts(Halves(), factors, X=X, random_state=0)
    np.testing.assert_array_equal(display.im_.get_array(), scores.values)
    assert display.text_[0, 0].get_text() == f"{scores.values[0, 0]:.2f}" == "1.00"
    assert [t.get_text() for t in display.ax_.get_xticklabels()] == ["a", "b"]
    assert [t.get_text() for t in display.ax_.get_yticklabels()] == ["A", "B"]
    assert len(display.ax_.patches) == 2
    # what is not significant is grey
    assert display.text_[1, 0].get_color() == "0.55" != display.text_[0, 0].get_color()


def test_heat_map_draws_where_it_is_told(X):
    figure, axes = plt.subplots(1, 2)
    scores = probe_parts(Halves(), {"a": X[:, 0]}, X=X, n_permutations=0, random_state=0)
    display = PartFactorDisplay.from_scores(scores, ax=axes[1], colorbar=False, cmap="viridis")
    assert display.ax_ is axes[1]
    assert display.figure_ is figure
    assert len(figure.axes) == 2
    assert display.im_.cmap.name == "viridis"
    # without permutations nothing is called insignificant
    assert display.text_[1, 0].get_color() != "0.55"


def test_heat_map_refuses_what_it_does_not_know(X):
    with pytest.raises(TypeError, match="scores is a ndarray; expected the PartScores"):
        PartFactorDisplay.from_scores(X)
    scores = probe_parts(Halves(), {"a": X[:, 0]}, X=X, random_state=0)
    with pytest.raises(ValueError, match="part='C' is no part"):
        PartFactorDisplay.from_scores(scores, parts_of_factor={"a": "C"})


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_embedding_keeps_apart_what_is_far_apart(X, kind):
    state = np.repeat([0, 1], 40)
    X = X + 20 * np.outer(state, [1, 0, 0, 0])
    condition = np.array(["rest", "task"])[state] if kind == "classes" else state + X[:, 3] / 100
    display = PartEmbeddingDisplay.from_estimator(
        Halves(), X, condition, condition_name="state", random_state=0
    )
    assert [ax.get_title() for ax in display.ax_] == ["A", "B"]
    low, high = (display.embeddings["A"][state == s] for s in (0, 1))
    middle = (low.mean(axis=0) + high.mean(axis=0)) / 2
    side = (display.embeddings["A"] - middle) @ (high.mean(axis=0) - low.mean(axis=0)) > 0
    assert np.mean(side == state) == 1
    legend = display.ax_[-1].get_legend()
    if kind == "classes":
        assert [t.get_text() for t in legend.get_texts()] == ["rest", "task"]
        assert legend.get_title().get_text() == "state"
    else:
        assert display.figure_.axes[-1].get_ylabel() == "state"


def test_embedding_draws_some_rows_where_it_is_told(X):
    figure, ax = plt.subplots()
    parts = {"A": X[:, 0], "B": X}  # one column, too
    display = PartEmbeddingDisplay.from_parts(
        parts, X[:, 0], parts=["A"], max_rows=20, random_state=0, ax=ax, s=3
    )
    assert display.figure_ is figure
    assert list(display.ax_) == [ax]
    assert display.embeddings["A"].shape == (20, 2)
    assert len(display.condition) == 20
    again = PartEmbeddingDisplay.from_parts(
        parts, X[:, 0], parts=["A"], max_rows=20, random_state=0, ax=ax
    )
    np.testing.assert_array_equal(display.embeddings["A"], again.embeddings["A"])
    with pytest.raises(ValueError, match="2 parts and 1 axes"):
        PartEmbeddingDisplay.from_parts(parts, X[:, 0], max_rows=20, ax=ax)
    with pytest.raises(ValueError, match="parts='C' is no part"):
        PartEmbeddingDisplay.from_parts(parts, X[:, 0], parts=["C"])


def test_embedding_of_complete_parts_needs_no_others():
    rng = np.random.default_rng(0)
    parts = {"U_eeg": rng.normal(size=(20, 3)), "S": np.full((20, 2), np.nan)}
    display = PartEmbeddingDisplay.from_parts(parts, rng.normal(size=20), parts=["U_eeg"])
    assert list(display.embeddings) == ["U_eeg"]
    with pytest.raises(ValueError, match="'S' is NaN"):
        PartEmbeddingDisplay.from_parts(parts, rng.normal(size=20))
    with pytest.raises(ValueError, match="parts='U_egg' is no part"):
        PartEmbeddingDisplay.from_parts(parts, rng.normal(size=20), parts=["U_egg"])


def test_embedding_draws_classes_of_which_one_row_is_left(X):
    condition = np.where(np.arange(len(X)) < 1, "rare", "common")
    display = PartEmbeddingDisplay({"A": X[:, :2]}, condition).plot()
    legend = display.ax_[-1].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["common", "rare"]


def test_matplotlib_is_optional(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    import sys

    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr("importlib.import_module", without)
    display = PartFactorDisplay(np.eye(2), ["A", "B"], ["a", "b"])
    with pytest.raises(ImportError, match="PartFactorDisplay.plot needs .*pip install matplotlib"):
        display.plot()
