"""Losses between arrays of one shape."""

from __future__ import annotations

import numpy as np

from elunet._checks import number
from elunet._types import Array
from elunet.losses.base import Loss, one_hot, real_target


class Regression(Loss):
    """A loss between arrays of one shape."""

    def read_target(self, target: Array, shape: tuple[int, ...]) -> Array:
        """Return an array of the same shape as it is, and labels (N,) for (N, C) as one-hot."""
        if target.shape == shape:
            return real_target(target, self)
        # One column is no choice among classes: there (N,) is a forgotten axis, not labels.
        classes = shape[1] if len(shape) == 2 else 1
        if classes > 1 and target.shape == shape[:1] and target.dtype.kind in "iu":
            return one_hot(target, classes, owner=str(self))
        hint = "; give it a last axis: y[:, None]" if shape == (*target.shape, 1) else ""
        raise ValueError(f"{self}: expected target of shape {shape}, got {target.shape}{hint}")


class MeanSquaredError(Regression):
    r"""Mean of the squared differences over all M elements of the prediction.

    .. math::
        L = \frac{1}{M} \sum_i (x_i - t_i)^2, \qquad
        \frac{\partial L}{\partial x_i} = \frac{2}{M} (x_i - t_i)

    Called with predictions of any shape (N, ...) and a target of the same shape. Integer labels
    (N,) for predictions (N, C), C > 1, stand for their one-hot rows.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        See `Loss`.

    Examples
    --------
    >>> value, dy = MeanSquaredError()(np.array([[1.0, 4.0]]), np.array([[1.0, 2.0]]))
    >>> value, dy.tolist()
    (2.0, [[0.0, 2.0]])
    """

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        """Return (x - t)^2 and 2 (x - t)."""
        difference = prediction - target
        return np.square(difference), 2 * difference


class MeanAbsoluteError(Regression):
    r"""Mean of the absolute differences over all M elements of the prediction.

    .. math::
        L = \frac{1}{M} \sum_i |x_i - t_i|, \qquad
        \frac{\partial L}{\partial x_i} = \frac{1}{M} \operatorname{sign}(x_i - t_i)

    with gradient 0 where both are equal. Called with predictions of any shape (N, ...) and a
    target of the same shape. Integer labels (N,) for predictions (N, C), C > 1, stand for their
    one-hot rows.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        See `Loss`.

    Examples
    --------
    >>> value, dy = MeanAbsoluteError()(np.array([[1.0, 4.0]]), np.array([[1.0, 2.0]]))
    >>> value, dy.tolist()
    (1.0, [[0.0, 0.5]])
    """

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        """Return abs(x - t) and sign(x - t)."""
        difference = prediction - target
        return np.abs(difference), np.sign(difference)


class Huber(Regression):
    r"""Squared where the difference is small, linear where it is large: outliers count less.

    .. math::
        L = \frac{1}{M} \sum_i h(x_i - t_i), \qquad
        h(d) = d^2 / 2 \text{ for } |d| \le \delta, \text{ else } \delta (|d| - \delta / 2)

    Source: Huber, "Robust Estimation of a Location Parameter", 1964. Called as `MeanSquaredError`.

    Parameters
    ----------
    delta : float, default 1.0
        Above 0, else a ValueError or TypeError is raised.
    reduction : {"mean", "sum", "none"}, default "mean"
        See `Loss`.

    Examples
    --------
    >>> value, dy = Huber()(np.array([[0.5, 4.0]]), np.array([[0.0, 0.0]]))
    >>> value, dy.tolist()
    (1.8125, [[0.25, 0.5]])
    """

    def __init__(self, delta: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.delta = number("Huber", "delta", delta, "(0, inf)")

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        """Return h(x - t), and the difference, cut to [-delta, delta]."""
        difference = prediction - target
        cut = np.clip(difference, -self.delta, self.delta)
        return cut * (difference - cut / 2), cut
