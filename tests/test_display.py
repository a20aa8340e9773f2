"""The HTML for notebooks is well-formed, escaped and short."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import elunet as eln
from elunet.layers import ELU, Add, BatchNorm, Conv2D, Dropout, Layer, Linear


class Reader(HTMLParser):
    """Read a piece of HTML: the tables' cells, the text, and that all tags are closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.rows, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        assert not {name for name, _ in attributes} - {"style"}
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def small_network():
    net = eln.Network(seed=0)
    net.add(Conv2D(3, 4, 3))
    net.add(ELU())
    net.add(Add(), inputs=["conv1", "elu1"])
    return net


def test_network_before_and_after_it_ran():
    net = small_network()
    read = Reader(net._repr_html_())
    assert read.text.startswith("Network: 3 layers, 112 parameters")
    assert read.rows == [
        ["layer", "kind", "takes", "parameters"],
        ["conv1", "Conv2D(3->4, 3x3)", "input", "112"],
        ["elu1", "ELU(alpha=1)", "conv1", ""],
        ["add1", "Add()", "conv1, elu1", ""],
    ]
    net(np.zeros((2, 5, 6, 3), np.float32))
    net.add(Dropout(0.5))
    assert [row[3] for row in Reader(net._repr_html_()).rows] == [
        "output shape",
        *["(5, 6, 4)"] * 3,
        "",
    ]


def test_nothing_else_than_the_table_changes():
    net = small_network()
    before = repr(net)
    net.forward(np.zeros((2, 5, 6, 3), np.float32), train=True)
    net._repr_html_()
    assert repr(net) == before
    net.backward(np.zeros((2, 5, 6, 4), np.float32))


def test_empty_and_single():
    assert Reader(eln.Network()._repr_html_()).text == "Network: 0 layers, 0 parameters"
    assert Reader(eln.History()._repr_html_()).text == "History: 0 epochs"
    net = eln.Sequential([Linear(1, 1, bias=False)])
    assert "Sequential: 1 layer, 1 parameter" in Reader(net._repr_html_()).text


class Hostile(Layer):
    def __repr__(self):
        return "Hostile(<script>alert('x')</script>\n" + "and much more " * 100 + ")"


def test_what_users_write_is_escaped_and_cut():
    net = eln.Network()
    net.add(Hostile(), name="<img src=x onerror=alert(1)>")
    for shown in (net._repr_html_(), Hostile()._repr_html_()):
        assert "<script" not in shown
        assert "<img" not in shown
        text = Reader(shown).text
        assert "Hostile(<script>alert('x')</script> and much" in text
        assert len(text) < 250


def test_layers_are_one_line():
    def line(layer):
        return Reader(layer._repr_html_()).text

    assert line(Conv2D(3, 16, 5)) == "Conv2D(3->16, 5x5) W (5, 5, 3, 16), b (16,); 1,216 parameters"
    assert line(BatchNorm(2)) == "BatchNorm(2) gamma (2,), beta (2,); 4 parameters"
    assert line(ELU()) == "ELU(alpha=1)"


def test_long_networks_scroll_in_a_box():
    shown = eln.models.elu11(widths=(2,) * 10)._repr_html_()
    assert "overflow:auto" in shown
    assert re.search(r"max-height:\d+em", shown)
    assert len(shown) < 1000 * 32  # a row is short


@pytest.mark.parametrize(
    "one", [small_network(), ELU(), Linear(2, 3), eln.History()], ids=lambda one: type(one).__name__
)
def test_no_color_of_its_own(one):
    """On light and dark pages the lines' gray is visible."""
    shown = one._repr_html_().replace("solid rgba(128,128,128,.35)", "")
    assert not re.search(r"color|background|#[0-9a-f]{3}|rgb|class=", shown)


def row(epoch, validation=0.5):
    return eln.Epoch(epoch, 10 * epoch, 0.01, 2.0, 0.25, validation, validation, 0.1, 12.34, 800.0)


def test_history_shows_the_last_epochs():
    history = eln.History([row(epoch) for epoch in range(1, 13)])
    read = Reader(history._repr_html_())
    assert read.text.startswith("History: 12 epochs, the last 5")
    assert [cells[0] for cells in read.rows] == ["epoch", "8", "9", "10", "11", "12"]
    assert read.rows[-1][1:] == ["0.01", "2.0000", "25.00%", "0.5000", "50.00%", "12.3"]
    short = Reader(history[:2]._repr_html_())
    assert short.text.startswith("History: 2 epochsepoch")


def test_history_without_validation():
    history = eln.History([row(1, float("nan"))])
    assert Reader(history._repr_html_()).rows[0] == [
        *("epoch", "learning rate", "training loss", "training accuracy", "seconds")
    ]


def test_a_history_prints_as_a_table():
    nan = float("nan")
    rows = [eln.Epoch(k, 5 * k, 0.1, 1 / k, nan, nan, nan, 0.6, 8.0, 6.0) for k in (1, 20)]
    assert str(eln.History(rows)).splitlines() == [
        "epoch  learning rate  training loss  seconds",
        "    1            0.1         1.0000      8.0",
        "   20            0.1         0.0500      8.0",
    ]
    assert str(eln.History()) == "no epoch yet"
    assert "training accuracy" not in eln.History(rows)._repr_html_()
