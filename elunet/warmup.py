"""`warmup`: compile the kernels before they are needed."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.layers import (
    ELU,
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
        Conv2D(3, 4, 3, algorithm="im2col"),
        Conv2D(4, 4, 3, algorithm="winograd"),
        ELU(),
        BatchNorm(4),
        MaxPool2D(),
        MeanPool2D(),
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
    SoftmaxCrossEntropy()(prediction, np.zeros(2, int))
    net.backward(prediction)
