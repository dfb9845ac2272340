"""Standardised channels of images, maps and recordings."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import OneToOneFeatureMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from ..modalities._values import from_tensor, is_epochs, is_tensor
from ._checks import ArrayTransformer, batches


class ChannelScaler(OneToOneFeatureMixin, ArrayTransformer):
    """Give each channel of images, maps or recordings mean 0 and standard deviation 1.

    Both are taken over all rows and positions in `fit`, so that what differs between the rows or
    between the positions of a channel stays. For images, these are the statistics that networks
    are usually given; for a table it does what :class:`sklearn.preprocessing.StandardScaler` does,
    which takes nothing else.

    Attributes
    ----------
    mean_ : ndarray of shape (n_channels,)
        Mean of each channel.
    scale_ : ndarray of shape (n_channels,)
        Standard deviation of each channel; 1 where a channel is constant.
    n_features_in_ : int
        Number of channels.
    feature_names_in_ : ndarray of str
        Names of the columns of a DataFrame.

    Raises
    ------
    ValueError
        If values are missing or not finite, or `transform` is given other channels than `fit`.

    See Also
    --------
    mmcontrast.preprocessing.ImageLayout : Check images first.
    mmcontrast.make_modality_transformer : Apply it to one modality of several.

    Notes
    -----
    Augmentations of colours need images in [0, 1] and refuse standardised ones.

    Examples
    --------
    >>> import numpy as np
    >>> from mmcontrast.preprocessing import ChannelScaler
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(loc=[[[[1.0]], [[5.0]]]], scale=0.01, size=(20, 2, 8, 8))
    >>> Z = ChannelScaler().fit_transform(X)
    >>> Z.shape, bool(abs(Z.mean(axis=(0, 2, 3))).max() < 1e-4)
    ((20, 2, 8, 8), True)
    >>> Z.std(axis=(0, 2, 3)).round(3)
    array([1., 1.], dtype=float32)
    """

    mean_: np.ndarray
    scale_: np.ndarray

    def fit(self, X: Any, y: Any = None) -> ChannelScaler:
        """Learn mean and standard deviation of each channel.

        Parameters
        ----------
        X : array of shape (n_samples, n_channels, ...), tensor, DataFrame or mne.Epochs
            Images, maps, recordings, or a table whose columns are channels.
        y : None
            Ignored.

        Returns
        -------
        self : ChannelScaler
            The fitted transformer.
        """
        values = self._read(X, reset=True)
        n = values[:, :1].size
        sums = [_channel_sums(values[rows]) for rows in batches(values)]
        self.mean_ = np.sum(sums, axis=0) / n
        centre = _along_channels(self.mean_, values)
        squares = [_channel_sums((values[rows] - centre) ** 2) for rows in batches(values, 2)]
        deviation = np.sqrt(np.sum(squares, axis=0) / n)
        # what is left of a constant by rounding is no deviation
        constant = deviation <= 10 * np.finfo(np.float64).eps * np.abs(self.mean_)
        self.scale_ = np.where(constant, 1.0, deviation)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Subtract the mean of each channel, and divide by its standard deviation.

        Parameters
        ----------
        X : array of shape (n_samples, n_channels, ...), tensor, DataFrame or mne.Epochs
            Rows with the channels of `fit`, maybe of another height, width or length.

        Returns
        -------
        scaled : ndarray of float32, shape as `X`
            The standardised rows.
        """
        check_is_fitted(self)
        values = self._read(X, reset=False)
        centre, scale = (_along_channels(v, values) for v in (self.mean_, self.scale_))
        scaled = np.empty(values.shape, dtype=np.float32)
        for rows in batches(values, copies=2):
            scaled[rows] = (values[rows] - centre) / scale
        return scaled

    def _read(self, X: Any, *, reset: bool) -> np.ndarray:
        """Validate rows: an array of at least two axes, of which the second is the channels."""
        if is_epochs(X):
            X = X.get_data(copy=False)
        elif is_tensor(X):
            X = from_tensor("X", X)
        return validate_data(self, X, reset=reset, dtype="numeric", allow_nd=True)


def _channel_sums(values: np.ndarray) -> np.ndarray:
    others = tuple(axis for axis in range(values.ndim) if axis != 1)
    return values.sum(axis=others, dtype=np.float64)


def _along_channels(of_channels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Axes of length 1, so that values of the channels go with `values`."""
    return of_channels.reshape(-1, *(1,) * (values.ndim - 2))
