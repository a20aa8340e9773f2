"""Pairs a network's arrays with another library's names and memory layouts.

Two libraries' arrays differ at most by the order of their axes, after an axis that combines several
(the rows of a Linear after Flatten: height, width and channels) has been split. `Layout` is that
step and its inverse. An `Entry` is one array of the network with its layout and both its names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from elunet._checks import integer, plain
from elunet._types import Array, Shape
from elunet.network import Network


@dataclass(frozen=True)
class Layout:
    """``theirs = ours.reshape(split).transpose(axes).reshape(theirs)``, and back.

    Attributes
    ----------
    ours, theirs : tuple of int
        The array's shape in elunet and in the other library.
    split : tuple of int
        Our shape with composite axes split.
    axes : tuple of int
        Which axis of `split` is the first, second, and so on, in the other library.
    """

    ours: Shape
    split: Shape
    axes: Shape
    theirs: Shape

    def to_theirs(self, array: Array) -> Array:
        """Return a copy in their layout."""
        return np.array(
            array.reshape(self.split).transpose(self.axes).reshape(self.theirs), order="C"
        )

    def to_ours(self, array: Array) -> Array:
        """Return their array in our layout; it may be a view."""
        moved = tuple(self.split[axis] for axis in self.axes)
        return array.reshape(moved).transpose(np.argsort(self.axes)).reshape(self.ours)


def same(shape: Shape) -> Layout:
    """Return the layout of an array that is the same in both."""
    return Layout(shape, shape, tuple(range(len(shape))), shape)


@dataclass(frozen=True)
class Entry:
    """One array of a network, and what it is in the other library.

    Attributes
    ----------
    home : dict
        The layer's `params` or `state`.
    key : str
        Its name in that dict.
    ours, theirs : str
        Its name in elunet ("conv1.W") and in the other library ("conv1.weight").
    layout : Layout
    """

    home: dict[str, Array]
    key: str
    ours: str
    theirs: str
    layout: Layout

    def exported(self) -> Array:
        """Return a copy of the array in their layout and its own dtype."""
        return self.layout.to_theirs(self.home[self.key])

    def difference(self, theirs: Array) -> str:
        """Say how their array does not fit; "" if it does."""
        if theirs.shape == self.layout.theirs and theirs.dtype.kind == "f":
            if not np.isfinite(theirs).all():
                return (
                    f"  {self.theirs}, here {self.ours}: expected finite numbers, got a NaN or inf"
                )
            if not self.home[self.key].flags.writeable:
                return (
                    f"  {self.theirs}: expected {self.ours} to be writable, got a read-only array"
                )
            return ""
        return (
            f"  {self.theirs}, here {self.ours}: expected floats of shape {self.layout.theirs}, got"
            f" {theirs.dtype} of shape {theirs.shape}"
        )

    def converted(self, theirs: Array) -> Array:
        """Return a copy of their numbers without rounding: float64 if either is."""
        dtype = np.promote_types(self.home[self.key].dtype, theirs.dtype)
        return np.array(self.layout.to_ours(theirs), dtype, order="C")

    def load(self, new: Array) -> None:
        """Put a `converted` array into the network."""
        ours = self.home[self.key]
        if new.dtype == ours.dtype:
            ours[...] = new  # in place, for those who hold the array
        else:
            self.home[self.key] = new


def fill(owner: str, what: str, pairs: Sequence[tuple[Entry, Array]], problems: list[str]) -> None:
    """Load arrays into the network, if all fit and no problem was found before.

    Raises
    ------
    ValueError
        Otherwise; it lists all differences, and nothing changes.
    """
    problems = problems + [text for entry, array in pairs if (text := entry.difference(array))]
    if problems:
        listed = "\n".join(problems)
        raise ValueError(f"{owner}: expected {what} to fit the network, got differences:\n{listed}")
    converted = [entry.converted(array) for entry, array in pairs]  # may run out of memory
    for (entry, _), array in zip(pairs, converted, strict=True):
        entry.load(array)


def as_array(owner: str, value: Any) -> Array:
    """Return a PyTorch tensor, an array or numbers as an array; bfloat16 becomes float32.

    Raises
    ------
    TypeError
        If it is a masked array.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":  # which NumPy does not have
            value = value.float()
        value = value.numpy()
    return plain(owner, "arrays", value)


def output_shapes(owner: str, net: Network, input_shape: Sequence[int]) -> dict[str, Shape]:
    """Return {name: shape without the batch} of the input and of every layer's output.

    One image of zeros goes through copies of the layers. They share the network's arrays, but what
    they keep is their own, so a backward pass may still follow the network's last forward pass.

    Raises
    ------
    TypeError, ValueError
        If `input_shape` is not a shape, or the network does not take it.
    """
    if not isinstance(input_shape, Sequence) or isinstance(input_shape, str):
        raise TypeError(
            f"{owner}: expected input_shape as a tuple such as (32, 32, 3), got {input_shape!r}"
        )
    shape = tuple(integer(owner, "input_shape", size) for size in input_shape)
    twin = net.aside()
    twin.forward(np.zeros((1, *shape), np.float32))
    return {name: shape[1:] for name, shape in twin.shapes.items()}
