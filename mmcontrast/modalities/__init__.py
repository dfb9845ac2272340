"""Row-aligned containers of several modalities, and transformers per modality."""

from ._alignment import pad_sequences
from ._columns import as_modalities
from ._container import Modalities
from ._transformer import ModalityTransformer, make_modality_transformer

__all__ = [
    "Modalities",
    "ModalityTransformer",
    "as_modalities",
    "make_modality_transformer",
    "pad_sequences",
]
