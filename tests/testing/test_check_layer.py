"""check_layer itself: what it accepts, what it leaves behind, which side effects it finds."""

import copy

import numpy as np
import pytest

from elunet.layers import Layer
from elunet.testing import GradientCheckError, check_layer
from elunet.testing._call import passes as contents
from elunet.testing._compare import differences


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def x(rng):
    return rng.standard_normal((3, 4))


class Square:
    def forward(self, x):
        self.x = x
        return x**2

    def backward(self, dy):
        return 2 * self.x * dy


class Dense:
    """With dicts, a train flag and float32 parameters, like elunet's layers."""

    def __init__(self, inputs=4, outputs=2, seed=0):
        rng = np.random.default_rng(seed)
        self.params = {
            "W": rng.standard_normal((inputs, outputs)).astype(np.float32),
            "b": np.zeros(outputs, np.float32),
        }
        self.grads = {}

    def forward(self, x, train=False):
        self.x = x
        W, b = (self.params[key].astype(x.dtype) for key in "Wb")
        return x @ W + b

    def backward(self, dy):
        self.backward_params(dy)
        return self.backward_input(dy)

    def backward_params(self, dy):
        self.grads["W"] = self.x.T @ dy
        self.grads["b"] = dy.sum(axis=0)

    def backward_input(self, dy, weight=None):
        return dy @ (self.params["W"] if weight is None else weight).T

    def __repr__(self):
        return f"Dense({self.params['W'].shape[0]})"


class Attributes:
    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.W = rng.standard_normal((4, 2)).astype(np.float32)
        self.b = np.zeros(2)
        self.scale = 3.0  # a setting, without a gradient

    def forward(self, x):
        self.x = x
        return (x @ self.W + self.b) * self.scale

    def backward(self, dy):
        dy = dy * self.scale
        self.dW = self.x.T @ dy
        self.grad_b = dy.sum(axis=0)
        return dy @ self.W.T


class Lists:
    """Parameters in lists, gradients written into existing arrays."""

    def __init__(self):
        self.params = [np.ones((4, 2), np.float32), np.zeros(2, np.float32)]
        self.grads = [np.zeros((4, 2), np.float32), np.zeros(2, np.float32)]

    def forward(self, x):
        W, b = self.params
        self.x = x
        return x @ W + b

    def backward(self, dy):
        self.grads[0][...] = self.x.T @ dy
        self.grads[1][...] = dy.sum(axis=0)
        return dy @ self.params[0].T


class Dropping:
    def __init__(self, generator):
        self.rng = generator

    def forward(self, x, train=False):
        mask = self.rng.random(x.shape) if self.rng is not None else np.random.rand(*x.shape)  # noqa: NPY002
        self.mask = (mask > 0.4) if train else np.ones(x.shape)
        return x * self.mask

    def backward(self, dy):
        return dy * self.mask


def same_arrays(a, b):
    assert a.keys() == b.keys()
    for key in a:
        assert a[key].dtype == b[key].dtype
        np.testing.assert_array_equal(a[key], b[key])


# -- what it accepts


def test_two_methods_are_enough(x):
    result = check_layer(Square(), x)
    assert result.arrays == ["dx"]
    assert result.rows[0].checked == result.rows[0].size == 12
    assert result.max_abs_error < 1e-8
    assert result.max_rel_error < 1e-8


def test_result_is_a_table(x):
    lines = repr(check_layer(Dense(), x)).splitlines()
    assert lines[0] == "Dense(4): ok"
    assert lines[1].split("  ")[0] == "array"
    assert [line.split()[0] for line in lines[2:]] == ["dx", "grads['W']", "grads['b']"]
    assert "12 of 12" in lines[2]


@pytest.mark.parametrize("values", [[[1, -2], [3, 4]], np.array([1, 2], np.int8), 1.5])
def test_numbers_of_any_kind_are_cast(values):
    check_layer(Square(), values)


def test_float32_input_is_cast_and_untouched(x):
    small = x.astype(np.float32)
    small.flags.writeable = False
    check_layer(Square(), small)


@pytest.mark.parametrize(
    ("make", "arrays"),
    [
        (Dense, ["dx", "grads['W']", "grads['b']"]),
        (Attributes, ["dx", "dW", "grad_b"]),
        (Lists, ["dx", "grads[0]", "grads[1]"]),
    ],
)
def test_parameters_are_found(make, arrays, x):
    assert check_layer(make(), x).arrays == arrays


def test_a_parameter_without_a_gradient_is_an_error(x):
    class NoBias(Attributes):
        def backward(self, dy):
            dx = super().backward(dy)
            del self.grad_b
            return dx

    error = fails(NoBias(), x, "b moves the output, but no gradient of it was found")
    assert error.array == "b"
    result = check_layer(NoBias(), x, gradients={"b": None})
    assert result.arrays == ["dx", "dW"]
    assert "note: b: declared a constant, not checked" in repr(result)


def test_slots(x):
    class Slotted:
        __slots__ = ("W", "dW", "x")

        def __init__(self):
            self.W = np.ones((4, 2))

        def forward(self, x):
            self.x = x
            return x @ self.W

        def backward(self, dy):
            self.dW = self.x.T @ dy
            return dy @ self.W.T

    layer = Slotted()
    W = layer.W
    assert check_layer(layer, x).arrays == ["dx", "dW"]
    assert layer.W is W
    assert not hasattr(layer, "x")


def test_one_slot_given_as_a_string(x):
    class One:
        __slots__ = "mask"

        def forward(self, x):
            self.mask = x > 0
            return x * self.mask

        def backward(self, dy):
            return dy * self.mask

    check_layer(One(), x)


class Sum:
    def forward(self, x):
        return x[0] + 2 * x[1]

    def backward(self, dy):
        return dy, 2 * dy


def test_several_inputs(x):
    result = check_layer(Sum(), (x, x + 1))
    assert result.arrays == ["dx[0]", "dx[1]"]


def test_several_inputs_one_wrong(x):
    class Wrong(Sum):
        def backward(self, dy):
            return dy, dy

    with pytest.raises(GradientCheckError, match=r"dx\[1\] is wrong at 12 of 12") as caught:
        check_layer(Wrong(), (x, x + 1))
    assert caught.value.array == "dx[1]"
    assert [row.ok for row in caught.value.rows] == [True, False]


@pytest.mark.parametrize(("returned", "got"), [(lambda d: d, "ndarray"), (lambda d: (d,), "1")])
def test_several_inputs_need_as_many_gradients(returned, got, x):
    class Wrong(Sum):
        def backward(self, dy):
            return returned(dy)

    with pytest.raises(GradientCheckError, match=f"returned {got}, expected a tuple of 2 arrays"):
        check_layer(Wrong(), (x, x + 1))


def test_a_layer_made_of_layers(x):
    class Block:
        def __init__(self):
            self.steps = [Dense(4, 3), Square(), Dense(3, 2, seed=1)]

        @property
        def params(self):
            return {f"{i}": v for i, s in enumerate(self.steps) for v in getattr(s, "params", {})}

        def forward(self, x):
            for step in self.steps:
                x = step.forward(x)
            return x

        def backward(self, dy):
            for step in reversed(self.steps):
                dy = step.backward(dy)
            return dy

    block = Block()
    before = copy.deepcopy(block.steps[2].params)
    assert check_layer(block, x).arrays == [
        "dx",
        *(f"steps[{i}].grads['{key}']" for i in (0, 2) for key in "Wb"),
    ]
    same_arrays(block.steps[2].params, before)


def test_an_attribute_that_is_also_in_params(x):
    class Both(Dense):
        def __init__(self):
            super().__init__()
            self.W = self.params["W"]

        def forward(self, x, train=False):
            self.x = x
            return x @ self.W + self.params["b"]

    layer = Both()
    W = layer.W
    check_layer(layer, x)
    assert layer.W is layer.params["W"] is W


def test_parameters_that_cannot_be_replaced(x):
    class Fresh(Square):
        @property
        def params(self):
            return {"W": np.ones(2)}

    with pytest.raises(TypeError, match=r"expected params\['W'\] in a dict"):
        check_layer(Fresh(), x)


def test_train_is_passed_on_in_three_ways(x):
    class Train(Square):
        def forward(self, x, train=None):
            assert train is wanted
            return super().forward(x)

    class Training(Square):
        def forward(self, x, training=None):
            assert training is wanted
            return super().forward(x)

    class Keywords(Square):
        def forward(self, x, **options):
            assert options["train"] is wanted
            return super().forward(x)

    for make in (Train, Training, Keywords):
        for wanted in (True, False):
            check_layer(make(), x, train=wanted)


def test_a_method_without_signature():
    assert contents.flags(dict.update, True) in ({}, {"train": True})
    assert contents.flags(type("Odd", (), {"__call__": None, "__signature__": 3})(), True) == {}


def test_other_names_for_objects():
    assert contents.name_of(np.sum) == "sum"
    assert contents.name_of(Square()) == "Square"

    class Narrow(Dense):
        pass

    assert contents.name_of(Narrow()) == "Narrow (Dense(4))"


@pytest.mark.parametrize("generator", [None, "new", "old"])
def test_masks_stay(generator, x):
    made = {
        None: lambda: None,
        "new": lambda: np.random.default_rng(1),
        "old": lambda: np.random.RandomState(1),
    }[generator]()
    layer = Dropping(made)
    check_layer(layer, x)
    check_layer(layer, x, train=False)


def test_state_stays(x):
    class Running:
        """Uses its running mean in training as well, and updates it at each pass."""

        def __init__(self):
            self.state = {"mean": np.zeros(4, np.float32)}

        def forward(self, x):
            self.state["mean"] = 0.5 * self.state["mean"] + 0.5
            return x * (1 + self.state["mean"])

        def backward(self, dy):
            return dy * (1 + self.state["mean"])

    layer = Running()
    mean = layer.state["mean"]
    check_layer(layer, x)
    assert layer.state["mean"] is mean
    np.testing.assert_array_equal(mean, 0)


def test_the_same_seed_as_the_users_does_not_give_dy_equal_to_x():
    class Normalize:
        """Its dx vanishes if dy is a multiple of x."""

        def forward(self, x):
            self.x, self.norm = x, np.sqrt(np.sum(x * x))
            return x / self.norm

        def backward(self, dy):
            u = self.x / self.norm
            return (dy - u * np.sum(u * dy)) / self.norm

    x = np.random.default_rng(0).standard_normal((3, 4))
    result = check_layer(Normalize(), x, seed=0)
    assert result.max_abs_error < 1e-8
    layer = Normalize()
    layer.backward = lambda dy: np.zeros_like(dy)
    with pytest.raises(GradientCheckError, match="0 everywhere"):
        check_layer(layer, x, seed=0)


# -- what it leaves behind


def test_everything_is_restored(x):
    layer = Dense()
    layer.rng = np.random.default_rng(3)
    layer.state = {"mean": np.arange(3, dtype=np.float32)}
    layer.kept = (np.arange(4.0), [np.ones(2)])
    y = layer.forward(x.astype(np.float32))
    layer.backward(np.ones_like(y))
    arrays = {id(v): v for d in (layer.params, layer.grads, layer.state) for v in d.values()}
    before = copy.deepcopy(vars(layer))
    held = dict(vars(layer))
    given = x.copy()
    numpy_state, bits = np.random.get_state()[1].copy(), layer.rng.bit_generator.state  # noqa: NPY002
    check_layer(layer, given)
    np.testing.assert_array_equal(given, x)
    assert vars(layer).keys() == held.keys()
    for name, value in held.items():
        assert getattr(layer, name) is value
    for own in (layer.params, layer.grads, layer.state):
        assert all(id(value) in arrays for value in own.values())
    for name in ("params", "grads", "state"):
        same_arrays(getattr(layer, name), before[name])
    np.testing.assert_array_equal(layer.x, before["x"])
    assert layer.rng.bit_generator.state == bits
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    np.testing.assert_allclose(
        layer.backward_input(np.ones_like(y)), np.ones_like(y) @ layer.params["W"].T
    )


def test_restored_also_after_a_failure_and_after_an_exception(x):
    class Wrong(Dense):
        def backward_params(self, dy):
            super().backward_params(dy)
            self.grads["b"] = -self.grads["b"]

    layer = Wrong()
    before, arrays = copy.deepcopy(layer.params), dict(layer.params)
    with pytest.raises(GradientCheckError):
        check_layer(layer, x)
    assert all(layer.params[key] is arrays[key] for key in arrays)
    same_arrays(layer.params, before)
    assert layer.grads == {}
    with pytest.raises(ValueError, match="matmul"):
        check_layer(layer, x[:, :2])
    same_arrays(layer.params, before)


def test_arrays_and_lists_written_in_place_are_restored(x):
    class Counting(Square):
        def __init__(self):
            self.count = np.zeros(1, int)
            self.log = []
            self.fixed = np.zeros(1)
            self.fixed.flags.writeable = False

        def forward(self, x):
            self.count += 1
            self.log.append(1)
            return super().forward(x)

    layer = Counting()
    check_layer(layer, x)
    assert layer.count == 0
    assert layer.log == []
    assert not hasattr(layer, "x")


# -- side effects


def fails(layer, x, text, **options):
    with pytest.raises(GradientCheckError, match=text) as caught:
        check_layer(layer, x, **options)
    return caught.value


def test_forward_that_writes_into_x(x):
    class Bad(Square):
        def forward(self, x):
            y = super().forward(x.copy())
            x *= 0.5
            return y

    error = fails(Bad(), x, r"Bad: forward changed x in place \(first at \[0, 0\]")
    assert error.array == "x"


@pytest.mark.parametrize("victim", ["dy", "x", "y"])
def test_backward_that_writes_into_what_it_was_given(victim, x):
    class Bad(Square):
        def forward(self, x):
            self.y = super().forward(x)
            return self.y

        def backward(self, dy):
            dx = super().backward(dy)
            {"dy": dy, "x": self.x, "y": self.y}[victim][...] += 1
            return dx

    fails(Bad(), x, f"Bad: backward changed {victim}.* in place")


def test_backward_that_writes_its_result_into_dy(x):
    class InPlace(Square):
        def forward(self, x):
            self.mask = x <= 0
            y = x.copy()
            y[self.mask] = 0
            return y

        def backward(self, dy):
            dy[self.mask] = 0
            return dy

    class Wrong(InPlace):
        def backward(self, dy):
            dy[~self.mask] = 0
            return dy

    assert "writes dx into dy and returns it" in repr(check_layer(InPlace(), x))
    fails(Wrong(), x, "dx is wrong")


def test_backward_that_writes_into_what_forward_kept(x):
    class Bad(Square):
        def forward(self, x):
            self._kept = x.copy()
            return x**2

        def backward(self, dy):
            self._kept *= 2
            return self._kept * dy

    fails(Bad(), x, "backward changed in place what forward kept: .*; changed: _kept")


def test_a_scratch_buffer_is_no_offence(x):
    class Scratch(Square):
        def __init__(self):
            self.scratch = np.zeros((3, 4))

        def backward(self, dy):
            self.scratch[...] = 2 * self.x
            return self.scratch * dy

    check_layer(Scratch(), x)


def test_backward_that_runs_once_only(x):
    class Once(Square):
        def backward(self, dy):
            x, self.x = self.x, None
            return 2 * x * dy

    assert check_layer(Once(), x).notes == ("backward runs once for each forward (TypeError)",)


def test_buffers_that_are_used_again(x):
    class Out(Square):
        def __init__(self):
            self.buffer = np.zeros((3, 4))

        def forward(self, x):
            self.buffer[...] = super().forward(x)
            return self.buffer

    class Back(Square):
        def __init__(self):
            self.buffer = np.zeros((3, 4))
            self.calls = 0

        def backward(self, dy):
            self.buffer[...] = super().backward(dy)
            dx = self.buffer.copy() if self.calls else self.buffer
            if self.calls:
                self.buffer[...] = 0
            self.calls += 1
            return dx

    fails(Out(), x, "forward changed an earlier result: y is a buffer")
    fails(Back(), x, "backward changed an earlier result: dx is a buffer")


def test_randomness_out_of_reach(x):
    class Hidden(Square):
        def forward(self, x):
            return super().forward(x) + np.random.default_rng().random()

    fails(Hidden(), x, "forward is not deterministic")


def test_a_generator_that_the_methods_read_is_restored(x):
    rng = np.random.default_rng(0)

    class Noisy(Square):
        def forward(self, x):
            return super().forward(x) + rng.random()

    check_layer(Noisy(), x)
    assert rng.random() == np.random.default_rng(0).random()


def test_float32_and_other_outputs(x):
    class Small(Square):
        def forward(self, x):
            return super().forward(x).astype(np.float32)

    class Nothing(Square):
        def forward(self, x):
            super().forward(x)

    class Pair(Square):
        def forward(self, x):
            return super().forward(x), x

    class Infinite(Square):
        def forward(self, x):
            y = super().forward(x)
            y[1, 2] = np.inf
            return y

    fails(Small(), x, "forward returned float32 for x in float64")
    fails(Nothing(), x, "forward returned NoneType, expected one array: is a `return` missing")
    assert check_layer(Pair(), x).notes == ("y[1] was not checked: backward takes 1 gradient",)
    fails(Infinite(), x, r"forward returned inf at y\[1, 2\]")


def test_float32_inside_forward(x):
    class Rounded(Square):
        def forward(self, x):
            return super().forward(x).astype(np.float32).astype(np.float64)

    assert fails(Rounded(), x, "wrong").cause == (
        "forward rounds to float32 inside, too coarse for differences: compute in x's dtype, or "
        "check with dtype=np.float32"
    )


def test_float32_gradient_is_noted(x):
    class Small(Square):
        def backward(self, dy):
            return super().backward(dy).astype(np.float32)

    assert check_layer(Small(), x).notes == ("dx is float32 although x was float64",)


def test_backward_returns_nothing_or_too_much(x):
    class Nothing(Square):
        def backward(self, dy):
            super().backward(dy)

    class Three(Square):
        def backward(self, dy):
            return dy, dy, dy

    fails(Nothing(), x, "backward returned None, expected dx: is a `return` missing")
    fails(Three(), x, r"backward returned 3 arrays, expected dx alone .* self\.dW")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda dx: dx.T, r"dx has shape \(4, 3\), expected \(3, 4\) as x\n.*: transposed"),
        (lambda dx: dx.ravel(), r"shape \(12,\), .*\n.*a missing reshape to x's shape"),
        (lambda dx: dx.sum(axis=0), r"dx has shape \(4,\), expected \(3, 4\) as x$"),
        (lambda dx: np.where(np.arange(4) == 2, np.nan, dx), r"dx\[0, 2\] is nan, expected a fin"),
    ],
)
def test_shape_and_nan(change, text, x):
    class Bad(Square):
        def backward(self, dy):
            return change(super().backward(dy))

    fails(Bad(), x, text)


def test_missing_gradient(x):
    class Bad(Dense):
        def backward_params(self, dy):
            super().backward_params(dy)
            del self.grads["b"]

    assert fails(Bad(), x, r"backward left no grads\['b'\] for params\['b'\]").array == "grads['b']"

    class Nothing(Dense):
        def backward_params(self, dy):
            self.grads = None

    fails(Nothing(), x, r"backward left no grads\['W'\]")


def test_gradient_of_another_shape(x):
    class Bad(Dense):
        def backward_params(self, dy):
            super().backward_params(dy)
            self.grads["b"] = dy.sum(axis=0, keepdims=True)

    fails(Bad(), x, r"grads\['b'\] has shape \(1, 2\), expected \(2,\) as params\['b'\]\n.*reshape")


def test_accumulating(x):
    class Adding(Attributes):
        def __init__(self):
            super().__init__()
            self.dW, self.db = np.ones((4, 2)), np.ones(2)

        def backward(self, dy):
            dy = dy * self.scale
            self.dW += self.x.T @ dy
            self.db += dy.sum(axis=0)
            return dy @ self.W.T

    class Declared(Adding):
        def zero_grad(self):
            """Declare that gradients are added up."""

    fails(Adding(), x, "dW differs when backward runs twice: it is added up")
    layer = Declared()
    check_layer(layer, x)
    np.testing.assert_array_equal(layer.dW, 1)


def test_parameter_gradient_that_changes_otherwise(x):
    class Bad(Dense):
        calls = 0

        def backward_params(self, dy):
            self.calls += 1
            super().backward_params(dy * self.calls**2)

    fails(Bad(), x, r"grads\['W'\] differs when backward runs twice: backward changed")


def test_update_inside_backward(x):
    class Bad(Attributes):
        def backward(self, dy):
            dx = super().backward(dy)
            self.W -= 0.1 * self.dW
            return dx

    class Rebinding(Dense):
        def backward_params(self, dy):
            super().backward_params(dy)
            self.params["W"] = self.params["W"] - 0.1 * self.grads["W"]

    fails(Bad(), x, r"backward changed W in place .*leave the update to the optimizer")
    fails(Rebinding(), x, r"the passes replaced params\['W'\] by another array")


def test_halves_that_differ_from_the_whole(x):
    class Params(Dense):
        def backward(self, dy):
            self.grads = {"W": self.x.T @ dy, "b": dy.sum(axis=0)}
            return self.backward_input(dy)

        def backward_params(self, dy):
            self.grads = {"W": self.x.T @ dy, "b": dy.mean(axis=0)}

    class Input(Dense):
        def backward(self, dy):
            self.backward_params(dy)
            return dy @ self.params["W"].T

        def backward_input(self, dy):
            return dy @ self.params["W"].T * 2

    class Own(Dense):
        def backward_input(self, dy, weight=None):
            return super().backward_input(dy, weight) * (1 if weight is None else 2)

    class Other(Dense):
        def backward_input(self, dy, weight=None):
            return super().backward_input(dy)

    class Shape(Dense):
        def backward_input(self, dy, weight=None):
            dx = super().backward_input(dy, weight)
            return dx if weight is None else dx.T

    fails(Params(), x, r"backward_params\(dy\) gives another grads\['b'\] than backward\(dy\)")
    fails(Input(), x, r"backward_input\(dy\) gives another dx than backward\(dy\)")
    fails(Own(), x, r"backward_input\(dy, weight=W\) gives another dx")
    fails(Shape(), x, r"backward_input\(dy, weight=W\) gives another dx")
    fails(Other(), x, r"backward_input\(dy, weight=B\) gives another dx than a layer whose W is B")


class Gated(Layer):
    """y = a s, with a = x W and s = sigmoid(a): dx depends on W in what forward kept as well."""

    def __init__(self):
        super().__init__()
        self.params["W"] = np.random.default_rng(0).normal(size=(4, 3))

    def forward(self, x, train=False):
        a = x @ self.params["W"]
        self.keep(x, a, 1 / (1 + np.exp(-a)))
        return a / (1 + np.exp(-a))

    def slope(self, dy):
        _, a, s = self.recall()
        return dy * s * (1 + a * (1 - s))

    def backward_params(self, dy):
        self.grads["W"] = self.recall()[0].T @ self.slope(dy)

    def backward_input(self, dy, weight=None):
        return self.slope(dy) @ (self.params["W"] if weight is None else weight).T


def test_another_weight_in_a_layer_that_is_not_linear(x):
    class Deaf(Gated):
        def backward_input(self, dy, weight=None):
            return super().backward_input(dy)

    check_layer(Gated(), x)
    fails(Deaf(), x, r"backward_input\(dy, weight=B\) gives what W itself does")


# -- at another place, and a step later


def test_a_gradient_that_is_a_view_of_dy(x):
    class Bad(Attributes):
        def backward(self, dy):
            dx = super().backward(dy)
            self.grad_b = dy[0]
            return dx

    fails(Bad(), x[:1], "grad_b is a view of dy: it changes when dy is written to")


class Kept(Square):
    """Keeps the first x for all later backward passes."""

    x = None

    def forward(self, x):
        self.x = x if self.x is None else self.x
        return x**2


def test_what_an_earlier_forward_kept(x):
    fails(
        Kept(), x, r"dx is right at first, but wrong at another x, as at \[\d, \d\]: backward uses"
    )


def test_what_outlives_a_change_of_the_parameters(x):
    class Copied(Dense):
        copy = None

        def backward_input(self, dy, weight=None):
            if self.copy is None:
                self.copy = self.params["W"].T.copy()
            return dy @ (self.copy if weight is None else weight.T)

    class Viewed(Copied):
        """Follows a change in place, not another array."""

        def backward_input(self, dy, weight=None):
            if self.copy is None:
                self.copy = self.params["W"].T
            return super().backward_input(dy, weight)

    class ByIdentity(Dense):
        """Follows another array, not a change in place."""

        source = None

        def backward_input(self, dy, weight=None):
            if self.source is not self.params["W"]:
                self.source = self.params["W"]
                self.copy = self.source.T.copy()
            return dy @ (self.copy if weight is None else weight.T)

    other = "dx is right at first, but wrong after the parameters were replaced by other arrays"
    fails(Copied(), x, other)
    fails(Viewed(), x, other)
    fails(
        ByIdentity(), x, "dx is right at first, but wrong after the parameters were changed in pl"
    )


def test_forward_that_depends_on_an_earlier_call(x):
    class Mixed(Square):
        last = 0.0

        def forward(self, x):
            y = super().forward(x) + 0.1 * self.last
            self.last = x.mean()
            return y

    class First(Square):
        last = None

        def forward(self, x):
            y = super().forward(x)
            y = y if self.last is None else 0.9 * y + 0.1 * self.last
            self.last = y
            return y

    fails(Mixed(), x, "forward is not deterministic")
    fails(First(), x, "forward depends on an earlier call: the same x gives another y after a diff")


def test_a_backward_that_draws(x):
    class Drawing(Square):
        def __init__(self):
            self.rng = np.random.default_rng(0)

        def backward(self, dy):
            return super().backward(dy) * self.rng.random(dy.shape)

    fails(Drawing(), x, "backward gives another dx when it is run twice: does it draw")


def test_gradients_that_zero_grad_clears(x):
    class Summing(Attributes):
        def __init__(self):
            super().__init__()
            self.zero_grad()

        def zero_grad(self):
            self.dW, self.db = np.zeros((4, 2)), np.zeros(2)

        def backward(self, dy):
            dy = dy * self.scale
            self.dW += self.x.T @ dy
            self.db += dy.sum(axis=0)
            return dy @ self.W.T

    check_layer(Summing(), x)


# -- kinks


class ReLU:
    def forward(self, x):
        self.x = x
        return np.maximum(x, 0)

    def backward(self, dy):
        return dy * (self.x > 0)


def test_a_kink_is_no_wrong_gradient(x):
    x[1, 2] = 0
    error = fails(ReLU(), x, r"dx cannot be checked: x\[1, 2\] = 0 sits on a kink or a tie")
    assert error.index == (1, 2)
    assert "strategies.inputs" in str(error)
    x[2, 3] = 0
    fails(ReLU(), x, "and so do 1 more")


def test_kinks_can_be_left_out(x):
    x[1, 2] = 0
    row = check_layer(ReLU(), x, skip_kinks=True).rows[0]
    assert (row.kinks, row.checked, row.size) == (1, 11, 12)
    assert "1 on kinks" in repr(check_layer(ReLU(), x, skip_kinks=True))


def test_beside_a_kink_a_smaller_step_decides(x):
    x[0, 0], x[0, 1] = 4e-7, -4e-7
    assert check_layer(ReLU(), x).rows[0].kinks == 0
    assert check_layer(ReLU(), x).max_abs_error < 1e-7


def test_a_wrong_gradient_is_blamed_in_spite_of_a_kink(x):
    class Wrong(ReLU):
        def backward(self, dy):
            return 3 * super().backward(dy)

    x[0, 0] = 0
    error = fails(Wrong(), x, "is wrong")
    assert "1 on kinks" in str(error)


def test_a_steep_curve_is_no_kink():
    class Steep(Square):
        def forward(self, x):
            self.x = x
            return 1e6 * x**2

        def backward(self, dy):
            return 1e6 * self.x * dy

    fails(Steep(), np.array([1.0, 2.0]), "analytic = 1/2 x numeric everywhere")


# -- large arrays


def test_large_arrays_are_sampled(rng):
    x = rng.standard_normal((40, 50))
    row = check_layer(Square(), x).rows[0]
    assert (row.checked, row.size) == (500, 2000)
    assert check_layer(Square(), x, entries=30).rows[0].checked == 30


def test_one_wrong_entry_among_many_is_found(rng):
    class Wrong(Square):
        def backward(self, dy):
            dx = super().backward(dy)
            dx[17, 33] *= 1.5
            return dx

    x = rng.standard_normal((60, 50))
    error = fails(Wrong(), x, r"worst at dx\[17, 33\]", entries=20)
    assert error.index == (17, 33)


def test_very_large_arrays_take_few_entries(rng):
    x = rng.standard_normal((1000, 500))
    assert check_layer(Square(), x).rows[0].checked == 20


def test_a_direction_across_kinks_is_no_error(rng):
    x = rng.standard_normal((60, 50))
    x.flat[:2500] = 0
    row = check_layer(ReLU(), x, entries=20, skip_kinks=True).rows[0]
    assert row.ok
    assert row.kinks > 0


def test_a_direction_through_one_kink_is_no_error(rng):
    x = rng.standard_normal((60, 50))
    x[17, 33] = 0
    row = check_layer(ReLU(), x, entries=12).rows[0]
    assert (row.ok, row.kinks) == (True, 0)


def test_a_direction_that_disagrees_alone(rng, monkeypatch):
    monkeypatch.setattr(differences.Probe, "locate", lambda self, u: None)

    class Wrong(Square):
        def backward(self, dy):
            dx = super().backward(dy)
            dx[17, 33] += 10
            return dx

    error = fails(Wrong(), rng.standard_normal((60, 50)), "raise entries=", entries=20)
    assert error.index is None


# -- wrong calls


def test_what_is_no_layer(x):
    with pytest.raises(TypeError, match="got the class Square: call it"):
        check_layer(Square, x)
    with pytest.raises(TypeError, match=r"expected an object with forward\(x\) .*got builtin"):
        check_layer(len, x)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (np.ones(2, complex), TypeError, "x: expected an array of real numbers, got dtype complex"),
        (np.array([None]), TypeError, "got dtype object"),
        (np.zeros((0, 3)), ValueError, r"x: expected at least one entry, got shape \(0, 3\)"),
        (np.array([1.0, np.nan]), ValueError, r"x: expected finite numbers, got nan at \[1\]"),
        ((np.ones(2), np.array([np.inf])), ValueError, r"x\[1\]: expected finite numbers, got inf"),
    ],
)
def test_what_is_no_input(value, error, text):
    with pytest.raises(error, match=text):
        check_layer(Square(), value)


@pytest.mark.parametrize("name", ["eps", "rtol", "atol", "entries"])
def test_numbers_out_of_range(name, x):
    with pytest.raises(ValueError, match=f"check_layer: expected {name} (in|of at least) .*got 0"):
        check_layer(Square(), x, **{name: 0})
    with pytest.raises(TypeError, match=f"check_layer: expected {name} .* got '1'"):
        check_layer(Square(), x, **{name: "1"})


def test_entries_are_counted(x):
    with pytest.raises(TypeError, match="check_layer: expected entries as an integer, got 2.5"):
        check_layer(Square(), x, entries=2.5)
