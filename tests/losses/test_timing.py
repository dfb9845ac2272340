"""The timing objective against slow references, closed forms and laws."""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch.nn.functional import cross_entropy

from mmcontrast.losses import TimingObjective
from mmcontrast.losses._timing_network import EventTimeNet, mean_and_variance
from mmcontrast.nn import View

SHAPES = {"eeg": (3, 120), "fnirs": (4, 60)}
SFREQ = {"eeg": 10.0, "fnirs": 5.0}


@pytest.fixture
def make():
    def make(**options):
        torch.manual_seed(0)
        return TimingObjective(SHAPES, SFREQ, 1.0, **{"hidden_dim": 4, **options})

    return make


def view_of(n=6, seed=0, shapes=SHAPES, **parts):
    generator = torch.Generator().manual_seed(seed)
    values = {k: torch.randn(n, *shape, generator=generator) for k, shape in shapes.items()}
    return View(values, **parts)


class Peak(torch.nn.Module):
    """Stands in for a trained network: the score is the first channel, times a scale."""

    def __init__(self, times, scale):
        super().__init__()
        self.times, self.scale = times, scale

    def forward(self, x):
        return self.scale * x[:, 0]


def bumps(when, shapes=SHAPES, n_channels=1, width=0.3):
    """View whose modalities have a bump of height 1 at given seconds after the middle of a row."""
    values = {}
    for name, (_, n_times) in shapes.items():
        t = (torch.arange(n_times) - (n_times - 1) / 2) / SFREQ[name]
        bump = torch.exp(-0.5 * ((t - torch.as_tensor(when[name])[:, None]) / width) ** 2)
        values[name] = bump[:, None].expand(-1, n_channels, -1).contiguous()
    return View(values)


def with_peaks(objective, scale=20.0):
    """The steps of the networks are those of the data here."""
    objective.networks = torch.nn.ModuleList(Peak(net.times, scale) for net in objective.networks)
    return objective


# ---------------------------------------------------------------------- windows
@pytest.mark.parametrize("offset", [0.0, 0.4, -1.0])
def test_windows_are_slices_at_the_offset(make, offset):
    view = view_of()
    cut = make().crop(view._replace(values={**view.values, "age": torch.zeros(6, 2)}), offset)
    for name, rate in SFREQ.items():
        first = round((1 + offset) * rate)
        expected = view.values[name][..., first : first + SHAPES[name][1] - round(2 * rate)]
        assert torch.equal(cut.values[name], expected)
    assert cut.values["age"].shape == (6, 2)


def test_offsets_of_random_windows_are_theirs(make):
    crops = make().crops["eeg"]
    clock = ((torch.arange(120) - 59.5) / 10).expand(500, 1, -1)
    starts = crops.draw(500, torch.Generator().manual_seed(0))
    middle = crops.cut(clock, starts).mean((1, 2))
    torch.testing.assert_close(middle, crops.offsets(starts), atol=1e-5, rtol=0)
    assert middle.min() == pytest.approx(-1, abs=1e-5)
    assert middle.max() == pytest.approx(1, abs=1e-5)


# ---------------------------------------------------------------------- network
@pytest.mark.parametrize(("n_times", "resolution"), [(100, 0.1), (61, 0.3), (1, 0.1), (4, 9.0)])
def test_scores_move_with_the_signal(n_times, resolution):
    torch.manual_seed(0)
    crops = TimingObjective(
        {"a": (2, n_times + 2), "b": (2, n_times + 2)}, {"a": 10.0, "b": 10.0}, 0.1
    ).crops["a"]
    net = EventTimeNet(2, crops, hidden_dim=3, resolution=resolution).eval()
    x = torch.randn(5, 2, n_times)
    stride = max(1, min(round(resolution * 10), n_times))
    if n_times % stride == 0:
        own, moved = (net(v) - net.prior for v in (x, x.roll(stride, 2)))
        torch.testing.assert_close(moved, own.roll(1, 1))
    torch.testing.assert_close(net(7 * x + 3), net(x), atol=1e-4, rtol=1e-4)
    assert net(x * 1e-12).isfinite().all()
    expected = (np.arange(0, n_times, stride) - (n_times - 1) / 2) / 10
    np.testing.assert_allclose(net.times, expected, atol=1e-6)


def test_moments_are_those_of_the_density():
    times, weights = torch.linspace(-3, 3, 601), torch.tensor([[0.5], [-1.0]])
    mean, variance = mean_and_variance(-0.5 * ((times - weights) / 0.2) ** 2, times)
    torch.testing.assert_close(mean, weights[:, 0], atol=1e-4, rtol=0)
    torch.testing.assert_close(variance, torch.full((2,), 0.04), atol=1e-4, rtol=0)


# ------------------------------------------------------------------------- loss
def test_the_loss_is_that_of_its_definition(make):
    """Against double sums over the times of both windows, one pair of rows at a time."""
    objective = with_peaks(make(equivariance=0.7), 3.0).eval()
    with torch.no_grad():
        objective.shift.fill_(0.06)
        objective.log_spread.fill_(-0.05)
    n, (a, b) = 5, objective.networks
    view = view_of(n)
    found = objective([view])
    scores, offsets = objective._score_random_crops([view.values[k] for k in objective.names])
    p, q = (s[:n].detach().double().softmax(1).numpy() for s in scores)
    width = np.hypot(objective._width, objective.spread.item())
    logits = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            t = (a.times + offsets[0][i]).numpy()[:, None]
            s = (b.times + offsets[1][j]).numpy() - objective.lag.item()
            logits[i, j] = np.log((p[i][:, None] * q[j] * norm.pdf(s - t, scale=width)).sum())
    own, logits = torch.arange(n), torch.tensor(logits)
    expected = 0.5 * (cross_entropy(logits, own) + cross_entropy(logits.T, own))
    # the grid ends where the rows of the first modality do
    assert found["agreement"].item() == pytest.approx(expected.item(), abs=0.02)
    changes = []
    for k, rate in enumerate(SFREQ.values()):
        times = (scores[k].softmax(1) @ objective.networks[k].times + offsets[k]).detach().numpy()
        o = np.arange(-rate, rate + 1) / rate
        expected_square = np.square(o[:, None] - o).mean()
        changes.append(np.square(times[: len(times) - n] - times[n:]).mean() / expected_square)
    assert found["equivariance"].item() == pytest.approx(0.7 * np.mean(changes), rel=1e-4)
    total = found["agreement"] + found["equivariance"]
    assert found["loss"].item() == pytest.approx(total.item(), rel=1e-6)
    assert list(found) == list(objective.term_names)


def test_the_loss_is_low_for_times_that_are_right_and_high_for_others(make):
    when = torch.linspace(-2, 2, 40)
    view = bumps({"eeg": when, "fnirs": when})
    losses = {}
    for kind, scale in (("right", 20.0), ("flat", 0.0), ("mirrored", -20.0)):
        objective = with_peaks(make(), scale).eval()
        with torch.no_grad():
            objective.log_spread.fill_(-0.3)
        losses[kind] = objective([view])
    # the second modality's steps are .2 s apart
    assert losses["right"]["equivariance"] < 0.01
    assert losses["flat"]["equivariance"].item() == pytest.approx(1, abs=0.3)
    assert losses["mirrored"]["equivariance"] > 1
    assert losses["right"]["agreement"] < 0.6 * losses["flat"]["agreement"]
    assert losses["right"]["loss"] < losses["mirrored"]["loss"] - 1


def test_evaluation_repeats_itself_and_training_does_not(make):
    objective, view = make(), view_of(20)
    evaluated = [objective.eval()([view])["loss"].item() for _ in range(2)]
    assert evaluated[0] == evaluated[1]
    trained = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        trained.append(objective.train()([view])["loss"].item())
    assert trained[0] == pytest.approx(trained[1], abs=1e-6)
    assert trained[0] != trained[2]


def test_every_parameter_learns(make):
    objective = make()
    objective([view_of(20)])["loss"].backward()
    silent = [k for k, p in objective.named_parameters() if p.grad is None or not p.grad.any()]
    # the density is the same for any constant, and what follows a norm forgets one
    assert {k.rsplit(".", 1)[1] for k in silent} <= {"bias"}


# -------------------------------------------------------------- rows that lack something
def test_rows_without_both_modalities_do_not_matter(make):
    objective = make().eval()
    presence = {"fnirs": torch.tensor([True, True, False, True, True, False])}
    view = view_of(6, presence=presence)
    kept = View({k: x[presence["fnirs"]] for k, x in view.values.items()})
    torch.testing.assert_close(objective([view])["loss"], objective([kept])["loss"])
    nobody = view._replace(presence={"fnirs": torch.arange(6) == 0})
    terms = objective([nobody])
    assert terms["loss"] == 0
    assert terms["agreement"].isnan()
    terms["loss"].backward()


# ------------------------------------------------------------------ event times
def test_times_are_those_of_the_events(make):
    first = torch.tensor([-1.0, 0.3, 0.8])
    delay = torch.tensor([0.4, -0.2, 0.6])
    objective = with_peaks(make()).eval()
    found = objective.event_times(bumps({"eeg": first, "fnirs": first + delay}, width=0.2))
    torch.testing.assert_close(found.first, first, atol=0.05, rtol=0)
    torch.testing.assert_close(found.delay, delay, atol=0.1, rtol=0)
    torch.testing.assert_close(found.delay, found.second - found.first)
    columns = objective.encode(bumps({"eeg": first, "fnirs": first + delay}, width=0.2))
    torch.testing.assert_close(columns, torch.stack(list(found), 1))


def test_the_second_modality_says_which_of_two_candidates_it_is(make):
    objective = with_peaks(make(n_crops=1)).eval()
    with torch.no_grad():
        objective.log_spread.fill_(-0.3)
    when = torch.tensor([-1.5, 1.5])
    two = sum(bumps({"eeg": w, "fnirs": w}).values["eeg"] for w in (when, -when))
    view = View({"eeg": two, "fnirs": bumps({"eeg": when, "fnirs": when}).values["fnirs"]})
    alone = objective.event_times(View({"eeg": two}))
    assert alone.first.abs().max() < 0.1
    assert (alone.delay == 0).all()
    both = objective.event_times(view)
    torch.testing.assert_close(both.first, when, atol=0.1, rtol=0)
    absent = objective.event_times(view._replace(presence={"fnirs": torch.tensor([True, False])}))
    assert absent.first[0] == both.first[0]
    assert absent.first[1] == alone.first[1]


def test_uncertainty_is_the_width_of_the_densities(make):
    found = []
    for width in (0.3, 0.6):
        objective = with_peaks(make(n_crops=1)).eval()
        when = torch.zeros(2)
        view = bumps({"eeg": when, "fnirs": when}, width=width)
        found.append(objective.event_times(view).uncertainty)
    assert (found[1] > 1.2 * found[0]).all()


def test_the_zeros_can_be_moved_and_moving_them_adds_up(make):
    objective, view = make().eval(), view_of()
    before = objective.event_times(view)
    for _ in range(2):
        objective.centre(torch.tensor([0.5, -1.0]))
    after = objective.event_times(view)
    torch.testing.assert_close(after.first, before.first - 1)
    torch.testing.assert_close(after.second, before.second + 2)
    torch.testing.assert_close(after.delay, before.delay + 3)


class Shrunk(Peak):
    """A network whose times change by less than the event does."""

    def forward(self, x):
        # a flat floor below the peak, whose mean is the middle
        return (super().forward(x).softmax(1) + 0.3 / x.shape[-1]).log()


@pytest.mark.parametrize("which", [0, 1])
def test_calibration_undoes_what_networks_shrink(make, which):
    objective = with_peaks(make()).eval()
    shrunk = objective.networks[which]
    objective.networks[which] = Shrunk(shrunk.times, shrunk.scale)
    with torch.no_grad():
        objective.log_spread.fill_(0.5)  # so wide that it refines nothing
    event, delay = (torch.linspace(-0.8, 0.8, 30).roll(k) for k in (0, 11))
    view = bumps({"eeg": event, "fnirs": event + 0.5 * delay}, width=0.2)
    before = objective.event_times(view)
    objective.calibrate(view)
    after = objective.event_times(view)
    true = (event, event + 0.5 * delay)[which]

    def slope(times):
        return np.polyfit(true, times[which].detach(), 1)[0]

    assert slope(before) == pytest.approx(1 / 1.3, abs=0.02)
    assert slope(after) == pytest.approx(1, abs=0.03)
    if which == 1:
        assert objective.slopes[0].item() == pytest.approx(1, abs=0.02)
        assert objective.slopes[2].item() == pytest.approx(1 / 1.3, abs=0.02)


# ------------------------------------------------------------------------ refusals
@pytest.mark.parametrize(
    ("shapes", "margin", "message"),
    [
        ({"a": (2, 9)}, 1.0, "two modalities, found 1: 'a'"),
        ({"a": (2, 9), "b": (9,)}, 0.2, r"modality 'b' has rows of shape \(9,\)"),
        ({"a": (2, 9), "b": (2, 9)}, 0.0, "modality 'a' has no margin"),
        ({"a": (2, 90), "b": (2, 9)}, 1.0, "modality 'b': a margin of 1 s on both sides leaves"),
    ],
)
def test_what_has_no_times_is_refused(shapes, margin, message):
    with pytest.raises(ValueError, match=message):
        TimingObjective(shapes, dict.fromkeys(shapes, 5.0), margin)


def test_padded_rows_are_refused(make):
    view = view_of(lengths={"fnirs": torch.full((6,), 50)})
    for use in (lambda: make()([view]), lambda: make().encode(view)):
        with pytest.raises(ValueError, match="modality 'fnirs' is padded"):
            use()
