"""
How strong should the augmentation be?
======================================

Contrastive learning keeps what two augmented views of the same object share. Augmentation that is
too weak leaves the task easy and the embedding full of detail; augmentation that is too strong
takes away what matters. Between them lies the *sweet spot* [1]_. This example looks for it as for
any other parameter: by :class:`~sklearn.model_selection.GridSearchCV`.

It takes about a minute on two CPU cores.
"""

# %%
# The pipeline
# ------------
#
# The two halves of handwritten digits are two modalities. A pipeline scales them, learns an
# embedding with CoMM and classifies it. CoMM ignores the labels, so only the last step uses them.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mmcontrast import CoMM, Modalities, make_modality_transformer
from mmcontrast.augmentation import (
    Compose,
    FeatureMasking,
    GaussianNoise,
    Translate,
    make_augmentation,
)
