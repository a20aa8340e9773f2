"""Optimizers in the designs of courses and books: a correct one passes, a wrong one is caught.

Each maker takes a factor on the gradient: 1 is correct, -1 goes uphill.
"""

import copy
from types import SimpleNamespace

import numpy as np
import pytest

from elunet.testing import GradientCheckError, check_optimizer, updates

LR, B1, B2, EPS = 0.01, 0.9, 0.999, 1e-8
ADAM = updates.adam(LR)
MOMENTUM = updates.sgd(LR, 0.9)
AVERAGED = updates.averaged_momentum(LR, 0.9)
DESIGNS = []


def design(update, called, names=None):
    """Add a maker to the table, with its rule, how it is called, and its parameters' names."""

    def add(maker):
        DESIGNS.append(pytest.param(maker, update, called, names, id=maker.__name__))
        return maker

    return add


def adam_step(g, memory, t):
    """Return Adam's step; m and v are in a dict."""
    memory["m"] = B1 * memory.get("m", 0) + (1 - B1) * g
    memory["v"] = B2 * memory.get("v", 0) + (1 - B2) * g**2
    return LR * memory["m"] / (1 - B1**t) / (np.sqrt(memory["v"] / (1 - B2**t)) + EPS)


@design(ADAM, "update(w, grad_wrt_w) with one array at a time")
def one_object_for_each_array(factor):
    class Optimizer:
        def __init__(self):
            self.memory, self.t = {}, 0

        def update(self, w, grad_wrt_w):
            self.t += 1
            return w - adam_step(factor * grad_wrt_w, self.memory, self.t)

    return Optimizer()


@design(MOMENTUM, "update(w, g) with one array at a time")
def arrays_in_place(factor):
    class Optimizer:
        v = 0

        def update(self, w, g):
            self.v = 0.9 * self.v - factor * LR * g
            w += self.v

    return Optimizer()


@design(MOMENTUM, "update(params, grads) with dicts", ["W1", "b1", "W2", "b2"])
def dicts_in_place(factor):
    class Optimizer:
        def __init__(self):
            self.v = None

        def update(self, params, grads):
            if self.v is None:
                self.v = {key: np.zeros_like(value) for key, value in params.items()}
            for key in params.keys():  # noqa: SIM118
                self.v[key] = 0.9 * self.v[key] - LR * factor * grads[key]
                params[key] += self.v[key]

    return Optimizer()


@design(MOMENTUM, "update(params, grads) with lists", ["params[0]", "params[1]"])
def lists_in_place(factor):
    class Optimizer:
        v = None

        def update(self, params, grads):
            if self.v is None:
                self.v = [np.zeros_like(param) for param in params]
            for i in range(len(params)):
                self.v[i] = 0.9 * self.v[i] - LR * factor * grads[i]
                params[i] += self.v[i]

    return Optimizer()


@design(ADAM, "step(grads, params) with lists")
def lists_the_other_way_round(factor):
    class Optimizer:
        t, memory = 0, None

        def step(self, grads, params):
            self.memory = self.memory or [{} for _ in params]
            self.t += 1
            for memory, w, g in zip(self.memory, params, grads, strict=True):
                w -= adam_step(factor * g, memory, self.t)

    return Optimizer()


@design(updates.sgd(LR), "update(params, grads) with lists")
def new_lists(factor):
    def update(params, grads):
        return [w - factor * LR * g for w, g in zip(params, grads, strict=True)]

    return update


@design(updates.sgd(LR), "update(parameters, gradients) with dicts")
def new_dicts(factor):
    class Optimizer:
        def update(self, parameters, gradients):
            return {key: w - factor * LR * gradients[key] for key, w in parameters.items()}

    return Optimizer()


@design(ADAM, "adam(w, dw, config) with one array at a time", ["first.W", "second.W"])
def functions_with_a_config(factor):
    def adam(w, dw, config=None):
        if config is None:
            config = {}
        config.setdefault("learning_rate", 1e-3)
        config.setdefault("t", 0)
        config["t"] += 1
        step = adam_step(factor * dw, config, config["t"])
        return w - step * config["learning_rate"] / LR, config

    return adam


@design(
    ADAM,
    "update_params(layer) with layer.weights and layer.dweights",
    ["layer1.weights", "layer1.biases", "layer2.weights", "layer2.biases"],
)
def layers_with_weights(factor):
    class Optimizer:
        iterations = 0

        def pre_update_params(self):
            self.rate = LR

        def update_params(self, layer):
            if not hasattr(layer, "weight_cache"):
                layer.weight_cache, layer.bias_cache = {}, {}
            t = self.iterations + 1
            layer.weights += -adam_step(factor * layer.dweights, layer.weight_cache, t)
            layer.biases += -adam_step(factor * layer.dbiases, layer.bias_cache, t)

        def post_update_params(self):
            self.iterations += 1

    return Optimizer()


@design(updates.sgd(LR), "update(layer) with layer.W and layer.dW")
def layers_with_letters(factor):
    class Optimizer:
        def update(self, layer):
            layer.W = layer.W - LR * factor * layer.dW
            layer.b = layer.b - LR * factor * layer.db

    return Optimizer()


@design(MOMENTUM, "step(), made with a list of parameters that have value", ["params[0]"])
def params_with_value(factor):
    class Optimizer:
        def __init__(self, params):
            self.params, self.v = params, [0.0 for _ in params]

        def step(self):
            for i, param in enumerate(self.params):
                self.v[i] = 0.9 * self.v[i] + factor * param.grad
                param.value -= LR * self.v[i]

    return lambda params: Optimizer(params)


@design(ADAM, "step(), made with a list of parameters that have value (or data) and grad")
def params_with_data(factor):
    class Optimizer:
        def __init__(self, params):
            self.params, self.memory, self.t = list(params), {}, 0

        def step(self):
            self.t += 1
            for param in self.params:
                memory = self.memory.setdefault(param, {})
                param.data = param.data - adam_step(factor * param.grad, memory, self.t)
                param.grad.fill(0)  # for the next pass

    return lambda params: Optimizer(params)


class Parameter:
    def __init__(self, *shape):
        self.value, self.grad = np.ones(shape), None


@design(MOMENTUM, "step(), with its own 2 parameters, found by their value and grad")
def params_of_its_own(factor):
    class Optimizer:
        def __init__(self, params):
            self.params, self.v = params, [0.0 for _ in params]

        def step(self):
            for i, param in enumerate(self.params):
                self.v[i] = 0.9 * self.v[i] + factor * param.grad
                param.value = param.value - LR * self.v[i]

    return Optimizer([Parameter(2, 3), Parameter(5)])


@design(updates.sgd(LR), "step(), made with")
def arrays_given_beforehand(factor):
    class Optimizer:
        def __init__(self, params):
            self.params = params

        def step(self, grads):
            for w, g in zip(self.params, grads, strict=True):
                w -= LR * factor * g

    return lambda params: Optimizer(params)


@design(updates.sgd(LR), "update_parameters(parameters, grads, learning_rate) with dicts")
def functions_of_dicts(factor):
    def update_parameters(parameters, grads, learning_rate):
        parameters = copy.deepcopy(parameters)
        for layer in range(1, len(parameters) // 2 + 1):
            for kind in "Wb":
                g = grads[f"d{kind}{layer}"]
                parameters[f"{kind}{layer}"] -= factor * learning_rate * g
        return parameters

    return update_parameters


@design(ADAM, "update(parameters, grads) with dicts")
def a_closure_over_more(factor):
    def update_parameters_with_adam(
        parameters, grads, v, s, t, learning_rate, beta1, beta2, epsilon
    ):
        for key in parameters:
            g = factor * grads["d" + key]
            v["d" + key] = beta1 * v.get("d" + key, 0) + (1 - beta1) * g
            s["d" + key] = beta2 * s.get("d" + key, 0) + (1 - beta2) * g**2
            corrected = s["d" + key] / (1 - beta2**t)
            step = v["d" + key] / (1 - beta1**t) / (np.sqrt(corrected) + epsilon)
            parameters[key] = parameters[key] - learning_rate * step
        return parameters, v, s

    memory = SimpleNamespace(v={}, s={}, t=0)

    def update(parameters, grads):
        memory.t += 1
        more = memory.v, memory.s, memory.t
        return update_parameters_with_adam(parameters, grads, *more, LR, B1, B2, EPS)

    return update


@design(AVERAGED, "update(w, d_w, learning_rate) with one array at a time")
def arrays_and_a_learning_rate(factor):
    class Optimizer:
        velocity = 0

        def update(self, w, d_w, learning_rate):
            self.velocity = 0.9 * self.velocity + 0.1 * factor * d_w
            return w - learning_rate * self.velocity

    return Optimizer()


@design(ADAM, "update(param, param_grad, param_name) with one array at a time")
def arrays_by_name(factor):
    class Optimizer:
        def __init__(self):
            self.cache, self.times = {}, {}

        def update(self, param, param_grad, param_name, cur_loss=None):
            self.times[param_name] = t = self.times.get(param_name, 0) + 1
            memory = self.cache.setdefault(param_name, {})
            return param - adam_step(factor * param_grad, memory, t)

    return Optimizer()


@design(updates.sgd(LR), "apply_gradients([(g, w), ...])")
def pairs(factor):
    class Optimizer:
        def apply_gradients(self, grads_and_vars):
            for g, w in grads_and_vars:
                w -= LR * factor * g

    return Optimizer()


@design(updates.sgd(LR), "__call__(w, dw) with one array at a time")
def an_object_that_is_called(factor):
    class Optimizer:
        def __call__(self, w, dw):
            return w - LR * factor * dw

    return Optimizer()


@design(updates.sgd(LR, 0.9, nesterov=True), "update(w, gradient) with one array", ["w"])
def a_function_that_remembers(factor):
    past_velocity = 0.0

    def update(w, gradient):
        nonlocal past_velocity
        velocity = 0.9 * past_velocity - LR * factor * gradient
        past_velocity = velocity
        return w + 0.9 * velocity - LR * factor * gradient

    return update


@design(updates.sgd(LR), "step(net)")
def a_function_of_a_network(factor):
    def step(model):
        gradients = model.gradients()
        for name, w in model.parameters().items():
            w -= factor * LR * gradients[name]

    return step


@design(updates.sgd(LR), "step(values, slopes) with dicts")
def names_that_say_nothing(factor):
    def step(values, slopes):
        for key in values:
            values[key] = values[key] - LR * factor * slopes[key]

    return step


@pytest.mark.parametrize(("maker", "update", "called", "names"), DESIGNS)
def test_a_correct_one_passes(maker, update, called, names):
    result = check_optimizer(maker(1), update)
    assert result.notes[0] == "5 steps"
    if called != "step(net)":
        assert result.notes[1].startswith(f"called as {called}")
    if names is not None:
        assert result.arrays[: len(names)] == names
    assert result.max_rel_error < 1e-10


@pytest.mark.parametrize(("maker", "update", "called", "names"), DESIGNS)
def test_a_wrong_one_is_caught(maker, update, called, names):
    with pytest.raises(GradientCheckError, match="the sign is flipped: the step goes uphill"):
        check_optimizer(maker(-1), update)


def test_each_parameter_has_its_own_rule():
    by_name = {"layer1.W": updates.sgd(LR), "layer1.b": updates.sgd(2 * LR)}
    with pytest.raises(GradientCheckError, match=r"the rule of layer1\.W"):
        check_optimizer(layers_with_letters(1), by_name)
    by_key = {"W1": updates.sgd(LR), "b1": updates.sgd(LR)}
    assert check_optimizer(functions_of_dicts(1), by_key).arrays == ["W1", "b1"]


def test_parameters_of_its_own_stay_as_they_are():
    optimizer = params_of_its_own(1)
    result = check_optimizer(optimizer, MOMENTUM)
    assert [(row.array, row.size) for row in result.rows] == [("params[0]", 30), ("params[1]", 25)]
    assert (optimizer.params[0].value == 1).all()


def test_the_learning_rate_is_passed():
    check_optimizer(functions_of_dicts(1), updates.sgd(0.3))
    check_optimizer(functions_of_dicts(1), lambda w, g, state, t: w - 0.2 * g, learning_rate=0.2)
    with pytest.raises(ValueError, match=r"a learning rate for .*learning_rate\), got none; pass"):
        check_optimizer(functions_of_dicts(1), lambda w, g, state, t: w - 0.2 * g)

    def with_a_default(parameters, grads, learning_rate=0.2):
        return {key: w - learning_rate * grads[f"d{key}"] for key, w in parameters.items()}

    check_optimizer(with_a_default, lambda w, g, state, t: w - 0.2 * g)
    check_optimizer(with_a_default, updates.sgd(0.1))


def test_gradients_in_a_dict_are_found_by_either_name():
    def update(params, grads):
        assert "dW1" in grads
        assert "W1" in grads
        assert "dV1" not in grads
        assert grads.get("dV1") is None
        assert list(grads) == ["W1", "b1", "W2", "b2"]
        return {key: w - LR * grads[f"d_{key}"] for key, w in params.items()}

    check_optimizer(update, updates.sgd(LR))


class TestWhatIsTold:
    def test_what_takes_nothing_has_to_be_made(self):
        class Optimizer:
            def __init__(self, params):
                self.params = params

            def step(self):
                raise AssertionError

        text = r"lambda params: MyOptimizer\(params\).*\n  tried step\(\): it takes no parameters"
        with pytest.raises(TypeError, match=text):
            check_optimizer(Optimizer([]), updates.sgd(LR))
        with pytest.raises(TypeError, match="tried Optimizer: a class; make an object of it"):
            check_optimizer(Optimizer, updates.sgd(LR))
        with pytest.raises(
            TypeError, match=r"to make an optimizer with step\(\).* got int from it"
        ):
            check_optimizer(lambda params: 3, updates.sgd(LR))

    def test_what_takes_too_much_has_to_be_wrapped(self):
        def update(parameters, grads, v, s):
            raise AssertionError

        with pytest.raises(TypeError, match=r"tried update\(.*\): what is v, s\? Wrap it"):
            check_optimizer(update, updates.sgd(LR))

    def test_all_attempts_are_told(self):
        class Optimizer:
            def update(self, params, grads):
                return params.nothing

        text = r"(?s)with dicts: AttributeError: .*with lists: Attr.*with one array at a time: Attr"
        with pytest.raises(TypeError, match=text):
            check_optimizer(Optimizer(), updates.sgd(LR))

    def test_an_error_of_the_only_design_is_its_own(self):
        class Optimizer:
            def step(self, net):
                return {}["nothing"]

        with pytest.raises(KeyError, match="nothing"):
            check_optimizer(Optimizer(), updates.sgd(LR))

    def test_an_object_without_a_design(self):
        with pytest.raises(
            TypeError, match=r"got 3 \(int\)\n  tried step: there is no such method"
        ):
            check_optimizer(3, updates.sgd(LR))

        class Optimizer:
            def step(self, grads):
                raise AssertionError

        with pytest.raises(TypeError, match="it has its parameters already; give a function that"):
            check_optimizer(Optimizer(), updates.sgd(LR))

    def test_another_shape(self):
        with pytest.raises(TypeError, match=r"expected w of shape \(3, 4\) after the step, got"):
            check_optimizer(lambda w, g: (w - LR * g).sum(axis=0), updates.sgd(LR), names=["w"])

    def test_nothing_changes(self):
        with pytest.raises(GradientCheckError, match="no parameter changed: return the new w"):
            check_optimizer(lambda w, g: None, updates.sgd(LR))


def test_an_error_after_a_wrong_step_does_not_hide_it():
    class Optimizer:
        t = 0

        def update(self, w, g):
            self.t += 1
            if self.t == 2:
                raise OverflowError
            return w + g

    with pytest.raises(GradientCheckError, match=r"step 1 differs .*\n.*\n.*the step is -100 x"):
        check_optimizer(Optimizer(), updates.sgd(LR))

    class Later(Optimizer):
        def update(self, w, g):
            self.t += 1
            if self.t == 2:
                raise OverflowError
            return w - LR * g

    with pytest.raises(OverflowError):
        check_optimizer(Later(), updates.sgd(LR))
