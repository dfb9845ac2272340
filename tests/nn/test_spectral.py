import numpy as np
import pytest
import torch

from mmcontrast.nn import PooledConvEncoder, SpectralEncoder, SpectralFeatures, build_encoder
from mmcontrast.nn._features import FixedFeatures, PrincipalComponents
from mmcontrast.nn.spectral import RunningScaler


def test_time_course_is_the_mean_of_stretches():
    x = torch.randn(3, 2, 40)
    features = SpectralFeatures((2, 40), n_steps=10)(x)[:, :2]
    expected = x.numpy().reshape(3, 2, 10, 4).mean(-1)
    np.testing.assert_allclose(features, expected, atol=1e-6)


def test_power_is_in_the_band_of_the_rhythm_and_at_its_time():
    features = SpectralFeatures((1, 640), n_steps=32, n_bands=4, n_windows=16)
    frequencies = np.arange(features.window // 2 + 1) / features.window
    t = torch.arange(640)
    for band, weights in enumerate(features.bands.T):
        inside = frequencies[weights.numpy() > 0]
        frequency = inside[len(inside) // 2]
        burst = torch.sin(2 * np.pi * frequency * t) * ((t >= 400) & (t < 520))
        power = features(1e-6 * burst[None, None] + 1e-9 * torch.randn(1, 1, 640))[0, 1:]
        assert power.amax(1).argmax() == band
        assert 400 <= 640 / 32 * (int(power[band].argmax()) + 0.5) <= 520


def test_power_follows_the_square_of_the_amplitude():
    x = torch.randn(2, 3, 200, generator=torch.Generator().manual_seed(0))
    features = SpectralFeatures((3, 200))
    gained = features(1e3 * x)[:, 3:] - features(x)[:, 3:]
    np.testing.assert_allclose(gained, 2 * np.log(1e3), rtol=1e-3)


def test_short_sequences_have_no_bands():
    features = SpectralFeatures((2, 20))
    assert features.output_shape == (2, 20)
    x = torch.randn(3, 2, 20)
    torch.testing.assert_close(features(x), x)
    with pytest.raises(ValueError, match="of 20 samples are too short"):
        features.spectrum(x)


def test_units_do_not_matter():
    x = torch.randn(16, 3, 200, generator=torch.Generator().manual_seed(0))
    outputs = []
    for scale in (1.0, 1e-6, 1e4):
        torch.manual_seed(0)
        outputs.append(SpectralEncoder((3, 200), 8)(scale * x))
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(outputs[0], outputs[2], atol=1e-3, rtol=1e-3)


def test_scaler_learns_the_statistics_of_all_rows_and_nothing_in_evaluation():
    x = 3 + 5 * torch.randn(50, 4, 7, generator=torch.Generator().manual_seed(0))
    scaler = RunningScaler([4])
    for part in x.split([10, 15, 25]):
        scaler(part)
    scaled = scaler.eval()(x)
    np.testing.assert_allclose(scaled.mean((0, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std((0, 2), unbiased=False), 1, atol=1e-5)
    scaler(100 * x)
    torch.testing.assert_close(scaler(x), scaled)


def test_a_flat_channel_is_not_blown_up():
    x = torch.randn(50, 2, 7)
    x[:, 1] = 7.0 + 1e-7 * torch.randn(50, 7)
    assert RunningScaler([2])(x)[:, 1].abs().max() < 0.1


def test_pooled_convolution_reads_amplitude_wherever_an_event_is():
    torch.manual_seed(0)
    encoder = PooledConvEncoder((1, 60), 8).eval()
    torch.nn.init.zeros_(encoder.where.weight)
    torch.nn.init.eye_(encoder.where.weight[..., 0])
    bump = torch.exp(-0.5 * ((torch.arange(60.0) - 20) / 3) ** 2)[None, None]
    early, late = (torch.roll(bump, shift, -1) for shift in (0, 15))
    pooled = []
    encoder.pooled_norm.register_forward_hook(lambda *given: pooled.append(given[1][0][0]))
    for x in (early, late, 2 * early):
        encoder(x)
    statistics = slice(0, 64)  # mean and maximum
    torch.testing.assert_close(pooled[0][statistics], pooled[1][statistics], atol=1e-5, rtol=0)
    assert (pooled[0] - pooled[2])[statistics].abs().max() > 0.05
    where = slice(96, 128)
    assert (pooled[0] - pooled[1])[where].abs().max() > 1e-3


def test_registered_by_name():
    assert isinstance(build_encoder("spectral", (3, 100), 8, modality="eeg"), SpectralEncoder)


@pytest.mark.parametrize("make", [SpectralFeatures, PooledConvEncoder])
def test_other_shapes_are_refused(make):
    with pytest.raises(ValueError, match="n_channels, n_times"):
        make((5,))


def test_even_kernels_are_refused():
    with pytest.raises(ValueError, match="kernel_size=4 has to be odd"):
        PooledConvEncoder((2, 30), kernel_size=4)


def test_principal_components_agree_with_scikit_learn():
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 6)) @ rng.normal(size=(6, 6)) + 3
    components = PrincipalComponents(6, 3)
    components.fit(torch.tensor(x))
    found = components(torch.tensor(x)).numpy()
    scaled = StandardScaler().fit_transform(x)
    reference = PCA(3).fit(scaled)
    expected = reference.transform(scaled)
    expected /= expected.std(0)
    np.testing.assert_allclose(np.abs((found * expected).mean(0)), 1, atol=1e-4)
    shares = reference.explained_variance_ / reference.explained_variance_.sum()
    np.testing.assert_allclose(components.share, shares, atol=1e-4)


def test_fixed_features_of_vectors_are_standardised():
    x = 5 + 2 * torch.randn(100, 4)
    features = FixedFeatures((4,))
    features.prepare(x)
    assert features.n_seen == 100
    np.testing.assert_allclose(features(x).mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(features.summary(features(x)).std(0), 1, atol=0.02)
    raw = FixedFeatures((4,), standardise=False)
    raw.prepare(x)
    torch.testing.assert_close(raw(x), x)
    torch.testing.assert_close(raw.summary(x), features.summary(features(x)))


def test_kinds_of_features_are_summed_up_apart():
    """What shows in the maxima alone changes none of the components of the means."""
    generator = torch.Generator().manual_seed(0)
    features = FixedFeatures((3, 200))
    features.prepare(torch.randn(100, 3, 200, generator=generator))
    x = torch.randn(20, *features.output_shape, generator=generator)
    burst = x.clone()
    burst[:, 0, 5] += 8
    burst[:, 0, 40] -= 8
    sizes = [part.n_components for part in features.components]
    before, after = (features.summary(z).split(sizes, dim=1) for z in (x, burst))
    torch.testing.assert_close(after[0], before[0], atol=1e-4, rtol=0)
    assert (after[1] - before[1]).abs().amax() > 0.1
