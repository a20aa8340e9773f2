"""What the correct layers and losses compute, in simple loops: known values for the zoo's examples.

Each is written from the definition, not from the layer's code, and computes only the forward pass.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np

from elunet._types import Array


def linear(layer: Any, x: Array, train: bool) -> Array:
    """Return x W + b."""
    return np.asarray(np.einsum("ni,io->no", x, layer.params["W"]) + layer.params["b"])


def conv2d(layer: Any, x: Array, train: bool) -> Array:
    """Return the sum over each window, padded as TensorFlow's "same"."""
    W, b, stride = layer.params["W"], layer.params["b"], layer.stride
    height, width = W.shape[:2]
    out = [math.ceil(side / stride) for side in x.shape[1:3]]
    zeros = [
        max((steps - 1) * stride + size - side, 0)
        for steps, size, side in zip(out, (height, width), x.shape[1:3], strict=True)
    ]
    around = [(0, 0), *((total // 2, total - total // 2) for total in zeros), (0, 0)]
    padded = np.pad(x, around)
    y = np.zeros((len(x), *out, W.shape[3]))
    for i, j, u, v in product(*map(range, (*out, height, width))):
        y[:, i, j] += padded[:, i * stride + u, j * stride + v] @ W[u, v]
    return np.asarray(y + b)


def elu(layer: Any, x: Array, train: bool) -> Array:
    """Return x above 0 and alpha (e^x - 1) below."""
    return np.where(x > 0, x, layer.alpha * (np.exp(np.minimum(x, 0)) - 1))


def relu(layer: Any, x: Array, train: bool) -> Array:
    """Return x above 0."""
    return np.where(x > 0, x, 0.0)


def leaky_relu(layer: Any, x: Array, train: bool) -> Array:
    """Return x above 0 and slope x below."""
    return np.where(x > 0, x, layer.slope * x)


def shifted_relu(layer: Any, x: Array, train: bool) -> Array:
    """Return x above -1 and -1 below."""
    return np.where(x > -1, x, -1.0)


def tanh(layer: Any, x: Array, train: bool) -> Array:
    """Return (e^x - e^-x) / (e^x + e^-x)."""
    up, down = np.exp(x), np.exp(-x)
    return np.asarray((up - down) / (up + down))


def sigmoid(layer: Any, x: Array, train: bool) -> Array:
    """Return 1 / (1 + e^-x)."""
    return np.asarray(1 / (1 + np.exp(-x)))


def softplus(layer: Any, x: Array, train: bool) -> Array:
    """Return log(1 + e^x)."""
    return np.asarray(np.log(1 + np.exp(x)))


def silu(layer: Any, x: Array, train: bool) -> Array:
    """Return x / (1 + e^-x)."""
    return np.asarray(x / (1 + np.exp(-x)))


def gelu(layer: Any, x: Array, train: bool) -> Array:
    """Return x (1 + erf(x / sqrt 2)) / 2."""
    return np.array([v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x.flat]).reshape(x.shape)


def selu(layer: Any, x: Array, train: bool) -> Array:
    """Return 1.0507 times x above 0, and times 1.6733 (e^x - 1) below."""
    return 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * (np.exp(x) - 1))


def celu(layer: Any, x: Array, train: bool) -> Array:
    """Return x above 0 and alpha (e^(x / alpha) - 1) below."""
    return np.where(x > 0, x, layer.alpha * (np.exp(x / layer.alpha) - 1))


def clipped_relu(layer: Any, x: Array, train: bool) -> Array:
    """Return x between 0 and the limit, and the nearer of them outside."""
    return np.where(x > 0, np.where(x < layer.limit, x, layer.limit), 0.0)


def hard_tanh(layer: Any, x: Array, train: bool) -> Array:
    """Return x between low and high, and the nearer of them outside."""
    return np.where(x > layer.low, np.where(x < layer.high, x, layer.high), layer.low)


def log_softmax(layer: Any, x: Array, train: bool) -> Array:
    """Return x less the logarithm of the sum of e^x along the last axis."""
    return np.asarray(x - np.log(np.exp(x).sum(axis=-1, keepdims=True)))


def softmax(layer: Any, x: Array, train: bool) -> Array:
    """Return e^x over its sum along the last axis."""
    powers = np.exp(x)
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _windows(layer: Any, x: Array) -> Array:
    """Return all windows, (N, H_out, W_out, size, size, C)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (layer.size, layer.size), axis=(1, 2))
    return np.moveaxis(windows[:, :: layer.stride, :: layer.stride], 3, 5)


def max_pool(layer: Any, x: Array, train: bool) -> Array:
    """Return each window's largest value."""
    return np.asarray(_windows(layer, x).max(axis=(3, 4)))


def mean_pool(layer: Any, x: Array, train: bool) -> Array:
    """Return each window's mean."""
    return np.asarray(_windows(layer, x).mean(axis=(3, 4)))


def global_mean_pool(layer: Any, x: Array, train: bool) -> Array:
    """Return each channel's mean over the image."""
    return np.asarray(x.mean(axis=(1, 2)))


def global_max_pool(layer: Any, x: Array, train: bool) -> Array:
    """Return the largest value of all pixels."""
    return np.asarray(x.max(axis=(1, 2)))


def adaptive_mean_pool(layer: Any, x: Array, train: bool) -> Array:
    """Return the means of windows that cover the image."""
    (high, wide), (height, width) = layer.sizes, x.shape[1:3]
    y = np.empty((len(x), high, wide, x.shape[3]), x.dtype)
    for i, j in np.ndindex(high, wide):
        rows = slice(i * height // high, -(-(i + 1) * height // high))
        columns = slice(j * width // wide, -(-(j + 1) * width // wide))
        y[:, i, j] = x[:, rows, columns].mean(axis=(1, 2))
    return y


def locally_connected(layer: Any, x: Array, train: bool) -> Array:
    """Return each window times the kernel of its place, without padding."""
    kernel = layer.kernel_size
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(1, 2))
    windows = windows[:, :: layer.stride, :: layer.stride]
    W = layer.params["W"].reshape(*kernel, x.shape[3], *windows.shape[1:3], -1)
    y = np.einsum("nijcuv,uvcijo->nijo", windows, W)
    return np.asarray(y + layer.params["b"].reshape(y.shape[1:]))


def dropout(layer: Any, x: Array, train: bool) -> Array | None:
    """Return x in evaluation; in training it is drawn."""
    return None if train else x


def batch_norm(layer: Any, x: Array, train: bool) -> Array:
    """Return x normalized, by the batch or by averages that are still 0 and 1."""
    axes = tuple(range(x.ndim - 1))
    mean, var = (x.mean(axis=axes), x.var(axis=axes)) if train else (0.0, 1.0)
    return np.asarray((x - mean) / np.sqrt(var + layer.eps))


def flatten(layer: Any, x: Array, train: bool) -> Array:
    """Return each row's numbers in order."""
    return np.array([list(row.flat) for row in x])


def add(layer: Any, x: tuple[Array, ...], train: bool) -> Array:
    """Return the sum."""
    return np.asarray(sum(x))


def concat(layer: Any, x: tuple[Array, ...], train: bool) -> Array:
    """Return each row's numbers, one input's after the other's."""
    return np.array([[v for array in x for v in array[n]] for n in range(len(x[0]))])


def multiply(layer: Any, x: tuple[Array, ...], train: bool) -> Array:
    """Return the product."""
    return np.asarray(math.prod(x))


def pad(layer: Any, x: Array, train: bool) -> Array:
    """Return the images with their mirrored border around them."""
    (top, bottom), (left, right) = layer.padding
    rows = [abs(row) for row in range(-top, x.shape[1] + bottom)]
    columns = [abs(column) for column in range(-left, x.shape[2] + right)]
    last_row, last_column = x.shape[1] - 1, x.shape[2] - 1
    rows = [last_row - abs(last_row - row) for row in rows]
    columns = [last_column - abs(last_column - column) for column in columns]
    return np.asarray(x[:, rows][:, :, columns])


def layer_norm(layer: Any, x: Array, train: bool) -> Array:
    """Return each row less its mean, over its standard deviation."""
    mean, var = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    return np.asarray((x - mean) / np.sqrt(var + layer.eps))


def group_norm(layer: Any, x: Array, train: bool) -> Array:
    """Return the groups of neighboring channels, normalized one by one."""
    size = layer.channels // layer.groups
    parts = [x[..., first : first + size] for first in range(0, layer.channels, size)]
    axes = tuple(range(1, x.ndim))
    normalized = [
        (part - part.mean(axis=axes, keepdims=True))
        / np.sqrt(part.var(axis=axes, keepdims=True) + layer.eps)
        for part in parts
    ]
    return np.concatenate(normalized, axis=-1)


def instance_norm(layer: Any, x: Array, train: bool) -> Array:
    """Return each image's channels, normalized one by one."""
    axes = tuple(range(1, x.ndim - 1))
    mean, var = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
    return np.asarray((x - mean) / np.sqrt(var + layer.eps))


def prelu(layer: Any, x: Array, train: bool) -> Array:
    """Return x above 0 and alpha x below."""
    return np.where(x > 0, x, layer.params["alpha"] * x)


def softmax_cross_entropy(prediction: Array, target: Array) -> float:
    """Return the mean of -log p at the labels."""
    p = softmax(None, prediction, False)
    return float(np.mean([-math.log(row[label]) for row, label in zip(p, target, strict=True)]))


def cross_entropy(prediction: Array, target: Array) -> float:
    """Return the mean of -log p at the labels."""
    picked = (row[label] for row, label in zip(prediction, target, strict=True))
    return float(np.mean([-math.log(p) for p in picked]))


def mean_squared_error(prediction: Array, target: Array) -> float:
    """Return the mean of the squared differences."""
    return float(np.mean([(p - t) ** 2 for p, t in zip(prediction.flat, target.flat, strict=True)]))


def mean_absolute_error(prediction: Array, target: Array) -> float:
    """Return the mean of the differences' sizes."""
    return float(np.mean([abs(p - t) for p, t in zip(prediction.flat, target.flat, strict=True)]))


def binary_cross_entropy(prediction: Array, target: Array) -> float:
    """Return the mean of -t log s - (1 - t) log(1 - s), s the sigmoid of the logit."""
    s = 1 / (1 + np.exp(-prediction))
    return float(np.mean(-target * np.log(s) - (1 - target) * np.log(1 - s)))


def hinge(prediction: Array, target: Array) -> float:
    """Return the mean of the sums of max(0, z_c - z_y + 1) over the wrong classes."""
    total = 0.0
    for row, y in zip(prediction, target, strict=True):
        total += sum(max(0.0, z - row[y] + 1) for c, z in enumerate(row) if c != y)
    return float(total / len(target))


def kullback_leibler(prediction: Array, target: Array) -> float:
    """Return the mean of the rows' sums of t (log t - x)."""
    return float(np.sum(target * (np.log(target) - prediction)) / len(prediction))


def huber(prediction: Array, target: Array) -> float:
    """Return the mean of d^2 / 2 where abs(d) <= 1, and of abs(d) - 1 / 2 elsewhere."""
    d = np.abs(prediction - target)
    return float(np.mean(np.where(d <= 1, d * d / 2, d - 0.5)))
