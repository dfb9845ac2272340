import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcontrast.inspection import probe_parts, selectivity

PARTS = ["R_eeg", "R_fnirs", "U_eeg", "U_fnirs", "S"]
RIGHT = {"event": ["R_eeg", "R_fnirs"], "gamma": "U_eeg", "load": "U_fnirs", "xor": "S"}


def matrix_of(score):
    return {part: {factor: score(part, factor) for factor in RIGHT} for part in PARTS}


def is_right(part, factor):
    return part in RIGHT[factor] if isinstance(RIGHT[factor], list) else part == RIGHT[factor]


def test_identity_is_one_uniform_is_zero_and_its_reverse_minus_one():
    identity = selectivity(matrix_of(is_right), RIGHT)
    assert (identity.value, identity.right, identity.leak) == (1, 1, 0)
    assert float(selectivity(matrix_of(lambda p, f: 0.4), RIGHT)) == pytest.approx(0)
    assert float(selectivity(matrix_of(lambda p, f: not is_right(p, f)), RIGHT)) == -1


@given(st.integers(0, 2**16))
def test_equals_the_definition(seed):
    rng = np.random.default_rng(seed)
    scores = rng.uniform(-0.2, 0.8, (5, 4))
    ceilings = dict(zip(RIGHT, rng.uniform(0.5, 1, 4), strict=True))
    right, leak = [], []
    for j, factor in enumerate(RIGHT):
        share = [max(0, s) / ceilings[factor] for s in scores[:, j]]
        right.append(np.mean([s for s, p in zip(share, PARTS, strict=True) if is_right(p, factor)]))
        leak.append(
            np.mean([s for s, p in zip(share, PARTS, strict=True) if not is_right(p, factor)])
        )
    matrix = matrix_of(lambda p, f: scores[PARTS.index(p), list(RIGHT).index(f)])
    found = selectivity(matrix, RIGHT, ceilings)
    assert found.value == pytest.approx(np.mean(right) - np.mean(leak))
    assert found.right == pytest.approx(np.mean(right))
    assert found.leak == pytest.approx(np.mean(leak))


def test_ceilings_of_parts():
    found = selectivity(
        matrix_of(lambda p, f: {"R_eeg": 0.33, "R_fnirs": 0.88}.get(p, 0.44)),
        {"event": RIGHT["event"]},
        {"event": {"R_eeg": 0.66, "R_fnirs": 0.88}},
    )
    assert (found.right, found.leak) == (pytest.approx(0.75), pytest.approx(0.5))


def test_frames_and_scores_give_the_same():
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    a, b, noise = rng.normal(size=(3, 200))
    scores = probe_parts(
        {"A": a + noise, "B": b + 0.3 * a}, {"a": a, "b": b, "c": noise}, n_permutations=0,
        random_state=0,
    )  # fmt: skip
    right = {"a": "A", "b": "B"}
    found = selectivity(scores, right)
    frame = pd.DataFrame(scores.values, scores.parts, scores.factors)
    assert found.value == pytest.approx(selectivity(frame, right).value)
    assert found.low < found.value < found.high
    assert np.isnan(selectivity(frame, right).low)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parts_of_factor": {"gama": "U_eeg"}}, "Did you mean 'gamma'"),
        ({"parts_of_factor": {"gamma": "U_egg"}}, "Did you mean 'U_eeg'"),
        ({"parts_of_factor": {"gamma": PARTS}}, "5 right parts of 5"),
        ({"parts_of_factor": {"gamma": []}}, "0 right parts of 5"),
        ({"parts_of_factor": {}}, "parts_of_factor is empty"),
        ({"ceilings": {"event": 1, "load": 1, "xor": 1}}, "no entry for factor 'gamma'"),
        ({"ceilings": dict.fromkeys(RIGHT, 0)}, "has to be above 0"),
        ({"ceilings": {"event": {"R": 1}}}, "is no part"),
        ({"matrix": {"A": {"a": 1}, "B": {"b": 1}}}, "Part 'B' has scores of"),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {"matrix": matrix_of(is_right), "parts_of_factor": RIGHT} | change
    with pytest.raises(ValueError, match=message):
        selectivity(**arguments)


def test_arrays_have_no_names():
    with pytest.raises(TypeError, match="expected PartScores, a DataFrame"):
        selectivity(np.eye(4), RIGHT)
