"""What the objectives of the R/U/S decomposition share: features, encoders, heads and parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..nn._features import FixedFeatures, even_product
from ..nn.interaction import Whitening
from ..nn.multimodal import PooledEncoder, View, build_pooled_encoder
from ._common import full_precision, rows_with, zero_loss
from .comm import embedding_std

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


class Codes(NamedTuple):
    """Codes of the rows of a batch that have a modality, and which of them have the other too."""

    embedding: Tensor
    redundant: Tensor
    unique: Tensor
    rows: Tensor | None
    paired: Tensor | None

    def pairs(self, z: Tensor) -> Tensor:
        """Those of the modality's rows that have both modalities."""
        return z if self.paired is None else z[self.paired]


class RUSObjective(nn.Module, ABC):
    """Base of objectives with redundant, unique and synergistic codes of two modalities.

    Parameters
    ----------
    row_shapes : mapping of str to tuple of int
        Shape of one row of both modalities.
    encoders, converters : str, Module, class or dict of str to these
        As in :func:`~mmcontrast.nn.build_pooled_encoder`; "auto" reads the fixed features.
    embed_dim, code_dim, synergy_dim : int
        Sizes of the encoders' outputs, of a code, and of the codes whose products make the
        synergistic part.
    augmented : bool
        Whether calls are given augmented views; if not, features are corrupted in training.
    n_views : int
        Views that a call takes, if so.
    feature_noise, feature_dropout : float
        Spread of the noise and probability of a channel to be dropped, of standardised features.
    """

    needs_original = True
    features: Any
    redundant: Any
    unique: Any
    head_dims: list[int]

    def __init__(
        self,
        row_shapes: Mapping[str, tuple[int, ...]],
        *,
        encoders: Any,
        converters: Any,
        embed_dim: int,
        code_dim: int,
        synergy_dim: int,
        augmented: bool,
        n_views: int,
        feature_noise: float,
        feature_dropout: float,
    ) -> None:
        super().__init__()
        if len(row_shapes) != 2:
            raise ValueError(
                f"Redundant, unique and synergistic parts are those of two modalities, found "
                f"{len(row_shapes)}: {', '.join(map(repr, row_shapes))}."
            )
        self.names = tuple(row_shapes)
        self.code_dim, self.synergy_dim = code_dim, synergy_dim
        self.features = nn.ModuleList(
            FixedFeatures(shape, standardise=_spec_of(encoders, name) == "auto")
            for name, shape in row_shapes.items()
        )
        shapes = {n: f.output_shape for n, f in zip(self.names, self.features, strict=True)}
        specs = {
            name: f.encoder if _spec_of(encoders, name) == "auto" else _spec_of(encoders, name)
            for name, f in zip(self.names, self.features, strict=True)
        }
        if isinstance(encoders, Mapping):
            specs |= {name: spec for name, spec in encoders.items() if name not in specs}
        self.encoder: PooledEncoder = build_pooled_encoder(
            shapes, embed_dim, encoders=specs, converters=converters
        )
        #: Sizes of what the heads are given of each modality.
        self.head_dims = [embed_dim + part.n_summary * part.standardise for part in self.features]
        self.redundant = nn.ModuleList(Head(size, code_dim) for size in self.head_dims)
        self.unique = nn.ModuleList(Head(size, code_dim) for size in self.head_dims)
        self.feature_noise, self.feature_dropout = feature_noise, feature_dropout
        #: Number of augmented views that a call takes.
        self.n_views = n_views if augmented else 0
        #: Whether calls are given fixed features instead of raw rows.
        self.takes_features = False

    # ------------------------------------------------------------------ representation
    @property
    def parts(self) -> dict[str, tuple[tuple[str, ...], int]]:
        """Modalities and number of columns of each part of the representation."""
        kinds = {f"{kind}_{name}": ((name,), self.code_dim) for kind in "RU" for name in self.names}
        return {**kinds, "S": (self.names, self.n_synergy)}

    @property
    @abstractmethod
    def n_synergy(self) -> int:
        """Number of columns of the synergistic part."""

    @property
    @abstractmethod
    def term_names(self) -> list[str]:
        """Names of the values that a call returns."""

    @abstractmethod
    def fuse(self, codes: Sequence[Codes]) -> Tensor:
        """Synergistic code of the rows that have both modalities."""

    def encode(self, view: View) -> dict[str, Tensor]:
        """Parts of the representation that the modalities of a view make.

        Parameters
        ----------
        view : View
            One or both modalities, raw.

        Returns
        -------
        dict of str to Tensor of shape (n_rows, n_columns)
            Zero in rows in which the modality, or for "S" one of them, is absent.
        """
        codes = self._codes(self._featured(view, raw=True))
        n_rows = len(next(iter(view.values.values())))
        found = {}
        for kind, of in (("R", "redundant"), ("U", "unique")):
            for name, code in codes.items():
                found[f"{kind}_{name}"] = _spread(getattr(code, of), code.rows, n_rows)
        if len(codes) == 2:
            both = rows_with(view, self.names)
            found["S"] = _spread(self.fuse(list(codes.values())), both, n_rows)
        return found

    # ---------------------------------------------------------------------- preparation
    @property
    def prepared(self) -> bool:
        """Whether the statistics of the fixed features are known."""
        return all(bool(features.n_seen) for features in self.features)

    def prepare(self, view: View) -> None:
        """Learn the statistics of the fixed features from raw training rows.

        Parameters
        ----------
        view : View
            Many rows of both modalities.
        """
        for name, features in zip(self.names, self.features, strict=True):
            rows = view.presence.get(name)
            x = view.values[name] if rows is None else view.values[name][rows]
            features.prepare(x)

    @torch.no_grad()
    def settle(self, views: Iterable[View]) -> None:
        """Take the statistics of all normalisation from clean rows instead of corrupted ones.

        Parameters
        ----------
        views : iterable of View
            Batches of training rows, as calls are given them. It may be gone through twice.
        """
        norms: list[Any] = [m for m in self.modules() if isinstance(m, (*_NORMS, Whitening))]
        momenta = [norm.momentum for norm in norms]
        was_training = self.training
        for norm in norms:  # the mean over all batches
            if isinstance(norm, Whitening):
                norm.n_batches.zero_()
                norm.momentum = 0.0
            else:
                norm.reset_running_stats()
                norm.momentum = None
        self.train()
        for view in views:
            codes = list(self._codes(self._featured(view, raw=not self.takes_features)).values())
            if len(codes) == 2 and len(codes[0].pairs(codes[0].embedding)) > 1:
                self.fuse(codes)
        self.train(was_training)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum

    def compute_features(self, view: View) -> View:
        """Fixed features of a raw view, which calls may be given instead of it."""
        return self._featured(view, raw=True)

    def _featured(self, view: View, *, raw: bool) -> View:
        if not raw:
            return view
        own = dict(zip(self.names, self.features, strict=True))
        return view._replace(values={name: own[name](x) for name, x in view.values.items()})

    # ------------------------------------------------------------------------- the loss
    def _views(self, views: Sequence[View], original: View | None, n: int) -> tuple[View, ...]:
        """Features of the un-augmented rows and of `n` augmented or corrupted views of them."""
        if original is None:
            raise ValueError(f"{type(self).__name__} needs the un-augmented view.")
        clean = self._featured(original, raw=not self.takes_features)
        if self.n_views:
            return clean, *(self._featured(view, raw=True) for view in views)
        return clean, *(self._corrupted(clean) for _ in range(n))

    def _corrupted(self, view: View) -> View:
        """Features with noise, and without some channels; those of raw rows are left alone."""
        if not self.training:
            return view
        values = dict(view.values)
        for name, features in zip(self.names, self.features, strict=True):
            if features.standardise:
                x = values[name] + self.feature_noise * torch.randn_like(values[name])
                keep = torch.rand(x.shape[:2], device=x.device) >= self.feature_dropout
                values[name] = x * keep.view(*keep.shape, *[1] * (x.ndim - 2))
        return view._replace(values=values)

    def _codes(self, view: View) -> dict[str, Codes]:
        """Codes of the modalities in a view that have two rows or more, in training."""
        embedded = self.encoder(view)
        both = rows_with(view, self.names)
        found = {}
        for index, name in enumerate(self.names):
            if name not in embedded:
                continue
            rows = rows_with(view, (name,))
            x, z = (v if rows is None else v[rows] for v in (view.values[name], embedded[name]))
            features: Any = self.features[index]
            if features.standardise:
                # what is linear in the summary need not be learned by the encoder
                scale = (features.weights / features.weights.max().clamp(min=1e-12)) ** 0.25
                z = torch.cat([z, features.summary(x) * scale], dim=1)
            if self.training and len(z) < 2:
                continue
            paired = None if both is None else (both if rows is None else both[rows])
            codes = (self.redundant[index](z), self.unique[index](z))
            r, u = map(full_precision, codes)
            found[name] = Codes(z, r, u, rows, paired)
        return found

    def _targets(self, clean: View, codes: Mapping[str, Codes]) -> dict[str, Tensor]:
        """What the unique code of each modality is to tell of its fixed features."""
        own = dict(zip(self.names, self.features, strict=True))
        targets = {}
        for name, code in codes.items():
            x = clean.values[name]
            targets[name] = own[name].summary(x if code.rows is None else x[code.rows])
        return targets

    def _result(self, terms: Mapping[str, Tensor], codes: Mapping[str, Codes]) -> dict[str, Tensor]:
        total = torch.stack(list(terms.values())).sum() if terms else zero_loss(self)
        nan = total.new_full((), torch.nan)
        spread = [
            embedding_std(code.unique.detach()) for code in codes.values() if len(code.unique) > 1
        ]
        return {
            "loss": total,
            **{
                name: terms[name].detach() if name in terms else nan
                for name in self.term_names[1:-1]
            },
            "embedding_std": torch.stack(spread).mean() if spread else nan,
        }


class EvenLinear(nn.Linear):
    """Linear map whose products are of an even width, whatever the width of the output.

    Those of an odd one are rounded differently in rows at the end of a batch, so that the code of
    a row would depend on its place in the last bits.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map rows (n_rows, in_features) to (n_rows, out_features)."""
        return even_product(input, self.weight.T, self.bias)


class Head(nn.Module):
    """MLP with one hidden layer beside a linear map; the output has mean 0 and variance 1."""

    def __init__(self, in_features: int, out_features: int, *, normalise: bool = True) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            EvenLinear(in_features, in_features), nn.BatchNorm1d(in_features), nn.ReLU()
        )
        self.output = EvenLinear(in_features, out_features)
        self.linear = EvenLinear(in_features, out_features, bias=False)
        self.norm = nn.BatchNorm1d(out_features, affine=False) if normalise else nn.Identity()

    def forward(self, z: Tensor) -> Tensor:
        """Map rows (n_rows, in_features) to (n_rows, out_features)."""
        return self.norm(self.output(self.hidden(z)) + self.linear(z))


class CentredHead(Head):
    """A head whose output has mean 0 and a variance that is learned."""

    norm: Any

    def forward(self, z: Tensor) -> Tensor:
        """Map rows (n_rows, in_features) to (n_rows, out_features)."""
        z = self.output(self.hidden(z)) + self.linear(z)
        if self.training:
            self.norm(z.detach())  # for its running mean
            return z - z.mean(0)
        return z - self.norm.running_mean


class Projection(nn.Module):
    """Linear map to columns of mean 0 and variance 1 that are (nearly) uncorrelated."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = EvenLinear(in_features, out_features, bias=False)
        self.norm = Whitening(out_features)

    def forward(self, z: Tensor) -> Tensor:
        """Map rows (n_rows, in_features) to (n_rows, out_features)."""
        return self.norm(self.linear(z))


def _spec_of(encoders: Any, name: str) -> Any:
    if isinstance(encoders, Mapping):
        return encoders.get(name, "auto")
    return encoders


def _spread(z: Tensor, rows: Tensor | None, n_rows: int) -> Tensor:
    """Codes of some rows at their places among all rows."""
    if rows is None:
        return z
    placed = z.new_zeros(n_rows, z.shape[1])
    placed[rows] = z
    return placed
