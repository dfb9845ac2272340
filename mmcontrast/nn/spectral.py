"""Fixed features of sequences, time course and log power over time, and an encoder on top."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .converters import check_positive_int, check_shape

__all__ = ["PooledConvEncoder", "SpectralEncoder", "SpectralFeatures"]

# of a signal in volts, power is about 1e-12; float32 ends at 1e-38
_SMALLEST_POWER = 1e-30
# a channel that varies less than this, relative to the others of its kind, is not blown up
_LEAST_SPREAD = 1e-4
_POSITION_SHARPNESS = 3.0
_SHORTEST_WINDOW = 8


class SpectralFeatures(nn.Module):
    """Low-passed time course and log power in bands, of every channel; nothing is learned.

    The time course is the mean over each of `n_steps` equal stretches of time. Power is that of
    short windows, each without its mean and tapered by a Hann window, in bands up to the Nyquist
    frequency whose edges are equally spaced on a logarithmic axis, interpolated to the same
    `n_steps` times. No sampling rate is needed. Sequences too short for windows of eight samples
    have no bands.

    Parameters
    ----------
    input_shape : tuple of int
        (n_channels, n_times).
    n_steps : int, default=64
        Times of the features, or `n_times` if that is less.
    n_bands : int, default=6
        Bands; those without a frequency of the window in them are left out.
    n_windows : int, default=17
        Windows that would fill the time side by side; each overlaps by three quarters with the
        next.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import SpectralFeatures
    >>> features = SpectralFeatures((16, 700))
    >>> features.window, features(torch.randn(4, 16, 700)).shape
    (41, torch.Size([4, 112, 64]))
    """

    fourier: Tensor
    bands: Tensor

    def __init__(
        self,
        input_shape: Sequence[int],
        *,
        n_steps: int = 64,
        n_bands: int = 6,
        n_windows: int = 17,
    ) -> None:
        super().__init__()
        self.input_shape = check_shape("input_shape", input_shape)
        if len(self.input_shape) != 2:
            raise ValueError(
                "spectral features are those of rows of shape (n_channels, n_times), got "
                f"{self.input_shape}"
            )
        n_channels, n_times = self.input_shape
        self.n_steps = min(check_positive_int("n_steps", n_steps), n_times)
        check_positive_int("n_bands", n_bands)
        #: Samples in a window of the power; 0 if there is none.
        self.window = n_times // check_positive_int("n_windows", n_windows)
        self.window = self.window if self.window >= _SHORTEST_WINDOW else 0
        bands = _band_weights(self.window, n_bands) if self.window else torch.zeros(0, 0)
        self.register_buffer("fourier", _tapered_fourier(self.window), persistent=False)
        self.register_buffer("bands", bands, persistent=False)
        #: Numbers of rows of the two kinds: time courses and log powers.
        self.blocks = (n_channels, n_channels * bands.shape[1])

    @property
    def output_shape(self) -> tuple[int, int]:
        """Shape of the features of one row."""
        return sum(self.blocks), self.n_steps

    def forward(self, x: Tensor) -> Tensor:
        """Compute the features.

        Parameters
        ----------
        x : Tensor of shape (batch, n_channels, n_times)

        Returns
        -------
        Tensor of shape (batch, n_channels * (1 + n_bands), n_steps)
            First the time courses, then the log powers channel by channel.
        """
        if not self.window:
            return self.course(x)
        return torch.cat([self.course(x), self.log_power(self.spectrum(x))], dim=1)

    def course(self, x: Tensor) -> Tensor:
        """Mean over each stretch of time.

        Parameters
        ----------
        x : Tensor of shape (batch, n_channels, n_times)

        Returns
        -------
        Tensor of shape (batch, n_channels, n_steps)
        """
        return F.adaptive_avg_pool1d(_floating(x), self.n_steps)

    def spectrum(self, x: Tensor) -> Tensor:
        """Spectra of the windows.

        Parameters
        ----------
        x : Tensor of shape (batch, n_channels, n_times)

        Returns
        -------
        Tensor of shape (batch, n_channels, n_frames, 2 * n_frequencies)
            Real, then imaginary parts.

        Raises
        ------
        ValueError
            If sequences are too short for windows.
        """
        if not self.window:
            raise ValueError(
                f"sequences of {self.input_shape[1]} samples are too short for windows"
            )
        frames = _floating(x).unfold(-1, self.window, max(1, self.window // 4))
        return (frames - frames.mean(-1, keepdim=True)) @ self.fourier.to(frames.dtype)

    def log_power(self, spectrum: Tensor) -> Tensor:
        """Log power in each band over time.

        Parameters
        ----------
        spectrum : Tensor of shape (batch, n_channels, n_frames, 2 * n_frequencies)

        Returns
        -------
        Tensor of shape (batch, n_channels * n_bands, n_steps)
            Channel by channel.
        """
        power = spectrum.square() @ self.bands.to(spectrum.dtype).repeat(2, 1)
        return log_over_time(power.transpose(2, 3).flatten(1, 2), self.n_steps)


def log_over_time(power: Tensor, n_steps: int) -> Tensor:
    """Logarithm of power (batch, n_rows, n_frames), interpolated to (batch, n_rows, n_steps)."""
    return F.interpolate(power.clamp(min=_SMALLEST_POWER).log(), size=n_steps, mode="linear")


class PooledConvEncoder(nn.Module):
    """Convolution over time and statistics over time of what it finds.

    A linear map of the channels, a convolution with batch normalisation and ReLU, and of each of
    its filters the mean, the maximum and the spread over time, where it is (the expected time
    under a softmax of a mixture of the filters) and its mean there; then a linear map. Amplitude
    and latency of an event are read wherever it occurs.

    Parameters
    ----------
    input_shape : tuple of int
        (n_channels, n_times).
    embed_dim : int, default=64
        Width of the output.
    n_filters : int, default=32
        Filters of the convolution.
    kernel_size : int, default=7
        Their length; an odd number.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import PooledConvEncoder
    >>> PooledConvEncoder((16, 60), embed_dim=32)(torch.randn(4, 16, 60)).shape
    torch.Size([4, 32])
    """

    times: Tensor

    def __init__(
        self,
        input_shape: Sequence[int],
        embed_dim: int = 64,
        *,
        n_filters: int = 32,
        kernel_size: int = 7,
    ) -> None:
        super().__init__()
        self.input_shape = check_shape("input_shape", input_shape)
        if len(self.input_shape) != 2:
            raise ValueError(
                f"rows have to be of shape (n_channels, n_times), got {self.input_shape}"
            )
        self.embed_dim = check_positive_int("embed_dim", embed_dim)
        check_positive_int("n_filters", n_filters)
        if check_positive_int("kernel_size", kernel_size) % 2 == 0:
            raise ValueError(f"kernel_size={kernel_size} has to be odd")
        n_channels, n_times = self.input_shape
        self.spatial = nn.Conv1d(n_channels, n_filters, 1, bias=False)
        self.spatial_norm = nn.BatchNorm1d(n_filters)
        self.temporal = nn.Conv1d(
            n_filters, n_filters, kernel_size, padding=kernel_size // 2, bias=False
        )
        self.temporal_norm = nn.BatchNorm1d(n_filters)
        self.where = nn.Conv1d(n_filters, n_filters, 1)
        self.pooled_norm = nn.BatchNorm1d(5 * n_filters)
        self.output = nn.Linear(5 * n_filters, embed_dim)
        self.register_buffer("times", torch.linspace(-1, 1, n_times), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Encode.

        Parameters
        ----------
        x : Tensor of shape (batch, n_channels, n_times)

        Returns
        -------
        Tensor of shape (batch, embed_dim)
        """
        x = self.temporal(self.spatial_norm(self.spatial(x)))
        x = torch.relu(self.temporal_norm(x))
        weights = torch.softmax(_POSITION_SHARPNESS * self.where(x), dim=-1)
        mean = x.mean(-1)
        # several times faster than torch's var
        spread = (x.square().mean(-1) - mean.square()).clamp(min=0).add(1e-6).sqrt()
        pooled = [mean, x.amax(-1), spread, (weights * self.times).sum(-1)]
        pooled.append((weights * x).sum(-1))
        return self.output(self.pooled_norm(torch.cat(pooled, dim=1)))


class SpectralEncoder(nn.Module):
    """Convolution over the time course and the log power of every channel.

    It reads what the mean over tokens of a convolutional encoder has to learn first: amplitude and
    latency of evoked responses, and band power. The features are standardised by their statistics
    over the training rows seen so far, so that input in volts needs no scaling.

    Parameters
    ----------
    input_shape : tuple of int
        (n_channels, n_times).
    embed_dim : int, default=64
        Width of the output.
    n_steps, n_bands, n_windows : int, default=64, 6, 17
        See :class:`SpectralFeatures`.
    n_filters, kernel_size : int, default=32, 7
        See :class:`PooledConvEncoder`.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import SpectralEncoder
    >>> SpectralEncoder((16, 300), embed_dim=32)(1e-6 * torch.randn(4, 16, 300)).shape
    torch.Size([4, 32])
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        embed_dim: int = 64,
        *,
        n_steps: int = 64,
        n_bands: int = 6,
        n_windows: int = 17,
        n_filters: int = 32,
        kernel_size: int = 7,
    ) -> None:
        super().__init__()
        self.features = SpectralFeatures(
            input_shape, n_steps=n_steps, n_bands=n_bands, n_windows=n_windows
        )
        self.scaler = RunningScaler(self.features.blocks)
        self.conv = PooledConvEncoder(
            self.features.output_shape, embed_dim, n_filters=n_filters, kernel_size=kernel_size
        )

    def forward(self, x: Tensor) -> Tensor:
        """Encode.

        Parameters
        ----------
        x : Tensor of shape (batch, n_channels, n_times)

        Returns
        -------
        Tensor of shape (batch, embed_dim)
        """
        return self.conv(self.scaler(self.features(x)))


class RunningScaler(nn.Module):
    """Standardises channels by their mean and spread over all rows and times seen in training.

    Unlike batch normalisation it has no constant added to the variance, which would swallow
    signals in volts: the spread is held above a small share of the largest one of its kind.

    Parameters
    ----------
    blocks : sequence of int
        Numbers of channels of one kind, side by side.
    """

    n_seen: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self, blocks: Sequence[int]) -> None:
        super().__init__()
        self.blocks = [size for size in blocks if size]
        n_channels = sum(self.blocks)
        self.register_buffer("n_seen", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(n_channels))
        self.register_buffer("variance", torch.ones(n_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Standardise, having learned from the batch if in training.

        Parameters
        ----------
        x : Tensor of shape (batch, n_channels) or (batch, n_channels, n_times)

        Returns
        -------
        Tensor of the same shape
        """
        if self.training:
            self.learn(x.detach())
        scale = _no_tiny(self.variance.sqrt(), self.blocks)
        shape = (-1, *[1] * (x.ndim - 2))
        return (x - self.mean.to(x.dtype).view(shape)) / scale.to(x.dtype).view(shape)

    def learn(self, x: Tensor) -> None:
        """Take a batch into the statistics."""
        over = [0, *range(2, x.ndim)]
        # merged as in Chan, Golub and LeVeque (1983); on the first batch all is that batch's own
        share = len(x) / (self.n_seen + len(x))
        variance, mean = x.var(over, unbiased=False), x.mean(over)
        between = (mean - self.mean).square() * share * (1 - share)
        self.variance.copy_((1 - share) * self.variance + share * variance + between)
        self.mean.copy_((1 - share) * self.mean + share * mean)
        self.n_seen += len(x)


def _floating(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _no_tiny(spread: Tensor, blocks: Sequence[int]) -> Tensor:
    """Spreads that one may divide by: none is far below the largest one of its block."""
    scales = []
    for part in spread.split(list(blocks)):
        largest = part.max()
        least = torch.where(largest > 0, _LEAST_SPREAD * largest, torch.ones_like(largest))
        scales.append(part.clamp(min=least))
    return torch.cat(scales)


def _tapered_fourier(n_times: int) -> Tensor:
    """Matrix (n_times, 2 * n_frequencies) from frames to the real and imaginary parts of spectra.

    Of frames this short the product is several times faster than an FFT.
    """
    taper = torch.hann_window(n_times, dtype=torch.float64)
    phase = torch.outer(torch.arange(n_times), torch.arange(n_times // 2 + 1)).double()
    phase = phase * (2 * math.pi / max(1, n_times))
    return (torch.cat([phase.cos(), phase.sin()], dim=1) * taper[:, None]).float()


def _band_weights(n_times: int, n_bands: int) -> Tensor:
    """Matrix (n_frequencies, n_bands) that averages the power over the frequencies of each band."""
    n_frequencies = n_times // 2 + 1
    edges = torch.logspace(math.log10(0.75), math.log10(n_frequencies), n_bands + 1)
    bins = torch.arange(n_frequencies)[:, None]
    inside = ((bins >= edges[:-1]) & (bins < edges[1:])).float()
    inside[-1, -1] = 1.0  # the Nyquist frequency
    inside = inside[:, inside.sum(0) > 0]
    return inside / inside.sum(0)
