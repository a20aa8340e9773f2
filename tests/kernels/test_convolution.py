"""The convolution without im2col against the product with im2col's rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elunet.kernels.columns import im2col
from elunet.kernels.convolution import PIXELS, convolve
from elunet.kernels.lanes import LANES


@st.composite
def cases(draw):
    """Draw (x's shape, kernel, stride, top, left, output's height and width, channels)."""
    batch, channels = draw(st.integers(0, 2)), draw(st.integers(1, 4))
    stride = draw(st.integers(1, 3))
    sides, kernel, before, out = [], [], [], []
    for longest in (4, 2 * PIXELS + 3):
        side, size = draw(st.integers(1, longest)), draw(st.integers(1, 4))
        first, last = draw(st.integers(0, 2)), draw(st.integers(0, 2))
        last = max(last, size - side - first)  # so that one window fits
        sides.append(side)
        kernel.append(size)
        before.append(first)
        out.append((side + first + last - size) // stride + 1)
    outputs = draw(st.sampled_from([1, 3, LANES - 1, LANES, 2 * LANES]))
    return (batch, *sides, channels), tuple(kernel), stride, *before, tuple(out), outputs


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(case=cases(), seed=st.integers(0, 99))
def test_convolve(dtype, case, seed):
    """Whole numbers make it exact."""
    shape, kernel, stride, top, left, out, outputs = case
    rng = np.random.default_rng(seed)
    x = rng.integers(-9, 9, shape).astype(dtype)
    W = rng.integers(-9, 9, (kernel[0] * kernel[1] * shape[3], outputs)).astype(dtype)
    b = rng.integers(-9, 9, outputs).astype(dtype)
    y = np.full((shape[0], *out, outputs), np.nan, dtype)
    convolve(x, W, b, kernel, stride, top, left, y)
    columns = np.empty((shape[0], *out, *kernel, shape[3]), dtype)
    im2col(x, kernel, stride, top, left, columns)
    expected = columns.reshape(-1, len(W)) @ W + b
    np.testing.assert_array_equal(y.reshape(-1, outputs), expected)


def test_it_writes_nothing_beyond_its_output():
    x, W, b = np.ones((2, 3, 9, 1)), np.ones((4, 3)), np.zeros(3)
    memory = np.full(3 * 2 * 8 * 3 + 50, 7.0)
    y = memory[: 2 * 2 * 8 * 3].reshape(2, 2, 8, 3)
    convolve(x, W, b, (2, 2), 1, 0, 0, y)
    assert (y == 4).all()
    assert (memory[y.size :] == 7).all()


def test_some_rows_of_one_image():
    """A negative `top` leaves out the rows above, as im2col does."""
    rng = np.random.default_rng(0)
    x, W, b = rng.normal(size=(1, 9, 9, 2)), rng.normal(size=(18, 4)), rng.normal(size=4)
    whole, part = np.empty((1, 9, 9, 4)), np.empty((1, 3, 9, 4))
    convolve(x, W, b, (3, 3), 1, 1, 1, whole)
    convolve(x, W, b, (3, 3), 1, 1 - 5, 1, part)
    # BLAS, which the plain kernel calls, may round a matrix of fewer rows in another way.
    np.testing.assert_allclose(part, whole[:, 5:8], rtol=1e-12, atol=1e-13)
