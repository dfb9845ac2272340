"""The network that says when something happens, and windows with known offsets."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_FIRST_KERNEL, _KERNEL, _POOL = 21, 9, 5
# so many kernels, of the first layer and of the others, fit into a window
_FIRST_SHARE, _SHARE = 6, 12
_FLOOR = 1e-3


class Crops(NamedTuple):
    """Windows that can be cut out of a row, at whole steps: the first begins at step 0.

    Parameters
    ----------
    n_starts : int
        Number of steps at which a window can begin.
    n_times : int
        Steps of a window.
    sfreq : float
        Sampling rate in Hz.
    """

    n_starts: int
    n_times: int
    sfreq: float

    def offsets(self, starts: Tensor) -> Tensor:
        """Seconds by which windows are later than the one in the middle."""
        return (starts - (self.n_starts - 1) / 2) / self.sfreq

    def starts(self, offset: float) -> int:
        """Step of the window that begins next to this offset."""
        start = round(offset * self.sfreq + (self.n_starts - 1) / 2)
        return min(max(start, 0), self.n_starts - 1)

    def draw(self, n_rows: int, generator: torch.Generator | None) -> Tensor:
        """Random steps (n_rows,) at which to begin."""
        return torch.randint(self.n_starts, (n_rows,), generator=generator)

    def cut(self, x: Tensor, starts: Tensor | int) -> Tensor:
        """Windows (n_rows, n_channels, n_times) of sequences."""
        if isinstance(starts, int):
            return x[..., starts : starts + self.n_times]
        rows = torch.arange(len(x), device=x.device)
        return x.unfold(2, self.n_times, 1)[rows, :, starts.to(x.device)]


class EventTimeNet(nn.Module):
    """Convolutions that give each time of a window a score for being the time of the event.

    Convolutions see the same at all times, so their scores move with the signal. They are circular
    and short against the window, and the middle of the window is a little likelier than its ends:
    otherwise times could be told by the distance from an edge, or from beyond it. The amplitude of
    a window, and the mean of each of its channels, are taken away.

    Parameters
    ----------
    n_channels : int
        Channels of the sequences.
    crops : Crops
        The windows.
    hidden_dim : int
        Filters of each layer.
    resolution : float
        Steps between scores in seconds, as far as the sampling rate allows.
    """

    times: Tensor
    prior: Tensor

    def __init__(
        self, n_channels: int, crops: Crops, *, hidden_dim: int, resolution: float
    ) -> None:
        super().__init__()
        n_times = crops.n_times
        stride = max(1, min(round(resolution * crops.sfreq), n_times))
        n_scores = (n_times - 1) // stride + 1
        kernel = min(_KERNEL, _odd(n_scores / _SHARE))
        self._pool = min(_POOL, kernel)
        self.normalise = nn.BatchNorm1d(n_channels, affine=False)
        self.filters = _circular(
            n_channels, hidden_dim, min(_FIRST_KERNEL, _odd(n_times / _FIRST_SHARE)), stride
        )
        self.normalise_filters = nn.BatchNorm1d(2 * hidden_dim)
        self.mix = _layer(2 * hidden_dim, hidden_dim, kernel)
        self.refine = _layer(hidden_dim, hidden_dim, kernel)
        self.score = nn.Conv1d(hidden_dim, 1, 1)
        steps = torch.arange(n_scores) * stride
        #: Seconds from the middle of the window to each score.
        self.register_buffer("times", (steps - (n_times - 1) / 2) / crops.sfreq)
        place = (steps + 0.5) / n_times
        self.register_buffer("prior", torch.sin(torch.pi * place).log())

    def forward(self, x: Tensor) -> Tensor:
        """Scores (n_rows, n_scores) of windows (n_rows, n_channels, n_times)."""
        x = x - x.mean(2, keepdim=True)
        size = x.square().mean((1, 2), keepdim=True).sqrt()
        x = self.normalise(x / size.clamp(min=torch.finfo(x.dtype).tiny))
        h = self.filters(x)
        # waveforms, and the power of rhythms whose phase says nothing
        power = F.pad(h * h, (self._pool // 2, self._pool // 2), mode="circular")
        power = (F.avg_pool1d(power, self._pool, 1) + _FLOOR).log()
        h = self.mix(self.normalise_filters(torch.cat([h, power], 1)))
        return self.score(h + self.refine(h))[:, 0] + self.prior


def _circular(n_in: int, n_out: int, kernel: int, stride: int = 1) -> nn.Conv1d:
    """A convolution that sees no edges: zeros beyond them would betray where it is."""
    return nn.Conv1d(
        n_in, n_out, kernel, stride=stride, padding=kernel // 2, padding_mode="circular"
    )


def _layer(n_in: int, n_out: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(_circular(n_in, n_out, kernel), nn.BatchNorm1d(n_out), nn.GELU())


def _odd(limit: float) -> int:
    """The largest odd number up to a limit, at least 1."""
    return max(1, 2 * int((limit + 1) // 2) - 1)


def mean_and_variance(log_weights: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
    """Moments (n_rows,) of densities over times, from unnormalised logarithms."""
    weights = log_weights.softmax(1)
    mean = (weights * times).sum(1)
    return mean, (weights * (times - mean[:, None]).square()).sum(1)
