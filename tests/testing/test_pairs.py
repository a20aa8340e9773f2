import numpy as np
import pytest

from elunet.testing._find.pairs import closest, pair

RNG = np.random.default_rng(0)


def arrays(*names, shape=(3, 2)):
    return {name: RNG.standard_normal(shape) for name in names}


@pytest.mark.parametrize(
    ("value", "gradient"),
    [
        ("W", "dW"),
        ("W", "d_W"),
        ("W", "dLdW"),
        ("W", "dL_dW"),
        ("W", "d_L_d_W"),
        ("W", "dJ_dW"),
        ("W", "gradW"),
        ("W", "grad_W"),
        ("W", "W_grad"),
        ("W", "W_gradient"),
        ("W", "gW"),
        ("W", "nabla_w"),
        ("W", "delta_W"),
        ("W", "dw"),
        ("W", "dweights"),
        ("_W", "_dW"),
        ("W_hh", "dWhh"),
        ("weights", "dW"),
        ("weights", "dweights"),
        ("weight_matrix", "dW"),
        ("filters", "d_L_d_filters"),
        ("filters", "dW"),
        ("kernel", "kernel_gradient"),
        ("weights", "weights_gradient"),
        ("bias", "db"),
        ("biases", "dbiases"),
        ("b", "bias_gradient"),
        ("gamma", "dgamma"),
        ("scale", "dgamma"),
        ("W1", "dweights1"),
        ("params['W']", "grads['W']"),
        ("params['W1']", "grads['dW1']"),
        ("parameters['W']", "gradients['W']"),
        ("parameters['W1']", "dW1"),
        ("parameters['W1']", "derivatives['W1']"),
        ("params[0]", "grads[0]"),
        ("params[0][1]", "grads[0][1]"),
        ("params[0]['W']", "grads[0]['dW']"),
        ("layers[0]['W']", "layers[0]['dW']"),
        ("layers[0].params['W']", "layers[0].grads['W']"),
        ("layers[0].W", "layers[0].dW"),
        ("cell.Wx", "cell.dWx"),
        ("cell.Wx", "dWx"),
        ("Wx", "helper.dWx"),
        ("weights[0]", "nabla_w[0]"),
        ("biases[1]", "nabla_b[1]"),
        ("W.value", "W.grad"),
        ("W.data", "W.grad"),
        ("weights", "weights.grad"),
        ("W['value']", "W['grad']"),
        ("weights['W1']", "grads['W1']"),
        ("weights['W1']", "grads['dW1']"),
        ("p['l1']['W']", "grads['l1']['dW']"),
        ("params['conv1.W']", "grads['conv1.W']"),
        ("params['a b']", "grads['a b']"),
    ],
)
def test_names_that_belong_together(value, gradient):
    values = arrays(value, "other", "t")
    beside = {**values, **arrays(gradient, "velocity", "y")}
    assert pair(values, beside) == {value: gradient}
    assert pair(values, arrays(gradient)) == {value: gradient}


def test_a_dict_of_gradients_needs_no_markers():
    values = arrays("params['W1']", "params['b1']", "x")
    assert pair(values, arrays("W1", "b1")) == {"params['W1']": "W1", "params['b1']": "b1"}
    values = arrays("W", "b")
    assert pair(values, arrays("b", "W")) == {"W": "W", "b": "b"}
    assert pair(values, values) == {}


def test_gradients_among_the_values_are_not_paired():
    values = arrays("params['W']", "grads['W']", "dW", "W")
    found = pair(values, values)
    assert found["params['W']"] == "grads['W']"
    assert found["W"] == "dW"
    assert set(found) == {"params['W']", "W"}


def test_the_nearest_owner_counts():
    values = arrays("a.W", "b.W", "W")
    gradients = arrays("a.dW", "b.dW", "dW", "velocity['dW']")
    assert pair(values, {**values, **gradients}) == {"a.W": "a.dW", "b.W": "b.dW", "W": "dW"}
    del gradients["a.dW"]
    assert pair(values, {**values, **gradients}) == {"b.W": "b.dW", "W": "dW"}


def test_case_decides_between_two():
    values = arrays("W", "w")
    assert pair(values, {**values, **arrays("dW", "dw")}) == {"W": "dW", "w": "dw"}


def test_nothing_is_guessed():
    values = arrays("first.W", "second.W")
    assert pair(values, {**values, **arrays("dW")}) == {}
    values = arrays("W")
    assert pair(values, {**values, **arrays("dW", "W_grad")}) == {}
    assert pair(values, {**values, **arrays("velocity", "W_old", "x")}) == {}


def test_one_array_in_two_places_is_one_gradient():
    values = arrays("W")
    gradient = RNG.standard_normal((3, 2))
    assert pair(values, {**values, "dW": gradient, "W_grad": gradient}) == {"W": "dW"}


def test_shapes_break_ties():
    values = {**arrays("W", shape=(3, 2)), **arrays("w", shape=(2,))}
    gradients = {**arrays("dw", shape=(2,)), **arrays("dLdw", shape=(3, 2))}
    assert pair(values, {**values, **gradients}) == {"W": "dLdw", "w": "dw"}
    wrong = arrays("dW", shape=(4, 3, 2))
    assert pair(arrays("W"), wrong) == {"W": "dW"}
    assert pair(arrays("kernel"), wrong) == {}


def test_weights_and_biases_share_a_list_of_gradients():
    values = {
        **arrays("weights[0]", "weights[1]", shape=(3, 2)),
        **arrays("biases[0]", "biases[1]", shape=(2,)),
    }
    gradients = {
        **arrays("nabla_w[0]", "nabla_w[1]", shape=(3, 2)),
        **arrays("nabla_b[0]", "nabla_b[1]", shape=(2,)),
    }
    assert pair(values, {**values, **gradients}) == {
        "weights[0]": "nabla_w[0]",
        "weights[1]": "nabla_w[1]",
        "biases[0]": "nabla_b[0]",
        "biases[1]": "nabla_b[1]",
    }


def test_closest_suggests_by_shape_and_name():
    values = arrays("scale", "x")
    gradients = {
        **values,
        **arrays("memory", "scale_total"),
        **arrays("d_sc"),
        **arrays("dscale_", shape=(2,)),
    }
    assert closest("scale", values, gradients)[:2] == ["d_sc", "scale_total"]
