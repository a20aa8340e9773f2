"""The zoo of wrong layers: all mutants are caught, all correct ones pass, `run` counts right."""

from __future__ import annotations

import functools
import inspect
import json
import subprocess
import sys
import time
import unittest
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from elunet import layers, losses, optim
from elunet.testing import (
    LayerContract,
    LossContract,
    check_layer,
    check_loss,
    check_optimizer,
    mutants,
)
from elunet.testing.mutants import _limit

PAGE = Path(__file__).parents[2] / "docs" / "teaching.md"
CHECKS = {"layer": check_layer, "loss": check_loss, "optimizer": check_optimizer}
CONTRACTS = {"layer": LayerContract, "loss": LossContract}
ALL = pytest.mark.parametrize("mutant", mutants.all(), ids=lambda mutant: mutant.name)
KIND = pytest.mark.parametrize("kind", CHECKS)


def is_gradient_test(name):
    return name in ("test_gradients", "test_gradients_in_evaluation", "test_gradient")


@functools.cache
def scores(kind):
    """Return what catches the mutants of a kind: the check, the contract's other tests, values."""
    check = CHECKS[kind]
    found = {check.__name__: mutants.run(check, kind)}
    if kind in CONTRACTS:
        contract = mutants.run(CONTRACTS[kind], kind)
        found["other tests"] = contract.of_tests(
            lambda test: not is_gradient_test(test) and test != "test_known_values"
        )
        found["known values"] = contract.of_tests(lambda test: test == "test_known_values")
    return found


def result_of(mutant):
    """Return the mutant's result with each of the scores."""
    return {
        name: next(result for result in score.mutants if result.name == mutant.name)
        for name, score in scores(mutant.kind).items()
    }


# -- the zoo


def test_there_is_one_for_every_public_class():
    def public(module, base, names):
        return {
            n for n in names if inspect.isclass(k := getattr(module, n)) and issubclass(k, base)
        }

    found = {kind: {m.of for m in mutants.all() if m.kind == kind} for kind in CHECKS}
    assert found["layer"] == public(layers, layers.Layer, layers.__all__) - {"Layer", "Weighted"}
    assert found["loss"] == public(losses, losses.Loss, losses.__all__) - {"Loss"}
    assert found["optimizer"] == public(optim, optim.Optimizer, optim.__all__) - {"Optimizer"}
    assert len(mutants.all()) == len({mutant.name for mutant in mutants.all()}) > 70


@ALL
def test_each_explains_itself(mutant):
    for text in (mutant.why, mutant.in_training, mutant.caught_by, mutant.hint):
        assert text
        assert "\n" not in text
    paragraphs = inspect.getdoc(mutant.source).split("\n\n")
    assert [part.split(" ")[0] for part in paragraphs[1:]] == ["In", "Caught"]
    assert mutant.name in str(mutant)
    assert mutant.why in " ".join(str(mutant).split())
    assert mutant.name in repr(mutant)


@ALL
def test_each_is_made_like_the_correct_one(mutant):
    wrong, right = mutant.make(), mutant.correct()
    assert type(wrong).__name__ == mutant.name
    assert type(right).__name__ == mutant.of
    assert not hasattr(type(right), "example")
    assert type(wrong) is mutant.source
    assert mutant.make() is not wrong
    for one, other in zip(mutant.given(), mutant.given(), strict=True):
        assert one is not other


@ALL
def test_each_runs(mutant):
    """A slip is no crash: whatever catches it has looked at numbers, not at an exception."""
    thing, given = mutant.make(), mutant.given()
    if mutant.kind == "layer":
        for train in (False, True):
            y = thing.forward(given[0], train)
            thing.backward(np.ones_like(y))
        for name in thing.params:
            assert thing.grads[name].shape == thing.params[name].shape
    elif mutant.kind == "loss":
        value, dy = thing(*given)
        assert np.isfinite(value)
        assert dy.shape == given[0].shape
    else:
        arrays = {name: np.ones(3) for name in given[0]}
        net = SimpleNamespace(parameters=lambda: arrays, gradients=lambda: dict(arrays))
        thing.step(net)
        thing.step(net)


@ALL
def test_each_is_caught_by_what_it_says(mutant):
    """And those that a check cannot catch say so."""
    check, *others = result_of(mutant).values()
    by_check = mutant.caught_by == CHECKS[mutant.kind].__name__
    assert check.outcome == ("caught" if by_check else "missed")
    if not by_check:
        contract, test = mutant.caught_by.split(".")
        assert contract == CONTRACTS[mutant.kind].__name__
        assert test in [name for result in others for name in result.tests]
        if test == "test_known_values":
            assert others[0].outcome == "missed"


@KIND
def test_every_correct_one_passes(kind):
    for score in scores(kind).values():
        assert score.false_alarms == []
        assert len(score.results) > len(score.mutants)


def optimizer_list():
    """Return the optimizers' mutants, which one check catches alone."""
    lines = ["| mutant | of | wrong |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {m.name} | {m.of} | {m.why} |" for m in mutants.optimizers())])


def test_the_page_shows_these_tables():
    text = PAGE.read_text("utf-8")
    for kind in CHECKS:
        named = scores(kind)
        table = mutants.compare(named) if len(named) > 1 else optimizer_list()
        shown = text.partition(f"<!-- zoo: {kind} -->\n")[2].partition("\n<!-- end -->")[0]
        assert shown == table, f"docs/teaching.md should show\n\n{table}"
        assert "nothing" not in table


def test_the_page_counts_right():
    text = " ".join(PAGE.read_text("utf-8").split())
    counts = [len(part()) for part in (mutants.layers, mutants.losses, mutants.optimizers)]
    assert "{} layers, {} losses and {} optimizers".format(*counts) in text
    task = (PAGE.parent / "exercises" / "08_gradient_check" / "task.md").read_text("utf-8")
    assert f": {scores('layer')['check_layer'].points} wrong layers that a gradient check" in task


def test_only_some_of_a_class():
    assert {mutant.of for mutant in mutants.layers(of="ELU")} == {"ELU"}
    assert {mutant.of for mutant in mutants.losses(of="CrossEntropy")} == {"CrossEntropy"}
    assert {mutant.of for mutant in mutants.optimizers(of="Adam")} == {"Adam"}
    with pytest.raises(ValueError, match=r"expected of among \['Adam', .*'SGD'\], got 'Lion'"):
        mutants.optimizers(of="Lion")


class Halved(layers.ReLU):
    """Half of the gradient.

    In training: Half of the rate.

    Caught by check_layer: 1/2.
    """

    example = mutants.layer_example(x=(2, 3))

    def backward_input(self, dy):
        return super().backward_input(dy) / 2


def test_a_mutant_of_ones_own():
    mutant = mutants.mutant_of(Halved)
    assert (mutant.name, mutant.of, mutant.caught_by) == ("Halved", "ReLU", "check_layer")
    assert mutants.run(check_layer, zoo=[mutant]).points == 1
    for wrong in (layers.ReLU, type("Alone", (), {"example": Halved.example})):
        with pytest.raises(TypeError, match="expected a class with an attribute example, derived"):
            mutants.mutant_of(wrong)


def test_nothing_is_loaded_before_it_is_asked_for():
    code = (
        "import sys, elunet.testing as t\n"
        "assert 'elunet.testing.mutants' not in sys.modules\n"
        "assert 'mutants' in dir(t)\n"
        "assert t.mutants.layers()\n"
        "assert not {'pytest', 'hypothesis'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PAGE.parents[1], timeout=100)


# -- running a function


def elus(checker, **options):
    return mutants.run(checker, zoo=mutants.layers(of="ELU"), **options)


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
    assert outcomes(score) == ["turned away"] * 2 + ["not counted"] * 3
    assert score.results[0].message.startswith(said)
    assert "ELU() is correct, and was not accepted." in score.results[0].explain()
    assert "the correct ELU is turned away as well" in score.results[2].explain()
    assert said[:20] in str(score)


def test_a_false_alarm_costs_only_the_mutants_of_that_layer():
    def only_alpha_1(layer, x):
        return layer.alpha == 1 and numeric(layer, x) < 1e-5

    score = elus(only_alpha_1)
    assert outcomes(score) == ["accepted", "turned away", "caught", "not counted", "missed"]
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
        while type(layer).__name__ == "DoubleSlope":
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
    with pytest.raises(_limit.TimeIsUp):
        _limit.call(lambda: time.sleep(20), 0.05)
    assert time.monotonic() - began < 15


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
    assert mutants.run(values, zoo=zoo).caught == ["FlippedKernel", "PaddingBefore"]


def test_losses_and_optimizers():
    def loss_check(loss, prediction, target):
        value, dy = loss(prediction, target)
        assert dy.shape == prediction.shape
        assert np.isfinite(value)
        assert prediction.min() != 0

    assert mutants.run(loss_check, "loss").false_alarms == []

    def one_step(optimizer, rules):
        class Net:
            def __init__(self):
                self.arrays = {name: np.ones(3) for name in rules}

            def parameters(self):
                return dict(self.arrays)

            def gradients(self):
                return {name: np.full(3, 0.1) for name in rules}

        net = Net()
        optimizer.step(net)
        for name, rule in rules.items():
            np.testing.assert_allclose(net.arrays[name], rule(np.ones(3), np.full(3, 0.1), {}, 1))

    score = mutants.run(one_step, "optimizer")
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
        mutants.run(**{"checker": check_layer, **arguments})


# -- running a class


class TestOfSlopes(LayerContract):
    """A student's class: what it makes is replaced, what it tests stays."""

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
    assert slope.message.startswith("test_gradients: GradientCheckError: DoubleSlope (ELU")
    assert score.of_tests(lambda test: test == "test_slopes").caught == [
        "DoubleSlope",
        "ForgottenAlpha",
    ]
    assert score.checker == "TestOfSlopes"


def test_a_class_of_ones_own_has_its_own_known_values():
    class Blind(LayerContract):
        """Without a formula."""

    class Knowing(LayerContract):
        def formula(self, layer, x, train):
            return mutants.layers(of="Conv2D")[0].example.formula(layer, x, train)

    zoo = [mutant for mutant in mutants.layers() if mutant.name == "FlippedKernel"]
    assert [mutants.run(tests, zoo=zoo).points for tests in (Blind, Knowing)] == [0, 1]


class Plain:
    """Not derived from anything, with a setup and tests that are skipped."""

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
    assert outcomes(score) == ["turned away"] * 2 + ["not counted"] * 3


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
    assert mutants.run(path, "loss", mutants.losses(of="CrossEntropy")).points == 0


# -- reports


def test_json_as_gradescope_reads_it():
    score = elus(check_layer)
    found = json.loads(score.to_json())
    assert found["score"] == 2
    assert found["output"] == score.summary()
    assert found["tests"][0] == {
        "name": "correct: ELU()",
        "score": 0,
        "max_score": 0,
        "status": "passed",
        "output": "accepted\nELU() is correct.",
    }
    caught, missed = found["tests"][2], found["tests"][4]
    assert (caught["score"], caught["max_score"], caught["status"]) == (1, 1, "passed")
    assert (missed["score"], missed["max_score"], missed["status"]) == (0, 1, "failed")
    assert missed["output"].startswith("missed\nBoth branches are computed for all x")
    assert all(isinstance(test["output"], str) for test in found["tests"])
    hundred = json.loads(score.to_json(points=100))
    assert hundred["score"] == pytest.approx(200 / 3)
    assert sum(test["max_score"] for test in hundred["tests"]) == pytest.approx(100)
    assert sum(test["score"] for test in hundred["tests"]) == pytest.approx(200 / 3)


def test_the_table():
    lines = str(elus(check_layer)).splitlines()
    assert lines[0] == ("check_layer: 2 of 3 mutants caught, 0 of 2 correct ones turned away")
    assert lines[1].split() == ["of", "outcome", "the", "checker", "said"]
    assert lines[4].split()[:3] == ["DoubleSlope", "ELU", "caught"]
    assert lines[6].split() == ["ExponentialEverywhere", "ELU", "missed"]
    assert max(map(len, lines)) < 110


def test_comparing_scores():
    table = mutants.compare({"a": elus(check_layer), "b": elus(lambda layer, x: None)})
    assert table.splitlines() == [
        "| mutant | of | a | b |",
        "| --- | --- | --- | --- |",
        "| DoubleSlope | ELU | **yes** |  |",
        "| ForgottenAlpha | ELU | **yes** |  |",
        "| ExponentialEverywhere | ELU |  |  |",
        "",
        "- caught by a alone: DoubleSlope, ForgottenAlpha",
        "- caught by nothing: ExponentialEverywhere",
    ]
    both = mutants.compare({"a": elus(check_layer), "b": elus(TestOfSlopes)})
    assert "| ForgottenAlpha | ELU | yes | gradients, gradients in evaluation, " in both
    assert "| ExponentialEverywhere | ELU |  | **large numbers** |" in both
    assert both.endswith("\n\n- caught by b alone: ExponentialEverywhere")
    other = mutants.run(check_layer, zoo=mutants.layers(of="Add"))
    for scores_of in ({}, {"a": elus(check_layer), "b": other}):
        with pytest.raises(ValueError, match="expected scores of the same mutants"):
            mutants.compare(scores_of)
