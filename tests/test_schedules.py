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
    CosineRestarts,
    Cyclic,
    Exponential,
    InverseTime,
    OneCycle,
    PiecewiseConstant,
    Polynomial,
    Schedule,
    WarmUp,
)

PAPER = {0: 0.01, 35_000: 0.005, 85_000: 0.0005, 135_000: 0.00005}
ALL = [
    Constant(0.1),
    PiecewiseConstant(PAPER),
    OneCycle(0.1, 100),
    OneCycle(0.1, 100, anneal="cosine"),
    Cosine(0.1, 100, warmup=0.1),
    InverseTime(0.1, 0.9, per="epoch"),
    Exponential(0.1, 0.999),
    Polynomial(0.1, 100, power=0.5, final=0.01),
    Cyclic(0.01, 0.1, up=3, down=5.5, decay=0.7),
    CosineRestarts(0.1, 10, factor=1.5, final=0.001),
    CosineRestarts(0.1, 10),
    WarmUp(Exponential(0.1, 0.9, per="epoch"), 7),
    WarmUp(Cosine(0.1, 100), 7, start=0.1, shifted=True),
    OneCycle(0.1, 100).momentum(high=0.1, low=0.05),
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


def torch_values(make, steps):
    """Return the learning rates of a schedule of PyTorch's, from 1 at the start."""
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
    reference, values, momenta = make(torch.optim.lr_scheduler, optimizer), [], []
    for _ in range(steps):
        values.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        reference.step()
    return values, momenta


@pytest.mark.parametrize(
    ("schedule", "make"),
    [
        (Exponential(1.0, 0.9), lambda s, o: s.ExponentialLR(o, 0.9)),
        (Polynomial(1.0, 20), lambda s, o: s.PolynomialLR(o, 20)),
        (Polynomial(1.0, 20, power=2.5), lambda s, o: s.PolynomialLR(o, 20, 2.5)),
        (Cyclic(0.1, 1.0, up=4), lambda s, o: s.CyclicLR(o, 0.1, 1.0, 4)),
        (Cyclic(0.1, 1.0, up=4, down=7), lambda s, o: s.CyclicLR(o, 0.1, 1.0, 4, 7)),
        (
            Cyclic(0.1, 1.0, up=4, decay=0.5),
            lambda s, o: s.CyclicLR(o, 0.1, 1.0, 4, mode="triangular2"),
        ),
        (CosineRestarts(1.0, 7), lambda s, o: s.CosineAnnealingWarmRestarts(o, 7)),
        (
            CosineRestarts(1.0, 7, factor=2, final=0.1),
            lambda s, o: s.CosineAnnealingWarmRestarts(o, 7, 2, 0.1),
        ),
        (WarmUp(Constant(1.0), 5, start=0.2), lambda s, o: s.LinearLR(o, 0.2, 1.0, 5)),
        (
            WarmUp(Exponential(1.0, 0.9), 5, start=0.2, shifted=True),
            lambda s, o: s.SequentialLR(
                o, [s.LinearLR(o, 0.2, 1.0, 5), s.ExponentialLR(o, 0.9)], milestones=[5]
            ),
        ),
        (
            WarmUp(Exponential(1.0, 0.9), 5, start=0.2),
            lambda s, o: s.ChainedScheduler([s.LinearLR(o, 0.2, 1.0, 5), s.ExponentialLR(o, 0.9)]),
        ),
    ],
    ids=lambda value: repr(value) if isinstance(value, Schedule) else "theirs",
)
def test_agrees_with_torch(schedule, make):
    values, _ = torch_values(make, 40)
    np.testing.assert_allclose([schedule(t) for t in range(40)], values, rtol=1e-10)


@pytest.mark.parametrize("anneal", ["linear", "cosine"])
def test_momentum_of_one_cycle_agrees_with_torch(anneal):
    # Theirs ends at total_steps - 1, and its top is a step earlier too.
    _, momenta = torch_values(
        lambda s, o: s.OneCycleLR(
            o,
            1.0,
            total_steps=101,
            pct_start=21 / 101,
            anneal_strategy="cos" if anneal == "cosine" else anneal,
        ),
        100,
    )
    momentum = OneCycle(1.0, 100, 0.2, anneal=anneal).momentum()
    np.testing.assert_allclose([momentum(t) for t in range(100)], momenta, rtol=1e-10)


def test_warm_up_in_the_first_step():
    """Goyal et al.'s: the first of w steps has 1 / (w + 1) of the rate, not none of it."""
    schedule = WarmUp(Constant(1.0), 4)
    assert [schedule(t) for t in range(6)] == [0.2, 0.4, 0.6, 0.8, 1.0, 1.0]
    cosine = Cosine(1.0, 100, warmup=0.05)
    for t in range(5):
        assert WarmUp(Constant(1.0), 5)(t) == cosine(t)


def test_warm_up_counts_as_its_schedule():
    assert WarmUp(Constant(1.0, per="epoch"), 4).per == "epoch"
    with pytest.raises(TypeError, match="WarmUp: expected schedule as a Schedule, got 0.1"):
        WarmUp(0.1, 4)


def test_growth_without_end_is_told():
    assert Exponential(0.1, 2.0)(10**6) == np.inf


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Exponential(0.1, 0.0), r"Exponential: expected rate in \(0, inf\)"),
        (lambda: Polynomial(0.1, 0), "Polynomial: expected total in"),
        (lambda: Cyclic(0.0, 0.1, 5, decay=0.0), r"Cyclic: expected decay in \(0, 1\]"),
        (lambda: Cyclic(0.0, 0.1, 5, down=0), "Cyclic: expected down in"),
        (lambda: CosineRestarts(0.1, 5, factor=0.5), "CosineRestarts: expected factor in"),
        (lambda: WarmUp(Constant(1.0), 5, start=2.0), r"WarmUp: expected start in \[0, 1\]"),
        (lambda: OneCycle(0.1, 10).momentum(high=NAN), "expected high in"),
    ],
)
def test_arguments_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()
