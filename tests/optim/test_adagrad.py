from __future__ import annotations

import numpy as np
import pytest

from elunet.optim import AdaGrad


@pytest.mark.parametrize(("l2", "l1"), [(0.0, 0.0), (0.1, 0.05)])
def test_rule(compare, l2, l1):
    def rule(w, g, memory, t):
        if memory["weight"]:
            g = g + l2 * w + l1 * np.sign(w)
        memory["v"] = memory.get("v", 0) + g**2
        return w - 0.01 * g / (np.sqrt(memory["v"]) + 1e-3)

    compare(AdaGrad(0.01, eps=1e-3, l2=l2, l1=l1), rule)


def test_agrees_with_torch(compare_with_torch):
    torch = pytest.importorskip("torch")
    compare_with_torch(
        AdaGrad(0.01, l2=0.1), lambda p: torch.optim.Adagrad(p, lr=0.01, weight_decay=0.1)
    )


def test_errors():
    with pytest.raises(ValueError, match="AdaGrad: expected eps in"):
        AdaGrad(eps=0.0)
