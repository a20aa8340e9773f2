"""Networks from ONNX files.

ONNX has channels first, elunet last. So for each value of the file it is kept in which order its
axes are: as in elunet, with channels first, or flattened from an image with channels first. The
last makes the next Linear's rows come in another order, as for PyTorch.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from elunet.exchange._onnx import PRODUCER
from elunet.exchange._onnx_graph import STANDARD, TO_FIRST, Graph, Value, is_one_pixel
from elunet.exchange._onnx_operators import READERS, SIMPLE
from elunet.graph import INPUT
from elunet.layers import ELU, GELU, Layer
from elunet.network import Network
from elunet.storage.files import read

ELEMENTWISE = {"Add", "Cast", "Div", "Identity", "Mul", "Pad", "Sub"}


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
    return Reader(onnx, model, model.producer_name == PRODUCER).network()


class Reader(Graph):
    """Goes through a graph's nodes, and adds a layer for each."""

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
        self.values[name] = Value(INPUT, first=not last)
        for node in self.graph.node:
            if node.op_type != "Constant" and node.output[0] not in self.skipped:
                try:
                    self._read(node)
                except (TypeError, ValueError) as error:  # from a layer's own checks
                    if str(error).startswith("from_onnx:"):
                        raise
                    raise self.refused(node, f"arguments that a layer accepts ({error})") from error
        self._check_end(self.value(self.graph.output[0].name))
        if not self.net.nodes:
            raise ValueError("from_onnx: expected at least one layer, got none")
        return self.net

    def _check_end(self, end: Value) -> None:
        if end.flat is not None and not is_one_pixel(end.flat):
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
                if self.turn(node) == TO_FIRST:
                    return True
                if node.op_type in SIMPLE or node.op_type in ELEMENTWISE:
                    names |= {*node.output}
        return False

    def _read(self, node: Any) -> None:
        """Add the layer of a node of the file."""
        if node.domain not in STANDARD:
            raise self.refused(node, f"an operator of the ONNX standard, not of {node.domain!r}")
        if self.is_own and self._take_own(node):
            return
        if self.fold(node):
            return
        if node.op_type in SIMPLE:
            self.keep(node, SIMPLE[node.op_type](self.attributes(node)))
        elif node.op_type in READERS:
            READERS[node.op_type](self, node, self.attributes(node))
        else:
            raise self.refused(node, "an operator that elunet has a layer for")

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
        self.keep(node, made, output=group[-1].output[0])
        self.skipped |= {name for each in group for name in each.output}
        return True
