"""Winograd's convolution: small tiles of an image, transformed so that windows share products.

The m outputs of one row under a kernel of k numbers need m k products. Read as polynomials, whose
product is known from its values at n = m + k - 1 points, they need n. With three small matrices

    y = A^T [ (G w) * (B^T x) ],    x: n neighboring inputs,  w: the kernel,  y: m outputs,

in two dimensions with each matrix on both sides. Sums over the channels are taken among the
transformed numbers, where they are n^2 matrix products: for 4 x 4 outputs and a 3 x 3 kernel 36
numbers per tile and channel in place of 144. Nothing is approximated except by rounding.

Source: A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016,
arXiv:1509.09308; S. Winograd, "Arithmetic Complexity of Computations", SIAM, 1980.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.kernels._jit import jit
from elunet.kernels.lanes import LANES, below, fill, load, store, where

POINTS = tuple(Fraction(numerator, 8) for numerator in (0, 5, -5, 12, -12))
"""Where polynomials are evaluated, besides infinity. The usual 0, 1, -1, 2, -2 round twice as
badly; these, of a few combinations tried, least."""


@cache
def matrices(outputs: int, kernel: int) -> tuple[Array, Array, Array]:
    """Return A (n, outputs), B (n, n) and G (n, kernel) with n = outputs + kernel - 1.

    Row i belongs to the point p_i, the last one to infinity: A and G evaluate polynomials there
    (G divided by the product of p_i - p_j over the others), and row i of B has the coefficients of
    the product of x - p_j over the others. ``y = A.T @ ((G @ w) * (B @ x))``.
    """
    points = POINTS[: outputs + kernel - 2]
    A = [[point**power for power in range(outputs)] for point in points]
    B, G = [], []
    for point in points:
        others = tuple(other for other in points if other != point)
        scale = math.prod(point - other for other in others)
        B.append([*_coefficients(others), Fraction(0)])
        G.append([point**power / scale for power in range(kernel)])
    A.append([Fraction(0)] * (outputs - 1) + [Fraction(1)])
    B.append(_coefficients(points))
    G.append([Fraction(0)] * (kernel - 1) + [Fraction(1)])
    return np.array(A, float), np.array(B, float), np.array(G, float)


def _coefficients(roots: tuple[Fraction, ...]) -> list[Fraction]:
    """Return the coefficients of the product of (x - root), the constant first."""
    product = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *product], [*product, Fraction(0)]
        product = [s - root * c for s, c in zip(shifted, scaled, strict=True)]
    return product


class Matrix:
    """A small matrix whose numbers are known to the compiler.

    It makes vectors of vectors, ``target[p] = sum over u of matrix[p, u] source[u]``, by one
    instruction for each of its numbers that is not 0. Rows that belong to p and -p differ only in
    the sign of every other number. So they take the same two sums, and add or subtract them; the
    same holds for columns.
    """

    def __init__(self, rows: Array) -> None:
        self.rows = np.asarray(rows, float)
        self.key: tuple[tuple[float, ...], ...] = tuple(map(tuple, self.rows.tolist()))


def sides(matrix: Any) -> tuple[int, int]:
    """Return how many rows and columns a matrix has."""
    rows, columns = matrix.rows.shape
    return rows, columns


def gather(
    matrix: Any,
    source: Array,
    place: Any,
    step: Any,
    start: Any,
    stop: Any,
    target: Array,
    goal: Any,
    stride: Any,
    count: Any,
) -> None:
    """Write ``target[p] = sum over u of matrix[p, u] source[u]``, start <= u < stop.

    Parameters
    ----------
    matrix : Matrix
    source, target : C-contiguous arrays of shape (n,)
    place, step : int
        Of source[0], and from there to source[1].
    start, stop : int
        No other vectors are read; they count as 0.
    goal, stride : int
        Of target[0], and from there to target[1].
    count : int
        Of each vector's numbers; LANES or more for all.
    """
    rows = [load(source, place + u * step, count) for u in range(start, stop)]
    for p, factors in enumerate(matrix.rows.astype(source.dtype)):
        total = fill(source.dtype.type(0))
        for u, row in enumerate(rows, start):
            total = total + factors[u] * row
        store(target, goal + p * stride, total, count)


def scatter(
    matrix: Any,
    source: Array,
    place: Any,
    step: Any,
    target: Array,
    goal: Any,
    stride: Any,
    start: Any,
    stop: Any,
    skip: Any,
    count: Any,
) -> None:
    """Add ``sum over u of matrix[p, u] source[u]`` to ``target[p]``, start <= p < stop.

    Parameters
    ----------
    matrix : Matrix
    source, target : C-contiguous arrays of shape (n,)
    place, step : int
        Of source[0], and from there to source[1].
    goal, stride : int
        Of target[0], and from there to target[1].
    start, stop : int
        No other vectors are touched.
    skip : int
        Nothing is added to so many first numbers of a vector.
    count : int
        Of each vector's numbers; LANES or more for all.
    """
    nothing = fill(source.dtype.type(0))
    rows = [load(source, place + u * step, count) for u in range(matrix.rows.shape[1])]
    for p, factors in enumerate(matrix.rows.astype(source.dtype)):
        if start <= p < stop:
            total = nothing
            for factor, row in zip(factors, rows, strict=True):
                total = total + factor * row
            before = load(target, goal + p * stride, count)
            store(target, goal + p * stride, before + where(below(skip), nothing, total), count)


@jit
def transform(source: Array, matrix: Any, start: int, stop: int, target: Array) -> None:
    """Write ``target[(p, q), k] = sum over u, v of matrix[p, u] matrix[q, v] source[(u, v), k]``.

    Parameters
    ----------
    source : C-contiguous array of shape (columns^2, n)
    matrix : Matrix of shape (rows, columns)
    start, stop : int
        Vectors of LANES numbers k, from the first to the one after the last.
    target : C-contiguous array of shape (rows^2, n)
    """
    rows, columns = sides(matrix)
    numbers = source.shape[1]
    x, y = source.reshape(-1), target.reshape(-1)
    half = np.empty(rows * columns * LANES, source.dtype)
    line = columns * LANES
    for block in range(start, stop):
        k = max(min(block * LANES, numbers - LANES), 0)  # the last may overlap the one before
        for v in range(columns):
            place, step = v * numbers + k, columns * numbers
            gather(matrix, x, place, step, 0, columns, half, v * LANES, line, numbers)
        for p in range(rows):
            goal = p * rows * numbers + k
            gather(matrix, half, p * line, LANES, 0, columns, y, goal, numbers, numbers)


@jit
def gather_tiles(
    x: Array, matrix: Any, step: int, top: int, left: int, grid: tuple[int, int], tiles: Array
) -> None:
    """Cut an image into square tiles and write ``tiles = matrix tile matrix^T``.

    ``tiles[(p, q), (n, i, j, c)] = sum over u, v of matrix[p, u] matrix[q, v]
    x[n, i*step + u - top, j*step + v - left, c]``, with zeros outside the image.

    Parameters
    ----------
    x : C-contiguous array of shape (N, H, W, C)
    matrix : Matrix of shape (points, side)
        ``side`` is the tile's.
    step, top, left : int
        From one tile to the next, and the rows and columns of zeros before the image.
    grid : (down, across)
        Tiles of an image.
    tiles : C-contiguous array of shape (points^2, room)
        There may be room for more than N * down * across * C numbers.
    """
    images, height, width, channels = x.shape
    down, across = grid
    points, side = sides(matrix)
    plane = tiles.shape[1]
    pixels, results = x.reshape(-1), tiles.reshape(-1)
    half = np.empty(points * side * LANES, x.dtype)  # transformed along the rows only
    for n in range(images):
        for i in range(down):
            row = i * step - top
            start, stop = max(-row, 0), min(height - row, side)
            for j in range(across):
                column = j * step - left
                first = ((n * height + row) * width + column) * channels
                goal = ((n * down + i) * across + j) * channels
                for block in range(0, channels, LANES):
                    c = max(min(block, channels - LANES), 0)  # the last may overlap the one before
                    for v in range(side):
                        end = stop if 0 <= column + v < width else 0
                        place = first + v * channels + c
                        line, goals = width * channels, side * LANES
                        gather(
                            matrix,
                            pixels,
                            place,
                            line,
                            start,
                            end,
                            half,
                            v * LANES,
                            goals,
                            channels,
                        )
                    for p in range(points):
                        place, there = p * side * LANES, goal + p * points * plane + c
                        gather(matrix, half, place, LANES, 0, side, results, there, plane, channels)


@jit
def scatter_tiles(
    tiles: Array, matrix: Any, step: int, top: int, left: int, grid: tuple[int, int], y: Array
) -> None:
    """Add to an image, where they lie, its tiles ``matrix tile matrix^T``: gather's transpose.

    Parameters
    ----------
    tiles : C-contiguous array of shape (points^2, room)
    matrix : Matrix of shape (side, points)
        The transpose of gather's.
    step, top, left, grid
        As in `gather_tiles`.
    y : C-contiguous array of shape (N, H, W, C)
        Added to; what lies outside the image is dropped.
    """
    images, height, width, channels = y.shape
    down, across = grid
    side, points = sides(matrix)
    plane = tiles.shape[1]
    pixels, sources = y.reshape(-1), tiles.reshape(-1)
    half = np.empty(side * points * LANES, y.dtype)
    for n in range(images):
        for i in range(down):
            row = i * step - top
            for j in range(across):
                column = j * step - left
                start, stop = max(-column, 0), min(width - column, side)
                first = ((n * height + row) * width + column) * channels
                place = ((n * down + i) * across + j) * channels
                for block in range(0, channels, LANES):
                    c = max(min(block, channels - LANES), 0)
                    for q in range(points):
                        here, goals = place + q * plane + c, points * LANES
                        gather(
                            matrix,
                            sources,
                            here,
                            points * plane,
                            0,
                            points,
                            half,
                            q * LANES,
                            goals,
                            channels,
                        )
                    for u in range(max(-row, 0), min(height - row, side)):
                        here, goal = u * points * LANES, first + u * width * channels + c
                        scatter(
                            matrix,
                            half,
                            here,
                            LANES,
                            pixels,
                            goal,
                            channels,
                            start,
                            stop,
                            block - c,
                            channels,
                        )
