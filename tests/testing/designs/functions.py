"""Functions: caches, dicts of arrays, losses, and whatever else gives a number and a gradient."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from testing.designs.design import Design, normal, off

from elunet.testing import check_functions, check_gradient, check_loss


def affine(wrong):
    def affine_forward(x, w, b):
        return x @ w + b, (x, w)

    def affine_backward(dout, cache):
        x, w = cache
        return dout @ w.T, off(wrong, x.T @ dout), dout.sum(axis=0)

    return affine_forward, affine_backward


def dicts(wrong):
    """Return a pair that takes parameters in a dict and returns gradients in a dict."""

    def forward(X, parameters):
        A1 = np.tanh(X @ parameters["W1"] + parameters["b1"])
        return A1 @ parameters["W2"] + parameters["b2"], (X, A1, parameters)

    def backward(dA2, cache):
        X, A1, parameters = cache
        dZ1 = dA2 @ parameters["W2"].T * (1 - A1**2)
        return {
            "dX": dZ1 @ parameters["W1"].T,
            "dW2": A1.T @ dA2,
            "db2": dA2.sum(axis=0),
            "dW1": off(wrong, X.T @ dZ1),
            "db1": dZ1.sum(axis=0),
        }

    return forward, backward


PARAMETERS = {
    "W1": normal(4, 3, seed=1),
    "b1": np.zeros(3),
    "W2": normal(3, 2, seed=2),
    "b2": np.zeros(2),
}


class Nielsen:
    """Lists of weights and biases; backprop(x, y) of one column returns nabla_b, nabla_w."""

    def __init__(self, wrong, sizes=(4, 3, 2)):
        self.wrong = wrong
        self.biases = [normal(n, 1, seed=n) for n in sizes[1:]]
        self.weights = [normal(n, m, seed=n + 5) for m, n in pairwise(sizes)]

    def activations(self, x):
        found = [x]
        for b, w in zip(self.biases, self.weights, strict=True):
            found.append(1 / (1 + np.exp(-(w @ found[-1] + b))))
        return found

    def cost(self, x, y):
        return 0.5 * np.sum((self.activations(x)[-1] - y) ** 2)

    def backprop(self, x, y):
        found = self.activations(x)
        delta, nabla_b, nabla_w = found[-1] - y, [], []
        for layer in reversed(range(len(self.weights))):
            delta = delta * found[layer + 1] * (1 - found[layer + 1])
            nabla_b.insert(0, delta)
            nabla_w.insert(0, off(self.wrong, delta @ found[layer].T))
            delta = self.weights[layer].T @ delta
        return nabla_b, nabla_w


def check_nielsen(wrong):
    net, x, y = Nielsen(wrong), normal(4, 1), np.array([[0.0], [1.0]])
    return check_gradient(
        lambda: net.cost(x, y), lambda: net.backprop(x, y), (net.biases, net.weights)
    )


class SoftmaxWithLoss:
    """forward(x, t) and backward(), t one-hot."""

    def __init__(self, wrong):
        self.wrong = wrong

    def forward(self, x, t):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.y, self.t = e / e.sum(axis=1, keepdims=True), t
        self.loss = -np.sum(t * np.log(self.y + 1e-12)) / len(t)
        return self.loss

    def backward(self, dout=1):
        return off(self.wrong, dout * (self.y - self.t) / len(self.t))


class SquareLoss:
    """Elementwise: loss(y, y_pred) and gradient(y, y_pred) have y's shape."""

    def __init__(self, wrong):
        self.wrong = wrong

    def loss(self, y, y_pred):
        return 0.5 * (y - y_pred) ** 2

    def gradient(self, y, y_pred):
        return off(self.wrong, y_pred - y)


class CrossEntropyCost:
    """Nielsen's cost class: delta is the gradient by z, with a = sigmoid(z)."""

    wrong = False

    @staticmethod
    def fn(a, y):
        return np.sum(-y * np.log(a) - (1 - y) * np.log(1 - a))

    @classmethod
    def delta(cls, z, a, y):
        return off(cls.wrong, a - y)


class WrongCrossEntropyCost(CrossEntropyCost):
    wrong = True


class QuadraticCost:
    @staticmethod
    def fn(a, y):
        return 0.5 * np.linalg.norm(a - y) ** 2

    @staticmethod
    def delta(z, a, y):
        return (a - y) * np.exp(-z) / (1 + np.exp(-z)) ** 2


class WrongQuadraticCost(QuadraticCost):
    @staticmethod
    def delta(z, a, y):
        return a - y


A = 1 / (1 + np.exp(-normal(5, 1)))
Y = np.array([[1.0], [0.0], [1.0], [1.0], [0.0]])


def mse(y_true, y_pred):
    return np.mean((y_true - y_pred) ** 2)


def mse_prime(y_true, y_pred):
    return 2 * (y_pred - y_true) / y_true.size


def pair_of_losses(wrong):
    """Return a loss that gives its value and its gradient."""
    return lambda prediction, y: (mse(y, prediction), off(wrong, mse_prime(y, prediction)))


TARGET = np.eye(3)[[0, 2, 1, 1]]

FUNCTIONS = [
    Design(
        "out, cache",
        lambda wrong: check_functions(*affine(wrong), normal(5, 4), normal(4, 3), np.zeros(3)),
    ),
    Design(
        "an integer argument",
        lambda wrong: check_functions(
            *affine(wrong), normal(5, 4), np.arange(12).reshape(4, 3), np.zeros(3)
        ),
    ),
    Design(
        "dicts of arrays in and out",
        lambda wrong: check_functions(*dicts(wrong), normal(5, 4), PARAMETERS),
    ),
    Design("nabla_b and nabla_w", check_nielsen),
    Design(
        "delta(z, a, y) of a cross-entropy",
        lambda wrong: check_loss(WrongCrossEntropyCost if wrong else CrossEntropyCost, A, Y),
    ),
    Design(
        "delta(z, a, y) with the sigmoid's slope",
        lambda wrong: check_loss(WrongQuadraticCost if wrong else QuadraticCost(), A, Y),
    ),
    Design(
        "a number and its gradient",
        lambda wrong: check_gradient(
            lambda v: mse(TARGET, v), lambda v: off(wrong, mse_prime(TARGET, v)), normal(4, 3)
        ),
    ),
    Design(
        "value and gradient of a loss",
        lambda wrong: check_loss(pair_of_losses(wrong), normal(4, 3), TARGET),
    ),
    Design(
        "forward(x, t) and backward()",
        lambda wrong: check_loss(SoftmaxWithLoss(wrong), normal(4, 3), TARGET),
    ),
    Design(
        "an elementwise loss",
        lambda wrong: check_loss(SquareLoss(wrong), normal(4, 3), TARGET),
    ),
]
