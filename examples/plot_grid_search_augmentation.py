"""
How strong should the augmentation be?
======================================

Contrastive learning keeps what two augmented views of the same object share. Augmentation that is
too weak leaves details in the embedding that tell one image from another and nothing about the
digit; augmentation that is too strong takes the digit away as well. Between them lies the *sweet
spot* [1]_. It is a parameter like any other, and :class:`~sklearn.model_selection.GridSearchCV`
looks for it.

The script takes about a minute on two CPU cores.
"""

# %%
# A pipeline with an augmentation of our own
# ------------------------------------------
#
# The modalities are the top and the bottom half of 600 handwritten digits. Both are augmented by
# shifts of up to one pixel and by noise, at strength 1; strength 2 is twice as far and twice as
# loud, and strength 0 is no augmentation. CoMM ignores the labels; only the classifier at the end
# of the pipeline sees them.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import resample
from threadpoolctl import threadpool_limits

from mmcontrast import CoMM, Modalities, make_modality_transformer
from mmcontrast.augmentation import Compose, GaussianNoise, Translate, make_augmentation

threadpool_limits(1)  # the search runs two fits at a time, and small fits gain nothing by threads
SEED = 0

pixels, digit = load_digits(return_X_y=True)
pixels, digit = resample(
    pixels.reshape(-1, 1, 8, 8), digit, n_samples=600, replace=False, random_state=SEED
)
X = Modalities(top=pixels[:, :, :4], bottom=pixels[:, :, 4:])


def to_unit_range(pixels):
    return pixels / 16


scale = FunctionTransformer(to_unit_range)
change = Compose([Translate(max_shift=1), GaussianNoise(sigma=0.1)])
pipeline = make_pipeline(
    make_modality_transformer(top=scale, bottom=scale),
    CoMM(
        augmentation=make_augmentation(top=change, bottom=change),
        fusion="concat_linear",
        embed_dim=256,
        projection_dims=(256, 128),
        temperature=0.3,
        learning_rate=2e-3,
        max_epochs=20,
        random_state=SEED,
    ),
    StandardScaler(),
    LogisticRegression(max_iter=2000),
)
pipeline

# %%
# The search
# ----------
#
# ``comm__augmentation_strength`` scales all augmentations at once. Each value is scored by
# three-fold cross-validation of the whole pipeline, so that the embedding never sees the images
# it is judged by.

strengths = [0, 0.25, 0.5, 1, 2, 4]
folds = StratifiedKFold(3, shuffle=True, random_state=SEED)
search = GridSearchCV(pipeline, {"comm__augmentation_strength": strengths}, cv=folds, n_jobs=2).fit(
    X, digit
)

mean = search.cv_results_["mean_test_score"]
spread = search.cv_results_["std_test_score"]
print("strength  accuracy ± sd over folds")
for row in zip(strengths, mean, spread, strict=True):
    print("{:8g}  {:.3f} ± {:.3f}".format(*row))

# %%

fig, axes = plt.subplots(figsize=(6, 4), layout="constrained")
place = np.arange(len(strengths))  # evenly spaced: 0 has no place on a logarithmic axis
axes.errorbar(place, mean, spread, color="0.3", marker="o", capsize=3)
best = search.best_index_
axes.plot(best, mean[best], "o", color="C1", markersize=11, label=f"best: {strengths[best]:g}")
axes.set_xticks(place, [f"{strength:g}" for strength in strengths])
axes.set(xlabel="augmentation strength", ylabel="accuracy (mean ± sd of 3 folds)")
axes.legend(frameon=False)
axes.spines[["top", "right"]].set_visible(False)

# %%
# One modality at a time
# ----------------------
#
# Every modality has a strength of its own as well, ``comm__augmentation__<modality>__strength``,
# which multiplies the common one, and further down every augmentation has its parameters:
# ``comm__augmentation__top__gaussiannoise__sigma``. All of them can be searched over. Here the top
# half is left as it is:

one_sided = clone(search.best_estimator_).set_params(comm__augmentation__top__strength=0)
accuracy = cross_val_score(one_sided, X, digit, cv=folds, n_jobs=2)
print(f"only the bottom half augmented: {accuracy.mean():.3f} ± {accuracy.std():.3f}")
