"""A training over several processes for the tests of what goes wrong: ``python run.py OPTIONS``.

It prints a line after each step, and writes curves and checkpoints to a folder.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from pathlib import Path

import numpy as np

import elunet as eln

L = eln.layers


class Watch(eln.Callback):
    """Prints each step's number and waits a little; does as the options say at one of them."""

    def __init__(self, options, group):
        self.options, self.group = options, group

    def on_step(self, trainer, loss):
        step = trainer.optimizer.steps
        print(f"rank {self.group.rank} pid {os.getpid()} step {step}", flush=True)
        time.sleep(self.options.pause)
        if step == self.options.at and self.group.rank == self.options.rank:
            if self.options.do == "raise":
                raise OSError("the disk is gone")
            if self.options.do in ("SIGTERM", "SIGKILL", "SIGINT"):
                os.kill(os.getpid(), getattr(signal, self.options.do))
            if self.options.do == "drift":
                trainer.net["conv1"].params["W"][0] += 1e-6


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--do", default="")
    parser.add_argument("--at", type=int, default=3)
    parser.add_argument("--rank", type=int, default=1)
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--router", default="Backprop()")
    options = parser.parse_args()
    eln.set_num_threads(1)
    group = None if options.alone else eln.distributed.Group()
    odd = group is not None and group.rank == options.rank
    layers = [L.Conv2D(3, 4, 3, stride=4), L.BatchNorm(4), L.ELU(), L.Dropout(0.2), L.Flatten()]
    net = eln.Sequential(
        [*layers, L.Linear(256, 10)], seed=1 if odd and options.do == "seed" else 0
    )
    router = eval(options.router, vars(eln.routers))
    if odd and options.do == "matrix":
        router = eln.routers.FeedbackAlignment(8)
    if odd and options.do == "W":
        net["conv1"].params["W"][0, 0, 0, 0] += 1e-3
    x, y = eln.data.make_shapes(110, seed=0)
    x = eln.data.standardize(x)
    if odd and options.do == "data":
        y = y.copy()
        y[5] = (y[5] + 1) % 10
    if odd and options.do == "nan":
        x = x.copy()
    if options.do == "nan":
        x[7] = np.nan
    rank = 0 if group is None else group.rank
    own = options.folder if rank == 0 else options.folder / "nobody"
    callbacks = [eln.Checkpoints(own), eln.HistoryFile(own / "history.csv")]
    if group is not None:
        callbacks.append(Watch(options, group))
    trainer = eln.Trainer(
        net,
        eln.losses.SoftmaxCrossEntropy(),
        eln.optim.SGD(0.01, momentum=0.9),
        router,
        batch_size=30,
        callbacks=callbacks,
        progress=False,
        distributed=group,
    )
    latest = own / "latest.safetensors"
    if (group is None and latest.exists()) or (group is not None and group.first(latest.exists)):
        trainer.resume(own)
    trainer.fit((x[:70], y[:70]), (x[70:], y[70:]), options.epochs)
    if rank == 0:
        eln.save(net, options.folder / "weights.safetensors")


if __name__ == "__main__":
    main()
