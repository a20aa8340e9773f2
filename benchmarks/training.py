"""A whole training of ELU-11: how fast accuracy comes, and whether the fast kernels change it.

    python benchmarks/training.py --data path/to/cifar10

Three variants share recipe `quick`, initial weights, order and augmentation of the batches: elunet
as it is, elunet with im2col only, and PyTorch (channels_last). Only dropout masks differ between
the libraries. Each trains in a process of its own, one after the other. A line per epoch gives the
seconds of training so far, tests left out, and the test accuracy.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from _common import Row, available_cores, command_line, print_table, versions, write_csv

VARIANTS = ("elunet", "im2col", "torch")
RECIPE = "quick"


def train(options: argparse.Namespace, variant: str, seed: int) -> Iterator[Row]:
    """Train one variant; yield a row per epoch."""
    import numpy as np

    import elunet as eln

    eln.set_num_threads(options.threads)
    recipe = eln.recipes.RECIPES[RECIPE]
    (x, y), (x_test, y_test) = eln.data.load_cifar10(options.data)
    x, y = x[: options.limit], y[: options.limit]
    x, x_test = recipe.prepare(x, x_test)
    steps = -(-len(x) // recipe.batch_size)
    batches = eln.data.Batches(x, y, recipe.batch_size, seed=seed, augment=recipe.augment)
    net = recipe.network(seed)
    if variant == "im2col":
        for layer in net:
            if isinstance(layer, eln.layers.Conv2D):
                layer.algorithm = "im2col"
    learn, predict = (
        torch_learner(options, net, recipe, steps, seed)
        if variant == "torch"
        else elunet_learner(options, net, recipe, steps)
    )
    learn(0, np.zeros_like(x[: recipe.batch_size]), y[: recipe.batch_size], 0.0)  # compiles
    seconds = 0.0
    for epoch in range(options.epochs):
        begin = time.perf_counter()
        for step, (images, labels) in enumerate(batches, start=epoch * steps):
            learn(epoch, images, labels, rate(recipe, options, steps, step))
        seconds += time.perf_counter() - begin
        starts = range(0, len(x_test), 100)
        answers = np.concatenate([predict(x_test[i : i + 100]).argmax(axis=1) for i in starts])
        hits = float((answers == y_test).mean())
        row = {"variant": variant, "seed": seed, "epoch": epoch + 1}
        yield row | {"seconds": seconds, "test_accuracy": 100 * hits}


def rate(recipe: Any, options: argparse.Namespace, steps: int, step: int) -> float:
    """Return the recipe's learning rate at a step."""
    return float(recipe.optimizer(options.epochs, steps).lr(step))


def elunet_learner(
    options: argparse.Namespace, net: Any, recipe: Any, steps: int
) -> tuple[Callable[..., None], Callable[[Any], Any]]:
    """Return what learns from a batch, and what predicts."""
    import elunet as eln

    loss, router = eln.losses.SoftmaxCrossEntropy(), eln.routers.Backprop()
    optimizer = eln.optim.SGD(0.0, momentum=0.9, nesterov=True, l2=0.0005, clip_norm=2.0)
    full = {id(layer): layer.rate for layer in net if isinstance(layer, eln.layers.Dropout)}

    def learn(epoch: int, x: Any, y: Any, lr: float) -> None:
        for layer in net:
            if id(layer) in full:
                layer.rate = full[id(layer)] * dropout_factor(epoch, options.epochs)
        _, dy = loss(net.forward(x, train=True), y)
        router.backward(net, dy)
        optimizer.lr = lr
        if lr:
            optimizer.step(net)

    return learn, net.forward


def torch_learner(
    options: argparse.Namespace, net: Any, recipe: Any, steps: int, seed: int
) -> tuple[Callable[..., None], Callable[[Any], Any]]:
    """Return the same of PyTorch, from the same initial weights."""
    import torch
    from peers.pytorch import modules
    from torch import nn
    from works import ELU11

    import elunet as eln

    torch.set_num_threads(options.threads)
    torch.manual_seed(seed)
    twin: Any = nn.Sequential(*modules(ELU11))
    arrays = list(eln.exchange.to_torch(net).values())
    for parameter, array in zip(twin.parameters(), arrays, strict=True):
        parameter.data = torch.as_tensor(array)
    twin = twin.to(memory_format=torch.channels_last)
    groups = [
        {"params": [p for p in twin.parameters() if p.ndim > 1], "weight_decay": 0.0005},
        {"params": [p for p in twin.parameters() if p.ndim == 1]},
    ]
    optimizer = torch.optim.SGD(groups, 0.0, momentum=0.9, nesterov=True)
    dropouts = [(part, part.p) for part in twin if isinstance(part, nn.Dropout)]

    def tensor(x: Any) -> Any:
        return torch.from_numpy(x).permute(0, 3, 1, 2)  # NHWC in memory is channels_last

    def learn(epoch: int, x: Any, y: Any, lr: float) -> None:
        twin.train()
        for part, full in dropouts:
            part.p = full * dropout_factor(epoch, options.epochs)
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(twin(tensor(x)), torch.from_numpy(y)).backward()
        nn.utils.clip_grad_norm_(twin.parameters(), 2.0)
        for group in optimizer.param_groups:
            group["lr"] = lr
        if lr:
            optimizer.step()

    def predict(x: Any) -> Any:
        twin.eval()
        with torch.inference_mode():
            return twin(tensor(x)).numpy()

    return learn, predict


def dropout_factor(epoch: int, epochs: int) -> float:
    """Return the recipe's share of the paper's dropout in an epoch."""
    return 0.3 + 0.5 * epoch / max(epochs - 1, 1)


def main() -> None:
    """Train each variant in a process of its own and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="CIFAR-10's folder")
    parser.add_argument("--limit", type=int, default=50_000, help="images to train on")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--variants", default=",".join(VARIANTS), help="with commas")
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--csv", help="file for the rows")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        variant, seed = json.loads(options.work)
        for row in train(options, variant, seed):
            print(json.dumps(row | {"versions": versions()}), flush=True)
        return
    rows: list[Row] = []
    about: dict[str, str] = {}
    for seed in range(options.seeds):
        for variant in options.variants.split(","):
            command = [sys.executable, *sys.argv, "--work", json.dumps([variant, seed])]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
                for line in child.stdout or ():
                    row = json.loads(line)
                    about |= row.pop("versions")
                    rows.append(row)
                    print(row, flush=True)
            if child.returncode:
                print(f"{variant}, seed {seed}: no result (is it installed?)")
    if rows:
        print_table(rows)
        if options.csv:
            write_csv(options.csv, command_line(__file__), about, rows)


if __name__ == "__main__":
    main()
