"""What routers share that change another rule's gradients after its walk."""

from __future__ import annotations

from elunet._types import Array
from elunet.network import Network, Node
from elunet.routers.base import Path, Router
from elunet.routers.holder import Holder


class Wrapper(Holder):
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
        if not isinstance(router, Router):
            raise TypeError(f"{type(self).__name__}: expected router as a Router, got {router!r}")
        super().__init__({"router": router})

    @property
    def router(self) -> Router:
        """The rule inside."""
        return self.held["router"]

    def feedback_weight(self, net: Network, name: str) -> Array | None:
        """Return what the rule inside says."""
        return self.router.feedback_weight(net, name)

    def links(self, net: Network, node: Node) -> list[Path]:
        """Return what the rule inside says."""
        return self.router.links(net, node)
