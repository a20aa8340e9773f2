import itertools

import numpy as np
import pytest

from elunet.testing import GradientCheckError, check_functions

COUNT = itertools.count()


@pytest.fixture
def arrays():
    rng = np.random.default_rng(2)
    return rng.standard_normal((4, 3)), rng.standard_normal((3, 2)), rng.standard_normal(2)


def forward(x, w, b):
    return x @ w + b, (x, w)


def backward(dout, cache):
    x, w = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=0)


def test_three_gradients(arrays):
    before = [a.copy() for a in arrays]
    result = check_functions(forward, backward, *arrays)
    assert result.arrays == ["dx", "dw", "db"]
    assert result.name == "forward and backward"
    assert all(np.array_equal(a, b) for a, b in zip(arrays, before, strict=True))


def test_float32_arrays_are_cast(arrays):
    check_functions(forward, backward, *(a.astype(np.float32) for a in arrays))


def test_the_wrong_one_is_named(arrays):
    def averaged(dout, cache):
        dx, dw, db = backward(dout, cache)
        return dx, dw, db / len(dout)

    with pytest.raises(GradientCheckError, match="averaged over the batch of 4") as caught:
        check_functions(forward, averaged, *arrays)
    assert caught.value.array == "db"


def test_options_and_labels_are_passed_on_as_copies():
    def drop(x, options, labels, scale):
        options["calls"] = options.get("calls", 0) + 1
        assert options["calls"] == 1
        assert labels.dtype.kind == "i"
        mask = np.random.rand(*x.shape) > 0.5  # noqa: NPY002
        return x * mask * scale, mask * scale

    options = {}
    x = np.ones((3, 4))
    result = check_functions(drop, lambda d, m: d * m, x, options, np.arange(3), 2.0)
    assert result.arrays == ["dx"]
    assert options == {}
    check_functions(drop, lambda d, m: (d * m, None, None, None), x, options, np.arange(3), 2.0)


def test_numpy_scalars_are_arrays_too():
    result = check_functions(
        lambda x, s: (x * s, (x, s)),
        lambda d, c: (d * c[1], np.sum(d * c[0])),
        np.ones(3),
        np.float64(2.0),
    )
    assert result.arrays == ["dx", "ds"]


def test_a_builtin_or_star_arguments():
    result = check_functions(
        lambda *a: (a[0] * a[1], a), lambda d, a: (d * a[1], d * a[0]), np.ones(2), np.ones(2)
    )
    assert result.arrays == ["darg0", "darg1"]

    class Odd:
        __signature__ = 3

        def __call__(self, x):
            return x, None

    assert check_functions(Odd(), lambda d, c: d, np.ones(2)).arrays == ["darg0"]


@pytest.mark.parametrize(
    ("run", "back", "text"),
    [
        (lambda x: (x.__imul__(2), 0), lambda d, c: 2 * d, r"forward changed x\[0, 0\] in place"),
        (lambda x: (x * 2, x), lambda d, c: c.__imul__(2), r"backward changed x\[0, 0\] in place"),
        (lambda x: (x * 2, x), lambda d, c: d.__imul__(2), r"backward changed d\[0, 0\] in place"),
        (lambda x: (x.astype("f4"), 0), lambda d, c: d, "forward returned float32"),
        (lambda x: (x, 0), lambda d, c: (d, d), "returned 2 gradients, expected 1"),
        (lambda x: (x, 0), lambda d, c: None, "backward returned None for dx"),
        (lambda x: (x, 0), lambda d, c: d.T, r"dx has shape \(3, 2\), expected \(2, 3\)"),
        (
            lambda x: (x + next(COUNT), 0),
            lambda d, c: d,
            "forward is not deterministic",
        ),
    ],
)
def test_side_effects(run, back, text):
    with pytest.raises(GradientCheckError, match=text):
        check_functions(run, back, np.ones((2, 3)))


def test_wrong_calls():
    with pytest.raises(TypeError, match="expected an array of real numbers among"):
        check_functions(forward, backward, "x", None, True)
    with pytest.raises(TypeError, match=r"to return \(out, cache\), got ndarray"):
        check_functions(lambda x: x, lambda d, c: d, np.ones(2))


def test_a_loss_without_axes():
    result = check_functions(
        lambda x: (np.sum(x**2), x), lambda d, x: 2 * d * x, np.arange(1.0, 4.0)
    )
    assert result.arrays == ["dx"]
