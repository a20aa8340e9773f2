import itertools

import numpy as np
import pytest

from elunet.testing import GradientCheckError, check_gradient

RNG = np.random.default_rng(3)
X, Y = RNG.standard_normal((5, 3)), RNG.standard_normal((5, 2))


def loss(v):
    return 0.5 * np.sum((np.tanh(X @ v["W1"] + v["b1"]) - Y) ** 2)


def slopes(v):
    a = np.tanh(X @ v["W1"] + v["b1"])
    dz = (a - Y) * (1 - a**2)
    return {"W1": X.T @ dz, "b1": dz.sum(0)}


V = {"W1": RNG.standard_normal((3, 2)), "b1": np.zeros(2)}


def caught(*args, match, **settings):
    with pytest.raises(GradientCheckError, match=match) as error:
        check_gradient(*args, **settings)
    return error.value


def test_a_dict():
    before = {k: v.copy() for k, v in V.items()}
    assert check_gradient(loss, slopes, V).arrays == ["dW1", "db1"]
    assert check_gradient(loss, lambda v: {"d" + k: g for k, g in slopes(v).items()}, V).arrays == [
        "dW1",
        "db1",
    ]
    caught(loss, lambda v: {**slopes(v), "b1": 0 * v["b1"]}, V, match="db1 is wrong")
    caught(loss, lambda v: {"W1": slopes(v)["W1"]}, V, match="b1 moves the output, but no grad")
    result = check_gradient(loss, lambda v: {"W1": slopes(v)["W1"]}, V, gradients={"b1": None})
    assert "b1: declared a constant" in result.notes[0]
    assert all(np.array_equal(before[k], V[k]) for k in V)


def test_an_array_a_list_and_a_number():
    assert check_gradient(lambda v: np.sum(v**3), lambda v: 3 * v**2, X).arrays == ["dvalues"]
    check_gradient(lambda v: np.sum(v**3), lambda v: 3 * v**2, [1.0, 2.0, -1.0])
    check_gradient(lambda v: v**3, lambda v: 3 * v**2, 2)
    caught(lambda v: np.sum(v**3), lambda v: 3 * v, X, match="dvalues is wrong")
    caught(lambda v: v**3, lambda v: 2 * v**2, 2.0, match="dvalues is wrong")

    def f(v):
        return np.sum(v[0] @ v[1])

    def gradient(v):
        ones = np.ones((5, 2))
        return ones @ v[1].T, v[0].T @ ones

    assert check_gradient(f, gradient, [X, V["W1"]]).arrays == ["dvalues[0]", "dvalues[1]"]
    caught(f, lambda v: (gradient(v)[0], 2 * gradient(v)[1]), [X, V["W1"]], match=r"dvalues\[1\]")


class Nielsen:
    """Lists of weights and biases; columns are examples."""

    def __init__(self, sizes, dtype=float):
        self.biases = [RNG.standard_normal((n, 1)).astype(dtype) for n in sizes[1:]]
        self.weights = [
            RNG.standard_normal((n, m)).astype(dtype) for m, n in itertools.pairwise(sizes)
        ]

    def cost(self, x, y):
        a = x
        for w, b in zip(self.weights, self.biases, strict=True):
            a = 1 / (1 + np.exp(-(w @ a + b)))
        return 0.5 * np.sum((a - y) ** 2)

    def backprop(self, x, y, factor=1.0):
        activations = [x]
        for w, b in zip(self.weights, self.biases, strict=True):
            activations.append(1 / (1 + np.exp(-(w @ activations[-1] + b))))
        nabla_b = [np.zeros_like(b) for b in self.biases]
        nabla_w = [np.zeros_like(w) for w in self.weights]
        delta = activations[-1] - y
        for i in reversed(range(len(self.weights))):
            delta = delta * activations[i + 1] * (1 - activations[i + 1])
            nabla_b[i], nabla_w[i] = delta * factor, delta @ activations[i].T
            delta = self.weights[i].T @ delta
        return nabla_b, nabla_w


def test_lists_that_a_network_holds_are_changed_in_place():
    net = Nielsen([3, 4, 2])
    x, y = RNG.standard_normal((3, 1)), RNG.standard_normal((2, 1))
    before = [w.copy() for w in net.weights]
    values = (net.biases, net.weights)
    result = check_gradient(lambda: net.cost(x, y), lambda: net.backprop(x, y), values)
    assert result.arrays == [f"dvalues[{i}][{j}]" for i in (0, 1) for j in (0, 1)]
    caught(
        lambda: net.cost(x, y),
        lambda: net.backprop(x, y, 2.0),
        values,
        match=r"dvalues\[0\]\[0\] is wrong",
    )
    assert all(np.array_equal(a, b) for a, b in zip(before, net.weights, strict=True))
    named = {"weights": net.weights}
    check_gradient(lambda: net.cost(x, y), lambda: {"nabla_w": net.backprop(x, y)[1]}, named)


def test_what_cannot_be_changed_in_place():
    net = Nielsen([3, 2], dtype=np.float32)
    x, y = np.ones((3, 1), np.float32), np.ones((2, 1), np.float32)
    run = lambda: net.cost(x, y), lambda: net.backprop(x, y)[1]
    with pytest.raises(
        TypeError, match=r"values\[0\] as an array of float64, which can be changed"
    ):
        check_gradient(*run, net.weights)
    check_gradient(*run, net.weights, dtype=np.float32)


def test_a_loss_with_regularization():
    def svm_loss(W, X, y, reg, factor=2.0):
        scores = X @ W
        gap = scores - Y
        return np.sum(gap**2) + reg * np.sum(W**2), 2 * X.T @ gap + factor * reg * W

    W = V["W1"]
    check_gradient(lambda W: svm_loss(W, X, Y, 0.3)[0], lambda W: svm_loss(W, X, Y, 0.3)[1], W)
    caught(
        lambda W: svm_loss(W, X, Y, 0.3)[0],
        lambda W: svm_loss(W, X, Y, 0.3, 1.0)[1],
        W,
        match="dvalues is wrong",
    )
    text = r"expected one number, got tuple \(use lambda v: .*\[0\]\)"
    caught(lambda W: svm_loss(W, X, Y, 0.3), lambda W: W, W, match=text)


def test_a_penalty_on_b_that_is_hidden_at_zero():
    def f(v):
        return loss(v) + 0.1 * np.sum(v["b1"] ** 2)

    caught(f, slopes, V, match="db1 is right only while b1 is 0")


def test_side_effects_and_wrong_calls():
    def writes(v):
        v += 1
        return np.sum(v)

    caught(writes, lambda v: np.ones_like(v), X, match="writes changed values")
    caught(lambda v: np.random.default_rng().random(), lambda v: v, X, match="not deterministic")
    caught(lambda v: v, lambda v: v, X, match=r"expected one number, got shape \(5, 3\)")
    caught(lambda v: np.sum(v), lambda v: None, X, match="dvalues is NoneType")
    with pytest.raises(TypeError, match="expected arrays of real numbers in values, got none"):
        check_gradient(lambda v: 0.0, lambda v: v, {})
    with pytest.raises(ValueError, match=r"to name values \(W1, b1\), got 'W'"):
        check_gradient(loss, slopes, V, gradients={"W": None})


def test_gradients_in_another_form():
    def flat(v):
        g = slopes(v)
        return g["b1"], g["W1"]

    check_gradient(loss, flat, V)
    check_gradient(loss, lambda v: {"all": slopes(v)}, V)
    given = {"W1": "total", "b1": lambda returned: returned["other"]}
    check_gradient(
        loss,
        lambda v: {"total": slopes(v)["W1"], "other": slopes(v)["b1"]},
        V,
        gradients=given,
    )
    caught(loss, lambda v: [slopes(v)["b1"]] * 3, V, match="returned 3 gradients, expected 2")


def test_functions_of_another_library():
    torch = pytest.importorskip("torch")

    def f(v):
        return torch.sum(torch.tanh(torch.tensor(v)))

    check_gradient(lambda v: float(f(v)), lambda v: 1 - np.tanh(v) ** 2, X)
