"""Weight perturbation: noise on the weights, and what it does to the loss."""

from __future__ import annotations

from elunet._quiet import quiet
from elunet._types import Array
from elunet.network import Network
from elunet.routers.perturbed import Differences


class WeightPerturbation(Differences):
    r"""Take ``(L(w + sigma v) - L(w)) / sigma * v`` for the gradient of all parameters w.

    v is drawn from N(0, 1) for each parameter and step, the same for all examples. For a small
    sigma the mean over many draws is the gradient; a single draw is a step up or down along a
    random direction. Nothing goes back: all layers hear the same one number.

    Parameters
    ----------
    sigma : float, default 0.001
        The noise's standard deviation, above 0. With float32 a much smaller one drowns in rounding.
    seed : int, default 0
        Of the noise.
    draws : int, default 1
        Of how many draws each step takes the mean; each costs a forward pass.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range; in `backward`, if there is no target or no `loss`, or if the
        network has several outputs.
    RuntimeError
        In `backward`, if the rule's own ``forward(net, x, target)`` did not come before.

    Notes
    -----
    Shared weights get the same noise in every place. Dropout's masks are those of the clean pass.

    References
    ----------
    Jabri, Flower, "Weight perturbation: an optimal architecture and learning technique for analog
    VLSI feedforward and recurrent multilayer networks", Neural Computation 3, 1991,
    10.1162/neco.1991.3.4.546; Cauwenberghs, "A Fast Stochastic Error-Descent Algorithm for
    Supervised Learning and Optimization", NIPS 1992.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.routers.WeightPerturbation(seed=1, draws=10)
    WeightPerturbation(sigma=0.001, seed=1, draws=10)
    """

    def __init__(self, sigma: float = 1e-3, seed: int = 0, draws: int = 1) -> None:
        super().__init__(sigma, seed, draws)

    @quiet
    def begin(self, net: Network, dy: Array | tuple[Array, ...], target: Array | None) -> None:
        """Run the network with noise on its weights, and find the estimates."""
        x, change = self.x, self.comparison(net, dy, target)
        self.passes += 1
        for draw in range(self.draws):
            v = {
                name: self.direction(name, w.shape, draw, x.dtype)
                for name, w in net.parameters().items()
            }
            twin = self.again()
            for node in twin.homes:  # twins have the parameters' dicts in common with the network
                node.layer.params = {
                    key: w + x.dtype.type(self.sigma) * v[f"{node.name}.{key}"]
                    for key, w in node.layer.params.items()
                }
            slope = change(twin.forward(x, train=True, keep=False)).sum()
            for name, direction in v.items():
                self.add(name, slope.astype(x.dtype) * direction)
