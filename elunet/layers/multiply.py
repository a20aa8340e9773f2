"""Multiply: gates, which scale what passes through them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from elunet._quiet import quiet
from elunet._types import Array
from elunet.layers._several import broadcast, summed
from elunet.layers.base import Layer


class Multiply(Layer):
    """Product of several arrays, such as images and a gate for each of their channels.

    `forward` takes a tuple of arrays; `backward_input` returns a tuple of as many gradients. The
    arrays have one shape, or are broadcast to one: axes of size 1 (but not the batch), and rows
    (N, C) over images (N, H, W, C).

    Raises
    ------
    TypeError, ValueError
        In `forward`, if x is not a tuple of at least one array, or shapes or dtypes do not fit.

    References
    ----------
    Hu, Shen, Sun, "Squeeze-and-Excitation Networks", CVPR 2018, arXiv:1709.01507.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import Multiply
    >>> images, gate = np.ones((1, 2, 2, 3)), np.array([[0.0, 0.5, 1.0]])
    >>> Multiply().forward((images, gate))[0, 1, 1]
    array([0. , 0.5, 1. ])
    """

    @quiet
    def forward(self, x: tuple[Array, ...], train: bool = False) -> Array:
        """Return the product."""
        arrays = broadcast(self, x)
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
        product: Array = np.broadcast_to(arrays[0], shape).copy()
        for array in arrays[1:]:
            product *= array
        self.keep(arrays, [array.shape for array in x], shape)
        return product

    @quiet
    def backward_input(self, dy: Array) -> tuple[Array, ...]:
        """Return ``dx_k = dy times the product of the others``, summed where x_k was broadcast."""
        arrays, shapes, shape = self.recall()
        dy = self.check_gradient(dy, shape, arrays[0].dtype)
        return tuple(
            summed(dy * math.prod(arrays[:place] + arrays[place + 1 :]), own)
            for place, own in enumerate(shapes)
        )

    @quiet
    def tangent(self, dx: tuple[Array, ...], dparams: Mapping[str, Array]) -> Array:
        """Return the sum over k of dx_k times the product of the others."""
        arrays, _, shape = self.recall()
        total = np.zeros(shape, arrays[0].dtype)
        for place, moving in enumerate(dx):
            own = moving.reshape(arrays[place].shape)
            total += own * math.prod(arrays[:place] + arrays[place + 1 :])
        return total
