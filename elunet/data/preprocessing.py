"""Scale pixels, or a table's columns, so that a network learns well.

Every function takes images (N, H, W, C), gray images (N, H, W) or rows of a table (N, D), of an
integer or float dtype, and returns new float32 arrays of the same shape. A row's columns count as
channels, and an image without channels as one channel. Statistics are estimated from the first
array, the training split, and then applied to all: ``x_train, x_test = standardize(x_train,
x_test)``. A test split that is scaled by its own statistics would leak, and would be scaled
differently.

The work is done in blocks, each in float64: 50,000 images are never all in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import overload

import numpy as np

from elunet._checks import number
from elunet._types import Array
from elunet.data import _checks

_BLOCK = 500  # images at a time


def _filled(where: str, name: str, x: object) -> Array:
    array = _checks.examples(where, name, x)
    if not array.size:
        raise ValueError(f"{where}: expected {name} with at least one value, got {array.shape}")
    return array


def _splits(
    where: str, x_train: object, others: tuple[object, ...], per_pixel: bool
) -> list[Array]:
    """Check all splits, and that they have the first one's image shape (or its channels)."""
    train = _filled(where, "x_train", x_train)
    splits = [train]
    first = 1 if per_pixel or train.ndim == 2 else 3
    for i, other in enumerate(others):
        x = _checks.examples(where, f"others[{i}]", other)
        if x.ndim != train.ndim or x.shape[first:] != train.shape[first:]:
            wanted = (*"NHWC"[:first], *train.shape[first:])
            shape = f"({', '.join(map(str, wanted))})"
            raise ValueError(f"{where}: expected others[{i}] of shape {shape}, got {x.shape}")
        splits.append(x)
    return splits


def _require_finite(where: str, name: str, x: Array) -> None:
    """Name the first NaN or Inf in `x`."""
    for start in range(0, len(x), _BLOCK):
        bad = np.argwhere(~np.isfinite(x[start : start + _BLOCK]))
        if len(bad):
            at = (start + int(bad[0][0]), *map(int, bad[0][1:]))
            hint = "; fill in missing values first" if np.isnan(x[at]) else ""
            raise ValueError(f"{where}: expected finite {name}, got {x[at]} at index {at}{hint}")


def _blocks(x: Array) -> Iterator[tuple[slice, Array]]:
    """Iterate over `x` in blocks, each as float64 rows (examples, values of one)."""
    for start in range(0, len(x), _BLOCK):
        block = x[start : start + _BLOCK]
        rows = np.asarray(block.reshape(len(block), -1), np.float64)
        yield slice(start, start + len(block)), rows


def _affine(x: Array, shift: Array, divisor: Array) -> Array:
    """Compute (x - shift) / divisor as float32; both broadcast against one example."""
    out = np.empty(x.shape, np.float32)
    shift = np.broadcast_to(shift, x.shape[1:]).ravel()
    divisor = np.broadcast_to(divisor, x.shape[1:]).ravel()
    for block, rows in _blocks(x):
        out[block] = ((rows - shift) / divisor).reshape(out[block].shape)
    return out


def _moments(where: str, x: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of each channel, float64, in two passes over the blocks."""
    channels = 1 if x.ndim == 3 else x.shape[-1]
    count = x.size // channels
    mean = np.zeros(channels)
    for _, rows in _blocks(x):  # over images first: long rows add fast, three channels slowly
        mean += rows.sum(axis=0).reshape(-1, channels).sum(axis=0)
    mean /= count
    if not np.isfinite(mean).all():
        _require_finite(where, "x_train", x)
    variance = np.zeros(channels)
    for _, rows in _blocks(x):
        squares = np.square(rows - np.tile(mean, rows.shape[1] // channels))
        variance += squares.sum(axis=0).reshape(-1, channels).sum(axis=0)
    return mean, np.sqrt(variance / count)


@overload
def standardize(x_train: Array) -> Array: ...
@overload
def standardize(x_train: Array, other: Array, /, *others: Array) -> tuple[Array, ...]: ...
def standardize(x_train: Array, *others: Array) -> Array | tuple[Array, ...]:
    """Give each channel mean 0 and standard deviation 1 over the training split.

    ``(x - mean) / std`` with the mean and the standard deviation of each channel over all
    images and pixels of `x_train`, for every array. In a table (N, D), the channels are its
    columns; gray images (N, H, W) have one. A constant channel becomes 0.

    Parameters
    ----------
    x_train : (N, H, W, C), (N, H, W) or (N, D), integer or float
        The split that the statistics come from.
    *others : (M, H', W', C), (M, H', W') or (M, D), integer or float
        More splits, scaled with the same statistics.

    Returns
    -------
    float32 array, or one for each array given
        One array for `x_train` alone; otherwise a tuple in the order of the arguments.

    Raises
    ------
    TypeError, ValueError
        If an array has another dtype, shape or number of channels, or `x_train` is empty or has
        a NaN or Inf.

    Examples
    --------
    >>> import numpy as np
    >>> x_train, x_test = (np.random.default_rng(s).normal(5, 3, (20, 4, 4, 3)) for s in (0, 1))
    >>> x_train, x_test = standardize(x_train, x_test)
    >>> bool(abs(x_train.mean()) < 1e-6), x_train.dtype.name
    (True, 'float32')
    """
    splits = _splits("standardize", x_train, others, per_pixel=False)
    mean, std = _moments("standardize", splits[0])
    # A constant channel's deviation is rounding error of its mean, not always 0.
    std[std <= 1e-12 * np.abs(mean)] = 1
    scaled = tuple(_affine(x, mean, std) for x in splits)
    return scaled if others else scaled[0]


@overload
def minmax(x_train: Array) -> Array: ...
@overload
def minmax(x_train: Array, other: Array, /, *others: Array) -> tuple[Array, ...]: ...
def minmax(x_train: Array, *others: Array) -> Array | tuple[Array, ...]:
    """Scale each pixel position and channel, or each column, to [0, 1] over the training split.

    ``(x - low) / (high - low)``, where low and high (H, W, C) are the extremes of each position
    and channel in `x_train`. Values of other splits may lie a little outside [0, 1]. A position
    that is constant in `x_train` is only shifted, so it becomes 0. The article of the five cases
    scales each split by its own extremes; for that, call `minmax` once for each split.

    Parameters
    ----------
    x_train : (N, H, W, C), (N, H, W) or (N, D), integer or float
        The split that the extremes come from.
    *others : as x_train
        More splits, scaled with the same extremes.

    Returns
    -------
    float32 array, or one for each array given
        One array for `x_train` alone; otherwise a tuple in the order of the arguments.

    Raises
    ------
    TypeError, ValueError
        If an array has another dtype or shape, or `x_train` is empty or has a NaN or Inf.

    Examples
    --------
    >>> import numpy as np
    >>> x = minmax(np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3))
    >>> float(x.min()), float(x.max())
    (0.0, 1.0)
    """
    splits = _splits("minmax", x_train, others, per_pixel=True)
    train = splits[0]
    low, high = train.min(axis=0).astype(np.float64), train.max(axis=0).astype(np.float64)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        _require_finite("minmax", "x_train", train)
    extent = high - low
    extent[extent == 0] = 1
    scaled = tuple(_affine(x, low, extent) for x in splits)
    return scaled if others else scaled[0]


def global_contrast_normalize(x: Array, scale: float = 55.0, eps: float = 1e-8) -> Array:
    """Scale each image to mean 0 and Euclidean norm `scale`.

    With m the mean over all pixels and channels of one image, ``scale * (x - m) / |x - m|``,
    where ``|.|`` is the Euclidean norm over the image. A flat image, whose norm divided by
    `scale` is below `eps`, is only shifted. The default 55, from the Maxout paper's code, is
    about sqrt(32 * 32 * 3): values come out with a deviation of about 1, as `ZCA` expects.

    Parameters
    ----------
    x : (N, H, W, C), (N, H, W) or (N, D), integer or float
        Images, or rows.
    scale
        The norm of each scaled image, above 0.
    eps
        Smallest divisor, above 0.

    Returns
    -------
    float32, shape of x

    Raises
    ------
    TypeError, ValueError
        If `x` is not a batch of images, or `scale` or `eps` is not above 0.

    References
    ----------
    Goodfellow et al., Maxout Networks, 2013, arXiv:1302.4389, and their library pylearn2.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    >>> x = global_contrast_normalize(x)
    >>> np.linalg.norm(x.reshape(2, -1), axis=1).round(3).tolist()
    [55.0, 55.0]
    """
    where = "global_contrast_normalize"
    x = _checks.examples(where, "x", x)
    scale = number(where, "scale", scale, "(0, inf)")
    eps = number(where, "eps", eps, "(0, inf)")
    out = np.empty(x.shape, np.float32)
    for block, rows in _blocks(x):
        centered = rows - rows.mean(axis=1, keepdims=True)
        divisor = np.sqrt(np.square(centered).sum(axis=1, keepdims=True)) / scale
        divisor[divisor < eps] = 1
        out[block] = (centered / divisor).reshape(out[block].shape)
    return out


class ZCA:
    """Whitening that changes images as little as possible.

    Let m and S be the mean and the covariance of the training images as vectors of
    D = H * W * C values, and S = V diag(d) V^T. Then ``zca(x) = (x - m) P`` with
    ``P = V diag((d + eps)^(-1/2)) V^T``: neighboring pixels lose their correlation, and of all
    whitenings this one stays nearest to x. Where d is far below `eps`, noise is not amplified::

        zca = ZCA().fit(x_train)
        x_train, x_test = zca(x_train), zca(x_test)

    Parameters
    ----------
    eps
        Added to each eigenvalue, above 0. 0.1 is right after `global_contrast_normalize` with
        its default scale, as in the Maxout paper's code; it is a variance.

    Attributes
    ----------
    shape : tuple of int or None
        Of one of the images or rows that it was fitted to.
    mean : (D,) float32
        The mean m.
    matrix : (D, D) float32
        The matrix P.
    inverse_matrix : (D, D) float32
        Its inverse, ``V diag((d + eps)^(1/2)) V^T``.

    Raises
    ------
    TypeError, ValueError
        If `eps` is not a number above 0.

    Notes
    -----
    For CIFAR-10 D is 3,072: fitting 50,000 images takes ten to forty seconds and a few hundred
    megabytes beyond the images.

    References
    ----------
    Bell and Sejnowski, 1997, 10.1016/S0042-6989(97)00121-1; Krizhevsky, Learning Multiple Layers
    of Features from Tiny Images, 2009, appendix A.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(100, 2, 2, 3)).cumsum(axis=-1)
    >>> rows = ZCA(eps=1e-6).fit(x)(x).reshape(100, -1)
    >>> bool(np.allclose(rows.T @ rows / 100, np.eye(12), atol=1e-3))
    True
    """

    def __init__(self, eps: float = 0.1) -> None:
        self.eps = number("ZCA", "eps", eps, "(0, inf)")
        self.shape: tuple[int, ...] | None = None
        self.mean: Array = np.empty(0, np.float32)
        self.matrix: Array = np.empty((0, 0), np.float32)
        self.inverse_matrix: Array = np.empty((0, 0), np.float32)

    def fit(self, x: Array) -> ZCA:
        """Estimate mean and covariance from `x`, images or rows of the training split only.

        Returns
        -------
        ZCA
            The object itself.

        Raises
        ------
        TypeError, ValueError
            If `x` is not a batch of images, has fewer than two, or has a NaN or Inf.
        """
        x = _filled("ZCA.fit", "x", x)
        if len(x) < 2:
            raise ValueError(f"ZCA.fit: expected x with at least 2 images, got {len(x)}")
        size = int(np.prod(x.shape[1:]))
        mean = np.zeros(size)
        for _, rows in _blocks(x):
            mean += rows.sum(axis=0)
        mean /= len(x)
        if not np.isfinite(mean).all():
            _require_finite("ZCA.fit", "x", x)
        covariance = np.zeros((size, size))
        for _, rows in _blocks(x):
            rows = rows - mean
            covariance += rows.T @ rows
        covariance /= len(x)
        d, v = np.linalg.eigh(covariance)
        root = np.sqrt(np.maximum(d, 0) + self.eps)  # rounding puts zero eigenvalues below 0
        self.shape = x.shape[1:]
        self.mean = mean.astype(np.float32)
        self.matrix = ((v / root) @ v.T).astype(np.float32)
        self.inverse_matrix = ((v * root) @ v.T).astype(np.float32)
        return self

    def __call__(self, x: Array) -> Array:
        """Whiten images or rows; float32.

        Raises
        ------
        RuntimeError
            Before `fit`.
        TypeError, ValueError
            If `x` has another dtype or shape than the images that it was fitted to.
        """
        x = self._check("ZCA", x)
        out = np.empty(x.shape, np.float32)
        for block, rows in _blocks(x):
            white = (rows - self.mean).astype(np.float32) @ self.matrix
            out[block] = white.reshape(out[block].shape)
        return out

    def inverse(self, x: Array) -> Array:
        """Undo the whitening of images or rows, up to rounding; float32.

        Raises
        ------
        RuntimeError
            Before `fit`.
        TypeError, ValueError
            If `x` has another dtype or shape than the images that it was fitted to.
        """
        x = self._check("ZCA.inverse", x)
        out = np.empty(x.shape, np.float32)
        for block, rows in _blocks(x):
            whole = rows.astype(np.float32) @ self.inverse_matrix + self.mean
            out[block] = whole.reshape(out[block].shape)
        return out

    def _check(self, where: str, x: object) -> Array:
        if self.shape is None:
            raise RuntimeError(
                f"{where}: expected a call of fit(x_train) before this one, got none"
            )
        array = _checks.examples(where, "x", x)
        if array.shape[1:] != self.shape:
            wanted = ", ".join(map(str, self.shape))
            raise ValueError(f"{where}: expected x of shape (N, {wanted}), got {array.shape}")
        return array
