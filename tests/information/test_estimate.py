import copy
import csv
import io
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcontrast.information import Estimate

numbers = st.floats(-50, 50)


def make(value=2.0, **changed):
    return Estimate(value, **({"stderr": 0.1, "kind": "lower bound", "ceiling": 5.0} | changed))


@given(a=numbers, b=numbers)
def test_computes_like_its_value(a, b):
    x = make(a)
    assert x == a and x + b == a + b and b - x == b - a and (x < b) == (a < b)
    assert hash(x) == hash(a) and x.value == a and type(x.value) is float
    assert f"{x:.3e}" == f"{a:.3e}" and round(x, 2) == round(a, 2)
    assert np.mean([x, make(b)]) == np.mean([a, b])


@given(value=numbers, stderr=st.floats(0, 5))
def test_units_convert_there_and_back(value, stderr):
    nats = make(value, stderr=stderr)
    bits = nats.to("bits")
    assert bits == pytest.approx(value / math.log(2))
    assert bits.stderr == pytest.approx(stderr / math.log(2))
    assert bits.ceiling == pytest.approx(5 / math.log(2))
    assert (bits.unit, bits.kind) == ("bits", "lower bound")
    back = bits.to("nats")
    assert back == pytest.approx(value) and back.stderr == pytest.approx(stderr)


@pytest.mark.parametrize(
    "copier", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_copies_keep_everything(copier):
    x = make(unit="bits", method="club", converged=False)
    y = copier(x)
    assert type(y) is Estimate and y == x and vars(y) == vars(x)


def test_says_what_it_is():
    assert repr(make()) == "Estimate(2.000 ± 0.100 nats, lower bound, ceiling 5.000)"
    assert "ceiling" not in repr(make(ceiling=None))


@given(value=numbers)
def test_text_is_that_of_the_value(value):
    x, row = make(value), io.StringIO()
    csv.writer(row).writerow([x])
    assert str(x) == f"{x}" == "%s" % x == format(x, "") == str(value)  # noqa: UP031
    assert float(row.getvalue()) == value


def test_unknown_unit():
    with pytest.raises(ValueError, match=r"unit='shannon' is unknown; choose 'nats' or 'bits'"):
        make().to("shannon")
