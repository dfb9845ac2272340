"""Images as one array (n_images, n_channels, height, width), and what is wrong with others."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import OneToOneFeatureMixin, _fit_context
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from .._warnings import warn
from ..modalities._values import from_tensor, is_tensor
from ._checks import ArrayTransformer, batches

# numbers of channels by which the axis of the channels is known: grey, RGB, RGB and opacity
_IMAGE_CHANNELS = (1, 3, 4)
# of PIL: grey, RGB, RGB and opacity, 0 and 1; None is an array
_MODES = {None, "L", "RGB", "RGBA", "1"}
# bytes of a photo are brighter than this somewhere
_DARK = 15
# interpolation in float32 leaves [0, 1] by so much
_ROUNDING = 1e-6
_LAYOUTS = {
    "first": "(n_images, n_channels, height, width)",
    "last": "(n_images, height, width, n_channels)",
}


class ImageLayout(OneToOneFeatureMixin, ArrayTransformer):
    """Check images, and lay them out as (n_images, n_channels, height, width).

    Images are uint8 (0 to 255) or floats in [0, 1], all of one size. uint8 images stay uint8,
    which takes a quarter of the memory: estimators scale them to [0, 1], batch by batch.

    Parameters
    ----------
    channels : {"first", "last"} or None, default="first"
        Where the channels are: "first" in (n_images, n_channels, height, width), "last" in
        (n_images, height, width, n_channels), None in images of one channel without an axis for
        it, (n_images, height, width).

    Attributes
    ----------
    image_shape_ : tuple of int or None
        (n_channels, height, width) of an image; None for a table.
    dtype_ : numpy.dtype or None
        uint8 or float32, what `transform` returns; None for a table.
    n_features_in_ : int
        Number of channels, or of columns of a table.
    feature_names_in_ : ndarray of str
        Names of the columns of a DataFrame.

    Raises
    ------
    ValueError
        If images differ in size or in type, are floats outside of [0, 1], or have their channels
        elsewhere than `channels` says.

    See Also
    --------
    mmcontrast.preprocessing.ChannelScaler : Standardise images after this step.
    mmcontrast.make_modality_transformer : Apply it to one modality of several.

    Notes
    -----
    Input is an array, a memmap, a tensor, or a list of arrays or PIL images. What is returned is
    a view of the input where nothing has to be converted, so that memory-mapped uint8 images
    stay in their file.

    "first" is refused where the last axis alone has 1, 3 or 4 entries and is the shortest, and
    "last" where the second one alone has and is: nearly always, the other one is meant.

    Masks and maps of labels are no images: as uint8 they would be divided by 255. Pass them as
    floats, a channel for each label, and without this step.

    A 2-D input is a table that has no layout: it is returned as float32, its values unchecked.
    Flattened images get their axes back with ``X.reshape(-1, height, width)``.

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast.preprocessing import ImageLayout
    >>> photos = np.zeros((5, 32, 48, 3), dtype=np.uint8)
    >>> images = ImageLayout(channels="last").fit_transform(photos)
    >>> images.shape, images.dtype
    ((5, 3, 32, 48), dtype('uint8'))
    >>> ImageLayout(channels=None).fit_transform(np.zeros((5, 8, 8))).shape
    (5, 1, 8, 8)
    """

    _parameter_constraints: dict[str, Any] = {"channels": [StrOptions({"first", "last"}), None]}

    image_shape_: tuple[int, ...] | None
    dtype_: np.dtype | None

    def __init__(self, channels: str | None = "first") -> None:
        self.channels = channels

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> ImageLayout:
        """Check the images and remember their size and type.

        Parameters
        ----------
        X : array of shape (n_images, ...) or list of arrays
            The images.
        y : None
            Ignored.

        Returns
        -------
        self : ImageLayout
            The fitted transformer.
        """
        self._read(X, reset=True)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Check the images and lay them out.

        Parameters
        ----------
        X : array of shape (n_images, ...) or list of arrays
            Images of the size and type of those in `fit`.

        Returns
        -------
        images : ndarray of uint8 or float32, shape (n_images, n_channels, height, width)
            The images, maybe a view of `X`.
        """
        check_is_fitted(self)
        images = self._read(X, reset=False)
        return images if images.dtype == np.uint8 else images.astype(np.float32, copy=False)

    def _read(self, X: Any, *, reset: bool) -> np.ndarray:
        """Validate images and return them with their channels first, or a table as it is."""
        values = _as_array(X)
        is_table = values is None or values.ndim < 3
        if not reset and is_table != (self.image_shape_ is None):
            kinds = {True: "a 2-D table", False: "images"}
            raise ValueError(
                f"ImageLayout was fitted on {kinds[not is_table]} and is given {kinds[is_table]}."
            )
        if values is None or is_table:
            if reset:
                self.image_shape_ = self.dtype_ = None
            table = X if values is None else values
            return validate_data(self, table, reset=reset, dtype=[np.float64, np.float32])
        images = self._channels_first(values)
        _refuse_other_types(images.dtype)
        images = validate_data(
            self, images, reset=reset, dtype=None, allow_nd=True, ensure_all_finite=False
        )
        if images.dtype != np.uint8:
            _refuse_other_values(images)
        elif reset:
            _warn_of_labels(images)
        dtype = np.dtype(np.uint8 if images.dtype == np.uint8 else np.float32)
        if reset:
            self.image_shape_, self.dtype_ = images.shape[1:], dtype
        else:
            self._compare(images.shape[1:], dtype)
        return images

    def _compare(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        """Refuse images of another size or type than those of `fit`."""
        if shape != self.image_shape_:
            raise ValueError(
                f"The images have {_size(shape)} pixels, those of fit had "
                f"{_size(self.image_shape_)}; resize or crop them to one size."
            )
        if dtype != self.dtype_:
            raise ValueError(
                f"The images are {dtype}, those of fit were {self.dtype_}. Convert one of them: "
                "(X / 255).astype('float32'), or (X * 255).round().astype('uint8')."
            )

    def _channels_first(self, values: np.ndarray) -> np.ndarray:
        if self.channels is None:
            if values.ndim == 3:
                return values[:, None]
            raise ValueError(
                "channels=None takes images of one channel, (n_images, height, width), found an "
                f'array of shape {values.shape}; pass channels="first" or channels="last".'
            )
        if values.ndim == 3:
            raise ValueError(
                f"Found images without channels, an array of shape {values.shape}; expected "
                f"{_LAYOUTS[self.channels]}. If this is (n_images, height, width), pass "
                "channels=None; of a single image, pass X[None]."
            )
        if values.ndim > 4:
            raise ValueError(
                f"Found an array of shape {values.shape}; expected {_LAYOUTS[self.channels]}."
            )
        other = _looks_like(values.shape)
        if other not in (None, self.channels):
            raise ValueError(
                f"Found an array of shape {values.shape}, which looks like {_LAYOUTS[other]}, "
                f'while channels="{self.channels}" means {_LAYOUTS[self.channels]}; pass '
                f'channels="{other}".'
            )
        return values if self.channels == "first" else np.moveaxis(values, -1, 1)


def _looks_like(shape: tuple[int, ...]) -> str | None:
    """Where the channels are, if one axis alone can hold them and is the shortest."""
    _, *sizes = shape
    first, last = sizes[0] in _IMAGE_CHANNELS, sizes[2] in _IMAGE_CHANNELS
    if first == last or sizes[0 if first else 2] > min(sizes):
        return None
    return "first" if first else "last"


def _size(shape: Any) -> str:
    return f"{shape[-2]} x {shape[-1]}"


def _as_array(X: Any) -> np.ndarray | None:
    """One array of an array, a tensor or a list of images; None for what can only be a table."""
    if is_tensor(X):
        return from_tensor("X", X)
    if isinstance(X, np.ndarray) and X.dtype != object:
        return X
    if isinstance(X, (list, tuple, np.ndarray)) and np.size(X[:1]) and np.ndim(X[0]) > 1:
        return _stacked(X)
    return None


def _stacked(items: Any) -> np.ndarray:
    """Stack images of one size and type."""
    modes = dict.fromkeys(getattr(item, "mode", None) for item in items)
    if not set(modes) <= _MODES:
        raise ValueError(
            f"Found PIL images of mode {', '.join(map(repr, modes))}, whose numbers are no "
            'brightness of grey, red, green and blue. Convert them: image.convert("RGB").'
        )
    images = [np.asarray(item) for item in items]
    types = [image.dtype for image in images]
    other = next((row for row, dtype in enumerate(types) if dtype != types[0]), None)
    if other is not None:
        raise ValueError(
            f"Images of unlike types: image 0 is {types[0]}, image {other} is {types[other]}. "
            "Convert all of them to uint8 (0 to 255) or all to floats in [0, 1]."
        )
    shapes = [image.shape for image in images]
    if len(set(shapes)) > 1:
        found = ", ".join(map(str, dict.fromkeys(shapes)))
        remedy = (
            "Resize, crop or pad them to one size, for example with PIL.Image.resize."
            if len({shape[:2] for shape in shapes}) > 1
            else "Give all of them the same channels, for example with PIL.Image.convert('RGB')."
        )
        raise ValueError(f"Images of unequal shape: found {found}. {remedy}")
    return np.stack(images)


def _refuse_other_types(dtype: np.dtype) -> None:
    if dtype == np.uint8 or dtype.kind == "f":
        return
    how = "X.astype('uint8') if they hold 0 to 255, or divide them by their largest value"
    if dtype.kind == "b":
        how = "X.astype('float32')"
    raise ValueError(
        f"Images are uint8 (0 to 255) or floats in [0, 1], found {dtype}; convert them with {how}."
    )


def _warn_of_labels(images: np.ndarray) -> None:
    """Say so if bytes are so small that they are labels rather than brightness."""
    highest = max(images[rows].max() for rows in batches(images))
    if 0 < highest <= _DARK:
        warn(
            f"No byte of these uint8 images is above {highest}, and estimators divide them by 255. "
            "If they are masks or labels, pass floats without ImageLayout; if they are images, "
            "stretch them to 0 to 255."
        )


def _refuse_other_values(images: np.ndarray) -> None:
    """Refuse floats that are not finite or not in [0, 1]; images are read in parts."""
    ranges = [(images[rows].min(), images[rows].max()) for rows in batches(images)]
    lowest, highest = np.min([r[0] for r in ranges]), np.max([r[1] for r in ranges])
    if not np.isfinite([lowest, highest]).all():
        raise ValueError(
            "Input X contains NaN or infinity. Images that are missing are absent rows of a "
            "Modalities."
        )
    if lowest < -_ROUNDING or highest > 1 + _ROUNDING:
        raise ValueError(
            f"Float images have to be in [0, 1], found values from {lowest:g} to {highest:g}. "
            "Divide images of 0 to 255 by 255 or pass them as uint8, and standardise after this "
            "step (mmcontrast.preprocessing.ChannelScaler)."
        )
