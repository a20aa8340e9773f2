"""A run that is killed, in saves too, and resumed; `python tests/kill.py` is the long form."""

from __future__ import annotations

import sys

import kill
import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_kills_lose_nothing():
    report = kill.torture(kills=3, epochs=8, longest=0.2)
    assert report.lost == 0, report.text
    assert report.kills == 3, report.text
    assert report.same
    assert report.end.startswith("stopped early, after epoch 6 at learning rate 0.00")
