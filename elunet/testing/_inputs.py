"""Inputs at which a gradient check is reliable: no ties, and no value near a kink."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from elunet._types import Array, Shape


def spread(
    shape: Shape,
    rng: np.random.Generator,
    kinks: Sequence[float] = (0.0,),
    margin: float = 0.05,
    reach: float = 2.0,
) -> Array:
    """Return distinct values away from kinks, evenly spaced and shuffled.

    Parameters
    ----------
    shape : tuple of int
    rng : numpy.random.Generator
        For the shuffling.
    kinks : sequence of float
        Values to keep away from.
    margin : float
        The least distance from a kink.
    reach : float
        Values lie in [-reach, reach].

    Returns
    -------
    ndarray of float64

    Raises
    ------
    ValueError
        If the kinks leave no room.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.testing import spread
    >>> x = spread((3, 4), np.random.default_rng(0))
    >>> len(np.unique(x)), bool(np.abs(x).min() >= 0.05)
    (12, True)
    """
    free = [(-reach, reach)]
    for kink in kinks:
        low, high = kink - margin, kink + margin
        cut = [part for a, b in free for part in ((a, min(b, low)), (max(a, high), b))]
        free = [(a, b) for a, b in cut if a < b]
    if not free:
        raise ValueError(
            f"spread: expected kinks and margin to leave room in [-{reach:g}, {reach:g}], got "
            f"kinks={tuple(kinks)}, margin={margin:g}"
        )
    starts = np.array([a for a, _ in free])
    lengths = np.array([b - a for a, b in free])
    ends = np.cumsum(lengths)
    count = int(np.prod(shape))
    places = (np.arange(count) + 0.5) / count * ends[-1]
    part = np.searchsorted(ends, places)
    values = starts[part] + places - (ends - lengths)[part]
    return rng.permutation(values).reshape(shape)
