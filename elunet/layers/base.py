"""What every layer is: a forward pass, and the two halves of a backward pass.

A layer knows its own mathematics and nothing of networks, losses or learning rules. `forward` keeps
what the backward pass needs; `backward_params` turns the gradient at the output into gradients of
the layer's own parameters, `backward_input` into the gradient at its input. They are apart because
a learning rule may change what is sent down without changing how the layer itself learns.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from elunet._types import Array, Seed, Shape

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class Layer:
    """Base class of all layers; a new layer is one file with one subclass.

    A layer without parameters overrides `forward` and `backward_input`. One with parameters puts
    them into `params`, and overrides `backward_params` as well, which fills `grads`.

    Attributes
    ----------
    params, grads : dict of str to array
        What is learned, and the gradients of the last backward pass; {} where there are none.
    state : dict of str to array
        What a checkpoint needs besides (running statistics).
    rng : numpy.random.Generator or None
        Where the layer draws from, if it draws.
    seed : int, SeedSequence, Generator or None
        What the layer was given; None lets a network choose.
    """

    def __init__(self, seed: Seed = None) -> None:
        self.params: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}
        self.state: dict[str, Array] = {}
        self.rng: np.random.Generator | None = None
        self.seed = seed
        self._kept: tuple[Any, ...] | None = None

    @property
    def weighted(self) -> bool:
        """Whether the layer has a weight W, through which a learning rule may send its signal."""
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

    def reset(self, seed: Seed) -> None:
        """Draw parameters and random state anew; nothing to do for a layer that draws nothing."""

    def forget(self) -> None:
        """Let go of what `forward` kept."""
        self._kept = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def _recall(self) -> tuple[Any, ...]:
        """Return what `forward` kept."""
        if self._kept is None:
            raise RuntimeError(
                f"{self!r}: backward before forward: expected a forward pass to have come first"
                " (in a network, with train=True)"
            )
        return self._kept

    def _param(self, name: str, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Return a parameter in the dtype of this pass, C-contiguous, its shape checked."""
        value = self.params[name]
        if getattr(value, "shape", None) != shape or value.dtype.kind != "f":
            raise ValueError(
                f'{self!r}: expected params["{name}"] as a float array of shape {shape}, got '
                + describe(value)
            )
        return np.ascontiguousarray(value, dtype)

    def _fill(self, name: str, value: Array, dtype: np.dtype[Any]) -> None:
        """Store a gradient, in the array that is already there if it fits."""
        there = self.grads.get(name)
        if there is not None and there.shape == value.shape and there.dtype == dtype:
            there[...] = value
        else:
            self.grads[name] = value.astype(dtype)

    def _input(self, x: Any, shape: str, name: str = "x", hint: str = "") -> Array:
        """Return x C-contiguous after checking it against a pattern such as "(N, H, W, 3)"."""
        check_float(x, f"{self!r}: expected {name}")
        pattern = [size.strip() for size in shape.strip("()").split(",") if size.strip()]
        fits = shape == "(N, ...)" and x.ndim >= 1
        fits = fits or (
            len(pattern) == x.ndim
            and all(
                not want.isdigit() or int(want) == got
                for want, got in zip(pattern, x.shape, strict=True)
            )
        )
        if not fits:
            raise ValueError(f"{self!r}: expected {name} of shape {shape}, got {x.shape}{hint}")
        return np.ascontiguousarray(x)

    def _gradient(self, dy: Any, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Return dy in the dtype of the forward pass, C-contiguous, its shape checked."""
        check_float(dy, f"{self!r}: expected dy")
        if dy.shape != shape:
            raise ValueError(f"{self!r}: expected dy of the output's shape {shape}, got {dy.shape}")
        return np.ascontiguousarray(dy, dtype)


def describe(value: Any) -> str:
    """Say in a few words what somebody passed."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    return f"{value!r} ({type(value).__name__})"


def check_float(x: Any, expected: str) -> None:
    """Raise a TypeError unless x is an array of float32 or float64."""
    if not isinstance(x, np.ndarray):
        raise TypeError(f"{expected} as a NumPy array, got {type(x).__name__}")
    if x.dtype not in FLOATS:
        raise TypeError(f"{expected} of dtype float32 or float64, got {x.dtype}")
