"""The matrices against a plain correlation; the tiles against their twins, and as transposes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elunet.kernels.lanes import LANES
from elunet.kernels.plain import winograd as plain
from elunet.kernels.winograd import Matrix, gather_tiles, matrices, scatter_tiles, transform

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SIZES = pytest.mark.parametrize(("outputs", "kernel"), [(2, 2), (4, 2), (2, 3), (4, 3), (3, 3)])


@SIZES
def test_matrices_compute_a_correlation(outputs, kernel):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=outputs + kernel - 1), rng.normal(size=kernel)
    A, B, G = matrices(outputs, kernel)
    assert A.shape == (x.size, outputs)
    assert B.shape == (x.size, x.size)
    assert G.shape == (x.size, kernel)
    np.testing.assert_allclose(A.T @ ((G @ w) * (B @ x)), np.correlate(x, w), rtol=1e-12)


@st.composite
def cases(draw):
    """Draw (x's shape, the matrix, step, top, left, tiles down and across)."""
    outputs, kernel = draw(st.sampled_from([(2, 2), (4, 2), (2, 3), (4, 3)]))
    matrix = draw(st.sampled_from(matrices(outputs, kernel)[:2]))
    size = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    grid = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    shape = (draw(st.integers(1, 3)), *size, draw(st.sampled_from([1, 3, 5, 16, 21])))
    return shape, matrix, outputs, draw(st.integers(0, 3)), draw(st.integers(0, 3)), grid


@pytest.mark.numba
@DTYPES
@given(case=cases(), seed=st.integers(0, 99))
def test_gather_tiles(dtype, case, seed):
    shape, matrix, step, top, left, grid = case
    x = np.random.default_rng(seed).normal(size=shape).astype(dtype)
    points = len(matrix)
    size = shape[0] * grid[0] * grid[1] * shape[3]
    memory = np.full((points**2, size + 3), np.nan, dtype)
    gather_tiles(x, Matrix(matrix), step, top, left, grid, memory)
    assert np.isnan(memory[:, size:]).all()
    expected = np.empty((points**2, size))
    plain.gather_tiles(x.astype(np.float64), Matrix(matrix), step, top, left, grid, expected)
    tolerance = 2e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(memory[:, :size], expected, rtol=0, atol=tolerance)


@DTYPES
def test_a_tile_is_multiplied_from_both_sides(dtype):
    _, B, _ = matrices(4, 3)
    x = np.random.default_rng(0).normal(size=(1, 6, 6, 1)).astype(dtype)
    tiles = np.empty((36, 1), dtype)
    gather_tiles(x, Matrix(B), 4, 0, 0, (1, 1), tiles)
    expected = B @ x[0, :, :, 0].astype(np.float64) @ B.T
    tolerance = 2e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(tiles.reshape(6, 6), expected, rtol=0, atol=tolerance)


@DTYPES
@pytest.mark.parametrize("numbers", [1, 15, 16, 17, 40])
@pytest.mark.parametrize("shape", [(3, 6), (6, 3), (5, 2), (2, 5)])
def test_transform(dtype, numbers, shape):
    columns, rows = shape
    matrix = matrices(max(shape) - min(shape) + 1, min(shape))[2]
    matrix = matrix if matrix.shape == (rows, columns) else matrix.T
    source = np.random.default_rng(0).normal(size=(columns**2, numbers)).astype(dtype)
    target = np.full((rows**2, numbers), np.nan, dtype)
    blocks = -(-numbers // LANES)
    for block in reversed(range(blocks)):
        transform(source, Matrix(matrix), block, block + 1, target)
    expected = np.kron(matrix, matrix) @ source
    np.testing.assert_allclose(
        target, expected, rtol=0, atol=1e-5 if dtype == np.float32 else 1e-12
    )


@given(case=cases(), seed=st.integers(0, 99))
def test_scatter_is_the_transpose_of_gather(case, seed):
    """<gather(x), t> = <x, scatter(t)> for every x and t, and scatter adds to what is there."""
    shape, matrix, step, top, left, grid = case
    rng = np.random.default_rng(seed)
    x, points = rng.normal(size=shape), len(matrix)
    t = rng.normal(size=(points**2, shape[0] * grid[0] * grid[1] * shape[3]))
    tiles, dx = np.empty_like(t), np.ones_like(x)
    gather_tiles(x, Matrix(matrix), step, top, left, grid, tiles)
    scatter_tiles(t, Matrix(matrix.T), step, top, left, grid, dx)
    np.testing.assert_allclose((tiles * t).sum(), (x * (dx - 1)).sum(), rtol=1e-9, atol=1e-9)


def test_no_images():
    x, tiles = np.ones((0, 4, 4, 2)), np.ones((36, 0))
    _, B, _ = matrices(4, 3)
    gather_tiles(x, Matrix(B), 4, 0, 0, (1, 1), tiles)
    scatter_tiles(tiles, Matrix(B.T), 4, 0, 0, (1, 1), x)
