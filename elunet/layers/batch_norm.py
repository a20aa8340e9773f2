"""Batch normalization: each channel is centered and scaled by its own statistics."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from elunet._checks import integer, number
from elunet._quiet import quiet
from elunet._types import Array
from elunet.kernels.sums import add_row_products, add_rows
from elunet.layers.base import Layer


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
        gamma = beta = None
        if self.affine:
            gamma = self.parameter("gamma", (self.channels,), x.dtype)
            beta = self.parameter("beta", (self.channels,), x.dtype)
        mean, var = self._batch_statistics(x) if train else self._running_statistics()
        rstd = 1 / np.sqrt(var + self.eps)
        x_hat = _centered(x, mean)
        x_hat *= rstd.astype(x.dtype)
        self.keep(x_hat, gamma, rstd.astype(x.dtype), train)
        return x_hat.copy() if gamma is None else np.asarray(gamma * x_hat + beta)

    @quiet
    def backward_params(self, dy: Array) -> None:
        """Fill ``dgamma = sum of dy x_hat`` and ``dbeta = sum of dy``."""
        x_hat, gamma, *_ = self.recall()
        if gamma is None:
            return
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
        slope = rstd if gamma is None else gamma * rstd
        if not train:
            return np.asarray(dy * slope)
        values = self.group.whole(max(x_hat.size // self.channels, 1))
        sums = np.stack(self._sums(dy, x_hat))
        self.group.sum_rows(sums)
        if not self.group.weight:  # its row is no part of the batch
            return np.zeros_like(dy)
        along, shift = sums / values
        # In float64: dx has mean 0, and a constant channel's rstd enlarges what rounding leaves.
        return np.asarray((dy - shift - x_hat * along) * slope, dy.dtype)

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
        rows = x.reshape(-1, self.channels)
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
        centered = rows - mean
        add_row_products(centered, centered, var)
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
        return self.state["running_mean"], self.state["running_var"]

    def _sums(self, dy: Array, x_hat: Array) -> tuple[Array, Array]:
        """Return each channel's sum of dy x_hat and of dy, in float64."""
        products, sums = np.zeros(self.channels), np.zeros(self.channels)
        rows = dy.reshape(-1, self.channels)
        add_row_products(rows, x_hat.reshape(-1, self.channels), products)
        add_rows(rows, sums)
        return products, sums

    def __repr__(self) -> str:
        momentum = ", momentum=None" if self.momentum is None else ""
        return f"BatchNorm({self.channels}{momentum}{'' if self.affine else ', affine=False'})"


def _centered(x: Array, mean: Array) -> Array:
    """Return x - mean, in x's dtype; what that cannot hold of the mean is taken off by itself."""
    near = mean.astype(x.dtype)
    centered: Array = x - near
    if near.dtype != mean.dtype:
        centered -= (mean - near).astype(x.dtype)
    return centered
