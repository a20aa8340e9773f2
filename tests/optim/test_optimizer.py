"""What every optimizer does: steps in place, dtypes, clipping, schedules, errors."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elunet.optim import (
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    NAdam,
    Optimizer,
    PerLayer,
    RMSProp,
    global_norm,
)
from elunet.schedules import Constant, InverseTime, PiecewiseConstant

MAKERS = [
    lambda: SGD(0.1, momentum=0.9, l2=0.1, l1=0.01),
    lambda: SGD(0.1, momentum=0.9, nesterov=True),
    lambda: Adam(0.01, l2=0.1),
    lambda: Adam(0.01, l2=0.1, decoupled=True, clip_norm=1.0),
    lambda: AdamW(0.01),
    lambda: NAdam(0.01, l2=0.1),
    lambda: RMSProp(0.01),
    lambda: RMSProp(0.01, eps=0.1, momentum=0.9, centered=True),
    lambda: AdaGrad(0.01, clip_value=0.5),
    lambda: PerLayer({"conv1.*": SGD(0.1, momentum=0.9), "*": Adam(0.01)}),
]
EACH = pytest.mark.parametrize("make", MAKERS)
NAN = float("nan")


@EACH
@pytest.mark.parametrize("dtypes", [(np.float32, np.float64), (np.float64, np.float32)])
def test_gradients_of_another_dtype(make_net, make, dtypes):
    dtype, gradient_dtype = dtypes
    mixed = make_net(dtype=dtype, gradient_dtype=gradient_dtype)
    plain = make_net(dtype=dtype)
    optimizer, other = make(), make()
    for _ in range(3):
        mixed.draw()
        plain.g = {name: g.astype(dtype) for name, g in mixed.g.items()}
        optimizer.step(mixed)
        other.step(plain)
    for name, w in mixed.w.items():
        assert w.dtype == dtype
        np.testing.assert_allclose(w, plain.w[name], rtol=1e-5, atol=1e-6)
        assert {a.dtype for a in optimizer.buffers[name].values()} == {np.dtype(dtype)}


@EACH
def test_float32_follows_float64(make_net, make):
    single, double = make_net(dtype=np.float32), make_net()
    for net in (single, double):
        optimizer = make()
        for _ in range(5):
            net.g = {name: g.astype(net.w[name].dtype) for name, g in double.g.items()}
            optimizer.step(net)
    for name, w in single.w.items():
        np.testing.assert_allclose(w, double.w[name], rtol=1e-4, atol=1e-5)


@EACH
def test_any_strides_and_read_only_gradients(make_net, make):
    net, strided = make_net(), make_net()
    strided.w = {name: np.repeat(w[..., None], 2, -1)[..., 0] for name, w in strided.w.items()}
    optimizer, other = make(), make()
    for _ in range(3):
        net.draw()
        strided.g = {name: np.asfortranarray(g) for name, g in net.g.items()}
        for g in strided.g.values():
            g.flags.writeable = False
        optimizer.step(net)
        other.step(strided)
    for name, w in net.w.items():
        np.testing.assert_allclose(strided.w[name], w, rtol=1e-12)


@EACH
def test_a_state_is_all_there_is_to_save(make_net, make):
    net = make_net()
    optimizer = make()
    for _ in range(3):
        optimizer.step(net)
    resumed, twin = make(), copy.deepcopy(net)
    resumed.restore(optimizer.state())
    assert resumed.state().keys() == {"steps", "epoch", "buffers"}
    for _ in range(3):
        net.draw()
        twin.draw()
        optimizer.step(net)
        resumed.step(twin)
    for name, w in net.w.items():
        np.testing.assert_array_equal(twin.w[name], w)


@EACH
def test_a_network_without_parameters(make_net, make):
    optimizer = make()
    net = make_net()
    net.w = {}
    if isinstance(optimizer, PerLayer):
        with pytest.raises(ValueError, match="matches no names"):
            optimizer.step(net)
    else:
        optimizer.step(net)
        assert optimizer.steps == 1


@EACH
def test_divergence_makes_no_warning(make_net, make):
    net = make_net(dtype=np.float32)
    for g in net.g.values():
        g[...] = 3e38
    optimizer = make()
    for _ in range(3):
        optimizer.step(net)


@EACH
def test_parameter_that_is_one_number(make_net, make):
    net, flat = make_net(), make_net({"conv1.W": (1,), "a.b": (1,)})
    net.w = live = {name: np.array(w[0]) for name, w in flat.w.items()}
    optimizer, other = make(), make()
    for _ in range(3):
        flat.draw()
        net.g = {name: g.sum() for name, g in flat.g.items()}
        optimizer.step(net)
        other.step(flat)
    for name, w in live.items():
        assert w == pytest.approx(flat.w[name][0])


def test_parameter_that_changes_dtype(make_net):
    net = make_net(dtype=np.float32)
    optimizer = SGD(0.1, momentum=0.9)
    optimizer.step(net)
    net.w["conv1.W"] = net.w["conv1.W"].astype(np.float64)
    optimizer.step(net)
    assert optimizer.buffers["conv1.W"]["velocity"].dtype == np.float64
    assert optimizer.buffers["conv1.b"]["velocity"].dtype == np.float32


@given(limit=st.floats(0.01, 100), seed=st.integers(0, 100))
def test_clip_norm(make_net, limit, seed):
    net = make_net(seed=seed)
    before = copy.deepcopy(net.w)
    norm = np.sqrt(sum(np.sum(g**2) for g in net.g.values()))
    assert global_norm(net.g.values()) == pytest.approx(norm)
    SGD(1.0, clip_norm=limit).step(net)
    for name, w in net.w.items():
        expected = before[name] - net.g[name] * min(1, limit / norm)
        np.testing.assert_allclose(w, expected, rtol=1e-12, atol=1e-12)


def test_clip_value(compare):
    def rule(w, g, memory, t):
        g = np.clip(g, -0.5, 0.5) + (0.1 * w if memory["weight"] else 0)
        return w - 0.1 * g

    compare(SGD(0.1, l2=0.1, clip_value=0.5), rule)


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        (None, {"conv1.W", "conv10.W"}),
        ("*", {"conv1.W", "conv1.b", "bn1.gamma", "conv10.W"}),
        ("conv1.*", {"conv1.W", "conv1.b"}),
        (["*.b", "*.gamma"], {"conv1.b", "bn1.gamma"}),
    ],
)
@pytest.mark.parametrize("kind", [SGD, lambda lr, **more: AdaGrad(lr, clip_value=1e9, **more)])
def test_penalized_parameters(make_net, kind, patterns, chosen):
    """With no gradient, a parameter moves if and only if it carries a penalty."""
    net, optimizer = make_net(), kind(0.1, l2=0.5, penalized=patterns)
    net.g = {name: np.zeros_like(g) for name, g in net.g.items()}
    before = copy.deepcopy(net.w)
    optimizer.step(net)
    moved = {name for name, w in net.w.items() if not np.array_equal(w, before[name])}
    assert moved == chosen
    penalty = sum((w**2).sum() for name, w in net.w.items() if name in chosen)
    assert optimizer.penalty(net) == pytest.approx(0.25 * penalty)
    optimizer.penalized = ("bn1.gamma",)  # and changed later
    before = copy.deepcopy(net.w)
    optimizer.step(net)
    assert not np.array_equal(net.w["bn1.gamma"], before["bn1.gamma"])
    if kind is SGD:
        np.testing.assert_array_equal(net.w["conv1.W"], before["conv1.W"])


def test_a_pattern_without_a_parameter(make_net):
    optimizer = SGD(0.1, l2=0.5, penalized=["*.W", "*.c"])
    unchanged(make_net(), optimizer, ValueError, r"SGD: expected '\*.c' in penalized to match")
    with pytest.raises(TypeError, match="SGD: expected penalized as patterns of names, got"):
        SGD(0.1, penalized=[3])
    with pytest.raises(ValueError, match="SGD: expected clip_norm or clip_value, got both"):
        SGD(0.1, clip_norm=1.0, clip_value=1.0)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda value: SGD(0.1, momentum=value), "momentum"),
        (lambda value: SGD(0.1, momentum=value, nesterov=True), "momentum"),
        (lambda value: RMSProp(0.1, momentum=value), "momentum"),
        (lambda value: Adam(0.1, beta1=value), "beta1"),
    ],
)
def test_schedule_of_the_momentum(make_net, make, name):
    """It is what setting the number before each step is."""
    one, other = make_net(), make_net()
    scheduled, by_hand = make(PiecewiseConstant({0: 0.9, 2: 0.5})), make(0.9)
    for step in range(4):
        setattr(by_hand, name, 0.9 if step < 2 else 0.5)
        one.draw()
        other.draw()
        scheduled.step(one)
        by_hand.step(other)
    for key, w in one.w.items():
        np.testing.assert_array_equal(w, other.w[key])
    optimizer = make(lambda step: 1.0)
    unchanged(make_net(), optimizer, ValueError, rf"expected {name}, which .* in \[0, 1\), got 1.0")


def test_penalties_come_after_clipping(make_net):
    net = make_net({"conv1.W": (3, 2), "conv1.b": (2,)})
    before = copy.deepcopy(net.w)
    SGD(0.5, l2=0.1, clip_norm=1e-12).step(net)
    np.testing.assert_allclose(net.w["conv1.W"], before["conv1.W"] * 0.95, rtol=1e-9)
    np.testing.assert_allclose(net.w["conv1.b"], before["conv1.b"], rtol=1e-9)


def test_global_norm_does_not_overflow():
    assert global_norm([np.full(4, 1e30, np.float32)]) == pytest.approx(2e30)
    assert global_norm([]) == 0.0


def test_penalty(make_net):
    net = make_net()
    weights = [net.w["conv1.W"], net.w["conv10.W"]]
    expected = sum(0.1 / 2 * np.sum(w**2) + 0.3 * np.sum(np.abs(w)) for w in weights)
    for optimizer in (SGD(0.1, l2=0.1, l1=0.3), Adam(l2=0.1, l1=0.3, decoupled=True)):
        value = optimizer.penalty(net)
        assert type(value) is float
        assert value == pytest.approx(expected)
    assert SGD(0.1).penalty(net) == 0.0


def test_penalty_is_what_penalties_descend(make_net):
    """L2 and l1 push along the negative gradient of `penalty`."""
    net = make_net({"conv1.W": (2, 2)})
    net.g["conv1.W"][...] = 0
    optimizer = SGD(1e-6, l2=0.3, l1=0.2)
    before, w = optimizer.penalty(net), net.w["conv1.W"].copy()
    optimizer.step(net)
    gradient = (w - net.w["conv1.W"]) / 1e-6
    change = optimizer.penalty(net) - before
    assert change == pytest.approx(-1e-6 * np.sum(gradient**2), rel=1e-4)


def test_router_parameters_follow_the_same_rule(make_net):
    net, router = make_net({"conv1.W": (3, 2)}), make_net({"conv1.B": (3, 2)}, seed=1)
    router.w["conv1.B"] += 1.0
    difference = net.w["conv1.W"] - router.w["conv1.B"]
    optimizer = SGD(0.1, momentum=0.0, l2=0.5)
    for t in range(1, 6):
        net.draw()
        router.g["conv1.B"] = net.g["conv1.W"]
        optimizer.step(net, router)
        # Kolen and Pollack: the same gradient and decay, so W - B shrinks by 1 - lr l2.
        now = net.w["conv1.W"] - router.w["conv1.B"]
        np.testing.assert_allclose(now, difference * 0.95**t, rtol=1e-9)


def test_router_without_parameters(make_net):
    net, router = make_net(), make_net()
    router.w, router.g = {}, {}
    SGD(0.1).step(net, router)


class Ruler(SGD):
    """Records the learning rates that its steps use."""

    def update(self, w, g, state, lr):
        self.seen = [*getattr(self, "seen", []), lr]


def test_schedule_per_step(make_net):
    optimizer = Ruler(PiecewiseConstant({0: 0.3, 2: 0.2, 3: 0.0}))
    net = make_net({"conv1.W": (2, 2)})
    for _ in range(4):
        rate = optimizer.learning_rate()
        optimizer.step(net)
        assert optimizer.seen[-1] == rate
    assert optimizer.seen == [0.3, 0.3, 0.2, 0.0]


def test_schedule_per_epoch(make_net):
    optimizer = Ruler(InverseTime(1.0, 1.0, per="epoch"))
    net = make_net({"conv1.W": (2, 2)})
    for optimizer.epoch in (0, 1, 3):
        optimizer.step(net)
        optimizer.step(net)
    assert optimizer.seen == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]


def test_any_function_is_a_schedule_per_step(make_net):
    optimizer = Ruler(lambda step: 0.5**step)
    for _ in range(3):
        optimizer.step(make_net({"conv1.W": (2, 2)}))
    assert optimizer.seen == [1.0, 0.5, 0.25]


@pytest.mark.parametrize("kind", [SGD, Adam, RMSProp])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"lr": -0.1}, ValueError, r"expected lr in \[0, inf\), got -0.1"),
        ({"lr": NAN}, ValueError, "expected lr .* got nan"),
        ({"lr": float("inf")}, ValueError, "expected lr .* got inf"),
        ({"lr": None}, TypeError, "expected lr to be a number .* got None"),
        ({"lr": 0.1, "l2": -1}, ValueError, "expected l2"),
        ({"lr": 0.1, "l1": NAN}, ValueError, "expected l1"),
        ({"lr": 0.1, "clip_norm": 0}, ValueError, r"expected clip_norm in \(0, inf\), got 0"),
    ],
)
def test_bad_arguments(kind, arguments, error, message):
    with pytest.raises(error, match=f"{kind.__name__}: {message}"):
        kind(**arguments)


def test_bad_unit_of_a_schedule():
    def schedule(t):
        return 0.1

    schedule.per = "batch"
    with pytest.raises(
        ValueError, match=r"SGD: expected the attribute per of lr's schedule to be .* 'batch'"
    ):
        SGD(schedule)


@pytest.mark.parametrize(
    ("lr", "error", "got"),
    [
        (Constant(-1.0), ValueError, r"Constant\(.*\) returns at time 0, in \[0, inf\), got -1.0"),
        (lambda step: NAN, ValueError, "got nan"),
        (lambda step: None, TypeError, "got None"),
    ],
)
def test_bad_value_of_a_schedule(make_net, lr, error, got):
    optimizer = SGD(lr)
    unchanged(make_net(), optimizer, error, "SGD: expected lr, which .*" + got)


def test_a_rate_spoiled_later(make_net):
    optimizer = SGD(0.1)
    optimizer.lr = -1.0
    unchanged(make_net(), optimizer, ValueError, r"SGD: expected lr in .* got -1.0")


def unchanged(net, optimizer, error, message):
    """See that a step raises, and that it changed nothing before."""
    before = copy.deepcopy((net.w, optimizer.buffers, optimizer.steps))
    with pytest.raises(error, match=message):
        optimizer.step(net)
    for name, w in net.w.items():
        np.testing.assert_array_equal(w, before[0][name])
    assert optimizer.buffers.keys() == before[1].keys()
    assert optimizer.steps == before[2]


@EACH
@pytest.mark.parametrize(
    ("gradient", "error", "message"),
    [
        (None, RuntimeError, "for 'conv10.W', got none; .*a rule's learn fills grads"),
        (np.ones((3, 4)), ValueError, r"'conv10.W' with gradient of shape \(4, 3\), got \(3, 4\)"),
        (np.ones((4, 3), int), TypeError, "'conv10.W' with float gradient, got int64"),
    ],
)
def test_bad_gradients(make_net, make, gradient, error, message):
    net = make_net()
    net.g["conv10.W"] = gradient
    unchanged(net, make(), error, message)


def test_missing_gradient(make_net):
    net = make_net()
    del net.g["conv1.b"]
    unchanged(net, SGD(0.1), RuntimeError, "a gradient for 'conv1.b', got none; .* backward pass")


def test_bad_parameters(make_net):
    net = make_net()
    net.w["conv1.b"].flags.writeable = False
    unchanged(net, SGD(0.1), TypeError, "'conv1.b' to be writable floats, got read-only float64")
    net.w["conv1.b"] = np.zeros(4, int)
    unchanged(net, SGD(0.1), TypeError, "'conv1.b' to be writable floats, got int64")


def test_state_of_another_network_or_optimizer(make_net):
    optimizer = SGD(0.1, momentum=0.9)
    optimizer.step(make_net())
    other = make_net({"conv1.W": (2, 2)})
    unchanged(other, optimizer, ValueError, r"'velocity' of 'conv1.W' with shape \(2, 2\), got")
    adam = Adam()
    adam.buffers = optimizer.buffers
    message = r"state of 'conv1.W' to hold \['m', 'v'\], got \['velocity'\]"
    unchanged(make_net(), adam, ValueError, message)


def test_an_optimizer_of_ones_own(make_net):
    class Signs(Optimizer):
        def update(self, w, g, state, lr):
            w -= lr * np.sign(g)

    net = make_net()
    before = copy.deepcopy(net.w)
    optimizer = Signs(0.1, l2=0.0)
    optimizer.step(net)
    for name, w in net.w.items():
        np.testing.assert_allclose(w, before[name] - 0.1 * np.sign(net.g[name]))
    assert optimizer.buffers["conv1.W"] == {}
    assert repr(optimizer) == "Signs(lr=0.1)"


def test_repr():
    text = "SGD(lr=0.1, momentum=0.9, penalized=('*',))"
    assert repr(SGD(0.1, momentum=0.9, penalized="*")) == text
    assert repr(Adam()) == "Adam()"
    changed = Adam()
    changed.lr = 0.1
    assert repr(changed) == "Adam(lr=0.1)"
    assert (
        repr(PerLayer({"*": SGD(0.1, momentum=0.9, penalized="*")}))
        == f"PerLayer(optimizers={{'*': {text}}})"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"steps": -1},
        {"steps": "7"},
        {"epoch": 1 << 53},
        {"buffers": None},
        {"buffers": {"conv1.W": 3}},
        {"buffers": {"conv1.W": {"m": 1, "v": 2}}},
        {"buffers": {"conv1.W": {"m": np.array([np.nan])}}},
        {"more": 1},
    ],
)
def test_a_state_that_is_refused_changes_nothing(make_net, change):
    net = make_net()
    optimizer = Adam(0.1)
    optimizer.step(net)
    before = optimizer.state()
    with pytest.raises((TypeError, ValueError), match=r"Adam.restore: expected"):
        optimizer.restore(before | change)
    assert str(optimizer.state()) == str(before)


def test_a_state_is_a_copy(make_net):
    net = make_net()
    optimizer = Adam(0.1)
    optimizer.step(net)
    before, text = optimizer.state(), str(optimizer.state())
    optimizer.step(net)
    assert str(before) == text
    optimizer.restore(before)
    optimizer.step(net)
    assert str(before) == text
