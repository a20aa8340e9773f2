"""PyTorch: eager on (N, C, H, W), eager on channels_last, and torch.compile on channels_last.

Feedback alignment is an autograd function of one's own whose backward pass takes B in W's place,
which is how it is usually written there.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import torch
from torch import nn
from works import Network, Shape, Work, data, feedback, weights

from peers import Built


class _Aligned(torch.autograd.Function):
    """A convolution whose gradient goes down through B."""

    @staticmethod
    def forward(context: Any, x: Any, W: Any, B: Any, zeros: int) -> Any:
        context.save_for_backward(x, W, B)
        context.zeros = zeros
        return nn.functional.conv2d(x, W, padding=zeros)

    @staticmethod
    def backward(context: Any, *dy: Any) -> Any:
        x, W, B = context.saved_tensors
        convolution_backward: Any = torch.ops.aten.convolution_backward

        def half(weight: Any, wanted: list[bool]) -> Any:
            around = [context.zeros] * 2
            geometry = ([1, 1], around, [1, 1], False, [0, 0], 1)
            return convolution_backward(dy[0], x, weight, None, *geometry, wanted)

        dW = half(W, [False, True, False])[1]
        dx = half(B, [True, False, False])[0] if context.needs_input_grad[0] else None
        return dx, dW, None, None


class AlignedConv2d(nn.Conv2d):
    """The layer with that convolution."""

    B: torch.Tensor

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.register_buffer("B", torch.empty_like(self.weight))

    def forward(self, x: Any) -> Any:
        """Return the convolution of x; an even kernel's odd zero comes after."""
        size = self.kernel_size[0]
        if size % 2 == 0:
            x = nn.functional.pad(x, (0, 1, 0, 1))
        return _Aligned.apply(x, self.weight, self.B, (size - 1) // 2)


def modules(network: Network) -> list[nn.Module]:
    """Return the described layers as a list of modules, with everybody's weights."""
    # It says at each even kernel that "same" padding may need a copy.
    warnings.filterwarnings("ignore", message="Using padding='same'")
    arrays, matrices = iter(weights(network)), iter(feedback(network))
    parts: list[nn.Module] = []
    image: Shape = ()  # what was flattened, if the next thing is a dense layer on it
    for part, before, _ in network.walk():
        match part:
            case ("conv", units, size, padding):
                kind = AlignedConv2d if network.aligned else nn.Conv2d
                made: Any = kind(before[-1], units, size, padding=padding, bias=network.bias)
                _set(made.weight, next(arrays).transpose(3, 2, 0, 1))
                if network.aligned:
                    _set(made.B, next(matrices).transpose(3, 2, 0, 1))
            case ("dense", units):
                made = nn.Linear(before[0], units, bias=network.bias)
                W = next(arrays)
                if image:  # it flattens channels first
                    W = W.reshape(*image, units).transpose(2, 0, 1, 3).reshape(W.shape)
                _set(made.weight, W.T)
                image = ()
            case ("dropout", rate):
                made = nn.Dropout(rate)
            case ("elu",):
                made = nn.ELU(inplace=True)
            case ("batch_norm",):
                made = nn.BatchNorm2d(before[-1])
            case ("max_pool",):
                made = nn.MaxPool2d(2)
            case ("mean_pool",):
                made = nn.AvgPool2d(2)
            case _:  # the global mean of one pixel is no more than that
                made, image = nn.Flatten(), before
        if part[0] in ("conv", "dense") and network.bias:
            _set(made.bias, next(arrays))
        parts.append(made)
    return parts


def optimizer(net: nn.Module, network: Network) -> torch.optim.Optimizer:
    """Return the described optimizer."""
    groups: Any = net.parameters()
    if network.l2:
        groups = [
            {"params": [p for p in net.parameters() if p.ndim > 1], "weight_decay": network.l2},
            {"params": [p for p in net.parameters() if p.ndim == 1]},
        ]
    if network.optimizer == "sgd":
        return torch.optim.SGD(groups, network.lr, momentum=0.9, fused=True)
    return torch.optim.Adam(groups, network.lr, fused=True)


def compiled(net: Any, training: bool) -> Any:
    """Return the network behind torch.compile, with nothing left of earlier networks."""
    from torch import _dynamo
    from torch._inductor import config

    _dynamo.reset()
    _dynamo.config.fail_on_recompile_limit_hit = True  # else it continues in eager mode
    config.freezing = not training  # in inference the weights become constants, packed once
    return torch.compile(net)


def build(work: Work, threads: int, variant: str) -> Built:
    """Return the work's network in PyTorch."""
    torch.set_num_threads(threads)
    net: Any = nn.Sequential(*modules(work.network))
    examples, labels = data(work)
    if examples.ndim == 4:
        examples = examples.transpose(0, 3, 1, 2)
    x, y = torch.from_numpy(np.ascontiguousarray(examples)), torch.from_numpy(labels)
    if variant != "eager" and x.ndim == 4:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    parameters = sum(math.prod(p.shape) for p in net.parameters())
    training = work.phase == "train"
    update = optimizer(net, work.network)
    plain = net.train(training)
    if variant == "compile":
        net = compiled(net, training)

    def train() -> None:
        value: Any = nn.functional.cross_entropy(net(x), y)
        update.zero_grad()
        value.backward()
        update.step()

    def infer() -> Any:
        with torch.inference_mode():
            return net(x)

    def predict() -> Any:
        plain.eval()
        with torch.inference_mode():
            logits = plain(x).numpy() if training else infer().numpy()
        plain.train(training)
        return logits

    return Built(train if training else infer, predict, parameters)


def _set(tensor: Any, array: Any) -> None:
    tensor.data.copy_(torch.from_numpy(np.ascontiguousarray(array)))
