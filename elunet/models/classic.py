"""Networks of other papers: LeNet-5, VGG, all-convolutional, locally connected."""

from __future__ import annotations

from collections.abc import Sequence

from elunet._checks import integer, integers
from elunet._types import Seed
from elunet.layers import (
    BatchNorm,
    Conv2D,
    Dropout,
    Flatten,
    GlobalMeanPool2D,
    Layer,
    Linear,
    LocallyConnected2D,
    MaxPool2D,
    MeanPool2D,
    ReLU,
    Tanh,
)
from elunet.network import Sequential


def lenet5(
    classes: int = 10,
    size: int = 28,
    channels: int = 1,
    activation: type[Layer] = Tanh,
    seed: Seed = 0,
) -> Sequential:
    """Return LeNet-5 as it is taught today: all maps connected, mean pooling, logits.

    Parameters
    ----------
    classes : int, default 10
    size : 28 or 32, default 28
        Side of the images; those of 28 pixels are padded by 2.
    channels : int, default 1
    activation : class of Layer, default Tanh
        Made without arguments: Tanh, Sigmoid, ReLU, ELU.
    seed : int, SeedSequence or None, default 0

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    References
    ----------
    LeCun, Bottou, Bengio, Haffner, *Gradient-Based Learning Applied to Document Recognition*, 1998,
    10.1109/5.726791.

    Examples
    --------
    >>> import elunet as eln
    >>> sum(value.size for value in eln.models.lenet5().parameters().values())
    61706
    """
    if size not in (28, 32):
        raise ValueError(f"lenet5: expected size 28 or 32, got {size!r}")
    return Sequential(
        [
            Conv2D(channels, 6, 5, padding=2 if size == 28 else 0),
            activation(),
            MeanPool2D(2),
            Conv2D(6, 16, 5, padding="valid"),
            activation(),
            MeanPool2D(2),
            Flatten(),
            Linear(400, 120),
            activation(),
            Linear(120, 84),
            activation(),
            Linear(84, classes),
        ],
        seed=seed,
    )


VGG11 = ((64,), (128,), (256, 256), (512, 512), (512, 512))


def vgg(
    classes: int = 10,
    stages: Sequence[Sequence[int]] = VGG11,
    dropout: float = 0.0,
    seed: Seed = 0,
    channels: int = 3,
) -> Sequential:
    """Return a VGG for small images: stages of 3x3 convolutions, each followed by max pooling.

    Each convolution has batch normalization and a ReLU after it; a Linear after global mean
    pooling gives the logits. The paper has no batch normalization, and three large layers in place
    of the mean, for images of 224 pixels.

    Parameters
    ----------
    classes : int, default 10
    stages : sequence of sequences of int
        Channels of the convolutions of each stage; by default those of VGG-11.
    dropout : float, default 0.0
        Rate before the Linear.
    seed : int, SeedSequence or None, default 0
    channels : int, default 3

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    References
    ----------
    Simonyan, Zisserman, *Very Deep Convolutional Networks for Large-Scale Image Recognition*, 2015,
    arXiv:1409.1556.

    Examples
    --------
    >>> import elunet as eln
    >>> net = eln.models.vgg(stages=[(8,), (16,)])
    >>> sum(layer.weighted for layer in net)
    3
    """
    layers: list[Layer] = []
    before = channels
    for stage in stages:
        for width in stage:
            convolution = Conv2D(before, width, 3, bias=False)
            layers += [convolution, BatchNorm(width), ReLU()]
            before = width
        layers.append(MaxPool2D(2))
    layers.append(GlobalMeanPool2D())
    if dropout:
        layers.append(Dropout(dropout))
    return Sequential([*layers, Linear(before, classes)], seed=seed)


def all_cnn(
    classes: int = 10, width: int = 96, dropout: bool = True, seed: Seed = 0, channels: int = 3
) -> Sequential:
    """Return All-CNN-C: convolutions only, with strides in place of pooling.

    Parameters
    ----------
    classes : int, default 10
    width : int, default 96
        Channels of the first three convolutions; the next ones have twice as many.
    dropout : bool, default True
        Whether to drop 20 % of the image and 50 % after each convolution with a stride.
    seed : int, SeedSequence or None, default 0
    channels : int, default 3

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    References
    ----------
    Springenberg, Dosovitskiy, Brox, Riedmiller, *Striving for Simplicity: The All Convolutional
    Net*, 2015, arXiv:1412.6806.

    Examples
    --------
    >>> import elunet as eln
    >>> sum(value.size for value in eln.models.all_cnn().parameters().values())
    1369738
    """
    wide = 2 * integer("all_cnn", "width", width)
    layers: list[Layer] = [Dropout(0.2)] if dropout else []
    before = channels
    for after, kernel, stride in (
        (width, 3, 1),
        (width, 3, 1),
        (width, 3, 2),
        (wide, 3, 1),
        (wide, 3, 1),
        (wide, 3, 2),
        (wide, 3, 1),
        (wide, 1, 1),
    ):
        layers += [Conv2D(before, after, kernel, stride), ReLU()]
        if stride == 2 and dropout:
            layers.append(Dropout(0.5))
        before = after
    return Sequential([*layers, Conv2D(before, classes, 1), GlobalMeanPool2D()], seed=seed)


def locally_connected(
    classes: int = 10,
    size: int = 32,
    widths: Sequence[int] = (32, 64, 64),
    activation: type[Layer] = Tanh,
    seed: Seed = 0,
    channels: int = 3,
) -> Sequential:
    """Return a network like a small convolutional one, but without shared weights.

    Layers of `LocallyConnected2D`, 5x5 and then 3x3, at stride 2, each with an activation; a
    Linear gives the logits. Learning rules that are to be possible in a brain are tried on such
    networks, as a brain has no shared weights; the sizes are elunet's own, not those of the paper.

    Parameters
    ----------
    classes : int, default 10
    size : int, default 32
        Side of the images.
    widths : sequence of int, default (32, 64, 64)
        Output channels of the layers.
    activation : class of Layer, default Tanh
        Made without arguments.
    seed : int, SeedSequence or None, default 0
    channels : int, default 3

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    References
    ----------
    Bartunov et al., *Assessing the Scalability of Biologically-Motivated Deep Learning Algorithms
    and Architectures*, 2018, arXiv:1807.04587.

    Examples
    --------
    >>> import elunet as eln
    >>> net = eln.models.locally_connected(size=16, widths=(4, 8))
    >>> [layer.out_size for layer in net if isinstance(layer, eln.layers.LocallyConnected2D)]
    [(8, 8), (4, 4)]
    """
    layers: list[Layer] = []
    before, side = channels, integer("locally_connected", "size", size)
    for place, width in enumerate(integers("locally_connected", "widths", widths)):
        kernel = 3 if place else 5
        layer = LocallyConnected2D(side, before, width, kernel, stride=2, padding="same")
        layers += [layer, activation()]
        before, side = width, layer.out_size[0]
    return Sequential([*layers, Flatten(), Linear(side * side * before, classes)], seed=seed)
