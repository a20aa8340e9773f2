"""The training loop.

`Trainer.fit` is the loop that one would write by hand: forward, loss, router, optimizer, batch
after batch. Around it: a validation at the end of each epoch, a progress bar, callbacks, a stop
that names the layer where a run turned into NaN, and a way to go on with a run that was cut.
"""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from elunet._checks import integer
from elunet._types import Array, Seed
from elunet.data import Batches
from elunet.losses import Loss
from elunet.network import Network, Tap
from elunet.optim import Optimizer
from elunet.routers import Backprop, Router
from elunet.storage.weights import NONSENSE
from elunet.train import folders, runs
from elunet.train.callbacks import Callback, Checkpoints, together
from elunet.train.evaluation import Mean, accuracy, evaluate
from elunet.train.guards import (
    DivergenceError,
    first_bad_output,
    first_not_finite,
    is_finite,
    place_in_input,
)
from elunet.train.history import Epoch, History
from elunet.train.interrupts import Interrupted, Interrupts
from elunet.train.progress import Progress

Data = tuple[Array, Array]


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
        ``augment(x, rng) -> x`` for each training batch, such as `elunet.data.pad_crop_flip`.
    callbacks : sequence of Callback
    seed : int, SeedSequence, Generator or None, default 0
        Of the order of the batches and of the augmentation.
    progress : bool, optional
        Whether to show a progress bar on standard error; by default if that is a terminal.
    debug : bool, default False
        Whether to look at every layer's output and signal in each step, and stop at the first that
        is not finite. Without it loss, gradients and weights are looked at.
    recipe : mapping, optional
        How the run was set up, as plain data for JSON: kept in its checkpoints, and compared by
        `resume`.

    Attributes
    ----------
    history : History
    seconds : float
        Time spent in passes and validations, in earlier sessions of the run too.
    checkpoint : Path or None
        What was saved last, or resumed from.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind than it should be.

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
        augment: Callable[[Array, np.random.Generator], Array] | None = None,
        callbacks: Sequence[Callback] = (),
        seed: Seed = 0,
        progress: bool | None = None,
        debug: bool = False,
        recipe: Mapping[str, Any] | None = None,
    ) -> None:
        for name, value, kind in (
            ("net", net, Network),
            ("optimizer", optimizer, Optimizer),
            ("router", router, Router | None),
        ):
            if not isinstance(value, kind):
                wanted = getattr(kind, "__name__", "Router")
                raise TypeError(f"Trainer: expected {name} of type {wanted}, got {value!r}")
        if not callable(loss) or isinstance(loss, type):
            raise TypeError(f"Trainer: expected loss as a loss object, got {loss!r}")
        self.net, self.loss, self.optimizer = net, loss, optimizer
        self.router = Backprop() if router is None else router
        self.batch_size = integer("Trainer", "batch_size", batch_size)
        self.augment, self.seed = augment, seed
        self.callbacks = list(callbacks)
        self.debug = debug
        self.recipe = runs.plain(recipe or {})
        self.history = History()
        self.checkpoint: Path | None = None
        self._run = runs.Run()
        self._resumed: tuple[Path, runs.Tree, Collection[str]] | None = None  # until fit has data
        self._batches: Batches | None = None  # of the arrays in _data
        self._data: tuple[Any, Any] = (None, None)
        self._validation: Data | None = None
        self._identity = runs.DataIdentity()
        self._between_steps = True
        self._interrupts = Interrupts()
        self._progress = Progress(progress)

    @property
    def seconds(self) -> float:
        """Time spent in passes and validations, in earlier sessions of the run too."""
        return self._run.seconds

    def fit(
        self, train: Data | Batches, validation: Data | None = None, epochs: int = 1
    ) -> History:
        """Train for some epochs and return the history.

        A second call with the same array objects goes on where the first ended: `fit` of 1 epoch
        and then of 2 is `fit` of 3. With others, a new view of the same data among them, the order
        of the batches begins anew; keep `Batches` to go on then.

        After `resume`, and after an `Interrupted` in the same process, it is the call that was cut
        which is taken up again: with the same arguments it does what is left of it, which after a
        complete run is nothing.

        While it runs in the main thread, the first SIGINT (Ctrl-C) or SIGTERM ends it after the
        step, or the batch of a validation, at which it is; a second one at once.

        Parameters
        ----------
        train : (x, y) or Batches
            `Batches` bring their own batch size, augmentation and seed.
        validation : (x, y), optional
            Looked at after each epoch.
        epochs : int, default 1

        Raises
        ------
        TypeError, ValueError
            If an argument is of another kind than it should be, or the data are not those of the
            run that was resumed.
        DivergenceError
            If loss, gradients or weights are no longer finite; `history` holds the epochs before.
        Interrupted
            If a signal asked to leave.
        """
        integer("Trainer.fit", "epochs", epochs)
        batches = self._batches_of(train)
        if validation is not None:
            _check_pair("validation", validation)
        self._validation = validation
        self._take_up(batches)
        run = self._run
        if run.begun is None:
            run.begun = len(self.history)
        run.setup = runs.setup(self)
        total = run.begun + epochs
        left = (total - len(self.history)) * len(batches) - batches.position
        with self._progress.running(left), self._interrupts.noted():
            started = False
            try:
                for callback in self.callbacks:
                    callback.on_fit_start(self)
                started = True
                while len(self.history) < total:
                    self._epoch(batches, validation, total)
                run.begun = None
            except Interrupted:
                batches.restore(batches.state())  # the next fit goes on in the middle of the epoch
                raise
            except BaseException:
                if started:  # else nothing has happened yet, and a resumed run can still go on
                    run.begun = None
                    run.drop()
                raise
            finally:
                self._between_steps = True
                for callback in self.callbacks:
                    callback.on_fit_end(self)
                run.setup = None  # not before: until now, layers may not be as they were given
        return self.history

    def save(self, path: str | os.PathLike[str], best: bool = False) -> Path:
        """Save the whole run, for `resume`: weights, all states, counters, history.

        Parameters
        ----------
        path : path
            A file; or a folder that is there, for ``latest.safetensors`` in it, the one before
            becoming ``previous.safetensors``. Replaced only once the new file is complete.
        best : bool, default False
            Whether to write the folder's ``best.safetensors`` as well.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        DivergenceError
            If weights, or what optimizer and rule remember, are not finite; a good file is not
            overwritten by them.
        RuntimeError
            In the middle of a step.
        TypeError
            If a state is not made of texts, numbers and arrays.
        OSError
            If the file cannot be written; what was there stays.
        """
        if not self._between_steps:
            raise RuntimeError(
                "Trainer.save: expected to be between two steps, got called in the middle of one"
            )
        self._check_weights()
        state = self.optimizer.state
        where = first_not_finite(
            (f"the optimizer's {slot} of {name}", value)
            for name, slots in state.items()
            for slot, value in slots.items()
        )
        if where is not None:
            raise self._diverged(where)
        self.checkpoint = folders.write(path, runs.content_of(self), best)
        return self.checkpoint

    def resume(self, path: str | os.PathLike[str], allow: Collection[str] = ()) -> None:
        """Go back to a saved run; the next `fit`, with the same arguments, goes on with it.

        The trainer has to be built as it was. It is changed only if everything fits; whether the
        data are the same is seen by `fit`, before its first step.

        Parameters
        ----------
        path : path
            A file of `save`, or a folder that has one.
        allow : collection of str
            What may differ from the saved run, on purpose: the first words of the differences that
            are listed otherwise, such as "optimizer", "recipe", "train" (the data) or "threads".

        Raises
        ------
        ValueError
            If it is no checkpoint of a run, a damaged one, or one of another run; the message lists
            the differences.
        OSError
            If it cannot be read.

        Warns
        -----
        RuntimeWarning
            If other versions of Python, NumPy, numba or elunet saved it, or another number of
            threads: the run goes on, but bits may differ.
        """
        file, tree, arrays = runs.read(path)
        versions = runs.check_same(self, file, tree, allow)
        runs.apply(self, file, tree, arrays)
        if versions:
            warnings.warn(
                f"Trainer.resume: {file} was made with {'; '.join(versions)}. The run goes on, but"
                " not to the bit as it would have there.",
                RuntimeWarning,
                stacklevel=2,
            )
        self.checkpoint, self._resumed = file, (file, tree, tuple(allow))
        self._batches = None

    def log(self, text: str) -> None:
        """Print a line, above the progress bar if there is one."""
        self._progress.write(text)

    def _batches_of(self, train: Data | Batches) -> Batches:
        """Return the training data as batches, the same ones for the same arrays."""
        if isinstance(train, Batches):
            if self.augment is not None:
                raise ValueError(
                    "Trainer.fit: expected augment in the Batches that were given, got it in the"
                    " Trainer"
                )
            if train is not self._batches:
                self._change_batches(train)
            return train
        _check_pair("train", train)
        x, y = train
        if self._batches is None or self._data[0] is not x or self._data[1] is not y:
            self._change_batches(
                Batches(x, y, self.batch_size, seed=self.seed, augment=self.augment)
            )
            self._data = x, y
        return self._batches  # type: ignore[return-value]  # just made

    def _change_batches(self, batches: Batches) -> None:
        """Train on other data from now on; an epoch that was cut in the others is given up."""
        if self._batches is not None:
            self._run.begun = None
            self._run.drop()
        self._batches = batches

    def _take_up(self, batches: Batches) -> None:
        """Let the batches of a resumed run go on, if the data are its data."""
        if self._resumed is None:
            return
        file, tree, allow = self._resumed
        try:
            if tree["data"] is not None:
                if found := runs.data_differences(self, tree["data"], allow):
                    listed = "\n".join(found)
                    raise ValueError(f"Trainer.fit: expected the data of {file}, got:\n{listed}")
                try:
                    batches.restore(tree["batches"])
                except NONSENSE as error:
                    raise runs.broken(file, error) from error
        except BaseException:
            self._batches = None
            raise
        self._resumed = None

    def _epoch(self, batches: Batches, validation: Data | None, total: int) -> None:
        epoch, run = len(self.history), self._run
        self.optimizer.epoch = self.router.epoch = epoch
        if run.mean is None:
            for callback in self.callbacks:
                callback.on_epoch_start(self, epoch)
            run.mean, run.learning_rate = Mean(), self.optimizer.learning_rate()
        title = f"epoch {epoch + 1}/{total}"
        self._progress.show(title + (" (compiling kernels)" if epoch == 0 else ""))
        if not run.passed:
            self._pass(batches, run.mean, title)
        self._check_weights()
        validated = (math.nan, math.nan)
        if validation is not None:
            begin = time.perf_counter()
            validated = evaluate(
                self.net, *validation, self.loss, self.batch_size, self._leave_if_asked
            )
            run.seconds += time.perf_counter() - begin
            if not math.isfinite(validated[0]):
                raise self._diverged("the validation loss")
        row = Epoch(
            epoch + 1,
            self.optimizer.steps,
            run.learning_rate,
            *run.mean.values,
            *validated,
            self.optimizer.penalty(self.net),
            run.pass_seconds,
            run.mean.count / max(run.pass_seconds, 1e-9),
            run.spike_count,
        )
        self.history.append(row)
        run.drop()
        for callback in self.callbacks:
            callback.on_epoch_end(self, row)
        self._settle(row)

    def _pass(self, batches: Batches, mean: Mean, title: str) -> None:
        """Learn from what is left of an epoch."""
        run = self._run
        begin = time.perf_counter()
        for x, y in batches:
            value = self._step(x, y, mean)
            for callback in self.callbacks:
                callback.on_step(self, value)
            seconds = time.perf_counter() - begin
            run.pass_seconds += seconds
            run.seconds += seconds
            self._progress.show(title, mean, mean.count / max(run.pass_seconds, 1e-9))
            self._settle(None)
            begin = time.perf_counter()  # what saving took is not the pass's time
        run.passed = True

    def _step(self, x: Array, y: Array, mean: Mean) -> float:
        """Learn from one batch; return its loss."""
        self._between_steps = False
        with np.errstate(over="ignore", invalid="ignore"):  # a run that diverges is told below
            prediction = self._forward(x)
            value, dy = self.loss(prediction, y)
            if not math.isfinite(value):
                self._check_weights()
                raise self._diverged(first_bad_output(self.net, x))
            taps = [callback.on_backward(self, dy, y) for callback in self.callbacks]
            if self.debug:
                taps.append(self._look("the signal at {}'s output"))
            if self._last_pass():
                self.router.backward(self.net, dy, y, together(taps), release=True)
            else:
                self.router.backward(self.net, dy, y, together(taps))
            self._check_gradients()
            for callback in self.callbacks:
                callback.on_gradients(self)
            self.optimizer.step(self.net, self.router)
        self._check_weights()
        mean.add(value, accuracy(prediction, y), len(x))
        self._run.spike_count += self._run.spikes.add(value)
        self._between_steps = True
        return value

    def _last_pass(self) -> bool:
        """Whether nothing goes back through a forward pass once the rule has done so once."""
        looks = (getattr(each.on_gradients, "__func__", None) for each in self.callbacks)
        blind = all(look is Callback.on_gradients for look in looks)
        return blind and _can_release(type(self.router))  # type: ignore[arg-type]  # it can be hashed

    def _forward(self, x: Array) -> Array:
        """Return the network's output, looking at each layer's if in doubt."""
        if not self.debug:
            return self.net.forward(x, train=True)
        if place := place_in_input(x):
            raise self._diverged(place)
        return self.net.forward(x, train=True, tap=self._look("{}'s output"))

    def _look(self, text: str) -> Tap:
        """Return a tap that stops the run at what is not finite."""

        def look(name: str, value: Array) -> None:
            if not is_finite(value):
                raise self._diverged(text.format(name))

        return look

    def _settle(self, row: Epoch | None) -> None:
        """Let callbacks save, and leave if a signal came."""
        for callback in self.callbacks:
            callback.on_settled(self, row)
        self._leave_if_asked()

    def _leave_if_asked(self) -> None:
        """Leave if a signal came."""
        number = self._interrupts.asked
        if number is None:
            return
        for callback in self.callbacks:
            callback.on_interrupt(self)
        kept = any(isinstance(callback, Checkpoints) for callback in self.callbacks)
        raise Interrupted(number, self.optimizer.steps, self.checkpoint if kept else None)

    def _check_weights(self) -> None:
        """Raise a DivergenceError that names the first weight with a NaN or an infinity."""
        for arrays in (self.net.parameters(), self.router.parameters()):
            where = first_not_finite(arrays.items())
            if where is not None:
                raise self._diverged(where)

    def _check_gradients(self) -> None:
        """Raise one that names the last gradient: what is wrong above spoils all below."""
        for arrays in (self.net.gradients(), self.router.gradients()):
            where = first_not_finite(reversed(arrays.items()))
            if where is not None:
                raise self._diverged(f"{where}'s gradient")

    def _diverged(self, where: str) -> DivergenceError:
        return DivergenceError(self.optimizer.steps, where, self.checkpoint)


def _check_pair(name: str, data: object) -> None:
    """Raise a TypeError unless `data` is (x, y)."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        kinds = "(x, y) or Batches" if name == "train" else "(x, y)"
        raise TypeError(f"Trainer.fit: expected {name} as {kinds}, got {type(data).__name__}")


@cache
def _can_release(kind: type[Router]) -> bool:
    """Whether a rule's backward takes `release`; one of a user's own need not."""
    return "release" in signature(kind.backward).parameters
