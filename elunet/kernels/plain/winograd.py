"""Winograd's transforms in NumPy. Compiled twins: `elunet.kernels.winograd`."""

from __future__ import annotations

from typing import Any

import numpy as np

from elunet._types import Array
from elunet.kernels.plain._windows import Pair, add_windows, windows


def transform(source: Array, matrix: Any, start: int, stop: int, target: Array) -> None:
    """Write ``target[(p, q), k] = sum over u, v of matrix[p, u] matrix[q, v] source[(u, v), k]``.

    It does all numbers k when the first of them is asked for.
    """
    if start == 0:
        rows, columns = matrix.rows.shape
        tile = source.reshape(columns, columns, -1)
        target.reshape(rows, rows, -1)[...] = _both_sides(matrix.rows, tile)


def gather_tiles(
    x: Array, matrix: Any, step: int, top: int, left: int, grid: Pair, tiles: Array
) -> None:
    """Cut an image into square tiles and write ``tiles = matrix tile matrix^T``."""
    points, side = matrix.rows.shape
    cut = windows(x, (side, side), grid, (step, step), top, left).transpose(3, 4, 0, 1, 2, 5)
    _view(tiles, points, (len(x), *grid, x.shape[3]))[...] = _both_sides(matrix.rows, cut)


def scatter_tiles(
    tiles: Array, matrix: Any, step: int, top: int, left: int, grid: Pair, y: Array
) -> None:
    """Add to an image, where they lie, its tiles ``matrix tile matrix^T``: gather's transpose."""
    shape = (len(y), *grid, y.shape[3])
    whole = _both_sides(matrix.rows, _view(tiles, matrix.rows.shape[1], shape))
    add_windows(whole.transpose(2, 3, 4, 0, 1, 5), y, (step, step), top, left)


def _view(tiles: Array, points: int, shape: tuple[int, ...]) -> Array:
    """Return the numbers that are in use of (points^2, room) as (points, points, *shape)."""
    return tiles[:, : np.prod(shape, dtype=int)].reshape(points, points, *shape)


def _both_sides(matrix: Array, tile: Array) -> Array:
    """Return ``[p, q, ...] = sum over u, v of matrix[p, u] matrix[q, v] tile[u, v, ...]``."""
    half = _one_side(matrix, tile)
    return _one_side(matrix, half.swapaxes(0, 1)).swapaxes(0, 1)


def _one_side(matrix: Array, tile: Array) -> Array:
    """Return ``[p, ...] = sum over u of matrix[p, u] tile[u, ...]``, in the tile's dtype."""
    result = np.zeros((len(matrix), *tile.shape[1:]), tile.dtype)
    for total, factors in zip(result, matrix.tolist(), strict=True):
        for factor, part in zip(factors, tile, strict=True):
            if factor:
                total += factor * part
    return result
