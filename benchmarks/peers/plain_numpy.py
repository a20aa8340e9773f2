"""Plain NumPy: a perceptron as a careful student types it, in place, with BLAS's own threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import threadpoolctl
from works import Work, data, weights

from peers import Built

MOMENTUM = 0.9


class Perceptron:
    """Linear layers with ELU between them; every array is kept for the next step."""

    def __init__(self, arrays: list[Any], batch: int) -> None:
        self.W, self.b = arrays[0::2], arrays[1::2]
        sizes = [(batch, len(b)) for b in self.b]
        self.y = [np.empty(size, np.float32) for size in sizes]
        self.dy = [np.empty(size, np.float32) for size in sizes]
        self.scratch = [np.empty(size, np.float32) for size in sizes]
        self.gradients = [np.empty_like(array) for array in (*self.W, *self.b)]
        self.velocities = [np.zeros_like(array) for array in (*self.W, *self.b)]

    def forward(self, x: Any) -> Any:
        """Return the logits."""
        self.x = x
        for place, (W, b) in enumerate(zip(self.W, self.b, strict=True)):
            y = self.y[place]
            np.matmul(x, W, out=y)
            y += b
            if place < len(self.W) - 1:
                below = self.scratch[place]
                np.minimum(y, 0, out=below)
                np.expm1(below, out=below)
                np.maximum(y, 0, out=y)
                y += below
            x = y
        return x

    def loss(self, labels: Any) -> float:
        """Return the cross entropy of the softmax, and leave its gradient in the last dy."""
        logits, p = self.y[-1], self.dy[-1]
        np.subtract(logits, logits.max(axis=1, keepdims=True), out=p)
        np.exp(p, out=p)
        p /= p.sum(axis=1, keepdims=True)
        rows = np.arange(len(labels))
        value = -float(np.log(p[rows, labels]).mean())
        p[rows, labels] -= 1
        p /= len(labels)
        return value

    def backward(self) -> None:
        """Fill the gradients from the last dy."""
        layers = len(self.W)
        for place in reversed(range(layers)):
            below, dy = (self.y[place - 1] if place else self.x), self.dy[place]
            np.matmul(below.T, dy, out=self.gradients[place])
            np.sum(dy, axis=0, out=self.gradients[layers + place])
            if place:
                np.matmul(dy, self.W[place].T, out=self.dy[place - 1])
                slope = self.scratch[place - 1]
                np.minimum(below, 0, out=slope)
                slope += 1
                self.dy[place - 1] *= slope

    def update(self, lr: float) -> None:
        """Take a step of SGD with momentum; the gradients are scratch space afterwards."""
        for w, g, v in zip((*self.W, *self.b), self.gradients, self.velocities, strict=True):
            v *= MOMENTUM
            v += g
            np.multiply(v, lr, out=g)
            w -= g


def build(work: Work, threads: int, variant: str) -> Built:
    """Return the work's network; the variant has no meaning here."""
    threadpoolctl.threadpool_limits(threads, user_api="blas")
    arrays = weights(work.network)
    x, y = data(work)
    net = Perceptron(arrays, len(x))

    def train() -> None:
        net.forward(x)
        net.loss(y)
        net.backward()
        net.update(work.network.lr)

    def predict() -> Any:
        return net.forward(x)

    step = train if work.phase == "train" else predict
    return Built(step, predict, sum(array.size for array in arrays))
