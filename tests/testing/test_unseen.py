"""Nothing is passed unseen: what moves the output needs a gradient, wherever it is kept."""

from __future__ import annotations

import numpy as np
import pytest

import elunet as eln
from elunet.testing import GradientCheckError, check_layer, check_network

X = np.random.default_rng(0).standard_normal((4, 3))
W = np.random.default_rng(1).standard_normal((3, 2))


class Kept:
    """y = x W, with W and its gradient wherever `place` and `gradient` put them."""

    factor = 1.0

    def __init__(self, place, gradient):
        self._place, self._gradient = place, gradient
        place(self, W.copy())

    def forward(self, x):
        self.x = x
        return x @ self._place(self)

    def backward(self, dy):
        if self._gradient is not None:
            self._gradient(self, self.factor * self.x.T @ dy)
        return dy @ self._place(self).T


class Holder:
    """An object of the user's own, beside the layer."""


def attribute(name, inside=None):
    """Return a function that reads or writes an attribute, of the layer or of a helper in it."""

    def place(layer, value=None):
        owner = layer
        if inside is not None:
            if not hasattr(layer, inside):
                setattr(layer, inside, Holder())
            owner = getattr(layer, inside)
        if value is not None:
            setattr(owner, name, value)
        return getattr(owner, name)

    return place


def entry(holder, key, kind=dict):
    """Return a function that reads or writes an entry of a dict or list of the layer."""

    def place(layer, value=None):
        if not hasattr(layer, holder):
            setattr(layer, holder, kind() if kind is dict else [None] * (key + 1))
        items = getattr(layer, holder)
        if value is not None:
            items[key] = value
        return items[key]

    return place


def deep(layer, value=None):
    """Keep the array in a tuple in a dict in a list."""
    if value is not None:
        layer.stack = [{"first": (value, "W")}]
    return layer.stack[0]["first"][0]


PAIRS = {
    "W/dW": (attribute("W"), attribute("dW")),
    "parameters/gradients": (entry("parameters", "W"), entry("gradients", "W")),
    "W/dLdW": (attribute("W"), attribute("dLdW")),
    "W/gradW": (attribute("W"), attribute("gradW")),
    "W/W_gradient": (attribute("W"), attribute("W_gradient")),
    "weight_matrix/dW": (attribute("weight_matrix"), attribute("dW")),
    "filters/d_L_d_filters": (attribute("filters"), attribute("d_L_d_filters")),
    "_W/_dW": (attribute("_W"), attribute("_dW")),
    "value/grad": (attribute("value", "W"), attribute("grad", "W")),
    "helper": (attribute("W", "cell"), attribute("dW", "cell")),
    "params/dparams": (entry("params", "W"), entry("dparams", "W")),
    "weights[0]/nabla_w[0]": (entry("weights", 0, list), entry("nabla_w", 0, list)),
    "params[0]/grads[0]": (entry("params", 0, list), entry("grads", 0, list)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_of_names(name):
    place, gradient = PAIRS[name]
    layer = Kept(place, gradient)
    assert len(check_layer(layer, X).rows) == 2
    layer.factor = 1.5
    with pytest.raises(GradientCheckError, match="is wrong at 6 of 6"):
        check_layer(layer, X)


@pytest.mark.parametrize("place", [*(pair[0] for pair in PAIRS.values()), deep])
def test_a_value_without_a_gradient_is_an_error_wherever_it_is(place):
    layer = Kept(place, None)
    with pytest.raises(GradientCheckError) as caught:
        check_layer(layer, X)
    assert "no gradient of it was found" in str(caught.value) or "backward left no" in str(
        caught.value
    )


def test_the_error_says_what_to_write_and_that_works():
    layer = Kept(attribute("kernel_of_mine"), attribute("result"))
    with pytest.raises(GradientCheckError, match="kernel_of_mine moves the output") as caught:
        check_layer(layer, X)
    assert caught.value.array == "kernel_of_mine"
    assert "gradients={'kernel_of_mine': 'result'}" in str(caught.value)
    said = {"kernel_of_mine": "result"}
    assert check_layer(layer, X, gradients=said).arrays == ["dx", "result"]
    layer.factor = -1.0
    with pytest.raises(GradientCheckError, match="result is wrong at 6 of 6"):
        check_layer(layer, X, gradients=said)


def test_a_gradient_may_be_a_function_of_the_layer():
    layer = Kept(attribute("kernel_of_mine"), attribute("result"))
    said = {"kernel_of_mine": lambda layer: layer.result}
    assert check_layer(layer, X, gradients=said).arrays == ["dx", "dkernel_of_mine"]


def test_a_constant_is_named_in_the_result():
    layer = Kept(attribute("table"), None)
    result = check_layer(layer, X, gradients={"table": None})
    assert result.arrays == ["dx"]
    assert "table: declared a constant, not checked" in repr(result)


def test_gradients_names_what_is_not_there():
    with pytest.raises(ValueError, match=r"what the layer holds \(.*W.*\), got 'V'"):
        check_layer(Kept(attribute("W"), attribute("dW")), X, gradients={"V": "dV"})


class Line:
    """Weights that are Python numbers."""

    def __init__(self, w=2, b=0.5, **more):
        self.w, self.b = w, b
        vars(self).update(more)

    def forward(self, x):
        self.x = x
        return self.w * x + self.b

    def backward(self, dy):
        self.dw, self.db = float(np.sum(dy * self.x)), float(np.sum(dy))
        return self.w * dy


def test_numbers_are_weights_too():
    layer = Line()
    assert check_layer(layer, X).arrays == ["dx", "dw", "db"]
    assert (layer.w, layer.b) == (2, 0.5)
    assert type(layer.w) is int

    class Wrong(Line):
        def backward(self, dy):
            dx = super().backward(dy)
            self.dw *= 2
            return dx

    class Nothing(Line):
        def backward(self, dy):
            return self.w * dy

    with pytest.raises(GradientCheckError, match="dw is wrong"):
        check_layer(Wrong(), X)
    with pytest.raises(GradientCheckError, match="w moves the output, but no gradient"):
        check_layer(Nothing(), X)


def test_integer_arrays_are_checked_as_floats():
    layer = Kept(attribute("W"), attribute("dW"))
    layer.W = np.array([[1, 2], [0, -1], [3, 1]])
    assert check_layer(layer, X).arrays == ["dx", "dW"]
    assert layer.W.dtype.kind == "i"
    layer.factor = 1.5
    with pytest.raises(GradientCheckError, match="dW is wrong"):
        check_layer(layer, X)


def test_settings_are_named_and_not_checked():
    class Slope:
        def __init__(self):
            self.slope, self.axis, self.eps = 0.1, -1, 0.0

        def forward(self, x):
            self.x = x
            return np.where(x > 0, x, self.slope * x)

        def backward(self, dy):
            return dy * np.where(self.x > 0, 1.0, self.slope)

    assert check_layer(Slope(), X).notes == ("slope: a setting, not checked",)


def test_running_statistics_are_named_and_not_checked():
    layer = eln.layers.BatchNorm(3)
    assert "running_mean" in repr(check_layer(layer, X, train=False))
    assert "statistic" not in repr(check_layer(layer, X, train=True))

    class Centered:
        """Its names say nothing; a pass in training shows that `center` is averaged."""

        def __init__(self):
            self.center = np.array([0.5, -1.0, 2.0])

        def forward(self, x, train=False):
            self.train = train
            if train:
                self.center = 0.9 * self.center + 0.1 * x.mean(axis=0)
                return x - x.mean(axis=0)
            return x - self.center

        def backward(self, dy):
            return dy - dy.mean(axis=0) if self.train else dy

    result = check_layer(Centered(), X, train=False)
    assert result.notes == ("center: a running statistic, not checked",)
    check_layer(Centered(), X, train=True)


def test_a_value_in_the_class():
    class Shared:
        scale = np.array([1.0, 2.0, 3.0])

        def forward(self, x):
            return x * self.scale

        def backward(self, dy):
            return dy * self.scale

    with pytest.raises(GradientCheckError, match="scale moves the output"):
        check_layer(Shared(), X)
    layer = Shared()
    check_layer(layer, X, gradients={"scale": None})
    assert "scale" not in vars(layer)


def test_a_view_of_a_parameter_follows_it():
    class Turned:
        def __init__(self):
            self.W = W.astype(np.float32)
            self.WT = self.W.T

        def forward(self, x):
            self.x = x
            return x @ self.WT.T

        def backward(self, dy):
            self.dW = self.x.T @ dy
            return dy @ self.WT

    layer = Turned()
    WT = layer.WT
    gradients = {"WT": None}
    assert "dW" in check_layer(layer, X, gradients=gradients).arrays
    assert layer.WT is WT
    assert layer.W.dtype == np.float32


def test_a_network_of_any_make():
    class Deep:
        def __init__(self):
            self.weights = [W.copy(), np.ones((2, 2))]

        def forward(self, x):
            self.kept = [x, np.tanh(x @ self.weights[0])]
            return self.kept[1] @ self.weights[1]

        def backward(self, dy):
            x, h = self.kept
            t = (dy @ self.weights[1].T) * (1 - h * h)
            self.grads = [x.T @ t, h.T @ dy]

    class Forgets(Deep):
        def backward(self, dy):
            super().backward(dy)
            del self.grads

    target = np.zeros((4, 2))
    result = check_network(Deep(), X, target, eln.losses.MeanSquaredError())
    assert result.arrays == ["grads[0]", "grads[1]"]
    assert "dx was not checked" in repr(result)
    with pytest.raises(GradientCheckError, match="no gradient of it was found"):
        check_network(Forgets(), X, target, eln.losses.MeanSquaredError())


class PlainLists:
    """Weights as lists of Python numbers, as in code without NumPy."""

    def __init__(self, size, factor=1.0):
        draw = np.random.default_rng(5).normal
        self.w, self.other = draw(size=size).tolist(), draw(size=size).tolist()
        self.factor = factor

    def forward(self, x):
        self.x = x
        return x * np.array(self.w)

    def backward(self, dy):
        self.dw = (self.factor * dy * self.x).sum(axis=0).tolist()
        return dy * np.array(self.w)


def test_a_long_list_of_numbers_is_compared_as_one_array():
    x = np.random.default_rng(6).normal(size=(2, 300))
    passes = []

    class Counted(PlainLists):
        def forward(self, x):
            passes.append(1)
            return super().forward(x)

    result = check_layer(Counted(300), x, entries=50)
    assert result.arrays == ["dx", "dw"]
    assert result.rows[1].checked == 50
    assert len(passes) < 600
    with pytest.raises(GradientCheckError, match=r"dw.*\n.*analytic = 2 x numeric") as caught:
        check_layer(PlainLists(300, factor=2.0), x)
    assert caught.value.array == "dw"
    assert check_layer(PlainLists(5), x[:, :5]).arrays[1:] == [f"dw[{i}]" for i in range(5)]


def test_a_long_list_without_a_gradient_is_named():
    layer = PlainLists(300)
    layer.backward = lambda dy: dy * np.array(layer.w)
    with pytest.raises(GradientCheckError, match=r"w\[0\] moves the output, but no gradient"):
        check_layer(layer, np.ones((2, 300)))


def test_what_moves_the_output_only_at_other_values_needs_a_gradient():
    class Gated:
        def __init__(self):
            self.gate, self.branch = np.zeros(3), np.array([0.5, -1.0, 2.0])

        def forward(self, x):
            self.x = x
            return x + self.gate * np.tanh(self.branch * x)

        def backward(self, dy):
            slope = 1 - np.tanh(self.branch * self.x) ** 2
            self.dgate = (dy * np.tanh(self.branch * self.x)).sum(axis=0)
            return dy * (1 + self.gate * slope * self.branch)

    with pytest.raises(GradientCheckError, match="branch moves the output, but no gradient"):
        check_layer(Gated(), X)
