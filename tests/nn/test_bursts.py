import numpy as np
import pytest
import scipy.linalg
import scipy.signal
import torch

from mmcontrast.nn import SpectralFeatures
from mmcontrast.nn._bursts import BurstFilters
from mmcontrast.nn._features import FixedFeatures

N_CHANNELS, N_TIMES = 6, 400


def noise(n_rows, n_channels=N_CHANNELS):
    """White noise that is mixed over the channels."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(n_channels, n_channels))
    x = mixing @ rng.normal(size=(n_rows, n_channels, N_TIMES))
    return torch.tensor(x, dtype=torch.float32)


def with_bursts(n_rows):
    """Noise with bursts of one rhythm that have one topography, and the log power of each."""
    rng = np.random.default_rng(1)
    pattern = rng.normal(size=N_CHANNELS)
    power = rng.uniform(-1.5, 1.5, n_rows)
    start = rng.integers(100, 200, n_rows)
    t = np.arange(N_TIMES)
    envelope = np.exp(-0.5 * ((t - start[:, None] - 60) / 20) ** 2)
    rhythm = np.sin(2 * np.pi * 0.4 * t + rng.uniform(0, 6, (n_rows, 1)))
    burst = np.exp(power / 2)[:, None] * envelope * rhythm
    x = noise(n_rows).numpy() + pattern[:, None] * burst[:, None]
    return torch.tensor(x, dtype=torch.float32), power


def slow_filters(x, spectral, band):
    """The definition, a window at a time, and SciPy's generalised eigenvectors."""
    step, width = max(1, spectral.window // 4), spectral.window
    inside = spectral.bands[:, band].numpy() > 0
    hann = scipy.signal.windows.hann(width, sym=False)
    burst, everywhere = np.zeros((2, x.shape[1], x.shape[1]))
    for trial in x.double().numpy():
        covariances = []
        for start in range(0, trial.shape[1] - width + 1, step):
            window = trial[:, start : start + width]
            spectrum = np.fft.rfft((window - window.mean(1, keepdims=True)) * hann)[:, inside]
            covariances.append((spectrum @ spectrum.conj().T).real)
        power = np.array([np.diag(c) for c in covariances])
        burst += covariances[(power / power.mean(0)).sum(1).argmax()]
        everywhere += sum(covariances)
    scale = np.sqrt(np.diag(everywhere))
    burst, everywhere = (c / np.outer(scale, scale) for c in (burst, everywhere))
    vectors = scipy.linalg.eigh(burst, everywhere + 0.05 * np.eye(len(burst)))[1]
    return vectors[:, ::-1] / scale[:, None]


def fitted(x, n_filters=2, batch=7):
    """Spectral features, and filters of x."""
    spectral = SpectralFeatures(x.shape[1:])
    filters = BurstFilters(x.shape[1], spectral.bands, spectral.n_steps, n_filters)
    filters.fit(spectral.spectrum(part) for part in x.split(batch))
    return spectral, filters


def power_of(x, spectral, filters):
    return filters(spectral.spectrum(x))


@pytest.mark.parametrize("n_channels", [2, 5])
def test_filters_are_those_of_the_definition(n_channels):
    x = noise(20, n_channels)
    spectral, filters = fitted(x, n_filters=2)
    for band, found in enumerate(filters.filters.double().numpy()):
        expected = slow_filters(x, spectral, band)[:, :2]
        signs = np.sign((found * expected).sum(0))
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found * signs / scale, expected / scale, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("spoilt", ["", "loud", "noisy"])
def test_a_weak_burst_is_told_by_one_filter_better_than_by_any_channel(spoilt):
    """Also of trials that were not in the fit, and if a channel is loud or tells nothing."""
    x, power = with_bursts(600)
    if spoilt == "loud":
        x[:, 0] *= 100
    if spoilt == "noisy":
        x[:, 0] += 100 * torch.randn(x[:, 0].shape, generator=torch.manual_seed(0))
    spectral, filters = fitted(x[:300])
    x, power = x[300:], power[300:]

    def best(features):
        maxima = features.amax(-1).numpy()
        return max(np.corrcoef(column, power)[0, 1] for column in maxima.T)

    assert best(power_of(x, spectral, filters)) > best(spectral(x)[:, N_CHANNELS:]) + 0.1


def test_units_of_a_channel_do_not_matter():
    x = with_bursts(60)[0]
    units = 1e-6 * torch.tensor([0.1, 1.0, 10.0, 1.0, 1.0, 0.1])[:, None]
    torch.testing.assert_close(
        *(power_of(z, *fitted(z)) for z in (x, units * x)), atol=1e-2, rtol=1e-3
    )


def test_the_order_of_rows_and_chunks_does_not_matter():
    x = with_bursts(60)[0]
    first, second = fitted(x)[1], fitted(x.flip(0), batch=60)[1]
    scale = first.filters.abs().max()
    same = ((f.filters / scale).abs() for f in (first, second))
    torch.testing.assert_close(*same, atol=1e-4, rtol=1e-3)


def test_a_row_is_the_same_in_every_batch():
    x = with_bursts(33)[0]
    own = fitted(x)
    parts = [power_of(part, *own) for part in x.split(5)]
    assert torch.equal(torch.cat(parts), power_of(x, *own))


@pytest.mark.parametrize("flat", ["one", "all"])
def test_flat_channels_give_finite_filters(flat):
    x = noise(10)
    x[:, 0 if flat == "one" else slice(None)] = 0.0
    assert power_of(x, *fitted(x)).isfinite().all()


def test_fixed_features_have_them_for_several_channels_with_bands():
    def n_rows(shape):
        return FixedFeatures(shape).output_shape[0], SpectralFeatures(shape).output_shape[0]

    assert n_rows((3, 200)) == (18 + 5 * 2, 18)  # two in each of five bands
    assert n_rows((6, 400)) == (36 + 5 * 2, 36)
    assert n_rows((1, 200)) == (6, 6)
    assert n_rows((3, 20)) == (3, 3)


def test_the_summary_tells_weak_bursts():
    x, power = with_bursts(300)
    features = FixedFeatures(x.shape[1:])
    features.prepare(x)
    kinds = features.summary(features(x)).split([p.n_components for p in features.components], 1)
    told = [max(abs(np.corrcoef(column, power)[0, 1]) for column in z.T.numpy()) for z in kinds]
    assert told[-1] > max(told[:-1]) + 0.05


def test_bursts_are_summed_up_by_their_maxima_and_apart():
    features = FixedFeatures((N_CHANNELS, N_TIMES))
    features.prepare(noise(60))
    x = torch.randn(20, *features.output_shape, generator=torch.manual_seed(0))
    burst = x.clone()
    burst[:, -1, 5] += 8
    burst[:, -1, 40] -= 8
    sizes = [part.n_components for part in features.components]
    before, after = (features.summary(z).split(sizes, dim=1) for z in (x, burst))
    for kind, changed in zip(before[:-1], after[:-1], strict=True):
        assert torch.equal(kind, changed)
    assert (after[-1] - before[-1]).abs().amax() > 0.1
