"""Training: the loop, its history, what can be done at fixed points of it, and saving it whole."""

from elunet.train.callbacks import Callback, Checkpoints, HistoryFile
from elunet.train.checkpoint import SavedRun, about
from elunet.train.datasets import Data
from elunet.train.evaluation import accuracy, evaluate
from elunet.train.guards import DivergenceError, Spikes
from elunet.train.history import Epoch, History
from elunet.train.interrupts import Interrupted
from elunet.train.trainer import Trainer

__all__ = [
    "Callback",
    "Checkpoints",
    "Data",
    "DivergenceError",
    "Epoch",
    "History",
    "HistoryFile",
    "Interrupted",
    "SavedRun",
    "Spikes",
    "Trainer",
    "about",
    "accuracy",
    "evaluate",
]
