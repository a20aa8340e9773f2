"""The windows of a pooling layer: their ends along each axis, and how many numbers a mean has."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from elunet._types import Array


class Windows(NamedTuple):
    """Windows of any place and size, as `elunet.kernels.windows` takes them.

    Attributes
    ----------
    rows, columns : arrays of int64, (H_out, 2) and (W_out, 2)
        First and one after the last, inside the image.
    divisor : array of float64, (H_out, W_out)
        Numbers that a mean is over.
    """

    rows: Array
    columns: Array
    divisor: Array


def regular(
    size: int, window: int, stride: int, before: int, after: int, ceil_mode: bool
) -> tuple[Array, Array]:
    """Return the windows along one axis: inside the image, and with the padding that they cover.

    As in PyTorch: with `ceil_mode` a last window may go beyond the padding, if it begins inside of
    the image or of the padding before it.
    """
    padded = size + before + after
    steps = -(-(padded - window) // stride) if ceil_mode else (padded - window) // stride
    if ceil_mode and steps * stride >= size + before:
        steps -= 1
    first = np.arange(steps + 1) * stride - before
    covered = np.stack([first, np.minimum(first + window, size + after)], axis=1)
    return np.clip(covered, 0, size), covered


def adaptive(size: int, outputs: int) -> Array:
    """Return windows along one axis that cover it: from floor(i n / k) to ceil((i + 1) n / k)."""
    place = np.arange(outputs)
    return np.stack([place * size // outputs, -(-(place + 1) * size // outputs)], axis=1)


def counted(rows: Array, columns: Array) -> Array:
    """Return the numbers in each window."""
    high, wide = rows[:, 1] - rows[:, 0], columns[:, 1] - columns[:, 0]
    return np.asarray(high[:, None] * wide[None, :], np.float64)
