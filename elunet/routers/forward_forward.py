"""Forward-forward: each layer learns to tell right labels from wrong ones; nothing is sent back."""

from __future__ import annotations

import math

import numpy as np

from elunet._checks import number
from elunet._quiet import quiet
from elunet._types import Array
from elunet.graph import Node
from elunet.layers.base import Layer
from elunet.losses import one_hot
from elunet.network import Network, Tap
from elunet.routers.base import Path
from elunet.routers.beside import Beside, learn_as
from elunet.routers.chain import Chain
from elunet.routers.memory import count
from elunet.routers.random_router import check_seed, generator


class ForwardForward(Beside):
    r"""Raise each hidden layer's goodness for x with its right label, lower it for a wrong one.

    The label is shown in the first C numbers of an example, which it replaces. The goodness of a
    hidden unit's activity a is ``g = mean(a^2)``. Each unit learns from a loss of its own,

    .. math::
        \frac{1}{N} \sum_n \log(1 + e^{\theta - g_n^+}) + \log(1 + e^{g_n^- - \theta})

    where + is the pass with the right labels, - one with wrong ones, drawn again in each step. The
    prediction in evaluation is the label with the highest goodness.

    Parameters
    ----------
    threshold : float, default 1.0
        theta, above 0.
    strength : float, default 1.0
        The number that shows a label, above 0; the C - 1 others are 0.
    seed : int, default 0
        Of the wrong labels.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range; in `forward`, `backward` and `predict`, if the network is
        not a chain of Linear layers with an activation each but the last, or x has too few numbers;
        in `backward`, if the target does not fit.
    RuntimeError
        In `backward`, if the rule's own ``forward(net, x, target)`` did not come before.

    Notes
    -----
    A hidden unit is a Linear layer, its activation, and what follows: a ``LayerNorm(n,
    affine=False)`` keeps the next unit from just reading the goodness off the length. The
    publication sums squares; with their mean, one threshold fits all widths.

    The last layer is a readout. It learns from the exact loss in the pass that `forward` makes,
    with a neutral label of 1/C in each place, and what it says is what training reports. `predict`
    does without it: it sums the goodness over all hidden units but the first, over the only one if
    there is one, for each of C passes.

    References
    ----------
    Hinton, "The Forward-Forward Algorithm: Some Preliminary Investigations", 2022,
    arXiv:2212.13345.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.routers.ForwardForward(strength=2.0)
    ForwardForward(threshold=1, strength=2, seed=0)
    """

    remembers = Beside.remembers | {"passes": count}

    def __init__(self, threshold: float = 1.0, strength: float = 1.0, seed: int = 0) -> None:
        super().__init__()
        self.threshold = number("ForwardForward", "threshold", threshold, "(0, inf)")
        self.strength = number("ForwardForward", "strength", strength, "(0, inf)")
        self.seed = check_seed("ForwardForward", seed)
        self.passes = 0

    def forward(
        self, net: Network, x: Array, target: Array | None = None, tap: Tap | None = None
    ) -> Array:
        """Make the forward pass with neutral labels."""
        return super().forward(net, self.labeled(net, x), target, tap)

    @quiet
    def predict(self, net: Network, x: Array) -> Array:
        """Return the goodness of each label, (N, C)."""
        ends = [unit[1].name for unit in self._hidden(net)]
        scored, classes = set(ends[1:] or ends), self._classes(net)
        found = np.zeros((len(x), classes), x.dtype)
        for label in range(classes):

            def add(name: str, a: Array, label: int = label) -> None:
                if name in scored:
                    found[:, label] += goodness(a)

            net.forward(self.labeled(net, x, np.full(len(x), label)), tap=add)
        return found

    def labeled(self, net: Network, x: Array, labels: Array | None = None) -> Array:
        """Return a copy of x that shows labels (N,), or neutral ones."""
        classes = self._classes(net)
        if math.prod(x.shape[1:]) < classes:
            raise ValueError(
                f"{self!r}: expected x with room for each of {classes} labels, got {x.shape}"
            )
        shown = x.reshape(len(x), -1).copy()
        shown[:, :classes] = self.strength / classes
        if labels is not None:
            shown[:, :classes] = self.strength * one_hot(labels, classes, repr(self))
        return shown.reshape(x.shape)

    @quiet
    def begin(self, net: Network, dy: Array | tuple[Array, ...], target: Array | None) -> None:
        """Run right and wrong labels in one pass, and let each unit learn."""
        x, hidden, classes, n = self.x, self._hidden(net), self._classes(net), len(dy)
        labels = np.asarray(target)
        right = labels.argmax(axis=1) if labels.ndim == 2 else labels
        if right.shape != (n,):
            raise ValueError(f"{self!r}: expected target of shape ({n},), got {labels.shape}")
        rng = generator(self.seed, ".wrong", self.passes)  # no layer has this name
        self.passes += 1
        wrong = (right + rng.integers(1, max(classes, 2), n)) % classes
        both = np.concatenate([self.labeled(net, x, shown) for shown in (right, wrong)])
        sign = np.repeat([1.0, -1.0], n)
        twin, activity = self.again(), dict[str, Array]()
        twin.forward(both, True, lambda name, a: activity.update({name: a}))
        for linear, activation, *_ in hidden:
            a = activity[activation.name]
            pull = -sign / (1 + np.exp(sign * (goodness(a) - self.threshold))) / n  # dloss/dg
            da = (pull * 2 / a.shape[1]).astype(a.dtype)[:, None] * a
            twin[linear.name].backward_params(twin[activation.name].backward_input(da))

    def learn(self, layer: Layer, dy: Array) -> None:
        """Take what a hidden unit learned; the readout learns exactly."""
        other = self.twin[self.name_of(layer)]
        if other.grads:
            learn_as(layer, other)
        else:
            super().learn(layer, dy)

    def paths(self, net: Network) -> list[Path]:
        """Return none: nothing is sent back."""
        return []

    def _hidden(self, net: Network) -> list[list[Node]]:
        """Return the hidden units."""
        units = Chain(net, repr(self), rows=True).units[:-1]
        for unit in units:
            if len(unit) < 2 or not unit[1].layer.pointwise:
                raise ValueError(
                    f"{self!r}: expected an activation after each hidden Linear layer, got"
                    f" {' and '.join(node.about for node in unit[:2])}"
                )
        return units

    def _classes(self, net: Network) -> int:
        """Return how many labels there are: the readout's width."""
        readout = Chain(net, repr(self), rows=True).units[-1][0].layer
        return int(readout.params["W"].shape[-1])

    def __repr__(self) -> str:
        numbers = f"threshold={self.threshold:g}, strength={self.strength:g}"
        return f"ForwardForward({numbers}, seed={self.seed})"


def goodness(a: Array) -> Array:
    """Return each row's mean square."""
    found: Array = (a.astype(float) ** 2).mean(axis=1)
    return found
