"""What is measured: the networks, each described once, and the works done with them.

Every library builds its network from the same list of layers and starts from the same weights, so
there is one description and no seven copies of it. Images are (N, H, W, C) here; a library that
wants another layout turns them once, before anything is timed. All is float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

Shape = tuple[int, ...]
Layer = tuple[Any, ...]
"""("conv", units, size, padding), ("dense", units), ("dropout", rate), or one of
("elu",), ("max_pool",), ("mean_pool",), ("flatten",), ("global_mean",), ("batch_norm",); pools are
2x2, the global mean is over one single pixel, and elunet and PyTorch alone know the last one."""


@dataclass(frozen=True)
class Network:
    """A chain of layers, and how it is trained.

    Attributes
    ----------
    name : str
    input : tuple of int
        One example's shape.
    layers : tuple of Layer
    bias : bool
    optimizer : "sgd" or "adam"
        SGD has momentum 0.9.
    lr, l2 : float
        Of the optimizer; L2 is on weights only.
    aligned : bool
        Whether the error goes down through fixed random weights: feedback alignment.
    """

    name: str
    input: Shape
    layers: tuple[Layer, ...]
    bias: bool = True
    optimizer: str = "sgd"
    lr: float = 0.001
    l2: float = 0.0
    aligned: bool = False

    def walk(self) -> Iterator[tuple[Layer, Shape, Shape]]:
        """Go through the layers, with the shapes of an example before and after each."""
        shape = self.input
        for layer in self.layers:
            before = shape
            kind = layer[0]
            if kind == "conv":
                _, units, size, padding = layer
                less = 0 if padding == "same" else size - 1
                shape = (shape[0] - less, shape[1] - less, units)
            elif kind == "dense":
                shape = (layer[1],)
            elif kind in ("max_pool", "mean_pool"):
                shape = (shape[0] // 2, shape[1] // 2, shape[2])
            elif kind in ("flatten", "global_mean"):
                shape = (math.prod(shape),)
            yield layer, before, shape

    def weight_shapes(self) -> list[Shape]:
        """Return the shapes of the weights: (size, size, in, units) and (in, units)."""
        shapes: list[Shape] = []
        for layer, before, _ in self.walk():
            if layer[0] == "conv":
                shapes.append((layer[2], layer[2], before[-1], layer[1]))
            elif layer[0] == "dense":
                shapes.append((before[0], layer[1]))
        return shapes

    def without_dropout(self) -> Network:
        """Return the same network without dropout, which draws differently in each library."""
        return replace(self, layers=tuple(part for part in self.layers if part[0] != "dropout"))


@dataclass(frozen=True)
class Work:
    """One row of the table.

    Attributes
    ----------
    key : str
        How the command line calls it.
    network : Network
    phase : "train" or "inference"
    batch : int
    wanted, hoped : float or None
        How many times as fast as the best other library elunet should be, and better still.
    """

    key: str
    network: Network
    phase: str
    batch: int
    wanted: float | None = None
    hoped: float | None = None

    def __str__(self) -> str:
        return f"{self.network.name}, {self.phase}, batch {self.batch}"


def weights(network: Network) -> list[Any]:
    """Return the first weights of a network, and its biases: W, b, W, b, ..."""
    import numpy as np

    rng = np.random.default_rng(1)
    arrays = []
    for shape in network.weight_shapes():
        arrays.append(_he(rng, shape))
        if network.bias:
            arrays.append(0.01 * rng.normal(size=shape[-1]).astype(np.float32))
    return arrays


def feedback(network: Network) -> list[Any]:
    """Return the fixed matrices of feedback alignment, one for each weight."""
    import numpy as np

    rng = np.random.default_rng(2)
    return [_he(rng, shape) for shape in network.weight_shapes()]


def data(work: Work) -> tuple[Any, Any]:
    """Return random examples and labels."""
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.normal(size=(work.batch, *work.network.input)).astype(np.float32)
    return x, rng.integers(0, 10, work.batch)


def _he(rng: Any, shape: Shape) -> Any:
    import numpy as np

    scale = math.sqrt(2 / math.prod(shape[:-1]))
    return (scale * rng.normal(size=shape)).astype(np.float32)


def _elu11(widths: Sequence[int], pool: str, rates: Sequence[float]) -> tuple[Layer, ...]:
    """Return the eleven layers: stacks of convolutions with ELU, a pool and dropout after each."""
    layers: list[Layer] = []
    units = iter(widths)
    for place, (sizes, rate) in enumerate(
        zip(((5,), (1, 3), (1, 2), (1, 2), (1, 2), (1,)), rates, strict=True)
    ):
        for size in sizes:
            layers += [("conv", next(units), size, "same"), ("elu",)]
        layers += [(pool,)] if place < 5 else []
        layers += [("dropout", rate)] if rate else []
    return (*layers, ("conv", 10, 1, "same"), ("global_mean",))


_NO_DROPOUT = (0.0,) * 6

ELU11 = Network(
    "ELU-11",
    (32, 32, 3),
    _elu11(
        (192, 192, 240, 240, 260, 260, 280, 280, 300, 300),
        "max_pool",
        (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
    ),
    l2=0.0005,
)
CASE_D = Network(
    "case d",
    (32, 32, 3),
    _elu11((192, 192, 192, 240, 240, 260, 260, 280, 280, 300), "mean_pool", _NO_DROPOUT),
    bias=False,
    optimizer="adam",
    lr=1e-4,
    l2=1e-4,
)
CASE_B = Network(
    "case b's network, feedback alignment",
    (32, 32, 3),
    _elu11((16, 16, 32, 32, 64, 64, 66, 66, 68, 68), "mean_pool", _NO_DROPOUT),
    bias=False,
    optimizer="adam",
    lr=1e-5,
    aligned=True,
)
SMALL_CNN = Network(
    "small_cnn",
    (32, 32, 3),
    (
        *(
            part
            for units in (16, 32, 64)
            for part in (("conv", units, 3, "same"), ("elu",), ("max_pool",))
        ),
        ("flatten",),
        ("dense", 10),
    ),
)
SMALL_CNN_NORM = Network(
    "small_cnn(norm=True)",
    SMALL_CNN.input,
    tuple(
        part
        for layer in SMALL_CNN.layers
        for part in ((("batch_norm",), layer) if layer == ("elu",) else (layer,))
    ),
)
LENET = Network(
    "LeNet-like CNN",
    (28, 28, 1),
    (
        *(("conv", 6, 5, "same"), ("elu",), ("max_pool",)),
        *(("conv", 16, 5, "valid"), ("elu",), ("max_pool",)),
        ("flatten",),
        *(("dense", 120), ("elu",), ("dense", 84), ("elu",), ("dense", 10)),
    ),
)
MLP = Network(
    "MLP 784-128-128-128-10",
    (784,),
    (*(("dense", 128), ("elu",)) * 3, ("dense", 10)),
)
NETWORKS = (ELU11, CASE_D, CASE_B, SMALL_CNN, LENET, MLP)

GROUPS: tuple[tuple[Work, ...], ...] = (
    (Work("elu11-train-100", ELU11, "train", 100, 1.6, 2.0),),
    (
        Work("elu11-train-32", ELU11, "train", 32, 1.6, 2.0),
        Work("elu11-train-1", ELU11, "train", 1),
    ),
    (Work("elu11-train-200", ELU11, "train", 200, 1.6, 2.0),),
    (Work("elu11-train-400", ELU11, "train", 400, 1.6, 2.0),),
    (
        Work("elu11-inference-100", ELU11, "inference", 100, 1.5, 2.0),
        Work("elu11-inference-1", ELU11, "inference", 1, 0.8, 1.2),
    ),
    (Work("case-d", CASE_D, "train", 100), Work("case-b", CASE_B, "train", 100, 1.2, 1.5)),
    (
        Work("small-cnn-train", SMALL_CNN, "train", 50, 1.5, 2.0),
        Work("small-cnn-inference", SMALL_CNN, "inference", 50, 1.0, 1.5),
        Work("lenet-train", LENET, "train", 32, 1.3, 2.0),
        Work("lenet-inference", LENET, "inference", 32),
    ),
    (
        Work("mlp-train-64", MLP, "train", 64, 1.2, 1.5),
        Work("mlp-inference-64", MLP, "inference", 64, 1.0, 1.3),
        Work("mlp-train-1", MLP, "train", 1, 1.0),
        Work("mlp-inference-1", MLP, "inference", 1),
    ),
)
"""Works in one group share their processes, one work after the other."""

WORKS = {work.key: work for group in GROUPS for work in group}
