"""Equilibrium propagation: a network settles twice, free and nudged, and learns the difference."""

from __future__ import annotations

import numpy as np

from elunet._checks import integer, number
from elunet._quiet import quiet
from elunet._types import Array
from elunet.graph import INPUT, Node
from elunet.layers.base import Layer
from elunet.network import Network, Tap
from elunet.routers.beside import Beside
from elunet.routers.chain import Chain, part


class EquilibriumPropagation(Beside):
    r"""Let symmetric connections settle to s^0, then to s^beta with the output pulled; compare.

    Each Linear layer works both ways, W_k up and its transpose down. With s_0 the input and f_k the
    activation after layer k (none at the output is the identity), a step of settling is

    .. math::
        s_k \leftarrow s_k + \text{rate} \, \bigl(f_k(s_{k-1} W_k + b_k + s_{k+1} W_{k+1}^\top)
        - s_k\bigr)

    and the output's input has ``-beta e`` added in the nudged phase, with each example's error e =
    N dL/ds_K. The gradient is the same for all layers, and local:

    .. math::
        dW_k = -\frac{1}{N \beta}
        \bigl(s_{k-1}^{\beta\top} s_k^\beta - s_{k-1}^{0\top} s_k^0\bigr)

    What the network says, in training and in evaluation, is the output s_K of the free phase.

    Parameters
    ----------
    beta : float, default 0.5
        The pull, not 0.
    free : int, default 20
        Steps of settling without the pull, at least 1.
    nudged : int, default 10
        Steps of settling with the pull, at least as many as there are layers.
    rate : float, default 0.5
        In (0, 1].
    centered : bool, default False
        Whether the second state settles with the pull -beta in place of 0, and ``2 beta`` divides:
        twice the cost, and an error of order beta^2 in place of beta.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range; in `forward`, `backward` and `predict`, if the network is
        not a chain of Linear layers, each with layers without parameters that work number by number
        after it, at most.
    RuntimeError
        In `backward`, if the rule's own ``forward(net, x, target)`` did not come before.

    Notes
    -----
    The publication's activation is the hard sigmoid, here ``ClippedReLU(1)``. Any that rises will
    do; one that has no bounds need not settle. For a small beta and enough steps the gradient is
    that of the loss at the free fixed point. e is kept as it is there; the publication computes it
    again as the output moves, which is the same for a small beta.

    References
    ----------
    Scellier, Bengio, "Equilibrium Propagation: Bridging the Gap between Energy-Based Models and
    Backpropagation", Frontiers in Computational Neuroscience 11, 2017, 10.3389/fncom.2017.00024;
    Laborieux et al., "Scaling Equilibrium Propagation to Deep ConvNets by Drastically Reducing its
    Gradient Estimator Bias", Frontiers in Neuroscience 15, 2021, 10.3389/fnins.2021.633674
    (centered).

    Examples
    --------
    >>> import elunet as eln
    >>> eln.routers.EquilibriumPropagation(beta=0.2, centered=True)
    EquilibriumPropagation(beta=0.2, free=20, nudged=10, rate=0.5, centered=True)
    """

    def __init__(
        self,
        beta: float = 0.5,
        free: int = 20,
        nudged: int = 10,
        rate: float = 0.5,
        centered: bool = False,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.beta = number(name, "beta", beta)
        if self.beta == 0:
            raise ValueError(f"{name}: expected beta other than 0, got {beta!r}")
        self.free, self.nudged = integer(name, "free", free), integer(name, "nudged", nudged)
        self.rate = number(name, "rate", rate, "(0, 1]")
        self.centered = bool(centered)

    def forward(
        self, net: Network, x: Array, target: Array | None = None, tap: Tap | None = None
    ) -> Array:
        """Make a forward pass, and return the output after settling freely from there."""
        self._units(net)
        super().forward(net, x, target, tap)
        _, values = self._values  # type: ignore[misc]  # of the pass that was just made
        self._free = self._settled_freely(net, values)
        return self._free[-1]

    @quiet
    def predict(self, net: Network, x: Array) -> Array:
        """Return the output after settling freely."""
        values = {INPUT: x}
        net.forward(x, tap=lambda name, y: values.update({name: y}))
        return self._settled_freely(net, values)[-1]

    @quiet
    def begin(self, net: Network, dy: Array | tuple[Array, ...], target: Array | None) -> None:
        """Settle with the output pulled, and compare."""
        n, free, units = len(self.x), self._free, self._units(net)
        pull = self.beta * n * np.asarray(dy)
        high = self._settled(net, free, self.nudged, pull)
        low = self._settled(net, free, self.nudged, -pull) if self.centered else free
        factor = -1 / (n * self.beta * (2 if self.centered else 1))
        for k, (linear, *_) in enumerate(units, 1):
            self.signals[linear.name] = factor * (high[k] - low[k])
            products = high[k - 1].T @ high[k] - low[k - 1].T @ low[k]
            self.signals[f"{linear.name}.W"] = factor * products

    @quiet
    def learn(self, layer: Layer, dy: Array) -> None:
        """Take the gradient of W that was found; that of b is the sum of what arrives."""
        layer.store_gradient("W", self.signals[f"{self.name_of(layer)}.W"], dy.dtype)
        if "b" in layer.params:
            layer.store_gradient("b", dy.sum(axis=0), dy.dtype)

    @quiet
    def _settled_freely(self, net: Network, values: dict[str, Array]) -> list[Array]:
        """Return the states after the free phase, from a forward pass's values on."""
        units = self._units(net)
        start = [values[units[0][0].inputs[0]], *(values[unit[-1].name] for unit in units)]
        return self._settled(net, start, self.free)

    def _settled(
        self, net: Network, s: list[Array], steps: int, pull: Array | float = 0.0
    ) -> list[Array]:
        """Return the states, from the input to the output, after some steps from s on."""
        units, twin, dtype = self._units(net), net.aside(), s[0].dtype
        f = [part(twin, after) if after else None for _, *after in units]
        W = [linear.layer.params["W"].astype(dtype, copy=False) for linear, *_ in units]
        b = [linear.layer.params.get("b", np.zeros(1)).astype(dtype) for linear, *_ in units]
        for _ in range(steps):
            z = [below @ W[k] + b[k] for k, below in enumerate(s[:-1])]
            for k, above in enumerate(s[2:]):
                z[k] += above @ W[k + 1].T
            z[-1] -= pull
            aims = [its.forward(each) if its else each for its, each in zip(f, z, strict=True)]
            s = [
                s[0],
                *(now + self.rate * (aim - now) for now, aim in zip(s[1:], aims, strict=True)),
            ]
        return s

    def _units(self, net: Network) -> list[list[Node]]:
        """Return the units, if that is what they are."""
        units = Chain(net, repr(self), rows=True).units
        for node in [node for unit in units for node in unit[1:] if not node.layer.pointwise]:
            raise ValueError(
                f"{self!r}: expected nothing but activations after Linear layers, got {node.name},"
                f" {node.about}"
            )
        return units

    def _kind(self, node: Node) -> str:
        return "exact"  # through W, and through the activations as they settle

    def __repr__(self) -> str:
        text = f"beta={self.beta:g}, free={self.free}, nudged={self.nudged}, rate={self.rate:g}"
        return f"EquilibriumPropagation({text}{', centered=True' if self.centered else ''})"
