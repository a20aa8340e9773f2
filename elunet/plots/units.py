"""Activations: the functions, and the mean activations of a network's units.

The paper argues that a network learns faster if its units' mean activations are near 0.
`mean_activations` shows whether they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from elunet._checks import integer
from elunet._types import Array
from elunet.graph import Node
from elunet.layers import ELU, Dropout
from elunet.network import Network
from elunet.plots._canvas import GRAY, File, canvas, finish, light_grid, some_markers, style
from elunet.plots._canvas import whole_numbers as whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UnitMeans = Mapping[str, Array]


def activations(
    alphas: Sequence[float] = (0.5, 1, 2, 5), file: File = None, title: str = ""
) -> Figure:
    r"""Draw ELU and its derivative for several alphas, as the article does.

    For x > 0 all curves are the same. The derivative jumps at 0 from alpha to 1 unless alpha is 1;
    no line is drawn across the jump.

    Parameters
    ----------
    alphas : sequence of float, default (0.5, 1, 2, 5)
        Each above 0.
    file : path, optional
        Where to save the figure; the ending tells the format.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        Computed by `elunet.layers.ELU`, forward and backward.

    Raises
    ------
    TypeError, ValueError
        If there is no alpha, or one is not a finite number above 0.

    References
    ----------
    J. D. Seo, "[ICLR 2016] Fast and Accurate Deep Networks Learning By Exponential Linear Units
    (ELUs) with Interactive Code [Manual Back Prop with TF]", Towards Data Science, 2018.

    Examples
    --------
    >>> import elunet as eln
    >>> figure = eln.plots.activations((1, 2))
    >>> [line.get_label() for line in figure.axes[0].lines[:2]]
    ['$\\alpha$ = 1', '$\\alpha$ = 2']
    """
    if not isinstance(alphas, Sequence | np.ndarray) or isinstance(alphas, str) or not len(alphas):
        raise ValueError(f"activations: expected at least one of alphas, got {alphas!r}")
    figure = canvas(8.4, 3.8)
    function, derivative = figure.subplots(1, 2)
    right = np.linspace(0, 5, 201)
    right[0] = np.nextafter(0, 1)  # 0 belongs to the other branch
    for place, alpha in enumerate(alphas):
        layer = ELU(alpha)
        gap = [] if alpha == 1 else [np.nan]
        x = np.concatenate([np.linspace(-5, 0, 201), gap, right])
        look = style(place) | {"markersize": 4, "markevery": (10 + 12 * place, 50)}
        y = layer.forward(x[~np.isnan(x)], train=True)
        slope = layer.backward(np.ones_like(y))
        text = rf"$\alpha$ = {alpha:g}"
        function.plot(x[~np.isnan(x)], y, label=text, **look)
        derivative.plot(x, np.insert(slope, [201] * len(gap), np.nan), label=text, **look)
    function.set(xlabel="$x$", title="ELU")
    derivative.set(xlabel="$x$", title="its derivative")
    for axes in (function, derivative):
        axes.axhline(0, color=GRAY, linewidth=0.8, zorder=1)
        light_grid(axes)
    function.legend(frameon=False, handlelength=4)
    return finish(figure, title, file)


def unit_means(
    net: Network, x: Array, layers: Sequence[str] | None = None, batch_size: int = 100
) -> dict[str, Array]:
    """Return each unit's mean activation over the images x, {"elu1": (units,), ...}.

    After a convolution a unit is a channel, and the mean is over positions as well.

    Parameters
    ----------
    net : Network
        It runs with ``train=False``.
    x : float array (N, ...)
    layers : sequence of str, optional
        Names of the layers; by default the activations, which are the elementwise layers without
        parameters, except dropout.
    batch_size : int, default 100

    Returns
    -------
    dict of str to float64 array (units,)
        In forward order. A NaN in a unit's activations makes its mean NaN.

    Raises
    ------
    TypeError, ValueError
        If x does not fit or is empty, a layer is unknown, or there is none.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.ReLU()])
    >>> eln.plots.unit_means(net, np.array([[-1.0, 1.0], [1.0, 2.0]]))
    {'relu1': array([0.5, 1.5])}
    """
    batch_size = integer("unit_means", "batch_size", batch_size)
    names = [node.name for node in net.nodes if _is_activation(node)]
    if layers is not None:
        unknown = sorted(set(layers) - set(net.names))
        if unknown:
            raise ValueError(f"unit_means: expected layers among {net.names}, got {unknown}")
        names = [name for name in net.names if name in layers]
    if not names:
        raise ValueError("unit_means: expected a network with activations, or layers, got none")
    if not len(x):
        raise ValueError("unit_means: expected x with at least one image, got none")
    sums: dict[str, Any] = dict.fromkeys(names, 0.0)

    def add(name: str, y: Array) -> None:
        if name in sums:
            rows = y.reshape(-1, y.shape[-1])
            sums[name] = sums[name] + rows.sum(axis=0, dtype=np.float64) * len(y) / len(rows)

    for start in range(0, len(x), batch_size):
        net.forward(x[start : start + batch_size], tap=add)
    return {name: total / len(x) for name, total in sums.items()}


def _is_activation(node: Node) -> bool:
    layer = node.layer
    return layer.pointwise and not layer.params and not isinstance(layer, Dropout)


def mean_activations(
    means: Mapping[str, Mapping[int, UnitMeans]], file: File = None, title: str = ""
) -> Figure:
    """Draw the units' mean activations, by layer and over the epochs.

    The left panel shows each layer after the last epoch. The right panel, if any network has
    several epochs, shows all layers together over the epochs, as the paper does for MNIST. Lines
    are medians over units; bars and bands go from the lower to the upper quartile. Units with a NaN
    are left out; a layer or an epoch without other units is a gap.

    Parameters
    ----------
    means : dict of {network: {epoch: unit_means(net, x)}}
        ``{"ELU": {0: {"elu1": array, ...}, 1: ...}, "ReLU": ...}``. Layers are compared by their
        order, so their names may differ between networks.
    file : path, optional
        Where to save the figure; the ending tells the format.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        If `means` is not such a dictionary, or a part of it is empty.

    References
    ----------
    Clevert, Unterthiner, Hochreiter, "Fast and Accurate Deep Network Learning by Exponential
    Linear Units (ELUs)", ICLR 2016, arXiv:1511.07289, section 4.1.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> means = {"ReLU": {0: {"relu1": np.array([0.0, 1.0, 5.0])}}}
    >>> eln.plots.mean_activations(means).axes[0].lines[0].get_ydata()
    array([1.])
    """
    _check_means(means)
    over_time = any(len(epochs) > 1 for epochs in means.values())
    figure = canvas(8.4 if over_time else 5, 4.2)
    panels = figure.subplots(1, 1 + over_time, squeeze=False)[0]
    for place, (name, epochs) in enumerate(means.items()):
        _by_layer(panels[0], place, len(means), name, epochs[max(epochs)])
        if over_time:
            _by_epoch(panels[1], place, name, epochs)
    panels[0].set(xlabel="Hidden layer", ylabel="Mean activation,\nmedian and quartiles of units")
    last = {max(epochs) for epochs in means.values()}
    if over_time:
        when = f"after epoch {last.pop()}" if len(last) == 1 else "at the last epoch"
        panels[0].set_title(when, fontsize=10)
        panels[1].set(xlabel="Epoch")
        panels[1].set_title("all hidden layers together", fontsize=10)
    for axes in panels:
        axes.axhline(0, color=GRAY, linewidth=0.8, zorder=1)
        whole(axes)
        light_grid(axes)
    handles, texts = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, texts, loc="outside lower center", ncols=4, frameon=False, handlelength=4
    )
    return finish(figure, title, file)


def _by_layer(axes: Axes, place: int, count: int, name: str, layers: UnitMeans) -> None:
    """Draw each layer's median, with bars next to those of other networks."""
    low, middle, high = np.array([_quartiles([values]) for values in layers.values()]).T
    x = np.arange(1, len(middle) + 1) + 0.12 * (place - (count - 1) / 2)
    # As lists: matplotlib 3.8 asks whether an array of one number is finite, which NumPy 2.0 minds.
    bars = [(middle - low).tolist(), (high - middle).tolist()]
    axes.errorbar(x, middle, bars, label=name, capsize=2, elinewidth=0.8, **style(place))


def _by_epoch(axes: Axes, place: int, name: str, epochs: Mapping[int, UnitMeans]) -> None:
    x = sorted(epochs)
    low, middle, high = np.array([_quartiles(list(epochs[epoch].values())) for epoch in x]).T
    look = style(place) | {"markersize": 5, "markevery": some_markers(place, len(x))}
    axes.plot(x, middle, label=name, **look)
    axes.fill_between(x, low, high, alpha=0.1, color=look["color"], linewidth=0)
    for edge in (low, high):
        axes.plot(x, edge, color=look["color"], linestyle=look["linestyle"], linewidth=0.7)


def _quartiles(arrays: Sequence[Array]) -> Array:
    """Return lower quartile, median and upper quartile of all numbers that are finite."""
    values = np.concatenate([np.ravel(array) for array in arrays])
    values = values[np.isfinite(values)]
    return np.quantile(values, (0.25, 0.5, 0.75)) if len(values) else np.full(3, np.nan)


def _check_means(means: Mapping[str, Mapping[int, UnitMeans]]) -> None:
    form = "mean_activations: expected means as {network: {epoch: {layer: array}}}"
    if not isinstance(means, Mapping):
        raise TypeError(f"{form}, got {type(means).__name__}")
    if not means:
        raise ValueError(f"{form}, got an empty dictionary")
    for name, epochs in means.items():
        if not isinstance(epochs, Mapping) or not all(isinstance(e, int) for e in epochs):
            raise TypeError(f"{form} with integers as epochs, got something else at {name!r}")
        if not epochs:
            raise ValueError(f"{form}, got no epoch of {name!r}")
        for epoch, layers in epochs.items():
            if not isinstance(layers, Mapping) or not all(np.size(v) for v in layers.values()):
                raise TypeError(
                    f"{form}, got an empty array or something else at {name!r}, epoch {epoch}"
                )
            if not layers:
                raise ValueError(f"{form}, got no layer of {name!r} at epoch {epoch}")
