"""What the trained ELU-11 knows: its accuracy on CIFAR-10's test images, class by class.

    python examples/trained_elu11.py --data path/to/cifar10
    python examples/trained_elu11.py --data path/to/cifar10 --weights runs/cifar/weights.safetensors

Its images are prepared as in training, contrast-normalized and whitened; the whitening is computed
from the training images, which takes half a minute and 2 GB. It prints accuracies, and writes a
table of the classes and a confusion matrix to --out.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import elunet as eln
from elunet.data import CIFAR10_CLASSES
from elunet.experiments.recipes import RECIPES
from elunet.storage import tables

BATCH_SIZE = 250


@dataclass(frozen=True)
class ClassRow:
    """One class of the test images: how many are recognized, and what the others are taken for."""

    name: str
    images: int
    accuracy: float
    taken_for: str
    times: int


def by_class(outputs: np.ndarray, y: np.ndarray) -> list[ClassRow]:
    """Return a row for each class."""
    rows = []
    for label, name in enumerate(CIFAR10_CLASSES):
        counts = np.bincount(outputs[y == label].argmax(axis=1), minlength=len(CIFAR10_CLASSES))
        right, total = int(counts[label]), int(counts.sum())
        counts[label] = 0
        other = int(counts.argmax())
        share = right / total if total else float("nan")
        rows.append(ClassRow(name, total, share, CIFAR10_CLASSES[other], int(counts[other])))
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Evaluate, print and write what the command line asks for."""
    options = parse(arguments)
    train, test = eln.data.load_cifar10(options.data)
    n = options.limit
    _, (x, y) = RECIPES["long"].prepared((train[0][:n], train[1][:n]), (test[0][:n], test[1][:n]))
    net = eln.models.elu11(weights=options.weights)
    loss = eln.losses.SoftmaxCrossEntropy()
    ways = {"one pass": eln.Network.forward, "with mirror images": eln.train.mirrored}
    for name, predict in ways.items():
        mean, accuracy = eln.evaluate(net, x, y, loss, BATCH_SIZE, predict=predict)
        print(f"{name}: {100 * accuracy:.2f} % of {len(y):,} images, cross-entropy {mean:.3f}")
    outputs = net.predict(x, batch_size=BATCH_SIZE)
    rows = by_class(outputs, y)
    options.out.mkdir(parents=True, exist_ok=True)
    tables.write(options.out / "classes.csv", ClassRow, rows)
    eln.plots.confusion(outputs, y, CIFAR10_CLASSES, file=options.out / "confusion.png")
    print("\n| class | recognized, % | most often taken for |\n|---|---|---|")
    for row in rows:
        print(f"| {row.name} | {100 * row.accuracy:.1f} | {row.taken_for} ({row.times}) |")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", help="CIFAR-10's folder; default: where load_cifar10 looks")
    add("--weights", default="cifar10", help="cifar10 (default), or a safetensors file")
    add("--limit", type=int, metavar="N", help="at most N images of a split")
    add("--out", type=Path, default=Path("runs/trained"), metavar="DIR")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
