"""Augmentations: small random changes of a batch that leave its classes as they are.

An augmentation is called as ``augment(x, rng)`` and returns new images. `Mixup` changes the targets
as well: it is called as ``augment(x, y, rng)``, which its attribute ``with_targets`` says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from elunet._checks import integer, number
from elunet._types import Array
from elunet.data import _checks

GRAY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as in Pillow and torchvision


def pad_crop_flip(x: Array, rng: np.random.Generator, pad: int = 4, flip: bool = True) -> Array:
    """Shift each image by up to `pad` pixels and mirror it with probability 1/2.

    Each image is padded with zeros, a window of the original size is cropped at a random place, and
    half of the windows are mirrored: the usual augmentation for CIFAR-10. A shift leaves zeros at
    the edge it moves away from, so standardize before, not after.

    Parameters
    ----------
    x : (N, H, W, C), any dtype
        A batch of images; it is not changed.
    rng
        Draws a vertical shift, a horizontal shift and a flip for each image.
    pad
        Zero pixels on each side.
    flip
        Whether to mirror: not where it makes another class, as of digits and letters.

    Returns
    -------
    (N, H, W, C), dtype of `x`
        A new array.

    Raises
    ------
    TypeError, ValueError
        If `x` is not a batch of images, `rng` no Generator, or `pad` no integer of at least 0.

    References
    ----------
    Goodfellow et al., Maxout Networks, 2013, arXiv:1302.4389.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.ones((2, 32, 32, 3), np.float32)
    >>> pad_crop_flip(x, np.random.default_rng(0)).shape
    (2, 32, 32, 3)
    """
    x = _images("pad_crop_flip", x, rng)
    pad = integer("pad_crop_flip", "pad", pad, 0)
    n, height, width, channels = x.shape
    top, left = rng.integers(0, 2 * pad + 1, (2, n, 1))
    mirrored = flip & (rng.random((n, 1)) < 0.5)

    padded = np.zeros((n, height + 2 * pad, width + 2 * pad, channels), x.dtype)
    padded[:, pad : pad + height, pad : pad + width] = x
    rows = top + np.arange(height)
    columns = left + np.where(mirrored, np.arange(width)[::-1], np.arange(width))
    windows: Array = padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return windows


@dataclass(frozen=True)
class Cutout:
    """Sets a square at a random place of each image to 0.

    Its center lies anywhere in the image, so part of the square may lie outside.

    Parameters
    ----------
    size : int, default 16
        Side of the square, in pixels.

    Raises
    ------
    TypeError, ValueError
        If `size` is not an integer of at least 1; when called, if x is not (N, H, W, C).

    References
    ----------
    DeVries, Taylor, *Improved Regularization of Convolutional Neural Networks with Cutout*, 2017,
    arXiv:1708.04552.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.ones((1, 8, 8, 1), np.float32)
    >>> bool(Cutout(2)(x, np.random.default_rng(0)).sum() < 64)
    True
    """

    size: int = 16

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", integer("Cutout", "size", self.size))

    def __call__(self, x: Array, rng: np.random.Generator) -> Array:
        """Return a copy with the squares set to 0."""
        x = _images("Cutout", x, rng)
        n, height, width, _ = x.shape
        top = rng.integers(0, height, n) - self.size // 2
        left = rng.integers(0, width, n) - self.size // 2
        inside = _inside((top, left), (self.size, self.size), height, width)
        return np.where(inside, np.zeros((), x.dtype), x)


@dataclass(frozen=True)
class RandomErase:
    """Replaces a rectangle of some images by noise or a constant.

    Parameters
    ----------
    probability : float, default 0.5
        Of an image to be changed.
    area : (float, float), default (0.02, 0.4)
        Smallest and largest part of the image, in (0, 1].
    ratio : (float, float), default (0.3, 3.3)
        Smallest and largest height of the rectangle in units of its width.
    fill : float or None, default None
        What it is filled with; None is noise of mean 0 and standard deviation 1, for standardized
        images.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range; when called, if x is not (N, H, W, C), or holds integers
        and is to be filled with noise.

    References
    ----------
    Zhong et al., *Random Erasing Data Augmentation*, 2017, arXiv:1708.04896.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.ones((4, 8, 8, 3), np.float32)
    >>> RandomErase(fill=0.0)(x, np.random.default_rng(0)).shape
    (4, 8, 8, 3)
    """

    probability: float = 0.5
    area: tuple[float, float] = (0.02, 0.4)
    ratio: tuple[float, float] = (0.3, 3.3)
    fill: float | None = None

    def __post_init__(self) -> None:
        number("RandomErase", "probability", self.probability, "[0, 1]")
        for name, interval in (("area", "(0, 1]"), ("ratio", "(0, inf)")):
            low, high = getattr(self, name)
            number("RandomErase", f"{name}[0]", low, interval)
            number("RandomErase", f"{name}[1]", high, interval)
            if low > high:
                raise ValueError(f"RandomErase: expected {name} as (low, high), got {(low, high)}")
        if self.fill is not None:
            number("RandomErase", "fill", self.fill)

    def __call__(self, x: Array, rng: np.random.Generator) -> Array:
        """Return a copy with the rectangles replaced."""
        x = _images("RandomErase", x, rng)
        if self.fill is None and x.dtype.kind != "f":
            raise TypeError(
                f"RandomErase: expected x of a float dtype, or a value for fill, got {x.dtype}"
            )
        n, height, width, _ = x.shape
        chosen = rng.random(n) < self.probability
        area = rng.uniform(*self.area, n) * height * width
        low, high = np.log(self.ratio)
        ratio = np.exp(rng.uniform(low, high, n))
        tall = np.clip(np.rint(np.sqrt(area * ratio)), 1, height).astype(int)
        wide = np.clip(np.rint(np.sqrt(area / ratio)), 1, width).astype(int)
        top, left = rng.integers(0, height - tall + 1), rng.integers(0, width - wide + 1)
        inside = _inside((top, left), (tall * chosen, wide), height, width)
        new = rng.standard_normal(x.shape) if self.fill is None else np.array(self.fill)
        return np.where(inside, new.astype(x.dtype), x)


@dataclass(frozen=True)
class ColorJitter:
    """Changes brightness, contrast and saturation of each image by random factors.

    In this order, each factor is drawn from [1 - s, 1 + s] for its strength s: brightness
    multiplies the image, contrast its distance from the mean of its gray values, and saturation
    each pixel's distance from its gray value. After each step, values are clipped.

    Parameters
    ----------
    brightness, contrast, saturation : float, default 0
        Strengths, in [0, 1].

    Raises
    ------
    TypeError, ValueError
        If a strength is out of range; when called, if x is not (N, H, W, 3), of uint8, or of floats
        in [0, 1]: color comes before standardization.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.full((1, 2, 2, 3), 0.5, np.float32)
    >>> jitter = ColorJitter(brightness=0.2)
    >>> round(float(jitter(x, np.random.default_rng(0)).max()), 3)
    0.527
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            number("ColorJitter", name, getattr(self, name), "[0, 1]")

    def __call__(self, x: Array, rng: np.random.Generator) -> Array:
        """Return a copy with other colors, of x's dtype."""
        x = _images("ColorJitter", x, rng)
        if x.shape[-1] != 3:
            raise ValueError(f"ColorJitter: expected x of shape (N, H, W, 3), got {x.shape}")
        top = 255.0 if x.dtype == np.uint8 else 1.0
        if x.dtype != np.uint8 and (
            x.dtype.kind != "f" or x.min(initial=0) < 0 or x.max(initial=0) > 1
        ):
            raise ValueError(
                "ColorJitter: expected x of dtype uint8, or floats in [0, 1], got"
                f" {x.dtype} from {x.min(initial=0)} to {x.max(initial=0)}"
            )
        y = x.astype(np.float32 if x.dtype == np.uint8 else x.dtype)
        for strength, center in (
            (self.brightness, _black),
            (self.contrast, _mean_gray),
            (self.saturation, _gray),
        ):
            factor = rng.uniform(1 - strength, 1 + strength, (len(x), 1, 1, 1)).astype(y.dtype)
            if strength:
                around = center(y)
                y = np.clip(around + factor * (y - around), 0, top)
        return np.asarray(np.rint(y) if x.dtype == np.uint8 else y, x.dtype)


@dataclass(frozen=True)
class Mixup:
    """Mixes each image, and its label, with another of the batch.

    ``x <- l x + (1 - l) x[p]``, and the same of the one-hot labels, with one permutation p and one
    l from Beta(alpha, alpha) for a batch. The loss has to take rows (N, C) as targets.

    Parameters
    ----------
    classes : int
        Their number, C.
    alpha : float, default 0.2
        Above 0; the larger, the more even the mixture.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range; when called, if x is not an array of floats, or y holds no
        labels in 0..C-1 (N,) or rows (N, C).

    References
    ----------
    Zhang, Cisse, Dauphin, Lopez-Paz, *mixup: Beyond Empirical Risk Minimization*, 2018,
    arXiv:1710.09412.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.eye(2, dtype=np.float32), np.arange(2)
    >>> mixed, target = Mixup(2)(x, y, np.random.default_rng(0))
    >>> bool(np.allclose(mixed, target))
    True
    """

    classes: int
    alpha: float = 0.2
    with_targets = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", integer("Mixup", "classes", self.classes))
        number("Mixup", "alpha", self.alpha, "(0, inf)")

    def __call__(self, x: Array, y: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return mixed images, and targets (N, C) of float32."""
        if x.dtype.kind != "f":
            raise TypeError(f"Mixup: expected x of a float dtype, got {x.dtype}")
        rows = np.asarray(y)
        if rows.ndim == 1 and rows.dtype.kind in "iu":
            if len(rows) and not 0 <= rows.min() <= rows.max() < self.classes:
                raise ValueError(
                    f"Mixup: expected labels in 0..{self.classes - 1}, got {rows.min()} to"
                    f" {rows.max()}"
                )
            rows = np.eye(self.classes, dtype=np.float32)[rows]
        if rows.shape != (len(x), self.classes):
            raise ValueError(
                f"Mixup: expected y of labels ({len(x)},) or of shape ({len(x)}, {self.classes}),"
                f" got {rows.shape}"
            )
        share = rng.beta(self.alpha, self.alpha)
        order = rng.permutation(len(x))
        return _mixed(x, share, order), _mixed(rows.astype(np.float32), share, order)


class Compose:
    """Several augmentations, one after the other.

    Parameters
    ----------
    parts : callables
        Called as ``part(x, rng)``, or if they have a true attribute ``with_targets``,
        ``part(x, y, rng)``.

    Raises
    ------
    TypeError
        If a part cannot be called, or there is none.

    Examples
    --------
    >>> import elunet as eln
    >>> augment = Compose(eln.data.pad_crop_flip, Cutout(8))
    >>> batches = eln.data.Batches(*eln.data.make_shapes(20), augment=augment)
    """

    def __init__(self, *parts: Callable[..., Any]) -> None:
        if not parts:
            raise TypeError("Compose: expected augmentations, got none")
        _checks.callables("Compose", "augmentations", parts)
        self.parts = parts

    @property
    def with_targets(self) -> bool:
        """Whether it is to be called with targets."""
        return any(getattr(part, "with_targets", False) for part in self.parts)

    def __call__(self, x: Array, *rest: Any) -> Any:
        """Return new images; with ``augment(x, y, rng)``, images and targets."""
        *targets, rng = rest
        for part in self.parts:
            if getattr(part, "with_targets", False):
                x, *targets = part(x, *targets, rng)
            else:
                x = part(x, rng)
        return (x, *targets) if targets else x

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, self.parts))})"


def _images(owner: str, x: Array, rng: np.random.Generator) -> Array:
    x = np.asarray(x)
    if x.ndim != 4:
        raise ValueError(f"{owner}: expected x of shape (N, H, W, C), got {x.shape}")
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"{owner}: expected rng to be a numpy Generator, got {rng!r}")
    return x


def _inside(corners: Any, sizes: Any, height: int, width: int) -> Array:
    """Return which pixels (N, H, W, 1) lie in a rectangle of each image."""
    within = []
    for start, size, length in zip(corners, sizes, (height, width), strict=True):
        place = np.arange(length) - np.reshape(start, (-1, 1))
        within.append((place >= 0) & (place < np.reshape(size, (-1, 1))))
    return np.asarray(within[0][:, :, None, None] & within[1][:, None, :, None])


def _mixed(a: Array, share: float, order: Array) -> Array:
    return np.asarray(share * a + (1 - share) * a[order], a.dtype)


def _black(x: Array) -> Array:
    return np.zeros((), x.dtype)


def _gray(x: Array) -> Array:
    return np.asarray(x @ GRAY.astype(x.dtype))[..., None]


def _mean_gray(x: Array) -> Array:
    return np.asarray(_gray(x).mean(axis=(1, 2), keepdims=True))
