"""Networks: lists of layers, shared lists of arrays, and networks with their own loss."""

from __future__ import annotations

import numpy as np
from testing.designs.design import Design, normal, off

from elunet.testing import check_layer, check_network


class Affine:
    """Parameters and gradients in lists."""

    def __init__(self, wrong, n_in, n_out):
        self.wrong = wrong
        self.params = [normal(n_in, n_out, seed=n_in), np.zeros(n_out)]
        self.grads = [np.zeros_like(v) for v in self.params]

    def forward(self, x):
        self.x = x
        return x @ self.params[0] + self.params[1]

    def backward(self, dout):
        self.grads[0][...] = off(self.wrong, self.x.T @ dout)
        self.grads[1][...] = dout.sum(axis=0)
        return dout @ self.params[0].T


class Tanh:
    params, grads = (), ()

    def forward(self, x):
        self.out = np.tanh(x)
        return self.out

    def backward(self, dout):
        return dout * (1 - self.out**2)


class Collected:
    """Its lists hold its layers' arrays, so that each array is in two lists."""

    def __init__(self, wrong):
        self.layers = [Affine(False, 4, 5), Tanh(), Affine(wrong, 5, 3)]
        self.params, self.grads = [], []
        for layer in self.layers:
            self.params += layer.params
            self.grads += layer.grads

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dout):
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout


def square(prediction, y):
    return 0.5 * np.sum((prediction - y) ** 2), prediction - y


class Regression:
    """loss(X, y) returns the loss and gradients by the parameters' names."""

    def __init__(self, wrong):
        self.wrong = wrong
        self.params = {"W1": normal(4, 5, seed=1), "W2": normal(5, 3, seed=2)}

    def loss(self, X, y):
        hidden = np.tanh(X @ self.params["W1"])
        gap = hidden @ self.params["W2"] - y
        grads = {"W2": off(self.wrong, hidden.T @ gap)}
        grads["W1"] = X.T @ (gap @ self.params["W2"].T * (1 - hidden**2))
        return 0.5 * np.sum(gap**2), grads


class TwoMethods:
    """loss(x, t) and gradient(x, t), as in a book."""

    def __init__(self, wrong):
        self.wrong, self.params = wrong, {"W1": normal(4, 3, seed=1), "b1": np.zeros(3)}

    def predict(self, x):
        return x @ self.params["W1"] + self.params["b1"]

    def loss(self, x, t):
        return 0.5 * np.sum((self.predict(x) - t) ** 2)

    def gradient(self, x, t):
        dy = self.predict(x) - t
        return {"W1": off(self.wrong, x.T @ dy), "b1": dy.sum(axis=0)}


class Param:
    def __init__(self, value):
        self.value, self.grad = value, np.zeros_like(value)


class FilledByBackward:
    """compute_loss_and_gradients(X, y) fills the gradients beside the values."""

    def __init__(self, wrong):
        self.wrong, self.W = wrong, Param(normal(4, 3, seed=1))

    def compute_loss_and_gradients(self, X, y):
        gap = X @ self.W.value - y
        self.W.grad = off(self.wrong, X.T @ gap)
        return 0.5 * np.sum(gap**2)


X, Y = normal(5, 4), normal(5, 3, seed=9)

NETWORKS = [
    Design("lists collected by a container", lambda wrong: check_layer(Collected(wrong), X)),
    Design("a container with a loss", lambda wrong: check_network(Collected(wrong), X, Y, square)),
    Design("loss(X, y) -> loss, grads", lambda wrong: check_network(Regression(wrong), X, Y)),
    Design("loss and gradient", lambda wrong: check_network(TwoMethods(wrong), X, Y)),
    Design(
        "compute_loss_and_gradients", lambda wrong: check_network(FilledByBackward(wrong), X, Y)
    ),
]
