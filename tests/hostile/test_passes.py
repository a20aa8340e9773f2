"""A backward pass belongs to its forward pass: whatever comes between is refused, or right."""

from __future__ import annotations

import copy
import itertools
import os
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import elunet as eln
from elunet import layers as L

STEPS = 1500 if os.environ.get("ELUNET_HOSTILE") == "full" else 150


class Remembers(L.Layer):
    """Keeps what it needs as a student's layer does, in an attribute."""

    def forward(self, x, train=False):
        self.x = x
        return x**2

    def backward_input(self, dy):
        return 2 * self.x * dy


class Recomputes(L.Layer):
    """Runs its own forward pass again on the way back, as one that saves memory does."""

    def forward(self, x, train=False):
        self.x = x
        return np.tanh(x)

    def backward_input(self, dy):
        return dy * (1 - self.forward(self.x) ** 2)


def chain(*more):
    layers = [L.Linear(4, 5), L.ELU(), *more, L.Linear(5, 3)]
    return eln.Sequential(layers, seed=1)


def batch(seed=0, n=6):
    return np.random.default_rng(seed).normal(size=(n, 4))


def gradients(net, x):
    """Return dx and all gradients of an undisturbed pass."""
    y = net.forward(x, train=True)
    return [net.backward(np.ones_like(y)), *(g.copy() for g in net.gradients().values())]


def assert_same(got, expected):
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def refused_or_right(net, x, disturb):
    """Disturb a network between its passes; return whether it was refused."""
    expected = gradients(copy.deepcopy(net), x)
    y = net.forward(x, train=True)
    disturb()
    try:
        got = [net.backward(np.ones_like(y)), *net.gradients().values()]
    except RuntimeError:
        return True
    assert_same(got, expected)
    return False


@pytest.fixture
def often():
    """Let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


class Spy(eln.optim.Optimizer):
    """Changes nothing, and notes the gradients that it is given."""

    def apply(self, parameters, gradients):
        self.seen = [g.copy() for g in gradients.values()]

    def update(self, w, g, state, lr):
        raise NotImplementedError


class TestTwoThreads:
    @pytest.mark.parametrize("rule", ["backprop", "norms", "noise"])
    def test_that_train_one_network_and_try_again(self, rule, often):
        """Each step is refused, or has the gradients of its own batch: and some succeed."""
        net, barrier = chain(), threading.Barrier(2)
        make = {
            "backprop": eln.routers.Backprop,
            "norms": lambda: eln.routers.NormMatched(eln.routers.Backprop()),
            "noise": lambda: eln.routers.GradientNoise(eln.routers.Backprop(), eta=0.0),
        }[rule]
        batches = [batch(seed) for seed in range(4)]
        expected = []
        for x in batches:
            alone = copy.deepcopy(net)
            y = alone.forward(x, train=True)
            make().backward(alone, np.ones_like(y))
            expected.append([g.copy() for g in alone.gradients().values()])
        wrong, done = [], [0, 0]

        def train(who):
            router, optimizer = make(), Spy(0.0)
            barrier.wait()
            for step in range(STEPS):
                place = (2 * step + who) % 4
                try:
                    y = net.forward(batches[place], train=True)
                except RuntimeError:
                    continue
                for _ in range(3):  # as one who is told that another thread is running it
                    try:
                        router.backward(net, np.ones_like(y))
                        if step % 2:
                            optimizer.step(net)
                            got = optimizer.seen
                        else:
                            got = [g.copy() for g in net.gradients().values()]
                    except RuntimeError:
                        continue
                    done[who] += 1
                    if not all(map(np.array_equal, got, expected[place])):
                        wrong.append((who, step))
                    break

        threads = [threading.Thread(target=train, args=(who,)) for who in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert sum(done) > STEPS // 10

    def test_the_other_ones_forward_in_between(self):
        net, x = chain(), batch()

        def other():
            thread = threading.Thread(target=lambda: net.forward(batch(1), train=True))
            thread.start()
            thread.join()

        y = net.forward(x, train=True)
        other()
        for _ in range(2):
            with pytest.raises(RuntimeError, match="another thread has run a forward pass since"):
                net.backward(np.ones_like(y))
        expected = gradients(chain(), x)
        assert_same(gradients(net, x), expected)

    def test_the_other_ones_backward_in_between(self):
        net, x = chain(), batch()
        y = net.forward(x, train=True)
        net.backward(np.ones_like(y))
        thread = threading.Thread(target=lambda: gradients(net, batch(1)))
        thread.start()
        thread.join()
        with pytest.raises(RuntimeError, match="another thread has run a backward pass since"):
            net.gradients()
        with pytest.raises(RuntimeError, match="another thread has run a backward pass since"):
            eln.optim.SGD(0.1).step(net)
        assert_same(gradients(net, x), gradients(chain(), x))

    def test_passes_may_be_handed_over(self):
        """As by a pool of threads that does one thing after the other."""
        net, x = chain(), batch()
        expected = gradients(chain(), x)
        with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
            threads = [one, other]
            for forward, backward, step in itertools.product(threads, repeat=3):
                y = forward.submit(net.forward, x, train=True).result()
                dx = backward.submit(net.backward, np.ones_like(y)).result()
                optimizer = Spy(0.0)
                step.submit(optimizer.step, net).result()
                assert_same([dx, *optimizer.seen], expected)

    def test_alone_keeps_others_out(self):
        net, x = chain(), batch()
        refused = []

        def other():
            for call in (net, lambda x: net.forward(x, train=True)):
                try:
                    call(x)
                except RuntimeError as error:
                    refused.append(str(error))

        with net.alone():
            y = net.forward(x, train=True)
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
            net.backward(np.ones_like(y))
        assert len(refused) == 2
        assert all("one thread at a time" in text for text in refused)
        assert net(x).shape == (6, 3)

    def test_alone_is_for_one_block(self):
        """Two blocks that shared it, in two threads, would let both in."""
        block = chain().alone()
        with block, pytest.raises(RuntimeError, match=r"Sequential: expected a new alone\(\) for"):
            block.__enter__()

    def test_who_was_refused_a_block_keeps_nobody_out(self):
        net, refused = chain(), []

        def other():
            with pytest.raises(RuntimeError, match="one thread at a time"), net.alone():
                pass
            refused.append(True)

        with net.alone():
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
            net(batch())
        thread = threading.Thread(target=net, args=(batch(),))
        thread.start()
        thread.join()
        net(batch())
        assert refused


class TestALayerInBetween:
    @pytest.mark.parametrize("kind", [L.Tanh, L.ELU, Remembers, lambda: L.Linear(5, 5)])
    @pytest.mark.parametrize("train", [False, True])
    def test_by_hand(self, kind, train):
        net = chain(kind())
        middle = net.layers[2]
        assert refused_or_right(net, batch(), lambda: middle.forward(np.ones((2, 5)), train))

    @pytest.mark.parametrize("kind", [L.Tanh, Remembers, lambda: L.Linear(5, 5)])
    @pytest.mark.parametrize("train", [False, True])
    def test_in_two_networks(self, kind, train):
        shared = kind()
        nets = [chain(shared), chain(shared)]
        assert refused_or_right(nets[0], batch(), lambda: nets[1].forward(batch(1), train))
        assert not refused_or_right(nets[1], batch(), lambda: None)

    def test_the_message_names_the_layer(self):
        net = chain()
        y = net.forward(batch(), train=True)
        net["elu1"].forward(np.ones((2, 5)))
        message = r"Network: backward .* elu1, ELU\(alpha=1\).* has run another forward pass since"
        with pytest.raises(RuntimeError, match=message):
            net.backward(np.ones_like(y))
        assert net.gradients() == {}  # and nothing was begun

    def test_a_layer_that_runs_its_own_forward_pass_again(self):
        net, x = chain(Recomputes()), batch()
        expected = gradients(chain(L.Tanh()), x)
        y = net.forward(x, train=True)
        for _ in range(2):  # two rules, one forward pass
            dx = net.backward(np.ones_like(y))
            for one, other in zip([dx, *net.gradients().values()], expected, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-12)

    def test_a_layers_backward_by_hand_disturbs_nothing(self):
        net = chain()
        dy = np.ones((6, 5))
        assert not refused_or_right(net, batch(), lambda: net["elu1"].backward(dy))

    def test_shapes_only(self):
        net = chain()
        assert not refused_or_right(net, batch(), lambda: net.summary((4,)))

    @pytest.mark.parametrize("twin", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
    def test_a_copy_goes_back_through_its_own(self, twin):
        net, x = chain(), batch()
        expected = gradients(chain(), x)
        y = net.forward(x, train=True)
        other = twin(net)
        other.forward(batch(1), train=True)
        assert_same([net.backward(np.ones_like(y)), *net.gradients().values()], expected)
        net.forward(x, train=True)
        other = twin(net)
        net.forward(batch(1), train=True)
        assert_same([other.backward(np.ones_like(y)), *other.gradients().values()], expected)

    def test_a_shallow_copy_shares_its_layers(self):
        net = chain()
        assert refused_or_right(net, batch(), lambda: copy.copy(net).forward(batch(1), train=True))


class TestWithinAPass:
    @pytest.mark.parametrize("extra", [(), (Remembers(),), (L.BatchNorm(5), L.Dropout(0.5))])
    def test_forward_in_its_own_tap(self, extra):
        """Inference is right, and so is the pass around it."""
        nets = [chain(*copy.deepcopy(extra)) for _ in range(2)]
        x, other = batch(), batch(1, n=3)
        expected = gradients(nets[1], x)
        inside = []

        def tap(name, y):
            inside.append(nets[0](other))

        y = nets[0].forward(x, train=True, tap=tap)
        got = [nets[0].backward(np.ones_like(y)), *nets[0].gradients().values()]
        assert_same(got, expected)
        if not extra:
            assert_same(inside, [chain()(other)] * len(nets[0]))

    def test_inference_in_a_backward_tap(self):
        net, x = chain(), batch()
        expected = gradients(chain(), x)
        y = net.forward(x, train=True)
        dx = net.walk(np.ones_like(y), tap=lambda name, dy: net(x), to_input=True)
        assert_same([dx, *net.gradients().values()], expected)

    def test_a_training_pass_in_its_own_tap_is_refused(self):
        net, x = chain(), batch()
        y = np.ones((6, 3))
        for call in (lambda: net.forward(x, train=True), lambda: net.backward(y)):
            with pytest.raises(RuntimeError, match="during one of its own passes"):
                net.forward(x, train=True, tap=lambda name, y, call=call: call())
        net.forward(x, train=True)
        for call in (lambda: net.forward(x, train=True), lambda: net.backward(y)):
            with pytest.raises(RuntimeError, match="during one of its own passes"):
                net.walk(y, tap=lambda name, y, call=call: call())
        assert_same(gradients(net, x), gradients(chain(), x))

    def test_a_layer_by_hand_in_a_backward_tap(self):
        net, x = chain(), batch()
        y = net.forward(x, train=True)
        with pytest.raises(RuntimeError, match="elu1"):
            net.walk(y, tap=lambda name, dy: net["elu1"].forward(np.ones((1, 5))))


class TestWeightsInBetween:
    """What layers say in their notes."""

    def test_a_new_array_counts_from_the_next_forward_on(self):
        net = chain()

        def assign():
            net["linear2"].params["W"] = np.zeros((5, 3))

        assert not refused_or_right(net, batch(), assign)

    def test_writing_into_the_old_one_counts_at_once(self):
        """No number tells that an array was written to: dx is that of the new W, dW the old."""
        net, x = chain(), batch().astype(np.float32)
        expected = gradients(chain(), x)
        y = net.forward(x, train=True)
        net["linear2"].params["W"][...] = 0
        dx = net.backward(np.ones_like(y))
        assert not dx.any()
        np.testing.assert_array_equal(net.gradients()["linear2.W"], expected[3])
        assert "params" in L.Layer.__doc__.split("Notes")[1].split("Examples")[0]
