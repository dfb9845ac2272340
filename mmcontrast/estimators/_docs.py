"""Parameter descriptions that several estimators share."""

import inspect
from typing import TypeVar

from ._inputs import _AUTO_BATCH_SIZE

T = TypeVar("T", bound=type)

_ENCODERS = """encoders : "auto", str, Module, class or dict of str to these, default="auto"
    Encoder of every modality, or one per modality. "auto" goes by the shape of a row: "mlp"
    for (n_features,), "causal_conv" for (n_channels, n_times), "cnn" for (n_channels, height,
    width). Also "gru", "transformer" and "spectral" for sequences, "alexnet", "resnet18" and
    "resnet50" for images. A class is called with the row's shape and
    `embed_dim`; a Module is copied, and one whose parameters are all frozen stays so.
converters : "auto", str, Module, class or dict of str to these, default="auto"
    Latent converters: "identity", "token_projection", "patch_embedding", "feature_tokenizer",
    "single_token". "auto" goes by the shape of the encoder's output."""

_TRAINING = """modalities : dict of str to column selection, default=None
    Column groups that make the modalities of a plain 2-D array or DataFrame, as in
    :class:`sklearn.compose.ColumnTransformer`. None: {plain}.
max_epochs : {epochs}
    Passes over the training rows.{auto_epochs}
batch_size : int or "auto", default="auto"
    Rows per step; a row is contrasted with the rest of its batch. "auto" is {batch}, or the
    number of rows if that is less.
learning_rate : float, default={learning_rate}
    Learning rate of AdamW.
weight_decay : float, default=1e-2
    Weight decay of matrices; norms and biases have none.
schedule : {{"cosine", "constant"}}, default="cosine"
    "cosine" warms up linearly and then falls to 1e-6.
warmup_epochs : float, default=1
    Epochs of warm-up of the cosine schedule.
gradient_clip : float or None, default={gradient_clip}
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
precision : {{"float32", "bf16"}}, default="float32"
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
    (joblib's default) and not in threads."""

_FITTED = """modalities_ : dict of str to tuple of int
    Modalities seen in fit, with the shape of a row.
n_features_in_ : int
    Columns of a plain array, or numbers per row over all modalities.
feature_names_in_ : ndarray of str
    Column names, if fitted on a DataFrame.
n_iter_ : int
    Epochs trained.
history_ : dict of str to list
    One entry per epoch: its number "epoch", "train_loss", "valid_loss" if there is a
    validation set, {terms}, "embedding_std" (spread of the
    embedding on the unit sphere), "lr", and "dur" in seconds.
scales_ : dict of str to float
    Training standard deviation of each modality, which noise is relative to.
net_ : ContrastiveNet
    The trained skorch net; ``net_.module_.encoder`` is the torch module."""


def fill_doc(cls: T) -> T:
    """Fill ``%(encoders)s``, ``%(training)s`` and ``%(fitted)s`` into the docstring of a class.

    The class says in `_history_terms` which terms its history has.
    """
    plain = 'one modality called "x"'
    if cls._min_modalities > 1:  # type: ignore[attr-defined]
        plain = 'two modalities, "x1" and "x2", the halves of the columns'
    texts = {
        "encoders": _ENCODERS,
        "training": _TRAINING.format(
            plain=plain,
            learning_rate=_default(cls, "learning_rate"),
            gradient_clip=_default(cls, "gradient_clip"),
            batch=getattr(cls, "_auto_batch_size", _AUTO_BATCH_SIZE),
            **_epochs(cls),
        ),
        "fitted": _FITTED.format(terms=cls._history_terms),  # type: ignore[attr-defined]
    }
    doc = inspect.cleandoc(cls.__doc__ or "")
    for name, text in texts.items():
        doc = doc.replace(f"%({name})s", text)
    cls.__doc__ = doc
    return cls


def _epochs(cls: type) -> dict[str, str]:
    default = inspect.signature(cls).parameters["max_epochs"].default
    if isinstance(default, int):
        return {"epochs": f"int, default={default}", "auto_epochs": ""}
    own = cls._auto_epochs_doc  # type: ignore[attr-defined]
    return {"epochs": f'int or "auto", default="{default}"', "auto_epochs": f"\n    {own}"}


def _default(cls: type, name: str) -> str:
    default = inspect.signature(cls).parameters[name].default
    return f"{default:g}".replace("e-0", "e-") if isinstance(default, float) else repr(default)
