"""Layers: what forward and backward are called, take and return, and where parameters are."""

from __future__ import annotations

import numpy as np
from testing.designs.design import Design, normal, off

from elunet.testing import check_layer

X = normal(5, 4)


class Linear:
    """W and b, with what the designs below have in common."""

    def __init__(self, wrong, n_in=4, n_out=3):
        self.wrong = wrong
        self.W, self.b = normal(n_in, n_out, seed=1), np.zeros(n_out)

    def output_of(self, x):
        return x @ self.W + self.b

    def gradients_of(self, x, dy):
        return off(self.wrong, x.T @ dy), dy.sum(axis=0), dy @ self.W.T


class Attributes(Linear):
    def forward(self, x):
        self.x = x
        return self.output_of(x)

    def backward(self, dout):
        self.dW, self.db, dx = self.gradients_of(self.x, dout)
        return dx


class NothingReturned(Linear):
    def forward(self, inputs):
        self.inputs = inputs
        self.output = self.output_of(inputs)

    def backward(self, dvalues):
        self.dW, self.db, self.dinputs = self.gradients_of(self.inputs, dvalues)


class Passes(Linear):
    def forward_pass(self, X, training=True):
        self.layer_input = X
        return self.output_of(X)

    def backward_pass(self, accum_grad):
        self.dW, self.db, dx = self.gradients_of(self.layer_input, accum_grad)
        return dx


class Called(Linear):
    def __call__(self, x):
        self.x = x
        return self.output_of(x)

    def backward(self, grad):
        self.dW, self.db, dx = self.gradients_of(self.x, grad)
        return dx


class InputAgain(Linear):
    def forward(self, input):
        return self.output_of(input)

    def backward(self, input, grad_output):
        self.dW, self.db, dx = self.gradients_of(input, grad_output)
        return dx


class UpdatesAtOnce(Linear):
    def forward(self, input_data):
        self.input = input_data
        return self.output_of(input_data)

    def backward(self, output_error, learning_rate):
        dW, db, dx = self.gradients_of(self.input, output_error)
        self.W -= learning_rate * dW
        self.b -= learning_rate * db
        return dx


class UpdatesAnew(Linear):
    def forward(self, input):
        self.input = input
        return self.output_of(input)

    def backward(self, output_gradient, learning_rate):
        dW, db, dx = self.gradients_of(self.input, output_gradient)
        self.W, self.b = self.W - learning_rate * dW, self.b - learning_rate * db
        return dx


class ListBeside(Linear):
    def forward(self, X):
        self.X = X
        return self.output_of(X)

    def backward(self, dout):
        dW, db, dX = self.gradients_of(self.X, dout)
        return dX, [dW, db]


class ThreeReturned(Linear):
    def forward(self, x):
        self.x = x
        return self.output_of(x)

    def backward(self, dout):
        dW, db, dX = self.gradients_of(self.x, dout)
        return dX, dW, db


class OtherOrder(Linear):
    def forward(self, x):
        self.x = x
        return self.output_of(x)

    def backward(self, dout):
        dW, db, dx = self.gradients_of(self.x, dout)
        return dW, db, dx


class WithCache(Linear):
    def forward(self, x):
        return self.output_of(x), (x,)

    def backward(self, dout, cache):
        self.dW, self.db, dx = self.gradients_of(cache[0], dout)
        return dx


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


class Columns:
    """Features x batch, with 1/m in the layer."""

    def __init__(self, wrong):
        self.wrong, self.W, self.b = wrong, normal(3, 4, seed=1), np.zeros((3, 1))

    def forward(self, A):
        self.A = A
        return self.W @ A + self.b

    def backward(self, dZ):
        m = dZ.shape[1]
        self.dW = off(self.wrong, dZ @ self.A.T / m)
        self.db = dZ.sum(axis=1, keepdims=True) / m
        return self.W.T @ dZ


class Decayed(Attributes):
    """Weight decay in the layer."""

    def backward(self, dout):
        dx = super().backward(dout)
        self.dW += 0.1 * self.W
        return dx


class IntegerWeights(Attributes):
    def __init__(self, wrong):
        super().__init__(wrong)
        self.W, self.b = np.arange(12).reshape(4, 3), np.zeros(3, dtype=int)


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


LAYERS = [
    Design("self.W and self.dW", lambda wrong: check_layer(Attributes(wrong), X)),
    Design("self.output and self.dinputs", lambda wrong: check_layer(NothingReturned(wrong), X)),
    Design("forward_pass and backward_pass", lambda wrong: check_layer(Passes(wrong), X)),
    Design("__call__", lambda wrong: check_layer(Called(wrong), X)),
    Design("backward(input, grad_output)", lambda wrong: check_layer(InputAgain(wrong), X)),
    Design("backward updates in place", lambda wrong: check_layer(UpdatesAtOnce(wrong), X)),
    Design("backward replaces the weights", lambda wrong: check_layer(UpdatesAnew(wrong), X)),
    Design("dX, [dW, db]", lambda wrong: check_layer(ListBeside(wrong), X)),
    Design("dX, dW, db", lambda wrong: check_layer(ThreeReturned(wrong), X)),
    Design("dW, db, dX", lambda wrong: check_layer(OtherOrder(wrong), X)),
    Design("a layer with a cache", lambda wrong: check_layer(WithCache(wrong), X)),
    Design("params['W1'] and grads['dW1']", lambda wrong: check_layer(NumberedKeys(wrong), X)),
    Design("params and grads as tuples", lambda wrong: check_layer(Tuples(wrong), X)),
    Design(
        "columns are examples",
        lambda wrong: check_layer(Columns(wrong), normal(4, 5), batch_axis=1, averaged=True),
    ),
    Design("weight decay in the layer", lambda wrong: check_layer(Decayed(wrong), X, l2=0.1)),
    Design("integer weights", lambda wrong: check_layer(IntegerWeights(wrong), X)),
    Design("numbers as weights", lambda wrong: check_layer(NumberWeights(wrong), X)),
    Design("Param(value, grad)", lambda wrong: check_layer(ParamObjects(wrong), X)),
    Design("a list of dicts", lambda wrong: check_layer(ListOfDicts(wrong), X)),
    Design("a helper object", lambda wrong: check_layer(HelperObject(wrong), X)),
]
