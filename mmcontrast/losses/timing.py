"""An objective that finds out when things happen, without being told."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nn.multimodal import View
from ._common import full_precision, rows_with, zero_loss
from ._timing_network import Crops, EventTimeNet, mean_and_variance

_MAX_GRID = 256
# the mean lag moves so much faster than weights, and the trust in it is so much less than fitted
_SHIFT_SPEED, _CAUTION = 5.0, 1.5
_NO_OVERLAP = 1e-6
_ROOT = math.sqrt(2 * math.pi)
_ROWS_AT_A_TIME = 256
# a network that tells no time is not to be believed because its times are stretched
_SLOPES = (0.5, 2.0)


class EventTimes(NamedTuple):
    """Times of events in two modalities, each of shape (n_rows,) and in seconds.

    Parameters
    ----------
    first, second : Tensor of shape (n_rows,)
        When the event happens in each modality, after the middle of its row.
    delay : Tensor of shape (n_rows,)
        `second` - `first`, but for its own scale.
    uncertainty : Tensor of shape (n_rows,)
        Standard deviation that the networks give the delay.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.losses import EventTimes
    >>> first, second = torch.tensor([0.5]), torch.tensor([1.25])
    >>> EventTimes(first, second, second - first, torch.tensor([0.1])).delay
    tensor([0.7500])
    """

    first: Tensor
    second: Tensor
    delay: Tensor
    uncertainty: Tensor


class TimingObjective(nn.Module):
    r"""Networks of event times in two modalities, trained on windows with known offsets.

    From rows with a margin, a window of each modality is cut at an offset of its own. A network
    gives each time of a window a weight, its density of the time of the event; with the offset
    added it is a density :math:`p_i` of the time in the row. The event of a row happens in both
    modalities, some delay apart, so that the densities of a row are to overlap, and more than
    those of different rows:

    .. math:: S_{ij} = \log \int p_{1,i}(t)\, p_{2,j}(s)\, \mathcal N(s - t; \mu, \sigma^2)
              \, dt\, ds

    is the score of row i of the first and row j of the second modality in InfoNCE, in both
    directions; :math:`\mu` and :math:`\sigma` are learned. Within a modality, the mean times
    :math:`\bar t` from two windows of a row, offsets added, are to be the same:

    .. math:: L = \mathrm{NCE}(S) + \lambda \, \tfrac{1}{2} \sum_m
              \frac{\mathrm E \, (\bar t_m' - \bar t_m'')^2}{\mathrm E \, (o_m' - o_m'')^2}

    The second term alone would be content with any landmark that moves with the signal, and the
    first one alone with times that run backwards. Since offsets are drawn for each modality on its
    own, what does not move with the signal, such as the edges of the window, is of no use, and
    neither is what is locked to the nominal onset in one modality alone.

    Parameters
    ----------
    row_shapes : mapping of str to (int, int)
        Channels and time steps of a row of each of the two modalities, margins included.
    sfreq : mapping of str to float
        Sampling rate of each modality in Hz.
    margin : float
        Seconds on each side of the window; twice as many are left over.
    hidden_dim : int, default=24
        Filters of each layer of the networks.
    resolution : float, default=0.05
        Steps between the times that the networks weigh, in seconds, as far as the sampling rate
        allows.
    n_crops : int, default=3
        Windows per row over which :meth:`event_times` averages.
    equivariance : float, default=1.0
        Weight :math:`\lambda`.

    Raises
    ------
    ValueError
        If there are other than two modalities, one has rows other than (channels, times), or the
        margin is shorter than half a step or leaves nothing; the message names the modality.

    Notes
    -----
    A shift of all times of one modality changes no loss: times are known up to a constant, which
    :meth:`centre` sets. :meth:`calibrate` sets their scale.

    As a part of another objective it takes the rows with their margins: its loss is added,
    ``crop(view)`` is what the rest sees, and columns of ``encode(view)`` join the rest's codes.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.losses import TimingObjective
    >>> from mmcontrast.nn import View
    >>> shapes, sfreq = {"eeg": (4, 300), "fnirs": (6, 60)}, {"eeg": 50.0, "fnirs": 5.0}
    >>> objective = TimingObjective(shapes, sfreq, margin=1.0)
    >>> view = View({name: torch.randn(8, *shape) for name, shape in shapes.items()})
    >>> list(objective([view]))
    ['loss', 'agreement', 'equivariance', 'embedding_std']
    >>> {name: tuple(x.shape) for name, x in objective.crop(view).values.items()}
    {'eeg': (8, 4, 200), 'fnirs': (8, 6, 50)}
    >>> objective.encode(view).shape
    torch.Size([8, 4])
    """

    #: Number of augmented views that a call takes.
    n_views = 1
    needs_original = False
    #: Names of the values that a call returns.
    term_names = ("loss", "agreement", "equivariance", "embedding_std")

    grid: Tensor
    zeros: Tensor
    slopes: Tensor

    def __init__(
        self,
        row_shapes: Mapping[str, Sequence[int]],
        sfreq: Mapping[str, float],
        margin: float,
        *,
        hidden_dim: int = 24,
        resolution: float = 0.05,
        n_crops: int = 3,
        equivariance: float = 1.0,
    ) -> None:
        super().__init__()
        if len(row_shapes) != 2:
            raise ValueError(
                f"A delay is that of two modalities, found {len(row_shapes)}: "
                f"{', '.join(map(repr, row_shapes))}."
            )
        self.names = tuple(row_shapes)
        self.margin = float(margin)
        self.n_crops = n_crops
        self.equivariance = float(equivariance)
        self.crops = {
            name: _plan_crops(name, shape, float(sfreq[name]), self.margin)
            for name, shape in row_shapes.items()
        }
        self.networks = nn.ModuleList(
            EventTimeNet(
                row_shapes[name][0],
                self.crops[name],
                hidden_dim=hidden_dim,
                resolution=resolution,
            )
            for name in self.names
        )
        finest = max(resolution, *(1 / self.crops[name].sfreq for name in self.names)) / 2
        reach = row_shapes[self.names[0]][1] / self.crops[self.names[0]].sfreq / 2
        n_grid = min(_MAX_GRID, max(2, round(2 * reach / finest) + 1))
        self._width = max(finest, 2 * reach / (n_grid - 1))
        self.register_buffer("grid", torch.linspace(-reach, reach, n_grid))
        #: Times of the networks, of each modality, that are reported as 0.
        self.register_buffer("zeros", torch.zeros(2))
        #: Change of both times and of the delay, as they are told, with a true change by 1.
        self.register_buffer("slopes", torch.ones(3))
        self.shift = nn.Parameter(torch.zeros(()))
        self.log_spread = nn.Parameter(torch.zeros(()))

    @property
    def lag(self) -> Tensor:
        """Mean of the second modality's time minus the first one's, as the networks tell them."""
        return _SHIFT_SPEED * self.shift

    @property
    def spread(self) -> Tensor:
        """Standard deviation of that difference in seconds."""
        return (_SHIFT_SPEED * self.log_spread).exp().clamp(min=self._width)

    def forward(
        self, views: Sequence[View], original: View | None = None, y: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute the loss of a batch.

        Parameters
        ----------
        views : sequence of one View
            Rows of both modalities with their margins. In training, offsets are drawn from
            torch's global generator; in evaluation they are the same each time.
        original : None
            Not used.
        y : None
            Not used.

        Returns
        -------
        dict of str to Tensor
            The total under "loss" and its detached terms under the names of :attr:`term_names`;
            NaN for the agreement in a batch with fewer than two rows with both modalities.
        """
        view = views[0]
        self.check(view)
        rows = rows_with(view, self.names)
        if rows is not None and rows.sum() < 2:
            nan = self.shift.detach() * torch.nan
            return {"loss": zero_loss(self), **dict.fromkeys(self.term_names[1:], nan)}
        values = [_as_sequences(view.values[name]) for name in self.names]
        values = values if rows is None else [x[rows] for x in values]
        scores, offsets = self._score_random_crops(values)
        with torch.autocast(scores[0].device.type, enabled=False):
            n_rows = len(values[0])
            terms = {
                "agreement": self._agreement(
                    *(score[:n_rows] for score in scores), *(offset[:n_rows] for offset in offsets)
                ),
                "equivariance": self.equivariance * self._equivariance(scores, offsets, n_rows),
            }
            # relative to the window, in which an event can be anywhere
            spreads = [
                mean_and_variance(score.detach(), net.times)[0].std() / (2 * net.times[-1] + 1e-6)
                for score, net in zip(scores, self._networks, strict=True)
            ]
        return {
            "loss": terms["agreement"] + terms["equivariance"],
            **{name: term.detach() for name, term in terms.items()},
            "embedding_std": torch.stack(spreads).mean(),
        }

    def crop(self, view: View, offset: float = 0.0) -> View:
        """Cut the same window out of all rows, in both modalities.

        Parameters
        ----------
        view : View
            Rows with their margins.
        offset : float, default=0.0
            Seconds by which the window is later than the one in the middle, rounded to a whole
            step of each modality.

        Returns
        -------
        View
            What it holds of the two modalities, without margins; all else as it is.
        """
        windows = {
            name: self.crops[name].cut(x, self.crops[name].starts(offset))
            if name in self.crops
            else x
            for name, x in view.values.items()
        }
        return view._replace(values=windows)

    def encode(self, view: View) -> Tensor:
        """Times and delay as columns.

        Parameters
        ----------
        view : View
            Rows of one or both modalities with their margins.

        Returns
        -------
        Tensor of shape (n_rows, 4)
            What :meth:`event_times` returns, side by side.
        """
        return torch.stack(list(self.event_times(view)), dim=1)

    def event_times(self, view: View) -> EventTimes:
        """When the event happens in each modality, and how long after the first in the second.

        Where both modalities are there, the density of the first one is multiplied by what the
        time of the second and the spread of the delay make likely: a clear response of one
        modality says which of several candidates in the other belongs to it.

        Parameters
        ----------
        view : View
            Rows of one or both modalities with their margins.

        Returns
        -------
        EventTimes
            Zero for what a row does not have: the time of an absent modality, and then the delay
            and its uncertainty.
        """
        self.check(view)
        offsets = torch.linspace(-self.margin / 2, self.margin / 2, self.n_crops + 2)[1:-1]
        # (n_crops, 2 modalities, mean and variance, n_rows)
        moments = torch.stack([self._moments_at(view, float(o), float(o)) for o in offsets])
        times = moments[:, :, 0].mean(0) - self.zeros[:, None]
        variances = moments[:, :, 1].mean(0) + moments[:, :, 0].var(0, unbiased=False)
        here = self._presence(view)
        both = here.all(0)
        first, second = torch.where(here, times / self.slopes[:2, None], 0.0)
        delay = torch.where(both, (times[1] - times[0]) / self.slopes[2], 0.0)
        uncertainty = torch.where(both, variances.sum(0).sqrt() / self.slopes[2], 0.0)
        return EventTimes(first, second, delay, uncertainty)

    def centre(self, zeros: Tensor) -> None:
        """Move the zero of both modalities' times.

        Parameters
        ----------
        zeros : Tensor of shape (2,)
            Present times of what is to be at zero, for example their means over the training rows.
        """
        self.zeros += zeros.to(self.zeros) * self.slopes[:2]

    @torch.no_grad()
    def calibrate(self, view: View) -> None:
        """Measure by how much times and delay change when windows are moved, and correct for it.

        Where an event is hard to see, a network falls back on what is usual, and times change by
        less than the event moves. Windows of both modalities that are moved alike make events
        earlier, and a window of the second modality alone makes the delay shorter, by seconds that
        are known.

        Parameters
        ----------
        view : View
            Training rows, of which some hundreds are enough; call it in evaluation mode.
        """
        self.check(view)
        rows = torch.nonzero(self._presence(view).all(0))[:, 0]
        if not len(rows):
            return
        step = max(float(self.spread), *(1 / self.crops[name].sfreq for name in self.names))
        step = min(step, self.margin)
        changes = []
        for some in rows.split(_ROWS_AT_A_TIME):
            part = View({name: view.values[name][some] for name in self.names})
            for o in (-step, step):
                together = self._moments_at(part, o, o, known=False)[:, 0]
                alone = self._moments_at(part, 0.0, o, known=False)[:, 0]
                changes.append(torch.stack([*together, alone[1] - alone[0]]).sum(1) / len(rows))
        earlier, later = torch.stack(changes[::2]).sum(0), torch.stack(changes[1::2]).sum(0)
        first, second = (self._moved(name, step) - self._moved(name, -step) for name in self.names)
        moved = earlier.new_tensor([first, second, second])
        self.slopes.copy_(((earlier - later) / moved.clamp(min=1e-6)).clamp(*_SLOPES))

    def check(self, view: View) -> None:
        """Refuse rows that are padded to one length.

        Parameters
        ----------
        view : View
            Rows of one or both modalities.
        """
        for name in self.names:
            if name in view.lengths:
                raise ValueError(
                    f"modality {name!r} is padded: its margins end at different steps. Cut its "
                    "rows to one length."
                )

    def _presence(self, view: View) -> Tensor:
        """Which rows (2, n_rows) have each modality."""
        n_rows = len(next(iter(view.values.values())))
        like = self.zeros.new_ones(n_rows, dtype=torch.bool)
        return torch.stack(
            [view.presence.get(name, like) if name in view.values else ~like for name in self.names]
        )

    def _score_random_crops(self, values: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Scores of windows at random offsets, and the offsets in seconds.

        After one window per row, there is a second one of the first half of the rows.
        """
        generator = None if self.training else torch.Generator().manual_seed(0)
        scores, offsets = [], []
        for name, net, x in zip(self.names, self._networks, values, strict=True):
            crops = self.crops[name]
            again = torch.cat([x, x[: _half(len(x))]])
            starts = crops.draw(len(again), generator)
            scores.append(full_precision(net(crops.cut(again, starts))))
            offsets.append(crops.offsets(starts).to(x.device))
        return scores, offsets

    def _agreement(
        self, scores_a: Tensor, scores_b: Tensor, offsets_a: Tensor, offsets_b: Tensor
    ) -> Tensor:
        """InfoNCE of the overlap of densities, in both directions."""
        first, second = self._networks
        width = self.grid.new_tensor(self._width)
        a = self._on_grid(scores_a, first.times + offsets_a[:, None], width)
        b = self._on_grid(scores_b, second.times + offsets_b[:, None] - self.lag, self.spread)
        logits = (a @ b.T * (self.grid[1] - self.grid[0]) + _NO_OVERLAP).log()
        own = torch.arange(len(logits), device=logits.device)
        return 0.5 * (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own))

    def _equivariance(
        self, scores: Sequence[Tensor], offsets: Sequence[Tensor], n_rows: int
    ) -> Tensor:
        """Squared difference of times from two windows of a row: 0 if they move with it, 1 if not.

        Mean over both modalities, relative to the offsets' own squared difference.
        """
        found = []
        for name, net, score, offset in zip(
            self.names, self._networks, scores, offsets, strict=True
        ):
            times = mean_and_variance(score, net.times)[0] + offset
            change = times[: len(times) - n_rows] - times[n_rows:]
            crops = self.crops[name]
            expected = (crops.n_starts**2 - 1) / 6 / crops.sfreq**2
            found.append(change.square().mean() / expected)
        return torch.stack(found).mean()

    def _on_grid(self, scores: Tensor, times: Tensor, width: Tensor) -> Tensor:
        """Smoothed densities (n_rows, n_grid) of scores at times, each (n_rows, n_scores)."""
        distance = (self.grid[:, None] - times[:, None]) / width
        kernels = (-0.5 * distance.square()).exp() / (_ROOT * width)
        return (kernels @ scores.softmax(1)[:, :, None])[:, :, 0]

    def _moved(self, name: str, offset: float) -> float:
        """The offset that there is next to the one that is asked for."""
        crops = self.crops[name]
        return float(crops.offsets(torch.tensor(crops.starts(offset))))

    def _moments_at(
        self, view: View, first_offset: float, second_offset: float, known: bool = True
    ) -> Tensor:
        """Mean and variance (2 modalities, 2, n_rows) of event times, from one window each.

        Times are those in the row; those in the window if the offsets are not to be known.
        """
        n_rows = len(next(iter(view.values.values())))
        found: list[tuple[Tensor, Tensor] | None] = []
        moments = [self.zeros.new_zeros(2, n_rows) for _ in self.names]
        for k, (net, offset) in enumerate(
            zip(self._networks, (first_offset, second_offset), strict=True)
        ):
            name = self.names[k]
            if name not in view.values:
                found.append(None)
                continue
            crops, x = self.crops[name], _as_sequences(view.values[name])
            score = full_precision(net(crops.cut(x, crops.starts(offset))))
            times = net.times + (self._moved(name, offset) if known else 0.0)
            found.append((score, times))
            moments[k] = torch.stack(mean_and_variance(score, times))
        if found[0] is not None and found[1] is not None:
            score, times = found[0]
            miss = (times - (moments[1][0] - self.lag)[:, None]) / (_CAUTION * self.spread)
            likely = score.log_softmax(1) - 0.5 * miss.square()
            refined = torch.stack(mean_and_variance(likely, times))
            moments[0] = torch.where(self._presence(view)[1], refined, moments[0])
        return torch.stack(moments)

    @property
    def _networks(self) -> list[EventTimeNet]:
        return list(self.networks)  # type: ignore[arg-type]


def _as_sequences(x: Tensor) -> Tensor:
    """Sequences with a channel axis; rows (n_rows, n_times) are those of one channel."""
    return x[:, None] if x.ndim == 2 else x


def _half(n_rows: int) -> int:
    return (n_rows + 1) // 2


def _plan_crops(name: str, shape: Sequence[int], sfreq: float, margin: float) -> Crops:
    if len(shape) != 2:
        raise ValueError(
            f"modality {name!r} has rows of shape {tuple(shape)}; times of events need sequences "
            "of shape (n_rows, n_channels, n_times)."
        )
    n_left = round(2 * margin * sfreq)
    if n_left < 1:
        raise ValueError(
            f"modality {name!r} has no margin to re-crop from: margin={margin:g} s at {sfreq:g} Hz "
            "is less than half a step. Cut epochs that reach farther on both sides, and say by how "
            "much in margin=."
        )
    n_times = shape[1] - n_left
    if n_times < 1:
        raise ValueError(
            f"modality {name!r}: a margin of {margin:g} s on both sides leaves nothing of rows "
            f"that have {shape[1]} step(s), {shape[1] / sfreq:g} s. Cut longer epochs or lower "
            "margin."
        )
    return Crops(n_left + 1, n_times, sfreq)
