"""Layers: what forward and backward are called, what they take and what they return."""

from __future__ import annotations

from dataclasses import dataclass

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


class NamedBeside:
    """The gradients' order is another than the parameters', and their names tell."""

    def __init__(self, wrong):
        self.wrong, self.gamma, self.beta = wrong, np.ones((1, 4)), np.zeros((1, 4))

    def forward(self, X):
        self.X = X
        return self.gamma * X + self.beta

    def backward(self, dout):
        dgamma = off(self.wrong, (dout * self.X).sum(axis=0, keepdims=True))
        dbeta = dout.sum(axis=0, keepdims=True)
        return dout * self.gamma, [dbeta, dgamma]


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


class InDictG(Linear):
    """Gradients in a dict g."""

    def forward(self, x):
        self.x = x
        return self.output_of(x)

    def backward(self, dout):
        self.g = {}
        self.g["W"], self.g["b"], dx = self.gradients_of(self.x, dout)
        return dx


class InCache(Linear):
    """Gradients in the cache, beside what backward needs."""

    def forward(self, x):
        self.cache = {"x": x, "W": self.W}
        return self.output_of(x)

    def backward(self, dout):
        cache = self.cache
        cache["dW"], cache["db"], dx = self.gradients_of(cache["x"], dout)
        return dx


@dataclass
class Gradients:
    """What a backward pass may return."""

    grad_w: np.ndarray
    grad_b: np.ndarray
    grad_x: np.ndarray


class DataclassReturned(Attributes):
    def backward(self, dout):
        return Gradients(*self.gradients_of(self.x, dout))


class IntegerWeights(Attributes):
    def __init__(self, wrong):
        super().__init__(wrong)
        self.W, self.b = np.arange(12).reshape(4, 3), np.zeros(3, dtype=int)


LAYERS = [
    Design("self.W and self.dW", lambda wrong: check_layer(Attributes(wrong), X)),
    Design("self.output and self.dinputs", lambda wrong: check_layer(NothingReturned(wrong), X)),
    Design("forward_pass and backward_pass", lambda wrong: check_layer(Passes(wrong), X)),
    Design("__call__", lambda wrong: check_layer(Called(wrong), X)),
    Design("backward(input, grad_output)", lambda wrong: check_layer(InputAgain(wrong), X)),
    Design("backward updates in place", lambda wrong: check_layer(UpdatesAtOnce(wrong), X)),
    Design("backward replaces the weights", lambda wrong: check_layer(UpdatesAnew(wrong), X)),
    Design("dX, [dW, db]", lambda wrong: check_layer(ListBeside(wrong), X)),
    Design("dX, [dbeta, dgamma]", lambda wrong: check_layer(NamedBeside(wrong), X)),
    Design("dX, dW, db", lambda wrong: check_layer(ThreeReturned(wrong), X)),
    Design("dW, db, dX", lambda wrong: check_layer(OtherOrder(wrong), X)),
    Design("a layer with a cache", lambda wrong: check_layer(WithCache(wrong), X)),
    Design(
        "columns are examples",
        lambda wrong: check_layer(Columns(wrong), normal(4, 5), batch_axis=1, averaged=True),
    ),
    Design("weight decay in the layer", lambda wrong: check_layer(Decayed(wrong), X, l2=0.1)),
    Design("gradients in a dict g", lambda wrong: check_layer(InDictG(wrong), X)),
    Design("gradients in the cache", lambda wrong: check_layer(InCache(wrong), X)),
    Design("a dataclass returned", lambda wrong: check_layer(DataclassReturned(wrong), X)),
    Design("integer weights", lambda wrong: check_layer(IntegerWeights(wrong), X)),
]
