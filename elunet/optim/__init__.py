"""Optimizers: what turns gradients into better parameters."""

from __future__ import annotations

from elunet.optim.adam import Adam
from elunet.optim.base import Optimizer, Parametrized, global_norm
from elunet.optim.per_layer import PerLayer
from elunet.optim.rmsprop import RMSProp
from elunet.optim.sgd import SGD

__all__ = ["SGD", "Adam", "Optimizer", "Parametrized", "PerLayer", "RMSProp", "global_norm"]
