"""What routers share that change another rule's gradients after its walk."""

from __future__ import annotations

from typing import Any

from elunet._types import Array
from elunet.routers.base import Router


class Wrapper(Router):
    """A router around another; a subclass overrides `backward`, and runs `self.router` in it.

    Parameters
    ----------
    router : Router
        The rule inside.

    Raises
    ------
    TypeError
        If `router` is no router.
    """

    def __init__(self, router: Router) -> None:
        super().__init__()
        if not isinstance(router, Router):
            raise TypeError(f"{type(self).__name__}: expected router as a Router, got {router!r}")
        self.router = router

    def parameters(self) -> dict[str, Array]:
        """Return what the rule learns."""
        return self.router.parameters()

    def gradients(self) -> dict[str, Array]:
        """Return the gradients of `parameters`."""
        return self.router.gradients()

    def state(self) -> dict[str, Any]:
        """Return what both remember."""
        return super().state() | {"router": self.router.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a `state`."""
        if "router" not in state:
            raise ValueError(f"{self!r}: expected a state with the rule's, got {sorted(state)}")
        super().restore({key: value for key, value in state.items() if key != "router"})
        self.router.restore(state["router"])
