"""Sums gradients over ranks while the backward walk is still running.

A walk finishes layers from the output down. Their gradients lie one after another in flat arrays,
the buckets; when the last layer of a bucket is done, its sum is asked for and the walk continues.
MPI moves messages only while a process calls it. So a thread calls it every millisecond while the
kernels run; where the MPI allows calls from one thread only, each layer's turn calls it once.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from elunet._types import Array

SMALLEST = 1 << 18  # bytes: a message of less costs more than it moves
PAUSE = 0.001  # seconds between two calls: 1 Gbit/s moves 125 kB meanwhile, less than TCP buffers


class Bucket:
    """Gradients of some layers that follow one another in the walk, in one flat array.

    Parameters
    ----------
    layers : sequence of Layer
    dtype : dtype
    """

    def __init__(self, layers: Sequence[Any], dtype: np.dtype[Any]) -> None:
        self.last = layers[-1]
        shapes = [(layer, key, value.shape) for layer in layers for key, value in _params(layer)]
        self.flat = np.zeros(sum(int(np.prod(shape)) for *_, shape in shapes), dtype)
        self.views: list[tuple[Any, str, Array]] = []
        start = 0
        for layer, key, shape in shapes:
            stop = start + int(np.prod(shape))
            self.views.append((layer, key, self.flat[start:stop].reshape(shape)))
            start = stop

    def offer(self) -> None:
        """Let the layers write their gradients here."""
        for layer, key, view in self.views:
            layer.grads[key] = view

    def take(self) -> None:
        """Copy the gradients of layers that wrote them elsewhere."""
        for layer, key, view in self.views:
            there = layer.grads[key]
            if there is not view:
                view[...] = there
                layer.grads[key] = view


class Buckets:
    """All gradients of a network, for one walk after another.

    Parameters
    ----------
    mpi : module
        `mpi4py.MPI`.
    comm : mpi4py.MPI.Intracomm
    layers : sequence of Layer
        Those with parameters, in the walk's order.
    dtype : dtype
    smallest : int
        Bytes from which on a bucket is full.
    """

    def __init__(
        self,
        mpi: Any,
        comm: Any,
        layers: Sequence[Any],
        dtype: np.dtype[Any],
        smallest: int = SMALLEST,
    ) -> None:
        self._mpi, self._comm = mpi, comm
        self.layers, self.dtype = list(layers), dtype
        self.shapes = _shapes(layers)
        self.buckets: list[Bucket] = []
        pending: list[Any] = []
        for layer in layers:
            pending.append(layer)
            size = sum(value.size for one in pending for _, value in _params(one))
            if size * dtype.itemsize >= smallest:
                self.buckets.append(Bucket(pending, dtype))
                pending = []
        if pending:
            self.buckets.append(Bucket(pending, dtype))
        self._requests: list[Any] = []
        self._mover: _Mover | None = None
        self._threads = mpi.Query_thread() == mpi.THREAD_MULTIPLE

    def fits(self, layers: Sequence[Any], dtype: np.dtype[Any]) -> bool:
        """Return whether these are the layers and arrays that it was made for."""
        same = len(layers) == len(self.layers) and all(
            one is other for one, other in zip(layers, self.layers, strict=True)
        )
        return same and dtype == self.dtype and _shapes(layers) == self.shapes

    def begin(self) -> None:
        """Begin a walk."""
        self._stop_mover()  # of a walk that an error ended
        self._requests = []
        for bucket in self.buckets:
            bucket.offer()

    def fills(self, layer: Any) -> bool:
        """Return whether a bucket is full, and can be sent, once it has this layer's gradients."""
        sent = len(self._requests)
        return sent < len(self.buckets) and self.buckets[sent].last is layer

    def send(self) -> None:
        """Send the bucket that is full; its gradients are there."""
        bucket = self.buckets[len(self._requests)]
        bucket.take()
        self._requests.append(self._comm.Iallreduce(self._mpi.IN_PLACE, bucket.flat, self._mpi.SUM))
        if self._threads and self._mover is None and len(self._requests) < len(self.buckets):
            self._mover = _Mover(self._requests)

    def poll(self) -> None:
        """Let the messages that were sent make progress."""
        if self._requests and self._mover is None:
            self._mpi.Request.Testall(self._requests)

    def wait(self) -> None:
        """Return when all sums are there."""
        self._stop_mover()
        self._mpi.Request.Waitall(self._requests)

    def _stop_mover(self) -> None:
        if self._mover is not None:
            self._mover.stop()
            self._mover = None


class _Mover:
    """A thread that moves messages while the kernels run, from a first message to the walk's end.

    The walk adds requests to the list. Nothing else calls them until `stop`.
    """

    def __init__(self, requests: Sequence[Any]) -> None:
        self._requests = requests
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._move, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _move(self) -> None:
        while not self._over.wait(PAUSE):
            for request in self._requests:
                request.Test()


def _params(layer: Any) -> list[tuple[str, Array]]:
    return list(layer.params.items())


def _shapes(layers: Sequence[Any]) -> list[tuple[int, ...]]:
    return [value.shape for layer in layers for _, value in _params(layer)]
