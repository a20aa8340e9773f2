"""What every layer promises, run over a table of all of them in several configurations."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from elunet import layers as L
from elunet.storage.identity import untold
from elunet.testing import check_layer
from elunet.testing.strategies import spread
from elunet.train.setup import DRAWN


@dataclass(frozen=True)
class Case:
    """A layer, the shapes of one image's input and output, and what it does not promise."""

    make: Callable[[], L.Layer]
    takes: tuple[int, ...]
    gives: tuple[int, ...]
    text: str
    inputs: int = 1  # Add takes a tuple
    others: tuple[tuple[int, ...], ...] = ()  # shapes of further inputs, where they differ
    kinks: tuple[float, ...] = (0.0,)
    row_by_row: bool = True  # in training, too: an image's output depends on that image alone
    empty_training: bool = True


CASES = [
    Case(lambda: L.Conv2D(3, 4, 3, seed=0), (5, 6, 3), (5, 6, 4), "Conv2D(3->4, 3x3)"),
    Case(
        lambda: L.Conv2D(2, 3, 2, stride=2, seed=0),
        (5, 4, 2),
        (3, 2, 3),
        "Conv2D(2->3, 2x2, stride 2)",
    ),
    Case(
        lambda: L.Conv2D(2, 3, (3, 2), padding="valid", bias=False, seed=0),
        (5, 4, 2),
        (3, 3, 3),
        "Conv2D(2->3, 3x2, padding valid)",
    ),
    Case(
        lambda: L.Conv2D(2, 3, (1, 5), stride=3, padding=(0, 2), seed=0),
        (5, 4, 2),
        (2, 2, 3),
        "Conv2D(2->3, 1x5, stride 3, padding (0, 2))",
    ),
    Case(lambda: L.Conv2D(3, 4, 1, seed=0), (3, 2, 3), (3, 2, 4), "Conv2D(3->4, 1x1)"),
    Case(
        lambda: L.Conv2D(3, 4, 1, stride=2, padding=1, seed=0),
        (2, 2, 3),
        (2, 2, 4),
        "Conv2D(3->4, 1x1, stride 2, padding (1, 1))",
    ),
    Case(
        lambda: L.Conv2D(3, 4, 3, seed=0, algorithm="winograd"),
        (7, 6, 3),
        (7, 6, 4),
        "Conv2D(3->4, 3x3)",
    ),
    Case(lambda: L.Linear(4, 3, seed=0), (4,), (3,), "Linear(4->3)"),
    Case(lambda: L.Linear(1, 5, bias=False, seed=0), (1,), (5,), "Linear(1->5)"),
    Case(lambda: L.ELU(), (3, 2, 2), (3, 2, 2), "ELU(alpha=1)"),
    Case(lambda: L.ELU(0.5), (5,), (5,), "ELU(alpha=0.5)"),
    Case(lambda: L.ELU(2.0, "x"), (3, 2, 2), (3, 2, 2), "ELU(alpha=2, slope_from='x')"),
    Case(lambda: L.ReLU(), (3, 4), (3, 4), "ReLU()"),
    Case(lambda: L.LeakyReLU(), (3, 4), (3, 4), "LeakyReLU(slope=0.1)"),
    Case(lambda: L.LeakyReLU(-0.25), (4,), (4,), "LeakyReLU(slope=-0.25)"),
    Case(lambda: L.ShiftedReLU(), (3, 4), (3, 4), "ShiftedReLU()", kinks=(-1.0,)),
    Case(lambda: L.Tanh(), (2, 3, 2), (2, 3, 2), "Tanh()"),
    Case(lambda: L.Sigmoid(), (2, 3, 2), (2, 3, 2), "Sigmoid()"),
    Case(lambda: L.Softplus(), (3, 4), (3, 4), "Softplus()"),
    Case(lambda: L.SiLU(), (3, 4), (3, 4), "SiLU()"),
    Case(lambda: L.GELU(), (3, 4), (3, 4), "GELU()"),
    Case(lambda: L.GELU(tanh=True), (5,), (5,), "GELU(tanh)"),
    Case(lambda: L.SELU(), (3, 4), (3, 4), "SELU()"),
    Case(lambda: L.CELU(), (3, 4), (3, 4), "CELU(alpha=1)"),
    Case(lambda: L.CELU(0.5), (5,), (5,), "CELU(alpha=0.5)"),
    Case(lambda: L.ClippedReLU(), (3, 4), (3, 4), "ClippedReLU(limit=6)"),
    Case(lambda: L.ClippedReLU(1), (3, 4), (3, 4), "ClippedReLU(limit=1)", kinks=(0.0, 1.0)),
    Case(lambda: L.HardTanh(), (3, 4), (3, 4), "HardTanh(low=-1, high=1)", kinks=(-1.0, 1.0)),
    Case(lambda: L.LogSoftmax(), (5,), (5,), "LogSoftmax()"),
    Case(lambda: L.Softmax(), (5,), (5,), "Softmax()"),
    Case(lambda: L.Softmax(), (2, 2, 3), (2, 2, 3), "Softmax()"),
    Case(
        lambda: L.Conv2D(4, 6, 3, (2, 1), ((1, 0), (0, 2)), groups=2, dilation=(1, 2), seed=0),
        (5, 6, 4),
        (2, 4, 6),
        "Conv2D(4->6, 3x3, stride (2, 1), padding ((1, 0), (0, 2)), groups 2, dilation (1, 2))",
    ),
    Case(
        lambda: L.Conv2D(3, 6, 3, groups=3, padding_mode="reflect", seed=0),
        (5, 4, 3),
        (5, 4, 6),
        "Conv2D(3->6, 3x3, groups 3, reflect)",
    ),
    Case(
        lambda: L.LocallyConnected2D((5, 4), 2, 3, 3, stride=2, padding="same", seed=0),
        (5, 4, 2),
        (3, 2, 3),
        "LocallyConnected2D(5x4, 2->3, 3x3, stride 2, padding same)",
    ),
    Case(lambda: L.MaxPool2D(), (4, 6, 2), (2, 3, 2), "MaxPool2D(2x2)"),
    Case(
        lambda: L.MaxPool2D((3, 2), (2, 1), 1, ceil_mode=True),
        (6, 5, 2),
        (4, 6, 2),
        "MaxPool2D(3x2, stride (2, 1), padding 1, ceil_mode)",
    ),
    Case(
        lambda: L.MeanPool2D(3, 2, "same", count_include_pad=False),
        (6, 5, 2),
        (3, 3, 2),
        "MeanPool2D(3x3, stride 2, padding same)",
    ),
    Case(
        lambda: L.Pad(((1, 0), (0, 2)), "replicate", channels=(1, 2)),
        (3, 2, 2),
        (4, 4, 5),
        "Pad(((1, 0), (0, 2)), 'replicate', channels=(1, 2))",
    ),
    Case(lambda: L.GlobalMaxPool2D(), (4, 3, 2), (2,), "GlobalMaxPool2D()"),
    Case(lambda: L.AdaptiveMeanPool2D((3, 2)), (4, 5, 2), (3, 2, 2), "AdaptiveMeanPool2D(3x2)"),
    Case(lambda: L.MaxPool2D(3, 2), (6, 5, 2), (2, 2, 2), "MaxPool2D(3x3, stride 2)"),
    Case(lambda: L.MaxPool2D(2, 3), (6, 5, 1), (2, 2, 1), "MaxPool2D(2x2, stride 3)"),
    Case(lambda: L.MeanPool2D(), (4, 6, 2), (2, 3, 2), "MeanPool2D(2x2)"),
    Case(lambda: L.MeanPool2D(3, 1), (4, 5, 2), (2, 3, 2), "MeanPool2D(3x3, stride 1)"),
    Case(lambda: L.GlobalMeanPool2D(), (3, 4, 2), (2,), "GlobalMeanPool2D()"),
    Case(lambda: L.Dropout(0.4, seed=0), (3, 5), (3, 5), "Dropout(0.4)", row_by_row=False),
    Case(lambda: L.Dropout(0), (5,), (5,), "Dropout(0)"),
    Case(
        lambda: L.BatchNorm(3), (3,), (3,), "BatchNorm(3)", row_by_row=False, empty_training=False
    ),
    Case(
        lambda: L.BatchNorm(2, momentum=0.5, eps=0.01),
        (3, 2, 2),
        (3, 2, 2),
        "BatchNorm(2)",
        row_by_row=False,
        empty_training=False,
    ),
    Case(
        lambda: L.BatchNorm(3, momentum=None, affine=False),
        (2, 3),
        (2, 3),
        "BatchNorm(3, momentum=None, affine=False)",
        row_by_row=False,
        empty_training=False,
    ),
    Case(lambda: L.LayerNorm(4), (4,), (4,), "LayerNorm(4)"),
    Case(
        lambda: L.LayerNorm(3, affine=False, eps=0.01),
        (2, 3, 3),
        (2, 3, 3),
        "LayerNorm(3, affine=False)",
    ),
    Case(lambda: L.GroupNorm(2, 6), (2, 3, 6), (2, 3, 6), "GroupNorm(2, 6)"),
    Case(lambda: L.GroupNorm(1, 3), (2, 2, 3), (2, 2, 3), "GroupNorm(1, 3)"),
    Case(lambda: L.GroupNorm(2, 4, False), (4,), (4,), "GroupNorm(2, 4, affine=False)"),
    Case(lambda: L.InstanceNorm(2), (3, 3, 2), (3, 3, 2), "InstanceNorm(2)"),
    Case(lambda: L.InstanceNorm(2, affine=True), (5, 2), (5, 2), "InstanceNorm(2, affine=True)"),
    Case(lambda: L.PReLU(), (3, 4), (3, 4), "PReLU()"),
    Case(lambda: L.PReLU(4, 0.5), (3, 4), (3, 4), "PReLU(4)"),
    Case(
        lambda: L.AlphaDropout(0.4, seed=0), (3, 5), (3, 5), "AlphaDropout(0.4)", row_by_row=False
    ),
    Case(lambda: L.Pad(1), (3, 2, 2), (5, 4, 2), "Pad(1)"),
    Case(
        lambda: L.Pad(((2, 1), (0, 3)), "reflect"),
        (3, 4, 2),
        (6, 7, 2),
        "Pad(((2, 1), (0, 3)), 'reflect')",
    ),
    Case(
        lambda: L.Pad((0, 2), "replicate"),
        (2, 1, 3),
        (2, 5, 3),
        "Pad(((0, 0), (2, 2)), 'replicate')",
    ),
    Case(lambda: L.Flatten(), (2, 3, 2), (12,), "Flatten()"),
    Case(lambda: L.Flatten(), (), (1,), "Flatten()"),
    Case(lambda: L.Add(), (3, 2), (3, 2), "Add()", inputs=2),
    Case(lambda: L.Add(), (4,), (4,), "Add()", inputs=3),
    Case(lambda: L.Add(), (3, 2, 4), (3, 2, 4), "Add()", others=((4,), (1, 2, 1))),
    Case(lambda: L.Multiply(), (3, 2), (3, 2), "Multiply()", inputs=3),
    Case(lambda: L.Multiply(), (2, 3, 4), (2, 3, 4), "Multiply()", others=((4,),)),
    Case(lambda: L.Multiply(), (1, 1, 4), (2, 3, 4), "Multiply()", others=((2, 3, 1),)),
    Case(lambda: L.Concat(), (3, 2), (3, 7), "Concat()", others=((3, 4), (3, 1))),
    Case(lambda: L.Concat(axis=1), (1, 2), (4, 2), "Concat(axis=1)", others=((3, 2),)),
]

ALL = pytest.mark.parametrize("case", CASES, ids=[f"{c.text}-{c.takes}" for c in CASES])
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
TRAIN = pytest.mark.parametrize("train", [False, True])


def draw(case: Case, batch: int = 4, dtype: Any = np.float64, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    shapes = [case.takes] * case.inputs + [*case.others]
    xs = tuple(spread((batch, *shape), rng, case.kinks).astype(dtype) for shape in shapes)
    return xs if len(xs) > 1 else xs[0]


def draw_dy(case: Case, batch: int = 4, dtype: Any = np.float64) -> Any:
    return np.random.default_rng(1).normal(size=(batch, *case.gives)).astype(dtype)


def each(f: Callable[[Any], Any], x: Any) -> Any:
    return tuple(map(f, x)) if isinstance(x, tuple) else f(x)


def arrays(x: Any) -> tuple[Any, ...]:
    return x if isinstance(x, tuple) else (x,)


def freeze(x: Any) -> Any:
    for array in arrays(x):
        array.flags.writeable = False
    return x


def assert_equal(got: Any, expected: Any) -> None:
    for one, other in zip(arrays(got), arrays(expected), strict=True):
        np.testing.assert_array_equal(one, other)


BASES = (L.Layer, L.SpanLayer, L.Elementwise, L.Weighted)


def test_the_table_has_every_layer():
    kinds = {
        kind
        for name in L.__all__
        if inspect.isclass(kind := getattr(L, name)) and kind not in BASES
    }
    assert kinds == {type(case.make()) for case in CASES}


@ALL
@DTYPES
@TRAIN
def test_shapes_and_dtypes(case, dtype, train):
    """x's dtype rules; parameters are cast for the call and stay what they were."""
    layer = case.make()
    params = dict(layer.params)
    x, dy = draw(case, dtype=dtype), draw_dy(case, dtype=dtype)
    y = layer.forward(x, train)
    assert y.shape == (4, *case.gives)
    assert y.dtype == dtype
    assert y.flags.c_contiguous
    dx = layer.backward(dy)
    for one, given in zip(arrays(dx), arrays(x), strict=True):
        assert one.shape == given.shape
        assert one.dtype == dtype
    assert layer.grads.keys() == params.keys() == layer.params.keys()
    for name, value in params.items():
        assert layer.params[name] is value
        assert value.dtype == np.float32
        assert layer.grads[name].dtype == dtype
        assert layer.grads[name].shape == value.shape


@ALL
def test_dy_is_cast_to_the_forward_pass(case):
    layer = case.make()
    layer.forward(draw(case, dtype=np.float32))
    dx = layer.backward(draw_dy(case, dtype=np.float64))
    assert all(one.dtype == np.float32 for one in arrays(dx))


@ALL
def test_float32_agrees_with_float64(case):
    results = []
    for dtype in (np.float32, np.float64):
        layer = case.make()
        y = layer.forward(draw(case, dtype=dtype), train=True)
        dx = layer.backward(draw_dy(case, dtype=dtype))
        results.append([y, *arrays(dx), *layer.grads.values()])
    for low, high in zip(*results, strict=True):
        np.testing.assert_allclose(low, high, rtol=1e-4, atol=1e-4)


@ALL
@TRAIN
def test_batched_equals_unbatched(case, train):
    train = train and case.row_by_row
    layer = case.make()
    x, dy = draw(case), draw_dy(case)
    y, dx = layer.forward(x, train), layer.backward(dy)
    total = {name: np.zeros(value.shape) for name, value in layer.params.items()}
    for n in range(4):
        one = slice(n, n + 1)
        np.testing.assert_allclose(
            layer.forward(each(lambda a, one=one: a[one], x), train), y[one], rtol=1e-12, atol=1e-14
        )
        for got, expected in zip(arrays(layer.backward(dy[one])), arrays(dx), strict=True):
            np.testing.assert_allclose(got, expected[one], rtol=1e-12, atol=1e-14)
        for name, value in layer.grads.items():
            total[name] += value
    layer.forward(x, train)
    layer.backward(dy)
    for name, value in layer.grads.items():
        np.testing.assert_allclose(value, total[name], rtol=1e-11, atol=1e-13)


@ALL
@TRAIN
def test_gradients(case, train):
    assert check_layer(case.make(), draw(case), train=train).max_rel_error < 1e-4


@ALL
@TRAIN
@DTYPES
def test_the_tangent_is_the_same_jacobian_from_the_other_side(case, train, dtype):
    """<dy, J dx + J' dW> = <J^T dy, dx> + <J'^T dy, dW>, and each alone."""
    layer = case.make()
    layer.forward(draw(case, dtype=dtype), train)
    dx, dy = draw(case, dtype=dtype, seed=7), draw_dy(case, dtype=dtype)
    rng = np.random.default_rng(8)
    dparams = {name: rng.standard_normal(p.shape).astype(dtype) for name, p in layer.params.items()}
    down = layer.backward(dy)
    by_input = sum(np.vdot(a, b) for a, b in zip(arrays(down), arrays(dx), strict=True))
    by_params = sum(np.vdot(layer.grads[name], value) for name, value in dparams.items())
    near = {"rtol": 1e-9, "atol": 1e-11} if dtype == np.float64 else {"rtol": 1e-3, "atol": 1e-3}
    for moves, expected in [((dx, {}), by_input), ((dx, dparams), by_input + by_params)] + [
        ((None, dparams), by_params) for _ in [1] if dparams
    ]:
        tangent = layer.tangent(*moves)
        assert tangent.dtype == dtype
        assert tangent.shape == dy.shape
        np.testing.assert_allclose(np.vdot(dy, tangent), expected, **near)
    np.testing.assert_array_equal(layer.backward(dy)[0], down[0])  # what was kept is still there


@ALL
def test_backward_is_its_two_halves(case):
    layer, other = case.make(), case.make()
    x, dy = draw(case), draw_dy(case)
    layer.forward(x, train=True)
    other.forward(x, train=True)
    dx = layer.backward(dy)
    assert other.backward_params(dy) is None
    assert_equal(other.backward_input(dy), dx)
    assert layer.grads.keys() == other.grads.keys()
    for name, value in layer.grads.items():
        np.testing.assert_array_equal(other.grads[name], value)


@ALL
def test_backward_again_gives_the_same(case):
    layer = case.make()
    layer.forward(draw(case), train=True)
    dy = draw_dy(case)
    dx = each(np.copy, layer.backward(dy))
    grads = {name: value.copy() for name, value in layer.grads.items()}
    assert_equal(layer.backward(dy), dx)
    for name, value in grads.items():  # overwritten, not added to
        np.testing.assert_array_equal(layer.grads[name], value)


@ALL
def test_backward_before_forward(case):
    layer, dy = case.make(), draw_dy(case)
    expected = re.escape(f"{case.text}: expected a forward pass before the backward pass, got none")
    for backward in (layer.backward, layer.backward_input):
        with pytest.raises(RuntimeError, match=expected):
            backward(dy)
    if layer.params:
        with pytest.raises(RuntimeError, match=expected):
            layer.backward_params(dy)
    assert layer.grads == {}
    layer.forward(draw(case))
    layer.forget()
    with pytest.raises(RuntimeError, match=expected):
        layer.backward(dy)


@ALL
@TRAIN
def test_nothing_given_or_kept_is_written(case, train):
    """Read-only arrays work, too."""
    layer = case.make()
    x, dy = freeze(draw(case, dtype=np.float32)), freeze(draw_dy(case, dtype=np.float32))
    y = layer.forward(x, train)
    before = [a.copy() for a in layer._kept or () if isinstance(a, np.ndarray)]
    params = {name: value.copy() for name, value in layer.params.items()}
    y_before = y.copy()
    layer.backward(dy)
    for kept, copy in zip(
        [a for a in layer._kept or () if isinstance(a, np.ndarray)], before, strict=True
    ):
        np.testing.assert_array_equal(kept, copy)
    for name, value in params.items():
        np.testing.assert_array_equal(layer.params[name], value)
    np.testing.assert_array_equal(y, y_before)
    writable = case.make()
    assert_equal(writable.forward(draw(case, dtype=np.float32), train), y)


def backwards(a):
    """Return an equal array that lies in memory from its end to its start."""
    turned = tuple(slice(None, None, -1) for _ in a.shape)
    return a[turned].copy()[turned]


def spaced(a):
    """Return an equal array with gaps between its numbers."""
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
    wide[..., ::2] = a
    return wide[..., ::2]


@ALL
@pytest.mark.parametrize("layout", [np.asfortranarray, backwards, spaced])
def test_any_memory_layout(case, layout):
    layer, other = case.make(), case.make()
    x, dy = draw(case), draw_dy(case)
    assert_equal(other.forward(each(layout, x), train=True), layer.forward(x, train=True))
    assert_equal(other.backward(layout(dy)), layer.backward(dy))
    for name, value in layer.grads.items():
        np.testing.assert_array_equal(other.grads[name], value)


@ALL
@TRAIN
def test_empty_batch(case, train):
    layer = case.make()
    x, dy = draw(case, batch=0), draw_dy(case, batch=0)
    if train and not case.empty_training:
        with pytest.raises(ValueError, match="at least 2 values per channel"):
            layer.forward(x, train)
        return
    y = layer.forward(x, train)
    assert y.shape == (0, *case.gives)
    dx = layer.backward(dy)
    for one, given in zip(arrays(dx), arrays(x), strict=True):
        assert one.shape == given.shape
    for value in layer.grads.values():
        np.testing.assert_array_equal(value, 0)


@ALL
@TRAIN
def test_results_stay_what_they_are(case, train):
    layer = case.make()
    held = []
    for seed in range(3):
        y = layer.forward(draw(case, seed=seed), train)
        dx = layer.backward(draw_dy(case))
        held.append((y, y.copy(), dx, each(np.copy, dx)))
        for y, y_then, dx, dx_then in held:
            np.testing.assert_array_equal(y, y_then)
            assert_equal(dx, dx_then)


@ALL
def test_reset_is_reproducible(case):
    layer = case.make()
    x = draw(case)
    layer.reset(5)
    first = layer.forward(x, train=True).copy()
    other = layer.forward(x, train=True).copy()
    layer.reset(6)
    different = layer.forward(x, train=True).copy()
    layer.reset(5)
    np.testing.assert_array_equal(layer.forward(x, train=True), first)
    np.testing.assert_array_equal(layer.forward(x, train=True), other)
    draws = layer.weighted or (layer.rng is not None and case.text != "Dropout(0)")
    assert (different == first).all() != draws


@ALL
def test_repr(case):
    assert repr(case.make()) == case.text


@ALL
def test_arguments_are_attributes(case):
    """So a run that is resumed can tell whether its layers are as they were."""
    assert untold(case.make(), DRAWN) == []


@ALL
@pytest.mark.parametrize(
    ("convert", "got"),
    [
        (lambda a: np.ones(a.shape, np.int64), "int64"),
        (lambda a: np.ones(a.shape, np.uint8), "uint8"),
        (lambda a: a.astype(object), "object"),
        (lambda a: a.astype(np.complex128), "complex128"),
        (lambda a: a.astype(np.float16), "float16"),
        (lambda a: a > 0, "bool"),
        (lambda a: a.tolist(), "list"),
        (lambda a: None, "NoneType"),
    ],
)
def test_what_is_no_float_array(case, convert, got):
    layer = case.make()
    expected = (
        re.escape(case.text) + r": expected x(\[0\])? (of dtype float32|as a NumPy array).*got "
    )
    with pytest.raises(TypeError, match=expected + got):
        layer.forward(each(convert, draw(case)))
    layer.forward(draw(case))
    expected = re.escape(case.text) + ": expected dy (of dtype float32|as a NumPy array).*got "
    with pytest.raises(TypeError, match=expected + got):
        layer.backward(convert(draw_dy(case)))


@ALL
def test_shape_errors_name_the_layer_and_what_came(case):
    layer = case.make()
    if not isinstance(layer, L.Add | L.Multiply | L.Concat):
        with pytest.raises(ValueError, match=re.escape(f"{case.text}: expected x of")) as error:
            layer.forward(np.array(1.0))
        assert str(error.value).endswith("got ()")
    layer.forward(draw(case))
    wrong = (9, *case.gives)
    with pytest.raises(ValueError, match="expected dy of the output's shape") as error:
        layer.backward(np.ones(wrong))
    assert str(error.value) == (
        f"{case.text}: expected dy of the output's shape {(4, *case.gives)}, got {wrong}"
    )


@pytest.mark.parametrize(
    "layer", [L.Conv2D(3, 4, 3), L.MaxPool2D(), L.MeanPool2D(), L.GlobalMeanPool2D()]
)
def test_an_image_without_its_batch(layer):
    with pytest.raises(ValueError, match=r"expected x of shape \(N, H, W, \w\), got \(8, 8, 3\)"):
        layer.forward(np.ones((8, 8, 3)))


@ALL
@pytest.mark.filterwarnings("error")
def test_large_finite_numbers_make_no_warning(case):
    layer = case.make()
    x = each(lambda a: a.astype(np.float32) * np.float32(1e4), draw(case))
    assert np.isfinite(layer.forward(x, train=True)).all()
    assert all(np.isfinite(a).all() for a in arrays(layer.backward(draw_dy(case))))


@pytest.mark.parametrize(
    "make",
    [
        lambda one: L.Conv2D(one(4), 400, one(1), groups=one(2), padding=one(1), dilation=one(1)),
        lambda one: L.GroupNorm(one(2), 400),
        lambda one: L.MaxPool2D(one(3), one(2), one(1)),
        lambda one: L.LocallyConnected2D((6, 6), one(4), 400, one(3), padding=one(1)),
        lambda one: L.Pad(one(1)),
    ],
)
def test_small_integers_of_numpy_become_pythons(make):
    """Arithmetic in int8 ends at 127."""
    small, plain = make(np.int8), make(int)
    assert repr(small) == repr(plain)
    for name, value in vars(small).items():
        if name not in ("init", "params", "seed"):
            assert repr(value) == repr(vars(plain)[name]), name
