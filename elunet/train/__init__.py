"""Training: the loop, callbacks, history, checkpoints of whole runs, and jobs that keep them."""

from elunet.train.callbacks import Callback, Checkpoints, HistoryFile, Report
from elunet.train.checkpoint import SavedRun, about
from elunet.train.datasets import Data
from elunet.train.evaluation import accuracy, evaluate
from elunet.train.guards import DivergenceError, Spikes
from elunet.train.history import Epoch, History
from elunet.train.interrupts import Interrupted
from elunet.train.job import Job
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
    "Job",
    "Report",
    "SavedRun",
    "Spikes",
    "Trainer",
    "about",
    "accuracy",
    "evaluate",
]
