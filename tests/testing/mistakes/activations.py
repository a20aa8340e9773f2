"""Activations and softmax: slopes at the wrong place, of the wrong thing, or left out."""

from __future__ import annotations

import numpy as np
from testing.mistakes.mistake import Correct, Mistake, normal, sigmoid, softmax

from elunet.testing import check_functions, check_layer


class RisingSigmoid:
    """Returns dX and an empty list, as every layer of its library without parameters."""

    def __init__(self, wrong):
        self.wrong = wrong

    def forward(self, X):
        self.out = 1 / (1 + np.exp(X if self.wrong else -X))
        return self.out

    def backward(self, dout):
        return self.out * (1 - self.out) * dout, []


class Sigmoid:
    """Keeps its output."""

    def __init__(self, wrong):
        self.wrong = wrong

    def slope(self, z):
        return sigmoid(z) * (1 - sigmoid(z))

    def forward(self, z):
        self.z, self.a = z, sigmoid(z)
        return self.a

    def backward(self, da):
        return da * self.slope(self.a if self.wrong else self.z)


def own_slope(wrong):
    def sigmoid_forward(x):
        h = sigmoid(x)
        return h, h

    def sigmoid_backward(dh, h):
        return dh * (1 - dh) if wrong else dh * h * (1 - h)

    return sigmoid_forward, sigmoid_backward


def slope_of_gradient(wrong):
    """Return a pair without a cache: the backward function takes the gradient and z."""

    def sigmoid_forward(z):
        return sigmoid(z), z

    def sigmoid_backward(next_dz, z):
        return sigmoid(1 - sigmoid(next_dz)) if wrong else next_dz * sigmoid(z) * (1 - sigmoid(z))

    return sigmoid_forward, sigmoid_backward


class FullyConnected:
    """Parameters and gradients in dicts; every forward pass appends its input to a list."""

    def __init__(self, n_in=6, n_out=3):
        self.parameters = {"W": normal(n_in, n_out, seed=1), "b": np.zeros((1, n_out))}
        self.gradients = {"W": np.zeros((n_in, n_out)), "b": np.zeros((1, n_out))}
        self.X = []

    def forward(self, X):
        self.X.append(X)
        return X @ self.parameters["W"] + self.parameters["b"]

    def backward(self, dLdY):
        self.gradients["W"] += self.X[-1].T @ dLdY
        self.gradients["b"] += dLdY.sum(axis=0, keepdims=True)
        return dLdY @ self.parameters["W"].T

    def flush_gradients(self):
        self.X = []
        for gradient in self.gradients.values():
            gradient[...] = 0


class Dropout:
    """Around another layer, whose input it thins out."""

    def __init__(self, wrong, layer, p=0.4):
        self.wrong, self.layer, self.p = wrong, layer, p
        self.rng = np.random.default_rng(0)

    def forward(self, X):
        self.mask = (self.rng.random(X.shape) >= self.p) / (1 - self.p)
        return self.layer.forward(self.mask * X)

    def backward(self, dLdY):
        dX = self.layer.backward(dLdY)
        return dX / (1 - self.p) if self.wrong else dX * self.mask

    def flush_gradients(self):
        self.layer.flush_gradients()


class SoftmaxInALoop:
    """Of one vector."""

    def __init__(self, wrong):
        self.wrong = wrong

    def forward(self, x):
        self.input, self.value = x, softmax(x)
        return self.value

    def backward(self, upstream):
        n = len(self.value)
        gradient, jacobian = np.zeros(n), np.zeros((n, n))
        for i in range(n):
            for j in range(n):
                if self.wrong:  # of the input, and each j overwrites the one before
                    gradient[i] = self.value[i] * ((i == j) - self.input[j])
                else:
                    jacobian[i, j] = self.value[i] * ((i == j) - self.value[j])
        return gradient * upstream if self.wrong else jacobian @ upstream


def softmax_of_gradient(wrong):
    """Return softmax over columns, classes x examples."""

    def softmax_forward(Z):
        A = softmax(Z, axis=0)
        return A, A

    def softmax_backward(dA, A):
        dZ = np.zeros(A.shape)
        for m in range(A.shape[1]):
            s = (dA if wrong else A)[:, m : m + 1]
            dZ[:, m] = (np.diagflat(s) - s @ s.T) @ dA[:, m]
        return dZ

    return softmax_forward, softmax_backward


class Softmax:
    """Over the rows of a batch."""

    def __init__(self, wrong):
        self.wrong = wrong

    def forward(self, x):
        self.out = softmax(x)
        return self.out

    def backward(self, grad_y):
        s = self.out
        if self.wrong:
            return s * (1 - s) * grad_y
        return s * (grad_y - (grad_y * s).sum(axis=-1, keepdims=True))


class Tanh:
    """With the methods fprop and bprop."""

    def __init__(self, wrong):
        self.wrong = wrong

    def slope(self, x):
        return np.tanh(x) if self.wrong else 1 - np.tanh(x) ** 2

    def fprop(self, input):
        self.last_input = input
        return np.tanh(input)

    def bprop(self, output_grad):
        return output_grad * self.slope(self.last_input)


def leaky_relu(wrong):
    """Return a library's function and its derivative, as a pair for the check."""

    def leaky_relu(x):
        return np.where(x > 0, x, 0.3 * x)

    def leaky_relu_prime(x):
        return np.where(x > 0, 1.0, 0.0 if wrong else 0.3)

    def forward(x):
        return leaky_relu(x), x

    def backward(dy, x):
        return dy * leaky_relu_prime(x)

    return forward, backward


ACTIVATIONS = [
    Mistake(
        "a falling sigmoid",
        "parasdahal/deepnet/pull/7",
        "the forward pass is 1 / (1 + exp(+x)), the backward pass belongs to exp(-x)",
        lambda wrong: check_layer(RisingSigmoid(wrong), normal(3, 4)),
        "the sign is flipped",
    ),
    Mistake(
        "slope at the output",
        "https://datascience.stackexchange.com/q/37545",
        "sigmoid' is taken at the output instead of the input",
        lambda wrong: check_layer(Sigmoid(wrong), normal(3, 4)),
        "at the output",
    ),
    Mistake(
        "slope of dh",
        "https://datascience.stackexchange.com/q/20139",
        "dh * (1 - dh) for dh * h * (1 - h)",
        lambda wrong: check_functions(*own_slope(wrong), normal(3, 4)),
        "made of dh",
    ),
    Mistake(
        "sigmoid of the gradient",
        "yizt/numpy_neural_network/issues/3",
        "sigmoid(1 - sigmoid(dz)) for dz * sigmoid(z) * (1 - sigmoid(z))",
        lambda wrong: check_functions(*slope_of_gradient(wrong), normal(3, 4)),
        "not linear",
    ),
    Mistake(
        "dropout without its mask",
        "ddbourgin/numpy-ml/issues/94",
        "the backward pass is scaled, but not masked",
        lambda wrong: check_layer(Dropout(wrong, FullyConnected()), normal(4, 6)),
        "a mask?",
    ),
    Mistake(
        "softmax in a loop",
        "a question on softmax's derivative",
        "the Jacobian is made of the input, and each column overwrites the one before",
        lambda wrong: check_layer(SoftmaxInALoop(wrong), normal(4)),
    ),
    Mistake(
        "softmax's Jacobian of dA",
        "another question on softmax's derivative",
        "the Jacobian is made of dA instead of A",
        lambda wrong: check_functions(*softmax_of_gradient(wrong), normal(4, 3), batch_axis=1),
        "Jacobian is made of dA",
    ),
    Mistake(
        "softmax's diagonal",
        "zhuozhiyongde/Fundamentals-of-Artificial-Intelligence-2024Spring-PKU/issues/1",
        "s * (1 - s) is only the diagonal of the Jacobian",
        lambda wrong: check_layer(Softmax(wrong), normal(3, 4)),
        "diagonal",
    ),
    Mistake(
        "tanh' is tanh",
        "andersbll/nnet/issues/4",
        "the function for the slope of tanh computes tanh again",
        lambda wrong: check_layer(Tanh(wrong), normal(3, 4)),
        "output y is used as the slope",
    ),
    Mistake(
        "leaky ReLU with the slope of ReLU",
        "scientific-computing/FKB/issues/15",
        "the slope is 0 where the input is negative",
        lambda wrong: check_functions(*leaky_relu(wrong), normal(3, 4)),
        "negative branch",
    ),
]

CORRECT = [
    Correct(
        "a cache that grows",
        "ddbourgin/numpy-ml",
        "layers whose list of inputs grows with every forward pass",
        lambda: check_layer(FullyConnected(), normal(4, 6)),
    ),
]
