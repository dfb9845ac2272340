import numpy as np
import pandas as pd
import pytest

from mmcontrast import Modalities
from mmcontrast.information import conditional_mutual_information, mutual_information

RNG = np.random.default_rng(0)
X, Y, Z = RNG.normal(size=(3, 100, 2))
NAN = np.where(np.arange(100)[:, None] == 7, np.nan, Y)
CONSTANT = np.hstack([Y, np.full((100, 1), 0.1)])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"Y": NAN}, r"Y has NaN .* in 1 of 100 rows \(the first is row 7\); drop"),
        ({"Y": CONSTANT}, r"Y is constant in column 2 \(1 such column\(s\) of 3\).*drop it"),
        ({"Y": Y[:90]}, "X has 100, Y has 90 rows; row i of each"),
        ({"Y": Y[:, :0]}, r"Y has shape \(100, 0\)"),
        ({"Y": Y[:, :, None]}, r"Y has shape \(100, 2, 1\); expected \(n_rows,\) or .*Reshape"),
        ({"Y": 3.0}, r"Y has shape \(\)"),
        ({"X": X[:20], "Y": Y[:20]}, "Found 20 rows, need at least 50"),
        ({"n_folds": 30}, "need at least 120: networks are held out on n_folds=30"),
        ({"method": "mine"}, "method='mine' is unknown; choose one of 'infonce', 'club'"),
        ({"unit": "hartley"}, "unit='hartley' is unknown"),
        ({"critic": "linear"}, "critic='linear' is unknown"),
        ({"batch_size": 1}, "batch_size=1 has to be an integer of at least 2"),
        ({"max_steps": 2.5}, "max_steps=2.5 has to be an integer"),
        ({"n_folds": 1}, "n_folds=1 has to be an integer of at least 2"),
        ({"learning_rate": -1}, "learning_rate=-1 has to be a number above 0"),
        ({"learning_rate": 0}, "learning_rate=0 has to be a number above 0"),
        ({"learning_rate": np.nan}, "learning_rate=nan has to be a number above 0"),
        ({"hidden_dims": 64}, r"hidden_dims=64 has to be a sequence of .*\(64,\) is one layer"),
        ({"hidden_dims": (64, 0), "method": "club"}, r"hidden_dims=\(64, 0\) has to be"),
        ({"method": "ksg", "n_neighbors": 0}, "n_neighbors=0"),
        ({"method": "ksg", "n_neighbors": 99}, "Found 100 rows, need at least 101"),
        ({"method": "gaussian", "X": X[:6], "Y": Y[:6]}, "Found 6 rows, need at least 7"),
    ],
)
def test_mutual_information(kwargs, message):
    with pytest.raises(ValueError, match=message):
        mutual_information(**({"X": X, "Y": Y} | kwargs))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"Z": NAN}, "Z has NaN"),
        ({"Z": CONSTANT}, "Z is constant"),
        ({"Z": Z[:90]}, "X has 100, Y has 100, Z has 90 rows"),
        ({"method": "club"}, "method='club' is unknown"),
        (
            {"negatives": "all"},
            "negatives='all' is unknown; choose one of 'residuals', 'neighbors'",
        ),
        ({"negatives": "neighbors", "n_neighbors": 40}, "need at least 205: each fold holds"),
        ({"hidden_dims": 64}, "hidden_dims=64 has to be a sequence"),
        ({"method": "gaussian", "X": Z}, "linear function of the others"),
    ],
)
def test_conditional_mutual_information(kwargs, message):
    with pytest.raises(ValueError, match=message):
        conditional_mutual_information(**({"X": X, "Y": Y, "Z": Z} | kwargs))


def test_text_and_containers():
    with pytest.raises(TypeError, match="X cannot be read as an array of real numbers"):
        mutual_information(np.array(["a", "b"] * 50), Y)
    with pytest.raises(TypeError, match=r"X is a Modalities container.*X\['eeg'\]"):
        mutual_information(Modalities(eeg=X), Y)


@pytest.mark.parametrize("wrap", [pd.DataFrame, np.ndarray.tolist, lambda a: a.astype(np.float32)])
def test_takes_what_becomes_an_array(wrap):
    found = mutual_information(wrap(X), wrap(Y), method="gaussian")
    assert found == pytest.approx(mutual_information(X, Y, method="gaussian"), abs=1e-5)


def test_rows_may_be_numbers():
    columns = mutual_information(X[:, :1], Y[:, :1], method="ksg")
    assert mutual_information(pd.Series(X[:, 0]), Y[:, 0], method="ksg") == columns


def test_a_constant_that_is_only_rounding():
    jitter = 1e8 + 1e-7 * RNG.normal(size=100)
    with pytest.raises(ValueError, match="constant"):
        mutual_information(X, jitter, method="gaussian")
