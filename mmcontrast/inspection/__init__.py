"""What the parts of an embedding hold: probes, physiology, validations and displays."""

from ._embedding_display import PartEmbeddingDisplay
from ._factor_display import PartFactorDisplay
from ._finding import Finding
from ._load import load_correlation
from ._patterns import haufe_pattern, linear_readout, plot_part_topography
from ._physiology import physiological_targets, physiology_report
from ._probe import probe_parts
from ._scores import PartScores
from ._selectivity import Selectivity, selectivity
from ._validation import decoding_score, redundancy_difference, synergy_gain, uniqueness_gain

__all__ = [
    "Finding",
    "PartEmbeddingDisplay",
    "PartFactorDisplay",
    "PartScores",
    "Selectivity",
    "decoding_score",
    "haufe_pattern",
    "linear_readout",
    "load_correlation",
    "physiological_targets",
    "physiology_report",
    "plot_part_topography",
    "probe_parts",
    "redundancy_difference",
    "selectivity",
    "synergy_gain",
    "uniqueness_gain",
]
