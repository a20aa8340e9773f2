"""Padding of images (zeros, mirror images, copies of the border), and its gradient."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from elunet._checks import integer
from elunet._types import Array
from elunet.layers.base import Layer

Sides = tuple[tuple[int, int], tuple[int, int]]
"""((top, bottom), (left, right))"""
Padding = str | int | tuple[int, int] | Sides
"""The paddings of windows ("same", "valid", an integer, (height, width), or all sides)."""
Mode = Literal["zeros", "reflect", "replicate"]

NUMPY_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge"}


def pad(x: Array, sides: Sides, mode: Mode) -> Array:
    """Return images (N, H, W, C) with rows and columns around them."""
    wide = np.pad(x, ((0, 0), *sides, (0, 0)), NUMPY_MODES[mode])  # type: ignore[call-overload]  # a str
    return np.asarray(wide, order="C")


def fold(dy: Array, sides: Sides, mode: Mode) -> Array:
    """Return the gradient of the padded images: a pixel gets the sum over all its copies."""
    for axis, (before, after) in enumerate(sides, 1):
        rows = np.moveaxis(dy, axis, 0)
        end = len(rows) - after
        inside = rows[before:end]
        if mode != "zeros" and before + after > 0:
            inside = inside.copy()
            if mode == "reflect":
                inside[1 : before + 1] += rows[:before][::-1]
                inside[len(inside) - 1 - after : -1] += rows[end:][::-1]
            else:
                inside[0] += rows[:before].sum(axis=0)
                inside[-1] += rows[end:].sum(axis=0)
        dy = np.moveaxis(inside, 0, axis)
    return dy


def check_room(layer: Layer, x: Array, sides: Sides, mode: Mode) -> None:
    """Raise a ValueError if images are too small to be padded like that."""
    least = 0 if mode == "zeros" else 1
    for size, side in zip(x.shape[1:3], sides, strict=True):
        needed = max(side) + 1 if mode == "reflect" else least
        if any(side) and size < needed:
            raise ValueError(
                f"{layer!r}: expected x of at least {needed} pixels along a padded axis, got"
                f" shape {x.shape}"
            )


def checked_mode(owner: str, name: str, mode: object) -> Mode:
    """Return a mode; a ValueError if it is not one."""
    if not isinstance(mode, str) or mode not in NUMPY_MODES:
        raise ValueError(f"{owner}: expected {name} among {[*NUMPY_MODES]}, got {mode!r}")
    return mode  # type: ignore[return-value]  # it is one of them


def sides_or_same(owner: str, padding: object) -> Sides | None:
    """Return the pixels on each side; None for "same", where they depend on the image."""
    if isinstance(padding, str) and padding in ("same", "valid"):
        return None if padding == "same" else ((0, 0), (0, 0))
    return four_sides(owner, padding, '"same", "valid", ')


def around(sides: Sides | None, axis: int, size: int, reach: int, stride: int) -> tuple[int, int]:
    """Return the pixels before and after an image of this size, along an axis.

    "same", None, is TensorFlow's: as many as ceil(size / stride) windows need, half of them
    (rounded down) before. `reach` is how many pixels a window covers, from its first to its last.
    """
    if sides is not None:
        return sides[axis]
    total = max((math.ceil(size / stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def shortest(sides: Sides) -> tuple[int, int] | Sides:
    """Return (height, width) where both sides of each are equal."""
    (top, bottom), (left, right) = sides
    return (top, left) if (top, left) == (bottom, right) else sides


def as_given(sides: Sides | None) -> int | tuple[int, int] | Sides:
    """Return the shortest form: one number where all sides are equal."""
    (top, bottom), (left, right) = sides or ((0, 0), (0, 0))
    return top if top == bottom == left == right else shortest(((top, bottom), (left, right)))


def four_sides(owner: str, padding: object, texts: str = "") -> Sides:
    """Return ((top, bottom), (left, right)) from an integer, two, or two pairs.

    Raises
    ------
    TypeError, ValueError
        If it is not one; `texts` are the words that are taken too.
    """
    pair = padding if isinstance(padding, tuple | list) else (padding, padding)
    sides = [one if isinstance(one, tuple | list) else (one, one) for one in pair]
    if isinstance(padding, str) or len(sides) != 2 or any(len(side) != 2 for side in sides):
        raise ValueError(
            f"{owner}: expected padding as {texts}an integer, (height, width) or ((top, bottom),"
            f" (left, right)), got {padding!r}"
        )
    (top, bottom), (left, right) = (
        [integer(owner, "padding", pixels, 0) for pixels in side] for side in sides
    )
    return (top, bottom), (left, right)
