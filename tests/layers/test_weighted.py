"""Conv2D and Linear: where weights come from, and what may stand in for them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from elunet import init
from elunet.layers import BatchNorm, Conv2D, Linear

CASES = pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda **more: Linear(4, 3, **more), (5, 4)),
        (lambda **more: Conv2D(2, 3, 3, **more), (2, 5, 4, 2)),
        (lambda **more: Conv2D(2, 3, (2, 1), 2, "valid", **more), (2, 5, 4, 2)),
        (lambda **more: Conv2D(2, 3, 1, **more), (2, 5, 4, 2)),
    ],
    ids=["linear", "conv", "conv-valid", "conv-1x1"],
)


def data(layer, shape, dtype=np.float64):
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape).astype(dtype)
    return x, rng.normal(size=layer.forward(x).shape).astype(dtype)


@CASES
def test_a_weight_that_stands_in(make, shape):
    """It is used on the way back only, as if W had been this one."""
    layer, other = make(seed=0), make(seed=1)
    x, dy = data(layer, shape)
    other.forward(x)
    B = other.params["W"]
    np.testing.assert_array_equal(layer.backward_input(dy, weight=B), other.backward_input(dy))
    np.testing.assert_array_equal(
        layer.backward_input(dy, weight=B.astype(np.float64)), other.backward_input(dy)
    )
    np.testing.assert_array_equal(
        layer.backward_input(dy, weight=np.asfortranarray(B)), other.backward_input(dy)
    )
    np.testing.assert_array_equal(
        layer.backward_input(dy, weight=layer.params["W"]), layer.backward_input(dy)
    )
    layer.backward_params(dy)
    other.backward_params(dy)
    np.testing.assert_array_equal(layer.grads["W"], other.grads["W"])  # it does not depend on W


@CASES
@pytest.mark.parametrize(
    ("spoil", "got"),
    [
        (lambda W: W.T.copy(), "float32 of shape"),
        (lambda W: W[..., :1], "float32 of shape"),
        (lambda W: W.astype(np.int64), "int64 of shape"),
        (lambda W: 1.0, "1.0 (float)"),
    ],
)
def test_a_bad_weight_names_the_layer(make, shape, spoil, got):
    layer = make()
    _, dy = data(layer, shape)
    message = f"{layer!r}: expected weight as a float array of W's shape {layer.shape}, got {got}"
    with pytest.raises(ValueError, match=re.escape(message)):
        layer.backward_input(dy, weight=spoil(layer.params["W"]))


@CASES
def test_an_assigned_parameter_counts_from_the_next_forward(make, shape):
    layer, other = make(seed=0), make(seed=1)
    x, dy = data(layer, shape)
    before = layer.backward(dy)
    assigned = other.params["W"].astype(np.float64)
    layer.params["W"] = assigned
    np.testing.assert_array_equal(layer.backward(dy), before)  # that pass went through the old one
    np.testing.assert_array_equal(layer.forward(x), other.forward(x))
    np.testing.assert_array_equal(layer.backward(dy), other.backward(dy))
    assert layer.params["W"] is assigned
    y = layer.forward(x.astype(np.float32))
    assert y.dtype == np.float32
    layer.params["W"] = np.asfortranarray(assigned.astype(np.float16))
    expected = layer.params["W"].astype(np.float32)
    other.params["W"] = expected
    np.testing.assert_array_equal(layer.forward(x), other.forward(x))


@CASES
def test_a_parameter_changed_in_place_counts_from_the_next_forward(make, shape):
    layer = make(seed=0)
    x, _ = data(layer, shape)
    y = layer.forward(x)
    layer.params["W"] *= 2
    np.testing.assert_allclose(layer.forward(x), 2 * y, rtol=1e-12)  # the bias is 0


@CASES
@pytest.mark.parametrize("name", ["W", "b"])
@pytest.mark.parametrize(
    ("value", "got"),
    [
        (np.ones((2, 7), np.float32), "float32 of shape (2, 7)"),
        ([1.0, 2.0], "[1.0, 2.0] (list)"),
        (None, "None (NoneType)"),
    ],
)
def test_a_parameter_of_the_wrong_shape(make, shape, name, value, got):
    layer = make()
    expected = layer.params[name].shape
    layer.params[name] = value
    message = (
        f'{layer!r}: expected params["{name}"] as a float array of shape {expected}, got {got}'
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        layer.forward(np.ones(shape))


@CASES
def test_a_parameter_of_integers(make, shape):
    layer = make()
    layer.params["W"] = np.ones(layer.shape, np.int64)
    with pytest.raises(ValueError, match=r'expected params\["W"\] as a float array .* got int64'):
        layer.forward(np.ones(shape))


@CASES
def test_initial_weights(make, shape):
    layer = make(seed=3)
    drawn = init.He()(np.random.default_rng(3), layer.shape)
    np.testing.assert_array_equal(layer.params["W"], drawn.astype(np.float32))
    np.testing.assert_array_equal(layer.params["b"], np.zeros(3, np.float32))
    assert [value.dtype for value in layer.params.values()] == [np.float32, np.float32]
    constant = make(init=init.Constant(0.5), bias=False)
    np.testing.assert_array_equal(constant.params["W"], np.full(layer.shape, 0.5, np.float32))
    assert constant.params.keys() == {"W"}
    from_generator = make(seed=np.random.default_rng(3))
    np.testing.assert_array_equal(from_generator.params["W"], layer.params["W"])
    assert (make().params["W"] != make().params["W"]).any()


def test_reset_sets_the_bias_to_zero():
    layer = Linear(2, 2, seed=0)
    first = layer.params["W"].copy()
    layer.params["b"] += 1
    layer.reset(0)
    np.testing.assert_array_equal(layer.params["W"], first)
    np.testing.assert_array_equal(layer.params["b"], 0)


def test_grads_are_filled_in_the_same_array():
    layer = Linear(2, 2, seed=0)
    x = np.ones((3, 2), np.float32)
    layer.backward(layer.forward(x))
    W = layer.grads["W"]
    layer.backward(layer.forward(x) * 2)
    assert layer.grads["W"] is W
    layer.forward(x.astype(np.float64))
    layer.backward(np.ones((3, 2)))
    assert layer.grads["W"].dtype == np.float64


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((0, 3), ValueError, "Linear: expected in_features of at least 1, got 0"),
        ((3, -1), ValueError, "Linear: expected out_features of at least 1, got -1"),
        ((3.0, 3), TypeError, "Linear: expected in_features as an integer, got 3.0"),
        ((3, True), TypeError, "Linear: expected out_features as an integer, got True"),
    ],
)
def test_bad_arguments_of_linear(arguments, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        Linear(*arguments)


def test_linear_is_the_formula():
    layer = Linear(4, 3, seed=0)
    layer.params["b"] = np.arange(3.0)
    x, dy = data(layer, (5, 4))
    W, b = layer.params["W"].astype(np.float64), layer.params["b"]
    np.testing.assert_allclose(layer.forward(x), x @ W + b, rtol=1e-13)
    np.testing.assert_allclose(layer.backward(dy), dy @ W.T, rtol=1e-13)
    np.testing.assert_allclose(layer.grads["W"], x.T @ dy, rtol=1e-13)
    np.testing.assert_allclose(layer.grads["b"], dy.sum(axis=0), rtol=1e-13)


def test_linear_wants_rows():
    with pytest.raises(
        ValueError, match=re.escape("Linear(4->3): expected x of shape (N, 4), got")
    ):
        Linear(4, 3).forward(np.ones((2, 2, 4)))
    with pytest.raises(
        ValueError, match=re.escape("Linear(4->3): expected x of shape (N, 4), got")
    ):
        Linear(4, 3).forward(np.ones((2, 5)))


def test_an_empty_batch_has_zero_gradients(monkeypatch):
    """Even where the memory that they are put into was full of other numbers."""
    from elunet.engine import sums
    from elunet.layers import _winograd, spans

    for module in (sums, _winograd, spans):
        monkeypatch.setattr(module, "empty", lambda shape, dtype: np.full(shape, np.nan, dtype))
    for layer, shape in (
        (Linear(4, 3), (0, 4)),
        (Conv2D(2, 3, 3), (0, 5, 4, 2)),
        (Conv2D(2, 3, 3, algorithm="winograd"), (0, 5, 4, 2)),
    ):
        layer.grads["W"] = np.full_like(layer.params["W"], np.nan)
        dx = layer.backward(layer.forward(np.ones(shape, np.float32)))
        assert dx.shape == shape
        for value in layer.grads.values():
            np.testing.assert_array_equal(value, 0)


def test_parameters_of_batch_norm_are_checked_too():
    layer = BatchNorm(3)
    layer.params["gamma"] = np.ones(2)
    with pytest.raises(ValueError, match=r'BatchNorm\(3\): expected params\["gamma"\] as a float'):
        layer.forward(np.ones((2, 3)))


@pytest.mark.parametrize("wrong", ["he", 3, init.He])
def test_what_cannot_draw(wrong):
    message = "Linear(2->3): expected init as a callable init(rng, shape), such as eln.init.He()"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}"):
        Linear(2, 3, init=wrong)


def test_an_init_of_another_shape():
    message = "Conv2D(2->3, 1x1): expected init to give an array of shape (1, 1, 2, 3), got "
    for drawn in (np.ones((2, 3)), 1.0):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            Conv2D(2, 3, 1, init=lambda rng, shape, drawn=drawn: drawn)
