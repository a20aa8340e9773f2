"""Something long says how far it has come, in the way that the place allows."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest

from elunet import _progress
from elunet.testing import numeric_gradient


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(_progress, "PATIENCE", 0.0)
    monkeypatch.setattr(_progress, "PAUSE", 0.0)


def test_what_is_over_soon_says_nothing(capsys):
    with _progress.steps(3, "value", "check") as advance:
        advance()
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_there_are_lines(at_once, capsys):
    numeric_gradient(np.sum, np.zeros(3))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"numeric_gradient: {n} of 3 values, about 0 s to go" for n in (1, 2)]


def test_on_a_terminal_there_is_a_bar(at_once, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with _progress.steps(4, "value", "Conv2D, W") as advance:
        for _ in range(4):
            advance()
    shown = sys.stderr.getvalue()
    assert "Conv2D, W: 100%" in shown
    assert "4/4" in shown


def test_what_is_shown_elsewhere_says_nothing(at_once, capsys):
    with _progress.steps(2, "trial", "compare", shown=False) as advance:
        advance()
    assert capsys.readouterr() == ("", "")


def test_a_notebook_gets_its_lines_below_the_cell(monkeypatch, capsys):
    monkeypatch.setattr(_progress, "in_notebook", lambda: True)
    _progress.tell("epoch 1/2")
    assert capsys.readouterr() == ("epoch 1/2\n", "")
