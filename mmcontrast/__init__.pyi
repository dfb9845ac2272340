from . import augmentation as augmentation
from . import datasets as datasets
from . import estimators as estimators
from . import information as information
from . import inspection as inspection
from . import losses as losses
from . import nn as nn
from . import preprocessing as preprocessing
from . import training as training
from .estimators import CMC as CMC
from .estimators import CoMM as CoMM
from .estimators import CouplingDelay as CouplingDelay
from .estimators import CrossModal as CrossModal
from .estimators import CrossSelf as CrossSelf
from .estimators import CrossSelfFactorized as CrossSelfFactorized
from .estimators import FactorCL as FactorCL
from .estimators import RUSDecomposer as RUSDecomposer
from .estimators import SupervisedContrastive as SupervisedContrastive
from .modalities import Modalities as Modalities
from .modalities import ModalityTransformer as ModalityTransformer
from .modalities import make_modality_transformer as make_modality_transformer
from .modalities import pad_sequences as pad_sequences

__version__: str
