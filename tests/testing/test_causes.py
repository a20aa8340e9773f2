"""Bugs of every kind that a cause is known for, in small functions, and the sentence for each."""

from functools import partial

import numpy as np
import pytest
from causes import causes, draw

from elunet.testing._diagnose import Factor, batch_factor


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# --- penalties -----------------------------------------------------------------------------------

REG = 0.1


def penalized(x, W, b):
    return np.array(np.sum((x @ W + b) ** 2) / 2 + REG * np.sum(W**2) + REG * np.sum(b**2))


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (
            0,
            "analytic = numeric - 0.2 x W: the term 2 x reg x W, an L2 penalty's gradient, is miss",
        ),
        (1, "analytic = numeric - 0.1 x W: the gradient of reg x sum(W**2) is 2 x reg x W: the 2"),
        (
            -2,
            "analytic = numeric - 0.4 x W: the term 2 x reg x W, an L2 penalty's gradient, has it",
        ),
        (3, "analytic = numeric + 0.1 x W: reg x W is added once too often"),
    ],
)
def test_an_l2_penalty(times, expected):
    def backward(dy, y, x, W, b):
        d = dy * (x @ W + b)
        return {
            "x": d @ W.T,
            "W": x.T @ d + times * REG * W,
            "b": d.sum(axis=0) + 2 * REG * b,
        }

    values = draw(x=(4, 3), W=(3, 5), b=(5,))
    found = causes(penalized, backward, values, numbers={"reg": REG})
    assert found.keys() == {"dW"}
    assert found["dW"].startswith(expected)
    unnamed = causes(penalized, backward, values)["dW"]
    assert unnamed.startswith(expected.partition(":")[0])
    assert "L2 penalty" in unnamed


def test_a_penalty_on_b_without_its_gradient():
    def backward(dy, y, x, W, b):
        d = dy * (x @ W + b)
        return {"x": d @ W.T, "W": x.T @ d + 2 * REG * W, "b": d.sum(axis=0)}

    found = causes(penalized, backward, draw(x=(4, 3), W=(3, 5), b=(5,)))
    assert found == {
        "db": "analytic = numeric - 0.2 x b: the gradient of an L2 penalty is missing, or lacks "
        "its factor 2, or its sign is flipped"
    }


def test_weight_decay_in_backward():
    def backward(dy, y, x, W, b):
        return {"x": dy @ W.T, "W": x.T @ dy + 0.03 * W, "b": dy.sum(axis=0) + 0.5 * np.sign(b)}

    found = causes(lambda x, W, b: x @ W + b, backward, draw(x=(4, 3), W=(3, 5), b=(5,)))
    assert found["dW"] == (
        "analytic = numeric + 0.03 x W: weight decay is added in backward, with no penalty in "
        "forward (if the layer is to add it, pass l2=0.03)"
    )
    assert found["db"].startswith("analytic = numeric + 0.5 x sign(b): the gradient of an L1")


# --- sums over axes ------------------------------------------------------------------------------


def bias(reduce, shape=(4, 3), width=3):
    def backward(dy, y, x, b):
        return {"x": dy, "b": reduce(dy)}

    return causes(lambda x, b: x + b, backward, draw(x=shape, b=(width,)))


@pytest.mark.parametrize(
    ("reduce", "shape", "expected"),
    [
        (lambda dy: dy, (4, 3), "not summed over axis 0 (of length 4), the batch"),
        (lambda dy: dy, (2, 4, 3), "not summed over axes 0 and 1 (of length 2 x 4)"),
        (
            lambda dy: dy.sum(axis=0),
            (2, 4, 3),
            "dy is summed over axis 0 only: it has to be summed over axis 1 (of length 4) as well",
        ),
        (
            lambda dy: dy.sum(axis=1),
            (2, 4, 3),
            "dy is summed over axis 1 only: it has to be summed over axis 0 (of length 2) as well",
        ),
        (lambda dy: dy.sum(axis=1), (4, 3), "dy is summed over axis 1, expected its sum over ax"),
        (
            lambda dy: dy.sum(),
            (4, 3),
            "dy is summed over axes 0 and 1, expected its sum over axis 0",
        ),
        (lambda dy: dy.mean(axis=1), (4, 3), "dy is averaged over axis 1, expected its sum over "),
        (lambda dy: dy.sum(axis=0, keepdims=True), (4, 3), "a missing reshape to b's shape"),
        (
            lambda dy: dy.sum(axis=1),
            (3, 3),
            "analytic is dy summed over axis 1, expected its sum o",
        ),
        (lambda dy: dy.sum(axis=(1, 2)), (3, 2, 3), "analytic is dy summed over axes 1 and 2, exp"),
        (
            lambda dy: dy.mean(axis=(0, 2)),
            (2, 3, 3),
            "analytic is dy averaged over axes 0 and 2, e",
        ),
        (lambda dy: dy[-1], (4, 3), "only the last index of axis 0 of dy counts: overwritten in"),
        (lambda dy: dy[0], (4, 3), "only the first index of axis 0 of dy counts: does the loop"),
        (lambda dy: dy[:-1].sum(axis=0), (4, 3), "the last index of axis 0 of dy does not count"),
    ],
)
def test_sums_of_dy(reduce, shape, expected):
    found = bias(reduce, shape)
    assert found.keys() == {"db"}
    assert found["db"].startswith(expected)


# --- factors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("k", "batch", "expected"),
    [
        (1 / 2, 2, "; or averaged over the batch of 2 instead of summed"),
        (1 / 2, 2, "(to tell which, check again with a batch of 3, all lengths different)"),
        (
            2 / 5,
            5,
            "2/5 x numeric everywhere: averaged over the batch of 5 instead of summed (the ",
        ),
        (2 / 5, 5, ", and doubled"),
        (
            1 / 9,
            3,
            "averaged over the batch of 3 instead of summed (the mean over the batch is in d",
        ),
        (4 / 3, 4, "4/3 x numeric everywhere: an n - 1 for n = 4, as in an unbiased variance"),
        (3**0.5, 4, "analytic = sqrt(3) x numeric everywhere: a missing factor 1/sqrt(3)"),
        (7**-0.5, 4, "analytic = 1/sqrt(7) x numeric everywhere: a factor 1/sqrt(7) too many"),
        (
            1 / 2,
            4,
            "1/2 x numeric everywhere: a factor 1/2 too many, or the 2 of a square's deriva",
        ),
    ],
)
def test_what_a_factor_means(k, batch, expected):
    def backward(dy, y, x):
        return {"x": k * dy * 3 * x**2}

    values = draw(x=(batch, 6))
    found = causes(lambda x: x**3, backward, values, factors=[batch_factor(batch)])
    assert expected in found["dx"]


def test_a_number_with_too_many_meanings_has_none():
    def backward(dy, y, x):
        return {"x": dy * 6 * x**2}

    factors = [Factor(2, f"many {i}", f"few {i}") for i in range(3)]
    found = causes(lambda x: x**3, backward, draw(x=(2, 6)), factors=factors)
    assert found == {"dx": "analytic = 2 x numeric everywhere"}


def test_gamma_is_missing_or_counted_twice():
    values = draw(x=(4, 3), gamma=(3,))

    def forward(x, gamma):
        return gamma * np.tanh(x)

    def backward(dy, y, x, gamma, power):
        slope = 1 - np.tanh(x) ** 2
        return {"x": dy * slope * gamma**power, "gamma": np.sum(dy * np.tanh(x), axis=0)}

    expected = "analytic = numeric / gamma: the factor gamma is missing"
    assert causes(forward, partial(backward, power=0), values) == {"dx": expected}
    expected = "analytic = numeric x gamma: the factor gamma enters once too often"
    assert causes(forward, partial(backward, power=2), values) == {"dx": expected}


# --- swapped -------------------------------------------------------------------------------------


def attention(q, k):
    return q @ k.T


def test_two_gradients_are_swapped():
    def backward(dy, y, q, k):
        return {"q": dy.T @ q, "k": dy @ k}

    found = causes(attention, backward, draw(q=(4, 3), k=(4, 3)))
    assert found == {
        "dq": "dq and dk are swapped: each holds the other's values",
        "dk": "dk and dq are swapped: each holds the other's values",
    }


def test_swapped_gradients_of_other_shapes():
    def backward(dy, y, x, W, b):
        return {"x": dy @ W.T, "W": dy.sum(axis=0), "b": x.T @ dy}

    found = causes(lambda x, W, b: x @ W + b, backward, draw(x=(4, 3), W=(3, 2), b=(2,)))
    assert found["dW"] == "dW and db are swapped: db holds what dW should"


def test_the_equal_gradients_of_a_sum_are_not_swapped():
    def backward(dy, y, a, b):
        return {"a": dy**2, "b": dy}

    found = causes(lambda a, b: a + b, backward, draw(a=(4, 3), b=(4, 3)))
    assert found == {"da": "dy enters twice: a doubled dy gives four times the gradient"}


def test_the_factor_1_over_the_root_of_d():
    def backward(dy, y, q, k):
        return {"q": dy @ k, "k": dy.T @ q / np.sqrt(3)}

    found = causes(lambda q, k: q @ k.T / np.sqrt(3), backward, draw(q=(4, 3), k=(5, 3)))
    assert found == {"dq": "analytic = sqrt(3) x numeric everywhere: a missing factor 1/sqrt(3)"}


# --- slopes --------------------------------------------------------------------------------------


SIGMOID = [
    (lambda dy, y, x: dy, "analytic is dy unchanged: the layer's derivative is missing"),
    (lambda dy, y, x: dy * sigmoid(y) * (1 - sigmoid(y)), "the slope is taken at the output y"),
    (lambda dy, y, x: dy * y, "the output y is used as the slope"),
    (lambda dy, y, x: y, "analytic is y, the output itself"),
    (lambda dy, y, x: dy * (1 - y), "analytic = numeric / y: the factor y is missing"),
    (lambda dy, y, x: dy * (y * (1 - y)) ** 2, "the slope enters twice"),
    (lambda dy, y, x: y * (1 - y), "backward ignores dy: dx stays the same for any dy"),
    (lambda dy, y, x: dy + y * (1 - y), "dy and the slope are added, they belong multiplied"),
    (lambda dy, y, x: dy**2 * y * (1 - y), "dy enters twice: a doubled dy gives four times"),
    (lambda dy, y, x: dy * x * (1 - x), "the sigmoid's slope is made of x in place of the output"),
    (lambda dy, y, x: dy * (1 - dy), "dy is missing, and the sigmoid's slope is made of dy in pl"),
    (lambda dy, y, x: dy * sigmoid(dy) * (1 - sigmoid(dy)), "the slope is taken at dy, it belongs"),
    (lambda dy, y, x: sigmoid(dy) * (1 - sigmoid(dy)), "the slope is taken at dy, it belongs at t"),
    (lambda dy, y, x: dy * (1 - y**2), "a sigmoid's slope is y (1 - y), here it is 1 - y**2, a t"),
]


@pytest.mark.parametrize(("gradient", "expected"), SIGMOID)
def test_the_slope_of_a_sigmoid(gradient, expected):
    def backward(dy, y, x):
        return {"x": gradient(dy, y, x)}

    assert causes(sigmoid, backward, draw(x=(4, 3)))["dx"].startswith(expected)


DENSE = [
    (lambda dy, y: dy, "the slope 1 - y**2 of the tanh at the output is missing"),
    (lambda dy, y: dy * (1 - np.tanh(y) ** 2), "the tanh's slope is taken at the output y, where"),
    (lambda dy, y: dy * y, "the output y is used as the tanh's slope, which is 1 - y**2"),
    (lambda dy, y: dy * (1 - y**2) ** 2, "the slope 1 - y**2 of the tanh at the output enters tw"),
    (lambda dy, y: 1 - y**2, "backward ignores dy"),
    (lambda dy, y: dy * (1 - dy**2), "the tanh's slope is made of dy in place of the output y"),
    (lambda dy, y: dy.mean(axis=0) * (1 - y**2), "dy is averaged over axis 0 before it is used"),
]


@pytest.mark.parametrize(("signal", "expected"), DENSE)
def test_the_slope_at_the_end_of_a_dense_layer(signal, expected):
    def backward(dy, y, x, W, b):
        da = signal(dy, y)
        return {"x": da @ W.T, "W": x.T @ da, "b": da.sum(axis=0)}

    found = causes(lambda x, W, b: np.tanh(x @ W + b), backward, draw(x=(4, 3), W=(3, 2), b=(2,)))
    assert found.keys() == {"dx", "dW", "db"}
    assert found["dW"].startswith(expected)
    assert found["dx"].startswith(expected)


def test_db_before_the_slope_is_applied():
    def backward(dy, y, x, W, b):
        da = dy * (1 - y**2)
        return {"x": da @ W.T, "W": x.T @ da, "b": dy.sum(axis=0)}

    found = causes(lambda x, W, b: np.tanh(x @ W + b), backward, draw(x=(4, 3), W=(3, 2), b=(2,)))
    assert found == {
        "db": "analytic is dy summed over axis 0: the other factors of the derivative are missing"
    }


SOFTMAX = [
    (lambda dy, y, x: dy * y * (1 - y), "only the diagonal of the Jacobian is used (of a softmax"),
    (lambda dy, y, x: dy * y, "the term of softmax's Jacobian that mixes the entries is missing"),
    (
        lambda dy, y, x: x * (dy - np.sum(x * dy, axis=-1, keepdims=True)),
        "softmax's Jacobian is made of the input x, it belongs to the output",
    ),
    (
        lambda dy, y, x: dy * (dy - np.sum(dy * dy, axis=-1, keepdims=True)),
        "softmax's Jacobian is made of dy, it belongs to the output",
    ),
    (
        lambda dy, y, x: softmax(dy) * (dy - np.sum(softmax(dy) * dy, axis=-1, keepdims=True)),
        "the Jacobian is taken at dy, it belongs at the input x",
    ),
    (
        lambda dy, y, x: np.stack(
            [d[-1] * v * (np.eye(5)[-1] - v[-1]) for d, v in zip(dy, x, strict=True)]
        ),
        "softmax's Jacobian is made of the input x, it belongs to the output; and only its last c",
    ),
]


@pytest.mark.parametrize(("gradient", "expected"), SOFTMAX)
def test_the_jacobian_of_a_softmax(gradient, expected):
    def backward(dy, y, x):
        return {"x": gradient(dy, y, x)}

    assert causes(softmax, backward, draw(x=(4, 5)))["dx"].startswith(expected)


def test_the_last_column_of_a_jacobian_that_is_overwritten():
    def backward(dy, y, x):
        gradient = np.zeros(5)
        for i in range(5):
            for j in range(5):
                gradient[i] = y[i] * ((i == j) - x[j])
        return {"x": gradient * dy}

    found = causes(softmax, backward, draw(x=(5,)))
    assert found["dx"].endswith("only its last column counts: overwritten in the loop (= for +=)?")


MATRICES = [
    (
        lambda dy, y, x, W: {"W": x.T * dy},
        "dW",
        "dy and x are multiplied elementwise, expected the",
    ),
    (
        lambda dy, y, x, W: {"W": x.T * dy / 4},
        "dW",
        "dy and x are multiplied elementwise, expected",
    ),
    (lambda dy, y, x, W: {"W": x @ dy}, "dW", "analytic is x @ dy, expected x.T @ dy"),
    (lambda dy, y, x, W: {"x": dy @ W}, "dx", "analytic is dy @ W, expected dy @ W.T"),
    (lambda dy, y, x, W: {"x": dy * W}, "dx", "dy and W are multiplied elementwise, expected the"),
]


@pytest.mark.parametrize(("change", "array", "expected"), MATRICES)
def test_products_of_matrices(change, array, expected):
    def backward(dy, y, x, W):
        return {"x": dy @ W.T, "W": x.T @ dy, **change(dy, y, x, W)}

    found = causes(lambda x, W: x @ W, backward, draw(x=(4, 4), W=(4, 4)))
    assert found.keys() == {array}
    assert found[array].startswith(expected)


@pytest.mark.parametrize(
    ("gradient", "expected"),
    [
        (lambda dy, s: dy @ s, "dy and the slopes are multiplied as matrices, they belong elem"),
        (lambda dy, s: s.T @ dy, "dy and the slopes are multiplied as matrices, they belong el"),
        (lambda dy, s: sigmoid(1 - sigmoid(dy)), "analytic is sigmoid(1 - sigmoid(dy)): the sigm"),
        (lambda dy, s: dy * sigmoid(dy), "analytic is dy x sigmoid(dy): the sigmoid's derivative"),
    ],
)
def test_a_sigmoid_of_a_square_matrix(gradient, expected):
    def backward(dy, y, x):
        return {"x": gradient(dy, y * (1 - y))}

    assert causes(sigmoid, backward, draw(x=(4, 4)))["dx"].startswith(expected)


def test_dropout_without_its_mask():
    mask = np.random.default_rng(0).random((4, 5)) < 0.5

    def forward(x):
        return x * mask / 0.5

    found = causes(forward, lambda dy, y, x: {"x": dy}, draw(x=(4, 5)))
    assert found["dx"].startswith("backward lacks a mask: ")
    found = causes(forward, lambda dy, y, x: {"x": 2 * dy}, draw(x=(4, 5)))
    assert found["dx"].startswith("backward lacks a mask: ")


def test_a_mask_before_a_dense_layer():
    mask = np.random.default_rng(0).random((4, 5)) < 0.5

    def backward(dy, y, x, W):
        return {"x": 2 * dy @ W.T, "W": (2 * x * mask).T @ dy}

    found = causes(lambda x, W: (2 * x * mask) @ W, backward, draw(x=(4, 5), W=(5, 3)))
    assert found == {
        "dx": "numeric is 0 at the wrong entries: forward does not let these through (a mask?), "
        "backward does"
    }


def test_relu_of_the_gradient():
    found = causes(
        lambda x: np.maximum(x, 0), lambda dy, y, x: {"x": np.maximum(dy, 0)}, draw(x=(4, 5))
    )
    assert found["dx"].startswith("negative entries of dy are set to 0, as by a ReLU of dy")


# --- overwritten terms, windows ------------------------------------------------------------------


def test_repeated_indices():
    index = np.array([[0, 2, 2], [1, 3, 0]])

    def backward(dy, y, W):
        dW = np.zeros_like(W)
        dW[index] = dy
        return {"W": dW}

    found = causes(lambda W: W[index], backward, draw(W=(5, 3)))
    assert found["dW"].startswith("each entry of dW holds only its last contribution (of up to 2)")


def correlate(x, W, s):
    n = (x.shape[1] - len(W)) // s + 1
    y = np.zeros((len(x), n, n, W.shape[3]))
    for i in range(n):
        for j in range(n):
            view = x[:, i * s : i * s + len(W), j * s : j * s + len(W)]
            y[:, i, j] = np.einsum("nhwi,hwio->no", view, W)
    return y


def correlation(dy, y, x, W, s=1, used=None, put=False, flip=False, shift=0):
    used = s if used is None else used
    dx, dW, k = np.zeros_like(x), np.zeros_like(W), len(W)
    K = W[::-1, ::-1] if flip else W
    for i in range(y.shape[1]):
        for j in range(y.shape[2]):
            at = (slice(None), slice(i * used, i * used + k), slice(j * used, j * used + k))
            term = np.einsum("no,hwio->nhwi", dy[:, i, j], K)
            dx[at] = term if put else dx[at] + term
            dW += np.einsum("nhwi,no->hwio", x[at], dy[:, i, j])
    return {"x": dx, "W": dW[::-1, ::-1] if flip else dW}


@pytest.mark.parametrize(
    ("s", "bug", "dx", "dW"),
    [
        (
            2,
            {"used": 1},
            "the stride 2 is forgotten in backward",
            "the stride 2 is forgotten in the",
        ),
        (1, {"put": True}, "overlapping windows overwrite each other: dx[window] =", ""),
        (2, {"put": True}, "overlapping windows overwrite each other: dx[window] =", ""),
        (
            1,
            {"flip": True},
            "the kernel is flipped in the backward pass",
            "the values are right but reve",
        ),
    ],
)
def test_a_convolution(s, bug, dx, dW):
    values = draw(x=(2, 7, 7, 2), W=(3, 3, 2, 3))
    found = causes(partial(correlate, s=s), partial(correlation, s=s, **bug), values)
    assert found["dx"].startswith(dx)
    assert found.get("dW", "").startswith(dW)
    assert ("dW" in found) == bool(dW)


@pytest.mark.parametrize("kind", ["max", "mean"])
@pytest.mark.parametrize(
    ("s", "used", "put", "expected"),
    [
        (1, 1, True, "overlapping windows overwrite each other"),
        (2, 1, False, "the stride 2 is forgotten in backward"),
    ],
)
def test_pooling(kind, s, used, put, expected):
    k, n = (3, 3) if s == 1 else (2, 3)

    def forward(x):
        reduce = np.max if kind == "max" else np.mean
        rows = [
            [reduce(x[:, i * s : i * s + k, j * s : j * s + k], axis=(1, 2)) for j in range(n)]
            for i in range(n)
        ]
        return np.array(rows).transpose(2, 0, 1, 3)

    def backward(dy, y, x):
        dx = np.zeros_like(x)
        for i in range(n):
            for j in range(n):
                at = (slice(None), slice(i * used, i * used + k), slice(j * used, j * used + k))
                view = x[at]
                share = (view == view.max(axis=(1, 2), keepdims=True)) if kind == "max" else k**-2.0
                term = share * dy[:, i : i + 1, j : j + 1] * np.ones_like(view)
                dx[at] = term if put else dx[at] + term
        return {"x": dx}

    side = (n - 1) * s + k
    assert causes(forward, backward, draw(x=(2, side, side, 2)))["dx"].startswith(expected)


def test_pooling_that_returns_inside_its_loop():
    def forward(x):
        return x.reshape(2, 3, 2, 3, 2).max(axis=(2, 4))

    def backward(dy, y, x):
        dx = np.zeros_like(x)
        for n in range(2):
            for i in range(3):
                for j in range(3):
                    view = x[n, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
                    at = dx[n, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
                    at += (view == view.max()) * dy[n, i, j]
                    return {"x": dx}

    found = causes(forward, backward, draw(x=(2, 6, 6)))
    assert found["dx"] == "" or "loop return, or stop, too early" in found["dx"]


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ((0, 2), "wrong only at index 0 of axis 0 and index 2 of axis 1, one place in the kernel"),
        ((slice(1, 3), slice(None), slice(None), 0), "wrong only at indices 1 to 2 of axis 0 and "),
    ],
)
def test_where_in_a_kernel(wrong, expected):
    def backward(dy, y, x, W):
        grads = correlation(dy, y, x, W)
        grads["W"][wrong] *= np.random.default_rng(0).uniform(1.5, 3, grads["W"][wrong].shape)
        return grads

    found = causes(partial(correlate, s=1), backward, draw(x=(2, 7, 7, 3), W=(5, 5, 3, 2)))
    assert found["dW"].startswith(expected)


@pytest.mark.parametrize("wrong", [(slice(None), slice(None), 1), (slice(None, None, 2),)])
def test_a_few_slices_are_no_pattern(wrong):
    """One channel of three, or three rows of five, may be wrong by their values."""

    def backward(dy, y, x, W):
        grads = correlation(dy, y, x, W)
        grads["W"][wrong] *= np.random.default_rng(0).uniform(1.5, 3, grads["W"][wrong].shape)
        return grads

    values = draw(x=(2, 7, 7, 3), W=(5, 5, 3, 2))
    assert causes(partial(correlate, s=1), backward, values) == {"dW": ""}


@pytest.mark.parametrize(
    ("features", "expected"), [(16, "wrong only at every index 2 n of axis 0"), (8, "")]
)
def test_every_other_row_is_a_pattern_only_where_rows_are_many(features, expected):
    def backward(dy, y, x, W):
        dW = x.T @ dy
        dW[::2] *= np.random.default_rng(0).uniform(1.5, 3, dW[::2].shape)
        return {"x": dy @ W.T, "W": dW}

    values = draw(x=(4, features), W=(features, 3))
    assert causes(lambda x, W: x @ W, backward, values)["dW"] == expected


# --- normalization -------------------------------------------------------------------------------


def normalize(x, gamma, axis=0):
    hat = (x - x.mean(axis=axis, keepdims=True)) / np.sqrt(x.var(axis=axis, keepdims=True) + 1e-5)
    return gamma * hat


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(
    ("mean", "variance", "scale", "expected"),
    [
        (0, 0, 1, "the terms that come through the mean and the variance are missing: both depend"),
        (1, 0, 1, "the term that comes through the variance is missing"),
        (0, 1, 1, "the term that comes through the mean is missing"),
        (1, 0.5, 1, "the term that comes through the variance lacks its 2"),
        (1, 2, 1, "the term that comes through the variance is counted twice"),
        (1, 1, 0, "the factor gamma is missing"),
    ],
)
def test_normalization(axis, mean, variance, scale, expected):
    def backward(dy, y, x, gamma):
        std = np.sqrt(x.var(axis=axis, keepdims=True) + 1e-5)
        hat = (x - x.mean(axis=axis, keepdims=True)) / std
        g = dy * (gamma if scale else 1)
        terms = mean * g.mean(axis=axis, keepdims=True)
        terms = terms + variance * hat * np.mean(g * hat, axis=axis, keepdims=True)
        return {"x": (g - terms) / std, "gamma": np.sum(dy * hat, axis=0)}

    found = causes(partial(normalize, axis=axis), backward, draw(x=(5, 6), gamma=(6,)))
    assert expected in found["dx"]


# --- recurrence ----------------------------------------------------------------------------------


def run(x, Wx, Wh, b):
    h = [np.zeros((x.shape[0], len(Wh)))]
    for t in range(x.shape[1]):
        h.append(np.tanh(x[:, t] @ Wx + h[-1] @ Wh + b))
    return np.stack(h, axis=1)


@pytest.mark.parametrize("last_only", [False, True])
@pytest.mark.parametrize(
    ("late", "through", "expected"),
    [
        (
            1,
            True,
            "off by one in time: the gradient of Wh at step t takes h[t], it belongs to h[t-1]",
        ),
        (0, False, "the part that comes back through later steps' states is missing"),
    ],
)
def test_a_recurrent_layer(last_only, late, through, expected):
    def forward(x, Wx, Wh, b):
        h = run(x, Wx, Wh, b)
        return h[:, -1] if last_only else h[:, 1:]

    def backward(dy, y, x, Wx, Wh, b):
        h = run(x, Wx, Wh, b)
        T = x.shape[1]
        dh = np.zeros_like(h[:, 1:])
        if last_only:
            dh[:, -1] = dy
        else:
            dh[...] = dy
        grads = {"x": np.zeros_like(x), "Wx": 0.0, "Wh": 0.0, "b": 0.0}
        carried = 0.0
        for t in reversed(range(T)):
            slope = 1 - h[:, t + 1] ** 2
            da = (dh[:, t] + carried) * slope
            grads["x"][:, t] = da @ Wx.T
            grads["Wx"] = grads["Wx"] + x[:, t].T @ da
            grads["b"] = grads["b"] + da.sum(axis=0)
            grads["Wh"] = grads["Wh"] + h[:, t + late].T @ (da if through else dh[:, t] * slope)
            carried = da @ Wh.T
        return grads

    found = causes(forward, backward, draw(x=(2, 4, 3), Wx=(3, 5), Wh=(5, 5), b=(5,)))
    assert found == {"dWh": expected}
