"""Winograd's convolution: small tiles of a picture, transformed so that windows share products.

The m outputs of one row under a kernel of k numbers need m k products. Read as polynomials, whose
product is known from its values at n = m + k - 1 points, they need n. With three small matrices

    y = A^T [ (G w) * (B^T x) ],    x: n neighboring inputs,  w: the kernel,  y: m outputs,

in two dimensions with each matrix on both sides. Sums over the channels are taken among the
transformed numbers, where they are n^2 matrix products: for 4 x 4 outputs and a 3 x 3 kernel 36
numbers per tile and channel in place of 144. Nothing is approximated but for rounding.

Source: A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016,
arXiv:1509.09308; S. Winograd, "Arithmetic Complexity of Computations", SIAM, 1980.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache

import numpy as np

from elunet._types import Array
from elunet.kernels._jit import jit

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


@jit
def gather_tiles(x: Array, matrix: Array, step: int, top: int, left: int, tiles: Array) -> None:
    """Cut a picture into square tiles and write ``tiles = matrix tile matrix^T``.

    ``tiles[p, q, n, i, j, c] = sum over u, v of matrix[p, u] matrix[q, v]
    x[n, i*step + u - top, j*step + v - left, c]``, with zeros outside the picture.

    Parameters
    ----------
    x : array of shape (N, H, W, C)
    matrix : array of shape (points, side)
        ``side`` is the tile's.
    step, top, left : int
        From one tile to the next, and the rows and columns of zeros before the picture.
    tiles : array of shape (points, points, N, down, across, C)
        Written whole.
    """
    pictures, height, width, channels = x.shape
    points, side = matrix.shape
    down, across = tiles.shape[3:5]
    half = np.empty((points, side, channels), x.dtype)  # transformed along the rows only
    zero = x.dtype.type(0)
    for n in range(pictures):
        for i in range(down):
            for j in range(across):
                for v in range(side):
                    column = j * step + v - left
                    for p in range(points):
                        first = True  # of the terms, which is written, where others are added
                        for u in range(side):
                            row = i * step + u - top
                            factor = matrix[p, u]
                            if factor != 0 and 0 <= row < height and 0 <= column < width:
                                for c in range(channels):
                                    before = zero if first else half[p, v, c]
                                    half[p, v, c] = before + factor * x[n, row, column, c]
                                first = False
                        if first:
                            half[p, v] = zero
                for p in range(points):
                    for q in range(points):
                        first = True
                        for v in range(side):
                            factor = matrix[q, v]
                            if factor != 0:
                                for c in range(channels):
                                    before = zero if first else tiles[p, q, n, i, j, c]
                                    tiles[p, q, n, i, j, c] = before + factor * half[p, v, c]
                                first = False


@jit
def scatter_tiles(tiles: Array, matrix: Array, step: int, top: int, left: int, y: Array) -> None:
    """Add to a picture, where they lie, its tiles ``matrix^T tile matrix``: gather's transpose.

    Parameters
    ----------
    tiles : array of shape (points, points, N, down, across, C)
    matrix : array of shape (points, side)
    step, top, left : int
        As in `gather_tiles`.
    y : array of shape (N, H, W, C)
        Added to; what lies outside the picture is dropped.
    """
    pictures, height, width, channels = y.shape
    points, side = matrix.shape
    down, across = tiles.shape[3:5]
    half = np.empty((side, points, channels), y.dtype)
    zero = y.dtype.type(0)
    for n in range(pictures):
        for i in range(down):
            for j in range(across):
                for q in range(points):
                    for u in range(side):
                        first = True
                        for p in range(points):
                            factor = matrix[p, u]
                            if factor != 0:
                                for c in range(channels):
                                    before = zero if first else half[u, q, c]
                                    half[u, q, c] = before + factor * tiles[p, q, n, i, j, c]
                                first = False
                for u in range(side):
                    row = i * step + u - top
                    for v in range(side):
                        column = j * step + v - left
                        if 0 <= row < height and 0 <= column < width:
                            for q in range(points):
                                factor = matrix[q, v]
                                if factor != 0:
                                    for c in range(channels):
                                        y[n, row, column, c] += factor * half[u, q, c]
