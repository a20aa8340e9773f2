"""Direct rules: where a projection arrives, after pooling or before, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from routers.by_hand import LABELS, assert_close, assert_same, elu_slope, forward, one_hot, run

import elunet as eln
from elunet import layers as L
from elunet import routers as R

KINDS = pytest.mark.parametrize("kind", [R.DirectFeedbackAlignment, R.DirectRandomTargetProjection])


def chain(pool=L.MeanPool2D):
    parts = [L.Conv2D(3, 4, 1), L.ELU(), pool(2), L.Dropout(0.5), L.Conv2D(4, 5, 1), L.ELU()]
    return eln.Sequential([*parts, pool(2), L.Flatten(), L.Linear(5, 3)], seed=0)


def messages(kind, dy):
    return dy if kind is R.DirectFeedbackAlignment else one_hot(LABELS) / 6


@KINDS
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("pool", [L.MeanPool2D, L.MaxPool2D])
def test_before_pooling_by_hand(kind, shared, pool):
    net, router = chain(pool), kind(seed=2, shared=shared, before_pooling=True)
    x, dy = forward(net)
    got, seen = run(router, net, dy)

    def project(name, shape):
        B = router.B[name].astype(float)
        assert B.shape == (3, shape[-1] if shared else np.prod(shape[1:]))
        sent = messages(kind, dy) @ B
        return np.broadcast_to(sent[:, None, None] if shared else sent.reshape(shape), shape)

    high, low = project("linear1", (6, 2, 2, 5)), project("conv2", (6, 4, 4, 4))
    assert_close(seen["elu2"], high)
    assert_close(seen["elu1"], low)  # past the dropout: its mask hides nothing
    for name in ("flatten1", "maxpool2", "meanpool2", "dropout1", "maxpool1", "meanpool1"):
        assert name not in seen or not seen[name].any()
    W1 = net["conv1"].params["W"][0, 0].astype(float)
    low_delta = low * elu_slope(x @ W1)
    assert_close(got["conv1.W"][0, 0], np.einsum("nijc,nijd->cd", x, low_delta))
    mask = net["dropout1"].backward_input(np.ones((6, 2, 2, 4)))
    windows = np.where(x @ W1 > 0, x @ W1, np.expm1(np.minimum(x @ W1, 0)))
    windows = windows.reshape(6, 2, 2, 2, 2, 4)
    pooled = windows.max(axis=(2, 4)) if pool is L.MaxPool2D else windows.mean(axis=(2, 4))
    dropped = pooled * mask  # what the second convolution takes
    z2 = dropped @ net["conv2"].params["W"][0, 0].astype(float)
    assert_close(got["conv2.W"][0, 0], np.einsum("nijc,nijd->cd", dropped, high * elu_slope(z2)))


@KINDS
def test_after_pooling_the_exact_jacobians_of_pooling_and_dropout_apply(kind):
    net, router = chain(), kind(seed=2)
    x, dy = forward(net)
    got, seen = run(router, net, dy)
    sent = (messages(kind, dy) @ router.B["conv2"].astype(float)).reshape(6, 2, 2, 4)
    assert_close(seen["dropout1"], sent)
    mask = net["dropout1"].backward_input(np.ones(sent.shape))
    down = (sent * mask).repeat(2, axis=1).repeat(2, axis=2) / 4
    assert_close(seen["elu1"], down)
    W1 = net["conv1"].params["W"][0, 0].astype(float)
    expected = np.einsum("nijc,nijd->cd", x, down * elu_slope(x @ W1))
    assert_close(got["conv1.W"][0, 0], expected)


def between(*layers, skip=False, twice=False):
    """Return a network with these layers between a unit's end and the next weighted layer."""
    net = eln.Network(seed=0)
    net.add(L.Conv2D(3, 4, 1), "low")
    net.add(L.ELU(), "end")
    for place, layer in enumerate(layers):
        net.add(layer, f"between{place}")
    start = net.names[-1]
    net.add(L.Conv2D(4, 4, 1), "next")
    if twice:
        net.add(L.Conv2D(4, 4, 1), "other", inputs=start)
        net.add(L.Add(), "sum", inputs=["next", "other"])
    if skip:
        net.add(L.Add(), "sum", inputs=["next", start])
    net.add(L.GlobalMeanPool2D(), "mean")
    net.add(L.Linear(4, 3), "out")
    return net


@KINDS
@pytest.mark.parametrize(
    "build",
    [
        lambda: between(),  # nothing to pass
        lambda: between(L.MeanPool2D(2), L.BatchNorm(4)),  # it has to learn too
        lambda: between(L.MeanPool2D(2), L.ELU()),  # the unit's own slope would be left out
        lambda: between(L.MeanPool2D(2), skip=True),  # the skip's signal comes there as well
        lambda: between(L.MeanPool2D(2), twice=True),  # two projections meet
    ],
)
def test_where_before_pooling_is_after_it_all_the_same(kind, build):
    net = build()
    _, dy = forward(net)
    after, seen_after = run(kind(seed=2), net, dy)
    before, seen_before = run(kind(seed=2, before_pooling=True), net, dy)
    changed = {"mean", "next", "other", "sum"}  # of the output layer's projection
    assert_same(
        {name: value for name, value in seen_before.items() if name not in changed},
        {name: value for name, value in seen_after.items() if name not in changed},
    )
    for name in before:
        if name.split(".")[0] not in changed:
            np.testing.assert_array_equal(before[name], after[name])


@KINDS
@pytest.mark.parametrize("before_pooling", [False, True])
def test_what_several_paths_bring_is_summed(kind, before_pooling):
    net = between(L.MeanPool2D(2), twice=True)
    _, dy = forward(net)
    router = kind(seed=2, before_pooling=before_pooling)
    _, seen = run(router, net, dy)
    total = sum(messages(kind, dy) @ router.B[name].astype(float) for name in ("next", "other"))
    assert_close(seen["between0"], total.reshape(6, 2, 2, 4))
    assert_close(seen["end"], seen["between0"].repeat(2, axis=1).repeat(2, axis=2) / 4)


def test_in_a_mixed_network_only_its_own_layers_are_passed():
    """Conv2 sends past the pooling though conv1, where it arrives, follows another rule."""
    net = chain()
    _, dy = forward(net)
    direct = R.DirectFeedbackAlignment(seed=2, before_pooling=True)
    mixed, seen = run(R.Mixed({"conv2": direct}), net, dy)
    alone, seen_alone = run(R.DirectFeedbackAlignment(seed=2, before_pooling=True), net, dy)
    exact, seen_exact = run(R.Backprop(), net, dy)
    np.testing.assert_array_equal(seen["elu1"], seen_alone["elu1"])
    np.testing.assert_array_equal(mixed["conv1.W"], alone["conv1.W"])
    np.testing.assert_array_equal(seen["elu2"], seen_exact["elu2"])
    other, _ = run(R.Mixed({"conv1": R.DirectFeedbackAlignment(before_pooling=True)}), net, dy)
    assert_same(other, exact)  # conv1 has nothing to send to


@pytest.mark.parametrize(("before_pooling", "megabytes"), [(False, 5.6), (True, 14.0)])
def test_what_the_matrices_of_all_of_elu11_take(before_pooling, megabytes):
    net = eln.models.elu11()
    router = R.DirectFeedbackAlignment(before_pooling=before_pooling)
    router.backward(net, net.forward(np.zeros((1, 32, 32, 3), np.float32), train=True))
    assert sum(B.nbytes for B in router.B.values()) / 1e6 == pytest.approx(megabytes, abs=0.05)


def test_repr_tells_of_before_pooling():
    router = R.DirectRandomTargetProjection(seed=1, before_pooling=True)
    text = "DirectRandomTargetProjection(seed=1, shared=False, before_pooling=True)"
    assert repr(router) == text
