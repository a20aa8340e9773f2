"""Winograd's way through a convolution against im2col's: the same function, but for rounding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import elunet as eln
from elunet.kernels import _jit
from elunet.layers import ELU, Conv2D, _winograd, conv2d
from elunet.layers._im2col import Im2col
from elunet.layers._winograd import Winograd

ROUNDING = 5e-6  # relative to the largest number; measured below 1.5e-6


def twins(in_channels, out_channels, kernel, padding="same", bias=True):
    """Return one convolution twice: Winograd's, and im2col's."""
    pair = [
        Conv2D(in_channels, out_channels, kernel, 1, padding, bias, seed=0, algorithm=algorithm)
        for algorithm in ("winograd", "im2col")
    ]
    if bias:
        drawn = np.random.default_rng(1).normal(size=out_channels).astype(np.float32)
        for layer in pair:
            layer.params["b"] = drawn.copy()
    return pair


def passes(layer, x, dy, weight=None):
    """Return all that a layer computes, in x's dtype."""
    y = layer.forward(x)
    layer.backward_params(dy.astype(x.dtype))
    dx = layer.backward_input(dy.astype(x.dtype), weight)
    return {"y": y, "dx": dx, **layer.grads}


def error(got, exact):
    """Return the root of the mean square of the difference, relative to that of `exact`."""
    return np.sqrt(np.square(got - exact).mean() / np.square(exact).mean())


@st.composite
def convolutions(draw):
    kernel = draw(st.sampled_from([2, 3]))
    sides = draw(st.integers(1, 10)), draw(st.integers(1, 10))
    paddings = ["same", draw(st.integers(1, 3)), (draw(st.integers(1, 2)), 2)]
    if min(sides) >= kernel:
        paddings += ["valid", (0, 1)]
    channels = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    fast, plain = twins(*channels, kernel, draw(st.sampled_from(paddings)), draw(st.booleans()))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.normal(size=(draw(st.integers(1, 4)), *sides, channels[0])).astype(np.float32)
    return fast, plain, x, rng


@given(drawn=convolutions())
def test_all_of_it_equals_im2col(drawn):
    fast, plain, x, rng = drawn
    dy = rng.normal(size=plain.forward(x).shape)
    exact = passes(plain, x.astype(np.float64), dy)
    for name, got in passes(fast, x, dy).items():
        assert got.dtype == np.float32
        limit = ROUNDING * max(1.0, np.abs(exact[name]).max())
        np.testing.assert_allclose(got, exact[name], rtol=0, atol=limit, err_msg=name)


@given(drawn=convolutions())
def test_another_weight_on_the_way_down(drawn):
    fast, plain, x, rng = drawn
    dy, weight = rng.normal(size=plain.forward(x).shape), rng.normal(size=plain.shape)
    exact = passes(plain, x.astype(np.float64), dy, weight)["dx"]
    got = passes(fast, x, dy, weight)["dx"]
    np.testing.assert_allclose(got, exact, rtol=0, atol=ROUNDING * max(1.0, np.abs(exact).max()))


def test_float64_takes_the_exact_way():
    rng = np.random.default_rng(0)
    fast, plain = twins(5, 7, 3)
    x, dy = rng.normal(size=(2, 6, 9, 5)), rng.normal(size=(2, 6, 9, 7))
    expected = passes(plain, x, dy)
    for name, got in passes(fast, x, dy).items():
        np.testing.assert_array_equal(got, expected[name])


@pytest.mark.parametrize(
    ("arguments", "size", "count", "fast"),
    [
        ((192, 240, 3), 16, 4, True),
        ((64, 64, 3), 16, 4, True),
        ((240, 260, 2), 8, 16, True),
        ((240, 260, 2), 4, 64, True),
        ((192, 240, 3), 16, 1, True),
        ((16, 24, 3), 16, 1, True),
        ((192, 240, 3), 12, 1, False),
        ((240, 260, 2), 4, 32, True),
        ((240, 260, 2), 4, 31, False),
        ((16, 32, 2), 16, 2, True),
        ((15, 32, 2), 16, 2, False),
        ((192, 240, 3, 2), 16, 4, False),
        ((192, 192, 1), 16, 4, False),
        ((192, 240, (3, 2)), 16, 4, False),
        ((3, 192, 3), 16, 4, False),
        ((192, 16, 3), 16, 4, True),
        ((192, 15, 3), 16, 4, False),
        ((192, 240, 3), 3, 400, False),
    ],
)
def test_auto_takes_it_where_it_pays(monkeypatch, arguments, size, count, fast):
    monkeypatch.setattr(_jit, "PLAIN", False)
    layer = Conv2D(*arguments)
    shape = (count, size, size, arguments[0])
    assert type(layer._way(shape, np.dtype(np.float32))) is (Winograd if fast else Im2col)
    assert type(layer._way(shape, np.dtype(np.float64))) is Im2col


@pytest.mark.parametrize(
    ("channels", "has_blas", "fast"), [(95, True, False), (96, True, True), (16, False, True)]
)
def test_in_numpy_it_pays_later_where_products_are_fast(monkeypatch, channels, has_blas, fast):
    monkeypatch.setattr(_jit, "PLAIN", True)
    monkeypatch.setattr(_winograd, "is_fast", lambda: has_blas)
    way = Conv2D(channels, channels, 3)._way((4, 16, 16, channels), np.dtype(np.float32))
    assert type(way) is (Winograd if fast else Im2col)


def test_many_blocks(monkeypatch):
    """However few tiles a worker takes at a time, the result is the same but for rounding."""
    rng = np.random.default_rng(0)
    fast, _ = twins(5, 7, 3)
    x = rng.normal(size=(9, 6, 9, 5)).astype(np.float32)
    dy = rng.normal(size=(9, 6, 9, 7))
    expected = passes(fast, x, dy)
    for tiles in (1, 13, 1000):
        monkeypatch.setattr(_winograd, "MEMORY", tiles * 12 * 36 * 4)
        conv2d._made.cache_clear()
        for name, got in passes(twins(5, 7, 3)[0], x, dy).items():
            limit = ROUNDING * np.abs(expected[name]).max()
            np.testing.assert_allclose(got, expected[name], rtol=0, atol=limit)
    conv2d._made.cache_clear()


@pytest.mark.jit
@pytest.mark.parametrize(
    ("channels", "kernel", "side"), [((192, 240), 3, 16), ((64, 64), 3, 32), ((240, 260), 2, 8)]
)
def test_rounding_at_typical_sizes(channels, kernel, side):
    """What the documentation says of the error: 1e-6 or a little more."""
    rng = np.random.default_rng(0)
    fast, plain = twins(*channels, kernel)
    x = rng.normal(size=(4, side, side, channels[0])).astype(np.float32)
    dy = rng.normal(size=(4, side, side, channels[1])).astype(np.float32)
    exact = passes(plain, x.astype(np.float64), dy)
    coarse = passes(plain, x, dy)
    for name, got in passes(fast, x, dy).items():
        theirs = error(coarse[name], exact[name])
        assert error(got, exact[name]) < max(2e-6, 2 * theirs), name


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_one_image_on_several_threads(threads):
    """Where there are fewer images than threads, these share what is done for each place."""
    rng = np.random.default_rng(0)
    before = eln.get_num_threads()
    eln.set_num_threads(threads)
    try:
        fast, plain = twins(20, 37, 3)
        x, dy = rng.normal(size=(1, 20, 20, 20)), rng.normal(size=(1, 20, 20, 37))
        x = x.astype(np.float32)
        exact = passes(plain, x.astype(np.float64), dy)
        by_hand = passes(fast, x, dy)
        for name, got in by_hand.items():
            limit = ROUNDING * max(1.0, np.abs(exact[name]).max())
            np.testing.assert_allclose(got, exact[name], rtol=0, atol=limit)
        net = eln.Sequential([fast, ELU()], seed=0)
        y = net.forward(x, train=True)
        np.testing.assert_array_equal(y, ELU().forward(by_hand["y"]))
    finally:
        eln.set_num_threads(before)


def test_what_a_user_was_given_never_changes():
    """Neither by hand nor from a network, whose memory goes from step to step."""
    rng = np.random.default_rng(0)
    net = eln.Sequential([Conv2D(3, 4, 3, algorithm="winograd"), ELU()], seed=0)
    x = rng.normal(size=(6, 32, 32, 3)).astype(np.float32)
    given = [net.layers[0].forward(x), net(x), net.forward(x, train=True)]
    given.append(net.backward(given[-1]))
    copies = [array.copy() for array in given]
    for _ in range(3):
        y = net.forward(x + 1, train=True)
        net.backward(y)
        net.layers[0].backward(net.layers[0].forward(x - 1))
    for array, copied in zip(given, copies, strict=True):
        np.testing.assert_array_equal(array, copied)


def test_a_weight_may_be_assigned_between_the_passes():
    """Nothing that was made of W outlives the pass."""
    rng = np.random.default_rng(0)
    fast, plain = twins(3, 4, 3)
    x = rng.normal(size=(2, 5, 5, 3)).astype(np.float32)
    fast.forward(x)
    for layer in (fast, plain):
        layer.params["W"] = 2 * layer.params["W"]
    np.testing.assert_allclose(fast.forward(x), plain.forward(x), atol=1e-4)
