"""The order of a comparison's trials: which it asks for, which can run next, and which it shows.

A folder keeps every trial that was ever made in it. What was asked for last says which of them
count: a rule's sweep, the variant and rate that the sweep chooses, and the final trials of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from elunet.experiments.trials import Key, Trial

SWEEP_SEED = 1000  # the rate is chosen with weights and orders that no final trial has


class Request(NamedTuple):
    """What is asked for of a rule: the grid of its sweep, and the numbers of seeds."""

    variants: tuple[str, ...]
    rates: tuple[float, ...]
    seeds: int
    sweep_seeds: int

    def as_json(self) -> dict[str, Any]:
        """Return plain data, as JSON has it."""
        return self._asdict() | {"variants": [*self.variants], "rates": [*self.rates]}

    @property
    def sweep(self) -> int:
        """The number of trials of the sweep."""
        return len(self.variants) * len(self.rates) * self.sweep_seeds


def requests_of(owner: str, file: Path, shared: dict[str, Any]) -> dict[str, Request]:
    """Return what was asked for of each rule, from the settings in a file.

    Raises
    ------
    ValueError
        If it is not there, or makes no sense.
    """
    wanted = f"{owner}: expected {file} with what was asked for of each rule, got"
    if "asked" not in shared:
        raise ValueError(
            f"{wanted} none. An earlier version of elunet may have written it; use another folder"
        )
    try:
        if not shared["asked"]:
            raise ValueError("no rule")
        if not all(isinstance(shared["rules"][rule], dict) for rule in shared["asked"]):
            raise TypeError("a rule that is no dict")
        return {
            rule: Request(
                tuple(its["variants"]),
                tuple(map(float, its["rates"])),
                int(its["seeds"]),
                int(its["sweep_seeds"]),
            )
            for rule, its in shared["asked"].items()
        }
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{wanted} {type(error).__name__}: {error}") from error


class Order:
    """Which trials are asked for, which are finished, and which can run next.

    Parameters
    ----------
    requests : mapping of {rule: Request}
    trials : sequence of Trial
        Those that are finished. More than those asked for may be among them.
    """

    def __init__(self, requests: Mapping[str, Request], trials: Sequence[Trial]) -> None:
        self.requests = dict(requests)
        self.sweeps = {
            rule: [
                Key("sweep", rule, variant, rate, SWEEP_SEED + k)
                for variant, k, rate in product(
                    request.variants, range(request.sweep_seeds), request.rates
                )
            ]
            for rule, request in requests.items()
        }
        self.done = {trial.key: trial for trial in trials}

    def add(self, trial: Trial) -> None:
        """Take a trial for finished."""
        self.done[trial.key] = trial

    def finals(self, rule: str, early: bool = False) -> list[Key]:
        """Return a rule's final trials; none before its sweep is finished.

        With `early`, return those of the best so far.
        """
        sweep = [self.done[key] for key in self.sweeps[rule] if key in self.done]
        if not sweep or (len(sweep) < len(self.sweeps[rule]) and not early):
            return []
        chosen, seeds = best(sweep), range(self.requests[rule].seeds)
        return [Key("final", rule, *chosen, seed) for seed in seeds]

    def _keys(self) -> tuple[list[Key], list[Key]]:
        """Return all sweeps, and the final trials of finished sweeps, seed by seed."""
        sweeps = [key for sweep in self.sweeps.values() for key in sweep]
        finals = [key for rule in self.sweeps for key in self.finals(rule)]
        return sweeps, sorted(finals, key=lambda key: key.seed)

    def ready(self) -> list[Key]:
        """Return the trials that can run now: final trials, seed by seed, then sweeps."""
        sweeps, finals = self._keys()
        return [key for key in [*finals, *sweeps] if key not in self.done]

    @property
    def size(self) -> int:
        """The number of all trials that are asked for."""
        return sum(request.sweep + request.seeds for request in self.requests.values())

    @property
    def left(self) -> int:
        """The number of unfinished trials, if what is the best so far stays the best."""
        rules = [[*sweep, *self.finals(rule, early=True)] for rule, sweep in self.sweeps.items()]
        return self.size - sum(key in self.done for keys in rules for key in keys)

    def trials(self) -> list[Trial]:
        """Return the finished trials that are asked for.

        Their order does not depend on when they ran.
        """
        sweeps, finals = self._keys()
        return [self.done[key] for key in [*sweeps, *finals] if key in self.done]

    def all_trials(self) -> list[Trial]:
        """Return all finished trials: first those asked for, then the others."""
        return [*({trial.key: trial for trial in self.trials()} | self.done).values()]


def best(sweep: Sequence[Trial]) -> tuple[str, float]:
    """Return the pair of variant and rate with the best mean validation accuracy.

    A pair with a trial that diverged is chosen only if every pair has one. If two are equal, the
    smaller rate is chosen, and then the variant whose name comes first in the alphabet.
    """
    groups: dict[tuple[str, float], list[Trial]] = {}
    for each in sweep:
        groups.setdefault((each.variant, each.rate), []).append(each)

    def merit(pair: tuple[str, float]) -> tuple[bool, float, float]:
        trials = groups[pair]
        accuracy = float(np.mean([each.validation_accuracy for each in trials]))
        return not any(each.diverged for each in trials), accuracy, -pair[1]

    return max(sorted(groups), key=merit)
