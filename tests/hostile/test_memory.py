"""What is kept of a network's results does not keep the network's memory."""

from __future__ import annotations

import copy
import gc
import tracemalloc

import numpy as np
import pytest

import elunet as eln
from elunet import layers as L

X = np.ones((8, 96, 96, 3), np.float32)  # inside, up to 4.7 MB a layer
KEPT = 30
TAILS = {
    "product": [L.MaxPool2D(4), L.Conv2D(16, 8, 3)],
    "in place": [L.MaxPool2D(4), L.Conv2D(16, 8, 3), L.ELU(), L.Dropout(0.1)],
    "a view": [L.MaxPool2D(4), L.Conv2D(16, 8, 3), L.Flatten()],
    "pooled": [L.MaxPool2D(3), L.Tanh()],
}


class Crop(L.Layer):
    """A user's layer that hands out a view."""

    def forward(self, x, train=False):
        return x[:, ::2]

    def backward_input(self, dy):
        return np.repeat(dy, 2, axis=1)


def build(tail):
    return eln.Sequential([L.Conv2D(3, 16, 3), L.ELU(), *copy.deepcopy(tail)], seed=0)


def held_after(use):
    """Return the bytes that are held after some uses of fresh networks, whose results are kept."""
    use(build(TAILS["product"]))
    gc.collect()
    tracemalloc.start()
    kept = [use(build(tail)) for tail in TAILS.values() for _ in range(KEPT // len(TAILS))]
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    views = sum(view.nbytes for views in kept for view in views)
    assert 0 < views < 30e6
    return held


class TestSmallResults:
    """A row of each result is kept, and with it the result, as NumPy has it: but nothing else."""

    def test_outputs(self):
        assert held_after(lambda net: [net(X)[0]]) < KEPT * 1.1 * 8 * 24 * 24 * 16 * 4

    def test_gradients_at_the_input(self):
        def use(net):
            y = net.forward(X, train=True)
            return [net.backward(np.ones_like(y))[0]]

        assert held_after(use) < KEPT * 1.1 * X.nbytes

    def test_what_a_user_layer_hands_out(self):
        assert (
            held_after(
                lambda net: (
                    [eln.Sequential([*net.layers, Crop()])(X)[0]]
                    if net.layers[-1].__class__ is not L.Flatten
                    else [net(X)[0]]
                )
            )
            < KEPT * 1.1 * 8 * 32 * 32 * 16 * 4
        )

    def test_what_a_tap_was_shown(self):
        def use(net):
            shown = []
            net.forward(X, tap=lambda name, y: shown.append(y[0]) if y.nbytes < 1e6 else None)
            return shown

        assert held_after(use) < KEPT * 4 * 1.1 * 8 * 32 * 32 * 16 * 4


def test_one_network_does_not_grow():
    net, kept, sizes = build(TAILS["product"]), [], []
    for _ in range(20):
        kept.append(net(X)[0])
        sizes.append(net._workspace.reserved)
    assert sizes[0] == sizes[-1]


@pytest.mark.parametrize("train", [False, True])
def test_results_are_the_same_bits(train):
    for tail in TAILS.values():
        net = build([layer for layer in tail if not isinstance(layer, L.Dropout)])
        x = X * np.linspace(-1, 1, 96, dtype=np.float32)[:, None]
        y = net.forward(x, train)
        by_hand = x
        for layer in net:
            by_hand = layer.forward(by_hand, train)
        np.testing.assert_array_equal(y, by_hand)
