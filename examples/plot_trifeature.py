"""
Images whose interactions are known
===================================

What two modalities have in common, what one of them holds alone and what only both together tell:
on real data nobody knows the truth. Trifeature is an answer for images. A shape, a texture and a
colour are drawn independently, and pairs of images are chosen such that one of the three is shared
(redundant), one is each image's own (unique), and a question about the pair can be answered from
both images alone (synergistic).

The script takes a few seconds.
"""

# %%
# Ten shapes, ten textures, ten colours
# -------------------------------------
#
# :func:`~mmcontrast.datasets.make_trifeature` draws all 1 000 combinations on a canvas of any size.
# Place, angle and the angle of the texture are random. Here are 100 of the images; rows are shapes,
# columns are textures, and each colour is once in each row and column.

import matplotlib.pyplot as plt
import numpy as np

from mmcontrast.datasets import make_trifeature, make_trifeature_pairs

data = make_trifeature(112, n_renders=1)


def show(ax, row):
    ax.imshow(data.images[row].transpose(1, 2, 0))
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def label_grid(axes, rows, columns):
    for ax, name in zip(axes[0], columns, strict=True):
        ax.set_title(name, fontsize=9)
    for ax, name in zip(axes[:, 0], rows, strict=True):
        ax.set_ylabel(name, fontsize=9, rotation=0, ha="right", va="center")


GAPS = dict(left=0.09, right=0.99, bottom=0.01, top=0.93, wspace=0.04, hspace=0.04)
where = np.empty((10, 10, 10), dtype=int)
where[data["shape"], data["texture"], data["colour"]] = np.arange(len(data.images))

sheet, axes = plt.subplots(10, 10, figsize=(10, 10), gridspec_kw=GAPS)
for shape in range(10):
    for texture in range(10):
        show(axes[shape, texture], where[shape, texture, (shape + texture) % 10])
label_grid(axes, data.shape_names, data.texture_names)

# %%
# Pairs
# -----
#
# :func:`~mmcontrast.datasets.make_trifeature_pairs` gives :class:`~mmcontrast.Modalities` of two
# images each and the targets of the probes. The 10 000 pairs are rows of the images above, not
# copies.

X, targets = make_trifeature_pairs(data, 10_000, random_state=0)
print(X)
print("the same shape:     ", np.mean(data["shape"][targets["row2"]] == targets["shape"]))
print("the same texture:   ", np.mean(targets["texture1"] == targets["texture2"]))
print("respects the map:   ", np.mean(targets["synergy"]))

# %%
# The map
# -------
#
# The synergistic question is whether the colour of the second image is the one that a fixed map
# gives to the texture of the first. Each first image of the figure, one of each texture, is shown
# with a second one that respects the map and with one that does not. With ``balanced=True`` every
# image is in as many pairs of either kind: one image alone tells nothing about the answer.

_, test_targets = make_trifeature_pairs(data, 2000, split="test", balanced=True, random_state=0)
kinds = test_targets["synergy"] == 1, test_targets["synergy"] == 0
for name in ("texture1", "colour2"):
    yes, no = (np.bincount(test_targets[name][kind]) for kind in kinds)
    print(f"{name}: {yes} if the map is respected, {no} if not")

pairs, axes = plt.subplots(3, 10, figsize=(10, 3.2), gridspec_kw={**GAPS, "left": 0.12})
for texture in range(10):
    first = test_targets["row1"][test_targets["texture1"] == texture][0]
    seconds = [test_targets["row2"][kind & (test_targets["row1"] == first)][0] for kind in kinds]
    for ax, row in zip(axes[:, texture], (first, *seconds), strict=True):
        show(ax, row)
label_grid(axes, ["first", "second,\nrespects", "second,\ndoes not"], data.texture_names)

# %%
# Planted or not
# --------------
#
# The papers train on pairs that all respect the map. Then texture and colour determine each other,
# and what is called synergy in the test is redundant in training. `biased` sets the share of pairs
# that are chosen in this way: at 0 the two are independent, and a model that reads the question
# from both images has learned synergy.

for biased in (0, 0.5, 1):
    _, targets = make_trifeature_pairs(data, 10_000, biased=biased, random_state=0)
    print(f"biased={biased}: {targets['synergy'].mean():.0%} of the pairs respect the map")

# sphinx_gallery_start_ignore
import sys

if "sphinx_gallery" not in sys.modules:
    sheet.savefig("trifeature.png", dpi=150)
    pairs.savefig("trifeature_pairs.png", dpi=150)
    print("The figures are in trifeature.png and trifeature_pairs.png")
# sphinx_gallery_end_ignore
