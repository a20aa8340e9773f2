from __future__ import annotations

import numpy as np
import pytest

from elunet.optim import RMSProp


@pytest.mark.parametrize(("l2", "l1"), [(0.0, 0.0), (0.1, 0.05)])
def test_rule(compare, l2, l1):
    def rule(w, g, memory, t):
        if memory["weight"]:
            g = g + l2 * w + l1 * np.sign(w)
        memory["v"] = 0.8 * memory.get("v", 0) + 0.2 * g**2
        return w - 0.01 * g / (np.sqrt(memory["v"]) + 1e-3)

    compare(RMSProp(0.01, rho=0.8, eps=1e-3, l2=l2, l1=l1), rule)


def test_agrees_with_torch(compare_with_torch):
    torch = pytest.importorskip("torch")
    compare_with_torch(
        RMSProp(0.01, l2=0.1),
        lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9, weight_decay=0.1),
    )


@pytest.mark.parametrize("momentum", [0.0, 0.8])
@pytest.mark.parametrize("centered", [False, True])
def test_momentum_and_centered(compare, momentum, centered):
    def rule(w, g, memory, t):
        memory["v"] = 0.8 * memory.get("v", 0) + 0.2 * g**2
        memory["m"] = 0.8 * memory.get("m", 0) + 0.2 * g
        spread = memory["v"] - memory["m"] ** 2 if centered else memory["v"]
        memory["u"] = momentum * memory.get("u", 0) + g / (np.sqrt(spread) + 1e-3)
        return w - 0.01 * memory["u"]

    compare(RMSProp(0.01, rho=0.8, eps=1e-3, momentum=momentum, centered=centered), rule)


@pytest.mark.parametrize("momentum", [0.0, 0.8])
@pytest.mark.parametrize("centered", [False, True])
def test_momentum_and_centered_agree_with_torch(compare_with_torch, momentum, centered):
    torch = pytest.importorskip("torch")
    more = {"momentum": momentum, "centered": centered}
    compare_with_torch(
        RMSProp(0.01, eps=1e-3, l2=0.1, **more),
        lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9, eps=1e-3, weight_decay=0.1, **more),
    )


def test_momentum_that_comes_later_is_refused(make_net):
    optimizer = RMSProp(0.1)
    optimizer.momentum = 0.5
    with pytest.raises(ValueError, match="RMSProp: expected momentum and centered to be given"):
        optimizer.step(make_net())


@pytest.mark.parametrize("arguments", [{"rho": 1.0}, {"eps": -1.0}, {"momentum": 1.0}])
def test_errors(arguments):
    with pytest.raises(ValueError, match=f"RMSProp: expected {next(iter(arguments))} in"):
        RMSProp(0.1, **arguments)
