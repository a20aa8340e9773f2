"""A wrong shape whose cure is clear comes with it."""

from __future__ import annotations

import numpy as np
import pytest

import elunet as eln
from elunet import layers as L
from elunet.losses import MeanSquaredError, SoftmaxCrossEntropy


@pytest.mark.parametrize(
    ("layer", "shape", "hint"),
    [
        (L.Linear(1, 3), (20,), "got (20,); reshape to (20, 1): x[:, None]"),
        (L.Linear(4, 3), (4,), "got (4,); one example is a batch of one: x[None]"),
        (L.Linear(4, 3), (5, 2, 2), "got (5, 2, 2); a Flatten layer before it makes rows"),
        (L.Linear(4, 3), (5, 3), "got (5, 3)"),
        (L.Conv2D(1, 2, 3), (20, 9, 9), "got (20, 9, 9); channels missing: x[..., None]"),
        (L.Conv2D(3, 2, 3), (9, 9, 3), "got (9, 9, 3); one example is a batch of one: x[None]"),
        (
            L.Conv2D(1, 2, 3),
            (20, 64),
            "got (20, 64); if rows are square images: x.reshape(-1, 8, 8, 1)",
        ),
        (L.Conv2D(3, 2, 3), (20, 3072), "if rows are square images: x.reshape(-1, 32, 32, 3)"),
        (
            L.Conv2D(1, 2, 3),
            (8, 7),
            "got (8, 7); one gray image is a batch of one: x[None, ..., None]",
        ),
        (L.Conv2D(3, 2, 3), (8, 7), "got (8, 7)"),
        (L.MaxPool2D(2), (20, 9, 9), "got (20, 9, 9); channels missing: x[..., None]"),
        (L.MaxPool2D(2), (9, 9, 3), "got (9, 9, 3); one example is a batch of one: x[None]"),
    ],
)
def test_a_missing_axis(layer, shape, hint):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is what is tested
        layer.forward(np.zeros(shape, np.float32))
    assert hint in str(error.value)
    assert str(error.value).endswith(hint) or hint.endswith("rows")


def test_a_target_without_its_axis():
    with pytest.raises(ValueError, match=r"got \(20,\); give it a last axis: y\[:, None\]$"):
        MeanSquaredError()(np.zeros((20, 1)), np.zeros(20))


def test_labels_with_an_axis_too_many():
    with pytest.raises(ValueError, match=r"got \(4, 1\); labels have one axis: y\[:, 0\]$"):
        SoftmaxCrossEntropy()(np.zeros((4, 3)), np.ones((4, 1), int))


@pytest.mark.parametrize("labels", [np.array([0, 1]), np.array([[0], [1]])])
def test_two_classes_and_a_single_output(labels):
    with pytest.raises(ValueError, match="so two classes need two$"):
        SoftmaxCrossEntropy()(np.zeros((2, 1)), labels)


def test_a_table_that_is_no_array():
    class Table:
        def __array__(self, dtype=None, copy=None):
            return np.zeros((2, 4), np.float32)

    with pytest.raises(TypeError, match=r"got Table; np.asarray\(x, np.float32\) makes one$"):
        eln.Sequential([L.Linear(4, 3)], seed=0)(Table())


def test_a_summary_of_a_batch():
    net = eln.Sequential([L.Conv2D(1, 2, 3), L.Flatten(), L.Linear(128, 3)], seed=0)
    expected = (
        r"expected the shape of one example, \(8, 8, 1\), got that of a batch, \(20, 8, 8, 1\)"
    )
    with pytest.raises(ValueError, match=expected):
        net.summary((20, 8, 8, 1))
    with pytest.raises(ValueError, match="channels missing"):
        net.summary((8, 8))


def test_a_summary_shows_as_it_prints():
    found = eln.Sequential([L.Linear(4, 3)], seed=0).summary((4,))
    assert repr(found) == str(found)
    assert found.startswith("layer ")
