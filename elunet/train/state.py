"""The state of a whole run, as a tree: everything that the next step depends on.

Every part gives its own with `state()` and takes it back with `restore(state)`: optimizer, router,
position, and the layers and callbacks through `Layers` and `Callbacks`. (The batches' is restored
by `Trainer.fit`, when there are data.)
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from elunet.network import Network
from elunet.storage.trees import Stateful, Tree
from elunet.storage.weights import fitting, network_arrays
from elunet.train.callbacks import Callback, stateful

if TYPE_CHECKING:
    from elunet.train import Trainer


def capture(trainer: Trainer) -> dict[str, Any]:
    """Return the state of each part of a run."""
    return {name: part.state() for name, part in parts(trainer).items()}


def restore(trainer: Trainer, state: Tree) -> None:
    """Restore a run's `capture`: all parts, or none if one refuses its state."""
    all_parts = parts(trainer)
    before = copy.deepcopy(capture(trainer))
    try:
        for name, part in all_parts.items():
            part.restore(state[name])
        _check_fit(trainer)
    except Exception:
        for name, part in all_parts.items():
            part.restore(before[name])
        raise


def parts(trainer: Trainer) -> dict[str, Stateful]:
    """Return the parts with a state, by name."""
    return {
        "layers": Layers(trainer.net),
        "optimizer": trainer.optimizer,
        "router": trainer.router,
        "callbacks": Callbacks(trainer.callbacks),
        "position": trainer.position,
    }


def _check_fit(trainer: Trainer) -> None:
    """Raise an error unless the optimizer's state belongs to this network."""
    optimizer, weights = trainer.optimizer, trainer.net.parameters()
    optimizer.check(weights, weights)  # gradients have their weights' shapes
    missing = weights.keys() - optimizer.buffers.keys()
    if optimizer.buffers and missing:
        raise ValueError(f"expected an optimizer's state of all weights, got none of {missing}")


class Layers:
    """The state of a network's layers: `params`, `state`, and the state of `rng`."""

    def __init__(self, net: Network) -> None:
        self.net = net

    def state(self) -> Tree:
        """Return {"arrays": {"conv1.W": a copy, ...}, "generators": {"dropout1": state, ...}}."""
        return {
            "arrays": {name: value.copy() for name, value in network_arrays(self.net).items()},
            "generators": {
                node.name: node.layer.rng.bit_generator.state
                for node in self.net.homes
                if node.layer.rng is not None
            },
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a `state`; one that does not fit changes nothing.

        Arrays are written to in place, unless they are read-only or of another dtype.
        """
        arrays = fitting(
            "Layers", "the state", network_arrays(self.net), state["arrays"], cast=False
        )
        generators = self._generators(state["generators"])
        for node in self.net.homes:
            for values in (node.layer.params, node.layer.state):
                for key, there in values.items():
                    new = arrays[f"{node.name}.{key}"]
                    if there.dtype == new.dtype and there.flags.writeable:
                        there[...] = new
                    else:
                        values[key] = new.copy()
            if node.layer.rng is not None:
                node.layer.rng.bit_generator.state = generators[node.name]

    def _generators(self, states: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the states of the layers' generators, after checking them."""
        rngs = {node.name: node.layer.rng for node in self.net.homes if node.layer.rng is not None}
        if states.keys() != rngs.keys():
            raise ValueError(f"Layers: expected generators of {[*rngs]}, got {[*states]}")
        for name, rng in rngs.items():
            copy.deepcopy(rng).bit_generator.state = states[name]  # raises if it is not one
        return states


class Callbacks:
    """The state of a run's callbacks, of all that override `Callback.state`."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self.callbacks = stateful(callbacks)

    def state(self) -> list[Any]:
        """Return [[class name, state], ...]."""
        return [[type(one).__name__, one.state()] for one in self.callbacks]

    def restore(self, state: Sequence[Any]) -> None:
        """Go back to a `state`."""
        names = [type(one).__name__ for one in self.callbacks]
        if [name for name, _ in state] != names:
            raise ValueError(f"expected the states of callbacks {names}, got {state}")
        for callback, (_, its) in zip(self.callbacks, state, strict=True):
            callback.restore(its)
