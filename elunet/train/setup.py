"""The setup of a trainer as short texts: runs with different texts are different runs."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from elunet.storage.identity import described
from elunet.train.callbacks import stateful

if TYPE_CHECKING:
    from elunet.train import Trainer


DRAWN = ("seed", "init")
"""Arguments that only determine how weights are drawn, as a checkpoint has the weights."""


def describe(trainer: Trainer) -> dict[str, str]:
    """Return the texts: one for each layer, and those of loss, optimizer, router and so on."""
    found = {
        f"layer {node.name}": f"{described(node.layer, DRAWN)} of {', '.join(node.inputs)}"
        + (f", shared with {node.home}" if node.shared else "")
        for node in trainer.net.nodes
    }
    for name in ("loss", "optimizer", "router", "batch_size", "augment"):
        found[name] = described(getattr(trainer, name))
    if isinstance(trainer.seed, int | None):
        found["seed"] = repr(trainer.seed)
    found["callbacks"] = repr([type(one).__name__ for one in stateful(trainer.callbacks)])
    return {name: re.sub(r" at 0x[0-9a-fA-F]+", "", text) for name, text in found.items()}


def differences(
    trainer: Trainer, setup: Mapping[str, str], settings: Mapping[str, Any], allow: Collection[str]
) -> list[str]:
    """Return a line for each difference from a checkpoint's setup and settings.

    Those whose first word is in `allow` are left out.
    """
    theirs = {**setup, **_as_texts(settings)}
    ours = describe(trainer) | _as_texts(trainer.settings)
    return [
        f"  {name}: {unlike(theirs.get(name, 'none'), ours.get(name, 'none'))}"
        for name in theirs | ours
        if theirs.get(name) != ours.get(name) and name.split()[0] not in allow
    ]


def unlike(theirs: str, ours: str) -> str:
    """Return "expected ..., got ..." of two `described` objects.

    What a repr does not show is left out if the reprs differ already.
    """
    its, mine = (re.split(r" with (?=\w+=)", text, maxsplit=1)[0] for text in (theirs, ours))
    return f"expected {theirs}, got {ours}" if its == mine else f"expected {its}, got {mine}"


def as_json(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as a checkpoint returns them: lists instead of tuples.

    Raises
    ------
    TypeError
        If they are not plain data.
    """
    try:
        found = json.loads(json.dumps(dict(settings), allow_nan=False))
    except (TypeError, ValueError) as error:
        message = f"Trainer: expected settings as plain data for JSON, got {error}"
        raise TypeError(message) from error
    return dict(found)


def _as_texts(settings: Mapping[str, Any]) -> dict[str, str]:
    return {f"settings {name}": repr(value) for name, value in settings.items()}
