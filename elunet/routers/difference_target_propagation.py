"""Difference target propagation: targets are sent back through learned inverses."""

from __future__ import annotations

import numpy as np

from elunet._checks import number
from elunet._quiet import quiet
from elunet._types import Array, Shape
from elunet.graph import Node
from elunet.init import Glorot, Initializer
from elunet.layers.base import Layer
from elunet.network import Network
from elunet.routers.base import Path
from elunet.routers.beside import Beside
from elunet.routers.chain import Chain, part
from elunet.routers.memory import count
from elunet.routers.random_router import RandomRouter, generator, given


class DifferenceTargetPropagation(Beside, RandomRouter):
    r"""Give each hidden unit k a target t_k, and let it learn from ``|h_k - t_k|^2 / N``.

    h_k is the activity that the next weighted layer takes. The target of the last hidden unit is a
    step down the loss, the others come through learned inverses g:

    .. math::
        t_{K-1} = h_{K-1} - \text{step} \, e W_K^\top, \qquad
        t_{k-1} = h_{k-1} + g_k(t_k) - g_k(h_k), \qquad g_k(h) = \tanh(h V_k)

    with each example's error e = N dL/dlogits. The output layer learns exactly. V_k learns to undo
    its unit f_k near h, from ``|g_k(f_k(h_{k-1} + noise)) - (h_{k-1} + noise)|^2 / N``; the
    optimizer updates it by ``optimizer.step(net, router)``, which the trainer does.

    Parameters
    ----------
    seed : int, default 0
        Of V and the noise.
    step : float, default 0.1
        Above 0. Hidden units' gradients are in proportion to it.
    noise : float, default 0.1
        Its standard deviation, at least 0.
    distribution : Initializer, optional
        Draws V, by default `elunet.init.Glorot()`.
    scale : float, default 1.0
        A factor of what is drawn.

    Attributes
    ----------
    V : dict of str to array
        By the name of the weighted layer that it undoes: of all hidden units but the first.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range; in `backward`, if the network is not a chain of Linear
        layers and layers without parameters, or has dropout.
    RuntimeError
        In `backward`, if the rule's own ``forward(net, x, target)`` did not come before.

    Notes
    -----
    An inverse gives numbers in (-1, 1): it fits tanh units, as in the publication.

    References
    ----------
    Lee, Zhang, Fischer, Bengio, "Difference Target Propagation", ECML PKDD 2015, arXiv:1412.7525.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.routers.DifferenceTargetPropagation(seed=1)
    DifferenceTargetPropagation(seed=1, step=0.1, noise=0.1)
    """

    remembers = RandomRouter.remembers | {"passes": count}

    def __init__(
        self,
        seed: int = 0,
        step: float = 0.1,
        noise: float = 0.1,
        distribution: Initializer | None = None,
        scale: float = 1.0,
    ) -> None:
        super().__init__(seed, distribution, scale)
        self.step = number(type(self).__name__, "step", step, "(0, inf)")
        self.noise = number(type(self).__name__, "noise", noise, "[0, inf)")
        self.passes = 0
        self._grads: dict[str, Array] = {}

    @property
    def V(self) -> dict[str, Array]:  # noqa: N802 - a matrix's name
        """The inverses' matrices, by the name of the weighted layer that they undo."""
        return self.drawn

    def draws(self, name: str, shape: Shape) -> Initializer:
        """Return Glorot's, for inverses with tanh."""
        return Glorot()

    @quiet
    def begin(self, net: Network, dy: Array | tuple[Array, ...], target: Array | None) -> None:
        """Let the inverses learn, with noise on each hidden activity."""
        self._value(net.outputs[0])  # of the last pass, or there is an error
        units, twin = Chain(net, repr(self), rows=True).units, self.again()
        self._above = {above[0].inputs[0]: above for above in units[1:]}
        self._top = units[-1][0].layer
        self.passes += 1
        for unit in units[1:-1]:
            h, name = self._value(unit[0].inputs[0]), unit[0].name
            drawn = generator(self.seed, name, self.passes).standard_normal(h.shape)
            near = h + (self.noise * drawn).astype(h.dtype)
            up = part(twin, unit).forward(near)
            back = self._undo(unit, up, h.shape[1])
            wrong = (2 / len(h)) * (back - near) * (1 - back**2)
            self._grads[f"{name}.V"] = up.T @ wrong

    @quiet
    def arrive(self, layer: Layer, dy: Array) -> Array:
        """Return the slope of ``|h - t|^2 / N`` at a hidden unit's end."""
        name = self.name_of(layer)
        above = self._above.get(name)
        if above is None:
            return dy
        h = self._value(name)
        if above[0].layer is self._top:
            t = h - self.step * len(h) * dy
        else:
            end, width = above[-1].name, h.shape[1]
            aim, there = self.signals[f"{end}.target"], self._value(end)
            t = h + self._undo(above, aim, width) - self._undo(above, there, width)
        self.signals[f"{name}.target"] = t
        return (2 / len(h)) * (h - t)

    def send(self, layer: Layer, dy: Array) -> Array:
        """Return the output layer's exact signal, and zeros from all others."""
        return layer.backward_input(dy) if layer is self._top else super().send(layer, dy)

    def _undo(self, unit: list[Node], h: Array, width: int) -> Array:
        """Return g(h), a unit's inverse applied to its output."""
        V = self.matrix(unit[0].name, (h.shape[1], width))
        back: Array = np.tanh(h @ V.astype(h.dtype, copy=False))
        return back

    def parameters(self) -> dict[str, Array]:
        """Return {"linear2.V": array, ...}: the live arrays."""
        return {f"{name}.V": V for name, V in self.V.items()}

    def gradients(self) -> dict[str, Array]:
        """Return the inverses' gradients; {} before the first backward pass."""
        return self._grads

    def paths(self, net: Network) -> list[Path]:
        """Return the paths of targets: exact to the last hidden unit, then through inverses."""
        top = Chain(net, repr(self), rows=True).weighted[-1].name
        return [
            path._replace(kind="exact") if path.source == top else path
            for path in super().paths(net)
        ]

    def __repr__(self) -> str:
        numbers = f"step={self.step:g}, noise={self.noise:g}"
        return f"DifferenceTargetPropagation(seed={self.seed}, {numbers}{given(self)})"
