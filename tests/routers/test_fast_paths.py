"""Every rule gives the same gradients on fast layers as on plain ones, to rounding."""

from __future__ import annotations

import numpy as np
from routers.cases import MAKERS, RULES, copied

import elunet as eln
from elunet import layers as L

ROUNDING = 5e-5  # relative to an array's largest number; measured below 5e-6


def network(algorithm):
    """Return two paths of convolutions; mean pooling has no ties that rounding could decide."""
    net = eln.Network(seed=0)
    net.add(L.Conv2D(3, 8, 3, algorithm=algorithm))
    skip = net.add(L.ELU())
    net.add(L.Conv2D(8, 8, 3, algorithm=algorithm))
    main = net.add(L.ELU())
    net.add(L.Add(), inputs=[main, skip])
    net.add(L.MeanPool2D())
    net.add(L.Conv2D(8, 6, 2, algorithm=algorithm))
    net.add(L.ELU())
    net.add(L.Dropout(0.2))
    net.add(L.Conv2D(6, 4, 3, padding="valid", algorithm=algorithm))
    net.add(L.GlobalMeanPool2D())
    return net


def one_pass(rule, algorithm):
    """Return the gradients, and the signal at each layer's output."""
    rng = np.random.default_rng(0)
    x, target = rng.normal(size=(6, 10, 12, 3)).astype(np.float32), rng.integers(0, 4, 6)
    net, router, signals = network(algorithm), MAKERS[rule](), {}
    _, dy = eln.losses.SoftmaxCrossEntropy()(net.forward(x, train=True), target)
    tap = lambda name, delta: signals.update({name: delta.copy()})  # noqa: E731
    router.backward(net, dy, target, tap)
    return copied(net.gradients()) | copied(router.gradients()) | signals


@RULES
def test_winograd_gives_what_im2col_gives(rule):
    fast, plain = one_pass(rule, "winograd"), one_pass(rule, "im2col")
    assert fast.keys() == plain.keys()
    for name, expected in plain.items():
        limit = ROUNDING * np.abs(expected).max()
        np.testing.assert_allclose(fast[name], expected, rtol=0, atol=limit, err_msg=name)
