from __future__ import annotations

import numpy as np
import pytest

from elunet.optim import Lion


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize(("l2", "l1"), [(0.0, 0.0), (0.1, 0.05)])
def test_rule(compare, decoupled, l2, l1):
    def rule(w, g, memory, t):
        penalty = l2 * w + l1 * np.sign(w) if memory["weight"] else 0.0 * w
        if decoupled:
            w = w - 0.01 * penalty
        else:
            g = g + penalty
        m = memory.get("m", 0)
        memory["m"] = 0.95 * m + 0.05 * g
        return w - 0.01 * np.sign(0.8 * m + 0.2 * g)

    compare(Lion(0.01, 0.8, 0.95, l2=l2, l1=l1, decoupled=decoupled), rule)


def test_every_number_moves_by_the_learning_rate(make_net):
    net = make_net()
    before = {name: w.copy() for name, w in net.w.items()}
    Lion(0.25).step(net)
    for name, w in net.w.items():
        np.testing.assert_allclose(np.abs(w - before[name]), 0.25)


@pytest.mark.parametrize("arguments", [{"beta1": 1.0}, {"beta2": -0.1}])
def test_errors(arguments):
    with pytest.raises(ValueError, match=f"Lion: expected {next(iter(arguments))} in"):
        Lion(0.1, **arguments)
