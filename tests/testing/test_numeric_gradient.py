import numpy as np
import pytest

from elunet.testing import numeric_gradient


def test_is_the_gradient_of_a_polynomial():
    x = np.arange(6.0).reshape(2, 3) - 2
    np.testing.assert_allclose(numeric_gradient(lambda v: np.sum(v**3), x), 3 * x**2, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, int])
def test_leaves_x_as_it_was(dtype):
    x = np.array([1, 2, 3], dtype=dtype)
    before = x.copy()
    gradient = numeric_gradient(lambda v: float(v @ v), x)
    np.testing.assert_array_equal(x, before)
    assert x.dtype == dtype
    np.testing.assert_allclose(gradient, [2, 4, 6], atol=1e-7)


def test_read_only_and_strided_arrays():
    base = np.arange(8.0)
    np.testing.assert_allclose(numeric_gradient(lambda v: np.sum(v**2), base[::-2]), 2 * base[::-2])
    base.flags.writeable = False
    np.testing.assert_allclose(numeric_gradient(lambda v: np.sum(v**2), base), 2 * base)


def test_f_may_read_x_itself():
    W = np.array([[1.0, 2.0]])
    np.testing.assert_allclose(numeric_gradient(lambda _: np.sum(W**2), W), 2 * W)


def test_sets_back_when_f_raises():
    x = np.array([1.0, 2.0])

    def f(v):
        if v[1] > 2:
            raise RuntimeError("no")
        return v[0]

    with pytest.raises(RuntimeError, match="no"):
        numeric_gradient(f, x)
    np.testing.assert_array_equal(x, [1.0, 2.0])


def test_one_entry_arrays_count_as_numbers_and_larger_do_not():
    np.testing.assert_allclose(numeric_gradient(lambda v: v[None] * 2, np.array(3.0)), 2.0)
    with pytest.raises(ValueError, match=r"expected f to return one number, got shape \(2,\)"):
        numeric_gradient(lambda v: v, np.ones(2))


@pytest.mark.parametrize("eps", [0.0, -1.0, np.nan, np.inf])
def test_eps(eps):
    with pytest.raises(ValueError, match=r"numeric_gradient: expected eps in \(0, inf\)"):
        numeric_gradient(np.sum, np.ones(2), eps=eps)


def test_complex_numbers_are_refused():
    with pytest.raises(TypeError, match="expected an array of real numbers, got dtype complex128"):
        numeric_gradient(np.sum, np.ones(2, complex))
