"""Checks that all processes of a training run agree: before the first step, and later."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from elunet._group import Alone
from elunet._types import Array
from elunet.layers import Dropout
from elunet.storage.fingerprints import sha256
from elunet.storage.trees import pack
from elunet.train import datasets, setup, state, versions

if TYPE_CHECKING:
    from elunet.train import Trainer


def expect_fit(trainer: Trainer) -> None:
    """Raise an error unless the rows of a batch can be split among processes.

    Raises
    ------
    ValueError
        If the rule learns from more than a sum over rows, or a layer draws numbers in its own way.
    """
    if not trainer.router.by_rows:
        raise ValueError(
            "Trainer: expected a rule whose gradients are sums over the batch's rows, to"
            f" split them among {trainer.group.size} processes, got {trainer.router!r}, which"
            " needs"
            " the whole batch"
        )
    for node in trainer.net.homes:
        if node.layer.rng is not None and not isinstance(node.layer, Dropout):
            raise ValueError(
                f"Trainer: expected {node.name} to draw for the whole batch, as Dropout does, got"
                f" {node.layer!r} with its own generator"
            )


def expect_same_start(trainer: Trainer) -> None:
    """Raise an error unless all processes start with the same data, settings and code.

    Raises
    ------
    ValueError
        With the ranks that differ from the first, and in what.
    """
    texts = {f"data: {name}": str(value) for name, value in _data(trainer).items()}
    its = versions.current(trainer.group)
    texts |= {f"version of {name}": str(its[name]) for name in its if name != "threads"}
    texts |= {"code of elunet": _code()}
    program = Path(sys.argv[0]) if sys.argv and sys.argv[0] else None
    if program is not None and program.is_file():
        texts["code of the program"] = sha256(program.read_bytes().hex())
    texts |= setup.describe(trainer)
    texts |= _digests(trainer)
    _expect_same(trainer.group, texts, "before the first step")


def expect_same(trainer: Trainer) -> None:
    """Raise a RuntimeError unless all processes have the same weights and states, bit for bit."""
    try:
        _expect_same(trainer.group, _digests(trainer), f"after step {trainer.optimizer.steps}")
    except ValueError as error:
        raise RuntimeError(str(error)) from error


def _expect_same(group: Alone, texts: dict[str, str], when: str) -> None:
    first, *others = group.gather(texts)
    lines = [
        f"\n  rank {rank}, {name}: {setup.unlike(first.get(name, 'none'), its.get(name, 'none'))}"
        for rank, its in enumerate(others, start=1)
        for name in {**first, **its}
        if first.get(name) != its.get(name)
    ]
    if lines:
        raise ValueError(
            f"Trainer: expected all {group.size} processes to have the same {when}, got"
            f" differences from rank 0:{''.join(lines[:20])}"
        )


def _data(trainer: Trainer) -> dict[str, str | None]:
    batches = trainer.batches
    place = {} if batches is None else {"order": sha256(json.dumps(batches.state()))[:16]}
    return {**(datasets.fingerprints(trainer) or {}), **place}


def _digests(trainer: Trainer) -> dict[str, str]:
    """Return a text for each part of the state that all processes must share."""
    found = {}
    for name, part in state.parts(trainer).items():
        if name in ("layers", "optimizer", "router"):
            arrays: dict[str, Array] = {}
            tree = pack(part.state(), arrays)
            numbers = [np.ascontiguousarray(value) for _, value in sorted(arrays.items())]
            text = json.dumps(tree, sort_keys=True, default=repr)
            found[f"state of the {name}"] = sha256(text, *numbers)[:16]
    return found


@cache
def _code() -> str:
    """Return a hash of the package's source."""
    root = Path(__file__).parents[1]
    files = sorted(root.rglob("*.py"))
    return sha256(*(f"{file.relative_to(root)} {file.read_bytes().hex()}" for file in files))[:16]
