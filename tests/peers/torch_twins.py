"""PyTorch's functions as elunet's layers and losses: for each one's arguments, a layer and how to
lay arrays out for it.

The functions here have PyTorch's names and arguments. What elunet has no layer for raises
`NotExpressible`. PyTorch has channels first and elunet last, so arrays are laid out again on the
way; one-dimensional windows are taken as images of one row, a sample without a batch as a batch of
one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from elunet import layers as L
from elunet import losses
from peers.counting import NotExpressible, same

Lay = Callable[[np.ndarray], np.ndarray]


@dataclass
class Twin:
    """A layer, what goes into it, and its parameters' tensors."""

    layer: L.Layer
    inputs: list[torch.Tensor]
    lay: Lay
    weights: dict[str, tuple[torch.Tensor, Lay]] = field(default_factory=dict)
    train: bool = False

    def check(self, call: Callable[[], torch.Tensor]) -> None:
        """Compare output and gradients with those of PyTorch's call."""
        for key, (weight, lay) in self.weights.items():
            self.layer.params[key] = np.ascontiguousarray(lay(numbers(weight)))
        given = [np.ascontiguousarray(self.lay(numbers(x))) for x in self.inputs]
        y = call()
        y = y[0] if isinstance(y, tuple) else y
        several = isinstance(self.layer, L.Add | L.Multiply | L.Concat)
        ours = self.layer.forward(tuple(given) if several else given[0], self.train)
        theirs = self.lay(numbers(y))
        same("y", ours, theirs)
        if not theirs.size:
            return
        dy = torch.randn(y.shape, dtype=y.dtype)
        dx = self.layer.backward(np.ascontiguousarray(self.lay(numbers(dy))))
        pairs = [
            ("dx", tensor, gradient, self.lay)
            for tensor, gradient in zip(self.inputs, dx if several else [dx], strict=True)
        ] + [
            (f"d{key}", tensor, self.layer.grads[key], lay)
            for key, (tensor, lay) in self.weights.items()
        ]
        pairs = [each for each in pairs if each[1].requires_grad]
        gradients = torch.autograd.grad(y, [tensor for _, tensor, _, _ in pairs], dy)
        for (what, _, gradient, lay), other in zip(pairs, gradients, strict=True):
            same(what, gradient, lay(numbers(other)))


@dataclass
class LossTwin:
    """A loss, its arguments laid out, and what its value has to be multiplied by."""

    loss: losses.Loss
    input: torch.Tensor
    target: np.ndarray
    lay: Lay
    factor: float = 1.0
    weights: np.ndarray | None = None

    def check(self, call: Callable[[], torch.Tensor]) -> None:
        """Compare value and gradient with those of PyTorch's call."""
        y = call()
        prediction = np.ascontiguousarray(self.lay(numbers(self.input)))
        value, dy = self.loss(prediction, self.target, self.weights)
        theirs = numbers(y)
        ours = np.asarray(value * self.factor).reshape(theirs.shape)
        same("value", ours, theirs)
        (gradient,) = torch.autograd.grad(y.sum(), [self.input])
        same("dy", dy * self.factor, self.lay(numbers(gradient)))


def numbers(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def plain(what: bool, reason: str) -> None:
    """Raise `NotExpressible` with a reason unless something holds."""
    if not what:
        raise NotExpressible(reason)


# How arrays are laid out.


def batched(array: np.ndarray) -> np.ndarray:
    return array[None]


def last(array: np.ndarray) -> np.ndarray:
    """Move the channels, axis 1, to the end."""
    return np.moveaxis(array, 1, -1)


def images(ndim: int, sides: int) -> Lay:
    """Return what makes (N, H, W, C) of arrays with so many axes, of which `sides` are space."""
    plain(ndim in (sides + 1, sides + 2), "images of another number of axes")

    def lay(array: np.ndarray) -> np.ndarray:
        array = array if ndim == sides + 2 else array[None]
        array = array if sides == 2 else array[:, :, None]
        return array.transpose(0, 2, 3, 1)

    return lay


def several(size, sides: int, first) -> tuple:
    """Return (height, width) of an argument of PyTorch; `first` is the height of one row."""
    size = tuple(size) if isinstance(size, tuple | list | torch.Size) else (size,) * sides
    size = size * sides if len(size) == 1 else size
    return size if sides == 2 else (first, *size)


# Layers with windows.


def _conv(sides):
    def conv(
        input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, padding_mode="zeros"
    ):
        plain(padding_mode != "circular", "padding_mode circular")
        wide = (lambda w: w) if sides == 2 else (lambda w: w[:, :, None])
        channels = weight.shape[1] * groups
        layer = L.Conv2D(
            channels,
            weight.shape[0],
            several(tuple(weight.shape[2:]), sides, 1),
            several(stride, sides, 1),
            padding if isinstance(padding, str) else several(padding, sides, 0),
            bias is not None,
            groups=groups,
            dilation=several(dilation, sides, 1),
            padding_mode=padding_mode,
        )
        weights = {"W": (weight, lambda w: wide(w).transpose(2, 3, 1, 0))}
        if bias is not None:
            weights["b"] = (bias, lambda b: b)
        return Twin(layer, [input], images(input.ndim, sides), weights)

    return conv


def _max_pool(sides):
    def max_pool(
        input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,
        return_indices=False,
    ):  # fmt: skip
        plain({*several(dilation, sides, 1)} == {1}, "dilation of max pooling")
        strides = several(stride or kernel_size, sides, 1)
        size, around = several(kernel_size, sides, 1), several(padding, sides, 0)
        layer = L.MaxPool2D(size, strides, around, ceil_mode)
        return Twin(layer, [input], images(input.ndim, sides))

    return max_pool


def _avg_pool(sides):
    def avg_pool(
        input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
        divisor_override=None,
    ):  # fmt: skip
        plain(divisor_override is None, "divisor_override")
        strides = several(stride or kernel_size, sides, 1)
        size, around = several(kernel_size, sides, 1), several(padding, sides, 0)
        layer = L.MeanPool2D(size, strides, around, ceil_mode, count_include_pad)
        return Twin(layer, [input], images(input.ndim, sides))

    return avg_pool


def _adaptive_avg_pool(sides):
    def adaptive_avg_pool(input, output_size):
        given = several(output_size, sides, 1)
        size = (
            given if sides == 1 else [n or m for n, m in zip(given, input.shape[-2:], strict=True)]
        )
        layer = L.AdaptiveMeanPool2D(tuple(size))
        return Twin(layer, [input], images(input.ndim, sides))

    return adaptive_avg_pool


def _adaptive_max_pool(sides):
    def adaptive_max_pool(input, output_size, return_indices=False):
        size = tuple(input.shape[-sides:])
        wanted = several(output_size, sides, 1)[-sides:]
        plain(
            all(m is None or n % m == 0 for n, m in zip(size, wanted, strict=True)),
            "adaptive max pooling with windows of several sizes",
        )
        window = tuple(n // (m or n) for n, m in zip(size, wanted, strict=True))
        layer = L.MaxPool2D(several(window, sides, 1))
        return Twin(layer, [input], images(input.ndim, sides))

    return adaptive_max_pool


def pad(input, pad, mode="constant", value=None):
    plain(mode != "circular", "circular padding")
    plain(not value, "padding with another number than 0")
    plain(min(pad, default=0) >= 0, "padding that cuts off")
    sides = 1 if len(pad) == 2 and input.ndim in (2, 3) else 2
    channels = tuple(pad[2 * sides : 2 * sides + 2]) or (0, 0)
    plain(not any(pad[2 * sides + 2 :]), "padding of the batch")
    plain(mode == "constant" or channels == (0, 0), "channels padded by others")
    rows = (0, 0) if sides == 1 or len(pad) < 4 else tuple(pad[2:4])
    modes = {"constant": "zeros", "reflect": "reflect", "replicate": "replicate"}
    layer = L.Pad((rows, tuple(pad[:2])), modes[mode], channels)
    return Twin(layer, [input], images(input.ndim, sides))


# Other layers with weights.


def linear(input, weight, bias=None):
    plain(weight.ndim == 2, "a weight that is not a matrix")
    layer = L.Linear(weight.shape[1], weight.shape[0], bias is not None)
    weights = {"W": (weight, lambda w: w.T)}
    if bias is not None:
        weights["b"] = (bias, lambda b: np.broadcast_to(b, layer.shape[1:]))
    return Twin(layer, [input], lambda a: a.reshape(-1, a.shape[-1]), weights)


def prelu(input, weight):
    lay = last if input.ndim > 1 else lambda a: a.reshape(-1, 1)
    return Twin(L.PReLU(weight.numel()), [input], lay, {"alpha": (weight, np.ravel)})


def _affine(layer, weight, bias):
    """Return the parameters' tensors; set the one that PyTorch does not have."""
    given = {"gamma": weight, "beta": bias}
    return {key: (tensor, np.ravel) for key, tensor in given.items() if tensor is not None}


def batch_norm(
    input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1,
    eps=1e-5,
):  # fmt: skip
    plain(input.ndim > 1, "no channels")
    layer = L.BatchNorm(input.shape[1], eps=eps, affine=weight is not None or bias is not None)
    if running_mean is not None:
        layer.state["running_mean"] = numbers(running_mean).astype(np.float64)
        layer.state["running_var"] = numbers(running_var).astype(np.float64)
    return Twin(layer, [input], last, _affine(layer, weight, bias), training)


def instance_norm(
    input, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True,
    momentum=0.1, eps=1e-5, sides=None,
):  # fmt: skip
    plain(use_input_stats, "instance normalization with running averages")
    alone = sides is not None and input.ndim == sides + 1
    lay = (lambda a: last(a[None])) if alone else last
    channels = input.shape[0 if alone else 1]
    layer = L.InstanceNorm(channels, weight is not None or bias is not None, eps)
    return Twin(layer, [input], lay, _affine(layer, weight, bias))


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    affine = weight is not None or bias is not None
    layer = L.GroupNorm(num_groups, input.shape[1], affine, eps)
    return Twin(layer, [input], last, _affine(layer, weight, bias))


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    size = int(np.prod(normalized_shape))
    lead = tuple(input.shape[: input.ndim - len(normalized_shape)]) or (1,)
    layer = L.LayerNorm(size, weight is not None or bias is not None, eps)
    return Twin(layer, [input], lambda a: a.reshape(*lead, size), _affine(layer, weight, bias))


# Layers without weights.


def activation(make):
    """Return the twin of an activation that `make` makes of PyTorch's further arguments."""

    def twin(input, *args, inplace=False, **kwargs):
        return Twin(make(*args, **kwargs), [input], batched)

    return twin


def _clipped(low, high):
    return L.ClippedReLU(high) if low == 0 else L.HardTanh(low, high)


def _softplus(beta=1, threshold=20):
    plain(beta == 1, "softplus with a beta")
    return L.Softplus()


def _over(make):
    def twin(input, dim=None, dtype=None, _stacklevel=3):
        plain(dtype is None, "another dtype")
        dim = (0 if input.ndim in (0, 1, 3) else 1) if dim is None else dim
        return Twin(make(), [input], lambda a: batched(np.moveaxis(np.atleast_1d(a), dim, -1)))

    return twin


def _dropout(make):
    def twin(input, p=0.5, training=True, inplace=False):
        plain(not training, "training, where masks are drawn")
        return Twin(make(p), [input], batched)

    return twin


def flatten(input, start_dim=0, end_dim=-1):
    axes = input.ndim
    plain(axes > 1 and (start_dim % axes, end_dim % axes) == (1, axes - 1), "other axes")
    return Twin(L.Flatten(), [input], lambda a: a)


def _together(layer):
    def twin(input, other, alpha=1):
        plain(alpha == 1 and isinstance(other, torch.Tensor), "a factor, or a number")
        return Twin(layer(), [input, other], batched)

    return twin


def cat(tensors, dim=0):
    plain(all(each.requires_grad for each in tensors), "constants")
    return Twin(L.Concat(dim), list(tensors), lambda a: a)


# Losses.


def _legacy(size_average, reduce):
    plain(size_average is None and reduce is None, "size_average and reduce")


def _classes(input):
    """Return what makes rows (N, C) of scores."""
    if input.ndim == 1:
        return batched
    return lambda a: last(a).reshape(-1, a.shape[1])


def cross_entropy(
    input, target, weight=None, size_average=None, ignore_index=-100, reduce=None,
    reduction="mean", label_smoothing=0.0,
):  # fmt: skip
    _legacy(size_average, reduce)
    lay = _classes(input)
    soft = target.is_floating_point()
    factor = 1.0
    if soft and weight is not None and reduction == "mean":  # over rows, not over their weights
        factor, reduction = input.shape[1] / input.numel(), "sum"
    elif not soft and reduction == "mean":
        plain(bool((target != ignore_index).any()), "the mean of no rows: NaN there, 0 here")
    loss = losses.SoftmaxCrossEntropy(
        label_smoothing,
        None if weight is None else numbers(weight).tolist(),
        None if soft else ignore_index,
        reduction,
    )
    target = lay(numbers(target)) if soft else numbers(target).ravel()
    return LossTwin(loss, input, target, lay, factor)


def nll_loss(
    input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"
):
    """Kullback and Leibler's divergence of a label is minus its log-probability."""
    _legacy(size_average, reduce)
    lay, labels = _classes(input), numbers(target).ravel()
    classes = input.shape[1] if input.ndim > 1 else input.shape[0]
    counted = labels != ignore_index
    target = losses.one_hot(np.where(counted, labels, 0), classes)
    weights = counted.astype(float)
    if weight is not None:
        weights *= numbers(weight)[np.where(counted, labels, 0)]
    plain(bool(weights.any()) or reduction != "mean", "the mean of no rows: NaN there, 0 here")
    return LossTwin(losses.KullbackLeibler(reduction), input, target, lay, 1.0, weights)


def kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False):
    _legacy(size_average, reduce)
    plain(input.ndim == 2, "divergences of other than rows")
    plain(reduction != "none", "the divergence's terms for each class")
    target = np.exp(numbers(target)) if log_target else numbers(target)
    factor = 1 / input.shape[1] if reduction == "mean" else 1.0
    loss = losses.KullbackLeibler("mean" if reduction == "batchmean" else reduction)
    return LossTwin(loss, input, target, lambda a: a, factor)


def multi_margin_loss(
    input, target, p=1, margin=1.0, weight=None, size_average=None, reduce=None, reduction="mean"
):
    _legacy(size_average, reduce)
    plain(p == 1 and weight is None and input.ndim > 0, "squared margins, weights, or no classes")
    lay = _classes(input)
    loss = losses.Hinge(margin, reduction)
    return LossTwin(loss, input, numbers(target).ravel(), lay, 1 / input.shape[-1])


def _regression(make, factor=lambda **kwargs: 1.0):
    def twin(
        input, target, size_average=None, reduce=None, reduction="mean", weight=None, **kwargs
    ):
        _legacy(size_average, reduce)
        plain(weight is None, "weights")
        lay = batched if input.ndim == 0 else lambda a: a
        loss = make(reduction=reduction, **kwargs)
        return LossTwin(loss, input, lay(numbers(target)), lay, factor(**kwargs))

    return twin


def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction="mean", beta=1.0):
    """Huber's loss divided by beta."""
    if beta == 0:
        return _regression(losses.MeanAbsoluteError)(input, target, size_average, reduce, reduction)
    huber = _regression(losses.Huber, lambda delta: 1 / delta)
    return huber(input, target, size_average, reduce, reduction, delta=beta)


def binary_cross_entropy_with_logits(
    input, target, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None
):
    plain(pos_weight is None, "pos_weight")
    return _regression(losses.BinaryCrossEntropy)(
        input, target, size_average, reduce, reduction, weight
    )


def _huber_loss(input, target, reduction="mean", delta=1.0, weight=None):
    return _regression(losses.Huber)(input, target, None, None, reduction, weight, delta=delta)


TWINS: dict[str, Callable[..., Twin | LossTwin]] = {
    "add": _together(L.Add),
    "cat": cat,
    "flatten": flatten,
    "log_softmax": _over(L.LogSoftmax),
    "mul": _together(L.Multiply),
    "sigmoid": activation(L.Sigmoid),
    "softmax": _over(L.Softmax),
    "tanh": activation(L.Tanh),
    "nn.functional.adaptive_avg_pool1d": _adaptive_avg_pool(1),
    "nn.functional.adaptive_avg_pool2d": _adaptive_avg_pool(2),
    "nn.functional.adaptive_max_pool1d": _adaptive_max_pool(1),
    "nn.functional.adaptive_max_pool2d": _adaptive_max_pool(2),
    "nn.functional.alpha_dropout": _dropout(L.AlphaDropout),
    "nn.functional.avg_pool1d": _avg_pool(1),
    "nn.functional.avg_pool2d": _avg_pool(2),
    "nn.functional.batch_norm": batch_norm,
    "nn.functional.binary_cross_entropy_with_logits": binary_cross_entropy_with_logits,
    "nn.functional.celu": activation(lambda alpha=1.0: L.CELU(alpha)),
    "nn.functional.conv1d": _conv(1),
    "nn.functional.conv2d": _conv(2),
    "nn.functional.cross_entropy": cross_entropy,
    "nn.functional.dropout": _dropout(L.Dropout),
    "nn.functional.elu": activation(lambda alpha=1.0: L.ELU(alpha)),
    "nn.functional.gelu": activation(lambda approximate="none": L.GELU(approximate == "tanh")),
    "nn.functional.group_norm": group_norm,
    "nn.functional.hardtanh": activation(
        lambda min_val=-1.0, max_val=1.0: _clipped(min_val, max_val)
    ),
    "nn.functional.huber_loss": _huber_loss,
    "nn.functional.instance_norm": instance_norm,
    "nn.functional.kl_div": kl_div,
    "nn.functional.l1_loss": _regression(losses.MeanAbsoluteError),
    "nn.functional.layer_norm": layer_norm,
    "nn.functional.leaky_relu": activation(lambda negative_slope=0.01: L.LeakyReLU(negative_slope)),
    "nn.functional.linear": linear,
    "nn.functional.max_pool1d": _max_pool(1),
    "nn.functional.max_pool2d": _max_pool(2),
    "nn.functional.mse_loss": _regression(losses.MeanSquaredError),
    "nn.functional.multi_margin_loss": multi_margin_loss,
    "nn.functional.nll_loss": nll_loss,
    "nn.functional.pad": pad,
    "nn.functional.prelu": prelu,
    "nn.functional.relu": activation(L.ReLU),
    "nn.functional.relu6": activation(L.ClippedReLU),
    "nn.functional.selu": activation(L.SELU),
    "nn.functional.silu": activation(L.SiLU),
    "nn.functional.smooth_l1_loss": smooth_l1_loss,
    "nn.functional.softplus": activation(_softplus),
}
"""What elunet has a layer or a loss for, by PyTorch's names."""
