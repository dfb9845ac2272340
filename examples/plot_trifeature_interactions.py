"""
What is shared, unique and synergistic in pairs of images
=========================================================

Contrastive learning across modalities keeps what they share. Here three methods learn from the
same pairs of Trifeature images, without labels, and a linear probe asks each embedding for the
shape that both images have (redundant, R), the texture of each image (unique, U) and whether the
colour of the second image is the one that a fixed map gives to the texture of the first
(synergistic, S).

The script takes under three minutes on two cores. It is small: the tables of the benchmarks have
larger networks and longer training.
"""

# %%
# Pairs of images
# ---------------
#
# All methods are trained on pairs of one shape and two textures; whether a pair respects the map is
# left to chance, so that nothing in the training data gives the question away. The probe for it
# is fitted and tested on pairs half of which respect the map, and in which no image alone tells
# which half a pair belongs to.

import joblib
import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mmcontrast import CoMM, CrossModal, CrossSelf
from mmcontrast.augmentation import Compose, HorizontalFlip, Translate, make_augmentation
from mmcontrast.datasets import make_trifeature, make_trifeature_pairs

data = make_trifeature(32)
X, _ = make_trifeature_pairs(data, 5000, random_state=0)
probe, known = make_trifeature_pairs(data, 4000, random_state=1)
test, asked = make_trifeature_pairs(data, 2000, split="test", random_state=2)
probe_s, known_s = make_trifeature_pairs(data, 4000, balanced=True, random_state=3)
test_s, asked_s = make_trifeature_pairs(data, 2000, split="test", balanced=True, random_state=4)

fig, axes = plt.subplots(2, 6, figsize=(9, 3), layout="constrained")
for column, pair in zip(axes.T, X[:6]["image1"], strict=True):
    column[0].imshow(pair.transpose(1, 2, 0))
for column, pair in zip(axes.T, X[:6]["image2"], strict=True):
    column[1].imshow(pair.transpose(1, 2, 0))
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel("image1")
axes[1, 0].set_ylabel("image2")
fig.suptitle("Pairs: one shape, two textures, two colours")

# %%
# Three methods, one encoder
# --------------------------
#
# ``CrossModal`` aligns one image with the other (CLIP), ``CrossSelf`` aligns in addition each image
# with its own augmentation (SLIP), and ``CoMM`` aligns augmentations of the fused pair. Its
# ``fusion="interaction"`` adds products of both images' codes to the embedding. An augmentation has
# to keep what will be asked for. A crop that is scaled back to so few pixels blurs the texture, so
# the images are moved instead, over their grey background; and there is no jitter of colours,
# because colour is one of the factors.

mild = Compose([Translate(5, fill=128 / 255), HorizontalFlip()])
augmentation = make_augmentation(image1=mild, image2=mild)
shared = dict(
    embed_dim=96,
    augmentation=augmentation,
    batch_size=256,
    learning_rate=3e-3,
    precision="bf16",
    device="cpu",
    random_state=0,
)
methods = {
    "CrossModal": CrossModal(max_epochs=8, **shared),
    "CrossSelf": CrossSelf(max_epochs=8, **shared),
    "CoMM": CoMM(fusion="interaction", interaction_dim=400, max_epochs=8, **shared),
}
untrained = clone(methods["CoMM"]).set_params(learning_rate=1e-12, max_epochs=1)


# %%
# Probes
# ------
#
# Each question is answered by a logistic regression of the frozen embedding, on images that neither
# the methods nor the probes have seen.


def correct(estimator):
    """Whether each test pair is answered correctly, per question."""
    fitted = estimator.fit(X)
    Z, Z_test = fitted.transform(probe), fitted.transform(test)
    answers = {
        label: classifier().fit(Z, known[label]).predict(Z_test) == asked[label]
        for label in ("shape", "texture1", "texture2")
    }
    synergy = classifier().fit(fitted.transform(probe_s), known_s["synergy"])
    answers["synergy"] = synergy.predict(fitted.transform(test_s)) == asked_s["synergy"]
    return answers


def classifier():
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))


estimators = {**methods, "untrained CoMM": untrained}
answers = joblib.Parallel(n_jobs=2)(joblib.delayed(correct)(e) for e in estimators.values())

# %%
# Redundancy, uniqueness and synergy
# ----------------------------------
#
# Bars are accuracies, lines 95 % intervals over the first images of the test pairs, which are
# resampled with all of their pairs (bootstrap); dashed lines are chance. The intervals say nothing
# about other random initialisations.

questions = {
    "R: shape": ("shape",),
    "U: texture": ("texture1", "texture2"),
    "S: map respected": ("synergy",),
}
rng = np.random.default_rng(0)


def interval(hits, image):
    """Mean of hits and its interval, if images are drawn anew with all their pairs."""
    _, image = np.unique(image, return_inverse=True)
    n_hits, n_pairs = np.bincount(image, hits), np.bincount(image)
    drawn = rng.integers(len(n_pairs), size=(1000, len(n_pairs)))
    draws = n_hits[drawn].sum(axis=1) / n_pairs[drawn].sum(axis=1)
    return hits.mean(), *np.quantile(draws, [0.025, 0.975])


fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
for i, (name, found) in enumerate(zip(estimators, answers, strict=True)):
    for j, labels in enumerate(questions.values()):
        hits = np.mean([found[label] for label in labels], axis=0)
        row = (asked_s if labels == ("synergy",) else asked)["row1"]
        mean, low, high = interval(hits, row)
        error = [[mean - low], [high - mean]]
        bar = ax.bar(j + 0.2 * (i - 1.5), mean, 0.18, yerr=error, color=f"C{i}", capsize=3)
        bar.set_label(name if j == 0 else None)
for j, chance in enumerate((0.1, 0.1, 0.5)):
    ax.hlines(chance, j - 0.45, j + 0.45, color="k", linestyle="--", linewidth=1)
ax.set(xticks=range(3), xticklabels=questions, ylabel="test accuracy", ylim=(0, 1.1))
ax.legend(loc="upper center", ncols=4, frameon=False)
plt.show()
