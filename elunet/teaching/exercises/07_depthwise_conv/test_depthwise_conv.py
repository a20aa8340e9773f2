"""What a depthwise convolution has to do."""

import numpy as np
import pytest
from depthwise_conv import DepthwiseConv2D

import elunet as eln
from elunet.testing import LayerContract, check_layer, spread


def as_a_full_convolution(layer):
    """Return a Conv2D with the same kernels on its diagonal, and 0 between different channels."""
    height, width, channels = layer.kernel_shape
    full = eln.layers.Conv2D(
        channels, channels, (height, width), layer.stride, padding="valid", bias=False
    )
    W = np.zeros((height, width, channels, channels))
    for c in range(channels):
        W[:, :, c, c] = layer.params["kernel"][:, :, c]
    full.params["W"] = W
    return full


class TestDepthwiseConv(LayerContract):
    """The tests for any layer."""

    def make_layer(self):
        """Return the layer to test."""
        return DepthwiseConv2D(2, 3)

    def make_input(self):
        """Return two small images."""
        return spread((2, 5, 4, 2), np.random.default_rng(0))

    def formula(self, layer, x, train):
        """Return what a full convolution gives that mixes no channels."""
        return as_a_full_convolution(layer).forward(x)


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (2, 1), (3, 2), (2, 3)])
def test_sizes_and_strides(size, stride):
    """Values like a full convolution's, and right gradients; windows must fit."""
    layer = DepthwiseConv2D(2, size, stride)
    x = spread((2, 6, 5, 2), np.random.default_rng(1))
    np.testing.assert_allclose(layer.forward(x), as_a_full_convolution(layer).forward(x), rtol=1e-6)
    check_layer(layer, x)


def test_one_pixel_wanders_through_the_kernel():
    """A single 1 in the image gives the kernel, flipped."""
    layer = DepthwiseConv2D(1, 2)
    layer.params["kernel"] = np.array([[[1.0], [2.0]], [[3.0], [4.0]]])
    x = np.zeros((1, 3, 3, 1))
    x[0, 1, 1, 0] = 1
    np.testing.assert_allclose(layer.forward(x)[0, :, :, 0], [[4, 3], [2, 1]])


def test_pixels_count_how_often_they_are_seen():
    """With a kernel of ones, dx counts the windows that a pixel lies in."""
    layer = DepthwiseConv2D(1, 2)
    layer.params["kernel"] = np.ones((2, 2, 1))
    y = layer.forward(np.zeros((1, 3, 3, 1)))
    dx = layer.backward(np.ones_like(y))
    np.testing.assert_allclose(dx[0, :, :, 0], [[1, 2, 1], [2, 4, 2], [1, 2, 1]])
