"""What augmentations of images compute with: crop windows, blur kernels, a turn of the hue."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ._base import AugmentationContext

_ATTEMPTS = 10
# up to this many taps a kernel is applied tap by tap
_FEW_TAPS = 7


def draw_windows(
    context: AugmentationContext,
    n_images: int,
    size: tuple[int, int],
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> Tensor:
    """Draw windows of whole pixels, by area and aspect ratio.

    A draw that does not fit into the image is repeated up to ten times; after that the window is
    the largest centred one whose aspect ratio is in range.

    Parameters
    ----------
    context : AugmentationContext
        Randomness.
    n_images : int
        Number of windows.
    size : tuple of int
        Height and width of the images.
    scale : tuple of float
        Smallest and largest share of the area.
    ratio : tuple of float
        Smallest and largest width / height; its logarithm is uniform.

    Returns
    -------
    Tensor of shape (n_images, 4)
        Top, left, height, width.
    """
    height, width = size
    low, high = (math.log(value) for value in ratio)
    area = context.uniform(n_images, _ATTEMPTS, low=scale[0], high=scale[1]) * (height * width)
    aspect = context.uniform(n_images, _ATTEMPTS, low=low, high=high).exp()
    sides = torch.stack([(area / aspect).sqrt(), (area * aspect).sqrt()], -1).round()
    # a share of next to nothing is one pixel: that it did not fit would make it the whole image
    sides = sides.clamp(min=1)
    place = context.uniform(n_images, 2)
    whole = torch.tensor([height, width], dtype=sides.dtype, device=sides.device)
    fits = (sides <= whole).all(-1)
    # argmax finds the first of equal values: the first attempt that fits
    first = fits.int().argmax(1)
    chosen = sides[torch.arange(n_images, device=sides.device), first]
    centred = sides.new_tensor(_largest_sides(size, ratio))
    some_fit = fits.any(1)[:, None]
    sides = torch.where(some_fit, chosen, centred)
    free = whole - sides
    # the draw is below 1, but its product with many places may round up to their number
    start = torch.where(some_fit, (place * (free + 1)).floor().minimum(free), (free / 2).floor())
    return torch.cat([start, sides], 1)


def _largest_sides(size: tuple[int, int], ratio: tuple[float, float]) -> list[float]:
    height, width = size
    if width / height < ratio[0]:
        return [max(1.0, round(width / ratio[0])), width]
    if width / height > ratio[1]:
        return [height, max(1.0, round(height * ratio[1]))]
    return [height, width]


def resample_windows(x: Tensor, windows: Tensor) -> Tensor:
    """Enlarge windows to the size of the image by bilinear interpolation.

    Parameters
    ----------
    x : Tensor of shape (batch, channels, height, width)
        Images.
    windows : Tensor of shape (batch, 4)
        Top, left, height, width in pixels.

    Returns
    -------
    Tensor of the shape of `x`
        As if each window had been cut out and resized; centres of pixels are half a pixel from
        the edges (``align_corners=False``), and nothing from beyond the window enters.
    """
    windows = windows.to(x.dtype)
    axes = []
    for axis, n_pixels in enumerate(x.shape[2:]):
        start, length = windows[:, axis, None], windows[:, axis + 2, None]
        centre = (torch.arange(n_pixels, device=x.device, dtype=x.dtype) + 0.5) / n_pixels
        position = (centre * length - 0.5).clamp(min=0).minimum(length - 1) + start
        axes.append((2 * position + 1) / n_pixels - 1)
    shape = (len(x), *x.shape[2:])
    grid = torch.stack([axes[1][:, None, :].expand(shape), axes[0][:, :, None].expand(shape)], -1)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def blur_radius(height: int) -> int:
    """Half width of the kernel: the whole of it is a tenth of the height, and odd."""
    return height // 10 // 2


def gaussian_kernels(sigma: Tensor, radius: int) -> Tensor:
    """Sampled Gaussians that sum to one.

    Parameters
    ----------
    sigma : Tensor of shape (batch,)
        Standard deviations in pixels; 0 is no blur.
    radius : int
        Pixels to each side.

    Returns
    -------
    Tensor of shape (batch, 2 * radius + 1)
    """
    offset = torch.arange(-radius, radius + 1, device=sigma.device, dtype=sigma.dtype)
    # exponents of a sigma of zero would be 0 / 0
    weight = torch.exp(-0.5 * (offset / sigma.clamp(min=1e-6)[:, None]).square())
    return weight / weight.sum(1, keepdim=True)


def blur_rows(x: Tensor, kernels: Tensor) -> Tensor:
    """Convolve along the height, the image reflected at its edges.

    A small kernel is applied tap by tap. A large one is a product with a band matrix, made for a
    stretch of rows at a time: a matrix for all of them would mostly multiply with zeros.

    Parameters
    ----------
    x : Tensor of shape (batch, channels, height, width)
        Images.
    kernels : Tensor of shape (batch, 2 * radius + 1)
        One symmetric kernel per image.

    Returns
    -------
    Tensor of the shape of `x`
    """
    n_rows, radius = x.shape[2], kernels.shape[1] // 2
    padded = F.pad(x, (0, 0, radius, radius), mode="reflect")
    if kernels.shape[1] <= _FEW_TAPS:
        taps = kernels.t()[:, :, None, None, None]
        blurred = x * taps[radius]
        for k in range(radius):
            mirrored = 2 * radius - k
            pair = padded[:, :, k : k + n_rows] + padded[:, :, mirrored : mirrored + n_rows]
            blurred = blurred.addcmul_(pair, taps[k])
        return blurred
    band, n_stretches, length = _band_matrix(kernels, n_rows)
    surplus = n_stretches * length - n_rows
    if surplus:
        padded = F.pad(padded, (0, 0, 0, surplus))
    # (batch, channels, stretches, width, length + 2 radius)
    stretches = padded.unfold(2, length + 2 * radius, length).transpose(-1, -2)
    blurred = (band[:, None, None] @ stretches).flatten(2, 3)
    return blurred[:, :, :n_rows] if surplus else blurred


def _band_matrix(kernels: Tensor, n_rows: int, longest: int = 32) -> tuple[Tensor, int, int]:
    """Matrices (batch, length, length + 2 radius), how many stretches of that length there are."""
    n_stretches = -(-n_rows // longest)
    length = -(-n_rows // n_stretches)
    n_taps = kernels.shape[1]
    # rows of kernel and zeros, read one number short of their length, shift by one each
    row = F.pad(kernels, (0, length))
    band = row[:, None].expand(-1, length, -1).flatten(1)[:, : length * (length + n_taps - 1)]
    return band.view(len(kernels), length, length + n_taps - 1), n_stretches, length


def grey(x: Tensor) -> Tensor:
    """Luma of ITU-R BT.601, (batch, 1, height, width), of red, green and blue."""
    red, green, blue = x.split(1, dim=1)
    return red.mul(0.299).add_(green, alpha=0.587).add_(blue, alpha=0.114)


def turn_hue(x: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue in the HSV model; saturation and value stay.

    Parameters
    ----------
    x : Tensor of shape (batch, 3, height, width)
        Red, green and blue.
    turns : Tensor of shape (batch, 1, 1, 1)
        Part of a whole turn, in [-1, 1].

    Returns
    -------
    Tensor of the shape of `x`

    Notes
    -----
    With r, g, b scaled so that the smallest is 0 and the largest 1, ``1 - r + g + b`` in [0, 3] is
    the angle from red in sixths of a turn, either way; whether green or blue is larger says which
    way. That spares the comparisons of the textbook's six cases.
    """
    red, green, blue = x.split(1, dim=1)
    low = torch.minimum(torch.minimum(red, green), blue)
    chroma = torch.maximum(torch.maximum(red, green), blue) - low
    # greys have no hue: any will do. Differences of near numbers are exact, a sum would round
    angle = (green - red + (blue - low)) / chroma.clamp(min=torch.finfo(x.dtype).tiny)
    angle = torch.copysign(angle.add_(1).clamp_(0, 3), green - blue)
    # in turns, made positive so that the fraction is that of a circle
    angle = (angle / 6).add_(turns + 2).frac_()
    channels = []
    for centre, sign, offset in ((1 / 2, 6, -1), (1 / 3, -6, 2), (2 / 3, -6, 2)):
        share = (angle - centre).abs_().mul_(sign).add_(offset).clamp_(0, 1)
        channels.append(torch.addcmul(low, chroma, share))
    return torch.cat(channels, 1)
