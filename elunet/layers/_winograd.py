"""The fast way to compute a convolution: Winograd's, for small kernels at stride 1 in float32.

The pictures' tiles and the kernel are transformed; n^2 products of matrices, one for each place in
a tile, do the rest. Both gradients are the transposes of the same three steps, so they are the
exact gradients of what forward computes. As with im2col, a few pictures at a time go through all
steps while their tiles are still in the cache. What is computed, and where the matrices come from,
is said in `elunet.kernels.winograd`.
"""

from __future__ import annotations

import numpy as np

from elunet import parallel
from elunet._types import Array
from elunet.kernels.sums import add_rows
from elunet.kernels.winograd import gather_tiles, matrices, scatter_tiles
from elunet.layers._products import SumOfProducts
from elunet.layers._windows import Windows
from elunet.workspace import empty

TILES = 64  # that one worker has at a time: few enough for the cache, enough for a fast product
SIDE = 4  # outputs of a tile, in each direction
KERNELS = ((2, 2), (3, 3))


def pays(windows: Windows) -> bool:
    """Return whether this way is faster than im2col, as far as measured.

    Transforms cost by the channel, what they save is products of channels: so it takes many. The
    products of a 2x2 kernel shrink less than those of a 3x3 one. And it takes many tiles to one
    kernel, whose own transform costs the same for few.
    """
    if windows.kernel not in KERNELS or windows.stride != 1 or min(windows.out) < SIDE:
        return False
    channels = 64 if windows.kernel == (3, 3) else 128
    tiles = windows.pictures * (windows.out[0] // SIDE) * (windows.out[1] // SIDE)
    return min(windows.in_channels, windows.out_channels) >= channels and tiles >= TILES


class Winograd:
    """A convolution as products of transformed tiles (V) and the transformed kernel (U).

    A tile is 4 x 4 outputs, or 2 x 2 where the output is no larger. At the edges tiles may reach
    beyond the picture: into zeros, and what they give there is dropped.
    """

    def __init__(self, windows: Windows, dtype: np.dtype[np.floating]) -> None:
        self.windows, self.dtype = windows, dtype
        self.side = SIDE if max(windows.out) > 2 else 2
        A, B, G = matrices(self.side, windows.kernel[0])
        self.A, self.B = A.astype(dtype), B.astype(dtype)
        self.G = np.kron(G, G).astype(dtype)  # both axes of a kernel at once
        self.places = len(self.G)
        self.grid = (-(-windows.out[0] // self.side), -(-windows.out[1] // self.side))
        self.workers = parallel.workers_for(windows.pictures)
        per_picture = self.grid[0] * self.grid[1]
        share = -(-windows.pictures // self.workers)
        self.block = max(1, min(TILES // per_picture, share))
        self.blocks = -(-share // self.block)
        tiles = self.places * self.block * per_picture
        self.V = empty((self.workers, tiles * windows.in_channels), dtype)
        self.M = empty((self.workers, tiles * windows.out_channels), dtype)

    def forward(self, x: Array, W: Array, b: Array | None) -> Array:
        """Return ``y = A^T (U V) A + b``, with U = G W G^T and V = B x B^T."""
        y = empty(self.windows.y_shape, self.dtype)
        U = self._transformed(W)

        def work(start: int, stop: int, worker: int) -> None:
            M = self._lend(self.M, stop - start, worker)
            np.matmul(_rows(self._inputs(x[start:stop], worker)), U, out=_rows(M))
            y[start:stop] = 0 if b is None else b
            scatter_tiles(M, self.A, self.side, 0, 0, y[start:stop])

        self.windows.run(work, self.workers, self.block)
        return y

    def kernel_gradient(self, x: Array, dy: Array, bias: bool) -> tuple[Array, Array]:
        """Return ``dW = G^T (V^T dM) G`` with dM = A dy A^T, and the bias's gradient."""
        shape = (self.places, self.windows.in_channels, self.windows.out_channels)
        dU = SumOfProducts(self.workers, self.blocks, shape, self.dtype)
        db = np.zeros((self.workers, self.windows.out_channels))

        def work(start: int, stop: int, worker: int) -> None:
            V = _rows(self._inputs(x[start:stop], worker))
            dM = _rows(self._outputs(dy[start:stop], worker))
            dU.add(worker, V.transpose(0, 2, 1), dM)
            if bias:
                add_rows(dy[start:stop].reshape(-1, dy.shape[-1]), db[worker])

        self.windows.run(work, self.workers, self.block)
        return dU.total(self.G.T), db.sum(axis=0)

    def input_gradient(self, dy: Array, W: Array) -> Array:
        """Return ``dx = B^T (dM U^T) B``, tiles added up where they overlap."""
        windows = self.windows
        dx = empty(windows.x_shape, self.dtype)
        down = self._transformed(W.swapaxes(2, 3))

        def work(start: int, stop: int, worker: int) -> None:
            dV = self._lend(self.V, stop - start, worker)
            np.matmul(_rows(self._outputs(dy[start:stop], worker)), down, out=_rows(dV))
            dx[start:stop] = 0
            scatter_tiles(dV, self.B, self.side, windows.top, windows.left, dx[start:stop])

        self.windows.run(work, self.workers, self.block)
        return dx

    def _inputs(self, pictures: Array, worker: int) -> Array:
        """Return V of these pictures."""
        V = self._lend(self.V, len(pictures), worker)
        gather_tiles(pictures, self.B, self.side, self.windows.top, self.windows.left, V)
        return V

    def _outputs(self, gradient: Array, worker: int) -> Array:
        """Return dM of these gradients."""
        dM = self._lend(self.M, len(gradient), worker)
        gather_tiles(gradient, self.A, self.side, 0, 0, dM)
        return dM

    def _lend(self, memory: Array, pictures: int, worker: int) -> Array:
        """Return where the tiles of some pictures belong: (n, n, pictures, down, across, C)."""
        points = len(self.A)
        channels = memory.shape[1] // (self.places * self.block * self.grid[0] * self.grid[1])
        shape = (points, points, pictures, *self.grid, channels)
        return memory[worker, : np.prod(shape)].reshape(shape)

    def _transformed(self, W: Array) -> Array:
        """Return U, one matrix of the kernel's last two axes for each place in a tile."""
        U = empty((self.places, *W.shape[2:]), self.dtype)
        flat = W.reshape(self.G.shape[1], -1)

        def work(start: int, stop: int, worker: int) -> None:
            np.matmul(self.G[start:stop], flat, out=U[start:stop].reshape(stop - start, -1))

        parallel.run(work, self.places, self.workers)
        return U


def _rows(tiles: Array) -> Array:
    """Return (places, tiles, C): for each place in a tile a matrix."""
    return tiles.reshape(tiles.shape[0] * tiles.shape[1], -1, tiles.shape[-1])
