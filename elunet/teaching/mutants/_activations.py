"""Wrong activations, and wrong Softmax layers."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.layers import ELU, LeakyReLU, ReLU, ShiftedReLU, Softmax, Tanh
from elunet.teaching.mutants import _formulas as formulas
from elunet.teaching.mutants._mutant import layer_example

ROWS = (3, 4)
ELU_ROWS = layer_example(x=ROWS, formula=formulas.elu)
RELU_ROWS = layer_example(x=ROWS, formula=formulas.relu)
TANH_ROWS = layer_example(x=ROWS, kinks=(), formula=formulas.tanh)
SOFTMAX_ROWS = layer_example(x=ROWS, kinks=(), formula=formulas.softmax)


class DoubleSlope(ELU):
    """Above 0 the slope is 2: e^min(x, 0), which is 1 there, is added to 1.

    In training: Every ELU doubles the gradient, so ten of them make it a thousand times too
    long. Usual learning rates diverge; very small ones work.

    Caught by check_layer: wrong only where x > 0, there analytic = 2 x numeric.
    """

    example = ELU_ROWS

    def forward(self, x: Array, train: bool = False) -> Array:
        self.x = x
        return super().forward(x, train)

    def backward_input(self, dy: Array) -> Array:
        return np.asarray(dy * ((self.x > 0) + np.exp(np.minimum(self.x, 0))), dy.dtype)


class ForgottenAlpha(ELU):
    """Below 0 the slope is y + 1 instead of y + alpha.

    In training: Nothing as long as alpha is 1. With another alpha negative units learn too fast or
    too slowly.

    Caught by check_layer: wrong only where x <= 0, if alpha is not 1.
    """

    example = layer_example(0.5, x=ROWS, formula=formulas.elu)

    def forward(self, x: Array, train: bool = False) -> Array:
        self.y = super().forward(x, train)
        return self.y

    def backward_input(self, dy: Array) -> Array:
        return np.asarray(dy * np.where(self.y > 0, 1, self.y + 1), dy.dtype)


class ExponentialEverywhere(ELU):
    """Both branches are computed for all x and joined by multiplication with 0 and 1.

    In training: Nothing, until one x is above 88 in float32. There e^x is infinite, and infinity
    times 0 is NaN: the run is lost within a step.

    Caught by LayerContract.test_large_numbers: y is nan for large x.
    """

    example = ELU_ROWS

    def forward(self, x: Array, train: bool = False) -> Array:
        alpha = x.dtype.type(self.alpha)
        self.y = np.asarray((x > 0) * x + (x <= 0) * (alpha * (np.exp(x) - 1)), x.dtype)
        return self.y

    def backward_input(self, dy: Array) -> Array:
        return np.asarray(dy * np.where(self.y > 0, 1, self.y + self.alpha), dy.dtype)


class SignOfGradient(ReLU):
    """Backward makes the mask from dy instead of x.

    In training: Only positive gradients are sent back, as in some methods of visualization. Units
    are only ever pushed down, and the network learns nothing.

    Caught by check_layer: dx is wrong, and a negated dy does not negate it.
    """

    example = RELU_ROWS

    def backward_input(self, dy: Array) -> Array:
        super().backward_input(dy)  # an error if no forward pass came before
        return np.maximum(dy, 0)


class InputInPlace(ReLU):
    """The negative numbers are set to 0 in x itself.

    In training: In a chain nothing. Where a second path starts from the same x, such as a skip
    connection, that one is rectified too.

    Caught by check_layer: forward changed x in place.
    """

    example = RELU_ROWS

    def forward(self, x: Array, train: bool = False) -> Array:
        x[x < 0] = 0
        return super().forward(x, train)


class SilentBackward(ReLU):
    """Backward before any forward pass returns dy, without an error.

    In training: Nothing in a correct program. One that runs its layers in the wrong order gets
    no error, only a gradient without the mask.

    Caught by LayerContract.test_backward_before_forward: an answer where there should be an error.
    """

    example = RELU_ROWS
    ready = False

    def forward(self, x: Array, train: bool = False) -> Array:
        self.ready = True
        return super().forward(x, train)

    def backward_input(self, dy: Array) -> Array:
        return super().backward_input(dy) if self.ready else dy.copy()


class NoLeakBackward(LeakyReLU):
    """Forward leaks, but backward is ReLU's.

    In training: Negative units get no gradient: the network learns like one with ReLU, which
    hides the difference between the two.

    Caught by check_layer: wrong only where x <= 0, there analytic is 0.
    """

    example = layer_example(x=ROWS, formula=formulas.leaky_relu)

    def forward(self, x: Array, train: bool = False) -> Array:
        self.x = x
        return super().forward(x, train)

    def backward_input(self, dy: Array) -> Array:
        return np.asarray(dy * (self.x > 0), dy.dtype)


class SlopeTwice(LeakyReLU):
    """The slope is multiplied in twice: once by backward, once by a caller who forgot that.

    In training: Below 0 the gradient is slope^2 in place of slope, so next to nothing. Units that
    are negative for all images hardly ever come back, as with ReLU.

    Caught by check_layer: wrong only where x <= 0.
    """

    example = layer_example(x=ROWS, formula=formulas.leaky_relu)

    def forward(self, x: Array, train: bool = False) -> Array:
        self.x = x
        return super().forward(x, train)

    def backward_input(self, dy: Array) -> Array:
        return np.asarray(dy * np.where(self.x > 0, 1, self.slope**2), dy.dtype)


class UnshiftedSlope(ShiftedReLU):
    """The value's kink is at -1, the derivative's still at 0.

    In training: Units between -1 and 0 get no gradient, though they are active. The loss falls
    more slowly.

    Caught by check_layer: wrong only where x is between -1 and 0.
    """

    example = layer_example(x=ROWS, kinks=(-1.0, 0.0), formula=formulas.shifted_relu)

    def forward(self, x: Array, train: bool = False) -> Array:
        self.x = x
        return super().forward(x, train)

    def backward_input(self, dy: Array) -> Array:
        return np.asarray(dy * (self.x > 0), dy.dtype)


class SlopeOfOutput(Tanh):
    """The derivative 1 - tanh^2 is taken at y instead of x.

    In training: The slope is too large where the unit saturates, so it hardly ever gets stuck; the
    direction of descent is a little wrong everywhere. The loss falls.

    Caught by check_layer: dx is too large everywhere.
    """

    example = TANH_ROWS

    def forward(self, x: Array, train: bool = False) -> Array:
        self.y = super().forward(x, train)
        return self.y

    def backward_input(self, dy: Array) -> Array:
        return np.asarray(dy * (1 - np.tanh(self.y) ** 2), dy.dtype)


class OutputAsSlope(Tanh):
    """The derivative of tanh is computed as tanh: the output y is the slope.

    In training: Negative units get the gradient's opposite, and units near 0 none. The loss
    wanders.

    Caught by check_layer: the output y is used as the slope.
    """

    example = TANH_ROWS

    def forward(self, x: Array, train: bool = False) -> Array:
        self.y = super().forward(x, train)
        return self.y

    def backward_input(self, dy: Array) -> Array:
        return np.asarray(dy * self.y, dy.dtype)


class OverwritesWhatItKept(Tanh):
    """To save memory, backward squares the kept y in place, which forward also returned.

    In training: Nothing in a simple loop. A second backward pass (another loss, a learning rule
    that compares gradients) gets wrong numbers, and y is wrong for all code that kept it.

    Caught by check_layer: backward changed y, which forward returned.
    """

    example = TANH_ROWS

    def forward(self, x: Array, train: bool = False) -> Array:
        self.y = super().forward(x, train)
        return self.y

    def backward_input(self, dy: Array) -> Array:
        self.y *= self.y
        return np.asarray(dy * (1 - self.y))


class DiagonalOnly(Softmax):
    """The Jacobian is taken as y (1 - y) on its diagonal and 0 elsewhere.

    In training: Raising one logit lowers the other classes' shares, and the gradient ignores
    it. It still points upwards for the right class, so the loss falls, slowly.

    Caught by check_layer: dx is wrong everywhere.
    """

    example = SOFTMAX_ROWS

    def forward(self, x: Array, train: bool = False) -> Array:
        self.y = super().forward(x, train)
        return self.y

    def backward_input(self, dy: Array) -> Array:
        return np.asarray(dy * self.y * (1 - self.y))


class UnshiftedSoftmax(Softmax):
    """The largest logit is not subtracted before the exponential.

    In training: Nothing, until a logit passes 88 in float32: infinity divided by infinity is NaN.
    That may take an hour of training.

    Caught by LayerContract.test_large_numbers: y is nan for large x.
    """

    example = SOFTMAX_ROWS

    def forward(self, x: Array, train: bool = False) -> Array:
        powers = np.exp(x)
        self.y = np.asarray(powers / powers.sum(axis=-1, keepdims=True))
        return self.y

    def backward_input(self, dy: Array) -> Array:
        return np.asarray(self.y * (dy - (dy * self.y).sum(axis=-1, keepdims=True)))


class SoftmaxOverBatch(Softmax):
    """The sum runs over the batch instead of the classes.

    In training: Rows compete with each other. The loss falls during training, and a single image
    gets probability 1 for every class.

    Caught by LayerContract.test_batched_equals_unbatched: a row alone gives another y.
    """

    example = SOFTMAX_ROWS

    def forward(self, x: Array, train: bool = False) -> Array:
        return np.ascontiguousarray(super().forward(np.ascontiguousarray(x.T), train).T)

    def backward_input(self, dy: Array) -> Array:
        return np.ascontiguousarray(super().backward_input(np.ascontiguousarray(dy.T)).T)
