"""Learning rules side by side, in a comparison that is fair by construction.

Every rule gets the same networks, initial weights, order of the data, grid of learning rates and
number of steps. The rate is chosen on a validation split with seeds of its own, and with it a
variant of the rule (the scale of its matrices, say); the test split is used once per final trial.
Several seeds give paired differences with intervals. Baselines say what
a score is worth: a rule that does not beat the last layer alone, on frozen random features, has
taught the hidden layers nothing.
"""

from __future__ import annotations

import itertools
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
from elunet._progress import steps
from elunet.experiments.alignment import Alignment, AngleLog, read_angles
from elunet.experiments.statistics import t_interval
from elunet.losses import CrossEntropy, Loss, SoftmaxCrossEntropy
from elunet.network import Network
from elunet.optim import SGD, Optimizer, PerLayer
from elunet.routers import Backprop, Router
from elunet.storage import settings, tables
from elunet.storage.fingerprints import sha256
from elunet.storage.identity import described, identity, untold, within
from elunet.train import Data, DivergenceError, HistoryFile, Trainer, evaluate
from elunet.train.history import History

SWEEP_SEED = 1000  # the rate is chosen with weights and orders that no final trial has
TOO_HIGH = 2.0  # a train loss of so many times that of guessing or no training: it diverged
SETTINGS, TRIALS = "settings.json", "trials.csv"
LAST_LAYER, LINEAR, SHALLOW = "last layer only", "linear", "shallow"

MakeNetwork = Callable[[int], Network]
MakeRouter = Callable[[int], Router]
Variants = MakeRouter | Mapping[str, MakeRouter]
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
        1 if the train loss of the last pass is more than twice that of guessing, log(classes), and
        of the untrained network, or if loss or weights became infinite or NaN; the accuracies are
        then those of guessing.
    seconds : float
    variant : str
        Which of the rule's variants; "" if it has one only.

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
    variant: str = ""


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
        """Return a rule's trials of one stage, in order of variant, seed and rate."""
        found = [trial for trial in self.trials if (trial.rule, trial.stage) == (rule, stage)]
        return sorted(found, key=lambda trial: (trial.variant, trial.seed, trial.rate))

    @cached_property
    def best(self) -> dict[str, tuple[str, float]]:
        """The variant and learning rate of the best mean validation accuracy in a rule's sweep."""
        return {rule: _best(self.of(rule, "sweep")) for rule in self.rules}

    @property
    def best_rates(self) -> dict[str, float]:
        """The learning rate of `best`, by rule."""
        return {rule: rate for rule, (_, rate) in self.best.items()}

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
            variant, rate = self.best[rule]
            minus = _percent(*self.difference(rule)) if rule != self.rules[0] else ""
            accuracy = _percent(*self.accuracy(rule))
            name = f"{rule} ({variant})" if variant else rule
            rows.append(f"| {name} | {rate:g} | {accuracy} | {minus} | {train:.1f} |")
        return "\n".join([*rows, *(f"\nWarning: {text}." for text in self.warnings)])


def compare(
    network: MakeNetwork,
    rules: Mapping[str, Variants],
    train: Data,
    validation: Data,
    test: Data,
    *,
    rates: Sequence[float],
    epochs: int,
    folder: str | os.PathLike[str],
    seeds: int = 5,
    sweep_seeds: int = 1,
    optimizer: MakeOptimizer | Mapping[str, MakeOptimizer] | None = None,
    loss: Loss | None = None,
    batch_size: int = 100,
    baselines: bool = True,
    angles_every: int = 0,
    null: int = 20,
    log: Callable[[str], None] | None = print,
) -> Comparison:
    """Train the same networks with several learning rules and compare their accuracies.

    First each rule trains with each learning rate, in each of its variants; then, with the variant
    and rate of the best validation accuracy, once with each seed. A call that was interrupted
    continues after the last complete trial.

    Parameters
    ----------
    network : callable
        ``network(seed) -> Network``.
    rules : dict of {name: callable}
        ``rule(seed) -> Router``; the first is the reference for the others. A rule may also be a
        dict of {variant: callable}, such as several scales of its matrices; the sweep chooses one.
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
    sweep_seeds : int, default 1
        Trials of each rate and variant in the sweep; their mean counts.
    optimizer : callable or dict, optional
        ``optimizer(rate) -> Optimizer``, by default SGD with momentum 0.9. A dict has one for the
        rules that need another than the rest, which get that of ``"*"``, or SGD: Kolen-Pollack's
        and weight mirror's need weight decay.
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
        Takes a line of text per trial. With None, a progress bar or a line now and then shows how
        many trials are done.

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
    seeds = integer("compare", "seeds", seeds)
    epochs = integer("compare", "epochs", epochs)
    sweep_seeds = integer("compare", "sweep_seeds", sweep_seeds)
    if not rules:
        raise ValueError("compare: expected at least one of rules, got none")
    entries = {
        name: _Entry(network, dict(rule) if isinstance(rule, Mapping) else {"": rule})
        for name, rule in rules.items()
    }
    if empty := [name for name, entry in entries.items() if not entry.variants]:
        raise ValueError(f"compare: expected at least one variant of {empty[0]}, got none")
    optimizers = dict(optimizer) if isinstance(optimizer, Mapping) else {"*": optimizer}
    if unknown := sorted(set(optimizers) - {"*", *rules}):
        raise ValueError(f'compare: expected optimizers of rules or "*", got {unknown}')
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
        {name: make for name, make in optimizers.items() if make is not None},
        loss or SoftmaxCrossEntropy(),
        batch_size,
        angles_every,
        null,
        Path(folder),
    )
    bench.open(rates)
    best = {}
    in_sweeps = sum(len(entry.variants) for entry in entries.values()) * sweep_seeds * len(rates)
    bench.total = in_sweeps + seeds * len(entries)
    with steps(bench.total, "trial", "compare", shown=log is None) as advance:
        for name, entry in entries.items():
            keys = itertools.product(entry.variants, range(sweep_seeds), rates)
            sweep = []
            for variant, k, rate in keys:
                sweep.append(bench.trial("sweep", name, variant, rate, SWEEP_SEED + k, log))
                advance()
            best[name] = _best(sweep)
        for seed in range(seeds):
            for name in entries:
                bench.trial("final", name, *best[name], seed, log)
                advance()
    comparison = Comparison(tuple(entries), rates, list(bench.trials.values()), bench.folder)
    for text in comparison.warnings:
        warnings.warn(f"compare: {text}", stacklevel=2)
    return comparison


@dataclass(frozen=True)
class _Entry:
    """A rule on a network, or a baseline."""

    network: MakeNetwork
    variants: dict[str, MakeRouter]
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

    backprop: dict[str, MakeRouter] = {"": lambda seed: Backprop()}
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
    optimizers: dict[str, MakeOptimizer]
    loss: Loss
    batch_size: int
    angles_every: int
    null: int
    folder: Path
    total: int = 0  # trials of the comparison
    done: int = 0

    def optimizer(self, rule: str, rate: float) -> Optimizer:
        """Return a rule's optimizer."""
        make = self.optimizers.get(rule) or self.optimizers.get("*")
        return SGD(rate, momentum=0.9) if make is None else make(rate)

    def open(self, rates: Sequence[float]) -> None:
        """Read the table of complete trials, if the folder belongs to this comparison."""
        shared = {
            "rules": {
                name: " | ".join(_describe(entry, variant) for variant in entry.variants)
                for name, entry in self.entries.items()
            },
            "data": [f"{len(x)} examples, sha256 {sha256(x, y)[:16]}" for x, y in self.data],
            "rates": list(rates),
            "epochs": self.epochs,
            "optimizer": " | ".join(
                dict.fromkeys(described(self.optimizer(name, rates[0])) for name in self.entries)
            ),
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
        self.trials = {
            (each.stage, each.rule, each.variant, each.rate, each.seed): each for each in done
        }

    def _incomparable(self, rate: float) -> list[str]:
        """Return a text for each object of which something cannot be compared."""
        tops: dict[str, object] = {"loss": self.loss}
        for name, entry in self.entries.items():
            tops[f"{name}'s optimizer"] = self.optimizer(name, rate)
            tops |= {
                f"{name} {variant}".strip(): make(0) for variant, make in entry.variants.items()
            }
            tops |= {f"{name}'s {node.name}": node.layer for node in entry.network(0).nodes}
        parts = [found for path, top in tops.items() for found in within(path, top, set())]
        lines = (f"{', '.join(untold(part))} of {path}" for path, part in parts if untold(part))
        return list(dict.fromkeys(lines))

    def trial(
        self,
        stage: str,
        rule: str,
        variant: str,
        rate: float,
        seed: int,
        log: Callable[[str], None] | None,
    ) -> Trial:
        """Return a trial from the table, or train it."""
        key = stage, rule, variant, rate, seed
        self.done += 1
        if key not in self.trials:
            trial = self.trials[key] = self._train(*key)
            tables.write(self.table, Trial, self.trials.values())
            if log is not None:
                score = trial.validation_accuracy if stage == "sweep" else trial.test_accuracy
                split = "validation" if stage == "sweep" else "test"
                end = "diverged" if trial.diverged else f"{split} {100 * score:.2f} %"
                name = f"{rule} ({variant})" if variant else rule
                log(
                    f"{stage} {name}, rate {rate:g}, seed {seed}: {end}, {trial.seconds:.1f} s"
                    f" ({self.done} of {self.total})"
                )
        return self.trials[key]

    def _train(self, stage: str, rule: str, variant: str, rate: float, seed: int) -> Trial:
        entry, (train, validation, test) = self.entries[rule], self.data
        net = entry.network(seed)
        optimizer = self.optimizer(rule, rate)
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
            entry.variants[variant](seed),
            batch_size=self.batch_size,
            seed=seed,
            progress=False,
        )
        if stage == "final":
            trainer.callbacks.append(HistoryFile(self.folder / _file("history", rule, seed)))
            if self.angles_every and entry.is_rule:
                file = self.folder / _file("angles", rule, seed)
                trainer.callbacks.append(AngleLog(file, self.angles_every, self.null))
        classes = int(net.predict(test[0][:1]).shape[-1])
        guess = 1 / classes
        tested, limit = math.nan, math.inf
        if isinstance(self.loss, SoftmaxCrossEntropy | CrossEntropy):
            first = evaluate(net, *validation, self.loss, self.batch_size)[0]
            limit = TOO_HIGH * max(math.log(classes), first)
        try:
            row = trainer.fit(train, validation, self.epochs)[-1]
            scores = row.train_loss, row.train_accuracy, row.validation_accuracy
            if stage == "final":
                predict = trainer.router.predict
                tested = evaluate(net, *test, self.loss, self.batch_size, predict=predict)[1]
            diverged = int(row.train_loss > limit)
            if diverged:
                scores = row.train_loss, guess, guess
        except DivergenceError:
            scores, diverged = (math.nan, guess, guess), 1
        if diverged and stage == "final":
            tested = guess
        seconds = sum(trainer.history.column("seconds"))
        return Trial(stage, rule, rate, seed, *scores, tested, diverged, seconds, variant)


def _best(sweep: Sequence[Trial]) -> tuple[str, float]:
    """Return the variant and rate of the best mean validation accuracy.

    One of which a trial diverged is taken only if that is so of all. Of equals, the smaller rate.
    """
    groups: dict[tuple[str, float], list[Trial]] = {}
    for each in sweep:
        groups.setdefault((each.variant, each.rate), []).append(each)

    def merit(key: tuple[str, float]) -> tuple[bool, float, float]:
        trials = groups[key]
        accuracy = float(np.mean([each.validation_accuracy for each in trials]))
        return not any(each.diverged for each in trials), accuracy, -key[1]

    return max(groups, key=merit)


def _describe(entry: _Entry, variant: str) -> str:
    """Return what an entry trains, as text that differs where the training would."""
    net, router = entry.network(0), entry.variants[variant](0)
    layers = [f"{identity(node.layer)} of {node.inputs}, {node.home}" for node in net.nodes]
    text = f"{layers} {identity(router)} frozen={entry.frozen}"
    return f"{sha256(text)[:16]} {router!r}"


def _file(kind: str, rule: str, seed: int) -> str:
    plain = "".join(letter if letter.isalnum() else "-" for letter in rule)
    return f"{kind}-{plain}-{seed}.csv"


def _percent(mean: float, half: float) -> str:
    """Return "12.3 ± 0.4" of fractions."""
    return f"{100 * mean:.1f} ± {100 * half:.1f}"
