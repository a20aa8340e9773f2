"""Train the ELU paper's 11-layer network, or a case of the 2018 article, on a CPU.

Without options it trains on pictures that it makes itself and needs no download:

    python examples/cifar_elu11.py
    python examples/cifar_elu11.py --data download --epochs 15 --out runs/cifar
    python examples/cifar_elu11.py --case d --data path/to/cifar10 --epochs 6 --out runs/d
    python examples/cifar_elu11.py --resume runs/d

After each epoch it brings history.csv, curves.png, weights.safetensors and the checkpoints in --out
up to date; at the end it writes summary.json. A run that was cut, by Ctrl-C, a crash or a power
cut, goes on with --resume as if it had not been.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import shlex
import shutil
import signal
import sys
import time
from pathlib import Path

import numba
import numpy as np

import elunet as eln
from elunet.experiments.recipes import RECIPES, Recipe
from elunet.storage.files import write_atomically
from elunet.train import runs

Split = tuple[np.ndarray, np.ndarray]

SYNTHETIC_TRAIN, SYNTHETIC_TEST, SYNTHETIC_EPOCHS = 5000, 2000, 4
CHECKPOINTS, BEFORE = "checkpoints", "checkpoints-before"
DEFAULTS = {"case": "quick", "data": "synthetic", "limit": None, "seed": 0}


def main() -> int:
    """Run the job that the command line asks for; return the exit code."""
    options = parse()
    try:
        return run(options)
    except eln.DivergenceError as error:
        print(f"stopped: {error}", file=sys.stderr)
    except OSError as error:
        print(f"cannot go on: {error}", file=sys.stderr)
    except eln.Interrupted as error:
        name = signal.Signals(error.signal).name
        print(
            f"{name}: left after step {error.step}, and saved. To go on:\n  {again(options)}",
            file=sys.stderr,
        )
        return 128 + error.signal
    except KeyboardInterrupt:
        print(f"interrupted; to go on:\n  {again(options)}", file=sys.stderr)
        return 130
    return 1


def run(options: argparse.Namespace) -> int:
    """Train, test, and write what happened."""
    saved = checkpoint_to_resume(options) if options.resume else None
    complete(options, saved)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.threads:
        eln.set_num_threads(options.threads)
    recipe = RECIPES[options.case]
    (x_train, y_train), (x_test, y_test) = load(options)
    epochs = options.epochs or default_epochs(recipe, options)
    steps = -(-len(x_train) // recipe.batch_size)
    facts = {
        "case": options.case,
        "seed": options.seed,
        "limit": options.limit,
        "epochs": epochs,
        "data": options.data,
        "pictures": sha256(x_train, y_train, x_test, y_test),
    }

    print(f"elunet {eln.__version__}, case {options.case}: {recipe.about}")
    print(
        f"{len(x_train):,} pictures to train on, {len(x_test):,} to test on ({options.data});"
        f" {epochs} epochs of {steps} steps, {eln.get_num_threads()} threads"
    )
    check_same_run(options, saved, facts)
    if saved and saved["epochs"] == epochs and finished(options.out):
        print(f"this run is finished: {epochs} epochs; nothing to do")
        return conclude(options, saved["history"][-1])
    if not saved:
        make_room(options.out)
    print("compiling kernels (a few seconds, once) and timing a step ...", flush=True)
    seconds = seconds_per_epoch(recipe, steps, len(x_test))
    left = epochs - (saved["epochs"] if saved else 0)
    print(f"about {duration(seconds * left)} to go, {duration(seconds)} an epoch", flush=True)

    begin = time.perf_counter()
    x_train, x_test = recipe.prepare(x_train, x_test)
    files = Files(options)
    trainer = eln.Trainer(
        recipe.network(options.seed),
        eln.losses.SoftmaxCrossEntropy(),
        recipe.optimizer(epochs, steps),
        recipe.router(options.seed),
        batch_size=recipe.batch_size,
        augment=recipe.augment,
        callbacks=[
            *recipe.callbacks(epochs),
            files,
            Report(epochs),
            eln.Checkpoints(
                options.out / CHECKPOINTS, minutes=options.minutes, best="validation_accuracy"
            ),
        ],
        seed=options.seed,
        recipe=facts,
    )
    if saved:
        # Where the data are is no part of what they are; that has been compared above.
        trainer.resume(saved["file"], allow=["recipe", *saved["made"]])
        for other in runs.other_versions(saved["made"]):
            print(f"note: the run began with {other}: the last bits may come out otherwise")
        print(f"going on after step {saved['step']}, with {saved['epochs']} epochs complete")
    before = trainer.seconds
    trainer.fit((x_train, y_train), (x_test, y_test), epochs)
    if not (options.out / "weights.safetensors").exists():  # resumed from elsewhere, or cut late
        files.on_epoch_end(trainer, trainer.history[-1])
    total = before + time.perf_counter() - begin
    summary = summarize(options, trainer, total, len(x_train))
    content = json.dumps(summary, indent=2, allow_nan=False) + "\n"
    write_atomically(options.out / "summary.json", content.encode())
    return conclude(options, trainer.history[-1])


def conclude(options: argparse.Namespace, last: eln.Epoch) -> int:
    """Say how it went and where the files are."""
    print(f"test accuracy {100 * last.validation_accuracy:.2f} %")
    names = ("curves.png", "history.csv", "summary.json", "weights.safetensors")
    print("files: " + ", ".join(str(options.out / name) for name in names))
    return 0


def again(options: argparse.Namespace) -> str:
    """Return the command that goes on."""
    extra = [] if options.threads is None else ["--threads", str(options.threads)]
    extra += [] if options.minutes is None else ["--minutes", f"{options.minutes:g}"]
    words = ["--resume", str(options.out), "--out", str(options.out), *extra]
    return shlex.join(["python", "examples/cifar_elu11.py", *words])


def checkpoint_to_resume(options: argparse.Namespace) -> dict | None:
    """Return what the checkpoint that --resume means says of itself; None if there is none yet."""
    place = Path(options.resume)
    inside = place / CHECKPOINTS
    if options.out is None:
        options.out = place if inside.is_dir() else Path("runs/elu11")
    if inside.is_dir():
        if not any(inside.glob("*.safetensors")):
            print(f"{place} has no checkpoint yet; beginning from the start")
            return None
        place = inside
    try:
        saved = {"file": place, **runs.about(place)}
    except (OSError, ValueError) as error:
        sys.exit(f"--resume {options.resume}: {error}".replace("Trainer.resume: ", ""))
    if saved["recipe"].get("case") not in RECIPES:
        sys.exit(
            f"--resume {options.resume}: expected {place} as a checkpoint of this job, got another"
            " run's"
        )
    return saved


def complete(options: argparse.Namespace, saved: dict | None) -> None:
    """Fill in the options that were not given: those of the run, or else the defaults."""
    options.given = {name for name in (*DEFAULTS, "epochs") if getattr(options, name) is not None}
    options.out = options.out or Path("runs/elu11")
    known = DEFAULTS | {"epochs": None} | (saved["recipe"] if saved else {})
    for name in (*DEFAULTS, "epochs"):
        if name not in options.given:
            setattr(options, name, known[name])


def check_same_run(options: argparse.Namespace, saved: dict | None, facts: dict) -> None:
    """Leave with a list of the differences if --resume is asked to go on with another run."""
    if saved is None:
        return
    names = {"case": "--case", "seed": "--seed", "limit": "--limit", "epochs": "--epochs"}
    names["pictures"] = f"--data {options.data}, by its pictures' SHA-256"
    theirs = saved["recipe"]
    found = [
        f"  {option}: expected {theirs.get(name)}, got {facts[name]}"
        for name, option in names.items()
        if theirs.get(name) != facts[name]
    ]
    if found:
        sys.exit(
            f"--resume {options.resume}: expected the options of that run, got differences:\n"
            + "\n".join(found)
        )


def finished(out: Path) -> bool:
    """Whether everything that a run writes is there."""
    names = ("summary.json", "history.csv", "weights.safetensors")
    return all((out / name).exists() for name in names)


def make_room(out: Path) -> None:
    """Move an earlier run's checkpoints aside: a forgotten --resume should cost nobody a run."""
    if not (out / "history.csv").exists() and not (out / CHECKPOINTS).exists():
        (out / CHECKPOINTS).mkdir()
        return
    if (out / CHECKPOINTS).exists() and any((out / CHECKPOINTS).iterdir()):
        shutil.rmtree(out / BEFORE, ignore_errors=True)
        (out / CHECKPOINTS).rename(out / BEFORE)
        print(
            f"the run that is in {out} will be replaced; its checkpoints are in {out / BEFORE} now"
        )
    else:
        print(f"the run that is in {out} will be replaced")
    (out / CHECKPOINTS).mkdir(exist_ok=True)
    for name in ("summary.json", "weights.safetensors"):
        (out / name).unlink(missing_ok=True)


def sha256(*arrays: np.ndarray) -> str:
    """Return what tells data apart, in a short form."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


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
        spikes = f"  {row.spikes} loss spikes" if row.spikes else ""
        trainer.log(
            f"epoch {row.epoch:3d}/{self.epochs}"
            f"  train loss {row.train_loss:.4f} accuracy {row.train_accuracy:.4f}"
            f"  test loss {row.validation_loss:.4f} accuracy {row.validation_accuracy:.4f}"
            f"  {row.pictures_per_s:.0f} pictures/s{spikes}"
        )


def parse() -> argparse.Namespace:
    """Read the command line; leave with a message where it asks for what is not there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cases = ["quick", "paper", "a", "b", "c", "d", "e"]
    parser.add_argument("--case", choices=cases, help="default: quick")
    parser.add_argument(
        "--data",
        metavar="synthetic|DIR|download",
        help="made pictures (default), CIFAR-10 in its official layout, or fetched",
    )
    parser.add_argument("--epochs", type=positive, metavar="N", help="default: the recipe's")
    parser.add_argument(
        "--limit", type=positive, metavar="N", help="use at most N pictures of each split"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="default: 0")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: runs/elu11")
    parser.add_argument(
        "--resume",
        metavar="DIR",
        help="go on with the run in DIR; its options need not be repeated, and --out is DIR too",
    )
    parser.add_argument("--threads", type=positive, metavar="N", help="default: all cores")
    parser.add_argument(
        "--minutes", type=float, metavar="M", help="save every M minutes, not only after an epoch"
    )
    options = parser.parse_args()
    if options.seed is not None and options.seed < 0:
        parser.error(f"argument --seed: expected an integer of at least 0, got {options.seed}")
    if options.minutes is not None and not options.minutes > 0:
        parser.error(f"argument --minutes: expected a number above 0, got {options.minutes}")
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
