"""Strategies for hypothesis: inputs at which a gradient check is reliable, and layers for them.

A numeric difference is wrong next to a kink (ReLU at 0) and at a tie (two equal numbers in a
pooling window). So the values here are all different, evenly spaced and shuffled, and keep away
from kinks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from elunet import layers as _layers
from elunet._types import Array, Shape
from elunet.testing._inputs import spread

try:
    from hypothesis import strategies as st
except ImportError as error:
    raise ImportError(
        "elunet.testing.strategies needs hypothesis: pip install elunet[test]"
    ) from error

__all__ = ["images", "inputs", "layers", "shapes", "spread"]


def shapes(
    min_dims: int = 1, max_dims: int = 4, min_side: int = 1, max_side: int = 5
) -> st.SearchStrategy[Shape]:
    """Draw shapes, small ones first.

    Parameters
    ----------
    min_dims, max_dims, min_side, max_side : int

    Returns
    -------
    SearchStrategy of tuple of int

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> from elunet.testing import strategies
    >>> @settings(max_examples=5)
    ... @given(strategies.shapes(max_dims=2))
    ... def check(shape):
    ...     assert len(shape) <= 2
    >>> check()
    """
    sides = st.integers(min_side, max_side)
    return st.lists(sides, min_size=min_dims, max_size=max_dims).map(tuple)


@st.composite
def inputs(
    draw: st.DrawFn,
    shape: Shape | st.SearchStrategy[Shape] | None = None,
    kinks: Sequence[float] = (0.0,),
    margin: float = 0.05,
    reach: float = 2.0,
    dtype: Any = np.float64,
) -> Array:
    """Draw arrays of distinct values away from kinks.

    Parameters
    ----------
    shape : tuple of int or strategy, optional
        By default `shapes()`.
    kinks, margin, reach
        As for `spread`.
    dtype : dtype

    Returns
    -------
    SearchStrategy of ndarray

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> from elunet.testing import strategies
    >>> @settings(max_examples=5)
    ... @given(strategies.inputs((2, 3)))
    ... def check(x):
    ...     assert x.shape == (2, 3)
    >>> check()
    """
    drawn = draw(shapes() if shape is None else shape) if not isinstance(shape, tuple) else shape
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return spread(drawn, rng, kinks, margin, reach).astype(dtype)


@st.composite
def images(
    draw: st.DrawFn,
    channels: int | None = None,
    min_side: int = 1,
    max_side: int = 6,
    max_batch: int = 3,
    kinks: Sequence[float] = (0.0,),
) -> Array:
    """Draw small batches of images, (N, H, W, C), as `inputs` does.

    Parameters
    ----------
    channels : int, optional
        By default 1 to 3.
    min_side, max_side, max_batch : int
    kinks : sequence of float

    Returns
    -------
    SearchStrategy of ndarray

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> from elunet.testing import strategies
    >>> @settings(max_examples=5)
    ... @given(strategies.images(channels=3))
    ... def check(x):
    ...     assert x.ndim == 4 and x.shape[3] == 3
    >>> check()
    """
    batch = draw(st.integers(1, max_batch))
    height, width = draw(st.integers(min_side, max_side)), draw(st.integers(min_side, max_side))
    depth = draw(st.integers(1, 3)) if channels is None else channels
    return draw(inputs((batch, height, width, depth), kinks))


def _elementwise(draw: st.DrawFn, make: Callable[[], Any], kinks: Sequence[float]) -> Any:
    return make(), draw(inputs(shapes(2, 4, max_side=4), kinks))


def _conv(draw: st.DrawFn) -> Any:
    groups = draw(st.sampled_from([1, 1, 1, 2]))
    channels = groups * draw(st.integers(1, 2))
    x = draw(images(channels, min_side=3, max_side=5, kinks=()))
    paddings = ["same", "valid", 1, (0, 1), ((1, 0), (0, 2))]
    strides: list[Any] = [1, 2, (2, 1)]
    layer = _layers.Conv2D(
        channels,
        groups * draw(st.integers(1, 2)),
        draw(st.integers(1, 3)),
        stride=draw(st.sampled_from(strides)),
        padding=draw(st.sampled_from(paddings)),  # type: ignore[arg-type]  # each is one
        bias=draw(st.booleans()),
        seed=draw(st.integers(0, 99)),
        groups=groups,
        dilation=draw(st.sampled_from([1, 1, 2])),
        padding_mode=draw(st.sampled_from(["zeros", "zeros", "replicate"])),
    )
    reach = (layer.kernel_size[0] - 1) * layer.dilations[0] + 1
    if reach > min(x.shape[1:3]):  # not always would there be room
        layer.padding, layer._around = "same", None
    return layer, x


def _locally_connected(draw: st.DrawFn) -> Any:
    x = draw(images(min_side=3, max_side=4, kinks=()))
    kernel, stride = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    return _layers.LocallyConnected2D(
        x.shape[1:3],
        x.shape[-1],
        draw(st.integers(1, 2)),
        kernel,
        stride,
        draw(st.sampled_from(["valid", "same"])),
        bias=draw(st.booleans()),
        seed=draw(st.integers(0, 99)),
    ), x


def _linear(draw: st.DrawFn) -> Any:
    x = draw(inputs(shapes(2, 2), kinks=()))
    width, seed = draw(st.integers(1, 4)), draw(st.integers(0, 99))
    return _layers.Linear(x.shape[1], width, bias=draw(st.booleans()), seed=seed), x


def _pool(draw: st.DrawFn, kind: Any) -> Any:
    size = draw(st.integers(1, 3))
    stride = draw(st.none() | st.integers(1, 3) | st.just((1, 2)))
    padding = draw(st.sampled_from([0, 0, "same", size // 2]))
    ceil_mode = draw(st.booleans())
    return kind(size, stride, padding, ceil_mode), draw(images(min_side=3, kinks=()))


def _batch_norm(draw: st.DrawFn) -> Any:
    # In a batch of two values y is +-1 for any x, and differences show only rounding.
    x = draw(inputs(st.tuples(st.integers(3, 6), st.integers(1, 3)), kinks=()))
    momentum = draw(st.sampled_from([0.1, None]))
    return _layers.BatchNorm(x.shape[-1], momentum, affine=draw(st.booleans())), x


def _grouped(draw: st.DrawFn, kind: Any) -> Any:
    # Of two values normalized together, y is +-1 for any x.
    x = draw(inputs(st.tuples(*(st.integers(low, 3) for low in (1, 3, 1, 3))), kinks=()))
    channels = x.shape[-1]
    sizes = [g for g in range(1, channels + 1) if channels % g == 0]
    groups = [draw(st.sampled_from(sizes))] if kind is _layers.GroupNorm else []
    return kind(*groups, channels, affine=draw(st.booleans())), x


def _prelu(draw: st.DrawFn) -> Any:
    x = draw(inputs(shapes(2, 4, max_side=4)))
    return _layers.PReLU(draw(st.sampled_from([1, x.shape[-1]]))), x


def _pad(draw: st.DrawFn) -> Any:
    x = draw(images(min_side=2, kinks=()))
    side = st.integers(0, 1)
    sides = (draw(side), draw(side)), (draw(side), draw(side))
    return _layers.Pad(sides, draw(st.sampled_from(["zeros", "reflect", "replicate"]))), x


def _gated(draw: st.DrawFn, kind: Any) -> Any:
    x = draw(images(kinks=()))
    n, height, width, channels = x.shape
    gates = [x.shape, (n, channels), (n, 1, 1, channels), (n, height, width, 1), (n, 1, width, 1)]
    return kind(), (x, draw(inputs(draw(st.sampled_from(gates)), kinks=())))


def _concat(draw: st.DrawFn) -> Any:
    shape = draw(shapes(2, 4, max_side=3))
    axis = draw(st.integers(1, len(shape) - 1))
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    xs = tuple(draw(inputs((*shape[:axis], n, *shape[axis + 1 :]), kinks=())) for n in sizes)
    return _layers.Concat(draw(st.sampled_from([axis, axis - len(shape)]))), xs


def _add(draw: st.DrawFn) -> Any:
    shape = draw(shapes(2, 4, max_side=3))
    count = draw(st.integers(1, 3))
    return _layers.Add(), tuple(draw(inputs(shape, kinks=())) for _ in range(count))


@st.composite
def layers(draw: st.DrawFn, kind: str | None = None) -> tuple[Any, Any]:
    """Draw a layer of elunet and an input that it takes, away from its kinks.

    Parameters
    ----------
    kind : str, optional
        The name of a class, to draw only its layers.

    Returns
    -------
    SearchStrategy of (layer, x)
        x is a tuple of arrays for Add, Multiply and Concat.

    Examples
    --------
    A test that any layer passes::

        @given(strategies.layers())
        def test_gradients(pair):
            check_layer(*pair)

    >>> from hypothesis import given, settings
    >>> from elunet.testing import strategies
    >>> @settings(max_examples=5)
    ... @given(strategies.layers())
    ... def check(pair):
    ...     layer, x = pair
    ...     assert layer.forward(x) is not None
    >>> check()
    """
    zero = (0.0,)
    makers: dict[str, Callable[[], Any]] = {
        "Conv2D": lambda: _conv(draw),
        "Linear": lambda: _linear(draw),
        "ELU": lambda: _elementwise(
            draw,
            lambda: _layers.ELU(
                draw(st.sampled_from([0.5, 1.0, 2.0, 5.0])), draw(st.sampled_from("yx"))
            ),
            zero,
        ),
        "ReLU": lambda: _elementwise(draw, _layers.ReLU, zero),
        "LeakyReLU": lambda: _elementwise(
            draw, lambda: _layers.LeakyReLU(draw(st.sampled_from([0.1, 0.01, 0.3]))), zero
        ),
        "ShiftedReLU": lambda: _elementwise(draw, _layers.ShiftedReLU, (-1.0,)),
        "Tanh": lambda: _elementwise(draw, _layers.Tanh, ()),
        "Sigmoid": lambda: _elementwise(draw, _layers.Sigmoid, ()),
        "Softplus": lambda: _elementwise(draw, _layers.Softplus, ()),
        "SiLU": lambda: _elementwise(draw, _layers.SiLU, ()),
        "GELU": lambda: _elementwise(draw, lambda: _layers.GELU(draw(st.booleans())), ()),
        "SELU": lambda: _elementwise(draw, _layers.SELU, zero),
        "CELU": lambda: _elementwise(
            draw, lambda: _layers.CELU(draw(st.sampled_from([0.5, 1.0, 3.0]))), zero
        ),
        "ClippedReLU": lambda: _elementwise(
            draw, lambda: _layers.ClippedReLU(draw(st.sampled_from([1.0, 6.0]))), (0.0, 1.0)
        ),
        "HardTanh": lambda: _elementwise(draw, _layers.HardTanh, (-1.0, 1.0)),
        "LogSoftmax": lambda: (_layers.LogSoftmax(), draw(inputs(shapes(2, 2), kinks=()))),
        "Softmax": lambda: (_layers.Softmax(), draw(inputs(shapes(2, 2), kinks=()))),
        "MaxPool2D": lambda: _pool(draw, _layers.MaxPool2D),
        "MeanPool2D": lambda: _pool(draw, _layers.MeanPool2D),
        "GlobalMeanPool2D": lambda: (_layers.GlobalMeanPool2D(), draw(images(kinks=()))),
        "GlobalMaxPool2D": lambda: (_layers.GlobalMaxPool2D(), draw(images(kinks=()))),
        "AdaptiveMeanPool2D": lambda: (
            _layers.AdaptiveMeanPool2D((draw(st.integers(1, 4)), draw(st.integers(1, 4)))),
            draw(images(kinks=())),
        ),
        "LocallyConnected2D": lambda: _locally_connected(draw),
        "Dropout": lambda: _elementwise(
            draw,
            lambda: _layers.Dropout(
                draw(st.sampled_from([0.0, 0.3, 0.8])), seed=draw(st.integers(0, 99))
            ),
            (),
        ),
        "BatchNorm": lambda: _batch_norm(draw),
        "Flatten": lambda: _elementwise(draw, _layers.Flatten, ()),
        "AlphaDropout": lambda: _elementwise(
            draw,
            lambda: _layers.AlphaDropout(
                draw(st.sampled_from([0.0, 0.3, 0.8])), seed=draw(st.integers(0, 99))
            ),
            (),
        ),
        "LayerNorm": lambda: _grouped(draw, _layers.LayerNorm),
        "GroupNorm": lambda: _grouped(draw, _layers.GroupNorm),
        "InstanceNorm": lambda: _grouped(draw, _layers.InstanceNorm),
        "PReLU": lambda: _prelu(draw),
        "Pad": lambda: _pad(draw),
        "Add": lambda: _add(draw) if draw(st.booleans()) else _gated(draw, _layers.Add),
        "Multiply": lambda: _gated(draw, _layers.Multiply),
        "Concat": lambda: _concat(draw),
    }
    if kind is not None and kind not in makers:
        raise ValueError(f"layers: expected kind among {sorted(makers)}, got {kind!r}")
    return makers[draw(st.sampled_from(sorted(makers))) if kind is None else kind]()  # type: ignore[no-any-return]
