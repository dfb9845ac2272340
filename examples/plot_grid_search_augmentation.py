"""
How strong should the augmentation be?
======================================

Contrastive learning calls two augmented views of a row the same thing. Too weak an augmentation
makes that trivial, too strong a one destroys what tells rows apart: somewhere between lies the
"sweet spot". With labels for a downstream task it is found as any other parameter is, with
:class:`~sklearn.model_selection.GridSearchCV` over `augmentation_strength`, which scales all
augmentations at once: 0 leaves the rows as they are, 1 is the strength that the literature uses.

The script takes about a minute on two CPU cores.
"""

# %%
# The data
# --------
#
# The top and the bottom half of 600 handwritten digits are two modalities.

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from mmcontrast import CoMM, Modalities, make_modality_transformer
from mmcontrast.augmentation import Compose, GaussianNoise, Translate, make_augmentation

pixels, digit = load_digits(return_X_y=True)
pixels, _, y, _ = train_test_split(
    pixels.reshape(-1, 1, 8, 8), digit, train_size=600, stratify=digit, random_state=0
)
X = Modalities(top=pixels[:, :, :4], bottom=pixels[:, :, 4:])

# %%
# The pipeline
# ------------
#
# At strength 1 a half is shifted by up to one pixel in each direction, vacated pixels are empty,
# and noise with a tenth of the modality's standard deviation is added to every other view. A
# classifier by nearest neighbours shows what is close to what in the embedding.


def to_unit_range(pixels):
    return pixels / 16


change = Compose([Translate(max_shift=1), GaussianNoise(sigma=0.1)])
scale = FunctionTransformer(to_unit_range)
pipe = make_pipeline(
    make_modality_transformer(top=scale, bottom=scale),
    CoMM(
        augmentation=make_augmentation(top=change, bottom=change),
        projection_dims=(128, 64),
        learning_rate=2e-3,
        max_epochs=10,
        random_state=0,
    ),
    KNeighborsClassifier(),
)

# %%
# The search
# ----------
#
# CoMM is trained anew for each strength and fold, two at a time. It never sees the labels, nor the
# images of the fold that is scored.

strengths = [0, 0.25, 0.5, 1, 2]
search = GridSearchCV(
    pipe,
    {"comm__augmentation_strength": strengths},
    cv=StratifiedKFold(3, shuffle=True, random_state=0),
    n_jobs=2,
).fit(X, y)
mean, sd = (search.cv_results_[key] for key in ("mean_test_score", "std_test_score"))
for strength, m, s in zip(strengths, mean, sd, strict=True):
    print(f"strength {strength:4}: accuracy {m:.3f} ± {s:.3f}")

# %%
# One modality at a time
# ----------------------
#
# The strength of one modality is a parameter as well: here the bottom half is left as it is.

pipe.set_params(comm__augmentation__bottom__strength=0)
pipe.get_params()["comm__augmentation__bottom__strength"]

# %%
# The curve
# ---------
#
# Without augmentation the embedding is worse, and a shift of two pixels, on halves of four rows,
# destroys the digit: there is a sweet spot in between. A shift is drawn and rounded to whole
# pixels, so a quarter of the strength already shifts some of the images. With three folds and one
# random state, a difference of two points between neighbours on the curve means little.

import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
ax.errorbar(strengths, mean, sd, color="k", marker="o", capsize=3)
best = int(np.argmax(mean))
ax.plot(strengths[best], mean[best], "o", color="C1", markersize=11, zorder=0, label="best")
ax.set(xlabel="augmentation strength", ylabel="accuracy on held-out folds (mean ± sd)")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)

# sphinx_gallery_start_ignore
import sys

if "sphinx_gallery" not in sys.modules:
    fig.savefig("grid_search_augmentation.png", dpi=150)
    print("The figure is in grid_search_augmentation.png")
# sphinx_gallery_end_ignore
