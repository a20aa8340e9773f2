"""Draw the small drawings of the pages, as SVG that is part of the page.

Lines and letters take the page's colors (see _static/elunet.css), so a drawing is at home on a
light and on a dark page. `python docs/make_drawings.py` writes docs/drawings again; a test holds
that what is there is what this file draws.
"""

# ruff: noqa: D102, D103, RUF001 (each name says what it draws, and the Greek is meant)

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from pathlib import Path

FOLDER = Path(__file__).parent / "drawings"
INK, FAINT, A, B, C = (f"var(--{name})" for name in ("ink", "faint", "a", "b", "c"))


class Drawing:
    """Shapes on a canvas, in the order in which they were put there."""

    def __init__(self, width: float, height: float, label: str) -> None:
        self.width, self.height, self.label = width, height, label
        self.parts: list[str] = []

    def rect(
        self, x: float, y: float, w: float, h: float, color: str = INK, fill: float = 0.0
    ) -> None:
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" '
            f'style="stroke:{color};fill:{color};fill-opacity:{fill:g};stroke-width:1.3"/>'
        )

    def text(
        self, x: float, y: float, words: str, color: str = INK, size: float = 14, at: str = "middle"
    ) -> None:
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" text-anchor="{at}" '
            f'style="fill:{color}">{html.escape(words)}</text>'
        )

    def line(self, points: Sequence[tuple[float, float]], color: str = INK) -> None:
        path = " ".join(f"{x:.4g},{y:.4g}" for x, y in points)
        self.parts.append(
            f'<polyline points="{path}" style="fill:none;stroke:{color};stroke-width:1.6"/>'
        )

    def arrow(
        self, points: Sequence[tuple[float, float]], color: str = INK, dash: str = ""
    ) -> None:
        """Draw a line with a head at its last point."""
        (x0, y0), (x1, y1) = points[-2:]
        angle = math.atan2(y1 - y0, x1 - x0)
        back = [(x1 - 8 * math.cos(angle + s), y1 - 8 * math.sin(angle + s)) for s in (-0.42, 0.42)]
        neck = ((back[0][0] + back[1][0]) / 2, (back[0][1] + back[1][1]) / 2)
        self.line([*points[:-1], neck], color)
        head = " ".join(f"{x:.4g},{y:.4g}" for x, y in [(x1, y1), *back])
        self.parts.append(f'<polygon points="{head}" style="fill:{color}"/>')

    def matrix(
        self, x: float, middle: float, w: float, h: float, name: str, shape: str, color: str = INK
    ) -> float:
        """Draw a matrix with its name in it and its shape below; return where it ends."""
        self.rect(x, middle - h / 2, w, h, color, 0.12)
        self.text(x + w / 2, middle + 5, name, color)
        self.text(x + w / 2, middle + h / 2 + 16, shape, INK, 11)
        return x + w

    def grid(
        self,
        x: float,
        y: float,
        cells: Sequence[Sequence[str]],
        color: str = INK,
        size: float = 26,
        strong: Callable[[int, int], float] = lambda row, column: 0.08,
    ) -> None:
        """Draw numbers in squares, filled as strongly as `strong(row, column)` says."""
        for i, row in enumerate(cells):
            for j, words in enumerate(row):
                self.rect(x + j * size, y + i * size, size, size, color, strong(i, j))
                self.text(x + (j + 0.5) * size, y + (i + 0.5) * size + 4.5, words, INK, 12)

    def svg(self) -> str:
        lines = "\n".join(self.parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" '
            f'width="{self.width:g}" role="img" aria-label="{html.escape(self.label)}">\n'
            f"{lines}\n</svg>"
        )


def linear() -> list[Drawing]:
    forward = Drawing(300, 130, "Forward: Y is X times W plus b")
    forward.text(6, 14, "forward", A, 13, "start")
    end = forward.matrix(8, 68, 70, 56, "X", "N × D_in")
    forward.text(end + 12, 73, "·")
    end = forward.matrix(end + 24, 68, 44, 70, "W", "D_in × D_out", C)
    forward.text(end + 26, 73, "+ b  =")
    end = forward.matrix(end + 54, 68, 44, 56, "Y", "N × D_out")
    down = Drawing(300, 130, "Backward: dX is dY times W transposed")
    down.text(6, 14, "backward_input", B, 13, "start")
    end = down.matrix(8, 68, 44, 56, "dY", "N × D_out")
    down.text(end + 16, 73, "·")
    end = down.matrix(end + 32, 68, 70, 44, "Wᵀ", "D_out × D_in", C)
    down.text(end + 16, 73, "=")
    down.matrix(end + 32, 68, 70, 56, "dX", "N × D_in")
    own = Drawing(300, 130, "Backward: dW is X transposed times dY")
    own.text(6, 14, "backward_params", B, 13, "start")
    end = own.matrix(8, 68, 56, 70, "Xᵀ", "D_in × N")
    own.text(end + 16, 73, "·")
    end = own.matrix(end + 32, 68, 44, 56, "dY", "N × D_out")
    own.text(end + 16, 73, "=")
    own.matrix(end + 32, 68, 44, 70, "dW", "D_in × D_out", C)
    return [forward, down, own]


def conv2d() -> list[Drawing]:
    label = "A window of the image becomes a row of the matrix that im2col makes"
    d = Drawing(650, 212, f"{label}; times W it is one pixel of the output")
    inside = lambda i, j: 0.45 if 1 <= i <= 3 and 2 <= j <= 4 else 0.06  # noqa: E731
    d.grid(6, 36, [[""] * 6 for _ in range(5)], A, 22, inside)
    d.text(72, 26, "x", A)
    d.text(72, 164, "H × W × C_in", INK, 11)
    d.arrow([(142, 91), (178, 91)])
    d.text(160, 82, "im2col", INK, 11)
    d.grid(194, 6, [[""] * 9 for _ in range(12)], A, 14, lambda i, j: 0.45 if i == 6 else 0.06)
    d.text(262, 190, "a row for each window", INK, 11)
    d.text(262, 205, "H_out W_out × kh kw C_in", INK, 11)
    d.text(356, 96, "·")
    d.grid(378, 24, [[""] * 2 for _ in range(9)], C, 14, lambda i, j: 0.12)
    d.text(392, 168, "W", C)
    d.text(392, 184, "kh kw C_in × C_out", INK, 11)
    d.text(426, 96, "=")
    d.grid(448, 6, [[""] * 2 for _ in range(12)], B, 14, lambda i, j: 0.45 if i == 6 else 0.06)
    d.arrow([(492, 91), (516, 91)])
    d.grid(522, 54, [[""] * 4 for _ in range(3)], B, 22,
           lambda i, j: 0.45 if (i, j) == (1, 2) else 0.06)  # fmt: skip
    d.text(566, 44, "y", B)
    d.text(566, 138, "H_out × W_out × C_out", INK, 11)
    return [d]


def activations() -> list[Drawing]:
    functions: dict[str, Callable[[float], float]] = {
        "ELU": lambda x: x if x > 0 else math.expm1(x),
        "ReLU": lambda x: max(x, 0),
        "LeakyReLU": lambda x: x if x > 0 else 0.1 * x,
        "ShiftedReLU": lambda x: max(x, -1),
        "Tanh": math.tanh,
    }
    drawings = []
    for name, f in functions.items():
        d = Drawing(120, 116, f"The graph of {name}")
        d.line([(4, 66), (116, 66)], FAINT)
        d.line([(60, 18), (60, 112)], FAINT)
        xs = [-2.6 + 0.05 * k for k in range(105) if -2.6 + 0.05 * k <= 2.35]
        d.line([(60 + 20 * x, 66 - 20 * f(x)) for x in xs], A)
        d.text(60, 12, name, INK, 12)
        drawings.append(d)
    return drawings


def pooling() -> list[Drawing]:
    x = [["1", "5", "2", "0"], ["3", "2", "4", "1"], ["0", "1", "6", "2"], ["2", "1", "3", "7"]]
    drawings = []
    for name, y, down in (
        ("MaxPool2D", [["5", "4"], ["2", "7"]],
         [["", "a", "", ""], ["", "", "b", ""], ["", "", "", ""], ["c", "", "", "d"]]),
        ("MeanPool2D", [["2.8", "1.8"], ["1", "4.5"]],
         [["a/4", "a/4", "b/4", "b/4"]] * 2 + [["c/4", "c/4", "d/4", "d/4"]] * 2),
    ):  # fmt: skip
        d = Drawing(300, 302, f"{name}, forward and backward, on four windows of 2 x 2 numbers")
        d.text(150, 14, name)
        quarters = lambda i, j: 0.3 if i // 2 == j // 2 else 0.08  # noqa: E731
        corners = lambda i, j: 0.3 if i == j else 0.08  # noqa: E731
        d.grid(6, 30, x, A, 28, quarters)
        d.text(62, 158, "x", A)
        d.arrow([(128, 86), (176, 86)])
        d.text(152, 76, "forward", INK, 11)
        d.grid(190, 54, y, A, 32, corners)
        d.text(222, 136, "y", A)
        d.grid(190, 192, [["a", "b"], ["c", "d"]], B, 32, corners)
        d.text(222, 274, "dy", B)
        d.arrow([(182, 224), (134, 224)])
        d.text(158, 214, "backward", INK, 11)
        d.grid(6, 168, down, B, 28, quarters)
        d.text(62, 297, "dx", B)
        drawings.append(d)
    return drawings


def dropout() -> list[Drawing]:
    d = Drawing(572, 86, "Forward and backward multiply with the same mask of zeros and twos")
    kept = [1, 0, 1, 1, 0, 0, 1, 0]
    d.text(6, 26, "x", A, 14, "start")
    d.grid(34, 8, [["3", "1", "2", "5", "4", "1", "2", "6"]], A, 26)
    d.text(262, 26, "×")
    d.grid(278, 8, [["2" if k else "0" for k in kept]], C, 26, lambda i, j: 0.35 * kept[j])
    d.text(502, 26, "=  y", A)
    d.text(6, 66, "dy", B, 14, "start")
    d.grid(34, 48, [["a", "b", "c", "d", "e", "f", "g", "h"]], B, 26)
    d.text(262, 66, "×")
    d.grid(278, 48, [["2" if k else "0" for k in kept]], C, 26, lambda i, j: 0.35 * kept[j])
    d.text(506, 66, "=  dx", B)
    return [d]


def batch_norm() -> list[Drawing]:
    label = "For each channel: the values of the whole batch are shifted to mean 0 and scaled to"
    d = Drawing(590, 176, f"{label} deviation 1, then scaled by gamma and shifted by beta")
    d.grid(38, 26, [[""] * 4 for _ in range(6)], A, 20, lambda i, j: 0.45 if j == 2 else 0.06)
    d.text(78, 18, "C channels", INK, 11)
    d.text(78, 162, "M values of a channel:", INK, 11)
    d.text(78, 175, "N, or N H W", INK, 11)

    def bell(middle: float, spread: float, color: str) -> None:
        xs = [middle + spread * 0.1 * k for k in range(-30, 31)]
        d.line([(x, 118 - 1100 / spread * math.exp(-((x - middle) / spread) ** 2 / 2)) for x in xs],
               color)  # fmt: skip

    for left, middle, spread, color, words in (
        (158, 256, 18, A, "x"), (306, 372, 12, C, "x̂ = r (x − μ)"), (450, 528, 15, B, "y = γ x̂ + β")
    ):  # fmt: skip
        d.line([(left, 118), (left + 132, 118)], FAINT)
        zero = {158: 182, 306: 372, 450: 480}[left]
        d.line([(zero, 30), (zero, 124)], FAINT)
        d.text(zero, 138, "0", INK, 11)
        bell(middle, spread, color)
        d.text(left + 66, 20, words, color, 13)
    return [d]


def flatten_and_add() -> list[Drawing]:
    flat = Drawing(300, 110, "Flatten: the rows of an image one after the other")
    flat.text(150, 14, "Flatten")
    flat.grid(6, 34, [["1", "2"], ["3", "4"], ["5", "6"]], A, 24)
    flat.arrow([(66, 62), (100, 62)])
    flat.arrow([(100, 78), (66, 78)], B)
    flat.grid(112, 58, [["1", "2", "3", "4", "5", "6"]], A, 24)
    add = Drawing(
        300, 110, "Add: two arrays are summed; on the way back each gets the whole gradient"
    )
    add.text(150, 14, "Add, and its counterpart", INK)
    add.arrow([(20, 40), (66, 58)], A)
    add.arrow([(20, 84), (66, 66)], A)
    add.text(74, 67, "+", A, 18)
    add.arrow([(84, 62), (120, 62)], A)
    add.text(20, 32, "dy", B, 12)
    add.text(20, 104, "dy", B, 12)
    add.text(108, 82, "dy", B, 12)
    add.arrow([(172, 62), (210, 62)], A)
    add.line([(210, 62), (226, 62)], A)
    add.arrow([(226, 62), (268, 40)], A)
    add.arrow([(226, 62), (278, 84)], A)
    add.text(284, 42, "a", B, 12)
    add.text(284, 92, "b", B, 12)
    add.text(196, 82, "a + b", B, 12)
    return [flat, add]


def rules() -> list[Drawing]:
    """One small network, and the way back of each rule; forward is gray."""
    ends = {"x": 250, "1": 186, "2": 122, "e": 58}  # heights of the input, hidden layers, logits

    def network(name: str, label: str) -> Drawing:
        d = Drawing(190, 276, label)
        d.text(95, 16, name, INK, 12)
        for lower, upper, weight in (("x", "1", "W₁"), ("1", "2", "W₂"), ("2", "e", "W₃")):
            d.arrow([(60, ends[lower] - 14), (60, ends[upper] + 14)], FAINT)
            d.text(42, (ends[lower] + ends[upper]) / 2 + 4, weight, INK, 11)
        for key, words in (("x", "x"), ("1", "h₁"), ("2", "h₂"), ("e", "logits")):
            d.rect(36, ends[key] - 13, 48, 26, INK, 0.06)
            d.text(60, ends[key] + 4.5, words, INK, 12)
        return d

    def down(d: Drawing, upper: str, lower: str, words: str, color: str = B) -> None:
        d.arrow([(74, ends[upper] + 14), (74, ends[lower] - 14)], color)
        d.text(80, (ends[upper] + ends[lower]) / 2 + 4, words, color, 12, "start")

    plain = network("Backprop", "Backpropagation: down through the transposed weights")
    down(plain, "e", "2", "W₃ᵀ")
    down(plain, "2", "1", "W₂ᵀ")
    random = network("FeedbackAlignment", "Down through fixed random matrices")
    down(random, "e", "2", "B₃ᵀ", A)
    down(random, "2", "1", "B₂ᵀ", A)
    sign = network("SignSymmetry", "Down through matrices with the weights' signs")
    down(sign, "e", "2", "s·sign(W₃)ᵀ", A)
    down(sign, "2", "1", "s·sign(W₂)ᵀ", A)
    direct = network("DirectFeedbackAlignment", "From the output's error to each hidden layer")
    target = network("DirectRandomTargetProjection", "From the target to each hidden layer")
    for d, start, words in ((direct, (84, ends["e"]), "e"), (target, (126, 40), "y*")):
        for key, x in (("2", 112), ("1", 138)):
            first = [start, (x, start[1])] if d is direct else [(x, 48)]
            d.arrow([*first, (x, ends[key]), (84, ends[key])], A)
            d.text(x + 4, ends[key] - 14, {"2": "B₂", "1": "B₁"}[key], A, 12, "start")
        d.text(126 if d is target else 98, 40 if d is target else ends["e"] - 6, words, A, 12)
    dilated = network("DilatedBackprop", "Backpropagation, plus what arrived one layer above")
    down(dilated, "e", "2", "W₃ᵀ")
    down(dilated, "2", "1", "W₂ᵀ")
    dilated.arrow([(84, 122), (132, 122), (132, 186), (84, 186)], A)
    dilated.text(136, 158, "rate", A, 12, "start")
    return [plain, random, sign, direct, target, dilated]


DRAWINGS = {
    "linear": linear, "conv2d": conv2d, "activations": activations, "pooling": pooling,
    "dropout": dropout, "batch_norm": batch_norm, "flatten_and_add": flatten_and_add,
    "rules": rules,
}  # fmt: skip


def page_part(name: str) -> str:
    """Return a drawing, or several beside each other, as a part of a page."""
    inner = "\n".join(drawing.svg() for drawing in DRAWINGS[name]())
    return f'<div class="drawings">\n{inner}\n</div>\n'


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in DRAWINGS:
        (FOLDER / f"{name}.html").write_text(page_part(name), "utf-8")
