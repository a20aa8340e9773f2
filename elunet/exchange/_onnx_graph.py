"""An ONNX file's graph while it becomes a network: what its names stand for, and its constants.

Files also compute with constants, such as sizes of images. What comes out is a constant here too.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from elunet._types import Array, Shape
from elunet.layers import Layer
from elunet.network import Network

STANDARD = ("", "ai.onnx")
"""The names of ONNX's own set of operators."""
TO_FIRST, TO_LAST = (0, 3, 1, 2), (0, 2, 3, 1)

UNKNOWN = -1  # a size that the file leaves open
MOVED = {
    **dict.fromkeys(["Cast", "Gather", "Identity", "Slice", "Squeeze", "Unsqueeze"], 1),
    "Concat": 1000,
}
"""For operators whose outputs are numbers of their inputs, how many first inputs those are."""


@dataclass(frozen=True)
class Value:
    """The value that a name in the file stands for.

    Attributes
    ----------
    node : str
        The network's layer whose output it is, or its input.
    first : bool
        Whether its channels come first in the file, but last in the network.
    flat : tuple of int or None
        (C, H, W) that it was flattened from in the file; in the network (H, W, C).
    """

    node: str
    first: bool = False
    flat: Shape | None = None


@dataclass
class Graph:
    """The file's nodes and constants, and the network that was made of it so far."""

    onnx: Any
    model: Any
    is_own: bool
    net: Network = field(default_factory=Network)
    values: dict[str, Value] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    """Constants that depend on a size which the file leaves open, such as the batch's."""

    def __post_init__(self) -> None:
        self.graph = self.model.graph
        self.version = max(
            (each.version for each in self.model.opset_import if each.domain in STANDARD), default=1
        )
        to_array = self.onnx.numpy_helper.to_array
        self.constants = {each.name: to_array(each) for each in self.graph.initializer}
        for node in self.graph.node:
            if node.op_type == "Constant":
                ((kind, value),) = self.attributes(node).items()
                array = to_array(value) if kind == "value" else np.asarray(value)
                self.constants[node.output[0]] = array
        known = (*self.graph.input, *self.graph.value_info, *self.graph.output)
        self.shapes = {
            each.name: [dim.dim_value for dim in each.type.tensor_type.shape.dim] for each in known
        }

    def turn(self, node: Any) -> Shape | None:
        """Return the order in which a Transpose puts axes, or a Reshape the only channel."""
        if node.op_type == "Transpose":
            return tuple(self.attributes(node).get("perm", []))
        if node.op_type == "Reshape":
            before, after = self.shape(node.input[0])[1:], self.shape(node.output[0])[1:]
            if len(before) == len(after) == 3:
                if before[2] == 1 and after == [1, *before[:2]]:
                    return TO_FIRST
                if before[0] == 1 and after == [*before[1:], 1]:
                    return TO_LAST
        return None

    def fold(self, node: Any) -> bool:
        """Compute a node that depends only on constants and sizes; return whether it does."""
        inputs, output = [name for name in node.input if name], node.output[0]
        if node.op_type == "Shape" and self.shape(inputs[0]):
            given, dims = self.attributes(node), self.shape(inputs[0])
            dims = [size or UNKNOWN for size in dims][given.get("start", 0) : given.get("end")]
            self.constants[output] = np.array(dims, np.int64)
            unsure = UNKNOWN in dims
        elif inputs and all(name in self.constants for name in inputs):
            self.constants[output] = self._computed(node, inputs)
            moved = MOVED.get(node.op_type, 0)
            unsure = any(name in self.unsure for name in inputs[moved:]) or (
                any(name in self.unsure for name in inputs[:moved])
                and bool((self.constants[output] == UNKNOWN).any())
            )
        else:
            return False
        if unsure:
            self.unsure.add(output)
        return True

    def _computed(self, node: Any, inputs: list[str]) -> Array:
        """Return a node's output, by ONNX's own reference."""
        helper, kind = self.onnx.helper, self.onnx.TensorProto.UNDEFINED
        ends = (
            [helper.make_tensor_value_info(n, kind, None) for n in names]
            for names in (inputs, node.output)
        )
        model = helper.make_model(
            helper.make_graph([node], "one", *ends), opset_imports=self.model.opset_import
        )
        reference = importlib.import_module("onnx.reference").ReferenceEvaluator(model)
        try:
            return np.asarray(reference.run(None, {n: self.constants[n] for n in inputs})[0])
        except Exception as error:  # the operator's own
            raise self.refused(node, "constants that can be computed") from error

    def shape(self, name: str) -> list[int]:
        """Return a value's shape, 0 where a size is open; [] if nothing is known."""
        return self.shapes.get(name, [])

    def attributes(self, node: Any) -> dict[str, Any]:
        get = self.onnx.helper.get_attribute_value
        return {each.name: get(each) for each in node.attribute}

    def refused(self, node: Any, expected: str) -> ValueError:
        inputs = ", ".join(node.input)
        return ValueError(
            f"from_onnx: expected {expected}, got {node.op_type}({inputs}), node"
            f" {node.name or node.output[0]!r}"
        )

    def value(self, name: str) -> Value:
        if name not in self.values:
            raise ValueError(f"from_onnx: expected {name!r} to be computed by a layer, got none")
        return self.values[name]

    def rank(self, name: str) -> int:
        """Return how many axes a value has; 2 if the file does not say."""
        return len(self.shape(name)) or 2

    def constant(self, node: Any, place: int) -> Array:
        name = node.input[place] if place < len(node.input) else ""
        if name not in self.constants or name in self.unsure:
            raise self.refused(node, f"input {place} to be a constant")
        return np.asarray(self.constants[name])

    def add(self, layer: Layer, *values: Value) -> str:
        return self.net.add(layer, inputs=[value.node for value in values])

    def keep(self, node: Any, layer: Layer, output: str = "") -> None:
        """Add an elementwise layer: the order of axes stays."""
        (name,) = [n for n in node.input if n and n not in self.constants][:1] or [""]
        value = self.value(name)
        made = self.add(layer, value)
        self.values[output or node.output[0]] = Value(made, value.first, value.flat)

    def same(self, node: Any) -> None:
        """Let an output stand for the input."""
        self.values[node.output[0]] = self.value(node.input[0])

    def image(self, node: Any) -> Value:
        value = self.value(node.input[0])
        if not value.first:
            raise self.refused(node, "an image with channels first")
        return value

    def takers(self, name: str) -> list[Any]:
        """Return the nodes that compute with a value."""
        return [n for n in self.graph.node if name in n.input and n.op_type != "Shape"]

    def has_constant(self, node: Any) -> bool:
        return any(name in self.constants for name in node.input)

    def operand(self, node: Any) -> tuple[str, Value]:
        """Return the one input that is not a constant."""
        (name,) = [name for name in node.input if name not in self.constants][:1]
        return name, self.value(name)

    def is_alone(self, layer: str) -> bool:
        """Return whether a layer's output is used once."""
        ends = {each.name for each in self.graph.output}
        names = [name for name, value in self.values.items() if value.node == layer]
        return all(len(self.takers(name)) == 1 and name not in ends for name in names)


def floats(array: Array) -> Array:
    with np.errstate(over="ignore"):  # an infinity is reported
        return finite(np.array(array, np.float32, order="C"))


def finite(array: Array) -> Array:
    if not np.isfinite(array).all():
        raise ValueError("expected finite weights, got a NaN or an infinity")
    return array


def is_one_pixel(flat: Shape) -> bool:
    channels, height, width = flat
    return min(channels, height * width) == 1


def channels_last(flat: Shape) -> Array:
    """Return the places of (H, W, C) in what the file has as (C, H, W)."""
    return np.arange(int(np.prod(flat))).reshape(flat).transpose(1, 2, 0).reshape(-1)
