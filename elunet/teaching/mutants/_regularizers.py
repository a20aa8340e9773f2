"""Wrong Dropout and BatchNorm layers, which differ in training and evaluation."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.layers import BatchNorm, Dropout
from elunet.teaching.mutants import _formulas as formulas
from elunet.teaching.mutants._mutant import layer_example

DROPOUT = layer_example(0.5, seed=0, x=(3, 4), formula=formulas.dropout)
BATCH_NORM = layer_example(
    2,
    x=(4, 3, 3, 2),
    kinks=(),
    formula=formulas.batch_norm,
    contract={"rows_apart_in_training": False},
)


class NewMaskBackward(Dropout):
    """Backward draws a new mask.

    In training: Units that were off get a gradient, and half of those that were on get none.
    With a small rate the loss falls slowly, otherwise it diverges.

    Caught by check_layer: backward, run twice, gives another dx each time.
    """

    example = DROPOUT

    def backward_input(self, dy: Array) -> Array:
        self.forward(np.ones_like(dy), train=True)
        return super().backward_input(dy)


class Unscaled(Dropout):
    """The remaining units are not scaled by 1 / (1 - rate).

    In training: In evaluation all units are on, and every sum is twice what the next layer has
    learned to expect. Training looks fine, the test accuracy is poor.

    Caught by LayerContract.test_training_agrees_with_evaluation: the mean in training is half.
    """

    example = DROPOUT

    def forward(self, x: Array, train: bool = False) -> Array:
        self.left = x.dtype.type(1 - self.rate if train else 1)
        return np.asarray(super().forward(x, train) * self.left)

    def backward_input(self, dy: Array) -> Array:
        return np.asarray(super().backward_input(dy) * self.left)


class AlwaysDropping(Dropout):
    """Units are switched off in evaluation as well.

    In training: Nothing. The test accuracy is lower than it should be, and different each time
    it is measured.

    Caught by LayerContract.test_evaluation_is_repeatable: the same x gives another y.
    """

    example = DROPOUT

    def forward(self, x: Array, train: bool = False) -> Array:
        return super().forward(x, train=True)


class SameMaskEachTime(Dropout):
    """Each forward pass makes a new generator with the same seed.

    In training: The same units are off in every step: the network is just smaller, and nothing
    is regularized. In evaluation it meets units that were never trained.

    Caught by LayerContract.test_training_agrees_with_evaluation: some units are always off.
    """

    example = DROPOUT

    def forward(self, x: Array, train: bool = False) -> Array:
        self.rng = np.random.default_rng(0)
        return super().forward(x, train)


def _normalized(x: Array, eps: float) -> tuple[Array, Array]:
    """Return x_hat and 1 / sqrt(var + eps), in x's dtype."""
    axes = tuple(range(x.ndim - 1))
    rstd = 1 / np.sqrt(x.var(axis=axes) + x.dtype.type(eps))
    return (x - x.mean(axis=axes)) * rstd, rstd


class MeanIsConstant(BatchNorm):
    """The gradient ignores that the batch's mean depends on x.

    In training: A bias before the normalization gets a gradient and drifts, although
    subtracting the mean removes its effect. The loss falls a little more slowly.

    Caught by check_layer: off by a constant of each channel's own.
    """

    example = BATCH_NORM

    def forward(self, x: Array, train: bool = False) -> Array:
        self.x, self.train = x, train
        return super().forward(x, train)

    def backward_input(self, dy: Array) -> Array:
        if not self.train:
            return super().backward_input(dy)
        x_hat, rstd = _normalized(self.x, self.eps)
        along = (dy * x_hat).mean(axis=tuple(range(dy.ndim - 1)))
        return np.asarray(self.params["gamma"] * rstd * (dy - x_hat * along))


class StatisticsAreConstants(BatchNorm):
    """Backward treats mean and variance as constants.

    In training: Weights are pushed in directions that normalization undoes: their length and
    their bias. The loss falls a little more slowly.

    Caught by check_layer: dx is wrong everywhere in training, and right in evaluation.
    """

    example = BATCH_NORM

    def forward(self, x: Array, train: bool = False) -> Array:
        self.x, self.train = x, train
        return super().forward(x, train)

    def backward_input(self, dy: Array) -> Array:
        if not self.train:
            return super().backward_input(dy)
        _, rstd = _normalized(self.x, self.eps)
        return np.asarray(dy * (self.params["gamma"] * rstd))


class InputWithoutGamma(BatchNorm):
    """The gradient at the input lacks the factor gamma.

    In training: Nothing at first, since gamma starts at 1. The further it moves, the more wrong
    are the earlier layers.

    Caught by check_layer: dx is right only while gamma is 1.
    """

    example = BATCH_NORM

    def backward_input(self, dy: Array) -> Array:
        gamma = self.params["gamma"].astype(dy.dtype)
        return np.asarray(super().backward_input(dy) / gamma, dy.dtype)


class BatchStatisticsInEvaluation(BatchNorm):
    """Evaluation uses the batch's own mean and variance, too.

    In training: Nothing. The answer for an image depends on the others in its batch: accuracy
    changes with the batch size, and a single image is normalized by itself.

    Caught by LayerContract.test_batched_equals_unbatched: a row alone gives another y.
    """

    example = BATCH_NORM

    def forward(self, x: Array, train: bool = False) -> Array:
        averages = dict(self.state)
        y = super().forward(x, train=True)
        if not train:
            self.state.update(averages)
        return y


class VarianceNeverMoves(BatchNorm):
    """The running mean follows the batches, the running variance stays at 1.

    In training: Nothing. In evaluation each channel is scaled as if its variance were 1; the test
    loss is far above the training loss, as if the network had overfitted.

    Caught by LayerContract.test_training_agrees_with_evaluation: evaluation has another scale.
    """

    example = BATCH_NORM

    def forward(self, x: Array, train: bool = False) -> Array:
        variance = self.state["running_var"]
        y = super().forward(x, train)
        self.state["running_var"] = variance
        return y


class EvaluationMovesAverages(BatchNorm):
    """Evaluation moves the running averages as well.

    In training: The test set leaks into the network, a little at each evaluation, and the same
    image gets another answer each time.

    Caught by LayerContract.test_evaluation_is_repeatable: the same x gives another y.
    """

    example = BATCH_NORM

    def forward(self, x: Array, train: bool = False) -> Array:
        if not train:
            super().forward(x, train=True)
        return super().forward(x, train)
