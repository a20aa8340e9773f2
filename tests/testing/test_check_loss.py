import numpy as np
import pytest

import elunet as eln
from elunet.testing import GradientCheckError, check_gradient, check_loss

RNG = np.random.default_rng(4)
P, T = RNG.standard_normal((5, 3)), RNG.standard_normal((5, 3))


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.mark.parametrize(
    ("loss", "prediction", "target"),
    [
        (eln.losses.SoftmaxCrossEntropy(), [[1.0, 2, 3], [0, 1, -1]], np.array([0, 2])),
        (eln.losses.SoftmaxCrossEntropy(), [[1.0, 2, 3], [0, 1, -1]], np.eye(3)[[1, 1]]),
        (eln.losses.CrossEntropy(), [[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]], np.array([0, 2])),
        (eln.losses.MeanSquaredError(), [[1.0, 2, 3], [0, 1, -1]], np.full((2, 3), 0.4)),
        (eln.losses.MeanAbsoluteError(), [[1.0, 2, 3], [0, 1, -1]], np.full((2, 3), 0.4)),
    ],
)
def test_losses_of_elunet(loss, prediction, target):
    result = check_loss(loss, prediction, target)
    assert result.arrays == ["dy"]
    assert result.notes == ()


def squares(factor):
    def loss(p, t):
        return np.mean((p - t) ** 2), 2 * (p - t) * factor(p)

    return loss


@pytest.mark.parametrize(
    ("factor", "text"),
    [
        (lambda p: 1 / len(p), "3 x numeric everywhere: a missing 1/3, the number of columns"),
        (lambda p: 1, "a missing 1/15: the value is a mean over all elements"),
        (lambda p: len(p) / p.size, "a missing 1/5: the value is a mean over the batch"),
        (lambda p: 1 / len(p) / p.size, "divided by the batch size 5 once too often"),
        (lambda p: 1 / 3 / p.size, "divided by the number of columns 3 once too often"),
        (lambda p: p.size**-2.0, "divided by the number of elements 15 once too often"),
        (lambda p: -1 / p.size, "the sign is flipped"),
    ],
)
def test_factors_of_a_loss(factor, text, rng):
    with pytest.raises(GradientCheckError, match=text) as caught:
        check_loss(squares(factor), rng.standard_normal((5, 3)), np.zeros((5, 3)))
    assert str(caught.value).startswith("loss: dy is wrong")


def test_a_sum_over_the_batch_is_noted(rng):
    def loss(p, t):
        return np.sum((p - t) ** 2), 2 * (p - t)

    (note,) = check_loss(loss, rng.standard_normal((5, 3)), np.zeros((5, 3))).notes
    assert "a sum over the batch, not a mean" in note


def test_a_loss_of_a_number_or_a_column(rng):
    check_loss(lambda p, t: (float(p) ** 2, 2 * p), 3.0, None)
    with pytest.raises(GradientCheckError, match="a missing 1/4: the value is a mean"):
        check_loss(lambda p, t: (np.mean(p), np.ones(4)), rng.standard_normal((4, 1)).ravel(), 0)


def test_a_kink_of_a_loss():
    def absolute(p, t):
        return np.mean(np.abs(p - t)), np.where(p >= t, 1, -1) / p.size

    with pytest.raises(GradientCheckError, match=r"kink.*; move the prediction away from it"):
        check_loss(absolute, np.ones((2, 2)), np.ones((2, 2)))


def test_side_effects_of_a_loss():
    p, t = np.ones((2, 2)), np.zeros((2, 2))
    with pytest.raises(GradientCheckError, match=r"changed prediction in place at \[0, 0\]"):
        check_loss(lambda p, t: (np.sum(p.__imul__(2)), 2 * p), p, t)
    with pytest.raises(GradientCheckError, match=r"changed target in place at \[0, 0\]"):
        check_loss(lambda p, t: (np.sum(t.__iadd__(2)), 2 * p), p, t)
    with pytest.raises(TypeError, match=r"to return \(value, dy\), got float"):
        check_loss(lambda p, t: 1.0, p, t)


# Designs: right ones pass, wrong ones are caught.


def caught(loss, prediction, target, match="dy is wrong", **settings):
    with pytest.raises(GradientCheckError, match=match):
        check_loss(loss, prediction, target, **settings)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class SoftmaxWithLoss:
    """forward(x, t), backward(dout=1): the target is remembered."""

    factor = 1.0

    def forward(self, x, t):
        self.t, self.y = t, softmax(x)
        return -np.mean(np.log(self.y[np.arange(len(t)), t]))

    def backward(self, dout=1):
        dx = self.y.copy()
        dx[np.arange(len(self.t)), self.t] -= 1
        return dx * dout / len(self.t) * self.factor


class WrongSoftmaxWithLoss(SoftmaxWithLoss):
    factor = 5.0


def test_an_object_with_forward_and_backward():
    labels = np.array([0, 2, 1, 1, 0])
    loss = SoftmaxWithLoss()
    assert check_loss(loss, P, labels).arrays == ["dy"]
    assert vars(loss) == {}
    caught(WrongSoftmaxWithLoss(), P, labels, "a missing 1/5")


class Dinputs:
    """calculate(output, y), and backward(dvalues, y) into dinputs."""

    scale = 1.0

    def calculate(self, output, y):
        return np.mean(self.forward(output, y))

    def forward(self, y_pred, y_true):
        return np.mean((y_true - y_pred) ** 2, axis=-1)

    def backward(self, dvalues, y_true):
        self.dinputs = -2 * (y_true - dvalues) / dvalues.size * self.scale


class WrongDinputs(Dinputs):
    scale = 5.0


def test_an_object_with_calculate_and_dinputs():
    check_loss(Dinputs(), P, T)
    caught(WrongDinputs(), P, T, "a missing 1/5: the value is a mean over the batch")


class LossAndGradient:
    """loss(y, p) and gradient(y, p): the target first."""

    sign = 1

    def loss(self, y, p):
        p = np.clip(p, 1e-15, 1 - 1e-15)
        return -y * np.log(p) - (1 - y) * np.log(1 - p)

    def gradient(self, y, p):
        p = np.clip(p, 1e-15, 1 - 1e-15)
        return self.sign * (-(y / p) + (1 - y) / (1 - p))


class WrongLossAndGradient(LossAndGradient):
    sign = -1


def test_an_object_with_loss_and_gradient_elementwise():
    p = np.array([[0.9, 0.1], [0.5, 0.999]])
    y = np.array([[1, 0], [1, 1]])
    result = check_loss(LossAndGradient(), p, y)
    assert "the value has prediction's shape: the gradient of its sum was checked" in result.notes
    caught(WrongLossAndGradient(), p, y, "the sign is flipped")


def test_two_functions():
    def mse(y_true, y_pred):
        return np.mean((y_true - y_pred) ** 2)

    def mse_prime(y_true, y_pred):
        return 2 * (y_pred - y_true) / y_true.size

    check_loss((mse, mse_prime), P, T)
    caught((mse, lambda y_true, y_pred: mse_prime(y_pred, y_true)), P, T, "the sign is flipped")


def test_a_class_of_static_methods():
    class Cost:
        @staticmethod
        def fn(a, y):
            return 0.5 * np.linalg.norm(a - y) ** 2

        @staticmethod
        def derivative(a, y):
            return a - y

    check_loss(Cost, P, T)
    Cost.derivative = staticmethod(lambda a, y: y - a)
    caught(Cost, P, T, "the sign is flipped")


def test_a_called_object_with_backward():
    class Loss:
        scale = 2

        def __call__(self, pred, target):
            self.gap = pred - target
            return np.mean(self.gap**2)

        def backward(self):
            return self.scale * self.gap / self.gap.size

    class Wrong(Loss):
        scale = 1

    check_loss(Loss(), P, T)
    caught(Wrong(), P, T, "analytic = 1/2 x numeric")


def test_an_upstream_gradient_or_only_the_target_is_passed():
    class Upstream:
        def forward(self, y, t):
            self.gap = y - t
            return 0.5 * np.sum(self.gap**2)

        def backward(self, dout):
            return dout * self.gap

    class Target:
        def forward(self, y, t):
            self.y = y
            return 0.5 * np.sum((y - t) ** 2)

        def backward(self, t):
            return self.y - t

    class Prediction:
        def forward(self, y, t):
            self.t = t
            return 0.5 * np.sum((y - t) ** 2)

        def backward(self, y):
            return y - self.t

    for kind in (Upstream, Target, Prediction):
        check_loss(kind(), P, T)

    class Wrong(Upstream):
        def backward(self, dout):
            return 2 * dout * self.gap

    caught(Wrong(), P, T, "analytic = 2 x numeric")


@pytest.mark.parametrize("shape", [(5,), (5, 1)])
def test_one_value_for_each_row(shape):
    def loss(pred, target):
        return np.sum((pred - target) ** 2, axis=1).reshape(shape), 2 * (pred - target)

    notes = check_loss(loss, P, T).notes
    assert "the value has one entry for each row: the gradient of its sum was checked" in notes
    caught(lambda p, t: (loss(p, t)[0], loss(p, t)[1] / 5), P, T, "divided by the batch size 5")


def test_integer_predictions_are_floats():
    check_loss(lambda p, t: (np.sum((p - t) ** 2), 2 * (p - t)), np.arange(6).reshape(3, 2), 0.5)


def test_other_predictions_show_what_the_given_ones_hide():
    def loss(p, t):
        return np.sum((p - t) ** 3), 3 * (p - t)

    caught(loss, np.ones((2, 3)), np.zeros((2, 3)), "dy is right only while prediction is 1")


def test_probabilities_stay_probabilities():
    def loss(p, t):
        assert np.all((p > -1e-5) & (p < 1 + 1e-5))
        p = np.clip(p, 1e-7, 1 - 1e-7)
        return -np.mean(np.sum(t * np.log(p), axis=1)), -t / p / len(p)

    check_loss(loss, softmax(3 * P), np.eye(3)[[0, 1, 2, 0, 1]])


def test_a_penalty_on_weights_through_either_check():
    def ridge(W, X, y, reg, factor=2.0):
        gap = X @ W - y
        return np.mean(gap**2) + reg * np.sum(W**2), 2 * X.T @ gap / gap.size + factor * reg * W

    X, y, W = RNG.standard_normal((6, 3)), RNG.standard_normal((6, 2)), P[:3, :2]
    check_loss(lambda W, y: ridge(W, X, y, 0.1), W, y)
    caught(lambda W, y: ridge(W, X, y, 0.1, 1.0), W, y)
    check_gradient(lambda W: ridge(W, X, y, 0.1)[0], lambda W: ridge(W, X, y, 0.1)[1], W)


def test_float32_losses():
    def loss(p, t):
        gap = (p - t).astype(np.float32)
        return np.mean(gap**2), 2 * gap / gap.size

    check_loss(loss, P, T, dtype=np.float32)
    caught(lambda p, t: (loss(p, t)[0], 1.5 * loss(p, t)[1]), P, T, dtype=np.float32)


def test_what_is_no_loss():
    with pytest.raises(TypeError, match="or an object with forward and backward, got int"):
        check_loss(3, P, T)
    with pytest.raises(TypeError, match=r"check_loss\(\(loss, loss_prime\), prediction, target\)"):
        check_loss(lambda p, t: np.sum(p), P, T)
    caught(lambda p, t: (np.ones(7), p), P, T, r"one finite number, got shape \(7,\)")
    caught(lambda p, t: (np.nan, p), P, T, "one finite number, got nan")
    caught(lambda p, t: (np.sum(p), None), P, T, "dy is NoneType, expected an array")

    def delta(z, a, y):
        return a - y

    with pytest.raises(TypeError, match=r"to take the prediction and the target, got \(z, a, y\)"):
        check_loss((lambda a, y: np.sum((a - y) ** 2) / 2, delta), P, T)
