"""Small training runs with everything in them that draws, counts or remembers."""

from __future__ import annotations

import json
import signal
from typing import Any

import numpy as np

import elunet as eln
from elunet.storage.trees import pack
from elunet.train import datasets, setup, state, versions

TIMES = ("seconds", "images_per_s")


def blobs(count: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Return small images of three kinds."""
    rng = np.random.default_rng(3)
    y = rng.integers(0, 3, count)
    centers = rng.normal(0, 1, (3, 6, 6, 2))
    return (centers[y] + rng.normal(0, 0.5, (count, 6, 6, 2))).astype(np.float32), y


def network(channels: int = 4) -> eln.Network:
    """Return a network with a skip, running statistics and dropout."""
    net = eln.Network(seed=0)
    net.add(eln.layers.Conv2D(2, channels, 3))
    net.add(eln.layers.BatchNorm(channels))
    skip = net.add(eln.layers.ELU())
    net.add(eln.layers.Conv2D(channels, channels, 3))
    main = net.add(eln.layers.Dropout(0.3))
    net.add(eln.layers.Add(), inputs=[main, skip])
    net.add(eln.layers.MaxPool2D(2))
    net.add(eln.layers.Flatten())
    net.add(eln.layers.Linear(9 * channels, 3))
    return net


def build(
    router: Any = eln.routers.Backprop,
    optimizer: Any = lambda: eln.optim.Adam(0.01, l2=0.01),
    channels: int = 4,
    augment: Any = eln.data.pad_crop_flip,
    kind: Any = eln.Trainer,
    batch_size: int = 20,
    **options: Any,
) -> eln.Trainer:
    """Return a trainer; the same arguments give the same one."""
    loss = eln.losses.SoftmaxCrossEntropy()
    return kind(
        network(channels),
        loss,
        optimizer(),
        router(),
        batch_size=batch_size,
        augment=augment,
        **options,
    )


class Stop(eln.Callback):
    """Raises a signal after a step, as an impatient user would."""

    def __init__(self, step: float, number: int = signal.SIGINT) -> None:
        self.step, self.number = step, number

    def on_step(self, trainer: eln.Trainer, loss: float) -> None:
        if trainer.optimizer.steps == self.step:
            signal.raise_signal(self.number)


def rows(history: eln.History) -> list[dict[str, str]]:
    """Return a history without its times, as texts: NaN equals NaN."""
    return [
        {key: repr(value) for key, value in vars(row).items() if key not in TIMES}
        for row in history
    ]


def everything(trainer: eln.Trainer, times: bool = True) -> str:
    """Return all that a trainer consists of, in one text."""
    arrays: dict[str, np.ndarray] = {}
    batches = trainer.batches
    tree = state.capture(trainer) | {
        "batches": None if batches is None else batches.state(),
        "data": datasets.fingerprints(trainer),
        "versions": versions.current(),
    }
    if times:
        tree |= {"setup": setup.describe(trainer), "settings": trainer.settings}
    else:  # and nothing that only says how the run was set up
        del tree["position"], tree["callbacks"]
        tree["rows"] = rows(trainer.history)
    tree = pack(tree, arrays)
    contents = {name: [str(a.dtype), a.shape, a.tobytes().hex()] for name, a in arrays.items()}
    return json.dumps([tree, contents], indent=1)


def assert_equal_runs(one: eln.Trainer, other: eln.Trainer) -> None:
    """Check weights, states, generators and histories of two runs, bit for bit."""
    assert rows(one.history) == rows(other.history)
    assert everything(one, times=False) == everything(other, times=False)
