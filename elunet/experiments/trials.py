"""Trials: a trial of a comparison is one training run of a rule. A bench is what all trials share.

`Bench.train` turns a key (which rule, which rate, which seed) into a row of the table and the text
of its files. It writes nothing and needs nothing but the bench and the data, so that it runs in any
process. Its numbers depend on the number of threads only, not on where and when a trial ran.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from glob import escape
from typing import Any, NamedTuple, TypeVar

import numpy as np

from elunet import models
from elunet._types import Array
from elunet.engine.threads import get_num_threads, on_one_thread, set_num_threads
from elunet.experiments.adversarial import PGD_STEPS, Robustness, robustness
from elunet.experiments.alignment import Alignment, AngleLog
from elunet.losses import CrossEntropy, Loss, SoftmaxCrossEntropy
from elunet.network import Network, multiply_adds
from elunet.optim import SGD, Optimizer, PerLayer
from elunet.routers import Backprop, Router
from elunet.storage import tables
from elunet.storage.fingerprints import sha256
from elunet.storage.identity import placeless
from elunet.storage.object_hash import object_hash, unread
from elunet.storage.weights import network_arrays
from elunet.train import Callback, Data, DivergenceError, Trainer, evaluate
from elunet.train.job import peak_memory_mb

TOO_HIGH = 2.0  # a train loss of so many times that of guessing or no training: it diverged
SETTINGS, TRIALS = "settings.json", "trials.csv"  # in a comparison's folder
BASELINES = LAST_LAYER, LINEAR, SHALLOW = "last layer only", "linear", "shallow"
SMALL = 50_000_000  # multiply-adds of an image: a smaller network's trial gets one thread
ATTACKED = 1000  # test images
TRIED = 6  # steps from which a trial's time is told

SEEDS = 0, 1  # what is made of these is compared with what made the trials in a folder

Made = TypeVar("Made")
MakeNetwork = Callable[[int], Network]
MakeRouter = Callable[[int], Router]
Variants = MakeRouter | Mapping[str, MakeRouter]
MakeOptimizer = Callable[[float], Optimizer]
Splits = tuple[Data, Data, Data]
"""The training split, the validation split (it chooses the rate) and the test split."""


class Key(NamedTuple):
    """What identifies a trial: its stage, rule, variant, rate and seed."""

    stage: str
    rule: str
    variant: str
    rate: float
    seed: int


@dataclass(frozen=True)
class Trial:
    """One training run of a comparison.

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

    @property
    def key(self) -> Key:
        """The trial's key."""
        return Key(self.stage, self.rule, self.variant, self.rate, self.seed)

    def __str__(self) -> str:
        score = self.validation_accuracy if self.stage == "sweep" else self.test_accuracy
        split = "validation" if self.stage == "sweep" else "test"
        end = "diverged" if self.diverged else f"{split} {100 * score:.2f} %"
        name = f"{self.rule} ({self.variant})" if self.variant else self.rule
        rate = f"rate {self.rate:g}, seed {self.seed}"
        return f"{self.stage} {name}, {rate}: {end}, {self.seconds:.1f} s"


class Finished(NamedTuple):
    """A trial's row of the table, and its files: {name: text}."""

    trial: Trial
    files: dict[str, str]


class Cost(NamedTuple):
    """The cost of a trial, estimated from a few of its steps.

    Attributes
    ----------
    step, image : float
        Seconds of a step, and of an image that is evaluated.
    angles : float
        Seconds of a measurement of angles.
    memory : float
        MB, at most, that the process has had.
    """

    step: float
    image: float
    angles: float
    memory: float


@dataclass(frozen=True)
class Entry:
    """A rule on a network, or a baseline."""

    network: MakeNetwork
    variants: dict[str, MakeRouter]
    is_rule: bool = True  # rather than a baseline
    frozen: bool = False  # whether only the last weighted layer learns


def baselines(network: MakeNetwork, train: Data) -> dict[str, Entry]:
    """Return the entries to compare scores with."""
    net = network(0)
    if not _weighted(net):
        raise ValueError(
            "compare: expected baselines=False, or a network with a layer that has weights, got"
            f" layers {[node.name for node in net.nodes]}"
        )
    inputs, classes = math.prod(train[0].shape[1:]), net.predict(train[0][:1]).shape[-1]

    backprop: dict[str, MakeRouter] = {"": lambda seed: Backprop()}
    return {
        LAST_LAYER: Entry(network, backprop, False, frozen=True),
        LINEAR: Entry(lambda seed: models.mlp(classes, inputs, (), seed), backprop, False),
        SHALLOW: Entry(lambda seed: models.mlp(classes, inputs, (128,), seed), backprop, False),
    }


def _weighted(net: Network) -> list[str]:
    return [node.name for node in net.homes if node.layer.weighted]


@dataclass(frozen=True)
class Bench:
    """What all trials of a comparison share, except the data."""

    entries: dict[str, Entry]
    epochs: int
    optimizers: dict[str, MakeOptimizer]
    loss: Loss
    batch_size: int
    angles_every: int
    null: int
    threads: int
    attacks: tuple[float, ...] = ()

    def optimizer(self, rule: str, rate: float) -> Optimizer:
        """Return a rule's optimizer."""
        make = self.optimizers.get(rule) or self.optimizers.get("*")
        return SGD(rate, momentum=0.9) if make is None else make(rate)

    def settings(self, data: Splits, rates: Sequence[float]) -> dict[str, Any]:
        """Return everything that identifies this comparison's trials, as plain data."""
        network = next(iter(self.entries.values())).network
        return {
            "network": _describe_network(network),
            "rules": {
                name: {variant: _describe(name, entry, variant) for variant in entry.variants}
                for name, entry in self.entries.items()
            },
            "data": [f"{len(x)} examples, sha256 {sha256(x, y)[:16]}" for x, y in data],
            "epochs": self.epochs,
            "optimizer": {
                name: {repr(rate): _shown(self.optimizer(name, rate)) for rate in rates}
                for name in self.entries
            },
            "loss": _shown(self.loss),
            "batch_size": self.batch_size,
            "angles_every": self.angles_every,
            "null": self.null,
            "attacks": list(self.attacks),
            "threads": self.threads,
        }

    def made(self, rates: Sequence[float]) -> dict[str, Callable[[], object]]:
        """Return functions that make the networks, rules and optimizers, by name."""
        found: dict[str, Callable[[], object]] = {}
        for name, entry in self.entries.items():
            network = f"{name}'s network" if not entry.is_rule else "the network"
            found[network] = partial(entry.network, SEEDS[0])
            for variant, make in entry.variants.items():
                found[f"{name} {variant}".strip()] = partial(make, SEEDS[0])
            found[f"{name}'s optimizer"] = partial(self.optimizer, name, rates[0])
        return found

    def irreproducible(self, rates: Sequence[float]) -> list[str]:
        """Return the names of those that differ from call to call."""
        return [
            name
            for name, make in self.made(rates).items()
            if object_hash(make()) != object_hash(make())
        ]

    def unread(self, rates: Sequence[float]) -> list[str]:
        """Return a text for each that holds something of which only its class counts."""
        found = {name: unread(make()) for name, make in self.made(rates).items()}
        found["the loss"] = unread(self.loss)
        return [f"{', '.join(kinds)} of {name}" for name, kinds in found.items() if kinds]

    def trainer(self, key: Key) -> Trainer:
        """Return a trial's trainer."""
        entry = self.entries[key.rule]
        net = entry.network(key.seed)
        optimizer = self.optimizer(key.rule, key.rate)
        if entry.frozen:
            last = f"{_weighted(net)[-1]}."
            others = (
                {"*": SGD(0.0)} if any(n[: len(last)] != last for n in net.parameters()) else {}
            )
            optimizer = PerLayer({f"{escape(last)}*": optimizer, **others})
        return Trainer(
            net,
            self.loss,
            optimizer,
            entry.variants[key.variant](key.seed),
            batch_size=self.batch_size,
            seed=key.seed,
            progress=False,
        )

    def train(self, data: Splits, key: Key) -> Finished:
        """Run a trial."""
        with using(self.threads):
            return self._train(data, key)

    def _train(self, data: Splits, key: Key) -> Finished:
        train, validation, test = data
        trainer, final = self.trainer(key), key.stage == "final"
        net, angles = trainer.net, None
        if final and self.angles_every and self.entries[key.rule].is_rule:
            angles = AngleLog(None, self.angles_every, self.null)
            trainer.callbacks.append(angles)
        classes = int(net.predict(test[0][:1]).shape[-1])
        guess = 1 / classes
        tested, limit = math.nan, math.inf
        if isinstance(self.loss, SoftmaxCrossEntropy | CrossEntropy):
            first = evaluate(net, *validation, self.loss, self.batch_size)[0]
            limit = TOO_HIGH * max(math.log(classes), first)
        try:
            row = trainer.fit(train, validation, self.epochs)[-1]
            scores = row.train_loss, row.train_accuracy, row.validation_accuracy
            if final:
                predict = trainer.router.predict
                tested = evaluate(net, *test, self.loss, self.batch_size, predict=predict)[1]
            diverged = int(row.train_loss > limit)
            if diverged:
                scores = row.train_loss, guess, guess
        except DivergenceError:
            scores, diverged = (math.nan, guess, guess), 1
        if diverged and final:
            tested = guess
        seconds = sum(trainer.history.column("seconds"))
        files = {}
        if final and self.attacks and not diverged:
            x, y = (part[:ATTACKED] for part in test)
            rows = robustness(net, x, y, self.attacks, batch_size=self.batch_size, loss=self.loss)
            files[file_of("robustness", key)] = tables.to_text(Robustness, rows)
        if final and trainer.history:
            files[file_of("history", key)] = trainer.history.to_text()
        if angles is not None:
            files[file_of("angles", key)] = tables.to_text(Alignment, angles.rows)
        stage, rule, variant, rate, seed = key
        trial = Trial(stage, rule, rate, seed, *scores, tested, diverged, seconds, variant)
        return Finished(trial, files)

    def try_out(self, data: Splits, key: Key) -> Cost:
        """Run a few steps of a trial, and estimate the cost of the whole trial."""
        with using(self.threads):
            # A single thread's own time says what an idle machine would take.
            now = time.process_time if self.threads == 1 else time.perf_counter
            (x, y), trainer, clock = data[0], self.trainer(key), _Clock(now)
            images = min(TRIED * self.batch_size, len(x))
            few = x[:images], y[:images]
            trainer.callbacks.append(clock)
            trainer.fit(few)
            evaluate(trainer.net, *few, self.loss, self.batch_size)  # its memory is there now
            begin = now()
            evaluate(trainer.net, *few, self.loss, self.batch_size)
            image = (now() - begin) / images
            step, angles = clock.step, 0.0
            if self.angles_every and self.entries[key.rule].is_rule:
                trainer = self.trainer(key)
                trainer.callbacks += [AngleLog(None, 1, self.null), clock]
                one = x[: 2 * self.batch_size], y[: 2 * self.batch_size]
                trainer.fit(one)
                angles = max(clock.step - step, 0.0)
        return Cost(step, image, angles, peak_memory_mb() or 0.0)

    def seconds(self, data: Splits, key: Key, cost: Cost) -> float:
        """Return the seconds that a trial takes, estimated from its `Cost`."""
        train, validation, test = (len(x) for x, _ in data)
        steps = self.epochs * -(-train // self.batch_size)
        images = (self.epochs + 1) * validation
        seconds = steps * cost.step
        if key.stage == "final":
            images += test
            seconds += cost.angles * -(-steps // self.angles_every) if self.angles_every else 0.0
            batches = -(-min(ATTACKED, test) // self.batch_size)
            seconds += len(self.attacks) * (1 + PGD_STEPS) * batches * cost.step
        return seconds + images * cost.image


class _Clock(Callback):
    """Measures the shortest time between two steps: the speed without disturbances."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now, self.step = now, math.inf

    def on_fit_start(self, trainer: Trainer) -> None:
        """Begin."""
        self.last, self.step = self.now(), math.inf

    def on_step(self, trainer: Trainer, loss: float) -> None:
        """Measure the time since the last step."""
        now = self.now()
        self.last, self.step = now, min(self.step, now - self.last)


@contextmanager
def using(threads: int) -> Iterator[None]:
    """Use this number of threads inside a block."""
    before = get_num_threads()
    if threads != before:
        set_num_threads(threads)
    try:
        with on_one_thread():
            yield
    finally:
        if threads != before:
            set_num_threads(before)


def threads_for(network: MakeNetwork, x: Any) -> int:
    """Return the number of threads for a network's trials: one, if the network is small."""
    net, total = network(0), 0

    def count(name: str, y: np.ndarray[Any, Any]) -> None:
        nonlocal total
        total += multiply_adds(net[name], y.shape)

    net.forward(x[:1], tap=count)
    return 1 if total <= SMALL else get_num_threads()


def plain(rule: str, variant: str = "") -> str:
    """Return the part of a file's name that stands for a rule and its variant."""
    name = f"{rule}-{variant}" if variant else rule
    return "".join(letter if letter.isalnum() or letter == "." else "-" for letter in name)


def file_of(kind: str, key: Key) -> str:
    """Return the name of a final trial's file."""
    return f"{kind}-{plain(key.rule, key.variant)}-{key.rate!r}-{key.seed}.csv"


def _describe(rule: str, entry: Entry, variant: str) -> str:
    """Return a description of an entry, apart from a rule's network.

    It is different if the rule is different for one of the two `SEEDS`.
    """
    one, other = _made(f"{rule} {variant}".strip(), entry.variants[variant])
    network = "" if entry.is_rule else _describe_network(entry.network)
    text = f"{object_hash(one)} {object_hash(other)} {network} frozen={entry.frozen}"
    return f"{sha256(text)[:16]} {placeless(one)}"


def _shown(value: object) -> str:
    """Return an object's hash and repr."""
    return f"{object_hash(value)} {placeless(value)}"


def _describe_network(network: MakeNetwork) -> str:
    """Return a description of the networks of two seeds: layers, weights and connections."""
    parts: list[str | Array] = []
    for net in _made("network", network):
        parts += [f"{node.inputs}, {node.home}" for node in net.nodes]
        parts += [repr(net.outputs), object_hash([node.layer for node in net.nodes])]
        for name, array in network_arrays(net).items():
            parts += [name, array]
    return sha256(*parts)[:16]


def _made(name: str, make: Callable[[int], Made]) -> tuple[Made, Made]:
    """Return what is made of two seeds; trials must not share it.

    Raises
    ------
    ValueError
        If both are the same object.
    """
    one, other = map(make, SEEDS)
    if one is other:
        raise ValueError(
            f"compare: expected {name} as a function that makes a new object at each call, got the"
            f" same {type(one).__name__} twice"
        )
    return one, other
