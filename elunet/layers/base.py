"""The base class of layers: a forward pass, and the two halves of a backward pass.

A layer knows its own mathematics and nothing of networks, losses or learning rules. `forward` keeps
what the backward pass needs; `backward_params` turns the gradient at the output into gradients of
the layer's own parameters, `backward_input` into the gradient at its input. They are separate
because a learning rule may change what is sent back without changing how the layer itself learns.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from functools import wraps
from types import EllipsisType, FunctionType
from typing import Any

import numpy as np

from elunet import _display
from elunet._checks import is_masked
from elunet._checks import seed as checked_seed
from elunet._group import ALONE, Alone
from elunet._quiet import quiet
from elunet._types import Array, Seed, Shape

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class Layer:
    """Base class of all layers; a new layer is one file with one subclass.

    A layer without parameters overrides `forward` and `backward_input`. One with parameters puts
    them into `params`, and overrides `backward_params` as well, which fills `grads`. An `__init__`
    of its own calls ``super().__init__()`` first.
    One whose parameter "W" carries the signal back takes ``backward_input(dy, weight=None)``, where
    `weight` stands in for W: some learning rules need it.

    The methods from `check_input` on are for use inside these: they turn the usual mistakes into
    messages that name the layer. A layer that does without them works as well.

    Parameters
    ----------
    seed : int, SeedSequence, Generator or None, optional

    Attributes
    ----------
    params, grads : dict of str to array
        What is learned, and the gradients of the last backward pass; {} where there are none.
    state : dict of str to array
        What a checkpoint needs besides (running statistics).
    rng : numpy.random.Generator or None
        Where the layer draws from, if it draws.
    seed : int, SeedSequence, Generator or None
        What the layer was given, by its maker or by the first network that took it; None lets a
        network choose.

    Notes
    -----
    Layers keep arrays for the backward pass, and do not copy them for it: x of a convolution, the
    very y that ELU, ReLU, ShiftedReLU, Tanh and Softmax hand out. Writing into such an array in
    place before the backward pass spoils the gradient. So does writing into ``params["W"]``, as an
    optimizer's step does: the signal that is sent back is then that of the new W. elunet cannot
    detect such a write. A new array put into ``params`` counts from the next forward pass on.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> class Square(eln.layers.Layer):
    ...     def forward(self, x, train=False):
    ...         x = self.check_input(x, ("N", ...))
    ...         self.keep(x)
    ...         return x**2
    ...
    ...     def backward_input(self, dy):
    ...         (x,) = self.recall()
    ...         return 2 * x * self.check_gradient(dy, x.shape, x.dtype)
    >>> eln.testing.check_layer(Square(), np.array([[1.0, -2.0]]))
    Square(): ok
    array  max abs error  max rel error  entries checked
    dx     ...            ...            2 of 2
    """

    pointwise = False
    """Whether each number of the output depends only on the input's number at the same place."""

    linear = False
    """Whether the output is linear in the input; the tangent is then the forward pass of dx."""

    symmetric = False
    """Whether the Jacobian dy/dx is symmetric; `tangent` and `backward_input` are then the same."""

    group: Alone = ALONE
    """The processes that compute the batch; a layer asks it for anything beyond a sum over rows."""

    _passed: Any = None  # in which pass of a network `forward` ran last; None if by hand

    def __init_subclass__(cls, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if isinstance(forward := vars(cls).get("forward"), FunctionType):
            cls.forward = _noted(forward)  # type: ignore[method-assign]

    def __init__(self, seed: Seed = None) -> None:
        self.params: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}
        self.state: dict[str, Array] = {}
        self.rng: np.random.Generator | None = None
        self.seed = checked_seed(type(self).__name__, seed)
        self._kept: tuple[Any, ...] | None = None

    @property
    def weighted(self) -> bool:
        """Whether the layer has a weight W, through which a learning rule can send its signal."""
        return "W" in self.params

    def forward(self, x: Any, train: bool = False) -> Any:
        """Return the layer's output and keep what a backward pass needs."""
        raise NotImplementedError(f"{self!r}: a layer has to define forward(x, train=False)")

    def backward_params(self, dy: Any) -> None:
        """Fill `grads` from dL/dy; a layer without parameters has nothing to do."""

    def backward_input(self, dy: Any) -> Any:
        """Return dL/dx from dL/dy."""
        raise NotImplementedError(f"{self!r}: a layer has to define backward_input(dy)")

    def backward(self, dy: Any) -> Any:
        """Fill `grads` and return dL/dx, from dL/dy.

        Raises
        ------
        RuntimeError
            If no forward pass came before.
        """
        self.backward_params(dy)
        return self.backward_input(dy)

    def tangent(self, dx: Any, dparams: Mapping[str, Array]) -> Any:
        """Return the output's derivative along dx, and along dparams in the parameters.

        It is the Jacobian's product with a direction, at the last forward pass; the backward pass
        is the product from the other side. `elunet.Network.jvp` needs it of every layer.

        Parameters
        ----------
        dx : array, tuple of arrays or None
            Of x's shape, a tuple if x is one; None where the input does not move.
        dparams : mapping of str to array
            By parameter name; parameters that are not in it do not move.

        Raises
        ------
        NotImplementedError
            If the layer has no such method and is not `linear` or `symmetric`.
        """
        if self.linear and not self.params:
            return copy.copy(self).forward(dx, train=True)
        if self.symmetric and not self.params:
            return self.backward_input(dx)
        raise NotImplementedError(
            f"{self!r}: a layer has to define tangent(dx, dparams) for forward mode, or say"
            " linear = True or symmetric = True if it has no parameters"
        )

    def reset(self, seed: Seed) -> None:
        """Draw parameters and random state again; a layer without random numbers does nothing."""

    def check_input(
        self, x: Any, shape: tuple[int | str | EllipsisType, ...], hint: str = ""
    ) -> Array:
        """Return x C-contiguous, after checking its dtype and shape.

        Parameters
        ----------
        x : float32 or float64 array
        shape : tuple
            What is expected of each axis: a number; a name such as "N" where any size will do; and
            at most once ``...``, for any number of axes. ``("N", "H", "W", 3)`` are images of
            three channels, ``("N", ..., 3)`` arrays whose last axis is 3.
        hint : str, optional
            Ends the message about a wrong shape.

        Raises
        ------
        TypeError, ValueError
            If x is not such an array, or has another shape.
        """
        if not is_float(x):  # asked first: to say who is asking takes longer than to ask
            check_float(x, f"{self!r}: expected x")
        wanted: list[int | str | EllipsisType] = list(shape)
        if ... in shape:
            place = shape.index(...)
            wanted[place : place + 1] = [""] * (x.ndim - len(shape) + 1)
        fits = len(wanted) == x.ndim and all(
            isinstance(want, str) or want == size
            for want, size in zip(wanted, x.shape, strict=True)
        )
        if not fits:
            sizes = ", ".join("..." if want is ... else str(want) for want in shape)
            hint = hint or _advice(shape, x.shape)
            raise ValueError(f"{self!r}: expected x of shape ({sizes}), got {x.shape}{hint}")
        return np.asarray(x, order="C")

    def check_gradient(self, dy: Any, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Return dy C-contiguous in the dtype of the forward pass, its shape checked.

        Raises
        ------
        TypeError, ValueError
            If dy is not a float array, or not of this shape, the output's.
        """
        if type(dy) is np.ndarray and dy.dtype is dtype and dy.shape == shape:
            if dy.flags.c_contiguous:  # asked first, since it is nearly always so
                return dy
        elif not is_float(dy):
            check_float(dy, f"{self!r}: expected dy")
        if dy.shape != shape:
            raise ValueError(f"{self!r}: expected dy of the output's shape {shape}, got {dy.shape}")
        return as_dtype(dy, dtype)

    def parameter(self, name: str, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Return ``params[name]`` C-contiguous in the dtype of this pass, its shape checked.

        Raises
        ------
        ValueError
            If ``params[name]`` is not a float array of this shape.
        """
        value = self.params[name]
        if type(value) is np.ndarray and value.dtype is dtype and value.shape == shape:
            if value.flags.c_contiguous:
                return value
        elif getattr(value, "shape", None) != shape or value.dtype.kind != "f" or is_masked(value):
            raise ValueError(
                f'{self!r}: expected params["{name}"] as a float array of shape {shape}, got '
                + describe(value)
            )
        return as_dtype(value, dtype)

    def gradient_array(self, name: str, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Return ``grads[name]`` to be written to; a new array unless the one there fits."""
        there = self.grads.get(name)
        if (
            there is None
            or there.shape != shape
            or there.dtype != dtype
            or not (there.flags.c_contiguous and there.flags.writeable)
        ):
            there = self.grads[name] = np.empty(shape, dtype)
        return there

    def store_gradient(self, name: str, value: Array, dtype: np.dtype[Any]) -> None:
        """Store a parameter's gradient, in the array that is already in ``grads`` if it fits."""
        _copy(self.gradient_array(name, np.shape(value), dtype), value)

    def keep(self, *values: Any) -> None:
        """Keep what the backward pass needs, in place of what was kept before."""
        self._kept = values

    def recall(self) -> tuple[Any, ...]:
        """Return the values that `keep` stored.

        Raises
        ------
        RuntimeError
            If there was no forward pass.
        """
        if self._kept is None:
            raise RuntimeError(
                f"{self!r}: expected a forward pass before the backward pass, got none (in a"
                " network, call forward with train=True)"
            )
        return self._kept

    def keeps(self, array: Array) -> bool:
        """Return whether this array object was kept."""
        return self._kept is not None and any([value is array for value in self._kept])

    def forget(self) -> None:
        """Release what was kept."""
        self._kept = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def _repr_html_(self) -> str:
        return _display.layer(self)


def _noted(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Let a layer's `forward` note that no network ran it; a network notes afterwards that it did.

    So a network can tell whether what a layer keeps is still of its own pass.
    """

    @wraps(forward)
    def noted(self: Layer, *inputs: Any, **named: Any) -> Any:
        __tracebackhide__ = True
        self._passed = None
        return forward(self, *inputs, **named)

    return noted


@quiet
def as_dtype(value: Array, dtype: np.dtype[Any]) -> Array:
    """Return an array C-contiguous in this dtype; what it cannot hold is infinite, or 0."""
    return np.asarray(value, dtype, order="C")


@quiet
def _copy(target: Array, value: Array) -> None:
    target[...] = value


def _advice(wanted: tuple[int | str | EllipsisType, ...], shape: Shape) -> str:
    """Return advice about an array of a wrong shape, if there is some."""

    def fits(part: tuple[int | str | EllipsisType, ...]) -> bool:
        pairs = zip(part, shape, strict=True)
        return all(isinstance(want, str) or want == size for want, size in pairs)

    if len(wanted) == 4 and len(shape) == 2:
        return _image_advice(wanted[-1], *shape)
    if ... in wanted or len(shape) != len(wanted) - 1:
        flat = len(wanted) == 2 and len(shape) > 2
        return "; a Flatten layer before it makes rows of images" if flat else ""
    if fits(wanted[1:]) and (wanted[-1] != "C" or shape[-1] in (1, 3)):
        return "; one example is a batch of one: x[None]"
    if fits(wanted[:-1]) and wanted[-1] in (1, "C"):
        if len(shape) == 1:
            return f"; reshape to ({shape[0]}, 1): x[:, None]"
        return "; channels missing: x[..., None]"
    return ""


def _image_advice(channels: int | str | EllipsisType, count: int, size: int) -> str:
    """Return advice about two axes instead of four: rows of pixels, or a single gray image."""
    depth = channels if isinstance(channels, int) else 1
    side = math.isqrt(size // depth)
    if side > 1 and side * side * depth == size:
        return f"; if rows are square images: x.reshape(-1, {side}, {side}, {depth})"
    return "; one gray image is a batch of one: x[None, ..., None]" if depth == 1 else ""


def describe(value: Any) -> str:
    """Describe an argument in a few words."""
    if isinstance(value, np.ndarray):
        mask = ", masked" if is_masked(value) else ""
        return f"{value.dtype} of shape {value.shape}{mask}"
    return f"{value!r} ({type(value).__name__})"


def is_float(x: Any) -> bool:
    """Return whether x is a plain array of float32 or float64, not a subclass with more meaning."""
    return type(x) is np.ndarray and x.dtype in FLOATS


def check_float(x: Any, expected: str) -> None:
    """Raise a TypeError unless x is an array of float32 or float64."""
    if not isinstance(x, np.ndarray):
        hint = "; np.asarray(x, np.float32) makes one" if hasattr(x, "__array__") else ""
        raise TypeError(f"{expected} as a NumPy array, got {type(x).__name__}{hint}")
    if x.dtype not in FLOATS:
        hint = "; images go through eln.data.standardize first" if x.dtype == np.uint8 else ""
        raise TypeError(f"{expected} of dtype float32 or float64, got {x.dtype}{hint}")
    if is_masked(x):
        raise TypeError(f"{expected} without a mask, which would be lost, got a masked array")
