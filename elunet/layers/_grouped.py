"""What layer, group and instance normalization share: statistics of one image's numbers alone.

They differ in which numbers are normalized together. All bring x into the shape (M, P, G, D):
statistics are taken over P and D, for each of M and G. No batch comes in, so training and
evaluation are the same, and an image's output depends on that image alone.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping

import numpy as np

from elunet._checks import integer, number
from elunet._quiet import quiet
from elunet._types import Array, Shape
from elunet.layers.base import Layer

TOGETHER = (1, 3)  # the axes of (M, P, G, D) over which statistics are taken


class Grouped(Layer):
    """``y = gamma x_hat + beta``, ``x_hat = (x - mean) / sqrt(var + eps)``, gamma and beta (C,)."""

    pointwise = True

    def __init__(self, channels: int, affine: bool, eps: float) -> None:
        super().__init__()
        owner = type(self).__name__
        self.channels = integer(owner, "channels", channels)
        self.affine = bool(affine)
        self.eps = number(owner, "eps", eps, "(0, inf)")
        if affine:
            self.params["gamma"] = np.ones(channels, np.float32)
            self.params["beta"] = np.zeros(channels, np.float32)

    def grouped(self, shape: Shape) -> Shape:
        """Return (M, P, G, D) for x of this shape."""
        raise NotImplementedError

    @quiet
    def forward(self, x: Array, train: bool = False) -> Array:
        """Return y, of x's shape (N, ..., C)."""
        x = self.check_input(x, ("N", ..., self.channels))
        shape = self.grouped(x.shape)
        if shape[1] * shape[3] < 2 and x.size:
            raise ValueError(
                f"{self!r}: expected x with at least 2 values to normalize together, got shape"
                f" {x.shape}"
            )
        wide = x.reshape(shape).astype(np.float64)
        wide -= self._mean(wide)
        rstd = 1 / np.sqrt(self._mean(wide * wide) + self.eps)
        x_hat = np.asarray(wide * rstd, x.dtype).reshape(x.shape)
        gamma = beta = None
        if self.affine:
            gamma = self.parameter("gamma", (self.channels,), x.dtype)
            beta = self.parameter("beta", (self.channels,), x.dtype)
        self.keep(x_hat, gamma, rstd)
        return x_hat.copy() if gamma is None else np.asarray(gamma * x_hat + beta)

    @quiet
    def backward_params(self, dy: Array) -> None:
        """Fill ``dgamma = sum of dy x_hat`` and ``dbeta = sum of dy``, for each channel."""
        x_hat, gamma, _ = self.recall()
        dy = self.check_gradient(dy, x_hat.shape, x_hat.dtype)
        if gamma is not None:
            wide, axes = dy.astype(np.float64), tuple(range(dy.ndim - 1))
            self.store_gradient("gamma", (wide * x_hat).sum(axis=axes), dy.dtype)
            self.store_gradient("beta", wide.sum(axis=axes), dy.dtype)

    @quiet
    def backward_input(self, dy: Array) -> Array:
        """Return ``dx = (g - mean(g) - x_hat mean(g x_hat)) / sqrt(var + eps)``, g = gamma dy."""
        x_hat, gamma, rstd = self.recall()
        dy = self.check_gradient(dy, x_hat.shape, x_hat.dtype)
        shape = self.grouped(x_hat.shape)
        g = (dy if gamma is None else dy * gamma).reshape(shape).astype(np.float64)
        along = x_hat.reshape(shape)
        dx = (g - self._mean(g) - along * self._mean(g * along)) * rstd
        return np.asarray(dx, dy.dtype).reshape(x_hat.shape)

    @quiet
    def tangent(self, dx: Array | None, dparams: Mapping[str, Array]) -> Array:
        """Return ``gamma S dx + dgamma x_hat + dbeta``; S, `backward_input` without gamma."""
        x_hat, gamma, rstd = self.recall()
        dy: Array = np.zeros_like(x_hat)
        if dx is not None:
            plain = copy.copy(self)
            plain.keep(x_hat, None, rstd)
            dy = plain.backward_input(dx) * (1 if gamma is None else gamma)
        for name, factor in (("gamma", x_hat), ("beta", 1)):
            if name in dparams:
                dy = np.asarray(dy + dparams[name] * factor)
        return dy

    def _mean(self, values: Array) -> Array:
        """Return the mean of what is normalized together."""
        count = max(values.shape[1] * values.shape[3], 1)
        return np.asarray(values.sum(axis=TOGETHER, keepdims=True) / count)


def positions(shape: Shape) -> int:
    """Return how many places there are in an image of this shape (N, ..., C)."""
    return math.prod(shape[1:-1])
