"""Weights to and from PyTorch and Keras, and networks as ONNX Runtime computes them.

What is written to ONNX is compared with the network for every model and every kind of layer; what
goes to PyTorch, with modules written by hand, as users write them.
"""

from __future__ import annotations

import copy
import re
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

import elunet as eln
from elunet.exchange import (
    OnnxGraph,
    from_keras,
    from_torch,
    keras_names,
    to_keras,
    to_onnx,
    to_torch,
    torch_names,
)
from elunet.layers import (
    ELU,
    Add,
    BatchNorm,
    Conv2D,
    Dropout,
    Flatten,
    GlobalMeanPool2D,
    Layer,
    LeakyReLU,
    Linear,
    MaxPool2D,
    MeanPool2D,
    ReLU,
    ShiftedReLU,
    Softmax,
    Tanh,
)

onnxruntime = pytest.importorskip("onnxruntime")

# PyTorch says that an even kernel costs it a copy; it computes what it should.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")

LIMIT = {np.float32: 1e-4, np.float64: 1e-9}
PAGE = Path(__file__).parents[1] / "docs" / "exchange.md"


def images(shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def scrambled(net, seed=1):
    """Return the network with biases and BatchNorm's arrays changed from their initial values."""
    rng = np.random.default_rng(seed)
    for layer in net:
        for arrays in (layer.params, layer.state):
            for key, array in arrays.items():
                if array.ndim == 1:
                    low = 0.5 if key in ("gamma", "running_var") else -0.5
                    array[...] = rng.uniform(low, low + 1, array.shape)
    return net


def agree(ours, theirs, limit):
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=limit * np.abs(theirs).max())


def snapshot(net):
    return copy.deepcopy([(layer.params, layer.state) for layer in net])


def equal(before, after):
    return str(before) == str(after) and all(
        np.array_equal(one[key], other[key])
        for pair, others in zip(before, after, strict=True)
        for one, other in zip(pair, others, strict=True)
        for key in one
    )


# PyTorch


@pytest.fixture
def torch():
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield torch
    torch.set_num_threads(before)


def layers_of_both(torch):
    """Return the same layers twice, with a Flatten whose order differs, and layers after it."""
    nn = torch.nn
    ours = [
        Conv2D(3, 6, (3, 2)),
        BatchNorm(6),
        ELU(0.7),
        MaxPool2D(2),
        Conv2D(6, 5, 3, stride=2, padding=(1, 2), bias=False),
        LeakyReLU(0.2),
        Flatten(),
        BatchNorm(3 * 4 * 5),
        Dropout(0.5),
        Linear(3 * 4 * 5, 7),
        Tanh(),
        Linear(7, 4, bias=False),
    ]
    theirs = [
        nn.Conv2d(3, 6, (3, 2), padding="same"),
        nn.BatchNorm2d(6),
        nn.ELU(0.7),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 5, 3, stride=2, padding=(1, 2), bias=False),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.BatchNorm1d(3 * 4 * 5),
        nn.Dropout(0.5),
        nn.Linear(3 * 4 * 5, 7),
        nn.Tanh(),
        nn.Linear(7, 4, bias=False),
    ]
    with torch.no_grad():
        for module in theirs:
            for name, array in [*module.named_parameters(), *module.named_buffers()]:
                if array.ndim == 1:
                    array.uniform_(0.5, 1.5) if "var" in name else array.uniform_(-1, 1)
    return eln.Sequential(ours, seed=0), nn.Sequential(*theirs).eval()


SHAPE = (11, 12, 3)  # odd and unequal, so that no order of axes passes for another


def run_module(torch, module, x):
    with torch.no_grad():
        y = module(torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))).numpy()
    return y.transpose(0, 2, 3, 1) if y.ndim == 4 else y


def tensors(torch, arrays):
    return {name: torch.as_tensor(array) for name, array in arrays.items()}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_from_torch_and_back_is_the_same_to_the_bit(torch, dtype):
    net, module = layers_of_both(torch)
    module.to(torch.float64 if dtype == np.float64 else torch.float32)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():  # numbers that float32 does not have, where it is not
                tensor += 1e-3 * torch.rand_like(tensor)
    before = copy.deepcopy(module.state_dict())
    names = torch_names(net, before)
    from_torch(net, before, names, input_shape=SHAPE)

    x = images((5, *SHAPE), dtype)
    agree(net(x), run_module(torch, module, x), LIMIT[dtype])

    arrays = to_torch(net, names, input_shape=SHAPE)
    assert arrays.keys() == before.keys()
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.zero_()
    module.load_state_dict(tensors(torch, arrays))
    for name, tensor in module.state_dict().items():
        assert tensor.dtype == before[name].dtype
        assert torch.equal(tensor, before[name]) or name.endswith("num_batches_tracked")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_to_torch_and_back_is_the_same_to_the_bit(torch, dtype):
    net, module = layers_of_both(torch)
    scrambled(net)
    before = snapshot(net)
    module.to(torch.float64 if dtype == np.float64 else torch.float32)
    names = torch_names(net, module.state_dict())
    arrays = to_torch(net, names, input_shape=SHAPE)
    module.load_state_dict(tensors(torch, arrays))

    x = images((5, *SHAPE), dtype)
    agree(net(x), run_module(torch, module, x), LIMIT[dtype])

    other, _ = layers_of_both(torch)
    from_torch(other, arrays, names, input_shape=SHAPE)
    assert equal(before, snapshot(other))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_elu11_in_pytorch(torch, dtype):
    nn = torch.nn
    net = scrambled(eln.models.elu11(widths=(8, 9, 10, 11, 12, 13, 14, 15, 16, 17)))
    modules = []
    for layer in net:
        if isinstance(layer, Conv2D):
            sizes = (layer.in_channels, layer.out_channels, layer.kernel_size)
            modules.append(nn.Conv2d(*sizes, padding="same"))
        elif isinstance(layer, GlobalMeanPool2D):
            modules += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        else:
            modules.append(
                {ELU: nn.ELU, MaxPool2D: lambda: nn.MaxPool2d(2)}.get(type(layer), nn.Identity)()
            )
    module = nn.Sequential(*modules).eval()
    module.load_state_dict(tensors(torch, to_torch(net, torch_names(net, module.state_dict()))))
    module.to(torch.float64 if dtype == np.float64 else torch.float32)
    x = images((3, 32, 32, 3), dtype)
    agree(net(x), run_module(torch, module, x), LIMIT[dtype])


def test_a_graph_with_names_of_its_own(torch):
    """Images flattened on two paths, and a state dict made by hand."""
    net = eln.Network(seed=0)
    net.add(Conv2D(3, 4, 3), name="stem")
    net.add(Flatten(), name="left")
    net.add(ReLU(), inputs="stem")
    net.add(Flatten(), name="right")
    net.add(Add(), inputs=["left", "right"])
    net.add(Linear(6 * 5 * 4, 2), name="head")
    arrays = to_torch(net, {"stem": "body.0", "head": "classifier"}, input_shape=(6, 5, 3))
    assert list(arrays) == [
        "body.0.weight",
        "body.0.bias",
        "classifier.weight",
        "classifier.bias",
    ]
    weights = tensors(torch, arrays)
    x = images((2, 6, 5, 3))
    z = torch.nn.functional.conv2d(
        torch.from_numpy(x).permute(0, 3, 1, 2),
        weights["body.0.weight"],
        weights["body.0.bias"],
        padding=1,
    )
    both = z.flatten(1) + z.relu().flatten(1)
    y = both @ weights["classifier.weight"].T + weights["classifier.bias"]
    agree(net(x), y.numpy(), 1e-5)


def test_one_module_alone_and_parameters_with_gradients(torch):
    module = torch.nn.Linear(3, 2)
    net = eln.Sequential([Linear(3, 2)])
    from_torch(net, dict(module.named_parameters()), {"linear1": ""})
    x = images((4, 3))
    agree(net(x), module(torch.from_numpy(x)).detach().numpy(), 1e-6)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32"])
def test_narrow_tensors_stay_exact_and_leave_the_dtype(torch, kind):
    net = eln.Sequential([Linear(3, 2)])
    held = net["linear1"].params["W"]
    tensor = torch.randn(2, 3).to(getattr(torch, kind))
    from_torch(net, {"linear1.weight": tensor, "linear1.bias": torch.zeros(2)})
    assert net["linear1"].params["W"] is held
    assert held.dtype == np.float32
    assert np.array_equal(held.T, tensor.double().numpy())


def test_to_torch_gives_copies():
    net = eln.Sequential([Linear(3, 2), BatchNorm(2)], seed=0)
    before = snapshot(net)
    for array in to_torch(net).values():
        array += 1
    assert equal(before, snapshot(net))


def test_mismatches_are_listed_and_change_nothing():
    net = scrambled(eln.Sequential([Conv2D(3, 4, 2), BatchNorm(4)], seed=0))
    before = snapshot(net)
    state_dict = to_torch(net)
    state_dict["conv1.weight"] = np.zeros((2, 2, 3, 4))
    state_dict["conv1.bias"] = np.zeros(4, int)
    state_dict["extra.bias"] = state_dict.pop("batchnorm1.bias")
    state_dict["batchnorm1.weight"] += 1
    with pytest.raises(ValueError, match="from_torch: expected state_dict to fit") as caught:
        from_torch(net, state_dict)
    assert str(caught.value).splitlines()[1:] == [
        "  batchnorm1.bias, here batchnorm1.beta: not in the state_dict",
        "  extra.bias: not in the network",
        "  conv1.weight, here conv1.W: expected floats of shape (4, 3, 2, 2), got float64 of shape"
        " (2, 2, 3, 4)",
        "  conv1.bias, here conv1.b: expected floats of shape (4,), got int64 of shape (4,)",
    ]
    assert equal(before, snapshot(net))


def test_wrong_names():
    net = eln.Sequential([Linear(3, 3), Linear(3, 3)])
    with pytest.raises(ValueError, match="expected names of layers among .*, got .'linear3'."):
        to_torch(net, {"linear3": "a"})
    with pytest.raises(ValueError, match="got a.weight for linear1.W and linear2.W"):
        to_torch(net, {"linear1": "a", "linear2": "a"})
    with pytest.raises(ValueError, match="layers, 2 .linear1, linear2., got 1 .0."):
        torch_names(net, {"0.weight": 0, "0.bias": 0})


def test_what_is_no_state_dict(torch):
    net = eln.Sequential([Linear(3, 3)])
    with pytest.raises(TypeError, match="got Linear; a module's is module.state_dict"):
        from_torch(net, torch.nn.Linear(3, 3))
    with pytest.raises(TypeError, match="torch_names: expected state_dict as a dict.*, got list$"):
        torch_names(net, [])


def test_flatten_needs_the_shape():
    net = eln.Sequential([Flatten(), Linear(12, 3)])
    with pytest.raises(ValueError, match="to_torch: expected input_shape.*flatten1 flattens in"):
        to_torch(net)
    with pytest.raises(TypeError, match="to_torch: expected input_shape as a tuple"):
        to_torch(net, input_shape=12)
    with pytest.raises(ValueError, match="input_shape of at least 1, got 0"):
        to_torch(net, input_shape=(0, 4))
    assert to_torch(net, input_shape=(12,))["linear1.weight"].shape == (3, 12)


@pytest.mark.parametrize("shape", [(12,), (3, 4, 1), (1, 1, 12)])
def test_flatten_of_one_axis_moves_nothing(shape):
    net = eln.Sequential([Flatten(), Linear(12, 3), Flatten(), Linear(3, 2)], seed=0)
    weight = to_torch(net, input_shape=shape)["linear1.weight"]
    assert np.array_equal(weight, net["linear1"].params["W"].T)


def test_rows_behind_a_flattened_sequence(torch):
    """(N, T, C) here is (N, C, T) there."""
    net = eln.Sequential([ELU(), Flatten(), Linear(12, 3)], seed=0)
    arrays = tensors(torch, to_torch(net, input_shape=(4, 3)))
    x = images((2, 4, 3))
    z = torch.nn.functional.elu(torch.from_numpy(x).permute(0, 2, 1)).flatten(1)
    agree(net(x), (z @ arrays["linear1.weight"].T + arrays["linear1.bias"]).numpy(), 1e-6)


def test_features_in_two_orders_cannot_be_added():
    net = eln.Network()
    net.add(Flatten())
    net.add(Linear(12, 12))
    net.add(Add(), inputs=["flatten1", "linear1"])
    with pytest.raises(ValueError, match="expected the inputs of add1 to have their features in"):
        to_torch(net, input_shape=(2, 2, 3))


class Swish(Layer):
    def __init__(self, channels):
        super().__init__()
        self.params["beta"] = np.linspace(0.5, 2, channels).astype(np.float32)

    def forward(self, x, train=False):
        return x / (1 + np.exp(-self.params["beta"] * x))


class Scale(Swish):
    pointwise = True


def test_custom_layers_keep_names_and_layout():
    net = eln.Sequential([Conv2D(3, 4, 1), Swish(4)])
    assert np.array_equal(to_torch(net)["swish1.beta"], net["swish1"].params["beta"])
    net = eln.Sequential([Flatten(), Swish(12)])
    with pytest.raises(ValueError, match="layer after Flatten, got Swish.. .swish1., which may"):
        to_torch(net, input_shape=(2, 2, 3))
    net = eln.Sequential([Flatten(), Scale(12)])
    beta = to_torch(net, input_shape=(2, 2, 3))["scale1.beta"].reshape(3, 2, 2)
    assert np.array_equal(beta.transpose(1, 2, 0).ravel(), net["scale1"].params["beta"])


def test_a_backward_pass_may_still_follow():
    net = eln.Sequential([Conv2D(3, 4, 2), Dropout(0.5), Flatten(), Linear(64, 2)], seed=0)
    net.forward(images((2, 4, 4, 3)), train=True)
    expected = copy.deepcopy(net).backward(np.ones((2, 2), np.float32))
    to_torch(net, input_shape=(4, 4, 3))
    assert np.array_equal(net.backward(np.ones((2, 2), np.float32)), expected)


def test_a_part_of_a_network():
    net = eln.Sequential([Linear(3, 4), Linear(4, 2)], seed=0)
    head = net["linear2"].params["W"].copy()
    from_torch(net, {**to_torch(net), "linear1.weight": np.ones((4, 3), np.float32)})
    assert (net["linear1"].params["W"] == 1).all()
    assert np.array_equal(net["linear2"].params["W"], head)


@pytest.mark.parametrize(
    "given",
    [
        {"groups": 2},
        {"groups": 6},
        {"groups": 3, "dilation": (2, 1)},
        {"dilation": 3, "stride": (1, 2)},
        {"padding_mode": "reflect"},
        {"groups": 2, "dilation": 2, "padding_mode": "replicate", "stride": 2},
    ],
    ids=["groups", "depthwise", "dilated-groups", "dilated", "reflect", "all"],
)
def test_convolutions_with_groups_dilation_and_borders(torch, given):
    net = eln.Sequential([Conv2D(6, 12, (3, 2), padding=(2, 1), **given)], seed=0)
    module = torch.nn.Conv2d(6, 12, (3, 2), padding=(2, 1), **given)
    arrays = module.state_dict()
    names = torch_names(net, arrays)
    from_torch(net, arrays, names)
    assert net["conv1"].params["W"].shape == (3, 2, 6 // given.get("groups", 1), 12)
    x = images((3, 9, 8, 6))
    agree(net(x), run_module(torch, module, x), 1e-5)
    for name, array in to_torch(net, names).items():
        assert np.array_equal(array, arrays[name].numpy())


def norms_of_both(torch):
    """Return normalizations and a PReLU twice, some behind a Flatten whose order differs."""
    nn = torch.nn
    ours = [
        BatchNorm(4, momentum=None),
        eln.layers.GroupNorm(2, 4),
        eln.layers.PReLU(4),
        eln.layers.InstanceNorm(4, affine=True),
        BatchNorm(4, affine=False),
        Flatten(),
        eln.layers.LayerNorm(24),
        eln.layers.PReLU(24),
        eln.layers.PReLU(),
        Linear(24, 3),
    ]
    theirs = [
        nn.BatchNorm2d(4, momentum=None),
        nn.GroupNorm(2, 4),
        nn.PReLU(4),
        nn.InstanceNorm2d(4, affine=True),
        nn.BatchNorm2d(4, affine=False),
        nn.Flatten(),
        nn.LayerNorm(24),
        nn.PReLU(24),
        nn.PReLU(),
        nn.Linear(24, 3),
    ]
    with torch.no_grad():
        for module in theirs:
            for array in module.parameters():
                array.uniform_(0.5, 1.5)
    return eln.Sequential(ours, seed=0), nn.Sequential(*theirs)


def test_normalizations_and_slopes_from_pytorch(torch):
    net, module = norms_of_both(torch)
    x = images((5, 2, 3, 4))
    tensor = torch.from_numpy(x).permute(0, 3, 1, 2)
    for _ in range(3):
        module(tensor)  # moves the averages, and counts the batches
    names = torch_names(net, module.state_dict())
    from_torch(net, module.state_dict(), names, (2, 3, 4))
    assert net["batchnorm1"].state["batches"] == 3
    agree(net(x), module.eval()(tensor).detach().numpy(), 1e-5)
    net.forward(x, train=True)
    module.train()(tensor)
    agree(net(x), module.eval()(tensor).detach().numpy(), 1e-5)
    back = {name: torch.as_tensor(a) for name, a in to_torch(net, names, (2, 3, 4)).items()}
    assert back["0.num_batches_tracked"] == 4
    module.load_state_dict(back)
    agree(net(x), module.eval()(tensor).detach().numpy(), 1e-5)


def test_groups_of_flattened_features_are_refused():
    net = eln.Sequential([Flatten(), eln.layers.GroupNorm(2, 24)])
    with pytest.raises(ValueError, match=r"no groups of features after Flatten, got GroupNorm\(2"):
        to_torch(net, input_shape=(2, 3, 4))
    to_torch(net, input_shape=(1, 1, 24))  # whose order is PyTorch's


# Keras


def keras_like():
    layers = [Conv2D(3, 4, (3, 2)), BatchNorm(4), ELU(), Flatten(), Linear(4 * 20, 2, bias=False)]
    return scrambled(eln.Sequential(layers, seed=0))


def test_keras_order_and_layout():
    net = keras_like()
    kernel, bias, gamma, beta, mean, var, dense = to_keras(net)
    assert kernel.shape == (3, 2, 3, 4)  # Conv2D: kernel_size + (channels, filters)
    assert dense.shape == (80, 2)  # Dense: (input_dim, units)
    x = images((2, 4, 5, 3), np.float64)
    padded = np.pad(x, [(0, 0), (1, 1), (0, 1), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 2), axis=(1, 2))
    z = np.einsum("nijcuv,uvco->nijo", windows, kernel) + bias
    z = gamma * (z - mean) / np.sqrt(var + 1e-5) + beta
    y = np.where(z > 0, z, np.expm1(z)).reshape(2, -1) @ dense
    agree(net(x), y, 1e-9)


def test_keras_and_back_is_the_same_to_the_bit():
    net = keras_like()
    other = scrambled(keras_like(), seed=5)
    arrays = to_keras(net)
    from_keras(other, arrays)
    assert equal(snapshot(net), snapshot(other))
    arrays[0] += 1
    assert equal(snapshot(net), snapshot(other))


def test_keras_mismatches_are_listed_and_change_nothing():
    net = keras_like()
    before = snapshot(net)
    arrays = [array + 1 for array in to_keras(net)]
    with pytest.raises(ValueError, match="from_keras: expected arrays to fit") as caught:
        from_keras(net, [arrays[0].T, *arrays[1:-1]])
    assert str(caught.value).splitlines()[1:] == [
        "  expected 7 arrays, got 6",
        "  array 0, here conv1.W: expected floats of shape (3, 2, 3, 4), got float32 of shape"
        " (4, 3, 2, 3)",
    ]
    with pytest.raises(TypeError, match="expected arrays as a dict of lists, or a list, got int"):
        from_keras(net, 3)
    with pytest.raises(ValueError, match="conv1, here conv1: expected 2 arrays, got no such layer"):
        from_keras(net, {})
    assert equal(before, snapshot(net))


def residual():
    """A network with a skip, in which two convolutions have arrays of the same shapes."""
    net = eln.Network(seed=0)
    start = net.add(Conv2D(2, 4, 3))
    net.add(Conv2D(4, 4, 3))
    main = net.add(BatchNorm(4))
    net.add(Add(), inputs=[main, net.add(Conv2D(4, 4, 3), "side", inputs=start)])
    net.add(Flatten())
    net.add(Linear(4 * 36, 3))
    return scrambled(net)


def test_a_residual_network_by_the_names_of_keras_layers():
    net, other = residual(), scrambled(residual(), seed=5)
    names = {name: f"keras_{name}" for name in ("conv1", "conv2", "batchnorm1", "side", "linear1")}
    arrays = to_keras(net, names)
    assert list(arrays) == list(names.values())
    with pytest.raises(ValueError, match="because add1 has several inputs and Keras may list"):
        from_keras(other, to_keras(net))
    shuffled = dict(reversed(arrays.items())) | {"activation": []}
    from_keras(other, shuffled, names)
    assert equal(snapshot(net), snapshot(other))
    assert keras_names(net, arrays) == names
    before = snapshot(other)
    for wrong, text in (
        (arrays | {"more": [np.ones(3)]}, "more: not in the network"),
        (arrays | {"keras_side": arrays["keras_side"][:1]}, "expected 2 arrays, got 1 arrays"),
        (arrays | {"keras_side": arrays["keras_side"][::-1]}, "array 0 of side, here side.W"),
    ):
        with pytest.raises(ValueError, match=text):
            from_keras(other, wrong, names)
    for bad, text in (
        ({"elu": "x"}, "expected names of layers with arrays among"),
        ({"conv1": "conv2"}, "expected a different name for each layer"),
    ):
        with pytest.raises(ValueError, match=text):
            from_keras(other, arrays, bad)
    assert equal(before, snapshot(other))
    with pytest.raises(ValueError, match="keras_names: expected 5 layers with arrays"):
        keras_names(net, {"a": [np.ones(2)]})
    with pytest.raises(ValueError, match="matched with conv1, to have arrays of shapes"):
        keras_names(net, dict(reversed(arrays.items())))


def test_a_residual_model_of_keras_itself():
    keras = pytest.importorskip("keras")
    layers = keras.layers
    given = keras.Input((6, 6, 2))
    x = start = layers.Conv2D(4, 3, padding="same", name="first")(given)
    side = layers.Conv2D(4, 3, padding="same", name="b")(start)
    x = layers.Conv2D(4, 3, padding="same", name="a")(x)
    x = layers.BatchNormalization(epsilon=1e-5, name="norm")(x)
    x = layers.Flatten()(layers.Add()([x, side]))
    model = keras.Model(given, layers.Dense(3, name="last")(x))
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 1, w.shape) for w in model.get_weights()])
    arrays = {layer.name: layer.get_weights() for layer in model.layers}
    net = residual()
    names = {"conv1": "first", "conv2": "a", "batchnorm1": "norm", "side": "b", "linear1": "last"}
    from_keras(net, arrays, names)
    images = rng.normal(size=(5, 6, 6, 2)).astype(np.float32)
    agree(net(images), np.asarray(model.predict(images, verbose=0)), 1e-4)
    for layer, given in to_keras(net, names).items():
        model.get_layer(layer).set_weights(given)
    agree(net(images), np.asarray(model.predict(images, verbose=0)), 1e-4)


# ONNX


def run_onnx(file, x):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(str(file), options, providers=providers)
    assert [value.name for value in session.get_inputs()] == ["input"]
    assert [value.name for value in session.get_outputs()] == ["output"]
    return session.run(["output"], {"input": x})[0]


def check_onnx(net, shape, folder, limit=1e-4, **options):
    file = folder / "net.onnx"
    to_onnx(net, shape, file, **options)
    for batch in (1, 3):
        x = images((batch, *shape), seed=batch)
        theirs = run_onnx(file, x)
        assert theirs.dtype == np.float32
        agree(theirs, net(x), limit)
    return onnx.load(file)


MODELS = {
    "elu11": eln.models.elu11,
    "elu11-mean": lambda: eln.models.elu11(pool="mean", alpha=0.5, classes=7),
    "elu18": eln.models.elu18,
    "small-cnn": eln.models.small_cnn,
    "mlp": eln.models.mlp,
    "resnet20": eln.models.resnet,
    "lenet5": lambda: eln.models.lenet5(size=32, channels=3),
    "vgg": lambda: eln.models.vgg(stages=[(8,), (16, 16)]),
    "all-cnn": lambda: eln.models.all_cnn(width=8),
    "locally-connected": lambda: eln.models.locally_connected(widths=(4, 8)),
    **{f"case-{case}": (lambda case=case: eln.models.article_case(case)) for case in "abcde"},
}


def test_no_model_is_left_out():
    tested = {"elu11", "elu18", "article_case", "small_cnn", "mlp"}
    tested |= {"resnet", "lenet5", "vgg", "all_cnn", "locally_connected"}
    assert set(eln.models.__all__) == tested


@pytest.mark.jit
@pytest.mark.parametrize("name", MODELS)
def test_models_in_onnx_runtime(name, tmp_path):
    net = MODELS[name]()
    if name != "elu18":  # it is large, and once is enough
        check_onnx(net, (32, 32, 3), tmp_path, limit=1e-5)
    check_onnx(scrambled(net), (32, 32, 3), tmp_path, limit=1e-5)


def test_larger_images_too(tmp_path):
    check_onnx(eln.models.article_case("b"), (67, 45, 3), tmp_path, limit=1e-5)


LAYERS = {
    "conv": (Conv2D(3, 5, 3), (6, 7, 3)),
    "local": (
        eln.layers.LocallyConnected2D((6, 7), 3, 4, (3, 2), 2, padding="same"),
        (6, 7, 3),
    ),
    "local-no-bias": (
        eln.layers.LocallyConnected2D(5, 2, 3, 3, padding=((0, 1), (2, 0)), bias=False),
        (5, 5, 2),
    ),
    "adaptive-uneven": (eln.layers.AdaptiveMeanPool2D((3, 2)), (5, 7, 3)),
    "adaptive-more": (eln.layers.AdaptiveMeanPool2D(4), (3, 4, 3)),
    "linear": (Linear(6, 4), (6,)),
    "linear-no-bias": (Linear(6, 4, bias=False), (6,)),
    "elu": (ELU(), (4, 5, 3)),
    "elu-alpha": (ELU(0.3), (6,)),
    "relu": (ReLU(), (4, 5, 3)),
    "leaky": (LeakyReLU(0.3), (4, 5, 3)),
    "shifted": (ShiftedReLU(), (4, 5, 3)),
    "tanh": (Tanh(), (4, 3)),
    "sigmoid": (eln.layers.Sigmoid(), (4, 3)),
    "softplus": (eln.layers.Softplus(), (4, 3)),
    "silu": (eln.layers.SiLU(), (4, 5, 3)),
    "gelu": (eln.layers.GELU(), (4, 5, 3)),
    "gelu-tanh": (eln.layers.GELU(tanh=True), (6,)),
    "selu": (eln.layers.SELU(), (4, 5, 3)),
    "celu": (eln.layers.CELU(0.7), (6,)),
    "clipped": (eln.layers.ClippedReLU(1.5), (4, 5, 3)),
    "hardtanh": (eln.layers.HardTanh(-0.5, 2.0), (6,)),
    "logsoftmax": (eln.layers.LogSoftmax(), (6,)),
    "softmax-rows": (Softmax(), (6,)),
    "softmax-images": (Softmax(), (4, 5, 3)),
    "max": (MaxPool2D(2), (7, 9, 3)),
    "max-overlap": (MaxPool2D(3, 2), (8, 9, 3)),
    "mean": (MeanPool2D(2), (7, 9, 3)),
    "mean-apart": (MeanPool2D(2, 3), (9, 10, 3)),
    "conv-groups": (Conv2D(4, 6, 3, groups=2), (5, 6, 4)),
    "conv-depthwise": (Conv2D(4, 8, 3, (2, 1), groups=4, dilation=(1, 2)), (7, 6, 4)),
    "conv-sides": (Conv2D(3, 4, 2, padding=((1, 0), (0, 2))), (5, 6, 3)),
    "conv-reflect": (Conv2D(3, 4, 3, padding_mode="reflect"), (5, 6, 3)),
    "conv-replicate": (Conv2D(3, 4, 4, padding=(1, 2), padding_mode="replicate"), (5, 6, 3)),
    "max-sides": (MaxPool2D((3, 2), (2, 1), ((1, 0), (0, 1))), (7, 9, 3)),
    "max-same": (MaxPool2D(3, 2, "same"), (6, 9, 3)),
    "max-ceil": (MaxPool2D(3, 2, 1, ceil_mode=True), (7, 8, 3)),
    "mean-pad": (MeanPool2D(3, 2, 1), (7, 8, 3)),
    "mean-inside": (MeanPool2D(3, 2, "same", count_include_pad=False), (7, 8, 3)),
    "mean-adaptive": (eln.layers.AdaptiveMeanPool2D((2, 3)), (8, 9, 3)),
    "global": (GlobalMeanPool2D(), (5, 4, 3)),
    "global-max": (eln.layers.GlobalMaxPool2D(), (5, 4, 3)),
    "dropout": (Dropout(0.5), (4, 5, 3)),
    "batchnorm-rows": (BatchNorm(6), (6,)),
    "batchnorm-sequences": (BatchNorm(3), (5, 3)),
    "batchnorm-images": (BatchNorm(3), (4, 5, 3)),
    "batchnorm-plain": (BatchNorm(3, affine=False), (4, 5, 3)),
    "layernorm-rows": (eln.layers.LayerNorm(6), (6,)),
    "layernorm-images": (eln.layers.LayerNorm(3, affine=False), (4, 5, 3)),
    "groupnorm-rows": (eln.layers.GroupNorm(2, 6), (6,)),
    "groupnorm-images": (eln.layers.GroupNorm(2, 6), (4, 5, 6)),
    "groupnorm-plain": (eln.layers.GroupNorm(1, 3, affine=False), (4, 5, 3)),
    "instancenorm": (eln.layers.InstanceNorm(3), (4, 5, 3)),
    "instancenorm-affine": (eln.layers.InstanceNorm(3, affine=True), (5, 3)),
    "prelu": (eln.layers.PReLU(), (4, 5, 3)),
    "prelu-channels": (eln.layers.PReLU(3), (4, 5, 3)),
    "prelu-rows": (eln.layers.PReLU(6), (6,)),
    "alphadropout": (eln.layers.AlphaDropout(0.5), (4, 5, 3)),
    "pad": (eln.layers.Pad(((1, 2), (0, 3))), (4, 5, 3)),
    "pad-reflect": (eln.layers.Pad(((1, 2), (0, 3)), "reflect"), (4, 5, 3)),
    "pad-replicate": (eln.layers.Pad(2, "replicate"), (4, 5, 3)),
    "pad-channels": (eln.layers.Pad(1, channels=(2, 1)), (4, 5, 3)),
    "flatten": (Flatten(), (4, 5, 3)),
    "flatten-rows": (Flatten(), (4,)),
}


def test_no_layer_is_left_out():
    bases = {"Layer", "SpanLayer", "Elementwise", "Weighted"}
    meeting = {"Add", "Multiply", "Concat"}  # which have their own tests
    tested = {type(layer).__name__ for layer, _ in LAYERS.values()}
    assert tested == set(eln.layers.__all__) - bases - meeting


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_alone(name, tmp_path):
    layer, shape = LAYERS[name]
    check_onnx(scrambled(eln.Sequential([copy.deepcopy(layer)], seed=0)), shape, tmp_path, 1e-5)


@pytest.mark.parametrize("padding", ["same", "valid", 1, (0, 2)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_padding_and_strides(padding, stride, tmp_path):
    for kernel in [1, 2, (3, 2), (4, 5)]:
        for height, width in [(5, 6), (8, 7)]:
            net = eln.Sequential([Conv2D(2, 3, kernel, stride, padding)], seed=0)
            check_onnx(net, (height, width, 2), tmp_path, 1e-5)


@pytest.mark.parametrize("padding", ["same", 0, 1, ((0, 1), (2, 0))])
@pytest.mark.parametrize("ceil", [False, True])
def test_pooling(ceil, padding, tmp_path):
    for size, stride in [(3, None), (3, 2), ((3, 4), (2, 3)), (3, (5, 1))]:
        for height, width in [(5, 6), (8, 7), (9, 11)]:
            for kind, more in [(MaxPool2D, []), (MeanPool2D, [True]), (MeanPool2D, [False])]:
                net = eln.Sequential([kind(size, stride, padding, ceil, *more)])
                check_onnx(net, (height, width, 2), tmp_path, 1e-5)


def test_small_numbers_keep_their_digits(tmp_path):
    net = eln.Sequential([ELU(2.0)])
    to_onnx(net, (4,), tmp_path / "net.onnx")
    x = np.array([[-1e-6, -1e-20, -1e-3, -40], [-0.0, 1e-20, np.inf, -np.inf]], np.float32)
    np.testing.assert_allclose(run_onnx(tmp_path / "net.onnx", x), net(x), rtol=1e-6)


def test_a_graph_whose_paths_have_both_layouts(tmp_path):
    net = eln.Network(seed=0)
    net.add(ELU(), name="last")  # channels last, as the input is
    net.add(Conv2D(3, 3, 2), inputs="input")  # channels first
    net.add(Add(), inputs=["last", "conv1", "input"])
    net.add(Dropout(0.5))
    net.add(MaxPool2D(2), name="pooled")
    net.add(Flatten(), name="output")  # a layer may be called like the file's output
    net.add(BatchNorm(3 * 2 * 3), name="norm")
    net.add(Add(), name="sum", inputs=["output", "norm"])
    net.add(Linear(18, 5))
    net.add(Softmax())
    net.add(Dropout(0.5))
    model = check_onnx(scrambled(net), (6, 5, 3), tmp_path, 1e-5)
    # In, out for the first sum, back behind it, and out for Flatten: none twice.
    assert [node.op_type for node in model.graph.node].count("Transpose") <= 4


@pytest.mark.parametrize("gate_first", [False, True])
@pytest.mark.parametrize("kind", [Add, eln.layers.Multiply])
def test_gates_meet_images_in_either_layout(kind, gate_first, tmp_path):
    net = eln.Network(seed=0)
    net.add(Conv2D(3, 4, 3), name="images")
    net.add(GlobalMeanPool2D())
    net.add(Linear(4, 4), name="gate")
    taken = ["gate", "images"] if gate_first else ["images", "gate"]
    net.add(kind(), name="gated", inputs=taken)
    net.add(Softmax(), name="last")
    net.add(kind(), inputs=["last", "gate", "gated"])
    check_onnx(scrambled(net), (6, 5, 3), tmp_path, 1e-5)


@pytest.mark.parametrize("axis", [-1, 1, 2])
def test_concat(axis, tmp_path):
    net = eln.Network(seed=0)
    net.add(Conv2D(3, 3, 3), name="images")
    net.add(ELU(), inputs="input")
    net.add(eln.layers.Concat(axis), inputs=["images", "elu1", "input"])
    net.add(MaxPool2D(2))
    check_onnx(scrambled(net), (6, 5, 3), tmp_path, 1e-5)


def test_a_network_that_gives_images(tmp_path):
    net = eln.Sequential([Conv2D(3, 4, 3), ELU(), MeanPool2D(2)], seed=0)
    check_onnx(net, (6, 8, 3), tmp_path, 1e-5)
    net.add(Softmax())  # over the channels, wherever they are
    check_onnx(net, (6, 8, 3), tmp_path, 1e-5)


def test_dropout_alone_and_weights_in_float64(tmp_path):
    check_onnx(eln.Sequential([Dropout(0.5)]), (3,), tmp_path)
    net = eln.Sequential([Linear(3, 2)], seed=0)
    net["linear1"].params["W"] = net["linear1"].params["W"].astype(np.float64)
    check_onnx(net, (3,), tmp_path)


def test_the_file_says_what_it_is(tmp_path):
    model = check_onnx(eln.models.article_case("b"), (32, 32, 3), tmp_path)
    assert model.producer_name == "elunet"
    assert model.opset_import[0].version == 17
    (value,) = model.graph.input
    sizes = value.type.tensor_type.shape.dim
    assert [size.dim_param or size.dim_value for size in sizes] == ["N", 32, 32, 3]
    assert "conv1.W" in {constant.name for constant in model.graph.initializer}
    assert not any("dropout" in node.name for node in model.graph.node)


def swish(graph, layer, x):
    assert graph.shape(x) == (4, 5, 3)
    beta = graph.constant(layer.params["beta"], "beta")
    return graph.node("Mul", x, graph.node("Sigmoid", graph.node("Mul", beta, x)))


def test_converters_for_custom_layers(tmp_path):
    net = eln.Sequential([Conv2D(3, 3, 3), Swish(3), MaxPool2D(), Flatten(), Linear(12, 2)], seed=0)
    with pytest.raises(ValueError, match=r"converter, got swish1: Swish\(\); give one with conv"):
        to_onnx(net, (4, 5, 3), tmp_path / "none.onnx")
    assert not (tmp_path / "none.onnx").exists()
    check_onnx(net, (4, 5, 3), tmp_path, 1e-5, converters={Swish: swish})
    twice = eln.Sequential([Scale(3), Scale(3)])
    check_onnx(twice, (4, 5, 3), tmp_path, 1e-5, converters={Swish: swish})  # for a subclass, too


class ArticleELU(ELU):
    def backward_input(self, dy):
        return 2 * super().backward_input(dy)


class ClippedELU(ELU):
    def forward(self, x, train=False):
        return np.minimum(super().forward(x, train), 1)


def test_subclasses(tmp_path):
    """A subclass with its own backward predicts like its base; one with its own forward not."""
    check_onnx(eln.Sequential([ArticleELU()]), (3,), tmp_path)
    net = eln.Sequential([ClippedELU()])
    with pytest.raises(ValueError, match="clippedelu1: ClippedELU"):
        to_onnx(net, (3,), tmp_path / "net.onnx")

    def clipped(graph, layer, x):
        y = graph.node("Elu", x, alpha=layer.alpha)
        return graph.node("Min", y, graph.constant(1.0))

    check_onnx(net, (3,), tmp_path, converters={ClippedELU: clipped})


def test_wrong_converters_and_shapes(tmp_path):
    net, file = eln.Sequential([Swish(3)]), tmp_path / "net.onnx"
    with pytest.raises(
        TypeError, match="expected the converter for swish1 .* the name of a tensor"
    ):
        to_onnx(net, (3,), file, converters={Swish: lambda graph, layer, x: None})
    with pytest.raises(ValueError, match="OnnxGraph: expected value as a layer's input, got 'y'"):
        to_onnx(net, (3,), file, converters={Swish: lambda graph, layer, x: graph.shape("y")})
    with pytest.raises(onnx.checker.ValidationError):
        to_onnx(
            net, (3,), file, converters={Swish: lambda graph, layer, x: graph.node("Nonsense", x)}
        )
    with pytest.raises(ValueError, match="expected x of shape"):
        to_onnx(eln.Sequential([Linear(3, 2)]), (4,), file)
    with pytest.raises(TypeError, match="to_onnx: expected input_shape as an integer"):
        to_onnx(net, ("3",), file)
    assert not file.exists()


def test_without_the_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match="expected the package onnx to be installed"):
        to_onnx(eln.Sequential([ELU()]), (3,), tmp_path / "net.onnx")
    with pytest.raises(ImportError, match="pip install onnx"):
        OnnxGraph()


def test_a_forward_pass_before_is_as_it_was(tmp_path):
    net = eln.Sequential([Conv2D(3, 8, 3), ELU(), Flatten(), Linear(512, 3)], seed=0)
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    net.forward(x)
    y = net.forward(x, train=True)
    expected = net.backward(np.cos(y))
    eln.exchange.to_onnx(net, (8, 8, 3), tmp_path / "net.onnx")
    np.testing.assert_array_equal(net.backward(np.cos(y)), expected)


def test_the_network_is_as_before(tmp_path):
    net = scrambled(eln.Sequential([Conv2D(3, 4, 2), BatchNorm(4), Dropout(0.5)], seed=0))
    before = snapshot(net)
    y = net.forward(images((2, 4, 4, 3)), train=True)
    state = snapshot(net)
    expected = copy.deepcopy(net).backward(np.ones_like(y))
    to_onnx(net, (4, 4, 3), tmp_path / "net.onnx")
    assert equal(state, snapshot(net))
    assert not equal(before, state)  # the averages moved, in training
    assert np.array_equal(net.backward(np.ones_like(y)), expected)


def test_the_page_with_pytorch_runs(torch, tmp_path, monkeypatch):
    """docs/exchange.md with the blocks that need PyTorch, marked py; the others run elsewhere."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```(python|py)\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    assert "py" in {language for language, _ in blocks}
    namespace = {"__name__": "exchange"}
    for _, code in blocks:
        exec(code, namespace)
