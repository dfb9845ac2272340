"""CoMM: fuse, then contrast."""

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions

from ..losses import CoMMObjective
from ..nn import FUSIONS, InteractionFusion, ProjectionHead, View, build_multimodal_encoder
from ._base import BaseContrastive
from ._docs import fill_doc
from ._parts import SplitMixin

_LOSS_TERMS = {"joint", "modalities", "interaction"}


@fill_doc
class CoMM(SplitMixin, BaseContrastive):
    r"""Contrastive multimodal learning of shared, unique and synergistic information.

    Every modality has an encoder; a latent converter turns its output into tokens; a small
    transformer fuses the tokens of all modalities into one embedding, read at a CLS token. Two
    augmented views of a row are to have the same embedding, and so is a view in which only one
    modality is kept [1]_. Ordinary contrastive learning compares one modality with another and
    keeps what they share; comparing fused views keeps what is unique to one of them as well.

    It works for any number of modalities; with one it is SimCLR [2]_.

    Parameters
    ----------
    %(encoders)s
    fusion : {"transformer", "interaction", "concat_linear"} or callable, default="transformer"
        "interaction" adds products of the modalities' codes to the embedding, from which a linear
        model can read what two modalities determine only together
        (:class:`~mmcontrast.nn.InteractionFusion`); the rest is the embedding of "transformer".
        With a single modality there are none. :meth:`split` gives the products of each pair of
        modalities under their names, and all else under "fused".
        "concat_linear" is the ablation of [1]_, Table 4. A callable is given `embed_dim` and the
        number of modalities and returns a Module.
    embed_dim : int, default=64
        Size of the tokens and of the embedding, products aside.
    interaction_dim : int, default=192
        Number of products, with ``fusion="interaction"``: :math:`k^2` for each pair of modalities
        give codes of :math:`k` dimensions. Properties with many values need larger codes.
    n_heads, n_layers : int, default=8 and 1
        Attention heads and blocks of the fusion transformer.
    dropout : float, default=0.0
        Dropout in the fusion transformer.
    position : bool, default=True
        Whether converters of sequences and maps add a fixed sine-cosine position.
    projection_dims : sequence of int, default=(512, 512, 256)
        Layers of the projection head, which is used in training only.
    temperature : float, default=0.1
        Temperature of the loss.
    masked_views : {"augmented", "original"}, default="augmented"
        Make the views of single modalities from the augmented rows (no further encoding) or from
        the rows as they are (the paper's equation; half as much encoding again).
    loss_terms : sequence of str, default=("joint", "modalities", "interaction")
        Terms of the loss: "joint", between both augmented views, "modalities", with the views of
        single modalities, and "interaction", between the products of both augmented views, which
        is there with ``fusion="interaction"`` only.
    augmentation : "auto", ModalityAugmentation or None, default="auto"
        See :func:`~mmcontrast.augmentation.make_augmentation`. "auto" is
        :func:`~mmcontrast.augmentation.default_augmentation`, None is no augmentation. An object
        has parameters of its own, like ``comm__augmentation__eeg__strength`` in a pipeline.
        Noise is relative to the spread of a whole modality, and dropped values become zero:
        standardise the modalities before.
    augmentation_strength : float, default=1.0
        Scales all augmentations: 0 is the identity, 1 the strength of the paper.
    %(training)s

    Attributes
    ----------
    %(fitted)s

    See Also
    --------
    mmcontrast.make_modality_transformer : Preprocessing per modality, before CoMM.

    References
    ----------
    .. [1] B. Dufumier, J. Castillo Navarro, D. Tuia and J.-P. Thiran. "What to align in
       multimodal contrastive learning?" ICLR 2025. Loss: equation 7; architecture: section 3.2.
    .. [2] T. Chen, S. Kornblith, M. Norouzi and G. Hinton. "A simple framework for contrastive
       learning of visual representations." ICML 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast import CoMM, Modalities
    >>> rng = np.random.default_rng(0)
    >>> X = Modalities(eeg=rng.normal(size=(40, 8, 32)), fnirs=rng.normal(size=(40, 12)))
    >>> comm = CoMM(embed_dim=16, max_epochs=2, random_state=0).fit(X)
    >>> comm.transform(X).shape
    (40, 16)
    >>> comm.transform(X.select("eeg")).shape
    (40, 16)
    >>> comm = CoMM(embed_dim=16, fusion="interaction", interaction_dim=25, max_epochs=2)
    >>> comm.fit(X).get_feature_names_out()[[0, 15, 16, 40]]
    array(['comm0', 'comm15', 'comm_eeg*fnirs_0', 'comm_eeg*fnirs_24'],
          dtype=object)
    >>> {part: z.shape[1] for part, z in comm.split(comm.transform(X)).items()}
    {'fused': 16, 'eeg*fnirs': 25}
    """

    _history_terms = 'the terms "joint", "modality_<name>" and "interaction"'

    _parameter_constraints: dict[str, Any] = {
        **BaseContrastive._parameter_constraints,
        "encoders": [str, dict, callable],
        "converters": [str, dict, callable],
        "fusion": [StrOptions(set(FUSIONS)), callable],
        "embed_dim": [Interval(Integral, 1, None, closed="left")],
        "interaction_dim": [Interval(Integral, 1, None, closed="left")],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "position": ["boolean"],
        "projection_dims": ["array-like"],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "masked_views": [StrOptions({"augmented", "original"})],
        "loss_terms": ["array-like"],
    }

    def __init__(
        self,
        *,
        encoders: Any = "auto",
        converters: Any = "auto",
        fusion: str | Callable[..., torch.nn.Module] = "transformer",
        embed_dim: int = 64,
        interaction_dim: int = 192,
        n_heads: int = 8,
        n_layers: int = 1,
        dropout: float = 0.0,
        position: bool = True,
        projection_dims: Sequence[int] = (512, 512, 256),
        temperature: float = 0.1,
        masked_views: str = "augmented",
        loss_terms: Sequence[str] = ("joint", "modalities", "interaction"),
        augmentation: Any = "auto",
        augmentation_strength: float = 1.0,
        modalities: Mapping[str, Any] | None = None,
        max_epochs: int = 100,
        batch_size: int | str = "auto",
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        schedule: str = "cosine",
        warmup_epochs: float = 1,
        gradient_clip: float | None = None,
        validation_fraction: float | None = None,
        early_stopping: bool = False,
        patience: int = 10,
        device: str | torch.device = "auto",
        precision: str = "float32",
        compile: bool = False,
        streaming: bool | str = "auto",
        checkpoint: str | Path | None = None,
        callbacks: Sequence[Any] | None = None,
        warm_start: bool = False,
        progress_bar: bool = False,
        random_state: Any = None,
    ) -> None:
        self.encoders = encoders
        self.converters = converters
        self.fusion = fusion
        self.embed_dim = embed_dim
        self.interaction_dim = interaction_dim
        self.n_heads = n_heads
        self.n_layers = n_layers
        self.dropout = dropout
        self.position = position
        self.projection_dims = projection_dims
        self.temperature = temperature
        self.masked_views = masked_views
        self.loss_terms = loss_terms
        self.augmentation = augmentation
        self.augmentation_strength = augmentation_strength
        self.modalities = modalities
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.warmup_epochs = warmup_epochs
        self.gradient_clip = gradient_clip
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.patience = patience
        self.device = device
        self.precision = precision
        self.compile = compile
        self.streaming = streaming
        self.checkpoint = checkpoint
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.progress_bar = progress_bar
        self.random_state = random_state

    def _build_objective(self, row_shapes: Mapping[str, tuple[int, ...]]) -> CoMMObjective:
        terms = set(self.loss_terms)
        if not terms <= _LOSS_TERMS or not terms & {"joint", "modalities"}:
            raise ValueError(
                f"loss_terms={self.loss_terms!r} has to hold one or both of 'joint' and "
                "'modalities', besides which only 'interaction' is known."
            )
        ambiguous = [name for name in row_shapes if "*" in name]
        if self.fusion == "interaction" and ambiguous:
            raise ValueError(
                f"modality {ambiguous[0]!r} has a * in its name, which stands between the two "
                "modalities of a product; rename it."
            )
        encoder = build_multimodal_encoder(
            row_shapes,
            self.embed_dim,
            encoders=self.encoders,
            converters=self.converters,
            fusion=self.fusion,
            position=self.position,
            n_heads=self.n_heads,
            n_layers=self.n_layers,
            dropout=self.dropout,
            interaction_dim=self.interaction_dim,
        )
        dims, n_products = tuple(self.projection_dims), encoder.out_dim - self.embed_dim
        has_term = "interaction" in terms and n_products
        return CoMMObjective(
            encoder,
            ProjectionHead(self.embed_dim, dims),
            temperature=self.temperature,
            masked_views=self.masked_views,
            loss_terms=tuple(self.loss_terms),
            interaction_head=ProjectionHead(n_products, dims) if has_term else None,
        )

    @property
    def _n_features_out(self) -> int:
        return self.net_.module_.encoder.out_dim

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns of ``transform``.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Only validated against the names or number of columns of a plain array in fit.

        Returns
        -------
        ndarray of str
            The class name in lower case with a number; products have the names of their two
            modalities in between.
        """
        columns = super().get_feature_names_out(input_features)
        prefix = type(self).__name__.lower()
        _, *products = self._layout.items()
        for part, (_, where) in products:
            columns[where] = [f"{prefix}_{part}_{i}" for i in range(where.stop - where.start)]
        return columns

    @property
    def _layout(self) -> dict[str, tuple[tuple[str, ...], slice]]:
        fusion, names = self.net_.module_.encoder.fusion, tuple(self.modalities_)
        products = fusion.n_products if isinstance(fusion, InteractionFusion) else {}
        start = self._n_features_out - sum(products.values())
        layout = {"fused": (names, slice(0, start))}
        for (i, j), n in products.items():
            layout[f"{names[i]}*{names[j]}"] = ((names[i], names[j]), slice(start, start + n))
            start += n
        return layout

    def _encode(self, module: CoMMObjective, view: View) -> torch.Tensor:
        return module.encoder(view)[0]

    def encode_modality(self, X: Any, name: str) -> np.ndarray:
        """Embed rows from one modality alone.

        Parameters
        ----------
        X : like in fit
            Rows that hold the modality `name`, or the array of that modality itself.
        name : str
            The modality to keep.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out), float32
            The embedding in the same space as that of :meth:`transform`; products are zero.

        Raises
        ------
        ValueError
            If there is no such modality, or it is absent in a row.
        """
        return self._embed(self._only(X, name))
