"""CoMM: fuse, then contrast."""

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from ..losses import CoMMObjective
from ..modalities import Modalities
from ..modalities._values import unknown_name
from ..nn import FUSIONS, ProjectionHead, View, build_multimodal_encoder
from ._base import BaseContrastive
from ._inputs import check_input

_LOSS_TERMS = {"joint", "modalities"}


class CoMM(BaseContrastive):
    r"""Contrastive multimodal learning of shared, unique and synergistic information.

    Every modality has an encoder; a latent converter turns its output into tokens; a small
    transformer fuses the tokens of all modalities into one embedding, read at a CLS token. Two
    augmented views of a row are to have the same embedding, and so is a view in which only one
    modality is kept [1]_. Ordinary contrastive learning compares one modality with another and
    keeps what they share; comparing fused views keeps what is unique to one of them as well.

    It works for any number of modalities; with one it is SimCLR [2]_.

    Parameters
    ----------
    encoders : "auto", str, Module, class or dict of str to these, default="auto"
        Encoder of every modality, or one per modality. "auto" goes by the shape of a row: "mlp"
        for (n_features,), "causal_conv" for (n_channels, n_times), "cnn" for (n_channels, height,
        width). Also "gru" and "transformer". A class is called with the row's shape and
        `embed_dim`; a Module is copied, and one whose parameters are all frozen stays so.
    converters : "auto", str, Module, class or dict of str to these, default="auto"
        Latent converters: "identity", "token_projection", "patch_embedding", "feature_tokenizer",
        "single_token". "auto" goes by the shape of the encoder's output.
    fusion : {"transformer", "concat_linear"} or callable, default="transformer"
        "concat_linear" is the ablation of [1]_, Table 4. A callable is given `embed_dim` and the
        number of modalities and returns a Module.
    embed_dim : int, default=64
        Size of the tokens and of the embedding.
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
    loss_terms : sequence of {"joint", "modalities"}, default=("joint", "modalities")
        Terms of the loss: both augmented views, and the views of single modalities.
    augmentation : "auto", ModalityAugmentation or None, default="auto"
        See :func:`~mmcontrast.augmentation.make_augmentation`. "auto" is
        :func:`~mmcontrast.augmentation.default_augmentation`, None is no augmentation. An object
        has parameters of its own, like ``comm__augmentation__eeg__strength`` in a pipeline.
        Noise is relative to the spread of a whole modality, and dropped values become zero:
        standardise the modalities before.
    augmentation_strength : float, default=1.0
        Scales all augmentations: 0 is the identity, 1 the strength of the paper.
    modalities : dict of str to column selection, default=None
        Column groups that make the modalities of a plain 2-D array or DataFrame, as in
        :class:`sklearn.compose.ColumnTransformer`. None: one modality called "x".
    max_epochs : int, default=100
        Passes over the training rows.
    batch_size : int or "auto", default="auto"
        Rows per step; a row is contrasted with the rest of its batch. "auto" is 64, or the number
        of rows if that is less.
    learning_rate : float, default=1e-3
        Learning rate of AdamW.
    weight_decay : float, default=1e-2
        Weight decay of matrices; norms and biases have none.
    schedule : {"cosine", "constant"}, default="cosine"
        "cosine" warms up linearly and then falls to 1e-6.
    warmup_epochs : float, default=1
        Epochs of warm-up of the cosine schedule.
    gradient_clip : float or None, default=None
        Largest norm of the gradient.
    validation_fraction : float or None, default=None
        Share of the rows held out for ``history_["valid_loss"]``; of the groups, if `fit` is
        given groups.
    early_stopping : bool, default=False
        Stop when the held-out loss has not improved for `patience` epochs, and go back to the
        best weights.
    patience : int, default=10
        Epochs to wait for an improvement.
    device : str or torch.device, default="auto"
        "auto" is CUDA if it is there, else the CPU.
    precision : {"float32", "bf16"}, default="float32"
        "bf16" trains under autocast. Embeddings are always computed in float32.
    compile : bool, default=False
        Compile the training step with :func:`torch.compile`.
    streaming : bool or "auto", default="auto"
        Read training rows batch by batch instead of keeping them on the device; "auto" does so
        for data that takes more than half of the free memory.
    checkpoint : str, Path or None, default=None
        Folder in which the state of a fit is saved after every epoch. The same fit (parameters
        and data), when it was interrupted, goes on from there and ends with the same weights.
        The file is removed when the fit has ended.
    callbacks : list of skorch callbacks or None, default=None
        Called during training. As in skorch, ``__init__`` of a callback only stores its
        parameters; what it gathers goes into attributes that end in ``_``.
    warm_start : bool, default=False
        Whether `fit` goes on from the present weights for `max_epochs` more epochs.
    progress_bar : bool, default=False
        Show a progress bar.
    random_state : int, RandomState or None, default=None
        Fixes initialisation, shuffling, augmentation and dropout. Dropout draws from torch's
        global generator, which threads share: with dropout, run several fits in processes
        (joblib's default) and not in threads.

    Attributes
    ----------
    modalities_ : dict of str to tuple of int
        Modalities seen in fit, with the shape of a row.
    n_features_in_ : int
        Columns of a plain array, or numbers per row over all modalities.
    feature_names_in_ : ndarray of str
        Column names, if fitted on a DataFrame.
    n_iter_ : int
        Epochs trained.
    history_ : dict of str to list
        One entry per epoch: its number "epoch", "train_loss", "valid_loss" if there is a
        validation set, the terms "joint" and "modality_<name>", "embedding_std" (spread of the
        embedding on the unit sphere), "lr", and "dur" in seconds.
    scales_ : dict of str to float
        Training standard deviation of each modality, which noise is relative to.
    net_ : ContrastiveNet
        The trained skorch net; ``net_.module_.encoder`` is the torch module.

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
    """

    _parameter_constraints: dict[str, Any] = {
        **BaseContrastive._parameter_constraints,
        "encoders": [str, dict, callable],
        "converters": [str, dict, callable],
        "fusion": [StrOptions(set(FUSIONS)), callable],
        "embed_dim": [Interval(Integral, 1, None, closed="left")],
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
        n_heads: int = 8,
        n_layers: int = 1,
        dropout: float = 0.0,
        position: bool = True,
        projection_dims: Sequence[int] = (512, 512, 256),
        temperature: float = 0.1,
        masked_views: str = "augmented",
        loss_terms: Sequence[str] = ("joint", "modalities"),
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
        if not terms or not terms <= _LOSS_TERMS:
            raise ValueError(
                f"loss_terms={self.loss_terms!r} has to hold one or both of 'joint' and "
                "'modalities'."
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
        )
        return CoMMObjective(
            encoder,
            ProjectionHead(self.embed_dim, tuple(self.projection_dims)),
            temperature=self.temperature,
            masked_views=self.masked_views,
            loss_terms=tuple(self.loss_terms),
        )

    @property
    def _n_features_out(self) -> int:
        return self.net_.module_.encoder.embed_dim

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
        ndarray of shape (n_samples, embed_dim), float32
            The embedding in the same space as that of :meth:`transform`.

        Raises
        ------
        ValueError
            If there is no such modality, or it is absent in a row.
        """
        check_is_fitted(self)
        if name not in self.modalities_:
            raise ValueError(unknown_name(name, self.modalities_))
        if not isinstance(X, Modalities) and not self._fitted_on_plain:
            X = Modalities({name: X})
        X = check_input(self, X, reset=False)
        if name not in X.names or not X.presence(name).all():
            raise ValueError(f"modality {name!r} is not there in every row of X.")
        return self._embed(X.select(name))
