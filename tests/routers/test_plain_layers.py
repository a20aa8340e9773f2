"""Every rule on layers written in plain NumPy gives what it gives on the package's own.

So no fast path changes what a rule is given or what it sends, and a user's own layers serve every
rule as well.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from routers.cases import (
    MAKERS,
    RULES,
    copied,
    forward,
    images,
    networks,
    residual,
    rules,
    small,
)

import elunet as eln
from elunet import layers as L


class PlainLinear(L.Linear):
    def forward(self, x, train=False):
        self.x, self.W = x, self.params["W"].astype(x.dtype)
        return np.einsum("ni,io->no", x, self.W) + self.params["b"]

    def backward_params(self, dy):
        self.grads["W"] = np.einsum("ni,no->io", self.x, dy)
        self.grads["b"] = dy.sum(axis=0)

    def backward_input(self, dy, weight=None):
        return np.einsum("no,io->ni", dy, self.W if weight is None else weight)


class PlainConv(L.Conv2D):
    """One window's place after the other: y[i, j] += x[i s + u - top, j s + v - left] W[u, v]."""

    def sizes(self):
        """Return the output's size and the zeros before, along both axes, with padding "same"."""
        for size, kernel in zip(self.x.shape[1:3], self.kernel_size, strict=True):
            out = -(-size // self.stride)
            yield out, max((out - 1) * self.stride + kernel - size, 0) // 2

    def places(self):
        (_, height, width, _), ((rows, top), (columns, left)) = self.x.shape, self.sizes()
        for i, j, u, v in np.ndindex(rows, columns, *self.kernel_size):
            row, column = i * self.stride + u - top, j * self.stride + v - left
            if 0 <= row < height and 0 <= column < width:
                yield (slice(None), i, j), (slice(None), row, column), (u, v)

    def forward(self, x, train=False):
        self.x, self.W = x, self.params["W"].astype(x.dtype)
        size = [out for out, _ in self.sizes()]
        y = np.zeros((len(x), *size, self.out_channels), x.dtype)
        for out, place, window in self.places():
            y[out] += x[place] @ self.W[window]
        return y + self.params["b"]

    def backward_params(self, dy):
        self.grads["W"] = np.zeros_like(self.W)
        for out, place, window in self.places():
            self.grads["W"][window] += self.x[place].T @ dy[out]
        self.grads["b"] = dy.sum(axis=(0, 1, 2))

    def backward_input(self, dy, weight=None):
        dx, W = np.zeros_like(self.x), self.W if weight is None else weight
        for out, place, window in self.places():
            dx[place] += dy[out] @ W[window].T
        return dx


class PlainPool:
    """Windows that touch each other; `share` says what part of dy each of its numbers gets."""

    def forward(self, x, train=False):
        size = self.size
        rows, columns = x.shape[1] // size, x.shape[2] // size
        self.shape, self.inside = x.shape, np.s_[:, : rows * size, : columns * size]
        windows = x[self.inside].reshape(len(x), rows, size, columns, size, -1)
        windows = windows.transpose(0, 1, 3, 5, 2, 4)
        y, self.share = self.pool(windows.reshape(*windows.shape[:4], -1))
        return y

    def backward_input(self, dy):
        dx = np.zeros(self.shape, dy.dtype)
        parts = (dy[..., None] * self.share).reshape(*dy.shape, self.size, self.size)
        whole = dx[self.inside]
        whole[...] = parts.transpose(0, 1, 4, 2, 5, 3).reshape(whole.shape)
        return dx


class PlainMaxPool(PlainPool, L.MaxPool2D):
    def pool(self, windows):
        winner = windows.argmax(axis=-1)
        return windows.max(axis=-1), winner[..., None] == np.arange(windows.shape[-1])


class PlainMeanPool(PlainPool, L.MeanPool2D):
    def pool(self, windows):
        return windows.mean(axis=-1), np.full(windows.shape, 1 / windows.shape[-1])


class PlainGlobalMean(L.GlobalMeanPool2D):
    def forward(self, x, train=False):
        self.shape = x.shape
        return x.mean(axis=(1, 2))

    def backward_input(self, dy):
        share = dy[:, None, None] / (self.shape[1] * self.shape[2])
        return np.broadcast_to(share, self.shape).copy()


class PlainPointwise:
    def forward(self, x, train=False):
        y, self.slope = self.function(x)
        return y

    def backward_input(self, dy):
        return dy * self.slope


class PlainELU(PlainPointwise, L.ELU):
    def function(self, x):
        low = np.exp(np.minimum(x, 0))
        return np.where(x > 0, x, low - 1), np.where(x > 0, 1, low)


class PlainReLU(PlainPointwise, L.ReLU):
    def function(self, x):
        return x * (x > 0), x > 0


class PlainTanh(PlainPointwise, L.Tanh):
    def function(self, x):
        return np.tanh(x), 1 / np.cosh(x) ** 2


class PlainBatchNorm(L.BatchNorm):
    """By the chain rule over mean and variance, term by term."""

    def forward(self, x, train=False):
        self.axes = tuple(range(x.ndim - 1))
        self.centered = x - x.mean(axis=self.axes)
        self.spread = np.sqrt((self.centered**2).mean(axis=self.axes) + self.eps)
        return self.params["gamma"] * self.centered / self.spread + self.params["beta"]

    def backward_params(self, dy):
        self.grads["gamma"] = (dy * self.centered / self.spread).sum(axis=self.axes)
        self.grads["beta"] = dy.sum(axis=self.axes)

    def backward_input(self, dy):
        dx_hat = dy * self.params["gamma"]
        dvar = (dx_hat * self.centered).mean(axis=self.axes) / self.spread**3
        return (dx_hat - dx_hat.mean(axis=self.axes)) / self.spread - self.centered * dvar


PLAIN = {
    **{L.Linear: PlainLinear, L.Conv2D: PlainConv, L.BatchNorm: PlainBatchNorm},
    **{L.MaxPool2D: PlainMaxPool, L.MeanPool2D: PlainMeanPool},
    **{L.GlobalMeanPool2D: PlainGlobalMean, L.ELU: PlainELU, L.ReLU: PlainReLU},
    **{L.Tanh: PlainTanh},
}


def plain(net):
    """Return a twin of plain layers with the same names and parameters; dropout stays as it is."""
    twin = eln.Network()
    for node in net.nodes:
        layer = copy.copy(node.layer)
        layer.__class__ = PLAIN.get(type(layer), type(layer))
        layer.params, layer.grads = dict(layer.params), {}
        if layer.rng is not None:  # both draw the same masks
            layer.rng, node.layer.rng = np.random.default_rng(3), np.random.default_rng(3)
        twin.add(layer, node.name, node.inputs)
    return twin


def compare(make, net, shape, classes):
    twin, router, its = plain(net), make(), make()
    for seed in range(2):
        dy, target = forward(net, shape, classes, seed, np.float64)
        its_dy, _ = forward(twin, shape, classes, seed, np.float64)
        np.testing.assert_allclose(its_dy, dy, rtol=1e-7, atol=1e-12)
        router.backward(net, dy, target)
        expected = copied(net.gradients())
        its.backward(twin, its_dy, target)
        got = twin.gradients()
        assert got.keys() == expected.keys()
        for name, value in expected.items():
            scale = np.abs(value).max()
            np.testing.assert_allclose(got[name], value, rtol=1e-6, atol=1e-8 * scale + 1e-12)


BUILDS = {
    small: ((6, 4), 3),
    images: ((6, 4, 4, 1), 3),
    residual: ((3, 32, 32, 3), 10),
}


@RULES
@pytest.mark.parametrize("build", BUILDS)
def test_every_rule_on_plain_layers(build, rule):
    compare(MAKERS[rule], build(), *BUILDS[build])


@settings(max_examples=100)
@given(networks(), rules())
def test_drawn_networks_and_rules_on_plain_layers(drawn, make):
    compare(make, *drawn)
