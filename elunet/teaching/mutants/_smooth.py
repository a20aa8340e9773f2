"""Wrong activations: sigmoids, the smooth ReLUs, the clipped ones."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.layers import (
    CELU,
    GELU,
    SELU,
    ClippedReLU,
    HardTanh,
    LogSoftmax,
    Sigmoid,
    SiLU,
    Softplus,
)
from elunet.layers.sigmoid import sigmoid
from elunet.teaching.mutants import _formulas as formulas
from elunet.teaching.mutants._mutant import layer_example

ROWS = (3, 4)


class SlopeOfSigmoidOutput(Sigmoid):
    """The slope s (1 - s) is computed from y as if it were x: s is taken twice.

    In training: All slopes lie between 0.20 and 0.25, so no unit ever saturates. The loss falls, in
    a direction that is a little wrong.

    Caught by check_layer: the slope is taken at the output y.
    """

    example = layer_example(x=ROWS, kinks=(), formula=formulas.sigmoid)

    def forward(self, x: Array, train: bool = False) -> Array:
        self.y = super().forward(x, train)
        return self.y

    def backward_input(self, dy: Array) -> Array:
        s = sigmoid(self.y)
        return np.asarray(dy * s * (1 - s), dy.dtype)


class SlopeOfReLU(Softplus):
    """The slope is the step function of ReLU, which softplus smooths.

    In training: Units below 0 stop learning, as with ReLU. The loss falls.

    Caught by check_layer: wrong everywhere, most near x = 0.
    """

    example = layer_example(x=ROWS, formula=formulas.softplus)

    def forward(self, x: Array, train: bool = False) -> Array:
        self.x = x
        return super().forward(x, train)

    def backward_input(self, dy: Array) -> Array:
        return np.asarray(dy * (self.x > 0), dy.dtype)


class GateIsConstant(SiLU):
    """Backward treats the gate s(x) as a constant: the product rule's second term is missing.

    In training: The slope is too small above 0 and never negative below. The loss falls a little
    more slowly.

    Caught by check_layer: wrong everywhere.
    """

    example = layer_example(x=ROWS, kinks=(), formula=formulas.silu)

    def forward(self, x: Array, train: bool = False) -> Array:
        self.x = x
        return super().forward(x, train)

    def backward_input(self, dy: Array) -> Array:
        return np.asarray(dy * sigmoid(self.x), dy.dtype)


class TanhBackwardOnly(GELU):
    """Forward takes the error function, backward the slope of the approximation by tanh.

    In training: Nothing to see: the two slopes differ by less than 0.001.

    Caught by check_layer: wrong by some 1e-4, where the usual tolerances see nothing.
    """

    example = layer_example(x=ROWS, kinks=(), formula=formulas.gelu)

    def forward(self, x: Array, train: bool = False) -> Array:
        self.x = x
        return super().forward(x, train)

    def backward_input(self, dy: Array) -> Array:
        other = GELU(tanh=True)
        other.forward(self.x)
        return np.asarray(other.backward_input(dy))


class ScaleForgotten(SELU):
    """Backward forgets the scale 1.05.

    In training: Each layer sends back 5 % too little; over 50 layers that is a factor of 12.

    Caught by check_layer: analytic is numeric times 0.9517 everywhere.
    """

    example = layer_example(x=ROWS, formula=formulas.selu)

    def backward_input(self, dy: Array) -> Array:
        return np.asarray(super().backward_input(dy) / dy.dtype.type(1.0507009873554805))


class SlopeOfELU(CELU):
    """The slope below 0 is ELU's, alpha e^x, instead of e^(x / alpha).

    In training: Nothing as long as alpha is 1. With another alpha negative units learn too fast or
    too slowly.

    Caught by check_layer: wrong only where x <= 0, if alpha is not 1.
    """

    example = layer_example(0.5, x=ROWS, formula=formulas.celu)

    def forward(self, x: Array, train: bool = False) -> Array:
        self.x = x
        return super().forward(x, train)

    def backward_input(self, dy: Array) -> Array:
        slope = np.where(self.x > 0, 1, self.alpha * np.exp(np.minimum(self.x, 0)))
        return np.asarray(dy * slope, dy.dtype)


class NotClippedBackward(ClippedReLU):
    """Backward forgets the upper limit: the slope is ReLU's.

    In training: Units above the limit are pushed on, without effect on the output. The loss falls,
    with larger activations than needed.

    Caught by check_layer: wrong only where x is above the limit.
    """

    example = layer_example(1.0, x=ROWS, kinks=(0.0, 1.0), formula=formulas.clipped_relu)

    def forward(self, x: Array, train: bool = False) -> Array:
        self.x = x
        return super().forward(x, train)

    def backward_input(self, dy: Array) -> Array:
        return np.asarray(dy * (self.x > 0), dy.dtype)


class StraightThrough(HardTanh):
    """Backward returns dy as it is, also where the function is flat.

    In training: Saturated units get gradients. As a trick (the straight-through estimator) people
    do it on purpose; as a bug it is a wrong gradient that often trains well.

    Caught by check_layer: wrong only outside of low and high.
    """

    example = layer_example(x=ROWS, kinks=(-1.0, 1.0), formula=formulas.hard_tanh)

    def backward_input(self, dy: Array) -> Array:
        return np.array(dy)


class SumOfClassesMissing(LogSoftmax):
    """Backward returns dy less the probabilities, as if dy were one-hot: its sum is forgotten.

    In training: Nothing with the negative log-likelihood of one row. With a mean over the batch,
    the gradient is wrong by far.

    Caught by check_layer: backward is not proportional to dy.
    """

    example = layer_example(x=ROWS, kinks=(), formula=formulas.log_softmax)

    def forward(self, x: Array, train: bool = False) -> Array:
        self.y = super().forward(x, train)
        return self.y

    def backward_input(self, dy: Array) -> Array:
        return np.asarray(dy - np.exp(self.y), dy.dtype)
