"""The report of a check as HTML: the table, and maps of where the error sits."""

from __future__ import annotations

import re
import sys
import types

import numpy as np
import pytest

import elunet as eln
from elunet.testing import GradientCheckError, check_layer
from elunet.testing._html import SIDE, report, views
from elunet.testing._report import Row


class FirstRow(eln.layers.Conv2D):
    """Its input's gradient is 0 in the first row of each image."""

    def backward_input(self, dy, weight=None):
        dx = super().backward_input(dy, weight)
        dx[:, 0] = 0
        return dx


@pytest.fixture
def error():
    x = np.random.default_rng(0).standard_normal((2, 5, 6, 2))
    with pytest.raises(GradientCheckError) as caught:
        check_layer(FirstRow(2, 3, 3), x)
    return caught.value


def shades(text):
    """Return the darkness of each cell of each map."""
    return [
        [
            [float(a) for a in re.findall(r"40,40,([\d.]+)\)", line)]
            for line in grid.split("<tr>")[1:]
        ]
        for grid in text.split("border-collapse:collapse;margin:.3em 0")[1:]
    ]


def test_a_passed_check_is_a_table():
    text = check_layer(eln.layers.ELU(), np.array([[1.0, -2.0]]))._repr_html_()
    assert "<b>ELU(alpha=1)</b>: ok" in text
    assert "2 of 2" in text
    assert "alpha: a setting, not checked" in text
    assert not shades(text)


def test_a_map_shows_where_the_error_sits(error):
    pixels, channels = shades(error._repr_html_())
    assert np.shape(pixels) == (5, 6)
    assert min(pixels[0]) > 0.0
    assert max(max(line) for line in pixels) == 1.0
    assert np.all(np.array(pixels[1:]) == 0.0)
    assert np.shape(channels) == (2, 2)
    assert np.all(np.array(channels) > 0.0)
    assert error.cause
    assert error.cause.partition(":")[0] in error._repr_html_()


def test_a_kernel_is_drawn_by_its_window_and_its_channels():
    errors = np.zeros((3, 2, 4, 5))
    errors[2, 1, 3, 0] = 7.0
    (_, window), (_, channels) = views("grads['W']", errors)
    assert window.shape == (3, 2)
    assert window[2, 1] == window.max() == 7.0
    assert channels.shape == (4, 5)
    assert channels[3, 0] == channels.max() == 7.0


def test_large_arrays_are_drawn_small_and_gaps_are_marked():
    errors = np.full((200, 3), np.nan)
    errors[150, 1] = 2.0
    text = report("Net", "wrong", [Row("dW", 2.0, 1.0, 1, 600, wrong=1, errors=errors)])
    (cells,) = shades(text)
    assert len(cells) == SIDE
    assert text.count("repeating-linear-gradient") == 3 * SIDE - 1
    assert [cell for line in cells for cell in line] == [1.0]


def test_names_are_escaped():
    rows = [Row("d<b>", 0.0, 0.0, 1, 1)]
    assert "<b>&lt;i&gt;</b>" in report("<i>", "ok", rows, ["<u>"])
    assert "<u>" not in report("<i>", "ok", rows, ["<u>"])


def test_a_notebook_shows_the_report_and_the_users_own_lines(error, monkeypatch):
    shown = []
    shell = types.SimpleNamespace(
        kernel=object(), display_pub=types.SimpleNamespace(publish=shown.append)
    )
    module = types.ModuleType("IPython")
    module.get_ipython = lambda: shell
    monkeypatch.setitem(sys.modules, "IPython", module)
    lines = error._render_traceback_()
    assert "text/html" in shown[0]
    assert "check_layer(FirstRow" in "".join(lines[:-1])
    assert not any("_layer.py" in line for line in lines)
    assert lines[-1] == "GradientCheckError: " + str(error).splitlines()[0]
    module.get_ipython = lambda: None  # no notebook: the text has everything
    assert error._render_traceback_()[-1] == f"GradientCheckError: {error}"
    assert len(shown) == 1
