"""The zoo of wrong layers: all mutants are caught, and all correct ones pass."""

from __future__ import annotations

import functools
import inspect
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from elunet import layers, losses, optim
from elunet.teaching import compare_scores, exercises, grade, mutants
from elunet.teaching.grade._subjects import Subject
from elunet.testing import LayerContract, LossContract, check_layer, check_loss, check_optimizer

DOCS = Path(__file__).parents[2] / "docs"
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
    found = {check.__name__: grade(check, kind)}
    if kind in CONTRACTS:
        contract = grade(CONTRACTS[kind], kind)
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


BASES = {"Layer", "SpanLayer", "Elementwise", "Weighted"}


def test_there_is_one_for_every_public_class():
    def public(module, base, names):
        return {
            n for n in names if inspect.isclass(k := getattr(module, n)) and issubclass(k, base)
        }

    found = {kind: {m.of for m in mutants.all() if m.kind == kind} for kind in CHECKS}
    assert found["layer"] == public(layers, layers.Layer, layers.__all__) - BASES
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
    """A mutant does not crash: a checker has to look at numbers, not at an exception."""
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
    """A mutant that a check cannot catch says so."""
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
    """Return the table of the optimizers' mutants."""
    lines = ["| mutant | of | wrong |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {m.name} | {m.of} | {m.why} |" for m in mutants.optimizers())])


def test_the_page_shows_these_tables():
    text = (DOCS / "zoo.md").read_text("utf-8")
    for kind in CHECKS:
        named = scores(kind)
        table = compare_scores(named) if len(named) > 1 else optimizer_list()
        shown = text.partition(f"<!-- zoo: {kind} -->\n")[2].partition("\n<!-- end -->")[0]
        assert shown == table, f"docs/zoo.md should show\n\n{table}"
        assert "nothing" not in table


def test_the_page_counts_right():
    text = " ".join((DOCS / "teaching.md").read_text("utf-8").split())
    counts = [len(part()) for part in (mutants.layers, mutants.losses, mutants.optimizers)]
    assert "{} layers, {} losses and {} optimizers".format(*counts) in text
    task = (exercises()[-1].folder / "task.md").read_text("utf-8")
    assert f": {scores('layer')['check_layer'].points} wrong layers that a gradient check" in task


@KIND
def test_those_that_a_gradient_check_finds_are_marked(kind):
    found = set(scores(kind)[CHECKS[kind].__name__].caught)
    assert {m.name for m in mutants.all() if m.kind == kind and m.is_findable} == found


@ALL
def test_mutants_and_correct_ones_look_alike(mutant):
    for correct in (True, False):
        kind = type(Subject(mutant, correct).make())
        for name in ("__name__", "__qualname__", "__module__", "__doc__"):
            assert getattr(kind, name) == getattr(mutant.correct_class, name)
        assert inspect.getsource(kind) == inspect.getsource(mutant.correct_class)
        assert kind is not mutant.correct_class  # or "is it that one?" would tell them apart


def test_only_some_of_a_class():
    assert {mutant.of for mutant in mutants.layers(of="ELU")} == {"ELU"}
    assert {mutant.of for mutant in mutants.losses(of="CrossEntropy")} == {"CrossEntropy"}
    assert {mutant.of for mutant in mutants.optimizers(of="Adam")} == {"Adam"}
    with pytest.raises(ValueError, match=r"expected of among \['AdaGrad', .*'SGD'\], got 'Sofia'"):
        mutants.optimizers(of="Sofia")


class Halved(layers.ReLU):
    """Half of the gradient.

    In training: Half of the rate.

    Caught by check_layer: 1/2.
    """

    example = mutants.layer_example(x=(2, 3))

    def backward_input(self, dy):
        return super().backward_input(dy) / 2


def test_your_own_mutant():
    mutant = mutants.mutant_of(Halved)
    assert (mutant.name, mutant.of, mutant.caught_by) == ("Halved", "ReLU", "check_layer")
    assert grade(check_layer, zoo=[mutant]).points == 1
    for wrong in (layers.ReLU, type("Alone", (), {"example": Halved.example})):
        with pytest.raises(TypeError, match="expected a class with an attribute example, derived"):
            mutants.mutant_of(wrong)


def test_nothing_is_loaded_before_it_is_asked_for():
    code = (
        "import sys, elunet as eln, elunet.testing\n"
        "assert 'elunet.teaching' not in sys.modules\n"
        "assert 'teaching' in dir(eln)\n"
        "assert eln.teaching.mutants.layers()\n"
        "assert not {'pytest', 'hypothesis'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=DOCS.parent, timeout=100)
