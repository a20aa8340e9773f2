"""Training: the loop, callbacks, history, checkpoints of whole runs, and jobs in folders."""

from elunet.train.averages import WeightAverage, reestimate
from elunet.train.callbacks import Callback, Checkpoints, HistoryFile, Report
from elunet.train.checkpoint import SavedRun, about
from elunet.train.datasets import Data
from elunet.train.evaluation import accuracy, evaluate, mirrored
from elunet.train.guards import DivergenceError, Spikes
from elunet.train.history import Epoch, History
from elunet.train.interrupts import Interrupted
from elunet.train.job import Job
from elunet.train.metrics import Metrics, r2, rmse
from elunet.train.plateau import EarlyStopping, ReduceOnPlateau
from elunet.train.trainer import Trainer

__all__ = [
    "Callback",
    "Checkpoints",
    "Data",
    "DivergenceError",
    "EarlyStopping",
    "Epoch",
    "History",
    "HistoryFile",
    "Interrupted",
    "Job",
    "Metrics",
    "ReduceOnPlateau",
    "Report",
    "SavedRun",
    "Spikes",
    "Trainer",
    "WeightAverage",
    "about",
    "accuracy",
    "evaluate",
    "mirrored",
    "r2",
    "reestimate",
    "rmse",
]
