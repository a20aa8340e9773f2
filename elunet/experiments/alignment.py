"""Alignment: the angle between a learning rule's gradient and backpropagation's, layer by layer.

Backpropagation runs first, then the rule, on the same forward pass, and their gradients and signals
are compared. An angle means little without its null band: the range of angles that the rule gives
with other random matrices, so without any alignment.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from elunet._checks import integer
from elunet._types import Array
from elunet.kernels.products import inner_products
from elunet.network import Network, Tap
from elunet.routers import Backprop, Router
from elunet.routers.base import same_pass
from elunet.storage import tables
from elunet.train import Callback, Trainer

QUANTITIES = ("gradient", "delta", "image", "weight")


@dataclass(frozen=True)
class Alignment:
    """One measured angle.

    Attributes
    ----------
    epoch, step : int
        Epochs and steps completed when it was measured.
    layer : str
        A weighted layer's name.
    quantity : "gradient", "delta", "image" or "weight"
        What the angle is between: the rule's and backprop's gradients of W; their signals at the
        layer's output, dL/dz; the signals of one image, the mean over the images of a batch; the
        rule's matrix B, through which it sends back, and the weights that it stands for: W, or in
        direct feedback alignment the product of the W above, where all above are Linear.
    angle : float
        In degrees, from 0 to 180. Below 90, a small enough step against the rule's gradient lowers
        the loss. NaN if either array vanishes, or the rule has no B.
    norm_ratio : float
        The rule's Euclidean norm over backprop's; NaN if either array vanishes.
    null_low, null_high : float
        The null band: the smallest and the largest angle with redrawn random matrices; NaN if it
        was not measured, or nothing is random. An angle inside is not a sign of alignment.

    Examples
    --------
    >>> Alignment(0, 100, "conv2", "gradient", 71.5, 1.3, 84.0, 97.1).angle
    71.5
    """

    epoch: int
    step: int
    layer: str
    quantity: str
    angle: float
    norm_ratio: float
    null_low: float = math.nan
    null_high: float = math.nan


def angle(a: Array, b: Array) -> float:
    """Return the angle between two arrays as vectors, in degrees; NaN where either vanishes.

    Parameters
    ----------
    a, b : float arrays of one shape
        An array vanishes if its root mean square is below the smallest normal number of its dtype.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> round(angle(np.array([1.0, 0.0]), np.array([1.0, 1.0])), 6)
    45.0
    """
    return _angle_and_ratio(a, b)[0]


def alignments(
    net: Network,
    router: Router,
    dy: Array,
    target: Array | None = None,
    null: int = 20,
    *,
    epoch: int = 0,
    step: int = 0,
) -> list[Alignment]:
    """Compare a rule with backpropagation on the forward pass that the network has just made.

    It runs ``1 + null`` backward passes beside the rule's own, and leaves the rule's gradients in
    the network.

    Parameters
    ----------
    net : Network
        After ``forward(x, train=True)``.
    router : Router
        The rule.
    dy : array
        The loss gradient at the network's output.
    target : array, optional
        For rules that send the targets.
    null : int, default 20
        How often the rule's random matrices are redrawn for the null band; 0 leaves it out.
    epoch, step : int
        For the rows.

    Returns
    -------
    list of Alignment
        For each weighted layer from the first: its gradient, its delta, that of single images and,
        where the rule has a B that stands for weights, its weight.

    Raises
    ------
    RuntimeError
        If no ``forward(x, train=True)`` came before.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> L = eln.layers
    >>> net = eln.Sequential([L.Linear(9, 50), L.ELU(), L.Linear(50, 3)], seed=0)
    >>> y = net.forward(np.ones((4, 9), np.float32), train=True)
    >>> rows = alignments(net, eln.routers.FeedbackAlignment(), y, null=0)
    >>> [(row.quantity, row.angle < 0.01) for row in rows if row.layer == "linear2"]
    [('gradient', True), ('delta', True), ('image', True), ('weight', False)]
    """
    measurement = _Measurement(net, dy, target, null)
    with same_pass(router, net):
        router.backward(net, dy, target, measurement.tap)
    return measurement.rows(router, epoch, step)


class AngleLog(Callback):
    """Measures a rule's alignment every few steps of a training and keeps it in a CSV file.

    A measurement costs one backward pass of backpropagation and `null` of the rule, and a copy of
    the signals at the weighted layers' outputs.

    Parameters
    ----------
    file : path, optional
        Written at the end of each epoch and of the run.
    every : int, default 100
        Steps from one measurement to the next; the first is before the first step.
    null : int, default 20
        Draws for the null band.

    Attributes
    ----------
    rows : list of Alignment

    Raises
    ------
    TypeError, ValueError
        If a number is out of range.

    Examples
    --------
    >>> import elunet as eln
    >>> log = eln.experiments.AngleLog("angles.csv", every=50, null=0)
    """

    def __init__(
        self, file: str | os.PathLike[str] | None = None, every: int = 100, null: int = 20
    ) -> None:
        self.file = file
        self.every = integer("AngleLog", "every", every)
        self.null = integer("AngleLog", "null", null, 0)
        self.rows: list[Alignment] = []
        self._measurement: _Measurement | None = None

    def on_backward(self, trainer: Trainer, dy: Array, target: Array) -> Tap | None:
        """Run backpropagation if a measurement is due, and watch the rule's signals."""
        if trainer.optimizer.steps % self.every:
            return None
        self._measurement = _Measurement(trainer.net, dy, target, self.null)
        return self._measurement.tap

    def on_gradients(self, trainer: Trainer) -> None:
        """Compare the gradients."""
        if self._measurement is not None:
            epoch, step = len(trainer.history), trainer.optimizer.steps
            self.rows += self._measurement.rows(trainer.router, epoch, step)
            self._measurement = None

    def on_epoch_end(self, trainer: Trainer, row: Any) -> None:
        """Write the rows so far."""
        self._write()

    def on_fit_end(self, trainer: Trainer) -> None:
        """Write the rows so far, also if the run was interrupted."""
        self._write()

    def state(self) -> Any:
        """Return the rows so far, for a checkpoint."""
        return [asdict(row) for row in self.rows]

    def restore(self, state: Any) -> None:
        """Go back to the rows of a `state`."""
        try:
            self.rows = [Alignment(**row) for row in state]
        except TypeError as error:
            raise ValueError(f"AngleLog: expected a state of rows, got {state!r}") from error

    def _write(self) -> None:
        if self.file is not None:
            write_angles(self.rows, self.file)


def write_angles(rows: Iterable[Alignment], file: str | os.PathLike[str]) -> None:
    """Write measured angles to a CSV file, atomically; numbers read back the same.

    Parameters
    ----------
    rows : iterable of Alignment
    file : path

    Examples
    --------
    >>> import tempfile
    >>> row = Alignment(0, 100, "conv2", "gradient", 71.5, 1.3, 84.0, 97.1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_angles([row], folder + "/angles.csv")
    ...     read_angles(folder + "/angles.csv") == [row]
    True
    """
    tables.write(file, Alignment, rows)


def read_angles(file: str | os.PathLike[str]) -> list[Alignment]:
    """Read what `write_angles` or `AngleLog` wrote.

    Parameters
    ----------
    file : path

    Returns
    -------
    list of Alignment

    Raises
    ------
    ValueError
        If the columns are others, or a cell is not a number where one belongs.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_angles([], folder + "/angles.csv")
    ...     read_angles(folder + "/angles.csv")
    []
    """
    return tables.read("read_angles", file, Alignment)


class _Measurement:
    """The gradients and signals of backpropagation and of a rule in one forward pass."""

    def __init__(self, net: Network, dy: Array, target: Array | None, null: int) -> None:
        self.net, self.dy, self.target, self.null = net, dy, target, null
        self.names = [node.name for node in net.homes if node.layer.weighted]
        self.signals: dict[str, Array] = {}
        self.deltas: dict[str, tuple[float, float]] = {}
        self.images: dict[str, tuple[float, float]] = {}
        Backprop().backward(net, dy, target, self._keep)
        self.gradients = {name: net[name].grads["W"].copy() for name in self.names}

    def _keep(self, name: str, delta: Array) -> None:
        if name in self.names:
            self.signals[name] = delta.copy()

    def tap(self, name: str, delta: Array) -> None:
        """Compare a signal of the rule's with backpropagation's."""
        if name in self.signals:
            self.deltas[name] = _angle_and_ratio(delta, self.signals[name])
            self.images[name] = _mean_over_images(delta, self.signals[name])

    def rows(self, router: Router, epoch: int, step: int) -> list[Alignment]:
        """Return all angles after the rule's backward pass; its gradients stay as they are."""
        found = self._measured(router)
        band: dict[tuple[str, str], list[float]] = {key: [] for key in found}
        if router.is_random and self.null:
            saved = {name: value.copy() for name, value in self.net.gradients().items()}
            for seed in np.random.SeedSequence(self.null).generate_state(self.null):
                twin = router.redrawn(int(seed))
                twin.backward(self.net, self.dy, self.target, self.tap)
                for key, (degrees, _) in self._measured(twin).items():
                    band[key].append(degrees)
            for name, value in self.net.gradients().items():
                value[...] = saved[name]
        return [
            Alignment(epoch, step, *key, *measured, *_extremes(band[key]))
            for key, measured in found.items()
        ]

    def _measured(self, router: Router) -> dict[tuple[str, str], tuple[float, float]]:
        """Return {(layer, quantity): (angle, norm ratio)} after a backward pass."""
        found = {}
        for name in self.names:
            layer = self.net[name]
            found[name, "gradient"] = _angle_and_ratio(layer.grads["W"], self.gradients[name])
            if name in self.deltas:
                found[name, "delta"] = self.deltas[name]
                found[name, "image"] = self.images[name]
            B, W = router.feedback_weight(self.net, name), router.forward_weight(self.net, name)
            if B is not None and W is not None:
                found[name, "weight"] = _angle_and_ratio(B, W)
        return found


def _angle_and_ratio(a: Array, b: Array) -> tuple[float, float]:
    """Return the angle in degrees and the ratio of the norms, NaN where either vanishes."""
    if np.shape(a) != np.shape(b):
        raise ValueError(f"angle: expected arrays of one shape, got {np.shape(a)}, {np.shape(b)}")
    aa, ab, bb = inner_products(np.ravel(a), np.ravel(b))
    for square, array in ((aa, a), (bb, b)):
        if not square > array.size * float(np.finfo(array.dtype).tiny) ** 2:
            return math.nan, math.nan
    cosine = min(max(ab / math.sqrt(aa) / math.sqrt(bb), -1.0), 1.0)
    return math.degrees(math.acos(cosine)), math.sqrt(aa) / math.sqrt(bb)


def _mean_over_images(a: Array, b: Array) -> tuple[float, float]:
    """Return the mean angle and ratio of pairs of rows; NaN where no pair has them."""
    pairs = np.array([_angle_and_ratio(one, other) for one, other in zip(a, b, strict=True)])
    real = pairs[~np.isnan(pairs).any(axis=1)]
    angle, ratio = real.mean(axis=0) if len(real) else (math.nan, math.nan)
    return float(angle), float(ratio)


def _extremes(angles: Sequence[float]) -> tuple[float, float]:
    """Return the smallest and the largest of the angles that are not NaN."""
    real = [value for value in angles if not math.isnan(value)]
    return (min(real), max(real)) if real else (math.nan, math.nan)
