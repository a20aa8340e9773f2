"""Draw the documentation's figures from synthetic shapes and measured runs."""

from __future__ import annotations

import contextlib
import re
import runpy
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from store_curves import Point

import elunet as eln
from elunet.experiments.statistics import t_interval
from elunet.storage import tables

DOCS = Path(__file__).parent
COLUMNS = 12
RUNS = {
    "first": "ELU-11, case quick, on synthetic shapes",
    "cifar": "ELU-11, case quick, on CIFAR-10 (JPEG copy)",
    "long": "ELU-11, case long, on CIFAR-10 (JPEG copy)",
    "paper": "ELU-11, case paper, on CIFAR-10 (JPEG copy)",
    "d-longer": "the article's case d, on CIFAR-10 (JPEG copy)",
    "e-longer": "the article's case e, on CIFAR-10 (JPEG copy)",
    "b": "the article's case b, on CIFAR-10 (JPEG copy)",
    "a": "the article's case a, on CIFAR-10 (JPEG copy)",
    "c-longer": "the article's case c, on CIFAR-10 (JPEG copy)",
}
RULES: dict[str, tuple[str, ...]] = {  # comparisons, and whose angles to draw
    "rules-default": (),
    "rules-mlp-tanh": ("fa", "wm"),
    "rules-mlp-mnist": ("fa", "wm", "kp"),
    "rules-mlp-fashion": (),
    "rules-mlp-digits": (),
    "rules-cnn-norm": ("dfa", "kp"),
    "rules-mlp-synthetic": (),
    "rules-mlp-cifar10": (),
    "rules-cnn-synthetic": ("fa", "kp"),
    "rules-cnn-cifar10": (),
    "rules-elu11-cifar10": ("fa", "dfa"),
}
LOWEST = {"rules-mlp-digits": 85.0}  # where the curves' axes begin, if not at the smallest mean

ANATOMY = {
    "anatomy-b": "Case b (feedback alignment, Adam) at ten times the learning rate,"
    " CIFAR-10 (JPEG copy), two seeds",
    "anatomy-e": "Case e (dilated rule, momentum and Adam) at a quarter of the width,"
    " CIFAR-10 (JPEG copy), two seeds",
}


def shapes(file: Path) -> None:
    """Show each class of `make_shapes` in one row."""
    x, y = eln.data.make_shapes(600, seed=0)
    figure = Figure(figsize=(8.4, 6.1), dpi=110, layout="constrained")
    axes = figure.subplots(10, 1)
    for label, (row, name) in enumerate(zip(axes, eln.data.SHAPE_CLASSES, strict=True)):
        images = x[y == label][:COLUMNS]
        framed = np.pad(images, ((0, 0), (0, 0), (1, 1), (0, 0)), constant_values=255)
        row.imshow(np.concatenate(list(framed), axis=1), interpolation="nearest")
        row.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=11)
        row.set(xticks=[], yticks=[])
        row.spines[:].set_visible(False)
    figure.savefig(file)


def opening(file: Path) -> None:
    """Show what README's code works with: the images, and how four rules learn to name them."""
    x, y = eln.data.make_shapes(2000, seed=0)
    train, test = eln.data.split(x, y, 0.2, seed=0)
    scaled, scaled_test = eln.data.standardize(train[0], test[0])
    figure = Figure(figsize=(9, 3.4), dpi=110, layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.15))
    for axes, k in zip(left.subplots(3, 4).flat, range(12), strict=True):
        axes.imshow(x[k], interpolation="nearest")
        axes.set_title(eln.data.SHAPE_CLASSES[y[k]], fontsize=9)
        axes.set_axis_off()
    axes = right.subplots()
    for rule, color, marker in (
        (eln.routers.Backprop(), "#0072B2", "o"),
        (eln.routers.SignSymmetry("uniform"), "#009E73", "s"),
        (eln.routers.FeedbackAlignment(), "#D55E00", "^"),
        (eln.routers.DirectFeedbackAlignment(), "#CC79A7", "v"),
    ):
        net, loss = eln.models.small_cnn(seed=0), eln.losses.SoftmaxCrossEntropy()
        trainer = eln.Trainer(net, loss, eln.optim.Adam(0.002), rule, batch_size=50)
        history = trainer.fit((scaled, train[1]), (scaled_test, test[1]), epochs=8)
        accuracies = [100 * row.validation_accuracy for row in history]
        label = re.sub("(?<=[a-z])(?=[A-Z])", " ", type(rule).__name__).capitalize()
        axes.plot(history.column("epoch"), accuracies, marker=marker, color=color, label=label)
    axes.axhline(10, color="0.6", linestyle=":")
    axes.set(xlabel="epoch", ylabel="new images right (%)", ylim=(0, 100))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=9, loc="lower right", bbox_to_anchor=(1, 0.08))
    figure.savefig(file)


def rules(name: str, angles: tuple[str, ...]) -> None:
    """Draw what a comparison of rules found: accuracies, sweeps, and angles of some rules."""
    result = eln.Comparison.read(DOCS / "data" / name)
    eln.plots.accuracies(result, DOCS / "images" / f"{name}-accuracies.png")
    eln.plots.sweeps(result, DOCS / "images" / f"{name}-sweeps.png")
    for rule in angles:
        rows = [row for row in result.angles(rule) if row.quantity == "gradient"]
        eln.plots.angles(rows, file=DOCS / "images" / f"{name}-angles-{rule}.png")


def learning_curves(name: str) -> None:
    """Draw a comparison's stored curves: each rule in a panel, with the first rule in gray."""
    values: dict[str, dict[int, list[float]]] = {}
    for row in tables.read("learning_curves", DOCS / "data" / name / "curves.csv", Point):
        steps = values.setdefault(row.rule, {})
        steps.setdefault(row.step, []).append(100 * row.validation_accuracy)
    means = {
        rule: np.array([(step, *t_interval(scores)) for step, scores in steps.items()]).T
        for rule, steps in values.items()
    }
    first, *others = means
    columns = 5 if len(others) > 8 else 4
    lines = -(-len(others) // columns)
    figure = Figure(figsize=(10, 0.8 + 1.9 * lines), dpi=100, layout="constrained")
    panels = figure.subplots(lines, columns, sharex=True, sharey=True).ravel()
    for axes, rule in zip(panels, others, strict=False):
        for (steps, mean, half), label, color, line in (
            (means[first], first, "0.4", "--"),
            (means[rule], "the panel's rule or baseline", "#0072B2", ".-"),
        ):
            axes.plot(steps, mean, line, color=color, label=f"{label}: mean, 95 % t-interval")
            axes.fill_between(steps, mean - half, mean + half, color=color, alpha=0.2, linewidth=0)
        axes.set_title(rule, fontsize=10)
        axes.grid(alpha=0.3)
    for axes in panels[len(others) :]:
        axes.set_axis_off()
    for axes in panels[len(others) - columns : len(others)]:
        axes.tick_params(labelbottom=True)  # also above an empty place
        axes.set_xlabel("step")
    every = np.concatenate([mean for _, mean, _ in means.values()])
    low, high = LOWEST.get(name, every.min()), every.max()
    room = 0.06 * (high - low)
    panels[0].set(ylim=(low - room, high + room), xlim=(0, None))
    figure.supylabel("validation accuracy (%)", fontsize=10)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(DOCS / "images" / f"{name}-curves.png")


def anatomy(name: str, title: str) -> None:
    """Draw what the bugs cost, as `examples/anatomy.py` does at the end of its runs."""
    example = runpy.run_path(str(DOCS.parent / "examples" / "anatomy.py"))
    points = tables.read("anatomy", DOCS / "data" / f"{name}.csv", example["Point"])
    example["plot"](points, title, DOCS / "images" / f"{name}.png")


def page(name: str, folder: Path) -> None:
    """Run a page's Python blocks, which save their figures, in a folder."""
    text = (DOCS / name).read_text("utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    with contextlib.chdir(folder):
        exec(compile(code, name, "exec"), {"__name__": name})


if __name__ == "__main__":
    opening(DOCS / "images" / "opening.png")
    shapes(DOCS / "images" / "shapes.png")
    for run, title in RUNS.items():
        history = eln.History.from_csv(DOCS / "data" / f"{run}-history.csv")
        eln.plots.curves(history, DOCS / "images" / f"{run}.png", title, "test")
    for name, angles in RULES.items():
        rules(name, angles)
        if (DOCS / "data" / name / "curves.csv").exists():
            learning_curves(name)
    for name, title in ANATOMY.items():
        anatomy(name, title)
    page("plots.md", DOCS / "images")
