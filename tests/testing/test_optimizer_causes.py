"""The likely cause that is named: mistakes, each with a correct twin, and none that misleads."""

import re

import numpy as np
import pytest

from elunet.testing import GradientCheckError, check_optimizer, updates

LR = 0.01


class Written:
    """An optimizer of dicts; the rule is one method."""

    def __init__(self, wrong=""):
        self.wrong, self.t, self.memory = wrong, 0, {}

    def update(self, params, grads):
        self.t += 1
        for key, w in params.items():
            params[key] = self.rule(w, grads[key], self.memory.setdefault(key, {}))


class Momentum(Written):
    def rule(self, w, g, its):
        v = its.get("v", 0.0)
        if self.wrong == "late":
            its["v"] = 0.9 * v - LR * g
            return w + v
        if not its and self.wrong.startswith("first"):
            its["v"] = g if self.wrong == "first" else -g
        elif self.wrong == "average":
            its["v"] = 0.9 * v - 0.1 * LR * g
        elif self.wrong == "uncollected":
            return w + 0.9 * v - LR * g
        else:
            its["v"] = 0.9 * v - LR * g
        if self.wrong == "ahead":
            return w + 0.9 * its["v"] - LR * g
        return w + its["v"]


class Average(Written):
    def rule(self, w, g, its):
        if self.wrong == "first" and not its:
            its["v"] = g
        else:
            its["v"] = 0.9 * its.get("v", 0.0) + (1.0 if self.wrong == "sum" else 0.1) * g
        return w - LR * its["v"] / (1 - 0.9**self.t if self.wrong == "corrected" else 1)


class Nesterov(Written):
    def rule(self, w, g, its):
        v = its.get("v", 0.0)
        its["v"] = 0.9 * v + g
        return w - LR * (g + 0.9 * (v if self.wrong else its["v"]))


class Adam(Written):
    def rule(self, w, g, its):
        m = 0.9 * its.get("m", 0.0) + 0.1 * g
        v = 0.999 * its.get("v", 0.0) + 0.001 * g**2
        t = {"one": 1, "zero": self.t - 1, "two": self.t + 1}.get(self.wrong, self.t)
        if self.wrong == "swapped":
            m, v = 0.999 * its.get("m", 0.0) + 0.001 * g, 0.9 * its.get("v", 0.0) + 0.1 * g**2
            return self.moved(w, m, v, its, 1 - 0.999**t, 1 - 0.9**t)
        with np.errstate(all="ignore"):
            return self.moved(w, m, v, its, 1 - 0.9**t, 1 - 0.999**t)

    def moved(self, w, m, v, its, over_m, over_v):
        its["m"], its["v"] = m, v
        over_m = 1 if self.wrong in ("none", "no m") else over_m
        over_v = 1 if self.wrong in ("none", "no v") else over_v
        m, root = m / over_m, np.sqrt(v / over_v) + 1e-8
        if self.wrong in ("kept", "kept m"):
            its["m"] = m
        if self.wrong in ("kept", "kept v"):
            its["v"] = v / over_v
        if self.wrong == "inside":
            root = np.sqrt(v / over_v + 1e-8)
        if self.wrong == "before":
            root = (np.sqrt(v) + 1e-8) / np.sqrt(over_v)
        return w - LR * m / root


class CountsParameters(Adam):
    def update(self, params, grads):
        for key, w in params.items():
            self.t += 1
            params[key] = self.rule(w, grads[key], self.memory.setdefault(key, {}))


class Decay(Written):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def rule(self, w, g, its):
        its["v"] = 0.9 * its.get("v", 0.0) + g + self.factor * 0.5 * w
        return w - LR * its["v"]


class DecayedAdam(Adam):
    def __init__(self, factor, decoupled=False):
        super().__init__()
        self.factor, self.decoupled = factor, decoupled

    def rule(self, w, g, its):
        decay = self.factor * 0.5 * w
        if self.decoupled:
            return super().rule(w, g, its) - LR * decay
        return super().rule(w, g + decay, its)


class Square(Written):
    def rule(self, w, g, its):
        its["s"] = its.get("s", 0.0) + g**2
        inside = np.sqrt(its["s"] + 1e-8)
        return w - LR * g / (inside if self.wrong else np.sqrt(its["s"]) + 1e-8)


class Mean(Written):
    def rule(self, w, g, its):
        its["s"] = 0.9 * its.get("s", 0.0) + 0.1 * g**2
        inside = np.sqrt(its["s"] + 1e-8)
        return w - LR * g / (inside if self.wrong else np.sqrt(its["s"]) + 1e-8)


MOMENTUM, AVERAGE = updates.sgd(LR, 0.9), updates.averaged_momentum(LR, 0.9)
NESTEROV, ADAM = updates.sgd(LR, 0.9, nesterov=True), updates.adam(LR)
DECAY = updates.sgd(LR, 0.9, l2=0.5)
CASES = [
    (
        Momentum("late"),
        MOMENTUM,
        1,
        "the update uses last step's velocity: compute the new v first",
    ),
    (Momentum("first"), MOMENTUM, 1, "first velocity is .* learning rate, and with the wrong sign"),
    (
        Momentum("first down"),
        MOMENTUM,
        1,
        "first velocity is the gradient itself, without the lear",
    ),
    (Momentum("average"), MOMENTUM, 1, "the velocity is an average, v = momentum v "),
    (Momentum("ahead"), MOMENTUM, 1, "this is Nesterov's step, w - lr"),
    (Momentum("uncollected"), MOMENTUM, 2, "nothing is remembered from step to step"),
    (
        Average("sum"),
        AVERAGE,
        1,
        "the velocity is v = momentum v . g, where the update rule has the",
    ),
    (Average("corrected"), AVERAGE, 1, r"the velocity is divided by 1 - momentum\*\*t"),
    (Average(), updates.averaged_momentum(LR, correct=True), 1, "the bias correction is missing"),
    (
        Average("first"),
        AVERAGE,
        1,
        "the first velocity is the gradient itself, without 1 - momentum",
    ),
    (Nesterov("late"), NESTEROV, 1, "this is momentum without Nesterov's look-ahead"),
    (Adam("one"), ADAM, 2, r"the step's number t: 1 - beta instead of 1 - beta\*\*t"),
    (Adam("zero"), ADAM, 1, "t is 0 at the first step, where it should be 1"),
    (Adam("two"), ADAM, 1, "t is 2 at the first step, where it should be 1"),
    (Adam("none"), ADAM, 1, "the bias correction is missing: averages start at 0"),
    (Adam("no m"), ADAM, 1, "the bias correction of m is missing"),
    (Adam("no v"), ADAM, 1, "the bias correction of v is missing"),
    (Adam("kept"), ADAM, 2, "the averages m and v are corrected in place"),
    (Adam("kept m"), ADAM, 2, "the average m is corrected in place"),
    (Adam("kept v"), ADAM, 2, "the average v is corrected in place"),
    (Adam("inside"), ADAM, 1, "eps is inside the root"),
    (Adam("before"), ADAM, 1, "eps is added before the bias correction"),
    (Adam("swapped"), ADAM, 2, "beta1 and beta2 are swapped"),
    (CountsParameters(), ADAM, 1, "t counts parameters, not steps: raise it once a step"),
    (Decay(0), DECAY, 1, "the weight decay is missing"),
    (Decay(-1), DECAY, 1, "the weight decay has the wrong sign: it has to make w smaller$"),
    (Decay(2), DECAY, 1, "the weight decay is 2 x the update rule's$"),
    (
        Decay(0.01),
        DECAY,
        1,
        "the weight decay is 1/100 x .*, divided by 100 as if it were averaged",
    ),
    (Decay(-0.01), DECAY, 1, "has the wrong sign.*, and is 1/100 x .*divided by 100 as if it were"),
    (Decay(1), MOMENTUM, 1, "each step also adds 0.5 w to the gradient"),
    (DecayedAdam(-1), updates.adam(LR, l2=0.5), 1, "the weight decay has the wrong sign"),
    (DecayedAdam(0), updates.adam(LR, l2=0.5), 1, "the weight decay is missing"),
    (
        DecayedAdam(1),
        updates.adamw(LR, decay=0.5),
        1,
        "the weight decay goes through Adam's averag",
    ),
    (DecayedAdam(1, True), updates.adam(LR, l2=0.5), 1, r"the weight decay is decoupled \(AdamW\)"),
    (DecayedAdam(0.02, True), updates.adamw(LR, decay=0.5), 1, "divided by 50 as if it were avera"),
    (Momentum(), updates.sgd(LR), 2, "momentum is 0.9, where the update rule has 0"),
    (Mean("inside"), updates.rmsprop(LR), 1, "eps is inside the root"),
    (Mean(), updates.rmsprop(LR, eps_inside=True), 1, "eps is outside of the root"),
    (Mean(), updates.rmsprop(LR, eps=1e-6), 1, "eps is 1e-08, where the update rule has 1e-06"),
    (Mean(), updates.rmsprop(LR, rho=0.99), 1, "rho is 0.9, where the update rule has 0.99"),
]
CORRECT = [
    (Momentum(), MOMENTUM),
    (Average(), AVERAGE),
    (Average("corrected"), updates.averaged_momentum(LR, correct=True)),
    (Momentum("ahead"), NESTEROV),
    (Nesterov(), NESTEROV),
    (Adam(), ADAM),
    (Decay(1), DECAY),
    (DecayedAdam(1), updates.adam(LR, l2=0.5)),
    (DecayedAdam(1, True), updates.adamw(LR, decay=0.5)),
    (Square(), updates.adagrad(LR)),
    (Mean(), updates.rmsprop(LR)),
    (Mean("inside"), updates.rmsprop(LR, eps_inside=True)),
]


@pytest.mark.parametrize(("optimizer", "update", "step", "cause"), CASES)
def test_a_mistake_is_named(optimizer, update, step, cause):
    with pytest.raises(GradientCheckError, match=f": step {step} differs") as caught:
        check_optimizer(optimizer, update)
    assert re.search(cause, caught.value.cause), caught.value.cause


@pytest.mark.parametrize(("optimizer", "update"), CORRECT)
def test_the_correct_twin_passes(optimizer, update):
    check_optimizer(optimizer, update)


@pytest.mark.parametrize(
    ("optimizer", "update"),
    [
        (Square("inside"), updates.adagrad(LR)),  # unless it is named, only what was seen is said
        (Momentum("late"), ADAM),
        (Adam("kept"), MOMENTUM),
        (Decay(1), AVERAGE),
        (Mean(), ADAM),
    ],
)
def test_what_does_not_fit_is_not_named(optimizer, update):
    with pytest.raises(GradientCheckError) as caught:
        check_optimizer(optimizer, update)
    assert caught.value.cause in ("", "the step is sqrt(10) x the update rule's")  # what was seen


def test_two_mistakes_at_once_are_not_taken_for_one():
    class Both(Adam):
        def rule(self, w, g, its):
            return super().rule(w, g + 0.1 * np.sign(g), its)

    with pytest.raises(GradientCheckError) as caught:
        check_optimizer(Both("kept"), ADAM)
    assert caught.value.cause == ""


def test_a_rule_of_ones_own_has_its_suspects_too():
    """Those that need no settings: memory, time, length."""

    def falling(w, g, state, t):
        state["v"] = 0.5 * state.get("v", 0.0) + g
        return w - LR / t * state["v"]

    def made(late=False, number=lambda t: t):
        memory = {"t": 0, "v": 0.0}

        def update(w, g):
            memory["t"] += 1
            v, memory["v"] = memory["v"], 0.5 * memory["v"] + g
            return w - LR / number(memory["t"]) * (v if late else memory["v"])

        return update

    check_optimizer(made(), falling)
    for update, cause in (
        (
            made(number=lambda t: 1),
            "the step's number t is not used: every step is as long as at t",
        ),
        (made(number=lambda t: t + 1), "t is 2 at the first step"),
        (made(number=lambda t: t / 2), "the step is 2 x the update rule's, at every step"),
    ):
        with pytest.raises(GradientCheckError) as caught:
            check_optimizer(update, falling)
        assert caught.value.cause.startswith(cause)


def test_the_worst_entry_is_the_first_of_equals():
    def update(w, g):
        return w - LR * g + 1e-3

    with pytest.raises(GradientCheckError) as caught:
        check_optimizer(update, updates.sgd(LR))
    assert caught.value.index == (0, 0)
