"""Exercise 1: Softplus, y = log(1 + e^x)."""

import numpy as np


class Softplus:
    """A ReLU without a corner."""

    def forward(self, x):
        """Return log(1 + e^x), of x's shape and dtype."""
        self.x = x
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))

    def backward(self, dy):
        """Return dL/dx from dL/dy."""
        return dy * (1 + np.tanh(self.x / 2)) / 2
