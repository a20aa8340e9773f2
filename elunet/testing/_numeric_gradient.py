"""`numeric_gradient`: the gradient of a function, by central differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from elunet._checks import number
from elunet._progress import steps
from elunet._types import Array
from elunet.testing._compare.settings import POSITIVE
from elunet.testing._perturb.moves import real


def numeric_gradient(
    f: Callable[[Array], Any], x: npt.ArrayLike, eps: float = 1e-6
) -> npt.NDArray[np.float64]:
    """Gradient of a scalar function of an array by central differences.

    ``g[i] = (f(x + eps e_i) - f(x - eps e_i)) / (2 eps)``, in float64; about 1e-9 from the truth
    where f is smooth and of order 1.

    Parameters
    ----------
    f : callable
        ``f(x) -> number``.
    x : array_like
        Any shape. A writable float64 array is changed in place, one entry at a time, and restored,
        also if f raises; so f may read x itself (a layer's own weight, say) instead of its
        argument. Anything else is copied to float64 and stays unchanged.
    eps : float
        Half the distance between the two points.

    Returns
    -------
    ndarray of float64, shape of x

    Raises
    ------
    ValueError
        If eps is not positive or f's value is not one number.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.testing import numeric_gradient
    >>> x = np.array([1.0, -2.0])
    >>> numeric_gradient(lambda x: np.sum(x**2), x).round(6)
    array([ 2., -4.])
    """
    number("numeric_gradient", "eps", eps, POSITIVE)
    work = np.asarray(x)
    if work.dtype != np.float64 or not work.flags.writeable:
        work = real(x, "numeric_gradient: x")
    gradient = np.empty(work.shape)
    with steps(work.size, "value", "numeric_gradient") as advance:
        for index in np.ndindex(work.shape):
            old = float(work[index])
            high, low = old + eps, old - eps
            try:
                work[index] = high
                above = _number(f(work))
                work[index] = low
                below = _number(f(work))
            finally:
                work[index] = old
            gradient[index] = (above - below) / (high - low)
            advance()
    return gradient


def _number(value: Any) -> float:
    array = np.asarray(value)
    if array.size != 1:
        raise ValueError(
            f"numeric_gradient: expected f to return one number, got shape {array.shape}"
        )
    return float(array.reshape(()))
