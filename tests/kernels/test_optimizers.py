"""The optimizers' kernels against their plain twins in double precision."""

from __future__ import annotations

import numpy as np
import pytest

from elunet.kernels import optimizers as kernels
from elunet.kernels.plain import optimizers as plain

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SIZES = pytest.mark.parametrize("size", [0, 1, 7, 67])
PENALTIES = pytest.mark.parametrize(
    ("scale", "l2", "l1"), [(1.0, 0.0, 0.0), (0.5, 0.1, 0.0), (1.0, 0.0, 0.05), (0.25, 0.1, 0.05)]
)


ADAM = (0.01, 0.8, 0.95, 1 / (1 - 0.8**3), 1 / (1 - 0.95**3), 1e-3)
NADAM = (0.01, 0.8, 0.95, 0.3, 0.8, 1 / (1 - 0.95**3), 1e-3)
RULES = pytest.mark.parametrize(
    ("name", "slots", "numbers"),
    [
        ("momentum", 1, (0.1, 0.9)),
        ("nesterov", 1, (0.1, 0.9)),
        ("rmsprop", 1, (0.01, 0.8, 1e-3)),
        ("rmsprop_momentum", 3, (0.01, 0.8, 1e-3, 0.9)),
        ("rmsprop_centered", 3, (0.01, 0.8, 1e-3, 0.9)),
        ("adagrad", 1, (0.01, 1e-3)),
        ("lion", 1, (0.01, 0.8, 0.95)),
        ("lionw", 1, (0.01, 0.8, 0.95)),
        ("adam", 2, ADAM),
        ("adamw", 2, ADAM),
        ("nadam", 2, NADAM),
        ("nadamw", 2, NADAM),
    ],
)
# Which of the slots holds squares, if not the first; in those of SIGNED none does.
SQUARES = {"adam": 1, "adamw": 1, "nadam": 1, "nadamw": 1}
SIGNED = ("momentum", "nesterov", "lion", "lionw")


def make(name, slots, size, dtype):
    """Return w, with a 0 in it, g and what the rule remembers, the squares not below 0."""
    rng = np.random.default_rng(size)
    w, g, *kept = (rng.normal(size=size).astype(dtype) for _ in range(2 + slots))
    w[1:2] = 0
    if name not in SIGNED:
        squares = kept[SQUARES.get(name, 0)]
        np.abs(squares, out=squares)
    return [w, g, *kept]


@DTYPES
@SIZES
@PENALTIES
@RULES
def test_it_is_its_twin(name, slots, numbers, dtype, size, scale, l2, l1):
    arrays = make(name, slots, size, dtype)
    g = arrays[1].copy()
    expected = [a.astype(np.float64) for a in arrays]
    getattr(plain, name)(*expected, *numbers, scale, l2, l1)
    getattr(kernels, name)(*arrays, *numbers, scale, l2, l1)
    tolerance = 2e-6 if dtype is np.float32 else 1e-14
    np.testing.assert_array_equal(arrays[1], g, "g is only read")
    for array, right in zip(arrays, expected, strict=True):
        np.testing.assert_allclose(array, right, rtol=tolerance, atol=tolerance)


@DTYPES
@RULES
def test_a_part_by_itself_gives_the_same_bits(name, slots, numbers, dtype):
    kernel = getattr(kernels, name)
    whole, parts = make(name, slots, 67, dtype), make(name, slots, 67, dtype)
    kernel(*whole, *numbers, 0.5, 0.1, 0.05)
    for start, stop in ((0, 3), (3, 40), (40, 67)):
        kernel(*(a[start:stop] for a in parts), *numbers, 0.5, 0.1, 0.05)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)


@DTYPES
@RULES
@pytest.mark.parametrize("size", [9, 33, 72])
def test_the_bits_do_not_depend_on_where_the_arrays_lie(name, slots, numbers, dtype, size):
    """Close to each other, the compiler's loop over many numbers at once may not be taken."""
    values = make(name, slots, size, dtype)
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
def test_nan_and_infinity_stay_where_they_are(name, slots, numbers, dtype):
    arrays = make(name, slots, 40, dtype)
    arrays[0][3], arrays[0][20], arrays[1][30] = np.nan, np.inf, np.nan
    with np.errstate(invalid="ignore"):  # without the JIT, NumPy would warn
        getattr(kernels, name)(*arrays, *numbers, 1.0, 0.0, 0.0)
    bad = np.flatnonzero(~np.isfinite(arrays[0]))
    np.testing.assert_array_equal(bad, [3, 20, 30])
    assert arrays[0][20] == np.inf, "a penalty of 0 is none, whatever the weight"
    assert np.isfinite(arrays[2][[3, 20]]).all()


@DTYPES
@RULES
def test_the_sign_of_nan_is_nan(name, slots, numbers, dtype):
    arrays = make(name, slots, 4, dtype)
    arrays[0][:] = [np.nan, 1, 0, -1]
    with np.errstate(invalid="ignore"):
        getattr(kernels, name)(*arrays, *numbers, 1.0, 0.0, 0.1)
    np.testing.assert_array_equal(np.isnan(arrays[0]), [True, False, False, False])


@RULES
def test_the_gradient_may_be_the_weight(name, slots, numbers):
    w, _, *kept = make(name, slots, 40, np.float64)
    expected, same = w.copy(), w.copy()
    getattr(kernels, name)(expected, w, *(a.copy() for a in kept), *numbers, 1.0, 0.0, 0.0)
    getattr(kernels, name)(same, same, *kept, *numbers, 1.0, 0.0, 0.0)
    np.testing.assert_allclose(same, expected, rtol=1e-12)
