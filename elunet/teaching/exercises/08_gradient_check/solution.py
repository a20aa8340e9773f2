"""Exercise 8: a gradient check, to run on a zoo of wrong layers."""

import numpy as np


def as_tuple(x):
    """Return x as a tuple of arrays."""
    return x if isinstance(x, tuple) else (x,)


def copy_of(x):
    """Return a copy of an array, or of a tuple of arrays."""
    return tuple(map(np.copy, x)) if isinstance(x, tuple) else x.copy()


def expect_equal(a, b, what):
    """Raise an AssertionError if two arrays differ by more than rounding."""
    if not np.allclose(a, b, rtol=1e-5, atol=1e-7):
        raise AssertionError(what)


def check(layer, x):
    """Raise an AssertionError if layer's gradients at x are wrong."""
    for name, value in layer.params.items():
        layer.params[name] = value.astype(np.float64)
    check_here(layer, x)
    # Again with other numbers: the layer may have kept something from before.
    x = tuple(0.9 * a for a in x) if isinstance(x, tuple) else 0.9 * x
    for value in layer.params.values():
        value *= 1.1
    check_here(layer, x)


def check_here(layer, x):
    """Compare all gradients at one x, and test for side effects."""
    state = None if layer.rng is None else layer.rng.bit_generator.state

    def forward(given):
        if state is not None:
            layer.rng.bit_generator.state = state
        return layer.forward(given, train=True)

    given = copy_of(x)
    y = forward(given)
    kept = y.copy()
    rng = np.random.default_rng(123)
    dy = rng.normal(size=y.shape)
    dy_given = dy.copy()
    dx = copy_of(layer.backward(dy_given))
    grads = {name: value.copy() for name, value in layer.grads.items()}
    for now, before in zip(as_tuple(given), as_tuple(x), strict=True):
        expect_equal(now, before, "x was written to")
    expect_equal(dy_given, dy, "dy was written to")
    expect_equal(y, kept, "y was written to")
    dy_given += 1
    for name, value in grads.items():
        expect_equal(layer.grads[name], value, f"the gradient of {name} is a view of dy")
    again = layer.backward(dy.copy())
    for one, other in zip(as_tuple(again), as_tuple(dx), strict=True):
        expect_equal(one, other, "dx differs the second time")
    for name, value in grads.items():
        expect_equal(layer.grads[name], value, f"the gradient of {name} differs the second time")

    def numeric(array, run):
        gradient = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            old = array[index]
            values = []
            for step in (1e-6, -1e-6):
                array[index] = old + step
                values.append(np.sum(dy * run()))
            array[index] = old
            gradient[index] = (values[0] - values[1]) / 2e-6
        return gradient

    work = copy_of(x)
    for array, one in zip(as_tuple(work), as_tuple(dx), strict=True):
        expect_equal(one, numeric(array, lambda: forward(copy_of(work))), "dx is wrong")
    for name, array in layer.params.items():
        expected = numeric(array, lambda: forward(copy_of(x)))
        expect_equal(grads[name], expected, f"the gradient of {name} is wrong")
    expect_equal(forward(copy_of(x)), kept, "the same x gives another y")


if __name__ == "__main__":
    from elunet.teaching import grade, mutants

    score = grade(check, zoo=[mutant for mutant in mutants.layers() if mutant.is_findable])
    print(score)
    for result in score.mutants:
        if result.name in score.missed:
            print(f"\n{result.name}, a wrong {result.of}: {result.explain()}")
