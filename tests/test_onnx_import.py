"""Networks from ONNX files: elunet's own, and those that others write."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import onnx
import pytest
from test_exchange import LAYERS, scrambled

import elunet as eln
from elunet.exchange import from_onnx, to_onnx

onnxruntime = pytest.importorskip("onnxruntime")

NOT_READ = {  # what to_onnx writes as several nodes; the first is named
    "batchnorm-sequences", "instancenorm-affine", "local", "local-no-bias", "adaptive-uneven",
    "adaptive-more",
}  # fmt: skip


def run_onnx(file, x):
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {session.get_inputs()[0].name: x})
    return y


def agree(net, file, x, channels_first=False):
    given = np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if channels_first else x
    expected = run_onnx(file, given)
    got = net(x)
    if channels_first and got.ndim == 4:
        got = got.transpose(0, 3, 1, 2)
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5 * scale)


NOTHING = {"dropout", "alphadropout", "flatten-rows"}  # nothing of them is in the file


@pytest.mark.parametrize("name", sorted(LAYERS.keys() - NOT_READ - NOTHING))
def test_every_layer_there_and_back(name, tmp_path):
    layer, shape = LAYERS[name]
    net = scrambled(eln.Sequential([copy.deepcopy(layer)], seed=0))
    to_onnx(net, shape, tmp_path / "net.onnx")
    x = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    agree(from_onnx(tmp_path / "net.onnx"), tmp_path / "net.onnx", x)


@pytest.mark.parametrize("name", sorted(NOT_READ))
def test_what_is_not_read_is_named(name, tmp_path):
    layer, shape = LAYERS[name]
    net = scrambled(eln.Sequential([copy.deepcopy(layer)], seed=0))
    to_onnx(net, shape, tmp_path / "net.onnx")
    with pytest.raises(ValueError, match="from_onnx: expected .*, node"):
        from_onnx(tmp_path / "net.onnx")


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (eln.models.elu11(widths=(8,) * 10), (32, 32, 3)),
        (eln.models.resnet(8, widths=(4, 8, 16)), (32, 32, 3)),
        (eln.models.lenet5(), (28, 28, 1)),
        (eln.models.vgg(stages=[(4,), (8, 8)]), (16, 16, 3)),
        (eln.models.all_cnn(width=4), (32, 32, 3)),
        (eln.models.mlp(widths=(8, 8)), (32, 32, 3)),
    ],
    ids=["elu11", "resnet", "lenet", "vgg", "all_cnn", "mlp"],
)
def test_networks_there_and_back(net, shape, tmp_path):
    net = scrambled(copy.deepcopy(net))
    to_onnx(net, shape, tmp_path / "net.onnx")
    again = from_onnx(tmp_path / "net.onnx")
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    agree(again, tmp_path / "net.onnx", x)
    np.testing.assert_allclose(again(x), net(x), rtol=1e-4, atol=1e-4)
    logits = again.forward(x, train=True)  # and it can be trained on
    eln.routers.Backprop().backward(again, np.ones_like(logits))
    assert all(np.isfinite(g).all() for g in again.gradients().values())


def exported(torch, module, shape, file):
    """Write a module of PyTorch to a file, with random statistics, and return it."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            part.running_mean.uniform_(-0.5, 0.5)
            part.running_var.uniform_(0.5, 1.5)
        if isinstance(part, torch.nn.GroupNorm | torch.nn.LayerNorm) and part.weight is not None:
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
            torch.nn.init.uniform_(part.bias, -0.5, 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), torch.zeros(1, *shape), str(file), dynamo=False, input_names=["x"],
            dynamic_axes={"x": {0: "N"}}, opset_version=20,
        )  # fmt: skip


TORCH_NAMES = ["lenet", "squeezenet", "resnet50", "excited", "vgg", "normalized", "convnext"]


def torch_modules(torch):
    """Return {name: (module, (C, H, W))}."""
    nn = torch.nn

    class Fire(nn.Module):
        """SqueezeNet's block (Iandola et al. 2016)."""

        def __init__(self, before, squeezed, half):
            super().__init__()
            self.squeeze = nn.Conv2d(before, squeezed, 1)
            self.left, self.right = nn.Conv2d(squeezed, half, 1), nn.Conv2d(squeezed, half, 3, 1, 1)

        def forward(self, x):
            x = torch.relu(self.squeeze(x))
            return torch.cat([torch.relu(self.left(x)), torch.relu(self.right(x))], dim=1)

    class Bottleneck(nn.Module):
        """ResNet-50's block (He et al. 2016)."""

        def __init__(self, before, width, stride):
            super().__init__()
            self.main = nn.Sequential(
                nn.Conv2d(before, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
                nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
                nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width),
            )  # fmt: skip
            self.side = nn.Identity()
            if stride > 1 or before != 4 * width:
                convolution = nn.Conv2d(before, 4 * width, 1, stride, bias=False)
                self.side = nn.Sequential(convolution, nn.BatchNorm2d(4 * width))

        def forward(self, x):
            return torch.relu(self.main(x) + self.side(x))

    class Excited(nn.Module):
        """Squeeze and excitation (Hu et al. 2018), with SiLU."""

        def __init__(self):
            super().__init__()
            self.conv, self.pool = nn.Conv2d(3, 8, 3, groups=1, padding=1), nn.AdaptiveAvgPool2d(1)
            self.down, self.up = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
            self.depthwise = nn.Conv2d(8, 8, 3, 1, 1, groups=8)

        def forward(self, x):
            x = nn.functional.silu(self.conv(x))
            gate = torch.sigmoid(self.up(torch.relu(self.down(self.pool(x)))))
            return self.depthwise(x * gate).mean(dim=(2, 3))

    class Next(nn.Module):
        """ConvNeXt's block (Liu et al. 2022): channels go last, and first again."""

        def __init__(self, width):
            super().__init__()
            self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
            self.norm, self.up = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, 4 * width)
            self.down = nn.Linear(4 * width, width)
            self.scale = nn.Parameter(torch.linspace(0.5, 1.5, width))

        def forward(self, x):
            y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
            y = self.down(nn.functional.gelu(self.up(y))) * self.scale
            return x + y.permute(0, 3, 1, 2)

    def layers(widths, counts):
        made, before = [], 64
        for stage, (width, count) in enumerate(zip(widths, counts, strict=True)):
            for block in range(count):
                made.append(Bottleneck(before, width, 2 if stage and not block else 1))
                before = 4 * width
        return made

    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    end = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000)]
    return {
        "lenet": (
            nn.Sequential(
                nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5),
                nn.Sigmoid(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.Sigmoid(),
                nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10),
            ),
            (1, 28, 28),
        ),
        "squeezenet": (
            nn.Sequential(
                nn.Conv2d(3, 64, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True),
                Fire(64, 16, 64), Fire(128, 16, 64), nn.MaxPool2d(3, 2, ceil_mode=True),
                Fire(128, 32, 128), nn.MaxPool2d(3, 2, ceil_mode=True), Fire(256, 48, 192),
                nn.Dropout(0.5), nn.Conv2d(384, 10, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
            ),
            (3, 64, 64),
        ),
        "resnet50": (
            nn.Sequential(
                *stem, nn.MaxPool2d(3, 2, 1), *layers((64, 128, 256, 512), (3, 4, 6, 3)), *end
            ),
            (3, 64, 64),
        ),
        "excited": (Excited(), (3, 9, 8)),
        "vgg": (
            nn.Sequential(
                nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.LeakyReLU(0.2),
                nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ELU(),
                nn.Flatten(), nn.BatchNorm1d(16 * 16), nn.Linear(16 * 16, 20), nn.PReLU(),
                nn.Hardtanh(-1, 2), nn.ReLU6(), nn.Softplus(), nn.Linear(20, 10), nn.Softmax(1),
            ),
            (3, 8, 8),
        ),
        "normalized": (
            nn.Sequential(
                nn.Conv2d(3, 6, 3, padding=1), nn.GroupNorm(2, 6), nn.ReLU(),
                nn.Conv2d(6, 4, 3), nn.InstanceNorm2d(4, affine=True), nn.Tanh(),
                nn.GroupNorm(1, 4, affine=False), nn.InstanceNorm2d(4), nn.Flatten(),
                nn.LayerNorm(4 * 6 * 6), nn.Linear(4 * 6 * 6, 9), nn.GroupNorm(3, 9), nn.SiLU(),
                nn.LayerNorm(9, eps=1e-3), nn.Linear(9, 5),
            ),
            (3, 8, 8),
        ),
        "convnext": (nn.Sequential(nn.Conv2d(3, 8, 4, 4), Next(8), Next(8)), (3, 32, 32)),
    }  # fmt: skip


@pytest.mark.parametrize("name", TORCH_NAMES)
def test_what_pytorch_writes(name, tmp_path):
    torch = pytest.importorskip("torch")
    module, shape = torch_modules(torch)[name]
    exported(torch, module, shape, tmp_path / "net.onnx")
    net = from_onnx(tmp_path / "net.onnx")
    x = np.random.default_rng(0).normal(size=(2, *shape[1:], shape[0])).astype(np.float32)
    agree(net, tmp_path / "net.onnx", x, channels_first=True)
    if name == "resnet50":
        count = sum(p.numel() for p in module.parameters())
        assert sum(w.size for w in net.parameters().values()) <= count  # BatchNorm is folded in
        assert count == 25_557_032


def made(tmp_path, nodes, constants=(), shape=(None, 3, 8, 8), outputs=("y",), opset=17):
    """Write a model of a few nodes."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    rank = 2 if nodes[-1][0] in ("Flatten", "Gemm", "MatMul", "ReduceMax") else 4
    graph = helper.make_graph(
        [helper.make_node(*node[:3], **node[3]) for node in nodes],
        "test",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(name, kind, [None] * rank) for name in outputs],
        [onnx.numpy_helper.from_array(np.asarray(a), name) for name, a in constants],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


@pytest.mark.parametrize(
    ("nodes", "constants", "text"),
    [
        ([("Sin", ["x"], ["y"], {})], [], "an operator that elunet has a layer for, got Sin"),
        ([("Flatten", ["x"], ["y"], {})], [], "an output of classes or images, got a flattened"),
        ([("Flatten", ["x"], ["y"], {"axis": 2})], [], "axis 1, got Flatten"),
        ([("Transpose", ["x"], ["y"], {"perm": [0, 1, 3, 2]})], [], "channels that move first"),
        (
            [("Add", ["x", "c"], ["y"], {})],
            [("c", np.ones(8, np.float32))],
            "two values, or a number for each channel, got Add",
        ),
        (
            [("Clip", ["x", "", "c"], ["y"], {})],
            [("c", np.float32(1))],
            "input 1 to be a constant, got Clip",
        ),
        ([("Softmax", ["x"], ["y"], {"axis": 3})], [], "softmax over the channels, got Softmax"),
        (
            [("LayerNormalization", ["x", "c"], ["y"], {})],
            [("c", np.ones(8, np.float32))],
            "normalization over the last axis, the channels, got LayerNormalization",
        ),
        (
            [("Div", ["c", "x"], ["y"], {})],
            [("c", np.float32(1))],
            "a value, divided by a number other than 0, got Div",
        ),
        ([("ReduceMax", ["x"], ["y"], {"axes": [2, 3]})], [], "keepdims of 0, got ReduceMax"),
        (  # how many there are in a batch is not known
            [("Shape", ["x"], ["n"], {}), ("Cast", ["n"], ["c"], {"to": 1}),
             ("Mul", ["x", "c"], ["y"], {})],
            [],
            "input 1 to be a constant, got Mul",
        ),
    ],
)  # fmt: skip
def test_the_first_node_that_cannot_be_expressed_is_named(tmp_path, nodes, constants, text):
    with pytest.raises(ValueError, match=f"from_onnx: expected .*{text}"):
        from_onnx(made(tmp_path, nodes, constants))


@pytest.mark.parametrize(
    ("opset", "node", "constants", "text"),
    [
        (19, ("AveragePool", {"kernel_shape": [2, 2], "dilations": [2, 2]}), [], "no dilation"),
        (17, ("Selu", {"alpha": 2.0}), [], "SELU's own alpha and gamma"),
        (10, ("Pad", {"pads": [0, 0, 1, 1, 0, 0, 1, 1], "value": 2.0}), [], "padding of images"),
        (12, ("Softmax", {"axis": 1}), [], "softmax over the channels"),  # of all numbers, then
        (17, ("Max", {}), [np.ones(8, np.float32)], "the larger of a value and -1"),
        (17, ("PRelu", {}), [np.ones(8, np.float32)], "one slope, or one for each channel"),
        (17, ("Mul", {}), [np.ones((1, 1, 1, 1, 1), np.float32)], "two values, or a number"),
        (17, ("BatchNormalization", {"training_mode": 1}), [np.ones(3, np.float32)] * 4,
         "the running statistics of channels"),
    ],
)  # fmt: skip
def test_what_an_operator_does_beyond_the_usual_is_seen(tmp_path, opset, node, constants, text):
    """Each of these was once read as if it did the usual; ONNX's own cases told."""
    operator, attributes = node
    named = [(f"c{place}", array) for place, array in enumerate(constants)]
    outputs = ["y", "mean", "var"] if operator == "BatchNormalization" else ["y"]
    nodes = [(operator, ["x", *(name for name, _ in named)], outputs, attributes)]
    with pytest.raises(ValueError, match=f"expected {text}.*got {operator}"):
        from_onnx(made(tmp_path, nodes, named, opset=opset))


def test_a_bias_for_each_example_is_refused(tmp_path):
    W, b = np.ones((3, 2), np.float32), np.ones((4, 2), np.float32)
    nodes = [("GlobalAveragePool", ["x"], ["a"], {}), ("Flatten", ["a"], ["b"], {}),
             ("Gemm", ["b", "W", "c"], ["y"], {})]  # fmt: skip
    with pytest.raises(ValueError, match="expected a bias for each output, got Gemm"):
        from_onnx(made(tmp_path, nodes, [("W", W), ("c", b)], shape=(4, 3, 8, 8)))
    file = made(tmp_path, nodes, [("W", W), ("c", b[:1])])
    assert from_onnx(file)["linear1"].params["b"].tolist() == [1, 1]


RNG = np.random.default_rng(0)
C = {n: RNG.uniform(0.5, 1.5, n).astype(np.float32) for n in (1, 4)}
COLUMN = C[4].reshape(4, 1, 1)
KERNEL = RNG.normal(size=(4, 3, 3, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("nodes", "constants", "layers"),
    [
        ([("GroupNormalization", ["z", "s", "t"], ["y"], {"num_groups": 2, "epsilon": 1e-2})],
         [("s", C[4]), ("t", C[4])], "conv1, groupnorm1"),
        ([("InstanceNormalization", ["z", "s", "t"], ["y"], {"epsilon": 1e-2})],
         [("s", C[4]), ("t", C[4])], "conv1, instancenorm1"),
        ([("Transpose", ["z"], ["a"], {"perm": [0, 2, 3, 1]}),
          ("LayerNormalization", ["a", "s"], ["b"], {"epsilon": 1e-2}),
          ("Transpose", ["b"], ["y"], {"perm": [0, 3, 1, 2]})],
         [("s", C[4])], "conv1, layernorm1"),
        # What is done to each channel goes into the layer before,
        ([("Sub", ["z", "c"], ["a"], {}), ("Mul", ["a", "c"], ["b"], {}),
          ("Add", ["c", "b"], ["e"], {}), ("Div", ["e", "c"], ["g"], {}),
          ("Sub", ["c", "g"], ["y"], {})],
         [("c", COLUMN)], "conv1"),
        ([("InstanceNormalization", ["z", "s", "t"], ["a"], {}), ("Mul", ["a", "c"], ["b"], {}),
          ("Sub", ["c", "b"], ["y"], {})],
         [("s", C[4]), ("t", C[4]), ("c", COLUMN)], "conv1, instancenorm1"),
        # unless others need what comes out of it, or it has no weights.
        ([("Mul", ["z", "c"], ["a"], {}), ("Add", ["a", "z"], ["y"], {})],
         [("c", COLUMN)], "conv1, conv2, add1"),
        ([("Relu", ["z"], ["a"], {}), ("Sub", ["a", "c"], ["y"], {})],
         [("c", C[1])], "conv1, relu1, conv2"),
        # Sizes are constants, other than the batch's.
        ([("Shape", ["z"], ["n"], {}), ("Gather", ["n", "i"], ["h"], {}),
          ("Cast", ["h"], ["c"], {"to": 1}), ("Div", ["z", "c"], ["y"], {})],
         [("i", np.array(2))], "conv1"),
        ([("Shape", ["z"], ["n"], {}), ("Transpose", ["z"], ["a"], {"perm": [0, 2, 3, 1]}),
          ("Slice", ["n", "i", "j"], ["k"], {}), ("Concat", ["k", "m"], ["l"], {"axis": 0}),
          ("Reshape", ["a", "l"], ["b"], {}), ("MatMul", ["b", "W"], ["y"], {})],
         [("i", np.array([0])), ("j", np.array([1])), ("m", np.array([-1])),
          ("W", RNG.normal(size=(144, 5)).astype(np.float32))], "conv1, flatten1, linear1"),
        # Images may have their channels last, as Keras' have.
        ([("Transpose", ["z"], ["a"], {"perm": [0, 2, 3, 1]}), ("MatMul", ["a", "W"], ["b"], {}),
          ("Pad", ["b", "p"], ["e"], {}), ("ReduceMax", ["e", "q"], ["y"], {"keepdims": 0})],
         [("W", RNG.normal(size=(4, 5)).astype(np.float32)),
          ("p", np.array([0, 1, 0, 2, 0, 0, 1, 0])), ("q", np.array([1, 2]))],
         "conv1, conv2, pad1, globalmaxpool1"),
    ],
    ids=["groups", "instance", "layer", "folded", "folded-norm", "shared", "point", "size",
         "flatten", "channels-last"],
)  # fmt: skip
def test_nodes_after_a_convolution(tmp_path, nodes, constants, layers):
    nodes = [("Conv", ["x", "kernel"], ["z"], {}), *nodes]
    file = made(tmp_path, nodes, [("kernel", KERNEL), *constants], opset=21)
    net = from_onnx(file)
    assert ", ".join(net.names) == layers
    x = RNG.normal(size=(2, 8, 8, 3)).astype(np.float32)
    agree(net, file, x, channels_first=True)


def test_files_that_are_no_models(tmp_path):
    to_onnx(eln.Sequential([eln.layers.Dropout(0.5)]), (4,), tmp_path / "nothing.onnx")
    with pytest.raises(ValueError, match="from_onnx: expected at least one layer, got none"):
        from_onnx(tmp_path / "nothing.onnx")
    (tmp_path / "a.onnx").write_bytes(b"<html>")
    with pytest.raises(ValueError, match="from_onnx: expected .*a.onnx as an ONNX model"):
        from_onnx(tmp_path / "a.onnx")
    with pytest.raises(OSError, match=r"none\.onnx"):
        from_onnx(tmp_path / "none.onnx")
    two = [("Relu", ["x"], ["y"], {}), ("Tanh", ["x"], ["z"], {})]
    with pytest.raises(ValueError, match=r"one input and one output, got \['x'\] and \['y', 'z'\]"):
        from_onnx(made(tmp_path, two, outputs=("y", "z")))


def one_node(tmp_path, node, constants=(), shape=(None, 3, 6, 6), rank=4, opset=17, more=()):
    """Write a model of a node, and of what follows it; return file and ONNX Runtime's output."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    operator, inputs, given = node
    domain = given.pop("domain", "")
    nodes = [helper.make_node(operator, inputs, ["a" if more else "y"], domain=domain, **given)]
    nodes += [helper.make_node(each, ["a"], ["y"], **options) for each, options in more]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, [None] * rank)],
        [onnx.numpy_helper.from_array(np.asarray(a), name) for name, a in constants],
    )
    sets = [helper.make_opsetid("", opset), helper.make_opsetid("com.other", 1)]
    model = helper.make_model(graph, opset_imports=sets, ir_version=8)
    onnx.save(model, tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


F = np.float32
ONES = np.ones(3, F)
FLOAT, INT64, BOOL = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.BOOL
STATISTICS = [(name, ONES) for name in "abmv"]
OTHERWISE = {  # what an operator also means, and elunet's layer of that name does not
    "slopes of columns": (("PRelu", ["x", "s"], {}), [("s", np.ones(6, F))]),
    "slopes of rows": (("PRelu", ["x", "s"], {}), [("s", np.ones((6, 1), F))]),
    "slopes of columns, as many as channels": (
        ("PRelu", ["x", "s"], {}), [("s", np.ones(6, F))], (None, 6, 6, 6),
    ),
    "an image cut into rows": (
        ("Reshape", ["x", "s"], {}), [("s", np.array([-1, 6]))], (None, 3, 6, 6), 2,
    ),
    "rows cut": (("Reshape", ["x", "s"], {}), [("s", np.array([-1, 3]))], (None, 6), 2),
    "softmax over all": (("Softmax", ["x"], {"axis": 1}), [], (None, 3, 6, 6), 4, 11),
    "log-softmax over all": (("LogSoftmax", ["x"], {"axis": 1}), [], (None, 3, 6, 6), 4, 11),
    "softmax over all by default": (("Softmax", ["x"], {}), [], (None, 3, 6, 6), 4, 11),
    "cast to integers": (
        ("Cast", ["x"], {"to": INT64}), [], (None, 3), 2, 17, [("Cast", {"to": FLOAT})],
    ),
    "cast to bool": (
        ("Cast", ["x"], {"to": BOOL}), [], (None, 3), 2, 17, [("Cast", {"to": FLOAT})],
    ),
    "another's operator": (("Relu", ["x"], {"domain": "com.other"}), []),
    "a bias of each row": (
        ("Gemm", ["x", "w", "b"], {}), [("w", np.ones((3, 2), F)), ("b", np.ones((3, 1), F))],
        (3, 3), 2,
    ),
    "dilated mean": (
        ("AveragePool", ["x"], {"kernel_shape": [2, 2], "dilations": [2, 2]}), [],
        (None, 3, 6, 6), 4, 19,
    ),
    "axes in another order": (
        ("Pad", ["x", "p", "", "i"], {}),
        [("p", np.array([0, 0, 1, 2, 0, 0, 3, 4])), ("i", np.array([0, 1, 3, 2]))],
        (None, 3, 6, 6), 4, 18,
    ),
    "statistics of the batch": (
        ("BatchNormalization", ["x", *"abmv"], {"training_mode": 1}), STATISTICS,
    ),
    "a variance below 0": (
        ("BatchNormalization", ["x", *"abmv"], {}), [*STATISTICS[:3], ("v", -ONES)],
    ),
    "a NaN": (("BatchNormalization", ["x", *"abmv"], {}), [*STATISTICS[:2], ("m", np.nan * ONES),
              ("v", ONES)]),
    "an infinity": (("Gemm", ["x", "w"], {}), [("w", np.full((3, 2), np.inf, F))], (None, 3), 2),
    "dropout that draws": (
        ("Dropout", ["x", "r", "t"], {}), [("r", F(0.5)), ("t", np.array(True))], (None, 3), 2,
    ),
    "another SELU": (("Selu", ["x"], {"alpha": 2.0, "gamma": 3.0}), [], (None, 3), 2),
    "many limits": (("Max", ["x", "c"], {}), [("c", -ONES)], (None, 3), 2),
    "joined batches": (("Concat", ["x", "x"], {"axis": 0}), []),
    "no ELU's alpha": (("Elu", ["x"], {"alpha": -1.0}), [], (None, 3), 2),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERWISE)
def test_another_use_of_an_operator_is_refused(name, tmp_path):
    """It is never read as what elunet's layer does."""
    node, constants, *rest = OTHERWISE[name]
    operator, inputs, given = node
    file = one_node(tmp_path, (operator, inputs, dict(given)), constants, *rest)
    with pytest.raises(ValueError, match=rf"^from_onnx: expected .*, got {operator}\(x"):
        from_onnx(file)


@pytest.mark.parametrize(
    ("node", "constants", "shape"),
    [
        (("PRelu", ["x", "s"], {}), [("s", np.array([[[0.1]], [[0.2]], [[0.3]]], F))], (3, 6, 6)),
        (("PRelu", ["x", "s"], {}), [("s", F(0.3))], (3, 6, 6)),
        (("PRelu", ["x", "s"], {}), [("s", np.array([0.1, 0.2, 0.3], F))], (3,)),
        (("Gemm", ["x", "w", "b"], {}), [("w", np.ones((3, 2), F)), ("b", np.ones((1, 2), F))],
         (3,)),
        (("Reshape", ["x", "s"], {}), [("s", np.array([-1, 3]))], (3,)),
        (("Softmax", ["x"], {"axis": 1}), [], (3, 6, 6)),
    ],
)  # fmt: skip
def test_uses_that_are_read(node, constants, shape, tmp_path):
    file = one_node(
        tmp_path, node, constants, (None, *shape), len(shape) + 1, 17, [("Sigmoid", {})]
    )
    x = np.random.default_rng(0).normal(size=(2, *shape[1:], shape[0])).astype(F)
    agree(from_onnx(file), file, x, channels_first=len(shape) == 3)
