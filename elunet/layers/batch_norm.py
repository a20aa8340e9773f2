"""Batch normalization: each channel is centered and scaled by its own statistics."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from elunet._checks import integer, number
from elunet._quiet import quiet
from elunet._types import Array
from elunet.kernels.normalization import (
    add_centered_squares,
    add_gradient_sums,
    normalize,
    normalize_backward,
)
from elunet.kernels.sums import add_rows
from elunet.layers.base import Layer
from elunet.layers.spans import empty


class BatchNorm(Layer):
    """Batch normalization over all axes but the last.

    ``y = gamma x_hat + beta``, ``x_hat = (x - mean) / sqrt(var + eps)``. In training, mean and
    variance are the batch's, and running averages of them are kept for later; otherwise they are
    the running averages.

    Parameters
    ----------
    channels : int
        Length C of the last axis.
    momentum : float or None, default 0.1
        Share of the new batch in the running averages, in (0, 1]. With None they are the plain
        means over all batches so far.
    eps : float, default 1e-5
        Added to the variance; above 0.
    affine : bool, default True
        Whether there are parameters "gamma" and "beta"; without, ``y = x_hat``.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range; in `forward` with ``train=True``, if there are fewer than
        two values per channel.

    Notes
    -----
    ``params`` are "gamma" and "beta"; ``state`` has "running_mean" and "running_var" (unbiased),
    all of shape (C,), and without momentum "batches", their number. The batch itself is normalized
    with the biased variance.

    References
    ----------
    Ioffe, Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
    Covariate Shift", ICML 2015, arXiv:1502.03167.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import BatchNorm
    >>> x = np.array([[1.0], [3.0]])
    >>> BatchNorm(1).forward(x, train=True).round(3)
    array([[-1.],
           [ 1.]])
    """

    pointwise = True

    def __init__(
        self,
        channels: int,
        momentum: float | None = 0.1,
        eps: float = 1e-5,
        affine: bool = True,
    ) -> None:
        super().__init__()
        self.channels = integer("BatchNorm", "channels", channels)
        self.momentum = momentum
        if momentum is not None:
            self.momentum = number("BatchNorm", "momentum", momentum, "(0, 1]")
        self.eps = number("BatchNorm", "eps", eps, "(0, inf)")
        self.affine = bool(affine)
        if affine:
            self.params["gamma"] = np.ones(channels, np.float32)
            self.params["beta"] = np.zeros(channels, np.float32)
        self.state["running_mean"] = np.zeros(channels)
        self.state["running_var"] = np.ones(channels)
        if momentum is None:
            self.state["batches"] = np.zeros(())

    @quiet
    def forward(self, x: Array, train: bool = False) -> Array:
        """Return y, of x's shape (..., C)."""
        x = self.check_input(x, ("N", ..., self.channels))
        gamma, beta = np.ones(self.channels, x.dtype), np.zeros(self.channels, x.dtype)
        if self.affine:
            gamma = self.parameter("gamma", (self.channels,), x.dtype)
            beta = self.parameter("beta", (self.channels,), x.dtype)
        mean, var = self._batch_statistics(x) if train else self._running_statistics()
        rstd = (1 / np.sqrt(var + self.eps)).astype(x.dtype)
        x_hat, y = empty(x.shape, x.dtype), empty(x.shape, x.dtype)
        normalize(self._rows(x), mean, rstd, gamma, beta, self._rows(x_hat), self._rows(y))
        self.keep(x_hat, gamma, rstd, train)
        return y

    @quiet
    def backward_params(self, dy: Array) -> None:
        """Fill ``dgamma = sum of dy x_hat`` and ``dbeta = sum of dy``."""
        x_hat, *_ = self.recall()
        if self.affine:
            dgamma, dbeta = self._sums(self.check_gradient(dy, x_hat.shape, x_hat.dtype), x_hat)
            self.store_gradient("gamma", dgamma, x_hat.dtype)
            self.store_gradient("beta", dbeta, x_hat.dtype)

    @quiet
    def backward_input(self, dy: Array) -> Array:
        """Return dx.

        In training mean and variance depend on x as well, with M values per channel:
        ``dx = gamma / sqrt(var + eps) (dy - sum(dy) / M - x_hat sum(dy x_hat) / M)``.
        With running averages only the first term remains.
        """
        x_hat, gamma, rstd, train = self.recall()
        dy = self.check_gradient(dy, x_hat.shape, x_hat.dtype)
        slope = gamma * rstd
        if not train:
            return np.asarray(dy * slope)
        values = self.group.whole(max(x_hat.size // self.channels, 1))
        sums = self._sums(dy, x_hat)
        self.group.sum_rows(sums)
        if not self.group.weight:  # its row is no part of the batch
            return np.zeros_like(dy)
        along, shift = sums / values
        dx, slope = empty(dy.shape, dy.dtype), slope.astype(np.float64)
        normalize_backward(self._rows(dy), self._rows(x_hat), slope, along, shift, self._rows(dx))
        return dx

    @quiet
    def tangent(self, dx: Array | None, dparams: Mapping[str, Array]) -> Array:
        """Return ``J dx + dgamma x_hat + dbeta``; the Jacobian J is symmetric in each channel."""
        x_hat, *_ = self.recall()
        dy = np.zeros_like(x_hat) if dx is None else self.backward_input(dx)
        for name, factor in (("gamma", x_hat), ("beta", 1)):
            if name in dparams:
                dy = np.asarray(dy + dparams[name] * factor)
        return dy

    def _batch_statistics(self, x: Array) -> tuple[Array, Array]:
        """Return each channel's mean and biased variance, and move the running averages."""
        rows = self._rows(x)
        count = self.group.whole(len(rows))
        if count < 2:
            raise ValueError(
                f"{self!r}: expected x with at least 2 values per channel in training, got shape"
                f" {x.shape}"
            )
        mean, var = np.zeros(self.channels), np.zeros(self.channels)
        add_rows(rows, mean)
        self.group.sum_rows(mean)
        mean /= count
        add_centered_squares(rows, mean, var)
        self.group.sum_rows(var)
        var /= count
        unbiased = var * count / (count - 1)
        share = self._share_of_new()
        for name, new in (("running_mean", mean), ("running_var", unbiased)):
            self.state[name] = (1 - share) * self.state[name] + share * new
        return mean, var

    def _share_of_new(self) -> float:
        """Return the share of this batch in the running averages; without momentum, count it."""
        if self.momentum is not None:
            return self.momentum
        self.state["batches"] = np.array(self.state["batches"] + 1.0)
        return 1 / float(self.state["batches"])

    def _running_statistics(self) -> tuple[Array, Array]:
        """Return the running averages, in arrays that kernels can take."""
        mean, var = np.empty(self.channels), np.empty(self.channels)
        mean[...], var[...] = self.state["running_mean"], self.state["running_var"]
        return mean, var

    def _sums(self, dy: Array, x_hat: Array) -> Array:
        """Return each channel's sum of dy x_hat and of dy, in float64."""
        sums = np.zeros((2, self.channels))
        add_gradient_sums(self._rows(dy), self._rows(x_hat), sums[0], sums[1])
        return sums

    def _rows(self, x: Array) -> Array:
        return x.reshape(-1, self.channels)

    def __repr__(self) -> str:
        momentum = ", momentum=None" if self.momentum is None else ""
        return f"BatchNorm({self.channels}{momentum}{'' if self.affine else ', affine=False'})"
