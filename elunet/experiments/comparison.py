"""Learning rules side by side, in a comparison that is fair by construction.

Every rule gets the same networks, initial weights, order of the data, grid of learning rates and
number of steps. The rate is chosen on a validation split with seeds of its own, and with it a
variant of the rule (the scale of its matrices, say); the test split is used once per final trial.
Several seeds give paired differences with intervals. Baselines say what
a score is worth: a rule that does not beat the last layer alone, on frozen random features, has
taught the hidden layers nothing.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from numbers import Integral
from pathlib import Path

from elunet._checks import integer, number
from elunet.engine.cores import available_cores
from elunet.experiments import grid, trials
from elunet.experiments.grid import Executor, Workers
from elunet.experiments.order import SWEEP_SEED, Order, Request, requests_of
from elunet.experiments.results import Comparison
from elunet.experiments.trials import (
    BASELINES,
    SETTINGS,
    TRIALS,
    Bench,
    Entry,
    MakeNetwork,
    MakeOptimizer,
    Splits,
    Trial,
    Variants,
    plain,
    threads_for,
)
from elunet.losses import Loss, SoftmaxCrossEntropy
from elunet.network import Network
from elunet.routers import Router
from elunet.routers.holder import Wrapper
from elunet.storage import settings, tables
from elunet.storage.files import sweep
from elunet.storage.locks import held
from elunet.train import Data

LONGEST = 200  # bytes of a name in a file's name, which may have 255


def compare(
    network: MakeNetwork,
    rules: Mapping[str, Variants],
    train: Data,
    validation: Data,
    test: Data,
    *,
    rates: Sequence[float],
    epochs: int,
    folder: str | os.PathLike[str],
    seeds: int = 5,
    sweep_seeds: int = 1,
    optimizer: MakeOptimizer | Mapping[str, MakeOptimizer] | None = None,
    loss: Loss | None = None,
    batch_size: int = 100,
    baselines: bool = True,
    angles_every: int = 0,
    null: int = 20,
    attacks: Sequence[float] = (),
    log: Callable[[str], None] | None = print,
    executor: Executor | int | None = None,
    threads: int | None = None,
) -> Comparison:
    """Train the same networks with several learning rules and compare their accuracies.

    First each rule trains with each learning rate, in each of its variants; then, with the variant
    and rate of the best validation accuracy, once with each seed. Trials run side by side, on
    whatever `executor` stands for; each is on the disk when it is complete. After an
    interruption, the same call makes the trials that are missing. So does a call with other rules,
    variants, rates or numbers of seeds than the last one in this folder: the folder keeps every
    trial, and a trial that is there is not made again.

    The table is the same, except the seconds, wherever and in whatever order the trials run. It
    depends in the last bits on `threads`, and where machines differ, on the machine.

    Parameters
    ----------
    network : callable
        ``network(seed) -> Network``.
    rules : dict of {name: callable}
        ``rule(seed) -> Router``; the first is the reference for the others. A rule may also be a
        dict of {variant: callable}, such as several scales of its matrices; the sweep chooses one.
    train, validation, test : (x, y)
        x float of shape (n, ...), y integer labels.
    rates : sequence of float
        The grid of learning rates.
    epochs : int
        Of each trial.
    folder : path
        For settings.json, trials.csv, and each final trial's history, angles and robustness. The
        settings identify what is trained: initial weights, data, and rules, layers, optimizers and
        loss with all their attributes and with your own code. Installed packages, elunet too, count
        by name. A call that differs in them is refused. Networks and rules are looked at with the
        seeds 0 and 1.
    seeds : int, default 5
        Final trials of each rule, with seeds 0, 1, ...
    sweep_seeds : int, default 1
        Trials of each rate and variant in the sweep; their mean counts.
    optimizer : callable or dict, optional
        ``optimizer(rate) -> Optimizer``, by default SGD with momentum 0.9. A dict has one for the
        rules that need another than the rest, which get that of ``"*"``, or SGD: Kolen-Pollack's
        and weight mirror's need weight decay.
    loss : Loss, optional
        `SoftmaxCrossEntropy` by default.
    batch_size : int, default 100
    baselines : bool, default True
        Whether to add "last layer only" (on the network's frozen initial features), a "linear"
        classifier on the pixels and a "shallow" network with one hidden layer of 128 units, all
        trained by backpropagation.
    angles_every : int, default 0
        Steps between two measurements of angles in the final trials; 0 measures none.
    null : int, default 20
        Draws for the angles' null band.
    attacks : sequence of float, default ()
        The `eps` of adversarial attacks on the final networks, on the first 1,000 test images, in
        the units of x: see `robustness`.
    log : callable, optional
        Takes a line of text per trial. With None, a progress bar or a line now and then shows how
        many trials are done.
    executor : int or object with ``submit``, optional
        Who makes the trials. By default this machine's cores: as many worker processes as they
        allow with `threads` each, if the extra ``elunet[grid]`` is installed, or else this process.
        A number is that of worker processes; 1 is this process. An object is a
        `concurrent.futures` pool, a ``dask.distributed.Client``, an ``MPIPoolExecutor`` of
        mpi4py, a submitit ``AutoExecutor`` (Slurm), or another whose ``submit(function,
        *arguments)`` gives a future. Workers on other machines need to see `folder`.
    threads : int, optional
        Of each trial; by default 1 for a network of at most 50 million multiply-adds an image, else
        `get_num_threads`.

    Returns
    -------
    Comparison

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, a rule has a baseline's name, a rule that is to be attacked
        does not predict by the network's forward pass, or the folder holds another comparison; the
        message lists how it differs.
    BlockingIOError
        If another process is using the folder.
    ImportError
        If workers are asked for, and the extra is not there.
    RuntimeError
        If an executor has broken, or a trial has lost its worker three times.

    Warns
    -----
    UserWarning
        If a best rate lies at the grid's edge, or a final trial diverged; if something differs from
        call to call with the same seed; if the folder has trials, and something cannot be looked
        into, such as a generator.

    Examples
    --------
    >>> import tempfile
    >>> import elunet as eln
    >>> x, y = eln.data.make_shapes(60, seed=0)
    >>> data = eln.data.standardize(x), y
    >>> R = eln.routers
    >>> rules = {"backprop": lambda seed: R.Backprop(), "fa": R.FeedbackAlignment}
    >>> with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
    ...     result = eln.compare(
    ...         lambda seed: eln.models.mlp(widths=(8,), seed=seed),
    ...         rules,
    ...         *(data, data, data),  # in a real comparison three different splits
    ...         rates=(0.001, 0.01),
    ...         epochs=1,
    ...         seeds=2,
    ...         folder=folder,
    ...         log=None,
    ...     )
    >>> result.rules
    ('backprop', 'fa', 'last layer only', 'linear', 'shallow')
    """
    data, place = (train, validation, test), Path(folder)
    bench, rates = bench_of(
        network,
        rules,
        data,
        rates,
        epochs,
        optimizer=optimizer,
        loss=loss,
        batch_size=batch_size,
        baselines=baselines,
        angles_every=angles_every,
        null=null,
        attacks=attacks,
        threads=threads,
    )
    seeds = integer("compare", "seeds", seeds)
    sweep_seeds = integer("compare", "sweep_seeds", sweep_seeds)
    if seeds > SWEEP_SEED:
        raise ValueError(f"compare: expected seeds of at most {SWEEP_SEED}, got {seeds}")
    if executor is not None and not isinstance(executor, Executor):
        if not isinstance(executor, Integral):
            raise TypeError(
                "compare: expected executor to be a number of workers, or an object with a method"
                f" submit, got {executor!r}"
            )
        executor = integer("compare", "executor", executor)
    place.mkdir(parents=True, exist_ok=True)
    with held(place):
        requests = {
            name: Request(tuple(entry.variants), rates, seeds, sweep_seeds)
            for name, entry in bench.entries.items()
        }
        order = Order(requests, _claimed(bench, data, requests, place))
        most = order.size - len(order.trials())  # if another rate becomes the best
        with _working(executor, bench.threads, most) as who, trials.using(bench.threads):
            grid.make(bench, data, order, place, who, log)
    comparison = Comparison.of_order(order, place)
    for text in comparison.warnings:
        warnings.warn(f"compare: {text}", stacklevel=2)
    return comparison


def bench_of(
    network: MakeNetwork,
    rules: Mapping[str, Variants],
    data: Splits,
    rates: Sequence[float],
    epochs: int,
    *,
    optimizer: MakeOptimizer | Mapping[str, MakeOptimizer] | None = None,
    loss: Loss | None = None,
    batch_size: int = 100,
    baselines: bool = True,
    angles_every: int = 0,
    null: int = 20,
    attacks: Sequence[float] = (),
    threads: int | None = None,
) -> tuple[Bench, tuple[float, ...]]:
    """Return the bench, which all trials share, and the rates in order."""
    rates = _numbers("rates", rates)
    if not rates:
        raise ValueError("compare: expected at least one of rates, got none")
    epochs = integer("compare", "epochs", epochs)
    batch_size = integer("compare", "batch_size", batch_size)
    angles_every = integer("compare", "angles_every", angles_every, 0)
    null = integer("compare", "null", null, 0)
    if isinstance(network, Network) or not callable(network):
        raise TypeError(f"compare: expected network as a function of a seed, got {network!r:.80}")
    if not isinstance(rules, Mapping):
        raise TypeError(
            f"compare: expected rules as a dict of names and functions, got {rules!r:.80}"
        )
    if not rules:
        raise ValueError("compare: expected at least one of rules, got none")
    entries = {
        name: Entry(network, dict(rule) if isinstance(rule, Mapping) else {"": rule})
        for name, rule in rules.items()
    }
    if empty := [name for name, entry in entries.items() if not entry.variants]:
        raise ValueError(f"compare: expected at least one variant of {empty[0]}, got none")
    for name, entry in entries.items():
        for make in entry.variants.values():
            if not callable(make):
                raise TypeError(
                    f"compare: expected the rule {name} as a function of a seed, got {make!r:.80}"
                )
    optimizers = dict(optimizer) if isinstance(optimizer, Mapping) else {"*": optimizer}
    if unknown := sorted(set(optimizers) - {"*", *rules}):
        raise ValueError(f'compare: expected optimizers of rules or "*", got {unknown}')
    if taken := set(BASELINES) & set(rules):
        raise ValueError(f"compare: expected rules without baselines' names, got {taken}")
    if baselines:
        entries |= trials.baselines(network, data[0])
    _check_names({name: entry.variants for name, entry in entries.items()})
    if sizes := _numbers("attacks", attacks):
        for name, entry in entries.items():
            if any(_predicts_otherwise(make(0)) for make in entry.variants.values()):
                raise ValueError(
                    "compare: expected no attacks, or rules that predict by the network's forward"
                    f" pass, got {name}, which predicts in another way"
                )
    if threads is None:
        threads = threads_for(network, data[0][0])
    bench = Bench(
        entries,
        epochs,
        {name: make for name, make in optimizers.items() if make is not None},
        loss or SoftmaxCrossEntropy(),
        batch_size,
        angles_every,
        null,
        integer("compare", "threads", threads),
        sizes,
    )
    return bench, rates


def _numbers(name: str, values: Sequence[float]) -> tuple[float, ...]:
    """Return positive numbers in order, each once."""
    if not isinstance(values, Iterable):
        raise TypeError(f"compare: expected {name} to be several numbers, got {values!r}")
    return tuple(sorted({number("compare", name, value, "(0, inf)") for value in values}))


def _predicts_otherwise(router: Router) -> bool:
    """Return whether a rule's prediction is not the network's output."""
    while isinstance(router, Wrapper):
        router = router.router
    return type(router).predict is not Router.predict


def _check_names(*rules: Mapping[str, Iterable[str]]) -> None:
    """Refuse names that files cannot have, or that would be the same for several."""
    found: dict[str, tuple[str, str]] = {}
    for rule, variant in [(name, its) for part in rules for name in part for its in part[name]]:
        if not (isinstance(rule, str) and isinstance(variant, str)):
            raise TypeError(
                "compare: expected the names of rules and variants as texts, got"
                f" {rule if not isinstance(rule, str) else variant!r}"
            )
        if len(plain(rule, variant).encode()) > LONGEST:
            raise ValueError(
                f"compare: expected names of rules and variants of at most {LONGEST} bytes, got"
                f" {rule!r} {variant!r}"
            )
        other = found.setdefault(plain(rule, variant).casefold(), (rule, variant))
        if other != (rule, variant):
            raise ValueError(
                "compare: expected rules and variants whose names differ in letters or digits,"
                " and not only in upper and lower case, got"
                f" {' '.join(other).strip()!r} and {' '.join((rule, variant)).strip()!r}"
            )


def _claimed(
    bench: Bench, data: Splits, requests: Mapping[str, Request], folder: Path
) -> list[Trial]:
    """Return the complete trials of a folder, if this comparison can extend what is there."""
    for name in (SETTINGS, TRIALS):
        sweep(folder / name)  # what a killed process left
    grid.remove_shared(folder)
    file, table = folder / SETTINGS, folder / TRIALS
    rates = next(iter(requests.values())).rates
    here = bench.settings(data, rates)
    here["asked"] = {rule: request.as_json() for rule, request in requests.items()}
    if table.exists() and not file.exists():
        raise ValueError(
            f"compare: expected {folder} with {SETTINGS} beside {TRIALS}, got {TRIALS} alone: it is"
            " not known with which settings its trials were made; use another folder"
        )
    there = settings.read("compare", file) if file.exists() else here
    requests_of("compare", file, there)  # it has the format of this version
    _check_names(there["rules"], here["rules"])
    if different := settings.claim(file, here, growing=("rules", "optimizer"), latest=("asked",)):
        name, (old, new) = next(iter(different.items()))
        raise ValueError(
            f"compare: expected {folder} to be empty or to hold the same comparison, got a"
            f" comparison with different {', '.join(different)} (see {SETTINGS}: {name} is"
            f" {old!s:.80} there and {new!s:.80} here); use another folder"
        )
    if names := bench.irreproducible(rates):
        warnings.warn(
            "compare: this comparison cannot be continued or extended, because these differ from"
            f" call to call with the same seed: {', '.join(names)}",
            stacklevel=3,
        )
    if table.exists() and (names := bench.unread(rates)):
        warnings.warn(
            f"compare: cannot check that these are the same as in {folder}, because elunet cannot"
            f" look into them: {'; '.join(names)}",
            stacklevel=3,
        )
    return tables.read("compare", table, Trial) if table.exists() else []


def can_start_workers() -> bool:
    """Return whether the packages for worker processes are installed."""
    return find_spec("loky") is not None and find_spec("cloudpickle") is not None


def workers_for(threads: int) -> int:
    """Return how many workers this machine's cores allow; 1 if none can be started."""
    return max(1, available_cores() // threads) if can_start_workers() else 1


@contextmanager
def _working(executor: Executor | int | None, threads: int, most: int) -> Iterator[Executor | None]:
    """Yield the executor that runs the trials; None for this process."""
    if isinstance(executor, Executor):
        yield executor
        return
    count = workers_for(threads) if executor is None else executor
    if min(count, most) <= 1:
        yield None
        return
    with Workers(min(count, most)) as workers:
        yield workers
