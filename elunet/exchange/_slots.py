"""Where a network keeps its arrays, and how another library lays the same numbers out.

Two libraries' arrays differ by the order of their axes at most, after an axis that holds several
(the rows of a Linear behind Flatten: height, width and channels) has been split. `Layout` is that
one step and its inverse; a `Slot` is a layout with the place of the array in the network.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from elunet._checks import integer
from elunet._types import Array, Shape
from elunet.network import Network


@dataclass(frozen=True)
class Layout:
    """``theirs = ours.reshape(split).transpose(axes).reshape(theirs)``, and back.

    Attributes
    ----------
    ours, theirs : tuple of int
        The array's shapes here and there.
    split : tuple of int
        Our shape with composite axes split up.
    axes : tuple of int
        Which axis of `split` comes first, second, and so on, over there.
    """

    ours: Shape
    split: Shape
    axes: Shape
    theirs: Shape

    def give(self, array: Array) -> Array:
        """Return a copy in their layout."""
        return np.array(
            array.reshape(self.split).transpose(self.axes).reshape(self.theirs), order="C"
        )

    def take(self, array: Array) -> Array:
        """Return what they have, in our layout; it may be a view."""
        moved = tuple(self.split[axis] for axis in self.axes)
        return array.reshape(moved).transpose(np.argsort(self.axes)).reshape(self.ours)


def same(shape: Shape) -> Layout:
    """Return the layout of an array that both have alike."""
    return Layout(shape, shape, tuple(range(len(shape))), shape)


@dataclass(frozen=True)
class Slot:
    """One array of a network.

    Attributes
    ----------
    home : dict
        The layer's `params` or `state`.
    key : str
        Its name in there.
    ours, theirs : str
        What it is called here ("conv1.W") and there ("conv1.weight").
    layout : Layout
    """

    home: dict[str, Array]
    key: str
    ours: str
    theirs: str
    layout: Layout

    def give(self) -> Array:
        """Return a copy of the array in their layout, in its own dtype."""
        return self.layout.give(self.home[self.key])

    def difference(self, theirs: Array) -> str:
        """Say how an array of theirs does not fit; "" if it does."""
        if theirs.shape == self.layout.theirs and theirs.dtype.kind == "f":
            return ""
        return (
            f"  {self.theirs}, here {self.ours}: expected floats of shape {self.layout.theirs}, got"
            f" {theirs.dtype} of shape {theirs.shape}"
        )

    def take(self, theirs: Array) -> None:
        """Put their numbers here, without rounding: an array of float64 makes ours one, too."""
        ours = self.home[self.key]
        dtype = np.promote_types(ours.dtype, theirs.dtype)
        if dtype == ours.dtype:
            ours[...] = self.layout.take(theirs)  # so that whoever holds it sees it
        else:
            self.home[self.key] = np.array(self.layout.take(theirs), dtype, order="C")


def fill(owner: str, what: str, pairs: Sequence[tuple[Slot, Array]], problems: list[str]) -> None:
    """Put arrays into their slots, if all fit and there were no problems before.

    Raises
    ------
    ValueError
        Otherwise; it lists all differences, and nothing is changed.
    """
    problems = problems + [text for slot, array in pairs if (text := slot.difference(array))]
    if problems:
        listed = "\n".join(problems)
        raise ValueError(f"{owner}: expected {what} to fit the network, got differences:\n{listed}")
    for slot, array in pairs:
        slot.take(array)


def as_array(value: Any) -> Array:
    """Return a tensor of PyTorch's, an array or numbers as an array; bfloat16 as float32."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":  # which NumPy does not have
            value = value.float()
        value = value.numpy()
    return np.asarray(value)


def output_shapes(owner: str, net: Network, input_shape: Sequence[int]) -> dict[str, Shape]:
    """Return {name: shape without the batch} of the input and of every layer's output.

    One picture of zeros goes through layers that share our arrays but keep what they keep
    themselves, so that a backward pass may still follow the network's last forward pass.

    Raises
    ------
    TypeError, ValueError
        If `input_shape` is no shape, or the network does not take it.
    """
    if not isinstance(input_shape, Sequence) or isinstance(input_shape, str):
        raise TypeError(
            f"{owner}: expected input_shape as a tuple such as (32, 32, 3), got {input_shape!r}"
        )
    shape = tuple(integer(owner, "input_shape", size) for size in input_shape)
    twin = copy.copy(net)
    twin.nodes = [replace(node, layer=copy.copy(node.layer)) for node in net.nodes]
    twin.forward(np.zeros((1, *shape), np.float32))
    return {name: shape[1:] for name, shape in twin.shapes.items()}
