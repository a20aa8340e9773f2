"""Real mistakes in hand-written gradients: each is caught, and its correct twin passes."""

from __future__ import annotations

import pytest
from testing.mistakes import CORRECT, MISTAKES
from testing.mistakes.page import PAGE, caught, filled, tables

EACH = pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)


def test_names_are_different():
    assert len({mistake.name for mistake in MISTAKES}) == len(MISTAKES) >= 46


@EACH
def test_the_correct_twin_passes(mistake):
    mistake.check(False)


@EACH
def test_the_mistake_is_caught(mistake):
    cause = caught(mistake).cause
    if mistake.cause is None:
        assert not cause  # rather silent than misleading
    else:
        assert mistake.cause in cause


@pytest.mark.parametrize("program", CORRECT, ids=lambda program: program.name)
def test_what_looks_wrong_and_is_right_passes(program):
    program.check()


def test_the_page_shows_what_the_checks_say():
    text = PAGE.read_text("utf-8")
    assert filled(text) == text, "write it again, see tests/testing/mistakes/page.py"


def test_the_page_shows_every_kind():
    text = PAGE.read_text("utf-8")
    assert all(f"<!-- mistakes: {name} -->" in text for name in tables())
