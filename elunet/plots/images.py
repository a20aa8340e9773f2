"""A network's first filters as images, and the pixels that its output depends on."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from elunet._checks import integer
from elunet._types import Array, Shape
from elunet.graph import INPUT
from elunet.layers.base import Layer, check_float
from elunet.network import Network
from elunet.plots._canvas import DOTS_PER_INCH, File, canvas, finish, labels, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHEET, LARGEST = 800, 80  # dots: about the width of all filters, and at most of one
FRAME = 4  # dots between filters
BROKEN = 0.5  # the gray of a filter without a scale


def filters(
    source: Network | Array,
    shape: Shape | None = None,
    columns: int | None = None,
    file: File = None,
    title: str = "",
) -> Figure:
    """Draw the first weighted layer's filters as a grid of color images.

    Each filter is scaled by its own extremes over all pixels and colors, ``(w - min) / (max -
    min)``. So colors show a filter's pattern, not its strength, and no color stands for a weight
    of 0. A constant filter is gray, and one with a NaN or an infinity is gray with a cross.

    Parameters
    ----------
    source : Network or array
        A network, or a W of shape (kh, kw, C, filters), or (inputs, filters) with `shape`. C is 1
        or 3 colors.
    shape : (H, W, C), optional
        The shape of a Linear layer's input images, which its W does not contain.
    columns : int, optional
        Filters in a row, by default about three times the number of rows.
    file : path, optional
        Where to save the figure; the ending tells the format.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        The filters row by row, in the order of W's last axis.

    Raises
    ------
    TypeError, ValueError
        If there is no weighted layer, or its filters do not have 1 or 3 colors.

    Examples
    --------
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Conv2D(3, 16, 5)], seed=0)
    >>> figure = eln.plots.filters(net, columns=8)
    >>> figure.axes[0].images[0].get_array().shape  # 2 x 8 filters of 80 x 80 dots with frames
    (172, 676, 3)
    """
    W = _as_images(source, shape)
    height, width, _, count = W.shape
    columns = min(count, _columns(W) if columns is None else integer("filters", "columns", columns))
    rows = -(-count // columns)
    # Each weight is a square of `zoom` dots, so that all squares are drawn whole.
    zoom = max(1, min((SHEET // columns - FRAME) // width, LARGEST // max(height, width)))
    high, wide = zoom * height + FRAME, zoom * width + FRAME
    sheet = np.ones((rows * high + FRAME, columns * wide + FRAME, 3))  # white between them
    crosses = []
    for index in range(count):
        top, left = index // columns * high + FRAME, index % columns * wide + FRAME
        one, whole = _scaled(W[..., index].astype(np.float64))
        square = np.repeat(np.repeat(one, zoom, axis=0), zoom, axis=1)
        sheet[top : top + zoom * height, left : left + zoom * width] = square
        if not whole:
            crosses.append((left + (zoom * width - 1) / 2, top + (zoom * height - 1) / 2))
    return finish(_on_its_own(sheet, crosses, title), title, file)


def _columns(W: Array) -> int:
    """Return a number of columns, near three times that of rows, that leaves few gaps."""
    height, width, _, count = W.shape
    wanted = max(1.0, math.sqrt(3 * count * height / width))
    near = range(max(1, round(0.6 * wanted)), round(1.4 * wanted) + 1)
    return min(near, key=lambda columns: (-count % columns / count, abs(columns - wanted)))


def _on_its_own(sheet: Array, crosses: list[tuple[float, float]], title: str) -> Figure:
    """Return a figure of an image, one dot per pixel, with crosses on it."""
    height, width = (side / DOTS_PER_INCH for side in sheet.shape[:2])
    lines = len(wrapped(title, max(width, 3)).split("\n")) if title else 0
    above = 0.2 * lines + 0.12 * bool(title)
    whole = max(width, 3.0 if title else 0.0)
    figure = canvas(whole, height + above)
    figure.set_layout_engine("none")
    total = height + above
    axes = figure.add_axes(((whole - width) / 2 / whole, 0, width / whole, height / total))
    axes.imshow(sheet, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    if crosses:
        axes.plot(*zip(*crosses, strict=True), "x", color="black", markersize=8)
    return figure


def _as_images(source: Network | Array, shape: Shape | None) -> Array:
    """Return W of shape (kh, kw, C, filters) with C of 1 or 3."""
    if isinstance(source, Network):
        weights = [layer.params["W"] for layer in source.layers if layer.weighted]
        if not weights:
            raise ValueError("filters: expected a network with a weighted layer, got none")
        W = weights[0]
    else:
        W = np.asarray(source)
    if W.dtype.kind not in "fiu":
        raise TypeError(f"filters: expected W of real numbers, got {W.dtype}")
    if W.ndim == 2 and shape is not None:
        if len(shape) != 3 or math.prod(shape) != W.shape[0]:
            raise ValueError(
                f"filters: expected shape (H, W, C) of {W.shape[0]} numbers, got {tuple(shape)}"
            )
        W = W.reshape(*shape, W.shape[1])
    if W.ndim != 4 or W.shape[2] not in (1, 3) or not W.size:
        hint = "; for a Linear layer, give the images' shape" if W.ndim == 2 else ""
        raise ValueError(
            f"filters: expected W of shape (kh, kw, 1 or 3, filters), got {W.shape}{hint}"
        )
    return W


def _scaled(values: Array) -> tuple[Array, bool]:
    """Return numbers scaled from 0 to 1 by their extremes, and whether all of them are finite."""
    if not np.isfinite(values).all():
        return np.full(values.shape, BROKEN), False
    low, high = values.min(), values.max()
    if low == high:
        return np.full(values.shape, BROKEN), True
    return (values - low) / (high - low), True


def input_gradient(net: Network, x: Array, label: Any = None) -> tuple[Array, Array]:
    """Return d output[label] / dx for each image, and the labels.

    The gradient is that of evaluation: dropout is off, and batch normalization uses its running
    statistics. Nothing in the network changes, not even what an earlier forward pass kept for its
    backward pass.

    Parameters
    ----------
    net : Network
        Its output is (N, C), one logit per class. If its last layer is a Softmax, the gradient is
        that of a probability.
    x : float array (N, ...)
    label : int or array (N,) of integers, optional
        By default each image's predicted class.

    Returns
    -------
    gradient : array of x's shape and dtype
    label : integer array (N,)

    Raises
    ------
    TypeError, ValueError
        If x does not fit or is empty, the output is not (N, C), or a label is not one of the C.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Linear(2, 3), eln.layers.Dropout(0.5)], seed=0)
    >>> gradient, label = input_gradient(net, np.ones((1, 2)), label=1)
    >>> np.allclose(gradient, net["linear1"].params["W"][:, 1])
    True
    """
    check_float(x, "input_gradient: expected x")
    if not len(x) or not net.nodes:
        raise ValueError(
            "input_gradient: expected at least one image and one layer, got x of shape"
            f" {x.shape} and {len(net)} layers"
        )
    layers, y = _forward_by_hand(net, x)
    if y.ndim != 2:
        raise ValueError(f"input_gradient: expected a network with output (N, C), got {y.shape}")
    if label is None:
        label = y.argmax(axis=1)
    elif np.ndim(label) == 0:
        label = np.full(len(y), label)
    label = labels("input_gradient", "label", label, y.shape[1])
    if len(label) != len(y):
        raise ValueError(f"input_gradient: expected {len(y)} of label, got {len(label)}")
    dy = np.zeros_like(y)
    dy[np.arange(len(y)), label] = 1
    return _backward_by_hand(net, layers, dy), label


def _forward_by_hand(net: Network, x: Array) -> tuple[dict[str, Layer], Array]:
    """Return copies of the layers after a forward pass (their arrays are shared), and the output.

    If a layer is called by hand, any forward pass permits a backward pass. In a network the layer
    would forget a forward pass with train=False.
    """
    net.expect_one_output("input_gradient")
    values, layers = {INPUT: x}, {}
    for node in net.nodes:
        taken = tuple(values[source] for source in node.inputs)
        layers[node.name] = copy.copy(node.layer)
        values[node.name] = layers[node.name].forward(taken if len(taken) > 1 else taken[0])
    return layers, values[net.outputs[0]]


def _backward_by_hand(net: Network, layers: dict[str, Layer], dy: Array) -> Array:
    """Return dL/dx."""
    signals = {net.outputs[0]: dy}
    for node in reversed(net.nodes):
        if node.name not in signals:  # nothing takes its output
            continue
        down = layers[node.name].backward_input(signals.pop(node.name))
        shares = down if isinstance(down, tuple) else (down,)
        for source, share in zip(node.inputs, shares, strict=True):
            signals[source] = signals[source] + share if source in signals else share
    return signals[INPUT]


def saliency(
    net: Network,
    x: Array,
    label: Any = None,
    images: Array | None = None,
    classes: Sequence[str] | None = None,
    file: File = None,
    title: str = "",
) -> Figure:
    """Draw saliency maps: how strongly each image's logit depends on each pixel.

    A map is ``max over colors of |d logit / dx|``, scaled by its own maximum. At bright pixels a
    small change changes the logit most. The map does not show the direction of the change, nor
    pixels that matter only together. A map without finite numbers, or of zeros only, says so.

    Parameters
    ----------
    net : Network
        It does not change, and dropout is off; see `input_gradient`.
    x : float array (N, H, W, C)
        The network's input; C is 1 or 3.
    label : int or array (N,) of integers, optional
        The class of the logit; by default each image's predicted class.
    images : array (N, H, W, C), optional
        The images to show above the maps: uint8, or floats from 0 to 1. By default x, each image
        scaled by its own extremes.
    classes : sequence of str, optional
        Names of the classes, by default their numbers.
    file : path, optional
        Where to save the figure; the ending tells the format.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        Up to eight images in a row.

    Raises
    ------
    TypeError, ValueError
        If x is not a batch of images or does not fit the network, or `images`, `label` or
        `classes` do not fit x.

    References
    ----------
    Simonyan, Vedaldi, Zisserman, "Deep Inside Convolutional Networks: Visualising Image
    Classification Models and Saliency Maps", 2013, arXiv:1312.6034.

    Examples
    --------
    >>> import elunet as eln
    >>> x, _ = eln.data.make_shapes(3, seed=0)
    >>> net = eln.models.elu11(widths=(8,) * 10)
    >>> figure = eln.plots.saliency(net, eln.data.standardize(x), images=x)
    >>> len(figure.axes)
    6
    """
    if getattr(x, "ndim", 0) != 4 or x.shape[3] not in (1, 3):
        raise ValueError(
            f"saliency: expected x of shape (N, H, W, 1 or 3), got {getattr(x, 'shape', x)!r}"
        )
    if not len(x):
        raise ValueError("saliency: expected x with at least one image, got none")
    if images is None:
        images = np.stack([_scaled(one.astype(np.float64))[0] for one in x])
    images = np.asarray(images)
    if images.shape != x.shape:
        raise ValueError(f"saliency: expected images of x's shape {x.shape}, got {images.shape}")
    gradient, chosen = input_gradient(net, x, label)
    names = [str(i) for i in range(int(chosen.max()) + 1)] if classes is None else list(classes)
    if len(names) <= chosen.max():
        raise ValueError(
            f"saliency: expected classes of at least {chosen.max() + 1} names, got {len(names)}"
        )
    maps = np.abs(gradient).max(axis=3)
    rows = -(-len(x) // 8)
    across = -(-len(x) // rows)
    figure = canvas(max(1.05 * across, 2.5), 2.3 * rows + (0.3 if title else 0))
    panels = figure.subplots(2 * rows, across, squeeze=False)
    for axes in panels.ravel():
        axes.set_axis_off()
    for index, (image, strength) in enumerate(zip(images, maps, strict=True)):
        above, below = panels[2 * (index // across) : 2 * (index // across) + 2, index % across]
        above.imshow(image if image.shape[2] == 3 else image[..., 0], cmap="gray")
        above.set_title(names[chosen[index]], fontsize=9)
        most = strength.max()
        if not np.isfinite(most) or most == 0:
            text = "all 0" if most == 0 else "not finite"
            middle = {"ha": "center", "va": "center", "transform": below.transAxes}
            below.text(0.5, 0.5, text, fontsize=8, **middle)
            strength = np.full(strength.shape, np.nan)
        below.imshow(strength, cmap="cividis", vmin=0, vmax=most if most > 0 else 1)
    return finish(figure, title, file)
