"""Train a perceptron on MNIST with the learning rules that `docs/data/rules-mlp-mnist` leaves out.

    python benchmarks/rules_on_mnist.py path/to/mnist --csv docs/data/rules-on-mnist.csv

The first 10,000 training images, 10 epochs in batches of 50. Each rule has a network that suits it,
and backpropagation trains each of these networks too:

- tanh: three hidden layers of 256 tanh units, standardized images, softmax cross-entropy, SGD with
  momentum 0.9, or Adam;
- relu: three hidden layers of 256 ReLU units, each with a layer normalization, images in [0, 1],
  softmax cross-entropy, Adam;
- clipped: one hidden layer of 256 units, images and all units in [0, 1], squared error, Adam.

A sweep of half as many epochs, with a seed of its own, chooses a rule's learning rate: the one with
the best accuracy on the 2,000 images that follow. With this rate, the rule trains once for each
seed. Only these final runs see the test images; their last epoch is what counts. A run that
diverges has the accuracy of guessing, in one row. With a file, a second call makes only the runs
that the file lacks. It knows them by the rule's name, rate, seed, images and epochs: after a change
of the networks or rules below, use another file.

The train accuracy is a mean over the epoch, while the weights change. Of forward-forward, it is the
accuracy of the readout, which is not asked in evaluation.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _common import Row, append_csv, command_line, print_table, versions

import elunet as eln
from elunet import layers, routers

VALIDATION, BATCH_SIZE, SWEEP_SEED = 2000, 50, 1000


@dataclass(frozen=True)
class Setup:
    """A network, and how it is trained."""

    network: Callable[[int], eln.Network]
    optimizer: Callable[[float], eln.optim.Optimizer]
    scale: Callable[..., Any]
    squared: bool = False


def tanh(seed: int) -> eln.Network:
    """Return the perceptron of `elunet compare --net mlp-tanh`."""
    return eln.models.mlp(inputs=784, widths=(256, 256, 256), seed=seed, activation=layers.Tanh)


def relu(seed: int) -> eln.Network:
    """Return a perceptron in which a hidden unit cannot read the length of its input."""
    parts: list[layers.Layer] = [layers.Flatten()]
    for before in (784, 256, 256):
        parts += [layers.Linear(before, 256), layers.ReLU(), layers.LayerNorm(256, affine=False)]
    return eln.Sequential([*parts, layers.Linear(256, 10)], seed=seed)


def clipped(seed: int) -> eln.Network:
    """Return a perceptron with all units in [0, 1], at first between these bounds."""
    parts = [layers.Flatten(), layers.Linear(784, 256), layers.ClippedReLU(1)]
    net = eln.Sequential([*parts, layers.Linear(256, 10), layers.ClippedReLU(1)], seed=seed)
    for name, value in net.parameters().items():
        if name.endswith(".W"):
            value *= 0.3
        else:
            value += 0.3
    return net


def momentum(rate: float) -> eln.optim.Optimizer:
    """Return SGD with momentum."""
    return eln.optim.SGD(rate, momentum=0.9)


TANH = Setup(tanh, momentum, eln.data.standardize)
TANH_ADAM = Setup(tanh, eln.optim.Adam, eln.data.standardize)
RELU = Setup(relu, eln.optim.Adam, eln.data.minmax)
CLIPPED = Setup(clipped, eln.optim.Adam, eln.data.minmax, squared=True)


@dataclass(frozen=True)
class Rule:
    """A learning rule, made of a seed and the number of epochs, and the rates to try."""

    setup: Setup
    rates: tuple[float, ...]
    make: Callable[[int, int], routers.Router]


def backprop(seed: int, epochs: int) -> routers.Router:
    """Return what the rules are compared with."""
    return routers.Backprop()


def greedy(seed: int, epochs: int) -> routers.Router:
    """Return local losses, a fifth of the epochs for each hidden unit and the rest for the top."""
    return routers.LocalLoss("pred", seed, greedy=max(1, epochs // 5))


SGD_RATES, ADAM_RATES = (0.01, 0.03, 0.1), (3e-4, 1e-3, 3e-3)
RULES = {
    "backprop": Rule(TANH, SGD_RATES, backprop),
    "backprop-adam": Rule(TANH_ADAM, ADAM_RATES, backprop),
    "backprop-relu": Rule(RELU, (1e-4, *ADAM_RATES), backprop),
    "backprop-clipped": Rule(CLIPPED, (1e-4, *ADAM_RATES), backprop),
    "dfa-sparse": Rule(
        TANH, SGD_RATES, lambda s, e: routers.DirectFeedbackAlignment(s, connections=1)
    ),
    "three-factors": Rule(TANH, SGD_RATES, lambda s, e: routers.ThreeFactorHebbian()),
    "greedy": Rule(TANH, SGD_RATES, greedy),
    "node": Rule(TANH, (1e-4, 3e-4, 1e-3), lambda s, e: routers.NodePerturbation(seed=s)),
    "weight": Rule(TANH, (1e-5, 3e-5, 1e-4, 3e-4), lambda s, e: routers.WeightPerturbation(seed=s)),
    "forward-activities": Rule(
        TANH, (1e-4, 3e-4, 1e-3), lambda s, e: routers.ForwardGradient("activities", s)
    ),
    "forward-weights": Rule(
        TANH, (1e-5, 3e-5, 1e-4), lambda s, e: routers.ForwardGradient("weights", s)
    ),
    "targets": Rule(TANH_ADAM, ADAM_RATES, lambda s, e: routers.DifferenceTargetPropagation(s)),
    "forward-forward": Rule(
        RELU, (*ADAM_RATES, 1e-2, 3e-2), lambda s, e: routers.ForwardForward(seed=s)
    ),
    "predictive": Rule(TANH, (*SGD_RATES, 0.3), lambda s, e: routers.PredictiveCoding()),
    "equilibrium": Rule(CLIPPED, (1e-4, 3e-4, 1e-3), lambda s, e: routers.EquilibriumPropagation()),
}


class Bench:
    """The data, the options, and the rows of all runs so far."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.rows = options, list[Row]()
        self.splits = eln.data.load_mnist(options.data)
        if options.csv and options.csv.exists():
            lines = options.csv.read_text(encoding="utf-8").splitlines()
            self.rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))

    def data(self, setup: Setup, final: bool) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
        """Return the training images, and those for validation or for the test."""
        (x, y), test = self.splits
        n = self.options.limit
        other = test if final else (x[n : n + VALIDATION], y[n : n + VALIDATION])
        scaled, labels = setup.scale(x[:n], other[0]), (y[:n], other[1])
        if setup.squared:
            labels = np.eye(10)[labels[0]], np.eye(10)[labels[1]]
        return (scaled[0], labels[0]), (scaled[1], labels[1])

    def run(self, name: str, rate: float, seed: int, epochs: int, final: bool) -> list[Row]:
        """Return the rows of a run, from the file if it has them."""
        stage = "final" if final else "sweep"
        key = {"stage": stage, "rule": name, "rate": f"{rate:g}", "seed": str(seed)}
        key |= {"images": str(self.options.limit), "epochs": str(epochs)}
        found = [row for row in self.rows if all(row.get(word) == key[word] for word in key)]
        if found and found[-1]["epoch"] == str(epochs):
            return found
        found = []
        for row in self.train(RULES[name], rate, seed, epochs, final):
            found.append(key | {word: str(value) for word, value in row.items()})
        print(
            *(f"{word} {value}" for word, value in found[-1].items() if value), sep=", ", flush=True
        )
        if self.options.csv:
            append_csv(self.options.csv, command_line(__file__), versions(), found)
        return found

    def train(self, rule: Rule, rate: float, seed: int, epochs: int, final: bool) -> Iterator[Row]:
        """Train once, and yield a row for each epoch."""
        loss = eln.losses.MeanSquaredError() if rule.setup.squared else None
        trainer = eln.Trainer(
            rule.setup.network(seed),
            loss or eln.losses.SoftmaxCrossEntropy(),
            rule.setup.optimizer(rate),
            rule.make(seed, epochs),
            batch_size=BATCH_SIZE,
            seed=seed,
            progress=False,
        )
        train, other = self.data(rule.setup, final)
        accuracy = "test_accuracy" if final else "validation_accuracy"
        empty = {"train_accuracy": "", "validation_accuracy": "", "test_accuracy": ""}
        try:
            trainer.fit(train, other, epochs)
        except eln.DivergenceError:
            yield {"epoch": epochs} | empty | {accuracy: "0.1", "seconds": ""}
            return
        for row in trainer.history:
            found = {"train_accuracy": f"{row.train_accuracy:.4f}"}
            found[accuracy] = f"{row.validation_accuracy:.4f}"
            yield {"epoch": row.epoch} | empty | found | {"seconds": f"{row.seconds:.2f}"}

    def best(self, name: str) -> float:
        """Return the rate that a rule's sweep chooses."""
        found = {}
        for rate in RULES[name].rates:
            rows = self.run(name, rate, SWEEP_SEED, max(1, self.options.epochs // 2), False)
            found[rate] = float(rows[-1]["validation_accuracy"])
        return max(found, key=lambda rate: found[rate])


def summary(name: str, rate: float, runs: list[list[Row]]) -> Row:
    """Return a rule's line of the table: means over seeds, in percent."""
    rates = RULES[name].rates
    test = [100 * float(rows[-1]["test_accuracy"]) for rows in runs]
    train = [100 * float(rows[-1]["train_accuracy"] or "nan") for rows in runs]
    return {
        "rule": name,
        "rate": f"{rate:g}",
        "edge": "yes" if rate in (rates[0], rates[-1]) else "",
        "test": f"{np.mean(test):.1f}",
        "from": f"{min(test):.1f}",
        "to": f"{max(test):.1f}",
        "train": f"{np.mean(train):.1f}",
    }


def main() -> None:
    """Train with each rule, and print a table of the last epoch's accuracies."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="MNIST in its official layout")
    parser.add_argument("--csv", type=Path, help="where to keep the numbers")
    parser.add_argument("--rules", default=",".join(RULES), help="with commas")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=int, default=10_000, help="images to train on")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    names = options.rules.split(",")
    if unknown := set(names) - set(RULES):
        parser.error(f"expected rules among {', '.join(RULES)}, got {', '.join(sorted(unknown))}")
    if min(options.seeds, options.epochs, options.threads) < 1:
        parser.error("expected --seeds, --epochs and --threads of at least 1")
    most = 60_000 - VALIDATION
    if not 1 <= options.limit <= most:
        parser.error(f"expected a --limit from 1 to {most:,}, got {options.limit}")
    eln.set_num_threads(options.threads)
    bench, table = Bench(options), []
    for name in names:
        rate = bench.best(name)
        seeds = range(options.seeds)
        runs = [bench.run(name, rate, seed, options.epochs, True) for seed in seeds]
        table.append(summary(name, rate, runs))
    print_table(table)


if __name__ == "__main__":
    main()
