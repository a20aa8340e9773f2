"""Train the ELU paper's 11-layer network, or a case of the 2018 article, on a CPU.

Without options it trains on images that it makes itself and needs no download:

    elunet train
    elunet train --data download --epochs 15 --out runs/cifar
    elunet train --case d --data path/to/cifar10 --epochs 6 --out runs/d
    elunet train --resume runs/d
    mpirun -n 4 elunet train --distributed --threads 1

After each epoch it brings history.csv, curves.png, weights.safetensors and the checkpoints in --out
up to date; at the end it writes summary.json. A run that was interrupted, by Ctrl-C, a crash or a
power cut, continues with --resume as if it had not been.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import elunet as eln
from elunet._progress import duration, leave_quietly
from elunet._progress import say as _say
from elunet.commands._parser import integer, make_parser, name
from elunet.experiments.recipes import RECIPES
from elunet.storage.fingerprints import sha256

SYNTHETIC_TRAIN, SYNTHETIC_TEST, SYNTHETIC_EPOCHS = 5000, 2000, 4
DEFAULTS = {"case": "quick", "data": "synthetic", "limit": None, "seed": 0, "epochs": None}
OUT, COMMAND = Path("runs/elu11"), ("elunet", "train")


def main(arguments: Sequence[str] | None = None, command: Sequence[str] = COMMAND) -> int:
    """Run the job that the command line asks for; return the exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.
    command : sequence of str
        How it was called, for the line that continues a run.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse(arguments, command)
    options.group = None
    try:
        return run(options)
    except SystemExit as error:
        if options.group is None or error.code is None:
            raise
        _say(str(error.code), sys.stderr)
        options.group.abort()  # the others may wait for this one
    except eln.DivergenceError as error:
        _say(f"stopped: {error}", sys.stderr)
    except OSError as error:
        _say(f"cannot continue: {error}", sys.stderr)
        if options.group is not None:
            options.group.abort()
    except KeyboardInterrupt as error:
        how, code = "interrupted; to continue:", 130
        if isinstance(error, eln.Interrupted):
            how = f"{error.name}: stopped after step {error.step}, and saved. To continue:"
            code = 128 + error.signal
        more = [("--threads", options.threads), ("--minutes", options.minutes)]
        given = [text for flag, value in more if value for text in (flag, f"{value:g}")]
        again = ["--resume", str(options.out), "--out", str(options.out), *given]
        job = getattr(options, "job", None)
        if job is None or not job.begun:  # nothing is there yet
            again = [*arguments]
        if options.group is None or options.group.rank == 0:
            _say(f"{how}\n  {shlex.join([*command, *again])}", sys.stderr)
        return code
    finally:
        leave_quietly()
    return 1


def run(options: argparse.Namespace) -> int:
    """Train, test, and print the results."""
    if options.threads:
        eln.set_num_threads(options.threads)
    group = options.group = eln.distributed.Group() if options.distributed else None
    job = options.job = find_job(options)
    say = _say if group is None or group.rank == 0 else _keep_quiet
    recipe, (train, test) = RECIPES[options.case], load(options)
    if options.epochs is None:  # shapes need few
        short = options.data == "synthetic" and options.case == "quick"
        options.epochs = SYNTHETIC_EPOCHS if short else recipe.epochs
    epochs, count = options.epochs, len(train[0])
    say(f"elunet {eln.__version__}, case {options.case}: {recipe.about}")
    say(
        f"{count:,} training images, {len(test[0]):,} test images ({options.data});"
        f" {epochs} epochs of {recipe.steps(count)} steps, {eln.get_num_threads()} threads"
        + (f" in each of {group.size} processes" if group else "")
    )
    settings = {option: getattr(options, option) for option in DEFAULTS}
    settings["images"] = sha256(*train, *test)[:16]
    if found := job.differences(settings, allow=["data"]):
        labels = {"images": f"data {options.data} (SHA-256 of its images)"}
        lines = [f"\n  --{labels.get(n, n)}: expected {a}, got {b}" for n, (a, b) in found.items()]
        expected = "expected the options of that run, got differences:"
        sys.exit(f"--resume {options.resume}: {expected}{''.join(lines)}")
    if job.saved and job.is_finished(epochs):
        say(f"this run is finished: {epochs} epochs; nothing to do")
        return conclude(job, job.saved.history[-1], say)
    job.prepare(options.overwrite)
    say("compiling kernels (a few seconds, once) and timing a step ...")
    seconds = recipe.seconds_per_epoch(count, len(test[0])) / (group.size if group else 1)
    left = epochs - (len(job.saved.history) if job.saved else 0)
    say(f"about {duration(seconds * left)} left, {duration(seconds)} per epoch")

    report = eln.train.Report(epochs, "test")
    trainer = recipe.trainer(
        count, epochs, options.seed, [report], settings=settings, distributed=group
    )
    more = {"case": options.case, "data": Path(options.data).name, "seed": options.seed}
    more["command"] = options.command
    title = f"ELU-11, case {options.case}"
    draw = partial(eln.plots.curves, title=title, validation="test")
    keep = {"minutes": options.minutes, "best": "validation_accuracy"}
    job.train(trainer, *recipe.prepared(train, test), epochs, draw, more, **keep)
    return conclude(job, trainer.history[-1], say)


def find_job(options: argparse.Namespace) -> eln.Job:
    """Return the job, with the run that --resume means, and fill in the options not given."""
    place = options.resume
    home = None if place is None else eln.Job.folder_of(place)
    told = options.out is not None or home is not None or place is None
    options.out = options.out or home or OUT
    job = eln.Job(options.out, **({"group": options.group} if options.group else {}))
    try:
        saved = None if place is None else job.resume(place)
        if saved and saved.settings.get("case") not in RECIPES:
            raise ValueError(
                f"expected {saved.file} to be a checkpoint of this job, got a checkpoint of"
                " another run"
            )
        if not told:
            raise ValueError("expected a job's folder, or --out DIR for the new files")
    except (OSError, ValueError) as error:
        sys.exit(f"--resume {place}: {error}".replace("Trainer.resume: ", ""))
    for option, default in (DEFAULTS | (saved.settings if saved else {})).items():
        if getattr(options, option, default) is None:
            setattr(options, option, default)
    return job


def conclude(job: eln.Job, last: eln.Epoch, say: Callable[[str], None]) -> int:
    """Print the accuracy and the names of the files."""
    say(f"test accuracy {100 * last.validation_accuracy:.2f} %")
    say("files: " + ", ".join(map(str, job.files)))
    return 0


def _keep_quiet(text: str) -> None:
    """Print nothing: the first process prints."""


def load(options: argparse.Namespace) -> tuple[eln.train.Data, eln.train.Data]:
    """Return (train, test) as uint8 images and labels, at most --limit of each."""
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


def parse(arguments: Sequence[str], command: Sequence[str] = COMMAND) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__, COMMAND, command)
    add, count = parser.add_argument, partial(partial, integer, 1)
    add("--case", choices=list(RECIPES), help="default: quick")
    about = "generated images (default), a folder with CIFAR-10's official files, or a download"
    add("--data", type=name, metavar="synthetic|DIR|download", help=about)
    add("--epochs", type=count(100_000), metavar="N", help="default: as in the recipe")
    add("--limit", type=count(10**9), metavar="N", help="use at most N images of each split")
    add("--seed", type=partial(integer, 0, 2**63), metavar="N", help="default: 0")
    add("--out", type=lambda text: Path(name(text)), metavar="DIR", help=f"default: {OUT}")
    about = "continue the run in DIR; its options need not be repeated, and --out is DIR too"
    add("--resume", type=name, metavar="DIR", help=about)
    about = "move the run in --out to another folder, and start again"
    add("--overwrite", action="store_true", help=about)
    add("--threads", type=count(1024), metavar="N", help="default: all cores")
    about = "train in all processes started by mpirun or srun; each computes some rows of a batch"
    add("--distributed", action="store_true", help=about)
    add(
        "--minutes",
        type=float,
        metavar="M",
        help="also save every M minutes, not only after each epoch",
    )
    options = parser.parse_args(arguments)
    options.command = shlex.join([*command, *arguments])
    if options.minutes is not None and not 0 < options.minutes < float("inf"):
        parser.error(f"argument --minutes: expected a number above 0, got {options.minutes:g}")
    return options
