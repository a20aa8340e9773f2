"""Pad: rows and columns around an image."""

from __future__ import annotations

import numpy as np

from elunet._checks import integer
from elunet._quiet import quiet
from elunet._types import Array
from elunet.layers._padding import Mode, Sides, check_room, checked_mode, fold, four_sides, pad
from elunet.layers.base import Layer


class Pad(Layer):
    """Pad images with zeros, with their mirror image, or with copies of their border.

    Parameters
    ----------
    padding : int, (int, int) or ((int, int), (int, int))
        Pixels on all sides; (height, width); or ((top, bottom), (left, right)).
    mode : "zeros", "reflect" or "replicate", default "zeros"
        "reflect" mirrors without the border itself, c b | a b c | b a, and needs images larger than
        the padding. "replicate" repeats the border: a a | a b c | c c.
    channels : (int, int), default (0, 0)
        Channels of zeros before and after those of x, whatever the mode.

    Raises
    ------
    TypeError, ValueError
        If an argument is not one of these; in `forward`, if x is not a batch of images, or they are
        too small to be mirrored.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import Pad
    >>> x = np.array([1.0, 2.0, 3.0]).reshape(1, 1, 3, 1)
    >>> Pad(((0, 0), (2, 1)), "reflect").forward(x)[0, 0, :, 0]
    array([3., 2., 1., 2., 3., 2.])
    """

    linear = True

    def __init__(
        self,
        padding: int | tuple[int, int] | Sides,
        mode: Mode = "zeros",
        channels: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__()
        self.padding = four_sides("Pad", padding)
        if not isinstance(channels, tuple | list) or len(channels) != 2:
            raise ValueError(f"Pad: expected channels as (before, after), got {channels!r}")
        before, after = (integer("Pad", "channels", count, 0) for count in channels)
        self.channels = before, after
        self.mode = checked_mode("Pad", "mode", mode)

    def forward(self, x: Array, train: bool = False) -> Array:
        """Return y, (N, top + H + bottom, left + W + right, before + C + after)."""
        x = self.check_input(x, ("N", "H", "W", "C"))
        check_room(self, x, self.padding, self.mode)
        y = pad(x, self.padding, self.mode)
        if any(self.channels):
            y = np.pad(y, ((0, 0), (0, 0), (0, 0), self.channels))
        self.keep(y.shape, y.dtype)
        return y

    @quiet
    def backward_input(self, dy: Array) -> Array:
        """Return dx: each pixel gets the gradients of all its copies, summed."""
        dy = self.check_gradient(dy, *self.recall())
        before, after = self.channels
        dy = dy[..., before : dy.shape[-1] - after]
        return np.array(fold(dy, self.padding, self.mode), order="C")

    def __repr__(self) -> str:
        (top, bottom), (left, right) = self.padding
        sides = f"{top}" if top == bottom == left == right else f"{self.padding}"
        mode = "" if self.mode == "zeros" else f", {self.mode!r}"
        channels = f", channels={self.channels}" if any(self.channels) else ""
        return f"Pad({sides}{mode}{channels})"
