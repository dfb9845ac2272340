"""scikit-learn's own checks, in full, over every exported estimator."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from mmcontrast import CoMM

SMALL = {"embed_dim": 8, "n_heads": 2, "projection_dims": (16, 8), "max_epochs": 2}


@parametrize_with_checks(
    [
        CoMM(**SMALL),
        CoMM(**SMALL, modalities={"first": slice(0, 1), "rest": slice(0, None)}),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)
