"""Layer, group and instance normalization: which numbers are normalized together."""

from __future__ import annotations

import re

import numpy as np
import pytest

from elunet.layers import GroupNorm, InstanceNorm, LayerNorm

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(3, 2, (3, 4, 5, 6))


def standard(x, axes, eps=1e-5):
    return (x - x.mean(axis=axes, keepdims=True)) / np.sqrt(x.var(axis=axes, keepdims=True) + eps)


def test_layer_norm_takes_each_position():
    np.testing.assert_allclose(LayerNorm(6).forward(IMAGES), standard(IMAGES, 3), rtol=1e-12)


def test_instance_norm_takes_each_channel():
    y = InstanceNorm(6).forward(IMAGES)
    np.testing.assert_allclose(y, standard(IMAGES, (1, 2)), rtol=1e-12)


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_group_norm_takes_neighboring_channels(groups):
    y = GroupNorm(groups, 6, eps=0.1).forward(IMAGES)
    size = 6 // groups
    for first in range(0, 6, size):
        part = slice(first, first + size)
        expected = standard(IMAGES[..., part], (1, 2, 3), 0.1)
        np.testing.assert_allclose(y[..., part], expected, rtol=1e-12, atol=1e-14)


def test_as_many_groups_as_channels_are_instances():
    one, other = GroupNorm(6, 6, affine=False), InstanceNorm(6)
    np.testing.assert_array_equal(one.forward(IMAGES), other.forward(IMAGES))
    np.testing.assert_array_equal(one.backward(IMAGES), other.backward(IMAGES))


@pytest.mark.parametrize("layer", [LayerNorm(6), GroupNorm(2, 6), InstanceNorm(6, affine=True)])
def test_parameters(layer):
    gamma, beta = RNG.normal(size=(2, 6)).astype(np.float32)
    plain = layer.forward(IMAGES)
    layer.params.update(gamma=gamma, beta=beta)
    np.testing.assert_allclose(layer.forward(IMAGES), gamma * plain + beta, rtol=1e-12)
    dy = RNG.normal(size=IMAGES.shape)
    layer.backward(dy)
    np.testing.assert_allclose(layer.grads["beta"], dy.sum(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(layer.grads["gamma"], (dy * plain).sum(axis=(0, 1, 2)), rtol=1e-12)


@pytest.mark.parametrize("layer", [LayerNorm(6), GroupNorm(2, 6), InstanceNorm(6)])
def test_large_means_lose_no_digits(layer):
    """In float32 the mean is taken off in float64."""
    x = IMAGES.astype(np.float32) + np.float32(1e4)
    expected = layer.forward(x.astype(np.float64))
    np.testing.assert_allclose(layer.forward(x), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (LayerNorm(1), (3, 1)),
        (GroupNorm(3, 3), (2, 3)),
        (InstanceNorm(3), (2, 3)),
        (InstanceNorm(3), (2, 1, 1, 3)),
    ],
)
def test_one_number_alone_is_not_enough(layer, shape):
    message = (
        f"{layer!r}: expected x with at least 2 values to normalize together, got shape {shape}"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        layer.forward(np.ones(shape))


def test_groups_divide_the_channels():
    with pytest.raises(ValueError, match=r"^GroupNorm: expected groups that divide the 6 channels"):
        GroupNorm(4, 6)


@pytest.mark.parametrize("kind", [LayerNorm, InstanceNorm])
def test_errors_name_the_class(kind):
    with pytest.raises(ValueError, match=f"^{kind.__name__}: expected channels of at least 1, got"):
        kind(0)
    with pytest.raises(ValueError, match=rf"^{kind.__name__}: expected eps in \(0, inf\), got 0.0"):
        kind(3, eps=0.0)
