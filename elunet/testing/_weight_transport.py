"""`weight_transport`: whether what a layer learns depends on the weights of later layers.

Backpropagation carries the error back through the transpose of each W, but no synapse knows the
weight of another: the weight transport problem. Rules differ in how much of W they use there: all
of it, its signs only, or nothing. This is measured on the rule itself: after the forward pass, only
the weights of the layers after a given layer are changed. Then that layer's gradients are compared.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from elunet._types import Array
from elunet.layers import Linear, Tanh
from elunet.losses import Loss, SoftmaxCrossEntropy
from elunet.network import Network, Sequential
from elunet.routers import Router

NOTHING, SIGNS, WEIGHTS = "nothing", "signs", "weights"
ORDER = (NOTHING, SIGNS, WEIGHTS)
USES = {
    NOTHING: "does not use the later weights",
    SIGNS: "uses the signs of the later weights",
    WEIGHTS: "uses the later weights",
}
NOTICED = 1e-6  # a relative change of a gradient that is more than rounding


@dataclass(frozen=True)
class WeightTransport:
    """What each layer uses of the weights of later layers, under a learning rule.

    Attributes
    ----------
    rule : str
    layers : dict of str to str
        By the name of each layer with parameters that has a later weighted layer: "nothing",
        "signs" (their signs, but not their magnitudes) or "weights".

    Examples
    --------
    >>> WeightTransport("FA()", {"linear1": "nothing", "linear2": "signs"}).verdict
    'signs'
    """

    rule: str
    layers: dict[str, str]

    @property
    def verdict(self) -> str:
        """The most that any layer uses."""
        return max(self.layers.values(), key=ORDER.index, default=NOTHING)

    def __repr__(self) -> str:
        lines = [f"  {name}: {USES[what]}" for name, what in self.layers.items()]
        return "\n".join([f"{self.rule}: {self.verdict}", *lines])


def weight_transport(
    rule: Router,
    net: Network | None = None,
    x: Array | None = None,
    target: Array | None = None,
    loss: Loss | None = None,
    seed: int = 0,
) -> WeightTransport:
    """Return how much of the later layers' weights a layer's update depends on.

    The rule and the network run a step, so that the rule has its matrices, and a forward pass. Then
    only the weights after a layer are changed, in magnitude only or in sign too: not the output,
    the loss gradient, or what any layer keeps. If the rule's backward pass gives the layer
    other gradients than without the change, it depends on them. Copies are used: neither the rule
    nor the network changes.

    Parameters
    ----------
    rule : Router
    net : Network, optional
        By default four Linear layers with tanh between, in float64.
    x, target : arrays, optional
        A batch that the network takes; needed with `net`.
    loss : Loss, optional
        By default `SoftmaxCrossEntropy`.
    seed : int, default 0
        Of the change, and of the default network and batch.

    Raises
    ------
    TypeError
        If `rule` is no Router, or `net` is given without `x` and `target`.

    Notes
    -----
    A rule that runs the network again in its backward pass, above the layer, depends on the weights
    there, though not by a transpose. One that does it in its `forward` does not.

    References
    ----------
    Grossberg, "Competitive learning: from interactive activation to adaptive resonance", Cognitive
    Science 11, 1987, 10.1111/j.1551-6708.1987.tb00862.x; Lillicrap et al., "Random synaptic
    feedback weights support error backpropagation for deep learning", 2016, 10.1038/ncomms13276.

    Examples
    --------
    >>> import elunet as eln
    >>> for rule in (eln.routers.Backprop(), eln.routers.SignSymmetry()):
    ...     print(rule, eln.testing.weight_transport(rule).verdict)
    Backprop() weights
    SignSymmetry('uniform', seed=0) signs
    >>> eln.testing.weight_transport(eln.routers.FeedbackAlignment()).verdict
    'nothing'
    """
    if not isinstance(rule, Router):
        raise TypeError(f"weight_transport: expected rule as a Router, got {rule!r}")
    rng = np.random.default_rng(seed)
    if net is None:
        sizes = (7, 6, 6, 5)
        hidden = [(Linear(a, b), Tanh()) for a, b in pairwise(sizes)]
        net = Sequential([*(one for pair in hidden for one in pair), Linear(5, 4)], seed=seed)
        x, target = rng.standard_normal((8, 7)), np.arange(8) % 4
    if x is None or target is None:
        raise TypeError("weight_transport: expected x and target together with net, got none")
    its_loss = SoftmaxCrossEntropy() if loss is None else loss

    def learned(name: str, change: Callable[[Array], Array] | None) -> dict[str, Array]:
        """Return a layer's gradients if the weights after it are changed during the step."""
        twin, router = copy.deepcopy((net, rule))
        router.tell(its_loss)
        for layer in twin:  # so that no layer keeps a copy in another dtype, which would not change
            layer.params.update({key: W.astype(x.dtype) for key, W in layer.params.items()})
        for again in (False, True):  # the first time so that the rule has all its matrices
            _, dy = its_loss(router.forward(twin, x, target), target)
            if again and change is not None:
                for above in _above(twin, name):
                    W = twin[above].params["W"]
                    W[...] = change(W)
            router.backward(twin, dy, target)
        return {key: value.copy() for key, value in twin[name].grads.items()}

    changes = {
        SIGNS: lambda W: W * rng.permutation([1.0, -1.0] * W.size)[: W.size].reshape(W.shape),
        WEIGHTS: lambda W: W * rng.uniform(0.2, 3.0, W.shape),
    }
    found = {}
    for node in net.homes:
        if not node.layer.params or not _above(net, node.name):
            continue
        before = learned(node.name, None)
        found[node.name] = NOTHING
        for what, change in changes.items():
            after = learned(node.name, change)
            if any(_differs(after[key], value) for key, value in before.items()):
                found[node.name] = what
    return WeightTransport(repr(rule), found)


def _above(net: Network, name: str) -> list[str]:
    """Return the weighted layers that depend on a layer's output."""
    reached = {name}
    for node in net.nodes:
        if reached & set(node.inputs):
            reached.add(node.name)
    nodes = [node for node in net.nodes if node.name in reached - {name}]
    return [node.name for node in nodes if node.layer.weighted and node.home != name]


def _differs(a: Array, b: Array) -> bool:
    return bool(np.linalg.norm(a - b) > NOTICED * np.linalg.norm(b))
