"""Networks from ONNX files.

ONNX has channels first, elunet last. So for each value of the file it is kept in which order its
axes are: as in elunet, with channels first, or flattened from an image with channels first. The
last makes the next Linear's rows come in another order, as for PyTorch.

Files also compute with constants, such as sizes of images. What comes out is a constant here too.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from elunet._types import Array, Shape
from elunet.exchange._onnx import PRODUCER
from elunet.graph import INPUT
from elunet.layers import (
    CELU,
    ELU,
    GELU,
    SELU,
    AdaptiveMeanPool2D,
    Add,
    BatchNorm,
    ClippedReLU,
    Concat,
    Conv2D,
    Dropout,
    Flatten,
    GlobalMaxPool2D,
    GlobalMeanPool2D,
    GroupNorm,
    HardTanh,
    InstanceNorm,
    Layer,
    LayerNorm,
    LeakyReLU,
    Linear,
    LogSoftmax,
    MaxPool2D,
    MeanPool2D,
    Multiply,
    Pad,
    PReLU,
    ReLU,
    ShiftedReLU,
    Sigmoid,
    Softmax,
    Softplus,
    Tanh,
)
from elunet.layers._padding import Mode
from elunet.layers.selu import ALPHA, SCALE
from elunet.network import Network
from elunet.storage.files import read

STANDARD = ("", "ai.onnx")
"""The names of ONNX's own set of operators."""
FLOATS = (1, 10, 11, 16)
"""ONNX's numbers for float32, float16, float64 and bfloat16."""
MODES: dict[str, Mode] = {"constant": "zeros", "reflect": "reflect", "edge": "replicate"}
TO_FIRST, TO_LAST = (0, 3, 1, 2), (0, 2, 3, 1)

UNKNOWN = -1  # a size that the file leaves open
MOVED = {
    **dict.fromkeys(["Cast", "Gather", "Identity", "Slice", "Squeeze", "Unsqueeze"], 1),
    "Concat": 1000,
}
"""For operators whose outputs are numbers of their inputs, how many first inputs those are."""
ELEMENTWISE = {"Add", "Cast", "Div", "Identity", "Mul", "Pad", "Sub"}
TRANSFORMED = (Conv2D, Linear, BatchNorm, LayerNorm, GroupNorm, InstanceNorm)


def from_onnx(file: str | os.PathLike[str]) -> Network:
    """Return the network of an ONNX file, with its weights.

    Parameters
    ----------
    file : path
        With one input and one output. Images may come with channels first, as PyTorch writes them;
        the network takes them channels last, (N, H, W, C).

    Returns
    -------
    Network
        Ready to predict, and to be trained on.

    Raises
    ------
    ImportError
        If the package onnx is missing: ``pip install onnx``.
    ValueError
        If the file is no ONNX model, has several inputs or outputs, or a weight that is not finite,
        or an operator, or a use of one, that elunet cannot express; the message names the first
        such node.
    OSError
        If it cannot be read.

    Notes
    -----
    elunet's own files, and those that PyTorch and Keras write of convolutional networks, are read:
    convolutions, Gemm and MatMul, pooling, batch, layer, group and instance normalization, the
    usual activations, additions, products, concatenations, padding, flattening. Only weights inside
    the file are read. A factor or a shift for each channel goes into the layer before it, or
    becomes a convolution of size 1.

    Examples
    --------
    >>> import tempfile
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Conv2D(3, 4, 3), eln.layers.ReLU()], seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     eln.exchange.to_onnx(net, (8, 8, 3), f"{folder}/net.onnx")
    ...     print(eln.exchange.from_onnx(f"{folder}/net.onnx"))
    Network(
      conv1: Conv2D(3->4, 3x3, padding (1, 1)) of input
      relu1: ReLU() of conv1
    )
    """
    try:
        onnx = importlib.import_module("onnx")
    except ImportError as error:
        raise ImportError(
            "from_onnx: expected the package onnx to be installed (pip install onnx), got none"
        ) from error
    try:
        model = onnx.load_model_from_string(read("from_onnx", file))
        onnx.checker.check_model(model)
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (OSError, ImportError):
        raise
    except Exception as error:  # protobuf's own, and the checker's
        raise ValueError(f"from_onnx: expected {file} as an ONNX model, got {error}") from error
    return _Reader(onnx, model, model.producer_name == PRODUCER).network()


@dataclass(frozen=True)
class _Value:
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
class _Reader:
    """Goes through a graph's nodes, and adds a layer for each."""

    onnx: Any
    model: Any
    is_own: bool
    net: Network = field(default_factory=Network)
    values: dict[str, _Value] = field(default_factory=dict)
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
                ((kind, value),) = self._attributes(node).items()
                array = to_array(value) if kind == "value" else np.asarray(value)
                self.constants[node.output[0]] = array
        known = (*self.graph.input, *self.graph.value_info, *self.graph.output)
        self.shapes = {
            each.name: [dim.dim_value for dim in each.type.tensor_type.shape.dim] for each in known
        }

    def network(self) -> Network:
        """Return the network."""
        given = [each for each in self.graph.input if each.name not in self.constants]
        if len(given) != 1 or len(self.graph.output) != 1:
            raise ValueError(
                "from_onnx: expected one input and one output, got"
                f" {[each.name for each in given]} and {[each.name for each in self.graph.output]}"
            )
        name = given[0].name
        last = self.is_own or len(self.shapes[name]) != 4 or self._is_turned(name)
        self.values[name] = _Value(INPUT, first=not last)
        for node in self.graph.node:
            if node.op_type != "Constant" and node.output[0] not in self.skipped:
                try:
                    self._read(node)
                except (TypeError, ValueError) as error:  # from a layer's own checks
                    if str(error).startswith("from_onnx:"):
                        raise
                    raise self._refused(
                        node, f"arguments that a layer accepts ({error})"
                    ) from error
        self._check_end(self._value(self.graph.output[0].name))
        if not self.net.nodes:
            raise ValueError("from_onnx: expected at least one layer, got none")
        return self.net

    def _check_end(self, end: _Value) -> None:
        if end.flat is not None and not _is_one_pixel(end.flat):
            raise ValueError(
                "from_onnx: expected an output of classes or images, got a flattened image, whose"
                " numbers have another order in elunet"
            )
        if self.net.nodes and end.node != self.net.nodes[-1].name:
            self.net.outputs = [end.node]

    def _is_turned(self, name: str) -> bool:
        """Return whether channels move first before a layer looks where they are."""
        names = {name}
        for node in self.graph.node:
            if names & {*node.input}:
                if self._turn(node) == TO_FIRST:
                    return True
                if node.op_type in SIMPLE or node.op_type in ELEMENTWISE:
                    names |= {*node.output}
        return False

    def _turn(self, node: Any) -> Shape | None:
        """Return the order in which a Transpose puts axes, or a Reshape the only channel."""
        if node.op_type == "Transpose":
            return tuple(self._attributes(node).get("perm", []))
        if node.op_type == "Reshape":
            before, after = self._shape(node.input[0])[1:], self._shape(node.output[0])[1:]
            if len(before) == len(after) == 3:
                if before[2] == 1 and after == [1, *before[:2]]:
                    return TO_FIRST
                if before[0] == 1 and after == [*before[1:], 1]:
                    return TO_LAST
        return None

    def _read(self, node: Any) -> None:
        """Add the layer of a node of the file."""
        if node.domain not in STANDARD:
            raise self._refused(node, f"an operator of the ONNX standard, not of {node.domain!r}")
        if self.is_own and self._take_own(node):
            return
        if self._fold(node):
            return
        if node.op_type in SIMPLE:
            self._keep(node, SIMPLE[node.op_type](self._attributes(node)))
        elif node.op_type in READERS:
            READERS[node.op_type](self, node, self._attributes(node))
        else:
            raise self._refused(node, "an operator that elunet has a layer for")

    def _take_own(self, node: Any) -> bool:
        """Take an activation that `to_onnx` wrote as several nodes; say whether it is one."""
        layer, _, operator = node.name.partition(".")
        group = [each for each in self.graph.node if each.name.startswith(f"{layer}.")]
        kinds = {each.op_type for each in group}
        made: Layer
        if operator == "Min" and f"{layer}.2_alpha" in self.constants:
            made = ELU(float(self.constants[f"{layer}.2_alpha"]) / 2)
        elif kinds in ({"Mul", "Add", "Erf"}, {"Mul", "Add", "Tanh"}):
            made = GELU("Tanh" in kinds)
        else:
            return False
        self._keep(node, made, output=group[-1].output[0])
        self.skipped |= {name for each in group for name in each.output}
        return True

    # Constants.

    def _fold(self, node: Any) -> bool:
        """Compute a node that depends only on constants and sizes; return whether it does."""
        inputs, output = [name for name in node.input if name], node.output[0]
        if node.op_type == "Shape" and self._shape(inputs[0]):
            given, dims = self._attributes(node), self._shape(inputs[0])
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
            raise self._refused(node, "constants that can be computed") from error

    # What several operators need.

    def _shape(self, name: str) -> list[int]:
        """Return a value's shape, 0 where a size is open; [] if nothing is known."""
        return self.shapes.get(name, [])

    def _attributes(self, node: Any) -> dict[str, Any]:
        get = self.onnx.helper.get_attribute_value
        return {each.name: get(each) for each in node.attribute}

    def _refused(self, node: Any, expected: str) -> ValueError:
        inputs = ", ".join(node.input)
        return ValueError(
            f"from_onnx: expected {expected}, got {node.op_type}({inputs}), node"
            f" {node.name or node.output[0]!r}"
        )

    def _value(self, name: str) -> _Value:
        if name not in self.values:
            raise ValueError(f"from_onnx: expected {name!r} to be computed by a layer, got none")
        return self.values[name]

    def _rank(self, name: str) -> int:
        """Return how many axes a value has; 2 if the file does not say."""
        return len(self._shape(name)) or 2

    def _constant(self, node: Any, place: int) -> Array:
        name = node.input[place] if place < len(node.input) else ""
        if name not in self.constants or name in self.unsure:
            raise self._refused(node, f"input {place} to be a constant")
        return np.asarray(self.constants[name])

    def _add(self, layer: Layer, *values: _Value) -> str:
        return self.net.add(layer, inputs=[value.node for value in values])

    def _keep(self, node: Any, layer: Layer, output: str = "") -> None:
        """Add an elementwise layer: the order of axes stays."""
        (name,) = [n for n in node.input if n and n not in self.constants][:1] or [""]
        value = self._value(name)
        made = self._add(layer, value)
        self.values[output or node.output[0]] = _Value(made, value.first, value.flat)

    def _same(self, node: Any) -> None:
        """Let an output stand for the input."""
        self.values[node.output[0]] = self._value(node.input[0])

    def _image(self, node: Any) -> _Value:
        value = self._value(node.input[0])
        if not value.first:
            raise self._refused(node, "an image with channels first")
        return value

    # Layers with weights.

    def _conv(self, node: Any, given: dict[str, Any]) -> None:
        value, W = self._image(node), self._constant(node, 1)
        if W.ndim != 4:
            raise self._refused(node, "a convolution of images")
        groups, strides = given.get("group", 1), tuple(given.get("strides", [1, 1]))
        layer = Conv2D(
            W.shape[1] * groups,
            W.shape[0],
            W.shape[2:],
            strides,
            self._padding(node, given),
            bias=len(node.input) > 2,
            seed=0,
            groups=groups,
            dilation=tuple(given.get("dilations", [1, 1])),
        )
        layer.params["W"] = _floats(W.transpose(2, 3, 1, 0))
        if layer.bias:
            layer.params["b"] = _floats(self._constant(node, 2))
        self.values[node.output[0]] = _Value(self._add(layer, value), first=True)

    def _padding(self, node: Any, given: dict[str, Any]) -> Any:
        """Return the padding of a window, as elunet's layers take it."""
        auto = given.get("auto_pad", b"NOTSET").decode()
        if auto in ("NOTSET", "VALID"):
            top, left, bottom, right = given.get("pads", [0] * 4) if auto == "NOTSET" else [0] * 4
            return (top, bottom), (left, right)
        if auto == "SAME_UPPER":
            return "same"
        raise self._refused(node, "auto_pad SAME_UPPER, VALID or NOTSET")

    def _gemm(self, node: Any, given: dict[str, Any]) -> None:
        plain = given.get("alpha", 1.0) == given.get("beta", 1.0) == 1.0
        if not plain or given.get("transA", 0):
            raise self._refused(node, "alpha and beta of 1, and no transA")
        W = self._constant(node, 1)
        b = self._constant(node, 2) if len(node.input) > 2 and node.input[2] else None
        if b is not None and b.size != max(b.shape[-1:], default=1):
            raise self._refused(node, "a bias for each output")
        self._linear(node, W.T if given.get("transB", 0) else W, b)

    def _matmul(self, node: Any, given: dict[str, Any]) -> None:
        W = self._constant(node, 1)
        if W.ndim != 2:
            raise self._refused(node, "a product with a matrix")
        self._linear(node, W, None)

    def _linear(self, node: Any, W: Array, b: Array | None) -> None:
        """Add a product with a matrix; over the channels of images a convolution of size 1."""
        value, axes = self._value(node.input[0]), self._rank(node.input[0])
        if value.first or axes not in (2, 4):
            raise self._refused(node, "rows, or images with channels last")
        if value.flat and int(np.prod(value.flat)) != len(W):
            raise self._refused(node, f"{int(np.prod(value.flat))} rows of a matrix")
        layer: Conv2D | Linear
        if axes == 2:
            layer = Linear(W.shape[0], W.shape[1], bias=b is not None, seed=0)
            layer.params["W"] = _floats(W[_rows(value.flat)] if value.flat else W)
        else:
            layer = Conv2D(W.shape[0], W.shape[1], 1, bias=b is not None, seed=0)
            layer.params["W"] = _floats(W[None, None])
        if b is not None:
            layer.params["b"] = _floats(np.broadcast_to(b.reshape(-1), W.shape[1:]))
        self.values[node.output[0]] = _Value(self._add(layer, value))

    def _batchnormalization(self, node: Any, given: dict[str, Any]) -> None:
        value = self._value(node.input[0])
        if given.get("training_mode", 0) or not given.get("spatial", 1):
            raise self._refused(node, "the running statistics of channels, not training_mode")
        arrays = [self._constant(node, place) for place in range(1, 5)]
        if (arrays[3] < 0).any():
            raise self._refused(node, "variances of at least 0")
        if value.flat is not None:
            arrays = [array[_rows(value.flat)] for array in arrays]
        elif not value.first and len(self.shapes.get(node.input[0], [0, 0])) > 2:
            raise self._refused(node, "an image with channels first")
        layer = BatchNorm(
            len(arrays[0]), 1 - float(given.get("momentum", 0.9)), float(given.get("epsilon", 1e-5))
        )
        layer.params["gamma"], layer.params["beta"] = map(_floats, arrays[:2])
        layer.state["running_mean"], layer.state["running_var"] = (
            np.array(_finite(array), np.float64) for array in arrays[2:]
        )
        self._keep(node, layer)

    def _layernormalization(self, node: Any, given: dict[str, Any]) -> None:
        value, arrays = self._value(node.input[0]), self._gamma_and_beta(node)
        rank = self._rank(node.input[0])
        if value.first or given.get("axis", -1) % rank != rank - 1:
            raise self._refused(node, "normalization over the last axis, the channels")
        if value.flat is not None:
            arrays = [array[_rows(value.flat)] for array in arrays]
        layer = LayerNorm(len(arrays[0]), eps=float(given.get("epsilon", 1e-5)))
        self._normalized(node, layer, arrays)

    def _instancenormalization(self, node: Any, given: dict[str, Any]) -> None:
        self._image(node)
        arrays = self._gamma_and_beta(node)
        eps = float(given.get("epsilon", 1e-5))
        self._normalized(node, InstanceNorm(len(arrays[0]), affine=True, eps=eps), arrays)

    def _groupnormalization(self, node: Any, given: dict[str, Any]) -> None:
        """Read opset 21's; opset 18's, of one number for each group, became deprecated with it."""
        self._image(node)
        channels, groups = self._shape(node.input[0])[1], given["num_groups"]
        arrays = self._gamma_and_beta(node)
        if not channels:
            raise self._refused(node, "a known number of channels")
        arrays = [np.repeat(array, channels // len(array)) for array in arrays]
        layer = GroupNorm(groups, channels, eps=float(given.get("epsilon", 1e-5)))
        self._normalized(node, layer, arrays)

    def _gamma_and_beta(self, node: Any) -> list[Array]:
        gamma = self._constant(node, 1)
        if gamma.ndim != 1:
            raise self._refused(node, "one factor for each channel")
        given = len(node.input) > 2 and node.input[2]
        return [gamma, self._constant(node, 2) if given else np.zeros_like(gamma)]

    def _normalized(
        self, node: Any, layer: LayerNorm | GroupNorm | InstanceNorm, arrays: list[Array]
    ) -> None:
        layer.params["gamma"], layer.params["beta"] = map(_floats, arrays)
        self._keep(node, layer)

    def _prelu(self, node: Any, given: dict[str, Any]) -> None:
        slopes = self._per_channel(node, "one slope, or one for each channel")
        layer = PReLU(slopes.size)
        layer.params["alpha"] = _floats(slopes)
        self._keep(node, layer)

    # Pooling and shapes.

    def _maxpool(self, node: Any, given: dict[str, Any]) -> None:
        if {*given.get("dilations", [1])} != {1}:
            raise self._refused(node, "no dilation")
        self._pool(node, given, MaxPool2D)

    def _averagepool(self, node: Any, given: dict[str, Any]) -> None:
        if {*given.get("dilations", [1])} != {1}:
            raise self._refused(node, "no dilation")
        inside = {"count_include_pad": bool(given.get("count_include_pad", 0))}
        self._pool(node, given, MeanPool2D, **inside)

    def _pool(
        self, node: Any, given: dict[str, Any], kind: Callable[..., Layer], **more: Any
    ) -> None:
        value, size = self._image(node), tuple(given["kernel_shape"])
        strides = tuple(given.get("strides", [1, 1]))
        padding, ceil = self._padding(node, given), bool(given.get("ceil_mode", 0))
        layer = kind(size, strides, padding, ceil, **more)
        self.values[node.output[0]] = _Value(self._add(layer, value), first=True)

    def _globalaveragepool(self, node: Any, given: dict[str, Any]) -> None:
        made = self._add(AdaptiveMeanPool2D(1), self._image(node))
        self.values[node.output[0]] = _Value(made, first=True)

    def _globalmaxpool(self, node: Any, given: dict[str, Any]) -> None:
        sizes = self._shape(node.input[0])[2:]
        if len(sizes) != 2 or not all(sizes):
            raise self._refused(node, "an image whose size is known")
        made = self._add(MaxPool2D((sizes[0], sizes[1])), self._image(node))
        self.values[node.output[0]] = _Value(made, first=True)

    def _reducemean(self, node: Any, given: dict[str, Any]) -> None:
        self._reduced(node, given, GlobalMeanPool2D(), AdaptiveMeanPool2D(1))

    def _reducemax(self, node: Any, given: dict[str, Any]) -> None:
        self._reduced(node, given, GlobalMaxPool2D(), None)

    def _reduced(self, node: Any, given: dict[str, Any], rows: Layer, images: Layer | None) -> None:
        """Add a layer that reduces an image's pixels, to rows or to images of one pixel."""
        value = self._value(node.input[0])
        axes = list(self._constant(node, 1)) if len(node.input) > 1 else given.get("axes", [])
        wanted = [2, 3] if value.first else [1, 2]
        if len(self._shape(node.input[0])) != 4 or sorted(int(n) % 4 for n in axes) != wanted:
            raise self._refused(node, "a reduction over an image's pixels")
        if not given.get("keepdims", 1):
            self.values[node.output[0]] = _Value(self._add(rows, value))
        elif images is None:
            raise self._refused(node, "keepdims of 0")
        else:
            self.values[node.output[0]] = _Value(self._add(images, value), value.first)

    def _flatten(self, node: Any, given: dict[str, Any]) -> None:
        if given.get("axis", 1) != 1:
            raise self._refused(node, "axis 1")
        self._flattened(node)

    def _reshape(self, node: Any, given: dict[str, Any]) -> None:
        if self._turn(node):
            self._transpose(node, given)
        elif not self._take_groups(node):
            self._flattened(node)

    def _take_groups(self, node: Any) -> bool:
        """Take a group normalization: each group as a channel of an InstanceNormalization."""
        value, shape = self._value(node.input[0]), self._shape(node.input[0])
        rows = len(shape) == 2 and value.flat is None
        (norm,) = self._takers(node.output[0]) or [node]
        if norm.op_type != "InstanceNormalization" or not (value.first or rows):
            return False
        (back,) = self._takers(norm.output[0]) or [node]
        scale, shift = self._constant(norm, 1), self._constant(norm, 2)
        groups, channels = scale.size, shape[1]
        sizes = self._shape(back.output[0])
        if back.op_type != "Reshape" or sizes[1:] != shape[1:] or not channels:
            raise self._refused(norm, "groups that become channels again")
        layer = GroupNorm(groups, channels, eps=float(self._attributes(norm).get("epsilon", 1e-5)))
        layer.params["gamma"], layer.params["beta"] = (
            _floats(np.repeat(array, channels // groups)) for array in (scale, shift)
        )
        self.values[back.output[0]] = _Value(self._add(layer, value), value.first)
        self.skipped |= {norm.output[0], back.output[0]}
        return True

    def _takers(self, name: str) -> list[Any]:
        """Return the nodes that compute with a value."""
        return [n for n in self.graph.node if name in n.input and n.op_type != "Shape"]

    def _flattened(self, node: Any) -> None:
        value, shape = self._value(node.input[0]), self._shape(node.input[0])
        out = self._shape(node.output[0])
        if len(out) == len(shape) == 2 and out[1] == shape[1] > 0:
            self._same(node)
            return
        known = len(out) == 2 and len(shape) > 2 and all(shape[1:])
        rest = node.input[-1] in self.unsure and self.constants[node.input[-1]][1] == -1
        if not known or (out[1] != int(np.prod(shape[1:])) and not (rest and not out[1])):
            raise self._refused(node, "an image of known size that becomes one row")
        flat = tuple(shape[1:]) if value.first else None
        self.values[node.output[0]] = _Value(self._add(Flatten(), value), flat=flat)

    def _transpose(self, node: Any, given: dict[str, Any]) -> None:
        value = self._value(node.input[0])
        turns = {(False, TO_FIRST): True, (True, TO_LAST): False}
        way = (value.first, self._turn(node))
        if way not in turns:
            raise self._refused(node, "channels that move first, or last again")
        self.values[node.output[0]] = _Value(value.node, turns[way])

    def _pad(self, node: Any, given: dict[str, Any]) -> None:
        value, mode = self._value(node.input[0]), given.get("mode", b"constant").decode()
        pads = given["pads"] if "pads" in given else [int(n) for n in self._constant(node, 1)]
        filled = given.get("value", 0.0)  # of old files
        if len(node.input) > 2 and node.input[2]:
            filled = self._constant(node, 2).any()
        if len(node.input) > 3 and [*self._constant(node, 3)] != [*range(4)]:
            raise self._refused(node, "all axes in order")
        if mode not in MODES or len(pads) != 8 or filled or min(pads) < 0:
            raise self._refused(node, "padding of images by zeros, reflection or the border")
        batch, *sides = zip(pads[:4], pads[4:], strict=True)
        rows, columns, channels = sides[1:] + sides[:1] if value.first else sides
        if any(batch):
            raise self._refused(node, "a batch without padding")
        layer = Pad((rows, columns), MODES[mode], channels)
        self.values[node.output[0]] = _Value(self._add(layer, value), value.first)

    # Several inputs.

    def _sum(self, node: Any, given: dict[str, Any]) -> None:
        if len(node.input) == 1:
            self._same(node)
            return
        self._meet(node, Add())

    def _add_node(self, node: Any, given: dict[str, Any]) -> None:
        if self._has_constant(node):
            self._transform(node, 1.0, self._per_channel(node))
        else:
            self._meet(node, Add())

    def _mul(self, node: Any, given: dict[str, Any]) -> None:
        if self._has_constant(node):
            self._transform(node, self._per_channel(node), 0.0)
        else:
            self._meet(node, Multiply())

    def _sub(self, node: Any, given: dict[str, Any]) -> None:
        shift = self._per_channel(node)
        if node.input[0] in self.constants:
            self._transform(node, -1.0, shift)
        else:
            self._transform(node, 1.0, -shift)

    def _div(self, node: Any, given: dict[str, Any]) -> None:
        divisor = self._per_channel(node)
        if node.input[0] in self.constants or not divisor.all():
            raise self._refused(node, "a value, divided by a number other than 0")
        self._transform(node, 1 / divisor, 0.0)

    def _has_constant(self, node: Any) -> bool:
        return any(name in self.constants for name in node.input)

    def _operand(self, node: Any) -> tuple[str, _Value]:
        """Return the one input that is not a constant."""
        (name,) = [name for name in node.input if name not in self.constants][:1]
        return name, self._value(name)

    def _per_channel(
        self, node: Any, expected: str = "two values, or a number for each channel"
    ) -> Array:
        """Return the constant beside a value: one number, or one for each channel."""
        name, value = self._operand(node)
        place = next((p for p, each in enumerate(node.input) if each in self.constants), 0)
        array = self._constant(node, place).astype(np.float64)
        rank = self._rank(name)
        if node.op_type == "PRelu" and self.version < 7:  # slopes were those of axis 1
            array = array.reshape(-1, *(rank - 2) * (1,))
        wide = (1,) * (rank - array.ndim) + array.shape
        along = 1 if value.first else -1
        wrong = len(wide) != rank or (array.size > 1 and wide[along] != array.size)
        if wrong or "axis" in self._attributes(node):  # which old files had
            raise self._refused(node, expected)
        flat = array.reshape(-1)
        return flat[_rows(value.flat)] if value.flat and flat.size > 1 else flat

    def _transform(self, node: Any, scale: Array | float, shift: Array | float) -> None:
        """Compute ``scale x + shift``, in the layer that x comes from if it can be."""
        _, value = self._operand(node)
        layer: Layer | None = None if value.node == INPUT else self.net[value.node]
        if isinstance(layer, TRANSFORMED) and self._is_alone(value.node):
            self.values[node.output[0]] = value
        else:
            layer = self._point(node)
            self.values[node.output[0]] = _Value(self._add(layer, value), value.first)
        factor, offset = ("W", "b") if "W" in layer.params else ("gamma", "beta")
        channels = layer.params[factor].shape[-1:]
        before = layer.params.get(offset, np.zeros(channels))
        layer.params[factor] = _floats(layer.params[factor] * scale)
        if offset in layer.params or np.any(shift):
            layer.params[offset] = _floats(np.broadcast_to(before * scale + shift, channels))
        if isinstance(layer, Conv2D | Linear):
            layer.bias = offset in layer.params

    def _point(self, node: Any) -> Conv2D:
        """Return a depthwise convolution that does not change images."""
        name, value = self._operand(node)
        shape = self._shape(name)
        if len(shape) != 4 or not shape[1 if value.first else 3]:
            raise self._refused(node, "an image, or a layer with weights before it")
        channels = shape[1 if value.first else 3]
        layer = Conv2D(channels, channels, 1, bias=False, seed=0, groups=channels)
        layer.params["W"][...] = 1
        return layer

    def _is_alone(self, layer: str) -> bool:
        """Return whether a layer's output is used once."""
        ends = {each.name for each in self.graph.output}
        names = [name for name, value in self.values.items() if value.node == layer]
        return all(len(self._takers(name)) == 1 and name not in ends for name in names)

    def _concat(self, node: Any, given: dict[str, Any]) -> None:
        value = self._value(node.input[0])
        rank = self._rank(node.input[0])
        axis = given["axis"] % rank
        if not axis:
            raise self._refused(node, "an axis other than the batch")
        ours = {1: rank - 1, 2: 1, 3: 2}.get(axis, 0) if value.first else axis
        self._meet(node, Concat(ours))

    def _meet(self, node: Any, layer: Layer) -> None:
        values = [self._value(name) for name in node.input]
        if len({(value.first, value.flat) for value in values}) > 1 or (
            isinstance(layer, Concat) and values[0].flat
        ):
            raise self._refused(node, "values whose axes have one order")
        made = self._add(layer, *values)
        self.values[node.output[0]] = _Value(made, values[0].first, values[0].flat)

    # Others.

    def _identity(self, node: Any, given: dict[str, Any]) -> None:
        self._same(node)

    def _cast(self, node: Any, given: dict[str, Any]) -> None:
        if given["to"] not in FLOATS:
            raise self._refused(node, "a cast to floats, which keeps the numbers")
        self._same(node)

    def _selu(self, node: Any, given: dict[str, Any]) -> None:
        wanted = {"alpha": ALPHA, "gamma": SCALE}
        if any(abs(given.get(name, value) - value) > 1e-6 for name, value in wanted.items()):
            raise self._refused(node, "SELU's own alpha and gamma")
        self._keep(node, SELU())

    def _dropout(self, node: Any, given: dict[str, Any]) -> None:
        if len(node.input) > 2 and self._constant(node, 2).any():
            raise self._refused(node, "no training_mode")
        rate = self._constant(node, 1) if len(node.input) > 1 else given.get("ratio", 0.5)
        self._keep(node, Dropout(float(rate)))

    def _clip(self, node: Any, given: dict[str, Any]) -> None:
        low, high = given.get("min"), given.get("max")
        if len(node.input) > 2:
            low, high = float(self._constant(node, 1)), float(self._constant(node, 2))
        if low is None or high is None:
            raise self._refused(node, "both limits")
        self._keep(node, ClippedReLU(high) if low == 0 else HardTanh(low, high))

    def _max(self, node: Any, given: dict[str, Any]) -> None:
        constants = [self.constants[name] for name in node.input if name in self.constants]
        if len(constants) != 1 or constants[0].size != 1 or constants[0].item() != -1:
            raise self._refused(node, "the larger of a value and -1 (ShiftedReLU)")
        self._keep(node, ShiftedReLU())

    def _softmax(self, node: Any, given: dict[str, Any]) -> None:
        self._over_channels(node, given, Softmax())

    def _logsoftmax(self, node: Any, given: dict[str, Any]) -> None:
        self._over_channels(node, given, LogSoftmax())

    def _over_channels(self, node: Any, given: dict[str, Any], layer: Layer) -> None:
        rank = self._rank(node.input[0])
        wanted = 1 if self._value(node.input[0]).first else rank - 1
        old = self.version < 13  # where all axes from this one on were taken as one
        axis = given.get("axis", 1 if old else -1) % rank
        if axis != wanted or (old and axis != rank - 1):
            raise self._refused(node, "softmax over the channels")
        self._keep(node, layer)


def _floats(array: Array) -> Array:
    with np.errstate(over="ignore"):  # an infinity is reported
        return _finite(np.array(array, np.float32, order="C"))


def _finite(array: Array) -> Array:
    if not np.isfinite(array).all():
        raise ValueError("expected finite weights, got a NaN or an infinity")
    return array


def _is_one_pixel(flat: Shape) -> bool:
    channels, height, width = flat
    return min(channels, height * width) == 1


def _rows(flat: Shape) -> Array:
    """Return the places of (H, W, C) in what the file has as (C, H, W)."""
    return np.arange(int(np.prod(flat))).reshape(flat).transpose(1, 2, 0).reshape(-1)


SIMPLE: dict[str, Callable[[dict[str, Any]], Layer]] = {
    "Relu": lambda given: ReLU(),
    "LeakyRelu": lambda given: LeakyReLU(float(given.get("alpha", 0.01))),
    "Elu": lambda given: ELU(float(given.get("alpha", 1.0))),
    "Celu": lambda given: CELU(float(given.get("alpha", 1.0))),
    "Sigmoid": lambda given: Sigmoid(),
    "Tanh": lambda given: Tanh(),
    "Softplus": lambda given: Softplus(),
    "Gelu": lambda given: GELU(given.get("approximate", b"none") == b"tanh"),
}
READERS: dict[str, Callable[[_Reader, Any, dict[str, Any]], None]] = {
    "Conv": _Reader._conv,
    "Gemm": _Reader._gemm,
    "MatMul": _Reader._matmul,
    "BatchNormalization": _Reader._batchnormalization,
    "LayerNormalization": _Reader._layernormalization,
    "InstanceNormalization": _Reader._instancenormalization,
    "GroupNormalization": _Reader._groupnormalization,
    "PRelu": _Reader._prelu,
    "Selu": _Reader._selu,
    "MaxPool": _Reader._maxpool,
    "AveragePool": _Reader._averagepool,
    "GlobalAveragePool": _Reader._globalaveragepool,
    "GlobalMaxPool": _Reader._globalmaxpool,
    "ReduceMean": _Reader._reducemean,
    "ReduceMax": _Reader._reducemax,
    "Flatten": _Reader._flatten,
    "Reshape": _Reader._reshape,
    "Squeeze": _Reader._reshape,
    "Transpose": _Reader._transpose,
    "Pad": _Reader._pad,
    "Sum": _Reader._sum,
    "Add": _Reader._add_node,
    "Sub": _Reader._sub,
    "Mul": _Reader._mul,
    "Div": _Reader._div,
    "Concat": _Reader._concat,
    "Identity": _Reader._identity,
    "Cast": _Reader._cast,
    "Dropout": _Reader._dropout,
    "Clip": _Reader._clip,
    "Max": _Reader._max,
    "Softmax": _Reader._softmax,
    "LogSoftmax": _Reader._logsoftmax,
}
