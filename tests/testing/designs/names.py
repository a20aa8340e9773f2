"""Names: how people call a weight and its gradient."""

from __future__ import annotations

import numpy as np
from testing.designs.design import normal, off

NAMES = [
    ("W", "dW"),
    ("W", "d_W"),
    ("W", "W_grad"),
    ("W", "grad_W"),
    ("W", "gradW"),
    ("W", "W_gradient"),
    ("W", "gradient_W"),
    ("W", "dLdW"),
    ("W", "dL_dW"),
    ("W", "dL_d_W"),
    ("W", "d_L_d_W"),
    ("W", "dJdW"),
    ("W", "dE_dW"),
    ("W", "nabla_W"),
    ("W", "delta_W"),
    ("W", "g_W"),
    ("W", "W_delta"),
    ("w", "dw"),
    ("_W", "_dW"),
    ("W_", "dW_"),
    ("W", "_dW"),
    ("weights", "dweights"),
    ("weights", "d_weights"),
    ("weights", "weights_gradient"),
    ("weights", "grad_weights"),
    ("weights", "dW"),
    ("weight", "weight_grad"),
    ("weight", "grad_weight"),
    ("weight_matrix", "dW"),
    ("weight_matrix", "weight_matrix_gradient"),
    ("kernel", "dkernel"),
    ("kernel", "kernel_grad"),
    ("filters", "d_L_d_filters"),
    ("filters", "dfilters"),
    ("weights", "de_dw"),
]
"""Attributes."""

CONTAINERS = [
    ("params", "grads", "W"),
    ("params", "grads", "dW"),
    ("parameters", "gradients", "W"),
    ("parameters", "gradients", "dW"),
    ("parameters", "grads", "dW"),
    ("weights", "gradients", "W"),
    ("params", "derivatives", "dW"),
    ("_params", "_grads", "W"),
    ("params", "dparams", "W"),
]
"""Two dicts, and the gradient's key; the value's is W."""


class Named:
    """y = x W, with the weight and its gradient under these names."""

    def __init__(self, wrong, weight, gradient):
        self.wrong, self.names = wrong, (weight, gradient)
        setattr(self, weight, normal(4, 3, seed=1))

    def forward(self, x):
        self.x = x
        return x @ getattr(self, self.names[0])

    def backward(self, dy):
        weight, gradient = self.names
        setattr(self, gradient, off(self.wrong, self.x.T @ dy))
        return dy @ getattr(self, weight).T


class Contained:
    """y = x W, with the weight and its gradient in these dicts."""

    def __init__(self, wrong, values, gradients, key):
        self.wrong, self.names = wrong, (values, gradients, key)
        setattr(self, values, {"W": normal(4, 3, seed=1)})
        setattr(self, gradients, {key: np.zeros((4, 3))})

    def forward(self, x):
        self.x = x
        return x @ getattr(self, self.names[0])["W"]

    def backward(self, dy):
        values, gradients, key = self.names
        getattr(self, gradients)[key] = off(self.wrong, self.x.T @ dy)
        return dy @ getattr(self, values)["W"].T
