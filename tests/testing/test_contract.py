"""The contract tests: they accept every correct layer, elunet's or not, and say what is wrong."""

from __future__ import annotations

import unittest

import numpy as np
import pytest

from elunet import layers as L
from elunet import losses
from elunet.testing import GradientCheckError, LayerContract, LossContract, spread

METHODS = [name for name in dir(LayerContract) if name.startswith("test_")]
LOSS_METHODS = [name for name in dir(LossContract) if name.startswith("test_")]


def contract_of(make, shape, kinks=(0.0,), inputs=1, **relaxed):
    """Return a test class for a layer and inputs of a shape."""

    def make_input(self):
        rng = np.random.default_rng(0)
        arrays = tuple(spread(shape, rng, kinks) for _ in range(inputs))
        return arrays if inputs > 1 else arrays[0]

    body = {"make_layer": lambda self: make(), "make_input": make_input, **relaxed}
    return type("TestIt", (LayerContract,), body)


def outcomes(tests, methods):
    """Return {method: "passed", "skipped" or the error}."""
    found = {}
    for name in methods:
        try:
            getattr(tests(), name)()
            found[name] = "passed"
        except unittest.SkipTest as skipped:
            found[name] = f"skipped: {skipped}"
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


def failures(tests, methods=METHODS):
    bad = outcomes(tests, methods).items()
    return {name: text for name, text in bad if text != "passed" and text[:7] != "skipped"}


# -- layers that are right

BN = {"rows_apart_in_training": False}


@pytest.mark.parametrize(
    ("make", "shape", "options"),
    [
        (lambda: L.Conv2D(2, 3, 3, seed=0), (2, 4, 5, 2), {}),
        (lambda: L.Conv2D(2, 3, (1, 3), stride=2, padding=(0, 2), seed=0), (2, 5, 4, 2), {}),
        (lambda: L.Conv2D(2, 3, 1, bias=False, seed=0), (2, 2, 3, 2), {}),
        (lambda: L.Linear(3, 2, seed=0), (4, 3), {}),
        (lambda: L.Linear(3, 2, bias=False, seed=0), (1, 3), {}),
        (lambda: L.ELU(2.0), (3, 4), {}),
        (L.ReLU, (3, 2, 2), {}),
        (lambda: L.LeakyReLU(-0.3), (3, 4), {}),
        (L.ShiftedReLU, (3, 4), {"kinks": (-1.0,)}),
        (L.Tanh, (3, 4), {}),
        (L.Softmax, (3, 2, 4), {}),
        (lambda: L.MaxPool2D(3, 2), (2, 6, 5, 2), {}),
        (lambda: L.MaxPool2D(2, 1), (2, 3, 3, 1), {}),
        (lambda: L.MeanPool2D(2, 3), (2, 6, 5, 2), {}),
        (L.GlobalMeanPool2D, (2, 3, 2, 2), {}),
        (lambda: L.Dropout(0.0), (3, 4), {}),
        (lambda: L.Dropout(0.1, seed=1), (3, 4), {}),
        (lambda: L.Dropout(0.9, seed=2), (3, 4), {}),
        (lambda: L.Dropout(0.97, seed=3), (2, 2), {}),
        (lambda: L.BatchNorm(2), (4, 2), BN),
        (lambda: L.BatchNorm(2, momentum=0.01), (3, 2, 3, 2), BN),
        (lambda: L.BatchNorm(2, momentum=1.0, eps=0.1), (3, 2, 3, 2), BN),
        (L.Flatten, (3, 2, 2, 2), {}),
        (L.Add, (3, 4), {"inputs": 3}),
    ],
)
def test_elunets_layers_pass(make, shape, options):
    assert failures(contract_of(make, shape, **options)) == {}


class Cube:
    def forward(self, x):
        self.x = x
        return x**3

    def backward(self, dy):
        return dy * 3 * self.x**2


class Twice:
    """Nothing to keep."""

    def forward(self, x):
        return 2 * x

    def backward(self, dy):
        return 2 * dy


class Dense:
    """Attributes in float64, and float64 only."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.W, self.b = rng.normal(size=(4, 3)), rng.normal(size=3)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy):
        self.dW, self.db = self.x.T @ dy, dy.sum(axis=0)
        return dy @ self.W.T


class Adding(Dense):
    """Its gradients are added up until zero_grad."""

    def __init__(self):
        super().__init__()
        self.zero_grad()

    def zero_grad(self):
        self.dW, self.db = np.zeros((4, 3)), np.zeros(3)

    def backward(self, dy):
        self.dW += self.x.T @ dy
        self.db += dy.sum(axis=0)
        return dy @ self.W.T


class GlobalDropout:
    """Draws from NumPy's global generator."""

    def forward(self, x, training=False):
        self.mask = (np.random.rand(*x.shape) > 0.3) / 0.7 if training else np.ones(x.shape)  # noqa: NPY002
        self.mask = self.mask.astype(x.dtype)
        return x * self.mask

    def backward(self, dy):
        return dy * self.mask


class HandNorm:
    """Batch normalization in attributes, with its own running averages."""

    def __init__(self, channels=2):
        self.gamma, self.beta = np.ones(channels), np.zeros(channels)
        self.mean, self.var = np.zeros(channels), np.ones(channels)

    def forward(self, x, train=False):
        mean, var = (x.mean(axis=0), x.var(axis=0)) if train else (self.mean, self.var)
        if train:
            self.mean = 0.95 * self.mean + 0.05 * mean
            self.var = 0.95 * self.var + 0.05 * var
        self.rstd, self.train = 1 / np.sqrt(var + 1e-5), train
        self.x_hat = (x - mean) * self.rstd
        return self.gamma * self.x_hat + self.beta

    def backward(self, dy):
        self.dgamma, self.dbeta = (dy * self.x_hat).sum(axis=0), dy.sum(axis=0)
        g = dy * self.gamma
        if self.train:
            g = g - g.mean(axis=0) - self.x_hat * (g * self.x_hat).mean(axis=0)
        return g * self.rstd


DOUBLE = {"dtypes": (np.float64,)}


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (Cube, {}),
        (Twice, {}),
        (Dense, DOUBLE),
        (Adding, DOUBLE),
        (GlobalDropout, {}),
        (lambda: HandNorm(4), DOUBLE | BN),
    ],
)
def test_custom_layers_pass(make, options):
    assert failures(contract_of(make, (5, 4), **options)) == {}


def test_what_does_not_apply_is_skipped():
    found = outcomes(contract_of(Cube, (3, 4)), METHODS)
    skipped = {name: text for name, text in found.items() if text.startswith("skipped")}
    assert skipped == {
        "test_gradients_in_evaluation": "skipped: forward takes no argument train",
        "test_training_agrees_with_evaluation": (
            "skipped: forward takes no argument train, or does something else in training"
        ),
        "test_known_values": "skipped: no formula is given",
    }
    found = outcomes(contract_of(Dense, (3, 4), **DOUBLE), METHODS)
    assert found["test_float32_is_close_to_float64"] == "skipped: computes in one dtype only"
    slow = contract_of(lambda: L.BatchNorm(4, momentum=1e-4), (3, 4), **BN)
    text = outcomes(slow, ["test_training_agrees_with_evaluation"])
    assert "skipped: after 2000 passes evaluation still changes" in text.values()


def test_unittest_runs_it_too():
    class TestCube(LayerContract, unittest.TestCase):
        def make_layer(self):
            return Cube()

        def make_input(self):
            return spread((3, 4), np.random.default_rng(0))

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(TestCube).run(result)
    assert result.wasSuccessful()
    assert result.testsRun == len(METHODS)
    assert len(result.skipped) == 3


def test_what_has_to_be_defined():
    with pytest.raises(NotImplementedError, match="LayerContract: expected a method make_layer"):
        LayerContract().test_shapes()
    with pytest.raises(NotImplementedError, match="LossContract: expected a method make_loss"):
        LossContract().test_gradient()


# -- layers that are wrong, apart from those of the zoo


def fails(layer, method, text, **options):
    tests = contract_of(layer, (3, 4), **{**DOUBLE, **options})
    with pytest.raises(AssertionError, match=text):
        getattr(tests(), method)()


def change(base, **methods):
    return type("Wrong", (base,), methods)


class Doubles(Dense):
    def backward(self, dy):
        dx = super().backward(dy)
        self.dW = 2 * self.dW
        return dx


def test_gradients():
    with pytest.raises(GradientCheckError, match="Doubles: dW is wrong at 12 of 12"):
        contract_of(Doubles, (3, 4), **DOUBLE)().test_gradients()


@pytest.mark.parametrize(
    ("method", "text", "methods"),
    [
        ("test_shapes", "a row for each row of x", {"forward": lambda s, x: x.T @ x}),
        ("test_shapes", "expected dx of x's shape", {"backward": lambda s, dy: dy[:2]}),
        ("test_shapes", "expected forward to return an array", {"forward": lambda s, x: None}),
        ("test_shapes", "expected backward to return dx", {"backward": lambda s, dy: None}),
        (
            "test_dtypes",
            "expected y in float64 .* got float32",
            {"forward": lambda s, x: x.astype(np.float32)},
        ),
        (
            "test_batched_equals_unbatched",
            "row 0 alone gives another y",
            {"forward": lambda s, x: x - x.mean(axis=0)},
        ),
        (
            "test_batched_equals_unbatched",
            "row 0 alone gives another dx",
            {"backward": lambda s, dy: dy / len(dy)},
        ),
        (
            "test_large_numbers",
            r"y\[\d, \d\] is inf for x up to 10000 in float64",
            {"forward": lambda s, x: np.exp(np.abs(x))},
        ),
        (
            "test_memory_layout",
            "equal arrays with different memory layouts give different results",
            {"forward": lambda s, x: 2 * x.ravel("K").reshape(x.shape)},
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_messages(method, text, methods):
    fails(change(Twice, **methods), method, f"Wrong: .*{text}")


def test_gradients_that_are_no_sum():
    class Mean(Dense):
        def backward(self, dy):
            dx = super().backward(dy)
            self.db = dy.mean(axis=0)
            return dx

    fails(Mean, "test_batched_equals_unbatched", "Mean: db is not the sum over the rows")


def test_a_gradient_of_another_shape():
    class Row(Dense):
        def backward(self, dy):
            dx = super().backward(dy)
            self.db = self.db[None]
            return dx

    fails(Row, "test_shapes", r"expected db of shape \(3,\), got \(1, 3\)")


def test_arrays_that_are_written_to():
    def forward(self, x):
        x *= 2
        return x.copy()

    def backward(self, dy):
        dy *= 2
        return dy.copy()

    fails(change(Twice, forward=forward), "test_input_is_unchanged", "x was changed in place")
    fails(change(Twice, backward=backward), "test_input_is_unchanged", "dy was changed in place")


def test_float32_that_is_too_coarse():
    def forward(self, x):
        return 2 * (x + (1e5 if x.dtype == np.float32 else 0)) - (
            2e5 if x.dtype == np.float32 else 0
        )

    wrong = change(Twice, forward=forward)
    options = {"dtypes": (np.float32, np.float64)}
    fails(wrong, "test_float32_is_close_to_float64", "float32 and float64 differ", **options)


def test_backward_before_forward_has_to_raise():
    class Quiet(Cube):
        x = 1.0

    fails(
        Quiet,
        "test_backward_before_forward",
        "expected an error from backward without a forward pass, got a result",
    )

    class Blank(Cube):
        def backward(self, dy):
            raise NotImplementedError

    with pytest.raises(NotImplementedError):
        contract_of(Blank, (3, 4))().test_backward_before_forward()


def test_known_values():
    off = {"formula": lambda self, layer, x, train: 2 * x + 1}
    fails(Twice, "test_known_values", "y in evaluation is not what the formula says", **off)
    other = {"formula": lambda self, layer, x, train: x[:1]}
    fails(Twice, "test_known_values", r"expected y of shape \(1, 4\)", **other)
    right = {"formula": lambda self, layer, x, train: x + x}
    contract_of(Twice, (3, 4), **right)().test_known_values()


def test_training_that_is_another_function():
    class Noisy:
        def __init__(self):
            self.rng = np.random.default_rng(0)

        def forward(self, x, train=False):
            return x + 1 + self.rng.normal(size=x.shape) if train else x

        def backward(self, dy):
            return dy

    method = "test_training_agrees_with_evaluation"
    fails(Noisy, method, "row 0, entry 0 of y is .* on average over 200 passes, in evaluation")
    tests = contract_of(Noisy, (3, 4), same_on_average=False)
    with pytest.raises(unittest.SkipTest):
        getattr(tests(), method)()


def test_a_tie_at_a_corner_is_no_error():
    """All of x at ReLU's kink: the change of all of them has no derivative."""

    class AtZero(LayerContract):
        def make_layer(self):
            return L.ReLU()

        def make_input(self):
            return np.zeros((2, 3))

    AtZero().test_ties()


# -- losses


def loss_contract_of(make, prediction, target, **relaxed):
    body = {
        "make_loss": lambda self: make(),
        "make_prediction": lambda self: prediction.copy(),
        "make_target": lambda self: target.copy(),
        **relaxed,
    }
    return type("TestLoss", (LossContract,), body)


X = spread((4, 3), np.random.default_rng(0))
LABELS = np.array([0, 2, 1, 1])
P = np.exp(X) / np.exp(X).sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("make", "prediction", "target"),
    [
        (losses.SoftmaxCrossEntropy, X, LABELS),
        (losses.SoftmaxCrossEntropy, X, P[::-1]),
        (losses.MeanSquaredError, X, X[::-1]),
        (losses.MeanSquaredError, X, LABELS),
        (losses.MeanAbsoluteError, X[..., None], X[::-1, :, None]),
    ],
)
def test_elunets_losses_pass(make, prediction, target):
    assert failures(loss_contract_of(make, prediction, target), LOSS_METHODS) == {}


def test_a_loss_of_probabilities_needs_an_edge_of_its_own():
    edge = {"make_extreme": lambda self: np.eye(3)[[0, 1, 2, 0]]}
    tests = loss_contract_of(losses.CrossEntropy, P, LABELS, **edge)
    assert failures(tests, LOSS_METHODS) == {}


@pytest.mark.parametrize(
    ("method", "text", "loss"),
    [
        ("test_form", "the value as one number, got shape", lambda p, t: (p, p)),
        ("test_form", "expected dy in float32", lambda p, t: (0.0, np.zeros(p.shape))),
        ("test_mean_over_rows", "expected the mean over the rows", lambda p, t: ((p**2).sum(), p)),
        ("test_no_broadcasting", "is broadcast against", lambda p, t: (np.mean((p - t) ** 2), p)),
        ("test_extremes", "the value is inf", lambda p, t: (np.exp(p).sum(), p)),
        ("test_known_values", "expected 1, as the formula", lambda p, t: (0.0, p)),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_messages_of_losses(method, text, loss):
    formula = {"formula": lambda self, prediction, target: 1.0}
    tests = loss_contract_of(lambda: loss, X, X[::-1], **formula)
    with pytest.raises(AssertionError, match=text):
        getattr(tests(), method)()


def test_labels_that_are_no_rows():
    tests = loss_contract_of(lambda: lambda p, t: (float((t**2).sum()), p), X, LABELS)
    with pytest.raises(AssertionError, match="labels give 6, the same as one-hot rows 4"):
        tests().test_labels_are_one_hot_rows()
