"""Vectors against NumPy's arrays, in compiled code and, with the JIT off, as their twins."""

from __future__ import annotations

import numpy as np
import pytest

from elunet.kernels._jit import jit
from elunet.kernels.lanes import LANES, below, fill, load, store, where

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int32])
REAL = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@jit
def move(source, i, target, j, count):
    store(target, j, load(source, i, count), count)


@jit
def fetch(source, i, target, count):
    store(target, 0, load(source, i, count), LANES)


@jit
def calculate(a, b, sums, products, larger):
    x, y = load(a, 0, LANES), load(b, 0, LANES)
    store(sums, 0, x + y, LANES)
    store(products, 0, x * y, LANES)
    store(larger, 0, where((x > y) | (x != x), x, y), LANES)


@jit
def mark(x, number, count, target):
    same = load(x, 0, LANES) == fill(number)
    store(target, 0, where(same, fill(number), load(target, 0, LANES)), LANES)
    store(target, LANES, where(below(count), load(x, 0, LANES), fill(number)), LANES)


@DTYPES
@pytest.mark.parametrize("count", [1, 3, LANES - 1, LANES, LANES + 1, 1000])
def test_so_many_numbers_are_moved(dtype, count):
    source, target = np.arange(1, 3 * LANES, dtype=dtype), np.full(3 * LANES, 9, dtype)
    expected = target.copy()
    few = min(count, LANES)
    expected[7 : 7 + few] = source[5 : 5 + few]
    move(source, 5, target, 7, count)
    np.testing.assert_array_equal(target, expected)
    vector = np.full(LANES, 9, dtype)
    fetch(source, 5, vector, count)
    np.testing.assert_array_equal(vector, [*source[5 : 5 + few], *[0] * (LANES - few)])


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
