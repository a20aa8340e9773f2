"""A figure that a notebook shows."""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class ShownFigure(Figure):
    """A matplotlib figure that is an image as a notebook cell's last expression.

    matplotlib's own is one only where pyplot was used before. There, notebooks show figures in a
    way of their own, which takes the place of this one: no figure appears twice.
    """

    def _repr_png_(self) -> bytes:
        """Return the figure as a PNG file's content."""
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()
