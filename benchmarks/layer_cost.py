"""What a layer costs in Python, in microseconds, where there is next to nothing to compute.

Small networks are all overhead: checks, the network's bookkeeping, calls into NumPy and compiled
kernels. Here the arithmetic is negligible, a few hundred numbers a layer, so what is left is that.
First whole networks, then each kind of layer, both in a network and called by hand. In a network
it is a chain of `CHAIN` such layers behind a first one that learns, less the time of that one
alone. By hand it is ``layer.forward(x, train=True)`` and ``layer.backward(dy)``.

Every number is the least of many repeats, since whatever else runs on a machine only adds to it.
Chain and first layer are measured in turns: in a slow minute of the machine only one of them would
be slow, and their difference wrong by much more than a layer costs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
from _common import Row, available_cores, command_line, print_table, versions, write_csv

import elunet as eln

CHAIN = 16
POOLS = 4  # 16 x 16 pixels become one
TURNS = 4
Make = Callable[[], eln.layers.Layer]


def least(
    call: Callable[[], object],
    options: argparse.Namespace,
    before: Callable[[], object] | None = None,
) -> float:
    """Return the least microseconds of a call; `before` is called before each, and not counted."""
    for _ in range(3):
        if before is not None:
            before()
        call()
    best = float("inf")
    for _ in range(options.repeat):
        spent = 0.0
        for _ in range(options.calls):
            if before is not None:
                before()
            begin = time.perf_counter()
            call()
            spent += time.perf_counter() - begin
        best = min(best, spent / options.calls)
    return 1e6 * best


def passes(net: eln.Network, x: np.ndarray, options: argparse.Namespace) -> tuple[float, ...]:
    """Return the microseconds of forward as in training, as in inference, and of backward."""
    router = eln.routers.Backprop()
    dy = np.full_like(net.forward(x), 0.01)

    def forward() -> None:
        net.forward(x, train=True)

    def backward() -> None:
        router.backward(net, dy, release=True)

    return (
        least(forward, options),
        least(lambda: net.forward(x), options),
        least(backward, options, before=forward),
    )


def whole_networks(options: argparse.Namespace) -> list[Row]:
    """Return a row for each small network: all parts of a train step."""
    layers = eln.layers
    chain = [layer for _ in range(16) for layer in (layers.Linear(4, 4), layers.ELU())]
    mlp = [layers.Linear(32, 16), layers.ELU(), layers.Linear(16, 16), layers.ELU()]
    cnn = [layers.Conv2D(2, 2, 3), layers.ELU(), layers.Conv2D(2, 2, 3), layers.ELU()]
    networks: tuple[tuple[str, list[eln.layers.Layer], tuple[int, ...]], ...] = (
        ("16 x (Linear 4x4, ELU), 8 rows", chain, (8, 4)),
        ("MLP 32-16-16-10 with ELU, 16 rows", [*mlp, layers.Linear(16, 10)], (16, 32)),
        (
            "2 x (Conv2D 3x3, ELU), MaxPool2D, Flatten, Linear, 4 images of 4x4x2",
            [*cnn, layers.MaxPool2D(), layers.Flatten(), layers.Linear(8, 10)],
            (4, 4, 4, 2),
        ),
    )
    rows = []
    for name, parts, shape in networks:
        net = eln.Sequential(parts, seed=0)
        x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        y = np.arange(len(x)) % 4
        loss, router = eln.losses.SoftmaxCrossEntropy(), eln.routers.Backprop()
        optimizer = eln.optim.SGD(1e-6, momentum=0.9)
        forward, inference, backward = passes(net, x, options)
        logits = net.forward(x, train=True)
        router.backward(net, loss(logits, y)[1])

        def step(
            net: eln.Network = net,
            x: np.ndarray = x,
            y: np.ndarray = y,
            loss: eln.losses.Loss = loss,
            router: eln.routers.Router = router,
            optimizer: eln.optim.Optimizer = optimizer,
        ) -> None:
            _, dy = loss(net.forward(x, train=True), y)
            router.backward(net, dy, release=True)
            optimizer.step(net, router)

        calls: tuple[tuple[str, float, int], ...] = (
            ("forward, train", forward, len(net)),
            ("forward, inference", inference, len(net)),
            ("backward", backward, len(net)),
            ("loss", least(lambda a=logits, y=y, loss=loss: loss(a, y), options), 1),  # type: ignore[misc]
            (
                "optimizer",
                least(lambda o=optimizer, n=net, r=router: o.step(n, r), options),  # type: ignore[misc]
                len(net.parameters()),
            ),
            ("step", least(step, options), len(net)),
        )
        for call, us, parts_of in calls:
            rows.append(
                {
                    "what": name,
                    "call": call,
                    "us": us,
                    "parts": parts_of,
                    "us_each": us / parts_of,
                }
            )
    return rows


def kinds(options: argparse.Namespace) -> list[Row]:
    """Return a row for each kind of layer: in a network and by hand."""
    layers = eln.layers
    rows, images = (8, 4), (2, 4, 4, 2)
    wanted: tuple[tuple[str, Make, tuple[int, ...], int], ...] = (
        ("Linear 4x4", lambda: layers.Linear(4, 4), rows, CHAIN),
        ("ELU", layers.ELU, rows, CHAIN),
        ("ReLU", layers.ReLU, rows, CHAIN),
        ("Dropout", lambda: layers.Dropout(0.5), rows, CHAIN),
        ("BatchNorm", lambda: layers.BatchNorm(4), rows, CHAIN),
        ("Flatten", layers.Flatten, rows, CHAIN),
        ("Conv2D 3x3, 2->2", lambda: layers.Conv2D(2, 2, 3), images, CHAIN),
        ("ELU on images", layers.ELU, images, CHAIN),
        ("MaxPool2D", layers.MaxPool2D, (1, 16, 16, 2), POOLS),
        ("MeanPool2D", layers.MeanPool2D, (1, 16, 16, 2), POOLS),
    )
    found = []
    for name, make, shape, chain in wanted:
        x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        nets = [_chain(shape, []), _chain(shape, [make() for _ in range(chain)])]
        turns = [[passes(net, x, options) for net in nets] for _ in range(TURNS)]
        alone, together = (map(min, *times) for times in zip(*turns, strict=True))
        each = [(more - less) / chain for more, less in zip(together, alone, strict=True)]
        forward, backward = by_hand(make(), x, options)
        found.append(
            {
                "layer": name,
                "forward_us": each[0],
                "inference_us": each[1],
                "backward_us": each[2],
                "forward_by_hand_us": forward,
                "backward_by_hand_us": backward,
            }
        )
    return found


def by_hand(
    layer: eln.layers.Layer, x: np.ndarray, options: argparse.Namespace
) -> tuple[float, float]:
    """Return the microseconds of a layer's two passes, called without a network."""
    eln.Sequential([layer], seed=0)  # draws its weights and its random state
    dy = np.full_like(layer.forward(x, train=True), 0.01)
    forward = least(lambda: layer.forward(x, train=True), options)
    before = lambda: layer.forward(x, train=True)  # noqa: E731
    return forward, least(lambda: layer.backward(dy), options, before=before)


def _chain(shape: Sequence[int], parts: list[eln.layers.Layer]) -> eln.Network:
    """Return a network of layers behind one that learns, so that all have a backward pass."""
    channels = shape[-1]
    first: eln.layers.Layer = (
        eln.layers.Linear(channels, channels)
        if len(shape) == 2
        else eln.layers.Conv2D(channels, channels, 3)
    )
    return eln.Sequential([first, *parts], seed=0)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=800, help="of which the least counts")
    parser.add_argument("--calls", type=int, default=3, help="calls in each")
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--csv", help="file to write")
    options = parser.parse_args()
    eln.set_num_threads(options.threads)
    networks, layers = whole_networks(options), kinds(options)
    about = versions()
    about["setting"] = (
        f"float32, {options.threads} threads, the least of {options.repeat} repeats of"
        f" {options.calls} calls"
    )
    about["us"] = "microseconds for one layer, of the optimizer for one parameter"
    for name, text in about.items():
        print(f"{name}: {text}")
    print()
    print_table(networks)
    print()
    print_table(layers)
    if options.csv:
        flat = [
            {"what": row["what"], "call": row["call"], "us": row["us_each"]} for row in networks
        ]
        for row in layers:
            for call in list(row)[1:]:
                flat.append(
                    {"what": row["layer"], "call": call.removesuffix("_us"), "us": row[call]}
                )
        write_csv(options.csv, command_line(__file__), about, flat)


if __name__ == "__main__":
    main()
