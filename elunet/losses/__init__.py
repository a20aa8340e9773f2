"""Losses: how wrong a prediction is, and in which direction it should change.

``value, dy = loss(prediction, target)`` gives the mean over the batch as a Python float, and its
gradient with respect to the prediction. For a network that ends in logits, ``dy`` is
e = dL/dlogits, the one signal from which every router starts.
The formulas run in float64 whatever the prediction's dtype: a loss is tiny work beside a network,
and a mean over many float32 numbers is not exact. A custom loss is one method, `formula`.
"""

from elunet.losses.base import Loss, one_hot
from elunet.losses.classification import (
    BinaryCrossEntropy,
    CrossEntropy,
    Hinge,
    KullbackLeibler,
    SoftmaxCrossEntropy,
)
from elunet.losses.regression import Huber, MeanAbsoluteError, MeanSquaredError

__all__ = [
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Hinge",
    "Huber",
    "KullbackLeibler",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "SoftmaxCrossEntropy",
    "one_hot",
]
