"""BatchNorm: statistics of the batch in training, running ones otherwise."""

from __future__ import annotations

import re

import numpy as np
import pytest

import elunet as eln
from elunet.layers import BatchNorm

SHAPES = pytest.mark.parametrize("shape", [(6, 3), (2, 4, 5, 3)])
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def data(shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(5, 3, size=shape).astype(dtype)


@SHAPES
@DTYPES
def test_training_normalizes_the_batch(shape, dtype):
    layer = BatchNorm(3)
    layer.params["gamma"] = np.array([1.0, 2.0, 3.0])
    layer.params["beta"] = np.array([0.0, -1.0, 5.0])
    rows = layer.forward(data(shape, dtype), train=True).reshape(-1, 3)
    np.testing.assert_allclose(rows.mean(axis=0), [0, -1, 5], atol=1e-5)
    np.testing.assert_allclose(rows.std(axis=0), [1, 2, 3], rtol=1e-4)


@SHAPES
def test_running_statistics(shape):
    """r <- (1 - momentum) r + momentum new, with the unbiased variance."""
    layer = BatchNorm(3, momentum=0.3)
    mean, var = np.zeros(3), np.ones(3)
    for seed in range(3):
        x = data(shape, seed=seed)
        layer.forward(x, train=True)
        rows = x.reshape(-1, 3)
        mean = 0.7 * mean + 0.3 * rows.mean(axis=0)
        var = 0.7 * var + 0.3 * rows.var(axis=0, ddof=1)
        np.testing.assert_allclose(layer.state["running_mean"], mean, rtol=1e-12)
        np.testing.assert_allclose(layer.state["running_var"], var, rtol=1e-12)
    y = layer.forward(x)
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(layer.state["running_mean"], mean, rtol=1e-12)  # left alone


@SHAPES
def test_backward_outside_training_is_a_plain_scale(shape):
    layer = BatchNorm(3)
    layer.params["gamma"] = np.array([1.0, 2.0, 3.0])
    layer.state["running_var"] = np.array([4.0, 9.0, 16.0])
    x, dy = data(shape), data(shape, seed=1)
    layer.forward(x)
    expected = dy * layer.params["gamma"] / np.sqrt(layer.state["running_var"] + 1e-5)
    np.testing.assert_allclose(layer.backward(dy), expected, rtol=1e-12)
    x_hat = x / np.sqrt(layer.state["running_var"] + 1e-5)
    np.testing.assert_allclose(layer.grads["gamma"], (dy * x_hat).reshape(-1, 3).sum(axis=0))
    np.testing.assert_allclose(layer.grads["beta"], dy.reshape(-1, 3).sum(axis=0))


@SHAPES
def test_training_gradient_sums_to_zero(shape):
    """Neither a shift nor a scale of x changes y: dx is orthogonal to both."""
    layer = BatchNorm(3, eps=1e-12)
    x = data(shape)
    layer.forward(x, train=True)
    dx = layer.backward(data(shape, seed=1)).reshape(-1, 3)
    np.testing.assert_allclose(dx.sum(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose((dx * x.reshape(-1, 3)).sum(axis=0), 0, atol=1e-10)


def test_a_mean_far_from_zero_costs_no_digits():
    x = np.random.default_rng(0).normal(1e4, 1, size=(1000, 2)).astype(np.float32)
    layer = BatchNorm(2, momentum=1.0)
    layer.forward(x, train=True)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(layer.state["running_mean"], wide.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(layer.state["running_var"], wide.var(axis=0, ddof=1), rtol=1e-10)


def test_numbers_far_from_zero_keep_their_digits():
    """float32 may hold 5e-4 too much or too little of a mean near 1e4."""
    rng = np.random.default_rng(0)
    x = (1e4 + rng.integers(-2, 3, size=(1000, 2))).astype(np.float32)
    wide = x.astype(np.float64)
    y = BatchNorm(2).forward(x, train=True)
    expected = (wide - wide.mean(axis=0)) / np.sqrt(wide.var(axis=0) + 1e-5)
    np.testing.assert_allclose(y, expected, rtol=5e-7, atol=5e-7)


def test_the_gradient_of_a_constant_channel_has_mean_zero():
    """There 1 / sqrt(var + eps) is large, and enlarges whatever rounding leaves."""
    layer = BatchNorm(3, eps=1e-10)
    x = np.broadcast_to(np.array([0.1, 0.0, 7e5], np.float32), (1000, 3))
    layer.forward(x, train=True)
    dy = np.random.default_rng(0).normal(100, 1, size=x.shape).astype(np.float32)
    dx = layer.backward_input(dy).astype(np.float64)
    wide = dy.astype(np.float64)
    expected = 1e5 * (wide - wide.mean(axis=0))
    np.testing.assert_allclose(dx, expected, rtol=1e-6, atol=1e-6)
    assert np.abs(dx.mean(axis=0)).max() < np.abs(dx).max() * np.finfo(np.float32).eps


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("train", [True, False])
def test_nobody_shares_an_array(affine, train):
    """Neither x, y nor dy is kept, and no two of what is handed out are one."""
    layer = BatchNorm(3, affine=affine)
    x, dy = data((8, 3)), data((8, 3), seed=1)
    x_before, dy_before = x.copy(), dy.copy()
    y = layer.forward(x, train)
    dx = layer.backward(dy)
    again = layer.backward(dy)
    for one, other in [(x, y), (y, dx), (dy, dx), (dx, again)]:
        assert not np.shares_memory(one, other)
    np.testing.assert_array_equal(x, x_before)
    np.testing.assert_array_equal(dy, dy_before)
    x[...], y[...], dx[...] = np.nan, np.nan, np.nan
    np.testing.assert_array_equal(layer.backward(dy), again)


@pytest.mark.parametrize("train", [True, False])
def test_other_strides_give_the_same(train):
    x, dy = data((2, 4, 5, 3)), data((2, 4, 5, 3), seed=1)
    turned = [np.ascontiguousarray(a.transpose(3, 0, 1, 2)).transpose(1, 2, 3, 0) for a in (x, dy)]
    one, other = BatchNorm(3), BatchNorm(3)
    other.params["gamma"] = np.ones(6, np.float32)[::2]
    np.testing.assert_array_equal(other.forward(turned[0], train), one.forward(x, train))
    np.testing.assert_array_equal(other.backward(turned[1]), one.backward(dy))


def test_running_averages_of_another_kind():
    """Whoever puts other arrays there: their numbers count, and their shape is checked."""
    x = data((6, 3))
    one, other = BatchNorm(3), BatchNorm(3)
    one.state.update(running_mean=np.array([1.0, 2.0, 3.0]), running_var=np.array([4.0, 4.0, 4.0]))
    strided = np.arange(1, 7, dtype=np.float32).repeat(2)[::2][:3]
    other.state.update(running_mean=strided, running_var=np.float64(4.0))
    np.testing.assert_array_equal(other.forward(x), one.forward(x))
    other.state["running_mean"] = np.ones(5)
    with pytest.raises(ValueError, match="shape"):
        other.forward(x)


def test_a_constant_channel():
    layer = BatchNorm(1)
    y = layer.forward(np.full((5, 1), 3.0), train=True)
    np.testing.assert_array_equal(y, 0)
    assert np.isfinite(layer.backward(np.arange(5.0).reshape(5, 1))).all()


def test_one_value_per_channel_is_not_enough():
    message = (
        "BatchNorm(3): expected x with at least 2 values per channel in training, got shape (1, 3)"
    )
    layer = BatchNorm(3)
    with pytest.raises(ValueError, match=re.escape(message)):
        layer.forward(np.ones((1, 3)), train=True)
    np.testing.assert_array_equal(layer.state["running_mean"], 0)
    layer.forward(np.ones((1, 3)))


@pytest.mark.parametrize("shape", [(3,), (4, 2), (4, 3, 5)])
def test_wrong_shapes(shape):
    message = f"BatchNorm(3): expected x of shape (N, ..., 3), got {shape}"
    with pytest.raises(ValueError, match=re.escape(message)):
        BatchNorm(3).forward(np.ones(shape))


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"channels": 0}, ValueError, "channels of at least 1, got 0"),
        ({"channels": 2.0}, TypeError, "channels as an integer, got 2.0"),
        ({"momentum": 0.0}, ValueError, "momentum in (0, 1], got 0.0"),
        ({"momentum": 1.1}, ValueError, "momentum in (0, 1], got 1.1"),
        ({"momentum": np.nan}, ValueError, "momentum in (0, 1], got nan"),
        ({"momentum": "x"}, TypeError, "momentum to be a number in (0, 1], got 'x'"),
        ({"eps": 0.0}, ValueError, "eps in (0, inf), got 0.0"),
        ({"eps": np.inf}, ValueError, "eps in (0, inf), got inf"),
    ],
)
def test_bad_arguments(arguments, kind, message):
    with pytest.raises(kind, match=f"^BatchNorm: expected {re.escape(message)}$"):
        BatchNorm(**({"channels": 3} | arguments))


def test_without_momentum_averages_are_means():
    layer = BatchNorm(2, momentum=None)
    batches = np.random.default_rng(0).normal(size=(5, 6, 2))
    for batch in batches:
        layer.forward(batch, train=True)
    np.testing.assert_allclose(layer.state["running_mean"], batches.mean(axis=(0, 1)), rtol=1e-12)
    variances = batches.var(axis=1, ddof=1).mean(axis=0)
    np.testing.assert_allclose(layer.state["running_var"], variances, rtol=1e-12)
    assert layer.state["batches"] == 5
    with pytest.raises(ValueError, match="at least 2 values"):
        layer.forward(batches[0, :1], train=True)
    assert layer.state["batches"] == 5


def test_without_parameters():
    layer, full = BatchNorm(3, affine=False), BatchNorm(3)
    assert layer.params == {}
    x, dy = np.random.default_rng(0).normal(size=(2, 8, 3))
    for train in (True, False):
        np.testing.assert_array_equal(layer.forward(x, train), full.forward(x, train))
        np.testing.assert_array_equal(layer.backward(dy), full.backward(dy))
    assert layer.grads == {}


def test_number_of_batches_is_saved(tmp_path):
    def make():
        return eln.Sequential([eln.layers.Linear(3, 2), BatchNorm(2, momentum=None)], seed=0)

    net, other = make(), make()
    for _ in range(3):
        net.forward(np.random.default_rng(0).normal(size=(4, 3)), train=True)
    eln.save(net, tmp_path / "net.safetensors")
    eln.load(other, tmp_path / "net.safetensors")
    assert other["batchnorm1"].state["batches"] == 3
