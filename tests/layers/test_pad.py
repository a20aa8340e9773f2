"""Pad: NumPy's padding, and the exact adjoint of each mode."""

from __future__ import annotations

import re

import numpy as np
import pytest

from elunet.layers import Pad

MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge"}
SIDES = [((0, 0), (0, 0)), ((1, 0), (0, 2)), ((2, 3), (1, 1)), ((0, 3), (3, 0))]


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("mode", MODES)
def test_forward_and_adjoint(mode, sides):
    """<Pad(x), dy> = <x, Pad's backward(dy)> for all x and dy, up to rounding."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 4, 4, 3))
    layer = Pad(sides, mode)
    y = layer.forward(x)
    np.testing.assert_array_equal(y, np.pad(x, ((0, 0), *sides, (0, 0)), MODES[mode]))
    dy = rng.normal(size=y.shape)
    assert np.vdot(y, dy) == pytest.approx(np.vdot(x, layer.backward(dy)), rel=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_each_number_goes_back_to_where_it_came_from(mode):
    """With whole numbers the adjoint is exact: the matrix of the padding, transposed."""
    layer = Pad(((2, 1), (1, 2)), mode)
    dx_of = np.array(
        [layer.forward(e.reshape(1, 3, 3, 1)).reshape(-1) for e in np.eye(9)]
    )  # (9, 36)
    dy = np.arange(36.0)
    layer.forward(np.zeros((1, 3, 3, 1)))
    np.testing.assert_array_equal(layer.backward(dy.reshape(1, 6, 6, 1)).reshape(-1), dx_of @ dy)


@pytest.mark.parametrize(
    ("padding", "sides"),
    [(2, ((2, 2), (2, 2))), ((1, 3), ((1, 1), (3, 3))), (((1, 2), (3, 4)), ((1, 2), (3, 4)))],
)
def test_forms_of_padding(padding, sides):
    assert Pad(padding).padding == sides


@pytest.mark.parametrize(
    ("padding", "kind", "message"),
    [
        (-1, ValueError, "Pad: expected padding of at least 0, got -1"),
        (1.5, TypeError, "Pad: expected padding as an integer, got 1.5"),
        ((1, 2, 3), ValueError, "(height, width) or ((top, bottom), (left, right)), got (1, 2, 3)"),
        (((1, 2, 3), 1), ValueError, "Pad: expected padding as an integer, (height, width)"),
    ],
)
def test_bad_padding(padding, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        Pad(padding)


def test_bad_mode():
    message = "Pad: expected mode among ['zeros', 'reflect', 'replicate'], got 'edge'"
    with pytest.raises(ValueError, match=re.escape(message)):
        Pad(1, "edge")


@pytest.mark.parametrize(
    ("mode", "shape", "least"),
    [("reflect", (1, 2, 5, 1), 3), ("reflect", (1, 5, 0, 1), 3), ("replicate", (1, 0, 5, 1), 1)],
)
def test_too_small_to_be_mirrored(mode, shape, least):
    message = f"Pad(2, '{mode}'): expected x of at least {least} pixels along a padded axis, got"
    with pytest.raises(ValueError, match=re.escape(f"{message} shape {shape}")):
        Pad(2, mode).forward(np.ones(shape))
    Pad(((0, 0), (0, 0)), mode).forward(np.ones(shape))
