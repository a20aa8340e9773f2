from __future__ import annotations

import copy

import numpy as np
import pytest

from elunet.optim import NAdam


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize(("l2", "l1"), [(0.0, 0.0), (0.1, 0.05)])
def test_rule(compare, decoupled, l2, l1):
    lr, beta1, beta2, eps, psi = 0.01, 0.8, 0.95, 1e-3, 0.3

    def mu(t):
        return beta1 * (1 - 0.5 * 0.96 ** (t * psi))

    def rule(w, g, memory, t):
        penalty = l2 * w + l1 * np.sign(w) if memory["weight"] else 0.0 * w
        if decoupled:
            w = w - lr * penalty
        else:
            g = g + penalty
        memory["m"] = beta1 * memory.get("m", 0) + (1 - beta1) * g
        memory["v"] = beta2 * memory.get("v", 0) + (1 - beta2) * g**2
        so_far = np.prod([mu(s) for s in range(1, t + 1)])
        step = (1 - mu(t)) / (1 - so_far) * g
        step = step + mu(t + 1) / (1 - so_far * mu(t + 1)) * memory["m"]
        return w - lr * step / (np.sqrt(memory["v"] / (1 - beta2**t)) + eps)

    compare(NAdam(lr, beta1, beta2, eps, psi, l2=l2, l1=l1, decoupled=decoupled), rule)


@pytest.mark.parametrize("decoupled", [False, True])
def test_agrees_with_torch(compare_with_torch, decoupled):
    torch = pytest.importorskip("torch")
    torch.set_default_dtype(torch.float64)  # else it keeps the product of the mu in float32
    try:
        compare_with_torch(
            NAdam(0.01, 0.8, 0.99, l2=0.1, decoupled=decoupled),
            lambda p: torch.optim.NAdam(
                p, lr=0.01, betas=(0.8, 0.99), weight_decay=0.1, decoupled_weight_decay=decoupled
            ),
        )
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_step_depends_on_its_number_only(make_net):
    """Going back to an earlier state, or to other numbers, gives the bits of a new optimizer."""
    net, optimizer = make_net(), NAdam(0.01)
    optimizer.step(net)
    state, weights = optimizer.state(), copy.deepcopy(net.w)
    for _ in range(3):
        optimizer.step(net)
    later = copy.deepcopy(net.w)
    optimizer.restore(state)
    fresh = NAdam(0.01)
    fresh.restore(state)
    for other in (optimizer, fresh):
        for name, w in net.w.items():
            w[...] = weights[name]
        for _ in range(3):
            other.step(net)
        for name, w in net.w.items():
            np.testing.assert_array_equal(w, later[name])


@pytest.mark.parametrize("arguments", [{"beta1": 1.0}, {"eps": 0.0}, {"momentum_decay": -1.0}])
def test_errors(arguments):
    with pytest.raises(ValueError, match=f"NAdam: expected {next(iter(arguments))} in"):
        NAdam(0.1, **arguments)
