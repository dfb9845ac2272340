"""From modalities to embeddings: encode, convert to tokens, fuse or pool."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .._names import check_entries
from ._build import build_converter, build_encoder
from ._probe import accepts_lengths, encoder_output_lengths, probe_features
from .fusion import ConcatLinearFusion, TransformerFusion
from .interaction import InteractionFusion

FUSIONS: dict[str, type[nn.Module]] = {
    "transformer": TransformerFusion,
    "concat_linear": ConcatLinearFusion,
    "interaction": InteractionFusion,
}


class View(NamedTuple):
    """A batch of rows of several modalities as tensors.

    Parameters
    ----------
    values : dict of str to Tensor of shape (batch, ...)
        The modalities.
    presence : dict of str to bool Tensor of shape (batch,), default={}
        Rows in which a modality was measured; a modality without an entry is there in all rows.
    lengths : dict of str to int Tensor of shape (batch,), default={}
        Valid time steps of padded sequences.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import View
    >>> view = View({"eeg": torch.zeros(3, 8, 50)}, lengths={"eeg": torch.tensor([50, 20, 35])})
    >>> view.values["eeg"].shape
    torch.Size([3, 8, 50])
    """

    values: Mapping[str, Tensor]
    presence: Mapping[str, Tensor] = {}
    lengths: Mapping[str, Tensor] = {}


class _TokenEncoder(nn.Module):
    """Encoders and latent converters of several modalities, each applied to the rows it has."""

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        converters: Mapping[str, nn.Module],
        embed_dim: int,
    ) -> None:
        super().__init__()
        self.names = tuple(encoders)
        self.embed_dim = embed_dim
        # lists, because a ModuleDict refuses some names that a modality may well have
        self.encoders = nn.ModuleList(encoders[name] for name in self.names)
        self.converters = nn.ModuleList(converters[name] for name in self.names)

    def _encode(self, index: int, view: View) -> tuple[Tensor, Tensor]:
        """Tokens (batch, n_tokens, embed_dim) of one modality and which of them to keep."""
        name = self.names[index]
        if name not in view.values:
            other = next(iter(view.values.values()))
            dtype = next(self.parameters()).dtype
            nothing = other.new_zeros(len(other), 0, self.embed_dim, dtype=dtype)
            return nothing, other.new_zeros(1, 0, dtype=torch.bool)
        x, presence, lengths = view.values[name], view.presence.get(name), view.lengths.get(name)
        if presence is None:
            return self._encode_present(index, x, lengths)
        tokens, keep = self._encode_present(
            index, x[presence], None if lengths is None else lengths[presence]
        )
        all_tokens = tokens.new_zeros(len(x), *tokens.shape[1:])
        all_keep = keep.new_zeros(len(x), keep.shape[1])
        all_tokens[presence] = tokens
        all_keep[presence] = keep
        return all_tokens, all_keep

    def _encode_present(
        self, index: int, x: Tensor, lengths: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        encoder, converter = self.encoders[index], self.converters[index]
        if not len(x):
            return self._no_rows(x)
        if len(x) == 1 and encoder.training and _has_batch_norm(encoder):
            # one row has no batch statistics: it is encoded as in evaluation
            encoder.eval()
            try:
                return self._encode_present(index, x, lengths)
            finally:
                encoder.train()
        if lengths is None:
            tokens = converter(encoder(x))
            return tokens, tokens.new_ones(1, tokens.shape[1], dtype=torch.bool)
        tokens = converter(encoder(x, lengths=lengths) if accepts_lengths(encoder) else encoder(x))
        valid = encoder_output_lengths(
            encoder, lengths, x.shape[-1], tokens.shape[1], modality=self.names[index]
        )
        position = torch.arange(tokens.shape[1], device=x.device)
        return tokens, position < valid[:, None]

    def _no_rows(self, x: Tensor) -> tuple[Tensor, Tensor]:
        dtype = next(self.parameters()).dtype
        tokens = x.new_zeros(0, 1, self.embed_dim, dtype=dtype)
        return tokens, x.new_zeros(0, 1, dtype=torch.bool)


class MultimodalEncoder(_TokenEncoder):
    """Encoders and latent converters of several modalities with the fusion of their tokens.

    Every modality is encoded once, and all requested sets of modalities are fused in one call.
    Only rows in which a modality is present reach its encoder, so an absent row's values cannot
    influence anything, batch statistics included.

    Parameters
    ----------
    encoders : mapping of str to Module
        One encoder per modality; its order is the order of the tokens.
    converters : mapping of str to Module
        One latent converter per modality, from encoder output to ``(batch, n_tokens, embed_dim)``.
    fusion : Module
        For example :class:`TransformerFusion`.
    embed_dim : int
        Size of a token, and of the embedding unless `fusion` has an attribute `out_dim`.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import MLPEncoder, MultimodalEncoder, SingleToken
    >>> from mmcontrast.nn import TransformerFusion, View
    >>> names = ("eeg", "fnirs")
    >>> encoder = MultimodalEncoder(
    ...     {name: MLPEncoder((10,), 16) for name in names},
    ...     {name: SingleToken((16,), 16) for name in names},
    ...     TransformerFusion(16, n_modalities=2),
    ...     embed_dim=16,
    ... )
    >>> view = View({"eeg": torch.randn(4, 10), "fnirs": torch.randn(4, 10)})
    >>> encoder(view, masks=[names, ("eeg",)]).shape
    torch.Size([2, 4, 16])
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        converters: Mapping[str, nn.Module],
        fusion: nn.Module,
        embed_dim: int,
    ) -> None:
        super().__init__(encoders, converters, embed_dim)
        self.fusion = fusion
        #: Size of an embedding: that of a token, unless the fusion has an `out_dim` of its own.
        self.out_dim: int = getattr(fusion, "out_dim", embed_dim)

    def forward(self, view: View, masks: Sequence[Sequence[str]] | None = None) -> Tensor:
        """Embed a view under one or more sets of modalities.

        Parameters
        ----------
        view : View
            May hold a subset of the modalities.
        masks : sequence of sequences of str or None
            Names of the modalities that each embedding may see. None: all of the view.

        Returns
        -------
        Tensor of shape (n_masks, batch, out_dim)
        """
        tokens, keep, sizes = self.tokens(view)
        return self.fuse(tokens, keep, sizes, [tuple(view.values)] if masks is None else masks)

    def tokens(self, view: View) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        """Encode and convert every modality of a view.

        Returns
        -------
        tokens : Tensor of shape (batch, n_tokens, embed_dim)
        keep : bool Tensor of shape (batch or 1, n_tokens)
            False for tokens of absent modalities and of padding.
        sizes : tuple of int
            Number of tokens per modality, 0 for one that is not in the view.
        """
        encoded = [self._encode(index, view) for index in range(len(self.names))]
        sizes = tuple(tokens.shape[1] for tokens, _ in encoded)
        rows = max(len(keep) for _, keep in encoded)
        keep = torch.cat([keep.expand(rows, -1) for _, keep in encoded], dim=1)
        return torch.cat([tokens for tokens, _ in encoded], dim=1), keep, sizes

    def fuse(
        self,
        tokens: Tensor,
        keep: Tensor,
        sizes: Sequence[int],
        masks: Sequence[Sequence[str]],
    ) -> Tensor:
        """Fuse tokens, as :meth:`tokens` returns them, under every mask.

        Returns
        -------
        Tensor of shape (n_masks, batch, out_dim)
        """
        chosen = torch.tensor([[name in mask for name in self.names] for mask in masks])
        per_token = chosen.repeat_interleave(torch.tensor(list(sizes)), dim=1).to(keep.device)
        return self.fusion(tokens, per_token[:, None, :] & keep, sizes)


class PooledEncoder(_TokenEncoder):
    """Encoders of several modalities, each of which ends in a vector: the mean of its tokens.

    Parameters
    ----------
    encoders, converters : mapping of str to Module
        As in :class:`MultimodalEncoder`.
    embed_dim : int
        Size of a token and of the vectors.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import MLPEncoder, PooledEncoder, SingleToken, View
    >>> names = ("eeg", "fnirs")
    >>> encoder = PooledEncoder(
    ...     {name: MLPEncoder((10,), 16) for name in names},
    ...     {name: SingleToken((16,), 16) for name in names},
    ...     embed_dim=16,
    ... )
    >>> vectors = encoder(View({"eeg": torch.randn(4, 10), "fnirs": torch.randn(4, 10)}))
    >>> {name: tuple(z.shape) for name, z in vectors.items()}
    {'eeg': (4, 16), 'fnirs': (4, 16)}
    """

    def forward(self, view: View) -> dict[str, Tensor]:
        """Embed each modality of a view on its own.

        Parameters
        ----------
        view : View
            May hold a subset of the modalities.

        Returns
        -------
        dict of str to Tensor of shape (batch, embed_dim)
            Zero in rows in which the modality is absent.
        """
        return {
            name: self._pool(index, view)
            for index, name in enumerate(self.names)
            if name in view.values
        }

    def _pool(self, index: int, view: View) -> Tensor:
        tokens, keep = self._encode(index, view)
        weights = keep.to(tokens.dtype)
        total = (tokens * weights[..., None]).sum(1)
        return total / weights.sum(1, keepdim=True).clamp(min=1)


def _has_batch_norm(module: nn.Module) -> bool:
    return any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules())


def build_multimodal_encoder(
    row_shapes: Mapping[str, tuple[int, ...]],
    embed_dim: int,
    *,
    encoders: Any = "auto",
    converters: Any = "auto",
    fusion: str | Callable[..., nn.Module] = "transformer",
    position: bool = True,
    **fusion_options: Any,
) -> MultimodalEncoder:
    """Build encoders, converters and fusion for modalities of given shapes.

    Parameters
    ----------
    row_shapes : mapping of str to tuple of int
        Shape of one row of each modality.
    embed_dim : int
        Size of a token and of the embedding.
    encoders, converters : str, Module, class or dict of str to these, default="auto"
        One specification for all modalities, or one per modality ("auto" where there is none);
        see :func:`build_encoder` and :func:`build_converter`.
    fusion : {"transformer", "interaction", "concat_linear"} or callable, default="transformer"
        A callable is called with `embed_dim` and the number of modalities.
    position : bool, default=True
        Whether converters of sequences and maps add a position.
    **fusion_options
        Further arguments of :class:`TransformerFusion` or, with `interaction_dim`, of
        :class:`InteractionFusion`; not for other fusions.

    Returns
    -------
    MultimodalEncoder

    Raises
    ------
    ValueError, TypeError
        If a specification is unknown, names a modality that does not exist, or does not fit the
        modality's shape.

    Examples
    --------
    >>> from mmcontrast.nn import build_multimodal_encoder
    >>> encoder = build_multimodal_encoder({"eeg": (8, 100), "age": (3,)}, 16, n_heads=4)
    >>> [type(module).__name__ for module in encoder.encoders]
    ['CausalConvEncoder', 'MLPEncoder']
    """
    parts = _build_tokenizers(row_shapes, embed_dim, encoders, converters, position)
    built = _build_fusion(fusion, embed_dim, len(row_shapes), fusion_options)
    return MultimodalEncoder(*parts, built, embed_dim)


def build_pooled_encoder(
    row_shapes: Mapping[str, tuple[int, ...]],
    embed_dim: int,
    *,
    encoders: Any = "auto",
    converters: Any = "auto",
) -> PooledEncoder:
    """Build encoders that end in one vector per modality.

    Parameters
    ----------
    row_shapes, embed_dim, encoders, converters
        As in :func:`build_multimodal_encoder`. Tokens get no position: it would not survive the
        mean over them.

    Returns
    -------
    PooledEncoder

    Raises
    ------
    ValueError, TypeError
        As :func:`build_multimodal_encoder`.

    Examples
    --------
    >>> from mmcontrast.nn import build_pooled_encoder
    >>> encoder = build_pooled_encoder({"eeg": (8, 100), "age": (3,)}, 16)
    >>> encoder.names
    ('eeg', 'age')
    """
    parts = _build_tokenizers(row_shapes, embed_dim, encoders, converters, position=False)
    return PooledEncoder(*parts, embed_dim)


def _build_tokenizers(
    row_shapes: Mapping[str, tuple[int, ...]],
    embed_dim: int,
    encoders: Any,
    converters: Any,
    position: bool,
) -> tuple[dict[str, nn.Module], dict[str, nn.Module]]:
    built, converting = {}, {}
    encoder_specs = _per_modality(encoders, row_shapes, "encoders")
    converter_specs = _per_modality(converters, row_shapes, "converters")
    for name, shape in row_shapes.items():
        built[name] = build_encoder(encoder_specs[name], shape, embed_dim, modality=name)
        features = probe_features(built[name], shape, modality=name)
        converting[name] = build_converter(
            converter_specs[name], features, embed_dim, modality=name, position=position
        )
    return built, converting


def _per_modality(spec: Any, names: Iterable[str], what: str) -> dict[str, Any]:
    if not isinstance(spec, Mapping):
        return dict.fromkeys(names, spec)
    check_entries(spec, names, what)
    return {name: spec.get(name, "auto") for name in names}


def _build_fusion(
    spec: str | Callable[..., nn.Module], embed_dim: int, n_modalities: int, options: dict[str, Any]
) -> nn.Module:
    if not isinstance(spec, str):
        fusion = spec(embed_dim, n_modalities)
        if not isinstance(fusion, nn.Module):
            raise TypeError(f"fusion made a {type(fusion).__name__}, expected a torch Module.")
        return fusion
    if spec not in FUSIONS:
        raise ValueError(
            f"fusion={spec!r} is unknown; choose one of {', '.join(map(repr, FUSIONS))} or pass a "
            "callable."
        )
    if spec == "concat_linear":
        options = {}
    elif spec == "transformer":
        options = {key: value for key, value in options.items() if key != "interaction_dim"}
    return FUSIONS[spec](embed_dim, n_modalities, **options)
