"""Whole networks to ONNX, one layer after the other.

ONNX has pictures channels first, elunet channels last. The file takes and gives what the network
takes and gives; inside, a value is transposed when a layer wants it otherwise, and not before. A
rule says for a kind of layer which ONNX operators it is; layers themselves know nothing of it.
"""

from __future__ import annotations

import importlib
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from elunet._types import Array, Shape
from elunet.exchange._slots import output_shapes
from elunet.layers import (
    ELU,
    Add,
    BatchNorm,
    Conv2D,
    Dropout,
    Flatten,
    GlobalMeanPool2D,
    Layer,
    LeakyReLU,
    Linear,
    MaxPool2D,
    MeanPool2D,
    ReLU,
    ShiftedReLU,
    Softmax,
    Tanh,
)
from elunet.network import INPUT, Network
from elunet.storage.files import write_atomically

OPSET = 17
OUTPUT = "output"

FIRST, LAST = "channels first", "channels last"


class OnnxGraph:
    """The ONNX graph in the making, as a rule for a layer of one's own sees it.

    A value is a text, the name of a tensor in the graph: rules get such names, put operators
    between them, and return one.

    Examples
    --------
    A rule for a layer that computes ``x sigmoid(beta x)``, to be given to `to_onnx` as
    ``rules={Swish: swish}``:

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
            Such as "Mul"; one with a single output.
        *inputs : str
        **attributes
            As in ONNX' list of operators.
        """
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
            The layer's name is put before it.
        """
        array = np.asarray(array)
        array = np.asarray(array, np.float32 if array.dtype.kind == "f" else None, order="C")
        name = self._fresh(name)
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def shape(self, value: str) -> Shape:
        """Return the shape, without the batch and in elunet's order of axes, of a layer's input.

        Raises
        ------
        ValueError
            If `value` is not one of the names that the rule was given.
        """
        for known in self._values.values():
            if value in known.names.values():
                return known.shape
        raise ValueError(f"OnnxGraph: expected value as a layer's input, got {value!r}")

    def _fresh(self, name: str) -> str:
        """Return "conv1.W", and "conv1.W_2" where there is one already."""
        name = f"{self._layer}.{name}"  # no layer's name has a dot, so no two layers' names meet
        self._names[name] += 1
        return name if self._names[name] == 1 else f"{name}_{self._names[name]}"

    def _laid_out(self, value: _Value, layout: str) -> str:
        """Return a value's name in this layout; transposed, once, if it is not there yet."""
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


Rule = Callable[..., str]
"""``rule(graph, layer, x) -> y``, names of tensors; with one x more for each further input."""


@dataclass
class _Value:
    """A layer's output: its names in the layouts in which it is there, and elunet's shape."""

    names: dict[str, str]
    shape: Shape


def to_onnx(
    net: Network,
    input_shape: Sequence[int],
    file: str | os.PathLike[str],
    rules: Mapping[type[Layer], Rule] | None = None,
) -> None:
    """Write a network, as it predicts, to an ONNX file (opset 17, float32).

    Parameters
    ----------
    net : Network
    input_shape : tuple of int
        One picture's shape without the batch, (H, W, C); the file is for pictures of this size.
    file : path
        It has one input, "input", and one output, "output", of the network's own shapes,
        (N, H, W, C) and for instance (N, classes), for any N.
    rules : dict of Layer class to callable, optional
        For layers of one's own: ``rule(graph, layer, x) -> y``, see `OnnxGraph`. x and y are names
        of tensors, laid out as in the layer: channels last. A rule holds for subclasses, too, and
        comes before elunet's own.

    Raises
    ------
    ImportError
        If the package onnx is missing: ``pip install onnx``.
    TypeError, ValueError
        If the network does not take pictures of this shape, or has a layer without a rule.
    OSError
        If the file cannot be written.

    Notes
    -----
    Dropout leaves no trace, and BatchNorm uses its running averages. A subclass of one of elunet's
    layers is written like that one unless it has a `forward` of its own, which needs a rule. The
    file is checked by onnx's own checker before it is written.

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
    graph = OnnxGraph()
    onnx = graph._onnx
    shapes = output_shapes("to_onnx", net, input_shape)
    values = graph._values
    values[INPUT] = _Value({LAST: INPUT}, shapes[INPUT])
    for node in net.nodes:
        graph._layer = node.name
        layout, rule = _rule(node.layer, node.name, rules or {})
        inputs = [values[source] for source in node.inputs]
        if layout == "":  # whatever is there
            layout = next(iter(inputs[0].names))
        taken = [graph._laid_out(value, layout) for value in inputs]
        name = rule(graph, node.layer, *taken)
        if not isinstance(name, str):
            raise TypeError(
                f"to_onnx: expected the rule for {node.name} ({node.layer!r}) to return the name of"
                f" a tensor, got {name!r}"
            )
        values[node.name] = _Value({layout: name}, shapes[node.name])
    graph._layer = OUTPUT
    last = graph._laid_out(values[net.names[-1]], LAST)
    graph._nodes.append(onnx.helper.make_node("Identity", [last], [OUTPUT], OUTPUT))
    model = _model(graph, shapes[INPUT], shapes[net.names[-1]])
    onnx.checker.check_model(model, full_check=True)
    write_atomically(file, model.SerializeToString())


def _model(graph: OnnxGraph, input_shape: Shape, output_shape: Shape) -> Any:
    """Return the whole file's content."""
    helper = graph._onnx.helper
    float32 = graph._onnx.TensorProto.FLOAT
    x = helper.make_tensor_value_info(INPUT, float32, ["N", *input_shape])
    y = helper.make_tensor_value_info(OUTPUT, float32, ["N", *output_shape])
    made = helper.make_graph(graph._nodes, "elunet", [x], [y], graph._constants)
    opset = [helper.make_opsetid("", OPSET)]
    version = helper.find_min_ir_version_for(opset)  # the oldest, so that older programs read it
    return helper.make_model(made, opset_imports=opset, ir_version=version, producer_name="elunet")


def _import_onnx() -> Any:
    try:
        return importlib.import_module("onnx")
    except ImportError as error:
        raise ImportError(
            "to_onnx: expected the package onnx to be installed; pip install onnx"
        ) from error


def _rule(layer: Layer, name: str, rules: Mapping[type[Layer], Rule]) -> tuple[str, Rule]:
    """Return a layer's rule and the layout that it wants."""
    for kind in type(layer).__mro__:
        if kind in rules:
            return LAST, rules[kind]
    for kind in type(layer).__mro__:
        if kind in RULES and type(layer).forward is kind.forward:
            return RULES[kind]
    raise ValueError(
        f"to_onnx: expected a layer that it has a rule for, got {name}: {layer!r}; say how with"
        f" rules={{{type(layer).__name__}: rule}} (see eln.exchange.OnnxGraph)"
    )


def _conv(graph: OnnxGraph, layer: Conv2D, x: str) -> str:
    W = graph.constant(layer.params["W"].transpose(3, 2, 0, 1), "W")
    bias = [graph.constant(layer.params["b"], "b")] if layer.bias else []
    zeros = [layer._zeros(size, axis) for axis, size in enumerate(graph.shape(x)[:2])]
    pads = [before for before, _ in zeros] + [after for _, after in zeros]
    strides = [layer.stride, layer.stride]
    kernel = list(layer.kernel_size)
    return graph.node("Conv", x, W, *bias, kernel_shape=kernel, strides=strides, pads=pads)


def _linear(graph: OnnxGraph, layer: Linear, x: str) -> str:
    W = graph.constant(layer.params["W"], "W")
    if not layer.bias:
        return graph.node("MatMul", x, W)
    return graph.node("Gemm", x, W, graph.constant(layer.params["b"], "b"))


def _batch_norm(graph: OnnxGraph, layer: BatchNorm, x: str) -> str:
    arrays = {**layer.params, **layer.state}
    order = ("gamma", "beta", "running_mean", "running_var")
    inputs = [graph.constant(arrays[key], key) for key in order]
    return graph.node("BatchNormalization", x, *inputs, epsilon=layer.eps)


def _pool(operator: str) -> Rule:
    def rule(graph: OnnxGraph, layer: MaxPool2D | MeanPool2D, x: str) -> str:
        size, stride = [layer.size] * 2, [layer.stride] * 2
        return graph.node(operator, x, kernel_shape=size, strides=stride)

    return rule


def _global_mean(graph: OnnxGraph, layer: GlobalMeanPool2D, x: str) -> str:
    return graph.node("Flatten", graph.node("GlobalAveragePool", x))


def _elu(graph: OnnxGraph, layer: ELU, x: str) -> str:
    """Write ELU without the operator Elu.

    Runtimes compute that one as e^x - 1, in which a small x is rounded away; deep in a network that
    was not trained yet all numbers may be small. With t = tanh(x / 2), e^x - 1 = 2 t / (1 - t).
    """
    below = graph.node("Min", x, graph.constant(0.0, "zero"))
    t = graph.node("Tanh", graph.node("Mul", below, graph.constant(0.5, "half")))
    quotient = graph.node("Div", t, graph.node("Sub", graph.constant(1.0, "one"), t))
    scaled = graph.node("Mul", quotient, graph.constant(2 * layer.alpha, "2_alpha"))
    return graph.node("Add", graph.node("Relu", x), scaled)


def _shifted_relu(graph: OnnxGraph, layer: ShiftedReLU, x: str) -> str:
    return graph.node("Max", x, graph.constant(-1.0))


RULES: dict[type[Layer], tuple[str, Rule]] = {
    Conv2D: (FIRST, _conv),
    Linear: (LAST, _linear),
    ELU: ("", _elu),
    ReLU: ("", lambda graph, layer, x: graph.node("Relu", x)),
    LeakyReLU: ("", lambda graph, layer, x: graph.node("LeakyRelu", x, alpha=layer.slope)),
    ShiftedReLU: ("", _shifted_relu),
    Tanh: ("", lambda graph, layer, x: graph.node("Tanh", x)),
    Softmax: (LAST, lambda graph, layer, x: graph.node("Softmax", x, axis=-1)),
    MaxPool2D: (FIRST, _pool("MaxPool")),
    MeanPool2D: (FIRST, _pool("AveragePool")),
    GlobalMeanPool2D: (FIRST, _global_mean),
    Dropout: ("", lambda graph, layer, x: x),
    BatchNorm: (FIRST, _batch_norm),
    Flatten: (LAST, lambda graph, layer, x: graph.node("Flatten", x)),
    Add: ("", lambda graph, layer, *x: graph.node("Sum", *x)),
}
"""For each kind of layer the layout that its rule wants ("": any), and the rule."""
