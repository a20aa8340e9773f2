"""Compare the gradients of a plain function, and collect the causes that are named."""

import numpy as np

from elunet.testing import GradientCheckError
from elunet.testing._compare.differences import compare_gradient, compare_gradients
from elunet.testing._compare.probe import Target
from elunet.testing._compare.settings import Settings


def draw(seed=0, **shapes):
    """Return arrays of these shapes."""
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def causes(forward, backward, values, numbers=None, factors=(), settings=None, seed=1):
    """Return the cause for each gradient that is wrong.

    forward(**values) -> y; backward(dy, y, **values) -> {name: gradient}. The first value counts
    as the input. Gradients of the wrong shape raise on their own, so each is compared alone then.
    """
    settings = settings or Settings()
    y = np.asarray(forward(**values))
    dy = np.ones(()) if y.ndim == 0 else np.random.default_rng(seed).standard_normal(y.shape)
    gradients = backward(dy, y, **values)
    targets = [
        Target(
            f"d{name}",
            name,
            value,
            np.asarray(gradients[name], np.float64),
            lambda v, name=name: np.array(forward(**{**values, name: v})),
            factors,
            is_input=name == next(iter(values)),
            numbers=numbers or {},
        )
        for name, value in values.items()
    ]
    found = {}
    try:
        rows = compare_gradients("it", targets, dy, settings)
        return {row.array: row.cause for row in rows if not row.ok}
    except GradientCheckError as error:
        found[error.array] = error.cause
        for target in targets:
            if target.array == error.array or target.analytic.shape != target.value.shape:
                continue
            row = compare_gradient("it", target, dy, settings)
            if not row.ok:
                found[row.array] = row.cause
    return found
