"""Functions in the designs in which courses write them: right ones pass, wrong ones are caught."""

import numpy as np
import pytest

from elunet.testing import GradientCheckError, check_functions

RNG = np.random.default_rng(5)
X = RNG.standard_normal((4, 3))
W = RNG.standard_normal((3, 2))
B = RNG.standard_normal(2)


def caught(forward, backward, *args, match, **settings):
    with pytest.raises(GradientCheckError, match=match) as error:
        check_functions(forward, backward, *args, **settings)
    return error.value


# Ng's courses: features x examples, parameters in a dict, 1/m in the layer.


def forward_columns(X, parameters):
    Z = parameters["W1"] @ X + parameters["b1"]
    A = np.tanh(Z)
    return A, (X, A)


def backward_columns(dA, parameters, cache):
    X, A = cache
    m = X.shape[1]
    dZ = dA * (1 - A**2)
    dW1 = dZ @ X.T / m
    db1 = np.sum(dZ, axis=1, keepdims=True) / m
    return {"dX": parameters["W1"].T @ dZ, "dW1": dW1, "db1": db1}


COLUMNS = {"W1": RNG.standard_normal((2, 3)), "b1": np.zeros((2, 1))}


def test_dicts_of_parameters_with_examples_as_columns():
    result = check_functions(
        forward_columns, backward_columns, X.T, COLUMNS, batch_axis=1, averaged=True
    )
    assert result.arrays == ["dX", "dW1", "db1"]
    caught(forward_columns, backward_columns, X.T, COLUMNS, match="batch_axis=1, averaged=True")

    def wrong(dA, parameters, cache):
        grads = backward_columns(dA, parameters, cache)
        return {**grads, "dW1": grads["dW1"] * 2}

    settings = {"batch_axis": 1, "averaged": True}
    error = caught(forward_columns, wrong, X.T, COLUMNS, match="dW1 is wrong", **settings)
    assert error.array == "dW1"

    def without(dA, parameters, cache):
        grads = backward_columns(dA, parameters, cache)
        return {"dX": grads["dX"], "dW1": grads["dW1"]}

    text = r"parameters\['b1'\] moves the output, but no gradient of it was found"
    caught(forward_columns, without, X.T, COLUMNS, match=text, **settings)


def test_parameters_as_a_second_dict_of_dicts_and_a_tuple():
    def forward(x, p):
        return x @ p["l1"]["W"] + p["l1"]["b"], x

    def backward(dout, p, x):
        return dout @ p["l1"]["W"].T, {"l1": {"W": x.T @ dout, "b": dout.sum(0)}}

    p = {"l1": {"W": W, "b": B}}
    assert check_functions(forward, backward, X, p).arrays == ["dx", "l1['W']", "l1['b']"]
    caught(forward, lambda dout, p, x: (dout @ p["l1"]["W"].T, {}), X, p, match="moves the output")


def test_a_list_of_parameters():
    def forward(x, params):
        return x @ params[0] + params[1], x

    def backward(dout, x, params):
        dW = x.T @ dout
        return dout @ params[0].T, [dW, dout.sum(0)]

    assert check_functions(forward, backward, X, [W, B]).arrays == [
        "dx",
        "dparams[0]",
        "dparams[1]",
    ]

    def wrong(dout, x, params):
        return dout @ params[0].T, [x.T @ dout, dout.mean(0)]

    caught(forward, wrong, X, [W, B], match=r"dparams\[1\] is wrong")
    check_functions(forward, backward, X, (W, B))


# Orders of the gradients.


def affine(x, w, b):
    return x @ w + b, (x, w)


def parts(dout, cache):
    x, w = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=0)


def test_other_orders_are_told_by_shapes():
    def backward(dout, cache):
        dx, dw, db = parts(dout, cache)
        return dw, db, dx

    assert check_functions(affine, backward, X, W, B).arrays == ["dx", "dw", "db"]

    def nested(dout, cache):
        dx, dw, db = parts(dout, cache)
        return dx, [dw, db]

    check_functions(affine, nested, X, W, B)


def test_names_in_return_tell_what_shapes_do_not():
    square = RNG.standard_normal((3, 3))

    def forward(x, w):
        return x @ w, (x, w)

    def backward(dout, cache):
        x, w = cache
        dw = x.T @ dout
        return dw, dout @ w.T

    def named(dout, cache):
        x, w = cache
        dw = x.T @ dout
        return {"dw": dw, "dx": dout @ w.T}

    check_functions(forward, named, square, square + 1)
    caught(forward, backward, square, square + 1, match="dx is wrong")


def test_a_wrong_shape_is_named_by_the_return_statement():
    def backward(dout, cache):
        dx, dw, db = parts(dout, cache)
        db = dout
        return dw, db, dx

    error = caught(affine, backward, X, W, B, match=r"db has shape \(4, 2\), expected \(2,\)")
    assert error.array == "db"


def test_gradients_that_cannot_be_told_apart():
    q, k = RNG.standard_normal((2, 3)), RNG.standard_normal((2, 3))
    forward = lambda q, k, v: (q * k * v, (q, k, v))  # noqa: E731
    backward = lambda d, c: (d * c[1] * c[2],) * 2  # noqa: E731
    caught(forward, backward, q, k, q + k, match="returned 2 gradients, expected 3")


# Several outputs.


def cell(x, h, c, W):
    a = np.concatenate([x, h], axis=1) @ W
    c_next = c + np.tanh(a)
    h_next = np.tanh(c_next)
    return h_next, c_next, (x, h, c, W, a, h_next)


def cell_backward(dh_next, dc_next, cache):
    x, h, _, W, a, h_next = cache
    dc = dc_next + dh_next * (1 - h_next**2)
    da = dc * (1 - np.tanh(a) ** 2)
    both = da @ W.T
    dW = np.concatenate([x, h], axis=1).T @ da
    return both[:, : x.shape[1]], both[:, x.shape[1] :], dc, dW


CELL = (X, RNG.standard_normal((4, 2)), RNG.standard_normal((4, 2)), RNG.standard_normal((5, 2)))


def test_several_outputs_and_a_cache():
    assert check_functions(cell, cell_backward, *CELL).arrays == ["dx", "dh", "dc", "dW"]

    def ignoring_c(dh_next, dc_next, cache):
        return cell_backward(dh_next, 0 * dc_next, cache)

    caught(cell, ignoring_c, *CELL, match="cause: backward ignores dc_next: dx is right for a dc_")


def test_an_output_without_a_gradient_is_noted():
    def only_h(dh_next, cache):
        return cell_backward(dh_next, 0.0, cache)

    result = check_functions(cell, only_h, *CELL)
    assert "c_next was not checked: only_h takes no gradient of it" in result.notes


def test_outputs_in_a_tuple():
    def forward(x):
        return x**2, x**3

    def backward(douts, x):
        return 2 * x * douts[0] + 3 * x**2 * douts[1]

    assert check_functions(forward, backward, X).arrays == ["dx"]
    caught(forward, lambda douts, x: 2 * x * douts[0], X, match="dx is wrong")


def test_a_state_through_time():
    def forward(x, h0, Wx, Wh):
        hs = [h0]
        for t in range(x.shape[1]):
            hs.append(np.tanh(x[:, t] @ Wx + hs[-1] @ Wh))
        return np.stack(hs[1:], axis=1), (x, hs, Wx, Wh)

    def backward(dh, cache, off=0):
        x, hs, Wx, Wh = cache
        dx, dWx, dWh = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh)
        dnext = np.zeros_like(hs[0])
        for t in reversed(range(x.shape[1])):
            da = (dh[:, t] + dnext) * (1 - hs[t + 1] ** 2)
            dx[:, t] = da @ Wx.T
            dWx += x[:, t].T @ da
            dWh += hs[t + off].T @ da
            dnext = da @ Wh.T
        return dx, dnext, dWx, dWh

    shapes = (2, 4, 3), (2, 5), (3, 5), (5, 5)
    args = [RNG.standard_normal(shape) / 2 for shape in shapes]
    assert check_functions(forward, backward, *args).arrays == ["dx", "dh0", "dWx", "dWh"]
    caught(forward, lambda dh, cache: backward(dh, cache, 1), *args, match="dWh is wrong")


# What backward takes.


def test_backward_without_a_cache():
    def forward(x, w):
        return x @ w

    def backward(dout, x, w):
        return dout @ w.T, x.T @ dout

    def starred(dout, *args):
        return backward(dout, *args)

    def turned(x, w, grad):
        return backward(grad, x, w)

    for one in (backward, starred, turned):
        assert check_functions(forward, one, X, W).arrays == ["dx", "dw"]
    caught(forward, lambda d, x, w: (d @ w.T, 2 * x.T @ d), X, W, match="dw is wrong")


def test_backward_takes_a_part_of_what_forward_returns():
    def relu(Z):
        A = np.maximum(Z, 0)
        return A, Z

    def relu_backward(dA, Z):
        return dA * (Z > 0)

    assert check_functions(relu, relu_backward, X).arrays == ["dZ"]

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def sigmoid_backward(dout, out):
        return dout * out * (1 - out)

    assert check_functions(lambda x: (sigmoid(x), sigmoid(x)), sigmoid_backward, X).arrays == ["dx"]


def test_settings_of_forward_are_passed_to_backward_too():
    def forward(x, slope=0.1):
        return np.where(x > 0, x, slope * x), x

    def backward(dout, cache, slope=0.1):
        return dout * np.where(cache > 0, 1, slope)

    result = check_functions(forward, backward, X, 0.3)
    assert result.notes == ("slope: a setting, not checked",)
    caught(forward, lambda d, x: d * np.where(x > 0, 1, 0.1), X, 0.3, match="dx is wrong")


def test_a_call_that_cannot_be_understood():
    def backward(dout, one, two):
        return dout

    with pytest.raises(TypeError, match="backward also takes one, two: name it like"):
        check_functions(lambda x: (x * 2, x), backward, X)
    with pytest.raises(TypeError, match="takes no gradient of them"):
        check_functions(lambda x: (x * 2, x), lambda x, cache: x, X)
    with pytest.raises(TypeError, match="returned None: is a `return` missing"):
        check_functions(lambda x: None, lambda d: d, X)
    with pytest.raises(TypeError, match="expected an array of floats first: the output"):
        check_functions(lambda x: {"y": "no"}, lambda d: d, X)


# Never silently unchecked.


def test_integers_are_checked_as_floats():
    weights = np.arange(6).reshape(3, 2)
    assert check_functions(affine, parts, X, weights, B).arrays == ["dx", "dw", "db"]

    def without(dout, cache):
        return parts(dout, cache)[0], None, parts(dout, cache)[2]

    caught(
        affine,
        lambda d, c: (parts(d, c)[0], 2 * parts(d, c)[1], d.sum(0)),
        X,
        weights,
        B,
        match="dw is wrong",
    )
    caught(affine, without, X, weights, B, match="w moves the output, but no gradient")


def test_indices_are_left_alone():
    def forward(indices, table):
        return table[indices], (indices, table.shape)

    def backward(dout, cache):
        indices, shape = cache
        dtable = np.zeros(shape)
        np.add.at(dtable, indices, dout)
        return dtable

    def lost(dout, cache):
        indices, shape = cache
        dtable = np.zeros(shape)
        dtable[indices] += dout
        return dtable

    indices, table = np.array([0, 2, 2, 1]), RNG.standard_normal((4, 3))
    result = check_functions(forward, backward, indices, table)
    assert result.arrays == ["dtable"]
    assert "indices holds integers that forward takes as they are" in result.notes[0]
    caught(forward, lost, indices, table, match="dtable is wrong")


def test_labels_that_are_compared_are_noted():
    def forward(x, group):
        return x * (group[:, None] == 1), group

    result = check_functions(forward, lambda d, group: d * (group[:, None] == 1), X, np.arange(4))
    assert "group: integers with which the output jumps" in result.notes[0]


def test_a_number_that_is_a_weight():
    def forward(x, w):
        return w * x, (x, w)

    def backward(dout, cache):
        x, w = cache
        return w * dout, np.sum(dout * x)

    assert check_functions(forward, backward, X, 2.5).arrays == ["dx", "dw"]
    caught(forward, lambda d, c: c[1] * d, X, 2.5, match="w moves the output, but no gradient")
    caught(forward, lambda d, c: (c[1] * d, np.mean(d * c[0])), X, 2.5, match="dw is wrong")


def test_gradients_names_a_constant_or_a_place():
    def forward(x, w, pe):
        return x @ w + pe, x

    def backward(dout, x, w):
        return {"dx": dout @ w.T, "total": x.T @ dout}

    pe = RNG.standard_normal((4, 2))
    caught(forward, backward, X, W, pe, match=r"w moves .*; is it total\?\n.*\{'w': 'total'\}")
    given = {"w": "total", "pe": None}
    result = check_functions(forward, backward, X, W, pe, gradients=given)
    assert result.arrays == ["dx", "total"]
    assert result.notes == ("pe: declared a constant, not checked",)
    given["w"] = lambda returned: returned["total"] * 2
    caught(forward, backward, X, W, pe, gradients=given, match="dw is wrong")
    given["w"] = "nothing"
    caught(forward, backward, X, W, pe, gradients=given, match="backward returned dx, total")
    with pytest.raises(ValueError, match=r"to name what forward takes \(x, w, pe\), got 'v'"):
        check_functions(forward, backward, X, W, pe, gradients={"v": None})


# Values that hide faults.


def test_right_only_while_gamma_is_1():
    def forward(x, gamma, beta):
        mean, std = x.mean(0), x.std(0)
        hat = (x - mean) / std
        return gamma * hat + beta, (hat, std, gamma)

    def backward(dout, cache):
        hat, std, gamma = cache
        g = dout * gamma
        dx = (g - g.mean(0) - hat * (g * hat).mean(0)) / std
        return dx, np.sum(dout * hat, 0), dout.sum(0)

    def without_gamma(dout, cache):
        hat, std, gamma = cache
        return backward(dout, (hat, std, np.ones_like(gamma)))

    ones, zeros = np.ones(3), np.zeros(3)
    check_functions(forward, backward, X, ones, zeros)
    caught(forward, without_gamma, X, ones, zeros, match="dx is right only while gamma is 1")


def test_a_gate_at_zero_hides_a_parameter():
    def forward(x, w, gate):
        return x + gate * (x * w), (x, w, gate)

    def backward(dout, cache):
        x, w, gate = cache
        return dout * (1 + gate * w), np.sum(dout * gate * x, 0), np.sum(dout * x * w)

    def forgotten(dout, cache):
        dx, _, dgate = backward(dout, cache)
        return {"dx": dx, "dgate": dgate}

    args = X, RNG.standard_normal(3), np.float64(0.0)
    check_functions(forward, backward, *args)
    caught(forward, forgotten, *args, match="w moves the output, but no gradient")


def test_dy_ignored():
    def forward(x):
        return x**2, x

    caught(forward, lambda dout, x: 2 * x, X, match="backward ignores dy: dx stays the same")
    caught(forward, lambda dout, x: 2 * x * dout**2, X, match="four times the gradient")


def test_float32_code():
    def forward(x, w):
        x = x.astype(np.float32)
        return np.tanh(x @ w.astype(np.float32)), (x, w)

    def backward(dout, cache):
        x, w = cache
        dz = dout * (1 - np.tanh(x @ w) ** 2)
        return dz @ w.T, x.T @ dz

    caught(forward, backward, X, W, match="check code that is float32 with dtype=np.float32")
    check_functions(forward, backward, X, W, dtype=np.float32)
    caught(
        forward,
        lambda d, c: (backward(d, c)[0], backward(d, c)[1] * 1.2),
        X,
        W,
        dtype=np.float32,
        match="dw is wrong",
    )


def test_attention():
    def attention(q, k, v):
        s = q @ k.T / np.sqrt(q.shape[1])
        p = np.exp(s - s.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        return p @ v, (q, k, v, p)

    def backward(dout, cache):
        q, k, v, p = cache
        dp = dout @ v.T
        ds = p * (dp - np.sum(dp * p, 1, keepdims=True)) / np.sqrt(q.shape[1])
        return ds @ k, ds.T @ q, p.T @ dout

    args = [RNG.standard_normal((4, 3)) for _ in range(3)]
    assert check_functions(attention, backward, *args).arrays == ["dq", "dk", "dv"]

    def swapped(dout, cache):
        dq, dk, dv = backward(dout, cache)
        return dk, dq, dv

    caught(attention, swapped, *args, match="dq is wrong")


def test_batchnorm_with_a_dict_of_running_statistics():
    def forward(x, gamma, beta, bn_param):
        mode, eps = bn_param["mode"], bn_param.get("eps", 1e-5)
        if mode == "train":
            mean, var = x.mean(0), x.var(0)
            bn_param["running_mean"] = mean
        else:
            mean, var = bn_param["running_mean"], bn_param["running_var"]
        hat = (x - mean) / np.sqrt(var + eps)
        return gamma * hat + beta, (hat, gamma, var, eps, mode)

    def backward(dout, cache):
        hat, gamma, var, eps, mode = cache
        g = dout * gamma
        if mode == "train":
            g = g - g.mean(0) - hat * (g * hat).mean(0)
        return g / np.sqrt(var + eps), np.sum(dout * hat, 0), dout.sum(0)

    settings = {"mode": "train", "eps": 1e-3}
    result = check_functions(forward, backward, X, np.ones(3), np.zeros(3), settings)
    assert result.arrays == ["dx", "dgamma", "dbeta"]
    assert "bn_param['eps']: a setting, not checked" in result.notes
    settings = {"mode": "test", "running_mean": np.zeros(3), "running_var": np.ones(3)}
    result = check_functions(forward, backward, X, np.ones(3), np.zeros(3), settings)
    statistics = "bn_param['running_mean'], bn_param['running_var']: a running statistic"
    assert f"{statistics}, not checked" in result.notes


def test_whole_numbers_are_settings():
    def forward(x, power, rounds):
        out = np.ones_like(x)
        while rounds != 0:
            out, rounds = out * x**power, rounds - 1
        return out, (x, power)

    def backward(dout, cache):
        x, power = cache
        return dout * 2 * power * x ** (2 * power - 1)

    result = check_functions(forward, backward, X, 2, 2)
    assert result.notes == ("power, rounds: whole numbers, taken for settings, not checked",)
    caught(forward, lambda d, c: d * c[0], X, 2, 2, match="dx is wrong")
