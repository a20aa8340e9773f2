"""Layers with windows: what overlapping windows, a stride or a flip do if backward forgets them.

The layer is recognized from its numbers (the output is the maximum or the mean of windows, or a
correlation with a kernel among the inputs), and the numeric gradient has to be the one of that
layer. Then the known mistakes are computed, and one that gives the analytic gradient is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from elunet._types import Array
from elunet.testing._diagnose.evidence import Evidence

SMALL = 20_000
"""Larger arrays are not looked at."""


@dataclass(frozen=True)
class Geometry:
    """Windows of one size and stride, the same along both axes."""

    size: tuple[int, int]
    stride: int
    pad: int

    def positions(self, y: Array) -> Iterator[tuple[int, int]]:
        """Yield the places of the output, as loops do."""
        yield from product(range(y.shape[1]), range(y.shape[2]))

    def window(self, i: int, j: int, stride: int | None = None) -> tuple[slice, slice, slice]:
        """Return the place in the padded input of the window of output (i, j)."""
        s = self.stride if stride is None else stride
        rows = slice(i * s, i * s + self.size[0])
        return slice(None), rows, slice(j * s, j * s + self.size[1])


def windows(e: Evidence) -> str:
    """Compare with the mistakes of a pooling layer or a convolution."""
    if e.dy is None or e.y is None or e.dy.size < 2 or e.y.ndim not in (3, 4):
        return ""
    if max(e.value.size, e.y.size) > SMALL:
        return ""
    for x_name, x in e.inputs.items():
        if np.ndim(x) != e.y.ndim:
            continue
        for layout in ("last", "first") if e.y.ndim == 4 else ("length last", "length first"):
            text = _in_layout(e, x_name, np.asarray(x, np.float64), layout)
            if text:
                return text
    return ""


def _in_layout(e: Evidence, x_name: str, x: Array, layout: str) -> str:
    """Look at arrays converted to (N, H, W, C)."""
    if e.y is None or e.dy is None:
        return ""
    there, back = _orders(layout)
    images, y, dy = there(x), there(e.y), there(e.dy)
    if len(images) != len(y):
        return ""
    if x_name == e.symbol and images.shape[3] == y.shape[3]:
        for geometry in _geometries(images.shape[1:3], y.shape[1:3], None):
            text = _pooling(e, images, y, dy, geometry, back)
            if text:
                return text
    for name, kernel in e.inputs.items():
        if np.ndim(kernel) != x.ndim or name == x_name:
            continue
        for K, restore in _kernels(np.asarray(kernel, np.float64), images, y, layout):
            for geometry in _geometries(images.shape[1:3], y.shape[1:3], K.shape[:2]):
                text = ""
                if e.symbol == name:
                    text = _kernel_gradient(e, images, dy, geometry, K, restore)
                elif e.symbol == x_name:
                    text = _input_gradient(e, images, dy, geometry, K, back)
                if text:
                    return text
    return ""


Move = Callable[[Array], Array]


def _orders(layout: str) -> tuple[Move, Move]:
    """Return how to bring an array to (N, H, W, C), and back."""
    if layout == "last":
        return (lambda v: v), (lambda v: v)
    if layout == "first":
        return (lambda v: v.transpose(0, 2, 3, 1)), (lambda v: v.transpose(0, 3, 1, 2))
    if layout == "length last":  # (N, C, L)
        return (lambda v: v.transpose(0, 2, 1)[:, None]), (lambda v: v[:, 0].transpose(0, 2, 1))
    return (lambda v: v[:, None]), (lambda v: v[:, 0])  # (N, L, C)


def _kernels(kernel: Array, x: Array, y: Array, layout: str) -> Iterator[tuple[Array, Move]]:
    """Yield the kernel as (kh, kw, C_in, C_out) in the orders that fit, and the inverse."""
    if kernel.ndim == 3:  # a kernel along one axis
        for flat_order in ((0, 1, 2), (2, 1, 0), (0, 2, 1), (1, 2, 0)):
            K = kernel.transpose(flat_order)[None]
            if K.shape[2:] == (x.shape[3], y.shape[3]):
                back = tuple(np.argsort(flat_order))
                yield K, lambda v, back=back: v[0].transpose(back)  # type: ignore[misc]
        return
    for order in ((0, 1, 2, 3), (2, 3, 1, 0), (2, 3, 0, 1), (1, 2, 3, 0)):
        K = kernel.transpose(order)
        if K.shape[2:] == (x.shape[3], y.shape[3]):
            back = tuple(np.argsort(order))
            yield K, lambda v, back=back: v.transpose(back)  # type: ignore[misc]


def _geometries(
    inside: tuple[int, ...], outside: tuple[int, ...], size: tuple[int, ...] | None
) -> Iterator[Geometry]:
    """Yield the windows with which an input of this size gives this output."""
    (h, w), (ho, wo) = inside, outside
    sizes = [size] if size else [(1 if h == 1 else k, 1 if w == 1 else k) for k in range(2, 6)]
    for (kh, kw), stride in product(sizes, range(1, 5)):
        for pad in range(max(kh, kw) if size else 1):
            ph, pw = (0 if h == 1 else pad), (0 if w == 1 else pad)
            if h + 2 * ph < kh or w + 2 * pw < kw:
                continue
            fits_h = (h + 2 * ph - kh) // stride + 1 == ho
            fits_w = (w + 2 * pw - kw) // stride + 1 == wo
            if fits_h and fits_w:
                yield Geometry((kh, kw), stride, pad)


def _padded(x: Array, g: Geometry) -> Array:
    ph, pw = (0 if n == 1 else g.pad for n in x.shape[1:3])
    return np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)))


def _cropped(x: Array, like: Array, g: Geometry) -> Array:
    ph, pw = (0 if n == 1 else g.pad for n in like.shape[1:3])
    return x[:, ph : ph + like.shape[1], pw : pw + like.shape[2]]


Write = Callable[[Array, tuple[slice, slice, slice], Array], None]


def _add(out: Array, at: tuple[slice, slice, slice], term: Array) -> None:
    out[at] += term


def _put(out: Array, at: tuple[slice, slice, slice], term: Array) -> None:
    out[at] = term


def _pooling(e: Evidence, x: Array, y: Array, dy: Array, g: Geometry, back: Move) -> str:
    """Mistakes of max and mean pooling."""
    views = {(i, j): x[g.window(i, j)] for i, j in g.positions(y)}
    for kind in ("max", "mean"):
        reduce = np.max if kind == "max" else np.mean
        pooled = {at: reduce(view, axis=(1, 2), keepdims=True) for at, view in views.items()}
        if not all(np.allclose(pooled[i, j][:, 0, 0], y[:, i, j], 1e-9) for i, j in pooled):
            continue

        def backward(write: Write, stride: int, kind: str = kind) -> Array:
            dx = np.zeros_like(x)
            for i, j in g.positions(y):
                at = g.window(i, j, stride)
                view, term = x[at], dy[:, i, j][:, None, None]
                is_max = view == view.max(axis=(1, 2), keepdims=True)
                share = is_max if kind == "max" else np.full(view.shape, 1 / view[0, ..., 0].size)
                write(dx, at, share * term)
            return back(dx)

        if not e.is_right(backward(_add, g.stride)):
            continue
        text = _named(e, backward, g, e.array or "dx")
        if text:
            return text
    return ""


def _named(e: Evidence, backward: Callable[[Write, int], Array], g: Geometry, what: str) -> str:
    if e.is_analytic(e.pick(backward(_put, g.stride))):
        return f"overlapping windows overwrite each other: {what}[window] = where += is needed"
    if g.stride > 1 and e.is_analytic(e.pick(backward(_add, 1))):
        return (
            f"the stride {g.stride} is forgotten in backward: output (i, j) belongs to the window "
            f"that starts at ({g.stride} i, {g.stride} j)"
        )
    if g.stride > 1 and e.is_analytic(e.pick(backward(_put, 1))):
        return (
            f"the stride {g.stride} is forgotten in backward, and overlapping windows overwrite "
            "each other"
        )
    return ""


def _input_gradient(e: Evidence, x: Array, dy: Array, g: Geometry, K: Array, back: Move) -> str:
    padded = _padded(x, g)

    def backward(write: Write, stride: int, kernel: Array = K, by_channel: bool = False) -> Array:
        dx = np.zeros_like(padded)
        for i, j in g.positions(dy):
            at = g.window(i, j, stride)
            terms = np.einsum("no,hwio->nhwio", dy[:, i, j], kernel)
            write(dx, at, terms[..., -1] if by_channel else terms.sum(axis=-1))
        return back(_cropped(dx, x, g))

    if not e.is_right(backward(_add, g.stride)):
        return ""
    text = _named(e, backward, g, e.array or "dx")
    if text:
        return text
    if e.is_analytic(e.pick(backward(_put, g.stride, by_channel=True))):
        return "windows overwrite each other, and so do channels: = where += is needed"
    if e.is_analytic(e.pick(backward(_add, g.stride, K[::-1, ::-1]))):
        return "the kernel is flipped in the backward pass, and should not be (or twice)"
    K_swapped = np.swapaxes(K, 2, 3)
    if K.shape[2] == K.shape[3] and e.is_analytic(e.pick(backward(_add, g.stride, K_swapped))):
        return "the kernel's input and output channels are exchanged in the backward pass"
    return ""


def _kernel_gradient(e: Evidence, x: Array, dy: Array, g: Geometry, K: Array, restore: Move) -> str:
    padded = _padded(x, g)

    def gradient(write: Write, stride: int, by_image: bool = False) -> Array:
        dK = np.zeros_like(K)
        everything = (slice(None), slice(None), slice(None))
        images = [slice(n, n + 1) for n in range(len(x))] if by_image else [slice(None)]
        for part in images:
            for i, j in g.positions(dy):
                view = padded[g.window(i, j, stride)][part]
                write(dK, everything, np.einsum("nhwi,no->hwio", view, dy[part, i, j]))
        return restore(dK)

    if not e.is_right(gradient(_add, g.stride)):
        return ""
    if g.stride > 1 and e.is_analytic(e.pick(gradient(_add, 1))):
        return (
            f"the stride {g.stride} is forgotten in the kernel's gradient: output (i, j) belongs "
            f"to the window that starts at ({g.stride} i, {g.stride} j)"
        )
    for by_image in (False, True):
        if e.is_analytic(e.pick(gradient(_put, g.stride, by_image))):
            return "only the last window counts: the gradient is overwritten, = where += is needed"
    return ""
