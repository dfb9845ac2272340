from . import augmentation as augmentation
from . import estimators as estimators
from . import losses as losses
from . import nn as nn
from . import training as training
from .estimators import CoMM as CoMM
from .modalities import Modalities as Modalities
from .modalities import ModalityTransformer as ModalityTransformer
from .modalities import make_modality_transformer as make_modality_transformer
from .modalities import pad_sequences as pad_sequences

__version__: str
