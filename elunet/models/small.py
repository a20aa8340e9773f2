"""Two small networks for experiments with learning rules; they return logits (N, classes)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from elunet._checks import integer, integers
from elunet._types import Seed
from elunet.init import Initializer, LeCun
from elunet.layers import ELU, BatchNorm, Conv2D, Flatten, Layer, Linear, MaxPool2D
from elunet.network import Sequential


def small_cnn(
    classes: int = 10,
    widths: Sequence[int] = (16, 32, 64),
    seed: Seed = 0,
    init: Initializer | None = None,
    activation: Callable[[], Layer] = ELU,
    norm: bool = False,
    channels: int = 3,
    size: int = 32,
) -> Sequential:
    """Return a small convolutional network for experiments with learning rules.

    Three 3x3 convolutions, each with ELU and 2x2 max pooling, and a linear classifier: the error
    passes three layers in the backward pass. A 32 x 32 x 3 image takes 2.8 million multiply-adds.

    Parameters
    ----------
    classes : int, default 10
    widths : sequence of 3 int
        Output channels of the convolutions.
    seed : int, SeedSequence or None, default 0
    init : Initializer, optional
        LeCun's normal distribution by default, which suits ELU's scale near 0.
    activation : callable, default `ELU`
        Makes an activation layer: another class, or a function without arguments.
    norm : bool, default False
        Whether each activation gets a `BatchNorm` before it.
    channels : int, default 3
        Of the images; 1 for MNIST.
    size : int, default 32
        The images' height and width, at least 8; 28 for MNIST.

    Raises
    ------
    TypeError, ValueError
        If there are not 3 widths, or a number is out of range.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.models.small_cnn()["linear1"]
    Linear(1024->10)
    """
    widths = integers("small_cnn", "widths", widths)
    if len(widths) != 3:
        raise ValueError(f"small_cnn: expected 3 widths, got {len(widths)}")
    side = integer("small_cnn", "size", size, 8) // 8  # after three poolings
    init = LeCun() if init is None else init
    layers: list[Layer] = []
    for inputs, outputs in pairwise((channels, *widths)):
        unit = [Conv2D(inputs, outputs, 3, init=init), *_normed(outputs, norm), activation()]
        layers += [*unit, MaxPool2D()]
    last = Linear(side * side * widths[-1], classes, init=init)
    return Sequential([*layers, Flatten(), last], seed=seed)


def mlp(
    classes: int = 10,
    inputs: int = 3072,
    widths: Sequence[int] = (128, 128, 128),
    seed: Seed = 0,
    init: Initializer | None = None,
    activation: Callable[[], Layer] = ELU,
    norm: bool = False,
) -> Sequential:
    """Return a multilayer perceptron with ELU, for images or vectors of `inputs` numbers.

    Parameters
    ----------
    classes : int, default 10
    inputs : int, default 3072
        Numbers in one example: 32 * 32 * 3 for the usual images, which are flattened.
    widths : sequence of int
        Units of each hidden layer; an empty sequence makes a linear classifier.
    seed : int, SeedSequence or None, default 0
    init : Initializer, optional
        LeCun's normal distribution by default.
    activation : callable, default `ELU`
        Makes an activation layer: another class, or a function without arguments.
    norm : bool, default False
        Whether each activation gets a `BatchNorm` before it.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range.

    Examples
    --------
    >>> import elunet as eln
    >>> [len(eln.models.mlp(widths=widths)) for widths in [(), (8,), (8, 8)]]
    [2, 4, 6]
    """
    widths = integers("mlp", "widths", widths)
    init = LeCun() if init is None else init
    layers: list[Layer] = [Flatten()]
    for taken, units in pairwise((inputs, *widths)):
        layers += [Linear(taken, units, init=init), *_normed(units, norm), activation()]
    last = widths[-1] if widths else inputs
    return Sequential([*layers, Linear(last, classes, init=init)], seed=seed)


def _normed(channels: int, norm: bool) -> list[Layer]:
    return [BatchNorm(channels)] if norm else []
