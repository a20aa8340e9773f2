"""Normalization: sums over the wrong axes, and a scale that is 1 at first."""

from __future__ import annotations

import numpy as np
from testing.mistakes.mistake import Correct, Mistake, normal

from elunet.testing import check_functions, check_layer


class ListedBatchNorm:
    """Parameters in a list; backward returns dX and a list of the parameters' gradients."""

    def __init__(self, wrong, features):
        self.wrong = wrong
        self.gamma, self.beta = np.ones((1, features)), np.zeros((1, features))
        self.params = [self.gamma, self.beta]

    def forward(self, X):
        self.mu, self.std = X.mean(axis=0), np.sqrt(X.var(axis=0) + 1e-8)
        self.X_norm = (X - self.mu) / self.std
        return self.gamma * self.X_norm + self.beta

    def backward(self, dout):
        dX_norm = dout * self.gamma
        dX = (
            dX_norm - dX_norm.mean(axis=0) - self.X_norm * (dX_norm * self.X_norm).mean(axis=0)
        ) / self.std
        dgamma = dout * self.X_norm
        if not self.wrong:
            dgamma = dgamma.sum(axis=0, keepdims=True)
        dbeta = dout.sum(axis=0, keepdims=True)
        return dX, [dgamma, dbeta]


def scaled(wrong):
    """Return batch normalization as a pair of functions."""

    def batchnorm_forward(x, gamma, beta):
        std = np.sqrt(x.var(axis=0) + 1e-5)
        x_hat = (x - x.mean(axis=0)) / std
        return gamma * x_hat + beta, (x_hat, gamma, std)

    def batchnorm_backward(dy, cache):
        x_hat, gamma, std = cache
        g = dy if wrong else dy * gamma
        dx = (g - g.mean(axis=0) - x_hat * (g * x_hat).mean(axis=0)) / std
        return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)

    return batchnorm_forward, batchnorm_backward


def layer_norm(wrong):
    """Return layer normalization over the last of three axes."""

    def layer_norm_forward(x, weight, bias):
        rstd = 1 / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
        x_hat = (x - x.mean(axis=-1, keepdims=True)) * rstd
        return weight * x_hat + bias, (x_hat, weight, rstd)

    def layer_norm_backward(dy, cache):
        x_hat, weight, rstd = cache
        g = dy * weight
        mean, share = (v.mean(axis=-1, keepdims=True) for v in (g, g * x_hat))
        axes = 0 if wrong else (0, 1)
        return (g - mean - x_hat * share) * rstd, (dy * x_hat).sum(axes), dy.sum(axes)

    return layer_norm_forward, layer_norm_backward


class Projection:
    """A linear layer over (batch, tokens, features)."""

    def __init__(self, wrong, n_in=4, n_out=2):
        self.wrong = wrong
        self.weight, self.bias = normal(n_out, n_in, seed=1), np.zeros(n_out)

    def forward(self, x):
        self.x = x
        return x @ self.weight.T + self.bias

    def backward(self, grad_output):
        self.weight_grad = np.einsum("bto,bti->oi", grad_output, self.x)
        self.bias_grad = grad_output.sum(axis=0 if self.wrong else (0, 1))
        return grad_output @ self.weight


class InSteps:
    """Batch normalization without scale, its backward pass in three steps, as in C libraries.

    dx has a term through the mean within the variance, var' = -2 sum(x - mean) / m. Deviations
    from the mean add up to 0, so that term may be left out.
    """

    def forward(self, x):
        self.x, self.mean, self.variance = x, x.mean(axis=0), x.var(axis=0)
        return (x - self.mean) / np.sqrt(self.variance + 1e-5)

    def backward(self, delta):
        m, gap, scale = len(delta), self.x - self.mean, 1 / np.sqrt(self.variance + 1e-5)
        mean_delta = -(delta * scale).sum(axis=0)
        variance_delta = -0.5 * (delta * gap).sum(axis=0) * scale**3
        return delta * scale + variance_delta * 2 * gap / m + mean_delta / m


NORMALIZATION = [
    Mistake(
        "dgamma of every row",
        "parasdahal/deepnet/pull/7",
        "batch normalization's dgamma is not summed over the batch",
        lambda wrong: check_layer(ListedBatchNorm(wrong, 3), normal(5, 3)),
        "not summed over axis 0",
    ),
    Mistake(
        "dx without gamma",
        "denizyuret/Knet.jl/issues/288",
        "batch normalization's dx lacks the factor gamma, which is 1 at first",
        lambda wrong: check_functions(*scaled(wrong), normal(6, 3), np.ones(3), np.zeros(3)),
        "right only while gamma is 1",
    ),
    Mistake(
        "LayerNorm over tokens",
        "flagos-ai/FlagGems/issues/5392",
        "the gradients of weight and bias are summed over the batch and not over the tokens",
        lambda wrong: check_functions(
            *layer_norm(wrong), normal(2, 3, 4), normal(4, seed=1), normal(4, seed=2)
        ),
        "dweight is not summed over its axis 0 (of length 3)",
    ),
    Mistake(
        "bias over tokens",
        "deepspeedai/DeepSpeed/pull/4390",
        "the bias gradient of (batch, tokens, features) is summed over the first axis only",
        lambda wrong: check_layer(Projection(wrong), normal(2, 3, 4)),
        "summed over axis 0 only",
    ),
]

CORRECT = [
    Correct(
        "the term that is zero",
        "pjreddie/darknet/pull/29",
        "batch normalization's dx without the term that adds up to 0",
        lambda: check_layer(InSteps(), normal(6, 3)),
    ),
]
