"""Averages of the weights over a run, which often predict better than the last weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from elunet._checks import choice, count, integer, number
from elunet._types import Array
from elunet.data import Batches
from elunet.layers import BatchNorm
from elunet.network import Network
from elunet.train.callbacks import Callback
from elunet.train.guards import States, first_not_finite, is_finite
from elunet.train.history import Epoch

if TYPE_CHECKING:
    from elunet.train import Trainer


class WeightAverage(Callback):
    r"""Keeps an average of the parameters, while the network's training is unchanged.

    With `decay` it is exponential (EMA), else the plain mean (stochastic weight averaging, SWA):

    .. math::
        a \leftarrow \delta a + (1 - \delta) w
        \qquad\text{or}\qquad
        a \leftarrow a + \frac{w - a}{n}

    for the n-th weights w; it begins with the first. It is kept in float64.

    Parameters
    ----------
    decay : float, optional
        delta, in [0, 1).
    start : int, default 0
        Epochs to let pass before.
    per : {"epoch", "step"}, default "epoch"
        After what weights are taken in.

    Attributes
    ----------
    averages : dict of {str: array}
        By name, as in ``net.parameters()``; empty before the first.
    count : int
        Weights taken in.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    References
    ----------
    Polyak, Juditsky, *Acceleration of Stochastic Approximation by Averaging*, 1992,
    10.1137/0330046; Izmailov et al., *Averaging Weights Leads to Wider Optima and Better
    Generalization*, 2018, arXiv:1803.05407.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> x, y = np.eye(4, dtype=np.float32), np.arange(4)
    >>> net = eln.Sequential([eln.layers.Linear(4, 4)], seed=0)
    >>> average = eln.WeightAverage(decay=0.9, per="step")
    >>> loss, optimizer = eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(0.1)
    >>> trainer = eln.Trainer(net, loss, optimizer, callbacks=[average])
    >>> history = trainer.fit((x, y), epochs=3)
    >>> average.put_into(net, x)
    >>> average.count
    3
    """

    def __init__(self, decay: float | None = None, start: int = 0, per: str = "epoch") -> None:
        name = "WeightAverage"
        self.decay = None if decay is None else number(name, "decay", decay, "[0, 1)")
        self.start = integer(name, "start", start, 0)
        choice(name, "per", per, ("epoch", "step"))
        self.per = per
        self.averages: dict[str, Array] = {}
        self.count = 0

    def on_step(self, trainer: Trainer, loss: float) -> None:
        """Add the weights to the average, if it is updated after each step."""
        if self.per == "step":
            self._take_in(trainer)

    def on_epoch_end(self, trainer: Trainer, row: Epoch) -> None:
        """Add the weights to the average, if it is updated after each epoch."""
        if self.per == "epoch":
            self._take_in(trainer)

    def put_into(self, net: Network, x: Array | None = None, batch_size: int = 100) -> None:
        """Write the averages into a network's parameters.

        Parameters
        ----------
        net : Network
        x : array, optional
            Training examples to estimate batch normalization's statistics again with: those of the
            run belong to other weights. Needed where there are such layers; see `reestimate`.
        batch_size : int, default 100

        Raises
        ------
        RuntimeError
            If no weights have been taken in.
        TypeError, ValueError
            If the network's parameters have other names or shapes, or one is read-only, or x is
            missing, or does not fit the network, or gives statistics that are not finite; nothing
            has been changed then.
        """
        if not self.averages:
            raise RuntimeError("WeightAverage: expected a call of fit before put_into, got none")
        parameters = net.parameters()
        self._check(parameters)
        if x is None and _normalizations(net):
            raise ValueError(
                "WeightAverage.put_into: expected x, to estimate batch normalization's statistics"
                " again, got None"
            )
        before = {name: array.copy() for name, array in parameters.items()}
        try:
            for name, array in parameters.items():
                array[...] = self.averages[name]
            if x is not None:
                reestimate(net, x, batch_size)
        except BaseException:
            for name, array in parameters.items():
                if array.flags.writeable:
                    array[...] = before[name]
            raise

    def _take_in(self, trainer: Trainer) -> None:
        if trainer.optimizer.epoch < self.start:
            return
        parameters = trainer.net.parameters()
        self.count += 1
        if not self.averages:
            self.averages = {name: w.astype(np.float64) for name, w in parameters.items()}
            return
        self._check(parameters)
        share = 1 / self.count if self.decay is None else 1 - float(self.decay)
        for name, w in parameters.items():
            average = self.averages[name]
            average += share * (w - average)

    def _check(self, parameters: Mapping[str, Array]) -> None:
        wanted = {name: w.shape for name, w in parameters.items()}
        kept = {name: w.shape for name, w in self.averages.items()}
        if wanted != kept:
            raise ValueError(f"WeightAverage: expected parameters {kept}, got {wanted}")

    def state(self) -> dict[str, Any]:
        """Return a copy of count and averages."""
        averages = {name: array.copy() for name, array in self.averages.items()}
        return {"count": self.count, "averages": averages}

    def restore(self, state: Any) -> None:
        """Go back to a `state`; raise an error and change nothing if it is not one."""
        averages = {name: np.array(array, np.float64) for name, array in state["averages"].items()}
        taken = count("WeightAverage.restore", "count", state["count"])
        if bool(taken) != bool(averages) or not all(map(is_finite, averages.values())):
            raise ValueError(
                "WeightAverage.restore: expected finite averages of as many weights as counted, got"
                f" a count of {taken} and averages of {[*averages]}"
            )
        self.count, self.averages = taken, averages


def reestimate(net: Network, x: Array, batch_size: int = 100) -> None:
    """Estimate the running mean and variance of all `BatchNorm` layers again.

    Each becomes the mean over the batches of what training computes of a batch, in which dropout is
    at work as well. Generators are restored. Weights stay as they are. After an error, so do the
    statistics.

    Parameters
    ----------
    net : Network
    x : array of shape (N, ...)
        Training examples, as the network takes them.
    batch_size : int, default 100
        A last batch of a single example is left out.

    Raises
    ------
    TypeError, ValueError
        If there are fewer than two examples, or they do not fit the network, or the statistics
        would not be finite.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.BatchNorm(1)])
    >>> eln.train.reestimate(net, np.array([[1.0], [3.0]]))
    >>> net["batchnorm1"].state["running_mean"]
    array([2.])
    """
    if len(x) < 2:
        raise ValueError(f"reestimate: expected x of at least 2 examples, got shape {np.shape(x)}")
    layers = _normalizations(net)
    momenta = [layer.momentum for layer in layers]
    generators = [layer.rng for layer in net.layers if layer.rng is not None]
    drawn = [generator.bit_generator.state for generator in generators]
    states = States(net)
    try:
        for k, batch in enumerate(Batches(x, np.zeros(len(x)), batch_size, shuffle=False)):
            if len(batch[0]) < 2:
                continue
            for layer in layers:
                layer.momentum = 1 / (k + 1)
                if "batches" in layer.state:
                    layer.state["batches"] = np.array(float(k + 1))
            net.forward(batch[0], train=True)
        for node in net.nodes:
            if name := first_not_finite(node.layer.state.items()):
                raise ValueError(
                    f"reestimate: expected x that gives finite statistics, got a NaN or an infinity"
                    f" in {node.name}.{name}"
                )
    except BaseException:
        states.put_back()
        raise
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        for generator, state in zip(generators, drawn, strict=True):
            generator.bit_generator.state = state


def _normalizations(net: Network) -> list[BatchNorm]:
    return [node.layer for node in net.homes if isinstance(node.layer, BatchNorm)]
