"""Learning rules: one file each, over one shared walk."""

from elunet.routers.backprop import Backprop
from elunet.routers.base import Router

__all__ = ["Backprop", "Router"]
