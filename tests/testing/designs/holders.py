"""Layers: where they keep their parameters and gradients."""

from __future__ import annotations

import numpy as np
from testing.designs.design import Design, normal, off

from elunet.testing import check_layer

X = normal(5, 4)


class NumberedKeys:
    def __init__(self, wrong):
        self.wrong, self.grads = wrong, {}
        self.params = {"W1": normal(4, 3, seed=1), "b1": np.zeros(3)}

    def forward(self, x):
        self.x = x
        return x @ self.params["W1"] + self.params["b1"]

    def backward(self, dout):
        self.grads["dW1"] = off(self.wrong, self.x.T @ dout)
        self.grads["db1"] = dout.sum(axis=0)
        return dout @ self.params["W1"].T


class Tuples:
    def __init__(self, wrong):
        self.wrong, self.params = wrong, (normal(4, 3, seed=1), np.zeros(3))

    def forward(self, x):
        self.x = x
        return x @ self.params[0] + self.params[1]

    def backward(self, dout):
        self.grads = (off(self.wrong, self.x.T @ dout), dout.sum(axis=0))
        return dout @ self.params[0].T


class NumberWeights:
    """w and b are Python's numbers."""

    def __init__(self, wrong):
        self.wrong, self.w, self.b = wrong, 0.5, 0.0

    def forward(self, x):
        self.x = x
        return self.w * x + self.b

    def backward(self, dy):
        self.dw, self.db = float(off(self.wrong, np.sum(dy * self.x))), float(np.sum(dy))
        return dy * self.w


class Pair:
    def __init__(self, value):
        self.value, self.grad = value, np.zeros_like(value)


class ParamObjects:
    def __init__(self, wrong):
        self.wrong, self.W, self.B = wrong, Pair(normal(4, 3, seed=1)), Pair(np.zeros((1, 3)))

    def params(self):
        return {"W": self.W, "B": self.B}

    def forward(self, X):
        self.X = X
        return X @ self.W.value + self.B.value

    def backward(self, d_out):
        self.W.grad += off(self.wrong, self.X.T @ d_out)
        self.B.grad += d_out.sum(axis=0, keepdims=True)
        return d_out @ self.W.value.T


class ListOfDicts:
    """Two linear layers, each a dict."""

    def __init__(self, wrong):
        self.wrong = wrong
        self.layers = [
            {"W": normal(4, 3, seed=1), "b": np.zeros(3)},
            {"W": normal(3, 2, seed=2), "b": np.zeros(2)},
        ]

    def forward(self, x):
        for layer in self.layers:
            layer["x"] = x
            x = x @ layer["W"] + layer["b"]
        return x

    def backward(self, dy):
        for layer in reversed(self.layers):
            layer["dW"] = off(self.wrong, layer["x"].T @ dy)
            layer["db"] = dy.sum(axis=0)
            dy = dy @ layer["W"].T
        return dy


class Store:
    """Holds arrays, and has no passes."""

    def __init__(self, **arrays):
        vars(self).update(arrays)


class HelperObject:
    def __init__(self, wrong):
        self.wrong, self.store = wrong, Store(W=normal(4, 3, seed=1), b=np.zeros(3))

    def forward(self, x):
        self.x = x
        return x @ self.store.W + self.store.b

    def backward(self, dy):
        self.store.dW = off(self.wrong, self.x.T @ dy)
        self.store.db = dy.sum(axis=0)
        return dy @ self.store.W.T


HOLDERS = [
    Design("params['W1'] and grads['dW1']", lambda wrong: check_layer(NumberedKeys(wrong), X)),
    Design("params and grads as tuples", lambda wrong: check_layer(Tuples(wrong), X)),
    Design("numbers as weights", lambda wrong: check_layer(NumberWeights(wrong), X)),
    Design("Param(value, grad)", lambda wrong: check_layer(ParamObjects(wrong), X)),
    Design("a list of dicts", lambda wrong: check_layer(ListOfDicts(wrong), X)),
    Design("a helper object", lambda wrong: check_layer(HelperObject(wrong), X)),
]
