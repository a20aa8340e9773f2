"""The numbers of the interactive page: elunet trains, the page only draws them.

It runs in the reader's browser (Pyodide). `Playground` holds three spirals, a network, and a rule;
`train` makes some steps, and `boundary` says what the network answers in each place.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import elunet as eln
from elunet.layers import ELU, Linear

WIDTH, POINTS, REACH = 16, 100, 1.15  # units of a layer, points of an arm, the square's half side
RULES = {
    "Backpropagation": eln.routers.Backprop,
    "Feedback alignment": eln.routers.FeedbackAlignment,
    "Direct feedback alignment": eln.routers.DirectFeedbackAlignment,
    "Sign symmetry": eln.routers.SignSymmetry,
}


def spirals(points: int = POINTS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return points on three arms, (3 points, 2) in float32, and the arms' numbers."""
    rng = np.random.default_rng(seed)
    arms = np.repeat(np.arange(3), points)
    distance = np.sqrt(rng.uniform(0.02, 1, arms.size))
    angle = 4 * distance + 2 * np.pi / 3 * arms + rng.normal(0, 0.12, arms.size)
    x = distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return x.astype(np.float32), arms


class Playground:
    """A network that learns the spirals.

    Parameters
    ----------
    depth : int
        Hidden layers.
    alpha : float
        ELU's, above 0; a small one makes it nearly ReLU.
    rule : str
        One of `RULES`.
    seed : int
        Of weights and matrices.
    """

    def __init__(self, depth: int, alpha: float, rule: str, seed: int = 0) -> None:
        self.x, self.y = spirals()
        layers: list[Any] = []
        for sources in (2, *[WIDTH] * (depth - 1)):
            layers += [Linear(sources, WIDTH), ELU(alpha)]
        self.net = eln.Sequential([*layers, Linear(WIDTH, 3)], seed=seed)
        router = RULES[rule]
        self.router = router() if rule == "Backpropagation" else router(seed=seed)
        self.loss, self.optimizer = eln.losses.SoftmaxCrossEntropy(), eln.optim.Adam(lr=0.003)
        self.steps = 0

    def train(self, steps: int) -> dict[str, Any]:
        """Make some steps; return what they came to.

        Returns
        -------
        dict
            ``steps`` in all, ``loss``, ``accuracy`` (both before the last step) and ``angles``,
            those of each hidden layer's gradient to backpropagation's, in degrees.
        """
        for _ in range(steps - 1):
            self._step()
        return self._step(measure=True)

    def _step(self, measure: bool = False) -> dict[str, Any]:
        prediction = self.net.forward(self.x, train=True)
        value, dy = self.loss(prediction, self.y)
        found: dict[str, Any] = {}
        if measure:
            rows = eln.experiments.alignments(self.net, self.router, dy, self.y, null=0)
            angles = [float(row.angle) for row in rows if row.quantity == "gradient"]
            hits = float((prediction.argmax(axis=1) == self.y).mean())
            found = {"loss": float(value), "accuracy": hits, "angles": angles[:-1]}
        else:
            self.router.backward(self.net, dy, self.y)
        self.optimizer.step(self.net, self.router)
        self.steps += 1
        return {"steps": self.steps, **found}

    def boundary(self, side: int = 60) -> np.ndarray:
        """Return the probabilities of the three arms in a grid of places, (side, side, 3).

        The first row is at the top.
        """
        line = np.linspace(-REACH, REACH, side, dtype=np.float32)
        places = np.stack(np.meshgrid(line, -line), axis=-1).reshape(-1, 2)
        return eln.layers.Softmax().forward(self.net.forward(places)).reshape(side, side, 3)

    def image(self, side: int = 60) -> bytes:
        """Return the boundary as RGBA bytes, in the arms' colors, paler where it is unsure."""
        p = self.boundary(side)
        best = p.max(axis=-1, keepdims=True)
        strength = 0.15 + 0.6 * (best - 1 / 3) * 1.5
        color = COLORS[p.argmax(axis=-1)] * strength + 255 * (1 - strength)
        whole = np.concatenate([color, np.full((side, side, 1), 255.0)], axis=-1)
        return whole.astype(np.uint8).tobytes()


COLORS = np.array([[0, 114, 178], [230, 120, 20], [0, 140, 100]], float)
