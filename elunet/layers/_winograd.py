"""The fast way to compute a convolution: Winograd's, for small kernels at stride 1 in float32.

The images' tiles and the kernel are transformed; n^2 products of matrices, one for each place in
a tile, do the rest. Both gradients are the transposes of the same three steps, so they are the
exact gradients of what forward computes. As with im2col, a few images at a time go through all
steps while their tiles are still in the cache. `elunet.kernels.winograd` explains the computation
and its matrices.
"""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.kernels import _jit
from elunet.kernels.dot import is_fast
from elunet.kernels.lanes import LANES
from elunet.kernels.sums import add_rows
from elunet.kernels.winograd import Matrix, gather_tiles, matrices, scatter_tiles, transform
from elunet.layers._windows import Windows
from elunet.layers.spans import (
    Queue,
    Split,
    Sum,
    empty,
    even,
    new_sums,
    run,
    scratch,
    workers_for,
)

MEMORY = 1 << 21  # bytes of tiles that are taken at a time, at least
SIDE = 4  # outputs of a tile, in each direction
PAGE, LINE = 1024, 16  # float32 numbers of a memory page and of a line of the cache
KERNELS = ((2, 2), (3, 3))
LEAST = {(2, 2): (16, 32), (3, 3): (16, 16)}  # channels, and tiles, from which on it is faster
PLAIN = 96  # channels, where transforms are in NumPy, and products are BLAS's


def pays(windows: Windows) -> bool:
    """Return whether this is faster than im2col, according to measurements.

    Transforms cost by the channel, what they save is products of channels: so it takes some. The
    products of a 2x2 kernel shrink less than those of a 3x3 one. And it takes some tiles to one
    kernel, whose own transform costs the same for few.
    """
    if windows.kernel not in KERNELS or windows.stride != 1 or min(windows.out) < SIDE:
        return False
    channels, least = LEAST[windows.kernel]
    if _jit.PLAIN and is_fast():
        channels = PLAIN
    tiles = windows.images * (windows.out[0] // SIDE) * (windows.out[1] // SIDE)
    return min(windows.in_channels, windows.out_channels) >= channels and tiles >= least


class Winograd:
    """A convolution as products of transformed tiles (V) and the transformed kernel (U).

    A tile is 4 x 4 outputs, or 2 x 2 where the output is no larger. At the edges tiles may reach
    beyond the image: into zeros, and what they give there is dropped.
    """

    def __init__(self, windows: Windows, dtype: np.dtype[np.floating], threads: int) -> None:
        self.windows, self.dtype = windows, dtype
        self.side = SIDE if max(windows.out) > 2 else 2
        A, B, G = matrices(self.side, windows.kernel[0])
        self.A, self.B = Matrix(A), Matrix(B)
        self.A_T, self.B_T = Matrix(A.T), Matrix(B.T)
        self.points = len(A)
        self.G, self.G_T = Matrix(G), Matrix(G.T)
        self.places = len(A) ** 2
        self.grid = (-(-windows.out[0] // self.side), -(-windows.out[1] // self.side))
        self.workers = workers_for(windows.images, windows.cost, threads)
        # With fewer images than threads, these share the places, whose products are independent.
        idle = self.workers < threads
        self.hands = workers_for(self.places, windows.cost, threads) if idle else 1
        share = -(-windows.images // self.workers)
        # The transformed kernel is read once for each block of tiles, so blocks grow with it.
        per_tile = (windows.in_channels + windows.out_channels) * self.places * dtype.itemsize
        kernel = windows.in_channels * windows.out_channels * self.places * dtype.itemsize
        tiles = max(MEMORY, 4 * kernel) // per_tile
        self.split = Split(self.workers, even(share, tiles // (self.grid[0] * self.grid[1])))

    def kernel(self, W: Array) -> Array:
        """Return ``U = G W G^T``, for each place in a tile a matrix (C_in, C_out)."""
        U = empty((self.places, *W.shape[2:]), self.dtype)
        flat = np.ascontiguousarray(W).reshape(W.shape[0] * W.shape[1], -1)
        target = U.reshape(self.places, -1)
        blocks = -(-flat.shape[1] // LANES)

        def work(start: int, stop: int, worker: int) -> None:
            transform(flat, self.G, start, stop, target)

        run(work, blocks, workers_for(blocks, U.size), cost=U.size)
        return U

    def transposed_kernel(self, W: Array) -> Array:
        """Return U^T, for each place a matrix (C_out, C_in)."""
        return self.kernel(W.swapaxes(2, 3))

    def forward_span(self, x: Array, y: Array, kernel: Array, b: Array | None) -> None:
        """Write ``y = A^T (V U) A + b``, with V = B x B^T."""
        V, M = self._scratch(len(x))
        self._gather_inputs(x, V)
        self._multiply(V.rows, kernel, M.rows)
        y[...] = 0 if b is None else b
        scatter_tiles(M.numbers, self.A_T, self.side, 0, 0, self.grid, y)

    def start_rows(self, queue: Queue, x: Array, y: Array, kernel: Array, b: Array | None) -> bool:
        """Return False: tiles are several rows."""
        return False

    def gradient_span(self, x: Array, dy: Array, dU: Sum, db: Array | None) -> None:
        """Add ``dU = V^T dM`` with dM = A dy A^T, and the bias's gradient."""
        V, dM = self._scratch(len(x))
        self._gather_inputs(x, V)
        gather_tiles(dy, self.A, self.side, 0, 0, self.grid, dM.numbers)
        dU.add(V.rows.transpose(0, 2, 1), dM.rows)
        if db is not None:
            add_rows(dy.reshape(-1, dy.shape[-1]), db)

    def backward_span(self, dy: Array, dx: Array, kernel: Array) -> None:
        """Write ``dx = B^T (dM U^T) B``, tiles added up where they overlap."""
        dV, dM = self._scratch(len(dy))
        gather_tiles(dy, self.A, self.side, 0, 0, self.grid, dM.numbers)
        self._multiply(dM.rows, kernel, dV.rows)
        dx[...] = 0
        top, left = self.windows.top, self.windows.left
        scatter_tiles(dV.numbers, self.B_T, self.side, top, left, self.grid, dx)

    def new_sums(self, several: bool) -> list[Sum]:
        """Return the sums of the gradient dU, one for each worker."""
        shape = (self.places, self.windows.in_channels, self.windows.out_channels)
        return new_sums(self.workers, shape, self.dtype, several)

    def total(self, sums: list[Sum]) -> Array:
        """Return ``dW = G^T dU G`` as a matrix.

        Each worker transforms its own sum, which is large where the result is small.
        """
        shares = empty((len(sums), self.G.rows.shape[1] ** 2, sums[0].array[0].size), self.dtype)

        def work(start: int, stop: int, worker: int) -> None:
            dU = sums[worker].value().reshape(self.places, -1)
            transform(dU, self.G_T, 0, -(-dU.shape[1] // LANES), shares[worker])

        run(work, len(sums), len(sums))
        return np.asarray(shares.sum(axis=0))

    def _multiply(self, tiles: Array, kernel: Array, results: Array) -> None:
        """Write the product of each place."""
        if self.hands == 1:
            np.matmul(tiles, kernel, out=results)
            return

        def work(start: int, stop: int, worker: int) -> None:
            np.matmul(tiles[start:stop], kernel[start:stop], out=results[start:stop])

        run(work, self.places, self.hands)

    def _gather_inputs(self, x: Array, V: _Tiles) -> None:
        top, left = self.windows.top, self.windows.left
        gather_tiles(x, self.B, self.side, top, left, self.grid, V.numbers)

    def _scratch(self, images: int) -> tuple[_Tiles, _Tiles]:
        """Return memory for the tiles of the inputs and of the outputs."""
        tiles = images * self.grid[0] * self.grid[1]
        channels = self.windows.in_channels, self.windows.out_channels
        room = [-(-tiles * count // PAGE) * PAGE + LINE for count in channels]
        memory = np.split(scratch((self.places * sum(room),), self.dtype), [self.places * room[0]])
        inputs, outputs = (
            _Tiles(part.reshape(self.places, -1), tiles, count)
            for part, count in zip(memory, channels, strict=True)
        )
        return inputs, outputs


class _Tiles:
    """Transformed tiles: for each place in a tile a matrix, one after the other with some room.

    They do not begin a multiple of a memory page apart: of such places, a processor's cache holds
    only a few.
    """

    def __init__(self, numbers: Array, tiles: int, channels: int) -> None:
        self.numbers = numbers
        self.rows = numbers[:, : tiles * channels].reshape(len(numbers), tiles, channels)
