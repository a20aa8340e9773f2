"""A network that is nothing but named arrays, with a new random gradient for every step."""

from __future__ import annotations

import numpy as np
import pytest

SHAPES = {"conv1.W": (3, 3, 2, 4), "conv1.b": (4,), "bn1.gamma": (4,), "conv10.W": (4, 3)}


class Arrays:
    """Named arrays with gradients, as an optimizer sees a network or a router."""

    def __init__(self, shapes=None, dtype=np.float64, gradient_dtype=None, seed=0):
        self.rng = np.random.default_rng(seed)
        self.gradient_dtype = gradient_dtype or dtype
        self.w = {
            name: self.rng.normal(size=shape).astype(dtype)
            for name, shape in (shapes or SHAPES).items()
        }
        self.draw()

    def draw(self):
        self.g = {
            name: self.rng.normal(size=w.shape).astype(self.gradient_dtype)
            for name, w in self.w.items()
        }

    def parameters(self):
        return self.w

    def gradients(self):
        return self.g


@pytest.fixture(scope="session")
def make_net():
    """Return the class `Arrays`: ``make_net(shapes, dtype, gradient_dtype, seed)``."""
    return Arrays


@pytest.fixture
def compare():
    """Return ``compare(optimizer, rule, steps=5)``: both on one network, parameter by parameter.

    ``rule(w, g, memory, t)`` is an update written out in float64 for one parameter: it returns
    the new w, and keeps what it likes in the dict ``memory``; t = 1, 2, ...
    ``memory["weight"]`` says whether penalties apply.
    """

    def run(optimizer, rule, steps=5, dtype=np.float64, gradient_dtype=None, rtol=1e-12):
        net = Arrays(dtype=dtype, gradient_dtype=gradient_dtype)
        live = dict(net.w)
        expected = {name: w.astype(np.float64) for name, w in net.w.items()}
        memory = {name: {"weight": name.endswith(".W")} for name in net.w}
        for t in range(1, steps + 1):
            net.draw()
            before = {name: g.copy() for name, g in net.g.items()}
            optimizer.step(net)
            for name, g in before.items():
                np.testing.assert_array_equal(net.g[name], g, "gradients are only read")
                expected[name] = rule(expected[name], g.astype(np.float64), memory[name], t)
                np.testing.assert_allclose(net.w[name], expected[name], rtol, rtol)
        assert optimizer.steps == steps
        for name, w in net.w.items():
            assert w is live[name], "updates are in place"
            assert w.dtype == dtype
            for array in optimizer.buffers[name].values():
                assert array.dtype == dtype
                assert array.shape == w.shape

    return run


@pytest.fixture
def compare_with_torch():
    """Return ``compare_with_torch(optimizer, make)``; ``make(parameters)`` is torch's optimizer.

    Only weights, so that torch's weight decay and ours mean the same arrays.
    """
    torch = pytest.importorskip("torch")

    def run(optimizer, make, steps=10, clip_norm=None):
        net = Arrays({"conv1.W": (3, 3, 2, 4), "conv2.W": (4, 3)})
        theirs = {name: torch.tensor(w, requires_grad=True) for name, w in net.w.items()}
        reference = make(list(theirs.values()))
        for _ in range(steps):
            net.draw()
            for name, tensor in theirs.items():
                tensor.grad = torch.tensor(net.g[name])
            if clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(theirs.values(), clip_norm)
            optimizer.step(net)
            reference.step()
        for name, tensor in theirs.items():
            np.testing.assert_allclose(
                net.w[name], tensor.detach().numpy(), rtol=1e-5 if clip_norm else 1e-10
            )

    return run
