"""Encoders of images and maps: from (batch, n_channels, height, width) to feature maps.

The maps keep their channels; a converter such as `PatchEmbedding` turns them into tokens.

All of them work in the ``channels_last`` memory format, whatever the format of their input: the
numbers are the same up to rounding, and the CPU and the tensor cores of a GPU need less time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from mmcontrast.nn.converters import check_positive_int, check_shape

__all__ = ["AlexNetEncoder", "CNNEncoder", "ResNet18Encoder", "ResNet50Encoder"]

_SMALLEST_ALEXNET = 63
# below this many pixels the stem of ResNets for ImageNet leaves next to nothing of an image
_SMALL = 64
_STEMS = ("auto", "imagenet", "small")


class _ImageEncoder(nn.Module):
    """Shapes, checks and memory format of the encoders of images; `layers` is the network."""

    layers: nn.Module

    def __init__(self, input_shape: Sequence[int], embed_dim: int) -> None:
        super().__init__()
        self.input_shape = check_shape("input_shape", input_shape)
        self.embed_dim = check_positive_int("embed_dim", embed_dim)
        if len(self.input_shape) != 3:
            raise ValueError(
                f"{type(self).__name__} encodes rows of shape (n_channels, height, width), got "
                f"{self.input_shape}"
            )
        self._check_size(self.input_shape[1:])

    def forward(self, x: Tensor) -> Tensor:
        """Encode.

        Parameters
        ----------
        x : Tensor of shape (batch, n_channels, height, width)
            Images or maps; of other sizes than `input_shape`, too, down to the smallest one that
            the network takes.

        Returns
        -------
        Tensor of shape (batch, n_features, map_height, map_width)
            Feature map.

        Raises
        ------
        ValueError
            If `x` has another number of channels or dimensions, or too few pixels.
        """
        n_channels = self.input_shape[0]
        if x.ndim != 4 or x.shape[1] != n_channels:
            raise ValueError(
                f"{type(self).__name__} expects a batch of shape (batch, {n_channels}, height, "
                f"width), got {tuple(x.shape)}"
            )
        self._check_size(x.shape[2:])
        # the memory format of the weights carries over
        return self.layers(x)

    def _check_size(self, size: Sequence[int]) -> None:
        """Refuse images that are too small."""


class CNNEncoder(_ImageEncoder):
    """Small 2-D convolutional network for images and maps.

    Each block is a 3×3 convolution, batch normalisation, ReLU and a maximum over 2×2; a side of the
    map that would fall below 2 is not halved. Convolutions are Kaiming normal (fan-out), batch
    normalisation starts at weight 1 and bias 0.

    Parameters
    ----------
    input_shape : tuple of int
        (n_channels, height, width) of one row.
    embed_dim : int, default=64
        Width of the tokens that the map will be converted to; the map itself keeps ``channels[-1]``
        channels.
    channels : sequence of int, default=None
        Widths of the blocks. By default 24, 48, 96, 192, 192, … with two blocks, or as many, up to
        six, as bring the map to 7×7.

    Raises
    ------
    ValueError
        If a row is no image, or a parameter is out of range.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import CNNEncoder
    >>> CNNEncoder((1, 4, 8))(torch.zeros(3, 1, 4, 8)).shape
    torch.Size([3, 48, 2, 2])
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        embed_dim: int = 64,
        *,
        channels: Sequence[int] | None = None,
    ) -> None:
        super().__init__(input_shape, embed_dim)
        n_channels, *size = self.input_shape
        widths = _default_channels(size) if channels is None else check_shape("channels", channels)
        if not widths:
            raise ValueError("channels must name at least one block, got an empty sequence")
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise((n_channels, *widths)):
            layers += [_conv(n_in, n_out, 3), nn.BatchNorm2d(n_out), nn.ReLU()]
            stride = tuple(2 if side > 2 else 1 for side in size)
            if max(stride) > 1:
                layers.append(nn.MaxPool2d(stride, ceil_mode=True))
            size = [math.ceil(side / step) for side, step in zip(size, stride, strict=True)]
        self.layers = _channels_last(nn.Sequential(*layers))


class AlexNetEncoder(_ImageEncoder):
    """Convolutions of AlexNet in its one-column form, without the classifier.

    Five convolutions and three maxima: an image of 224 pixels becomes a map of 256 channels and
    6×6 positions. It has 2.47 million parameters.

    Convolutions are Kaiming normal and biases zero. Where nothing is normalised, the variance is
    set by the fan-in, so that it stays the same from layer to layer [2]_; with batch normalisation
    it is set by the fan-out, as in residual networks.

    Parameters
    ----------
    input_shape : tuple of int
        (n_channels, height, width) of one row; height and width of at least 63 pixels.
    embed_dim : int, default=64
        Width of the tokens that the map will be converted to; the map itself has 256 channels.
    batch_norm : bool, default=False
        Whether to normalise after each convolution, which then has no bias.

    Raises
    ------
    ValueError
        If a row is no image, or one of fewer than 63 pixels.

    References
    ----------
    .. [1] Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014.
    .. [2] He et al., "Delving deep into rectifiers", ICCV 2015, equation 10.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import AlexNetEncoder
    >>> AlexNetEncoder((3, 224, 224))(torch.zeros(1, 3, 224, 224)).shape
    torch.Size([1, 256, 6, 6])
    """

    def __init__(
        self, input_shape: Sequence[int], embed_dim: int = 64, *, batch_norm: bool = False
    ) -> None:
        super().__init__(input_shape, embed_dim)
        n_channels = self.input_shape[0]

        def block(n_in: int, n_out: int, kernel_size: int, stride: int = 1) -> list[nn.Module]:
            padding = 2 if kernel_size > 3 else 1
            if batch_norm:
                conv = _conv(n_in, n_out, kernel_size, stride, padding=padding)
                return [conv, nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)]
            conv = nn.Conv2d(n_in, n_out, kernel_size, stride, padding)
            nn.init.kaiming_normal_(conv.weight, mode="fan_in", nonlinearity="relu")
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
            return [conv, nn.ReLU(inplace=True)]

        self.layers = _channels_last(
            nn.Sequential(
                *block(n_channels, 64, 11, stride=4),
                nn.MaxPool2d(3, stride=2),
                *block(64, 192, 5),
                nn.MaxPool2d(3, stride=2),
                *block(192, 384, 3),
                *block(384, 256, 3),
                *block(256, 256, 3),
                nn.MaxPool2d(3, stride=2),
            )
        )

    def _check_size(self, size: Sequence[int]) -> None:
        if min(size) < _SMALLEST_ALEXNET:
            raise ValueError(
                f"AlexNetEncoder needs images of at least {_SMALLEST_ALEXNET} pixels on each side, "
                f'got {size[0]} x {size[1]}; use "cnn" or "resnet18" for small ones'
            )


class _Block(nn.Module):
    """Residual block: what `body` adds to its input, which is projected where shapes differ."""

    def __init__(self, n_in: int, n_out: int, stride: int, *body: nn.Module) -> None:
        super().__init__()
        self.n_out = n_out
        self.body = nn.Sequential(*body)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or n_in != n_out:
            self.shortcut = nn.Sequential(_conv(n_in, n_out, 1, stride), nn.BatchNorm2d(n_out))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.body(x) + self.shortcut(x))


class _BasicBlock(_Block):
    """Two 3×3 convolutions."""

    def __init__(self, n_in: int, width: int, stride: int) -> None:
        super().__init__(
            n_in,
            width,
            stride,
            *_conv_norm_relu(n_in, width, 3, stride),
            _conv(width, width, 3),
            nn.BatchNorm2d(width),
        )


class _Bottleneck(_Block):
    """A 1×1 convolution to a quarter of the width, a 3×3 and a 1×1 back."""

    def __init__(self, n_in: int, width: int, stride: int) -> None:
        super().__init__(
            n_in,
            4 * width,
            stride,
            *_conv_norm_relu(n_in, width, 1),
            *_conv_norm_relu(width, width, 3, stride),
            _conv(width, 4 * width, 1),
            nn.BatchNorm2d(4 * width),
        )


class _ResNetEncoder(_ImageEncoder):
    """Residual network without the mean over positions and the classifier."""

    _n_blocks: tuple[int, ...]
    _block: type[_BasicBlock] | type[_Bottleneck]

    def __init__(
        self,
        input_shape: Sequence[int],
        embed_dim: int = 64,
        *,
        stem: str = "auto",
        width: int = 64,
    ) -> None:
        super().__init__(input_shape, embed_dim)
        if stem not in _STEMS:
            raise ValueError(f"stem must be one of {list(_STEMS)}, got {stem!r}")
        width = check_positive_int("width", width)
        n_channels, *size = self.input_shape
        if stem == "auto":
            stem = "small" if min(size) < _SMALL else "imagenet"
        layers, n_in = _stem(n_channels, stem, width), width
        for stage, n_blocks in enumerate(self._n_blocks):
            for number in range(n_blocks):
                block = self._block(n_in, width * 2**stage, stride=2 if stage and not number else 1)
                layers.append(block)
                n_in = block.n_out
        self.layers = _channels_last(nn.Sequential(*layers))


class ResNet18Encoder(_ResNetEncoder):
    """Residual network of 18 layers, without the mean over positions and the classifier.

    An image of 224 pixels becomes a map of 512 channels and 7×7 positions. It has 11.2 million
    parameters. Convolutions are Kaiming normal (fan-out), batch normalisation starts at weight 1
    and bias 0.

    Parameters
    ----------
    input_shape : tuple of int
        (n_channels, height, width) of one row.
    embed_dim : int, default=64
        Width of the tokens that the map will be converted to; the map itself has 8 times `width`
        channels.
    stem : {"auto", "imagenet", "small"}, default="auto"
        "imagenet" begins with a 7×7 convolution and a maximum that divide height and width by 4;
        "small" with a 3×3 convolution that keeps them [2]_. "auto" is "small" below 64 pixels.
    width : int, default=64
        Channels of the stem and of the first stage; every later stage has twice those of the one
        before. On a CPU, small images want fewer: with a quarter of them there is about a
        sixteenth of the multiplications.

    Raises
    ------
    ValueError
        If a row is no image, `stem` is none of the above, or `width` is no positive number.

    References
    ----------
    .. [1] He et al., "Deep residual learning for image recognition", CVPR 2016, table 1.
    .. [2] Chen et al., "A simple framework for contrastive learning of visual representations",
       ICML 2020, appendix B.9.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import ResNet18Encoder
    >>> ResNet18Encoder((3, 32, 32))(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 512, 4, 4])
    """

    _n_blocks = (2, 2, 2, 2)
    _block = _BasicBlock


class ResNet50Encoder(_ResNetEncoder):
    """Residual network of 50 layers, without the mean over positions and the classifier.

    An image of 224 pixels becomes a map of 2 048 channels and 7×7 positions. It has 23.5 million
    parameters. Blocks that halve the map do so in their 3×3 convolution, which looks at every
    position. Convolutions are Kaiming normal (fan-out), batch normalisation starts at weight 1 and
    bias 0.

    Parameters
    ----------
    input_shape : tuple of int
        (n_channels, height, width) of one row.
    embed_dim : int, default=64
        Width of the tokens that the map will be converted to; the map itself has 32 times `width`
        channels.
    stem : {"auto", "imagenet", "small"}, default="auto"
        "imagenet" begins with a 7×7 convolution and a maximum that divide height and width by 4;
        "small" with a 3×3 convolution that keeps them [2]_. "auto" is "small" below 64 pixels.
    width : int, default=64
        Channels of the stem and of the first stage; every later stage has twice those of the one
        before. On a CPU, small images want fewer: with a quarter of them there is about a
        sixteenth of the multiplications.

    Raises
    ------
    ValueError
        If a row is no image, `stem` is none of the above, or `width` is no positive number.

    References
    ----------
    .. [1] He et al., "Deep residual learning for image recognition", CVPR 2016, table 1.
    .. [2] Chen et al., "A simple framework for contrastive learning of visual representations",
       ICML 2020, appendix B.9.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import ResNet50Encoder
    >>> ResNet50Encoder((1, 16, 16))(torch.zeros(2, 1, 16, 16)).shape
    torch.Size([2, 2048, 2, 2])
    """

    _n_blocks = (3, 4, 6, 3)
    _block = _Bottleneck


def _stem(n_channels: int, stem: str, width: int) -> list[nn.Module]:
    if stem == "small":
        return _conv_norm_relu(n_channels, width, 3)
    return [*_conv_norm_relu(n_channels, width, 7, 2), nn.MaxPool2d(3, stride=2, padding=1)]


def _conv_norm_relu(n_in: int, n_out: int, kernel_size: int, stride: int = 1) -> list[nn.Module]:
    conv = _conv(n_in, n_out, kernel_size, stride)
    return [conv, nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)]


def _conv(
    n_in: int, n_out: int, kernel_size: int, stride: int = 1, padding: int | None = None
) -> nn.Conv2d:
    """Convolution without a bias, Kaiming normal by its fan-out; it keeps the size by default."""
    padding = kernel_size // 2 if padding is None else padding
    conv = nn.Conv2d(n_in, n_out, kernel_size, stride, padding, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


def _default_channels(size: Sequence[int], max_side: int = 7, max_blocks: int = 6) -> list[int]:
    n_blocks = max(math.ceil(math.log2(max(size) / max_side)), 2)
    return [min(24 * 2**i, 192) for i in range(min(n_blocks, max_blocks))]


def _channels_last(layers: nn.Sequential) -> nn.Sequential:
    return layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
