"""Predictive coding: activities settle between their predictions and the target, then W learns."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from elunet._checks import integer, number
from elunet._quiet import quiet
from elunet._types import Array
from elunet.graph import Node
from elunet.layers.base import Layer
from elunet.network import Network
from elunet.routers.beside import Beside, learn_as
from elunet.routers.chain import Chain, part


class PredictiveCoding(Beside):
    r"""Let the values v_k of each example settle, then let each layer learn from its own error.

    v_k stands for the output of the weighted layer k, ``p_k = f_k(v_{k-1}) W_k + b_k`` for its
    prediction from below, f_k for what lies between. In a number of steps the values go down the
    slope of the energy

    .. math::
        E = \sum_k \frac{\lVert v_k - p_k \rVert^2}{2 s_k}, \qquad
        \epsilon_k = \frac{v_k - p_k}{s_k}, \qquad
        v_k \leftarrow v_k + \text{rate} \, (J_{k+1}^\top \epsilon_{k+1} - \epsilon_k)

    from the forward pass on, while the input is held, and the output K at ``v_K = z - e`` for the
    logits z with the error e = N dL/dz: for a squared error at its target. s_K is the variance of
    the output, and all others are 1. Then W_k learns from its own ends only, ``dW_k =
    -f_k(v_{k-1})^T epsilon_k s_K / N``.

    Parameters
    ----------
    steps : int, default 20
        At least as many as there are weighted layers, or the lowest hear nothing.
    rate : float, default 0.1
        In (0, 1].
    variance : float, default 1.0
        s_K, above 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range; in `backward`, if the network is not a chain of weighted
        layers and layers without parameters that ends in a weighted one, or has dropout.
    RuntimeError
        In `backward`, if the rule's own ``forward(net, x, target)`` did not come before.

    Notes
    -----
    The larger the output's variance, the less the values move, and for enough steps the gradients
    become backpropagation's. The factor s_K keeps their size. A step costs as many forward and
    backward passes as `steps`.

    References
    ----------
    Whittington, Bogacz, "An Approximation of the Error Backpropagation Algorithm in a Predictive
    Coding Network with Local Hebbian Synaptic Plasticity", Neural Computation 29, 2017,
    10.1162/NECO_a_00949.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.routers.PredictiveCoding(steps=50)
    PredictiveCoding(steps=50, rate=0.1, variance=1)
    """

    def __init__(self, steps: int = 20, rate: float = 0.1, variance: float = 1.0) -> None:
        super().__init__()
        self.steps = integer("PredictiveCoding", "steps", steps)
        self.rate = number("PredictiveCoding", "rate", rate, "(0, 1]")
        self.variance = number("PredictiveCoding", "variance", variance, "(0, inf)")

    @quiet
    def begin(self, net: Network, dy: Array | tuple[Array, ...], target: Array | None) -> None:
        """Let the values settle, and the layers of a twin learn."""
        chain, n, x = Chain(net, repr(self)), len(dy), self.x
        if len(chain.units[-1]) > 1:
            raise ValueError(
                f"{self!r}: expected a weighted layer at the end, got {net.nodes[-1].about}"
            )
        twin = self.again()
        parts = [part(twin, nodes) for nodes in predictions(chain)]
        first = parts[0].forward(x, train=True)
        v = [x, *(self._value(node.name) for node in chain.weighted)]
        v[-1] = v[-1] - n * np.asarray(dy)
        for _ in range(self.steps):
            errors = self._errors(parts, v, first)
            for k in range(1, len(parts)):
                down = parts[k].walk(errors[k], to_input=True, learn=_nothing)
                v[k] = v[k] + self.rate * (down - errors[k - 1])
        errors = self._errors(parts, v, first)
        for its, error, node in zip(parts, errors, chain.weighted, strict=True):
            self.signals[node.name] = -error * (self.variance / n)
            its.backward(self.signals[node.name])

    def _errors(self, parts: list[Network], v: list[Array], first: Array) -> list[Array]:
        """Return the values' errors; what the first one is predicted from never changes."""
        taken = zip(parts[1:], v[1:-1], strict=True)
        predictions = [first, *(its.forward(below, train=True) for its, below in taken)]
        found = [value - p for value, p in zip(v[1:], predictions, strict=True)]
        found[-1] /= self.variance
        return found

    def learn(self, layer: Layer, dy: Array) -> None:
        """Take what the layer learned from the settled values."""
        learn_as(layer, self.twin[self.name_of(layer)])

    def _kind(self, node: Node) -> str:
        return "exact"  # through W and the slopes, where the values have settled

    def __repr__(self) -> str:
        numbers = f"steps={self.steps}, rate={self.rate:g}, variance={self.variance:g}"
        return f"PredictiveCoding({numbers})"


def predictions(chain: Chain) -> list[list[Node]]:
    """Return the layers from one weighted layer's output to the next one's."""
    return [
        [*chain.before, chain.units[0][0]],
        *([*below[1:], above[0]] for below, above in pairwise(chain.units)),
    ]


def _nothing(layer: Layer, dy: Array) -> None:
    """Learn nothing in the walk."""
