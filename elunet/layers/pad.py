"""Pad: rows and columns around an image."""

from __future__ import annotations

from typing import Literal

import numpy as np

from elunet._checks import integer
from elunet._quiet import quiet
from elunet._types import Array
from elunet.layers.base import Layer

Sides = tuple[tuple[int, int], tuple[int, int]]
Mode = Literal["zeros", "reflect", "replicate"]

NUMPY_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge"}


class Pad(Layer):
    """Pad images with zeros, with their mirror image, or with copies of their border.

    Parameters
    ----------
    padding : int, (int, int) or ((int, int), (int, int))
        Pixels on all sides; (height, width); or ((top, bottom), (left, right)).
    mode : "zeros", "reflect" or "replicate", default "zeros"
        "reflect" mirrors without the border itself: b c | a b c | b a needs images larger than the
        padding. "replicate" repeats the border: a a | a b c | c c.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of these; in `forward`, if x is no batch of images, or they are too
        small to be mirrored.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import Pad
    >>> x = np.array([1.0, 2.0, 3.0]).reshape(1, 1, 3, 1)
    >>> Pad(((0, 0), (2, 1)), "reflect").forward(x)[0, 0, :, 0]
    array([3., 2., 1., 2., 3., 2.])
    """

    def __init__(self, padding: int | tuple[int, int] | Sides, mode: Mode = "zeros") -> None:
        super().__init__()
        self.padding = _sides(padding)
        if not isinstance(mode, str) or mode not in NUMPY_MODES:
            raise ValueError(f"Pad: expected mode among {[*NUMPY_MODES]}, got {mode!r}")
        self.mode: Mode = mode

    def forward(self, x: Array, train: bool = False) -> Array:
        """Return y, (N, top + H + bottom, left + W + right, C)."""
        x = self.check_input(x, ("N", "H", "W", "C"))
        least = {"zeros": 0, "reflect": 1, "replicate": 1}[self.mode]
        for size, sides in zip(x.shape[1:3], self.padding, strict=True):
            needed = max(sides) + 1 if self.mode == "reflect" else least
            if any(sides) and size < needed:
                raise ValueError(
                    f"{self!r}: expected x of at least {needed} pixels along a padded axis, got"
                    f" shape {x.shape}"
                )
        y = np.pad(x, ((0, 0), *self.padding, (0, 0)), NUMPY_MODES[self.mode])  # type: ignore[call-overload]
        self.keep(y.shape, y.dtype)
        return np.asarray(y, order="C")

    @quiet
    def backward_input(self, dy: Array) -> Array:
        """Return dx: each pixel gets the gradients of all its copies, summed."""
        dx = self.check_gradient(dy, *self.recall())
        for axis, (before, after) in enumerate(self.padding, 1):
            dx = self._folded(dx, axis, before, after)
        return np.array(dx, order="C")

    def _folded(self, dy: Array, axis: int, before: int, after: int) -> Array:
        """Add what lies in the padding along an axis to the pixels that it was copied from."""
        rows = np.moveaxis(dy, axis, 0)
        end = len(rows) - after
        inside = rows[before:end]
        if self.mode != "zeros" and before + after > 0:
            inside = inside.copy()
            if self.mode == "reflect":
                inside[1 : before + 1] += rows[:before][::-1]
                inside[len(inside) - 1 - after : -1] += rows[end:][::-1]
            else:
                inside[0] += rows[:before].sum(axis=0)
                inside[-1] += rows[end:].sum(axis=0)
        return np.moveaxis(inside, 0, axis)

    def __repr__(self) -> str:
        (top, bottom), (left, right) = self.padding
        sides = f"{top}" if top == bottom == left == right else f"{self.padding}"
        return f"Pad({sides})" if self.mode == "zeros" else f"Pad({sides}, {self.mode!r})"


def _sides(padding: object) -> Sides:
    """Return ((top, bottom), (left, right))."""
    pair = padding if isinstance(padding, tuple | list) else (padding, padding)
    sides = [one if isinstance(one, tuple | list) else (one, one) for one in pair]
    if len(sides) != 2 or any(len(side) != 2 for side in sides):
        raise ValueError(
            "Pad: expected padding as an integer, (height, width) or ((top, bottom), (left,"
            f" right)), got {padding!r}"
        )
    (top, bottom), (left, right) = (
        [integer("Pad", "padding", pixels, 0) for pixels in side] for side in sides
    )
    return (top, bottom), (left, right)
