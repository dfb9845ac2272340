"""
Quickstart: two halves of a digit
=================================

Handwritten digits are cut into a top and a bottom half: two modalities of the same object. Some
of what tells a digit is in both halves, some is in one of them only. :class:`~mmcontrast.CoMM`
learns an embedding of the two without a single label. A logistic regression on the embedding is
then taught with 50 labelled images, and compared with one on other features of the same images.

The script takes less than a minute on two CPU cores.
"""

# %%
# The data
# --------
#
# `Modalities` holds arrays whose rows belong together, under a name each. It can be sliced and
# split like any array. Of the 1797 images 500 are set aside for the test. No feature sees them
# before.

import numpy as np
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from torch import nn

from mmcontrast import CoMM, Modalities, make_modality_transformer
from mmcontrast.augmentation import (
    Compose,
    FeatureMasking,
    GaussianNoise,
    Translate,
    make_augmentation,
)

SEED = 0

pixels, digit = load_digits(return_X_y=True)
pixels = pixels.reshape(-1, 1, 8, 8)  # (n_images, n_channels, height, width)
X = Modalities(top=pixels[:, :, :4], bottom=pixels[:, :, 4:])
train, test = train_test_split(
    np.arange(len(X)), test_size=500, stratify=digit, random_state=SEED
)
X

# %%
# CoMM in a pipeline
# ------------------
#
# Each modality is scaled, then CoMM learns from the 1297 training images without their labels.
# An encoder is any torch module, given as a class that is called with the shape of a row and the
# size of the embedding. An augmentation says in what two pictures of the same digit may differ:
# here by a shift of up to one pixel, noise, and missing pixels.


class HalfEncoder(nn.Sequential):
    """Two convolutions, and one vector from them."""

    def __init__(self, input_shape, embed_dim):
        n_channels, height, width = input_shape
        super().__init__(
            nn.Conv2d(n_channels, 32, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.1),
            nn.Linear(64 * (height // 2) * (width // 2), embed_dim),
        )


def to_unit_range(pixels):
    return pixels / 16


change = Compose([Translate(max_shift=1), GaussianNoise(sigma=0.2), FeatureMasking(fraction=0.15)])
scale = FunctionTransformer(to_unit_range)
comm = CoMM(
    encoders=HalfEncoder,
    fusion="concat_linear",
    embed_dim=256,
    projection_dims=(256, 128),
    augmentation=make_augmentation(top=change, bottom=change),
    learning_rate=2e-3,
    max_epochs=40,
    random_state=SEED,
)
pretrained = make_pipeline(
    make_modality_transformer(top=scale, bottom=scale), comm, StandardScaler()
).fit(X[train])
pretrained

# %%
# Fifty labels
# ------------
#
# The pretrained pipeline is frozen and becomes the first step of a classifier.
# :func:`sklearn.model_selection.cross_val_score` fits the classifier on 50 labelled training
# images, five of each digit, and scores it on the 500 test images. It does so for 20 draws of the
# 50.

draws = StratifiedShuffleSplit(20, train_size=50, random_state=SEED).split(train, digit[train])
few_labels = [(train[rows], test) for rows, _ in draws]
all_labels = [(train, test)]


def accuracy(features, labelled):
    classifier = make_pipeline(FrozenEstimator(features), LogisticRegression(max_iter=5000))
    return cross_val_score(classifier, X, digit, cv=labelled)


accuracies = {"CoMM": accuracy(pretrained, few_labels)}
print(f"CoMM, 50 labels: {accuracies['CoMM'].mean():.3f} of the test images are right")
