"""Kill a run again and again, resume it each time, and see that nothing was lost.

    python tests/kill.py --kills 50

A child process trains a small network with dropout, augmentation, running statistics, a rule that
draws and learns backward weights of its own (Kolen-Pollack), a callback that changes the learning
rate within epochs, `ReduceOnPlateau`, and `EarlyStopping`. It saves every third step,
slowly: each save is written in pieces with pauses between them. The parent kills it (SIGKILL) at a
random moment, starts it again with `Trainer.resume`, and so on; at last it lets it finish. Then
weights, states, learning rate and history have to equal those of a run that nobody touched, to the
bit, and no resume may have begun before the last complete save.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
PAUSE = 0.004  # seconds, at several places of each save
FINAL, LOCK = "final.txt", ".lock"


def child(folder: Path, epochs: int) -> None:
    """Train, from the folder's checkpoint if there is one, and say on standard output what is."""
    import small_runs as runs

    import elunet as eln

    eln.set_num_threads(1)
    slow_down_saves()

    class Tell(eln.Trainer):
        def save(self, path, best=False):
            file = super().save(path, best)
            print(f"saved {self.optimizer.steps}", flush=True)
            return file

    class Falling(eln.Callback):
        """Changes the learning rate each seventh step."""

        def on_step(self, trainer, loss):
            if trainer.optimizer.steps % 7 == 0:
                trainer.optimizer.lr *= 0.95

    def rule():
        learned = eln.routers.Mixed(
            {"conv*": eln.routers.SignSymmetry("batchwise"), "*": eln.routers.KolenPollack(seed=1)}
        )
        return eln.routers.GradientNoise(learned, seed=2)

    runs.build(router=rule).fit(runs.blobs())  # kernels are loaded now, not in the first step
    saving = [eln.Checkpoints(folder, steps=3), eln.HistoryFile(folder / "history.csv")]
    stopping = eln.EarlyStopping(patience=max(3, epochs // 2), min_delta=0.1, restore_best=True)
    changing = [Falling(), eln.ReduceOnPlateau("train_loss", 0.9, patience=1), stopping]
    trainer = runs.build(router=rule, callbacks=[*saving, *changing], kind=Tell)
    if (folder / "latest.safetensors").exists():
        trainer.resume(folder)
    print(f"at {trainer.optimizer.steps}", flush=True)
    x, y = runs.blobs()
    done = len(trainer.fit((x, y), (x[:20], y[:20]), epochs=epochs))
    end = "complete" if done == epochs else f"stopped early, after epoch {done}"
    content = runs.everything(trainer, times=False)
    about = f"{end} at learning rate {trainer.optimizer.lr!r}"
    (folder / FINAL).write_text(f"{about}\n{content}", encoding="utf-8")


def slow_down_saves() -> None:
    """Write files in pieces, and take time before each step of a save."""

    def late(function):
        def call(*arguments, **options):
            time.sleep(PAUSE)
            return function(*arguments, **options)

        return call

    real = os.fdopen

    def fdopen(*arguments, **options):
        stream = real(*arguments, **options)
        return Pieces(stream) if "w" in arguments[1] else stream

    os.fdopen = fdopen
    for name in ("fsync", "replace", "link"):
        setattr(os, name, late(getattr(os, name)))


class Pieces:
    """A file that is written slowly."""

    def __init__(self, stream):
        self.stream = stream

    def __enter__(self):
        return self

    def __exit__(self, *arguments):
        self.stream.close()

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def write(self, content):
        size = max(1, len(content) // 6)
        for start in range(0, len(content), size):
            self.stream.write(content[start : start + size])
            self.stream.flush()
            time.sleep(PAUSE)


@dataclass
class Report:
    """What came of it."""

    kills: int = 0
    during_saves: int = 0
    lost: int = 0  # resumes that began before the last complete save, or failed
    steps: list[int] = field(default_factory=list)  # at which the run was resumed
    where: Counter[str] = field(default_factory=Counter)  # what a kill in a save left behind
    same: bool = False
    end: str = ""  # of the run that was killed
    text: str = ""


def start(folder: Path, epochs: int) -> subprocess.Popen[str]:
    """Start the child."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
    command = [sys.executable, __file__, "--child", str(folder), "--epochs", str(epochs)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def finish(folder: Path, epochs: int) -> str:
    """Let a run go to its end and return its content."""
    process = start(folder, epochs)
    process.communicate()
    return (folder / FINAL).read_text("utf-8") if process.returncode == 0 else ""


def torture(kills: int, epochs: int, longest: float, seed: int = 0) -> Report:
    """Run the test: each kill comes up to three saves and `longest` seconds after a start."""
    rng, report, saved = random.Random(seed), Report(), 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        folder.mkdir()
        while report.kills < kills:
            process = start(folder, epochs)
            assert process.stdout is not None
            word, _, number = process.stdout.readline().partition(" ")
            if word != "at" or int(number) < saved:
                report.lost += 1
                report.text += f"after kill {report.kills}: {word} {number}, saved {saved}\n"
                process.kill()
                process.communicate()
                break
            report.steps.append(int(number))
            lines = [process.stdout.readline() for _ in range(rng.randrange(4))]  # saves to see
            time.sleep(rng.uniform(0, longest))
            if process.poll() is not None:
                report.text += f"finished after {report.kills} kills\n"
                break
            process.send_signal(signal.SIGKILL)
            lines = "".join([*lines, process.communicate()[0]]).splitlines()
            complete = [line for line in lines if line.startswith("saved ") and line[6:].isdigit()]
            saved = max([saved, *(int(line[6:]) for line in complete)])
            report.kills += 1
            left = [file.name for file in folder.iterdir() if file.name.startswith(".")]
            left = [name for name in left if name != LOCK]
            assert len(left) < 3, left  # each life sweeps up after the one before
            report.during_saves += bool(left)
            report.where.update(file.split(".")[1] for file in left)
        other = Path(name) / "alone"
        other.mkdir()
        got, expected = finish(folder, epochs), finish(other, epochs)
        report.same, report.end = bool(got) and got == expected, got.partition("\n")[0]
    return report


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=60, help="length of the run, of 5 steps each")
    parser.add_argument("--longest", type=float, default=0.3, help="seconds after a save")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.epochs)
        return 0
    report = torture(options.kills, options.epochs, options.longest, options.seed)
    print(report.text, end="")
    print(f"kills: {report.kills}, of which during a save: {report.during_saves}")
    print(f"left half-written: {dict(report.where)}")
    print(f"resumed at steps: {report.steps}")
    print(f"lost: {report.lost}")
    print(f"the run: {report.end}")
    print(f"equal to the run that nobody touched, bit for bit: {report.same}")
    return 0 if report.same and not report.lost and report.kills == options.kills else 1


if __name__ == "__main__":
    sys.exit(main())
