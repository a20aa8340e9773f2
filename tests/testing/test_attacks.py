"""Designs that once slipped past a check, or that a check once refused: each here as a stranger
wrote it, right and with a mistake.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from elunet.testing import GradientCheckError, check_functions, check_layer

rng = np.random.default_rng(0)
X = rng.normal(size=(5, 4))
W = rng.normal(size=(4, 3))


def made_of_closures(factor: float, shown: bool) -> Any:
    """Return a layer whose weight is a variable of the function that made it."""
    weight, kept, layer = W.copy(), {}, SimpleNamespace()

    def forward(x):
        kept["x"] = x
        return x @ weight

    def backward(dy):
        layer.dweight = factor * kept["x"].T @ dy
        return dy @ weight.T

    layer.forward, layer.backward, layer.kept = forward, backward, kept
    if shown:
        layer.weight = weight
    return layer


def on_the_class(factor: float) -> Any:
    class Dense:
        weights = [W.copy()]  # noqa: RUF012 (people write this)

        def forward(self, x):
            self.x = x
            return x @ self.weights[0]

        def backward(self, dy):
            self.dweights = [factor * self.x.T @ dy]
            return dy @ self.weights[0].T

    return Dense()


def in_dicts_of_the_class(factor: float) -> Any:
    class Dense:
        params = {"W": W.copy()}  # noqa: RUF012
        grads = {}  # noqa: RUF012

        def forward(self, x):
            self.x = x
            return x @ self.params["W"]

        def backward(self, dy):
            self.grads["W"] = factor * self.x.T @ dy
            return dy @ self.params["W"].T

    return Dense()


def named_by_its_class(factor: float) -> Any:
    class Dense:
        W = rng.normal(size=(4, 3))
        dW = None  # noqa: N815

        def forward(self, x):
            self.x = x
            return x @ Dense.W

        def backward(self, dy):
            Dense.dW = factor * self.x.T @ dy
            return dy @ Dense.W.T

    return Dense()


def on_a_function(factor: float) -> Any:
    def apply(x):
        apply.x = x
        return x @ apply.W

    class Dense:
        def __init__(self):
            self.apply = apply

        def forward(self, x):
            return self.apply(x)

        def backward(self, dy):
            apply.dW = factor * apply.x.T @ dy
            return dy @ apply.W.T

    apply.W, apply.dW = W.copy(), np.zeros_like(W)
    return Dense()


PLACES = [
    lambda factor: made_of_closures(factor, shown=False),
    lambda factor: made_of_closures(factor, shown=True),
    on_the_class,
    in_dicts_of_the_class,
    named_by_its_class,
    on_a_function,
]


@pytest.mark.parametrize("make", PLACES)
def test_weight_in_an_unusual_place(make):
    assert len(check_layer(make(1.0), X).arrays) == 2
    with pytest.raises(GradientCheckError, match="dW|dweight|grads"):
        check_layer(make(2.0), X)


def test_weight_behind_a_method_of_another_object_is_not_missed():
    class Inner:
        W = None

        def apply(self, x):
            return x @ self.W

    class Outer:
        def __init__(self):
            inner = Inner()
            inner.W = W.copy()
            self.apply = inner.apply

        def forward(self, x):
            return self.apply(x)

        def backward(self, dy):
            return dy @ W.T

    with pytest.raises(GradientCheckError, match=r"W moves the output, but no gradient"):
        check_layer(Outer(), X)


def test_classes_and_closures_are_left_as_they_were():
    layer = named_by_its_class(1.0)
    kind = type(layer)
    kind.dW = before = np.zeros((4, 3))
    check_layer(layer, X)
    assert kind.dW is before
    assert not before.any()
    assert vars(layer) == {}
    layer = made_of_closures(1.0, shown=False)
    check_layer(layer, X)
    assert layer.kept == {}
    assert not hasattr(layer, "dweight")


def test_what_functions_take_is_left_as_it_was():
    """A deep copy of an argument shares its classes and functions with it."""

    class Config:
        scale = np.float32(2.0)

    weight = W.astype(np.float32)
    config = Config()
    apply = {"f": lambda x: x @ weight}

    def forward(x, config, apply):
        return config.scale * apply["f"](x), (config, weight)

    def backward(dout, cache):
        config, weight = cache
        return config.scale * dout @ weight.T

    check_functions(forward, backward, X, config, apply)
    assert weight.dtype == np.float32
    assert type(Config.scale) is np.float32
    assert vars(config) == {}
    assert apply["f"].__closure__[0].cell_contents is weight
