"""Spatial filters that show bursts of a rhythm, learned without labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from .spectral import log_over_time

# of the variance of a channel, on the diagonal of what the bursts are compared with
_SHRINKAGE = 0.05
# a channel that has less power than this, relative to the strongest, is not blown up
_LEAST_POWER = 1e-8


class BurstFilters(nn.Module):
    """Log power in bands of mixtures of channels, in which bursts stand out most.

    At one channel the power is that of a burst and of everything else; its logarithm hardly tells
    weak bursts apart. The filters of a band are the first generalised eigenvectors of two
    covariances of the channels: that in the window of each trial in which they have most power,
    each relative to its own mean over the trial, and that in all windows. They are the mixtures
    with the greatest ratio of the two. Channels count alike, whatever their units or their noise.

    Parameters
    ----------
    n_channels : int
        Channels of a trial.
    bands : Tensor of shape (n_frequencies, n_bands)
        Not zero where a frequency belongs to a band.
    n_steps : int
        Times of the features.
    n_filters : int, default=2
        Filters of each band; `n_channels` at most.

    References
    ----------
    A. de Cheveigné and L. C. Parra. "Joint decorrelation, a versatile tool for multichannel data
    analysis", NeuroImage 98, 2014.
    """

    inside: Tensor
    filters: Tensor

    def __init__(self, n_channels: int, bands: Tensor, n_steps: int, n_filters: int = 2) -> None:
        super().__init__()
        self.n_steps = n_steps
        n_filters = min(n_filters, n_channels)
        self.register_buffer("inside", bands.T.repeat(1, 2) > 0, persistent=False)
        self.register_buffer("filters", torch.zeros(bands.shape[1], n_channels, n_filters))

    @property
    def n_features(self) -> int:
        """Number of features at each time."""
        return self.filters.shape[0] * self.filters.shape[2]

    def fit(self, spectra: Iterable[Tensor]) -> None:
        """Learn the filters from batches of spectra, as ``forward`` is given them."""
        n_bands, n_channels, n_filters = self.filters.shape
        total = self.filters.new_zeros(2, n_bands, n_channels, n_channels, dtype=torch.float64)
        for spectrum in spectra:
            for band, part in enumerate(self._in_bands(spectrum)):
                total[:, band] += _covariances(part)
        for band, (burst, everywhere) in enumerate(zip(*total, strict=True)):
            self.filters[band] = _greatest_ratio(burst, everywhere)[:, :n_filters]

    def forward(self, spectrum: Tensor) -> Tensor:
        """Log power (batch, n_bands * n_filters, n_steps), band by band.

        Parameters
        ----------
        spectrum : Tensor of shape (batch, n_channels, n_frames, 2 * n_frequencies)
        """
        power = [
            torch.einsum("ncfq,ck->nkfq", part, own.to(part.dtype)).square().sum(-1)
            for part, own in zip(self._in_bands(spectrum), self.filters, strict=True)
        ]
        return log_over_time(torch.cat(power, dim=1), self.n_steps)

    def _in_bands(self, spectrum: Tensor) -> Iterator[Tensor]:
        return (spectrum[..., inside] for inside in self.inside)


def _covariances(part: Tensor) -> Tensor:
    """Sums of products of channels in the strongest window of each trial, and in all windows."""
    part = part.double()
    power = part.square().sum(3)
    tiny = torch.finfo(power.dtype).tiny
    strongest = (power / power.mean(2, keepdim=True).clamp(min=tiny)).sum(1).argmax(1)
    burst = part[torch.arange(len(part), device=part.device), :, strongest]
    of_bursts = torch.einsum("ncq,ndq->cd", burst, burst)
    return torch.stack([of_bursts, torch.einsum("ncfq,ndfq->cd", part, part)])


def _greatest_ratio(first: Tensor, second: Tensor) -> Tensor:
    """Columns v in falling order of v'first v / v'second v, with all of the diagonal alike."""
    variances = second.diagonal()
    largest = variances.max()
    least = torch.where(largest > 0, _LEAST_POWER * largest, torch.ones_like(largest))
    scale = variances.clamp(min=least).rsqrt()
    first, second = (scale[:, None] * c * scale for c in (first, second))
    second = second + _SHRINKAGE * torch.eye(len(second), dtype=second.dtype, device=second.device)
    root = torch.linalg.cholesky(second)
    half = torch.linalg.solve_triangular(root, first, upper=False)
    whitened = torch.linalg.solve_triangular(root, half.T, upper=False)
    vectors = torch.linalg.eigh((whitened + whitened.T) / 2)[1].flip(1)
    return scale[:, None] * torch.linalg.solve_triangular(root.T, vectors, upper=True)
