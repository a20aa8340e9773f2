"""What each bug in the article's manual gradients costs: one added, one removed, at a time.

    python examples/anatomy.py
    python examples/anatomy.py --check
    python examples/anatomy.py --case b --data path/to/cifar10 --rate 10 --epochs 1 --seeds 2

The article is J. D. Seo's of 2018 on the ELU paper's network. Each bug is a class of a few lines
here, none of them is in the package, and a switch puts it into an otherwise correct run; --check
shows what finds it. A run that is finished is kept in --out, and the same command continues after
it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

import elunet as eln
from elunet import testing
from elunet.experiments.recipes import RECIPES, Recipe
from elunet.layers import ELU, Conv2D, Layer, MeanPool2D
from elunet.losses import SoftmaxCrossEntropy
from elunet.models import ARTICLE_WIDTHS
from elunet.optim import Adam, Optimizer, PerLayer
from elunet.routers import DilatedBackprop, Router
from elunet.storage import settings, tables
from elunet.train import Data

POINTS = 25  # of a run's curve of training losses
# Defaults of the command line: synthetic images in two minutes, or a case as it is.
SYNTHETIC = {"case": "d", "width": 0.25, "rate": 10.0, "limit": 5000, "epochs": 2}
GIVEN = {"case": "b", "width": 1.0, "rate": 1.0, "epochs": 1}


# The bugs ----------------------------------------------------------------------------------------


class DoubledELU(ELU):
    """Bug 1: the derivative is [x > 0] + f(min(x, 0)) + 1, so 2 instead of 1 for x > 0."""

    def backward_input(self, dy):
        """Return dx, twice too large where x > 0."""
        (y,) = self.recall()  # y has x's sign, and min(y, 0) is f(min(x, 0))
        return dy * ((y > 0) + np.minimum(y, 0) + 1)


class RepeatedMeanPool2D(MeanPool2D):
    """Bug 2: the backward pass repeats the gradient to all four pixels, without the factor 1/4."""

    def backward_input(self, dy):
        """Return dx, four times too large."""
        return dy.repeat(2, axis=1).repeat(2, axis=2)


class UncorrectedAdam(Adam):
    """Bug 3: m and v are divided by 1 - beta at every step, not by 1 - beta^t."""

    def update(self, w, g, state, lr):
        """Move one parameter: in the long run by 10 / sqrt(1000) of the right step."""
        m, v = state["m"], state["v"]
        m[...] = self.beta1 * m + (1 - self.beta1) * g
        v[...] = self.beta2 * v + (1 - self.beta2) * g**2
        w -= lr * (m / (1 - self.beta1)) / (np.sqrt(v / (1 - self.beta2)) + self.eps)


class SummedCrossEntropy(SoftmaxCrossEntropy):
    """Bug 4: the value is the mean over the batch, its gradient is the sum."""

    def formula(self, prediction, target):
        """Return the value, and the gradient N times too large."""
        value, dy = super().formula(prediction, target)
        return value, dy * len(prediction)


class BareConstant(DilatedBackprop):
    """Bug 5, in case c: to what arrives at the first layer's output, the bare rate is added.

    Nothing is multiplied with it: every number of every image gets the same constant.
    """

    def begin(self, net, dy, target):
        """Find the first activation, where the first layer's gradient arrives."""
        super().begin(net, dy, target)
        self.first = next(node.layer for node in net.nodes if isinstance(node.layer, ELU))

    def arrive(self, layer, dy):
        """Return what reaches a layer's output."""
        dy = super().arrive(layer, dy)
        return dy + dy.dtype.type(self.rate) if layer is self.first else dy


# What finds them ----------------------------------------------------------------------------------


class Routed:
    """A network whose backward pass is a learning rule's, for `check_network`."""

    def __init__(self, net, router):
        self.layers, self.net, self.router = net.layers, net, router
        self.forward, self.parameters, self.gradients = net.forward, net.parameters, net.gradients

    def backward(self, dy):
        """Let the rule fill the gradients."""
        self.router.backward(self.net, dy)


def check_elu():
    """Compare the layer's dx with numeric differences."""
    x = testing.strategies.spread((2, 4, 4, 3), np.random.default_rng(0))
    testing.check_layer(DoubledELU(), x)


def check_pool():
    """Compare the layer's dx with numeric differences."""
    testing.check_layer(RepeatedMeanPool2D(), np.random.default_rng(0).normal(size=(2, 4, 4, 3)))


def check_adam():
    """Compare the optimizer, step by step, with the rule written out."""
    testing.check_optimizer(UncorrectedAdam(1e-3), testing.updates.adam(1e-3))


def check_summed():
    """Compare the loss's dy with numeric differences."""
    rng = np.random.default_rng(0)
    testing.check_loss(SummedCrossEntropy(), rng.normal(size=(100, 10)), rng.integers(0, 10, 100))


def check_constant(router: Router | None = None):
    """Compare a network's gradients; in this one the dilated rule itself adds nothing."""
    parts = [Conv2D(3, 4, 3, bias=False), ELU(), MeanPool2D(), Conv2D(4, 5, 2, bias=False)]
    net = eln.Sequential([*parts, eln.layers.GlobalMeanPool2D()], seed=0)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3, 4, 4, 3)), rng.integers(0, 5, 3)
    router = BareConstant(proportion=0.003, decay=0.9) if router is None else router
    testing.check_network(Routed(net, router), x, y, SoftmaxCrossEntropy())


CHECKS: dict[str, Callable[[], None]] = {
    "elu": check_elu,
    "pool": check_pool,
    "adam": check_adam,
    "summed": check_summed,
    "constant": check_constant,
}


def show_checks():
    """Run every check and print what it says of its bug."""
    for name, check in CHECKS.items():
        try:
            check()
        except testing.GradientCheckError as error:
            print(f"{name}: found by {check.__doc__}\n{error}\n")
        else:
            raise RuntimeError(f"expected the check of {name} to fail, but it passed")


# A run, assembled from switches -------------------------------------------------------------------


@dataclass(frozen=True)
class Bugs:
    """Which bugs a run has; `logits` is none, but a part of the article's network."""

    elu: bool = False  # 1: f' is 2 for x > 0
    pool: bool = False  # 2: mean pooling's gradient without 1/4
    adam: bool = False  # 3: 1 - beta instead of 1 - beta^t
    summed: bool = False  # 4: the loss gradient summed over the batch
    constant: bool = False  # 5: a bare constant in the first layer's gradient, case c's
    logits: bool = False  # an ELU after the last convolution too


@dataclass(frozen=True)
class Setup:
    """What all runs of one grid share."""

    case: str = "b"
    data: str = "synthetic"
    epochs: int = 1
    limit: int | None = None
    rate: float = 1.0  # a factor on the recipe's learning rate
    width: float = 1.0  # a factor on the units of all convolutions but the last


def variants(case: str) -> dict[str, Bugs]:
    """Return the grid by name: correct, with one bug, with all, without one."""
    names = ["elu", "pool", "adam", "summed", *(["constant"] if case == "c" else [])]
    every = Bugs(**dict.fromkeys(names, True))
    return {
        "correct": Bugs(),
        **{f"with-{name}": Bugs(**{name: True}) for name in names},
        "with-logits": Bugs(logits=True),
        "all": every,
        **{f"without-{name}": replace(every, **{name: False}) for name in names},
        "all-logits": replace(every, logits=True),
    }


def recipe_of(setup: Setup, bugs: Bugs) -> Recipe:
    """Return the case's recipe, with those of its parts replaced that a switch asks for."""
    own = RECIPES[setup.case]

    def network(seed: int) -> eln.Network:
        net = own.network(seed) if setup.width == 1 else narrow(setup.case, setup.width, seed)
        layers = [with_bugs(layer, bugs) for layer in net.layers]
        if bugs.logits:
            layers.insert(-1, with_bugs(ELU(), bugs))  # before the mean over the last single pixel
        return eln.Sequential(layers, seed=seed)

    def router(seed: int) -> Router:
        right = own.router(seed)
        if not bugs.constant:
            return right
        return BareConstant(right.dilation, right.proportion, right.decay)

    def optimizer(epochs: int, steps: int) -> Optimizer:
        return optimizer_of(own.optimizer(epochs, steps), bugs, setup.rate)

    loss = SummedCrossEntropy if bugs.summed else own.loss
    return replace(own, network=network, loss=loss, router=router, optimizer=optimizer)


def with_bugs(layer: Layer, bugs: Bugs) -> Layer:
    """Return the layer, or the one with a bug that stands in for it."""
    if bugs.elu and isinstance(layer, ELU):
        return DoubledELU()
    if bugs.pool and isinstance(layer, MeanPool2D):
        return RepeatedMeanPool2D()
    return layer


def optimizer_of(optimizer: Optimizer, bugs: Bugs, rate: float) -> Optimizer:
    """Return the optimizer with the learning rate scaled, and with the bug where it is Adam."""
    if isinstance(optimizer, PerLayer):
        parts = optimizer.optimizers.items()
        return PerLayer({name: optimizer_of(part, bugs, rate) for name, part in parts})
    if bugs.adam and isinstance(optimizer, Adam):
        o = optimizer
        optimizer = UncorrectedAdam(o.lr, o.beta1, o.beta2, o.eps, o.l2, o.l1)
    if rate != 1 and not isinstance(optimizer.lr, Scaled):  # parts may be one object several times
        optimizer.lr = Scaled(optimizer.lr, rate)
    return optimizer


class Scaled:
    """A learning rate or schedule times a factor."""

    def __init__(self, lr, factor):
        self.lr, self.factor, self.per = lr, factor, getattr(lr, "per", "step")

    def __call__(self, time):
        """Return the learning rate at a step or epoch."""
        return self.factor * (self.lr(time) if callable(self.lr) else self.lr)


def narrow(case: str, width: float, seed: int) -> eln.Network:
    """Return a case's network with fewer units, and weights so much larger that signals keep size.

    A unit's sum has `width` times as many terms, so weights grow by 1 / sqrt(width); not the first
    layer's, which has three channels in any case.
    """

    def normal(rng, shape):
        std = 0.05 if shape[-2] == 3 else 0.05 / np.sqrt(width)
        return rng.normal(0.0, std, shape)

    units = [round(width * units) for units in ARTICLE_WIDTHS[case]]
    return eln.models.elu11(
        pool="mean", widths=units, seed=seed, dropout=(0.0,) * 6, bias=False, init=normal
    )


# Training -----------------------------------------------------------------------------------------


@dataclass
class Point:
    """One row of the table of all runs; accuracies and the test stand at the end of a pass."""

    variant: str
    seed: int
    step: int
    train_loss: float  # mean since the row before
    train_accuracy: float | None = None  # mean over the pass
    test_loss: float | None = None
    test_accuracy: float | None = None
    stopped: str = ""  # where a NaN or an infinity was found


class Losses(eln.Callback):
    """Collects the mean loss of every stretch of steps, and the ends of passes."""

    def __init__(self, variant: str, seed: int, every: int) -> None:
        self.variant, self.seed, self.every = variant, seed, every
        self.points: list[Point] = []
        self.recent: list[float] = []

    def on_step(self, trainer, loss):
        """Note the loss."""
        self.recent.append(loss)
        if len(self.recent) == self.every:
            self.note(trainer)

    def on_epoch_end(self, trainer, row):
        """Note the accuracies."""
        if self.recent:
            self.note(trainer)
        last = self.points[-1]
        last.train_accuracy = row.train_accuracy
        last.test_loss, last.test_accuracy = row.validation_loss, row.validation_accuracy

    def note(self, trainer):
        """Add a point."""
        mean = float(np.mean(self.recent))
        self.points.append(Point(self.variant, self.seed, trainer.optimizer.steps, mean))
        self.recent = []


def run(setup: Setup, variant: str, seed: int, train: Data, test: Data) -> list[Point]:
    """Train one variant and return its points; one that breaks ends where it broke."""
    recipe, count = recipe_of(setup, variants(setup.case)[variant]), len(train[0])
    losses = Losses(variant, seed, max(1, recipe.steps(count) * setup.epochs // POINTS))
    trainer = recipe.trainer(count, setup.epochs, seed, [losses], progress=False)
    try:
        trainer.fit(train, test, setup.epochs)
    except eln.DivergenceError as error:
        losses.points.append(Point(variant, seed, error.step, float("nan"), stopped=error.where))
    return losses.points


def run_all(setup: Setup, names: list[str], seeds: int, out: Path) -> list[Point]:
    """Train what is not there yet, a file for each run; return the points of all in the folder."""
    folder = out / "runs"
    folder.mkdir(exist_ok=True)
    wanted = [(name, seed) for seed in range(seeds) for name in names]
    missing = [(n, seed) for n, seed in wanted if not (folder / f"{n}-{seed}.csv").exists()]
    if missing:
        train, test = load(setup)
    for name, seed in missing:
        points = run(setup, name, seed, train, test)
        tables.write(folder / f"{name}-{seed}.csv", Point, points)
        print(f"seed {seed}  {name:16s}  {words(points[-1])}", flush=True)
    order = list(variants(setup.case))
    files = [file for name in order for file in sorted(folder.glob(f"{name}-[0-9]*.csv"))]
    return [point for file in files for point in tables.read("anatomy", file, Point)]


def words(last: Point) -> str:
    """Say how a run ended."""
    if last.stopped:
        return f"stopped after step {last.step}: a NaN or an infinity in {last.stopped}"
    return (
        f"train loss {last.train_loss:.4f} accuracy {last.train_accuracy:.4f}"
        f"  test loss {last.test_loss:.4f} accuracy {last.test_accuracy:.4f}"
    )


def load(setup: Setup) -> tuple[Data, Data]:
    """Return (train, test), with images prepared as the recipe says."""
    if setup.data == "synthetic":
        train, test = eln.data.make_shapes(5000, seed=0), eln.data.make_shapes(1000, seed=1)
    else:
        train, test = eln.data.load_cifar10(setup.data)
    n = setup.limit
    return RECIPES[setup.case].prepared((train[0][:n], train[1][:n]), (test[0][:n], test[1][:n]))


# Table and plot -----------------------------------------------------------------------------------


def table(points: list[Point]) -> str:
    """Return the ends of all runs in Markdown, means over seeds with their range."""
    lines = ["| variant | train loss | test loss | test accuracy |", "|---|---|---|---|"]
    for name in dict.fromkeys(point.variant for point in points):
        ends = list({point.seed: point for point in points if point.variant == name}.values())
        whole = [end for end in ends if not end.stopped]
        cells = ["", "", ""]
        if whole:
            columns = ("train_loss", "test_loss", "test_accuracy")
            cells = [mean_and_range([getattr(end, column) for end in whole]) for column in columns]
        if broken := [str(end.step) for end in ends if end.stopped]:
            note = "NaN after step " + " and ".join(broken)
            cells[0] = f"{note}; else {cells[0]}" if whole else note
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def mean_and_range(values: list[float]) -> str:
    """Return "mean (lowest to highest)", or the value if there is one."""
    mean = f"{np.mean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.3f} to {max(values):.3f})"


def plot(points: list[Point], title: str, file: Path) -> None:
    """Draw the training losses: bugs added to the correct run, and taken from the one with all."""
    from matplotlib.figure import Figure

    chance = np.log(10)
    finite = [point.train_loss for point in points if not point.stopped]
    low, high = min([*finite, chance]), min(max([*finite, chance]), chance + 0.4)
    names = list(dict.fromkeys(point.variant for point in points))
    panels = {
        "one bug added": [n for n in names if n == "correct" or n.startswith("with-")],
        "one bug removed": [n for n in names if n.startswith(("all", "without-"))],
    }
    panels = {panel: members for panel, members in panels.items() if members}
    figure = Figure(figsize=(10, 5.2), dpi=100, layout="constrained")
    row = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (panel, members) in zip(row, panels.items(), strict=True):
        axes.axhline(chance, color="#595959", linewidth=0.8)
        for place, name in enumerate(members):
            curve(axes, [point for point in points if point.variant == name], place, high)
        axes.set(title=panel, xlabel="Step", ylim=(low - 0.03, high + 0.02))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14), "ncols": 2}
        axes.legend(frameon=False, fontsize=8.5, columnspacing=1.2, **place)
    row[0].set_ylabel("Training loss (gray: chance)")
    figure.suptitle(title, fontsize=11)
    figure.savefig(file)


COLORS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 1)))


def curve(axes, points: list[Point], place: int, top: float) -> None:
    """Draw one variant's mean over seeds with its range, and a cross where a run broke."""
    losses: dict[int, list[float]] = {}
    for point in points:
        if not point.stopped:
            losses.setdefault(point.step, []).append(point.train_loss)
    values = list(losses.values())
    style = {"color": COLORS[place % len(COLORS)], "linestyle": DASHES[place % len(DASHES)]}
    broken = sorted({point.step for point in points if point.stopped})
    label = points[0].variant
    if broken:
        label += f" (NaN: {', '.join(map(str, broken))})"
        axes.plot(broken, [top] * len(broken), "X", color=style["color"], markersize=9)
    axes.plot(list(losses), [np.mean(v) for v in values], label=label, linewidth=1.6, **style)
    low, high = [min(v) for v in values], [max(v) for v in values]
    axes.fill_between(list(losses), low, high, color=style["color"], alpha=0.12, linewidth=0)


# The command --------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> None:
    """Run the grid that the command line asks for."""
    options = parse(arguments)
    if options.check:
        show_checks()
        return
    eln.set_num_threads(options.threads)
    setup = Setup(**{f.name: getattr(options, f.name) for f in fields(Setup)})
    known = variants(setup.case)
    names = options.variants or list(known)
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"--variants: expected names among {', '.join(known)}, got {', '.join(unknown)}")
    file = options.out / "setup.json"
    if different := settings.claim(file, asdict(setup)):
        listed = ", ".join(
            f"{name} {there}, not {here}" for name, (there, here) in different.items()
        )
        sys.exit(f"{file} is of another grid, of {listed}; use another --out")
    points = run_all(setup, names, options.seeds, options.out)
    tables.write(options.out / "anatomy.csv", Point, points)
    plot(points, options.title or str(setup), options.out / "anatomy.png")
    print(f"\n{table(points)}\n\nfiles: {options.out / 'anatomy.csv'}, anatomy.png, runs/")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="only show what finds each bug")
    parser.add_argument("--case", choices=list("bcde"), help="default: b")
    parser.add_argument(
        "--data",
        default="synthetic",
        metavar="synthetic|DIR",
        help="synthetic images (default; then case d, narrow, at 10 times the rate), or CIFAR-10",
    )
    parser.add_argument("--epochs", type=positive, metavar="N", help="default: 1")
    parser.add_argument("--limit", type=positive, metavar="N", help="at most N images of a split")
    parser.add_argument("--rate", type=float, metavar="FACTOR", help="on the learning rates")
    parser.add_argument("--width", type=float, metavar="FACTOR", help="on the units")
    parser.add_argument("--seeds", type=positive, default=1, metavar="N", help="default: 1")
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="default: all of the grid")
    parser.add_argument("--title", default="", help="of the plot")
    parser.add_argument("--threads", type=positive, default=1, metavar="N", help="default: 1")
    parser.add_argument("--out", type=Path, default=Path("runs/anatomy"), metavar="DIR")
    options = parser.parse_args(arguments)
    defaults = SYNTHETIC if options.data == "synthetic" else GIVEN
    for name, value in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def positive(text: str) -> int:
    """Read an integer of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text!r}")
    return int(text)


if __name__ == "__main__":
    main()
