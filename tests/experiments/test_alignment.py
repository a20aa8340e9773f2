"""Angles to backpropagation: what they are, what they cost, and that looking changes nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import elunet as eln
from elunet import routers
from elunet.experiments.alignment import (
    AngleLog,
    alignments,
    angle,
    read_angles,
    write_angles,
)

L = eln.layers
RULES = [
    routers.Backprop(),
    routers.FeedbackAlignment(1),
    routers.DirectFeedbackAlignment(1),
    routers.DirectRandomTargetProjection(1),
    routers.SignSymmetry("uniform"),
    routers.SignSymmetry("batchwise", 1),
    routers.KolenPollack(1),
    routers.DilatedBackprop(),
    routers.Mixed({"linear*": routers.FeedbackAlignment(1)}),
    routers.NormMatched(routers.DirectFeedbackAlignment(1)),
    routers.GradientNoise(routers.FeedbackAlignment(1), 0.01, 0.55),
]


def make() -> eln.Network:
    layers = [
        L.Conv2D(2, 6, 3),
        L.ELU(),
        L.MaxPool2D(),
        L.Conv2D(6, 6, 3),
        L.BatchNorm(6),
        L.ELU(),
        L.Flatten(),
        L.Linear(54, 8),
        L.ELU(),
        L.Linear(8, 3),
    ]
    return eln.Sequential(layers, seed=0)


def forward(net: eln.Network, seed: int = 0):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(5, 6, 6, 2)).astype(np.float32), rng.integers(0, 3, 5)
    _, dy = eln.losses.SoftmaxCrossEntropy()(net.forward(x, train=True), y)
    return x, y, dy


@given(st.floats(1, 179), st.floats(1e-10, 1e10))
def test_an_angle_in_the_plane(degrees, scale):
    a = np.array([scale, 0.0])
    b = np.array([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))])
    assert angle(a, b) == pytest.approx(degrees, abs=1e-6)


def test_equal_and_opposite_arrays():
    a = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    assert angle(a, a) < 1e-5
    assert angle(a, -3 * a) == pytest.approx(180, abs=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_where_an_array_vanishes_the_angle_means_nothing(dtype):
    a = np.ones(4, dtype)
    for nothing in (np.zeros(4, dtype), np.full(4, np.finfo(dtype).tiny / 8, dtype)):
        assert math.isnan(angle(a, nothing))
        assert math.isnan(angle(nothing, a))


def test_other_shapes_are_an_error():
    with pytest.raises(ValueError, match=r"one shape, got \(3,\), \(4,\)"):
        angle(np.ones(3), np.ones(4))


def test_backprop_is_at_0_from_itself():
    net = make()
    _, y, dy = forward(net)
    rows = alignments(net, routers.Backprop(), dy, y)
    assert [row.layer for row in rows if row.quantity == "delta"] == [
        "conv1",
        "conv2",
        "linear1",
        "linear2",
    ]
    assert all(row.angle < 1e-4 and row.norm_ratio == pytest.approx(1) for row in rows)
    assert all(math.isnan(row.null_low) for row in rows)  # nothing is random


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_angles_are_those_of_two_backward_passes(rule):
    net = make()
    _, y, dy = forward(net)
    expected = {}
    for name, router in (("exact", routers.Backprop()), ("rule", rule)):
        state = rule.state()
        signals = {}
        router.backward(net, dy, y, lambda name, d, kept=signals: kept.update({name: d.copy()}))
        gradients = {key: value.copy() for key, value in net.gradients().items()}
        expected[name] = signals, gradients
    fresh = make()
    _, y, dy = forward(fresh)
    rule.restore(state)
    rows = alignments(fresh, rule, dy, y, null=0)
    for row in rows:
        if row.quantity == "gradient":
            pair = (expected[key][1][f"{row.layer}.W"] for key in ("rule", "exact"))
            assert row.angle == pytest.approx(angle(*pair), abs=1e-4, nan_ok=True)
        if row.quantity == "delta":
            pair = (expected[key][0][row.layer] for key in ("rule", "exact"))
            assert row.angle == pytest.approx(angle(*pair), abs=1e-4, nan_ok=True)
    for name, value in fresh.gradients().items():  # the rule's own are what is left
        np.testing.assert_array_equal(value, expected["rule"][1][name])


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_the_null_band_leaves_the_rule_and_its_gradients_alone(rule):
    kept = []
    for null in (0, 3):
        net = make()
        _, y, dy = forward(net)
        start = rule.state()
        rows = alignments(net, rule, dy, y, null=null)
        kept.append(({k: v.copy() for k, v in net.gradients().items()}, rows))
        rule.restore(start)
    for name, value in kept[0][0].items():
        np.testing.assert_array_equal(value, kept[1][0][name])
    assert [row.angle for row in kept[0][1]] == pytest.approx(
        [row.angle for row in kept[1][1]], nan_ok=True
    )


def test_angles_of_b_and_w_and_their_band():
    net = eln.Sequential([L.Linear(200, 100), L.ELU(), L.Linear(100, 90)], seed=0)
    y = net.forward(np.ones((4, 200), np.float32), train=True)
    router = routers.FeedbackAlignment(0)
    rows = {(r.layer, r.quantity): r for r in alignments(net, router, y)}
    weight = rows["linear2", "weight"]
    assert 88 < weight.null_low < 90 < weight.null_high < 92
    assert weight.null_low - 1 < weight.angle < weight.null_high + 1
    router.B["linear2"] = net["linear2"].params["W"].copy()
    aligned = {(r.layer, r.quantity): r for r in alignments(net, router, y)}["linear2", "weight"]
    assert aligned.angle < 1e-3  # far outside of the band, which is as it was
    assert (aligned.null_low, aligned.null_high) == (weight.null_low, weight.null_high)


def test_a_vanishing_gradient_is_marked():
    net = eln.Sequential([L.Linear(3, 4), L.ReLU(), L.Linear(4, 2)], seed=0)
    net["linear1"].params["b"][...] = -100  # dead
    y = net.forward(np.ones((2, 3), np.float32), train=True)
    row = alignments(net, routers.FeedbackAlignment(0), y, null=2)[0]
    assert (row.layer, row.quantity) == ("linear1", "gradient")
    assert all(math.isnan(v) for v in (row.angle, row.norm_ratio, row.null_low, row.null_high))


def train(callbacks=(), router=None, epochs=2, resume=None):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 6, 6, 2)).astype(np.float32), rng.integers(0, 3, 30)
    loss, optimizer = eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(0.05, momentum=0.9)
    trainer = eln.Trainer(make(), loss, optimizer, router, batch_size=10, callbacks=callbacks)
    if resume is not None:
        trainer.resume(resume)
    trainer.fit((x, y), epochs=epochs)
    return trainer


def test_the_log_measures_every_few_steps_and_writes(tmp_path):
    log = AngleLog(tmp_path / "angles.csv", every=4, null=2)
    train([log], routers.FeedbackAlignment(3))
    assert sorted({(row.epoch, row.step) for row in log.rows}) == [(0, 0), (1, 4)]
    assert len(log.rows) == 2 * (4 + 4 + 4 + 3)
    assert str(read_angles(tmp_path / "angles.csv")) == str(log.rows)  # NaN equals NaN as text


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_looking_does_not_change_the_training(rule):
    start = rule.state()
    plain = train(router=rule).net.parameters()
    rule.restore(start)
    watched = train([AngleLog(every=1, null=2), AngleLog(every=2, null=0)], rule).net.parameters()
    for name, value in plain.items():
        np.testing.assert_array_equal(watched[name], value)
    rule.restore(start)


def test_a_run_that_was_cut_and_resumed_has_the_same_angles(tmp_path):
    class Cut(eln.Callback):
        def on_step(self, trainer, loss):
            if trainer.optimizer.steps == 4:
                raise InterruptedError

    alone = AngleLog(every=2, null=2)
    train([alone], routers.FeedbackAlignment(3))
    saves = eln.Checkpoints(tmp_path, steps=1)
    with pytest.raises(InterruptedError):
        train([AngleLog(every=2, null=2), saves, Cut()], routers.FeedbackAlignment(3))
    resumed = AngleLog(tmp_path / "angles.csv", every=2, null=2)
    train([resumed, saves], routers.FeedbackAlignment(3), resume=tmp_path)
    assert str(resumed.rows) == str(alone.rows) == str(read_angles(tmp_path / "angles.csv"))


def test_feedback_alignment_aligns():
    """Its angles fall below 90 degrees in training, as published."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 20)).astype(np.float32)
    y = (x @ rng.normal(size=(20, 5))).argmax(axis=1)
    net = eln.Sequential([L.Linear(20, 40), L.Tanh(), L.Linear(40, 5)], seed=0)
    log = AngleLog(every=20, null=5)
    eln.Trainer(
        net,
        eln.losses.SoftmaxCrossEntropy(),
        eln.optim.SGD(0.3),
        routers.FeedbackAlignment(0),
        batch_size=20,
        callbacks=[log],
    ).fit((x, y), epochs=5)
    angles = [row for row in log.rows if (row.layer, row.quantity) == ("linear1", "delta")]
    assert angles[-1].angle < 70 < 80 < angles[0].angle
    assert angles[-1].angle < angles[-1].null_low


def test_reading_angles_that_are_none(tmp_path):
    file = tmp_path / "angles.csv"
    file.write_text("epoch,step\n1,2\n")
    with pytest.raises(ValueError, match=r"expected .*angles.csv with columns .* got \['epoch'"):
        read_angles(file)
    write_angles([], file)
    assert read_angles(file) == []
    file.write_text(file.read_text() + "0,0,conv1,gradient,x,1,1,1\n")
    with pytest.raises(ValueError, match=r"numbers in line 2 of .*: could not convert"):
        read_angles(file)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"every": 0}, "AngleLog: expected every of at least 1, got 0"),
        ({"null": -1}, "AngleLog: expected null of at least 0, got -1"),
    ],
)
def test_wrong_arguments(arguments, text):
    with pytest.raises(ValueError, match=text):
        AngleLog(**arguments)


def test_the_angle_of_single_images_is_a_mean():
    """Of a Linear layer it is the mean angle between its gradients of one image each."""
    net = eln.models.mlp(inputs=6, widths=(5, 4), classes=3, seed=0)
    x, y = np.random.default_rng(0).standard_normal((7, 6)), np.arange(7) % 3
    _, dy = eln.losses.SoftmaxCrossEntropy()(net.forward(x, train=True), y)
    rule = eln.routers.FeedbackAlignment(seed=1)
    rows = {r.layer: r for r in alignments(net, rule, dy, y, null=3) if r.quantity == "image"}
    angles = []
    for k in range(len(x)):
        one, dk = x[k : k + 1], dy[k : k + 1]
        net.forward(one, train=True)
        eln.routers.Backprop().backward(net, dk)
        exact = net["linear1"].grads["W"].copy()
        rule.backward(net, dk)
        angles.append(angle(net["linear1"].grads["W"], exact))
    assert rows["linear1"].angle == pytest.approx(np.mean(angles), rel=1e-6)
    assert rows["linear1"].null_low < rows["linear1"].null_high


def test_direct_feedback_is_compared_with_the_product_of_the_weights_above():
    net = eln.models.mlp(inputs=6, widths=(5, 4), classes=3, seed=0)
    x, y = np.random.default_rng(0).standard_normal((7, 6)), np.arange(7) % 3
    _, dy = eln.losses.SoftmaxCrossEntropy()(net.forward(x, train=True), y)
    rule = eln.routers.DirectFeedbackAlignment(seed=1)
    rule.backward(net, dy, y)
    V, W = net["linear2"].params["W"], net["linear3"].params["W"]
    rule.drawn["linear2"] = 3 * (V @ W).T  # aligned
    rows = {r.layer: r for r in alignments(net, rule, dy, y, null=0) if r.quantity == "weight"}
    assert set(rows) == {"linear2", "linear3"}
    assert rows["linear2"].angle < 0.1
    assert rows["linear2"].norm_ratio == pytest.approx(3, rel=1e-5)
    assert rows["linear3"].angle == pytest.approx(angle(rule.drawn["linear3"], W.T), rel=1e-6)
    images = eln.models.small_cnn(seed=0)
    x = np.random.default_rng(0).standard_normal((2, 32, 32, 3)).astype(np.float32)
    _, dy = eln.losses.SoftmaxCrossEntropy()(images.forward(x, train=True), y[:2])
    rows = alignments(images, eln.routers.DirectFeedbackAlignment(), dy, y[:2], null=0)
    assert [r.layer for r in rows if r.quantity == "weight"] == ["linear1"]
