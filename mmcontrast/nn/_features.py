"""Fixed features of a modality, and the few numbers that sum them up."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._bursts import BurstFilters
from .encoders import MLPEncoder
from .spectral import PooledConvEncoder, RunningScaler, SpectralFeatures

# of one kind of features, and of each of several
_N_COMPONENTS = 32
_N_OF_KIND = 16
_COARSE_STEPS = 8
# of the spread of the first component; others would blow up what is rounding
_LEAST_SPREAD = 1e-4
# rows whose statistics are learned at once, and values: spectra take several times the memory
_CHUNK, _CHUNK_VALUES = 256, 2**22
# columns that products are padded to a multiple of
_EVEN = 16


class FixedFeatures(nn.Module):
    """Standardised features of raw rows, and their summary by principal components.

    Sequences have :class:`SpectralFeatures` and, of several channels, the power of
    :class:`BurstFilters`; all else has its own values.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of one row.
    standardise : bool, default=True
        Whether the encoder reads the features; otherwise it is given raw rows, and only the
        summary is of the features.
    """

    components: Any
    spectral: Any
    bursts: Any

    def __init__(self, input_shape: Sequence[int], *, standardise: bool = True) -> None:
        super().__init__()
        self.input_shape = tuple(input_shape)
        self.standardise = standardise
        self.spectral = SpectralFeatures(input_shape) if len(input_shape) == 2 else None
        self.bursts = _burst_filters(self.spectral) if self.spectral else None
        kinds: Sequence[int] = self.spectral.blocks if self.spectral else self.input_shape[:1]
        if self.bursts:
            kinds = (*kinds, self.bursts.n_features)
        steps = (self.spectral.n_steps,) if self.spectral else self.input_shape[1:]
        shape = self._feature_shape = (sum(kinds), *steps)
        self.scaler = RunningScaler(kinds)
        sizes = [math.prod(x.shape[1:]) for x in self._blocks(torch.zeros(1, *shape))]
        n_components = _N_COMPONENTS if len(sizes) == 1 else _N_OF_KIND
        self.components = nn.ModuleList(PrincipalComponents(size, n_components) for size in sizes)

    @property
    def n_seen(self) -> Tensor:
        """Rows that the statistics are of."""
        return self.scaler.n_seen

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of a row that the encoder is given."""
        return self._feature_shape if self.standardise else self.input_shape

    @property
    def encoder(self) -> str | Callable[..., nn.Module]:
        """Encoder that reads the features."""
        if len(self._feature_shape) == 3:
            return "cnn"
        return PooledConvEncoder if self.spectral else _batch_normalised_mlp

    @property
    def n_summary(self) -> int:
        """Number of columns of the summary."""
        return sum(part.n_components for part in self.components)

    def forward(self, x: Tensor) -> Tensor:
        """What the encoder is given of raw rows (batch, *input_shape)."""
        return self._standardised(x) if self.standardise else x

    def summary(self, x: Tensor) -> Tensor:
        """Principal components (batch, n_summary) of what ``forward`` returned, of variance 1."""
        x = x if self.standardise else self._standardised(x)
        parts = zip(self.components, self._blocks(x), strict=True)
        return torch.cat([part(block.flatten(1)) for part, block in parts], dim=1)

    @property
    def weights(self) -> Tensor:
        """Share of each column of the summary in it, (n_summary,); they sum to 1."""
        shares = torch.cat([part.share for part in self.components])
        return shares / shares.sum().clamp(min=1e-12)

    def prepare(self, x: Tensor) -> None:
        """Learn statistics and principal components from raw rows."""
        size = max(1, min(_CHUNK, _CHUNK_VALUES // math.prod(x.shape[1:])))
        chunks = x.split(size)
        if self.bursts:
            self.bursts.fit(self.spectral.spectrum(chunk) for chunk in chunks)
        raw = [self._raw(chunk) for chunk in chunks]
        for chunk in raw:
            self.scaler.learn(chunk)
        blocks: list[list[Tensor]] = [[] for _ in self.components]
        for chunk in raw:
            for found, block in zip(blocks, self._blocks(self._scaled(chunk)), strict=True):
                found.append(block.flatten(1))
        for part, found in zip(self.components, blocks, strict=True):
            part.fit(torch.cat(found))

    def _raw(self, x: Tensor) -> Tensor:
        if not self.bursts:
            return x if self.spectral is None else self.spectral(x)
        spectrum = self.spectral.spectrum(x)
        power = [self.spectral.log_power(spectrum), self.bursts(spectrum)]
        return torch.cat([self.spectral.course(x), *power], dim=1)

    def _standardised(self, x: Tensor) -> Tensor:
        return self._scaled(self._raw(x))

    def _scaled(self, x: Tensor) -> Tensor:
        """Features with the mean 0 and the variance 1, of which nothing is learned here."""
        learning, self.scaler.training = self.scaler.training, False
        x = self.scaler(x)
        self.scaler.training = learning
        return x

    def _blocks(self, x: Tensor) -> list[Tensor]:
        """What is summed up, kind by kind: three statistics over time, a coarse course, bursts.

        Each kind has components of its own: a burst that shows in the maxima would not be among
        those of all statistics.
        """
        if x.ndim == 3:
            bursts = []
            if self.bursts:
                n_plain = x.shape[1] - self.bursts.n_features
                bursts = [x[:, n_plain:].amax(-1)]
                x = x[:, :n_plain]
            mean = x.mean(-1)
            # several times faster than torch's std; the values are standardised
            spread = (x.square().mean(-1) - mean.square()).clamp(min=0).sqrt()
            steps = min(x.shape[-1], max(_COARSE_STEPS, 512 // x.shape[1]))
            return [mean, x.amax(-1), spread, F.adaptive_avg_pool1d(x, steps), *bursts]
        return [F.adaptive_avg_pool2d(x, 8) if x.ndim == 4 else x]


class PrincipalComponents(nn.Module):
    """First principal components, of variance 1, and their share in the variance.

    Parameters
    ----------
    n_features : int
        Columns.
    n_components : int, default=32
        Most components.
    """

    mean: Tensor
    basis: Tensor
    share: Tensor

    def __init__(self, n_features: int, n_components: int = _N_COMPONENTS) -> None:
        super().__init__()
        self.n_components = min(n_features, n_components)
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("basis", torch.zeros(n_features, self.n_components))
        self.register_buffer("share", torch.zeros(self.n_components))

    def fit(self, x: Tensor) -> None:
        """Learn from rows (n_rows, n_features), whose columns are standardised first."""
        x = x.double()
        self.mean.copy_(x.mean(0))
        spread = x.std(0, unbiased=False)
        spread = spread.clamp(min=float(_LEAST_SPREAD * spread.max()) or 1.0)
        x = (x - x.mean(0)) / spread
        values, vectors = torch.linalg.eigh(x.T @ x / len(x))
        values = values.flip(0)[: self.n_components].clamp(min=0)
        vectors = vectors.flip(1)[:, : self.n_components]
        # the sign of an eigenvector is anybody's
        vectors = vectors * vectors.gather(0, vectors.abs().argmax(0)[None]).sign()
        real = values > _LEAST_SPREAD**2 * values[:1]
        scale = torch.where(real, values.rsqrt(), torch.zeros_like(values))
        self.basis.copy_(vectors / spread[:, None] * scale)
        self.share.copy_(values * real / values.sum().clamp(min=1e-12))

    def forward(self, x: Tensor) -> Tensor:
        """Components (n_rows, n_components)."""
        return even_product(x - self.mean.to(x.dtype), self.basis.to(x.dtype))


def even_product(x: Tensor, matrix: Tensor, bias: Tensor | None = None) -> Tensor:
    """Product of rows with a matrix, whose rounding does not depend on the place of a row."""
    n = matrix.shape[1]
    found = (x @ F.pad(matrix, (0, -n % _EVEN)))[:, :n]
    return found if bias is None else found + bias


def _burst_filters(spectral: SpectralFeatures) -> BurstFilters | None:
    """Filters of several channels that have bands."""
    n_channels = spectral.input_shape[0]
    if not spectral.window or n_channels == 1:
        return None
    return BurstFilters(n_channels, spectral.bands, spectral.n_steps)


def _batch_normalised_mlp(input_shape: Sequence[int], embed_dim: int, **options: Any) -> MLPEncoder:
    return MLPEncoder(input_shape, embed_dim, batch_norm=True, **options)
