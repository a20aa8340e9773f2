"""`grade` runs functions, classes and files of tests, one subject at a time, and counts right."""

from __future__ import annotations

import sys
import threading
import time
import unittest

import numpy as np
import pytest

from elunet.teaching import grade, mutants
from elunet.teaching.grade import _time_limit
from elunet.testing import LayerContract, check_layer


def elus(checker, **options):
    return grade(checker, zoo=mutants.layers(of="ELU"), **options)


def outcomes(score):
    return [result.outcome for result in score.results]


def numeric(layer, x):
    """Return the largest error of a layer's slopes."""
    y = layer.forward(x.copy())
    dx = layer.backward(np.ones_like(y))
    slope = (layer.forward(x + 1e-6).copy() - layer.forward(x - 1e-6)) / 2e-6
    return np.max(np.abs(dx - slope))


def test_a_function_that_raises():
    def check(layer, x):
        assert numeric(layer, x) < 1e-5, "slope"

    score = elus(check)
    assert outcomes(score) == ["accepted", "accepted", "caught", "caught", "missed"]
    assert score.caught == ["DoubleSlope", "ForgottenAlpha"]
    assert score.missed == ["ExponentialEverywhere"]
    assert score.false_alarms == []
    assert (score.points, score.max_points) == (2, 3)
    assert score.results[2].message == "AssertionError: slope"
    assert score.results[2].mutant.of == "ELU"
    assert "infinity times 0 is NaN" in score.results[4].explain()


class Report:
    def __init__(self, ok):
        self.ok = ok


@pytest.mark.parametrize(
    "answer", [bool, np.bool_, lambda fine: np.array([True, fine]), Report, lambda fine: "x" * fine]
)
def test_a_function_that_returns_its_verdict(answer):
    score = elus(lambda layer, x: answer(bool(numeric(layer, x) < 1e-5)))
    assert outcomes(score) == ["accepted", "accepted", "caught", "caught", "missed"]
    assert score.results[2].message.startswith("returned ")


def test_a_function_that_says_nothing_lets_everything_pass():
    score = elus(lambda layer, x: None)
    assert score.points == 0
    assert score.false_alarms == []


def nonsense(layer, x):
    return layer.nonsense


def leave(layer, x):
    sys.exit(3)


def deep(layer, x):
    return deep(layer, x)


@pytest.mark.parametrize(
    ("checker", "said"),
    [
        (lambda layer, x: False, "returned False"),
        (nonsense, "AttributeError: 'ELU' object has no attribute 'nonsense'"),
        (leave, "SystemExit: 3"),
        (deep, "RecursionError: "),
        (lambda layer: None, "TypeError: "),
    ],
)
def test_turning_everything_away_gives_nothing(checker, said):
    score = elus(checker)
    assert score.points == 0
    assert score.false_alarms == ["ELU()", "ELU(0.5)"]
    assert outcomes(score) == ["rejected"] * 2 + ["not counted"] * 3
    assert score.results[0].message.startswith(said)
    assert "ELU() is correct, but was rejected." in score.results[0].explain()
    assert "the correct ELU is rejected as well" in score.results[2].explain()
    assert said[:20] in str(score)


def test_a_false_alarm_costs_only_the_mutants_of_that_layer():
    def only_alpha_1(layer, x):
        return layer.alpha == 1 and numeric(layer, x) < 1e-5

    score = elus(only_alpha_1)
    assert outcomes(score) == ["accepted", "rejected", "caught", "not counted", "missed"]
    assert score.points == 1


def test_one_that_hangs_is_stopped():
    def spin(layer, x):
        while True:
            pass

    began = time.monotonic()
    score = elus(spin, seconds=0.1)
    assert time.monotonic() - began < 30
    assert outcomes(score) == ["hung"] * 3 + ["not run"] * 2
    assert score.points == 0
    assert score.false_alarms == ["ELU()", "ELU(0.5)"]
    assert "How to catch it" in score.results[2].explain()


def test_one_that_hangs_sometimes():
    def stubborn(layer, x):
        layer.forward(x)
        while layer.backward(np.ones_like(x)).max() == 2:  # only DoubleSlope's is
            try:
                time.sleep(0.01)
            except Exception:
                return
        assert numeric(layer, x) < 1e-5

    score = elus(stubborn, seconds=3)
    assert outcomes(score) == ["accepted", "accepted", "hung", "caught", "missed"]


def test_what_waits_outside_of_python_is_left_behind():
    if sys.gettrace() is not None:
        pytest.skip("with a tracer (coverage) CPython 3.11 waits as long as the thread sleeps")
    began = time.monotonic()
    with pytest.raises(_time_limit.TimeIsUp):
        _time_limit.call(lambda: time.sleep(20), 0.05)
    assert time.monotonic() - began < 15


def test_a_limit_where_no_thread_can_start(monkeypatch):
    """As in a browser: the call runs here, and is stopped at its next line."""

    def start(thread):
        raise RuntimeError("can't start new thread")

    def endless():
        while True:
            time.sleep(0.001)

    monkeypatch.setattr(threading.Thread, "start", start)
    tracer = sys.gettrace()
    assert _time_limit.call(lambda: 7, 60) == 7
    with pytest.raises(ZeroDivisionError):
        _time_limit.call(lambda: 1 / 0, 60)
    with pytest.raises(_time_limit.TimeIsUp):
        _time_limit.call(endless, 0.05)
    assert sys.gettrace() is tracer


def test_a_checker_gets_fresh_things_and_the_same_random_numbers():
    drawn, layers_seen, before = [], [], np.random.get_state()[1].tolist()  # noqa: NPY002

    def spoil(layer, x):
        x[...] = np.nan
        layer.alpha = -1
        drawn.append(np.random.random())  # noqa: NPY002
        layers_seen.append(layer)

    elus(spoil)
    assert outcomes(elus(lambda layer, x: np.isfinite(x).all() and layer.alpha > 0)) == [
        *["accepted"] * 2,
        *["missed"] * 3,
    ]
    assert len(set(drawn)) == 1
    assert len(set(map(id, layers_seen))) == 5
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_floating_point_warnings_are_off():
    def large(layer, x):
        return np.isfinite(layer.forward(1e3 * x)).all()

    assert elus(large).caught == ["ExponentialEverywhere"]


def test_a_checker_may_ask_for_the_formula():
    def values(layer, x, formula):
        np.testing.assert_allclose(layer.forward(x), formula(layer, x, False), rtol=1e-6)

    zoo = mutants.layers(of="Conv2D")
    assert grade(values, zoo=zoo).caught == ["FlippedKernel", "PaddingBefore"]


def test_losses_and_optimizers():
    def loss_check(loss, prediction, target):
        value, dy = loss(prediction, target)
        assert dy.shape == prediction.shape
        assert np.isfinite(value)
        assert prediction.min() != 0

    assert grade(loss_check, "loss").false_alarms == []

    def one_step(optimizer, updates):
        class Net:
            def __init__(self):
                self.arrays = {name: np.ones(3) for name in updates}

            def parameters(self):
                return dict(self.arrays)

            def gradients(self):
                return {name: np.full(3, 0.1) for name in updates}

        net = Net()
        optimizer.step(net)
        for name, update in updates.items():
            np.testing.assert_allclose(net.arrays[name], update(np.ones(3), np.full(3, 0.1), {}, 1))

    score = grade(one_step, "optimizer")
    assert score.false_alarms == []
    assert {"Uphill", "DecayedBiases", "PutsNewArrays"} <= set(score.caught)
    assert {"ForgetsVelocity", "FirstStepCorrection"} <= set(score.missed)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"checker": 3}, TypeError, "expected a function, a class of tests or a path, got 3"),
        ({"kind": "router"}, ValueError, "expected kind to be one of .*got 'router'"),
        ({"seconds": 0}, ValueError, r"expected seconds in \(0, inf\), got 0"),
        ({"zoo": []}, ValueError, "expected mutants of one kind, got 0 of no kind"),
        ({"zoo": mutants.all()}, ValueError, r"of \['layer', 'loss', 'optimizer'\]"),
        ({"checker": "nowhere.py"}, ValueError, "path of a file of tests, got 'nowhere.py'"),
        ({"checker": int}, TypeError, "expected int to have methods test_"),
    ],
)
def test_wrong_calls(arguments, error, text):
    with pytest.raises(error, match=text):
        grade(**{"checker": check_layer, **arguments})


# -- running a class


class TestOfSlopes(LayerContract):
    """A student's class: its layer and input are replaced, its tests stay."""

    __test__ = False  # not here

    def make_layer(self):
        raise AssertionError("replaced")

    def test_slopes(self):
        assert numeric(self.make_layer(), self.make_input()) < 1e-5


def test_a_class_of_tests():
    score = elus(TestOfSlopes)
    assert score.points == 3
    assert score.false_alarms == []
    slope, _, overflow = score.mutants
    assert {"test_slopes", "test_gradients"} <= set(slope.tests)
    assert overflow.tests == ("test_large_numbers",)
    assert slope.message.startswith("test_gradients: GradientCheckError: ELU(alpha=1)")
    assert score.of_tests(lambda test: test == "test_slopes").caught == [
        "DoubleSlope",
        "ForgottenAlpha",
    ]
    assert score.checker == "TestOfSlopes"


def test_your_own_class_has_its_own_known_values():
    class Blind(LayerContract):
        """Without a formula."""

    class Knowing(LayerContract):
        def formula(self, layer, x, train):
            return mutants.layers(of="Conv2D")[0].example.formula(layer, x, train)

    zoo = [mutant for mutant in mutants.layers() if mutant.name == "FlippedKernel"]
    assert [grade(tests, zoo=zoo).points for tests in (Blind, Knowing)] == [0, 1]


class Plain:
    """Without a base class, with a setup and tests that are skipped."""

    def setup_method(self):
        self.layer, self.x = self.make_layer(), self.make_input()

    def test_slopes(self):
        assert numeric(self.layer, self.x) < 1e-5

    def test_later(self):
        pytest.skip("later")

    def test_never(self):
        raise unittest.SkipTest("never")


class Cases(unittest.TestCase):
    __test__ = False  # not here

    def setUp(self):
        self.layer, self.x = self.make_layer(), self.make_input()

    def test_slopes(self):
        self.assertLess(numeric(self.layer, self.x), 1e-5)  # noqa: PT009


@pytest.mark.parametrize("tests", [Plain, Cases])
def test_other_classes_of_tests(tests):
    assert outcomes(elus(tests)) == ["accepted", "accepted", "caught", "caught", "missed"]


def test_a_class_with_fixtures_is_refused():
    class WithFixture:
        def test_x(self, tmp_path):
            """Take what only pytest can give."""

    with pytest.raises(TypeError, match="a file of tests may have fixtures and parameters"):
        elus(WithFixture)


# -- running a file


STUDENT = """
import numpy as np
import pytest

@pytest.fixture
def dy(x):
    return np.ones_like(x)

def test_slopes(layer, x, dy):
    layer.forward(x.copy())
    dx = layer.backward(dy)
    slope = (layer.forward(x + 1e-6).copy() - layer.forward(x - 1e-6)) / 2e-6
    assert np.abs(dx - slope).max() < 1e-5

@pytest.mark.parametrize("size", [1, 1000])
def test_size(make_layer, x, size):
    assert np.isfinite(make_layer().forward(size * x)).all()

def test_something_else():
    assert False
"""


@pytest.fixture
def write(tmp_path):
    def written(text):
        path = tmp_path / "test_student.py"
        path.write_text(text)
        return path

    return written


def test_a_file_of_tests(write, monkeypatch):
    monkeypatch.chdir(write(STUDENT).parent)
    score = elus("test_student.py")
    assert score.checker == "test_student.py"
    assert outcomes(score) == ["accepted"] * 2 + ["caught"] * 3
    assert [result.tests for result in score.mutants] == [
        ("test_slopes",),
        ("test_slopes",),
        ("test_size",),
    ]
    assert "test_slopes: " in score.mutants[0].message


def test_a_file_is_read_again(write):
    assert elus(write(STUDENT)).points == 3
    assert (
        elus(write("def test_x(x):\n    assert x.size\n# longer, and another time\n")).points == 0
    )


def test_a_file_whose_fixture_fails(write):
    score = elus(write("def test_x(layer, y):\n    pass\n"))
    assert outcomes(score) == ["rejected"] * 2 + ["not counted"] * 3


def test_a_file_that_hangs(write):
    score = elus(write("def test_x(layer):\n    while True:\n        pass\n"), seconds=0.1)
    assert outcomes(score) == ["hung"] * 3 + ["not run"] * 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def test_x():\n    pass\n", "1 passed"),
        ("import nothing_of_this_name\n", "No module named 'nothing_of_this_name'"),
    ],
)
def test_a_file_without_tests_for_it(write, text, said):
    with pytest.raises(ValueError, match="that take make_layer or layer or x as an arg") as caught:
        elus(write(text))
    assert said in str(caught.value)


def test_a_file_for_losses(write):
    path = write("def test_finite(loss, prediction, target):\n    loss(prediction, target)[1].T\n")
    assert grade(path, "loss", mutants.losses(of="CrossEntropy")).points == 0
