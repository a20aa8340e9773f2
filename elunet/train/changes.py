"""Settings that change during training: a callback may lower the learning rate.

A run is compared by how its trainer was built. What was changed since comes in two parts: until
the current `fit` began, and after its callbacks had started. A resumed run gets the first at once,
and the second when its own callbacks have started, as a callback may take what it finds then for
the setting that it has to come back to.

Numbers and texts are restored wherever they are: in layers, loss, optimizer, rule, augmentation,
and in what these hold. Of other changes (a schedule in the place of a number) a resumed run must
have made the same itself, or it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from elunet.routers import Router
from elunet.storage.identity import identity, made_with, untold, within
from elunet.storage.trees import Tree
from elunet.train import setup

if TYPE_CHECKING:
    from elunet.train import Trainer

Numbers = dict[str, dict[str, Any]]
"""Settings by object and name, such as {"optimizer": {"lr": 0.1}}."""
Texts = dict[str, str]
PLAIN = bool | int | float | str | None
DATA = (bool, int, float, str, type(None), np.generic, np.ndarray, dict, list, tuple, set)
WORKING = ("net", "signals", "loss")
"""A rule's attributes that belong to the current step."""


class Changes:
    """Keeps how a trainer was built, and finds what has changed since.

    Attributes
    ----------
    built : dict of {str: str} or None
        The setup of the run, as texts; None before its first `fit`.
    """

    def __init__(self) -> None:
        self.built: Texts | None = None
        self._built: Numbers = {}
        self._left: Texts | None = None  # as the last `fit` or `resume` left it
        self._begun: tuple[Texts, Numbers] | None = None  # as the current `fit` found it
        self._awaited: tuple[Texts, Numbers] | None = None  # what a resumed run has to become
        self._allow: Collection[str] = ()
        self._unremembered: Texts | None = None  # what the rule had when the current `fit` began

    def begin(self, trainer: Trainer) -> None:
        """Note the settings at the start of `fit`. Changes since the last `fit` count as built."""
        texts, found = setup.describe(trainer), numbers(trainer)
        if self.built is None or texts != self._left:
            self.built, self._built = texts, found
        self._begun = texts, found
        self._unremembered = unremembered(trainer.router)

    def end(self, trainer: Trainer) -> None:
        """Note the settings at the end of `fit`."""
        self._left, self._begun = setup.describe(trainer), None

    def state(self, trainer: Trainer) -> Tree:
        """Return the state for a checkpoint: the settings as built, and both parts of the changes.

        Raises
        ------
        ValueError
            If the learning rule counts or learns what no checkpoint has.
        """
        if self._unremembered is not None:
            _check_memory(trainer.router, self._unremembered)
        texts, found = setup.describe(trainer), numbers(trainer)
        built = texts if self.built is None else self.built
        begun_texts, begun = self._begun or (texts, found)
        if self._awaited is not None:  # saved before its callbacks have started
            texts, found = begun_texts | self._awaited[0], merged(begun, self._awaited[1])
        return {
            "setup": built,
            "changes": {
                "before": [_new(built, begun_texts), changed(self._built or begun, begun)],
                "since": [_new(begun_texts, texts), changed(begun, found)],
            },
        }

    @classmethod
    def read(cls, saved: Tree, allow: Collection[str]) -> Changes:
        """Return the changes in a checkpoint, without the parts in `allow`."""
        found = cls()
        found.built = _texts(saved["setup"])
        before, since = saved["changes"]["before"], saved["changes"]["since"]
        found._begun = _allowed(_texts(before[0]), allow), _allowed(_numbers(before[1]), allow)
        found._awaited = _allowed(_texts(since[0]), allow), _allowed(_numbers(since[1]), allow)
        found._allow = allow
        return found

    def take_up(self, trainer: Trainer) -> None:
        """Apply the changes that existed when the saved run's `fit` began.

        Raises
        ------
        ValueError
            If the changes cannot be restored.
        """
        self._built, (texts, before) = numbers(trainer), self._begun or ({}, {})
        there = {n: t for n, t in setup.describe(trainer).items() if first(n) in self._allow}
        self.built = {**(self.built or {}), **there}
        put(trainer, before)
        _check("Trainer.resume", trainer, texts)
        self.end(trainer)

    def catch_up(self, trainer: Trainer) -> None:
        """Apply the changes of a saved run since its `fit` began.

        Raises
        ------
        ValueError
            If the changes cannot be restored.
        """
        if self._awaited is None:
            return
        texts, later = self._awaited
        put(trainer, later)
        _check("Trainer.fit", trainer, texts)
        self._awaited = None


def numbers(trainer: Trainer) -> Numbers:
    """Return the current values of all numbers and texts that a trainer's parts were made with."""
    return {
        path: {
            name: {"dtype": value.dtype.name, "value": value.item()}
            if isinstance(value, np.generic)
            else value
            for name, value in made_with(part).items()
            if isinstance(value, PLAIN | np.number | np.bool_)
        }
        for path, part in _parts(trainer)
    }


def unremembered(router: Router) -> Texts:
    """Return the data in a rule's public attributes that are missing in its state, as texts."""
    found = {}
    for path, part in within("router", router, set()):
        if not isinstance(part, Router):
            continue
        known = {*part.remembers, *made_with(part), *WORKING}
        for name, value in vars(part).items():
            if name not in known and not name.startswith("_") and isinstance(value, DATA):
                found[f"{path}.{name}"] = identity(value)
    return found


def _check_memory(router: Router, before: Texts) -> None:
    lost = [name for name, text in unremembered(router).items() if before.get(name) != text]
    if lost:
        raise ValueError(
            f"save: expected all that {router!r} counts or learns to be listed in its"
            f" `remembers`, so that a checkpoint keeps it, got changes of {', '.join(lost)};"
            " if an attribute is computed again in each step, begin its name with _"
        )


def put(trainer: Trainer, values: Numbers) -> None:
    """Set attributes that still exist."""
    for path, part in _parts(trainer):
        for name, value in values.get(path, {}).items():
            if name in getattr(part, "__dict__", {}):
                if isinstance(value, dict):
                    value = np.dtype(value["dtype"]).type(value["value"])
                with suppress(AttributeError):  # frozen: the texts will tell
                    setattr(part, name, value)


def incomparable(trainer: Trainer) -> list[str]:
    """Return a text for each part of a trainer with an argument that cannot be compared."""
    found = ((path, part, untold(part, setup.DRAWN)) for path, part in _parts(trainer))
    return [
        f"{', '.join(names)} of {path} ({type(p).__name__})" for path, p, names in found if names
    ]


def changed(before: Numbers, after: Numbers) -> Numbers:
    """Return the values of `after` that are not those of `before`."""
    found = {path: _new(before.get(path, {}), values) for path, values in after.items()}
    return {path: values for path, values in found.items() if values}


def merged(one: Numbers, other: Numbers) -> Numbers:
    """Return the values of both; where both have one, the other's."""
    return {path: {**one.get(path, {}), **other.get(path, {})} for path in {**one, **other}}


def first(name: str) -> str:
    """Return the first word of a part's name, by which a difference is allowed."""
    return re.split(r"[ .]", name, maxsplit=1)[0]


def _parts(trainer: Trainer) -> Iterator[tuple[str, Any]]:
    """Yield all objects of a run with their paths, such as a layer or an optimizer's part."""
    tops = {f"layer {node.name}": node.layer for node in trainer.net.nodes}
    tops |= {name: getattr(trainer, name) for name in ("loss", "optimizer", "router", "augment")}
    seen: set[int] = set()
    for path, part in tops.items():
        yield from within(path, part, seen)


def _check(owner: str, trainer: Trainer, wanted: Texts) -> None:
    there = setup.describe(trainer)
    lines = [
        f"  {name}: {setup.unlike(text, there.get(name, 'none'))}"
        for name, text in wanted.items()
        if there.get(name) != text
    ]
    if lines:
        listed = "\n".join(lines)
        raise ValueError(
            f"{owner}: expected the settings that had changed in the saved run, got"
            " differences (make the same changes again before fit, or in a callback when fit"
            f" begins):\n{listed}"
        )


def _new(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    nothing = object()
    return {
        name: value
        for name, value in after.items()
        if type(before.get(name, nothing)) is not type(value) or before[name] != value
    }


def _allowed(parts: dict[str, Any], allow: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in parts.items() if first(name) not in allow}


def _texts(value: Any) -> Texts:
    if not all(isinstance(text, str) for text in value.values()):
        raise TypeError(f"expected strings, got {value!r}")
    return dict(value)


def _numbers(value: Any) -> Numbers:
    for path, values in value.items():
        for name, item in values.items():
            number = np.dtype(item["dtype"]).type(item["value"]) if isinstance(item, dict) else item
            if not isinstance(number, PLAIN | np.number | np.bool_):
                raise TypeError(f"expected {path}.{name} as a number or a string, got {item!r}")
    return {path: dict(values) for path, values in value.items()}
