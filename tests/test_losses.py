from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elunet.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    Hinge,
    Huber,
    KullbackLeibler,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    SoftmaxCrossEntropy,
    one_hot,
)

CLASSIFICATION = [SoftmaxCrossEntropy(), CrossEntropy()]
REGRESSION = [MeanSquaredError(), MeanAbsoluteError(), Huber()]
OTHERS = [
    BinaryCrossEntropy(),
    Hinge(),
    Hinge(0.3),
    KullbackLeibler(),
    Huber(0.5),
    SoftmaxCrossEntropy(label_smoothing=0.2),
]
ALL = CLASSIFICATION + REGRESSION + OTHERS
SEEDS = st.integers(0, 2**32 - 1)


def example(loss, rng, n=4, c=3, dtype=np.float64):
    """Return a prediction and a matching target away from kinks and edges."""
    x = rng.normal(size=(n, c))
    if isinstance(loss, SoftmaxCrossEntropy):
        target = rng.integers(0, c, n)
    elif isinstance(loss, BinaryCrossEntropy):
        target = rng.uniform(size=(n, c))
    elif isinstance(loss, Hinge):
        x = rng.permutation(n * c).reshape(n, c) * 0.37  # no two differ by the margin
        target = rng.integers(0, c, n)
    elif isinstance(loss, KullbackLeibler):
        x, target = np.log(rng.dirichlet(np.ones(c), n)), rng.dirichlet(np.ones(c), n)
    elif isinstance(loss, CrossEntropy):
        x, target = rng.uniform(0.1, 0.9, (n, c)), rng.integers(0, c, n)
        x /= x.sum(axis=1, keepdims=True)
    else:
        target = x + rng.choice([-1, 1], (n, c)) * rng.uniform(0.1, 2, (n, c))
    return x.astype(dtype), target


def numeric_gradient(f, x, eps=1e-6):
    """Return df/dx by central differences."""
    gradient = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = eps
        gradient[i] = (f(x + step) - f(x - step)) / (2 * eps)
    return gradient


@pytest.mark.parametrize("loss", ALL, ids=repr)
@given(seed=SEEDS, n=st.integers(1, 5), c=st.integers(2, 6))
def test_gradient(loss, seed, n, c):
    x, target = example(loss, np.random.default_rng(seed), n, c)
    _, dy = loss(x, target)
    numeric = numeric_gradient(lambda z: loss(z, target)[0], x)
    np.testing.assert_allclose(dy, numeric, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("loss", CLASSIFICATION, ids=repr)
@given(seed=SEEDS)
def test_gradient_with_soft_targets(loss, seed):
    rng = np.random.default_rng(seed)
    x, _ = example(loss, rng)
    target = rng.dirichlet(np.ones(3), 4)
    _, dy = loss(x, target)
    numeric = numeric_gradient(lambda z: loss(z, target)[0], x)
    np.testing.assert_allclose(dy, numeric, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("loss", ALL, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_agrees_with_torch(loss, dtype):
    torch = pytest.importorskip("torch")
    x, target = example(loss, np.random.default_rng(0), 50, 10, dtype)
    z, t = torch.tensor(x, requires_grad=True), torch.tensor(target)
    functional = torch.nn.functional
    reference = {
        "CrossEntropy": lambda p, t: functional.nll_loss(p.log(), t),
        "MeanSquaredError": lambda p, t: functional.mse_loss(p, t.to(p)),
        "MeanAbsoluteError": lambda p, t: functional.l1_loss(p, t.to(p)),
        "Huber": lambda p, t: functional.huber_loss(p, t.to(p), delta=loss.delta),
        "BinaryCrossEntropy": lambda p, t: functional.binary_cross_entropy_with_logits(p, t.to(p)),
        "Hinge": lambda p, t: functional.multi_margin_loss(p, t, margin=loss.margin) * p.shape[1],
        "KullbackLeibler": lambda p, t: functional.kl_div(p, t.to(p), reduction="batchmean"),
    }
    reference["SoftmaxCrossEntropy"] = lambda p, t: functional.cross_entropy(
        p, t, label_smoothing=loss.label_smoothing
    )
    reference = reference[type(loss).__name__](z, t)
    reference.backward()
    value, dy = loss(x, target)
    rtol = 1e-5 if dtype == np.float32 else 1e-12
    assert value == pytest.approx(reference.item(), rel=rtol)
    np.testing.assert_allclose(dy, z.grad.numpy(), rtol=rtol, atol=1e-8 if rtol > 1e-6 else 1e-15)


@pytest.mark.parametrize("loss", ALL, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_types_of_results(loss, dtype):
    x, target = example(loss, np.random.default_rng(0), dtype=dtype)
    value, dy = loss(x, target)
    assert type(value) is float
    assert dy.dtype == dtype
    assert dy.shape == x.shape
    assert dy.flags.c_contiguous
    assert not np.shares_memory(dy, x)


@pytest.mark.parametrize("loss", ALL, ids=repr)
def test_any_strides_and_read_only(loss):
    x, target = example(loss, np.random.default_rng(0), dtype=np.float32)
    value, dy = loss(x, target)
    wide = np.repeat(x, 2, axis=1)
    for same in (np.asfortranarray(x), wide[:, ::2], x[::-1].copy()[::-1], x.tolist()):
        if isinstance(same, np.ndarray):
            same.flags.writeable = False
        frozen = target.copy()
        frozen.flags.writeable = False
        other, other_dy = loss(same, frozen)
        assert other == value
        np.testing.assert_allclose(other_dy, dy, rtol=1e-6)
        assert other_dy.flags.c_contiguous
        np.testing.assert_array_equal(frozen, target)


@pytest.mark.parametrize(
    "loss", [one for one in ALL if not isinstance(one, BinaryCrossEntropy)], ids=repr
)
def test_integer_labels_are_one_hot(loss):
    x, _ = example(loss, np.random.default_rng(0))
    labels = np.array([0, 2, 1, 2])
    value, dy = loss(x, labels)
    rows = one_hot(labels, 3)
    for target in (
        rows,
        rows.astype(int),
        rows.astype(bool),
        labels.astype(np.uint8),
        [0, 2, 1, 2],
    ):
        other, other_dy = loss(x, target)
        assert other == pytest.approx(value, rel=1e-14)
        np.testing.assert_allclose(other_dy, dy, rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize("loss", ALL, ids=repr)
def test_mean_over_the_batch(loss):
    x, target = example(loss, np.random.default_rng(0))
    value, dy = loss(x, target)
    twice, twice_dy = loss(np.tile(x, (2, 1)), np.concatenate([target, target]))
    assert twice == pytest.approx(value)
    np.testing.assert_allclose(twice_dy[:4], dy / 2)


def test_softmax_cross_entropy_is_cross_entropy_of_softmax():
    rng = np.random.default_rng(0)
    z, labels = rng.normal(size=(5, 4)), rng.integers(0, 4, 5)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    value, dy = SoftmaxCrossEntropy()(z, labels)
    assert value == pytest.approx(CrossEntropy()(p, labels)[0])
    np.testing.assert_allclose(dy, (p - one_hot(labels, 4)) / 5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_logits(dtype):
    z = np.array([[1e4, -1e4, 0], [1e4, -1e4, 0], [-1e4, -1e4, -1e4]], dtype)
    value, dy = SoftmaxCrossEntropy()(z, [1, 0, 2])
    assert value == pytest.approx((2e4 + 0 + np.log(3)) / 3)
    np.testing.assert_allclose(dy * 3, [[1, -1, 0], [0, 0, 0], [1 / 3, 1 / 3, -2 / 3]], rtol=1e-6)


def test_a_perfect_prediction_costs_nothing():
    for value in (
        SoftmaxCrossEntropy()(np.array([[1e4, 0.0]]), [0])[0],
        CrossEntropy()(np.array([[1.0, 0.0]]), [0])[0],
    ):
        assert str(value) == "0.0"  # not -0.0


def test_logit_of_minus_infinity_rules_a_class_out():
    value, dy = SoftmaxCrossEntropy()(np.array([[0.0, -np.inf, 0.0]]), [0])
    assert value == pytest.approx(np.log(2))
    np.testing.assert_allclose(dy, [[-0.5, 0, 0.5]])
    assert SoftmaxCrossEntropy()(np.array([[0.0, -np.inf]]), [1])[0] == np.inf


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probability_of_zero(dtype):
    value, dy = CrossEntropy()(np.array([[0.0, 1.0], [0.0, 1.0]], dtype), [0, 1])
    assert value == pytest.approx(-np.log(np.finfo(np.float32).tiny) / 2)
    assert np.isfinite(dy).all()
    np.testing.assert_array_equal(dy[1], [0, -0.5])


@pytest.mark.parametrize("loss", ALL, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_gives_nan_without_warning(loss, dtype):
    x, target = example(loss, np.random.default_rng(0), dtype=dtype)
    x[1, 1] = np.nan
    value, dy = loss(x, target)
    assert np.isnan(value)
    assert np.isnan(dy[1, 1])


def test_values_by_hand():
    x, t = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 0.0], [0.0, 5.0]])
    value, dy = MeanSquaredError()(x, t)
    assert value == (0 + 4 + 9 + 1) / 4
    np.testing.assert_array_equal(dy, [[0, 1], [1.5, -0.5]])
    value, dy = MeanAbsoluteError()(x, t)
    assert value == (0 + 2 + 3 + 1) / 4
    np.testing.assert_array_equal(dy, [[0, 0.25], [0.25, -0.25]])


@pytest.mark.parametrize("loss", REGRESSION, ids=repr)
def test_regression_takes_any_shape(loss):
    for shape in [(3,), (3, 1), (2, 4, 4, 3)]:
        value, dy = loss(np.ones(shape, np.float32), np.zeros(shape, int))
        assert value == (0.5 if isinstance(loss, Huber) else 1.0)
        assert dy.shape == shape


def test_one_hot():
    np.testing.assert_array_equal(one_hot([2, 0], 3), [[0, 0, 1], [1, 0, 0]])
    with pytest.raises(ValueError, match=r"one_hot: expected labels of shape \(N,\), got \(1, 1\)"):
        one_hot([[1]], 3)
    with pytest.raises(TypeError, match=r"integer labels, got float64; a loss for numbers is"):
        one_hot([], 3)


def test_a_loss_of_ones_own():
    class Sum(Loss):
        def read_target(self, target, shape):
            return target

        def formula(self, prediction, target):
            return prediction.sum(), np.ones_like(prediction)

    value, dy = Sum()(np.ones((2, 3), np.float32), None)
    assert value == 6.0
    assert dy.dtype == np.float32
    assert repr(Sum()) == "Sum()"


X = np.full((4, 10), 0.1)


@pytest.mark.parametrize("loss", CLASSIFICATION, ids=repr)
@pytest.mark.parametrize(
    ("x", "target", "error", "message"),
    [
        (X, [1, 2, 3, 10], ValueError, r"labels in 0..9, got target\[3\] = 10; labels begin at 0"),
        (X, [1, -1, 3, 10], ValueError, r"expected labels in 0..9, got target\[1\] = -1"),
        (X, [1.0, 2, 3, 4], TypeError, r"integer labels, got float64 \(target\[0\] = 1.0\)"),
        (X, [True] * 4, TypeError, "integer labels, got bool"),
        (X, [1, 2, 3], ValueError, r"target of shape \(4,\) .* or \(4, 10\) .*, got \(3,\)"),
        (X, [[1], [2], [3], [4]], ValueError, r"got \(4, 1\)"),
        (X, X * 2, ValueError, r"expected one-hot rows .* got target\[0\] = \[0.2"),
        (X, X * np.nan, ValueError, r"expected one-hot rows .* got target\[0\] = \[nan"),
        (X, X.astype(complex), TypeError, "real numbers, got complex128"),
        (X[:0], [], ValueError, r"at least one row, got shape \(0, 10\)"),
        (X[:, :0], [0] * 4, ValueError, r"at least one row, got shape \(4, 0\)"),
        (X[0], [1], ValueError, r"prediction of shape \(N, C\), got \(10,\)"),
        (X.astype(np.float16), [1] * 4, TypeError, "float32 or float64, got float16"),
        (X.astype(np.int64), [1] * 4, TypeError, "float32 or float64, got int64"),
        (X.astype(object), [1] * 4, TypeError, "float32 or float64, got object"),
    ],
)
def test_classification_errors(loss, x, target, error, message):
    with pytest.raises(error, match=type(loss).__name__ + r"\(\): .*" + message):
        loss(x, target)


def test_negative_soft_target():
    with pytest.raises(ValueError, match=r"target\[1\] = \[-1.  2.\]"):
        SoftmaxCrossEntropy()(np.zeros((2, 2)), [[0.0, 1.0], [-1.0, 2.0]])


def test_logits_given_as_probabilities():
    with pytest.raises(ValueError, match=r"got prediction\[1, 0\] = -2.0 .*SoftmaxCrossEntropy"):
        CrossEntropy()(np.array([[0.0, 1.0], [-2.0, 3.0]]), [0, 1])


@pytest.mark.parametrize("loss", REGRESSION, ids=repr)
@pytest.mark.parametrize(
    ("x", "target", "error", "message"),
    [
        (X, X[:3], ValueError, r"target of shape \(4, 10\), got \(3, 10\)"),
        (X, [0.5] * 4, ValueError, r"target of shape \(4, 10\), got \(4,\)"),
        (X, [1, 2, 3, 10], ValueError, r"expected labels in 0..9, got target\[3\] = 10"),
        (X[:, :1], [0] * 4, ValueError, r"target of shape \(4, 1\), got \(4,\)"),
        (X, X.astype(str), TypeError, "real numbers, got <U"),
        (X[:0], X[:0], ValueError, "at least one row"),
        (np.float64(1), 1.0, ValueError, r"at least one row, got shape \(\)"),
    ],
)
def test_regression_errors(loss, x, target, error, message):
    with pytest.raises(error, match=type(loss).__name__ + r"\(\): .*" + message):
        loss(x, target)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(seed=SEEDS, n=st.integers(1, 5), c=st.integers(1, 20))
def test_labels_and_their_rows_give_the_same(dtype, seed, n, c):
    rng = np.random.default_rng(seed)
    z, labels = (10 * rng.normal(size=(n, c))).astype(dtype), rng.integers(0, c, n)
    value, dy = SoftmaxCrossEntropy()(z, labels)
    other, other_dy = SoftmaxCrossEntropy()(z, one_hot(labels, c))
    assert value == pytest.approx(other, rel=1e-13, abs=1e-15)
    tolerance = 1e-7 if dtype is np.float32 else 1e-14
    np.testing.assert_allclose(dy, other_dy, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["i1", "u1", ">i4", "i8", ">i8", "u8"])
def test_labels_of_any_integer_dtype(dtype):
    z = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    value, dy = SoftmaxCrossEntropy()(z, np.array([0, 2, 1, 2]))
    labels = np.repeat(np.array([0, 2, 1, 2], dtype), 2)[::2]
    other, other_dy = SoftmaxCrossEntropy()(z, labels)
    assert other == value
    np.testing.assert_array_equal(other_dy, dy)
    if dtype == "u8":
        with pytest.raises(ValueError, match=r"target\[0\] = 18446744073709551615"):
            SoftmaxCrossEntropy()(z, labels - np.uint64(1))


def test_a_formula_or_a_reading_of_ones_own_is_used():
    class Summed(SoftmaxCrossEntropy):
        def formula(self, prediction, target):
            value, dy = super().formula(prediction, target)
            return value * len(prediction), dy * len(prediction)

    class FromOne(SoftmaxCrossEntropy):
        def read_target(self, target, shape):
            return super().read_target(target - 1, shape)

    class Mine(SoftmaxCrossEntropy):
        pass

    replaced = SoftmaxCrossEntropy()
    replaced.formula = Summed().formula
    z, labels = np.random.default_rng(0).normal(size=(4, 3)), np.array([0, 2, 1, 2])
    value, dy = SoftmaxCrossEntropy()(z, labels)
    for loss, factor in ((Summed(), 4), (replaced, 4), (FromOne(), 1), (Mine(), 1)):
        other, other_dy = loss(z, labels + 1 if isinstance(loss, FromOne) else labels)
        assert other == pytest.approx(factor * value)
        np.testing.assert_allclose(other_dy, factor * dy)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 0.0, 1.0]])
@pytest.mark.parametrize("ignore", [None, -100])
def test_softmax_options_agree_with_torch(smoothing, weights, ignore):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=(9, 4)), rng.integers(0, 4, 9)
    if ignore is not None:
        labels[[2, 5]] = ignore
    loss = SoftmaxCrossEntropy(smoothing, weights, ignore)
    value, dy = loss(logits, labels)
    z = torch.tensor(logits, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(
        z,
        torch.tensor(labels),
        None if weights is None else torch.tensor(weights, dtype=torch.float64),
        label_smoothing=smoothing,
        **({} if ignore is None else {"ignore_index": ignore}),
    )
    expected.backward()
    assert value == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(dy, z.grad.numpy(), rtol=1e-11, atol=1e-15)
    if ignore is not None:
        assert not dy[[2, 5]].any()


def test_a_batch_in_which_all_is_ignored_counts_for_nothing():
    value, dy = SoftmaxCrossEntropy(0.1, ignore=-1)(np.ones((9, 3)), [-1] * 9)
    assert value == 0.0
    assert not dy.any()


def test_binary_targets():
    loss = BinaryCrossEntropy()
    x = np.array([[1e4], [-1e4], [0.0]])
    value, dy = loss(x, [1, 0, 1])  # (N,) for (N, 1)
    assert value == pytest.approx(np.log(2) / 3)
    np.testing.assert_allclose(dy, [[0], [0], [-1 / 6]])
    assert loss(x, np.array([True, False, True]))[0] == value
    with pytest.raises(ValueError, match=r"targets in \[0, 1\], got target\[1, 0\] = 2"):
        loss(x, [0, 2, 1])
    with pytest.raises(ValueError, match=r"expected target of shape \(3, 1\), got \(2,\)"):
        loss(x, [0, 1])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Huber(0), r"Huber: expected delta in \(0, inf\), got 0"),
        (lambda: Hinge(-1), r"Hinge: expected margin in \(0, inf\), got -1"),
        (lambda: SoftmaxCrossEntropy(1.0), r"label_smoothing in \[0, 1\), got 1"),
        (lambda: SoftmaxCrossEntropy(0, [1, -1]), r"class_weights\[1\] in \[0, inf\), got -1"),
        (
            lambda: SoftmaxCrossEntropy(0, [1, 1])(np.ones((2, 3)), [0, 1]),
            "expected class_weights for 3 classes, got 2",
        ),
        (lambda: Hinge()(np.ones((1, 2)), [[0.5, 0.5]]), "one-hot rows, got soft rows"),
    ],
)
def test_what_new_losses_refuse(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_reprs_of_losses():
    assert repr(SoftmaxCrossEntropy()) == "SoftmaxCrossEntropy()"
    assert repr(SoftmaxCrossEntropy(0.1, ignore=-100)) == (
        "SoftmaxCrossEntropy(label_smoothing=0.1, ignore=-100)"
    )
    assert repr(Huber(0.5)) == "Huber(delta=0.5)"
    assert repr(Hinge()) == "Hinge()"


def case(loss, n=6, seed=0):
    """Return a prediction and a target for a loss."""
    rng = np.random.default_rng(seed)
    z, labels = rng.normal(size=(n, 4)), rng.integers(0, 4, n)
    if isinstance(loss, CrossEntropy):
        e = np.exp(z)
        return e / e.sum(axis=1, keepdims=True), labels
    if isinstance(loss, KullbackLeibler):
        return z, rng.dirichlet(np.ones(4), n)
    if isinstance(loss, BinaryCrossEntropy):
        return z, rng.random((n, 4))
    if isinstance(loss, SoftmaxCrossEntropy | Hinge):
        return z, labels
    return z, rng.normal(size=(n, 4))


REDUCED = [
    SoftmaxCrossEntropy,
    lambda **more: SoftmaxCrossEntropy(0.1, [0.5, 2.0, 0.0, 1.0], ignore=2, **more),
    CrossEntropy,
    BinaryCrossEntropy,
    Hinge,
    KullbackLeibler,
    MeanSquaredError,
    MeanAbsoluteError,
    lambda **more: Huber(0.5, **more),
]


@pytest.mark.parametrize("make", REDUCED)
def test_reductions(make):
    x, t = case(make())
    mean, dy = make()(x, t)
    total, dy_total = make(reduction="sum")(x, t)
    terms, dy_terms = make(reduction="none")(x, t)
    assert terms.shape in [(len(x),), x.shape]
    assert type(mean) is type(total) is float
    assert total == pytest.approx(terms.sum(), rel=1e-12)
    np.testing.assert_array_equal(dy_total, dy_terms)
    np.testing.assert_allclose(dy * (total / mean), dy_total, rtol=1e-12, atol=1e-15)
    for n in range(len(x)):  # an example's terms are its own
        alone, _ = make(reduction="none")(x[n : n + 1], t[n : n + 1])
        np.testing.assert_allclose(alone[0], terms[n], rtol=1e-12)


@pytest.mark.parametrize("make", REDUCED)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_weight_of_two_is_an_example_that_is_there_twice(make, reduction):
    loss = make(reduction=reduction)
    x, t = case(loss)
    weights = np.array([1, 2, 0, 1, 3, 1])
    value, dy = loss(x, t, weights)
    again = np.repeat(np.arange(6), weights)
    expected, dy_each = loss(x[again], t[again])
    assert value == pytest.approx(expected, rel=1e-12)
    summed = np.zeros_like(x)
    np.add.at(summed, again, dy_each)
    np.testing.assert_allclose(dy, summed, rtol=1e-11, atol=1e-15)
    assert loss(x, t, np.ones(6))[0] == pytest.approx(loss(x, t)[0], rel=1e-12)
    value, dy = loss(x, t, np.zeros(6))
    assert value == 0.0
    assert not dy.any()


@pytest.mark.parametrize("make", REDUCED)
def test_the_gradient_of_a_weighted_mean(make):
    loss = make()
    x, t = case(loss)
    weights = np.random.default_rng(1).random(6)
    _, dy = loss(x, t, weights)
    numeric = numeric_gradient(lambda z: make()(z, t, weights)[0], x)
    np.testing.assert_allclose(dy, numeric, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_reductions_agree_with_torch(reduction):
    torch = pytest.importorskip("torch")
    nn = torch.nn
    weights = [0.5, 2.0, 0.0, 1.0]
    pairs = [
        (SoftmaxCrossEntropy(reduction=reduction), nn.CrossEntropyLoss(reduction=reduction)),
        (
            SoftmaxCrossEntropy(0.1, weights, 2, reduction),
            nn.CrossEntropyLoss(
                torch.tensor(weights).double(), None, 2, None, reduction, label_smoothing=0.1
            ),
        ),
        (BinaryCrossEntropy(reduction), nn.BCEWithLogitsLoss(reduction=reduction)),
        (MeanSquaredError(reduction), nn.MSELoss(reduction=reduction)),
        (MeanAbsoluteError(reduction), nn.L1Loss(reduction=reduction)),
        (Huber(0.5, reduction), nn.HuberLoss(reduction, 0.5)),
    ]
    for ours, theirs in pairs:
        x, t = case(ours)
        z = torch.tensor(x, requires_grad=True)
        expected = theirs(z, torch.tensor(t))
        expected.sum().backward()
        value, dy = ours(x, t)
        np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-11)
        np.testing.assert_allclose(dy, z.grad.numpy(), rtol=1e-10, atol=1e-14)


def test_weights_that_do_not_fit():
    loss, x = MeanSquaredError(), np.ones((2, 1))
    for weights, error, text in (
        (
            np.ones(3),
            ValueError,
            r"expected weights of shape \(2,\), in \[0, inf\), got shape \(3,\)",
        ),
        ([1, -1], ValueError, r"in \[0, inf\), got -1 to 1"),
        ([1, np.nan], ValueError, "got nan to nan"),
        (["a", "b"], TypeError, "expected weights of real numbers"),
    ):
        with pytest.raises(error, match=text):
            loss(x, x, weights)

    class Formula(Huber):
        def formula(self, prediction, target):
            return super().formula(prediction, target)

    with pytest.raises(
        TypeError, match="Formula.*: expected no weights, because this loss defines formula"
    ):
        Formula()(x, x, [1, 1])
    with pytest.raises(ValueError, match="MeanSquaredError: expected reduction to be one of"):
        MeanSquaredError("median")

    class Empty(Huber):
        terms = Loss.terms

    with pytest.raises(TypeError, match="Empty: expected terms or formula to be overridden"):
        Empty()(x, x)


def test_rows_that_are_no_probabilities():
    with pytest.raises(ValueError, match=r"sum 1, got prediction\[1\] with sum 0.7"):
        CrossEntropy()([[0.5, 0.5], [0.3, 0.4]], [0, 1])
