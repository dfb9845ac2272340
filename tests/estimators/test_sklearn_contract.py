"""scikit-learn's own checks, in full, over every exported estimator."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from mmcontrast import (
    CMC,
    CoMM,
    CouplingDelay,
    CrossModal,
    CrossSelf,
    CrossSelfFactorized,
    FactorCL,
    RUSDecomposer,
    SupervisedContrastive,
)

SMALL = {"embed_dim": 8, "n_heads": 2, "projection_dims": (16, 8), "max_epochs": 2}
FACTORCL = {"embed_dim": 8, "critic_dims": (16,), "max_epochs": 1}
RUS = {"embed_dim": 16, "code_dim": 16, "synergy_dim": 4, "max_epochs": 1}
BASELINE = {"embed_dim": 8, "projection_dims": (16, 8), "max_epochs": 1}

# both of the short sequences are all columns, with half a step on each side as margin
BOTH = {"first": slice(0, None), "second": slice(0, None)}
TIMING = {"sfreq": 1.0, "margin": 0.5, "hidden_dim": 4, "max_epochs": 1}


# some checks fit data far from zero, which has almost no spread on the sphere
@pytest.mark.filterwarnings("ignore:The embedding of .* hardly")
@pytest.mark.filterwarnings(
    "ignore:RUSDecomposer is fitted on", "ignore:CouplingDelay is fitted on"
)
@parametrize_with_checks(
    [
        CoMM(**SMALL),
        CoMM(**SMALL, modalities={"first": slice(0, 1), "rest": slice(0, None)}),
        CoMM(
            **SMALL,
            fusion="interaction",
            modalities={"first": slice(0, 1), "rest": slice(0, None)},
        ),
        FactorCL(**FACTORCL),
        FactorCL(**FACTORCL, supervised=True, parts=("unique2", "shared1")),
        FactorCL(**FACTORCL, objective="disentangled"),
        RUSDecomposer(**RUS),
        RUSDecomposer(**RUS, objective="hybrid"),
        RUSDecomposer(**RUS, supervised=True, targets={"R": [0]}),
        CrossModal(**BASELINE),
        CrossSelf(**BASELINE),
        CrossSelfFactorized(**BASELINE),
        CMC(**BASELINE),
        SupervisedContrastive(**BASELINE),
        SupervisedContrastive(
            **BASELINE, modalities={"first": slice(0, 1), "rest": slice(0, None)}
        ),
        CouplingDelay(**TIMING, modalities=BOTH),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)
