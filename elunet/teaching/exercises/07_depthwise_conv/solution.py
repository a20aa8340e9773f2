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

    def slices(self, out_shape):
        """Yield each (u, v) of the kernel with the pixels that it meets, as an index of x."""
        ends = [self.stride * (steps - 1) + 1 for steps in out_shape[1:3]]
        for u, v in np.ndindex(self.kernel_shape[:2]):
            rows = slice(u, u + ends[0], self.stride)
            columns = slice(v, v + ends[1], self.stride)
            yield (u, v), (slice(None), rows, columns)

    def forward(self, x, train=False):
        """Return y for x of shape (N, H, W, C), in x's dtype."""
        x = self.check_input(x, ("N", "H", "W", self.channels))
        kernel = self.parameter("kernel", self.kernel_shape, x.dtype)
        steps = [(side - self.kernel_shape[0]) // self.stride + 1 for side in x.shape[1:3]]
        y = np.zeros((len(x), *steps, self.channels), x.dtype)
        for place, pixels in self.slices(y.shape):
            y += x[pixels] * kernel[place]
        self.keep(x, kernel)
        return y

    def backward_params(self, dy):
        """Store the gradient of the kernel."""
        x, kernel = self.recall()
        gradient = np.zeros_like(kernel)
        for place, pixels in self.slices(dy.shape):
            gradient[place] = np.sum(x[pixels] * dy, axis=(0, 1, 2))
        self.store_gradient("kernel", gradient, x.dtype)

    def backward_input(self, dy):
        """Return dx."""
        x, kernel = self.recall()
        dx = np.zeros_like(x)
        for place, pixels in self.slices(dy.shape):
            dx[pixels] += dy * kernel[place]
        return dx
