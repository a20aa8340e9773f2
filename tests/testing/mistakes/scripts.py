"""Scripts without layers: two products, two slopes, and the gradients by hand."""

from __future__ import annotations

import numpy as np
from testing.mistakes.mistake import Mistake, normal, one_hot, sigmoid, softmax

from elunet.testing import check_gradient


class Script:
    """A script with two arrays of weights; the update is error times slope, layer by layer."""

    def __init__(self, wrong):
        self.wrong = wrong
        self.X, self.y = normal(6, 3), one_hot(6, 2)[:, :1]
        self.weights = [normal(3, 4, seed=1), normal(4, 1, seed=2)]

    def forward(self, weights):
        l1 = sigmoid(self.X @ weights[0])
        return l1, sigmoid(l1 @ weights[1])

    def loss(self, weights):
        return 0.5 * np.sum((self.forward(weights)[1] - self.y) ** 2)

    def gradients(self, weights):
        l1, l2 = self.forward(weights)
        l2_error = l2 - self.y
        l2_delta = l2_error * l2 * (1 - l2)
        l1_error = l2_error if self.wrong else l2_delta @ weights[1].T
        l1_delta = l1_error * l1 * (1 - l1)
        return [self.X.T @ l1_delta, l1.T @ l2_delta]


class OneImage:
    """A script for one image, a column; two layers of sigmoid."""

    def __init__(self, wrong):
        self.wrong = wrong
        self.img, self.label = normal(4, 1), one_hot(3, 3)[1].reshape(3, 1)
        self.values = {
            "w_i_h": normal(5, 4, seed=1),
            "b_i_h": np.zeros((5, 1)),
            "w_h_o": normal(3, 5, seed=2),
            "b_h_o": np.zeros((3, 1)),
        }

    def forward(self, v):
        h = sigmoid(v["b_i_h"] + v["w_i_h"] @ self.img)
        return h, sigmoid(v["b_h_o"] + v["w_h_o"] @ h)

    def error(self, v):
        return 0.5 * np.sum((self.forward(v)[1] - self.label) ** 2)

    def gradients(self, v):
        h, o = self.forward(v)
        delta_o = o - self.label
        if not self.wrong:
            delta_o = delta_o * o * (1 - o)
        delta_h = v["w_h_o"].T @ delta_o * h * (1 - h)
        return {
            "w_i_h": delta_h @ self.img.T,
            "b_i_h": delta_h,
            "w_h_o": delta_o @ h.T,
            "b_h_o": delta_o,
        }


class WordVectors:
    """The continuous bag of words of a course: x and y have examples as columns.

    There the columns of x add up to 1, and `bias_wrong` is right by accident: here they do not.
    """

    def __init__(self, mask_wrong=False, bias_wrong=False):
        self.mask_wrong, self.bias_wrong = mask_wrong, bias_wrong
        self.x, self.y = normal(5, 4), one_hot(4, 5).T
        self.values = {
            "W1": normal(3, 5, seed=1),
            "W2": normal(5, 3, seed=2),
            "b1": normal(3, 1, seed=3),
            "b2": normal(5, 1, seed=4),
        }

    def forward_prop(self, v):
        z1 = v["W1"] @ self.x + v["b1"]
        h = np.maximum(z1, 0)
        return z1, h, softmax(v["W2"] @ h + v["b2"], axis=0)

    def cost(self, v):
        return -np.sum(self.y * np.log(self.forward_prop(v)[-1])) / self.x.shape[1]

    def back_prop(self, v):
        z1, h, yhat = self.forward_prop(v)
        batch_size = self.x.shape[1]
        l1 = v["W2"].T @ (yhat - self.y)
        l1 = np.maximum(l1, 0) if self.mask_wrong else l1 * (z1 > 0)
        through = l1 @ self.x.T if self.bias_wrong else l1
        return {
            "W1": l1 @ self.x.T / batch_size,
            "W2": (yhat - self.y) @ h.T / batch_size,
            "b1": through.sum(axis=1, keepdims=True) / batch_size,
            "b2": (yhat - self.y).sum(axis=1, keepdims=True) / batch_size,
        }

    def check(self):
        return check_gradient(self.cost, self.back_prop, self.values)


SCRIPTS = [
    Mistake(
        "the raw error",
        "a question on a two-layer network",
        "the hidden layer gets the output's error, past the output's weights",
        lambda wrong: check_gradient(
            Script(wrong).loss, Script(wrong).gradients, Script(wrong).weights
        ),
    ),
    Mistake(
        "no slope at the output",
        "Bot-Academy/NeuralNetworkFromScratch/pull/3",
        "the output's sigmoid' is missing (it cancels only in the cross entropy)",
        lambda wrong: check_gradient(
            OneImage(wrong).error, OneImage(wrong).gradients, OneImage(wrong).values
        ),
    ),
    Mistake(
        "ReLU of the gradient",
        "rust0258/Deeplearning.ai-Natural-Language-Processing-Specialization/issues/62",
        "ReLU is applied to the gradient instead of the mask of the forward pass",
        lambda wrong: WordVectors(mask_wrong=wrong).check(),
    ),
    Mistake(
        "bias through the input",
        "rust0258/Deeplearning.ai-Natural-Language-Processing-Specialization/issues/62",
        "db1 is summed after a product with the input (right if its columns add up to 1)",
        lambda wrong: WordVectors(bias_wrong=wrong).check(),
    ),
]
