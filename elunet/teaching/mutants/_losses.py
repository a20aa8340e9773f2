"""Wrong losses."""

# ruff: noqa: N818 (MeanSquaredError is not an exception)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from elunet._types import Array
from elunet.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    Hinge,
    Huber,
    KullbackLeibler,
    MeanAbsoluteError,
    MeanSquaredError,
    SoftmaxCrossEntropy,
)
from elunet.teaching.mutants import _formulas as formulas
from elunet.teaching.mutants._mutant import Example
from elunet.testing._inputs import spread


def _logits() -> tuple[Array, Array]:
    return spread((5, 3), np.random.default_rng(0)), np.array([2, 0, 1, 1, 0])


def _probabilities() -> tuple[Array, Array]:
    logits, labels = _logits()
    return formulas.softmax(None, logits, False), labels


def _values() -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    prediction = spread((4, 3), rng)
    return prediction, prediction + spread((4, 3), rng, margin=0.2)


def _yes_or_no() -> tuple[Array, Array]:
    logits, _ = _logits()
    return logits, np.random.default_rng(1).integers(0, 2, logits.shape).astype(float)


def _log_probabilities() -> tuple[Array, Array]:
    logits, _ = _logits()
    rows = np.random.default_rng(1).dirichlet(np.ones(3), 5)
    return np.log(formulas.softmax(None, logits, False)), rows


def _certain() -> Array:
    """Return probabilities of exactly 0 and 1, some of them wrong."""
    return np.eye(3)[[1, 0, 1, 2, 0]]


def _example(
    given: Callable[[], tuple[Array, Array]], formula: Callable[..., float], **contract: Any
) -> Example:
    return Example((), {}, given, formula, contract)


LOGITS = _example(_logits, formulas.softmax_cross_entropy)
PROBABILITIES = _example(
    _probabilities, formulas.cross_entropy, make_extreme=lambda self: _certain()
)
VALUES = _example(_values, formulas.mean_squared_error)
DISTANCES = _example(_values, formulas.mean_absolute_error)


class GradientNotAveraged(SoftmaxCrossEntropy):
    """The value is a mean over the batch, the gradient p - y is not.

    In training: The learning rate is N times too large, and depends on the batch size. With a rate
    that was tuned for it, all seems well.

    Caught by check_loss: analytic = 5 x numeric, the batch size.
    """

    example = LOGITS

    def formula(self, prediction: Array, target: Array) -> tuple[float, Array]:
        value, dy = super().formula(prediction, target)
        return value, dy * len(prediction)


class MeanOverClasses(SoftmaxCrossEntropy):
    """The sum is divided by the number of classes instead of rows.

    In training: The learning rate is N / C times too large: 10 for a batch of 100 and ten classes.
    Reported losses cannot be compared with other programs'.

    Caught by LossContract.test_mean_over_rows: value and gradient agree, but are no mean.
    """

    example = LOGITS

    def formula(self, prediction: Array, target: Array) -> tuple[float, Array]:
        value, dy = super().formula(prediction, target)
        factor = prediction.shape[0] / prediction.shape[1]
        return value * factor, dy * factor


class ExponentialOverflows(SoftmaxCrossEntropy):
    """Softmax first, without subtracting the largest logit, then the logarithm.

    In training: Nothing, until one logit is above 709, or the label's probability rounds to 0:
    then the loss is NaN or infinite.

    Caught by LossContract.test_extremes: the value is not finite.
    """

    example = LOGITS

    def formula(self, prediction: Array, target: Array) -> tuple[float, Array]:
        p = np.exp(prediction) / np.exp(prediction).sum(axis=1, keepdims=True)
        value = -np.sum(target * np.log(p)) / len(p)
        return float(value), (p - target) / len(p)


class NormalizedOverBatch(SoftmaxCrossEntropy):
    """The softmax's sum runs over the batch instead of the classes.

    In training: The network is never asked to compare the classes of one image. The loss
    falls a little and stays high, and the accuracy is worse than it could be.

    Caught by LossContract.test_mean_over_rows: a row alone has loss 0.
    """

    example = LOGITS

    def formula(self, prediction: Array, target: Array) -> tuple[float, Array]:
        powers = np.exp(prediction - prediction.max(axis=0))
        p = powers / powers.sum(axis=0)
        value = -np.sum(target * np.log(p)) / len(p)
        return float(value), (p * target.sum(axis=0) - target) / len(p)


class LabelsFromOne(SoftmaxCrossEntropy):
    """Integer labels are read as 1, 2, ... C, so each means the class before; one-hot rows are not.

    In training: The network learns well, but the wrong labels. The accuracy, which reads labels
    from 0, is below chance while the loss is low.

    Caught by LossContract.test_labels_are_one_hot_rows: labels and their one-hot rows differ.
    """

    example = LOGITS

    def read_target(self, target: Array, shape: tuple[int, ...]) -> Array:
        return super().read_target((target - 1) % shape[1] if target.ndim == 1 else target, shape)


class InBits(SoftmaxCrossEntropy):
    """The logarithm is to base 2.

    In training: The learning rate is 1.44 times what it says, and a loss of ln(10) = 2.30 at the
    start reads 3.32.

    Caught by LossContract.test_known_values: value and gradient agree, in another unit.
    """

    example = LOGITS

    def formula(self, prediction: Array, target: Array) -> tuple[float, Array]:
        value, dy = super().formula(prediction, target)
        return value / np.log(2), dy / np.log(2)


class GradientForLogits(CrossEntropy):
    """Predictions are probabilities, but p - y is the gradient with respect to logits.

    In training: Behind a Softmax layer its Jacobian is applied twice. Where a class is nearly
    certain and wrong, nothing comes through: learning starts late or never.

    Caught by check_loss: dy is wrong everywhere.
    """

    example = PROBABILITIES

    def formula(self, prediction: Array, target: Array) -> tuple[float, Array]:
        value, _ = super().formula(prediction, target)
        return value, (prediction - target) / len(prediction)


class LogarithmOfZero(CrossEntropy):
    """The logarithm is taken of a probability of 0.

    In training: Nothing, until a softmax in float32 rounds the label's probability to 0. Then the
    loss is infinite and the gradient NaN.

    Caught by LossContract.test_extremes: the value is not finite.
    """

    example = PROBABILITIES

    def formula(self, prediction: Array, target: Array) -> tuple[float, Array]:
        picked = np.sum(prediction * target, axis=1)
        dy = np.zeros_like(prediction)
        np.divide(-target, prediction * len(prediction), out=dy, where=target > 0)
        return float(-np.log(picked).mean()), dy


class MissingTwo(MeanSquaredError):
    """The gradient is that of half the squared error.

    In training: The learning rate is half of what it says. Nothing else, so nobody notices.

    Caught by check_loss: analytic = 1/2 x numeric.
    """

    example = VALUES

    def formula(self, prediction: Array, target: Array) -> tuple[float, Array]:
        value, dy = super().formula(prediction, target)
        return value, dy / 2


class AveragedOverRowsOnly(MeanSquaredError):
    """The value is a mean over all numbers, the gradient is divided by the rows alone.

    In training: The learning rate is too large by the number of columns: with a thousand outputs
    it diverges, with one it is right.

    Caught by check_loss: analytic = 3 x numeric, the number of columns.
    """

    example = VALUES

    def formula(self, prediction: Array, target: Array) -> tuple[float, Array]:
        value, dy = super().formula(prediction, target)
        return value, dy * (dy.size / len(dy))


class SpreadTarget(MeanSquaredError):
    """A target of shape (N,) for a prediction (N, 1) is broadcast: all pairs are compared.

    In training: Every row learns the mean of all targets. The loss falls to the targets' variance
    and stays there, as if the inputs held no information.

    Caught by LossContract.test_no_broadcasting: another value, and no error.
    """

    example = VALUES

    def __call__(
        self,
        prediction: npt.ArrayLike,
        target: npt.ArrayLike,
        weights: npt.ArrayLike | None = None,
    ) -> tuple[float, Array]:
        prediction = np.asarray(prediction)
        gap = prediction - np.asarray(target)
        dy = np.broadcast_to(2 * gap / gap.size, gap.shape)
        while dy.shape != prediction.shape:
            dy = dy.sum(axis=-1, keepdims=True)
        return float(np.mean(gap**2)), dy.astype(prediction.dtype)


class WithoutSign(MeanAbsoluteError):
    """The gradient is the size of the difference, divided by M: the sign is lost.

    In training: All predictions are pushed down, even those that are too small: the loss falls
    at first, and then rises without end.

    Caught by check_loss: dy is wrong, and never negative.
    """

    example = DISTANCES

    def formula(self, prediction: Array, target: Array) -> tuple[float, Array]:
        value, dy = super().formula(prediction, target)
        return value, np.abs(dy)


class GradientInFloat64(MeanAbsoluteError):
    """Dy is float64 for predictions in float32.

    In training: Only the speed is wrong: in the backward pass, layers that do not cast compute
    in float64.

    Caught by LossContract.test_form: dy is float64 for a prediction in float32.
    """

    example = DISTANCES

    def __call__(
        self,
        prediction: npt.ArrayLike,
        target: npt.ArrayLike,
        weights: npt.ArrayLike | None = None,
    ) -> tuple[float, Array]:
        value, dy = super().__call__(prediction, target, weights)
        return value, dy.astype(np.float64)


class DifferenceInPlace(MeanAbsoluteError):
    """The difference is computed in the prediction's own memory.

    In training: Nothing. What is measured afterwards on the same predictions, such as the
    accuracy, is measured on differences.

    Caught by check_loss: the prediction changed in place.
    """

    example = DISTANCES

    def __call__(
        self,
        prediction: npt.ArrayLike,
        target: npt.ArrayLike,
        weights: npt.ArrayLike | None = None,
    ) -> tuple[float, Array]:
        prediction = np.asarray(prediction)
        prediction -= np.asarray(target).astype(prediction.dtype)
        return super().__call__(prediction, np.zeros_like(prediction), weights)


class ProbabilityFirst(BinaryCrossEntropy):
    """The sigmoid comes first, then the logarithm: in float32 it is of 0 for logits from 17 on.

    In training: Nothing, until a logit is large; then the loss is infinite, or NaN.

    Caught by LossContract.test_extremes: the value is not finite.
    """

    example = _example(_yes_or_no, formulas.binary_cross_entropy)

    def formula(self, prediction: Array, target: Array) -> tuple[float, Array]:
        s = 1 / (1 + np.exp(-prediction))
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = -target * np.log(s) - (1 - target) * np.log(1 - s)
        return terms.mean(), (s - target) / prediction.size


class RightClassLeftOut(Hinge):
    """The gradient of the right class's score is missing: only the wrong ones are pushed down.

    In training: All scores sink, the right ones less. The loss falls, half as fast.

    Caught by check_loss: analytic is 0 at the wrong entries.
    """

    example = _example(_logits, formulas.hinge)

    def formula(self, prediction: Array, target: Array) -> tuple[float, Array]:
        value, dy = super().formula(prediction, target)
        return value, np.where(target == 1, 0.0, dy)


class AveragedOverAll(KullbackLeibler):
    """The sum is divided by all numbers instead of the rows.

    In training: The learning rate is divided by the number of classes. The gradient fits the value,
    so that a gradient check sees nothing.

    Caught by LossContract.test_known_values: the value is too small.
    """

    example = _example(_log_probabilities, formulas.kullback_leibler)

    def formula(self, prediction: Array, target: Array) -> tuple[float, Array]:
        value, dy = super().formula(prediction, target)
        classes = prediction.shape[1]
        return value / classes, dy / classes


class NotCut(Huber):
    """The gradient is the whole difference, also where the value is linear.

    In training: Outliers count as much as with the squared error, which the loss is to avoid.

    Caught by check_loss: wrong only where the difference is large.
    """

    example = _example(_values, formulas.huber)

    def formula(self, prediction: Array, target: Array) -> tuple[float, Array]:
        value, _ = super().formula(prediction, target)
        return value, (prediction - target) / prediction.size
