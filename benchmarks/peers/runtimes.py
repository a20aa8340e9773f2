"""OpenVINO and ONNX Runtime: inference only, both from one file in ONNX's format."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from works import Network, Work, data, weights

from peers import Built


def onnx_model(network: Network, batch: int) -> bytes:
    """Return the described network in ONNX's format, for one size of batch; dropout is nothing."""
    nodes: list[Any] = []
    constants: list[Any] = []
    last = "input"
    arrays = iter(weights(network))
    image: tuple[int, ...] = ()  # what was flattened, if the next thing is a dense layer on it

    def add(kind: str, *values: Any, **attributes: Any) -> None:
        nonlocal last
        names = [f"w{len(constants) + place}" for place in range(len(values))]
        constants.extend(
            numpy_helper.from_array(np.ascontiguousarray(value), name)
            for value, name in zip(values, names, strict=True)
        )
        nodes.append(helper.make_node(kind, [last, *names], [f"v{len(nodes)}"], **attributes))
        last = f"v{len(nodes) - 1}"

    for part, before, _ in network.walk():
        match part:
            case ("conv", _, size, padding):
                around = {"same": "SAME_UPPER", "valid": "VALID"}[padding]
                values = [next(arrays).transpose(3, 2, 0, 1)]
                values += [next(arrays)] if network.bias else []
                add("Conv", *values, auto_pad=around, kernel_shape=[size] * 2)
            case ("dense", units):
                W = next(arrays)
                if image:  # it flattens channels first
                    W = W.reshape(*image, units).transpose(2, 0, 1, 3).reshape(W.shape)
                add("Gemm", W, *([next(arrays)] if network.bias else []))
                image = ()
            case ("elu",):
                add("Elu")
            case ("max_pool",):
                add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
            case ("mean_pool",):
                add("AveragePool", kernel_shape=[2, 2], strides=[2, 2])
            case ("flatten" | "global_mean",):  # the global mean of one pixel is no more than that
                add("Flatten")
                image = before
    takes = helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, *_first(network)])
    gives = helper.make_tensor_value_info(last, TensorProto.FLOAT, [batch, 10])
    graph = helper.make_graph(nodes, "net", [takes], [gives], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def build(work: Work, threads: int, variant: str) -> Built:
    """Return the work's network in OpenVINO or ONNX Runtime."""
    x = data(work)[0]
    if x.ndim == 4:
        x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    model = onnx_model(work.network, work.batch)
    predict = (openvino if variant == "openvino" else onnxruntime)(model, x, threads)
    parameters = sum(math.prod(array.shape) for array in weights(work.network))
    return Built(predict, predict, parameters)


def openvino(model: bytes, x: Any, threads: int) -> Any:
    """Return what runs a model in OpenVINO."""
    import openvino as ov

    core = ov.Core()
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",  # where the processor has bfloat16, it would take that
    }
    request = core.compile_model(core.read_model(model), "CPU", options).create_infer_request()
    request.set_input_tensor(ov.Tensor(x))  # its own copy
    gives = request.get_output_tensor()

    def run() -> Any:
        request.infer()
        return gives.data

    return run


def onnxruntime(model: bytes, x: Any, threads: int) -> Any:
    """Return what runs a model in ONNX Runtime."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_cpu_input("input", x)
    binding.bind_output(session.get_outputs()[0].name)

    def run() -> Any:
        session.run_with_iobinding(binding)
        return binding.get_outputs()[0].numpy()

    return run


def _first(network: Network) -> tuple[int, ...]:
    """Return an example's shape with the channels first."""
    *pixels, channels = network.input
    return (channels, *pixels)
