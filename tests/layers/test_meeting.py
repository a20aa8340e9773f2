"""Layers of several inputs: what fits together, and gradients summed where numbers were shared."""

from __future__ import annotations

import re

import numpy as np
import pytest

from elunet.layers import Add, Concat, Multiply

N, H, W, C = 2, 3, 4, 5
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(N, H, W, C))
GATES = [(N, C), (N, 1, 1, C), (N, H, W, 1), (N, 1, W, 1), (N, 1, 1, 1), (N, H, W, C)]


@pytest.mark.parametrize("shape", GATES)
@pytest.mark.parametrize("kind", [Add, Multiply])
@pytest.mark.parametrize("gate_first", [False, True])
def test_broadcasting_is_repeating(kind, shape, gate_first):
    """A gate does what the same gate, written out for each pixel, does; gradients are summed."""
    gate, dy = RNG.normal(size=shape), RNG.normal(size=IMAGES.shape)
    wide = gate[:, None, None] if gate.ndim == 2 else gate
    written_out = np.array(np.broadcast_to(wide, IMAGES.shape))
    order = slice(None, None, -1 if gate_first else 1)
    layer, plain = kind(), kind()
    y = layer.forward((IMAGES, gate)[order])
    np.testing.assert_array_equal(y, plain.forward((IMAGES, written_out)[order]))
    dimages, dgate = layer.backward(dy)[order]
    wanted, dwritten_out = plain.backward(dy)[order]
    np.testing.assert_array_equal(dimages, wanted)
    axes = tuple(axis for axis, size in enumerate(wide.shape) if size != IMAGES.shape[axis])
    expected = dwritten_out.sum(axis=axes, keepdims=True).reshape(gate.shape)
    np.testing.assert_allclose(dgate, expected, rtol=1e-13)


def test_gate_and_gate_without_images_between():
    y = Multiply().forward((np.ones((N, 1, W, 1)), np.ones((N, H, 1, 1)), np.full((N, C), 2.0)))
    np.testing.assert_array_equal(y, np.full((N, H, W, C), 2.0))


def test_product_of_three():
    xs = tuple(RNG.normal(size=(4, 3)) for _ in range(3))
    layer = Multiply()
    np.testing.assert_allclose(layer.forward(xs), xs[0] * xs[1] * xs[2])
    dy = RNG.normal(size=(4, 3))
    for got, (one, other) in zip(
        layer.backward(dy), [(xs[1], xs[2]), (xs[0], xs[2]), (xs[0], xs[1])], strict=True
    ):
        np.testing.assert_allclose(got, dy * one * other)


def test_a_zero_among_the_factors():
    """No division: the gradient at a zero is the product of the others."""
    layer = Multiply()
    layer.forward((np.array([[0.0]]), np.array([[3.0]]), np.array([[0.0]])))
    dxs = layer.backward(np.array([[2.0]]))
    assert [float(dx[0, 0]) for dx in dxs] == [0, 0, 0]
    layer.forward((np.array([[0.0]]), np.array([[3.0]])))
    assert [float(dx[0, 0]) for dx in layer.backward(np.array([[2.0]]))] == [6, 0]


@pytest.mark.parametrize(
    "shape", [(1, H, W, C), (N, H, W, 2), (N, 2, 1, 1), (N, W, C), (C,), (N, 4), (1, C), ()]
)
def test_what_does_not_fit(shape):
    message = (
        f"Multiply(): expected x[1] like x[0], float64 of shape (2, 3, 4, 5), or with axes of size"
        f" 1, got float64 of shape {shape}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Multiply().forward((IMAGES, np.ones(shape)))


def test_others_that_do_not_fit_each_other():
    message = "differ by axes of size 1 only, got (2, 1), (2, 3), (2, 4)"
    with pytest.raises(ValueError, match=re.escape(message)):
        Add().forward((np.ones((2, 1)), np.ones((2, 3)), np.ones((2, 4))))


@pytest.mark.parametrize("axis", [1, 2, 3, -1, -2, -3])
def test_concat_and_its_parts(axis):
    sizes = [1, 3, 2]
    shapes = [tuple(n if k == axis % 4 else s for k, s in enumerate(IMAGES.shape)) for n in sizes]
    xs = tuple(RNG.normal(size=shape) for shape in shapes)
    layer = Concat(axis)
    y = layer.forward(xs)
    np.testing.assert_array_equal(y, np.concatenate(xs, axis))
    for part, x in zip(layer.backward(y), xs, strict=True):
        np.testing.assert_array_equal(part, x)
        assert part.flags.c_contiguous


@pytest.mark.parametrize(
    ("axis", "x", "message"),
    [
        (
            -1,
            (np.ones((2, 3)), np.ones((3, 3))),
            "like x[0], float64 of shape (2, 3), except axis -1",
        ),
        (1, (np.ones((2, 3, 4)), np.ones((2, 3, 5))), "expected x[1] like x[0]"),
        (2, (np.ones((2, 3)),), "an axis 2 behind the batch, got shape (2, 3)"),
        (-2, (np.ones((2, 3)),), "an axis -2 behind the batch, got shape (2, 3)"),
        (-1, (np.ones(2),), "an axis -1 behind the batch, got shape (2,)"),
        (-1, (np.ones((2, 3)), np.ones((2, 3), np.float32)), "got float32 of shape (2, 3)"),
    ],
)
def test_what_does_not_fit_side_by_side(axis, x, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Concat(axis).forward(x)


def test_the_batch_is_not_joined():
    with pytest.raises(ValueError, match="Concat: expected an axis other than 0"):
        Concat(0)
