"""Real mistakes in hand-written gradients: each is caught and explained, its correct twin passes."""

from __future__ import annotations

import pytest
from testing.mistakes import CORRECT, MISTAKES

from elunet.testing import GradientCheckError

EACH = pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)


def test_names_are_different():
    assert len({mistake.name for mistake in MISTAKES}) == len(MISTAKES) >= 46


@EACH
def test_the_correct_twin_passes(mistake):
    mistake.check(False)


@EACH
def test_the_mistake_is_caught(mistake):
    with pytest.raises(GradientCheckError) as caught:
        mistake.check(True)
    if mistake.cause is None:
        assert not caught.value.cause  # rather silent than misleading
    else:
        assert mistake.cause in caught.value.cause


@pytest.mark.parametrize("program", CORRECT, ids=lambda program: program.name)
def test_what_looks_wrong_and_is_right_passes(program):
    program.check()
