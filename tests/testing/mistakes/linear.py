"""Linear layers: the bias over the batch, 1/m, weight decay, an update that comes too early."""

from __future__ import annotations

import numpy as np
from testing.mistakes.mistake import Mistake, normal

from elunet.testing import check_functions, check_layer


class Dense:
    """The plainest design: self.W and self.dW."""

    def __init__(self, wrong, n_in=4, n_out=3):
        self.wrong = wrong
        self.W, self.b = normal(n_in, n_out, seed=1), np.zeros(n_out)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, grad):
        self.dW = self.x.T @ grad
        self.db = grad if self.wrong else grad.sum(axis=0)
        return grad @ self.W.T


class Param:
    """A value with its gradient."""

    def __init__(self, value):
        self.value, self.grad = value, np.zeros_like(value)


class FullyConnectedLayer:
    """Parameters are objects; gradients are added up."""

    def __init__(self, wrong, n_input=4, n_output=3):
        self.wrong = wrong
        self.W = Param(normal(n_input, n_output, seed=1))
        self.B = Param(0.001 * normal(1, n_output, seed=2))

    def forward(self, X):
        self.X = X
        return X @ self.W.value + self.B.value

    def backward(self, d_out):
        self.W.grad += self.X.T @ d_out
        if self.wrong:  # right for two rows
            self.B.grad += 2 * d_out.mean(axis=0, keepdims=True)
        else:
            self.B.grad += d_out.sum(axis=0, keepdims=True)
        return d_out @ self.W.value.T


class DecayedLinear:
    """With fprop and bprop, averaged gradients and weight decay in the layer."""

    def __init__(self, wrong, n_in=4, n_out=3):
        self.wrong, self.weight_decay = wrong, 0.2
        self.W, self.b = normal(n_in, n_out, seed=1), np.zeros(n_out)

    def fprop(self, input):
        self.last_input = input
        return input @ self.W + self.b

    def bprop(self, output_grad):
        n = len(output_grad)
        decay = self.weight_decay * self.W
        mean = self.last_input.T @ output_grad / n
        self.dW = mean - decay if self.wrong else mean + decay
        self.db = output_grad.mean(axis=0)
        return output_grad @ self.W.T


class UpdatingDense:
    """Updates its weights in the backward pass."""

    def __init__(self, wrong, n_in=4, n_out=3):
        self.wrong = wrong
        self.weights, self.bias = normal(n_in, n_out, seed=1), np.zeros((1, n_out))

    def forward(self, x):
        self.hidden = x
        return x @ self.weights + self.bias

    def backward(self, grad, lr):
        before = self.weights.copy()
        self.weights -= lr * self.hidden.T @ grad
        self.bias -= lr * grad.sum(axis=0, keepdims=True)
        return grad @ (self.weights if self.wrong else before).T


def columns(db):
    """Return a linear layer over columns, (features, batch), with this bias gradient."""

    def forward(x, W, b):
        return W @ x + b, (x, W)

    def backward(d_out, cache):
        x, W = cache
        return W.T @ d_out, d_out @ x.T, db(d_out)

    return forward, backward


def averaged_bias(wrong):
    return columns(lambda d_out: (np.mean if wrong else np.sum)(d_out, axis=1, keepdims=True))


def course_linear(wrong, product=np.dot):
    """Return the linear layer of Ng's course: columns are examples, 1/m is in the layer."""

    def linear_forward(A, W, b):
        return W @ A + b, (A, W, b)

    def linear_backward(dZ, cache):
        A_prev, W, _ = cache
        m = A_prev.shape[1]
        dW = product(dZ, A_prev.T) / m
        db = dZ.sum(axis=1, keepdims=True) / m
        dA_prev = W.T @ dZ
        return dA_prev / m if wrong else dA_prev, dW, db

    return linear_forward, linear_backward


def elementwise_product(wrong):
    return course_linear(False, np.multiply if wrong else np.dot)


def activated(wrong):
    """Return the course's sigmoid for a square dA; the matrix product is not elementwise."""

    def sigmoid_forward(Z):
        A = 1 / (1 + np.exp(-Z))
        return A, A

    def sigmoid_backward(dA, A):
        slope = A * (1 - A)
        return dA @ slope if wrong else dA * slope

    return sigmoid_forward, sigmoid_backward


VALUES = (normal(4, 5), normal(3, 4, seed=1), np.zeros((3, 1)))
SQUARE = (normal(4, 4), normal(4, 4, seed=1), np.zeros((4, 1)))
COURSE = {"batch_axis": 1, "averaged": True}

LINEAR = [
    Mistake(
        "bias of every row",
        "jimfleming/differentiation/issues/1",
        "db is not summed over the batch",
        lambda wrong: check_layer(Dense(wrong), normal(5, 4)),
        "not summed over axis 0",
    ),
    Mistake(
        "twice the mean",
        "an assignment of the course dlcourse",
        "db is twice the mean over the batch, which is right for a batch of 2",
        lambda wrong: check_layer(FullyConnectedLayer(wrong), normal(5, 4)),
        "2/5 x numeric",
    ),
    Mistake(
        "weight decay uphill",
        "andersbll/nnet/issues/4",
        "weight decay is subtracted from dW instead of added",
        lambda wrong: check_layer(DecayedLinear(wrong), normal(5, 4), averaged=True, l2=0.2),
        "penalty",
    ),
    Mistake(
        "update before dx",
        "VikParuchuri/zero_to_gpt/issues/12",
        "the weights are updated before dx is computed with them",
        lambda wrong: check_layer(UpdatingDense(wrong), normal(5, 4)),
        "after their update",
    ),
    Mistake(
        "averaged bias",
        "kvfrans/notes/issues/5",
        "db is the mean over the batch instead of the sum",
        lambda wrong: check_functions(*averaged_bias(wrong), *VALUES, batch_axis=1),
        "averaged over the batch of 5",
    ),
    Mistake(
        "1/m once too often",
        "https://community.deeplearning.ai/t/63071",
        "dA is divided by m too, not only dW and db",
        lambda wrong: check_functions(*course_linear(wrong), *VALUES, **COURSE),
        "batch of 5",
    ),
    Mistake(
        "dot for elementwise",
        "https://community.deeplearning.ai/t/402919",
        "dA is multiplied by the slopes as by a matrix",
        lambda wrong: check_functions(*activated(wrong), normal(4, 4), batch_axis=1),
    ),
    Mistake(
        "elementwise for dot",
        "https://community.deeplearning.ai/t/119220",
        "dW is an elementwise product, whose shape fits by accident",
        lambda wrong: check_functions(*elementwise_product(wrong), *SQUARE, **COURSE),
    ),
]
