"""Networks: encoders, latent converters, fusion and heads as plain torch modules."""

from mmcontrast.nn._build import CONVERTERS, ENCODERS, build_converter, build_encoder
from mmcontrast.nn._frozen import Frozen, freeze, is_frozen
from mmcontrast.nn._probe import accepts_lengths, encoder_output_lengths, probe_features
from mmcontrast.nn.conditionals import GaussianConditional
from mmcontrast.nn.converters import (
    FeatureTokenizer,
    IdentityConverter,
    PatchEmbedding,
    SingleToken,
    TokenProjection,
    sincos_position_1d,
    sincos_position_2d,
)
from mmcontrast.nn.critics import (
    CRITICS,
    BilinearCritic,
    ConcatCritic,
    SeparableCritic,
    build_critic,
)
from mmcontrast.nn.encoders import MLPEncoder
from mmcontrast.nn.fusion import ConcatLinearFusion, FusionBlock, TransformerFusion
from mmcontrast.nn.heads import ParallelHeads, ProjectionHead
from mmcontrast.nn.image_encoders import (
    AlexNetEncoder,
    CNNEncoder,
    ResNet18Encoder,
    ResNet50Encoder,
)
from mmcontrast.nn.interaction import InteractionFusion, Whitening
from mmcontrast.nn.multimodal import (
    FUSIONS,
    MultimodalEncoder,
    PooledEncoder,
    View,
    build_multimodal_encoder,
    build_pooled_encoder,
)
from mmcontrast.nn.sequence_encoders import (
    CausalConvEncoder,
    GRUEncoder,
    TransformerEncoder,
    valid_steps,
)
from mmcontrast.nn.spectral import PooledConvEncoder, SpectralEncoder, SpectralFeatures

__all__ = [
    "CONVERTERS",
    "CRITICS",
    "ENCODERS",
    "FUSIONS",
    "AlexNetEncoder",
    "BilinearCritic",
    "CNNEncoder",
    "CausalConvEncoder",
    "ConcatCritic",
    "ConcatLinearFusion",
    "FeatureTokenizer",
    "Frozen",
    "FusionBlock",
    "GRUEncoder",
    "GaussianConditional",
    "IdentityConverter",
    "InteractionFusion",
    "MLPEncoder",
    "MultimodalEncoder",
    "ParallelHeads",
    "PatchEmbedding",
    "PooledConvEncoder",
    "PooledEncoder",
    "ProjectionHead",
    "ResNet18Encoder",
    "ResNet50Encoder",
    "SeparableCritic",
    "SingleToken",
    "SpectralEncoder",
    "SpectralFeatures",
    "TokenProjection",
    "TransformerEncoder",
    "TransformerFusion",
    "View",
    "Whitening",
    "accepts_lengths",
    "build_converter",
    "build_critic",
    "build_encoder",
    "build_multimodal_encoder",
    "build_pooled_encoder",
    "encoder_output_lengths",
    "freeze",
    "is_frozen",
    "probe_features",
    "sincos_position_1d",
    "sincos_position_2d",
    "valid_steps",
]
