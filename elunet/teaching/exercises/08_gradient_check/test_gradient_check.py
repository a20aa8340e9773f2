"""How many wrong layers the checker finds, and whether it accepts the correct ones."""

import ast
import functools
import inspect

import gradient_check
import pytest

from elunet.teaching import grade, mutants


@functools.cache
def score():
    """Grade the checker on the mutants that a gradient check can find."""
    return grade(gradient_check.check, zoo=[m for m in mutants.layers() if m.is_findable])


def test_the_code_is_your_own():
    """The function that does the work uses nothing from elunet."""
    tree = ast.parse(inspect.getsource(gradient_check))
    assert not any("NotImplementedError" in ast.unparse(node) for node in tree.body)
    body = [node for node in tree.body if not isinstance(node, ast.If)]
    assert not any("elunet" in ast.unparse(node) for node in body)


def test_correct_layers_pass():
    """A false alarm costs more trust than a missed bug."""
    assert score().false_alarms == []


@pytest.mark.parametrize("enough", [20, 35, 45])
def test_wrong_layers_are_caught(enough):
    """The more, the better; running gradient_check.py shows all of them."""
    missed = next((result for result in score().mutants if not result.points), None)
    if score().points < enough:
        pytest.fail(
            f"{score().points} of the {score().max_points} wrong layers are found, expected "
            f"{enough}; the first that is not: a wrong {missed.of}\n{missed.explain()}"
        )
