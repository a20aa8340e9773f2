"""Losses between distributions over classes, and of yes or no."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from elunet._checks import is_masked, number
from elunet._types import Array
from elunet.kernels.activations import log_softmax
from elunet.kernels.losses import label_cross_entropy
from elunet.losses.base import FLOATS, ONE_EACH, Loss, one_hot, real_target

INTEGER = np.dtype(np.int64)


class Classification(Loss):
    """A loss between distributions over classes."""

    def read_target(self, target: Array, shape: tuple[int, ...]) -> Array:
        """Return labels (N,) as one-hot, and distributions (N, C) as they are."""
        if len(shape) != 2:
            raise ValueError(f"{self}: expected prediction of shape (N, C), got {shape}")
        if target.ndim == 1 and len(target) == shape[0]:
            return one_hot(target, shape[1], owner=str(self))
        if target.shape != shape:
            column = target.shape == (shape[0], 1) and target.dtype.kind in "iu"
            raise ValueError(
                f"{self}: expected target of shape ({shape[0]},) (labels) or {shape} (one-hot), "
                f"got {target.shape}" + ("; labels have one axis: y[:, 0]" if column else "")
            )
        y = real_target(target, self)
        # A row that is no distribution is a bug; NaN fails both comparisons.
        good = (y >= 0).all(axis=1) & (np.abs(y.sum(axis=1) - 1) < 1e-3)
        if not good.all():
            i = int(np.argmin(good))
            raise ValueError(
                f"{self}: expected one-hot rows (non-negative, with sum 1), "
                f"got target[{i}] = {target[i]}{ONE_EACH if shape[1] == 1 else ''}"
            )
        return y


class SoftmaxCrossEntropy(Classification):
    r"""Cross entropy of softmax(logits): the loss for a network that ends in logits.

    .. math::
        p_{nc} = \frac{e^{z_{nc}}}{\sum_k e^{z_{nk}}}, \qquad
        L = -\frac{1}{N} \sum_{nc} y_{nc} \log p_{nc}, \qquad
        \frac{\partial L}{\partial z_{nc}} = \frac{1}{N} \Bigl(p_{nc} \sum_k y_{nk} - y_{nc}\Bigr)

    that is (p - y) / N. Each row's largest logit is subtracted first, so that no exponential
    overflows: logits of +-1e4 give a finite loss and gradient.

    Called with logits (N, C) and a target of integer labels (N,) in 0..C-1, or of one-hot or
    soft rows (N, C), non-negative with sum 1. A logit of -inf is a class ruled out.

    Parameters
    ----------
    label_smoothing : float, default 0.0
        In [0, 1): each target becomes (1 - s) y + s / C. Source: Szegedy et al., "Rethinking the
        Inception Architecture for Computer Vision", arXiv:1512.00567.
    class_weights : sequence of float, optional
        One for each class, not negative: each class's terms are multiplied by it, and the mean is
        over the sum of the rows' weights, as in PyTorch for labels (for targets that are rows of
        probabilities, PyTorch divides by the number of rows).
    ignore : int, optional
        A label whose rows count for nothing, such as -100.
    reduction : {"mean", "sum", "none"}, default "mean"
        See `Loss`.

    Raises
    ------
    TypeError, ValueError
        If a parameter is not as described.

    Examples
    --------
    >>> value, dy = SoftmaxCrossEntropy()(np.array([[0.0, 0.0]]), [1])
    >>> round(value, 4), dy
    (0.6931, array([[ 0.5, -0.5]]))
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
        ignore: int | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        name = type(self).__name__
        self.label_smoothing = number(name, "label_smoothing", label_smoothing, "[0, 1)")
        self.class_weights = None
        if class_weights is not None:
            self.class_weights = tuple(
                number(name, f"class_weights[{i}]", w, "[0, inf)")
                for i, w in enumerate(class_weights)
            )
        self.ignore = None if ignore is None else operator.index(ignore)

    def __call__(
        self,
        prediction: npt.ArrayLike,
        target: npt.ArrayLike,
        weights: npt.ArrayLike | None = None,
    ) -> tuple[float, Array]:
        """Return the loss and its gradient; see `Loss`.

        The usual case, logits with a label each, is one compiled pass. Everything else, also wrong
        input, is handled as in the other losses.
        """
        z, labels = np.asarray(prediction), np.asarray(target)
        masked = is_masked(prediction) or is_masked(target)
        usual = (
            not masked
            and z.ndim == 2
            and z.size
            and z.dtype in FLOATS
            and labels.shape == z.shape[:1]
            and weights is None
        )
        if usual and labels.dtype.kind in "iu" and self._is_as_written():
            if not z.flags.carray:
                z = z.copy()
            if labels.dtype is not INTEGER or not labels.flags.carray:
                labels = labels.astype(INTEGER)
            dz = np.empty(z.shape, z.dtype)
            valid, value = label_cross_entropy(z, labels, dz)
            if valid:
                return float(value), dz
        return super().__call__(prediction, target, weights)

    def _is_as_written(self) -> bool:
        """Return whether no method that has a compiled version was replaced."""
        kind = type(self)
        plain = not self.label_smoothing and self.class_weights is None and self.ignore is None
        return (
            plain
            and self.reduction == "mean"
            and (kind.terms, kind.formula, kind.read_target, kind.counts) == AS_WRITTEN
            and len(vars(self)) == 4
        )

    def read_target(self, target: Array, shape: tuple[int, ...]) -> Array:
        """Return distributions (N, C); the rows of ignored labels are 0."""
        if self.ignore is None or target.ndim != 1 or target.dtype.kind not in "iu":
            return super().read_target(target, shape)
        counted = target != self.ignore
        y = super().read_target(np.where(counted, target, 0), shape)
        return np.asarray(y * counted[:, None])

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        """Return -sum(y log p) of each row, and p - y."""
        log_p = np.empty(prediction.shape)
        log_softmax(np.ascontiguousarray(prediction), log_p)
        y = target
        if self.label_smoothing:
            rows = y.sum(axis=1, keepdims=True)  # 0 where a label is ignored
            y = (1 - self.label_smoothing) * y + self.label_smoothing / y.shape[1] * rows
        if self.class_weights is not None:
            y = y * self._weights_of(y.shape[1])
        return _cross_entropies(y, log_p), np.exp(log_p) * y.sum(axis=1, keepdims=True) - y

    def counts(self, target: Array) -> Array | None:
        """Return the weight of each row's class; 0 where the label is ignored."""
        if self.class_weights is not None:
            return np.asarray(target @ self._weights_of(target.shape[1]))
        return None if self.ignore is None else np.asarray(target.sum(axis=1))

    @property
    def uneven(self) -> bool:
        """Whether there are class weights, or labels that are ignored."""
        given = self.class_weights is not None or self.ignore is not None
        return given or type(self).counts is not SoftmaxCrossEntropy.counts

    def _weights_of(self, classes: int) -> Array:
        weights = np.array(self.class_weights)
        if len(weights) != classes:
            raise ValueError(
                f"{self}: expected class_weights for {classes} classes, got {len(weights)}"
            )
        return weights


AS_WRITTEN = (
    SoftmaxCrossEntropy.terms,
    SoftmaxCrossEntropy.formula,
    SoftmaxCrossEntropy.read_target,
    SoftmaxCrossEntropy.counts,
)


class CrossEntropy(Classification):
    r"""Cross entropy of probabilities: the loss after a Softmax layer.

    .. math::
        L = -\frac{1}{N} \sum_{nc} y_{nc} \log p_{nc}, \qquad
        \frac{\partial L}{\partial p_{nc}} = -\frac{y_{nc}}{N p_{nc}}

    A probability below 1.2e-38, float32's smallest normal number, counts as that, so that both
    stay finite. Prefer `SoftmaxCrossEntropy` on logits: it loses
    nothing where a probability rounds to 0, and there (p - y) / N comes out without a division.

    Called with probabilities (N, C) and a target of integer labels (N,) in 0..C-1, or of one-hot
    or soft rows (N, C), non-negative with sum 1. A probability outside [0, 1] by more than 1e-4,
    or a row whose sum is not 1 to 1e-3, is a ValueError: most often logits were given.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        See `Loss`.

    Examples
    --------
    >>> value, dy = CrossEntropy()(np.array([[0.75, 0.25]]), [1])
    >>> round(value, 4), dy.tolist()
    (1.3863, [[-0.0, -4.0]])
    """

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        """Return -sum(y log p) of each row, and -y / p."""
        outside = np.argwhere((prediction < -1e-4) | (prediction > 1 + 1e-4))
        if outside.size:
            n, c = outside[0]
            raise ValueError(
                f"{self}: expected probabilities in [0, 1], got prediction[{n}, {c}] = "
                f"{prediction[n, c]} (for logits use SoftmaxCrossEntropy)"
            )
        sums = prediction.sum(axis=1)
        (wrong,) = np.nonzero(np.abs(sums - 1) > 1e-3)
        if wrong.size:
            raise ValueError(
                f"{self}: expected rows of probabilities with sum 1, got prediction[{wrong[0]}]"
                f" with sum {sums[wrong[0]]:.6g} (for logits use SoftmaxCrossEntropy)"
            )
        p = np.maximum(prediction, np.finfo(np.float32).tiny)
        return _cross_entropies(target, np.log(p)), -target / p


class BinaryCrossEntropy(Loss):
    r"""Cross entropy of sigmoid(logits): for yes or no, and for several labels at once.

    .. math::
        L = \frac{1}{M} \sum_i \bigl(\max(x_i, 0) - x_i t_i + \log(1 + e^{-|x_i|})\bigr), \qquad
        \frac{\partial L}{\partial x_i} = \frac{1}{M} \Bigl(\frac{1}{1 + e^{-x_i}} - t_i\Bigr)

    over all M elements. It takes logits, not probabilities: no exponential overflows.

    Called with logits of any shape (N, ...) and a target of the same shape, of numbers in [0, 1];
    for logits (N, 1) a target (N,) is good, too.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        See `Loss`.

    Raises
    ------
    ValueError
        Besides those of `Loss`, if a target is outside of [0, 1].

    Examples
    --------
    >>> value, dy = BinaryCrossEntropy()(np.array([[0.0], [0.0]]), [0, 1])
    >>> round(value, 4), dy.tolist()
    (0.6931, [[0.25], [-0.25]])
    """

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        """Return max(x, 0) - x t + log(1 + e^-abs(x)) and s(x) - t."""
        small = np.exp(-np.abs(prediction))
        terms = np.maximum(prediction, 0) - prediction * target + np.log1p(small)
        s = np.where(prediction >= 0, 1, small) / (1 + small)
        return terms, s - target

    def read_target(self, target: Array, shape: tuple[int, ...]) -> Array:
        """Return numbers in [0, 1] of the prediction's shape."""
        if target.shape == shape[:1] and shape[1:] == (1,):
            target = target[:, None]
        if target.shape != shape:
            raise ValueError(f"{self}: expected target of shape {shape}, got {target.shape}")
        t = real_target(target, self)
        outside = np.argwhere(~((t >= 0) & (t <= 1)))
        if outside.size:
            place = tuple(map(int, outside[0]))
            raise ValueError(
                f"{self}: expected targets in [0, 1], got target{list(place)} = {target[place]}"
            )
        return t


class Hinge(Classification):
    r"""Multi-class hinge loss, of a linear support vector machine, on scores.

    .. math::
        L = \frac{1}{N} \sum_n \sum_{c \neq y_n} \max(0, z_{nc} - z_{n y_n} + m)

    with margin m. Source: Weston, Watkins, "Support Vector Machines for Multi-Class Pattern
    Recognition", ESANN 1999.

    Called with scores (N, C) and integer labels (N,) in 0..C-1, or their one-hot rows (N, C).

    Parameters
    ----------
    margin : float, default 1.0
        Above 0, else a ValueError or TypeError is raised.
    reduction : {"mean", "sum", "none"}, default "mean"
        See `Loss`.

    Examples
    --------
    >>> value, dy = Hinge()(np.array([[2.0, 1.5, -3.0]]), [0])
    >>> value, dy.tolist()
    (0.5, [[-1.0, 1.0, 0.0]])
    """

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = number("Hinge", "margin", margin, "(0, inf)")

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        """Return each row's sum of max(0, z_c - z_y + m), and its gradient."""
        right = (prediction * target).sum(axis=1, keepdims=True)
        gaps = np.where(target == 1, 0.0, prediction - right + self.margin)
        over = np.where(np.isnan(gaps), np.nan, gaps > 0)
        dy = over - target * over.sum(axis=1, keepdims=True)
        return np.maximum(gaps, 0).sum(axis=1), dy

    def read_target(self, target: Array, shape: tuple[int, ...]) -> Array:
        """Return one-hot rows; soft ones have no right class."""
        y = super().read_target(target, shape)
        if np.any((y != 0) & (y != 1)):
            raise ValueError(f"{self}: expected labels or one-hot rows, got soft rows")
        return y


class KullbackLeibler(Classification):
    r"""Kullback-Leibler divergence of the target's distribution from log-probabilities.

    .. math::
        L = \frac{1}{N} \sum_{nc} t_{nc} (\log t_{nc} - x_{nc}), \qquad
        \frac{\partial L}{\partial x_{nc}} = -\frac{t_{nc}}{N}

    with 0 log 0 = 0. It is 0 where both distributions are the same. Source: Kullback, Leibler, "On
    Information and Sufficiency", 1951.

    Called with log-probabilities (N, C), such as `LogSoftmax` gives, and rows (N, C) that are not
    negative and have sum 1.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        See `Loss`.

    Examples
    --------
    >>> value, dy = KullbackLeibler()(np.log([[0.5, 0.5]]), [[1.0, 0.0]])
    >>> round(value, 4), dy.tolist()
    (0.6931, [[-1.0, -0.0]])
    """

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        """Return each row's sum of t (log t - x), and -t."""
        log_t = np.log(np.where(target > 0, target, 1.0))
        terms = np.sum(target * log_t, axis=1) + _cross_entropies(target, prediction)
        return terms, np.where(np.isnan(prediction), np.nan, -target)


def _cross_entropies(y: Array, log_p: Array) -> Array:
    """Return -sum(y log p) of each row, where 0 log 0 = 0."""
    log_p = np.where((y == 0) & (log_p == -np.inf), 0.0, log_p)
    return np.asarray(0.0 - np.sum(y * log_p, axis=1))  # 0.0 for a perfect prediction, not -0.0
