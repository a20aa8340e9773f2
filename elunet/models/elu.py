"""The networks of the ELU paper and of the article, each in a few lines.

All return logits of shape (N, classes). The order is convolution, ELU, pooling, dropout; the last
weighted layer has no activation after it. The large networks are made for images of 32 x 32, where
five poolings leave one pixel. For larger images more pixels remain, and the logits are their mean.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial

from elunet._checks import choice, integer, integers
from elunet._types import Seed
from elunet.init import Initializer, Normal
from elunet.layers import (
    ELU,
    BatchNorm,
    Conv2D,
    Dropout,
    GlobalMeanPool2D,
    Layer,
    MaxPool2D,
    MeanPool2D,
)
from elunet.models.pretrained import weights_file
from elunet.network import Sequential
from elunet.storage.weights import load

Stack = Sequence[tuple[int, int]]
"""The convolutions of one stack, as (output channels, kernel size)."""

POOLED_STACKS = 5  # 32 -> 16 -> 8 -> 4 -> 2 -> 1 pixel

ELU11_KERNELS = ((5,), (1, 3), (1, 2), (1, 2), (1, 2), (1,))
ELU11_WIDTHS = (192, 192, 240, 240, 260, 260, 280, 280, 300, 300)
ELU11_DROPOUT = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)

ELU18_STACKS = (
    [(384, 3)],
    [(384, 1), (384, 2), (640, 2), (640, 2)],
    [(640, 1), (768, 2), (768, 2), (768, 2)],
    [(768, 1), (896, 2), (896, 2)],
    [(896, 3), (1024, 2), (1024, 2)],
    [(1024, 1), (1152, 2)],
    [(1152, 1)],
)
ELU18_DROPOUT = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.5)

ARTICLE_WIDTHS = {
    "a": ELU11_WIDTHS,
    "b": (16, 16, 32, 32, 64, 64, 66, 66, 68, 68),
    "c": (192,) * 10,
    "d": (192, 192, 192, 240, 240, 260, 260, 280, 280, 300),
    "e": (192, 192, 192, 240, 240, 260, 260, 280, 280, 300),
}


def elu11(
    classes: int = 10,
    pool: str = "max",
    widths: Sequence[int] = ELU11_WIDTHS,
    seed: Seed = 0,
    dropout: Sequence[float] = ELU11_DROPOUT,
    bias: bool = True,
    init: Initializer | None = None,
    alpha: float = 1.0,
    norm: bool = False,
    activation: Callable[[], Layer] | None = None,
    weights: str | os.PathLike[str] | None = None,
) -> Sequential:
    """Return the paper's 11-layer network (section 4.2) for 32 x 32 x 3 images.

    Parameters
    ----------
    classes : int, default 10
    pool : "max" or "mean", default "max"
    widths : sequence of 10 int
        Output channels of the ten convolutions before the classifier.
    seed : int, SeedSequence or None, default 0
        Of the weights and the dropout masks.
    dropout : sequence of 6 float
        Rate after each of the six stacks; a rate of 0 adds no layer.
    bias : bool, default True
    init : Initializer, optional
        He's normal distribution by default, as in the paper.
    alpha : float, default 1.0
        Of every ELU.
    norm : bool, default False
        Whether batch normalization comes between each convolution and its activation.
    activation : callable, optional
        Makes the activation that replaces ELU, such as `elunet.layers.ReLU`.
    weights : "cifar10" or path, optional
        Trained weights instead of random ones. "cifar10" are those of the model card, for images
        that are prepared as described there. elunet looks for their file in the folder that the
        environment variable ELUNET_WEIGHTS names, or else in a checkout's ``docs/weights`` and in
        the user's cache, and downloads it (6.6 MB) if it is in none of them. A path is that of any
        safetensors file.

    Raises
    ------
    TypeError, ValueError
        If `pool` is neither, there are not 10 widths and 6 rates, a number is out of range, or the
        weights do not fit the network or are damaged.
    FileNotFoundError, RuntimeError
        If the weights are not found, or their download fails; the message says how to get them.

    References
    ----------
    Clevert, Unterthiner, Hochreiter, ICLR 2016, arXiv:1511.07289.

    Examples
    --------
    >>> import elunet as eln
    >>> net = eln.models.elu11()
    >>> sum(value.size for value in net.parameters().values())
    1641938
    """
    widths = integers("elu11", "widths", widths)
    if len(widths) != 10 or len(dropout) != 6:
        raise ValueError(
            f"elu11: expected 10 widths and 6 dropout rates, got {len(widths)} and {len(dropout)}"
        )
    channels = iter(widths)
    stacks = [[(next(channels), kernel) for kernel in kernels] for kernels in ELU11_KERNELS]
    make = partial(ELU, alpha) if activation is None else activation
    net = _stacked("elu11", stacks, classes, pool, dropout, bias, init, make, seed, norm)
    if weights is not None:
        cifar10 = weights == "cifar10"
        load(net, weights_file("elu11", "elu11-cifar10.safetensors") if cifar10 else weights)
    return net


def elu18(
    classes: int = 10,
    pool: str = "max",
    seed: Seed = 0,
    dropout: Sequence[float] = ELU18_DROPOUT,
) -> Sequential:
    """Return the paper's larger network (section 4.3), with 39 million parameters.

    The paper calls it 18 layers; its list has 19 convolutions, with the classifier. It is too large
    to train on a laptop, but it can be built and takes steps.

    Parameters
    ----------
    classes : int, default 10
    pool : "max" or "mean", default "max"
    seed : int, SeedSequence or None, default 0
    dropout : sequence of 7 float
        Rate after each stack, by default those of the paper's last training phase.

    Raises
    ------
    TypeError, ValueError
        If `pool` is neither, there are not 7 rates, or a number is out of range.

    References
    ----------
    Clevert, Unterthiner, Hochreiter, ICLR 2016, arXiv:1511.07289.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.models.elu18(pool="mean")["conv1"]
    Conv2D(3->384, 3x3)
    """
    if len(dropout) != 7:
        raise ValueError(f"elu18: expected 7 dropout rates, got {len(dropout)}")
    return _stacked("elu18", ELU18_STACKS, classes, pool, dropout, True, None, ELU, seed)


def article_case(case: str, seed: Seed = 0, classes: int = 10, norm: bool = False) -> Sequential:
    """Return the network of one of the article's five cases: no biases, weights N(0, 0.05^2).

    Parameters
    ----------
    case : "a", "b", "c", "d" or "e"
        Case a is ELU-11 with max pooling and dropout. The others have mean pooling, no dropout and
        other widths (the same in d and e).
    seed : int, SeedSequence or None, default 0
    classes : int, default 10
    norm : bool, default False
        Whether batch normalization comes before each ELU, as the article has it nowhere.

    Raises
    ------
    TypeError, ValueError
        If there is no such case, or `classes` is not an integer of at least 1.

    References
    ----------
    J. D. Seo, "[ICLR 2016] Fast and Accurate Deep Networks Learning By Exponential Linear Units
    (ELUs) with Interactive Code [Manual Back Prop with TF]", Towards Data Science, 2018.

    Examples
    --------
    >>> import elunet as eln
    >>> sum(value.size for value in eln.models.article_case("b").parameters().values())
    63884
    """
    if case not in ARTICLE_WIDTHS:
        raise ValueError(f"article_case: expected case as one of a, b, c, d, e, got {case!r}")
    classes = integer("article_case", "classes", classes)
    pool, dropout = ("max", ELU11_DROPOUT) if case == "a" else ("mean", (0.0,) * 6)
    return elu11(
        classes,
        pool,
        ARTICLE_WIDTHS[case],
        seed,
        dropout,
        bias=False,
        init=Normal(std=0.05),
        norm=norm,
    )


def _stacked(
    owner: str,
    stacks: Sequence[Stack],
    classes: int,
    pool: str,
    dropout: Sequence[float],
    bias: bool,
    init: Initializer | None,
    activation: Callable[[], Layer],
    seed: Seed,
    norm: bool = False,
) -> Sequential:
    """Chain the stacks: convolutions with ELU, then pooling, then dropout; 1x1 to the classes."""
    choice(owner, "pool", pool, ("max", "mean"))
    classes = integer(owner, "classes", classes)
    layers: list[Layer] = []
    channels = 3
    for place, (stack, rate) in enumerate(zip(stacks, dropout, strict=True)):
        for outputs, kernel_size in stack:
            layers.append(Conv2D(channels, outputs, kernel_size, bias=bias, init=init))
            layers += [BatchNorm(outputs), activation()] if norm else [activation()]
            channels = outputs
        if place < POOLED_STACKS:
            layers.append(MaxPool2D() if pool == "max" else MeanPool2D())
        if rate != 0:
            layers.append(Dropout(rate))
    layers += [Conv2D(channels, classes, 1, bias=bias, init=init), GlobalMeanPool2D()]
    return Sequential(layers, seed=seed)
