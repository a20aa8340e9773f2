"""Each pattern that the checker can name, made by a bug of its kind."""

import numpy as np
import pytest

from elunet.testing import GradientCheckError, check_layer
from elunet.testing._diagnose import Evidence, Factor, explain, number_text, ratio


@pytest.fixture
def x():
    return np.random.default_rng(5).standard_normal((3, 6, 5, 2))


class Cube:
    def forward(self, x):
        self.x = x
        return x**3 + x

    def backward(self, dy):
        return dy * (3 * self.x**2 + 1)


def cause_of(layer, x, **options):
    with pytest.raises(GradientCheckError) as caught:
        check_layer(layer, x, **options)
    assert caught.value.cause in str(caught.value)
    return caught.value.cause


def buggy(change, base=Cube):
    class Slipped(base):
        def backward(self, dy):
            return change(super().backward(dy), self.x)

    return Slipped()


def where(x, condition, change):
    return lambda dx, _: np.where(condition, change(dx), dx)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda dx, x: -dx, "analytic = -1 x numeric everywhere: the sign is flipped"),
        (lambda dx, x: 0 * dx, "analytic is 0 everywhere: backward does not fill it"),
        (lambda dx, x: 2 * dx, "2 x numeric everywhere: a square's derivative, or a term added"),
        (lambda dx, x: 5 * dx, "analytic = 5 x numeric everywhere: a missing factor 1/5"),
        (lambda dx, x: dx / 5, "analytic = 1/5 x numeric everywhere: a factor 1/5 too many"),
        (lambda dx, x: -5 * dx, "the sign is flipped, and a missing factor 1/5"),
        (lambda dx, x: 3 * dx, "3 x numeric everywhere: multiplied by the batch size 3"),
        (lambda dx, x: dx / 3, "1/3 x numeric everywhere: averaged over the batch of 3 instead"),
        (lambda dx, x: 1.2345 * dx, "analytic = 1.234 x numeric everywhere"),
        (lambda dx, x: dx + 0.5, "analytic = numeric + 0.5 everywhere: a constant added"),
        (lambda dx, x: dx - 0.5, "analytic = numeric - 0.5 everywhere: a constant added"),
        (lambda dx, x: dx[:, ::-1], "the values are right but reversed along axis 1: a flipped"),
        (lambda dx, x: dx[:, ::-1, ::-1], "reversed along axis 1 and 2: a flipped kernel"),
        (
            lambda dx, x: np.where(x > 0, 2 * dx, dx),
            "wrong only where x > 0, there analytic = 2 x numeric: look at the derivative's "
            "positive branch",
        ),
        (
            lambda dx, x: np.where(x > 0, dx, 0.5 * dx),
            "wrong only where x <= 0, there analytic = 1/2 x numeric: look at the derivative's "
            "negative branch",
        ),
        (
            lambda dx, x: np.where(x > 0, 0, dx),
            "wrong only where x > 0, there analytic is 0: look at the derivative's positive",
        ),
        (
            lambda dx, x: np.where(x > 0, dx * (1 + x), dx),
            "wrong only where x > 0: look at the derivative's positive branch",
        ),
        (
            lambda dx, x: np.where(x > -1, dx, dx + 1),
            "wrong only where x <= -1, there analytic = numeric + 1: look at the derivative",
        ),
        (
            lambda dx, x: np.where(x > 0.6, 3.5 * dx, dx),
            "wrong only where x > 0.",
        ),
    ],
)
def test_pattern_of_factor_constant_or_branch(change, expected, x):
    cause = cause_of(buggy(change), x)
    assert expected in cause


def test_transposed():
    x = np.random.default_rng(5).standard_normal((4, 4))
    assert "axes 0 and 1 are transposed" in cause_of(buggy(lambda dx, x: dx.T.copy()), x)


def test_border(x):
    ring = np.ones(x.shape, bool)
    ring[:, 1:-1, 1:-1] = False
    assert cause_of(buggy(where(x, ring, lambda dx: dx * (1 + x))), x) == (
        "wrong only at the border (first of axis 1, last of axis 1, first of axis 2, last of axis "
        "2): look at padding and at windows that do not fit"
    )
    last = np.zeros(x.shape, bool)
    last[:, -1] = True
    assert "border (last of axis 1)" in cause_of(buggy(where(x, last, lambda dx: dx * x)), x)
    some = np.zeros(x.shape, bool)
    some[0, 0, 2], some[1, 2, -1] = True, True
    assert cause_of(buggy(where(x, some, lambda dx: dx * x)), x).startswith(
        "wrong only at the border: look at padding"
    )


def test_one_image_or_channel(x):
    first, second = np.zeros(x.shape, bool), np.zeros(x.shape, bool)
    first[0], second[..., 1] = True, True
    odd = lambda dx: dx * (1 + x)  # noqa: E731
    assert cause_of(buggy(where(x, first, odd)), x) == "wrong only at index 0 of axis 0"
    assert cause_of(buggy(where(x, ~first, odd)), x) == "right only at index 0 of axis 0"
    assert cause_of(buggy(where(x, second, odd)), x) == "wrong only at index 1 of axis 3"


def test_factor_or_constant_of_each_channel(x):
    per_channel = np.array([2.0, 3.0])
    assert "a different factor for each channel (axis 3)" in cause_of(
        buggy(lambda dx, x: dx * per_channel), x
    )
    assert "a different constant for each channel (axis 3)" in cause_of(
        buggy(lambda dx, x: dx + per_channel), x
    )
    per_row = np.array([2.0, 3.0, 4.0]).reshape(3, 1, 1, 1)
    assert "for each row (axis 0)" in cause_of(buggy(lambda dx, x: dx * per_row), x)


def test_a_factor_at_scattered_entries(x):
    some = np.random.default_rng(1).random(x.shape) < 0.3
    assert cause_of(buggy(where(x, some, lambda dx: 7 * dx)), x) == (
        "analytic = 7 x numeric at the wrong entries: a missing factor 1/7"
    )


def test_no_pattern(x):
    noise = np.random.default_rng(1).standard_normal(x.shape)
    assert cause_of(buggy(lambda dx, x: dx * noise), x) == ""


def test_the_output_does_not_depend(x):
    class Constant(Cube):
        def forward(self, x):
            self.x = x
            return np.ones(x.shape)

    assert "the output does not change with x" in cause_of(Constant(), x)


def test_a_copy_of_the_parameter_made_earlier():
    class Cached:
        def __init__(self):
            self.params, self.grads = {"W": np.ones((2, 2))}, {}
            self.cast = [[[self.params["W"].copy()]]]

        def forward(self, x):
            self.x = x
            return x @ self.cast[0][0][0]

        def backward(self, dy):
            self.grads["W"] = self.x.T @ dy
            return dy @ self.cast[0][0][0].T

    assert cause_of(Cached(), np.ones((3, 2))) == (
        "the output does not change with params['W']: forward reads another array (a copy made "
        "earlier?)"
    )


@pytest.mark.parametrize(
    ("backward", "expected"),
    [
        (lambda dy, x: 3 * x**2 + 1, "backward ignores dy: dx stays the same for any dy"),
        (lambda dy, x: dy * dy * (3 * x**2 + 1), "dy enters twice: a doubled dy gives four times"),
        (lambda dy, x: (dy + 0.1 * dy**3) * (3 * x**2 + 1), "backward is not linear in dy"),
    ],
)
def test_not_linear_in_dy(backward, expected, x):
    class Odd(Cube):
        def backward(self, dy):
            return backward(dy, self.x)

    assert expected in cause_of(Odd(), x)


def test_the_edge_of_the_domain():
    class Root:
        def forward(self, x):
            self.x = x
            with np.errstate(invalid="ignore"):
                return np.sqrt(x)

        def backward(self, dy):
            return dy * self.x

    assert "forward is not finite right next to x" in cause_of(Root(), np.array([0.0, 1.0]))


class Pool:
    """Mean over windows along the last axis."""

    def __init__(self, size):
        self.size = size

    def side(self):
        return self.size if isinstance(self.size, int) else self.size[1]

    def forward(self, x):
        return x.reshape(*x.shape[:-1], -1, self.side()).mean(axis=-1)

    def backward(self, dy):
        return np.repeat(dy, self.side(), axis=-1)


def test_mean_over_windows_without_its_factor():
    x = np.random.default_rng(0).standard_normal((2, 3, 6))
    assert cause_of(Pool((1, 3)), x) == (
        "analytic = 3 x numeric everywhere: a missing factor 1/3, the window's area: mean "
        "pooling's gradient is dy / (size * size)"
    )
    pool = Pool(3)
    pool.side = lambda: 3
    assert "there are 3 inputs to each output" in cause_of(pool, x)


class Bias:
    def __init__(self, reduce, width=2):
        self.params, self.grads = {"b": np.zeros(width)}, {}
        self.reduce = reduce

    def forward(self, x):
        return x + self.params["b"]

    def backward(self, dy):
        self.grads["b"] = self.reduce(dy)
        return dy


@pytest.mark.parametrize(
    ("reduce", "expected"),
    [
        (lambda dy: dy.mean(axis=0).sum(axis=(0, 1)), "averaged over the batch of 3 instead"),
        (
            lambda dy: dy.mean(axis=(1, 2)).sum(axis=0),
            "averaged over the 30 positions of an image instead of summed",
        ),
        (
            lambda dy: dy.mean(axis=(0, 1, 2)),
            "1/90 x numeric everywhere: averaged over the batch and its positions (3 x 30) "
            "instead of summed",
        ),
        (
            lambda dy: dy.sum(axis=(0, 1, 2)) * 30,
            "multiplied by the number of the 30 positions of an image",
        ),
    ],
)
def test_bias_gradient(reduce, expected, x):
    assert expected in cause_of(Bias(reduce), x)


def test_a_single_entry_is_explained_by_a_number_that_means_something():
    x = np.arange(1.0, 6.0).reshape(5, 1)
    average = Bias(lambda dy: dy.mean(axis=0), 1)
    assert "averaged over the batch of 5 instead of summed" in cause_of(average, x)
    assert cause_of(Bias(lambda dy: 0.77 * dy.sum(axis=0), 1), x) == ""


def test_a_vector_has_no_batch():
    x = np.arange(1.0, 4.0)

    class Scale(Bias):
        def __init__(self):
            self.W = np.ones(())

        def forward(self, x):
            self.x = x
            return self.W * x

        def backward(self, dy):
            self.dW = np.sum(dy * self.x) * 3
            return dy * self.W

    assert cause_of(Scale(), x) == ""


@pytest.mark.parametrize(
    ("number", "text"),
    [(2, "2"), (0.25, "1/4"), (1 / 300, "1/300"), (-1, "-1"), (-0.01, "-1/100"), (1.5, "3/2")],
)
def test_number_text(number, text):
    assert number_text(number) == text


def test_explain_by_itself():
    value = np.arange(1.0, 5.0)
    evidence = Evidence(
        "x",
        value,
        np.full(4, 4.5),
        np.arange(4),
        np.full(4, 1.5),
        np.full(4, True),
        [Factor(1, "never", "never"), Factor(3, "many", "few")],
    )
    assert explain(evidence) == "analytic = 3 x numeric everywhere: many"


def test_a_forgotten_mask(x):
    class Forgot:
        def forward(self, x):
            return np.maximum(x, 0)

        def backward(self, dy):
            return dy

    assert cause_of(Forgot(), x) == (
        "wrong only where x <= 0, there numeric is 0: look at the derivative's negative branch"
    )


def test_a_ratio_to_nothing():
    assert ratio(np.ones(2), np.zeros(2)) is None


def test_two_entries_above_some_number_are_no_branch():
    value = np.linspace(0.2, 0.8, 6)
    wrong = value > 0.6
    analytic = np.where(wrong, [2.0, 1, 1, 1, 3, 5], 1.0)
    evidence = Evidence("x", value, analytic, np.arange(6), np.ones(6), wrong)
    assert explain(evidence) == ""
