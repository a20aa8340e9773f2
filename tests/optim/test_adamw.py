from __future__ import annotations

import numpy as np
import pytest

from elunet.optim import Adam, AdamW


def test_it_is_adam_that_decays_all(make_net):
    one, other = make_net(), make_net()
    for _ in range(3):
        AdamW(0.1, l2=0.2).step(one)
        Adam(0.1, l2=0.2, decoupled=True, penalized="*").step(other)
    for name, w in one.w.items():
        np.testing.assert_array_equal(w, other.w[name])


def test_defaults_are_those_of_torch(make_net):
    torch = pytest.importorskip("torch")
    net = make_net()
    theirs = {name: torch.tensor(w, requires_grad=True) for name, w in net.w.items()}
    reference, optimizer = torch.optim.AdamW(list(theirs.values())), AdamW()
    for _ in range(10):
        net.draw()
        for name, tensor in theirs.items():
            tensor.grad = torch.tensor(net.g[name])
        optimizer.step(net)
        reference.step()
    for name, tensor in theirs.items():
        np.testing.assert_allclose(net.w[name], tensor.detach().numpy(), rtol=1e-10)


def test_errors_name_it():
    with pytest.raises(ValueError, match="AdamW: expected beta2 in"):
        AdamW(beta2=1.0)
