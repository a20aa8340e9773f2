"""Train the ELU paper's 11-layer network, or a case of the 2018 article, on a CPU.

Without options it trains on pictures that it makes itself and needs no download:

    python examples/cifar_elu11.py
    python examples/cifar_elu11.py --data download --epochs 15 --out runs/cifar
    python examples/cifar_elu11.py --case d --data path/to/cifar10 --epochs 6 --out runs/d

After each epoch it brings history.csv, curves.png and weights.safetensors in --out up to date; at
the end it writes summary.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import sys
import time
from pathlib import Path

import numba
import numpy as np

import elunet as eln
from elunet.checkpoint import write_atomically
from elunet.recipes import RECIPES, Recipe

Split = tuple[np.ndarray, np.ndarray]

SYNTHETIC_TRAIN, SYNTHETIC_TEST, SYNTHETIC_EPOCHS = 5000, 2000, 4


def main() -> int:
    """Run the job that the command line asks for; return the exit code."""
    options = parse()
    try:
        return run(options)
    except eln.DivergenceError as error:
        print(f"stopped: {error}", file=sys.stderr)
    except OSError as error:
        print(f"cannot go on: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"interrupted; complete epochs are in {options.out}", file=sys.stderr)
        return 130
    return 1


def run(options: argparse.Namespace) -> int:
    """Train, test, and write what happened."""
    options.out.mkdir(parents=True, exist_ok=True)
    if options.threads:
        eln.set_num_threads(options.threads)
    recipe = RECIPES[options.case]
    (x_train, y_train), (x_test, y_test) = load(options)
    epochs = options.epochs or default_epochs(recipe, options)
    steps = -(-len(x_train) // recipe.batch_size)

    print(f"elunet {eln.__version__}, case {options.case}: {recipe.about}")
    print(
        f"{len(x_train):,} pictures to train on, {len(x_test):,} to test on ({options.data});"
        f" {epochs} epochs of {steps} steps, {eln.get_num_threads()} threads"
    )
    if (options.out / "history.csv").exists():
        print(f"the run that is in {options.out} will be replaced")
    print("compiling kernels (a few seconds, once) and timing a step ...", flush=True)
    seconds = seconds_per_epoch(recipe, steps, len(x_test))
    print(f"about {duration(seconds * epochs)} to go, {duration(seconds)} an epoch", flush=True)

    begin = time.perf_counter()
    x_train, x_test = recipe.prepare(x_train, x_test)
    trainer = eln.Trainer(
        recipe.network(options.seed),
        eln.losses.SoftmaxCrossEntropy(),
        recipe.optimizer(epochs, steps),
        recipe.router(options.seed),
        batch_size=recipe.batch_size,
        augment=recipe.augment,
        callbacks=[*recipe.callbacks(epochs), Files(options), Report(epochs)],
        seed=options.seed,
    )
    trainer.fit((x_train, y_train), (x_test, y_test), epochs)
    summary = summarize(options, trainer, time.perf_counter() - begin, len(x_train))
    content = json.dumps(summary, indent=2, allow_nan=False) + "\n"
    write_atomically(options.out / "summary.json", content.encode())
    print(f"test accuracy {100 * trainer.history[-1].validation_accuracy:.2f} %")
    names = ("curves.png", "history.csv", "summary.json", "weights.safetensors")
    print("files: " + ", ".join(str(options.out / name) for name in names))
    return 0


class Files(eln.Callback):
    """Keeps what is written to --out up to date, epoch by epoch."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.out, self.title = options.out, f"ELU-11, case {options.case}"
        self.history = eln.HistoryFile(self.out / "history.csv")

    def on_epoch_end(self, trainer: eln.Trainer, row: eln.Epoch) -> None:
        """Write weights, history and curves."""
        eln.save(trainer.net, self.out / "weights.safetensors")
        try:
            self.history.on_epoch_end(trainer, row)
            eln.plots.curves(trainer.history, self.out / "curves.png", self.title, "test")
        except OSError as error:  # a table that is open in another program; the next epoch retries
            trainer.log(f"could not write history or curves this time: {error}")


class Report(eln.Callback):
    """Prints a line after each epoch."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_epoch_end(self, trainer: eln.Trainer, row: eln.Epoch) -> None:
        """Print losses, accuracies and speed."""
        trainer.log(
            f"epoch {row.epoch:3d}/{self.epochs}"
            f"  train loss {row.train_loss:.4f} accuracy {row.train_accuracy:.4f}"
            f"  test loss {row.validation_loss:.4f} accuracy {row.validation_accuracy:.4f}"
            f"  {row.pictures_per_s:.0f} pictures/s"
        )


def parse() -> argparse.Namespace:
    """Read the command line; leave with a message where it asks for what is not there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cases = ["quick", "paper", "a", "b", "c", "d", "e"]
    parser.add_argument("--case", choices=cases, default="quick", help="default: quick")
    parser.add_argument(
        "--data",
        default="synthetic",
        metavar="synthetic|DIR|download",
        help="made pictures (default), CIFAR-10 in its official layout, or fetched",
    )
    parser.add_argument("--epochs", type=positive, metavar="N", help="default: the recipe's")
    parser.add_argument(
        "--limit", type=positive, metavar="N", help="use at most N pictures of each split"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/elu11"), metavar="DIR", help="default: runs/elu11"
    )
    parser.add_argument("--resume", metavar="DIR", help="go on with a run (not there yet)")
    parser.add_argument("--threads", type=positive, metavar="N", help="default: all cores")
    options = parser.parse_args()
    if options.resume:
        parser.error("--resume is not there yet")
    if options.seed < 0:
        parser.error(f"argument --seed: expected an integer of at least 0, got {options.seed}")
    return options


def positive(text: str) -> int:
    """Read an integer of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text!r}")
    return int(text)


def load(options: argparse.Namespace) -> tuple[Split, Split]:
    """Return (train, test) as uint8 pictures and labels, at most --limit of each."""
    if options.data == "synthetic":
        train = eln.data.make_shapes(SYNTHETIC_TRAIN, seed=0)
        test = eln.data.make_shapes(SYNTHETIC_TEST, seed=1)
    else:
        download = options.data == "download"
        try:
            train, test = eln.data.load_cifar10(None if download else options.data, download)
        except (OSError, ValueError, RuntimeError) as error:
            sys.exit(f"--data {options.data}: {error}")
    limit = options.limit
    return (train[0][:limit], train[1][:limit]), (test[0][:limit], test[1][:limit])


def default_epochs(recipe: Recipe, options: argparse.Namespace) -> int:
    """Return how long to train if nobody says: the made pictures need few epochs."""
    short = options.data == "synthetic" and options.case == "quick"
    return SYNTHETIC_EPOCHS if short else recipe.epochs


def seconds_per_epoch(recipe: Recipe, steps: int, test_count: int) -> float:
    """Estimate from steps of a network of the same kind, which compile the kernels as well."""
    net, optimizer = recipe.network(0), recipe.optimizer(1, 1)
    loss, router = eln.losses.SoftmaxCrossEntropy(), recipe.router(0)
    x = np.zeros((recipe.batch_size, 32, 32, 3), np.float32)
    y = np.zeros(len(x), int)
    train_times, test_times = [], []
    for _ in range(3):
        begin = time.perf_counter()
        _, dy = loss(net.forward(x, train=True), y)
        router.backward(net, dy, y)
        optimizer.step(net, router)
        train_times.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        net.forward(x)
        test_times.append(time.perf_counter() - begin)
    return steps * min(train_times) + test_count / len(x) * min(test_times)


def summarize(
    options: argparse.Namespace, trainer: eln.Trainer, seconds: float, pictures: int
) -> dict[str, str | int | float | None]:
    """Return the run in a flat dictionary; seconds per epoch are without the test."""
    last = trainer.history[-1]
    return {
        "case": options.case,
        "data": Path(options.data).name,
        "seed": options.seed,
        "epochs": last.epoch,
        "steps": last.step,
        "train_pictures": pictures,
        "train_loss": last.train_loss,
        "train_accuracy": last.train_accuracy,
        "test_loss": last.validation_loss,
        "test_accuracy": last.validation_accuracy,
        "parameters": sum(value.size for value in trainer.net.parameters().values()),
        "seconds": round(seconds, 1),
        "seconds_per_epoch": round(float(np.median(trainer.history.column("seconds"))), 2),
        "pictures_per_s": round(float(np.median(trainer.history.column("pictures_per_s"))), 1),
        "peak_memory_mb": peak_memory_mb(),
        "threads": eln.get_num_threads(),
        "command": shlex.join(["python", "examples/cifar_elu11.py", *sys.argv[1:]]),
        "versions": f"elunet {eln.__version__}, Python {platform.python_version()},"
        f" numpy {np.__version__}, numba {numba.__version__}",
    }


def peak_memory_mb() -> float | None:
    """Return the process's peak resident memory in MB, where the system tells."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)


def duration(seconds: float) -> str:
    """Say a time in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


if __name__ == "__main__":
    sys.exit(main())
