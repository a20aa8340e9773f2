"""The cost of a comparison beforehand: runs, hours and memory, estimated from a few steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from elunet._checks import integer
from elunet._progress import duration
from elunet.experiments.comparison import bench_of, can_start_workers, workers_for
from elunet.experiments.grid import Workers, sent, work
from elunet.experiments.trials import (
    Bench,
    Cost,
    Key,
    MakeNetwork,
    MakeOptimizer,
    Splits,
    Variants,
)
from elunet.losses import Loss
from elunet.train import Data


@dataclass(frozen=True)
class Plan:
    """The runs, hours and memory that a comparison needs.

    Attributes
    ----------
    rows : tuple of (rule, trials, hours)
        Core-hours of all trials of each rule.
    workers, threads : int
        Trials side by side, and threads of each.
    memory : float
        MB of one worker.
    data : float
        MB of the arrays, which workers share on a machine.

    Examples
    --------
    >>> plan = Plan((("fa", 3, 1.0), ("dfa", 3, 3.0)), workers=2, threads=1, memory=200, data=50)
    >>> plan.runs, plan.core_hours, plan.hours
    (6, 4.0, 2.0)
    """

    rows: tuple[tuple[str, int, float], ...]
    workers: int
    threads: int
    memory: float
    data: float

    @property
    def runs(self) -> int:
        """The number of trials."""
        return sum(runs for _, runs, _ in self.rows)

    @property
    def core_hours(self) -> float:
        """The hours that one core would need."""
        return sum(hours for *_, hours in self.rows)

    @property
    def hours(self) -> float:
        """The hours until all trials are finished, if workers do not slow each other down."""
        return self.core_hours / self.threads / self.workers

    def __str__(self) -> str:
        rows = ["| rule | runs | core-hours |", "|---|---|---|"]
        rows += [f"| {rule} | {runs} | {hours:.3g} |" for rule, runs, hours in self.rows]
        total = self.memory * self.workers + self.data
        return "\n".join(
            [
                *rows,
                "",
                f"{self.runs} runs, {self.core_hours:.3g} core-hours: about"
                f" {duration(3600 * self.hours)} on {self.workers} workers with {self.threads}"
                " threads each, if nothing else runs there",
                f"memory: at most {self.memory:.0f} MB per worker and {self.data:.0f} MB of shared"
                f" data, {total / 1000:.1f} GB in total on one machine",
            ]
        )


def plan(
    network: MakeNetwork,
    rules: Mapping[str, Variants],
    train: Data,
    validation: Data,
    test: Data,
    *,
    rates: Sequence[float],
    epochs: int,
    seeds: int = 5,
    sweep_seeds: int = 1,
    optimizer: MakeOptimizer | Mapping[str, MakeOptimizer] | None = None,
    loss: Loss | None = None,
    batch_size: int = 100,
    baselines: bool = True,
    angles_every: int = 0,
    null: int = 20,
    attacks: Sequence[float] = (),
    threads: int | None = None,
    workers: int | None = None,
) -> Plan:
    """Estimate the cost of `compare` with the same arguments; nothing is trained or written.

    A few steps of each rule are made and timed, with one learning rate and one variant. With the
    extra ``elunet[grid]`` they run in a worker, whose memory is measured too, and without it in
    this process. A trial's time is that of its steps, validations, test, measurements of
    angles and attacks.

    Parameters
    ----------
    network, rules, train, validation, test, rates, epochs, seeds, sweep_seeds, optimizer, loss, \
batch_size, baselines, angles_every, null, attacks, threads
        As for `compare`.
    workers : int, optional
        How many trials will run side by side; by default as in `compare`.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import elunet as eln
    >>> x, y = eln.data.make_shapes(60, seed=0)
    >>> data = eln.data.standardize(x), y
    >>> found = eln.experiments.plan(
    ...     lambda seed: eln.models.mlp(widths=(8,), seed=seed),
    ...     {"fa": eln.routers.FeedbackAlignment},
    ...     *(data, data, data),
    ...     rates=(0.001, 0.01),
    ...     epochs=1,
    ...     seeds=2,
    ... )
    >>> found.rows[0][:2]
    ('fa', 4)
    """
    seeds = integer("plan", "seeds", seeds)
    sweep_seeds = integer("plan", "sweep_seeds", sweep_seeds)
    data = train, validation, test
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
    keys = [
        Key("sweep", name, next(iter(entry.variants)), rates[0], 0)
        for name, entry in bench.entries.items()
    ]
    costs = _costs(bench, data, keys)
    rows = []
    for key, cost in zip(keys, costs, strict=True):
        entry = bench.entries[key.rule]
        sweep = len(entry.variants) * len(rates) * sweep_seeds
        last = bench.seconds(data, key._replace(stage="final"), cost)
        seconds = sweep * bench.seconds(data, key, cost) + seeds * last
        rows.append((key.rule, sweep + seeds, seconds * bench.threads / 3600))
    if workers is None:
        workers = workers_for(bench.threads)
    size = sum(array.nbytes for pair in data for array in pair) / 1e6
    return Plan(tuple(rows), workers, bench.threads, max(cost.memory for cost in costs), size)


def _costs(bench: Bench, data: Splits, keys: Sequence[Key]) -> list[Cost]:
    """Measure a few steps of each rule."""
    if not can_start_workers():
        return [bench.try_out(data, key) for key in keys]
    import tempfile  # it brings lzma along, which takes time and is not everywhere

    found: list[Cost] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        sent(bench, data, Path(folder)) as recipe,
        Workers(1) as workers,
    ):
        for key in keys:
            cost = workers.submit(work, "try_out", *recipe, tuple(key)).result()
            if isinstance(cost, BaseException):
                raise cost
            found.append(cost)
    return found
