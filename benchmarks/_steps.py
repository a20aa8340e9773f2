"""One step of the same work in each library: what is measured.

Case elu11: max pooling, the paper's dropout, SGD with momentum 0.9 and L2 0.0005 on weights. Case
d: the article's, with mean pooling, no biases, Adam, L2 0.0001. Case b: the article's small network
under feedback alignment, with Adam; in PyTorch it is an autograd function of one's own whose
backward pass takes B in W's place, which is how it is usually written there. Inputs are the same
random pictures; float32.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

WIDTHS = {
    "elu11": (192, 192, 240, 240, 260, 260, 280, 280, 300, 300),
    "b": (16, 16, 32, 32, 64, 64, 66, 66, 68, 68),
    "d": (192, 192, 192, 240, 240, 260, 260, 280, 280, 300),
}
KERNELS = ((5,), (1, 3), (1, 2), (1, 2), (1, 2), (1,))
DROPOUT = {"elu11": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5), "b": (0.0,) * 6, "d": (0.0,) * 6}

Step = Callable[[], None]


@dataclass(frozen=True)
class Setting:
    """What is computed: ``phase`` is "train" or "inference"."""

    case: str = "elu11"
    phase: str = "train"
    batch: int = 100
    threads: int = 1

    def __str__(self) -> str:
        return f"case {self.case}, batch {self.batch}, float32, {self.threads} threads"


def pictures(batch: int) -> tuple[Any, Any]:
    """Return random pictures (N, 32, 32, 3) and labels."""
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, 32, 32, 3)).astype(np.float32)
    return x, rng.integers(0, 10, batch)


def elunet_net(case: str) -> Any:
    """Return the case's network."""
    import elunet as eln

    return eln.models.elu11() if case == "elu11" else eln.models.article_case(case)


def elunet_step(setting: Setting) -> Step:
    """Return one step of elunet."""
    import elunet as eln

    eln.set_num_threads(setting.threads)
    x, y = pictures(setting.batch)
    net, loss = elunet_net(setting.case), eln.losses.SoftmaxCrossEntropy()
    align = setting.case == "b"
    router: eln.routers.Router = (
        eln.routers.FeedbackAlignment() if align else eln.routers.Backprop()
    )
    optimizer: eln.optim.Optimizer = {
        "elu11": lambda: eln.optim.SGD(0.001, momentum=0.9, l2=0.0005),
        "b": lambda: eln.optim.Adam(1e-5),
        "d": lambda: eln.optim.Adam(1e-4, l2=0.0001),
    }[setting.case]()

    def train() -> None:
        logits = net.forward(x, train=True)
        _, dy = loss(logits, y)
        router.backward(net, dy, release=True)  # as the trainer does, and PyTorch
        optimizer.step(net, router)

    def infer() -> None:
        net.forward(x)

    return train if setting.phase == "train" else infer


def torch_parts(case: str) -> list[Any]:
    """Return the case's network as a list of PyTorch modules."""
    from torch import nn

    # It says at each even kernel that "same" padding may need a copy.
    warnings.filterwarnings("ignore", message="Using padding='same'")
    bias, widths = case == "elu11", iter(WIDTHS[case])
    conv = torch_aligned() if case == "b" else nn.Conv2d
    parts: list[Any] = []
    channels = 3
    for place, (kernels, rate) in enumerate(zip(KERNELS, DROPOUT[case], strict=True)):
        for kernel in kernels:
            units = next(widths)
            parts.append(conv(channels, units, kernel, padding="same", bias=bias))
            parts.append(nn.ELU(inplace=True))
            channels = units
        if place < 5:
            parts.append(nn.MaxPool2d(2) if case == "elu11" else nn.AvgPool2d(2))
        if rate:
            parts.append(nn.Dropout(rate))
    parts += [conv(channels, 10, 1, padding="same", bias=bias), nn.Flatten()]
    for part in parts:
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight)
    return parts


def torch_aligned() -> Any:
    """Return a convolution whose gradient goes down through a fixed random B."""
    import torch
    from torch import nn

    backward: Any = torch.ops.aten.convolution_backward

    class Aligned(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, x: Any, W: Any, B: Any, zeros: int) -> Any:
            context.save_for_backward(x, W, B)
            context.zeros = zeros
            return nn.functional.conv2d(x, W, padding=zeros)

        @staticmethod
        def backward(context: Any, dy: Any) -> Any:
            x, W, B = context.saved_tensors

            def half(weight: Any, wanted: list[bool]) -> Any:
                around = [context.zeros] * 2
                geometry = ([1, 1], around, [1, 1], False, [0, 0], 1)
                return backward(dy, x, weight, None, *geometry, wanted)

            dW = half(W, [False, True, False])[1]
            dx = half(B, [True, False, False])[0] if context.needs_input_grad[0] else None
            return dx, dW, None, None

    class AlignedConv2d(nn.Conv2d):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.register_buffer("B", nn.init.kaiming_normal_(torch.empty_like(self.weight)))

        def forward(self, x: Any) -> Any:
            size = self.kernel_size[0]
            if size % 2 == 0:  # an even kernel's odd zero comes after
                x = nn.functional.pad(x, (0, 1, 0, 1))
            return Aligned.apply(x, self.weight, self.B, (size - 1) // 2)

    return AlignedConv2d


def torch_step(setting: Setting, variant: str) -> Step:
    """Return one step of PyTorch; `variant` is "NCHW", "channels_last" or "compile"."""
    import torch
    from torch import nn

    torch.set_num_threads(setting.threads)
    torch.manual_seed(0)
    net: Any = nn.Sequential(*torch_parts(setting.case))
    pixels, labels = pictures(setting.batch)
    x = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
    y = torch.from_numpy(labels)
    if variant != "NCHW":
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    weights = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim == 1]
    decay = {"elu11": 0.0005, "b": 0.0, "d": 0.0001}[setting.case]
    groups: list[dict[str, Any]] = [{"params": weights, "weight_decay": decay}]
    groups += [{"params": others}] if others else []
    optimizer: Any = (
        torch.optim.SGD(groups, 0.001, momentum=0.9)
        if setting.case == "elu11"
        else torch.optim.Adam(groups, 1e-4)
    )
    net.train(setting.phase == "train")
    if variant == "compile":
        net = torch.compile(net)

    def train() -> None:
        value: Any = nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    def infer() -> None:
        with torch.inference_mode():
            net(x)

    return train if setting.phase == "train" else infer


def torch_operation(threads: int) -> Step:
    """Return a short operation on all of PyTorch's threads, after which they spin for a while."""
    import torch

    torch.set_num_threads(threads)
    numbers = torch.ones(4_000_000)

    def run() -> None:
        numbers.exp_().clamp_(0, 1)

    return run


def onnx_step(setting: Setting) -> Step:
    """Return one step of ONNX Runtime's inference on elunet's own network."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = setting.threads, 1
    session = onnxruntime.InferenceSession(
        onnx_model(elunet_net(setting.case)), options, providers=["CPUExecutionProvider"]
    )
    x = np.ascontiguousarray(pictures(setting.batch)[0].transpose(0, 3, 1, 2))

    def infer() -> None:
        session.run(None, {"input": x})

    return infer


def onnx_model(net: Any) -> bytes:
    """Return a chain of convolutions, ELU and pooling in ONNX's format; dropout does nothing."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights, last = [], [], "input"

    def add(kind: str, *extra: str, **attributes: Any) -> None:
        nonlocal last
        nodes.append(helper.make_node(kind, [last, *extra], [f"v{len(nodes)}"], **attributes))
        last = f"v{len(nodes) - 1}"

    for node in net.nodes:
        layer, kind = node.layer, type(node.layer).__name__
        if kind == "Conv2D":
            names = []
            for key, axes in (("W", (3, 2, 0, 1)), ("b", (0,))):
                if key in layer.params:
                    names.append(f"{node.name}.{key}")
                    value = np.ascontiguousarray(layer.params[key].transpose(axes))
                    weights.append(numpy_helper.from_array(value, names[-1]))
            add("Conv", *names, auto_pad="SAME_UPPER", kernel_shape=list(layer.kernel_size))
        elif kind == "ELU":
            add("Elu", alpha=layer.alpha)
        elif kind in ("MaxPool2D", "MeanPool2D"):
            window = {"kernel_shape": [layer.size] * 2, "strides": [layer.stride] * 2}
            add("MaxPool" if kind == "MaxPool2D" else "AveragePool", **window)
        elif kind == "GlobalMeanPool2D":
            add("GlobalAveragePool")
            add("Flatten")
        elif kind != "Dropout":
            raise ValueError(f"onnx_model: expected a layer of ELU-11, got {kind}")
    takes = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 32, 32])
    gives = helper.make_tensor_value_info(last, TensorProto.FLOAT, ["N", 10])
    graph = helper.make_graph(nodes, "net", [takes], [gives], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
