"""Designs that once slipped past a check, or that a check once refused: each here as a stranger
wrote it, right and with a mistake.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from elunet.testing import (
    GradientCheckError,
    check_functions,
    check_gradient,
    check_layer,
    check_loss,
)

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


class Spectrum:
    """Scales its input by the size of complex numbers."""

    def __init__(self):
        self.c = np.array([1.0 + 2.0j, 0.5 - 1.0j, 2.0, 1.0j])

    def forward(self, x):
        self.x = x
        return x * np.abs(self.c) ** 2

    def backward(self, dy):
        self.dc = 5.0 * (2 * dy * self.x * self.c).sum(axis=0)
        return dy * np.abs(self.c) ** 2


class Records:
    def __init__(self):
        self.p = np.zeros(1, dtype=[("W", "f8", (4, 3)), ("b", "f8", 3)])
        self.p["W"] = W

    def forward(self, x):
        return x @ self.p["W"][0] + self.p["b"][0]

    def backward(self, dy):
        return dy @ self.p["W"][0].T


@pytest.mark.parametrize(("layer", "name"), [(Spectrum(), "c"), (Records(), "p")])
def test_what_cannot_be_looked_into_is_not_missed(layer, name):
    with pytest.raises(GradientCheckError, match=f"{name} holds .* was not checked") as caught:
        check_layer(layer, X)
    assert caught.value.array == name
    result = check_layer(layer, X, gradients={name: None})
    assert result.notes == (f"{name}: declared a constant, not checked",)


class WeightedBag:
    """Sums rows of a table with weights; the indices have no gradient."""

    def __init__(self, of_weights=True):
        self.table, self.of_weights = rng.normal(size=(6, 3)), of_weights

    def forward(self, index, weight):
        self.index, self.weight = index, weight
        return (self.table[index] * weight[..., None]).sum(axis=1)

    def backward(self, dy):
        self.dtable = np.zeros_like(self.table)
        np.add.at(self.dtable, self.index, dy[:, None] * self.weight[..., None])
        dweight = np.einsum("nd,nld->nl", dy, self.table[self.index])
        return None, dweight if self.of_weights else None


def test_none_is_the_gradient_of_indices():
    x = (np.array([[0, 1, 1], [2, 3, 0]]), rng.normal(size=(2, 3)))
    assert check_layer(WeightedBag(), x).arrays == ["dx[1]", "dtable"]
    with pytest.raises(GradientCheckError, match=r"returned None, expected dx\[1\]"):
        check_layer(WeightedBag(of_weights=False), x)


class InFloat32:
    def __init__(self, factor=1.0):
        self.W, self.factor = W.astype(np.float32), factor

    def forward(self, x):
        self.x = x.astype(np.float32)
        return self.x @ self.W

    def backward(self, dy):
        self.dW = self.factor * self.x.T @ dy
        return dy @ self.W.T


def test_rounding_is_named_only_where_it_is_the_cause():
    """The input is rounded, the output is not; and in float32 everything is."""
    with pytest.raises(GradientCheckError) as caught:
        check_layer(InFloat32(), X)
    assert caught.value.cause.startswith("forward rounds to float32 inside")
    assert check_layer(InFloat32(), X, dtype=np.float32).arrays == ["dx", "dW"]
    with pytest.raises(GradientCheckError) as caught:
        check_layer(InFloat32(1.5), X, dtype=np.float32)
    assert caught.value.cause.startswith("analytic = 3/2 x numeric everywhere")


class Answering:
    """Has every attribute, and most are None."""

    is_loss = True

    def __init__(self):
        self.__dict__["kept"] = {"W": W.copy()}

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self.__dict__["kept"].get(name)

    def __setattr__(self, name, value):
        self.kept[name] = value

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self, dy):
        self.dW = self.x.T @ dy
        return dy @ self.W.T


class Strict:
    """Settings: an unknown name raises what a dict raises, or what the class says."""

    def __init__(self, error, **settings):
        self.__dict__.update(settings, error=error)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        raise self.error(name)


STRICT = Strict(KeyError, scale=2.0)


@pytest.mark.parametrize("error", [KeyError, RuntimeError, ValueError])
def test_settings_that_raise_for_unknown_names(error):
    class Scaled:
        def __init__(self):
            self.settings = Strict(error, scale=3.0)

        def forward(self, x):
            return x * self.settings.scale * STRICT.scale

        def backward(self, dy):
            return dy * self.settings.scale * STRICT.scale

    assert len(check_layer(Scaled(), X).arrays) == 1
    settings = Strict(error, scale=3.0)
    check_functions(lambda x: (x * settings.scale, None), lambda dy, cache: dy * 3.0, X)
    with pytest.raises(GradientCheckError, match="analytic = 2/3 x numeric"):
        check_functions(lambda x: (x * settings.scale, None), lambda dy, cache: dy * 2.0, X)


def test_layer_that_has_every_attribute():
    assert len(check_layer(Answering(), X).arrays) == 2


class Private:
    def __init__(self, factor=1.0):
        self.__W, self.__dW, self.factor = W.copy(), None, factor

    def forward(self, x):
        self.__x = x
        return x @ self.__W

    def backward(self, dy):
        self.__dW = self.factor * self.__x.T @ dy
        return dy @ self.__W.T


def test_private_names_belong_together():
    assert check_layer(Private(), X).arrays == ["dx", "_Private__dW"]
    with pytest.raises(GradientCheckError, match="_Private__dW is wrong"):
        check_layer(Private(2.0), X)


class Tied:
    """An encoder and a decoder that share their weight; each has its part of the gradient."""

    class Half:
        def __init__(self, weight, turned):
            self.W, self.turned = weight, turned

        def forward(self, x):
            self.x = x
            return x @ (self.W.T if self.turned else self.W)

        def backward(self, dy):
            self.dW = dy.T @ self.x if self.turned else self.x.T @ dy
            return dy @ (self.W if self.turned else self.W.T)

    def __init__(self):
        weight = W.copy()
        self.layers = [self.Half(weight, False), self.Half(weight, True)]

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy):
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy


def test_tied_layers_that_each_keep_a_part():
    with pytest.raises(GradientCheckError) as caught:
        check_layer(Tied(), X)
    assert caught.value.cause.startswith(
        "layers[0].dW and layers[1].dW are parts, right if they are added up"
    )

    def total(net):
        return net.layers[0].dW + net.layers[1].dW

    assert len(check_layer(Tied(), X, gradients={"layers[0].W": total}).arrays) == 2


class Matrix:
    def __init__(self, factor=1.0):
        with pytest.warns(PendingDeprecationWarning):
            self.W = np.matrix(W)
        self.factor = factor

    def forward(self, x):
        self.x = x
        return np.asarray(x * self.W)

    def backward(self, dy):
        self.dW = self.factor * self.x.T @ dy
        return np.asarray(dy * self.W.T)


class Parameter(np.ndarray):
    """An array with a gradient, as some courses define it."""

    grad = None

    def __array_finalize__(self, other):
        self.grad = getattr(other, "grad", None)


class WithParameter:
    def __init__(self, factor=1.0):
        self.W, self.factor = W.copy().view(Parameter), factor

    def forward(self, x):
        self.x = x
        return np.asarray(x @ self.W)

    def backward(self, dy):
        self.W.grad = self.factor * self.x.T @ dy
        return np.asarray(dy @ self.W.T)


@pytest.mark.parametrize(("kind", "given"), [(Matrix, {}), (WithParameter, {"W": "W.grad"})])
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_arrays_of_a_kind_of_their_own(kind, given):
    layer = kind()
    before = layer.W
    assert len(check_layer(layer, X, gradients=given).arrays) == 2
    assert layer.W is before
    with pytest.raises(GradientCheckError, match="is wrong at 12 of 12"):
        check_layer(kind(2.0), X, gradients=given)


@dataclass
class Shown:
    weight: Any = field(default_factory=W.copy)

    def forward(self, x):
        return x @ self.weight

    def backward(self, dy):
        return dy @ self.weight.T


def test_names_are_short():
    with pytest.raises(GradientCheckError, match=r"^Shown: weight moves the output"):
        check_layer(Shown(), X)


def test_bound_methods_bring_a_weight_along():
    layer = Private()
    result = check_functions(layer.forward, layer.backward, X)
    assert result.notes[0].startswith("self._Private__W: moves the output, but is not an argument")
    assert set(vars(layer)) == {"_Private__W", "_Private__dW", "factor"}


def test_functions_with_a_generator_of_their_own():
    own = np.random.default_rng(3)

    def forward(x):
        mask = own.random(x.shape) < 0.5
        return x * mask, mask

    before = own.bit_generator.state
    check_functions(forward, lambda dout, mask: dout * mask, X)
    assert own.bit_generator.state == before
    kept = {}

    def f(v):
        kept["mask"] = own.random(v.shape) < 0.5
        return np.sum(v * kept["mask"])

    check_gradient(f, lambda v: kept["mask"].astype(float), X)
    assert kept == {}
    assert own.bit_generator.state == before


def test_derivative_alone_is_told_apart():
    with pytest.raises(TypeError, match="if it is the derivative alone, wrap it"):
        check_functions(np.tanh, lambda x: 1 - np.tanh(x) ** 2, X)
    with pytest.raises(TypeError, match="if it is the derivative alone, wrap it"):
        check_functions(np.multiply, lambda x1, x2: x2, X, X)
    check_functions(np.multiply, lambda dy, x1, x2: (dy * x2, dy * x1), X, X + 1)


def test_values_that_cannot_be_changed():
    locked = X.copy()
    locked.flags.writeable = False
    with pytest.raises(TypeError, match="changed in place .* got a read-only one"):
        check_gradient(lambda: np.sum(locked**2), lambda: 2 * locked, locked)
    with pytest.raises(TypeError, match="expected arrays of real numbers .* got complex ones"):
        check_gradient(lambda v: np.sum(np.abs(v) ** 2), lambda v: 2 * v, X + 1j)


@pytest.mark.parametrize(("shape", "notes"), [((1, 6), 0), ((3, 6), 1)])
def test_mean_over_columns_is_no_sum_over_the_batch(shape, notes):
    a, y = rng.uniform(0.1, 0.9, shape), rng.integers(0, 2, shape).astype(float)

    def cost(a, y):
        return -np.sum(y * np.log(a) + (1 - y) * np.log(1 - a)) / a.shape[1]

    def slope(a, y):
        return ((1 - y) / (1 - a) - y / a) / a.shape[1]

    result = check_loss((cost, slope), a, y)
    assert len(result.notes) == notes
    assert all("right if examples are columns" in note for note in result.notes)
