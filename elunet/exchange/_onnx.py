"""Export of whole networks to ONNX, layer by layer.

ONNX has images channels first, elunet channels last. The file's input and output have the network's
shapes; inside, a value is transposed only when a layer needs the other layout. A converter turns
one class of layers into ONNX operators; the layers themselves know nothing about ONNX.
"""

from __future__ import annotations

import importlib
import math
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from elunet._checks import plain
from elunet._types import Array, Shape
from elunet.exchange._entries import output_shapes
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
    LocallyConnected2D,
    LogSoftmax,
    MaxPool2D,
    MeanPool2D,
    Multiply,
    Pad,
    PReLU,
    ReLU,
    ShiftedReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from elunet.layers._padding import NUMPY_MODES
from elunet.layers._pooling import adaptive
from elunet.layers.gelu import CUBIC
from elunet.layers.selu import ALPHA, SCALE
from elunet.network import Network
from elunet.storage.files import write_atomically
from elunet.storage.weights import network_arrays

OPSET, PRODUCER = 17, "elunet"
OUTPUT = "output"

FIRST, LAST = "channels first", "channels last"


class OnnxGraph:
    """An ONNX graph under construction, for the converter of a custom layer.

    A value is the name of a tensor in the graph, a str. A converter gets the names of the layer's
    inputs, adds operators, and returns the name of the output.

    Examples
    --------
    A converter for a layer that computes ``x sigmoid(beta x)``, passed to `to_onnx` as
    ``converters={Swish: swish}``:

    >>> def swish(graph, layer, x):
    ...     beta = graph.constant(layer.params["beta"], "beta")
    ...     s = graph.node("Sigmoid", graph.node("Mul", beta, x))
    ...     return graph.node("Mul", x, s)
    """

    def __init__(self) -> None:
        self._onnx = _import_onnx()
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._values: dict[str, _Value] = {}
        self._names: Counter[str] = Counter()
        self._layer = ""

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add an ONNX operator (of opset 17) and return its output's name.

        Parameters
        ----------
        operator : str
            Such as "Mul"; it has a single output.
        *inputs : str
        **attributes
            As in ONNX' list of operators.

        Raises
        ------
        ValueError
            If a number is NaN, or finite and beyond float32.
        """
        for key, value in attributes.items():
            if isinstance(value, float):
                self._check(np.float64(value), key)
        name = self._fresh(operator)
        made = self._onnx.helper.make_node(operator, list(inputs), [name], name, **attributes)
        self._nodes.append(made)
        return name

    def constant(self, array: Array | float, name: str = "constant") -> str:
        """Add an array to the file, floats as float32, and return its name.

        Parameters
        ----------
        array : array or float
        name : str, default "constant"
            The name of the array; the layer's name is put in front.

        Raises
        ------
        TypeError, ValueError
            If it has a mask, or a number is NaN, or finite and beyond float32.
        """
        array = plain("OnnxGraph", "array", array)
        self._check(array, name)
        array = np.asarray(array, np.float32 if array.dtype.kind == "f" else None, order="C")
        name = self._fresh(name)
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def shape(self, value: str) -> Shape:
        """Return the shape of a layer's input, without the batch and channels last.

        Raises
        ------
        ValueError
            If `value` is not one of the names that the converter got.
        """
        for known in self._values.values():
            if value in known.names.values():
                return known.shape
        raise ValueError(f"OnnxGraph: expected value as a layer's input, got {value!r}")

    def _layout(self, value: str) -> str:
        """Return the layout of a layer's input."""
        return next(
            layout
            for known in self._values.values()
            for layout, name in known.names.items()
            if name == value
        )

    def _check(self, array: Any, name: str) -> None:
        """Raise a ValueError if float32 cannot represent the numbers."""
        if array.dtype.kind != "f":
            return
        beyond = np.isfinite(array) & (np.abs(array) > np.finfo(np.float32).max)
        if np.any(beyond | np.isnan(array)):
            raise ValueError(
                f"to_onnx: expected numbers within float32's range, got larger ones in"
                f" {self._layer}.{name}"
            )

    def _fresh(self, name: str) -> str:
        """Return "conv1.W", or "conv1.W_2" if that is taken."""
        name = f"{self._layer}.{name}"  # no layer's name has a dot, so no two layers' names meet
        self._names[name] += 1
        return name if self._names[name] == 1 else f"{name}_{self._names[name]}"

    def _laid_out(self, value: _Value, layout: str) -> str:
        """Return a value's name in this layout; transpose it, once, if it has another."""
        rank = len(value.shape) + 1
        if rank == 2:  # rows have one layout
            return next(iter(value.names.values()))
        if layout not in value.names:
            (name,) = value.names.values()
            axes = [0, rank - 1, *range(1, rank - 1)]
            if layout == LAST:
                axes = [0, *range(2, rank), 1]
            value.names[layout] = self.node("Transpose", name, perm=axes)
        return value.names[layout]


Converter = Callable[..., str]
"""``convert(graph, layer, x) -> y``, names of tensors; one more x for each further input."""


@dataclass
class _Value:
    """A layer's output: its name in each layout that exists, and elunet's shape."""

    names: dict[str, str]
    shape: Shape


def to_onnx(
    net: Network,
    input_shape: Sequence[int],
    file: str | os.PathLike[str],
    converters: Mapping[type[Layer], Converter] | None = None,
) -> None:
    """Export a network for inference to an ONNX file (opset 17, float32).

    Parameters
    ----------
    net : Network
    input_shape : tuple of int
        One image's shape without the batch, (H, W, C); the file is for images of this size.
    file : path
        It has one input, "input", and one output, "output", with the network's shapes, such as
        (N, H, W, C) and (N, classes), for any N. Several `outputs` have their layers' names.
    converters : dict of Layer class to callable, optional
        For custom layers: ``convert(graph, layer, x) -> y``, see `OnnxGraph`. x and y are names of
        tensors with the layer's layout, channels last. A converter is used for subclasses as well,
        and before elunet's own.

    Raises
    ------
    ImportError
        If the package onnx is missing: ``pip install onnx``.
    TypeError, ValueError
        If the network does not take images of this shape, or has a layer without a converter.
    OSError
        If the file cannot be written.

    Notes
    -----
    Dropout is left out, and BatchNorm uses its running averages. A subclass of one of elunet's
    layers is converted like that layer, unless it has its own `forward`; then it needs a converter.
    onnx's checker checks the model before it is written.

    References
    ----------
    ONNX operators, https://onnx.ai/onnx/operators/.

    Examples
    --------
    >>> import tempfile
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Conv2D(3, 16, 5), eln.layers.ELU()], seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     eln.exchange.to_onnx(net, (32, 32, 3), f"{folder}/net.onnx")
    """
    for name, array in network_arrays(net).items():
        if not np.all(np.abs(array) <= np.finfo(np.float32).max):
            raise ValueError(
                f"to_onnx: expected finite numbers within float32's range, got others in {name}"
            )
    graph = OnnxGraph()
    onnx = graph._onnx
    shapes = output_shapes("to_onnx", net, input_shape)
    values = graph._values
    values[INPUT] = _Value({LAST: INPUT}, shapes[INPUT])
    for node in net.nodes:
        graph._layer = node.name
        layout, converter = _converter(node.layer, node.name, converters or {})
        inputs = [values[source] for source in node.inputs]
        if layout == "":  # any
            layout = next(iter(inputs[0].names))
        taken = [graph._laid_out(value, layout) for value in inputs]
        name = converter(graph, node.layer, *taken)
        if not isinstance(name, str):
            raise TypeError(
                f"to_onnx: expected the converter for {node.name} ({node.layer!r}) to return the"
                f" name of a tensor, got {name!r}"
            )
        values[node.name] = _Value({layout: name}, shapes[node.name])
    graph._layer = OUTPUT
    names = net.outputs if len(net.outputs) > 1 else (OUTPUT,)
    for name, source in zip(names, net.outputs, strict=True):
        value = graph._laid_out(values[source], LAST)
        graph._nodes.append(onnx.helper.make_node("Identity", [value], [name], name))
    outputs = {name: shapes[source] for name, source in zip(names, net.outputs, strict=True)}
    model = _model(graph, shapes[INPUT], outputs)
    onnx.checker.check_model(model, full_check=True)
    write_atomically(file, model.SerializeToString())


def _model(graph: OnnxGraph, input_shape: Shape, outputs: Mapping[str, Shape]) -> Any:
    """Return the whole file's content."""
    helper = graph._onnx.helper
    float32 = graph._onnx.TensorProto.FLOAT
    x = helper.make_tensor_value_info(INPUT, float32, ["N", *input_shape])
    ys = [
        helper.make_tensor_value_info(name, float32, ["N", *shape])
        for name, shape in outputs.items()
    ]
    made = helper.make_graph(graph._nodes, "elunet", [x], ys, graph._constants)
    opset = [helper.make_opsetid("", OPSET)]
    version = helper.find_min_ir_version_for(opset)  # the oldest, so that older programs read it
    return helper.make_model(made, opset_imports=opset, ir_version=version, producer_name=PRODUCER)


def _import_onnx() -> Any:
    try:
        return importlib.import_module("onnx")
    except ImportError as error:
        raise ImportError(
            "to_onnx: expected the package onnx to be installed; pip install onnx"
        ) from error


def _converter(
    layer: Layer, name: str, converters: Mapping[type[Layer], Converter]
) -> tuple[str, Converter]:
    """Return a layer's converter and the layout that it needs."""
    for kind in type(layer).__mro__:
        if kind in converters:
            return LAST, converters[kind]
    for kind in type(layer).__mro__:
        if kind in CONVERTERS and type(layer).forward is kind.forward:
            return CONVERTERS[kind]
    raise ValueError(
        f"to_onnx: expected a layer with a converter, got {name}: {layer!r}; give one with"
        f" converters={{{type(layer).__name__}: convert}} (see eln.exchange.OnnxGraph)"
    )


def _conv(graph: OnnxGraph, layer: Conv2D, x: str) -> str:
    W = graph.constant(layer.params["W"].transpose(3, 2, 0, 1), "W")
    bias = [graph.constant(layer.params["b"], "b")] if layer.bias else []
    (top, bottom), (left, right) = (
        layer._zeros(size, axis) for axis, size in enumerate(graph.shape(x)[:2])
    )
    pads = [top, left, bottom, right]
    if layer.padding_mode != "zeros":
        around = graph.constant(np.array([0, 0, top, left, 0, 0, bottom, right]), "pads")
        x = graph.node("Pad", x, around, mode=NUMPY_MODES[layer.padding_mode].encode())
        pads = [0, 0, 0, 0]
    return graph.node(
        "Conv",
        x,
        W,
        *bias,
        kernel_shape=[*layer.kernel_size],
        strides=[*layer.strides],
        dilations=[*layer.dilations],
        group=layer.groups,
        pads=pads,
    )


def _locally_connected(graph: OnnxGraph, layer: LocallyConnected2D, x: str) -> str:
    """Write im2col as a convolution with a kernel of ones and zeros, and a product per position."""
    *kernel, channels, units = layer.params["W"].shape
    outputs, width = layer.out_channels, kernel[0] * kernel[1] * channels
    positions = units // outputs
    ones = np.eye(width).reshape(width, *kernel, channels).transpose(0, 3, 1, 2)
    sides = layer.zeros
    pads = [before for before, _ in sides] + [after for _, after in sides]
    window = {"kernel_shape": kernel, "strides": [*layer.strides], "pads": pads}
    columns = graph.node("Conv", x, graph.constant(ones, "im2col"), **window)
    flat = graph.constant(np.array([0, 0, positions]), "flat")
    rows = graph.node("Transpose", graph.node("Reshape", columns, flat), perm=[2, 0, 1])
    W = layer.params["W"].reshape(width, positions, outputs).transpose(1, 0, 2)
    y = graph.node("MatMul", rows, graph.constant(W, "W"))
    if layer.bias:
        b = layer.params["b"].reshape(positions, 1, outputs)
        y = graph.node("Add", y, graph.constant(b, "b"))
    shape = graph.constant(np.array([0, outputs, *layer.out_size]), "shape")
    return graph.node("Reshape", graph.node("Transpose", y, perm=[1, 2, 0]), shape)


def _linear(graph: OnnxGraph, layer: Linear, x: str) -> str:
    W = graph.constant(layer.params["W"], "W")
    if not layer.bias:
        return graph.node("MatMul", x, W)
    return graph.node("Gemm", x, W, graph.constant(layer.params["b"], "b"))


def _batch_norm(graph: OnnxGraph, layer: BatchNorm, x: str) -> str:
    gamma, beta = _affine(graph, layer)
    inputs = [graph.constant(layer.state[key], key) for key in ("running_mean", "running_var")]
    return graph.node("BatchNormalization", x, gamma, beta, *inputs, epsilon=layer.eps)


def _affine(graph: OnnxGraph, layer: BatchNorm | LayerNorm | InstanceNorm) -> tuple[str, str]:
    """Return gamma and beta: ones and zeros where there are none."""
    gamma = layer.params.get("gamma", np.ones(layer.channels))
    beta = layer.params.get("beta", np.zeros(layer.channels))
    return graph.constant(gamma, "gamma"), graph.constant(beta, "beta")


def _layer_norm(graph: OnnxGraph, layer: LayerNorm, x: str) -> str:
    affine = _affine(graph, layer)
    return graph.node("LayerNormalization", x, *affine, axis=-1, epsilon=layer.eps)


def _instance_norm(graph: OnnxGraph, layer: InstanceNorm, x: str) -> str:
    affine = _affine(graph, layer)
    return graph.node("InstanceNormalization", x, *affine, epsilon=layer.eps)


def _group_norm(graph: OnnxGraph, layer: GroupNorm, x: str) -> str:
    """Write groups as the channels of an InstanceNormalization; GroupNormalization is younger."""
    *sides, channels = graph.shape(x)
    split = graph.constant(np.array([0, layer.groups, -1]), "split")
    whole = graph.constant(np.array([-1, channels, *sides]), "whole")
    ones, zeros = np.ones(layer.groups), np.zeros(layer.groups)
    scale = graph.constant(ones, "ones"), graph.constant(zeros, "zeros")
    rows = graph.node("Reshape", x, split)
    y = graph.node("InstanceNormalization", rows, *scale, epsilon=layer.eps)
    y = graph.node("Reshape", y, whole)
    if layer.affine:
        y = graph.node("Mul", y, _per_channel(graph, layer, "gamma", len(sides)))
        y = graph.node("Add", y, _per_channel(graph, layer, "beta", len(sides)))
    return y


def _per_channel(graph: OnnxGraph, layer: Layer, key: str, sides: int) -> str:
    """Return a parameter in the shape that meets arrays with channels first."""
    array = layer.params[key]
    return graph.constant(array.reshape(len(array), *sides * (1,)), key)


def _prelu(graph: OnnxGraph, layer: PReLU, x: str) -> str:
    sides = len(graph.shape(x)) - 1 if layer.channels > 1 else 0
    return graph.node("PRelu", x, _per_channel(graph, layer, "alpha", sides))


def _pad(graph: OnnxGraph, layer: Pad, x: str) -> str:
    (top, bottom), (left, right) = layer.padding
    pads = graph.constant(np.array([0, 0, top, left, 0, 0, bottom, right]), "pads")
    y = graph.node("Pad", x, pads, mode=NUMPY_MODES[layer.mode].encode())
    if not any(layer.channels):
        return y
    before, after = layer.channels
    channels = graph.constant(np.array([0, before, 0, 0, 0, after, 0, 0]), "channels")
    return graph.node("Pad", y, channels)


def _aligned(graph: OnnxGraph, values: Sequence[str]) -> list[str]:
    """Return the values, rows among images with axes of size 1 between batch and channels."""
    shapes = [graph.shape(value) for value in values]
    sides = max(map(len, shapes)) - 1
    if all(len(shape) == sides + 1 for shape in shapes):
        return list(values)
    images = next(v for v, shape in zip(values, shapes, strict=True) if len(shape) == sides + 1)
    first = 2 if graph._layout(images) == FIRST else 1
    axes = graph.constant(np.arange(first, first + sides), "axes")
    return [
        value if len(shape) == sides + 1 else graph.node("Unsqueeze", value, axes)
        for value, shape in zip(values, shapes, strict=True)
    ]


def _add(graph: OnnxGraph, layer: Add, *x: str) -> str:
    return graph.node("Sum", *_aligned(graph, x))


def _multiply(graph: OnnxGraph, layer: Multiply, *x: str) -> str:
    product, *others = _aligned(graph, x)
    for other in others:
        product = graph.node("Mul", product, other)
    return product


def _pool(graph: OnnxGraph, layer: MaxPool2D | MeanPool2D, x: str) -> dict[str, Any]:
    """Return a pooling operator's attributes.

    Programs differ in what their ceil_mode drops, so it is not used: a last window that is cut gets
    padding to end in.
    """
    height, width = graph.shape(x)[:2]
    windows, ends = layer.windows(height, width), []
    starts = [layer.zeros(pixels, axis)[0] for axis, pixels in enumerate((height, width))]
    for axis, (pixels, lines) in enumerate(zip((height, width), windows[:2], strict=True)):
        last = (len(lines) - 1) * layer.strides[axis] - starts[axis]
        ends.append(max(last + layer.sizes[axis] - pixels, 0))
    sizes = {"kernel_shape": [*layer.sizes], "strides": [*layer.strides]}
    return sizes | {"pads": starts + ends}


def _max_pool(graph: OnnxGraph, layer: MaxPool2D, x: str) -> str:
    return graph.node("MaxPool", x, **_pool(graph, layer, x))


def _mean_pool(graph: OnnxGraph, layer: MeanPool2D, x: str) -> str:
    """Write a mean that counts padding as a mean of whole windows, times what a cut one lacks."""
    attributes = _pool(graph, layer, x)
    if not (layer.count_include_pad and any(attributes["pads"])):
        return graph.node("AveragePool", x, **attributes)
    divisor = layer.windows(*graph.shape(x)[:2]).divisor
    y = graph.node("AveragePool", x, count_include_pad=1, **attributes)
    whole = math.prod(layer.sizes)
    if np.all(divisor == whole):
        return y
    return graph.node("Mul", y, graph.constant(whole / divisor, "cut"))


def _adaptive_mean(graph: OnnxGraph, layer: AdaptiveMeanPool2D, x: str) -> str:
    """Write a mean pooling where all windows have one size, else products with two matrices."""
    sides = graph.shape(x)[:2]
    if not any(side % outputs for side, outputs in zip(sides, layer.sizes, strict=True)):
        size = [side // outputs for side, outputs in zip(sides, layer.sizes, strict=True)]
        return graph.node("AveragePool", x, kernel_shape=size, strides=size)
    rows, columns = (
        np.array([np.isin(np.arange(side), np.arange(*window)) for window in windows], np.float64)
        for side, windows in zip(sides, map(adaptive, sides, layer.sizes), strict=True)
    )
    rows, columns = (one / one.sum(axis=1, keepdims=True) for one in (rows, columns))
    across = graph.node("MatMul", x, graph.constant(columns.T, "columns"))
    return graph.node("MatMul", graph.constant(rows, "rows"), across)


def _global_max(graph: OnnxGraph, layer: GlobalMaxPool2D, x: str) -> str:
    return graph.node("Flatten", graph.node("GlobalMaxPool", x))


def _global_mean(graph: OnnxGraph, layer: GlobalMeanPool2D, x: str) -> str:
    return graph.node("Flatten", graph.node("GlobalAveragePool", x))


def _elu(graph: OnnxGraph, layer: ELU, x: str) -> str:
    """Write ELU without the operator Elu.

    Runtimes compute Elu as e^x - 1, which loses a small x to rounding; deep in an untrained network
    all numbers may be small. With t = tanh(x / 2), e^x - 1 = 2 t / (1 - t).
    """
    below = graph.node("Min", x, graph.constant(0.0, "zero"))
    t = graph.node("Tanh", graph.node("Mul", below, graph.constant(0.5, "half")))
    quotient = graph.node("Div", t, graph.node("Sub", graph.constant(1.0, "one"), t))
    scaled = graph.node("Mul", quotient, graph.constant(2 * layer.alpha, "2_alpha"))
    return graph.node("Add", graph.node("Relu", x), scaled)


def _shifted_relu(graph: OnnxGraph, layer: ShiftedReLU, x: str) -> str:
    return graph.node("Max", x, graph.constant(-1.0))


def _clip(graph: OnnxGraph, x: str, low: float, high: float) -> str:
    return graph.node("Clip", x, graph.constant(low), graph.constant(high))


def _silu(graph: OnnxGraph, layer: SiLU, x: str) -> str:
    return graph.node("Mul", x, graph.node("Sigmoid", x))


def _gelu(graph: OnnxGraph, layer: GELU, x: str) -> str:
    """Write x (1 + erf(x / sqrt 2)) / 2, or the tanh in place of erf; Gelu itself is younger."""
    half = graph.node("Mul", x, graph.constant(0.5))
    if layer.tanh:
        cube = graph.node("Mul", graph.node("Mul", x, x), x)
        inner = graph.node("Add", x, graph.node("Mul", cube, graph.constant(CUBIC)))
        bent = graph.node("Tanh", graph.node("Mul", inner, graph.constant(math.sqrt(2 / math.pi))))
    else:
        bent = graph.node("Erf", graph.node("Mul", x, graph.constant(math.sqrt(0.5))))
    return graph.node("Mul", half, graph.node("Add", bent, graph.constant(1.0)))


CONVERTERS: dict[type[Layer], tuple[str, Converter]] = {
    Conv2D: (FIRST, _conv),
    Linear: (LAST, _linear),
    ELU: ("", _elu),
    ReLU: ("", lambda graph, layer, x: graph.node("Relu", x)),
    LeakyReLU: ("", lambda graph, layer, x: graph.node("LeakyRelu", x, alpha=layer.slope)),
    ShiftedReLU: ("", _shifted_relu),
    Tanh: ("", lambda graph, layer, x: graph.node("Tanh", x)),
    Sigmoid: ("", lambda graph, layer, x: graph.node("Sigmoid", x)),
    Softplus: ("", lambda graph, layer, x: graph.node("Softplus", x)),
    SiLU: ("", _silu),
    GELU: ("", _gelu),
    SELU: ("", lambda graph, layer, x: graph.node("Selu", x, alpha=ALPHA, gamma=SCALE)),
    CELU: ("", lambda graph, layer, x: graph.node("Celu", x, alpha=layer.alpha)),
    ClippedReLU: ("", lambda graph, layer, x: _clip(graph, x, 0.0, layer.limit)),
    HardTanh: ("", lambda graph, layer, x: _clip(graph, x, layer.low, layer.high)),
    LogSoftmax: (LAST, lambda graph, layer, x: graph.node("LogSoftmax", x, axis=-1)),
    Softmax: (LAST, lambda graph, layer, x: graph.node("Softmax", x, axis=-1)),
    LocallyConnected2D: (FIRST, _locally_connected),
    MaxPool2D: (FIRST, _max_pool),
    MeanPool2D: (FIRST, _mean_pool),
    GlobalMeanPool2D: (FIRST, _global_mean),
    GlobalMaxPool2D: (FIRST, _global_max),
    AdaptiveMeanPool2D: (FIRST, _adaptive_mean),
    Dropout: ("", lambda graph, layer, x: x),
    BatchNorm: (FIRST, _batch_norm),
    Flatten: (LAST, lambda graph, layer, x: graph.node("Flatten", x)),
    Add: ("", _add),
    Multiply: ("", _multiply),
    Concat: (LAST, lambda graph, layer, *x: graph.node("Concat", *x, axis=layer.axis)),
    Pad: (FIRST, _pad),
    LayerNorm: (LAST, _layer_norm),
    GroupNorm: (FIRST, _group_norm),
    InstanceNorm: (FIRST, _instance_norm),
    PReLU: (FIRST, _prelu),
}
"""For each class of layer the layout that its converter needs ("": any), and the converter."""
