"""Exercise 6: layer normalization."""

import numpy as np

import elunet as eln


class LayerNorm(eln.layers.Layer):
    """Each row of the last axis is centered, scaled to variance 1, and then scaled by gamma."""

    def __init__(self, channels, eps=1e-5):
        super().__init__()
        self.channels, self.eps = channels, eps
        self.params["gamma"] = np.ones(channels, np.float32)
        self.params["beta"] = np.zeros(channels, np.float32)

    def forward(self, x, train=False):
        """Return y, of the shape (N, ..., C) and dtype of x."""
        x = self.check_input(x, ("N", ..., self.channels))
        gamma = self.parameter("gamma", (self.channels,), x.dtype)
        beta = self.parameter("beta", (self.channels,), x.dtype)
        centered = x - x.mean(axis=-1, keepdims=True)
        variance = np.mean(centered**2, axis=-1, keepdims=True)
        rstd = 1 / np.sqrt(variance + x.dtype.type(self.eps))
        x_hat = centered * rstd
        self.keep(x_hat, rstd, gamma)
        return gamma * x_hat + beta

    def backward_params(self, dy):
        """Store the gradients of gamma and beta."""
        x_hat, _, _ = self.recall()
        axes = tuple(range(dy.ndim - 1))
        self.store_gradient("gamma", np.sum(dy * x_hat, axis=axes), x_hat.dtype)
        self.store_gradient("beta", np.sum(dy, axis=axes), x_hat.dtype)

    def backward_input(self, dy):
        """Return dx."""
        x_hat, rstd, gamma = self.recall()
        g = dy * gamma
        shift = g.mean(axis=-1, keepdims=True)
        along = np.mean(g * x_hat, axis=-1, keepdims=True)
        return rstd * (g - shift - x_hat * along)
