"""Local losses: every hidden unit learns from its own loss, and nothing is sent back."""

from __future__ import annotations

import numpy as np

from elunet._checks import choice, integer, number
from elunet._quiet import quiet
from elunet._types import Array, Shape
from elunet.graph import INPUT, Node
from elunet.init import Initializer, LeCun
from elunet.layers.base import Layer
from elunet.losses import one_hot
from elunet.network import Network
from elunet.routers.beside import Silent
from elunet.routers.objectives import (
    pooled,
    pooled_down,
    prediction_gradients,
    similarity_gradient,
)
from elunet.routers.random_router import RandomRouter, given


class LocalLoss(Silent, RandomRouter):
    r"""Train every hidden unit by a loss at its end, h, and the output layer by the network's.

    A weighted layer sends nothing back, so each unit's gradient is that of its own loss alone.
    With targets y, one-hot in Y:

    - "pred": the cross-entropy of ``softmax(p C)``. C, (n, classes), is the unit's own linear
      classifier, and p is h, images reduced to `grid` x `grid` positions by mean pooling;
    - "sim": ``mean((S(s) - S(Y))^2)`` over all pairs of examples, where S(a), (N, N), holds the
      cosines between the rows of a, each minus its mean. s is h, or each channel's standard
      deviation over positions, for images with more than 3 channels. Examples of one class should
      be alike;
    - "predsim": ``(1 - beta) pred + beta sim``.

    Parameters
    ----------
    kind : {"predsim", "pred", "sim"}
    seed : int, default 0
        Of the classifiers; each depends on the seed and its unit's name only.
    grid : int, default 2
        Height and width of what a classifier sees of an image; less if the image is smaller.
    beta : float, default 0.99
        The share of "sim" in "predsim", in [0, 1].
    greedy : int, optional
        Epochs for which each unit trains, one after another from the input up; the others get
        gradients of 0 meanwhile. The output layer goes last, and continues. By default all train at
        once. An optimizer's momentum and penalty move what has no gradient too.
    distribution : Initializer, optional
        Draws the classifiers, by default `elunet.init.LeCun()`.
    scale : float, default 1.0
        A factor of what is drawn.

    Attributes
    ----------
    C : dict of str to array
        The classifiers, by the name of the layer at which a unit ends. They are learned, by
        ``optimizer.step(net, router)``.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range; in `backward`, if the network is not a chain of units (a
        weighted layer, and activations, normalizations and dropout after it, with layers without
        parameters between units), or targets are missing or do not fit.
    RuntimeError
        In `backward`, if the rule's own ``forward`` did not make the last forward pass.

    Notes
    -----
    The article's "sim" has a 3x3 convolution (a linear layer, where h is not an image) between h
    and s, which is learned; here there is none, as in the article's variant without any
    backpropagation. Its classifiers have biases, and its losses come before dropout, here after it.

    References
    ----------
    Nokland, Eidnes, "Training Neural Networks with Local Error Signals", ICML 2019,
    arXiv:1901.06656. Greedy: Belilovsky, Eickenberg, Oyallon, "Greedy Layerwise Learning Can Scale
    to ImageNet", ICML 2019, arXiv:1812.11446.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.routers.LocalLoss("pred", seed=1)
    LocalLoss('pred', seed=1)
    """

    wants = True

    def __init__(
        self,
        kind: str = "predsim",
        seed: int = 0,
        grid: int = 2,
        beta: float = 0.99,
        greedy: int | None = None,
        distribution: Initializer | None = None,
        scale: float = 1.0,
    ) -> None:
        super().__init__(seed, distribution, scale)
        choice("LocalLoss", "kind", kind, ("pred", "sim", "predsim"))
        self.kind = kind
        self.grid = integer("LocalLoss", "grid", grid)
        self.beta = number("LocalLoss", "beta", beta, "[0, 1]")
        self.greedy = None if greedy is None else integer("LocalLoss", "greedy", greedy)
        self._gradients: dict[str, Array] = {}

    @property
    def C(self) -> dict[str, Array]:  # noqa: N802 - a matrix's name
        """The classifiers, by the name of a unit's end."""
        return self.drawn

    @property
    def by_rows(self) -> bool:
        """Whether all gradients are sums over rows; "sim" compares rows with each other."""
        return self.kind == "pred"

    @property
    def is_random(self) -> bool:
        """Whether the signals depend on random matrices, as they do with classifiers."""
        return self.kind != "sim"

    def draws(self, name: str, shape: Shape) -> Initializer:
        """Return LeCun's."""
        return LeCun()

    def begin(self, net: Network, dy: Array | tuple[Array, ...], target: Array | None) -> None:
        """Find the units, and read the targets."""
        places = [*self._ends(net), net.names[-1]]
        self._places = {name: place for place, name in enumerate(places)}
        self._turn = (
            None if self.greedy is None else min(self.epoch // self.greedy, len(places) - 1)
        )
        if target is None:
            raise ValueError(f"{self!r}: expected target in backward(net, dy, target), got None")
        classes = dy.shape[-1]  # type: ignore[union-attr]  # there is one output
        labels = np.asarray(target)
        self._target = labels if labels.ndim == 2 else one_hot(labels, classes, repr(self))

    @quiet
    def arrive(self, layer: Layer, dy: Array) -> Array:
        """Return the gradient of the unit's loss at its end."""
        name = self.name_of(layer)
        place = self._places.get(name)
        if place is None:
            return dy
        if place < len(self._places) - 1:
            dy = self._signal(name, self.output_of(layer))
        if self._turn in (None, place):
            return dy
        if name in self._gradients:
            self._gradients[name] = np.zeros_like(self._gradients[name])
        return np.zeros_like(dy)

    def parameters(self) -> dict[str, Array]:
        """Return {"elu1.C": array, ...}: the live arrays."""
        return {f"{name}.C": C for name, C in self.C.items()}

    def gradients(self) -> dict[str, Array]:
        """Return those of the last walk; {} before the first one."""
        return {f"{name}.C": g for name, g in self._gradients.items() if name in self.C}

    def _replaced(self, net: Network) -> set[str]:
        """Return each unit's end."""
        return set(self._ends(net))

    def _kind(self, node: Node) -> str:
        """Return that weighted layers send nothing."""
        return "" if node.layer.weighted else "exact"

    def _signal(self, name: str, h: Array) -> Array:
        """Return the gradient of a unit's loss at its end, and note that of its classifier."""
        sim = {"pred": 0.0, "sim": 1.0, "predsim": self.beta}[self.kind]
        signal = np.zeros_like(h)
        if sim < 1:
            p, classes = pooled(h, self.grid), self._target.shape[1]
            C = self.matrix(name, (p[0].size, classes)).astype(h.dtype)
            dC, dp = prediction_gradients(p, C, self._target)
            share = (1 - sim) * self.net.group.weight
            self._gradients[name] = share * dC
            signal += share * pooled_down(dp, h.shape)
        if sim > 0:
            signal += sim * similarity_gradient(h, self._target)
        return signal

    def _ends(self, net: Network) -> list[str]:
        """Return the names of the layers at which hidden units end, from the input on."""
        net.expect_one_output(repr(self))
        graph, before, inside = self.graph(net), INPUT, False
        top = graph.place[graph.output_layer().name]
        for place, node in enumerate(net.nodes):
            inside = node.layer.weighted or (inside and node.layer.pointwise)
            learns = not node.layer.params or inside or place > top
            if node.inputs != (before,) or node.shared or not learns:
                raise ValueError(
                    f"{self!r}: expected a chain of units, each a weighted layer with"
                    " elementwise activations and normalizations, and no other layer with"
                    f" parameters, got {node.about} of {', '.join(node.inputs)} as {node.name}"
                )
            before = node.name
        if net.outputs != (before,):
            raise ValueError(
                f"{self!r}: expected the last layer as the output, got {net.outputs[0]}"
            )
        return [name for name in graph.nodes if name in graph.ends][:-1]

    def __repr__(self) -> str:
        grid = "" if self.grid == 2 else f", grid={self.grid}"
        beta = "" if self.beta == 0.99 else f", beta={self.beta:g}"
        greedy = "" if self.greedy is None else f", greedy={self.greedy}"
        return f"LocalLoss({self.kind!r}, seed={self.seed}{grid}{beta}{greedy}{given(self)})"
