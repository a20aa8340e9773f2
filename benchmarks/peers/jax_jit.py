"""JAX: one jitted function for a whole step, channels last."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from works import Network, Work, data, feedback, weights

from peers import Built


def convolve(x: Any, W: Any, padding: str) -> Any:
    """Return the convolution of images (N, H, W, C)."""
    return lax.conv_general_dilated(
        x, W, (1, 1), padding.upper(), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@jax.custom_vjp
def aligned(x: Any, W: Any, B: Any) -> Any:
    """Return the convolution of x with W; its gradient goes down through B."""
    return convolve(x, W, "same")


def _aligned_forward(x: Any, W: Any, B: Any) -> Any:
    return convolve(x, W, "same"), (x, W, B)


def _aligned_backward(kept: Any, dy: Any) -> Any:
    x, W, B = kept
    (dW,) = jax.vjp(lambda W: convolve(x, W, "same"), W)[1](dy)
    (dx,) = jax.vjp(lambda x: convolve(x, B, "same"), x)[1](dy)
    return dx, dW, jnp.zeros_like(B)


aligned.defvjp(_aligned_forward, _aligned_backward)


def forward(network: Network, arrays: list[Any], x: Any, key: Any = None) -> Any:
    """Return the logits; with a key for dropout, as in training."""
    left, matrices = iter(arrays), iter(feedback(network))
    for place, part in enumerate(network.layers):
        match part:
            case ("conv", _, _, padding):
                W = next(left)
                aside = network.aligned
                x = aligned(x, W, next(matrices)) if aside else convolve(x, W, padding)
            case ("dense", _):
                x = x @ next(left)
            case ("dropout", rate) if key is not None:
                kept = jax.random.bernoulli(jax.random.fold_in(key, place), 1 - rate, x.shape)
                x = jnp.where(kept, x / (1 - rate), 0)
            case ("elu",):
                x = jax.nn.elu(x)
            case ("max_pool" | "mean_pool" as kind,):
                n, h, w, c = x.shape
                windows = x.reshape(n, h // 2, 2, w // 2, 2, c)
                x = (jnp.max if kind == "max_pool" else jnp.mean)(windows, axis=(2, 4))
            case ("flatten" | "global_mean",):
                x = x.reshape(len(x), -1)
        if part[0] in ("conv", "dense") and network.bias:
            x = x + next(left)
    return x


def start(network: Network, arrays: list[Any]) -> Any:
    """Return the optimizer's state: what it keeps of each array, and the steps so far."""
    slots = 1 if network.optimizer == "sgd" else 2
    return [[jnp.zeros_like(array) for array in arrays] for _ in range(slots)], jnp.zeros(())


def update(network: Network, arrays: Any, gradients: Any, state: Any) -> Any:
    """Return the arrays and the state after a step of the described optimizer."""
    slots, steps = state
    l2 = network.l2
    gradients = [g + l2 * w if w.ndim > 1 else g for g, w in zip(gradients, arrays, strict=True)]
    steps = steps + 1
    if network.optimizer == "sgd":
        v = [0.9 * v + g for v, g in zip(slots[0], gradients, strict=True)]
        return [w - network.lr * v for w, v in zip(arrays, v, strict=True)], ([v], steps)
    m = [0.9 * m + 0.1 * g for m, g in zip(slots[0], gradients, strict=True)]
    s = [0.999 * s + 0.001 * g * g for s, g in zip(slots[1], gradients, strict=True)]
    lr = network.lr / (1 - 0.9**steps)
    scale = 1 / (1 - 0.999**steps)
    new = [w - lr * m / (jnp.sqrt(scale * s) + 1e-8) for w, m, s in zip(arrays, m, s, strict=True)]
    return new, ([m, s], steps)


def build(work: Work, threads: int, variant: str) -> Built:
    """Return the work's network in JAX; it takes the cores that the process may use."""
    network = work.network
    x, y = (jnp.asarray(values) for values in data(work))
    arrays = [jnp.asarray(array) for array in weights(network)]
    state = start(network, arrays)
    key = jax.random.key(0, impl="rbg")  # the fastest generator on a processor
    parameters = sum(math.prod(array.shape) for array in arrays)

    @jax.jit
    def infer(arrays: Any, x: Any) -> Any:
        return forward(network, arrays, x)

    def one_step(arrays: Any, state: Any, key: Any, x: Any, y: Any) -> Any:
        key, mine = jax.random.split(key)

        def loss(arrays: Any) -> Any:
            logits = jax.nn.log_softmax(forward(network, arrays, x, mine))
            return -jnp.take_along_axis(logits, y[:, None], axis=1).mean()

        value, gradients = jax.value_and_grad(loss)(arrays)
        arrays, state = update(network, arrays, gradients, state)
        return value, arrays, state, key

    train = jax.jit(one_step, donate_argnums=(0, 1, 2))

    def train_step() -> None:
        nonlocal arrays, state, key
        value, arrays, state, key = train(arrays, state, key, x, y)
        jax.block_until_ready((value, arrays, state))

    def infer_step() -> None:
        infer(arrays, x).block_until_ready()

    def predict() -> Any:
        import numpy as np

        return np.asarray(infer(arrays, x))

    return Built(train_step if work.phase == "train" else infer_step, predict, parameters)
