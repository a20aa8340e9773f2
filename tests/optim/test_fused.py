"""The compiled twins of the rules: the same numbers as `update`, and taken only where they may be.

`plain` makes an optimizer of the same kind whose `update` is its own, so that it takes no kernel.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest

from elunet.optim import SGD, AdaGrad, Adam, AdamW, Lion, NAdam, Optimizer, PerLayer, RMSProp

MAKERS = {
    "sgd": lambda kind: kind(0.1, l2=0.1),
    "momentum": lambda kind: kind(0.1, momentum=0.9, l2=0.1, l1=0.01, clip_norm=1.0),
    "nesterov": lambda kind: kind(0.1, momentum=0.9, nesterov=True),
    "adam": lambda kind: kind(0.01, l2=0.1, clip_norm=0.5),
    "adamw": lambda kind: kind(0.01, l2=0.1, l1=0.01, decoupled=True),
    "all decay": lambda kind: kind(0.01, l2=0.1, l1=0.01, penalized=["*W"]),
    "nadam": lambda kind: kind(0.01, l2=0.1, clip_value=0.5),
    "nadamw": lambda kind: kind(0.01, l2=0.1, l1=0.01, decoupled=True),
    "rmsprop": lambda kind: kind(0.01, l1=0.1),
    "rmsprop with momentum": lambda kind: kind(0.01, l1=0.1, momentum=0.9),
    "rmsprop, centered": lambda kind: kind(0.01, l2=0.1, eps=1e-2, centered=True),
    "adagrad": lambda kind: kind(0.01, l2=0.1, penalized=["*.W", "*W"]),
    "lion": lambda kind: kind(0.01, l2=0.1, l1=0.01, decoupled=False),
    "lionw": lambda kind: kind(0.01, l2=0.1, l1=0.01, clip_norm=1.0),
}
KINDS = {
    "adam": Adam,
    "adamw": Adam,
    "all decay": AdamW,
    "nadam": NAdam,
    "nadamw": NAdam,
    "adagrad": AdaGrad,
    "lion": Lion,
    "lionw": Lion,
} | {name: RMSProp for name in MAKERS if name.startswith("rmsprop")}
EACH = pytest.mark.parametrize("name", MAKERS)
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def fused(name):
    return MAKERS[name](KINDS.get(name, SGD))


def plain(name):
    kind = KINDS.get(name, SGD)

    class Plain(kind):
        def update(self, w, g, state, lr):
            super().update(w, g, state, lr)

    return MAKERS[name](Plain)


def calls(monkeypatch, optimizer):
    """Return a list that grows by (kernel's name, size) with each call of a kernel."""
    seen = []
    make = type(optimizer).fused

    def watched(self, lr):
        kernel, numbers = make(self, lr)

        def call(w, *rest):
            seen.append((kernel.__name__, w.size))
            kernel(w, *rest)

        return call, numbers

    monkeypatch.setattr(type(optimizer), "fused", watched)
    return seen


def same(one, other, rtol=1e-5):
    for name, w in one.w.items():
        np.testing.assert_allclose(other.w[name], w, rtol=rtol, atol=rtol)


@EACH
@DTYPES
def test_it_is_update(make_net, monkeypatch, name, dtype):
    one, other = make_net(dtype=dtype), make_net(dtype=dtype)
    compiled, written = fused(name), plain(name)
    seen = calls(monkeypatch, compiled)
    for _ in range(5):
        one.draw()
        other.draw()
        compiled.step(one)
        written.step(other)
    rtol = 1e-5 if dtype is np.float32 else 1e-12
    same(one, other, rtol)
    for parameter, state in written.buffers.items():
        for slot, array in state.items():
            np.testing.assert_allclose(compiled.buffers[parameter][slot], array, rtol, rtol)
    assert len(seen) == 5 * len(one.w)


@EACH
def test_what_is_not_ordinary_goes_through_update(make_net, monkeypatch, name):
    one = make_net(dtype=np.float32)
    transposed = np.asfortranarray
    for change_w, change_g in (
        (transposed, np.array),
        (np.array, transposed),
        (lambda w: w.astype(">f4"), np.array),
        (np.array, lambda g: g.astype(np.float64)),
        (lambda w: w.astype(np.float16), lambda g: g.astype(np.float16)),
        (lambda w: w.view(np.memmap), np.array),
    ):
        net = copy.deepcopy(one)
        net.w["conv10.W"] = change_w(net.w["conv10.W"])
        net.g["conv10.W"] = change_g(net.g["conv10.W"])
        other = copy.deepcopy(net)
        compiled, written = fused(name), plain(name)
        with monkeypatch.context() as patch:
            seen = calls(patch, compiled)
            for _ in range(2):
                compiled.step(net)
                written.step(other)
        rtol = 1e-2 if net.w["conv10.W"].dtype == np.float16 else 1e-5
        same(net, other, rtol)
        assert len(seen) == 2 * (len(net.w) - 1)


def test_a_gradient_that_overlaps_with_its_weight():
    class Overlapping:
        def __init__(self):
            self.memory = np.arange(9.0)

        def parameters(self):
            return {"a.W": self.memory[1:]}

        def gradients(self):
            return {"a.W": self.memory[:-1]}

    net = Overlapping()
    SGD(0.5).step(net)
    np.testing.assert_array_equal(net.memory, [0, *(np.arange(1, 9) - 0.5 * np.arange(8))])


@EACH
def test_one_array_under_two_names(make_net, name):
    shapes = {"a.W": (3, 2), "b.W": (3, 2)}
    one, other = make_net(shapes), make_net(shapes)
    for net in (one, other):
        net.w["b.W"] = net.w["a.W"]
    compiled, written = fused(name), plain(name)
    for _ in range(3):
        one.draw()
        other.draw()
        one.g["b.W"] = one.g["a.W"] + 1
        other.g["b.W"] = other.g["a.W"] + 1
        compiled.step(one)
        written.step(other)
    same(one, other, 1e-12)


@EACH
@pytest.mark.parametrize("shape", [(0,), (3, 0), ()])
def test_empty_and_single_parameters(make_net, name, shape):
    one = make_net({"a.W": shape, "b.W": (2,)})
    if shape == ():
        one.w["a.W"], one.g["a.W"] = np.array(2.0), np.array(1.0)
    other = copy.deepcopy(one)
    compiled, written = fused(name), plain(name)
    for _ in range(2):
        compiled.step(one)
        written.step(other)
    same(one, other, 1e-12)
    assert one.w["a.W"].shape == shape


@EACH
def test_arrays_that_are_replaced(make_net, name):
    """New parameters, gradients or state between two steps: never are the old ones used."""
    one = make_net()
    other = copy.deepcopy(one)
    compiled, written = fused(name), plain(name)

    def step():
        compiled.step(one)
        written.step(other)
        same(one, other, 1e-12)

    step()
    for net in (one, other):
        net.w = {key: w + 1 for key, w in net.w.items()}
    step()
    one.g = {key: 2 * g for key, g in one.g.items()}
    other.g = {key: g.copy() for key, g in one.g.items()}
    step()
    for optimizer in (compiled, written):
        for state in optimizer.buffers.values():
            for slot in state:
                state[slot] = state[slot] + 1
    step()
    for optimizer in (compiled, written):
        optimizer.buffers = {
            key: {slot: np.ones_like(a) for slot, a in state.items()}
            for key, state in optimizer.buffers.items()
        }
    step()
    for optimizer in (compiled, written):
        optimizer.buffers = {}
    step()
    for net in (one, other):
        net.w["conv1.b"] = net.w["conv1.b"].astype(np.float32)
        net.g["conv1.b"] = net.g["conv1.b"].astype(np.float32)
    step()
    step()


@EACH
def test_what_goes_wrong_after_the_first_step_is_seen(make_net, name):
    def spoiled(error, message, spoil):
        net, optimizer = make_net(), fused(name)
        optimizer.step(net)
        spoil(net, optimizer)
        before = copy.deepcopy((net.w, optimizer.buffers))
        with pytest.raises(error, match=message):
            optimizer.step(net)
        for key, w in net.w.items():
            np.testing.assert_array_equal(w, before[0][key])
        assert optimizer.steps == 1

    def first(optimizer):
        state = optimizer.buffers["conv10.W"]
        return state, next(iter(state))

    def wrong_shape(net, optimizer):
        state, slot = first(optimizer)
        state[slot] = np.zeros((3, 4))

    def lost(net, optimizer):
        state, slot = first(optimizer)
        del state[slot]

    def one_more(net, optimizer):
        optimizer.buffers["conv10.W"]["other"] = np.zeros((4, 3))

    spoiled(TypeError, "read-only", lambda n, o: n.w["conv10.W"].setflags(write=False))
    spoiled(RuntimeError, "a gradient for 'conv1.b'", lambda n, o: n.g.pop("conv1.b"))
    spoiled(ValueError, r"of shape \(4, 3\)", lambda n, o: n.g.update({"conv10.W": np.ones(12)}))
    spoiled(TypeError, "float gradient", lambda n, o: n.g.update({"conv1.b": np.ones(4, int)}))
    spoiled(ValueError, r"with shape \(4, 3\), got \(3, 4\)", wrong_shape)
    spoiled(ValueError, "state of 'conv10.W' to hold", lost)
    spoiled(ValueError, "state of 'conv10.W' to hold", one_more)
    spoiled(ValueError, "expected lr in", lambda n, o: setattr(o, "lr", -1.0))
    spoiled(ValueError, "expected lr in", lambda n, o: setattr(o, "lr", float("inf")))


@EACH
def test_a_copy_steps_its_own_network(make_net, name):
    net, optimizer = make_net(), fused(name)
    optimizer.step(net)
    twin, its = copy.deepcopy((net, optimizer))
    before = copy.deepcopy(net.w)
    its.step(twin)
    for key, w in net.w.items():
        np.testing.assert_array_equal(w, before[key])
    optimizer.step(net)
    for key, w in net.w.items():
        np.testing.assert_array_equal(w, twin.w[key])
    shallow = copy.copy(optimizer)
    shallow.step(twin)
    assert shallow._bound is not optimizer._bound


@EACH
def test_a_rule_that_was_replaced_is_the_one_that_is_used(make_net, monkeypatch, name):
    def nothing(*arguments):
        pass

    net, kind = make_net(), KINDS.get(name, SGD)
    before = copy.deepcopy(net.w)

    class WithoutPenalty(kind):
        def _penalize(self, w, g, lr):
            g[...] = 0

    class Still(kind):
        update = nothing

    class StillToo(Still):
        pass

    replaced = fused(name)
    replaced.update = nothing
    for optimizer in (MAKERS[name](Still), MAKERS[name](StillToo), replaced):
        optimizer.l2 = optimizer.l1 = 0.0  # which, if decoupled, bypass the rule
        optimizer.step(net)
    with monkeypatch.context() as patch:
        patch.setattr(kind, "update", nothing)
        optimizer = fused(name)
        optimizer.l2 = optimizer.l1 = 0.0
        optimizer.step(net)
    for key, w in net.w.items():
        np.testing.assert_array_equal(w, before[key])
    MAKERS[name](WithoutPenalty).step(net)
    np.testing.assert_array_equal(net.w["conv1.W"], before["conv1.W"])
    assert not np.array_equal(net.w["conv1.b"], before["conv1.b"])


def test_a_subclass_that_changes_nothing_keeps_the_kernel(make_net, monkeypatch):
    class Mine(SGD):
        pass

    optimizer = Mine(0.1, momentum=0.9)
    seen = calls(monkeypatch, optimizer)
    optimizer.step(make_net())
    assert seen


def test_a_kernel_of_ones_own(make_net):
    class Signs(Optimizer):
        def update(self, w, g, state, lr):
            w -= lr * np.sign(g)

        def fused(self, lr):
            def kernel(w, g, lr, scale, l2, l1):
                assert scale == 1.0
                w -= lr * np.sign(g + l2 * w)

            return kernel, (lr,)

    net = make_net()
    before = copy.deepcopy(net.w)
    Signs(0.1, l2=0.5).step(net)
    for name, w in before.items():
        penalty = 0.5 * w if name.endswith("W") else 0
        np.testing.assert_allclose(net.w[name], w - 0.1 * np.sign(net.g[name] + penalty))


def test_numbers_of_another_type(make_net):
    one, other = make_net(), make_net()
    optimizer = SGD(1, momentum=np.float32(0.5), l2=1, clip_norm=np.float64(1))
    optimizer.step(one)
    SGD(1.0, momentum=0.5, l2=1.0, clip_norm=1.0).step(other)
    same(one, other, 1e-12)


def test_update_by_hand_is_as_it_was(make_net):
    w, g, state = np.ones(3), np.full(3, 2.0), {"velocity": np.ones(3)}
    SGD(0.1, momentum=0.5).update(w, g, state, 0.1)
    np.testing.assert_allclose(w, 1 - 0.1 * 2.5)


def test_apply_to_other_arrays_than_were_checked(make_net):
    one, other = make_net(), make_net(seed=1)
    optimizer = SGD(0.1)
    optimizer.step(one)
    before, expected = copy.deepcopy(one.w), copy.deepcopy(other)
    optimizer.apply(other.w, other.g)
    for name, w in one.w.items():
        np.testing.assert_array_equal(w, before[name])
        np.testing.assert_allclose(other.w[name], expected.w[name] - 0.1 * other.g[name])


def test_parts_of_per_layer_are_compiled(make_net, monkeypatch):
    net = make_net()
    optimizer = PerLayer({"conv1.*": SGD(0.1, momentum=0.9), "*": SGD(0.2)})
    seen = calls(monkeypatch, optimizer.optimizers["*"])
    optimizer.step(net)
    optimizer.step(net)
    assert len(seen) == 2 * len(net.w)
    optimizer.optimizers["*"] = Adam(0.1)
    optimizer.buffers = {}
    optimizer.step(net)
    assert set(optimizer.buffers["conv10.W"]) == {"m", "v"}
    net.w["conv2.W"], net.g["conv2.W"] = np.ones(2), np.ones(2)
    optimizer.step(net)
    assert net.w["conv2.W"][0] < 1


@EACH
@DTYPES
def test_nan_and_overflow_are_silent(make_net, name, dtype):
    net, optimizer = make_net(dtype=dtype), fused(name)
    net.w["conv1.b"][0] = np.nan
    net.g["conv10.W"][0, 0] = np.inf
    net.g["bn1.gamma"][...] = np.finfo(dtype).max
    for _ in range(3):
        optimizer.step(net)
    assert np.isnan(net.w["conv1.b"][0])
