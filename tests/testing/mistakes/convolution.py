"""Convolutions and pooling: windows that overlap, strides, loops that end early."""

from __future__ import annotations

import numpy as np
from testing.mistakes.mistake import Mistake, normal

from elunet.testing import check_functions, check_layer


class MaxPoolingLayer:
    """Of one image (height, width, channels), window after window."""

    def __init__(self, wrong, kernel_size=2):
        self.wrong, self.kernel_size = wrong, kernel_size

    def patches(self):
        k = self.kernel_size
        for h, w in np.ndindex(self.image.shape[0] // k, self.image.shape[1] // k):
            yield self.image[h * k : h * k + k, w * k : w * k + k], h, w

    def forward_prop(self, image):
        self.image = image
        k = self.kernel_size
        output = np.zeros((image.shape[0] // k, image.shape[1] // k, image.shape[2]))
        for patch, h, w in self.patches():
            output[h, w] = patch.max(axis=(0, 1))
        return output

    def back_prop(self, dE_dY):
        k = self.kernel_size
        dE_dk = np.zeros(self.image.shape)
        for patch, h, w in self.patches():
            dE_dk[h * k : h * k + k, w * k : w * k + k] = (patch == patch.max((0, 1))) * dE_dY[h, w]
            if self.wrong:  # indented once too often
                return dE_dk
        return dE_dk


def overlapping_pooling(wrong):
    """Return CS231n's naive pooling, (N, C, H, W)."""

    def windows(x, pool_param):
        size, stride = pool_param["pool_size"], pool_param["stride"]
        rows, columns = ((n - size) // stride + 1 for n in x.shape[2:])
        for n, c, i, j in np.ndindex(*x.shape[:2], rows, columns):
            top, left = i * stride, j * stride
            yield (n, c, i, j), (n, c, slice(top, top + size), slice(left, left + size))

    def max_pool_forward_naive(x, pool_param):
        size, stride = pool_param["pool_size"], pool_param["stride"]
        out = np.zeros((*x.shape[:2], *((n - size) // stride + 1 for n in x.shape[2:])))
        for place, window in windows(x, pool_param):
            out[place] = x[window].max()
        return out, (x, pool_param)

    def max_pool_backward_naive(dout, cache):
        x, pool_param = cache
        dx = np.zeros_like(x)
        for place, window in windows(x, pool_param):
            largest = np.unravel_index(x[window].argmax(), x[window].shape)
            if wrong:
                dx[window][largest] = dout[place]
            else:
                dx[window][largest] += dout[place]
        return dx

    return max_pool_forward_naive, max_pool_backward_naive


def strided_convolution(wrong):
    """Return the course's convolution, (m, height, width, channels), without padding."""

    def conv_forward(A_prev, W, b, hparameters):
        f, stride = W.shape[0], hparameters["stride"]
        n_H, n_W = ((n - f) // stride + 1 for n in A_prev.shape[1:3])
        Z = np.zeros((len(A_prev), n_H, n_W, W.shape[-1]))
        for i, h, w, c in np.ndindex(Z.shape):
            a_slice = A_prev[i, h * stride : h * stride + f, w * stride : w * stride + f]
            Z[i, h, w, c] = np.sum(a_slice * W[..., c]) + b[0, 0, 0, c]
        return Z, (A_prev, W, b, hparameters)

    def conv_backward(dZ, cache):
        A_prev, W, b, hparameters = cache
        f, stride = W.shape[0], hparameters["stride"]
        dA_prev, dW, db = np.zeros(A_prev.shape), np.zeros(W.shape), np.zeros(b.shape)
        for i, h, w, c in np.ndindex(dZ.shape):
            top, left = (h, w) if wrong else (h * stride, w * stride)
            window = (i, slice(top, top + f), slice(left, left + f))
            dA_prev[window] += W[..., c] * dZ[i, h, w, c]
            dW[..., c] += A_prev[window] * dZ[i, h, w, c]
            db[..., c] += dZ[i, h, w, c]
        return dA_prev, dW, db

    return conv_forward, conv_backward


class Conv1D:
    """Of one signal (steps, channels), a true convolution: the kernel slides backwards."""

    def __init__(self, wrong, kernel_size=3, channels=2, kernels=2):
        self.wrong, self.kernel_size = wrong, kernel_size
        self.weights = normal(kernel_size, channels, kernels, seed=1)

    def windows(self, x):
        steps = len(x) - self.kernel_size + 1
        return np.stack([x[i : i + self.kernel_size] for i in range(steps)])

    def forward_pass(self, x):
        self.x = x
        return np.einsum("ikc,kcn->in", self.windows(x), self.weights[::-1])

    def backward_pass(self, de_dy):
        de_dw = np.einsum("ikc,in->kcn", self.windows(self.x), de_dy)
        self.de_dw = de_dw if self.wrong else de_dw[::-1]
        de_dx = np.zeros(self.x.shape)
        for i, row in enumerate(de_dy):
            de_dx[i : i + self.kernel_size] += self.weights[::-1] @ row
        return de_dx


class ChannelsLast:
    """A 1x1 convolution over (N, height, width, channels)."""

    def __init__(self, wrong, n_in=2, n_out=3):
        self.wrong = wrong
        self.W, self.b = normal(n_in, n_out, seed=1), np.zeros(n_out)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, epsilon):
        self.dW = np.einsum("nhwi,nhwo->io", self.x, epsilon)
        # (0, 2, 3) is right where the channels come second
        self.db = epsilon.sum(axis=(0, 2, 3) if self.wrong else (0, 1, 2))
        return epsilon @ self.W.T


CONVOLUTION = [
    Mistake(
        "max pooling of one window",
        "riccardoandreoni0/CNN-from-scratch/issues/1",
        "the backward pass returns inside its loop, after the first window",
        lambda wrong: check_layer(MaxPoolingLayer(wrong), normal(6, 6, 2)),
        "stop, too early",
    ),
    Mistake(
        "pooling windows that overlap",
        "0809zheng/CS231n-assignment2019/issues/19",
        "`=` for `+=`: where windows overlap, the last one wins",
        lambda wrong: check_functions(
            *overlapping_pooling(wrong), normal(2, 2, 5, 5), {"pool_size": 3, "stride": 1}
        ),
        "only its last contribution",
    ),
    Mistake(
        "convolution without its stride",
        "enggen/Deep-Learning-Coursera/issues/7 Kulbear/deep-learning-coursera/pull/34",
        "the backward pass goes through the image in steps of 1, the forward pass in steps of 2",
        lambda wrong: check_functions(
            *strided_convolution(wrong),
            *(normal(2, 7, 7, 2), normal(3, 3, 2, 2, seed=1), normal(1, 1, 1, 2), {"stride": 2}),
        ),
        "stride",
    ),
    Mistake(
        "kernel gradient reversed",
        "https://end-to-end-machine-learning.teachable.com",
        "the kernel is flipped in the forward pass, its gradient is not",
        lambda wrong: check_layer(Conv1D(wrong), normal(9, 2)),
        "reversed along axis 0",
    ),
    Mistake(
        "bias of the other layout",
        "deeplearning4j/deeplearning4j/issues/8280",
        "db is summed over the axes of N, C, H, W, and the layer has N, H, W, C",
        lambda wrong: check_layer(ChannelsLast(wrong), normal(2, 3, 4, 2)),
        "summed over axes 0, 2 and 3",
    ),
]
