"""The training loop.

`Trainer.fit` is the loop that one would write by hand: forward, loss, router, optimizer, batch
after batch. Around it are a validation at the end of each epoch, a progress bar, callbacks, an
error that names the layer where numbers stopped being finite, and `resume` for interrupted runs.
"""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from inspect import signature
from operator import is_
from pathlib import Path
from typing import Any

import numpy as np

from elunet._checks import integer
from elunet._group import ALONE, Alone
from elunet._types import Array, Seed
from elunet.data import Batches
from elunet.engine.threads import on_one_thread
from elunet.layers.base import describe
from elunet.losses import Loss
from elunet.network import Network, Tap
from elunet.optim import Optimizer
from elunet.routers import Backprop, Router
from elunet.routers.base import same_pass
from elunet.storage.trees import Tree
from elunet.train import checkpoint, folders, ranks, setup
from elunet.train.callbacks import Callback, Checkpoints, Report, together
from elunet.train.changes import Changes, incomparable
from elunet.train.datasets import Data, Fingerprints, Weighted
from elunet.train.evaluation import Mean, accuracy, evaluate, examples
from elunet.train.guards import (
    DivergenceError,
    States,
    first_bad_output,
    first_not_finite,
    is_finite,
    place_in_input,
)
from elunet.train.history import Epoch, History
from elunet.train.interrupts import Interrupted, Interrupts
from elunet.train.position import Position
from elunet.train.progress import Progress


class Trainer:
    """Trains a network.

    Parameters
    ----------
    net : Network
    loss : Loss
        Called as ``value, dy = loss(prediction, target)``.
    optimizer : Optimizer
    router : Router, optional
        The learning rule, by default `Backprop`.
    batch_size : int, default 100
    augment : callable, optional
        ``augment(x, rng) -> x`` for each training batch, such as `elunet.data.pad_crop_flip`; see
        `elunet.data.Batches`.
    callbacks : sequence of Callback
    seed : int, SeedSequence, Generator or None, default 0
        Of the order of the batches and of the augmentation.
    progress : bool, optional
        True for a progress bar on standard error, False for nothing. By default a bar on a
        terminal and in a notebook with ipywidgets, and elsewhere a line after each epoch (of quick
        epochs only ten in all; none if there is a `Report`).
    debug : bool, default False
        Whether to check every layer's output and signal in each step, and stop at the first that
        is not finite. Without it, loss, gradients and weights are checked.
    settings : mapping, optional
        How the run was set up, as plain data for JSON: kept in its checkpoints, and compared by
        `resume`.
    distributed : elunet.distributed.Group, optional
        The processes that train together: each has some rows of every batch. All of them make the
        same trainer and the same calls, with the same data.

    Attributes
    ----------
    history : History
    position : Position
        How far `fit` has come.
    batches, validation : Batches, (x, y) or None
        The data of the last `fit`.
    seconds : float
        Time spent in passes and validations, in earlier sessions of the run too.
    checkpoint : pathlib.Path or None
        What was saved last, or resumed from.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type.

    Examples
    --------
    >>> import elunet as eln
    >>> x, y = eln.data.make_shapes(20)
    >>> x = eln.data.minmax(x).reshape(20, -1)
    >>> net = eln.Sequential([eln.layers.Linear(3072, 10)], seed=0)
    >>> loss, optimizer = eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(0.001)
    >>> history = eln.Trainer(net, loss, optimizer, batch_size=10).fit((x, y), epochs=2)
    >>> [row.step for row in history]
    [2, 4]
    """

    def __init__(
        self,
        net: Network,
        loss: Loss,
        optimizer: Optimizer,
        router: Router | None = None,
        *,
        batch_size: int = 100,
        augment: Callable[..., Any] | None = None,
        callbacks: Sequence[Callback] = (),
        seed: Seed = 0,
        progress: bool | None = None,
        debug: bool = False,
        settings: Mapping[str, Any] | None = None,
        distributed: Alone | None = None,
    ) -> None:
        for name, value, kind, wanted in (
            ("net", net, Network, "Network"),
            ("optimizer", optimizer, Optimizer, "Optimizer"),
            ("router", router, Router | None, "Router"),
            ("distributed", distributed, Alone | None, "Group"),
        ):
            if not isinstance(value, kind):
                hint = f"; make one: {value.__name__}(...)" if isinstance(value, type) else ""
                raise TypeError(f"Trainer: expected {name} of type {wanted}, got {value!r}{hint}")
        if not callable(loss) or isinstance(loss, type):
            hint = f"; make one: {loss.__name__}()" if isinstance(loss, type) else ""
            raise TypeError(f"Trainer: expected loss as a loss object, got {loss!r}{hint}")
        if getattr(loss, "reduction", None) == "none":
            raise ValueError(f"Trainer: expected a loss that gives one number, got {loss!r}")
        self.net, self.loss, self.optimizer = net, loss, optimizer
        self.router = Backprop() if router is None else router
        self.batch_size = integer("Trainer", "batch_size", batch_size)
        self.augment, self.seed = augment, seed
        self.callbacks = _checked(callbacks)
        self.debug = debug
        self.settings = setup.as_json(settings or {})
        self.position = Position()
        self.history = self.position.history
        self.batches: Batches | None = None
        self.validation: Data | None = None
        self.fingerprints = Fingerprints()
        self._data: tuple[Any, ...] = ()  # of which `fit` made the batches
        self.checkpoint: Path | None = None
        self._changes = Changes()
        self._resumed: tuple[Path, Tree, Collection[str]] | None = None  # until `fit` has data
        self._between_steps = True
        self._stepped = False  # whether weights have moved in this step
        self._busy: int | None = None  # while `fit` runs, its id: a copy does not run
        self._stopped = False  # whether `fit` should end before all its epochs
        self._interrupts = Interrupts()
        self._agreed: int | None = None  # the signal that all processes have heard of
        self.group = ALONE if distributed is None else distributed
        self._progress = Progress(False if self.group.rank else progress)

    @property
    def seconds(self) -> float:
        """Time spent in passes and validations, in earlier sessions of the run too."""
        return self.position.seconds

    def fit(
        self, train: Data | Weighted | Batches, validation: Data | None = None, epochs: int = 1
    ) -> History:
        """Train for some epochs and return the history.

        A second call with the same array objects continues: `fit` of 1 epoch and then of 2 equals
        `fit` of 3. With other objects, even views of the same data, the order of the batches
        starts again; pass the same `Batches` to continue.

        After `resume`, and after an `Interrupted` in the same process, a call with the same
        arguments does what is left of the call that was saved or interrupted: `epochs` counts from
        where that call began. After a complete one nothing is left, so that a script that resumes,
        fits and saves can be run again; to train on, give more epochs, or call `fit` once more.

        In the main thread, the first SIGINT (Ctrl-C) or SIGTERM ends the run after the current
        step or validation batch; a second one ends it at once.

        Parameters
        ----------
        train : (x, y), (x, y, weights) or Batches
            `Batches` bring their own batch size, augmentation and seed. Weights of the examples
            (N,) go to the loss; accuracies do not count them.
        validation : (x, y), optional
            Evaluated after each epoch.
        epochs : int, default 1

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type, or the data are not those of the
            run that was resumed, or there are `Checkpoints` and a state that cannot be saved.
        RuntimeError
            If a `fit` of this trainer is running.
        DivergenceError
            If loss, gradients or weights are not finite; `history` holds the epochs before.
        Interrupted
            If a signal ended the run.

        Notes
        -----
        Of several processes the first alone writes, prints, and calls the callbacks that only do
        that (`Callback.writes`); others are called in all. Callbacks that look at signals or
        outputs see their own process's rows. A signal to one process ends all, after the same step.
        """
        epochs = integer("Trainer.fit", "epochs", epochs)
        self._expect_idle("fit")
        self.callbacks[:] = _checked(self.callbacks)
        self.net.expect_one_output("Trainer.fit")
        self.fingerprints = Fingerprints()  # arrays may have been changed in place since
        batches = self._batches_of(train)
        if validation is not None:
            _check_pair("validation", validation)
        self.validation = validation
        self._take_up(batches)
        position = self.position
        if position.begun is None:
            position.begun = len(self.history)
        self._changes.begin(self)
        total = position.begun + epochs
        left = (total - len(self.history)) * len(batches) - batches.position
        progress = self._progress.running(left, self._wants_lines)
        with self._joined(batches), progress, self._interrupts.noted(), on_one_thread():
            self._busy = id(self)
            try:
                self._run(batches, validation, total)
            except Exception as error:
                if self._asked is None or self.group.size > 1:
                    raise
                raise self._interrupted() from error  # who catches the error should not continue
            finally:
                self._busy = None
            self._agree(self.group.gather(self._interrupts.asked))
            if self._asked is not None:  # it came at the very end
                position.begun = position.last  # the same call has nothing left to do
                raise self._interrupted()
        return self.history

    @contextmanager
    def _joined(self, batches: Batches) -> Iterator[None]:
        """Give network, layers and batches the group while the block runs."""
        self._agreed, group = None, self.group
        if group.size == 1:
            yield
            return
        ranks.expect_fit(self)
        ranks.expect_same_start(self)
        parts: list[Any] = [self.net, *self.net.layers, batches]
        for part in parts:
            part.group = group
        try:
            yield
        finally:
            group.leave()
            for part in parts:
                part.group = ALONE

    @property
    def _asked(self) -> int | None:
        """The number of the signal that ends the run; all processes agree on it."""
        return self._interrupts.asked if self.group.size == 1 else self._agreed

    def _agree(self, numbers: Iterable[float | None]) -> None:
        """End the run if one process got a signal."""
        self._agreed = int(max(number or 0 for number in numbers)) or None

    @property
    def _called(self) -> list[Callback]:
        """The callbacks that this process calls."""
        writer = self.group.rank == 0
        return [each for each in self.callbacks if writer or not each.writes]

    def _run(self, batches: Batches, validation: Data | None, total: int) -> None:
        """Train until this number of epochs is complete."""
        position, started, self._stopped = self.position, False, False
        try:
            for callback in self._called:
                callback.on_fit_start(self)
            self._changes.catch_up(self)
            if self._is_saved:
                self._content()  # what cannot be saved is reported now, not after an epoch
            started = True
            while len(self.history) < total and not self._stopped:
                self._epoch(batches, validation, total)
            position.last, position.begun = position.begun, None
        except Interrupted:
            batches.restore(batches.state())  # the next fit continues in the middle of the epoch
            raise
        except BaseException:
            if started:  # else nothing has happened yet, and a resumed run can still continue
                position.begun = None
                position.drop()
            raise
        finally:
            self._between_steps = True
            with ExitStack() as ends:  # each is called, in order, whatever the others raise
                ends.callback(self._changes.end, self)  # last: callbacks put layers back
                for callback in reversed(self._called):
                    ends.callback(callback.on_fit_end, self)

    def stop(self) -> None:
        """End `fit` after the current epoch, as if `epochs` had been that number.

        For callbacks; from `on_fit_start`, no epoch is begun.
        """
        self._stopped = True

    def save(self, path: str | os.PathLike[str], best: bool = False) -> Path:
        """Save the whole run, for `resume`: weights, all states, counters, history.

        Parameters
        ----------
        path : path
            A folder, for ``latest.safetensors`` in it, whose last version becomes
            ``previous.safetensors``; or a file, whose name has an ending. A folder is made if it
            does not exist. A file is replaced once the new one is complete.
        best : bool, default False
            Whether to write the folder's ``best.safetensors`` as well.

        Returns
        -------
        Path
            The file; in a process that does not write, `path`.

        Raises
        ------
        DivergenceError
            If weights, layers' states, or the optimizer's or the rule's arrays, are not finite; no
            good file is overwritten then.
        RuntimeError
            In the middle of a step.
        TypeError
            If a state is not plain data.
        OSError
            If the file cannot be written; the old one stays.
        """
        if not self._between_steps:
            raise RuntimeError(
                "Trainer.save: expected a call between two steps, got one during a step"
            )
        self._check_weights()
        self._check_state()
        where = first_not_finite(
            (f"the optimizer's {slot} of {name}", value)
            for name, slots in self.optimizer.buffers.items()
            for slot, value in slots.items()
        )
        if where is not None:
            raise self._diverged(where)
        if self.group.rank:
            return Path(path)
        self.checkpoint = folders.write(path, self._content(), best)
        return self.checkpoint

    def _content(self) -> bytes:
        """Return the content of a checkpoint."""
        resumed = self._resumed and self._resumed[1]
        return checkpoint.content(self, self._changes.state(self), resumed)

    def resume(self, path: str | os.PathLike[str], allow: str | Collection[str] = ()) -> None:
        """Restore a saved run; the next `fit`, with the same arguments, continues it.

        The trainer has to be built as it was. It changes only if everything fits. `fit` checks
        before its first step whether the data are the same. Numbers that callbacks have changed
        since, such as the learning rate, are restored: those of the time when the saved `fit`
        began now, and later ones when the callbacks of the next `fit` have started.

        Parameters
        ----------
        path : path
            A file of `save`, or a folder with one.
        allow : str or collection of str
            What may differ from the saved run, by the first word of the difference that would be
            listed: "optimizer", "settings", "train" (the data), "threads" and so on. It stays as
            this trainer was built.

        Raises
        ------
        ValueError
            If it is not a run's checkpoint, or damaged, or of another run; the message lists the
            differences.
        OSError
            If it cannot be read.
        RuntimeError
            If a `fit` is running.

        Warns
        -----
        RuntimeWarning
            If Python, NumPy, numba or elunet have other versions, or the number of threads is
            another: results may then differ in the last bits. Or if something cannot be compared:
            an argument of a custom layer or rule that it keeps under another name.
        """
        self._expect_idle("resume")
        allow = [allow] if isinstance(allow, str) else list(allow)
        file, tree = checkpoint.read(path, self.group)
        versions = checkpoint.check(self, file, tree, allow)
        self._changes = checkpoint.restore(self, file, tree, allow)
        if unknown := incomparable(self):
            warnings.warn(
                "Trainer.resume: cannot check that these arguments are the same as in"
                f" {file}, because no attribute has their name: {'; '.join(unknown)}",
                RuntimeWarning,
                stacklevel=2,
            )
        if versions:
            warnings.warn(
                f"Trainer.resume: {file} was made with {'; '.join(versions)}. The run"
                " continues, but its last bits may differ.",
                RuntimeWarning,
                stacklevel=2,
            )
        self.checkpoint, self._resumed = file, (file, tree, allow)
        self.batches = None

    def log(self, text: str) -> None:
        """Print a line, above the progress bar if there is one.

        If the pipe or terminal is closed, the line is lost, and the run
        continues. Of several processes, the first prints.
        """
        if self.group.rank == 0:
            self._progress.write(text)

    def _expect_idle(self, method: str) -> None:
        if self._busy == id(self):
            raise RuntimeError(
                f"Trainer.{method}: expected the running fit to end first, got a call from a"
                " callback or another thread"
            )

    def _batches_of(self, train: Data | Weighted | Batches) -> Batches:
        """Return the training data as batches, the same ones for the same arrays."""
        if isinstance(train, Batches):
            if self.augment is not None:
                raise ValueError(
                    "Trainer.fit: expected augment to be given to the Batches, got it in the"
                    " Trainer"
                )
            if train is not self.batches:
                self._change_batches(train)
            return train
        _check_pair("train", train)
        x, y, *weights = train
        known = len(self._data) == len(train) and all(map(is_, self._data, train))
        if self.batches is None or not known:
            its = weights[0] if weights else None
            self._change_batches(
                Batches(x, y, self.batch_size, True, self.seed, self.augment, weights=its)
            )
            self._data = tuple(train)
        return self.batches  # type: ignore[return-value]  # just made

    def _change_batches(self, batches: Batches) -> None:
        """Train on other data from now on; the current epoch is discarded."""
        if self.batches is not None:
            self.position.begun = None
            self.position.drop()
        self.batches = batches

    def _take_up(self, batches: Batches) -> None:
        """Continue at the position in the data of a resumed run."""
        if self._resumed is None:
            return
        try:
            checkpoint.take_up(self, batches, *self._resumed)
        except BaseException:
            self.batches = None
            raise
        self._resumed = None

    def _epoch(self, batches: Batches, validation: Data | None, total: int) -> None:
        epoch, position = len(self.history), self.position
        self.optimizer.epoch = self.router.epoch = epoch
        if position.mean is None:
            for callback in self._called:
                callback.on_epoch_start(self, epoch)
            position.mean, position.learning_rate = Mean(), self.optimizer.learning_rate()
        title = f"epoch {epoch + 1}/{total}"
        self._progress.show(title + (" (compiling kernels)" if epoch == 0 else ""))
        if not position.passed:
            self._pass(batches, position.mean, title)
        self._check_weights()
        validated = (math.nan, math.nan)
        if validation is not None:
            begin = time.perf_counter()
            validated = evaluate(
                self.net,
                *validation,
                self.loss,
                self.batch_size,
                self._leave_if_asked if self.group.size == 1 else lambda: None,
                self.router.predict,
                self.group,
            )
            position.seconds += time.perf_counter() - begin
            if not math.isfinite(validated[0]):
                raise self._diverged("the validation loss")
        row = Epoch(
            epoch + 1,
            self.optimizer.steps,
            position.learning_rate,
            *position.mean.values,
            *validated,
            self.optimizer.penalty(self.net),
            position.pass_seconds,
            position.mean.count / max(position.pass_seconds, 1e-9),
            position.spike_count,
        )
        self.history.append(row)
        position.drop()
        if self.group.size > 1:
            ranks.expect_same(self)
            self._agree(self.group.gather(self._interrupts.asked))
        for callback in self._called:
            callback.on_epoch_end(self, row)
        self._progress.end_epoch(row, total)
        self._settle(row)

    def _pass(self, batches: Batches, mean: Mean, title: str) -> None:
        """Train on the rest of an epoch."""
        position, fresh = self.position, self.group.size > 1
        begin = time.perf_counter()
        for x, y, *weights in batches:
            value = self._step(x, y, mean, *weights)
            if fresh:  # matrices that rules draw are there now
                ranks.expect_same(self)
                fresh = False
            for callback in self._called:
                callback.on_step(self, value)
            seconds = time.perf_counter() - begin
            position.pass_seconds += seconds
            position.seconds += seconds
            self._progress.show(title, mean, mean.count / max(position.pass_seconds, 1e-9))
            self._settle(None)
            begin = time.perf_counter()  # what saving took is not the pass's time
        position.passed = True

    def _step(self, x: Array, y: Array, mean: Mean, *weights: Array) -> float:
        """Learn from one batch; return its loss.

        A batch on which it fails leaves no trace in the layers' state (running averages).
        """
        self._between_steps = False
        states = States(self.net)
        try:
            return self._learn(x, y, mean, *weights)
        except BaseException:
            if not self._stepped:
                states.put_back()
            raise

    def _learn(self, x: Array, y: Array, mean: Mean, *weights: Array) -> float:
        """Run one step: forward, loss, backward, the optimizer."""
        self._stepped = False
        with np.errstate(over="ignore", invalid="ignore"):  # a run that diverges is reported below
            prediction = self._forward(x, y)
            value, dy = self._loss(prediction, y, *weights)
            weight = examples(self.loss, prediction, y, *weights)
            hits, count = accuracy(prediction, y), len(x)
            if self.group.size > 1:
                value, dy, hits, count, weight = self._of_all(value, dy, hits, count, weight)
            self._check_state()
            if not math.isfinite(value):
                self._check_weights()
                raise self._diverged(first_bad_output(self.net, x))
            taps = [callback.on_backward(self, dy, y) for callback in self._called]
            if self.debug:
                taps.append(self._look("the signal at {}'s output"))
            last = self._last_pass()
            with same_pass(self.router, self.net, releases=last):
                if last:
                    self.router.backward(self.net, dy, y, together(taps), release=True)
                else:
                    self.router.backward(self.net, dy, y, together(taps))
            self._check_gradients()
            for callback in self._called:
                callback.on_gradients(self)
            self._stepped = True
            self.optimizer.step(self.net, self.router)
        self._check_weights()
        mean.add(value, hits, count, weight)
        self.position.spike_count += self.position.spikes.add(value)
        self._between_steps = True
        return value

    def _of_all(
        self, value: float, dy: Array, hits: float, count: int, weight: float
    ) -> tuple[float, Array, float, int, float]:
        """Return the whole batch's loss, accuracy and size, and this process's part of dy.

        Parts of dy are such that gradients add up to the batch's. All judge by the same numbers.
        """
        summed = getattr(self.loss, "reduction", "mean") == "sum"
        own = np.zeros(5)
        if self.group.weight:  # else its row is no part of the batch
            own[:4] = value * (1.0 if summed else weight), hits * count, count, weight
        own[4] = self._interrupts.asked or 0
        table = np.array(self.group.gather(own.tolist()))
        self._agree(table[:, 4])
        value, hits, count, weight = table[:, :4].sum(axis=0)
        if not summed:
            value = value / weight if weight else 0.0
        share = own[3] / weight if weight else 0.0
        if summed:
            share = 1.0 if self.group.weight else 0.0
        return float(value), dy * dy.dtype.type(share), hits / count, int(count), float(weight)

    def _last_pass(self) -> bool:
        """Whether a forward pass is used for one backward pass only."""
        looks = (getattr(each.on_gradients, "__func__", None) for each in self.callbacks)
        blind = all(look is Callback.on_gradients for look in looks)
        return blind and _can_release(type(self.router))  # type: ignore[arg-type]  # it can be hashed

    def _loss(self, prediction: Array, y: Array, *weights: Array) -> tuple[float, Array]:
        """Return the loss and its gradient, after checking what a custom loss returned."""
        found = self.loss(prediction, y, *weights)
        if not isinstance(found, tuple) or len(found) != 2 or np.ndim(found[0]):
            raise TypeError(
                f"Trainer.fit: expected {self.loss!r} to return (loss, gradient), a number and an"
                f" array, got {_kinds(found)}"
            )
        return found

    def _forward(self, x: Array, y: Array) -> Array:
        """Return the network's output; with `debug`, check the output of each layer."""
        self.router.tell(self.loss)
        if not self.debug:
            return self.router.forward(self.net, x, y)
        if place := place_in_input(x):
            raise self._diverged(place)
        return self.router.forward(self.net, x, y, self._look("{}'s output"))

    def _look(self, text: str) -> Tap:
        """Return a tap that stops the run at a NaN or an infinity."""

        def look(name: str, value: Array) -> None:
            if not is_finite(value):
                raise self._diverged(text.format(name))

        return look

    def _settle(self, row: Epoch | None) -> None:
        """Let callbacks save, and end the run if a signal came."""
        for saves in (True, False):
            for callback in self._called:
                if isinstance(callback, Checkpoints) is saves:
                    callback.on_settled(self, row)
        self._leave_if_asked()

    def _leave_if_asked(self) -> None:
        """End the run if a signal came."""
        if self._asked is None:
            return
        for callback in self._called:
            callback.on_interrupt(self)
        self.group.barrier()  # nobody leaves, and has the others ended, while one saves
        raise self._interrupted()

    @property
    def _wants_lines(self) -> bool:
        return not any(isinstance(callback, Report) for callback in self.callbacks)

    @property
    def _is_saved(self) -> bool:
        return any(isinstance(callback, Checkpoints) for callback in self.callbacks)

    def _interrupted(self) -> Interrupted:
        """Return the error about the signal that came."""
        number = self._interrupts.tell() or self._asked or 0
        return Interrupted(
            number, self.optimizer.steps, self.checkpoint if self._is_saved else None
        )

    def _check_weights(self) -> None:
        """Raise a DivergenceError that names the first weight with a NaN or an infinity."""
        for arrays in (self.net.parameters(), self.router.parameters()):
            where = first_not_finite(arrays.items())
            if where is not None:
                raise self._diverged(where)

    def _check_state(self) -> None:
        """Raise one that names the first running average with a NaN or an infinity."""
        for node in self.net.homes:
            if not node.layer.state:
                continue
            where = first_not_finite(node.layer.state.items())
            if where is not None:
                raise self._diverged(f"{node.name}.{where}")

    def _check_gradients(self) -> None:
        """Raise one that names the gradient nearest to the output, where the error began."""
        for arrays in (self.net.gradients(), self.router.gradients()):
            where = first_not_finite(reversed(arrays.items()))
            if where is not None:
                raise self._diverged(f"{where}'s gradient")

    def _diverged(self, where: str) -> DivergenceError:
        return DivergenceError(self.optimizer.steps, where, self.checkpoint)


def _checked(callbacks: Sequence[Callback]) -> list[Callback]:
    """Return the callbacks as a list, after checking them."""
    if isinstance(callbacks, Callback | str) or not isinstance(callbacks, Iterable):
        raise TypeError(f"Trainer: expected callbacks as a list of callbacks, got {callbacks!r}")
    given = list(callbacks)
    for one in given:
        if not isinstance(one, Callback):
            hint = f"; make one: {one.__name__}()" if isinstance(one, type) else ""
            raise TypeError(f"Trainer: expected callbacks of class Callback, got {one!r}{hint}")
    return given


def _kinds(found: object) -> str:
    """Describe what a loss returned."""
    if not isinstance(found, tuple):
        return describe(found)
    return f"({', '.join(map(describe, found))})"


def _check_pair(name: str, data: object) -> None:
    """Raise a TypeError unless `data` is (x, y), or with weights to train on."""
    sizes = (2, 3) if name == "train" else (2,)
    if not isinstance(data, tuple | list) or len(data) not in sizes:
        kinds = "(x, y), (x, y, weights) or Batches" if name == "train" else "(x, y)"
        got = type(data).__name__
        hint = "; pass x and y as a pair: fit((x, y))" if isinstance(data, np.ndarray) else ""
        raise TypeError(f"Trainer.fit: expected {name} as {kinds}, got {got}{hint}")


@cache
def _can_release(kind: type[Router]) -> bool:
    """Whether a rule's backward takes `release`; a custom one may not."""
    return "release" in signature(kind.backward).parameters
