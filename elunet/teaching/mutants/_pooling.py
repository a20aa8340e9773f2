"""Wrong pooling layers, and wrong ways to flatten and to add."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.layers import (
    AdaptiveMeanPool2D,
    Add,
    Flatten,
    GlobalMaxPool2D,
    GlobalMeanPool2D,
    MaxPool2D,
    MeanPool2D,
)
from elunet.teaching.mutants import _formulas as formulas
from elunet.teaching.mutants._mutant import layer_example


class TiesToAll(MaxPool2D):
    """If numbers in a window are equal, each gets the whole gradient, not only one of them.

    In training: After a ReLU whole windows are 0, and there the gradient counts four times.
    Flat areas of images weigh more than they should.

    Caught by LayerContract.test_ties: for equal entries the sum of dx is not that of dy.
    """

    example = layer_example(x=(2, 4, 4, 2), formula=formulas.max_pool)

    def forward(self, x: Array, train: bool = False) -> Array:
        self.x, self.y = x, super().forward(x, train)
        return self.y

    def backward_input(self, dy: Array) -> Array:
        size = self.sizes[0]
        y, dy = (a.repeat(size, axis=1).repeat(size, axis=2) for a in (self.y, dy))
        return np.asarray(dy * (self.x == y), dy.dtype)


class OverlapOverwritten(MaxPool2D):
    """A pixel that is largest in two windows gets only the last one's gradient.

    In training: Only where windows overlap (size 3, stride 2). The strongest features, which win
    twice, get half of their gradient.

    Caught by check_layer: dx is wrong where windows overlap.
    """

    example = layer_example(3, 1, x=(2, 4, 5, 2), formula=formulas.max_pool)

    def forward(self, x: Array, train: bool = False) -> Array:
        self.x = x
        return super().forward(x, train)

    def backward_input(self, dy: Array) -> Array:
        dx, size, stride = np.zeros_like(self.x), self.sizes[0], self.strides[0]
        for n, i, j, c in np.ndindex(dy.shape):
            top, left = i * stride, j * stride
            window = self.x[n, top : top + size, left : left + size, c]
            u, v = divmod(int(window.argmax()), size)
            dx[n, top + u, left + v, c] = dy[n, i, j, c]
        return dx


class MissingArea(MeanPool2D):
    """Each pixel gets its window's whole gradient instead of its share, 1 / size^2.

    In training: Each pooling makes the learning rate of all earlier layers four times too large.
    Often that diverges; with a small rate it works.

    Caught by check_layer: analytic = 4 x numeric, the window's area.
    """

    example = layer_example(x=(2, 4, 4, 2), formula=formulas.mean_pool)

    def backward_input(self, dy: Array) -> Array:
        return np.asarray(super().backward_input(dy) * dy.dtype.type(self.sizes[0] ** 2))


class MeanOverHeight(GlobalMeanPool2D):
    """The gradient is divided by the height instead of height times width.

    In training: All earlier layers learn with a rate that is too large by the image's width.

    Caught by check_layer: analytic = 5 x numeric, the width.
    """

    example = layer_example(x=(2, 3, 5, 2), kinks=(), formula=formulas.global_mean_pool)

    def forward(self, x: Array, train: bool = False) -> Array:
        self.width = x.shape[2]
        return super().forward(x, train)

    def backward_input(self, dy: Array) -> Array:
        return np.asarray(super().backward_input(dy) * dy.dtype.type(self.width))


class RemembersTheLastCall(GlobalMeanPool2D):
    """A tenth of what forward gave last time is mixed in.

    In training: Noise from the batch before; a little like a larger batch. In evaluation the
    answer depends on which image came before.

    Caught by check_layer: the same x gives another y after a different x.
    """

    example = layer_example(x=(2, 3, 5, 2), kinks=(), formula=formulas.global_mean_pool)
    last: Array | None = None

    def forward(self, x: Array, train: bool = False) -> Array:
        y = super().forward(x, train)
        if self.last is not None and self.last.shape == y.shape:
            y = np.asarray(0.9 * y + 0.1 * self.last, y.dtype)
        self.last = y
        return y


class MaximumSharedByAll(GlobalMaxPool2D):
    """The gradient is shared by all pixels, as a mean's is.

    In training: The earlier layers are pushed where they are weak as much as where they are strong;
    they learn blurred features.

    Caught by check_layer: dx is wrong everywhere.
    """

    example = layer_example(x=(2, 3, 4, 2), formula=formulas.global_max_pool)

    def forward(self, x: Array, train: bool = False) -> Array:
        self.taken = x.shape
        return super().forward(x, train)

    def backward_input(self, dy: Array) -> Array:
        dx = np.empty(self.taken, dy.dtype)
        dx[...] = dy[:, None, None, :] / (self.taken[1] * self.taken[2])
        return dx


class EqualShares(AdaptiveMeanPool2D):
    """Each pixel gets the same share of its windows, whatever their size, and of the last one only.

    In training: Right where the image's size is a multiple of the output's. Else some pixels'
    gradients are too small.

    Caught by check_layer: dx is wrong where windows have other sizes or overlap.
    """

    example = layer_example((2, 2), x=(2, 5, 3, 2), formula=formulas.adaptive_mean_pool)

    def forward(self, x: Array, train: bool = False) -> Array:
        self.taken = x.shape
        return super().forward(x, train)

    def backward_input(self, dy: Array) -> Array:
        height, width = self.taken[1:3]
        rows, columns = (
            np.arange(side) * outputs // side
            for side, outputs in zip((height, width), self.sizes, strict=True)
        )
        share = self.sizes[0] * self.sizes[1] / (height * width)
        return np.asarray(share * dy[:, rows][:, :, columns], dy.dtype)


class ColumnsFirstBackward(Flatten):
    """Backward puts the gradient into the image in another order than forward used.

    In training: Every pixel gets another pixel's gradient. The later layers learn, the
    earlier ones do not.

    Caught by check_layer: dx has the right numbers at wrong places.
    """

    example = layer_example(x=(2, 3, 3, 2), kinks=(), formula=formulas.flatten)

    def forward(self, x: Array, train: bool = False) -> Array:
        self.taken = x.shape
        return super().forward(x, train)

    def backward_input(self, dy: Array) -> Array:
        return np.ascontiguousarray(dy.reshape(self.taken, order="F"))


class MemoryOrder(Flatten):
    """Numbers are taken in their order in memory.

    In training: Nothing, until a batch comes from a transposed array (rotated images, channels
    moved to the end): then the features of that batch are shuffled.

    Caught by LayerContract.test_memory_layout: equal arrays give different results.
    """

    example = layer_example(x=(2, 3, 3, 2), kinks=(), formula=formulas.flatten)

    def forward(self, x: Array, train: bool = False) -> Array:
        super().forward(x, train)
        return np.stack([image.ravel(order="K") for image in x])


class SharedGradient(Add):
    """The gradient is divided among the inputs instead of handed to each in full.

    In training: Every skip connection halves the gradient. The deeper the network, the less
    arrives at its first layers, which is what skips should prevent.

    Caught by check_layer: analytic = 1/2 x numeric.
    """

    example = layer_example(x=(3, 4), inputs=2, kinks=(), formula=formulas.add)

    def backward_input(self, dy: Array) -> tuple[Array, ...]:
        return tuple(dx / len(dxs) for dxs in [super().backward_input(dy)] for dx in dxs)


class AddsInPlace(Add):
    """The sum is written into the first input.

    In training: The first input is often an array that the layer before keeps, such as ELU's y.
    Its derivative is then computed at the sum.

    Caught by check_layer: forward changed x[0] in place.
    """

    example = layer_example(x=(3, 4), inputs=2, kinks=(), formula=formulas.add)

    def forward(self, x: tuple[Array, ...], train: bool = False) -> Array:
        super().forward(x, train)
        total = x[0]
        for array in x[1:]:
            total += array
        return total
