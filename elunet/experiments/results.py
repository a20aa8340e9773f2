"""The results of a comparison: a table of its trials, and warnings about weak points."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from elunet.experiments.adversarial import Robustness
from elunet.experiments.alignment import Alignment, read_angles
from elunet.experiments.order import Order, Request, best, requests_of
from elunet.experiments.statistics import t_interval
from elunet.experiments.trials import BASELINES, SETTINGS, TRIALS, Trial, file_of
from elunet.storage import settings, tables
from elunet.train.history import History


@dataclass(frozen=True)
class Comparison:
    """The results of `compare`.

    Attributes
    ----------
    rules : tuple of str
        In the order given, the baselines last; the first is the reference.
    rates : tuple of float
        All learning rates, in order; a rule may have tried fewer.
    trials : list of Trial
        Each rule's sweep, and the final trials of the variant and rate that it has chosen. Other
        trials that are in the folder are left out.
    folder : pathlib.Path
        Where each final trial's history, angles and robustness are.
    asked : dict of {rule: Request}, optional
        What was asked for of each rule. Without it, the trials are taken for complete.

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
    asked: dict[str, Request] = field(default_factory=dict)

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
        table = Path(folder) / TRIALS
        trials = tables.read("Comparison.read", table, Trial) if table.exists() else []
        requests = requests_of("Comparison.read", file, shared)
        rules = sorted(requests, key=lambda rule: rule in BASELINES)
        return cls.of_order(Order({rule: requests[rule] for rule in rules}, trials), Path(folder))

    @classmethod
    def of_order(cls, order: Order, folder: Path) -> Comparison:
        """Return what an order asks for, as far as it is finished."""
        rates = {rate for request in order.requests.values() for rate in request.rates}
        rules = tuple(order.requests)
        return cls(rules, tuple(sorted(rates)), order.trials(), folder, order.requests)

    def of(self, rule: str, stage: str = "final") -> list[Trial]:
        """Return a rule's trials of one stage, in order of variant, seed and rate."""
        found = [trial for trial in self.trials if (trial.rule, trial.stage) == (rule, stage)]
        return sorted(found, key=lambda trial: (trial.variant, trial.seed, trial.rate))

    @cached_property
    def best(self) -> dict[str, tuple[str, float]]:
        """The variant and learning rate of the best mean validation accuracy in a rule's sweep.

        A rule whose sweep is not finished is left out.
        """
        sweeps = {rule: self.of(rule, "sweep") for rule in self.rules}
        return {
            rule: best(sweep)
            for rule, sweep in sweeps.items()
            if sweep and (rule not in self.asked or len(sweep) == self.asked[rule].sweep)
        }

    @property
    def best_rates(self) -> dict[str, float]:
        """The learning rate of `best`, by rule."""
        return {rule: rate for rule, (_, rate) in self.best.items()}

    @property
    def warnings(self) -> list[str]:
        """Weak points of the comparison.

        They are trials that are not finished, rates and seeds that a rule has not tried but others
        have, best rates at the edge of a rule's grid, and trials that diverged.
        """
        found = []
        for rule, request in self.asked.items():
            for stage, size in (("sweep", request.sweep), ("final", request.seeds)):
                if (there := len(self.of(rule, stage))) < size:
                    found.append(f"{rule}: {there} of {size} {stage} trials are finished")
                    break
            if missing := set(self.rates) - set(request.rates):
                rates = ", ".join(f"{rate:g}" for rate in sorted(missing))
                found.append(f"{rule}: it has not tried learning rates that others have: {rates}")
            for name in ("seeds", "sweep_seeds"):
                most = max(getattr(each, name) for each in self.asked.values())
                if (its := getattr(request, name)) < most:
                    found.append(f"{rule}: its number of {name} is {its}, others have {most}")
        for rule, rate in self.best_rates.items():
            sweep = self.of(rule, "sweep")
            grid = {trial.rate for trial in sweep}
            if rate in (min(grid), max(grid)):
                found.append(
                    f"{rule}: the best learning rate, {rate:g}, lies at the edge of the grid; a"
                    " better one may lie beyond"
                )
            chosen = [each for each in sweep if (each.variant, each.rate) == self.best[rule]]
            if all(trial.diverged for trial in sweep):
                found.append(f"{rule}: every trial of its sweep diverged")
            elif bad := sum(trial.diverged for trial in chosen):
                found.append(
                    f"{rule}: {bad} of {len(chosen)} sweep trials of the chosen rate diverged, and"
                    " trials of every other rate"
                )
            diverged = sum(trial.diverged for trial in self.of(rule))
            if diverged:
                found.append(f"{rule}: {diverged} of {len(self.of(rule))} final trials diverged")
        return found

    def accuracy(self, rule: str) -> tuple[float, float]:
        """Return the mean test accuracy and half its 95 % t-interval, as fractions.

        Without final trials, they are NaN.
        """
        scores = [trial.test_accuracy for trial in self.of(rule)]
        return t_interval(scores) if scores else (math.nan, math.nan)

    def difference(self, rule: str, reference: str | None = None) -> tuple[float, float]:
        """Return a rule's mean accuracy minus the reference's, and half the 95 % t-interval.

        Trials are paired by seed: a pair shares initial weights and order, and the variation that
        these cause cancels. With many rules, some intervals exclude 0 by chance. Without a seed
        that both have, there is no difference: NaN.
        """
        mine, others = (
            {trial.seed: trial.test_accuracy for trial in self.of(name)}
            for name in (rule, self.rules[0] if reference is None else reference)
        )
        pairs = [mine[seed] - others[seed] for seed in mine if seed in others]
        return t_interval(pairs) if pairs else (math.nan, math.nan)

    def histories(self, rule: str) -> list[History]:
        """Return the histories of the final trials that completed an epoch, by seed."""
        files = [self.folder / file_of("history", trial.key) for trial in self.of(rule)]
        return [History.from_csv(file) for file in files if file.exists()]

    def _file(self, kind: str, rule: str, seed: int) -> Path | None:
        """Return a file of a final trial, if it is there."""
        for trial in self.of(rule):
            file = self.folder / file_of(kind, trial.key)
            if trial.seed == seed and file.exists():
                return file
        return None

    def angles(self, rule: str, seed: int = 0) -> list[Alignment]:
        """Return a final trial's angles to backpropagation, [] if they were not measured."""
        file = self._file("angles", rule, seed)
        return read_angles(file) if file else []

    def robustness(self, rule: str, seed: int = 0) -> list[Robustness]:
        """Return a final network's accuracy under attacks, [] if there were none."""
        file = self._file("robustness", rule, seed)
        return tables.read("robustness", file, Robustness) if file else []

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
        """Return the results as a Markdown table, followed by the warnings.

        A rule without final trials has no row.
        """
        rows = [
            "| rule | learning rate | test accuracy, % | minus " + self.rules[0] + " | train, % |",
            "|---|---|---|---|---|",
        ]
        for rule in filter(self.of, self.rules):
            train = 100 * float(np.mean([trial.train_accuracy for trial in self.of(rule)]))
            variant, rate = self.of(rule)[0].variant, self.of(rule)[0].rate
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
    """Return "12.3 ± 0.4" of fractions; "12.3" of a single one, which has no interval."""
    if math.isnan(mean):
        return ""
    return f"{100 * mean:.1f}" + ("" if math.isnan(half) else f" ± {100 * half:.1f}")
