from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elunet.schedules import (
    Constant,
    Cosine,
    InverseTime,
    OneCycle,
    PiecewiseConstant,
    Schedule,
)

PAPER = {0: 0.01, 35_000: 0.005, 85_000: 0.0005, 135_000: 0.00005}
ALL = [
    Constant(0.1),
    PiecewiseConstant(PAPER),
    OneCycle(0.1, 100),
    OneCycle(0.1, 100, anneal="cosine"),
    Cosine(0.1, 100, warmup=0.1),
    InverseTime(0.1, 0.9, per="epoch"),
]
NAN = float("nan")


@pytest.mark.parametrize("schedule", ALL, ids=repr)
@given(t=st.one_of(st.integers(0, 10**6), st.floats(0, 1e6)))
def test_values_stay_in_range(schedule, t):
    value = schedule(t)
    assert type(value) is float
    assert 0 <= value <= 0.1 * (1 + 1e-12)
    assert schedule(t) == value


@pytest.mark.parametrize("schedule", ALL, ids=repr)
def test_copies_are_equal(schedule):
    assert copy.deepcopy(schedule) == schedule
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert hash(copy.deepcopy(schedule)) == hash(schedule)
    assert schedule(np.int64(7)) == schedule(np.float32(7)) == schedule(7)


@pytest.mark.parametrize("schedule", ALL, ids=repr)
@pytest.mark.parametrize(
    ("t", "error"), [(-1, ValueError), (NAN, ValueError), (np.inf, ValueError), ("0", TypeError)]
)
def test_bad_time(schedule, t, error):
    with pytest.raises(error, match=f"{type(schedule).__name__}: expected {schedule.per}"):
        schedule(t)


def test_constant():
    assert Constant(1)(0) == Constant(1)(1e9) == 1.0


def test_piecewise_constant():
    schedule = PiecewiseConstant(PAPER)
    times = [0, 34_999, 35_000, 84_999.5, 85_000, 135_000, 10**9]
    expected = [0.01, 0.01, 0.005, 0.005, 0.0005, 0.00005, 0.00005]
    assert [schedule(t) for t in times] == expected


def test_piecewise_constant_keeps_its_values_sorted():
    values = {10: 2.0, 0: 1.0}
    schedule = PiecewiseConstant(values, per="epoch")
    values[5] = 7.0
    assert [schedule(t) for t in (0, 5, 9, 10)] == [1, 1, 1, 2]
    assert schedule == PiecewiseConstant({0: 1.0, 10: 2.0}, per="epoch")


@pytest.mark.parametrize("anneal", ["linear", "cosine"])
def test_one_cycle(anneal):
    schedule = OneCycle(0.5, 100, 0.2, start_factor=0.1, final_factor=0.02, anneal=anneal)
    assert schedule(0) == pytest.approx(0.05)
    assert schedule(10) == pytest.approx((0.05 + 0.5) / 2)
    assert schedule(20) == 0.5
    assert schedule(60) == pytest.approx((0.5 + 0.01) / 2)
    assert schedule(100) == schedule(12345) == pytest.approx(0.01)
    values = [schedule(t) for t in range(101)]
    assert (np.diff(values[:21]) > 0).all()
    assert (np.diff(values[20:]) < 0).all()
    quarter = 0.1 + 0.9 * (0.25 if anneal == "linear" else (1 - np.cos(np.pi / 4)) / 2)
    assert schedule(5) == pytest.approx(0.5 * quarter)


def test_one_cycle_without_warmup_starts_at_the_peak():
    assert OneCycle(0.5, 100, warmup=0)(0) == 0.5


def test_one_cycle_agrees_with_torch():
    torch = pytest.importorskip("torch")
    for ours, theirs in [("linear", "linear"), ("cosine", "cos")]:
        w = torch.zeros(1, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        # Theirs ends at total_steps - 1, and its top is a step earlier too.
        reference = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, 0.1, total_steps=101, pct_start=21 / 101, anneal_strategy=theirs,
            div_factor=10, final_div_factor=10, cycle_momentum=False,
        )  # fmt: skip
        schedule = OneCycle(0.1, 100, 0.2, start_factor=0.1, final_factor=0.01, anneal=ours)
        for t in range(100):
            assert schedule(t) == pytest.approx(reference.get_last_lr()[0])
            optimizer.step()
            reference.step()


def test_cosine():
    schedule = Cosine(1.0, 100, final=0.2)
    assert schedule(0) == 1.0
    assert schedule(50) == pytest.approx(0.6)
    assert schedule(100) == schedule(1000) == pytest.approx(0.2)
    t = np.arange(101)
    expected = 0.2 + 0.8 * (1 + np.cos(np.pi * t / 100)) / 2
    np.testing.assert_allclose([schedule(i) for i in t], expected)


def test_cosine_warmup():
    schedule = Cosine(1.0, 50, warmup=0.08, per="epoch")
    np.testing.assert_allclose([schedule(t) for t in range(5)], [0.2, 0.4, 0.6, 0.8, 1.0])
    assert schedule(27) == pytest.approx(0.5)


def test_inverse_time():
    # The article's case c.
    schedule = InverseTime(0.003, 0.9, per="epoch")
    t = np.arange(300)
    np.testing.assert_allclose([schedule(i) for i in t], 0.003 / (1 + 0.9 * t))


def test_a_custom_schedule():
    class Halving(Schedule):
        def value_at(self, t):
            return 0.5**t

    assert Halving(per="epoch")(2) == 0.25


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Constant(NAN), ValueError, "Constant: expected value in .* got nan"),
        (lambda: Constant("1"), TypeError, "Constant: expected value to be a number .* got '1'"),
        (lambda: Constant(1, per="batch"), ValueError, "Constant: expected per .* got 'batch'"),
        (lambda: PiecewiseConstant({}), ValueError, "from time 0 on, got {}"),
        (lambda: PiecewiseConstant({5: 1.0}), ValueError, "from time 0 on, got {5: 1.0}"),
        (lambda: PiecewiseConstant([1.0]), ValueError, r"\{time: value\} .* got \[1.0\]"),
        (lambda: PiecewiseConstant({0: 1, -1: 1}), ValueError, r"times in .* got -1"),
        (lambda: PiecewiseConstant({0: 1, 9: NAN}), ValueError, r"values\[9\] in .* got nan"),
        (lambda: OneCycle(NAN, 10), ValueError, "expected peak"),
        (lambda: OneCycle(1, 0), ValueError, r"OneCycle: expected total in \(0, inf\), got 0"),
        (lambda: OneCycle(1, 10, warmup=1), ValueError, r"expected warmup in \[0, 1\), got 1"),
        (lambda: OneCycle(1, 10, start_factor=2), ValueError, "expected start_factor"),
        (lambda: OneCycle(1, 10, final_factor=-1), ValueError, "expected final_factor"),
        (lambda: OneCycle(1, 10, anneal="exp"), ValueError, "expected anneal .* got 'exp'"),
        (lambda: Cosine(NAN, 10), ValueError, "expected value"),
        (lambda: Cosine(1, -3), ValueError, "expected total"),
        (lambda: Cosine(1, 10, warmup=500), ValueError, r"expected warmup in \[0, 1\), got 500"),
        (lambda: Cosine(1, 10, final=NAN), ValueError, "expected final"),
        (lambda: InverseTime(NAN, 1), ValueError, "expected value"),
        (lambda: InverseTime(1, -1), ValueError, "InverseTime: expected decay in .* got -1"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()
