"""The paper's comparison: ELU, ReLU, leaky ReLU and shifted ReLU, with and without normalization.

    python examples/activations.py --data path/to/cifar10 --epochs 3 --seeds 3

The same network, ELU-11, the same recipe, and a learning rate that each activation chooses on
validation images that are cut from the training split (Clevert et al. 2016, section 4, compare
these activations). Beside the accuracies it measures the mean activation of each layer, which the
paper says ELU brings closer to zero. A run that is finished is kept in --out, and the same command
continues after it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import elunet as eln
from elunet.experiments import SeriesRow, series, series_table
from elunet.experiments.recipes import RECIPES, Recipe
from elunet.layers import ELU, LeakyReLU, ReLU, ShiftedReLU
from elunet.models.elu import ELU11_WIDTHS
from elunet.storage import tables
from elunet.train import Data

ACTIVATIONS = {"elu": ELU, "relu": ReLU, "lrelu": LeakyReLU, "srelu": ShiftedReLU}
RATES = (0.02, 0.05, 0.1)


@dataclass(frozen=True)
class MeanActivation:
    """The mean and the standard deviation of one activation layer's outputs, after training."""

    recipe: str
    seed: int
    layer: str
    depth: int
    mean: float
    deviation: float


def recipe_of(activation: str, norm: bool, rate: float, width: float) -> Recipe:
    """Return the short recipe with another activation, learning rate and width."""
    widths = [max(1, round(units * width)) for units in ELU11_WIDTHS]
    make = ACTIVATIONS[activation]

    def network(seed):
        net = eln.models.elu11(
            widths=widths, seed=seed, init=eln.init.He(), norm=norm, activation=make
        )
        net["conv11"].params["W"] *= np.float32(0.1)  # so that the first loss is that of guessing
        return net

    def optimizer(epochs, steps):
        schedule = eln.schedules.OneCycle(rate, epochs * steps, warmup=0.12)
        return eln.optim.SGD(schedule, momentum=0.9, nesterov=True, l2=0.0005, clip_norm=2.0)

    return replace(RECIPES["quick"], network=network, optimizer=optimizer)


def best_rates(train: Data, options: argparse.Namespace) -> dict[str, float]:
    """Return each variant's rate: the one with the best accuracy on a tenth of the images."""
    held = len(train[0]) // 10
    fit, validation = tuple(a[:-held] for a in train), tuple(a[-held:] for a in train)
    found = {}
    for name, (activation, norm) in kinds(options).items():
        tried = {
            f"{name}-{rate:g}": recipe_of(activation, norm, rate, options.width) for rate in RATES
        }
        rows = series(tried, fit, validation, options.epochs, options.out / "rates")
        ends = {row.recipe: row for row in rows if row.epoch == options.epochs or row.diverged}
        best = max(ends, key=lambda key: -1.0 if ends[key].diverged else ends[key].test_accuracy)
        found[name] = float(best.removeprefix(f"{name}-"))
    return found


def kinds(options: argparse.Namespace) -> dict[str, tuple[str, bool]]:
    """Return {name: (activation, whether normalized)}."""
    return {
        f"{name}{'-norm' if norm else ''}": (name, norm)
        for norm in (False, True)
        for name in options.activations
    }


def mean_activations(
    recipe: Recipe, row: SeriesRow, data: tuple[Data, Data], folder: Path
) -> list[MeanActivation]:
    """Return what each activation layer of a trained network gives for 500 test images."""
    net = recipe.network(row.seed)
    eln.load(net, folder / f"{row.recipe}-{row.seed}" / "weights.safetensors")
    _, (x, _) = recipe.prepared(*data)
    found = []

    def note(name, y):
        if isinstance(net[name], tuple(ACTIVATIONS.values())):
            numbers = y.astype(np.float64)
            depth = len(found) + 1
            found.append(
                MeanActivation(row.recipe, row.seed, name, depth, numbers.mean(), numbers.std())
            )

    net.forward(x[:500], tap=note)
    return found


def main(arguments: list[str] | None = None) -> None:
    """Choose the rates, train with the seeds, and print the tables."""
    options = parse(arguments)
    eln.set_num_threads(options.threads)
    if options.data == "synthetic":
        train, test = eln.data.make_shapes(2000, seed=0), eln.data.make_shapes(500, seed=1)
    else:
        train, test = eln.data.load_cifar10(options.data)
    n = options.limit
    train, test = (train[0][:n], train[1][:n]), (test[0][:n], test[1][:n])
    rates = best_rates(train, options)
    recipes = {
        name: recipe_of(*kind, rates[name], options.width) for name, kind in kinds(options).items()
    }
    rows = series(recipes, train, test, options.epochs, options.out, options.seeds)
    means = [
        mean
        for row in rows
        if row.epoch == options.epochs
        for mean in mean_activations(recipes[row.recipe], row, (train, test), options.out)
    ]
    tables.write(options.out / "means.csv", MeanActivation, means)
    print("\n".join(f"{name}: learning rate {rate:g}" for name, rate in rates.items()))
    print(f"\n{series_table(rows)}\n\n{means_table(means)}")


def means_table(means: list[MeanActivation]) -> str:
    """Return the mean activations by depth, means over seeds, in Markdown."""
    depths = sorted({mean.depth for mean in means})
    lines = [f"| recipe | {' | '.join(map(str, depths))} |", "|---" * (len(depths) + 1) + "|"]
    for name in dict.fromkeys(mean.recipe for mean in means):
        cells = [
            np.mean([its.mean for its in means if (its.recipe, its.depth) == (name, depth)])
            for depth in depths
        ]
        lines.append(f"| {name} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |")
    return "\n".join(lines)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", default="synthetic", help="synthetic (default), or CIFAR-10's folder")
    add("--epochs", type=int, default=1, help="default: 1")
    add("--limit", type=int, metavar="N", help="at most N images of a split")
    add("--seeds", type=int, default=1, help="default: 1")
    add("--width", type=float, default=1.0, metavar="FACTOR", help="on the units; default: 1")
    add("--activations", nargs="+", choices=list(ACTIVATIONS), default=list(ACTIVATIONS))
    add("--threads", type=int, default=1, help="default: 1")
    add("--out", type=Path, default=Path("runs/activations"), metavar="DIR")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
