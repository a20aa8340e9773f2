"""The position of `Trainer.fit`: the epoch, and the sums over its steps so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elunet._checks import count
from elunet.train.evaluation import Mean
from elunet.train.guards import Spikes
from elunet.train.history import History


class Position:
    """The complete epochs, and the sums of the current one.

    Attributes
    ----------
    history : History
        The complete epochs.
    begun : int or None
        Epochs that were complete when the current `fit`, or the one that was interrupted, began.
    last : int or None
        The same of the `fit` that was completed last: a saved run that is resumed has done it.
    mean : Mean or None
        Of the current epoch; None between epochs.
    passed : bool
        Whether its pass over the data is complete and only the validation is left.
    learning_rate : float
        Of its first step.
    spike_count : int
        Spikes in it.
    pass_seconds, seconds : float
        Time of its pass; time of all passes and validations.
    spikes : Spikes
    """

    def __init__(self) -> None:
        self.history = History()
        self.begun: int | None = None
        self.last: int | None = None
        self.seconds = 0.0
        self.spikes = Spikes()
        self.drop()

    def drop(self) -> None:
        """Discard the current epoch."""
        self.mean: Mean | None = None
        self.passed = False
        self.learning_rate = self.pass_seconds = 0.0
        self.spike_count = 0

    def state(self) -> dict[str, Any]:
        """Return a copy as plain data."""
        mean = self.mean
        return {
            "history": self.history.to_text(),
            "begun": self.last if self.begun is None else self.begun,
            "passed": self.passed,
            "learning_rate": self.learning_rate,
            "mean": None if mean is None else [mean.loss, mean.hits, mean.count, mean.weight],
            "spike_count": self.spike_count,
            "losses": list(self.spikes.losses),
            "pass_seconds": self.pass_seconds,
            "seconds": self.seconds,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a `state`; one that is refused, with an error, changes nothing."""
        new = Position()
        new.history = History.from_text(state["history"], "the saved history")
        if state["begun"] is not None:
            new.begun = count("Position", "begun", state["begun"])
            if new.begun > len(new.history):
                raise ValueError(
                    f"Position: expected begun of at most {len(new.history)}, got {new.begun}"
                )
        if state["mean"] is not None:
            loss, hits, examples, *rest = state["mean"]
            (weight,) = rest or [examples]  # files from before it was kept have none
            examples = count("Position", "count", examples)
            new.mean = Mean(float(loss), float(hits), examples, float(weight))
        new.passed = bool(state["passed"])
        new.learning_rate = float(state["learning_rate"])
        new.pass_seconds, new.seconds = float(state["pass_seconds"]), float(state["seconds"])
        new.spike_count = count("Position", "spike_count", state["spike_count"])
        new.spikes = Spikes([float(value) for value in state["losses"]])
        self.history[:] = new.history  # somebody may hold it
        vars(self).update({**vars(new), "history": self.history})
