"""Store the learning curves of a comparison's final runs in one small table.

`python docs/store_curves.py runs/rules-mlp-mnist docs/data/rules-mlp-mnist/curves.csv` reads the
histories that `elunet compare` left in a folder, and writes their losses and accuracies, rounded to
6 digits.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import elunet as eln
from elunet.storage import tables


@dataclass(frozen=True)
class Point:
    """One epoch of a final run."""

    rule: str
    seed: int
    epoch: int
    step: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float


def points(result: eln.Comparison) -> list[Point]:
    """Return all epochs of the final runs.

    Raises
    ------
    ValueError
        If a run has no history, or one that ends otherwise than the run.
    """
    found = []
    for rule in result.rules:
        trials, histories = result.of(rule), result.histories(rule)
        if len(trials) != len(histories):
            raise ValueError(f"expected {len(trials)} histories of {rule}, got {len(histories)}")
        for trial, history in zip(trials, histories, strict=True):
            if f"{trial.train_loss}" != f"{history[-1].train_loss}":  # NaN is NaN
                raise ValueError(f"expected the history of {rule}, seed {trial.seed}, got another")
            for row in history:
                values = (
                    row.train_loss,
                    row.train_accuracy,
                    row.validation_loss,
                    row.validation_accuracy,
                )
                rounded = (float(f"{value:.6g}") for value in values)
                found.append(Point(rule, trial.seed, row.epoch, row.step, *rounded))
    return found


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python docs/store_curves.py FOLDER CSV")
    tables.write(sys.argv[2], Point, points(eln.Comparison.read(sys.argv[1])))
