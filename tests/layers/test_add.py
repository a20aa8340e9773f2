"""Add: the sum of a tuple, and a tuple of gradients."""

from __future__ import annotations

import re

import numpy as np
import pytest

from elunet.layers import Add


@pytest.mark.parametrize("count", [1, 2, 4])
def test_sum_and_gradients(count):
    xs = tuple(np.full((2, 3), 10.0**k) for k in range(count))
    layer = Add()
    np.testing.assert_array_equal(layer.forward(xs), sum(xs))
    dy = np.arange(6.0).reshape(2, 3)
    dx = layer.backward(dy)
    assert isinstance(dx, tuple)
    assert len(dx) == count
    for one in dx:
        np.testing.assert_array_equal(one, dy)
    for k, x in enumerate(xs):
        np.testing.assert_array_equal(x, 10.0**k)


@pytest.mark.parametrize("x", [np.ones(3), [np.ones(3)], (), None])
def test_it_takes_a_tuple(x):
    message = f"Add(): expected x as a tuple of arrays, got {type(x).__name__}"
    with pytest.raises(TypeError, match=re.escape(message)):
        Add().forward(x)


@pytest.mark.parametrize(
    ("second", "got"),
    [
        (np.ones((2, 4)), ", or with axes of size 1, got float64 of shape (2, 4)"),
        (np.ones((1, 3)), ", or with axes of size 1, got float64 of shape (1, 3)"),
        (np.ones(3), ", or with axes of size 1, got float64 of shape (3,)"),
        (np.ones((2, 3), np.float32), ", got float32 of shape (2, 3)"),
    ],
)
def test_all_are_alike(second, got):
    message = f"Add(): expected x[1] like x[0], float64 of shape (2, 3){got}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Add().forward((np.ones((2, 3)), second))


def test_each_is_a_float_array():
    with pytest.raises(
        TypeError, match=re.escape("Add(): expected x[1] of dtype float32 or float64")
    ):
        Add().forward((np.ones(3), np.ones(3, int)))
