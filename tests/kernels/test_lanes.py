"""Vectors against NumPy's arrays, in compiled code and, with the JIT off, as their twins."""

from __future__ import annotations

import numpy as np
import pytest

from elunet.kernels._jit import jit
from elunet.kernels.lanes import LANES, below, fill, load, store, where

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int32])
REAL = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@jit
def move(source, i, target, j, inside):
    store(target, j, load(source, i, inside), inside)


@jit
def calculate(a, b, sums, products, larger):
    x, y = load(a, 0, True), load(b, 0, True)
    store(sums, 0, x + y, True)
    store(products, 0, x * y, True)
    store(larger, 0, where((x > y) | (x != x), x, y), True)


@jit
def mark(x, number, count, target):
    same = load(x, 0, True) == fill(number)
    store(target, 0, where(same, fill(number), load(target, 0, True)), True)
    store(target, LANES, where(below(count), load(x, 0, True), fill(number)), True)


@DTYPES
def test_what_is_moved(dtype):
    source, target = np.arange(1, 3 * LANES, dtype=dtype), np.zeros(3 * LANES, dtype)
    expected = target.copy()
    expected[7 : 7 + LANES] = source[5 : 5 + LANES]
    for inside in (False, True):
        target[:] = 0
        move(source, 5, target, 7, inside)
        np.testing.assert_array_equal(target, expected)


@DTYPES
@pytest.mark.parametrize("count", [0, 1, 3, LANES - 1])
def test_beyond_the_end_nothing_is_read_or_written(dtype, count):
    memory, target = np.full(4 * LANES, 9, dtype), np.full(LANES, 5, dtype)
    source = memory[: LANES + count]
    move(source, LANES, target, 0, False)
    np.testing.assert_array_equal(target, [9] * count + [0] * (LANES - count))
    move(np.full(LANES, 7, dtype), 0, source, LANES, False)
    expected = [9] * LANES + [7] * count + [9] * (3 * LANES - count)
    np.testing.assert_array_equal(memory, expected)
    move(source, LANES + count + 2, target, 0, False)
    np.testing.assert_array_equal(target, 0)
    move(target, 0, source, LANES + count + 2, False)
    np.testing.assert_array_equal(memory, expected)


@REAL
def test_operators(dtype):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, LANES)).astype(dtype)
    a[:3], b[1:4], a[4] = np.nan, np.nan, b[4]
    results = np.empty((3, LANES), dtype)
    calculate(a, b, *results)
    np.testing.assert_array_equal(results[0], a + b)
    np.testing.assert_array_equal(results[1], a * b)
    np.testing.assert_array_equal(results[2], np.where((a > b) | np.isnan(a), a, b))


@DTYPES
@pytest.mark.parametrize("count", [-1, 0, 3, LANES, 1000])
def test_truths(dtype, count):
    x = np.arange(LANES, dtype=dtype)
    target = np.full(2 * LANES, 9, dtype)
    mark(x, dtype(2), count, target)
    first = np.full(LANES, 9)
    first[2] = 2
    second = np.where(np.arange(LANES) < count, x, 2)
    np.testing.assert_array_equal(target, np.concatenate([first, second]))
