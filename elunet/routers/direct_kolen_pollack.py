"""Direct Kolen-Pollack: the matrices of direct feedback alignment are learned too."""

from __future__ import annotations

from elunet._quiet import quiet
from elunet._types import Array
from elunet.init import Initializer
from elunet.layers.base import Layer
from elunet.routers.direct_feedback_alignment import DirectFeedbackAlignment


class DirectKolenPollack(DirectFeedbackAlignment):
    """Direct feedback alignment whose B_k learns as a weight from h_k to the output would.

    With h_k, of shape (N, n), the output to which ``e B_k`` is sent, the gradient of B_k is

    ``dB_k = e^T h_k``.

    That is the transposed gradient of a layer that would add ``h_k B_k^T`` to the logits, so B_k
    comes to stand for what the layers between do. For the output layer it is its own gradient:
    with an L2 penalty B_k converges to W transposed, as in `KolenPollack`. The optimizer updates
    the B_k by ``optimizer.step(net, router)``, which the trainer does.

    Parameters
    ----------
    seed, shared, distribution, before_pooling, scale
        As in `DirectFeedbackAlignment`; here the B_k drawn are the start. With `shared`, h_k is
        summed over positions.

    Raises
    ------
    RuntimeError
        In `backward`, if the rule's own ``forward`` did not make the last forward pass.

    References
    ----------
    Webster, Choi, Ahn, "Learning the Connections in Direct Feedback Alignment", 2020,
    openreview.net/forum?id=zgGmAx9ZcY.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.routers.DirectKolenPollack(seed=1)
    DirectKolenPollack(seed=1, shared=False)
    """

    wants = True

    def __init__(
        self,
        seed: int = 0,
        shared: bool = False,
        distribution: Initializer | None = None,
        before_pooling: bool = False,
        scale: float = 1.0,
    ) -> None:
        super().__init__(seed, shared, distribution, before_pooling, scale)
        self._gradients: dict[str, Array] = {}

    @quiet
    def send(self, layer: Layer, dy: Array) -> Array:
        """Return the projection, and note the gradient of its matrix."""
        way, down = self.shortcut_at(layer), super().send(layer, dy)
        if way is not None:
            h = self.output_of(self.net[way.target])
            if self.shared:
                h = h.sum(axis=tuple(range(1, h.ndim - 1)))
            e = self.message(way.source)
            self._gradients[self.name_of(layer)] = e.T @ h.reshape(len(h), -1)
        return down

    def parameters(self) -> dict[str, Array]:
        """Return {"conv2.B": array, ...}: the live arrays."""
        return {f"{name}.B": B for name, B in self.B.items()}

    def gradients(self) -> dict[str, Array]:
        """Return those of the last walk; {} before the first one."""
        return {f"{name}.B": g for name, g in self._gradients.items() if name in self.B}
