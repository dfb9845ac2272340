"""Augmentation of EEG and fNIRS against closed forms and scipy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import interp1d
from scipy.signal import welch
from scipy.stats import kstest, uniform

from mmcontrast.augmentation import (
    BandSNR,
    Drift,
    FourierSurrogate,
    HRFJitter,
    MotionSpikes,
    make_augmentation,
)
from mmcontrast.augmentation._neuro_checks import CANONICAL_BANDS
from mmcontrast.preprocessing.band_power import CANONICAL_BANDS as BANDS_OF_BAND_POWER

SEEDS = st.integers(0, 10_000)
ALL = [
    BandSNR(100, p=1.0),
    FourierSurrogate(p=1.0),
    FourierSurrogate(independent_channels=True, p=1.0),
    HRFJitter(100, p=1.0),
    Drift(p=1.0),
    Drift("sinusoid", sfreq=100, periods=(1, 2), p=1.0),
    MotionSpikes(100, p=1.0),
]
PADDABLE = [a for a in ALL if not isinstance(a, FourierSurrogate)]

every = pytest.mark.parametrize("augmentation", ALL, ids=lambda a: type(a).__name__)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed))


# ------------------------------------------------------------------------- all
@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_shape_dtype_and_input_are_kept_and_the_seed_decides(augmentation, dtype):
    x = noise(6, 3, 200).to(dtype)
    before = x.clone()
    first, second, other = (augmentation(x, generator=seeded(s)) for s in (1, 1, 2))
    assert (first.shape, first.dtype) == (x.shape, dtype)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(x, before)
    assert first.isfinite().all()


@every
def test_rows_differ_and_p_and_strength_decide_whether(augmentation):
    x = noise(1, 2, 100).expand(400, -1, -1)
    half = augmentation.__class__(**{**augmentation.get_params(), "p": 0.5})
    changed = (half(x, generator=seeded()) != x).flatten(1).any(1)
    assert abs(changed.float().mean() - 0.5) < 0.1
    assert len(augmentation(x, generator=seeded()).flatten(1).unique(dim=0)) > 300
    assert augmentation(x, strength=0.0) is x
    assert augmentation(x[:0]).shape == (0, 2, 100)


@every
def test_weaker_changes_less(augmentation):
    x = noise(300, 2, 100).cumsum(2)  # so slow that a shift shows how far it goes
    changes = [
        (augmentation(x, strength=s, generator=seeded()) - x).square().mean() for s in (0.1, 1.0)
    ]
    assert 0 < changes[0] < 0.2 * changes[1]


@pytest.mark.parametrize("augmentation", PADDABLE, ids=lambda a: type(a).__name__)
def test_padding_stays_and_does_not_matter(augmentation):
    x = noise(20, 2, 60)
    lengths = torch.arange(20) * 3
    padded = (torch.arange(60) >= lengths[:, None])[:, None].expand_as(x)
    outputs = [
        augmentation(torch.where(padded, value, x), lengths=lengths, generator=seeded())
        for value in (1e6, 0.0)
    ]
    assert (outputs[0][padded] == 1e6).all()
    assert torch.equal(outputs[0][~padded], outputs[1][~padded])


@every
def test_bad_input_is_refused(augmentation):
    with pytest.raises(ValueError, match="3 dimensions"):
        augmentation(torch.ones(4, 5))
    with pytest.raises(TypeError, match="floating point"):
        augmentation(torch.ones(4, 2, 5, dtype=torch.int64))


@pytest.mark.parametrize(
    "augmentation", [BandSNR(), HRFJitter(), MotionSpikes(), Drift("sinusoid")]
)
def test_a_missing_sampling_rate_is_asked_for_and_the_modality_named(augmentation):
    with pytest.raises(ValueError, match=r"modality 'eeg'.*sampling rate.*sfreq= in Hz"):
        make_augmentation(eeg=augmentation)({"eeg": noise(3, 2, 50)})


@pytest.mark.parametrize(
    ("augmentation", "message"),
    [
        (BandSNR(-1), "'sfreq' parameter of BandSNR"),
        (BandSNR(100, bands={}), "at least one band"),
        (BandSNR(100, bands={"high": (60, 70)}), "'high' from 60 to 70 Hz holds none"),
        (BandSNR(100, bands={"thin": (10.1, 10.2)}), "'thin'.*holds none.*2 Hz apart"),
        (BandSNR(100, bands={"odd": (12, 8)}), "'odd' has to be a pair"),
        (BandSNR(100, bands={"odd": 8}), "'odd' has to be a pair"),
        (BandSNR(1), "none of the canonical bands"),
        (Drift(order=0), "'order' parameter of Drift"),
        (Drift("linear"), "'kind' parameter of Drift"),
        (Drift("sinusoid", sfreq=10, periods=(5, 2)), "periods as a pair"),
        (Drift("sinusoid", sfreq=10, periods=(1, 2, 3)), "periods as a pair"),
        (MotionSpikes(10, step_prob=2), "'step_prob' parameter of MotionSpikes"),
        (HRFJitter(10, max_gain=-1), "'max_gain' parameter of HRFJitter"),
        (FourierSurrogate(max_phase=-1), "'max_phase' parameter of FourierSurrogate"),
    ],
)
def test_bad_parameters_are_refused(augmentation, message):
    with pytest.raises(ValueError, match=message):
        augmentation.set_params(p=1.0)(noise(3, 2, 50))


# --------------------------------------------------------------------- BandSNR
def test_the_bands_are_those_of_band_power():
    assert CANONICAL_BANDS == BANDS_OF_BAND_POWER


def band_power(x, low, high, sfreq):
    freqs, density = welch(x.numpy(), sfreq, nperseg=sfreq, axis=-1)
    return density[..., (freqs >= low) & (freqs < high)].sum(-1)


def test_only_one_band_changes_and_by_the_same_gain_in_all_channels():
    sfreq, bands = 200, {"alpha": (8, 12), "beta": (16, 30)}
    x = noise(60, 3, 2000)
    y = BandSNR(sfreq, bands, max_change=10, p=1.0)(x, generator=seeded())
    inner = {"alpha": (9, 12), "beta": (18, 29), "rest": (40, 90)}  # inside of Welch's leakage
    gains = {
        name: 10 * np.log10(band_power(y, *edges, sfreq) / band_power(x, *edges, sfreq))
        for name, edges in inner.items()
    }
    assert np.abs(gains["rest"]).max() < 0.05
    moved = np.abs(np.stack([gains["alpha"].mean(1), gains["beta"].mean(1)]))
    assert (moved.min(0) < 0.3).all()  # one of them
    assert moved.max() < 10.3
    assert moved.max(0).mean() == pytest.approx(5, abs=1)  # the mean of |U(-10, 10)|
    for name in bands:
        assert np.ptp(gains[name], axis=1).max() < 1


@pytest.mark.parametrize("n_times", [400, 401])
def test_a_sinusoid_in_the_band_is_scaled_and_one_outside_stays(n_times):
    t = torch.arange(n_times, dtype=torch.float64) * 100 / n_times / 100
    inside, outside = (torch.sin(2 * np.pi * n * t).expand(5, 1, -1) for n in (10, 20))
    augment = BandSNR(n_times, {"alpha": (8, 12)}, max_change=20, p=1.0)
    change = augment(inside + outside, generator=seeded()) - outside
    factor = change[:, 0, 5] / inside[:, 0, 5]
    torch.testing.assert_close(change, factor[:, None, None] * inside)
    assert (20 * factor.log10()).abs().max() <= 20
    assert len(factor.unique()) == 5


# ------------------------------------------------------------ FourierSurrogate
@given(st.integers(1, 65), st.booleans(), st.floats(0.1, 4), SEEDS)
def test_amplitude_spectra_are_kept(n_times, independent, max_phase, seed):
    x = noise(4, 3, n_times, seed=seed).double()
    augment = FourierSurrogate(max_phase, independent_channels=independent, p=1.0)
    y = augment(x, generator=seeded(seed))
    before, after = torch.fft.rfft(x), torch.fft.rfft(y)
    torch.testing.assert_close(after.abs(), before.abs(), atol=1e-5, rtol=1e-5)
    angle = (after / before).angle().abs()
    assert angle.max() <= min(max_phase, np.pi) + 1e-4
    cross = [spectrum[:, :1] * spectrum[:, 1:].conj() for spectrum in (before, after)]
    if not independent:
        torch.testing.assert_close(cross[1], cross[0], atol=1e-4, rtol=1e-4)
    elif n_times > 4:
        assert (cross[1] - cross[0]).abs().max() > 1e-3


def test_full_phases_leave_nothing_of_the_waveform():
    x = torch.sin(torch.arange(100.0) / 4).expand(2000, 1, -1) * torch.linspace(1, 0, 100)
    y = FourierSurrogate(np.pi, p=1.0)(x, generator=seeded())
    freed = y - y.mean(2, keepdim=True)
    assert freed.mean(0).abs().max() < 0.1 * x.std()


def test_padded_sequences_have_no_spectrum():
    with pytest.raises(ValueError, match="padded"):
        FourierSurrogate(p=1.0)(noise(3, 2, 9), lengths=torch.tensor([9, 5, 9]))


# ------------------------------------------------------------------- HRFJitter
@given(st.floats(0, 3), st.integers(2, 40), SEEDS)
def test_shifts_are_those_of_linear_interpolation(max_shift, n_times, seed):
    sfreq, clock = 4.0, torch.arange(n_times, dtype=torch.float64).expand(5, 1, -1)
    values = noise(5, 2, n_times, seed=seed).double()
    augment = HRFJitter(sfreq, max_shift=max_shift, max_gain=0.0, p=1.0)
    read_at = augment(clock, generator=seeded(seed))[:, 0]
    shifted = augment(values, generator=seeded(seed))
    middle = (read_at > 0) & (read_at < n_times - 1)
    shift = (clock[:, 0] - read_at) / sfreq
    assert (shift.abs()[middle] <= max_shift + 1e-5).all()
    for row in range(5):
        expected = interp1d(np.arange(n_times), values[row].numpy())(read_at[row].numpy())
        np.testing.assert_allclose(shifted[row].numpy(), expected, atol=1e-5)


def test_positive_and_negative_shifts_and_gains_are_equally_likely():
    peak = torch.exp(-((torch.arange(200.0) - 100) ** 2) / 200).expand(800, 1, -1)
    y = HRFJitter(10, max_shift=2.0, max_gain=0.5, p=1.0)(peak, generator=seeded())[:, 0]
    height, when = y.max(1)
    assert abs(when.float().mean() - 100) < 1.5
    assert 118 <= when.max() <= 120
    assert abs(height.log().mean()) < 0.02
    assert height.max() == pytest.approx(1.5, abs=0.02)
    assert height.min() == pytest.approx(1 / 1.5, abs=0.02)


def test_shifts_are_not_whole_steps():
    clock = torch.arange(30.0).expand(500, 1, -1)
    shift = HRFJitter(1.0, 5.0, 0.0, p=1.0)(clock, generator=seeded())[:, 0, 15] - 15
    assert kstest(shift.numpy(), uniform(-5, 10).cdf).pvalue > 0.01
    assert len((shift % 1).unique()) > 300


# ----------------------------------------------------------------------- Drift
@pytest.mark.parametrize("order", [1, 2, 4])
def test_polynomials_are_of_this_degree_and_size(order):
    x = noise(500, 2, 300)
    drift = Drift(sigma=0.7, order=order, p=1.0)(x, scale=3.0, generator=seeded()) - x
    rms = drift.square().mean(2)
    assert rms.mean().sqrt() == pytest.approx(0.7 * 3, rel=0.1)
    flat = drift.reshape(-1, 300).double().numpy().T
    clock = np.linspace(-1, 1, 300)
    residual = np.polynomial.legendre.legfit(clock, flat, order, full=True)[1][0]
    assert residual.max() < 1e-6
    below = np.polynomial.legendre.legfit(clock, flat, order - 1, full=True)[1][0]
    assert below.max() > 1
    assert drift.mean(2).abs().max() < 0.05 * drift.abs().max()


def test_sinusoids_have_periods_of_the_range():
    drift = Drift("sinusoid", sfreq=10, periods=(5.0, 10.0), p=1.0)(
        torch.zeros(50, 2, 4000), generator=seeded()
    )
    freqs, density = welch(drift.numpy(), 10, nperseg=4000)
    peaks = freqs[density.argmax(-1)]
    assert peaks.min() > 1 / 10.2
    assert peaks.max() < 1 / 4.9
    assert (peaks[:, 0] == peaks[:, 1]).all()
    assert np.ptp(peaks) > 0.05
    assert drift.square().mean().sqrt() == pytest.approx(0.5, rel=0.2)


# ---------------------------------------------------------------- MotionSpikes
def test_steps_stay_and_spikes_decay_at_the_same_time_in_all_channels():
    x = torch.zeros(400, 3, 100)
    kwargs = {"max_events": 1, "amplitude": 2.0, "p": 1.0}
    steps = MotionSpikes(10, step_prob=1.0, **kwargs)(x, scale=5.0, generator=seeded())
    for row in steps[:20]:
        onset = int((row != 0).float().argmax(1)[0])
        assert (row[:, :onset] == 0).all()
        torch.testing.assert_close(row[:, onset:], row[:, onset:][:, :1].expand(3, 100 - onset))
    assert 9.5 < steps.abs().max() <= 10
    assert (steps[..., -1].sign().unique()).numel() == 2
    assert (steps[..., -1].sign().std(1) == 0).all()
    spikes = MotionSpikes(10, step_prob=0.0, duration=0.7, **kwargs)(x, generator=seeded())
    onset = (spikes != 0).float().argmax(2)[:, 0]
    early = onset < 50
    ratio = [spikes[torch.arange(400), 0, onset.clamp(max=92) + k][early] for k in (0, 7)]
    torch.testing.assert_close(ratio[1] / ratio[0], torch.full_like(ratio[0], np.exp(-1)))


def test_there_are_from_one_to_so_many_events():
    x = torch.zeros(3000, 1, 1000)
    y = MotionSpikes(1000, max_events=3, step_prob=1.0, p=1.0)(x, generator=seeded())
    n_jumps = (y.diff(dim=2, prepend=torch.zeros(3000, 1, 1)).abs() > 1e-6).sum(2)
    share = [float((n_jumps == n).float().mean()) for n in (1, 2, 3)]
    np.testing.assert_allclose(share, 1 / 3, atol=0.04)
