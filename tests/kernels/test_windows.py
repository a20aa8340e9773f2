"""Pooling over ranges of rows and columns, against loops over windows.

The loops are here for the twins too: those of windows, and through them those of squares.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elunet.kernels.windows import (
    max_windows,
    max_windows_backward,
    mean_windows,
    mean_windows_backward,
)

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@st.composite
def cases(draw):
    """Draw (x of whole numbers with many ties, rows, columns)."""
    sides = [draw(st.integers(1, 5)) for _ in range(2)]
    ranges = []
    for side in sides:
        lines = []
        for _ in range(draw(st.integers(1, 3))):
            first = draw(st.integers(0, side - 1))
            last = draw(st.integers(first + 1, side))
            lines.append((first, last))
        ranges.append(np.array(lines))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.integers(-2, 3, (draw(st.integers(1, 2)), *sides, draw(st.sampled_from([1, 3, 17]))))
    return x, *ranges


def windows(x, rows, columns):
    """Yield (n, i, j, c) and the window."""
    shape = (len(x), len(rows), len(columns), x.shape[3])
    for n, i, j, c in np.ndindex(shape):
        (top, bottom), (left, right) = rows[i], columns[j]
        yield (n, i, j, c), x[n, top:bottom, left:right, c]


@DTYPES
@given(case=cases())
def test_max_windows(dtype, case):
    x, rows, columns = case
    y = np.full((len(x), len(rows), len(columns), x.shape[3]), np.nan, dtype)
    winner = np.full(y.shape, -1, np.int32)
    max_windows(x.astype(dtype), rows, columns, y, winner)
    dy = np.arange(1, y.size + 1, dtype=dtype).reshape(y.shape)
    dx, expected = np.full(x.shape, np.nan, dtype), np.zeros(x.shape)
    max_windows_backward(dy, winner, dx)
    views = windows(expected, rows, columns)
    for (place, window), (_, view) in zip(windows(x, rows, columns), views, strict=True):
        assert y[place] == window.max()
        view.flat[window.argmax()] += dy[place]  # the first of equal ones
    np.testing.assert_array_equal(dx, expected)


@DTYPES
def test_nan_wins_wherever_it_stands(dtype):
    line = np.array([[0, 2]])
    for k in range(4):
        x = np.arange(4, dtype=dtype)
        x[k] = np.nan
        y, winner = np.zeros((1, 1, 1, 1), dtype), np.zeros((1, 1, 1, 1), np.int32)
        max_windows(x.reshape(1, 2, 2, 1), line, line, y, winner)
        assert np.isnan(y.item())
        assert winner.item() == k


@DTYPES
@given(case=cases())
def test_mean_windows(dtype, case):
    x, rows, columns = case
    y = np.full((len(x), len(rows), len(columns), x.shape[3]), np.nan, dtype)
    divisor = 1.0 + np.arange(len(rows) * len(columns)).reshape(len(rows), -1)
    mean_windows(x.astype(dtype), rows, columns, divisor, y)
    dy = np.random.default_rng(0).integers(-9, 10, y.shape).astype(dtype)
    dx, expected = np.full(x.shape, np.nan, dtype), np.zeros(x.shape)
    mean_windows_backward(dy, rows, columns, divisor, dx)
    views = windows(expected, rows, columns)
    for (place, window), (_, view) in zip(windows(x, rows, columns), views, strict=True):
        area = divisor[place[1:3]]
        np.testing.assert_allclose(y[place], window.sum() / area, rtol=1e-6)
        view += dy[place] / area
    np.testing.assert_allclose(dx, expected, rtol=1e-5, atol=1e-5)
