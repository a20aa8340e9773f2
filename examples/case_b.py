"""Case b of the article, and the fewest changes with which it learns: what each is worth.

    python examples/case_b.py --data path/to/cifar10 --epochs 10 --seeds 2
    python examples/case_b.py --data path/to/cifar10 --epochs 50 --variants all --out runs/case-b-50

The case is feedback alignment in eleven narrow convolutions, with Adam at learning rate 1e-5 (J. D.
Seo, 2018); as stated it hardly leaves the loss of guessing. Here changes are added to it one at a
time, and taken from the one with all of them. A run that is finished is kept in --out, and the same
command continues after it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import elunet as eln
from elunet.experiments import series, series_table
from elunet.experiments.recipes import RECIPES, Recipe

RATE = 3e-3  # three hundred times the article's

CHANGES: dict[str, Callable[[Recipe], Recipe]] = {
    "norm": lambda its: replace(
        its, network=lambda seed: eln.models.article_case("b", seed, norm=True)
    ),
    "rate": lambda its: replace(its, optimizer=lambda epochs, steps: eln.optim.Adam(RATE)),
}


def variants() -> dict[str, Recipe]:
    """Return the stated case, each change alone, all of them, and all but each."""
    found = {"stated": changed(*())}
    found |= {f"with-{name}": changed(name) for name in CHANGES}
    if len(CHANGES) > 2:
        found |= {f"without-{name}": changed(*(CHANGES.keys() - {name})) for name in CHANGES}
    return {**found, "all": changed(*CHANGES)}


def changed(*names: str) -> Recipe:
    """Return the article's case b with some of the changes."""
    recipe = RECIPES["b"]
    for name in names:
        recipe = CHANGES[name](recipe)
    return recipe


def main(arguments: list[str] | None = None) -> None:
    """Train what the command line asks for, and print the table."""
    options = parse(arguments)
    eln.set_num_threads(options.threads)
    if options.data == "synthetic":
        train, test = eln.data.make_shapes(5000, seed=0), eln.data.make_shapes(1000, seed=1)
    else:
        train, test = eln.data.load_cifar10(options.data)
    n = options.limit
    train, test = (train[0][:n], train[1][:n]), (test[0][:n], test[1][:n])
    known = variants()
    recipes = {name: known[name] for name in options.variants or known}
    rows = series(recipes, train, test, options.epochs, options.out, options.seeds)
    print(f"\n{series_table(rows)}\n\nfiles: {options.out / 'series.csv'}")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", default="synthetic", help="synthetic (default), or CIFAR-10's folder")
    add("--epochs", type=int, default=2, help="default: 2")
    add("--limit", type=int, metavar="N", help="at most N images of a split")
    add("--seeds", type=int, default=1, help="default: 1")
    add("--variants", nargs="+", choices=list(variants()), metavar="NAME", help="default: all")
    add("--threads", type=int, default=1, help="default: 1")
    add("--out", type=Path, default=Path("runs/case-b"), metavar="DIR")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
