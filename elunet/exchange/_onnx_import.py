"""Networks from ONNX files.

ONNX has channels first, elunet last. So for each value of the file it is kept in which order its
axes are: as in elunet, with channels first, or flattened from an image with channels first. The
last makes the next Linear's rows come in another order, as for PyTorch.
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
    GlobalMeanPool2D,
    HardTanh,
    Layer,
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
from elunet.network import INPUT, Network
from elunet.storage.files import read

STANDARD = ("", "ai.onnx")
"""The names of ONNX's own set of operators."""
FLOATS = (1, 10, 11, 16)
"""ONNX's numbers for float32, float16, float64 and bfloat16."""
MODES: dict[str, Mode] = {"constant": "zeros", "reflect": "reflect", "edge": "replicate"}


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
    convolutions, Gemm and MatMul, pooling, batch normalization, the usual activations, additions,
    products, concatenations, padding, flattening. Only weights inside the file are read.

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
        model = onnx.shape_inference.infer_shapes(model)
    except (OSError, ImportError):
        raise
    except Exception as error:  # protobuf's own, and the checker's
        raise ValueError(f"from_onnx: expected {file} as an ONNX model, got {error}") from error
    version = max(
        (each.version for each in model.opset_import if each.domain in STANDARD), default=1
    )
    reader = _Reader(onnx, model.graph, model.producer_name == PRODUCER, version)
    return reader.network()


@dataclass(frozen=True)
class _Value:
    """What a name in the file stands for.

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
    graph: Any
    is_own: bool
    version: int
    net: Network = field(default_factory=Network)
    values: dict[str, _Value] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        to_array = self.onnx.numpy_helper.to_array
        self.constants = {each.name: to_array(each) for each in self.graph.initializer}
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
        takers = [node for node in self.graph.node if name in node.input]
        turned = any(
            node.op_type == "Transpose" and self._attributes(node).get("perm") == [0, 3, 1, 2]
            for node in takers
        )
        images = len(self.shapes[name]) == 4
        self.values[name] = _Value(INPUT, first=images and not turned and not self.is_own)
        for node in self.graph.node:
            if node.output[0] not in self.skipped:
                try:
                    self._read(node)
                except (TypeError, ValueError) as error:  # from a layer's own checks
                    if str(error).startswith("from_onnx:"):
                        raise
                    raise self._refused(node, f"what a layer takes ({error})") from error
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

    def _read(self, node: Any) -> None:
        """Add what a node of the file is."""
        if node.domain not in STANDARD:
            raise self._refused(node, f"an operator of ONNX's own, not of {node.domain!r}")
        if self.is_own and self._take_own(node):
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

    # What several operators need.

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
        """Return how many axes a value has, as far as the file tells; else 2."""
        return len(self.shapes.get(name, [])) or 2

    def _constant(self, node: Any, place: int) -> Array:
        name = node.input[place] if place < len(node.input) else ""
        if name not in self.constants:
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
        b = self._constant(node, 2) if len(node.input) > 2 else None
        if b is not None and b.size != max(b.shape[-1:], default=1):
            raise self._refused(node, "a bias for each output")
        self._linear(node, W.T if given.get("transB", 0) else W, b)

    def _matmul(self, node: Any, given: dict[str, Any]) -> None:
        W = self._constant(node, 1)
        if W.ndim != 2:
            raise self._refused(node, "a product with a matrix")
        self._linear(node, W, None)

    def _linear(self, node: Any, W: Array, b: Array | None) -> None:
        value = self._value(node.input[0])
        if value.first:
            raise self._refused(node, "rows, not images with channels first")
        if value.flat and int(np.prod(value.flat)) != len(W):
            raise self._refused(node, f"{int(np.prod(value.flat))} rows of a matrix")
        layer = Linear(W.shape[0], W.shape[1], bias=b is not None, seed=0)
        layer.params["W"] = _floats(W[_rows(value.flat)] if value.flat else W)
        if b is not None:
            layer.params["b"] = _floats(np.broadcast_to(b.reshape(-1), W.shape[1:]))
        self.values[node.output[0]] = _Value(self._add(layer, value))

    def _batchnormalization(self, node: Any, given: dict[str, Any]) -> None:
        value = self._value(node.input[0])
        if given.get("training_mode", 0):
            raise self._refused(node, "the running statistics, not training_mode")
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

    def _prelu(self, node: Any, given: dict[str, Any]) -> None:
        slopes = self._constant(node, 1)
        value = self._value(node.input[0])
        rank, size = self._rank(node.input[0]), slopes.size
        axes = (1,) * (rank - slopes.ndim) + slopes.shape
        channel = axes[1 if value.first else -1 :][:1]
        if size > 1 and (value.flat is not None or channel != (size,)):
            raise self._refused(node, "one slope, or one for each channel")
        layer = PReLU(slopes.size)
        layer.params["alpha"] = _floats(slopes.reshape(-1))
        self._keep(node, layer)

    # Pooling and shapes.

    def _maxpool(self, node: Any, given: dict[str, Any]) -> None:
        if {*given.get("dilations", [1])} != {1} or len(node.output) > 1:
            raise self._refused(node, "no dilation, and one output")
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
        size = tuple(self.shapes.get(node.input[0], [])[2:])
        if not all(size) or not size:
            raise self._refused(node, "an image whose size is known")
        made = self._add(MaxPool2D(size), self._image(node))
        self.values[node.output[0]] = _Value(made, first=True)

    def _reducemean(self, node: Any, given: dict[str, Any]) -> None:
        value = self._value(node.input[0])
        axes = list(self._constant(node, 1)) if len(node.input) > 1 else given.get("axes", [])
        wanted = [2, 3] if value.first else [1, 2]
        if sorted(int(axis) % 4 for axis in axes) != wanted:
            raise self._refused(node, "the mean of an image's pixels")
        if given.get("keepdims", 1):
            made = self._add(AdaptiveMeanPool2D(1), value)
            self.values[node.output[0]] = _Value(made, first=value.first)
        else:
            self.values[node.output[0]] = _Value(self._add(GlobalMeanPool2D(), value))

    def _flatten(self, node: Any, given: dict[str, Any]) -> None:
        if given.get("axis", 1) != 1:
            raise self._refused(node, "axis 1")
        self._flattened(node)

    def _reshape(self, node: Any, given: dict[str, Any]) -> None:
        self._flattened(node)

    def _flattened(self, node: Any) -> None:
        value, shape = self._value(node.input[0]), self.shapes.get(node.input[0], [])
        out = self.shapes.get(node.output[0], [])
        if len(out) == len(shape) == 2 and out[1] == shape[1] > 0:
            self._same(node)
            return
        known = len(out) == 2 and len(shape) > 2 and all(shape[1:])
        if not known or out[1] != int(np.prod(shape[1:])):
            raise self._refused(node, "an image of known size that becomes one row")
        flat = tuple(shape[1:]) if value.first else None
        self.values[node.output[0]] = _Value(self._add(Flatten(), value), flat=flat)

    def _transpose(self, node: Any, given: dict[str, Any]) -> None:
        value, axes = self._value(node.input[0]), given.get("perm", [])
        turns = {(False, (0, 3, 1, 2)): True, (True, (0, 2, 3, 1)): False}
        if (value.first, tuple(axes)) not in turns:
            raise self._refused(node, "channels that move first, or last again")
        self.values[node.output[0]] = _Value(value.node, turns[value.first, tuple(axes)])

    def _pad(self, node: Any, given: dict[str, Any]) -> None:
        value, mode = self._image(node), given.get("mode", b"constant").decode()
        pads = given["pads"] if "pads" in given else [int(n) for n in self._constant(node, 1)]
        filled = self._constant(node, 2).any() if len(node.input) > 2 and node.input[2] else False
        if len(node.input) > 3 and [*self._constant(node, 3)] != [*range(4)]:
            raise self._refused(node, "all axes in order")
        if mode not in MODES or len(pads) != 8 or pads[0] or pads[4] or filled or min(pads) < 0:
            raise self._refused(node, "padding of images by zeros, reflection or the border")
        layer = Pad(((pads[2], pads[6]), (pads[3], pads[7])), MODES[mode], (pads[1], pads[5]))
        self.values[node.output[0]] = _Value(self._add(layer, value), first=True)

    # Several inputs.

    def _sum(self, node: Any, given: dict[str, Any]) -> None:
        if len(node.input) == 1:
            self._same(node)
            return
        self._meet(node, Add())

    def _add_node(self, node: Any, given: dict[str, Any]) -> None:
        names = [name for name in node.input if name in self.constants]
        if not names:
            self._meet(node, Add())
            return
        if len(names) > 1:
            self.constants[node.output[0]] = np.add(*[self.constants[name] for name in names])
            return
        (name,) = [each for each in node.input if each not in self.constants]
        b, value = np.asarray(self.constants[names[0]]), self._value(name)
        layer = None if value.node == INPUT else self.net[value.node]
        alone = sum(name in other.input for other in self.graph.node) == 1
        fits = b.size in (1, *b.shape[-1:]) and b.size in (1, *getattr(layer, "shape", ())[-1:])
        if not isinstance(layer, Linear) or layer.bias or not alone or b.ndim > 2 or not fits:
            raise self._refused(node, "two values, or a bias after MatMul")
        layer.bias = True
        layer.params["b"] = _floats(np.broadcast_to(b.reshape(-1), layer.shape[-1:]))
        self.values[node.output[0]] = value

    def _mul(self, node: Any, given: dict[str, Any]) -> None:
        self._meet(node, Multiply())

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

    def _constant_node(self, node: Any, given: dict[str, Any]) -> None:
        value = given.get("value")
        if value is None:
            array = np.asarray(next(iter(given.values())))
        else:
            array = self.onnx.numpy_helper.to_array(value)
        self.constants[node.output[0]] = array

    def _identity(self, node: Any, given: dict[str, Any]) -> None:
        if node.input[0] in self.constants:
            self.constants[node.output[0]] = self.constants[node.input[0]]
        else:
            self._same(node)

    def _cast(self, node: Any, given: dict[str, Any]) -> None:
        if node.input[0] not in self.constants and given["to"] not in FLOATS:
            raise self._refused(node, "a cast to floats, which keeps the numbers")
        if node.input[0] in self.constants:
            dtype = self.onnx.helper.tensor_dtype_to_np_dtype(given["to"])
            self.constants[node.output[0]] = np.asarray(self.constants[node.input[0]]).astype(dtype)
            return
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
    with np.errstate(over="ignore"):  # an infinity is told
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
    "PRelu": _Reader._prelu,
    "Selu": _Reader._selu,
    "MaxPool": _Reader._maxpool,
    "AveragePool": _Reader._averagepool,
    "GlobalAveragePool": _Reader._globalaveragepool,
    "GlobalMaxPool": _Reader._globalmaxpool,
    "ReduceMean": _Reader._reducemean,
    "Flatten": _Reader._flatten,
    "Reshape": _Reader._reshape,
    "Squeeze": _Reader._reshape,
    "Transpose": _Reader._transpose,
    "Pad": _Reader._pad,
    "Sum": _Reader._sum,
    "Add": _Reader._add_node,
    "Mul": _Reader._mul,
    "Concat": _Reader._concat,
    "Constant": _Reader._constant_node,
    "Identity": _Reader._identity,
    "Cast": _Reader._cast,
    "Dropout": _Reader._dropout,
    "Clip": _Reader._clip,
    "Max": _Reader._max,
    "Softmax": _Reader._softmax,
    "LogSoftmax": _Reader._logsoftmax,
}
