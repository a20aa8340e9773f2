"""Mean loss and accuracy over a data set, batch by batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from elunet._group import ALONE, Alone
from elunet._types import Array
from elunet.data import Batches
from elunet.losses import Loss
from elunet.network import Network

ROUNDING = 1e-3
"""How far the sum of a row of probabilities may be from 1."""


@dataclass
class Mean:
    """The running mean of loss and accuracy, weighted with the size of each batch.

    A batch's loss counts as many examples as it is the mean of, `weight`: the sum of their weights,
    or of those that are not ignored.
    """

    loss: float = 0.0
    hits: float = 0.0
    count: int = 0
    weight: float = 0.0

    def add(self, loss: float, accuracy: float, count: int, weight: float) -> None:
        """Add the means of a batch."""
        self.loss += loss * weight
        self.hits += accuracy * count
        self.count += count
        self.weight += weight

    @property
    def values(self) -> tuple[float, float]:
        """Mean loss and accuracy so far."""
        loss = self.loss / self.weight if self.weight else 0.0  # as of a batch without weight
        return loss, self.hits / self.count


def examples(loss: Any, prediction: Array, target: Array, *weights: Array) -> float:
    """Return the number of examples in a loss's mean; N for a loss without `examples`."""
    if isinstance(loss, Loss):
        return loss.examples(prediction, target, *weights)
    return float(len(prediction))


def evaluate(
    net: Network,
    x: Array,
    y: Array,
    loss: Loss,
    batch_size: int = 100,
    between: Callable[[], None] = lambda: None,
    predict: Callable[[Network, Array], Array] = Network.forward,
    group: Alone = ALONE,
) -> tuple[float, float]:
    """Return a network's mean loss and accuracy (a fraction) on data, however large the batches.

    Parameters
    ----------
    net : Network
    x, y : arrays of equal length
    loss : Loss
    batch_size : int, default 100
    between : callable, optional
        Called after each batch; its errors end the evaluation.
    predict : callable, optional
        ``predict(net, x)`` returns the output, by default ``net.forward(x)``: a rule's `predict`.
    group : elunet.distributed.Group, optional
        Its processes divide the batches among them, and all get the means over all.

    Raises
    ------
    ValueError
        If there is no example, or the network has several outputs.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Linear(4, 4, init=eln.init.Constant(0))], seed=0)
    >>> x, y = np.eye(4, dtype=np.float32), np.arange(4)
    >>> loss, accuracy = eln.evaluate(net, x, y, eln.losses.SoftmaxCrossEntropy())
    >>> round(loss, 3), accuracy
    (1.386, 0.25)
    """
    net.expect_one_output("evaluate")
    mean = Mean()
    with np.errstate(over="ignore", invalid="ignore"):
        for number, batch in enumerate(Batches(x, y, batch_size, shuffle=False)):
            if number % group.size != group.rank:
                continue
            prediction = predict(net, batch[0])
            value, _ = loss(prediction, batch[1])
            weight = examples(loss, prediction, batch[1])
            mean.add(value, accuracy(prediction, batch[1]), len(batch[0]), weight)
            between()
    if group.size > 1:
        sums = zip(*group.gather(astuple(mean)), strict=True)
        mean = Mean(*(sum(each) for each in sums))
    return mean.values


def mirrored(net: Network, x: Array) -> Array:
    """Return the mean of the outputs for images and for their mirror images.

    As `evaluate`'s `predict` it tells a little better what is in an image, at twice the cost, if
    the network was trained with mirror images (`eln.data.pad_crop_flip`).

    Parameters
    ----------
    net : Network
        With one output.
    x : array, (N, H, W, C)

    Examples
    --------
    >>> import elunet as eln
    >>> x, y = eln.data.make_shapes(20, seed=0)
    >>> x, net = eln.data.standardize(x), eln.models.small_cnn(seed=0)
    >>> loss = eln.losses.SoftmaxCrossEntropy()
    >>> _, accuracy = eln.evaluate(net, x, y, loss, predict=eln.train.mirrored)
    """
    return np.asarray((net.forward(x) + net.forward(np.ascontiguousarray(x[:, :, ::-1]))) / 2)


def accuracy(prediction: Array, target: Array) -> float:
    """Return the fraction of rows whose largest entry is the target's; NaN without classes.

    Parameters
    ----------
    prediction : array of shape (N, C)
    target : integer labels of shape (N,), or rows of shape (N, C)
        Rows are classes if they are probabilities (one-hot, for instance), or -1 and one 1. Other
        numbers have no classes: two quantities that are to be predicted, say.
    """
    if prediction.ndim != 2 or target.shape not in (prediction.shape, prediction.shape[:1]):
        return math.nan
    if prediction.shape[1] < 2 or not len(target):
        return math.nan
    if target.ndim == 2:
        if not _are_classes(target):
            return math.nan
        target = target.argmax(axis=1)
    if target.dtype.kind not in "iu":
        return math.nan
    return float(np.count_nonzero(prediction.argmax(axis=1) == target) / len(target))


def _are_classes(rows: Array) -> bool:
    """Whether every row has probabilities, or is -1 except for one 1."""
    if rows.dtype.kind not in "biuf":
        return False
    sums = rows.sum(axis=1, dtype=np.float64)
    if rows.min() >= 0:
        return bool(np.abs(sums - 1).max() <= ROUNDING)
    signs = bool((np.abs(rows) == 1).all())
    return signs and bool((sums == 2 - rows.shape[1]).all())
