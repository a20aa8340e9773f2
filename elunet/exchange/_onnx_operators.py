"""ONNX's operators: what each becomes in a network, a function each, and a table of them.

A function takes the graph, the file's node and the node's attributes. It adds a layer, and says
what the node's output stands for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.exchange._onnx_graph import (
    TO_FIRST,
    TO_LAST,
    Graph,
    Value,
    channels_last,
    finite,
    floats,
)
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

FLOATS = (1, 10, 11, 16)
"""ONNX's numbers for float32, float16, float64 and bfloat16."""
MODES: dict[str, Mode] = {"constant": "zeros", "reflect": "reflect", "edge": "replicate"}
TRANSFORMED = (Conv2D, Linear, BatchNorm, LayerNorm, GroupNorm, InstanceNorm)


# Layers with weights.


def conv(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    value, W = graph.image(node), graph.constant(node, 1)
    if W.ndim != 4:
        raise graph.refused(node, "a convolution of images")
    groups, strides = given.get("group", 1), tuple(given.get("strides", [1, 1]))
    layer = Conv2D(
        W.shape[1] * groups,
        W.shape[0],
        W.shape[2:],
        strides,
        window_padding(graph, node, given),
        bias=len(node.input) > 2,
        seed=0,
        groups=groups,
        dilation=tuple(given.get("dilations", [1, 1])),
    )
    layer.params["W"] = floats(W.transpose(2, 3, 1, 0))
    if layer.bias:
        layer.params["b"] = floats(graph.constant(node, 2))
    graph.values[node.output[0]] = Value(graph.add(layer, value), first=True)


def window_padding(graph: Graph, node: Any, given: dict[str, Any]) -> Any:
    """Return the padding of a window, as elunet's layers take it."""
    auto = given.get("auto_pad", b"NOTSET").decode()
    if auto in ("NOTSET", "VALID"):
        top, left, bottom, right = given.get("pads", [0] * 4) if auto == "NOTSET" else [0] * 4
        return (top, bottom), (left, right)
    if auto == "SAME_UPPER":
        return "same"
    raise graph.refused(node, "auto_pad SAME_UPPER, VALID or NOTSET")


def gemm(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    plain = given.get("alpha", 1.0) == given.get("beta", 1.0) == 1.0
    if not plain or given.get("transA", 0):
        raise graph.refused(node, "alpha and beta of 1, and no transA")
    W = graph.constant(node, 1)
    b = graph.constant(node, 2) if len(node.input) > 2 and node.input[2] else None
    if b is not None and b.size != max(b.shape[-1:], default=1):
        raise graph.refused(node, "a bias for each output")
    linear(graph, node, W.T if given.get("transB", 0) else W, b)


def matmul(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    W = graph.constant(node, 1)
    if W.ndim != 2:
        raise graph.refused(node, "a product with a matrix")
    linear(graph, node, W, None)


def linear(graph: Graph, node: Any, W: Array, b: Array | None) -> None:
    """Add a product with a matrix; over the channels of images a convolution of size 1."""
    value, axes = graph.value(node.input[0]), graph.rank(node.input[0])
    if value.first or axes not in (2, 4):
        raise graph.refused(node, "rows, or images with channels last")
    if value.flat and int(np.prod(value.flat)) != len(W):
        raise graph.refused(node, f"{int(np.prod(value.flat))} rows of a matrix")
    layer: Conv2D | Linear
    if axes == 2:
        layer = Linear(W.shape[0], W.shape[1], bias=b is not None, seed=0)
        layer.params["W"] = floats(W[channels_last(value.flat)] if value.flat else W)
    else:
        layer = Conv2D(W.shape[0], W.shape[1], 1, bias=b is not None, seed=0)
        layer.params["W"] = floats(W[None, None])
    if b is not None:
        layer.params["b"] = floats(np.broadcast_to(b.reshape(-1), W.shape[1:]))
    graph.values[node.output[0]] = Value(graph.add(layer, value))


def batchnormalization(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    value = graph.value(node.input[0])
    if given.get("training_mode", 0) or not given.get("spatial", 1):
        raise graph.refused(node, "the running statistics of channels, not training_mode")
    arrays = [graph.constant(node, place) for place in range(1, 5)]
    if (arrays[3] < 0).any():
        raise graph.refused(node, "variances of at least 0")
    if value.flat is not None:
        arrays = [array[channels_last(value.flat)] for array in arrays]
    elif not value.first and len(graph.shapes.get(node.input[0], [0, 0])) > 2:
        raise graph.refused(node, "an image with channels first")
    layer = BatchNorm(
        len(arrays[0]), 1 - float(given.get("momentum", 0.9)), float(given.get("epsilon", 1e-5))
    )
    layer.params["gamma"], layer.params["beta"] = map(floats, arrays[:2])
    layer.state["running_mean"], layer.state["running_var"] = (
        np.array(finite(array), np.float64) for array in arrays[2:]
    )
    graph.keep(node, layer)


def layernormalization(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    value, arrays = graph.value(node.input[0]), gamma_and_beta(graph, node)
    rank = graph.rank(node.input[0])
    if value.first or given.get("axis", -1) % rank != rank - 1:
        raise graph.refused(node, "normalization over the last axis, the channels")
    if value.flat is not None:
        arrays = [array[channels_last(value.flat)] for array in arrays]
    layer = LayerNorm(len(arrays[0]), eps=float(given.get("epsilon", 1e-5)))
    normalized(graph, node, layer, arrays)


def instancenormalization(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    graph.image(node)
    arrays = gamma_and_beta(graph, node)
    eps = float(given.get("epsilon", 1e-5))
    normalized(graph, node, InstanceNorm(len(arrays[0]), affine=True, eps=eps), arrays)


def groupnormalization(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    """Read opset 21's; opset 18's, of one number for each group, became deprecated with it."""
    graph.image(node)
    channels, groups = graph.shape(node.input[0])[1], given["num_groups"]
    arrays = gamma_and_beta(graph, node)
    if not channels:
        raise graph.refused(node, "a known number of channels")
    arrays = [np.repeat(array, channels // len(array)) for array in arrays]
    layer = GroupNorm(groups, channels, eps=float(given.get("epsilon", 1e-5)))
    normalized(graph, node, layer, arrays)


def gamma_and_beta(graph: Graph, node: Any) -> list[Array]:
    gamma = graph.constant(node, 1)
    if gamma.ndim != 1:
        raise graph.refused(node, "one factor for each channel")
    given = len(node.input) > 2 and node.input[2]
    return [gamma, graph.constant(node, 2) if given else np.zeros_like(gamma)]


def normalized(
    graph: Graph, node: Any, layer: LayerNorm | GroupNorm | InstanceNorm, arrays: list[Array]
) -> None:
    layer.params["gamma"], layer.params["beta"] = map(floats, arrays)
    graph.keep(node, layer)


def prelu(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    slopes = per_channel(graph, node, "one slope, or one for each channel")
    layer = PReLU(slopes.size)
    layer.params["alpha"] = floats(slopes)
    graph.keep(node, layer)


# Pooling and shapes.


def maxpool(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    if {*given.get("dilations", [1])} != {1}:
        raise graph.refused(node, "no dilation")
    pool(graph, node, given, MaxPool2D)


def averagepool(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    if {*given.get("dilations", [1])} != {1}:
        raise graph.refused(node, "no dilation")
    inside = {"count_include_pad": bool(given.get("count_include_pad", 0))}
    pool(graph, node, given, MeanPool2D, **inside)


def pool(
    graph: Graph, node: Any, given: dict[str, Any], kind: Callable[..., Layer], **more: Any
) -> None:
    value, size = graph.image(node), tuple(given["kernel_shape"])
    strides = tuple(given.get("strides", [1, 1]))
    padding, ceil = window_padding(graph, node, given), bool(given.get("ceil_mode", 0))
    layer = kind(size, strides, padding, ceil, **more)
    graph.values[node.output[0]] = Value(graph.add(layer, value), first=True)


def globalaveragepool(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    made = graph.add(AdaptiveMeanPool2D(1), graph.image(node))
    graph.values[node.output[0]] = Value(made, first=True)


def globalmaxpool(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    sizes = graph.shape(node.input[0])[2:]
    if len(sizes) != 2 or not all(sizes):
        raise graph.refused(node, "an image whose size is known")
    made = graph.add(MaxPool2D((sizes[0], sizes[1])), graph.image(node))
    graph.values[node.output[0]] = Value(made, first=True)


def reducemean(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    reduced(graph, node, given, GlobalMeanPool2D(), AdaptiveMeanPool2D(1))


def reducemax(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    reduced(graph, node, given, GlobalMaxPool2D(), None)


def reduced(
    graph: Graph, node: Any, given: dict[str, Any], rows: Layer, images: Layer | None
) -> None:
    """Add a layer that reduces an image's pixels, to rows or to images of one pixel."""
    value = graph.value(node.input[0])
    axes = list(graph.constant(node, 1)) if len(node.input) > 1 else given.get("axes", [])
    wanted = [2, 3] if value.first else [1, 2]
    if len(graph.shape(node.input[0])) != 4 or sorted(int(n) % 4 for n in axes) != wanted:
        raise graph.refused(node, "a reduction over an image's pixels")
    if not given.get("keepdims", 1):
        graph.values[node.output[0]] = Value(graph.add(rows, value))
    elif images is None:
        raise graph.refused(node, "keepdims of 0")
    else:
        graph.values[node.output[0]] = Value(graph.add(images, value), value.first)


def flatten(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    if given.get("axis", 1) != 1:
        raise graph.refused(node, "axis 1")
    flattened(graph, node)


def reshape(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    if graph.turn(node):
        transpose(graph, node, given)
    elif not take_groups(graph, node):
        flattened(graph, node)


def take_groups(graph: Graph, node: Any) -> bool:
    """Take a group normalization: each group as a channel of an InstanceNormalization."""
    value, shape = graph.value(node.input[0]), graph.shape(node.input[0])
    rows = len(shape) == 2 and value.flat is None
    (norm,) = graph.takers(node.output[0]) or [node]
    if norm.op_type != "InstanceNormalization" or not (value.first or rows):
        return False
    (back,) = graph.takers(norm.output[0]) or [node]
    scale, shift = graph.constant(norm, 1), graph.constant(norm, 2)
    groups, channels = scale.size, shape[1]
    sizes = graph.shape(back.output[0])
    if back.op_type != "Reshape" or sizes[1:] != shape[1:] or not channels:
        raise graph.refused(norm, "groups that become channels again")
    layer = GroupNorm(groups, channels, eps=float(graph.attributes(norm).get("epsilon", 1e-5)))
    layer.params["gamma"], layer.params["beta"] = (
        floats(np.repeat(array, channels // groups)) for array in (scale, shift)
    )
    graph.values[back.output[0]] = Value(graph.add(layer, value), value.first)
    graph.skipped |= {norm.output[0], back.output[0]}
    return True


def flattened(graph: Graph, node: Any) -> None:
    value, shape = graph.value(node.input[0]), graph.shape(node.input[0])
    out = graph.shape(node.output[0])
    if len(out) == len(shape) == 2 and out[1] == shape[1] > 0:
        graph.same(node)
        return
    known = len(out) == 2 and len(shape) > 2 and all(shape[1:])
    rest = node.input[-1] in graph.unsure and graph.constants[node.input[-1]][1] == -1
    if not known or (out[1] != int(np.prod(shape[1:])) and not (rest and not out[1])):
        raise graph.refused(node, "an image of known size that becomes one row")
    flat = tuple(shape[1:]) if value.first else None
    graph.values[node.output[0]] = Value(graph.add(Flatten(), value), flat=flat)


def transpose(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    value = graph.value(node.input[0])
    turns = {(False, TO_FIRST): True, (True, TO_LAST): False}
    way = (value.first, graph.turn(node))
    if way not in turns:
        raise graph.refused(node, "channels that move first, or last again")
    graph.values[node.output[0]] = Value(value.node, turns[way])


def pad(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    value, mode = graph.value(node.input[0]), given.get("mode", b"constant").decode()
    pads = given["pads"] if "pads" in given else [int(n) for n in graph.constant(node, 1)]
    filled = given.get("value", 0.0)  # of old files
    if len(node.input) > 2 and node.input[2]:
        filled = graph.constant(node, 2).any()
    if len(node.input) > 3 and [*graph.constant(node, 3)] != [*range(4)]:
        raise graph.refused(node, "all axes in order")
    if mode not in MODES or len(pads) != 8 or filled or min(pads) < 0:
        raise graph.refused(node, "padding of images by zeros, reflection or the border")
    batch, *sides = zip(pads[:4], pads[4:], strict=True)
    rows, columns, channels = sides[1:] + sides[:1] if value.first else sides
    if any(batch):
        raise graph.refused(node, "a batch without padding")
    layer = Pad((rows, columns), MODES[mode], channels)
    graph.values[node.output[0]] = Value(graph.add(layer, value), value.first)


# Several inputs.


def sum_node(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    if len(node.input) == 1:
        graph.same(node)
        return
    meet(graph, node, Add())


def add_node(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    if graph.has_constant(node):
        transform(graph, node, 1.0, per_channel(graph, node))
    else:
        meet(graph, node, Add())


def mul(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    if graph.has_constant(node):
        transform(graph, node, per_channel(graph, node), 0.0)
    else:
        meet(graph, node, Multiply())


def sub(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    shift = per_channel(graph, node)
    if node.input[0] in graph.constants:
        transform(graph, node, -1.0, shift)
    else:
        transform(graph, node, 1.0, -shift)


def div(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    divisor = per_channel(graph, node)
    if node.input[0] in graph.constants or not divisor.all():
        raise graph.refused(node, "a value, divided by a number other than 0")
    transform(graph, node, 1 / divisor, 0.0)


def per_channel(
    graph: Graph, node: Any, expected: str = "two values, or a number for each channel"
) -> Array:
    """Return the constant beside a value: one number, or one for each channel."""
    name, value = graph.operand(node)
    place = next((p for p, each in enumerate(node.input) if each in graph.constants), 0)
    array = graph.constant(node, place).astype(np.float64)
    rank = graph.rank(name)
    if node.op_type == "PRelu" and graph.version < 7:  # slopes were those of axis 1
        array = array.reshape(-1, *(rank - 2) * (1,))
    wide = (1,) * (rank - array.ndim) + array.shape
    along = 1 if value.first else -1
    wrong = len(wide) != rank or (array.size > 1 and wide[along] != array.size)
    if wrong or "axis" in graph.attributes(node):  # which old files had
        raise graph.refused(node, expected)
    flat = array.reshape(-1)
    return flat[channels_last(value.flat)] if value.flat and flat.size > 1 else flat


def transform(graph: Graph, node: Any, scale: Array | float, shift: Array | float) -> None:
    """Compute ``scale x + shift``, in the layer that x comes from if it can be."""
    _, value = graph.operand(node)
    layer: Layer | None = None if value.node == INPUT else graph.net[value.node]
    if isinstance(layer, TRANSFORMED) and graph.is_alone(value.node):
        graph.values[node.output[0]] = value
    else:
        layer = point(graph, node)
        graph.values[node.output[0]] = Value(graph.add(layer, value), value.first)
    factor, offset = ("W", "b") if "W" in layer.params else ("gamma", "beta")
    channels = layer.params[factor].shape[-1:]
    before = layer.params.get(offset, np.zeros(channels))
    layer.params[factor] = floats(layer.params[factor] * scale)
    if offset in layer.params or np.any(shift):
        layer.params[offset] = floats(np.broadcast_to(before * scale + shift, channels))
    if isinstance(layer, Conv2D | Linear):
        layer.bias = offset in layer.params


def point(graph: Graph, node: Any) -> Conv2D:
    """Return a depthwise convolution that does not change images."""
    name, value = graph.operand(node)
    shape = graph.shape(name)
    if len(shape) != 4 or not shape[1 if value.first else 3]:
        raise graph.refused(node, "an image, or a layer with weights before it")
    channels = shape[1 if value.first else 3]
    layer = Conv2D(channels, channels, 1, bias=False, seed=0, groups=channels)
    layer.params["W"][...] = 1
    return layer


def concat(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    value = graph.value(node.input[0])
    rank = graph.rank(node.input[0])
    axis = given["axis"] % rank
    if not axis:
        raise graph.refused(node, "an axis other than the batch")
    ours = {1: rank - 1, 2: 1, 3: 2}.get(axis, 0) if value.first else axis
    meet(graph, node, Concat(ours))


def meet(graph: Graph, node: Any, layer: Layer) -> None:
    values = [graph.value(name) for name in node.input]
    if len({(value.first, value.flat) for value in values}) > 1 or (
        isinstance(layer, Concat) and values[0].flat
    ):
        raise graph.refused(node, "values whose axes have one order")
    made = graph.add(layer, *values)
    graph.values[node.output[0]] = Value(made, values[0].first, values[0].flat)


# Others.


def identity(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    graph.same(node)


def cast(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    if given["to"] not in FLOATS:
        raise graph.refused(node, "a cast to floats, which keeps the numbers")
    graph.same(node)


def selu(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    wanted = {"alpha": ALPHA, "gamma": SCALE}
    if any(abs(given.get(name, value) - value) > 1e-6 for name, value in wanted.items()):
        raise graph.refused(node, "SELU's own alpha and gamma")
    graph.keep(node, SELU())


def dropout(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    if len(node.input) > 2 and graph.constant(node, 2).any():
        raise graph.refused(node, "no training_mode")
    rate = graph.constant(node, 1) if len(node.input) > 1 else given.get("ratio", 0.5)
    graph.keep(node, Dropout(float(rate)))


def clip(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    low, high = given.get("min"), given.get("max")
    if len(node.input) > 2:
        low, high = float(graph.constant(node, 1)), float(graph.constant(node, 2))
    if low is None or high is None:
        raise graph.refused(node, "both limits")
    graph.keep(node, ClippedReLU(high) if low == 0 else HardTanh(low, high))


def max_node(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    constants = [graph.constants[name] for name in node.input if name in graph.constants]
    if len(constants) != 1 or constants[0].size != 1 or constants[0].item() != -1:
        raise graph.refused(node, "the larger of a value and -1 (ShiftedReLU)")
    graph.keep(node, ShiftedReLU())


def softmax(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    over_channels(graph, node, given, Softmax())


def logsoftmax(graph: Graph, node: Any, given: dict[str, Any]) -> None:
    over_channels(graph, node, given, LogSoftmax())


def over_channels(graph: Graph, node: Any, given: dict[str, Any], layer: Layer) -> None:
    rank = graph.rank(node.input[0])
    wanted = 1 if graph.value(node.input[0]).first else rank - 1
    old = graph.version < 13  # where all axes from this one on were taken as one
    axis = given.get("axis", 1 if old else -1) % rank
    if axis != wanted or (old and axis != rank - 1):
        raise graph.refused(node, "softmax over the channels")
    graph.keep(node, layer)


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
READERS: dict[str, Callable[[Graph, Any, dict[str, Any]], None]] = {
    "Conv": conv,
    "Gemm": gemm,
    "MatMul": matmul,
    "BatchNormalization": batchnormalization,
    "LayerNormalization": layernormalization,
    "InstanceNormalization": instancenormalization,
    "GroupNormalization": groupnormalization,
    "PRelu": prelu,
    "Selu": selu,
    "MaxPool": maxpool,
    "AveragePool": averagepool,
    "GlobalAveragePool": globalaveragepool,
    "GlobalMaxPool": globalmaxpool,
    "ReduceMean": reducemean,
    "ReduceMax": reducemax,
    "Flatten": flatten,
    "Reshape": reshape,
    "Squeeze": reshape,
    "Transpose": transpose,
    "Pad": pad,
    "Sum": sum_node,
    "Add": add_node,
    "Sub": sub,
    "Mul": mul,
    "Div": div,
    "Concat": concat,
    "Identity": identity,
    "Cast": cast,
    "Dropout": dropout,
    "Clip": clip,
    "Max": max_node,
    "Softmax": softmax,
    "LogSoftmax": logsoftmax,
}
