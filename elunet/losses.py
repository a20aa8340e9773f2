"""Losses: how wrong a prediction is, and which way it should move.

``value, dy = loss(prediction, target)`` gives the mean over the batch as a Python float, and its
gradient with respect to the prediction. For a network that ends in logits, ``dy`` is
e = dL/dlogits, the one signal from which every router starts.
The formulas run in float64 whatever the prediction's dtype: a loss is tiny work beside a network,
and a mean over many float32 numbers is not exact. A loss of one's own is one method, `formula`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

from elunet._types import Array
from elunet.kernels.activations import log_softmax
from elunet.kernels.losses import label_cross_entropy

__all__ = [
    "CrossEntropy",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "SoftmaxCrossEntropy",
    "one_hot",
]

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
INTEGER = np.dtype(np.int64)


def one_hot(labels: npt.ArrayLike, classes: int, owner: str = "one_hot") -> Array:
    """Return the float64 array (N, classes) with a 1 at each label, else 0.

    Parameters
    ----------
    labels : array of int, (N,)
    classes : int
    owner : str
        Whose name stands in an error message.

    Raises
    ------
    TypeError
        If the labels are not integers.
    ValueError
        If they have not exactly one axis, or one lies outside 0..classes-1 (its index and value
        are named).

    Examples
    --------
    >>> one_hot([2, 0], 3)
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise ValueError(f"{owner}: expected labels of shape (N,), got {labels.shape}")
    if labels.dtype.kind not in "iu":
        first = f" (target[0] = {labels[0]})" if labels.size else ""
        raise TypeError(f"{owner}: expected integer labels, got {labels.dtype}{first}")
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if outside.size:
        i = outside[0]
        raise ValueError(
            f"{owner}: expected labels in 0..{classes - 1}, got target[{i}] = {labels[i]}"
        )
    encoded = np.zeros((len(labels), classes))
    encoded[np.arange(len(labels)), labels] = 1.0
    return encoded


class Loss(ABC):
    """What all losses share: reading the arguments, and the dtypes.

    To write one, override `formula`, and `read_target` where the target is not simply an array
    of the prediction's shape.

    Examples
    --------
    >>> class Hinge(Loss):
    ...     # the mean of max(0, 1 - t x), for targets t of -1 or 1
    ...     def formula(self, prediction, target):
    ...         margin = 1 - target * prediction
    ...         return np.maximum(margin, 0).mean(), -target * (margin > 0) / margin.size
    ...
    ...     def read_target(self, target, shape):
    ...         return target.reshape(shape).astype(np.float64)
    >>> value, dy = Hinge()(np.array([[0.5], [2.0]]), [1, 1])
    >>> value, dy.tolist()
    (0.25, [[-0.5], [-0.0]])
    """

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __call__(self, prediction: npt.ArrayLike, target: npt.ArrayLike) -> tuple[float, Array]:
        """Return the loss and its gradient. Neither argument is written to.

        A prediction that holds NaN gives NaN, without a warning or an error: it is the training
        loop that must stop.

        Parameters
        ----------
        prediction : array of float32 or float64, (N, ...)
        target : array
            See the class.

        Returns
        -------
        value : float
        dy : array
            dvalue/dprediction: a new C-contiguous array of the prediction's shape and dtype.

        Raises
        ------
        TypeError
            If a dtype is wrong: of the prediction, or labels that are not integers.
        ValueError
            If the batch is empty, or the target does not fit the prediction.
        """
        prediction = np.asarray(prediction)
        if prediction.dtype not in FLOATS:
            raise TypeError(
                f"{self}: expected prediction of float32 or float64, got {prediction.dtype}"
            )
        if prediction.ndim == 0 or prediction.size == 0:
            raise ValueError(
                f"{self}: expected a prediction with at least one row, got shape {prediction.shape}"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            y = self.read_target(np.asarray(target), prediction.shape)
            value, dy = self.formula(prediction.astype(np.float64, order="C"), y)
            return float(value), dy.astype(prediction.dtype, copy=False)

    @abstractmethod
    def formula(self, prediction: Array, target: Array) -> tuple[float, Array]:
        """Return value and gradient; all arrays are float64 and of one shape."""

    @abstractmethod
    def read_target(self, target: Array, shape: tuple[int, ...]) -> Array:
        """Return the checked target as float64 of the prediction's shape."""


class _Classification(Loss):
    """A loss between distributions over classes."""

    def read_target(self, target: Array, shape: tuple[int, ...]) -> Array:
        """Return labels (N,) as one-hot, and distributions (N, C) as they are."""
        if len(shape) != 2:
            raise ValueError(f"{self}: expected prediction of shape (N, C), got {shape}")
        if target.ndim == 1 and len(target) == shape[0]:
            return one_hot(target, shape[1], owner=str(self))
        if target.shape != shape:
            raise ValueError(
                f"{self}: expected target of shape ({shape[0]},) (labels) or {shape} (one-hot), "
                f"got {target.shape}"
            )
        y = _real(target, self)
        # A row that is no distribution is a slip; NaN fails both comparisons.
        good = (y >= 0).all(axis=1) & (np.abs(y.sum(axis=1) - 1) < 1e-3)
        if not good.all():
            i = int(np.argmin(good))
            raise ValueError(
                f"{self}: expected one-hot rows (non-negative, with sum 1), "
                f"got target[{i}] = {target[i]}"
            )
        return y


class SoftmaxCrossEntropy(_Classification):
    r"""Cross entropy of softmax(logits): the loss for a network that ends in logits.

    .. math::
        p_{nc} = \frac{e^{z_{nc}}}{\sum_k e^{z_{nk}}}, \qquad
        L = -\frac{1}{N} \sum_{nc} y_{nc} \log p_{nc}, \qquad
        \frac{\partial L}{\partial z_{nc}} = \frac{1}{N} \Bigl(p_{nc} \sum_k y_{nk} - y_{nc}\Bigr)

    that is (p - y) / N. Each row's largest logit is subtracted first, so that no exponential
    overflows: logits of +-1e4 give a finite loss and gradient.

    Called with logits (N, C) and a target of integer labels (N,) in 0..C-1, or of one-hot or
    soft rows (N, C), non-negative with sum 1. A logit of -inf is a class ruled out.

    Examples
    --------
    >>> value, dy = SoftmaxCrossEntropy()(np.array([[0.0, 0.0]]), [1])
    >>> round(value, 4), dy
    (0.6931, array([[ 0.5, -0.5]]))
    """

    def __call__(self, prediction: npt.ArrayLike, target: npt.ArrayLike) -> tuple[float, Array]:
        """Return the loss and its gradient; see `Loss`.

        The usual case, logits with a label each, is one compiled pass over `formula`. All else, and
        all that is wrong, goes the way of the other losses.
        """
        z, labels = np.asarray(prediction), np.asarray(target)
        usual = z.ndim == 2 and z.size and z.dtype in FLOATS and labels.shape == z.shape[:1]
        if usual and labels.dtype.kind in "iu" and self._is_as_written():
            if not z.flags.carray:
                z = z.copy()
            if labels.dtype is not INTEGER or not labels.flags.carray:
                labels = labels.astype(INTEGER)
            dz = np.empty(z.shape, z.dtype)
            with np.errstate(over="ignore", invalid="ignore"):
                valid, value = label_cross_entropy(z, labels, dz)
            if valid:
                return float(value), dz
        return super().__call__(prediction, target)

    def _is_as_written(self) -> bool:
        """Return whether nobody has put another formula, or reading of targets, in its place."""
        kind = type(self)
        return (kind.formula, kind.read_target) == AS_WRITTEN and not vars(self)

    def formula(self, prediction: Array, target: Array) -> tuple[float, Array]:
        """Return -mean(sum y log p) and (p - y) / N."""
        log_p = np.empty(prediction.shape)
        log_softmax(np.ascontiguousarray(prediction), log_p)
        n = len(prediction)
        value = _cross_entropy(target, log_p)
        dy = (np.exp(log_p) * target.sum(axis=1, keepdims=True) - target) / n
        return value, dy


AS_WRITTEN = SoftmaxCrossEntropy.formula, SoftmaxCrossEntropy.read_target


class CrossEntropy(_Classification):
    r"""Cross entropy of probabilities: the loss after a Softmax layer.

    .. math::
        L = -\frac{1}{N} \sum_{nc} y_{nc} \log p_{nc}, \qquad
        \frac{\partial L}{\partial p_{nc}} = -\frac{y_{nc}}{N p_{nc}}

    A probability below 1.2e-38, float32's smallest normal number, counts as that, so that both
    stay finite. Prefer `SoftmaxCrossEntropy` on logits: it loses
    nothing where a probability rounds to 0, and there (p - y) / N comes out without a division.

    Called with probabilities (N, C) and a target of integer labels (N,) in 0..C-1, or of one-hot
    or soft rows (N, C), non-negative with sum 1. A probability outside [0, 1] by more than 1e-4
    is a ValueError: most often logits were given.

    Examples
    --------
    >>> value, dy = CrossEntropy()(np.array([[0.75, 0.25]]), [1])
    >>> round(value, 4), dy.tolist()
    (1.3863, [[-0.0, -4.0]])
    """

    def formula(self, prediction: Array, target: Array) -> tuple[float, Array]:
        """Return -mean(sum y log p) and -y / (N p)."""
        outside = np.argwhere((prediction < -1e-4) | (prediction > 1 + 1e-4))
        if outside.size:
            n, c = outside[0]
            raise ValueError(
                f"{self}: expected probabilities in [0, 1], got prediction[{n}, {c}] = "
                f"{prediction[n, c]} (for logits use SoftmaxCrossEntropy)"
            )
        p = np.maximum(prediction, np.finfo(np.float32).tiny)
        return _cross_entropy(target, np.log(p)), -target / (len(p) * p)


class _Regression(Loss):
    """A loss between arrays of one shape."""

    def read_target(self, target: Array, shape: tuple[int, ...]) -> Array:
        """Return an array of the same shape as it is, and labels (N,) for (N, C) as one-hot."""
        if target.shape == shape:
            return _real(target, self)
        # One column is no choice among classes: there (N,) is a forgotten axis, not labels.
        classes = shape[1] if len(shape) == 2 else 1
        if classes > 1 and target.shape == shape[:1] and target.dtype.kind in "iu":
            return one_hot(target, classes, owner=str(self))
        raise ValueError(f"{self}: expected target of shape {shape}, got {target.shape}")


class MeanSquaredError(_Regression):
    r"""Mean of the squared differences over all M elements of the prediction.

    .. math::
        L = \frac{1}{M} \sum_i (x_i - t_i)^2, \qquad
        \frac{\partial L}{\partial x_i} = \frac{2}{M} (x_i - t_i)

    Called with predictions of any shape (N, ...) and a target of the same shape. Integer labels
    (N,) for predictions (N, C), C > 1, stand for their one-hot rows.

    Examples
    --------
    >>> value, dy = MeanSquaredError()(np.array([[1.0, 4.0]]), np.array([[1.0, 2.0]]))
    >>> value, dy.tolist()
    (2.0, [[0.0, 2.0]])
    """

    def formula(self, prediction: Array, target: Array) -> tuple[float, Array]:
        """Return mean((x - t)^2) and 2 (x - t) / M."""
        difference = prediction - target
        return np.square(difference).mean(), 2 / difference.size * difference


class MeanAbsoluteError(_Regression):
    r"""Mean of the absolute differences over all M elements of the prediction.

    .. math::
        L = \frac{1}{M} \sum_i |x_i - t_i|, \qquad
        \frac{\partial L}{\partial x_i} = \frac{1}{M} \operatorname{sign}(x_i - t_i)

    with gradient 0 where both are equal. Called with predictions of any shape (N, ...) and a
    target of the same shape. Integer labels (N,) for predictions (N, C), C > 1, stand for their
    one-hot rows.

    Examples
    --------
    >>> value, dy = MeanAbsoluteError()(np.array([[1.0, 4.0]]), np.array([[1.0, 2.0]]))
    >>> value, dy.tolist()
    (1.0, [[0.0, 0.5]])
    """

    def formula(self, prediction: Array, target: Array) -> tuple[float, Array]:
        """Return mean(abs(x - t)) and sign(x - t) / M."""
        difference = prediction - target
        return np.abs(difference).mean(), np.sign(difference) / difference.size


def _cross_entropy(y: Array, log_p: Array) -> float:
    """Return -sum(y log p) / N, where 0 log 0 = 0."""
    log_p = np.where((y == 0) & (log_p == -np.inf), 0.0, log_p)
    return (0.0 - float(np.sum(y * log_p))) / len(y)  # 0.0 for a perfect prediction, not -0.0


def _real(target: Array, owner: Loss) -> Array:
    """Return the target as float64; a TypeError if it does not hold real numbers."""
    if target.dtype.kind not in "biuf":
        raise TypeError(f"{owner}: expected target of real numbers, got {target.dtype}")
    return target.astype(np.float64)
