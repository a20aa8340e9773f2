"""The optimizers' kernels against their formulas in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from elunet.kernels import optimizers as kernels

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SIZES = pytest.mark.parametrize("size", [0, 1, 7, 67])
PENALTIES = pytest.mark.parametrize(
    ("scale", "l2", "l1"), [(1.0, 0.0, 0.0), (0.5, 0.1, 0.0), (1.0, 0.0, 0.05), (0.25, 0.1, 0.05)]
)


def gradient(g, w, scale, l2, l1):
    return scale * g + l2 * w + l1 * np.sign(w)


def momentum(w, g, v, lr, mu, *penalties):
    v = mu * v + gradient(g, w, *penalties)
    return w - lr * v, v


def nesterov(w, g, v, lr, mu, *penalties):
    d = gradient(g, w, *penalties)
    v = mu * v + d
    return w - lr * (d + mu * v), v


def rmsprop(w, g, v, lr, rho, eps, *penalties):
    d = gradient(g, w, *penalties)
    v = rho * v + (1 - rho) * d**2
    return w - lr * d / (np.sqrt(v) + eps), v


def adam(w, g, m, v, lr, beta1, beta2, unbias1, unbias2, eps, *penalties):
    d = gradient(g, w, *penalties)
    m, v = beta1 * m + (1 - beta1) * d, beta2 * v + (1 - beta2) * d**2
    return w - lr * unbias1 * m / (np.sqrt(unbias2 * v) + eps), m, v


def adamw(w, g, m, v, lr, beta1, beta2, unbias1, unbias2, eps, scale, l2, l1):
    decayed = w - lr * (l2 * w + l1 * np.sign(w))
    numbers = (lr, beta1, beta2, unbias1, unbias2, eps, scale, 0.0, 0.0)
    change, m, v = adam(w, g, m, v, *numbers)
    return decayed + (change - w), m, v


ADAM = (0.01, 0.8, 0.95, 1 / (1 - 0.8**3), 1 / (1 - 0.95**3), 1e-3)
RULES = pytest.mark.parametrize(
    ("name", "rule", "numbers"),
    [
        ("momentum", momentum, (0.1, 0.9)),
        ("nesterov", nesterov, (0.1, 0.9)),
        ("rmsprop", rmsprop, (0.01, 0.8, 1e-3)),
        ("adam", adam, ADAM),
        ("adamw", adamw, ADAM),
    ],
)


def make(rule, size, dtype):
    """Return w, with a 0 in it, g and what the rule remembers, the squares not below 0."""
    rng = np.random.default_rng(size)
    slots = 2 if rule in (adam, adamw) else 1
    w, g, *kept = (rng.normal(size=size).astype(dtype) for _ in range(2 + slots))
    w[1:2] = 0
    if rule not in (momentum, nesterov):
        np.abs(kept[-1], out=kept[-1])
    return [w, g, *kept]


@DTYPES
@SIZES
@PENALTIES
@RULES
def test_it_is_the_formula(name, rule, numbers, dtype, size, scale, l2, l1):
    arrays = make(rule, size, dtype)
    g = arrays[1].copy()
    expected = rule(*(a.astype(np.float64) for a in arrays), *numbers, scale, l2, l1)
    getattr(kernels, name)(*arrays, *numbers, scale, l2, l1)
    tolerance = 2e-6 if dtype is np.float32 else 1e-14
    np.testing.assert_array_equal(arrays.pop(1), g, "g is only read")
    for array, right in zip(arrays, expected, strict=True):
        np.testing.assert_allclose(array, right, rtol=tolerance, atol=tolerance)


@DTYPES
@RULES
def test_a_part_by_itself_gives_the_same_bits(name, rule, numbers, dtype):
    kernel = getattr(kernels, name)
    whole, parts = make(rule, 67, dtype), make(rule, 67, dtype)
    kernel(*whole, *numbers, 0.5, 0.1, 0.05)
    for start, stop in ((0, 3), (3, 40), (40, 67)):
        kernel(*(a[start:stop] for a in parts), *numbers, 0.5, 0.1, 0.05)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)


@DTYPES
@RULES
@pytest.mark.parametrize("size", [9, 33, 72])
def test_the_bits_do_not_depend_on_where_the_arrays_lie(name, rule, numbers, dtype, size):
    """Close to each other, the compiler's loop over many numbers at once may not be taken."""
    values = make(rule, size, dtype)
    results = []
    for gap in (0, 1, 8, 300):
        for step in (1, -1):
            memory = np.zeros((len(values), size + gap), dtype)[::step, :size]
            memory[...] = values
            getattr(kernels, name)(*memory, *numbers, 0.5, 0.1, 0.05)
            results.append(memory.copy())
    for result in results:
        np.testing.assert_array_equal(result, results[0])


@DTYPES
@RULES
def test_nan_and_infinity_stay_where_they_are(name, rule, numbers, dtype):
    arrays = make(rule, 40, dtype)
    arrays[0][3], arrays[0][20], arrays[1][30] = np.nan, np.inf, np.nan
    with np.errstate(invalid="ignore"):  # without the JIT, NumPy would warn
        getattr(kernels, name)(*arrays, *numbers, 1.0, 0.0, 0.0)
    bad = np.flatnonzero(~np.isfinite(arrays[0]))
    np.testing.assert_array_equal(bad, [3, 20, 30])
    assert arrays[0][20] == np.inf, "a penalty of 0 is none, whatever the weight"
    assert np.isfinite(arrays[2][[3, 20]]).all()


@DTYPES
@RULES
def test_the_sign_of_nan_is_nan(name, rule, numbers, dtype):
    arrays = make(rule, 4, dtype)
    arrays[0][:] = [np.nan, 1, 0, -1]
    with np.errstate(invalid="ignore"):
        getattr(kernels, name)(*arrays, *numbers, 1.0, 0.0, 0.1)
    np.testing.assert_array_equal(np.isnan(arrays[0]), [True, False, False, False])


@RULES
def test_the_gradient_may_be_the_weight(name, rule, numbers):
    w, _, *kept = make(rule, 40, np.float64)
    same = w.copy()
    expected = rule(w.copy(), w.copy(), *(a.copy() for a in kept), *numbers, 1.0, 0.0, 0.0)
    getattr(kernels, name)(same, same, *kept, *numbers, 1.0, 0.0, 0.0)
    np.testing.assert_allclose(same, expected[0], rtol=1e-12)
