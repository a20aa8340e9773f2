"""Losses: penalties and means that the gradient forgets."""

from __future__ import annotations

import numpy as np
from testing.mistakes.mistake import Mistake, labels, normal, softmax

from elunet.testing import check_gradient, check_loss, check_network


def softmax_loss(wrong, W, X, y, reg=0.1):
    """Return CS231n's loss of a linear classifier, and its gradient."""
    N = len(X)
    p = softmax(X @ W)
    loss = -np.log(p[np.arange(N), y]).mean() + reg * np.sum(W * W)
    dscores = p.copy()
    dscores[np.arange(N), y] -= 1
    dW = X.T @ dscores / N
    dW += reg * W if wrong else 2 * reg * W
    return loss, dW


class TwoLayerNet:
    """CS231n's network: loss(X, y) returns the loss and a dict of gradients."""

    def __init__(self, wrong, input_size=4, hidden_size=5, num_classes=3, reg=0.1):
        self.wrong, self.reg = wrong, reg
        self.params = {
            "W1": normal(input_size, hidden_size, seed=1),
            "b1": np.zeros(hidden_size),
            "W2": normal(hidden_size, num_classes, seed=2),
            "b2": np.zeros(num_classes),
        }

    def loss(self, X, y):
        W1, b1, W2, b2 = self.params.values()
        N = len(X)
        hidden = np.maximum(X @ W1 + b1, 0)
        p = softmax(hidden @ W2 + b2)
        penalty = sum(np.sum(value**2) for value in self.params.values())
        loss = -np.log(p[np.arange(N), y]).mean() + self.reg * penalty
        dscores = p / N
        dscores[np.arange(N), y] -= 1 / N
        dhidden = dscores @ W2.T * (hidden > 0)
        grads = {"W2": hidden.T @ dscores, "W1": X.T @ dhidden}
        grads |= {"b2": dscores.sum(axis=0), "b1": dhidden.sum(axis=0)}
        for name in ("W1", "W2") if self.wrong else self.params:
            grads[name] += 2 * self.reg * self.params[name]
        return loss, grads


class CenterLoss:
    """Half the squared distance to the center of each row's class, averaged over the batch."""

    def __init__(self, wrong, classes=3, features=4):
        self.wrong, self.centers = wrong, normal(classes, features, seed=1)

    def forward(self, feat, label):
        self.gap = feat - self.centers[label]
        return 0.5 * np.sum(self.gap**2) / len(feat)

    def backward(self):
        return self.gap if self.wrong else self.gap / len(self.gap)


LOSSES = [
    Mistake(
        "penalty without its 2",
        "jingtinghuang/CS231n-Spring-2017/issues/3",
        "the loss has reg * W**2, its gradient reg * W",
        lambda wrong: check_gradient(
            lambda W: softmax_loss(wrong, W, normal(6, 4), labels(6, 3))[0],
            lambda W: softmax_loss(wrong, W, normal(6, 4), labels(6, 3))[1],
            normal(4, 3, seed=1),
        ),
        "numeric - 0.1 x",
    ),
    Mistake(
        "penalty on the biases",
        "Burton2000/CS231n-2017/issues/9",
        "the loss penalizes b, its gradient does not; at b = 0 that is the same",
        lambda wrong: check_network(TwoLayerNet(wrong), normal(6, 4), labels(6, 3)),
        "right only while",
    ),
    Mistake(
        "a mean whose gradient is a sum",
        "jxgu1016/MNIST_center_loss_pytorch/issues/9",
        "the loss is divided by the batch size, its gradient is not",
        lambda wrong: check_loss(CenterLoss(wrong), normal(6, 4), labels(6, 3)),
        "a missing 1/6",
    ),
]
