"""A PyTorch twin of any elunet network: the same graph with the same numbers, NCHW inside.

Each kind of layer has a counterpart built from PyTorch's own modules. What the two libraries lay
out differently (weights, the order in Flatten) or compute differently ("same" padding at strides
above 1, the bits behind dropout masks) is translated here, and nowhere else. `run` and `run_twin`
return the same named arrays, ready to be compared.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

import elunet as eln
from elunet._types import Array
from elunet.layers import Layer

Results = dict[str, Array]
"""What a pass gives: "output", "loss", gradients ("input", "conv1.W") and running averages."""

TORCH_NAMES = {"W": "weight", "b": "bias", "gamma": "weight", "beta": "bias", "alpha": "weight"}


def to_torch(array: Array) -> torch.Tensor:
    """Lay a parameter out as PyTorch does: (out, in, kh, kw) or (out, in)."""
    tensor = torch.from_numpy(np.array(array))
    return {4: lambda: tensor.permute(3, 2, 0, 1), 2: lambda: tensor.T}.get(
        tensor.ndim, lambda: tensor
    )()


def from_torch(tensor: torch.Tensor) -> Array:
    """Lay a parameter of PyTorch's out as elunet does: (kh, kw, in, out) or (in, out)."""
    tensor = tensor.detach()
    return {4: lambda: tensor.permute(2, 3, 1, 0), 2: lambda: tensor.T}.get(
        tensor.ndim, lambda: tensor
    )().numpy()


def nchw(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 3, 1, 2) if x.ndim == 4 else x


def nhwc(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 2, 3, 1) if x.ndim == 4 else x


def same_zeros(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return TensorFlow's zeros before and after, as TensorFlow's guide puts them, by cases."""
    total = kernel - stride if size % stride == 0 else kernel - size % stride
    return max(total, 0) // 2, max(total, 0) - max(total, 0) // 2


class Conv(torch.nn.Conv2d):
    def __init__(self, layer: eln.layers.Conv2D) -> None:
        height, width, channels, units = layer.params["W"].shape
        super().__init__(
            channels * layer.groups,
            units,
            (height, width),
            layer.stride,
            dilation=layer.dilation,
            groups=layer.groups,
            bias=layer.bias,
        )
        self.zeros, self.mode = layer.padding, layer.padding_mode

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.zeros == "same":
            (top, bottom), (left, right) = (
                same_zeros(size, (kernel - 1) * dilation + 1, stride)
                for size, kernel, stride, dilation in zip(
                    x.shape[2:], self.kernel_size, self.stride, self.dilation, strict=True
                )
            )
        else:
            sides = (0, 0) if self.zeros == "valid" else self.zeros
            pairs = [side if isinstance(side, tuple) else (side, side) for side in sides]
            (top, bottom), (left, right) = pairs
        mode = "constant" if self.mode == "zeros" else self.mode
        if top or bottom or left or right:
            x = F.pad(x, (left, right, top, bottom), mode)
        return super().forward(x)


class LocallyConnected(torch.nn.Module):
    """Every window, times the kernel of its position."""

    def __init__(self, layer: eln.layers.LocallyConnected2D) -> None:
        super().__init__()
        self.layer = layer
        self.weight = torch.nn.Parameter(to_torch(layer.params["W"]))
        self.bias = torch.nn.Parameter(torch.zeros(layer.shape[-1])) if layer.bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        (height, width), stride = self.layer.kernel_size, self.layer.stride
        windows = x.unfold(2, height, stride).unfold(3, width, stride)  # N, C, I, J, kh, kw
        W = self.weight.reshape(
            *self.layer.out_size, self.layer.out_channels, *self.weight.shape[1:]
        )
        y = torch.einsum("ncijuv,ijocuv->noij", windows, W)
        if self.bias is None:
            return y
        return y + self.bias.reshape(*self.layer.out_size, -1).permute(2, 0, 1)


class BatchNorm(torch.nn.BatchNorm2d):
    def __init__(self, layer: eln.layers.BatchNorm) -> None:
        super().__init__(
            layer.channels, eps=layer.eps, momentum=layer.momentum, affine=layer.affine
        )
        with torch.no_grad():
            self.running_mean.copy_(torch.from_numpy(layer.state["running_mean"]))
            self.running_var.copy_(torch.from_numpy(layer.state["running_var"]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.ndim == 4:
            return super().forward(x)
        return super().forward(x[:, :, None, None])[..., 0, 0]


class LayerNorm(torch.nn.LayerNorm):
    def __init__(self, layer: eln.layers.LayerNorm) -> None:
        super().__init__(layer.channels, layer.eps, layer.affine)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nchw(super().forward(nhwc(x)))


class InstanceNorm(torch.nn.InstanceNorm2d):
    def __init__(self, layer: eln.layers.InstanceNorm) -> None:
        super().__init__(layer.channels, layer.eps, affine=layer.affine)


class GlobalMaxPool(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.amax(dim=(2, 3))


class Pad(torch.nn.Module):
    def __init__(self, layer: eln.layers.Pad) -> None:
        super().__init__()
        (top, bottom), (left, right) = layer.padding
        self.sides = left, right, top, bottom
        self.mode = "constant" if layer.mode == "zeros" else layer.mode
        self.channels = layer.channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.pad(F.pad(x, self.sides, self.mode), (0, 0, 0, 0, *self.channels))


class Flatten(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nhwc(x).flatten(1)


class GlobalMeanPool(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.adaptive_avg_pool2d(x, 1).flatten(1)


class Dropout(torch.nn.Module):
    """The mask that the layer will draw: what a copy of it, taken before, makes of ones."""

    def __init__(self, layer: eln.layers.Dropout) -> None:
        super().__init__()
        self.layer = copy.deepcopy(layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        ones = nhwc(torch.ones_like(x)).numpy()
        return x * nchw(torch.from_numpy(self.layer.forward(ones, train=True)))


class AlphaDropout(torch.nn.Module):
    """PyTorch's own formula, with the mask that the layer will draw."""

    def __init__(self, layer: eln.layers.AlphaDropout) -> None:
        super().__init__()
        self.layer = copy.deepcopy(layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        share = self.layer._dropped() / 65536
        if not self.training or share == 0:
            return x
        shape = nhwc(x).shape
        bits = self.layer.rng.integers(0, 1 << 16, shape, np.uint16)
        kept = nchw(torch.from_numpy((bits >= self.layer._dropped()).astype(np.float64))).to(x)
        alpha = 1.7580993408473766
        a = 1 / np.sqrt((alpha**2 * share + 1) * (1 - share))
        b = (kept - 1) * alpha * a + alpha * a * share
        return x * kept * a + b


class Gated(torch.nn.Module):
    """Arrays that meet: rows among images get their axes between batch and channels."""

    def __init__(self, meet: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.meet = meet

    def forward(self, *x: torch.Tensor) -> torch.Tensor:
        images = any(one.ndim == 4 for one in x)
        aligned = [one[:, :, None, None] if images and one.ndim == 2 else one for one in x]
        return functools.reduce(self.meet, aligned)


class Concat(torch.nn.Module):
    def forward(self, *x: torch.Tensor) -> torch.Tensor:
        return torch.cat(x, 1)


class Celu(torch.nn.Module):
    """By PyTorch's elementary functions: torch.nn.CELU's slope is only exact to 5e-9 in float64."""

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x) + self.alpha * torch.expm1(x.clamp(max=0) / self.alpha)


COUNTERPARTS: dict[type[Layer], Callable[[Any], torch.nn.Module]] = {
    eln.layers.Conv2D: Conv,
    eln.layers.Linear: lambda layer: torch.nn.Linear(*layer.shape, bias=layer.bias),
    eln.layers.ELU: lambda layer: torch.nn.ELU(layer.alpha),
    eln.layers.ReLU: lambda layer: torch.nn.ReLU(),
    eln.layers.LeakyReLU: lambda layer: torch.nn.LeakyReLU(layer.slope),
    eln.layers.Tanh: lambda layer: torch.nn.Tanh(),
    eln.layers.Sigmoid: lambda layer: torch.nn.Sigmoid(),
    eln.layers.Softplus: lambda layer: torch.nn.Softplus(
        threshold=700
    ),  # its own is linear from 20 on
    eln.layers.SiLU: lambda layer: torch.nn.SiLU(),
    eln.layers.GELU: lambda layer: torch.nn.GELU("tanh" if layer.tanh else "none"),
    eln.layers.SELU: lambda layer: torch.nn.SELU(),
    eln.layers.CELU: lambda layer: Celu(layer.alpha),
    eln.layers.ClippedReLU: lambda layer: torch.nn.Hardtanh(0.0, layer.limit),
    eln.layers.HardTanh: lambda layer: torch.nn.Hardtanh(layer.low, layer.high),
    eln.layers.LogSoftmax: lambda layer: torch.nn.LogSoftmax(dim=1),
    eln.layers.Softmax: lambda layer: torch.nn.Softmax(dim=1),
    eln.layers.LocallyConnected2D: LocallyConnected,
    eln.layers.MaxPool2D: lambda layer: torch.nn.MaxPool2d(
        layer.size, layer.stride, layer.padding, ceil_mode=layer.ceil_mode
    ),
    eln.layers.MeanPool2D: lambda layer: torch.nn.AvgPool2d(
        layer.size, layer.stride, layer.padding, layer.ceil_mode, layer.count_include_pad
    ),
    eln.layers.AdaptiveMeanPool2D: lambda layer: torch.nn.AdaptiveAvgPool2d(layer.size),
    eln.layers.GlobalMaxPool2D: lambda layer: GlobalMaxPool(),
    eln.layers.GlobalMeanPool2D: lambda layer: GlobalMeanPool(),
    eln.layers.Dropout: Dropout,
    eln.layers.BatchNorm: BatchNorm,
    eln.layers.Flatten: lambda layer: Flatten(),
    eln.layers.LayerNorm: LayerNorm,
    eln.layers.GroupNorm: lambda layer: torch.nn.GroupNorm(
        layer.groups, layer.channels, layer.eps, layer.affine
    ),
    eln.layers.InstanceNorm: InstanceNorm,
    eln.layers.PReLU: lambda layer: torch.nn.PReLU(layer.channels),
    eln.layers.AlphaDropout: AlphaDropout,
    eln.layers.Pad: Pad,
    eln.layers.Add: lambda layer: Gated(torch.add),
    eln.layers.Multiply: lambda layer: Gated(torch.mul),
    eln.layers.Concat: lambda layer: Concat(),
}


class Twin(torch.nn.Module):
    """A network's twin, with copies of its parameters and its state.

    After `forward`, `clearance` is the distance of the nearest number to a point where a
    derivative jumps: how near a ReLU's input came to 0, or a window's two largest values to each
    other. In float32 a number nearer than its rounding error may land on the other side, and then
    it is chance which library has the larger error.
    """

    def __init__(self, net: eln.Network, dtype: torch.dtype) -> None:
        super().__init__()
        self.nodes = list(net.nodes)
        self.parts = torch.nn.ModuleDict()
        for node in net.nodes:
            self.parts[node.name] = COUNTERPARTS[type(node.layer)](node.layer)
        self.to(dtype)
        with torch.no_grad():
            for name, value in net.parameters().items():
                self.parameter(name).copy_(to_torch(value))

    def parameter(self, name: str) -> torch.nn.Parameter:
        layer, _, key = name.partition(".")
        return getattr(self.parts[layer], TORCH_NAMES[key])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.clearance = float("inf")
        values = {"input": nchw(x)}
        for node in self.nodes:
            taken = [values[name] for name in node.inputs]
            self.clearance = min(self.clearance, clearance(node.layer, taken[0].detach()))
            values[node.name] = self.parts[node.name](*taken)
        return nhwc(values[self.nodes[-1].name])


def clearance(layer: Layer, x: torch.Tensor) -> float:
    """Return how far x is from the nearest jump of a layer's derivative, in units of x's scale."""
    if isinstance(layer, eln.layers.GlobalMaxPool2D):
        flat = x.flatten(2)
        largest = flat.topk(2).values if flat.shape[-1] > 1 else x.new_zeros(1, 2)
        distances = largest[..., 0] - largest[..., 1]
    elif isinstance(layer, eln.layers.MaxPool2D) and max(layer.sizes) > 1:
        (high, wide), (down, right) = layer.sizes, layer.strides
        sides = [layer.zeros(size, axis) for axis, size in enumerate(x.shape[2:])]
        more = down * high * layer.ceil_mode, right * wide * layer.ceil_mode
        (top, bottom), (left, after) = sides
        around = (left, after + more[1], top, bottom + more[0])
        padded = F.pad(x, around, value=-1e30)
        windows = padded.unfold(2, high, down).unfold(3, wide, right)
        largest = windows.flatten(-2).topk(2).values
        largest = largest[largest[..., 1] > -1e29]
        distances = largest[..., 0] - largest[..., 1]
    elif isinstance(layer, eln.layers.ReLU | eln.layers.LeakyReLU | eln.layers.PReLU) or (
        isinstance(layer, eln.layers.ELU) and layer.alpha != 1
    ):
        distances = x.abs()
    elif isinstance(layer, eln.layers.ClippedReLU):
        distances = torch.minimum(x.abs(), (x - layer.limit).abs())
    elif isinstance(layer, eln.layers.HardTanh):
        distances = torch.minimum((x - layer.low).abs(), (x - layer.high).abs())
    elif isinstance(layer, eln.layers.SELU):
        distances = x.abs()
    else:
        return float("inf")
    # Exact zeros come from a ReLU or a mask: zeros in any precision.
    distances = distances[distances > 0]
    scale = max(1.0, float(x.abs().max()))
    return float(distances.min()) / scale if len(distances) else float("inf")


def torch_loss(loss: eln.losses.Loss, prediction: torch.Tensor, target: Array) -> torch.Tensor:
    """Return PyTorch's value of the same loss; labels are int64, other targets float64."""
    y = torch.from_numpy(target)
    y = y.to(prediction.dtype) if y.is_floating_point() else y
    if isinstance(loss, eln.losses.SoftmaxCrossEntropy):
        return F.cross_entropy(prediction, y)
    if isinstance(loss, eln.losses.CrossEntropy):
        return F.nll_loss(prediction.log(), y)
    return {
        eln.losses.MeanSquaredError: F.mse_loss,
        eln.losses.MeanAbsoluteError: F.l1_loss,
        eln.losses.Huber: F.huber_loss,
        eln.losses.BinaryCrossEntropy: F.binary_cross_entropy_with_logits,
    }[type(loss)](prediction, y)


def run(
    net: eln.Network, loss: eln.losses.Loss, x: Array, target: Array, train: bool = True
) -> Results:
    """Run a copy of the network both ways, in x's dtype.

    With ``train=False`` a network keeps nothing for a backward pass, so its layers are called by
    hand.
    """
    net = copy.deepcopy(net)
    if train:
        y = net.forward(x, train=True)
        value, dy = loss(y, target)
        dx = net.backward(dy)
    else:
        values = {"input": x}
        for node in net.nodes:
            taken = tuple(values[name] for name in node.inputs)
            values[node.name] = node.layer.forward(taken if len(taken) > 1 else taken[0])
        y = values[net.names[-1]]
        np.testing.assert_array_equal(y, copy.deepcopy(net).forward(x))
        value, dy = loss(y, target)
        signals: dict[str, Array] = {net.names[-1]: dy}
        for node in reversed(net.nodes):
            down = node.layer.backward(signals[node.name])
            for name, share in zip(
                node.inputs, down if isinstance(down, tuple) else (down,), strict=True
            ):
                signals[name] = signals[name] + share if name in signals else share
        dx = signals["input"]
    states = {
        f"{node.name}.{key}": array for node in net.nodes for key, array in node.layer.state.items()
    }
    results = {"output": y, "input": dx, **net.gradients(), **states}
    assert {array.dtype for array in (y, dx, *net.gradients().values())} == {x.dtype}
    return {**results, "loss": np.asarray(value)}


def run_twin(twin: Twin, loss: eln.losses.Loss, x: Array, target: Array) -> Results:
    """Run PyTorch both ways; the twin is in the mode and the dtype that it was put into."""
    inputs = torch.from_numpy(x).requires_grad_()
    y = twin(inputs)
    value = torch_loss(loss, y, target)
    twin.zero_grad()
    value.backward()
    results = {"output": y.detach().numpy(), "loss": value.detach().numpy()}
    results["input"] = inputs.grad.numpy()
    for node in twin.nodes:
        for key in node.layer.params:
            results[f"{node.name}.{key}"] = from_torch(twin.parameter(f"{node.name}.{key}").grad)
        for key in node.layer.state:
            theirs = "num_batches_tracked" if key == "batches" else key
            results[f"{node.name}.{key}"] = getattr(twin.parts[node.name], theirs).numpy()
    return results


def difference(a: Array, b: Array) -> float:
    """Return max abs(a - b) / max(1e-3, max abs(b)), in float64."""
    assert a.shape == b.shape, (a.shape, b.shape)
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(np.abs(a - b).max() / max(1e-3, np.abs(b).max()))


def largest_difference(ours: Results, theirs: Results) -> tuple[float, str]:
    """Return the largest difference among all arrays, and the array's name."""
    assert ours.keys() == theirs.keys()
    return max((difference(ours[name], theirs[name]), name) for name in ours)
