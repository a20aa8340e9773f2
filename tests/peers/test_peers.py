"""Some of other libraries' own test samples; `python tests/peers` runs all of them."""

from __future__ import annotations

import numpy as np
import pytest

from peers.counting import Counts, Disagreed, NotExpressible, same


def assert_held(counts, agreed, kinds):
    assert not counts.disagreed, counts.text()
    assert counts.agreed.total() >= agreed, counts.text()
    assert kinds <= counts.agreed.keys(), counts.text()


def test_onnx_cases():
    pytest.importorskip("onnx")
    from peers import onnx_nodes

    counts = Counts("ONNX")
    onnx_nodes.run(counts, kinds=["pytorch-operator", "pytorch-converted"])
    assert_held(counts, 40, {"pytorch-converted, Conv", "pytorch-converted, BatchNormalization"})


def test_pytorch_modules():
    torch = pytest.importorskip("torch")
    from peers import torch_modules

    counts = Counts("module_db")
    torch_modules.run(counts, dtypes=[torch.float64])
    assert_held(counts, 300, {"nn.Conv2d", "nn.BatchNorm2d", "nn.CrossEntropyLoss"})


def test_pytorch_operators():
    torch = pytest.importorskip("torch")
    from peers import torch_operators

    counts = Counts("op_db")
    torch_operators.run(counts, first=8, dtypes=[torch.float64])
    assert_held(counts, 150, {"nn.functional.conv2d", "nn.functional.layer_norm", "softmax"})


def test_counting_tells_refusals_from_faults():
    counts = Counts("made up")

    def expect(error):
        def check():
            raise error

        return check

    def refused():
        import elunet as eln

        eln.layers.Linear(3, 2).forward(np.zeros((1, 4)))

    counts.take("a", "1", lambda: same("y", np.ones(2), np.ones(2)))
    counts.take("a", "2", lambda: same("y", np.ones(2), np.ones(2) + 1e-6))
    counts.take("a", "3", lambda: same("y", np.ones(2), np.ones(3)))
    counts.take("a", "4", lambda: same("y", np.array([np.inf]), np.array([np.nan])))
    counts.take("b", "5", expect(NotExpressible("no such layer")))
    counts.take("b", "6", expect(ValueError("an error of the samples' own")))
    counts.take("b", "7", refused)
    assert counts.agreed == {"a": 1}
    assert counts.missing == {
        ("b", "no such layer"): 1,
        ("b", "Linear(...): expected x of shape (...)"): 1,
    }
    assert len(counts.disagreed) == 4
    assert counts.row == "| made up | 1 | 2 | 4 |"
    with pytest.raises(Disagreed, match="y is off by 1e-06"):
        same("y", np.ones(2), np.ones(2) + 1e-6)
