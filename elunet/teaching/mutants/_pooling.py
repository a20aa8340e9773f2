"""Wrong pooling layers, and wrong ways to flatten and to add."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.layers import Add, Flatten, GlobalMeanPool2D, MaxPool2D, MeanPool2D
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
        size = self.size
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
        dx = np.zeros_like(self.x)
        for n, i, j, c in np.ndindex(dy.shape):
            top, left = i * self.stride, j * self.stride
            window = self.x[n, top : top + self.size, left : left + self.size, c]
            u, v = divmod(int(window.argmax()), self.size)
            dx[n, top + u, left + v, c] = dy[n, i, j, c]
        return dx


class MissingArea(MeanPool2D):
    """Each pixel gets its window's whole gradient instead of its share, 1 / size^2.

    In training: Each pooling makes the learning rate of all layers below four times too large.
    Often that diverges; with a small rate it works.

    Caught by check_layer: analytic = 4 x numeric, the window's area.
    """

    example = layer_example(x=(2, 4, 4, 2), formula=formulas.mean_pool)

    def backward_input(self, dy: Array) -> Array:
        return np.asarray(super().backward_input(dy) * dy.dtype.type(self.size**2))


class MeanOverHeight(GlobalMeanPool2D):
    """The gradient is divided by the height instead of height times width.

    In training: All layers below learn with a rate that is too large by the image's width.

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


class ColumnsFirstBackward(Flatten):
    """Backward puts the gradient into the image in another order than forward used.

    In training: Every pixel gets another pixel's gradient. The layers above learn, those below
    do not.

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
