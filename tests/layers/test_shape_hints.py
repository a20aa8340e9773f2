"""A wrong shape whose cure is clear comes with it."""

from __future__ import annotations

import numpy as np
import pytest

from elunet import layers as L
from elunet.losses import MeanSquaredError


@pytest.mark.parametrize(
    ("layer", "shape", "hint"),
    [
        (L.Linear(1, 3), (20,), "got (20,); reshape to (20, 1): x[:, None]"),
        (L.Linear(4, 3), (4,), "got (4,); one example is a batch of one: x[None]"),
        (L.Linear(4, 3), (5, 2, 2), "got (5, 2, 2); a Flatten layer before it makes rows"),
        (L.Linear(4, 3), (5, 3), "got (5, 3)"),
        (L.Conv2D(1, 2, 3), (20, 9, 9), "got (20, 9, 9); channels missing: x[..., None]"),
        (L.Conv2D(3, 2, 3), (9, 9, 3), "got (9, 9, 3); one example is a batch of one: x[None]"),
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
    with pytest.raises(ValueError, match=r"got \(20,\); reshape it to \(20, 1\)"):
        MeanSquaredError()(np.zeros((20, 1)), np.zeros(20))
