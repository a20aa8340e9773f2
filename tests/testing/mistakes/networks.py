"""Whole networks: what is sent from one layer to the one below."""

from __future__ import annotations

import numpy as np
from testing.mistakes.mistake import Mistake, normal, one_hot, sigmoid, softmax

from elunet.testing import check_gradient, check_network


class NeuralNet:
    """One hidden layer of tanh; grad_loss returns a dict with the parameters' names."""

    def __init__(self, wrong, input_size=4, hidden_size=5, output_size=3):
        self.wrong = wrong
        self.W_h, self.b_h = normal(input_size, hidden_size, seed=1), np.zeros(hidden_size)
        self.W_o, self.b_o = normal(hidden_size, output_size, seed=2), np.zeros(output_size)

    def forward(self, X):
        h = np.tanh(X @ self.W_h + self.b_h)
        return softmax(h @ self.W_o + self.b_o), h

    def loss(self, X, y):
        return -np.sum(y * np.log(self.forward(X)[0])) / len(X)

    def grad_loss(self, X, y):
        output, h = self.forward(X)
        grad_z_o = (output - y) / len(X)
        grad_h = grad_z_o @ self.W_o.T
        grad_z_h = grad_h * (1 - h**2)
        return {
            "W_h": X.T @ grad_z_h,
            "b_h": (grad_h if self.wrong else grad_z_h).sum(axis=0),
            "W_o": h.T @ grad_z_o,
            "b_o": grad_z_o.sum(axis=0),
        }


class Exercise:
    """Ng's exercise on gradient checking: three layers, X and Y with examples as columns.

    Two of its gradients come with a factor, for the student to find.
    """

    def __init__(self, W2=1, b1=1):
        self.factors = {"dW2": W2, "db1": b1}
        self.X, self.Y = normal(4, 6), np.array([[1, 0, 1, 1, 0, 1]])
        sizes, self.parameters = (4, 5, 3, 1), {}
        for i in (1, 2, 3):
            self.parameters[f"W{i}"] = normal(sizes[i], sizes[i - 1], seed=i)
            self.parameters[f"b{i}"] = normal(sizes[i], 1, seed=i + 3)

    def forward(self, p):
        A1 = np.maximum(p["W1"] @ self.X + p["b1"], 0)
        A2 = np.maximum(p["W2"] @ A1 + p["b2"], 0)
        return A1, A2, sigmoid(p["W3"] @ A2 + p["b3"])

    def cost(self, p):
        A3 = self.forward(p)[-1]
        return -np.mean(self.Y * np.log(A3) + (1 - self.Y) * np.log(1 - A3))

    def backward(self, p):
        A1, A2, A3 = self.forward(p)
        m = self.X.shape[1]
        dZ3 = A3 - self.Y
        dZ2 = p["W3"].T @ dZ3 * (A2 > 0)
        dZ1 = p["W2"].T @ dZ2 * (A1 > 0)
        gradients = {}
        for i, dZ, A in ((1, dZ1, self.X), (2, dZ2, A1), (3, dZ3, A2)):
            gradients[f"dW{i}"] = dZ @ A.T / m
            gradients[f"db{i}"] = dZ.sum(axis=1, keepdims=True) / m
        return {name: g * self.factors.get(name, 1) for name, g in gradients.items()}

    def check(self):
        return check_gradient(self.cost, self.backward, self.parameters)


class Planar:
    """Ng's network for points in a plane: functions of X and a dict of parameters."""

    X, Y = normal(2, 6), np.array([[1, 0, 1, 1, 0, 0]])
    parameters = {  # noqa: RUF012
        "W1": normal(4, 2, seed=1),
        "b1": np.zeros((4, 1)),
        "W2": normal(1, 4, seed=2),
        "b2": np.zeros((1, 1)),
    }

    @staticmethod
    def forward_propagation(X, parameters):
        A1 = np.tanh(parameters["W1"] @ X + parameters["b1"])
        A2 = sigmoid(parameters["W2"] @ A1 + parameters["b2"])
        return A2, {"A1": A1, "A2": A2}

    @staticmethod
    def compute_cost(A2, Y):
        return -np.mean(Y * np.log(A2) + (1 - Y) * np.log(1 - A2))

    @staticmethod
    def backward_propagation(parameters, cache, X, Y, wrong):
        A1, m = cache["A1"], X.shape[1]
        dZ2 = cache["A2"] - Y
        dW2 = dZ2 @ A1.T / m
        dZ1 = (dW2 if wrong else parameters["W2"]).T @ dZ2 * (1 - A1**2)
        db1, db2 = (dZ.sum(axis=1, keepdims=True) / m for dZ in (dZ1, dZ2))
        return {"dW1": dZ1 @ X.T / m, "db1": db1, "dW2": dW2, "db2": db2}


def check_planar(wrong):
    net = Planar()
    return check_gradient(
        lambda p: net.compute_cost(net.forward_propagation(net.X, p)[0], net.Y),
        lambda p: net.backward_propagation(
            p, net.forward_propagation(net.X, p)[1], net.X, net.Y, wrong
        ),
        net.parameters,
    )


class AveragingLinear:
    """fprop and bprop; whoever averages, the layer or the loss, only one of them may."""

    def __init__(self, n_in, n_out, seed, averages):
        self.W, self.b = normal(n_in, n_out, seed=seed), np.zeros(n_out)
        self.averages = averages

    def fprop(self, input):
        self.last_input = input
        return input @ self.W + self.b

    def bprop(self, output_grad):
        n = len(output_grad) if self.averages else 1
        self.dW = self.last_input.T @ output_grad / n
        self.db = output_grad.sum(axis=0) / n
        return output_grad @ self.W.T


class Layered:
    """A list of layers; the loss's gradient is a mean over the batch already."""

    def __init__(self, wrong):
        self.layers = [AveragingLinear(4, 5, 1, wrong), AveragingLinear(5, 3, 2, wrong)]

    def fprop(self, X):
        for layer in self.layers:
            X = layer.fprop(X)
        return X

    def bprop(self, grad):
        for layer in reversed(self.layers):
            grad = layer.bprop(grad)


def cross_entropy(scores, Y):
    p = softmax(scores)
    return -np.sum(Y * np.log(p)) / len(Y), (p - Y) / len(Y)


NETWORKS = [
    Mistake(
        "bias before the slope",
        "arthurdouillard/deepcourse/pull/9",
        "the hidden bias's gradient is taken before tanh' is applied",
        lambda wrong: check_network(NeuralNet(wrong), normal(6, 4), one_hot(6, 3)),
    ),
    Mistake(
        "the course's dW2",
        "bighuang624/Andrew-Ng-Deep-Learning-notes/issues/10",
        "dW2 is doubled",
        lambda wrong: Exercise(W2=2 if wrong else 1).check(),
        "2 x numeric",
    ),
    Mistake(
        "the course's db1",
        "bighuang624/Andrew-Ng-Deep-Learning-notes/issues/10",
        "db1 is multiplied by 4",
        lambda wrong: Exercise(b1=4 if wrong else 1).check(),
        "4 x numeric",
    ),
    Mistake(
        "dW2 for W2",
        "https://community.deeplearning.ai/t/402919",
        "the gradient is sent back through dW2 instead of W2",
        check_planar,
    ),
    Mistake(
        "averaged twice",
        "andersbll/nnet/issues/4",
        "the loss divides by the batch size, and each layer once more",
        lambda wrong: check_network(Layered(wrong), normal(6, 4), one_hot(6, 3), cross_entropy),
        "batch",
    ),
]
