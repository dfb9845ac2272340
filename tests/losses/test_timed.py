import numpy as np
import pytest
import torch

from mmcontrast.losses import BalancedObjective, HybridObjective, TimedObjective, TimingObjective
from mmcontrast.nn import View

SHAPES, RATES = {"a": (2, 80), "b": (3, 40)}, {"a": 10.0, "b": 5.0}
WINDOWS = {"a": (2, 60), "b": (3, 30)}


def make_view(n=20, seed=0, **presence):
    rng = torch.Generator().manual_seed(seed)
    values = {name: torch.randn(n, *shape, generator=rng) for name, shape in SHAPES.items()}
    return View(values, {name: torch.tensor(mask) for name, mask in presence.items()})


def make(kind=BalancedObjective):
    torch.manual_seed(0)
    timing = TimingObjective(SHAPES, RATES, margin=1.0, hidden_dim=4)
    objective = TimedObjective(kind(WINDOWS, code_dim=4, embed_dim=8), timing)
    objective.prepare(make_view(60, seed=1))
    return objective.eval()


@pytest.mark.parametrize("kind", [BalancedObjective, HybridObjective])
def test_the_loss_is_that_of_the_windows_and_of_the_times(kind):
    objective, view = make(kind), make_view()
    found = objective([], view)
    windows = View({"a": view.values["a"][:, :, 10:-10], "b": view.values["b"][:, :, 5:-5]})
    expected = objective.decomposition([], windows)["loss"] + objective.timing([view])["loss"]
    torch.testing.assert_close(found["loss"], expected)
    assert list(found) == objective.term_names
    total = sum(found[name] for name in objective.term_names[1:-1])
    torch.testing.assert_close(found["loss"].detach(), total)


def test_features_beside_rows_give_the_same_loss():
    objective, view = make(), make_view()
    expected = objective([], view)["loss"]
    features = objective.compute_features(view)
    assert not set(features.values) & set(view.values)
    objective.takes_features = True
    assert objective.decomposition.takes_features
    both = View({**view.values, **features.values})
    torch.testing.assert_close(objective([], both)["loss"], expected)


def test_settling_calibrates_centres_and_standardises():
    objective, twin = make(), make()
    view = make_view(50)
    objective.settle([view])
    twin.decomposition.settle([twin.timing.crop(view)])
    twin.timing.eval().calibrate(view)
    torch.testing.assert_close(objective.timing.slopes, twin.timing.slopes)
    assert not torch.equal(objective.timing.slopes, torch.ones(3))
    times = objective.timing.event_times(view)
    torch.testing.assert_close(times.first.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    column = objective.encode(view)["S"][:, -1]
    torch.testing.assert_close(column.mean(), torch.tensor(0.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(column.std(unbiased=False), torch.tensor(1.0), atol=1e-3, rtol=0)
    torch.testing.assert_close(column * objective.delay_scale + objective.delay_mean, times.delay)


def test_rows_without_a_modality_settle_and_encode_nothing():
    objective = make()
    here = np.arange(20) < 12
    view = make_view(b=here)
    objective.settle([view])
    some = View({name: x[torch.tensor(here)] for name, x in view.values.items()})
    alone = make()
    alone.settle([some])
    torch.testing.assert_close(objective.delay_scale, alone.delay_scale)
    found = objective.encode(view)["S"]
    assert not found[~torch.tensor(here)].any()
    torch.testing.assert_close(found[torch.tensor(here), -1], objective.encode(some)["S"][:, -1])
    assert "S" not in objective.encode(View({"a": view.values["a"]}))


def test_what_it_needs():
    with pytest.raises(ValueError, match="needs the un-augmented view"):
        make()([], None)
    timing = TimingObjective({"x": (2, 80), "b": (3, 40)}, {"x": 10.0, "b": 5.0}, margin=1.0)
    with pytest.raises(ValueError, match="decomposition is of .*'a'.*times are of .*'x'"):
        TimedObjective(BalancedObjective(WINDOWS), timing)
