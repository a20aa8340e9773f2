"""Node perturbation: noise on the units, and what it does to each example's loss."""

from __future__ import annotations

from elunet._quiet import quiet
from elunet._types import Array
from elunet.network import Network
from elunet.routers.perturbed import Differences, times


class NodePerturbation(Differences):
    r"""Let ``(L_n(z + sigma u) - L_n(z)) / sigma * u`` arrive at the outputs z of layers.

    These are all layers with parameters. u is drawn from N(0, 1) for each unit, example and step,
    and L_n is example n's part of the loss. For a small sigma the mean over many draws is the
    gradient dL/dz; a single draw points there by chance only, the less the more units there are.
    Nothing goes back: all layers hear the same N numbers. Each layer learns from what arrives as in
    backpropagation.

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
    BatchNorm lets one example's noise change others' losses, which is not taken into account.
    Dropout's masks are those of the clean pass.

    References
    ----------
    Widrow, Lehr, "30 years of adaptive neural networks: perceptron, madaline, and
    backpropagation", Proceedings of the IEEE 78, 1990, 10.1109/5.58323; Werfel, Xie, Seung,
    "Learning curves for stochastic gradient descent in linear feedforward networks", Neural
    Computation 17, 2005, 10.1162/089976605774320539.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.routers.NodePerturbation(seed=1, draws=10)
    NodePerturbation(sigma=0.001, seed=1, draws=10)
    """

    def __init__(self, sigma: float = 1e-3, seed: int = 0, draws: int = 1) -> None:
        super().__init__(sigma, seed, draws)

    @quiet
    def begin(self, net: Network, dy: Array | tuple[Array, ...], target: Array | None) -> None:
        """Run the network with noise, and find the estimates."""
        x, change = self.x, self.comparison(net, dy, target)
        self.passes += 1
        names = [node.name for node in net.nodes if node.layer.params]
        for draw in range(self.draws):
            u = {name: self.direction(name, net.shapes[name], draw, x.dtype) for name in names}
            noise = {name: x.dtype.type(self.sigma) * u[name] for name in names}
            change_n = change(self.again().forward(x, train=True, keep=False, add=noise))
            for name in names:
                self.add(name, times(change_n, u[name]))
