"""The general way to compute a convolution: any strides, dilation and groups.

As in `Im2col`, windows are rows of a matrix, one matrix for each group. Where each group has one
input channel (depthwise), channels are taken side by side instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.kernels import strided as kernels
from elunet.kernels.sums import add_rows, add_to_rows
from elunet.layers._windows import Windows
from elunet.layers.spans import PRODUCT, Queue, Split, even, workers_for

BLOCK = 1 << 20  # bytes of columns that are made at a time


@dataclass(frozen=True)
class Strided(Windows):
    """Windows with any strides, dilation and groups; `stride` does not count."""

    strides: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    @cached_property
    def width(self) -> int:
        """Numbers in one window of a group."""
        return math.prod(self.kernel) * self.in_channels // self.groups

    @cached_property
    def cost(self) -> float:
        """Elementary operations of a pass (windows copied, outputs, the products)."""
        positions = self.images * math.prod(self.out)
        product = self.width * self.out_channels / (1 if self.is_depthwise else PRODUCT)
        return positions * (self.width * self.groups + self.out_channels + product)

    @property
    def is_depthwise(self) -> bool:
        """Whether each group has one input channel, and there are several."""
        return self.groups == self.in_channels > 1


class General:
    """A convolution of any kind; the same methods as `Im2col`'s."""

    def __init__(self, windows: Strided, dtype: np.dtype[np.floating], threads: int) -> None:
        self.windows, self.dtype = windows, dtype
        self.workers = workers_for(windows.images, windows.cost, threads)
        per_image = math.prod(windows.out) * windows.width * windows.groups * dtype.itemsize
        share = -(-windows.images // self.workers)
        self.split = Split(self.workers, even(share, BLOCK // max(per_image, 1)))
        self.where = windows.strides, windows.dilation, windows.top, windows.left

    def kernel(self, W: Array) -> Array:
        """Return W for each group, (G, kh kw C_in/G, C_out/G); (kh, kw, C_out) if depthwise."""
        if self.windows.is_depthwise:
            return np.ascontiguousarray(W[:, :, 0])
        groups = self.windows.groups
        parts = W.reshape(self.windows.width, groups, -1).transpose(1, 0, 2)
        return np.ascontiguousarray(parts)

    def transposed_kernel(self, W: Array) -> Array:
        """Return the matrix that a gradient is multiplied with in the backward pass."""
        kernel = self.kernel(W)
        return kernel if self.windows.is_depthwise else kernel.transpose(0, 2, 1)

    def start_rows(self, queue: Queue, x: Array, y: Array, kernel: Array, b: Array | None) -> bool:
        """Return False: one image alone is not split over its rows."""
        return False

    def forward_span(self, x: Array, y: Array, kernel: Array, b: Array | None) -> None:
        """Write y: each window times its group's kernel, plus b."""
        if self.windows.is_depthwise:
            kernels.depthwise(x, kernel, *self.where, y)
        else:
            self._put(np.matmul(self._columns(x), kernel), y)
        if b is not None:
            add_to_rows(y.reshape(-1, y.shape[-1]), b)

    def gradient_span(self, x: Array, dy: Array, dW: Any, db: Array | None) -> None:
        """Add ``dW = sum over all windows of window^T dy`` and, if there is a bias, dy's sum."""
        if self.windows.is_depthwise:
            kernels.depthwise_gradient(x, np.ascontiguousarray(dy), *self.where, dW)
        else:
            dW += np.matmul(self._columns(x).transpose(0, 2, 1), self._by_group(dy))
        if db is not None:
            add_rows(dy.reshape(-1, dy.shape[-1]), db)

    def backward_span(self, dy: Array, dx: Array, kernel: Array) -> None:
        """Write dx: each window gets ``dy W^T``."""
        if self.windows.is_depthwise:
            kernels.depthwise_backward(np.ascontiguousarray(dy), kernel, *self.where, dx)
        else:
            columns = np.matmul(self._by_group(dy), kernel)
            kernels.col2im_strided(columns.reshape(self._shape(len(dy))), *self.where, dx)

    def new_sums(self, several: bool) -> list[Any]:
        """Return the sums of the gradient, in float64, one for each worker."""
        windows = self.windows
        outputs = windows.out_channels // windows.groups
        shape: tuple[int, ...] = (windows.groups, windows.width, outputs)
        if windows.is_depthwise:
            shape = (*windows.kernel, windows.out_channels)
        return list(np.zeros((self.workers, *shape)))

    def total(self, sums: list[Any]) -> Array:
        """Return dW as a matrix (kh kw C_in/G, C_out)."""
        dW = np.sum(sums, axis=0)
        if self.windows.is_depthwise:
            return np.asarray(dW)
        return np.asarray(dW.transpose(1, 0, 2))

    def _shape(self, images: int) -> tuple[int, ...]:
        windows = self.windows
        channels = windows.in_channels // windows.groups
        return (windows.groups, images, *windows.out, *windows.kernel, channels)

    def _columns(self, x: Array) -> Array:
        """Return the windows as rows, (G, rows, kh kw C_in/G)."""
        columns = np.empty(self._shape(len(x)), x.dtype)
        kernels.im2col_strided(np.ascontiguousarray(x), *self.where, columns)
        rows = len(x) * math.prod(self.windows.out)
        return columns.reshape(self.windows.groups, rows, self.windows.width)

    def _by_group(self, dy: Array) -> Array:
        """Return dy's rows, (G, rows, C_out/G)."""
        groups, rows = self.windows.groups, math.prod(dy.shape[:-1])
        return dy.reshape(rows, groups, dy.shape[-1] // groups).transpose(1, 0, 2)

    def _put(self, parts: Array, y: Array) -> None:
        """Write rows (G, rows, C_out/G) to y."""
        groups, rows = self.windows.groups, math.prod(y.shape[:-1])
        y.reshape(rows, groups, y.shape[-1] // groups)[...] = parts.transpose(1, 0, 2)
