"""What all losses share: reading the arguments, the dtypes, one-hot rows."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

from elunet._checks import plain
from elunet._quiet import quiet
from elunet._types import Array

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


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
        prediction = plain(str(self), "prediction", prediction)
        if prediction.dtype not in FLOATS:
            raise TypeError(
                f"{self}: expected prediction of float32 or float64, got {prediction.dtype}"
            )
        if prediction.ndim == 0 or prediction.size == 0:
            raise ValueError(
                f"{self}: expected a prediction with at least one row, got shape {prediction.shape}"
            )
        return self._computed(prediction, plain(str(self), "target", target))

    @quiet
    def _computed(self, prediction: Array, target: Array) -> tuple[float, Array]:
        y = self.read_target(target, prediction.shape)
        value, dy = self.formula(prediction.astype(np.float64, order="C"), y)
        return float(value), dy.astype(prediction.dtype, copy=False)

    @abstractmethod
    def formula(self, prediction: Array, target: Array) -> tuple[float, Array]:
        """Return value and gradient; all arrays are float64 and of one shape."""

    @abstractmethod
    def read_target(self, target: Array, shape: tuple[int, ...]) -> Array:
        """Return the checked target as float64 of the prediction's shape."""


def real_target(target: Array, owner: Loss) -> Array:
    """Return the target as float64; a TypeError if it does not hold real numbers."""
    if target.dtype.kind not in "biuf":
        raise TypeError(f"{owner}: expected target of real numbers, got {target.dtype}")
    return target.astype(np.float64)
