from __future__ import annotations

import numpy as np
import pytest

from elunet.optim import Adam


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize(("l2", "l1"), [(0.0, 0.0), (0.1, 0.0), (0.0, 0.05), (0.1, 0.05)])
def test_rule(compare, decoupled, l2, l1):
    lr, beta1, beta2, eps = 0.01, 0.8, 0.95, 1e-3

    def rule(w, g, memory, t):
        penalty = l2 * w + l1 * np.sign(w) if memory["weight"] else 0.0 * w
        if decoupled:
            w = w - lr * penalty
        else:
            g = g + penalty
        memory["m"] = beta1 * memory.get("m", 0) + (1 - beta1) * g
        memory["v"] = beta2 * memory.get("v", 0) + (1 - beta2) * g**2
        m, v = memory["m"] / (1 - beta1**t), memory["v"] / (1 - beta2**t)
        return w - lr * m / (np.sqrt(v) + eps)

    compare(Adam(lr, beta1, beta2, eps, l2=l2, l1=l1, decoupled=decoupled), rule)


@pytest.mark.parametrize("decoupled", [False, True])
def test_agrees_with_torch(compare_with_torch, decoupled):
    torch = pytest.importorskip("torch")
    theirs = torch.optim.AdamW if decoupled else torch.optim.Adam
    compare_with_torch(
        Adam(0.01, 0.8, 0.99, l2=0.1, decoupled=decoupled),
        lambda p: theirs(p, lr=0.01, betas=(0.8, 0.99), weight_decay=0.1),
    )


def test_first_step_has_the_size_of_lr(make_net):
    net = make_net()
    before = net.w["conv1.W"].copy()
    Adam(0.01).step(net)
    expected = -0.01 * np.sign(net.g["conv1.W"])
    np.testing.assert_allclose(net.w["conv1.W"] - before, expected, rtol=1e-4)


def test_zero_gradient_stays_put(make_net):
    net = make_net(dtype=np.float32)
    net.g = {name: np.zeros_like(g) for name, g in net.g.items()}
    before = net.w["conv1.W"].copy()
    Adam().step(net)
    np.testing.assert_array_equal(net.w["conv1.W"], before)


@pytest.mark.parametrize("arguments", [{"beta1": 1.0}, {"beta2": -0.1}, {"eps": 0.0}])
def test_errors(arguments):
    with pytest.raises(ValueError, match=f"Adam: expected {next(iter(arguments))} in"):
        Adam(0.1, **arguments)
