"""Gradient checks, for elunet's layers and for custom layers.

::

    from elunet.testing import check_layer
    check_layer(MyLayer(), x)

A check compares a backward pass with numeric differences of the forward pass. If they differ, the
error says where, by how much, and which kind of bug makes such a difference. `LayerContract` and
`LossContract` are tests to inherit from. `strategies` (for hypothesis) draws inputs at which a
gradient check is safe. `elunet.teaching` grades checks on a zoo of wrong layers.

Each public check has a file here. What they share is in subpackages, each of which imports only the
earlier ones: `_find` (arrays and numbers, and the gradient of each), `_diagnose` (which bug makes
such a difference), `_call` (how the code is called), `_perturb` (runs it at changed values, and
restores it), `_compare` (claims against differences). `_optimizers` and `updates` are for
optimizers alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elunet.testing import strategies as strategies
    from elunet.testing import updates
    from elunet.testing._functions import check_functions
    from elunet.testing._gradient_of import check_gradient
    from elunet.testing._inputs import spread
    from elunet.testing._layer import check_layer
    from elunet.testing._loss import check_loss
    from elunet.testing._network import check_network
    from elunet.testing._numeric_gradient import numeric_gradient
    from elunet.testing._optimizer import check_optimizer
    from elunet.testing._report import CheckResult, GradientCheckError, Row
    from elunet.testing._weight_transport import WeightTransport, weight_transport
    from elunet.testing.contract import LayerContract, LossContract

__all__ = [
    "CheckResult",
    "GradientCheckError",
    "LayerContract",
    "LossContract",
    "Row",
    "WeightTransport",
    "check_functions",
    "check_gradient",
    "check_layer",
    "check_loss",
    "check_network",
    "check_optimizer",
    "numeric_gradient",
    "spread",
    "updates",
    "weight_transport",
]

_PLACES = {
    "CheckResult": "_report",
    "GradientCheckError": "_report",
    "LayerContract": "contract",
    "LossContract": "contract",
    "Row": "_report",
    "WeightTransport": "_weight_transport",
    "check_functions": "_functions",
    "check_gradient": "_gradient_of",
    "check_layer": "_layer",
    "check_loss": "_loss",
    "check_network": "_network",
    "check_optimizer": "_optimizer",
    "numeric_gradient": "_numeric_gradient",
    "spread": "_inputs",
    "weight_transport": "_weight_transport",
}
"""The module of each public name, which is imported when the name is first used."""
_MODULES = ("contract", "strategies", "updates")


def __getattr__(name: str) -> Any:
    """Import a public name at its first use, so that unused checks cost no time."""
    if name in _MODULES:
        return importlib.import_module(f"elunet.testing.{name}")
    if name not in _PLACES:
        raise AttributeError(f"module 'elunet.testing' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"elunet.testing.{_PLACES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
