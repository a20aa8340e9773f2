"""What all losses share: reading the arguments, the dtypes, means and sums, one-hot rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from elunet._checks import choice, plain
from elunet._quiet import quiet
from elunet._reprs import as_made
from elunet._types import Array

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


ONE_EACH = "; each class has an output of its own, so two classes need two"


def one_hot(labels: npt.ArrayLike, classes: int, owner: str = "one_hot") -> Array:
    """Return the float64 array (N, classes) with a 1 at each label, else 0.

    Parameters
    ----------
    labels : array of int, (N,)
    classes : int
    owner : str
        The name at the start of an error message.

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
        hint = {
            "f": "; a loss for numbers is MeanSquaredError",
            "U": "; np.unique(labels, return_inverse=True) numbers them",
        }.get(labels.dtype.kind, "")
        raise TypeError(f"{owner}: expected integer labels, got {labels.dtype}{first}{hint}")
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if outside.size:
        i, hint = outside[0], ""
        if classes == 1:
            hint = ONE_EACH
        elif labels[i] == classes and labels.min() == 1:
            hint = "; labels begin at 0"
        raise ValueError(
            f"{owner}: expected labels in 0..{classes - 1}, got target[{i}] = {labels[i]}{hint}"
        )
    encoded = np.zeros((len(labels), classes))
    encoded[np.arange(len(labels)), labels] = 1.0
    return encoded


class Loss(ABC):
    """What all losses share: reading the arguments, the dtypes, means and sums.

    To write one, override `terms`, and `read_target` where the target is not simply an array of the
    prediction's shape. A loss that is not a mean of terms overrides `formula` instead.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        What becomes of the terms: their mean, their sum, or nothing. With "none", value is the
        array of the terms, and dy the gradient of their sum.

    Raises
    ------
    ValueError
        If it is another.

    Examples
    --------
    >>> class Hinge(Loss):
    ...     # max(0, 1 - t x), for targets t of -1 or 1
    ...     def terms(self, prediction, target):
    ...         margin = 1 - target * prediction
    ...         return np.maximum(margin, 0), -target * (margin > 0)
    ...
    ...     def read_target(self, target, shape):
    ...         return target.reshape(shape).astype(np.float64)
    >>> value, dy = Hinge()(np.array([[0.5], [2.0]]), [1, 1])
    >>> value, dy.tolist()
    (0.25, [[-0.5], [-0.0]])
    """

    reduction = "mean"

    def __init__(self, reduction: str = "mean") -> None:
        choice(type(self).__name__, "reduction", reduction, ("mean", "sum", "none"))
        self.reduction = reduction

    def __repr__(self) -> str:
        """Return the call that made it, without default arguments."""
        return as_made(self)

    def __call__(
        self,
        prediction: npt.ArrayLike,
        target: npt.ArrayLike,
        weights: npt.ArrayLike | None = None,
    ) -> tuple[float, Array]:
        """Return the loss and its gradient. No argument is written to.

        A prediction that holds NaN gives NaN, without a warning or an error: it is the training
        loop that must stop.

        Parameters
        ----------
        prediction : array of float32 or float64, (N, ...)
        target : array
            See the class.
        weights : array of float, (N,), optional
            Weights of the examples, at least 0. The mean is then weighted: a weight of 2 is an
            example that is there twice. If all are 0, so are value and gradient.

        Returns
        -------
        value : float
            With the reduction "none" an array of float64, as `terms` gives it.
        dy : array
            dvalue/dprediction: a new C-contiguous array of the prediction's shape and dtype.

        Raises
        ------
        TypeError
            If a dtype is wrong: of the prediction, or labels that are not integers.
        ValueError
            If the batch is empty, or target or weights do not fit the prediction.
        """
        prediction = plain(str(self), "prediction", prediction)
        if prediction.dtype not in FLOATS:
            raise TypeError(
                f"{self}: expected prediction of float32 or float64, got {prediction.dtype}"
            )
        if prediction.ndim == 0 or prediction.size == 0:
            raise ValueError(
                f"{self}: expected a prediction with at least one row, got shape {prediction.shape}"
            )
        read = None if weights is None else self._read_weights(weights, len(prediction))
        return self._computed(prediction, plain(str(self), "target", target), read)

    @quiet
    def _computed(
        self, prediction: Array, target: Array, weights: Array | None
    ) -> tuple[Any, Array]:
        y = self.read_target(target, prediction.shape)
        x = prediction.astype(np.float64, order="C")
        if type(self).formula is not Loss.formula or "formula" in vars(self):
            if weights is not None:
                raise TypeError(
                    f"{self}: expected no weights, because this loss defines formula and not terms"
                )
            value, dy = self.formula(x, y)
        else:
            value, dy = self._reduced(x, y, weights)
        value = value if isinstance(value, np.ndarray) and value.ndim else float(value)
        return value, dy.astype(prediction.dtype, copy=False)

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        """Return what the loss is the mean of, and the gradient of the sum of that.

        Parameters
        ----------
        prediction, target : arrays of float64, (N, ...), of one shape
            The target as `read_target` gives it.

        Returns
        -------
        terms : array, (N,) or (N, ...)
            One number for each example, or for each element.
        gradient : array, (N, ...)
            Of the prediction's shape; an example's part depends on its own terms only.
        """
        raise TypeError(f"{type(self).__name__}: expected terms or formula to be overridden")

    def formula(self, prediction: Array, target: Array) -> tuple[float, Array]:
        """Return value and gradient, as `reduction` says; all arrays are float64."""
        return self._reduced(prediction, target, None)

    def counts(self, target: Array) -> Array | None:
        """Return the weight of each example in the mean, (N,); None, as here, if all count 1."""
        return None

    @property
    def uneven(self) -> bool:
        """Whether `counts` may give examples different counts."""
        return type(self).counts is not Loss.counts

    def examples(
        self, prediction: Array, target: npt.ArrayLike, weights: npt.ArrayLike | None = None
    ) -> float:
        """Return the number of examples in a batch's mean, with their weights.

        The mean over several batches weights each batch's value with it. Arguments are as for a
        call that has been made; N for another reduction than "mean", and for a `formula`.
        """
        own = type(self).formula is not Loss.formula or "formula" in vars(self)
        if own or self.reduction != "mean" or (weights is None and not self.uneven):
            return float(len(prediction))
        counts = np.ones(len(prediction)) if weights is None else np.asarray(weights, np.float64)
        if self.uneven:
            y = self.read_target(plain(str(self), "target", target), prediction.shape)
            its = self.counts(y)
            counts = counts if its is None else counts * its
        return float(counts.sum())

    @abstractmethod
    def read_target(self, target: Array, shape: tuple[int, ...]) -> Array:
        """Return the checked target as float64 of the prediction's shape."""

    def _reduced(self, x: Array, y: Array, weights: Array | None) -> tuple[Any, Array]:
        terms, gradient = self.terms(x, y)
        counts = self.counts(y)
        if weights is not None:
            terms = terms * weights.reshape(-1, *[1] * (terms.ndim - 1))
            gradient = gradient * weights.reshape(-1, *[1] * (gradient.ndim - 1))
            counts = weights if counts is None else counts * weights
        if self.reduction == "none":
            return terms, gradient
        if self.reduction == "sum":
            return terms.sum(), gradient
        total = float(terms.size)
        if counts is not None:
            total = max(float(counts.sum()) * (terms.size // len(terms)), np.finfo(float).tiny)
        return terms.sum() / total, gradient / total

    def _read_weights(self, weights: npt.ArrayLike, n: int) -> Array:
        w = plain(str(self), "weights", weights)
        if w.dtype.kind not in "biuf":
            raise TypeError(f"{self}: expected weights of real numbers, got {w.dtype}")
        if w.shape != (n,) or not np.all((w >= 0) & (w < np.inf)):
            got = f"shape {w.shape}" if w.shape != (n,) else f"{w.min()} to {w.max()}"
            raise ValueError(f"{self}: expected weights of shape ({n},), in [0, inf), got {got}")
        return w.astype(np.float64)


def real_target(target: Array, owner: Loss) -> Array:
    """Return the target as float64; a TypeError if it does not hold real numbers."""
    if target.dtype.kind not in "biuf":
        raise TypeError(f"{owner}: expected target of real numbers, got {target.dtype}")
    return target.astype(np.float64)
