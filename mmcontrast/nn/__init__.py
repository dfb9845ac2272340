"""Networks: encoders, latent converters, fusion and heads as plain torch modules."""

from mmcontrast.nn._build import (
    CONVERTERS,
    ENCODERS,
    Frozen,
    accepts_lengths,
    build_converter,
    build_encoder,
    encoder_output_lengths,
    freeze,
    is_frozen,
    probe_features,
)
from mmcontrast.nn.converters import (
    FeatureTokenizer,
    IdentityConverter,
    PatchEmbedding,
    SingleToken,
    TokenProjection,
    sincos_position_1d,
    sincos_position_2d,
)
from mmcontrast.nn.encoders import (
    CausalConvEncoder,
    CNNEncoder,
    GRUEncoder,
    MLPEncoder,
    TransformerEncoder,
    valid_steps,
)
from mmcontrast.nn.fusion import FUSIONS, ConcatLinearFusion, FusionBlock, TransformerFusion
from mmcontrast.nn.heads import ProjectionHead
from mmcontrast.nn.multimodal import MultimodalEncoder, View, build_multimodal_encoder

__all__ = [
    "CONVERTERS",
    "ENCODERS",
    "FUSIONS",
    "CNNEncoder",
    "CausalConvEncoder",
    "ConcatLinearFusion",
    "FeatureTokenizer",
    "Frozen",
    "FusionBlock",
    "GRUEncoder",
    "IdentityConverter",
    "MLPEncoder",
    "MultimodalEncoder",
    "PatchEmbedding",
    "ProjectionHead",
    "SingleToken",
    "TokenProjection",
    "TransformerEncoder",
    "TransformerFusion",
    "View",
    "accepts_lengths",
    "build_converter",
    "build_encoder",
    "build_multimodal_encoder",
    "encoder_output_lengths",
    "freeze",
    "is_frozen",
    "probe_features",
    "sincos_position_1d",
    "sincos_position_2d",
    "valid_steps",
]
