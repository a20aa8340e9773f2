"""The depthwise kernels against loops over outputs and the kernel's places."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elunet.kernels.depthwise import depthwise, depthwise_gradient

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def cases(draw):
    """Draw (x, W, b, stride, dilation, gap, top, left, output shape), of whole numbers."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    channels = draw(st.sampled_from([1, 3, 15, 16, 17, 35]))
    x = rng.integers(-4, 5, (draw(st.integers(1, 2)), *draw(PAIRS), channels))
    W = rng.integers(-4, 5, (*draw(PAIRS), channels))
    corner = draw(st.integers(-2, 3)), draw(st.integers(-2, 3))
    out = draw(st.integers(1, 5)), draw(st.integers(1, 7))
    b = rng.integers(-4, 5, channels)
    return x, W, b, draw(PAIRS), draw(PAIRS), draw(PAIRS), *corner, (len(x), *out, channels)


def terms(x, W, stride, dilation, gap, top, left, shape):
    """Yield (i, j, u, v, the pixels that meet W[u, v] there), but for those outside the image."""
    for i, j, u, v in np.ndindex(*shape[1:3], *W.shape[:2]):
        row, beyond = divmod(i * stride[0] + u * dilation[0] - top, gap[0])
        column, off = divmod(j * stride[1] + v * dilation[1] - left, gap[1])
        if not (beyond or off) and 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
            yield i, j, u, v, x[:, row, column]


@DTYPES
@given(case=cases())
def test_depthwise(dtype, case):
    x, W, b, *where, shape = case
    expected = np.zeros(shape) + b
    for i, j, u, v, pixels in terms(x, W, *where, shape):
        expected[:, i, j] += pixels * W[u, v]
    y = np.full(shape, np.nan, dtype)
    depthwise(x.astype(dtype), W.astype(dtype), b.astype(dtype), *where, y)
    np.testing.assert_array_equal(y, expected)


@DTYPES
@given(case=cases())
def test_depthwise_gradient(dtype, case):
    x, W, _, stride, dilation, _, top, left, shape = case
    dy = np.random.default_rng(1).integers(-4, 5, shape)
    expected = np.ones(W.shape)  # it adds
    for i, j, u, v, pixels in terms(x, W, stride, dilation, (1, 1), top, left, shape):
        expected[u, v] += (pixels * dy[:, i, j]).sum(axis=0)
    dW = np.ones((*W.shape[:2], -(-W.shape[2] // 16) * 16))
    depthwise_gradient(x.astype(dtype), dy.astype(dtype), stride, dilation, top, left, dW)
    np.testing.assert_array_equal(dW[..., : W.shape[2]], expected)
