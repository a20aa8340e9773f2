"""Update rules of the usual optimizers, one function each, to check an optimizer with.

An update rule is ``update(w, g, state, t) -> new w``: the parameter, its gradient, a dict for what
it remembers of this parameter (empty at first), and the step's number from 1. The functions below
return one. They are written for reading, not for speed.
"""

from elunet.testing.updates._adam import adam, adamw
from elunet.testing.updates._adaptive import adagrad, rmsprop
from elunet.testing.updates._momentum import averaged_momentum, sgd
from elunet.testing.updates._rule import Update as Update
from elunet.testing.updates._sign import lion
from elunet.testing.updates._variants import adamax, amsgrad, nadam

__all__ = [
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "amsgrad",
    "averaged_momentum",
    "lion",
    "nadam",
    "rmsprop",
    "sgd",
]
