import copy

import numpy as np
import pytest

from elunet import optim
from elunet.testing import GradientCheckError, check_optimizer, updates


class Descent:
    def __init__(self, lr=0.1):
        self.lr = lr

    def step(self, net):
        gradients = net.gradients()
        for name, w in net.parameters().items():
            self.update(name, w, gradients[name])

    def update(self, name, w, g):
        w -= self.lr * g


class Momentum(Descent):
    def __init__(self, shared=False):
        super().__init__()
        self.v, self.shared = {}, shared

    def update(self, name, w, g):
        name = "all" if self.shared else name
        self.v[name] = 0.9 * self.v.get(name, 0) + g
        w -= self.lr * self.v[name]


class Adam(Descent):
    """With the article's bug: 1 - beta instead of 1 - beta**t."""

    def __init__(self, power=lambda t: 1, eps=1e-8):
        self.state, self.t, self.power, self.eps = {}, 0, power, eps

    def step(self, net):
        self.t += 1
        super().step(net)

    def update(self, name, w, g):
        m, v = self.state.get(name, (0.0, 0.0))
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        self.state[name] = m, v
        t = self.power(self.t)
        w -= 1e-3 * m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + self.eps)


@pytest.mark.parametrize(
    ("optimizer", "update"),
    [
        (Descent(), updates.sgd(0.1)),
        (Momentum(), updates.sgd(0.1, momentum=0.9)),
        (Adam(lambda t: t), updates.adam(1e-3)),
        (optim.SGD(0.1), updates.sgd(0.1)),
        (optim.SGD(0.1, 0.9, l2=0.1), updates.sgd(0.1, 0.9, l2=0.1)),
        (optim.SGD(0.1, 0.9, True, l1=0.1), updates.sgd(0.1, 0.9, True, l1=0.1)),
        (optim.Adam(1e-2, l2=0.1, l1=0.2), updates.adam(1e-2, l2=0.1, l1=0.2)),
        (optim.Adam(l2=0.1, decoupled=True), updates.adam(l2=0.1, decoupled=True)),
        (optim.RMSProp(1e-2, l2=0.1), updates.rmsprop(1e-2, l2=0.1)),
        (optim.AdaGrad(1e-2, eps=1e-6, l2=0.1), updates.adagrad(1e-2, eps=1e-6, l2=0.1)),
        (optim.AdamW(1e-2), updates.adamw(1e-2)),
        (optim.Lion(1e-2, l2=0.1), updates.lion(1e-2, decay=0.1)),
        (optim.NAdam(1e-2, l2=0.1), updates.nadam(1e-2, l2=0.1, momentum_decay=4e-3)),
    ],
)
def test_right_ones(optimizer, update):
    before = copy.deepcopy(vars(optimizer))
    result = check_optimizer(optimizer, update)
    assert result.arrays == ["first.W", "second.W"]
    assert result.max_abs_error < 1e-12
    assert result.notes == ("5 steps",)
    assert vars(optimizer) == before


def test_biases_carry_no_penalty():
    check_optimizer(optim.SGD(0.1, l2=0.5), updates.sgd(0.1), names=["first.b"], shape=(4,))


def test_the_longest_step_of_a_zero_update():
    check_optimizer(Descent(0.0), updates.sgd(0.0))


class Sleeper(Descent):
    def step(self, net):
        """Put new arrays where the network does not look."""
        for name, w in net.parameters().items():
            net.parameters()[name] = w - 0.1


class Rooted(Momentum):
    def update(self, name, w, g):
        self.v[name] = 0.9 * np.cbrt(self.v.get(name, 0)) + g
        w -= self.lr * self.v[name]


class Broken(Descent):
    def update(self, name, w, g):
        w[0, 0] = np.nan


@pytest.mark.parametrize(
    ("optimizer", "update", "step", "text"),
    [
        (Descent(-0.1), updates.sgd(0.1), 1, "the sign is flipped: the step goes uphill"),
        (Descent(0.2), updates.sgd(0.1), 1, "the step is 2 x the update rule's, at every step"),
        (Sleeper(), updates.sgd(0.1), 1, "no parameter changed: step has to write into the arrays"),
        (Adam(), updates.adam(1e-3), 2, r"1 - beta instead of 1 - beta\*\*t"),
        (Adam(lambda t: 10**9), updates.adam(1e-3), 1, "the bias correction is missing"),
        (
            Adam(lambda t: t, eps=1e-5),
            updates.adam(1e-3),
            1,
            "eps is 1e-05, where the update rule has 1e-08",
        ),
        (Momentum(), updates.sgd(0.1, 0.8), 2, "momentum is 0.9, where the update rule has 0.8"),
        (Rooted(), updates.sgd(0.1, 0.9), 2, "step 1 is right, .* what is remembered"),
        (
            Momentum(True),
            updates.sgd(0.1, 0.9),
            1,
            "what is remembered is shared by all parameters",
        ),
        (Descent(), updates.adam(1e-3), 1, "differs from the update rule for first.W, at 12 of 12"),
        (Broken(), updates.sgd(0.1), 1, "became nan, .*\n.*likely cause: the step is not finite"),
    ],
)
def test_bugs(optimizer, update, step, text):
    with pytest.raises(GradientCheckError, match=text) as caught:
        check_optimizer(optimizer, update)
    error = caught.value
    assert f"{type(optimizer).__name__}: step {step} differs from the update rule" in str(error)
    assert error.array in ("first.W", "second.W")
    assert len(error.index) == 2


def test_a_gradient_that_is_written_to():
    class Scaling(Descent):
        def update(self, name, w, g):
            g *= 0.1
            w -= g

    with pytest.raises(GradientCheckError, match=r"step changed the gradient of first.W in place"):
        check_optimizer(Scaling(), updates.sgd(0.1))


def test_an_update_for_each_parameter():
    by_name = {"first.W": updates.sgd(0.1, l2=0.5), "first.b": updates.sgd(0.1)}
    assert check_optimizer(optim.SGD(0.1, l2=0.5), by_name).arrays == ["first.W", "first.b"]
    assert check_optimizer(optim.SGD(0.1, l2=0.5), by_name, names=["first.b"]).arrays == ["first.b"]
    with pytest.raises(GradientCheckError, match=r"the weight decay does not move first\.b"):
        check_optimizer(optim.SGD(0.1, l2=0.5), dict.fromkeys(by_name, updates.sgd(0.1, l2=0.5)))
    with pytest.raises(
        ValueError, match=r"an update rule for each parameter, got none for \['other.W'\]"
    ):
        check_optimizer(optim.SGD(0.1), by_name, names=["first.W", "other.W"])
    with pytest.raises(ValueError, match="an update rule for each parameter, got none for any"):
        check_optimizer(optim.SGD(0.1), {})


def test_a_gradient_that_is_kept():
    """In a network the next backward pass writes into the same array."""

    class Keeping(Momentum):
        def update(self, name, w, g):
            self.v[name] = 0.9 * self.v[name] + g if name in self.v else g
            w -= self.lr * self.v[name]

    with pytest.raises(GradientCheckError, match="Keeping: step 2 differs from the update rule"):
        check_optimizer(Keeping(), updates.sgd(0.1, 0.9))


def test_wrong_calls():
    for wrong in (Descent, 3):
        with pytest.raises(TypeError, match=r"expected an optimizer with step\(net\)"):
            check_optimizer(wrong, updates.sgd(0.1))
    with pytest.raises(ValueError, match="expected steps of at least 1, got 0"):
        check_optimizer(Descent(), updates.sgd(0.1), steps=0)
    with pytest.raises(TypeError, match="expected steps as an integer, got 2.5"):
        check_optimizer(Descent(), updates.sgd(0.1), steps=2.5)
    with pytest.raises(ValueError, match=r"expected rtol in \(0, inf\), got 0"):
        check_optimizer(Descent(), updates.sgd(0.1), rtol=0)
    with pytest.raises(ValueError, match=r"expected update to return shape \(3, 4\), got \(\)"):
        check_optimizer(Descent(), lambda w, g, state, t: 0.0)
