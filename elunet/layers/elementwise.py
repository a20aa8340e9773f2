"""What activations share: y = f(x), elementwise, and a slope that is computed from y or from x."""

from __future__ import annotations

from collections.abc import Iterator

from elunet._types import Array
from elunet.layers.spans import SpanLayer

AT_ONCE = 1 << 17  # numbers, so few that what was copied is still in the cache


class Elementwise(SpanLayer):
    """A layer that maps each number on its own.

    A subclass, ``class MyActivation(Elementwise, spans=True)``, defines `apply` and `apply_slope`.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> class Cube(eln.layers.Elementwise, spans=True):
    ...     slope_from = "x"
    ...
    ...     def apply(self, x):
    ...         x *= x * x
    ...
    ...     def apply_slope(self, dy, x):
    ...         dy *= 3 * x * x
    >>> eln.testing.check_layer(Cube(), np.array([[1.0, -2.0]]))
    Cube(): ok
    array  max abs error  max rel error  entries checked
    dx     ...            ...            2 of 2
    """

    pointwise = symmetric = True
    slope_from = "y"
    """The array that `apply_slope` needs, "y" (the output) or "x" (the input)."""

    def apply(self, x: Array) -> None:
        """Put f(x) in x's place; x is contiguous, of shape (n,)."""
        raise NotImplementedError(f"{self!r}: an activation has to define apply(x)")

    def apply_slope(self, dy: Array, y: Array) -> None:
        """Multiply dy by f'(x), given y = f(x), or x itself if `slope_from` is "x"."""
        raise NotImplementedError(f"{self!r}: an activation has to define apply_slope(dy, y)")

    @property
    def in_place(self) -> bool:  # type: ignore[override]
        """Whether y may overwrite x, which it may unless x is kept."""
        return self.slope_from == "y"

    def needed_rows(self, start: int, stop: int) -> tuple[int, int]:
        """Return the same rows."""
        return start, stop

    def allocate(self, x: Array, y: Array) -> tuple[Array, ...]:
        """Return the array that the slope is computed from."""
        return (y if self.slope_from == "y" else x,)

    def forward_span(self, x: Array, y: Array, kept: Array) -> None:
        """Write y = f(x)."""
        for part in copied(x, y):
            self.apply(y[part].reshape(-1))

    def backward_span(self, dy: Array, dx: Array, kept: Array) -> None:
        """Write dx = dy f'(x)."""
        for part in copied(dy, dx):
            self.apply_slope(dx[part].reshape(-1), kept[part].reshape(-1))

    def __repr__(self) -> str:
        numbers = [f"{k}={v:g}" for k, v in vars(self).items() if isinstance(v, float)]
        return f"{type(self).__name__}({', '.join(numbers)})"


def copied(source: Array, target: Array) -> Iterator[slice]:
    """Copy source to target, part by part, and yield each part while it is in the cache."""
    if source is target:
        yield slice(None)
        return
    step = max(1, AT_ONCE // max(1, source[:1].size))
    for first in range(0, len(source), step):
        part = slice(first, first + step)
        target[part] = source[part]
        yield part
