"""Residual networks for small images: blocks that add what they compute to what they were given."""

from __future__ import annotations

from elunet._checks import integer, integers
from elunet._types import Seed
from elunet.init import Initializer
from elunet.layers import (
    Add,
    BatchNorm,
    Conv2D,
    GlobalMeanPool2D,
    Linear,
    MaxPool2D,
    Pad,
    ReLU,
)
from elunet.network import Network

WIDTHS = (16, 32, 64)


def resnet(
    depth: int = 20,
    classes: int = 10,
    widths: tuple[int, int, int] = WIDTHS,
    seed: Seed = 0,
    init: Initializer | None = None,
    channels: int = 3,
) -> Network:
    """Return a residual network for 32 x 32 images, of the family for CIFAR-10.

    A 3x3 convolution, three stages of (depth - 2) / 6 blocks with 32, 16 and 8 pixels a side, and
    a Linear after global mean pooling. A block is two 3x3 convolutions, each with batch
    normalization, a ReLU between them, and one after the addition. Where a stage begins, the
    shortcut takes every second pixel and fills up channels with zeros (the paper's option A), so
    that it has no parameters.

    Parameters
    ----------
    depth : int, default 20
        Layers with weights: 6 n + 2, such as 20, 32, 44, 56, 110.
    classes : int, default 10
    widths : three int, default (16, 32, 64)
        Channels of the stages, not falling.
    seed : int, SeedSequence or None, default 0
    init : Initializer, optional
        He's normal distribution by default, as in the paper.
    channels : int, default 3
        Of the images.

    Raises
    ------
    TypeError, ValueError
        If `depth` is not 6 n + 2, or widths are not three that do not fall.

    References
    ----------
    He, Zhang, Ren, Sun, *Deep Residual Learning for Image Recognition*, 2016, arXiv:1512.03385,
    section 4.2.

    Examples
    --------
    >>> import elunet as eln
    >>> sum(value.size for value in eln.models.resnet(20).parameters().values())
    269722
    """
    blocks, left = divmod(integer("resnet", "depth", depth) - 2, 6)
    if left or blocks < 1:
        raise ValueError(f"resnet: expected depth of 6 n + 2 with n of at least 1, got {depth}")
    three = integers("resnet", "widths", widths)
    if len(three) != 3 or list(three) != sorted(three):
        raise ValueError(f"resnet: expected three widths that do not fall, got {widths}")
    net = Network(seed=seed)
    net.add(_conv(channels, widths[0], 1, init))
    net.add(BatchNorm(widths[0]))
    last = net.add(ReLU())
    before = widths[0]
    for stage, width in enumerate(widths):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            last = _block(net, last, before, width, stride, init)
            before = width
    net.add(GlobalMeanPool2D())
    net.add(Linear(before, classes, init=init))
    return net


def _block(
    net: Network, start: str, before: int, width: int, stride: int, init: Initializer | None
) -> str:
    """Add a block; return the name of its end."""
    net.add(_conv(before, width, stride, init), inputs=start)
    net.add(BatchNorm(width))
    net.add(ReLU())
    net.add(_conv(width, width, 1, init))
    main = net.add(BatchNorm(width))
    shortcut = start
    if stride > 1:
        shortcut = net.add(MaxPool2D(1, stride), inputs=shortcut)  # every second pixel
    if width > before:
        around = (width - before) // 2
        zeros = around, width - before - around
        shortcut = net.add(Pad(0, channels=zeros), inputs=shortcut)
    net.add(Add(), inputs=[main, shortcut])
    return net.add(ReLU())


def _conv(before: int, after: int, stride: int, init: Initializer | None) -> Conv2D:
    return Conv2D(before, after, 3, stride, padding=1, bias=False, init=init)
