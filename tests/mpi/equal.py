"""One training, by one process or by several: ``python equal.py CASE FILE [distributed]``.

The first process writes weights, states and curves to FILE.
"""

from __future__ import annotations

import os
import sys

import numpy as np

import elunet as eln

L, R, O = eln.layers, eln.routers, eln.optim  # noqa: E741 - as short as the others


def small(last=()):
    """Return a network with every kind of layer that has state or draws."""
    layers = [L.Conv2D(3, 8, 3, stride=2), L.BatchNorm(8), L.ELU(), L.Dropout(0.2), L.MaxPool2D()]
    layers += [L.Conv2D(8, 12, 3), L.BatchNorm(12, momentum=None), L.ELU(), L.Flatten()]
    layers += [L.Dropout(0.3), L.Linear(12 * 64, 10), *last]
    return eln.Sequential(layers, seed=0)


def plain():
    """Return one without, for rules that take no normalization."""
    layers = [L.Conv2D(3, 8, 3, stride=2), L.ELU(), L.MaxPool2D(), L.Flatten()]
    return eln.Sequential([*layers, L.Linear(8 * 64, 16), L.ELU(), L.Linear(16, 10)], seed=0)


def norms():
    """Return one with the normalizations that look at one image."""
    layers = [
        L.Conv2D(3, 8, 3, stride=2),
        L.GroupNorm(2, 8),
        L.PReLU(8),
        L.Conv2D(8, 8, 3, stride=2),
    ]
    layers += [L.InstanceNorm(8), L.SELU(), L.AlphaDropout(0.1), L.Flatten(), L.LayerNorm(512)]
    return eln.Sequential([*layers, L.Linear(512, 10)], seed=0)


def wide():
    """Return one whose gradients are too large for one message."""
    layers = [L.Flatten(), L.Linear(3072, 32), L.ELU(), L.Linear(32, 2100), L.ELU()]
    return eln.Sequential([*layers, L.Linear(2100, 32), L.ELU(), L.Linear(32, 10)], seed=0)


def shared():
    """Return one in which two places share their weights."""
    net, conv = eln.Network(seed=0), L.Conv2D(8, 8, 3)
    net.add(L.Conv2D(3, 8, 3, stride=4), "first")
    net.add(conv, "one")
    net.add(L.BatchNorm(8), "norm")
    net.add(conv, "two")
    net.add(L.Add(), "sum", inputs=["two", "first"])
    net.add(L.Flatten())
    net.add(L.Linear(512, 10))
    return net


def sgd():
    return O.SGD(0.01, momentum=0.9, l2=5e-4, clip_norm=1.0)


RULES = {
    "fa": lambda: R.FeedbackAlignment(1),
    "dfa": lambda: R.DirectFeedbackAlignment(1),
    "drtp": lambda: R.DirectRandomTargetProjection(1),
    "usf": lambda: R.SignSymmetry("uniform", 1),
    "brsf": lambda: R.SignSymmetry("batchwise", 1),
    "frsf": lambda: R.SignSymmetry("fixed", 1),
    "kp": lambda: R.KolenPollack(1),
    "dkp": lambda: R.DirectKolenPollack(1),
    "wm": lambda: R.WeightMirror(1),
    "hebbian": lambda: R.ThreeFactorHebbian(0.1),
    "local": lambda: R.LocalLoss("pred", 1),
    "dilated": lambda: R.DilatedBackprop(1, 1.0, 5.0, "random", 1),
    "noise": lambda: R.GradientNoise(R.Backprop(), eta=1e-4),
    "norms": lambda: R.NormMatched(R.DirectFeedbackAlignment(1)),
    "mixed": lambda: R.Mixed({"conv*": R.KolenPollack(1), "*": R.Backprop()}),
}
OPTIMIZERS = {
    "nesterov": lambda: O.SGD(0.01, momentum=0.9, nesterov=True, l1=1e-5),
    "adam": lambda: O.Adam(1e-3),
    "adamw": lambda: O.AdamW(1e-3, l2=0.01),
    "nadam": lambda: O.NAdam(1e-3),
    "rmsprop": lambda: O.RMSProp(1e-3),
    "adagrad": lambda: O.AdaGrad(1e-2),
    "lion": lambda: O.Lion(1e-4),
    "clip_value": lambda: O.SGD(0.01, clip_value=0.01),
}
NETWORKS = {"norms-net": norms, "shared": shared, "plain": plain, "wide": wide}
CASES = ("batch-norm", "tiny", "augment", "weights", "sum", *NETWORKS)


def setting(case, dtype):
    """Return a trainer's arguments, and the data."""
    count, batch, epochs = 130, 40, 2  # the last batch has 10 rows
    loss, net, optimizer, router = eln.losses.SoftmaxCrossEntropy(), small(), sgd(), R.Backprop()
    more = {}
    if case == "tiny":  # the last batch has one row: all ranks but one have none
        count, batch = 31, 10
    if case == "augment":
        more["augment"] = eln.data.pad_crop_flip
    if case == "sum":
        loss = eln.losses.SoftmaxCrossEntropy(reduction="sum")
        optimizer = O.SGD(1e-4, momentum=0.9)
    if case in NETWORKS:
        net = NETWORKS[case]()
    if case in RULES:
        router, net = RULES[case](), plain() if case == "local" else small()
    if case in OPTIMIZERS:
        optimizer, net = OPTIMIZERS[case](), plain()
    x, y = eln.data.make_shapes(count + 70, seed=0)
    x = eln.data.standardize(x).astype(dtype)
    train = x[:count], y[:count]
    if case == "weights":
        train = *train, np.random.default_rng(0).uniform(0, 2, count)
    for layer in net if dtype == "float64" else ():
        layer.params = {key: value.astype(dtype) for key, value in layer.params.items()}
    arguments = (net, loss, optimizer, router)
    return arguments, {"batch_size": batch, **more}, train, (x[count:], y[count:]), epochs


def main(case, file, *how):
    dtype = "float64" if "float64" in how else "float32"
    group = None
    if "distributed" in how:
        eln.set_num_threads(1)
        group = eln.distributed.Group()
    else:
        eln.set_num_threads(int(os.environ.get("THREADS", "1")))
    names = [*CASES, *RULES, *OPTIMIZERS] if case == "all" else case.split(",")
    found = {}
    for name in names:
        arguments, options, train, validation, epochs = setting(name, dtype)
        trainer = eln.Trainer(*arguments, **options, distributed=group, progress=False)
        history = trainer.fit(train, validation, epochs)
        net, router = arguments[0], arguments[3]
        arrays = net.parameters() | router.parameters()
        arrays |= {f"{n.name}.{k}": v for n in net.homes for k, v in n.layer.state.items()}
        found |= {f"{name}/{key}": value for key, value in arrays.items()}
        for column in ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy"):
            found[f"{name}/history {column}"] = np.array(history.column(column))
    if group is None or group.rank == 0:
        np.savez(file, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
