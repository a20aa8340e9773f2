"""ONNX's own cases for backends: models of an operator or a few, with inputs and outputs.

The first input is the network's; the others, such as a convolution's kernel, are made constants of
the file. `from_onnx` reads it, the outputs are compared, and the gradients with differences: ONNX
has none. Cases of sums, products and concatenations, which take several inputs, go to the layers.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
from onnx.backend.test.loader import load_model_tests

from elunet.exchange import from_onnx
from elunet.layers import Add, Concat, Multiply
from peers import counting
from peers.counting import Counts, NotExpressible, same

KINDS = ["node", "simple", "pytorch-operator", "pytorch-converted"]
STEP = 1e-6


def run(counts: Counts, kinds=KINDS) -> None:
    """Count all cases of these kinds."""
    counts.reason = reason
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it computes overflows and logarithms of 0 on purpose
        cases = [case for kind in kinds for case in load_model_tests(kind=kind)]
    with tempfile.TemporaryDirectory() as folder:
        for case in cases:
            kind = f"{case.kind}, {operator(case)}"
            counts.take(kind, case.name, lambda case=case: check(case, Path(folder)))


def check(case, folder: Path) -> None:
    """Compare elunet with what a case expects."""
    model, inputs, outputs = read(case)
    nodes = list(model.graph.node)
    if not inputs or not outputs:
        raise NotExpressible("no input, or no output")
    if not all(isinstance(each, np.ndarray) for each in (*inputs, outputs[0])):
        raise NotExpressible("sequences and other things that are no arrays")
    if inputs[0].dtype not in (np.float32, np.float64):
        raise NotExpressible(f"an input of {inputs[0].dtype}")
    limit = max(case.rtol, 1e-3)
    if len(nodes) == 1 and len(inputs) > 1 and nodes[0].op_type in SEVERAL:
        layer = SEVERAL[nodes[0].op_type](nodes[0])
        try:
            y = layer.forward(tuple(inputs))
        except ValueError:
            pass  # it broadcasts: an operand may be a constant
        else:
            same("y", y, outputs[0], limit)
            return
    file = folder / "case.onnx"
    file.write_bytes(bound(model, inputs).SerializeToString())
    net = from_onnx(file)
    x = laid(inputs[0], nodes)
    same("y", net(x), laid(outputs[0], nodes), limit)
    check_gradients(list(net), x)


def operator(case) -> str:
    """Return the last operator of a case's model, which is what the case is about."""
    model = case.model or onnx.load(Path(case.model_dir) / "model.onnx")
    return model.graph.node[-1].op_type if model.graph.node else "none"


def read(case):
    """Return a case's model, its inputs and its outputs."""
    if case.model is not None:
        return case.model, *case.data_sets[0]
    folder = Path(case.model_dir)
    arrays = []
    for side in ("input", "output"):
        files = sorted((folder / "test_data_set_0").glob(f"{side}_*.pb"))
        tensors = [onnx.TensorProto.FromString(file.read_bytes()) for file in files]
        arrays.append([onnx.numpy_helper.to_array(each) for each in tensors])
    return onnx.load(folder / "model.onnx"), *arrays


def bound(model, inputs):
    """Return the model with all inputs but the first as constants, and its first output."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    held = {each.name for each in graph.initializer}
    names = [each.name for each in graph.input if each.name not in held]
    for name, array in zip(names[1:], inputs[1:], strict=True):
        graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    del graph.output[1:]
    return made


def laid(array: np.ndarray, nodes: list) -> np.ndarray:
    """Return images channels last; a Transpose moves them by itself."""
    if array.ndim != 4 or any(node.op_type == "Transpose" for node in nodes):
        return array
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1))


def check_gradients(layers: list, x: np.ndarray) -> None:
    """Compare a chain's gradients with differences along random directions.

    A little beside x, so that no kink of an activation and no tie in a window is met.
    """
    rng = np.random.default_rng(0)
    x = x + 0.01 * rng.normal(size=x.shape)

    def forward(x):
        for layer in layers:
            x = layer.forward(x)
        return x

    y = forward(x)
    dy = rng.normal(size=y.shape)
    signal = dy
    for layer in reversed(layers):
        signal = layer.backward(signal)
    pairs = [("dx", x, signal)]
    for layer in layers:
        for key in layer.params:
            layer.params[key] = layer.params[key].astype(np.float64)
        pairs += [(f"d{key}", array, layer.grads[key]) for key, array in layer.params.items()]
    for what, array, gradient in pairs:
        way = rng.normal(size=array.shape)
        before = array.copy()
        ends = []
        for sign in (1, -1):
            array[...] = before + sign * STEP * way
            ends.append(float((forward(x) * dy).sum()))
        array[...] = before
        slope = (ends[0] - ends[1]) / (2 * STEP)
        same(what, np.array((gradient * way).sum()), np.array(slope), 1e-4)


def reason(text: str) -> str:
    """Return what from_onnx expected of an operator; which one is in the sample's kind."""
    text = counting.reason(text.removeprefix("from_onnx: "))
    return "no layer for this operator" if "has a layer for" in text else text


def axis_of(node) -> int:
    return next(each.i for each in node.attribute if each.name == "axis")


SEVERAL = {
    "Add": lambda node: Add(),
    "Sum": lambda node: Add(),
    "Mul": lambda node: Multiply(),
    "Concat": lambda node: Concat(axis_of(node)),
}
