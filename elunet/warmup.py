"""`warmup`: compile the kernels before they are needed."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.kernels.finite import all_finite
from elunet.kernels.products import inner_products
from elunet.kernels.waiting import say_and_wait, wait_for_all
from elunet.layers import (
    ELU,
    GELU,
    BatchNorm,
    Conv2D,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2D,
    MeanPool2D,
    Softmax,
)
from elunet.losses import SoftmaxCrossEntropy
from elunet.network import Sequential
from elunet.optim import SGD, AdaGrad, Adam, AdamW, Lion, NAdam, RMSProp


def warmup(dtype: type = np.float32) -> None:
    """Compile every kernel for one dtype, or load it from numba's cache.

    Otherwise each kernel is compiled at its first use: a few seconds in all, once per machine.

    Parameters
    ----------
    dtype : numpy.float32 or numpy.float64, default numpy.float32

    Raises
    ------
    ValueError
        If `dtype` is neither.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.warmup()
    """
    layers: list[Layer] = [
        Conv2D(3, 16, 3, algorithm="im2col"),
        Conv2D(16, 4, 3, algorithm="im2col"),
        Conv2D(4, 4, 3, algorithm="winograd"),
        Conv2D(4, 4, 2, algorithm="winograd"),
        ELU(),
        ELU(slope_from="x"),
        GELU(),
        BatchNorm(4),
        Conv2D(4, 4, 3, groups=2),
        Conv2D(4, 4, 3, groups=4),
        MaxPool2D(),
        MaxPool2D(2, 1, "same"),
        MeanPool2D(),
        MeanPool2D(2, 1, "same"),
        Dropout(0.5),
        Flatten(),
        Linear(16, 2),
        Softmax(),
    ]
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"warmup: expected dtype float32 or float64, got {dtype!r}")
    net = Sequential(layers, seed=0)
    x: Array = np.ones((2, 8, 8, 3), dtype)
    prediction = net.forward(x, train=True)
    for target in (np.zeros(2, int), np.eye(2)):
        SoftmaxCrossEntropy()(prediction, target)
    net.backward(prediction)
    for layer in layers:
        layer.params = {name: value.astype(dtype) for name, value in layer.params.items()}
    for optimizer in (
        SGD(0.0, momentum=0.5, clip_norm=1.0),
        SGD(0.0, momentum=0.5, nesterov=True),
        Adam(0.0),
        AdamW(0.0),
        NAdam(0.0),
        NAdam(0.0, decoupled=True),
        RMSProp(0.0),
        RMSProp(0.0, momentum=0.5),
        RMSProp(0.0, centered=True),
        AdaGrad(0.0),
        Lion(0.0),
        Lion(0.0, decoupled=False),
    ):
        optimizer.step(net)
    numbers = prediction.reshape(-1)
    all_finite(numbers)
    inner_products(numbers, numbers)
    counter = np.zeros(1, np.int64)
    say_and_wait(counter, 0, counter, 0, 0, 0)
    counters = np.zeros((1, 1), np.int64)
    wait_for_all(counters, counters)
