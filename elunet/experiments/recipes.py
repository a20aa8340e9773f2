"""The training recipes of the paper and of the article, as data, side by side.

A recipe determines everything about a run except the data and the seed: the network, how images are
prepared, the loss, the optimizer with its schedule, and the learning rule. `Recipe.trainer` puts
them together; `dataclasses.replace` changes one of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from elunet import models
from elunet._checks import integer, number
from elunet._types import Array, Seed
from elunet.data import ZCA, global_contrast_normalize, minmax, pad_crop_flip, standardize
from elunet.init import LeCun, Uniform
from elunet.layers import Dropout
from elunet.losses import Loss, SoftmaxCrossEntropy
from elunet.network import Network
from elunet.optim import SGD, Adam, Optimizer, PerLayer
from elunet.routers import Backprop, DilatedBackprop, FeedbackAlignment, Router
from elunet.schedules import OneCycle, PiecewiseConstant
from elunet.train import Callback, Data, Trainer

Augment = Callable[[Array, np.random.Generator], Array]


@dataclass(frozen=True)
class Recipe:
    """How to train a network; see `RECIPES`.

    The test data serve as validation data.

    Attributes
    ----------
    about : str
        One line for the user.
    network : callable
        ``network(seed) -> Network``.
    prepare : callable
        ``prepare(train, test) -> (train, test)``: uint8 images to float32, fitted on the first.
    optimizer : callable
        ``optimizer(epochs, steps_per_epoch) -> Optimizer``; schedules fit the run's length.
    epochs : int
        The default; in the paper's and the article's cases, theirs.
    router : callable
        ``router(seed) -> Router``.
    augment : callable or None
    callbacks : callable
        ``callbacks(epochs) -> list of Callback``.
    batch_size : int
    loss : callable
        ``loss() -> Loss``.

    Examples
    --------
    >>> import elunet as eln
    >>> recipe = eln.recipes.RECIPES["d"]
    >>> len(recipe.network(0)), recipe.epochs, recipe.batch_size
    (27, 200, 100)
    >>> train, test = recipe.prepared(eln.data.make_shapes(4), eln.data.make_shapes(2))
    >>> trainer = recipe.trainer(len(train[0]), epochs=1, seed=0)
    >>> len(trainer.fit(train, test, epochs=1))
    1
    """

    about: str
    network: Callable[[Seed], Network]
    prepare: Callable[[Array, Array], tuple[Array, Array]]
    optimizer: Callable[[int, int], Optimizer]
    epochs: int
    router: Callable[[int], Router] = lambda seed: Backprop()
    augment: Augment | None = None
    callbacks: Callable[[int], list[Callback]] = lambda epochs: []
    batch_size: int = 100
    loss: Callable[[], Loss] = SoftmaxCrossEntropy

    def prepared(self, train: Data, test: Data) -> tuple[Data, Data]:
        """Return both splits (x, y) with prepared images."""
        x_train, x_test = self.prepare(train[0], test[0])
        return (x_train, train[1]), (x_test, test[1])

    def steps(self, examples: int) -> int:
        """Return the number of steps in an epoch over so many examples."""
        return -(-examples // self.batch_size)

    def trainer(
        self,
        examples: int,
        epochs: int | None = None,
        seed: int = 0,
        callbacks: Sequence[Callback] = (),
        **options: Any,
    ) -> Trainer:
        """Return a trainer that is ready to fit prepared data.

        Parameters
        ----------
        examples : int
            Training examples; with `epochs` they give the run's length, for schedules.
        epochs : int, optional
            The recipe's by default.
        seed : int, default 0
            Of weights, rule, order and augmentation.
        callbacks : sequence of Callback
            Added to the recipe's own.
        options
            More arguments of `Trainer`.
        """
        epochs = self.epochs if epochs is None else epochs
        return Trainer(
            self.network(seed),
            self.loss(),
            self.optimizer(epochs, self.steps(examples)),
            self.router(seed),
            batch_size=self.batch_size,
            augment=self.augment,
            callbacks=[*self.callbacks(epochs), *callbacks],
            seed=seed,
            **options,
        )

    def seconds_per_epoch(self, examples: int, test_examples: int) -> float:
        """Estimate an epoch's time from three steps on blank images; they compile the kernels."""
        net, optimizer = self.network(0), self.optimizer(1, 1)
        loss, router = self.loss(), self.router(0)
        x = np.zeros((self.batch_size, 32, 32, 3), np.float32)
        y = np.zeros(len(x), int)
        train_times, test_times = [], []
        for _ in range(3):
            begin = time.perf_counter()
            _, dy = loss(router.forward(net, x, y), y)
            router.backward(net, dy, y)
            optimizer.step(net, router)
            train_times.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            net.forward(x)
            test_times.append(time.perf_counter() - begin)
        batches = test_examples / self.batch_size
        return self.steps(examples) * min(train_times) + batches * min(test_times)


class DropoutRamp(Callback):
    """Scales all dropout rates over a run, from a small factor to a larger one.

    Parameters
    ----------
    first, last : float
        Factor on each layer's own rate in the first and the last epoch, in [0, 1].
    epochs : int
        Length of the run.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import elunet as eln
    >>> ramp = eln.recipes.DropoutRamp(0.3, 0.8, epochs=15)  # among a Trainer's callbacks
    """

    def __init__(self, first: float, last: float, epochs: int) -> None:
        self.first = number("DropoutRamp", "first", first, "[0, 1]")
        self.last = number("DropoutRamp", "last", last, "[0, 1]")
        self.epochs = integer("DropoutRamp", "epochs", epochs)
        self._full: dict[str, float] = {}

    def on_fit_start(self, trainer: Trainer) -> None:
        """Set the rates of the current epoch; a resumed run may be in the middle of it."""
        self.on_epoch_start(trainer, len(trainer.history))

    def on_epoch_start(self, trainer: Trainer, epoch: int) -> None:
        """Set the rates of this epoch."""
        done = min(epoch / max(self.epochs - 1, 1), 1.0)
        factor = self.first + (self.last - self.first) * done
        for name, layer in _dropouts(trainer.net):
            layer.rate = factor * self._full.setdefault(name, layer.rate)

    def on_fit_end(self, trainer: Trainer) -> None:
        """Restore every layer's own rate."""
        for name, layer in _dropouts(trainer.net):
            layer.rate = self._full.pop(name, layer.rate)


def _dropouts(net: Network) -> list[tuple[str, Dropout]]:
    return [(node.name, node.layer) for node in net.nodes if isinstance(node.layer, Dropout)]


def scale(train: Array, test: Array) -> tuple[Array, Array]:
    """Return both splits scaled to [0, 1] by the training split's extremes.

    Parameters
    ----------
    train, test : array of uint8, (N, H, W, C)
        The splits.

    Examples
    --------
    >>> import elunet as eln
    >>> x, _ = eln.data.make_shapes(30, seed=0)
    >>> train, test = scale(x[:20], x[20:])
    >>> float(train.min()), float(train.max())
    (0.0, 1.0)
    """
    train, test = minmax(train, test)
    return train, test


def center(train: Array, test: Array) -> tuple[Array, Array]:
    """Return both splits standardized by the training split's channels.

    Parameters
    ----------
    train, test : array of uint8, (N, H, W, C)
        The splits.

    Examples
    --------
    >>> import elunet as eln
    >>> x, _ = eln.data.make_shapes(30, seed=0)
    >>> train, test = center(x[:20], x[20:])
    >>> bool(abs(train.mean()) < 1e-5)
    True
    """
    train, test = standardize(train, test)
    return train, test


def whiten(train: Array, test: Array) -> tuple[Array, Array]:
    """Return both splits contrast-normalized and ZCA-whitened, as the paper's data were.

    Parameters
    ----------
    train, test : array of uint8, (N, H, W, C)
        The splits.

    Examples
    --------
    >>> import elunet as eln
    >>> x, _ = eln.data.make_shapes(30, seed=0)
    >>> train, test = whiten(x[:20, ::4, ::4], x[20:, ::4, ::4])
    >>> train.shape, train.dtype.name
    ((20, 8, 8, 3), 'float32')
    """
    train, test = global_contrast_normalize(train), global_contrast_normalize(test)
    zca = ZCA().fit(train)
    return zca(train), zca(test)


def _quick_network(seed: Seed) -> Network:
    """Return ELU-11 with an initial loss of log 10; with He's weights it would be 11."""
    net = models.elu11(seed=seed, init=LeCun())
    net["conv11"].params["W"] *= np.float32(0.1)
    return net


def _quick_optimizer(epochs: int, steps_per_epoch: int) -> Optimizer:
    """Return SGD with one cycle up to a large learning rate; clipping bounds the first steps."""
    schedule = OneCycle(0.1, epochs * steps_per_epoch, warmup=0.12)
    return SGD(schedule, momentum=0.9, nesterov=True, l2=0.0005, clip_norm=2.0)


def _is_short(epochs: int) -> bool:
    """Return whether the paper's schedule for 330 epochs makes no sense in so few."""
    return epochs < 33


def _paper_optimizer(epochs: int, steps_per_epoch: int) -> Optimizer:
    """Return SGD with the paper's schedule, scaled from 165,000 steps; in short runs one cycle."""
    total = epochs * steps_per_epoch
    if _is_short(epochs):
        return SGD(OneCycle(0.05, total), momentum=0.9, l2=0.0005, clip_norm=2.0)
    published = {0: 0.01, 35_000: 0.005, 85_000: 0.0005, 135_000: 0.00005}
    values = {total * step / 165_000: rate for step, rate in published.items()}
    return SGD(PiecewiseConstant(values), momentum=0.9, l2=0.0005)


def _case_d_optimizer(epochs: int, steps_per_epoch: int) -> Optimizer:
    halved = PiecewiseConstant({0: 1e-4, 25: 5e-5, 50: 2.5e-5, 100: 1.25e-5}, per="epoch")
    return Adam(halved, l2=1e-4)


def _case_e_optimizer(epochs: int, steps_per_epoch: int) -> Optimizer:
    """Return the article's: momentum on odd convolutions and Adam on even ones."""
    rates = PiecewiseConstant({0: 1e-4, 25: 8e-5, 50: 4e-5, 100: 2e-5}, per="epoch")
    momentum, adam = SGD(rates, momentum=0.9, l2=2e-4), Adam(rates, l2=2e-4)
    return PerLayer({f"conv{k}.*": momentum if k % 2 else adam for k in range(1, 12)})


RECIPES = {
    "quick": Recipe(
        about="ELU-11 with a recipe for short runs: one cycle up to learning rate 0.1",
        network=_quick_network,
        prepare=center,
        augment=pad_crop_flip,
        optimizer=_quick_optimizer,
        callbacks=lambda epochs: [DropoutRamp(0.3, 0.8, epochs)],
        epochs=15,
    ),
    "long": Recipe(
        about="ELU-11 with a recipe for an hour or two: that of the short runs, with ZCA-whitened"
        " images, smoothed labels and less dropout",
        network=_quick_network,
        prepare=whiten,
        augment=pad_crop_flip,
        optimizer=_quick_optimizer,
        callbacks=lambda epochs: [DropoutRamp(0.0, 0.3, epochs)],
        loss=partial(SoftmaxCrossEntropy, label_smoothing=0.1),
        epochs=40,
    ),
    "paper": Recipe(
        about="ELU-11 as in the ELU paper: contrast normalization and ZCA, momentum, dropout;"
        " below 33 epochs with one cycle to 0.05, clipping at norm 2, and 30 % of the dropout",
        network=lambda seed: models.elu11(seed=seed),
        prepare=whiten,
        augment=pad_crop_flip,
        optimizer=_paper_optimizer,
        callbacks=lambda epochs: [DropoutRamp(0.3, 0.3, epochs)] if _is_short(epochs) else [],
        epochs=330,
    ),
    "a": Recipe(
        about="the article's case a: backprop, SGD with momentum at learning rate 1e-5, dropout"
        " (scaled by the training split's extremes; the article used each split's own)",
        network=lambda seed: models.article_case("a", seed),
        prepare=scale,
        optimizer=lambda epochs, steps: SGD(1e-5, momentum=0.9),
        epochs=1000,
    ),
    "b": Recipe(
        about="the article's case b: feedback alignment with B from U(-0.5, 0.5), a small network,"
        " mean pooling, Adam at learning rate 1e-5",
        network=lambda seed: models.article_case("b", seed),
        prepare=scale,
        router=lambda seed: FeedbackAlignment(seed, distribution=Uniform(-0.5, 0.5)),
        optimizer=lambda epochs, steps: Adam(1e-5),
        epochs=85,
    ),
    "c": Recipe(
        about="the article's case c: dilated backprop at rate 0.003 / (1 + 0.9 epoch), mean"
        " pooling, Adam at learning rate 1e-5, L2 (its weight is not known; here case d's)",
        network=lambda seed: models.article_case("c", seed),
        prepare=scale,
        router=lambda seed: DilatedBackprop(proportion=0.003, decay=0.9),
        optimizer=lambda epochs, steps: Adam(1e-5, l2=1e-4),
        epochs=300,
    ),
    "d": Recipe(
        about="the article's case d: backprop, mean pooling, Adam at learning rate 1e-4, L2"
        " (scaled by the training split's extremes; the article used each split's own)",
        network=lambda seed: models.article_case("d", seed),
        prepare=scale,
        optimizer=_case_d_optimizer,
        epochs=200,
    ),
    "e": Recipe(
        about="the article's case e: dilated backprop at rate 1 / (1 + 5 epoch), mean pooling,"
        " momentum on odd convolutions and Adam on even ones, learning rate 1e-4, L2",
        network=lambda seed: models.article_case("e", seed),
        prepare=scale,
        router=lambda seed: DilatedBackprop(proportion=1.0, decay=5.0),
        optimizer=_case_e_optimizer,
        epochs=200,
    ),
}
"""Recipes by name."""
