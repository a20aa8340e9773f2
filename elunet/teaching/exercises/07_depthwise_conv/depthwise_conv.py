"""Exercise 7: depthwise convolution."""

import numpy as np

import elunet as eln


class DepthwiseConv2D(eln.layers.Layer):
    """Each channel is convolved with a kernel of its own; no padding."""

    def __init__(self, channels, kernel_size, stride=1, seed=0):
        super().__init__()
        self.channels, self.stride = channels, stride
        self.kernel_shape = (kernel_size, kernel_size, channels)
        rng = np.random.default_rng(seed)
        self.params["kernel"] = rng.normal(size=self.kernel_shape).astype(np.float32)

    def forward(self, x, train=False):
        """Return y for x of shape (N, H, W, C), in x's dtype."""
        raise NotImplementedError

    def backward_params(self, dy):
        """Store the gradient of the kernel."""
        raise NotImplementedError

    def backward_input(self, dy):
        """Return dx."""
        raise NotImplementedError
