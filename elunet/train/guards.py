"""Guards of a run: they find NaN and infinity, and steps in which the loss jumped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from os import PathLike
from pathlib import Path
from statistics import median

import numpy as np

from elunet._types import Array
from elunet.kernels.finite import all_finite
from elunet.network import Network

WINDOW, LEAST = 50, 20
INPUT_BATCH = "the input batch"


class DivergenceError(RuntimeError):
    """A NaN or an infinity occurred in a run.

    Attributes
    ----------
    step : int
        The optimizer's count of completed steps.
    where : str
        The first place, in the order of computation, that holds a NaN or an infinity: "conv3.W",
        "conv3.W's gradient", "conv3's output".
    checkpoint : pathlib.Path or None
        The last checkpoint before it.
    """

    def __init__(
        self, step: int, where: str, checkpoint: str | PathLike[str] | None = None
    ) -> None:
        self.step, self.where = step, where
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        kept = "" if checkpoint is None else f" The last good checkpoint is {self.checkpoint}."
        advice = (
            "Fill in missing values, or leave these examples out."
            if where.startswith(INPUT_BATCH)
            else "A smaller learning rate, or clip_norm, often helps; Trainer(debug=True) looks at"
            " every layer."
        )
        super().__init__(
            "Trainer: expected a finite loss, gradients and weights, got a NaN or an infinity after"
            f" step {step}, first in {where}. {advice}{kept}"
        )

    def __reduce__(self) -> tuple[type[DivergenceError], tuple[object, ...]]:
        return type(self), (self.step, self.where, self.checkpoint)


COMPILED = (np.dtype(np.float32), np.dtype(np.float64))


def is_finite(value: Array) -> bool:
    """Return whether an array has neither a NaN nor an infinity."""
    if type(value) is np.ndarray and value.dtype in COMPILED and value.flags.carray:
        return all_finite(value.reshape(-1))
    return bool(np.isfinite(value).all())


def first_not_finite(arrays: Iterable[tuple[str, Array]]) -> str | None:
    """Return the first name whose array has a NaN or an infinity, None if there is none."""
    for name, value in arrays:
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not is_finite(value):
            return name
    return None


def place_in_input(x: Array) -> str | None:
    """Return where an input batch is not finite, None if it is."""
    bad = np.argwhere(~np.isfinite(x))
    return f"{INPUT_BATCH}, at index {tuple(bad[0].tolist())}" if len(bad) else None


def first_bad_output(net: Network, x: Array) -> str:
    """Return the first place with a NaN or an infinity, by another pass on the same batch."""
    found: list[str] = []

    def look(name: str, y: Array) -> None:
        if not found and not is_finite(y):
            found.append(f"{name}'s output")

    place = place_in_input(x)
    if place is None:
        net.forward(x, tap=look)
    return place or (found[0] if found else "the loss")


class States:
    """Copies of the layers' states, to restore them if a later step fails."""

    def __init__(self, net: Network) -> None:
        self._before = [(layer.state, dict(layer.state)) for layer in net.layers]
        self._copies = [
            {name: copy(value) for name, value in old.items()} for _, old in self._before
        ]

    def put_back(self) -> None:
        """Restore them, in the same arrays."""
        for (state, old), copied in zip(self._before, self._copies, strict=True):
            for name, value in old.items():
                if isinstance(value, np.ndarray):
                    value[...] = copied[name]
                else:
                    old[name] = copied[name]
            state.clear()
            state.update(old)


class Spikes:
    """Finds steps whose loss jumped.

    A spike is a loss above ``m + max(10 d, abs(m))``, where m is the median of the 50 losses before
    it, and d their median absolute deviation from m. The first 20 losses are never spikes. Spikes
    enter the window like any other loss, so a loss that stays high counts for at most half a
    window.

    Parameters
    ----------
    losses : sequence of float
        Earlier losses, the latest last.
    """

    def __init__(self, losses: Sequence[float] = ()) -> None:
        self.losses = list(losses)[-WINDOW:]

    def add(self, loss: float) -> bool:
        """Add a step's loss and return whether it is a spike."""
        spike = False
        if len(self.losses) >= LEAST:
            middle = median(self.losses)
            if loss > middle + abs(middle):
                deviation = median(abs(value - middle) for value in self.losses)
                spike = loss > middle + 10 * deviation
        self.losses = [*self.losses[1 - WINDOW :], loss]
        return spike
