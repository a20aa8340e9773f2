"""Products of matrices: by NumPy, or in a browser by SciPy's BLAS, if it was imported."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from elunet.kernels import dot as dots

SHAPES = [(5, 7, 3), (1, 4, 6), (6, 1, 1), (1, 1, 1), (3, 0, 2), (0, 3, 2)]


def turned(x):
    return np.ascontiguousarray(x.T).T


def spread(x):
    return np.repeat(x, 2, axis=1)[:, ::2]


@pytest.fixture
def blas():
    return pytest.importorskip("scipy.linalg.blas")


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("lay", [np.ascontiguousarray, turned, spread])
@pytest.mark.parametrize("other", [np.ascontiguousarray, turned, spread])
def test_scipys_blas_computes_what_numpy_does(blas, shape, dtype, lay, other):
    rows, inner, columns = shape
    rng = np.random.default_rng(0)
    a = lay(rng.normal(size=(rows, inner)).astype(dtype))
    b = other(rng.normal(size=(inner, columns)).astype(dtype))
    whole = np.full((rows + 2, columns), np.nan, dtype)
    out = whole[1:-1]
    assert dots.by_blas(blas, a, b, out) is out
    rounding = 8 * np.finfo(dtype).eps
    np.testing.assert_allclose(out, a @ b, rtol=rounding, atol=rounding)
    assert np.isnan(whole[[0, -1]]).all()


def test_nan_comes_through(blas):
    a, out = np.array([[np.nan, 1], [0, 1]]), np.empty((2, 1))
    dots.by_blas(blas, a, np.ones((2, 1)), out)
    assert np.isnan(out[0, 0])
    assert out[1, 0] == 1


@pytest.mark.parametrize("browser", [False, True])
@pytest.mark.parametrize("imported", [False, True])
def test_it_is_taken_in_a_browser_once_imported(monkeypatch, browser, imported):
    used = []

    def gemm(alpha, a, b, beta, c, *turned, overwrite_c):
        used.append(True)
        c[...] = 7

    monkeypatch.setattr(dots, "BROWSER", browser)
    monkeypatch.delitem(sys.modules, dots.SCIPY, raising=False)
    if imported:
        monkeypatch.setitem(sys.modules, dots.SCIPY, SimpleNamespace(sgemm=gemm, dgemm=gemm))
    out = dots.dot(np.ones((2, 3)), np.ones((3, 2)), np.empty((2, 2)))
    assert bool(used) is (browser and imported)
    assert (out == (7 if used else 3)).all()
    assert dots.is_fast() is (imported or not browser)
