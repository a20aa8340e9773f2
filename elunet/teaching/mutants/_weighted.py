"""Wrong Linear and Conv2D layers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.layers import Conv2D, Linear, LocallyConnected2D
from elunet.teaching.mutants import _formulas as formulas
from elunet.teaching.mutants._mutant import layer_example

SQUARE = layer_example(4, 4, seed=0, x=(3, 4), formula=formulas.linear)
WIDE = layer_example(4, 3, seed=0, x=(3, 4), formula=formulas.linear)
ONE_ROW = layer_example(4, 3, seed=0, x=(1, 4), formula=formulas.linear)
IMAGES = layer_example(2, 3, 3, seed=0, x=(2, 4, 5, 2), formula=formulas.conv2d)
STRIDES = layer_example(2, 3, 3, stride=2, seed=0, x=(2, 4, 6, 2), formula=formulas.conv2d)


class TransposedWeight(Linear):
    """The gradient is sent back through W instead of its transpose.

    In training: If layers are square, nothing crashes. The earlier layers get a wrong signal, as
    with feedback alignment, and the loss still falls, a little more slowly.

    Caught by check_layer: dx is wrong everywhere, dW is right.
    """

    example = SQUARE

    def backward_input(self, dy: Array, weight: Array | None = None) -> Array:
        return np.asarray(dy @ (self.params["W"] if weight is None else weight))


class AveragedBiasGradient(Linear):
    """The bias's gradient is a mean over the batch instead of a sum.

    In training: The loss is a mean already, so biases learn N times slower than weights, and
    even slower in larger batches. The loss still falls.

    Caught by check_layer: analytic = 1/3 x numeric, the batch size.
    """

    example = WIDE

    def backward_params(self, dy: Array) -> None:
        super().backward_params(dy)
        self.store_gradient("b", dy.mean(axis=0), dy.dtype)


class AccumulatedGradient(Linear):
    """Each backward pass adds to the old gradient, and nothing resets it to 0.

    In training: Each step moves along the sum of all gradients since the start, like a momentum
    of 1. With a very small rate the loss falls, in swings; with the usual ones it diverges.

    Caught by check_layer: a second backward pass doubles the gradient.
    """

    example = WIDE

    def backward_params(self, dy: Array) -> None:
        old = {name: gradient.copy() for name, gradient in self.grads.items()}
        super().backward_params(dy)
        for name, gradient in old.items():
            self.grads[name] = self.grads[name] + gradient


class BiasSumInPlace(Linear):
    """The bias's gradient is summed in dy's first row, in place, through another name.

    In training: Afterwards dy's first row is the sum over the batch, so dx is wrong, and with
    it all earlier layers. The loss falls a little more slowly.

    Caught by check_layer: backward changed dy in place.
    """

    example = WIDE

    def backward_params(self, dy: Array) -> None:
        super().backward_params(dy)
        total = dy[0]
        for row in dy[1:]:
            total += row
        self.store_gradient("b", total, dy.dtype)


class BiasGradientIsAView(Linear):
    """For a batch of one the bias's gradient is dy's only row itself, not a copy.

    In training: Only with batches of one, where another layer writes its result into the same
    memory before the optimizer has read the gradient: the bias then moves by another layer's
    numbers.

    Caught by check_layer: grads['b'] changes when dy is written to afterwards.
    """

    example = ONE_ROW

    def backward_params(self, dy: Array) -> None:
        super().backward_params(dy)
        self.grads["b"] = dy[0] if len(dy) == 1 else dy.sum(axis=0)


class CachedTranspose(Linear):
    """W's transpose is made once and kept for all backward passes.

    In training: The first step is right. From then on the earlier layers get their signal through
    the initial weights: feedback alignment by accident. The loss falls a little more slowly.

    Caught by check_layer: dx is right at first, but wrong after the parameters have changed.
    """

    example = WIDE
    transpose: Array | None = None

    def backward_input(self, dy: Array, weight: Array | None = None) -> Array:
        if self.transpose is None:
            self.transpose = self.params["W"].T.copy()
        return np.asarray(dy @ (self.transpose if weight is None else weight.T))


class FirstBatchKept(Linear):
    """Forward keeps its input only if it has not kept one yet.

    In training: Inputs of the very first batch are paired with the errors of each new one. The
    loss falls at first, and then stays where it is.

    Caught by check_layer: the weight's gradient is right at first, but wrong at another x.
    """

    example = WIDE

    def keep(self, *values: Any) -> None:
        if self._kept is None:
            super().keep(*values)

    def forget(self) -> None:
        pass  # or a network would make it forget between two batches


class UpdatesInBackward(Linear):
    """Backward takes a small step itself, in addition to the optimizer's.

    In training: A second, fixed learning rate, without momentum or schedule. Weights move even
    where the optimizer's rate is 0, and evaluation before an update is not what it seems.

    Caught by check_layer: backward changed the parameter in place.
    """

    example = WIDE

    def backward_params(self, dy: Array) -> None:
        super().backward_params(dy)
        self.params["b"] -= 1e-3 * self.grads["b"]


class AlwaysFloat64(Linear):
    """The result is float64 for any input dtype.

    In training: Only the speed is wrong: from this layer on a float32 network computes in
    float64, with twice the memory at half the speed.

    Caught by LayerContract.test_dtypes: y is float64 for x in float32.
    """

    example = WIDE

    def forward(self, x: Array, train: bool = False) -> Array:
        return super().forward(x, train).astype(np.float64)


class DecaysTwice(Linear):
    """The layer adds 0.1 W to W's gradient, as weight decay, which the optimizer does as well.

    In training: Weights shrink at more than the stated rate. The training loss stops falling early;
    it looks as if the network were too small.

    Caught by check_layer: analytic = numeric + 0.1 x W.
    """

    example = WIDE

    def backward_params(self, dy: Array) -> None:
        super().backward_params(dy)
        self.grads["W"] = self.grads["W"] + 0.1 * self.params["W"].astype(dy.dtype)


class IgnoresUpstream(Linear):
    """W's gradient is that of the sum of all outputs: dy does not enter.

    In training: W moves along the mean of its inputs, whatever the labels are. The later layers
    learn what they can; the loss falls a little, then stops.

    Caught by check_layer: backward ignores dy.
    """

    example = WIDE

    def backward_params(self, dy: Array) -> None:
        super().backward_params(dy)
        b = self.grads["b"].copy()
        super().backward_params(np.ones_like(dy))
        self.grads["b"] = b


class FlippedKernel(Conv2D):
    """The kernel is turned by 180 degrees: the convolution of mathematics, not of deep learning.

    In training: Nothing, since the kernel is learned either way. It shows when weights come
    from another library, or are exported to one: the network then computes noise.

    Caught by LayerContract.test_known_values: forward and backward agree, on another function.
    """

    example = IMAGES

    def parameter(self, name: str, shape: Any, dtype: Any) -> Array:
        value = super().parameter(name, shape, dtype)
        return np.ascontiguousarray(value[::-1, ::-1]) if name == "W" else value

    def backward_params(self, dy: Array) -> None:
        super().backward_params(dy)
        self.store_gradient("W", self.grads["W"][::-1, ::-1].copy(), dy.dtype)

    def backward_input(self, dy: Array, weight: Array | None = None) -> Array:
        return super().backward_input(dy, None if weight is None else weight[::-1, ::-1])


class PaddingBefore(Conv2D):
    """Where padding is uneven, the larger half comes before the image instead of after it.

    In training: Nothing. It shows with weights from a library that pads the other way: all
    features sit one pixel off, and the accuracy drops by a little.

    Caught by LayerContract.test_known_values: forward and backward agree, on a shifted image.
    """

    example = STRIDES

    def _zeros(self, size: int, axis: int) -> tuple[int, int]:
        before, after = super()._zeros(size, axis)
        return after, before


def _scatter(layer: Conv2D, dy: Array, W: Array, x: Array, step: int, add: bool) -> Array:
    """Return dx: each window's gradient, put into the image `step` pixels from the last one."""
    kernel, size = W.shape[:2], x.shape[1:3]
    steps = [math.ceil(side / layer.stride) - 1 for side in size]
    zeros = [
        max(n * layer.stride + k - side, 0) for n, k, side in zip(steps, kernel, size, strict=True)
    ]
    top, left = zeros[0] // 2, zeros[1] // 2
    padded = np.zeros((len(x), size[0] + zeros[0], size[1] + zeros[1], x.shape[3]), x.dtype)
    for i, j in np.ndindex(dy.shape[1:3]):
        window = padded[:, i * step :, j * step :][:, : kernel[0], : kernel[1]]
        gradient = np.einsum("no,uvco->nuvc", dy[:, i, j], W)
        window[...] = window + gradient if add else gradient
    return padded[:, top : top + size[0], left : left + size[1]].copy()


class ScatterStride(Conv2D):
    """Backward places the windows one pixel apart, for any stride.

    In training: Only with strides. The earlier layers learn from a signal that is squeezed into a
    corner of the image.

    Caught by check_layer: dx is wrong, and 0 where no window came to lie.
    """

    example = STRIDES

    def forward(self, x: Array, train: bool = False) -> Array:
        self.x = x
        return super().forward(x, train)

    def backward_input(self, dy: Array, weight: Array | None = None) -> Array:
        W = self.params["W"] if weight is None else weight
        return _scatter(self, dy, W, self.x, step=1, add=True)


class ScatterOverwrites(Conv2D):
    """Where windows overlap, the last one's gradient replaces the others' instead of adding up.

    In training: A 3x3 kernel leaves one ninth of the signal. The earlier layers learn slowly,
    from one window only.

    Caught by check_layer: dx is wrong wherever more than one window lies.
    """

    example = IMAGES

    def forward(self, x: Array, train: bool = False) -> Array:
        self.x = x
        return super().forward(x, train)

    def backward_input(self, dy: Array, weight: Array | None = None) -> Array:
        W = self.params["W"] if weight is None else weight
        return _scatter(self, dy, W, self.x, step=self.strides[0], add=False)


class AsIfShared(LocallyConnected2D):
    """Every position gets the sum of all positions' gradients, as if the kernel were one.

    In training: The kernels move in parallel, and much too fast: the layer stays a convolution with
    other initial weights.

    Caught by check_layer: dW is wrong everywhere, dx is right.
    """

    example = layer_example(
        (4, 5), 2, 3, 2, seed=0, x=(2, 4, 5, 2), formula=formulas.locally_connected
    )

    def backward_params(self, dy: Array) -> None:
        super().backward_params(dy)
        dW = self.grads["W"]
        by_place = dW.reshape(-1, self.out_size[0] * self.out_size[1], self.out_channels)
        by_place[...] = by_place.sum(axis=1, keepdims=True)
