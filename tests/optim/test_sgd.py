from __future__ import annotations

import numpy as np
import pytest

from elunet.optim import SGD


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("l2", [0.0, 0.1])
@pytest.mark.parametrize("l1", [0.0, 0.05])
def test_rule(compare, momentum, l2, l1):
    def rule(w, g, memory, t):
        if memory["weight"]:
            g = g + l2 * w + l1 * np.sign(w)
        memory["v"] = momentum * memory.get("v", 0) + g
        return w - 0.1 * memory["v"]

    compare(SGD(0.1, momentum, l2=l2, l1=l1), rule)


def test_nesterov(compare):
    def rule(w, g, memory, t):
        if memory["weight"]:
            g = g + 0.1 * w
        memory["v"] = 0.9 * memory.get("v", 0) + g
        return w - 0.1 * (g + 0.9 * memory["v"])

    compare(SGD(0.1, 0.9, nesterov=True, l2=0.1), rule)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {}),
        ({"momentum": 0.9}, {"momentum": 0.9}),
        ({"momentum": 0.9, "l2": 0.1}, {"momentum": 0.9, "weight_decay": 0.1}),
        ({"momentum": 0.9, "nesterov": True}, {"momentum": 0.9, "nesterov": True}),
    ],
)
def test_agrees_with_torch(compare_with_torch, ours, theirs):
    torch = pytest.importorskip("torch")
    compare_with_torch(SGD(0.1, **ours), lambda p: torch.optim.SGD(p, lr=0.1, **theirs))


def test_clipping_agrees_with_torch(compare_with_torch):
    torch = pytest.importorskip("torch")
    compare_with_torch(
        SGD(0.1, momentum=0.9, l2=0.1, clip_norm=2.0),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
        clip_norm=2.0,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"momentum": 1.0}, r"SGD: expected momentum in \[0, 1\), got 1.0"),
        ({"momentum": -0.1}, "expected momentum"),
        ({"nesterov": True}, "expected momentum above 0 with nesterov=True"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        SGD(0.1, **arguments)
