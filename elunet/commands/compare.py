"""Compare learning rules on a small network, with a fair choice of each one's learning rate.

    elunet compare
    elunet compare --net mlp --data path/to/cifar10 --limit 6000 --seeds 5
    elunet compare --net elu11 --rules backprop,fa,dfa --out runs/rules-elu11
    elunet compare --workers 8
    elunet compare --plan

Each rule trains once with each learning rate of a grid; the best on a validation split then trains
with several seeds. It ends with a table, and plots of accuracies, sweeps, curves and angles. If it
is interrupted, the same command continues it. With more rules, rates, scales or seeds, the command
extends the comparison in its folder. Training runs can be executed in parallel, on this machine's
cores, on a dask cluster or on Slurm. The table is the same. --plan prints beforehand how
long it will take.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

import elunet as eln
from elunet import routers
from elunet._types import Shape
from elunet.commands._parser import integer, make_parser, name, positive
from elunet.experiments.grid import EXTRA, Executor
from elunet.experiments.trials import Variants
from elunet.storage.files import write_atomically
from elunet.train import Data

NETWORKS: dict[str, Callable[[int, Shape, int], eln.Network]] = {
    "cnn": lambda classes, shape, seed: _small_cnn(classes, shape, seed),
    "cnn-tanh": lambda classes, shape, seed: _small_cnn(
        classes, shape, seed, activation=eln.layers.Tanh
    ),
    "cnn-norm": lambda classes, shape, seed: _small_cnn(
        classes, shape, seed, init=eln.init.He(), activation=eln.layers.ReLU, norm=True
    ),
    "mlp": lambda classes, shape, seed: eln.models.mlp(classes, prod(shape), seed=seed),
    "mlp-tanh": lambda classes, shape, seed: eln.models.mlp(
        classes, prod(shape), (256, 256, 256), seed, activation=eln.layers.Tanh
    ),
    "lenet": lambda classes, shape, seed: eln.models.lenet5(
        classes, size=shape[0], channels=shape[2], seed=seed
    ),
    "resnet20": lambda classes, shape, seed: eln.models.resnet(20, classes, seed=seed),
    "elu11": lambda classes, shape, seed: eln.models.elu11(
        classes, seed=seed, init=eln.init.LeCun()
    ),
}
RULES: dict[str, Callable[[int], routers.Router]] = {
    "backprop": lambda seed: routers.Backprop(),
    "fa": routers.FeedbackAlignment,
    "dfa": routers.DirectFeedbackAlignment,
    "drtp": routers.DirectRandomTargetProjection,
    "usf": lambda seed: routers.SignSymmetry("uniform", seed),
    "brsf": lambda seed: routers.SignSymmetry("batchwise", seed),
    "frsf": lambda seed: routers.SignSymmetry("fixed", seed),
    "kp": routers.KolenPollack,
    "dilated": lambda seed: routers.DilatedBackprop(1, 1.0, 5.0, "random", seed),
    "wm": routers.WeightMirror,
    "dkp": routers.DirectKolenPollack,
    "local": lambda seed: routers.LocalLoss("pred", seed),
    "hebbian": lambda seed: routers.ThreeFactorHebbian(),
    "pepita": routers.PEPITA,
    "dfa-norms": lambda seed: routers.NormMatched(routers.DirectFeedbackAlignment(seed)),
}
SCALED: dict[str, Callable[[float, int], routers.Router]] = {
    "fa": lambda scale, seed: routers.FeedbackAlignment(seed, scale=scale),
    "kp": lambda scale, seed: routers.KolenPollack(seed, scale=scale),
    "dfa": lambda scale, seed: routers.DirectFeedbackAlignment(seed, scale=scale),
    "dkp": lambda scale, seed: routers.DirectKolenPollack(seed, scale=scale),
    "drtp": lambda scale, seed: routers.DirectRandomTargetProjection(seed, scale=scale),
}
OPTIMIZERS: dict[str, Callable[[float, float], eln.optim.Optimizer]] = {
    "sgd": lambda decay, rate: eln.optim.SGD(rate, momentum=0.9, l2=decay),
    "adam": lambda decay, rate: eln.optim.AdamW(rate, l2=decay) if decay else eln.optim.Adam(rate),
}
DECAYING = ("kp", "dkp")  # rules whose B comes to W only by weight decay
RATES = (0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
BATCH_SIZE, COMMAND = 50, ("elunet", "compare")
LIMIT = 2000  # training images
DIGITS, DIGITS_LIMIT, DIGITS_TEST = "digits", 1100, 450  # of scikit-learn's 1,797 images


def _small_cnn(classes: int, shape: Shape, seed: int, **options: Any) -> eln.Network:
    size, _, channels = shape
    return eln.models.small_cnn(classes, seed=seed, size=size, channels=channels, **options)


def main(arguments: Sequence[str] | None = None, command: Sequence[str] = COMMAND) -> int:
    """Run the comparison that the command line asks for; return the exit code."""
    options = parse(sys.argv[1:] if arguments is None else arguments, command)
    try:
        return run(options)
    except KeyboardInterrupt:
        print(f"{shlex.join(command)}: interrupted; the same command continues", file=sys.stderr)
        return 130
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        print(f"{shlex.join(command)}: {error}", file=sys.stderr)
        return 2


def run(options: argparse.Namespace) -> int:
    """Compare, and write tables and plots."""
    warnings.filterwarnings("ignore", "compare:")  # the table says it
    begin = time.perf_counter()
    train, validation, test = splits(
        options.data, options.limit, options.validation, options.classes
    )
    print(f"{len(train[0])} training images, {len(validation[0])} validation images, ", end="")
    print(f"{len(test[0])} test images; {len(options.rules)} rules and 3 baselines", flush=True)
    what: dict[str, Any] = {
        "network": partial(NETWORKS[options.net], options.classes, train[0].shape[1:]),
        "rules": {name: variants(name, options.scales) for name in options.rules},
        "train": train,
        "validation": validation,
        "test": test,
        "rates": options.rates,
        "epochs": options.epochs,
        "seeds": options.seeds,
        "sweep_seeds": options.sweep_seeds,
        "optimizer": {
            "*": partial(OPTIMIZERS[options.optimizer], 0.0),
            **{
                name: partial(OPTIMIZERS[options.optimizer], options.decay)
                for name in options.rules
                if name in DECAYING
            },
        },
        "batch_size": BATCH_SIZE,
        "angles_every": max(1, options.epochs * len(train[0]) // BATCH_SIZE // 10),
        "null": options.null,
        "attacks": options.attacks,
        "threads": options.threads,
    }
    if options.plan:
        print(eln.experiments.plan(**what, workers=options.workers))
        return 0
    with executor(options) as who:
        result = eln.compare(
            **what, folder=options.out, executor=who, log=lambda text: print(text, flush=True)
        )
    plot(result, options.out)
    text = "\n\n".join(filter(None, (result.table(), result.robustness_table())))
    write_atomically(options.out / "table.md", (text + "\n").encode())
    print(text)
    print(f"{time.perf_counter() - begin:.0f} s; tables and plots are in {options.out}")
    return 0


def parse(arguments: Sequence[str], command: Sequence[str] = COMMAND) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__, COMMAND, command)
    parser.add_argument("--net", choices=NETWORKS, default="cnn")
    about = (
        "synthetic, digits (scikit-learn's, 8 x 8 pixels), or a folder with CIFAR-10, CIFAR-100,"
        " MNIST or Fashion-MNIST; default: synthetic"
    )
    parser.add_argument("--data", type=name, default="synthetic", help=about)
    count = partial(partial, integer, 1)
    about = "100 for CIFAR-100; default: 10"
    parser.add_argument("--classes", type=int, choices=(10, 100), default=10, help=about)
    about = f"number of training images, at least 5; default: {LIMIT}, or {DIGITS_LIMIT} digits"
    parser.add_argument("--limit", type=partial(integer, 5, 10**9), help=about)
    parser.add_argument(
        "--rules", default=",".join(list(RULES)[:7]), help="names, separated by commas"
    )
    parser.add_argument(
        "--rates", type=floats, default=RATES, help="learning rates, separated by commas"
    )
    about = "scales of the random matrices, separated by commas; the sweep chooses one"
    parser.add_argument("--scales", type=floats, default=(1.0,), help=about)
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="sgd")
    about = f"weight decay of {', '.join(DECAYING)}: it makes their matrices approach W"
    parser.add_argument("--decay", type=positive, default=0.0, help=about)
    about = "number of validation images, to choose the learning rate; default: a fifth of --limit"
    parser.add_argument("--validation", type=count(10**9), help=about)
    parser.add_argument("--sweep-seeds", type=count(1000), default=1, help="default: 1")
    parser.add_argument("--epochs", type=count(100_000), default=4)
    parser.add_argument("--seeds", type=count(100_000), default=3)
    about = "number of random draws for the angles' null band"
    parser.add_argument("--null", type=partial(integer, 0, 10**6), default=20, help=about)
    about = "sizes of adversarial attacks on the final networks, in standard deviations"
    parser.add_argument("--attacks", type=floats, default=(), metavar="EPS", help=about)
    about = "threads for each training run; default: 1 for a small network, else all cores"
    parser.add_argument("--threads", type=count(1024), help=about)
    who = parser.add_mutually_exclusive_group()
    about = "run N trials in parallel on this machine; default: as many as its cores allow"
    who.add_argument("--workers", type=count(1024), metavar="N", help=about)
    about = "run the trials on the dask cluster of this scheduler, such as tcp://head:8786"
    who.add_argument("--dask", type=name, metavar="ADDRESS", help=about)
    about = (
        "run the trials as Slurm jobs, with submitit's parameters:"
        " timeout_min=600,slurm_partition=cpu"
    )
    who.add_argument("--slurm", nargs="?", const="", metavar="KEY=VALUE,...", help=about)
    about = "print how many runs, hours and how much memory the comparison needs, and stop"
    parser.add_argument("--plan", action="store_true", help=about)
    folder = Path("runs/rules")
    parser.add_argument("--out", type=lambda text: Path(name(text)), default=folder)
    options = parser.parse_args(arguments)
    options.rules = list(RULES) if options.rules == "all" else names(options.rules, parser)
    return options


@contextmanager
def executor(options: argparse.Namespace) -> Iterator[Executor | int | None]:
    """Yield the executor that runs the trials: workers on this machine, a dask cluster, or Slurm.

    Raises
    ------
    ImportError
        If what that takes is not installed.
    """
    if options.dask:
        with _extra("distributed").Client(options.dask) as client:
            yield client
    elif options.slurm is not None:
        slurm = _extra("submitit").AutoExecutor(folder=options.out / "slurm")
        parts = [part.split("=", 1) for part in options.slurm.split(",") if part]
        if not all(len(part) == 2 for part in parts):
            raise ValueError(f"expected --slurm as KEY=VALUE,..., got {options.slurm}")
        given = {key: _number(value) for key, value in parts}
        slurm.update_parameters(**{"cpus_per_task": options.threads or 1} | given)
        yield slurm
    else:
        yield options.workers


def _extra(module: str, how: str = EXTRA) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(f"expected {module} to be installed: {how}") from error


def _number(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def variants(rule: str, scales: Sequence[float]) -> Variants:
    """Return a rule, or one for each scale of its random matrices; scale 1 is the rule as it is."""
    if rule not in SCALED:
        return RULES[rule]
    return {
        "" if scale == 1 else f"scale {scale:.15g}": partial(SCALED[rule], scale)
        for scale in scales
    }


def names(text: str, parser: argparse.ArgumentParser) -> list[str]:
    """Return the rules of a list with commas."""
    found = text.split(",")
    if not set(found) <= set(RULES):
        parser.error(f"expected --rules among {', '.join(RULES)}, got {text}")
    return found


def floats(text: str) -> tuple[float, ...]:
    """Return the numbers of a list with commas."""
    return tuple(positive(part) for part in text.split(","))


def splits(
    data: str, limit: int | None = None, held_out: int | None = None, classes: int = 10
) -> tuple[Data, Data, Data]:
    """Return standardized splits for training, validation and test.

    There are `held_out` validation images, by default a fifth of `limit`.

    Raises
    ------
    ValueError
        If there are too few images.
    """
    limit = limit or (DIGITS_LIMIT if data == DIGITS else LIMIT)
    held_out = held_out or limit // 5
    if data == "synthetic":
        images, labels = eln.data.make_shapes(limit + held_out, seed=0)
        test = eln.data.make_shapes(2000, seed=1)
    else:
        (images, labels), test = _loaded(data, classes)
    if limit + held_out > len(images):
        raise ValueError(
            f"expected --limit and --validation of at most {len(images)} images in total, got"
            f" {limit} and {held_out}"
        )
    end = limit + held_out
    train, validation = (images[:limit], labels[:limit]), (images[limit:end], labels[limit:end])
    x = eln.data.standardize(train[0], validation[0], test[0])
    return (x[0], train[1]), (x[1], validation[1]), (x[2], test[1])


def _loaded(data: str, classes: int) -> tuple[Data, Data]:
    """Return the training and test images of a data set."""
    if data == DIGITS:
        found = _extra("sklearn.datasets", "pip install 'elunet[sklearn]'").load_digits()
        images, labels = found.images[..., None].astype(np.float32), found.target
        return (images[:-DIGITS_TEST], labels[:-DIGITS_TEST]), (
            images[-DIGITS_TEST:],
            labels[-DIGITS_TEST:],
        )
    if any(Path(data).glob("*idx3-ubyte*")):
        try:
            return eln.data.load_mnist(data)
        except ValueError as one:
            try:
                return eln.data.load_fashion_mnist(data)
            except ValueError as other:
                raise ValueError(
                    f"expected {data} with MNIST or Fashion-MNIST, got neither. {one}. {other}"
                ) from other
    return (eln.data.load_cifar100 if classes == 100 else eln.data.load_cifar10)(data)


def plot(result: eln.Comparison, folder: Path) -> None:
    """Draw the accuracies, the sweeps, the learning curves, and each rule's angles."""
    eln.plots.accuracies(result, folder / "accuracies.png")
    eln.plots.sweeps(result, folder / "sweeps.png")
    found = {rule: result.histories(rule) for rule in result.rules}
    curves = {rule: histories for rule, histories in found.items() if histories}
    reason = f"because {folder} has no histories of"  # it is a copy without, or all runs diverged
    if curves:
        eln.plots.compare_curves(curves, file=folder / "curves.png")
        if lost := [rule for rule in found if rule not in curves]:
            print(f"curves.png is without {', '.join(lost)}, {reason} their final runs")
    else:
        print(f"no curves are drawn, {reason} the final runs")
    for rule in result.rules:
        rows = [row for row in result.angles(rule) if row.quantity == "gradient"]
        if rows and rule != "backprop":
            eln.plots.angles(rows, file=folder / f"angles-{rule}.png")
