"""A custom layer: Swish with a learned slope, checked, broken on purpose, and trained.

    python examples/my_layer.py

docs/writing_a_layer.md goes through this file step by step. It runs for a few seconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import elunet as eln

Array = npt.NDArray[Any]


class Swish(eln.layers.Layer):
    """Swish: ``y = x s``, with ``s = sigmoid(beta x)`` and a learned beta per channel.

    Parameters
    ----------
    channels : int
        Length C of the last axis.

    References
    ----------
    Ramachandran, Zoph, Le, "Searching for Activation Functions", 2017,
    arXiv:1710.05941.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.params["beta"] = np.ones(channels, np.float32)

    def forward(self, x: Array, train: bool = False) -> Array:
        """Return y, of x's shape (N, ..., C)."""
        x = self.check_input(x, ("N", ..., self.channels))
        beta = self.parameter("beta", (self.channels,), x.dtype)
        s = (1 + np.tanh(beta * x / 2)) / 2  # the sigmoid, but it cannot overflow
        self.keep(x, s, beta)
        return x * s

    def backward_params(self, dy: Array) -> None:
        """Fill ``dbeta = sum of dy x^2 s (1 - s)`` over all axes but the last."""
        x, s, _ = self.recall()
        dy = self.check_gradient(dy, x.shape, x.dtype)
        axes = tuple(range(x.ndim - 1))
        self.store_gradient("beta", np.sum(dy * x**2 * s * (1 - s), axis=axes), x.dtype)

    def backward_input(self, dy: Array) -> Array:
        """Return ``dx = dy s (1 + beta x (1 - s))``."""
        x, s, beta = self.recall()
        return self.check_gradient(dy, x.shape, x.dtype) * s * (1 + beta * x * (1 - s))

    def __repr__(self) -> str:
        return f"Swish({self.channels})"


class Broken(Swish):
    """Swish with a bug: the sigmoid's own slope is forgotten in the backward pass."""

    def backward_input(self, dy: Array) -> Array:
        """Return what is not dx."""
        x, s, _ = self.recall()
        return self.check_gradient(dy, x.shape, x.dtype) * s


def main() -> None:
    """Check the layer, break it, and train with it."""
    x = np.random.default_rng(0).normal(size=(4, 5, 5, 3))
    print(eln.testing.check_layer(Swish(3), x))

    print("\nand with a bug in backward_input:")
    try:
        eln.testing.check_layer(Broken(3), x)
    except eln.testing.GradientCheckError as error:
        print(error)

    images, labels = eln.data.make_shapes(2400, seed=0)
    (x_train, y_train), (x_test, y_test) = eln.data.split(images, labels, 1 / 6, seed=0)
    x_train, x_test = eln.data.standardize(x_train, x_test)
    net = eln.Sequential(
        [
            eln.layers.Conv2D(3, 16, 5, stride=2),
            Swish(16),
            eln.layers.MaxPool2D(2),
            eln.layers.Conv2D(16, 32, 3),
            Swish(32),
            eln.layers.MaxPool2D(2),
            eln.layers.Flatten(),
            eln.layers.Linear(4 * 4 * 32, 10),
        ],
        seed=0,
    )
    loss, optimizer = eln.losses.SoftmaxCrossEntropy(), eln.optim.Adam(3e-3)
    batches = eln.data.Batches(x_train, y_train, batch_size=50, seed=0)
    for epoch in range(1, 9):
        for x_batch, y_batch in batches:
            _, dy = loss(net.forward(x_batch, train=True), y_batch)
            net.backward(dy)
            optimizer.step(net)
        accuracy = np.mean(net.predict(x_test).argmax(axis=1) == y_test)
        print(f"epoch {epoch}: test accuracy {accuracy:.2f}")
    beta = net.parameters()["swish1.beta"]
    print(f"beta of the first Swish went from 1 to {beta.min():.2f} ... {beta.max():.2f}")


if __name__ == "__main__":
    main()
