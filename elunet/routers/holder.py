"""What routers share that hold other routers: they pass each call on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from elunet._types import Array
from elunet.network import Network, Tap
from elunet.routers.base import Path, Router


class Holder(Router):
    """A router that holds others.

    Parameters
    ----------
    held : dict of {str: Router}

    Attributes
    ----------
    held : dict of {str: Router}

    Raises
    ------
    ValueError
        Whenever it is asked something while it holds itself, at whatever depth.
    """

    def __init__(self, held: Mapping[str, Router]) -> None:
        super().__init__()
        self._held = dict(held)

    @property
    def held(self) -> dict[str, Router]:
        """The routers that it holds."""
        todo, seen = list(self._held.values()), set[int]()
        while todo:
            router = todo.pop()
            if router is self:
                raise ValueError(
                    f"{type(self).__name__}: expected a router that does not hold itself, got one"
                    " that does"
                )
            if isinstance(router, Holder) and id(router) not in seen:
                seen.add(id(router))
                todo += router._held.values()
        return self._held

    def parameters(self) -> dict[str, Array]:
        """Return what the rules learn."""
        return {k: v for rule in self.held.values() for k, v in rule.parameters().items()}

    def gradients(self) -> dict[str, Array]:
        """Return the gradients of `parameters`."""
        return {k: v for rule in self.held.values() for k, v in rule.gradients().items()}

    @property
    def by_rows(self) -> bool:
        """Whether all rules learn from sums over rows."""
        return all(rule.by_rows for rule in self.held.values())

    @property
    def is_random(self) -> bool:
        """Whether the signals of at least one rule depend on random matrices."""
        return any(rule.is_random for rule in self.held.values())

    def redrawn(self, seed: int) -> Self:
        """Return a twin that holds twins of the rules, each with its own seed."""
        twin = super().redrawn(seed)
        seeds = np.random.SeedSequence(seed).generate_state(len(self.held), np.uint64)
        twin._held = {
            key: rule.redrawn(int(its))
            for (key, rule), its in zip(self.held.items(), seeds, strict=True)
        }
        return twin

    def state(self) -> dict[str, Any]:
        """Return what it and every rule remember."""
        return super().state() | {"held": {key: rule.state() for key, rule in self.held.items()}}

    def checked(self, state: dict[str, Any]) -> list[tuple[Router, dict[str, Any]]]:
        """Return copies of a state's values with their owners, including those of each rule."""
        states = state.get("held") if isinstance(state, dict) else None
        if not isinstance(states, dict) or states.keys() != self.held.keys():
            got = list(states) if isinstance(states, dict) else repr(states)
            raise ValueError(
                f"{self!r}: expected a state with the states of {list(self.held)}, got {got}"
            )
        found = super().checked({key: value for key, value in state.items() if key != "held"})
        for key, rule in self.held.items():
            found += rule.checked(states[key])
        return found

    def _shared(self) -> list[Any]:
        return [*super()._shared(), self._held]  # `redrawn` puts twins of the rules in its place


class Wrapper(Holder):
    """A router that changes another's gradients after its walk.

    A subclass overrides `backward`, and runs `self.told()` in it.

    Parameters
    ----------
    router : Router
        The rule inside.

    Raises
    ------
    TypeError
        If `router` is not a router.
    """

    def __init__(self, router: Router) -> None:
        if not isinstance(router, Router):
            raise TypeError(f"{type(self).__name__}: expected router as a Router, got {router!r}")
        super().__init__({"router": router})

    @property
    def router(self) -> Router:
        """The rule inside."""
        return self.held["router"]

    def told(self) -> Router:
        """Return the rule inside, which is told the epoch and the loss."""
        self.router.epoch = self.epoch
        self.router.tell(self.loss)
        return self.router

    def forward(
        self, net: Network, x: Array, target: Array | None = None, tap: Tap | None = None
    ) -> Array:
        """Leave the pass to the rule inside."""
        return self.told().forward(net, x, target, tap)

    def predict(self, net: Network, x: Array) -> Array:
        """Return what the rule inside predicts."""
        return self.told().predict(net, x)

    def feedback_weight(self, net: Network, name: str) -> Array | None:
        """Return what the rule inside says."""
        return self.router.feedback_weight(net, name)

    def forward_weight(self, net: Network, name: str) -> Array | None:
        """Return what the rule inside says."""
        return self.router.forward_weight(net, name)

    def paths(self, net: Network) -> list[Path]:
        """Return what the rule inside says."""
        return self.router.paths(net)
