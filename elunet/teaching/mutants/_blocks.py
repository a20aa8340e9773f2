"""Wrong layers where paths meet, wrong padding, and wrong normalization of single images."""

from __future__ import annotations

import numpy as np

from elunet._types import Array, Shape
from elunet.layers import (
    AlphaDropout,
    Concat,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    Multiply,
    Pad,
    PReLU,
)
from elunet.teaching.mutants import _formulas as formulas
from elunet.teaching.mutants._mutant import layer_example

IMAGES = (2, 4, 3, 4)


class PartsSwapped(Concat):
    """Backward hands out the parts in the wrong order.

    In training: Each path gets the other's gradient. With equal channel counts no shape shows it;
    the loss falls slowly or not at all.

    Caught by check_layer: dx of the first input is the numeric dx of the second.
    """

    example = layer_example(x=(3, 2), inputs=2, kinks=(), formula=formulas.concat)

    def backward_input(self, dy: Array) -> tuple[Array, ...]:
        return super().backward_input(dy)[::-1]


class TimesItself(Multiply):
    """Each input's gradient is dy times that input, instead of times the other.

    In training: A gate learns from its own value, not from what it lets through. Small gates
    barely learn.

    Caught by check_layer: both gradients are wrong, and each would be right for the other input.
    """

    example = layer_example(x=(3, 4), inputs=2, kinks=(), formula=formulas.multiply)

    def forward(self, x: tuple[Array, ...], train: bool = False) -> Array:
        self.x = x
        return super().forward(x, train)

    def backward_input(self, dy: Array) -> tuple[Array, ...]:
        return tuple(np.asarray(dy * one, dy.dtype) for one in self.x)


class PaddingCutOff(Pad):
    """Backward cuts the padding off, which is right for zeros only, not for a mirrored border.

    In training: Pixels near the border get too little. The rest hides it: the loss falls.

    Caught by check_layer: wrong only near the border.
    """

    example = layer_example(1, "reflect", x=IMAGES, kinks=(), formula=formulas.pad)

    def backward_input(self, dy: Array) -> Array:
        (top, bottom), (left, right) = self.padding
        super().backward_input(dy)
        height, width = dy.shape[1:3]
        return dy[:, top : height - bottom, left : width - right].copy()


class VarianceIsConstant(LayerNorm):
    """The gradient ignores that a row's variance depends on x.

    In training: Weights are pushed in a direction that normalization undoes, and grow. The loss
    falls a little more slowly.

    Caught by check_layer: dx is wrong everywhere, by a multiple of the normalized row.
    """

    example = layer_example(4, x=(3, 4), kinks=(), formula=formulas.layer_norm)

    def forward(self, x: Array, train: bool = False) -> Array:
        self.rstd = 1 / np.sqrt(x.var(axis=-1, keepdims=True) + x.dtype.type(self.eps))
        return super().forward(x, train)

    def backward_input(self, dy: Array) -> Array:
        g = np.asarray(dy * self.params["gamma"], dy.dtype)
        return np.asarray((g - g.mean(axis=-1, keepdims=True)) * self.rstd)


class EveryOtherChannel(GroupNorm):
    """Group g takes every channel c with c mod groups = g, instead of neighboring channels.

    In training: Nothing, as long as it is trained and used with this layer. Weights from another
    library give a wrong answer.

    Caught by LayerContract.test_known_values: y differs from the formula's.
    """

    example = layer_example(2, 4, x=IMAGES, kinks=(), formula=formulas.group_norm)

    def forward(self, x: Array, train: bool = False) -> Array:
        return self._back(super().forward(self._sorted(x), train))

    def backward_params(self, dy: Array) -> None:
        super().backward_params(self._sorted(dy))

    def backward_input(self, dy: Array) -> Array:
        return self._back(super().backward_input(self._sorted(dy)))

    def _order(self) -> Array:
        return np.arange(self.channels).reshape(-1, self.groups).T.reshape(-1)

    def _sorted(self, x: Array) -> Array:
        return np.ascontiguousarray(x[..., self._order()])

    def _back(self, y: Array) -> Array:
        return np.ascontiguousarray(y[..., np.argsort(self._order())])


class WholeBatchTogether(InstanceNorm):
    """Each channel is normalized over all images of the batch, as in batch normalization.

    In training: Nothing. In evaluation an image's answer depends on the others in its batch.

    Caught by LayerContract.test_batched_equals_unbatched: a row alone gives another y.
    """

    example = layer_example(4, x=IMAGES, kinks=(), formula=formulas.instance_norm)

    def grouped(self, shape: Shape) -> Shape:
        return 1, int(np.prod(shape[:-1])), self.channels, 1


class SlopeLearnsEverywhere(PReLU):
    """The slope's gradient sums dy x over all numbers, not only where x is negative.

    In training: Slopes follow the units that are on and drift upwards, to 1 or beyond: the network
    becomes linear.

    Caught by check_layer: dx is right, dalpha is wrong.
    """

    example = layer_example(x=(3, 4), formula=formulas.prelu)

    def forward(self, x: Array, train: bool = False) -> Array:
        self.x = x
        return super().forward(x, train)

    def backward_params(self, dy: Array) -> None:
        super().backward_params(dy)
        self.grads["alpha"] = np.array([np.sum(dy * self.x)], dy.dtype)


class GradientNotScaled(AlphaDropout):
    """Backward switches off the same numbers, but forgets the factor that restores the variance.

    In training: Gradients below are off by a constant factor, 1.13 at rate 0.1. With a learning
    rate that was found by trial nobody notices.

    Caught by check_layer: analytic is numeric times a constant in training, right in evaluation.
    """

    example = layer_example(
        0.5, seed=0, x=(3, 4), formula=formulas.dropout, contract={"same_on_average": False}
    )

    def forward(self, x: Array, train: bool = False) -> Array:
        self.train = train
        return super().forward(x, train)

    def backward_input(self, dy: Array) -> Array:
        dx = super().backward_input(dy)
        return np.asarray(dx / self._share_and_scale()[1], dy.dtype) if self.train else dx
