"""ELU, its relatives and Softmax: their values and slopes, at the ends and at the kinks."""

from __future__ import annotations

import re

import numpy as np
import pytest

from elunet.layers import ELU, LeakyReLU, ReLU, ShiftedReLU, Softmax, Tanh

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
ALPHAS = pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 5.0])


def slope(layer, x):
    y = layer.forward(x)
    return layer.backward(np.ones_like(y))


@DTYPES
@ALPHAS
def test_elu(alpha, dtype):
    x = np.linspace(-6, 6, 121).astype(dtype)
    tolerance = 1e-6 if dtype is np.float32 else 1e-14
    layer = ELU(alpha)
    expected = np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0, dtype=np.float64)))
    np.testing.assert_allclose(layer.forward(x), expected, rtol=tolerance, atol=tolerance)
    expected = np.where(x > 0, 1, alpha * np.exp(x.astype(np.float64)))
    np.testing.assert_allclose(slope(layer, x), expected, atol=alpha * tolerance)


@DTYPES
@ALPHAS
def test_elu_at_zero(alpha, dtype):
    """The slope at 0 is that of the left side: alpha."""
    x = np.array([0.0, -0.0, np.finfo(dtype).tiny, -np.finfo(dtype).tiny], dtype)
    layer = ELU(alpha)
    np.testing.assert_array_equal(slope(layer, x), np.array([alpha, alpha, 1, alpha], dtype))
    np.testing.assert_array_equal(layer.forward(x)[:3], x[:3])


@DTYPES
@ALPHAS
def test_elu_far_out(alpha, dtype):
    x = np.array([1e4, -1e4, np.inf, -np.inf], dtype)
    layer = ELU(alpha)
    np.testing.assert_array_equal(layer.forward(x), np.array([1e4, -alpha, np.inf, -alpha], dtype))
    np.testing.assert_array_equal(slope(layer, x), np.array([1, 0, 1, 0], dtype))
    assert np.isnan(layer.forward(np.array([np.nan], dtype)))[0]


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: ELU(0), ValueError, "ELU: expected alpha in (0, inf), got 0.0"),
        (lambda: ELU(-1.0), ValueError, "ELU: expected alpha in (0, inf), got -1.0"),
        (lambda: ELU(np.nan), ValueError, "ELU: expected alpha in (0, inf), got nan"),
        (lambda: ELU(np.inf), ValueError, "ELU: expected alpha in (0, inf), got inf"),
        (lambda: ELU("1"), TypeError, "ELU: expected alpha to be a number in (0, inf), got '1'"),
        (lambda: ELU(True), TypeError, "ELU: expected alpha to be a number in (0, inf), got True"),
        (
            lambda: LeakyReLU(np.nan),
            ValueError,
            "LeakyReLU: expected slope in (-inf, inf), got nan",
        ),
        (
            lambda: LeakyReLU(None),
            TypeError,
            "LeakyReLU: expected slope to be a number in (-inf, inf), got None",
        ),
    ],
)
def test_bad_arguments(make, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        make()


@DTYPES
def test_the_others(dtype):
    x = np.array([-np.inf, -2, -1, -0.5, -0.0, 0, 0.5, np.inf, np.nan], dtype)
    expected = {
        ReLU(): [0, 0, 0, 0, 0, 0, 0.5, np.inf, np.nan],
        LeakyReLU(0.5): [-np.inf, -1, -0.5, -0.25, 0, 0, 0.5, np.inf, np.nan],
        ShiftedReLU(): [-1, -1, -1, -0.5, 0, 0, 0.5, np.inf, np.nan],
    }
    for layer, values in expected.items():
        np.testing.assert_array_equal(layer.forward(x), np.array(values, dtype))
    np.testing.assert_allclose(Tanh().forward(x), np.tanh(x))


def test_slopes_at_the_kinks():
    np.testing.assert_array_equal(slope(ReLU(), np.array([-1.0, 0.0, 1.0])), [0, 0, 1])
    np.testing.assert_array_equal(
        slope(LeakyReLU(0.25), np.array([-1.0, 0.0, 1.0])), [0.25, 0.25, 1]
    )
    np.testing.assert_array_equal(slope(ShiftedReLU(), np.array([-2.0, -1.0, 0.0])), [0, 0, 1])


@DTYPES
def test_softmax_has_its_full_jacobian(dtype):
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(2, 3, 5)).astype(dtype), rng.normal(size=(2, 3, 5)).astype(dtype)
    layer = Softmax()
    y = layer.forward(x)
    np.testing.assert_allclose(y, np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True), rtol=1e-5)
    dx = layer.backward(dy)
    for place in np.ndindex(2, 3):
        p = y[place]
        jacobian = np.diag(p) - np.outer(p, p)
        np.testing.assert_allclose(dx[place], jacobian.T @ dy[place], atol=1e-6)


@DTYPES
def test_softmax_of_huge_logits(dtype):
    y = Softmax().forward(np.array([[1e4, -1e4, 0]], dtype))
    np.testing.assert_allclose(y, [[1, 0, 0]], atol=1e-37)


def test_softmax_of_no_classes():
    with pytest.raises(
        ValueError, match=re.escape("Softmax(): expected x with a last axis of at le")
    ):
        Softmax().forward(np.ones((3, 0)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_is_zero_beyond_the_dtypes_reach(dtype):
    far = -88 if dtype == np.float32 else -710
    x = np.array([[0, -np.inf, far], [1e30, 0, -1e30], [-1000, -1000, -np.inf]], dtype)
    expected = [[1, 0, 0], [1, 0, 0], [0.5, 0.5, 0]]
    layer = Softmax()
    np.testing.assert_array_equal(layer.forward(x), expected)
    dx = layer.backward(np.ones((3, 3), dtype) * np.arange(3, dtype=dtype))
    np.testing.assert_allclose(dx, [[0, 0, 0], [0, 0, 0], [-0.25, 0.25, 0]], atol=1e-7)


def test_elu_slope_far_below_zero_agrees_with_pytorch():
    """In float32, from x; from y it is gone."""
    torch = pytest.importorskip("torch")
    x = np.array([[-10.0, -16.0, -17.0, -30.0, -80.0, 0.5]], np.float32)
    theirs = torch.from_numpy(x).requires_grad_()
    torch.nn.functional.elu(theirs).sum().backward()
    layer = ELU(slope_from="x")
    np.testing.assert_array_equal(layer.forward(x, train=True), ELU().forward(x))
    np.testing.assert_allclose(layer.backward(np.ones_like(x)), theirs.grad.numpy(), rtol=1e-5)
    layer = ELU()
    layer.forward(x, train=True)
    assert layer.backward(np.ones_like(x))[0, 3] == 0
    with pytest.raises(ValueError, match="ELU: expected slope_from to be one of"):
        ELU(slope_from="z")
