"""Weights that nobody hands over: in global variables, in `partial`, in compiled code."""

from __future__ import annotations

import functools
import sys
import types

import numpy as np
import pytest

from elunet.testing import (
    GradientCheckError,
    check_functions,
    check_layer,
)

X = np.random.default_rng(0).standard_normal((4, 3))
START = np.random.default_rng(1).standard_normal((3, 2))


def module(source: str, name: str = "my_layers") -> types.ModuleType:
    """Return a module of a user's own, made of this source."""
    made = types.ModuleType(name)
    made.__dict__.update(np=np, W=START.copy())
    exec(source, made.__dict__)
    return made


DESIGNS = {
    "read and written": """
class Dense:
    def forward(self, x):
        self.x = x
        return x @ W
    def backward(self, dy):
        global dW
        dW = FACTOR * self.x.T @ dy
        return dy @ W.T
""",
    "gradient on the object": """
class Dense:
    def forward(self, x):
        self.x = x
        return x @ W
    def backward(self, dy):
        self.dW = FACTOR * self.x.T @ dy
        return dy @ W.T
""",
    "in a class": """
class Config:
    W = W
del W
class Dense:
    def forward(self, x):
        self.x = x
        return x @ Config.W
    def backward(self, dy):
        Config.dW = FACTOR * self.x.T @ dy
        return dy @ Config.W.T
""",
    "in a class above": """
class Base:
    W = W
class Config(Base):
    dW = None
del W
class Dense:
    def forward(self, x):
        self.x = x
        return x @ Config.W
    def backward(self, dy):
        Config.dW = FACTOR * self.x.T @ dy
        return dy @ Config.W.T
""",
    "in dicts": """
parameters, grads = {"W": W, "b": np.zeros(2)}, {}
del W
class Dense:
    def forward(self, x):
        self.x = x
        return x @ parameters["W"] + parameters["b"]
    def backward(self, dy):
        grads["W"], grads["b"] = FACTOR * self.x.T @ dy, dy.sum(axis=0)
        return dy @ parameters["W"].T
""",
    "an object behind a helper": """
class Weights:
    pass
weights = Weights()
weights.W, weights.dW = W, 0 * W
del W
def affine(x):
    return x @ weights.W
class Dense:
    def forward(self, x):
        self.x = x
        return affine(x)
    def backward(self, dy):
        weights.dW = FACTOR * self.x.T @ dy
        return dy @ weights.W.T
""",
    "in a comprehension": """
class Dense:
    def forward(self, x):
        self.x = x
        return np.stack([x @ W[:, j] for j in range(2)], axis=1)
    def backward(self, dy):
        self.dW = FACTOR * self.x.T @ dy
        return dy @ W.T
""",
}


@pytest.mark.parametrize("design", DESIGNS)
def test_global_weights_are_checked_and_left_as_they_were(design):
    right = module("FACTOR = 1.0\n" + DESIGNS[design])
    before = set(vars(right)) - {"dW"}
    result = check_layer(right.Dense(), X)
    assert [name for name in result.arrays if name.endswith(("dW", "['W']"))]
    assert set(vars(right)) == before
    if "W" in before:
        assert np.array_equal(right.W, START)
    wrong = module("FACTOR = 2.0\n" + DESIGNS[design])
    with pytest.raises(GradientCheckError, match="analytic = 2 x numeric"):
        check_layer(wrong.Dense(), X)


class _Unseen:
    factor = 1.0

    def forward(self, x):
        return x @ START

    def backward(self, dy):
        return dy @ START.T


def test_a_global_weight_without_gradient_is_named():
    with pytest.raises(GradientCheckError, match=r"globals.START moves the output, but no grad"):
        check_layer(_Unseen(), X)
    result = check_layer(_Unseen(), X, gradients={"globals.START": None})
    assert "globals.START: declared a constant" in repr(result)


def test_a_weight_in_a_global_class_is_named_and_the_class_left_as_it_was():
    source = (
        "class Config:\n    W = W\nclass Dense:\n"
        "    def forward(self, x):\n        return x @ Config.W\n"
        "    def backward(self, dy):\n        Config.last = dy.copy()\n"
        "        return dy @ Config.W.T\n"
    )
    made = module(source)
    with pytest.raises(GradientCheckError, match=r"globals.Config.W moves the output, but no gra"):
        check_layer(made.Dense(), X)
    assert made.Config.W is made.W
    assert np.array_equal(made.W, START)
    assert not hasattr(made.Config, "last")


def test_a_global_float_is_named_as_a_setting():
    made = module(
        "slope = 0.3\nclass Scale:\n"
        "    def forward(self, x):\n        return slope * x\n"
        "    def backward(self, dy):\n        return slope * dy\n"
    )
    assert "globals.slope: a setting, not checked" in repr(check_layer(made.Scale(), X))


def test_a_weight_in_another_module_of_the_user(monkeypatch):
    other = module("", "my_weights")
    monkeypatch.setitem(sys.modules, "my_weights", other)
    made = module(
        "import my_weights\nclass Dense:\n"
        "    def forward(self, x):\n        return x @ my_weights.W\n"
        "    def backward(self, dy):\n        return dy @ my_weights.W.T\n"
    )
    with pytest.raises(GradientCheckError, match=r"globals.my_weights.W moves the output"):
        check_layer(made.Dense(), X)


def test_an_attribute_of_a_global_name_is_not_the_global():
    made = module(
        "class Dense:\n"
        "    def __init__(self):\n        self.W = W.copy()\n"
        "    def forward(self, x):\n        self.x = x\n        return x @ self.W\n"
        "    def backward(self, dy):\n        self.dW = self.x.T @ dy\n"
        "        return dy @ self.W.T\n"
    )
    assert check_layer(made.Dense(), X).arrays == ["dx", "dW"]
    assert check_layer(made.Dense(), X).notes == ()


def test_a_function_that_reads_a_global_weight_says_so():
    def backward(dy, cache):
        return dy @ START.T

    result = check_functions(lambda x: (x @ START, 0), backward, X)
    assert "globals.START: moves the output, but is not an argument" in repr(result)
    assert np.array_equal(START, np.random.default_rng(1).standard_normal((3, 2)))


def times_start(x):
    return x * START[0, 0]


def test_what_compiled_code_keeps_is_said():
    compiled = pytest.importorskip("numba").njit(times_start)

    class Compiled:
        def forward(self, x):
            return compiled(x)

        def backward(self, dy):
            return dy * START[0, 0]

    result = check_layer(Compiled(), X, gradients={"globals.START": None})
    assert "START: kept by the compiled function times_start, not checked" in repr(result)


def scaled(weight, x):
    return weight * x


def in_partial(factor):
    class Scale:
        def __init__(self):
            self.apply = functools.partial(scaled, np.array([1.0, 2.0, 3.0]))

        def forward(self, x):
            self.x = x
            return self.apply(x)

        def backward(self, dy):
            self.dweight = factor * np.sum(dy * self.x, axis=0)
            return dy * self.apply.args[0]

    return Scale()


def in_partialmethod(factor):
    class Scale:
        def scale(self, v, weight):
            return v * weight

        apply = functools.partialmethod(scale, weight=np.array([1.0, 2.0, 3.0]))

        def forward(self, x):
            self.x = x
            return self.apply(x)

        def backward(self, dy):
            self.dweight = factor * np.sum(dy * self.x, axis=0)
            return self.apply(dy)

    return Scale()


@pytest.mark.parametrize(
    ("make", "path"),
    [(in_partial, "apply.args[0]"), (in_partialmethod, "apply.keywords['weight']")],
)
def test_a_weight_in_partial(make, path):
    layer = make(1.0)
    assert check_layer(layer, X, gradients={path: "dweight"}).arrays[0] == "dx"
    assert "dweight" not in vars(layer)
    with pytest.raises(GradientCheckError, match="analytic = 2 x numeric"):
        check_layer(make(2.0), X, gradients={path: "dweight"})


def test_a_weight_in_partial_is_not_missed():
    class Scale:
        def __init__(self):
            self.apply = functools.partial(scaled, np.array([1.0, 2.0, 3.0]))

        def forward(self, x):
            return self.apply(x)

        def backward(self, dy):
            return self.apply(dy)

    with pytest.raises(GradientCheckError, match=r"apply.args\[0\] moves the output, but no grad"):
        check_layer(Scale(), X)


def test_where_looking_stops_is_said():
    class Much:
        def __init__(self):
            self.table = ["word"] * 100_001

        def forward(self, x):
            return x

        def backward(self, dy):
            return dy

    assert "stopped looking after 100,000 things" in repr(check_layer(Much(), X[:1, :1]))
    result = check_functions(lambda x, table: (x, 0), lambda d, c: (d, None), X, ["word"] * 100_001)
    assert "stopped looking after 100,000 things" in repr(result)


class Keyword:
    factor = 1.0

    def __init__(self):
        self.W = START.copy()

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self, *, grad):
        self.dW = self.factor * self.x.T @ grad
        return grad @ self.W.T


class AllByKeyword(Keyword):
    def forward(self, *, x):
        return super().forward(x)


class RateByKeyword(Keyword):
    def backward(self, grad, *, learning_rate):
        dx = grad @ self.W.T
        self.W -= learning_rate * self.factor * self.x.T @ grad
        return dx


@pytest.mark.parametrize("kind", [Keyword, AllByKeyword, RateByKeyword])
def test_arguments_by_keyword_only(kind):
    assert check_layer(kind(), X).arrays[0] == "dx"
    layer = kind()
    layer.factor = 2.0
    with pytest.raises(GradientCheckError, match="analytic = 2 x numeric"):
        check_layer(layer, X)
