"""elunet: see, check and change how a neural network learns.

A deep learning library for the CPU in NumPy and numba, written to be read. Layers have explicit
`forward` and `backward` passes, and routers run any learning rule on the same graph of layers.

    import elunet as eln
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elunet import (
    data,
    exchange,
    experiments,
    init,
    layers,
    losses,
    models,
    optim,
    plots,
    routers,
    schedules,
)
from elunet.engine.threads import get_num_threads, set_num_threads
from elunet.experiments import Comparison, compare, recipes
from elunet.network import Network, Sequential
from elunet.storage.weights import load, save
from elunet.train import (
    Callback,
    Checkpoints,
    DivergenceError,
    EarlyStopping,
    Epoch,
    History,
    HistoryFile,
    Interrupted,
    Job,
    ReduceOnPlateau,
    Trainer,
    WeightAverage,
    evaluate,
)
from elunet.warmup import warmup

if TYPE_CHECKING:
    from elunet import distributed, estimators, teaching, testing
    from elunet.estimators import Classifier, Regressor

__version__ = "0.1.0"

__all__ = [
    "Callback",
    "Checkpoints",
    "Classifier",
    "Comparison",
    "DivergenceError",
    "EarlyStopping",
    "Epoch",
    "History",
    "HistoryFile",
    "Interrupted",
    "Job",
    "Network",
    "ReduceOnPlateau",
    "Regressor",
    "Sequential",
    "Trainer",
    "WeightAverage",
    "__version__",
    "compare",
    "data",
    "distributed",
    "estimators",
    "evaluate",
    "exchange",
    "experiments",
    "get_num_threads",
    "init",
    "layers",
    "load",
    "losses",
    "models",
    "optim",
    "plots",
    "recipes",
    "routers",
    "save",
    "schedules",
    "set_num_threads",
    "teaching",
    "testing",
    "warmup",
]


def __getattr__(name: str) -> Any:
    """Import what is needed less often at its first use."""
    import importlib

    if name in ("distributed", "estimators", "teaching", "testing"):
        return importlib.import_module(f"elunet.{name}")
    if name in ("Classifier", "Regressor"):
        return getattr(importlib.import_module("elunet.estimators"), name)
    raise AttributeError(f"module 'elunet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
