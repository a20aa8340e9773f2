"""A plan: decisions that are made once, and used in every pass of the same kind.

A stage is a layer in its place, with what the engine has to know of it. The stages determine which
layers have a turn, which results the next layer may overwrite, and when a result is no longer
needed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple


class Stage(NamedTuple):
    """A layer in its place.

    Attributes
    ----------
    name : str
    inputs : tuple of str
        Names of the stages whose results it takes; another name is the graph's input.
    starts : bool
        Whether its work can be deferred, so that nobody has seen its result when the next one runs.
    learns : bool
        Whether it or a stage below has parameters.
    carries : bool
        Whether its result may lie where what it takes lies.
    """

    name: str
    inputs: tuple[str, ...]
    starts: bool
    learns: bool
    carries: bool = False


class Forward(NamedTuple):
    """A stage's turn in the forward pass.

    Attributes
    ----------
    stage : int
    starts : bool
        The stage's.
    donates : bool
        Whether its result may be written over by the one stage that takes it, unless the stage
        itself keeps it.
    last : tuple of str
        The layers whose results are not needed after this turn.
    leaves : bool
        Whether its result, or what is made of it in its place, is seen outside.
    """

    stage: int
    starts: bool
    donates: bool
    last: tuple[str, ...]
    leaves: bool


class Backward(NamedTuple):
    """A stage's turn in the backward pass.

    Attributes
    ----------
    stage : int
    starts : bool
        The stage's.
    sends : bool
        Whether something below wants its signal.
    leaves : bool
        Whether that signal, or what is made of it in its place, is seen outside.
    """

    stage: int
    starts: bool
    sends: bool
    leaves: bool


def forward(
    stages: Sequence[Stage], looked_at: bool, outputs: Collection[str]
) -> tuple[Forward, ...]:
    """Return the turns of a forward pass.

    Parameters
    ----------
    stages : sequence of Stage
        Each after those that it takes something of.
    looked_at : bool
        Whether every result is looked at.
    outputs : collection of str
        Whose results are the graph's.

    Raises
    ------
    ValueError
        If nothing takes a result that is not the graph's.
    """
    takers = Counter(source for stage in stages for source in stage.inputs)
    for stage in stages:
        if not takers[stage.name] and stage.name not in outputs:
            last = len(outputs) == 1 and stages[-1].name in outputs
            others = "the last" if last else f"the outputs {', '.join(outputs)}"
            raise ValueError(
                f"Network: expected every layer except {others} to be the input of another"
                f" layer, got {stage.name}, whose output is not used"
            )
    last_turn = {source: turn for turn, stage in enumerate(stages) for source in stage.inputs}
    lasts: dict[int, list[str]] = {}
    for source, turn in last_turn.items():
        if source not in outputs:
            lasts.setdefault(turn, []).append(source)
    outside = set(outputs)  # whose results, in whatever place, are the graph's
    for stage in reversed(stages):
        if stage.name in outside and stage.carries:
            outside.update(stage.inputs)
    turns = []
    for turn, stage in enumerate(stages):
        alone = takers[stage.name] == 1 and not looked_at and stage.name not in outputs
        donates = stage.starts and alone
        leaves = looked_at or stage.name in outside
        turns.append(Forward(turn, stage.starts, donates, tuple(lasts.get(turn, ())), leaves))
    return tuple(turns)


def backward(stages: Sequence[Stage], to_input: bool) -> tuple[Backward, ...]:
    """Return the turns of a backward pass, the last stage's first.

    Parameters
    ----------
    stages : sequence of Stage
    to_input : bool
        Whether the graph's input gets a signal, and with it everything between.
    """
    learning = {stage.name for stage in stages if stage.learns}
    carries = {stage.name: stage.carries for stage in stages}
    outside = set[str]()  # whose signals, in whatever place, are the graph's input's
    for stage in stages:
        if any(s not in carries or (s in outside and carries[s]) for s in stage.inputs):
            outside.add(stage.name)
    return tuple(
        Backward(
            place,
            stage.starts,
            to_input or not learning.isdisjoint(stage.inputs),
            to_input and stage.name in outside,
        )
        for place, stage in reversed(list(enumerate(stages)))
        if stage.learns or to_input
    )
