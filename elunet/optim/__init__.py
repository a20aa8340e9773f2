"""Optimizers: what turns gradients into better parameters."""

from __future__ import annotations

from elunet.optim.adagrad import AdaGrad
from elunet.optim.adam import Adam
from elunet.optim.adamw import AdamW
from elunet.optim.base import Optimizer, Parametrized, global_norm
from elunet.optim.lion import Lion
from elunet.optim.nadam import NAdam
from elunet.optim.per_layer import PerLayer
from elunet.optim.rmsprop import RMSProp
from elunet.optim.sgd import SGD

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Lion",
    "NAdam",
    "Optimizer",
    "Parametrized",
    "PerLayer",
    "RMSProp",
    "global_norm",
]
