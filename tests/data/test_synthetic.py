"""make_shapes: reproducible, balanced, easy for a convolutional network and hard without one."""

from __future__ import annotations

import numpy as np
import pytest

from elunet.data import SHAPE_CLASSES, make_shapes, synthetic


@pytest.fixture(scope="module", name="shapes")
def _shapes():
    return make_shapes(12_000, seed=0)


@pytest.mark.parametrize("n", [1, 9, 10, 123])
def test_form(n):
    x, y = make_shapes(n)
    assert x.shape == (n, 32, 32, 3)
    assert x.dtype == np.uint8
    assert y.shape == (n,)
    assert y.dtype == np.int64
    counts = np.bincount(y, minlength=10)
    assert len(counts) == len(SHAPE_CLASSES) == len(set(SHAPE_CLASSES)) == 10
    assert counts.max() - counts.min() <= 1


def test_seed_decides_all():
    x, y = make_shapes(40, seed=1)
    again = make_shapes(40, seed=np.int64(1))
    np.testing.assert_array_equal(x, again[0])
    np.testing.assert_array_equal(y, again[1])
    assert not np.array_equal(make_shapes(40, seed=2)[0], x)
    assert not np.array_equal(make_shapes(40, seed=None)[0], x)
    rng = np.random.default_rng(0)
    assert not np.array_equal(make_shapes(40, rng)[0], make_shapes(40, rng)[0])
    for make in (np.random.default_rng, np.random.SeedSequence):
        np.testing.assert_array_equal(make_shapes(40, make(5))[0], make_shapes(40, make(5))[0])


def test_images_are_colorful_distinct_and_in_range(shapes):
    x, _ = shapes
    assert len(np.unique(x.reshape(len(x), -1)[:, ::97], axis=0)) == len(x)
    assert (x.std(axis=(1, 2, 3)) > 10).all()
    assert ((x == 0) | (x == 255)).mean() < 0.1


@pytest.mark.parametrize("label", range(10))
def test_distances(label):
    """Inside is negative, far outside positive, slopes are at most 1, mirror images are equal."""
    line = np.linspace(-1.6, 1.6, 161)
    u, v = np.meshgrid(line, line)
    d = synthetic._DISTANCES[label](u, v)
    area = (d < 0).mean() * 3.2**2
    assert 0.7 < area < 2.8
    edge = np.concatenate([d[0], d[-1], d[:, 0], d[:, -1]])
    assert (edge > 0.2).all()
    step = line[1] - line[0]
    assert np.abs(np.diff(d, axis=0)).max() <= step * 1.001
    assert np.abs(np.diff(d, axis=1)).max() <= step * 1.001
    if SHAPE_CLASSES[label] != "crescent":
        np.testing.assert_allclose(d, d[:, ::-1], atol=1e-9)


def test_crescents_face_both_ways(shapes):
    x, y = shapes
    bright = x[y == SHAPE_CLASSES.index("crescent")].mean(axis=(0, 3))
    other = x[y == SHAPE_CLASSES.index("circle")].mean(axis=(0, 3))
    for mean in (bright, other):
        left, right = mean[:, :16].mean(), mean[:, 16:].mean()
        assert abs(left - right) < 4


def test_softmax_regression_on_pixels_stays_below_40_percent(shapes):
    x, y = shapes
    x = x.reshape(len(x), -1).astype(np.float32)
    x = (x - x[:10_000].mean(axis=0)) / x[:10_000].std(axis=0)
    one_hot = np.eye(10, dtype=np.float32)[y]
    w, b = np.zeros((3072, 10), np.float32), np.zeros(10, np.float32)
    rng = np.random.default_rng(0)
    best = 0.0
    for epoch in range(6):
        order = rng.permutation(10_000)
        for chosen in np.split(order, 50):
            z = x[chosen] @ w + b
            p = np.exp(z - z.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            dz = (p - one_hot[chosen]) / len(chosen)
            lr = 0.01 / (1 + epoch)
            w -= lr * (x[chosen].T @ dz)
            b -= lr * dz.sum(axis=0)
        best = max(best, float(((x[10_000:] @ w + b).argmax(axis=1) == y[10_000:]).mean()))
    assert 0.1 < best < 0.4


def test_nearest_neighbor_stays_below_60_percent(shapes):
    x, y = shapes
    x = x.reshape(len(x), -1).astype(np.float32)
    train, test = x[:10_000], x[10_000:]
    squared = np.square(train).sum(axis=1) - 2 * (test @ train.T)
    right = (y[:10_000][squared.argmin(axis=1)] == y[10_000:]).mean()
    assert 0.1 < right < 0.6


def test_errors():
    with pytest.raises(ValueError, match="make_shapes: expected n of at least 1, got 0"):
        make_shapes(0)
    with pytest.raises(TypeError, match=r"make_shapes: expected n as an integer, got 2\.0"):
        make_shapes(2.0)
    with pytest.raises(TypeError, match="make_shapes: expected seed as an integer, got True"):
        make_shapes(2, seed=True)
