"""Agreement with PyTorch: random networks, the losses, the optimizers, and ELU-11 in training.

Random networks come from seeds, so that a test can count what occurs in them. Parameters are
float32 numbers (weights He-scaled), so both precisions start from the same ones.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest

import elunet as eln
from elunet._types import Array
from elunet.layers import (
    CELU,
    ELU,
    GELU,
    SELU,
    AdaptiveMeanPool2D,
    Add,
    AlphaDropout,
    BatchNorm,
    ClippedReLU,
    Concat,
    Conv2D,
    Dropout,
    Flatten,
    GlobalMaxPool2D,
    GlobalMeanPool2D,
    GroupNorm,
    HardTanh,
    InstanceNorm,
    Layer,
    LayerNorm,
    LeakyReLU,
    Linear,
    LocallyConnected2D,
    LogSoftmax,
    MaxPool2D,
    MeanPool2D,
    Multiply,
    Pad,
    PReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from elunet.losses import (
    CrossEntropy,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    SoftmaxCrossEntropy,
)

torch = pytest.importorskip("torch")

from torch_twin import (  # noqa: E402
    COUNTERPARTS,
    Results,
    Twin,
    difference,
    from_torch,
    largest_difference,
    run,
    run_twin,
    torch_loss,
)

pytestmark = pytest.mark.jit  # without compiled kernels it takes too long

SEEDS = range(120)
FLOAT64_LIMIT = 1e-9
FLOAT32_FACTOR = 3.0
WINOGRAD_FACTOR = 8.0  # it rounds three to seven times as coarsely as im2col
# Where PyTorch's own error is a rounding or two, it is luck how small: count it as two.
FLOAT32_FLOOR = 2 * float(np.finfo(np.float32).eps)
CLEARANCE = 2e-5  # from kinks: some hundred times float32's rounding
CONDITION = 1e-4  # PyTorch's float32 error, beyond which rounding is so enlarged that luck rules
BATCHES = 7  # per network

AT_LEAST = 10
FEATURES = [
    *(kind.__name__ for kind in COUNTERPARTS),
    "BatchNorm in training",
    "BatchNorm with running averages",
    "Dropout with a mask",
    "BatchNorm without parameters",
    "BatchNorm without momentum",
    "PReLU of channels",
    "reflect",
    "replicate",
    "gate",
    "Add of three",
    "Add with the network's input",
    "even kernel",
    "kernel higher than wide, or wider",
    "stride 1",
    "stride 2",
    "stride 3",
    "pooling stride below size",
    "pooling stride above size",
    "same padding at a stride above 1",
    "valid padding",
    "padding as a number or two",
    "without bias",
    "ELU with alpha other than 1",
    "SoftmaxCrossEntropy",
    "CrossEntropy",
    "MeanSquaredError",
]


@pytest.fixture(autouse=True)
def _one_thread_in_torch() -> Iterator[None]:
    """Small networks only lose by PyTorch's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass
class Batch:
    """A batch, PyTorch's results for it in float64, and how far its float32 is from them."""

    x: Array
    exact: Results
    error: float


@dataclass
class Case:
    """A random network with a loss, a target and some batches."""

    net: eln.Network
    loss: Loss
    target: Array
    train: bool
    batches: list[Batch] = field(default_factory=list)


class Author:
    """Writes a random network from a seed; `shape` is that of the last output, without batch."""

    def __init__(self, seed: int, attempt: int) -> None:
        self.rng = np.random.default_rng([seed, attempt])
        self.train = bool(seed % 3)
        self.net = eln.Network(seed=seed)
        self.shape = tuple(int(n) for n in self.rng.integers([6, 6, 1], [13, 13, 5]))
        self.tip = "input"
        self.shapes = {"input": self.shape}  # of all outputs

    def write(self) -> None:
        parts = [self.convolution, self.activation, self.pooling, self.block, self.norm, self.drop]
        parts += [self.pad, self.gate, self.norm]
        self.choose([self.convolution, self.block] if self.shape[2] > 1 else [self.convolution])()
        for _ in range(self.rng.integers(3, 7)):
            self.choose(parts)()
        self.add(self.choose([Flatten, GlobalMeanPool2D, GlobalMaxPool2D])())
        for _ in range(self.rng.integers(0, 4)):
            self.choose([self.linear, self.activation, self.block, self.norm, self.drop])()

    def choose(self, options: list[Any]) -> Any:
        return options[self.rng.integers(len(options))]

    def add(self, layer: Layer, *inputs: str) -> None:
        """Add a layer to the tip, or to these inputs; fill its parameters."""
        inputs = inputs or (self.tip,)
        ones = tuple(np.ones((1, *self.shapes[name]), np.float32) for name in inputs)
        self.shape = layer.forward(ones if len(ones) > 1 else ones[0]).shape[1:]
        self.tip = self.net.add(layer, inputs=list(inputs))
        self.shapes[self.tip] = self.shape
        for name, value in layer.params.items():
            if name != "W":  # which the network has drawn
                value[...] = self.rng.normal(float(name == "gamma"), 0.3, value.shape)
        if isinstance(layer, BatchNorm):
            # Numbers that float32 holds exactly.
            layer.state["running_mean"] = self.rng.integers(-8, 9, layer.channels) / 16
            layer.state["running_var"] = self.rng.integers(8, 33, layer.channels) / 16

    def convolution(self) -> None:
        kernel = self.choose([1, 2, 3, 4, 5, (2, 3), (3, 1), (1, 4)])
        high, wide = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        paddings = ["same", "same", 2, (1, 0), "valid"]
        fits = self.shape[0] >= high and self.shape[1] >= wide
        padding = self.choose(paddings) if fits else "same"
        stride = int(self.rng.choice([1, 2, 3], p=[0.5, 0.3, 0.2]))
        units = int(self.rng.integers(2, 13))
        bias = bool(self.rng.random() < 0.7)
        if self.rng.random() < 0.35:
            self.other_convolution(high, wide, fits)
        else:
            self.add(Conv2D(self.shape[2], units, kernel, stride, padding, bias))
        self.activation()

    def other_convolution(self, high: int, wide: int, fits: bool) -> None:
        """Add one with groups, dilation, other padding or strides, or without shared weights."""
        height, width, channels = self.shape
        groups = self.choose([g for g in (1, 2, 3, channels) if channels % g == 0])
        units = int(groups * self.rng.integers(1, 4))
        kinds: list[dict[str, Any]] = [
            {"groups": groups},
            {"groups": groups, "dilation": 2},
            {"groups": groups, "stride": (2, 1)},
            {"padding": ((1, 0), (0, 2))} if fits else {},
            {"padding_mode": "replicate"},
        ]
        more = self.choose(kinds)
        if fits and self.rng.random() < 0.5:
            size = (height, width)
            self.add(LocallyConnected2D(size, channels, int(self.rng.integers(1, 5)), (high, wide)))
        else:
            self.add(Conv2D(channels, units, (high, wide), **more))

    def linear(self) -> None:
        units, bias = int(self.rng.integers(2, 13)), bool(self.rng.random() < 0.7)
        self.add(Linear(self.shape[0], units, bias))
        self.activation()

    def activation(self) -> None:
        alpha = float(self.rng.uniform(0.3, 3))
        layers = [ELU(), ELU(alpha), ReLU(), LeakyReLU(), LeakyReLU(0.3), Tanh()]
        more = [Sigmoid(), Softplus(), SiLU(), GELU(), GELU(tanh=True), SELU(), CELU(alpha)]
        more += [ClippedReLU(), ClippedReLU(alpha), HardTanh(), HardTanh(-alpha, alpha)]
        layers.append(self.choose([PReLU(), PReLU(self.shape[-1])]))
        if self.shape[-1] > 1:
            layers, more = [*layers, Softmax()], [*more, LogSoftmax()]
        self.add(self.choose(layers if self.rng.random() < 0.5 else more))

    def pooling(self) -> None:
        size = int(self.rng.integers(1, min(*self.shape[:2], 3) + 1))
        stride = self.choose([None, 1, 1, 2, 3])
        if self.rng.random() < 0.5:
            padding, ceil = int(self.rng.integers(0, size // 2 + 1)), bool(self.rng.random() < 0.5)
            kinds = [
                MaxPool2D(size, stride, padding, ceil),
                MeanPool2D(size, stride, padding, ceil),
                MeanPool2D(size, stride, padding, ceil, count_include_pad=False),
                AdaptiveMeanPool2D(size),
                AdaptiveMeanPool2D(size),
                AdaptiveMeanPool2D(size),
            ]
            self.add(self.choose(kinds))
            return
        self.add(self.choose([MaxPool2D, MeanPool2D])(size, stride))

    def norm(self) -> None:
        """Add a normalization, but not to one's output: the gradient of beta would be 0.

        Of two or three numbers normalized together only rounding is left to compare.
        """
        kinds = (BatchNorm, LayerNorm, GroupNorm, InstanceNorm)
        if isinstance(self.net.layers[-1], kinds):
            return
        channels, affine = self.shape[-1], bool(self.rng.random() < 0.5)
        momentum = self.choose([None, float(self.rng.uniform(0.05, 1))])
        layers: list[Layer] = [BatchNorm(channels, momentum, affine=affine)]
        positions = int(np.prod(self.shape[:-1]))
        if channels > 3:
            layers.append(LayerNorm(channels, affine))
        groups = [g for g in range(1, channels + 1) if channels % g == 0]
        groups = [g for g in groups if positions * channels // g > 3]
        if groups:
            layers.append(GroupNorm(self.choose(groups), channels, affine))
        if positions > 3:
            layers += [InstanceNorm(channels, affine), layers[0]]
        self.add(self.choose(layers))

    def drop(self) -> None:
        self.add(self.choose([Dropout, AlphaDropout])(float(self.rng.uniform(0, 0.7))))

    def pad(self) -> None:
        mode = self.choose(["zeros", "reflect", "replicate"])
        most = min(2, min(self.shape[:2]) - 1)
        (top, left), (bottom, right) = self.rng.integers(0, most + 1, (2, 2)).tolist()
        self.add(Pad(((top, bottom), (left, right)), mode))

    def gate(self) -> None:
        """Let a row, made from the images, scale their channels or be added to them."""
        images, channels = self.tip, self.shape[-1]
        self.add(GlobalMeanPool2D())
        self.add(Linear(channels, channels))
        self.add(Sigmoid())
        self.add(
            self.choose([Multiply, Add])(), *self.choose([(images, self.tip), (self.tip, images)])
        )

    def block(self) -> None:
        """Add a residual block: a path, perhaps a second one, and a skip."""
        below, shape = self.tip, self.shape
        ends = [below]
        for _ in range(self.rng.integers(1, 3)):
            self.tip = below
            if len(shape) == 3:
                self.add(Conv2D(shape[2], shape[2], self.choose([1, 2, 3])))
            else:
                self.add(Linear(shape[0], shape[0]))
            self.activation()
            ends.append(self.tip)
        joined = [Add(), Add(), Multiply()] + ([Concat()] if shape[-1] < 9 else [])
        self.add(self.choose(joined), *ends)

    def head(self) -> tuple[Loss, Array]:
        """End the network; return a loss and a target for some images."""
        images = int(self.rng.integers(3, 9))
        classes = int(self.rng.integers(2, 8))
        self.add(Linear(self.shape[0], classes))
        loss = self.choose([SoftmaxCrossEntropy(), CrossEntropy(), MeanSquaredError()])
        if isinstance(loss, CrossEntropy):
            self.add(Softmax())
        if isinstance(loss, MeanSquaredError):
            return loss, self.rng.normal(size=(images, classes)).astype(np.float32).astype(float)
        return loss, self.rng.integers(0, classes, images)


@cache
def case(seed: int) -> Case:
    """Return the seed's first network for which enough batches can be compared."""
    for attempt in range(20):
        author = Author(seed, attempt)
        shape = author.shape
        author.write()
        loss, target = author.head()
        c = Case(author.net, loss, target, author.train)
        for _ in range(100):
            x = author.rng.normal(size=(len(target), *shape)).astype(np.float32)
            batch = compare(c, x)
            if batch is not None:
                c.batches.append(batch)
            if len(c.batches) == BATCHES:
                return c
    raise AssertionError(f"seed {seed}: no network can be compared")


def compare(c: Case, x: Array) -> Batch | None:
    """Return PyTorch's results and float32 error, or None where nothing can be told from them."""
    twin = Twin(c.net, torch.float64).train(c.train)
    exact = run_twin(twin, c.loss, x.astype(np.float64), c.target)
    if twin.clearance < CLEARANCE:
        return None
    twin = Twin(c.net, torch.float32).train(c.train)
    error, _ = largest_difference(run_twin(twin, c.loss, x, c.target), exact)
    return Batch(x, exact, error) if error < CONDITION else None


def shapes(c: Case) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the input and of all outputs."""
    net = copy.deepcopy(c.net)
    net.forward(c.batches[0].x)
    return net.shapes


def features(c: Case) -> set[str]:
    """Return which of FEATURES a network has."""
    found = {type(c.loss).__name__}
    kinds = {name: len(shape) for name, shape in shapes(c).items()}
    for node in c.net.nodes:
        layer = node.layer
        found.add(type(layer).__name__)
        if isinstance(layer, BatchNorm):
            found.add("BatchNorm in training" if c.train else "BatchNorm with running averages")
            found |= set() if layer.affine else {"BatchNorm without parameters"}
            found |= {"BatchNorm without momentum"} if layer.momentum is None else set()
        if isinstance(layer, PReLU) and layer.channels > 1:
            found.add("PReLU of channels")
        if isinstance(layer, Pad):
            found.add(layer.mode)
        if isinstance(layer, Add | Multiply) and len({kinds[name] for name in node.inputs}) > 1:
            found.add("gate")
        if isinstance(layer, Dropout) and c.train:
            found.add("Dropout with a mask")
        if isinstance(layer, Add):
            found |= {"Add of three"} if len(node.inputs) == 3 else set()
            found |= {"Add with the network's input"} if "input" in node.inputs else set()
        if isinstance(layer, Conv2D):
            high, wide = layer.kernel_size
            found.add(f"stride {layer.stride}")
            found |= {"groups"} if layer.groups > 1 else set()
            found |= {"depthwise"} if layer.groups == layer.in_channels > 1 else set()
            found |= {"dilation"} if layer.dilation != 1 else set()
            found |= {"even kernel"} if high % 2 == 0 or wide % 2 == 0 else set()
            found |= {"kernel higher than wide, or wider"} if high != wide else set()
            if layer.padding == "same":
                found |= {"same padding at a stride above 1"} if max(layer.strides) > 1 else set()
            else:
                valid = layer.padding == "valid"
                found.add("valid padding" if valid else "padding as a number or two")
        if isinstance(layer, Conv2D | Linear) and not layer.bias:
            found.add("without bias")
        if isinstance(layer, MaxPool2D | MeanPool2D) and layer.stride != layer.size:
            found.add(f"pooling stride {'below' if layer.strides < layer.sizes else 'above'} size")
        if isinstance(layer, MaxPool2D | MeanPool2D) and layer.padding:
            found.add("pooling with padding")
        if isinstance(layer, ELU) and layer.alpha != 1:
            found.add("ELU with alpha other than 1")
    return found


def test_random_networks_cover_everything() -> None:
    counts = Counter(feature for seed in SEEDS for feature in features(case(seed)))
    assert len(SEEDS) >= 100
    assert {name: counts[name] for name in FEATURES if counts[name] < AT_LEAST} == {}


@pytest.mark.parametrize("seed", SEEDS)
def test_random_network_in_float64(seed: int) -> None:
    c = case(seed)
    for batch in c.batches:
        ours = run(c.net, c.loss, batch.x.astype(np.float64), c.target, c.train)
        worst, name = largest_difference(ours, batch.exact)
        assert worst < FLOAT64_LIMIT, f"{name} differs by {worst:.2g} in\n{c.net!r}"


@pytest.mark.parametrize("seed", SEEDS)
def test_random_network_in_float32(seed: int) -> None:
    """Compare both libraries' errors against float64: the largest over all arrays.

    One batch says little: its error is one draw of rounding, and either library's is now and then
    by luck several times below or above its usual one. So the geometric mean over a few counts.
    """
    c = case(seed)
    runs = [run(c.net, c.loss, batch.x, c.target, c.train) for batch in c.batches]
    pairs = zip(runs, c.batches, strict=True)
    errors = [largest_difference(ours, batch.exact) for ours, batch in pairs]
    ours = geometric_mean([error for error, _ in errors])
    theirs = geometric_mean([batch.error for batch in c.batches])
    assert ours <= FLOAT32_FACTOR * max(theirs, FLOAT32_FLOOR), (
        f"{max(errors)[1]} is off by {ours:.2g}, PyTorch by {theirs:.2g}, in\n{c.net!r}"
    )
    assert max(errors) < (10 * CONDITION, ""), max(errors)


def geometric_mean(values: list[float]) -> float:
    return float(np.exp(np.log(np.maximum(values, 1e-9)).mean()))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("loss", "target"),
    [
        (SoftmaxCrossEntropy(), "labels"),
        (SoftmaxCrossEntropy(), "distributions"),
        (CrossEntropy(), "labels"),
        (MeanSquaredError(), "values"),
        (MeanAbsoluteError(), "values"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_loss(loss: Loss, target: str, dtype: type) -> None:
    rng = np.random.default_rng(0)
    prediction = (3 * rng.normal(size=(20, 7))).astype(dtype)
    shares = rng.dirichlet(np.ones(7), 20)
    targets = {"labels": rng.integers(0, 7, 20), "distributions": shares, "values": shares}
    if isinstance(loss, CrossEntropy):
        prediction = rng.dirichlet(np.ones(7), 20).astype(dtype)
    value, dy = loss(prediction, targets[target])
    theirs = torch.from_numpy(prediction).requires_grad_()
    their_value = torch_loss(loss, theirs, targets[target])
    their_value.backward()
    limit = FLOAT64_LIMIT if dtype is np.float64 else 1e-6
    assert dy.dtype == dtype
    assert difference(np.asarray(value), their_value.detach().numpy()) < limit
    assert difference(dy, theirs.grad.numpy()) < limit


def test_tied_windows_in_max_pooling() -> None:
    """Of equal values the first wins in both; overlapping windows then share winners."""
    net = eln.Sequential([MaxPool2D(3, stride=2), Flatten()])
    x = np.random.default_rng(0).integers(0, 3, (5, 9, 8, 4)).astype(np.float64)
    target = np.random.default_rng(1).normal(size=(5, 48))
    ours = run(net, MeanSquaredError(), x, target)
    theirs = run_twin(Twin(net, torch.float64), MeanSquaredError(), x, target)
    assert largest_difference(ours, theirs)[0] < FLOAT64_LIMIT


def sequential_in_float64(net: eln.Sequential) -> eln.Sequential:
    """Let the parameters be float64, so that an optimizer works in it."""
    for layer in net.layers:
        for name, value in layer.params.items():
            layer.params[name] = value.astype(np.float64)
    return net


def train_both(
    net: eln.Sequential,
    optimizer: eln.optim.Optimizer,
    make: Callable[..., torch.optim.Optimizer],
    decay: float,
    batches: list[tuple[Array, Array]],
) -> tuple[list[float], list[float], float]:
    """Train a network and its twin; return both losses and the parameters' difference at the end.

    PyTorch decays the weights alone, as elunet does, through groups of parameters.
    """
    loss, router = SoftmaxCrossEntropy(), eln.routers.Backprop()
    twin = Twin(net, torch.float64)
    names = list(net.parameters())
    weights = [twin.parameter(name) for name in names if name.endswith(".W")]
    others = [twin.parameter(name) for name in names if not name.endswith(".W")]
    theirs = make([{"params": weights, "weight_decay": decay}, {"params": others}])
    our_losses, their_losses = [], []
    for x, y in batches:
        logits = twin(torch.from_numpy(x))
        value = torch_loss(loss, logits, y)
        theirs.zero_grad()
        value.backward()
        theirs.step()
        their_losses.append(float(value.detach()))
        our_value, dy = loss(net.forward(x, train=True), y)
        router.backward(net, dy)
        optimizer.step(net, router)
        our_losses.append(our_value)
    gap = max(
        difference(value, from_torch(twin.parameter(name)))
        for name, value in net.parameters().items()
    )
    return our_losses, their_losses, gap


@pytest.mark.parametrize(
    ("optimizer", "make", "decay"),
    [
        (eln.optim.SGD(0.1), lambda p: torch.optim.SGD(p, 0.1), 0.0),
        (eln.optim.SGD(0.05, 0.9, l2=0.01), lambda p: torch.optim.SGD(p, 0.05, 0.9), 0.01),
        (
            eln.optim.SGD(0.05, 0.9, nesterov=True, l2=0.01),
            lambda p: torch.optim.SGD(p, 0.05, 0.9, nesterov=True),
            0.01,
        ),
        (
            eln.optim.Adam(0.01, 0.8, 0.95, 1e-7, l2=0.1),
            lambda p: torch.optim.Adam(p, 0.01, (0.8, 0.95), 1e-7),
            0.1,
        ),
        (
            eln.optim.Adam(0.01, l2=0.1, decoupled=True),
            lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.0),
            0.1,
        ),
        (
            eln.optim.RMSProp(0.01, 0.95, 1e-6, l2=0.1),
            lambda p: torch.optim.RMSprop(p, 0.01, 0.95, 1e-6),
            0.1,
        ),
        (
            eln.optim.RMSProp(0.001, 0.95, 1e-3, l2=0.1, momentum=0.8, centered=True),
            lambda p: torch.optim.RMSprop(p, 0.001, 0.95, 1e-3, momentum=0.8, centered=True),
            0.1,
        ),
        (eln.optim.AdaGrad(0.02, l2=0.1), lambda p: torch.optim.Adagrad(p, 0.02), 0.1),
    ],
    ids=["SGD", "momentum", "Nesterov", "Adam", "AdamW", "RMSProp", "centered", "AdaGrad"],
)
def test_optimizer(
    optimizer: eln.optim.Optimizer, make: Callable[..., torch.optim.Optimizer], decay: float
) -> None:
    rng = np.random.default_rng(0)
    # No bias below BatchNorm: its gradient is 0 but for rounding, which Adam makes whole steps of.
    below = [Conv2D(2, 3, 3, bias=False), BatchNorm(3), ELU(), Flatten()]
    layers = [*below, Linear(108, 8), Tanh(), Linear(8, 4)]
    net = sequential_in_float64(eln.Sequential(layers, seed=0))
    batches = [(rng.normal(size=(6, 6, 6, 2)), rng.integers(0, 4, 6)) for _ in range(12)]
    ours, theirs, gap = train_both(net, copy.deepcopy(optimizer), make, decay, batches)
    np.testing.assert_allclose(ours, theirs, rtol=FLOAT64_LIMIT)
    assert gap < FLOAT64_LIMIT


@pytest.mark.parametrize("pool", ["max", "mean"])
def test_elu11_trains_alike(pool: str) -> None:
    """Three steps of the paper's recipe, with its dropout, at small widths."""
    rng = np.random.default_rng(0)
    net = eln.models.elu11(pool=pool, widths=(8, 8, 10, 10, 12, 12, 14, 14, 16, 16))
    net = sequential_in_float64(net)
    batches = [(rng.normal(size=(4, 32, 32, 3)), rng.integers(0, 10, 4)) for _ in range(3)]
    ours, theirs, gap = train_both(
        net,
        eln.optim.SGD(0.01, momentum=0.9, l2=0.0005),
        lambda p: torch.optim.SGD(p, 0.01, momentum=0.9),
        0.0005,
        batches,
    )
    np.testing.assert_allclose(ours, theirs, rtol=FLOAT64_LIMIT)
    assert ours[0] != ours[1] != ours[2]
    assert gap < FLOAT64_LIMIT


def test_elu11_at_its_full_widths() -> None:
    """Real sizes take other ways through the code than small ones; mean pooling has no kinks."""
    net = eln.models.elu11(pool="mean")
    rng = np.random.default_rng(0)
    x, target = rng.normal(size=(4, 32, 32, 3)).astype(np.float32), rng.integers(0, 10, 4)
    loss = SoftmaxCrossEntropy()
    torch.set_num_threads(2)
    exact = run_twin(Twin(net, torch.float64), loss, x.astype(np.float64), target)
    worst, name = largest_difference(run(net, loss, x.astype(np.float64), target), exact)
    assert worst < FLOAT64_LIMIT, name
    theirs, _ = largest_difference(run_twin(Twin(net, torch.float32), loss, x, target), exact)
    for algorithm, factor in (("winograd", WINOGRAD_FACTOR), ("im2col", FLOAT32_FACTOR)):
        for layer in net.layers:
            if isinstance(layer, Conv2D) and layer.kernel_size in ((2, 2), (3, 3)):
                layer.algorithm = algorithm
        ours, name = largest_difference(run(net, loss, x, target), exact)
        limit = factor * max(theirs, FLOAT32_FLOOR)
        assert ours <= limit, f"{algorithm}, {name}: {ours:.2g}, {theirs:.2g}"
