"""The results of a comparison: a table of its trials, and warnings about weak points."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from elunet.experiments.adversarial import Robustness
from elunet.experiments.alignment import Alignment, read_angles
from elunet.experiments.statistics import t_interval
from elunet.experiments.trials import Trial, best, file_of
from elunet.storage import settings, tables
from elunet.train.history import History

SETTINGS, TRIALS = "settings.json", "trials.csv"


@dataclass(frozen=True)
class Comparison:
    """The results of `compare`.

    Attributes
    ----------
    rules : tuple of str
        In the order given, the baselines last; the first is the reference.
    rates : tuple of float
    trials : list of Trial
    folder : pathlib.Path
        Where each final trial's history, angles and robustness are.

    Examples
    --------
    >>> trial = Trial("final", "fa", 0.1, 0, 1.2, 0.55, 0.5, 0.52, 0, 9.0)
    >>> Comparison(("fa",), (0.1,), [trial], Path()).accuracy("fa")[0]
    0.52
    """

    rules: tuple[str, ...]
    rates: tuple[float, ...]
    trials: list[Trial]
    folder: Path

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> Comparison:
        """Return the comparison that `compare` saved in a folder.

        Raises
        ------
        OSError
            If there is none.
        ValueError
            If its table or its settings are damaged.
        """
        file = Path(folder) / SETTINGS
        shared = settings.read("Comparison.read", file)
        trials = tables.read("Comparison.read", Path(folder) / TRIALS, Trial)
        try:
            rules, rates = tuple(shared["rules"]), tuple(map(float, shared["rates"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"Comparison.read: expected {file} with lists of rules and rates, got others"
            ) from error
        return cls(rules, rates, trials, Path(folder))

    def of(self, rule: str, stage: str = "final") -> list[Trial]:
        """Return a rule's trials of one stage, in order of variant, seed and rate.

        The final trials are those of the `best` variant and rate.
        """
        found = [trial for trial in self.trials if (trial.rule, trial.stage) == (rule, stage)]
        if stage == "final" and (sweep := self.of(rule, "sweep")):
            found = [trial for trial in found if (trial.variant, trial.rate) == best(sweep)]
        return sorted(found, key=lambda trial: (trial.variant, trial.seed, trial.rate))

    @cached_property
    def best(self) -> dict[str, tuple[str, float]]:
        """The variant and learning rate of the best mean validation accuracy in a rule's sweep."""
        return {rule: best(self.of(rule, "sweep")) for rule in self.rules}

    @property
    def best_rates(self) -> dict[str, float]:
        """The learning rate of `best`, by rule."""
        return {rule: rate for rule, (_, rate) in self.best.items()}

    @property
    def warnings(self) -> list[str]:
        """Weak points of the comparison (best rates at the grid's edge, diverged final trials)."""
        found = []
        for rule, rate in self.best_rates.items():
            if rate in (min(self.rates), max(self.rates)):
                found.append(
                    f"{rule}: the best learning rate, {rate:g}, lies at the edge of the grid; a"
                    " better one may lie beyond"
                )
            if all(trial.diverged for trial in self.of(rule, "sweep")):
                found.append(f"{rule}: every trial of its sweep diverged")
            diverged = sum(trial.diverged for trial in self.of(rule))
            if diverged:
                found.append(f"{rule}: {diverged} of {len(self.of(rule))} final trials diverged")
        return found

    def accuracy(self, rule: str) -> tuple[float, float]:
        """Return the mean test accuracy and half its 95 % t-interval, as fractions."""
        return t_interval([trial.test_accuracy for trial in self.of(rule)])

    def difference(self, rule: str, reference: str | None = None) -> tuple[float, float]:
        """Return a rule's mean accuracy minus the reference's, and half the 95 % t-interval.

        Trials are paired by seed: a pair shares initial weights and order, and the variation that
        these cause cancels. With many rules, some intervals exclude 0 by chance.
        """
        mine, others = (
            {trial.seed: trial.test_accuracy for trial in self.of(name)}
            for name in (rule, self.rules[0] if reference is None else reference)
        )
        return t_interval([mine[seed] - others[seed] for seed in mine if seed in others])

    def histories(self, rule: str) -> list[History]:
        """Return the histories of the final trials that completed an epoch, by seed."""
        files = [self.folder / file_of("history", rule, trial.seed) for trial in self.of(rule)]
        return [History.from_csv(file) for file in files if file.exists()]

    def angles(self, rule: str, seed: int = 0) -> list[Alignment]:
        """Return a final trial's angles to backpropagation, [] if they were not measured."""
        file = self.folder / file_of("angles", rule, seed)
        return read_angles(file) if file.exists() else []

    def robustness(self, rule: str, seed: int = 0) -> list[Robustness]:
        """Return a final network's accuracy under attacks, [] if there were none."""
        file = self.folder / file_of("robustness", rule, seed)
        return tables.read("robustness", file, Robustness) if file.exists() else []

    def robustness_table(self) -> str:
        """Return accuracies in percent under each attack, means over seeds, as a Markdown table.

        The column "none" is the accuracy on the same images without an attack. Diverged trials have
        no row, and are not in a mean. The text is empty if nothing was attacked.
        """
        found: dict[str, dict[str, list[float]]] = {}
        for rule in self.rules:
            for trial in self.of(rule):
                for row in () if trial.diverged else self.robustness(rule, trial.seed):
                    name = row.attack if row.attack == "none" else f"{row.attack} {row.eps:g}"
                    found.setdefault(rule, {}).setdefault(name, []).append(row.accuracy)
        if not found:
            return ""
        attacks = list(next(iter(found.values())))
        rows = [f"| rule | {' | '.join(attacks)} |", "|---" * (len(attacks) + 1) + "|"]
        for rule, its in found.items():
            cells = [_percent(*t_interval(its[attack])) for attack in attacks]
            rows.append(f"| {rule} | {' | '.join(cells)} |")
        return "\n".join(rows)

    def table(self) -> str:
        """Return the results as a Markdown table, followed by the warnings."""
        rows = [
            "| rule | learning rate | test accuracy, % | minus " + self.rules[0] + " | train, % |",
            "|---|---|---|---|---|",
        ]
        for rule in self.rules:
            train = 100 * float(np.mean([trial.train_accuracy for trial in self.of(rule)]))
            variant, rate = self.best[rule]
            minus = _percent(*self.difference(rule)) if rule != self.rules[0] else ""
            accuracy = _percent(*self.accuracy(rule))
            name = f"{rule} ({variant})" if variant else rule
            rows.append(f"| {name} | {rate:g} | {accuracy} | {minus} | {train:.1f} |")
        return "\n".join([*rows, *(f"\nWarning: {text}." for text in self.warnings)])

    def __str__(self) -> str:
        """Return the `table`."""
        return self.table()

    def _repr_markdown_(self) -> str:
        """Return what a notebook shows."""
        return self.table()


def _percent(mean: float, half: float) -> str:
    """Return "12.3 ± 0.4" of fractions."""
    return f"{100 * mean:.1f} ± {100 * half:.1f}"
