"""Names of layers: one that is taken by `add` goes through everything that writes it somewhere."""

from __future__ import annotations

import numpy as np
import pytest

import elunet as eln

X, Y = np.eye(3, dtype=np.float32), np.array([0, 1, 0])


@pytest.mark.parametrize(
    "name", ["$out", "$x$", r"$\x$", "a$b", "\ud800", "a\udfffb", "a\nb", "a\0", "\x7f", "\u2028"]
)
def test_names_that_cannot_be_written_everywhere_are_refused(name):
    net = eln.Network()
    with pytest.raises(ValueError, match=r"Network.add: expected name as printable text"):
        net.add(eln.layers.Linear(3, 2), name=name)
    assert not net.nodes


@pytest.mark.parametrize(
    "name",
    ["out put", "a/b", r"a\b", "层", "_^{}", "%s", "#1", "'", '"', "é", "\N{SNOWMAN}", "<b>&"],
)
@pytest.mark.filterwarnings("ignore:Glyph")  # no font has them all
def test_other_names_go_through_everything(tmp_path, name):
    def build():
        net = eln.Network(seed=0)
        net.add(eln.layers.Dropout(0.2), name=f"{name}0")
        net.add(eln.layers.Linear(3, 2), name=name)
        loss, rule = eln.losses.SoftmaxCrossEntropy(), eln.routers.KolenPollack()
        return eln.Trainer(
            net, loss, eln.optim.Adam(0.1), rule, callbacks=[eln.Checkpoints(tmp_path / "run")]
        )

    one, two = build(), build()
    one.fit((X, Y), epochs=1)
    two.resume(tmp_path / "run")
    np.testing.assert_array_equal(one.net[name].params["W"], two.net[name].params["W"])
    eln.save(one.net, tmp_path / "net.safetensors")
    eln.load(build().net, tmp_path / "net.safetensors")
    eln.exchange.from_torch(build().net, eln.exchange.to_torch(one.net))
    eln.plots.network_graph(one.net, file=tmp_path / "graph.png")
    assert name in one.net.summary((3,))
    one.net._repr_html_()


def test_other_names_go_to_onnx(tmp_path):
    pytest.importorskip("onnx")
    net = eln.Network(seed=0)
    net.add(eln.layers.Linear(3, 2), name='a/b <c> "é"')
    eln.exchange.to_onnx(net, (3,), tmp_path / "net.onnx")
