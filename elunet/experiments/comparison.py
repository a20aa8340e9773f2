"""Learning rules side by side, in a comparison that is fair by construction.

Every rule gets the same networks, initial weights, order of the data, grid of learning rates and
number of steps. The rate is chosen on a validation split with a seed of its own; the test split is
used once per final trial. Several seeds give paired differences with intervals. Baselines say what
a score is worth: a rule that does not beat the last layer alone, on frozen random features, has
taught the hidden layers nothing.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from glob import escape
from pathlib import Path

import numpy as np

from elunet import models
from elunet._checks import integer, number
from elunet.experiments.alignment import Alignment, AngleLog, read_angles
from elunet.experiments.statistics import t_interval
from elunet.losses import Loss, SoftmaxCrossEntropy
from elunet.network import Network
from elunet.optim import SGD, Optimizer, PerLayer
from elunet.routers import Backprop, Router
from elunet.storage import settings, tables
from elunet.storage.fingerprints import sha256
from elunet.storage.identity import described, identity, untold, within
from elunet.train import Data, DivergenceError, HistoryFile, Trainer, evaluate
from elunet.train.history import History

SWEEP_SEED = 1000  # the rate is chosen with weights and an order that no final trial has
SETTINGS, TRIALS = "settings.json", "trials.csv"
LAST_LAYER, LINEAR, SHALLOW = "last layer only", "linear", "shallow"

MakeNetwork = Callable[[int], Network]
MakeRouter = Callable[[int], Router]
MakeOptimizer = Callable[[float], Optimizer]


@dataclass(frozen=True)
class Trial:
    """One training of a comparison.

    Attributes
    ----------
    stage : "sweep" or "final"
    rule : str
    rate : float
        The learning rate.
    seed : int
        Of the weights, the rule's matrices, and the order of the batches.
    train_loss, train_accuracy : float
        Means over the last pass, while the weights changed. Accuracies are fractions.
    validation_accuracy, test_accuracy : float
        Of the last epoch; the test split is not looked at in a sweep (NaN).
    diverged : int
        1 if loss or weights became infinite or NaN; the accuracies are then those of guessing.
    seconds : float

    Examples
    --------
    >>> Trial("final", "fa", 0.1, 0, 1.2, 0.55, 0.5, 0.52, 0, 9.0).rate
    0.1
    """

    stage: str
    rule: str
    rate: float
    seed: int
    train_loss: float
    train_accuracy: float
    validation_accuracy: float
    test_accuracy: float
    diverged: int
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes
    ----------
    rules : tuple of str
        In the order given, the baselines last; the first is the reference.
    rates : tuple of float
    trials : list of Trial
    folder : Path
        Where each final trial's history and angles are.

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
        """Return the comparison that `compare` left in a folder.

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
        """Return a rule's trials of one stage, in order of seed and rate."""
        found = [trial for trial in self.trials if (trial.rule, trial.stage) == (rule, stage)]
        return sorted(found, key=lambda trial: (trial.seed, trial.rate))

    @cached_property
    def best_rates(self) -> dict[str, float]:
        """The learning rate of the best mean validation accuracy in each rule's sweep."""
        return {rule: _best(self.of(rule, "sweep")) for rule in self.rules}

    @property
    def warnings(self) -> list[str]:
        """What weakens the comparison: best rates at the grid's edge, diverged final trials."""
        found = []
        for rule, rate in self.best_rates.items():
            if rate in (min(self.rates), max(self.rates)):
                found.append(
                    f"{rule}: the best learning rate, {rate:g}, lies at the edge of the grid; a"
                    " better one may lie beyond"
                )
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
        others = self.of(self.rules[0] if reference is None else reference)
        pairs = zip(self.of(rule), others, strict=True)
        return t_interval([trial.test_accuracy - other.test_accuracy for trial, other in pairs])

    def histories(self, rule: str) -> list[History]:
        """Return the histories of the final trials that completed an epoch, by seed."""
        files = [self.folder / _file("history", rule, trial.seed) for trial in self.of(rule)]
        return [History.from_csv(file) for file in files if file.exists()]

    def angles(self, rule: str, seed: int = 0) -> list[Alignment]:
        """Return a final trial's angles to backpropagation, [] if they were not measured."""
        file = self.folder / _file("angles", rule, seed)
        return read_angles(file) if file.exists() else []

    def table(self) -> str:
        """Return the results as a Markdown table, followed by the warnings."""
        rows = [
            "| rule | learning rate | test accuracy, % | minus " + self.rules[0] + " | train, % |",
            "|---|---|---|---|---|",
        ]
        for rule in self.rules:
            train = 100 * float(np.mean([trial.train_accuracy for trial in self.of(rule)]))
            minus = _percent(*self.difference(rule)) if rule != self.rules[0] else ""
            accuracy = _percent(*self.accuracy(rule))
            rows.append(
                f"| {rule} | {self.best_rates[rule]:g} | {accuracy} | {minus} | {train:.1f} |"
            )
        return "\n".join([*rows, *(f"\nWarning: {text}." for text in self.warnings)])


def compare(
    network: MakeNetwork,
    rules: Mapping[str, MakeRouter],
    train: Data,
    validation: Data,
    test: Data,
    *,
    rates: Sequence[float],
    epochs: int,
    folder: str | os.PathLike[str],
    seeds: int = 5,
    optimizer: MakeOptimizer | None = None,
    loss: Loss | None = None,
    batch_size: int = 100,
    baselines: bool = True,
    angles_every: int = 0,
    null: int = 20,
    log: Callable[[str], None] | None = print,
) -> Comparison:
    """Train the same networks with several learning rules and compare their accuracies.

    First each rule trains once with each learning rate; then, with the rate of the best validation
    accuracy, once with each seed. A call that was interrupted continues after the last complete
    trial.

    Parameters
    ----------
    network : callable
        ``network(seed) -> Network``.
    rules : dict of {name: callable}
        ``rule(seed) -> Router``; the first is the reference for the others.
    train, validation, test : (x, y)
        x float of shape (n, ...), y integer labels.
    rates : sequence of float
        The grid of learning rates.
    epochs : int
        Of each trial.
    folder : path
        For settings.json, trials.csv, and each final trial's history and angles.
    seeds : int, default 5
        Final trials of each rule, with seeds 0, 1, ...
    optimizer : callable, optional
        ``optimizer(rate) -> Optimizer``, by default SGD with momentum 0.9. One with the same repr
        and another rule needs another folder.
    loss : Loss, optional
        `SoftmaxCrossEntropy` by default.
    batch_size : int, default 100
    baselines : bool, default True
        Whether to add "last layer only" (on the network's frozen initial features), a "linear"
        classifier on the pixels and a "shallow" network with one hidden layer of 128 units, all
        trained by backpropagation.
    angles_every : int, default 0
        Steps between two measurements of angles in the final trials; 0 measures none.
    null : int, default 20
        Draws for the angles' null band.
    log : callable, optional
        Takes a line of text per trial.

    Returns
    -------
    Comparison

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, a rule has a baseline's name, or the folder holds another
        comparison; the message lists how it differs.

    Warns
    -----
    UserWarning
        If a best rate lies at the grid's edge, or a final trial diverged.

    Examples
    --------
    >>> import tempfile
    >>> import elunet as eln
    >>> x, y = eln.data.make_shapes(60, seed=0)
    >>> data = eln.data.standardize(x), y
    >>> R = eln.routers
    >>> rules = {"backprop": lambda seed: R.Backprop(), "fa": R.FeedbackAlignment}
    >>> with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
    ...     result = eln.compare(
    ...         lambda seed: eln.models.mlp(widths=(8,), seed=seed),
    ...         rules,
    ...         *(data, data, data),  # in a real comparison three different splits
    ...         rates=(0.001, 0.01),
    ...         epochs=1,
    ...         seeds=2,
    ...         folder=folder,
    ...         log=None,
    ...     )
    >>> result.rules
    ('backprop', 'fa', 'last layer only', 'linear', 'shallow')
    """
    rates = tuple(sorted(number("compare", "rates", rate, "(0, inf)") for rate in set(rates)))
    if not rates:
        raise ValueError("compare: expected at least one of rates, got none")
    integer("compare", "seeds", seeds)
    integer("compare", "epochs", epochs)
    if not rules:
        raise ValueError("compare: expected at least one of rules, got none")
    entries = {name: _Entry(network, rule) for name, rule in rules.items()}
    if baselines:
        taken = {LAST_LAYER, LINEAR, SHALLOW} & set(rules)
        if taken:
            raise ValueError(f"compare: expected rules without baselines' names, got {taken}")
        entries |= _baselines(network, train)
    if len({_file("", name, 0) for name in entries}) < len(entries):
        raise ValueError(
            f"compare: expected rules with names that differ in letters or digits, got {[*rules]}"
        )
    bench = _Bench(
        entries,
        (train, validation, test),
        epochs,
        optimizer or (lambda rate: SGD(rate, momentum=0.9)),
        loss or SoftmaxCrossEntropy(),
        batch_size,
        angles_every,
        null,
        Path(folder),
    )
    bench.open(rates)
    best = {}
    for name in entries:
        sweep = [bench.trial("sweep", name, rate, SWEEP_SEED, log) for rate in rates]
        best[name] = _best(sweep)
    for seed in range(seeds):
        for name in entries:
            bench.trial("final", name, best[name], seed, log)
    comparison = Comparison(tuple(entries), rates, list(bench.trials.values()), bench.folder)
    for text in comparison.warnings:
        warnings.warn(f"compare: {text}", stacklevel=2)
    return comparison


@dataclass(frozen=True)
class _Entry:
    """A rule on a network, or a baseline."""

    network: MakeNetwork
    router: MakeRouter
    is_rule: bool = True  # rather than a baseline
    frozen: bool = False  # whether only the last weighted layer learns


def _baselines(network: MakeNetwork, train: Data) -> dict[str, _Entry]:
    net = network(0)
    if not _weighted(net):
        raise ValueError(
            "compare: expected baselines=False, or a network with a layer that has weights, got"
            f" layers {[node.name for node in net.nodes]}"
        )
    inputs, classes = math.prod(train[0].shape[1:]), net.predict(train[0][:1]).shape[-1]

    def backprop(seed: int) -> Router:
        return Backprop()

    return {
        LAST_LAYER: _Entry(network, backprop, False, frozen=True),
        LINEAR: _Entry(lambda seed: models.mlp(classes, inputs, (), seed), backprop, False),
        SHALLOW: _Entry(lambda seed: models.mlp(classes, inputs, (128,), seed), backprop, False),
    }


def _weighted(net: Network) -> list[str]:
    return [node.name for node in net.homes if node.layer.weighted]


@dataclass
class _Bench:
    """What all trials of a comparison share, and the table of those that are complete."""

    entries: dict[str, _Entry]
    data: tuple[Data, Data, Data]
    epochs: int
    optimizer: MakeOptimizer
    loss: Loss
    batch_size: int
    angles_every: int
    null: int
    folder: Path

    def open(self, rates: Sequence[float]) -> None:
        """Read the table of complete trials, if the folder belongs to this comparison."""
        shared = {
            "rules": {name: _describe(entry) for name, entry in self.entries.items()},
            "data": [f"{len(x)} examples, sha256 {sha256(x, y)[:16]}" for x, y in self.data],
            "rates": list(rates),
            "epochs": self.epochs,
            "optimizer": described(self.optimizer(rates[0])),
            "loss": described(self.loss),
            "batch_size": self.batch_size,
            "angles_every": self.angles_every,
            "null": self.null,
        }
        if different := settings.claim(self.folder / SETTINGS, shared):
            raise ValueError(
                f"compare: expected {self.folder} empty or with the same comparison, got one"
                f" with other {', '.join(different)} (settings.json); use another folder"
            )
        self.table = self.folder / TRIALS
        if self.table.exists() and (unknown := self._incomparable(rates[0])):
            warnings.warn(
                f"compare: whether these are as in {self.folder} cannot be told, as no attribute"
                f" has their name: {'; '.join(unknown)}",
                stacklevel=3,
            )
        done = tables.read("compare", self.table, Trial) if self.table.exists() else []
        self.trials = {(each.stage, each.rule, each.rate, each.seed): each for each in done}

    def _incomparable(self, rate: float) -> list[str]:
        """Return a text for each object of which something cannot be compared."""
        tops: dict[str, object] = {"optimizer": self.optimizer(rate), "loss": self.loss}
        for name, entry in self.entries.items():
            tops[name] = entry.router(0)
            tops |= {f"{name}'s {node.name}": node.layer for node in entry.network(0).nodes}
        parts = [found for path, top in tops.items() for found in within(path, top, set())]
        lines = (f"{', '.join(untold(part))} of {path}" for path, part in parts if untold(part))
        return list(dict.fromkeys(lines))

    def trial(
        self, stage: str, rule: str, rate: float, seed: int, log: Callable[[str], None] | None
    ) -> Trial:
        """Return a trial from the table, or train it."""
        key = stage, rule, rate, seed
        if key not in self.trials:
            trial = self.trials[key] = self._train(*key)
            tables.write(self.table, Trial, self.trials.values())
            if log is not None:
                score = trial.validation_accuracy if stage == "sweep" else trial.test_accuracy
                split = "validation" if stage == "sweep" else "test"
                end = "diverged" if trial.diverged else f"{split} {100 * score:.2f} %"
                log(f"{stage} {rule}, rate {rate:g}, seed {seed}: {end}, {trial.seconds:.1f} s")
        return self.trials[key]

    def _train(self, stage: str, rule: str, rate: float, seed: int) -> Trial:
        entry, (train, validation, test) = self.entries[rule], self.data
        net = entry.network(seed)
        optimizer = self.optimizer(rate)
        if entry.frozen:
            last = f"{_weighted(net)[-1]}."
            others = (
                {"*": SGD(0.0)} if any(n[: len(last)] != last for n in net.parameters()) else {}
            )
            optimizer = PerLayer({f"{escape(last)}*": optimizer, **others})
        trainer = Trainer(
            net,
            self.loss,
            optimizer,
            entry.router(seed),
            batch_size=self.batch_size,
            seed=seed,
            progress=False,
        )
        if stage == "final":
            trainer.callbacks.append(HistoryFile(self.folder / _file("history", rule, seed)))
            if self.angles_every and entry.is_rule:
                file = self.folder / _file("angles", rule, seed)
                trainer.callbacks.append(AngleLog(file, self.angles_every, self.null))
        guess = 1 / int(net.predict(test[0][:1]).shape[-1])
        try:
            row = trainer.fit(train, validation, self.epochs)[-1]
            scores = row.train_loss, row.train_accuracy, row.validation_accuracy
            tested = math.nan
            if stage == "final":
                tested = evaluate(net, *test, self.loss, self.batch_size)[1]
            diverged = 0
        except DivergenceError:
            scores, tested, diverged = (math.nan, guess, guess), guess, 1
        seconds = sum(trainer.history.column("seconds"))
        return Trial(stage, rule, rate, seed, *scores, tested, diverged, seconds)


def _best(sweep: Sequence[Trial]) -> float:
    """Return the rate with the best validation accuracy: not diverged if possible, then smaller."""
    best = max(sweep, key=lambda each: (-each.diverged, each.validation_accuracy, -each.rate))
    return best.rate


def _describe(entry: _Entry) -> str:
    """Return what an entry trains, as text that differs where the training would."""
    net = entry.network(0)
    layers = [f"{identity(node.layer)} of {node.inputs}, {node.home}" for node in net.nodes]
    text = f"{layers} {identity(entry.router(0))} frozen={entry.frozen}"
    return f"{sha256(text)[:16]} {entry.router(0)!r}"


def _file(kind: str, rule: str, seed: int) -> str:
    plain = "".join(letter if letter.isalnum() else "-" for letter in rule)
    return f"{kind}-{plain}-{seed}.csv"


def _percent(mean: float, half: float) -> str:
    """Return "12.3 ± 0.4" of fractions."""
    return f"{100 * mean:.1f} ± {100 * half:.1f}"
