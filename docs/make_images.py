"""Draw the documentation's figures, from made shapes and measured runs: `docs/make_images.py`."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import elunet as eln

DOCS = Path(__file__).parent
COLUMNS = 12
RUNS = {
    "first": "ELU-11, case quick, on made shapes",
    "cifar": "ELU-11, case quick, on CIFAR-10 (JPEG copy)",
    "paper": "ELU-11, case paper, on CIFAR-10 (JPEG copy)",
    "d": "the article's case d, on CIFAR-10 (JPEG copy)",
    "e": "the article's case e, on CIFAR-10 (JPEG copy)",
    "b": "the article's case b, on CIFAR-10 (JPEG copy)",
    "a": "the article's case a, on CIFAR-10 (JPEG copy)",
    "c": "the article's case c, on CIFAR-10 (JPEG copy)",
}
RULES: dict[str, tuple[str, ...]] = {  # comparisons, and whose angles to draw
    "rules-default": (),
    "rules-mlp-synthetic": (),
    "rules-mlp-cifar10": (),
    "rules-cnn-synthetic": ("fa", "kp"),
    "rules-cnn-cifar10": (),
    "rules-elu11-cifar10": ("fa", "dfa"),
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


def rules(name: str, angles: tuple[str, ...]) -> None:
    """Draw what a comparison of rules found: accuracies, sweeps, and angles of some rules."""
    result = eln.Comparison.read(DOCS / "data" / name)
    eln.plots.accuracies(result, DOCS / "images" / f"{name}-accuracies.png")
    eln.plots.sweeps(result, DOCS / "images" / f"{name}-sweeps.png")
    for rule in angles:
        rows = [row for row in result.angles(rule) if row.quantity == "gradient"]
        eln.plots.angles(rows, file=DOCS / "images" / f"{name}-angles-{rule}.png")


def page(name: str, folder: Path) -> None:
    """Run a page's Python blocks, which save their figures, in a folder."""
    text = (DOCS / name).read_text("utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    with contextlib.chdir(folder):
        exec(compile(code, name, "exec"), {"__name__": name})


if __name__ == "__main__":
    shapes(DOCS / "images" / "shapes.png")
    for run, title in RUNS.items():
        history = eln.History.from_csv(DOCS / "data" / f"{run}-history.csv")
        eln.plots.curves(history, DOCS / "images" / f"{run}.png", title, "test")
    for name, angles in RULES.items():
        rules(name, angles)
    page("plots.md", DOCS / "images")
