"""Draw the documentation's pictures of the made shapes: ``python docs/make_images.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import elunet as eln

COLUMNS = 12


def shapes(file: Path) -> None:
    """Show each class of `make_shapes` in one row."""
    x, y = eln.data.make_shapes(600, seed=0)
    figure = Figure(figsize=(8.4, 6.1), dpi=110, layout="constrained")
    axes = figure.subplots(10, 1)
    for label, (row, name) in enumerate(zip(axes, eln.data.SHAPE_CLASSES, strict=True)):
        pictures = x[y == label][:COLUMNS]
        framed = np.pad(pictures, ((0, 0), (0, 0), (1, 1), (0, 0)), constant_values=255)
        row.imshow(np.concatenate(list(framed), axis=1), interpolation="nearest")
        row.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=11)
        row.set(xticks=[], yticks=[])
        row.spines[:].set_visible(False)
    figure.savefig(file)


if __name__ == "__main__":
    shapes(Path(__file__).parent / "images" / "shapes.png")
